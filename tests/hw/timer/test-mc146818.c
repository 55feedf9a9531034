/* tests/hw/timer/test-mc146818.c - the calendar, setting it, and the three interrupts
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/timer/mc146818.h"
#include "tests/hw/one-device.h"

static uint8_t get(OneDevice *o, uint8_t i)
{
    one_write(o, 0, i, 1);
    return (uint8_t) one_read(o, 1, 1);
}

static void set(OneDevice *o, uint8_t i, uint8_t value)
{
    one_write(o, 0, i, 1);
    one_write(o, 1, value, 1);
}

static void assert_time(OneDevice *o, uint64_t yyyymmdd, unsigned hhmmss, unsigned weekday)
{
    g_assert_cmphex((uint64_t) get(o, 0x32) << 24 | (uint64_t) get(o, 9) << 16 | get(o, 8) << 8 |
                    get(o, 7), ==, yyyymmdd);
    g_assert_cmphex(get(o, 4) << 16 | get(o, 2) << 8 | get(o, 0), ==, hhmmss);
    g_assert_cmphex(get(o, 6), ==, weekday);
}

static void test_calendar(void)
{
    OneDevice o;
    one_new(&o, &vit_mc146818_class);
    vit_mc146818_set_base(o.d, 951782399 * VIT_NS_PER_S);       /* 2000-02-28 23:59:59, a Monday */
    assert_time(&o, 0x20000228, 0x235959, 2);
    one_advance(&o, VIT_NS_PER_S);
    assert_time(&o, 0x20000229, 0x000000, 3);
    one_advance(&o, 86400 * VIT_NS_PER_S);
    assert_time(&o, 0x20000301, 0x000000, 4);
    set(&o, 11, 0x04);                                          /* binary, 12 hours */
    one_advance(&o, 13 * 3600 * VIT_NS_PER_S);
    g_assert_cmphex(get(&o, 4), ==, 0x81);
    g_assert_cmpuint(get(&o, 0x32), ==, 20);
    one_free(&o);
}

static void test_set(void)
{
    OneDevice o;
    one_new(&o, &vit_mc146818_class);
    vit_mc146818_set_base(o.d, 0);
    set(&o, 11, 0x82);
    one_advance(&o, 5 * VIT_NS_PER_S);
    static const uint8_t values[][2] = { { 0x32, 0x20 }, { 9, 0x25 }, { 8, 0x08 }, { 7, 0x09 },
                                         { 4, 0x12 },
                                         { 2, 0x34 }, { 0, 0x56 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++)
        set(&o, values[i][0], values[i][1]);
    one_advance(&o, 5 * VIT_NS_PER_S);
    set(&o, 11, 0x02);
    assert_time(&o, 0x20250809, 0x123456, 7);
    one_advance(&o, 4 * VIT_NS_PER_S);
    assert_time(&o, 0x20250809, 0x123500, 7);
    vit_device_reset(o.d);                                      /* the battery keeps it */
    assert_time(&o, 0x20250809, 0x123500, 7);
    one_free(&o);
}

static void test_interrupts(void)
{
    OneDevice o;
    one_new(&o, &vit_mc146818_class);
    vit_mc146818_set_base(o.d, 1000 * VIT_NS_PER_S);            /* 00:16:40 */
    set(&o, 10, 0x26);                                          /* 1024 Hz */
    set(&o, 11, 0x42);
    unsigned seen = 0;
    for (unsigned i = 0; i < 100; i++) {
        one_advance(&o, VIT_NS_PER_S / 1024 + 1);
        seen += o.level[0];
        g_assert_cmphex(get(&o, 12) & 0xc0, ==, 0xc0);
        g_assert_false(o.level[0]);
    }
    g_assert_cmpuint(seen, ==, 100);
    set(&o, 11, 0x12);                                          /* each second */
    get(&o, 12);
    o.rises[0] = 0;
    one_advance(&o, VIT_NS_PER_S);
    g_assert_true(o.level[0]);
    g_assert_cmphex(get(&o, 12) & 0x90, ==, 0x90);
    set(&o, 5, 0xff);
    set(&o, 3, 0x17);
    set(&o, 1, 0x00);
    set(&o, 11, 0x22);                                          /* alarm at any hour, 17:00 */
    get(&o, 12);
    one_advance(&o, 15 * VIT_NS_PER_S);
    g_assert_false(o.level[0]);
    one_advance(&o, 5 * VIT_NS_PER_S);
    g_assert_true(o.level[0]);
    g_assert_cmphex(get(&o, 12) & 0xa0, ==, 0xa0);
    one_free(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mc146818/calendar", test_calendar);
    g_test_add_func("/mc146818/set", test_set);
    g_test_add_func("/mc146818/interrupts", test_interrupts);
    return g_test_run();
}
