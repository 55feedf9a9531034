/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-arith.c - integer arithmetic and logic (Intel SDM vol. 2)
 *
 * Flags that the manual leaves undefined follow the cheapest value that current processors give. */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

static VitVal carry(X86Lift *l)
{
    return vit_ir_flags_test(l->ir, VIT_CC_C, vit_ir_getflags(l->ir));
}

/* Flags with only the given bits set where cond (I8 0/1) holds. */
static VitVal flags_if(X86Lift *l, VitVal cond, unsigned bits)
{
    VitVal v = vit_ir_zext(l->ir, VIT_I64, cond);

    if (bits & (bits - 1)) v = vit_ir_bini(l->ir, VIT_IR_MUL, v, bits);
    else v = vit_ir_bini(l->ir, VIT_IR_SHL, v, (unsigned)__builtin_ctz(bits));
    return vit_ir_un(l->ir, VIT_IR_FLAGS_FROM, v);
}

static VitVal result_of(X86Lift *l, unsigned alu, VitVal a, VitVal b, VitVal c)
{
    switch (alu) {
    case ALU_ADD: return vit_ir_bin(l->ir, VIT_IR_ADD, a, b);
    case ALU_OR: return vit_ir_bin(l->ir, VIT_IR_OR, a, b);
    case ALU_AND: return vit_ir_bin(l->ir, VIT_IR_AND, a, b);
    case ALU_XOR: return vit_ir_bin(l->ir, VIT_IR_XOR, a, b);
    case ALU_ADC:
    case ALU_SBB: {
        VitIrOpcode op = alu == ALU_ADC ? VIT_IR_ADD : VIT_IR_SUB;
        c = vit_ir_zext(l->ir, vit_ir_type(l->ir, a), c);
        return vit_ir_bin(l->ir, op, vit_ir_bin(l->ir, op, a, b), c);
    }
    default: return vit_ir_bin(l->ir, VIT_IR_SUB, a, b);
    }
}

static VitVal flags_of(X86Lift *l, unsigned alu, VitVal a, VitVal b, VitVal c, VitVal r)
{
    switch (alu) {
    case ALU_ADD: return vit_ir_flags(l->ir, VIT_IR_FLAGS_ADD, a, b, NONE);
    case ALU_ADC: return vit_ir_flags(l->ir, VIT_IR_FLAGS_ADC, a, b, c);
    case ALU_SBB: return vit_ir_flags(l->ir, VIT_IR_FLAGS_SBB, a, b, c);
    case ALU_SUB:
    case ALU_CMP: return vit_ir_flags(l->ir, VIT_IR_FLAGS_SUB, a, b, NONE);
    default: return vit_ir_flags(l->ir, VIT_IR_FLAGS_LOGIC, r, NONE, NONE);
    }
}

/* The memory operand changed in one locked step; returns what was there. */
static VitVal locked_alu(X86Lift *l, unsigned alu, VitVal b, VitVal c)
{
    VitVal address = x86_address(l, l->insn.op[0].size, true), v = b;
    VitAtomicOp op = alu == ALU_OR    ? VIT_ATOMIC_OR
                     : alu == ALU_AND ? VIT_ATOMIC_AND
                     : alu == ALU_XOR ? VIT_ATOMIC_XOR
                                      : VIT_ATOMIC_ADD;

    if (alu == ALU_ADC || alu == ALU_SBB)
        v = vit_ir_bin(l->ir, VIT_IR_ADD, v, vit_ir_zext(l->ir, vit_ir_type(l->ir, v), c));
    if (alu == ALU_SUB || alu == ALU_SBB) v = vit_ir_un(l->ir, VIT_IR_NEG, v);
    return vit_ir_atomic(l->ir, op, address, v, l->mmu);
}

void x86_lift_alu(X86Lift *l)
{
    unsigned alu = l->insn.row->arg;
    VitVal c = alu == ALU_ADC || alu == ALU_SBB ? carry(l) : NONE, a, b, r;

    if (l->insn.lock) {
        b = x86_read(l, 1);
        a = locked_alu(l, alu, b, c);
        r = result_of(l, alu, a, b, c);
    } else {
        a = alu == ALU_CMP ? x86_read(l, 0) : x86_read_rmw(l, 0);
        b = x86_read(l, 1);
        r = result_of(l, alu, a, b, c);
        if (alu != ALU_CMP) x86_write(l, 0, r);
    }
    vit_ir_putflags(l->ir, flags_of(l, alu, a, b, c, r));
}

void x86_lift_test(X86Lift *l)
{
    VitVal r = vit_ir_bin(l->ir, VIT_IR_AND, x86_read(l, 0), x86_read(l, 1));

    vit_ir_putflags(l->ir, vit_ir_flags(l->ir, VIT_IR_FLAGS_LOGIC, r, NONE, NONE));
}

void x86_lift_incdec(X86Lift *l)
{
    bool dec = l->insn.row->arg;
    VitVal old_flags = vit_ir_getflags(l->ir), a;
    VitVal one = vit_ir_const(l->ir, x86_int_type(l->insn.op[0].size), 1);

    if (l->insn.lock) {
        a = locked_alu(l, dec ? ALU_SUB : ALU_ADD, one, NONE);
    } else {
        a = x86_read_rmw(l, 0);
        x86_write(l, 0, vit_ir_bin(l->ir, dec ? VIT_IR_SUB : VIT_IR_ADD, a, one));
    }
    VitVal f = vit_ir_flags(l->ir, dec ? VIT_IR_FLAGS_SUB : VIT_IR_FLAGS_ADD, a, one, NONE);
    vit_ir_putflags(l->ir, vit_ir_flags_merge(l->ir, f, old_flags, VIT_FLAG_ALL & ~VIT_FLAG_C));
}

void x86_lift_not(X86Lift *l)
{
    VitType type = x86_int_type(l->insn.op[0].size);

    if (l->insn.lock) locked_alu(l, ALU_XOR, vit_ir_const(l->ir, type, UINT64_MAX), NONE);
    else x86_write(l, 0, vit_ir_un(l->ir, VIT_IR_NOT, x86_read_rmw(l, 0)));
}

void x86_lift_neg(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;
    VitType type = x86_int_type(bytes);
    VitVal a;

    if (l->insn.lock) {
        a = x86_call(l, &helper_x86_i_lock_neg, type, x86_address(l, bytes, true), x86_k(l, bytes),
                     x86_k(l, l->mmu), NONE);
    } else {
        a = x86_read_rmw(l, 0);
        x86_write(l, 0, vit_ir_un(l->ir, VIT_IR_NEG, a));
    }
    VitVal zero = vit_ir_const(l->ir, type, 0);
    vit_ir_putflags(l->ir, vit_ir_flags(l->ir, VIT_IR_FLAGS_SUB, zero, a, NONE));
}

/* ---- Multiply -------------------------------------------------------------------------------- */

/* C and O from overflow, the rest as processors leave them: S and P of the low half, Z kept
 * clear. */
static void put_product_flags(X86Lift *l, VitVal low, VitVal overflow)
{
    VitVal f = vit_ir_flags(l->ir, VIT_IR_FLAGS_LOGIC, low, NONE, NONE);
    VitVal co = flags_if(l, overflow, VIT_FLAG_C | VIT_FLAG_O);

    vit_ir_putflags(l->ir, vit_ir_flags_merge(l->ir, f, co, VIT_FLAG_S | VIT_FLAG_P));
}

/* One-operand form: (r)DX:(r)AX or AX := (r)AX * operand. */
static void multiply_wide(X86Lift *l, bool is_signed)
{
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal b = x86_read(l, 0), a = x86_get_gpr(l, X86_RAX, bytes), low, high, overflow;

    if (bytes <= 2) {
        VitVal p = is_signed ? vit_ir_bin(ir, VIT_IR_MUL, vit_ir_sext(ir, VIT_I32, a),
                                          vit_ir_sext(ir, VIT_I32, b))
                             : vit_ir_bin(ir, VIT_IR_MUL, vit_ir_zext(ir, VIT_I32, a),
                                          vit_ir_zext(ir, VIT_I32, b));
        low = vit_ir_trunc(ir, x86_int_type(bytes), p);
        high = vit_ir_trunc(ir, x86_int_type(bytes), vit_ir_bini(ir, VIT_IR_SHR, p, 8 * bytes));
        if (bytes == 1) x86_put_gpr(l, X86_RAX, vit_ir_trunc(ir, VIT_I16, p));
    } else {
        low = vit_ir_bin(ir, VIT_IR_MUL, a, b);
        high = vit_ir_bin(ir, is_signed ? VIT_IR_MULHS : VIT_IR_MULHU, a, b);
    }
    if (bytes > 1) {
        x86_put_gpr(l, X86_RAX, low);
        x86_put_gpr(l, X86_RDX, high);
    }
    VitVal expected = is_signed ? vit_ir_bini(ir, VIT_IR_SAR, low, 8 * bytes - 1)
                                : vit_ir_const(ir, x86_int_type(bytes), 0);
    overflow = vit_ir_cmp(ir, VIT_CMP_NE, high, expected);
    put_product_flags(l, low, overflow);
}

void x86_lift_mul(X86Lift *l)
{
    multiply_wide(l, false);
}

void x86_lift_imul1(X86Lift *l)
{
    multiply_wide(l, true);
}

/* Two operands, or three with an immediate. */
void x86_lift_imul(X86Lift *l)
{
    bool three = l->insn.row->operand[2];
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal a = x86_read(l, 1), b = three ? x86_imm(l, bytes) : x86_read(l, 0), low, overflow;

    if (bytes == 2) {
        VitVal p = vit_ir_bin(ir, VIT_IR_MUL, vit_ir_sext(ir, VIT_I32, a),
                              vit_ir_sext(ir, VIT_I32, b));
        low = vit_ir_trunc(ir, VIT_I16, p);
        overflow = vit_ir_cmp(ir, VIT_CMP_NE, p, vit_ir_sext(ir, VIT_I32, low));
    } else if (bytes == 4) {
        VitVal p = vit_ir_bin(ir, VIT_IR_MUL, vit_ir_sext(ir, VIT_I64, a),
                              vit_ir_sext(ir, VIT_I64, b));
        low = vit_ir_bin(ir, VIT_IR_MUL, a, b);
        overflow = vit_ir_cmp(ir, VIT_CMP_NE, p, vit_ir_sext(ir, VIT_I64, low));
    } else {
        VitVal high = vit_ir_bin(ir, VIT_IR_MULHS, a, b);
        low = vit_ir_bin(ir, VIT_IR_MUL, a, b);
        overflow = vit_ir_cmp(ir, VIT_CMP_NE, high, vit_ir_bini(ir, VIT_IR_SAR, low, 63));
    }
    x86_write(l, 0, low);
    put_product_flags(l, low, overflow);
}

/* ---- Divide ---------------------------------------------------------------------------------- */

static void put_quotient(X86Lift *l, unsigned bytes, VitVal q, VitVal r)
{
    VitType type = x86_int_type(bytes);

    q = vit_ir_trunc(l->ir, type, q);
    r = vit_ir_trunc(l->ir, type, r);
    x86_put_gpr(l, X86_RAX, q);
    if (bytes == 1) vit_ir_put(l->ir, X86_SLOT(gpr[X86_RAX]) + 1, r);
    else x86_put_gpr(l, X86_RDX, r);
}

/* AX, DX:AX or EDX:EAX as one value of twice the width. */
static VitVal dividend(X86Lift *l, unsigned bytes)
{
    VitIr *ir = l->ir;
    VitType wide = x86_int_type(2 * bytes);

    if (bytes == 1) return x86_get_gpr(l, X86_RAX, 2);
    VitVal low = vit_ir_zext(ir, wide, x86_get_gpr(l, X86_RAX, bytes));
    VitVal high = vit_ir_zext(ir, wide, x86_get_gpr(l, X86_RDX, bytes));
    return vit_ir_bin(ir, VIT_IR_OR, low, vit_ir_bini(ir, VIT_IR_SHL, high, 8 * bytes));
}

void x86_lift_div(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal d = x86_read(l, 0);
    VitVal high = bytes == 1 ? vit_ir_get(ir, VIT_I8, X86_SLOT(gpr[X86_RAX]) + 1)
                             : x86_get_gpr(l, X86_RDX, bytes);
    uint64_t k;

    /* The quotient fits exactly when the high half is below the divisor; that also excludes 0. */
    x86_trap_if(l, vit_ir_cmp(ir, VIT_CMP_UGE, high, d), X86_DE, -1);
    if (bytes >= 4 && vit_ir_is_const(ir, high, &k) && k == 0) {
        VitVal a = x86_get_gpr(l, X86_RAX, bytes);
        put_quotient(l, bytes, vit_ir_bin(ir, VIT_IR_UDIV, a, d),
                     vit_ir_bin(ir, VIT_IR_UREM, a, d));
    } else if (bytes == 8) {
        VitVal a = x86_get_gpr(l, X86_RAX, 8);
        VitVal q = x86_call(l, &helper_x86_i_div64, VIT_I64, high, a, d, NONE);
        VitVal product = vit_ir_bin(ir, VIT_IR_MUL, q, d);
        put_quotient(l, 8, q, vit_ir_bin(ir, VIT_IR_SUB, a, product));
    } else {
        VitType type = bytes == 4 ? VIT_I64 : VIT_I32;
        VitVal a = vit_ir_zext(ir, type, dividend(l, bytes));
        d = vit_ir_zext(ir, type, d);
        put_quotient(l, bytes, vit_ir_bin(ir, VIT_IR_UDIV, a, d),
                     vit_ir_bin(ir, VIT_IR_UREM, a, d));
    }
}

static VitVal untruncated(const X86Lift *l, VitVal v)
{
    while (l->ir->ops[v].op == VIT_IR_TRUNC) v = l->ir->ops[v].a;
    return v;
}

/* Whether high is low's sign, as CDQ and CQO just made it. */
static bool is_sign_of(const X86Lift *l, VitVal high, VitVal low)
{
    const VitIrOp *op = &l->ir->ops[high];
    uint64_t n;

    return op->op == VIT_IR_SAR && untruncated(l, op->a) == untruncated(l, low) &&
           vit_ir_is_const(l->ir, op->b, &n) && n == vit_type_bits(op->type) - 1;
}

static VitVal any_of(X86Lift *l, VitVal a, VitVal b)
{
    return vit_ir_bin(l->ir, VIT_IR_OR, a, b);
}

/* a / d of one width; #DE for d = 0 and for the most negative by -1. */
static void divide_narrow(X86Lift *l, unsigned bytes, VitVal a, VitVal d)
{
    VitIr *ir = l->ir;
    VitType type = vit_ir_type(ir, a);
    VitVal zero = vit_ir_cmp(ir, VIT_CMP_EQ, d, vit_ir_const(ir, type, 0));
    VitVal least = vit_ir_cmp(ir, VIT_CMP_EQ, a,
                              vit_ir_const(ir, type, 1ULL << (vit_type_bits(type) - 1)));
    VitVal minus = vit_ir_cmp(ir, VIT_CMP_EQ, d, vit_ir_const(ir, type, UINT64_MAX));

    x86_trap_if(l, any_of(l, zero, vit_ir_bin(ir, VIT_IR_AND, least, minus)), X86_DE, -1);
    put_quotient(l, bytes, vit_ir_bin(ir, VIT_IR_SDIV, a, d), vit_ir_bin(ir, VIT_IR_SREM, a, d));
}

void x86_lift_idiv(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal d = x86_read(l, 0);

    if (bytes >= 4) {
        VitVal low = x86_get_gpr(l, X86_RAX, bytes), high = x86_get_gpr(l, X86_RDX, bytes);
        if (is_sign_of(l, high, low)) {
            divide_narrow(l, bytes, low, d);
            return;
        }
        if (bytes == 8) {
            VitVal q = x86_call(l, &helper_x86_i_idiv64, VIT_I64, high, low, d, NONE);
            VitVal product = vit_ir_bin(ir, VIT_IR_MUL, q, d);
            put_quotient(l, 8, q, vit_ir_bin(ir, VIT_IR_SUB, low, product));
            return;
        }
    }
    VitVal a = vit_ir_sext(ir, VIT_I64, dividend(l, bytes));
    VitVal wide = vit_ir_sext(ir, VIT_I64, d), q = vit_ir_bin(ir, VIT_IR_SDIV, a, wide);
    VitVal bad = vit_ir_cmp(ir, VIT_CMP_EQ, wide, x86_k(l, 0));
    VitVal back = vit_ir_sext(ir, VIT_I64, vit_ir_trunc(ir, x86_int_type(bytes), q));
    bad = any_of(l, bad, vit_ir_cmp(ir, VIT_CMP_NE, back, q));
    if (bytes == 4) { /* the most negative by -1, which SDIV leaves undefined */
        VitVal least = vit_ir_cmp(ir, VIT_CMP_EQ, a, x86_k(l, 1ULL << 63));
        bad = any_of(l, bad, least); /* by any divisor of 32 bits the quotient is too large */
    }
    x86_trap_if(l, bad, X86_DE, -1);
    put_quotient(l, bytes, q, vit_ir_bin(ir, VIT_IR_SREM, a, wide));
}

/* ---- Decimal --------------------------------------------------------------------------------- */

void x86_lift_bcd(X86Lift *l)
{
    VitVal f = vit_ir_un(l->ir, VIT_IR_FLAGS_TO, vit_ir_getflags(l->ir));
    VitVal r = x86_call(l, &helper_x86_i_bcd, VIT_I64, x86_get_gpr(l, X86_RAX, 2), f,
                        x86_k(l, l->insn.row->arg), NONE);

    x86_put_gpr(l, X86_RAX, vit_ir_trunc(l->ir, VIT_I16, r));
    vit_ir_putflags(l->ir,
                    vit_ir_un(l->ir, VIT_IR_FLAGS_FROM, vit_ir_bini(l->ir, VIT_IR_SHR, r, 16)));
}

void x86_lift_aam(X86Lift *l)
{
    VitIr *ir = l->ir;

    if (l->insn.imm == 0) {
        x86_lift_raise(l, X86_DE, -1);
        return;
    }
    VitVal a = vit_ir_zext(ir, VIT_I32, x86_get_gpr(l, X86_RAX, 1));
    VitVal d = vit_ir_const(ir, VIT_I32, l->insn.imm);
    VitVal q = vit_ir_trunc(ir, VIT_I8, vit_ir_bin(ir, VIT_IR_UDIV, a, d));
    VitVal r = vit_ir_trunc(ir, VIT_I8, vit_ir_bin(ir, VIT_IR_UREM, a, d));
    vit_ir_put(ir, X86_SLOT(gpr[X86_RAX]), r);
    vit_ir_put(ir, X86_SLOT(gpr[X86_RAX]) + 1, q);
    vit_ir_putflags(ir, vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, r, NONE, NONE));
}

void x86_lift_aad(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal high = vit_ir_get(ir, VIT_I8, X86_SLOT(gpr[X86_RAX]) + 1);
    VitVal tens = vit_ir_bin(ir, VIT_IR_MUL, high, vit_ir_const(ir, VIT_I8, l->insn.imm));
    VitVal r = vit_ir_bin(ir, VIT_IR_ADD, x86_get_gpr(l, X86_RAX, 1), tens);

    x86_put_gpr(l, X86_RAX, vit_ir_zext(ir, VIT_I16, r));
    vit_ir_putflags(ir, vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, r, NONE, NONE));
}

void x86_lift_cbw(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal v = x86_get_gpr(l, X86_RAX, bytes / 2);

    x86_put_gpr(l, X86_RAX, vit_ir_sext(l->ir, x86_int_type(bytes), v));
}

void x86_lift_cwd(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal v = x86_get_gpr(l, X86_RAX, bytes);

    x86_put_gpr(l, X86_RDX, vit_ir_bini(l->ir, VIT_IR_SAR, v, 8 * bytes - 1));
}

/* ---- Compare and exchange, exchange and add -------------------------------------------------- */

void x86_lift_xadd(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal b = x86_read(l, 1), a;

    if (l->insn.lock) {
        a = locked_alu(l, ALU_ADD, b, NONE);
        x86_write(l, 1, a);
    } else {
        a = x86_read_rmw(l, 0);
        VitVal sum = vit_ir_bin(ir, VIT_IR_ADD, a, b);
        if (x86_is_mem(l, 0)) {
            x86_write(l, 0, sum);
            x86_write(l, 1, a);
        } else {
            x86_write(l, 1, a);
            x86_write(l, 0, sum);
        }
    }
    vit_ir_putflags(ir, vit_ir_flags(ir, VIT_IR_FLAGS_ADD, a, b, NONE));
}

void x86_lift_cmpxchg(X86Lift *l)
{
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal acc = x86_get_gpr(l, X86_RAX, bytes), desired = x86_read(l, 1), old, equal;

    if (l->insn.lock) {
        old = vit_ir_cmpxchg(ir, x86_address(l, bytes, true), acc, desired, l->mmu);
        equal = vit_ir_cmp(ir, VIT_CMP_EQ, acc, old);
    } else {
        old = x86_read_rmw(l, 0);
        equal = vit_ir_cmp(ir, VIT_CMP_EQ, acc, old);
        if (x86_is_mem(l, 0)) x86_write(l, 0, vit_ir_select(ir, equal, desired, old));
    }
    if (bytes == 4) { /* RAX stays whole when equal */
        VitVal whole = x86_get_gpr(l, X86_RAX, 8);
        x86_put_gpr(l, X86_RAX, vit_ir_select(ir, equal, whole, vit_ir_zext(ir, VIT_I64, old)));
    } else {
        x86_put_gpr(l, X86_RAX, old); /* when equal it has that value */
    }
    if (!x86_is_mem(l, 0) && bytes == 4) { /* and a register stays whole when not */
        VitVal whole = x86_get_gpr(l, l->insn.op[0].reg, 8);
        desired = vit_ir_zext(ir, VIT_I64, desired);
        x86_put_gpr(l, l->insn.op[0].reg, vit_ir_select(ir, equal, desired, whole));
    } else if (!x86_is_mem(l, 0)) {
        x86_write(l, 0, vit_ir_select(ir, equal, desired, old));
    }
    vit_ir_putflags(ir, vit_ir_flags(ir, VIT_IR_FLAGS_SUB, acc, old, NONE));
}

static void put_zero_flag(X86Lift *l, VitVal cond, VitVal old_flags)
{
    VitVal z = flags_if(l, cond, VIT_FLAG_Z);

    vit_ir_putflags(l->ir, vit_ir_flags_merge(l->ir, z, old_flags, VIT_FLAG_Z));
}

static VitVal pair(X86Lift *l, unsigned high, unsigned low)
{
    VitVal h = vit_ir_zext(l->ir, VIT_I64, x86_get_gpr(l, high, 4));

    return vit_ir_bin(l->ir, VIT_IR_OR, vit_ir_zext(l->ir, VIT_I64, x86_get_gpr(l, low, 4)),
                      vit_ir_bini(l->ir, VIT_IR_SHL, h, 32));
}

void x86_lift_cmpxchg8b(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal address = x86_address(l, 8, true), expected = pair(l, X86_RDX, X86_RAX);
    VitVal old = vit_ir_cmpxchg(ir, address, expected, pair(l, X86_RCX, X86_RBX), l->mmu);
    VitVal equal = vit_ir_cmp(ir, VIT_CMP_EQ, old, expected), flags = vit_ir_getflags(ir);
    VitVal low = vit_ir_zext(ir, VIT_I64, vit_ir_trunc(ir, VIT_I32, old));
    VitVal high = vit_ir_bini(ir, VIT_IR_SHR, old, 32);

    x86_put_gpr(l, X86_RAX, vit_ir_select(ir, equal, x86_get_gpr(l, X86_RAX, 8), low));
    x86_put_gpr(l, X86_RDX, vit_ir_select(ir, equal, x86_get_gpr(l, X86_RDX, 8), high));
    put_zero_flag(l, equal, flags);
}

void x86_lift_cmpxchg16b(X86Lift *l)
{
    VitVal address = x86_address(l, 16, true);

    x86_check_aligned(l, address, 16);
    x86_call(l, &helper_x86_i_cmpxchg16b, VIT_NONE, address, x86_k(l, l->mmu), NONE, NONE);
}

/* ---- Counts and sums ------------------------------------------------------------------------- */

void x86_lift_popcnt(X86Lift *l)
{
    VitIr *ir = l->ir;
    VitVal a = x86_read(l, 1), f = vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, a, NONE, NONE);
    VitVal none = vit_ir_un(ir, VIT_IR_FLAGS_FROM, x86_k(l, 0));

    x86_write(l, 0, vit_ir_un(ir, VIT_IR_POPCNT, a));
    vit_ir_putflags(ir, vit_ir_flags_merge(ir, f, none, VIT_FLAG_Z));
}

/* BSF and BSR leave the whole destination alone when the source is zero. */
static void scan(X86Lift *l, bool reverse)
{
    unsigned bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitVal a = x86_read(l, 1);
    VitVal zero = vit_ir_cmp(ir, VIT_CMP_EQ, a, vit_ir_const(ir, x86_int_type(bytes), 0));
    VitVal n = vit_ir_un(ir, reverse ? VIT_IR_CLZ : VIT_IR_CTZ, a);
    unsigned slot_bytes = bytes == 4 ? 8 : bytes;
    VitVal old = x86_get_gpr(l, l->insn.op[0].reg, slot_bytes);

    if (reverse) n = vit_ir_bini(ir, VIT_IR_XOR, n, 8 * bytes - 1);
    n = vit_ir_zext(ir, x86_int_type(slot_bytes), n);
    x86_put_gpr(l, l->insn.op[0].reg, vit_ir_select(ir, zero, old, n));
    vit_ir_putflags(ir, vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, a, NONE, NONE));
}

void x86_lift_bsf(X86Lift *l)
{
    scan(l, false);
}

void x86_lift_bsr(X86Lift *l)
{
    scan(l, true);
}

void x86_lift_crc32(X86Lift *l)
{
    unsigned bytes = l->insn.op[1].size;
    VitVal a = x86_read(l, 1);
    VitVal r = x86_call(l, &helper_x86_i_crc32c, VIT_I32, x86_get_gpr(l, l->insn.op[0].reg, 4), a,
                        x86_k(l, bytes), NONE);

    x86_put_gpr(l, l->insn.op[0].reg, r);
}

void x86_lift_rdrand(X86Lift *l)
{
    VitVal r = x86_call(l, &helper_x86_i_random, x86_int_type(l->insn.op[0].size), NONE, NONE, NONE,
                        NONE);

    x86_write(l, 0, r);
    vit_ir_putflags(l->ir, vit_ir_un(l->ir, VIT_IR_FLAGS_FROM, x86_k(l, VIT_FLAG_C)));
}
