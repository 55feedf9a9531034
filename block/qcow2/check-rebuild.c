/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/check-rebuild.c - a refcount table and blocks anew, behind all that the image uses
 *
 * Nothing is overwritten: the header leads to the new table once that is durable. */
#include "block/qcow2/check.h"

#include <errno.h>
#include <string.h>

/* The old structures are used no more. */
static void release_old(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;

    for (uint64_t i = 0; i < q->rt_entries; i++) {
        uint64_t cluster = c->blocks[i] >> q->cluster_bits;
        if (c->blocks[i] == 0) continue;
        vit_qcow2_counts_set(&c->refs, cluster, vit_qcow2_counts_get(&c->refs, cluster) - 1);
    }
    for (uint64_t i = 0; i < q->rt_clusters; i++) {
        uint64_t cluster = (q->rt_offset >> q->cluster_bits) + i;
        uint32_t refs = vit_qcow2_counts_get(&c->refs, cluster);
        if (refs) vit_qcow2_counts_set(&c->refs, cluster, refs - 1);
    }
}

static bool has_references(const VitQcow2Check *c, uint64_t block)
{
    uint64_t first = block << c->q->rb_bits, end = first + (UINT64_C(1) << c->q->rb_bits);

    for (uint64_t i = first; i < MIN(end, c->refs.clusters);) {
        if (!c->refs.pieces[i >> VIT_QCOW2_PIECE_BITS])
            i = ((i >> VIT_QCOW2_PIECE_BITS) + 1) << VIT_QCOW2_PIECE_BITS;
        else if (vit_qcow2_counts_get(&c->refs, i)) return true;
        else i++;
    }
    return false;
}

/* The first cluster that nothing refers to from there on. */
static uint64_t end_of_references(const VitQcow2Check *c)
{
    for (uint64_t p = c->refs.n_pieces; p > 0; p--) {
        if (!c->refs.pieces[p - 1]) continue;
        for (uint64_t i = p << VIT_QCOW2_PIECE_BITS; i > (p - 1) << VIT_QCOW2_PIECE_BITS; i--) {
            if (vit_qcow2_counts_get(&c->refs, i - 1)) return i;
        }
    }
    return 0;
}

typedef struct {
    uint64_t start, table_clusters, n_blocks; /* clusters */
    uint64_t entries; /* of the table */
    uint64_t *table; /* owned: host order */
} Plan;

/* Where all goes: the table at `start`, the blocks behind it, and which blocks there are. */
static int plan(VitQcow2Check *c, Plan *p)
{
    VitQcow2 *q = c->q;
    uint64_t per_block = UINT64_C(1) << q->rb_bits, used = 0;
    uint64_t most = (c->refs.clusters >> q->rb_bits) + 1;

    p->start = MAX(c->file_clusters, end_of_references(c));
    for (uint64_t b = 0; b < most; b++) used += has_references(c, b);
    for (uint64_t before = 0, extra = 0;;) {
        p->n_blocks = used + extra;
        uint64_t end = p->start + p->table_clusters + p->n_blocks;
        p->entries = (end + per_block - 1) >> q->rb_bits;
        p->table_clusters = (p->entries * 8 + q->cluster_size - 1) >> q->cluster_bits;
        end = p->start + p->table_clusters + p->n_blocks;
        /* blocks for the new clusters, as if none of those were there already */
        extra = ((end - 1) >> q->rb_bits) - (p->start >> q->rb_bits) + 1;
        if (p->table_clusters << q->cluster_bits > VIT_QCOW2_MAX_RT_BYTES) return -EFBIG;
        if (end == before) break;
        before = end;
    }
    p->entries = (p->table_clusters << q->cluster_bits) / 8;
    p->table = g_try_new0(uint64_t, p->entries);
    if (!p->table) return -ENOMEM;
    uint64_t next = p->start + p->table_clusters, end = next + p->n_blocks;
    for (uint64_t b = 0; b < p->entries && b <= (end - 1) >> q->rb_bits; b++) {
        bool own = b >= p->start >> q->rb_bits;
        if (!own && !has_references(c, b)) continue;
        if (next == end) return -EIO; /* the plan has counted too few */
        p->table[b] = next++ << q->cluster_bits;
    }
    p->n_blocks = next - p->start - p->table_clusters;
    return 0;
}

static uint32_t count_of(const VitQcow2Check *c, const Plan *p, uint64_t cluster)
{
    bool own = cluster >= p->start && cluster < p->start + p->table_clusters + p->n_blocks;

    return vit_qcow2_counts_get(&c->refs, cluster) + own;
}

static int write_blocks(VitQcow2Check *c, const Plan *p)
{
    VitQcow2 *q = c->q;
    g_autofree uint8_t *block = g_try_malloc(q->cluster_size);
    int result = block ? 0 : -ENOMEM;

    for (uint64_t b = 0; b < p->entries && result == 0; b++) {
        if (p->table[b] == 0) continue;
        memset(block, 0, q->cluster_size);
        for (uint64_t i = 0; i < UINT64_C(1) << q->rb_bits; i++) {
            uint32_t n = count_of(c, p, (b << q->rb_bits) + i);
            if (n > q->refcount_max) {
                vit_block_check_say(c->result,
                                    "ERROR: a cluster has %u references, refcounts of %u bits "
                                    "cannot say that",
                                    n, q->refcount_bits);
                return -ERANGE;
            }
            if (n) vit_qcow2_refcount_store(q, block, i, n);
        }
        result = vit_qcow2_write_meta(q, p->table[b], block, q->cluster_size);
    }
    return result;
}

static int write_header(VitQcow2 *q, uint64_t rt_offset, uint64_t rt_clusters)
{
    uint64_t old_offset = q->rt_offset;
    uint32_t old_clusters = q->rt_clusters;

    q->rt_offset = rt_offset;
    q->rt_clusters = (uint32_t)rt_clusters;
    int result = vit_qcow2_write_header(q);
    if (result < 0) {
        q->rt_offset = old_offset;
        q->rt_clusters = old_clusters;
    }
    return result;
}

static int install(VitQcow2Check *c, Plan *p)
{
    VitQcow2 *q = c->q;
    uint64_t offset = p->start << q->cluster_bits;
    uint8_t field[12];
    int result = vit_qcow2_bulk_write_l1(q, offset, p->entries, p->table);

    if (result == 0) result = vit_qcow2_sync_files(q);
    vit_put64(field, offset);
    vit_put32(field + 8, (uint32_t)p->table_clusters);
    if (result == 0 && c->whole_header) result = write_header(q, offset, p->table_clusters);
    else if (result == 0)
        result = vit_qcow2_write_field(q, VIT_QCOW2_H_RT_OFFSET, field, sizeof field);
    if (result < 0) return result;
    g_free(q->rt);
    g_free(q->rt_dirty);
    q->rt = g_steal_pointer(&p->table);
    q->rt_entries = p->entries;
    q->rt_dirty = g_new0(uint64_t, p->entries / 64 / 64 + 1);
    q->rt_is_dirty = false;
    q->rt_offset = offset;
    q->rt_clusters = (uint32_t)p->table_clusters;
    return 0;
}

int vit_qcow2_check_rebuild(VitQcow2Check *c)
{
    Plan p = { 0 };

    release_old(c);
    int result = plan(c, &p);
    if (result == 0) result = write_blocks(c, &p);
    uint64_t end = p.start + p.table_clusters + p.n_blocks;
    if (result == 0) result = install(c, &p);
    g_free(p.table);
    if (result < 0) return result;
    c->counts_changed = true;
    c->result->corruptions_fixed += c->refcount_errors;
    c->result->leaks_fixed = c->result->leaks;
    c->result->image_end_offset = end << c->q->cluster_bits;
    return 0;
}
