/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job-verbs.c - what is asked of a job from outside: the verbs are those of QMP's job-...
 * commands, and so is what each state accepts */
#include "block/job-private.h"

#include "block/driver.h"

#include <glib/gi18n-lib.h>

typedef enum { CANCEL, PAUSE, RESUME, SET_SPEED, COMPLETE, FINALIZE, DISMISS } Verb;

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
    return vit_block_fail(
        error, VIT_BLOCK_ERROR_INVALID, _("Job '%s' in state '%s' cannot accept command verb '%s'"),
        job->id ?: job->klass->type, vit_block_job_status_name(job->status), verb_names[verb]);
}

bool vit_block_job_pause(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, PAUSE, error);
    if (good && job->user_paused)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Job is already paused"));
    if (good) job->user_paused = true;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) vit_block_job_kick(job);
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
    if (good) vit_block_job_kick(job);
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
    if (good) vit_block_job_kick(job);
    return good;
}

bool vit_block_job_dismiss(VitBlockJob *job, GError **error)
{
    g_mutex_lock(&job->jobs->mutex);
    bool good = accepts(job, DISMISS, error);
    bool drop = good && vit_block_job_unlist(job);
    if (good) job->status = VIT_JOB_NULL;
    g_mutex_unlock(&job->jobs->mutex);
    if (good) vit_block_job_tell(job);
    if (drop) vit_block_job_unref(job);
    return good;
}
