/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-offline.c - create, compare and rebase when a request fails, whichever it is,
 * and when they are cancelled: no half file stays, and an image reads as it did before */
#include "block/jobs/jobs.h"
#include "tests/block/run-job.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { SIZE = 2 << 20, BLOCK = 64 << 10, MAX_REQUESTS = 200 };
enum { AUTO = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };

typedef struct {
    char *folder, *lower, *other, *upper; /* owned: paths */
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    uint8_t *content; /* of the disk that is worked on */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->folder = g_dir_make_tmp("vitrine-offline-XXXXXX", NULL);
    f->lower = g_build_filename(f->folder, "lower", NULL);
    f->other = g_build_filename(f->folder, "other", NULL);
    f->upper = g_build_filename(f->folder, "upper", NULL);
    f->thread = vit_io_thread_new("block");
    f->graph = vit_block_graph_new(f->thread);
    f->jobs = vit_block_jobs_new(f->thread);
    f->content = g_malloc(SIZE);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_block_jobs_free(f->jobs);
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(f->lower);
    g_unlink(f->other);
    g_unlink(f->upper);
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_free(f->folder);
    g_free(f->lower);
    g_free(f->other);
    g_free(f->upper);
    g_free(f->content);
}

/* A node over blkdebug; type NULL: no request of it fails.  NULL: one of opening has failed. */
static VitBlockNode *open_debug(Fixture *f, const char *driver, const char *path, const char *type,
                                unsigned skip)
{
    g_autofree char *debug = g_strdup_printf(
        "{\"driver\": \"blkdebug\", \"image\": {\"driver\": \"file\", \"filename\": \"%s\"},"
        " \"inject-error\": [{\"event\": \"none\", \"iotype\": \"%s\", \"errno\": %d,"
        " \"skip\": %u, \"once\": true}]}",
        path, type ?: "read", type ? EIO : 0, skip);
    g_autofree char *text = driver ? g_strdup_printf("{\"driver\": \"%s\", \"file\": %s}", driver,
                                                     debug)
                                   : g_strdup(debug);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) json = json_from_string(text, &error);
    g_assert_no_error(error);
    g_autoptr(VitBlockArgs) args = vit_block_args_new(path, json_node_get_object(json), &error);
    g_assert_no_error(error);
    VitBlockNode *node = vit_block_graph_open(f->graph, args, &error);
    if (!type) g_assert_no_error(error);
    return node;
}

static VitBlockNode *open_image(Fixture *f, const char *path, const char *format)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = vit_block_graph_open_image(f->graph, path, format, NULL, 0, &error);

    g_assert_no_error(error);
    return node;
}

/* Starts it slowly, cancels it, and says after how many microseconds it had ended. */
static gint64 run_cancelled(VitBlockJob *job, uint64_t speed)
{
    g_autoptr(GError) error = NULL;

    vit_block_job_set_speed(job, speed);
    vit_block_job_start(job);
    g_usleep(50000);
    gint64 began = g_get_monotonic_time();
    g_assert_true(vit_block_job_cancel(job, true, &error));
    g_assert_false(vit_block_job_wait(job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    vit_block_job_unref(job);
    return g_get_monotonic_time() - began;
}

static void nothing(void *opaque) {}

static void assert_no_nodes(Fixture *f)
{
    vit_io_thread_call_sync(f->thread, nothing, NULL); /* what goes has gone */
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(f->graph);
    g_assert_cmpuint(nodes->len, ==, 0);
}

static const char *const types[] = { "read", "write", "flush", "write-zeroes" };

/* Fails each request of each type in turn, until there is none so late. */
static void fail_all(Fixture *f, bool (*fail_one)(Fixture *f, const char *type, unsigned skip),
                     unsigned least)
{
    unsigned failures = 0;

    for (size_t t = 0; t < G_N_ELEMENTS(types); t++) {
        unsigned skip = 0;
        while (skip < MAX_REQUESTS && fail_one(f, types[t], skip)) skip++;
        failures += skip;
    }
    g_test_message("%u requests have failed", failures);
    g_assert_cmpuint(failures, >=, least);
}

/* ---- create ---------------------------------------------------------------------------------- */

static VitBlockJob *new_create(Fixture *f, const char *format, VitBlockNode *file,
                               const char *options, uint64_t size)
{
    g_autoptr(GError) error = NULL;
    VitBlockCreate create = { .graph = f->graph,
                              .thread = f->thread,
                              .driver = vit_block_driver_find(format),
                              .filename = f->upper,
                              .file = file,
                              .size = size,
                              .options = vit_block_args_parse("-o", options, NULL, NULL) };
    VitBlockJob *job = vit_block_create_new(f->jobs, NULL, AUTO, &create, &error);

    g_assert_no_error(error);
    return job;
}

static bool fail_create(Fixture *f, const char *format, const char *type, unsigned skip)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(f->upper, "", 0, NULL));
    VitBlockNode *file = open_debug(f, NULL, f->upper, type, skip);
    g_assert_nonnull(file);
    bool good = run_job(new_create(f, format, file, "", SIZE), &error);
    g_assert_true(good || error);
    g_clear_error(&error);
    /* Once more, and then it is an image. */
    if (!good && !run_job(new_create(f, format, file, "", SIZE), &error))
        g_error("%s", error->message);
    vit_block_node_unref(file);
    VitBlockNode *node = open_image(f, f->upper, format);
    g_assert_cmpuint(vit_block_info(node).size, ==, SIZE);
    vit_block_node_unref(node);
    assert_no_nodes(f);
    return !good;
}

static bool fail_create_qcow2(Fixture *f, const char *type, unsigned skip)
{
    return fail_create(f, "qcow2", type, skip);
}

static bool fail_create_vmdk(Fixture *f, const char *type, unsigned skip)
{
    return fail_create(f, "vmdk", type, skip);
}

static bool fail_create_vhdx(Fixture *f, const char *type, unsigned skip)
{
    return fail_create(f, "vhdx", type, skip);
}

static void test_create_errors(Fixture *f, gconstpointer data)
{
    fail_all(f, fail_create_qcow2, 3);
    fail_all(f, fail_create_vmdk, 1);
    fail_all(f, fail_create_vhdx, 1);
}

/* Nothing of what was in the file before is left in the image. */
static void test_create_over(Fixture *f, gconstpointer data)
{
    static const char *const formats[] = { "qcow2", "qed", "vdi", "vmdk", "vhdx", "vpc",
                                           "parallels" };
    g_autofree uint8_t *old = g_malloc(4 * SIZE), *buf = g_malloc(SIZE);

    memset(old, 0xa7, 4 * SIZE);
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        const char *options = strcmp(formats[i], "vpc") ? "" : "force_size=on";
        g_autoptr(GError) error = NULL;
        g_assert_true(g_file_set_contents(f->upper, (char *)old, 4 * SIZE, NULL));
        VitBlockNode *file = open_debug(f, NULL, f->upper, NULL, 0);
        run_job(new_create(f, formats[i], file, options, SIZE), &error);
        g_assert_no_error(error);
        vit_block_node_unref(file);
        VitBlockNode *node = open_image(f, f->upper, formats[i]);
        g_assert_cmpint(vit_block_write_sync(node, 3 * BLOCK + 512, old, 512), ==, 0);
        g_assert_cmpint(vit_block_read_sync(node, 0, buf, SIZE), ==, 0);
        g_assert_cmpmem(buf + 3 * BLOCK + 512, 512, old, 512);
        memset(buf + 3 * BLOCK + 512, 0, 512);
        g_assert_true(vit_block_is_zero(buf, SIZE));
        vit_block_node_unref(node);
        assert_no_nodes(f);
    }
}

static void test_create(Fixture *f, gconstpointer data)
{
    VitBlockJob *job = new_create(f, "raw", NULL, "preallocation=full", 20 << 20);

    vit_block_job_ref(job);
    g_assert_true(run_job(job, NULL));
    VitBlockJobInfo info = vit_block_job_info(job);
    vit_block_job_unref(job);
    g_assert_cmpuint(info.current, ==, 20 << 20);
    g_assert_cmpuint(info.total, ==, 20 << 20);
}

static void test_create_cancelled(Fixture *f, gconstpointer data)
{
    static const char *const formats[] = { "raw", "qcow2" };

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        VitBlockJob *job = new_create(f, formats[i], NULL, "preallocation=full", 64 << 20);
        g_assert_cmpint(run_cancelled(job, 1 << 20), <, 2 * G_USEC_PER_SEC);
        g_assert_false(g_file_test(f->upper, G_FILE_TEST_EXISTS));
        assert_no_nodes(f);
    }
}

/* A link leads to the image: the file behind it goes, and the link stays. */
static void test_create_full(Fixture *f, gconstpointer data)
{
    static const char *const formats[] = { "raw", "qcow2" };
    struct rlimit before, tight;

    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    tight = (struct rlimit){ 4 << 20, before.rlim_max };
    g_assert_cmpint(symlink(f->lower, f->upper), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &tight), ==, 0);
        bool good = run_job(new_create(f, formats[i], NULL, "preallocation=full", 16 << 20),
                            &error);
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
        g_assert_false(good);
        g_assert_nonnull(error);
        g_assert_false(g_file_test(f->lower, G_FILE_TEST_EXISTS));
        g_assert_true(g_file_test(f->upper, G_FILE_TEST_IS_SYMLINK));
    }
}

/* ---- compare --------------------------------------------------------------------------------- */

static void write_file(const char *path, const uint8_t *content, size_t size)
{
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, (const char *)content, (gssize)size, &error);
    g_assert_no_error(error);
}

static void fill(uint8_t *content)
{
    for (unsigned i = 0; i < SIZE; i++) content[i] = (uint8_t)(i * 2654435761u >> 23 | 1);
}

static bool fail_compare(Fixture *f, const char *type, unsigned skip)
{
    g_autoptr(GError) error = NULL;
    VitBlockCompared found = { 0 };

    fill(f->content);
    write_file(f->lower, f->content, SIZE);
    write_file(f->other, f->content, SIZE);
    VitBlockNode *images[2] = { open_image(f, f->lower, "raw"),
                                open_debug(f, "raw", f->other, type, skip) };
    bool good = run_job(vit_block_compare_new(f->jobs, NULL, AUTO, images, false, &found, NULL),
                        &error);
    g_assert_cmpint(found.result, ==, VIT_COMPARE_EQUAL);
    g_assert_cmpint(found.error, ==, good ? 0 : -EIO);
    if (!good) {
        g_assert_nonnull(error);
        g_assert_cmpuint(found.side, ==, 1);
        g_assert_true(
            run_job(vit_block_compare_new(f->jobs, NULL, AUTO, images, false, &found, NULL), NULL));
    }
    vit_block_node_unref(images[0]);
    vit_block_node_unref(images[1]);
    assert_no_nodes(f);
    return !good;
}

static void test_compare_errors(Fixture *f, gconstpointer data)
{
    fail_all(f, fail_compare, 2);
}

static void compare(Fixture *f, size_t other_size, bool strict, VitCompareResult result,
                    uint64_t offset)
{
    VitBlockCompared found;

    write_file(f->other, f->content, other_size);
    VitBlockNode *images[2] = { open_image(f, f->lower, "raw"), open_image(f, f->other, "raw") };
    g_assert_true(
        run_job(vit_block_compare_new(f->jobs, NULL, AUTO, images, strict, &found, NULL), NULL));
    g_assert_cmpint(found.result, ==, result);
    if (result == VIT_COMPARE_CONTENT) g_assert_cmpuint(found.offset, ==, offset);
    vit_block_node_unref(images[0]);
    vit_block_node_unref(images[1]);
}

static void test_compare(Fixture *f, gconstpointer data)
{
    fill(f->content);
    memset(f->content + SIZE - 4096, 0, 4096);
    write_file(f->lower, f->content, SIZE);
    compare(f, SIZE, true, VIT_COMPARE_EQUAL, 0);
    compare(f, SIZE - 4096, false, VIT_COMPARE_EQUAL, 0);
    compare(f, SIZE - 4096, true, VIT_COMPARE_SIZE, 0);
    f->content[SIZE - 1] = 1;
    compare(f, SIZE, false, VIT_COMPARE_CONTENT, SIZE - 512);
    f->content[BLOCK + 700] ^= 1; /* the lower one is told, whichever is found first */
    compare(f, SIZE, false, VIT_COMPARE_CONTENT, BLOCK + 512);
    compare(f, BLOCK, false, VIT_COMPARE_CONTENT, BLOCK);
}

static void test_compare_cancelled(Fixture *f, gconstpointer data)
{
    VitBlockCompared found;

    fill(f->content);
    write_file(f->lower, f->content, SIZE);
    VitBlockNode *node = open_image(f, f->lower, "raw"), *images[2] = { node, node };
    VitBlockJob *job = vit_block_compare_new(f->jobs, NULL, AUTO, images, false, &found, NULL);
    g_assert_cmpint(run_cancelled(job, 1), <, G_USEC_PER_SEC);
    vit_block_node_unref(node);
}

/* ---- rebase ---------------------------------------------------------------------------------- */

/* The image stands on `lower`; it has a block of its own, and one is the same in `other`. */
static void make_chain(Fixture *f)
{
    g_autofree uint8_t *other = g_malloc0(SIZE);

    fill(f->content);
    memcpy(other + 4 * BLOCK, f->content + 4 * BLOCK, BLOCK);
    write_file(f->lower, f->content, SIZE);
    write_file(f->other, other, SIZE);
    g_assert_true(
        vit_block_graph_create(f->graph, f->upper, "qcow2", SIZE, f->lower, "raw", NULL, NULL));
    VitBlockNode *node = open_image(f, f->upper, "qcow2");
    memset(f->content + 2 * BLOCK, 0x77, BLOCK);
    g_assert_cmpint(vit_block_write_sync(node, 2 * BLOCK, f->content + 2 * BLOCK, BLOCK), ==, 0);
    vit_block_node_unref(node);
}

/* Whatever it stands on now; returns whether that is `path`. */
static bool check_chain(Fixture *f, const char *path)
{
    g_autofree uint8_t *buf = g_malloc(SIZE);
    VitBlockNode *node = open_image(f, f->upper, "qcow2");

    g_assert_cmpint(vit_block_read_sync(node, 0, buf, SIZE), ==, 0);
    g_assert_cmpmem(buf, SIZE, f->content, SIZE);
    bool is = g_strcmp0(node->backing_file, path) == 0;
    vit_block_node_unref(node);
    return is;
}

static VitBlockJob *new_rebase(Fixture *f, VitBlockNode *node, VitBlockNode *backing)
{
    VitBlockRebase how = { .node = node, .backing = backing, .file = f->other, .format = "raw" };
    g_autoptr(GError) error = NULL;
    VitBlockJob *job = vit_block_rebase_new(f->jobs, NULL, AUTO, &how, &error);

    g_assert_no_error(error);
    return job;
}

static bool rebase(Fixture *f, VitBlockNode *node, GError **error)
{
    VitBlockNode *backing = open_image(f, f->other, "raw");
    bool good = run_job(new_rebase(f, node, backing), error);

    vit_block_node_unref(backing);
    vit_block_node_unref(node);
    return good;
}

static bool fail_rebase(Fixture *f, const char *type, unsigned skip)
{
    g_autoptr(GError) error = NULL;

    make_chain(f);
    VitBlockNode *node = open_debug(f, "qcow2", f->upper, type, skip);
    bool good = node && rebase(f, node, &error);
    g_assert_true(good || !node || error);
    bool done = check_chain(f, f->other);
    g_assert_true(done || !good);
    if (!done) {
        g_assert_true(check_chain(f, f->lower));
        g_assert_true(rebase(f, open_image(f, f->upper, "qcow2"), NULL));
        g_assert_true(check_chain(f, f->other));
    }
    assert_no_nodes(f);
    return !good;
}

static void test_rebase_errors(Fixture *f, gconstpointer data)
{
    fail_all(f, fail_rebase, 4);
}

static void test_rebase_cancelled(Fixture *f, gconstpointer data)
{
    make_chain(f);
    VitBlockNode *node = open_image(f, f->upper, "qcow2");
    VitBlockNode *backing = open_image(f, f->other, "raw");
    VitBlockJob *job = new_rebase(f, node, backing);
    g_assert_cmpint(run_cancelled(job, 1), <, G_USEC_PER_SEC);
    vit_block_node_unref(backing);
    vit_block_node_unref(node);
    g_assert_true(check_chain(f, f->lower));
    g_assert_true(rebase(f, open_image(f, f->upper, "qcow2"), NULL));
    g_assert_true(check_chain(f, f->other));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/block/offline/" name, Fixture, NULL, set_up, fn, tear_down)
    ADD("create", test_create);
    ADD("create-over", test_create_over);
    ADD("create-errors", test_create_errors);
    ADD("create-cancelled", test_create_cancelled);
    ADD("create-full", test_create_full);
    ADD("compare", test_compare);
    ADD("compare-errors", test_compare_errors);
    ADD("compare-cancelled", test_compare_cancelled);
    ADD("rebase-errors", test_rebase_errors);
    ADD("rebase-cancelled", test_rebase_cancelled);
    return g_test_run();
}
