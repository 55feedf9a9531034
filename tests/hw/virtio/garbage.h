/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/garbage.h - a driver that puts nonsense into rings, commands and registers while
 * the device works; what it does depends on the test's seed */
#pragma once
#include "tests/hw/virtio/guest-driver.h"

/* Nonsense everywhere at once, from this thread while the device works. */
/* Often something that a command may have: types of the disk and the display, small numbers. */
static inline uint32_t garbage_word(GRand *rand, bool first)
{
    switch (g_rand_int_range(rand, 0, 4)) {
    case 0: return g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);
    case 1:
        return first ? (uint32_t) g_rand_int_range(rand, 0, 15)
                     : (uint32_t) g_rand_int_range(rand, 0, 300);
    case 2:
        return first ? (uint32_t) g_rand_int_range(rand, 0x100, 0x10c)
                     : (uint32_t) g_rand_int_range(rand, 0, 3);
    default: return first ? (uint32_t) g_rand_int_range(rand, 0x300, 0x302) : 1;
    }
}

static inline void garbage(Guest *g, unsigned queues, unsigned rounds)
{
    GRand *rand = g_rand_new_with_seed((uint32_t) g_test_rand_int());
    GuestQueue q[4];
    for (unsigned round = 0; round < rounds; round++) {
        (void) guest_negotiate(g, ~0ull);
        for (unsigned i = 0; i < queues; i++)
            guest_queue(g, &q[i], i, 16);
        guest_driver_ok(g);
        for (unsigned step = 0; step < 12; step++) {
            GuestQueue *one = &q[g_rand_int_range(rand, 0, (gint32) queues)];
            uint64_t table = g_rand_boolean(rand) ? one->desc : guest_alloc(g, 16 * 16);
            bool nice = g_rand_int_range(rand, 0,
                                         3); /* the chain holds together, what it says may not */
            unsigned first_in = (unsigned) g_rand_int_range(rand, 1, 4),
                     last = first_in + (unsigned) g_rand_int_range(rand, 0, 3);
            for (unsigned d = 0; d < 16; d++) {
                bool good = nice || g_rand_int_range(rand, 0, 8);
                uint64_t addr = good ? guest_alloc(g, 256) : g_rand_int(rand);
                uint32_t len = good ? 1u << g_rand_int_range(rand, 0, 9) : g_rand_int(rand);
                for (unsigned b = 0; addr + 64 < TEST_RAM && b < 64; b += 4) {
                    uint32_t word = garbage_word(rand, b == 0);
                    memcpy(guest_ptr(g, addr + b), &word, 4);
                }
                if (!good && g_rand_boolean(rand)) {
                    addr = table;
                    len = 256;
                }
                unsigned flags = nice ? (d >= first_in ? 2 : 0) | (d < last ? 1 : 0)
                                      : g_rand_int(rand) & 7;
                put_desc(g, table, d, addr, MAX(len, nice ? 24 : 0), (uint16_t) flags,
                         (uint16_t) (nice ? d + 1 : g_rand_int(rand) & 17));
            }
            if (nice && table != one->desc)
                put_desc(g, one->desc, 0, table, 16 * (last + 1), 4, 0);
            guest_offer(one, nice ? 0 : (uint16_t) g_rand_int_range(rand, 0, 17));
            guest_kick(one);
            if (g_rand_int_range(rand, 0, 8) == 0)
                reg_write(g, g->common + (g_rand_int(rand) & 0x3f), g_rand_int(rand), 4);
            if (g_rand_int_range(rand, 0, 8) == 0)
                reg_write(g, g->device + (g_rand_int(rand) & 0x3f), g_rand_int(rand), 4);
        }
    }
    guest_reset(g);
    g_rand_free(rand);
}
