/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/storage/test-ahci.c - a fake guest's AHCI driver against a disk and a CD in files */
#include "tests/hw/storage/disk-machine.h"

#include "hw/storage/ahci.h"

#include <sys/stat.h>

enum { ABAR = 0xfeb00000, DEVFN = 0x1f << 3 | 2, BUFFERS = 0x100000 };
enum { P_CLB = 0x00, P_FB = 0x08, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18, P_TFD = 0x20,
       P_SIG = 0x24, P_SSTS = 0x28, P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38 };

typedef struct { Machine m; } Fixture;

static uint32_t port_get(Fixture *f, unsigned port, unsigned reg)
{
    return (uint32_t) vit_as_load(f->m.sys->memory, ABAR + 0x100 + port * 0x80 + reg, 4, NULL);
}

static void port_put(Fixture *f, unsigned port, unsigned reg, uint32_t value)
{
    vit_as_store(f->m.sys->memory, ABAR + 0x100 + port * 0x80 + reg, value, 4);
}

static uint32_t list(unsigned port) { return 0x10000 + port * 0x8000; }
static uint32_t received(unsigned port) { return list(port) + 0x400; }
static uint32_t table(unsigned port, unsigned slot) { return list(port) + 0x800 + slot * 0x200; }

static void put32(Fixture *f, uint64_t at, uint32_t value)
{
    vit_as_store(f->m.sys->memory, at, value, 4);
}

static void start_port(Fixture *f, unsigned port)
{
    port_put(f, port, P_CLB, list(port));
    port_put(f, port, P_FB, received(port));
    port_put(f, port, P_SERR, 0xffffffff);
    port_put(f, port, P_IS, 0xffffffff);
    port_put(f, port, P_IE, 0xffffffff);
    port_put(f, port, P_CMD, 0x16);
    port_put(f, port, P_CMD, 0x17);
}

static void set_up(Fixture *f, gconstpointer data)
{
    Machine *m = &f->m;
    g_autoptr(GError) error = NULL;

    machine_new(m);
    m->controller = vit_device_new(m->sys, &vit_ahci_class, NULL);
    vit_ahci_plug(m->controller, m->bus, DEVFN);
    bool good = vit_device_init(m->controller, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    vit_irq_connect(m->controller, 0, machine_irq, m, 0);
    m->disk = machine_drive(m, &vit_ide_hd_class, machine_open(m, 0, DISK_SIZE, false));
    m->cd = machine_drive(m, &vit_ide_cd_class, machine_open(m, 1, CD_SIZE, true));
    g_assert_true(vit_ahci_attach(m->controller, 0, m->disk));
    g_assert_false(vit_ahci_attach(m->controller, 0, m->cd));
    g_assert_true(vit_ahci_attach(m->controller, 1, m->cd));
    machine_reset(m);
    vit_system_lock(m->sys);
    vit_pci_config_write(m->bus, 0, DEVFN, 0x24, ABAR, 4);
    vit_pci_config_write(m->bus, 0, DEVFN, 0x04, 6, 2);
    vit_system_unlock(m->sys);
    vit_as_store(m->sys->memory, ABAR + 4, 0x80000002, 4);
    start_port(f, 0);
    start_port(f, 1);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    machine_free(&f->m);
}

typedef struct { uint8_t command, device; uint16_t feature, count; uint64_t lba; } Command;

/* Data in pieces of memory of odd places; returns nothing: the caller issues the slot. */
static void build(Fixture *f, unsigned port, unsigned slot, Command c, uint32_t address,
                  uint32_t size, bool write, const uint8_t *cdb)
{
    VitAddressSpace *as = f->m.sys->memory;
    uint8_t fis[20] = { 0x27, 0x80, c.command, (uint8_t) c.feature, (uint8_t) c.lba,
        (uint8_t) (c.lba >> 8), (uint8_t) (c.lba >> 16), c.device, (uint8_t) (c.lba >> 24),
        (uint8_t) (c.lba >> 32), (uint8_t) (c.lba >> 40), (uint8_t) (c.feature >> 8),
        (uint8_t) c.count, (uint8_t) (c.count >> 8) };
    unsigned entries = 0;

    vit_as_write(as, table(port, slot), fis, sizeof fis);
    if (cdb)
        vit_as_write(as, table(port, slot) + 0x40, cdb, 16);
    while (size > 0) {
        uint32_t n = entries < 2 ? MIN(size, 130 * (entries + 1)) : size;
        uint32_t at = table(port, slot) + 0x80 + 16 * entries++;
        put32(f, at, address);
        put32(f, at + 4, 0);
        put32(f, at + 12, n - 1);
        address += n;
        size -= n;
    }
    put32(f, list(port) + 32 * slot, 5 | (cdb ? 1 << 5 : 0) | (write ? 1 << 6 : 0) | entries << 16);
    put32(f, list(port) + 32 * slot + 4, 0);
    put32(f, list(port) + 32 * slot + 8, table(port, slot));
    put32(f, list(port) + 32 * slot + 12, 0);
}

typedef struct { Fixture *f; unsigned port; uint32_t mask; bool queued; } Wait;

static bool is_over(Machine *m, void *data)
{
    const Wait *w = data;
    if (port_get(w->f, w->port, P_IS) & 1u << 30)
        return true;
    return !((port_get(w->f, w->port, P_CI) | (w->queued ? port_get(w->f, w->port, P_SACT) : 0)) &
             w->mask);
}

static void issue(Fixture *f, unsigned port, uint32_t mask, bool queued)
{
    Wait w = { f, port, mask, queued };
    if (queued)
        port_put(f, port, P_SACT, mask);
    port_put(f, port, P_CI, mask);
    g_assert_true(machine_wait(&f->m, is_over, &w));
}

static uint32_t run(Fixture *f, unsigned port, Command c, uint32_t address, uint32_t size,
                    bool write)
{
    build(f, port, 0, c, address, size, write, NULL);
    issue(f, port, 1, false);
    return port_get(f, port, P_TFD);
}

static uint32_t packet(Fixture *f, const uint8_t cdb[16], uint32_t address, uint32_t size)
{
    build(f, 1, 0, (Command) { .command = 0xa0, .feature = 1 }, address, size, false, cdb);
    issue(f, 1, 1, false);
    return port_get(f, 1, P_TFD);
}

static void restart(Fixture *f, unsigned port)
{
    port_put(f, port, P_CMD, 0x16);
    port_put(f, port, P_SERR, 0xffffffff);
    port_put(f, port, P_IS, 0xffffffff);
    port_put(f, port, P_CMD, 0x17);
}

static void test_signatures(Fixture *f, gconstpointer data)
{
    g_assert_cmphex(port_get(f, 0, P_SIG), ==, 0x00000101);
    g_assert_cmphex(port_get(f, 1, P_SIG), ==, 0xeb140101);
    g_assert_cmphex(port_get(f, 0, P_SSTS), ==, 0x123);
    g_assert_cmphex(port_get(f, 2, P_SSTS), ==, 0);
    g_assert_cmphex(port_get(f, 0, P_TFD) & 0xff, ==, 0x50);
    /* COMRESET brings it again */
    port_put(f, 0, P_CMD, 0x16);
    port_put(f, 0, P_SCTL, 0x301);
    g_assert_cmphex(port_get(f, 0, P_SSTS), ==, 0);
    port_put(f, 0, P_SCTL, 0x300);
    g_assert_cmphex(port_get(f, 0, P_SSTS), ==, 0x123);
    g_assert_cmphex(port_get(f, 0, P_SERR) & 1 << 26, !=, 0);
    g_assert_cmphex(port_get(f, 0, P_IS) & 1 << 6, !=, 0);
    port_put(f, 0, P_SERR, 0xffffffff);
    g_assert_cmphex(port_get(f, 0, P_IS) & 1 << 6, ==, 0);
}

static void test_identify(Fixture *f, gconstpointer data)
{
    uint8_t *words = f->m.ram->host + BUFFERS;
    unsigned sum = 0;

    g_assert_cmphex(run(f, 0, (Command) { .command = 0xec }, BUFFERS, 512, false) & 0xff, ==, 0x50);
    for (unsigned i = 0; i < 512; i++)
        sum += words[i];
    g_assert_cmphex(words[510], ==, 0xa5);
    g_assert_cmphex(sum & 0xff, ==, 0);
    uint64_t sectors = 0;
    memcpy(&sectors, words + 200, 8);
    g_assert_cmpuint(sectors, ==, DISK_SIZE / 512);
    g_assert_cmphex(words[20], !=, 0);
    g_assert_cmphex(port_get(f, 0, P_IS) & 2, ==, 2);           /* PIO setup */
    g_assert_true(f->m.irq[0]);
    port_put(f, 0, P_IS, 0xffffffff);
    vit_as_store(f->m.sys->memory, ABAR + 8, 1, 4);
    g_assert_false(f->m.irq[0]);
    g_assert_cmpuint(vit_as_load(f->m.sys->memory, list(0) + 4, 4, NULL), ==, 512);
    /* the packet drive refuses, and tells who it is */
    g_assert_cmphex(run(f, 1, (Command) { .command = 0xec }, BUFFERS, 512, false) & 0x4ff, ==,
                    0x451);
    restart(f, 1);
    g_assert_cmphex(run(f, 1, (Command) { .command = 0xa1 }, BUFFERS, 512, false) & 0xff, ==, 0x50);
    g_assert_cmphex(words[1], ==, 0x85);
}

static void test_dma(Fixture *f, gconstpointer data)
{
    uint8_t *buffer = f->m.ram->host + BUFFERS;
    Command read = { .command = 0x25, .device = 0x40, .count = 3, .lba = 1000 };

    g_assert_cmphex(run(f, 0, read, BUFFERS, 3 * 512, false) & 0xff, ==, 0x50);
    machine_check(buffer, 1000 * 512, 3 * 512, 0);
    /* more than one piece */
    read.count = 2000;
    read.lba = 77;
    g_assert_cmphex(run(f, 0, read, BUFFERS, 2000 * 512, false) & 0xff, ==, 0x50);
    machine_check(buffer, 77 * 512, 2000 * 512, 0);
    for (unsigned i = 0; i < 600 * 512; i++)
        buffer[i] = sample(i, 99);
    Command write = { .command = 0x35, .device = 0x40, .count = 600, .lba = 5000 };
    g_assert_cmphex(run(f, 0, write, BUFFERS, 600 * 512, true) & 0xff, ==, 0x50);
    g_assert_cmphex(run(f, 0, (Command) { .command = 0xea }, 0, 0, false) & 0xff, ==, 0x50);
    memset(buffer, 0, 600 * 512);
    read.count = 600;
    read.lba = 5000;
    g_assert_cmphex(run(f, 0, read, BUFFERS, 600 * 512, false) & 0xff, ==, 0x50);
    machine_check(buffer, 0, 600 * 512, 99);
    /* 28 bits, and the last sector */
    Command last = { .command = 0xc8, .device = 0x40, .count = 1, .lba = DISK_SIZE / 512 - 1 };
    g_assert_cmphex(run(f, 0, last, BUFFERS, 512, false) & 0xff, ==, 0x50);
    machine_check(buffer, DISK_SIZE - 512, 512, 0);
    last.count = 2;
    g_assert_cmphex(run(f, 0, last, BUFFERS, 1024, false), ==, 0x1451);
    g_assert_cmphex(port_get(f, 0, P_IS) & 1u << 30, !=, 0);
    g_assert_cmphex(port_get(f, 0, P_CI), ==, 1);       /* the failed one stays */
    restart(f, 0);
    g_assert_cmphex(port_get(f, 0, P_CI), ==, 0);
    g_assert_cmphex(run(f, 0, read, BUFFERS, 600 * 512, false) & 0xff, ==, 0x50);
}

static void test_queued(Fixture *f, gconstpointer data)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        Command c = { .command = slot & 1 ? 0x61 : 0x60, .device = 0x40, .feature = 8,
                      .count = (uint16_t) (slot << 3), .lba = slot * 16 };
        if (slot & 1)
            for (unsigned i = 0; i < 4096; i++)
                f->m.ram->host[BUFFERS + slot * 4096 + i] = sample(i, slot);
        build(f, 0, slot, c, BUFFERS + slot * 4096, 4096, slot & 1, NULL);
    }
    issue(f, 0, 0xffffffff, true);
    g_assert_cmphex(port_get(f, 0, P_SACT), ==, 0);
    for (unsigned slot = 0; slot < 32; slot += 2)
        machine_check(f->m.ram->host + BUFFERS + slot * 4096, slot * 16 * 512, 4096, 0);
    memset(f->m.ram->host + BUFFERS, 0, 4096);
    Command back = { .command = 0x25, .device = 0x40, .count = 8, .lba = 31 * 16 };
    g_assert_cmphex(run(f, 0, back, BUFFERS, 4096, false) & 0xff, ==, 0x50);
    machine_check(f->m.ram->host + BUFFERS, 0, 4096, 31);

    /* one beyond the end: the log names it */
    Command beyond = { .command = 0x60, .device = 0x40, .feature = 1, .count = 5 << 3,
                       .lba = DISK_SIZE };
    build(f, 0, 5, beyond, BUFFERS, 512, false, NULL);
    issue(f, 0, 1 << 5, true);
    g_assert_cmphex(port_get(f, 0, P_IS) & 1u << 30, !=, 0);
    g_assert_cmphex(port_get(f, 0, P_SACT), ==, 1 << 5);
    restart(f, 0);
    g_assert_cmphex(run(f, 0, (Command) { .command = 0x2f, .count = 1, .lba = 0x10 }, BUFFERS, 512,
                        false) & 0xff, ==, 0x50);
    g_assert_cmphex(f->m.ram->host[BUFFERS], ==, 5);
    g_assert_cmphex(f->m.ram->host[BUFFERS + 2] & 1, ==, 1);
}

static void test_trim(Fixture *f, gconstpointer data)
{
    struct stat before, after;
    uint8_t *ranges = f->m.ram->host + BUFFERS;

    memset(ranges, 0, 512);
    uint64_t range = 2048 | UINT64_C(4096) << 48;
    memcpy(ranges + 8, &range, 8);
    g_assert_cmpint(stat(f->m.paths[0], &before), ==, 0);
    g_assert_cmphex(run(f, 0, (Command) { .command = 0x06, .feature = 1, .count = 1 }, BUFFERS, 512,
                        true) & 0xff, ==, 0x50);
    g_assert_cmpint(stat(f->m.paths[0], &after), ==, 0);
    if (vit_block_info(f->m.nodes[0]).can_discard)
        g_assert_cmpint(after.st_blocks, <, before.st_blocks);
    range = (DISK_SIZE / 512) | UINT64_C(1) << 48;
    memcpy(ranges, &range, 8);
    g_assert_cmphex(run(f, 0, (Command) { .command = 0x06, .feature = 1, .count = 1 }, BUFFERS, 512,
                        true) & 1, ==, 1);
}

static void test_cd(Fixture *f, gconstpointer data)
{
    uint8_t *buffer = f->m.ram->host + BUFFERS;
    uint8_t read[16] = { 0x28, [5] = 7, [8] = 200 }, toc[16] = { 0x43, [8] = 20 },
            capacity[16] = { 0x25 };
    uint8_t sense[16] = { 0x03, [4] = 18 }, ready[16] = { 0x00 }, lock[16] = { 0x1e, [4] = 1 },
            nonsense[16] = { 0xf1 };
    uint8_t eject[16] = { 0x1b, [4] = 2 };

    g_assert_cmphex(packet(f, ready, 0, 0) & 0xff, ==, 0x50);
    g_assert_cmphex(packet(f, capacity, BUFFERS, 8) & 0xff, ==, 0x50);
    g_assert_cmphex(buffer[2] << 8 | buffer[3], ==, CD_SIZE / 2048 - 1);
    g_assert_cmphex(buffer[6], ==, 8);
    g_assert_cmphex(packet(f, read, BUFFERS, 200 * 2048) & 0xff, ==, 0x50);
    machine_check(buffer, 7 * 2048, 200 * 2048, 1);
    g_assert_cmphex(packet(f, toc, BUFFERS, 20) & 0xff, ==, 0x50);
    g_assert_cmphex(buffer[6], ==, 1);
    g_assert_cmphex(buffer[14], ==, 0xaa);

    read[4] = 0x10;         /* beyond the end */
    g_assert_cmphex(packet(f, read, BUFFERS, 200 * 2048), ==, 0x5451);
    restart(f, 1);
    g_assert_cmphex(packet(f, sense, BUFFERS, 18) & 0xff, ==, 0x50);
    g_assert_cmphex(buffer[2], ==, 5);
    g_assert_cmphex(buffer[12], ==, 0x21);
    g_assert_cmphex(packet(f, nonsense, 0, 0), ==, 0x5451);
    restart(f, 1);

    g_assert_cmphex(packet(f, lock, 0, 0) & 0xff, ==, 0x50);
    vit_system_lock(f->m.sys);
    g_assert_false(vit_ata_change_disc(f->m.cd, NULL, false));
    vit_system_unlock(f->m.sys);
    g_assert_cmphex(packet(f, eject, 0, 0) & 1, ==, 1);
    restart(f, 1);
    lock[4] = 0;
    g_assert_cmphex(packet(f, lock, 0, 0) & 0xff, ==, 0x50);
    g_assert_cmphex(packet(f, eject, 0, 0) & 0xff, ==, 0x50);
    g_assert_cmphex(packet(f, ready, 0, 0), ==, 0x2051);        /* not ready */
    restart(f, 1);
    vit_system_lock(f->m.sys);
    g_assert_true(vit_ata_change_disc(f->m.cd, f->m.nodes[1], false));
    vit_system_unlock(f->m.sys);
    g_assert_cmphex(packet(f, ready, 0, 0), ==, 0x6051);       /* the disc may have changed: once */
    restart(f, 1);
    g_assert_cmphex(packet(f, ready, 0, 0) & 0xff, ==, 0x50);
}

/* Too little memory for the data: an overflow, and the port works on after its restart. */
static void test_short_list(Fixture *f, gconstpointer data)
{
    Command read = { .command = 0x25, .device = 0x40, .count = 3, .lba = 10 };
    g_assert_cmphex(run(f, 0, read, BUFFERS, 1024, false) & 1, ==, 1);
    g_assert_cmphex(port_get(f, 0, P_IS) & 1 << 24, !=, 0);
    restart(f, 0);
    g_assert_cmphex(run(f, 0, read, BUFFERS, 3 * 512, false) & 0xff, ==, 0x50);
}

/* The drive's file is cut: an uncorrectable error that names the sector. */
static void test_media_error(Fixture *f, gconstpointer data)
{
    Command read = { .command = 0x25, .device = 0x40, .count = 8, .lba = 8000 };
    g_assert_cmpint(truncate(f->m.paths[0], 1 << 20), ==, 0);
    g_assert_cmphex(run(f, 0, read, BUFFERS, 4096, false), ==, 0x4051);
    g_assert_cmpuint(vit_as_load(f->m.sys->memory, received(0) + 0x44, 2, NULL), ==, 8000);
}

/* Reset in the middle of requests, again and again; then all is well. */
static void test_reset_under_load(Fixture *f, gconstpointer data)
{
    for (int round = 0; round < 30; round++) {
        for (unsigned slot = 0; slot < 32; slot++)
            build(f, 0, slot, (Command) { .command = 0x60, .device = 0x40, .feature = 64,
                                          .count = (uint16_t) (slot << 3), .lba = slot * 64 },
                  BUFFERS, 64 * 512, false, NULL);
        port_put(f, 0, P_SACT, 0xffffffff);
        port_put(f, 0, P_CI, 0xffffffff);
        if (round % 3 == 0) {
            machine_reset(&f->m);
            vit_system_lock(f->m.sys);
            vit_pci_config_write(f->m.bus, 0, DEVFN, 0x24, ABAR, 4);
            vit_pci_config_write(f->m.bus, 0, DEVFN, 0x04, 6, 2);
            vit_system_unlock(f->m.sys);
        } else if (round % 3 == 1) {
            vit_as_store(f->m.sys->memory, ABAR + 4, 0x80000001, 4);
        } else {
            port_put(f, 0, P_CMD, 0x16);
        }
        start_port(f, 0);
    }
    test_dma(f, NULL);
}

/* Random words where the driver's structures should be. */
static void test_nonsense(Fixture *f, gconstpointer data)
{
    GRand *rand = g_rand_new_with_seed(5);

    for (int round = 0; round < 400; round++) {
        unsigned port = round & 1;
        for (unsigned i = 0; i < 0x8000; i += 4)
            if (g_rand_int_range(rand, 0, 4) == 0)
                put32(f, list(port) + i, g_rand_int(rand));
        for (unsigned slot = 0; slot < 32; slot += 3) {     /* some that get further */
            Command c = { .command = (uint8_t) g_rand_int(rand),
                          .device = 0x40,
                          .feature = (uint16_t) g_rand_int(rand),
                          .count = (uint16_t) g_rand_int_range(rand, 0, 64),
                          .lba = g_rand_int(rand) & 0x3fff };
            uint8_t cdb[16];
            for (unsigned i = 0; i < 16; i++)
                cdb[i] = (uint8_t) g_rand_int_range(rand, 0, 256);
            if (c.command & 1)
                c.command = 0xa0;
            build(f, port, slot, c, g_rand_int(rand) & (RAM_SIZE - 1) & ~1u,
                  g_rand_int(rand) & 0xfffe, false, c.command == 0xa0 ? cdb : NULL);
        }
        port_put(f, port, P_SACT, g_rand_int(rand));
        port_put(f, port, P_CI, g_rand_int(rand));
        port_put(f, port, (unsigned) g_rand_int_range(rand, 0, 32) * 4, g_rand_int(rand));
        if (round % 5 == 4)
            start_port(f, port);
    }
    g_rand_free(rand);
}

/* Save with commands on their way, load into the same machine: they end all the same. */
static void test_save(Fixture *f, gconstpointer data)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    uint8_t *buffer = f->m.ram->host + BUFFERS;

    build(f, 0, 0, (Command) { .command = 0x25, .device = 0x40, .count = 2000, .lba = 100 },
          BUFFERS, 2000 * 512, false, NULL);
    vit_system_lock(f->m.sys);
    port_put(f, 0, P_CI, 1);
    bool good = vit_system_save(f->m.sys, state, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    vit_system_unlock(f->m.sys);
    Wait w = { f, 0, 1, false };
    g_assert_true(machine_wait(&f->m, is_over, &w));
    memset(buffer, 0, 2000 * 512);
    vit_system_lock(f->m.sys);
    good = vit_system_load(f->m.sys, state->data, state->len, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_assert_cmphex(port_get(f, 0, P_CI), ==, 1);      /* before anything can end it */
    vit_system_unlock(f->m.sys);
    g_assert_true(machine_wait(&f->m, is_over, &w));
    machine_check(buffer, 100 * 512, 2000 * 512, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*fn)(Fixture *, gconstpointer); } tests[] = {
        { "/ahci/signatures", test_signatures }, { "/ahci/identify", test_identify },
        { "/ahci/dma", test_dma }, { "/ahci/queued", test_queued }, { "/ahci/trim", test_trim },
        { "/ahci/cd", test_cd }, { "/ahci/short-list", test_short_list },
        { "/ahci/media-error", test_media_error },
        { "/ahci/reset-under-load", test_reset_under_load }, { "/ahci/nonsense", test_nonsense },
        { "/ahci/save", test_save },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].fn, tear_down);
    return g_test_run();
}
