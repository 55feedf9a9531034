/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/counts.c - counters of clusters; see bulk.h */
#include "block/qcow2/bulk.h"

#include <errno.h>

/* An image may claim any size and lead anywhere: what that costs has an end. */
#define MAX_PIECES ((UINT64_C(1) << 27) + 1)
#define MAX_BYTES  (UINT64_C(2) << 30)

int vit_qcow2_counts_init(VitQcow2Counts *c, uint64_t clusters, unsigned bits)
{
    *c = (VitQcow2Counts){ .clusters = clusters,
                           .width = bits <= 8    ? 1
                                    : bits == 16 ? 2
                                                 : 4,
                           .n_pieces = (clusters >> VIT_QCOW2_PIECE_BITS) + 1 };
    if (c->n_pieces > MAX_PIECES) return -EFBIG;
    c->pieces = g_try_new0(void *, c->n_pieces);
    return c->pieces ? 0 : -ENOMEM;
}

void vit_qcow2_counts_clear(VitQcow2Counts *c)
{
    for (uint64_t i = 0; c->pieces && c->n_made > 0 && i < c->n_pieces; i++) {
        if (!c->pieces[i]) continue;
        g_free(c->pieces[i]);
        c->n_made--;
    }
    g_clear_pointer(&c->pieces, g_free);
}

void *vit_qcow2_counts_piece(VitQcow2Counts *c, uint64_t piece)
{
    size_t bytes = (size_t)VIT_QCOW2_PIECE * c->width;

    if (c->pieces[piece]) return c->pieces[piece];
    if ((c->n_made + 1) * bytes <= MAX_BYTES) c->pieces[piece] = g_try_malloc0(bytes);
    if (c->pieces[piece]) c->n_made++;
    else c->full = true;
    return c->pieces[piece];
}

uint32_t vit_qcow2_counts_get(const VitQcow2Counts *c, uint64_t cluster)
{
    const void *piece = cluster < c->clusters ? c->pieces[cluster >> VIT_QCOW2_PIECE_BITS] : NULL;
    unsigned i = cluster & (VIT_QCOW2_PIECE - 1);

    if (!piece) return 0;
    return c->width == 2   ? ((const uint16_t *)piece)[i]
           : c->width == 1 ? ((const uint8_t *)piece)[i]
                           : ((const uint32_t *)piece)[i];
}

void vit_qcow2_counts_set(VitQcow2Counts *c, uint64_t cluster, uint32_t count)
{
    void *piece = vit_qcow2_counts_piece(c, cluster >> VIT_QCOW2_PIECE_BITS);
    unsigned i = cluster & (VIT_QCOW2_PIECE - 1);

    if (!piece) return;
    if (c->width == 2) ((uint16_t *)piece)[i] = (uint16_t)MIN(count, UINT16_MAX);
    else if (c->width == 1) ((uint8_t *)piece)[i] = (uint8_t)MIN(count, UINT8_MAX);
    else ((uint32_t *)piece)[i] = count;
}
