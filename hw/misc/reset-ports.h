/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/reset-ports.h - ports 92h and CF9h; all under the machine lock */
#pragma once
#include "engine/core/device.h"

/* Window: byte 0 is port 92h, byte 1 is port CF9h. */
extern const VitDeviceClass vit_reset_ports_class;
