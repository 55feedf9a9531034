/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/input/i8042.h - keyboard controller with PS/2 keyboard and mouse; all under the machine
 * lock */
#pragma once
#include "display/input.h"
#include "engine/core/device.h"

/* Window: byte 0 is port 60h, byte 1 port 64h.  Outputs: 0 keyboard (IRQ 1), 1 mouse (IRQ 12). */
extern const VitDeviceClass vit_i8042_class;

void vit_i8042_set_input(VitDevice *i8042, VitInputHub *hub); /* borrowed; after init; NULL: none */
