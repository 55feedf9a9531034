/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/pool.h - a throttle group at work: members on any thread, one schedule
 *
 * A member belongs to a node and is used on that node's thread; the pool's lock is a leaf. */
#pragma once
#include "block/throttle/schedule.h"
#include "engine/core/iothread.h"

typedef struct VitThrottlePool VitThrottlePool;
typedef struct VitThrottleMember VitThrottleMember;

typedef struct VitThrottlePass VitThrottlePass;
struct VitThrottlePass { /* the caller's, until go() */
    VitThrottleTicket ticket; /* bytes and write are set by the caller */
    void (*go)(VitThrottlePass *pass); /* on the member's thread */
    VitThrottleMember *member;
};

[[nodiscard]] VitThrottlePool *vit_throttle_pool_new(void); /* without limits */
void vit_throttle_pool_free(VitThrottlePool *pool); /* without members; NULL is fine */
/* Any thread, like the next. */
VitThrottleLimits vit_throttle_pool_limits(VitThrottlePool *pool);
void vit_throttle_pool_set_limits(VitThrottlePool *pool, const VitThrottleLimits *limits);

/* group: a throttle-group object, kept until the member leaves; thread: borrowed. */
[[nodiscard]] VitThrottleMember *vit_throttle_join(VitBlockObject *group, VitIoThread *thread);
void vit_throttle_leave(VitThrottleMember *member); /* nothing of it waits; NULL is fine */
/* With the node to another thread, while nothing waits and the old one rests. */
void vit_throttle_move(VitThrottleMember *member, VitIoThread *thread);
VitBlockObject *vit_throttle_member_group(const VitThrottleMember *member); /* borrowed */
/* True: run it now; false: go() is called when it may run, never from within. */
[[nodiscard]] bool vit_throttle_enter(VitThrottleMember *member, VitThrottlePass *pass);
/* Between on and off (they nest) what waits and what comes runs at once, and still counts. */
void vit_throttle_hurry(VitThrottleMember *member, bool on);

/* For tests: now() in place of the host's clock, in nanoseconds; nothing then runs by itself, but
 * by vit_throttle_pool_kick(), which asks the clock and lets run what may. */
void vit_throttle_pool_set_clock(VitThrottlePool *pool, int64_t (*now)(void *opaque), void *opaque);
void vit_throttle_pool_kick(VitThrottlePool *pool);
