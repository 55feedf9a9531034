/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio.c - status, features, kicks, reset and state of a virtio device
 *
 * Virtual I/O Device 1.2, chapters 2 and 3.  A reset waits for what is under way: status keeps its
 * old value until then (2.1.2, 4.1.4.3.2), so no thread waits for a slow disk. */
#include "hw/virtio/virtqueue-private.h"

#include "engine/core/log.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { BUDGET = 256 };      /* chains of one queue before other work of the thread gets its turn */

const VitField vit_virtqueue_rows[] = {
    VIT_UINT(VitVirtqueueState, desc),
    VIT_UINT(VitVirtqueueState, avail),
    VIT_UINT(VitVirtqueueState, used),
    VIT_UINT(VitVirtqueueState, size),
    VIT_UINT(VitVirtqueueState, last_avail),
    VIT_UINT(VitVirtqueueState, used_index),
    VIT_UINT(VitVirtqueueState, signalled),
    VIT_BOOL(VitVirtqueueState, signalled_valid, false),
    VIT_BOOL(VitVirtqueueState, enabled, false),
    { VIT_END },
};

/* ---- Life of the rings, lock held ------------------------------------------------------------ */

static void rings_unref(VitVirtioRings *r)
{
    if (atomic_fetch_sub(&r->ref_count, 1) != 1)
        return;
    for (unsigned i = 0; i < r->n_queues; i++) {
        pthread_mutex_destroy(&r->queues[i].back_lock);
        g_ptr_array_unref(r->queues[i].back);
    }
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->idle);
    g_free(r);
}

bool virtio_queue_live(VitVirtioRings *r, unsigned queue)
{
    VitVirtio *v = r->virtio;
    enum { LIVE = VIT_VIRTIO_DRIVER_OK, LIVE_MASK = VIT_VIRTIO_DRIVER_OK | VIT_VIRTIO_NEEDS_RESET };

    return v && !r->reset_pending && !r->quiesced && (v->state->status & LIVE_MASK) == LIVE &&
           v->state->queues[queue].enabled &&
           (!v->transport || !v->transport->dma_enabled ||
            v->transport->dma_enabled(v->transport_opaque));
}

static void invalidate_areas(VitVirtioRings *r)
{
    r->life++;
    for (unsigned i = 0; i < r->n_queues; i++) {
        r->queues[i].areas_valid = false;
        r->queues[i].quiet = false;
    }
}

static void state_defaults(VitVirtio *v)
{
    VitVirtioState *s = v->state;
    s->driver_features = 0;
    s->status = 0;
    memset(s->queues, 0, sizeof s->queues);
    for (unsigned i = 0; i < v->n_queues; i++)
        s->queues[i].size = v->queue_size[i];
}

static void hurry(VitVirtioRings *r, bool on)
{
    if (r->virtio && r->virtio->virtio_class->hurry)
        r->virtio->virtio_class->hurry(r->virtio, on);
}

static void set_reset_pending(VitVirtioRings *r, bool on)
{
    if (r->reset_pending != on)
        hurry(r, on);
    r->reset_pending = on;
}

static void reset_now(VitVirtioRings *r)
{
    VitVirtio *v = r->virtio;
    set_reset_pending(r, false);
    invalidate_areas(r);
    state_defaults(v);
    if (v->virtio_class->reset)
        v->virtio_class->reset(v);
}

void virtio_unbusy(VitVirtioRings *r)
{
    if (--r->busy)
        return;
    if (r->reset_pending && r->virtio)
        reset_now(r);
    pthread_cond_broadcast(&r->idle);
}

static void wait_idle(VitVirtioRings *r)
{
    if (!r->busy)
        return;
    hurry(r, true);
    while (r->busy)
        pthread_cond_wait(&r->idle, &r->lock);
    hurry(r, false);
}

/* ---- Kicks ----------------------------------------------------------------------------------- */

static void schedule(Virtqueue *q);

static VitIoThread *queue_thread(Virtqueue *q)
{
    return q->thread ?: virtio_home(q->rings);
}

void vit_virtio_set_thread(VitVirtio *v, VitIoThread *thread)
{
    v->thread = thread;
    __atomic_store_n(&v->rings->thread, thread, __ATOMIC_RELEASE);
}

void vit_virtio_set_queue_thread(VitVirtio *v, unsigned queue, VitIoThread *thread)
{
    v->rings->queues[queue].thread = thread;
}

/* Takes and handles at most budget chains; returns how many. */
static unsigned handle(VitVirtio *v, unsigned queue, unsigned budget)
{
    const VitVirtioClass *vc = v->virtio_class;
    VitIoThread *thread = virtio_home(v->rings);
    VitVirtqElement *e;
    unsigned n = 0;

    vit_io_thread_burst(thread, true);
    if (vc->batch)
        vc->batch(v, true);
    while (n < budget && (!vc->takes || vc->takes(v, queue)) && (e = vit_virtq_pop(v, queue))) {
        vc->element(v, queue, e);
        n++;
    }
    if (vc->batch)
        vc->batch(v, false);
    vit_io_thread_burst(thread, false);
    if (n)      /* no interrupt for a queue that had nothing */
        vit_virtq_notify(v, queue);
    return n;
}

static void process_queue(VitVirtio *v, unsigned queue)
{
    VitVirtioRings *r = v->rings;
    const VitVirtioClass *vc = v->virtio_class;
    unsigned budget = BUDGET;
    bool more, apart = virtq_is_apart(&r->queues[queue]);

    if (vc->takes && !vc->takes(v, queue)) {
        if (vc->kicked)
            vc->kicked(v, queue);
        return;
    }
    pthread_mutex_lock(&r->lock);
    virtq_set_notification(r, queue, false);
    pthread_mutex_unlock(&r->lock);
    do {
        budget -= apart ? virtq_hand_over(v, &r->queues[queue], budget) : handle(v, queue, budget);
        pthread_mutex_lock(&r->lock);
        virtq_set_notification(r, queue, true);
        more = virtq_has_buffers_locked(r, queue);
        pthread_mutex_unlock(&r->lock);
    } while (more && budget && (!vc->takes || vc->takes(v, queue)));
    if (more && !budget)
        vit_virtio_kick(v, queue);
}

static void run_queue(void *opaque)
{
    Virtqueue *q = opaque;
    VitVirtioRings *r = q->rings;
    VitIoThread *thread = queue_thread(q);
    bool on_machine = thread == r->sys->thread;

    if (!vit_io_thread_is_current(thread)) {    /* the device has gone to another meanwhile */
        vit_io_thread_call(thread, run_queue, q);
        return;
    }
    if (on_machine)
        vit_system_lock(r->sys);
    atomic_store(&q->kicked, false);
    pthread_mutex_lock(&r->lock);
    if (virtio_queue_live(r, q->index)) {
        VitVirtio *v = r->virtio;
        r->busy++;
        pthread_mutex_unlock(&r->lock);
        process_queue(v, q->index);
        pthread_mutex_lock(&r->lock);
        virtio_unbusy(r);
    }
    pthread_mutex_unlock(&r->lock);
    if (on_machine)
        vit_system_unlock(r->sys);
    rings_unref(r);
}

static void schedule(Virtqueue *q)
{
    VitVirtioRings *r = q->rings;

    if (atomic_exchange(&q->kicked, true))
        return;
    atomic_fetch_add(&r->ref_count, 1);
    vit_io_thread_call(queue_thread(q), run_queue, q);
}

void vit_virtio_kick(VitVirtio *v, unsigned queue)
{
    if (queue < v->n_queues)
        schedule(&v->rings->queues[queue]);
}

bool vit_virtio_enter(VitVirtio *v)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    bool live = !r->reset_pending && !r->quiesced &&
                (v->state->status & (VIT_VIRTIO_DRIVER_OK | VIT_VIRTIO_NEEDS_RESET)) ==
                    VIT_VIRTIO_DRIVER_OK;
    if (live)
        r->busy++;
    pthread_mutex_unlock(&r->lock);
    return live;
}

void vit_virtio_leave(VitVirtio *v)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    virtio_unbusy(r);
    pthread_mutex_unlock(&r->lock);
}

/* ---- Trouble and changes --------------------------------------------------------------------- */

static void config_change(void *opaque)
{
    VitVirtio *v = opaque;
    if (v->transport)
        v->transport->notify_config(v->transport_opaque);
}

void virtio_broken_locked(VitVirtioRings *r, const char *why)
{
    VitVirtioState *s = r->virtio->state;

    if (s->status & VIT_VIRTIO_NEEDS_RESET)
        return;
    vit_log(VIT_LOG_GUEST_ERROR, "%s: %s; the device needs a reset", r->virtio->parent.id, why);
    bool was_ok = s->status & VIT_VIRTIO_DRIVER_OK;
    s->status |= VIT_VIRTIO_NEEDS_RESET;
    if (was_ok)
        vit_deferred_schedule(r->config_change);
}

void vit_virtio_broken(VitVirtio *v, const char *why)
{
    pthread_mutex_lock(&v->rings->lock);
    virtio_broken_locked(v->rings, why);
    pthread_mutex_unlock(&v->rings->lock);
}

void vit_virtio_config_changed(VitVirtio *v)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    v->state->generation++;
    if (v->state->status & VIT_VIRTIO_DRIVER_OK)
        vit_deferred_schedule(r->config_change);
    pthread_mutex_unlock(&r->lock);
}

bool vit_virtio_has(VitVirtio *v, uint64_t feature)
{
    pthread_mutex_lock(&v->rings->lock);
    bool has = v->state->driver_features & v->offered & feature;
    pthread_mutex_unlock(&v->rings->lock);
    return has;
}

bool vit_virtio_driver_ok(VitVirtio *v)
{
    return vit_virtio_status(v) & VIT_VIRTIO_DRIVER_OK;
}

/* ---- For transports -------------------------------------------------------------------------- */

void vit_virtio_attach(VitVirtio *v, const VitVirtioTransport *transport, void *opaque)
{
    pthread_mutex_lock(&v->rings->lock);
    v->transport = transport;
    v->transport_opaque = opaque;
    pthread_mutex_unlock(&v->rings->lock);
}

uint8_t vit_virtio_status(VitVirtio *v)
{
    pthread_mutex_lock(&v->rings->lock);
    uint8_t status = v->state->status;
    pthread_mutex_unlock(&v->rings->lock);
    return status;
}

void vit_virtio_set_status(VitVirtio *v, uint8_t status)
{
    VitVirtioRings *r = v->rings;
    VitVirtioState *s = v->state;

    pthread_mutex_lock(&r->lock);
    if (status == 0) {
        if (r->busy)
            set_reset_pending(r, true);
        else
            reset_now(r);
    } else {
        if (r->reset_pending)       /* a driver that does not poll for the end of its reset */
            wait_idle(r);
        uint8_t sticky = s->status & VIT_VIRTIO_NEEDS_RESET;
        if ((status & VIT_VIRTIO_FEATURES_OK) && !(s->status & VIT_VIRTIO_FEATURES_OK) &&
            ((s->driver_features & ~v->offered) || !(s->driver_features & VIT_VIRTIO_F_VERSION_1)))
            status &= (uint8_t) ~VIT_VIRTIO_FEATURES_OK;    /* refused */
        s->status = status | sticky;
    }
    bool ok = s->status & VIT_VIRTIO_DRIVER_OK;
    pthread_mutex_unlock(&r->lock);
    if (v->virtio_class->status)
        v->virtio_class->status(v, status);
    for (unsigned i = 0; ok && status && i < v->n_queues; i++)
        schedule(&r->queues[i]);    /* a kick may have come before */
}

uint64_t vit_virtio_features(VitVirtio *v)
{
    return v->offered;
}

uint64_t vit_virtio_driver_features(VitVirtio *v)
{
    pthread_mutex_lock(&v->rings->lock);
    uint64_t features = v->state->driver_features;
    pthread_mutex_unlock(&v->rings->lock);
    return features;
}

void vit_virtio_set_driver_features(VitVirtio *v, uint64_t features)
{
    pthread_mutex_lock(&v->rings->lock);
    if (!(v->state->status & VIT_VIRTIO_FEATURES_OK))
        v->state->driver_features = features;
    pthread_mutex_unlock(&v->rings->lock);
}

uint8_t vit_virtio_generation(VitVirtio *v)
{
    pthread_mutex_lock(&v->rings->lock);
    uint8_t generation = v->state->generation;
    pthread_mutex_unlock(&v->rings->lock);
    return generation;
}

uint32_t vit_virtio_read_config(VitVirtio *v, unsigned offset, unsigned size)
{
    uint8_t config[VIT_VIRTIO_CONFIG] = { 0 };
    uint32_t value = 0;

    if (v->virtio_class->read_config)
        v->virtio_class->read_config(v, config);
    for (unsigned i = 0; i < size; i++)
        if (offset + i < v->config_size)
            value |= (uint32_t) config[offset + i] << 8 * i;
    return value;
}

void vit_virtio_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value)
{
    if (v->virtio_class->write_config && offset + size <= v->config_size)
        v->virtio_class->write_config(v, offset, size, value);
}

VitVirtqueueState vit_virtio_queue(VitVirtio *v, unsigned queue)
{
    if (queue >= v->n_queues)
        return (VitVirtqueueState) { 0 };
    pthread_mutex_lock(&v->rings->lock);
    VitVirtqueueState s = v->state->queues[queue];
    pthread_mutex_unlock(&v->rings->lock);
    return s;
}

/* Packed rings may have any number of entries (2.8.10.1). */
static bool valid_size(unsigned size, unsigned max, uint64_t features)
{
    return size && size <= max && ((features & VIT_VIRTIO_F_PACKED) || (size & (size - 1)) == 0);
}

void vit_virtio_set_queue(VitVirtio *v, unsigned queue, const VitVirtqueueState *state)
{
    if (queue >= v->n_queues)
        return;
    pthread_mutex_lock(&v->rings->lock);
    VitVirtqueueState *s = &v->state->queues[queue];
    if (!s->enabled && !v->rings->reset_pending) {
        s->desc = state->desc;
        s->avail = state->avail;
        s->used = state->used;
        if (valid_size(state->size, v->queue_size[queue], v->state->driver_features))
            s->size = state->size;
    }
    pthread_mutex_unlock(&v->rings->lock);
}

void vit_virtio_enable_queue(VitVirtio *v, unsigned queue)
{
    if (queue >= v->n_queues)
        return;
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    if (!r->reset_pending) {
        VitVirtqueueState *s = &v->state->queues[queue];
        if (!s->enabled && virtq_packed(r))     /* both wrap counters begin at 1 (2.8.1) */
            s->last_avail = s->used_index = s->signalled = 0x8000;
        s->enabled = true;
        r->queues[queue].areas_valid = false;
    }
    pthread_mutex_unlock(&r->lock);
}

/* ---- Device hooks ---------------------------------------------------------------------------- */

void vit_virtio_init(VitVirtio *v, const VitVirtioClass *virtio_class, VitVirtioState *state)
{
    VitVirtioRings *r = g_malloc0(sizeof *r + v->n_queues * sizeof r->queues[0]);

    g_assert(v->n_queues <= VIT_VIRTIO_QUEUES && v->config_size <= VIT_VIRTIO_CONFIG);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->idle, NULL);
    atomic_init(&r->ref_count, 1);
    r->virtio = v;
    r->sys = v->parent.sys;
    r->thread = v->thread;
    r->n_queues = v->n_queues;
    r->config_change = vit_deferred_new(r->sys, config_change, v);
    for (unsigned i = 0; i < v->n_queues; i++) {
        g_assert(valid_size(v->queue_size[i], VIT_VIRTIO_QUEUE_SIZE, 0));
        r->queues[i].rings = r;
        r->queues[i].index = i;
        r->queues[i].back = g_ptr_array_new();
        pthread_mutex_init(&r->queues[i].back_lock, NULL);
    }
    v->rings = r;
    v->virtio_class = virtio_class;
    v->state = state;
    v->offered = VIT_VIRTIO_F_VERSION_1 | v->ring_add |
                 ((VIT_VIRTIO_F_INDIRECT | VIT_VIRTIO_F_EVENT_IDX) & ~v->ring_hide) |
                 (virtio_class->features ? virtio_class->features(v) : 0);
    state_defaults(v);
}

void vit_virtio_finish(VitDevice *d)
{
    VitVirtio *v = (VitVirtio *) d;
    VitVirtioRings *r = v->rings;

    if (!r)
        return;
    vit_deferred_free(r->config_change);
    pthread_mutex_lock(&r->lock);
    r->quiesced++;
    wait_idle(r);
    r->virtio = NULL;
    pthread_mutex_unlock(&r->lock);
    rings_unref(r);
    v->rings = NULL;
}

void vit_virtio_reset(VitDevice *d)
{
    VitVirtio *v = (VitVirtio *) d;
    pthread_mutex_lock(&v->rings->lock);
    reset_now(v->rings);
    pthread_mutex_unlock(&v->rings->lock);
}

void vit_virtio_loaded(VitDevice *d)
{
    VitVirtio *v = (VitVirtio *) d;
    pthread_mutex_lock(&v->rings->lock);
    set_reset_pending(v->rings, false);
    invalidate_areas(v->rings);
    pthread_mutex_unlock(&v->rings->lock);
}

bool vit_virtio_validate(VitDevice *d, const void *st, GError **error)
{
    VitVirtio *v = (VitVirtio *) d;
    const VitVirtioState *s = st;   /* first in st */
    const char *why = NULL;

    if ((s->status & VIT_VIRTIO_FEATURES_OK) && (s->driver_features & ~v->offered))
        why = _("features that this device does not offer");
    for (unsigned i = 0; i < VIT_VIRTIO_QUEUES && !why; i++) {
        const VitVirtqueueState *q = &s->queues[i];
        if (i < v->n_queues ? !valid_size(q->size, v->queue_size[i], s->driver_features)
                            : q->size || q->enabled)
            why = _("a queue that this device does not have");
        else if ((s->driver_features & VIT_VIRTIO_F_PACKED) && q->enabled &&
                 ((q->last_avail & 0x7fff) >= q->size || (q->used_index & 0x7fff) >= q->size ||
                  (q->signalled & 0x7fff) >= q->size))
            why = _("a position outside of its ring");
    }
    if (!why)
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, _("%s: the saved state has %s"), d->id,
                why);
    return false;
}

void vit_virtio_quiesce(VitDevice *d, bool on)
{
    VitVirtio *v = (VitVirtio *) d;
    VitVirtioRings *r = v->rings;

    if (!r)     /* not initialised yet */
        return;
    pthread_mutex_lock(&r->lock);
    if (on) {
        r->quiesced++;
        wait_idle(r);
    } else {
        r->quiesced--;
    }
    bool again = !r->quiesced && (v->state->status & VIT_VIRTIO_DRIVER_OK);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; again && i < v->n_queues; i++)
        schedule(&r->queues[i]);
}
