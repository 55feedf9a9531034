/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/throttle/meter.c - see meter.h */
#include "block/throttle/meter.h"

#include <math.h>

#define NS      1e9
#define LONGEST (INT64_MAX / 4) /* so that it can be added to a time */

enum { KINDS = 2, EACH = 3 }; /* bytes and requests; of all, of reads, of writes */
#define SMOOTH 0.1 /* seconds' worth that may run at once */

typedef struct {
    double average, burst, size, burst_size; /* burst_size 0: no second bucket */
} Bucket;

static Bucket bucket(const VitThrottleLimits *limits, unsigned i)
{
    const typeof(limits->bucket[0]) *b = &limits->bucket[i];
    Bucket r = { .average = (double)b->average, .burst = (double)b->burst };

    r.size = b->burst ? r.burst * (double)b->burst_length : r.average * SMOOTH;
    r.burst_size = b->burst && b->burst_length > 1 ? r.burst * SMOOTH : 0;
    return r;
}

void vit_throttle_meter_init(VitThrottleMeter *meter, const VitThrottleLimits *limits, int64_t now)
{
    *meter = (VitThrottleMeter){ .limits = *limits, .leaked = now };
}

static void leak(VitThrottleMeter *m, int64_t now)
{
    if (now <= m->leaked) return;
    double seconds = (double)(now - m->leaked) / NS;
    m->leaked = now;
    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        Bucket b = bucket(&m->limits, i);
        m->level[i] = fmax(m->level[i] - b.average * seconds, 0);
        m->burst[i] = fmax(m->burst[i] - b.burst * seconds, 0);
    }
}

static double wait_for(double level, double size, double rate)
{
    return level > size ? (level - size) / rate : 0;
}

int64_t vit_throttle_meter_wait(VitThrottleMeter *m, bool write, int64_t now)
{
    double seconds = 0;

    leak(m, now);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const unsigned both[] = { kind * EACH, kind * EACH + 1 + write };
        for (unsigned k = 0; k < G_N_ELEMENTS(both); k++) {
            Bucket b = bucket(&m->limits, both[k]);
            if (b.average == 0) continue;
            seconds = fmax(seconds, wait_for(m->level[both[k]], b.size, b.average));
            if (b.burst_size > 0)
                seconds = fmax(seconds, wait_for(m->burst[both[k]], b.burst_size, b.burst));
        }
    }
    double ns = ceil(seconds * NS);
    return ns < (double)LONGEST ? (int64_t)ns : LONGEST;
}

void vit_throttle_meter_add(VitThrottleMeter *m, bool write, uint64_t bytes, int64_t now)
{
    double size = (double)m->limits.iops_size;
    double requests = size > 0 && (double)bytes > size ? (double)bytes / size : 1;
    const double units[KINDS] = { (double)bytes, requests };

    leak(m, now);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const unsigned both[] = { kind * EACH, kind * EACH + 1 + write };
        for (unsigned k = 0; k < G_N_ELEMENTS(both); k++) {
            if (!m->limits.bucket[both[k]].average) continue;
            m->level[both[k]] += units[kind];
            m->burst[both[k]] += units[kind];
        }
    }
}
