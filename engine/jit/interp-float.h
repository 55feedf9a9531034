/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/interp-float.h - scalar conversions and compares of the interpreter (x86 semantics) */
#pragma once
#include "engine/jit/vops.h"

/* Load the guest's floating-point control around an operation; leaving merges its sticky bits. */
void interp_float_enter(VitCpu *cpu);
void interp_float_leave(VitCpu *cpu);

/* Sticky exceptions of the host environment in which the guest computes, as MXCSR's bits. */
enum { INTERP_INVALID = 0x01, INTERP_DENORMAL = 0x02, INTERP_INEXACT = 0x20 };
void interp_float_raise(unsigned bits);
void interp_float_clear(unsigned bits);
bool interp_float_raised(unsigned bits);
bool interp_float_daz(void);            /* denormal operands count as zeroes */
/* Rounding as MXCSR.RC: 0 nearest, 1 down, 2 up, 3 towards zero.  Returns the former one. */
unsigned interp_float_set_rounding(unsigned rounding);

/* kind: 0 f32 round, 1 f32 truncate, 2 f64 round, 3 f64 truncate; the indefinite integer when
 * invalid. */
uint64_t interp_float_to_int(unsigned kind, VitType to, const VitVec *a);
/* kind: 0 f32, 2 f64, into the low lane. */
void interp_int_to_float(unsigned kind, VitType from, uint64_t value, VitVec *out);
/* kind: 0 ucomiss, 1 comiss, 2 ucomisd, 3 comisd; VIT_FLAG_* with O S A clear. */
unsigned interp_float_compare(unsigned kind, const VitVec *a, const VitVec *b);
