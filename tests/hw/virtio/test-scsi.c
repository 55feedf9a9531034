/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/test-scsi.c - the SCSI adapter and its disks as a driver uses them */
#include "block/co.h"
#include "block/graph.h"
#include "hw/scsi/scsi.h"
#include "tests/hw/virtio/garbage.h"

#include <glib/gstdio.h>
#include <unistd.h>

enum { DISK = 4 << 20, CONTROL = 0, EVENT = 1, REQUESTS = 2, F_CHANGE = 1 << 2 };

typedef struct {
    TestMachine m;
    VitIoThread *thread;
    VitBlockNode *node;
    VitDeviceContext ctx;
    VitBlockObjects *objects;
    Guest g;
    GuestQueue q, control, events;
    char *path;
    bool limited; /* before setup(): one byte passes each second */
} Fixture;

typedef struct {
    uint32_t sense_size, residual;
    uint8_t status, response, sense[96];
    uint32_t used;
} Answer;

static void add(Fixture *f, const char *options)
{
    g_autoptr(GError) error = NULL;
    VitDevice *d = vit_pci_device_create(&f->ctx, options, &error);

    g_assert_no_error(error);
    g_assert_nonnull(d);
}

static void start(Fixture *f)
{
    guest_probe(&f->g, &f->m, 0, true);
    (void)guest_negotiate(&f->g, 1ull << 28 | 1ull << 29 | F_CHANGE);
    guest_queue(&f->g, &f->control, CONTROL, 16);
    guest_queue(&f->g, &f->events, EVENT, 16);
    guest_queue(&f->g, &f->q, REQUESTS, 64);
    guest_driver_ok(&f->g);
}

static void limit(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *root = vit_block_root_new(f->node, "d0");

    g_assert_true(vit_block_objects_add_text(f->objects, "throttle-group,id=slow,x-bps-total=1",
                                             &error));
    VitBlockObject *group = vit_block_objects_use_group(f->objects, "slow", &error);
    vit_block_root_throttle(root, group);
    f->node = root;
}

static void setup(Fixture *f)
{
    GError *error = NULL;
    int fd = g_file_open_tmp("vit-scsi-XXXXXX", &f->path, &error);

    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(fd, DISK), ==, 0);
    for (uint32_t i = 0; i < DISK; i += 512) g_assert_cmpint(pwrite(fd, &i, 4, i), ==, 4);
    close(fd);
    test_machine_init(&f->m, true);
    f->thread = vit_io_thread_new("disk");
    f->node = vit_block_open("raw", f->path, &(VitBlockOptions){ .discard = true, .lock = true },
                             f->thread, &error);
    g_assert_no_error(error);
    f->ctx = (VitDeviceContext){ .sys = f->m.sys, .pci = f->m.bus, .iothread = f->thread };
    f->ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    f->ctx.objects = f->objects = vit_block_objects_new();
    if (f->limited) limit(f);
    g_hash_table_insert(f->ctx.drives, "d0", f->node);
    g_assert_true(vit_block_objects_add_text(f->objects, "iothread,id=t1", &error));
    g_assert_true(vit_block_objects_add_text(f->objects, "iothread,id=t2", &error));
    add(f, "{\"driver\": \"virtio-scsi-pci\", \"id\": \"scsi0\", \"num_queues\": 2,"
           "\"iothread-vq-mapping\": [{\"iothread\": \"t1\", \"vqs\": [1]},"
           "{\"iothread\": \"t2\", \"vqs\": [0]}]}");
    add(f, "scsi-hd,drive=d0,bus=scsi0.0,scsi-id=3,lun=1,serial=ABC,device_id=XYZ,"
           "physical_block_size=4k,min_io_size=8k,opt_io_size=64k,discard_granularity=16k,"
           "rotation_rate=7200");
    add(f, "scsi-cd,scsi-id=5");
    vit_system_reset(f->m.sys);
    start(f);
}

static void teardown(Fixture *f)
{
    test_machine_clear(&f->m);
    vit_block_node_close(f->node);
    vit_block_objects_free(f->objects);
    vit_io_thread_free(f->thread);
    g_hash_table_unref(f->ctx.drives);
    g_unlink(f->path);
    g_free(f->path);
}

static Answer command(Fixture *f, unsigned target, unsigned lun, const uint8_t *cdb, uint64_t data,
                      uint32_t bytes, bool write)
{
    uint8_t head[51] = { 1, (uint8_t)target, 0x40, (uint8_t)lun };
    Answer a;

    memcpy(head + 19, cdb, 16);
    uint64_t out = guest_put(&f->g, head, sizeof head), answer = guest_alloc(&f->g, 108);
    GuestBuf bufs[3] = { { out, sizeof head, false } };
    unsigned n = 1;
    if (bytes && write) bufs[n++] = (GuestBuf){ data, bytes, false };
    bufs[n++] = (GuestBuf){ answer, 108, true };
    if (bytes && !write) bufs[n++] = (GuestBuf){ data, bytes, true };
    a.used = guest_do(&f->q, bufs, n, false);
    const uint8_t *p = guest_ptr(&f->g, answer);
    memcpy(&a.sense_size, p, 4);
    memcpy(&a.residual, p + 4, 4);
    a.status = p[10];
    a.response = p[11];
    memcpy(a.sense, p + 12, 96);
    return a;
}

static Answer hd(Fixture *f, const uint8_t *cdb, uint64_t data, uint32_t bytes, bool write)
{
    return command(f, 3, 1, cdb, data, bytes, write);
}

static void clear_attention(Fixture *f)
{
    uint8_t ready[16] = { 0 };
    Answer a = hd(f, ready, 0, 0, false);

    g_assert_cmphex(a.status, ==, 2);
    g_assert_cmphex(a.sense[2], ==, 6);
    g_assert_cmphex(a.sense[12], ==, 0x29);
    g_assert_cmpuint(a.sense_size, ==, 18);
    g_assert_cmphex(hd(f, ready, 0, 0, false).status, ==, 0);
}

static void test_identify(void)
{
    Fixture f = { 0 };
    uint8_t inquiry[16] = { 0x12, 0, 0, 0, 96 }, serial[16] = { 0x12, 1, 0x80, 0, 96 },
            capacity[16] = { 0x9e, 0x10, [13] = 32 }, luns[16] = { 0xa0, [9] = 64 };

    setup(&f);
    uint64_t data = guest_alloc(&f.g, 128);
    uint8_t *p = guest_ptr(&f.g, data);
    Answer a = hd(&f, inquiry, data, 96, false);
    g_assert_cmphex(a.status | a.response, ==, 0);
    g_assert_cmpuint(a.residual, ==, 96 - 36);
    g_assert_cmpint(memcmp(p + 8, "VITRINE ", 8), ==, 0);
    clear_attention(&f);
    (void)hd(&f, serial, data, 96, false);
    g_assert_cmpint(memcmp(p + 4, "ABC", 3), ==, 0);
    (void)hd(&f, capacity, data, 32, false);
    g_assert_cmpuint(p[4] << 24 | p[5] << 16 | p[6] << 8 | p[7], ==, DISK / 512 - 1);
    g_assert_cmpuint(p[10] << 8 | p[11], ==, 512);
    g_assert_cmpuint(p[13], ==, 3); /* eight blocks in a physical one */
    uint8_t page[16] = { 0x12, 1, 0x83, 0, 96 };
    (void)hd(&f, page, data, 96, false);
    g_assert_cmpint(memcmp(p + 16, "XYZ", 3), ==, 0);
    page[2] = 0xb0;
    (void)hd(&f, page, data, 96, false);
    g_assert_cmpuint(p[6] << 8 | p[7], ==, 16);
    g_assert_cmpuint(vit_scsi_get32(p + 12), ==, 128);
    g_assert_cmpuint(vit_scsi_get32(p + 28), ==, 32);
    page[2] = 0xb1;
    (void)hd(&f, page, data, 96, false);
    g_assert_cmpuint(p[4] << 8 | p[5], ==, 7200);
    a = hd(&f, luns, data, 64, false);
    g_assert_cmpuint(p[3], ==, 8);
    g_assert_cmpuint(p[9], ==, 1);
    a = command(&f, 5, 0, inquiry, data, 96, false);
    g_assert_cmphex(p[0], ==, 5);
    g_assert_cmphex(command(&f, 7, 0, inquiry, data, 96, false).response, ==, 3);
    g_assert_cmphex(command(&f, 3, 9, inquiry, data, 96, false).response, ==, 12);
    uint8_t bogus[16] = { 0xff };
    a = hd(&f, bogus, 0, 0, false);
    g_assert_cmphex(a.sense[2] << 8 | a.sense[12], ==, 0x520);
    uint8_t ready[16] = { 0 };
    (void)command(&f, 5, 0, ready, 0, 0, false);
    a = command(&f, 5, 0, ready, 0, 0, false);
    g_assert_cmphex(a.sense[2] << 8 | a.sense[12], ==, 0x23a); /* no disc */
    teardown(&f);
}

static void test_data(void)
{
    Fixture f = { 0 };
    uint8_t read[16] = { 0x28, [5] = 7, [8] = 4 }, write[16] = { 0x8a, [9] = 20, [13] = 8 };
    uint8_t sync[16] = { 0x35 }, content[4096];

    setup(&f);
    clear_attention(&f);
    uint64_t data = guest_alloc(&f.g, 4096);
    Answer a = hd(&f, read, data, 2048, false);
    g_assert_cmphex(a.status, ==, 0);
    g_assert_cmpuint(a.residual, ==, 0);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpuint(*(uint32_t *)((uint8_t *)guest_ptr(&f.g, data) + 512 * i), ==,
                         (7 + i) * 512);
    memset(guest_ptr(&f.g, data), 0x77, 4096);
    g_assert_cmphex(hd(&f, write, data, 4096, true).status, ==, 0);
    g_assert_cmphex(hd(&f, sync, 0, 0, false).status, ==, 0);
    int result = vit_block_read_sync(f.node, 20 * 512, content, sizeof content);
    g_assert_cmpint(result, ==, 0);
    g_assert_cmphex(content[0] & content[4095], ==, 0x77);
    uint8_t past[16] = { 0x28, [2] = 1, [8] = 1 };
    a = hd(&f, past, data, 512, false);
    g_assert_cmphex(a.sense[2] << 8 | a.sense[12], ==, 0x521);
    a = hd(&f, read, data, 512, false); /* too little room */
    g_assert_cmphex(a.sense[2] << 8 | a.sense[12], ==, 0x524);
    teardown(&f);
}

static void offer_reads(Fixture *f, GuestQueue *q, unsigned n, uint64_t data)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t head[51] = { 1, 3, 0x40, 1, [19] = 0x28, [24] = (uint8_t)i, [27] = 1 };
        GuestBuf bufs[] = { { guest_put(&f->g, head, sizeof head), sizeof head, false },
                            { guest_alloc(&f->g, 108), 108, true },
                            { data + 512 * i, 512, true } };
        guest_add(q, bufs, 3, false);
    }
    guest_kick(q);
}

/* Both queues at once, each worked on by its own thread. */
static void test_mapping(void)
{
    enum { REQUESTS_EACH = 12 };
    Fixture f = { 0 };
    GuestQueue second;

    setup(&f);
    clear_attention(&f);
    g_assert_true(vit_block_node_thread(f.node) != f.thread);
    start(&f);
    guest_queue(&f.g, &second, REQUESTS + 1, 64);
    uint64_t data = guest_alloc(&f.g, 2 * REQUESTS_EACH * 512);
    for (unsigned round = 0; round < 20; round++) {
        memset(guest_ptr(&f.g, data), 0, 2 * REQUESTS_EACH * 512);
        offer_reads(&f, &f.q, REQUESTS_EACH, data);
        offer_reads(&f, &second, REQUESTS_EACH, data + REQUESTS_EACH * 512);
        for (unsigned i = 0; i < REQUESTS_EACH; i++) {
            g_assert_true(guest_used(&f.q, NULL, NULL, 5000));
            g_assert_true(guest_used(&second, NULL, NULL, 5000));
        }
        for (unsigned i = 0; i < 2 * REQUESTS_EACH; i++)
            g_assert_cmpuint(*(uint32_t *)guest_ptr(&f.g, data + 512 * i), ==,
                             512 * (i % REQUESTS_EACH));
    }
    teardown(&f);
}

/* Commands that limits hold do not hold up task management, a reset, nor the end. */
static void test_limits(void)
{
    enum { COMMANDS = 8 };
    Fixture f = { .limited = true };
    struct { uint32_t type, subtype; uint8_t lun[8]; uint64_t tag; } reset = {
        0, 5, { 1, 3, 0x40, 1 }, 0
    };

    setup(&f);
    clear_attention(&f);
    uint64_t data = guest_alloc(&f.g, COMMANDS * 512);
    for (unsigned round = 0; round < 3; round++) {
        offer_reads(&f, &f.q, COMMANDS, data);
        (void)guest_used(&f.q, NULL, NULL, 50);
        g_assert_false(guest_used(&f.q, NULL, NULL, 50));
        int64_t begin = g_get_monotonic_time();
        if (round == 0) { /* reset of the unit */
            uint64_t answer = guest_put(&f.g, &(uint8_t){ 0xee }, 1);
            GuestBuf bufs[] = { { guest_put(&f.g, &reset, 24), 24, false }, { answer, 1, true } };
            (void)guest_do(&f.control, bufs, 2, false);
            g_assert_cmpuint(*(uint8_t *)guest_ptr(&f.g, answer), ==, 0);
            start(&f);
            clear_attention(&f);
        } else if (round == 1) {
            guest_reset(&f.g);
            start(&f);
        } else {
            teardown(&f);
        }
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 20 * G_USEC_PER_SEC);
    }
}

static void test_ranges(void)
{
    Fixture f = { 0 };
    uint8_t unmap[16] = { 0x42, [8] = 40 }, same[16] = { 0x93, [9] = 16, [13] = 200 };
    uint8_t list[40] = { 0, 38, 0, 32, [15] = 8, [19] = 8, [31] = 64, [35] = 8 },
            content[512 * 200];

    setup(&f);
    clear_attention(&f);
    uint64_t data = guest_put(&f.g, list, sizeof list);
    g_assert_cmphex(hd(&f, unmap, data, 40, true).status, ==, 0);
    int result = vit_block_read_sync(f.node, 8 * 512, content, 512);
    g_assert_cmpint(result, ==, 0);
    g_assert_cmphex(*(uint32_t *)content, ==, 0);
    result = vit_block_read_sync(f.node, 16 * 512, content, 512);
    g_assert_cmpuint(*(uint32_t *)content, ==, 16 * 512);
    uint64_t block = guest_alloc(&f.g, 512);
    memset(guest_ptr(&f.g, block), 0x3c, 512);
    g_assert_cmphex(hd(&f, same, block, 512, true).status, ==, 0);
    result = vit_block_read_sync(f.node, 16 * 512, content, sizeof content);
    g_assert_cmpint(result, ==, 0);
    for (size_t i = 0; i < sizeof content; i++) g_assert_cmphex(content[i], ==, 0x3c);
    list[8] = 0x80; /* far out of range: nothing is unmapped */
    data = guest_put(&f.g, list, sizeof list);
    Answer a = hd(&f, unmap, data, 40, true);
    g_assert_cmphex(a.sense[2] << 8 | a.sense[12], ==, 0x521);
    teardown(&f);
}

static void test_management(void)
{
    Fixture f = { 0 };
    uint8_t reset[24] = { [4] = 5, [8] = 1, [9] = 3, [10] = 0x40, [11] = 1 }, ready[16] = { 0 };

    setup(&f);
    clear_attention(&f);
    uint64_t out = guest_put(&f.g, reset, sizeof reset), answer = guest_put(&f.g, "\xee", 1);
    GuestBuf bufs[2] = { { out, sizeof reset, false }, { answer, 1, true } };
    g_assert_cmpuint(guest_do(&f.control, bufs, 2, false), ==, 1);
    g_assert_cmphex(*(uint8_t *)guest_ptr(&f.g, answer), ==, 0);
    g_assert_cmphex(hd(&f, ready, 0, 0, false).sense[12], ==, 0x29);
    teardown(&f);
}

static void test_garbage(void)
{
    Fixture f = { 0 };
    GRand *rand = g_rand_new_with_seed((uint32_t)g_test_rand_int());
    static const uint8_t opcodes[] = {
        0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28,
        0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55,
        0x5a, 0x88, 0x8a, 0x8e, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa8, 0xaa,
    };

    setup(&f);
    clear_attention(&f);
    for (unsigned i = 0; i < (g_test_slow() ? 20000 : 1500); i++) {
        uint8_t cdb[16];
        for (unsigned b = 0; b < 16; b++)
            cdb[b] = (uint8_t)(g_rand_boolean(rand) ? 0 : g_rand_int(rand));
        cdb[0] = opcodes[g_rand_int_range(rand, 0, G_N_ELEMENTS(opcodes))];
        uint32_t bytes = (uint32_t)g_rand_int_range(rand, 0, 5000);
        uint64_t data = guest_alloc(&f.g, MAX(bytes, 1));
        bool write = g_rand_boolean(rand);
        Answer a = command(&f, g_rand_boolean(rand) ? 3 : 5, (unsigned)g_rand_int_range(rand, 0, 2),
                           cdb, data, bytes, write);
        g_assert_cmpuint(a.sense_size, <=, 96);
    }
    start(&f);
    garbage(&f.g, 3, g_test_slow() ? 400 : 20);
    start(&f);
    uint8_t inquiry[16] = { 0x12, 0, 0, 0, 36 };
    g_assert_cmphex(hd(&f, inquiry, guest_alloc(&f.g, 36), 36, false).status, ==, 0);
    g_rand_free(rand);
    teardown(&f);
}

static void grow(void *opaque)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vit_co_truncate(opaque, 2 * DISK, false, VIT_PREALLOC_OFF, &error));
    g_assert_no_error(error);
}

static void test_resize(void)
{
    Fixture f = { 0 };
    uint8_t ready[16] = { 0 }, capacity[16] = { 0x9e, 0x10, [13] = 32 };
    uint32_t len = 0;

    setup(&f);
    clear_attention(&f);
    uint64_t data = guest_alloc(&f.g, 64), event = guest_alloc(&f.g, 16);
    const uint8_t *p = guest_ptr(&f.g, data), *e = guest_ptr(&f.g, event);
    (void)guest_add(&f.events, &(GuestBuf){ event, 16, true }, 1, false);
    vit_fiber_run_sync(vit_block_node_thread(f.node), grow, f.node);
    g_assert_true(guest_used(&f.events, NULL, &len, 5000));
    g_assert_cmpuint(len, ==, 16);
    g_assert_cmpuint(e[0], ==, 3); /* a parameter has changed, of target 3, unit 1 */
    g_assert_cmphex(e[5], ==, 3);
    g_assert_cmphex(e[7], ==, 1);
    g_assert_cmphex(e[12] << 8 | e[13], ==, 0x2a09);
    Answer a = hd(&f, ready, 0, 0, false);
    g_assert_cmphex(a.status, ==, 2);
    g_assert_cmphex(a.sense[2], ==, 6);
    g_assert_cmphex(a.sense[12] << 8 | a.sense[13], ==, 0x2a09);
    g_assert_cmphex(hd(&f, ready, 0, 0, false).status, ==, 0);
    (void)hd(&f, capacity, data, 32, false);
    g_assert_cmpuint(p[4] << 24 | p[5] << 16 | p[6] << 8 | p[7], ==, 2 * DISK / 512 - 1);
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-scsi/resize", test_resize);
    g_test_add_func("/virtio-scsi/identify", test_identify);
    g_test_add_func("/virtio-scsi/data", test_data);
    g_test_add_func("/virtio-scsi/mapping", test_mapping);
    g_test_add_func("/virtio-scsi/limits", test_limits);
    g_test_add_func("/virtio-scsi/ranges", test_ranges);
    g_test_add_func("/virtio-scsi/management", test_management);
    g_test_add_func("/virtio-scsi/garbage", test_garbage);
    return g_test_run();
}
