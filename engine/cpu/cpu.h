/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/cpu.h - what every virtual CPU has, whatever its ISA and accelerator
 *
 * An instance is one block: the software TLB (engine/cpu/tlb.h) directly below the VitCpu, the
 * ISA's registers directly above it, so that translated code reaches both from one base register.
 * Only the vCPU's own thread touches ISA state while it runs; others use the functions marked "any
 * thread", which set a request bit and kick. */
#pragma once
#include "engine/core/system.h"
#include <setjmp.h>
#include <signal.h>

typedef struct VitCpu VitCpu;
typedef struct VitIsa VitIsa;       /* engine/cpu/isa.h */
typedef struct VitAccel VitAccel;   /* engine/cpu/accel.h */

/* A page of guest-physical memory that is this CPU's alone (x86: the local APIC); accesses that are
 * not RAM ask for it.  vCPU thread. */
typedef struct {
    uint64_t (*page)(void *opaque);     /* its address now; UINT64_MAX: none */
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
} VitCpuPrivatePage;

/* bits of exit_request; any non-zero value leaves translated code at the next block head */
typedef enum {
    VIT_EXIT_INTERRUPT = 1 << 0,   /* ISA has something to look at: interrupt line, NMI, INIT ... */
    VIT_EXIT_PAUSE = 1 << 1,       /* park until resumed */
    VIT_EXIT_TLB_FLUSH = 1 << 2,   /* drop all mappings, also jump caches (view changed) */
    VIT_EXIT_TLB_WRITE = 1 << 3,   /* drop direct-store mappings (dirty tracking restarted) */
    VIT_EXIT_WORK = 1 << 4,        /* run queued calls */
    VIT_EXIT_STOP = 1 << 5,        /* leave the thread */
    VIT_EXIT_CODE = 1 << 6,        /* translated code was invalidated under this vCPU's feet */
} VitExitRequest;

struct VitCpu {
    const VitIsa *isa;
    VitSystem    *sys;              /* borrowed */
    VitAccel     *accel;            /* borrowed; NULL until vit_cpu_start() */
    VitAddressSpace *memory, *io;   /* borrowed */
    unsigned      index;
    GThread      *thread;
    int           cpu_clock;      /* atomic: clockid_t of the thread's CPU time; 0 before it runs */
    GMutex        wake_lock;
    GCond         wake;             /* halted or parked vCPU waits here; so does who pauses it */
    uint32_t      waiting;          /* atomic: somebody may sleep on `wake` */
    /* atomic: kernel's id of the thread while it is inside the host's hypervisor, which
     * VIT_KICK_SIGNAL makes it leave; else 0 */
    int           kick_thread;
    bool          parked;       /* guarded by wake_lock */
    sigjmp_buf    unwind;       /* set by the run loop around guest code */
    bool          in_guest;     /* unwind is valid */
    bool          in_block;     /* a translated block runs: pc comes from jit_return or interp_pc */
    bool          csr_live;     /* the host's MXCSR is the guest's now */
    GAsyncQueue  *work;
    const VitCpuPrivatePage *private_page;  /* borrowed; NULL: none */
    void         *private_opaque;
    struct VitTlbAux *tlb_aux;      /* owned: engine/cpu/tlb.c */
    uint64_t      stats[16];        /* VIT_CPU_STAT_*; relaxed, owner writes */
    /* --- last: what translated code touches; the ISA's registers follow at once --- */
    alignas(64)
    uint32_t      exit_request;     /* atomic */
    uint32_t      halted;           /* vCPU thread: waits for an interrupt */
    /* all that translation depends on besides the address; kept current by the ISA.  Bits 32..63:
     * code segment base (0 when flat), 0..31: ISA's flags, VIT_MODE_* */
    uint64_t      mode;
    void         *jit_return;   /* host address in translated code that called the running helper */
    uint64_t      interp_pc;  /* instruction that the interpreter is in (pc as in the ISA's slot) */
    void         *accel_data;       /* owned by the accelerator */
    uint32_t      jump_generation;  /* grows when cached ways from pc to code may be wrong */
    uint32_t      pad[5];
};

/* Nobody handles it and its default is to be ignored, so one that comes late does no harm. */
#define VIT_KICK_SIGNAL SIGURG

enum { VIT_MODE_WIDE = 1u << 31 };  /* linear addresses are 64 bits; else they wrap at 32 */
/* Linear address of an instruction. */
static inline uint64_t vit_mode_linear(uint64_t mode, uint64_t pc)
{
    uint64_t linear = pc + (mode >> 32);
    return mode & VIT_MODE_WIDE ? linear : (uint32_t) linear;
}

enum { VIT_CPU_STAT_BLOCKS, VIT_CPU_STAT_TRANSLATED, VIT_CPU_STAT_TLB_FILLS, VIT_CPU_STAT_EXITS,
       VIT_CPU_STAT_LOOKUPS, VIT_CPU_STAT_INVALIDATED, VIT_CPU_STAT_EXCEPTIONS,
       VIT_CPU_STAT_INTERRUPTS, VIT_CPU_STAT_MMIO, VIT_CPU_STAT_FLUSHES };

[[nodiscard]] VitCpu *vit_cpu_new(const VitIsa *isa, VitSystem *sys, unsigned index);
void vit_cpu_free(VitCpu *cpu);                         /* thread has ended */

/* Any thread: sets request bits and wakes the vCPU when it is halted or parked. */
void vit_cpu_request(VitCpu *cpu, uint32_t bits);
/* Any thread but a vCPU: runs fn on the vCPU between blocks; waits. */
void vit_cpu_call_sync(VitCpu *cpu, void (*fn)(VitCpu *cpu, void *opaque), void *opaque);
/* Any thread: nanoseconds of host CPU time that the vCPU's thread has used; 0 before it runs. */
int64_t vit_cpu_host_time(VitCpu *cpu);

/* vCPU thread, inside guest code: abandon the running instruction.  Guest-visible state is made
 * precise (pc slot = that instruction; registers as before it) and control returns to the run loop,
 * which calls isa->deliver().  The ISA has recorded what is to be delivered beforehand. */
[[noreturn]] void vit_cpu_unwind(VitCpu *cpu);
/* The same state repair without leaving: afterwards the pc slot holds the running instruction. */
void vit_cpu_sync_pc(VitCpu *cpu);

/* Floating-point control (the ISA's slot of MXCSR layout).  While translated code runs, the host's
 * MXCSR is the guest's and gathers sticky bits: a helper that reads the slot calls the first
 * before, one that changed it the second after.  Both cost little and do nothing when it is not
 * loaded. */
void vit_cpu_read_csr(VitCpu *cpu);
void vit_cpu_wrote_csr(VitCpu *cpu);
