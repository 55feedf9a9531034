/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/drive-props.h - what every disk device takes about its drive */
#pragma once
#include "block/node.h"
#include "engine/core/device.h"

#define VIT_DRIVE_AUTO UINT32_MAX /* discard_granularity: the device's own */

typedef struct {
    char *werror, *rerror, *write_cache; /* owned by the device */
    uint32_t discard_granularity; /* bytes, or VIT_DRIVE_AUTO */
} VitDriveProps;

/* Rows of a device's properties. */
#define VIT_DRIVE_PROPS(type, member)                                                              \
    VIT_PROP("werror", VIT_PROP_STR, type, member.werror, NULL,                                    \
             "when a write fails: report, ignore, enospc, stop, auto (as the drive says)"),        \
        VIT_PROP("rerror", VIT_PROP_STR, type, member.rerror, NULL,                                \
                 "when a read fails: report, ignore, stop, auto (as the drive says)"),             \
        VIT_PROP("write-cache", VIT_PROP_STR, type, member.write_cache, NULL,                      \
                 "on, off or auto (as the drive says)"),                                           \
        VIT_PROP("discard_granularity", VIT_PROP_U32, type, member.discard_granularity,            \
                 "4294967295", "bytes; 4294967295 = the device's own")

/* Checks the properties, and tells the drive (NULL: none) what to do on errors.  *cache: whether
 * the guest finds a write cache. */
[[nodiscard]] bool vit_drive_props_apply(const VitDriveProps *props, VitBlockNode *node,
                                         const char *id, bool *cache, GError **error);
