/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/storage/test-ide.c - a fake guest's IDE driver: PIO, bus-master DMA, packets */
#include "tests/hw/storage/disk-machine.h"

#include "block/co.h"
#include "block/driver.h"
#include "hw/storage/ide.h"

enum { DEVFN = 1 << 3 | 1, BM = 0xc000, BUFFERS = 0x100000, TABLE = 0x8000, PRIMARY = 0x1f0,
       SECONDARY = 0x170 };

typedef struct { Machine m; } Fixture;

static void outb(Fixture *f, unsigned port, unsigned value)
{
    vit_as_store(f->m.sys->io, port, value, 1);
}

static unsigned inb(Fixture *f, unsigned port)
{
    return (unsigned) vit_as_load(f->m.sys->io, port, 1, NULL);
}

static void program_pci(Fixture *f)
{
    vit_system_lock(f->m.sys);
    vit_pci_config_write(f->m.bus, 0, DEVFN, 0x20, BM, 4);
    vit_pci_config_write(f->m.bus, 0, DEVFN, 0x04, 5, 2);
    vit_system_unlock(f->m.sys);
}

static void set_up(Fixture *f, gconstpointer data)
{
    Machine *m = &f->m;
    g_autoptr(GError) error = NULL;

    machine_new(m);
    m->controller = vit_device_new(m->sys, &vit_piix3_ide_class, NULL);
    vit_ide_plug(m->controller, m->bus, DEVFN);
    bool good = vit_device_init(m->controller, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    vit_irq_connect(m->controller, 0, machine_irq, m, 0);
    vit_irq_connect(m->controller, 1, machine_irq, m, 1);
    m->disk = machine_drive(m, &vit_ide_hd_class, machine_open(m, 0, DISK_SIZE, false));
    m->cd = machine_drive(m, &vit_ide_cd_class, machine_open(m, 1, CD_SIZE, true));
    g_assert_true(vit_ide_attach(m->controller, 0, 0, m->disk));
    g_assert_true(vit_ide_attach(m->controller, 1, 0, m->cd));
    machine_reset(m);
    program_pci(f);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    machine_free(&f->m);
}

typedef struct { Fixture *f; unsigned port; } Wait;

static bool not_busy(Machine *m, void *data)
{
    const Wait *w = data;
    return !(inb(w->f, w->port == PRIMARY ? 0x3f6 : 0x376) & 0x80);
}

static unsigned wait_status(Fixture *f, unsigned base)
{
    Wait w = { f, base };
    g_assert_true(machine_wait(&f->m, not_busy, &w));
    return inb(f, base + 7);
}

static void command(Fixture *f, unsigned base, unsigned code, unsigned count, unsigned lba,
                    bool ext)
{
    if (ext) {
        outb(f, base + 2, count >> 8);
        outb(f, base + 3, lba >> 24);
        outb(f, base + 4, 0);
        outb(f, base + 5, 0);
    }
    outb(f, base + 6, 0xe0 | (ext ? 0 : lba >> 24 & 15));
    outb(f, base + 2, count & 0xff);
    outb(f, base + 3, lba & 0xff);
    outb(f, base + 4, lba >> 8 & 0xff);
    outb(f, base + 5, lba >> 16 & 0xff);
    outb(f, base + 7, code);
}

static void pio_in(Fixture *f, unsigned base, uint8_t *data, unsigned size, unsigned width)
{
    for (unsigned i = 0; i < size; i += width) {
        uint64_t value = vit_as_load(f->m.sys->io, base, width, NULL);
        memcpy(data + i, &value, width);
    }
}

static void pio_out(Fixture *f, unsigned base, const uint8_t *data, unsigned size)
{
    for (unsigned i = 0; i < size; i += 2)
        vit_as_store(f->m.sys->io, base, data[i] | (unsigned) data[i + 1] << 8, 2);
}

static void test_presence(Fixture *f, gconstpointer data)
{
    g_assert_cmphex(inb(f, PRIMARY + 7), ==, 0x50);
    g_assert_cmphex(inb(f, PRIMARY + 2), ==, 0x01);
    g_assert_cmphex(inb(f, PRIMARY + 4), ==, 0x00);
    g_assert_cmphex(inb(f, SECONDARY + 4), ==, 0x14);
    g_assert_cmphex(inb(f, SECONDARY + 5), ==, 0xeb);
    outb(f, PRIMARY + 6, 0xf0);
    g_assert_cmphex(inb(f, PRIMARY + 7), ==, 0x00);
    outb(f, PRIMARY + 6, 0xe0);
    outb(f, 0x3f6, 4);
    g_assert_cmphex(inb(f, 0x3f6) & 0x80, ==, 0x80);
    outb(f, 0x3f6, 0);
    g_assert_cmphex(inb(f, 0x3f6), ==, 0x50);
}

static void test_identify(Fixture *f, gconstpointer data)
{
    uint8_t words[512];
    command(f, PRIMARY, 0xec, 0, 0, false);
    g_assert_true(f->m.irq[0]);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    g_assert_false(f->m.irq[0]);
    pio_in(f, PRIMARY, words, 512, 2);
    g_assert_cmphex(inb(f, PRIMARY + 7), ==, 0x50);
    g_assert_false(f->m.irq[0]);
    g_assert_cmphex(words[0], ==, 0x40);
    g_assert_cmpmem(words + 54, 8, "IVRTNI E", 8);
    command(f, SECONDARY, 0xec, 0, 0, false);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x51);
    g_assert_cmphex(inb(f, SECONDARY + 4), ==, 0x14);
    command(f, SECONDARY, 0xa1, 0, 0, false);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x58);
}

static unsigned word_of(const uint8_t *words, unsigned n)
{
    return words[2 * n] | (unsigned) words[2 * n + 1] << 8;
}

static uint64_t sectors_of(const uint8_t *words)
{
    return word_of(words, 100) | (uint64_t) word_of(words, 101) << 16;
}

static VitAtaDrive *drive_with(Machine *m, const char *const *props, const char *wrong)
{
    g_autoptr(GError) error = NULL;
    VitDevice *d = vit_device_new(m->sys, &vit_ide_hd_class, NULL);

    vit_ata_set_node((VitAtaDrive *) d, m->nodes[0]);
    for (; *props; props += 2)
        g_assert_true(vit_device_set_prop(d, props[0], props[1], &error));
    bool good = vit_device_init(d, &error);
    if (wrong)
        g_assert_nonnull(strstr(error->message, wrong));
    g_assert_cmpint(good, ==, !wrong);
    return wrong ? NULL : (VitAtaDrive *) d;
}

static void grow(void *opaque)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vit_co_truncate(opaque, 2 * DISK_SIZE, false, VIT_PREALLOC_OFF, &error));
}

/* What IDENTIFY says of the drive's options, and of a disk that has grown. */
static void test_properties(Fixture *f, gconstpointer data)
{
    static const char *const given[] = { "physical_block_size", "4k", "rotation_rate", "7200",
                                         "discard_granularity", "0", "wwn", "0x5000c50015ea71ac",
                                         NULL };
    static const char *const none[] = { NULL };
    static const char *const wrong[][4] = {
        { "discard_granularity", "4096", NULL, "discard_granularity must be 512 for ide" },
        { "physical_block_size", "1000", NULL, "must be a power of 2" },
        { "logical_block_size", "4096", NULL, "logical_block_size > physical_block_size" },
        { "rotation_rate", "70000", NULL, "rotation_rate" },
    };
    Machine m = {};
    uint8_t words[512];

    machine_new(&m);
    VitBlockNode *node = machine_open(&m, 0, DISK_SIZE, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
        (void) drive_with(&m, wrong[i], wrong[i][3]);
    VitAtaDrive *d = drive_with(&m, none, NULL);
    vit_ata_identify(d, words);
    g_assert_cmphex(word_of(words, 106), ==, 0x6000);
    g_assert_cmphex(word_of(words, 217), ==, 0);
    g_assert_cmphex(word_of(words, 169), ==, 1);
    g_assert_cmpuint(sectors_of(words), ==, DISK_SIZE / 512);
    vit_fiber_run_sync(m.thread, grow, node);
    vit_ata_identify(d, words);
    g_assert_cmpuint(sectors_of(words), ==, 2 * DISK_SIZE / 512);
    g_assert_cmpuint(word_of(words, 60) | word_of(words, 61) << 16, ==, 2 * DISK_SIZE / 512);
    vit_device_free(&d->parent);
    d = drive_with(&m, given, NULL);
    vit_ata_identify(d, words);
    g_assert_cmphex(word_of(words, 106), ==, 0x6003);
    g_assert_cmpuint(word_of(words, 217), ==, 7200);
    g_assert_cmphex(word_of(words, 169), ==, 0);
    g_assert_cmphex(word_of(words, 87) & 0x100, ==, 0x100);
    g_assert_cmphex(word_of(words, 108), ==, 0x5000);
    g_assert_cmphex(word_of(words, 111), ==, 0x71ac);
    machine_free(&m);
}

static bool at_rest(Machine *m, void *data)
{
    return __atomic_load_n(&m->nodes[0]->in_flight, __ATOMIC_RELAXED) == 0;
}

static void never(void *opaque, VitTransfer *transfer, int result)
{
    g_assert_not_reached();
}

/* Requests that a controller has given up are not held by limits: what comes next waits for them.
 */
static void test_limits(Fixture *f, gconstpointer data)
{
    enum { REQUESTS = 8 };
    Machine m = {};
    VitTransfer *transfers[REQUESTS];
    g_autoptr(GError) error = NULL;

    machine_new(&m);
    VitBlockObjects *objects = vit_block_objects_new();
    g_assert_true(vit_block_objects_add_text(objects, "throttle-group,id=slow,x-iops-total=1",
                                             &error));
    VitBlockNode *root = vit_block_root_new(machine_open(&m, 0, DISK_SIZE, false), "d0");
    VitBlockObject *group = vit_block_objects_use_group(objects, "slow", &error);
    vit_block_root_throttle(root, group);
    m.nodes[0] = root;
    VitTransferQueue *q = vit_transfer_queue_new(m.sys, root);
    vit_system_lock(m.sys);
    for (unsigned i = 0; i < REQUESTS; i++)
        transfers[i] = vit_transfer_start(q, VIT_BLOCK_READ, 0, i * 4096, 4096, g_malloc(4096),
                                          never, NULL);
    g_usleep(20000);
    int64_t start = g_get_monotonic_time();
    for (unsigned i = 0; i < REQUESTS; i++)
        vit_transfer_cancel(transfers[i]);
    vit_system_unlock(m.sys);
    g_assert_true(machine_wait(&m, at_rest, NULL));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 4 * G_USEC_PER_SEC);
    vit_transfer_queue_free(q);
    machine_free(&m);
    vit_block_objects_free(objects);
}

static void test_pio(Fixture *f, gconstpointer data)
{
    uint8_t buf[5 * 512];

    command(f, PRIMARY, 0x20, 5, 123, false);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
        pio_in(f, PRIMARY, buf + 512 * i, 512, i & 1 ? 2 : 4);
    }
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    machine_check(buf, 123 * 512, sizeof buf, 0);

    /* READ MULTIPLE: refused, then in blocks of four */
    command(f, PRIMARY, 0xc4, 5, 123, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x51);
    command(f, PRIMARY, 0xc6, 4, 0, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    command(f, PRIMARY, 0xc4, 5, 123, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf, 2048, 2);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf + 2048, 512, 2);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    machine_check(buf, 123 * 512, sizeof buf, 0);

    for (unsigned i = 0; i < 1024; i++)
        buf[i] = sample(i, 7);
    inb(f, PRIMARY + 7);
    command(f, PRIMARY, 0x34, 2, 300, true);
    g_assert_false(f->m.irq[0]);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_out(f, PRIMARY, buf, 512);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_out(f, PRIMARY, buf + 512, 512);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    memset(buf, 0, 1024);
    g_assert_cmpint(vit_block_read_sync(f->m.nodes[0], 300 * 512, buf, 1024), ==, 0);
    machine_check(buf, 0, 1024, 7);

    /* by cylinder, head and sector: 16 heads, 63 sectors a track */
    outb(f, PRIMARY + 6, 0xa3);
    outb(f, PRIMARY + 2, 1);
    outb(f, PRIMARY + 3, 5);
    outb(f, PRIMARY + 4, 2);
    outb(f, PRIMARY + 5, 0);
    outb(f, PRIMARY + 7, 0x20);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf, 512, 2);
    machine_check(buf, ((2 * 16 + 3) * 63 + 4) * 512, 512, 0);
    command(f, PRIMARY, 0x20, 2, DISK_SIZE / 512 - 1, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x51);
    g_assert_cmphex(inb(f, PRIMARY + 1) & 0x10, ==, 0x10);
}

static void describe(Fixture *f, uint32_t address, uint32_t size)
{
    for (uint32_t at = TABLE; size > 0; at += 8) {
        uint32_t n = MIN(size, 65536);
        vit_as_store(f->m.sys->memory, at, address, 4);
        vit_as_store(f->m.sys->memory, at + 4, (n & 0xffff) | (n == size ? 0x80000000 : 0), 4);
        address += n;
        size -= n;
    }
}

static unsigned dma(Fixture *f, unsigned base, bool to_memory)
{
    unsigned bm = base == PRIMARY ? BM : BM + 8;
    vit_as_store(f->m.sys->io, bm + 4, TABLE, 4);
    outb(f, bm + 2, 6);
    outb(f, bm, to_memory ? 9 : 1);
    unsigned status = wait_status(f, base);
    g_assert_cmphex(inb(f, bm + 2) & 5, ==, 4);
    outb(f, bm, 0);
    return status;
}

static void test_dma(Fixture *f, gconstpointer data)
{
    uint8_t *buffer = f->m.ram->host + BUFFERS;

    describe(f, BUFFERS, 2000 * 512);
    command(f, PRIMARY, 0x25, 2000, 50, true);
    g_assert_cmphex(dma(f, PRIMARY, true), ==, 0x50);
    machine_check(buffer, 50 * 512, 2000 * 512, 0);
    for (unsigned i = 0; i < 900 * 512; i++)
        buffer[i] = sample(i, 42);
    describe(f, BUFFERS, 900 * 512);
    command(f, PRIMARY, 0x35, 900, 4000, true);
    g_assert_cmphex(dma(f, PRIMARY, false), ==, 0x50);
    memset(buffer, 0, 900 * 512);
    command(f, PRIMARY, 0x25, 900, 4000, true);
    g_assert_cmphex(dma(f, PRIMARY, true), ==, 0x50);
    machine_check(buffer, 0, 900 * 512, 42);
    /* a list that is too short */
    describe(f, BUFFERS, 512);
    command(f, PRIMARY, 0xc8, 2, 0, false);
    g_assert_cmphex(dma(f, PRIMARY, true) & 1, ==, 1);
    command(f, PRIMARY, 0xe7, 0, 0, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
}

static void send_packet(Fixture *f, const uint8_t cdb[12], bool use_dma, unsigned limit)
{
    outb(f, SECONDARY + 6, 0xa0);
    outb(f, SECONDARY + 1, use_dma);
    outb(f, SECONDARY + 4, limit & 0xff);
    outb(f, SECONDARY + 5, limit >> 8);
    outb(f, SECONDARY + 7, 0xa0);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x58);
    g_assert_cmphex(inb(f, SECONDARY + 2), ==, 1);
    pio_out(f, SECONDARY, cdb, 12);
}

static void test_packets(Fixture *f, gconstpointer data)
{
    uint8_t read[12] = { 0x28, [5] = 9, [8] = 5 }, inquiry[12] = { 0x12, [4] = 36 },
            sense[12] = { 0x03, [4] = 18 };
    uint8_t beyond[12] = { 0x28, [3] = 9, [8] = 5 };
    uint8_t buf[5 * 2048];
    unsigned have = 0;

    send_packet(f, inquiry, false, 0xfffe);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x58);
    g_assert_cmphex(inb(f, SECONDARY + 2), ==, 2);
    g_assert_cmpuint(inb(f, SECONDARY + 4), ==, 36);
    pio_in(f, SECONDARY, buf, 36, 2);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x50);
    g_assert_cmphex(inb(f, SECONDARY + 2), ==, 3);
    g_assert_cmphex(buf[0], ==, 5);

    send_packet(f, read, false, 4096);      /* in pieces as the guest wants them */
    while (have < sizeof buf) {
        g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x58);
        unsigned n = inb(f, SECONDARY + 4) | inb(f, SECONDARY + 5) << 8;
        g_assert_cmpuint(n, <=, 4096);
        g_assert_cmpuint(n, >, 0);
        pio_in(f, SECONDARY, buf + have, n, 4);
        have += n;
    }
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x50);
    machine_check(buf, 9 * 2048, sizeof buf, 1);

    describe(f, BUFFERS, sizeof buf);
    send_packet(f, read, true, 0);
    g_assert_cmphex(dma(f, SECONDARY, true), ==, 0x50);
    machine_check(f->m.ram->host + BUFFERS, 9 * 2048, sizeof buf, 1);

    send_packet(f, beyond, false, 0xfffe);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x51);
    g_assert_cmphex(inb(f, SECONDARY + 1) >> 4, ==, 5);
    send_packet(f, sense, false, 0xfffe);
    g_assert_cmphex(wait_status(f, SECONDARY), ==, 0x58);
    pio_in(f, SECONDARY, buf, 18, 2);
    g_assert_cmphex(buf[12], ==, 0x21);
}

/* Saves in the middle of a PIO block, and with DMA not started; both go on after a load. */
static void test_save(Fixture *f, gconstpointer data)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    uint8_t buf[1024];

    command(f, PRIMARY, 0x20, 2, 60, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf, 100, 2);
    vit_system_lock(f->m.sys);
    bool good = vit_system_save(f->m.sys, state, &error);
    vit_system_unlock(f->m.sys);
    g_assert_true(good);
    machine_reset(&f->m);
    vit_system_lock(f->m.sys);
    good = vit_system_load(f->m.sys, state->data, state->len, &error);
    vit_system_unlock(f->m.sys);
    g_assert_no_error(error);
    g_assert_true(good);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf + 100, 412, 2);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
    pio_in(f, PRIMARY, buf + 512, 512, 2);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    machine_check(buf, 60 * 512, 1024, 0);
}

static void test_nonsense(Fixture *f, gconstpointer data)
{
    static const uint8_t commands[] = { 0x20, 0x30, 0xc8, 0xca, 0x25, 0x35, 0xa0, 0xec, 0xa1, 0xc4,
        0xc5, 0xef, 0x06, 0xb0, 0x90, 0x08, 0xe7, 0x91, 0xc6 };
    GRand *rand = g_rand_new_with_seed(11);

    for (int i = 0; i < 60000; i++) {
        uint32_t r = g_rand_int(rand);
        unsigned base = r & 1 ? PRIMARY : SECONDARY;
        switch (r >> 1 & 7) {
        case 0:
            outb(f, base + 7, commands[(r >> 8) % G_N_ELEMENTS(commands)]);
            break;
        case 1:
            outb(f, base + 1 + (r >> 4 & 7) % 6, r >> 24);
            break;
        case 2:
            vit_as_load(f->m.sys->io, base, 1u << (r >> 5) % 3, NULL);
            break;
        case 3:
            vit_as_store(f->m.sys->io, base, r, 1u << (r >> 5) % 3);
            break;
        case 4:
            vit_as_store(f->m.sys->io, BM + (r >> 8 & 15), r >> 12, 1);
            break;
        case 5:
            inb(f, base + (r >> 8 & 7));
            break;
        case 6:
            if ((r >> 16) % 50 == 0)
                outb(f, base + 0x206, r >> 8 & 0xff);
            break;
        default:
            vit_as_store(f->m.sys->memory, TABLE + (r >> 8 & 0x3c), r, 4);
            break;
        }
    }
    g_rand_free(rand);
    machine_reset(&f->m);
    program_pci(f);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x50);
    command(f, PRIMARY, 0xec, 0, 0, false);
    g_assert_cmphex(wait_status(f, PRIMARY), ==, 0x58);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*fn)(Fixture *, gconstpointer); } tests[] = {
        { "/ide/properties", test_properties }, { "/ide/limits", test_limits },
        { "/ide/presence", test_presence }, { "/ide/identify", test_identify },
        { "/ide/pio", test_pio }, { "/ide/dma", test_dma }, { "/ide/packets", test_packets },
        { "/ide/save", test_save }, { "/ide/nonsense", test_nonsense },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].fn, tear_down);
    return g_test_run();
}
