/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS
 * (Intel SDM vol. 2B; AMD APM vol. 2, 6.1) */
#include "engine/guest/x86/cpu-private.h"

enum {
    CODE = X86_ATTR_P | X86_ATTR_S | X86_ATTR_G | 0xb,
    DATA = X86_ATTR_P | X86_ATTR_S | X86_ATTR_G | X86_ATTR_DB | 3,
    DPL3 = 0x60
};

static void set_pair(X86Cpu *x, unsigned cs, unsigned ss, bool wide, unsigned dpl)
{
    x86_set_flat(x, X86_CS, cs, CODE | dpl << 5 | (wide ? X86_ATTR_L : X86_ATTR_DB));
    x86_set_flat(x, X86_SS, ss, DATA | dpl << 5);
}

uint64_t x86_h_syscall(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = x->star >> 32 & 0xfffc;

    if (!(x->efer & EFER_SCE) || (!x86_long64(x) && !x->amd)) x86_raise(x, X86_UD);
    x->no_step = (cpu->mode & (X86_MODE_TF | X86_MODE_BREAK)) && (x->fmask & X86_EFLAGS_TF);
    if (x86_lma(x)) {
        uint32_t flags = x86_get_eflags(x) & ~(uint32_t)X86_EFLAGS_RF;
        x->gpr[X86_RCX] = a;
        x->gpr[11] = flags;
        x->rip = x86_long64(x) ? x->lstar : x->cstar;
        flags &= ~(uint32_t)x->fmask;
        x->flags = vit_flags_pack(flags & 0x8d5);
        x->eflags = (flags & ~0x8d5u) | 2;
        set_pair(x, selector, selector + 8, true, 0);
    } else {
        x->gpr[X86_RCX] = (uint32_t)a;
        x->rip = (uint32_t)x->star;
        x->eflags &= ~(uint32_t)(X86_EFLAGS_VM | X86_EFLAGS_IF | X86_EFLAGS_RF);
        set_pair(x, selector, selector + 8, false, 0);
    }
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_syscall, VIT_HELPER_ALL);

uint64_t x86_h_sysret(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = x->star >> 48 & 0xfffc;
    bool wide = a == 8;

    if (!(x->efer & EFER_SCE) || (!x86_long64(x) && !x->amd)) x86_raise(x, X86_UD);
    x86_require_cpl0(x);
    if (wide && !x86_is_canonical(x, x->gpr[X86_RCX])) x86_raise_error(x, X86_GP, 0);
    x->rip = wide ? x->gpr[X86_RCX] : (uint32_t)x->gpr[X86_RCX];
    set_pair(x, (wide ? selector + 16 : selector) | 3, (selector + 8) | 3, wide, 3);
    if (x86_lma(x)) x86_set_eflags(x, (uint32_t)x->gpr[11], 0x3c7fd7 & ~(uint32_t)X86_EFLAGS_RF);
    else x86_set_eflags(x, X86_EFLAGS_IF, X86_EFLAGS_IF);
    return 0;
}
DEFINE_HELPER(x86_h_sysret, VIT_HELPER_ALL);

uint64_t x86_h_sysenter(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = x->sysenter_cs & 0xfffc;
    bool wide = x86_lma(x);

    if (wide && x->amd) x86_raise(x, X86_UD);
    if (!(x->cr0 & CR0_PE) || !selector) x86_raise_error(x, X86_GP, 0);
    x->eflags &= ~(uint32_t)(X86_EFLAGS_VM | X86_EFLAGS_IF | X86_EFLAGS_RF);
    x->rip = wide ? x->sysenter_eip : (uint32_t)x->sysenter_eip;
    x->gpr[X86_RSP] = wide ? x->sysenter_esp : (uint32_t)x->sysenter_esp;
    set_pair(x, selector, selector + 8, wide, 0);
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_sysenter, VIT_HELPER_ALL);

uint64_t x86_h_sysexit(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned selector = x->sysenter_cs & 0xfffc;
    bool wide = a == 8;

    if (x86_lma(x) && x->amd) x86_raise(x, X86_UD);
    if (!(x->cr0 & CR0_PE) || !selector || x86_cpl(x) != 0) x86_raise_error(x, X86_GP, 0);
    if (wide && (!x86_is_canonical(x, x->gpr[X86_RCX]) || !x86_is_canonical(x, x->gpr[X86_RDX])))
        x86_raise_error(x, X86_GP, 0);
    x->rip = wide ? x->gpr[X86_RDX] : (uint32_t)x->gpr[X86_RDX];
    x->gpr[X86_RSP] = wide ? x->gpr[X86_RCX] : (uint32_t)x->gpr[X86_RCX];
    set_pair(x, (selector + (wide ? 32 : 16)) | 3, (selector + (wide ? 40 : 24)) | 3, wide, 3);
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_sysexit, VIT_HELPER_ALL);

uint64_t x86_h_swapgs(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint64_t base = x->seg[X86_GS].base;

    x86_require_cpl0(x);
    x->seg[X86_GS].base = x->kernel_gs_base;
    x->kernel_gs_base = base;
    return 0;
}
DEFINE_HELPER(x86_h_swapgs, VIT_HELPER_ALL);
