/* tests/engine/core/test-clock.c - virtual time, the order and threads of timers, rest when idle
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/clock.h"

typedef struct {
    VitIoThread *thread;
    GRecMutex    lock;
    VitClock    *clock;
    int          fired;         /* atomic */
    int64_t      times[64];
    int          order[64];
    bool         wrong_thread;
} Fixture;

typedef struct {
    Fixture  *f;
    VitTimer *timer;
    int       number;
    int64_t   period;           /* 0: once */
} Alarm;

static void setup(Fixture *f, gconstpointer data)
{
    f->thread = vit_io_thread_new("machine");
    g_rec_mutex_init(&f->lock);
    f->clock = vit_clock_new(f->thread, &f->lock);
}

static void teardown(Fixture *f, gconstpointer data)
{
    vit_clock_free(f->clock);
    vit_io_thread_free(f->thread);
    g_rec_mutex_clear(&f->lock);
}

static void ring(void *opaque)
{
    Alarm *a = opaque;
    Fixture *f = a->f;
    int n = __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST);
    if (n < 64) {
        f->times[n] = vit_clock_now(f->clock);
        f->order[n] = a->number;
    }
    f->wrong_thread |= vit_clock_running(f->clock) && !vit_io_thread_is_current(f->thread);
    if (a->period)
        vit_timer_set(a->timer, vit_clock_now(f->clock) + a->period);
    __atomic_store_n(&f->fired, n + 1, __ATOMIC_SEQ_CST);
}

static void alarm_init(Alarm *a, Fixture *f, int number)
{
    *a = (Alarm) { .f = f, .number = number };
    a->timer = vit_timer_new(f->clock, ring, a);
}

static void alarm_free(Alarm *a)
{
    g_rec_mutex_lock(&a->f->lock);
    vit_timer_free(a->timer);
    g_rec_mutex_unlock(&a->f->lock);
}

static bool fired_to(Fixture *f, int wanted)
{
    for (int i = 0; i < 5000 && __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST) < wanted; i++)
        g_usleep(1000);
    return __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST) >= wanted;
}

static void test_time(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(vit_clock_now(f->clock), ==, 0);
    g_assert_false(vit_clock_running(f->clock));
    vit_clock_start(f->clock);
    g_usleep(2000);
    int64_t first = vit_clock_now(f->clock);
    g_assert_cmpint(first, >=, 2 * VIT_NS_PER_MS);
    vit_clock_stop(f->clock);
    int64_t stopped = vit_clock_now(f->clock);
    g_assert_cmpint(stopped, >=, first);
    g_usleep(2000);
    g_assert_cmpint(vit_clock_now(f->clock), ==, stopped);
    vit_clock_set(f->clock, 5 * VIT_NS_PER_S);
    vit_clock_start(f->clock);
    int64_t again = vit_clock_now(f->clock);
    g_assert_cmpint(again, >=, 5 * VIT_NS_PER_S);
    g_assert_cmpint(again, <, 6 * VIT_NS_PER_S);
}

static void test_order(Fixture *f, gconstpointer data)
{
    Alarm alarms[40];
    g_autoptr(GRand) r = g_rand_new_with_seed(1);
    for (int i = 0; i < 40; i++) {
        alarm_init(&alarms[i], f, i);
        vit_timer_set(alarms[i].timer, g_rand_int_range(r, 1, 1000) * VIT_NS_PER_US);
        if (i % 3 == 0)     /* moved, both ways */
            vit_timer_set(alarms[i].timer, g_rand_int_range(r, 1, 1000) * VIT_NS_PER_US);
    }
    for (int i = 0; i < 40; i += 4) {
        vit_timer_cancel(alarms[i].timer);
        g_assert_false(vit_timer_armed(alarms[i].timer));
    }
    g_assert_cmpint(vit_timer_deadline(alarms[1].timer), <, VIT_TIMER_OFF);
    vit_clock_start(f->clock);
    g_assert_true(fired_to(f, 30));
    g_usleep(3000);
    g_assert_cmpint(__atomic_load_n(&f->fired, __ATOMIC_SEQ_CST), ==, 30);
    g_assert_false(f->wrong_thread);
    for (int i = 1; i < 30; i++)
        g_assert_cmpint(f->times[i], >=, f->times[i - 1]);
    for (int i = 0; i < 40; i++)
        alarm_free(&alarms[i]);
}

static void test_advance(Fixture *f, gconstpointer data)
{
    Alarm a, b;
    alarm_init(&a, f, 1);
    alarm_init(&b, f, 2);
    a.period = 10;
    vit_timer_set(a.timer, 10);
    vit_timer_set(b.timer, 25);
    g_assert_cmpuint(vit_clock_advance(f->clock, 30, 100), ==, 4);
    g_assert_cmpint(vit_clock_now(f->clock), ==, 30);
    const int order[] = { 1, 1, 2, 1 };
    const int64_t times[] = { 10, 20, 25, 30 };
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(f->order[i], ==, order[i]);
        g_assert_cmpint(f->times[i], ==, times[i]);
    }
    a.period = 1;
    g_assert_cmpuint(vit_clock_advance(f->clock, VIT_NS_PER_S, 20), ==, 20);   /* bounded */
    g_assert_cmpint(vit_clock_now(f->clock), ==, VIT_NS_PER_S + 30);
    alarm_free(&a);
    alarm_free(&b);
}

/* A guest that asks for a timer at every instant must not keep the thread from other work. */
static void count_call(void *opaque)
{
    __atomic_fetch_add((int *) opaque, 1, __ATOMIC_SEQ_CST);
}

static void test_storm(Fixture *f, gconstpointer data)
{
    Alarm a;
    int calls = 0;
    alarm_init(&a, f, 1);
    a.period = -1;
    vit_timer_set(a.timer, 0);
    vit_clock_start(f->clock);
    for (int i = 0; i < 20; i++)
        vit_io_thread_call_sync(f->thread, count_call, &calls);
    g_assert_cmpint(calls, ==, 20);
    g_assert_true(fired_to(f, 64));
    alarm_free(&a);
}

/* Stopping while a timer is due: none fires in stopped time. */
static void test_stop(Fixture *f, gconstpointer data)
{
    Alarm a;
    alarm_init(&a, f, 1);
    a.period = 20 * VIT_NS_PER_US;
    vit_timer_set(a.timer, 0);
    for (int i = 0; i < 50; i++) {
        vit_clock_start(f->clock);
        if (i == 0)
            g_assert_true(fired_to(f, 1));
        g_usleep(100);
        g_rec_mutex_lock(&f->lock);
        vit_clock_stop(f->clock);
        int before = __atomic_load_n(&f->fired, __ATOMIC_SEQ_CST);
        g_rec_mutex_unlock(&f->lock);
        g_usleep(200);
        g_assert_cmpint(__atomic_load_n(&f->fired, __ATOMIC_SEQ_CST), ==, before);
    }
    alarm_free(&a);
}

static gpointer read_clock(gpointer data)
{
    Fixture *f = data;
    int64_t last = 0;
    for (int i = 0; i < 200000; i++) {
        int64_t now = vit_clock_now(f->clock);
        if (now < last)
            return GINT_TO_POINTER(1);
        last = now;
    }
    return NULL;
}

static void test_monotonic(Fixture *f, gconstpointer data)
{
    GThread *reader = g_thread_new("reader", read_clock, f);
    for (int i = 0; i < 2000; i++) {
        vit_clock_start(f->clock);
        vit_clock_stop(f->clock);
    }
    g_assert_null(g_thread_join(reader));
}

static gpointer arm_timers(gpointer data)
{
    Alarm *a = data;
    for (int i = 0; i < 5000; i++)
        vit_timer_set(a->timer, vit_clock_now(a->f->clock) + i % 50 * VIT_NS_PER_US);
    return NULL;
}

static void test_threads(Fixture *f, gconstpointer data)
{
    Alarm alarms[4];
    GThread *threads[4];
    vit_clock_start(f->clock);
    for (int i = 0; i < 4; i++) {
        alarm_init(&alarms[i], f, i);
        threads[i] = g_thread_new("arm", arm_timers, &alarms[i]);
    }
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    for (int i = 0; i < 4; i++)
        vit_timer_set(alarms[i].timer, 1);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 5000 && vit_timer_armed(alarms[i].timer); k++)
            g_usleep(1000);
        g_assert_false(vit_timer_armed(alarms[i].timer));
        alarm_free(&alarms[i]);
    }
    g_assert_false(f->wrong_thread);
}

static void test_muldiv(void)
{
    g_assert_cmpuint(vit_muldiv64(UINT64_MAX, 3, 3), ==, UINT64_MAX);
    g_assert_cmpuint(vit_muldiv64(1000000000, 1193182, 1000000000), ==, 1193182);
    g_assert_cmpuint(vit_muldiv64(7, 1, 2), ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/core/clock/time", Fixture, NULL, setup, test_time, teardown);
    g_test_add("/core/clock/order", Fixture, NULL, setup, test_order, teardown);
    g_test_add("/core/clock/advance", Fixture, NULL, setup, test_advance, teardown);
    g_test_add("/core/clock/storm", Fixture, NULL, setup, test_storm, teardown);
    g_test_add("/core/clock/stop", Fixture, NULL, setup, test_stop, teardown);
    g_test_add("/core/clock/monotonic", Fixture, NULL, setup, test_monotonic, teardown);
    g_test_add("/core/clock/threads", Fixture, NULL, setup, test_threads, teardown);
    g_test_add_func("/core/clock/muldiv", test_muldiv);
    return g_test_run();
}
