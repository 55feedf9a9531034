/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue-threads.c - rings with threads of their own, and completions that go together
 *
 * A ring's own thread takes chains and gives them back; what the device does with them (a disk's
 * requests) happens on the device's thread.  Elements on their way are outstanding like any other,
 * so a device that comes to rest waits for them. */
#include "hw/virtio/virtqueue-private.h"

enum { BATCH = 64 }; /* elements that go over together */

VitIoThread *virtio_home(VitVirtioRings *r)
{
    return __atomic_load_n(&r->thread, __ATOMIC_ACQUIRE) ?: r->sys->thread;
}

bool virtq_is_apart(Virtqueue *q)
{
    return q->thread && q->thread != virtio_home(q->rings);
}

/* ---- To the device --------------------------------------------------------------------------- */

typedef struct {
    unsigned n;
    VitVirtqElement *elements[BATCH];
} Crossing;

static void handle_all(VitVirtio *v, Crossing *c, VitIoThread *thread)
{
    const VitVirtioClass *vc = v->virtio_class;

    vit_io_thread_burst(thread, true);
    if (vc->batch) vc->batch(v, true);
    for (unsigned i = 0; i < c->n; i++) vc->element(v, c->elements[i]->queue, c->elements[i]);
    if (vc->batch) vc->batch(v, false);
    vit_io_thread_burst(thread, false);
}

static void arrive(void *opaque)
{
    Crossing *c = opaque;
    VitVirtio *v = c->elements[0]->virtio;
    VitVirtioRings *r = v->rings;
    VitIoThread *thread = virtio_home(r);
    bool on_machine = thread == r->sys->thread;

    if (!vit_io_thread_is_current(thread)) { /* the device has gone to another meanwhile */
        vit_io_thread_call(thread, arrive, c);
        return;
    }
    VitSystem *sys = r->sys;
    if (on_machine) vit_system_lock(sys);
    handle_all(v, c, thread);
    g_free(c);
    pthread_mutex_lock(&r->lock);
    virtio_unbusy(r);
    pthread_mutex_unlock(&r->lock);
    if (on_machine) vit_system_unlock(sys);
}

unsigned virtq_hand_over(VitVirtio *v, Virtqueue *q, unsigned budget)
{
    VitVirtioRings *r = v->rings;
    Crossing *c = g_new(Crossing, 1);
    unsigned n = 0;

    while (n < MIN(budget, BATCH) && (c->elements[n] = vit_virtq_pop(v, q->index))) n++;
    c->n = n;
    if (n == 0) {
        g_free(c);
        return 0;
    }
    pthread_mutex_lock(&r->lock);
    r->busy++; /* the crossing's own: all its elements may end before it does */
    pthread_mutex_unlock(&r->lock);
    vit_io_thread_call(virtio_home(r), arrive, c);
    return n;
}

/* ---- And back -------------------------------------------------------------------------------- */

static void give_back(void *opaque)
{
    Virtqueue *q = opaque;
    gsize n;

    pthread_mutex_lock(&q->back_lock);
    VitVirtqElement **list = (VitVirtqElement **)g_ptr_array_steal(q->back, &n);
    pthread_mutex_unlock(&q->back_lock);
    virtq_push(list, (unsigned)n, true); /* the device may be gone afterwards */
    g_free(list);
}

static void send_back(void *opaque)
{
    Virtqueue *q = opaque;

    vit_io_thread_call(q->thread, give_back, q);
}

void vit_virtq_complete(VitVirtqElement *e, size_t written)
{
    Virtqueue *q = &e->virtio->rings->queues[e->queue];
    VitIoThread *home = virtio_home(q->rings);
    bool apart = virtq_is_apart(q), here = vit_io_thread_is_current(home);

    e->written = written;
    if (!apart && !(here && vit_io_thread_in_burst(home))) {
        virtq_push(&e, 1, true);
        return;
    }
    pthread_mutex_lock(&q->back_lock);
    bool first = q->back->len == 0;
    g_ptr_array_add(q->back, e);
    pthread_mutex_unlock(&q->back_lock);
    if (!first) return; /* who added the first has them all given back */
    if (here) vit_io_thread_defer(home, apart ? send_back : give_back, q);
    else send_back(q);
}
