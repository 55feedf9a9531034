/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/state.c - what of a processor is saved: architectural state and pending events
 * */
#include "engine/guest/x86/cpu-private.h"

static const VitField segment_fields[] = {
    VIT_UINT(X86Segment, selector),
    VIT_UINT(X86Segment, attr),
    VIT_UINT(X86Segment, limit),
    VIT_UINT(X86Segment, base),
    { VIT_END },
};

const VitField x86_state_fields[] = {
    VIT_UINT(X86Cpu, cpu.halted, .max = 1),
    VIT_UINTS(X86Cpu, gpr),
    VIT_UINT(X86Cpu, rip),
    VIT_UINT(X86Cpu, flags),
    VIT_UINT(X86Cpu, eflags),
    VIT_STRUCTS(X86Cpu, seg, segment_fields),
    VIT_BYTES(X86Cpu, xmm),
    VIT_UINT(X86Cpu, mxcsr, .max = 0xffff),
    VIT_BYTES(X86Cpu, st),
    VIT_UINT(X86Cpu, fcw),
    VIT_UINT(X86Cpu, fsw),
    VIT_UINT(X86Cpu, fp_top, .max = 7),
    VIT_UINT(X86Cpu, fp_tag),
    VIT_UINT(X86Cpu, fp_op),
    VIT_UINT(X86Cpu, fp_ip),
    VIT_UINT(X86Cpu, fp_dp),
    VIT_UINT(X86Cpu, fp_cs),
    VIT_UINT(X86Cpu, fp_ds),
    VIT_UINT(X86Cpu, cr0),
    VIT_UINT(X86Cpu, cr2),
    VIT_UINT(X86Cpu, cr3),
    VIT_UINT(X86Cpu, cr4),
    VIT_UINT(X86Cpu, cr8, .max = 15),
    VIT_UINTS(X86Cpu, dr),
    VIT_UINT(X86Cpu, efer),
    VIT_UINT(X86Cpu, star),
    VIT_UINT(X86Cpu, lstar),
    VIT_UINT(X86Cpu, cstar),
    VIT_UINT(X86Cpu, fmask),
    VIT_UINT(X86Cpu, kernel_gs_base),
    VIT_UINT(X86Cpu, sysenter_cs),
    VIT_UINT(X86Cpu, sysenter_esp),
    VIT_UINT(X86Cpu, sysenter_eip),
    VIT_UINT(X86Cpu, tsc_offset),
    VIT_UINT(X86Cpu, tsc_aux),
    VIT_UINT(X86Cpu, tsc_adjust),
    VIT_UINT(X86Cpu, pat),
    VIT_UINT(X86Cpu, misc_enable),
    VIT_UINT(X86Cpu, xcr0, .max = 3),
    VIT_UINT(X86Cpu, mtrr_def),
    VIT_UINTS(X86Cpu, mtrr_fixed),
    VIT_UINTS(X86Cpu, mtrr_base),
    VIT_UINTS(X86Cpu, mtrr_mask),
    VIT_UINT(X86Cpu, mcg_status),
    VIT_UINT(X86Cpu, smbase),
    VIT_UINT(X86Cpu, spec_ctrl),
    VIT_UINTS(X86Cpu, pdpte),
    VIT_UINT(X86Cpu, gdt.base),
    VIT_UINT(X86Cpu, gdt.limit),
    VIT_UINT(X86Cpu, idt.base),
    VIT_UINT(X86Cpu, idt.limit),
    VIT_UINT(X86Cpu, pending_vector),
    VIT_UINT(X86Cpu, pending_error),
    VIT_UINT(X86Cpu, pending_kind, .max = X86_EVENT_NMI),
    VIT_BOOL(X86Cpu, pending_has_error, false),
    VIT_UINT(X86Cpu, delivering, .max = 4),
    VIT_BOOL(X86Cpu, nmi_blocked, false),
    VIT_BOOL(X86Cpu, shadow_block, false),
    VIT_BOOL(X86Cpu, shutdown, false),
    VIT_BOOL(X86Cpu, no_step, false),
    VIT_UINT(X86Cpu, db_hits, .max = 15),
    VIT_UINT(X86Cpu, lines, .max = 31),
    VIT_UINT(X86Cpu, sipi_vector),
    VIT_BOOL(X86Cpu, wait_sipi, false),
    { VIT_END },
};

void x86_state_loaded(X86Cpu *x)
{
    if (x->pending_vector > 255) x->pending_vector = -1;
    x->mxcsr &= 0xffff;
    x->eflags = (x->eflags & 0x3f7700) | 2;
    vit_tlb_flush(&x->cpu);
    x86_update_mode(x);
    x86_ask_deliver(x);
}
