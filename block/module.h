/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/module.h - what a module of drivers is, see engine/core/module.h
 *
 * drivers.c has a row for each of its drivers, with name, kind, protocols and the module's name;
 * the module has the driver whole. */
#pragma once
#include "block/driver.h"

typedef struct {
    const char *version; /* a program loads modules of its own version only */
    size_t driver_size, node_size; /* which also catches half-built trees */
    const VitBlockDriver *const *drivers; /* NULL-ended */
} VitBlockModule;

#define VIT_BLOCK_MODULE_SYMBOL "vit_block_module"
/* The one definition that each module exports. */
#define VIT_BLOCK_MODULE(...)                                                                      \
    [[gnu::visibility("default")]] extern const VitBlockModule vit_block_module;                   \
    const VitBlockModule vit_block_module = {                                                      \
        .version = VIT_VERSION,                                                                    \
        .driver_size = sizeof(VitBlockDriver),                                                     \
        .node_size = sizeof(VitBlockNode),                                                         \
        .drivers = (const VitBlockDriver *const[]){ __VA_ARGS__, NULL },                           \
    }
