/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87-private.h - register stack and exceptions, shared by the x87 files */
#pragma once
#include "engine/guest/x86/x87.h"

typedef long double F80;

F80 x87_from_value(X87Value v);
X87Value x87_to_value(F80 f);

bool x87_empty(const X86Cpu *x, unsigned i);    /* ST(i) */
F80 x87_st(const X86Cpu *x, unsigned i);
void x87_set_st(X86Cpu *x, unsigned i, F80 v);  /* marks it valid */
void x87_pop(X86Cpu *x);
/* Notes exceptions; sets ES and B when one is unmasked.  False: the operation must leave its
 * destination alone (an unmasked invalid operation, denormal operand or division by zero). */
bool x87_note(X86Cpu *x, unsigned exceptions);
/* Stack underflow at ST(i), or overflow for a push; result is the indefinite NaN when masked.
 * False as x87_note(). */
bool x87_stack_fault(X86Cpu *x, bool overflow);
void x87_push(X86Cpu *x, F80 v);                /* overflow handled */
F80 x87_indefinite(void);

/* Host arithmetic in the guest's control word; gives the exceptions (and C1 by rounding in bit
 * 9). */
void x87_host_enter(const X86Cpu *x);
unsigned x87_host_leave(void);

void x87_arith(X86Cpu *x, unsigned op, unsigned dest, F80 operand, bool operand_first, bool pop);
/* op: 2 FCOM, 3 FUCOM; sets C3 C2 C0. */
void x87_compare(X86Cpu *x, F80 a, F80 b, bool quiet);
unsigned x87_compare_flags(X86Cpu *x, F80 a, F80 b, bool quiet);    /* for FCOMI: VIT_FLAG_* */
void x87_special(X86Cpu *x, unsigned modrm);    /* D9 E0..FF */
