/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/io.c - IN and OUT with their permission checks (Intel SDM vol. 1, chapter 19) */
#include "engine/guest/x86/cpu-private.h"

/* #GP(0) unless IOPL or the TSS's I/O map allows the ports. */
static void require_port(X86Cpu *x, unsigned port, unsigned size)
{
    const X86Segment *tr = &x->seg[X86_TR];
    unsigned map, mmu = x86_system_mmu(x);
    uint64_t bits;

    if (!(x->cr0 & CR0_PE) || (x86_cpl(x) <= x86_iopl(x) && !(x->eflags & X86_EFLAGS_VM))) return;
    if ((tr->attr & 0xd) != TYPE_TSS32 || tr->limit < 103) x86_raise_error(x, X86_GP, 0);
    map = (unsigned)vit_cpu_load(&x->cpu, x86_system_linear(x, tr->base + 102), 2, mmu);
    if (map + port / 8 + 1 > tr->limit) /* two bytes are read */
        x86_raise_error(x, X86_GP, 0);
    bits = vit_cpu_load(&x->cpu, x86_system_linear(x, tr->base + map + port / 8), 2, mmu);
    if (bits >> (port & 7) & ((1u << size) - 1)) x86_raise_error(x, X86_GP, 0);
}

uint64_t x86_h_in(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned port = a & 0xffff, size = (unsigned)b;

    require_port(x, port, size);
    x86_debug_hit_io(x, port, size);
    cpu->stats[VIT_CPU_STAT_MMIO]++;
    return vit_as_load(cpu->io, port, size, NULL);
}
DEFINE_HELPER(x86_h_in, VIT_HELPER_ALL);

uint64_t x86_h_out(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned port = a & 0xffff, size = (unsigned)c;

    require_port(x, port, size);
    x86_debug_hit_io(x, port, size);
    cpu->stats[VIT_CPU_STAT_MMIO]++;
    vit_as_store(cpu->io, port, b, size);
    return 0;
}
DEFINE_HELPER(x86_h_out, VIT_HELPER_ALL);
