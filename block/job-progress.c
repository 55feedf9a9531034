/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job-progress.c - how far a job has come, how fast it may go, and where it rests */
#include "block/job-private.h"

#include <errno.h>

enum { SLICE_US = 100000, SAMPLE_US = 250000, TELL_US = 100000 };

void vit_block_job_sample(VitBlockJob *job, int64_t now)
{
    if (job->n_samples > 0 && now - job->samples[job->last_sample].when < SAMPLE_US) return;
    job->last_sample = job->n_samples ? (job->last_sample + 1) % VIT_JOB_SAMPLES : 0;
    job->samples[job->last_sample].when = now;
    job->samples[job->last_sample].current = job->current;
    if (job->n_samples < VIT_JOB_SAMPLES) job->n_samples++;
}

static void kick_here(void *opaque)
{
    VitBlockJob *job = opaque;

    vit_fiber_cond_wake_all(&job->wake);
    vit_block_job_unref(job);
}

void vit_block_job_kick(VitBlockJob *job)
{
    vit_io_thread_call(job->thread, kick_here, vit_block_job_ref(job));
}

void vit_block_job_set_speed(VitBlockJob *job, uint64_t bytes_per_second)
{
    g_mutex_lock(&job->jobs->mutex);
    job->speed = bytes_per_second;
    job->slice_began = 0;
    g_mutex_unlock(&job->jobs->mutex);
    vit_block_job_kick(job);
}

void vit_block_job_set_total(VitBlockJob *job, uint64_t total)
{
    g_mutex_lock(&job->jobs->mutex);
    job->total = total;
    g_mutex_unlock(&job->jobs->mutex);
}

static void advance(VitBlockJob *job, uint64_t done, uint64_t moved)
{
    int64_t now = g_get_monotonic_time();

    g_mutex_lock(&job->jobs->mutex);
    job->current += done;
    job->slice_done += moved;
    vit_block_job_sample(job, now);
    bool due = now - job->told_at >= TELL_US;
    if (due) job->told_at = now;
    g_mutex_unlock(&job->jobs->mutex);
    if (due) vit_block_job_tell(job);
}

void vit_block_job_advance(VitBlockJob *job, uint64_t done)
{
    advance(job, done, done);
}

void vit_block_job_skip(VitBlockJob *job, uint64_t done)
{
    advance(job, done, 0);
}

VitBlockJobInfo vit_block_job_info(VitBlockJob *job)
{
    VitBlockJobInfo info = { .seconds_left = -1 };

    g_mutex_lock(&job->jobs->mutex);
    info.current = job->current;
    info.total = MAX(job->total, job->current);
    info.status = job->status;
    info.busy = job->resting == 0 &&
                (job->status == VIT_JOB_RUNNING || job->status == VIT_JOB_READY);
    info.cancelled = job->cancelled;
    info.error = job->error ? g_strdup(job->error->message) : NULL;
    if (job->n_samples > 0) {
        unsigned first = job->n_samples < VIT_JOB_SAMPLES
                             ? 0
                             : (job->last_sample + 1) % VIT_JOB_SAMPLES;
        int64_t took = g_get_monotonic_time() - job->samples[first].when;
        uint64_t moved = job->current - job->samples[first].current;
        double rate = took > 0 ? (double)moved * G_USEC_PER_SEC / (double)took : 0;
        double left = rate > 0 ? (double)(info.total - info.current) / rate : -1;
        if (!job->in_steps) info.bytes_per_second = (uint64_t)rate;
        if (left >= 0 && left < INT32_MAX) info.seconds_left = (int64_t)left;
    }
    g_mutex_unlock(&job->jobs->mutex);
    return info;
}

void vit_block_job_set_ready(VitBlockJob *job)
{
    vit_block_job_set_status(job, VIT_JOB_READY);
}

/* Nanoseconds until the job may go on at its speed. */
static uint64_t excess(VitBlockJob *job)
{
    uint64_t wait = 0;

    g_mutex_lock(&job->jobs->mutex);
    int64_t now = g_get_monotonic_time();
    if (job->speed == 0 || job->slice_began == 0) {
        job->slice_began = now;
        job->slice_done = 0;
    } else {
        double due = (double)job->slice_done * G_USEC_PER_SEC / (double)job->speed;
        double took = (double)(now - job->slice_began);
        if (due > took) {
            wait = (uint64_t)(MIN(due - took, (double)SLICE_US) * 1000);
        } else if (took > 10 * SLICE_US) { /* what was not used then is lost */
            job->slice_began = now;
            job->slice_done = 0;
        }
    }
    g_mutex_unlock(&job->jobs->mutex);
    return wait;
}

/* Rests until the job goes on. */
static void rest(VitBlockJob *job)
{
    g_mutex_lock(&job->jobs->mutex);
    VitBlockJobStatus before = job->status;
    bool ready = before == VIT_JOB_READY || before == VIT_JOB_STANDBY;
    job->resting++;
    g_mutex_unlock(&job->jobs->mutex);
    vit_block_job_set_status(job, ready ? VIT_JOB_STANDBY : VIT_JOB_PAUSED);
    for (;;) {
        g_mutex_lock(&job->jobs->mutex);
        bool paused = job->user_paused && !job->cancelled;
        if (!paused) job->resting--;
        bool last = job->resting == 0;
        g_mutex_unlock(&job->jobs->mutex);
        if (!paused) {
            if (last) vit_block_job_set_status(job, ready ? VIT_JOB_READY : VIT_JOB_RUNNING);
            return;
        }
        vit_fiber_cond_wait(&job->wake, NULL);
    }
}

bool vit_co_job_pause_point(VitBlockJob *job)
{
    for (;;) {
        g_mutex_lock(&job->jobs->mutex);
        bool paused = job->user_paused, cancelled = job->cancelled;
        g_mutex_unlock(&job->jobs->mutex);
        if (cancelled) return false;
        if (paused) {
            rest(job);
            continue;
        }
        uint64_t wait = excess(job);
        if (wait == 0) return true;
        vit_fiber_sleep(job->thread, wait);
    }
}

/* ---- the work of drivers --------------------------------------------------------------------- */

void vit_co_work_expect(VitIoThread *thread, uint64_t bytes)
{
    VitBlockJob *job = vit_fiber_local(thread);

    if (!job) return;
    g_mutex_lock(&job->jobs->mutex);
    job->total += bytes;
    g_mutex_unlock(&job->jobs->mutex);
}

int vit_co_work_done(VitIoThread *thread, uint64_t bytes)
{
    VitBlockJob *job = vit_fiber_local(thread);

    if (!job) return 0;
    vit_block_job_advance(job, bytes);
    return vit_co_job_pause_point(job) ? 0 : -ECANCELED;
}
