/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-net.c - the network card as a driver uses it, with a host end that echoes */
#include "hw/virtio/virtio.h"
#include "tests/hw/virtio/garbage.h"

typedef struct {
    VitNetdev   netdev;         /* first member */
    bool        echo;
    atomic_uint sent, bytes;
    uint8_t     last[2048];
} Echo;

static void echo_send(VitNetdev *n, const struct iovec *iov, int niov, size_t size)
{
    Echo *e = (Echo *) n;
    uint8_t frame[65536];
    size_t got = vit_iov_read(iov, (unsigned) niov, 0, frame, sizeof frame);
    g_assert_cmpuint(got, ==, size);
    memcpy(e->last, frame, MIN(got, sizeof e->last));
    atomic_store(&e->bytes, (unsigned) got);
    atomic_fetch_add(&e->sent, 1);
    if (e->echo)
        vit_netdev_deliver(n, frame, got);
}

static void echo_finish(VitNetdev *n) { }

static const VitNetdevDriver echo_driver = {
    .name = "echo", .instance_size = sizeof(Echo), .send = echo_send, .finish = echo_finish
};

typedef struct {
    GuestMachine f;
    Echo        *echo;
    GuestQueue   rx, tx, ctrl;
    uint64_t     buffers[256];
} Fixture;

#define MRG (1ull << 15)
#define CTRL_ALL                                                                                   \
    (1ull << 5 | 1ull << 16 | 1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 23)
#define RINGS (1ull << 28 | 1ull << 29)

static void setup(Fixture *t, const char *text)
{
    guest_machine_init(&t->f);
    t->echo = g_atomic_rc_box_new0(Echo);
    t->echo->netdev = (VitNetdev) {
        .driver = &echo_driver, .id = g_strdup("n0"), .thread = t->f.ctx.iothread, .link_up = true
    };
    g_queue_init(&t->echo->netdev.backlog);
    t->echo->echo = true;
    g_hash_table_insert(t->f.ctx.netdevs, "n0", t->echo);
    guest_machine_add(&t->f, text);
    guest_machine_start(&t->f);
}

static void teardown(Fixture *t)
{
    vit_system_lock(t->f.m.sys);
    while (t->f.m.sys->devices->len)
        vit_device_free(t->f.m.sys->devices->pdata[t->f.m.sys->devices->len - 1]);
    vit_system_unlock(t->f.m.sys);
    vit_netdev_free(&t->echo->netdev);
    guest_machine_clear(&t->f);
}

static void add_rx(Fixture *t, uint32_t size)
{
    GuestBuf buf = { guest_alloc(&t->f.g, size), size, true };
    t->buffers[guest_add(&t->rx, &buf, 1, false)] = buf.addr;
}

static void up(Fixture *t, uint64_t features, unsigned n_rx, uint32_t rx_size)
{
    (void) guest_negotiate(&t->f.g, features);
    guest_queue(&t->f.g, &t->rx, 0, 256);
    guest_queue(&t->f.g, &t->tx, 1, 256);
    guest_queue(&t->f.g, &t->ctrl, 2, 64);
    guest_driver_ok(&t->f.g);
    for (unsigned i = 0; i < n_rx; i++)
        add_rx(t, rx_size);
    guest_kick(&t->rx);
}

static uint64_t make_frame(Fixture *t, const uint8_t *to, uint32_t size, uint8_t fill)
{
    uint64_t at = guest_alloc(&t->f.g, 12 + size);
    uint8_t *p = (uint8_t *) guest_ptr(&t->f.g, at) + 12;
    memset(p, fill, size);
    memcpy(p, to, 6);
    p[12] = 8;
    p[13] = 0;
    return at;
}

static void send(Fixture *t, const uint8_t *to, uint32_t size, uint8_t fill)
{
    uint64_t at = make_frame(t, to, size, fill);
    GuestBuf bufs[] = { { at, 12, false }, { at + 12, size, false } };
    (void) guest_do(&t->tx, bufs, 2, true);
}

static uint8_t control(Fixture *t, uint8_t class, uint8_t command, const void *data, uint32_t size)
{
    uint8_t head[2] = { class, command };
    GuestBuf bufs[] = { { guest_put(&t->f.g, head, 2), 2, false },
                        { guest_put(&t->f.g, data, size), size, false },
                        { guest_put(&t->f.g, &(uint8_t) { 0xee }, 1), 1, true } };
    (void) guest_do(&t->ctrl, bufs, 3, true);
    return *(uint8_t *) guest_ptr(&t->f.g, bufs[2].addr);
}

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 }, other[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 },
                     group[6] = { 1, 0, 0x5e, 0, 0, 1 };

static void test_echo(gconstpointer data)
{
    Fixture t;
    uint16_t head = 0;
    uint32_t len = 0;
    setup(&t, "virtio-net-pci,netdev=n0,mac=52:54:00:01:02:03");
    g_assert_cmphex(cfg_read(&t.f.m, 0, 0, 4), ==, 0x10411af4);
    up(&t, RINGS | GPOINTER_TO_SIZE(data), 32, 1530);
    for (unsigned i = 0; i < 6; i++)
        g_assert_cmphex(reg_read(&t.f.g, t.f.g.device + i, 1), ==, mac[i]);
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device + 6, 2), ==, 1);
    for (unsigned i = 0; i < 300; i++) {
        send(&t, other, 60 + i * 4, (uint8_t) i);
        g_assert_true(guest_used(&t.rx, &head, &len, 5000));
        g_assert_cmpuint(len, ==, 12 + 60 + i * 4);
        uint8_t *p = guest_ptr(&t.f.g, t.buffers[head]);
        g_assert_cmpuint(p[10], ==, 1);
        g_assert_cmpmem(p + 12, 6, other, 6);
        g_assert_cmpuint(p[12 + 59 + i * 4], ==, (uint8_t) i);
        add_rx(&t, 1530);
        guest_kick(&t.rx);
    }
    g_assert_true(guest_wait_message(&t.f.g, 1, 1));
    g_assert_true(guest_wait_message(&t.f.g, 2, 1));
    teardown(&t);
}

static void test_merge(void)
{
    Fixture t;
    uint16_t head = 0;
    uint32_t len = 0;
    setup(&t, "virtio-net-pci,netdev=n0");
    up(&t, RINGS | MRG, 32, 256);
    send(&t, other, 1514, 0x77);
    unsigned total = 0, count = 0;
    while (total < 1514 + 12) {
        g_assert_true(guest_used(&t.rx, &head, &len, 5000));
        g_assert_cmpuint(len, <=, 256);
        if (!count)
            g_assert_cmpuint(((uint8_t *) guest_ptr(&t.f.g, t.buffers[head]))[10], ==, 6);
        total += len;
        count++;
    }
    g_assert_cmpuint(total, ==, 1514 + 12);
    g_assert_cmpuint(count, ==, 6);
    /* Without merging the same frame does not fit and must not stop the ones behind it. */
    up(&t, RINGS, 32, 256);
    send(&t, other, 1514, 0x77);
    send(&t, other, 100, 0x78);
    g_assert_true(guest_used(&t.rx, &head, &len, 5000));
    g_assert_cmpuint(len, ==, 112);
    teardown(&t);
}

/* No buffers: frames wait, and come when the driver adds some. */
static void test_starved(void)
{
    Fixture t;
    uint16_t head = 0;
    uint32_t len = 0;
    setup(&t, "virtio-net-pci,netdev=n0");
    up(&t, RINGS | MRG, 0, 0);
    for (unsigned i = 0; i < 8; i++)
        send(&t, other, 64, (uint8_t) i);
    g_assert_false(guest_used(&t.rx, NULL, NULL, 20));
    for (unsigned i = 0; i < 8; i++)
        add_rx(&t, 512);
    guest_kick(&t.rx);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_true(guest_used(&t.rx, &head, &len, 5000));
        g_assert_cmpuint(((uint8_t *) guest_ptr(&t.f.g, t.buffers[head]))[12 + 63], ==, i);
    }
    teardown(&t);
}

static bool arrives(Fixture *t, const uint8_t *to)
{
    send(t, to, 64, 1);
    bool came = guest_used(&t->rx, NULL, NULL, 30);
    add_rx(t, 512);
    guest_kick(&t->rx);
    return came;
}

static void test_filters(void)
{
    Fixture t;
    const uint8_t on = 1, off = 0;
    setup(&t, "virtio-net-pci,netdev=n0,mac=52:54:00:01:02:03");
    up(&t, RINGS | MRG | CTRL_ALL, 64, 512);
    g_assert_true(arrives(&t, other));                      /* promiscuous at first */
    g_assert_cmpuint(control(&t, 0, 0, &off, 1), ==, 0);
    g_assert_false(arrives(&t, other));
    g_assert_true(arrives(&t, mac));
    g_assert_true(arrives(&t, broadcast));
    g_assert_false(arrives(&t, group));
    g_assert_cmpuint(control(&t, 0, 1, &on, 1), ==, 0);     /* all multicast */
    g_assert_true(arrives(&t, group));
    g_assert_cmpuint(control(&t, 0, 1, &off, 1), ==, 0);
    struct [[gnu::packed]] {
        uint32_t nu;
        uint8_t u[6];
        uint32_t nm;
        uint8_t m[6];
    } table = { 1, { 0 }, 1, { 0 } };
    memcpy(table.u, other, 6);
    memcpy(table.m, group, 6);
    g_assert_cmpuint(control(&t, 1, 0, &table, sizeof table), ==, 0);
    g_assert_true(arrives(&t, other));
    g_assert_true(arrives(&t, group));
    g_assert_cmpuint(control(&t, 1, 1, group + 0, 6), ==, 0);
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device, 1), ==, 1);
    table.nu = 0xffffffff;                                  /* more than was sent */
    g_assert_cmpuint(control(&t, 1, 0, &table, sizeof table), ==, 1);
    g_assert_cmpuint(control(&t, 9, 9, &on, 1), ==, 1);
    teardown(&t);
}

static void test_bad_frames(void)
{
    Fixture t;
    setup(&t, "virtio-net-pci,netdev=n0");
    up(&t, RINGS, 4, 1530);
    uint64_t at = guest_alloc(&t.f.g, 1 << 20);
    for (unsigned i = 0; i < 14; i++) {     /* nothing, half a header, half a frame: swallowed */
        GuestBuf bufs[] = { { at, 1 + i * 2, false } };
        g_assert_cmpuint(guest_do(&t.tx, bufs, 1, false), ==, 0);
    }
    GuestBuf large[] = { { at, 12, false }, { at, 1 << 20, false } };
    g_assert_cmpuint(guest_do(&t.tx, large, 2, false), ==, 0);
    send(&t, other, 64, 3);
    g_assert_cmpuint(t.echo->bytes, ==, 64);
    teardown(&t);
}

static void test_link_and_options(void)
{
    Fixture t;
    GError *error = NULL;
    setup(&t, "virtio-net-pci,netdev=n0,id=nic");
    up(&t, RINGS | CTRL_ALL, 4, 1530);
    vit_netdev_set_link(&t.echo->netdev, false);
    g_assert_true(guest_wait_message(&t.f.g, 0, 1));
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device + 6, 2), ==, 0);
    vit_netdev_set_link(&t.echo->netdev, true);
    g_assert_true(guest_wait_message(&t.f.g, 0, 2));
    g_assert_cmphex(reg_read(&t.f.g, t.f.g.device + 6, 2), ==, 1);
    static const char *const wrong[] = { "virtio-net-pci,netdev=n0", "virtio-net-pci,netdev=n1",
                                         "virtio-net-pci",
                                         "virtio-net-pci,netdev=n0,mac=nonsense" };
    unsigned before = t.f.m.sys->devices->len;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_null(vit_pci_device_create(&t.f.ctx, wrong[i], &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        g_assert_cmpuint(t.f.m.sys->devices->len, ==, before);
    }
    teardown(&t);
}

static void test_garbage(void)
{
    Fixture t;
    setup(&t, "virtio-net-pci,netdev=n0");
    garbage(&t.f.g, 3, g_test_slow() ? 5000 : 300);
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/virtio-net/echo", GSIZE_TO_POINTER(0), test_echo);
    g_test_add_data_func("/virtio-net/echo-mergeable", GSIZE_TO_POINTER(MRG), test_echo);
    g_test_add_func("/virtio-net/merge", test_merge);
    g_test_add_func("/virtio-net/starved", test_starved);
    g_test_add_func("/virtio-net/filters", test_filters);
    g_test_add_func("/virtio-net/bad-frames", test_bad_frames);
    g_test_add_func("/virtio-net/link-and-options", test_link_and_options);
    g_test_add_func("/virtio-net/garbage", test_garbage);
    return g_test_run();
}
