/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/job.h - long work on images: one life cycle, progress, rate, pause, cancel for all of it
 *
 * A job is a fiber on the thread of the nodes it works on.  Whoever starts it (a dialog through
 * VitJob, a tool, the control protocol) sees the same states, which are those of the QMP command
 * "query-jobs". All functions may be called from any thread; callbacks come on the job's thread. */
#pragma once
#include "block/node.h"

typedef struct VitBlockJob VitBlockJob;
typedef struct VitBlockJobs VitBlockJobs;       /* the jobs of one machine or tool, by id */

typedef enum {
    VIT_JOB_CREATED,
    VIT_JOB_RUNNING,
    VIT_JOB_PAUSED,
    VIT_JOB_READY,
    VIT_JOB_STANDBY,
    VIT_JOB_WAITING,
    VIT_JOB_PENDING,
    VIT_JOB_ABORTING,
    VIT_JOB_CONCLUDED,
    VIT_JOB_NULL
} VitBlockJobStatus;

typedef struct {
    const char *type; /* "convert", "commit", "stream", "mirror", "backup", ... */
    size_t instance_size;
    /* The work, on a fiber.  Between pieces it calls vit_co_job_pause_point() and returns false
     * with G_IO_ERROR_CANCELLED when that says so. */
    bool (*co_run)(VitBlockJob *job, GError **error);
    /* Makes the result valid, or takes back what was begun; after co_run, on a fiber; may be NULL.
     */
    bool (*co_commit)(VitBlockJob *job, GError **error);
    void (*co_abort)(VitBlockJob *job);
    void (*co_clean)(VitBlockJob *job); /* lets go of nodes and memory, at the very end */
    bool (*complete)(VitBlockJob *job, GError **error); /* "block-job-complete" of a READY job */
    void (*cancelled)(VitBlockJob *job, bool force); /* on the thread; wakes what waits */
} VitBlockJobClass;

typedef struct {
    uint64_t current, total; /* of whatever the job counts, mostly bytes */
    uint64_t bytes_per_second; /* over the last seconds; 0: not known, or it does not count bytes */
    int64_t seconds_left; /* -1: not known */
    VitBlockJobStatus status;
    bool busy, cancelled;
    char *error; /* owned by the receiver; NULL: none so far */
} VitBlockJobInfo;

enum { VIT_JOB_AUTO_FINALIZE = 1, VIT_JOB_AUTO_DISMISS = 2 };

typedef void (*VitBlockJobFunc)(void *opaque, VitBlockJob *job); /* status or progress changed */

[[nodiscard]] VitBlockJobs *vit_block_jobs_new(VitIoThread *thread);
/* Cancels what runs and waits for it: any thread but the jobs' own. */
void vit_block_jobs_free(VitBlockJobs *jobs);
void vit_block_jobs_listen(VitBlockJobs *jobs, VitBlockJobFunc fn, void *opaque);
VitBlockJob *vit_block_jobs_find(VitBlockJobs *jobs, const char *id); /* a reference; NULL: none */
GPtrArray *vit_block_jobs_list(VitBlockJobs *jobs); /* of references */

/* For the kinds of jobs: a zeroed instance with the common part filled in.  id NULL: has none (a
 * tool's). */
[[nodiscard]] VitBlockJob *vit_block_job_new(VitBlockJobs *jobs, const VitBlockJobClass *klass,
                                             const char *id, unsigned flags, GError **error);
VitBlockJob *vit_block_job_ref(VitBlockJob *job);
void vit_block_job_unref(VitBlockJob *job);
void vit_block_job_start(VitBlockJob *job);
/* Blocks (any thread but the job's own): true when it succeeded. */
bool vit_block_job_wait(VitBlockJob *job, GError **error);

const char *vit_block_job_id(const VitBlockJob *job);
const char *vit_block_job_type(const VitBlockJob *job);
VitBlockJobInfo vit_block_job_info(VitBlockJob *job);
const char *vit_block_job_status_name(VitBlockJobStatus status);

/* These refuse what the state does not allow, in QEMU's words ("Job 'j' in state 'x' cannot accept
 * ..."). */
[[nodiscard]] bool vit_block_job_pause(VitBlockJob *job, GError **error);
[[nodiscard]] bool vit_block_job_resume(VitBlockJob *job, GError **error);
/* A READY job that is not forced ends successfully, without its last step. */
[[nodiscard]] bool vit_block_job_cancel(VitBlockJob *job, bool force, GError **error);
[[nodiscard]] bool vit_block_job_complete(VitBlockJob *job, GError **error);
[[nodiscard]] bool vit_block_job_finalize(VitBlockJob *job, GError **error);
[[nodiscard]] bool vit_block_job_dismiss(VitBlockJob *job, GError **error);
void vit_block_job_set_speed(VitBlockJob *job, uint64_t bytes_per_second); /* 0: no limit */

/* ---- for co_run ------------------------------------------------------------------------------ */

/* Waits while the job is paused or too fast; false: it has been cancelled.  Several fibers of a job
 * may. */
[[nodiscard]] bool vit_co_job_pause_point(VitBlockJob *job);
void vit_block_job_set_total(VitBlockJob *job, uint64_t total);
void vit_block_job_advance(VitBlockJob *job, uint64_t done); /* adds; counts for the rate */
void vit_block_job_skip(VitBlockJob *job, uint64_t done); /* adds what cost nothing */
void vit_block_job_set_ready(VitBlockJob *job); /* mirror and active commit: converged */
bool vit_block_job_is_cancelled(const VitBlockJob *job);
bool vit_block_job_is_soft_cancelled(const VitBlockJob *job); /* READY, and told to end as it is */
VitIoThread *vit_block_job_thread(const VitBlockJob *job);

/* ---- for the long loops of drivers ----------------------------------------------------------- */

/* On any fiber: they do nothing where no job runs.  So much more is to be done, so much is done. */
void vit_co_work_expect(VitIoThread *thread, uint64_t bytes);
/* Waits as vit_co_job_pause_point() does; 0, or -ECANCELED: stop, and take back what was begun. */
[[nodiscard]] int vit_co_work_done(VitIoThread *thread, uint64_t bytes);
