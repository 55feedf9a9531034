/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/tlb.h - the software TLB that lies below each VitCpu
 *
 * Direct-mapped per mmu mode; read, write and exec split.  An entry maps only pages that may be
 * accessed directly: RAM, right permission, for writes not tracked-clean.  All else misses. */
#pragma once
#include "engine/cpu/isa.h"

enum { VIT_TLB_BITS = 10, VIT_TLB_SIZE = 1 << VIT_TLB_BITS, VIT_MMU_MODES = 4 };
enum { VIT_JUMP_BITS = 14, VIT_JUMP_SIZE = 1 << VIT_JUMP_BITS };
#define VIT_JUMP_HASH 0x9e3779b1u     /* slot = low half of pc times this, top VIT_JUMP_BITS */
#define VIT_TLB_NONE UINT64_MAX

typedef struct {
    uint64_t tag;       /* linear address >> 12, or VIT_TLB_NONE */
    /* host address = linear address + addend; exec: accelerator's name of the page, 0 = none */
    uint64_t addend;
} VitTlbEntry;

typedef struct {        /* a remembered way from pc to translated code */
    uint64_t pc, mode;
    void    *host;
    uint32_t generation, pad;   /* valid while equal to VitCpu.jump_generation */
} VitJumpEntry;

typedef struct {
    VitJumpEntry jump[VIT_JUMP_SIZE];
    VitTlbEntry read[VIT_MMU_MODES][VIT_TLB_SIZE];
    VitTlbEntry write[VIT_MMU_MODES][VIT_TLB_SIZE];
    VitTlbEntry exec[VIT_MMU_MODES][VIT_TLB_SIZE];
} __attribute__((aligned(64))) VitTlb;

static inline VitTlb *vit_cpu_tlb(VitCpu *cpu) { return (VitTlb *) cpu - 1; }

/* vCPU thread only. */
void vit_tlb_flush(VitCpu *cpu);
/* all but global entries (address-space switch, x86 G bit) */
void vit_tlb_flush_local(VitCpu *cpu);
void vit_tlb_flush_page(VitCpu *cpu, uint64_t linear);
void vit_tlb_flush_writes(VitCpu *cpu);
/* Forgets direct stores to a range of host pages without marking them dirty: no store is under
 * way. */
void vit_tlb_forget_writes(VitCpu *cpu, const uint8_t *host, uint64_t size);
/* Accelerator: entry of the page in the exec TLB; walks when it is not there (addend then 0, and
 * *phys the page's address).  A walk that faults unwinds. */
VitTlbEntry *vit_tlb_exec(VitCpu *cpu, uint64_t linear, unsigned mmu, uint64_t *phys);
/* Accelerator: pc leads to host code in the present mode; until the mapping of its page may
 * change. */
void vit_tlb_remember_jump(VitCpu *cpu, uint64_t pc, unsigned mmu, void *host);
/* Walks without recording a fault or changing anything; false when it would fault. */
bool vit_tlb_probe(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, uint64_t *phys);
/* Does at once what TLB requests ask for, without waiting for the next block. */
void vit_tlb_serve_requests(VitCpu *cpu);

/* Slow-path accesses by linear address; used by translated code's stubs, by the interpreter and by
 * helpers.  May unwind (page fault).  size 1, 2, 4, 8; any alignment; both pages of a crossing
 * store are checked before the first byte is written.  mmu: mode index. */
uint64_t vit_cpu_load(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu);
/* faults as a write */
uint64_t vit_cpu_load_rmw(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu);
void vit_cpu_store(VitCpu *cpu, uint64_t linear, uint64_t value, unsigned size, unsigned mmu);
/* size <= 4096 */
void vit_cpu_load_bytes(VitCpu *cpu, uint64_t linear, void *buf, unsigned size, unsigned mmu);
void vit_cpu_store_bytes(VitCpu *cpu, uint64_t linear, const void *buf, unsigned size,
                         unsigned mmu);
/* Checks that [linear, linear+size) may be accessed so (size <= 4096); unwinds when not. */
void vit_cpu_probe(VitCpu *cpu, uint64_t linear, unsigned size, bool write, unsigned mmu);
/* Host pointer for direct access to the part of a page from linear on, or NULL when it must go
 * through load/store (MMIO, tracked).  May unwind.  *length: bytes to the end of that page. */
void *vit_cpu_host_page(VitCpu *cpu, uint64_t linear, bool write, unsigned mmu, unsigned *length);
/* Atomic read-modify-write on guest memory; MMIO and page-crossing done under a process-wide
 * order. */
typedef enum { VIT_ATOMIC_ADD, VIT_ATOMIC_AND, VIT_ATOMIC_OR, VIT_ATOMIC_XOR,
               VIT_ATOMIC_XCHG } VitAtomicOp;
uint64_t vit_cpu_atomic(VitCpu *cpu, VitAtomicOp op, uint64_t linear, uint64_t value, unsigned size,
                        unsigned mmu);
uint64_t vit_cpu_cmpxchg(VitCpu *cpu, uint64_t linear, uint64_t expected, uint64_t desired,
                         unsigned size, unsigned mmu);
/* 16-byte compare-exchange: *expected gets the old value; returns whether it was stored. linear is
 * aligned. */
bool vit_cpu_cmpxchg16(VitCpu *cpu, uint64_t linear, uint64_t expected[2],
                       const uint64_t desired[2], unsigned mmu);
