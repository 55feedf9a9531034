/* engine/core/clock.c - a machine's virtual clock: a lock-free reading, a heap of timers, one
 * timerfd
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The timerfd is armed for the earliest deadline only, and only while the clock runs, so an idle
 * machine sleeps.  Moving the earliest deadline to a later time leaves it as it is: one wake too
 * many costs less than a system call for each re-arming. */
#include "engine/core/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NOT_QUEUED = -1, RUNNING = -1, STOPPING = -2 };

struct VitTimer {
    VitClock    *clock;         /* borrowed */
    VitTimerFunc fn;
    void        *opaque;        /* borrowed */
    int64_t      deadline;      /* atomic; written under clock->mutex */
    uint64_t     order;         /* of arming; equal deadlines fire in this order; clock->mutex */
    int          index;         /* in the heap, or NOT_QUEUED; clock->mutex */
};

struct VitClock {
    GRecMutex      *lock;       /* borrowed: the machine lock; may be NULL */
    VitIoWatch     *watch;      /* owned */
    int             fd;         /* owned: the timerfd */
    int64_t         frozen;     /* atomic: the time while stopped, or RUNNING or STOPPING */
    int64_t         offset;     /* atomic: virtual minus host time while running */
    pthread_mutex_t mutex;      /* leaf; guards what follows and changes of the above */
    GPtrArray      *heap;       /* of VitTimer*, owned array, borrowed timers */
    uint64_t        order;
    int64_t         programmed; /* virtual deadline that the timerfd is armed for */
};

static int64_t host_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * VIT_NS_PER_S + ts.tv_nsec;
}

int64_t vit_clock_now(VitClock *clock)
{
    for (;;) {
        int64_t frozen = __atomic_load_n(&clock->frozen, __ATOMIC_SEQ_CST);
        if (frozen >= 0)
            return frozen;
        if (frozen == STOPPING) {
            sched_yield();
            continue;
        }
        int64_t offset = __atomic_load_n(&clock->offset, __ATOMIC_SEQ_CST);
        int64_t now = host_now() + offset;
        /* Stopped (and perhaps restarted) meanwhile: that reading would run ahead of the clock. */
        if (__atomic_load_n(&clock->frozen, __ATOMIC_SEQ_CST) == RUNNING
            && __atomic_load_n(&clock->offset, __ATOMIC_SEQ_CST) == offset)
            return now;
    }
}

bool vit_clock_running(VitClock *clock)
{
    return __atomic_load_n(&clock->frozen, __ATOMIC_SEQ_CST) < 0;
}

/* ---- Heap, earliest first -------------------------------------------------------------------- */

static bool earlier(const VitTimer *a, const VitTimer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void heap_place(GPtrArray *heap, int index, VitTimer *timer)
{
    heap->pdata[index] = timer;
    timer->index = index;
}

static void heap_up(GPtrArray *heap, VitTimer *timer)
{
    int i = timer->index;
    while (i > 0) {
        VitTimer *above = heap->pdata[(i - 1) / 2];
        if (!earlier(timer, above))
            break;
        heap_place(heap, i, above);
        i = (i - 1) / 2;
    }
    heap_place(heap, i, timer);
}

static void heap_down(GPtrArray *heap, VitTimer *timer)
{
    int i = timer->index, n = (int) heap->len;
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && earlier(heap->pdata[child + 1], heap->pdata[child]))
            child++;
        if (!earlier(heap->pdata[child], timer))
            break;
        heap_place(heap, i, heap->pdata[child]);
    }
    heap_place(heap, i, timer);
}

static void heap_remove(GPtrArray *heap, VitTimer *timer)
{
    if (timer->index == NOT_QUEUED)
        return;
    int hole = timer->index;
    VitTimer *last = heap->pdata[heap->len - 1];
    g_ptr_array_set_size(heap, (int) heap->len - 1);
    timer->index = NOT_QUEUED;
    if (last == timer)
        return;
    heap_place(heap, hole, last);
    heap_up(heap, last);
    heap_down(heap, last);
}

static VitTimer *heap_first(GPtrArray *heap)
{
    return heap->len ? heap->pdata[0] : NULL;
}

/* ---- The timerfd ----------------------------------------------------------------------------- */

/* Guarded by clock->mutex. */
static void program(VitClock *clock)
{
    VitTimer *first = heap_first(clock->heap);
    bool running = vit_clock_running(clock);
    int64_t want = first && running ? first->deadline : VIT_TIMER_OFF;
    if (want == clock->programmed || (want > clock->programmed && running))
        return;
    struct itimerspec spec = { 0 };
    if (want != VIT_TIMER_OFF) {
        int64_t host = 0;
        /* At least 1: an all-zero time would disarm the timer. */
        if (__builtin_sub_overflow(want, clock->offset, &host))
            host = INT64_MAX;
        host = MAX(host, 1);
        spec.it_value.tv_sec = host / VIT_NS_PER_S;
        spec.it_value.tv_nsec = host % VIT_NS_PER_S;
    }
    timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &spec, NULL);
    clock->programmed = want;
}

static void set_deadline(VitTimer *timer, int64_t deadline)
{
    __atomic_store_n(&timer->deadline, deadline, __ATOMIC_RELAXED);
}

/* On the clock's thread with the machine lock held. */
static void timers_ready(void *opaque, GIOCondition ready)
{
    VitClock *clock = opaque;
    uint64_t expirations;
    if (read(clock->fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        g_warning("timerfd: %s", g_strerror(errno));
    pthread_mutex_lock(&clock->mutex);
    clock->programmed = VIT_TIMER_OFF;
    int64_t now = vit_clock_now(clock);
    uint64_t order = clock->order;      /* what callbacks arm anew waits for the next round */
    for (;;) {
        VitTimer *first = heap_first(clock->heap);
        if (!first || first->deadline > now || first->order > order
            || !vit_clock_running(clock))
            break;
        heap_remove(clock->heap, first);
        set_deadline(first, VIT_TIMER_OFF);
        pthread_mutex_unlock(&clock->mutex);
        first->fn(first->opaque);
        pthread_mutex_lock(&clock->mutex);
    }
    program(clock);
    pthread_mutex_unlock(&clock->mutex);
}

/* ---- Clock ----------------------------------------------------------------------------------- */

VitClock *vit_clock_new(VitIoThread *thread, GRecMutex *lock)
{
    VitClock *clock = g_new0(VitClock, 1);
    clock->lock = lock;
    clock->programmed = VIT_TIMER_OFF;
    clock->heap = g_ptr_array_new();
    pthread_mutex_init(&clock->mutex, NULL);
    clock->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (clock->fd < 0)
        g_error("timerfd_create: %s", g_strerror(errno));
    clock->watch = vit_io_watch_new_locked(thread, lock, clock->fd, G_IO_IN, timers_ready, clock);
    return clock;
}

void vit_clock_free(VitClock *clock)
{
    if (!clock)
        return;
    vit_io_watch_free(clock->watch);
    if (clock->heap->len)
        g_warning("a clock is freed while %u timers are armed", clock->heap->len);
    g_ptr_array_unref(clock->heap);
    close(clock->fd);
    pthread_mutex_destroy(&clock->mutex);
    g_free(clock);
}

void vit_clock_start(VitClock *clock)
{
    pthread_mutex_lock(&clock->mutex);
    if (!vit_clock_running(clock)) {
        __atomic_store_n(&clock->offset, clock->frozen - host_now(), __ATOMIC_SEQ_CST);
        __atomic_store_n(&clock->frozen, RUNNING, __ATOMIC_SEQ_CST);
        clock->programmed = VIT_TIMER_OFF;
        program(clock);
    }
    pthread_mutex_unlock(&clock->mutex);
}

void vit_clock_stop(VitClock *clock)
{
    pthread_mutex_lock(&clock->mutex);
    if (vit_clock_running(clock)) {
        /* From here no reader takes a time later than the one that is frozen. */
        __atomic_store_n(&clock->frozen, STOPPING, __ATOMIC_SEQ_CST);
        __atomic_store_n(&clock->frozen, MAX(0, host_now() + clock->offset), __ATOMIC_SEQ_CST);
        program(clock);
    }
    pthread_mutex_unlock(&clock->mutex);
}

void vit_clock_set(VitClock *clock, int64_t now)
{
    pthread_mutex_lock(&clock->mutex);
    if (vit_clock_running(clock))
        g_warning("the virtual clock was set while it ran");
    else
        __atomic_store_n(&clock->frozen, MAX(now, 0), __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&clock->mutex);
}

unsigned vit_clock_advance(VitClock *clock, int64_t ns, unsigned limit)
{
    if (vit_clock_running(clock)) {
        g_warning("the virtual clock was moved by hand while it ran");
        return 0;
    }
    unsigned fired = 0;
    if (clock->lock)
        g_rec_mutex_lock(clock->lock);
    pthread_mutex_lock(&clock->mutex);
    int64_t end = 0;
    if (__builtin_add_overflow(clock->frozen, MAX(ns, 0), &end))
        end = INT64_MAX - 1;
    for (VitTimer *first; fired < limit && (first = heap_first(clock->heap)); fired++) {
        if (first->deadline > end)
            break;
        __atomic_store_n(&clock->frozen, MAX(clock->frozen, first->deadline), __ATOMIC_SEQ_CST);
        heap_remove(clock->heap, first);
        set_deadline(first, VIT_TIMER_OFF);
        pthread_mutex_unlock(&clock->mutex);
        first->fn(first->opaque);
        pthread_mutex_lock(&clock->mutex);
    }
    __atomic_store_n(&clock->frozen, end, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&clock->mutex);
    if (clock->lock)
        g_rec_mutex_unlock(clock->lock);
    return fired;
}

/* ---- Timers ---------------------------------------------------------------------------------- */

VitTimer *vit_timer_new(VitClock *clock, VitTimerFunc fn, void *opaque)
{
    VitTimer *timer = g_new0(VitTimer, 1);
    timer->clock = clock;
    timer->fn = fn;
    timer->opaque = opaque;
    timer->deadline = VIT_TIMER_OFF;
    timer->index = NOT_QUEUED;
    return timer;
}

void vit_timer_free(VitTimer *timer)
{
    if (!timer)
        return;
    vit_timer_cancel(timer);
    g_free(timer);
}

void vit_timer_set(VitTimer *timer, int64_t deadline_ns)
{
    VitClock *clock = timer->clock;
    pthread_mutex_lock(&clock->mutex);
    if (deadline_ns != timer->deadline || deadline_ns != VIT_TIMER_OFF) {
        heap_remove(clock->heap, timer);
        set_deadline(timer, deadline_ns);
        if (deadline_ns != VIT_TIMER_OFF) {
            timer->order = ++clock->order;
            timer->index = (int) clock->heap->len;
            g_ptr_array_add(clock->heap, timer);
            heap_up(clock->heap, timer);
            program(clock);
        }
    }
    pthread_mutex_unlock(&clock->mutex);
}

void vit_timer_cancel(VitTimer *timer)
{
    vit_timer_set(timer, VIT_TIMER_OFF);
}

int64_t vit_timer_deadline(const VitTimer *timer)
{
    return __atomic_load_n(&timer->deadline, __ATOMIC_RELAXED);
}

bool vit_timer_armed(const VitTimer *timer)
{
    return vit_timer_deadline(timer) != VIT_TIMER_OFF;
}
