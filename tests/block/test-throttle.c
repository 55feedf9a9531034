/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-throttle.c - the arithmetic of limits and the turns of those who share them, on
 * a clock of the test's own */
#include "block/throttle/schedule.h"

#define SECOND INT64_C(1000000000)

static VitThrottleLimits limits(VitThrottleBucket which, uint64_t average, uint64_t burst,
                                uint64_t length)
{
    VitThrottleLimits l = vit_throttle_no_limits;

    l.bucket[which].average = average;
    l.bucket[which].burst = burst;
    l.bucket[which].burst_length = length;
    return l;
}

/* How many requests run within so many nanoseconds, if there are always more. */
static unsigned run(VitThrottleMeter *m, bool write, uint64_t bytes, int64_t *now, int64_t span)
{
    unsigned count = 0;

    for (int64_t end = *now + span; *now < end;) {
        int64_t wait = vit_throttle_meter_wait(m, write, *now);
        if (wait == 0) {
            vit_throttle_meter_add(m, write, bytes, *now);
            count++;
        } else {
            *now = MIN(end, *now + wait);
        }
    }
    return count;
}

static void about(double value, double wanted, double slack)
{
    if (value < wanted * (1 - slack) || value > wanted * (1 + slack))
        g_error("%g is not about %g", value, wanted);
}

static void test_rates(void)
{
    VitThrottleMeter m;
    VitThrottleLimits l = limits(VIT_THROTTLE_IOPS_TOTAL, 100, 0, 1);
    int64_t now = 5 * SECOND;

    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, false, 4096, &now, 10 * SECOND), 1010, 0.01); /* a tenth of a second ahead */
    about(run(&m, true, 1 << 20, &now, 10 * SECOND), 1000, 0.01);
    now += 100 * SECOND; /* idle time earns no more than that */
    about(run(&m, false, 4096, &now, SECOND), 110, 0.02);

    l = limits(VIT_THROTTLE_BPS_WRITE, 1 << 20, 0, 1);
    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, true, 65536, &now, 16 * SECOND), 16 * 16, 0.02);
    g_assert_cmpint(vit_throttle_meter_wait(&m, false, now), ==, 0); /* reads are free */
    /* One request may be larger than the bucket; the next pays for it. */
    now += SECOND;
    vit_throttle_meter_add(&m, true, 4 << 20, now);
    about((double)vit_throttle_meter_wait(&m, true, now), 3.9 * SECOND, 0.01);
    /* Absurd sizes do not overflow. */
    vit_throttle_meter_add(&m, true, UINT64_MAX, now);
    g_assert_cmpint(vit_throttle_meter_wait(&m, true, now), >, SECOND);
    vit_throttle_meter_init(&m, &vit_throttle_no_limits, now);
    vit_throttle_meter_add(&m, true, UINT64_MAX, now);
    g_assert_cmpint(vit_throttle_meter_wait(&m, true, now), ==, 0);
}

static void test_direction(void)
{
    VitThrottleMeter m;
    VitThrottleLimits l = limits(VIT_THROTTLE_IOPS_READ, 10, 0, 1);
    int64_t now = 0;

    l.bucket[VIT_THROTTLE_IOPS_WRITE].average = 20;
    l.bucket[VIT_THROTTLE_BPS_TOTAL].average = 1000000;
    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, false, 512, &now, 10 * SECOND), 101, 0.02);
    now += SECOND;
    about(run(&m, true, 512, &now, 10 * SECOND), 202, 0.02);
    now += SECOND;
    /* The tighter limit rules: 10 requests would be 2 MB. */
    about(run(&m, false, 200000, &now, 10 * SECOND), 50, 0.05);
}

static void test_burst(void)
{
    VitThrottleMeter m;
    VitThrottleLimits l = limits(VIT_THROTTLE_IOPS_TOTAL, 100, 2000, 60);
    int64_t now = 0;

    /* The documentation's own example: 2000 a second for a little more than a minute. */
    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, false, 4096, &now, SECOND), 2200, 0.01);
    about(run(&m, false, 4096, &now, 59 * SECOND), 59 * 2000, 0.01);
    about(run(&m, false, 4096, &now, 3 * SECOND), 3 * 2000, 0.1);
    about(run(&m, false, 4096, &now, 10 * SECOND), 10 * 100, 0.8);
    about(run(&m, false, 4096, &now, 10 * SECOND), 10 * 100, 0.01);
    now += 601 * SECOND; /* half of what the burst took has leaked */
    about(run(&m, false, 4096, &now, 30 * SECOND), 30 * 2000, 0.02);

    /* Of one second: what it holds may run at once. */
    l = limits(VIT_THROTTLE_IOPS_TOTAL, 100, 2000, 1);
    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, false, 4096, &now, SECOND / 100), 2000, 0.01);
    about(run(&m, false, 4096, &now, 10 * SECOND), 1000, 0.01);
}

static void test_request_size(void)
{
    VitThrottleMeter m;
    VitThrottleLimits l = limits(VIT_THROTTLE_IOPS_TOTAL, 100, 0, 1);
    int64_t now = 0;

    l.iops_size = 8192;
    vit_throttle_meter_init(&m, &l, now);
    about(run(&m, false, 4096, &now, 10 * SECOND), 1010, 0.01);
    about(run(&m, false, 16384, &now, 10 * SECOND), 500, 0.02);
    about(run(&m, false, 12288, &now, 10 * SECOND), 667, 0.02);
}

/* ---- turns ----------------------------------------------------------------------------------- */

enum { MEMBERS = 3, EACH = 50 };

typedef struct {
    VitThrottleSchedule s;
    VitThrottleQueue queues[MEMBERS];
    VitThrottleTicket tickets[MEMBERS][EACH];
} Turns;

static unsigned member_of(const Turns *t, const VitThrottleTicket *ticket)
{
    return (unsigned)(ticket->queue - t->queues);
}

static void test_turns(void)
{
    g_autofree Turns *t = g_new0(Turns, 1);
    VitThrottleLimits l = limits(VIT_THROTTLE_IOPS_TOTAL, 10, 0, 1);
    unsigned at_once = 0, count[MEMBERS] = { 0 };
    int64_t now = SECOND, when;

    vit_throttle_schedule_init(&t->s, &l, now);
    for (unsigned m = 0; m < MEMBERS; m++) vit_throttle_schedule_add(&t->s, &t->queues[m]);
    /* One member floods, then the others come. */
    for (unsigned m = 0; m < MEMBERS; m++) {
        for (unsigned i = 0; i < EACH; i++) {
            t->tickets[m][i] = (VitThrottleTicket){ .bytes = 4096, .write = true };
            at_once += vit_throttle_schedule_enter(&t->s, &t->queues[m], &t->tickets[m][i], now);
        }
    }
    g_assert_cmpuint(at_once, ==, 2);
    for (unsigned n = 0; n < 60; n++) {
        VitThrottleTicket *ticket;
        while (!(ticket = vit_throttle_schedule_next(&t->s, now, &when))) {
            g_assert_cmpint(when, >, now);
            now = when;
        }
        count[member_of(t, ticket)]++;
    }
    for (unsigned m = 0; m < MEMBERS; m++) g_assert_cmpuint(count[m], ==, 20);
    about((double)(now - SECOND), 6.0 * SECOND, 0.05);
    /* In order within a member. */
    g_assert_true(g_queue_peek_head(&t->queues[1].waiting[1]) == &t->tickets[1][20]);

    /* A member's departure leaves the others' turns alone. */
    while (vit_throttle_schedule_force(&t->s, &t->queues[0], now)) {}
    vit_throttle_schedule_remove(&t->s, &t->queues[0]);
    memset(count, 0, sizeof count);
    for (unsigned n = 0; n < 20; n++) {
        VitThrottleTicket *ticket;
        while (!(ticket = vit_throttle_schedule_next(&t->s, now, &when))) now = when;
        count[member_of(t, ticket)]++;
    }
    g_assert_cmpuint(count[1], ==, 10);
    g_assert_cmpuint(count[2], ==, 10);
    vit_throttle_schedule_clear(&t->s);
}

static void test_directions_alternate(void)
{
    g_autofree Turns *t = g_new0(Turns, 1);
    VitThrottleLimits l = limits(VIT_THROTTLE_BPS_TOTAL, 4096, 0, 1);
    unsigned writes = 0;
    int64_t now = 0, when;

    vit_throttle_schedule_init(&t->s, &l, now);
    vit_throttle_schedule_add(&t->s, &t->queues[0]);
    for (unsigned i = 0; i < EACH; i++) {
        t->tickets[0][i] = (VitThrottleTicket){ .bytes = 4096, .write = i >= EACH / 2 };
        (void)vit_throttle_schedule_enter(&t->s, &t->queues[0], &t->tickets[0][i], now);
    }
    for (unsigned n = 0; n < 20; n++) {
        VitThrottleTicket *ticket;
        while (!(ticket = vit_throttle_schedule_next(&t->s, now, &when))) now = when;
        writes += ticket->write;
    }
    g_assert_cmpuint(writes, ==, 10);
    vit_throttle_schedule_clear(&t->s);
}

/* Nobody waits: nothing to wake up for. */
static void test_idle(void)
{
    g_autofree Turns *t = g_new0(Turns, 1);
    int64_t when;

    vit_throttle_schedule_init(&t->s, &vit_throttle_no_limits, 0);
    vit_throttle_schedule_add(&t->s, &t->queues[0]);
    for (unsigned i = 0; i < EACH; i++)
        g_assert_true(vit_throttle_schedule_enter(&t->s, &t->queues[0], &t->tickets[0][i], 0));
    g_assert_null(vit_throttle_schedule_next(&t->s, 0, &when));
    g_assert_cmpint(when, ==, INT64_MAX);
    vit_throttle_schedule_clear(&t->s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/throttle/rates", test_rates);
    g_test_add_func("/block/throttle/direction", test_direction);
    g_test_add_func("/block/throttle/burst", test_burst);
    g_test_add_func("/block/throttle/request-size", test_request_size);
    g_test_add_func("/block/throttle/turns", test_turns);
    g_test_add_func("/block/throttle/directions-alternate", test_directions_alternate);
    g_test_add_func("/block/throttle/idle", test_idle);
    return g_test_run();
}
