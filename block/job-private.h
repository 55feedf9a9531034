/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job-private.h - what a kind of job extends: its struct begins with VitBlockJob
 *
 * Fields without a remark are guarded by the mutex of `jobs`. */
#pragma once
#include "block/job.h"
#include "engine/core/fiber.h"

enum { VIT_JOB_SAMPLES = 16 };

struct VitBlockJobs {
    VitIoThread *thread; /* borrowed */
    GMutex mutex;
    GCond changed; /* a job has concluded */
    GPtrArray *list; /* of VitBlockJob*: references; guarded by mutex */
    VitBlockJobFunc listener; /* guarded by mutex */
    void *listener_opaque;
    int refs; /* atomic */
};

struct VitBlockJob {
    const VitBlockJobClass *klass;
    VitBlockJobs *jobs; /* a reference */
    VitIoThread *thread; /* borrowed */
    char *id; /* owned; NULL: none */
    unsigned flags;
    int refs; /* atomic */
    VitBlockJobStatus status;
    bool started, listed;
    bool cancelled; /* for good: the work is taken back */
    bool soft_cancelled; /* a READY job: ends without its last step, successfully */
    bool finalize; /* of a PENDING job: asked for */
    bool user_paused;
    unsigned resting; /* fibers that wait in a pause point */
    bool good;
    GError *error; /* owned; of a job that has failed */
    VitFiberCond wake; /* of the thread: pause, cancel or speed have changed */

    uint64_t current, total, speed;
    bool in_steps; /* current and total count something else than bytes */
    int64_t slice_began; /* monotonic microseconds */
    uint64_t slice_done; /* bytes since then */
    struct {
        int64_t when;
        uint64_t current;
    } samples[VIT_JOB_SAMPLES]; /* a ring, for the rate */
    unsigned n_samples, last_sample;
    int64_t told_at; /* when the listener last heard of progress */
};

/* ---- between job.c, job-verbs.c and job-progress.c ------------------------------------------- */

void vit_block_job_tell(VitBlockJob *job); /* the listener; without the mutex, like the next */
void vit_block_job_set_status(VitBlockJob *job, VitBlockJobStatus status);
/* Takes it off the list; with the mutex held.  The caller drops the list's reference afterwards. */
[[nodiscard]] bool vit_block_job_unlist(VitBlockJob *job);
void vit_block_job_sample(VitBlockJob *job, int64_t now); /* for the rate; with the mutex held */
void vit_block_job_kick(VitBlockJob *job); /* what waits for `wake` looks again; any thread */
