/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-gpu.c - the display as a driver uses it, and what a viewer gets */
#include "hw/virtio/gpu.h"
#include "tests/hw/virtio/guest-driver.h"

enum {
    INFO = 0x100,
    CREATE,
    UNREF,
    SCANOUT,
    FLUSH,
    TRANSFER,
    ATTACH,
    DETACH,
    EDID = 0x10a,
    CURSOR = 0x300,
    MOVE,
    OK = 0x1100,
    OK_INFO = 0x1101,
    OK_EDID = 0x1104,
    UNSPEC = 0x1200,
    NO_MEMORY,
    BAD_SCANOUT,
    BAD_RESOURCE,
    BAD_PARAMETER = 0x1205
};

typedef struct {
    GuestMachine f;
    GuestQueue   control, cursor;
    VitScanout  *scanout;
    VitRect      damage;
    atomic_uint  n_damage, n_surface;
} Fixture;

static void on_damage(void *opaque, VitRect r)
{
    Fixture *t = opaque;
    t->damage = r;
    atomic_fetch_add(&t->n_damage, 1);
}

static void on_surface(void *opaque) { atomic_fetch_add(&((Fixture *) opaque)->n_surface, 1); }

static const VitScanoutListener listener = { .damaged = on_damage, .surface_changed = on_surface };

static void up(Fixture *t)
{
    (void) guest_negotiate(&t->f.g, ~0ull);
    guest_queue(&t->f.g, &t->control, 0, 64);
    guest_queue(&t->f.g, &t->cursor, 1, 16);
    guest_driver_ok(&t->f.g);
}

static void setup(Fixture *t, const char *text)
{
    *t = (Fixture) { 0 };
    guest_machine_init(&t->f);
    guest_machine_add(&t->f, text);
    guest_machine_start(&t->f);
    t->scanout = vit_virtio_gpu_scanout(t->f.device, 0);
    g_assert_true(t->f.ctx.scanouts->pdata[0] == t->scanout);
    vit_scanout_add_listener(t->scanout, &listener, t);
    up(t);
}

static void teardown(Fixture *t)
{
    vit_scanout_remove_listener(t->scanout, &listener, t);
    guest_machine_clear(&t->f);
}

/* Sends type and words; returns the answer's type, its data in reply. */
static uint32_t command(Fixture *t, GuestQueue *q, uint32_t type, const uint32_t *words, unsigned n,
                        const uint8_t **reply)
{
    struct {
        uint32_t type, flags;
        uint64_t fence;
        uint32_t ctx, ring;
        uint32_t words[24];
    } c = { type, 1, 0x1234, 0, 0, { 0 } };
    if (n)
        memcpy(c.words, words, n * 4);
    GuestBuf bufs[] = { { guest_put(&t->f.g, &c, 24 + n * 4), 24 + n * 4, false },
                        { guest_alloc(&t->f.g, 1100), 1100, true } };
    uint32_t len = guest_do(q, bufs, 2, true);
    const uint32_t *r = guest_ptr(&t->f.g, bufs[1].addr);
    g_assert_cmpuint(len, >=, 24);
    g_assert_cmphex(r[1], ==, 1);
    g_assert_cmphex(r[2], ==, 0x1234);
    if (reply)
        *reply = (const uint8_t *) r + 24;
    return r[0];
}
#define DO(t, type, ...)                                                                           \
    command((t), &(t)->control, (type), (const uint32_t[]) { __VA_ARGS__ },                        \
            sizeof((const uint32_t[]) { __VA_ARGS__ }) / 4, NULL)

static uint64_t make_picture(Fixture *t, uint32_t id, uint32_t w, uint32_t h)
{
    g_assert_cmphex(DO(t, CREATE, id, 2, w, h), ==, OK);
    /* Two pieces, the cut in the middle of a pixel row. */
    uint32_t size = w * h * 4, cut = size / 2 + 4;
    uint64_t memory = guest_alloc(&t->f.g, size + 4096);
    uint32_t *p = guest_ptr(&t->f.g, memory);
    for (uint32_t i = 0; i < w * h; i++)
        p[i < cut / 4 ? i : i + 1024] = 0xff000000u | i;
    g_assert_cmphex(DO(t, ATTACH, id, 2, (uint32_t) memory, 0, cut, 0,
                       (uint32_t) memory + cut + 4096, 0, size - cut, 0),
                    ==, OK);
    return memory;
}

static uint32_t pixel(VitSurface *s, int x, int y)
{
    uint32_t p;
    memcpy(&p, s->pixels + (size_t) y * (size_t) s->stride + (size_t) x * 4, 4);
    return p;
}

static void test_picture(void)
{
    Fixture t;
    setup(&t, "virtio-gpu-pci,xres=800,yres=600");
    g_assert_cmphex(cfg_read(&t.f.m, 0, 0, 4), ==, 0x10501af4);
    const uint8_t *reply;
    g_assert_cmphex(command(&t, &t.control, INFO, NULL, 0, &reply), ==, OK_INFO);
    g_assert_cmpuint(((const uint32_t *) reply)[2], ==, 800);
    g_assert_cmpuint(((const uint32_t *) reply)[3], ==, 600);
    g_assert_cmpuint(((const uint32_t *) reply)[4], ==, 1);
    g_assert_cmpuint(((const uint32_t *) reply)[10], ==, 0);

    (void) make_picture(&t, 5, 100, 50);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 100, 50, 0, 5), ==, OK);
    g_autoptr(VitSurface) s = vit_scanout_ref_surface(t.scanout);
    g_assert_nonnull(s);
    g_assert_cmpint(s->width, ==, 100);
    g_assert_cmpint(s->height, ==, 50);
    g_assert_cmphex(pixel(s, 1, 1), ==, 0);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 100, 50, 0, 0, 5, 0), ==, OK);
    for (int y = 0; y < 50; y++)
        for (int x = 0; x < 100; x++)
            g_assert_cmphex(pixel(s, x, y), ==, 0xff000000u | (uint32_t) (y * 100 + x));
    g_assert_cmphex(DO(&t, FLUSH, 10, 20, 30, 5, 5, 0), ==, OK);
    g_assert_cmpuint(t.n_damage, ==, 1);
    g_assert_cmpint(t.damage.x, ==, 10);
    g_assert_cmpint(t.damage.height, ==, 5);

    /* Part of a resource, seen through its own coordinates. */
    g_assert_cmphex(DO(&t, SCANOUT, 40, 30, 20, 10, 0, 5), ==, OK);
    g_autoptr(VitSurface) part = vit_scanout_ref_surface(t.scanout);
    g_assert_cmpint(part->width, ==, 20);
    g_assert_cmphex(pixel(part, 0, 0), ==, 0xff000000u | (30 * 100 + 40));
    g_assert_cmphex(DO(&t, FLUSH, 0, 0, 100, 50, 5, 0), ==, OK);
    g_assert_cmpint(t.damage.x, ==, 0);
    g_assert_cmpint(t.damage.width, ==, 20);

    /* A viewer may keep what the guest lets go. */
    g_assert_cmphex(DO(&t, UNREF, 5, 0), ==, OK);
    g_assert_null(vit_scanout_ref_surface(t.scanout));
    g_assert_cmphex(pixel(part, 0, 0), ==, 0xff000000u | (30 * 100 + 40));
    teardown(&t);
}

static void test_errors(void)
{
    Fixture t;
    setup(&t, "virtio-gpu-pci,max_hostmem=1M");
    g_assert_cmphex(DO(&t, CREATE, 0, 2, 10, 10), ==, BAD_RESOURCE);
    g_assert_cmphex(DO(&t, CREATE, 1, 99, 10, 10), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, CREATE, 1, 2, 0, 10), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, CREATE, 1, 2, 0xffffffff, 0xffffffff), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, CREATE, 1, 2, 1000, 1000), ==, NO_MEMORY);
    (void) make_picture(&t, 1, 64, 64);
    g_assert_cmphex(DO(&t, CREATE, 1, 2, 10, 10), ==, BAD_RESOURCE);
    g_assert_cmphex(DO(&t, ATTACH, 1, 1, 0x100000, 0, 64, 0), ==, UNSPEC);
    g_assert_cmphex(DO(&t, DETACH, 1, 0), ==, OK);
    g_assert_cmphex(DO(&t, DETACH, 1, 0), ==, UNSPEC);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 64, 64, 0, 0, 1, 0), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, ATTACH, 1, 0xffffffff, 0x100000, 0, 64, 0), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, ATTACH, 1, 1, 0, 0x7fff, 64 * 64 * 4, 0), ==, OK); /* no RAM there */
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 64, 64, 0, 0, 1, 0), ==, UNSPEC);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 64, 64, 0xfffffff0, 0xffffffff, 1, 0), ==, UNSPEC);
    g_assert_cmphex(DO(&t, TRANSFER, 60, 60, 0xfffffff0, 8, 0, 0, 1, 0), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 65, 64, 0, 1), ==, BAD_PARAMETER);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 64, 64, 1, 1), ==, BAD_SCANOUT);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 64, 64, 0, 2), ==, BAD_RESOURCE);
    g_assert_cmphex(DO(&t, FLUSH, 0, 0, 64, 64, 2, 0), ==, BAD_RESOURCE);
    g_assert_cmphex(DO(&t, UNREF, 2, 0), ==, BAD_RESOURCE);
    g_assert_cmphex(DO(&t, 0x9999, 0), ==, UNSPEC);
    g_assert_cmphex(DO(&t, MOVE, 0), ==, UNSPEC);       /* on the wrong queue */
    g_assert_cmphex(DO(&t, EDID, 3, 0), ==, BAD_SCANOUT);
    /* All memory comes back. */
    for (uint32_t i = 0; i < 100; i++) {
        g_assert_cmphex(DO(&t, CREATE, 9, 2, 400, 500), ==, OK);
        g_assert_cmphex(DO(&t, UNREF, 9, 0), ==, OK);
    }
    teardown(&t);
}

static void test_cursor(void)
{
    Fixture t;
    setup(&t, "virtio-gpu-pci");
    uint64_t memory = make_picture(&t, 3, 64, 64);
    uint32_t *p = guest_ptr(&t.f.g, memory);
    g_assert_cmphex(DO(&t, UNREF, 3, 0), ==, OK);
    g_assert_cmphex(DO(&t, CREATE, 3, 1, 64, 64), ==, OK);      /* with alpha */
    p[0] = 0x80402000;      /* premultiplied */
    p[1] = 0xff112233;
    g_assert_cmphex(DO(&t, ATTACH, 3, 1, (uint32_t) memory, 0, 64 * 64 * 4, 0), ==, OK);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 64, 64, 0, 0, 3, 0), ==, OK);
    uint32_t update[] = { 0, 50, 60, 0, 3, 4, 5, 0 };
    g_assert_cmphex(command(&t, &t.cursor, CURSOR, update, 8, NULL), ==, OK);
    int x, y;
    bool visible;
    g_autofree VitCursor *c = vit_scanout_copy_cursor(t.scanout, &x, &y, &visible);
    g_assert_nonnull(c);
    g_assert_true(visible);
    g_assert_cmpint(x, ==, 50);
    g_assert_cmpint(y, ==, 60);
    g_assert_cmpint(c->hot_x, ==, 4);
    g_assert_cmpint(c->hot_y, ==, 5);
    g_assert_cmphex(c->argb[0], ==, 0x807f3f00);
    g_assert_cmphex(c->argb[1], ==, 0xff112233);
    uint32_t move[] = { 0, 70, 80, 0 };
    g_assert_cmphex(command(&t, &t.cursor, MOVE, move, 4, NULL), ==, OK);
    g_free(vit_scanout_copy_cursor(t.scanout, &x, &y, &visible));
    g_assert_cmpint(x, ==, 70);
    uint32_t hide[] = { 0, 0, 0, 0, 0, 0, 0, 0 };
    g_assert_cmphex(command(&t, &t.cursor, CURSOR, hide, 8, NULL), ==, OK);
    g_free(vit_scanout_copy_cursor(t.scanout, NULL, NULL, &visible));
    g_assert_false(visible);
    teardown(&t);
}

static void test_resize(void)
{
    Fixture t;
    const uint8_t *reply;
    setup(&t, "virtio-gpu-pci");
    vit_scanout_request_size(t.scanout, 1500, 901, 300, 180);
    g_assert_true(guest_wait_message(&t.f.g, 0, 1));
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device, 4), ==, 1);
    reg_write(&t.f.g, t.f.g.device + 4, 1, 4);
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device, 4), ==, 0);
    g_assert_cmphex(command(&t, &t.control, INFO, NULL, 0, &reply), ==, OK_INFO);
    g_assert_cmpuint(((const uint32_t *) reply)[2], ==, 1500);
    uint32_t which[] = { 0, 0 };
    g_assert_cmphex(command(&t, &t.control, EDID, which, 2, &reply), ==, OK_EDID);
    g_assert_cmpuint(((const uint32_t *) reply)[0], ==, 128);
    const uint8_t *dtd = reply + 8 + 54;
    g_assert_cmpuint(dtd[2] | (dtd[4] & 0xf0u) << 4, ==, 1500);
    g_assert_cmpuint(dtd[5] | (dtd[7] & 0xf0u) << 4, ==, 901);
    vit_scanout_request_size(t.scanout, 1500, 901, 300, 180);      /* no change, no event */
    g_usleep(20000);
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device, 4), ==, 0);
    teardown(&t);
}

static void test_save(void)
{
    Fixture t;
    GError *error = NULL;
    setup(&t, "virtio-gpu-pci");
    (void) make_picture(&t, 5, 100, 50);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 100, 50, 0, 0, 5, 0), ==, OK);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 100, 50, 0, 5), ==, OK);
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(vit_system_save(t.f.m.sys, state, &error));
    vit_system_reset(t.f.m.sys);
    g_assert_null(vit_scanout_ref_surface(t.scanout));
    g_assert_true(vit_system_load(t.f.m.sys, state->data, state->len, &error));
    g_assert_no_error(error);
    g_autoptr(VitSurface) s = vit_scanout_ref_surface(t.scanout);
    g_assert_nonnull(s);
    g_assert_cmphex(pixel(s, 99, 49), ==, 0xff000000u | 4999);
    g_assert_cmphex(DO(&t, FLUSH, 0, 0, 100, 50, 5, 0), ==, OK);
    teardown(&t);
}

/* VGA text, then the driver's picture, then VGA again. */
static void test_vga(void)
{
    Fixture t;
    VitSystem *sys;
    setup(&t, "virtio-vga,romfile=,vgamem_mb=4");
    sys = t.f.m.sys;
    g_assert_cmphex(cfg_read(&t.f.m, 0, 0, 4), ==, 0x10501af4);
    g_assert_cmphex(cfg_read(&t.f.m, 0, 8, 4) >> 16, ==, 0x0300);
    cfg_write(&t.f.m, 0, 4, 7, 2);
    (void) vit_as_store(sys->io, 0x1ce, 1, 2);      /* VBE: 320x200x32 */
    (void) vit_as_store(sys->io, 0x1cf, 320, 2);
    (void) vit_as_store(sys->io, 0x1ce, 2, 2);
    (void) vit_as_store(sys->io, 0x1cf, 200, 2);
    (void) vit_as_store(sys->io, 0x1ce, 3, 2);
    (void) vit_as_store(sys->io, 0x1cf, 32, 2);
    (void) vit_as_store(sys->io, 0x1ce, 4, 2);
    (void) vit_as_store(sys->io, 0x1cf, 0x41, 2);
    (void) vit_as_load(sys->io, 0x3da, 1, NULL);
    (void) vit_as_store(sys->io, 0x3c0, 0x20, 1);   /* screen on */
    vit_scanout_refresh(t.scanout);
    g_autoptr(VitSurface) first = NULL;
    for (unsigned i = 0; i < 1000 && (!first || first->width != 320); i++) {
        g_usleep(1000);
        g_clear_pointer(&first, vit_surface_unref);
        first = vit_scanout_ref_surface(t.scanout);
    }
    g_assert_cmpint(first->width, ==, 320);

    (void) make_picture(&t, 5, 100, 50);
    g_assert_cmphex(DO(&t, TRANSFER, 0, 0, 100, 50, 0, 0, 5, 0), ==, OK);
    g_assert_cmphex(DO(&t, SCANOUT, 0, 0, 100, 50, 0, 5), ==, OK);
    vit_scanout_refresh(t.scanout);
    g_usleep(20000);
    g_autoptr(VitSurface) second = vit_scanout_ref_surface(t.scanout);
    g_assert_cmpint(second->width, ==, 100);
    vit_scanout_request_size(t.scanout, 1111, 888, 0, 0);
    g_assert_true(guest_wait_message(&t.f.g, 0, 1));

    guest_reset(&t.f.g);
    g_autoptr(VitSurface) third = NULL;
    for (unsigned i = 0; i < 1000 && (!third || third->width != 320); i++) {
        g_usleep(1000);
        g_clear_pointer(&third, vit_surface_unref);
        third = vit_scanout_ref_surface(t.scanout);
    }
    g_assert_cmpint(third->width, ==, 320);
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-gpu/picture", test_picture);
    g_test_add_func("/virtio-gpu/errors", test_errors);
    g_test_add_func("/virtio-gpu/cursor", test_cursor);
    g_test_add_func("/virtio-gpu/resize", test_resize);
    g_test_add_func("/virtio-gpu/save", test_save);
    g_test_add_func("/virtio-gpu/vga", test_vga);
    return g_test_run();
}
