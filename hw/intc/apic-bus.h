/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/apic-bus.h - what joins local APICs, IO-APICs and MSI (Intel SDM vol. 3A, 11.6, 11.11)
 *
 * All under the machine lock. */
#pragma once
#include "engine/core/device.h"

enum { VIT_APIC_MAX_CPUS = 255 };

typedef enum {
    VIT_APIC_FIXED = 0, VIT_APIC_LOWEST = 1, VIT_APIC_SMI = 2, VIT_APIC_NMI = 4, VIT_APIC_INIT = 5,
    VIT_APIC_STARTUP = 6, VIT_APIC_EXTINT = 7
} VitApicMode;

typedef struct {
    uint32_t    dest;           /* 8 bits in xAPIC form, 32 in x2APIC form */
    VitApicMode mode;
    uint8_t     vector;
    bool        logical;        /* destination mode */
    bool        level;          /* trigger mode */
    bool        x2apic;         /* dest is a 32-bit x2APIC destination */
} VitApicMessage;

typedef struct VitApicBus VitApicBus;
struct VitApicBus {
    VitDevice *lapics[VIT_APIC_MAX_CPUS];   /* borrowed; index = CPU number */
    unsigned   n_lapics;
    unsigned   last_lowest; /* round robin of equal priorities: no state that matters */
    void     (*eoi)(void *opaque, uint8_t vector);      /* broadcast of a level interrupt's EOI */
    void      *eoi_opaque;
    int      (*pic_ack)(void *opaque);                  /* ExtINT: vector of the 8259 pair */
    bool     (*pic_pending)(void *opaque);
    void      *pic_opaque;
};

void vit_apic_bus_send(VitApicBus *bus, const VitApicMessage *message);
/* A memory write into the MSI window (offset from 0xfee00000). */
void vit_apic_bus_msi(VitApicBus *bus, uint64_t address, uint32_t data);
/* The 8259 pair's INTR: drives LINT0 of every local APIC. */
void vit_apic_bus_set_extint(VitApicBus *bus, bool level);

void vit_lapic_connect(VitDevice *lapic, VitApicBus *bus, unsigned index);
/* One message that is addressed to this APIC. */
void vit_lapic_deliver(VitDevice *lapic, const VitApicMessage *message);
bool vit_lapic_matches(VitDevice *lapic, const VitApicMessage *message);
void vit_lapic_set_lint0(VitDevice *lapic, bool level);
uint8_t vit_lapic_processor_priority(VitDevice *lapic);
bool vit_lapic_software_enabled(VitDevice *lapic);
