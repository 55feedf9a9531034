/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-shift.c - shifts, rotates, bit tests (Intel SDM vol. 2: SAL, ROL, SHLD, BT)
 *
 * Counts are masked to 5 or 6 bits; a count of 0 leaves the flags alone. */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL
enum { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR };

/* The count operand masked, I8. */
static VitVal masked_count(X86Lift *l, unsigned n, unsigned bytes)
{
    return vit_ir_bini(l->ir, VIT_IR_AND, x86_read(l, n), bytes == 8 ? 63 : 31);
}

/* SHL SHR SAR; narrow operands are shifted in 32 bits, so that counts up to 31 are right. */
static VitVal shifted(X86Lift *l, VitIrOpcode op, VitVal a, VitVal count)
{
    VitType type = vit_ir_type(l->ir, a);

    if (type == VIT_I8 || type == VIT_I16) {
        a = op == VIT_IR_SAR ? vit_ir_sext(l->ir, VIT_I32, a) : vit_ir_zext(l->ir, VIT_I32, a);
        return vit_ir_trunc(l->ir, type, vit_ir_bin(l->ir, op, a, count));
    }
    return vit_ir_bin(l->ir, op, a, count);
}

static VitVal rotated(X86Lift *l, VitIrOpcode op, VitVal a, VitVal count)
{
    unsigned bits = vit_type_bits(vit_ir_type(l->ir, a));

    if (bits < 32) count = vit_ir_bini(l->ir, VIT_IR_AND, count, bits - 1);
    return vit_ir_bin(l->ir, op, a, count);
}

/* Through carry: count 1 in line, the rest by helper. */
static void rotate_carry(X86Lift *l, bool right, VitVal a, VitVal count)
{
    unsigned bytes = l->insn.op[0].size, bits = 8 * bytes;
    VitIr *ir = l->ir;
    VitType type = x86_int_type(bytes);
    VitVal flags = vit_ir_getflags(ir);
    uint64_t n;

    if (vit_ir_is_const(ir, count, &n) && n == 1) {
        VitVal c = vit_ir_zext(ir, type, vit_ir_flags_test(ir, VIT_CC_C, flags)), r;
        if (right)
            r = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bini(ir, VIT_IR_SHR, a, 1),
                           vit_ir_bini(ir, VIT_IR_SHL, c, bits - 1));
        else r = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bini(ir, VIT_IR_SHL, a, 1), c);
        x86_write(l, 0, r);
        /* C: the bit shifted out.  O: RCL msb(r) ^ C = top two bits of a differ; RCR top two of
         * r. */
        VitVal out = vit_ir_zext(ir, VIT_I64, vit_ir_bini(ir, VIT_IR_SHR, a, right ? 0 : bits - 1));
        VitVal top = right ? r : a;
        VitVal o = vit_ir_bin(ir, VIT_IR_XOR, top, vit_ir_bini(ir, VIT_IR_SHL, top, 1));
        o = vit_ir_zext(ir, VIT_I64, vit_ir_bini(ir, VIT_IR_SHR, o, bits - 1));
        out = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bini(ir, VIT_IR_AND, out, 1),
                         vit_ir_bini(ir, VIT_IR_SHL, o, 11));
        VitVal f = vit_ir_un(ir, VIT_IR_FLAGS_FROM, out);
        vit_ir_putflags(ir, vit_ir_flags_merge(ir, f, flags, VIT_FLAG_C | VIT_FLAG_O));
        return;
    }
    VitVal before = vit_ir_un(ir, VIT_IR_FLAGS_TO, flags),
           spec = x86_k(l, bytes | (unsigned)right << 8);
    VitVal r = x86_call(l, &helper_x86_i_rotate_carry, type, a, count, before, spec);
    VitVal f = x86_call(l, &helper_x86_i_rotate_carry_flags, VIT_I64, a, count, before, spec);
    x86_write(l, 0, r);
    vit_ir_putflags(ir, vit_ir_un(ir, VIT_IR_FLAGS_FROM, f));
}

void x86_lift_shift(X86Lift *l)
{
    static const VitIrOpcode ops[8] = { VIT_IR_ROL, VIT_IR_ROR, 0,          0,
                                        VIT_IR_SHL, VIT_IR_SHR, VIT_IR_SHL, VIT_IR_SAR };
    static const VitIrOpcode flag_ops[8] = {
        VIT_IR_FLAGS_ROL, VIT_IR_FLAGS_ROR, 0, 0, VIT_IR_FLAGS_SHL, VIT_IR_FLAGS_SHR,
        VIT_IR_FLAGS_SHL, VIT_IR_FLAGS_SAR
    };
    unsigned kind = l->insn.row->arg;
    VitVal count = masked_count(l, 1, l->insn.op[0].size), a = x86_read_rmw(l, 0);

    if (kind == SHIFT_RCL || kind == SHIFT_RCR) {
        rotate_carry(l, kind == SHIFT_RCR, a, count);
        return;
    }
    VitVal r = kind <= SHIFT_ROR ? rotated(l, ops[kind], a, count)
                                 : shifted(l, ops[kind], a, count);
    VitVal f = vit_ir_flags(l->ir, flag_ops[kind], a, count, vit_ir_getflags(l->ir));
    x86_write(l, 0, r);
    vit_ir_putflags(l->ir, f);
}

/* SHLD and SHRD: the second operand's bits follow. */
static VitVal shifted_double(X86Lift *l, bool right, VitVal a, VitVal b, VitVal count)
{
    VitIr *ir = l->ir;
    VitType type = vit_ir_type(ir, a);
    unsigned bits = vit_type_bits(type);

    if (type ==
        VIT_I16) { /* a:b or b:a in 32 bits, as processors do for counts above 16: then a again */
        VitVal wa = vit_ir_zext(ir, VIT_I64, a), wb = vit_ir_zext(ir, VIT_I64, b), w;
        VitVal b16 = vit_ir_bini(ir, VIT_IR_SHL, wb, 16);
        if (right) {
            w = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bin(ir, VIT_IR_OR, wa, b16),
                           vit_ir_bini(ir, VIT_IR_SHL, wa, 32));
            return vit_ir_trunc(ir, type, vit_ir_bin(ir, VIT_IR_SHR, w, count));
        }
        w = vit_ir_bin(ir, VIT_IR_OR, vit_ir_bini(ir, VIT_IR_SHL, wa, 32),
                       vit_ir_bin(ir, VIT_IR_OR, b16, wa));
        return vit_ir_trunc(ir, type,
                            vit_ir_bini(ir, VIT_IR_SHR, vit_ir_bin(ir, VIT_IR_SHL, w, count), 32));
    }
    /* b by (bits - count), which for count 0 must give 0: by 1, then by bits - 1 - count. */
    VitVal rest = vit_ir_bini(ir, VIT_IR_XOR, count, bits - 1);
    VitIrOpcode op = right ? VIT_IR_SHR : VIT_IR_SHL, other = right ? VIT_IR_SHL : VIT_IR_SHR;
    VitVal follow = vit_ir_bin(ir, other, vit_ir_bini(ir, other, b, 1), rest);
    return vit_ir_bin(ir, VIT_IR_OR, vit_ir_bin(ir, op, a, count), follow);
}

void x86_lift_shiftd(X86Lift *l)
{
    bool right = l->insn.row->arg;
    unsigned bytes = l->insn.op[0].size, bits = 8 * bytes;
    VitIr *ir = l->ir;
    VitVal count = masked_count(l, 2, bytes), a = x86_read_rmw(l, 0), b = x86_read(l, 1);
    VitVal r = shifted_double(l, right, a, b, count), old = vit_ir_getflags(ir);

    x86_write(l, 0, r);
    VitVal c = vit_ir_flags(ir, right ? VIT_IR_FLAGS_SHR : VIT_IR_FLAGS_SHL, a, count, old);
    VitVal logic = vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, r, NONE, NONE);
    VitVal f = vit_ir_flags_merge(ir, c, logic, VIT_FLAG_C);
    /* O: the sign changed (defined for count 1). */
    VitVal o = vit_ir_bini(ir, VIT_IR_SHR, vit_ir_bin(ir, VIT_IR_XOR, a, r), bits - 1);
    o = vit_ir_un(ir, VIT_IR_FLAGS_FROM,
                  vit_ir_bini(ir, VIT_IR_SHL, vit_ir_zext(ir, VIT_I64, o), 11));
    f = vit_ir_flags_merge(ir, o, f, VIT_FLAG_O);
    VitVal none = vit_ir_cmp(ir, VIT_CMP_EQ, count, vit_ir_const(ir, VIT_I8, 0));
    vit_ir_putflags(ir, vit_ir_select(ir, none, old, f));
}

/* ---- Bit tests ------------------------------------------------------------------------------- */

enum { BT, BTS, BTR, BTC };

/* With a register index the memory operand extends over the whole bit string. */
static void bit_string_address(X86Lift *l, unsigned bytes, bool write)
{
    unsigned log2 = bytes == 8 ? 6 : bytes == 4 ? 5 : 4;
    VitIr *ir = l->ir;
    VitVal words = vit_ir_bini(ir, VIT_IR_SAR, x86_read(l, 1), log2);
    VitType type = x86_int_type(l->insn.asize);

    words = type < vit_ir_type(ir, words) ? vit_ir_trunc(ir, type, words)
                                          : vit_ir_sext(ir, type, words);
    VitVal offset = vit_ir_bin(ir, VIT_IR_ADD, x86_offset(l),
                               vit_ir_bini(ir, VIT_IR_SHL, words, log2 - 3));
    l->address = x86_linear(l, l->insn.seg, offset, bytes, write);
}

void x86_lift_bt(X86Lift *l)
{
    unsigned kind = l->insn.row->arg, bytes = l->insn.op[0].size;
    VitIr *ir = l->ir;
    VitType type = x86_int_type(bytes);
    bool mem = x86_is_mem(l, 0);
    VitVal index = l->insn.op[1].kind == X86_KIND_IMM ? vit_ir_const(ir, VIT_I8, l->insn.imm)
                                                      : vit_ir_trunc(ir, VIT_I8, x86_read(l, 1));
    VitVal n = vit_ir_bini(ir, VIT_IR_AND, index, 8 * bytes - 1), a;

    if (mem && l->insn.op[1].kind != X86_KIND_IMM) bit_string_address(l, bytes, kind != BT);
    VitVal mask = vit_ir_bin(ir, VIT_IR_SHL, vit_ir_const(ir, type, 1), n);
    VitVal clear = kind == BTR ? vit_ir_un(ir, VIT_IR_NOT, mask) : NONE;
    if (l->insn.lock) {
        VitAtomicOp op = kind == BTS   ? VIT_ATOMIC_OR
                         : kind == BTR ? VIT_ATOMIC_AND
                                       : VIT_ATOMIC_XOR;
        a = vit_ir_atomic(ir, op, x86_address(l, bytes, true), kind == BTR ? clear : mask, l->mmu);
    } else if (kind == BT) {
        a = x86_read(l, 0);
    } else {
        a = x86_read_rmw(l, 0);
        x86_write(l, 0,
                  kind == BTS   ? vit_ir_bin(ir, VIT_IR_OR, a, mask)
                  : kind == BTR ? vit_ir_bin(ir, VIT_IR_AND, a, clear)
                                : vit_ir_bin(ir, VIT_IR_XOR, a, mask));
    }
    VitVal bit = vit_ir_bini(ir, VIT_IR_AND, vit_ir_bin(ir, VIT_IR_SHR, a, n), 1);
    VitVal f = vit_ir_un(ir, VIT_IR_FLAGS_FROM, vit_ir_zext(ir, VIT_I64, bit));
    vit_ir_putflags(ir, vit_ir_flags_merge(ir, f, vit_ir_getflags(ir), VIT_FLAG_C));
}
