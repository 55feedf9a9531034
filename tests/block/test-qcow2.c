/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-qcow2.c - qcow2 images of both versions and all options */
#include "tests/block/format-test.h"

#include "block/qcow2/qcow2.h"

#include <glib/gstdio.h>
#include <string.h>

enum { MIB = 1 << 20, KIB = 1 << 10 };

static const FormatCase cases[] = {
    { .format = "qcow2", .size = 5 * MIB + 3584 },
    { .format = "qcow2", .options = "compat=0.10", .size = 4 * MIB },
    { .format = "qcow2", .options = "cluster_size=512", .size = 3 * MIB + 512 },
    { .format = "qcow2", .options = "cluster_size=2M", .size = 10 * MIB },
    { .format = "qcow2", .options = "extended_l2=on", .size = 5 * MIB },
    { .format = "qcow2", .options = "extended_l2=on,cluster_size=16k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=1,cluster_size=4k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=64,cluster_size=1k", .size = 4 * MIB },
    { .format = "qcow2", .options = "refcount_bits=8", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=metadata", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=falloc,cluster_size=4k", .size = 4 * MIB },
    { .format = "qcow2", .options = "preallocation=full,extended_l2=on", .size = 4 * MIB },
    { .format = "qcow2", .options = "compression_type=zstd", .size = 4 * MIB },
};

static void test_random(gconstpointer data)
{
    format_test_random(data);
}

static void test_foreign(gconstpointer data)
{
    format_test_foreign(data);
}

static void test_hostile(void)
{
    format_test_hostile(&cases[0], 0, 0x200, 60);
    format_test_hostile(&cases[4], 0x10000, 0x40000, 60);
}

/* ---- helpers --------------------------------------------------------------------------------- */

typedef struct {
    FormatFixture *f;
    char *path; /* owned */
    VitBlockNode *node; /* a reference */
} Disk;

static Disk disk_new(const char *options, uint64_t size)
{
    g_autoptr(GError) error = NULL;
    Disk d = { .f = format_fixture_new() };

    d.path = format_path(d.f, "disk.qcow2");
    (void)format_create(d.f, d.path, "qcow2", options, size, &error);
    g_assert_no_error(error);
    return d;
}

static void disk_open(Disk *d, unsigned flags)
{
    g_autoptr(GError) error = NULL;

    d->node = format_open(d->f, d->path, "qcow2", flags, &error);
    g_assert_no_error(error);
}

static void disk_close(Disk *d)
{
    g_clear_pointer(&d->node, vit_block_node_unref);
}

static void disk_free(Disk *d)
{
    disk_close(d);
    g_free(d->path);
    format_fixture_free(d->f);
}

static void assert_tool_likes(const Disk *d)
{
    if (format_has_qemu_img())
        g_assert_cmpint(format_qemu_img(NULL, "check", "-q", d->path, NULL), ==, 0);
}

/* A call on a fiber of the node's thread. */
typedef struct {
    VitBlockNode *node;
    enum { ZERO, DISCARD, COMPRESS, TRUNCATE, EMPTY, REBASE, STATUS, SAVE, LOAD } what;
    uint64_t offset, bytes;
    uint8_t *buf;
    const char *text;
    VitBlockExtent extent;
    GError *error;
    int result;
} Call;

static void call_fiber(void *opaque)
{
    Call *c = opaque;
    const VitBlockDriver *d = c->node->driver;

    switch (c->what) {
    case ZERO: c->result = vit_co_zero(c->node, c->offset, c->bytes, VIT_BLOCK_MAY_UNMAP); break;
    case DISCARD: c->result = vit_co_discard(c->node, c->offset, c->bytes); break;
    case COMPRESS:
        c->result = vit_co_write(c->node, c->offset, c->buf, c->bytes, VIT_BLOCK_COMPRESSED);
        break;
    case TRUNCATE:
        if (!vit_co_truncate(c->node, c->bytes, false, VIT_PREALLOC_OFF, &c->error)) c->result = -1;
        break;
    case EMPTY: c->result = d->co_make_empty(c->node); break;
    case REBASE:
        if (!d->co_change_backing(c->node, c->text, c->text ? "raw" : NULL, &c->error))
            c->result = -1;
        break;
    case STATUS: c->result = vit_co_status(c->node, c->offset, c->bytes, &c->extent); break;
    case SAVE: c->result = d->co_save_vmstate(c->node, c->offset, c->buf, c->bytes); break;
    case LOAD: c->result = d->co_load_vmstate(c->node, c->offset, c->buf, c->bytes); break;
    }
}

static Call call(Call c)
{
    vit_fiber_run_sync(vit_block_node_thread(c.node), call_fiber, &c);
    if (!c.error) g_assert_cmpint(c.result, ==, 0);
    return c;
}

static void fill(uint8_t *buf, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) buf[i] = (uint8_t)(i / 512 * 7 + i % 61 + seed);
}

/* ---- the fast way ---------------------------------------------------------------------------- */

typedef struct {
    VitBlockRequest req;
    struct iovec iov;
    uint8_t buf[4096];
    Disk *disk;
    int *left; /* on the thread */
} Shot;

static void shot_done(VitBlockRequest *req)
{
    Shot *s = req->opaque;

    g_assert_cmpint(req->result, ==, 0);
    --*s->left;
}

static void submit_shots(void *opaque)
{
    Shot *shots = opaque;

    vit_block_plug(shots[0].disk->node);
    for (unsigned i = 0; i < 64; i++) vit_block_submit(shots[0].disk->node, &shots[i].req);
    vit_block_unplug(shots[0].disk->node);
}

static void run_shots(Disk *d, VitBlockOp op)
{
    g_autofree Shot *shots = g_new0(Shot, 64);
    int left = 64;

    for (unsigned i = 0; i < 64; i++) {
        Shot *s = &shots[i];
        s->disk = d;
        s->left = &left;
        s->iov = (struct iovec){ s->buf, sizeof s->buf };
        memset(s->buf, (int)i, sizeof s->buf);
        s->req = (VitBlockRequest){ .op = op,
                                    .offset = i * 37 % 64 * 4096,
                                    .bytes = sizeof s->buf,
                                    .iov = &s->iov,
                                    .niov = 1,
                                    .done = shot_done,
                                    .opaque = s };
    }
    vit_io_thread_call_sync(vit_block_node_thread(d->node), submit_shots, shots);
    vit_block_drain(d->node);
    g_assert_cmpint(left, ==, 0);
    for (unsigned i = 0; i < 64 && op == VIT_BLOCK_READ; i++)
        g_assert_cmpint(shots[i].buf[17], ==, (int)i);
}

static void test_fast(void)
{
    Disk d = disk_new(NULL, 4 * MIB);
    g_autofree uint8_t *buf = g_malloc0(MIB);

    disk_open(&d, 0);
    VitQcow2 *q = (VitQcow2 *)d.node;
    memset(buf, 1, MIB);
    g_assert_cmpint(vit_block_write_sync(d.node, 0, buf, MIB), ==, 0);
    g_assert_cmpuint(q->stats.allocations, <=, 3); /* L2 table, and all the data at once */
    run_shots(&d, VIT_BLOCK_WRITE);
    g_assert_cmpuint(q->stats.fast_writes, ==, 64);
    run_shots(&d, VIT_BLOCK_READ);
    g_assert_cmpuint(q->stats.fast_reads, ==, 64);
    g_assert_cmpuint(q->in_epoch[0] + q->in_epoch[1], ==, 0);
    disk_close(&d);
    assert_tool_likes(&d);
    disk_free(&d);
}

/* A cluster that a request may still use is not handed out: reads and discards of one place, and
 * writes to others, all at once. */
static void test_discard_race(void)
{
    Disk d = disk_new("cluster_size=4k", 4 * MIB);

    disk_open(&d, VIT_OPEN_DISCARD);
    for (unsigned round = 0; round < 20; round++) {
        g_autofree uint8_t *buf = g_malloc(256 * KIB);
        fill(buf, 256 * KIB, round);
        g_assert_cmpint(vit_block_write_sync(d.node, 0, buf, 256 * KIB), ==, 0);
        run_shots(&d, VIT_BLOCK_WRITE);
        call((Call){ .node = d.node, .what = DISCARD, .bytes = 128 * KIB });
        g_assert_cmpint(vit_block_flush_sync(d.node), ==, 0);
        g_assert_cmpint(vit_block_write_sync(d.node, MIB, buf, 256 * KIB), ==, 0);
        g_autofree uint8_t *back = g_malloc(256 * KIB);
        g_assert_cmpint(vit_block_read_sync(d.node, 0, back, 256 * KIB), ==, 0);
        g_assert_true(vit_block_is_zero(back, 128 * KIB));
        g_assert_cmpint(vit_block_read_sync(d.node, MIB, back, 256 * KIB), ==, 0);
        g_assert_cmpmem(back, 256 * KIB, buf, 256 * KIB);
    }
    disk_close(&d);
    assert_tool_likes(&d);
    disk_free(&d);
}

/* ---- compressed clusters --------------------------------------------------------------------- */

static void test_compressed(gconstpointer options)
{
    Disk d = disk_new(options, 3 * MIB + 1536);
    uint64_t size = 3 * MIB + 1536;
    g_autofree uint8_t *model = g_malloc0(size), *back = g_malloc0(size);
    GRand *rand = g_rand_new_with_seed(5);

    disk_open(&d, 0);
    uint64_t cluster = vit_block_info(d.node).cluster_size;
    fill(model, size, 3);
    for (uint64_t i = MIB; i < MIB + 300 * KIB; i++) model[i] = (uint8_t)g_rand_int(rand);
    for (uint64_t at = 0; at < size; at += 16 * cluster)
        call((Call){ .node = d.node,
                     .what = COMPRESS,
                     .offset = at,
                     .bytes = MIN(16 * cluster, size - at),
                     .buf = model + at });
    /* Over what is compressed: plain pieces, and compressed once more. */
    for (unsigned i = 0; i < 20; i++) {
        uint64_t at = (uint64_t)g_rand_int_range(rand, 0, (int)size - 9000);
        fill(model + at, 8000, i);
        g_assert_cmpint(vit_block_write_sync(d.node, at, model + at, 8000), ==, 0);
    }
    call((Call){ .node = d.node, .what = COMPRESS, .bytes = 4 * cluster, .buf = model });
    for (unsigned again = 0; again < 2; again++) {
        g_assert_cmpint(vit_block_read_sync(d.node, 0, back, size), ==, 0);
        g_assert_cmpmem(back, size, model, size);
        disk_close(&d);
        assert_tool_likes(&d);
        disk_open(&d, 0);
    }
    Call s = call((Call){ .node = d.node, .what = STATUS, .bytes = cluster });
    g_assert_cmpuint(s.extent.flags & VIT_EXTENT_COMPRESSED, !=, 0);
    disk_close(&d);
    if (format_has_qemu_img()) {
        g_autofree char *raw = format_path(d.f, "model.raw");
        g_assert_true(g_file_set_contents(raw, (char *)model, (gssize)size, NULL));
        g_assert_cmpint(format_qemu_img(NULL, "compare", d.path, raw, NULL), ==, 0);
        g_unlink(d.path);
        g_autofree char *o = g_strdup((const char *)options);
        g_assert_cmpint(
            format_qemu_img(NULL, "convert", "-c", "-O", "qcow2", "-o", o, raw, d.path, NULL), ==,
            0);
        disk_open(&d, VIT_OPEN_READ_ONLY);
        g_assert_cmpint(vit_block_read_sync(d.node, 0, back, size), ==, 0);
        g_assert_cmpmem(back, size, model, size);
    }
    g_rand_free(rand);
    disk_free(&d);
}

/* ---- backing files --------------------------------------------------------------------------- */

static void test_backing(gconstpointer options)
{
    enum { BASE = 2 * MIB + 70 * KIB, SIZE = 3 * MIB };
    Disk d = { .f = format_fixture_new() };
    g_autofree uint8_t *model = g_malloc0(SIZE), *back = g_malloc(SIZE);
    g_autofree char *base = format_path(d.f, "base.raw");
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", options, NULL, &error);
    GRand *rand = g_rand_new_with_seed(8);

    d.path = format_path(d.f, "disk.qcow2");
    fill(model, BASE, 9);
    g_assert_true(g_file_set_contents(base, (char *)model, BASE, NULL));
    g_assert_true(
        vit_block_graph_create(d.f->graph, d.path, "qcow2", SIZE, base, "raw", args, &error));
    disk_open(&d, 0);
    VitQcow2 *q = (VitQcow2 *)d.node;
    g_assert_cmpstr(d.node->backing_file, ==, base);
    for (unsigned i = 0; i < 150; i++) {
        uint64_t at = (uint64_t)g_rand_int_range(rand, 0, SIZE - 100 * KIB);
        uint64_t bytes = (uint64_t)g_rand_int_range(rand, 1, i % 3 ? 5000 : 90000);
        if (i % 4) {
            fill(model + at, bytes, i);
            g_assert_cmpint(vit_block_write_sync(d.node, at, model + at, bytes), ==, 0);
        } else {
            memset(model + at, 0, bytes);
            call((Call){ .node = d.node, .what = ZERO, .offset = at, .bytes = bytes });
        }
        g_assert_cmpint(vit_block_read_sync(d.node, 0, back, SIZE), ==, 0);
        g_assert_cmpmem(back, SIZE, model, SIZE);
    }
    if (q->subclusters > 1) g_assert_cmpuint(q->stats.copied_bytes, <, SIZE);
    /* Growing shows nothing of a larger backing file, cutting and growing nothing of before. */
    call((Call){ .node = d.node, .what = TRUNCATE, .bytes = MIB + 512 });
    call((Call){ .node = d.node, .what = TRUNCATE, .bytes = SIZE });
    memset(model + MIB + 512, 0, SIZE - MIB - 512);
    g_assert_cmpint(vit_block_read_sync(d.node, 0, back, SIZE), ==, 0);
    g_assert_cmpmem(back, SIZE, model, SIZE);
    disk_close(&d);
    assert_tool_likes(&d);
    if (format_has_qemu_img()) {
        g_autofree char *raw = format_path(d.f, "model.raw");
        g_assert_true(g_file_set_contents(raw, (char *)model, SIZE, NULL));
        g_assert_cmpint(format_qemu_img(NULL, "compare", d.path, raw, NULL), ==, 0);
    }
    /* Emptied it is the backing file again; without one it is nothing. */
    disk_open(&d, 0);
    call((Call){ .node = d.node, .what = EMPTY });
    g_assert_cmpint(vit_block_read_sync(d.node, 0, back, SIZE), ==, 0);
    fill(model, BASE, 9);
    memset(model + BASE, 0, SIZE - BASE);
    g_assert_cmpmem(back, SIZE, model, SIZE);
    call((Call){ .node = d.node, .what = REBASE, .text = "other.raw" });
    disk_close(&d);
    disk_open(&d, VIT_OPEN_NO_BACKING);
    g_assert_cmpstr(d.node->backing_file, ==, "other.raw");
    g_assert_cmpstr(d.node->backing_format, ==, "raw");
    call((Call){ .node = d.node, .what = REBASE });
    disk_close(&d);
    disk_open(&d, 0);
    g_assert_cmpint(vit_block_read_sync(d.node, 0, back, SIZE), ==, 0);
    g_assert_true(vit_block_is_zero(back, SIZE));
    disk_close(&d);
    assert_tool_likes(&d);
    g_rand_free(rand);
    disk_free(&d);
}

/* ---- machine state, data files --------------------------------------------------------------- */

static void test_vm_state(void)
{
    Disk d = disk_new("cluster_size=4k", 4 * MIB);
    g_autofree uint8_t *buf = g_malloc(2 * MIB), *back = g_malloc(2 * MIB);

    disk_open(&d, 0);
    fill(buf, 2 * MIB, 1);
    call((Call){ .node = d.node, .what = SAVE, .offset = 1000, .bytes = 2 * MIB, .buf = buf });
    call((Call){ .node = d.node, .what = LOAD, .offset = 1000, .bytes = 2 * MIB, .buf = back });
    g_assert_cmpmem(back, 2 * MIB, buf, 2 * MIB);
    g_autofree uint8_t *disk = format_read_all(d.node);
    g_assert_true(vit_block_is_zero(disk, 4 * MIB));
    disk_close(&d);
    assert_tool_likes(&d);
    disk_free(&d);
}

static void test_data_file(gconstpointer raw)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *data = format_path(f, "data.bin");
    g_autofree char *options = g_strdup_printf("data_file=%s%s", data,
                                               raw ? ",data_file_raw=on" : "");
    g_autofree uint8_t *model = g_malloc0(2 * MIB), *back = g_malloc(2 * MIB);
    g_autoptr(GError) error = NULL;
    Disk d = { .f = f, .path = format_path(f, "disk.qcow2") };

    (void)format_create(f, d.path, "qcow2", options, 2 * MIB, &error);
    g_assert_no_error(error);
    disk_open(&d, VIT_OPEN_DISCARD);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t at = i * 7919 * 13 % (2 * MIB - 70000), bytes = i % 3 ? 3000 : 66000;
        if (i % 5 == 4) {
            memset(model + at, 0, bytes);
            call((Call){ .node = d.node, .what = ZERO, .offset = at, .bytes = bytes });
        } else {
            fill(model + at, bytes, i);
            g_assert_cmpint(vit_block_write_sync(d.node, at, model + at, bytes), ==, 0);
        }
    }
    g_assert_cmpint(vit_block_read_sync(d.node, 0, back, 2 * MIB), ==, 0);
    g_assert_cmpmem(back, 2 * MIB, model, 2 * MIB);
    disk_close(&d);
    assert_tool_likes(&d);
    if (raw) {
        g_autofree char *bytes = NULL;
        gsize size = 0;
        g_assert_true(g_file_get_contents(data, &bytes, &size, NULL));
        g_assert_cmpmem(bytes, size, model, 2 * MIB);
    }
    if (format_has_qemu_img()) {
        g_autofree char *plain = format_path(f, "model.raw");
        g_assert_true(g_file_set_contents(plain, (char *)model, 2 * MIB, NULL));
        g_assert_cmpint(format_qemu_img(NULL, "compare", d.path, plain, NULL), ==, 0);
    }
    disk_free(&d);
}

/* ---- what is refused ------------------------------------------------------------------------- */

typedef struct {
    unsigned at, size; /* bytes */
    uint64_t value;
    const char *says;
} Damage;

static void test_refused(void)
{
    static const Damage damages[] = {
        { 0, 4, 0x12345678, "not in qcow2 format" },
        { 4, 4, 4, "version 4" },
        { 8, 8, 0x10001, "backing_file_offset" },
        { 8, 8, 0x40, "backing_file_offset" },
        { 20, 4, 8, "cluster size" },
        { 20, 4, 22, "cluster size" },
        { 24, 8, UINT64_C(1) << 63, "size" },
        { 24, 8, UINT64_C(1) << 50, "l1_size" },
        { 32, 4, 3, "crypt_method" },
        { 36, 4, 0, "l1_size" },
        { 36, 4, 0xffffffff, "l1_size" },
        { 40, 8, 0x30001, "l1_table_offset" },
        { 40, 8, 0, "l1_table_offset" },
        { 40, 8, UINT64_C(1) << 40, "past the end" },
        { 48, 8, 0x1ff, "refcount_table_offset" },
        { 48, 8, UINT64_MAX << 16, "past the end" },
        { 56, 4, 0, "refcount_table_clusters" },
        { 56, 4, 0x1000, "refcount_table_clusters" },
        { 60, 4, 70000, "nb_snapshots" },
        { 60, 4, 3, "napshot" },
        { 72, 8, 0x100, "feature" },
        { 72, 8, 0x8, "compression_type" },
        { 96, 4, 7, "refcount_order" },
        { 100, 4, 96, "header_length" },
        { 100, 4, 113, "header_length" },
        { 100, 4, 0x20000, "header_length" },
        { 104, 1, 1, "compression_type" },
        { 116, 4, 0x7fffffff, "extension" },
        { 0x10000, 8, 0x20200, "refcount block 0" },
        { 0x10008, 8, 0x20000, "refcount block 1" },
        { 0x30000, 8, UINT64_C(0x8000000000020000), "L2 table 0" },
        { 0x30000, 8, UINT64_C(0x8000000000080200), "L2 table 0" },
        { 0x30000, 8, UINT64_C(0x8000000100000000), "past the end" },
    };
    Disk d = disk_new(NULL, 8 * MIB);

    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        const Damage *w = &damages[i];
        g_autoptr(GError) error = NULL;
        uint8_t bytes[8];
        g_assert_true(format_create(d.f, d.path, "qcow2", NULL, 8 * MIB, &error));
        vit_put64(bytes, w->value << (64 - w->size * 8));
        format_poke(d.path, w->at, bytes, w->size);
        g_autofree char *before = NULL, *after = NULL;
        gsize before_size, after_size;
        g_assert_true(g_file_get_contents(d.path, &before, &before_size, NULL));
        VitBlockNode *node = format_open(d.f, d.path, "qcow2", 0, &error);
        if (node) g_error("damage %u (%s) was not noticed", i, w->says);
        if (!strstr(error->message, w->says)) g_error("%u: %s", i, error->message);
        g_assert_true(g_file_get_contents(d.path, &after, &after_size, NULL));
        g_assert_cmpmem(before, before_size, after, after_size);
    }
    disk_free(&d);
}

/* Entries that lead to tables: the write is refused and the image marked, once. */
static void test_corrupt_bit(void)
{
    Disk d = disk_new(NULL, 8 * MIB);
    g_autofree uint8_t *buf = g_malloc0(65536);
    g_autoptr(GError) error = NULL;
    uint8_t entry[8];

    disk_open(&d, 0);
    g_assert_cmpint(vit_block_write_sync(d.node, 0, buf, 65536), ==, 0);
    uint64_t table = ((VitQcow2 *)d.node)->l1[0] & VIT_QCOW2_OFFSET_MASK;
    disk_close(&d);
    vit_put64(entry, VIT_QCOW2_COPIED | 0x10000); /* the refcount table */
    format_poke(d.path, table, entry, 8);
    disk_open(&d, 0);
    g_assert_cmpint(vit_block_write_sync(d.node, 0, buf, 512), ==, -EIO);
    g_assert_cmpint(vit_block_write_sync(d.node, MIB, buf, 512), ==, -EIO);
    disk_close(&d);
    g_assert_null(format_open(d.f, d.path, "qcow2", 0, &error));
    g_assert_nonnull(strstr(error->message, "corrupt"));
    disk_open(&d, VIT_OPEN_READ_ONLY);
    JsonObject *facts = d.node->driver->co_specific(d.node, NULL);
    JsonObject *data = json_object_get_object_member(facts, "data");
    g_assert_true(json_object_get_boolean_member(data, "corrupt"));
    json_object_unref(facts);
    disk_free(&d);
}

static void test_bad_options(void)
{
    static const char *const bad[] = {
        "cluster_size=300",
        "cluster_size=4M",
        "refcount_bits=3",
        "compat=0.10,refcount_bits=8",
        "compat=0.10,lazy_refcounts=on",
        "compat=0.10,extended_l2=on",
        "extended_l2=on,cluster_size=8k",
        "compression_type=lz4",
        "compat=0.10,compression_type=zstd",
        "data_file_raw=on",
        "preallocation=some",
        "compat=2.0",
        "nonsense=1",
    };
    Disk d = disk_new(NULL, MIB);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(format_create(d.f, d.path, "qcow2", bad[i], MIB, &error));
        g_assert_nonnull(error);
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(
        format_create(d.f, d.path, "qcow2", "cluster_size=512", UINT64_C(1) << 40, &error));
    g_assert_nonnull(strstr(error->message, "too large"));
    disk_free(&d);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void test_measure(void)
{
    static const char *const options[] = { "cluster_size=64k", "cluster_size=512",
                                           "cluster_size=2M",  "refcount_bits=64",
                                           "extended_l2=on",   "preallocation=full" };
    static const uint64_t sizes[] = { 0, 512, UINT64_C(1) << 30, UINT64_C(1000001024) };

    if (!format_has_qemu_img()) {
        g_test_skip("qemu-img is not installed");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(options) * G_N_ELEMENTS(sizes); i++) {
        const char *o = options[i / G_N_ELEMENTS(sizes)];
        uint64_t size = sizes[i % G_N_ELEMENTS(sizes)];
        g_autoptr(GError) error = NULL;
        g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", o, NULL, &error);
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, size), *said = NULL;
        VitBlockMeasure m = { 0 };
        g_assert_true(vit_block_driver_find("qcow2")->co_measure(args, NULL, size, &m, &error));
        g_assert_cmpint(
            format_qemu_img(&said, "measure", "-O", "qcow2", "-o", o, "--size", text, NULL), ==, 0);
        g_autofree char *ours = g_strdup_printf("required size: %" G_GUINT64_FORMAT
                                                "\nfully allocated size: %" G_GUINT64_FORMAT "\n",
                                                m.required, m.fully_allocated);
        g_assert_cmpstr(ours, ==, said);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *name = cases[i].options ?: "plain";
        g_autofree char *random = g_strdup_printf("/qcow2/random/%s", name);
        g_autofree char *foreign = g_strdup_printf("/qcow2/foreign/%s", name);
        g_test_add_data_func(random, &cases[i], test_random);
        if (i < 5) g_test_add_data_func(foreign, &cases[i], test_foreign);
    }
    g_test_add_func("/qcow2/hostile", test_hostile);
    g_test_add_func("/qcow2/fast", test_fast);
    g_test_add_func("/qcow2/discard-race", test_discard_race);
    g_test_add_data_func("/qcow2/compressed/zlib", "compression_type=zlib", test_compressed);
    g_test_add_data_func("/qcow2/compressed/zstd", "compression_type=zstd", test_compressed);
    g_test_add_data_func("/qcow2/compressed/small", "cluster_size=4k", test_compressed);
    g_test_add_data_func("/qcow2/compressed/extended", "extended_l2=on", test_compressed);
    g_test_add_data_func("/qcow2/compressed/bits", "refcount_bits=2", test_compressed);
    g_test_add_data_func("/qcow2/backing/plain", "", test_backing);
    g_test_add_data_func("/qcow2/backing/old", "compat=0.10", test_backing);
    g_test_add_data_func("/qcow2/backing/extended", "extended_l2=on", test_backing);
    g_test_add_data_func("/qcow2/backing/small", "cluster_size=1k", test_backing);
    g_test_add_func("/qcow2/vm-state", test_vm_state);
    g_test_add_data_func("/qcow2/data-file/plain", NULL, test_data_file);
    g_test_add_data_func("/qcow2/data-file/raw", "raw", test_data_file);
    g_test_add_func("/qcow2/refused", test_refused);
    g_test_add_func("/qcow2/corrupt-bit", test_corrupt_bit);
    g_test_add_func("/qcow2/bad-options", test_bad_options);
    g_test_add_func("/qcow2/measure", test_measure);
    return g_test_run();
}
