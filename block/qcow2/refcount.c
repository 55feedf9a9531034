/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/refcount.c - which host clusters are in use ("Host cluster management"): counting,
 * finding free ones, giving them back when nothing on disk refers to them any more
 *
 * All functions: the lock `meta` is held. */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PENDING_MOST = 64 << 20 };

/* ---- one refcount ---------------------------------------------------------------------------- */

uint64_t vit_qcow2_refcount_load(const VitQcow2 *q, const uint8_t *block, uint64_t i)
{
    switch (q->refcount_order) {
    case 4: return (uint64_t)block[i * 2] << 8 | block[i * 2 + 1];
    case 3: return block[i];
    case 5: return vit_get32(block + i * 4);
    case 6: return vit_get64(block + i * 8);
    default: {
        unsigned shift = (unsigned)(i << q->refcount_order) & 7;
        return (block[(i << q->refcount_order) >> 3] >> shift) & ((1u << q->refcount_bits) - 1);
    }
    }
}

void vit_qcow2_refcount_store(const VitQcow2 *q, uint8_t *block, uint64_t i, uint64_t count)
{
    switch (q->refcount_order) {
    case 4:
        block[i * 2] = (uint8_t)(count >> 8);
        block[i * 2 + 1] = (uint8_t)count;
        return;
    case 3: block[i] = (uint8_t)count; return;
    case 5: vit_put32(block + i * 4, (uint32_t)count); return;
    case 6: vit_put64(block + i * 8, count); return;
    default: {
        unsigned shift = (unsigned)(i << q->refcount_order) & 7;
        uint8_t mask = (uint8_t)(((1u << q->refcount_bits) - 1) << shift);
        uint8_t *p = &block[(i << q->refcount_order) >> 3];
        *p = (uint8_t)((*p & ~mask) | (count << shift));
    }
    }
}

typedef struct {
    VitQcow2Slice *slice; /* pinned; NULL: there is no block, all counts are 0 */
    uint64_t first; /* cluster index of its first count */
    uint64_t count; /* of clusters it tells of */
} View;

static void view_close(View *v)
{
    if (v->slice) vit_qcow2_cache_put(v->slice);
    v->slice = NULL;
    v->count = 0;
}

/* The slice with the count of cluster `index`; a view that holds it already is kept. */
static int view_open(VitQcow2 *q, View *v, uint64_t index)
{
    uint64_t block = index >> q->rb_bits, per_block = UINT64_C(1) << q->rb_bits;

    if (v->count && index - v->first < v->count) return 0;
    view_close(v);
    if (block >= q->rt_entries || q->rt[block] == 0) {
        v->first = block << q->rb_bits;
        v->count = per_block;
        return 0;
    }
    uint64_t at = q->rt[block];
    bool there = at < q->parent.file->node->size;
    /* A new one may be in memory only. */
    if ((at & (q->cluster_size - 1)) || (!there && !vit_qcow2_cache_peek(&q->refcounts, at)))
        return vit_qcow2_corrupt(q,
                                 "Refblock offset 0x%" PRIx64
                                 " unaligned or past the end of the file (reftable index: "
                                 "0x%" PRIx64 ")",
                                 at, block);
    uint64_t per_slice = ((uint64_t)q->refcounts.slice_size << 3) >> q->refcount_order;
    uint64_t part = (index & (per_block - 1)) / per_slice;
    int result = vit_qcow2_cache_get(q, &q->refcounts, at + part * q->refcounts.slice_size,
                                     &v->slice);
    if (result < 0) return result;
    v->first = (block << q->rb_bits) + part * per_slice;
    v->count = per_slice;
    return 0;
}

static uint64_t view_get(const VitQcow2 *q, const View *v, uint64_t index)
{
    return v->slice ? vit_qcow2_refcount_load(q, v->slice->table, index - v->first) : 0;
}

static void view_set(VitQcow2 *q, const View *v, uint64_t index, uint64_t count)
{
    uint64_t i = index - v->first;
    unsigned at = (unsigned)((i << q->refcount_order) >> 3);

    vit_qcow2_refcount_store(q, v->slice->table, i, count);
    vit_qcow2_cache_dirty(&q->refcounts, v->slice, at, MAX(q->refcount_bits / 8, 1));
}

int vit_qcow2_refcount_get(VitQcow2 *q, uint64_t offset, uint64_t *count)
{
    View v = { 0 };
    uint64_t index = offset >> q->cluster_bits;
    int result = view_open(q, &v, index);

    if (result < 0) return result;
    *count = view_get(q, &v, index);
    view_close(&v);
    return 0;
}

int vit_qcow2_refcount_add(VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> q->cluster_bits, end = vit_qcow2_clusters(q, offset + bytes);
    View v = { 0 };
    int result = 0;

    for (int pass = 0; pass < 2 && result == 0; pass++) {
        for (uint64_t i = first; i < end && result == 0; i++) {
            if ((result = view_open(q, &v, i)) < 0) break;
            uint64_t count = view_get(q, &v, i);
            if (!v.slice || count == 0)
                result = vit_qcow2_corrupt(q, "cluster 0x%" PRIx64 " is in use but has refcount 0",
                                           i << q->cluster_bits);
            else if (count >= q->refcount_max) result = -ERANGE;
            else if (pass == 1) view_set(q, &v, i, count + 1);
        }
    }
    view_close(&v);
    return result;
}

/* ---- the refcount table ---------------------------------------------------------------------- */

static void rt_set(VitQcow2 *q, uint64_t block, uint64_t offset)
{
    q->rt[block] = offset;
    q->rt_dirty[block / 64 / 64] |= UINT64_C(1) << (block / 64 % 64);
    q->rt_is_dirty = true;
}

/* An all-zero table of one cluster on disk, where the cache has only pieces of it. */
static int zero_table(VitQcow2 *q, VitQcow2Cache *c, uint64_t offset)
{
    g_autofree uint8_t *zeroes = NULL;

    if (c->slice_size == q->cluster_size) return 0;
    vit_qcow2_cache_forget(c, offset, q->cluster_size);
    if (!(zeroes = g_try_malloc0(q->cluster_size))) return -ENOMEM;
    int result = vit_qcow2_write_meta(q, offset, zeroes, q->cluster_size);
    vit_qcow2_cache_forget(c, offset, q->cluster_size);
    return result;
}

/* A table with room for `block`, past all that the old one covers; the header then leads to it. */
static int grow_rt(VitQcow2 *q, uint64_t block)
{
    uint64_t first = q->rt_entries << q->rb_bits; /* cluster index: the first not covered */
    uint64_t per_cluster = q->cluster_size / 8;
    uint64_t want = MAX(block + 1, q->rt_entries + q->rt_entries / 2 + 1);
    uint64_t table = 0, blocks = 0;

    vit_co_event(q->parent.file->node, VIT_EVENT_REFTABLE_GROW);
    for (uint64_t again = 1; again;) {
        again = 0;
        uint64_t t = (want + per_cluster - 1) / per_cluster;
        uint64_t last = (first + t + blocks) >> q->rb_bits;
        uint64_t b = last - (first >> q->rb_bits) + 1;
        if (t != table || b != blocks || want < last + 1) {
            table = t;
            blocks = b;
            want = MAX(want, last + 1);
            again = 1;
        }
        if (t * q->cluster_size > VIT_QCOW2_MAX_RT_BYTES) return -EFBIG;
    }
    uint64_t entries = table * per_cluster, total = table + blocks;
    if ((first + total) << q->cluster_bits > VIT_QCOW2_OFFSET_MASK) return -EFBIG;
    int result = vit_qcow2_write_fresh_blocks(q);
    if (result < 0) return result;

    g_autofree uint64_t *rt = g_try_new0(uint64_t, entries);
    g_autofree uint8_t *buf = g_try_malloc0(total << q->cluster_bits);
    if (!rt || !buf) return -ENOMEM;
    memcpy(rt, q->rt, q->rt_entries * 8);
    for (uint64_t b = 0; b < blocks; b++)
        rt[(first >> q->rb_bits) + b] = (first + table + b) << q->cluster_bits;
    for (uint64_t i = 0; i < entries; i++) vit_put64(buf + i * 8, rt[i]);
    for (uint64_t i = 0; i < total; i++) /* first is where a block begins */
        vit_qcow2_refcount_store(q, buf + ((table + (i >> q->rb_bits)) << q->cluster_bits),
                                 i & ((UINT64_C(1) << q->rb_bits) - 1), 1);
    uint64_t offset = first << q->cluster_bits;
    vit_co_event(q->parent.file->node, VIT_EVENT_REFBLOCK_ALLOC_WRITE_TABLE);
    vit_qcow2_cache_forget(&q->refcounts, offset, total << q->cluster_bits);
    result = vit_qcow2_write_meta(q, offset, buf, total << q->cluster_bits);
    if (result == 0) result = vit_qcow2_sync_files(q);
    uint8_t field[12];
    vit_put64(field, offset);
    vit_put32(field + 8, (uint32_t)table);
    vit_co_event(q->parent.file->node, VIT_EVENT_REFBLOCK_ALLOC_SWITCH_TABLE);
    if (result == 0) result = vit_qcow2_write_field(q, VIT_QCOW2_H_RT_OFFSET, field, sizeof field);
    if (result < 0) return result;

    uint64_t old = q->rt_offset, old_bytes = (uint64_t)q->rt_clusters << q->cluster_bits;
    g_free(q->rt);
    g_free(q->rt_dirty);
    q->rt = g_steal_pointer(&rt);
    q->rt_entries = entries;
    q->rt_dirty = g_new0(uint64_t, entries / 64 / 64 + 1);
    q->rt_is_dirty = false;
    q->rt_offset = offset;
    q->rt_clusters = (uint32_t)table;
    for (uint64_t b = 0; b < blocks; b++)
        vit_qcow2_tables_add(q, (first + table + b) << q->cluster_bits);
    vit_qcow2_free(q, old, old_bytes, VIT_QCOW2_FREE_OTHER);
    return 0;
}

/* ---- finding free clusters ------------------------------------------------------------------- */

typedef struct {
    uint64_t first, clusters; /* the run, without room for refcount blocks */
    uint64_t missing; /* blocks to be made, in the clusters behind */
} Run;

/* A run of `want` free clusters (fewer, but at least 1, with some) and, behind it, one for each
 * refcount block that it lacks.  at: only there. */
static int find_run(VitQcow2 *q, uint64_t from, uint64_t want, bool some, bool at, Run *run)
{
    uint64_t limit = VIT_QCOW2_OFFSET_MASK >> q->cluster_bits;
    uint64_t last_missing = UINT64_MAX;
    View v = { 0 };
    int result;

    *run = (Run){ .first = from };
    for (uint64_t i = from, length = 0;; i++) {
        if (i > limit) {
            view_close(&v);
            return -EFBIG;
        }
        if ((result = view_open(q, &v, i)) < 0) return result;
        bool used = view_get(q, &v, i) != 0;
        if (used && length > run->missing && (some || at)) {
            run->clusters = length - run->missing;
            break;
        }
        if (used && at) break;
        if (used) {
            length = run->missing = 0;
            run->first = i + 1;
            last_missing = UINT64_MAX;
            continue;
        }
        length++;
        if (!v.slice && (i >> q->rb_bits) != last_missing) {
            last_missing = i >> q->rb_bits;
            run->missing++;
        }
        if (length >= want + run->missing) {
            run->clusters = want;
            break;
        }
    }
    view_close(&v);
    return 0;
}

/* Counts a run as used; run->missing becomes the number of blocks that were made. */
static int take_run(VitQcow2 *q, Run *run)
{
    uint64_t made = 0, behind = run->first + run->clusters;
    View v = { 0 };
    int result = 0;

    for (uint64_t b = run->first >> q->rb_bits; b <= (behind + made - 1) >> q->rb_bits; b++) {
        if (q->rt[b]) continue;
        uint64_t offset = (behind + made++) << q->cluster_bits;
        vit_co_event(q->parent.file->node, VIT_EVENT_REFBLOCK_ALLOC);
        if ((result = zero_table(q, &q->refcounts, offset)) < 0) return result;
        VitQcow2Slice *s = vit_qcow2_cache_new(&q->refcounts, offset, true);
        if (!s) return -ENOMEM;
        vit_qcow2_cache_put(s);
        rt_set(q, b, offset);
        q->fresh_blocks = true;
        vit_qcow2_tables_add(q, offset);
    }
    g_assert(made <= run->missing);
    run->missing = made;
    for (uint64_t i = run->first; i < behind + made; i++) {
        if ((result = view_open(q, &v, i)) < 0) break;
        view_set(q, &v, i, 1);
    }
    view_close(&v);
    return result;
}

static int alloc(VitQcow2 *q, uint64_t from, uint64_t want, bool some, bool at, Run *run)
{
    int result;

    vit_co_event(q->parent.file->node, VIT_EVENT_CLUSTER_ALLOC);
    if (q->broken) return -EIO;
    if (!at && q->pending_bytes > PENDING_MOST && (result = vit_qcow2_sync(q)) < 0) return result;
    if (q->refcounts.n_dirty > q->refcounts.max && (result = vit_qcow2_write_back(q)) < 0)
        return result;
    for (;;) {
        if ((result = find_run(q, from, want, some, at, run)) < 0) return result;
        if (run->clusters == 0) return 0;
        uint64_t last = (run->first + run->clusters + run->missing - 1) >> q->rb_bits;
        if (last < q->rt_entries) break;
        if ((result = grow_rt(q, last)) < 0) return result;
    }
    /* A wrong refcount must not hand out what holds tables. */
    for (uint64_t i = 0; i < run->clusters + run->missing; i++) {
        if (vit_qcow2_overlaps(q, (run->first + i) << q->cluster_bits, q->cluster_size, true))
            return vit_qcow2_corrupt(q,
                                     "Preventing invalid allocation of a cluster that holds "
                                     "metadata, at offset 0x%" PRIx64,
                                     (run->first + i) << q->cluster_bits);
    }
    result = take_run(q, run);
    /* Unless a gap was too small, all before what was found is in use. */
    if (result == 0 && (run->first == q->free_hint || (!at && (some || want == 1))))
        q->free_hint = run->first + run->clusters + run->missing;
    q->stats.allocations++;
    return result;
}

int vit_qcow2_alloc(VitQcow2 *q, uint64_t clusters, uint64_t *offset)
{
    Run run;
    int result = alloc(q, q->free_hint, clusters, false, false, &run);

    *offset = run.first << q->cluster_bits;
    return result;
}

int vit_qcow2_alloc_some(VitQcow2 *q, uint64_t *clusters, uint64_t *offset, bool *zeroed)
{
    Run run;
    uint64_t size = q->parent.file->node->size;
    int result = alloc(q, q->free_hint, *clusters, true, false, &run);

    *offset = run.first << q->cluster_bits;
    *clusters = run.clusters;
    /* Past its end a file has never been written, and reads as zeroes when it grows. */
    *zeroed = q->file_grows_zeroed && *offset >= size;
    return result;
}

int vit_qcow2_alloc_at(VitQcow2 *q, uint64_t offset, uint64_t *clusters)
{
    Run run;
    int result = alloc(q, offset >> q->cluster_bits, *clusters, true, true, &run);

    *clusters = result == 0 ? run.clusters : 0;
    return result;
}

int vit_qcow2_alloc_bytes(VitQcow2 *q, uint64_t bytes, uint64_t *offset)
{
    uint64_t mask = q->cluster_size - 1, at, count, n;
    int result;

    vit_co_event(q->parent.file->node, VIT_EVENT_CLUSTER_ALLOC_BYTES);
    at = q->byte_hint;
    if (at & mask) { /* behind the one before, if its last cluster can take another reference */
        uint64_t rest = q->cluster_size - (at & mask);
        result = vit_qcow2_refcount_get(q, at, &count);
        if (result < 0) return result;
        bool good = count > 0 && count < q->refcount_max;
        if (good && bytes > rest) {
            uint64_t next = (at & ~mask) + q->cluster_size;
            uint64_t wanted = n = vit_qcow2_clusters(q, bytes - rest);
            if ((result = vit_qcow2_alloc_at(q, next, &n)) < 0) return result;
            if (n > 0 && n < wanted) vit_qcow2_unalloc(q, next, n << q->cluster_bits);
            good = n == wanted;
        }
        if (good) {
            if ((result = vit_qcow2_refcount_add(q, at, 1)) < 0) return result;
            *offset = at;
            q->byte_hint = at + bytes;
            return 0;
        }
    }
    result = vit_qcow2_alloc(q, vit_qcow2_clusters(q, bytes), offset);
    if (result == 0) q->byte_hint = *offset + bytes;
    return result;
}

/* ---- giving back ----------------------------------------------------------------------------- */

void vit_qcow2_free(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Free why)
{
    uint64_t mask = q->cluster_size - 1, end = (offset + bytes + mask) & ~mask;
    bool discard = why == VIT_QCOW2_FREE_REQUEST    ? q->discard_request
                   : why == VIT_QCOW2_FREE_SNAPSHOT ? q->discard_snapshot
                                                    : q->discard_other;

    offset &= ~mask;
    if (offset == end) return;
    q->pending_bytes += end - offset;
    VitQcow2Pending *last = q->pending->len
                                ? &g_array_index(q->pending, VitQcow2Pending, q->pending->len - 1)
                                : NULL;
    if (last && last->offset + last->bytes == offset && last->discard == discard) {
        last->bytes += end - offset;
        return;
    }
    VitQcow2Pending p = { offset, end - offset, discard };
    g_array_append_val(q->pending, p);
}

void vit_qcow2_free_entry(VitQcow2 *q, uint64_t entry, VitQcow2Free why)
{
    uint64_t offset, bytes;

    if (entry & VIT_QCOW2_COMPRESSED_BIT) {
        vit_qcow2_compressed(q, entry, &offset, &bytes);
        vit_qcow2_free(q, offset, bytes, why);
    } else if (!vit_qcow2_has_data_file(q) && (entry & VIT_QCOW2_OFFSET_MASK)) {
        vit_qcow2_free(q, entry & VIT_QCOW2_OFFSET_MASK, q->cluster_size, why);
    }
}

static int drop_references(VitQcow2 *q, const VitQcow2Pending *p)
{
    uint64_t end = (p->offset + p->bytes) >> q->cluster_bits, hole = 0, hole_bytes = 0;
    View v = { 0 };
    int result = 0;

    vit_co_event(q->parent.file->node, VIT_EVENT_CLUSTER_FREE);
    for (uint64_t i = p->offset >> q->cluster_bits; i < end; i++) {
        if ((result = view_open(q, &v, i)) < 0) break;
        uint64_t count = view_get(q, &v, i), offset = i << q->cluster_bits;
        if (count == 0) {
            result = vit_qcow2_corrupt(
                q, "cluster 0x%" PRIx64 " is freed more often than it is in use", offset);
            break;
        }
        view_set(q, &v, i, count - 1);
        if (count > 1) continue;
        if (i < q->free_hint) q->free_hint = i;
        if (q->byte_hint >> q->cluster_bits == i) q->byte_hint = 0;
        vit_qcow2_cache_forget(&q->l2, offset, q->cluster_size);
        vit_qcow2_tables_remove(q, offset);
        if (!p->discard) continue;
        if (hole_bytes && hole + hole_bytes != offset) {
            (void)vit_co_discard(q->parent.file->node, hole, hole_bytes); /* a hint */
            hole_bytes = 0;
        }
        if (hole_bytes == 0) hole = offset;
        hole_bytes += q->cluster_size;
    }
    view_close(&v);
    if (hole_bytes) (void)vit_co_discard(q->parent.file->node, hole, hole_bytes);
    return result;
}

int vit_qcow2_apply_frees(VitQcow2 *q, GArray *pending)
{
    unsigned old = q->epoch;
    int result = 0;

    /* Requests that looked at the tables before they changed. */
    while (q->in_epoch[old ^ 1] > 0) vit_fiber_cond_wait(&q->epoch_over, NULL);
    q->epoch = old ^ 1;
    while (q->in_epoch[old] > 0) vit_fiber_cond_wait(&q->epoch_over, NULL);
    for (guint i = 0; i < pending->len && result == 0; i++)
        result = drop_references(q, &g_array_index(pending, VitQcow2Pending, i));
    return result;
}

void vit_qcow2_unalloc(VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    VitQcow2Pending p = { offset, bytes, false };

    (void)drop_references(q, &p); /* a failure leaks them */
}
