/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/copy-on-read.c - what is read from a backing file is kept in the image above it
 *
 * "bottom": the last node of the chain that is copied from; what lies below it is not. */
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

enum { MAX_PIECE = 1 << 20 };

typedef struct {
    VitBlockNode parent;
    VitBlockRangeLock copying;
    char *bottom;       /* owned; NULL: all of the chain */
} CopyOnRead;

/* Whether a stretch that the top does not store comes from a node that is to be copied from. */
static bool wanted(CopyOnRead *c, int depth)
{
    VitBlockNode *n = c->parent.file->node;

    if (!c->bottom) return true;
    for (int i = 0; n; i++, n = n->backing ? n->backing->node : NULL) {
        if (i == depth) return true;
        if (g_strcmp0(n->name, c->bottom) == 0) return false;
    }
    return false;
}

static int copy_piece(CopyOnRead *c, uint64_t offset, uint64_t bytes)
{
    VitBlockNode *child = c->parent.file->node;
    uint64_t cluster = MAX(vit_block_info(child).cluster_size, 512);
    uint64_t start = offset - offset % cluster;
    uint64_t end = MIN((offset + bytes + cluster - 1) / cluster * cluster, child->size);
    g_autofree uint8_t *buf = g_try_malloc(MIN(end - start, MAX(MAX_PIECE, cluster)));
    VitBlockRange range;
    int result = 0;

    if (!buf) return -ENOMEM;
    vit_block_range_lock(&c->copying, &range, start, end - start);
    for (uint64_t at = start; at < end && result == 0;) {
        VitBlockExtent e;
        result = vit_co_status_above(child, NULL, at, MIN(end - at, MAX(MAX_PIECE, cluster)), &e);
        if (result < 0 || e.bytes == 0) break;
        if (e.depth > 0 && (e.flags & VIT_EXTENT_ALLOCATED) && wanted(c, e.depth)) {
            result = vit_co_read(child, at, buf, e.bytes);
            if (result == 0 && vit_block_is_zero(buf, e.bytes))
                result = vit_co_zero(child, at, e.bytes, VIT_BLOCK_MAY_UNMAP);
            else if (result == 0) result = vit_co_write(child, at, buf, e.bytes, 0);
        }
        at += e.bytes;
    }
    vit_block_range_unlock(&c->copying, &range);
    return result;
}

static int cor_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    CopyOnRead *c = (CopyOnRead *)node;

    if (!node->file->node->how.read_only) {
        for (uint64_t done = 0; done < bytes;) {
            uint64_t piece = MIN(bytes - done, MAX_PIECE);
            int result = copy_piece(c, offset + done, piece);
            if (result < 0) return result;
            done += piece;
        }
    }
    return vit_co_readv(node->file->node, offset, bytes, iov, niov);
}

/* A write must not be overtaken by an older copy of the same place. */
static int cor_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                      const struct iovec *iov, int niov, uint32_t flags)
{
    CopyOnRead *c = (CopyOnRead *)node;
    VitBlockRange range;

    vit_block_range_lock(&c->copying, &range, offset, bytes);
    int result = vit_co_change(node->file->node, op, offset, bytes, iov, niov, flags);
    vit_block_range_unlock(&c->copying, &range);
    return result;
}

static void cor_attach(VitBlockNode *node)
{
    ((CopyOnRead *)node)->copying.cond.thread = node->thread;
}

static bool cor_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    CopyOnRead *c = (CopyOnRead *)node;
    const char *bottom = vit_block_args_str(args, "bottom");

    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILTERED, error)) return false;
    cor_attach(node);
    node->size = node->file->node->size;
    if (!bottom) return true;
    VitBlockNode *n = node->file->node;
    while (n && g_strcmp0(n->name, bottom) != 0) n = n->backing ? n->backing->node : NULL;
    if (!n)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("Bottom node '%s' not found"),
                              bottom);
    c->bottom = g_strdup(bottom);
    return true;
}

static void cor_close(VitBlockNode *node)
{
    g_free(((CopyOnRead *)node)->bottom);
}

const VitBlockDriver vit_block_copy_on_read_driver = {
    .name = "copy-on-read",
    .kind = VIT_BLOCK_FILTER,
    .instance_size = sizeof(CopyOnRead),
    .co_open = cor_open,
    .co_close = cor_close,
    .attach = cor_attach,
    .co_read = cor_read,
    .co_change = cor_change,
    .co_status = vit_block_forward_status,
    .info = vit_block_forward_info,
};
