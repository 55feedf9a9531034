/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/clock.h - a machine's virtual clock and its timers
 *
 * Virtual time is in nanoseconds from machine start; it stands still while the machine is paused.
 * Timers fire on the thread of the VitIoThread that the clock was given, with the machine lock
 * held. */
#pragma once
#include "engine/core/iothread.h"

typedef struct VitClock VitClock;
typedef struct VitTimer VitTimer;

enum { VIT_NS_PER_MS = 1000000, VIT_NS_PER_US = 1000 };
#define VIT_NS_PER_S 1000000000LL
#define VIT_TIMER_OFF INT64_MAX

/* lock: taken around callbacks, borrowed.  The clock starts stopped at 0. */
[[nodiscard]] VitClock *vit_clock_new(VitIoThread *thread, GRecMutex *lock);
void vit_clock_free(VitClock *clock);       /* all its timers must be gone */
int64_t vit_clock_now(VitClock *clock);     /* any thread, lock-free */
void vit_clock_start(VitClock *clock);
void vit_clock_stop(VitClock *clock);
void vit_clock_set(VitClock *clock, int64_t now);   /* only while stopped (state load) */
bool vit_clock_running(VitClock *clock);
/* Only while stopped (tests, stepping): moves the time on by ns and fires on the calling thread,
 * under the lock, each timer that falls due, at its own time and in order.  Fires at most `limit`
 * of them and then jumps; returns how many. */
unsigned vit_clock_advance(VitClock *clock, int64_t ns, unsigned limit);

typedef void (*VitTimerFunc)(void *opaque);
[[nodiscard]] VitTimer *vit_timer_new(VitClock *clock, VitTimerFunc fn, void *opaque);
void vit_timer_free(VitTimer *timer);       /* NULL is fine; machine lock held */
/* (Re)arms for an absolute virtual time; VIT_TIMER_OFF or vit_timer_cancel() disarms.  A time in
 * the past fires as soon as possible.  Any thread. */
void vit_timer_set(VitTimer *timer, int64_t deadline_ns);
void vit_timer_cancel(VitTimer *timer);
int64_t vit_timer_deadline(const VitTimer *timer);  /* VIT_TIMER_OFF when not armed */
bool vit_timer_armed(const VitTimer *timer);

/* floor(a * b / c) without overflow, for tick conversions (c > 0). */
static inline uint64_t vit_muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t) ((unsigned __int128) a * b / c);
}
