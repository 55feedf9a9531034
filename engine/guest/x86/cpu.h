/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/cpu.h - architectural state of an x86 vCPU (Intel SDM vol. 1 and 3)
 *
 * Translated code addresses these fields by offset; hot ones first. */
#pragma once
#include "engine/core/device.h"
#include "engine/cpu/isa.h"
#include "engine/jit/vops.h"

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI };
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR };

typedef struct { uint16_t selector; uint16_t attr; uint32_t limit; uint64_t base; } X86Segment;
/* attr: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G, 12 unusable (null) */
enum { X86_ATTR_S = 0x10, X86_ATTR_P = 0x80, X86_ATTR_L = 0x200, X86_ATTR_DB = 0x400,
       X86_ATTR_G = 0x800, X86_ATTR_UNUSABLE = 0x1000 };

/* VitCpu.mode, low half: everything that changes how code is translated.  Upper half: CS base. */
enum {
    X86_MODE_CS32 = 1 << 0,     /* CS.D (and not 64-bit) */
    X86_MODE_SS32 = 1 << 1,     /* SS.B */
    X86_MODE_LONG = 1 << 2,     /* 64-bit code segment in long mode (CS.L && EFER.LMA) */
    X86_MODE_PE = 1 << 3,
    X86_MODE_VM86 = 1 << 4,
    X86_MODE_CPL3 = 1 << 5,     /* CPL == 3 */
    X86_MODE_BASES = 1 << 6,    /* DS, ES or SS base is non-zero: add segment bases */
    /* outside 64-bit mode: some of CS DS ES SS has a limit below 4 GiB-1, is expand-down, read-only
     * data, unusable or not readable: check every access by helper */
    X86_MODE_LIMITS = 1 << 7,
    X86_MODE_TF = 1 << 8,       /* single step: one instruction a block, then #DB */
    /* interrupt shadow of STI/MOV SS for the next instruction: one instruction a block */
    X86_MODE_SHADOW = 1 << 9,
    X86_MODE_NOFPU = 1 << 10,   /* CR0.EM or CR0.TS: x87 raises #NM */
    /* CR4.OSFXSR clear or CR0.EM: SSE raises #UD; (CR0.TS: see NOFPU_TS) */
    X86_MODE_NOSSE = 1 << 11,
    X86_MODE_TS = 1 << 12,      /* CR0.TS: SSE and x87 raise #NM; with MP: WAIT too */
    X86_MODE_MP = 1 << 13,
    /* an SSE exception is unmasked in MXCSR: FP ops through checking helpers */
    X86_MODE_FPTRAP = 1 << 14,
    X86_MODE_MMU_SHIFT = 15,    /* 2 bits: data mmu mode */
    X86_MODE_LMA = 1 << 17,     /* EFER.LMA (long or compatibility) */
    X86_MODE_SCE = 1 << 18,
    X86_MODE_IOPL_OK = 1 << 19, /* CPL <= IOPL */
    X86_MODE_BREAK = 1 << 20,   /* an instruction or data breakpoint is armed in DR7 */
    X86_MODE_UMIP = 1 << 21,
    X86_MODE_CPL0 = 1 << 22,
    X86_MODE_AC = 1 << 23,      /* alignment checks on: CR0.AM && EFLAGS.AC && CPL 3 */
    X86_MODE_LIMITS_FS = 1 << 24,   /* as LIMITS, for FS alone (null in most 32-bit programs) */
    X86_MODE_LIMITS_GS = 1 << 25,   /* as LIMITS, for GS alone */
};
enum { X86_MMU_KERNEL = 0, X86_MMU_USER = 1,
       X86_MMU_KERNEL_SMAP = 2 /* SMAP on and AC clear: user pages fault */ };
#define X86_MODE_MMU(mode) (((mode) >> X86_MODE_MMU_SHIFT) & 3)

/* EFLAGS bits kept in `eflags` (arithmetic ones live in `flags`). */
enum { X86_EFLAGS_TF = 0x100, X86_EFLAGS_IF = 0x200, X86_EFLAGS_DF = 0x400,
       X86_EFLAGS_IOPL = 0x3000, X86_EFLAGS_NT = 0x4000, X86_EFLAGS_RF = 0x10000,
       X86_EFLAGS_VM = 0x20000, X86_EFLAGS_AC = 0x40000, X86_EFLAGS_VIF = 0x80000,
       X86_EFLAGS_VIP = 0x100000, X86_EFLAGS_ID = 0x200000 };

typedef struct X86Model X86Model;   /* engine/guest/x86/cpuid.h */
enum { X86_FEATURE_WORDS = 13 };

/* What the processor asks of its local APIC; the machine sets it.  Each takes the machine lock
 * itself. */
typedef struct {
    int  (*intr_ack)(void *opaque);             /* vector of the interrupt to take, or -1 */
    /* 1B, 6E0, 800-8FF; false: #GP */
    bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *value);
    bool (*msr_write)(void *opaque, uint32_t msr, uint64_t value);
    uint8_t (*get_cr8)(void *opaque);
    void (*set_cr8)(void *opaque, uint8_t cr8);
    bool (*apic_enabled)(void *opaque);         /* CPUID.1:EDX.APIC; NULL: yes */
    void (*init)(void *opaque);                 /* the processor acts on INIT: reset the APIC too */
} X86CpuOps;

typedef struct {
    VitCpu   cpu;                   /* first member */
    uint64_t gpr[16];
    uint64_t rip;
    uint16_t flags;                 /* C P A Z S O only: use vit_flags_get/set (engine/cpu/isa.h) */
    uint16_t pad0;
    uint32_t eflags;                /* the others, bit 1 always set; arithmetic bits zero */
    int64_t  df;                    /* +1 or -1, follows EFLAGS.DF */
    X86Segment seg[8];              /* ES CS SS DS FS GS LDTR TR */
    VitVec   xmm[16];
    uint32_t mxcsr;
    uint32_t mxcsr_pad;

    /* x87: physical registers st[(top + i) & 7]; 80 bits in the low 10 bytes of each */
    struct { uint64_t mant; uint16_t se; uint16_t pad[3]; } st[8];
    uint16_t fcw, fsw;         /* fsw without TOP; TOP is fp_top */
    uint8_t  fp_top;           /* 0..7 */
    uint8_t  fp_tag;           /* bit i: physical register i is not empty (FXSAVE's abridged tag) */
    uint16_t fp_op;            /* last opcode, 11 bits */
    uint64_t fp_ip, fp_dp;
    uint16_t fp_cs, fp_ds;

    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr[8];
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset, tsc_aux, tsc_adjust;
    uint64_t pat, misc_enable, xcr0;
    uint64_t mtrr_def, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, smbase;
    uint64_t spec_ctrl;
    uint64_t pdpte[4];              /* PAE without long mode: loaded with CR3 */
    struct { uint64_t base; uint32_t limit; } gdt, idt;

    /* what is to be delivered; recorded before vit_cpu_unwind() */
    int32_t  pending_vector;        /* -1 none */
    uint32_t pending_error;
    uint8_t  pending_kind;          /* X86_EVENT_* */
    bool     pending_has_error;
    bool     pending_advance;       /* software interrupt: pc already after the instruction */
    uint8_t  delivering;  /* class of the event being delivered, for #DF and triple fault; 0 none */
    bool     nmi_blocked, in_smm;
    /* the next instruction stands in the interrupt shadow of STI or MOV SS */
    bool     shadow_block;
    bool     shutdown;   /* after a triple fault: only RESET and INIT help */
    bool     no_step;    /* instruction just done gives no single-step trap (INT n, MOV SS) */
    uint8_t  db_hits;    /* data and I/O breakpoints hit by the running instruction: DR6 bits 0-3 */

    /* lines from outside; atomic */
    uint32_t lines;                 /* X86_LINE_* */
    uint8_t  sipi_vector;
    bool     wait_sipi;             /* after INIT on an AP */
    const X86CpuOps *ops;           /* borrowed; NULL: no local APIC */
    void    *ops_opaque;
    const X86Model *model;          /* borrowed */
    unsigned apic_id, n_cpus;       /* for CPUID topology */
    int64_t  tsc_khz;
    uint32_t features[X86_FEATURE_WORDS];   /* CPUID words, see cpuid.h */
    bool     amd;                   /* vendor's variants of SYSCALL, SYSENTER */
    struct { uint64_t start, length; uint8_t *host; VitRam *ram; uint64_t ram_offset, generation; }
             walk_cache[2];    /* RAM that page tables were last read from: below and above 4 GiB */
} X86Cpu;

enum { X86_EVENT_NONE, X86_EVENT_FAULT, X86_EVENT_TRAP, X86_EVENT_SOFT_INT, X86_EVENT_EXT,
       X86_EVENT_NMI };
enum { X86_LINE_INTR = 1, X86_LINE_NMI = 2, X86_LINE_INIT = 4, X86_LINE_SIPI = 8,
       X86_LINE_SMI = 16 };
enum { X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6,
       X86_NM = 7, X86_DF = 8, X86_TS = 10, X86_NP = 11, X86_SSF = 12, X86_GP = 13, X86_PF = 14,
       X86_MF = 16, X86_AC = 17, X86_MC = 18, X86_XM = 19 };

extern const VitIsa vit_isa_x86;

/* ---- system side (engine/guest/x86/{cpu,mmu,exception,segment,task,msr,cpuid}.c) ------------- */
/* Recomputes cpu.mode and df from the state; after any change of CR0 CR4 EFER EFLAGS CPL segments
 * MXCSR DR7. */
void x86_update_mode(X86Cpu *x);
uint32_t x86_get_eflags(const X86Cpu *x);
/* mask: bits to change; updates mode, df */
void x86_set_eflags(X86Cpu *x, uint32_t value, uint32_t mask);
static inline unsigned x86_cpl(const X86Cpu *x)
{ return !(x->cr0 & 1) ? 0 : x->eflags & X86_EFLAGS_VM ? 3 : (x->seg[X86_SS].attr >> 5) & 3; }
/* offsets from the X86Cpu; after a load call x86_state_loaded() */
extern const VitField x86_state_fields[];
void x86_state_loaded(X86Cpu *x);
uint64_t x86_tsc(const X86Cpu *x);          /* vCPU thread */
/* virtual time at which the TSC reaches that; INT64_MAX: never */
int64_t x86_tsc_to_ns(const X86Cpu *x, uint64_t tsc);
void x86_sipi(X86Cpu *x, uint8_t vector);   /* any thread, machine lock held */
[[noreturn]] void x86_raise(X86Cpu *x, int vector);                   /* fault without error code */
[[noreturn]] void x86_raise_error(X86Cpu *x, int vector, uint32_t error);
void x86_set_line(X86Cpu *x, uint32_t line, bool level);                /* any thread */
/* Text as after -cpu: "qemu64,+aes,-sse4.2", "max"; sets model, features, vendor; before reset. */
[[nodiscard]] bool x86_cpu_set_model(X86Cpu *x, const char *spec, GError **error);

/* ---- translation side (engine/guest/x86/translate.c) ----------------------------------------- */
void x86_translate(VitTranslate *t);
char *x86_disassemble(VitCpu *cpu, uint64_t pc, unsigned n);
