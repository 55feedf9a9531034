/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/x86-glue.c - makes and resets x86 vCPUs, with the registers of a direct boot */
#include "engine/machine/engine-private.h"
#include "engine/machine/x86-apic.h"

#include <string.h>

/* ---- vCPUs ----------------------------------------------------------------------------------- */

VitCpu *engine_new_cpu(VitEngine *e, unsigned n, GError **error)
{
    VitCpu *cpu = vit_cpu_new(&vit_isa_x86, e->sys, n);
    X86Cpu *x = (X86Cpu *) cpu;

    x->n_cpus = e->config->n_cpus;
    x->apic_id = vit_lapic_id(e->board->lapics[n]);
    if (!x86_cpu_set_model(x, e->config->cpu ?: "max", error)) {
        vit_cpu_free(cpu);
        return NULL;
    }
    return cpu;
}

void engine_connect_cpu(VitEngine *e, unsigned n)
{
    engine_connect_apic(e->cpus->pdata[n], e->board->lapics[n]);
}

/* ---- Direct boot ----------------------------------------------------------------------------- */

static X86Segment segment(const VitX86Segment *s)
{
    unsigned access = s->access;

    return (X86Segment) {
        .selector = s->selector, .limit = s->limit, .base = s->base,
        .attr = (uint16_t) ((access & 0xff) | (access >> 12 & 0xf) << 8),
    };
}

static void apply_boot_state(X86Cpu *x, const VitX86BootState *b)
{
    X86Segment data = segment(&b->data);

    x->rip = b->rip;
    x->gpr[X86_RSP] = b->rsp;
    x->gpr[X86_RBP] = b->rbp;
    x->gpr[X86_RSI] = b->rsi;
    x->gpr[X86_RBX] = b->rbx;
    x->gpr[X86_RDI] = b->rdi;
    x->cr0 = b->cr0;
    x->cr3 = b->cr3;
    x->cr4 = b->cr4;
    x->efer = b->efer;
    x->gdt.base = b->gdt_base;
    x->gdt.limit = b->gdt_limit;
    x->seg[X86_CS] = segment(&b->cs);
    x->seg[X86_DS] = x->seg[X86_ES] = x->seg[X86_SS] = x->seg[X86_FS] = x->seg[X86_GS] = data;
    x86_set_eflags(x, (uint32_t) b->rflags, UINT32_MAX);
}

void engine_reset_cpus(VitEngine *e)
{
    const VitX86BootState *boot = vit_board_boot_state(e->board);

    for (guint n = 0; n < e->cpus->len; n++) {
        X86Cpu *x = e->cpus->pdata[n];

        x->cpu.isa->reset(&x->cpu);
        x->wait_sipi = !vit_lapic_is_bsp(e->board->lapics[n]);
        x->cpu.halted = x->wait_sipi;
        if (boot)
            x->mtrr_def = boot->mtrr_def_type;      /* as firmware would leave every processor */
        if (n == 0 && boot)
            apply_boot_state(x, boot);
        x86_update_mode(x);
        vit_cpu_request(&x->cpu, VIT_EXIT_TLB_FLUSH | VIT_EXIT_INTERRUPT);
    }
}
