/* engine/core/memory.c - single accesses to an address space: RAM without a lock, MMIO with it
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * MMIO leaves the read section before it takes the machine lock and looks the address up again
 * under it, where no tree change can happen: a region's owner may thus free it under the lock.
 * Between the parts of a split access the map may change, so each part is looked up anew. */
#include "engine/core/memory-private.h"

#include <string.h>

/* A callback that reaches MMIO again (DMA into registers) may do so this often. */
enum { MAX_MMIO_DEPTH = 16 };

static inline uint64_t all_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

/* Single atomic accesses where aligned: vCPUs share this memory with devices. */
static inline uint64_t load_host(const uint8_t *host, unsigned size)
{
    if (!((uintptr_t) host & (size - 1))) {
        switch (size) {
        case 1: return __atomic_load_n(host, __ATOMIC_RELAXED);
        case 2: return GUINT16_FROM_LE(__atomic_load_n((const uint16_t *) (const void *) host,
                                                       __ATOMIC_RELAXED));
        case 4: return GUINT32_FROM_LE(__atomic_load_n((const uint32_t *) (const void *) host,
                                                       __ATOMIC_RELAXED));
        case 8: return GUINT64_FROM_LE(__atomic_load_n((const uint64_t *) (const void *) host,
                                                       __ATOMIC_RELAXED));
        }
    }
    uint64_t value = 0;
    memcpy(&value, host, size);
    return GUINT64_FROM_LE(value);
}

static inline void store_host(uint8_t *host, uint64_t value, unsigned size)
{
    if (!((uintptr_t) host & (size - 1))) {
        switch (size) {
        case 1:
            __atomic_store_n(host, (uint8_t) value, __ATOMIC_RELAXED);
            return;
        case 2:
            __atomic_store_n((uint16_t *) (void *) host, GUINT16_TO_LE((uint16_t) value),
                             __ATOMIC_RELAXED);
            return;
        case 4:
            __atomic_store_n((uint32_t *) (void *) host, GUINT32_TO_LE((uint32_t) value),
                             __ATOMIC_RELAXED);
            return;
        case 8:
            __atomic_store_n((uint64_t *) (void *) host, GUINT64_TO_LE(value), __ATOMIC_RELAXED);
            return;
        }
    }
    value = GUINT64_TO_LE(value);
    memcpy(host, &value, size);
}

/* ---- MMIO ------------------------------------------------------------------------------------ */

/* One callback of a size that ops takes. */
static void call(const FlatRange *range, uint64_t offset, unsigned size, uint64_t *value,
                 bool write)
{
    if (write) {
        if (range->ops->write)
            range->ops->write(range->opaque, offset, *value & all_ones(size), size);
    } else {
        *value = range->ops->read ? range->ops->read(range->opaque, offset, size) & all_ones(size)
                                  : 0;
    }
}

/* Below min_size: the aligned unit around. */
static void call_widened(const FlatRange *range, uint64_t offset, unsigned size, unsigned min,
                         uint64_t *value, bool write)
{
    uint64_t unit = offset & ~(uint64_t) (min - 1);
    unsigned shift = 8 * (unsigned) (offset - unit);
    if (offset - unit + size > min) {   /* across two units: byte by byte */
        uint64_t result = 0;
        for (unsigned i = 0; i < size; i++) {
            uint64_t byte = *value >> (8 * i) & 0xff;
            call_widened(range, offset + i, 1, min, &byte, write);
            result |= (byte & 0xff) << (8 * i);
        }
        if (!write)
            *value = result;
        return;
    }
    uint64_t wide = (*value & all_ones(size)) << shift;
    call(range, unit, min, &wide, write);
    if (!write)
        *value = wide >> shift & all_ones(size);
}

/* One part, entirely in range; returns how many bytes were done, at least 1. */
static unsigned access_part(const FlatRange *range, uint64_t addr, unsigned size, uint64_t *value,
                            bool write)
{
    const VitMmioOps *ops = range->ops;
    unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : 4;
    while (size > max)
        size /= 2;
    uint64_t offset = range->offset + (addr - range->start);
    if (size < min)
        call_widened(range, offset, size, min, value, write);
    else
        call(range, offset, size, value, write);
    return size;
}

static VitMemResult worse(VitMemResult a, VitMemResult b)
{
    return a == VIT_MEM_UNASSIGNED || b == VIT_MEM_OK ? a : b;
}

/* The slow path of every access: any mixture of ranges.  The caller holds what keeps the view:
 * the machine lock, or a read section when everything in [addr, addr+size) is unlocked. */
static VitMemResult access_parts(VitAddressSpace *as, uint64_t addr, unsigned size, uint64_t *value,
                                 bool write)
{
    VitMemResult result = VIT_MEM_OK;
    uint64_t whole = 0;
    for (unsigned done = 0; done < size;) {
        FlatRange range = *vit_flat_view_find(vit_rcu_load(as->view), addr + done);
        uint64_t at = addr + done;
        unsigned part = size - done;
        while (part > 1 && range.last - at < part - 1)
            part /= 2;
        /* Three bytes that remain are two and one. */
        part = part >= 8 ? 8 : part >= 4 ? 4 : part >= 2 ? 2 : 1;
        uint64_t piece = *value >> (8 * done) & all_ones(part);
        if (range.ram) {
            uint64_t ram_offset = range.ram_offset + (at - range.start);
            if (!write) {
                piece = load_host(range.ram->host + ram_offset, part);
            } else if (range.readonly) {
                result = worse(result, VIT_MEM_READONLY);
            } else {
                store_host(range.ram->host + ram_offset, piece, part);
                vit_ram_mark_dirty(range.ram, ram_offset, part);
            }
        } else if (range.ops) {
            part = access_part(&range, at, part, &piece, write);
        } else {
            piece = all_ones(part);
            result = worse(result, VIT_MEM_UNASSIGNED);
        }
        whole |= (piece & all_ones(part)) << (8 * done);
        done += part;
    }
    if (!write)
        *value = whole;
    return result;
}

/* Under the machine lock, whatever is there. */
static VitMemResult access_locked(VitAddressSpace *as, uint64_t addr, unsigned size,
                                  uint64_t *value, bool write)
{
    VitMemResult result = VIT_MEM_UNASSIGNED;
    if (as->lock)
        g_rec_mutex_lock(as->lock);
    if (as->mmio_depth < MAX_MMIO_DEPTH) {
        as->mmio_depth++;
        result = access_parts(as, addr, size, value, write);
        as->mmio_depth--;
    } else if (!write) {
        *value = all_ones(size);
    }
    if (as->lock)
        g_rec_mutex_unlock(as->lock);
    return result;
}

static bool is_unlocked(const FlatRange *range, uint64_t addr, unsigned size)
{
    return range->ops && range->ops->unlocked && range->last - addr >= size - 1;
}

/* Inside the read section that found the range. */
static void access_unlocked(const FlatRange *range, uint64_t addr, unsigned size, uint64_t *value,
                            bool write)
{
    uint64_t whole = 0;
    for (unsigned done = 0; done < size;) {
        uint64_t piece = *value >> (8 * done);
        unsigned part = access_part(range, addr + done, size - done, &piece, write);
        whole |= (piece & all_ones(part)) << (8 * done);
        done += part;
    }
    if (!write)
        *value = whole;
}

VitMemResult vit_as_mmio_access(VitAddressSpace *as, uint64_t addr, unsigned size, uint64_t *value,
                                bool write)
{
    vit_rcu_enter();
    FlatView *view = vit_rcu_load(as->view);
    const FlatRange *range = vit_flat_view_find(view, addr);
    bool unlocked = is_unlocked(range, addr, size);
    if (unlocked)
        access_unlocked(range, addr, size, value, write);
    vit_rcu_leave(view);
    return unlocked ? VIT_MEM_OK : access_locked(as, addr, size, value, write);
}

/* ---- Accesses -------------------------------------------------------------------------------- */

static VitMemTarget target_of(const FlatRange *range, uint64_t addr)
{
    VitMemTarget target = {
        .ram = range->ram,
        .offset = range->offset + (addr - range->start),
        .length = range->last - addr == UINT64_MAX ? UINT64_MAX : range->last - addr + 1,
        .readonly = range->readonly,
        .assigned = range->region != NULL,
    };
    if (range->ram) {
        target.ram_offset = range->ram_offset + (addr - range->start);
        target.host = range->ram->host + target.ram_offset;
    }
    return target;
}

VitMemTarget vit_as_translate(VitAddressSpace *as, uint64_t addr)
{
    vit_rcu_enter();
    FlatView *view = vit_rcu_load(as->view);
    VitMemTarget target = target_of(vit_flat_view_find(view, addr), addr);
    vit_rcu_leave(view);
    return target;
}

uint64_t vit_as_load(VitAddressSpace *as, uint64_t addr, unsigned size, VitMemResult *result)
{
    uint64_t value = 0;
    VitMemResult ignored;
    if (!result)
        result = &ignored;
    vit_rcu_enter();
    FlatView *view = vit_rcu_load(as->view);
    const FlatRange *range = vit_flat_view_find(view, addr);
    if (range->last - addr >= size - 1 && (range->ram || !range->ops)) {
        if (range->ram) {
            value = load_host(range->ram->host + range->ram_offset + (addr - range->start), size);
            *result = VIT_MEM_OK;
        } else {
            value = all_ones(size);
            *result = VIT_MEM_UNASSIGNED;
        }
        vit_rcu_leave(view);
        return value;
    }
    bool unlocked = is_unlocked(range, addr, size);
    if (unlocked)
        access_unlocked(range, addr, size, &value, false);
    vit_rcu_leave(view);
    *result = unlocked ? VIT_MEM_OK : access_locked(as, addr, size, &value, false);
    return value;
}

VitMemResult vit_as_store(VitAddressSpace *as, uint64_t addr, uint64_t value, unsigned size)
{
    vit_rcu_enter();
    FlatView *view = vit_rcu_load(as->view);
    const FlatRange *range = vit_flat_view_find(view, addr);
    if (range->last - addr >= size - 1 && (range->ram || !range->ops)) {
        VitMemResult result = VIT_MEM_OK;
        if (!range->ram) {
            result = VIT_MEM_UNASSIGNED;
        } else if (range->readonly) {
            result = VIT_MEM_READONLY;
        } else {
            uint64_t offset = range->ram_offset + (addr - range->start);
            store_host(range->ram->host + offset, value, size);
            vit_ram_mark_dirty(range->ram, offset, size);
        }
        vit_rcu_leave(view);
        return result;
    }
    bool unlocked = is_unlocked(range, addr, size);
    if (unlocked)
        access_unlocked(range, addr, size, &value, true);
    vit_rcu_leave(view);
    return unlocked ? VIT_MEM_OK : access_locked(as, addr, size, &value, true);
}
