/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/bochs-vbe.c - the DISPI registers of the Bochs VBE extension (interface version B0C5)
 *
 * "VBE display API" of the Bochs documentation: index and data at ports 0x1ce and 0x1cf, or all
 * registers side by side at BAR 2 + 0x500. */
#include "hw/display/vga-private.h"

#include <string.h>

static bool good_bpp(unsigned bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Bytes of n pixels; 4 bits: of one plane times four, as memory is interleaved. */
static uint64_t pixel_bytes(unsigned bpp, uint64_t n)
{
    return bpp == 4 ? n / 2 : n * ((bpp + 7) / 8);
}

bool vga_vbe_geometry(const Vga *v, unsigned *stride, uint64_t *start, unsigned *lines)
{
    const uint16_t *vbe = v->st.vbe;
    unsigned bpp = vbe[VBE_BPP];
    uint64_t line = pixel_bytes(bpp, MAX(vbe[VBE_VIRT_WIDTH], vbe[VBE_XRES]));
    uint64_t first = vbe[VBE_Y_OFFSET] * line + pixel_bytes(bpp, vbe[VBE_X_OFFSET]);
    uint64_t width = pixel_bytes(bpp, vbe[VBE_XRES]);

    if (!good_bpp(bpp) || !line || !width || !vbe[VBE_YRES] || first + width > v->vram->size)
        return false;
    *stride = (unsigned) line;
    *start = first;
    *lines = (unsigned) MIN(vbe[VBE_YRES], (v->vram->size - first - width) / line + 1);
    return true;
}

/* The virtual screen is at least the visible one; its height is what memory holds. */
static void fit(Vga *v)
{
    uint16_t *vbe = v->st.vbe;

    if (vbe[VBE_VIRT_WIDTH] < vbe[VBE_XRES])
        vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
    uint64_t line = pixel_bytes(vbe[VBE_BPP], vbe[VBE_VIRT_WIDTH]);
    vbe[VBE_VIRT_HEIGHT] = line ? (uint16_t) MIN(v->vram->size / line, UINT16_MAX) : 0;
}

static void enable(Vga *v, uint16_t value)
{
    uint16_t *vbe = v->st.vbe;
    bool was = vbe[VBE_ENABLE] & VBE_ENABLED;

    vbe[VBE_ENABLE] = value;
    if (!(value & VBE_ENABLED)) {
        vbe[VBE_BANK] = 0;
        return;
    }
    if (was)
        return;
    vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
    vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = vbe[VBE_BANK] = 0;
    fit(v);
    if (!(value & VBE_NOCLEAR)) {
        uint64_t bytes = pixel_bytes(vbe[VBE_BPP], vbe[VBE_VIRT_WIDTH]) * vbe[VBE_YRES];
        bytes = MIN(bytes, v->vram->size);
        memset(v->vram->host, 0, bytes);
        vit_ram_mark_dirty(v->vram, 0, bytes);
    }
}

static uint16_t dispi_get(const Vga *v, unsigned index)
{
    if (index >= VBE_COUNT)
        return 0;
    if (v->st.vbe[VBE_ENABLE] & VBE_GETCAPS) {
        switch (index) {
        case VBE_XRES:
            return VBE_MAX_X;
        case VBE_YRES:
            return VBE_MAX_Y;
        case VBE_BPP:
            return 32;
        }
    }
    if (index == VBE_MEMORY_64K)
        return (uint16_t) (v->vram->size >> 16);
    return v->st.vbe[index];
}

static void dispi_put(Vga *v, unsigned index, uint16_t value)
{
    uint16_t *vbe = v->st.vbe;
    bool on = vga_vbe_on(v);

    v->redraw = true;
    switch (index) {
    case VBE_ID:
        if (value >= 0xb0c0 && value <= 0xb0c5)
            vbe[VBE_ID] = value;
        break;
    case VBE_XRES:
        if (!on && value <= VBE_MAX_X)
            vbe[VBE_XRES] = value & (uint16_t) ~7;
        break;
    case VBE_YRES:
        if (!on && value <= VBE_MAX_Y)
            vbe[VBE_YRES] = value;
        break;
    case VBE_BPP:
        if (!on && (good_bpp(value) || value == 0))
            vbe[VBE_BPP] = value ? value : 8;
        break;
    case VBE_ENABLE:
        enable(v, value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR));
        break;
    case VBE_BANK:
        vbe[VBE_BANK] = value & (uint16_t) ((v->vram->size >> 16) - 1);
        break;
    case VBE_VIRT_WIDTH:
        if (value <= VBE_MAX_X * 2) {
            vbe[VBE_VIRT_WIDTH] = value & (uint16_t) ~7;
            fit(v);
        }
        break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vbe[index] = value;
        break;
    }
}

uint64_t vga_dispi_read(VitDevice *d, uint32_t offset)
{
    return dispi_get((Vga *) d, (offset - VGA_MMIO_DISPI) / 2);
}

void vga_dispi_write(VitDevice *d, uint32_t offset, uint64_t value)
{
    dispi_put((Vga *) d, (offset - VGA_MMIO_DISPI) / 2, (uint16_t) value);
}

/* Port 0x1ce is the index; 0x1cf (and 0x1d0, for machines that must align) the data, 16 bits
 * each. */
static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *v = opaque;
    return offset == 0 ? v->st.vbe_index : dispi_get(v, v->st.vbe_index);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Vga *v = opaque;
    if (offset == 0)
        v->st.vbe_index = (uint16_t) value;
    else if (size >= 2)
        dispi_put(v, v->st.vbe_index, (uint16_t) value);
}

const VitMmioOps vga_dispi_port_ops = {
    .read = port_read, .write = port_write, .min_size = 1, .max_size = 2,
};
