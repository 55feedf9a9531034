/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/run-job.h - jobs from their start to their end */
#pragma once
#include "block/job.h"

/* job: taken.  Whether it succeeded. */
static inline bool run_job(VitBlockJob *job, GError **error)
{
    g_assert_nonnull(job);
    vit_block_job_start(job);
    bool good = vit_block_job_wait(job, error);
    vit_block_job_unref(job);
    return good;
}

/* For vit_block_jobs_listen(). */
static inline void complete_when_ready(void *opaque, VitBlockJob *job)
{
    g_autoptr(GError) error = NULL;
    VitBlockJobInfo info = vit_block_job_info(job);

    g_free(info.error);
    if (info.status == VIT_JOB_READY && !vit_block_job_complete(job, &error))
        g_test_message("%s", error->message);
}
