/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/helpers.h - instructions too rare or too stateful to lift: helpers called from
 * IR
 *
 * Each takes integers zero-extended to 64 bits.  Helpers that change pc do so in rip and the block
 * ends with EXIT(VIT_NO_VAL).  next_pc arguments are the rip after the instruction. */
#pragma once
#include "engine/guest/x86/cpu.h"

#define X86_HELPERS(X)                                                                             \
    /* name, VIT_HELPER_* flags */                                                                 \
    X(x86_h_raise, VIT_HELPER_ALL)      /* a = vector; b = error + 1 or 0; does not return */      \
    /* INT n/INT3/INTO/INT1: a = vector, b = next_pc, c = kind (0 INT n, 1 INT3/INTO, 2 INT1) */   \
    X(x86_h_int, VIT_HELPER_ALL)                                                                   \
    X(x86_h_iret, VIT_HELPER_ALL)       /* a = operand bytes, b = next_pc */                       \
    /* a = selector, b = offset, c = operand bytes, d = next_pc */                                 \
    X(x86_h_far_jmp, VIT_HELPER_ALL)                                                               \
    X(x86_h_far_call, VIT_HELPER_ALL)   /* same */                                                 \
    X(x86_h_far_ret, VIT_HELPER_ALL)    /* a = operand bytes, b = bytes to release, c = next_pc */ \
    /* a = X86_ES.. (not CS), b = selector; updates mode; SS sets the shadow */                    \
    X(x86_h_load_seg, VIT_HELPER_ALL)                                                              \
    X(x86_h_syscall, VIT_HELPER_ALL)    /* a = next_pc */                                          \
    X(x86_h_sysret, VIT_HELPER_ALL)     /* a = operand bytes (8 = REX.W) */                        \
    X(x86_h_sysenter, VIT_HELPER_ALL)   /* a = next_pc */                                          \
    X(x86_h_sysexit, VIT_HELPER_ALL)    /* a = operand bytes */                                    \
    X(x86_h_hlt, VIT_HELPER_ALL)        /* a = next_pc; sets halted and rip */                     \
    X(x86_h_mwait, VIT_HELPER_ALL)      /* a = next_pc; as HLT, or NOP */                          \
    /* privilege checks inside; sti sets the shadow */                                             \
    X(x86_h_cli, VIT_HELPER_ALL) X(x86_h_sti, VIT_HELPER_ALL)                                      \
    /* returns the image to push; a = operand bytes (checks VM86/IOPL) */                          \
    X(x86_h_pushf, VIT_HELPER_ALL)                                                                 \
    X(x86_h_popf, VIT_HELPER_ALL)       /* a = image, b = operand bytes */                         \
    X(x86_h_read_cr, VIT_HELPER_ALL)    /* a = number */                                           \
    X(x86_h_write_cr, VIT_HELPER_ALL)   /* a = number, b = value */                                \
    X(x86_h_read_dr, VIT_HELPER_ALL) X(x86_h_write_dr, VIT_HELPER_ALL)                             \
    X(x86_h_clts, VIT_HELPER_ALL) X(x86_h_lmsw, VIT_HELPER_ALL) /* a = value */                    \
    X(x86_h_invlpg, VIT_HELPER_ALL)     /* a = linear */                                           \
    X(x86_h_invpcid, VIT_HELPER_ALL)    /* a = type, b = linear address of the descriptor */       \
    X(x86_h_wbinvd, VIT_HELPER_ALL)     /* privilege check only */                                 \
    /* a = linear, b = operand bytes (2: 24-bit base) */                                           \
    X(x86_h_lgdt, VIT_HELPER_ALL) X(x86_h_lidt, VIT_HELPER_ALL)                                    \
    /* a = linear, b = 8 in 64-bit mode else 4 */                                                  \
    X(x86_h_sgdt, VIT_HELPER_ALL) X(x86_h_sidt, VIT_HELPER_ALL)                                    \
    X(x86_h_lldt, VIT_HELPER_ALL) X(x86_h_ltr, VIT_HELPER_ALL)   /* a = selector */                \
    /* SLDT/STR/SMSW: a = X86_LDTR, X86_TR, or 8 = MSW; privilege (UMIP) inside */                 \
    X(x86_h_read_sel, VIT_HELPER_ALL)                                                              \
    /* a = selector; sets Z in flags */                                                            \
    X(x86_h_verr, VIT_HELPER_ALL) X(x86_h_verw, VIT_HELPER_ALL)                                    \
    /* a = selector, b = old value of the destination; sets Z; returns new */                      \
    X(x86_h_lar, VIT_HELPER_ALL) X(x86_h_lsl, VIT_HELPER_ALL)                                      \
    X(x86_h_rdmsr, VIT_HELPER_ALL) X(x86_h_wrmsr, VIT_HELPER_ALL)   /* ECX, EDX:EAX in state */    \
    X(x86_h_rdtsc, VIT_HELPER_ALL) X(x86_h_rdtscp, VIT_HELPER_ALL) X(x86_h_rdpmc, VIT_HELPER_ALL)  \
    X(x86_h_cpuid, VIT_HELPER_ALL)                                                                 \
    X(x86_h_xgetbv, VIT_HELPER_ALL) X(x86_h_xsetbv, VIT_HELPER_ALL)                                \
    X(x86_h_swapgs, VIT_HELPER_ALL)                                                                \
    X(x86_h_in, VIT_HELPER_ALL)         /* a = port, b = bytes; returns value */                   \
    X(x86_h_out, VIT_HELPER_ALL)        /* a = port, b = value, c = bytes */                       \
    /* MODE_LIMITS: a = segment, b = offset, c = bytes | write << 8; returns linear */             \
    X(x86_h_seg_check, VIT_HELPER_ALL)                                                             \
    X(x86_h_fwait, VIT_HELPER_ALL)      /* #NM/#MF checks */                                       \
    /* MODE_BREAK, at the start of each instruction: a = linear pc; raises #DB when DR0-3 match    \
     * execution (RF clear) */                                                                     \
    X(x86_h_breakpoint, VIT_HELPER_ALL)                                                            \
    /* MODE_TF or MODE_BREAK: last op of each one-instruction block before EXIT(LOOP), a = the     \
     * block's MODE_TF: notes the #DB trap, which the run loop then delivers */                    \
    X(x86_h_single_step, VIT_HELPER_ALL)                                                           \
    /* MODE_BREAK: a = linear, b = bytes | write << 8: notes a data breakpoint hit */              \
    X(x86_h_debug_mem, VIT_HELPER_ALL)                                                             \
    /* end of a one-instruction block under MODE_SHADOW: clears it */                              \
    X(x86_h_end_shadow, VIT_HELPER_ALL)                                                            \
    X(x86_h_set_ac, VIT_HELPER_ALL)     /* STAC/CLAC: a = 0 or 1 */                                \
    X(x86_h_monitor, VIT_HELPER_ALL)    /* privilege check */

#define X(name, flags) uint64_t name(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d); \
    extern const VitHelper helper_##name;
X86_HELPERS(X)
#undef X
