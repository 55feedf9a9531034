/* tests/hw/char/test-uart16550.c - what drivers probe a 16550A for, and bytes both ways
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/char/uart16550.h"
#include "tests/hw/one-device.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static void test_probe(void)
{
    OneDevice o;
    one_new(&o, &vit_uart16550_class);
    one_write(&o, IER, 0x0f, 1);
    g_assert_cmphex(one_read(&o, IER, 1), ==, 0x0f);
    one_write(&o, IER, 0, 1);
    g_assert_cmphex(one_read(&o, IER, 1), ==, 0);
    one_write(&o, IIR, 1, 1);
    g_assert_cmphex(one_read(&o, IIR, 1) >> 6, ==, 3);          /* a 16550A has working FIFOs */
    one_write(&o, SCR, 0x5a, 1);
    g_assert_cmphex(one_read(&o, SCR, 1), ==, 0x5a);
    one_write(&o, LCR, 0x80, 1);
    one_write(&o, RBR, 0x34, 1);
    one_write(&o, IER, 0x12, 1);
    g_assert_cmphex(one_read(&o, RBR, 2), ==, 0x1234);          /* the divisor */
    one_write(&o, LCR, 3, 1);
    g_assert_cmphex(one_read(&o, IER, 1), ==, 0);
    one_free(&o);
}

static void test_loopback(void)
{
    OneDevice o;
    one_new(&o, &vit_uart16550_class);
    one_write(&o, MCR, 0x10 | 0x0a, 1);         /* RTS and OUT2 come back as CTS and DCD */
    g_assert_cmphex(one_read(&o, MSR, 1) & 0xf0, ==, 0x90);
    one_write(&o, RBR, 0xa5, 1);
    g_assert_cmphex(one_read(&o, LSR, 1), ==, 0x61);
    g_assert_cmphex(one_read(&o, RBR, 1), ==, 0xa5);
    g_assert_cmphex(one_read(&o, LSR, 1), ==, 0x60);
    one_write(&o, RBR, 1, 1);
    one_write(&o, RBR, 2, 1);                   /* no FIFO: overrun */
    g_assert_cmphex(one_read(&o, LSR, 1) & 2, ==, 2);
    one_free(&o);
}

static void test_transmit_interrupt(void)
{
    OneDevice o;
    one_new(&o, &vit_uart16550_class);
    one_write(&o, IER, 2, 1);
    g_assert_true(o.level[0]);
    g_assert_cmphex(one_read(&o, IIR, 1), ==, 2);
    g_assert_false(o.level[0]);                 /* reading IIR took it */
    g_assert_cmphex(one_read(&o, IIR, 1), ==, 1);
    one_write(&o, RBR, 'x', 1);
    g_assert_true(o.level[0]);                  /* and it is empty again */
    one_write(&o, IER, 0, 1);
    g_assert_false(o.level[0]);
    one_free(&o);
}

/* Bytes from the host arrive on the machine thread, in its own time.  Waits for `used` of them. */
static void wait_for(OneDevice *o, unsigned used)
{
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t lsr = (uint8_t) one_read(o, LSR, 1);
        g_assert_cmphex(lsr & 2, ==, 0);                        /* nothing was lost */
        if ((lsr & 1) && (used < 14 || (one_read(o, IIR, 1) & 15) == 4))
            return;
        vit_system_unlock(o->sys);
        g_usleep(1000);
        vit_system_lock(o->sys);
    }
    g_error("no byte came within 5 s");
}

static void test_bytes(void)
{
    OneDevice o;
    one_new(&o, &vit_uart16550_class);
    VitChar *chr = vit_char_new_memory(o.sys, "test", 64);
    vit_uart16550_set_chr(o.d, chr);
    one_write(&o, IIR, 0xc1, 1);                /* interrupt at 14 bytes */
    one_write(&o, IER, 1, 1);
    one_write(&o, RBR, 'h', 1);
    one_write(&o, RBR, 'i', 1);
    size_t size;
    g_autofree char *sent = vit_char_memory_take(chr, &size);
    g_assert_cmpmem(sent, size, "hi", 2);
    vit_char_memory_feed(chr, "0123456789abcdefXY", 18);
    wait_for(&o, 14);
    g_assert_true(o.level[0]);
    for (unsigned i = 0; i < 18; i++) {
        wait_for(&o, 1);                                        /* the last two waited for room */
        g_assert_cmphex(one_read(&o, RBR, 1), ==, "0123456789abcdefXY"[i]);
    }
    g_assert_false(o.level[0]);
    vit_char_memory_feed(chr, "z", 1);
    wait_for(&o, 1);
    g_assert_cmphex(one_read(&o, IIR, 1) & 15, ==, 12);         /* below the trigger: time-out */
    vit_uart16550_set_chr(o.d, NULL);
    vit_char_free(chr);
    one_free(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uart16550/probe", test_probe);
    g_test_add_func("/uart16550/loopback", test_loopback);
    g_test_add_func("/uart16550/transmit-interrupt", test_transmit_interrupt);
    g_test_add_func("/uart16550/bytes", test_bytes);
    return g_test_run();
}
