/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/manners.h - what a job's work costs the guest whose disk it works on, and how long it
 * is to rest so that the guest can bear it
 *
 * The guest's requests are counted while the job works and while it rests.  What the guest gets
 * less while it works is what the work costs; rests are so long that the cost, taken over all the
 * time, is a small share. */
#pragma once
#include <stdint.h>

typedef struct { /* zeroed: nothing is known yet */
    struct {
        double requests, time; /* of the guest, in microseconds */
    } worked, rested;
} VitManners;

/* In so many microseconds of work, or of rest, the guest had so many requests done. */
void vit_manners_note(VitManners *manners, bool worked, uint64_t requests, int64_t took);
/* How many times as long as it works the job is to rest. */
double vit_manners_courtesy(const VitManners *manners);
/* The guest's requests per second while the job rests; 0: not known. */
double vit_manners_pace(const VitManners *manners);
