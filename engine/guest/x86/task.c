/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/task.c - task switches through 16- and 32-bit TSS (Intel SDM vol. 3A, chapter 8)
 *
 * A page fault on the descriptor tables of the new task, once it has been entered, is reported at
 * the instruction that switched instead of at the new task's first one. */
#include "engine/guest/x86/cpu-private.h"

#include "engine/core/log.h"

enum {
    T32_LINK = 0,
    T32_CR3 = 0x1c,
    T32_EIP = 0x20,
    T32_EFLAGS = 0x24,
    T32_GPR = 0x28,
    T32_SEG = 0x48,
    T32_LDT = 0x60,
    T32_TRAP = 0x64,
    T32_LIMIT = 0x67
};
enum {
    T16_LINK = 0,
    T16_IP = 0x0e,
    T16_FLAGS = 0x10,
    T16_GPR = 0x12,
    T16_SEG = 0x22,
    T16_LDT = 0x2a,
    T16_LIMIT = 0x2b
};

/* Segment registers in the order in which a TSS holds them: ES CS SS DS
 * (FS GS), as ours are numbered. */
typedef struct {
    uint32_t cr3, rip, eflags, gpr[8];
    uint16_t seg[6], ldt;
    bool trap, wide;
} TaskState;

static uint32_t tss_load(X86Cpu *x, uint64_t base, unsigned offset, unsigned size)
{
    return (uint32_t)vit_cpu_load(&x->cpu, (uint32_t)(base + offset), size, x86_system_mmu(x));
}

static void tss_store(X86Cpu *x, uint64_t base, unsigned offset, uint32_t value, unsigned size)
{
    vit_cpu_store(&x->cpu, (uint32_t)(base + offset), value, size, x86_system_mmu(x));
}

static bool is_wide(unsigned attr)
{
    return attr & 8;
}

static TaskState read_state(X86Cpu *x, uint64_t base, bool wide)
{
    TaskState t = { .wide = wide };

    if (wide) {
        t.cr3 = tss_load(x, base, T32_CR3, 4);
        t.rip = tss_load(x, base, T32_EIP, 4);
        t.eflags = tss_load(x, base, T32_EFLAGS, 4);
        for (unsigned i = 0; i < 8; i++) t.gpr[i] = tss_load(x, base, T32_GPR + 4 * i, 4);
        for (unsigned i = 0; i < 6; i++) t.seg[i] = (uint16_t)tss_load(x, base, T32_SEG + 4 * i, 2);
        t.ldt = (uint16_t)tss_load(x, base, T32_LDT, 2);
        t.trap = tss_load(x, base, T32_TRAP, 2) & 1;
    } else {
        t.rip = tss_load(x, base, T16_IP, 2);
        t.eflags = tss_load(x, base, T16_FLAGS, 2);
        for (unsigned i = 0; i < 8; i++)
            t.gpr[i] = tss_load(x, base, T16_GPR + 2 * i, 2) | 0xffff0000;
        for (unsigned i = 0; i < 4; i++) t.seg[i] = (uint16_t)tss_load(x, base, T16_SEG + 2 * i, 2);
        t.ldt = (uint16_t)tss_load(x, base, T16_LDT, 2);
    }
    return t;
}

static void save_state(X86Cpu *x, uint64_t base, bool wide, uint32_t rip, uint32_t eflags)
{
    if (wide) {
        tss_store(x, base, T32_EIP, rip, 4);
        tss_store(x, base, T32_EFLAGS, eflags, 4);
        for (unsigned i = 0; i < 8; i++)
            tss_store(x, base, T32_GPR + 4 * i, (uint32_t)x->gpr[i], 4);
        for (unsigned i = 0; i < 6; i++) tss_store(x, base, T32_SEG + 4 * i, x->seg[i].selector, 2);
    } else {
        tss_store(x, base, T16_IP, rip, 2);
        tss_store(x, base, T16_FLAGS, eflags, 2);
        for (unsigned i = 0; i < 8; i++)
            tss_store(x, base, T16_GPR + 2 * i, (uint32_t)x->gpr[i], 2);
        for (unsigned i = 0; i < 4; i++) tss_store(x, base, T16_SEG + 2 * i, x->seg[i].selector, 2);
    }
}

static void set_busy(X86Cpu *x, uint64_t desc_linear, bool busy)
{
    unsigned mmu = x86_system_mmu(x);
    uint64_t at = (uint32_t)(desc_linear + 5);

    if (busy) vit_cpu_atomic(&x->cpu, VIT_ATOMIC_OR, at, 2, 1, mmu);
    else vit_cpu_atomic(&x->cpu, VIT_ATOMIC_AND, at, 0xfd, 1, mmu);
}

/* A fault in the new task: noted, delivered before its first instruction. */
static bool note_fault(X86Cpu *x, int vector, unsigned selector)
{
    x86_record(x, vector, true, (selector & 0xfffc) | x86_ext(x));
    x86_ask_deliver(x);
    return false;
}

static bool load_ldt(X86Cpu *x, unsigned selector)
{
    X86Desc d;

    x86_set_null(x, X86_LDTR, selector, 0);
    if (!(selector & 0xfffc)) return true;
    if ((selector & 4) || !x86_desc_read(x, selector, &d) ||
        (x86_desc_attr(&d) & 0x9f) != (X86_ATTR_P | TYPE_LDT))
        return note_fault(x, X86_TS, selector);
    x->seg[X86_LDTR] = x86_desc_segment(selector, &d);
    return true;
}

static bool load_code(X86Cpu *x, unsigned selector)
{
    unsigned attr, rpl = selector & 3;
    X86Desc d;

    if (!x86_desc_read(x, selector, &d)) return note_fault(x, X86_TS, selector);
    attr = x86_desc_attr(&d);
    if (!attr_is_code(attr) ||
        (attr & ATTR_CONFORMING ? attr_dpl(attr) > rpl : attr_dpl(attr) != rpl))
        return note_fault(x, X86_TS, selector);
    if (!(attr & X86_ATTR_P)) return note_fault(x, X86_NP, selector);
    x86_desc_set_accessed(x, &d);
    x->seg[X86_CS] = x86_desc_segment(selector, &d);
    x86_update_mode(x); /* the next one may unwind */
    return true;
}

static bool load_data(X86Cpu *x, unsigned n, unsigned selector, unsigned cpl)
{
    X86Desc d;
    int vector;

    if (!(selector & 0xfffc)) return n == X86_SS ? note_fault(x, X86_TS, selector) : true;
    vector = x86_check_data_segment(x, n, selector, cpl, &d);
    if (vector) return note_fault(x, vector == X86_GP ? X86_TS : vector, selector);
    x86_desc_set_accessed(x, &d);
    x->seg[n] = x86_desc_segment(selector, &d);
    x86_update_mode(x);
    return true;
}

static void load_segments(X86Cpu *x, const TaskState *t)
{
    unsigned cpl = t->seg[X86_CS] & 3;

    if (t->eflags & X86_EFLAGS_VM) {
        for (unsigned i = 0; i < 6; i++) x86_set_vm86(x, i, t->seg[i]);
        x86_update_mode(x);
        load_ldt(x, t->ldt);
        return;
    }
    for (unsigned i = 0; i < 6; i++) x86_set_null(x, i, t->seg[i], i == X86_SS ? cpl : 0);
    x86_update_mode(x);
    if (!load_ldt(x, t->ldt) || !load_code(x, t->seg[X86_CS]) ||
        !load_data(x, X86_SS, t->seg[X86_SS], cpl))
        return;
    if (x->rip > x->seg[X86_CS].limit) {
        note_fault(x, X86_GP, 0);
        return;
    }
    if (load_data(x, X86_ES, t->seg[X86_ES], cpl) && load_data(x, X86_DS, t->seg[X86_DS], cpl) &&
        load_data(x, X86_FS, t->seg[X86_FS], cpl))
        load_data(x, X86_GS, t->seg[X86_GS], cpl);
}

void x86_task_switch(X86Cpu *x, unsigned selector, const X86Desc *d, X86TaskSource source,
                     uint64_t next_rip, bool has_error, uint32_t error)
{
    X86Segment old = x->seg[X86_TR], tss = x86_desc_segment(selector, d);
    bool wide = is_wide(tss.attr), old_wide = is_wide(old.attr), busy = tss.attr & 2;
    uint32_t flags = x86_get_eflags(x);
    X86Desc old_desc;

    if (busy != (source == X86_TASK_IRET))
        x86_fault_selector(x, source == X86_TASK_IRET ? X86_TS : X86_GP, selector);
    if (!(tss.attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    if (tss.limit < (wide ? T32_LIMIT : T16_LIMIT) || !x86_desc_read(x, old.selector, &old_desc))
        x86_fault_selector(x, X86_TS, selector);

    /* Everything that may fault in the old task comes before the first change. */
    TaskState t = read_state(x, tss.base, wide);
    vit_cpu_probe(&x->cpu, (uint32_t)old.base, old_wide ? T32_LIMIT + 1 : T16_LIMIT + 1, true,
                  x86_system_mmu(x));
    vit_cpu_probe(&x->cpu, (uint32_t)tss.base, 2, true, x86_system_mmu(x));
    vit_cpu_probe(&x->cpu, (uint32_t)old_desc.linear, 8, true, x86_system_mmu(x));
    vit_cpu_probe(&x->cpu, (uint32_t)d->linear, 8, true, x86_system_mmu(x));
    if (wide && (x->cr0 & CR0_PG) && (x->cr4 & CR4_PAE) && !x86_load_pdptes(x, t.cr3))
        x86_fault_selector(x, X86_TS, selector);

    if (source == X86_TASK_IRET) flags &= ~(uint32_t)X86_EFLAGS_NT;
    save_state(x, old.base, old_wide, (uint32_t)next_rip, flags);
    if (source == X86_TASK_JMP || source == X86_TASK_IRET) set_busy(x, old_desc.linear, false);
    if (source != X86_TASK_IRET) set_busy(x, d->linear, true);
    if (source == X86_TASK_CALL || source == X86_TASK_INT) {
        tss_store(x, tss.base, T32_LINK, old.selector, 2);
        t.eflags |= X86_EFLAGS_NT;
    }
    tss.attr |= 2;
    x->seg[X86_TR] = tss;
    x->cr0 |= CR0_TS;
    if (wide && (x->cr0 & CR0_PG)) {
        x->cr3 = t.cr3;
        vit_tlb_flush_local(&x->cpu);
    }
    for (unsigned i = 0; i < 8; i++) x->gpr[i] = t.gpr[i];
    x->rip = t.rip;
    x->flags = vit_flags_pack(t.eflags & 0x8d5);
    x->eflags = (t.eflags & 0x3f7f00 & ~0x8d5u) | 2;
    x->dr[7] &= ~UINT64_C(0x55); /* local breakpoints */
    load_segments(x, &t);
    if (has_error && x->pending_vector < 0) {
        X86Stack s = x86_stack_current(x);
        x86_stack_push(&s, error, wide ? 4 : 2);
        x86_stack_commit(&s);
    }
    if (t.trap && x->pending_vector < 0) {
        x->dr[6] |= DR6_BT;
        x86_record(x, X86_DB, false, 0);
        x->pending_kind = X86_EVENT_TRAP;
        x86_ask_deliver(x);
    }
    x86_update_mode(x);
    x86_recheck_lines(x);
}

void x86_task_gate(X86Cpu *x, unsigned selector, X86TaskSource source, uint64_t next_rip,
                   bool has_error, uint32_t error)
{
    unsigned type;
    X86Desc d;

    if ((selector & 4) || !x86_desc_read(x, selector, &d)) x86_fault_selector(x, X86_GP, selector);
    type = x86_desc_attr(&d) & 0x1f;
    if (type != TYPE_TSS16 && type != TYPE_TSS32) x86_fault_selector(x, X86_GP, selector);
    x86_task_switch(x, selector, &d, source, next_rip, has_error, error);
}

void x86_task_return(X86Cpu *x, uint64_t next_rip)
{
    unsigned selector = tss_load(x, x->seg[X86_TR].base, T32_LINK, 2), type;
    X86Desc d;

    if ((selector & 4) || !x86_desc_read(x, selector, &d)) x86_fault_selector(x, X86_TS, selector);
    type = x86_desc_attr(&d) & 0x1f;
    if (type != TYPE_TSS16_BUSY && type != TYPE_TSS32_BUSY) x86_fault_selector(x, X86_TS, selector);
    x86_task_switch(x, selector, &d, X86_TASK_IRET, next_rip, false, 0);
}
