/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/char/uart16550.h - NS16550A UART; all under the machine lock */
#pragma once
#include "engine/core/char.h"
#include "engine/core/device.h"

extern const VitDeviceClass vit_uart16550_class;

/* chr: borrowed; NULL = nothing connected (output is discarded, no modem lines).  After init. */
void vit_uart16550_set_chr(VitDevice *uart, VitChar *chr);
