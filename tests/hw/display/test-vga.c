/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/display/test-vga.c - drives the card as a video BIOS and a guest would, looks at the
 * picture */
#include "hw/display/vga.h"

#include <string.h>

typedef struct {
    VitSystem *sys;
    VitPciBus *bus;
    VitDevice *vga;
    int        damages, surfaces;
    VitRect    last;
} Fixture;

static void damaged(void *opaque, VitRect rect)
{
    Fixture *f = opaque;
    f->damages++;
    f->last = rect;
}

static void surface_changed(void *opaque)
{
    ((Fixture *) opaque)->surfaces++;
}

static const VitScanoutListener listener = { .damaged = damaged,
                                             .surface_changed = surface_changed };

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    static const uint8_t rom[1024] = { 0x55, 0xaa, 2 };

    f->sys = vit_system_new();
    VitPciHostOps ops = { .sys = f->sys, .memory = f->sys->memory_root, .io = f->sys->io_root };
    f->bus = vit_pci_root_bus_new(&ops);
    f->vga = vit_device_new(f->sys, &vit_vga_class, NULL);
    vit_vga_attach(f->vga, f->bus, 2 << 3);
    vit_vga_set_rom(f->vga, rom, sizeof rom);
    bool good = vit_device_init(f->vga, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    vit_system_lock(f->sys);
    vit_system_reset(f->sys);
    vit_system_unlock(f->sys);
    vit_scanout_add_listener(vit_vga_scanout(f->vga), &listener, f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_scanout_remove_listener(vit_vga_scanout(f->vga), &listener, f);
    vit_system_free(f->sys);
    vit_pci_bus_free(f->bus);
}

static void outb(Fixture *f, unsigned port, unsigned value)
{
    vit_as_store(f->sys->io, port, value, 1);
}

static void outw(Fixture *f, unsigned port, unsigned value)
{
    vit_as_store(f->sys->io, port, value, 2);
}

static unsigned inb(Fixture *f, unsigned port)
{
    return (unsigned) vit_as_load(f->sys->io, port, 1, NULL);
}

static void poke(Fixture *f, unsigned address, unsigned value)
{
    vit_as_store(f->sys->memory, address, value, 1);
}

static unsigned peek(Fixture *f, unsigned address)
{
    return (unsigned) vit_as_load(f->sys->memory, address, 1, NULL);
}

static void nothing(void *opaque)
{
}

static VitSurface *refresh(Fixture *f)
{
    f->damages = 0;
    vit_scanout_refresh(vit_vga_scanout(f->vga));
    vit_io_thread_call_sync(f->sys->thread, nothing, NULL);
    return vit_scanout_ref_surface(vit_vga_scanout(f->vga));
}

static uint32_t pixel(const VitSurface *s, int x, int y)
{
    uint32_t value;
    memcpy(&value, s->pixels + y * s->stride + 4 * x, 4);
    return value & 0xffffff;
}

static void set_palette(Fixture *f)
{
    outb(f, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {        /* red = index, green = 63 - index, blue = 5 */
        outb(f, 0x3c9, i & 63);
        outb(f, 0x3c9, 63 - (i & 63));
        outb(f, 0x3c9, 5);
    }
}

static uint32_t colour(unsigned i)
{
    unsigned r = i & 63, g = 63 - r;
    return (r << 2 | r >> 4) << 16 | (g << 2 | g >> 4) << 8 | (5 << 2);
}

static void set_attributes(Fixture *f, unsigned mode)
{
    outb(f, 0x3c2, 0x67);
    inb(f, 0x3da);
    for (unsigned i = 0; i < 16; i++) {
        outb(f, 0x3c0, i);
        outb(f, 0x3c0, i);
    }
    outb(f, 0x3c0, 0x10);
    outb(f, 0x3c0, mode);
    outb(f, 0x3c0, 0x12);
    outb(f, 0x3c0, 0x0f);
    outb(f, 0x3c0, 0x20);       /* on */
}

static void set_crtc(Fixture *f, const uint8_t regs[25])
{
    outb(f, 0x3c2, 0x67);
    outw(f, 0x3d4, 0x0011);
    for (unsigned i = 0; i < 25; i++)
        outw(f, 0x3d4, i | (unsigned) regs[i] << 8);
}

static const uint8_t crtc_text[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f,
    0x0d, 0x0e, 0, 0, 0x0f, 0xff, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const uint8_t crtc_12h[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0,
    0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28, 0, 0xe7, 0x04, 0xe3, 0xff };
static const uint8_t crtc_13h[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0,
    0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff };

static void set_text_mode(Fixture *f)
{
    set_crtc(f, crtc_text);
    /* the font: plane 2 alone, one after the other, at 0xa0000 */
    outw(f, 0x3c4, 0x0402);
    outw(f, 0x3c4, 0x0704);
    outw(f, 0x3ce, 0x0005);
    outw(f, 0x3ce, 0x0406);
    outw(f, 0x3ce, 0xff08);
    for (unsigned y = 0; y < 16; y++)
        poke(f, 0xa0000 + 'A' * 32 + y, 0x80 | y);
    outw(f, 0x3c4, 0x0302);
    outw(f, 0x3c4, 0x0304);     /* odd/even */
    outw(f, 0x3ce, 0x1005);
    outw(f, 0x3ce, 0x0e06);
    outw(f, 0x3c4, 0x0001);     /* nine dots */
    set_attributes(f, 0x0c);
    set_palette(f);
}

static void test_text(Fixture *f, gconstpointer data)
{
    set_text_mode(f);
    for (unsigned i = 0; i < 80 * 25; i++) {
        poke(f, 0xb8000 + 2 * i, ' ');
        poke(f, 0xb8001 + 2 * i, 0x07);
    }
    poke(f, 0xb8000 + 2 * (80 * 3 + 5), 'A');
    poke(f, 0xb8001 + 2 * (80 * 3 + 5), 0x1e);
    g_assert_cmphex(peek(f, 0xb8000 + 2 * (80 * 3 + 5)), ==, 'A');
    g_assert_cmphex(peek(f, 0xb8001 + 2 * (80 * 3 + 5)), ==, 0x1e);

    g_autoptr(VitSurface) s = refresh(f);
    g_assert_cmpint(s->width, ==, 720);
    g_assert_cmpint(s->height, ==, 400);
    for (unsigned y = 0; y < 16; y++)
        for (unsigned x = 0; x < 9; x++) {
            bool on = x < 8 && ((0x80 | y) >> (7 - x) & 1);
            g_assert_cmphex(pixel(s, (int) (5 * 9 + x), (int) (3 * 16 + y)), ==,
                            colour(on ? 14 : 1));
        }
    g_assert_cmpint(f->damages, ==, 25);

    /* nothing changes: nothing is drawn; one character: one cell */
    vit_surface_unref(refresh(f));
    g_assert_cmpint(f->damages, ==, 0);
    poke(f, 0xb8000, 'A');
    vit_surface_unref(refresh(f));
    g_assert_cmpint(f->damages, ==, 1);
    g_assert_cmpint(f->last.width, ==, 9);
    g_assert_cmpint(f->last.height, ==, 16);

    /* the cursor: rows 13 and 14 of its cell */
    outw(f, 0x3d4, 0x000e);
    outw(f, 0x3d4, 0x020f);
    vit_surface_unref(refresh(f));
    g_assert_cmphex(pixel(s, 2 * 9, 12), ==, colour(0));
    g_assert_cmphex(pixel(s, 2 * 9, 13), ==, colour(7));
    g_assert_cmphex(pixel(s, 2 * 9 + 8, 14), ==, colour(7));

    /* scrolling by the start address */
    outw(f, 0x3d4, 0x000c);
    outw(f, 0x3d4, 0x500d);
    vit_surface_unref(refresh(f));
    g_assert_cmphex(pixel(s, 5 * 9, 2 * 16), ==, colour(14));
}

static void set_planar_mode(Fixture *f)
{
    set_crtc(f, crtc_12h);
    outw(f, 0x3c4, 0x0f02);
    outw(f, 0x3c4, 0x0604);
    outw(f, 0x3c4, 0x0101);
    outw(f, 0x3ce, 0x0005);
    outw(f, 0x3ce, 0x0506);
    outw(f, 0x3ce, 0xff08);
    set_attributes(f, 0x01);
    set_palette(f);
}

static void test_planar(Fixture *f, gconstpointer data)
{
    set_planar_mode(f);
    outw(f, 0x3ce, 0x0900);     /* set/reset: colour 9 through enable */
    outw(f, 0x3ce, 0x0f01);
    outw(f, 0x3ce, 0x3c08);     /* the middle four bits */
    peek(f, 0xa0000 + 80 * 7 + 2);
    poke(f, 0xa0000 + 80 * 7 + 2, 0x00);
    g_autoptr(VitSurface) s = refresh(f);
    g_assert_cmpint(s->width, ==, 640);
    g_assert_cmpint(s->height, ==, 480);
    for (int x = 16; x < 24; x++)
        g_assert_cmphex(pixel(s, x, 7), ==, colour(x >= 18 && x < 22 ? 9 : 0));

    /* write mode 2, XOR, then a copy by latches (mode 1) */
    outw(f, 0x3ce, 0x0001);
    outw(f, 0x3ce, 0xff08);
    outw(f, 0x3ce, 0x1803);
    outw(f, 0x3ce, 0x0205);
    peek(f, 0xa0000 + 80 * 7 + 2);
    poke(f, 0xa0000 + 80 * 7 + 2, 0x05);
    outw(f, 0x3ce, 0x0105);
    peek(f, 0xa0000 + 80 * 7 + 2);
    poke(f, 0xa0000 + 80 * 8 + 3, 0xaa);
    vit_surface_unref(refresh(f));
    g_assert_cmphex(pixel(s, 16, 7), ==, colour(5));
    g_assert_cmphex(pixel(s, 18, 7), ==, colour(12));
    g_assert_cmphex(pixel(s, 24, 8), ==, colour(5));
    g_assert_cmphex(pixel(s, 26, 8), ==, colour(12));

    /* read mode 1: which pixels are colour 12 */
    outw(f, 0x3ce, 0x0805);
    outw(f, 0x3ce, 0x0c02);
    outw(f, 0x3ce, 0x0f07);
    g_assert_cmphex(peek(f, 0xa0000 + 80 * 8 + 3), ==, 0x3c);
    /* write mode 3: set/reset colour where the rotated byte has bits */
    outw(f, 0x3ce, 0x0305);
    outw(f, 0x3ce, 0x0003);
    outw(f, 0x3ce, 0x0f00);
    peek(f, 0xa0000);
    poke(f, 0xa0000, 0x81);
    vit_surface_unref(refresh(f));
    g_assert_cmphex(pixel(s, 0, 0), ==, colour(15));
    g_assert_cmphex(pixel(s, 1, 0), ==, colour(0));
    g_assert_cmphex(pixel(s, 7, 0), ==, colour(15));
}

static void test_chain4(Fixture *f, gconstpointer data)
{
    set_crtc(f, crtc_13h);
    outw(f, 0x3c4, 0x0f02);
    outw(f, 0x3c4, 0x0e04);
    outw(f, 0x3c4, 0x0101);
    outw(f, 0x3ce, 0x4005);
    outw(f, 0x3ce, 0x0506);
    outw(f, 0x3ce, 0xff08);
    set_attributes(f, 0x41);
    set_palette(f);
    for (unsigned i = 0; i < 320 * 200; i++)
        poke(f, 0xa0000 + i, (i * 7 + i / 320) & 255);
    g_autoptr(VitSurface) s = refresh(f);
    g_assert_cmpint(s->width, ==, 320);
    g_assert_cmpint(s->height, ==, 200);
    for (unsigned i = 0; i < 320 * 200; i++) {
        g_assert_cmphex(peek(f, 0xa0000 + i), ==, (i * 7 + i / 320) & 255);
        g_assert_cmphex(pixel(s, (int) (i % 320), (int) (i / 320)), ==,
                        colour((i * 7 + i / 320) & 255));
    }
}

static void dispi(Fixture *f, unsigned index, unsigned value)
{
    outw(f, 0x1ce, index);
    outw(f, 0x1cf, value);
}

static unsigned get_dispi(Fixture *f, unsigned index)
{
    outw(f, 0x1ce, index);
    return (unsigned) vit_as_load(f->sys->io, 0x1cf, 2, NULL);
}

static void map_bars(Fixture *f)
{
    vit_system_lock(f->sys);
    vit_pci_config_write(f->bus, 0, 2 << 3, 0x10, 0xe0000000, 4);
    vit_pci_config_write(f->bus, 0, 2 << 3, 0x18, 0xf0000000, 4);
    vit_pci_config_write(f->bus, 0, 2 << 3, 0x04, 3, 2);
    vit_system_unlock(f->sys);
}

static void test_vbe(Fixture *f, gconstpointer data)
{
    map_bars(f);
    g_assert_cmphex(get_dispi(f, 0), ==, 0xb0c5);
    g_assert_cmpuint(get_dispi(f, 10), ==, 256);
    dispi(f, 4, 2);
    g_assert_cmpuint(get_dispi(f, 1), >=, 1920);
    dispi(f, 4, 0);
    dispi(f, 1, 800);
    dispi(f, 2, 600);
    dispi(f, 3, 32);
    dispi(f, 4, 0x41);
    set_attributes(f, 0x01);
    g_assert_cmpuint(get_dispi(f, 6), ==, 800);
    g_autoptr(VitSurface) s = refresh(f);
    g_assert_cmpint(s->width, ==, 800);
    g_assert_cmpint(s->height, ==, 600);
    g_assert_true(s->pixels == vit_vga_vram(f->vga)->host);     /* no copy */

    vit_surface_unref(refresh(f));
    g_assert_cmpint(f->damages, ==, 0);
    vit_as_store(f->sys->memory, 0xe0000000 + 3200 * 100 + 40, 0x123456, 4);
    vit_surface_unref(refresh(f));
    g_assert_cmpint(f->damages, ==, 1);
    g_assert_cmpint(f->last.y, <=, 100);
    g_assert_cmpint(f->last.y + f->last.height, >, 100);
    g_assert_cmpint(f->last.height, <, 5);
    g_assert_cmphex(pixel(s, 10, 100), ==, 0x123456);

    /* panning */
    dispi(f, 6, 1024);
    dispi(f, 8, 16);
    dispi(f, 9, 3);
    g_autoptr(VitSurface) moved = refresh(f);
    g_assert_true(moved->pixels == vit_vga_vram(f->vga)->host + 3 * 4096 + 64);
    /* more than memory holds is cut, not shown from beyond */
    dispi(f, 9, 4090);
    g_autoptr(VitSurface) cut = refresh(f);
    g_assert_cmpint(cut->height, <=, 6);

    /* the same registers through BAR 2, and the bank window */
    g_assert_cmpuint(vit_as_load(f->sys->memory, 0xf0000502, 2, NULL), ==, 800);
    outb(f, 0x3c2, 0x67);
    dispi(f, 5, 2);
    poke(f, 0xa0010, 0x77);
    g_assert_cmphex(vit_vga_vram(f->vga)->host[0x20010], ==, 0x77);
}

static void test_vbe_depths(Fixture *f, gconstpointer data)
{
    static const struct { unsigned bpp, bytes; uint32_t value, shown; } rows[] = {
        { 8, 1, 33, 0 }, { 15, 2, 0x7c1f, 0xff00ff }, { 16, 2, 0xffe0, 0xffff00 },
        { 24, 3, 0x123456, 0x123456 },
    };
    map_bars(f);
    set_palette(f);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        dispi(f, 4, 0);
        dispi(f, 1, 640);
        dispi(f, 2, 480);
        dispi(f, 3, rows[i].bpp);
        dispi(f, 4, 0x41);
        set_attributes(f, 0x01);
        vit_as_write(f->sys->memory, 0xe0000000 + rows[i].bytes * (640 * 20 + 30), &rows[i].value,
                     rows[i].bytes);
        g_autoptr(VitSurface) s = refresh(f);
        g_assert_cmpint(s->width, ==, 640);
        g_assert_cmphex(pixel(s, 30, 20), ==, rows[i].bpp == 8 ? colour(33) : rows[i].shown);
        g_assert_cmphex(pixel(s, 31, 20), ==, rows[i].bpp == 8 ? colour(0) : 0);
    }
}

/* Nonsense in every register, at every size of picture: no crash, no access outside of memory. */
static void test_nonsense(Fixture *f, gconstpointer data)
{
    GRand *rand = g_rand_new_with_seed(3);
    map_bars(f);
    for (int i = 0; i < 3000; i++) {
        unsigned port = 0x3b0 + (unsigned) g_rand_int_range(rand, 0, 0x30),
                 value = g_rand_int(rand);
        outb(f, port, value & 0xff);
        outw(f, 0x3d4, (value >> 8 & 31) | (value & 0xff00));
        if (i % 4 == 0)
            dispi(f, value & 15, (unsigned) g_rand_int_range(rand, 0, 2000));
        poke(f, 0xa0000 + (value & 0x1ffff), value >> 24);
        peek(f, 0xa0000 + (value >> 3 & 0x1ffff));
        if (i % 7 == 0) {
            outb(f, 0x3c2, 0x67);
            set_attributes(f, value & 0x41);
        }
        if (i % 11 == 0)
            vit_surface_unref(refresh(f));
    }
    g_rand_free(rand);
}

static void test_rows(void)
{
    g_autofree char *vga = vit_device_class_check(&vit_vga_class);
    g_assert_cmpstr(vga, ==, NULL);
}

static void test_surface_outlives(void)
{
    Fixture f = {};
    set_up(&f, NULL);
    dispi(&f, 1, 640);
    dispi(&f, 2, 480);
    dispi(&f, 3, 32);
    dispi(&f, 4, 0x41);
    set_attributes(&f, 0x01);
    VitSurface *s = refresh(&f);
    tear_down(&f, NULL);
    g_assert_cmphex(pixel(s, 639, 479), ==, 0);
    vit_surface_unref(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga/rows", test_rows);
    g_test_add_func("/vga/surface-outlives-the-card", test_surface_outlives);
    g_test_add("/vga/text", Fixture, NULL, set_up, test_text, tear_down);
    g_test_add("/vga/planar", Fixture, NULL, set_up, test_planar, tear_down);
    g_test_add("/vga/chain4", Fixture, NULL, set_up, test_chain4, tear_down);
    g_test_add("/vga/vbe", Fixture, NULL, set_up, test_vbe, tear_down);
    g_test_add("/vga/vbe-depths", Fixture, NULL, set_up, test_vbe_depths, tear_down);
    g_test_add("/vga/nonsense", Fixture, NULL, set_up, test_nonsense, tear_down);
    return g_test_run();
}
