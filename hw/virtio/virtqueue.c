/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue.c - split virtqueues (Virtual I/O Device 1.2, section 2.7)
 *
 * Everything in the rings is written by the guest while we read it: each value is read once, then
 * checked.  Chains are bounded by the table they are in and by VIT_VIRTIO_CHAIN.  Rings and buffers
 * must be RAM: device memory is refused, since an access to it may need the machine lock. */
#include "hw/virtio/virtqueue-private.h"

#include "engine/core/log.h"

#include <string.h>

enum {
    DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1,
    RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4,
};

typedef struct { uint64_t addr; uint32_t len; uint16_t flags, next; } Descriptor;

static void decode_descriptor(const uint8_t *raw, Descriptor *d)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } le;
    static_assert(sizeof le == VIRTQ_DESC_SIZE);
    memcpy(&le, raw, sizeof le);
    *d = (Descriptor) { GUINT64_FROM_LE(le.addr), GUINT32_FROM_LE(le.len),
                        GUINT16_FROM_LE(le.flags), GUINT16_FROM_LE(le.next) };
}

/* ---- Taking a chain, lock held --------------------------------------------------------------- */

static const char *chain_walk(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s,
                              uint16_t head, VirtqChain *chain)
{
    VitAddressSpace *as = r->sys->memory;
    bool indirect = false;
    unsigned entries = s->size, index = head, steps = 0;

    for (;;) {
        uint8_t raw[VIRTQ_DESC_SIZE];
        Descriptor d;
        if (index >= entries)
            return "a descriptor index is out of range";
        if (++steps > (indirect ? entries + s->size : entries))
            return "a descriptor chain loops";
        if (indirect)
            memcpy(raw, r->indirect + index * VIRTQ_DESC_SIZE, VIRTQ_DESC_SIZE);
        else if (q->desc.host)
            memcpy(raw, q->desc.host + index * VIRTQ_DESC_SIZE, VIRTQ_DESC_SIZE);
        else if (!virtq_ram_access(as, s->desc + index * VIRTQ_DESC_SIZE, raw, sizeof raw, false))
            return "the descriptor table lies outside of RAM";
        decode_descriptor(raw, &d);

        if (d.flags & DESC_INDIRECT) {
            if (indirect || (d.flags & DESC_NEXT) ||
                !(r->virtio->state->driver_features & VIT_VIRTIO_F_INDIRECT))
                return "an indirect descriptor where none may be";
            if (!d.len || d.len % VIRTQ_DESC_SIZE || d.len > sizeof r->indirect)
                return "an indirect table has a wrong size";
            if (!virtq_ram_access(as, d.addr, r->indirect, d.len, false))
                return "an indirect table lies outside of RAM";
            indirect = true;
            entries = d.len / VIRTQ_DESC_SIZE;
            index = 0;
            continue;
        }
        const char *why = virtq_chain_add(as, chain, d.addr, d.len, d.flags & DESC_WRITE);
        if (why)
            return why;
        if (!(d.flags & DESC_NEXT))
            return NULL;
        index = d.next;
    }
}

static void unmap_all(VitSystem *sys, const struct iovec *iov, unsigned n, unsigned n_out,
                      size_t written)
{
    for (unsigned i = 0; i < n; i++) {
        size_t part = i < n_out ? 0 : MIN(written, iov[i].iov_len);
        written -= part;
        vit_as_unmap(sys->memory, iov[i].iov_base, part ? part : iov[i].iov_len, part > 0);
    }
}

static VitVirtqElement *element_new(VitVirtioRings *r, unsigned queue, uint16_t head,
                                    uint16_t slots, const VirtqChain *chain)
{
    size_t iovs = chain->n * sizeof(struct iovec);
    VitVirtqElement *e = g_malloc(sizeof *e + 2 * iovs);
    struct iovec *iov = (struct iovec *) (e + 1);

    if (iovs) {
        memcpy(iov, chain->iov, iovs);
        memcpy(iov + chain->n, chain->iov, iovs);
    }
    *e = (VitVirtqElement) {
        .virtio = r->virtio, .queue = queue, .head = head, .slots = slots,
        .life = r->life,
        .n_out = chain->n_out, .out = iov, .out_size = chain->out_size,
        .n_in = chain->n - chain->n_out, .in = iov + chain->n_out, .in_size = chain->in_size,
        .map = iov + chain->n, .n_map = chain->n, .n_map_out = chain->n_out,
    };
    return e;
}

/* Entries that wait; -1 when the ring is broken. */
static int available(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s)
{
    uint16_t index;

    virtq_refresh(r, q, s);
    if (virtq_packed(r))
        return virtq_packed_available(r, q, s);
    if (!virtq_read16(r, &q->avail, s->avail, RING_INDEX, &index)) {
        virtio_broken_locked(r, "the available ring lies outside of RAM");
        return -1;
    }
    unsigned n = (uint16_t) (index - s->last_avail);
    if (n > s->size) {
        virtio_broken_locked(r, "the available index jumped");
        return -1;
    }
    return (int) n;
}

static VitVirtqElement *pop_locked(VitVirtioRings *r, unsigned queue)
{
    Virtqueue *q = &r->queues[queue];

    if (!virtio_queue_live(r, queue))
        return NULL;
    VitVirtqueueState *s = &r->virtio->state->queues[queue];
    if (available(r, q, s) <= 0)
        return NULL;

    uint16_t head, slots = 1;
    VirtqChain chain;
    chain.n = chain.n_out = 0;
    chain.out_size = chain.in_size = 0;
    if (virtq_packed(r)) {
        const char *why = virtq_packed_take(r, q, s, &chain, &head, &slots);
        if (why) {
            unmap_all(r->sys, chain.iov, chain.n, chain.n_out, 0);
            virtio_broken_locked(r, why);
            return NULL;
        }
        r->busy++;
        return element_new(r, queue, head, slots, &chain);
    }
    if (!virtq_read16(r, &q->avail, s->avail, RING_ENTRIES + 2u * (s->last_avail & (s->size - 1u)),
                &head)) {
        virtio_broken_locked(r, "the available ring lies outside of RAM");
        return NULL;
    }
    const char *why = chain_walk(r, q, s, head, &chain);
    if (why) {
        unmap_all(r->sys, chain.iov, chain.n, chain.n_out, 0);
        virtio_broken_locked(r, why);
        return NULL;
    }
    s->last_avail++;
    if (virtq_event_idx(r) && !q->quiet)
        (void) virtq_write16(r, &q->used, s->used, RING_ENTRIES + 8u * s->size, s->last_avail);
    r->busy++;
    return element_new(r, queue, head, slots, &chain);
}

VitVirtqElement *vit_virtq_pop(VitVirtio *v, unsigned queue)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    VitVirtqElement *e = pop_locked(r, queue);
    pthread_mutex_unlock(&r->lock);
    return e;
}

/* ---- Giving back ----------------------------------------------------------------------------- */

static bool used_write(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s, uint16_t index,
                       uint16_t head, uint32_t written)
{
    uint32_t entry[2] = { GUINT32_TO_LE((uint32_t) head), GUINT32_TO_LE(written) };
    unsigned offset = RING_ENTRIES + 8u * (index & (s->size - 1u));

    if (!q->used.host)
        return virtq_ram_access(r->sys->memory, s->used + offset, entry, sizeof entry, true);
    memcpy(q->used.host + offset, entry, sizeof entry);
    vit_ram_mark_dirty(q->used.ram, q->used.ram_offset + offset, sizeof entry);
    return true;
}

static bool should_notify(VitVirtioRings *r, unsigned queue)
{
    Virtqueue *q = &r->queues[queue];
    uint16_t value;
    VitVirtqueueState *s = &r->virtio->state->queues[queue];
    uint8_t status = r->virtio->state->status;

    /* Not virtio_queue_live(): what completes while the device comes to rest must be told. */
    if (!s->enabled || r->reset_pending || !(status & VIT_VIRTIO_DRIVER_OK) ||
        (status & VIT_VIRTIO_NEEDS_RESET))
        return false;
    virtq_refresh(r, q, s);
    atomic_thread_fence(memory_order_seq_cst);      /* used index before what the driver asks for */
    if (virtq_packed(r))
        return virtq_packed_should_notify(r, q, s);
    if (!virtq_event_idx(r))
        return virtq_read16(r, &q->avail, s->avail, RING_FLAGS, &value) &&
               !(value & AVAIL_NO_INTERRUPT);

    uint16_t now = s->used_index, before = s->signalled;
    bool valid = s->signalled_valid;
    s->signalled = now;
    s->signalled_valid = true;
    if (!virtq_read16(r, &q->avail, s->avail, RING_ENTRIES + 2u * s->size, &value))
        return false;
    return !valid || (uint16_t) (now - value - 1) < (uint16_t) (now - before);
}

static void push_locked(VitVirtioRings *r, VitVirtqElement *const *elements, unsigned n)
{
    unsigned queue = elements[0]->queue;
    Virtqueue *q = &r->queues[queue];
    VitVirtqueueState *s = &r->virtio->state->queues[queue];

    if (elements[0]->life != r->life || !s->enabled ||
        (r->virtio->state->status & VIT_VIRTIO_NEEDS_RESET))
        return;
    bool ok = true;
    virtq_refresh(r, q, s);
    if (virtq_packed(r)) {
        for (unsigned i = 0; i < n && ok; i++)
            ok = virtq_packed_put(r, q, s, elements[i],
                                  (uint32_t) MIN(elements[i]->written, UINT32_MAX));
        if (!ok)
            virtio_broken_locked(r, "the descriptor ring lies outside of RAM");
        return;
    }
    for (unsigned i = 0; i < n && ok; i++)
        ok = used_write(r, q, s, (uint16_t) (s->used_index + i), elements[i]->head,
                        (uint32_t) MIN(elements[i]->written, UINT32_MAX));
    s->used_index = (uint16_t) (s->used_index + n);
    if (s->signalled_valid && (uint16_t) (s->used_index - s->signalled) < n)
        s->signalled_valid = false;     /* went all the way round without an interrupt */
    if (!ok || !virtq_write16(r, &q->used, s->used, RING_INDEX, s->used_index))
        virtio_broken_locked(r, "the used ring lies outside of RAM");
}

void virtq_push(VitVirtqElement *const *elements, unsigned n, bool notify)
{
    if (n == 0)
        return;
    VitVirtio *v = elements[0]->virtio;
    VitVirtioRings *r = v->rings;
    unsigned queue = elements[0]->queue;

    for (unsigned i = 0; i < n; i++)
        unmap_all(r->sys, elements[i]->map, elements[i]->n_map, elements[i]->n_map_out,
                  MIN(elements[i]->written, elements[i]->in_size));
    pthread_mutex_lock(&r->lock);
    push_locked(r, elements, n);
    if (notify && should_notify(r, queue) && v->transport) {
        pthread_mutex_unlock(&r->lock);
        v->transport->notify_queue(v->transport_opaque, queue);
        pthread_mutex_lock(&r->lock);
    }
    for (unsigned i = 0; i < n; i++) {
        virtio_unbusy(r);
        g_free(elements[i]);
    }
    pthread_mutex_unlock(&r->lock);
}

void vit_virtq_push_many(VitVirtqElement *const *elements, const size_t *written, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        elements[i]->written = written[i];
    virtq_push(elements, n, false);
}

void vit_virtq_push(VitVirtqElement *element, size_t written)
{
    vit_virtq_push_many(&element, &written, 1);
}

void vit_virtq_unpop(VitVirtqElement *e)
{
    VitVirtioRings *r = e->virtio->rings;

    unmap_all(r->sys, e->map, e->n_map, e->n_map_out, e->in_size);
    pthread_mutex_lock(&r->lock);
    VitVirtqueueState *s = &r->virtio->state->queues[e->queue];
    if (e->life == r->life && virtq_packed(r))
        virtq_packed_untake(s, e->slots);
    else if (e->life == r->life)
        s->last_avail--;
    virtio_unbusy(r);
    pthread_mutex_unlock(&r->lock);
    g_free(e);
}

/* ---- Notifications --------------------------------------------------------------------------- */

void vit_virtq_notify(VitVirtio *v, unsigned queue)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    bool notify = should_notify(r, queue);
    pthread_mutex_unlock(&r->lock);
    if (notify && v->transport)
        v->transport->notify_queue(v->transport_opaque, queue);
}

void virtq_set_notification(VitVirtioRings *r, unsigned queue, bool on)
{
    Virtqueue *q = &r->queues[queue];

    q->quiet = !on;
    if (!virtio_queue_live(r, queue))
        return;
    VitVirtqueueState *s = &r->virtio->state->queues[queue];
    virtq_refresh(r, q, s);
    if (virtq_packed(r))
        virtq_packed_set_notification(r, q, s, on);
    else if (!virtq_event_idx(r))
        (void) virtq_write16(r, &q->used, s->used, RING_FLAGS, on ? 0 : USED_NO_NOTIFY);
    else if (on)
        (void) virtq_write16(r, &q->used, s->used, RING_ENTRIES + 8u * s->size, s->last_avail);
    atomic_thread_fence(memory_order_seq_cst);      /* our wish before the next look at the ring */
}

bool virtq_has_buffers_locked(VitVirtioRings *r, unsigned queue)
{
    return virtio_queue_live(r, queue) &&
           available(r, &r->queues[queue], &r->virtio->state->queues[queue]) > 0;
}

bool vit_virtq_has_buffers(VitVirtio *v, unsigned queue)
{
    VitVirtioRings *r = v->rings;
    pthread_mutex_lock(&r->lock);
    bool has = virtq_has_buffers_locked(r, queue);
    pthread_mutex_unlock(&r->lock);
    return has;
}
