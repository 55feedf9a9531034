/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/throttle-group.h - limits that the nodes of a group share ("throttle-group"
 * objects)
 *
 * Keeps and checks the limits; the throttle filter schedules by them and hangs its own state of the
 * group on the object. */
#pragma once
#include "block/objects.h"

typedef enum {
    VIT_THROTTLE_BPS_TOTAL,
    VIT_THROTTLE_BPS_READ,
    VIT_THROTTLE_BPS_WRITE,
    VIT_THROTTLE_IOPS_TOTAL,
    VIT_THROTTLE_IOPS_READ,
    VIT_THROTTLE_IOPS_WRITE,
    VIT_THROTTLE_BUCKETS
} VitThrottleBucket;

typedef struct {
    struct {
        uint64_t average; /* bytes or requests per second, 0: no limit */
        uint64_t burst; /* the same while a burst lasts, 0: none */
        uint64_t burst_length; /* seconds, at least 1 */
    } bucket[VIT_THROTTLE_BUCKETS];
    uint64_t iops_size; /* a request counts once per so many bytes, 0: once */
} VitThrottleLimits;

/* Takes the limits among args, with names that begin with prefix ("x-" or ""); what is not given
 * stays. False with an error in QEMU's words when they contradict each other. */
[[nodiscard]] bool vit_throttle_limits_take(VitThrottleLimits *limits, VitBlockArgs *args,
                                            const char *prefix, GError **error);
/* "iops-total": 0, ... - all of them, for "qom-get".  Caller unrefs. */
JsonObject *vit_throttle_limits_describe(const VitThrottleLimits *limits);

/* Any thread.  serial counts the changes, so that a filter need not compare. */
VitThrottleLimits vit_throttle_group_limits(VitBlockObject *group, unsigned *serial);
void vit_throttle_group_set_limits(VitBlockObject *group, const VitThrottleLimits *limits);
/* The scheduler's state of the group: made by the first who asks, freed with the group.  Any
 * thread. */
void *vit_throttle_group_state(VitBlockObject *group, void *(*make)(VitBlockObject *group),
                               GDestroyNotify destroy);
