/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops-int.c - packed integer arithmetic, compares and shifts (Intel SDM vol. 2) */
#include "engine/jit/vops-private.h"

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

VOP(MOVDQA) { *d = *b; }

LANES(PADDB, u8, 16, unsigned, (uint8_t) (x + y))
LANES(PADDW, u16, 8, unsigned, (uint16_t) (x + y))
LANES(PADDD, u32, 4, uint32_t, x + y)
LANES(PADDQ, u64, 2, uint64_t, x + y)
LANES(PSUBB, u8, 16, unsigned, (uint8_t) (x - y))
LANES(PSUBW, u16, 8, unsigned, (uint16_t) (x - y))
LANES(PSUBD, u32, 4, uint32_t, x - y)
LANES(PSUBQ, u64, 2, uint64_t, x - y)
LANES(PADDSB, s8, 16, int, (int8_t) clamp(x + y, -128, 127))
LANES(PADDSW, s16, 8, int, (int16_t) clamp(x + y, -32768, 32767))
LANES(PADDUSB, u8, 16, int, (uint8_t) clamp(x + y, 0, 255))
LANES(PADDUSW, u16, 8, int, (uint16_t) clamp(x + y, 0, 65535))
LANES(PSUBSB, s8, 16, int, (int8_t) clamp(x - y, -128, 127))
LANES(PSUBSW, s16, 8, int, (int16_t) clamp(x - y, -32768, 32767))
LANES(PSUBUSB, u8, 16, int, (uint8_t) clamp(x - y, 0, 255))
LANES(PSUBUSW, u16, 8, int, (uint16_t) clamp(x - y, 0, 65535))

LANES(PAND, u64, 2, uint64_t, x & y)
LANES(PANDN, u64, 2, uint64_t, ~x & y)
LANES(POR, u64, 2, uint64_t, x | y)
LANES(PXOR, u64, 2, uint64_t, x ^ y)

LANES(PCMPEQB, u8, 16, uint8_t, x == y ? 0xff : 0)
LANES(PCMPEQW, u16, 8, uint16_t, x == y ? 0xffff : 0)
LANES(PCMPEQD, u32, 4, uint32_t, x == y ? UINT32_MAX : 0)
LANES(PCMPEQQ, u64, 2, uint64_t, x == y ? UINT64_MAX : 0)
LANES(PCMPGTB, s8, 16, int8_t, x > y ? -1 : 0)
LANES(PCMPGTW, s16, 8, int16_t, x > y ? -1 : 0)
LANES(PCMPGTD, s32, 4, int32_t, x > y ? -1 : 0)
LANES(PCMPGTQ, s64, 2, int64_t, x > y ? -1 : 0)

LANES(PMULLW, u16, 8, unsigned, (uint16_t) (x * y))
LANES(PMULHW, s16, 8, int, (int16_t) ((x * y) >> 16))
LANES(PMULHUW, u16, 8, unsigned, (uint16_t) ((x * y) >> 16))
LANES(PMULHRSW, s16, 8, int, (int16_t) ((((x * y) >> 14) + 1) >> 1))
LANES(PMULLD, u32, 4, uint32_t, x * y)
LANES(PAVGB, u8, 16, unsigned, (uint8_t) ((x + y + 1) >> 1))
LANES(PAVGW, u16, 8, unsigned, (uint16_t) ((x + y + 1) >> 1))

VOP(PMULUDQ)
{
    for (unsigned i = 0; i < 2; i++)
        d->u64[i] = (uint64_t) a->u32[2 * i] * b->u32[2 * i];
}
VOP(PMULDQ)
{
    for (unsigned i = 0; i < 2; i++)
        d->s64[i] = (int64_t) a->s32[2 * i] * b->s32[2 * i];
}
VOP(PMADDWD)
{
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = (uint32_t) (a->s16[2 * i] * b->s16[2 * i]) +
                    (uint32_t) (a->s16[2 * i + 1] * b->s16[2 * i + 1]);
}
VOP(PMADDUBSW)
{
    for (unsigned i = 0; i < 8; i++)
        d->s16[i] = (int16_t) clamp(a->u8[2 * i] * b->s8[2 * i] +
                                    a->u8[2 * i + 1] * b->s8[2 * i + 1], -32768, 32767);
}
VOP(PSADBW)
{
    for (unsigned h = 0; h < 2; h++) {
        unsigned sum = 0;
        for (unsigned i = 8 * h; i < 8 * h + 8; i++)
            sum += (unsigned) (a->u8[i] > b->u8[i] ? a->u8[i] - b->u8[i] : b->u8[i] - a->u8[i]);
        d->u64[h] = sum;
    }
}

LANES(PMINUB, u8, 16, uint8_t, MIN(x, y))
LANES(PMAXUB, u8, 16, uint8_t, MAX(x, y))
LANES(PMINSW, s16, 8, int16_t, MIN(x, y))
LANES(PMAXSW, s16, 8, int16_t, MAX(x, y))
LANES(PMINSB, s8, 16, int8_t, MIN(x, y))
LANES(PMAXSB, s8, 16, int8_t, MAX(x, y))
LANES(PMINUW, u16, 8, uint16_t, MIN(x, y))
LANES(PMAXUW, u16, 8, uint16_t, MAX(x, y))
LANES(PMINSD, s32, 4, int32_t, MIN(x, y))
LANES(PMAXSD, s32, 4, int32_t, MAX(x, y))
LANES(PMINUD, u32, 4, uint32_t, MIN(x, y))
LANES(PMAXUD, u32, 4, uint32_t, MAX(x, y))

VOP(PHMINPOSUW)
{
    unsigned at = 0;

    for (unsigned i = 1; i < 8; i++) {
        if (b->u16[i] < b->u16[at])
            at = i;
    }
    memset(d, 0, sizeof *d);
    d->u16[0] = b->u16[at];
    d->u16[1] = (uint16_t) at;
}

LANES(PABSB, u8, 16, int8_t, (uint8_t) (x = (int8_t) y, x < 0 ? -x : x))
LANES(PABSW, u16, 8, int16_t, (uint16_t) (x = (int16_t) y, x < 0 ? -x : x))
LANES(PABSD, u32, 4, int32_t, y < 0 ? 0u - (uint32_t) y : (uint32_t) y)
LANES(PSIGNB, s8, 16, int, (int8_t) (y < 0 ? -x : y ? x : 0))
LANES(PSIGNW, s16, 8, int, (int16_t) (y < 0 ? -x : y ? x : 0))
LANES(PSIGND, u32, 4, uint32_t, (int32_t) y < 0 ? 0u - x : y ? x : 0)

/* ---- Shifts: a count above the lane's width clears it, or fills it with the sign ------------- */

#define SHIFT(name, lane, n, T, over, expr)                                                        \
    static void shift_##name(VitVec *d, const VitVec *a, uint64_t c)                               \
    {                                                                                              \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            T x = a->lane[i];                                                                      \
            d->lane[i] = c >= 8 * sizeof x ? (over) : (T) (expr);                                  \
        }                                                                                          \
    }                                                                                              \
    VOP(name) { shift_##name(d, a, b->u64[0]); }                                                   \
    VOP(name##I) { shift_##name(d, a, imm); }

SHIFT(PSLLW, u16, 8, uint16_t, 0, x << c)
SHIFT(PSLLD, u32, 4, uint32_t, 0, x << c)
SHIFT(PSLLQ, u64, 2, uint64_t, 0, x << c)
SHIFT(PSRLW, u16, 8, uint16_t, 0, x >> c)
SHIFT(PSRLD, u32, 4, uint32_t, 0, x >> c)
SHIFT(PSRLQ, u64, 2, uint64_t, 0, x >> c)
SHIFT(PSRAW, s16, 8, int16_t, (int16_t) (x >> 15), x >> c)
SHIFT(PSRAD, s32, 4, int32_t, x >> 31, x >> c)

VOP(PSLLDQI)
{
    memset(d, 0, sizeof *d);
    if (imm < 16)
        memcpy(d->u8 + imm, a->u8, 16 - imm);
}
VOP(PSRLDQI)
{
    memset(d, 0, sizeof *d);
    if (imm < 16)
        memcpy(d->u8, a->u8 + imm, 16 - imm);
}

/* ---- Horizontal: the pairs of a, then those of b --------------------------------------------- */

#define PAIRS(name, lane, n, T, expr)                                                              \
    VOP(name)                                                                                      \
    {                                                                                              \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            const VitVec *s = i < (n) / 2 ? a : b;                                                 \
            T x = s->lane[2 * (i % ((n) / 2))], y = s->lane[2 * (i % ((n) / 2)) + 1];              \
            d->lane[i] = (expr);                                                                   \
        }                                                                                          \
    }
PAIRS(PHADDW, u16, 8, unsigned, (uint16_t) (x + y))
PAIRS(PHADDD, u32, 4, uint32_t, x + y)
PAIRS(PHADDSW, s16, 8, int, (int16_t) clamp(x + y, -32768, 32767))
PAIRS(PHSUBW, u16, 8, unsigned, (uint16_t) (x - y))
PAIRS(PHSUBD, u32, 4, uint32_t, x - y)
PAIRS(PHSUBSW, s16, 8, int, (int16_t) clamp(x - y, -32768, 32767))

VOP(MPSADBW)
{
    const uint8_t *s = b->u8 + 4 * (imm & 3), *t = a->u8 + (imm & 4);

    for (unsigned i = 0; i < 8; i++) {
        unsigned sum = 0;
        for (unsigned k = 0; k < 4; k++)
            sum += (unsigned) (t[i + k] > s[k] ? t[i + k] - s[k] : s[k] - t[i + k]);
        d->u16[i] = (uint16_t) sum;
    }
}
