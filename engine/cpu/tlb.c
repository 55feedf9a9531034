/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/tlb.c - filling and flushing the software TLB
 *
 * Behind the direct-mapped arrays stands a table of remembered walks, so that what the arrays may
 * not hold (MMIO, tracked pages) or have lost to a conflict does not walk again. */
#include "engine/cpu/tlb-private.h"

#include <string.h>

enum { GLOBAL = 8, PROT = 7 };

static uint8_t prot_of(VitAccess access)
{
    return (uint8_t) (1 << access);
}

static uint64_t page_of(uint64_t linear)
{
    return linear >> VIT_PAGE_BITS;
}

static unsigned code_hash(uint64_t page)
{
    return (unsigned) (page * 0x9e3779b97f4a7c15 >> 52);
}

void vit_tlb_init(VitCpu *cpu)
{
    VitTlb *tlb = vit_cpu_tlb(cpu);

    cpu->tlb_aux = g_new0(VitTlbAux, 1);
    cpu->tlb_aux->generation = cpu->tlb_aux->global_generation = 1;
    for (unsigned m = 0; m < VIT_MMU_MODES; m++) {
        for (unsigned i = 0; i < VIT_TLB_SIZE; i++)
            tlb->read[m][i].tag = tlb->write[m][i].tag = tlb->exec[m][i].tag = VIT_TLB_NONE;
    }
}

void vit_tlb_finish(VitCpu *cpu)
{
    g_free(cpu->tlb_aux);
    cpu->tlb_aux = NULL;
}

/* Jump cache: entries of global pages outlive an address-space switch. */
static void forget_jumps(VitCpu *cpu, bool keep_global)
{
    VitTlbAux *aux = cpu->tlb_aux;

    if (!keep_global || aux->n_jumps > VIT_JUMP_LOG) {
        cpu->jump_generation++;
    } else {
        for (unsigned i = 0; i < aux->n_jumps; i++)
            vit_cpu_tlb(cpu)->jump[aux->jumps[i]].generation = 0;
    }
    aux->n_jumps = 0;
}

/* ---- Flushing -------------------------------------------------------------------------------- */

static void drop(VitTlbEntry *e)
{
    e->tag = VIT_TLB_NONE;
    e->addend = 0;
}

static bool is_global(const VitTlbLog *log, unsigned slot)
{
    return log->global[slot / 64] >> (slot % 64) & 1;
}

static void flush_array(VitCpu *cpu, VitAccess access, unsigned mmu, bool keep_global)
{
    VitTlbLog *log = &cpu->tlb_aux->log[access][mmu];
    VitTlbEntry *array = vit_tlb_array(cpu, access, mmu);

    if (log->n > VIT_TLB_LOG) {
        unsigned kept = 0;
        for (unsigned i = 0; i < VIT_TLB_SIZE; i++) {
            if (array[i].tag == VIT_TLB_NONE)
                continue;
            if (!keep_global || !is_global(log, i))
                drop(&array[i]);
            else if (kept++ < VIT_TLB_LOG)
                log->slot[kept - 1] = (uint16_t) i;
        }
        log->n = (uint16_t) MIN(kept, VIT_TLB_LOG + 1);
    } else {
        unsigned kept = 0;
        for (unsigned i = 0; i < log->n; i++) {
            unsigned slot = log->slot[i];
            if (array[slot].tag == VIT_TLB_NONE)
                continue;
            if (keep_global && is_global(log, slot))
                log->slot[kept++] = (uint16_t) slot;
            else
                drop(&array[slot]);
        }
        log->n = (uint16_t) kept;
    }
}

void vit_tlb_remember_jump(VitCpu *cpu, uint64_t pc, unsigned mmu, void *host)
{
    VitTlbAux *aux = cpu->tlb_aux;
    unsigned slot = (uint32_t) ((uint32_t) pc * VIT_JUMP_HASH) >> (32 - VIT_JUMP_BITS);
    unsigned page_slot = page_of(vit_mode_linear(cpu->mode, pc)) & (VIT_TLB_SIZE - 1);

    vit_cpu_tlb(cpu)->jump[slot] = (VitJumpEntry) { pc, cpu->mode, host, cpu->jump_generation, 0 };
    if (is_global(&aux->log[VIT_ACCESS_EXEC][mmu], page_slot))
        return;
    if (aux->n_jumps < VIT_JUMP_LOG)
        aux->jumps[aux->n_jumps++] = (uint16_t) slot;
    else
        aux->n_jumps = VIT_JUMP_LOG + 1;
}

static void flush(VitCpu *cpu, bool keep_global)
{
    VitTlbAux *aux = cpu->tlb_aux;

    for (unsigned m = 0; m < VIT_MMU_MODES; m++) {
        for (unsigned k = 0; k < VIT_TLB_KINDS; k++)
            flush_array(cpu, k, m, keep_global);
    }
    aux->generation++;
    memset(aux->large[false], 0, sizeof aux->large[false]);
    if (!keep_global) {
        aux->global_generation++;
        memset(aux->large[true], 0, sizeof aux->large[true]);
        memset(aux->code_pages, 0, sizeof aux->code_pages);
    } else {
        memset(aux->code_pages[false], 0, sizeof aux->code_pages[false]);
    }
    forget_jumps(cpu, keep_global);
    cpu->stats[VIT_CPU_STAT_FLUSHES]++;
}

void vit_tlb_flush(VitCpu *cpu) { flush(cpu, false); }
void vit_tlb_flush_local(VitCpu *cpu) { flush(cpu, true); }

static bool in_large(const VitTlbAux *aux, bool global, uint64_t linear)
{
    for (unsigned i = 0; i < VIT_TLB_LARGE; i++)
        if (linear >= aux->large[global][i].from && linear < aux->large[global][i].to)
            return true;
    return false;
}

/* Neighbours share a range; the last one takes what finds no other. */
static void note_large(VitTlbAux *aux, bool global, uint64_t linear, uint64_t size)
{
    uint64_t from = linear & ~(size - 1), to = from + size > from ? from + size : UINT64_MAX;

    if (in_large(aux, global, from) && in_large(aux, global, to - 1))
        return;
    for (unsigned i = 0; i < VIT_TLB_LARGE; i++) {
        typeof(&aux->large[0][0]) r = &aux->large[global][i];
        bool empty = r->from == r->to;
        if (!empty && i < VIT_TLB_LARGE - 1 && (to < r->from || from > r->to))
            continue;
        r->from = empty ? from : MIN(r->from, from);
        r->to = empty ? to : MAX(r->to, to);
        return;
    }
}

void vit_tlb_flush_page(VitCpu *cpu, uint64_t linear)
{
    VitTlbAux *aux = cpu->tlb_aux;
    uint64_t page = page_of(linear);

    if (in_large(aux, true, linear)) {
        flush(cpu, false);
        return;
    }
    if (in_large(aux, false, linear)) {
        flush(cpu, true);
        return;
    }
    unsigned hash = code_hash(page);
    if (aux->code_pages[true][hash / 64] >> (hash % 64) & 1)
        forget_jumps(cpu, false);
    else if (aux->code_pages[false][hash / 64] >> (hash % 64) & 1)
        forget_jumps(cpu, true);
    for (unsigned m = 0; m < VIT_MMU_MODES; m++) {
        for (unsigned k = 0; k < VIT_TLB_KINDS; k++) {
            VitTlbEntry *e = vit_tlb_entry(cpu, k, m, linear);
            if (e->tag != page)
                continue;
            drop(e);
        }
        uint64_t tag = page << 2 | m;
        VitTlbWalk *w = &aux->walks[(page ^ m << 9) % VIT_TLB_WALKS];
        if (w->tag == tag)
            w->generation = 0;
    }
}

/* An entry whose page has become clean may have let stores through since: they count as seen
 * now. */
void vit_tlb_flush_writes(VitCpu *cpu)
{
    VitTlbAux *aux = cpu->tlb_aux;

    for (unsigned m = 0; m < VIT_MMU_MODES; m++) {
        VitTlbEntry *array = vit_cpu_tlb(cpu)->write[m];
        VitTlbLog *log = &aux->log[VIT_ACCESS_WRITE][m];
        bool sweep = log->n > VIT_TLB_LOG;
        for (unsigned i = 0; i < (sweep ? VIT_TLB_SIZE : log->n); i++) {
            unsigned slot = sweep ? i : log->slot[i];
            VitRam *ram = aux->store[m][slot].ram;
            uint64_t offset = aux->store[m][slot].offset;
            if (array[slot].tag == VIT_TLB_NONE || !vit_ram_page_is_tracked_clean(ram, offset))
                continue;
            drop(&array[slot]);
            vit_ram_mark_dirty(ram, offset, VIT_PAGE_SIZE);
        }
    }
}

void vit_tlb_forget_writes(VitCpu *cpu, const uint8_t *host, uint64_t size)
{
    for (unsigned m = 0; m < VIT_MMU_MODES; m++) {
        VitTlbEntry *array = vit_cpu_tlb(cpu)->write[m];
        VitTlbLog *log = &cpu->tlb_aux->log[VIT_ACCESS_WRITE][m];
        bool sweep = log->n > VIT_TLB_LOG;
        for (unsigned i = 0; i < (sweep ? VIT_TLB_SIZE : log->n); i++) {
            VitTlbEntry *e = &array[sweep ? i : log->slot[i]];
            if (e->tag != VIT_TLB_NONE &&
                (e->tag << VIT_PAGE_BITS) + e->addend - (uintptr_t) host < size)
                drop(e);
        }
    }
}

void vit_tlb_serve_requests(VitCpu *cpu)
{
    uint32_t mine = VIT_EXIT_TLB_FLUSH | VIT_EXIT_TLB_WRITE;

    if (!(__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) & mine))
        return;
    uint32_t bits = __atomic_fetch_and(&cpu->exit_request, ~mine, __ATOMIC_SEQ_CST);
    vit_tlb_flush_writes(cpu);
    if (bits & VIT_EXIT_TLB_FLUSH)
        vit_tlb_flush(cpu);
}

/* ---- Filling --------------------------------------------------------------------------------- */

static void install(VitCpu *cpu, VitAccess access, unsigned mmu, uint64_t page, uint64_t addend,
                    bool global)
{
    VitTlbLog *log = &cpu->tlb_aux->log[access][mmu];
    unsigned slot = page & (VIT_TLB_SIZE - 1);
    VitTlbEntry *e = &vit_tlb_array(cpu, access, mmu)[slot];

    if (e->tag == VIT_TLB_NONE) {
        if (log->n < VIT_TLB_LOG)
            log->slot[log->n++] = (uint16_t) slot;
        else
            log->n = VIT_TLB_LOG + 1;
    }
    if (access == VIT_ACCESS_EXEC)
        cpu->tlb_aux->code_pages[global][code_hash(page) / 64] |= 1ULL << (code_hash(page) % 64);
    e->tag = page;
    e->addend = addend;
    if (global)
        log->global[slot / 64] |= 1ULL << (slot % 64);
    else
        log->global[slot / 64] &= ~(1ULL << (slot % 64));
}

/* Physical page | prot | GLOBAL.  Unwinds on a fault. */
static uint64_t walk(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu)
{
    VitTlbAux *aux = cpu->tlb_aux;
    uint64_t page = page_of(linear), tag = page << 2 | mmu;
    VitTlbWalk *w = &aux->walks[(page ^ mmu << 9) % VIT_TLB_WALKS];

    if (w->tag == tag && w->phys & prot_of(access) &&
        w->generation == (w->phys & GLOBAL ? aux->global_generation : aux->generation))
        return w->phys;

    VitTlbFill f = { 0 };
    cpu->stats[VIT_CPU_STAT_TLB_FILLS]++;
    if (!cpu->isa->tlb_fill(cpu, linear, access, mmu, false, &f))
        vit_cpu_unwind(cpu);
    w->tag = tag;
    w->phys = (f.phys & ~(uint64_t) (VIT_PAGE_SIZE - 1)) | (f.prot & PROT) |
              (f.global ? GLOBAL : 0);
    w->generation = f.global ? aux->global_generation : aux->generation;
    if (f.size > VIT_PAGE_SIZE)
        note_large(aux, f.global, linear, f.size);
    return w->phys;
}

VitTlbPage vit_tlb_page(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu)
{
    VitTlbEntry *e = vit_tlb_entry(cpu, access, mmu, linear);
    uint64_t page = page_of(linear), base = page << VIT_PAGE_BITS;

    if (e->tag == page && access != VIT_ACCESS_EXEC)
        return (VitTlbPage) { (uint8_t *) (uintptr_t) (base + e->addend), 0 };

    uint64_t found = walk(cpu, linear, access, mmu);
    uint64_t phys = found & ~(uint64_t) (VIT_PAGE_SIZE - 1);
    VitMemTarget t = vit_as_translate(cpu->memory, phys);
    bool global = found & GLOBAL, direct = t.ram && t.length >= VIT_PAGE_SIZE;
    uint8_t *host = NULL;

    if (direct && found & VIT_PROT_READ && access != VIT_ACCESS_EXEC) {
        install(cpu, VIT_ACCESS_READ, mmu, page, (uintptr_t) t.host - base, global);
        if (access == VIT_ACCESS_READ)
            host = t.host;
    }
    if (direct && !t.readonly && found & VIT_PROT_WRITE && access == VIT_ACCESS_WRITE) {
        if (!vit_ram_page_is_tracked_clean(t.ram, t.ram_offset)) {
            unsigned slot = page & (VIT_TLB_SIZE - 1);
            cpu->tlb_aux->store[mmu][slot].ram = t.ram;
            cpu->tlb_aux->store[mmu][slot].offset = t.ram_offset;
            install(cpu, VIT_ACCESS_WRITE, mmu, page, (uintptr_t) t.host - base, global);
            host = t.host;
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            if (vit_ram_page_is_tracked_clean(t.ram, t.ram_offset)) {   /* cleaned meanwhile */
                drop(vit_tlb_entry(cpu, VIT_ACCESS_WRITE, mmu, linear));
                host = NULL;
            }
        }
    }
    return (VitTlbPage) { host, phys };
}

VitTlbEntry *vit_tlb_exec(VitCpu *cpu, uint64_t linear, unsigned mmu, uint64_t *phys)
{
    VitTlbEntry *e = vit_tlb_entry(cpu, VIT_ACCESS_EXEC, mmu, linear);

    if (e->tag != page_of(linear) || !e->addend) {
        uint64_t found = walk(cpu, linear, VIT_ACCESS_EXEC, mmu);
        *phys = found & ~(uint64_t) (VIT_PAGE_SIZE - 1);
        install(cpu, VIT_ACCESS_EXEC, mmu, page_of(linear), 0, found & GLOBAL);
    }
    return e;
}

bool vit_tlb_probe(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, uint64_t *phys)
{
    VitTlbFill f = { 0 };

    if (!cpu->isa->tlb_fill(cpu, linear, access, mmu, true, &f))
        return false;
    *phys = f.phys & ~(uint64_t) (VIT_PAGE_SIZE - 1);
    return true;
}
