/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/zero.c - zeroes without storing them, and discards */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct {
    bool discard; /* by a discard request; else zeroes */
    bool unmap; /* host clusters may go */
} Change;

/* ---- whole clusters -------------------------------------------------------------------------- */

/* The entry of a cluster that shall read as zeroes.  false: it cannot be said in this version. */
static bool zero_entry(const VitQcow2 *q, VitQcow2Entry old, Change c, VitQcow2Entry *now)
{
    bool compressed = old.entry & VIT_QCOW2_COMPRESSED_BIT, data_file = vit_qcow2_has_data_file(q);
    bool stored = compressed || (old.entry & VIT_QCOW2_OFFSET_MASK) ||
                  (data_file && (old.entry & VIT_QCOW2_COPIED));
    bool keep = stored && !compressed &&
                (!c.unmap || (q->discard_no_unref && (old.entry & VIT_QCOW2_COPIED)) || data_file);

    if (c.discard && !stored && !q->parent.backing) { /* reads as zeroes already */
        *now = old;
        return true;
    }
    if (q->version < 3) {
        *now = (VitQcow2Entry){ 0 };
        return !q->parent.backing && !(keep && !c.unmap);
    }
    now->entry = keep ? old.entry & (VIT_QCOW2_COPIED | VIT_QCOW2_OFFSET_MASK) : 0;
    now->bitmap = 0;
    if (q->subclusters == 1) now->entry |= VIT_QCOW2_ZERO_BIT;
    else now->bitmap = UINT64_C(0xffffffff) << 32;
    return true;
}

/* Entries of clusters [offset, offset + bytes), as many as one slice has; meta is held. */
static int zero_slice(VitQcow2 *q, uint64_t offset, uint64_t bytes, Change c, uint64_t *done)
{
    VitQcow2Slice *s;
    unsigned index, count;
    int result = vit_qcow2_l2_slice(q, offset, &s, &index, &count);

    if (result < 0) return result;
    uint64_t n = MIN(count, bytes >> q->cluster_bits);
    *done = n << q->cluster_bits;
    bool idle = !s && !q->parent.backing && (c.discard || q->version < 3);
    if (s) vit_qcow2_cache_put(s);
    if (idle) return 0;
    result = vit_qcow2_l2_writable(q, offset, &s, &index, &count);
    if (result < 0) return result;
    for (uint64_t i = 0; i < n && result == 0; i++) {
        VitQcow2Entry old = vit_qcow2_entry_get(q, s, index + (unsigned)i), now;
        if (vit_qcow2_type(q, old, 0) == VIT_QCOW2_INVALID) {
            result = vit_qcow2_corrupt(
                q, "invalid L2 entry 0x%" PRIx64 " (guest offset 0x%" PRIx64 ")", old.entry,
                offset + (i << q->cluster_bits));
            break;
        }
        if (!zero_entry(q, old, c, &now)) {
            if (!c.discard) result = -ENOTSUP;
            continue;
        }
        if (now.entry == old.entry && now.bitmap == old.bitmap) continue;
        vit_qcow2_entry_set(q, s, index + (unsigned)i, now);
        if ((old.entry & (VIT_QCOW2_OFFSET_MASK | VIT_QCOW2_COMPRESSED_BIT)) &&
            !(now.entry & VIT_QCOW2_OFFSET_MASK))
            vit_qcow2_free_entry(q, old.entry, VIT_QCOW2_FREE_REQUEST);
    }
    vit_qcow2_cache_put(s);
    return result;
}

static int zero_clusters(VitQcow2 *q, uint64_t offset, uint64_t bytes, Change c)
{
    VitBlockRange range;
    int result = 0;

    for (uint64_t done; bytes > 0 && result == 0; offset += done, bytes -= done) {
        vit_block_range_lock(&q->clusters, &range, offset, bytes);
        vit_fiber_mutex_lock(&q->meta);
        result = q->broken ? -EIO : zero_slice(q, offset, bytes, c, &done);
        vit_fiber_mutex_unlock(&q->meta);
        if (result == 0 && vit_qcow2_has_data_file(q) && q->discard_request && c.unmap)
            (void)vit_co_discard(q->data->node, offset, done); /* a hint */
        vit_block_range_unlock(&q->clusters, &range);
    }
    return result;
}

/* ---- subclusters ----------------------------------------------------------------------------- */

/* Some whole subclusters of one cluster. */
static int zero_subclusters(VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t within = offset & (q->cluster_size - 1);
    unsigned first = (unsigned)(within >> q->subcluster_bits);
    unsigned end = (unsigned)((within + bytes) >> q->subcluster_bits);
    uint64_t mask = ((UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << first) - 1);
    VitQcow2Slice *s;
    VitBlockRange range;
    unsigned index, count;

    vit_block_range_lock(&q->clusters, &range, offset - within, q->cluster_size);
    vit_fiber_mutex_lock(&q->meta);
    int result = q->broken ? -EIO : vit_qcow2_l2_writable(q, offset, &s, &index, &count);
    if (result == 0) {
        VitQcow2Entry e = vit_qcow2_entry_get(q, s, index);
        if (e.entry & VIT_QCOW2_COMPRESSED_BIT) {
            result = -ENOTSUP;
        } else {
            e.bitmap = (e.bitmap & ~mask) | mask << 32;
            vit_qcow2_entry_set(q, s, index, e);
        }
        vit_qcow2_cache_put(s);
    }
    vit_fiber_mutex_unlock(&q->meta);
    vit_block_range_unlock(&q->clusters, &range);
    return result;
}

static int write_zero_buffer(VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    struct iovec iov = { g_try_malloc0(bytes), bytes };

    if (!iov.iov_base) return -ENOMEM;
    int result = vit_qcow2_write_range(q, offset, bytes, &iov, 1);
    g_free(iov.iov_base);
    return result;
}

/* A stretch within one cluster. */
static int zero_part(VitQcow2 *q, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    uint64_t mask = (UINT64_C(1) << q->subcluster_bits) - 1, end = offset + bytes;
    uint64_t from = (offset + mask) & ~mask, to = end & ~mask;
    VitQcow2Map map;
    int result = vit_qcow2_map(q, offset, bytes, &map);

    if (result < 0) return result;
    if (map.bytes == bytes &&
        (map.type == VIT_QCOW2_ZERO ||
         (map.type == VIT_QCOW2_UNALLOCATED && vit_qcow2_backing_is_zero(q, offset, bytes))))
        return 0;
    bool subclusters = q->subclusters > 1 && from < to;
    if (subclusters && ((from == offset && to == end) || !(flags & VIT_BLOCK_NO_FALLBACK))) {
        if (offset < from) result = write_zero_buffer(q, offset, from - offset);
        if (result == 0) {
            result = zero_subclusters(q, from, to - from);
            if (result == -ENOTSUP && !(flags & VIT_BLOCK_NO_FALLBACK))
                result = write_zero_buffer(q, from, to - from);
        }
        if (result == 0 && to < end) result = write_zero_buffer(q, to, end - to);
        return result;
    }
    return flags & VIT_BLOCK_NO_FALLBACK ? -ENOTSUP : write_zero_buffer(q, offset, bytes);
}

/* ---- requests -------------------------------------------------------------------------------- */

int vit_qcow2_co_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    VitQcow2 *q = (VitQcow2 *)node;
    uint64_t mask = q->cluster_size - 1, end = offset + bytes;
    uint64_t from = (offset + mask) & ~mask,
             to = end == node->size ? (end + mask) & ~mask : end & ~mask;
    Change c = { .unmap = flags & VIT_BLOCK_MAY_UNMAP };
    int result = 0;

    if (vit_qcow2_data_file_raw(q))
        result = vit_co_zero(q->data->node, offset, bytes, flags & ~(uint32_t)VIT_BLOCK_FUA);
    if (result < 0) return result;
    q->unsynced = true;
    if (from >= to) {
        uint64_t cut = MIN(from, end); /* a cluster's border may lie within */
        if (cut > offset) result = zero_part(q, offset, cut - offset, flags);
        if (result == 0 && cut < end) result = zero_part(q, cut, end - cut, flags);
    } else {
        if (offset < from) result = zero_part(q, offset, from - offset, flags);
        if (result == 0) result = zero_clusters(q, from, to - from, c);
        if (result == 0 && to < end) result = zero_part(q, to, end - to, flags);
    }
    if (result == 0 && (flags & VIT_BLOCK_FUA)) result = vit_qcow2_flush(q);
    return result;
}

int vit_qcow2_co_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    VitQcow2 *q = (VitQcow2 *)node;
    uint64_t mask = q->cluster_size - 1, end = offset + bytes;
    uint64_t from = (offset + mask) & ~mask,
             to = end == node->size ? (end + mask) & ~mask : end & ~mask;
    Change c = { .discard = true, .unmap = true };

    /* A raw data file has to read the same by itself: what it holds stays. */
    return from < to && !vit_qcow2_data_file_raw(q) ? zero_clusters(q, from, to - from, c) : 0;
}
