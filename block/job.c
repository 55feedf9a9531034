/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job.c - see job.h: states and verbs are those of QMP's query-jobs and job-... commands */
#include "block/job-private.h"

#include "block/driver.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { SLICE_US = 100000, SAMPLE_US = 250000, TELL_US = 100000 };

struct VitBlockJobs {
    VitIoThread *thread; /* borrowed */
    GMutex mutex;
    GCond changed; /* a job has concluded */
    GPtrArray *list; /* of VitBlockJob*: references; guarded by mutex */
    VitBlockJobFunc listener; /* guarded by mutex */
    void *listener_opaque;
    int refs; /* atomic */
};

/* ---- verbs ----------------------------------------------------------------------------------- */

typedef enum { CANCEL, PAUSE, RESUME, SET_SPEED, COMPLETE, FINALIZE, DISMISS } Verb;

static const char *const status_names[] = { "created",   "running", "paused",  "ready",
                                            "standby",   "waiting", "pending", "aborting",
                                            "concluded", "null" };
static const char *const verb_names[] = { "cancel",   "pause",    "resume", "set-speed",
                                          "complete", "finalize", "dismiss" };

#define IN(status) (1u << VIT_JOB_##status)
#define ACTIVE     (IN(CREATED) | IN(RUNNING) | IN(PAUSED) | IN(READY) | IN(STANDBY))
static const unsigned accepted[] = {
    [CANCEL] = ACTIVE | IN(WAITING) | IN(PENDING),
    [PAUSE] = ACTIVE,
    [RESUME] = ACTIVE,
    [SET_SPEED] = ACTIVE,
    [COMPLETE] = IN(READY),
    [FINALIZE] = IN(PENDING),
    [DISMISS] = IN(CONCLUDED),
};

/* With the mutex held. */
static bool accepts(const VitBlockJob *job, Verb verb, GError **error)
{
    if (accepted[verb] & 1u << job->status) return true;
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Job '%s' in state '%s' cannot accept command verb '%s'"),
                          job->id ?: job->klass->type, status_names[job->status], verb_names[verb]);
}

const char *vit_block_job_status_name(VitBlockJobStatus status)
{
    return status_names[status];
}

/* ---- the list -------------------------------------------------------------------------------- */

VitBlockJobs *vit_block_jobs_new(VitIoThread *thread)
{
    VitBlockJobs *jobs = g_new0(VitBlockJobs, 1);

    jobs->thread = thread;
    jobs->refs = 1;
    g_mutex_init(&jobs->mutex);
    g_cond_init(&jobs->changed);
    jobs->list = g_ptr_array_new();
    return jobs;
}

static void jobs_unref(VitBlockJobs *jobs)
{
    if (!g_atomic_int_dec_and_test(&jobs->refs)) return;
    g_ptr_array_unref(jobs->list);
    g_mutex_clear(&jobs->mutex);
    g_cond_clear(&jobs->changed);
    g_free(jobs);
}

void vit_block_jobs_listen(VitBlockJobs *jobs, VitBlockJobFunc fn, void *opaque)
{
    g_mutex_lock(&jobs->mutex);
    jobs->listener = fn;
    jobs->listener_opaque = opaque;
    g_mutex_unlock(&jobs->mutex);
}

static void tell(VitBlockJob *job)
{
    VitBlockJobs *jobs = job->jobs;

    g_mutex_lock(&jobs->mutex);
    VitBlockJobFunc fn = jobs->listener;
    void *opaque = jobs->listener_opaque;
    g_mutex_unlock(&jobs->mutex);
    if (fn) fn(opaque, job);
}

static VitBlockJob *find(VitBlockJobs *jobs, const char *id)
{
    for (guint i = 0; i < jobs->list->len; i++) {
        VitBlockJob *job = jobs->list->pdata[i];
        if (job->id && strcmp(job->id, id) == 0) return job;
    }
    return NULL;
}

VitBlockJob *vit_block_jobs_find(VitBlockJobs *jobs, const char *id)
{
    g_mutex_lock(&jobs->mutex);
    VitBlockJob *job = find(jobs, id);
    if (job) vit_block_job_ref(job);
    g_mutex_unlock(&jobs->mutex);
    return job;
}

GPtrArray *vit_block_jobs_list(VitBlockJobs *jobs)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_job_unref);

    g_mutex_lock(&jobs->mutex);
    for (guint i = 0; i < jobs->list->len; i++)
        g_ptr_array_add(list, vit_block_job_ref(jobs->list->pdata[i]));
    g_mutex_unlock(&jobs->mutex);
    return list;
}

/* ---- one job --------------------------------------------------------------------------------- */

VitBlockJob *vit_block_job_new(VitBlockJobs *jobs, const VitBlockJobClass *klass, const char *id,
                               unsigned flags, GError **error)
{
    if (id && !vit_block_id_is_valid(id)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Invalid job ID '%s'"), id);
        return NULL;
    }
    g_mutex_lock(&jobs->mutex);
    bool taken = id && find(jobs, id);
    VitBlockJob *job = taken ? NULL : g_malloc0(MAX(klass->instance_size, sizeof(VitBlockJob)));
    if (job) {
        job->klass = klass;
        job->jobs = jobs;
        job->thread = jobs->thread;
        job->id = g_strdup(id);
        job->flags = flags;
        job->wake.thread = jobs->thread;
        job->refs = 2; /* the caller's and the list's */
        job->listed = true;
        g_ptr_array_add(jobs->list, job);
        g_atomic_int_inc(&jobs->refs);
    }
    g_mutex_unlock(&jobs->mutex);
    if (taken) vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS, _("Job ID '%s' already in use"), id);
    return job;
}

VitBlockJob *vit_block_job_ref(VitBlockJob *job)
{
    g_atomic_int_inc(&job->refs);
    return job;
}

void vit_block_job_unref(VitBlockJob *job)
{
    if (!job || !g_atomic_int_dec_and_test(&job->refs)) return;
    jobs_unref(job->jobs);
    g_clear_error(&job->error);
    g_free(job->id);
    g_free(job);
}

const char *vit_block_job_id(const VitBlockJob *job)
{
    return job->id;
}

const char *vit_block_job_type(const VitBlockJob *job)
{
    return job->klass->type;
}

VitIoThread *vit_block_job_thread(const VitBlockJob *job)
{
    return job->thread;
}

/* Takes it off the list; with the mutex held.  The caller drops the list's reference afterwards. */
static bool unlist(VitBlockJob *job)
{
    bool was = job->listed;

    job->listed = false;
    if (was) g_ptr_array_remove(job->jobs->list, job);
    return was;
}

static void set_status(VitBlockJob *job, VitBlockJobStatus status)
{
    g_mutex_lock(&job->jobs->mutex);
    bool changed = job->status != status;
    job->status = status;
    g_mutex_unlock(&job->jobs->mutex);
    if (changed) tell(job);
}

bool vit_block_job_is_cancelled(const VitBlockJob *job)
{
    return __atomic_load_n(&job->cancelled, __ATOMIC_RELAXED);
}

bool vit_block_job_is_soft_cancelled(const VitBlockJob *job)
{
    return __atomic_load_n(&job->soft_cancelled, __ATOMIC_RELAXED);
}

/* ---- the work -------------------------------------------------------------------------------- */

static bool cancelled_error(GError **error)
{
    if (error && !*error)
        *error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "Operation canceled");
    return false;
}

/* Waits until the job may become valid; false: it has been cancelled. */
static bool await_finalize(VitBlockJob *job)
{
    set_status(job, VIT_JOB_WAITING);
    set_status(job, VIT_JOB_PENDING);
    if (job->flags & VIT_JOB_AUTO_FINALIZE) return !vit_block_job_is_cancelled(job);
    for (;;) {
        g_mutex_lock(&job->jobs->mutex);
        bool go = job->finalize, stop = job->cancelled;
        g_mutex_unlock(&job->jobs->mutex);
        if (stop) return false;
        if (go) return true;
        vit_fiber_cond_wait(&job->wake, NULL);
    }
}

static void conclude(VitBlockJob *job, bool good, GError *error)
{
    VitBlockJobs *jobs = job->jobs;

    g_mutex_lock(&jobs->mutex);
    job->good = good;
    job->error = error;
    job->status = VIT_JOB_CONCLUDED;
    g_cond_broadcast(&jobs->changed);
    g_mutex_unlock(&jobs->mutex);
    tell(job);
    if (!(job->flags & VIT_JOB_AUTO_DISMISS)) return;
    g_mutex_lock(&jobs->mutex);
    bool drop = unlist(job);
    job->status = VIT_JOB_NULL;
    g_cond_broadcast(&jobs->changed);
    g_mutex_unlock(&jobs->mutex);
    tell(job);
    if (drop) vit_block_job_unref(job);
}

/* Keeps a sample now and then; with the mutex held. */
static void sample(VitBlockJob *job, int64_t now)
{
    if (job->n_samples > 0 && now - job->samples[job->last_sample].when < SAMPLE_US) return;
    job->last_sample = job->n_samples ? (job->last_sample + 1) % VIT_JOB_SAMPLES : 0;
    job->samples[job->last_sample].when = now;
    job->samples[job->last_sample].current = job->current;
    if (job->n_samples < VIT_JOB_SAMPLES) job->n_samples++;
}

static void job_fiber(void *opaque)
{
    VitBlockJob *job = opaque; /* a reference */
    const VitBlockJobClass *klass = job->klass;
    GError *error = NULL;

    vit_fiber_set_local(job->thread, job);
    if (!vit_block_job_is_cancelled(job)) set_status(job, VIT_JOB_RUNNING);
    bool good = vit_co_job_pause_point(job);
    g_mutex_lock(&job->jobs->mutex);
    sample(job, g_get_monotonic_time());
    g_mutex_unlock(&job->jobs->mutex);
    good = good && klass->co_run(job, &error);
    good = good && await_finalize(job);
    if (good && klass->co_commit) good = klass->co_commit(job, &error);
    if (!good) {
        set_status(job, VIT_JOB_ABORTING);
        if (vit_block_job_is_cancelled(job)) {
            g_clear_error(&error);
            cancelled_error(&error);
        } else if (!error) {
            g_set_error(&error, VIT_BLOCK_ERROR, VIT_BLOCK_ERROR_IO, _("The job has failed"));
        }
        if (klass->co_abort) klass->co_abort(job);
    }
    if (klass->co_clean) klass->co_clean(job);
    conclude(job, good, error);
    vit_block_job_unref(job);
}

void vit_block_job_start(VitBlockJob *job)
{
    g_mutex_lock(&job->jobs->mutex);
    bool fresh = !job->started;
    job->started = true;
    g_mutex_unlock(&job->jobs->mutex);
    if (fresh) vit_fiber_start(job->thread, job_fiber, vit_block_job_ref(job));
}

bool vit_block_job_wait(VitBlockJob *job, GError **error)
{
    VitBlockJobs *jobs = job->jobs;

    g_mutex_lock(&jobs->mutex);
    while (job->status < VIT_JOB_CONCLUDED) g_cond_wait(&jobs->changed, &jobs->mutex);
    bool good = job->good;
    if (!good && error && job->error) *error = g_error_copy(job->error);
    g_mutex_unlock(&jobs->mutex);
    return good;
}

static void nothing(void *opaque) {}

void vit_block_jobs_free(VitBlockJobs *jobs)
{
    if (!jobs) return;
    g_autoptr(GPtrArray) list = vit_block_jobs_list(jobs);
    for (guint i = 0; i < list->len; i++) {
        VitBlockJob *job = list->pdata[i];
        g_autoptr(GError) ignored = NULL;
        if (!vit_block_job_cancel(job, true, &ignored))
            continue; /* it is ending already, or has ended */
    }
    for (guint i = 0; i < list->len; i++) {
        VitBlockJob *job = list->pdata[i];
        (void)vit_block_job_wait(job, NULL);
        g_mutex_lock(&jobs->mutex);
        bool drop = unlist(job);
        job->status = VIT_JOB_NULL;
        g_mutex_unlock(&jobs->mutex);
        if (drop) vit_block_job_unref(job);
    }
    for (guint i = 0; i < list->len; i++) /* the last ones have told the listener */
        vit_io_thread_call_sync(((VitBlockJob *)list->pdata[i])->thread, nothing, NULL);
    vit_io_thread_call_sync(jobs->thread, nothing, NULL);
    vit_block_jobs_listen(jobs, NULL, NULL);
    jobs_unref(jobs);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void kick_here(void *opaque)
{
    VitBlockJob *job = opaque;

    vit_fiber_cond_wake_all(&job->wake);
    vit_block_job_unref(job);
}

static void kick(VitBlockJob *job)
{
    vit_io_thread_call(job->thread, kick_here, vit_block_job_ref(job));
}

bool vit_block_job_pause(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, PAUSE, error);
    if (good && job->user_paused)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Job is already paused"));
    if (good) job->user_paused = true;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) kick(job);
    return good;
}

bool vit_block_job_resume(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, RESUME, error);
    if (good && !job->user_paused)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Can't resume a job that was not paused"));
    if (good) job->user_paused = false;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) kick(job);
    return good;
}

typedef struct {
    VitBlockJob *job; /* a reference */
    bool force;
} Cancelled;

static void cancelled_here(void *opaque)
{
    Cancelled *c = opaque;

    if (c->job->klass->cancelled) c->job->klass->cancelled(c->job, c->force);
    vit_fiber_cond_wake_all(&c->job->wake);
    vit_block_job_unref(c->job);
    g_free(c);
}

bool vit_block_job_cancel(VitBlockJob *job, bool force, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, CANCEL, error), start = good && !job->started;
    bool soft = !force && (job->status == VIT_JOB_READY || job->status == VIT_JOB_STANDBY);
    if (good && soft) __atomic_store_n(&job->soft_cancelled, true, __ATOMIC_RELAXED);
    if (good && !soft) __atomic_store_n(&job->cancelled, true, __ATOMIC_RELAXED);
    if (good) job->user_paused = false;
    g_mutex_unlock(&job->jobs->mutex);
    if (start) vit_block_job_start(job); /* to its end */
    if (good) {
        Cancelled *c = g_new(Cancelled, 1);
        *c = (Cancelled){ vit_block_job_ref(job), force };
        vit_io_thread_call(job->thread, cancelled_here, c);
    }
    return good;
}

typedef struct {
    VitBlockJob *job;
    GError **error;
    bool good;
} Complete;

static void complete_here(void *opaque)
{
    Complete *c = opaque;

    c->good = c->job->klass->complete(c->job, c->error);
    vit_fiber_cond_wake_all(&c->job->wake);
}

bool vit_block_job_complete(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, COMPLETE, error);
    g_mutex_unlock(&job->jobs->mutex);
    if (!good) return false;
    if (!job->klass->complete || vit_block_job_is_soft_cancelled(job) ||
        vit_block_job_is_cancelled(job))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The active block job '%s' cannot be completed"), job->id ?: "");
    Complete c = { job, error, false };
    vit_io_thread_call_sync(job->thread, complete_here, &c);
    return c.good;
}

bool vit_block_job_finalize(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, FINALIZE, error);
    if (good) job->finalize = true;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) kick(job);
    return good;
}

bool vit_block_job_dismiss(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, DISMISS, error);
    bool drop = good && unlist(job);
    if (good) job->status = VIT_JOB_NULL;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) tell(job);
    if (drop) vit_block_job_unref(job);
    return good;
}

/* ---- progress and speed ---------------------------------------------------------------------- */

void vit_block_job_set_speed(VitBlockJob *job, uint64_t bytes_per_second)
{
    g_mutex_lock(&job->jobs->mutex);
    job->speed = bytes_per_second;
    job->slice_began = 0;
    g_mutex_unlock(&job->jobs->mutex);
    kick(job);
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
    sample(job, now);
    bool due = now - job->told_at >= TELL_US;
    if (due) job->told_at = now;
    g_mutex_unlock(&job->jobs->mutex);
    if (due) tell(job);
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
    set_status(job, VIT_JOB_READY);
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
    set_status(job, ready ? VIT_JOB_STANDBY : VIT_JOB_PAUSED);
    for (;;) {
        g_mutex_lock(&job->jobs->mutex);
        bool paused = job->user_paused && !job->cancelled;
        if (!paused) job->resting--;
        bool last = job->resting == 0;
        g_mutex_unlock(&job->jobs->mutex);
        if (!paused) {
            if (last) set_status(job, ready ? VIT_JOB_READY : VIT_JOB_RUNNING);
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
