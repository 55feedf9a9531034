/* tests/hw/intc/test-lapic.c - priorities, destinations, timer, x2APIC, and the I/O APIC in front
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"

enum { N = 4, SVR = 0xf0, TPR = 0x80, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, ICR = 0x300, ICR2 = 0x310,
       LVT_TIMER = 0x320, LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0,
       ESR = 0x280 };

typedef struct { bool intr; unsigned nmis, inits; int sipi; } Cpu;

typedef struct {
    VitSystem *sys;
    VitApicBus bus;
    VitDevice *apic[N], *io;
    Cpu cpu[N];
} Rig;

static void intr(void *c, bool level) { ((Cpu *) c)->intr = level; }
static void nmi(void *c) { ((Cpu *) c)->nmis++; }
static void smi(void *c) { }
static void init(void *c) { ((Cpu *) c)->inits++; }
static void sipi(void *c, uint8_t vector) { ((Cpu *) c)->sipi = vector; }
static int64_t tsc_to_ns(void *c, uint64_t tsc) { return (int64_t) (tsc / 2); }
static const VitLapicCpuOps ops = { intr, nmi, smi, init, sipi, tsc_to_ns };

static void set(Rig *r, unsigned n, uint32_t reg, uint32_t value) { vit_device_write(r->apic[n],
                                                                                     reg, value,
                                                                                     4); }
static uint32_t get(Rig *r, unsigned n,
                    uint32_t reg) { return (uint32_t) vit_device_read(r->apic[n], reg, 4); }

static void rig_new(Rig *r)
{
    *r = (Rig) { .sys = vit_system_new() };
    vit_system_lock(r->sys);
    for (unsigned i = 0; i < N; i++) {
        r->apic[i] = vit_device_new(r->sys, &vit_lapic_class, NULL);
        g_assert_true(vit_device_init(r->apic[i], NULL));
        vit_lapic_connect(r->apic[i], &r->bus, i);
        vit_lapic_set_cpu(r->apic[i], &ops, &r->cpu[i]);
    }
    r->io = vit_device_new(r->sys, &vit_ioapic_class, NULL);
    g_assert_true(vit_device_init(r->io, NULL));
    vit_ioapic_connect(r->io, &r->bus);
    vit_system_reset(r->sys);
    for (unsigned i = 0; i < N; i++) {
        set(r, i, SVR, 0x1ff);
        set(r, i, LDR, 1u << (24 + i));
    }
}

static void rig_free(Rig *r)
{
    vit_system_unlock(r->sys);
    vit_system_free(r->sys);
}

static void self(Rig *r, unsigned n, uint8_t vector) { set(r, n, ICR, 0x40000 | vector); }

static void test_priority(void)
{
    Rig r;
    rig_new(&r);
    self(&r, 0, 0x31);
    self(&r, 0, 0x52);
    g_assert_true(r.cpu[0].intr);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x52);
    g_assert_false(r.cpu[0].intr);              /* 31h is of a lower class */
    self(&r, 0, 0x5f);
    g_assert_false(r.cpu[0].intr);              /* of the same class */
    set(&r, 0, EOI, 0);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x5f);
    set(&r, 0, EOI, 0);
    vit_lapic_set_cr8(r.apic[0], 3);
    g_assert_false(r.cpu[0].intr);
    g_assert_cmphex(get(&r, 0, TPR), ==, 0x30);
    vit_lapic_set_cr8(r.apic[0], 2);
    g_assert_true(r.cpu[0].intr);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x31);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, -1);
    rig_free(&r);
}

static void test_destinations(void)
{
    Rig r;
    rig_new(&r);
    set(&r, 0, ICR2, 0x0a000000);               /* logical, flat: CPUs 1 and 3 */
    set(&r, 0, ICR, 0x840);
    g_assert_false(r.cpu[0].intr || r.cpu[2].intr);
    g_assert_true(r.cpu[1].intr && r.cpu[3].intr);
    g_assert_cmphex(vit_lapic_ack(r.apic[1]), ==, 0x40);
    g_assert_cmphex(vit_lapic_ack(r.apic[3]), ==, 0x40);

    set(&r, 0, ICR2, 0x0f000000);               /* lowest priority: 2 has nothing in service */
    set(&r, 0, TPR, 0x50);
    set(&r, 0, ICR, 0x900 | 0x60);
    g_assert_cmphex(vit_lapic_ack(r.apic[2]), ==, 0x60);
    g_assert_false(r.cpu[0].intr);

    for (unsigned i = 0; i < N; i++) {          /* cluster: 0 and 1 in cluster 2 */
        set(&r, i, DFR, 0x0fffffff);
        set(&r, i, LDR, (i < 2 ? 0x20u : 0x30u) << 24 | 1u << (24 + (i & 1)));
    }
    set(&r, 3, ICR2, 0x21000000);
    set(&r, 3, ICR, 0x870);
    g_assert_true(r.cpu[0].intr);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x70);
    g_assert_false(r.cpu[1].intr || r.cpu[2].intr || r.cpu[3].intr);

    set(&r, 1, ICR, 0xc4400);                   /* NMI to all but oneself */
    g_assert_cmpuint(r.cpu[0].nmis + r.cpu[2].nmis + r.cpu[3].nmis, ==, 3);
    g_assert_cmpuint(r.cpu[1].nmis, ==, 0);
    rig_free(&r);
}

static void test_errors(void)
{
    Rig r;
    rig_new(&r);
    set(&r, 0, LVT_ERROR, 0xfe);
    self(&r, 0, 5);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0xfe);
    g_assert_cmphex(get(&r, 0, ESR), ==, 0);
    set(&r, 0, ESR, 0);
    g_assert_cmphex(get(&r, 0, ESR), ==, 0x20);
    rig_free(&r);
}

static void test_timer(void)
{
    Rig r;
    rig_new(&r);
    set(&r, 0, DIVIDE, 3);                      /* by 16 */
    set(&r, 0, LVT_TIMER, 0x20);
    set(&r, 0, INITIAL, 1000);
    vit_clock_advance(r.sys->clock, 8000, 100);
    g_assert_cmpuint(get(&r, 0, CURRENT), ==, 500);
    g_assert_false(r.cpu[0].intr);
    vit_clock_advance(r.sys->clock, 8000, 100);
    g_assert_cmpuint(get(&r, 0, CURRENT), ==, 0);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x20);
    set(&r, 0, EOI, 0);

    set(&r, 0, LVT_TIMER, 0x20021);
    set(&r, 0, INITIAL, 62500);                 /* 1 ms */
    unsigned n = 0;
    for (unsigned i = 0; i < 100; i++) {
        vit_clock_advance(r.sys->clock, VIT_NS_PER_MS, 100);
        n += vit_lapic_ack(r.apic[0]) == 0x21;
        set(&r, 0, EOI, 0);
    }
    g_assert_cmpuint(n, ==, 100);

    set(&r, 0, LVT_TIMER, 0x40022);
    uint64_t deadline = (uint64_t) vit_clock_now(r.sys->clock) * 2 + 1000, value;
    g_assert_true(vit_lapic_msr_write(r.apic[0], VIT_LAPIC_MSR_TSC_DEADLINE, deadline));
    vit_clock_advance(r.sys->clock, 499, 100);
    g_assert_false(r.cpu[0].intr);
    vit_clock_advance(r.sys->clock, 1, 100);
    g_assert_cmphex(vit_lapic_ack(r.apic[0]), ==, 0x22);
    g_assert_true(vit_lapic_msr_read(r.apic[0], VIT_LAPIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmphex(value, ==, 0);
    rig_free(&r);
}

static void test_x2apic(void)
{
    Rig r;
    uint64_t base, value;
    rig_new(&r);
    for (unsigned i = 0; i < N; i++) {
        g_assert_true(vit_lapic_msr_read(r.apic[i], VIT_LAPIC_MSR_BASE, &base));
        g_assert_cmphex(base, ==, i ? 0xfee00800 : 0xfee00900);
        g_assert_false(vit_lapic_msr_read(r.apic[i], 0x802, &value));
        g_assert_true(vit_lapic_msr_write(r.apic[i], VIT_LAPIC_MSR_BASE, base | 0x400));
        g_assert_true(vit_lapic_msr_read(r.apic[i], 0x802, &value));
        g_assert_cmphex(value, ==, i);
    }
    /* not back at once */
    g_assert_false(vit_lapic_msr_write(r.apic[0], VIT_LAPIC_MSR_BASE, 0xfee00900));
    g_assert_true(vit_lapic_msr_read(r.apic[2], 0x80d, &value));
    g_assert_cmphex(value, ==, 4);
    g_assert_true(vit_lapic_msr_write(r.apic[0], 0x830, 3ull << 32 | 0x41));
    g_assert_cmphex(vit_lapic_ack(r.apic[3]), ==, 0x41);
    g_assert_true(vit_lapic_msr_write(r.apic[0], 0x830, 6ull << 32 | 0x842)); /* logical: 1 and 2 */
    g_assert_cmphex(vit_lapic_ack(r.apic[1]), ==, 0x42);
    g_assert_cmphex(vit_lapic_ack(r.apic[2]), ==, 0x42);
    g_assert_true(vit_lapic_msr_write(r.apic[1], 0x83f, 0x77));
    g_assert_cmphex(vit_lapic_ack(r.apic[1]), ==, 0x77);
    g_assert_false(vit_lapic_msr_write(r.apic[1], 0x80b, 1));
    g_assert_true(vit_lapic_msr_write(r.apic[1], 0x80b, 0));
    rig_free(&r);
}

static void io_entry(Rig *r, unsigned pin, uint64_t entry)
{
    vit_device_write(r->io, 0, 0x11 + 2 * pin, 1);
    vit_device_write(r->io, 0x10, entry >> 32, 4);
    vit_device_write(r->io, 0, 0x10 + 2 * pin, 1);
    vit_device_write(r->io, 0x10, entry & UINT32_MAX, 4);
}

static void test_io_level(void)
{
    Rig r;
    rig_new(&r);
    io_entry(&r, 20, 2ull << 56 | 0x8000 | 0x61);
    r.io->klass->input(r.io, 20, true);
    g_assert_cmphex(vit_lapic_ack(r.apic[2]), ==, 0x61);
    g_assert_cmphex(vit_device_read(r.io, 0x10, 4), ==, 0xc061);        /* remote IRR */
    g_assert_false(r.cpu[2].intr);
    set(&r, 2, EOI, 0);
    g_assert_true(r.cpu[2].intr);               /* the line still stands */
    g_assert_cmphex(vit_lapic_ack(r.apic[2]), ==, 0x61);
    r.io->klass->input(r.io, 20, false);
    set(&r, 2, EOI, 0);
    g_assert_false(r.cpu[2].intr);
    g_assert_cmphex(vit_device_read(r.io, 0x10, 4), ==, 0x8061);
    io_entry(&r, 20, 2ull << 56 | 0x18000 | 0x61);
    r.io->klass->input(r.io, 20, true);
    g_assert_false(r.cpu[2].intr);              /* masked */
    io_entry(&r, 20, 2ull << 56 | 0x8000 | 0x61);
    g_assert_true(r.cpu[2].intr);
    rig_free(&r);
}

static void test_state(void)
{
    Rig r;
    rig_new(&r);
    self(&r, 1, 0x33);
    set(&r, 1, DIVIDE, 0xb);
    set(&r, 1, LVT_TIMER, 0x44);
    set(&r, 1, INITIAL, 50000);
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_assert_true(vit_system_save(r.sys, saved, NULL));
    vit_system_reset(r.sys);
    g_assert_false(r.cpu[1].intr);
    g_assert_true(vit_system_load(r.sys, saved->data, saved->len, NULL));
    g_assert_true(r.cpu[1].intr);
    g_assert_cmphex(vit_lapic_ack(r.apic[1]), ==, 0x33);
    vit_clock_advance(r.sys->clock, 50000, 100);
    g_assert_cmphex(vit_lapic_ack(r.apic[1]), ==, 0x44);
    rig_free(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lapic/priority", test_priority);
    g_test_add_func("/lapic/destinations", test_destinations);
    g_test_add_func("/lapic/errors", test_errors);
    g_test_add_func("/lapic/timer", test_timer);
    g_test_add_func("/lapic/x2apic", test_x2apic);
    g_test_add_func("/lapic/io-level", test_io_level);
    g_test_add_func("/lapic/state", test_state);
    return g_test_run();
}
