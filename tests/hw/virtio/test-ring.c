/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-ring.c - rings that a hostile guest makes, on the entropy device: it must
 * say DEVICE_NEEDS_RESET, stay alive, and work again after a reset */
#include "tests/hw/virtio/garbage.h"

#define RINGS (1ull << 28 | 1ull << 29)

static void start(GuestMachine *f, GuestQueue *q, uint64_t features)
{
    (void) guest_negotiate(&f->g, features);
    guest_queue(&f->g, q, 0, 16);
    guest_driver_ok(&f->g);
}

static bool random_bytes(GuestMachine *f, GuestQueue *q, bool indirect)
{
    GuestBuf buf = { guest_alloc(&f->g, 64), 64, true };
    uint32_t n = guest_do(q, &buf, 1, indirect);
    uint8_t zero[64] = { 0 };
    return n == 64 && memcmp(guest_ptr(&f->g, buf.addr), zero, 64) != 0;
}

static void setup(GuestMachine *f, GuestQueue *q, uint64_t features)
{
    guest_machine_init(f);
    guest_machine_add(f, "virtio-rng-pci");
    guest_machine_start(f);
    start(f, q, features);
}

static void test_order(void)
{
    static const uint64_t features[] = { 0, 1ull << 28, 1ull << 29, RINGS };
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, 0);
    for (unsigned n = 0; n < 4; n++) {
        start(&f, &q, features[n]);
        for (unsigned i = 0; i < 100; i++)
            g_assert_true(random_bytes(&f, &q, (n & 1) && (i & 1)));
        g_assert_true(guest_wait_message(&f.g, 1, 1));
    }
    guest_machine_clear(&f);
}

/* Indices go round 65536 several times faster with many chains a kick. */
static void test_wrap(void)
{
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, RINGS);
    GuestBuf buf = { guest_alloc(&f.g, 16), 1, true };
    for (unsigned i = 0; i < 5000; i++) {
        for (unsigned k = 0; k < 16; k++)
            guest_add(&q, &buf, 1, false);
        guest_kick(&q);
        for (unsigned k = 0; k < 16; k++)
            g_assert_true(guest_used(&q, NULL, NULL, 5000));
        if (i % 13 == 0)        /* one byte each at 1 MiB every 100 ms: no quota is reached */
            g_assert_true(guest_wait_message(&f.g, 1, 1));
    }
    guest_machine_clear(&f);
}

/* Interrupts and kicks are left out as both sides ask. */
static void test_suppression(void)
{
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, 0);
    uint16_t *avail = guest_ptr(&f.g, q.avail);
    avail[0] = 1;       /* no interrupts */
    g_assert_true(random_bytes(&f, &q, false));
    g_usleep(20000);
    g_assert_cmpuint(f.m.messages[f.g.message_base + 1], ==, 0);
    avail[0] = 0;
    g_assert_true(random_bytes(&f, &q, false));
    g_assert_true(guest_wait_message(&f.g, 1, 1));

    start(&f, &q, RINGS);
    avail = guest_ptr(&f.g, q.avail);
    unsigned before = f.m.messages[f.g.message_base + 1];
    avail[2 + q.size] = 2;      /* used_event: tell after the third */
    for (unsigned i = 0; i < 2; i++)
        g_assert_true(random_bytes(&f, &q, true));
    g_usleep(20000);
    g_assert_cmpuint(f.m.messages[f.g.message_base + 1], <=, before + 1);   /* the first is free */
    before = f.m.messages[f.g.message_base + 1];
    g_assert_true(random_bytes(&f, &q, true));
    g_assert_true(guest_wait_message(&f.g, 1, before + 1));
    guest_machine_clear(&f);
}

/* ---- Hostile --------------------------------------------------------------------------------- */

typedef void (*Attack)(GuestMachine *f, GuestQueue *q);

static void loop(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0x100000, 8, 3, 1);
    put_desc(&f->g, q->desc, 1, 0x100000, 8, 3, 0);
    guest_offer(q, 0);
}

static void self_loop(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0, 0, 3, 0);
    guest_offer(q, 0);
}

static void bad_head(GuestMachine *f, GuestQueue *q) { guest_offer(q, 0xffff); }

static void bad_next(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0x100000, 8, 3, 16);
    guest_offer(q, 0);
}

static void outside(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0x7fff0000000ull, 8, 2, 0);
    guest_offer(q, 0);
}

static void huge(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, TEST_RAM - 16, 0xffffffff, 2, 0);
    guest_offer(q, 0);
}

static void wraps(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, UINT64_MAX - 4, 64, 2, 0);
    guest_offer(q, 0);
}

static void to_device_memory(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, f->g.common, 64, 2, 0);
    guest_offer(q, 0);
}

static void index_jump(GuestMachine *f, GuestQueue *q)
{
    q->avail_index = (uint16_t) (q->avail_index + 1000);
    guest_offer(q, 0);
}

static void readable_last(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0x100000, 8, 3, 1);
    put_desc(&f->g, q->desc, 1, 0x100000, 8, 0, 0);
    guest_offer(q, 0);
}

static void indirect_in_indirect(GuestMachine *f, GuestQueue *q)
{
    uint64_t table = guest_alloc(&f->g, 32);
    put_desc(&f->g, table, 0, table, 32, 4, 0);
    put_desc(&f->g, q->desc, 0, table, 32, 4, 0);
    guest_offer(q, 0);
}

static void indirect_and_next(GuestMachine *f, GuestQueue *q)
{
    uint64_t table = guest_alloc(&f->g, 32);
    put_desc(&f->g, table, 0, 0x100000, 8, 2, 0);
    put_desc(&f->g, q->desc, 0, table, 32, 5, 1);
    guest_offer(q, 0);
}

static void indirect_loop(GuestMachine *f, GuestQueue *q)
{
    uint64_t table = guest_alloc(&f->g, 32);
    put_desc(&f->g, table, 0, 0x100000, 8, 3, 1);
    put_desc(&f->g, table, 1, 0x100000, 8, 3, 0);
    put_desc(&f->g, q->desc, 0, table, 32, 4, 0);
    guest_offer(q, 0);
}

static void indirect_size(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, guest_alloc(&f->g, 64), 33, 4, 0);
    guest_offer(q, 0);
}

static void indirect_huge(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 0, 0xfffffff0, 4, 0);
    guest_offer(q, 0);
}

static void indirect_outside(GuestMachine *f, GuestQueue *q)
{
    put_desc(&f->g, q->desc, 0, 1ull << 39, 32, 4, 0);
    guest_offer(q, 0);
}

static const struct { const char *name; Attack attack;
} attacks[] = {
    { "loop", loop },
    { "self-loop", self_loop },
    { "bad-head", bad_head },
    { "bad-next", bad_next },
    { "outside", outside },
    { "huge", huge },
    { "wraps", wraps },
    { "device-memory", to_device_memory },
    { "index-jump", index_jump },
    { "readable-last", readable_last },
    { "indirect-in-indirect", indirect_in_indirect },
    { "indirect-and-next", indirect_and_next },
    { "indirect-loop", indirect_loop },
    { "indirect-size", indirect_size },
    { "indirect-huge", indirect_huge },
    { "indirect-outside", indirect_outside },
};

static void test_attack(gconstpointer data)
{
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, RINGS);
    unsigned before = f.m.messages[f.g.message_base];
    ((Attack) data)(&f, &q);
    guest_kick(&q);
    g_assert_true(guest_wait_status(&f.g, 0x40));
    g_assert_true(guest_wait_message(&f.g, 0, before + 1));     /* configuration change */
    guest_kick(&q);
    start(&f, &q, RINGS);
    g_assert_true(random_bytes(&f, &q, true));
    guest_machine_clear(&f);
}

/* Indirect descriptors that were not negotiated. */
static void test_not_negotiated(void)
{
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, 0);
    GuestBuf buf = { guest_alloc(&f.g, 64), 64, true };
    guest_add(&q, &buf, 1, true);
    guest_kick(&q);
    g_assert_true(guest_wait_status(&f.g, 0x40));
    guest_machine_clear(&f);
}

/* Rings where no RAM is, or where they wrap: as bad as a broken ring. */
static void test_bad_areas(void)
{
    static const uint64_t places[] = { 1ull << 38, UINT64_MAX - 64, TEST_RAM - 8, 0xe0004000 };
    GuestMachine f;
    GuestQueue q;
    setup(&f, &q, 0);
    for (unsigned area = 0; area < 3; area++)
        for (unsigned p = 0; p < G_N_ELEMENTS(places); p++) {
            (void) guest_negotiate(&f.g, area & 1 ? RINGS : 0);
            reg_write(&f.g, f.g.common + 0x16, 0, 2);
            for (unsigned i = 0; i < 3; i++) {
                uint64_t at = i == area ? places[p] : guest_alloc(&f.g, 4096);
                reg_write(&f.g, f.g.common + 0x20 + 8 * i, (uint32_t) at, 4);
                reg_write(&f.g, f.g.common + 0x24 + 8 * i, at >> 32, 4);
            }
            reg_write(&f.g, f.g.common + 0x1c, 1, 2);
            guest_driver_ok(&f.g);
            reg_write(&f.g, f.g.notify, 0, 2);
        }
    start(&f, &q, RINGS);
    g_assert_true(random_bytes(&f, &q, true));
    guest_machine_clear(&f);
}

static void test_garbage(gconstpointer data)
{
    GuestMachine f;
    guest_machine_init(&f);
    guest_machine_add(&f, data);
    guest_machine_start(&f);
    unsigned queues = (unsigned) reg_read(&f.g, f.g.common + 0x12, 2);
    garbage(&f.g, MIN(queues, 4), g_test_slow() ? 5000 : 300);
    guest_machine_clear(&f);
}

int main(int argc, char **argv)
{
    static const char *const devices[] = { "virtio-rng-pci", "virtio-gpu-pci",
                                           "virtio-keyboard-pci", "virtio-tablet-pci",
                                           "virtio-serial-pci" };
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-ring/order", test_order);
    g_test_add_func("/virtio-ring/wrap", test_wrap);
    g_test_add_func("/virtio-ring/suppression", test_suppression);
    for (unsigned i = 0; i < G_N_ELEMENTS(attacks); i++) {
        g_autofree char *path = g_strconcat("/virtio-ring/hostile/", attacks[i].name, NULL);
        g_test_add_data_func(path, (gconstpointer) attacks[i].attack, test_attack);
    }
    g_test_add_func("/virtio-ring/not-negotiated", test_not_negotiated);
    g_test_add_func("/virtio-ring/bad-areas", test_bad_areas);
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autofree char *path = g_strconcat("/virtio-ring/garbage/", devices[i], NULL);
        g_test_add_data_func(path, devices[i], test_garbage);
    }
    return g_test_run();
}
