/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga-private.h - the card's state, shared by its registers, memory window and
 * renderer */
#pragma once
#include "hw/deferred.h"
#include "hw/display/vga.h"
#include <stdatomic.h>

enum {
    /* offsets in the device's window; the first two parts are BAR 2 as the guest sees it */
    VGA_MMIO_EDID = 0x000, VGA_MMIO_PORTS = 0x400, VGA_MMIO_DISPI = 0x500, VGA_MMIO_EXT = 0x600,
    VGA_MMIO_SIZE = 0x1000, VGA_DISPI_PORTS = 0x1000, VGA_WINDOW_SIZE = 0x1010,
    VGA_LEGACY_BASE = 0xa0000, VGA_LEGACY_SIZE = 0x20000,
    VGA_EDID_SIZE = 256,
};

enum { SEQ_CLOCKING = 1, SEQ_MAP_MASK = 2, SEQ_FONT = 3, SEQ_MODE = 4 };
enum { GC_SET_RESET, GC_ENABLE_SR, GC_COMPARE, GC_ROTATE, GC_READ_MAP, GC_MODE, GC_MISC,
       GC_DONT_CARE, GC_BIT_MASK };
enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PANNING, ATTR_COLOR_SELECT,
       ATTR_ON = 0x20 };

enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT,
       VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY_64K, VBE_COUNT };
enum { VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40,
       VBE_NOCLEAR = 0x80, VBE_MAX_X = 8192, VBE_MAX_Y = 8192 };

typedef struct VgaVram VgaVram;     /* video memory, alive while a surface shows it */

typedef struct {
    VitDevice      parent;
    uint32_t       vgamem_mb;       /* option */
    bool           edid_on;         /* option */
    VitPciBus     *bus;             /* borrowed, or NULL */
    int            devfn;
    VitPciFunction *pci;            /* owned by the system */
    uint8_t       *rom;             /* owned, rom_size bytes */
    size_t         rom_size;
    VitRam        *rom_ram;         /* owned */
    VgaVram       *vram_ref;        /* owned */
    VitRam        *vram;            /* of vram_ref */
    VitRegion     *framebuffer;     /* owned: BAR 0 */
    VitRegion     *legacy_space;    /* borrowed: where legacy lies */
    VitRegion     *legacy;          /* owned: 0xa0000..0xbffff */
    VitRegion     *dispi_ports;     /* owned: ports 0x1ce..0x1d0 */
    VitRegion     *ports;           /* of the device: 0x3c0..0x3df */
    VitRegion     *mono_ports;      /* of the device: 0x3b0..0x3bf, while misc says so */
    VitScanout    *scanout;         /* owned */
    VitDeferred   *refresh;         /* owned */
    atomic_bool    asleep;          /* another device draws into the scanout */
    bool           slept;           /* the scanout's surface is not ours any more */
    VitVgaResize   resize;          /* NULL: the guest cannot be told */
    void          *resize_opaque;
    uint8_t        edid[VGA_EDID_SIZE];

    /* what has been drawn; see vga-render.c */
    VitSurface    *surface;         /* owned reference, or NULL */
    bool           redraw;          /* registers have changed: compare nothing, draw all */
    bool           surface_shared;
    uint64_t       shared_start;
    uint32_t       cells[256 * 128];    /* text as drawn */
    unsigned long *dirty;           /* owned: bit a page */

    struct {
        uint8_t  misc, feature, subsystem;
        uint8_t  seq_index, gc_index, crtc_index, attr_index;
        bool     attr_data;         /* the next write to 0x3c0 is data */
        uint8_t  seq[8], gc[16], crtc[32], attr[32];
        uint8_t  dac_mask, dac_read, dac_write, dac_step, dac_hold[3];
        bool     dac_reading;
        uint8_t  palette[768];
        uint32_t latch;             /* byte n = plane n */
        uint16_t vbe_index, vbe[VBE_COUNT];
    } st;                           /* guarded by the machine lock */
} Vga;

static inline bool vga_vbe_on(const Vga *v)
{
    return v->st.vbe[VBE_ENABLE] & VBE_ENABLED;
}

VgaVram *vga_vram_ref(VgaVram *vram);
void vga_vram_unref(void *vram);

/* vga-memory.c: the window at 0xa0000 */
extern const VitMmioOps vga_legacy_ops;
/* bochs-vbe.c */
extern const VitMmioOps vga_dispi_port_ops;
uint64_t vga_dispi_read(VitDevice *d, uint32_t offset);
void vga_dispi_write(VitDevice *d, uint32_t offset, uint64_t value);
/* Bytes from one line to the next and of the first pixel; false: no picture fits video memory. */
bool vga_vbe_geometry(const Vga *v, unsigned *stride, uint64_t *start, unsigned *lines);
/* vga-render.c: brings the scanout up to date; machine lock held */
void vga_render(void *vga);
