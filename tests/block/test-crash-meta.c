/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-crash-meta.c - snapshots, bitmaps and amendments of qcow2 images, cut off at
 * every point: the image opens or is repaired, and holds what it held before or what it was to hold
 */
#include "tests/block/crash.h"

#include "block/bitmap.h"
#include "block/drivers.h"

enum { DISK = 512 << 10, AREA = 64 << 10 };

typedef struct {
    const char *name, *create, *change;
} Case;

typedef struct {
    const Case *c;
    VitIoThread *thread;
    GRand *rand;
    CrashStore *store;
    unsigned opened, repaired;
} Crash;

/* What area n of the disk holds: 1 before the snapshot "s", 2 since. */
static void fill(uint8_t *buf, unsigned area, unsigned age)
{
    for (unsigned i = 0; i < AREA; i++) buf[i] = (uint8_t)(area * 31 + age * 101 + i / 512);
}

static void write_area(VitBlockNode *disk, unsigned area, unsigned age)
{
    g_autofree uint8_t *buf = g_malloc(AREA);

    fill(buf, area, age);
    g_assert_cmpint(vit_co_write(disk, (uint64_t)area * AREA, buf, AREA, 0), ==, 0);
}

/* Age of an area, -1: neither. */
static int age_of(VitBlockNode *disk, unsigned area)
{
    g_autofree uint8_t *buf = g_malloc(AREA), *is = g_malloc(AREA);

    g_assert_cmpint(vit_co_read(disk, (uint64_t)area * AREA, buf, AREA), ==, 0);
    for (unsigned age = 1; age <= 2; age++) {
        fill(is, area, age);
        if (memcmp(buf, is, AREA) == 0) return (int)age;
    }
    return -1;
}

static bool snapshot(VitBlockNode *disk, const char *name, GError **error)
{
    g_autoptr(VitBlockSnapshot) s = vit_block_snapshot_new();

    s->name = g_strdup(name);
    return disk->driver->co_snapshot_create(disk, s, error);
}

static bool change(VitBlockNode *disk, const char *what, GError **error)
{
    const VitBlockDriver *d = disk->driver;

    if (strcmp(what, "create") == 0) return snapshot(disk, "new", error);
    if (strcmp(what, "delete") == 0) return d->co_snapshot_delete(disk, "s", error);
    if (strcmp(what, "goto") == 0) return d->co_snapshot_goto(disk, "s", error);
    if (strcmp(what, "bitmap") == 0) {
        VitBlockBitmap *b = vit_block_bitmap_new(disk, "b", 4096, error);
        if (b) vit_block_bitmap_set_persistent(b, true);
        write_area(disk, 0, 2);
        return b != NULL;
    }
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("amend", what, NULL, error);
    return args && d->co_amend(disk, args, false, NULL, NULL, error);
}

static bool is_sound(VitBlockNode *disk, unsigned fix)
{
    VitBlockCheck check = { 0 };

    return disk->driver->co_check(disk, &check, fix) == 0 && check.check_errors == 0 &&
           check.corruptions == check.corruptions_fixed &&
           (fix == 0 || check.leaks == check.leaks_fixed);
}

static VitBlockNode *open_left(Crash *c, CrashStore *left, bool check)
{
    VitBlockOptions how = { .check = check };
    g_autoptr(GError) error = NULL;
    VitBlockNode *disk = crash_open(crash_node_new(left, c->thread), "qcow2", "", &how, &error);

    if (!disk) g_test_message("%s: %s", c->c->name, error->message);
    return disk;
}

static void verify(Crash *c, CrashStore *left, guint count, const char *how)
{
    VitBlockNode *disk = open_left(c, left, false);
    bool goes_back = strcmp(c->c->change, "goto") == 0;

    if (disk && is_sound(disk, 0)) {
        c->opened++;
    } else {
        vit_block_node_unref(disk);
        disk = open_left(c, left, true);
        if (!disk || !is_sound(disk, VIT_FIX_LEAKS | VIT_FIX_ERRORS))
            g_error("%s: crash after %u entries (%s): not repaired", c->c->name, count, how);
        vit_block_node_unref(disk);
        disk = open_left(c, left, false);
        if (!disk || !is_sound(disk, 0))
            g_error("%s: crash after %u entries (%s): not sound", c->c->name, count, how);
        c->repaired++;
    }
    int first = age_of(disk, 0);
    for (unsigned area = 0; area < DISK / AREA; area++) {
        int age = age_of(disk, area), was = area % 2 ? 1 : 2;
        bool back = goes_back && first == 1 && age == 1;
        if (age != was && !back)
            g_error("%s: crash after %u entries (%s): area %u is of age %d", c->c->name, count, how,
                    area, age);
    }
    g_autoptr(GPtrArray)
        list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);
    g_assert_true(disk->driver->co_snapshot_list(disk, list, NULL));
    if (list->len > 0 && strcmp(((VitBlockSnapshot *)list->pdata[0])->name, "s") == 0) {
        g_assert_true(disk->driver->co_snapshot_goto(disk, "s", NULL));
        for (unsigned area = 0; area < DISK / AREA; area++)
            g_assert_cmpint(age_of(disk, area), ==, 1);
    }
    vit_block_node_unref(disk);
    disk = open_left(c, left, true);
    g_assert_nonnull(disk);
    g_assert_true(is_sound(disk, 0));
    vit_block_node_unref(disk);
}

static void cut_everywhere(Crash *c, guint first)
{
    GArray *log = c->store->log;

    for (guint n = first; n <= log->len; n++) {
        const LogEntry *e = n > first ? &g_array_index(log, LogEntry, n - 1) : NULL;
        for (int kind = 0; kind < 3; kind++) {
            static const char *const names[] = { "whole", "torn", "some lost" };
            bool tear = kind == 1 && e && e->kind == LOG_WRITE && e->bytes > CRASH_SECTOR;
            if (kind == 1 && !tear) continue;
            int sectors = tear ? (int)(e->bytes / CRASH_SECTOR) : 0;
            uint64_t torn = tear ? (uint64_t)g_rand_int_range(c->rand, 1, sectors) * CRASH_SECTOR
                                 : UINT64_MAX;
            CrashStore *left = crash_image(log, n, torn, first, kind == 2 ? c->rand : NULL);
            verify(c, left, n, names[kind]);
            crash_store_free(left);
        }
    }
}

static VitBlockNode *open_store(Crash *c)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions how = { .discard = true };
    VitBlockNode *disk = crash_open(crash_node_new(c->store, c->thread), "qcow2", "", &how, &error);

    g_assert_no_error(error);
    return disk;
}

static void run_case(void *opaque)
{
    Crash *c = opaque;
    g_autoptr(GError) error = NULL;

    crash_create(c->store, c->thread, "qcow2", c->c->create, DISK);
    VitBlockNode *disk = open_store(c);
    for (unsigned area = 0; area < DISK / AREA; area++) write_area(disk, area, 1);
    if (!strstr(c->c->change, "refcount_bits=1")) g_assert_true(snapshot(disk, "s", &error));
    for (unsigned area = 0; area < DISK / AREA; area += 2) write_area(disk, area, 2);
    vit_block_node_unref(disk);
    guint first = c->store->log->len;
    disk = open_store(c);
    bool good = change(disk, c->c->change, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    vit_block_node_unref(disk);
    g_assert_cmpuint(c->store->log->len, >, first);
    cut_everywhere(c, first);
}

static void test_case(gconstpointer data)
{
    Crash *c = g_new0(Crash, 1);

    c->c = data;
    c->thread = vit_io_thread_new("crash");
    c->rand = g_rand_new_with_seed(g_test_slow() ? (guint32)g_test_rand_int() : 1);
    c->store = crash_store_new(true, NULL);
    vit_fiber_run_sync(c->thread, run_case, c);
    g_test_message("%u entries; %u crash images opened sound, %u were repaired", c->store->log->len,
                   c->opened, c->repaired);
    crash_store_free(c->store);
    vit_io_thread_free(c->thread);
    g_rand_free(c->rand);
    g_free(c);
}

static const Case cases[] = {
    { "create", "cluster_size=4k", "create" },
    { "create/old", "compat=0.10,cluster_size=4k", "create" },
    { "create/lazy", "lazy_refcounts=on,cluster_size=4k", "create" },
    { "delete", "cluster_size=4k", "delete" },
    { "delete/old", "compat=0.10,cluster_size=4k", "delete" },
    { "goto", "cluster_size=4k", "goto" },
    { "goto/old", "compat=0.10,cluster_size=4k", "goto" },
    { "bitmap", "cluster_size=4k", "bitmap" },
    { "amend/refcounts", "cluster_size=4k", "refcount_bits=8" },
    { "amend/narrow", "cluster_size=4k", "refcount_bits=1" },
    { "amend/down", "cluster_size=4k", "compat=0.10" },
    { "amend/up", "compat=0.10,cluster_size=4k", "compat=1.1" },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/crash-meta/%s", cases[i].name);
        g_test_add_data_func(name, &cases[i], test_case);
    }
    return g_test_run();
}
