/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga-memory.c - the memory window 0xa0000..0xbffff: planes, latches, write and read
 * modes
 *
 * IBM VGA technical reference (1992), "Video Memory Organization" and "Graphics Controller".  Video
 * memory keeps the four planes interleaved: plane p of plane address a is byte 4*a + p.  In Bochs
 * VBE modes of 8 bits and more the window is 64 KiB of linear memory instead. */
#include "hw/display/vga-private.h"

#include <string.h>

enum { UNMAPPED = UINT32_MAX };

/* The address within the display memory that the window shows, or UNMAPPED. */
static uint32_t window_address(const Vga *v, uint64_t offset)
{
    switch (v->st.gc[GC_MISC] >> 2 & 3) {
    case 0:
        return (uint32_t) offset;
    case 1:
        return offset < 0x10000 ? (uint32_t) offset : UNMAPPED;
    case 2:
        return offset >= 0x10000 && offset < 0x18000 ? (uint32_t) offset - 0x10000 : UNMAPPED;
    default:
        return offset >= 0x18000 ? (uint32_t) offset - 0x18000 : UNMAPPED;
    }
}

static bool linear(const Vga *v)
{
    return vga_vbe_on(v) && v->st.vbe[VBE_BPP] >= 8;
}

static uint64_t linear_address(const Vga *v, uint64_t offset)
{
    return offset < 0x10000 ? (uint64_t) v->st.vbe[VBE_BANK] * 0x10000 + offset : UINT64_MAX;
}

/* Byte index of plane 0 at plane address a. */
static uint64_t plane_index(const Vga *v, uint32_t a)
{
    uint64_t address = a;
    if (vga_vbe_on(v))
        address += (uint64_t) v->st.vbe[VBE_BANK] * 0x10000;
    else
        address &= 0xffff;
    return address * 4 & (v->vram->size - 1);
}

static uint32_t load_planes(const Vga *v, uint64_t index)
{
    uint32_t planes;
    memcpy(&planes, v->vram->host + index, sizeof planes);
    return GUINT32_FROM_LE(planes);
}

/* Bit n of the mask becomes byte n of all ones. */
static uint32_t expand(unsigned mask)
{
    return (mask & 1 ? 0xffu : 0) | (mask & 2 ? 0xff00u : 0) | (mask & 4 ? 0xff0000u : 0) |
           (mask & 8 ? 0xff000000u : 0);
}

static uint8_t read_byte(Vga *v, uint64_t offset)
{
    if (linear(v)) {
        uint64_t at = linear_address(v, offset);
        return at < v->vram->size ? v->vram->host[at] : 0xff;
    }
    uint32_t a = window_address(v, offset);
    unsigned plane = v->st.gc[GC_READ_MAP] & 3;
    if (a == UNMAPPED)
        return 0xff;
    if (v->st.seq[SEQ_MODE] & 8) {                  /* chain four: the address picks the plane */
        plane = a & 3;
        a &= ~3u;
    } else if (v->st.gc[GC_MODE] & 0x10) {          /* odd/even */
        plane = (plane & 2) | (a & 1);
        a &= ~1u;
    }
    v->st.latch = load_planes(v, plane_index(v, a));
    if (v->st.gc[GC_MODE] & 8) {
        uint32_t differs = (v->st.latch ^ expand(v->st.gc[GC_COMPARE])) &
                           expand(v->st.gc[GC_DONT_CARE]);
        return (uint8_t) ~(differs | differs >> 8 | differs >> 16 | differs >> 24);
    }
    return (uint8_t) (v->st.latch >> (8 * plane));
}

static uint32_t rotated(const Vga *v, uint8_t value)
{
    unsigned n = v->st.gc[GC_ROTATE] & 7;
    return (uint8_t) (value >> n | value << (8 - n));
}

/* What the four planes are to hold, before the map mask. */
static uint32_t compose(const Vga *v, uint8_t value)
{
    const uint8_t *gc = v->st.gc;
    uint32_t mask = gc[GC_BIT_MASK] * 0x01010101u, set = expand(gc[GC_SET_RESET]), data;

    switch (gc[GC_MODE] & 3) {
    case 1:
        return v->st.latch;
    case 2:
        data = expand(value);
        break;
    case 3:
        mask &= rotated(v, value) * 0x01010101u;
        data = set;
        break;
    default: {
        uint32_t chosen = expand(gc[GC_ENABLE_SR]);
        data = (rotated(v, value) * 0x01010101u & ~chosen) | (set & chosen);
        break;
    }
    }
    switch (gc[GC_ROTATE] >> 3 & 3) {
    case 1:
        data &= v->st.latch;
        break;
    case 2:
        data |= v->st.latch;
        break;
    case 3:
        data ^= v->st.latch;
        break;
    }
    return (data & mask) | (v->st.latch & ~mask);
}

static void write_byte(Vga *v, uint64_t offset, uint8_t value)
{
    if (linear(v)) {
        uint64_t at = linear_address(v, offset);
        if (at < v->vram->size) {
            v->vram->host[at] = value;
            vit_ram_mark_dirty(v->vram, at, 1);
        }
        return;
    }
    uint32_t a = window_address(v, offset);
    unsigned planes = v->st.seq[SEQ_MAP_MASK] & 15;
    if (a == UNMAPPED)
        return;
    if (v->st.seq[SEQ_MODE] & 8) {
        planes &= 1u << (a & 3);
        a &= ~3u;
    } else if (!(v->st.seq[SEQ_MODE] & 4)) {        /* odd/even */
        planes &= a & 1 ? 10 : 5;
        a &= ~1u;
    }
    uint64_t index = plane_index(v, a);
    uint32_t old = load_planes(v, index), mask = expand(planes);
    uint32_t fresh = (old & ~mask) | (compose(v, value) & mask);
    if (fresh == old)
        return;
    /* The fonts live in plane 2: characters already drawn have changed. */
    if ((fresh ^ old) & 0xff0000 && !(v->st.gc[GC_MISC] & 1))
        v->redraw = true;
    fresh = GUINT32_TO_LE(fresh);
    memcpy(v->vram->host + index, &fresh, sizeof fresh);
    vit_ram_mark_dirty(v->vram, index, sizeof fresh);
}

static bool memory_enabled(const Vga *v)
{
    return v->st.misc & 2;
}

static uint64_t legacy_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *v = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t) (memory_enabled(v) ? read_byte(v, offset + i) : 0xff) << (8 * i);
    return value;
}

static void legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Vga *v = opaque;

    for (unsigned i = 0; i < size && memory_enabled(v); i++)
        write_byte(v, offset + i, (uint8_t) (value >> (8 * i)));
}

const VitMmioOps vga_legacy_ops = {
    .read = legacy_read, .write = legacy_write, .min_size = 1, .max_size = 8,
};
