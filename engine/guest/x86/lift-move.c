/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-move.c - moves, extensions, stack, conditional moves, flag bits (Intel SDM
 * vol. 2) */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL

void x86_lift_nop(X86Lift *l) {}

void x86_lift_mov(X86Lift *l)
{
    VitVal v = x86_read(l, 1);

    if (l->insn.op[1].kind == X86_KIND_SEG)
        v = vit_ir_zext(l->ir, x86_int_type(l->insn.op[0].size), v);
    x86_write(l, 0, v);
}

void x86_lift_lea(X86Lift *l)
{
    VitType type = x86_int_type(l->insn.op[0].size);
    VitVal v = x86_offset(l);

    v = vit_ir_type(l->ir, v) > type ? vit_ir_trunc(l->ir, type, v) : vit_ir_zext(l->ir, type, v);
    x86_write(l, 0, v);
}

/* Between widths: the source may be as wide as the destination (MOVSXD with a 16- or 32-bit
 * one). */
static void extend(X86Lift *l, bool is_signed)
{
    VitType type = x86_int_type(l->insn.op[0].size);
    VitVal v = x86_read(l, 1);

    if (vit_ir_type(l->ir, v) > type) v = vit_ir_trunc(l->ir, type, v);
    else v = is_signed ? vit_ir_sext(l->ir, type, v) : vit_ir_zext(l->ir, type, v);
    x86_write(l, 0, v);
}

void x86_lift_movsx(X86Lift *l)
{
    extend(l, true);
}

void x86_lift_movzx(X86Lift *l)
{
    extend(l, false);
}

void x86_lift_movbe(X86Lift *l)
{
    x86_write(l, 0, vit_ir_un(l->ir, VIT_IR_BSWAP, x86_read(l, 1)));
}

/* Of 16 bits it is undefined; processors give 0. */
void x86_lift_bswap(X86Lift *l)
{
    VitVal v = x86_read(l, 0);

    if (l->insn.op[0].size == 2) x86_write(l, 0, vit_ir_const(l->ir, VIT_I16, 0));
    else x86_write(l, 0, vit_ir_un(l->ir, VIT_IR_BSWAP, v));
}

void x86_lift_xchg(X86Lift *l)
{
    VitVal b = x86_read(l, 1), a;

    if (x86_is_mem(l, 0)) {
        a = vit_ir_atomic(l->ir, VIT_ATOMIC_XCHG, x86_address(l, l->insn.op[0].size, true), b,
                          l->mmu);
    } else {
        a = x86_read(l, 0);
        x86_write(l, 0, b);
    }
    x86_write(l, 1, a);
}

void x86_lift_cmov(X86Lift *l)
{
    VitVal b = x86_read(l, 1), a = x86_read(l, 0);
    VitVal cond = vit_ir_flags_test(l->ir, (VitCc)l->insn.row->arg, vit_ir_getflags(l->ir));

    x86_write(l, 0, vit_ir_select(l->ir, cond, b, a));
}

void x86_lift_setcc(X86Lift *l)
{
    x86_write(l, 0, vit_ir_flags_test(l->ir, (VitCc)l->insn.row->arg, vit_ir_getflags(l->ir)));
}

void x86_lift_xlat(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitType type = x86_int_type(l->insn.asize);
    VitVal index = vit_ir_zext(ir, type, x86_get_gpr(l, X86_RAX, 1));
    VitVal offset = vit_ir_bin(ir, VIT_IR_ADD, x86_get_gpr(l, X86_RBX, l->insn.asize), index);

    x86_put_gpr(l, X86_RAX, x86_load(l, VIT_I8, x86_linear(l, l->insn.seg, offset, 1, false), 0));
}

void x86_lift_salc(X86Lift *l)
{
    VitVal c = vit_ir_flags_test(l->ir, VIT_CC_C, vit_ir_getflags(l->ir));

    x86_put_gpr(l, X86_RAX, vit_ir_un(l->ir, VIT_IR_NEG, c));
}

/* ---- Stack ----------------------------------------------------------------------------------- */

void x86_lift_push(X86Lift *l)
{
    VitType type = x86_int_type(l->insn.osize);
    VitVal v = x86_read(l, 0);

    x86_push(l, vit_ir_zext(l->ir, type, v)); /* extends selectors only */
}

void x86_lift_pop(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), v = x86_stack_load(l, sp, bytes);

    if (x86_is_mem(l, 0)) {
        if (l->insn.base == X86_RSP)
            l->insn.disp += bytes; /* the address is computed after the increment */
        x86_write(l, 0, v);
        x86_pop_done(l, bytes);
    } else {
        x86_pop_done(l, bytes);
        x86_write(l, 0, v);
    }
}

void x86_lift_pusha(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), at = sp;

    for (unsigned reg = 0; reg < 8; reg++) {
        at = vit_ir_bini(l->ir, VIT_IR_SUB, at, bytes);
        x86_stack_store(l, at, x86_get_gpr(l, reg, bytes));
    }
    x86_put_gpr(l, X86_RSP, at);
}

void x86_lift_popa(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), v[8];

    for (unsigned i = 0; i < 8; i++) {
        v[i] = x86_stack_load(l, sp, bytes);
        sp = vit_ir_bini(l->ir, VIT_IR_ADD, sp, bytes);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (7 - i != X86_RSP) x86_put_gpr(l, 7 - i, v[i]);
    }
    x86_put_gpr(l, X86_RSP, sp);
}

void x86_lift_enter(X86Lift *l)
{
    unsigned bytes = l->insn.osize, level = l->insn.selector & 31;
    VitIr *ir = l->ir;

    if (level) {
        x86_call(l, &helper_x86_i_enter, VIT_NONE, x86_k(l, l->insn.imm), x86_k(l, level),
                 x86_k(l, bytes), NONE);
        return;
    }
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l));
    sp = vit_ir_bini(ir, VIT_IR_SUB, sp, bytes);
    x86_stack_store(l, sp, x86_get_gpr(l, X86_RBP, bytes));
    VitType type = x86_int_type(bytes);
    VitVal frame = vit_ir_type(ir, sp) > type ? vit_ir_trunc(ir, type, sp)
                                              : vit_ir_zext(ir, type, sp);
    x86_put_gpr(l, X86_RBP, frame);
    x86_put_gpr(l, X86_RSP, vit_ir_bini(ir, VIT_IR_SUB, sp, l->insn.imm));
}

void x86_lift_leave(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal bp = x86_get_gpr(l, X86_RBP, x86_stack_bytes(l)), v = x86_stack_load(l, bp, bytes);

    x86_put_gpr(l, X86_RSP, vit_ir_bini(l->ir, VIT_IR_ADD, bp, bytes));
    x86_put_gpr(l, X86_RBP, v);
}

/* In virtual-8086 mode and in the SS shadow's corners the helper knows the rules. */
void x86_lift_pushf(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitType type = x86_int_type(l->insn.osize);
    VitVal v;

    if (l->mode & X86_MODE_VM86) {
        v = x86_call(l, &helper_x86_h_pushf, type, x86_k(l, l->insn.osize), NONE, NONE, NONE);
    } else {
        v = vit_ir_bini(ir, VIT_IR_AND, vit_ir_get(ir, VIT_I32, X86_SLOT(eflags)),
                        ~(uint64_t)(X86_EFLAGS_VM | X86_EFLAGS_RF));
        VitVal arithmetic = vit_ir_trunc(ir, VIT_I32,
                                         vit_ir_un(ir, VIT_IR_FLAGS_TO, vit_ir_getflags(ir)));
        v = vit_ir_bin(ir, VIT_IR_OR, v, arithmetic);
        v = l->insn.osize == 2 ? vit_ir_trunc(ir, type, v) : vit_ir_zext(ir, type, v);
    }
    x86_push(l, v);
}

void x86_lift_popf(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal v = x86_stack_load(l, x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), bytes);

    x86_call(l, &helper_x86_h_popf, VIT_NONE, vit_ir_zext(l->ir, VIT_I64, v), x86_k(l, bytes), NONE,
             NONE);
    x86_pop_done(l, bytes);
    x86_exit(l);
}

/* ---- Flag bits ------------------------------------------------------------------------------- */

enum { AH_FLAGS = VIT_FLAG_C | VIT_FLAG_P | VIT_FLAG_A | VIT_FLAG_Z | VIT_FLAG_S };

void x86_lift_lahf(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal f = vit_ir_trunc(ir, VIT_I8, vit_ir_un(ir, VIT_IR_FLAGS_TO, vit_ir_getflags(ir)));

    vit_ir_put(ir, X86_SLOT(gpr[X86_RAX]) + 1, vit_ir_bini(ir, VIT_IR_OR, f, 2));
}

void x86_lift_sahf(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal ah = vit_ir_zext(ir, VIT_I64, vit_ir_get(ir, VIT_I8, X86_SLOT(gpr[X86_RAX]) + 1));
    VitVal f = vit_ir_un(ir, VIT_IR_FLAGS_FROM, ah);

    vit_ir_putflags(ir, vit_ir_flags_merge(ir, f, vit_ir_getflags(ir), AH_FLAGS));
}

/* CMC, CLC, STC. */
void x86_lift_flag(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal old = vit_ir_getflags(ir), v;

    if (l->insn.row->arg == 0)
        v = vit_ir_bini(ir, VIT_IR_XOR, vit_ir_un(ir, VIT_IR_FLAGS_TO, old), VIT_FLAG_C);
    else v = x86_k(l, l->insn.row->arg == 2 ? VIT_FLAG_C : 0);
    vit_ir_putflags(ir,
                    vit_ir_flags_merge(ir, vit_ir_un(ir, VIT_IR_FLAGS_FROM, v), old, VIT_FLAG_C));
}

void x86_lift_df(X86Lift *l)
{
    VitIr *ir = l->ir;
    bool down = l->insn.row->arg;
    VitVal f = vit_ir_get(ir, VIT_I32, X86_SLOT(eflags));

    f = down ? vit_ir_bini(ir, VIT_IR_OR, f, X86_EFLAGS_DF)
             : vit_ir_bini(ir, VIT_IR_AND, f, ~(uint64_t)X86_EFLAGS_DF);
    vit_ir_put(ir, X86_SLOT(eflags), f);
    vit_ir_put(ir, X86_SLOT(df), x86_k(l, down ? UINT64_MAX : 1));
}
