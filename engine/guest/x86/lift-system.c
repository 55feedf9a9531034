/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-system.c - segments, control registers, ports, MSRs (Intel SDM vol. 2 and
 * 3)
 *
 * Privilege is checked in the helpers unless said here. */
#include "engine/guest/x86/helpers.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL

static VitVal call0(X86Lift *l, const VitHelper *h, VitType type)
{
    return x86_call(l, h, type, NONE, NONE, NONE, NONE);
}

static VitVal call1(X86Lift *l, const VitHelper *h, VitType type, VitVal a)
{
    return x86_call(l, h, type, a, NONE, NONE, NONE);
}

static VitVal wide(X86Lift *l, VitVal v)
{
    return vit_ir_zext(l->ir, VIT_I64, v);
}

/* ---- Segment registers ----------------------------------------------------------------------- */

static bool is_real(const X86Lift *l)
{
    return !(l->mode & X86_MODE_PE) && (l->mode & X86_MODE_LIMITS);
}

/* After it only flags and register writes may follow.  True when the mode may have changed. */
static bool load_segment(X86Lift *l, unsigned seg, VitVal selector)
{
    if (is_real(l) &&
        seg != X86_SS) { /* with MODE_LIMITS bases are always added: no mode to update */
        uint32_t at = seg * (uint32_t)sizeof(X86Segment);
        vit_ir_put(l->ir, X86_SLOT(seg[0].selector) + at, selector);
        vit_ir_put(l->ir, X86_SLOT(seg[0].base) + at,
                   vit_ir_bini(l->ir, VIT_IR_SHL, wide(l, selector), 4));
        return false;
    }
    x86_call(l, &helper_x86_h_load_seg, VIT_NONE, x86_k(l, seg), wide(l, selector), NONE, NONE);
    return true;
}

static void after_segment(X86Lift *l, bool changed)
{
    if (changed) x86_exit(l);
}

void x86_lift_mov_seg(X86Lift *l)
{
    unsigned seg = l->insn.op[0].reg;

    if (seg == X86_CS || seg > X86_GS) {
        x86_lift_ud(l);
        return;
    }
    after_segment(l, load_segment(l, seg, x86_read(l, 1)));
}

void x86_lift_pop_seg(X86Lift *l)
{
    unsigned bytes = l->insn.osize, seg = l->insn.op[0].reg;
    VitVal v = x86_stack_load(l, x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), bytes);
    bool changed = load_segment(l, seg, vit_ir_trunc(l->ir, VIT_I16, v));

    x86_pop_done(l, bytes);
    after_segment(l, changed);
}

void x86_lift_load_far(X86Lift *l)
{
    unsigned bytes = l->insn.osize, seg = l->insn.row->arg;
    VitVal address = x86_address(l, bytes + 2, false);
    VitVal offset = x86_load(l, x86_int_type(bytes), address, 0);
    VitVal selector = x86_load(l, VIT_I16, vit_ir_bini(l->ir, VIT_IR_ADD, address, bytes), 0);
    bool changed = load_segment(l, seg, selector);

    x86_write(l, 0, offset);
    after_segment(l, changed);
}

/* SLDT STR SMSW. */
void x86_lift_read_sel(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;

    if (x86_is_mem(l, 0)) x86_address(l, bytes, true);
    VitVal v = call1(l, &helper_x86_h_read_sel, VIT_I64, x86_k(l, l->insn.row->arg));
    x86_write(l, 0, vit_ir_trunc(l->ir, x86_int_type(bytes), v));
}

/* LLDT LTR. */
void x86_lift_load_sel(X86Lift *l)
{
    call1(l, l->insn.row->arg ? &helper_x86_h_ltr : &helper_x86_h_lldt, VIT_NONE,
          wide(l, x86_read(l, 0)));
}

void x86_lift_verify(X86Lift *l)
{
    call1(l, l->insn.row->arg ? &helper_x86_h_verw : &helper_x86_h_verr, VIT_NONE,
          wide(l, x86_read(l, 0)));
}

/* LAR LSL. */
void x86_lift_lar(X86Lift *l)
{
    const VitHelper *h = l->insn.row->arg ? &helper_x86_h_lsl : &helper_x86_h_lar;
    VitVal selector = wide(l, x86_read(l, 1)), old = wide(l, x86_read(l, 0));
    VitVal v = x86_call(l, h, VIT_I64, selector, old, NONE, NONE);

    x86_write(l, 0, vit_ir_trunc(l->ir, x86_int_type(l->insn.op[0].size), v));
}

void x86_lift_arpl(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal a = x86_read_rmw(l, 0), b = x86_read(l, 1);
    VitVal rpl = vit_ir_bini(ir, VIT_IR_AND, b, 3);
    VitVal less = vit_ir_cmp(ir, VIT_CMP_ULT, vit_ir_bini(ir, VIT_IR_AND, a, 3), rpl);
    VitVal raised = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bini(ir, VIT_IR_AND, a, 0xfffc), rpl);

    x86_write(l, 0, vit_ir_select(ir, less, raised, a));
    VitVal z = vit_ir_un(ir, VIT_IR_FLAGS_FROM, vit_ir_bini(ir, VIT_IR_SHL, wide(l, less), 6));
    vit_ir_putflags(ir, vit_ir_flags_merge(ir, z, vit_ir_getflags(ir), VIT_FLAG_Z));
}

/* SGDT SIDT LGDT LIDT. */
void x86_lift_table(X86Lift *l)
{
    static const VitHelper *const helpers[] = { &helper_x86_h_sgdt, &helper_x86_h_sidt,
                                                &helper_x86_h_lgdt, &helper_x86_h_lidt };
    unsigned kind = l->insn.row->arg,
             bytes = kind < 2 || l->is_long ? l->is_long ? 8 : 4 : l->insn.osize;
    VitVal address = x86_address(l, (l->is_long ? 8 : 4) + 2, kind < 2);

    x86_call(l, helpers[kind], VIT_NONE, address, x86_k(l, bytes), NONE, NONE);
}

void x86_lift_fsgsbase(X86Lift *l)
{
    unsigned kind = l->insn.row->arg, seg = kind & 1 ? X86_GS : X86_FS, bytes = l->insn.op[0].size;
    uint32_t slot = X86_SLOT(seg[0].base) + seg * (uint32_t)sizeof(X86Segment);
    VitIr *ir = l->ir;
    VitVal cr4 = vit_ir_bini(ir, VIT_IR_AND, vit_ir_get(ir, VIT_I64, X86_SLOT(cr4)), 1 << 16);

    x86_trap_if(l, vit_ir_cmp(ir, VIT_CMP_EQ, cr4, x86_k(l, 0)), X86_UD, -1);
    if (kind < 2) {
        x86_write(l, 0, vit_ir_get(ir, x86_int_type(bytes), slot));
        return;
    }
    VitVal v = wide(l, x86_read(l, 0));
    if (bytes == 8) { /* canonical for 48 bits */
        VitVal sign = vit_ir_bini(ir, VIT_IR_SAR, vit_ir_bini(ir, VIT_IR_SHL, v, 16), 16);
        x86_trap_if(l, vit_ir_cmp(ir, VIT_CMP_NE, sign, v), X86_GP, 0);
    }
    vit_ir_put(ir, slot, v);
}

/* ---- Control registers ----------------------------------------------------------------------- */

void x86_lift_read_cr(X86Lift *l)
{
    VitVal v = call1(l, &helper_x86_h_read_cr, VIT_I64, x86_k(l, l->insn.op[1].reg));

    x86_write(l, 0, vit_ir_trunc(l->ir, x86_int_type(l->insn.op[0].size), v));
}

void x86_lift_write_cr(X86Lift *l)
{
    x86_call(l, &helper_x86_h_write_cr, VIT_NONE, x86_k(l, l->insn.op[0].reg),
             wide(l, x86_read(l, 1)), NONE, NONE);
    x86_exit(l);
}

void x86_lift_read_dr(X86Lift *l)
{
    VitVal v = call1(l, &helper_x86_h_read_dr, VIT_I64, x86_k(l, l->insn.op[1].reg));

    x86_write(l, 0, vit_ir_trunc(l->ir, x86_int_type(l->insn.op[0].size), v));
}

void x86_lift_write_dr(X86Lift *l)
{
    x86_call(l, &helper_x86_h_write_dr, VIT_NONE, x86_k(l, l->insn.op[0].reg),
             wide(l, x86_read(l, 1)), NONE, NONE);
    x86_exit(l);
}

void x86_lift_clts(X86Lift *l)
{
    call0(l, &helper_x86_h_clts, VIT_NONE);
    x86_exit(l);
}

void x86_lift_lmsw(X86Lift *l)
{
    call1(l, &helper_x86_h_lmsw, VIT_NONE, wide(l, x86_read(l, 0)));
    x86_exit(l);
}

void x86_lift_invlpg(X86Lift *l)
{
    call1(l, &helper_x86_h_invlpg, VIT_NONE, x86_address(l, 1, false));
    x86_exit(l);
}

void x86_lift_invpcid(X86Lift *l)
{
    VitVal address = x86_address(l, 16, false);

    x86_call(l, &helper_x86_h_invpcid, VIT_NONE, wide(l, x86_read(l, 0)), address, NONE, NONE);
    x86_exit(l);
}

void x86_lift_wbinvd(X86Lift *l)
{
    call0(l, &helper_x86_h_wbinvd, VIT_NONE);
}

/* ---- Flags and waiting ----------------------------------------------------------------------- */

void x86_lift_cli(X86Lift *l)
{
    VitVal f;

    if ((l->mode & X86_MODE_VM86) || !(l->mode & X86_MODE_IOPL_OK)) {
        call0(l, &helper_x86_h_cli, VIT_NONE);
        return;
    }
    f = vit_ir_get(l->ir, VIT_I32, X86_SLOT(eflags));
    vit_ir_put(l->ir, X86_SLOT(eflags),
               vit_ir_bini(l->ir, VIT_IR_AND, f, ~(uint64_t)X86_EFLAGS_IF));
}

/* The shadow is the next instruction's: it stands in this block, which no interrupt enters, and
 * ends it. */
void x86_lift_sti(X86Lift *l)
{
    enum { SPECIAL = X86_MODE_VM86 | X86_MODE_TF | X86_MODE_BREAK | X86_MODE_SHADOW };

    if (l->more && (l->mode & X86_MODE_IOPL_OK) && !(l->mode & SPECIAL)) {
        VitVal f = vit_ir_get(l->ir, VIT_I32, X86_SLOT(eflags));
        vit_ir_put(l->ir, X86_SLOT(eflags), vit_ir_bini(l->ir, VIT_IR_OR, f, X86_EFLAGS_IF));
        l->mode |= X86_MODE_SHADOW;
        return;
    }
    call0(l, &helper_x86_h_sti, VIT_NONE);
    x86_exit(l);
}

void x86_lift_set_ac(X86Lift *l)
{
    if (!(l->mode & X86_MODE_CPL0)) {
        x86_lift_ud(l);
        return;
    }
    call1(l, &helper_x86_h_set_ac, VIT_NONE, x86_k(l, l->insn.row->arg));
    x86_exit(l);
}

void x86_lift_fwait(X86Lift *l)
{
    call0(l, &helper_x86_h_fwait, VIT_NONE);
}

void x86_lift_monitor(X86Lift *l)
{
    call0(l, &helper_x86_h_monitor, VIT_NONE);
}

void x86_lift_fence(X86Lift *l)
{
    if (l->insn.row->arg) vit_ir_fence(l->ir);
}

void x86_lift_swapgs(X86Lift *l)
{
    uint32_t base = X86_SLOT(seg[0].base) + X86_GS * (uint32_t)sizeof(X86Segment);

    if (!(l->mode & X86_MODE_CPL0)) {
        call0(l, &helper_x86_h_swapgs, VIT_NONE); /* raises #GP */
        return;
    }
    VitVal gs = vit_ir_get(l->ir, VIT_I64, base);
    vit_ir_put(l->ir, base, vit_ir_get(l->ir, VIT_I64, X86_SLOT(kernel_gs_base)));
    vit_ir_put(l->ir, X86_SLOT(kernel_gs_base), gs);
}

/* ---- Registers of the processor -------------------------------------------------------------- */

void x86_lift_cpuid(X86Lift *l)
{
    call0(l, &helper_x86_h_cpuid, VIT_NONE);
}

void x86_lift_rdtsc(X86Lift *l)
{
    call0(l, &helper_x86_h_rdtsc, VIT_NONE);
}

void x86_lift_rdtscp(X86Lift *l)
{
    call0(l, &helper_x86_h_rdtscp, VIT_NONE);
}

void x86_lift_rdpmc(X86Lift *l)
{
    call0(l, &helper_x86_h_rdpmc, VIT_NONE);
}

void x86_lift_rdpid(X86Lift *l)
{
    VitVal v = vit_ir_get(l->ir, VIT_I32, X86_SLOT(tsc_aux));

    x86_write(l, 0, vit_ir_zext(l->ir, x86_int_type(l->insn.op[0].size), v));
}

void x86_lift_rdmsr(X86Lift *l)
{
    call0(l, &helper_x86_h_rdmsr, VIT_NONE);
}

void x86_lift_wrmsr(X86Lift *l)
{
    call0(l, &helper_x86_h_wrmsr, VIT_NONE);
    x86_exit(l);
}

void x86_lift_xgetbv(X86Lift *l)
{
    call0(l, &helper_x86_h_xgetbv, VIT_NONE);
}

void x86_lift_xsetbv(X86Lift *l)
{
    call0(l, &helper_x86_h_xsetbv, VIT_NONE);
    x86_exit(l);
}

/* ---- Ports ----------------------------------------------------------------------------------- */

static VitVal port(X86Lift *l, unsigned n)
{
    if (l->insn.op[n].kind == X86_KIND_IMM) return x86_k(l, l->insn.imm);
    return wide(l, x86_get_gpr(l, X86_RDX, 2));
}

void x86_lift_in(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;
    VitVal v = x86_call(l, &helper_x86_h_in, x86_int_type(bytes), port(l, 1), x86_k(l, bytes), NONE,
                        NONE);

    x86_write(l, 0, v);
}

void x86_lift_out(X86Lift *l)
{
    unsigned bytes = l->insn.op[1].size;

    x86_call(l, &helper_x86_h_out, VIT_NONE, port(l, 0), wide(l, x86_read(l, 1)), x86_k(l, bytes),
             NONE);
    x86_exit(l);
}
