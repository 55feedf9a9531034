/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue.c - split virtqueues (Virtual I/O Device 1.2, section 2.7)
 *
 * Everything in the rings is written by the guest while we read it: each value is read once, then
 * checked.  Chains are bounded by the table they are in and by VIT_VIRTIO_CHAIN.  Rings and buffers
 * must be RAM: device memory is refused, since an access to it may need the machine lock. */
#include "hw/virtio/virtio-private.h"

#include "engine/core/log.h"

#include <string.h>

enum {
    DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_SIZE = 16,
    AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1,
    RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4,
};

typedef struct { uint64_t addr; uint32_t len; uint16_t flags, next; } Descriptor;

/* ---- Access to the areas, lock held ---------------------------------------------------------- */

static bool ram_access(VitAddressSpace *as, uint64_t addr, void *buf, size_t size, bool write)
{
    uint8_t *bytes = buf;

    while (size) {
        VitMemTarget t = vit_as_translate(as, addr);
        size_t part = MIN(size, t.length);
        if (!t.host || !part || (write && t.readonly))
            return false;
        if (write) {
            memcpy(t.host, bytes, part);
            vit_ram_mark_dirty(t.ram, t.ram_offset, part);
        } else {
            memcpy(bytes, t.host, part);
        }
        bytes += part;
        addr += part;
        size -= part;
    }
    return true;
}

static RingArea area_map(VitAddressSpace *as, uint64_t addr, uint64_t size, bool write)
{
    VitMemTarget t = vit_as_translate(as, addr);
    bool whole = t.host && t.length >= size && !(write && t.readonly);
    /* Unaligned areas break the rules, but must not break atomic accesses. */
    if (!whole || ((uintptr_t) t.host & 3))
        return (RingArea) { 0 };
    return (RingArea) { .host = t.host, .ram = t.ram, .ram_offset = t.ram_offset };
}

static void areas_refresh(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s)
{
    VitAddressSpace *as = r->sys->memory;
    uint64_t view = vit_as_generation(as);

    if (q->areas_valid && q->view == view)
        return;
    q->desc = area_map(as, s->desc, (uint64_t) s->size * DESC_SIZE, false);
    q->avail = area_map(as, s->avail, 6 + 2ull * s->size, false);
    q->used = area_map(as, s->used, 6 + 8ull * s->size, true);
    q->view = view;
    q->areas_valid = true;
}

static bool read16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                   uint16_t *value)
{
    if (area->host) {
        *value = GUINT16_FROM_LE(
            __atomic_load_n((uint16_t *) (area->host + offset), __ATOMIC_ACQUIRE));
        return true;
    }
    uint16_t raw;
    if (!ram_access(r->sys->memory, base + offset, &raw, 2, false))
        return false;
    atomic_thread_fence(memory_order_acquire);
    *value = GUINT16_FROM_LE(raw);
    return true;
}

static bool write16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                    uint16_t value)
{
    uint16_t raw = GUINT16_TO_LE(value);
    if (area->host) {
        __atomic_store_n((uint16_t *) (area->host + offset), raw, __ATOMIC_RELEASE);
        vit_ram_mark_dirty(area->ram, area->ram_offset + offset, 2);
        return true;
    }
    atomic_thread_fence(memory_order_release);
    return ram_access(r->sys->memory, base + offset, &raw, 2, true);
}

static void decode_descriptor(const uint8_t *raw, Descriptor *d)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } le;
    static_assert(sizeof le == DESC_SIZE);
    memcpy(&le, raw, sizeof le);
    *d = (Descriptor) { GUINT64_FROM_LE(le.addr), GUINT32_FROM_LE(le.len),
                        GUINT16_FROM_LE(le.flags), GUINT16_FROM_LE(le.next) };
}

static bool event_idx(const VitVirtioRings *r)
{
    return r->virtio->state->driver_features & VIT_VIRTIO_F_EVENT_IDX;
}

/* ---- Taking a chain, lock held --------------------------------------------------------------- */

typedef struct {
    struct iovec iov[VIT_VIRTIO_CHAIN];
    unsigned     n, n_out;
    size_t       out_size, in_size;
} Chain;

static const char *chain_add(VitAddressSpace *as, Chain *chain, const Descriptor *d)
{
    bool write = d->flags & DESC_WRITE;
    uint64_t addr = d->addr, left = d->len;

    if (!write && chain->n > chain->n_out)
        return "a readable buffer follows a writable one";
    if (addr + left < addr)
        return "a buffer wraps around the address space";
    while (left) {
        uint64_t size = left;
        void *host = vit_as_map(as, addr, &size, write);
        if (!host || !size)
            return "a buffer lies outside of RAM";
        if (chain->n == VIT_VIRTIO_CHAIN) {
            vit_as_unmap(as, host, size, false);
            return "a chain has too many buffers";
        }
        chain->iov[chain->n++] = (struct iovec) { host, size };
        if (write) {
            chain->in_size += size;
        } else {
            chain->out_size += size;
            chain->n_out = chain->n;
        }
        addr += size;
        left -= size;
    }
    return NULL;
}

static const char *chain_walk(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s,
                              uint16_t head, Chain *chain)
{
    VitAddressSpace *as = r->sys->memory;
    bool indirect = false;
    unsigned entries = s->size, index = head, steps = 0;

    for (;;) {
        uint8_t raw[DESC_SIZE];
        Descriptor d;
        if (index >= entries)
            return "a descriptor index is out of range";
        if (++steps > (indirect ? entries + s->size : entries))
            return "a descriptor chain loops";
        if (indirect)
            memcpy(raw, r->indirect + index * DESC_SIZE, DESC_SIZE);
        else if (q->desc.host)
            memcpy(raw, q->desc.host + index * DESC_SIZE, DESC_SIZE);
        else if (!ram_access(as, s->desc + index * DESC_SIZE, raw, DESC_SIZE, false))
            return "the descriptor table lies outside of RAM";
        decode_descriptor(raw, &d);

        if (d.flags & DESC_INDIRECT) {
            if (indirect || (d.flags & DESC_NEXT) ||
                !(r->virtio->state->driver_features & VIT_VIRTIO_F_INDIRECT))
                return "an indirect descriptor where none may be";
            if (!d.len || d.len % DESC_SIZE || d.len > sizeof r->indirect)
                return "an indirect table has a wrong size";
            if (!ram_access(as, d.addr, r->indirect, d.len, false))
                return "an indirect table lies outside of RAM";
            indirect = true;
            entries = d.len / DESC_SIZE;
            index = 0;
            continue;
        }
        const char *why = chain_add(as, chain, &d);
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
                                    const Chain *chain)
{
    size_t iovs = chain->n * sizeof(struct iovec);
    VitVirtqElement *e = g_malloc(sizeof *e + 2 * iovs);
    struct iovec *iov = (struct iovec *) (e + 1);

    if (iovs) {
        memcpy(iov, chain->iov, iovs);
        memcpy(iov + chain->n, chain->iov, iovs);
    }
    *e = (VitVirtqElement) {
        .virtio = r->virtio, .queue = queue, .head = head, .life = r->life,
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

    areas_refresh(r, q, s);
    if (!read16(r, &q->avail, s->avail, RING_INDEX, &index)) {
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

    uint16_t head;
    if (!read16(r, &q->avail, s->avail, RING_ENTRIES + 2u * (s->last_avail & (s->size - 1u)),
                &head)) {
        virtio_broken_locked(r, "the available ring lies outside of RAM");
        return NULL;
    }
    Chain chain;
    chain.n = chain.n_out = 0;
    chain.out_size = chain.in_size = 0;
    const char *why = chain_walk(r, q, s, head, &chain);
    if (why) {
        unmap_all(r->sys, chain.iov, chain.n, chain.n_out, 0);
        virtio_broken_locked(r, why);
        return NULL;
    }
    s->last_avail++;
    if (event_idx(r) && !q->quiet)
        (void) write16(r, &q->used, s->used, RING_ENTRIES + 8u * s->size, s->last_avail);
    r->busy++;
    return element_new(r, queue, head, &chain);
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
        return ram_access(r->sys->memory, s->used + offset, entry, sizeof entry, true);
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
    areas_refresh(r, q, s);
    atomic_thread_fence(memory_order_seq_cst);      /* used index before what the driver asks for */
    if (!event_idx(r))
        return read16(r, &q->avail, s->avail, RING_FLAGS, &value) && !(value & AVAIL_NO_INTERRUPT);

    uint16_t now = s->used_index, before = s->signalled;
    bool valid = s->signalled_valid;
    s->signalled = now;
    s->signalled_valid = true;
    if (!read16(r, &q->avail, s->avail, RING_ENTRIES + 2u * s->size, &value))
        return false;
    return !valid || (uint16_t) (now - value - 1) < (uint16_t) (now - before);
}

static void push_locked(VitVirtioRings *r, VitVirtqElement *const *elements, const size_t *written,
                        unsigned n)
{
    unsigned queue = elements[0]->queue;
    Virtqueue *q = &r->queues[queue];
    VitVirtqueueState *s = &r->virtio->state->queues[queue];

    if (elements[0]->life != r->life || !s->enabled ||
        (r->virtio->state->status & VIT_VIRTIO_NEEDS_RESET))
        return;
    bool ok = true;
    areas_refresh(r, q, s);
    for (unsigned i = 0; i < n && ok; i++)
        ok = used_write(r, q, s, (uint16_t) (s->used_index + i), elements[i]->head,
                        (uint32_t) MIN(written[i], UINT32_MAX));
    s->used_index = (uint16_t) (s->used_index + n);
    if (s->signalled_valid && (uint16_t) (s->used_index - s->signalled) < n)
        s->signalled_valid = false;     /* went all the way round without an interrupt */
    if (!ok || !write16(r, &q->used, s->used, RING_INDEX, s->used_index))
        virtio_broken_locked(r, "the used ring lies outside of RAM");
}

/* The elements stay outstanding until the interrupt is sent, which keeps the device alive. */
static void push(VitVirtqElement *const *elements, const size_t *written, unsigned n, bool notify)
{
    if (n == 0)
        return;
    VitVirtio *v = elements[0]->virtio;
    VitVirtioRings *r = v->rings;
    unsigned queue = elements[0]->queue;

    for (unsigned i = 0; i < n; i++)
        unmap_all(r->sys, elements[i]->map, elements[i]->n_map, elements[i]->n_map_out,
                  MIN(written[i], elements[i]->in_size));
    pthread_mutex_lock(&r->lock);
    push_locked(r, elements, written, n);
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
    push(elements, written, n, false);
}

void vit_virtq_push(VitVirtqElement *element, size_t written)
{
    push(&element, &written, 1, false);
}

void vit_virtq_complete(VitVirtqElement *element, size_t written)
{
    push(&element, &written, 1, true);
}

void vit_virtq_unpop(VitVirtqElement *e)
{
    VitVirtioRings *r = e->virtio->rings;

    unmap_all(r->sys, e->map, e->n_map, e->n_map_out, e->in_size);
    pthread_mutex_lock(&r->lock);
    if (e->life == r->life)
        r->virtio->state->queues[e->queue].last_avail--;
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
    areas_refresh(r, q, s);
    if (!event_idx(r))
        (void) write16(r, &q->used, s->used, RING_FLAGS, on ? 0 : USED_NO_NOTIFY);
    else if (on)
        (void) write16(r, &q->used, s->used, RING_ENTRIES + 8u * s->size, s->last_avail);
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
