/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-hostile.c - images with bytes changed at random: opening and using them ends
 * with an error or with data, in bounded time and memory, and a refused or read-only image is not
 * written
 *
 * Time is the processor's: others may be busy.  HOSTILE_SECONDS=n works on each format for so long
 * instead of a fixed number of images; --seed repeats a run. */
#include "tests/block/crash.h"

#include "block/drivers.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DISK = 2 << 20, IMAGES = 150, MAX_IO = 128 << 10, TIME_LIMIT = 20, MEMORY_LIMIT = 700 };

typedef struct {
    const char *format, *create;
} Case;

typedef struct {
    const Case *c;
    VitIoThread *thread;
    GRand *rand;
    GByteArray *seed; /* a good image */
    unsigned refused, opened, broken;
    clock_t longest; /* of an image */
} Hostile;

/* ---- a good image with something in it ------------------------------------------------------- */

static void make_seed(void *opaque)
{
    Hostile *h = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs) options = vit_block_args_parse("hostile", h->c->create, NULL, &error);
    CrashStore *store = crash_store_new(false, NULL);
    VitBlockNode *file = crash_node_new(store, h->thread);
    VitBlockCreate create = { .thread = h->thread,
                              .file = file,
                              .size = DISK,
                              .options = options,
                              .driver = vit_block_driver_find(h->c->format) };
    VitBlockOptions how = { 0 };
    g_autofree uint8_t *buf = g_malloc(MAX_IO);

    (void)create.driver->co_create(&create, &error);
    g_assert_no_error(error);
    VitBlockNode *disk = crash_open(file, h->c->format, "", &how, &error);
    g_assert_no_error(error);
    bool streamed = vit_block_info(disk).must_compress;
    for (int i = 0; i < 12; i++) {
        uint64_t at = streamed ? (uint64_t)i * 65536
                               : (uint64_t)g_rand_int_range(h->rand, 0, DISK / 65536) * 65536;
        memset(buf, i + 1, 65536);
        (void)vit_co_write(disk, at, buf, 65536, streamed ? VIT_BLOCK_COMPRESSED : 0);
    }
    if (disk->driver->co_snapshot_create) {
        g_autoptr(VitBlockSnapshot) s = vit_block_snapshot_new();
        s->id = g_strdup("1");
        s->name = g_strdup("one");
        (void)disk->driver->co_snapshot_create(disk, s, NULL);
    }
    vit_block_node_unref(disk);
    h->seed = g_byte_array_ref(store->file);
    crash_store_free(store);
}

/* ---- what may be wrong with it --------------------------------------------------------------- */

static void put_number(uint8_t *at, uint64_t value, unsigned size, bool big)
{
    for (unsigned i = 0; i < size; i++) at[i] = (uint8_t)(value >> 8 * (big ? size - 1 - i : i));
}

static void spoil(Hostile *h, GByteArray *file)
{
    static const uint64_t numbers[] = {
        0,
        1,
        2,
        0x7f,
        0xff,
        0x200,
        0x1ff,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xfffffffffffffe00,
        0x4000000000000000,
        0x00fffffffffffe00,
        0x8000000000010000,
        0x30000,
        0x50000,
    };
    int count = g_rand_int_range(h->rand, 1, 7);

    for (int i = 0; i < count && file->len > 16; i++) {
        static const guint reaches[] = { 128, 512, 4096, 262144, G_MAXINT };
        guint wish = reaches[g_rand_int_range(h->rand, 0, 5)], reach = MIN(wish, file->len) - 8;
        uint8_t *at = file->data + g_rand_int_range(h->rand, 0, (gint)reach);
        unsigned size = 1u << g_rand_int_range(h->rand, 0, 4);
        switch (g_rand_int_range(h->rand, 0, 6)) {
        case 0: *at ^= (uint8_t)(1u << g_rand_int_range(h->rand, 0, 8)); break;
        case 1:
        case 2: /* aligned, where fields lie */
            at = file->data + ((at - file->data) & ~(ptrdiff_t)(size - 1));
            put_number(at, numbers[g_rand_int_range(h->rand, 0, G_N_ELEMENTS(numbers))], size,
                       g_rand_boolean(h->rand));
            break;
        case 3: /* one table entry copied over another */
            at = file->data + ((at - file->data) & ~(ptrdiff_t)7);
            memmove(at, file->data + (g_rand_int_range(h->rand, 0, (gint)reach) & ~7), 8);
            break;
        case 4: put_number(at, g_rand_int(h->rand), size, true); break;
        default:
            if (g_rand_int_range(h->rand, 0, 4) == 0)
                g_byte_array_set_size(file, (guint)g_rand_int_range(h->rand, 1, (gint)file->len));
            break;
        }
    }
}

/* ---- using it -------------------------------------------------------------------------------- */

static void use(Hostile *h, VitBlockNode *disk)
{
    g_autofree uint8_t *buf = g_malloc0(MAX_IO);
    uint64_t size = MAX(disk->size, 1);
    VitBlockInfo info = vit_block_info(disk);
    uint64_t at = 0;

    g_assert_cmpuint(info.size, <=, INT64_MAX);
    if (disk->driver->co_specific) {
        JsonObject *specific = disk->driver->co_specific(disk, NULL);
        g_clear_pointer(&specific, json_object_unref);
    }
    for (int i = 0; i < 64 && at < disk->size; i++) {
        VitBlockExtent e;
        if (vit_co_status(disk, at, disk->size - at, &e) < 0) break;
        g_assert_cmpuint(e.bytes, >, 0);
        at += e.bytes;
    }
    for (int i = 0; i < 40; i++) {
        uint64_t where = ((uint64_t)g_rand_int(h->rand) << 31 | g_rand_int(h->rand)) % size;
        uint64_t bytes = g_rand_int(h->rand) % MAX_IO;
        int result = 0;
        if (g_rand_boolean(h->rand)) where %= MIN(size, DISK);
        bytes = MIN(bytes, disk->size - MIN(where, disk->size));
        switch (g_rand_int_range(h->rand, 0, 8)) {
        case 0:
        case 1:
        case 2:
            result = vit_co_write(disk, where, buf, bytes,
                                  info.must_compress ? VIT_BLOCK_COMPRESSED : 0);
            break;
        case 3:
            result = vit_co_zero(disk, where, bytes,
                                 g_rand_boolean(h->rand) ? VIT_BLOCK_MAY_UNMAP : 0);
            break;
        case 4: result = vit_co_discard(disk, where, bytes); break;
        case 5: result = vit_co_flush(disk); break;
        default: result = vit_co_read(disk, where, buf, bytes);
        }
        h->broken += result < 0;
    }
    if (disk->driver->co_snapshot_list) {
        g_autoptr(GPtrArray)
            list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);
        (void)disk->driver->co_snapshot_list(disk, list, NULL);
        if (list->len > 0 && !disk->how.read_only && disk->driver->co_snapshot_delete)
            (void)disk->driver->co_snapshot_delete(disk, ((VitBlockSnapshot *)list->pdata[0])->id,
                                                   NULL);
    }
    if (disk->driver->co_check) {
        VitBlockCheck check = { 0 };
        bool fix = !disk->how.read_only && g_rand_boolean(h->rand);
        (void)disk->driver->co_check(disk, &check, fix ? VIT_FIX_LEAKS | VIT_FIX_ERRORS : 0);
    }
}

static bool written(const CrashStore *store)
{
    for (guint i = 0; i < store->log->len; i++) {
        if (g_array_index(store->log, LogEntry, i).kind != LOG_FLUSH) return true;
    }
    return false;
}

static unsigned resident(void)
{
    unsigned long size, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fscanf(f, "%lu %lu", &size, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return (unsigned)(pages * (unsigned long)sysconf(_SC_PAGESIZE) >> 20);
}

static void one_image(void *opaque)
{
    Hostile *h = opaque;
    g_autoptr(GError) error = NULL;
    CrashStore *store = crash_store_new(true, NULL);
    VitBlockOptions how = { .no_backing = true,
                            .read_only = g_rand_int_range(h->rand, 0, 3) == 0,
                            .check = g_rand_boolean(h->rand),
                            .no_io = g_rand_int_range(h->rand, 0, 6) == 0 };
    clock_t start = clock();
    unsigned before = resident();

    g_byte_array_append(store->file, h->seed->data, h->seed->len);
    spoil(h, store->file);
    VitBlockNode *disk = crash_open(crash_node_new(store, h->thread), h->c->format, "", &how,
                                    &error);
    if (!disk) {
        g_assert_nonnull(error);
        if (how.read_only && written(store))
            g_error("%s: a refused image was written", h->c->format);
        h->refused++;
    } else {
        h->opened++;
        if (!how.no_io) use(h, disk);
        vit_block_node_unref(disk);
    }
    if (how.read_only && written(store))
        g_error("%s: an image that was open read-only was written", h->c->format);
    unsigned after = resident();
    if (after > before + MEMORY_LIMIT)
        g_error("%s: an image took %u MiB of memory", h->c->format, after - before);
    h->longest = MAX(h->longest, clock() - start);
    if (h->longest > TIME_LIMIT * CLOCKS_PER_SEC)
        g_error("%s: an image took %ld s", h->c->format, (long)(h->longest / CLOCKS_PER_SEC));
    crash_store_free(store);
}

static void test_case(gconstpointer data)
{
    const char *seconds = g_getenv("HOSTILE_SECONDS");
    int64_t end = g_get_monotonic_time() + (seconds ? atoi(seconds) : 0) * G_USEC_PER_SEC;
    Hostile h = { .c = data, .thread = vit_io_thread_new("hostile") };

    h.rand = g_rand_new_with_seed(seconds ? (guint32)g_test_rand_int() : 1);
    vit_fiber_run_sync(h.thread, make_seed, &h);
    for (int i = 0; seconds ? g_get_monotonic_time() < end : i < IMAGES; i++)
        vit_fiber_run_sync(h.thread, one_image, &h);
    g_test_message("%s: %u images refused, %u opened, %u requests failed; at most %ld ms for one",
                   h.c->format, h.refused, h.opened, h.broken,
                   (long)(h.longest / (CLOCKS_PER_SEC / 1000)));
    g_assert_cmpuint(h.refused + h.opened, >, 0);
    g_byte_array_unref(h.seed);
    g_rand_free(h.rand);
    vit_io_thread_free(h.thread);
}

static const Case cases[] = {
    { "qcow2", "" },
    { "qcow2", "compat=0.10,cluster_size=512" },
    { "qcow2", "extended_l2=on,refcount_bits=64" },
    { "qed", "" },
    { "vdi", "" },
    { "vpc", "" },
    { "vpc", "subformat=fixed" },
    { "vmdk", "" },
    { "vmdk", "subformat=streamOptimized" },
    { "vhdx", "" },
    { "parallels", "" },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (!vit_block_driver_find(cases[i].format)) continue;
        g_autofree char *name = g_strdup_printf("/hostile/%s/%s", cases[i].format,
                                                *cases[i].create ? cases[i].create : "defaults");
        g_test_add_data_func(name, &cases[i], test_case);
    }
    return g_test_run();
}
