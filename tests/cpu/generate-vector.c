/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/generate-vector.c - random SSE, MMX and x87 instructions of 64-bit mode
 *
 * Left out: what processors may approximate differently (RCPPS, RSQRTPS, transcendental x87), dot
 * products of several pairs (test-vops has them), and what stores the addresses of the last x87
 * instruction (FNSTENV, FNSAVE, FXSAVE). */
#include "tests/cpu/generate-private.h"

#include <string.h>

enum {
    MEM = 1,
    REG = 2,
    IMM = 4,
    GPR_RM = 8,
    GPR_REG = 16,
    WIDE = 32 /* REX.W as it comes */,
    MMX_RM = 64,
    MMX_REG = 128
};
typedef struct {
    uint8_t prefix;
    uint32_t op;
    unsigned how;
    uint8_t size;
    const char *feature;
} Row;

static const Row moves[] = {
    { 0, 0x0f10, 0, 16, NULL },
    { 0, 0x0f11, 0, 16, NULL },
    { 0x66, 0x0f10, 0, 16, NULL },
    { 0x66, 0x0f11, 0, 16, NULL },
    { 0xf3, 0x0f10, 0, 4, NULL },
    { 0xf3, 0x0f11, 0, 4, NULL },
    { 0xf2, 0x0f10, 0, 8, NULL },
    { 0xf2, 0x0f11, 0, 8, NULL },
    { 0, 0x0f12, 0, 8, NULL },
    { 0, 0x0f13, MEM, 8, NULL },
    { 0x66, 0x0f12, MEM, 8, NULL },
    { 0x66, 0x0f13, MEM, 8, NULL },
    { 0, 0x0f16, 0, 8, NULL },
    { 0, 0x0f17, MEM, 8, NULL },
    { 0x66, 0x0f16, MEM, 8, NULL },
    { 0x66, 0x0f17, MEM, 8, NULL },
    { 0, 0x0f28, 0, 16, NULL },
    { 0, 0x0f29, 0, 16, NULL },
    { 0x66, 0x0f28, 0, 16, NULL },
    { 0, 0x0f2b, MEM, 16, NULL },
    { 0x66, 0x0f6f, 0, 16, NULL },
    { 0x66, 0x0f7f, 0, 16, NULL },
    { 0xf3, 0x0f6f, 0, 16, NULL },
    { 0xf3, 0x0f7f, 0, 16, NULL },
    { 0x66, 0x0fe7, MEM, 16, NULL },
    { 0xf2, 0x0ff0, MEM, 16, NULL },
    { 0x66, 0x0f382a, MEM, 16, "sse4.1" },
    { 0x66, 0x0f6e, GPR_RM | WIDE, 8, NULL },
    { 0x66, 0x0f7e, GPR_RM | WIDE, 8, NULL },
    { 0xf3, 0x0f7e, 0, 8, NULL },
    { 0x66, 0x0fd6, 0, 8, NULL },
    { 0xf2, 0x0fd6, REG | MMX_REG, 8, NULL },
    { 0xf3, 0x0fd6, REG | MMX_RM, 8, NULL },
    { 0, 0x0f50, REG | GPR_REG, 16, NULL },
    { 0x66, 0x0f50, REG | GPR_REG, 16, NULL },
    { 0x66, 0x0fd7, REG | GPR_REG, 16, NULL },
    { 0, 0x0f54, 0, 16, NULL },
    { 0x66, 0x0f55, 0, 16, NULL },
    { 0, 0x0f56, 0, 16, NULL },
    { 0x66, 0x0f57, 0, 16, NULL },
    { 0, 0x0f2e, 0, 4, NULL },
    { 0, 0x0f2f, 0, 4, NULL },
    { 0x66, 0x0f2e, 0, 8, NULL },
    { 0x66, 0x0f2f, 0, 8, NULL },
    { 0xf3, 0x0f2a, GPR_RM | WIDE, 8, NULL },
    { 0xf2, 0x0f2a, GPR_RM | WIDE, 8, NULL },
    { 0xf3, 0x0f2d, GPR_REG | WIDE, 4, NULL },
    { 0xf3, 0x0f2c, GPR_REG | WIDE, 4, NULL },
    { 0xf2, 0x0f2d, GPR_REG | WIDE, 8, NULL },
    { 0xf2, 0x0f2c, GPR_REG | WIDE, 8, NULL },
    { 0, 0x0f2a, MMX_RM, 8, NULL },
    { 0x66, 0x0f2a, MMX_RM, 8, NULL },
    { 0, 0x0f2d, MMX_REG, 8, NULL },
    { 0, 0x0f2c, MMX_REG, 8, NULL },
    { 0x66, 0x0f2d, MMX_REG, 16, NULL },
    { 0x66, 0x0f2c, MMX_REG, 16, NULL },
    { 0x66, 0x0f3817, 0, 16, "sse4.1" },
    { 0x66, 0x0fc4, GPR_RM | IMM, 2, NULL },
    { 0x66, 0x0fc5, REG | GPR_REG | IMM, 2, NULL },
    { 0x66, 0x0f3a14, GPR_RM | IMM, 1, "sse4.1" },
    { 0x66, 0x0f3a15, GPR_RM | IMM, 2, "sse4.1" },
    { 0x66, 0x0f3a16, GPR_RM | IMM | WIDE, 8, "sse4.1" },
    { 0x66, 0x0f3a17, GPR_RM | IMM, 4, "sse4.1" },
    { 0x66, 0x0f3a20, GPR_RM | IMM, 1, "sse4.1" },
    { 0x66, 0x0f3a22, GPR_RM | IMM | WIDE, 8, "sse4.1" },
    { 0x66, 0x0f3810, 0, 16, "sse4.1" },
    { 0x66, 0x0f3814, 0, 16, "sse4.1" },
    { 0x66, 0x0f3815, 0, 16, "sse4.1" },
    { 0x66, 0x0f3a60, IMM, 16, "sse4.2" },
    { 0x66, 0x0f3a61, IMM, 16, "sse4.2" },
    { 0x66, 0x0f3a62, IMM, 16, "sse4.2" },
    { 0x66, 0x0f3a63, IMM, 16, "sse4.2" },
};

static const Row mmx_rows[] = {
    { 0, 0x0f6e, GPR_RM | WIDE, 8, NULL },
    { 0, 0x0f7e, GPR_RM | WIDE, 8, NULL },
    { 0, 0x0f6f, 0, 8, NULL },
    { 0, 0x0f7f, 0, 8, NULL },
    { 0, 0x0fe7, MEM, 8, NULL },
    { 0, 0x0f70, IMM, 8, NULL },
    { 0, 0x0fc4, GPR_RM | IMM, 2, NULL },
    { 0, 0x0fc5, REG | GPR_REG | IMM, 8, NULL },
    { 0, 0x0fd7, REG | GPR_REG, 8, NULL },
    { 0, 0x0f3a0f, IMM, 8, "ssse3" },
};
static const uint8_t mmx_plain[] = {
    0xfc, 0xfd, 0xfe, 0xf8, 0xf9, 0xfa, 0xec, 0xed, 0xdc, 0xdd, 0xe8, 0xe9, 0xd8, 0xd9,
    0xdb, 0xdf, 0xeb, 0xef, 0x74, 0x75, 0x76, 0x64, 0x65, 0x66, 0xd5, 0xe5, 0xf5, 0x60,
    0x61, 0x62, 0x68, 0x69, 0x6a, 0x63, 0x6b, 0x67, 0xf1, 0xf2, 0xf3, 0xd1, 0xd2, 0xd3,
    0xe1, 0xe2, 0xe4, 0xf6, 0xe0, 0xe3, 0xda, 0xde, 0xea, 0xee, 0xd4, 0xfb, 0xf4,
};

/* Doubles, floats and integers that matter: zeroes, infinities, NaNs, subnormal numbers. */
uint64_t cpu_test_float(GRand *rand)
{
    static const uint64_t doubles[] = { 0,
                                        1ULL << 63,
                                        0x3ff0000000000000,
                                        0xbff0000000000000,
                                        0x7ff0000000000000,
                                        0xfff0000000000000,
                                        0x7ff8000000000001,
                                        0xfff8000000000000,
                                        0x7ff0000000000001,
                                        1,
                                        0x000fffffffffffff,
                                        0x0010000000000000,
                                        0x7fefffffffffffff,
                                        0x43e0000000000000,
                                        0x41dfffffffc00000,
                                        0x4330000000000001,
                                        0x3fe0000000000000 };
    static const uint32_t floats[] = { 0,          1u << 31,   0x3f800000, 0xbf800000,
                                       0x7f800000, 0xff800000, 0x7fc00001, 0xffc00000,
                                       0x7f800001, 1,          0x007fffff, 0x00800000,
                                       0x7f7fffff, 0x4f000000, 0x4b000001, 0x3f000000 };
    uint64_t v = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    switch (g_rand_int_range(rand, 0, 6)) {
    case 0: return doubles[g_rand_int_range(rand, 0, G_N_ELEMENTS(doubles))];
    case 1:
        return (uint64_t)floats[g_rand_int_range(rand, 0, G_N_ELEMENTS(floats))] << 32 |
               floats[g_rand_int_range(rand, 0, G_N_ELEMENTS(floats))];
    case 2: return (v & 0x800fffffffffffff) | (uint64_t)g_rand_int_range(rand, 1010, 1050) << 52;
    case 3:
        return (v & 0x807fffff807fffff) | (uint64_t)g_rand_int_range(rand, 115, 140) << 55 |
               (uint64_t)g_rand_int_range(rand, 115, 140) << 23;
    case 4: return cpu_test_value(rand);
    default: return v;
    }
}

static bool has(const char *feature)
{
    return !feature || cpu_test_host_has(feature);
}

static void memory_or_register(Gen *g, Enc *e, const Row *row, unsigned registers)
{
    bool mem = row->how & MEM || (!(row->how & REG) && random_chance(g, 40));

    if (mem) {
        uint64_t at = random_data_address(g, row->size);
        if (row->size == 16 && !random_chance(g, 8)) at &= ~15ULL;
        e->mem = random_memory_at(g, at);
    } else if (row->how & GPR_RM) {
        e->rm = (int)random_any_register(g);
    } else {
        e->rm = (int)random_below(g, row->how & MMX_RM ? 8 : registers);
    }
}

static void emit(Gen *g, const Row *row, unsigned registers)
{
    Enc e = { .size = 8, .op = row->op, .mandatory = row->prefix };

    e.no_size = !(row->how & WIDE && random_chance(g, 50));
    e.reg = row->how & GPR_REG ? random_any_register(g)
                               : random_below(g, row->how & MMX_REG ? 8 : registers);
    if (row->how & IMM) e.imm_size = 1, e.imm = g_rand_int(g->rand) & 0xff;
    memory_or_register(g, &e, row, registers);
    random_encode(g, &e);
}

static const char *feature_of(const VitVopInfo *info)
{
    if (g_str_has_prefix(info->name, "AES")) return "aes";
    if (g_str_equal(info->name, "PCLMULQDQ")) return "pclmulqdq";
    if (g_str_equal(info->name, "PCMPGTQ")) return "sse4.2";
    return info->map == 2 && info->opcode < 0x20 ? "ssse3" : info->map > 1 ? "sse4.1" : NULL;
}

/* A dot product of one pair of elements at most: of several NaNs processors do not choose alike. */
static void gen_dot_product(Gen *g, const Row *row)
{
    Enc e = { .size = 8, .op = row->op, .mandatory = row->prefix, .no_size = true, .imm_size = 1 };

    e.reg = random_below(g, 16);
    e.imm = random_below(g, 16) | (random_chance(g, 90) ? 0x10 << random_below(g, 4) : 0);
    memory_or_register(g, &e, row, 16);
    random_encode(g, &e);
}

static void gen_vop(Gen *g)
{
    const VitVopInfo *info = &vit_vop_info[random_below(g, VIT_VOP_COUNT)];
    static const uint32_t maps[4] = { 0, 0x0f00, 0x0f3800, 0x0f3a00 };
    Row row = { info->prefix, maps[info->map] | (info->opcode & 0xff), 0, 16, feature_of(info) };
    Enc e = { .size = 8, .no_size = true, .mandatory = info->prefix };

    if (strstr(info->name, "RCP") || strstr(info->name, "RSQRT") || !has(row.feature)) return;
    if (info->shape == VIT_VSHAPE_SHI) {
        e.op = row.op;
        e.reg = info->opcode >> 8;
        e.rm = (int)random_below(g, 16);
        e.imm_size = 1;
        e.imm = random_below(g, random_chance(g, 80) ? 70 : 256);
        random_encode(g, &e);
        return;
    }
    if (info->shape == VIT_VSHAPE_IMM || info->shape == VIT_VSHAPE_UNIMM) row.how |= IMM;
    if (g_str_equal(info->name, "MOVHLPS") || g_str_equal(info->name, "MOVLHPS")) row.how |= REG;
    if (g_str_has_prefix(info->name, "CMP")) {
        e.op = row.op, e.reg = random_below(g, 16), e.imm_size = 1, e.imm = random_below(g, 8);
        memory_or_register(g, &e, &row, 16);
        random_encode(g, &e);
        return;
    }
    if (g_str_has_prefix(info->name, "DPP")) {
        gen_dot_product(g, &row);
        return;
    }
    emit(g, &row, 16);
}

static void gen_mmx(Gen *g)
{
    if (random_chance(g, 6)) {
        random_byte(g, 0x0f), random_byte(g, 0x77); /* EMMS */
    } else if (random_chance(g, 30)) {
        const Row *row = &mmx_rows[random_below(g, G_N_ELEMENTS(mmx_rows))];
        if (has(row->feature)) emit(g, row, 8);
    } else if (random_chance(g, 15)) {
        static const uint8_t groups[][2] = { { 0x71, 6 }, { 0x72, 6 }, { 0x73, 6 }, { 0x71, 2 },
                                             { 0x72, 2 }, { 0x73, 2 }, { 0x71, 4 }, { 0x72, 4 } };
        unsigned i = random_below(g, G_N_ELEMENTS(groups));
        random_byte(g, 0x0f), random_byte(g, groups[i][0]),
            random_byte(g, 0xc0 | groups[i][1] << 3 | random_below(g, 8));
        random_byte(g, random_below(g, 70));
    } else if (has("ssse3") && random_chance(g, 20)) {
        Row row = { 0, 0x0f3800 + random_below(g, 12), 0, 8, NULL };
        if (random_chance(g, 20)) row.op = 0x0f381c + random_below(g, 3);
        emit(g, &row, 8);
    } else {
        Row row = { 0, 0x0f00 + mmx_plain[random_below(g, sizeof mmx_plain)], 0, 8, NULL };
        emit(g, &row, 8);
    }
}

static void gen_control(Gen *g) /* LDMXCSR of a value without traps, STMXCSR */
{
    uint64_t at = random_data_address(g, 8) & ~15ULL;
    uint32_t csr = 0x1f80 | random_below(g, 4) << 13 | (random_chance(g, 20) ? 0x8000 : 0) |
                   (random_chance(g, 20) ? 0x40 : 0);

    random_byte(g, 0xc7), random_byte(g, 0x04), random_byte(g, 0x25), random_bytes_of(g, at, 4),
        random_bytes_of(g, csr, 4);
    random_byte(g, 0x0f), random_byte(g, 0xae), random_byte(g, 0x14), random_byte(g, 0x25),
        random_bytes_of(g, at, 4);
    if (random_chance(g, 50))
        random_byte(g, 0x0f), random_byte(g, 0xae), random_byte(g, 0x1c), random_byte(g, 0x25),
            random_bytes_of(g, at + 4, 4);
}

static void gen_x87_control(Gen *g) /* FLDCW with all masked, FNSTCW, FNSTSW */
{
    static const uint16_t precisions[3] = { 0x000, 0x200, 0x300 };
    uint64_t at = random_data_address(g, 8) & ~15ULL;
    unsigned cw = 0x7f | precisions[random_below(g, 3)] | random_below(g, 4) << 10;

    switch (random_below(g, 3)) {
    case 0:
        random_byte(g, 0x66), random_byte(g, 0xc7), random_byte(g, 0x04), random_byte(g, 0x25),
            random_bytes_of(g, at, 4), random_bytes_of(g, cw, 2);
        random_byte(g, 0xd9), random_byte(g, 0x2c), random_byte(g, 0x25), random_bytes_of(g, at, 4);
        break;
    case 1: random_byte(g, 0xdf), random_byte(g, 0xe0); break;
    default:
        random_byte(g, 0xdb), random_byte(g, 0xe2 + random_chance(g, 30));
        break; /* FNCLEX, FNINIT */
    }
}

/* Not one with 8 of its 10 bytes in the data: a store that faults may have written those. */
static uint64_t x87_address(Gen *g)
{
    uint64_t at = random_data_address(g, 10), end = CPU_TEST_DATA + CPU_TEST_DATA_SIZE;

    return at + 8 <= end && at + 10 > end ? end - 10 : at;
}

static void gen_x87(Gen *g)
{
    static const uint8_t d9[] = { 0xe0, 0xe1, 0xe4, 0xe5, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed,
                                  0xee, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xfa, 0xfc, 0xfd, 0xd0 };
    unsigned op = 0xd8 + random_below(g, 8), reg = random_below(g, 8);
    Enc e = { .size = 8, .no_size = true, .op = op, .reg = reg };

    if (random_chance(g, 10)) {
        gen_x87_control(g);
        return;
    }
    if (random_chance(g, 15)) {
        random_byte(g, 0xd9), random_byte(g, d9[random_below(g, sizeof d9)]);
        return;
    }
    if (random_chance(g, 50)) { /* memory; not the ones that load or store environments */
        if ((op == 0xd9 && (reg >= 4 || reg == 1)) || (op == 0xdd && reg >= 4) ||
            (op == 0xdb && (reg == 4 || reg == 6)))
            e.reg = reg = 0;
        e.mem = random_memory_at(g, x87_address(g));
    } else {
        if ((op == 0xd9 && (reg >= 2)) || (op == 0xdb && reg == 4) || (op == 0xda && reg >= 4) ||
            (op == 0xdf && reg == 4) || (op == 0xdb && reg == 7) || (op == 0xdd && reg >= 6) ||
            (op == 0xdf && reg == 7) || (op == 0xde && reg == 3))
            e.reg = reg = 0;
        e.rm = (int)random_below(g, 8);
    }
    random_encode(g, &e);
}

void random_vector(Gen *g)
{
    unsigned pick = random_below(g, 100);
    const char *only = g_getenv("VIT_CPU_TEST_ONLY"); /* sse, mmx or x87 */

    if (only && *only)
        pick = g_str_equal(only, "sse") ? pick * 65 / 100 : g_str_equal(only, "mmx") ? 70 : 99;
    if (pick < 45) {
        gen_vop(g);
    } else if (pick < 65) {
        const Row *row = &moves[random_below(g, G_N_ELEMENTS(moves))];
        if (has(row->feature)) emit(g, row, 16);
    } else if (pick < 78) {
        gen_mmx(g);
    } else if (pick < 82) {
        gen_control(g);
    } else {
        gen_x87(g);
    }
}
