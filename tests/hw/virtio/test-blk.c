/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-blk.c - the disk as a driver uses it, against a file */
#include "block/driver.h"
#include "block/graph.h"
#include "tests/hw/virtio/garbage.h"

#include <glib/gstdio.h>
#include <unistd.h>

enum {
    DISK = 8 << 20,
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_ZEROES = 13
};

typedef struct {
    TestMachine      m;
    VitIoThread     *thread, *other;
    VitBlockNode    *node;
    VitBlockObjects *objects;
    VitDeviceContext ctx;
    VitDevice       *device;
    Guest            g;
    GuestQueue       q;
    char            *path;
    bool             limited;   /* before setup() */
} Fixture;

/* The drive gets a root that lets one byte pass each second. */
static void limit(Fixture *f)
{
    VitBlockNode *root = vit_block_root_new(f->node, "d0");
    g_autoptr(GError) error = NULL;

    g_assert_true(vit_block_objects_add_text(f->objects, "throttle-group,id=slow,x-bps-total=1",
                                             &error));
    g_assert_no_error(error);
    VitBlockObject *group = vit_block_objects_use_group(f->objects, "slow", &error);
    vit_block_root_throttle(root, group);
    f->node = root;
    g_hash_table_insert(f->ctx.drives, "d0", root);
}

static void setup(Fixture *f, const char *options, bool msix, uint64_t features)
{
    GError *error = NULL;
    int fd = g_file_open_tmp("vit-blk-XXXXXX", &f->path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(fd, DISK), ==, 0);
    for (uint32_t i = 0; i < DISK; i += 512)
        g_assert_cmpint(pwrite(fd, &i, 4, i), ==, 4);
    close(fd);

    test_machine_init(&f->m, true);
    f->thread = vit_io_thread_new("disk");
    f->node = vit_block_open("raw", f->path, &(VitBlockOptions) { .discard = true, .lock = true },
                             f->thread, &error);
    g_assert_no_error(error);
    f->ctx = (VitDeviceContext) { .sys = f->m.sys, .pci = f->m.bus };
    f->ctx.objects = f->objects = vit_block_objects_new();
    g_assert_true(vit_block_objects_add_text(f->objects, "iothread,id=t1", &error));
    g_assert_true(vit_block_objects_add_text(f->objects, "iothread,id=t2", &error));
    f->other = vit_io_thread_new("other");
    f->ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(f->ctx.drives, "d0", f->node);
    if (f->limited)
        limit(f);
    f->device = vit_pci_device_create(&f->ctx, options, &error);
    g_assert_no_error(error);
    vit_system_reset(f->m.sys);
    guest_probe(&f->g, &f->m, 0, msix);
    (void) guest_negotiate(&f->g, features);
    guest_queue(&f->g, &f->q, 0, 64);
    guest_driver_ok(&f->g);
}

static void teardown(Fixture *f)
{
    test_machine_clear(&f->m);
    vit_block_node_close(f->node);
    vit_block_objects_free(f->objects);
    vit_io_thread_free(f->thread);
    vit_io_thread_free(f->other);
    g_hash_table_unref(f->ctx.drives);
    g_unlink(f->path);
    g_free(f->path);
}

static uint8_t request(Fixture *f, GuestQueue *q, uint32_t type, uint64_t sector, uint64_t data,
                       uint32_t len, bool indirect, uint32_t *used)
{
    struct { uint32_t type, ioprio; uint64_t sector; } header = { type, 0, sector };
    bool write = type == T_IN || type == T_GET_ID;
    uint64_t status = guest_put(&f->g, &(uint8_t) { 0xee }, 1);
    GuestBuf bufs[3] = { { guest_put(&f->g, &header, 16), 16, false },
                         { data, len, write },
                         { status, 1, true } };
    if (!len)
        bufs[1] = bufs[2];
    uint32_t n = guest_do(q, bufs, len ? 3 : 2, indirect);
    if (used)
        *used = n;
    return *(uint8_t *) guest_ptr(&f->g, status);
}

static const uint64_t RINGS = 1ull << 28 | 1ull << 29;
#define BLK_FEATURES                                                                               \
    (RINGS | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14)

static void test_config(void)
{
    Fixture f = { 0 };
    setup(&f,
          "virtio-blk-pci,drive=d0,serial=ABC,num-queues=3,queue-size=128,logical_block_size=512,"
          "physical_block_size=4k,min_io_size=8k,opt_io_size=64k,discard_granularity=16k",
          true, BLK_FEATURES);
    g_assert_cmphex(cfg_read(&f.m, 0, 0, 4), ==, 0x10421af4);
    g_assert_cmpuint(reg_read(&f.g, f.g.device, 4), ==, DISK / 512);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 12, 4), ==, 126);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 20, 4), ==, 512);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 24, 1), ==, 3);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 26, 2), ==, 16);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 28, 4), ==, 128);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 44, 4), ==, 32);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 34, 2), ==, 3);
    g_assert_cmpuint(reg_read(&f.g, f.g.common + 0x12, 2), ==, 3);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 32, 1), ==, 1);
    reg_write(&f.g, f.g.device + 32, 0, 1);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 32, 1), ==, 0);
    g_assert_cmpuint(reg_read(&f.g, f.g.device + 200, 4), ==, 0);

    uint64_t id = guest_alloc(&f.g, 20);
    uint32_t used;
    g_assert_cmpuint(request(&f, &f.q, T_GET_ID, 0, id, 20, false, &used), ==, 0);
    g_assert_cmpuint(used, ==, 21);
    g_assert_cmpstr(guest_ptr(&f.g, id), ==, "ABC");
    teardown(&f);
}

static void test_read_write(bool msix, uint64_t features, bool indirect)
{
    Fixture f = { 0 };
    uint32_t used;
    setup(&f, "virtio-blk-pci,drive=d0", msix, features);
    uint64_t buf = guest_alloc(&f.g, 8192);
    g_assert_cmpuint(request(&f, &f.q, T_IN, 3, buf, 8192, indirect, &used), ==, 0);
    g_assert_cmpuint(used, ==, 8193);
    for (uint32_t i = 0; i < 16; i++)
        g_assert_cmpuint(*(uint32_t *) guest_ptr(&f.g, buf + 512 * i), ==, 512 * (3 + i));
    memset(guest_ptr(&f.g, buf), 0x5a, 8192);
    g_assert_cmpuint(request(&f, &f.q, T_OUT, 100, buf, 4096, indirect, &used), ==, 0);
    g_assert_cmpuint(used, ==, 1);
    g_assert_cmpuint(request(&f, &f.q, T_FLUSH, 0, 0, 0, indirect, NULL), ==, 0);
    uint8_t back[512];
    g_assert_cmpint(vit_block_read_sync(f.node, 107 * 512, back, 512), ==, 0);
    g_assert_cmpuint(back[0], ==, 0x5a);
    g_assert_cmpuint(back[511], ==, 0x5a);
    g_assert_cmpint(vit_block_read_sync(f.node, 108 * 512, back, 512), ==, 0);
    g_assert_cmpuint(back[0], ==, 108 * 512 & 0xff);
    if (msix) {
        g_assert_true(guest_wait_message(&f.g, 1, 1));
    } else {
        for (unsigned i = 0; i < 1000 && !f.m.lines[0]; i++)
            g_usleep(1000);
        g_assert_true(f.m.lines[0]);
        g_assert_cmphex(reg_read(&f.g, f.g.isr, 1), ==, 1);
        g_assert_false(f.m.lines[0]);
    }
    teardown(&f);
}

static void test_direct(void) { test_read_write(true, 0, false); }
static void test_indirect(void) { test_read_write(true, BLK_FEATURES, true); }
static void test_intx(void) { test_read_write(false, BLK_FEATURES, true); }

static void test_ranges(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    struct { uint64_t sector; uint32_t n, flags; } r[2] = { { 8, 8, 1 }, { 32, 8, 0 } };
    uint64_t buf = guest_put(&f.g, r, sizeof r);
    g_assert_cmpuint(request(&f, &f.q, T_ZEROES, 0, buf, 32, true, NULL), ==, 0);
    uint32_t word;
    g_assert_cmpint(vit_block_read_sync(f.node, 15 * 512, &word, 4), ==, 0);
    g_assert_cmpuint(word, ==, 0);
    g_assert_cmpint(vit_block_read_sync(f.node, 39 * 512, &word, 4), ==, 0);
    g_assert_cmpuint(word, ==, 0);
    g_assert_cmpint(vit_block_read_sync(f.node, 40 * 512, &word, 4), ==, 0);
    g_assert_cmpuint(word, ==, 40 * 512);
    r[0].flags = 0;
    buf = guest_put(&f.g, r, 16);
    if (f.g.features & 1 << 13)
        g_assert_cmpuint(request(&f, &f.q, T_DISCARD, 0, buf, 16, true, NULL), ==, 0);
    r[0].sector = DISK / 512 - 4;       /* past the end */
    buf = guest_put(&f.g, r, 16);
    g_assert_cmpuint(request(&f, &f.q, T_ZEROES, 0, buf, 16, true, NULL), ==, 1);
    g_assert_cmpuint(request(&f, &f.q, T_ZEROES, 0, buf, 15, true, NULL), ==, 1);
    teardown(&f);
}

static void test_errors(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    uint64_t buf = guest_alloc(&f.g, 4096);
    g_assert_cmpuint(request(&f, &f.q, T_IN, DISK / 512, buf, 512, false, NULL), ==, 1);
    g_assert_cmpuint(request(&f, &f.q, T_IN, UINT64_MAX / 512, buf, 512, false, NULL), ==, 1);
    g_assert_cmpuint(request(&f, &f.q, T_IN, UINT64_MAX, buf, 512, false, NULL), ==, 1);
    g_assert_cmpuint(request(&f, &f.q, T_OUT, 0, buf, 100, false, NULL), ==, 1);
    g_assert_cmpuint(request(&f, &f.q, 77, 0, buf, 512, false, NULL), ==, 2);
    g_assert_cmpuint(request(&f, &f.q, T_IN, 1, buf, 512, false, NULL), ==, 0);
    teardown(&f);
}

/* Many requests on several queues at once, interrupts for each queue. */
static void test_queues(void)
{
    Fixture f = { 0 };
    GuestQueue q[4];
    setup(&f, "virtio-blk-pci,drive=d0,num-queues=4", true, BLK_FEATURES);
    guest_negotiate(&f.g, BLK_FEATURES);
    for (unsigned i = 0; i < 4; i++)
        guest_queue(&f.g, &q[i], i, 64);
    guest_driver_ok(&f.g);
    for (unsigned round = 0; round < 20; round++) {
        uint64_t data[4][16];
        for (unsigned i = 0; i < 64; i++) {
            struct { uint32_t type, ioprio; uint64_t sector; } h = { T_IN, 0, round * 64 + i };
            data[i % 4][i / 4] = guest_alloc(&f.g, 513);
            GuestBuf bufs[] = { { guest_put(&f.g, &h, 16), 16, false },
                                { data[i % 4][i / 4], 513, true } };
            guest_add(&q[i % 4], bufs, 2, true);
        }
        for (unsigned i = 0; i < 4; i++)
            guest_kick(&q[i]);
        for (unsigned i = 0; i < 64; i++)
            g_assert_true(guest_used(&q[i % 4], NULL, NULL, 5000));
        for (unsigned i = 0; i < 64; i++) {
            uint8_t *p = guest_ptr(&f.g, data[i % 4][i / 4]);
            g_assert_cmpuint(*(uint32_t *) p, ==, (round * 64 + i) * 512);
            g_assert_cmpuint(p[512], ==, 0);
        }
    }
    for (unsigned i = 0; i < 4; i++)
        g_assert_true(guest_wait_message(&f.g, 1 + i, 1));
    teardown(&f);
}

/* Reset, and the end of the machine, with requests under way. */
/* What the node below the device sees; on its thread. */
typedef struct {
    VitBlockDriver       driver;
    const VitBlockDriver *real;
    int                  plugged;
    unsigned             held, batches;     /* requests that came while it was plugged */
} Watched;

static Watched *watched_of(VitBlockNode *node)
{
    return (Watched *) node->driver;
}

static void watch_plug(VitBlockNode *node, bool on)
{
    Watched *w = watched_of(node);

    w->plugged += on ? 1 : -1;
    w->batches += on;
    if (on)
        vit_block_plug(node->file->node);
    else
        vit_block_unplug(node->file->node);
}

static bool watch_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Watched *w = watched_of(node);

    w->held += w->plugged > 0;
    return w->real->try_submit(node, req);
}

/* All requests that one look at the queue finds are handed to the host together. */
static void test_batch(void)
{
    enum { REQUESTS = 16 };
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    Watched watched = { .driver = *f.node->driver, .real = f.node->driver };
    watched.driver.plug = watch_plug;
    watched.driver.try_submit = watch_submit;
    f.node->driver = &watched.driver;
    uint64_t data = guest_alloc(&f.g, REQUESTS * 512);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct { uint32_t type, ioprio; uint64_t sector; } h = { T_IN, 0, i };
        GuestBuf bufs[] = { { guest_put(&f.g, &h, 16), 16, false },
                            { data + 512 * i, 512, true },
                            { guest_alloc(&f.g, 1), 1, true } };
        guest_add(&f.q, bufs, 3, true);
    }
    guest_kick(&f.q);
    for (unsigned i = 0; i < REQUESTS; i++)
        g_assert_true(guest_used(&f.q, NULL, NULL, 5000));
    vit_block_drain(f.node);
    g_assert_cmpuint(watched.held, ==, REQUESTS);
    g_assert_cmpuint(watched.batches, <, REQUESTS);
    g_assert_cmpint(watched.plugged, ==, 0);
    f.node->driver = watched.real;
    teardown(&f);
}

static void test_reset_under_load(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    uint64_t data = guest_alloc(&f.g, 1 << 20);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 32; i++) {
            struct {
                uint32_t type, ioprio;
                uint64_t sector;
            } h = { round & 1 ? T_OUT : T_IN, 0, i };
            GuestBuf bufs[] = { { guest_put(&f.g, &h, 16), 16, false },
                                { data, 65536, !(round & 1) },
                                { guest_alloc(&f.g, 1), 1, true } };
            guest_add(&f.q, bufs, 3, true);
        }
        guest_kick(&f.q);
        if (round % 3 == 0)
            vit_system_reset(f.m.sys), guest_probe(&f.g, &f.m, 0, true);
        if (round == 49)
            break;
        (void) guest_negotiate(&f.g, BLK_FEATURES);
        guest_queue(&f.g, &f.q, 0, 64);
        guest_driver_ok(&f.g);
    }
    teardown(&f);
}

static void offer_read(Fixture *f, GuestQueue *q, uint64_t sector, uint64_t data)
{
    struct { uint32_t type, ioprio; uint64_t sector; } h = { T_IN, 0, sector };
    GuestBuf bufs[] = { { guest_put(&f->g, &h, 16), 16, false },
                        { data, 512, true },
                        { guest_alloc(&f->g, 1), 1, true } };
    guest_add(q, bufs, 3, true);
}

static void queues_up(Fixture *f, GuestQueue *q, unsigned n)
{
    guest_negotiate(&f->g, BLK_FEATURES);
    for (unsigned i = 0; i < n; i++)
        guest_queue(&f->g, &q[i], i, 64);
    guest_driver_ok(&f->g);
}

/* Requests that limits hold do not hold up a save, a reset by guest or machine, nor the device's
 * end. */
static void test_limits(void)
{
    enum { REQUESTS = 12 };
    Fixture f = { .limited = true };
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    GuestQueue q;
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    uint64_t data = guest_alloc(&f.g, 512);

    for (unsigned round = 0; round < 4; round++) {
        queues_up(&f, &q, 1);       /* resets it first */
        for (unsigned i = 0; i < REQUESTS; i++)
            offer_read(&f, &q, i, data);
        guest_kick(&q);
        (void) guest_used(&q, NULL, NULL, 50);
        g_assert_false(guest_used(&q, NULL, NULL, 50));
        int64_t start = g_get_monotonic_time();
        if (round == 0)
            g_assert_true(vit_system_save(f.m.sys, state, &error));
        else if (round == 1)
            guest_reset(&f.g);
        else if (round == 2)
            vit_system_reset(f.m.sys), guest_probe(&f.g, &f.m, 0, true);
        else
            teardown(&f);
        g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
    }
}

/* A save catches the device at rest; a load goes on with requests that were not taken yet. */
static void test_save(void)
{
    Fixture f = { 0 };
    GError *error = NULL;
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    uint64_t data = guest_alloc(&f.g, 4096);
    g_assert_cmpuint(request(&f, &f.q, T_IN, 1, data, 512, false, NULL), ==, 0);
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(vit_system_save(f.m.sys, state, &error));
    GuestQueue q = f.q;
    vit_system_reset(f.m.sys);
    g_assert_cmphex(guest_status(&f.g), ==, 0xff);
    struct { uint32_t type, ioprio; uint64_t sector; } h = { T_IN, 0, 9 };
    GuestBuf bufs[] = { { guest_put(&f.g, &h, 16), 16, false },
                        { data, 512, true },
                        { guest_alloc(&f.g, 1), 1, true } };
    guest_add(&q, bufs, 3, false);
    g_assert_true(vit_system_load(f.m.sys, state->data, state->len, &error));
    g_assert_cmphex(guest_status(&f.g), ==, 15);
    g_assert_true(guest_used(&q, NULL, NULL, 5000));
    g_assert_cmpuint(*(uint32_t *) guest_ptr(&f.g, data), ==, 9 * 512);
    state->data[state->len / 2] ^= 1;
    g_assert_false(vit_system_load(f.m.sys, state->data, state->len, &error));
    g_clear_error(&error);
    teardown(&f);
}

static void expect_error(Fixture *f, const char *text, const char *part)
{
    GError *error = NULL;
    unsigned before = f->m.sys->devices->len;
    g_assert_null(vit_pci_device_create(&f->ctx, text, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, part))
        g_error("\"%s\" does not say \"%s\"", error->message, part);
    g_clear_error(&error);
    g_assert_cmpuint(f->m.sys->devices->len, ==, before);
}

static void test_options(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0,id=disk,addr=0,share-rw=on", true, BLK_FEATURES);
    expect_error(&f, "virtio-blk-pci,drive=d0", "'disk'");
    expect_error(&f, "virtio-blk-pic,drive=d0", "virtio-blk-pci");
    expect_error(&f, "virtio-blk-pci,drive=d0,num-queue=2", "num-queues");
    expect_error(&f, "virtio-blk-pci,drive=d1", "d0");
    expect_error(&f, "virtio-blk-pci", "drive=");
    expect_error(&f, "virtio-blk-pci,drive=d0,queue-size=100", "power of two");
    expect_error(&f, "virtio-blk-pci,drive=d0,num-queues=1000", "64");
    expect_error(&f, "virtio-blk-pci,drive=d0,share-rw=on,addr=00.0", "taken");
    expect_error(&f, "virtio-blk-pci,drive=d0,addr=99", "addr=99");
    expect_error(&f, "virtio-blk-pci,drive=d0,bus=nowhere", "nowhere");
    expect_error(&f, "virtio-blk-pci,drive=d0,id=disk", "disk");
#define SHARED "virtio-blk-pci,drive=d0,share-rw=on,"
    expect_error(&f, SHARED "physical_block_size=1000",
                 "parameter physical_block_size must be a power of 2 between 512 and 2097152");
    expect_error(&f, SHARED "physical_block_size=4M", "between 512 and 2097152");
    expect_error(&f, SHARED "logical_block_size=4096",
                 "logical_block_size > physical_block_size not supported");
    expect_error(&f, SHARED "min_io_size=1000", "min_io_size must be a multiple of");
    expect_error(&f, SHARED "opt_io_size=513", "opt_io_size must be a multiple of");
    expect_error(&f, SHARED "discard_granularity=1000", "discard_granularity must be a multiple");
    expect_error(&f, SHARED "min_io_size=33554432", "min_io_size must not exceed 65535 logical");
    expect_error(&f, SHARED "rotation_rate=1", "rotation_rate");
#undef SHARED
    teardown(&f);
}

#define JSON "{\"driver\": \"virtio-blk-pci\", \"drive\": \"d0\""
#define MAPPED(queues, list)                                                                       \
    JSON ", \"num-queues\": " #queues ", \"share-rw\": true, \"iothread-vq-mapping\": " list "}"
#define ON(id, ...) "{\"iothread\": \"" #id "\", \"vqs\": [" #__VA_ARGS__ "]}"

typedef struct {
    GMutex mutex;
    GCond  cond;
    bool   here, go;
} Stop;

static void stand_still(void *opaque)
{
    Stop *s = opaque;

    g_mutex_lock(&s->mutex);
    s->here = true;
    g_cond_broadcast(&s->cond);
    while (!s->go)
        g_cond_wait(&s->cond, &s->mutex);
    g_mutex_unlock(&s->mutex);
}

/* A queue is worked on by its own thread: while that stands still, nothing of it moves, and the
 * others go on. */
static void test_mapping(void)
{
    Fixture f = { 0 };
    GuestQueue q[3];
    setup(&f, MAPPED(3, "[" ON(t1, 0, 2) ", " ON(t2, 1) "]"), true, BLK_FEATURES);
    VitBlockObject *object = vit_block_objects_use(f.objects, "t2", "iothread", NULL),
                   *home = vit_block_objects_use(f.objects, "t1", "iothread", NULL);
    VitIoThread *second = vit_block_object_io_thread(object);
    uint64_t data = guest_alloc(&f.g, 3 * 512);
    Stop stop = { 0 };

    g_assert_true(vit_block_node_thread(f.node) == vit_block_object_io_thread(home));
    vit_block_object_release(home);
    queues_up(&f, q, 3);
    vit_io_thread_call(second, stand_still, &stop);
    g_mutex_lock(&stop.mutex);
    while (!stop.here)
        g_cond_wait(&stop.cond, &stop.mutex);
    g_mutex_unlock(&stop.mutex);
    for (unsigned i = 0; i < 3; i++) {
        offer_read(&f, &q[i], 5 + i, data + 512 * i);
        guest_kick(&q[i]);
    }
    g_assert_true(guest_used(&q[0], NULL, NULL, 5000));
    g_assert_true(guest_used(&q[2], NULL, NULL, 5000));
    g_assert_false(guest_used(&q[1], NULL, NULL, 50));
    g_mutex_lock(&stop.mutex);
    stop.go = true;
    g_cond_broadcast(&stop.cond);
    g_mutex_unlock(&stop.mutex);
    g_assert_true(guest_used(&q[1], NULL, NULL, 5000));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(*(uint32_t *) guest_ptr(&f.g, data + 512 * i), ==, (5 + i) * 512);
        g_assert_true(guest_wait_message(&f.g, 1 + i, 1));
    }
    vit_block_object_release(object);
    teardown(&f);
}

/* Resets, moves of the disk and the end of the machine, with requests on their way between
 * threads. */
static void test_mapping_under_load(void)
{
    Fixture f = { 0 };
    GuestQueue q[4];
    setup(&f, MAPPED(4, "[{\"iothread\": \"t1\"}, {\"iothread\": \"t2\"}]"), true,
          BLK_FEATURES);
    uint64_t data = guest_alloc(&f.g, 512);

    for (unsigned round = 0; round < 60; round++) {
        g_autoptr(GError) error = NULL;
        queues_up(&f, q, 4);
        for (unsigned i = 0; i < 64; i++) {
            offer_read(&f, &q[i % 4], i, data);
            if (i % 8 == 7)
                guest_kick(&q[i % 4]), guest_kick(&q[i / 16]);
        }
        for (unsigned i = 0; i < 4; i++)
            guest_kick(&q[i]);
        if (round % 3 == 0) {
            g_assert_true(vit_block_move(f.node, round & 1 ? f.thread : f.other, &error));
            g_assert_no_error(error);
        }
        for (unsigned i = 0; round % 2 && i < 64; i++)
            g_assert_true(guest_used(&q[i % 4], NULL, NULL, 5000));
        if (round == 59)
            break;
        vit_system_reset(f.m.sys);
        guest_probe(&f.g, &f.m, 0, true);
    }
    teardown(&f);
}

static void test_mapping_words(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0,share-rw=on,addr=0", true, BLK_FEATURES);
    expect_error(&f, MAPPED(1, "[" ON(t1, 0) "], \"iothread\": \"t1\""),
                 "iothread and iothread-vq-mapping properties cannot be set at the same time");
    expect_error(&f, MAPPED(1, "[" ON(zz, 0) "]"), "IOThread \"zz\" object does not exist");
    expect_error(&f, MAPPED(2, "[" ON(t1, 0) "," ON(t1, 1) "]"),
                 "duplicate IOThread name \"t1\" in iothread-vq-mapping");
    expect_error(&f, MAPPED(2, "[" ON(t1, 0, 1) "," ON(t2, 1) "]"),
                 "cannot assign vq 1 to IOThread \"t2\" because it is already assigned");
    expect_error(&f, MAPPED(3, "[" ON(t1, 0) "," ON(t2, 1) "]"),
                 "missing vq 2 IOThread assignment in iothread-vq-mapping");
    expect_error(&f, MAPPED(2, "[" ON(t1, 0) "," ON(t2, 1, 2) "]"),
                 "vq index 2 for IOThread \"t2\" must be less than num_queues 2");
    expect_error(&f, MAPPED(2, "[" ON(t1, 0) ", {\"iothread\": \"t2\"}]"), "either all items in");
    expect_error(&f, MAPPED(2, "[{\"iothread\": \"t2\"}, " ON(t1, 0) "]"), "either all items in");
    expect_error(&f, MAPPED(2, "[{\"vqs\": [0, 1]}]"),
                 "Parameter 'iothread-vq-mapping[0].iothread' is missing");
    expect_error(&f, MAPPED(1, "\"t1\""), "'iothread-vq-mapping', expected: array");
    expect_error(&f, MAPPED(1, "[3]"), "'iothread-vq-mapping[0]', expected: object");
    expect_error(&f, MAPPED(1, "[{\"iothread\": 1}]"), "[0].iothread', expected: string");
    expect_error(&f, MAPPED(1, "[{\"iothread\": \"t1\", \"vqs\": 3}]"), "vqs', expected: array");
    expect_error(&f, MAPPED(1, "[" ON(t1, -1) "]"), "expects uint16_t");
    expect_error(&f, MAPPED(1, "[" ON(t1, {}) "]"), "expects uint16_t");
    expect_error(&f, MAPPED(1, "[{\"iothread\": \"t1\", \"foo\": 3}]"), "[0].foo' is unexpected");
    expect_error(&f, "virtio-blk-pci,drive=d0,share-rw=on,iothread-vq-mapping=t1",
                 "'iothread-vq-mapping', expected: array");
    teardown(&f);
}

static void test_json(void)
{
    Fixture f = { 0 };
    setup(&f,
          JSON ", \"serial\": \"a,b\", \"num-queues\": 3, \"share-rw\": true}",
          true, BLK_FEATURES);
    uint64_t id = guest_alloc(&f.g, 20);

    g_assert_cmpuint(reg_read(&f.g, f.g.device + 34, 2), ==, 3);
    g_assert_cmpuint(request(&f, &f.q, T_GET_ID, 0, id, 20, false, NULL), ==, 0);
    g_assert_cmpstr(guest_ptr(&f.g, id), ==, "a,b");
    expect_error(&f, JSON, "JSON parse error");
    expect_error(&f, "{\"drive\": \"d0\"}", "'driver' is missing");
    expect_error(&f, "{\"driver\": 3}", "expected: string");
    expect_error(&f, JSON ", \"serial\": 3}", "expected: string");
    expect_error(&f, JSON ", \"serial\": null}", "'serial'");
    expect_error(&f, JSON ", \"num-queues\": \"2\"}", "expected: integer");
    expect_error(&f, JSON ", \"discard\": \"on\"}", "expected: boolean");
    expect_error(&f, JSON ", \"bootindex\": \"1\"}", "expected: integer");
    expect_error(&f, JSON ", \"num-queue\": 2}", "num-queues");
    teardown(&f);
}

typedef struct {
    VitBlockNode *node;
    uint64_t      size;
} Resize;

static void resize_fiber(void *opaque)
{
    Resize *r = opaque;
    g_autoptr(GError) error = NULL;

    g_assert_true(vit_co_truncate(r->node, r->size, false, VIT_PREALLOC_OFF, &error));
    g_assert_no_error(error);
}

static void test_resize(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    uint64_t data = guest_alloc(&f.g, 512);
    uint64_t generation = reg_read(&f.g, f.g.common + 0x15, 1);

    g_assert_cmpuint(request(&f, &f.q, T_OUT, DISK / 512, data, 512, false, NULL), ==, 1);
    vit_fiber_run_sync(f.thread, resize_fiber, &(Resize) { f.node, 2 * DISK });
    g_assert_true(guest_wait_message(&f.g, 0, 1));
    g_assert_cmpuint(reg_read(&f.g, f.g.common + 0x15, 1), !=, generation);
    g_assert_cmpuint(reg_read(&f.g, f.g.device, 4), ==, 2 * DISK / 512);
    g_assert_cmpuint(request(&f, &f.q, T_OUT, DISK / 512, data, 512, false, NULL), ==, 0);
    vit_fiber_run_sync(f.thread, resize_fiber, &(Resize) { f.node, DISK / 2 });
    g_assert_true(guest_wait_message(&f.g, 0, 2));
    g_assert_cmpuint(reg_read(&f.g, f.g.device, 4), ==, DISK / 1024);
    g_assert_cmpuint(request(&f, &f.q, T_IN, DISK / 1024 - 1, data, 512, false, NULL), ==, 0);
    g_assert_cmpuint(request(&f, &f.q, T_IN, DISK / 1024, data, 512, false, NULL), ==, 1);
    teardown(&f);
}

static VitIoThread *other_thread(Fixture *f, VitBlockObject **use)
{
    GError *error = NULL;

    *use = vit_block_objects_use(f->objects, "t1", "iothread", &error);
    g_assert_no_error(error);
    return vit_block_object_io_thread(*use);
}

static void test_iothread(void)
{
    Fixture f = { 0 };
    g_autoptr(GError) error = NULL;
    VitBlockObject *use;

    setup(&f, "virtio-blk-pci,drive=d0,iothread=t1,id=disk", true, BLK_FEATURES);
    g_assert_true(vit_block_node_thread(f.node) == other_thread(&f, &use));
    vit_block_object_release(use);
    uint64_t data = guest_alloc(&f.g, 512);
    g_assert_cmpuint(request(&f, &f.q, T_IN, 5, data, 512, false, NULL), ==, 0);
    g_assert_cmpuint(*(uint32_t *) guest_ptr(&f.g, data), ==, 5 * 512);
    expect_error(&f, "virtio-blk-pci,drive=d0,iothread=nope", "nope");
    g_assert_false(vit_block_objects_remove(f.objects, "t1", &error));
    vit_system_reset(f.m.sys);
    vit_device_free(vit_system_find_device(f.m.sys, "disk.transport"));
    vit_device_free(f.device);
    g_assert_true(vit_block_node_thread(f.node) == f.thread);
    g_clear_error(&error);
    g_assert_true(vit_block_objects_remove(f.objects, "t1", &error));
    teardown(&f);
}

typedef struct {
    Fixture *f;
    VitIoThread *threads[2];
    int stop;                   /* atomic */
    unsigned moves;
} Mover;

static gpointer mover(gpointer data)
{
    Mover *m = data;

    while (!g_atomic_int_get(&m->stop)) {
        g_autoptr(GError) error = NULL;
        g_assert_true(vit_block_move(m->f->node, m->threads[++m->moves & 1], &error));
        g_assert_no_error(error);
    }
    return NULL;
}

/* A driver works, resets and is reset, and the device goes, while the disk changes its thread. */
static void test_move_under_load(void)
{
    enum { BATCH = 16, BYTES = 4096 };
    Fixture f = { 0 };
    VitBlockObject *use;
    setup(&f, "virtio-blk-pci,drive=d0", true, BLK_FEATURES);
    Mover m = { .f = &f, .threads = { f.thread, other_thread(&f, &use) } };
    GThread *thread = g_thread_new("mover", mover, &m);
    uint64_t data = guest_alloc(&f.g, BATCH * BYTES), status = guest_alloc(&f.g, BATCH);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < BATCH; i++) {
            struct { uint32_t type, ioprio; uint64_t sector; } h = {
                round & 1 ? T_IN : T_OUT, 0, 64 + 8 * i
            };
            GuestBuf bufs[] = { { guest_put(&f.g, &h, 16), 16, false },
                                { data + i * BYTES, BYTES, round & 1 },
                                { status + i, 1, true } };
            if (round & 1)
                memset(guest_ptr(&f.g, data + i * BYTES), 0xee, BYTES);
            else
                memset(guest_ptr(&f.g, data + i * BYTES), (int) (round + i) & 0xff, BYTES);
            guest_add(&f.q, bufs, 3, true);
        }
        guest_kick(&f.q);
        if (round % 40 == 39) {         /* whatever is under way is forgotten */
            if (round % 80 == 79)
                vit_system_reset(f.m.sys), guest_probe(&f.g, &f.m, 0, true);
            (void) guest_negotiate(&f.g, BLK_FEATURES);
            guest_queue(&f.g, &f.q, 0, 64);
            guest_driver_ok(&f.g);
            continue;
        }
        for (unsigned i = 0; i < BATCH; i++)
            g_assert_true(guest_used(&f.q, NULL, NULL, 10000));
        for (unsigned i = 0; i < BATCH; i++) {
            g_assert_cmpuint(*(uint8_t *) guest_ptr(&f.g, status + i), ==, 0);
            uint8_t *p = guest_ptr(&f.g, data + i * BYTES);
            if ((round & 1) && round % 40 != 0)
                g_assert_true(p[0] == ((round - 1 + i) & 0xff) && p[BYTES - 1] == p[0]);
        }
    }
    vit_system_reset(f.m.sys);
    vit_device_free(vit_system_find_device(f.m.sys, "virtio-blk0.transport"));
    vit_device_free(f.device);
    g_atomic_int_set(&m.stop, 1);
    g_thread_join(thread);
    g_assert_cmpuint(m.moves, >, 10);
    g_test_message("%u moves", m.moves);
    vit_block_object_release(use);
    teardown(&f);
}

static void test_garbage(void)
{
    Fixture f = { 0 };
    setup(&f, "virtio-blk-pci,drive=d0,num-queues=2", true, BLK_FEATURES);
    garbage(&f.g, 2, g_test_slow() ? 5000 : 300);
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-blk/config", test_config);
    g_test_add_func("/virtio-blk/direct", test_direct);
    g_test_add_func("/virtio-blk/indirect", test_indirect);
    g_test_add_func("/virtio-blk/intx", test_intx);
    g_test_add_func("/virtio-blk/ranges", test_ranges);
    g_test_add_func("/virtio-blk/errors", test_errors);
    g_test_add_func("/virtio-blk/queues", test_queues);
    g_test_add_func("/virtio-blk/batch", test_batch);
    g_test_add_func("/virtio-blk/reset-under-load", test_reset_under_load);
    g_test_add_func("/virtio-blk/save", test_save);
    g_test_add_func("/virtio-blk/options", test_options);
    g_test_add_func("/virtio-blk/json", test_json);
    g_test_add_func("/virtio-blk/limits", test_limits);
    g_test_add_func("/virtio-blk/mapping", test_mapping);
    g_test_add_func("/virtio-blk/mapping-under-load", test_mapping_under_load);
    g_test_add_func("/virtio-blk/mapping-words", test_mapping_words);
    g_test_add_func("/virtio-blk/resize", test_resize);
    g_test_add_func("/virtio-blk/iothread", test_iothread);
    g_test_add_func("/virtio-blk/move-under-load", test_move_under_load);
    g_test_add_func("/virtio-blk/garbage", test_garbage);
    return g_test_run();
}
