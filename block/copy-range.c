/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/copy-range.c - copying between files without reading the bytes: see vit_co_copy_range() */
#include "block/driver.h"

#include <errno.h>

int vit_co_copy_range(VitBlockNode *to, uint64_t to_offset, VitBlockNode *from, uint64_t offset,
                      uint64_t bytes)
{
    bool grows = to->driver->kind == VIT_BLOCK_PROTOCOL;

    if (!to->driver->co_copy_range || to->thread != from->thread) return -ENOTSUP;
    if (to->how.read_only) return -EROFS;
    if (bytes > INT64_MAX || to_offset > INT64_MAX - bytes || offset > from->size ||
        bytes > from->size - offset || (!grows && to_offset + bytes > to->size))
        return -EINVAL;
    return to->driver->co_copy_range(to, to_offset, from, offset, bytes);
}
