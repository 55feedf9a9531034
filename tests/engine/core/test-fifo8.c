/* tests/engine/core/test-fifo8.c - order, limits and validity of the byte queue.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/fifo8.h"

#include <glib.h>

static void test_empty(void)
{
    VitFifo8 f;
    vit_fifo8_init(&f, 16);
    g_assert_cmpuint(vit_fifo8_used(&f), ==, 0);
    g_assert_cmpuint(vit_fifo8_free(&f), ==, 16);
    g_assert_cmpint(vit_fifo8_pop(&f), ==, -1);
    g_assert_cmpint(vit_fifo8_peek(&f), ==, -1);
}

static void test_order_across_the_end(void)
{
    VitFifo8 f;
    int next_in = 0, next_out = 0;
    vit_fifo8_init(&f, VIT_FIFO8_CAPACITY);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 37; i++) g_assert_true(vit_fifo8_push(&f, (uint8_t)next_in++));
        g_assert_cmpint(vit_fifo8_peek(&f), ==, next_out & 0xff);
        for (int i = 0; i < 37; i++) g_assert_cmpint(vit_fifo8_pop(&f), ==, next_out++ & 0xff);
    }
    g_assert_true(vit_fifo8_is_valid(&f));
}

static void test_full(void)
{
    VitFifo8 f;
    vit_fifo8_init(&f, 3);
    for (int i = 0; i < 3; i++) g_assert_true(vit_fifo8_push(&f, 7));
    g_assert_true(vit_fifo8_is_full(&f));
    g_assert_false(vit_fifo8_push(&f, 8));
    g_assert_cmpuint(vit_fifo8_used(&f), ==, 3);
    vit_fifo8_reset(&f);
    g_assert_cmpuint(vit_fifo8_free(&f), ==, 3);
}

static void test_capacity_is_clamped(void)
{
    VitFifo8 f;
    vit_fifo8_init(&f, 1000);
    g_assert_cmpuint(vit_fifo8_free(&f), ==, VIT_FIFO8_CAPACITY);
}

static void test_corrupt(void)
{
    VitFifo8 f = { .capacity = 16, .head = 0xffffffff, .used = 0xfffffff0 };
    g_assert_false(vit_fifo8_is_valid(&f));
    g_assert_false(vit_fifo8_push(&f, 1));
    g_assert_cmpuint(vit_fifo8_free(&f), ==, 0);
    g_assert_cmpint(vit_fifo8_pop(&f), ==, 0);
    f = (VitFifo8){ .capacity = VIT_FIFO8_CAPACITY + 1 };
    g_assert_false(vit_fifo8_is_valid(&f));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, nullptr);
    g_test_add_func("/fifo8/empty", test_empty);
    g_test_add_func("/fifo8/order-across-the-end", test_order_across_the_end);
    g_test_add_func("/fifo8/full", test_full);
    g_test_add_func("/fifo8/capacity-is-clamped", test_capacity_is_clamped);
    g_test_add_func("/fifo8/corrupt", test_corrupt);
    return g_test_run();
}
