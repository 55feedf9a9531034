/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-parallels.c - Parallels expandable images */
#include "tests/block/format-test.h"

#include <string.h>

enum { MIB = 1 << 20 };

static const FormatCase plain = { .format = "parallels", .size = 20 * MIB };
static const FormatCase odd = { .format = "parallels",
                                .options = "cluster_size=100k",
                                .size = 5 * MIB + 512 };

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
    format_test_hostile(&plain, 0, 0x90, 150);
}

static void put32(const char *path, uint64_t offset, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    format_poke(path, offset, &value, sizeof value);
}

static void test_refused(void)
{
    static const struct {
        uint64_t offset;
        uint32_t value;
        const char *says;
    } damages[] = {
        { 0, 0x12345678, "not in Parallels format" },
        { 0x10, 3, "unknown version" },
        { 0x1c, 0, "Zero sectors" },
        { 0x1c, 0x7fffffff, "Too big cluster" },
        { 0x20, 0xffffffff, "Catalog too large" },
        { 0x20, 1 << 20, "does not fit" },
        { 0x28, 0x7fffffff, "larger than its BAT" },
        { 0x2c, 0x12345678, "in_use" },
        { 0x40, 77, "outside image" },
    };
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.hdd");

    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(format_create(f, path, "parallels", NULL, 8 * MIB, &error));
        put32(path, damages[i].offset, damages[i].value);
        g_assert_null(format_open(f, path, "parallels", 0, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, damages[i].says)) g_error("%s", error->message);
    }
    format_fixture_free(f);
}

static void fill(FormatFixture *f, const char *path)
{
    g_autofree uint8_t *data = g_malloc(MIB);
    g_autoptr(GError) error = NULL;

    g_assert_true(format_create(f, path, "parallels", NULL, 8 * MIB, &error));
    VitBlockNode *node = format_open(f, path, "parallels", 0, &error);
    for (unsigned i = 0; i < 3; i++) {
        memset(data, 0x41 + (int)i, MIB);
        g_assert_cmpint(vit_block_write_sync(node, i * 2 * MIB, data, MIB), ==, 0);
    }
    vit_block_node_unref(node);
}

/* What is found and repaired, by us and, where it is there, by qemu-img. */
static void test_repair(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.hdd");
    g_autoptr(GError) error = NULL;
    uint8_t junk[512] = { 7 }, got[512];
    VitBlockNode *node;

    fill(f, path);
    put32(path, 0x2c, 0x746f6e59);          /* in use */
    put32(path, 0x40 + 4 * 1, 1);           /* the cluster of entry 0 */
    put32(path, 0x40 + 4 * 3, 99);          /* past the end */
    format_poke(path, 6 * MIB, junk, sizeof junk);
    node = format_open(f, path, "parallels", VIT_OPEN_READ_ONLY | VIT_OPEN_CHECK, &error);
    g_assert_no_error(error);
    VitBlockCheck check = format_check(node, 0, NULL);
    g_assert_cmpuint(check.corruptions, ==, 3);
    g_assert_cmpuint(check.leaks, ==, 3);
    g_assert_cmpuint(check.allocated_clusters, ==, 4);
    vit_block_node_unref(node);
    node = format_open(f, path, "parallels", VIT_OPEN_CHECK, &error);
    g_assert_no_error(error);
    check = format_check(node, VIT_FIX_LEAKS | VIT_FIX_ERRORS, NULL);
    g_assert_cmpuint(check.corruptions_fixed, ==, 3);
    g_assert_cmpuint(check.leaks_fixed, ==, 3);
    g_assert_cmpuint(check.corruptions + check.leaks, ==, 0);
    vit_block_node_unref(node);
    if (format_has_qemu_img())
        g_assert_cmpint(format_qemu_img(NULL, "check", "-f", "parallels", path, NULL), ==, 0);
    node = format_open(f, path, "parallels", 0, &error);
    g_assert_no_error(error);
    g_assert_cmpint(vit_block_write_sync(node, 0, junk, sizeof junk), ==, 0);
    g_assert_cmpint(vit_block_read_sync(node, MIB, got, sizeof got), ==, 0);
    g_assert_true(got[0] == 0x41); /* a copy of its own by now */
    vit_block_node_unref(node);
    format_fixture_free(f);
}

/* The older kind counts in sectors. */
static void test_sectors(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.hdd");
    g_autoptr(GError) error = NULL;
    uint8_t data[512], got[512];

    fill(f, path);
    format_poke(path, 0, "WithoutFreeSpace", 16);
    for (unsigned i = 0; i < 3; i++) put32(path, 0x40 + i * 8, (i + 1) * 2048);
    VitBlockNode *node = format_open(f, path, NULL, 0, &error);
    g_assert_no_error(error);
    memset(data, 0x61, sizeof data);
    g_assert_cmpint(vit_block_read_sync(node, 2 * MIB, got, sizeof got), ==, 0);
    g_assert_cmpint(got[0], ==, 0x42);
    g_assert_cmpint(vit_block_write_sync(node, 7 * MIB, data, sizeof data), ==, 0);
    vit_block_node_unref(node);
    if (format_has_qemu_img())
        g_assert_cmpint(format_qemu_img(NULL, "check", "-f", "parallels", path, NULL), ==, 0);
    node = format_open(f, path, NULL, VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpint(vit_block_read_sync(node, 7 * MIB, got, sizeof got), ==, 0);
    g_assert_cmpmem(got, sizeof got, data, sizeof data);
    g_assert_cmpuint(format_check(node, 0, NULL).corruptions, ==, 0);
    vit_block_node_unref(node);
    format_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/block/parallels/random", &plain, test_random);
    g_test_add_data_func("/block/parallels/odd-clusters", &odd, test_random);
    g_test_add_data_func("/block/parallels/foreign", &plain, test_foreign);
    g_test_add_data_func("/block/parallels/foreign-odd", &odd, test_foreign);
    g_test_add_func("/block/parallels/refused", test_refused);
    g_test_add_func("/block/parallels/repair", test_repair);
    g_test_add_func("/block/parallels/sectors", test_sectors);
    g_test_add_func("/block/parallels/hostile", test_hostile);
    return g_test_run();
}
