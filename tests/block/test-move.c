/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-move.c - disks that change their iothread while they are worked on */
#include "block/driver.h"
#include "block/jobs/live.h"

#include <glib/gstdio.h>
#include <string.h>

enum { DISK = 4 << 20, DEPTH = 8, MOST = 64 << 10, THREADS = 3, MOVES = 60 };

typedef struct Fixture Fixture;
typedef struct {
    VitBlockRequest req;
    Fixture *f;
    uint8_t *buf; /* owned */
    struct iovec iov;
    uint64_t begin, end; /* of the disk: only this request goes there */
} Slot;

struct Fixture {
    char *folder; /* owned, like what follows */
    VitIoThread *threads[THREADS];
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    VitBlockNode *root;
    VitBlockUse *use;
    uint8_t *content; /* what the disk must hold; each part is its slot's */
    Slot slots[DEPTH];
    GRand *random; /* of the thread where the disk is, one after the other */
    int running, stop; /* atomic */
    unsigned wrong, told;
    uint64_t done; /* requests */
};

/* ---- a user like a device -------------------------------------------------------------------- */

static void moved(void *opaque, VitIoThread *thread)
{
    Fixture *f = opaque;

    g_assert_true(vit_io_thread_is_current(thread));
    g_assert_true(vit_block_node_thread(f->root) == thread);
    f->told++;
}

static const VitBlockUser user = { .moved = moved };

static void next(Slot *s);

static void done(VitBlockRequest *req)
{
    Slot *s = req->opaque;
    Fixture *f = s->f;

    g_assert_true(vit_io_thread_is_current(vit_block_node_thread(f->root)));
    if (req->result < 0) f->wrong++;
    else if (req->op == VIT_BLOCK_READ)
        f->wrong += memcmp(s->buf, f->content + req->offset, req->bytes) != 0;
    f->done++;
    if (g_atomic_int_get(&f->stop)) g_atomic_int_dec_and_test(&f->running);
    else next(s);
}

static void next(Slot *s)
{
    Fixture *f = s->f;
    uint32_t kind = g_rand_int_range(f->random, 0, 10);
    uint64_t sectors = (s->end - s->begin) / 512;
    uint64_t at = g_rand_int_range(f->random, 0, (gint32)sectors);
    uint64_t n = g_rand_int_range(f->random, 1, (gint32)MIN(sectors - at, MOST / 512) + 1);
    VitBlockRequest *r = &s->req;

    *r = (VitBlockRequest){
        .offset = s->begin + at * 512, .bytes = n * 512, .done = done, .opaque = s
    };
    s->iov = (struct iovec){ s->buf, r->bytes };
    r->iov = &s->iov;
    r->niov = 1;
    r->op = kind < 4   ? VIT_BLOCK_READ
            : kind < 8 ? VIT_BLOCK_WRITE
            : kind < 9 ? VIT_BLOCK_WRITE_ZEROES
                       : VIT_BLOCK_FLUSH;
    if (r->op == VIT_BLOCK_WRITE) {
        memset(s->buf, (int)g_rand_int_range(f->random, 0, 256), r->bytes);
        memcpy(f->content + r->offset, s->buf, r->bytes);
    } else if (r->op == VIT_BLOCK_WRITE_ZEROES) {
        memset(f->content + r->offset, 0, r->bytes);
    }
    vit_block_submit(f->root, r);
}

static void start(void *opaque)
{
    Fixture *f = opaque;

    for (unsigned i = 0; i < DEPTH; i++) next(&f->slots[i]);
}

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
    f->root = vit_block_root_new(node, "root");
    f->use = vit_block_use(f->root, vit_block_device_claim(false, false), "dev", &user, f, &error);
    g_assert_no_error(error);
    f->content = g_malloc0(DISK);
    f->random = g_rand_new_with_seed(4711);
    for (unsigned i = 0; i < DEPTH; i++)
        f->slots[i] = (Slot){ .f = f,
                              .buf = g_malloc(MOST),
                              .begin = (uint64_t)DISK / DEPTH * i,
                              .end = (uint64_t)DISK / DEPTH * (i + 1) };
}

static void teardown(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->folder, "disk", NULL);

    vit_block_jobs_free(f->jobs);
    vit_block_use_end(f->use);
    vit_block_node_close(f->root);
    vit_block_graph_free(f->graph);
    for (unsigned i = 0; i < THREADS; i++) vit_io_thread_free(f->threads[i]);
    for (unsigned i = 0; i < DEPTH; i++) g_free(f->slots[i].buf);
    g_unlink(path);
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f->content);
    g_rand_free(f->random);
}

static void run(Fixture *f)
{
    g_atomic_int_set(&f->stop, 0);
    g_atomic_int_set(&f->running, DEPTH);
    vit_block_run(f->root, start, f);
}

static void halt(Fixture *f)
{
    g_atomic_int_set(&f->stop, 1);
    while (g_atomic_int_get(&f->running) > 0) g_usleep(1000);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_format(gconstpointer data)
{
    const char *const *what = data;
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *back = g_malloc(DISK);
    Fixture f;

    setup(&f, what[0], what[1]);
    run(&f);
    for (unsigned i = 1; i <= MOVES; i++) {
        VitIoThread *to = f.threads[i % THREADS];
        g_assert_true(vit_block_move(f.root, to, &error));
        g_assert_no_error(error);
        g_assert_true(vit_block_node_thread(f.root) == to);
        g_usleep(g_random_int_range(0, 2000));
    }
    halt(&f);
    g_assert_cmpuint(f.told, ==, MOVES);
    g_assert_cmpuint(f.wrong, ==, 0);
    g_assert_cmpuint(f.done, >, MOVES);
    g_assert_cmpint(vit_block_read_sync(f.root, 0, back, DISK), ==, 0);
    g_assert_true(memcmp(back, f.content, DISK) == 0);
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

    m->job = vit_co_mirror_new(&options, vit_block_root_node(m->f->root), m->target, &mirror,
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
    g_assert_true(vit_block_move(f.root, f.threads[1], &error));
    g_assert_true(vit_block_move(target, f.threads[1], &error));
    run(&f);
    for (unsigned i = 0; i < 3; i++) {
        Mirror m = { .f = &f, .target = target };
        vit_block_run(f.root, begin_mirror, &m);
        g_assert_no_error(m.error);
        g_assert_false(vit_block_move(f.root, f.threads[2], &error));
        g_assert_nonnull(strstr(error->message, "block job: mirror"));
        g_clear_error(&error);
        g_assert_true(vit_block_job_cancel(m.job, true, &error));
        g_assert_false(vit_block_job_wait(m.job, NULL));
        vit_block_job_unref(m.job);
        g_assert_true(vit_block_move(f.root, f.threads[2], &error));
        g_assert_no_error(error);
        g_assert_true(vit_block_move(f.root, f.threads[1], &error));
    }
    halt(&f);
    g_assert_cmpuint(f.wrong, ==, 0);
    vit_block_node_unref(target);
    g_unlink(path);
    teardown(&f);
}

static gpointer swap(gpointer data)
{
    Fixture *f = data;

    for (unsigned i = 1; i <= MOVES; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(vit_block_move(f->root, f->threads[i % 2], &error));
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
    run(&f);
    g_autofree char *path = g_build_filename(g.folder, "disk", NULL);
    vit_block_use_end(g.use);
    vit_block_node_close(g.root);
    VitBlockNode *node = vit_block_graph_open_image(f.graph, path, "raw", NULL, 0, &error);
    g_assert_no_error(error);
    g.root = vit_block_root_new(node, "other");
    g.use = vit_block_use(g.root, vit_block_device_claim(false, false), "dev", &user, &g, &error);
    g_assert_true(vit_block_move(g.root, f.threads[1], &error));
    VitIoThread *mine[2] = { g.threads[0], g.threads[1] };
    g.threads[0] = f.threads[1];
    g.threads[1] = f.threads[0];
    run(&g);
    GThread *a = g_thread_new("a", swap, &f), *b = g_thread_new("b", swap, &g);
    g_thread_join(a);
    g_thread_join(b);
    halt(&f);
    halt(&g);
    g_assert_cmpuint(f.wrong + g.wrong, ==, 0);
    memcpy(g.threads, mine, sizeof mine);
    vit_block_use_end(g_steal_pointer(&g.use));
    vit_block_node_close(g_steal_pointer(&g.root));
    teardown(&f);
    teardown(&g);
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
    return g_test_run();
}
