/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/msr.c - model-specific registers, TSC (Intel SDM vol. 4; AMD APM vol. 2,
 * appendix A)
 *
 * MTRRs and PAT keep what is written and have no effect.  An unknown number raises #GP(0).  No
 * performance counters, no debug store, no last-branch records. */
#include "engine/guest/x86/cpu-private.h"

#include "engine/core/log.h"

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49,
    MSR_UCODE_WRITE = 0x79,
    MSR_UCODE_REV = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MTRRCAP = 0xfe,
    MSR_ARCH_CAP = 0x10a,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_PERF_STATUS = 0x198,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_PHYS = 0x200,
    MSR_MTRR_FIX_64K = 0x250,
    MSR_MTRR_FIX_16K = 0x258,
    MSR_MTRR_FIX_4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF = 0x2ff,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
};
enum { /* from 0xc0000000 */
       EXT_EFER = 0x80,
       EXT_STAR,
       EXT_LSTAR,
       EXT_CSTAR,
       EXT_FMASK,
       EXT_FS_BASE = 0x100,
       EXT_GS_BASE,
       EXT_KERNEL_GS_BASE,
       EXT_TSC_AUX,
};
enum { /* AMD's, from 0xc0010000: present and zero */
       AMD_SYSCFG = 0x10,
       AMD_HWCR = 0x15,
       AMD_TOP_MEM = 0x1a,
       AMD_TOP_MEM2 = 0x1d,
       AMD_NB_CFG = 0x1f,
       AMD_INT_PENDING = 0x55,
       AMD_VM_CR = 0x114,
       AMD_LS_CFG = 0x1020,
       AMD_DE_CFG = 0x1029,
};
enum { N_MTRR = 8, UCODE_REVISION = 1 };

/* ---- TSC ------------------------------------------------------------------------------------- */

static uint64_t raw_tsc(const X86Cpu *x)
{
    return vit_muldiv64((uint64_t)vit_clock_now(x->cpu.sys->clock), (uint64_t)x->tsc_khz, 1000000);
}

uint64_t x86_tsc(const X86Cpu *x)
{
    return raw_tsc(x) + x->tsc_offset;
}

int64_t x86_tsc_to_ns(const X86Cpu *x, uint64_t tsc)
{
    uint64_t ticks = tsc - x->tsc_offset, khz = (uint64_t)x->tsc_khz;
    unsigned __int128 ns;

    if ((int64_t)ticks < 0) return 0;
    ns = ((unsigned __int128)ticks * 1000000 + khz - 1) / khz;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static void require_tsc(X86Cpu *x)
{
    if ((x->cr4 & CR4_TSD) && x86_cpl(x) > 0) x86_raise_error(x, X86_GP, 0);
}

uint64_t x86_h_rdtsc(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint64_t now;

    require_tsc(x);
    now = x86_tsc(x);
    x->gpr[X86_RAX] = (uint32_t)now;
    x->gpr[X86_RDX] = now >> 32;
    return 0;
}
DEFINE_HELPER(x86_h_rdtsc, VIT_HELPER_ALL);

uint64_t x86_h_rdtscp(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_h_rdtsc(cpu, 0, 0, 0, 0);
    ((X86Cpu *)cpu)->gpr[X86_RCX] = (uint32_t)((X86Cpu *)cpu)->tsc_aux;
    return 0;
}
DEFINE_HELPER(x86_h_rdtscp, VIT_HELPER_ALL);

uint64_t x86_h_rdpmc(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_raise_error((X86Cpu *)cpu, X86_GP, 0); /* there is no counter */
}
DEFINE_HELPER(x86_h_rdpmc, VIT_HELPER_ALL);

/* ---- MTRRs ----------------------------------------------------------------------------------- */

/* Storage of an MTRR, or NULL. */
static uint64_t *mtrr(X86Cpu *x, uint32_t msr)
{
    if (!x86_has(x, X86_FEATURE_MTRR)) return NULL;
    if (msr >= MSR_MTRR_PHYS && msr < MSR_MTRR_PHYS + 2 * N_MTRR)
        return msr & 1 ? &x->mtrr_mask[(msr - MSR_MTRR_PHYS) / 2]
                       : &x->mtrr_base[(msr - MSR_MTRR_PHYS) / 2];
    if (msr == MSR_MTRR_FIX_64K) return &x->mtrr_fixed[0];
    if (msr == MSR_MTRR_FIX_16K || msr == MSR_MTRR_FIX_16K + 1)
        return &x->mtrr_fixed[1 + msr - MSR_MTRR_FIX_16K];
    if (msr >= MSR_MTRR_FIX_4K && msr < MSR_MTRR_FIX_4K + 8)
        return &x->mtrr_fixed[3 + msr - MSR_MTRR_FIX_4K];
    return msr == MSR_MTRR_DEF ? &x->mtrr_def : NULL;
}

static bool memory_type_valid(unsigned type, bool pat)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool mtrr_valid(uint32_t msr, uint64_t value)
{
    if (msr >= MSR_MTRR_FIX_64K && msr < MSR_MTRR_DEF) {
        for (unsigned i = 0; i < 64; i += 8)
            if (!memory_type_valid(value >> i & 0xff, false)) return false;
        return true;
    }
    if (value >> X86_PHYS_BITS) return false;
    if (msr == MSR_MTRR_DEF)
        return !(value & ~UINT64_C(0xcff)) && memory_type_valid(value & 0xff, false);
    return msr & 1 ? !(value & 0x7ff) : !(value & 0xf00) && memory_type_valid(value & 0xff, false);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST);
}

static bool read_extended(X86Cpu *x, uint32_t n, uint64_t *value)
{
    switch (n) {
    case EXT_EFER: *value = x->efer; return true;
    case EXT_STAR: *value = x->star; return true;
    case EXT_LSTAR: *value = x->lstar; return true;
    case EXT_CSTAR: *value = x->cstar; return true;
    case EXT_FMASK: *value = x->fmask; return true;
    case EXT_FS_BASE: *value = x->seg[X86_FS].base; return true;
    case EXT_GS_BASE: *value = x->seg[X86_GS].base; return true;
    case EXT_KERNEL_GS_BASE: *value = x->kernel_gs_base; return true;
    case EXT_TSC_AUX: *value = x->tsc_aux; return x86_has(x, X86_FEATURE_RDTSCP);
    default: return false;
    }
}

static bool amd_register(const X86Cpu *x, uint32_t n)
{
    static const uint16_t known[] = { AMD_SYSCFG,   AMD_HWCR,   AMD_TOP_MEM,
                                      AMD_TOP_MEM2, AMD_NB_CFG, AMD_INT_PENDING,
                                      AMD_VM_CR,    AMD_LS_CFG, AMD_DE_CFG };

    for (size_t i = 0; x->amd && i < G_N_ELEMENTS(known); i++)
        if (known[i] == n) return true;
    return false;
}

static bool read_msr(X86Cpu *x, uint32_t msr, uint64_t *value)
{
    uint64_t *stored = mtrr(x, msr);

    *value = 0;
    if (stored) {
        *value = *stored;
        return true;
    }
    if (is_apic_msr(msr))
        return x->ops && x->ops->msr_read && x->ops->msr_read(x->ops_opaque, msr, value);
    if (msr >> 16 == 0xc000) return read_extended(x, msr & 0xffff, value);
    if (msr >> 16 == 0xc001) return amd_register(x, msr & 0xffff);
    switch (msr) {
    case 0:
    case 1: return true; /* P5_MC_ADDR, P5_MC_TYPE */
    case MSR_TSC: *value = x86_tsc(x); return true;
    case MSR_PLATFORM_ID: return !x->amd;
    case MSR_FEATURE_CONTROL: *value = 1; return !x->amd; /* locked, VMX off */
    case MSR_TSC_ADJUST: *value = x->tsc_adjust; return x86_has(x, X86_FEATURE_TSC_ADJUST);
    case MSR_SPEC_CTRL:
        *value = x->spec_ctrl;
        return x86_has(x, X86_FEATURE_SPEC_CTRL) || x86_has(x, X86_FEATURE_IBRS);
    case MSR_UCODE_REV:
        *value = x->amd ? UCODE_REVISION : (uint64_t)UCODE_REVISION << 32;
        return true;
    case MSR_PLATFORM_INFO: *value = (uint64_t)(x->tsc_khz / 100000) << 8; return !x->amd;
    case MSR_MTRRCAP: *value = N_MTRR | 1 << 8 | 1 << 10; return x86_has(x, X86_FEATURE_MTRR);
    case MSR_ARCH_CAP:
        *value = x->features[X86_WORD_ARCH_CAP];
        return x86_has(x, X86_FEATURE_ARCH_CAPABILITIES);
    case MSR_SYSENTER_CS: *value = x->sysenter_cs; return x86_has(x, X86_FEATURE_SEP);
    case MSR_SYSENTER_ESP: *value = x->sysenter_esp; return x86_has(x, X86_FEATURE_SEP);
    case MSR_SYSENTER_EIP: *value = x->sysenter_eip; return x86_has(x, X86_FEATURE_SEP);
    case MSR_MCG_CAP: return x86_has(x, X86_FEATURE_MCA); /* no banks */
    case MSR_MCG_STATUS: *value = x->mcg_status; return x86_has(x, X86_FEATURE_MCA);
    case MSR_PERF_STATUS: *value = (uint64_t)(x->tsc_khz / 100000) << 8; return !x->amd;
    case MSR_MISC_ENABLE: *value = x->misc_enable; return !x->amd;
    case MSR_DEBUGCTL: return true;
    case MSR_PAT: *value = x->pat; return x86_has(x, X86_FEATURE_PAT);
    default: return false;
    }
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool write_efer(X86Cpu *x, uint64_t value)
{
    uint64_t valid = 0, changed;

    if (x86_has(x, X86_FEATURE_SYSCALL)) valid |= EFER_SCE;
    if (x86_has(x, X86_FEATURE_LM)) valid |= EFER_LME | EFER_LMA;
    if (x86_has(x, X86_FEATURE_NX)) valid |= EFER_NXE;
    if (x86_has(x, X86_FEATURE_AUTO_IBRS)) valid |= EFER_AUTOIBRS;
    if (value & ~valid) return false;
    value = (value & ~(uint64_t)EFER_LMA) | (x->efer & EFER_LMA); /* LMA is read-only */
    changed = value ^ x->efer;
    if ((changed & EFER_LME) && (x->cr0 & CR0_PG)) return false;
    x->efer = value;
    if (changed & EFER_NXE) vit_tlb_flush(&x->cpu);
    x86_update_mode(x);
    return true;
}

static bool write_canonical(const X86Cpu *x, uint64_t *to, uint64_t value)
{
    if (!x86_is_canonical(x, value)) return false;
    *to = value;
    return true;
}

static bool write_extended(X86Cpu *x, uint32_t n, uint64_t value)
{
    switch (n) {
    case EXT_EFER: return write_efer(x, value);
    case EXT_STAR: x->star = value; return true;
    case EXT_LSTAR: return write_canonical(x, &x->lstar, value);
    case EXT_CSTAR: return write_canonical(x, &x->cstar, value);
    case EXT_FMASK: x->fmask = (uint32_t)value; return true;
    case EXT_FS_BASE: return write_canonical(x, &x->seg[X86_FS].base, value);
    case EXT_GS_BASE: return write_canonical(x, &x->seg[X86_GS].base, value);
    case EXT_KERNEL_GS_BASE: return write_canonical(x, &x->kernel_gs_base, value);
    case EXT_TSC_AUX:
        if (value >> 32 || !x86_has(x, X86_FEATURE_RDTSCP)) return false;
        x->tsc_aux = value;
        return true;
    default: return false;
    }
}

static bool write_pat(X86Cpu *x, uint64_t value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if (!memory_type_valid(value >> i & 0xff, true)) return false;
    x->pat = value;
    return x86_has(x, X86_FEATURE_PAT);
}

static bool write_msr(X86Cpu *x, uint32_t msr, uint64_t value)
{
    uint64_t *stored = mtrr(x, msr);

    if (stored) {
        if (!mtrr_valid(msr, value)) return false;
        *stored = value;
        return true;
    }
    if (is_apic_msr(msr)) {
        if (!x->ops || !x->ops->msr_write || !x->ops->msr_write(x->ops_opaque, msr, value))
            return false;
        if (msr == MSR_APIC_BASE) vit_tlb_flush(&x->cpu); /* the APIC page may have moved */
        x86_recheck_lines(x);
        return true;
    }
    if (msr >> 16 == 0xc000) return write_extended(x, msr & 0xffff, value);
    if (msr >> 16 == 0xc001)
        return amd_register(x, msr & 0xffff); /* ignored: chip-set and errata switches */
    switch (msr) {
    case 0:
    case 1: return true;
    case MSR_TSC: {
        uint64_t delta = value - x86_tsc(x);
        x->tsc_offset += delta;
        x->tsc_adjust += delta;
        return true;
    }
    case MSR_TSC_ADJUST:
        x->tsc_offset += value - x->tsc_adjust;
        x->tsc_adjust = value;
        return x86_has(x, X86_FEATURE_TSC_ADJUST);
    case MSR_SPEC_CTRL:
        if (value & ~UINT64_C(7) ||
            !(x86_has(x, X86_FEATURE_SPEC_CTRL) || x86_has(x, X86_FEATURE_IBRS)))
            return false;
        x->spec_ctrl = value;
        return true;
    case MSR_PRED_CMD: return x86_has(x, X86_FEATURE_SPEC_CTRL) || x86_has(x, X86_FEATURE_IBRS);
    case MSR_UCODE_WRITE: return true; /* an update that does not take: the revision stays */
    case MSR_UCODE_REV: return true; /* software clears it before CPUID */
    case MSR_SYSENTER_CS: x->sysenter_cs = (uint32_t)value; return x86_has(x, X86_FEATURE_SEP);
    case MSR_SYSENTER_ESP:
        return x86_has(x, X86_FEATURE_SEP) && write_canonical(x, &x->sysenter_esp, value);
    case MSR_SYSENTER_EIP:
        return x86_has(x, X86_FEATURE_SEP) && write_canonical(x, &x->sysenter_eip, value);
    case MSR_MCG_STATUS: x->mcg_status = 0; return x86_has(x, X86_FEATURE_MCA) && !value;
    case MSR_MISC_ENABLE: x->misc_enable = value; return !x->amd;
    case MSR_DEBUGCTL:
        if (value)
            vit_log(VIT_LOG_UNIMP,
                    "cpu %u: IA32_DEBUGCTL bits %" G_GINT64_MODIFIER "x are not modelled\n",
                    x->cpu.index, value);
        return true;
    case MSR_PAT: return write_pat(x, value);
    default: return false;
    }
}

uint64_t x86_h_rdmsr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t msr = (uint32_t)x->gpr[X86_RCX];
    uint64_t value;

    x86_require_cpl0(x);
    if (!read_msr(x, msr, &value)) {
        vit_log(VIT_LOG_UNIMP, "cpu %u: rdmsr %x\n", cpu->index, msr);
        x86_raise_error(x, X86_GP, 0);
    }
    x->gpr[X86_RAX] = (uint32_t)value;
    x->gpr[X86_RDX] = value >> 32;
    return 0;
}
DEFINE_HELPER(x86_h_rdmsr, VIT_HELPER_ALL);

uint64_t x86_h_wrmsr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t msr = (uint32_t)x->gpr[X86_RCX];
    uint64_t value = (uint32_t)x->gpr[X86_RAX] | x->gpr[X86_RDX] << 32;

    x86_require_cpl0(x);
    if (!write_msr(x, msr, value)) {
        vit_log(VIT_LOG_UNIMP, "cpu %u: wrmsr %x, %" G_GINT64_MODIFIER "x\n", cpu->index, msr,
                value);
        x86_raise_error(x, X86_GP, 0);
    }
    return 0;
}
DEFINE_HELPER(x86_h_wrmsr, VIT_HELPER_ALL);
