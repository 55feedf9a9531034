/* engine/core/memory-bulk.c - DMA: transfers of any length and direct mappings of RAM
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/memory-private.h"

#include <string.h>

/* Bytes copied in one read section, so that a transfer of gigabytes does not hold up retiring. */
enum { COPY_STEP = 1 << 20 };

typedef enum { BULK_READ, BULK_WRITE, BULK_FILL } BulkKind;

static VitMemResult worse(VitMemResult a, VitMemResult b)
{
    return a == VIT_MEM_UNASSIGNED || b == VIT_MEM_OK ? a : b;
}

/* The widest naturally aligned access at addr within size. */
static unsigned widest(uint64_t addr, uint64_t size)
{
    unsigned width = 8;
    while (width > 1 && ((addr & (width - 1)) || width > size))
        width /= 2;
    return width;
}

/* One access of `width` bytes. */
static VitMemResult bulk_mmio(VitAddressSpace *as, BulkKind kind, uint64_t addr, uint8_t *buf,
                              uint8_t byte, unsigned width)
{
    uint64_t value = 0;
    if (kind == BULK_WRITE)
        memcpy(&value, buf, width);
    else if (kind == BULK_FILL)
        value = byte * UINT64_C(0x0101010101010101);
    value = GUINT64_FROM_LE(value);
    VitMemResult result = vit_as_mmio_access(as, addr, width, &value, kind != BULK_READ);
    value = GUINT64_TO_LE(value);
    if (kind == BULK_READ)
        memcpy(buf, &value, width);
    return result;
}

static VitMemResult bulk_ram(const FlatRange *range, BulkKind kind, uint64_t addr, uint8_t *buf,
                             uint8_t byte, uint64_t size)
{
    uint64_t offset = range->ram_offset + (addr - range->start);
    uint8_t *host = range->ram->host + offset;
    if (kind == BULK_READ) {
        memcpy(buf, host, size);
        return VIT_MEM_OK;
    }
    if (range->readonly)
        return VIT_MEM_READONLY;
    if (kind == BULK_WRITE)
        memcpy(host, buf, size);
    else
        memset(host, byte, size);
    vit_ram_mark_dirty(range->ram, offset, size);
    return VIT_MEM_OK;
}

static VitMemResult bulk(VitAddressSpace *as, BulkKind kind, uint64_t addr, uint8_t *buf,
                         uint8_t byte, uint64_t size)
{
    VitMemResult result = VIT_MEM_OK;
    while (size > 0) {
        vit_rcu_enter();
        FlatView *view = vit_rcu_load(as->view);
        const FlatRange *range = vit_flat_view_find(view, addr);
        uint64_t part = range->last - addr < size - 1 ? range->last - addr + 1 : size;
        bool mmio = range->ops != NULL;
        if (range->ram) {
            part = MIN(part, COPY_STEP);
            result = worse(result, bulk_ram(range, kind, addr, buf, byte, part));
        } else if (!mmio) {
            if (kind == BULK_READ)
                memset(buf, 0xff, part);
            result = VIT_MEM_UNASSIGNED;
        }
        vit_rcu_leave(view);
        if (mmio) {
            /* One access at a time: the callbacks may change the map. */
            part = widest(addr, part);
            result = worse(result, bulk_mmio(as, kind, addr, buf, byte, (unsigned) part));
        }
        if (buf)
            buf += part;
        addr += part;       /* wraps at 2^64, as the bus does */
        size -= part;
    }
    return result;
}

VitMemResult vit_as_read(VitAddressSpace *as, uint64_t addr, void *buf, uint64_t size)
{
    return bulk(as, BULK_READ, addr, buf, 0, size);
}

VitMemResult vit_as_write(VitAddressSpace *as, uint64_t addr, const void *buf, uint64_t size)
{
    return bulk(as, BULK_WRITE, addr, (uint8_t *) buf, 0, size);
}

VitMemResult vit_as_fill(VitAddressSpace *as, uint64_t addr, uint8_t byte, uint64_t size)
{
    return bulk(as, BULK_FILL, addr, NULL, byte, size);
}

void *vit_as_map(VitAddressSpace *as, uint64_t addr, uint64_t *size, bool write)
{
    VitMemTarget target = vit_as_translate(as, addr);
    if (!target.ram || (write && target.readonly) || *size == 0) {
        *size = 0;
        return NULL;
    }
    *size = MIN(*size, target.length);
    return target.host;
}

void vit_as_unmap(VitAddressSpace *as, void *host, uint64_t size, bool written)
{
    if (!host || !size || !written)
        return;
    pthread_mutex_lock(&as->listener_mutex);
    VitRam *ram = NULL;
    uint8_t *byte = host;
    for (guint i = 0; i < as->rams->len && !ram; i++) {
        VitRam *candidate = as->rams->pdata[i];
        if (byte >= candidate->host && (uint64_t) (byte - candidate->host) < candidate->size)
            ram = candidate;
    }
    pthread_mutex_unlock(&as->listener_mutex);
    if (ram)    /* else the block left the map meanwhile, and nobody looks at it */
        vit_ram_mark_dirty(ram, (uint64_t) (byte - ram->host), size);
}
