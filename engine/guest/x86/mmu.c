/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/mmu.c - page walks: none, 32-bit, PAE, 4- and 5-level
 * (Intel SDM vol. 3A, chapter 5)
 *
 * A non-canonical address raises #GP(0) whatever the segment: the #SS(0) of stack accesses by
 * ordinary instructions is not modelled.  Neither are protection keys and memory types. */
#include "engine/guest/x86/cpu-private.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX    (UINT64_C(1) << 63)
#define PHYS_MASK ((UINT64_C(1) << X86_PHYS_BITS) - 1)
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_ID = 16 };
enum { MAX_RETRIES = 64 }; /* another processor may change the entry under our feet */

/* One entry as it was read and where. */
typedef struct {
    uint64_t value, phys;
    uint8_t *host; /* NULL: not RAM */
    VitRam *ram;
    uint64_t ram_offset;
} Entry;

typedef struct {
    Entry entry[5];
    unsigned n; /* entries used; the last is the leaf */
    uint64_t phys, size;
    bool user, writable, nx, global, reserved, present;
} Walk;

static void entry_load(X86Cpu *x, uint64_t phys, unsigned size, Entry *e)
{
    VitAddressSpace *as = x->cpu.memory;
    typeof(x->walk_cache[0]) *c = &x->walk_cache[phys >> 32 != 0];
    uint64_t generation = vit_as_generation(as);

    e->phys = phys;
    if (c->generation != generation || !c->host || phys - c->start >= c->length) {
        VitMemTarget t = vit_as_translate(as, phys);
        if (!t.host || t.readonly || t.length < size) {
            e->host = NULL;
            e->value = vit_as_load(as, phys, size, NULL);
            return;
        }
        c->start = phys;
        c->length = t.length & ~UINT64_C(7);
        c->host = t.host;
        c->ram = t.ram;
        c->ram_offset = t.ram_offset;
        c->generation = generation;
    }
    uint64_t delta = phys - c->start;
    e->host = c->host + delta;
    e->ram = c->ram;
    e->ram_offset = c->ram_offset + delta;
    e->value = size == 8 ? __atomic_load_n((uint64_t *)e->host, __ATOMIC_RELAXED)
                         : __atomic_load_n((uint32_t *)e->host, __ATOMIC_RELAXED);
}

/* Sets bits in an entry; false when it no longer is what was read. */
static bool entry_set(X86Cpu *x, Entry *e, unsigned size, uint64_t bits)
{
    if ((e->value & bits) == bits) return true;
    if (!e->host) { /* ROM keeps its value, a device does what it likes */
        vit_as_store(x->cpu.memory, e->phys, e->value | bits, size);
        return true;
    }
    if (size == 8) {
        uint64_t expected = e->value;
        if (!__atomic_compare_exchange_n((uint64_t *)e->host, &expected, e->value | bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return false;
    } else {
        uint32_t expected = (uint32_t)e->value;
        if (!__atomic_compare_exchange_n((uint32_t *)e->host, &expected,
                                         (uint32_t)(e->value | bits), false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
            return false;
    }
    vit_ram_mark_dirty(e->ram, e->ram_offset, size);
    return true;
}

/* 32-bit paging. */
static void walk32(X86Cpu *x, uint32_t linear, Walk *w)
{
    uint64_t pde;

    w->n = 1;
    entry_load(x, (x->cr3 & 0xfffff000) + (linear >> 22) * 4, 4, &w->entry[0]);
    pde = w->entry[0].value;
    if (!(pde & PTE_P)) return;
    w->user = pde & PTE_U;
    w->writable = pde & PTE_W;
    if ((pde & PTE_PS) && (x->cr4 & CR4_PSE)) {
        w->present = true;
        w->size = 1 << 22;
        w->global = pde & PTE_G;
        w->reserved = pde & (1 << 21);
        w->phys = ((pde & 0xffc00000) | (pde >> 13 & 0xff) << 32) + (linear & 0x3ff000);
        return;
    }
    w->n = 2;
    entry_load(x, (pde & 0xfffff000) + (linear >> 12 & 0x3ff) * 4, 4, &w->entry[1]);
    uint64_t pte = w->entry[1].value;
    if (!(pte & PTE_P)) return;
    w->present = true;
    w->user &= (pte & PTE_U) != 0;
    w->writable &= (pte & PTE_W) != 0;
    w->size = 4096;
    w->global = pte & PTE_G;
    w->phys = pte & 0xfffff000;
}

/* 8-byte entries: the top table at `table` resolves linear bits from 12 + 9 * (levels - 1) up. */
static void walk64(X86Cpu *x, uint64_t linear, uint64_t table, unsigned levels, Walk *w)
{
    bool longmode = x86_lma(x), nxe = x->efer & EFER_NXE;
    uint64_t always = (~PHYS_MASK & UINT64_C(0x000fffffffffffff)) | (nxe ? 0 : PTE_NX);

    if (!longmode) always |= UINT64_C(0x7ff0000000000000);
    w->user = w->writable = true;
    for (unsigned level = levels; level > 0; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        Entry *e = &w->entry[w->n++];
        entry_load(x, table + (linear >> shift & 0x1ff) * 8, 8, e);
        uint64_t v = e->value;
        if (!(v & PTE_P)) return;
        uint64_t reserved = always;
        bool leaf = level == 1 || (v & PTE_PS);
        if (level > 1 && (v & PTE_PS)) {
            if (level == 2 || (level == 3 && x86_has(x, X86_FEATURE_PDPE1GB) && longmode))
                reserved |= ((UINT64_C(1) << shift) - 1) & ~UINT64_C(0x1fff);
            else reserved |= PTE_PS;
        }
        if (v & reserved) {
            w->reserved = true;
            w->present = true;
            return;
        }
        w->user &= (v & PTE_U) != 0;
        w->writable &= (v & PTE_W) != 0;
        w->nx |= (v & PTE_NX) != 0;
        table = v & PHYS_MASK & ~UINT64_C(0xfff);
        if (leaf) {
            w->present = true;
            w->size = UINT64_C(1) << shift;
            w->global = v & PTE_G;
            w->phys = (table & ~(w->size - 1)) + (linear & (w->size - 1) & ~UINT64_C(0xfff));
            return;
        }
    }
}

static void walk(X86Cpu *x, uint64_t linear, Walk *w)
{
    *w = (Walk){ 0 };
    if (!(x->cr4 & CR4_PAE)) {
        walk32(x, (uint32_t)linear, w);
    } else if (x86_lma(x)) {
        walk64(x, linear, x->cr3 & PHYS_MASK & ~UINT64_C(0xfff), x->cr4 & CR4_LA57 ? 5 : 4, w);
    } else {
        uint64_t pdpte = x->pdpte[(uint32_t)linear >> 30];
        if (pdpte & PTE_P) walk64(x, linear, pdpte & PHYS_MASK & ~UINT64_C(0xfff), 2, w);
    }
}

/* VIT_PROT_* that the entry's bits give in this mmu mode. */
static unsigned permissions(const X86Cpu *x, const Walk *w, unsigned mmu)
{
    unsigned prot = VIT_PROT_READ;

    if (mmu == X86_MMU_USER) {
        if (!w->user) return 0;
        return prot | (w->writable ? VIT_PROT_WRITE : 0) | (w->nx ? 0 : VIT_PROT_EXEC);
    }
    if (w->writable || !(x->cr0 & CR0_WP)) prot |= VIT_PROT_WRITE;
    if (w->user && mmu == X86_MMU_KERNEL_SMAP) prot = 0;
    if (!w->nx && !(w->user && (x->cr4 & CR4_SMEP))) prot |= VIT_PROT_EXEC;
    return prot;
}

static bool page_fault(X86Cpu *x, uint64_t linear, VitAccess access, unsigned mmu, const Walk *w,
                       bool probe)
{
    uint32_t error = 0;

    if (probe) return false;
    if (w->present) error |= PF_P;
    if (w->reserved) error |= PF_RSVD;
    if (access == VIT_ACCESS_WRITE) error |= PF_W;
    if (mmu == X86_MMU_USER) error |= PF_U;
    if (access == VIT_ACCESS_EXEC &&
        (((x->efer & EFER_NXE) && (x->cr4 & CR4_PAE)) || (x->cr4 & CR4_SMEP)))
        error |= PF_ID;
    x->cr2 = linear;
    x86_record(x, X86_PF, true, error);
    return false;
}

/* Sets accessed and dirty bits along the walk; false when an entry has changed meanwhile. */
static bool mark_used(X86Cpu *x, Walk *w, bool write)
{
    unsigned size = x->cr4 & CR4_PAE ? 8 : 4;

    for (unsigned i = 0; i < w->n; i++) {
        uint64_t bits = PTE_A | (write && i == w->n - 1 ? PTE_D : 0);
        if (!entry_set(x, &w->entry[i], size, bits)) return false;
        w->entry[i].value |= bits;
    }
    return true;
}

bool x86_tlb_fill(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, bool probe,
                  VitTlbFill *out)
{
    static const uint8_t needed[] = { [VIT_ACCESS_READ] = VIT_PROT_READ,
                                      [VIT_ACCESS_WRITE] = VIT_PROT_WRITE,
                                      [VIT_ACCESS_EXEC] = VIT_PROT_EXEC };
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned prot;
    Walk w;

    if (!(x->cr0 & CR0_PG)) {
        *out = (VitTlbFill){ .phys = (uint32_t)linear & ~0xfffu,
                             .size = 4096,
                             .prot = VIT_PROT_READ | VIT_PROT_WRITE | VIT_PROT_EXEC };
        return true;
    }
    if (x86_lma(x) && !x86_is_canonical(x, linear)) {
        if (!probe) x86_record(x, X86_GP, true, 0);
        return false;
    }
    for (unsigned retry = 0;; retry++) {
        walk(x, linear, &w);
        if (!w.present || w.reserved) return page_fault(x, linear, access, mmu, &w, probe);
        prot = permissions(x, &w, mmu);
        if (!(prot & needed[access])) return page_fault(x, linear, access, mmu, &w, probe);
        if (probe || mark_used(x, &w, access == VIT_ACCESS_WRITE) || retry == MAX_RETRIES) break;
    }
    if (!(w.entry[w.n - 1].value & PTE_D)) prot &= ~(unsigned)VIT_PROT_WRITE;
    *out = (VitTlbFill){ .phys = w.phys,
                         .prot = (uint8_t)prot,
                         .size = w.size,
                         .global = w.global && (x->cr4 & CR4_PGE) };
    return true;
}

bool x86_load_pdptes(X86Cpu *x, uint64_t cr3)
{
    uint64_t reserved = ~PHYS_MASK | 0x1e6, pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = vit_as_load(x->cpu.memory, (cr3 & 0xffffffe0) + 8 * i, 8, NULL);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved)) return false;
    }
    for (unsigned i = 0; i < 4; i++) x->pdpte[i] = pdpte[i];
    return true;
}
