/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/ioapic.h - I/O APIC; all under the machine lock */
#pragma once
#include "hw/intc/apic-bus.h"

enum { VIT_IOAPIC_PINS = 24, VIT_IOAPIC_BASE = 0xfec00000 };

/* Window: 4 KiB.  Inputs: the interrupt pins, active high. */
extern const VitDeviceClass vit_ioapic_class;

/* borrowed; takes its EOI broadcasts */
void vit_ioapic_connect(VitDevice *ioapic, VitApicBus *bus);
