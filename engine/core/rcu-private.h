/* engine/core/rcu-private.h - read-copy-update as the memory view uses it (liburcu, "bp" flavour)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Readers never block and never wait; a retired object is freed after every reader that could see
 * it has left its read section.  Under ThreadSanitizer the library's own ordering is invisible, so
 * the hand-over from readers to the freeing callback is told to it. */
#pragma once

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE /* inline read sections; liburcu's licence allows it for GPL programs */
#endif
#include <urcu-bp.h>

#ifdef __SANITIZE_THREAD__
#define VIT_RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIT_RCU_TSAN 1
#endif
#endif

#ifdef VIT_RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define VIT_RCU_TSAN_ACQUIRE(object) __tsan_acquire(object)
#define VIT_RCU_TSAN_RELEASE(object) __tsan_release(object)
#else
#define VIT_RCU_TSAN_ACQUIRE(object) ((void) (object))
#define VIT_RCU_TSAN_RELEASE(object) ((void) (object))
#endif

#define vit_rcu_load(pointer) __atomic_load_n(&(pointer), __ATOMIC_ACQUIRE)
#define vit_rcu_publish(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELEASE)

static inline void vit_rcu_enter(void)
{
    rcu_read_lock();
}

/* Has free_fn called with head (in object) once no reader can see object any more. */
static inline void vit_rcu_retire(void *object, struct rcu_head *head,
                                  void (*free_fn)(struct rcu_head *head))
{
    VIT_RCU_TSAN_RELEASE(object);
    call_rcu(head, free_fn);
}

/* object: what was read in this section, may be NULL. */
static inline void vit_rcu_leave(void *object)
{
    if (object)
        VIT_RCU_TSAN_RELEASE(object);
    rcu_read_unlock();
}
