/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/amend-zeroes.c - zero clusters become what version 2 can say: nothing at all where
 * there is no backing file, else a cluster of stored zeroes */
#include "block/qcow2/amend.h"
#include "block/qcow2/bulk.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

static int has_zeroes(void *opaque, uint64_t index, uint8_t *table, int error)
{
    VitQcow2 *q = opaque;

    if (!table) return error;
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2_entry_size) {
        uint64_t entry = vit_get64(table + at);
        if (!(entry & VIT_QCOW2_COMPRESSED_BIT) && (entry & VIT_QCOW2_ZERO_BIT)) return -EEXIST;
    }
    return 0;
}

/* Tables of snapshots are never changed: none of them may have a zero cluster. */
static int look_at_snapshots(VitQcow2 *q)
{
    int result = 0;

    for (guint i = 0; i < q->snapshots->len && result == 0; i++) {
        const VitQcow2Snapshot *s = q->snapshots->pdata[i];
        if (s->broken) return -EIO;
        g_autofree uint64_t *l1 = g_try_new(uint64_t, (size_t)s->l1_size + 1);
        result = l1 ? vit_qcow2_bulk_read_l1(q, s->l1_offset, s->l1_size, l1) : -ENOMEM;
        if (result == 0)
            result = vit_qcow2_walk(q, l1, s->l1_size, VIT_QCOW2_OFFSET_MASK, has_zeroes, q);
    }
    return result;
}

/* Stretches of an L2 table's slice from offset on; *done: how far it came. */
static int clear_some(VitQcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *done)
{
    VitQcow2Slice *slice;
    unsigned index, count;
    uint64_t n = vit_qcow2_clusters(q, bytes);

    vit_fiber_mutex_lock(&q->meta);
    int result = vit_qcow2_l2_writable(q, offset, &slice, &index, &count);
    if (result == 0) {
        count = (unsigned)MIN(count, n);
        for (unsigned i = 0; i < count; i++) {
            VitQcow2Entry e = vit_qcow2_entry_get(q, slice, index + i);
            if (vit_qcow2_type(q, e, 0) != VIT_QCOW2_ZERO) continue;
            vit_qcow2_free_entry(q, e.entry, VIT_QCOW2_FREE_OTHER);
            vit_qcow2_entry_set(q, slice, index + i, (VitQcow2Entry){ 0, 0 });
        }
        vit_qcow2_cache_put(slice);
        *done = MIN((uint64_t)count << q->cluster_bits, bytes);
    }
    vit_fiber_mutex_unlock(&q->meta);
    return result;
}

static int store_some(VitQcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *done)
{
    g_autofree uint8_t *zeroes = g_try_malloc0(q->cluster_size);
    struct iovec iov = { zeroes, MIN(bytes, q->cluster_size) };

    *done = iov.iov_len;
    return zeroes ? vit_qcow2_co_write(&q->parent, offset, iov.iov_len, &iov, 1, 0) : -ENOMEM;
}

bool vit_qcow2_amend_zeroes(VitQcow2 *q, VitBlockProgress progress, void *opaque, GError **error)
{
    VitBlockNode *node = &q->parent;
    bool backing = node->backing_file && *node->backing_file;
    int result = vit_co_flush(node);

    if (result == 0) result = look_at_snapshots(q);
    if (result == -EEXIST)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Internal snapshots prevent downgrade of image"));
    for (uint64_t at = 0, done; at < node->size && result == 0; at += done) {
        VitQcow2Map map;
        result = vit_qcow2_map(q, at, node->size - at, &map);
        if (result < 0) break;
        done = map.bytes;
        if (progress) progress(opaque, at, node->size);
        if (map.type != VIT_QCOW2_ZERO) continue;
        result = backing ? store_some(q, at, map.bytes, &done)
                         : clear_some(q, at, map.bytes, &done);
    }
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: could not store zero clusters as data"),
                                node->filename);
}
