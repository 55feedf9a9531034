/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/tlb-private.h - bookkeeping beside the software TLB, and the way from linear to
 * memory */
#pragma once
#include "engine/cpu/tlb.h"

enum { VIT_TLB_KINDS = 3, VIT_TLB_LOG = 320, VIT_TLB_WALKS = 2048, VIT_TLB_LARGE = 4,
       VIT_JUMP_LOG = 512 };

/* Which entries of one array are in use, so that a flush need not touch all. */
typedef struct {
    uint16_t n;                         /* VIT_TLB_LOG + 1: too many, sweep */
    uint16_t slot[VIT_TLB_LOG];
    uint64_t global[VIT_TLB_SIZE / 64]; /* bit per entry */
} VitTlbLog;

/* A remembered walk; valid while generation is the present one of its kind. */
typedef struct {
    uint64_t tag;           /* page << 2 | mmu */
    uint64_t phys;          /* | prot | global << 3 */
    uint64_t generation;
} VitTlbWalk;

typedef struct VitTlbAux {
    VitTlbLog  log[VIT_TLB_KINDS][VIT_MMU_MODES];
    /* of write entries */
    struct { VitRam *ram; uint64_t offset; } store[VIT_MMU_MODES][VIT_TLB_SIZE];
    uint64_t   generation, global_generation;
    /* hashed sets of pages that were in the exec TLB, so that the jump cache may know them: local
     * ones, global ones */
    uint64_t   code_pages[2][64];
    /* jump cache slots of pages that are not global; VIT_JUMP_LOG + 1: too many */
    uint16_t   n_jumps;
    uint16_t   jumps[VIT_JUMP_LOG];
    /* linear ranges that hold pages above 4 KiB, by their being global; empty when equal */
    struct { uint64_t from, to; } large[2][VIT_TLB_LARGE];
    VitTlbWalk walks[VIT_TLB_WALKS];
} VitTlbAux;

void vit_tlb_init(VitCpu *cpu);
void vit_tlb_finish(VitCpu *cpu);

static inline VitTlbEntry *vit_tlb_array(VitCpu *cpu, VitAccess access, unsigned mmu)
{
    VitTlb *tlb = vit_cpu_tlb(cpu);
    return access == VIT_ACCESS_READ    ? tlb->read[mmu]
           : access == VIT_ACCESS_WRITE ? tlb->write[mmu]
                                        : tlb->exec[mmu];
}
static inline VitTlbEntry *vit_tlb_entry(VitCpu *cpu, VitAccess access, unsigned mmu,
                                         uint64_t linear)
{
    return &vit_tlb_array(cpu, access, mmu)[linear >> VIT_PAGE_BITS & (VIT_TLB_SIZE - 1)];
}

/* Where a page is: a host address for direct access, else its physical address.  Unwinds on a
 * fault. */
typedef struct { uint8_t *host; uint64_t phys; } VitTlbPage;
VitTlbPage vit_tlb_page(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu);
