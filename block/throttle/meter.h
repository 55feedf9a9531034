/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/meter.h - how long a request must wait under limits: leaky buckets as a meter
 * (QEMU documentation, "The QEMU throttling infrastructure")
 *
 * Arithmetic alone: no thread, no clock.  Times are nanoseconds that never go back. */
#pragma once
#include "block/objects/throttle-group.h"

/* A bucket leaks at its average rate.  It holds what a burst may add: burst * burst_length, or a
 * tenth of a second's worth without a burst.  What has run is added, so that one request may be
 * larger than the bucket; the next waits until the level is back at the brim.  A burst longer than
 * a second has a second bucket, which keeps it to the burst's rate. */
typedef struct {
    VitThrottleLimits limits;
    double level[VIT_THROTTLE_BUCKETS]; /* bytes or requests */
    double burst[VIT_THROTTLE_BUCKETS]; /* of the second bucket */
    int64_t leaked; /* until then */
} VitThrottleMeter;

/* New limits, with all buckets empty. */
void vit_throttle_meter_init(VitThrottleMeter *meter, const VitThrottleLimits *limits, int64_t now);
/* Nanoseconds until a request may run, 0: now. */
int64_t vit_throttle_meter_wait(VitThrottleMeter *meter, bool write, int64_t now);
void vit_throttle_meter_add(VitThrottleMeter *meter, bool write, uint64_t bytes, int64_t now);
