/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/walk.c - goes through tables in order while the next ones are being read and those
 * that were changed are being written */
#include "block/qcow2/bulk.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS = 32, MEMORY = 8 << 20, ALIGN = 4096 };

typedef struct Walk Walk;

typedef struct {
    VitBlockRequest req;
    struct iovec iov;
    Walk *walk;
    uint8_t *table; /* owned */
    uint64_t index;
    bool busy, writing;
} Slot;

struct Walk {
    VitQcow2 *q;
    VitFiber *fiber;
    Slot slots[SLOTS];
    unsigned n_slots, in_flight;
    int result; /* of the first write that failed */
};

static void done(VitBlockRequest *req)
{
    Slot *s = req->opaque;
    Walk *w = s->walk;

    s->busy = false;
    w->in_flight--;
    if (s->writing && req->result < 0 && w->result == 0) w->result = req->result;
    vit_fiber_wake(w->fiber);
}

static void submit(Walk *w, Slot *s, VitBlockOp op, uint64_t offset)
{
    s->iov = (struct iovec){ s->table, w->q->cluster_size };
    s->req = (VitBlockRequest){ .op = op,
                                .offset = offset,
                                .bytes = w->q->cluster_size,
                                .iov = &s->iov,
                                .niov = 1,
                                .done = done,
                                .opaque = s };
    s->busy = true;
    s->writing = op == VIT_BLOCK_WRITE;
    w->in_flight++;
    vit_block_submit(w->q->parent.file->node, &s->req);
}

static void await(Walk *w, const Slot *s)
{
    while (s->busy) vit_fiber_yield(w->q->parent.thread);
}

static int go(Walk *w, const uint64_t *offsets, uint64_t n, uint64_t mask, VitQcow2WalkFunc fn,
              void *opaque)
{
    uint64_t next = 0, head = 0, tail = 0; /* slots [head, tail) are read, by number */

    for (;;) {
        vit_block_plug(w->q->parent.file->node);
        while (next < n && tail - head < w->n_slots) {
            Slot *s = &w->slots[tail % w->n_slots];
            uint64_t offset = offsets[next] & mask;
            if (offset && s->busy) break; /* still being written */
            s->index = next++;
            if (offset == 0) continue;
            submit(w, s, VIT_BLOCK_READ, offset);
            tail++;
        }
        vit_block_unplug(w->q->parent.file->node);
        if (head == tail && next == n) return w->result;
        if (head == tail) {
            await(w, &w->slots[tail % w->n_slots]);
            continue;
        }
        Slot *s = &w->slots[head++ % w->n_slots];
        await(w, s);
        int error = s->req.result;
        int result = fn(opaque, s->index, error < 0 ? NULL : s->table, error);
        if (result == 0) result = w->result;
        if (result < 0) return result;
        if (result == 1 && error == 0) submit(w, s, VIT_BLOCK_WRITE, offsets[s->index] & mask);
    }
}

int vit_qcow2_walk(VitQcow2 *q, const uint64_t *offsets, uint64_t n, uint64_t mask,
                   VitQcow2WalkFunc fn, void *opaque)
{
    g_autofree Walk *w = g_new0(Walk, 1);
    int result = 0;

    w->q = q;
    w->fiber = vit_fiber_self(q->parent.thread);
    w->n_slots = (unsigned)CLAMP(MEMORY >> q->cluster_bits, 4, SLOTS);
    for (unsigned i = 0; i < w->n_slots && result == 0; i++) {
        w->slots[i].walk = w;
        result = -posix_memalign((void **)&w->slots[i].table, ALIGN, q->cluster_size);
    }
    if (result == 0) result = go(w, offsets, n, mask, fn, opaque);
    while (w->in_flight > 0) vit_fiber_yield(q->parent.thread);
    if (result == 0) result = w->result;
    for (unsigned i = 0; i < w->n_slots; i++) free(w->slots[i].table);
    return result;
}
