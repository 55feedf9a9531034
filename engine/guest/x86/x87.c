/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87.c - x87 register stack, arithmetic and compares (Intel SDM vol. 1, ch. 8)
 *
 * Arithmetic runs on the host's own x87 unit under the guest's control word with all exceptions
 * masked; what it raised is merged into the guest's status.  Hosts without an x87 unit have no
 * long double of this format: see the check below.  Not modelled: precision of FPU pointers across
 * FNSAVE in real mode beyond 20 bits. */
#include "engine/guest/x86/x87-private.h"

#include <float.h>
#include <string.h>

#if !defined(__x86_64__)
#error "x87 arithmetic needs a host with an x87 unit; a portable path is not written yet"
#endif
static_assert(LDBL_MANT_DIG == 64);

F80 x87_from_value(X87Value v)
{
    F80 f = 0;

    memcpy(&f, &v.mant, 8);
    memcpy((char *) &f + 8, &v.se, 2);
    return f;
}

X87Value x87_to_value(F80 f)
{
    X87Value v;

    memcpy(&v.mant, &f, 8);
    memcpy(&v.se, (char *) &f + 8, 2);
    return v;
}

F80 x87_indefinite(void)
{
    return x87_from_value((X87Value) { 0xc000000000000000, 0xffff });
}

uint16_t x87_status(const X86Cpu *x)
{
    return (uint16_t) ((x->fsw & ~0x3800) | x->fp_top << 11);
}

void x87_set_status(X86Cpu *x, uint16_t value)
{
    x->fp_top = value >> 11 & 7;
    x->fsw = value & ~(0x3800 | X87_ES | X87_BUSY);
    if (x->fsw & ~x->fcw & X87_EXCEPTIONS)
        x->fsw |= X87_ES | X87_BUSY;
}

void x87_init(X86Cpu *x)
{
    x->fcw = 0x37f;
    x->fsw = 0;
    x->fp_top = x->fp_tag = 0;
    x->fp_op = 0;
    x->fp_ip = x->fp_dp = 0;
    x->fp_cs = x->fp_ds = 0;
}

void x87_enter_mmx(X86Cpu *x)
{
    x->fp_top = 0;
    x->fp_tag = 0xff;
}

bool x87_empty(const X86Cpu *x, unsigned i)
{
    return !(x->fp_tag >> ((x->fp_top + i) & 7) & 1);
}

F80 x87_st(const X86Cpu *x, unsigned i)
{
    unsigned r = (x->fp_top + i) & 7;

    return x87_from_value((X87Value) { x->st[r].mant, x->st[r].se });
}

void x87_set_st(X86Cpu *x, unsigned i, F80 f)
{
    unsigned r = (x->fp_top + i) & 7;
    X87Value v = x87_to_value(f);

    x->st[r].mant = v.mant;
    x->st[r].se = v.se;
    x->fp_tag |= (uint8_t) (1u << r);
}

void x87_pop(X86Cpu *x)
{
    x->fp_tag &= (uint8_t) ~(1u << x->fp_top);
    x->fp_top = (x->fp_top + 1) & 7;
}

bool x87_note(X86Cpu *x, unsigned exceptions)
{
    unsigned unmasked = exceptions & ~x->fcw & X87_EXCEPTIONS;

    x->fsw |= exceptions & (X87_EXCEPTIONS | X87_SF);
    if (unmasked)
        x->fsw |= X87_ES | X87_BUSY;
    return !(unmasked & (X87_IE | X87_DE | X87_ZE));
}

bool x87_stack_fault(X86Cpu *x, bool overflow)
{
    x->fsw &= ~X87_C1;
    if (overflow)
        x->fsw |= X87_C1;
    return x87_note(x, X87_IE | X87_SF);
}

void x87_push(X86Cpu *x, F80 v)
{
    if (!x87_empty(x, 7)) {
        if (!x87_stack_fault(x, true))
            return;
        v = x87_indefinite();
    }
    x->fp_top = (x->fp_top - 1) & 7;
    x87_set_st(x, 0, v);
}

void x87_host_enter(const X86Cpu *x)
{
    uint16_t cw = x->fcw | 0x3f;

    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(cw) : "memory");
}

unsigned x87_host_leave(void)
{
    uint16_t sw, cw = 0x37f;

    __asm__ volatile("fnstsw %0\n\tfnclex\n\tfldcw %1" : "=m"(sw) : "m"(cw) : "memory");
    return sw & (X87_EXCEPTIONS | X87_C1);
}

/* The status word in one piece with the operation: moving the result away would clear C1. */
#define COMPUTE(text) \
    __asm__ volatile(text "\n\tfnstsw %1" : "+t"(a), "=m"(*status) : "u"(b)); \
    return a

/* op as in ModRM.reg of D8: 0 add 1 mul 4 sub 5 subr 6 div 7 divr; a op b. */
static F80 compute(unsigned op, F80 a, F80 b, uint16_t *status)
{
    switch (op) {
    case 0: COMPUTE("fadd %%st(1), %%st");
    case 1: COMPUTE("fmul %%st(1), %%st");
    case 4: COMPUTE("fsub %%st(1), %%st");
    case 5: COMPUTE("fsubr %%st(1), %%st");
    case 6: COMPUTE("fdiv %%st(1), %%st");
    default: COMPUTE("fdivr %%st(1), %%st");
    }
}

/* dest := dest op operand (ModRM.reg order, so SUBR and DIVR turn it round); operand_first: the
 * reversed destination forms of DC and DE, whose encodings of SUB and SUBR are exchanged
 * already. */
void x87_arith(X86Cpu *x, unsigned op, unsigned dest, F80 operand, bool operand_first, bool pop)
{
    if (x87_empty(x, dest)) {
        if (x87_stack_fault(x, false)) {
            x87_set_st(x, dest, x87_indefinite());
            if (pop)
                x87_pop(x);
        }
        return;
    }
    uint16_t status;
    if (operand_first && op >= 4)
        op ^= 1;
    F80 a = x87_st(x, dest);
    x87_host_enter(x);
    F80 r = compute(op, a, operand, &status);
    x87_host_leave();
    x->fsw = (uint16_t) ((x->fsw & ~X87_C1) | (status & X87_C1));
    if (!x87_note(x, status & X87_EXCEPTIONS))
        return;
    x87_set_st(x, dest, r);
    if (pop)
        x87_pop(x);
}

unsigned x87_compare_flags(X86Cpu *x, F80 a, F80 b, bool quiet)
{
    uint64_t rflags;
    unsigned raised;

    x87_host_enter(x);
    if (quiet)
        __asm__ volatile("fucomi %%st(1), %%st\n\tpushf\n\tpop %0"
                         : "=r"(rflags)
                         : "t"(a), "u"(b)
                         : "cc");
    else
        __asm__ volatile("fcomi %%st(1), %%st\n\tpushf\n\tpop %0"
                         : "=r"(rflags)
                         : "t"(a), "u"(b)
                         : "cc");
    raised = x87_host_leave() & X87_EXCEPTIONS;
    x87_note(x, raised);
    return (unsigned) rflags & (VIT_FLAG_C | VIT_FLAG_P | VIT_FLAG_Z);
}

void x87_compare(X86Cpu *x, F80 a, F80 b, bool quiet)
{
    unsigned f = x87_compare_flags(x, a, b, quiet);

    x->fsw = (uint16_t) ((x->fsw & ~X87_CONDITIONS) | (f & VIT_FLAG_C ? X87_C0 : 0) |
                         (f & VIT_FLAG_P ? X87_C2 : 0) | (f & VIT_FLAG_Z ? X87_C3 : 0));
}
