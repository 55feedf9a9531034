/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/cpu-private.h - what the files of the system side share */
#pragma once
#include "engine/cpu/tlb.h"
#include "engine/guest/x86/cpuid.h"
#include "engine/guest/x86/helpers.h"

enum {
    CR0_PE = 1 << 0,
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
    CR0_AM = 1 << 18,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30
};
#define CR0_PG 0x80000000u
enum {
    CR4_VME = 1 << 0,
    CR4_PVI = 1 << 1,
    CR4_TSD = 1 << 2,
    CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6,
    CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_LA57 = 1 << 12,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21
};
enum {
    EFER_SCE = 1 << 0,
    EFER_LME = 1 << 8,
    EFER_LMA = 1 << 10,
    EFER_NXE = 1 << 11,
    EFER_AUTOIBRS = 1 << 21
};
enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15 };

enum {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK = 5,
    TYPE_INT16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS32 = 9,
    TYPE_TSS32_BUSY = 11,
    TYPE_CALL32 = 12,
    TYPE_INT32 = 14,
    TYPE_TRAP32 = 15
};
enum {
    ATTR_ACCESSED = 1,
    ATTR_WRITABLE = 2 /* data */,
    ATTR_READABLE = 2 /* code */,
    ATTR_EXPAND_DOWN = 4 /* data */,
    ATTR_CONFORMING = 4 /* code */,
    ATTR_CODE = 8
};

static inline bool x86_long64(const X86Cpu *x)
{
    return x->cpu.mode & X86_MODE_LONG;
}
static inline bool x86_lma(const X86Cpu *x)
{
    return x->efer & EFER_LMA;
}
static inline unsigned x86_iopl(const X86Cpu *x)
{
    return x->eflags >> 12 & 3;
}
static inline unsigned attr_dpl(unsigned attr)
{
    return attr >> 5 & 3;
}
static inline bool attr_is_code(unsigned attr)
{
    return (attr & (X86_ATTR_S | ATTR_CODE)) == (X86_ATTR_S | ATTR_CODE);
}
static inline bool attr_is_data(unsigned attr)
{
    return (attr & (X86_ATTR_S | ATTR_CODE)) == X86_ATTR_S;
}
static inline bool x86_is_canonical(const X86Cpu *x, uint64_t a)
{
    unsigned drop = x->cr4 & CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(a << drop) >> drop) == a;
}
static inline VitCpu *x86_vit(X86Cpu *x)
{
    return &x->cpu;
}
/* The mmu mode of implicit supervisor accesses: descriptor tables and TSS. */
static inline unsigned x86_system_mmu(const X86Cpu *x)
{
    return x->cr4 & CR4_SMAP ? X86_MMU_KERNEL_SMAP : X86_MMU_KERNEL;
}
static inline unsigned x86_stack_mmu(const X86Cpu *x, unsigned cpl)
{
    return cpl == 3                                              ? X86_MMU_USER
           : (x->cr4 & CR4_SMAP) && !(x->eflags & X86_EFLAGS_AC) ? X86_MMU_KERNEL_SMAP
                                                                 : X86_MMU_KERNEL;
}
static inline uint64_t x86_system_linear(const X86Cpu *x, uint64_t a)
{
    return x86_lma(x) ? a : (uint32_t)a;
}

/* ---- cpu.c ----------------------------------------------------------------------------------- */
/* Notes an exception as pending (merging into #DF or shutdown while another is being delivered). */
void x86_record(X86Cpu *x, int vector, bool has_error, uint32_t error);
/* Fault with the selector's error code; EXT is set while a hardware event is being delivered. */
[[noreturn]] void x86_fault_selector(X86Cpu *x, int vector, unsigned selector);
static inline unsigned x86_ext(const X86Cpu *x)
{
    return x->delivering != 0;
}
void x86_recheck_lines(X86Cpu *x); /* asks for deliver() again when a line is active */
void x86_ask_deliver(X86Cpu *x); /* by the vCPU itself: deliver() before the next block */
void x86_require_cpl0(X86Cpu *x); /* #GP(0) */
void x86_init_reset(X86Cpu *x, bool init);

/* ---- mmu.c ----------------------------------------------------------------------------------- */
bool x86_tlb_fill(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, bool probe,
                  VitTlbFill *out);
bool x86_load_pdptes(X86Cpu *x, uint64_t cr3); /* false: a reserved bit is set, nothing changed */

/* ---- segment.c ------------------------------------------------------------------------------- */
typedef struct {
    uint32_t lo, hi;
    uint64_t linear;
} X86Desc;
bool x86_desc_read(X86Cpu *x, unsigned selector, X86Desc *d); /* false: null or outside its table */
X86Segment x86_desc_segment(unsigned selector, const X86Desc *d);
static inline unsigned x86_desc_attr(const X86Desc *d)
{
    return (d->hi >> 8 & 0xff) | (d->hi >> 12 & 0xf00);
}
void x86_desc_set_accessed(X86Cpu *x, const X86Desc *d);
uint64_t x86_desc_base64(X86Cpu *x, const X86Desc *d); /* system descriptor in long mode */
/* 0, or the vector of the fault for loading selector into data segment n
 * (SS included) at cpl; d is filled unless null. */
int x86_check_data_segment(X86Cpu *x, unsigned n, unsigned selector, unsigned cpl, X86Desc *d);
void x86_set_null(X86Cpu *x, unsigned n, unsigned selector, unsigned dpl);
void x86_load_segment(X86Cpu *x, unsigned n, unsigned selector); /* mode not updated */
void x86_set_flat(X86Cpu *x, unsigned n, unsigned selector, unsigned attr);
void x86_set_real(X86Cpu *x, unsigned n, unsigned selector);
void x86_set_vm86(X86Cpu *x, unsigned n, unsigned selector);
void x86_drop_inner_segments(X86Cpu *x, unsigned cpl); /* after a return outwards */
/* Whether [offset, offset+size) lies within the segment's limit. */
bool x86_in_limit(const X86Segment *s, uint64_t offset, unsigned size);

/* A stack that is pushed to or popped from before the result is committed. */
typedef struct {
    X86Cpu *x;
    X86Segment seg;
    uint64_t sp, mask;
    unsigned mmu;
    bool flat; /* 64-bit: no base, no limit */
    uint32_t error; /* of #SS */
} X86Stack;
X86Stack x86_stack_current(X86Cpu *x);
void x86_stack_push(X86Stack *s, uint64_t value, unsigned size);
uint64_t x86_stack_pop(X86Stack *s, unsigned size);
void x86_stack_commit(const X86Stack *s); /* RSP only */
/* Stack pointer of an inner level from the TSS; checks everything (#TS, #SS). */
X86Stack x86_stack_inner(X86Cpu *x, unsigned cpl, X86Desc *ss_desc);
uint64_t x86_tss_stack64(X86Cpu *x, unsigned offset); /* RSPn or ISTn at this offset of the TSS */

/* ---- exception.c ----------------------------------------------------------------------------- */
void x86_deliver(VitCpu *cpu);
bool x86_has_work(VitCpu *cpu);
typedef struct {
    uint8_t vector, kind;
    bool has_error;
    uint32_t error;
    uint64_t return_rip;
} X86Event;
void x86_interrupt(X86Cpu *x, const X86Event *e);

/* ---- task.c ---------------------------------------------------------------------------------- */
typedef enum { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_INT, X86_TASK_IRET } X86TaskSource;
/* Switches to the TSS d; has_error: push error on the new stack.  next_rip: where the old task
 * goes on. */
void x86_task_switch(X86Cpu *x, unsigned selector, const X86Desc *d, X86TaskSource source,
                     uint64_t next_rip, bool has_error, uint32_t error);
void x86_task_gate(X86Cpu *x, unsigned selector, X86TaskSource source, uint64_t next_rip,
                   bool has_error, uint32_t error); /* selector: from the gate */
void x86_task_return(X86Cpu *x, uint64_t next_rip); /* IRET with NT */

/* ---- debug.c --------------------------------------------------------------------------------- */
void x86_debug_hit_io(X86Cpu *x, unsigned port, unsigned size);
void x86_debug_before_delivery(X86Cpu *x); /* #DB: DR7.GD is cleared */

#define DEFINE_HELPER(f, fl) const VitHelper helper_##f = { #f, f, (fl) }
