/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/cpu.c - the x86 ISA as accelerators see it: reset, modes, flags, lines, dump
 *
 * Intel SDM vol. 3A, 10.1 (processor state after reset and INIT), 2.3
 * (EFLAGS).  SMM is not modelled. */
#include "engine/guest/x86/cpu-private.h"

#include "engine/core/log.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { CLASS_BENIGN = 1, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT };

static bool segment_needs_check(const X86Segment *s)
{
    if (s->limit != UINT32_MAX || (s->attr & X86_ATTR_UNUSABLE)) return true;
    if (s->attr & ATTR_CODE) return !(s->attr & ATTR_READABLE);
    return (s->attr & (ATTR_WRITABLE | ATTR_EXPAND_DOWN)) != ATTR_WRITABLE;
}

/* The part of the mode that depends on segments, outside 64-bit mode. */
static uint32_t segment_mode(const X86Cpu *x)
{
    const X86Segment *s = x->seg;
    uint32_t mode = 0;

    if (s[X86_CS].attr & X86_ATTR_DB) mode |= X86_MODE_CS32;
    if (s[X86_SS].attr & X86_ATTR_DB) mode |= X86_MODE_SS32;
    if (s[X86_DS].base | s[X86_ES].base | s[X86_SS].base) mode |= X86_MODE_BASES;
    if (segment_needs_check(&s[X86_DS]) || segment_needs_check(&s[X86_ES]) ||
        segment_needs_check(&s[X86_SS]) || segment_needs_check(&s[X86_CS]))
        mode |= X86_MODE_LIMITS;
    if (segment_needs_check(&s[X86_FS])) mode |= X86_MODE_LIMITS_FS;
    if (segment_needs_check(&s[X86_GS])) mode |= X86_MODE_LIMITS_GS;
    return mode;
}

void x86_update_mode(X86Cpu *x)
{
    uint32_t cr0 = (uint32_t)x->cr0, cr4 = (uint32_t)x->cr4, eflags = x->eflags;
    unsigned cpl = x86_cpl(x);
    uint32_t mode = 0, mmu;
    uint64_t base = 0;

    if ((x->efer & EFER_LMA) && (x->seg[X86_CS].attr & X86_ATTR_L)) {
        mode = X86_MODE_LONG | X86_MODE_LMA | VIT_MODE_WIDE;
    } else {
        mode = segment_mode(x) | (x->efer & EFER_LMA ? X86_MODE_LMA : 0);
        base = (uint32_t)x->seg[X86_CS].base;
    }
    if (cr0 & CR0_PE) mode |= X86_MODE_PE | (eflags & X86_EFLAGS_VM ? X86_MODE_VM86 : 0);
    if (cpl == 0) mode |= X86_MODE_CPL0;
    else if (cpl == 3)
        mode |= X86_MODE_CPL3 | (cr0 & CR0_AM && eflags & X86_EFLAGS_AC ? X86_MODE_AC : 0);
    if (cpl <= x86_iopl(x)) mode |= X86_MODE_IOPL_OK;
    mmu = cpl == 3 ? X86_MMU_USER : X86_MMU_KERNEL;
    if (cpl < 3 && (cr4 & CR4_SMAP) && !(eflags & X86_EFLAGS_AC) && (cr0 & CR0_PG))
        mmu = X86_MMU_KERNEL_SMAP;
    mode |= mmu << X86_MODE_MMU_SHIFT;
    if (eflags & X86_EFLAGS_TF) mode |= X86_MODE_TF;
    if (x->shadow_block) mode |= X86_MODE_SHADOW;
    if (cr0 & (CR0_EM | CR0_TS)) mode |= X86_MODE_NOFPU;
    if (!(cr4 & CR4_OSFXSR) || (cr0 & CR0_EM)) mode |= X86_MODE_NOSSE;
    if (cr0 & CR0_TS) mode |= X86_MODE_TS;
    if (cr0 & CR0_MP) mode |= X86_MODE_MP;
    if ((x->mxcsr & 0x1f80) != 0x1f80) mode |= X86_MODE_FPTRAP;
    if (x->efer & EFER_SCE) mode |= X86_MODE_SCE;
    if (x->dr[7] & 0xff) mode |= X86_MODE_BREAK;
    if ((cr4 & CR4_UMIP) && cpl > 0) mode |= X86_MODE_UMIP;
    x->df = eflags & X86_EFLAGS_DF ? -1 : 1;
    x->cpu.mode = mode | base << 32;
}

uint32_t x86_get_eflags(const X86Cpu *x)
{
    return x->eflags | vit_flags_unpack(x->flags);
}

void x86_set_eflags(X86Cpu *x, uint32_t value, uint32_t mask)
{
    enum { ARITHMETIC = 0x8d5 };
    uint32_t old = x86_get_eflags(x);
    uint32_t now = (old & ~mask) | (value & mask);

    x->flags = vit_flags_pack(now & ARITHMETIC);
    x->eflags = (now & ~(uint32_t)ARITHMETIC) | 2;
    x86_update_mode(x);
    if (now & ~old & X86_EFLAGS_IF) x86_recheck_lines(x);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

void x86_set_line(X86Cpu *x, uint32_t line, bool level)
{
    if (!level) {
        __atomic_fetch_and(&x->lines, ~line, __ATOMIC_SEQ_CST);
        return;
    }
    if ((__atomic_fetch_or(&x->lines, line, __ATOMIC_SEQ_CST) & line) != line)
        vit_cpu_request(&x->cpu, VIT_EXIT_INTERRUPT);
}

void x86_sipi(X86Cpu *x, uint8_t vector)
{
    __atomic_store_n(&x->sipi_vector, vector, __ATOMIC_RELEASE);
    x86_set_line(x, X86_LINE_SIPI, true);
}

void x86_ask_deliver(X86Cpu *x)
{
    __atomic_fetch_or(&x->cpu.exit_request, VIT_EXIT_INTERRUPT, __ATOMIC_RELAXED);
}

void x86_recheck_lines(X86Cpu *x)
{
    if (__atomic_load_n(&x->lines, __ATOMIC_RELAXED) || x->pending_vector >= 0) x86_ask_deliver(x);
}

/* ---- Exceptions ------------------------------------------------------------------------------ */

static unsigned class_of(int vector)
{
    switch (vector) {
    case X86_DE:
    case X86_TS:
    case X86_NP:
    case X86_SSF:
    case X86_GP: return CLASS_CONTRIBUTORY;
    case X86_PF: return CLASS_PAGE_FAULT;
    case X86_DF: return CLASS_DOUBLE_FAULT;
    default: return CLASS_BENIGN;
    }
}

/* SDM vol. 3A, table 7-5 */
void x86_record(X86Cpu *x, int vector, bool has_error, uint32_t error)
{
    unsigned first = x->delivering, second = class_of(vector);

    if (first == CLASS_DOUBLE_FAULT && second >= CLASS_CONTRIBUTORY) {
        vit_log(VIT_LOG_INT | VIT_LOG_RESET,
                "cpu %u: triple fault at %04x:%016" G_GINT64_MODIFIER "x\n", x->cpu.index,
                x->seg[X86_CS].selector, x->rip);
        x->shutdown = true;
        x->cpu.halted = 1;
        x->pending_vector = -1;
        x->delivering = 0;
        vit_system_request(x->cpu.sys, VIT_REQUEST_RESET, 0, _("triple fault"));
        return;
    }
    if ((first == CLASS_CONTRIBUTORY && second == CLASS_CONTRIBUTORY) ||
        (first == CLASS_PAGE_FAULT && second >= CLASS_CONTRIBUTORY)) {
        vector = X86_DF;
        has_error = true;
        error = 0;
    }
    x->pending_vector = vector;
    x->pending_has_error = has_error;
    x->pending_error = error;
    x->pending_kind = X86_EVENT_FAULT;
}

void x86_raise(X86Cpu *x, int vector)
{
    x86_record(x, vector, false, 0);
    vit_cpu_unwind(&x->cpu);
}

void x86_raise_error(X86Cpu *x, int vector, uint32_t error)
{
    x86_record(x, vector, true, error);
    vit_cpu_unwind(&x->cpu);
}

void x86_fault_selector(X86Cpu *x, int vector, unsigned selector)
{
    x86_raise_error(x, vector, (selector & 0xfffc) | x86_ext(x));
}

void x86_require_cpl0(X86Cpu *x)
{
    if (x86_cpl(x) != 0) x86_raise_error(x, X86_GP, 0);
}

uint64_t x86_h_raise(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (b) x86_raise_error(x, (int)a, (uint32_t)b - 1);
    x86_raise(x, (int)a);
}
DEFINE_HELPER(x86_h_raise, VIT_HELPER_ALL);

/* ---- Life ------------------------------------------------------------------------------------ */

/* After power-on (init false) or INIT: SDM vol. 3A, table 10-1. */
void x86_init_reset(X86Cpu *x, bool init)
{
    static const uint8_t data[] = { X86_ES, X86_SS, X86_DS, X86_FS, X86_GS };
    uint32_t signature[4];

    memset(x->gpr, 0, sizeof x->gpr);
    x86_cpuid(x, 1, 0, signature);
    x->gpr[X86_RDX] = signature[0];
    x->rip = 0xfff0;
    x->eflags = 2;
    x->flags = vit_flags_pack(0);
    for (size_t i = 0; i < G_N_ELEMENTS(data); i++)
        x->seg[data[i]] = (X86Segment){ .attr = X86_ATTR_P | X86_ATTR_S | 3, .limit = 0xffff };
    x->seg[X86_CS] = (X86Segment){ .selector = 0xf000,
                                   .attr = X86_ATTR_P | X86_ATTR_S | 0xb,
                                   .limit = 0xffff,
                                   .base = 0xffff0000 };
    x->seg[X86_LDTR] = (X86Segment){ .attr = X86_ATTR_P | TYPE_LDT, .limit = 0xffff };
    x->seg[X86_TR] = (X86Segment){ .attr = X86_ATTR_P | TYPE_TSS32_BUSY, .limit = 0xffff };
    x->gdt.base = x->idt.base = 0;
    x->gdt.limit = x->idt.limit = 0xffff;
    x->cr0 = (init ? x->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW) | CR0_ET;
    x->cr2 = x->cr3 = x->cr4 = x->cr8 = 0;
    x->efer = 0;
    memset(x->dr, 0, sizeof x->dr);
    x->dr[6] = 0xffff0ff0;
    x->dr[7] = 0x400;
    memset(x->pdpte, 0, sizeof x->pdpte);
    x->pending_vector = -1;
    x->delivering = 0;
    x->nmi_blocked = x->in_smm = x->shadow_block = x->shutdown = x->no_step = false;
    x->db_hits = 0;
    x->cpu.halted = 0;
    if (init) {
        vit_tlb_flush(&x->cpu);
        x86_update_mode(x);
        return;
    }
    memset(x->xmm, 0, sizeof x->xmm);
    memset(x->st, 0, sizeof x->st);
    x->mxcsr = 0x1f80;
    x->fcw = 0x40;
    x->fsw = x->fp_op = x->fp_cs = x->fp_ds = 0;
    x->fp_top = 0;
    x->fp_tag = 0xff;
    x->fp_ip = x->fp_dp = 0;
    x->star = x->lstar = x->cstar = x->fmask = x->kernel_gs_base = 0;
    x->sysenter_cs = x->sysenter_esp = x->sysenter_eip = 0;
    x->tsc_aux = x->tsc_adjust = 0;
    x->tsc_offset = 0;
    x->tsc_offset = -x86_tsc(x);
    x->pat = 0x0007040600070406;
    x->misc_enable = 1; /* fast strings */
    x->xcr0 = 1;
    x->mtrr_def = 0;
    memset(x->mtrr_fixed, 0, sizeof x->mtrr_fixed);
    memset(x->mtrr_base, 0, sizeof x->mtrr_base);
    memset(x->mtrr_mask, 0, sizeof x->mtrr_mask);
    x->mcg_status = 0;
    x->spec_ctrl = 0;
    x->smbase = 0x30000;
    vit_tlb_flush(&x->cpu);
    x86_update_mode(x);
}

static void reset(VitCpu *cpu)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x86_init_reset(x, false);
    __atomic_store_n(&x->lines, 0, __ATOMIC_SEQ_CST);
    x->wait_sipi = cpu->index != 0;
    cpu->halted = x->wait_sipi;
}

static void init(VitCpu *cpu)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x->apic_id = cpu->index;
    x->n_cpus = 1;
    x->tsc_khz = 1000000;
    x->pending_vector = -1;
    if (!x86_cpu_set_model(x, "max", NULL)) g_assert_not_reached(); /* a model of our own table */
}

static void finish(VitCpu *cpu) {}

static unsigned code_mmu(const VitCpu *cpu)
{
    return cpu->mode & X86_MODE_CPL3 ? X86_MMU_USER : X86_MMU_KERNEL;
}

static void dump_segment(GString *s, const char *name, const X86Segment *seg)
{
    g_string_append_printf(s, "%-4s %04x base %016" G_GINT64_MODIFIER "x limit %08x attr %04x\n",
                           name, seg->selector, seg->base, seg->limit, seg->attr);
}

static char *dump(VitCpu *cpu)
{
    static const char gpr[16][4] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                     "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15" };
    static const char seg[8][5] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };
    const X86Cpu *x = (const X86Cpu *)cpu;
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(s, "%-3s %016" G_GINT64_MODIFIER "x%c", gpr[i], x->gpr[i],
                               i % 4 == 3 ? '\n' : ' ');
    g_string_append_printf(s, "RIP %016" G_GINT64_MODIFIER "x EFLAGS %08x CPL %u%s%s\n", x->rip,
                           x86_get_eflags(x), x86_cpl(x), cpu->halted ? " halted" : "",
                           x->shutdown ? " shutdown" : "");
    for (unsigned i = 0; i < 8; i++) dump_segment(s, seg[i], &x->seg[i]);
    g_string_append_printf(s,
                           "GDT  base %016" G_GINT64_MODIFIER "x limit %04x\n"
                           "IDT  base %016" G_GINT64_MODIFIER "x limit %04x\n",
                           x->gdt.base, x->gdt.limit, x->idt.base, x->idt.limit);
    g_string_append_printf(s,
                           "CR0 %08x CR2 %016" G_GINT64_MODIFIER "x CR3 %016" G_GINT64_MODIFIER
                           "x CR4 %08x EFER %04x\n",
                           (unsigned)x->cr0, x->cr2, x->cr3, (unsigned)x->cr4, (unsigned)x->efer);
    g_string_append_printf(
        s,
        "DR0 %016" G_GINT64_MODIFIER "x DR1 %016" G_GINT64_MODIFIER "x DR2 %016" G_GINT64_MODIFIER
        "x DR3 %016" G_GINT64_MODIFIER "x DR6 %08x DR7 %08x\n",
        x->dr[0], x->dr[1], x->dr[2], x->dr[3], (unsigned)x->dr[6], (unsigned)x->dr[7]);
    g_string_append_printf(s, "FCW %04x FSW %04x TOP %u TAG %02x MXCSR %08x\n", x->fcw, x->fsw,
                           x->fp_top, x->fp_tag, x->mxcsr);
    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(s, "XMM%-2u %016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x%c",
                               i, x->xmm[i].u64[1], x->xmm[i].u64[0], i % 2 ? '\n' : ' ');
    return g_string_free(s, FALSE);
}

#define GPR(n) (offsetof(X86Cpu, gpr) + 8 * (n))
static const uint32_t pinned[] = {
    GPR(X86_RSP), GPR(X86_RAX), GPR(X86_RDX), GPR(X86_RCX), GPR(X86_RDI), GPR(X86_RSI),
    GPR(X86_RBX), GPR(X86_RBP), GPR(8),       GPR(12),      GPR(9),       GPR(13),
    GPR(10),      GPR(14),      GPR(11),      GPR(15),
};

const VitIsa vit_isa_x86 = {
    .name = "x86",
    .cpu_size = sizeof(X86Cpu),
    .pc_offset = offsetof(X86Cpu, rip),
    .flags_offset = offsetof(X86Cpu, flags),
    .mxcsr_offset = offsetof(X86Cpu, mxcsr),
    .pinned = pinned,
    .n_pinned = G_N_ELEMENTS(pinned),
    .n_mmu_modes = 3,
    .init = init,
    .finish = finish,
    .reset = reset,
    .code_mmu = code_mmu,
    .tlb_fill = x86_tlb_fill,
    .deliver = x86_deliver,
    .has_work = x86_has_work,
    .translate = x86_translate,
    .disassemble = x86_disassemble,
    .dump = dump,
};
