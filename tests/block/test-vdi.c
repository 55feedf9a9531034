/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-vdi.c - VirtualBox images */
#include "tests/block/format-test.h"


enum { MIB = 1 << 20 };

static const FormatCase dynamic = { .format = "vdi", .size = 20 * MIB + 3584 };
static const FormatCase fixed = { .format = "vdi", .options = "static=on", .size = 9 * MIB };

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
    format_test_hostile(&dynamic, 0x40, 0x230, 150);
}

static void test_refused(void)
{
    static const FormatDamage damages[] = {
        { 0x40, GUINT32_TO_LE(0x12345678), "signature" },
        { 0x44, GUINT32_TO_LE(0x00020000), "version 2.0" },
        { 0x4c, GUINT32_TO_LE(4), "image type 4" },
        { 0x158, GUINT32_TO_LE(0x401), "unaligned data offset" },
        { 0x154, GUINT32_TO_LE(0x201), "unaligned block" },
        { 0x168, GUINT32_TO_LE(4096), "sector size 4096" },
        { 0x178, GUINT32_TO_LE(1 << 21), "block size" },
        { 0x180, GUINT32_TO_LE(0xffffffff), "too many blocks" },
        { 0x174, GUINT32_TO_LE(1), "disk size" },
        { 0x1a8, GUINT32_TO_LE(1), "link UUID" },
        { 0x1b8, GUINT32_TO_LE(1), "parent UUID" },
        { 0x154, GUINT32_TO_LE(0x40000000), "does not fit" },
        { 0x200, GUINT32_TO_LE(0x00ffffff), "past the end" },
    };

    format_test_refused("vdi", damages, G_N_ELEMENTS(damages), NULL);
}

/* A block used twice is refused; a check names it; what a crash left over is used again. */
static void test_check(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vdi");
    g_autofree uint8_t *data = g_malloc(MIB);
    g_autoptr(GError) error = NULL;
    uint32_t zero = 0, nine = GUINT32_TO_LE(9), free_block = 0xffffffff;

    g_assert_true(format_create(f, path, "vdi", NULL, 8 * MIB, &error));
    VitBlockNode *node = format_open(f, path, "vdi", 0, &error);
    memset(data, 0x77, MIB);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(vit_block_write_sync(node, i * 2 * MIB, data, MIB), ==, 0);
    vit_block_node_unref(node);
    format_poke(path, 0x200 + 4 * 5, &zero, sizeof zero);
    g_assert_null(format_open(f, path, "vdi", 0, &error));
    g_assert_nonnull(strstr(error->message, "used twice"));
    g_clear_error(&error);
    node = format_open(f, path, "vdi", VIT_OPEN_CHECK | VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(format_check(node, 0, NULL).corruptions, ==, 2);
    vit_block_node_unref(node);

    format_poke(path, 0x200 + 4 * 5, &free_block, sizeof free_block);
    format_poke(path, 0x200 + 4 * 2, &free_block, sizeof free_block); /* block 1 is lost */
    format_poke(path, 0x184, &nine, sizeof nine);
    node = format_open(f, path, "vdi", 0, &error);
    g_assert_no_error(error);
    memset(data, 0x55, MIB);
    g_assert_cmpint(vit_block_write_sync(node, 7 * MIB + 4096, data, 4096), ==, 0);
    vit_block_node_unref(node);
    node = format_open(f, path, "vdi", VIT_OPEN_READ_ONLY, &error);
    VitBlockCheck check = format_check(node, 0, NULL);
    g_assert_cmpuint(check.corruptions + check.leaks, ==, 0);
    g_assert_cmpuint(node->file->node->size, ==, 1024 + 3 * MIB); /* taken again, not appended */
    g_assert_cmpint(vit_block_read_sync(node, 7 * MIB, data, MIB), ==, 0);
    g_assert_true(vit_block_is_zero(data, 4096) && data[4096] == 0x55 &&
                  vit_block_is_zero(data + 8192, MIB - 8192)); /* nothing of before shows */
    vit_block_node_unref(node);
    format_fixture_free(f);
}

/* Its table ends shortly before the end of a unit of those that are stored together. */
static void test_large(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vdi");
    g_autoptr(GError) error = NULL;
    uint64_t blocks = 3 * 64 * 512 - 4, at = (blocks - 1) * MIB;
    uint8_t data[512], got[512];

    memset(data, 0x5a, sizeof data);
    g_assert_true(format_create(f, path, "vdi", NULL, blocks * MIB, &error));
    for (int round = 0; round < 3; round++) {
        VitBlockNode *node = format_open(f, path, "vdi", 0, &error);
        g_assert_no_error(error);
        g_assert_cmpint(vit_block_write_sync(node, at - (uint64_t)round * MIB, data, 512), ==, 0);
        g_assert_cmpint(vit_block_flush_sync(node), ==, 0);
        g_assert_cmpint(vit_block_read_sync(node, at, got, 512), ==, 0);
        g_assert_cmpmem(got, 512, data, 512);
        vit_block_node_unref(node);
    }
    format_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/block/vdi/dynamic", &dynamic, test_random);
    g_test_add_data_func("/block/vdi/static", &fixed, test_random);
    g_test_add_data_func("/block/vdi/foreign", &dynamic, test_foreign);
    g_test_add_data_func("/block/vdi/foreign-static", &fixed, test_foreign);
    g_test_add_func("/block/vdi/refused", test_refused);
    g_test_add_func("/block/vdi/check", test_check);
    g_test_add_func("/block/vdi/large", test_large);
    g_test_add_func("/block/vdi/hostile", test_hostile);
    return g_test_run();
}
