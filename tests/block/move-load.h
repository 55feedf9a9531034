/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/move-load.h - a disk that is used like a device's while it changes its iothread:
 * several requests at a time, each in a part of the disk that is its own */
#pragma once
#include "block/graph.h"

enum { MOVE_LOAD_DEPTH = 8 };

typedef struct MoveLoad MoveLoad;
typedef struct {
    VitBlockRequest req;
    MoveLoad *load; /* borrowed */
    uint8_t *buf; /* owned */
    struct iovec iov;
    uint64_t begin, end; /* of the disk: only this request goes there */
} MoveSlot;

struct MoveLoad {
    VitBlockNode *root; /* a reference */
    VitBlockUse *use; /* owned */
    uint64_t size; /* bytes, whole sectors */
    bool read_only;
    bool vague; /* what is read is not looked at */
    uint8_t *content; /* owned: what the disk must hold; each part is its slot's */
    MoveSlot slots[MOVE_LOAD_DEPTH];
    GRand *random; /* owned; of the thread where the disk is, one after the other */
    int running, stop; /* atomic */
    unsigned wrong, told; /* requests that failed or read something else; moves */
    uint64_t done; /* requests */
};

/* node: taken.  content: taken, what the disk holds now; NULL: zeroes. */
void move_load_begin(MoveLoad *load, VitBlockNode *node, bool read_only, uint8_t *content);
void move_load_end(MoveLoad *load); /* also of one that is zeroed */
void move_load_run(MoveLoad *load);
void move_load_halt(MoveLoad *load);
