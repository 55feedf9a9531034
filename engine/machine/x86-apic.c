/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/x86-apic.c - what an x86 vCPU and its local APIC ask of each other
 *
 * Lock: APIC functions want the machine lock; a vCPU takes it here around each call. */
#include "engine/machine/x86-apic.h"

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

static const X86CpuOps apic_ops = {
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

void engine_connect_apic(X86Cpu *x, VitDevice *lapic)
{
    x->ops = &apic_ops;
    x->ops_opaque = lapic;
    x->cpu.private_page = &private_ops;
    x->cpu.private_opaque = lapic;
    vit_lapic_set_cpu(lapic, &lapic_ops, x);
}
