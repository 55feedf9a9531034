/* tests/hw/timer/test-hpet.c - the counter, one-shot, periodic and legacy timers
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/timer/hpet.h"
#include "tests/hw/one-device.h"

enum { CONF = 0x10, STATUS = 0x20, COUNTER = 0xf0, T0_CONF = 0x100, T0_COMP = 0x108,
       T2_CONF = 0x140, T2_COMP = 0x148 };

static void test_counter(void)
{
    OneDevice o;
    one_new(&o, &vit_hpet_class);
    g_assert_cmphex(one_read(&o, 4, 4), ==, 10000000);
    one_advance(&o, VIT_NS_PER_MS);
    g_assert_cmphex(one_read(&o, COUNTER, 4), ==, 0);
    one_write(&o, COUNTER, 0xfffffff0, 4);
    one_write(&o, CONF, 1, 4);
    one_advance(&o, 1000);
    g_assert_cmphex(one_read(&o, COUNTER, 8), ==, 0x100000000 + 100 - 16);
    one_write(&o, CONF, 0, 4);
    one_advance(&o, 1000);
    g_assert_cmphex(one_read(&o, COUNTER, 8), ==, 0x100000000 + 100 - 16);
    one_free(&o);
}

static void test_one_shot(void)
{
    OneDevice o;
    one_new(&o, &vit_hpet_class);
    one_write(&o, CONF, 1, 4);
    one_write(&o, T2_CONF, 13 << 9 | 4 | 2, 4);         /* line 13, level */
    one_write(&o, T2_COMP, 100000, 8);
    one_advance(&o, 999 * VIT_NS_PER_US);
    g_assert_false(o.level[13]);
    one_advance(&o, VIT_NS_PER_US);
    g_assert_true(o.level[13]);
    one_write(&o, STATUS, 4, 4);
    g_assert_false(o.level[13]);
    one_advance(&o, VIT_NS_PER_S);
    g_assert_false(o.level[13]);
    one_free(&o);
}

/* As Linux programs its tick. */
static void test_periodic(void)
{
    OneDevice o;
    one_new(&o, &vit_hpet_class);
    one_write(&o, CONF, 3, 4);
    g_assert_true(o.level[VIT_HPET_LEGACY]);
    one_write(&o, T0_CONF, 4 | 8 | 0x40 | 0x100, 4);
    one_write(&o, T0_COMP, 500000, 4);
    one_write(&o, T0_COMP, 400000, 4);                  /* 4 ms */
    one_advance(&o, VIT_NS_PER_S);
    g_assert_cmpuint(o.rises[0], ==, 249);
    one_write(&o, T0_CONF, 8 | 0x100, 4); /* quiet: it counts on without waking the host */
    g_assert_cmpuint(vit_clock_advance(o.sys->clock, VIT_NS_PER_S, 1000), ==, 0);
    g_assert_cmpuint(one_read(&o, T0_COMP, 4), >, 2 * 100000000u);
    one_write(&o, T0_CONF, 4 | 8 | 0x100, 4);
    one_advance(&o, 400 * VIT_NS_PER_MS);
    g_assert_cmpuint(o.rises[0], ==, 249 + 100);
    one_free(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hpet/counter", test_counter);
    g_test_add_func("/hpet/one-shot", test_one_shot);
    g_test_add_func("/hpet/periodic", test_periodic);
    return g_test_run();
}
