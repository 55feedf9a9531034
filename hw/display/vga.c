/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga.c - VGA registers and the PCI card around them
 *
 * IBM VGA technical reference (1992); PCI ids, BAR layout and MMIO page as QEMU's "standard VGA"
 * specification describes them (VGA ports at BAR 2 + 0x400, DISPI at + 0x500), so that existing
 * guest drivers and video BIOSes find their card.
 * Wires: ports 0x3b0..0x3df, 0x1ce..0x1d0; memory 0xa0000..0xbffff; BAR 0 frame buffer, BAR 2 MMIO.
 * Not modelled: vertical interrupt, light pen, sense switches. */
#include "hw/display/vga-private.h"

#include "hw/pci/pci-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

struct VgaVram { int ref_count; VitRam *ram; };

VgaVram *vga_vram_ref(VgaVram *vram)
{
    g_atomic_int_inc(&vram->ref_count);
    return vram;
}

void vga_vram_unref(void *data)
{
    VgaVram *vram = data;
    if (!vram || !g_atomic_int_dec_and_test(&vram->ref_count))
        return;
    vit_ram_free(vram->ram);
    g_free(vram);
}

/* ---- registers ------------------------------------------------------------------------------- */

enum { P_ATTR = VGA_MMIO_PORTS, P_ATTR_READ, P_MISC, P_SUBSYSTEM, P_SEQ, P_SEQ_DATA, P_DAC_MASK,
       P_DAC_READ, P_DAC_WRITE, P_DAC_DATA, P_FEATURE, P_MISC_READ = VGA_MMIO_PORTS + 0xc,
       P_GC = VGA_MMIO_PORTS + 0xe, P_GC_DATA, P_CRTC = VGA_MMIO_PORTS + 0x14, P_CRTC_DATA,
       P_STATUS1 = VGA_MMIO_PORTS + 0x1a };

static int vga_bank(VitDevice *d, uint32_t offset)
{
    const Vga *v = (Vga *) d;

    switch (offset) {
    case P_SEQ_DATA:
        return v->st.seq_index;
    case P_GC_DATA:
        return v->st.gc_index;
    case P_CRTC_DATA:
        return v->st.crtc_index;
    case P_ATTR_READ:
        return v->st.attr_index & 31;
    }
    return 0;
}

static void changed(VitDevice *d, uint32_t offset, uint64_t old)
{
    ((Vga *) d)->redraw = true;
}

static uint64_t read_attr_index(VitDevice *d, uint32_t offset)
{
    return ((Vga *) d)->st.attr_index;
}

static void write_attr(VitDevice *d, uint32_t offset, uint64_t value)
{
    static const uint8_t masks[32] = {
        [0 ... 15] = 0x3f, [ATTR_MODE] = 0xef, [ATTR_OVERSCAN] = 0xff, [ATTR_PLANES] = 0x3f,
        [ATTR_PANNING] = 0x0f, [ATTR_COLOR_SELECT] = 0x0f,
    };
    Vga *v = (Vga *) d;

    if (v->st.attr_data) {
        unsigned index = v->st.attr_index & 31;
        /* The palette is out of reach while it is displayed. */
        if (index >= 16 || !(v->st.attr_index & ATTR_ON)) {
            v->redraw |= v->st.attr[index] != (value & masks[index]);
            v->st.attr[index] = (uint8_t) value & masks[index];
        }
    } else {
        v->redraw |= (v->st.attr_index ^ value) & ATTR_ON;
        v->st.attr_index = value & 0x3f;
    }
    v->st.attr_data = !v->st.attr_data;
}

static void show_ports(Vga *v)
{
    if (v->mono_ports)
        vit_region_move(v->mono_ports, v->st.misc & 1 ? 0x3d0 : 0x3b0);
}

static uint64_t read_status0(VitDevice *d, uint32_t offset)
{
    return 0x10;    /* a colour monitor answers */
}

static void write_misc(VitDevice *d, uint32_t offset, uint64_t value)
{
    Vga *v = (Vga *) d;
    bool moved = (v->st.misc ^ value) & 1;

    v->st.misc = (uint8_t) value;
    v->redraw = true;
    if (moved)
        show_ports(v);
}

/* Retrace runs by the machine's clock: 70 frames a second of 449 lines, 400 of them shown. */
static uint64_t read_status1(VitDevice *d, uint32_t offset)
{
    enum { LINES = 449, SHOWN = 400, SYNC = 412, SYNC_END = 414 };
    const int64_t frame = VIT_NS_PER_S / 70, line = frame / LINES;
    Vga *v = (Vga *) d;
    int64_t at = vit_clock_now(d->sys->clock) % frame, y = at / line, x = at % line;
    unsigned value = 0;

    v->st.attr_data = false;
    if (y >= SHOWN || x > line * 4 / 5)
        value |= 0x01;
    if (y >= SYNC && y < SYNC_END)
        value |= 0x08;
    return value;
}

static void write_feature(VitDevice *d, uint32_t offset, uint64_t value)
{
    ((Vga *) d)->st.feature = value & 3;
}

static void write_protected(VitDevice *d, uint32_t offset, uint64_t value)
{
    Vga *v = (Vga *) d;
    unsigned index = v->st.crtc_index & 31;

    if (!(v->st.crtc[0x11] & 0x80))
        v->st.crtc[index] = (uint8_t) value;
    else if (index == 7)            /* of these, only the line compare bit stays open */
        v->st.crtc[7] = (uint8_t) ((v->st.crtc[7] & ~0x10) | (value & 0x10));
    else
        return;
    v->redraw = true;
}

/* Text follows a moved start by comparing cells; scrolling by a hair is common. */
static void start_changed(VitDevice *d, uint32_t offset, uint64_t old)
{
    Vga *v = (Vga *) d;
    v->redraw |= v->st.gc[GC_MISC] & 1;
}

/* ---- DAC ------------------------------------------------------------------------------------- */

static uint64_t read_dac_state(VitDevice *d, uint32_t offset)
{
    return ((Vga *) d)->st.dac_reading ? 3 : 0;
}

static void write_dac_read(VitDevice *d, uint32_t offset, uint64_t value)
{
    Vga *v = (Vga *) d;
    v->st.dac_read = (uint8_t) value;
    v->st.dac_step = 0;
    v->st.dac_reading = true;
}

static uint64_t read_dac_write(VitDevice *d, uint32_t offset)
{
    return ((Vga *) d)->st.dac_write;
}

static void write_dac_write(VitDevice *d, uint32_t offset, uint64_t value)
{
    Vga *v = (Vga *) d;
    v->st.dac_write = (uint8_t) value;
    v->st.dac_step = 0;
    v->st.dac_reading = false;
}

static uint64_t read_dac_data(VitDevice *d, uint32_t offset)
{
    Vga *v = (Vga *) d;
    uint8_t value = v->st.palette[v->st.dac_read * 3 + v->st.dac_step];

    if (++v->st.dac_step == 3) {
        v->st.dac_step = 0;
        v->st.dac_read++;
    }
    return value;
}

static void write_dac_data(VitDevice *d, uint32_t offset, uint64_t value)
{
    Vga *v = (Vga *) d;

    v->st.dac_hold[v->st.dac_step] = v->st.vbe[VBE_ENABLE] & VBE_8BIT_DAC ? (uint8_t) value
                                                                          : value & 0x3f;
    if (++v->st.dac_step == 3) {
        v->st.dac_step = 0;
        memcpy(&v->st.palette[v->st.dac_write * 3], v->st.dac_hold, 3);
        v->st.dac_write++;
        v->redraw = true;
    }
}

/* ---- MMIO page ------------------------------------------------------------------------------- */

static uint64_t read_edid(VitDevice *d, uint32_t offset)
{
    const Vga *v = (Vga *) d;
    return v->edid_on ? v->edid[offset] : 0xff;
}

static uint64_t read_ext_size(VitDevice *d, uint32_t offset)
{
    return 8;
}

static uint64_t read_endian(VitDevice *d, uint32_t offset)
{
    return 0x1e1e1e1e;      /* little, and nothing else */
}

static void ignore(VitDevice *d, uint32_t offset, uint64_t value)
{
}

#define SEQ(n, reg, mask)                                                                          \
    { P_SEQ_DATA, n, reg, VIT_AT(Vga, st.seq[n]), .rw = mask, .wrote = changed }
#define GC(n, reg, mask) { P_GC_DATA, n, reg, VIT_AT(Vga, st.gc[n]), .rw = mask, .wrote = changed }
#define CRTC(n, reg, ...)                                                                          \
    { P_CRTC_DATA, n, reg, VIT_AT(Vga, st.crtc[n]), .rw = 0xff, ##__VA_ARGS__ }
#define ATTR(n, reg) { P_ATTR_READ, n, reg, VIT_AT(Vga, st.attr[n]) }

static const VitReg vga_regs[] = {
    { VGA_MMIO_EDID, VIT_ANY_BANK, "EDID", .size = 1, .count = VGA_EDID_SIZE, .read = read_edid,
      .write = ignore },
    { P_ATTR, VIT_ANY_BANK, "ATTR", .read = read_attr_index, .write = write_attr },
    ATTR(0, "PALETTE0"), ATTR(1, "PALETTE1"), ATTR(2, "PALETTE2"), ATTR(3, "PALETTE3"),
    ATTR(4, "PALETTE4"), ATTR(5, "PALETTE5"), ATTR(6, "PALETTE6"), ATTR(7, "PALETTE7"),
    ATTR(8, "PALETTE8"), ATTR(9, "PALETTE9"), ATTR(10, "PALETTE10"), ATTR(11, "PALETTE11"),
    ATTR(12, "PALETTE12"), ATTR(13, "PALETTE13"), ATTR(14, "PALETTE14"), ATTR(15, "PALETTE15"),
    ATTR(ATTR_MODE, "ATTRIBUTE MODE"), ATTR(ATTR_OVERSCAN, "OVERSCAN COLOR"),
    ATTR(ATTR_PLANES, "COLOR PLANE ENABLE"), ATTR(ATTR_PANNING, "HORIZONTAL PEL PANNING"),
    ATTR(ATTR_COLOR_SELECT, "COLOR SELECT"),
    { P_MISC, VIT_ANY_BANK, "STATUS0/MISC", .read = read_status0, .write = write_misc },
    { P_SUBSYSTEM, VIT_ANY_BANK, "SUBSYSTEM ENABLE", VIT_AT(Vga, st.subsystem), .rw = 0x01,
      .reset = 0x01 },
    { P_SEQ, VIT_ANY_BANK, "SEQUENCER ADDRESS", VIT_AT(Vga, st.seq_index), .rw = 0x07 },
    SEQ(0, "RESET", 0x03),
    SEQ(SEQ_CLOCKING, "CLOCKING MODE", 0x3d),
    SEQ(SEQ_MAP_MASK, "MAP MASK", 0x0f),
    SEQ(SEQ_FONT, "CHARACTER MAP SELECT", 0x3f),
    SEQ(SEQ_MODE, "MEMORY MODE", 0x0e),
    { P_DAC_MASK, VIT_ANY_BANK, "PEL MASK", VIT_AT(Vga, st.dac_mask), .rw = 0xff, .reset = 0xff,
      .wrote = changed },
    { P_DAC_READ, VIT_ANY_BANK, "DAC STATE/READ ADDRESS", .read = read_dac_state,
      .write = write_dac_read },
    { P_DAC_WRITE, VIT_ANY_BANK, "DAC WRITE ADDRESS", .read = read_dac_write,
      .write = write_dac_write },
    { P_DAC_DATA, VIT_ANY_BANK, "DAC DATA", .read = read_dac_data, .write = write_dac_data },
    { P_FEATURE, VIT_ANY_BANK, "FEATURE CONTROL", VIT_AT(Vga, st.feature) },
    { P_MISC_READ, VIT_ANY_BANK, "MISC READ", VIT_AT(Vga, st.misc) },
    { P_GC, VIT_ANY_BANK, "GRAPHICS ADDRESS", VIT_AT(Vga, st.gc_index), .rw = 0x0f },
    GC(GC_SET_RESET, "SET/RESET", 0x0f),
    GC(GC_ENABLE_SR, "ENABLE SET/RESET", 0x0f),
    GC(GC_COMPARE, "COLOR COMPARE", 0x0f),
    GC(GC_ROTATE, "DATA ROTATE", 0x1f),
    GC(GC_READ_MAP, "READ MAP SELECT", 0x03),
    GC(GC_MODE, "GRAPHICS MODE", 0x7b),
    GC(GC_MISC, "MISCELLANEOUS", 0x0f),
    GC(GC_DONT_CARE, "COLOR DON'T CARE", 0x0f),
    GC(GC_BIT_MASK, "BIT MASK", 0xff),
    { P_CRTC, VIT_ANY_BANK, "CRTC ADDRESS", VIT_AT(Vga, st.crtc_index), .rw = 0x1f },
    CRTC(0x00, "HORIZONTAL TOTAL", .write = write_protected),
    CRTC(0x01, "HORIZONTAL DISPLAY END", .write = write_protected),
    CRTC(0x02, "HORIZONTAL BLANKING START", .write = write_protected),
    CRTC(0x03, "HORIZONTAL BLANKING END", .write = write_protected),
    CRTC(0x04, "HORIZONTAL RETRACE START", .write = write_protected),
    CRTC(0x05, "HORIZONTAL RETRACE END", .write = write_protected),
    CRTC(0x06, "VERTICAL TOTAL", .write = write_protected),
    CRTC(0x07, "OVERFLOW", .write = write_protected),
    CRTC(0x08, "PRESET ROW SCAN", .wrote = changed),
    CRTC(0x09, "MAXIMUM SCAN LINE", .wrote = changed),
    CRTC(0x0a, "CURSOR START"),
    CRTC(0x0b, "CURSOR END"),
    CRTC(0x0c, "START ADDRESS HIGH", .wrote = start_changed),
    CRTC(0x0d, "START ADDRESS LOW", .wrote = start_changed),
    CRTC(0x0e, "CURSOR LOCATION HIGH"),
    CRTC(0x0f, "CURSOR LOCATION LOW"),
    CRTC(0x10, "VERTICAL RETRACE START", .wrote = changed),
    CRTC(0x11, "VERTICAL RETRACE END", .wrote = changed),
    CRTC(0x12, "VERTICAL DISPLAY END", .wrote = changed),
    CRTC(0x13, "OFFSET", .wrote = changed),
    CRTC(0x14, "UNDERLINE LOCATION", .wrote = changed),
    CRTC(0x15, "VERTICAL BLANKING START", .wrote = changed),
    CRTC(0x16, "VERTICAL BLANKING END", .wrote = changed),
    CRTC(0x17, "CRTC MODE", .wrote = changed),
    CRTC(0x18, "LINE COMPARE", .wrote = changed),
    { P_STATUS1, VIT_ANY_BANK, "STATUS1/FEATURE", .read = read_status1, .write = write_feature },
    { VGA_MMIO_DISPI, VIT_ANY_BANK, "DISPI", .size = 2, .count = VBE_COUNT, .read = vga_dispi_read,
      .write = vga_dispi_write },
    { VGA_MMIO_EXT, VIT_ANY_BANK, "EXT SIZE", .size = 4, .read = read_ext_size, .write = ignore },
    { VGA_MMIO_EXT + 4, VIT_ANY_BANK, "EXT ENDIAN", .size = 4, .read = read_endian,
      .write = ignore },
    { VGA_DISPI_PORTS, VIT_ANY_BANK, "DISPI INDEX", VIT_AT(Vga, st.vbe_index), .rw = 0xffff },
};

/* Elements that no register shows, so that the tables cover each array whole. */
static const VitField vga_hidden[] = {
    VIT_UINT(Vga, st.attr_index, .max = 0x3f),
    VIT_BOOL(Vga, st.attr_data, false),
    { .kind = VIT_FIELD_UINT, .width = 1, .offset = offsetof(Vga, st.seq[5]), .count = 3,
      .name = "st.seq+5" },
    { .kind = VIT_FIELD_UINT, .width = 1, .offset = offsetof(Vga, st.gc[9]), .count = 7,
      .name = "st.gc+9" },
    { .kind = VIT_FIELD_UINT, .width = 1, .offset = offsetof(Vga, st.crtc[0x19]), .count = 7,
      .name = "st.crtc+19" },
    { .kind = VIT_FIELD_UINT, .width = 1, .offset = offsetof(Vga, st.attr[0x15]), .count = 11,
      .name = "st.attr+15" },
    VIT_UINT(Vga, st.dac_read),
    VIT_UINT(Vga, st.dac_write),
    VIT_UINT(Vga, st.dac_step, .max = 2),
    VIT_BYTES(Vga, st.dac_hold),
    VIT_BOOL(Vga, st.dac_reading, false),
    VIT_BYTES(Vga, st.palette),
    VIT_UINT(Vga, st.latch),
    VIT_UINTS(Vga, st.vbe),
    { VIT_END },
};

/* ---- the card -------------------------------------------------------------------------------- */

static void request_refresh(void *producer)
{
    Vga *v = producer;
    vit_deferred_schedule(v->refresh);
}

static void request_size(void *producer, int width, int height, int width_mm, int height_mm)
{
    Vga *v = producer;
    if (v->resize)
        v->resize(v->resize_opaque, width, height, width_mm, height_mm);
}

static const VitScanoutProducer scanout_ops = {
    .refresh = request_refresh, .resize = request_size,
};

static bool plug_pci(Vga *v, bool legacy, GError **error)
{
    const VitPciIds ids = {
        .vendor = 0x1234, .device = 0x1111, .subsys_vendor = 0x1af4, .subsys = 0x1100,
        .revision = 2, .base_class = 0x03, .subclass = legacy ? 0x00 : 0x80,
    };

    g_autofree char *id = g_strconcat(v->parent.id, ".pci", NULL);

    v->pci = vit_pci_function_new(v->bus, v->devfn, &ids, id, error);
    if (!v->pci)
        return false;
    vit_pci_set_bar(v->pci, 0, v->framebuffer, false, false, true);
    vit_pci_set_bar(v->pci, 2, vit_device_window(&v->parent, 0, VGA_MMIO_SIZE), false, false,
                    false);
    if (v->rom_ram)
        vit_pci_set_rom(v->pci, v->rom_ram, v->rom_size);
    return true;
}

static void map_legacy(Vga *v)
{
    VitSystem *sys = v->parent.sys;

    /* The chipset shows the legacy window of PCI memory, unless it is closed for SMRAM. */
    v->legacy_space = v->bus->root->memory;
    v->legacy = vit_region_new_mmio("vga-window", &vga_legacy_ops, v, VGA_LEGACY_SIZE);
    v->dispi_ports = vit_region_new_mmio("vga-dispi", &vga_dispi_port_ops, v, 3);
    v->ports = vit_device_window(&v->parent, VGA_MMIO_PORTS, 0x10);
    v->mono_ports = vit_device_window(&v->parent, VGA_MMIO_PORTS + 0x10, 0x10);
    vit_region_add(v->legacy_space, VGA_LEGACY_BASE, v->legacy, 1);
    vit_region_add(sys->io_root, 0x1ce, v->dispi_ports, 1);
    vit_region_add(sys->io_root, 0x3c0, v->ports, 1);
    vit_region_add(sys->io_root, 0x3b0, v->mono_ports, 1);
}

static bool load_rom(Vga *v, GError **error)
{
    uint64_t size = VIT_PAGE_SIZE;

    if (v->rom_size == 0)
        return true;
    while (size < v->rom_size)
        size *= 2;
    v->rom_ram = vit_ram_new("vga-rom", size, error);
    if (v->rom_ram)
        memcpy(v->rom_ram->host, v->rom, v->rom_size);
    return v->rom_ram != NULL;
}

static bool vga_init(VitDevice *d, GError **error)
{
    Vga *v = (Vga *) d;
    bool legacy = d->klass == &vit_vga_class;

    if (v->vgamem_mb < 1 || v->vgamem_mb > 256 || (v->vgamem_mb & (v->vgamem_mb - 1))) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: vgamem_mb=%u is not a power of two from 1 to 256"), d->id, v->vgamem_mb);
        return false;
    }
    VitRam *ram = vit_ram_new("vga-vram", (uint64_t) v->vgamem_mb << 20, error);
    if (!ram)
        return false;
    v->vram_ref = g_new(VgaVram, 1);
    *v->vram_ref = (VgaVram) { 1, ram };
    v->vram = ram;
    v->dirty = g_malloc0(ram->size / VIT_PAGE_SIZE / 8 + sizeof(unsigned long));
    vit_ram_track(ram, VIT_DIRTY_DISPLAY, true);
    v->framebuffer = vit_region_new_ram("vga-framebuffer", ram, 0, ram->size);
    v->refresh = vit_deferred_new(d->sys, vga_render, v);
    v->scanout = vit_scanout_new(d->id, &scanout_ops, v);
    if (!load_rom(v, error))
        return false;
    if (!v->bus)
        return true;
    if (!plug_pci(v, legacy, error))
        return false;
    if (legacy)
        map_legacy(v);
    return true;
}

static void drop_region(VitRegion *root, VitRegion **region, bool owned)
{
    if (!*region)
        return;
    vit_region_remove(root, *region);
    if (owned)
        vit_region_free(*region);
    *region = NULL;
}

static void vga_finish(VitDevice *d)
{
    Vga *v = (Vga *) d;

    drop_region(v->legacy_space, &v->legacy, true);
    drop_region(d->sys->io_root, &v->dispi_ports, true);
    drop_region(d->sys->io_root, &v->ports, false);
    drop_region(d->sys->io_root, &v->mono_ports, false);
    vit_deferred_free(v->refresh);
    vit_scanout_free(v->scanout);
    vit_surface_unref(v->surface);
    vit_region_free(v->framebuffer);
    vga_vram_unref(v->vram_ref);
    vit_ram_free(v->rom_ram);
    g_free(v->rom);
    g_free(v->dirty);
}

static void vga_loaded(VitDevice *d)
{
    Vga *v = (Vga *) d;
    v->redraw = true;
    show_ports(v);
}

static void vga_reset(VitDevice *d)
{
    Vga *v = (Vga *) d;

    v->st.vbe[VBE_ID] = 0xb0c5;
    v->st.vbe[VBE_BPP] = 8;
    vga_loaded(d);
}

void vit_vga_join(VitDevice *d, VitPciFunction *fn)
{
    Vga *v = (Vga *) d;

    v->pci = fn;
    v->bus = vit_pci_function_bus(fn);
    vit_pci_set_bar(fn, 0, v->framebuffer, false, false, true);
    if (v->rom_ram)
        vit_pci_set_rom(fn, v->rom_ram, v->rom_size);
    map_legacy(v);
    show_ports(v);
}

void vit_vga_set_asleep(VitDevice *d, bool asleep)
{
    Vga *v = (Vga *) d;
    if (atomic_exchange(&v->asleep, asleep) && !asleep)
        vit_deferred_schedule(v->refresh);
}

void vit_vga_set_resize(VitDevice *d, VitVgaResize resize, void *opaque)
{
    Vga *v = (Vga *) d;
    v->resize_opaque = opaque;
    v->resize = resize;
}

void vit_vga_attach(VitDevice *d, VitPciBus *bus, int devfn)
{
    Vga *v = (Vga *) d;
    v->bus = bus;
    v->devfn = devfn;
}

void vit_vga_set_rom(VitDevice *d, const uint8_t *rom, size_t size)
{
    Vga *v = (Vga *) d;
    g_free(v->rom);
    v->rom = g_memdup2(rom, size);
    v->rom_size = size;
}

void vit_vga_set_edid(VitDevice *d, const uint8_t *edid, size_t size)
{
    Vga *v = (Vga *) d;
    memset(v->edid, 0, sizeof v->edid);
    memcpy(v->edid, edid, MIN(size, sizeof v->edid));
}

VitScanout *vit_vga_scanout(VitDevice *d)
{
    return ((Vga *) d)->scanout;
}

VitRam *vit_vga_vram(VitDevice *d)
{
    return ((Vga *) d)->vram;
}

static const VitProp vga_props[] = {
    VIT_PROP("vgamem_mb", VIT_PROP_U32, Vga, vgamem_mb, "16",
             "video memory in MiB, a power of two"),
    VIT_PROP("edid", VIT_PROP_BOOL, Vga, edid_on, "on", "tell the guest the display's sizes"),
    {},
};

#define VGA_CLASS                                                                                  \
    .version = 1, VIT_STATE(Vga, st), .mmio_size = VGA_WINDOW_SIZE, VIT_REGS(vga_regs),            \
    .hidden = vga_hidden, .props = vga_props, .bank = vga_bank, .init = vga_init,                  \
    .finish = vga_finish, .reset = vga_reset, .loaded = vga_loaded

const VitDeviceClass vit_vga_class = {
    .name = "VGA", .description = "VGA with Bochs VBE, PCI", VGA_CLASS };
const VitDeviceClass vit_bochs_display_class = {
    .name = "bochs-display", .description = "Linear frame buffer with Bochs VBE registers, PCI",
    VGA_CLASS };
