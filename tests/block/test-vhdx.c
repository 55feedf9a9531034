/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-vhdx.c - Hyper-V disks */
#include "tests/block/format-test.h"

#include "block/vhdx/vhdx.h"

#include <string.h>

enum { MIB = 1 << 20 };

static const FormatCase dynamic = { .format = "vhdx", .size = 37 * MIB };
static const FormatCase small_blocks = {
    .format = "vhdx", .options = "block_size=1M,log_size=2M,block_state_zero=off", .size = 11 * MIB
};
static const FormatCase fixed = { .format = "vhdx", .options = "subformat=fixed", .size = 9 * MIB };

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
    format_test_hostile(&small_blocks, 0, 0x30, 10);
    format_test_hostile(&small_blocks, 3 * MIB, 0x80, 40);
    format_test_hostile(&small_blocks, 4 * MIB, 0xc0, 40);
    format_test_hostile(&small_blocks, 4 * MIB + VHDX_REGION_TABLE, 0x30, 40);
}

/* An image in whose log `count` entries wait that write the BAT's first sector; the last one is
 * right. */
static void leave_log(const char *path, unsigned count, bool break_last)
{
    g_autofree char *all = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &all, &size, NULL));
    VhdxHeader h = *(VhdxHeader *)(all + VHDX_HEADER_2);
    h.log = vhdx_guid_new();
    h.sequence = GUINT64_TO_LE(GUINT64_FROM_LE(h.sequence) + 9);
    h.checksum = GUINT32_TO_LE(vhdx_crc(&h, sizeof h, offsetof(VhdxHeader, checksum)));
    format_poke(path, VHDX_HEADER_2, &h, sizeof h);
    uint64_t bat = MIB + GUINT32_FROM_LE(h.log_length);
    g_autofree uint8_t *right = g_memdup2(all + bat, 4096);
    for (unsigned i = 0; i < count; i++) {
        uint8_t buf[8192] = { 0 };
        VhdxLogEntry *e = (VhdxLogEntry *)buf;
        VhdxDescriptor *d = (VhdxDescriptor *)(e + 1);
        VhdxLogData *data = (VhdxLogData *)(buf + 4096);
        bool last = i + 1 == count;
        uint8_t sector[4096];
        memset(sector, 0x11, sizeof sector);
        if (last) memcpy(sector, right, sizeof sector);
        *e = (VhdxLogEntry){ .signature = { 'l', 'o', 'g', 'e' },
                             .length = GUINT32_TO_LE(sizeof buf),
                             .tail = 0,
                             .sequence = GUINT64_TO_LE(i + 5),
                             .descriptors = GUINT32_TO_LE(1),
                             .log = h.log,
                             .flushed_size = GUINT64_TO_LE(size),
                             .last_size = GUINT64_TO_LE(size) };
        *d = (VhdxDescriptor){ .signature = { 'd', 'e', 's', 'c' },
                               .offset = GUINT64_TO_LE(bat),
                               .sequence = GUINT64_TO_LE(i + 5) };
        memcpy(&d->leading, sector, 8);
        memcpy(&d->trailing, sector + 4092, 4);
        memcpy(data->signature, "data", 4);
        memcpy(data->bytes, sector + 8, sizeof data->bytes);
        data->sequence_low = GUINT32_TO_LE(i + 5);
        e->checksum = GUINT32_TO_LE(vhdx_crc(buf, sizeof buf, offsetof(VhdxLogEntry, checksum)));
        if (last && break_last) buf[5000] ^= 1;
        format_poke(path, MIB + i * sizeof buf, buf, sizeof buf);
    }
    memset(all + bat, 0x77, 4096); /* the table itself is lost */
    format_poke(path, bat, all + bat, 4096);
}

static void test_log(void)
{
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vhdx");
    g_autoptr(GError) error = NULL;
    uint8_t data[4096], got[4096];

    memset(data, 0x5a, sizeof data);
    for (int round = 0; round < 2; round++) {
        g_assert_true(format_create(f, path, "vhdx", NULL, 20 * MIB, &error));
        VitBlockNode *node = format_open(f, path, "vhdx", 0, &error);
        g_assert_cmpint(vit_block_write_sync(node, 9 * MIB, data, sizeof data), ==, 0);
        vit_block_node_unref(node);
        leave_log(path, 3, false);
        g_assert_null(format_open(f, path, "vhdx", VIT_OPEN_READ_ONLY, &error));
        g_assert_nonnull(strstr(error->message, "needs to be replayed"));
        g_clear_error(&error);
        if (round == 0 || !format_has_qemu_img()) {
            node = format_open(f, path, "vhdx", 0, &error);
            g_assert_no_error(error);
            g_assert_cmpuint(format_check(node, 0, NULL).corruptions_fixed, ==, 1);
            vit_block_node_unref(node);
        } else { /* what the other side makes of the same log */
            g_assert_cmpint(format_qemu_img(NULL, "check", "-r", "all", path, NULL), ==, 0);
        }
        node = format_open(f, path, "vhdx", VIT_OPEN_READ_ONLY, &error);
        g_assert_no_error(error);
        g_assert_cmpint(vit_block_read_sync(node, 9 * MIB, got, sizeof got), ==, 0);
        g_assert_cmpmem(got, sizeof got, data, sizeof data);
        vit_block_node_unref(node);
    }
    g_assert_true(format_create(f, path, "vhdx", NULL, 20 * MIB, &error));
    leave_log(path, 1, true);
    g_assert_null(format_open(f, path, "vhdx", 0, &error));
    g_assert_nonnull(strstr(error->message, "no entry"));
    format_fixture_free(f);
}

/* Sums are made right again, so that what they protect is looked at. */
static void seal(const char *path)
{
    g_autofree char *all = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &all, &size, NULL));
    for (int i = 0; i < 2; i++) {
        uint64_t at = i ? VHDX_REGIONS_2 : VHDX_REGIONS_1,
                 header = i ? VHDX_HEADER_2 : VHDX_HEADER_1;
        uint32_t sum = GUINT32_TO_LE(vhdx_crc(all + at, VHDX_REGION_TABLE, 4));
        format_poke(path, at + 4, &sum, 4);
        sum = GUINT32_TO_LE(vhdx_crc(all + header, 4096, 4));
        format_poke(path, header + 4, &sum, 4);
    }
}

static void test_refused(void)
{
    static const struct {
        uint64_t offset, second;
        uint32_t value;
        const char *says;
    } damages[] = {
        { 0, 0, 0x12345678, "not a VHDX" },
        { VHDX_HEADER_1 + 66, VHDX_HEADER_2 + 66, 2, "unsupported VHDX version" },
        { VHDX_HEADER_1 + 68, VHDX_HEADER_2 + 68, 0x7ff00000, "log does not lie" },
        { VHDX_HEADER_1 + 72, VHDX_HEADER_2 + 72, 4096, "log does not lie" },
        { VHDX_REGIONS_1 + 32, VHDX_REGIONS_2 + 32, 0x7ff00000, "lie outside" },
        { VHDX_REGIONS_1 + 32, VHDX_REGIONS_2 + 32, 0x100000, "overlap" },
        { VHDX_REGIONS_1 + 16, VHDX_REGIONS_2 + 16, 0x55555555, "unknown kind" },
        { 3 * MIB, 3 * MIB, 0, "no VHDX metadata" },
        { 3 * MIB + 65536, 3 * MIB + 65536, 3 << 20, "invalid block size" },
        { 3 * MIB + 65540, 3 * MIB + 65540, 2, "differencing" },
        { 3 * MIB + 65548, 3 * MIB + 65548, 0x7fffffff, "invalid disk size" },
        { 3 * MIB + 65568, 3 * MIB + 65568, 513, "sector size" },
        { 2 * MIB, 2 * MIB, 0x40000006, "ends after the file" },
        { 2 * MIB, 2 * MIB, 0x00100006, "overlaps" },
        { 2 * MIB, 2 * MIB, 7, "cannot have" },
    };
    FormatFixture *f = format_fixture_new();
    g_autofree char *path = format_path(f, "disk.vhdx");

    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(GError) error = NULL;
        uint32_t value = GUINT32_TO_LE(damages[i].value);
        g_assert_true(format_create(f, path, "vhdx", NULL, 8 * MIB, &error));
        format_poke(path, damages[i].offset, &value, sizeof value);
        format_poke(path, damages[i].second, &value, sizeof value);
        seal(path);
        g_assert_null(format_open(f, path, "vhdx", 0, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, damages[i].says)) g_error("%u: %s", i, error->message);
    }
    format_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/block/vhdx/dynamic", &dynamic, test_random);
    g_test_add_data_func("/block/vhdx/small-blocks", &small_blocks, test_random);
    g_test_add_data_func("/block/vhdx/fixed", &fixed, test_random);
    g_test_add_data_func("/block/vhdx/foreign", &dynamic, test_foreign);
    g_test_add_data_func("/block/vhdx/foreign-fixed", &fixed, test_foreign);
    g_test_add_func("/block/vhdx/log", test_log);
    g_test_add_func("/block/vhdx/refused", test_refused);
    g_test_add_func("/block/vhdx/hostile", test_hostile);
    return g_test_run();
}
