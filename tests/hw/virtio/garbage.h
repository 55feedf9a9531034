/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/garbage.h - a driver that puts nonsense into rings, commands and registers while
 * the device works; what it does depends on the test's seed */
#pragma once
#include "tests/hw/virtio/guest-driver.h"

/* Nonsense everywhere at once, from this thread while the device works. */
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
            for (unsigned d = 0; d < 16; d++) {
                uint64_t addr = g_rand_int_range(rand, 0, 8) ? guest_alloc(g, 256) : g_rand_int(rand);
                uint32_t len = g_rand_int_range(rand, 0, 8) ? (uint32_t) g_rand_int_range(rand, 0, 200) : g_rand_int(rand);
                for (unsigned b = 0; addr + 64 < TEST_RAM && b < 64; b += 4) {  /* commands that may mean something */
                    uint32_t word = g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);
                    memcpy(guest_ptr(g, addr + b), &word, 4);
                }
                if (g_rand_int_range(rand, 0, 6) == 0) {
                    addr = table;
                    len = 256;
                }
                put_desc(g, table, d, addr, len, (uint16_t) (g_rand_int(rand) & 7), (uint16_t) (g_rand_int(rand) & 17));
            }
            guest_offer(one, (uint16_t) g_rand_int_range(rand, 0, 17));
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
