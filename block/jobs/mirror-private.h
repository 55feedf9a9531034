/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/mirror-private.h - between mirror.c and mirror-active.c */
#pragma once
#include "block/jobs/live-private.h"
#include "block/jobs/manners.h"

typedef struct VitMirrorTwin VitMirrorTwin;

typedef struct {
    VitLiveJob live;
    VitBlockBitmap *dirty; /* the source's */
    VitBlockNode *replaces; /* a reference; NULL: the source */
    VitBlockSync sync;
    VitLiveCopy how;
    bool write_blocking, active, ready, complete, is_commit, read_only_again;
    unsigned workers;
    uint64_t cursor; /* of the pass */
    uint64_t passes;
    int64_t rate; /* bytes per second while the last pass copied */
    int64_t busy; /* microseconds that it copied for */
    uint64_t seen; /* guest requests when that was last looked at */
    VitManners manners; /* towards a busy guest: one worker copies at a time, and rests */
    bool polite, resting;
    unsigned copying;
    VitFiberCond rested;
    unsigned trials; /* of writing to both sides at once, that cost the guest too much */
    int64_t next_trial; /* monotonic microseconds */
    VitMirrorTwin *spare; /* owned; linked by next */
    bool target_plugged;
} VitMirror;

/* mirror-active.c, on a fiber: from now on (or not any more) guest writes go to both sides. */
void vit_co_mirror_set_active(VitMirror *mirror, bool active);
void vit_mirror_free_twins(VitMirror *mirror); /* at the end, with the target still there */
