/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/pool.c - see pool.h
 *
 * One timer is armed at a time, on the thread of a member that waits; it lets run what may, on
 * whatever threads that belongs to. */
#include "block/throttle/pool.h"

struct VitThrottlePool {
    GMutex lock; /* guards all of it and the members, but where they say otherwise */
    VitThrottleSchedule schedule;
    GPtrArray *members; /* of VitThrottleMember*, borrowed */
    VitThrottleMember *armed; /* borrowed: whose timer runs; NULL: none */
    int64_t (*now)(void *opaque);
    void *opaque;
    bool by_hand; /* no timers: a test's clock */
};

struct VitThrottleMember {
    VitThrottleQueue queue; /* first member */
    VitThrottlePool *pool; /* borrowed: of group */
    VitBlockObject *group; /* a use */
    VitIoThread *thread; /* borrowed */
    GSource *timer; /* owned, on thread */
    GQueue ready; /* of VitThrottlePass*: let go, not yet told */
    unsigned hurried;
    int references; /* atomic: the node's, and of calls on their way */
};

static int64_t host_now(void *opaque)
{
    return g_get_monotonic_time() * 1000;
}

VitThrottlePool *vit_throttle_pool_new(void)
{
    VitThrottlePool *pool = g_new0(VitThrottlePool, 1);

    g_mutex_init(&pool->lock);
    pool->members = g_ptr_array_new();
    pool->now = host_now;
    vit_throttle_schedule_init(&pool->schedule, &vit_throttle_no_limits, host_now(NULL));
    return pool;
}

void vit_throttle_pool_free(VitThrottlePool *pool)
{
    if (!pool) return;
    vit_throttle_schedule_clear(&pool->schedule);
    g_ptr_array_unref(pool->members);
    g_mutex_clear(&pool->lock);
    g_free(pool);
}

VitThrottleLimits vit_throttle_pool_limits(VitThrottlePool *pool)
{
    g_mutex_lock(&pool->lock);
    VitThrottleLimits limits = pool->schedule.meter.limits;
    g_mutex_unlock(&pool->lock);
    return limits;
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void member_unref(VitThrottleMember *m)
{
    if (g_atomic_int_dec_and_test(&m->references)) g_free(m);
}

/* On the member's thread, without the lock. */
static void tell(void *opaque)
{
    VitThrottleMember *m = opaque;
    VitThrottlePool *pool = m->pool;

    for (bool more = true; more;) {
        /* The last go() may take the member away, and with it the pool. */
        VitThrottlePass *pass = NULL;
        g_mutex_lock(&pool->lock);
        pass = g_queue_pop_head(&m->ready);
        more = !g_queue_is_empty(&m->ready);
        g_mutex_unlock(&pool->lock);
        if (pass) pass->go(pass);
    }
    member_unref(m);
}

/* Lock held. */
static void let_go(VitThrottlePass *pass)
{
    VitThrottleMember *m = pass->member;

    if (g_queue_is_empty(&m->ready)) {
        g_atomic_int_inc(&m->references);
        vit_io_thread_call(m->thread, tell, m);
    }
    g_queue_push_tail(&m->ready, pass);
}

static void arm(VitThrottlePool *pool, int64_t when)
{
    VitThrottleMember *who = NULL;

    if (pool->by_hand) return;
    for (guint i = 0; i < pool->members->len && when != INT64_MAX && !who; i++) {
        VitThrottleMember *m = pool->members->pdata[i];
        if (!g_queue_is_empty(&m->queue.waiting[0]) || !g_queue_is_empty(&m->queue.waiting[1]))
            who = m;
    }
    if (pool->armed && pool->armed != who) g_source_set_ready_time(pool->armed->timer, -1);
    pool->armed = who;
    if (who) g_source_set_ready_time(who->timer, (when + 999) / 1000);
}

/* Lets run what may; lock held. */
static void dispatch(VitThrottlePool *pool)
{
    VitThrottleTicket *ticket;
    int64_t now = pool->now(pool->opaque), when;

    while ((ticket = vit_throttle_schedule_next(&pool->schedule, now, &when)))
        let_go((VitThrottlePass *)ticket);
    arm(pool, when);
}

static gboolean timer_over(void *opaque)
{
    VitThrottleMember *m = opaque;

    g_source_set_ready_time(m->timer, -1);
    vit_throttle_pool_kick(m->pool);
    return G_SOURCE_CONTINUE;
}

static gboolean timer_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    return callback(data);
}

static const GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

void vit_throttle_pool_kick(VitThrottlePool *pool)
{
    g_mutex_lock(&pool->lock);
    dispatch(pool);
    g_mutex_unlock(&pool->lock);
}

void vit_throttle_pool_set_limits(VitThrottlePool *pool, const VitThrottleLimits *limits)
{
    g_mutex_lock(&pool->lock);
    vit_throttle_meter_init(&pool->schedule.meter, limits, pool->now(pool->opaque));
    dispatch(pool);
    g_mutex_unlock(&pool->lock);
}

void vit_throttle_pool_set_clock(VitThrottlePool *pool, int64_t (*now)(void *opaque), void *opaque)
{
    g_mutex_lock(&pool->lock);
    VitThrottleLimits limits = pool->schedule.meter.limits;
    pool->now = now;
    pool->opaque = opaque;
    pool->by_hand = true;
    vit_throttle_meter_init(&pool->schedule.meter, &limits, now(opaque));
    g_mutex_unlock(&pool->lock);
}

/* ---- members --------------------------------------------------------------------------------- */

static void start_timer(VitThrottleMember *m)
{
    m->timer = g_source_new((GSourceFuncs *)&timer_funcs, sizeof(GSource));
    g_source_set_callback(m->timer, timer_over, m, NULL);
    g_source_attach(m->timer, vit_io_thread_context(m->thread));
}

static void stop_timer(VitThrottleMember *m)
{
    g_source_destroy(m->timer);
    g_source_unref(m->timer);
}

VitThrottleMember *vit_throttle_join(VitBlockObject *group, VitIoThread *thread)
{
    VitThrottleMember *m = g_new0(VitThrottleMember, 1);

    m->group = group;
    m->pool = vit_throttle_group_pool(group);
    m->thread = thread;
    m->references = 1;
    start_timer(m);
    g_mutex_lock(&m->pool->lock);
    vit_throttle_schedule_add(&m->pool->schedule, &m->queue);
    g_ptr_array_add(m->pool->members, m);
    g_mutex_unlock(&m->pool->lock);
    return m;
}

void vit_throttle_leave(VitThrottleMember *m)
{
    if (!m) return;
    g_mutex_lock(&m->pool->lock);
    vit_throttle_schedule_remove(&m->pool->schedule, &m->queue);
    g_ptr_array_remove(m->pool->members, m);
    dispatch(m->pool); /* its timer may have been the armed one */
    g_mutex_unlock(&m->pool->lock);
    stop_timer(m);
    vit_block_object_release(m->group);
    member_unref(m);
}

void vit_throttle_move(VitThrottleMember *m, VitIoThread *thread)
{
    g_mutex_lock(&m->pool->lock);
    if (m->pool->armed == m) m->pool->armed = NULL;
    stop_timer(m);
    m->thread = thread;
    start_timer(m);
    dispatch(m->pool);
    g_mutex_unlock(&m->pool->lock);
}

VitBlockObject *vit_throttle_member_group(const VitThrottleMember *m)
{
    return m->group;
}

bool vit_throttle_enter(VitThrottleMember *m, VitThrottlePass *pass)
{
    VitThrottlePool *pool = m->pool;

    pass->member = m;
    g_mutex_lock(&pool->lock);
    VitThrottleSchedule *s = &pool->schedule;
    int64_t now = pool->now(pool->opaque);
    bool free = m->hurried > 0;
    if (free) vit_throttle_meter_add(&s->meter, pass->ticket.write, pass->ticket.bytes, now);
    else if (!(free = vit_throttle_schedule_enter(s, &m->queue, &pass->ticket, now)))
        dispatch(pool); /* arms the timer anew */
    g_mutex_unlock(&pool->lock);
    return free;
}

void vit_throttle_hurry(VitThrottleMember *m, bool on)
{
    VitThrottlePool *pool = m->pool;
    VitThrottleTicket *ticket;

    g_mutex_lock(&pool->lock);
    int64_t now = pool->now(pool->opaque);
    m->hurried += on ? 1 : -1u;
    while (m->hurried > 0 &&
           (ticket = vit_throttle_schedule_force(&pool->schedule, &m->queue, now)))
        let_go((VitThrottlePass *)ticket);
    g_mutex_unlock(&pool->lock);
}
