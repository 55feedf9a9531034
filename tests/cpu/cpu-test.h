/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/cpu-test.h - the same code on the host's processor and on the translator
 *
 * Code stands at CPU_TEST_CODE, data at CPU_TEST_DATA, on both sides at the same linear addresses,
 * in 64-bit mode or (compatibility mode) 32- or 16-bit code at
 * CPL 3.  16-bit code has segments: CS stands at the code, DS ES SS at the data, with its limit.  A
 * run ends at the first exception; the code's own end is INT3. */
#pragma once
#include "engine/cpu/accel.h"
#include "engine/guest/x86/cpu.h"
#include "engine/guest/x86/decode.h"

#define CPU_TEST_CODE 0x10000000ULL
#define CPU_TEST_DATA 0x10100000ULL
enum { CPU_TEST_CODE_SIZE = 64 * 4096, CPU_TEST_DATA_SIZE = 4 * 4096 };
enum { CPU_TEST_CS16 = 0x07, CPU_TEST_DS16 = 0x0f };        /* in the LDT */
enum { CPU_TEST_EFLAGS = VIT_FLAG_ALL | X86_EFLAGS_DF };    /* what is compared and may be set */

typedef struct {
    unsigned code;                  /* X86_CODE_*; but for 64 eight registers, their low halves */
    uint64_t gpr[16], rip, rflags;
    VitVec xmm[16];
    uint32_t mxcsr;
    uint8_t x87[8][16];            /* ST0.. as FXSAVE has them: 10 bytes each */
    uint16_t fcw, fsw, ftw;         /* ftw abridged */
    /* out: how the run ended */
    int vector;
    uint64_t error, cr2;            /* of a page fault */
} CpuTestState;

/* ---- Host ------------------------------------------------------------------------------------ */
/* Maps code and data; false when the host is no x86-64 or the addresses are taken. */
[[nodiscard]] bool cpu_test_host_init(void);
[[nodiscard]] bool cpu_test_host_init16(void); /* false when the host has no LDT for programs */
void cpu_test_host_run(CpuTestState *s);
bool cpu_test_host_has(
    const char *feature); /* movbe popcnt sse4.2 cx16 aes pclmulqdq ssse3 sse4.1 */

/* ---- Translator ------------------------------------------------------------------------------ */
typedef struct CpuTestGuest CpuTestGuest;
CpuTestGuest *cpu_test_guest_new(const VitAccelClass *klass, const char *options);
void cpu_test_guest_free(CpuTestGuest *g);
/* Code of `size` bytes for CPU_TEST_CODE + offset; seen by the translator as a store. */
void cpu_test_guest_set_code(CpuTestGuest *g, uint64_t offset, const uint8_t *code, size_t size);
uint8_t *cpu_test_guest_data(CpuTestGuest *g); /* CPU_TEST_DATA_SIZE bytes */
X86Cpu *cpu_test_guest_cpu(CpuTestGuest *g);
void cpu_test_guest_run(CpuTestGuest *g, CpuTestState *s);

/* ---- Random code ----------------------------------------------------------------------------- */
enum { CPU_TEST_UNITS = 24 };
typedef struct { /* one instruction with what makes it well-behaved before and after */
    uint8_t bytes[96];
    unsigned size;
    unsigned rip_at; /* offset of a rip-relative displacement to `target`, 0 none */
    unsigned rip_end; /* offset of the end of its instruction */
    uint64_t target;
    int skip; /* relative jump that ends the unit: over so many units; -1 none */
    unsigned skip_bytes; /* of its displacement */
} CpuTestUnit;
void cpu_test_generate(CpuTestUnit *u, GRand *rand, unsigned code, bool vector);
/* Lays units out for CPU_TEST_CODE + offset, with INT3 at the end; returns the size. */
size_t cpu_test_assemble(const CpuTestUnit *units, unsigned n, uint64_t offset, uint8_t *out);
uint64_t cpu_test_value(GRand *rand); /* often a corner case */
uint64_t cpu_test_float(GRand *rand); /* the same of a double, or of two floats */
