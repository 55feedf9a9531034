/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/exception.c - interrupts and exceptions (Intel SDM vol. 3A, chapter 7)
 *
 * Virtual-8086 mode extensions and SMI are not modelled. */
#include "engine/guest/x86/cpu-private.h"

#include "engine/core/log.h"

enum { ERROR_IDT = 2 };

[[noreturn]] static void gate_fault(X86Cpu *x, int vector, const X86Event *e)
{
    x86_raise_error(x, vector, e->vector * 8u + ERROR_IDT + x86_ext(x));
}

static bool is_soft(const X86Event *e)
{
    return e->kind == X86_EVENT_SOFT_INT;
}

/* EFLAGS as pushed: RF is set for faults, so that an instruction breakpoint does not hit again. */
static uint32_t flags_image(const X86Cpu *x, const X86Event *e)
{
    uint32_t flags = x86_get_eflags(x);

    if (e->kind == X86_EVENT_FAULT && e->vector != X86_DB) flags |= X86_EFLAGS_RF;
    return flags;
}

static void enter_handler(X86Cpu *x, const X86Event *e, bool mask_interrupts)
{
    uint32_t clear = X86_EFLAGS_TF | X86_EFLAGS_VM | X86_EFLAGS_RF | X86_EFLAGS_NT;

    if (mask_interrupts) clear |= X86_EFLAGS_IF;
    x->eflags &= ~clear;
    x86_update_mode(x);
}

/* ---- Real mode ------------------------------------------------------------------------------- */

static void interrupt_real(X86Cpu *x, const X86Event *e)
{
    X86Stack s = x86_stack_current(x);
    uint32_t entry;

    if (e->vector * 4u + 3 > x->idt.limit) gate_fault(x, X86_GP, e);
    entry = (uint32_t)vit_cpu_load(&x->cpu, (uint32_t)(x->idt.base + e->vector * 4u), 4,
                                   X86_MMU_KERNEL);
    x86_stack_push(&s, flags_image(x, e) & 0xffff, 2);
    x86_stack_push(&s, x->seg[X86_CS].selector, 2);
    x86_stack_push(&s, e->return_rip & 0xffff, 2);
    x86_stack_commit(&s);
    x86_set_real(x, X86_CS, entry >> 16);
    x->rip = entry & 0xffff;
    x->eflags &= ~(uint32_t)X86_EFLAGS_AC;
    enter_handler(x, e, true);
}

/* ---- Protected mode -------------------------------------------------------------------------- */

/* Reads the handler's code segment as the gate names it; returns the privilege level that it will
 * run at. */
static unsigned handler_segment(X86Cpu *x, unsigned selector, X86Desc *d)
{
    unsigned attr, cpl = x86_cpl(x);

    if (!(selector & 0xfffc)) x86_raise_error(x, X86_GP, x86_ext(x));
    if (!x86_desc_read(x, selector, d)) x86_fault_selector(x, X86_GP, selector);
    attr = x86_desc_attr(d);
    if (!attr_is_code(attr) || attr_dpl(attr) > cpl) x86_fault_selector(x, X86_GP, selector);
    if (x86_lma(x) && (attr & (X86_ATTR_L | X86_ATTR_DB)) != X86_ATTR_L)
        x86_fault_selector(x, X86_GP, selector);
    if (!(attr & X86_ATTR_P)) x86_fault_selector(x, X86_NP, selector);
    return attr & ATTR_CONFORMING ? cpl : attr_dpl(attr);
}

static void interrupt_protected(X86Cpu *x, const X86Event *e)
{
    unsigned cpl = x86_cpl(x), new_cpl, type, size, selector;
    bool vm86 = x->eflags & X86_EFLAGS_VM, inner;
    X86Desc code, ss_desc;
    X86Stack s;
    uint64_t gate;
    uint32_t hi, offset;

    if (e->vector * 8u + 7 > x->idt.limit) gate_fault(x, X86_GP, e);
    gate = vit_cpu_load(&x->cpu, (uint32_t)(x->idt.base + e->vector * 8u), 8, x86_system_mmu(x));
    hi = (uint32_t)(gate >> 32);
    type = hi >> 8 & 0x1f;
    if (type != TYPE_TASK && type != TYPE_INT16 && type != TYPE_TRAP16 && type != TYPE_INT32 &&
        type != TYPE_TRAP32)
        gate_fault(x, X86_GP, e);
    if (is_soft(e) && (hi >> 13 & 3) < cpl) gate_fault(x, X86_GP, e);
    if (!(hi & 0x8000)) gate_fault(x, X86_NP, e);
    selector = gate >> 16 & 0xffff;
    if (type == TYPE_TASK) {
        x86_task_gate(x, selector, X86_TASK_INT, e->return_rip, e->has_error, e->error);
        return;
    }
    size = type & 8 ? 4 : 2;
    offset = (gate & 0xffff) | (size == 4 ? hi & 0xffff0000 : 0);
    new_cpl = handler_segment(x, selector, &code);
    inner = new_cpl < cpl;
    if (vm86 && new_cpl != 0) x86_fault_selector(x, X86_GP, selector);
    X86Segment cs = x86_desc_segment((selector & 0xfffc) | new_cpl, &code);
    if (offset > cs.limit) x86_raise_error(x, X86_GP, x86_ext(x));

    s = inner ? x86_stack_inner(x, new_cpl, &ss_desc) : x86_stack_current(x);
    if (vm86) {
        x86_stack_push(&s, x->seg[X86_GS].selector, size);
        x86_stack_push(&s, x->seg[X86_FS].selector, size);
        x86_stack_push(&s, x->seg[X86_DS].selector, size);
        x86_stack_push(&s, x->seg[X86_ES].selector, size);
    }
    if (inner) {
        x86_stack_push(&s, x->seg[X86_SS].selector, size);
        x86_stack_push(&s, x->gpr[X86_RSP], size);
    }
    x86_stack_push(&s, flags_image(x, e), size);
    x86_stack_push(&s, x->seg[X86_CS].selector, size);
    x86_stack_push(&s, e->return_rip, size);
    if (e->has_error) x86_stack_push(&s, e->error, size);
    x86_desc_set_accessed(x, &code);

    if (inner) {
        x86_desc_set_accessed(x, &ss_desc);
        x->seg[X86_SS] = s.seg;
    }
    if (vm86) {
        x86_set_null(x, X86_GS, 0, 0);
        x86_set_null(x, X86_FS, 0, 0);
        x86_set_null(x, X86_DS, 0, 0);
        x86_set_null(x, X86_ES, 0, 0);
    }
    x86_stack_commit(&s);
    x->seg[X86_CS] = cs;
    x->rip = offset;
    enter_handler(x, e, type == TYPE_INT16 || type == TYPE_INT32);
}

/* ---- Long mode ------------------------------------------------------------------------------- */

static void interrupt_long(X86Cpu *x, const X86Event *e)
{
    unsigned cpl = x86_cpl(x), mmu = x86_system_mmu(x), new_cpl, type, selector, ist, n = 0;
    uint64_t gate[2], sp, frame[6];
    X86Desc code;

    if (e->vector * 16u + 15 > x->idt.limit) gate_fault(x, X86_GP, e);
    vit_cpu_load_bytes(&x->cpu, x->idt.base + e->vector * 16u, gate, 16, mmu);
    type = gate[0] >> 40 & 0x1f;
    if ((type != TYPE_INT32 && type != TYPE_TRAP32) || (is_soft(e) && (gate[0] >> 45 & 3) < cpl))
        gate_fault(x, X86_GP, e);
    if (!(gate[0] >> 47 & 1)) gate_fault(x, X86_NP, e);
    selector = gate[0] >> 16 & 0xffff;
    ist = gate[0] >> 32 & 7;
    uint64_t offset = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
    new_cpl = handler_segment(x, selector, &code);
    if (!x86_is_canonical(x, offset)) x86_raise_error(x, X86_GP, x86_ext(x));
    if (ist) sp = x86_tss_stack64(x, 0x24 + (ist - 1) * 8);
    else if (new_cpl < cpl) sp = x86_tss_stack64(x, 4 + new_cpl * 8);
    else sp = x->gpr[X86_RSP];
    sp &= ~UINT64_C(15);

    if (e->has_error) frame[n++] = e->error;
    frame[n++] = e->return_rip;
    frame[n++] = x->seg[X86_CS].selector;
    frame[n++] = flags_image(x, e);
    frame[n++] = x->gpr[X86_RSP];
    frame[n++] = x->seg[X86_SS].selector;
    sp -= n * 8;
    if (!x86_is_canonical(x, sp)) x86_raise_error(x, X86_SSF, x86_ext(x));
    vit_cpu_store_bytes(&x->cpu, sp, frame, n * 8, x86_stack_mmu(x, new_cpl));
    x86_desc_set_accessed(x, &code);

    if (new_cpl < cpl) x86_set_null(x, X86_SS, new_cpl, new_cpl);
    x->gpr[X86_RSP] = sp;
    x->seg[X86_CS] = x86_desc_segment((selector & 0xfffc) | new_cpl, &code);
    x->rip = offset;
    enter_handler(x, e, type == TYPE_INT32);
}

void x86_interrupt(X86Cpu *x, const X86Event *e)
{
    if (vit_log_enabled(VIT_LOG_INT))
        vit_log(VIT_LOG_INT,
                "cpu %u: vector %02x kind %u error %x at %04x:%016" G_GINT64_MODIFIER
                "x sp %016" G_GINT64_MODIFIER "x cr2 %016" G_GINT64_MODIFIER "x\n",
                x->cpu.index, e->vector, e->kind, e->has_error ? e->error : 0,
                x->seg[X86_CS].selector, e->return_rip, x->gpr[X86_RSP], x->cr2);
    if (!(x->cr0 & CR0_PE)) interrupt_real(x, e);
    else if (x86_lma(x)) interrupt_long(x, e);
    else interrupt_protected(x, e);
}

uint64_t x86_h_int(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    /* INT1 is a trap that no DPL guards. */
    X86Event e = { .vector = (uint8_t)a,
                   .kind = c == 2 ? X86_EVENT_TRAP : X86_EVENT_SOFT_INT,
                   .return_rip = b };

    if (c == 0 && (x->eflags & X86_EFLAGS_VM) && x86_iopl(x) < 3) x86_raise_error(x, X86_GP, 0);
    if (c == 2) x86_debug_before_delivery(x);
    uint64_t stepping = cpu->mode & (X86_MODE_TF | X86_MODE_BREAK);
    x86_interrupt(x, &e);
    x->no_step = stepping;
    return 0;
}
DEFINE_HELPER(x86_h_int, VIT_HELPER_ALL);

/* ---- What the run loop calls ----------------------------------------------------------------- */

static void take(X86Cpu *x, const X86Event *e, unsigned class)
{
    x->delivering = (uint8_t)class;
    if (x->shadow_block) {
        x->shadow_block = false;
        x86_update_mode(x); /* the delivery may unwind */
    }
    x->cpu.halted = 0;
    x86_interrupt(x, e);
    x->delivering = 0;
    x->no_step = false;
    x86_recheck_lines(x);
}

static unsigned delivery_class(int vector)
{
    switch (vector) { /* as x86_record() compares them */
    case X86_DF: return 4;
    case X86_PF: return 3;
    case X86_DE:
    case X86_TS:
    case X86_NP:
    case X86_SSF:
    case X86_GP: return 2;
    default: return 1;
    }
}

static void take_pending(X86Cpu *x)
{
    X86Event e = { .vector = (uint8_t)x->pending_vector,
                   .kind = x->pending_kind,
                   .has_error = x->pending_has_error && (x->cr0 & CR0_PE),
                   .error = x->pending_error,
                   .return_rip = x->rip };

    x->pending_vector = -1;
    x->db_hits = 0;
    x->cpu.stats[VIT_CPU_STAT_EXCEPTIONS]++;
    if (e.vector == X86_DB) x86_debug_before_delivery(x);
    take(x, &e, delivery_class(e.vector));
}

static void act_on_init(X86Cpu *x)
{
    __atomic_fetch_and(&x->lines, ~(uint32_t)X86_LINE_INIT, __ATOMIC_SEQ_CST);
    if (x->ops && x->ops->init) x->ops->init(x->ops_opaque);
    x86_init_reset(x, true);
    x->wait_sipi = x->cpu.index != 0;
    x->cpu.halted = x->wait_sipi;
    x86_recheck_lines(x);
}

static void act_on_sipi(X86Cpu *x)
{
    unsigned vector = __atomic_load_n(&x->sipi_vector, __ATOMIC_ACQUIRE);

    __atomic_fetch_and(&x->lines, ~(uint32_t)X86_LINE_SIPI, __ATOMIC_SEQ_CST);
    if (!x->wait_sipi) return;
    x->wait_sipi = false;
    x->cpu.halted = 0;
    x86_set_real(x, X86_CS, vector << 8);
    x->rip = 0;
    x86_update_mode(x);
    x86_recheck_lines(x);
}

/* The lines that would be acted on now. */
static uint32_t deliverable(const X86Cpu *x)
{
    uint32_t lines = __atomic_load_n(&x->lines, __ATOMIC_SEQ_CST), mask = X86_LINE_INIT;

    if (x->wait_sipi) return lines & (X86_LINE_INIT | X86_LINE_SIPI);
    if (x->shutdown) return lines & mask;
    mask |= X86_LINE_SIPI; /* to be dropped */
    if (!x->shadow_block) {
        if (!x->nmi_blocked) mask |= X86_LINE_NMI;
        if (x->eflags & X86_EFLAGS_IF) mask |= X86_LINE_INTR;
    }
    return lines & mask;
}

bool x86_has_work(VitCpu *cpu)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t lines = deliverable(x);

    return x->pending_vector >= 0 || (lines & ~(uint32_t)X86_LINE_SIPI) || (x->wait_sipi && lines);
}

void x86_deliver(VitCpu *cpu)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t lines;

    if (x->pending_vector >= 0) {
        take_pending(x);
        return;
    }
    x->delivering = 0;
    __atomic_fetch_and(&x->lines, ~(uint32_t)X86_LINE_SMI, __ATOMIC_SEQ_CST); /* dropped: no SMM */
    lines = deliverable(x);
    if (lines & X86_LINE_INIT) {
        act_on_init(x);
    } else if (lines & X86_LINE_SIPI) {
        act_on_sipi(x);
    } else if (lines & X86_LINE_NMI) {
        X86Event e = { .vector = X86_NMI, .kind = X86_EVENT_NMI, .return_rip = x->rip };
        __atomic_fetch_and(&x->lines, ~(uint32_t)X86_LINE_NMI, __ATOMIC_SEQ_CST);
        x->nmi_blocked = true;
        x->cpu.stats[VIT_CPU_STAT_INTERRUPTS]++;
        take(x, &e, 1);
    } else if (lines & X86_LINE_INTR) {
        int vector = x->ops && x->ops->intr_ack ? x->ops->intr_ack(x->ops_opaque) : -1;
        if (vector >= 0) {
            X86Event e = { .vector = (uint8_t)vector, .kind = X86_EVENT_EXT, .return_rip = x->rip };
            x->cpu.stats[VIT_CPU_STAT_INTERRUPTS]++;
            take(x, &e, 1);
        }
    }
}
