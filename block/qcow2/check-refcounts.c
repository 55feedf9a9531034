/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/check-refcounts.c - the refcounts of the file against the references that were found
 */
#include "block/qcow2/check.h"

#include <errno.h>
#include <string.h>

/* ---- what the file says ---------------------------------------------------------------------- */

static int load_block(void *opaque, uint64_t index, uint8_t *block, int error)
{
    VitQcow2Check *c = opaque;
    VitQcow2 *q = c->q;
    uint64_t first = index << q->rb_bits, per_block = UINT64_C(1) << q->rb_bits;
    uint64_t n = first < c->stored.clusters ? MIN(per_block, c->stored.clusters - first) : 0;

    if (!block) {
        vit_block_check_say(c->result, "Can't read refcount block %" G_GUINT64_FORMAT ": %s", index,
                            g_strerror(-error));
        c->result->check_errors++;
        return 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t count = vit_qcow2_refcount_load(q, block, i);
        if (count) vit_qcow2_counts_set(&c->stored, first + i, (uint32_t)MIN(count, 255));
    }
    return c->stored.full ? -ENOMEM : 0;
}

int vit_qcow2_check_load_counts(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;

    c->blocks = g_try_new0(uint64_t, q->rt_entries + 1);
    if (!c->blocks) return -ENOMEM;
    for (uint64_t i = 0; i < q->rt_entries; i++) {
        bool good = (q->rt[i] & (q->cluster_size - 1)) == 0 &&
                    q->rt[i] >> q->cluster_bits < c->file_clusters;
        c->blocks[i] = good ? q->rt[i] : 0;
    }
    return vit_qcow2_walk(q, c->blocks, q->rt_entries, UINT64_MAX, load_block, c);
}

void vit_qcow2_check_use_blocks(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;

    for (uint64_t i = 0; i < q->rt_entries; i++) {
        if (q->rt[i] == 0) continue;
        const char *what = q->rt[i] & (q->cluster_size - 1)
                               ? "is not cluster aligned; refcount table entry corrupted"
                               : "is outside image";
        if (c->blocks[i] == 0) {
            vit_block_check_say(c->result, "ERROR refcount block %" G_GUINT64_FORMAT " %s", i,
                                what);
            c->result->corruptions++;
            c->refcount_errors++;
            c->rebuild = true;
            continue;
        }
        vit_qcow2_check_use(c, c->blocks[i], q->cluster_size);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct {
    VitQcow2Check *check;
    uint64_t last; /* cluster: the highest in use, plus 1 */
    uint64_t next; /* cluster that no block before this one tells of */
    bool repair;
} Compare;

static void differ(Compare *p, uint64_t cluster, uint64_t stored, uint32_t refs, bool fixed)
{
    VitQcow2Check *c = p->check;
    bool leak = stored > refs;

    vit_block_check_say(
        c->result, "%s cluster %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT " reference=%u",
        fixed  ? "Repairing"
        : leak ? "Leaked"
               : "ERROR",
        cluster, stored, refs);
    if (fixed && leak) c->result->leaks_fixed++;
    else if (fixed) c->result->corruptions_fixed++;
    else if (p->repair) return; /* counted the first time */
    else if (leak) c->result->leaks++;
    else c->result->corruptions++, c->refcount_errors++;
}

/* References to clusters [first, end) of which no refcount block tells. */
static void compare_none(Compare *p, uint64_t first, uint64_t end)
{
    VitQcow2Check *c = p->check;

    end = MIN(end, c->refs.clusters);
    for (uint64_t i = first; i < end;) {
        if (!c->refs.pieces[i >> VIT_QCOW2_PIECE_BITS]) {
            i = ((i >> VIT_QCOW2_PIECE_BITS) + 1) << VIT_QCOW2_PIECE_BITS;
            continue;
        }
        uint32_t refs = vit_qcow2_counts_get(&c->refs, i);
        if (refs) {
            differ(p, i, 0, refs, false);
            p->last = i + 1;
            c->rebuild = true;
        }
        i++;
    }
}

/* Whether counts of the usual width are equal from i on, and how far (in steps). */
static uint64_t equal(const VitQcow2Check *c, const uint8_t *block, uint64_t i, uint64_t cluster,
                      uint64_t n, bool *used)
{
    const uint16_t *refs = c->refs.pieces[cluster >> VIT_QCOW2_PIECE_BITS];
    unsigned in_piece = cluster & (VIT_QCOW2_PIECE - 1);
    uint64_t len = MIN(n - i, VIT_QCOW2_PIECE - in_piece);
    uint16_t differs = 0, any = 0;

    if (c->q->refcount_order != 4 || !refs) return 0;
    for (uint64_t k = 0; k < len; k++) {
        uint16_t v;
        memcpy(&v, block + (i + k) * 2, 2);
        differs |= (uint16_t)(GUINT16_FROM_BE(v) ^ refs[in_piece + k]);
        any |= v;
    }
    *used = any != 0;
    return differs ? 0 : len;
}

static int compare_block(void *opaque, uint64_t index, uint8_t *block, int error)
{
    Compare *p = opaque;
    VitQcow2Check *c = p->check;
    VitQcow2 *q = c->q;
    uint64_t first = index << q->rb_bits, per_block = UINT64_C(1) << q->rb_bits;
    bool changed = false;

    if (!block) return error;
    compare_none(p, p->next, first);
    p->next = first + per_block;
    for (uint64_t i = 0, step; i < per_block; i += step) {
        uint64_t cluster = first + i;
        bool used;
        step = cluster < c->refs.clusters && (cluster & 63) == 0
                   ? equal(c, block, i, cluster, per_block, &used)
                   : 0;
        if (step) {
            for (uint64_t k = step; used && k > 0; k--) {
                if (!vit_qcow2_refcount_load(q, block, i + k - 1)) continue;
                p->last = cluster + k;
                break;
            }
            continue;
        }
        step = 1;
        uint64_t stored = vit_qcow2_refcount_load(q, block, i);
        uint32_t refs = vit_qcow2_counts_get(&c->refs, cluster);
        if (stored || refs) p->last = cluster + 1;
        if (stored == refs) continue;
        bool fix = p->repair && (c->fix & (stored > refs ? VIT_FIX_LEAKS : VIT_FIX_ERRORS));
        if (fix && refs > q->refcount_max) fix = false;
        differ(p, cluster, stored, refs, fix);
        if (!fix) continue;
        vit_qcow2_refcount_store(q, block, i, refs);
        changed = c->counts_changed = true;
    }
    return changed;
}

/* A block that something else lies in as well cannot be repaired where it is. */
static void look_at_blocks(VitQcow2Check *c)
{
    for (uint64_t i = 0; i < c->q->rt_entries; i++) {
        if (c->blocks[i] == 0) continue;
        uint32_t refs = vit_qcow2_counts_get(&c->refs, c->blocks[i] >> c->q->cluster_bits);
        if (refs == 1) continue;
        vit_block_check_say(c->result, "ERROR refcount block %" G_GUINT64_FORMAT " refcount=%u", i,
                            refs);
        c->result->corruptions++;
        c->refcount_errors++;
        c->rebuild = true;
    }
}

int vit_qcow2_check_compare(VitQcow2Check *c, bool repair)
{
    VitQcow2 *q = c->q;
    Compare p = { .check = c, .repair = repair };

    if (!repair) look_at_blocks(c);
    int result = vit_qcow2_walk(q, c->blocks, q->rt_entries, UINT64_MAX, compare_block, &p);
    if (result == 0) compare_none(&p, p.next, c->refs.clusters);
    c->result->image_end_offset = p.last << q->cluster_bits;
    return result;
}
