/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/status.c - what is stored where: of one node, and of a chain */
#include "block/node-private.h"

int vit_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    uint64_t size = node->size;
    int result = 0;

    *extent = (VitBlockExtent){ 0 };
    if (offset >= size) {
        extent->flags = VIT_EXTENT_END |
                        (node->driver->kind == VIT_BLOCK_PROTOCOL ? VIT_EXTENT_ZERO : 0);
        return 0;
    }
    bytes = MIN(bytes, size - offset);
    if (node->driver->co_status) {
        result = node->driver->co_status(node, offset, bytes, extent);
    } else {
        *extent = (VitBlockExtent){ .bytes = bytes,
                                    .flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED };
        if (node->driver->kind == VIT_BLOCK_PROTOCOL) {
            extent->flags |= VIT_EXTENT_OFFSET;
            extent->host_offset = offset;
            extent->file = node;
        }
    }
    extent->bytes = MIN(extent->bytes, bytes);
    bool known = extent->flags & (VIT_EXTENT_DATA | VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED);
    if (result == 0 && !known && !node->backing) extent->flags |= VIT_EXTENT_ZERO;
    if (result == 0 && offset + extent->bytes >= size) extent->flags |= VIT_EXTENT_END;
    return result;
}

static VitBlockNode *below(VitBlockNode *node)
{
    return node->backing ? node->backing->node : NULL;
}

int vit_co_status_above(VitBlockNode *node, VitBlockNode *base, uint64_t offset, uint64_t bytes,
                        VitBlockExtent *extent)
{
    uint64_t end = node->size;
    int depth = 0;

    *extent = (VitBlockExtent){ 0 };
    if (offset >= end) {
        extent->flags = VIT_EXTENT_END;
        return 0;
    }
    bytes = MIN(bytes, end - offset);
    for (VitBlockNode *n = node; n && n != base; depth++) {
        while (n && n != base && n->driver->kind == VIT_BLOCK_FILTER)   /* transparent */
            n = n->file ? n->file->node : NULL;
        if (!n || n == base) break;
        if (offset >= n->size) {    /* a shorter backing file: the node above it reads zeroes */
            extent->bytes = bytes;
            extent->depth = MAX(depth - 1, 0);
            extent->flags = VIT_EXTENT_ZERO;
            if (offset + bytes >= end) extent->flags |= VIT_EXTENT_END;
            return 0;
        }
        VitBlockExtent one;
        int result = vit_co_status(n, offset, bytes, &one);
        if (result < 0) return result;
        bytes = MAX(one.bytes, 1);
        if (one.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO)) {
            *extent = one;
            extent->depth = depth;
            extent->flags &= ~(unsigned)VIT_EXTENT_END;
            if (offset + bytes >= end) extent->flags |= VIT_EXTENT_END;
            return 0;
        }
        n = below(n);
    }
    extent->bytes = bytes;
    extent->depth = depth;
    extent->flags = base ? 0 : VIT_EXTENT_ZERO;
    if (offset + bytes >= end) extent->flags |= VIT_EXTENT_END;
    return 0;
}

VitBlockSnapshot *vit_block_snapshot_new(void)
{
    VitBlockSnapshot *s = g_new0(VitBlockSnapshot, 1);

    s->icount = -1;
    return s;
}

void vit_block_snapshot_free(VitBlockSnapshot *s)
{
    if (!s) return;
    g_free(s->id);
    g_free(s->name);
    g_free(s);
}

int vit_block_forward_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                             VitBlockExtent *extent)
{
    return vit_co_status(node->file->node, offset, bytes, extent);
}

int vit_co_status_ahead(VitBlockExtent *extent)
{
    VitBlockExtent below;
    int result = vit_co_status(extent->file, extent->host_offset, extent->bytes, &below);

    if (result < 0 || below.bytes == 0) return result;
    extent->bytes = MIN(extent->bytes, below.bytes);
    extent->flags |= below.flags & VIT_EXTENT_ZERO;
    return 0;
}

void vit_block_forward_info(VitBlockNode *node, VitBlockInfo *info)
{
    uint64_t size = info->size;
    bool read_only = info->read_only;

    *info = vit_block_info(node->file->node);
    info->size = size;
    info->read_only |= read_only;
}
