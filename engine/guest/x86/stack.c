/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/stack.c - stacks of transfers: pushed or popped first, committed when nothing
 * can fault
 *
 * Intel SDM vol. 3A, 6.8.5 (stack switching), 9.14.2 (long mode). */
#include "engine/guest/x86/cpu-private.h"

X86Stack x86_stack_current(X86Cpu *x)
{
    X86Stack s = {
        .x = x,
        .seg = x->seg[X86_SS],
        .sp = x->gpr[X86_RSP],
        .flat = x86_long64(x),
        .mmu = x86_stack_mmu(x, x86_cpl(x)),
        .error = x86_ext(x),
    };
    s.mask = s.flat ? UINT64_MAX : s.seg.attr & X86_ATTR_DB ? UINT32_MAX : 0xffff;
    return s;
}

static uint64_t stack_linear(X86Stack *s, uint64_t sp, unsigned size)
{
    if (s->flat) {
        if (!x86_is_canonical(s->x, sp)) x86_raise_error(s->x, X86_SSF, s->error);
        return sp;
    }
    if (!x86_in_limit(&s->seg, sp, size)) x86_raise_error(s->x, X86_SSF, s->error);
    return (uint32_t)(s->seg.base + sp);
}

void x86_stack_push(X86Stack *s, uint64_t value, unsigned size)
{
    uint64_t sp = (s->sp - size) & s->mask;

    vit_cpu_store(&s->x->cpu, stack_linear(s, sp, size), value, size, s->mmu);
    s->sp = (s->sp & ~s->mask) | sp;
}

uint64_t x86_stack_pop(X86Stack *s, unsigned size)
{
    uint64_t sp = s->sp & s->mask;
    uint64_t value = vit_cpu_load(&s->x->cpu, stack_linear(s, sp, size), size, s->mmu);

    s->sp = (s->sp & ~s->mask) | ((sp + size) & s->mask);
    return value;
}

void x86_stack_commit(const X86Stack *s)
{
    s->x->gpr[X86_RSP] = s->mask == UINT32_MAX ? (uint32_t)s->sp : s->sp;
}

uint64_t x86_tss_stack64(X86Cpu *x, unsigned offset)
{
    const X86Segment *tr = &x->seg[X86_TR];

    if (offset + 7 > tr->limit) x86_fault_selector(x, X86_TS, tr->selector);
    return vit_cpu_load(&x->cpu, tr->base + offset, 8, x86_system_mmu(x));
}

X86Stack x86_stack_inner(X86Cpu *x, unsigned cpl, X86Desc *d)
{
    const X86Segment *tr = &x->seg[X86_TR];
    bool wide = (tr->attr & 0xf) == TYPE_TSS32_BUSY || (tr->attr & 0xf) == TYPE_TSS32;
    unsigned offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl, mmu = x86_system_mmu(x), ss, attr;
    X86Stack s = { .x = x, .mmu = x86_stack_mmu(x, cpl) };

    if (offset + (wide ? 5 : 3) > tr->limit || (tr->attr & X86_ATTR_UNUSABLE))
        x86_fault_selector(x, X86_TS, tr->selector);
    s.sp = vit_cpu_load(&x->cpu, x86_system_linear(x, tr->base + offset), wide ? 4 : 2, mmu);
    ss = (unsigned)vit_cpu_load(&x->cpu, x86_system_linear(x, tr->base + offset + (wide ? 4 : 2)),
                                2, mmu);
    if (!(ss & 0xfffc) || (ss & 3) != cpl || !x86_desc_read(x, ss, d))
        x86_fault_selector(x, X86_TS, ss);
    attr = x86_desc_attr(d);
    if (!attr_is_data(attr) || !(attr & ATTR_WRITABLE) || attr_dpl(attr) != cpl)
        x86_fault_selector(x, X86_TS, ss);
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_SSF, ss);
    s.seg = x86_desc_segment(ss, d);
    s.mask = attr & X86_ATTR_DB ? UINT32_MAX : 0xffff;
    s.error = (ss & 0xfffc) | x86_ext(x);
    return s;
}
