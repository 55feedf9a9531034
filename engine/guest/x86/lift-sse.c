/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-sse.c - SSE to SSE4.2, AES, PCLMULQDQ (Intel SDM vol. 2; vol. 1, ch. 10 to
 * 12)
 *
 * Most rows are one vector operation of the IR.  With an SSE exception unmasked (X86_MODE_FPTRAP)
 * an operation is bracketed by helpers that look at what it raised. */
#include "engine/guest/x86/lift-vector.h"

#include "engine/guest/x86/x86-lifters.h"
#include "engine/guest/x86/x87.h"

#define NONE VIT_NO_VAL

/* ---- Operands -------------------------------------------------------------------------------- */

static uint32_t xmm_slot(unsigned reg)
{
    return X86_SLOT(xmm) + 16 * reg;
}

VitVal x86_get_xmm(X86Lift *l, unsigned reg)
{
    return vit_ir_get(l->ir, VIT_V128, xmm_slot(reg));
}

void x86_put_xmm(X86Lift *l, unsigned reg, VitVal v)
{
    vit_ir_put(l->ir, xmm_slot(reg), v);
}

static VitVal emit(X86Lift *l, VitIrOpcode op, VitType type, VitType src, VitVal a, VitVal b,
                   unsigned sub, uint64_t imm)
{
    return vit_ir_emit(l->ir, (VitIrOp) { .op = op, .type = type, .src_type = src, .a = a, .b = b,
                                          .c = NONE, .d = NONE, .sub = (uint8_t) sub,
                                          .imm = imm });
}

VitVal x86_vector_from_int(X86Lift *l, VitVal v)
{
    VitType type = vit_ir_type(l->ir, v) == VIT_I64 ? VIT_I64 : VIT_I32;

    return emit(l, VIT_IR_VFROMI, VIT_V128, type, vit_ir_zext(l->ir, type, v), NONE, 0, 0);
}

VitVal x86_vector_lane(X86Lift *l, VitVal v, VitType type, unsigned lane)
{
    return emit(l, VIT_IR_VTOI, type, VIT_V128, v, NONE, 0, lane);
}

VitVal x86_vector_insert(X86Lift *l, VitVal v, VitVal scalar, unsigned lane)
{
    return emit(l, VIT_IR_VINSERT, VIT_V128, vit_ir_type(l->ir, scalar), v, scalar, 0, lane);
}

VitVal x86_vector_mask(X86Lift *l, VitVal v, unsigned kind)
{
    return emit(l, VIT_IR_VMASK, VIT_I32, VIT_V128, v, NONE, kind, 0);
}

static VitVal load_vector(X86Lift *l, bool aligned)
{
    VitVal address = x86_address(l, 16, false);

    if (aligned)
        x86_check_aligned(l, address, 16);
    return x86_load(l, VIT_V128, address, aligned ? VIT_MEM_ALIGNED : 0);
}

/* Operand n as a vector; narrower memory is zero-extended. */
static VitVal read_vector(X86Lift *l, unsigned n, bool aligned)
{
    const X86Operand *op = &l->insn.op[n];

    if (op->kind == X86_KIND_XMM)
        return x86_get_xmm(l, op->reg);
    if (op->size == 16)
        return load_vector(l, aligned);
    return x86_vector_from_int(l, x86_load(l, x86_int_type(op->size),
                                           x86_address(l, op->size, false), 0));
}

/* ---- Unmasked exceptions --------------------------------------------------------------------- */

static bool raises(unsigned vop)
{
    return vop >= VIT_VOP_ADDPS && vop <= VIT_VOP_CVTTPD2DQ;
}

VitVal x86_fp_begin(X86Lift *l)
{
    return l->mode & X86_MODE_FPTRAP
               ? x86_call(l, &helper_x86_h_sse_begin, VIT_I64, NONE, NONE, NONE, NONE) : NONE;
}

void x86_fp_end(X86Lift *l, VitVal before)
{
    if (before != NONE)
        x86_call(l, &helper_x86_h_sse_end, VIT_NONE, before, NONE, NONE, NONE);
}

/* ---- One vector operation -------------------------------------------------------------------- */

void x86_lift_vop(X86Lift *l)
{
    unsigned vop = l->insn.row->arg, imm = (unsigned) l->insn.imm & 0xff;
    unsigned shape = vit_vop_info[vop].shape, d = l->insn.op[0].reg;
    VitVal before, a, b = NONE, r;

    if (shape == VIT_VSHAPE_SHI) {
        r = vit_ir_vop(l->ir, vop, x86_get_xmm(l, d), NONE, imm);
        x86_put_xmm(l, d, r);
        return;
    }
    b = read_vector(l, 1, true);
    if (vop == VIT_VOP_INSERTPS && x86_is_mem(l, 1))
        imm &= 0x3f;            /* the memory form has one source lane */
    a = shape == VIT_VSHAPE_UN || shape == VIT_VSHAPE_UNIMM ? NONE : x86_get_xmm(l, d);
    before = raises(vop) ? x86_fp_begin(l) : NONE;
    if (a == NONE)
        r = vit_ir_vop(l->ir, vop, b, NONE, imm);
    else
        r = vit_ir_vop(l->ir, vop, a, b, imm);
    x86_fp_end(l, before);
    x86_put_xmm(l, d, r);
}

/* ---- Moves ----------------------------------------------------------------------------------- */

void x86_lift_sse_mov(X86Lift *l)           /* argument: memory must be aligned */
{
    bool aligned = l->insn.row->arg;

    if (x86_is_mem(l, 0)) {
        VitVal address = x86_address(l, 16, true);
        if (aligned)
            x86_check_aligned(l, address, 16);
        x86_store(l, address, x86_get_xmm(l, l->insn.op[1].reg), aligned ? VIT_MEM_ALIGNED : 0);
    } else {
        x86_put_xmm(l, l->insn.op[0].reg, read_vector(l, 1, aligned));
    }
}

/* MOVSS, MOVSD: a load clears the rest, a register keeps it */
void x86_lift_sse_mov_low(X86Lift *l)
{
    unsigned bytes = l->insn.row->arg;
    VitType type = x86_int_type(bytes);

    if (x86_is_mem(l, 0)) {
        VitVal low = vit_ir_get(l->ir, type, xmm_slot(l->insn.op[1].reg));
        x86_store(l, x86_address(l, bytes, true), low, 0);
    } else if (x86_is_mem(l, 1)) {
        x86_put_xmm(l, l->insn.op[0].reg,
                    x86_vector_from_int(l, x86_load(l, type, x86_address(l, bytes, false), 0)));
    } else {
        VitVal a = x86_get_xmm(l, l->insn.op[0].reg), b = x86_get_xmm(l, l->insn.op[1].reg);
        x86_put_xmm(l, l->insn.op[0].reg,
                    vit_ir_vop(l->ir, bytes == 4 ? VIT_VOP_MOVSS : VIT_VOP_MOVSD, a, b, 0));
    }
}

void x86_lift_sse_mov_half(X86Lift *l)      /* argument: 0 low, 1 high quadword */
{
    unsigned half = l->insn.row->arg;

    if (x86_is_mem(l, 0)) {
        VitVal v = x86_vector_lane(l, x86_get_xmm(l, l->insn.op[1].reg), VIT_I64, half);
        x86_store(l, x86_address(l, 8, true), v, 0);
    } else {
        VitVal v = x86_load(l, VIT_I64, x86_address(l, 8, false), 0);
        unsigned d = l->insn.op[0].reg;
        x86_put_xmm(l, d, x86_vector_insert(l, x86_get_xmm(l, d), v, half));
    }
}

void x86_lift_sse_movd(X86Lift *l)
{
    if (l->insn.op[0].kind == X86_KIND_XMM) {
        x86_put_xmm(l, l->insn.op[0].reg, x86_vector_from_int(l, x86_read(l, 1)));
    } else {
        VitType type = x86_int_type(l->insn.op[0].size);
        x86_write(l, 0, x86_vector_lane(l, x86_get_xmm(l, l->insn.op[1].reg), type, 0));
    }
}

void x86_lift_sse_movq(X86Lift *l)
{
    if (x86_is_mem(l, 0)) {
        VitVal v = x86_vector_lane(l, x86_get_xmm(l, l->insn.op[1].reg), VIT_I64, 0);
        x86_store(l, x86_address(l, 8, true), v, 0);
    } else {
        VitVal v = read_vector(l, 1, false);
        x86_put_xmm(l, l->insn.op[0].reg, vit_ir_vop(l->ir, VIT_VOP_MOVQ, v, NONE, 0));
    }
}

void x86_lift_sse_movmsk(X86Lift *l)        /* argument: 0 bytes, 2 words of 32, 3 of 64 */
{
    x86_write(l, 0, x86_vector_mask(l, x86_get_xmm(l, l->insn.op[1].reg), l->insn.row->arg));
}

/* Address of MASKMOV's implicit operand: (E/R)DI in DS or the override. */
VitVal x86_maskmov_address(X86Lift *l, unsigned bytes)
{
    VitVal offset = x86_get_gpr(l, X86_RDI, l->insn.asize);

    return x86_linear(l, l->insn.seg_override ? l->insn.seg : X86_DS, offset, bytes, true);
}

void x86_lift_sse_maskmov(X86Lift *l)
{
    x86_call(l, &helper_x86_h_maskmov, VIT_NONE, x86_maskmov_address(l, 16),
             x86_k(l, xmm_slot(l->insn.op[0].reg)), x86_k(l, xmm_slot(l->insn.op[1].reg)),
             x86_k(l, 16));
}

/* ---- Compare, convert, test ------------------------------------------------------------------ */

void x86_lift_sse_comi(X86Lift *l)          /* argument: 0 ucomiss 1 comiss 2 ucomisd 3 comisd */
{
    VitVal b = read_vector(l, 1, false), a = x86_get_xmm(l, l->insn.op[0].reg);
    VitVal before = x86_fp_begin(l);
    VitVal f = emit(l, VIT_IR_VCOMI, VIT_FLAGS, VIT_V128, a, b, l->insn.row->arg, 0);

    x86_fp_end(l, before);
    vit_ir_putflags(l->ir, f);
}

void x86_lift_sse_cvt_int(X86Lift *l)
{
    VitType type = x86_int_type(l->insn.op[0].size);
    VitVal a = read_vector(l, 1, false), before = x86_fp_begin(l);
    VitVal r = emit(l, VIT_IR_VCVTI, type, VIT_V128, a, NONE, l->insn.row->arg, 0);

    x86_fp_end(l, before);
    x86_write(l, 0, r);
}

void x86_lift_sse_cvt_from_int(X86Lift *l)
{
    VitVal v = x86_read(l, 1), a = x86_get_xmm(l, l->insn.op[0].reg), before = x86_fp_begin(l);
    VitVal r = emit(l, VIT_IR_VCVTF, VIT_V128, vit_ir_type(l->ir, v), a, v, l->insn.row->arg, 0);

    x86_fp_end(l, before);
    x86_put_xmm(l, l->insn.op[0].reg, r);
}

void x86_lift_sse_ptest(X86Lift *l)
{
    VitVal b = read_vector(l, 1, true), a = x86_get_xmm(l, l->insn.op[0].reg);

    vit_ir_putflags(l->ir, emit(l, VIT_IR_VTEST, VIT_FLAGS, VIT_V128, a, b, 0, 0));
}

/* ---- Insert, extract, blend, strings --------------------------------------------------------- */

void x86_lift_sse_pinsr(X86Lift *l)         /* argument: bytes of the lane */
{
    unsigned bytes = l->insn.row->arg, d = l->insn.op[0].reg;
    unsigned lane = (unsigned) l->insn.imm & (16 / bytes - 1);
    VitVal v = vit_ir_trunc(l->ir, x86_int_type(bytes), x86_read(l, 1));

    x86_put_xmm(l, d, x86_vector_insert(l, x86_get_xmm(l, d), v, lane));
}

void x86_lift_sse_pextr(X86Lift *l)
{
    unsigned bytes = l->insn.row->arg, lane = (unsigned) l->insn.imm & (16 / bytes - 1);
    VitVal v = x86_vector_lane(l, x86_get_xmm(l, l->insn.op[1].reg), x86_int_type(bytes), lane);

    x86_write(l, 0, vit_ir_zext(l->ir, x86_int_type(l->insn.op[0].size), v));
}

/* The sign of each lane of XMM0 chooses: spread it over the lane, then select by logic. */
void x86_lift_sse_blendv(X86Lift *l)        /* argument: bytes of a lane */
{
    VitIr *ir = l->ir;
    VitVal b = read_vector(l, 1, true), a = x86_get_xmm(l, l->insn.op[0].reg),
           m = x86_get_xmm(l, 0);

    if (l->insn.row->arg == 1) {
        VitVal zero = vit_ir_vop(ir, VIT_VOP_PXOR, m, m, 0);
        m = vit_ir_vop(ir, VIT_VOP_PCMPGTB, zero, m, 0);
    } else {
        m = vit_ir_vop(ir, VIT_VOP_PSRADI, m, NONE, 31);
        if (l->insn.row->arg == 8)
            m = vit_ir_vop(ir, VIT_VOP_PSHUFD, m, NONE, 0xf5);
    }
    VitVal keep = vit_ir_vop(ir, VIT_VOP_PANDN, m, a, 0),
           take = vit_ir_vop(ir, VIT_VOP_PAND, m, b, 0);
    x86_put_xmm(l, l->insn.op[0].reg, vit_ir_vop(ir, VIT_VOP_POR, keep, take, 0));
}

void x86_lift_sse_pcmpstr(X86Lift *l)       /* argument: 0 ESTRM 1 ESTRI 2 ISTRM 3 ISTRI */
{
    unsigned kind = l->insn.row->arg | (l->insn.rex & 8 ? 4 : 0);
    bool mem = x86_is_mem(l, 1);
    VitVal source = mem ? x86_address(l, 16, false) : x86_k(l, l->insn.op[1].reg);

    x86_call(l, &helper_x86_h_pcmpstr, VIT_NONE, x86_k(l, l->insn.op[0].reg), source,
             x86_k(l, mem), x86_k(l, kind << 8 | (l->insn.imm & 0xff)));
}

/* ---- State ----------------------------------------------------------------------------------- */

static void image(X86Lift *l, const VitHelper *h, bool write, uint64_t c, bool changes_mode)
{
    if (l->mode & X86_MODE_TS) {
        x86_lift_raise(l, X86_NM, -1);
        return;
    }
    x86_call(l, h, VIT_NONE, x86_address(l, 16, write), x86_k(l, l->insn.rex >> 3 & 1), x86_k(l, c),
             NONE);
    if (changes_mode)
        x86_exit(l);
}

void x86_lift_fxsave(X86Lift *l) { image(l, &helper_x86_h_fxsave, true, 0, false); }
void x86_lift_fxrstor(X86Lift *l) { image(l, &helper_x86_h_fxrstor, false, 0, true); }
void x86_lift_xsave(X86Lift *l) { image(l, &helper_x86_h_xsave, true, l->insn.row->arg, false); }
void x86_lift_xrstor(X86Lift *l) { image(l, &helper_x86_h_xrstor, false, 0, true); }

void x86_lift_ldmxcsr(X86Lift *l)
{
    VitVal v = vit_ir_zext(l->ir, VIT_I64, x86_load(l, VIT_I32, x86_address(l, 4, false), 0));

    x86_call(l, &helper_x86_h_ldmxcsr, VIT_NONE, v, NONE, NONE, NONE);
    x86_exit(l);
}

void x86_lift_stmxcsr(X86Lift *l)
{
    VitVal v = x86_call(l, &helper_x86_h_stmxcsr, VIT_I32, NONE, NONE, NONE, NONE);

    x86_store(l, x86_address(l, 4, true), v, 0);
}
