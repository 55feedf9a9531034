/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job.c - see job.h: the list of jobs, and the life of one; the states are those of QMP's
 * query-jobs */
#include "block/job-private.h"

#include "block/driver.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

static const char *const status_names[] = { "created",   "running", "paused",  "ready",
                                            "standby",   "waiting", "pending", "aborting",
                                            "concluded", "null" };

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

void vit_block_job_tell(VitBlockJob *job)
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

bool vit_block_job_unlist(VitBlockJob *job)
{
    bool was = job->listed;

    job->listed = false;
    if (was) g_ptr_array_remove(job->jobs->list, job);
    return was;
}

void vit_block_job_set_status(VitBlockJob *job, VitBlockJobStatus status)
{
    g_mutex_lock(&job->jobs->mutex);
    bool changed = job->status != status;
    job->status = status;
    g_mutex_unlock(&job->jobs->mutex);
    if (changed) vit_block_job_tell(job);
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
    vit_block_job_set_status(job, VIT_JOB_WAITING);
    vit_block_job_set_status(job, VIT_JOB_PENDING);
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
    vit_block_job_tell(job);
    if (!(job->flags & VIT_JOB_AUTO_DISMISS)) return;
    g_mutex_lock(&jobs->mutex);
    bool drop = vit_block_job_unlist(job);
    job->status = VIT_JOB_NULL;
    g_cond_broadcast(&jobs->changed);
    g_mutex_unlock(&jobs->mutex);
    vit_block_job_tell(job);
    if (drop) vit_block_job_unref(job);
}

static void job_fiber(void *opaque)
{
    VitBlockJob *job = opaque; /* a reference */
    const VitBlockJobClass *klass = job->klass;
    GError *error = NULL;

    vit_fiber_set_local(job->thread, job);
    if (!vit_block_job_is_cancelled(job)) vit_block_job_set_status(job, VIT_JOB_RUNNING);
    bool good = vit_co_job_pause_point(job);
    g_mutex_lock(&job->jobs->mutex);
    vit_block_job_sample(job, g_get_monotonic_time());
    g_mutex_unlock(&job->jobs->mutex);
    good = good && klass->co_run(job, &error);
    good = good && await_finalize(job);
    if (good && klass->co_commit) good = klass->co_commit(job, &error);
    if (!good) {
        vit_block_job_set_status(job, VIT_JOB_ABORTING);
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
        bool drop = vit_block_job_unlist(job);
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
