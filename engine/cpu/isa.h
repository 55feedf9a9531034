/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/isa.h - what a guest ISA gives to the accelerators
 *
 * All hooks run on the vCPU's thread. */
#pragma once
#include "engine/cpu/cpu.h"

typedef struct VitIr VitIr;                 /* engine/jit/ir.h */
typedef struct VitTranslate VitTranslate;   /* engine/jit/translate.h */

typedef enum { VIT_ACCESS_READ, VIT_ACCESS_WRITE, VIT_ACCESS_EXEC } VitAccess;
enum { VIT_PROT_READ = 1, VIT_PROT_WRITE = 2, VIT_PROT_EXEC = 4 };

typedef struct {
    uint64_t phys;      /* guest-physical address of the 4 KiB page */
    /* what may be cached for this mmu mode (WRITE only when the dirty bit is set) */
    uint8_t  prot;
    bool     global;    /* survives an address-space switch */
    uint64_t size;      /* of the guest's page: 4096 or larger */
} VitTlbFill;

struct VitIsa {
    const char *name;               /* "x86" */
    size_t      cpu_size;           /* sizeof the ISA's struct, whose first member is VitCpu */
    uint32_t    pc_offset;          /* uint64_t pc slot */
    uint32_t    flags_offset;       /* uint16_t slot, encoded as vit_flags_pack() says */
    /* uint32_t: control and sticky bits as x86 MXCSR; loaded into the host's around guest code,
     * sticky bits merged back on leaving */
    uint32_t    mxcsr_offset;
    const uint32_t *pinned;         /* offsets of 64-bit slots, hottest first */
    unsigned    n_pinned;
    unsigned    n_mmu_modes;

    void (*init)(VitCpu *cpu);              /* after allocation, zeroed */
    void (*finish)(VitCpu *cpu);
    void (*reset)(VitCpu *cpu);             /* power-on state; machine lock held, vCPU stopped */
    /* mmu mode for instruction fetch in the present mode. */
    unsigned (*code_mmu)(const VitCpu *cpu);
    /* Translates one page.  On a fault records the exception and returns false; the caller unwinds.
     * probe: record nothing, touch nothing (debugger). */
    bool (*tlb_fill)(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, bool probe,
                     VitTlbFill *out);
    /* Takes what is pending and deliverable (exception recorded before an unwind, else interrupts),
     * changing pc and state.  Called by the run loop after an unwind and when VIT_EXIT_INTERRUPT
     * was set (the bit is cleared by the loop before the call; the ISA sets it again when something
     * stays pending that becomes deliverable without a new event).  May itself unwind (nested
     * faults). */
    void (*deliver)(VitCpu *cpu);
    bool (*has_work)(VitCpu *cpu);      /* halted CPU must wake: something deliverable is pending */
    void (*translate)(VitTranslate *t);     /* fills t->ir from t->pc on; see translate.h */
    /* text of n instructions, or NULL */
    char *(*disassemble)(VitCpu *cpu, uint64_t pc, unsigned n);
    char *(*dump)(VitCpu *cpu);             /* registers as text */
};

/* Arithmetic flags C0 P2 A4 Z6 S7 O11 (x86's positions) as translated code keeps them in the flags
 * slot: what LAHF and SETO AL leave in AX, so that saving and restoring take three instructions. */
static inline uint16_t vit_flags_pack(unsigned flags)
{
    return (uint16_t) (((flags & 0xd5) | 2) << 8 | (flags >> 11 & 1));
}
static inline unsigned vit_flags_unpack(uint16_t slot)
{
    return (slot >> 8 & 0xd5) | (slot & 1u) << 11;
}
static inline unsigned vit_flags_get(const VitCpu *cpu)
{
    return vit_flags_unpack(*(const uint16_t *) ((const uint8_t *) cpu + cpu->isa->flags_offset));
}
static inline void vit_flags_set(VitCpu *cpu, unsigned flags)
{
    *(uint16_t *) ((uint8_t *) cpu + cpu->isa->flags_offset) = vit_flags_pack(flags);
}
