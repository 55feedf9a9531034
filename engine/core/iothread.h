/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/iothread.h - a thread with an event loop: file descriptors, deferred calls
 *
 * The machine has one for its slow path ("machine thread") and any number for data paths. */
#pragma once
#include "engine/core/module.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct VitIoThread VitIoThread;
typedef struct VitIoWatch VitIoWatch;

[[nodiscard]] VIT_FOR_MODULES VitIoThread *vit_io_thread_new(const char *name);
/* stops and joins; not from itself */
VIT_FOR_MODULES void vit_io_thread_free(VitIoThread *thread);
VIT_FOR_MODULES GMainContext *vit_io_thread_context(VitIoThread *thread);   /* borrowed */
bool vit_io_thread_is_current(const VitIoThread *thread);
int64_t vit_io_thread_id(VitIoThread *thread); /* as the host numbers it; waits for its start */

typedef void (*VitIoFunc)(void *opaque);
/* Runs fn once on the thread, in order of calls.  Any thread. */
void vit_io_thread_call(VitIoThread *thread, VitIoFunc fn, void *opaque);
/* The same, and waits until it has run; runs at once when already on the thread. The caller must
 * hold no lock that fn takes. */
void vit_io_thread_call_sync(VitIoThread *thread, VitIoFunc fn, void *opaque);

/* A burst: events that the thread handles one after the other.  What is deferred runs once, at the
 * burst's end; without a burst at once.  Bursts nest; nobody waits inside of one for what is
 * deferred.  On the thread. */
void vit_io_thread_burst(VitIoThread *thread, bool begin);
bool vit_io_thread_in_burst(const VitIoThread *thread);
void vit_io_thread_defer(VitIoThread *thread, VitIoFunc fn, void *opaque);

typedef void (*VitIoWatchFunc)(void *opaque, GIOCondition ready);
/* Calls fn on the thread while fd is ready; fd borrowed.  Removing from any other thread waits for
 * a running callback. */
[[nodiscard]] VIT_FOR_MODULES VitIoWatch *vit_io_watch_new(VitIoThread *thread, int fd,
                                                           GIOCondition condition,
                                                           VitIoWatchFunc fn, void *opaque);
/* The same with lock (borrowed; the machine lock, say) held around fn.  vit_io_watch_free() with
 * the lock held never waits, and fn does not run after it. */
[[nodiscard]] VitIoWatch *vit_io_watch_new_locked(VitIoThread *thread, GRecMutex *lock, int fd,
                                                  GIOCondition condition, VitIoWatchFunc fn,
                                                  void *opaque);
/* 0 suspends the watch: not even a hang-up is reported. */
VIT_FOR_MODULES void vit_io_watch_set(VitIoWatch *watch, GIOCondition condition);
/* NULL is fine; also from within fn */
VIT_FOR_MODULES void vit_io_watch_free(VitIoWatch *watch);
