/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bulk.h - work on all of an image's tables at once: check, snapshots, amend
 *
 * These go past the caches, straight to the file: the node is drained, `meta` is held, and
 * vit_qcow2_bulk_begin() has brought to the file what was in memory. */
#pragma once
#include "block/qcow2/qcow2.h"

/* ---- counters of clusters (counts.c) --------------------------------------------------------- */

/* As wide as the image's refcounts (at least 8, at most 32 bits), in pieces that come into being
 * where something is counted.  They stop at their highest value. */
typedef struct {
    uint64_t clusters; /* how many there may be */
    unsigned width; /* bytes of a counter: 1, 2, 4 */
    void **pieces; /* owned, of VIT_QCOW2_PIECE counters each; NULL: all zero */
    uint64_t n_pieces, n_made;
    bool full; /* a counter has stopped, or memory ran out: the counts are too low */
} VitQcow2Counts;
enum { VIT_QCOW2_PIECE_BITS = 13, VIT_QCOW2_PIECE = 1 << VIT_QCOW2_PIECE_BITS };

[[nodiscard]] int vit_qcow2_counts_init(VitQcow2Counts *c, uint64_t clusters, unsigned bits);
void vit_qcow2_counts_clear(VitQcow2Counts *c);
void *vit_qcow2_counts_piece(VitQcow2Counts *c, uint64_t piece); /* makes it; NULL: no memory */
uint32_t vit_qcow2_counts_get(const VitQcow2Counts *c, uint64_t cluster);
void vit_qcow2_counts_set(VitQcow2Counts *c, uint64_t cluster, uint32_t count);

/* One more of a cluster below c->clusters. */
static inline void vit_qcow2_counts_add(VitQcow2Counts *c, uint64_t cluster)
{
    void *piece = c->pieces[cluster >> VIT_QCOW2_PIECE_BITS];
    unsigned i = cluster & (VIT_QCOW2_PIECE - 1);

    if (!piece && !(piece = vit_qcow2_counts_piece(c, cluster >> VIT_QCOW2_PIECE_BITS))) return;
    if (c->width == 2) {
        uint16_t *p = (uint16_t *)piece + i;
        if (*p == UINT16_MAX) c->full = true;
        else ++*p;
    } else if (c->width == 1) {
        uint8_t *p = (uint8_t *)piece + i;
        if (*p == UINT8_MAX) c->full = true;
        else ++*p;
    } else {
        uint32_t *p = (uint32_t *)piece + i;
        if (*p == UINT32_MAX) c->full = true;
        else ++*p;
    }
}

/* ---- tables, read ahead (walk.c) ------------------------------------------------------------- */

/* table: one cluster, big endian; NULL: could not be read, `error` says why.  Returns 0, 1 to have
 * the table written back as it now is, or -errno to stop. */
typedef int (*VitQcow2WalkFunc)(void *opaque, uint64_t index, uint8_t *table, int error);
/* Calls fn for the tables at offsets[0 .. n), in this order; 0 is passed over, and so is what mask
 * takes away.  Does not flush. */
[[nodiscard]] int vit_qcow2_walk(VitQcow2 *q, const uint64_t *offsets, uint64_t n, uint64_t mask,
                                 VitQcow2WalkFunc fn, void *opaque);

/* ---- refcounts of many clusters (bulk.c) ----------------------------------------------------- */

[[nodiscard]] int vit_qcow2_bulk_begin(VitQcow2 *q);
/* Forgets what the caches have: the file has changed. */
[[nodiscard]] int vit_qcow2_bulk_end(VitQcow2 *q);
/* Counters for every cluster that the refcount table can tell of. */
[[nodiscard]] int vit_qcow2_bulk_counts(VitQcow2 *q, VitQcow2Counts *c);
/* Counts the L2 tables of an L1 table (host order) and what they lead to.  -EIO, and a message in
 * the log, when an entry leads where there can be nothing. */
[[nodiscard]] int vit_qcow2_bulk_count_tree(VitQcow2 *q, VitQcow2Counts *c, const uint64_t *l1,
                                            uint64_t n);
/* And the clusters of [offset, offset + bytes). */
[[nodiscard]] int vit_qcow2_bulk_count_range(VitQcow2 *q, VitQcow2Counts *c, uint64_t offset,
                                             uint64_t bytes);
/* Adds the counts to the refcounts, or takes them off, after a look whether all of them can.
 * -ERANGE: they cannot, nothing was changed.  Afterwards each counter that was not 0 is 1 if the
 * refcount has become exactly one, else 0. */
[[nodiscard]] int vit_qcow2_bulk_apply(VitQcow2 *q, VitQcow2Counts *c, bool add);
/* Makes the COPIED flags of an L1 table and its L2 tables what they are to be.  ones NULL: all off;
 * else on where a counter is 1.  *changed: an L1 entry has. */
[[nodiscard]] int vit_qcow2_bulk_flags(VitQcow2 *q, uint64_t *l1, uint64_t n,
                                       const VitQcow2Counts *ones, bool *changed);
/* Reads and writes an L1 table that is not the active one. */
[[nodiscard]] int vit_qcow2_bulk_read_l1(VitQcow2 *q, uint64_t offset, uint64_t n, uint64_t *l1);
[[nodiscard]] int vit_qcow2_bulk_write_l1(VitQcow2 *q, uint64_t offset, uint64_t n,
                                          const uint64_t *l1);
