/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87.h - the x87 unit and its state images, as helpers for the lifter
 *
 * The lifter has made the #UD and #NM checks (mode bits); #MF of waiting instructions is raised
 * here. */
#pragma once
#include "engine/guest/x86/cpu.h"
#include "engine/jit/ir.h"

/* Extended precision as the architecture stores it. */
typedef struct { uint64_t mant; uint16_t se; } X87Value;

enum {              /* status word bits */
    X87_IE = 0x01, X87_DE = 0x02, X87_ZE = 0x04, X87_OE = 0x08, X87_UE = 0x10, X87_PE = 0x20,
    X87_SF = 0x40, X87_ES = 0x80, X87_C0 = 0x100, X87_C1 = 0x200, X87_C2 = 0x400, X87_C3 = 0x4000,
    X87_BUSY = 0x8000, X87_EXCEPTIONS = 0x3f, X87_CONDITIONS = 0x4700
};

#define X86_X87_HELPERS(X)                                                                         \
    /* a = (opcode & 7) << 3 | modrm.reg, b = linear, c = operand bytes (2, 4) | wide << 8,        \
     * d = rip after */                                                                            \
    X(x86_h_x87_mem)                                                                               \
    X(x86_h_x87_reg)    /* a = (opcode & 7) << 8 | modrm */                                        \
    X(x86_h_fxsave)     /* a = linear, b = REX.W */                                                \
    X(x86_h_fxrstor)                                                                               \
    X(x86_h_xsave)      /* a = linear, b = REX.W, c = 0 XSAVE, 1 XSAVEOPT; EDX:EAX in state */     \
    X(x86_h_xrstor)                                                                                \
    X(x86_h_ldmxcsr)    /* a = value; #GP on reserved bits; updates the mode */

#define X(name) uint64_t name(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d); \
    extern const VitHelper helper_##name;
X86_X87_HELPERS(X)
#undef X

/* TOP and the status word in one, as FNSTSW gives it. */
uint16_t x87_status(const X86Cpu *x);
void x87_set_status(X86Cpu *x, uint16_t value);
void x87_init(X86Cpu *x);                       /* FNINIT */
/* MMX instructions: TOP := 0, all registers valid. */
void x87_enter_mmx(X86Cpu *x);
