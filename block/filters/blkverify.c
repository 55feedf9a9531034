/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/blkverify.c - for tests: a format under test beside raw bytes that are known to be
 * right
 *
 * Writes go to both; reads must agree, else the request fails with -EIO and the place is logged. */
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct {
    VitBlockNode parent; /* file: the raw image */
    VitBlockEdge *test; /* borrowed */
} Verify;

static int verify_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                       int niov)
{
    Verify *v = (Verify *)node;
    g_autofree uint8_t *raw = g_try_malloc(bytes), *test = g_try_malloc(bytes);

    if (!raw || !test) return -ENOMEM;
    int result = vit_co_read(v->test->node, offset, test, bytes);
    int expected = vit_co_read(node->file->node, offset, raw, bytes);
    if (result != expected || (result == 0 && memcmp(raw, test, bytes) != 0)) {
        uint64_t at = 0;
        while (result == 0 && at < bytes && raw[at] == test[at]) at++;
        g_warning("blkverify: contents mismatch at offset %" G_GUINT64_FORMAT, offset + at);
        return -EIO;
    }
    vit_iov_from(iov, niov, 0, test, bytes);
    return result;
}

static int verify_write(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov, uint32_t flags)
{
    int result = vit_co_writev(((Verify *)node)->test->node, offset, bytes, iov, niov, flags);
    int raw = vit_co_writev(node->file->node, offset, bytes, iov, niov, flags & VIT_BLOCK_FUA);

    return result ? result : raw;
}

static int verify_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    int result = vit_co_zero(((Verify *)node)->test->node, offset, bytes, flags);
    int raw = vit_co_zero(node->file->node, offset, bytes,
                          flags & ~(uint32_t)VIT_BLOCK_NO_FALLBACK);

    return result ? result : raw;
}

static int verify_flush(VitBlockNode *node)
{
    return vit_co_flush(((Verify *)node)->test->node);
}

static bool verify_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Verify *v = (Verify *)node;

    if (!vit_co_open_child(node, args, "raw", VIT_EDGE_FILTERED, error)) return false;
    v->test = vit_co_open_child(node, args, "test", VIT_EDGE_EXTENT, error);
    if (!v->test) return false;
    if (v->test->node->size != node->file->node->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkverify: raw and test differ in size"));
    node->size = v->test->node->size;
    return true;
}

const VitBlockDriver vit_block_blkverify_driver = {
    .name = "blkverify",
    .kind = VIT_BLOCK_FILTER,
    .instance_size = sizeof(Verify),
    .co_open = verify_open,
    .co_read = verify_read,
    .co_write = verify_write,
    .co_write_zeroes = verify_write_zeroes,
    .co_flush = verify_flush,
};
