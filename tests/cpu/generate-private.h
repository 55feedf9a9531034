/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/generate-private.h - what the generators of random code share */
#pragma once
#include "tests/cpu/cpu-test.h"

enum { ANY = -1 };

typedef struct {
    CpuTestUnit *u;
    GRand *rand;
    bool is32;                 /* 32- or 16-bit code: 8 registers, no REX, no 64-bit operands */
    bool is16;                 /* 16-bit code: addresses are offsets in the data */
} Gen;

/* A memory operand. */
typedef struct {
    bool set, a32, a16, rip, gs;
    int base, index;       /* -1 none */
    unsigned scale, disp_size;
    int32_t disp;
    uint64_t address;
} Mem;

/* An instruction with a ModRM byte. */
typedef struct {
    unsigned size;              /* of the operands: 1 2 4 8 */
    unsigned op;                /* opcode; 0x0fxx, 0x0f38xx */
    unsigned mandatory;         /* f2, f3 before REX */
    unsigned reg;
    int rm;                /* register, or memory when mem.set */
    bool lock;
    bool byte_reg, byte_rm; /* these operands are bytes whatever size says */
    bool no_size; /* size gives neither 66 nor REX.W (bytes, and operands of 64 bits by default) */
    Mem mem;
    unsigned imm_size;
    uint64_t imm;
} Enc;

unsigned random_below(Gen *g, unsigned n);
bool random_chance(Gen *g, unsigned percent);
void random_byte(Gen *g, unsigned b);
void random_bytes_of(Gen *g, uint64_t v, unsigned n);
unsigned random_any_register(Gen *g); /* not RSP */
void random_osize(Gen *g, unsigned size);
void random_set_register(Gen *g, unsigned reg, uint64_t v);
uint64_t random_data_address(Gen *g, unsigned size);
Mem random_memory_at(Gen *g, uint64_t linear); /* emits what loads its registers */
void random_encode(Gen *g, const Enc *e);
void random_clear_flags(Gen *g, unsigned undefined);
/* An instruction of SSE, MMX or x87. */
void random_vector(Gen *g);
