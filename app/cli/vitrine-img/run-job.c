/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-img/run-job.c - waits for a job, with progress and signals */
#include "app/cli/vitrine-img/img.h"

#include <signal.h>
#include <stdio.h>

enum { LOOK_US = 100000 };

static volatile sig_atomic_t interrupted, asked; /* by SIGINT and the like, by SIGUSR1 */

static void on_signal(int number)
{
    if (number == SIGUSR1) asked = 1;
    else interrupted = 1;
}

typedef struct {
    GMutex mutex;
    GCond cond;
} Bell; /* rung by the job when its state or progress changes */

static void ring(void *opaque, VitBlockJob *job)
{
    Bell *bell = opaque;

    g_mutex_lock(&bell->mutex);
    g_cond_signal(&bell->cond);
    g_mutex_unlock(&bell->mutex);
}

static void show(Img *img, const VitBlockJobInfo *info)
{
    if (asked) {
        asked = 0;
        double percent = info->total ? 100.0 * (double)info->current / (double)info->total : 0;
        if (!img->progress) printf("    (%3.2f/100%%)\n", percent);
        fflush(stdout);
    }
    img_progress(img, info->current, info->total, info);
}

bool img_wait_job(Img *img, VitBlockJob *job, GError **reason)
{
    struct sigaction action = { .sa_handler = on_signal }, before[3];
    static const int signals[] = { SIGINT, SIGTERM, SIGUSR1 };
    g_autoptr(GError) error = NULL;
    bool told = false;
    Bell bell;

    g_mutex_init(&bell.mutex);
    g_cond_init(&bell.cond);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) sigaction(signals[i], &action, &before[i]);
    img_progress_begin(img);
    vit_block_jobs_listen(img->jobs, ring, &bell);
    vit_block_job_start(job);
    for (;;) {
        VitBlockJobInfo info = vit_block_job_info(job);
        g_free(info.error);
        if (info.status >= VIT_JOB_CONCLUDED) break;
        if (interrupted && !told) {
            told = true;
            if (!vit_block_job_cancel(job, true, &error)) g_clear_error(&error); /* it has ended */
        }
        if (info.total > 0) show(img, &info);
        g_mutex_lock(&bell.mutex);
        if (info.status < VIT_JOB_WAITING)
            g_cond_wait_until(&bell.cond, &bell.mutex, g_get_monotonic_time() + LOOK_US);
        g_mutex_unlock(&bell.mutex);
    }
    bool good = vit_block_job_wait(job, &error);
    vit_block_job_unref(job);
    vit_block_jobs_listen(img->jobs, NULL, NULL);
    /* What the job holds is let go before its images are looked at again. */
    vit_block_jobs_free(img->jobs);
    img->jobs = vit_block_jobs_new(img->thread);
    if (good) img_progress(img, 100, 100, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) sigaction(signals[i], &before[i], NULL);
    g_mutex_clear(&bell.mutex);
    g_cond_clear(&bell.cond);
    if (!good) g_propagate_error(reason, g_steal_pointer(&error));
    return good;
}

int img_run_job(Img *img, VitBlockJob *job, const GError *refused)
{
    g_autoptr(GError) error = NULL;

    if (!job) return img_fail(img, 1, "%s", vit_block_error_text(refused));
    bool good = img_wait_job(img, job, &error);
    img_progress_end(img);
    return good ? 0 : img_fail(img, 1, "%s", vit_block_error_text(error));
}
