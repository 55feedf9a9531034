/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/guest.c - runs code on the translator: one vCPU in long mode, CPL 3, flat
 *
 * Exceptions go to ring 0 through gates on an own stack; each handler is an OUT that stops the
 * run. */
#include "tests/cpu/cpu-test.h"

#include "engine/cpu/tlb.h"

#include <string.h>

enum {
    RAM_SIZE = 32 << 20,
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD = 0x3000,
    PT = 0x4000,
    GDT = 0x5000,
    IDT = 0x6000,
    TSS = 0x7000,
    HANDLERS = 0x8000,
    STACK_TOP = 0xa000,
    PHYS = 16 << 20 /* of CPU_TEST_CODE */,
    STOP_PORT = 0xf0,
};

struct CpuTestGuest {
    VitSystem *sys;
    VitRam *ram;
    VitRegion *ram_region, *port;
    VitAccel *accel;
    X86Cpu *x;
    GMutex lock;
    GCond cond;
    bool stopped;             /* guarded by lock */
};

static void on_stop(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    CpuTestGuest *g = opaque;

    vit_cpu_request(&g->x->cpu, VIT_EXIT_PAUSE);
    g_mutex_lock(&g->lock);
    g->stopped = true;
    g_cond_signal(&g->cond);
    g_mutex_unlock(&g->lock);
}

static uint64_t on_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}
static const VitMmioOps stop_ops = { .read = on_read, .write = on_stop };

static void put64(CpuTestGuest *g, uint64_t at, uint64_t v)
{
    memcpy(g->ram->host + at, &v, 8);
}

static void make_tables(CpuTestGuest *g)
{
    put64(g, PML4, PDPT | 7);
    put64(g, PDPT, PD | 7);
    put64(g, PD, 0x83);                                     /* supervisor, the first 2 MiB */
    put64(g, PD + 8 * (CPU_TEST_CODE >> 21), PT | 7);
    put64(g, PD + 8 * (CPU_TEST_CODE >> 21) + 8, 0);
    for (unsigned i = 0; i < CPU_TEST_CODE_SIZE / 4096; i++)
        put64(g, PT + 8 * i, (PHYS + 4096 * i) | 0x67);
    for (unsigned i = 0; i < CPU_TEST_DATA_SIZE / 4096; i++) {
        uint64_t page = (CPU_TEST_DATA - CPU_TEST_CODE) / 4096 + i;
        put64(g, PT + 8 * page, (PHYS + 4096 * page) | 0x67);
    }
    put64(g, GDT + 8, 0x00af9b000000ffff);                  /* ring 0 code, 64 bits */
    for (unsigned i = 0; i < 32; i++) {
        uint64_t handler = HANDLERS + 16 * i;
        uint8_t stub[] = { 0xe6, STOP_PORT, 0xeb, 0xfe };   /* out, jmp . */
        put64(g, IDT + 16 * i, (handler & 0xffff) | 8 << 16 | 1ULL << 32 | 0xeeULL << 40);
        put64(g, IDT + 16 * i + 8, 0);
        memcpy(g->ram->host + handler, stub, sizeof stub);
    }
    put64(g, TSS + 4, STACK_TOP);
    put64(g, TSS + 36, STACK_TOP);                          /* IST1 */
}

static void set_segment(X86Cpu *x, unsigned seg, uint16_t selector, uint16_t attr, uint64_t base,
                        uint32_t limit)
{
    x->seg[seg] = (X86Segment){ selector, attr, limit, base };
}

static void enter_user(CpuTestGuest *g, unsigned code)
{
    X86Cpu *x = g->x;

    x->cr0 = 0x80050033;
    x->cr3 = PML4;
    x->cr4 = 0x620;
    x->efer = 0xd01;
    x->gdt.base = GDT;
    x->gdt.limit = 0x2f;
    x->idt.base = IDT;
    x->idt.limit = 0xfff;
    set_segment(x, X86_TR, 0x40, 0x8b, TSS, 0x67);
    set_segment(x, X86_CS, 0x33, 0xfb | X86_ATTR_L | X86_ATTR_G, 0, UINT32_MAX);
    set_segment(x, X86_SS, 0x2b, 0xf3 | X86_ATTR_DB | X86_ATTR_G, 0, UINT32_MAX);
    for (unsigned seg = 0; seg < 6; seg++) {
        if (seg != X86_CS && seg != X86_SS) set_segment(x, seg, 0, X86_ATTR_UNUSABLE, 0, 0);
    }
    if (code == X86_CODE_16) {
        set_segment(x, X86_CS, CPU_TEST_CS16, 0xfb, CPU_TEST_CODE, 0xffff);
        set_segment(x, X86_SS, CPU_TEST_DS16, 0xf3, CPU_TEST_DATA, CPU_TEST_DATA_SIZE - 1);
        x->seg[X86_DS] = x->seg[X86_ES] = x->seg[X86_SS];
    }
    if (code == X86_CODE_32) {
        set_segment(x, X86_CS, 0x23, 0xfb | X86_ATTR_DB | X86_ATTR_G, 0, UINT32_MAX);
        set_segment(x, X86_DS, 0x2b, 0xf3 | X86_ATTR_DB | X86_ATTR_G, 0, UINT32_MAX);
        x->seg[X86_ES] = x->seg[X86_DS];
    }
}

CpuTestGuest *cpu_test_guest_new(const VitAccelClass *klass, const char *options)
{
    CpuTestGuest *g = g_new0(CpuTestGuest, 1);
    g_autoptr(GError) error = NULL;

    g->sys = vit_system_new();
    g_assert_nonnull(g->sys);
    g->ram = vit_ram_new("ram", RAM_SIZE, &error);
    g_assert_no_error(error);
    vit_system_lock(g->sys);
    g->ram_region = vit_region_new_ram("ram", g->ram, 0, RAM_SIZE);
    vit_region_add(g->sys->memory_root, 0, g->ram_region, 0);
    g->port = vit_region_new_mmio("stop", &stop_ops, g, 1);
    vit_region_add(g->sys->io_root, STOP_PORT, g->port, 0);
    vit_system_unlock(g->sys);
    g->x = (X86Cpu *)vit_cpu_new(&vit_isa_x86, g->sys, 0);
    g_assert_true(x86_cpu_set_model(g->x, "max", &error));
    VitCpu *cpu = &g->x->cpu;
    cpu->memory = g->sys->memory;
    cpu->io = g->sys->io;
    cpu->isa->reset(cpu);
    g->accel = klass->create(g->sys, &error);
    g_assert_no_error(error);
    if (options) g_assert_true(klass->set_options(g->accel, options, &error));
    make_tables(g);
    g_assert_true(vit_cpu_start(g->accel, cpu, &error));
    vit_cpu_pause(cpu);
    return g;
}

void cpu_test_guest_free(CpuTestGuest *g)
{
    VitCpu *cpu = &g->x->cpu;

    vit_cpu_stop(cpu);
    g->accel->klass->destroy(g->accel);
    vit_cpu_free(cpu);
    vit_system_lock(g->sys);
    vit_region_remove(g->sys->memory_root, g->ram_region);
    vit_region_remove(g->sys->io_root, g->port);
    vit_system_unlock(g->sys);
    vit_region_free(g->ram_region);
    vit_region_free(g->port);
    vit_system_free(g->sys);
    vit_ram_free(g->ram);
    g_free(g);
}

void cpu_test_guest_set_code(CpuTestGuest *g, uint64_t offset, const uint8_t *code, size_t size)
{
    g_assert_cmpint(vit_as_write(g->sys->memory, PHYS + offset, code, size), ==, VIT_MEM_OK);
}

uint8_t *cpu_test_guest_data(CpuTestGuest *g)
{
    return g->ram->host + PHYS + (CPU_TEST_DATA - CPU_TEST_CODE);
}

X86Cpu *cpu_test_guest_cpu(CpuTestGuest *g)
{
    return g->x;
}

void cpu_test_guest_run(CpuTestGuest *g, CpuTestState *s)
{
    X86Cpu *x = g->x;
    uint64_t frame[6], has_error;

    enter_user(g, s->code);
    memcpy(x->gpr, s->gpr, sizeof x->gpr);
    memcpy(x->xmm, s->xmm, sizeof x->xmm);
    x->mxcsr = s->mxcsr;
    x->fcw = s->fcw;
    x->fsw = s->fsw & ~0x3800;
    x->fp_top = s->fsw >> 11 & 7;
    x->fp_tag = (uint8_t)s->ftw;
    for (unsigned i = 0; i < 8; i++) memcpy(&x->st[(x->fp_top + i) & 7], s->x87[i], 10);
    x->rip = s->rip;
    x86_set_eflags(x, (uint32_t)(s->rflags & CPU_TEST_EFLAGS) | 0x202, UINT32_MAX);
    x86_update_mode(x);
    x->cr2 = 0;
    g->stopped = false;
    vit_cpu_resume(&x->cpu);
    g_mutex_lock(&g->lock);
    while (!g->stopped) g_cond_wait(&g->cond, &g->lock);
    g_mutex_unlock(&g->lock);
    vit_cpu_pause(&x->cpu);

    s->vector = (int)(x->rip - HANDLERS) / 16;
    g_assert_cmphex(x->rip & ~0x1ffULL, ==, HANDLERS);
    has_error = s->vector == X86_DF || (s->vector >= X86_TS && s->vector <= X86_PF) ||
                s->vector == X86_AC;
    memcpy(frame, g->ram->host + x->gpr[X86_RSP] + 8 * has_error, sizeof frame);
    s->error = 0;
    if (has_error) memcpy(&s->error, g->ram->host + x->gpr[X86_RSP], 8);
    s->rip = frame[0];
    s->rflags = frame[2];
    memcpy(s->gpr, x->gpr, sizeof s->gpr);
    s->gpr[X86_RSP] = frame[3];
    s->cr2 = s->vector == X86_PF ? x->cr2 : 0;
    memcpy(s->xmm, x->xmm, sizeof s->xmm);
    s->mxcsr = x->mxcsr;
    s->fcw = x->fcw;
    s->fsw = (uint16_t)((x->fsw & ~0x3800) | x->fp_top << 11);
    s->ftw = x->fp_tag;
    memset(s->x87, 0, sizeof s->x87);
    for (unsigned i = 0; i < 8; i++) memcpy(s->x87[i], &x->st[(x->fp_top + i) & 7], 10);
}
