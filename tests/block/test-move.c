/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-move.c - disks that change their iothread while they are worked on */
#include "block/filters/blkdebug.h"
#include "block/jobs/live.h"
#include "tests/block/move-load.h"

#include <glib/gstdio.h>
#include <string.h>

enum { DISK = 4 << 20, THREADS = 3, MOVES = 60 };

typedef struct {
    char *folder; /* owned, like what follows */
    VitIoThread *threads[THREADS];
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    MoveLoad load;
} Fixture;

/* ---- set-up ---------------------------------------------------------------------------------- */

static void setup(Fixture *f, const char *format, const char *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;

    *f = (Fixture){ .folder = g_dir_make_tmp("vit-move-XXXXXX", &error) };
    g_assert_no_error(error);
    path = g_build_filename(f->folder, "disk", NULL);
    for (unsigned i = 0; i < THREADS; i++) f->threads[i] = vit_io_thread_new("disk");
    f->graph = vit_block_graph_new(f->threads[0]);
    f->jobs = vit_block_jobs_new(f->threads[0]);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", options, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(vit_block_graph_create(f->graph, path, format, DISK, NULL, NULL, args, &error));
    g_assert_no_error(error);
    g_autoptr(JsonObject) extra = json_object_new();
    json_object_set_string_member(extra, "node-name", "disk");
    VitBlockNode *node = vit_block_graph_open_image(f->graph, path, format, extra, 0, &error);
    g_assert_no_error(error);
    move_load_begin(&f->load, node, false, NULL);
}

static void teardown(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->folder, "disk", NULL);

    vit_block_jobs_free(f->jobs);
    move_load_end(&f->load);
    vit_block_graph_free(f->graph);
    for (unsigned i = 0; i < THREADS; i++) vit_io_thread_free(f->threads[i]);
    g_unlink(path);
    g_rmdir(f->folder);
    g_free(f->folder);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_format(gconstpointer data)
{
    const char *const *what = data;
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *back = g_malloc(DISK);
    Fixture f;

    setup(&f, what[0], what[1]);
    move_load_run(&f.load);
    for (unsigned i = 1; i <= MOVES; i++) {
        VitIoThread *to = f.threads[i % THREADS];
        g_assert_true(vit_block_move(f.load.root, to, &error));
        g_assert_no_error(error);
        g_assert_true(vit_block_node_thread(f.load.root) == to);
        g_usleep(g_random_int_range(0, 2000));
    }
    move_load_halt(&f.load);
    g_assert_cmpuint(f.load.told, ==, MOVES);
    g_assert_cmpuint(f.load.wrong, ==, 0);
    g_assert_cmpuint(f.load.done, >, MOVES);
    g_assert_cmpint(vit_block_read_sync(f.load.root, 0, back, DISK), ==, 0);
    g_assert_true(memcmp(back, f.load.content, DISK) == 0);
    teardown(&f);
}

typedef struct {
    Fixture *f;
    VitBlockNode *target;
    VitBlockJob *job;
    GError *error;
} Mirror;

static void begin_mirror(void *opaque)
{
    Mirror *m = opaque;
    VitBlockLiveOptions options = { .graph = m->f->graph,
                                    .jobs = m->f->jobs,
                                    .id = "job",
                                    .flags = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };
    VitBlockMirror mirror = { .sync = VIT_SYNC_FULL };

    m->job = vit_co_mirror_new(&options, vit_block_root_node(m->f->load.root), m->target, &mirror,
                               &m->error);
    if (m->job) vit_block_job_start(m->job);
}

/* A job holds its disk where it is; without it the disk goes again. */
static void test_job(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;

    setup(&f, "qcow2", "");
    g_autofree char *path = g_build_filename(f.folder, "target", NULL);
    g_assert_true(vit_block_graph_create(f.graph, path, "raw", DISK, NULL, NULL, NULL, &error));
    VitBlockNode *target = vit_block_graph_open_image(f.graph, path, "raw", NULL, 0, &error);
    g_assert_no_error(error);
    g_assert_true(vit_block_move(f.load.root, f.threads[1], &error));
    g_assert_true(vit_block_move(target, f.threads[1], &error));
    move_load_run(&f.load);
    for (unsigned i = 0; i < 3; i++) {
        Mirror m = { .f = &f, .target = target };
        vit_block_run(f.load.root, begin_mirror, &m);
        g_assert_no_error(m.error);
        g_assert_false(vit_block_move(f.load.root, f.threads[2], &error));
        g_assert_nonnull(strstr(error->message, "block job: mirror"));
        g_clear_error(&error);
        g_assert_true(vit_block_job_cancel(m.job, true, &error));
        g_assert_false(vit_block_job_wait(m.job, NULL));
        vit_block_job_unref(m.job);
        g_assert_true(vit_block_move(f.load.root, f.threads[2], &error));
        g_assert_no_error(error);
        g_assert_true(vit_block_move(f.load.root, f.threads[1], &error));
    }
    move_load_halt(&f.load);
    g_assert_cmpuint(f.load.wrong, ==, 0);
    vit_block_node_unref(target);
    g_unlink(path);
    teardown(&f);
}

static gpointer swap(gpointer data)
{
    Fixture *f = data;

    for (unsigned i = 1; i <= MOVES; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(vit_block_move(f->load.root, f->threads[i % 2], &error));
        g_assert_no_error(error);
    }
    return NULL;
}

/* Two disks of one graph change places over and over. */
static void test_opposite(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f, g;

    setup(&f, "qcow2", "");
    setup(&g, "raw", "");
    move_load_run(&f.load);
    g_autofree char *path = g_build_filename(g.folder, "disk", NULL);
    move_load_end(&g.load);
    VitBlockNode *node = vit_block_graph_open_image(f.graph, path, "raw", NULL, 0, &error);
    g_assert_no_error(error);
    move_load_begin(&g.load, node, false, NULL);
    g_assert_true(vit_block_move(g.load.root, f.threads[1], &error));
    VitIoThread *mine[2] = { g.threads[0], g.threads[1] };
    g.threads[0] = f.threads[1];
    g.threads[1] = f.threads[0];
    move_load_run(&g.load);
    GThread *a = g_thread_new("a", swap, &f), *b = g_thread_new("b", swap, &g);
    g_thread_join(a);
    g_thread_join(b);
    move_load_halt(&f.load);
    move_load_halt(&g.load);
    g_assert_cmpuint(f.load.wrong + g.load.wrong, ==, 0);
    memcpy(g.threads, mine, sizeof mine);
    move_load_end(&g.load);
    teardown(&f);
    teardown(&g);
}

typedef struct {
    VitBlockNode *node;
    bool waits; /* at the breakpoint */
    int result;
    int ended; /* atomic */
} Break;

static void set_break(void *opaque)
{
    Break *b = opaque;

    b->result = vit_debug_break(b->node, "pwritev", "here");
}

static void write_through_break(void *opaque)
{
    Break *b = opaque;

    b->result = vit_co_write(b->node, 0, "x", 1, 0);
    g_atomic_int_set(&b->ended, 1);
}

static void look_at_break(void *opaque)
{
    Break *b = opaque;

    b->waits = vit_debug_is_suspended(b->node, "here");
}

static void resume_break(void *opaque)
{
    Break *b = opaque;

    g_assert_cmpint(vit_debug_resume(b->node, "here"), ==, 0);
}

/* What waits at a breakpoint of blkdebug waits on the thread that the node has come to. */
static void test_breakpoint(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;

    setup(&f, "raw", "");
    g_autofree char *name = g_strdup_printf(
        "json:{\"driver\":\"blkdebug\",\"image\":{\"driver\":\"file\",\"filename\":\"%s/other\"}}",
        f.folder);
    g_autofree char *path = g_build_filename(f.folder, "other", NULL);
    g_assert_true(vit_block_graph_create(f.graph, path, "raw", DISK, NULL, NULL, NULL, &error));
    VitBlockNode *node = vit_block_graph_open_image(f.graph, name, NULL, NULL, VIT_OPEN_PROTOCOL,
                                                    &error);
    g_assert_no_error(error);
    Break b = { .node = node };
    g_assert_true(vit_block_move(node, f.threads[1], &error));
    vit_block_run(node, set_break, &b);
    g_assert_cmpint(b.result, ==, 0);
    vit_fiber_start(f.threads[1], write_through_break, &b);
    while (!b.waits) vit_block_run(node, look_at_break, &b);
    vit_block_run(node, resume_break, &b);
    while (!g_atomic_int_get(&b.ended)) g_usleep(1000);
    g_assert_cmpint(b.result, ==, 0);
    vit_block_node_unref(node);
    g_unlink(path);
    teardown(&f);
}

static const char *const formats[][2] = {
    { "raw", "" },
    { "qcow2", "" },
    { "qcow2", "cluster_size=4k,lazy_refcounts=on" },
    { "qed", "" },
    { "vmdk", "" },
    { "vmdk", "subformat=twoGbMaxExtentSparse" },
    { "vdi", "" },
    { "vhdx", "" },
    { "vpc", "" },
    { "vpc", "subformat=fixed" },
    { "parallels", "" },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strdup_printf("/block/move/%s/%s", formats[i][0],
                                                *formats[i][1] ? formats[i][1] : "plain");
        g_test_add_data_func(name, formats[i], test_format);
    }
    g_test_add_func("/block/move/job", test_job);
    g_test_add_func("/block/move/opposite", test_opposite);
    g_test_add_func("/block/move/breakpoint", test_breakpoint);
    return g_test_run();
}
