/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/format-test.c - see format-test.h */
#include "tests/block/format-test.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LANES = 8, LANE_OPS = 60, MOST = 300000 };

/* ---- files ----------------------------------------------------------------------------------- */

FormatFixture *format_fixture_new(void)
{
    FormatFixture *f = g_new0(FormatFixture, 1);

    f->thread = vit_io_thread_new("block");
    f->graph = vit_block_graph_new(f->thread);
    f->folder = g_dir_make_tmp("vitrine-format-XXXXXX", NULL);
    g_assert_nonnull(f->folder);
    return f;
}

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
}

void format_fixture_free(FormatFixture *f)
{
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    remove_folder(f->folder);
    g_free(f->folder);
    g_free(f);
}

char *format_path(const FormatFixture *f, const char *name)
{
    return g_build_filename(f->folder, name, NULL);
}

void format_poke(const char *path, uint64_t offset, const void *data, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, data, size, (off_t)offset), ==, (gssize)size);
    close(fd);
}

/* Sparse copies of all files of a folder. */
static void copy_folder(const char *from, const char *to)
{
    g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
    g_autofree uint8_t *buf = g_malloc(1 << 20);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *source = g_build_filename(from, name, NULL);
        g_autofree char *target = g_build_filename(to, name, NULL);
        int in = open(source, O_RDONLY | O_CLOEXEC);
        int out = open(target, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        struct stat st;
        off_t at = 0;
        g_assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
        g_assert_true(ftruncate(out, st.st_size) == 0);
        while (at < st.st_size) {
            at = lseek(in, at, SEEK_DATA);
            if (at < 0) break;
            ssize_t n = pread(in, buf, 1 << 20, at);
            if (n <= 0) break;
            if (!vit_block_is_zero(buf, (size_t)n))
                g_assert_cmpint(pwrite(out, buf, (size_t)n, at), ==, n);
            at += n;
        }
        close(in);
        close(out);
    }
}

/* ---- qemu-img -------------------------------------------------------------------------------- */

bool format_has_qemu_img(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-img");

    return path != NULL;
}

int format_qemu_img(char **output, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *out = NULL, *err = NULL;
    const char *arg;
    va_list args;
    int status = 0;

    if (!format_has_qemu_img()) return -1;
    g_ptr_array_add(argv, (void *)"qemu-img");
    va_start(args, output);
    while ((arg = va_arg(args, const char *))) g_ptr_array_add(argv, (void *)arg);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               &out, &err, &status, NULL));
    if (status != 0) g_test_message("qemu-img %s: %s%s", (char *)argv->pdata[1], out, err);
    if (output) *output = g_strconcat(out, err, NULL);
    return status;
}

/* ---- on the thread --------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    VitBlockCheck *check;
    unsigned fix;
    uint8_t *buf;
    int result;
} Call;

static void check_fiber(void *opaque)
{
    Call *c = opaque;

    c->result = c->node->driver->co_check(c->node, c->check, c->fix);
}

static void on_message(void *opaque, const char *text)
{
    g_test_message("check: %s", text);
}

VitBlockCheck format_check(VitBlockNode *node, unsigned fix, int *result)
{
    VitBlockCheck check = { .message = on_message };
    Call c = { .node = node, .check = &check, .fix = fix };

    vit_fiber_run_sync(node->thread, check_fiber, &c);
    if (result) *result = c.result;
    return check;
}

static void read_fiber(void *opaque)
{
    Call *c = opaque;
    uint64_t at = 0, size = c->node->size, piece = 3 << 20;

    for (; at < size && c->result == 0; at += piece)
        c->result = vit_co_read(c->node, at, c->buf + at, MIN(piece, size - at));
}

static uint8_t *try_read_all(VitBlockNode *node, int *result)
{
    Call c = { .node = node, .buf = g_malloc(node->size + 1) };

    vit_fiber_run_sync(node->thread, read_fiber, &c);
    *result = c.result;
    return c.buf;
}

uint8_t *format_read_all(VitBlockNode *node)
{
    int result;
    uint8_t *buf = try_read_all(node, &result);

    g_assert_cmpint(result, ==, 0);
    return buf;
}

bool format_create(FormatFixture *f, const char *path, const char *format, const char *options,
                   uint64_t size, GError **error)
{
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", options ?: "", NULL, error);

    return args && vit_block_graph_create(f->graph, path, format, size, NULL, NULL, args, error);
}

VitBlockNode *format_open(FormatFixture *f, const char *path, const char *format, unsigned flags,
                          GError **error)
{
    return vit_block_graph_open_image(f->graph, path, format, NULL, flags, error);
}

/* ---- random requests ------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    uint8_t *model; /* borrowed */
    VitFiberCond over;
    unsigned running;
    bool first_half; /* also there; else only the second half of the disk is written */
} Run;

typedef struct {
    Run *run;
    uint64_t from, to;
    uint32_t seed;
} Lane;

static void fill(GRand *rand, uint8_t *buf, size_t size)
{
    uint32_t v = g_rand_int(rand);

    for (size_t i = 0; i < size; i++) {
        if (i % 97 == 0) v = v * 1664525 + 1013904223;
        buf[i] = (uint8_t)(v >> (i % 4 * 8));
    }
}

static void lane_fiber(void *opaque)
{
    Lane *l = opaque;
    Run *r = l->run;
    GRand *rand = g_rand_new_with_seed(l->seed);
    g_autofree uint8_t *buf = g_malloc(MOST);
    uint64_t room = l->to - l->from;

    for (int op = 0; op < LANE_OPS && room > 512; op++) {
        uint64_t unit = g_rand_int_range(rand, 0, 4) ? 512 : 1;
        uint64_t size = 1 + g_rand_int_range(rand, 0, g_rand_int_range(rand, 0, 4) ? 20000 : MOST);
        size = MIN((size + unit - 1) / unit * unit, MIN(room, MOST) / 512 * 512);
        uint64_t at = l->from + (uint64_t)(g_rand_double(rand) * (double)(room - size));
        at = MAX(at / unit * unit, l->from);
        int what = g_rand_int_range(rand, 0, 100), result = 0;
        if (what < 45) {
            fill(rand, buf, size);
            result = vit_co_write(r->node, at, buf, size, what < 2 ? VIT_BLOCK_FUA : 0);
            memcpy(r->model + at, buf, size);
        } else if (what < 55) {
            result = vit_co_zero(r->node, at, size, what & 1 ? VIT_BLOCK_MAY_UNMAP : 0);
            memset(r->model + at, 0, size);
        } else if (what < 97) {
            result = vit_co_read(r->node, at, buf, size);
            g_assert_cmpmem(buf, size, r->model + at, size);
        } else {
            result = vit_co_flush(r->node);
        }
        g_assert_cmpint(result, ==, 0);
    }
    g_rand_free(rand);
    if (--r->running == 0) vit_fiber_cond_wake_all(&r->over);
}

static void run_fiber(void *opaque)
{
    Run *r = opaque;
    Lane lanes[LANES];
    uint64_t start = r->first_half ? 0 : r->node->size / 2 / 512 * 512;
    uint64_t length = (r->node->size - start) / LANES / 512 * 512;

    r->over.thread = r->node->thread;
    r->running = LANES;
    for (unsigned i = 0; i < LANES; i++) {
        lanes[i] = (Lane){ r, start + i * length, start + (i + 1) * length, i * 7 + r->first_half };
        vit_fiber_start(r->node->thread, lane_fiber, &lanes[i]);
    }
    while (r->running > 0) vit_fiber_cond_wait(&r->over, NULL);
}

/* What the driver says of each stretch holds. */
static void status_fiber(void *opaque)
{
    Run *r = opaque;
    uint64_t size = r->node->size;
    VitBlockExtent e;

    for (uint64_t at = 0; at < size; at += e.bytes) {
        g_assert_cmpint(vit_co_status(r->node, at, size - at, &e), ==, 0);
        g_assert_cmpuint(e.bytes, >, 0);
        if (e.flags & VIT_EXTENT_ZERO) g_assert_true(vit_block_is_zero(r->model + at, e.bytes));
        if ((e.flags & VIT_EXTENT_OFFSET) && !(e.flags & VIT_EXTENT_ZERO) && e.file) {
            g_autofree uint8_t *there = g_malloc(e.bytes);
            g_assert_cmpint(vit_co_read(e.file, e.host_offset, there, e.bytes), ==, 0);
            g_assert_cmpmem(there, e.bytes, r->model + at, e.bytes);
        }
    }
}

static void append_fiber(void *opaque)
{
    Run *r = opaque;
    uint64_t grain = 65536;
    GRand *rand = g_rand_new_with_seed(3);

    for (uint64_t at = 0; at < r->node->size; at += grain) {
        uint64_t n = MIN(grain, r->node->size - at);
        if (g_rand_int_range(rand, 0, 3) == 0) continue;
        fill(rand, r->model + at, n);
        g_assert_cmpint(vit_co_write(r->node, at, r->model + at, n, VIT_BLOCK_COMPRESSED), ==, 0);
    }
    g_rand_free(rand);
    g_assert_cmpint(vit_co_flush(r->node), ==, 0);
}

static void assert_equal(VitBlockNode *node, const uint8_t *model, uint64_t bytes)
{
    g_autofree uint8_t *all = format_read_all(node);

    for (uint64_t at = 0; at < bytes; at += 4096) {
        uint64_t n = MIN(4096, bytes - at);
        if (memcmp(all + at, model + at, n) != 0) {
            while (all[at] == model[at]) at++;
            g_error("“%s” differs at %" G_GUINT64_FORMAT, node->filename, at);
        }
    }
}

/* crashed: space may be lost, which a check finds and gives back, but nothing else. */
static void assert_clean(VitBlockNode *node, bool crashed)
{
    int result;

    if (!node->driver->co_check) return;
    VitBlockCheck check = format_check(node, 0, &result);
    g_assert_cmpint(result, ==, 0);
    g_assert_cmpuint(check.corruptions + check.check_errors, ==, 0);
    if (!crashed) g_assert_cmpuint(check.leaks, ==, 0);
}

static VitBlockNode *must_open(FormatFixture *f, const char *path, const char *format,
                               unsigned flags)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = format_open(f, path, format, flags, &error);

    g_assert_no_error(error);
    return node;
}

static void compare_with_qemu_img(FormatFixture *f, const FormatCase *c, const char *path,
                                  const uint8_t *model, uint64_t size)
{
    g_autofree char *raw = format_path(f, "model.raw");

    if (!format_has_qemu_img()) return;
    g_assert_true(g_file_set_contents(raw, (const char *)model, (gssize)size, NULL));
    g_assert_cmpint(format_qemu_img(NULL, "compare", "-f", c->format, "-F", "raw", path, raw, NULL),
                    ==, 0);
    if (!c->no_check)
        g_assert_cmpint(format_qemu_img(NULL, "check", "-f", c->format, path, NULL), ==, 0);
    g_unlink(raw);
}

static char *image_path(const FormatFixture *f, const FormatCase *c)
{
    g_autofree char *name = g_strdup_printf("disk.%s", c->extension ?: c->format);

    return format_path(f, name);
}

/* A copy of the files as they are now must open, equal the model up to `bytes`, and take writes. */
static void crash_here(FormatFixture *f, const FormatCase *c, const char *path,
                       const uint8_t *model, uint64_t bytes)
{
    FormatFixture *after = format_fixture_new();
    g_autofree char *copy = image_path(after, c);

    copy_folder(f->folder, after->folder);
    VitBlockNode *node = must_open(after, copy, c->format, 0);
    assert_equal(node, model, bytes);
    g_autofree uint8_t *now = format_read_all(node);
    Run run = { .node = node, .model = now, .first_half = true };
    vit_fiber_run_sync(after->thread, run_fiber, &run);
    vit_block_node_unref(node);
    node = must_open(after, copy, c->format, VIT_OPEN_READ_ONLY);
    assert_equal(node, now, node->size);
    assert_clean(node, true);
    vit_block_node_unref(node);
    format_fixture_free(after);
}

void format_test_random(const FormatCase *c)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = image_path(f, c);
    g_autoptr(GError) error = NULL;

    bool made = format_create(f, path, c->format, c->options, c->size, &error);
    g_assert_no_error(error);
    g_assert_true(made);
    VitBlockNode *node = must_open(f, path, c->format, 0);
    g_assert_cmpuint(node->size, >=, c->size);
    uint64_t size = node->size;
    g_autofree uint8_t *model = g_malloc0(size);
    Run run = { .node = node, .model = model, .first_half = true };
    assert_equal(node, model, size);
    if (c->append_only) {
        vit_fiber_run_sync(f->thread, append_fiber, &run);
    } else {
        vit_fiber_run_sync(f->thread, run_fiber, &run);
        g_assert_cmpint(vit_block_flush_sync(node), ==, 0);
        crash_here(f, c, path, model, size);
        run.first_half = false;
        vit_fiber_run_sync(f->thread, run_fiber, &run);
        crash_here(f, c, path, model, size / 2 / 512 * 512);
        vit_fiber_run_sync(f->thread, status_fiber, &run);
    }
    assert_equal(node, model, size);
    vit_block_node_unref(node);

    node = must_open(f, path, NULL, VIT_OPEN_READ_ONLY);
    g_assert_cmpstr(vit_block_node_format(node), ==, c->format);
    g_assert_cmpuint(node->size, ==, size);
    assert_equal(node, model, size);
    assert_clean(node, false);
    run.node = node;
    if (!c->append_only) vit_fiber_run_sync(f->thread, status_fiber, &run);
    vit_block_node_unref(node);
    compare_with_qemu_img(f, c, path, model, size);
    format_fixture_free(f);
}

void format_test_foreign(const FormatCase *c)
{
    if (!format_has_qemu_img()) {
        g_test_skip("no qemu-img");
        return;
    }
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = image_path(f, c), *raw = format_path(f, "source.raw");
    g_autofree uint8_t *content = g_malloc0(c->size);
    GRand *rand = g_rand_new_with_seed(11);

    for (int i = 0; i < 12; i++) {
        uint64_t n = MIN(200000, c->size / 4),
                 at = (uint64_t)(g_rand_double(rand) * (double)(c->size - n));
        fill(rand, content + at, n);
    }
    g_rand_free(rand);
    g_assert_true(g_file_set_contents(raw, (char *)content, (gssize)c->size, NULL));
    g_assert_cmpint(format_qemu_img(NULL, "convert", "-f", "raw", "-O", c->format,
                                    c->options ? "-o" : "-W", c->options ?: "-W", raw, path, NULL),
                    ==, 0);
    VitBlockNode *node = must_open(f, path, NULL, 0);
    uint64_t size = node->size;
    g_assert_cmpuint(size, >=, c->size);
    g_autofree uint8_t *model = g_malloc0(size);
    memcpy(model, content, c->size);
    assert_equal(node, model, size);
    assert_clean(node, false);
    Run run = { .node = node, .model = model, .first_half = true };
    if (!c->append_only) vit_fiber_run_sync(f->thread, run_fiber, &run);
    assert_equal(node, model, size);
    vit_block_node_unref(node);
    g_unlink(raw);
    compare_with_qemu_img(f, c, path, model, size);
    format_fixture_free(f);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void probe_fiber(void *opaque)
{
    Run *r = opaque;
    uint8_t buf[1024] = { 1 };
    VitBlockExtent e;

    for (int i = 0; i < 16 && r->node->size >= sizeof buf; i++) {
        uint64_t at = (r->node->size - sizeof buf) / 16 * (uint64_t)i / 512 * 512;
        (void)vit_co_read(r->node, at, buf, sizeof buf);
        (void)vit_co_status(r->node, at, UINT64_MAX - at, &e);
        if (!r->node->how.read_only) (void)vit_co_write(r->node, at, buf, sizeof buf, 0);
    }
    if (!r->node->how.read_only) (void)vit_co_flush(r->node);
}

static void try_damaged(FormatFixture *f, const FormatCase *c, const char *path)
{
    static const unsigned flags[] = { VIT_OPEN_READ_ONLY, VIT_OPEN_CHECK | VIT_OPEN_READ_ONLY, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_autoptr(GError) error = NULL;
        VitBlockNode *node = format_open(f, path, c->format, flags[i], &error);
        g_assert_true((node == NULL) == (error != NULL));
        if (!node) continue;
        Run run = { .node = node };
        if (flags[i] & VIT_OPEN_CHECK) {
            if (node->driver->co_check) format_check(node, 0, NULL);
        } else {
            vit_fiber_run_sync(f->thread, probe_fiber, &run);
        }
        vit_block_node_unref(node);
    }
}

void format_test_hostile(const FormatCase *c, uint64_t from, uint64_t bytes, unsigned rounds)
{
    static const uint8_t extremes[] = { 0, 1, 0x7f, 0x80, 0xff };
    FormatFixture *f = format_fixture_new();
    g_autofree char *good = image_path(f, c), *bad = format_path(f, "bad");
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    GRand *rand = g_rand_new_with_seed(5);
    gsize size = 0;

    bool made = format_create(f, good, c->format, c->options, c->size, &error);
    g_assert_no_error(error);
    g_assert_true(made);
    VitBlockNode *node = must_open(f, good, c->format, 0);
    Run run = { .node = node };
    if (!c->append_only) vit_fiber_run_sync(f->thread, probe_fiber, &run);
    vit_block_node_unref(node);
    g_assert_true(g_file_get_contents(good, &content, &size, NULL));
    size = MIN(size, from + bytes + (1 << 20));
    for (unsigned round = 0; round < rounds; round++) {
        g_autofree char *copy = g_memdup2(content, size);
        int changes = g_rand_int_range(rand, 1, 6);
        gsize left = g_rand_int_range(rand, 0, 8) ? size
                                                  : (gsize)(g_rand_double(rand) * (double)size);
        for (int i = 0; i < changes; i++) {
            uint64_t at = from + (uint64_t)(g_rand_double(rand) * (double)bytes);
            int run_length = g_rand_int_range(rand, 1, 9);
            uint8_t value = g_rand_boolean(rand) ? (uint8_t)g_rand_int(rand)
                                                 : extremes[g_rand_int_range(rand, 0, 5)];
            for (int k = 0; k < run_length && at + (uint64_t)k < size; k++)
                copy[at + (uint64_t)k] = (char)value;
        }
        FILE *out = fopen(bad, "wb");
        g_assert_cmpuint(fwrite(copy, 1, left, out), ==, left);
        fclose(out);
        try_damaged(f, c, bad);
    }
    g_rand_free(rand);
    format_fixture_free(f);
}

void format_test_refused(const char *format, const FormatDamage *damages, size_t n,
                         void (*mend)(const char *path))
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk");

    for (size_t i = 0; i < n; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(format_create(f, path, format, NULL, 8 << 20, &error));
        format_poke(path, damages[i].offset, &damages[i].value, sizeof damages[i].value);
        if (mend) mend(path);
        g_assert_null(format_open(f, path, format, 0, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, damages[i].says)) g_error("%s", error->message);
    }
    format_fixture_free(f);
}
