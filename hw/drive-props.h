/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/drive-props.h - what every disk device takes about its drive */
#pragma once
#include "block/node.h"
#include "engine/core/device.h"

#define VIT_DRIVE_AUTO UINT32_MAX /* discard_granularity: the device's own */

typedef struct {
    char *werror, *rerror, *write_cache; /* owned by the device */
    /* Bytes.  After vit_drive_props_apply() blocks are what the guest is to find; min_io and opt_io
     * may be 0: nothing is said. */
    uint64_t logical_block, physical_block, min_io, opt_io;
    uint64_t discard_granularity; /* or VIT_DRIVE_AUTO; 0: no discard is offered */
} VitDriveProps;

/* Rows of a device's properties. */
#define VIT_DRIVE_PROPS(type, member)                                                              \
    VIT_PROP("werror", VIT_PROP_STR, type, member.werror, NULL,                                    \
             "when a write fails: report, ignore, enospc, stop, auto (as the drive says)"),        \
        VIT_PROP("rerror", VIT_PROP_STR, type, member.rerror, NULL,                                \
                 "when a read fails: report, ignore, stop, auto (as the drive says)"),             \
        VIT_PROP("write-cache", VIT_PROP_STR, type, member.write_cache, NULL,                      \
                 "on, off or auto (as the drive says)"),                                           \
        VIT_PROP("logical_block_size", VIT_PROP_SIZE, type, member.logical_block, "0",             \
                 "a power of two from 512 to 2M; 0 = the drive's"),                                \
        VIT_PROP("physical_block_size", VIT_PROP_SIZE, type, member.physical_block, "0",           \
                 "a power of two from 512 to 2M; 0 = the drive's"),                                \
        VIT_PROP("min_io_size", VIT_PROP_SIZE, type, member.min_io, "0",                           \
                 "what the guest should not go below, 0 = nothing is said"),                       \
        VIT_PROP("opt_io_size", VIT_PROP_SIZE, type, member.opt_io, "0",                           \
                 "what suits the drive best, 0 = nothing is said"),                                \
        VIT_PROP("discard_granularity", VIT_PROP_SIZE, type, member.discard_granularity,           \
                 "4294967295", "0 = no discard, 4294967295 = the device's own")

/* Checks the properties, and tells the drive (NULL: none) what to do on errors.  *cache: whether
 * the guest finds a write cache. */
[[nodiscard]] bool vit_drive_props_apply(VitDriveProps *props, VitBlockNode *node, const char *id,
                                         bool *cache, GError **error);
