/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/hpet.h - high precision event timers; all under the machine lock */
#pragma once
#include "engine/core/device.h"

enum {
    VIT_HPET_BASE = 0xfed00000, VIT_HPET_SIZE = 0x400,
    VIT_HPET_LINES = 16,            /* outputs 0..15: the ISA lines that a timer may be routed to */
    VIT_HPET_LEGACY = 16,           /* output 16: high while timers 0 and 1 replace PIT and RTC */
    /* Lines that timers may choose: those that a PC has no other device on. */
    VIT_HPET_ROUTES = 1 << 5 | 1 << 7 | 1 << 13,
};

extern const VitDeviceClass vit_hpet_class;
