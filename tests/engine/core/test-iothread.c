/* tests/engine/core/test-iothread.c - calls in order, synchronous calls, watches and their end
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/iothread.h"

#include <unistd.h>

enum { CALLS = 1000 };

typedef struct {
    VitIoThread *thread;
    unsigned     next, expected[CALLS];
    bool         on_thread;
} Order;

typedef struct {
    Order   *order;
    unsigned n;
} OrderCall;

static void record(void *opaque)
{
    OrderCall *call = opaque;
    call->order->on_thread &= vit_io_thread_is_current(call->order->thread);
    call->order->expected[call->order->next++] = call->n;
}

static void nothing(void *opaque)
{
}

static void test_calls(void)
{
    static OrderCall calls[CALLS];
    Order order = { .thread = vit_io_thread_new("test"), .on_thread = true };
    for (unsigned i = 0; i < CALLS; i++) {
        calls[i] = (OrderCall) { &order, i };
        vit_io_thread_call(order.thread, record, &calls[i]);
    }
    vit_io_thread_call_sync(order.thread, nothing, NULL);
    g_assert_cmpuint(order.next, ==, CALLS);
    g_assert_true(order.on_thread);
    for (unsigned i = 0; i < CALLS; i++)
        g_assert_cmpuint(order.expected[i], ==, i);
    g_assert_false(vit_io_thread_is_current(order.thread));

    /* What was called before the end still runs. */
    for (unsigned i = 0; i < CALLS; i++)
        calls[i].n = 7;
    order.next = 0;
    for (unsigned i = 0; i < CALLS; i++)
        vit_io_thread_call(order.thread, record, &calls[i]);
    vit_io_thread_free(order.thread);
    g_assert_cmpuint(order.next, ==, CALLS);
}

static void nested_inner(void *opaque)
{
    *(int *) opaque += 1;
}

typedef struct {
    VitIoThread *thread;
    int          count;
} Nested;

static void nested_outer(void *opaque)
{
    Nested *n = opaque;
    vit_io_thread_call_sync(n->thread, nested_inner, &n->count);    /* at once: same thread */
    n->count *= 10;
}

static void test_sync_nested(void)
{
    Nested n = { .thread = vit_io_thread_new("test") };
    vit_io_thread_call_sync(n.thread, nested_outer, &n);
    g_assert_cmpint(n.count, ==, 10);
    vit_io_thread_free(n.thread);
}

typedef struct {
    VitIoWatch *watch;
    GRecMutex   lock;
    int         fds[2];
    int         bytes;      /* atomic */
    int         calls;      /* atomic */
    bool        free_inside;
} Pipe;

static void pipe_ready(void *opaque, GIOCondition ready)
{
    Pipe *p = opaque;
    char buf[64];
    __atomic_fetch_add(&p->calls, 1, __ATOMIC_SEQ_CST);
    if (ready & G_IO_IN) {
        ssize_t n = read(p->fds[0], buf, sizeof(buf));
        __atomic_fetch_add(&p->bytes, n > 0 ? (int) n : 0, __ATOMIC_SEQ_CST);
    }
    if (p->free_inside)
        g_clear_pointer(&p->watch, vit_io_watch_free);
}

static bool comes_to(int *value, int wanted)
{
    for (int i = 0; i < 5000; i++) {
        if (__atomic_load_n(value, __ATOMIC_SEQ_CST) == wanted)
            return true;
        g_usleep(1000);
    }
    return false;
}

static void send(Pipe *p, const char *text, size_t size)
{
    g_assert_cmpint(write(p->fds[1], text, size), ==, (ssize_t) size);
}

static void test_watch(void)
{
    VitIoThread *thread = vit_io_thread_new("test");
    Pipe p = { 0 };
    g_rec_mutex_init(&p.lock);
    g_assert_cmpint(pipe(p.fds), ==, 0);
    g_rec_mutex_lock(&p.lock);
    p.watch = vit_io_watch_new_locked(thread, &p.lock, p.fds[0], G_IO_IN, pipe_ready, &p);
    g_rec_mutex_unlock(&p.lock);
    send(&p, "abc", 3);
    g_assert_true(comes_to(&p.bytes, 3));

    /* Suspended: not even the hang-up is reported, and nothing spins. */
    vit_io_watch_set(p.watch, 0);
    send(&p, "de", 2);
    close(p.fds[1]);
    int calls = __atomic_load_n(&p.calls, __ATOMIC_SEQ_CST);
    g_usleep(20000);
    g_assert_cmpint(__atomic_load_n(&p.calls, __ATOMIC_SEQ_CST), ==, calls);
    vit_io_watch_set(p.watch, G_IO_IN);
    g_assert_true(comes_to(&p.bytes, 5));

    /* Freed with its lock held: a callback that waits for the lock must not run afterwards. */
    g_rec_mutex_lock(&p.lock);
    g_usleep(5000);
    vit_io_watch_free(p.watch);
    calls = __atomic_load_n(&p.calls, __ATOMIC_SEQ_CST);
    g_rec_mutex_unlock(&p.lock);
    g_usleep(5000);
    g_assert_cmpint(__atomic_load_n(&p.calls, __ATOMIC_SEQ_CST), ==, calls);
    close(p.fds[0]);
    vit_io_thread_free(thread);
    g_rec_mutex_clear(&p.lock);
}

static void test_watch_frees_itself(void)
{
    VitIoThread *thread = vit_io_thread_new("test");
    Pipe p = { .free_inside = true };
    g_rec_mutex_init(&p.lock);
    g_assert_cmpint(pipe(p.fds), ==, 0);
    g_rec_mutex_lock(&p.lock);
    p.watch = vit_io_watch_new_locked(thread, &p.lock, p.fds[0], G_IO_IN, pipe_ready, &p);
    g_rec_mutex_unlock(&p.lock);
    send(&p, "x", 1);
    g_assert_true(comes_to(&p.bytes, 1));
    send(&p, "y", 1);
    g_usleep(5000);
    g_assert_cmpint(__atomic_load_n(&p.calls, __ATOMIC_SEQ_CST), ==, 1);
    vit_io_thread_free(thread);
    close(p.fds[0]);
    close(p.fds[1]);
    g_rec_mutex_clear(&p.lock);
}

typedef struct {
    VitIoThread *thread;
    unsigned ran;
} Burst;

static void ran(void *opaque)
{
    ((Burst *)opaque)->ran++;
}

static void burst(void *opaque)
{
    Burst *b = opaque;

    vit_io_thread_defer(b->thread, ran, b);
    g_assert_cmpuint(b->ran, ==, 1); /* no burst: at once */
    vit_io_thread_burst(b->thread, true);
    vit_io_thread_defer(b->thread, ran, b);
    vit_io_thread_burst(b->thread, true);
    vit_io_thread_defer(b->thread, ran, b);
    vit_io_thread_burst(b->thread, false);
    g_assert_true(vit_io_thread_in_burst(b->thread));
    g_assert_cmpuint(b->ran, ==, 1);
    vit_io_thread_burst(b->thread, false);
    g_assert_cmpuint(b->ran, ==, 3);
    g_assert_false(vit_io_thread_in_burst(b->thread));
}

static void test_burst(void)
{
    Burst b = { .thread = vit_io_thread_new("test") };

    vit_io_thread_call_sync(b.thread, burst, &b);
    vit_io_thread_free(b.thread);
    g_assert_cmpuint(b.ran, ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/iothread/calls", test_calls);
    g_test_add_func("/core/iothread/sync-nested", test_sync_nested);
    g_test_add_func("/core/iothread/burst", test_burst);
    g_test_add_func("/core/iothread/watch", test_watch);
    g_test_add_func("/core/iothread/watch-frees-itself", test_watch_frees_itself);
    return g_test_run();
}
