/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-qed.c - QED images: content, repair, hostile headers, both ways with qemu-img */
#include "tests/block/image-model.h"

#include <errno.h>
#include <unistd.h>

enum { MIB = 1 << 20, SIZE = 24 * MIB };

static void new_model(Image *i)
{
    i->model = g_malloc0(i->size);
}

static void test_random(Image *i, gconstpointer data)
{
    image_create(i, "qed", SIZE, NULL, NULL, data);
    new_model(i);
    for (int round = 0; round < 3; round++) {
        VitBlockNode *node = image_open(i, 0);
        g_assert_cmpstr(vit_block_node_format(node), ==, "qed");
        image_scribble(i, node, 60, 300000);
        image_compare(i, node);
        vit_block_node_unref(node);
    }
    VitBlockCheck check = image_check(i, 0);
    g_assert_cmpuint(check.corruptions, ==, 0);
    g_assert_cmpuint(check.leaks, ==, 0);
    if (!image_has_tools()) return;
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img check -q disk.img"), ==, 0);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qed -F raw disk.img model.raw"), ==, 0);
}

static void test_from_qemu(Image *i, gconstpointer data)
{
    if (!image_has_tools()) return;
    i->size = SIZE;
    new_model(i);
    for (uint64_t k = 0; k < SIZE; k++)
        i->model[k] = (k >> 16) % 3 ? (uint8_t)(k * 7 + k / 511) : 0;
    image_store_model(i);
    g_assert_cmpint(
        image_run(i, NULL, "qemu-img convert -f raw -O qed -o cluster_size=16k model.raw disk.img"),
        ==, 0);
    VitBlockNode *node = image_open(i, 0);
    image_compare(i, node);
    image_scribble(i, node, 40, 200000);
    vit_block_node_unref(node);
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img check -q disk.img"), ==, 0);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qed -F raw disk.img model.raw"), ==, 0);
}

/* On a shorter backing file: what surrounds a write comes from there, and from nowhere past its
 * end. */
static void test_backing(Image *i, gconstpointer data)
{
    enum { BELOW = 5 * MIB + 512 };
    g_autofree uint8_t *below = g_malloc(BELOW);
    g_autofree char *base = g_build_filename(i->folder, "base.raw", NULL);

    for (uint32_t k = 0; k < BELOW; k++) below[k] = (uint8_t)(k / 3 + 1);
    g_assert_true(g_file_set_contents(base, (char *)below, BELOW, NULL));
    image_create(i, "qed", 8 * MIB, "base.raw", "raw", "cluster_size=32k");
    new_model(i);
    memcpy(i->model, below, BELOW);
    VitBlockNode *node = image_open(i, 0);
    image_compare(i, node);
    image_scribble(i, node, 50, 100000);
    image_compare(i, node);
    vit_block_node_unref(node);
    if (!image_has_tools()) return;
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img check -q disk.img"), ==, 0);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qed -F raw disk.img model.raw"), ==, 0);
}

static void test_resize(Image *i, gconstpointer data)
{
    g_autofree char *base = g_build_filename(i->folder, "base.raw", NULL);
    g_autofree uint8_t *below = g_malloc(4 * MIB);
    g_autoptr(GError) error = NULL;

    memset(below, 0x5a, 4 * MIB);
    g_assert_true(g_file_set_contents(base, (char *)below, 4 * MIB, NULL));
    image_create(i, "qed", MIB, "base.raw", "raw", "cluster_size=4k,table_size=2");
    VitBlockNode *node = image_open(i, 0);
    g_assert_false(image_truncate(node, MIB / 2, &error));
    g_assert_nonnull(strstr(error->message, "Shrinking images is currently not supported"));
    g_clear_error(&error);
    g_assert_true(image_truncate(node, 8 * MIB, &error));
    i->size = 8 * MIB;
    new_model(i);
    memcpy(i->model, below, MIB); /* what is new is zero, whatever lies below */
    image_compare(i, node);
    image_scribble(i, node, 30, 100000);
    vit_block_node_unref(node);
    node = image_open(i, 0);
    image_compare(i, node);
    vit_block_node_unref(node);
    if (!image_has_tools()) return;
    image_store_model(i);
    g_assert_cmpint(image_run(i, NULL, "qemu-img check -q disk.img"), ==, 0);
    g_assert_cmpint(image_run(i, NULL, "qemu-img compare -f qed -F raw disk.img model.raw"), ==, 0);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static uint8_t *load(Image *i, gsize *size)
{
    char *bytes;

    g_assert_true(g_file_get_contents(i->path, &bytes, size, NULL));
    return (uint8_t *)bytes;
}

static uint64_t get(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return GUINT64_FROM_LE(v);
}

static void put(uint8_t *p, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, 8);
}

static void make_small(Image *i)
{
    image_create(i, "qed", MIB, NULL, NULL, "cluster_size=4k,table_size=2");
    new_model(i);
    VitBlockNode *node = image_open(i, 0);
    memset(i->model, 0x77, 64 << 10);
    g_assert_cmpint(vit_block_write_sync(node, 0, i->model, 64 << 10), ==, 0);
    vit_block_node_unref(node);
}

static void test_repair(Image *i, gconstpointer data)
{
    gsize size;

    make_small(i);
    g_autofree uint8_t *d = load(i, &size);
    uint64_t l2 = get(d + 4096);
    put(d + l2 + 8 * 5, 0x123456000); /* out of the file */
    put(d + l2 + 8 * 6, get(d + l2 + 8 * 6) + 512); /* unaligned */
    put(d + l2 + 8 * 7, get(d + l2 + 8 * 8)); /* used twice */
    put(d + 4096 + 8, UINT64_C(1) << 62); /* L1, past the image's size */
    g_assert_true(g_file_set_contents(i->path, (char *)d, (gssize)size, NULL));
    VitBlockCheck check = image_check(i, 0);
    g_assert_cmpuint(check.corruptions, ==, 4);
    g_assert_cmpuint(check.leaks, ==, 3);
    check = image_check(i, VIT_FIX_ERRORS | VIT_FIX_LEAKS);
    g_assert_cmpuint(check.corruptions_fixed, ==, 4);
    check = image_check(i, 0);
    g_assert_cmpuint(check.corruptions, ==, 0);
    memset(i->model + 5 * 4096, 0, 2 * 4096);
    VitBlockNode *node = image_open(i, 0);
    image_compare(i, node);
    vit_block_node_unref(node);
    if (image_has_tools())
        g_assert_cmpint(image_run(i, NULL, "qemu-img check disk.img"), ==, 3); /* leaks only */
}

/* The flag of an image that was not closed: repaired by the next writer, left alone by readers. */
static void test_unclean(Image *i, gconstpointer data)
{
    gsize size;

    make_small(i);
    g_autofree uint8_t *d = load(i, &size);
    d[16] |= 2;
    put(d + get(d + 4096) + 8 * 5, 0x123456000);
    g_assert_true(g_file_set_contents(i->path, (char *)d, (gssize)size, NULL));
    VitBlockNode *node = image_open(i, VIT_OPEN_READ_ONLY);
    g_assert_true(vit_block_info(node).dirty);
    uint8_t buf[512];
    g_assert_cmpint(vit_block_read_sync(node, 5 * 4096, buf, sizeof buf), ==, -EINVAL);
    vit_block_node_unref(node);
    node = image_open(i, 0);
    memset(i->model + 5 * 4096, 0, 4096);
    image_compare(i, node);
    g_assert_false(vit_block_info(node).dirty);
    g_assert_cmpint(vit_block_write_sync(node, MIB / 2, buf, sizeof buf), ==, 0);
    g_assert_true(vit_block_info(node).dirty);
    vit_block_node_unref(node);
    g_autofree uint8_t *after = load(i, &size);
    g_assert_cmpuint(after[16], ==, 0);
}

static void test_hostile(Image *i, gconstpointer data)
{
    static const struct {
        unsigned at;
        uint64_t value;
        const char *says;
    } cases[] = {
        { 4, 0x100000fff, "cluster size" },
        { 4, 0x200000000, "cluster size" },
        { 8, 0x100000003, "table size" },
        { 8, 0x100000000, "table size" },
        { 8, 2, "header size" },
        { 8, 0xffffffff00000002, "header size" },
        { 16, 8, "features" },
        { 40, 0x1001, "table offset" },
        { 40, UINT64_MAX - 4095, "table offset" },
        { 40, 0, "table offset" },
        { 48, 0, "image size" },
        { 48, 513, "image size" },
        { 48, UINT64_C(1) << 62, "image size" },
    };
    gsize size;

    make_small(i);
    g_autofree uint8_t *good = load(i, &size);
    for (unsigned k = 0; k < G_N_ELEMENTS(cases); k++) {
        g_autofree uint8_t *d = g_memdup2(good, size);
        g_autoptr(GError) error = NULL;
        put(d + cases[k].at, cases[k].value);
        g_assert_true(g_file_set_contents(i->path, (char *)d, (gssize)size, NULL));
        VitBlockNode *node = vit_block_graph_open_image(i->graph, i->path, "qed", NULL, 0, &error);
        g_assert_null(node);
        if (!strstr(error->message, cases[k].says) || !strstr(error->message, i->path))
            g_error("case %u: %s", k, error->message);
    }
    /* A name that lies outside of the header; a file cut short in its L1 table. */
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *d = g_memdup2(good, size);
    d[16] = 1;
    put(d + 56, 0x2000000ff0);
    g_assert_true(g_file_set_contents(i->path, (char *)d, (gssize)size, NULL));
    g_assert_null(vit_block_graph_open_image(i->graph, i->path, "qed", NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "backing file name"));
    g_clear_error(&error);
    g_assert_true(g_file_set_contents(i->path, (char *)good, 8000, NULL));
    g_assert_null(vit_block_graph_open_image(i->graph, i->path, "qed", NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "table offset"));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, fn)                                                                        \
    g_test_add("/block/qed/" name, Image, data, image_set_up, fn, image_tear_down)
    ADD("random/default", "", test_random);
    ADD("random/small", "cluster_size=4k,table_size=2", test_random);
    ADD("random/large", "cluster_size=2M,table_size=2", test_random);
    ADD("from-qemu", NULL, test_from_qemu);
    ADD("backing", NULL, test_backing);
    ADD("resize", NULL, test_resize);
    ADD("repair", NULL, test_repair);
    ADD("unclean", NULL, test_unclean);
    ADD("hostile", NULL, test_hostile);
    return g_test_run();
}
