/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-vpc.c - virtual hard disks (VHD) */
#include "tests/block/format-test.h"

#include <string.h>

enum { MIB = 1 << 20 };

static const FormatCase dynamic = { .format = "vpc", .size = 20 * MIB, .no_check = true };
static const FormatCase forced = {
    .format = "vpc", .options = "force_size=on", .size = 9 * MIB + 512, .no_check = true
};
static const FormatCase fixed = {
    .format = "vpc", .options = "subformat=fixed", .size = 9 * MIB, .no_check = true
};
static const FormatCase fixed_forced = {
    .format = "vpc", .options = "subformat=fixed,force_size=on", .size = 9 * MIB, .no_check = true
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
    format_test_hostile(&dynamic, 0, 0x640, 60);
    format_test_hostile(&dynamic, 0x600, 0x40, 60);
}

/* Sizes as the geometry makes them: those that qemu-img gives to images of the same sizes. */
static void test_sizes(void)
{
    static const struct {
        uint64_t asked, chs, forced;
    } sizes[] = {
        { 512, 34816, 512 },
        { MIB, 1079296, MIB },
        { UINT64_C(100) << 20, 104865792, UINT64_C(100) << 20 },
        { UINT64_C(2) << 30, 2147991552, UINT64_C(2) << 30 },
        { UINT64_C(127) << 30, 136365219840, UINT64_C(127) << 30 },
        { UINT64_C(129) << 30, UINT64_C(129) << 30, UINT64_C(129) << 30 },
    };
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vhd");
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
        bool force = i & 1;
        bool made = format_create(f, path, "vpc", force ? "force_size=on" : NULL,
                                  sizes[i / 2].asked, &error);
        g_assert_no_error(error);
        g_assert_true(made);
        VitBlockNode *node = format_open(f, path, NULL, VIT_OPEN_READ_ONLY, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(node->size, ==, force ? sizes[i / 2].forced : sizes[i / 2].chs);
        vit_block_node_unref(node);
    }
    g_assert_false(format_create(f, path, "vpc", NULL, UINT64_C(2041) << 30, &error));
    g_assert_nonnull(strstr(error->message, "too large"));
    format_fixture_free(f);
}

static void put_sum(const char *path, uint64_t from, size_t size, size_t field)
{
    g_autofree char *all = NULL;
    gsize length;
    uint32_t sum = 0;

    g_assert_true(g_file_get_contents(path, &all, &length, NULL));
    for (size_t i = 0; i < size; i++)
        if (i < field || i >= field + 4) sum += (uint8_t)all[from + i];
    sum = GUINT32_TO_BE(~sum);
    format_poke(path, from + field, &sum, sizeof sum);
}

static void mend_sums(const char *path)
{
    put_sum(path, 0, 512, 0x40);
    put_sum(path, 512, 1024, 0x24);
}

static void test_refused(void)
{
    static const FormatDamage damages[] = {
        { 0x220, GUINT32_TO_BE(0x00200001), "Invalid block size" },
        { 0x220, GUINT32_TO_BE(0), "Invalid block size" },
        { 0x220, GUINT32_TO_BE(0x200), "Page table too small" },
        { 0x21c, GUINT32_TO_BE(1), "Page table too small" },
        { 0x21c, GUINT32_TO_BE(0xffffffff), "Table Entries" },
        { 0x214, GUINT32_TO_BE(0xf0000000), "does not fit" },
        { 0x200, GUINT32_TO_BE(0), "Invalid header magic" },
        { 0x14, GUINT32_TO_BE(0x7f000000), "no room" },
        { 0x3c, GUINT32_TO_BE(4), "differencing" },
        { 0x600, GUINT32_TO_BE(0x00ffffff), "truncated" },
        { 0x600, GUINT32_TO_BE(1), "overlaps" },
    };

    format_test_refused("vpc", damages, G_N_ELEMENTS(damages), mend_sums);
}

/* Footers: either copy will do for a dynamic image; writers without "qemu" in them go by the size.
 */
static void test_footers(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vpc");
    g_autoptr(GError) error = NULL;
    uint8_t junk[512], data[4096];
    uint64_t size = GUINT64_TO_BE(UINT64_C(8) << 20);

    memset(junk, 0x31, sizeof junk);
    g_assert_true(format_create(f, path, "vpc", NULL, 8 * MIB, &error));
    VitBlockNode *node = format_open(f, path, "vpc", 0, &error);
    g_assert_cmpint(vit_block_write_sync(node, 5 * MIB, junk, sizeof junk), ==, 0);
    uint64_t end = node->file->node->size;
    vit_block_node_unref(node);
    node = format_open(f, path, "vpc", 0, &error);
    end = node->file->node->size - 512;
    vit_block_node_unref(node);

    format_poke(path, end, junk,
                sizeof junk); /* the last one is lost, with half a block after it */
    format_poke(path, end + 5000, junk, sizeof junk);
    node = format_open(f, path, "vpc", 0, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(node->file->node->size, ==, end + 512);
    g_assert_cmpint(vit_block_write_sync(node, 0, junk, sizeof junk), ==, 0);
    g_assert_cmpint(vit_block_read_sync(node, 4096, data, sizeof data), ==, 0);
    g_assert_true(vit_block_is_zero(data, sizeof data));
    vit_block_node_unref(node);

    format_poke(path, 0, junk, sizeof junk); /* the first one is */
    node = format_open(f, path, "vpc", VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpint(vit_block_read_sync(node, 5 * MIB, data, 512), ==, 0);
    g_assert_cmpmem(data, 512, junk, 512);
    vit_block_node_unref(node);

    g_assert_true(format_create(f, path, "vpc", NULL, 8 * MIB, &error));
    format_poke(path, 0x1c, "win ", 4);
    format_poke(path, 0x30, &size, sizeof size);
    put_sum(path, 0, 512, 0x40);
    node = format_open(f, path, "vpc", VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(node->size, ==, 8 * MIB);
    vit_block_node_unref(node);
    format_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/block/vpc/dynamic", &dynamic, test_random);
    g_test_add_data_func("/block/vpc/force-size", &forced, test_random);
    g_test_add_data_func("/block/vpc/fixed", &fixed, test_random);
    g_test_add_data_func("/block/vpc/foreign", &dynamic, test_foreign);
    g_test_add_data_func("/block/vpc/foreign-fixed", &fixed_forced, test_foreign);
    g_test_add_func("/block/vpc/sizes", test_sizes);
    g_test_add_func("/block/vpc/refused", test_refused);
    g_test_add_func("/block/vpc/footers", test_footers);
    g_test_add_func("/block/vpc/hostile", test_hostile);
    return g_test_run();
}
