/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-live.c - mirror, backup, stream and commit when a request fails, whichever it
 * is, and when they are cancelled just then: what is read stays as it was, and they succeed the
 * next time */
#include "block/driver.h"
#include "block/jobs/live.h"
#include "tests/block/run-job.h"

#include <glib/gstdio.h>
#include <string.h>

enum { SIZE = 2 << 20, MAX_REQUESTS = 200 };
typedef enum { MIRROR, BACKUP, STREAM, COMMIT, KINDS } Kind;

typedef struct {
    char *folder; /* owned, like what follows */
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    VitBlockNode *lower, *upper; /* references: source and target, or base and active image */
    uint8_t *content; /* of the disk that is worked on */
    Kind kind;
    bool cancel; /* when a request fails, the job is cancelled */
    VitBlockJob *job; /* a reference */
    GError *error;
} Fixture;

static char *in_folder(const Fixture *f, const char *name)
{
    return g_build_filename(f->folder, name, NULL);
}

/* NULL: the request that fails is one of opening. */
static VitBlockNode *open_over_debug(Fixture *f, const char *driver, const char *name,
                                     const char *backing, const char *type, unsigned skip)
{
    g_autofree char *path = in_folder(f, name);
    g_autofree char *text = g_strdup_printf(
        "{\"driver\": \"%s\", \"node-name\": \"%s\", %s%s%s"
        " \"file\": {\"driver\": \"blkdebug\", \"image\": {\"driver\": \"file\","
        " \"filename\": \"%s\"}, \"inject-error\": [{\"event\": \"none\", \"iotype\": \"%s\","
        " \"errno\": %d, \"skip\": %u, \"once\": true}]}}",
        driver, name, backing ? "\"backing\": \"" : "", backing ?: "", backing ? "\"," : "", path,
        type ?: "read", type ? 5 : 0, skip);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) json = json_from_string(text, &error);
    g_assert_no_error(error);
    g_autoptr(VitBlockArgs) args = vit_block_args_new(name, json_node_get_object(json), &error);
    g_assert_no_error(error);
    VitBlockNode *node = vit_block_graph_open(f->graph, args, &error);
    if (!type) g_assert_no_error(error);
    return node;
}

static void make_files(Fixture *f)
{
    g_autofree char *lower = in_folder(f, "lower"), *upper = in_folder(f, "upper");
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < SIZE; i++) f->content[i] = (uint8_t)(i * 2654435761u >> 23 | 1);
    g_file_set_contents(lower, (char *)f->content, SIZE, &error);
    g_assert_no_error(error);
    if (f->kind == STREAM || f->kind == COMMIT)
        g_assert_true(
            vit_block_graph_create(f->graph, upper, "qcow2", SIZE, lower, "raw", NULL, &error));
    else
        g_assert_true(
            vit_block_graph_create(f->graph, upper, "raw", SIZE, NULL, NULL, NULL, &error));
    g_assert_no_error(error);
}

/* type NULL: nothing fails. */
static bool open_all(Fixture *f, bool fail_upper, const char *type, unsigned skip)
{
    bool chain = f->kind == STREAM || f->kind == COMMIT;

    f->lower = open_over_debug(f, "raw", "lower", NULL, fail_upper ? NULL : type, skip);
    f->upper = open_over_debug(f, chain ? "qcow2" : "raw", "upper", chain ? "lower" : NULL,
                               fail_upper ? type : NULL, skip);
    return f->upper != NULL;
}

static void close_all(Fixture *f)
{
    vit_block_node_unref(g_steal_pointer(&f->upper));
    vit_block_node_unref(g_steal_pointer(&f->lower));
}

static void on_failed(void *opaque, VitBlockJob *job, bool read, const char *action)
{
    Fixture *f = opaque;
    g_autoptr(GError) error = NULL;

    if (f->cancel && !vit_block_job_cancel(job, true, &error)) g_test_message("%s", error->message);
}

static void begin(void *opaque)
{
    Fixture *f = opaque;
    VitBlockLiveOptions options = {
        .graph = f->graph,
        .jobs = f->jobs,
        .id = "job",
        .flags = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS,
        .on_source_error = f->cancel ? VIT_ON_ERROR_IGNORE : VIT_ON_ERROR_REPORT,
        .on_target_error = f->cancel ? VIT_ON_ERROR_IGNORE : VIT_ON_ERROR_REPORT,
        .failed = on_failed,
        .opaque = f,
    };
    VitBlockMirror mirror = { .sync = VIT_SYNC_FULL };
    VitBlockBackup backup = { .sync = VIT_SYNC_FULL };

    switch (f->kind) {
    case MIRROR:
        f->job = vit_co_mirror_new(&options, f->lower, f->upper, &mirror, &f->error);
        break;
    case BACKUP:
        f->job = vit_co_backup_new(&options, f->lower, f->upper, &backup, &f->error);
        break;
    case STREAM: f->job = vit_co_stream_new(&options, f->upper, NULL, NULL, &f->error); break;
    case COMMIT:
        f->job = vit_co_commit_new(&options, f->upper, f->upper, f->lower, NULL, &f->error);
        break;
    default: g_assert_not_reached();
    }
    if (f->job) vit_block_job_start(f->job);
}

static bool run_to_end(Fixture *f)
{
    g_clear_error(&f->error);
    vit_fiber_run_sync(f->thread, begin, f);
    if (!f->job) return false;
    bool good = vit_block_job_wait(f->job, &f->error);
    vit_block_job_unref(g_steal_pointer(&f->job));
    g_assert_true(good || f->error);
    return good;
}

static void nothing(void *opaque) {}

static unsigned count_nodes(Fixture *f)
{
    vit_io_thread_call_sync(f->thread, nothing, NULL); /* what goes has gone */
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(f->graph);
    return nodes->len;
}

static void assert_content(Fixture *f, VitBlockNode *node)
{
    g_autofree uint8_t *buf = g_malloc(SIZE);

    g_assert_cmpint(vit_block_read_sync(node, 0, buf, SIZE), ==, 0);
    g_assert_cmpmem(buf, SIZE, f->content, SIZE);
}

/* Commits have something to move: both disks are written through `upper`. */
static void write_upper(Fixture *f)
{
    for (unsigned at = 65536; f->kind == COMMIT && at < SIZE; at += 5 * 65536) {
        memset(f->content + at, (int)(at >> 16 | 1), 65536);
        g_assert_cmpint(vit_block_write_sync(f->upper, at, f->content + at, 65536), ==, 0);
    }
    g_assert_cmpint(vit_block_flush_sync(f->upper), ==, 0);
}

/* One request of a type fails, on one side.  False: there is no such many requests. */
static bool fail_one(Fixture *f, bool upper, const char *type, unsigned skip)
{
    make_files(f);
    g_assert_true(open_all(f, false, NULL, 0));
    write_upper(f);
    close_all(f);
    if (!open_all(f, upper, type, skip)) {
        close_all(f);
        return true;
    }
    unsigned before = count_nodes(f);
    bool good = run_to_end(f);
    if (!good) g_assert_cmpuint(count_nodes(f), ==, before);
    /* An error that is still to come has nothing to do with it. */
    close_all(f);
    g_assert_true(open_all(f, false, NULL, 0));
    if (!good) {
        assert_content(f, f->kind == MIRROR || f->kind == BACKUP ? f->lower : f->upper);
        if (!run_to_end(f)) g_error("%s", f->error->message);
    }
    assert_content(f, f->kind == STREAM ? f->upper : f->lower);
    if (f->kind != COMMIT) assert_content(f, f->upper);
    close_all(f);
    g_assert_cmpuint(count_nodes(f), ==, 0);
    return !good;
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->kind = (Kind)GPOINTER_TO_INT(data);
    f->folder = g_dir_make_tmp("vitrine-live-XXXXXX", NULL);
    f->thread = vit_io_thread_new("block");
    f->graph = vit_block_graph_new(f->thread);
    f->jobs = vit_block_jobs_new(f->thread);
    f->content = g_malloc(SIZE);
    vit_block_jobs_listen(f->jobs, complete_when_ready, f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *lower = in_folder(f, "lower"), *upper = in_folder(f, "upper");

    vit_block_jobs_free(f->jobs);
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(lower);
    g_unlink(upper);
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f->content);
    g_clear_error(&f->error);
}

static void fail_all(Fixture *f)
{
    static const char *const types[] = { "read", "write", "flush", "write-zeroes" };
    unsigned failures = 0;

    for (unsigned side = 0; side < 2; side++) {
        for (size_t t = 0; t < G_N_ELEMENTS(types); t++) {
            unsigned skip = 0;
            while (skip < MAX_REQUESTS && fail_one(f, side, types[t], skip)) skip++;
            failures += skip;
        }
    }
    g_test_message("%u requests have failed", failures);
    g_assert_cmpuint(failures, >=, 4);
}

static void errors(Fixture *f, gconstpointer data)
{
    fail_all(f);
}

static void cancelled(Fixture *f, gconstpointer data)
{
    f->cancel = true;
    fail_all(f);
}

int main(int argc, char **argv)
{
    static const char *const names[KINDS] = { "mirror", "backup", "stream", "commit" };

    g_test_init(&argc, &argv, NULL);
    for (int kind = 0; kind < KINDS; kind++) {
        g_autofree char *one = g_strdup_printf("/live/%s/errors", names[kind]);
        g_autofree char *two = g_strdup_printf("/live/%s/cancelled", names[kind]);
        g_test_add(one, Fixture, GINT_TO_POINTER(kind), set_up, errors, tear_down);
        g_test_add(two, Fixture, GINT_TO_POINTER(kind), set_up, cancelled, tear_down);
    }
    return g_test_run();
}
