/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/image-model.h - an image in a folder of its own, a model of its content in memory,
 * and the distribution's qemu-img as the judge of both */
#pragma once
#include "block/driver.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    VitIoThread *thread;
    VitBlockGraph *graph;
    char *folder, *path;
    uint8_t *model; /* NULL: none */
    uint64_t size;
    GRand *rand;
} Image;

static inline void image_set_up(Image *i, gconstpointer data)
{
    (void)data;
    i->thread = vit_io_thread_new("block");
    i->graph = vit_block_graph_new(i->thread);
    i->folder = g_dir_make_tmp("vitrine-image-XXXXXX", NULL);
    i->path = g_build_filename(i->folder, "disk.img", NULL);
    i->rand = g_rand_new_with_seed(11);
}

static inline void image_tear_down(Image *i, gconstpointer data)
{
    (void)data;
    g_autoptr(GDir) dir = g_dir_open(i->folder, 0, NULL);
    const char *name;

    vit_block_graph_free(i->graph);
    vit_io_thread_free(i->thread);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(i->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(i->folder);
    g_free(i->folder);
    g_free(i->path);
    g_free(i->model);
    g_rand_free(i->rand);
}

static inline void image_create(Image *i, const char *format, uint64_t size, const char *backing,
                                const char *backing_format, const char *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse(i->path, options, NULL, &error);

    g_assert_no_error(error);
    g_assert_true(vit_block_graph_create(i->graph, i->path, format, size, backing, backing_format,
                                         args, &error) ||
                  error);
    g_assert_no_error(error);
    i->size = size;
}

static inline VitBlockNode *image_open(Image *i, unsigned flags)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = vit_block_graph_open_image(i->graph, i->path, NULL, NULL, flags, &error);

    g_assert_no_error(error);
    return node;
}

/* ---- calls of driver functions --------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    VitBlockOp op;
    uint64_t offset, bytes;
    uint32_t flags;
    int result;
} ImageCall;

static inline void image_call_fiber(void *opaque)
{
    ImageCall *c = opaque;

    if (c->op == VIT_BLOCK_WRITE_ZEROES)
        c->result = vit_co_zero(c->node, c->offset, c->bytes, c->flags);
    else c->result = vit_co_discard(c->node, c->offset, c->bytes);
}

static inline int image_zero(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    ImageCall c = { node, VIT_BLOCK_WRITE_ZEROES, offset, bytes, flags, 0 };

    vit_fiber_run_sync(vit_block_node_thread(node), image_call_fiber, &c);
    return c.result;
}

typedef struct {
    VitBlockNode *node;
    VitBlockCheck *check;
    unsigned fix;
    uint64_t size;
    GError **error;
    int result;
} ImageWork;

static inline void image_check_fiber(void *opaque)
{
    ImageWork *w = opaque;

    vit_co_drain_begin(w->node);
    w->result = w->node->driver->co_check(w->node, w->check, w->fix);
    vit_co_drain_end(w->node);
}

static inline VitBlockCheck image_check(Image *i, unsigned fix)
{
    VitBlockCheck check = { 0 };
    VitBlockNode *node = image_open(i, fix ? VIT_OPEN_CHECK : VIT_OPEN_CHECK | VIT_OPEN_READ_ONLY);
    ImageWork w = { .node = node, .check = &check, .fix = fix };

    vit_fiber_run_sync(i->thread, image_check_fiber, &w);
    g_assert_cmpint(w.result, ==, 0);
    vit_block_node_unref(node);
    return check;
}

static inline void image_truncate_fiber(void *opaque)
{
    ImageWork *w = opaque;

    w->result = vit_co_truncate(w->node, w->size, false, VIT_PREALLOC_OFF, w->error) ? 0 : -1;
}

static inline bool image_truncate(VitBlockNode *node, uint64_t size, GError **error)
{
    ImageWork w = { .node = node, .size = size, .error = error };

    vit_fiber_run_sync(vit_block_node_thread(node), image_truncate_fiber, &w);
    return w.result == 0;
}

/* ---- the model ------------------------------------------------------------------------------- */

static inline void image_compare(Image *i, VitBlockNode *node)
{
    enum { PIECE = 1 << 20 };
    g_autofree uint8_t *buf = g_malloc(PIECE);

    g_assert_cmpuint(node->size, ==, i->size);
    for (uint64_t at = 0; at < i->size; at += PIECE) {
        uint64_t n = MIN(PIECE, i->size - at);
        g_assert_cmpint(vit_block_read_sync(node, at, buf, n), ==, 0);
        if (memcmp(buf, i->model + at, n) != 0) {
            for (uint64_t k = 0; k < n; k++) {
                if (buf[k] != i->model[at + k])
                    g_error("byte %lu is %02x, not %02x", (unsigned long)(at + k), buf[k],
                            i->model[at + k]);
            }
        }
    }
}

/* Random writes and zeroings, of sectors and of single bytes, in the image and the model. */
static inline void image_scribble(Image *i, VitBlockNode *node, unsigned rounds, uint32_t largest)
{
    g_autofree uint8_t *buf = g_malloc(largest);

    for (unsigned round = 0; round < rounds; round++) {
        uint32_t n = (uint32_t)g_rand_int_range(i->rand, 1, (gint32)largest);
        uint64_t at = (uint64_t)(g_rand_double(i->rand) * (double)(i->size - n));
        if (round % 3) {
            at &= ~UINT64_C(511);
            n = MAX(n & ~511u, 512);
        }
        if (round % 5 == 4) {
            g_assert_cmpint(image_zero(node, at, n, round & 1 ? VIT_BLOCK_MAY_UNMAP : 0), ==, 0);
            memset(i->model + at, 0, n);
            continue;
        }
        for (uint32_t k = 0; k < n; k++) buf[k] = (uint8_t)(round + k * 31 + k / 700);
        g_assert_cmpint(vit_block_write_sync(node, at, buf, n), ==, 0);
        memcpy(i->model + at, buf, n);
    }
}

/* ---- the distribution's tools ---------------------------------------------------------------- */

static inline bool image_finds_tools(void)
{
    g_autofree char *tool = g_find_program_in_path("qemu-img");

    return tool != NULL;
}

/* The same; where there are none, the test ends as skipped. */
static inline bool image_has_tools(void)
{
    bool found = image_finds_tools();

    if (!found) g_test_skip("qemu-img is not installed");
    return found;
}

/* Runs a shell command in the image's folder; returns its exit status.  output: owned by the
 * caller. */
static inline int image_run(Image *i, char **output, const char *command)
{
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    g_autofree char *out = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;

    g_assert_true(g_spawn_sync(i->folder, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out,
                               &err, &status, &error) ||
                  error);
    g_assert_no_error(error);
    if (status && !output) g_test_message("%s: %s%s", command, out, err);
    if (output) *output = g_strconcat(out, err, NULL);
    return status < 0 || (status & 0x7f) ? -1 : status >> 8;
}

/* The model as a raw file beside the image, for qemu-img compare. */
static inline void image_store_model(Image *i)
{
    g_autofree char *path = g_build_filename(i->folder, "model.raw", NULL);

    g_assert_true(g_file_set_contents(path, (char *)i->model, (gssize)i->size, NULL));
}
