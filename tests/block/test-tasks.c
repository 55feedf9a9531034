/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-tasks.c - resizing, checking, amending, compacting and converting as jobs */
#include "block/jobs/jobs.h"
#include "block/node-private.h"
#include "tests/block/run-job.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SIZE = 4 << 20, AUTO = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };

typedef struct {
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    VitBlockNode *node; /* raw, SIZE bytes: 1 in the first MiB, 0 that is stored in the second */
    char *folder, *path, *copy;
} Fixture;

static VitBlockNode *open_raw(Fixture *f, const char *path)
{
    GError *error = NULL;
    VitBlockNode *node = vit_block_graph_open_image(f->graph, path, "raw", NULL, VIT_OPEN_DISCARD,
                                                    &error);

    g_assert_no_error(error);
    return node;
}

static void set_up(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *content = g_malloc0(SIZE);

    f->folder = g_dir_make_tmp("vitrine-tasks-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "disk.raw", NULL);
    f->copy = g_build_filename(f->folder, "copy.raw", NULL);
    memset(content, 1, 1 << 20);
    g_assert_true(g_file_set_contents(f->path, (char *)content, SIZE, NULL));
    f->thread = vit_io_thread_new("tasks");
    f->graph = vit_block_graph_new(f->thread);
    f->jobs = vit_block_jobs_new(f->thread);
    f->node = open_raw(f, f->path);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_block_jobs_free(f->jobs);
    vit_block_node_unref(f->node);
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(f->path);
    g_unlink(f->copy);
    g_rmdir(f->folder);
    g_free(f->path);
    g_free(f->copy);
    g_free(f->folder);
}

static void check_content(VitBlockNode *node)
{
    g_autofree uint8_t *got = g_malloc(SIZE), *wanted = g_malloc0(SIZE);

    memset(wanted, 1, 1 << 20);
    g_assert_cmpint(vit_block_read_sync(node, 0, got, SIZE), ==, 0);
    g_assert_cmpmem(got, SIZE, wanted, SIZE);
}

static void test_compact(Fixture *f, gconstpointer data)
{
    struct stat before, after;

    g_assert_cmpint(stat(f->path, &before), ==, 0);
    g_assert_true(run_job(vit_block_compact_new(f->jobs, NULL, AUTO, f->node, NULL), NULL));
    g_assert_cmpint(stat(f->path, &after), ==, 0);
    g_assert_cmpint(after.st_size, ==, SIZE);
    if (before.st_blocks > 3 << 11) /* a file system that stores what is written */
        g_assert_cmpint(after.st_blocks, <, 2 << 11);
    check_content(f->node);
}

static void test_resize(Fixture *f, gconstpointer data)
{
    g_assert_true(run_job(
        vit_block_resize_new(f->jobs, NULL, AUTO, f->node, 2 * SIZE, VIT_PREALLOC_OFF, NULL),
        NULL));
    g_assert_cmpuint(vit_block_info(f->node).size, ==, 2 * SIZE);
    check_content(f->node);
}

static void test_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockCheck found = { 0 };

    g_assert_false(
        run_job(vit_block_check_new(f->jobs, NULL, AUTO, f->node, 0, &found, NULL), &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
    g_clear_error(&error);
    VitBlockArgs *options = vit_block_args_parse("-o", "compat=1.1", NULL, NULL);
    g_assert_false(
        run_job(vit_block_amend_new(f->jobs, NULL, AUTO, f->node, options, false, NULL), &error));
    g_assert_nonnull(strstr(error->message, "does not support option amendment"));
}

static VitBlockNode *make_copy(Fixture *f, uint64_t size)
{
    GError *error = NULL;

    g_assert_true(vit_block_graph_create(f->graph, f->copy, "raw", size, NULL, NULL, NULL, &error));
    return open_raw(f, f->copy);
}

static void test_convert(Fixture *f, gconstpointer data)
{
    VitBlockNode *copy = make_copy(f, SIZE);
    VitBlockConvert how = {
        .sources = &f->node, .n_sources = 1, .target = copy, .sparse = 4096, .target_is_zero = true
    };
    struct stat st;

    g_assert_true(run_job(vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL), NULL));
    check_content(copy);
    vit_block_node_unref(copy);
    g_assert_cmpint(stat(f->copy, &st), ==, 0);
    g_assert_cmpint(st.st_blocks, <, 2 << 11);
}

static void test_convert_cancelled(Fixture *f, gconstpointer data)
{
    VitBlockNode *copy = make_copy(f, SIZE);
    g_autoptr(GPtrArray) made = g_ptr_array_new();
    VitBlockConvert how = { .sources = &f->node, .n_sources = 1, .target = copy, .made = made };
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(made, f->copy);
    VitBlockJob *job = vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL);
    vit_block_job_set_speed(job, 1000);
    vit_block_job_start(job);
    g_usleep(50000);
    g_assert_true(vit_block_job_cancel(job, true, NULL));
    g_assert_false(vit_block_job_wait(job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_false(g_file_test(f->copy, G_FILE_TEST_EXISTS));
    vit_block_job_unref(job);
    vit_block_node_unref(copy);
    check_content(f->node);
}

/* ---- what -C and -W do ----------------------------------------------------------------------- */

/* The file that all reads of fail: its bytes can be copied by the host alone. */
static VitBlockNode *open_unreadable(Fixture *f)
{
    g_autofree char *text = g_strdup_printf(
        "{\"driver\": \"raw\", \"file\": {\"driver\": \"blkdebug\","
        " \"image\": {\"driver\": \"file\", \"filename\": \"%s\", \"locking\": \"off\"},"
        " \"inject-error\": [{\"event\": \"none\", \"iotype\": \"read\"}]}}",
        f->path);
    g_autoptr(JsonNode) json = json_from_string(text, NULL);
    g_autoptr(VitBlockArgs) args = vit_block_args_new("-C", json_node_get_object(json), NULL);
    GError *error = NULL;
    VitBlockNode *node = vit_block_graph_open(f->graph, args, &error);

    g_assert_no_error(error);
    return node;
}

static void test_convert_copy_range(Fixture *f, gconstpointer data)
{
    VitBlockNode *copy = make_copy(f, SIZE), *source = open_unreadable(f);
    VitBlockConvert how = {
        .sources = &source, .n_sources = 1, .target = copy, .sparse = 4096, .target_is_zero = true
    };

    g_assert_false(run_job(vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL), NULL));
    how.copy_range = true;
    g_assert_true(run_job(vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL), NULL));
    check_content(copy);
    vit_block_node_unref(copy);
    vit_block_node_unref(source);
}

static int slow_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov)
{
    vit_iov_zero(iov, niov, 0, bytes);
    if (offset == 0) vit_fiber_sleep(node->thread, 50000000);
    return 0;
}

static uint64_t first_written; /* UINT64_MAX: nothing yet */

static int noting_write(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov, uint32_t flags)
{
    if (first_written == UINT64_MAX) first_written = offset;
    return 0;
}

static const VitBlockDriver slow_driver = {
    .name = "slow",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(VitBlockNode),
    .co_read = slow_read,
};
static const VitBlockDriver noting_driver = {
    .name = "noting",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(VitBlockNode),
    .co_read = slow_read,
    .co_write = noting_write,
};

static VitBlockNode *fake_node(Fixture *f, const VitBlockDriver *driver)
{
    VitBlockNode *node = vit_block_node_new(driver, driver->name, f->thread);

    node->size = 16 << 20;
    node->opened = true;
    return node;
}

/* The first piece comes late: the others are written before it only when they may be. */
static void test_convert_order(Fixture *f, gconstpointer data)
{
    VitBlockNode *source = fake_node(f, &slow_driver), *target = fake_node(f, &noting_driver);
    VitBlockConvert how = { .sources = &source, .n_sources = 1, .target = target };

    first_written = UINT64_MAX;
    g_assert_true(run_job(vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL), NULL));
    g_assert_cmpuint(first_written, ==, 0);
    how.unordered = true;
    first_written = UINT64_MAX;
    g_assert_true(run_job(vit_block_convert_new(f->jobs, NULL, AUTO, &how, NULL), NULL));
    g_assert_cmpuint(first_written, >, 0);
    vit_block_node_unref(source);
    vit_block_node_unref(target);
}

static void test_convert_too_small(Fixture *f, gconstpointer data)
{
    VitBlockNode *copy = make_copy(f, SIZE / 2);
    VitBlockConvert how = { .sources = &f->node, .n_sources = 1, .target = copy };
    g_autoptr(GError) error = NULL;

    g_assert_null(vit_block_convert_new(f->jobs, NULL, AUTO, &how, &error));
    g_assert_cmpstr(error->message, ==, "output file is smaller than input file");
    vit_block_node_unref(copy);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/block/tasks/" name, Fixture, NULL, set_up, fn, tear_down)
    ADD("compact", test_compact);
    ADD("resize", test_resize);
    ADD("refused", test_refused);
    ADD("convert", test_convert);
    ADD("convert-copy-range", test_convert_copy_range);
    ADD("convert-order", test_convert_order);
    ADD("convert-cancelled", test_convert_cancelled);
    ADD("convert-too-small", test_convert_too_small);
    return g_test_run();
}
