/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/submit.c - see submit.h */
#include "block/throttle/submit.h"

typedef struct {
    VitThrottlePass pass; /* first member */
    VitBlockNode *node; /* borrowed: the request is in flight on it */
    VitBlockRequest *child;
} Delayed;

static void go(VitThrottlePass *pass)
{
    Delayed *d = (Delayed *)pass;
    VitBlockNode *node = d->node;
    VitBlockRequest *child = d->child;

    g_free(d);
    vit_block_submit(node->file->node, child);
}

void vit_throttle_submit(VitThrottleMember *member, VitBlockNode *node, VitBlockRequest *child)
{
    if (child->op != VIT_BLOCK_FLUSH) {
        Delayed *d = g_new0(Delayed, 1);
        d->pass.go = go;
        d->pass.ticket.bytes = child->bytes;
        d->pass.ticket.write = child->op != VIT_BLOCK_READ;
        d->node = node;
        d->child = child;
        if (!vit_throttle_enter(member, &d->pass)) return;
        g_free(d);
    }
    vit_block_submit(node->file->node, child);
}
