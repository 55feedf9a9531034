/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/write.c - writing: in place, or into new clusters together with what surrounds the
 * data
 *
 * A write that changes the mapping holds its guest clusters (q->clusters) from the look at the old
 * mapping to the new one; the lock on all tables only while it looks and changes.  Others may write
 * to other clusters meanwhile. */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct {
    uint64_t offset, end; /* of the data, guest */
    uint64_t start; /* of the first cluster, guest */
    uint64_t clusters;
    uint64_t host; /* of the first cluster */
    bool fresh; /* clusters were allocated */
    bool zeroed; /* they read as zeroes */
    VitQcow2Entry *old; /* owned, of each cluster */
    uint64_t from, to; /* what is written: data and what is copied around it */
} Plan;

static bool in_place(const VitQcow2 *q, VitQcow2Entry e)
{
    if (e.entry & VIT_QCOW2_COMPRESSED_BIT || !(e.entry & VIT_QCOW2_COPIED)) return false;
    return (e.entry & VIT_QCOW2_OFFSET_MASK) || vit_qcow2_has_data_file(q);
}

/* ---- choosing the clusters ------------------------------------------------------------------- */

static int plan_clusters(VitQcow2 *q, Plan *p)
{
    VitQcow2Slice *slice;
    unsigned index, count;
    uint64_t want = vit_qcow2_clusters(q, p->end - p->start), n = 0;
    int result = vit_qcow2_l2_writable(q, p->start, &slice, &index, &count);

    if (result < 0) return result;
    want = MIN(want, count);
    p->old = g_new(VitQcow2Entry, want);
    bool reuse = false;
    for (; n < want; n++) {
        VitQcow2Entry e = vit_qcow2_entry_get(q, slice, index + (unsigned)n);
        if (vit_qcow2_type(q, e, 0) == VIT_QCOW2_INVALID) break;
        bool same = in_place(q, e);
        if (n == 0) reuse = same;
        if (same != reuse) break;
        uint64_t host = e.entry & VIT_QCOW2_OFFSET_MASK;
        if (reuse && n == 0) p->host = host;
        if (reuse && host != p->host + n * q->cluster_size) break;
        if (reuse && !vit_qcow2_host_is_there(q, host)) break;
        p->old[n] = e;
    }
    vit_qcow2_cache_put(slice);
    if (n == 0)
        return vit_qcow2_corrupt(q, "invalid L2 entry (guest offset 0x%" PRIx64 ")", p->start);
    p->clusters = n;
    if (reuse) return 0;
    if (vit_qcow2_has_data_file(q)) {
        p->host = p->start;
        return 0;
    }
    p->fresh = true;
    return vit_qcow2_alloc_some(q, &p->clusters, &p->host, &p->zeroed);
}

/* ---- what else has to be written ------------------------------------------------------------- */

static bool reads_zero(const VitQcow2 *q, VitQcow2Entry e, uint64_t guest, unsigned sub)
{
    VitQcow2Type type = vit_qcow2_type(q, e, sub);

    return type == VIT_QCOW2_ZERO ||
           (type == VIT_QCOW2_UNALLOCATED && vit_qcow2_backing_is_zero(q, guest, 1));
}

/* Whether [from, to) of one cluster need not be written for the new mapping to be right. */
static bool may_skip(const VitQcow2 *q, const Plan *p, VitQcow2Entry e, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to;) {
        unsigned sub = (unsigned)((at & (q->cluster_size - 1)) >> q->subcluster_bits);
        uint64_t next = ((at >> q->subcluster_bits) + 1) << q->subcluster_bits;
        bool stays = !p->fresh && vit_qcow2_type(q, e, sub) == VIT_QCOW2_NORMAL && in_place(q, e);
        if (!stays && !(p->zeroed && reads_zero(q, e, at, sub))) return false;
        at = next;
    }
    return true;
}

/* Of the first or last cluster: the least stretch, in whole subclusters, that has to be written
 * besides the data.  Subclusters that are not stored stay so; those in a cluster that is left are
 * moved. */
static void plan_copies(const VitQcow2 *q, Plan *p)
{
    uint64_t sub_mask = (UINT64_C(1) << q->subcluster_bits) - 1;
    uint64_t end = p->start + p->clusters * q->cluster_size;
    VitQcow2Entry first = p->old[0], last = p->old[p->clusters - 1];
    uint64_t head = p->offset & ~sub_mask, tail = (p->end + sub_mask) & ~sub_mask;

    for (unsigned s = 0; p->fresh && s < q->subclusters; s++) {
        uint64_t at = p->start + ((uint64_t)s << q->subcluster_bits);
        uint64_t back = end - q->cluster_size + ((uint64_t)s << q->subcluster_bits);
        VitQcow2Type a = vit_qcow2_type(q, first, s), b = vit_qcow2_type(q, last, s);
        if (a == VIT_QCOW2_NORMAL || a == VIT_QCOW2_COMPRESSED) head = MIN(head, at);
        if (b == VIT_QCOW2_NORMAL || b == VIT_QCOW2_COMPRESSED)
            tail = MAX(tail, back + sub_mask + 1);
    }
    p->from = head;
    p->to = tail;
}

static int fill(VitQcow2 *q, const Plan *p, uint64_t from, uint64_t to, uint8_t **buf)
{
    struct iovec iov = { g_try_malloc(to - from), to - from };

    if (!(*buf = iov.iov_base)) return -ENOMEM;
    q->stats.copied_bytes += to - from;
    return vit_qcow2_read_range(q, from, to - from, &iov, 1);
}

/* One write of head, data and tail. */
static int write_data(VitQcow2 *q, const Plan *p, const struct iovec *iov, int niov)
{
    g_autofree uint8_t *head = NULL, *tail = NULL;
    g_autofree struct iovec *all = g_new(struct iovec, niov + 2);
    uint64_t from = p->from, to = p->to;
    int n = 0, result = 0;

    if (may_skip(q, p, p->old[0], from, p->offset)) from = p->offset;
    if (may_skip(q, p, p->old[p->clusters - 1], p->end, to)) to = p->end;
    if (from < p->offset || p->end < to) vit_co_event(q->parent.file->node, VIT_EVENT_COW_READ);
    if (from < p->offset) {
        if ((result = fill(q, p, from, p->offset, &head)) < 0) return result;
        all[n++] = (struct iovec){ head, p->offset - from };
    }
    n += vit_iov_slice(iov, niov, 0, p->end - p->offset, all + n);
    if (p->end < to) {
        if ((result = fill(q, p, p->end, to, &tail)) < 0) return result;
        all[n++] = (struct iovec){ tail, to - p->end };
    }
    if (head || tail) vit_co_event(q->parent.file->node, VIT_EVENT_COW_WRITE);
    return vit_qcow2_data_write(q, p->host + (from - p->start), from, to - from, all, n, 0);
}

/* ---- the new mapping ------------------------------------------------------------------------- */

static VitQcow2Entry new_entry(const VitQcow2 *q, const Plan *p, uint64_t i, VitQcow2Entry old)
{
    uint64_t cluster = p->start + i * q->cluster_size;
    VitQcow2Entry e = { .entry = (p->host + i * q->cluster_size) | VIT_QCOW2_COPIED };

    if (q->subclusters == 1) return e;
    uint64_t from = MAX(p->from, cluster) - cluster;
    uint64_t to = MIN(p->to, cluster + q->cluster_size) - cluster;
    unsigned first = (unsigned)(from >> q->subcluster_bits);
    unsigned end = (unsigned)(to >> q->subcluster_bits);
    uint64_t mask = ((UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << first) - 1);
    uint64_t before = old.entry & VIT_QCOW2_COMPRESSED_BIT ? 0 : old.bitmap;
    e.bitmap = (before & ~(mask | mask << 32)) | mask;
    return e;
}

static int link_clusters(VitQcow2 *q, const Plan *p)
{
    VitQcow2Slice *slice;
    unsigned index, count;
    int result = vit_qcow2_l2_writable(q, p->start, &slice, &index, &count);

    if (result < 0) return result;
    for (uint64_t i = 0; i < p->clusters; i++) {
        VitQcow2Entry old = p->old[i], now = new_entry(q, p, i, old);
        vit_qcow2_entry_set(q, slice, index + (unsigned)i, now);
        if (p->fresh) vit_qcow2_free_entry(q, old.entry, VIT_QCOW2_FREE_OTHER);
    }
    vit_qcow2_cache_put(slice);
    return 0;
}

/* Writes as much of [offset, offset + bytes) as becomes one stretch; *done: how much that was. */
static int write_new(VitQcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint64_t *done)
{
    Plan p = { .offset = offset, .start = offset & ~(q->cluster_size - 1), .end = offset + bytes };
    VitBlockRange range;

    vit_block_range_lock(&q->clusters, &range, p.start,
                         vit_qcow2_clusters(q, p.end - p.start) << q->cluster_bits);
    vit_fiber_mutex_lock(&q->meta);
    int result = plan_clusters(q, &p);
    vit_fiber_mutex_unlock(&q->meta);
    if (result == 0) {
        p.end = MIN(p.end, p.start + p.clusters * q->cluster_size);
        plan_copies(q, &p);
        result = write_data(q, &p, iov, niov);
        vit_fiber_mutex_lock(&q->meta);
        if (result == 0) result = link_clusters(q, &p);
        if (result < 0 && p.fresh) vit_qcow2_unalloc(q, p.host, p.clusters << q->cluster_bits);
        vit_fiber_mutex_unlock(&q->meta);
    }
    vit_block_range_unlock(&q->clusters, &range);
    g_free(p.old);
    *done = p.end - offset;
    return result;
}

int vit_qcow2_write_range(VitQcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                          int niov)
{
    g_autofree struct iovec *part = NULL;
    int result = 0;

    for (uint64_t at = 0, step; at < bytes && result == 0; at += step) {
        const struct iovec *now = iov;
        int n = niov;
        VitQcow2Map map;
        if (q->broken) return -EIO;
        if (at > 0) {
            if (!part) part = g_new(struct iovec, niov);
            n = vit_iov_slice(iov, niov, at, bytes - at, part);
            now = part;
        }
        if ((result = vit_qcow2_map(q, offset + at, bytes - at, &map)) < 0) break;
        if (map.type != VIT_QCOW2_NORMAL || !map.copied) {
            result = write_new(q, offset + at, bytes - at, now, n, &step);
            continue;
        }
        if (!vit_qcow2_host_is_there(q, map.host + map.bytes - 1))
            return vit_qcow2_corrupt(q,
                                     "cluster at offset 0x%" PRIx64
                                     " past the end of the file (guest offset 0x%" PRIx64 ")",
                                     map.host, offset + at);
        unsigned epoch = vit_qcow2_io_begin(q);
        g_autofree struct iovec *cut = NULL;
        step = map.bytes;
        if (step < bytes - at) {
            cut = g_new(struct iovec, n);
            n = vit_iov_slice(now, n, 0, step, cut);
            now = cut;
        }
        result = vit_qcow2_data_write(q, map.host, offset + at, step, now, n, 0);
        vit_qcow2_io_end(q, epoch);
    }
    return result;
}

int vit_qcow2_co_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                       int niov, uint32_t flags)
{
    VitQcow2 *q = (VitQcow2 *)node;
    int result;

    q->stats.slow_writes++;
    if (flags & VIT_BLOCK_COMPRESSED)
        result = vit_qcow2_write_compressed(q, offset, bytes, iov, niov);
    else result = vit_qcow2_write_range(q, offset, bytes, iov, niov);
    if (result == 0 && (flags & VIT_BLOCK_FUA)) result = vit_qcow2_flush(q);
    return result;
}

int vit_qcow2_co_flush(VitBlockNode *node)
{
    vit_co_event(node->file->node, VIT_EVENT_FLUSH_TO_OS);
    return vit_qcow2_flush((VitQcow2 *)node);
}
