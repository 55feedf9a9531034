/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/vops.h - vector operations of the IR: one row each, for builder, interpreter and hosts
 *
 * Each works on 128-bit values as the x86 instruction of that name in its legacy two-operand form
 * (d = d op s): row: name, mandatory prefix (0, 0x66, 0xf2, 0xf3), opcode map (1 = 0F, 2 = 0F38,
 * 3 = 0F3A), opcode, shape.  Shapes: BIN d=op(a,b); UN d=op(b) a ignored; IMM d=op(a,b,imm8);
 * UNIMM d=op(b,imm8); SHI shift of a by imm8 (opcode extension in the high byte: ext << 8 |
 * opcode); SCALAR d=a with low lane op(a,b) (sqrt, convert: low lane op(b)).  128 bits are always
 * defined.  Immediate and variable forms of shifts are separate rows. */
#pragma once
#include "engine/jit/ir.h"

typedef enum { VIT_VSHAPE_BIN, VIT_VSHAPE_UN, VIT_VSHAPE_IMM, VIT_VSHAPE_UNIMM,
               VIT_VSHAPE_SHI } VitVopShape;

typedef union {     /* a 128-bit value, little-endian lanes */
    uint8_t u8[16]; int8_t s8[16]; uint16_t u16[8]; int16_t s16[8]; uint32_t u32[4]; int32_t s32[4];
    uint64_t u64[2]; int64_t s64[2]; float f32[4]; double f64[2];
} VitVec __attribute__((aligned(16)));

/* clang-format off */
#define VIT_VOPS(X) \
    X(MOVDQA, 0x66,1,0x6f, UN) /* copy */ \
    X(PADDB, 0x66,1,0xfc, BIN) X(PADDW, 0x66,1,0xfd, BIN) \
    X(PADDD, 0x66,1,0xfe, BIN) X(PADDQ, 0x66,1,0xd4, BIN) \
    X(PSUBB, 0x66,1,0xf8, BIN) X(PSUBW, 0x66,1,0xf9, BIN) \
    X(PSUBD, 0x66,1,0xfa, BIN) X(PSUBQ, 0x66,1,0xfb, BIN) \
    X(PADDSB, 0x66,1,0xec, BIN) X(PADDSW, 0x66,1,0xed, BIN) \
    X(PADDUSB, 0x66,1,0xdc, BIN) X(PADDUSW, 0x66,1,0xdd, BIN) \
    X(PSUBSB, 0x66,1,0xe8, BIN) X(PSUBSW, 0x66,1,0xe9, BIN) \
    X(PSUBUSB, 0x66,1,0xd8, BIN) X(PSUBUSW, 0x66,1,0xd9, BIN) \
    X(PAND, 0x66,1,0xdb, BIN) X(PANDN, 0x66,1,0xdf, BIN) \
    X(POR, 0x66,1,0xeb, BIN) X(PXOR, 0x66,1,0xef, BIN) \
    X(PCMPEQB, 0x66,1,0x74, BIN) X(PCMPEQW, 0x66,1,0x75, BIN) \
    X(PCMPEQD, 0x66,1,0x76, BIN) X(PCMPEQQ, 0x66,2,0x29, BIN) \
    X(PCMPGTB, 0x66,1,0x64, BIN) X(PCMPGTW, 0x66,1,0x65, BIN) \
    X(PCMPGTD, 0x66,1,0x66, BIN) X(PCMPGTQ, 0x66,2,0x37, BIN) \
    X(PMULLW, 0x66,1,0xd5, BIN) X(PMULHW, 0x66,1,0xe5, BIN) \
    X(PMULHUW, 0x66,1,0xe4, BIN) X(PMULUDQ, 0x66,1,0xf4, BIN) \
    X(PMADDWD, 0x66,1,0xf5, BIN) X(PSADBW, 0x66,1,0xf6, BIN) \
    X(PAVGB, 0x66,1,0xe0, BIN) X(PAVGW, 0x66,1,0xe3, BIN) \
    X(PMINUB, 0x66,1,0xda, BIN) X(PMAXUB, 0x66,1,0xde, BIN) \
    X(PMINSW, 0x66,1,0xea, BIN) X(PMAXSW, 0x66,1,0xee, BIN) \
    X(PUNPCKLBW, 0x66,1,0x60, BIN) X(PUNPCKLWD, 0x66,1,0x61, BIN) \
    X(PUNPCKLDQ, 0x66,1,0x62, BIN) X(PUNPCKLQDQ, 0x66,1,0x6c, BIN) \
    X(PUNPCKHBW, 0x66,1,0x68, BIN) X(PUNPCKHWD, 0x66,1,0x69, BIN) \
    X(PUNPCKHDQ, 0x66,1,0x6a, BIN) X(PUNPCKHQDQ, 0x66,1,0x6d, BIN) \
    X(PACKSSWB, 0x66,1,0x63, BIN) X(PACKSSDW, 0x66,1,0x6b, BIN) \
    X(PACKUSWB, 0x66,1,0x67, BIN) X(PACKUSDW, 0x66,2,0x2b, BIN) \
    X(PSLLW, 0x66,1,0xf1, BIN) X(PSLLD, 0x66,1,0xf2, BIN) X(PSLLQ, 0x66,1,0xf3, BIN) \
    X(PSRLW, 0x66,1,0xd1, BIN) X(PSRLD, 0x66,1,0xd2, BIN) X(PSRLQ, 0x66,1,0xd3, BIN) \
    X(PSRAW, 0x66,1,0xe1, BIN) X(PSRAD, 0x66,1,0xe2, BIN) \
    X(PSLLWI, 0x66,1,0x671, SHI) X(PSLLDI, 0x66,1,0x672, SHI) X(PSLLQI, 0x66,1,0x673, SHI) \
    X(PSRLWI, 0x66,1,0x271, SHI) X(PSRLDI, 0x66,1,0x272, SHI) X(PSRLQI, 0x66,1,0x273, SHI) \
    X(PSRAWI, 0x66,1,0x471, SHI) X(PSRADI, 0x66,1,0x472, SHI) \
    X(PSLLDQI, 0x66,1,0x773, SHI) X(PSRLDQI, 0x66,1,0x373, SHI) \
    X(PSHUFD, 0x66,1,0x70, UNIMM) X(PSHUFHW, 0xf3,1,0x70, UNIMM) X(PSHUFLW, 0xf2,1,0x70, UNIMM) \
    X(SHUFPS, 0,1,0xc6, IMM) X(SHUFPD, 0x66,1,0xc6, IMM) \
    X(UNPCKLPS, 0,1,0x14, BIN) X(UNPCKHPS, 0,1,0x15, BIN) \
    X(UNPCKLPD, 0x66,1,0x14, BIN) X(UNPCKHPD, 0x66,1,0x15, BIN) \
    X(PSHUFB, 0x66,2,0x00, BIN) X(PHADDW, 0x66,2,0x01, BIN) \
    X(PHADDD, 0x66,2,0x02, BIN) X(PHADDSW, 0x66,2,0x03, BIN) \
    X(PMADDUBSW, 0x66,2,0x04, BIN) X(PHSUBW, 0x66,2,0x05, BIN) \
    X(PHSUBD, 0x66,2,0x06, BIN) X(PHSUBSW, 0x66,2,0x07, BIN) \
    X(PSIGNB, 0x66,2,0x08, BIN) X(PSIGNW, 0x66,2,0x09, BIN) \
    X(PSIGND, 0x66,2,0x0a, BIN) X(PMULHRSW, 0x66,2,0x0b, BIN) \
    X(PABSB, 0x66,2,0x1c, UN) X(PABSW, 0x66,2,0x1d, UN) \
    X(PABSD, 0x66,2,0x1e, UN) X(PALIGNR, 0x66,3,0x0f, IMM) \
    X(PMOVSXBW, 0x66,2,0x20, UN) X(PMOVSXBD, 0x66,2,0x21, UN) X(PMOVSXBQ, 0x66,2,0x22, UN) \
    X(PMOVSXWD, 0x66,2,0x23, UN) X(PMOVSXWQ, 0x66,2,0x24, UN) X(PMOVSXDQ, 0x66,2,0x25, UN) \
    X(PMOVZXBW, 0x66,2,0x30, UN) X(PMOVZXBD, 0x66,2,0x31, UN) X(PMOVZXBQ, 0x66,2,0x32, UN) \
    X(PMOVZXWD, 0x66,2,0x33, UN) X(PMOVZXWQ, 0x66,2,0x34, UN) X(PMOVZXDQ, 0x66,2,0x35, UN) \
    X(PMULDQ, 0x66,2,0x28, BIN) X(PMULLD, 0x66,2,0x40, BIN) X(PHMINPOSUW, 0x66,2,0x41, UN) \
    X(PMINSB, 0x66,2,0x38, BIN) X(PMINSD, 0x66,2,0x39, BIN) \
    X(PMINUW, 0x66,2,0x3a, BIN) X(PMINUD, 0x66,2,0x3b, BIN) \
    X(PMAXSB, 0x66,2,0x3c, BIN) X(PMAXSD, 0x66,2,0x3d, BIN) \
    X(PMAXUW, 0x66,2,0x3e, BIN) X(PMAXUD, 0x66,2,0x3f, BIN) \
    X(PBLENDW, 0x66,3,0x0e, IMM) X(BLENDPS, 0x66,3,0x0c, IMM) X(BLENDPD, 0x66,3,0x0d, IMM) \
    X(INSERTPS, 0x66,3,0x21, IMM) X(MPSADBW, 0x66,3,0x42, IMM) \
    X(AESIMC, 0x66,2,0xdb, UN) X(AESENC, 0x66,2,0xdc, BIN) X(AESENCLAST, 0x66,2,0xdd, BIN) \
    X(AESDEC, 0x66,2,0xde, BIN) X(AESDECLAST, 0x66,2,0xdf, BIN) \
    X(AESKEYGENASSIST, 0x66,3,0xdf, UNIMM) X(PCLMULQDQ, 0x66,3,0x44, IMM) \
    X(ADDPS, 0,1,0x58, BIN) X(ADDPD, 0x66,1,0x58, BIN) \
    X(ADDSS, 0xf3,1,0x58, BIN) X(ADDSD, 0xf2,1,0x58, BIN) \
    X(MULPS, 0,1,0x59, BIN) X(MULPD, 0x66,1,0x59, BIN) \
    X(MULSS, 0xf3,1,0x59, BIN) X(MULSD, 0xf2,1,0x59, BIN) \
    X(SUBPS, 0,1,0x5c, BIN) X(SUBPD, 0x66,1,0x5c, BIN) \
    X(SUBSS, 0xf3,1,0x5c, BIN) X(SUBSD, 0xf2,1,0x5c, BIN) \
    X(MINPS, 0,1,0x5d, BIN) X(MINPD, 0x66,1,0x5d, BIN) \
    X(MINSS, 0xf3,1,0x5d, BIN) X(MINSD, 0xf2,1,0x5d, BIN) \
    X(DIVPS, 0,1,0x5e, BIN) X(DIVPD, 0x66,1,0x5e, BIN) \
    X(DIVSS, 0xf3,1,0x5e, BIN) X(DIVSD, 0xf2,1,0x5e, BIN) \
    X(MAXPS, 0,1,0x5f, BIN) X(MAXPD, 0x66,1,0x5f, BIN) \
    X(MAXSS, 0xf3,1,0x5f, BIN) X(MAXSD, 0xf2,1,0x5f, BIN) \
    X(SQRTPS, 0,1,0x51, UN) X(SQRTPD, 0x66,1,0x51, UN) \
    X(SQRTSS, 0xf3,1,0x51, BIN) X(SQRTSD, 0xf2,1,0x51, BIN) \
    X(RSQRTPS, 0,1,0x52, UN) X(RSQRTSS, 0xf3,1,0x52, BIN) \
    X(RCPPS, 0,1,0x53, UN) X(RCPSS, 0xf3,1,0x53, BIN) \
    X(CMPPS, 0,1,0xc2, IMM) X(CMPPD, 0x66,1,0xc2, IMM) \
    X(CMPSS, 0xf3,1,0xc2, IMM) X(CMPSD, 0xf2,1,0xc2, IMM) \
    X(HADDPS, 0xf2,1,0x7c, BIN) X(HADDPD, 0x66,1,0x7c, BIN) \
    X(HSUBPS, 0xf2,1,0x7d, BIN) X(HSUBPD, 0x66,1,0x7d, BIN) \
    X(ADDSUBPS, 0xf2,1,0xd0, BIN) X(ADDSUBPD, 0x66,1,0xd0, BIN) \
    X(DPPS, 0x66,3,0x40, IMM) X(DPPD, 0x66,3,0x41, IMM) \
    X(ROUNDPS, 0x66,3,0x08, UNIMM) X(ROUNDPD, 0x66,3,0x09, UNIMM) \
    X(ROUNDSS, 0x66,3,0x0a, IMM) X(ROUNDSD, 0x66,3,0x0b, IMM) \
    X(CVTPS2PD, 0,1,0x5a, UN) X(CVTPD2PS, 0x66,1,0x5a, UN) \
    X(CVTSS2SD, 0xf3,1,0x5a, BIN) X(CVTSD2SS, 0xf2,1,0x5a, BIN) \
    X(CVTDQ2PS, 0,1,0x5b, UN) X(CVTPS2DQ, 0x66,1,0x5b, UN) X(CVTTPS2DQ, 0xf3,1,0x5b, UN) \
    X(CVTDQ2PD, 0xf3,1,0xe6, UN) X(CVTPD2DQ, 0xf2,1,0xe6, UN) X(CVTTPD2DQ, 0x66,1,0xe6, UN) \
    X(MOVSS, 0xf3,1,0x10, BIN) X(MOVSD, 0xf2,1,0x10, BIN) \
    X(MOVHLPS, 0,1,0x12, BIN) X(MOVLHPS, 0,1,0x16, BIN) \
    X(MOVQ, 0xf3,1,0x7e, UN) X(MOVDDUP, 0xf2,1,0x12, UN) \
    X(MOVSLDUP, 0xf3,1,0x12, UN) X(MOVSHDUP, 0xf3,1,0x16, UN)
/* clang-format on */

typedef enum {
#define X(name, prefix, map, opcode, shape) VIT_VOP_##name,
    VIT_VOPS(X)
#undef X
    VIT_VOP_COUNT
} VitVop;

typedef struct {
    const char *name;
    uint8_t prefix, map;
    uint16_t opcode;
    uint8_t shape;
} VitVopInfo;
extern const VitVopInfo vit_vop_info[VIT_VOP_COUNT];
/* Portable semantics, for the interpreter: d may alias a or b. FP rows compute in the host's
 * current floating-point environment (the caller has loaded the guest's). */
void vit_vop_exec(VitVop op, VitVec *d, const VitVec *a, const VitVec *b, unsigned imm8);
