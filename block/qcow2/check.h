/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/check.h - between the parts of the check: references (check.c), refcounts
 * (check-refcounts.c, check-rebuild.c), flags (check-flags.c) */
#pragma once
#include "block/qcow2/bulk.h"

typedef struct {
    VitQcow2 *q;
    VitBlockCheck *result;
    unsigned fix; /* VIT_FIX_LEAKS, VIT_FIX_ERRORS */
    VitQcow2Counts refs; /* references found to each cluster */
    VitQcow2Counts stored; /* what the refcounts say, at most 255 */
    uint64_t file_clusters; /* that the file has, the last one perhaps in part */
    uint64_t *blocks; /* owned, rt_entries: refcount blocks that can be read, 0 for others */
    bool rebuild; /* the refcount structures cannot be repaired in place */
    bool
        /* the header has more to say of new refcount structures than where they are */
        whole_header;
    bool counts_changed; /* refcounts have been repaired */
    bool snapshots_broken; /* some cannot be gone through */
    uint64_t refcount_errors; /* those that new refcount structures put right */
    uint64_t flag_errors;
    GPtrArray *flag_messages; /* of char*, owned: told after the refcounts */

    /* of the L1 table that is being gone through */
    const uint64_t *l1; /* borrowed */
    bool active, fragments;
    uint64_t next; /* where the next cluster would be one that follows */
    uint64_t done, total; /* L2 tables, for the progress */
    VitQcow2Slice scratch; /* so that entries can be looked at with map.c's functions */
} VitQcow2Check;

/* Counts a reference to each cluster of a stretch; false, and an error is counted, when it lies
 * outside of the file. */
bool vit_qcow2_check_use(VitQcow2Check *c, uint64_t offset, uint64_t bytes);

/* check-refcounts.c */
[[nodiscard]] int vit_qcow2_check_load_counts(VitQcow2Check *c);
void vit_qcow2_check_use_blocks(VitQcow2Check *c);
[[nodiscard]] int vit_qcow2_check_compare(VitQcow2Check *c, bool repair);
/* check-rebuild.c: refcount table and blocks anew from c->refs */
[[nodiscard]] int vit_qcow2_check_rebuild(VitQcow2Check *c);
/* check-flags.c: COPIED flags as c->refs ask for */
[[nodiscard]] int vit_qcow2_check_fix_flags(VitQcow2Check *c);
/* bitmap-check.c */
[[nodiscard]] int vit_qcow2_check_bitmaps(VitQcow2Check *c);
