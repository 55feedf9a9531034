/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops-float.c - packed and scalar floating point (Intel SDM vol. 1, 4.8 and 11; vol. 2)
 *
 * Arithmetic is the host's own in the guest's environment; which NaN comes out is x86's rule,
 * applied by hand: the first operand's when it is one, else the second's, made quiet. RCP and RSQRT
 * are the host's approximations on x86 hosts and exact elsewhere (both within the documented
 * error). */
#include "engine/jit/interp-float.h"
#include "engine/jit/vops-private.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static bool is_nan32(uint32_t x) { return (x & 0x7fffffff) > 0x7f800000; }
static bool is_nan64(uint64_t x) { return (x & INT64_MAX) > 0x7ff0000000000000; }
static bool is_snan32(uint32_t x) { return is_nan32(x) && !(x & 0x400000); }
static bool is_snan64(uint64_t x) { return is_nan64(x) && !(x & 0x8000000000000); }

static bool nan32(uint32_t a, uint32_t b, uint32_t *r)
{
    if (!is_nan32(a) && !is_nan32(b))
        return false;
    if (is_snan32(a) || is_snan32(b))
        interp_float_raise(INTERP_INVALID);
    *r = (is_nan32(a) ? a : b) | 0x400000;
    return true;
}

static bool nan64(uint64_t a, uint64_t b, uint64_t *r)
{
    if (!is_nan64(a) && !is_nan64(b))
        return false;
    if (is_snan64(a) || is_snan64(b))
        interp_float_raise(INTERP_INVALID);
    *r = (is_nan64(a) ? a : b) | 0x8000000000000;
    return true;
}

/* An invalid operation reports no denormal operand. */
static void hide_denormal(bool before, bool invalid)
{
    if (invalid && !before)
        interp_float_clear(INTERP_DENORMAL);
}

/* A lane at a time; volatile keeps the compiler from moving or folding what raises flags. */
#define BINARY(op, expr)                                                                           \
    static void op##_32(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)                   \
    {                                                                                              \
        if (!nan32(a->u32[i], b->u32[i], &d->u32[i])) {                                            \
            volatile float x = a->f32[i], y = b->f32[i];                                           \
            d->f32[i] = (expr);                                                                    \
        }                                                                                          \
    }                                                                                              \
    static void op##_64(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)                   \
    {                                                                                              \
        if (!nan64(a->u64[i], b->u64[i], &d->u64[i])) {                                            \
            volatile double x = a->f64[i], y = b->f64[i];                                          \
            d->f64[i] = (expr);                                                                    \
        }                                                                                          \
    }
BINARY(add, x + y)
BINARY(sub, x - y)
BINARY(mul, x * y)
BINARY(div, x / y)

static uint32_t daz32(uint32_t x)
{
    return !(x & 0x7f800000) && interp_float_daz() ? x & 0x80000000 : x;
}

static uint64_t daz64(uint64_t x)
{
    return !(x & 0x7ff0000000000000) && interp_float_daz() ? x & 1ULL << 63 : x;
}

/* MIN and MAX give the second operand when either is a NaN or both are zero. */
#define PICK(op, cmp)                                                                              \
    static void op##_32(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)                   \
    {                                                                                              \
        bool nan = is_nan32(a->u32[i]) || is_nan32(b->u32[i]);                                     \
        bool before = interp_float_raised(INTERP_DENORMAL);                                        \
        volatile float x = a->f32[i], y = b->f32[i];                                               \
        d->u32[i] = daz32(x cmp y ? a->u32[i] : b->u32[i]);                                        \
        hide_denormal(before, nan);                                                                \
    }                                                                                              \
    static void op##_64(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)                   \
    {                                                                                              \
        bool nan = is_nan64(a->u64[i]) || is_nan64(b->u64[i]);                                     \
        bool before = interp_float_raised(INTERP_DENORMAL);                                        \
        volatile double x = a->f64[i], y = b->f64[i];                                              \
        d->u64[i] = daz64(x cmp y ? a->u64[i] : b->u64[i]);                                        \
        hide_denormal(before, nan);                                                                \
    }
PICK(min, <)
PICK(max, >)

static void sqrt_32(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)
{
    bool before = interp_float_raised(INTERP_DENORMAL), negative = b->u32[i] >> 31;
    volatile float x = b->f32[i];

    if (!nan32(b->u32[i], b->u32[i], &d->u32[i]))
        d->f32[i] = sqrtf(x);
    hide_denormal(before, negative);
}

static void sqrt_64(VitVec *d, const VitVec *a, const VitVec *b, unsigned i)
{
    bool before = interp_float_raised(INTERP_DENORMAL), negative = b->u64[i] >> 63;
    volatile double x = b->f64[i];

    if (!nan64(b->u64[i], b->u64[i], &d->u64[i]))
        d->f64[i] = sqrt(x);
    hide_denormal(before, negative);
}

#define FAMILY(NAME, op)                                                                           \
    VOP(NAME##PS) { for (unsigned i = 0; i < 4; i++) op##_32(d, a, b, i); }                        \
    VOP(NAME##PD) { for (unsigned i = 0; i < 2; i++) op##_64(d, a, b, i); }                        \
    VOP(NAME##SS) { *d = *a; op##_32(d, a, b, 0); }                                                \
    VOP(NAME##SD) { *d = *a; op##_64(d, a, b, 0); }
FAMILY(ADD, add)
FAMILY(SUB, sub)
FAMILY(MUL, mul)
FAMILY(DIV, div)
FAMILY(MIN, min)
FAMILY(MAX, max)
FAMILY(SQRT, sqrt)

static float reciprocal(float x, bool root)
{
#if defined(__x86_64__)
    return _mm_cvtss_f32(root ? _mm_rsqrt_ss(_mm_set_ss(x)) : _mm_rcp_ss(_mm_set_ss(x)));
#else
    return 1 / (root ? sqrtf(x) : x);
#endif
}

VOP(RCPPS) { for (unsigned i = 0; i < 4; i++) d->f32[i] = reciprocal(b->f32[i], false); }
VOP(RCPSS) { *d = *a; d->f32[0] = reciprocal(b->f32[0], false); }
VOP(RSQRTPS) { for (unsigned i = 0; i < 4; i++) d->f32[i] = reciprocal(b->f32[i], true); }
VOP(RSQRTSS) { *d = *a; d->f32[0] = reciprocal(b->f32[0], true); }

/* ---- Compares: predicates 0 EQ 1 LT 2 LE 3 UNORD 4 NEQ 5 NLT 6 NLE 7 ORD --------------------- */

static bool compare(double volatile x, double volatile y, unsigned predicate, bool signalling_nan)
{
    bool r;

    switch (predicate & 3) {
    case 0: r = x == y; break;
    case 1: r = x < y; break;
    case 2: r = x <= y; break;
    default: r = isunordered(x, y); break;
    }
    if (signalling_nan)
        interp_float_raise(INTERP_INVALID);
    return r != !!(predicate & 4);
}

static void compare_32(VitVec *d, const VitVec *a, const VitVec *b, unsigned i, unsigned imm)
{
    bool snan = is_snan32(a->u32[i]) || is_snan32(b->u32[i]);
    bool before = interp_float_raised(INTERP_DENORMAL),
         nan = is_nan32(a->u32[i]) || is_nan32(b->u32[i]);
    volatile float x = a->f32[i], y = b->f32[i];

    d->u32[i] = compare(x, y, imm & 7, snan) ? UINT32_MAX : 0;
    hide_denormal(before, nan);
}

static void compare_64(VitVec *d, const VitVec *a, const VitVec *b, unsigned i, unsigned imm)
{
    bool snan = is_snan64(a->u64[i]) || is_snan64(b->u64[i]);
    bool before = interp_float_raised(INTERP_DENORMAL),
         nan = is_nan64(a->u64[i]) || is_nan64(b->u64[i]);

    d->u64[i] = compare(a->f64[i], b->f64[i], imm & 7, snan) ? UINT64_MAX : 0;
    hide_denormal(before, nan);
}

VOP(CMPPS) { for (unsigned i = 0; i < 4; i++) compare_32(d, a, b, i, imm); }
VOP(CMPPD) { for (unsigned i = 0; i < 2; i++) compare_64(d, a, b, i, imm); }
VOP(CMPSS) { *d = *a; compare_32(d, a, b, 0, imm); }
VOP(CMPSD) { *d = *a; compare_64(d, a, b, 0, imm); }

/* ---- Horizontal and dot products ------------------------------------------------------------- */

/* Lanes of both sources in result order: pair i is (even lane, odd lane). */
static void pairs_32(const VitVec *a, const VitVec *b, VitVec *even, VitVec *odd)
{
    for (unsigned i = 0; i < 4; i++) {
        const VitVec *s = i < 2 ? a : b;
        even->u32[i] = s->u32[2 * (i & 1)];
        odd->u32[i] = s->u32[2 * (i & 1) + 1];
    }
}

static void pairs_64(const VitVec *a, const VitVec *b, VitVec *even, VitVec *odd)
{
    even->u64[0] = a->u64[0], odd->u64[0] = a->u64[1];
    even->u64[1] = b->u64[0], odd->u64[1] = b->u64[1];
}

#define HORIZONTAL(NAME, op)                                                                       \
    VOP(NAME##PS)                                                                                  \
    {                                                                                              \
        VitVec x, y;                                                                               \
        pairs_32(a, b, &x, &y);                                                                    \
        for (unsigned i = 0; i < 4; i++)                                                           \
            op##_32(d, &x, &y, i);                                                                 \
    }                                                                                              \
    VOP(NAME##PD)                                                                                  \
    {                                                                                              \
        VitVec x, y;                                                                               \
        pairs_64(a, b, &x, &y);                                                                    \
        for (unsigned i = 0; i < 2; i++)                                                           \
            op##_64(d, &x, &y, i);                                                                 \
    }
HORIZONTAL(HADD, add)
HORIZONTAL(HSUB, sub)

VOP(ADDSUBPS)
{
    for (unsigned i = 0; i < 4; i++)
        (i & 1 ? add_32 : sub_32)(d, a, b, i);
}
VOP(ADDSUBPD)
{
    sub_64(d, a, b, 0);
    add_64(d, a, b, 1);
}

VOP(DPPS)       /* (p0 + p1) + (p2 + p3); products that the mask leaves out are +0 */
{
    VitVec p = { 0 }, x = { 0 }, y = { 0 }, s = { 0 };

    for (unsigned i = 0; i < 4; i++) {
        if (imm >> (4 + i) & 1)
            mul_32(&p, a, b, i);
    }
    x.u32[0] = p.u32[0], y.u32[0] = p.u32[1];
    x.u32[1] = p.u32[2], y.u32[1] = p.u32[3];
    add_32(&s, &x, &y, 0);
    add_32(&s, &x, &y, 1);
    x.u32[0] = s.u32[0], y.u32[0] = s.u32[1];
    add_32(&s, &x, &y, 0);
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = imm >> i & 1 ? s.u32[0] : 0;
}

VOP(DPPD)
{
    VitVec p = { 0 }, y = { 0 }, s = { 0 };

    for (unsigned i = 0; i < 2; i++) {
        if (imm >> (4 + i) & 1)
            mul_64(&p, a, b, i);
    }
    y.u64[0] = p.u64[1];
    add_64(&s, &p, &y, 0);
    for (unsigned i = 0; i < 2; i++)
        d->u64[i] = imm >> i & 1 ? s.u64[0] : 0;
}

/* ---- Rounding and conversion ----------------------------------------------------------------- */

static double round_by(double volatile x, unsigned imm)
{
    volatile double r;
    bool was_inexact = interp_float_raised(INTERP_INEXACT);

    if (imm & 4) {
        r = nearbyint(x);
    } else {
        unsigned before = interp_float_set_rounding(imm & 3);
        r = nearbyint(x);
        interp_float_set_rounding(before);
    }
    if (r != x && !(imm & 8))
        interp_float_raise(INTERP_INEXACT);
    else if (!was_inexact)
        interp_float_clear(INTERP_INEXACT);
    return r;
}

static void round_32(VitVec *d, const VitVec *b, unsigned i, unsigned imm)
{
    bool denormal_before = interp_float_raised(INTERP_DENORMAL);

    if (!nan32(b->u32[i], b->u32[i], &d->u32[i]))
        d->f32[i] = (float) round_by(b->f32[i], imm);
    if (!denormal_before)
        interp_float_clear(INTERP_DENORMAL);
}

static void round_64(VitVec *d, const VitVec *b, unsigned i, unsigned imm)
{
    bool denormal_before = interp_float_raised(INTERP_DENORMAL);

    if (!nan64(b->u64[i], b->u64[i], &d->u64[i]))
        d->f64[i] = round_by(b->f64[i], imm);
    if (!denormal_before)
        interp_float_clear(INTERP_DENORMAL);
}

VOP(ROUNDPS) { for (unsigned i = 0; i < 4; i++) round_32(d, b, i, imm); }
VOP(ROUNDPD) { for (unsigned i = 0; i < 2; i++) round_64(d, b, i, imm); }
VOP(ROUNDSS) { *d = *a; round_32(d, b, 0, imm); }
VOP(ROUNDSD) { *d = *a; round_64(d, b, 0, imm); }

static void widen_lane(VitVec *d, unsigned to, const VitVec *b, unsigned from)
{
    volatile float x = b->f32[from];

    if (is_nan32(b->u32[from])) {
        uint32_t n;
        nan32(b->u32[from], b->u32[from], &n);
        d->u64[to] = (uint64_t) (n >> 31) << 63 | 0x7ff0000000000000 |
                     (uint64_t) (n & 0x7fffff) << 29;
    } else {
        d->f64[to] = x;
    }
}

static void narrow_lane(VitVec *d, unsigned to, const VitVec *b, unsigned from)
{
    volatile double x = b->f64[from];

    if (is_nan64(b->u64[from])) {
        uint64_t n;
        nan64(b->u64[from], b->u64[from], &n);
        d->u32[to] = (uint32_t) (n >> 63) << 31 | 0x7f800000 | (uint32_t) (n >> 29 & 0x7fffff);
    } else {
        d->f32[to] = (float) x;
    }
}

VOP(CVTPS2PD)
{
    widen_lane(d, 0, b, 0);
    widen_lane(d, 1, b, 1);
}
VOP(CVTPD2PS)
{
    d->u64[1] = 0;
    narrow_lane(d, 0, b, 0);
    narrow_lane(d, 1, b, 1);
}
VOP(CVTSS2SD)
{
    *d = *a;
    widen_lane(d, 0, b, 0);
}
VOP(CVTSD2SS)
{
    *d = *a;
    narrow_lane(d, 0, b, 0);
}
VOP(CVTDQ2PS)
{
    for (unsigned i = 0; i < 4; i++) {
        volatile int32_t v = b->s32[i];
        d->f32[i] = (float) v;
    }
}
VOP(CVTDQ2PD)
{
    for (unsigned i = 0; i < 2; i++)
        d->f64[i] = b->s32[i];
}

static void to_ints(VitVec *d, const VitVec *b, unsigned n, unsigned kind)
{
    memset(d, 0, sizeof *d);
    for (unsigned i = 0; i < n; i++) {
        VitVec lane = { 0 };
        if (kind < 2)
            lane.u32[0] = b->u32[i];
        else
            lane.u64[0] = b->u64[i];
        d->u32[i] = (uint32_t) interp_float_to_int(kind, VIT_I32, &lane);
    }
}

VOP(CVTPS2DQ) { to_ints(d, b, 4, 0); }
VOP(CVTTPS2DQ) { to_ints(d, b, 4, 1); }
VOP(CVTPD2DQ) { to_ints(d, b, 2, 2); }
VOP(CVTTPD2DQ) { to_ints(d, b, 2, 3); }
