/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtqueue-access.c - guest memory as rings and chains of buffers use it */
#include "hw/virtio/virtqueue-private.h"

#include <string.h>

/* ---- Access to the areas, lock held ---------------------------------------------------------- */

bool virtq_ram_access(VitAddressSpace *as, uint64_t addr, void *buf, size_t size, bool write)
{
    uint8_t *bytes = buf;

    while (size) {
        VitMemTarget t = vit_as_translate(as, addr);
        size_t part = MIN(size, t.length);
        if (!t.host || !part || (write && t.readonly)) return false;
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
    if (!whole || ((uintptr_t)t.host & 3)) return (RingArea){ 0 };
    return (RingArea){ .host = t.host, .ram = t.ram, .ram_offset = t.ram_offset };
}

void virtq_refresh(VitVirtioRings *r, Virtqueue *q, const VitVirtqueueState *s)
{
    VitAddressSpace *as = r->sys->memory;
    uint64_t view = vit_as_generation(as);

    if (q->areas_valid && q->view == view) return;
    bool packed = virtq_packed(r);
    q->desc = area_map(as, s->desc, (uint64_t)s->size * VIRTQ_DESC_SIZE, packed);
    q->avail = area_map(as, s->avail, packed ? 4 : 6 + 2ull * s->size, false);
    q->used = area_map(as, s->used, packed ? 4 : 6 + 8ull * s->size, true);
    q->view = view;
    q->areas_valid = true;
}

bool virtq_read16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                  uint16_t *value)
{
    if (area->host) {
        *value = GUINT16_FROM_LE(
            __atomic_load_n((uint16_t *)(area->host + offset), __ATOMIC_ACQUIRE));
        return true;
    }
    uint16_t raw;
    if (!virtq_ram_access(r->sys->memory, base + offset, &raw, 2, false)) return false;
    atomic_thread_fence(memory_order_acquire);
    *value = GUINT16_FROM_LE(raw);
    return true;
}

bool virtq_write16(VitVirtioRings *r, const RingArea *area, uint64_t base, unsigned offset,
                   uint16_t value)
{
    uint16_t raw = GUINT16_TO_LE(value);
    if (area->host) {
        __atomic_store_n((uint16_t *)(area->host + offset), raw, __ATOMIC_RELEASE);
        vit_ram_mark_dirty(area->ram, area->ram_offset + offset, 2);
        return true;
    }
    atomic_thread_fence(memory_order_release);
    return virtq_ram_access(r->sys->memory, base + offset, &raw, 2, true);
}

/* ---- Chains, lock held ----------------------------------------------------------------------- */

const char *virtq_chain_add(VitAddressSpace *as, VirtqChain *chain, uint64_t addr, uint64_t left,
                            bool write)
{
    if (!write && chain->n > chain->n_out) return "a readable buffer follows a writable one";
    if (addr + left < addr) return "a buffer wraps around the address space";
    while (left) {
        uint64_t size = left;
        void *host = vit_as_map(as, addr, &size, write);
        if (!host || !size) return "a buffer lies outside of RAM";
        if (chain->n == VIT_VIRTIO_CHAIN) {
            vit_as_unmap(as, host, size, false);
            return "a chain has too many buffers";
        }
        chain->iov[chain->n++] = (struct iovec){ host, size };
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
