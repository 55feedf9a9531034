/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/i8254.h - programmable interval timer and port 61h; all under the machine lock */
#pragma once
#include "engine/core/device.h"

enum { VIT_I8254_HZ = 1193182 };

/* Window: bytes 0..3 are the 8254 (ports 40h..43h), byte 4 is port 61h.  Output 0: OUT0. */
extern const VitDeviceClass vit_i8254_class;
