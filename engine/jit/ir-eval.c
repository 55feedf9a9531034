/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir-eval.c - the meaning of integer and flags ops */
#include "engine/jit/ir-eval.h"

uint64_t ir_eval1(VitIrOpcode op, VitType type, uint64_t a)
{
    unsigned bits = vit_type_bits(type);

    switch (op) {
    case VIT_IR_NEG: return ir_truncate(type, -a);
    case VIT_IR_NOT: return ir_truncate(type, ~a);
    case VIT_IR_BSWAP: return __builtin_bswap64(a) >> (64 - bits);
    case VIT_IR_CLZ: return a ? (unsigned) __builtin_clzll(a) - (64 - bits) : bits;
    case VIT_IR_CTZ: return a ? (unsigned) __builtin_ctzll(a) : bits;
    case VIT_IR_POPCNT: return (unsigned) __builtin_popcountll(a);
    default: g_assert_not_reached();
    }
}

static uint64_t divide(VitIrOpcode op, VitType type, uint64_t a, uint64_t b)
{
    int64_t sa = ir_sign(type, a), sb = ir_sign(type, b);

    if (b == 0)
        return 0;
    if (op == VIT_IR_UDIV)
        return a / b;
    if (op == VIT_IR_UREM)
        return a % b;
    if (sb == -1)       /* the one overflow: most negative by -1 */
        return op == VIT_IR_SREM || a == 1ULL << (vit_type_bits(type) - 1) ? 0
                                                                           : ir_truncate(type, -a);
    return ir_truncate(type, (uint64_t) (op == VIT_IR_SDIV ? sa / sb : sa % sb));
}

uint64_t ir_eval2(VitIrOpcode op, VitType type, uint64_t a, uint64_t b)
{
    unsigned bits = vit_type_bits(type), n = (unsigned) b & (bits - 1);

    switch (op) {
    case VIT_IR_ADD: return ir_truncate(type, a + b);
    case VIT_IR_SUB: return ir_truncate(type, a - b);
    case VIT_IR_AND: return a & b;
    case VIT_IR_OR: return a | b;
    case VIT_IR_XOR: return a ^ b;
    case VIT_IR_MUL: return ir_truncate(type, a * b);
    case VIT_IR_MULHU: return ir_truncate(type, (uint64_t) (((unsigned __int128) a * b) >> bits));
    case VIT_IR_MULHS:
        return ir_truncate(type,
                           (uint64_t) (((__int128) ir_sign(type, a) * ir_sign(type, b)) >> bits));
    case VIT_IR_SHL: return ir_truncate(type, a << n);
    case VIT_IR_SHR: return a >> n;
    case VIT_IR_SAR: return ir_truncate(type, (uint64_t) (ir_sign(type, a) >> n));
    case VIT_IR_ROL: return n ? ir_truncate(type, a << n | a >> (bits - n)) : a;
    case VIT_IR_ROR: return n ? ir_truncate(type, a >> n | a << (bits - n)) : a;
    case VIT_IR_UDIV: case VIT_IR_UREM: case VIT_IR_SDIV: case VIT_IR_SREM:
        return divide(op, type, a, b);
    default: g_assert_not_reached();
    }
}

bool ir_eval_cmp(VitCmp cc, VitType type, uint64_t a, uint64_t b)
{
    int64_t sa = ir_sign(type, a), sb = ir_sign(type, b);

    switch (cc) {
    case VIT_CMP_EQ: return a == b;
    case VIT_CMP_NE: return a != b;
    case VIT_CMP_ULT: return a < b;
    case VIT_CMP_ULE: return a <= b;
    case VIT_CMP_UGT: return a > b;
    case VIT_CMP_UGE: return a >= b;
    case VIT_CMP_SLT: return sa < sb;
    case VIT_CMP_SLE: return sa <= sb;
    case VIT_CMP_SGT: return sa > sb;
    case VIT_CMP_SGE: return sa >= sb;
    }
    g_assert_not_reached();
}

static unsigned flag(bool on, unsigned bit)
{
    return on ? bit : 0;
}

static unsigned result_flags(VitType type, uint64_t r)      /* Z, S, P */
{
    return flag(r == 0, VIT_FLAG_Z) | flag(ir_sign(type, r) < 0, VIT_FLAG_S) |
           flag(!__builtin_parity((unsigned) r & 0xff), VIT_FLAG_P);
}

static unsigned add_flags(VitType type, uint64_t a, uint64_t b, unsigned carry)
{
    uint64_t r = ir_truncate(type, a + b + carry);
    bool c = carry ? r <= a : r < a;

    return result_flags(type, r) | flag(c, VIT_FLAG_C) | ((a ^ b ^ r) & VIT_FLAG_A) |
           flag(ir_sign(type, (a ^ r) & (b ^ r)) < 0, VIT_FLAG_O);
}

static unsigned sub_flags(VitType type, uint64_t a, uint64_t b, unsigned borrow)
{
    uint64_t r = ir_truncate(type, a - b - borrow);
    bool c = borrow ? a <= b : a < b;

    return result_flags(type, r) | flag(c, VIT_FLAG_C) | ((a ^ b ^ r) & VIT_FLAG_A) |
           flag(ir_sign(type, (a ^ b) & (a ^ r)) < 0, VIT_FLAG_O);
}

static unsigned shift_flags(VitIrOpcode op, VitType type, uint64_t a, unsigned n, unsigned before)
{
    unsigned bits = vit_type_bits(type), last = n - 1;  /* shift by n = by n-1, then by 1 */
    uint64_t msb = 1ULL << (bits - 1), r;
    bool c, o;

    if (n == 0)
        return before;
    switch (op) {
    case VIT_IR_FLAGS_SHL:
        r = n >= bits ? 0 : ir_truncate(type, a << n);
        c = n <= bits && (a >> (bits - n)) & 1;
        o = ((r & msb) != 0) != c;
        break;
    case VIT_IR_FLAGS_SHR:
        r = n >= bits ? 0 : a >> n;
        c = last < bits && (a >> last) & 1;
        o = last == 0 && (a & msb);
        break;
    case VIT_IR_FLAGS_SAR:
        r = ir_truncate(type, (uint64_t) (ir_sign(type, a) >> MIN(n, 63)));
        c = (ir_sign(type, a) >> MIN(last, 63)) & 1;
        o = false;
        break;
    case VIT_IR_FLAGS_ROL:
        r = ir_eval2(VIT_IR_ROL, type, a, n);
        c = r & 1;
        o = ((r & msb) != 0) != c;
        return (before & ~(VIT_FLAG_C | VIT_FLAG_O)) | flag(c, VIT_FLAG_C) | flag(o, VIT_FLAG_O);
    default:    /* FLAGS_ROR */
        r = ir_eval2(VIT_IR_ROR, type, a, n);
        c = (r & msb) != 0;
        o = c != ((r & msb >> 1) != 0);
        return (before & ~(VIT_FLAG_C | VIT_FLAG_O)) | flag(c, VIT_FLAG_C) | flag(o, VIT_FLAG_O);
    }
    return result_flags(type, r) | flag(c, VIT_FLAG_C) | flag(o, VIT_FLAG_O);
}

unsigned ir_eval_flags(VitIrOpcode op, VitType type, uint64_t a, uint64_t b, unsigned c)
{
    switch (op) {
    case VIT_IR_FLAGS_ADD: return add_flags(type, a, b, 0);
    case VIT_IR_FLAGS_SUB: return sub_flags(type, a, b, 0);
    case VIT_IR_FLAGS_ADC: return add_flags(type, a, b, c);
    case VIT_IR_FLAGS_SBB: return sub_flags(type, a, b, c);
    case VIT_IR_FLAGS_LOGIC: return result_flags(type, a);
    default: return shift_flags(op, type, a, (unsigned) b, c);
    }
}

bool ir_eval_cc(VitCc cc, unsigned f)
{
    bool less = !(f & VIT_FLAG_S) != !(f & VIT_FLAG_O);
    bool r;

    switch (cc & ~1) {
    case VIT_CC_O: r = f & VIT_FLAG_O; break;
    case VIT_CC_C: r = f & VIT_FLAG_C; break;
    case VIT_CC_Z: r = f & VIT_FLAG_Z; break;
    case VIT_CC_BE: r = f & (VIT_FLAG_C | VIT_FLAG_Z); break;
    case VIT_CC_S: r = f & VIT_FLAG_S; break;
    case VIT_CC_P: r = f & VIT_FLAG_P; break;
    case VIT_CC_LT: r = less; break;
    default: r = less || (f & VIT_FLAG_Z); break;
    }
    return r != (cc & 1);
}
