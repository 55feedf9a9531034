/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/mc146818.h - real-time clock and CMOS RAM; all under the machine lock */
#pragma once
#include "engine/core/device.h"

/* Window: byte 0 index (port 70h), byte 1 data (port 71h).  Output 0: IRQ. */
extern const VitDeviceClass vit_mc146818_class;

/* What the clock shows at virtual time 0: nanoseconds since 1970, of local or universal time as the
 * guest is to see it.  Survives reset, as the battery does. */
void vit_mc146818_set_base(VitDevice *rtc, int64_t ns_since_1970);
/* A byte of CMOS RAM (14..127) as firmware left it; survives reset. */
void vit_mc146818_set_cmos(VitDevice *rtc, uint8_t index, uint8_t value);
