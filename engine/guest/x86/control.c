/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/control.c - control registers, table registers, flags, HLT
 * (Intel SDM vol. 3A, 2.5; vol. 2)
 *
 * Cache control (CD, NW, WBINVD) has no effect. */
#include "engine/guest/x86/cpu-private.h"

#include <string.h>

/* ---- CR0 CR3 CR4 CR8 XCR0 -------------------------------------------------------------------- */

static uint32_t cr4_valid(const X86Cpu *x)
{
    static const struct {
        X86Feature feature;
        uint32_t bits;
    } rows[] = {
        { X86_FEATURE_TSC, CR4_TSD },           { X86_FEATURE_DE, CR4_DE },
        { X86_FEATURE_PSE, CR4_PSE },           { X86_FEATURE_PAE, CR4_PAE },
        { X86_FEATURE_MCE, CR4_MCE },           { X86_FEATURE_PGE, CR4_PGE },
        { X86_FEATURE_FXSR, CR4_OSFXSR },       { X86_FEATURE_SSE, CR4_OSXMMEXCPT },
        { X86_FEATURE_UMIP, CR4_UMIP },         { X86_FEATURE_LA57, CR4_LA57 },
        { X86_FEATURE_FSGSBASE, CR4_FSGSBASE }, { X86_FEATURE_PCID, CR4_PCIDE },
        { X86_FEATURE_XSAVE, CR4_OSXSAVE },     { X86_FEATURE_SMEP, CR4_SMEP },
        { X86_FEATURE_SMAP, CR4_SMAP },
    };
    uint32_t valid = CR4_PCE;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (x86_has(x, rows[i].feature)) valid |= rows[i].bits;
    return valid;
}

[[noreturn]] static void general_protection(X86Cpu *x)
{
    x86_raise_error(x, X86_GP, 0);
}

/* Real mode knows no null segments: they become ordinary ones. */
static void leave_protected_mode(X86Cpu *x)
{
    for (unsigned n = X86_ES; n <= X86_GS; n++) {
        if (!(x->seg[n].attr & X86_ATTR_UNUSABLE)) continue;
        x->seg[n].attr = X86_ATTR_P | X86_ATTR_S | 3;
        x->seg[n].limit = 0xffff;
    }
}

static void write_cr0(X86Cpu *x, uint64_t value)
{
    enum { KNOWN = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD };
    uint64_t old = x->cr0, changed;

    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
        ((value & CR0_NW) && !(value & CR0_CD)))
        general_protection(x);
    value = (value & (KNOWN | CR0_PG)) | CR0_ET;
    changed = value ^ old;
    if ((changed & CR0_PG) && (value & CR0_PG)) {
        if (x->efer & EFER_LME) {
            if (!(x->cr4 & CR4_PAE) || (x->seg[X86_CS].attr & X86_ATTR_L)) general_protection(x);
            x->efer |= EFER_LMA;
        } else if ((x->cr4 & CR4_PAE) && !x86_load_pdptes(x, x->cr3)) {
            general_protection(x);
        }
    } else if (changed & CR0_PG) {
        if (x86_long64(x) || (x->cr4 & CR4_PCIDE)) general_protection(x);
        x->efer &= ~(uint64_t)EFER_LMA;
    }
    if (changed & old & CR0_PE) leave_protected_mode(x);
    x->cr0 = value;
    if (changed & (CR0_PG | CR0_WP | CR0_PE)) vit_tlb_flush(&x->cpu);
    x86_update_mode(x);
}

static void write_cr3(X86Cpu *x, uint64_t value)
{
    if (x86_lma(x)) {
        if (x->cr4 & CR4_PCIDE)
            value &= ~(UINT64_C(1) << 63); /* keeping the TLB is allowed, not required */
        if (value >> X86_PHYS_BITS) general_protection(x);
    } else {
        value = (uint32_t)value;
        if ((x->cr0 & CR0_PG) && (x->cr4 & CR4_PAE) && !x86_load_pdptes(x, value))
            general_protection(x);
    }
    x->cr3 = value;
    vit_tlb_flush_local(&x->cpu);
}

static void write_cr4(X86Cpu *x, uint64_t value)
{
    enum { TRANSLATION = CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP };
    uint64_t changed = x->cr4 ^ value;

    if (value & ~(uint64_t)cr4_valid(x)) general_protection(x);
    if (x86_lma(x) && (!(value & CR4_PAE) || (changed & CR4_LA57))) general_protection(x);
    if ((changed & value & CR4_PCIDE) && (!x86_lma(x) || (x->cr3 & 0xfff))) general_protection(x);
    if ((changed & CR4_PAE) && (value & CR4_PAE) && (x->cr0 & CR0_PG) &&
        !x86_load_pdptes(x, x->cr3))
        general_protection(x);
    x->cr4 = value;
    if (changed & TRANSLATION) vit_tlb_flush(&x->cpu);
    x86_update_mode(x);
}

uint64_t x86_h_read_cr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (a != 0 && a != 2 && a != 3 && a != 4 && a != 8) x86_raise(x, X86_UD);
    x86_require_cpl0(x);
    switch (a) {
    case 0: return x->cr0;
    case 2: return x->cr2;
    case 3: return x->cr3;
    case 4: return x->cr4;
    default: return x->ops && x->ops->get_cr8 ? x->ops->get_cr8(x->ops_opaque) : x->cr8;
    }
}
DEFINE_HELPER(x86_h_read_cr, VIT_HELPER_ALL);

uint64_t x86_h_write_cr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (a != 0 && a != 2 && a != 3 && a != 4 && a != 8) x86_raise(x, X86_UD);
    x86_require_cpl0(x);
    switch (a) {
    case 0: write_cr0(x, b); break;
    case 2: x->cr2 = b; break;
    case 3: write_cr3(x, b); break;
    case 4: write_cr4(x, b); break;
    default:
        if (b > 15) general_protection(x);
        x->cr8 = b;
        if (x->ops && x->ops->set_cr8) x->ops->set_cr8(x->ops_opaque, (uint8_t)b);
        x86_recheck_lines(x);
        break;
    }
    return 0;
}
DEFINE_HELPER(x86_h_write_cr, VIT_HELPER_ALL);

uint64_t x86_h_clts(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x86_require_cpl0(x);
    x->cr0 &= ~(uint64_t)CR0_TS;
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_clts, VIT_HELPER_ALL);

uint64_t x86_h_lmsw(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x86_require_cpl0(x);
    write_cr0(x, (x->cr0 & ~UINT64_C(0xe)) | (a & 0xf) | (x->cr0 & CR0_PE));
    return 0;
}
DEFINE_HELPER(x86_h_lmsw, VIT_HELPER_ALL);

uint64_t x86_h_xgetbv(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t n = (uint32_t)x->gpr[X86_RCX];

    if (!(x->cr4 & CR4_OSXSAVE)) x86_raise(x, X86_UD);
    /* Number 1 gives the components in use: both may always be. */
    if (n > 1 || (n == 1 && !x86_has(x, X86_FEATURE_XGETBV1))) general_protection(x);
    x->gpr[X86_RAX] = (uint32_t)x->xcr0;
    x->gpr[X86_RDX] = x->xcr0 >> 32;
    return 0;
}
DEFINE_HELPER(x86_h_xgetbv, VIT_HELPER_ALL);

uint64_t x86_h_xsetbv(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint64_t value = (uint32_t)x->gpr[X86_RAX] | x->gpr[X86_RDX] << 32;

    if (!(x->cr4 & CR4_OSXSAVE)) x86_raise(x, X86_UD);
    x86_require_cpl0(x);
    if ((uint32_t)x->gpr[X86_RCX] != 0 || !(value & 1) || (value & ~UINT64_C(3)))
        general_protection(x);
    x->xcr0 = value;
    return 0;
}
DEFINE_HELPER(x86_h_xsetbv, VIT_HELPER_ALL);

/* ---- TLB ------------------------------------------------------------------------------------- */

uint64_t x86_h_invlpg(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_require_cpl0((X86Cpu *)cpu);
    vit_tlb_flush_page(cpu, a);
    return 0;
}
DEFINE_HELPER(x86_h_invlpg, VIT_HELPER_ALL);

uint64_t x86_h_invpcid(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint64_t descriptor[2];

    x86_require_cpl0(x);
    vit_cpu_load_bytes(cpu, b, descriptor, 16, X86_MODE_MMU(cpu->mode));
    if (a > 3 || (a < 2 && (descriptor[0] >> 12 || (!(x->cr4 & CR4_PCIDE) && descriptor[0]))) ||
        (a == 0 && !x86_is_canonical(x, descriptor[1])))
        general_protection(x);
    if (a == 0) vit_tlb_flush_page(cpu, descriptor[1]);
    else if (a == 2) vit_tlb_flush(cpu);
    else vit_tlb_flush_local(cpu);
    return 0;
}
DEFINE_HELPER(x86_h_invpcid, VIT_HELPER_ALL);

uint64_t x86_h_wbinvd(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_require_cpl0((X86Cpu *)cpu);
    return 0;
}
DEFINE_HELPER(x86_h_wbinvd, VIT_HELPER_ALL);

/* ---- GDTR, IDTR ------------------------------------------------------------------------------ */

typedef typeof(((X86Cpu *)NULL)->gdt) Table;

static void load_table(X86Cpu *x, Table *table, uint64_t linear, unsigned size)
{
    uint8_t raw[10] = { 0 };
    uint64_t base;

    x86_require_cpl0(x);
    vit_cpu_load_bytes(&x->cpu, linear, raw, size == 8 ? 10 : 6, X86_MODE_MMU(x->cpu.mode));
    memcpy(&base, raw + 2, 8);
    if (size == 2) base &= 0xffffff;
    else if (size == 8 && !x86_is_canonical(x, base)) general_protection(x);
    table->limit = raw[0] | (uint32_t)raw[1] << 8;
    table->base = base;
}

static void store_table(X86Cpu *x, const Table *table, uint64_t linear, unsigned size)
{
    uint8_t raw[10];

    if ((x->cr4 & CR4_UMIP) && x86_cpl(x) > 0) general_protection(x);
    raw[0] = (uint8_t)table->limit;
    raw[1] = (uint8_t)(table->limit >> 8);
    memcpy(raw + 2, &table->base, 8);
    vit_cpu_store_bytes(&x->cpu, linear, raw, 2 + size, X86_MODE_MMU(x->cpu.mode));
}

uint64_t x86_h_lgdt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    load_table(x, &x->gdt, a, (unsigned)b);
    return 0;
}
DEFINE_HELPER(x86_h_lgdt, VIT_HELPER_ALL);

uint64_t x86_h_lidt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    load_table(x, &x->idt, a, (unsigned)b);
    return 0;
}
DEFINE_HELPER(x86_h_lidt, VIT_HELPER_ALL);

uint64_t x86_h_sgdt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    store_table(x, &x->gdt, a, b == 8 ? 8 : 4);
    return 0;
}
DEFINE_HELPER(x86_h_sgdt, VIT_HELPER_ALL);

uint64_t x86_h_sidt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    store_table(x, &x->idt, a, b == 8 ? 8 : 4);
    return 0;
}
DEFINE_HELPER(x86_h_sidt, VIT_HELPER_ALL);

/* ---- Flags, HLT ------------------------------------------------------------------------------ */

/* CLI and STI without PVI and VME: IOPL decides, in virtual-8086 mode too. */
static void require_iopl(X86Cpu *x)
{
    if (x86_cpl(x) > x86_iopl(x)) general_protection(x);
}

uint64_t x86_h_cli(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    require_iopl(x);
    x->eflags &= ~(uint32_t)X86_EFLAGS_IF;
    return 0;
}
DEFINE_HELPER(x86_h_cli, VIT_HELPER_ALL);

uint64_t x86_h_sti(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    require_iopl(x);
    if (!(x->eflags & X86_EFLAGS_IF)) {
        x->eflags |= X86_EFLAGS_IF;
        x->shadow_block = true;
        x86_update_mode(x);
    }
    return 0;
}
DEFINE_HELPER(x86_h_sti, VIT_HELPER_ALL);

uint64_t x86_h_end_shadow(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    x->shadow_block = false;
    x86_update_mode(x);
    x86_recheck_lines(x);
    return 0;
}
DEFINE_HELPER(x86_h_end_shadow, VIT_HELPER_ALL);

uint64_t x86_h_pushf(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if ((x->eflags & X86_EFLAGS_VM) && x86_iopl(x) < 3) general_protection(x);
    return x86_get_eflags(x) & ~(uint32_t)(X86_EFLAGS_VM | X86_EFLAGS_RF);
}
DEFINE_HELPER(x86_h_pushf, VIT_HELPER_ALL);

uint64_t x86_h_popf(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t mask = 0x8d5 | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT | X86_EFLAGS_RF |
                    X86_EFLAGS_AC | X86_EFLAGS_ID;
    unsigned cpl = x86_cpl(x);

    if ((x->eflags & X86_EFLAGS_VM) && x86_iopl(x) < 3) general_protection(x);
    if (cpl <= x86_iopl(x)) mask |= X86_EFLAGS_IF;
    if (cpl == 0) mask |= X86_EFLAGS_IOPL;
    if (b == 2) mask &= 0xffff;
    x86_set_eflags(x, (uint32_t)a & ~(uint32_t)X86_EFLAGS_RF, mask);
    return 0;
}
DEFINE_HELPER(x86_h_popf, VIT_HELPER_ALL);

uint64_t x86_h_set_ac(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (x86_cpl(x) > 0) x86_raise(x, X86_UD);
    x86_set_eflags(x, a ? X86_EFLAGS_AC : 0, X86_EFLAGS_AC);
    return 0;
}
DEFINE_HELPER(x86_h_set_ac, VIT_HELPER_ALL);

static void halt(X86Cpu *x, uint64_t next_rip)
{
    x->rip = next_rip;
    x->cpu.halted = 1;
    x->shadow_block = false; /* the wait is past the instruction */
    x86_update_mode(x);
    x86_ask_deliver(x); /* the run loop sees `halted` */
}

uint64_t x86_h_hlt(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_require_cpl0((X86Cpu *)cpu);
    halt((X86Cpu *)cpu, a);
    return 0;
}
DEFINE_HELPER(x86_h_hlt, VIT_HELPER_ALL);

/* No address is armed by MONITOR, so MWAIT falls through: the monitored store may already have
 * been. */
uint64_t x86_h_mwait(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (x86_cpl(x) > 0) x86_raise(x, X86_UD);
    x->rip = a;
    return 0;
}
DEFINE_HELPER(x86_h_mwait, VIT_HELPER_ALL);

uint64_t x86_h_monitor(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (x86_cpl(x) > 0) x86_raise(x, X86_UD);
    if ((uint32_t)x->gpr[X86_RCX] != 0) general_protection(x);
    return 0;
}
DEFINE_HELPER(x86_h_monitor, VIT_HELPER_ALL);

uint64_t x86_h_fwait(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if ((x->cr0 & (CR0_TS | CR0_MP)) == (CR0_TS | CR0_MP)) x86_raise(x, X86_NM);
    /* With CR0.NE clear the error would go through IRQ 13; it is raised as #MF as well. */
    if (x->fsw & 0x80) x86_raise(x, X86_MF);
    return 0;
}
DEFINE_HELPER(x86_h_fwait, VIT_HELPER_ALL);
