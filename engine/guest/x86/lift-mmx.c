/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-mmx.c - MMX by the 128-bit vector operations, and the x87 escapes
 * (Intel SDM vol. 1, ch. 8 and 9; vol. 2)
 *
 * An MMX register is the mantissa of a physical x87 register.  Each instruction leaves TOP 0 and
 * all registers valid, and a write sets the exponent to all ones. */
#include "engine/guest/x86/lift-vector.h"
#include "engine/guest/x86/x86-lifters.h"
#include "engine/guest/x86/x87.h"

#define NONE VIT_NO_VAL

static uint32_t mm_slot(unsigned reg)
{
    return X86_SLOT(st[0].mant) + (reg & 7) * (uint32_t) sizeof(((X86Cpu *) 0)->st[0]);
}

/* A pending x87 exception is reported first. */
static void check_pending(X86Lift *l)
{
    VitVal es = vit_ir_bini(l->ir, VIT_IR_AND, vit_ir_get(l->ir, VIT_I16, X86_SLOT(fsw)), X87_ES);

    x86_trap_if(l, vit_ir_cmp(l->ir, VIT_CMP_NE, es, vit_ir_const(l->ir, VIT_I16, 0)), X86_MF, -1);
}

static void enter(X86Lift *l)       /* with the writes: after all that may fault */
{
    vit_ir_put(l->ir, X86_SLOT(fp_top), vit_ir_const(l->ir, VIT_I8, 0));
    vit_ir_put(l->ir, X86_SLOT(fp_tag), vit_ir_const(l->ir, VIT_I8, 0xff));
}

static VitVal get_mm(X86Lift *l, unsigned reg)
{
    return vit_ir_get(l->ir, VIT_I64, mm_slot(reg));
}

static void put_mm(X86Lift *l, unsigned reg, VitVal v)
{
    vit_ir_put(l->ir, mm_slot(reg), v);
    vit_ir_put(l->ir, mm_slot(reg) + 8, vit_ir_const(l->ir, VIT_I16, 0xffff));
}

static VitVal read_mm(X86Lift *l, unsigned n)       /* I64, narrower memory zero-extended */
{
    const X86Operand *op = &l->insn.op[n];

    if (op->kind == X86_KIND_MMX)
        return get_mm(l, op->reg);
    return vit_ir_zext(l->ir, VIT_I64,
                       x86_load(l, x86_int_type(op->size), x86_address(l, op->size, false), 0));
}

static VitVal mm_vector(X86Lift *l, unsigned n)
{
    return x86_vector_from_int(l, read_mm(l, n));
}

void x86_lift_mmx(X86Lift *l)               /* argument: the vector operation of that name */
{
    unsigned vop = l->insn.row->arg, lane = 0, imm = (unsigned) l->insn.imm & 0xff;
    VitIr *ir = l->ir;
    VitVal a, b = NONE, r;

    check_pending(l);
    a = x86_vector_from_int(l, get_mm(l, l->insn.op[0].reg));
    if (vit_vop_info[vop].shape != VIT_VSHAPE_SHI)
        b = mm_vector(l, 1);
    switch (vop) {
    /* the upper halves of 64 bits */
    case VIT_VOP_PUNPCKHBW: vop = VIT_VOP_PUNPCKLBW, lane = 1; break;
    case VIT_VOP_PUNPCKHWD: vop = VIT_VOP_PUNPCKLWD, lane = 1; break;
    case VIT_VOP_PUNPCKHDQ: vop = VIT_VOP_PUNPCKLDQ, lane = 1; break;
    case VIT_VOP_PACKSSWB: case VIT_VOP_PACKSSDW: case VIT_VOP_PACKUSWB:
    case VIT_VOP_PHADDW: case VIT_VOP_PHADDD: case VIT_VOP_PHADDSW:
    case VIT_VOP_PHSUBW: case VIT_VOP_PHSUBD: case VIT_VOP_PHSUBSW:
        a = b = vit_ir_vop(ir, VIT_VOP_PUNPCKLQDQ, a, b, 0);      /* both sources in one register */
        break;
    case VIT_VOP_PSHUFB: {                                              /* indices are three bits */
        VitVal mask = x86_vector_from_int(l, x86_k(l, 0x8787878787878787));
        b = vit_ir_vop(ir, VIT_VOP_PAND, b, mask, 0);
        break;
    }
    case VIT_VOP_PALIGNR:
        a = vit_ir_vop(ir, VIT_VOP_PUNPCKLQDQ, b, a, 0);
        vop = VIT_VOP_PSRLDQI;
        break;
    default:
        break;
    }
    if (vit_vop_info[vop].shape == VIT_VSHAPE_UN)
        r = vit_ir_vop(ir, vop, b, NONE, imm);
    else
        r = vit_ir_vop(ir, vop, a, vit_vop_info[vop].shape == VIT_VSHAPE_SHI ? NONE : b, imm);
    r = x86_vector_lane(l, r, VIT_I64, lane);
    enter(l);
    put_mm(l, l->insn.op[0].reg, r);
}

void x86_lift_mmx_mov(X86Lift *l)           /* MOVD, MOVQ in each direction */
{
    const X86Operand *op = l->insn.op;
    VitVal v;

    check_pending(l);
    if (op[0].kind == X86_KIND_MMX) {
        v = op[1].kind == X86_KIND_MMX ? get_mm(l, op[1].reg)
                                       : vit_ir_zext(l->ir, VIT_I64, x86_read(l, 1));
        enter(l);
        put_mm(l, op[0].reg, v);
    } else {
        v = vit_ir_trunc(l->ir, x86_int_type(op[0].size), get_mm(l, op[1].reg));
        x86_write(l, 0, v);
        enter(l);
    }
}

void x86_lift_mmx_pshufw(X86Lift *l)
{
    VitVal b, r;

    check_pending(l);
    b = mm_vector(l, 1);
    r = vit_ir_vop(l->ir, VIT_VOP_PSHUFLW, b, NONE, (unsigned) l->insn.imm & 0xff);
    r = x86_vector_lane(l, r, VIT_I64, 0);
    enter(l);
    put_mm(l, l->insn.op[0].reg, r);
}

void x86_lift_mmx_pinsr(X86Lift *l)
{
    VitVal v, a;

    check_pending(l);
    v = vit_ir_trunc(l->ir, VIT_I16, x86_read(l, 1));
    a = x86_vector_from_int(l, get_mm(l, l->insn.op[0].reg));
    a = x86_vector_lane(l, x86_vector_insert(l, a, v, (unsigned) l->insn.imm & 3), VIT_I64, 0);
    enter(l);
    put_mm(l, l->insn.op[0].reg, a);
}

void x86_lift_mmx_pextr(X86Lift *l)
{
    VitVal v;

    check_pending(l);
    v = x86_vector_lane(l, mm_vector(l, 1), VIT_I16, (unsigned) l->insn.imm & 3);
    enter(l);
    x86_write(l, 0, vit_ir_zext(l->ir, VIT_I32, v));
}

void x86_lift_mmx_movmsk(X86Lift *l)
{
    VitVal v;

    check_pending(l);
    v = x86_vector_mask(l, mm_vector(l, 1), 0);
    enter(l);
    x86_write(l, 0, v);
}

void x86_lift_mmx_maskmov(X86Lift *l)
{
    check_pending(l);
    x86_call(l, &helper_x86_h_maskmov, VIT_NONE, x86_maskmov_address(l, 8),
             x86_k(l, mm_slot(l->insn.op[0].reg)), x86_k(l, mm_slot(l->insn.op[1].reg)),
             x86_k(l, 8));
    enter(l);
}

void x86_lift_mmx_cvt(X86Lift *l)  /* argument: 0 pi2ps 1 pi2pd 2 ps2pi 3 tps2pi 4 pd2pi 5 tpd2pi */
{
    static const uint8_t vops[] = { VIT_VOP_CVTDQ2PS, VIT_VOP_CVTDQ2PD, VIT_VOP_CVTPS2DQ,
                                    VIT_VOP_CVTTPS2DQ, VIT_VOP_CVTPD2DQ, VIT_VOP_CVTTPD2DQ };
    unsigned kind = l->insn.row->arg, d = l->insn.op[0].reg;
    bool to_xmm = kind < 2;
    VitVal b, before, r;

    check_pending(l);
    if (to_xmm)
        b = mm_vector(l, 1);
    else if (l->insn.op[1].kind == X86_KIND_XMM && kind < 4)    /* only the low half is converted */
        b = vit_ir_vop(l->ir, VIT_VOP_MOVQ, x86_get_xmm(l, l->insn.op[1].reg), NONE, 0);
    else if (l->insn.op[1].kind == X86_KIND_XMM)
        b = x86_get_xmm(l, l->insn.op[1].reg);
    else if (kind < 4)
        b = x86_vector_from_int(l, x86_load(l, VIT_I64, x86_address(l, 8, false), 0));
    else {
        VitVal address = x86_address(l, 16, false);
        x86_check_aligned(l, address, 16);
        b = x86_load(l, VIT_V128, address, VIT_MEM_ALIGNED);
    }
    before = x86_fp_begin(l);
    r = vit_ir_vop(l->ir, vops[kind], b, NONE, 0);
    x86_fp_end(l, before);
    if (!to_xmm || l->insn.op[1].kind == X86_KIND_MMX)
        enter(l);
    if (kind == 0)
        x86_put_xmm(l, d, vit_ir_vop(l->ir, VIT_VOP_MOVSD, x86_get_xmm(l, d), r, 0));
    else if (kind == 1)
        x86_put_xmm(l, d, r);
    else
        put_mm(l, d, x86_vector_lane(l, r, VIT_I64, 0));
}

void x86_lift_sse_mov_dq(X86Lift *l)        /* argument: 0 MOVDQ2Q, 1 MOVQ2DQ */
{
    VitVal v;

    check_pending(l);
    if (l->insn.row->arg) {
        v = get_mm(l, l->insn.op[1].reg);
        enter(l);
        x86_put_xmm(l, l->insn.op[0].reg, x86_vector_from_int(l, v));
    } else {
        v = x86_vector_lane(l, x86_get_xmm(l, l->insn.op[1].reg), VIT_I64, 0);
        enter(l);
        put_mm(l, l->insn.op[0].reg, v);
    }
}

void x86_lift_emms(X86Lift *l)
{
    check_pending(l);
    vit_ir_put(l->ir, X86_SLOT(fp_tag), vit_ir_const(l->ir, VIT_I8, 0));
    vit_ir_put(l->ir, X86_SLOT(fp_top), vit_ir_const(l->ir, VIT_I8, 0));
}

/* ---- x87: argument = the escape opcode D8..DF ------------------------------------------------ */

void x86_lift_x87(X86Lift *l)
{
    /* bit 8 * (opcode & 7) + ModRM.reg: the memory operand is written */
    static const uint64_t stores = 0xce00ce008e00cc00;
    unsigned esc = l->insn.row->arg & 7, modrm = l->insn.modrm;

    if (modrm >= 0xc0) {
        x86_call(l, &helper_x86_h_x87_reg, VIT_NONE, x86_k(l, esc << 8 | modrm), NONE, NONE, NONE);
        return;
    }
    unsigned op = modrm >> 3 & 7;
    bool write = stores >> (esc * 8 + op) & 1;
    VitVal address = x86_address(l, 2, write);
    x86_call(l, &helper_x86_h_x87_mem, VIT_NONE, x86_k(l, esc << 3 | op), address,
             x86_k(l, l->insn.osize == 2 ? 2 : 4), x86_k(l, l->next_pc));
}
