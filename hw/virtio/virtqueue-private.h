/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue-private.h - between the split rings of virtqueue.c, the packed rings of
 * virtqueue-packed.c and what both use.  All with the queue lock held. */
#pragma once
#include "hw/virtio/virtio-private.h"

enum { VIRTQ_DESC_SIZE = 16 };

typedef struct {
    struct iovec iov[VIT_VIRTIO_CHAIN];
    unsigned     n, n_out;
    size_t       out_size, in_size;
} VirtqChain;

static inline bool virtq_event_idx(const VitVirtioRings *r)
{
    return r->virtio->state->driver_features & VIT_VIRTIO_F_EVENT_IDX;
}

static inline bool virtq_packed(const VitVirtioRings *r)
{
    return r->virtio->state->driver_features & VIT_VIRTIO_F_PACKED;
}

/* virtqueue-access.c.  False: not RAM. */
bool virtq_ram_access(VitAddressSpace *as, uint64_t addr, void *buf, size_t size, bool write);
void virtq_refresh(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s);
bool virtq_read16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                  uint16_t *value);
bool virtq_write16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                   uint16_t value);
/* Adds a buffer; NULL or what is wrong with it. */
const char *virtq_chain_add(VitAddressSpace *as, VirtqChain *chain, uint64_t addr, uint64_t left,
                            bool write);

/* virtqueue-packed.c */
int virtq_packed_available(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s);
const char *virtq_packed_take(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s,
                              VirtqChain *chain, uint16_t *id, uint16_t *slots);
void virtq_packed_untake(VitVirtqueueState *s, uint16_t slots);
bool virtq_packed_put(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s,
                      const VitVirtqElement *element, uint32_t written);
bool virtq_packed_should_notify(VitVirtioRings *r, Virtqueue *q, VitVirtqueueState *s);
void virtq_packed_set_notification(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s,
                                   bool on);
