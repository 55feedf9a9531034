/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir-eval.h - the meaning of integer and flags ops, for constant folding and the
 * interpreter
 *
 * Values are kept zero-extended to 64 bits. */
#pragma once
#include "engine/jit/ir.h"

static inline uint64_t ir_truncate(VitType type, uint64_t v)
{
    unsigned bits = vit_type_bits(type);
    return bits >= 64 ? v : v & ((1ULL << bits) - 1);
}

static inline int64_t ir_sign(VitType type, uint64_t v)
{
    unsigned unused = 64 - vit_type_bits(type);
    return (int64_t) (v << unused) >> unused;
}

uint64_t ir_eval1(VitIrOpcode op, VitType type, uint64_t a);      /* NEG NOT BSWAP CLZ CTZ POPCNT */
uint64_t ir_eval2(VitIrOpcode op, VitType type, uint64_t a, uint64_t b);    /* ADD .. SREM */
bool ir_eval_cmp(VitCmp cc, VitType type, uint64_t a, uint64_t b);
/* FLAGS_ADD .. FLAGS_ROR as VIT_FLAG_* bits; c: carry in, or the flags before a shift. */
unsigned ir_eval_flags(VitIrOpcode op, VitType type, uint64_t a, uint64_t b, unsigned c);
bool ir_eval_cc(VitCc cc, unsigned flags);
