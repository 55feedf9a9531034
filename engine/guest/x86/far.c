/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/far.c - far JMP and CALL (Intel SDM vol. 2A, CALL and JMP; vol. 3A, 6.8) */
#include "engine/guest/x86/far-private.h"

static bool is_real(const X86Cpu *x)
{
    return !(x->cr0 & CR0_PE) || (x->eflags & X86_EFLAGS_VM);
}

void x86_check_target(X86Cpu *x, const X86Segment *cs, uint64_t *rip)
{
    if (x86_lma(x) && (cs->attr & X86_ATTR_L)) {
        if (!x86_is_canonical(x, *rip)) x86_raise_error(x, X86_GP, x86_ext(x));
        return;
    }
    *rip = (uint32_t)*rip;
    if (*rip > cs->limit) x86_raise_error(x, X86_GP, x86_ext(x));
}

void x86_set_cs_real(X86Cpu *x, unsigned selector)
{
    if (x->eflags & X86_EFLAGS_VM) x86_set_vm86(x, X86_CS, selector);
    else x86_set_real(x, X86_CS, selector);
}

/* A code descriptor as the target of a direct far JMP or CALL. */
static X86Segment direct_target(X86Cpu *x, unsigned selector, const X86Desc *d)
{
    unsigned attr = x86_desc_attr(d), cpl = x86_cpl(x);

    if (attr & ATTR_CONFORMING ? attr_dpl(attr) > cpl
                               : (selector & 3) > cpl || attr_dpl(attr) != cpl)
        x86_fault_selector(x, X86_GP, selector);
    if (x86_lma(x) && (attr & X86_ATTR_L) && (attr & X86_ATTR_DB))
        x86_fault_selector(x, X86_GP, selector);
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    return x86_desc_segment((selector & 0xfffc) | cpl, d);
}

static X86Desc read_or_fault(X86Cpu *x, unsigned selector)
{
    X86Desc d;

    if (!(selector & 0xfffc)) x86_raise_error(x, X86_GP, x86_ext(x));
    if (!x86_desc_read(x, selector, &d)) x86_fault_selector(x, X86_GP, selector);
    return d;
}

/* ---- Call gates ------------------------------------------------------------------------------ */

typedef struct {
    unsigned selector, size, params;
    uint64_t offset;
    X86Desc code;
    X86Segment cs;
    unsigned cpl;
} Gate;

static Gate read_gate(X86Cpu *x, unsigned selector, const X86Desc *d, bool jump)
{
    unsigned attr = x86_desc_attr(d), cpl = x86_cpl(x), type = attr & 0x1f, target;
    Gate g = { .selector = d->lo >> 16, .params = d->hi & 0x1f };

    if (attr_dpl(attr) < cpl || attr_dpl(attr) < (selector & 3))
        x86_fault_selector(x, X86_GP, selector);
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    g.size = x86_lma(x) ? 8 : type == TYPE_CALL32 ? 4 : 2;
    g.offset = (d->lo & 0xffff) | (g.size > 2 ? d->hi & 0xffff0000 : 0);
    if (g.size == 8) {
        uint64_t high = vit_cpu_load(&x->cpu, d->linear + 8, 8, x86_system_mmu(x));
        if (high >> 40 & 0x1f) x86_fault_selector(x, X86_GP, selector);
        g.offset |= high << 32;
    }
    g.code = read_or_fault(x, g.selector);
    target = x86_desc_attr(&g.code);
    if (!attr_is_code(target) || attr_dpl(target) > cpl ||
        (jump && !(target & ATTR_CONFORMING) && attr_dpl(target) != cpl))
        x86_fault_selector(x, X86_GP, g.selector);
    if (g.size == 8 && (target & (X86_ATTR_L | X86_ATTR_DB)) != X86_ATTR_L)
        x86_fault_selector(x, X86_GP, g.selector);
    if (!(target & X86_ATTR_P)) x86_fault_selector(x, X86_NP, g.selector);
    g.cpl = target & ATTR_CONFORMING ? cpl : attr_dpl(target);
    g.cs = x86_desc_segment((g.selector & 0xfffc) | g.cpl, &g.code);
    x86_check_target(x, &g.cs, &g.offset);
    return g;
}

static void commit_code(X86Cpu *x, const X86Segment *cs, uint64_t rip)
{
    x->seg[X86_CS] = *cs;
    x->rip = rip;
    x86_update_mode(x);
}

static void call_gate(X86Cpu *x, unsigned selector, const X86Desc *d, uint64_t next_rip)
{
    Gate g = read_gate(x, selector, d, false);
    bool inner = g.cpl < x86_cpl(x);
    X86Stack old = x86_stack_current(x), s;
    uint32_t params[31];
    X86Desc ss_desc;

    if (!inner) {
        s = old;
    } else if (g.size == 8) {
        s = (X86Stack){ .x = x,
                        .sp = x86_tss_stack64(x, 4 + g.cpl * 8),
                        .mask = UINT64_MAX,
                        .flat = true,
                        .mmu = x86_stack_mmu(x, g.cpl) };
    } else {
        s = x86_stack_inner(x, g.cpl, &ss_desc);
        for (unsigned i = 0; i < g.params; i++) params[i] = (uint32_t)x86_stack_pop(&old, g.size);
    }
    if (inner) {
        x86_stack_push(&s, x->seg[X86_SS].selector, g.size);
        x86_stack_push(&s, x->gpr[X86_RSP], g.size);
        for (unsigned i = g.size == 8 ? 0 : g.params; i-- > 0;)
            x86_stack_push(&s, params[i], g.size);
    }
    x86_stack_push(&s, x->seg[X86_CS].selector, g.size);
    x86_stack_push(&s, next_rip, g.size);
    x86_desc_set_accessed(x, &g.code);
    if (inner && g.size == 8) {
        x86_set_null(x, X86_SS, g.cpl, g.cpl);
    } else if (inner) {
        x86_desc_set_accessed(x, &ss_desc);
        x->seg[X86_SS] = s.seg;
    }
    x86_stack_commit(&s);
    commit_code(x, &g.cs, g.offset);
}

static void jump_gate(X86Cpu *x, unsigned selector, const X86Desc *d)
{
    Gate g = read_gate(x, selector, d, true);

    x86_desc_set_accessed(x, &g.code);
    commit_code(x, &g.cs, g.offset);
}

/* ---- JMP, CALL ------------------------------------------------------------------------------- */

void x86_far_task(X86Cpu *x, unsigned selector, const X86Desc *d, X86TaskSource source,
                  uint64_t next_rip)
{
    unsigned attr = x86_desc_attr(d);

    if (attr_dpl(attr) < x86_cpl(x) || attr_dpl(attr) < (selector & 3))
        x86_fault_selector(x, X86_GP, selector);
    if ((attr & 0x1f) != TYPE_TASK) {
        x86_task_switch(x, selector, d, source, next_rip, false, 0);
        return;
    }
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    x86_task_gate(x, d->lo >> 16, source, next_rip, false, 0);
}

typedef struct {
    bool call;              /* pushes CS and next_rip, each of size bytes, before it goes */
    unsigned size;
    uint64_t next_rip;
} Way;

static X86Stack push_return(X86Cpu *x, const Way *way)
{
    X86Stack s = x86_stack_current(x);

    x86_stack_push(&s, x->seg[X86_CS].selector, way->size);
    x86_stack_push(&s, way->next_rip, way->size);
    return s;
}

static void far_real(X86Cpu *x, unsigned selector, uint64_t offset, const Way *way)
{
    if (offset > x->seg[X86_CS].limit) x86_raise_error(x, X86_GP, 0);
    if (way->call) {
        X86Stack s = push_return(x, way);
        x86_stack_commit(&s);
    }
    x86_set_cs_real(x, selector);
    x->rip = offset;
    x86_update_mode(x);
}

static void far_direct(X86Cpu *x, unsigned selector, uint64_t offset, const Way *way,
                       const X86Desc *d)
{
    X86Segment cs = direct_target(x, selector, d);
    X86Stack s;

    x86_check_target(x, &cs, &offset);
    if (way->call) s = push_return(x, way);
    x86_desc_set_accessed(x, d);
    if (way->call) x86_stack_commit(&s);
    commit_code(x, &cs, offset);
}

static void far_gate(X86Cpu *x, unsigned selector, const Way *way, const X86Desc *d)
{
    switch (x86_desc_attr(d) & 0x1f) {
    case TYPE_CALL16:
        if (x86_lma(x)) break;
        [[fallthrough]];
    case TYPE_CALL32:
        if (way->call) call_gate(x, selector, d, way->next_rip);
        else jump_gate(x, selector, d);
        return;
    case TYPE_TASK:
    case TYPE_TSS16:
    case TYPE_TSS32:
        if (x86_lma(x)) break;
        x86_far_task(x, selector, d, way->call ? X86_TASK_CALL : X86_TASK_JMP,
                    way->next_rip);
        return;
    }
    x86_fault_selector(x, X86_GP, selector);
}

static void far(X86Cpu *x, unsigned selector, uint64_t offset, const Way *way)
{
    if (is_real(x)) {
        far_real(x, selector, offset, way);
        return;
    }
    X86Desc desc = read_or_fault(x, selector);
    if (attr_is_code(x86_desc_attr(&desc))) far_direct(x, selector, offset, way, &desc);
    else far_gate(x, selector, way, &desc);
}

uint64_t x86_h_far_jmp(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    far((X86Cpu *)cpu, a & 0xffff, b, &(Way){ false, (unsigned)c, d });
    return 0;
}
DEFINE_HELPER(x86_h_far_jmp, VIT_HELPER_ALL);

uint64_t x86_h_far_call(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    far((X86Cpu *)cpu, a & 0xffff, b, &(Way){ true, (unsigned)c, d });
    return 0;
}
DEFINE_HELPER(x86_h_far_call, VIT_HELPER_ALL);
