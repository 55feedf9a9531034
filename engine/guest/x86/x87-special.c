/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87-special.c - D9 E0..FF: signs, constants, transcendentals, remainders
 * (Intel SDM vol. 2, FXAM, FPREM, FSCALE ...) on the host's unit */
#include "engine/guest/x86/x87-private.h"

static void set_conditions(X86Cpu *x, unsigned c)
{
    x->fsw = (uint16_t) ((x->fsw & ~X87_CONDITIONS) | (c & X87_CONDITIONS));
}

static void examine(X86Cpu *x)
{
    unsigned r = x->fp_top;
    uint64_t mant = x->st[r].mant;
    unsigned exponent = x->st[r].se & 0x7fff, c = x->st[r].se & 0x8000 ? X87_C1 : 0;

    if (x87_empty(x, 0))
        c |= X87_C3 | X87_C0;
    else if (exponent == 0)
        c |= mant ? X87_C3 | X87_C2 : X87_C3;           /* denormal, zero */
    else if (!(mant >> 63))
        c |= 0;                                         /* unsupported */
    else if (exponent == 0x7fff)
        c |= mant << 1 ? X87_C0 : X87_C2 | X87_C0;      /* NaN, infinity */
    else
        c |= X87_C2;
    set_conditions(x, c);
}

static void load_constant(X86Cpu *x, unsigned n)
{
    F80 v = 0;

    x87_host_enter(x);
    switch (n) {
    case 0: __asm__ volatile("fld1" : "=t"(v)); break;
    case 1: __asm__ volatile("fldl2t" : "=t"(v)); break;
    case 2: __asm__ volatile("fldl2e" : "=t"(v)); break;
    case 3: __asm__ volatile("fldpi" : "=t"(v)); break;
    case 4: __asm__ volatile("fldlg2" : "=t"(v)); break;
    case 5: __asm__ volatile("fldln2" : "=t"(v)); break;
    default: __asm__ volatile("fldz" : "=t"(v)); break;
    }
    x87_host_leave();
    x->fsw &= ~X87_C1;
    x87_push(x, v);
}

typedef struct {
    F80      st0, st1;      /* in and out */
    unsigned raised;        /* exceptions and C1 */
    unsigned conditions;
} Unary;

/* One host instruction on ST(0) (and ST(1)); the status word gives exceptions and conditions. */
#define RUN(text, ...)                                                                             \
    do {                                                                                           \
        uint16_t sw_;                                                                              \
        x87_host_enter(x);                                                                         \
        __asm__ volatile(text "\n\tfnstsw %[sw]" : "+t"(u->st0), [sw] "=m"(sw_) __VA_ARGS__);      \
        u->conditions = sw_ & X87_CONDITIONS;                                                      \
        u->raised = sw_ & (X87_EXCEPTIONS | X87_C1);                                               \
        x87_host_leave();                                                                          \
    } while (0)

static void run_unary(X86Cpu *x, unsigned modrm, Unary *u)
{
    switch (modrm) {
    case 0xf0: RUN("f2xm1"); break;
    case 0xfa: RUN("fsqrt"); break;
    case 0xfc: RUN("frndint"); break;
    case 0xfe: RUN("fsin"); break;
    case 0xff: RUN("fcos"); break;
    case 0xf1: RUN("fyl2x", : "u"(u->st1) : "st(1)"); break;
    case 0xf9: RUN("fyl2xp1", : "u"(u->st1) : "st(1)"); break;
    case 0xf3: RUN("fpatan", : "u"(u->st1) : "st(1)"); break;
    case 0xf5: RUN("fprem1", : "u"(u->st1)); break;
    case 0xf8: RUN("fprem", : "u"(u->st1)); break;
    default: RUN("fscale", : "u"(u->st1)); break;
    }
}

/* Result replaces ST(0), or after a pop what was ST(1). */
static void unary(X86Cpu *x, unsigned modrm)
{
    bool pops = modrm == 0xf1 || modrm == 0xf9 || modrm == 0xf3;
    bool two = pops || modrm == 0xf5 || modrm == 0xf8 || modrm == 0xfd;
    Unary u = { .st0 = x87_st(x, 0), .st1 = x87_st(x, 1) };

    if (x87_empty(x, 0) || (two && x87_empty(x, 1))) {
        if (!x87_stack_fault(x, false))
            return;
        u.st0 = x87_indefinite();
        if (modrm == 0xf5 || modrm == 0xf8)
            x->fsw &= ~X87_C2;
    } else {
        run_unary(x, modrm, &u);
        unsigned keep = modrm == 0xf5 || modrm == 0xf8 ? X87_CONDITIONS     /* quotient bits */
                        : modrm == 0xfe || modrm == 0xff ? X87_C1 | X87_C2 : X87_C1;
        X87Value result = x87_to_value(u.st0);
        if ((modrm == 0xf5 || modrm == 0xf8) && (result.se & 0x7fff) == 0x7fff) {
            keep = X87_C1 | X87_C2;                         /* no quotient: C3 and C0 stay */
            u.conditions = 0;
        }
        x->fsw = (uint16_t) ((x->fsw & ~keep) | (u.conditions & keep));
        if (!x87_note(x, u.raised & X87_EXCEPTIONS))
            return;
        if ((modrm == 0xfe || modrm == 0xff) && (u.conditions & X87_C2))
            return;                                     /* out of range: unchanged */
    }
    if (pops)
        x87_pop(x);
    x87_set_st(x, 0, u.st0);
}

/* FPTAN, FSINCOS, FXTRACT: ST(0) becomes one result and another is pushed. */
static void binary_result(X86Cpu *x, unsigned modrm)
{
    F80 in = x87_st(x, 0), first, second;
    uint16_t sw;

    if (x87_empty(x, 0) || !x87_empty(x, 7)) {
        if (!x87_stack_fault(x, !x87_empty(x, 0)))
            return;
        x87_set_st(x, 0, x87_indefinite());
        x->fp_top = (x->fp_top - 1) & 7;
        x87_set_st(x, 0, x87_indefinite());
        return;
    }
    x87_host_enter(x);
    if (modrm == 0xf4) {
        __asm__ volatile("fxtract\n\tfnstsw %2" : "=t"(second), "=u"(first), "=m"(sw) : "0"(in));
    } else {
        /* these push nothing when out of range, so test on a copy first */
        F80 probe = in;
        __asm__ volatile("fsin\n\tfnstsw %1" : "+t"(probe), "=m"(sw));
        if (sw & X87_C2) {
            x87_host_leave();
            x->fsw |= X87_C2;
            return;
        }
        __asm__ volatile("fnclex");
        if (modrm == 0xf2)
            __asm__ volatile("fptan\n\tfnstsw %2" : "=t"(second), "=u"(first), "=m"(sw) : "0"(in));
        else
            __asm__ volatile("fsincos\n\tfnstsw %2"
                             : "=t"(second), "=u"(first), "=m"(sw)
                             : "0"(in));
    }
    x->fsw = (uint16_t) ((x->fsw & ~(modrm == 0xf4 ? X87_C1 : X87_C1 | X87_C2)) | (sw & X87_C1));
    if (!x87_note(x, x87_host_leave() & X87_EXCEPTIONS))
        return;
    x87_set_st(x, 0, first);
    x->fp_top = (x->fp_top - 1) & 7;
    x87_set_st(x, 0, second);
}

static void change_sign(X86Cpu *x, bool absolute)
{
    if (x87_empty(x, 0)) {
        if (x87_stack_fault(x, false))
            x87_set_st(x, 0, x87_indefinite());
        return;
    }
    x->fsw &= ~X87_C1;
    if (absolute)
        x->st[x->fp_top].se &= 0x7fff;
    else
        x->st[x->fp_top].se ^= 0x8000;
}

void x87_special(X86Cpu *x, unsigned modrm)
{
    switch (modrm) {
    case 0xe0: change_sign(x, false); break;
    case 0xe1: change_sign(x, true); break;
    case 0xe4:
        if (x87_empty(x, 0)) {
            x87_stack_fault(x, false);
            set_conditions(x, X87_C0 | X87_C2 | X87_C3);
        } else {
            x87_compare(x, x87_st(x, 0), 0, false);
        }
        break;
    case 0xe5: examine(x); break;
    case 0xe8 ... 0xee: load_constant(x, modrm - 0xe8); break;
    case 0xf2: case 0xf4: case 0xfb: binary_result(x, modrm); break;
    case 0xf6: x->fp_top = (x->fp_top - 1) & 7; x->fsw &= ~X87_C1; break;
    case 0xf7: x->fp_top = (x->fp_top + 1) & 7; x->fsw &= ~X87_C1; break;
    case 0xf0: case 0xf1: case 0xf3: case 0xf5: case 0xf8: case 0xf9: case 0xfa: case 0xfc:
    case 0xfd: case 0xfe: case 0xff:
        unary(x, modrm);
        break;
    default:
        x86_raise(x, X86_UD);
    }
}
