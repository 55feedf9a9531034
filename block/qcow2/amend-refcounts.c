/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/amend-refcounts.c - refcounts of another width: new refcount structures, beside the
 * old ones until the header leads to them */
#include "block/qcow2/amend.h"
#include "block/qcow2/check.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>

typedef struct {
    VitQcow2Check check; /* for vit_qcow2_check_rebuild() */
    VitBlockCheck result;
    uint64_t most; /* that the new refcounts can hold */
    uint64_t too_high, count; /* a cluster's offset and refcount; count 0: none */
    VitBlockProgress progress; /* may be NULL */
    void *opaque;
} Widen;

static int load_block(void *opaque, uint64_t index, uint8_t *block, int error)
{
    Widen *w = opaque;
    VitQcow2 *q = w->check.q;
    uint64_t first = index << q->rb_bits;

    if (!block) return error;
    if (w->progress) w->progress(w->opaque, index, q->rt_entries);
    for (uint64_t i = 0; i < UINT64_C(1) << q->rb_bits; i++) {
        uint64_t count = vit_qcow2_refcount_load(q, block, i);
        if (count == 0) continue;
        if (count > w->most || count > UINT32_MAX) {
            w->too_high = (first + i) << q->cluster_bits;
            w->count = count;
            return -ERANGE;
        }
        if (first + i >= w->check.refs.clusters) return -EIO;
        vit_qcow2_counts_set(&w->check.refs, first + i, (uint32_t)count);
    }
    return w->check.refs.full ? -ENOMEM : 0;
}

static int build(Widen *w, unsigned order)
{
    VitQcow2 *q = w->check.q;
    unsigned before = q->refcount_order;
    int result = vit_qcow2_walk(q, q->rt, q->rt_entries, VIT_QCOW2_OFFSET_MASK, load_block, w);

    if (result < 0) return result;
    w->check.blocks = g_memdup2(q->rt, q->rt_entries * 8);
    w->check.whole_header = true;
    q->refcount_order = order;
    vit_qcow2_derive(q);
    result = vit_qcow2_check_rebuild(&w->check);
    if (result < 0) {
        q->refcount_order = before;
        vit_qcow2_derive(q);
    }
    g_free(w->check.blocks);
    return result;
}

bool vit_qcow2_amend_refcounts(VitQcow2 *q, unsigned order, VitBlockProgress progress, void *opaque,
                               GError **error)
{
    VitBlockNode *node = &q->parent;
    unsigned bits = 1u << order;
    Widen w = { .most = order == 6 ? INT64_MAX : (UINT64_C(1) << bits) - 1,
                .progress = progress,
                .opaque = opaque };

    vit_co_drain_begin(node);
    vit_fiber_mutex_lock(&q->meta);
    w.check = (VitQcow2Check){ .q = q, .result = &w.result };
    int result = vit_qcow2_bulk_begin(q);
    if (result == 0) {
        /* Counts may lie behind the file's end: preallocated, not yet written. */
        uint64_t end = MIN(q->rt_entries << q->rb_bits,
                           vit_qcow2_clusters(q, node->file->node->size) + (1 << 20));
        w.check.file_clusters = vit_qcow2_clusters(q, node->file->node->size);
        result = vit_qcow2_counts_init(&w.check.refs, MAX(end, w.check.file_clusters + 1),
                                       MAX(q->refcount_bits, bits));
    }
    if (result == 0) result = build(&w, order);
    vit_qcow2_counts_clear(&w.check.refs);
    int last = vit_qcow2_bulk_end(q);
    q->free_hint = q->byte_hint = 0;
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(node);
    if (w.count)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("Cannot decrease refcount entry width to %u bits: Cluster at offset "
              "0x%" PRIx64 " has a refcount of %" PRIu64),
            bits, w.too_high, w.count);
    if (result == 0) result = last;
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: could not change the refcounts"),
                                node->filename);
}
