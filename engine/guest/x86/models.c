/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/models.c - processor models as tables
 *
 * Each is a processor of that name cut down to what is modelled.  An emulated processor does not
 * speculate, so all say so: guests then do without costly mitigations. */
#include "engine/guest/x86/cpuid.h"

#define F(name) (1u << (X86_FEATURE_##name % 32))

/* clang-format off */
#define BASE_EDX \
    (F(FPU) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | F(CX8) | F(APIC) | F(SEP) | \
     F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | F(CLFLUSH) | F(MMX) | F(FXSR) | \
     F(SSE) | F(SSE2))
#define NEHALEM_ECX (F(SSE3) | F(SSSE3) | F(CX16) | F(SSE41) | F(SSE42) | F(POPCNT) | F(HYPERVISOR))
#define NO_SPECULATION \
    (F(RDCL_NO) | F(IBRS_ALL) | F(SKIP_L1D) | F(SSB_NO_INTEL) | F(MDS_NO) | F(PSCHANGE_NO) | \
     F(TAA_NO) | F(SBDR_NO) | F(FBSDP_NO) | F(PSDP_NO) | F(BHI_NO) | F(PBRSB_NO) | F(GDS_NO) | \
     F(RFDS_NO))
#define INTEL_7_EDX (F(SPEC_CTRL) | F(ARCH_CAPABILITIES))
#define AMD_EXT8_EBX (F(SSB_NO))
#define AMD_EXT21_EAX (F(LFENCE_SERIAL) | F(AUTO_IBRS))
#define MAX_1_ECX \
    (NEHALEM_ECX | F(PCLMULQDQ) | F(PCID) | F(X2APIC) | F(MOVBE) | F(TSC_DEADLINE) | F(AES) | \
     F(XSAVE))
#define MAX_7_EBX \
    (F(FSGSBASE) | F(TSC_ADJUST) | F(SMEP) | F(ERMS) | F(INVPCID) | F(SMAP) | F(CLFLUSHOPT))
#define FULL(model_name, text) { \
    .name = model_name, .description = text, .vendor = "AuthenticAMD", \
    .brand = "Vitrine virtual processor", \
    .family = 15, .model = 107, .stepping = 1, .level = 0xd, .ext_level = 0x80000021, \
    .features = { \
        [X86_WORD_1_EDX] = BASE_EDX, [X86_WORD_1_ECX] = MAX_1_ECX, [X86_WORD_7_EBX] = MAX_7_EBX, \
        [X86_WORD_7_ECX] = F(UMIP), [X86_WORD_7_EDX] = F(FSRM), \
        [X86_WORD_EXT1_EDX] = F(SYSCALL) | F(NX) | F(MMXEXT) | F(PDPE1GB) | F(RDTSCP) | F(LM), \
        [X86_WORD_EXT1_ECX] = F(LAHF64) | F(PREFETCHW), [X86_WORD_EXT7_EDX] = F(INVTSC), \
        [X86_WORD_EXT8_EBX] = AMD_EXT8_EBX, [X86_WORD_EXT21_EAX] = AMD_EXT21_EAX, \
        [X86_WORD_6_EAX] = F(ARAT), [X86_WORD_D1_EAX] = F(XSAVEOPT) | F(XGETBV1) } }

const X86Model x86_models[] = {
    FULL("max", "everything that is emulated"),
    FULL("host", "the same as max: an emulated processor does not follow the host's"),
    { .name = "qemu64", .description = "plain 64-bit processor (x86-64-v1 and SSE3)",
      .vendor = "AuthenticAMD",
      .brand = "Vitrine virtual processor (qemu64)", .family = 15, .model = 107, .stepping = 1,
      .level = 0xd,
      .ext_level = 0x80000021,
      .features = {
          [X86_WORD_1_EDX] = BASE_EDX, [X86_WORD_1_ECX] = F(SSE3) | F(CX16) | F(X2APIC) |
              F(TSC_DEADLINE) | F(HYPERVISOR),
          [X86_WORD_7_EBX] = F(ERMS), [X86_WORD_EXT1_EDX] = F(SYSCALL) | F(NX) | F(LM),
              [X86_WORD_EXT1_ECX] = F(LAHF64),
          [X86_WORD_EXT7_EDX] = F(INVTSC), [X86_WORD_EXT8_EBX] = AMD_EXT8_EBX,
              [X86_WORD_EXT21_EAX] = AMD_EXT21_EAX,
          [X86_WORD_6_EAX] = F(ARAT) } },
    { .name = "qemu32", .description = "plain 32-bit processor", .vendor = "GenuineIntel",
      .brand = "Vitrine virtual processor (qemu32)", .family = 6, .model = 6, .stepping = 3,
      .level = 7,
      .ext_level = 0x80000004,
      .features = {
          [X86_WORD_1_EDX] = BASE_EDX, [X86_WORD_1_ECX] = F(SSE3) | F(HYPERVISOR),
          [X86_WORD_7_EDX] = INTEL_7_EDX, [X86_WORD_ARCH_CAP] = NO_SPECULATION } },
    { .name = "Penryn", .description = "Intel Core 2 Duo P9xxx (2008)", .vendor = "GenuineIntel",
      .brand = "Intel Core 2 Duo P9xxx (Penryn Class Core 2)", .family = 6, .model = 23,
      .stepping = 3, .level = 10,
      .ext_level = 0x80000008,
      .features = {
          [X86_WORD_1_EDX] = BASE_EDX, [X86_WORD_1_ECX] = F(SSE3) | F(SSSE3) | F(CX16) |
              F(SSE41) | F(HYPERVISOR),
          [X86_WORD_7_EDX] = INTEL_7_EDX, [X86_WORD_EXT1_EDX] = F(SYSCALL) | F(NX) | F(LM),
          [X86_WORD_EXT1_ECX] = F(LAHF64), [X86_WORD_EXT7_EDX] = F(INVTSC),
              [X86_WORD_ARCH_CAP] = NO_SPECULATION } },
    { .name = "Nehalem", .description = "Intel Core i7 9xx (2008), SSE4.2",
      .vendor = "GenuineIntel",
      .brand = "Intel Core i7 9xx (Nehalem Class Core i7)", .family = 6, .model = 26,
      .stepping = 3, .level = 11,
      .ext_level = 0x80000008,
      .features = {
          [X86_WORD_1_EDX] = BASE_EDX, [X86_WORD_1_ECX] = NEHALEM_ECX | F(X2APIC) | F(TSC_DEADLINE),
          [X86_WORD_7_EDX] = INTEL_7_EDX, [X86_WORD_EXT1_EDX] = F(SYSCALL) | F(NX) | F(RDTSCP) |
              F(LM),
          [X86_WORD_EXT1_ECX] = F(LAHF64), [X86_WORD_EXT7_EDX] = F(INVTSC),
              [X86_WORD_6_EAX] = F(ARAT),
          [X86_WORD_ARCH_CAP] = NO_SPECULATION } },
    { .name = "Westmere", .description = "Intel Xeon E56xx (2010), SSE4.2, AES",
      .vendor = "GenuineIntel",
      .brand = "Westmere E56xx/L56xx/X56xx (Nehalem-C)", .family = 6, .model = 44, .stepping = 1,
      .level = 11,
      .ext_level = 0x80000008,
      .features = {
          [X86_WORD_1_EDX] = BASE_EDX,
          [X86_WORD_1_ECX] = NEHALEM_ECX | F(PCLMULQDQ) | F(AES) | F(X2APIC) | F(TSC_DEADLINE),
          [X86_WORD_7_EDX] = INTEL_7_EDX,
          [X86_WORD_EXT1_EDX] = F(SYSCALL) | F(NX) | F(PDPE1GB) | F(RDTSCP) | F(LM),
          [X86_WORD_EXT1_ECX] = F(LAHF64), [X86_WORD_EXT7_EDX] = F(INVTSC),
              [X86_WORD_6_EAX] = F(ARAT),
          [X86_WORD_ARCH_CAP] = NO_SPECULATION } },
    { .name = NULL },
};
/* clang-format on */
