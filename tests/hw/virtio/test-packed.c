/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-packed.c - packed rings as a driver fills them, on the entropy device: many
 * laps, chains, indirect tables, sizes that are no power of two, suppressed interrupts, nonsense */
#include "tests/hw/virtio/garbage.h"

#define PACKED    (1ull << 34)
#define INDIRECT  (1ull << 28)
#define EVENT_IDX (1ull << 29)

enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4, F_AVAIL = 1 << 7, F_USED = 1 << 15 };

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t id, flags;
} Desc;

typedef struct {
    GuestQueue q;
    unsigned next, seen; /* positions */
    bool wrap, seen_wrap;
    uint16_t slots[RING_MAX]; /* of each buffer id */
} PackedQueue;

static Desc *ring(PackedQueue *p)
{
    return guest_ptr(p->q.g, p->q.desc);
}

static void packed_start(GuestMachine *f, PackedQueue *p, uint64_t features, unsigned size)
{
    uint64_t offered = guest_negotiate(&f->g, PACKED | features);

    g_assert_true(offered & PACKED);
    *p = (PackedQueue){ .wrap = true, .seen_wrap = true };
    guest_queue(&f->g, &p->q, 0, size);
    g_assert_cmpuint(reg_read(&f->g, f->g.common + 0x18, 2), ==, size);
    guest_driver_ok(&f->g);
}

static void advance(PackedQueue *p)
{
    if (++p->next == p->q.size) {
        p->next = 0;
        p->wrap = !p->wrap;
    }
}

/* A buffer of n pieces of 16 bytes; its first descriptor is made available last. */
static void packed_add(PackedQueue *p, uint16_t id, uint64_t addr, unsigned n, bool indirect)
{
    uint16_t mark = p->wrap ? F_AVAIL : F_USED, first_flags = 0;
    unsigned first = p->next;

    if (indirect) {
        uint64_t table = guest_alloc(p->q.g, n * 16);
        for (unsigned i = 0; i < n; i++)
            ((Desc *)guest_ptr(p->q.g, table))[i] = (Desc){ addr + 16 * i, 16, 0, F_WRITE };
        ring(p)[first] = (Desc){ table, n * 16, id, ring(p)[first].flags };
        first_flags = F_INDIRECT | mark;
        p->slots[id] = 1;
        advance(p);
    } else {
        for (unsigned i = 0; i < n; i++) {
            uint16_t flags = (uint16_t)(F_WRITE | (i + 1 < n ? F_NEXT : 0) |
                                        (p->wrap ? F_AVAIL : F_USED));
            Desc *d = &ring(p)[p->next];
            *d = (Desc){ addr + 16 * i, 16, id, i ? flags : d->flags };
            if (i == 0) first_flags = flags;
            advance(p);
        }
        p->slots[id] = (uint16_t)n;
    }
    __atomic_store_n(&ring(p)[first].flags, first_flags, __ATOMIC_RELEASE);
}

static uint16_t packed_used(PackedQueue *p, uint32_t *len)
{
    Desc *d = &ring(p)[p->seen];

    for (unsigned i = 0;; i++) {
        uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
        if (!!(flags & F_AVAIL) == p->seen_wrap && !!(flags & F_USED) == p->seen_wrap) break;
        g_assert_cmpuint(i, <, 50000);
        g_usleep(100);
    }
    *len = d->len;
    p->seen += p->slots[d->id];
    if (p->seen >= p->q.size) {
        p->seen -= p->q.size;
        p->seen_wrap = !p->seen_wrap;
    }
    return d->id;
}

static void setup(GuestMachine *f)
{
    guest_machine_init(f);
    guest_machine_add(f, "virtio-rng-pci,packed=on");
    guest_machine_start(f);
}

static void test_laps(void)
{
    static const struct {
        uint64_t features;
        unsigned size;
    } cases[] = {
        { 0, 16 }, { INDIRECT, 7 }, { EVENT_IDX, 10 }, { INDIRECT | EVENT_IDX, 64 }, { 0, 3 },
    };
    GuestMachine f;
    PackedQueue p;

    setup(&f);
    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        packed_start(&f, &p, cases[n].features, cases[n].size);
        for (unsigned i = 0; i < 500; i++) {
            unsigned pieces = 1 + i % 3;
            uint64_t addr = guest_alloc(&f.g, 16 * pieces);
            uint32_t len;
            uint8_t zero[16] = { 0 };
            packed_add(&p, (uint16_t)(i % p.q.size), addr, pieces,
                       (cases[n].features & INDIRECT) && (i & 1));
            guest_kick(&p.q);
            g_assert_cmpuint(packed_used(&p, &len), ==, i % p.q.size);
            g_assert_cmpuint(len, ==, 16 * pieces);
            g_assert_cmpint(memcmp((uint8_t *)guest_ptr(&f.g, addr) + 16 * (pieces - 1), zero, 16),
                            !=, 0);
        }
        g_assert_true(guest_wait_message(&f.g, 1, 1));
    }
    guest_machine_clear(&f);
}

/* Several buffers a kick; interrupts off, then on. */
static void test_suppression(void)
{
    GuestMachine f;
    PackedQueue p;
    uint32_t len;

    setup(&f);
    packed_start(&f, &p, EVENT_IDX, 16);
    uint16_t *driver = guest_ptr(&f.g, p.q.avail);
    driver[1] = 1;
    for (unsigned i = 0; i < 12; i++) packed_add(&p, (uint16_t)i, guest_alloc(&f.g, 16), 1, false);
    guest_kick(&p.q);
    for (unsigned i = 0; i < 12; i++) (void)packed_used(&p, &len);
    g_usleep(20000);
    g_assert_cmpuint(f.m.messages[f.g.message_base + 1], ==, 0);
    /* Only the second buffer from here is to be told of: position 13, first lap. */
    driver[0] = 13 | 0x8000;
    __atomic_store_n(&driver[1], 2, __ATOMIC_RELEASE);
    packed_add(&p, 12, guest_alloc(&f.g, 16), 1, false);
    guest_kick(&p.q);
    (void)packed_used(&p, &len);
    unsigned before = f.m.messages[f.g.message_base + 1];
    packed_add(&p, 13, guest_alloc(&f.g, 16), 1, false);
    guest_kick(&p.q);
    (void)packed_used(&p, &len);
    g_assert_true(guest_wait_message(&f.g, 1, before + 1));
    guest_machine_clear(&f);
}

static void expect_broken(GuestMachine *f, PackedQueue *p)
{
    guest_kick(&p->q);
    g_assert_true(guest_wait_status(&f->g, 64));
}

static void test_broken(void)
{
    GuestMachine f;
    PackedQueue p;

    setup(&f);
    packed_start(&f, &p, INDIRECT, 4); /* a chain without an end */
    for (unsigned i = 0; i < 4; i++)
        ring(&p)[i] = (Desc){ guest_alloc(&f.g, 16), 16, 0, F_WRITE | F_NEXT | F_AVAIL };
    expect_broken(&f, &p);
    packed_start(&f, &p, INDIRECT, 4); /* outside of RAM */
    ring(&p)[0] = (Desc){ 1ull << 50, 16, 0, F_WRITE | F_AVAIL };
    expect_broken(&f, &p);
    packed_start(&f, &p, INDIRECT, 4); /* indirect in a chain */
    ring(&p)[1] = (Desc){ guest_alloc(&f.g, 16), 16, 0, F_INDIRECT | F_AVAIL };
    ring(&p)[0] = (Desc){ guest_alloc(&f.g, 16), 16, 0, F_WRITE | F_NEXT | F_AVAIL };
    expect_broken(&f, &p);
    packed_start(&f, &p, 0, 4); /* indirect that was not negotiated */
    ring(&p)[0] = (Desc){ guest_alloc(&f.g, 16), 16, 0, F_INDIRECT | F_AVAIL };
    expect_broken(&f, &p);
    packed_start(&f, &p, INDIRECT, 4); /* an indirect table of a wrong size */
    ring(&p)[0] = (Desc){ guest_alloc(&f.g, 16), 17, 0, F_INDIRECT | F_AVAIL };
    expect_broken(&f, &p);
    packed_start(&f, &p, 0, 4); /* and it still works */
    uint32_t len;
    packed_add(&p, 3, guest_alloc(&f.g, 16), 1, false);
    guest_kick(&p.q);
    g_assert_cmpuint(packed_used(&p, &len), ==, 3);
    guest_machine_clear(&f);
}

static void test_garbage(void)
{
    GuestMachine f;
    GRand *rand = g_rand_new_with_seed((uint32_t)g_test_rand_int());
    PackedQueue p;

    setup(&f);
    for (unsigned round = 0; round < (g_test_slow() ? 2000 : 60); round++) {
        packed_start(&f, &p, g_rand_int(rand) & (INDIRECT | EVENT_IDX), 1 + g_rand_int(rand) % 16);
        for (unsigned step = 0; step < 20; step++) {
            Desc *d = &ring(&p)[g_rand_int(rand) % p.q.size];
            bool good = g_rand_boolean(rand);
            *d = (Desc){ good ? guest_alloc(&f.g, 64) : g_rand_int(rand), g_rand_int(rand) % 80,
                         (uint16_t)g_rand_int(rand),
                         (uint16_t)(g_rand_int(rand) &
                                    (F_NEXT | F_WRITE | F_INDIRECT | F_AVAIL | F_USED)) };
            uint16_t *driver = guest_ptr(&f.g, p.q.avail);
            driver[g_rand_int(rand) & 1] = (uint16_t)g_rand_int(rand);
            guest_kick(&p.q);
        }
    }
    packed_start(&f, &p, 0, 8);
    uint32_t len;
    packed_add(&p, 1, guest_alloc(&f.g, 16), 1, false);
    guest_kick(&p.q);
    g_assert_cmpuint(packed_used(&p, &len), ==, 1);
    g_rand_free(rand);
    guest_machine_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-packed/laps", test_laps);
    g_test_add_func("/virtio-packed/suppression", test_suppression);
    g_test_add_func("/virtio-packed/broken", test_broken);
    g_test_add_func("/virtio-packed/garbage", test_garbage);
    return g_test_run();
}
