/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops-shuffle.c - moves, packing, interleaving, widening, blends; AES and carry-less
 * multiply */
#include "engine/jit/vops-private.h"

/* ---- Interleave and pack --------------------------------------------------------------------- */

#define UNPACK(name, lane, n, from)                                                                \
    VOP(name)                                                                                      \
    {                                                                                              \
        for (unsigned i = 0; i < (n) / 2; i++) {                                                   \
            d->lane[2 * i] = a->lane[(from) + i];                                                  \
            d->lane[2 * i + 1] = b->lane[(from) + i];                                              \
        }                                                                                          \
    }
UNPACK(PUNPCKLBW, u8, 16, 0)
UNPACK(PUNPCKLWD, u16, 8, 0)
UNPACK(PUNPCKLDQ, u32, 4, 0)
UNPACK(PUNPCKLQDQ, u64, 2, 0)
UNPACK(PUNPCKHBW, u8, 16, 8)
UNPACK(PUNPCKHWD, u16, 8, 4)
UNPACK(PUNPCKHDQ, u32, 4, 2)
UNPACK(PUNPCKHQDQ, u64, 2, 1)
UNPACK(UNPCKLPS, u32, 4, 0)
UNPACK(UNPCKHPS, u32, 4, 2)
UNPACK(UNPCKLPD, u64, 2, 0)
UNPACK(UNPCKHPD, u64, 2, 1)

#define PACK(name, from, to, n, low, high)                                                         \
    VOP(name)                                                                                      \
    {                                                                                              \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            int32_t v = i < (n) / 2 ? a->from[i] : b->from[i - (n) / 2];                           \
            d->to[i] = (typeof(d->to[0])) (v < (low) ? (low) : v > (high) ? (high) : v);           \
        }                                                                                          \
    }
PACK(PACKSSWB, s16, s8, 16, -128, 127)
PACK(PACKSSDW, s32, s16, 8, -32768, 32767)
PACK(PACKUSWB, s16, u8, 16, 0, 255)
PACK(PACKUSDW, s32, u16, 8, 0, 65535)

#define WIDEN(name, from, to, n)                                                                   \
    VOP(name)                                                                                      \
    {                                                                                              \
        for (unsigned i = 0; i < (n); i++)                                                         \
            d->to[i] = b->from[i];                                                                 \
    }
WIDEN(PMOVSXBW, s8, s16, 8)
WIDEN(PMOVSXBD, s8, s32, 4)
WIDEN(PMOVSXBQ, s8, s64, 2)
WIDEN(PMOVSXWD, s16, s32, 4)
WIDEN(PMOVSXWQ, s16, s64, 2)
WIDEN(PMOVSXDQ, s32, s64, 2)
WIDEN(PMOVZXBW, u8, u16, 8)
WIDEN(PMOVZXBD, u8, u32, 4)
WIDEN(PMOVZXBQ, u8, u64, 2)
WIDEN(PMOVZXWD, u16, u32, 4)
WIDEN(PMOVZXWQ, u16, u64, 2)
WIDEN(PMOVZXDQ, u32, u64, 2)

/* ---- Shuffles -------------------------------------------------------------------------------- */

LANES(PSHUFB, u8, 16, uint8_t, y & 0x80 ? 0 : a->u8[y & 15])

VOP(PSHUFD)
{
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = b->u32[imm >> (2 * i) & 3];
}
VOP(PSHUFLW)
{
    d->u64[1] = b->u64[1];
    for (unsigned i = 0; i < 4; i++)
        d->u16[i] = b->u16[imm >> (2 * i) & 3];
}
VOP(PSHUFHW)
{
    d->u64[0] = b->u64[0];
    for (unsigned i = 0; i < 4; i++)
        d->u16[4 + i] = b->u16[4 + (imm >> (2 * i) & 3)];
}
VOP(SHUFPS)
{
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = (i < 2 ? a : b)->u32[imm >> (2 * i) & 3];
}
VOP(SHUFPD)
{
    d->u64[0] = a->u64[imm & 1];
    d->u64[1] = b->u64[imm >> 1 & 1];
}
VOP(PALIGNR)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned at = i + imm;
        d->u8[i] = at < 16 ? b->u8[at] : at < 32 ? a->u8[at - 16] : 0;
    }
}
VOP(PBLENDW)
{
    for (unsigned i = 0; i < 8; i++)
        d->u16[i] = (imm >> i & 1 ? b : a)->u16[i];
}
VOP(BLENDPS)
{
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = (imm >> i & 1 ? b : a)->u32[i];
}
VOP(BLENDPD)
{
    for (unsigned i = 0; i < 2; i++)
        d->u64[i] = (imm >> i & 1 ? b : a)->u64[i];
}
VOP(INSERTPS)
{
    *d = *a;
    d->u32[imm >> 4 & 3] = b->u32[imm >> 6 & 3];
    for (unsigned i = 0; i < 4; i++) {
        if (imm >> i & 1)
            d->u32[i] = 0;
    }
}
VOP(MOVSS)
{
    *d = *a;
    d->u32[0] = b->u32[0];
}
VOP(MOVSD)
{
    *d = *a;
    d->u64[0] = b->u64[0];
}
VOP(MOVHLPS)
{
    d->u64[0] = b->u64[1];
    d->u64[1] = a->u64[1];
}
VOP(MOVLHPS)
{
    d->u64[0] = a->u64[0];
    d->u64[1] = b->u64[0];
}
VOP(MOVQ)
{
    d->u64[0] = b->u64[0];
    d->u64[1] = 0;
}
VOP(MOVDDUP)
{
    d->u64[0] = d->u64[1] = b->u64[0];
}
VOP(MOVSLDUP)
{
    d->u32[0] = d->u32[1] = b->u32[0];
    d->u32[2] = d->u32[3] = b->u32[2];
}
VOP(MOVSHDUP)
{
    d->u32[0] = d->u32[1] = b->u32[1];
    d->u32[2] = d->u32[3] = b->u32[3];
}

/* ---- AES (FIPS 197), computed rather than tabled: this is the oracle, not the fast path ------ */

static uint8_t gf_mul(uint8_t x, uint8_t y)     /* modulo x^8 + x^4 + x^3 + x + 1 */
{
    uint8_t r = 0;

    for (; y; y >>= 1) {
        if (y & 1)
            r ^= x;
        x = (uint8_t) (x << 1 ^ (x & 0x80 ? 0x1b : 0));
    }
    return r;
}

static uint8_t gf_inverse(uint8_t x)            /* x^254 */
{
    uint8_t r = 1;

    for (unsigned i = 0; i < 7; i++) {
        x = gf_mul(x, x);
        r = gf_mul(r, x);
    }
    return r;
}

static uint8_t rotate8(uint8_t x, unsigned n)
{
    return (uint8_t) (x << n | x >> (8 - n));
}

static uint8_t sub_byte(uint8_t x)
{
    uint8_t i = gf_inverse(x);

    return i ^ rotate8(i, 1) ^ rotate8(i, 2) ^ rotate8(i, 3) ^ rotate8(i, 4) ^ 0x63;
}

static uint8_t inverse_sub_byte(uint8_t x)
{
    return gf_inverse(rotate8(x, 1) ^ rotate8(x, 3) ^ rotate8(x, 6) ^ 0x05);
}

/* Columns of four bytes: byte row r of column c is at 4c + r; ShiftRows rotates row r left by r. */
static void shift_rows(VitVec *d, const VitVec *a, bool inverse)
{
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned r = 0; r < 4; r++)
            d->u8[4 * c + r] = a->u8[4 * ((inverse ? c + 4 - r : c + r) & 3) + r];
    }
}

static void mix_columns(VitVec *d, const VitVec *a, const uint8_t row[4])
{
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned r = 0; r < 4; r++) {
            d->u8[4 * c + r] = 0;
            for (unsigned k = 0; k < 4; k++)
                d->u8[4 * c + r] ^= gf_mul(a->u8[4 * c + k], row[(k + 4 - r) & 3]);
        }
    }
}

static const uint8_t mix[4] = { 2, 3, 1, 1 }, unmix[4] = { 14, 11, 13, 9 };

static void aes_round(VitVec *d, const VitVec *a, const VitVec *key, bool last, bool inverse)
{
    VitVec t, m;

    shift_rows(&t, a, inverse);
    for (unsigned i = 0; i < 16; i++)
        t.u8[i] = inverse ? inverse_sub_byte(t.u8[i]) : sub_byte(t.u8[i]);
    if (last)
        m = t;
    else
        mix_columns(&m, &t, inverse ? unmix : mix);
    for (unsigned i = 0; i < 2; i++)
        d->u64[i] = m.u64[i] ^ key->u64[i];
}

VOP(AESENC) { aes_round(d, a, b, false, false); }
VOP(AESENCLAST) { aes_round(d, a, b, true, false); }
VOP(AESDEC) { aes_round(d, a, b, false, true); }
VOP(AESDECLAST) { aes_round(d, a, b, true, true); }
VOP(AESIMC) { mix_columns(d, b, unmix); }

static uint32_t sub_word(uint32_t x)
{
    return sub_byte((uint8_t) x) | (uint32_t) sub_byte((uint8_t) (x >> 8)) << 8 |
           (uint32_t) sub_byte((uint8_t) (x >> 16)) << 16 |
           (uint32_t) sub_byte((uint8_t) (x >> 24)) << 24;
}

VOP(AESKEYGENASSIST)
{
    for (unsigned h = 0; h < 2; h++) {
        uint32_t s = sub_word(b->u32[2 * h + 1]);
        d->u32[2 * h] = s;
        d->u32[2 * h + 1] = (s >> 8 | s << 24) ^ (imm & 0xff);
    }
}

VOP(PCLMULQDQ)
{
    uint64_t x = a->u64[imm & 1], y = b->u64[imm >> 4 & 1];

    d->u64[0] = d->u64[1] = 0;
    for (unsigned i = 0; i < 64; i++) {
        if (y >> i & 1) {
            d->u64[0] ^= x << i;
            d->u64[1] ^= i ? x >> (64 - i) : 0;
        }
    }
}
