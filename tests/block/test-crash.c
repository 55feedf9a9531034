/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-crash.c - random work on each format, cut off at every point: the image opens
 * clean or is repaired, and what had been flushed is there
 *
 * Each sector of the disk carries its number and the version that was written last.  After a crash
 * its version lies between the one that the last flush covered and the newest that had been
 * submitted. CRASH_ROUNDS=n runs n workloads of each format instead of one. */
#include "tests/block/crash.h"

#include "block/drivers.h"

#include <stdlib.h>

enum { DISK = 1 << 20, SECTORS = DISK / CRASH_SECTOR, WORKERS = 4, STEPS = 28, MAX_RUN = 200 };

typedef struct {
    const char *format, *create, *open;
} Case;

typedef struct {
    guint position; /* of the log when the flush had ended */
    uint32_t covered[SECTORS]; /* version of each sector that it made safe */
} Flush;

typedef struct {
    uint32_t version;
    bool zero;
} Past;

typedef struct {
    const Case *c;
    VitIoThread *thread;
    GRand *rand;
    CrashStore *store;
    VitBlockNode *disk;
    VitBlockRangeLock busy; /* overlapping requests have no order */
    uint32_t version[SECTORS], done[SECTORS];
    GArray *past[SECTORS]; /* of Past */
    GPtrArray *flushes; /* of Flush* */
    int running;
    VitFiberCond ended;
    VitFiber *main;
    unsigned opened_clean, repaired;
} Crash;

static void stamp(uint8_t *buf, uint64_t sector, uint32_t version)
{
    uint64_t pattern = GUINT64_TO_LE(sector << 32 | version);

    for (unsigned i = 0; i < CRASH_SECTOR / 8; i++) memcpy(buf + 8 * i, &pattern, 8);
}

/* ---- the workload ---------------------------------------------------------------------------- */

static void take_flush(Crash *c)
{
    Flush *f = g_new(Flush, 1);

    memcpy(f->covered, c->done, sizeof c->done);
    if (vit_co_flush(c->disk) < 0) {
        g_free(f);
        return;
    }
    f->position = c->store->log->len;
    g_ptr_array_add(c->flushes, f);
}

static void change(Crash *c)
{
    static const uint64_t aligns[] = { 1, 8, 128, 256 };
    uint64_t align = aligns[g_rand_int_range(c->rand, 0, 4)];
    uint64_t first = (uint64_t)g_rand_int_range(c->rand, 0, SECTORS) / align * align;
    uint64_t wish = (uint64_t)g_rand_int_range(c->rand, 1, MAX_RUN);
    uint64_t count = MIN((wish + align - 1) / align * align, SECTORS - first);
    int kind = g_rand_int_range(c->rand, 0, 10);
    g_autofree uint8_t *buf = g_malloc(count * CRASH_SECTOR);
    VitBlockRange range;
    int result;

    vit_block_range_lock(&c->busy, &range, first, count);
    bool zero = kind < 2, discard = kind == 2;
    for (uint64_t s = first; s < first + count; s++) {
        Past past = { ++c->version[s], zero || discard };
        g_array_append_val(c->past[s], past);
        stamp(buf + (s - first) * CRASH_SECTOR, s, c->version[s]);
    }
    if (discard) result = vit_co_discard(c->disk, first * CRASH_SECTOR, count * CRASH_SECTOR);
    else if (zero)
        result = vit_co_zero(c->disk, first * CRASH_SECTOR, count * CRASH_SECTOR,
                             g_rand_boolean(c->rand) ? VIT_BLOCK_MAY_UNMAP : 0);
    else
        result = vit_co_write(c->disk, first * CRASH_SECTOR, buf, count * CRASH_SECTOR,
                              kind == 3 ? VIT_BLOCK_FUA : 0);
    g_assert_cmpint(result, ==, 0);
    for (uint64_t s = first; s < first + count && !discard; s++) c->done[s] = c->version[s];
    vit_block_range_unlock(&c->busy, &range);
}

static void worker(void *opaque)
{
    Crash *c = opaque;

    for (int i = 0; i < STEPS; i++) {
        if (g_rand_int_range(c->rand, 0, 5) == 0) take_flush(c);
        else change(c);
    }
    c->running--;
    vit_fiber_cond_wake_all(&c->ended);
}

/* ---- what is left ---------------------------------------------------------------------------- */

static bool allowed(const Crash *c, uint64_t sector, const uint8_t *data, uint32_t least)
{
    uint64_t pattern;
    uint8_t whole[CRASH_SECTOR];

    if (vit_block_is_zero(data, CRASH_SECTOR)) {
        if (least == 0) return true;
        for (guint i = 0; i < c->past[sector]->len; i++) {
            const Past *p = &g_array_index(c->past[sector], Past, i);
            if (p->zero && p->version >= least) return true;
        }
        return false;
    }
    memcpy(&pattern, data, 8);
    pattern = GUINT64_FROM_LE(pattern);
    stamp(whole, sector, (uint32_t)pattern);
    return pattern >> 32 == sector && memcmp(whole, data, CRASH_SECTOR) == 0 &&
           (uint32_t)pattern >= least && (uint32_t)pattern <= c->version[sector];
}

static void verify(Crash *c, CrashStore *left, guint count, const char *how)
{
    g_autofree uint8_t *data = g_malloc(DISK);
    const Flush *last = NULL;
    VitBlockOptions options = { .lock = false };
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < c->flushes->len; i++) {
        Flush *f = c->flushes->pdata[i];
        if (f->position <= count) last = f;
    }
    VitBlockNode *disk = crash_open(crash_node_new(left, c->thread), c->c->format, c->c->open,
                                    &options, &error);
    VitBlockCheck check = { 0 };
    if (disk && disk->driver->co_check) {
        int result = disk->driver->co_check(disk, &check, 0);
        g_assert_cmpint(result, ==, 0);
    }
    if (!disk || check.corruptions > 0 || check.check_errors > 0) {
        /* Not clean: it must be repairable. */
        vit_block_node_unref(disk);
        g_clear_error(&error);
        options.check = true;
        disk = crash_open(crash_node_new(left, c->thread), c->c->format, c->c->open, &options,
                          &error);
        if (!disk)
            g_error("%s: crash after %u of %u entries (%s): cannot be opened: %s", c->c->format,
                    count, c->store->log->len, how, error->message);
        if (!disk->driver->co_check)
            g_error("%s: crash after %u entries (%s): not clean, and nothing repairs it",
                    c->c->format, count, how);
        check = (VitBlockCheck){ 0 };
        int result = disk->driver->co_check(disk, &check, VIT_FIX_LEAKS | VIT_FIX_ERRORS);
        if (result < 0 || check.check_errors || check.corruptions > check.corruptions_fixed)
            g_error("%s: crash after %u entries (%s): not repaired: %d, %" G_GUINT64_FORMAT
                    " corruptions left",
                    c->c->format, count, how, result, check.corruptions);
        c->repaired++;
    } else {
        c->opened_clean++;
    }
    int result = vit_co_read(disk, 0, data, DISK);
    g_assert_cmpint(result, ==, 0);
    for (uint64_t s = 0; s < SECTORS; s++) {
        uint32_t least = last ? last->covered[s] : 0;
        const uint64_t *found = (const uint64_t *)(data + s * CRASH_SECTOR);
        if (!allowed(c, s, data + s * CRASH_SECTOR, least))
            g_error("%s (%s): crash after %u of %u entries (%s): sector %" G_GUINT64_FORMAT
                    " has sector %" G_GUINT64_FORMAT " version %u, flushed %u, newest %u",
                    c->c->format, c->c->create, count, c->store->log->len, how, s,
                    GUINT64_FROM_LE(found[0]) >> 32, (uint32_t)GUINT64_FROM_LE(found[0]), least,
                    c->version[s]);
    }
    vit_block_node_unref(disk);
}

static void cut_everywhere(Crash *c, guint first)
{
    GArray *log = c->store->log;

    for (guint n = first; n <= log->len; n++) {
        const LogEntry *e = n > first ? &g_array_index(log, LogEntry, n - 1) : NULL;
        CrashStore *left = crash_image(log, n, UINT64_MAX, first, NULL);
        verify(c, left, n, "whole");
        crash_store_free(left);
        if (e && e->kind == LOG_WRITE && e->bytes > CRASH_SECTOR) {
            uint64_t sectors = e->bytes / CRASH_SECTOR;
            left = crash_image(log, n,
                               (uint64_t)g_rand_int_range(c->rand, 1, (int)sectors) * CRASH_SECTOR,
                               first, NULL);
            verify(c, left, n - 1, "torn");
            crash_store_free(left);
        }
        left = crash_image(log, n, UINT64_MAX, first, c->rand);
        verify(c, left, n, "some lost");
        crash_store_free(left);
    }
}

/* ---- one case -------------------------------------------------------------------------------- */

static void run_case(void *opaque)
{
    Crash *c = opaque;
    g_autoptr(GError) error = NULL;
    VitBlockOptions how = { .discard = true };

    crash_create(c->store, c->thread, c->c->format, c->c->create, DISK);
    guint first = c->store->log->len; /* a crash while an image is made leaves no image */
    c->disk = crash_open(crash_node_new(c->store, c->thread), c->c->format, c->c->open, &how,
                         &error);
    g_assert_no_error(error);
    c->running = WORKERS;
    for (int i = 0; i < WORKERS; i++) vit_fiber_start(c->thread, worker, c);
    while (c->running > 0) vit_fiber_cond_wait(&c->ended, NULL);
    vit_block_node_unref(c->disk);
    cut_everywhere(c, first);
}

static void test_case(gconstpointer data)
{
    const char *rounds = g_getenv("CRASH_ROUNDS");

    for (int round = rounds ? atoi(rounds) : 1; round > 0; round--) {
        Crash *c = g_new0(Crash, 1);
        c->c = data;
        c->thread = vit_io_thread_new("crash");
        /* One known run for every test of a change; CRASH_ROUNDS looks further. */
        c->rand = g_rand_new_with_seed(rounds ? (guint32)g_test_rand_int() : 1);
        c->store = crash_store_new(true, c->rand);
        c->busy.cond.thread = c->ended.thread = c->thread;
        c->flushes = g_ptr_array_new_with_free_func(g_free);
        for (unsigned s = 0; s < SECTORS; s++) c->past[s] = g_array_new(FALSE, FALSE, sizeof(Past));
        vit_fiber_run_sync(c->thread, run_case, c);
        g_test_message("%s: %u entries; %u crash images were clean, %u repaired", c->c->format,
                       c->store->log->len, c->opened_clean, c->repaired);
        g_assert_cmpuint(c->flushes->len, >, 0);
        for (unsigned s = 0; s < SECTORS; s++) g_array_unref(c->past[s]);
        g_ptr_array_unref(c->flushes);
        crash_store_free(c->store);
        vit_io_thread_free(c->thread);
        g_rand_free(c->rand);
        g_free(c);
    }
}

static const Case cases[] = {
    { "raw", "", "" },
    { "qcow2", "", "" },
    { "qcow2", "compat=0.10,cluster_size=4k", "" },
    { "qcow2", "lazy_refcounts=on", "" },
    { "qcow2", "extended_l2=on", "" },
    { "qcow2", "refcount_bits=1", "" },
    { "qed", "", "" },
    { "vdi", "", "" },
    { "vpc", "force_size=on", "" },
    { "vmdk", "", "" },
    { "vmdk", "zeroed_grain=on", "" },
    { "vhdx", "", "" },
    { "vhdx", "block_size=1M,block_state_zero=off", "" },
    { "parallels", "", "" },
    { "parallels", "cluster_size=64k", "" },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const VitBlockDriver *driver = vit_block_driver_find(cases[i].format);
        if (!driver) continue;
        if (strstr(cases[i].create, "lazy") && !driver->co_check) continue; /* needs repair */
        g_autofree char *name = g_strdup_printf("/crash/%s/%s", cases[i].format,
                                                *cases[i].create ? cases[i].create : "defaults");
        g_test_add_data_func(name, &cases[i], test_case);
    }
    return g_test_run();
}
