/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/virtio/guest-driver.h - the driver's half of virtio over PCI, for tests: finds the
 * capabilities, negotiates, keeps split rings in guest memory */
#pragma once
#include "hw/pci/pci-devices.h"
#include "tests/hw/pci/pci-machine.h"
#include <string.h>

typedef struct {
    TestMachine *m;
    unsigned     devfn;
    uint64_t     common, isr, device, notify;
    uint32_t     multiplier;
    uint64_t     features;
    uint32_t     message_base;      /* MSI-X data of vector 0 */
} Guest;

enum { RING_MAX = 256 };

typedef struct {
    Guest   *g;
    unsigned index, size;
    uint64_t desc, avail, used, notify;
    uint16_t next_desc, avail_index, seen;
} GuestQueue;

typedef struct { uint64_t addr; uint32_t len; bool write; } GuestBuf;

/* ---- Guest memory ---------------------------------------------------------------------------- */

static uint64_t guest_alloc_at;

static inline uint64_t guest_alloc(Guest *g, uint32_t size)
{
    if (guest_alloc_at < 0x100000 || guest_alloc_at + size + 64 > TEST_RAM)
        guest_alloc_at = 0x100000;
    uint64_t at = (guest_alloc_at + 63) & ~63ull;
    guest_alloc_at = at + size;
    memset(g->m->ram->host + at, 0, size);
    return at;
}

static inline void *guest_ptr(Guest *g, uint64_t addr) { return g->m->ram->host + addr; }

static inline uint64_t guest_put(Guest *g, const void *data, uint32_t size)
{
    uint64_t at = guest_alloc(g, size);
    memcpy(guest_ptr(g, at), data, size);
    return at;
}

static inline uint64_t reg_read(Guest *g, uint64_t addr, unsigned size)
{
    return vit_as_load(g->m->sys->memory, addr, size, NULL);
}

static inline void reg_write(Guest *g, uint64_t addr, uint64_t value, unsigned size)
{
    (void) vit_as_store(g->m->sys->memory, addr, value, size);
}

/* ---- Transport ------------------------------------------------------------------------------- */

static inline void guest_probe(Guest *g, TestMachine *m, unsigned devfn, bool msix)
{
    uint32_t at = 0xe0000000u + (devfn << 24);
    *g = (Guest) { .m = m, .devfn = devfn };

    for (unsigned bar = 0; bar < 6; bar++) {    /* 64-bit BARs keep their upper half zero */
        unsigned offset = 0x10 + 4 * bar;
        cfg_write(m, devfn, offset, 0xffffffff, 4);
        uint32_t mask = cfg_read(m, devfn, offset, 4);
        uint32_t size = ~(mask & ~15u) + 1;
        if (!size)
            continue;
        at = (at + size - 1) & ~(size - 1);
        cfg_write(m, devfn, offset, at, 4);
        at += size;
        bar += mask >> 2 & 1;
    }
    cfg_write(m, devfn, 4, 6, 2);
    for (unsigned cap = 0; (cap = cfg_find_cap(m, devfn, 9, cap));) {
        unsigned type = cfg_read(m, devfn, cap + 3, 1), bar = cfg_read(m, devfn, cap + 4, 1);
        uint64_t at = (cfg_read(m, devfn, 0x10 + 4 * bar, 4) & ~15u) +
                      cfg_read(m, devfn, cap + 8, 4);
        if (type == 1)
            g->common = at;
        else if (type == 2)
            g->notify = at, g->multiplier = cfg_read(m, devfn, cap + 16, 4);
        else if (type == 3)
            g->isr = at;
        else if (type == 4)
            g->device = at;
    }
    g_assert_true(g->common && g->notify && g->isr && g->device);
    unsigned cap = cfg_find_cap(m, devfn, 0x11, 0);
    if (!msix)
        return;
    g_assert_cmpuint(cap, !=, 0);
    unsigned vectors = (cfg_read(m, devfn, cap + 2, 2) & 0x7ff) + 1,
             bar = cfg_read(m, devfn, cap + 4, 1);
    uint64_t table = cfg_read(m, devfn, 0x10 + 4 * bar, 4) & ~15u;
    g->message_base = 16;
    for (unsigned v = 0; v < vectors; v++) {
        reg_write(g, table + 16 * v, 0xfee00000, 4);
        reg_write(g, table + 16 * v + 8, g->message_base + v, 4);
        reg_write(g, table + 16 * v + 12, 0, 4);
    }
    cfg_write(m, devfn, cap + 2, 0x8000, 2);
}

static inline uint8_t guest_status(Guest *g) { return (uint8_t) reg_read(g, g->common + 0x14, 1); }
static inline void guest_set_status(Guest *g, uint8_t s) { reg_write(g, g->common + 0x14, s, 1); }

static inline void guest_reset(Guest *g)
{
    guest_set_status(g, 0);
    for (unsigned i = 0; i < 5000 && guest_status(g); i++)
        g_usleep(1000);
    g_assert_cmphex(guest_status(g), ==, 0);
}

/* Accepts what both want; returns what was offered. */
static inline uint64_t guest_negotiate(Guest *g, uint64_t wanted)
{
    uint64_t offered = 0;
    guest_reset(g);
    guest_set_status(g, 1);
    guest_set_status(g, 3);
    for (unsigned i = 0; i < 2; i++) {
        reg_write(g, g->common, i, 4);
        offered |= reg_read(g, g->common + 4, 4) << 32 * i;
    }
    g->features = offered & (wanted | 1ull << 32);
    for (unsigned i = 0; i < 2; i++) {
        reg_write(g, g->common + 8, i, 4);
        reg_write(g, g->common + 12, (uint32_t) (g->features >> 32 * i), 4);
    }
    guest_set_status(g, 11);
    g_assert_cmphex(guest_status(g), ==, 11);
    return offered;
}

static inline void guest_queue(Guest *g, GuestQueue *q, unsigned index, unsigned size)
{
    *q = (GuestQueue) { .g = g, .index = index };
    reg_write(g, g->common + 0x16, index, 2);
    unsigned max = (unsigned) reg_read(g, g->common + 0x18, 2);
    g_assert_cmpuint(max, >, 0);
    q->size = MIN(MIN(size, max), RING_MAX);
    reg_write(g, g->common + 0x18, q->size, 2);
    q->desc = guest_alloc(g, 16 * q->size);
    q->avail = guest_alloc(g, 6 + 2 * q->size);
    q->used = guest_alloc(g, 6 + 8 * q->size);
    uint64_t areas[] = { q->desc, q->avail, q->used };
    for (unsigned i = 0; i < 3; i++) {
        reg_write(g, g->common + 0x20 + 8 * i, (uint32_t) areas[i], 4);
        reg_write(g, g->common + 0x24 + 8 * i, areas[i] >> 32, 4);
    }
    reg_write(g, g->common + 0x1a, index + 1, 2);       /* vector 0 is the configuration's */
    q->notify = g->notify + reg_read(g, g->common + 0x1e, 2) * g->multiplier;
    reg_write(g, g->common + 0x1c, 1, 2);
    g_assert_cmpuint(reg_read(g, g->common + 0x1c, 2), ==, 1);
}

static inline void guest_driver_ok(Guest *g)
{
    reg_write(g, g->common + 0x10, 0, 2);
    guest_set_status(g, 15);
}

/* ---- Rings ----------------------------------------------------------------------------------- */

static inline void put_desc(Guest *g, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
                            uint16_t flags, uint16_t next)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } d = { addr, len, flags, next };
    memcpy((uint8_t *) guest_ptr(g, table) + 16 * i, &d, 16);
}

static inline void guest_offer(GuestQueue *q, uint16_t head)
{
    uint16_t *avail = guest_ptr(q->g, q->avail);
    avail[2 + q->avail_index % q->size] = head;
    __atomic_store_n(&avail[1], ++q->avail_index, __ATOMIC_RELEASE);
}

/* One chain; returns its head.  The ring must have room. */
static inline uint16_t guest_add(GuestQueue *q, const GuestBuf *bufs, unsigned n, bool indirect)
{
    Guest *g = q->g;
    uint64_t table = indirect ? guest_alloc(g, 16 * n) : q->desc;
    uint16_t head = (uint16_t) (q->next_desc % q->size);

    for (unsigned i = 0; i < n; i++) {
        unsigned at = indirect ? i : (head + i) % q->size,
                 next = indirect ? i + 1 : (head + i + 1) % q->size;
        uint16_t flags = (uint16_t) ((i + 1 < n ? 1 : 0) | (bufs[i].write ? 2 : 0));
        put_desc(g, table, at, bufs[i].addr, bufs[i].len, flags, (uint16_t) next);
    }
    if (indirect)
        put_desc(g, q->desc, head, table, 16 * n, 4, 0);
    q->next_desc = (uint16_t) (q->next_desc + (indirect ? 1 : n));
    guest_offer(q, head);
    return head;
}

static inline void guest_kick(GuestQueue *q) { reg_write(q->g, q->notify, q->index, 2); }

/* Waits for the next used entry; false when none comes. */
static inline bool guest_used(GuestQueue *q, uint16_t *head, uint32_t *len, unsigned wait_ms)
{
    uint16_t *used = guest_ptr(q->g, q->used);
    for (unsigned i = 0; __atomic_load_n(&used[1], __ATOMIC_ACQUIRE) == q->seen; i++) {
        if (i >= wait_ms * 10)
            return false;
        g_usleep(100);
    }
    uint32_t entry[2];
    memcpy(entry, (uint8_t *) used + 4 + 8 * (q->seen++ % q->size), 8);
    if (head)
        *head = (uint16_t) entry[0];
    if (len)
        *len = entry[1];
    return true;
}

/* Adds, kicks, waits; the length that the device reported. */
static inline uint32_t guest_do(GuestQueue *q, const GuestBuf *bufs, unsigned n, bool indirect)
{
    uint32_t len = 0;
    uint16_t used = 0, head = guest_add(q, bufs, n, indirect);
    guest_kick(q);
    g_assert_true(guest_used(q, &used, &len, 5000));
    g_assert_cmpuint(used, ==, head);
    return len;
}

static inline bool guest_wait_status(Guest *g, uint8_t bit)
{
    for (unsigned i = 0; i < 5000 && !(guest_status(g) & bit); i++)
        g_usleep(1000);
    return guest_status(g) & bit;
}

static inline bool guest_wait_message(Guest *g, unsigned vector, unsigned count)
{
    for (unsigned i = 0; i < 5000 && g->m->messages[g->message_base + vector] < count; i++)
        g_usleep(1000);
    return g->m->messages[g->message_base + vector] >= count;
}

/* ---- A machine with one device in slot 0 ----------------------------------------------------- */

typedef struct {
    TestMachine      m;
    VitDeviceContext ctx;
    VitDevice       *device;
    Guest            g;
} GuestMachine;

static inline void guest_machine_init(GuestMachine *f)
{
    test_machine_init(&f->m, true);
    f->ctx = (VitDeviceContext) { .sys = f->m.sys, .pci = f->m.bus };
    f->ctx.drives = g_hash_table_new(g_str_hash, g_str_equal);
    f->ctx.netdevs = g_hash_table_new(g_str_hash, g_str_equal);
    f->ctx.chardevs = g_hash_table_new(g_str_hash, g_str_equal);
    f->ctx.scanouts = g_ptr_array_new();
    f->ctx.iothread = vit_io_thread_new("data");
}

static inline void guest_machine_add(GuestMachine *f, const char *text)
{
    GError *error = NULL;
    f->device = vit_pci_device_create(&f->ctx, text, &error);
    g_assert_no_error(error);
}

static inline void guest_machine_start(GuestMachine *f)
{
    vit_system_reset(f->m.sys);
    guest_probe(&f->g, &f->m, 0, true);
}

static inline void guest_machine_clear(GuestMachine *f)
{
    VitIoThread *thread = f->ctx.iothread;
    test_machine_clear(&f->m);
    vit_io_thread_free(thread);
    g_hash_table_unref(f->ctx.drives);
    g_hash_table_unref(f->ctx.netdevs);
    g_hash_table_unref(f->ctx.chardevs);
    g_ptr_array_unref(f->ctx.scanouts);
}
