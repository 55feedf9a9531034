/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bulk.c - references of whole trees of tables: counting them, adding them to the
 * refcounts or taking them off in one pass over the refcount blocks, and the COPIED flags that
 * follow */
#include "block/qcow2/bulk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int vit_qcow2_bulk_begin(VitQcow2 *q)
{
    if (q->broken) return -EIO;
    int result = vit_qcow2_settle(q);

    if (result < 0) return result;
    vit_qcow2_cache_clean(&q->l2, true);
    vit_qcow2_cache_clean(&q->refcounts, true);
    return 0;
}

int vit_qcow2_bulk_end(VitQcow2 *q)
{
    g_autoptr(GError) error = NULL;

    vit_qcow2_cache_clean(&q->l2, true);
    vit_qcow2_cache_clean(&q->refcounts, true);
    if (vit_qcow2_tables_collect(q, &error)) return 0;
    return vit_qcow2_corrupt(q, "%s", error->message);
}

int vit_qcow2_bulk_counts(VitQcow2 *q, VitQcow2Counts *c)
{
    return vit_qcow2_counts_init(c, q->rt_entries << q->rb_bits, q->refcount_bits);
}

/* ---- counting -------------------------------------------------------------------------------- */

typedef struct {
    VitQcow2 *q;
    VitQcow2Counts *counts;
    bool data; /* guest clusters lie in the file too */
} Count;

static int out_of_range(VitQcow2 *q, const char *what, uint64_t offset)
{
    return vit_qcow2_corrupt(q, "%s 0x%" PRIx64 " leads out of the refcount table", what, offset);
}

int vit_qcow2_bulk_count_range(VitQcow2 *q, VitQcow2Counts *c, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> q->cluster_bits, n;

    if (bytes == 0) return 0;
    n = ((offset + bytes - 1) >> q->cluster_bits) - first + 1;
    if (first >= c->clusters || n > c->clusters - first) return out_of_range(q, "offset", offset);
    for (uint64_t i = 0; i < n; i++) vit_qcow2_counts_add(c, first + i);
    return c->full ? -ENOMEM : 0;
}

static int count_table(void *opaque, uint64_t index, uint8_t *table, int error)
{
    const Count *c = opaque;
    VitQcow2 *q = c->q;
    VitQcow2Counts *counts = c->counts;
    uint64_t mask = q->cluster_size - 1;

    if (!table) return error;
    if (!c->data) return 0;
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2_entry_size) {
        uint64_t entry = vit_get64(table + at), offset = entry & VIT_QCOW2_OFFSET_MASK;
        if (entry & VIT_QCOW2_COMPRESSED_BIT) {
            uint64_t bytes;
            vit_qcow2_compressed(q, entry, &offset, &bytes);
            int result = vit_qcow2_bulk_count_range(q, counts, offset, bytes);
            if (result < 0) return result;
            continue;
        }
        if (offset == 0) continue;
        if (offset & mask || offset >> q->cluster_bits >= counts->clusters)
            return out_of_range(q, "L2 entry", entry);
        vit_qcow2_counts_add(counts, offset >> q->cluster_bits);
    }
    return counts->full ? -ENOMEM : 0;
}

int vit_qcow2_bulk_count_tree(VitQcow2 *q, VitQcow2Counts *counts, const uint64_t *l1, uint64_t n)
{
    Count c = { q, counts, !vit_qcow2_has_data_file(q) };

    for (uint64_t i = 0; i < n; i++) {
        uint64_t offset = l1[i] & VIT_QCOW2_OFFSET_MASK;
        if (offset == 0) continue;
        if (offset & (q->cluster_size - 1)) return out_of_range(q, "L1 entry", l1[i]);
        int result = vit_qcow2_bulk_count_range(q, counts, offset, q->cluster_size);
        if (result < 0) return result;
    }
    return vit_qcow2_walk(q, l1, n, VIT_QCOW2_OFFSET_MASK, count_table, &c);
}

/* ---- refcounts ------------------------------------------------------------------------------- */

typedef struct {
    VitQcow2 *q;
    VitQcow2Counts *counts;
    bool add, look; /* look: nothing is changed yet */
    uint64_t freed; /* start of a run of clusters that have become free */
    uint64_t n_freed;
} Apply;

static int pass_discards_on(Apply *a)
{
    VitQcow2 *q = a->q;

    if (a->n_freed && q->discard_snapshot && q->parent.file->node->how.discard)
        (void)vit_co_discard(q->parent.file->node, a->freed << q->cluster_bits,
                             a->n_freed << q->cluster_bits);
    a->n_freed = 0;
    return 0;
}

static int apply_one(Apply *a, uint8_t *block, uint64_t i, uint64_t cluster, uint32_t n)
{
    VitQcow2 *q = a->q;
    uint64_t now = vit_qcow2_refcount_load(q, block, i);

    if (now == 0 || (!a->add && now < n))
        return vit_qcow2_corrupt(q,
                                 "cluster 0x%" PRIx64 " is in use but has refcount "
                                 "%" G_GUINT64_FORMAT,
                                 cluster << q->cluster_bits, now);
    if (a->add && n > q->refcount_max - now) return -ERANGE;
    if (a->look) return 0;
    now = a->add ? now + n : now - n;
    vit_qcow2_refcount_store(q, block, i, now);
    vit_qcow2_counts_set(a->counts, cluster, now == 1);
    if (now == 0) {
        q->free_hint = MIN(q->free_hint, cluster);
        q->byte_hint = 0;
        if (a->n_freed && a->freed + a->n_freed != cluster) pass_discards_on(a);
        if (a->n_freed++ == 0) a->freed = cluster;
    }
    return 1;
}

/* The common width, where nothing is odd. */
static bool apply_fast(Apply *a, uint8_t *block, const uint16_t *counts, uint64_t n)
{
    uint16_t bad = 0;

    if (a->q->refcount_order != 4) return false;
    for (uint64_t i = 0; i < n; i++) {
        uint16_t now;
        memcpy(&now, block + i * 2, 2);
        now = GUINT16_FROM_BE(now);
        bad |= counts[i] && (now == 0 || (a->add ? counts[i] > UINT16_MAX - now : counts[i] > now));
    }
    return !bad && a->look;
}

static int apply_block(void *opaque, uint64_t index, uint8_t *block, int error)
{
    Apply *a = opaque;
    VitQcow2 *q = a->q;
    uint64_t first = index << q->rb_bits, per_block = UINT64_C(1) << q->rb_bits;
    bool changed = false;

    if (!block) return error;
    for (uint64_t i = 0; i < per_block;) {
        uint64_t cluster = first + i, in_piece = cluster & (VIT_QCOW2_PIECE - 1);
        uint64_t n = MIN(per_block - i, VIT_QCOW2_PIECE - in_piece);
        if (cluster >= a->counts->clusters) break;
        const void *piece = a->counts->pieces[cluster >> VIT_QCOW2_PIECE_BITS];
        if (piece && !(a->counts->width == 2 &&
                       apply_fast(a, block + i * 2, (const uint16_t *)piece + in_piece, n))) {
            for (uint64_t k = 0; k < n; k++) {
                uint32_t count = vit_qcow2_counts_get(a->counts, cluster + k);
                if (count == 0) continue;
                int result = apply_one(a, block, i + k, cluster + k, count);
                if (result < 0) return result;
                changed |= result;
            }
        }
        i += n;
    }
    return changed;
}

/* Offsets of the blocks that have something to count, 0 for the others. */
static uint64_t *blocks_concerned(VitQcow2 *q, const VitQcow2Counts *c, int *result)
{
    uint64_t per_block = UINT64_C(1) << q->rb_bits;
    uint64_t *list = g_try_new0(uint64_t, q->rt_entries + 1);

    *result = list ? 0 : -ENOMEM;
    for (uint64_t p = 0; list && p < c->n_pieces; p++) {
        if (!c->pieces[p]) continue;
        uint64_t first = (p << VIT_QCOW2_PIECE_BITS) >> q->rb_bits;
        uint64_t end = (((p + 1) << VIT_QCOW2_PIECE_BITS) + per_block - 1) >> q->rb_bits;
        for (uint64_t b = first; b < MIN(end, q->rt_entries); b++) {
            list[b] = q->rt[b];
            if (list[b]) continue;
            for (uint64_t i = 0; i < per_block && *result == 0; i++) {
                if (vit_qcow2_counts_get(c, (b << q->rb_bits) + i))
                    *result = out_of_range(q, "cluster",
                                           ((b << q->rb_bits) + i) << q->cluster_bits);
            }
        }
    }
    return list;
}

int vit_qcow2_bulk_apply(VitQcow2 *q, VitQcow2Counts *c, bool add)
{
    Apply a = { .q = q, .counts = c, .add = add };
    int result;
    g_autofree uint64_t *blocks = blocks_concerned(q, c, &result);

    for (int pass = 0; pass < 2 && result == 0; pass++) {
        a.look = pass == 0;
        result = vit_qcow2_walk(q, blocks, q->rt_entries, VIT_QCOW2_OFFSET_MASK, apply_block, &a);
    }
    if (result == 0) result = pass_discards_on(&a);
    q->unsynced = true;
    return result;
}

/* ---- flags ----------------------------------------------------------------------------------- */

typedef struct {
    VitQcow2 *q;
    const VitQcow2Counts *ones;
} Flags;

/* The entry with the flag that it is to have. */
static uint64_t flagged(const Flags *f, uint64_t entry, bool data)
{
    uint64_t offset = entry & VIT_QCOW2_OFFSET_MASK;

    if (data && (entry & VIT_QCOW2_COMPRESSED_BIT)) return entry;
    if (!f->ones) return entry & ~VIT_QCOW2_COPIED;
    if (offset && vit_qcow2_counts_get(f->ones, offset >> f->q->cluster_bits))
        return entry | VIT_QCOW2_COPIED;
    return entry;
}

static int flag_table(void *opaque, uint64_t index, uint8_t *table, int error)
{
    const Flags *f = opaque;
    VitQcow2 *q = f->q;
    uint64_t changed = 0;

    if (!table) return error;
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2_entry_size) {
        uint64_t entry = vit_get64(table + at), now = flagged(f, entry, true);
        if (now == entry) continue;
        vit_put64(table + at, now);
        changed = 1;
    }
    return (int)changed;
}

int vit_qcow2_bulk_flags(VitQcow2 *q, uint64_t *l1, uint64_t n, const VitQcow2Counts *ones,
                         bool *changed)
{
    Flags f = { q, ones };

    *changed = false;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t now = flagged(&f, l1[i], false);
        *changed |= now != l1[i];
        l1[i] = now;
    }
    q->unsynced = true;
    /* In a data file nothing is shared, and the flag says that offset 0 is a cluster. */
    if (vit_qcow2_has_data_file(q)) return 0;
    return vit_qcow2_walk(q, l1, n, VIT_QCOW2_OFFSET_MASK, flag_table, &f);
}

/* ---- L1 tables ------------------------------------------------------------------------------- */

int vit_qcow2_bulk_read_l1(VitQcow2 *q, uint64_t offset, uint64_t n, uint64_t *l1)
{
    int result = vit_co_read(q->parent.file->node, offset, l1, n * 8);

    for (uint64_t i = 0; i < n && result == 0; i++) l1[i] = GUINT64_FROM_BE(l1[i]);
    return result;
}

int vit_qcow2_bulk_write_l1(VitQcow2 *q, uint64_t offset, uint64_t n, const uint64_t *l1)
{
    g_autofree uint64_t *buf = g_try_new(uint64_t, n + 1);

    if (!buf) return -ENOMEM;
    for (uint64_t i = 0; i < n; i++) buf[i] = GUINT64_TO_BE(l1[i]);
    return vit_qcow2_write_meta(q, offset, buf, n * 8);
}
