/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/x86-apic.h - what an x86 vCPU and its local APIC ask of each other */
#pragma once
#include "engine/guest/x86/cpu.h"
#include "hw/intc/lapic.h"

/* Before the vCPU runs; each borrows the other.  Machine lock held. */
void engine_connect_apic(X86Cpu *x, VitDevice *lapic);
