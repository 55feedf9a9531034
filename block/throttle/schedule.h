/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/schedule.h - whose request runs next under limits that several members share
 *
 * Reads and writes wait in lines of their own.  Members take turns, a request each, so that a busy
 * one does not starve the others.  No thread, no clock: the caller has a lock and the time. */
#pragma once
#include "block/throttle/meter.h"

typedef struct VitThrottleTicket VitThrottleTicket;
typedef struct VitThrottleQueue VitThrottleQueue;

struct VitThrottleTicket { /* the caller's, until it is taken from the schedule */
    uint64_t bytes;
    bool write;
    VitThrottleQueue *queue; /* borrowed: where it waits */
    GList link; /* of that */
};

struct VitThrottleQueue { /* a member's; zeroed before it is added */
    GQueue waiting[2]; /* of VitThrottleTicket*: reads, writes */
};

typedef struct {
    VitThrottleMeter meter;
    GPtrArray *queues; /* of VitThrottleQueue*, borrowed */
    unsigned turn[2]; /* whose turn it is to read, to write: an index of queues */
    unsigned waiting[2]; /* of all members */
    bool wrote; /* the last that ran: the other direction goes first */
} VitThrottleSchedule;

void vit_throttle_schedule_init(VitThrottleSchedule *s, const VitThrottleLimits *limits,
                                int64_t now);
void vit_throttle_schedule_clear(VitThrottleSchedule *s);
void vit_throttle_schedule_add(VitThrottleSchedule *s, VitThrottleQueue *queue);
void vit_throttle_schedule_remove(VitThrottleSchedule *s, VitThrottleQueue *queue); /* empty */

/* True: it may run at once and is counted; false: it waits in the queue. */
[[nodiscard]] bool vit_throttle_schedule_enter(VitThrottleSchedule *s, VitThrottleQueue *queue,
                                               VitThrottleTicket *ticket, int64_t now);
/* The next one that may run now, counted; or NULL and *when it is worth asking again (INT64_MAX:
 * nobody waits). */
VitThrottleTicket *vit_throttle_schedule_next(VitThrottleSchedule *s, int64_t now, int64_t *when);
/* The first that waits in this queue, whatever the limits say, counted; NULL: none. */
VitThrottleTicket *vit_throttle_schedule_force(VitThrottleSchedule *s, VitThrottleQueue *queue,
                                               int64_t now);
