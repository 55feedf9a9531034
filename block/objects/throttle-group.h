/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/objects/throttle-group.h - limits that the nodes of a group share ("throttle-group"
 * objects)
 *
 * Reads and checks the limits; block/throttle/ schedules by them. */
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

extern const VitThrottleLimits vit_throttle_no_limits;

/* Takes the limits among args, with names that begin with prefix ("x-" or ""); what is not given
 * stays. False with an error in QEMU's words when they contradict each other. */
[[nodiscard]] bool vit_throttle_limits_take(VitThrottleLimits *limits, VitBlockArgs *args,
                                            const char *prefix, GError **error);
/* What take() checks. */
[[nodiscard]] bool vit_throttle_limits_check(const VitThrottleLimits *limits, GError **error);
bool vit_throttle_limits_any(const VitThrottleLimits *limits); /* whether they limit anything */
/* "iops-total": 0, ... - all of them, for "qom-get".  Caller unrefs. */
JsonObject *vit_throttle_limits_describe(const VitThrottleLimits *limits);

/* Any thread, like the next. */
VitThrottleLimits vit_throttle_group_limits(VitBlockObject *group);
void vit_throttle_group_set_limits(VitBlockObject *group, const VitThrottleLimits *limits);
/* What schedules by the limits (block/throttle/pool.h): borrowed. */
struct VitThrottlePool *vit_throttle_group_pool(VitBlockObject *group);
