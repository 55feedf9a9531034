/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/x86-glue.c - x86 vCPUs and the board: local APIC both ways, registers of a direct
 * boot
 *
 * Lock: APIC functions want the machine lock; a vCPU takes it here around each call. */
#include "engine/guest/x86/cpu.h"
#include "engine/machine/engine-private.h"

#include <string.h>

/* ---- APIC to CPU: any thread, machine lock held ---------------------------------------------- */

static void set_intr(void *cpu, bool level) { x86_set_line(cpu, X86_LINE_INTR, level); }
static void nmi(void *cpu) { x86_set_line(cpu, X86_LINE_NMI, true); }
static void smi(void *cpu) { x86_set_line(cpu, X86_LINE_SMI, true); }
static void init(void *cpu) { x86_set_line(cpu, X86_LINE_INIT, true); }
static void sipi(void *cpu, uint8_t vector) { x86_sipi(cpu, vector); }
static int64_t tsc_to_ns(void *cpu, uint64_t tsc) { return x86_tsc_to_ns(cpu, tsc); }

static const VitLapicCpuOps lapic_ops = {
    .set_intr = set_intr, .nmi = nmi, .smi = smi, .init = init, .sipi = sipi,
    .tsc_to_ns = tsc_to_ns,
};

/* ---- CPU to APIC: vCPU thread ---------------------------------------------------------------- */

static int intr_ack(void *lapic)
{
    vit_device_lock(lapic);
    int vector = vit_lapic_ack(lapic);
    vit_device_unlock(lapic);
    return vector;
}

static bool msr_read(void *lapic, uint32_t msr, uint64_t *value)
{
    vit_device_lock(lapic);
    bool ok = vit_lapic_msr_read(lapic, msr, value);
    vit_device_unlock(lapic);
    return ok;
}

static bool msr_write(void *lapic, uint32_t msr, uint64_t value)
{
    vit_device_lock(lapic);
    bool ok = vit_lapic_msr_write(lapic, msr, value);
    vit_device_unlock(lapic);
    return ok;
}

static uint8_t get_cr8(void *lapic)
{
    vit_device_lock(lapic);
    uint8_t cr8 = vit_lapic_get_cr8(lapic);
    vit_device_unlock(lapic);
    return cr8;
}

static void set_cr8(void *lapic, uint8_t cr8)
{
    vit_device_lock(lapic);
    vit_lapic_set_cr8(lapic, cr8);
    vit_device_unlock(lapic);
}

static bool apic_enabled(void *lapic)
{
    vit_device_lock(lapic);
    bool on = vit_lapic_globally_enabled(lapic);
    vit_device_unlock(lapic);
    return on;
}

static void init_reset(void *lapic)
{
    vit_device_lock(lapic);
    vit_lapic_init_reset(lapic);
    vit_device_unlock(lapic);
}

static const X86CpuOps cpu_ops = {
    .intr_ack = intr_ack, .msr_read = msr_read, .msr_write = msr_write, .get_cr8 = get_cr8,
    .set_cr8 = set_cr8, .apic_enabled = apic_enabled, .init = init_reset,
};

/* The xAPIC page is private to its processor: the slow path of memory accesses asks these. */
static uint64_t private_page(void *lapic)
{
    return vit_lapic_page(lapic);
}

static uint64_t private_read(void *lapic, uint64_t offset, unsigned size)
{
    vit_device_lock(lapic);
    uint64_t value = vit_lapic_mmio_read(lapic, (uint32_t) offset, size);
    vit_device_unlock(lapic);
    return value;
}

static void private_write(void *lapic, uint64_t offset, uint64_t value, unsigned size)
{
    vit_device_lock(lapic);
    vit_lapic_mmio_write(lapic, (uint32_t) offset, value, size);
    vit_device_unlock(lapic);
}

static const VitCpuPrivatePage private_ops = {
    .page = private_page, .read = private_read, .write = private_write,
};

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
    X86Cpu *x = e->cpus->pdata[n];
    VitDevice *lapic = e->board->lapics[n];

    x->ops = &cpu_ops;
    x->ops_opaque = lapic;
    x->cpu.private_page = &private_ops;
    x->cpu.private_opaque = lapic;
    vit_board_attach_cpu(e->board, n, &lapic_ops, x);
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
