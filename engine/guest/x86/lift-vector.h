/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-vector.h - what the SSE and MMX lifters share */
#pragma once
#include "engine/guest/x86/lift.h"
#include "engine/jit/vops.h"

VitVal x86_get_xmm(X86Lift *l, unsigned reg);
void x86_put_xmm(X86Lift *l, unsigned reg, VitVal v);
VitVal x86_vector_from_int(X86Lift *l, VitVal v);           /* zero-extended */
VitVal x86_vector_lane(X86Lift *l, VitVal v, VitType type, unsigned lane);
VitVal x86_vector_insert(X86Lift *l, VitVal v, VitVal scalar, unsigned lane);
VitVal x86_vector_mask(X86Lift *l, VitVal v, unsigned kind);    /* VMASK's sub */
VitVal x86_maskmov_address(X86Lift *l, unsigned bytes);
/* Around an operation that may raise SSE exceptions; no-ops while all are masked. */
VitVal x86_fp_begin(X86Lift *l);
void x86_fp_end(X86Lift *l, VitVal before);

#define X86_SSE_HELPERS(X)                                                                         \
    X(x86_h_sse_begin)  /* clears the sticky bits; returns what they were */                       \
    X(x86_h_sse_end)    /* a = those; raises #XM when something unmasked was raised since */       \
    X(x86_h_stmxcsr)    /* returns MXCSR */                                                        \
    X(x86_h_maskmov)    /* a = linear, b = state offset of data, c = of mask, d = bytes */         \
    /* a = xmm, b = xmm or linear, c = b is linear, d = imm8 | kind << 8 (see lift-sse.c), 4:      \
     * REX.W */                                                                                    \
    X(x86_h_pcmpstr)

#define X(name) uint64_t name(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d); \
    extern const VitHelper helper_##name;
X86_SSE_HELPERS(X)
#undef X
