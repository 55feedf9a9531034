/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-job.c - the life of a job: its states, what each allows, progress and speed */
#include "block/job-private.h"

#include <gio/gio.h>
#include <string.h>

/* A job that counts; it can be held at READY, and made to fail. */
typedef struct {
    VitBlockJob parent;
    unsigned steps; /* 0: until cancelled */
    bool with_ready, fail;
    bool completed; /* of the thread */
    bool ran, committed, aborted, cleaned;
} Counter;

enum { STEP = 1000 };

static bool count_up(VitBlockJob *job, GError **error)
{
    Counter *c = (Counter *)job;

    c->ran = true;
    vit_block_job_set_total(job, c->steps * (uint64_t)STEP);
    for (unsigned i = 0; c->steps == 0 || i < c->steps; i++) {
        if (!vit_co_job_pause_point(job)) return false;
        vit_block_job_advance(job, STEP);
        if (c->steps == 0) vit_fiber_sleep(job->thread, 1000000);
    }
    if (c->with_ready) {
        vit_block_job_set_ready(job);
        while (!c->completed && !vit_block_job_is_soft_cancelled(job)) {
            if (!vit_co_job_pause_point(job)) return false;
            vit_fiber_sleep(job->thread, 1000000);
        }
    }
    if (c->fail) g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "it broke");
    return !c->fail;
}

static bool commit(VitBlockJob *job, GError **error)
{
    ((Counter *)job)->committed = true;
    return true;
}

static void take_back(VitBlockJob *job)
{
    ((Counter *)job)->aborted = true;
}

static void clean(VitBlockJob *job)
{
    ((Counter *)job)->cleaned = true;
}

static bool complete(VitBlockJob *job, GError **error)
{
    ((Counter *)job)->completed = true;
    return true;
}

static const VitBlockJobClass counter_class = {
    .type = "count",
    .instance_size = sizeof(Counter),
    .co_run = count_up,
    .co_commit = commit,
    .co_abort = take_back,
    .co_clean = clean,
    .complete = complete,
};

typedef struct {
    VitIoThread *thread;
    VitBlockJobs *jobs;
    GMutex mutex;
    GCond cond;
    GString *heard; /* names of states; guarded by mutex */
    VitBlockJobStatus last; /* guarded by mutex */
} Fixture;

static void listen(void *opaque, VitBlockJob *job)
{
    Fixture *f = opaque;
    VitBlockJobInfo info = vit_block_job_info(job);

    g_free(info.error);
    g_mutex_lock(&f->mutex);
    if (f->heard->len == 0 || info.status != f->last)
        g_string_append_printf(f->heard, "%s ", vit_block_job_status_name(info.status));
    f->last = info.status;
    g_cond_signal(&f->cond);
    g_mutex_unlock(&f->mutex);
}

static void await(Fixture *f, VitBlockJobStatus status)
{
    int64_t end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

    g_mutex_lock(&f->mutex);
    while (f->last != status) g_assert_true(g_cond_wait_until(&f->cond, &f->mutex, end));
    g_mutex_unlock(&f->mutex);
}

static void set_up(Fixture *f, gconstpointer data)
{
    g_mutex_init(&f->mutex);
    g_cond_init(&f->cond);
    f->heard = g_string_new(NULL);
    f->last = VIT_JOB_NULL;
    f->thread = vit_io_thread_new("jobs");
    f->jobs = vit_block_jobs_new(f->thread);
    vit_block_jobs_listen(f->jobs, listen, f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_block_jobs_free(f->jobs);
    vit_io_thread_free(f->thread);
    g_string_free(f->heard, TRUE);
    g_mutex_clear(&f->mutex);
    g_cond_clear(&f->cond);
}

static Counter *new_counter(Fixture *f, const char *id, unsigned steps, unsigned flags)
{
    GError *error = NULL;
    Counter *c = (Counter *)vit_block_job_new(f->jobs, &counter_class, id, flags, &error);

    g_assert_no_error(error);
    c->steps = steps;
    return c;
}

static void test_success(Fixture *f, gconstpointer data)
{
    Counter *c = new_counter(f, "j", 10, VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS);
    VitBlockJob *job = &c->parent;

    vit_block_job_start(job);
    g_assert_true(vit_block_job_wait(job, NULL));
    await(f, VIT_JOB_NULL);
    g_assert_cmpstr(f->heard->str, ==, "running waiting pending concluded null ");
    g_assert_true(c->committed && c->cleaned && !c->aborted);
    VitBlockJobInfo info = vit_block_job_info(job);
    g_assert_cmpuint(info.current, ==, 10 * STEP);
    g_assert_cmpuint(info.total, ==, 10 * STEP);
    g_assert_null(vit_block_jobs_find(f->jobs, "j"));
    vit_block_job_unref(job);
}

static void test_failure(Fixture *f, gconstpointer data)
{
    Counter *c = new_counter(f, "j", 3, VIT_JOB_AUTO_FINALIZE);
    VitBlockJob *job = &c->parent;
    g_autoptr(GError) error = NULL;

    c->fail = true;
    vit_block_job_start(job);
    g_assert_false(vit_block_job_wait(job, &error));
    g_assert_cmpstr(error->message, ==, "it broke");
    g_assert_true(c->aborted && c->cleaned && !c->committed);
    VitBlockJobInfo info = vit_block_job_info(job);
    g_assert_cmpstr(info.error, ==, "it broke");
    g_free(info.error);
    g_assert_cmpint(info.status, ==, VIT_JOB_CONCLUDED);
    await(f, VIT_JOB_CONCLUDED);
    g_assert_true(vit_block_job_dismiss(job, NULL));
    g_assert_cmpstr(f->heard->str, ==, "running aborting concluded null ");
    vit_block_job_unref(job);
}

static void test_pause_and_cancel(Fixture *f, gconstpointer data)
{
    Counter *c = new_counter(f, "j", 0, VIT_JOB_AUTO_FINALIZE);
    VitBlockJob *job = &c->parent;
    g_autoptr(GError) error = NULL;

    vit_block_job_start(job);
    await(f, VIT_JOB_RUNNING);
    g_assert_false(vit_block_job_resume(job, NULL));
    g_assert_true(vit_block_job_pause(job, NULL));
    await(f, VIT_JOB_PAUSED);
    g_assert_false(vit_block_job_pause(job, NULL));
    uint64_t before = vit_block_job_info(job).current;
    g_usleep(20000);
    g_assert_cmpuint(vit_block_job_info(job).current, ==, before);
    g_assert_true(vit_block_job_resume(job, NULL));
    await(f, VIT_JOB_RUNNING);
    g_assert_false(vit_block_job_complete(job, &error));
    g_assert_cmpstr(error->message, ==,
                    "Job 'j' in state 'running' cannot accept command verb 'complete'");
    g_assert_true(vit_block_job_pause(job, NULL)); /* a resting job hears it too */
    await(f, VIT_JOB_PAUSED);
    g_assert_true(vit_block_job_cancel(job, false, NULL));
    g_clear_error(&error);
    g_assert_false(vit_block_job_wait(job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_true(c->aborted && c->cleaned);
    vit_block_job_unref(job);
}

static void test_finalize(Fixture *f, gconstpointer data)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        Counter *c = new_counter(f, "j", 3, VIT_JOB_AUTO_DISMISS);
        VitBlockJob *job = &c->parent;
        vit_block_job_start(job);
        await(f, VIT_JOB_PENDING);
        g_assert_false(c->committed);
        g_assert_false(vit_block_job_pause(job, NULL));
        g_assert_true(cancel ? vit_block_job_cancel(job, false, NULL)
                             : vit_block_job_finalize(job, NULL));
        g_assert_true(vit_block_job_wait(job, NULL) == !cancel);
        g_assert_true(c->committed == !cancel && c->aborted == !!cancel);
        await(f, VIT_JOB_NULL);
        vit_block_job_unref(job);
    }
}

static void test_ready(Fixture *f, gconstpointer data)
{
    for (int how = 0; how < 3; how++) {
        Counter *c = new_counter(f, "j", 3, VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS);
        VitBlockJob *job = &c->parent;
        c->with_ready = true;
        vit_block_job_start(job);
        await(f, VIT_JOB_READY);
        g_assert_true(vit_block_job_pause(job, NULL));
        await(f, VIT_JOB_STANDBY);
        g_assert_true(vit_block_job_resume(job, NULL));
        await(f, VIT_JOB_READY);
        if (how == 0) g_assert_true(vit_block_job_complete(job, NULL));
        else g_assert_true(vit_block_job_cancel(job, how == 2, NULL));
        g_assert_true(vit_block_job_wait(job, NULL) == (how != 2));
        g_assert_true(c->completed == (how == 0));
        await(f, VIT_JOB_NULL);
        vit_block_job_unref(job);
    }
}

static void test_speed(Fixture *f, gconstpointer data)
{
    Counter *c = new_counter(f, NULL, 300, VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS);
    VitBlockJob *job = &c->parent;
    int64_t began = g_get_monotonic_time();

    vit_block_job_set_speed(job, 1000 * STEP);
    vit_block_job_start(job);
    g_assert_true(vit_block_job_wait(job, NULL));
    int64_t took = g_get_monotonic_time() - began;
    g_assert_cmpint(took, >, 250000);
    g_assert_cmpint(took, <, 5000000);
    vit_block_job_unref(job);
}

static void test_names(Fixture *f, gconstpointer data)
{
    Counter *c = new_counter(f, "one", 0, VIT_JOB_AUTO_FINALIZE);
    g_autoptr(GError) error = NULL;

    g_assert_null(vit_block_job_new(f->jobs, &counter_class, "one", 0, &error));
    g_assert_cmpstr(error->message, ==, "Job ID 'one' already in use");
    g_clear_error(&error);
    g_assert_null(vit_block_job_new(f->jobs, &counter_class, "1*", 0, &error));
    g_assert_cmpstr(error->message, ==, "Invalid job ID '1*'");
    g_autoptr(GPtrArray) list = vit_block_jobs_list(f->jobs);
    g_assert_cmpuint(list->len, ==, 1);
    VitBlockJob *found = vit_block_jobs_find(f->jobs, "one");
    g_assert_true(found == &c->parent);
    vit_block_job_unref(found);
    /* One that has not begun ends without having run; the next is cancelled by tear_down(). */
    g_assert_true(vit_block_job_cancel(&c->parent, true, NULL));
    g_assert_false(vit_block_job_wait(&c->parent, NULL));
    g_assert_true(c->cleaned && !c->ran);
    vit_block_job_unref(&c->parent);
    c = new_counter(f, "two", 0, 0);
    vit_block_job_start(&c->parent);
    vit_block_job_unref(&c->parent);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/block/job/" name, Fixture, NULL, set_up, fn, tear_down)
    ADD("success", test_success);
    ADD("failure", test_failure);
    ADD("pause-and-cancel", test_pause_and_cancel);
    ADD("finalize", test_finalize);
    ADD("ready", test_ready);
    ADD("speed", test_speed);
    ADD("names", test_names);
    return g_test_run();
}
