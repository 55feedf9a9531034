/* tests/hw/intc/test-i8259.c - priorities, cascade, level and edge, polling, special modes
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/intc/i8259.h"
#include "tests/hw/one-device.h"

typedef struct { VitSystem *sys; VitDevice *m, *s; } Pair;

static void pulse(VitDevice *d, unsigned n)
{
    d->klass->input(d, n, true);
    d->klass->input(d, n, false);
}

static void out(VitDevice *d, uint32_t offset, uint8_t value) { vit_device_write(d, offset, value,
                                                                                 1); }
static uint8_t in(VitDevice *d, uint32_t offset) { return (uint8_t) vit_device_read(d, offset, 1); }

static void init(VitDevice *d, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    out(d, 0, 0x11);
    out(d, 1, base);
    out(d, 1, icw3);
    out(d, 1, icw4);
    out(d, 1, 0);
}

static void pair_new(Pair *p)
{
    p->sys = vit_system_new();
    vit_system_lock(p->sys);
    p->m = vit_device_new(p->sys, &vit_i8259_class, "m");
    p->s = vit_device_new(p->sys, &vit_i8259_class, "s");
    g_assert_true(vit_device_init(p->m, NULL) && vit_device_init(p->s, NULL));
    vit_i8259_cascade(p->m, p->s);
    vit_system_reset(p->sys);
    init(p->m, 0x08, 4, 1);
    init(p->s, 0x70, 2, 1);
}

static void pair_free(Pair *p)
{
    vit_system_unlock(p->sys);
    vit_system_free(p->sys);
}

static void test_priorities(void)
{
    Pair p;
    pair_new(&p);
    pulse(p.m, 6);
    pulse(p.m, 3);
    g_assert_true(vit_irq_level(p.m, 0));
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x0b);
    g_assert_false(vit_irq_level(p.m, 0));      /* 6 waits behind 3 */
    pulse(p.m, 1);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x09);
    out(p.m, 0, 0x0b);
    g_assert_cmphex(in(p.m, 0), ==, 0x0a);      /* in service: 1 and 3 */
    out(p.m, 0, 0x20);
    out(p.m, 0, 0x20);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x0e);
    out(p.m, 0, 0xe6); /* rotate on specific EOI: 6 is lowest now, 7 highest */
    pulse(p.m, 0);
    pulse(p.m, 7);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x0f);
    pair_free(&p);
}

static void test_cascade(void)
{
    Pair p;
    pair_new(&p);
    pulse(p.s, 4);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x74);
    pulse(p.s, 0);
    g_assert_false(vit_irq_level(p.m, 0)); /* without special fully nested mode 2 is in service */
    out(p.s, 0, 0x20);
    out(p.m, 0, 0x20);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x70);
    pair_free(&p);
}

static void test_level(void)
{
    Pair p;
    pair_new(&p);
    out(p.s, 2, 0xff);
    g_assert_cmphex(in(p.s, 2), ==, 0xde);
    p.s->klass->input(p.s, 2, true);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x72);
    out(p.s, 0, 0x20);
    out(p.m, 0, 0x20);
    g_assert_true(vit_irq_level(p.m, 0));       /* still asserted */
    p.s->klass->input(p.s, 2, false);
    g_assert_cmphex(vit_i8259_ack(p.m) & 7, ==, 7);     /* the slave withdrew: spurious */
    pair_free(&p);
}

static void test_modes(void)
{
    Pair p;
    pair_new(&p);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x0f);      /* spurious, nothing in service */
    out(p.m, 0, 0x0b);
    g_assert_cmphex(in(p.m, 0), ==, 0);
    pulse(p.m, 5);
    out(p.m, 0, 0x0c);                          /* poll */
    g_assert_cmphex(in(p.m, 0), ==, 0x85);
    out(p.m, 0, 0x20);
    init(p.m, 0x08, 4, 3);                      /* automatic EOI */
    pulse(p.m, 5);
    g_assert_cmphex(vit_i8259_ack(p.m), ==, 0x0d);
    pulse(p.m, 5);
    g_assert_true(vit_irq_level(p.m, 0));
    out(p.m, 1, 0x20);
    g_assert_false(vit_irq_level(p.m, 0));      /* masked, but not forgotten */
    out(p.m, 0, 0x0a);
    g_assert_cmphex(in(p.m, 0), ==, 0x20);
    pair_free(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8259/priorities", test_priorities);
    g_test_add_func("/i8259/cascade", test_cascade);
    g_test_add_func("/i8259/level", test_level);
    g_test_add_func("/i8259/modes", test_modes);
    return g_test_run();
}
