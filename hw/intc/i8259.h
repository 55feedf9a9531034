/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/i8259.h - interrupt controller pair; all under the machine lock */
#pragma once
#include "engine/core/device.h"

extern const VitDeviceClass vit_i8259_class;

/* Makes `slave` the one behind input 2 of `master` and wires its output there. */
void vit_i8259_cascade(VitDevice *master, VitDevice *slave);
/* The two INTA cycles: returns the vector, the spurious one when nothing is pending. */
int vit_i8259_ack(VitDevice *master);
bool vit_i8259_pending(VitDevice *master);
