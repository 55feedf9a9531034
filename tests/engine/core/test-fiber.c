/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/core/test-fiber.c - fibers: order, nesting, waking, workers, locks */
#include "engine/core/fiber.h"

#include <string.h>

typedef struct {
    VitIoThread *thread;
    GString *trace;
    VitFiber *first;
    VitFiberMutex mutex;
    VitFiberCond cond;
    int ready, inside, ended;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->thread = vit_io_thread_new("fibers");
    f->trace = g_string_new(NULL);
    f->mutex.thread = f->cond.thread = f->thread;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_io_thread_free(f->thread);
    g_string_free(f->trace, TRUE);
}

static void inner(void *opaque)
{
    Fixture *f = opaque;

    g_string_append_c(f->trace, 'b');
    vit_fiber_wake(f->first);       /* before it waits: not lost */
    vit_fiber_sleep(f->thread, 1000 * 1000);
    g_string_append_c(f->trace, 'e');
    vit_fiber_wake(f->first);
}

static void outer(void *opaque)
{
    Fixture *f = opaque;

    f->first = vit_fiber_self(f->thread);
    g_assert_nonnull(f->first);
    g_string_append_c(f->trace, 'a');
    vit_fiber_start(f->thread, inner, f);
    g_string_append_c(f->trace, 'c');
    vit_fiber_yield(f->thread);
    g_string_append_c(f->trace, 'd');
    vit_fiber_yield(f->thread);
    g_string_append_c(f->trace, 'f');
}

static void test_order(Fixture *f, gconstpointer data)
{
    vit_fiber_run_sync(f->thread, outer, f);
    g_assert_cmpstr(f->trace->str, ==, "abcdef");
}

static void square(void *opaque)
{
    int *n = opaque;
    *n *= *n;
}

static void offloads(void *opaque)
{
    Fixture *f = opaque;

    for (int i = 0; i < 200; i++) {
        int n = i;
        vit_fiber_offload(f->thread, square, &n);
        g_assert_cmpint(n, ==, i * i);
    }
}

static void test_offload(Fixture *f, gconstpointer data)
{
    vit_fiber_run_sync(f->thread, offloads, f);
}

enum { CROWD = 300 };

static void crowd_member(void *opaque)
{
    Fixture *f = opaque;
    char depth[2048];

    memset(depth, 1, sizeof depth);
    for (int i = 0; i < 10; i++) {
        vit_fiber_mutex_lock(&f->mutex);
        g_assert_cmpint(f->inside++, ==, 0);
        if (i % 3 == 0) vit_fiber_sleep(f->thread, 0);
        f->inside--;
        vit_fiber_mutex_unlock(&f->mutex);
    }
    g_assert_cmpint(depth[2047], ==, 1);
    f->ended++;
    vit_fiber_cond_wake_one(&f->cond);
}

static void crowd(void *opaque)
{
    Fixture *f = opaque;

    for (int i = 0; i < CROWD; i++) vit_fiber_start(f->thread, crowd_member, f);
    vit_fiber_mutex_lock(&f->mutex);
    while (f->ended < CROWD) vit_fiber_cond_wait(&f->cond, &f->mutex);
    vit_fiber_mutex_unlock(&f->mutex);
}

static void test_crowd(Fixture *f, gconstpointer data)
{
    vit_fiber_run_sync(f->thread, crowd, f);
    g_assert_cmpint(f->ended, ==, CROWD);
}

static void floating(void *opaque)
{
    double *d = opaque;
    *d = *d / 3;
}

static void floats(void *opaque)
{
    Fixture *f = opaque;
    double d = 1;

    for (int i = 0; i < 3; i++) {
        vit_fiber_start(f->thread, floating, &d);
        vit_fiber_sleep(f->thread, 1);
    }
    g_assert_cmpfloat(d, ==, 1.0 / 3 / 3 / 3);
}

static void test_floats(Fixture *f, gconstpointer data)
{
    vit_fiber_run_sync(f->thread, floats, f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/fiber/order", Fixture, NULL, set_up, test_order, tear_down);
    g_test_add("/fiber/offload", Fixture, NULL, set_up, test_offload, tear_down);
    g_test_add("/fiber/crowd", Fixture, NULL, set_up, test_crowd, tear_down);
    g_test_add("/fiber/floats", Fixture, NULL, set_up, test_floats, tear_down);
    return g_test_run();
}
