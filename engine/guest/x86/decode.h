/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/decode.h - one x86 instruction, taken apart (Intel SDM vol. 2, chapter 2)
 *
 * The rows come from x86.decode.  Not known: VEX, EVEX, XOP, 3DNow! (all #UD). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* How an operand is found, as the table's letters. */
enum {
    X86_METHOD_NONE,
    X86_METHOD_E,
    X86_METHOD_G,
    X86_METHOD_R,
    X86_METHOD_M,
    X86_METHOD_Z,
    X86_METHOD_S,
    X86_METHOD_C,
    X86_METHOD_D,
    X86_METHOD_I,
    X86_METHOD_J,
    X86_METHOD_A,
    X86_METHOD_O,
    X86_METHOD_X,
    X86_METHOD_Y,
    X86_METHOD_P,
    X86_METHOD_Q,
    X86_METHOD_N,
    X86_METHOD_V,
    X86_METHOD_W,
    X86_METHOD_U,
    X86_METHOD_FIXED,
    X86_METHOD_ONE,
    X86_METHOD_ST,
    X86_METHOD_STI,
    X86_METHOD_XMM,
    X86_METHOD_SEG,
};
enum {
    X86_WIDTH_NONE,
    X86_WIDTH_B,
    X86_WIDTH_W,
    X86_WIDTH_D,
    X86_WIDTH_Q,
    X86_WIDTH_X,
    X86_WIDTH_T,
    X86_WIDTH_V,    /* operand size */
    X86_WIDTH_Z,    /* operand size, at most 4 */
    X86_WIDTH_Y,    /* 8 with REX.W, else 4 */
    X86_WIDTH_BS,   /* immediate byte, sign-extended to the operand size */
    X86_WIDTH_P,    /* far pointer: operand size and selector */
    X86_WIDTH_A,    /* two of operand size (BOUND) */
};
#define X86_OPERAND(method, width, reg) (X86_METHOD_##method << 8 | X86_WIDTH_##width << 4 | (reg))

enum {
    X86_ATTRIBUTE_LOCK = 1,
    X86_ATTRIBUTE_D64 = 2,
    X86_ATTRIBUTE_F64 = 4,
    X86_ATTRIBUTE_PE = 8,
    X86_ATTRIBUTE_FPU = 16,
    X86_ATTRIBUTE_MMX = 32,
    X86_ATTRIBUTE_SSE = 64
};

typedef struct {
    uint32_t mask, value;       /* on the key that decode.c makes */
    uint16_t mnemonic;          /* offset in the pool of names */
    uint16_t arg;               /* of the lifter */
    uint16_t operand[4];        /* X86_OPERAND, 0 none */
    uint8_t lift;              /* 0 none: #UD */
    uint16_t feature;           /* X86_FEATURE_*; 0 always there */
    uint8_t attributes;
} X86Row;

typedef enum {
    X86_KIND_NONE,
    X86_KIND_GPR,
    X86_KIND_HIGH /* AH CH DH BH: reg 0..3 */,
    X86_KIND_MEM,
    X86_KIND_IMM,
    X86_KIND_REL,
    X86_KIND_FAR,
    X86_KIND_SEG,
    X86_KIND_CR,
    X86_KIND_DR,
    X86_KIND_MMX,
    X86_KIND_XMM,
    X86_KIND_ST,
    X86_KIND_STRING /* reg: 6 source, 7 destination */,
} X86Kind;
typedef struct {
    uint8_t kind, size, reg;
} X86Operand;    /* size in bytes; of memory for vectors */

enum { X86_NO_REG = 0xff };
enum { X86_REP_NONE, X86_REP_REPE = 0xf3, X86_REP_REPNE = 0xf2 };

typedef struct {
    const X86Row *row;
    uint64_t imm;               /* sign-extended to 64 bits; relative jumps: the displacement */
    uint64_t disp;              /* sign-extended; moffs: the address */
    uint16_t selector;          /* far pointers; ENTER: the second immediate */
    uint8_t length;
    uint8_t rep;               /* X86_REP_*: the last of F2 and F3 */
    bool lock, osize_prefix, rip_relative;
    uint8_t rex;               /* 0 none */
    uint8_t osize, asize;      /* 2, 4, 8 bytes */
    uint8_t modrm;
    uint8_t base, index, scale;    /* registers or X86_NO_REG; scale 0..3 */
    uint8_t seg;               /* X86_ES..: of the ModRM or moffs or source string operand */
    bool seg_override;
    X86Operand op[4];
} X86Insn;

typedef enum {
    X86_DECODE_OK,
    X86_DECODE_SHORT /* more bytes needed */,
    X86_DECODE_BAD /* #UD */
} X86DecodeResult;
enum { X86_CODE_16, X86_CODE_32, X86_CODE_64 };

/* bytes: n of them, at most 15.  On OK all of *insn is set; on BAD only length, as far as it was
 * read. */
X86DecodeResult x86_decode(X86Insn *insn, const uint8_t *bytes, unsigned n, unsigned code);
const char *x86_mnemonic(const X86Row *row);
