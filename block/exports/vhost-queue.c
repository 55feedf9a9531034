/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-queue.c - the queues of a vhost-user device: from a kick to the call back */
#include "block/exports/vhost-private.h"

#include <errno.h>
#include <sys/eventfd.h>

enum { MAX_TAKEN = 1024 };

void vit_vhost_queue_take(VitVhostQueue *q)
{
    VitVhostUser *u = q->user;

    if (!q->started || !q->enabled || u->closing || u->lost) return;
    unsigned taken = 0;
    u->device->batch(u->opaque, true);
    do {
        vit_vring_ask_kicks(&q->ring, false);
        while (taken < MAX_TAKEN && vit_vring_pop(&q->ring, &u->memory, u->element)) {
            taken++;
            q->in_flight++;
            if (q->in_flight > q->ring.num) q->ring.broken = true; /* more than it has room for */
            u->device->request(u->opaque, q, u->element);
        }
    } while (!vit_vring_ask_kicks(&q->ring, true) && !q->ring.broken && taken < MAX_TAKEN);
    u->device->batch(u->opaque, false);
    if (taken >= MAX_TAKEN) (void)!eventfd_write(q->kick, 1); /* the others have their turn first */
    if (q->ring.broken && q->err >= 0) (void)!eventfd_write(q->err, 1);
}

static void on_kick(void *opaque, GIOCondition ready)
{
    VitVhostQueue *q = opaque;
    eventfd_t count;

    if (eventfd_read(q->kick, &count) < 0 && errno != EAGAIN) {
        vit_io_watch_set(q->watch, 0);
        return;
    }
    vit_vhost_queue_take(q);
}

static void call_driver(VitVhostQueue *q)
{
    q->call_pending = false;
    if (vit_vring_wants_call(&q->ring) && q->call >= 0) (void)!eventfd_write(q->call, 1);
}

static void call_all(void *opaque)
{
    VitVhostUser *u = opaque;

    u->call_scheduled = false;
    for (unsigned i = 0; i < u->device->max_queues; i++)
        if (u->queue[i].call_pending) call_driver(&u->queue[i]);
    vit_fiber_cond_wake_all(&u->changed);
}

void vit_vhost_queue_push(VitVhostQueue *q, uint16_t head, uint32_t written)
{
    VitVhostUser *u = q->user;

    vit_vring_push(&q->ring, head, written);
    if (--q->in_flight == 0) {
        call_driver(q);
        vit_fiber_cond_wake_all(&u->changed);
        return;
    }
    q->call_pending = true; /* one call for all that end in this round of the loop */
    if (!u->call_scheduled) {
        u->call_scheduled = true;
        vit_io_thread_call(u->thread, call_all, u);
    }
}

void vit_vhost_queue_stop(VitVhostQueue *q)
{
    g_clear_pointer(&q->watch, vit_io_watch_free);
    q->started = false;
}

void vit_vhost_queue_start(VitVhostQueue *q)
{
    VitVhostUser *u = q->user;

    if (q->started || !q->placed || q->kick < 0) return;
    q->ring.event_index = u->features & VIT_VHOST_F_EVENT_IDX;
    if (!vit_vring_place(&q->ring, &u->memory, q->desc, q->avail, q->used)) return;
    q->started = true;
    if (!(u->features & VIT_VHOST_F_PROTOCOL)) q->enabled = true;
    q->watch = vit_io_watch_new(u->thread, q->kick, G_IO_IN, on_kick, q);
    vit_vhost_queue_take(q); /* what came before the kick could be heard */
}

void vit_co_vhost_wait_idle(VitVhostUser *u, VitVhostQueue *only)
{
    for (unsigned i = 0; i < u->device->max_queues; i++) {
        VitVhostQueue *q = &u->queue[i];
        if (only && q != only) continue;
        while (q->in_flight > 0) vit_fiber_cond_wait(&u->changed, NULL);
    }
}
