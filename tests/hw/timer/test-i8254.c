/* tests/hw/timer/test-i8254.c - rates, latches, read-back and the gate of counter 2
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/timer/i8254.h"
#include "tests/hw/one-device.h"

enum { CONTROL = 3, NMISC = 4 };

static void program(OneDevice *o, unsigned n, unsigned mode, uint16_t count)
{
    one_write(o, CONTROL, n << 6 | 0x30 | mode << 1, 1);
    one_write(o, n, count & 0xff, 1);
    one_write(o, n, count >> 8, 1);
}

static uint16_t latched(OneDevice *o, unsigned n)
{
    one_write(o, CONTROL, n << 6, 1);
    uint16_t low = (uint16_t) one_read(o, n, 1);
    return (uint16_t) (low | one_read(o, n, 1) << 8);
}

static void test_rate(gconstpointer mode)
{
    OneDevice o;
    one_new(&o, &vit_i8254_class);
    program(&o, 0, GPOINTER_TO_UINT(mode), 11932);      /* 100 Hz */
    o.rises[0] = 0;
    one_advance(&o, VIT_NS_PER_S + 100);
    g_assert_cmpuint(o.rises[0], ==, 99);       /* the 100th is due 32 us later */
    one_free(&o);
}

static void test_one_shot(void)
{
    OneDevice o;
    one_new(&o, &vit_i8254_class);
    program(&o, 0, 0, 1193);
    g_assert_false(o.level[0]);
    one_advance(&o, 900 * VIT_NS_PER_US);
    g_assert_false(o.level[0]);
    one_advance(&o, 200 * VIT_NS_PER_US);
    g_assert_true(o.level[0]);
    one_advance(&o, VIT_NS_PER_S);
    g_assert_cmpuint(o.rises[0], <=, 2);
    one_free(&o);
}

static void test_latch(void)
{
    OneDevice o;
    one_new(&o, &vit_i8254_class);
    program(&o, 0, 2, 0);                               /* 65536 */
    one_advance(&o, 10 * VIT_NS_PER_MS);                /* 11931 ticks */
    g_assert_cmpuint(latched(&o, 0), ==, 65536 - 11931);
    one_write(&o, CONTROL, 0xc2, 1); /* read back status and count of counter 0 */
    g_assert_cmphex(one_read(&o, 0, 1), ==, 0xb4);      /* OUT high, loaded, word, mode 2 */
    uint16_t low = (uint16_t) one_read(&o, 0, 1);
    g_assert_cmpuint(low | one_read(&o, 0, 1) << 8, ==, 65536 - 11931);
    one_free(&o);
}

/* How kernels measure the time-stamp counter. */
static void test_gate(void)
{
    OneDevice o;
    one_new(&o, &vit_i8254_class);
    one_write(&o, NMISC, 0, 1);
    program(&o, 2, 0, 11932);                           /* 10 ms */
    one_advance(&o, 20 * VIT_NS_PER_MS);
    g_assert_cmphex(one_read(&o, NMISC, 1) & 0x20, ==, 0);      /* the gate is low */
    one_write(&o, NMISC, 1, 1);
    one_advance(&o, 9 * VIT_NS_PER_MS);
    g_assert_cmphex(one_read(&o, NMISC, 1) & 0x20, ==, 0);
    one_advance(&o, 2 * VIT_NS_PER_MS);
    g_assert_cmphex(one_read(&o, NMISC, 1) & 0x20, ==, 0x20);
    one_free(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/i8254/rate-generator", GUINT_TO_POINTER(2), test_rate);
    g_test_add_data_func("/i8254/square-wave", GUINT_TO_POINTER(3), test_rate);
    g_test_add_func("/i8254/one-shot", test_one_shot);
    g_test_add_func("/i8254/latch", test_latch);
    g_test_add_func("/i8254/gate", test_gate);
    return g_test_run();
}
