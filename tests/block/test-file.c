/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-file.c - file and raw nodes, with both engines, with and without O_DIRECT */
#include "block/node.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    VitIoThread *thread;
    char        *folder, *path;
} Fixture;

enum { DISK = 4 << 20 };

static uint8_t pattern(uint64_t at, unsigned seed)
{
    return (uint8_t) (at * 7 + at / 509 + seed);
}

static void fill(uint8_t *buf, uint64_t at, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        buf[i] = pattern(at + i, seed);
}

static void set_up(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *content = g_malloc(DISK);

    f->thread = vit_io_thread_new("block");
    f->folder = g_dir_make_tmp("vitrine-block-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "disk.raw", NULL);
    fill(content, 0, DISK, 1);
    g_assert_true(g_file_set_contents(f->path, (char *) content, DISK, NULL));
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_io_thread_free(f->thread);
    g_unlink(f->path);
    g_rmdir(f->folder);
    g_free(f->path);
    g_free(f->folder);
}

typedef struct { bool threads, direct; } Mode;
static const Mode modes[] = { { false, false }, { true, false }, { false, true }, { true, true } };

static VitBlockNode *open_mode(Fixture *f, const Mode *mode)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions options = { .lock = true, .discard = true };

    options.threads = mode->threads;
    options.direct = mode->direct;
    VitBlockNode *node = vit_block_open(NULL, f->path, &options, f->thread, &error);
    if (!node && mode->direct && g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_INVAL)) {
        g_test_skip("no direct I/O on this file system");
        return NULL;
    }
    g_assert_no_error(error);
    return node;
}

/* ---- asynchronous requests from the test ----------------------------------------------------- */

typedef struct {
    VitBlockRequest req;
    VitBlockNode   *node;
    struct iovec    iov[64];
    bool            finished, submitting;
    GMutex          lock;
    GCond           cond;
} Call;

static void call_done(VitBlockRequest *req)
{
    Call *c = req->opaque;
    g_assert_true(vit_io_thread_is_current(vit_block_node_thread(c->node)));
    g_assert_false(c->submitting);
    g_mutex_lock(&c->lock);
    c->finished = true;
    g_cond_signal(&c->cond);
    g_mutex_unlock(&c->lock);
}

static void call_submit(void *opaque)
{
    Call *c = opaque;
    c->submitting = true;
    vit_block_submit(c->node, &c->req);
    c->submitting = false;
}

static Call *start(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes)
{
    Call *c = g_new0(Call, 1);
    c->node = node;
    c->req = (VitBlockRequest) { .op = op, .offset = offset, .bytes = bytes, .iov = c->iov,
                                 .done = call_done, .opaque = c };
    g_mutex_init(&c->lock);
    g_cond_init(&c->cond);
    return c;
}

static int end(Call *c)
{
    g_mutex_lock(&c->lock);
    while (!c->finished)
        g_cond_wait(&c->cond, &c->lock);
    g_mutex_unlock(&c->lock);
    int result = c->req.result;
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->cond);
    g_free(c);
    return result;
}

static int run(Call *c)
{
    vit_io_thread_call(vit_block_node_thread(c->node), call_submit, c);
    return end(c);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Random reads, writes and zeroings against a copy in memory, many in flight on disjoint ranges. */
static void test_random(Fixture *f, gconstpointer data)
{
    enum { ROUNDS = 40, LANES = 16, LANE = DISK / LANES };
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    g_autofree uint8_t *model = g_malloc(DISK), *buffers = g_malloc(DISK + 4096);
    GRand *rand = g_rand_new_with_seed(7);

    fill(model, 0, DISK, 1);
    for (int round = 0; round < ROUNDS; round++) {
        Call *calls[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            /* whole sectors, and every third time bytes at will */
            unsigned unit = g_rand_int_range(rand, 0, 3) ? 512 : 1;
            uint64_t from = (uint64_t) g_rand_int_range(rand, 0, LANE / 2) / unit * unit;
            uint64_t size = (uint64_t) g_rand_int_range(rand, 1, LANE / 2) / unit * unit;
            if (size == 0)
                size = unit;
            uint64_t at = (uint64_t) lane * LANE + from;
            unsigned what = (unsigned) g_rand_int_range(rand, 0, 8);
            VitBlockOp op = what < 3   ? VIT_BLOCK_READ
                            : what < 7 ? VIT_BLOCK_WRITE
                                       : VIT_BLOCK_WRITE_ZEROES;
            Call *c = calls[lane] = start(node, op, at, size);
            uint8_t *memory = buffers + (uint64_t) lane * LANE + g_rand_int_range(rand, 0, 2);
            uint64_t left = size, done = 0;
            while (left > 0) {
                uint64_t n = (uint64_t) g_rand_int_range(rand, 1, 40000);
                n = c->req.niov == 63 ? left : MIN(left, n);
                c->iov[c->req.niov++] = (struct iovec) { memory + done, n };
                done += n;
                left -= n;
            }
            if (what & 1)
                c->req.flags = op == VIT_BLOCK_WRITE_ZEROES ? VIT_BLOCK_MAY_UNMAP : VIT_BLOCK_FUA;
            if (op == VIT_BLOCK_WRITE) {
                fill(memory, at, size, (unsigned) round);
                memcpy(model + at, memory, size);
            } else if (op == VIT_BLOCK_WRITE_ZEROES) {
                memset(model + at, 0, size);
            }
            vit_io_thread_call(f->thread, call_submit, c);
        }
        for (int lane = 0; lane < LANES; lane++) {
            VitBlockRequest req = calls[lane]->req;
            const uint8_t *memory = calls[lane]->iov[0].iov_base;
            int result = end(calls[lane]);
            if (result < 0)
                g_test_message("op %d flags %u niov %d at %lu size %lu", req.op, req.flags,
                               req.niov, (unsigned long)req.offset, (unsigned long)req.bytes);
            g_assert_cmpint(result, ==, 0);
            if (req.op == VIT_BLOCK_READ)
                g_assert_cmpmem(memory, req.bytes, model + req.offset, req.bytes);
        }
    }
    g_rand_free(rand);
    g_assert_cmpint(vit_block_flush_sync(node), ==, 0);
    vit_block_node_close(node);
    g_autofree char *content = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(f->path, &content, &length, NULL));
    g_assert_cmpmem(content, length, model, DISK);
}

/* Writes that are large enough to go one after the other, between reads that need not wait. */
static void test_large(Fixture *f, gconstpointer data)
{
    enum { LANES = 8, SIZE = DISK / 2 / LANES };
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    g_autofree uint8_t *written = g_malloc(DISK / 2), *seen = g_malloc0(DISK / 2);
    g_autofree uint8_t *expected = g_malloc(DISK);
    Call *calls[2 * LANES];

    fill(expected, 0, DISK, 1);
    fill(written, 0, DISK / 2, 9);
    memcpy(expected, written, DISK / 2);
    for (unsigned i = 0; i < 2 * LANES; i++) {
        uint64_t at = (uint64_t) (i / 2) * SIZE;
        bool read = i & 1;
        Call *c = calls[i] = start(node, read ? VIT_BLOCK_READ : VIT_BLOCK_WRITE,
                                   read ? DISK / 2 + at : at, SIZE);
        c->iov[0] = (struct iovec) { (read ? seen : written) + at, SIZE };
        c->req.niov = 1;
        c->req.flags = i == 4 ? VIT_BLOCK_FUA : 0;
        vit_io_thread_call(f->thread, call_submit, c);
    }
    for (unsigned i = 0; i < 2 * LANES; i++)
        g_assert_cmpint(end(calls[i]), ==, 0);
    vit_block_node_close(node);
    g_assert_cmpmem(seen, DISK / 2, expected + DISK / 2, DISK / 2);
    g_autofree char *content = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(f->path, &content, &length, NULL));
    g_assert_cmpmem(content, length, expected, DISK);
}

static void test_bounds(Fixture *f, gconstpointer data)
{
    VitBlockNode *node = open_mode(f, data);
    uint8_t buf[1024];
    if (!node)
        return;
    g_assert_cmpuint(vit_block_info(node).size, ==, DISK);
    g_assert_cmpint(vit_block_read_sync(node, DISK - 512, buf, 1024), ==, -EIO);
    g_assert_cmpint(vit_block_read_sync(node, UINT64_MAX - 100, buf, 512), ==, -EINVAL);
    g_assert_cmpint(vit_block_read_sync(node, DISK, buf, 0), ==, 0);
    Call *c = start(node, VIT_BLOCK_READ, 0, 1024);
    c->iov[0] = (struct iovec) { buf, 512 };
    c->req.niov = 1;
    g_assert_cmpint(run(c), ==, -EINVAL);
    vit_block_node_close(node);
}

/* A disk whose last sector is not whole: zeroes there, until written. */
static void test_ragged_end(Fixture *f, gconstpointer data)
{
    uint8_t buf[1024];
    struct stat st;
    g_assert_cmpint(truncate(f->path, 10000), ==, 0);
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    g_assert_cmpuint(vit_block_info(node).size, ==, 10240);
    memset(buf, 0xee, sizeof buf);
    g_assert_cmpint(vit_block_read_sync(node, 9216, buf, 1024), ==, 0);
    for (unsigned i = 0; i < 1024; i++)
        g_assert_cmpuint(buf[i], ==, i < 784 ? pattern(9216 + i, 1) : 0);
    fill(buf, 9728, 512, 9);
    g_assert_cmpint(vit_block_write_sync(node, 9728, buf, 512), ==, 0);
    memset(buf, 0, 512);
    g_assert_cmpint(vit_block_read_sync(node, 9728, buf, 512), ==, 0);
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmpuint(buf[i], ==, pattern(9728 + i, 9));
    vit_block_node_close(node);
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 10240);
}

static void test_cut_while_open(Fixture *f, gconstpointer data)
{
    uint8_t buf[8192];
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    g_assert_cmpint(truncate(f->path, 4096), ==, 0);
    g_assert_cmpint(vit_block_read_sync(node, 0, buf, 4096), ==, 0);
    g_assert_cmpint(vit_block_read_sync(node, 0, buf, 8192), ==, -EIO);
    vit_block_node_close(node);
}

static void test_host_full(Fixture *f, gconstpointer data)
{
    struct rlimit old, limit;
    g_autofree uint8_t *buf = g_malloc0(65536);

    g_assert_cmpint(truncate(f->path, 8 << 20), ==, 0);
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 5 << 20;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    g_assert_cmpint(vit_block_write_sync(node, 6 << 20, buf, 65536), ==, -EFBIG);
    /* one that begins below the limit is continued, and fails where it ends */
    g_assert_cmpint(vit_block_write_sync(node, (5 << 20) - 8192, buf, 65536), <, 0);
    g_assert_cmpint(vit_block_write_sync(node, 0, buf, 65536), ==, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    vit_block_node_close(node);
}

static void test_read_only(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions options = { .read_only = true, .lock = true };
    uint8_t buf[512];
    VitBlockNode *a = vit_block_open("raw", f->path, &options, f->thread, &error);
    g_assert_no_error(error);
    /* readers share */
    VitBlockNode *b = vit_block_open("raw", f->path, &options, f->thread, &error);
    g_assert_no_error(error);
    g_assert_cmpint(vit_block_write_sync(a, 0, buf, 512), ==, -EROFS);
    g_assert_cmpint(vit_block_read_sync(b, 0, buf, 512), ==, 0);
    g_assert_cmpint(vit_block_flush_sync(a), ==, 0);
    vit_block_node_close(a);
    vit_block_node_close(b);
}

static void test_lock(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions writer = { .lock = true }, reader = { .lock = true, .read_only = true };
    VitBlockNode *a = vit_block_open("raw", f->path, &writer, f->thread, &error);
    g_assert_no_error(error);
    g_assert_null(vit_block_open("raw", f->path, &writer, f->thread, &error));
    g_assert_nonnull(strstr(error->message, f->path));
    g_assert_nonnull(strstr(error->message, "Is another process using the image"));
    g_clear_error(&error);
    g_assert_null(vit_block_open("raw", f->path, &reader, f->thread, &error));
    g_clear_error(&error);
    vit_block_node_close(a);
    a = vit_block_open("raw", f->path, &reader, f->thread, &error);
    g_assert_no_error(error);
    g_assert_null(vit_block_open("raw", f->path, &writer, f->thread, &error));
    g_clear_error(&error);
    vit_block_node_close(a);
    a = vit_block_open("raw", f->path, &writer, f->thread, &error);
    g_assert_no_error(error);
    vit_block_node_close(a);
}

/* The bytes that QEMU locks for a disk that it writes keep us out. */
static void test_lock_of_others(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions writer = { .lock = true };
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1 };
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    g_assert_null(vit_block_open("raw", f->path, &writer, f->thread, &error));
    close(fd);
    g_clear_error(&error);
    VitBlockNode *a = vit_block_open("raw", f->path, &writer, f->thread, &error);
    g_assert_no_error(error);
    vit_block_node_close(a);
}

static void test_open_errors(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions options = { .lock = true };

    g_assert_null(vit_block_open(NULL, "/no/such/disk", &options, f->thread, &error));
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    g_assert_nonnull(strstr(error->message, "/no/such/disk"));
    g_clear_error(&error);
    g_assert_null(vit_block_open(NULL, f->folder, &options, f->thread, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_null(vit_block_open("rwa", f->path, &options, f->thread, &error));
    g_assert_nonnull(strstr(error->message, "Unknown driver 'rwa'"));
    g_clear_error(&error);
    g_autofree char *fifo = g_build_filename(f->folder, "fifo", NULL);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_null(vit_block_open(NULL, fifo, &options, f->thread, &error));
    g_assert_nonnull(error);
    g_assert_cmpint(unlink(fifo), ==, 0);
}

static void test_probe(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions options = { .lock = true };
    VitBlockNode *node;

    g_assert_true(g_file_set_contents(f->path, "x", 1, NULL));
    node = vit_block_open(NULL, f->path, &options, f->thread, &error);
    g_assert_no_error(error);
    vit_block_node_close(node);
    g_assert_true(g_file_set_contents(f->path, "", 0, NULL));
    node = vit_block_open(NULL, f->path, &options, f->thread, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(vit_block_info(node).size, ==, 0);
    vit_block_node_close(node);
}

static void test_discard(Fixture *f, gconstpointer data)
{
    struct stat before, after;
    VitBlockNode *node = open_mode(f, data);
    if (!node)
        return;
    g_assert_cmpint(vit_block_flush_sync(node), ==, 0);
    g_assert_cmpint(stat(f->path, &before), ==, 0);
    g_assert_cmpint(run(start(node, VIT_BLOCK_DISCARD, 1 << 20, 1 << 20)), ==, 0);
    if (vit_block_info(node).can_discard) {
        uint8_t buf[512];
        g_assert_cmpint(stat(f->path, &after), ==, 0);
        g_assert_cmpint(after.st_blocks, <, before.st_blocks);
        g_assert_cmpint(vit_block_read_sync(node, 1 << 20, buf, 512), ==, 0);
        for (unsigned i = 0; i < 512; i++)
            g_assert_cmpuint(buf[i], ==, 0);
    }
    vit_block_node_close(node);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*fn)(Fixture *, gconstpointer); } each[] = {
        { "random", test_random },         { "large", test_large },
        { "bounds", test_bounds },         { "ragged-end", test_ragged_end },
        { "cut-while-open", test_cut_while_open }, { "host-full", test_host_full },
        { "discard", test_discard },
    };
    for (size_t m = 0; m < G_N_ELEMENTS(modes); m++)
        for (size_t i = 0; i < G_N_ELEMENTS(each); i++) {
            g_autofree char *path = g_strdup_printf("/block/%s%s/%s",
                                                    modes[m].threads ? "threads" : "ring",
                                                    modes[m].direct ? "-direct" : "", each[i].name);
            g_test_add(path, Fixture, &modes[m], set_up, each[i].fn, tear_down);
        }
    g_test_add("/block/read-only", Fixture, NULL, set_up, test_read_only, tear_down);
    g_test_add("/block/lock", Fixture, NULL, set_up, test_lock, tear_down);
    g_test_add("/block/lock-of-others", Fixture, NULL, set_up, test_lock_of_others, tear_down);
    g_test_add("/block/open-errors", Fixture, NULL, set_up, test_open_errors, tear_down);
    g_test_add("/block/probe", Fixture, NULL, set_up, test_probe, tear_down);
    return g_test_run();
}
