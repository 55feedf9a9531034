/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/interp-float.c - scalar conversions and compares of the interpreter
 *
 * Written so that the compiler's own conversions raise the flags that IEEE 754 asks for; flags that
 * C does not promise (invalid on out-of-range) are raised by hand. */
#include "engine/jit/interp-float.h"

#include "engine/jit/ir-eval.h"

#include <fenv.h>
#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static uint32_t *guest_csr(VitCpu *cpu)
{
    return (uint32_t *) ((uint8_t *) cpu + cpu->isa->mxcsr_offset);
}

#if defined(__x86_64__)
enum { CSR_DEFAULT = 0x1f80, CSR_STICKY = 0x3f, CSR_MASKS = 0x1f80 };

void interp_float_enter(VitCpu *cpu)
{
    _mm_setcsr(*guest_csr(cpu) | CSR_MASKS);
}

void interp_float_leave(VitCpu *cpu)
{
    *guest_csr(cpu) |= _mm_getcsr() & CSR_STICKY;
    _mm_setcsr(CSR_DEFAULT);
}

/* <fenv.h> keeps some of these in the x87 unit on x86-64: go to MXCSR itself. */
void interp_float_raise(unsigned bits) { _mm_setcsr(_mm_getcsr() | bits); }
void interp_float_clear(unsigned bits) { _mm_setcsr(_mm_getcsr() & ~bits); }
bool interp_float_raised(unsigned bits) { return _mm_getcsr() & bits; }
bool interp_float_daz(void) { return _mm_getcsr() & 0x40; }

unsigned interp_float_set_rounding(unsigned rounding)
{
    unsigned csr = _mm_getcsr();

    _mm_setcsr((csr & ~(3u << 13)) | rounding << 13);
    return csr >> 13 & 3;
}
#else
static const int fe_rounding[4] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };

unsigned interp_float_set_rounding(unsigned rounding)
{
    int before = fegetround();
    unsigned n = 0;

    while (n < 3 && fe_rounding[n] != before)
        n++;
    fesetround(fe_rounding[rounding]);
    return n;
}

static int fe_bits(unsigned bits)
{
    return (bits & INTERP_INVALID ? FE_INVALID : 0) | (bits & INTERP_INEXACT ? FE_INEXACT : 0);
}

void interp_float_raise(unsigned bits) { feraiseexcept(fe_bits(bits)); }
void interp_float_clear(unsigned bits) { feclearexcept(fe_bits(bits)); }
bool interp_float_raised(unsigned bits) { return fetestexcept(fe_bits(bits)); }
bool interp_float_daz(void) { return false; }

void interp_float_enter(VitCpu *cpu)
{
    feclearexcept(FE_ALL_EXCEPT);
    interp_float_set_rounding(*guest_csr(cpu) >> 13 & 3);
}

void interp_float_leave(VitCpu *cpu)
{
    int raised = fetestexcept(FE_ALL_EXCEPT);
    uint32_t sticky = (raised & FE_INVALID ? 1 : 0) | (raised & FE_DIVBYZERO ? 4 : 0) |
                      (raised & FE_OVERFLOW ? 8 : 0) | (raised & FE_UNDERFLOW ? 16 : 0) |
                      (raised & FE_INEXACT ? 32 : 0);

    *guest_csr(cpu) |= sticky;
    fesetround(FE_TONEAREST);
}
#endif

static uint64_t to_int(unsigned kind, VitType to, const VitVec *a)
{
    volatile double x = kind < 2 ? (double) a->f32[0] : a->f64[0];
    double limit = to == VIT_I32 ? 0x1p31 : 0x1p63;
    volatile double whole;
    bool inexact_before = interp_float_raised(INTERP_INEXACT);

    if (isnan(x)) {
        interp_float_raise(INTERP_INVALID);
        return to == VIT_I32 ? 0x80000000u : 1ULL << 63;
    }
    whole = kind & 1 ? trunc(x) : nearbyint(x);
    if (whole >= limit || whole < -limit) {
        interp_float_raise(INTERP_INVALID);
        return to == VIT_I32 ? 0x80000000u : 1ULL << 63;
    }
    if (whole != x)
        interp_float_raise(INTERP_INEXACT);
    else if (!inexact_before)
        interp_float_clear(INTERP_INEXACT);
    return ir_truncate(to, (uint64_t) (int64_t) whole);
}

uint64_t interp_float_to_int(unsigned kind, VitType to, const VitVec *a)
{
    bool denormal_before = interp_float_raised(INTERP_DENORMAL);
    uint64_t r = to_int(kind, to, a);

    if (!denormal_before)       /* conversions to integers do not report it */
        interp_float_clear(INTERP_DENORMAL);
    return r;
}

void interp_int_to_float(unsigned kind, VitType from, uint64_t value, VitVec *out)
{
    volatile int64_t v = ir_sign(from, value);

    if (kind == 0)
        out->f32[0] = (float) v;
    else
        out->f64[0] = (double) v;
}

unsigned interp_float_compare(unsigned kind, const VitVec *a, const VitVec *b)
{
    bool denormal_before = interp_float_raised(INTERP_DENORMAL);
    volatile double x = kind < 2 ? (double) a->f32[0] : a->f64[0];
    volatile double y = kind < 2 ? (double) b->f32[0] : b->f64[0];

    if (isunordered(x, y)) {
        if (!denormal_before)
            interp_float_clear(INTERP_DENORMAL);
        if (kind & 1)
            interp_float_raise(INTERP_INVALID);
        return VIT_FLAG_Z | VIT_FLAG_P | VIT_FLAG_C;
    }
    if (x == y)
        return VIT_FLAG_Z;
    return x < y ? VIT_FLAG_C : 0;
}
