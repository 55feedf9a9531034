/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-system.c - modes, segments, far transfers, interrupts, tasks,
 * system calls */
#include "tests/engine/guest/x86/fixture.h"

/* ---- Modes ----------------------------------------------------------------------------------- */

static void test_reset(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    g_assert_cmphex(x->seg[X86_CS].base + x->rip, ==, 0xfffffff0);
    g_assert_cmphex(x->cpu.mode >> 32, ==, 0xffff0000);
    g_assert_cmphex((uint32_t)x->cpu.mode, ==,
                    X86_MODE_LIMITS | X86_MODE_LIMITS_FS | X86_MODE_LIMITS_GS | X86_MODE_NOSSE |
                        X86_MODE_IOPL_OK | X86_MODE_CPL0);
    g_assert_cmpuint(x86_get_eflags(x), ==, 2);
    g_assert_cmpint(x->df, ==, 1);
}

static void test_modes(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;
    uint32_t mode;

    enter_protected(f);
    mode = (uint32_t)x->cpu.mode;
    g_assert_cmphex(mode, ==,
                    X86_MODE_CS32 | X86_MODE_SS32 | X86_MODE_PE | X86_MODE_NOSSE |
                        X86_MODE_IOPL_OK | X86_MODE_CPL0);
    x86_set_eflags(x, X86_EFLAGS_DF | X86_EFLAGS_TF | 0x41, UINT32_MAX);
    g_assert_cmpint(x->df, ==, -1);
    g_assert_true(x->cpu.mode & X86_MODE_TF);
    g_assert_cmphex(x86_get_eflags(x), ==, X86_EFLAGS_DF | X86_EFLAGS_TF | 0x43);
    x86_set_eflags(x, 0, X86_EFLAGS_DF | X86_EFLAGS_TF);
    g_assert_cmphex(x86_get_eflags(x), ==, 0x43);

    /* A null FS matters to FS alone. */
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_FS, 0, 0, 0));
    g_assert_cmphex((uint32_t)x->cpu.mode ^ mode, ==, X86_MODE_LIMITS_FS);
    put_descriptor(f, SEL_DATA0, 0x100, 0xfffff, 0xc92);
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_DS, SEL_DATA0, 0, 0));
    g_assert_true(x->cpu.mode & X86_MODE_BASES);
    g_assert_false(x->cpu.mode & X86_MODE_LIMITS);
    put_descriptor(f, SEL_DATA0, 0, 0xffff, 0x492);
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_DS, SEL_DATA0, 0, 0));
    g_assert_true(x->cpu.mode & X86_MODE_LIMITS);
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 0, x->cr0 | CR0_TS, 0, 0));
    g_assert_true(x->cpu.mode & X86_MODE_TS);
    g_assert_true(x->cpu.mode & X86_MODE_NOFPU);
    ASSERT_RUNS(f, call(f, x86_h_clts, 0, 0, 0, 0));
    g_assert_false(x->cpu.mode & X86_MODE_TS);
}

static void test_long_mode(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_long(f);
    g_assert_cmphex(x->cpu.mode, ==,
                    X86_MODE_LONG | X86_MODE_LMA | X86_MODE_PE | X86_MODE_CPL0 | X86_MODE_SCE |
                        X86_MODE_IOPL_OK | X86_MODE_NOSSE | VIT_MODE_WIDE);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 0, CR0_PE, 0, 0), X86_GP,
                 0); /* PG off in 64-bit code */
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 4, 0, 0, 0), X86_GP, 0); /* PAE off */
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 4, UINT64_C(1) << 32, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 3, UINT64_C(1) << 45, 0, 0), X86_GP, 0);
    ASSERT_RUNS(f, call(f, x86_h_far_jmp, SEL_CODE0, 0x4000, 4, 0)); /* compatibility mode */
    g_assert_false(x->cpu.mode & X86_MODE_LONG);
    g_assert_true(x->cpu.mode & X86_MODE_LMA);
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 0, CR0_PE, 0, 0));
    g_assert_false(x->efer & EFER_LMA);
}

static void test_control_checks(Fixture *f, const void *unused)
{
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 0, CR0_PG, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 0, CR0_NW, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 1, 0, 0, 0), X86_UD, -1);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 8, 16, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_write_cr, 4, CR4_PCIDE, 0, 0), X86_GP, 0);
    f->x->gpr[X86_RCX] = f->x->gpr[X86_RDX] = 0;
    f->x->gpr[X86_RAX] = 3;
    ASSERT_FAULT(f, call(f, x86_h_xsetbv, 0, 0, 0, 0), X86_UD, -1);
    ASSERT_RUNS(f, call(f, x86_h_write_cr, 4, CR4_OSXSAVE, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_xsetbv, 0, 0, 0, 0));
    g_assert_cmpuint(f->x->xcr0, ==, 3);
    f->x->gpr[X86_RAX] = 2;
    ASSERT_FAULT(f, call(f, x86_h_xsetbv, 0, 0, 0, 0), X86_GP, 0);
}

/* ---- Segments -------------------------------------------------------------------------------- */

static void test_load_segment(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_SS, 0, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, 0x200, 0, 0), X86_GP, 0x200);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, SEL_ABSENT, 0, 0), X86_NP, SEL_ABSENT);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_SS, SEL_ABSENT, 0, 0), X86_SSF, SEL_ABSENT);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_SS, SEL_DATA3, 0, 0), X86_GP, SEL_DATA3 & ~3);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, SEL_DATA0 | 3, 0, 0), X86_GP, SEL_DATA0);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, SEL_TSS, 0, 0), X86_GP, SEL_TSS);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, 0x0c, 0, 0), X86_GP, 0x0c); /* no LDT */
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_DS, SEL_CODE0, 0, 0)); /* readable code */
    put_descriptor(f, SEL_CODE0, 0, 0xfffff, 0xc98);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, SEL_CODE0, 0, 0), X86_GP, SEL_CODE0);
    put_descriptor(f, SEL_DATA3, 0x12345678, 0x54321, 0x4f2);
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_GS, SEL_DATA3, 0, 0));
    g_assert_cmphex(x->seg[X86_GS].base, ==, 0x12345678);
    g_assert_cmphex(x->seg[X86_GS].limit, ==, 0x54321);
    g_assert_cmphex(get(f, GDT + 0x20 + 5, 1), ==, 0xf3); /* accessed */

    /* An LDT, and the interrupt shadow of SS. */
    put_descriptor(f, SEL_LDT, 0x6000, 0x0f, 0x082);
    put(f, 0x6008, get(f, GDT + 0x10, 8), 8);
    ASSERT_RUNS(f, call(f, x86_h_lldt, SEL_LDT, 0, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_load_seg, X86_SS, 0x0c, 0, 0));
    g_assert_true(x->cpu.mode & X86_MODE_SHADOW);
    ASSERT_FAULT(f, call(f, x86_h_load_seg, X86_DS, 0x14, 0, 0), X86_GP,
                 0x14); /* beyond its limit */
    ASSERT_FAULT(f, call(f, x86_h_lldt, SEL_DATA0, 0, 0, 0), X86_GP, SEL_DATA0);
    ASSERT_FAULT(f, call(f, x86_h_ltr, SEL_TSS, 0, 0, 0), X86_GP, SEL_TSS); /* busy */
}

static uint64_t seg_check(Fixture *f, unsigned seg, uint32_t offset, unsigned how)
{
    return x86_h_seg_check(&f->x->cpu, seg, offset, how, 0);
}

static void test_seg_check(Fixture *f, const void *unused)
{
    enum { WRITE = 1 << 8 };
    X86Segment *ds = &f->x->seg[X86_DS];

    enter_protected(f);
    *ds = (X86Segment){ .attr = 0x493, .limit = 0xfff, .base = 0x1000 };
    ASSERT_RUNS(f, g_assert_cmphex(seg_check(f, X86_DS, 0xffc, 4), ==, 0x1ffc));
    ASSERT_FAULT(f, seg_check(f, X86_DS, 0xffd, 4), X86_GP, 0);
    ASSERT_FAULT(f, seg_check(f, X86_DS, 0xffffffff, 4), X86_GP, 0);
    ds->attr = 0x491;
    ASSERT_FAULT(f, seg_check(f, X86_DS, 0, 1 | WRITE), X86_GP, 0);
    ASSERT_RUNS(f, seg_check(f, X86_DS, 0, 1));
    ds->attr = 0x497; /* expand-down */
    ASSERT_FAULT(f, seg_check(f, X86_DS, 0xfff, 1), X86_GP, 0);
    ASSERT_RUNS(f, seg_check(f, X86_DS, 0x1000, 1 | WRITE));
    ds->attr = 0x97;
    ASSERT_FAULT(f, seg_check(f, X86_DS, 0xffff, 2), X86_GP, 0);
    f->x->seg[X86_SS].limit = 10;
    ASSERT_FAULT(f, seg_check(f, X86_SS, 10, 2), X86_SSF, 0);
    x86_set_null(f->x, X86_ES, 0, 0);
    ASSERT_FAULT(f, seg_check(f, X86_ES, 0, 1), X86_GP, 0);
}

static bool zero(const Fixture *f)
{
    return vit_flags_get(&f->x->cpu) & 0x40;
}

static void test_lar_lsl(Fixture *f, const void *unused)
{
    enter_protected(f);
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_lar(&f->x->cpu, SEL_DATA3, 1, 0, 0), ==, 0xcff200));
    g_assert_true(zero(f));
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_lsl(&f->x->cpu, SEL_DATA3, 1, 0, 0), ==, UINT32_MAX));
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_lar(&f->x->cpu, 0x200, 7, 0, 0), ==, 7));
    g_assert_false(zero(f));
    ASSERT_RUNS(f, call(f, x86_h_verw, SEL_CODE0, 0, 0, 0));
    g_assert_false(zero(f));
    ASSERT_RUNS(f, call(f, x86_h_verr, SEL_CODE0, 0, 0, 0));
    g_assert_true(zero(f));
    enter_user(f, SEL_CODE3, 2);
    ASSERT_RUNS(f, call(f, x86_h_verr, SEL_DATA0, 0, 0, 0));
    g_assert_false(zero(f));
    ASSERT_RUNS(f, call(f, x86_h_verr, SEL_DATA3, 0, 0, 0));
    g_assert_true(zero(f));
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void test_real_interrupt(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    put(f, 4 * 0x21, 0x1234u << 16 | 0x5678, 4);
    x->gpr[X86_RSP] = 0xabcd0100;
    x86_set_eflags(x, X86_EFLAGS_IF | 1, UINT32_MAX);
    ASSERT_RUNS(f, call(f, x86_h_int, 0x21, 0x10, 0, 0));
    g_assert_cmphex(x->rip, ==, 0x5678);
    g_assert_cmphex(x->seg[X86_CS].base, ==, 0x12340);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0xabcd00fa);
    g_assert_cmphex(get(f, 0xfa, 6), ==, 0x0203f0000010);
    g_assert_cmphex(x86_get_eflags(x), ==, 3);
    ASSERT_RUNS(f, call(f, x86_h_iret, 2, 0, 0, 0));
    g_assert_cmphex(x->rip, ==, 0x10);
    g_assert_cmphex(x->seg[X86_CS].base, ==, 0xf0000);
    g_assert_cmphex(x86_get_eflags(x), ==, 0x203);
    x->idt.limit = 0x83;
    ASSERT_FAULT(f, call(f, x86_h_int, 0x21, 0x10, 0, 0), X86_GP, 0x21 * 8 + 2);
}

static void test_protected_interrupt(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put_gate(f, 0x80, SEL_CODE0, 0x6000, 0xef); /* trap gate, DPL 3 */
    put_gate(f, 0x81, SEL_CODE0, 0x6100, 0x8e); /* interrupt gate, DPL 0 */
    put_gate(f, 0x82, SEL_CODE0, 0x6100, 0x6e); /* absent */
    put_gate(f, 0x83, SEL_DATA0, 0x6100, 0xee);
    put_gate(f, X86_PF, SEL_CODE0, 0x6200, 0x8e);
    enter_user(f, SEL_CODE3, X86_EFLAGS_IF | 2);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x7000);
    g_assert_true(x->seg[X86_DS].attr & X86_ATTR_UNUSABLE); /* kernel data was dropped */
    ASSERT_FAULT(f, call(f, x86_h_int, 0x81, 0, 0, 0), X86_GP, 0x81 * 8 + 2);
    ASSERT_FAULT(f, call(f, x86_h_int, 0x82, 0, 0, 0), X86_NP, 0x82 * 8 + 2);
    ASSERT_FAULT(f, call(f, x86_h_int, 0x83, 0, 0, 0), X86_GP, SEL_DATA0);
    ASSERT_RUNS(f, call(f, x86_h_int, 0x80, 0x5002, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    g_assert_cmphex(x->rip, ==, 0x6000);
    g_assert_cmphex(x->gpr[X86_RSP], ==, STACK0 - 20);
    g_assert_cmphex(get(f, STACK0 - 20, 4), ==, 0x5002);
    g_assert_cmphex(get(f, STACK0 - 16, 4), ==, SEL_CODE3);
    g_assert_cmphex(get(f, STACK0 - 12, 4), ==, 0x202);
    g_assert_cmphex(get(f, STACK0 - 8, 4), ==, 0x7000);
    g_assert_cmphex(get(f, STACK0 - 4, 4), ==, SEL_DATA3);
    g_assert_true(x->eflags & X86_EFLAGS_IF);
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x->rip, ==, 0x5002);

    /* A fault with error code: RF in the image, IF cleared. */
    x->cr2 = 0x1234;
    x86_record(x, X86_PF, true, 6);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(x->rip, ==, 0x6200);
    g_assert_cmphex(get(f, STACK0 - 24, 4), ==, 6);
    g_assert_cmphex(get(f, STACK0 - 12, 4), ==, 0x10202);
    g_assert_cmphex(x86_get_eflags(x), ==, 2);
    x->gpr[X86_RSP] += 4;
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0, 0, 0));
    g_assert_cmphex(x86_get_eflags(x), ==, 0x202);

    /* The inner stack is checked. */
    put(f, TSS + 8, SEL_DATA3, 4);
    ASSERT_FAULT(f, call(f, x86_h_int, 0x80, 0, 0, 0), X86_TS, SEL_DATA3 & ~3);
    put(f, TSS + 8, SEL_ABSENT, 4);
    put_descriptor(f, SEL_ABSENT, 0, 0xfffff, 0xc12);
    ASSERT_FAULT(f, call(f, x86_h_int, 0x80, 0, 0, 0), X86_SSF, SEL_ABSENT);
}

static void test_vm86(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;
    uint32_t frame[] = {
        0x100, 0x2000, X86_EFLAGS_VM | X86_EFLAGS_IF | 2, 0x80, 0x3000, 1, 2, 3, 4
    };

    enter_protected(f);
    put_gate(f, X86_GP, SEL_CODE0, 0x6000, 0x8e);
    x->gpr[X86_RSP] -= sizeof frame;
    memcpy(f->ram->host + x->gpr[X86_RSP], frame, sizeof frame);
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0, 0, 0));
    g_assert_true(x->cpu.mode & X86_MODE_VM86);
    g_assert_cmphex(x->cpu.mode >> 32, ==, 0x20000);
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x->seg[X86_GS].base, ==, 0x40);
    ASSERT_FAULT(f, call(f, x86_h_cli, 0, 0, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_int, 0x21, 0, 0, 0), X86_GP, 0);
    x86_record(x, X86_GP, true, 0);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_false(x->eflags & X86_EFLAGS_VM);
    g_assert_cmphex(x->gpr[X86_RSP], ==, STACK0 - 40);
    g_assert_cmphex(get(f, STACK0 - 4, 4), ==, 4);
    g_assert_cmphex(get(f, STACK0 - 20, 4), ==, 0x3000);
    g_assert_cmphex(get(f, STACK0 - 32, 4), ==, 0x2000);
    g_assert_true(x->seg[X86_DS].attr & X86_ATTR_UNUSABLE);
    x->gpr[X86_RSP] += 4;
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0, 0, 0));
    g_assert_true(x->eflags & X86_EFLAGS_VM);
    g_assert_cmphex(x->rip, ==, 0x100);
}

static void test_long_interrupt(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_long(f);
    put_gate64(f, 0x80, SEL_CODE64, 0xffff800000006000, 0xee, 0);
    put_gate64(f, X86_DF, SEL_CODE64, 0x6100, 0x8e, 2);
    put_gate64(f, 3, SEL_CODE0, 0x6100, 0xee, 0);
    put(f, TSS + 4, STACK0 + 8, 8);
    put(f, TSS + 0x24 + 8, 0xa000, 8);
    enter_user(f, SEL_CODE64_3, X86_EFLAGS_IF | 2);
    ASSERT_FAULT(f, call(f, x86_h_int, 3, 0, 1, 0), X86_GP, SEL_CODE0); /* not 64-bit code */
    ASSERT_RUNS(f, call(f, x86_h_int, 0x80, 0x5002, 0, 0));
    g_assert_cmphex(x->rip, ==, 0xffff800000006000);
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    g_assert_cmphex(x->seg[X86_SS].selector, ==, 0);
    g_assert_cmphex(x->gpr[X86_RSP], ==, STACK0 - 40); /* aligned to 16 first */
    g_assert_cmphex(get(f, STACK0 - 40, 8), ==, 0x5002);
    g_assert_cmphex(get(f, STACK0 - 16, 8), ==, 0x7000);
    g_assert_cmphex(get(f, STACK0 - 8, 8), ==, SEL_DATA3);

    /* An interrupt at the same level keeps the stack but for its alignment; an IST replaces it. */
    x86_record(x, X86_DF, true, 0);
    x->gpr[X86_RSP] = 0x8004;
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0xa000 - 48);
    g_assert_cmphex(get(f, 0xa000 - 16, 8), ==, 0x8004);
    x->gpr[X86_RSP] += 8;
    ASSERT_RUNS(f, call(f, x86_h_iret, 8, 0, 0, 0));
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x8004);
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    x->gpr[X86_RSP] = STACK0 - 40;
    ASSERT_RUNS(f, call(f, x86_h_iret, 8, 0, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x7000);

    x->gpr[X86_RSP] = UINT64_C(1) << 60;
    ASSERT_FAULT(f, call(f, x86_h_iret, 8, 0, 0, 0), X86_SSF, 0);
}

static void test_double_and_triple_fault(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put_gate(f, X86_DF, SEL_CODE0, 0x6000, 0x8e);
    x->rip = 0x4444;
    x86_record(x, X86_GP, true, 0); /* its gate is empty: #GP again, so #DF */
    g_assert_true(UNWINDS(f, x86_deliver(&x->cpu)));
    g_assert_cmpint(x->pending_vector, ==, X86_DF);
    g_assert_cmpint(f->resets, ==, 0);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(x->rip, ==, 0x6000);
    g_assert_cmphex(get(f, x->gpr[X86_RSP], 4), ==, 0);
    g_assert_cmphex(get(f, x->gpr[X86_RSP] + 4, 4), ==, 0x4444);

    /* A benign exception and then a contributory one are served one after the other. */
    x86_record(x, X86_UD, false, 0);
    g_assert_true(UNWINDS(f, x86_deliver(&x->cpu)));
    g_assert_cmpint(x->pending_vector, ==, X86_GP);
    g_assert_cmphex(x->pending_error, ==, X86_UD * 8 + 2 + 1); /* EXT */

    put_gate(f, X86_DF, 0, 0, 0);
    g_assert_true(UNWINDS(f, x86_deliver(&x->cpu)));
    g_assert_true(UNWINDS(f, x86_deliver(&x->cpu)));
    g_assert_cmpint(f->resets, ==, 1);
    g_assert_true(x->shutdown);
    g_assert_true(x->cpu.halted);
    x86_set_line(x, X86_LINE_NMI, true);
    g_assert_false(x86_has_work(&x->cpu));
}

static int ack(void *opaque)
{
    Fixture *f = opaque;
    x86_set_line(f->x, X86_LINE_INTR, false);
    return 0x40;
}

static void test_lines(Fixture *f, const void *unused)
{
    static const X86CpuOps ops = { .intr_ack = ack };
    X86Cpu *x = f->x;

    x->ops = &ops;
    x->ops_opaque = f;
    enter_protected(f);
    put_gate(f, 0x40, SEL_CODE0, 0x6000, 0x8e);
    put_gate(f, 2, SEL_CODE0, 0x6100, 0x8e);
    x86_set_line(x, X86_LINE_INTR, true);
    g_assert_true(x->cpu.exit_request & VIT_EXIT_INTERRUPT);
    g_assert_false(x86_has_work(&x->cpu)); /* IF is clear */
    x->cpu.exit_request = 0;
    ASSERT_RUNS(f, call(f, x86_h_sti, 0, 0, 0, 0));
    g_assert_false(x86_has_work(&x->cpu)); /* shadow */
    ASSERT_RUNS(f, call(f, x86_h_hlt, 0x4001, 0, 0, 0));
    g_assert_true(x->cpu.halted);
    g_assert_true(x86_has_work(&x->cpu));
    g_assert_true(x->cpu.exit_request & VIT_EXIT_INTERRUPT);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_false(x->cpu.halted);
    g_assert_cmphex(x->rip, ==, 0x6000);
    g_assert_cmphex(get(f, x->gpr[X86_RSP], 4), ==, 0x4001);
    g_assert_cmphex(x->lines, ==, 0);

    /* NMIs wait for IRET. */
    x86_set_line(x, X86_LINE_NMI, true);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(x->rip, ==, 0x6100);
    x86_set_line(x, X86_LINE_NMI, true);
    g_assert_false(x86_has_work(&x->cpu));
    x->cpu.exit_request = 0;
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0, 0, 0));
    g_assert_true(x->cpu.exit_request & VIT_EXIT_INTERRUPT);
    g_assert_true(x86_has_work(&x->cpu));
}

static void test_init_sipi(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    x->cpu.index = 1;
    enter_protected(f);
    x86_sipi(x, 0x12);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_true(x->cr0 & CR0_PE); /* a running processor drops it */
    x86_set_line(x, X86_LINE_INIT, true);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_true(x->cpu.halted);
    g_assert_false(x->cr0 & CR0_PE);
    g_assert_false(x86_has_work(&x->cpu));
    x86_set_line(x, X86_LINE_NMI, true);
    g_assert_false(x86_has_work(&x->cpu));
    x86_sipi(x, 0x9a);
    g_assert_true(x86_has_work(&x->cpu));
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_false(x->cpu.halted);
    g_assert_cmphex(x->cpu.mode >> 32, ==, 0x9a000);
    g_assert_cmphex(x->seg[X86_CS].selector, ==, 0x9a00);
    g_assert_cmphex(x->rip, ==, 0);
}

/* ---- Far transfers --------------------------------------------------------------------------- */

static void test_call_gate(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put(f, GDT + (SEL_GATE & ~7), 0x6543 | SEL_CODE0 << 16 | UINT64_C(0x0000ec02) << 32,
        8); /* DPL 3, 2 parameters */
    enter_user(f, SEL_CODE3, 2);
    put(f, 0x7000, 0x11111111, 4);
    put(f, 0x7004, 0x22222222, 4);
    ASSERT_FAULT(f, call(f, x86_h_far_call, SEL_CODE0, 0, 4, 0), X86_GP, SEL_CODE0);
    ASSERT_FAULT(f, call(f, x86_h_far_jmp, SEL_GATE, 0, 4, 0), X86_GP,
                 SEL_CODE0); /* a jump goes not inwards */
    ASSERT_RUNS(f, call(f, x86_h_far_call, SEL_GATE, 0xdead, 4, 0x5007));
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    g_assert_cmphex(x->rip, ==, 0x6543);
    g_assert_cmphex(x->gpr[X86_RSP], ==, STACK0 - 24);
    g_assert_cmphex(get(f, STACK0 - 24, 4), ==, 0x5007);
    g_assert_cmphex(get(f, STACK0 - 20, 4), ==, SEL_CODE3);
    g_assert_cmphex(get(f, STACK0 - 16, 4), ==, 0x11111111);
    g_assert_cmphex(get(f, STACK0 - 12, 4), ==, 0x22222222);
    g_assert_cmphex(get(f, STACK0 - 8, 4), ==, 0x7000);
    ASSERT_RUNS(f, call(f, x86_h_far_ret, 4, 8, 0x6544, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x->rip, ==, 0x5007);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x7008);
    ASSERT_FAULT(f, call(f, x86_h_far_ret, 4, 0, 0, 0), X86_GP, 0); /* null CS */
}

static void test_call_gate64(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_long(f);
    put(f, GDT + (SEL_GATE & ~7), 0x6543 | SEL_CODE64 << 16 | UINT64_C(0xabcdec00) << 32, 8);
    put(f, GDT + (SEL_GATE & ~7) + 8, 0xffff8000, 8);
    put(f, TSS + 4, STACK0, 8);
    enter_user(f, SEL_CODE64_3, 2);
    ASSERT_RUNS(f, call(f, x86_h_far_call, SEL_GATE, 0, 4, 0x5007));
    g_assert_cmphex(x->rip, ==, 0xffff8000abcd6543);
    g_assert_cmphex(x->gpr[X86_RSP], ==, STACK0 - 32);
    g_assert_cmphex(get(f, STACK0 - 16, 8), ==, 0x7000);
    ASSERT_RUNS(f, call(f, x86_h_far_ret, 8, 0, 0, 0));
    g_assert_cmphex(x->rip, ==, 0x5007);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x7000);
    g_assert_true(x->cpu.mode & X86_MODE_CPL3);
}

static void fill_tss(Fixture *f, uint64_t at)
{
    put(f, at + 0x20, 0x7700, 4);
    put(f, at + 0x24, 2, 4);
    put(f, at + 0x28, 0xaaaa0001, 4);
    put(f, at + 0x38, 0x8800, 4);
    for (unsigned i = 0; i < 6; i++)
        put(f, at + 0x48 + 4 * i, i == X86_CS ? SEL_CODE0 : SEL_DATA0, 4);
    put(f, at + 0x60, 0, 4);
}

static void test_task_switch(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    fill_tss(f, TSS2);
    x->gpr[X86_RBX] = 0x12345678;
    ASSERT_RUNS(f, call(f, x86_h_far_call, SEL_TSS2, 0, 4, 0x4321));
    g_assert_cmphex(x->rip, ==, 0x7700);
    g_assert_cmphex(x->gpr[X86_RAX], ==, 0xaaaa0001);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x8800);
    g_assert_cmphex(x->seg[X86_TR].selector, ==, SEL_TSS2);
    g_assert_true(x->cr0 & CR0_TS);
    g_assert_true(x->eflags & X86_EFLAGS_NT);
    g_assert_cmphex(get(f, TSS2, 2), ==, SEL_TSS);
    g_assert_cmphex(get(f, TSS + 0x20, 4), ==, 0x4321);
    g_assert_cmphex(get(f, TSS + 0x34, 4), ==, 0x12345678);
    g_assert_cmphex(get(f, GDT + SEL_TSS + 5, 1), ==, 0x8b); /* both stay busy */
    g_assert_cmphex(get(f, GDT + SEL_TSS2 + 5, 1), ==, 0x8b);
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0x7701, 0, 0));
    g_assert_cmphex(x->rip, ==, 0x4321);
    g_assert_cmphex(x->gpr[X86_RBX], ==, 0x12345678);
    g_assert_cmphex(get(f, GDT + SEL_TSS2 + 5, 1), ==, 0x89);
    g_assert_cmphex(get(f, TSS2 + 0x20, 4), ==, 0x7701);
    g_assert_false(x->eflags & X86_EFLAGS_NT);

    /* A task gate as handler of a fault with error code. */
    fill_tss(f, TSS2);
    put_gate(f, X86_GP, SEL_TSS2, 0, 0x85);
    x86_record(x, X86_GP, true, 0x55);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(x->rip, ==, 0x7700);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x87fc);
    g_assert_cmphex(get(f, 0x87fc, 4), ==, 0x55);
    ASSERT_RUNS(f, call(f, x86_h_iret, 4, 0x7701, 0, 0));

    /* A bad segment of the new task is its own fault. */
    fill_tss(f, TSS2);
    put(f, TSS2 + 0x48 + 4 * X86_FS, SEL_ABSENT, 4);
    ASSERT_RUNS(f, call(f, x86_h_far_jmp, SEL_TSS2, 0, 4, 0x4321));
    g_assert_cmphex(x->rip, ==, 0x7700);
    g_assert_cmpint(x->pending_vector, ==, X86_NP);
    g_assert_cmphex(x->pending_error, ==, SEL_ABSENT);
    g_assert_cmphex(get(f, GDT + SEL_TSS + 5, 1), ==, 0x89);
    x->pending_vector = -1;
    ASSERT_FAULT(f, call(f, x86_h_far_jmp, SEL_TSS2, 0, 4, 0), X86_GP, SEL_TSS2); /* busy */
    put_descriptor(f, SEL_TSS, TSS, 0x66, 0x089);
    ASSERT_FAULT(f, call(f, x86_h_far_jmp, SEL_TSS, 0, 4, 0), X86_TS, SEL_TSS); /* too short */
}

/* ---- System calls, ports, debug -------------------------------------------------------------- */

static void test_syscall(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_long(f);
    x->star = UINT64_C(0x005b) << 48 | (uint64_t)SEL_CODE64 << 32;
    x->lstar = 0xffffffff81000000;
    x->fmask = X86_EFLAGS_IF | X86_EFLAGS_TF;
    enter_user(f, SEL_CODE64_3, X86_EFLAGS_IF | 0x43);
    ASSERT_RUNS(f, call(f, x86_h_syscall, 0x5002, 0, 0, 0));
    g_assert_cmphex(x->rip, ==, 0xffffffff81000000);
    g_assert_cmphex(x->gpr[X86_RCX], ==, 0x5002);
    g_assert_cmphex(x->gpr[11], ==, 0x243);
    g_assert_cmphex(x86_get_eflags(x), ==, 0x43);
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    g_assert_cmphex(x->seg[X86_CS].selector, ==, SEL_CODE64);
    ASSERT_RUNS(f, call(f, x86_h_sysret, 8, 0, 0, 0));
    g_assert_cmphex(x->rip, ==, 0x5002);
    g_assert_cmphex(x->seg[X86_CS].selector, ==, 0x6b);
    g_assert_cmphex(x->seg[X86_SS].selector, ==, 0x63);
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x86_get_eflags(x), ==, 0x243);
    ASSERT_FAULT(f, call(f, x86_h_sysret, 8, 0, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_swapgs, 0, 0, 0, 0), X86_GP, 0);
    x->efer &= ~(uint64_t)EFER_SCE;
    ASSERT_FAULT(f, call(f, x86_h_syscall, 0, 0, 0, 0), X86_UD, -1);
}

static void test_sysenter(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    ASSERT_FAULT(f, call(f, x86_h_sysenter, 0, 0, 0, 0), X86_GP, 0);
    x->sysenter_cs = SEL_CODE0;
    x->sysenter_eip = 0x6000;
    x->sysenter_esp = 0x9000;
    enter_user(f, SEL_CODE3, X86_EFLAGS_IF | 2);
    ASSERT_RUNS(f, call(f, x86_h_sysenter, 0, 0, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 0);
    g_assert_cmphex(x->rip, ==, 0x6000);
    g_assert_cmphex(x->gpr[X86_RSP], ==, 0x9000);
    g_assert_false(x->eflags & X86_EFLAGS_IF);
    x->gpr[X86_RDX] = 0x5555;
    x->gpr[X86_RCX] = 0x7777;
    ASSERT_RUNS(f, call(f, x86_h_sysexit, 4, 0, 0, 0));
    g_assert_cmpuint(x86_cpl(x), ==, 3);
    g_assert_cmphex(x->rip, ==, 0x5555);
    g_assert_cmphex(x->seg[X86_CS].selector, ==, SEL_CODE0 + 16 + 3);
}

static void test_ports(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    ASSERT_RUNS(f, call(f, x86_h_out, 0x80, 1, 1, 0));
    put_descriptor(f, SEL_TSS, TSS, 0x67 + 0x20, 0x089);
    put(f, TSS + 102, 0x68, 2);
    put(f, TSS + 0x68, UINT64_C(0x00ff), 8); /* ports 0 to 7 refused */
    ASSERT_RUNS(f, call(f, x86_h_ltr, SEL_TSS, 0, 0, 0));
    enter_user(f, SEL_CODE3, 2);
    ASSERT_FAULT(f, call(f, x86_h_in, 7, 1, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_in, 6, 4, 0, 0), X86_GP, 0);
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_in(&x->cpu, 8, 2, 0, 0), ==, 0xffff));
    ASSERT_FAULT(f, call(f, x86_h_in, 0x100, 1, 0, 0), X86_GP, 0); /* beyond the map */
    ASSERT_FAULT(f, call(f, x86_h_hlt, 0, 0, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_cli, 0, 0, 0, 0), X86_GP, 0);
    x->eflags |= X86_EFLAGS_IOPL;
    ASSERT_RUNS(f, call(f, x86_h_in, 7, 1, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_cli, 0, 0, 0, 0));
}

static void test_popf(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    ASSERT_RUNS(f, call(f, x86_h_popf, 0x3202 | X86_EFLAGS_VM | X86_EFLAGS_RF, 4, 0, 0));
    g_assert_cmphex(x86_get_eflags(x), ==, 0x3202);
    enter_user(f, SEL_CODE3, X86_EFLAGS_IF | 2);
    ASSERT_RUNS(f, call(f, x86_h_popf, 0x3000 | X86_EFLAGS_ID | 0x8d5, 4, 0, 0));
    g_assert_cmphex(x86_get_eflags(x), ==, 0x2008d7 | X86_EFLAGS_IF); /* neither IF nor IOPL */
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_pushf(&x->cpu, 4, 0, 0, 0), ==, 0x200ad7));
    ASSERT_RUNS(f, call(f, x86_h_popf, 0, 2, 0, 0));
    g_assert_cmphex(x86_get_eflags(x), ==, X86_EFLAGS_ID | X86_EFLAGS_IF | 2);
}

static void test_debug(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put_gate(f, X86_DB, SEL_CODE0, 0x6000, 0x8e);
    ASSERT_RUNS(f, call(f, x86_h_write_dr, 0, 0x4444, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_write_dr, 1, 0x5000, 0, 0));
    ASSERT_RUNS(
        f, call(f, x86_h_write_dr, 5, 0x00d0000f, 0, 0)); /* DR0 execution, DR1 writes of 4 bytes */
    g_assert_cmphex(x->dr[7], ==, 0x00d0040f);
    g_assert_true(x->cpu.mode & X86_MODE_BREAK);
    ASSERT_RUNS(f, call(f, x86_h_breakpoint, 0x4443, 0, 0, 0));
    ASSERT_FAULT(f, call(f, x86_h_breakpoint, 0x4444, 0, 0, 0), X86_DB, -1);
    g_assert_cmphex(x->dr[6] & 0xf, ==, 1);
    x->eflags |= X86_EFLAGS_RF;
    ASSERT_RUNS(f, call(f, x86_h_breakpoint, 0x4444, 0, 0, 0));
    g_assert_false(x->eflags & X86_EFLAGS_RF);

    ASSERT_RUNS(f, call(f, x86_h_debug_mem, 0x5002, 1, 0, 0)); /* a read */
    ASSERT_RUNS(f, call(f, x86_h_single_step, 0, 0, 0, 0));
    g_assert_cmpint(x->pending_vector, ==, -1);
    ASSERT_RUNS(f, call(f, x86_h_debug_mem, 0x5002, 1 | 1 << 8, 0, 0));
    ASSERT_RUNS(f, call(f, x86_h_single_step, 0, 0, 0, 0));
    g_assert_cmpint(x->pending_vector, ==, X86_DB);
    g_assert_cmphex(x->dr[6] & 0x400f, ==, 2);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_cmphex(get(f, x->gpr[X86_RSP] + 8, 4) & X86_EFLAGS_RF, ==, 0);

    x86_set_eflags(x, X86_EFLAGS_TF, X86_EFLAGS_TF);
    ASSERT_RUNS(f, call(f, x86_h_single_step, 1, 0, 0, 0));
    g_assert_true(x->dr[6] & DR6_BS);
    ASSERT_RUNS(f, x86_deliver(&x->cpu));
    g_assert_false(x->cpu.mode & X86_MODE_TF);

    ASSERT_RUNS(f, call(f, x86_h_write_dr, 7, DR7_GD, 0, 0));
    ASSERT_FAULT(f, (void)x86_h_read_dr(&x->cpu, 0, 0, 0, 0), X86_DB, -1);
    g_assert_true(x->dr[6] & DR6_BD);
}

static void test_tables(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    enter_protected(f);
    put(f, 0x5000, UINT64_C(0xffaabbccdd1234), 8);
    ASSERT_RUNS(f, call(f, x86_h_lidt, 0x5000, 2, 0, 0));
    g_assert_cmphex(x->idt.base, ==, 0xbbccdd);
    ASSERT_RUNS(f, call(f, x86_h_lidt, 0x5000, 4, 0, 0));
    g_assert_cmphex(x->idt.base, ==, 0xaabbccdd);
    g_assert_cmphex(x->idt.limit, ==, 0x1234);
    ASSERT_RUNS(f, call(f, x86_h_sidt, 0x6000, 4, 0, 0));
    g_assert_cmphex(get(f, 0x6000, 8), ==, 0xaabbccdd1234);
    ASSERT_RUNS(f, g_assert_cmphex(x86_h_read_sel(&x->cpu, X86_TR, 0, 0, 0), ==, SEL_TSS));
    x->cr4 |= CR4_UMIP;
    enter_user(f, SEL_CODE3, 2);
    ASSERT_FAULT(f, call(f, x86_h_sgdt, 0x6000, 4, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, (void)x86_h_read_sel(&x->cpu, 8, 0, 0, 0), X86_GP, 0);
    ASSERT_FAULT(f, call(f, x86_h_lgdt, 0x5000, 4, 0, 0), X86_GP, 0);
}

#define ADD(name, fn)                                                                              \
    g_test_add("/guest/x86/" name, Fixture, NULL, fixture_setup, fn, fixture_teardown)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("mode/reset", test_reset);
    ADD("mode/bits", test_modes);
    ADD("mode/long", test_long_mode);
    ADD("mode/control-checks", test_control_checks);
    ADD("segment/load", test_load_segment);
    ADD("segment/check", test_seg_check);
    ADD("segment/lar-lsl", test_lar_lsl);
    ADD("interrupt/real", test_real_interrupt);
    ADD("interrupt/protected", test_protected_interrupt);
    ADD("interrupt/vm86", test_vm86);
    ADD("interrupt/long", test_long_interrupt);
    ADD("interrupt/double-fault", test_double_and_triple_fault);
    ADD("interrupt/lines", test_lines);
    ADD("interrupt/init-sipi", test_init_sipi);
    ADD("far/call-gate", test_call_gate);
    ADD("far/call-gate64", test_call_gate64);
    ADD("far/task-switch", test_task_switch);
    ADD("syscall/syscall", test_syscall);
    ADD("syscall/sysenter", test_sysenter);
    ADD("ports", test_ports);
    ADD("popf", test_popf);
    ADD("debug", test_debug);
    ADD("tables", test_tables);
    return g_test_run();
}
