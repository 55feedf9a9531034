/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/far-return.c - far RET and IRET (Intel SDM vol. 2A and 2B, IRET and RET) */
#include "engine/guest/x86/far-private.h"

enum {
    ALWAYS = 0x8d5 | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT
};    /* what any IRET may change */

typedef struct {
    unsigned cs_sel, ss_sel;
    uint64_t rip, rsp;
    uint32_t flags;
    bool outer;
} Frame;

/* Checks CS (and SS when it changes) of a return in protected mode, then commits both and RSP. */
static void return_to(X86Cpu *x, Frame *f, bool with_ss, unsigned size, unsigned release)
{
    unsigned cpl = x86_cpl(x), rpl = f->cs_sel & 3, attr;
    X86Desc code, ss_desc;
    bool null_ss = false;

    if (!(f->cs_sel & 0xfffc)) x86_raise_error(x, X86_GP, 0);
    if (!x86_desc_read(x, f->cs_sel, &code)) x86_fault_selector(x, X86_GP, f->cs_sel);
    attr = x86_desc_attr(&code);
    if (!attr_is_code(attr) || rpl < cpl ||
        (attr & ATTR_CONFORMING ? attr_dpl(attr) > rpl : attr_dpl(attr) != rpl))
        x86_fault_selector(x, X86_GP, f->cs_sel);
    if (x86_lma(x) && (attr & X86_ATTR_L) && (attr & X86_ATTR_DB))
        x86_fault_selector(x, X86_GP, f->cs_sel);
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, f->cs_sel);
    X86Segment cs = x86_desc_segment(f->cs_sel, &code);
    bool to64 = x86_lma(x) && (attr & X86_ATTR_L);
    x86_check_target(x, &cs, &f->rip);

    if (with_ss) {
        if (!(f->ss_sel & 0xfffc)) {
            null_ss = true;
            if (!to64 || rpl == 3 || (f->ss_sel & 3) != rpl) x86_raise_error(x, X86_GP, 0);
        } else {
            int vector = x86_check_data_segment(x, X86_SS, f->ss_sel, rpl, &ss_desc);
            if (vector) x86_fault_selector(x, vector, f->ss_sel);
            x86_desc_set_accessed(x, &ss_desc);
        }
    }
    x86_desc_set_accessed(x, &code);
    x->seg[X86_CS] = cs;
    x->rip = f->rip;
    if (!with_ss) return;
    if (null_ss) x86_set_null(x, X86_SS, f->ss_sel, rpl);
    else x->seg[X86_SS] = x86_desc_segment(f->ss_sel, &ss_desc);
    if (to64) x->gpr[X86_RSP] = f->rsp + release;
    else if (x->seg[X86_SS].attr & X86_ATTR_DB) x->gpr[X86_RSP] = (uint32_t)(f->rsp + release);
    else x->gpr[X86_RSP] = (x->gpr[X86_RSP] & ~UINT64_C(0xffff)) | ((f->rsp + release) & 0xffff);
    if (rpl > cpl) x86_drop_inner_segments(x, rpl);
}

uint64_t x86_h_far_ret(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned size = (unsigned)a, release = (unsigned)b;
    X86Stack s = x86_stack_current(x);
    Frame f = { 0 };

    f.rip = x86_stack_pop(&s, size);
    f.cs_sel = x86_stack_pop(&s, size) & 0xffff;
    s.sp = (s.sp & ~s.mask) | ((s.sp + release) & s.mask);
    if (!(x->cr0 & CR0_PE) || (x->eflags & X86_EFLAGS_VM)) {
        if (f.rip > x->seg[X86_CS].limit) x86_raise_error(x, X86_GP, 0);
        x86_stack_commit(&s);
        x86_set_cs_real(x, f.cs_sel);
        x->rip = f.rip;
    } else {
        bool outer = (f.cs_sel & 3) > x86_cpl(x);
        if (outer) {
            f.rsp = x86_stack_pop(&s, size);
            f.ss_sel = x86_stack_pop(&s, size) & 0xffff;
        }
        return_to(x, &f, outer, size, release);
        if (!outer) x86_stack_commit(&s);
    }
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_far_ret, VIT_HELPER_ALL);

/* ---- IRET ------------------------------------------------------------------------------------ */

static void finish_iret(X86Cpu *x, uint32_t flags, uint32_t mask)
{
    /* RF only serves instruction breakpoints, and the next instruction clears it. */
    if (!(x->dr[7] & 0xff)) flags &= ~(uint32_t)X86_EFLAGS_RF;
    x->nmi_blocked = false;
    x86_set_eflags(x, flags, mask);
    x86_recheck_lines(x);
}

static void iret_real(X86Cpu *x, unsigned size)
{
    X86Stack s = x86_stack_current(x);
    bool vm86 = x->eflags & X86_EFLAGS_VM;
    uint32_t mask = ALWAYS | X86_EFLAGS_IF, flags;
    uint64_t rip;
    unsigned cs;

    if (vm86 && x86_iopl(x) < 3) x86_raise_error(x, X86_GP, 0);
    rip = x86_stack_pop(&s, size);
    cs = x86_stack_pop(&s, size) & 0xffff;
    flags = (uint32_t)x86_stack_pop(&s, size);
    if (rip > x->seg[X86_CS].limit) x86_raise_error(x, X86_GP, 0);
    if (!vm86) mask |= X86_EFLAGS_IOPL;
    if (size == 4) mask |= X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID;
    x86_stack_commit(&s);
    x86_set_cs_real(x, cs);
    x->rip = rip;
    finish_iret(x, flags, mask);
}

static void iret_to_vm86(X86Cpu *x, const Frame *f, X86Stack *s)
{
    static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    uint32_t esp = (uint32_t)x86_stack_pop(s, 4);
    unsigned ss = x86_stack_pop(s, 4) & 0xffff, data[4];

    for (unsigned i = 0; i < 4; i++) data[i] = x86_stack_pop(s, 4) & 0xffff;
    for (unsigned i = 0; i < 4; i++) x86_set_vm86(x, order[i], data[i]);
    x86_set_vm86(x, X86_CS, f->cs_sel);
    x86_set_vm86(x, X86_SS, ss);
    x->gpr[X86_RSP] = esp;
    x->rip = f->rip & 0xffff;
    finish_iret(x, f->flags, UINT32_MAX);
}

uint64_t x86_h_iret(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned size = (unsigned)a, cpl = x86_cpl(x);
    uint32_t mask = ALWAYS;
    bool with_ss;
    Frame f = { 0 };

    if (!(x->cr0 & CR0_PE) || (x->eflags & X86_EFLAGS_VM)) {
        iret_real(x, size);
        return 0;
    }
    if (x->eflags & X86_EFLAGS_NT) {
        if (x86_lma(x)) x86_raise_error(x, X86_GP, 0);
        x86_task_return(x, b);
        return 0;
    }
    X86Stack s = x86_stack_current(x);
    if (x86_long64(x) && size == 8) {
        uint64_t frame[5];
        if (!x86_is_canonical(x, s.sp)) x86_raise_error(x, X86_SSF, 0);
        vit_cpu_load_bytes(cpu, s.sp, frame, sizeof frame, s.mmu);
        f = (Frame){ .rip = frame[0],
                     .cs_sel = frame[1] & 0xffff,
                     .flags = (uint32_t)frame[2],
                     .rsp = frame[3],
                     .ss_sel = frame[4] & 0xffff };
        with_ss = true;
    } else {
        f.rip = x86_stack_pop(&s, size);
        f.cs_sel = x86_stack_pop(&s, size) & 0xffff;
        f.flags = (uint32_t)x86_stack_pop(&s, size);
        if (size >= 4 && (f.flags & X86_EFLAGS_VM) && cpl == 0 && !x86_lma(x)) {
            iret_to_vm86(x, &f, &s);
            return 0;
        }
        with_ss = x86_long64(x) || (f.cs_sel & 3) > cpl;
        if (with_ss) {
            f.rsp = x86_stack_pop(&s, size);
            f.ss_sel = x86_stack_pop(&s, size) & 0xffff;
        }
    }
    if (size >= 4) mask |= X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID;
    if (cpl <= x86_iopl(x)) mask |= X86_EFLAGS_IF;
    if (cpl == 0) mask |= X86_EFLAGS_IOPL | (size >= 4 ? X86_EFLAGS_VIF | X86_EFLAGS_VIP : 0);
    return_to(x, &f, with_ss, size, 0);
    if (!with_ss) x86_stack_commit(&s);
    finish_iret(x, f.flags, mask);
    return 0;
}
DEFINE_HELPER(x86_h_iret, VIT_HELPER_ALL);
