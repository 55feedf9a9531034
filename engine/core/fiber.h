/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/fiber.h - straight-line code that waits: stackful coroutines of a VitIoThread
 *
 * A fiber lives on one thread from start to end; only vit_fiber_start() and vit_fiber_wake() may be
 * called from others.  Between two waits nothing else runs on the thread, so data of the thread
 * need no lock; what must hold across a wait takes a VitFiberMutex.  Stacks are 256 KiB with a
 * guard page, kept for reuse: no recursion that input can deepen. */
#pragma once
#include "engine/core/iothread.h"

typedef struct VitFiber VitFiber;
typedef void (*VitFiberFunc)(void *opaque);

/* Runs fn as a fiber.  On the thread itself: at once, until it first waits or ends.  From another
 * thread: when the loop comes to it. */
void vit_fiber_start(VitIoThread *thread, VitFiberFunc fn, void *opaque);
/* The same, and returns when fn has ended.  From within a fiber of the thread fn is simply called;
 * from other threads the caller is blocked; on the thread outside of a fiber it must not be
 * called. */
void vit_fiber_run_sync(VitIoThread *thread, VitFiberFunc fn, void *opaque);

/* The running fiber of this thread, NULL outside of fibers.  On the thread. */
VIT_FOR_MODULES VitFiber *vit_fiber_self(VitIoThread *thread);
/* What the running fiber carries for the code that it calls: NULL at its start, and outside of
 * fibers. */
void vit_fiber_set_local(VitIoThread *thread, void *local);
void *vit_fiber_local(VitIoThread *thread);
/* Waits until somebody wakes this fiber; a wake that came earlier counts.  One wake may answer
 * several waits too few: wait in a loop on your own condition. */
VIT_FOR_MODULES void vit_fiber_yield(VitIoThread *thread);
/* Lets a fiber that waits, or is about to, go on.  Any thread.  Outside of fibers it runs at
 * once. */
VIT_FOR_MODULES void vit_fiber_wake(VitFiber *fiber);

VIT_FOR_MODULES void vit_fiber_sleep(VitIoThread *thread, uint64_t nanoseconds);
/* Runs fn on a worker thread (as many as the host has cores) and waits for its end. */
VIT_FOR_MODULES void vit_fiber_offload(VitIoThread *thread, VitFiberFunc fn, void *opaque);

/* First come, first served.  Zeroed memory with `thread` set is an open lock. */
typedef struct {
    VitIoThread *thread; /* borrowed */
    VitFiber *owner;
    GQueue waiting; /* of VitFiber* */
} VitFiberMutex;

VIT_FOR_MODULES void vit_fiber_mutex_lock(VitFiberMutex *mutex);
VIT_FOR_MODULES void vit_fiber_mutex_unlock(VitFiberMutex *mutex);

/* Fibers that wait for something to change.  Zeroed memory with `thread` set is an empty one. */
typedef struct {
    VitIoThread *thread; /* borrowed */
    GQueue waiting; /* of VitFiber* */
} VitFiberCond;

/* Leaves mutex (NULL: none) while it waits.  Check your condition again afterwards. */
void vit_fiber_cond_wait(VitFiberCond *cond, VitFiberMutex *mutex);
void vit_fiber_cond_wake_one(VitFiberCond *cond);
void vit_fiber_cond_wake_all(VitFiberCond *cond);
