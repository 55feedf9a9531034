/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/fixture.h - one x86 processor with 64 MiB of RAM and no code to run
 *
 * Tests put tables into RAM, call helpers directly and look at what they left. */
#pragma once
#include "engine/guest/x86/cpu-private.h"

#include <string.h>

enum { RAM_SIZE = 64 << 20 };

typedef struct {
    VitSystem *sys;
    VitRam *ram;
    VitRegion *region;
    X86Cpu *x;
    int resets;      /* requests that the guest made */
} Fixture;

static inline void fixture_request(VitSystem *sys, VitRequest request, int exit_code,
                                   const char *reason)
{
    if (request == VIT_REQUEST_RESET) ((Fixture *)sys->request_opaque)->resets++;
}

static inline void fixture_setup(Fixture *f, const void *unused)
{
    f->sys = vit_system_new();
    f->sys->request = fixture_request;
    f->sys->request_opaque = f;
    f->ram = vit_ram_new("ram", RAM_SIZE, NULL);
    g_assert_nonnull(f->ram);
    f->region = vit_region_new_ram("ram", f->ram, 0, RAM_SIZE);
    vit_system_lock(f->sys);
    vit_region_add(f->sys->memory_root, 0, f->region, 0);
    vit_system_unlock(f->sys);
    f->x = (X86Cpu *)vit_cpu_new(&vit_isa_x86, f->sys, 0);
    vit_isa_x86.reset(&f->x->cpu);
}

static inline void fixture_teardown(Fixture *f, const void *unused)
{
    vit_cpu_free(&f->x->cpu);
    vit_system_lock(f->sys);
    vit_region_remove(f->sys->memory_root, f->region);
    vit_system_unlock(f->sys);
    vit_region_free(f->region);
    vit_system_free(f->sys);
    vit_ram_free(f->ram);
}

static inline void put(Fixture *f, uint64_t phys, uint64_t value, unsigned size)
{
    memcpy(f->ram->host + phys, &value, size);
}

static inline uint64_t get(Fixture *f, uint64_t phys, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, f->ram->host + phys, size);
    return value;
}

/* Runs a statement as a guest instruction; true when it unwound. */
#define UNWINDS(f, ...)                                                                            \
    ({                                                                                             \
        volatile bool unwound_ = true;                                                             \
        if (sigsetjmp((f)->x->cpu.unwind, 0) == 0) {                                               \
            (f)->x->cpu.in_guest = true;                                                           \
            __VA_ARGS__;                                                                           \
            unwound_ = false;                                                                      \
        }                                                                                          \
        (f)->x->cpu.in_guest = false;                                                              \
        unwound_;                                                                                  \
    })

#define ASSERT_RUNS(f, ...) g_assert_false(UNWINDS(f, __VA_ARGS__))
/* The statement raises vector with this error code (-1: none), which is then forgotten. */
#define ASSERT_FAULT(f, statement, v, e)                                                           \
    do {                                                                                           \
        g_assert_true(UNWINDS(f, statement));                                                      \
        g_assert_cmpint((f)->x->pending_vector, ==, (v));                                          \
        g_assert_cmpint((f)->x->pending_has_error ? (int)(f)->x->pending_error : -1, ==, (e));     \
        (f)->x->pending_vector = -1;                                                               \
        (f)->x->delivering = 0;                                                                    \
    } while (0)

static inline void call(Fixture *f,
                        uint64_t (*fn)(VitCpu *, uint64_t, uint64_t, uint64_t, uint64_t),
                        uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    fn(&f->x->cpu, a, b, c, d);
}

/* ---- A protected-mode world: GDT at 0x1000, IDT at 0x2000, TSS at 0x3000 --------------------- */

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TSS2 = 0x3800, STACK0 = 0x9000 };
enum {
    SEL_CODE0 = 0x08,
    SEL_DATA0 = 0x10,
    SEL_CODE3 = 0x1b,
    SEL_DATA3 = 0x23,
    SEL_TSS = 0x28,
    SEL_CODE64 = 0x38,
    SEL_LDT = 0x40,
    SEL_TSS2 = 0x48,
    SEL_GATE = 0x53,
    SEL_ABSENT = 0x58,
    SEL_TASKGATE = 0x60,
    SEL_CODE64_3 = 0x6b
};

static inline void put_descriptor(Fixture *f, unsigned selector, uint32_t base, uint32_t limit,
                                  unsigned attr)
{
    uint64_t lo = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16;
    uint64_t hi = (base >> 16 & 0xff) | (attr & 0xff) << 8 | (limit & 0xf0000) |
                  (attr & 0xf00) << 12 | (base & 0xff000000);
    put(f, GDT + (selector & ~7u), (lo & 0xffffffff) | hi << 32, 8);
}

static inline void put_gate(Fixture *f, unsigned vector, unsigned selector, uint32_t offset,
                            unsigned attr)
{
    put(f, IDT + 8 * vector,
        (offset & 0xffff) | selector << 16 | (uint64_t)(attr << 8) << 32 |
            (uint64_t)(offset & 0xffff0000) << 32,
        8);
}

static inline void put_gate64(Fixture *f, unsigned vector, unsigned selector, uint64_t offset,
                              unsigned attr, unsigned ist)
{
    put(f, IDT + 16 * vector,
        (offset & 0xffff) | selector << 16 | (uint64_t)(attr << 8 | ist) << 32 |
            (offset & 0xffff0000) << 32,
        8);
    put(f, IDT + 16 * vector + 8, offset >> 32, 8);
}

static inline void enter_protected(Fixture *f)
{
    X86Cpu *x = f->x;

    put_descriptor(f, SEL_CODE0, 0, 0xfffff, 0xc9a);
    put_descriptor(f, SEL_DATA0, 0, 0xfffff, 0xc92);
    put_descriptor(f, SEL_CODE3, 0, 0xfffff, 0xcfa);
    put_descriptor(f, SEL_DATA3, 0, 0xfffff, 0xcf2);
    put_descriptor(f, SEL_TSS, TSS, 0x67, 0x089);
    put(f, GDT + SEL_TSS + 8, 0, 8);
    put_descriptor(f, SEL_CODE64, 0, 0xfffff, 0xa9a);
    put_descriptor(f, SEL_CODE64_3, 0, 0xfffff, 0xafa);
    put_descriptor(f, SEL_ABSENT, 0, 0xfffff, 0xc12);
    put_descriptor(f, SEL_TSS2, TSS2, 0x67, 0x089);
    put(f, TSS + 4, STACK0, 4);
    put(f, TSS + 8, SEL_DATA0, 4);
    x->gdt.base = GDT;
    x->gdt.limit = 0xff;
    x->idt.base = IDT;
    x->idt.limit = 0xfff;
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 0, CR0_PE | CR0_NE | CR0_ET, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_far_jmp, SEL_CODE0, 0x4000, 4, 0));
    for (volatile unsigned i = 0; i < 6; i++)
        if (i != X86_CS) ASSERT_RUNS(f, call(f, x86_h_load_seg, i, SEL_DATA0, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_end_shadow, 0, 0, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_ltr, SEL_TSS, 0, 0, 0));
    x->gpr[X86_RSP] = 0x8000;
}

/* Long mode with the first 2 MiB mapped one to one as kernel and user memory; tables at 0x10000. */
static inline void enter_long(Fixture *f)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put(f, 0x10000, 0x11007, 8);
    put(f, 0x11000, 0x12007, 8);
    put(f, 0x12000, 0x00087, 8);
    x->gpr[X86_RCX] = 0xc0000080;
    x->gpr[X86_RAX] = EFER_LME | EFER_SCE | EFER_NXE;
    x->gpr[X86_RDX] = 0;
    ASSERT_RUNS(f, call(f, x86_h_wrmsr, 0, 0, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 4, CR4_PAE | CR4_PGE, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 3, 0x10000, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 0, CR0_PE | CR0_NE | CR0_PG | CR0_WP, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_far_jmp, SEL_CODE64, 0x4000, 4, 0));
    g_assert_true(x->cpu.mode & X86_MODE_LONG);
}

/* IRET to user mode with these registers. */
static inline void enter_user(Fixture *f, unsigned cs, uint32_t flags)
{
    X86Cpu *x = f->x;
    unsigned size = x->cpu.mode & X86_MODE_LONG ? 8 : 4;
    uint64_t frame[] = { 0x5000, cs, flags, 0x7000, SEL_DATA3 };

    x->gpr[X86_RSP] -= 5 * size;
    for (unsigned i = 0; i < 5; i++) put(f, x->gpr[X86_RSP] + i * size, frame[i], size);
    ASSERT_RUNS(f, call(f, x86_h_iret, size, 0, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 3);
}
