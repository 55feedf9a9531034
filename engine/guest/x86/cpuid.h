/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/cpuid.h - processor models and features (Intel SDM vol. 2A, CPUID; AMD APM
 * vol. 3, app. E) */
#pragma once
#include "engine/guest/x86/cpu.h"

enum {  /* index in X86Cpu.features */
    X86_WORD_1_EDX, X86_WORD_1_ECX, X86_WORD_7_EBX, X86_WORD_7_ECX, X86_WORD_7_EDX,
    X86_WORD_EXT1_EDX, X86_WORD_EXT1_ECX, X86_WORD_EXT7_EDX, X86_WORD_EXT8_EBX, X86_WORD_EXT21_EAX,
    X86_WORD_6_EAX, X86_WORD_D1_EAX, X86_WORD_ARCH_CAP,
};

/* name, word, bit, text of -cpu.  Only these can be switched on. */
/* clang-format off */
#define X86_FEATURES(X) \
    X(FPU, 1_EDX, 0, "fpu") X(DE, 1_EDX, 2, "de") X(PSE, 1_EDX, 3, "pse") X(TSC, 1_EDX, 4, "tsc") \
    X(MSR, 1_EDX, 5, "msr") X(PAE, 1_EDX, 6, "pae") X(MCE, 1_EDX, 7, "mce") \
    X(CX8, 1_EDX, 8, "cx8") X(APIC, 1_EDX, 9, "apic") X(SEP, 1_EDX, 11, "sep") \
    X(MTRR, 1_EDX, 12, "mtrr") X(PGE, 1_EDX, 13, "pge") X(MCA, 1_EDX, 14, "mca") \
    X(CMOV, 1_EDX, 15, "cmov") \
    X(PAT, 1_EDX, 16, "pat") X(PSE36, 1_EDX, 17, "pse36") X(CLFLUSH, 1_EDX, 19, "clflush") \
    X(MMX, 1_EDX, 23, "mmx") X(FXSR, 1_EDX, 24, "fxsr") X(SSE, 1_EDX, 25, "sse") \
    X(SSE2, 1_EDX, 26, "sse2") X(SS, 1_EDX, 27, "ss") \
    X(SSE3, 1_ECX, 0, "sse3") X(PCLMULQDQ, 1_ECX, 1, "pclmulqdq") X(SSSE3, 1_ECX, 9, "ssse3") \
    X(CX16, 1_ECX, 13, "cx16") X(PCID, 1_ECX, 17, "pcid") X(SSE41, 1_ECX, 19, "sse4.1") \
    X(SSE42, 1_ECX, 20, "sse4.2") X(X2APIC, 1_ECX, 21, "x2apic") X(MOVBE, 1_ECX, 22, "movbe") \
    X(POPCNT, 1_ECX, 23, "popcnt") X(TSC_DEADLINE, 1_ECX, 24, "tsc-deadline") \
    X(AES, 1_ECX, 25, "aes") X(XSAVE, 1_ECX, 26, "xsave") X(RDRAND, 1_ECX, 30, "rdrand") \
    X(HYPERVISOR, 1_ECX, 31, "hypervisor") \
    X(FSGSBASE, 7_EBX, 0, "fsgsbase") X(TSC_ADJUST, 7_EBX, 1, "tsc-adjust") \
    X(SMEP, 7_EBX, 7, "smep") X(ERMS, 7_EBX, 9, "erms") X(INVPCID, 7_EBX, 10, "invpcid") \
    X(RDSEED, 7_EBX, 18, "rdseed") X(SMAP, 7_EBX, 20, "smap") \
    X(CLFLUSHOPT, 7_EBX, 23, "clflushopt") X(CLWB, 7_EBX, 24, "clwb") \
    X(UMIP, 7_ECX, 2, "umip") X(LA57, 7_ECX, 16, "la57") X(RDPID, 7_ECX, 22, "rdpid") \
    X(FSRM, 7_EDX, 4, "fsrm") X(SPEC_CTRL, 7_EDX, 26, "spec-ctrl") \
    X(ARCH_CAPABILITIES, 7_EDX, 29, "arch-capabilities") \
    X(SYSCALL, EXT1_EDX, 11, "syscall") X(NX, EXT1_EDX, 20, "nx") \
    X(MMXEXT, EXT1_EDX, 22, "mmxext") X(PDPE1GB, EXT1_EDX, 26, "pdpe1gb") \
    X(RDTSCP, EXT1_EDX, 27, "rdtscp") X(LM, EXT1_EDX, 29, "lm") \
    X(LAHF64, EXT1_ECX, 0, "lahf-lm") X(CR8LEGACY, EXT1_ECX, 4, "cr8legacy") \
    X(PREFETCHW, EXT1_ECX, 8, "3dnowprefetch") \
    X(INVTSC, EXT7_EDX, 8, "invtsc") \
    X(IBRS, EXT8_EBX, 14, "ibrs") X(SSB_NO, EXT8_EBX, 26, "amd-no-ssb") \
    X(LFENCE_SERIAL, EXT21_EAX, 2, "lfence-always-serializing") \
    X(AUTO_IBRS, EXT21_EAX, 8, "auto-ibrs") \
    X(ARAT, 6_EAX, 2, "arat") \
    X(XSAVEOPT, D1_EAX, 0, "xsaveopt") X(XGETBV1, D1_EAX, 2, "xgetbv1") \
    X(RDCL_NO, ARCH_CAP, 0, "rdctl-no") X(IBRS_ALL, ARCH_CAP, 1, "ibrs-all") \
    X(SKIP_L1D, ARCH_CAP, 3, "skip-l1dfl-vmentry") X(SSB_NO_INTEL, ARCH_CAP, 4, "ssb-no") \
    X(MDS_NO, ARCH_CAP, 5, "mds-no") X(PSCHANGE_NO, ARCH_CAP, 6, "pschange-mc-no") \
    X(TAA_NO, ARCH_CAP, 8, "taa-no") X(SBDR_NO, ARCH_CAP, 13, "sbdr-ssdp-no") \
    X(FBSDP_NO, ARCH_CAP, 14, "fbsdp-no") X(PSDP_NO, ARCH_CAP, 15, "psdp-no") \
    X(BHI_NO, ARCH_CAP, 20, "bhi-no") X(PBRSB_NO, ARCH_CAP, 24, "pbrsb-no") \
    X(GDS_NO, ARCH_CAP, 26, "gds-no") X(RFDS_NO, ARCH_CAP, 27, "rfds-no")
/* clang-format on */

typedef enum {
#define X(name, word, bit, text) X86_FEATURE_##name = X86_WORD_##word * 32 + (bit),
    X86_FEATURES(X)
#undef X
} X86Feature;

static inline bool x86_has(const X86Cpu *x, X86Feature f)
{
    return x->features[f / 32] >> (f % 32) & 1;
}

enum { X86_PHYS_BITS = 40 };

struct X86Model {
    const char *name, *description;
    const char *vendor;         /* 12 characters */
    const char *brand;          /* up to 47 characters */
    uint8_t     family, model, stepping;
    uint32_t    level, ext_level;   /* highest leaves */
    uint32_t    features[X86_FEATURE_WORDS];
};
extern const X86Model x86_models[];     /* ended by a NULL name; models.c */

/* Leaf and subleaf as the guest asks; out: EAX EBX ECX EDX. */
void x86_cpuid(const X86Cpu *x, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* One line a model and one a feature, for "-cpu help"; caller frees. */
char *x86_cpu_help(void);
