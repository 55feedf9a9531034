/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue-packed.c - packed virtqueues (Virtual I/O Device 1.2, section 2.8)
 *
 * One ring of descriptors that both sides write.  A position is kept as in the event structures:
 * the index in bits 0 to 14, the wrap counter in bit 15. */
#include "hw/virtio/virtqueue-private.h"

#include <string.h>

enum {
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    DESC_AVAIL = 1 << 7,
    DESC_USED = 1 << 15,
    AT_LEN = 8,
    AT_ID = 12,
    AT_FLAGS = 14,
    EVENT_POSITION = 0,
    EVENT_FLAGS = 2,
    EVENTS_ON = 0,
    EVENTS_OFF = 1,
    EVENTS_AT = 2,
    WRAP = 0x8000,
    INDEX = 0x7fff,
};

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t id, flags;
} Packed;

static void decode(const uint8_t *raw, Packed *d)
{
    Packed le;
    static_assert(sizeof le == VIRTQ_DESC_SIZE);
    memcpy(&le, raw, sizeof le);
    *d = (Packed){ GUINT64_FROM_LE(le.addr), GUINT32_FROM_LE(le.len), GUINT16_FROM_LE(le.id),
                   GUINT16_FROM_LE(le.flags) };
}

static uint16_t advance(uint16_t position, unsigned by, unsigned size)
{
    unsigned index = (position & INDEX) + by;
    uint16_t wrap = position & WRAP;

    return index >= size ? (uint16_t)((index - size) | (wrap ^ WRAP)) : (uint16_t)(index | wrap);
}

static bool read_descriptor(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s,
                            unsigned index, Packed *d)
{
    uint8_t raw[VIRTQ_DESC_SIZE];
    uint64_t offset = (uint64_t)index * VIRTQ_DESC_SIZE;

    if (q->desc.host) memcpy(raw, q->desc.host + offset, sizeof raw);
    else if (!virtq_ram_access(r->sys->memory, s->desc + offset, raw, sizeof raw, false))
        return false;
    decode(raw, d);
    return true;
}

int virtq_packed_available(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s)
{
    bool wrap = s->last_avail & WRAP;
    uint16_t flags;

    if (!virtq_read16(r, &q->desc, s->desc,
                      (s->last_avail & INDEX) * VIRTQ_DESC_SIZE + (unsigned)AT_FLAGS, &flags)) {
        virtio_broken_locked(r, "the descriptor ring lies outside of RAM");
        return -1;
    }
    return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static const char *take_indirect(VitVirtioRings *r, const Packed *d, VirtqChain *chain)
{
    VitAddressSpace *as = r->sys->memory;

    if (!d->len || d->len % VIRTQ_DESC_SIZE || d->len > sizeof r->indirect)
        return "an indirect table has a wrong size";
    if (!virtq_ram_access(as, d->addr, r->indirect, d->len, false))
        return "an indirect table lies outside of RAM";
    for (unsigned i = 0; i < d->len / VIRTQ_DESC_SIZE; i++) {
        Packed entry;
        decode(r->indirect + i * VIRTQ_DESC_SIZE, &entry);
        if (entry.flags & DESC_INDIRECT) return "an indirect descriptor where none may be";
        const char *why = virtq_chain_add(as, chain, entry.addr, entry.len,
                                          entry.flags & DESC_WRITE);
        if (why) return why;
    }
    return NULL;
}

const char *virtq_packed_take(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s,
                              VirtqChain *chain, uint16_t *id, uint16_t *slots)
{
    uint16_t at = s->last_avail;

    for (*slots = 1;; (*slots)++) {
        Packed d;
        const char *why;
        if (*slots > s->size) return "a descriptor chain loops";
        if (!read_descriptor(r, q, s, at & INDEX, &d))
            return "the descriptor ring lies outside of RAM";
        at = advance(at, 1, s->size);
        *id = d.id;
        if (d.flags & DESC_INDIRECT) {
            if (*slots > 1 || (d.flags & DESC_NEXT) ||
                !(r->virtio->state->driver_features & VIT_VIRTIO_F_INDIRECT))
                return "an indirect descriptor where none may be";
            why = take_indirect(r, &d, chain);
        } else {
            why = virtq_chain_add(r->sys->memory, chain, d.addr, d.len, d.flags & DESC_WRITE);
        }
        if (why) return why;
        if (!(d.flags & DESC_NEXT)) break;
    }
    s->last_avail = at;
    return NULL;
}

void virtq_packed_untake(VitVirtqueueState *s, uint16_t slots)
{
    unsigned index = s->last_avail & INDEX;
    uint16_t wrap = s->last_avail & WRAP;

    if (index < slots) {
        index += s->size;
        wrap ^= WRAP;
    }
    s->last_avail = (uint16_t)((index - slots) | wrap);
}

/* How far `to` is ahead of `from`, at most one lap. */
static unsigned distance(uint16_t from, uint16_t to, unsigned size)
{
    unsigned a = from & INDEX, b = to & INDEX;

    return ((from ^ to) & WRAP) ? b + size - a : b - a;
}

bool virtq_packed_put(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s,
                      const VitVirtqElement *element, uint32_t written)
{
    unsigned offset = (s->used_index & INDEX) * (unsigned)VIRTQ_DESC_SIZE;
    uint16_t flags = (uint16_t)((s->used_index & WRAP ? DESC_AVAIL | DESC_USED : 0) |
                                (element->in_size ? DESC_WRITE : 0));
    uint32_t len = GUINT32_TO_LE(written);
    uint16_t id = GUINT16_TO_LE(element->head);

    if (q->desc.host) {
        memcpy(q->desc.host + offset + AT_LEN, &len, sizeof len);
        memcpy(q->desc.host + offset + AT_ID, &id, sizeof id);
        vit_ram_mark_dirty(q->desc.ram, q->desc.ram_offset + offset, VIRTQ_DESC_SIZE);
    } else if (!virtq_ram_access(r->sys->memory, s->desc + offset + AT_LEN, &len, sizeof len,
                                 true) ||
               !virtq_ram_access(r->sys->memory, s->desc + offset + AT_ID, &id, sizeof id, true)) {
        return false;
    }
    if (!virtq_write16(r, &q->desc, s->desc, offset + (unsigned)AT_FLAGS, flags)) return false;
    if (s->signalled_valid &&
        distance(s->signalled, s->used_index, s->size) + element->slots >= s->size)
        s->signalled_valid = false;     /* goes all the way round without an interrupt */
    s->used_index = advance(s->used_index, element->slots, s->size);
    return true;
}

bool virtq_packed_should_notify(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s)
{
    uint16_t flags, event, now = s->used_index, before = s->signalled;
    bool valid = s->signalled_valid;

    if (!virtq_read16(r, &q->avail, s->avail, EVENT_FLAGS, &flags)) return false;
    s->signalled = now;
    s->signalled_valid = true;
    if (flags == EVENTS_OFF) return false;
    if (flags != EVENTS_AT || !virtq_event_idx(r) || !valid) return true;
    if (!virtq_read16(r, &q->avail, s->avail, EVENT_POSITION, &event)) return false;
    /* All three as indices of the present lap; those of the lap before are negative (2.8.10). */
    uint16_t lap = now & WRAP;
    uint16_t new = now &INDEX;
    uint16_t old = (uint16_t)((before & INDEX) - ((before & WRAP) != lap ? s->size : 0));
    uint16_t wanted = (uint16_t)((event & INDEX) - ((event & WRAP) != lap ? s->size : 0));
    return (uint16_t)(new - wanted - 1) < (uint16_t)(new - old);
}

void virtq_packed_set_notification(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s,
                                   bool on)
{
    (void)virtq_write16(r, &q->used, s->used, EVENT_FLAGS, on ? EVENTS_ON : EVENTS_OFF);
}
