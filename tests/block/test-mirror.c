/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-mirror.c - mirrors of disks whose users write all they can, to the same places
 * again and again: both sides are equal in the end, and the job ends when it is told to */
#include "block/driver.h"
#include "block/jobs/live.h"

#include <glib/gstdio.h>
#include <string.h>

enum { DISK = 2 << 20, DEPTH = 16, MOST = 32 << 10, PATIENCE_US = 30 * 1000 * 1000 };

typedef struct Fixture Fixture;
typedef struct {
    VitBlockRequest req;
    Fixture *f; /* borrowed */
    uint8_t buf[MOST];
    struct iovec iov;
} Slot;

struct Fixture {
    char *folder, *source_path, *target_path; /* owned, like what follows */
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    VitBlockNode *source, *target, *root;
    Slot *slots;
    VitBlockJob *job;
    GError *error;
    bool write_blocking;
    uint64_t seed; /* of the thread */
    int running, stop, failed; /* atomic */
};

/* ---- a user that never pauses ---------------------------------------------------------------- */

static uint32_t dice(Fixture *f, uint32_t sides)
{
    f->seed = f->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(f->seed >> 33) % sides;
}

static void next(Slot *s);

static void done(VitBlockRequest *req)
{
    Slot *s = req->opaque;
    Fixture *f = s->f;

    if (req->result < 0) g_atomic_int_inc(&f->failed);
    if (g_atomic_int_get(&f->stop)) g_atomic_int_dec_and_test(&f->running);
    else next(s);
}

static void next(Slot *s)
{
    Fixture *f = s->f;
    static const VitBlockOp ops[] = { VIT_BLOCK_WRITE,   VIT_BLOCK_WRITE, VIT_BLOCK_WRITE,
                                      VIT_BLOCK_WRITE,   VIT_BLOCK_WRITE, VIT_BLOCK_WRITE_ZEROES,
                                      VIT_BLOCK_DISCARD, VIT_BLOCK_FLUSH };
    uint64_t bytes = 512 * (1 + dice(f, dice(f, 4) ? 8 : MOST / 512));
    uint32_t places = DISK / 512 / (dice(f, 2) ? 64 : 1); /* often near the disk's beginning */
    uint64_t place = 512 * (uint64_t)dice(f, places);

    s->req = (VitBlockRequest){ .op = ops[dice(f, G_N_ELEMENTS(ops))],
                                .offset = MIN(place, DISK - bytes),
                                .bytes = bytes,
                                .iov = &s->iov,
                                .niov = 1,
                                .done = done,
                                .opaque = s };
    s->iov = (struct iovec){ s->buf, bytes };
    memset(s->buf, (int)dice(f, 256), bytes);
    vit_block_submit(f->root, &s->req);
}

static void start(void *opaque)
{
    Fixture *f = opaque;

    g_atomic_int_set(&f->running, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++) next(&f->slots[i]);
}

static void halt(Fixture *f)
{
    g_atomic_int_set(&f->stop, 1);
    while (g_atomic_int_get(&f->running) > 0) g_usleep(1000);
    g_assert_cmpint(g_atomic_int_get(&f->failed), ==, 0);
}

/* ---- the mirror ------------------------------------------------------------------------------ */

static VitBlockNode *make(Fixture *f, const char *path, const char *format)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vit_block_graph_create(f->graph, path, format, DISK, NULL, NULL, NULL, &error));
    VitBlockNode *node = vit_block_graph_open_image(f->graph, path, format, NULL, VIT_OPEN_DISCARD,
                                                    &error);
    g_assert_no_error(error);
    return node;
}

static void begin(void *opaque)
{
    Fixture *f = opaque;
    VitBlockLiveOptions options = { .graph = f->graph,
                                    .jobs = f->jobs,
                                    .id = "job",
                                    .flags = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };
    VitBlockMirror mirror = { .sync = VIT_SYNC_FULL,
                              .unmap = true,
                              .write_blocking = f->write_blocking };

    f->job = vit_co_mirror_new(&options, vit_block_root_node(f->root), f->target, &mirror,
                               &f->error);
    if (f->job) vit_block_job_start(f->job);
}

static void set_up(Fixture *f, const char *format, bool write_blocking)
{
    *f = (Fixture){ .write_blocking = write_blocking, .seed = 4711 };
    f->folder = g_dir_make_tmp("vitrine-mirror-XXXXXX", NULL);
    f->source_path = g_build_filename(f->folder, "source", NULL);
    f->target_path = g_build_filename(f->folder, "target", NULL);
    f->thread = vit_io_thread_new("disk");
    f->graph = vit_block_graph_new(f->thread);
    f->jobs = vit_block_jobs_new(f->thread);
    f->source = make(f, f->source_path, format);
    f->target = make(f, f->target_path, "raw");
    f->root = vit_block_root_new(vit_block_node_ref(f->source), "root");
    f->slots = g_new0(Slot, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++) f->slots[i].f = f;
    vit_block_run(f->root, start, f);
    vit_block_run(f->root, begin, f);
    g_assert_no_error(f->error);
    int64_t end = g_get_monotonic_time() + PATIENCE_US;
    for (VitBlockJobStatus status = VIT_JOB_CREATED; status != VIT_JOB_READY; g_usleep(1000)) {
        VitBlockJobInfo info = vit_block_job_info(f->job);
        status = info.status;
        g_free(info.error);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_usleep(200000);
}

static void tear_down(Fixture *f)
{
    vit_block_job_unref(f->job);
    vit_block_jobs_free(f->jobs);
    vit_block_node_close(f->root);
    vit_block_node_unref(f->source);
    vit_block_node_unref(f->target);
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(f->source_path);
    g_unlink(f->target_path);
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_free(f->folder);
    g_free(f->source_path);
    g_free(f->target_path);
    g_free(f->slots);
}

static void check_equal(Fixture *f)
{
    g_autofree uint8_t *a = g_malloc(DISK), *b = g_malloc(DISK);

    g_assert_cmpint(vit_block_read_sync(f->source, 0, a, DISK), ==, 0);
    g_assert_cmpint(vit_block_read_sync(f->target, 0, b, DISK), ==, 0);
    g_assert_cmpmem(a, DISK, b, DISK);
}

typedef struct {
    const char *format;
    bool write_blocking;
} Case;

/* The user stops, then the job: the target is what the source is. */
static void test_ended(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    Fixture f;

    set_up(&f, c->format, c->write_blocking);
    halt(&f);
    g_assert_true(vit_block_job_cancel(f.job, false, &error));
    g_assert_true(vit_block_job_wait(f.job, &error));
    g_assert_no_error(error);
    check_equal(&f);
    tear_down(&f);
}

/* The user turns to the target while it writes, and writes on. */
static void test_completed(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    Fixture f;

    set_up(&f, c->format, c->write_blocking);
    g_assert_true(vit_block_job_complete(f.job, &error));
    g_assert_true(vit_block_job_wait(f.job, &error));
    g_assert_no_error(error);
    g_assert_true(vit_block_root_node(f.root) == f.target);
    g_usleep(10000);
    halt(&f);
    tear_down(&f);
}

/* A job that is told to end takes the source as it is then, whatever is written meanwhile. */
static void test_hurried(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    Fixture f;

    set_up(&f, c->format, c->write_blocking);
    g_assert_true(vit_block_job_cancel(f.job, false, &error));
    g_assert_true(vit_block_job_wait(f.job, &error));
    g_assert_no_error(error);
    g_assert_true(vit_block_root_node(f.root) == f.source);
    halt(&f);
    tear_down(&f);
}

static const Case cases[] = {
    { "raw", false }, { "raw", true }, { "qcow2", false }, { "qcow2", true }
};

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc fn;
    } tests[] = { { "ended", test_ended },
                  { "completed", test_completed },
                  { "hurried", test_hurried } };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned n = 0; n < G_N_ELEMENTS(tests); n++) {
            g_autofree char *name = g_strdup_printf(
                "/block/mirror/%s/%s/%s", cases[i].format,
                cases[i].write_blocking ? "write-blocking" : "background", tests[n].name);
            g_test_add_data_func(name, &cases[i], tests[n].fn);
        }
    }
    return g_test_run();
}
