/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-vmdk.c - VMware disks */
#include "tests/block/format-test.h"

#include <errno.h>
#include <string.h>

enum { MIB = 1 << 20 };

static const FormatCase sparse = { .format = "vmdk", .size = 37 * MIB + 3584 };
static const FormatCase zeroed = { .format = "vmdk",
                                   .options = "zeroed_grain=on,adapter_type=lsilogic",
                                   .size = 9 * MIB };
static const FormatCase flat = { .format = "vmdk",
                                 .options = "subformat=monolithicFlat",
                                 .size = 9 * MIB };
static const FormatCase split_sparse = { .format = "vmdk",
                                         .options = "subformat=twoGbMaxExtentSparse",
                                         .size = 9 * MIB };
static const FormatCase split_flat = { .format = "vmdk",
                                       .options = "subformat=twoGbMaxExtentFlat",
                                       .size = 9 * MIB };
static const FormatCase stream = { .format = "vmdk",
                                   .options = "subformat=streamOptimized",
                                   .size = 9 * MIB + 1024,
                                   .append_only = true };

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
    format_test_hostile(&sparse, 0, 0x50, 60);
    format_test_hostile(&zeroed, 0x200, 0x150, 40);
    format_test_hostile(&sparse, 0x2a00, 0x2000, 60);
    format_test_hostile(&flat, 0, 300, 60);
    format_test_hostile(&stream, 0, 0x50, 40);
}

static void put(FormatFixture *f, const char *name, const char *text)
{
    g_autofree char *path = format_path(f, name);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static const char head[] = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n";

static void refuse(FormatFixture *f, const char *rest, const char *says)
{
    g_autofree char *text = g_strconcat(head, rest, NULL), *path = format_path(f, "bad.vmdk");
    g_autoptr(GError) error = NULL;

    put(f, "bad.vmdk", text);
    g_assert_null(format_open(f, path, "vmdk", VIT_OPEN_READ_ONLY, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, says)) g_error("%s", error->message);
}

/* Descriptors that others wrote, and some that nobody should have. */
static void test_descriptor(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree uint8_t *bytes = g_malloc(MIB);
    g_autofree char *part = format_path(f, "part.bin"), *path = format_path(f, "disk.vmdk");
    g_autofree char *more = format_path(f, "more.bin");
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < MIB; i++) bytes[i] = (uint8_t)(i * 7 + i / 300);
    g_assert_true(g_file_set_contents(part, (char *)bytes, MIB, NULL));
    g_assert_true(g_file_set_contents(more, (char *)bytes, MIB, NULL));
    g_autofree char *text = g_strconcat(head,
                                        "createType=\"twoGbMaxExtentFlat\"\r\n"
                                        "RW 100 FLAT \"part.bin\" 10\r\n"
                                        "RW 50 ZERO\r\n"
                                        "RDONLY 20 VMFS \"more.bin\"\r\n",
                                        NULL);
    put(f, "disk.vmdk", text);
    VitBlockNode *node = format_open(f, path, NULL, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(node->size, ==, 170 * 512);
    g_autofree uint8_t *all = format_read_all(node);
    g_assert_cmpmem(all, 100 * 512, bytes + 10 * 512, 100 * 512);
    g_assert_true(vit_block_is_zero(all + 100 * 512, 50 * 512));
    g_assert_cmpmem(all + 150 * 512, 20 * 512, bytes, 20 * 512);
    g_assert_cmpint(vit_block_write_sync(node, 0, bytes, 512), ==, 0);
    g_assert_cmpint(vit_block_write_sync(node, 160 * 512, bytes, 512), ==, -EACCES);
    vit_block_node_unref(node);

    refuse(f, "createType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/hostname\" 0\n", "outside");
    refuse(f, "createType=\"monolithicFlat\"\nRW 1 FLAT \"../x/y\" 0\n", "outside");
    refuse(f, "createType=\"monolithicFlat\"\nRW 1 FLAT \"nbd://h/x\" 0\n", "outside");
    refuse(f, "createType=\"custom\"\nRW 1 FLAT \"part.bin\" 0\n", "Unsupported image type");
    refuse(f, "createType=\"vmfs\"\nRW 1 VMFSRDM \"part.bin\" 0\n", "Unsupported extent type");
    refuse(f, "createType=\"vmfs\"\nRW x FLAT \"part.bin\" 0\n", "Invalid extent line");
    refuse(f, "createType=\"vmfs\"\nRW 99999999999999999999 FLAT \"part.bin\" 0\n", "Invalid");
    refuse(f, "createType=\"twoGbMaxExtentSparse\"\nRW 1 SPARSE \"part.bin\"\n", "bad magic");
    refuse(f, "createType=\"monolithicFlat\"\n", "no extents");
    format_fixture_free(f);
}

/* An image on another one: what is not written shows the parent, as long as that stays what it was.
 */
static void test_backing(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *base = format_path(f, "base.vmdk"), *top = format_path(f, "top.vmdk");
    g_autoptr(GError) error = NULL;
    uint8_t data[4096], got[3 * 4096];

    memset(data, 0x42, sizeof data);
    g_assert_true(format_create(f, base, "vmdk", NULL, 2 * MIB, &error));
    VitBlockNode *node = format_open(f, base, "vmdk", 0, &error);
    g_assert_cmpint(vit_block_write_sync(node, 0, data, sizeof data), ==, 0);
    g_assert_cmpint(vit_block_write_sync(node, MIB, data, sizeof data), ==, 0);
    vit_block_node_unref(node);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-o", "zeroed_grain=on", NULL, &error);
    bool made = vit_block_graph_create(f->graph, top, "vmdk", UINT64_MAX, "base.vmdk", "vmdk", args,
                                       &error);
    g_assert_no_error(error);
    g_assert_true(made);
    node = format_open(f, top, "vmdk", 0, &error);
    g_assert_no_error(error);
    g_assert_nonnull(node->backing);
    memset(data, 0x24, sizeof data);
    g_assert_cmpint(vit_block_write_sync(node, MIB + 4096, data, sizeof data), ==, 0);
    g_assert_cmpint(vit_block_read_sync(node, MIB, got, sizeof got), ==, 0);
    g_assert_true(got[0] == 0x42 && got[4096] == 0x24 && got[8192] == 0);
    vit_block_node_unref(node);
    if (format_has_qemu_img()) {
        g_autofree char *flat_copy = format_path(f, "flat.raw");
        g_assert_cmpint(format_qemu_img(NULL, "convert", "-O", "raw", top, flat_copy, NULL), ==, 0);
        g_assert_cmpint(format_qemu_img(NULL, "compare", top, flat_copy, NULL), ==, 0);
        node = format_open(f, flat_copy, "raw", 0, &error);
        g_assert_cmpint(vit_block_read_sync(node, MIB, got, sizeof got), ==, 0);
        g_assert_true(got[0] == 0x42 && got[4096] == 0x24 && got[8192] == 0);
        vit_block_node_unref(node);
    }
    node = format_open(f, base, "vmdk", 0, &error);
    g_assert_cmpint(vit_block_write_sync(node, 0, data, 512), ==, 0);
    vit_block_node_unref(node);
    node = format_open(f, top, "vmdk", VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpint(vit_block_read_sync(node, 0, got, 512), ==, -EINVAL);
    vit_block_node_unref(node);
    format_fixture_free(f);
}

static void put32(uint8_t *at, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static void same_for_qemu_img(FormatFixture *f, const char *path, const uint8_t *all, uint64_t size)
{
    g_autofree char *raw = format_path(f, "same.raw");

    if (!format_has_qemu_img()) return;
    g_assert_true(g_file_set_contents(raw, (const char *)all, (gssize)size, NULL));
    g_assert_cmpint(format_qemu_img(NULL, "compare", "-f", "vmdk", "-F", "raw", path, raw, NULL),
                    ==, 0);
}

/* What an ESX server writes: grains of one sector, tables of 4096 of them; only to be read. */
static void test_cowd(void)
{
    enum { SECTORS = 10000, DIRECTORY = 4, TABLES = 5, GRAINS = TABLES + 3 * 32 };
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "esx.vmdk");
    g_autofree char *part = format_path(f, "esx-delta.vmdk");
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *image = g_malloc0((GRAINS + 3) * 512), *wanted = g_malloc0(SECTORS * 512);
    static const uint32_t grains[] = { 0, 4095, 8999 };

    memcpy(image, "COWD", 4);
    put32(image + 4, 1);
    put32(image + 8, 3);
    put32(image + 12, SECTORS);
    put32(image + 16, 1);
    put32(image + 20, DIRECTORY);
    put32(image + 24, 3);
    put32(image + 28, GRAINS + 3);
    for (uint32_t i = 0; i < 3; i++) {
        put32(image + DIRECTORY * 512 + i * 4, TABLES + i * 32);
        put32(image + (TABLES + grains[i] / 4096 * 32) * 512 + grains[i] % 4096 * 4, GRAINS + i);
        memset(image + (GRAINS + i) * 512, 0x61 + (int)i, 512);
        memset(wanted + grains[i] * 512, 0x61 + (int)i, 512);
    }
    g_assert_true(g_file_set_contents(part, (char *)image, (GRAINS + 3) * 512, NULL));
    g_autofree char *text = g_strconcat(head,
                                        "createType=\"vmfsSparse\"\n"
                                        "RW 10000 VMFSSPARSE \"esx-delta.vmdk\"\n",
                                        NULL);
    put(f, "esx.vmdk", text);
    g_assert_null(format_open(f, path, NULL, 0, &error));
    g_assert_nonnull(strstr(error->message, "only be read"));
    g_clear_error(&error);
    VitBlockNode *node = format_open(f, path, NULL, VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(node->size, ==, SECTORS * 512);
    g_autofree uint8_t *all = format_read_all(node);
    g_assert_cmpmem(all, SECTORS * 512, wanted, SECTORS * 512);
    g_assert_cmpuint(format_check(node, 0, NULL).corruptions, ==, 0);
    vit_block_node_unref(node);
    same_for_qemu_img(f, path, all, SECTORS * 512);
    format_fixture_free(f);
}

/* A stream as others end it: the directory is only known from a footer. */
static void test_footer(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "stream.vmdk");
    g_autofree uint8_t *grain = g_malloc(65536);
    g_autofree char *image = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;
    uint64_t at_end = UINT64_MAX;

    memset(grain, 0x33, 65536);
    bool made = format_create(f, path, "vmdk", stream.options, 3 * MIB, &error);
    g_assert_no_error(error);
    g_assert_true(made);
    VitBlockNode *node = format_open(f, path, NULL, 0, &error);
    g_assert_cmpint(vit_block_write_sync(node, MIB, grain, 65536), ==, 0);
    g_assert_cmpint(vit_block_write_sync(node, MIB, grain, 65536), ==, -EIO); /* once only */
    vit_block_node_unref(node);
    g_assert_true(g_file_get_contents(path, &image, &size, NULL));
    g_assert_cmpuint(size % 512, ==, 0);
    g_autofree uint8_t *longer = g_malloc0(size + 3 * 512);
    memcpy(longer, image, size);
    put32(longer + size + 12, 3); /* footer marker; the footer; end of stream */
    put32(longer + size, 1);
    memcpy(longer + size + 512, image, 512);
    memcpy(longer + 56, &at_end, sizeof at_end);
    g_assert_true(g_file_set_contents(path, (char *)longer, (gssize)size + 3 * 512, NULL));
    node = format_open(f, path, NULL, VIT_OPEN_READ_ONLY, &error);
    g_assert_no_error(error);
    g_autofree uint8_t *all = format_read_all(node);
    g_assert_true(vit_block_is_zero(all, MIB) && vit_block_is_zero(all + MIB + 65536, 65536));
    g_assert_cmpmem(all + MIB, 65536, grain, 65536);
    vit_block_node_unref(node);
    same_for_qemu_img(f, path, all, 3 * MIB);
    g_assert_true(g_file_set_contents(path, (char *)longer, (gssize)size, NULL));
    g_assert_null(format_open(f, path, NULL, VIT_OPEN_READ_ONLY, &error));
    g_assert_nonnull(strstr(error->message, "no footer"));
    format_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/block/vmdk/sparse", &sparse, test_random);
    g_test_add_data_func("/block/vmdk/zeroed-grain", &zeroed, test_random);
    g_test_add_data_func("/block/vmdk/flat", &flat, test_random);
    g_test_add_data_func("/block/vmdk/split-sparse", &split_sparse, test_random);
    g_test_add_data_func("/block/vmdk/split-flat", &split_flat, test_random);
    g_test_add_data_func("/block/vmdk/stream", &stream, test_random);
    g_test_add_data_func("/block/vmdk/foreign-sparse", &sparse, test_foreign);
    g_test_add_data_func("/block/vmdk/foreign-zeroed", &zeroed, test_foreign);
    g_test_add_data_func("/block/vmdk/foreign-flat", &flat, test_foreign);
    g_test_add_data_func("/block/vmdk/foreign-split-sparse", &split_sparse, test_foreign);
    g_test_add_data_func("/block/vmdk/foreign-split-flat", &split_flat, test_foreign);
    g_test_add_data_func("/block/vmdk/foreign-stream", &stream, test_foreign);
    g_test_add_func("/block/vmdk/descriptor", test_descriptor);
    g_test_add_func("/block/vmdk/backing", test_backing);
    g_test_add_func("/block/vmdk/cowd", test_cowd);
    g_test_add_func("/block/vmdk/footer", test_footer);
    g_test_add_func("/block/vmdk/hostile", test_hostile);
    return g_test_run();
}
