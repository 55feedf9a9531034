/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/compress.c - writes to the image below are stored compressed
 *
 * The core merges requests to whole clusters of the image, which is what compression works on. */
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

static int compress_read(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                         const struct iovec *iov, int niov)
{
    uint64_t inside = node->size - offset;      /* the last cluster may reach past the end */
    int result;

    if (bytes <= inside) return vit_co_readv(node->file->node, offset, bytes, iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int n = vit_iov_slice(iov, niov, 0, inside, part);
    result = vit_co_readv(node->file->node, offset, inside, part, n);
    vit_iov_zero(iov, niov, inside, bytes - inside);
    return result;
}

static int compress_write(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int niov, uint32_t flags)
{
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    uint64_t end = MIN(offset + bytes, node->size);

    /* Cluster by cluster: only so much is compressed as one. */
    for (uint64_t at = offset; at < end;) {
        uint64_t piece = MIN(node->alignment, end - at);
        int n = vit_iov_slice(iov, niov, at - offset, piece, part);
        int result = vit_co_writev(node->file->node, at, piece, part, n,
                                   flags | VIT_BLOCK_COMPRESSED);
        if (result < 0) return result;
        at += piece;
    }
    return 0;
}

static int compress_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                                 uint32_t flags)
{
    return vit_co_zero(node->file->node, offset, MIN(bytes, node->size - offset), flags);
}

static int compress_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    return vit_co_discard(node->file->node, offset, MIN(bytes, node->size - offset));
}

static void compress_info(VitBlockNode *node, VitBlockInfo *info)
{
    vit_block_forward_info(node, info);
    info->request_alignment = MAX(info->request_alignment, node->alignment);
}

static bool compress_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILTERED, error)) return false;
    VitBlockNode *child = node->file->node;
    VitBlockInfo info = vit_block_info(child);
    if (!info.can_compress && !info.must_compress)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Compression is not supported for format %s"), child->driver->name);
    node->size = child->size;
    node->alignment = info.cluster_size ? info.cluster_size : 512;
    return true;
}

const VitBlockDriver vit_block_compress_driver = {
    .name = "compress",
    .kind = VIT_BLOCK_FILTER,
    .instance_size = sizeof(VitBlockNode),
    .co_open = compress_open,
    .co_read = compress_read,
    .co_write = compress_write,
    .co_write_zeroes = compress_write_zeroes,
    .co_discard = compress_discard,
    .co_status = vit_block_forward_status,
    .info = compress_info,
};
