/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/helpers-int.h - helpers of the integer lifters: integer-side counterpart of
 * helpers.h */
#pragma once
#include "engine/jit/ir.h"

enum { X86_HELPER_PURE = 0 };

#define X86_INT_HELPERS(X)                                                                         \
    X(x86_i_div64, X86_HELPER_PURE)         /* a:b / c, quotient; the lifter has excluded #DE */   \
    X(x86_i_idiv64, VIT_HELPER_ALL)         /* same, signed; raises #DE */                         \
    /* a = linear, b = bytes, c = mmu; gives the old value */                                      \
    X(x86_i_lock_neg, VIT_HELPER_FAULTS)                                                           \
    X(x86_i_cmpxchg16b, VIT_HELPER_ALL)     /* a = linear, b = mmu */                              \
    /* a = AX, b = flags, c = 0 DAA 1 DAS 2 AAA 3 AAS; AX | flags << 16 */                         \
    X(x86_i_bcd, X86_HELPER_PURE)                                                                  \
    X(x86_i_crc32c, X86_HELPER_PURE)        /* a = sum, b = data, c = bytes */                     \
    X(x86_i_random, X86_HELPER_PURE)                                                               \
    X(x86_i_rotate_carry, X86_HELPER_PURE)  /* a, b = count, c = flags, d = bytes | right << 8 */  \
    X(x86_i_rotate_carry_flags, X86_HELPER_PURE)    /* same; the flags after it */                 \
    X(x86_i_enter, VIT_HELPER_ALL)          /* a = frame bytes, b = level, c = operand bytes */    \
    X(x86_i_into, VIT_HELPER_ALL)           /* a = next_pc */                                      \
    /* a = X86_STRING_SPEC; 1 when finished, 0 to go on at the same pc */                          \
    X(x86_i_string, VIT_HELPER_ALL)

#define X(name, flags) uint64_t name(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d); \
    extern const VitHelper helper_##name;
X86_INT_HELPERS(X)
#undef X

enum { X86_STRING_MOVS, X86_STRING_CMPS, X86_STRING_STOS, X86_STRING_LODS, X86_STRING_SCAS,
       X86_STRING_INS, X86_STRING_OUTS };
enum { X86_STRING_ONCE, X86_STRING_REPE, X86_STRING_REPNE };
/* bytes: of an element; asize: address size; seg: of the source. */
#define X86_STRING_SPEC(op, bytes, asize, seg, rep) \
    ((uint64_t) ((op) | (bytes) << 4 | (asize) << 8 | (seg) << 12 | (rep) << 16))
