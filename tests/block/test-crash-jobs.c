/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-crash-jobs.c - jobs on each format, cut off at every point: what is worked on
 * opens or is repaired, and reads as before; what is made holds nothing but zeroes and the content.
 * The same when a request fails, whichever it is, and when files cannot grow any more
 *
 * A job works on one disk, of one file or of two (a backing file and what stands on it, a source
 * and a target). CRASH_ROUNDS=n makes n runs of each with chance of its own. */
#include "tests/block/crash.h"

#include "block/drivers.h"
#include "block/jobs/jobs.h"
#include "block/jobs/live.h"
#include "tests/block/run-job.h"

#include <stdlib.h>

enum { DISK = 1536 << 10, AREA = 32 << 10, LARGER = DISK + (1 << 20), SMALLER = DISK - 5 * AREA };
enum { LOWER, UPPER, FILES, AUTO = VIT_JOB_AUTO_FINALIZE | VIT_JOB_AUTO_DISMISS };

typedef enum {
    CREATE,  /* UPPER alone */
    CONVERT, /* LOWER into UPPER, which is new, like the next two */
    MIRROR,
    BACKUP,
    COMMIT, /* UPPER into LOWER, which it stands on */
    COMMIT_ACTIVE,
    STREAM, /* LOWER into UPPER, which stands on it */
    REBASE, /* UPPER from LOWER to another, which is all zeroes */
    GROW,   /* UPPER alone, like those that follow */
    SHRINK,
    COMPACT,
    CHECK,
} Kind;

typedef struct {
    const char *name;
    Kind kind;
    const char *lower, *upper; /* formats, with options after a comma; NULL: no such file */
} Case;

typedef struct {
    const Case *c;
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    GRand *rand;
    CrashStore *stores[FILES];
    uint8_t *content; /* DISK bytes, in memory of LARGER */
    VitBlockNode *lower, *upper, *other; /* references while the job runs */
    VitBlockJob *job; /* a reference */
    VitBlockCheck found;
    GError *error; /* owned: the job could not be made */
    const char *fault_name; /* borrowed: of what has failed */
    bool ended; /* the job succeeded */
    guint first, done; /* entries of the log when the job began, and when it had ended */
    unsigned clean, repaired, refused;
} Crash;

static bool is_chain(const Crash *c)
{
    return c->c->kind >= COMMIT && c->c->kind <= REBASE;
}

static const char *format_of(const Crash *c, unsigned number)
{
    static const char *const formats[] = { "qcow2", "qed",  "vdi",       "vpc",
                                           "vmdk",  "vhdx", "parallels", "raw" };
    const char *text = number == LOWER ? c->c->lower : c->c->upper;

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (g_str_has_prefix(text, formats[i])) return formats[i];
    }
    g_assert_not_reached();
}

static const char *options_of(const Crash *c, unsigned number)
{
    const char *text = number == LOWER ? c->c->lower : c->c->upper, *comma = strchr(text, ',');

    return comma ? comma + 1 : "";
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Opens one image; backing: taken, NULL: none. */
static VitBlockNode *open_one(Crash *c, CrashStore *store, unsigned number, VitBlockNode *backing,
                              bool check, GError **error)
{
    VitBlockOptions how = { .discard = true, .check = check, .no_backing = true };
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("crash", "", NULL, error);
    VitBlockNode *file = crash_node_new(store, c->thread);

    vit_block_args_set(args, "driver", format_of(c, number));
    vit_block_args_set_child(args, "file", file);
    file->how = how;
    VitBlockNode *disk = vit_co_open(c->graph, c->thread, args, &how, error);
    if (backing && disk) vit_block_add_edge(disk, backing, "backing", VIT_EDGE_BACKING);
    else vit_block_node_unref(backing);
    return disk;
}

/* What CHECK finds wrong, besides what an unclean end leaves. */
static void damage(Crash *c)
{
    GByteArray *file = c->stores[UPPER]->file;
    const char *format = format_of(c, UPPER);

    if (strcmp(format, "qcow2") == 0) { /* refcounts are lost: the table's first block */
        uint64_t table, block;
        memcpy(&table, file->data + 48, 8);
        memcpy(&block, file->data + GUINT64_FROM_BE(table), 8);
        memset(file->data + GUINT64_FROM_BE(block), 0, 512);
    } else if (strcmp(format, "qed") == 0) { /* clusters that nothing leads to */
        file->data[16] |= 2; /* needs a check */
        g_byte_array_set_size(file, file->len + (256 << 10));
        memset(file->data + file->len - (256 << 10), 0xa7, 256 << 10);
    }
}

static void write_content(Crash *c, VitBlockNode *disk)
{
    for (unsigned area = 0; area < DISK / AREA; area++) {
        uint8_t *at = c->content + area * AREA;
        unsigned what = (unsigned)g_rand_int_range(c->rand, 0, 4);
        if (what == 0) continue;
        for (unsigned i = 0; i < AREA; i++)
            at[i] = what == 1 ? 0 : (uint8_t)(area * 31 + what * 101 + i / 512 + 1);
        g_assert_cmpint(vit_co_write(disk, area * AREA, at, AREA, 0), ==, 0);
    }
}

static void make_image(Crash *c, unsigned number, const char *backing)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs)
        args = vit_block_args_parse("crash", options_of(c, number), NULL, &error);
    VitBlockNode *file = crash_node_new(c->stores[number], c->thread);
    VitBlockCreate create = { .thread = c->thread,
                              .file = file,
                              .size = DISK,
                              .backing_file = backing,
                              .backing_format = backing ? "raw" : NULL,
                              .options = args,
                              .driver = vit_block_driver_find(format_of(c, number)) };

    (void)create.driver->co_create(&create, &error);
    g_assert_no_error(error);
    vit_block_node_unref(file);
}

static void prepare(void *opaque)
{
    Crash *c = opaque;
    Kind kind = c->c->kind;
    g_autoptr(GError) error = NULL;

    for (unsigned n = LOWER; n < FILES; n++) {
        if (n == LOWER ? !c->c->lower : kind == CREATE) continue;
        make_image(c, n, n == UPPER && is_chain(c) ? "lower" : NULL);
        if (n == UPPER && kind >= CONVERT && kind <= BACKUP) continue;
        VitBlockNode *below = NULL;
        if (n == UPPER && is_chain(c)) {
            below = open_one(c, c->stores[LOWER], LOWER, NULL, false, &error);
            g_assert_no_error(error);
        }
        VitBlockNode *disk = open_one(c, c->stores[n], n, below, false, &error);
        g_assert_no_error(error);
        write_content(c, disk);
        vit_block_node_unref(disk);
    }
    if (kind == SHRINK) memset(c->content + SMALLER, 0, DISK - SMALLER);
    if (kind == CHECK) damage(c);
    /* All before is as if it had been there always: what is damaged is not in the log. */
    g_array_set_size(c->stores[LOWER]->log, 0);
    for (unsigned n = LOWER; n < FILES; n++) {
        CrashNode node = { .parent = { .thread = c->thread }, .store = c->stores[n] };
        GByteArray *file = c->stores[n]->file;
        crash_log(&node, LOG_WRITE, 0, file->len, file->data, true);
    }
    c->first = c->stores[LOWER]->log->len;
    if (c->c->lower) c->lower = open_one(c, c->stores[LOWER], LOWER, NULL, false, &error);
    g_assert_no_error(error);
    if (kind != CREATE)
        c->upper = open_one(c, c->stores[UPPER], UPPER,
                            is_chain(c) ? vit_block_node_ref(c->lower) : NULL, kind == CHECK,
                            &error);
    else c->upper = crash_node_new(c->stores[UPPER], c->thread);
    g_assert_no_error(error);
    if (kind == REBASE) {
        g_autoptr(VitBlockArgs) args = vit_block_args_parse(
            "other", "driver=null-co,read-zeroes=on,size=1572864", NULL, &error);
        g_assert_no_error(error);
        c->other = vit_co_open(c->graph, c->thread, args, &(VitBlockOptions){ 0 }, &error);
        g_assert_no_error(error);
    }
}

/* ---- the job --------------------------------------------------------------------------------- */

static void begin(void *opaque)
{
    Crash *c = opaque;
    VitBlockLiveOptions live = { .graph = c->graph, .jobs = c->jobs, .flags = AUTO };
    VitBlockMirror mirror = { .sync = VIT_SYNC_FULL, .unmap = true };
    VitBlockBackup backup = { .sync = VIT_SYNC_FULL };
    VitBlockCommit commit = { .top = c->upper, .base = c->lower, .make_empty = true };
    VitBlockRebase rebase = { .node = c->upper, .file = "other", .format = "raw" };
    bool stream = c->upper && vit_block_info(c->upper).must_compress;
    VitBlockConvert convert = { .sources = &c->lower,
                                .n_sources = 1,
                                .target = c->upper,
                                .sparse = 4096,
                                .compressed = stream || strstr(c->c->name, "compressed"),
                                .target_is_zero = true };
    g_autoptr(GError) error = NULL;
    VitBlockCreate create = { .thread = c->thread, .file = c->upper, .size = DISK };

    switch (c->c->kind) {
    case CREATE:
        create.driver = vit_block_driver_find(format_of(c, UPPER));
        create.options = vit_block_args_parse("crash", options_of(c, UPPER), NULL, &error);
        c->job = vit_block_create_new(c->jobs, NULL, AUTO, &create, &error);
        break;
    case CONVERT: c->job = vit_block_convert_new(c->jobs, NULL, AUTO, &convert, &error); break;
    case MIRROR: c->job = vit_co_mirror_new(&live, c->lower, c->upper, &mirror, &error); break;
    case BACKUP: c->job = vit_co_backup_new(&live, c->lower, c->upper, &backup, &error); break;
    case COMMIT: c->job = vit_block_commit_new(c->jobs, NULL, AUTO, &commit, &error); break;
    case COMMIT_ACTIVE:
        c->job = vit_co_commit_new(&live, c->upper, c->upper, c->lower, NULL, &error);
        break;
    case STREAM: c->job = vit_co_stream_new(&live, c->upper, NULL, NULL, &error); break;
    case REBASE:
        rebase.backing = c->other;
        c->job = vit_block_rebase_new(c->jobs, NULL, AUTO, &rebase, &error);
        break;
    case GROW:
    case SHRINK:
        c->job = vit_block_resize_new(
            c->jobs, NULL, AUTO, c->upper, c->c->kind == GROW ? LARGER : SMALLER,
            strstr(c->c->name, "metadata") ? VIT_PREALLOC_METADATA : VIT_PREALLOC_OFF, &error);
        break;
    case COMPACT: c->job = vit_block_compact_new(c->jobs, NULL, AUTO, c->upper, &error); break;
    case CHECK:
        c->job = vit_block_check_new(c->jobs, NULL, AUTO, c->upper, VIT_FIX_LEAKS | VIT_FIX_ERRORS,
                                     &c->found, &error);
        break;
    }
    if (c->job) vit_block_job_start(c->job);
    else c->error = g_steal_pointer(&error);
}

/* ---- what is left ---------------------------------------------------------------------------- */

static bool is_sound(VitBlockNode *disk, unsigned fix)
{
    VitBlockCheck check = { 0 };

    if (!disk->driver->co_check) return true;
    return disk->driver->co_check(disk, &check, fix) == 0 && check.check_errors == 0 &&
           check.corruptions <= check.corruptions_fixed;
}

/* An image alone, repaired when it needs that; NULL: it cannot be. */
static VitBlockNode *open_sound(Crash *c, CrashStore *left, unsigned number, GError **error)
{
    VitBlockNode *disk = open_one(c, left, number, NULL, false, error);

    if (disk && is_sound(disk, 0)) {
        c->clean++;
        return disk;
    }
    vit_block_node_unref(disk);
    g_clear_error(error);
    disk = open_one(c, left, number, NULL, true, error);
    bool good = disk && disk->driver->co_check && is_sound(disk, VIT_FIX_LEAKS | VIT_FIX_ERRORS);
    vit_block_node_unref(disk);
    if (!good) return NULL;
    c->repaired++;
    disk = open_one(c, left, number, NULL, false, error);
    if (disk) g_assert_true(is_sound(disk, 0));
    return disk;
}

/* The disk as a whole: with what the image says that it stands on. */
static VitBlockNode *open_left(Crash *c, CrashStore *left[FILES], GError **error)
{
    VitBlockNode *disk = open_sound(c, left[UPPER], UPPER, error), *below = NULL;

    if (!disk || !disk->backing_file) return disk;
    if (strcmp(disk->backing_file, "other") == 0) {
        below = vit_block_node_ref(c->other);
    } else {
        g_assert_cmpstr(disk->backing_file, ==, "lower");
        below = open_sound(c, left[LOWER], LOWER, error);
        if (!below) {
            vit_block_node_unref(disk);
            return NULL;
        }
    }
    vit_block_node_unref(disk);
    return open_one(c, left[UPPER], UPPER, below, false, error);
}

/* how: for messages; ended: the job had done its work. */
static void verify(Crash *c, CrashStore *left[FILES], bool ended, const char *how)
{
    Kind kind = c->c->kind;
    bool is_new = kind <= BACKUP;
    g_autofree uint8_t *data = g_malloc(LARGER);
    g_autoptr(GError) error = NULL;
    VitBlockNode *disk = open_left(c, left, &error);

    if (!disk && kind == CREATE && !ended) { /* that there is no image yet is said */
        c->refused++;
        return;
    }
    if (!disk) g_error("%s: %s: not repaired: %s", c->c->name, how, error ? error->message : "");
    uint64_t size = disk->size;
    if (!(size == DISK || (kind == GROW && size == LARGER) || (kind == SHRINK && size == SMALLER)))
        g_error("%s: %s: has %" G_GUINT64_FORMAT " bytes", c->c->name, how, size);
    g_assert_cmpint(vit_co_read(disk, 0, data, size), ==, 0);
    uint64_t known = kind == SHRINK ? SMALLER : size;
    for (uint64_t at = 0; at < known; at += CRASH_SECTOR) {
        if (memcmp(data + at, c->content + at, CRASH_SECTOR) == 0) continue;
        if (is_new && !ended && vit_block_is_zero(data + at, CRASH_SECTOR)) continue;
        g_error("%s: %s: byte %" G_GUINT64_FORMAT " is %02x, not %02x", c->c->name, how, at,
                data[at], c->content[at]);
    }
    vit_block_node_unref(disk);
}

static void cut_everywhere(void *opaque)
{
    Crash *c = opaque;
    GArray *log = c->stores[LOWER]->log;
    static const char *const names[] = { "whole", "torn", "some lost" };

    for (guint n = c->first; n <= log->len; n++) {
        const LogEntry *e = n > c->first ? &g_array_index(log, LogEntry, n - 1) : NULL;
        for (int kind = 0; kind < 3; kind++) {
            bool tear = e && e->kind == LOG_WRITE && e->bytes > CRASH_SECTOR;
            if (kind == 1 && !tear) continue;
            int sectors = tear ? (int)((e->bytes + CRASH_SECTOR - 1) / CRASH_SECTOR) : 0;
            uint64_t torn = UINT64_MAX;
            if (kind == 1) torn = (uint64_t)g_rand_int_range(c->rand, 1, sectors) * CRASH_SECTOR;
            CrashStore *left[FILES];
            for (unsigned f = 0; f < FILES; f++)
                left[f] = crash_image_of(log, f, n, torn, c->first, kind == 2 ? c->rand : NULL);
            g_autofree char *how = g_strdup_printf("crash after %u of %u entries (%s)", n, c->done,
                                                   names[kind]);
            verify(c, left, (kind == 1 ? n - 1 : n) >= c->done, how);
            for (unsigned f = 0; f < FILES; f++) crash_store_free(left[f]);
        }
    }
}

/* ---- one case -------------------------------------------------------------------------------- */

static void close_all(void *opaque)
{
    Crash *c = opaque;

    vit_block_node_unref(g_steal_pointer(&c->upper));
    vit_block_node_unref(g_steal_pointer(&c->lower));
}

static void close_other(void *opaque)
{
    vit_block_node_unref(((Crash *)opaque)->other);
}

static Crash *crash_new(const Case *what, guint32 seed)
{
    Crash *c = g_new0(Crash, 1);

    c->c = what;
    c->thread = vit_io_thread_new("crash");
    c->rand = g_rand_new_with_seed(seed);
    c->content = g_malloc0(LARGER);
    c->graph = vit_block_graph_new(c->thread);
    c->jobs = vit_block_jobs_new(c->thread);
    vit_block_jobs_listen(c->jobs, complete_when_ready, c);
    c->stores[LOWER] = crash_store_new(true, c->rand);
    c->stores[UPPER] = crash_store_beside(c->stores[LOWER], UPPER);
    vit_fiber_run_sync(c->thread, prepare, c);
    return c;
}

static void crash_free(Crash *c)
{
    vit_fiber_run_sync(c->thread, close_other, c);
    for (unsigned f = 0; f < FILES; f++) crash_store_free(c->stores[f]);
    vit_block_jobs_free(c->jobs);
    vit_block_graph_free(c->graph);
    vit_io_thread_free(c->thread);
    g_rand_free(c->rand);
    g_free(c->content);
    g_free(c);
}

/* Whether the job succeeded; all nodes are closed. */
static bool run_to_end(Crash *c, GError **error)
{
    vit_fiber_run_sync(c->thread, begin, c);
    bool good = c->job && vit_block_job_wait(c->job, error);

    if (c->job) vit_block_job_unref(g_steal_pointer(&c->job));
    else g_propagate_error(error, g_steal_pointer(&c->error));
    c->done = c->stores[LOWER]->log->len;
    vit_fiber_run_sync(c->thread, close_all, c);
    return good;
}

static void run_crash(const Case *what, guint32 seed)
{
    Crash *c = crash_new(what, seed);
    g_autoptr(GError) error = NULL;

    (void)run_to_end(c, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(c->done, >, c->first);
    vit_fiber_run_sync(c->thread, cut_everywhere, c);
    g_test_message("%u entries; %u crash images were clean, %u repaired, %u refused",
                   c->stores[LOWER]->log->len - c->first, c->clean, c->repaired, c->refused);
    crash_free(c);
}

static void test_crash(gconstpointer data)
{
    const char *rounds = g_getenv("CRASH_ROUNDS");

    if (!rounds) run_crash(data, 1); /* one known run for every test of a change */
    for (int round = rounds ? atoi(rounds) : 0; round > 0; round--)
        run_crash(data, (guint32)g_test_rand_int());
}

/* ---- the same, with requests that fail ------------------------------------------------------- */

static void check_rest(void *opaque)
{
    Crash *c = opaque;
    g_autofree char *how = g_strdup_printf("%s request failed", c->fault_name);

    for (unsigned f = 0; f < FILES; f++) {
        c->stores[f]->fault = NULL;
        g_clear_pointer(&c->stores[f]->log, g_array_unref);
    }
    verify(c, c->stores, c->ended, how);
}

/* Whether there was a request to fail. */
static bool fail_at(const Case *what, unsigned skip, bool full)
{
    Crash *c = crash_new(what, 1);
    g_autofree char *name = g_strdup_printf("%u. %s", skip, full ? "growing" : "any");
    CrashFault fault = { .skip = skip, .full = full };
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) source = NULL;

    for (unsigned f = 0; f < FILES; f++) c->stores[f]->fault = &fault;
    if (what->kind >= CONVERT && what->kind <= BACKUP)
        source = g_bytes_new(c->stores[LOWER]->file->data, c->stores[LOWER]->file->len);
    c->fault_name = name;
    c->ended = run_to_end(c, &error);
    if (!c->ended && !fault.hit) g_error("%s: %s", what->name, error->message);
    g_assert_true(c->ended || error);
    if (source)
        g_assert_cmpmem(g_bytes_get_data(source, NULL), g_bytes_get_size(source),
                        c->stores[LOWER]->file->data, c->stores[LOWER]->file->len);
    vit_fiber_run_sync(c->thread, check_rest, c);
    crash_free(c);
    return fault.hit;
}

static void test_errors(gconstpointer data)
{
    for (int full = 0; full < 2; full++) {
        unsigned skip = 0;
        while (fail_at(data, skip, full)) skip++;
        g_test_message("%u requests have failed", skip);
        g_assert_true(skip > 0 || full);
    }
}

#define Q     "qcow2,cluster_size=4k"
#define OLD   "qcow2,compat=0.10,cluster_size=4k"
#define SUB   "qcow2,extended_l2=on,cluster_size=16k"
#define LAZY  "qcow2,lazy_refcounts=on,cluster_size=4k"
#define VPC   "vpc,force_size=on"
#define VHDX  "vhdx,block_size=1M"
#define SMALL "parallels,cluster_size=64k"

static const Case cases[] = {
    { "create/qcow2", CREATE, NULL, Q },
    { "create/qcow2-metadata", CREATE, NULL, Q ",preallocation=metadata" },
    { "create/qed", CREATE, NULL, "qed" },
    { "create/vdi", CREATE, NULL, "vdi" },
    { "create/vpc", CREATE, NULL, VPC },
    { "create/vmdk", CREATE, NULL, "vmdk" },
    { "create/vhdx", CREATE, NULL, VHDX },
    { "create/parallels", CREATE, NULL, "parallels" },
    { "convert/raw", CONVERT, Q, "raw" },
    { "convert/qcow2", CONVERT, "raw", Q },
    { "convert/qcow2-old", CONVERT, "raw", OLD },
    { "convert/qcow2-compressed", CONVERT, "raw", Q },
    { "convert/qcow2-compressed-zstd", CONVERT, "raw", "qcow2,compression_type=zstd" },
    { "convert/qcow2-subclusters", CONVERT, "raw", SUB },
    { "convert/qed", CONVERT, "raw", "qed" },
    { "convert/vdi", CONVERT, "raw", "vdi" },
    { "convert/vpc", CONVERT, "raw", VPC },
    { "convert/vmdk", CONVERT, "raw", "vmdk" },
    { "convert/vhdx", CONVERT, "raw", VHDX },
    { "convert/parallels", CONVERT, "raw", SMALL },
    { "mirror/qcow2", MIRROR, Q, Q },
    { "mirror/vmdk", MIRROR, "qed", "vmdk" },
    { "mirror/vhdx", MIRROR, "raw", VHDX },
    { "backup/qcow2", BACKUP, Q, SUB },
    { "backup/qed", BACKUP, "raw", "qed" },
    { "backup/parallels", BACKUP, "raw", SMALL },
    { "commit/raw", COMMIT, "raw", Q },
    { "commit/qcow2", COMMIT, Q, Q },
    { "commit/qcow2-old", COMMIT, OLD, OLD },
    { "commit/qcow2-subclusters", COMMIT, SUB, SUB },
    { "commit/qcow2-lazy", COMMIT, LAZY, LAZY },
    { "commit/qed", COMMIT, "qed", "qed" },
    { "commit/vmdk", COMMIT, "vmdk", Q },
    { "commit/vhdx", COMMIT, VHDX, Q },
    { "commit/vpc", COMMIT, VPC, Q },
    { "commit/vdi", COMMIT, "vdi", Q },
    { "commit/parallels", COMMIT, SMALL, Q },
    { "commit-active/qcow2", COMMIT_ACTIVE, Q, Q },
    { "commit-active/qed", COMMIT_ACTIVE, "qed", "qed" },
    { "stream/qcow2", STREAM, "raw", Q },
    { "stream/qcow2-subclusters", STREAM, Q, SUB },
    { "stream/qed", STREAM, "raw", "qed" },
    { "rebase/qcow2", REBASE, "raw", Q },
    { "rebase/qcow2-old", REBASE, "raw", OLD },
    { "rebase/qed", REBASE, "raw", "qed" },
    { "grow/raw", GROW, NULL, "raw" },
    { "grow/qcow2", GROW, NULL, "qcow2,cluster_size=512" },
    { "grow/qcow2-metadata", GROW, NULL, Q },
    { "grow/qcow2-old", GROW, NULL, OLD },
    { "grow/qed", GROW, NULL, "qed" },
    { "shrink/raw", SHRINK, NULL, "raw" },
    { "shrink/qcow2", SHRINK, NULL, "qcow2,cluster_size=512" },
    { "shrink/qcow2-subclusters", SHRINK, NULL, SUB },
    { "compact/raw", COMPACT, NULL, "raw" },
    { "compact/qcow2", COMPACT, NULL, Q },
    { "compact/qcow2-old", COMPACT, NULL, OLD },
    { "compact/qcow2-subclusters", COMPACT, NULL, SUB },
    { "compact/qed", COMPACT, NULL, "qed" },
    { "compact/vdi", COMPACT, NULL, "vdi" },
    { "compact/vmdk", COMPACT, NULL, "vmdk,zeroed_grain=on" },
    { "compact/vhdx", COMPACT, NULL, VHDX },
    { "compact/parallels", COMPACT, NULL, SMALL },
    { "check/qcow2", CHECK, NULL, Q },
    { "check/qcow2-old", CHECK, NULL, OLD },
    { "check/qcow2-subclusters", CHECK, NULL, SUB },
    { "check/qcow2-narrow", CHECK, NULL, "qcow2,refcount_bits=1,cluster_size=512" },
    { "check/qed", CHECK, NULL, "qed" },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *crash = g_strdup_printf("/crash-jobs/%s", cases[i].name);
        g_autofree char *errors = g_strdup_printf("/crash-jobs/%s/errors", cases[i].name);
        g_test_add_data_func(crash, &cases[i], test_crash);
        g_test_add_data_func(errors, &cases[i], test_errors);
    }
    return g_test_run();
}
