/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/edid.h - the monitor's description of itself (VESA E-EDID A2, DisplayID 1.3) */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { VIT_EDID_MAX = 256, VIT_EDID_MAX_SIDE = 16384 };

typedef struct {
    int width, height;          /* preferred mode, pixels; clamped to 64..VIT_EDID_MAX_SIDE */
    int         width_mm, height_mm;    /* 0 = as at 96 dots an inch */
    int         refresh_mhz;            /* 0 = 60000 */
    uint32_t    serial;
    const char *name;                   /* at most 13 characters; NULL = "Vitrine" */
} VitEdidInfo;

/* Returns the bytes written: 128, or 256 when the mode needs a DisplayID block. */
size_t vit_edid_make(const VitEdidInfo *info, uint8_t edid[VIT_EDID_MAX]);
