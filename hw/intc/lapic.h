/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/lapic.h - local APIC (xAPIC and x2APIC) as its processor and the machine see it
 *
 * Lock: every function here is called with the machine lock held; the vCPU thread takes it itself
 * (vit_system_lock) around each call.  The callbacks in VitLapicCpuOps run on any thread with the
 * machine lock held: they note the event in the vCPU's atomic request word and wake it, no more.
 *
 * The xAPIC page is private to each processor: the slow path of its memory accesses compares the
 * physical address with vit_lapic_page() and calls vit_lapic_mmio_read/write for it.  Everything
 * else in 0xfee00000..0xfeefffff is the MSI window, which is an ordinary region of the machine. */
#pragma once
#include "engine/core/device.h"

typedef struct {
    /* Level of the processor's INTR input: a vector (or ExtINT) is deliverable at the present TPR.
     * The CPU calls vit_lapic_ack() when it is ready to take it (RFLAGS.IF, no shadow). */
    void (*set_intr)(void *cpu, bool level);
    void (*nmi)(void *cpu);
    void (*smi)(void *cpu);
    void (*init)(void *cpu); /* INIT: reset to wait-for-SIPI (BSP: reset vector) */
    void (*sipi)(void *cpu, uint8_t vector);    /* only acts on a CPU that waits for SIPI */
    /* Virtual time (ns) at which the guest's TSC reaches `tsc`; VIT_TIMER_OFF when never.
     * NULL: the CPU has no TSC-deadline mode. */
    int64_t (*tsc_to_ns)(void *cpu, uint64_t tsc);
} VitLapicCpuOps;

extern const VitDeviceClass vit_lapic_class;

enum {
    VIT_LAPIC_MSR_BASE = 0x1b, VIT_LAPIC_MSR_TSC_DEADLINE = 0x6e0,
    VIT_LAPIC_MSR_X2APIC_FIRST = 0x800, VIT_LAPIC_MSR_X2APIC_LAST = 0x8ff,
};

void vit_lapic_set_cpu(VitDevice *lapic, const VitLapicCpuOps *ops, void *cpu);    /* borrowed */

/* Interrupt acknowledge: moves the highest deliverable vector from IRR to ISR and returns it; for
 * ExtINT asks the 8259 pair.  -1 when nothing is deliverable any more. */
int vit_lapic_ack(VitDevice *lapic);
/* The level that set_intr last reported (for a CPU that polls after HLT, CLI/STI, load). */
bool vit_lapic_intr(VitDevice *lapic);

/* MSRs of the ranges above. False: #GP(0).  After a write to APIC_BASE the CPU flushes its TLB. */
[[nodiscard]] bool vit_lapic_msr_read(VitDevice *lapic, uint32_t msr, uint64_t *value);
[[nodiscard]] bool vit_lapic_msr_write(VitDevice *lapic, uint32_t msr, uint64_t value);
/* CR8: bits 7:4 of the task priority. */
uint8_t vit_lapic_get_cr8(VitDevice *lapic);
void vit_lapic_set_cr8(VitDevice *lapic, uint8_t cr8);

/* Physical address of the xAPIC page; UINT64_MAX when disabled or in x2APIC mode.  Lock-free. */
uint64_t vit_lapic_page(VitDevice *lapic);
uint64_t vit_lapic_mmio_read(VitDevice *lapic, uint32_t offset, unsigned size);
void vit_lapic_mmio_write(VitDevice *lapic, uint32_t offset, uint64_t value, unsigned size);

uint32_t vit_lapic_id(VitDevice *lapic);        /* initial (x2)APIC ID */
bool vit_lapic_is_bsp(VitDevice *lapic);
/* For CPUID.1:EDX.APIC: the global enable of APIC_BASE. */
bool vit_lapic_globally_enabled(VitDevice *lapic);
/* INIT reset of the APIC itself (keeps APIC_BASE and the ID); the CPU calls it when it acts on
 * INIT. */
void vit_lapic_init_reset(VitDevice *lapic);
