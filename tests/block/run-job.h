/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/run-job.h - a job from its start to its end */
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
