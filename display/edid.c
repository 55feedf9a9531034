/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/edid.c - the monitor's description of itself
 *
 * VESA Enhanced EDID Standard release A revision 2, section 3; timings by VESA CVT 1.2 with reduced
 * blanking, without its rounding of the width, since a window has any size.  A mode that a detailed
 * timing descriptor cannot hold goes into a DisplayID 1.3 block (type I detailed timing). */
#include "display/edid.h"

#include <glib.h>
#include <string.h>

enum {
    BLOCK = 128,
    DESCRIPTORS = 54,
    DESCRIPTOR = 18,
    DTD_MAX_SIDE = 4095,
    DTD_MAX_CLOCK = 65535 /* 10 kHz */
};

typedef struct {
    unsigned width, h_blank, h_front, h_sync;
    unsigned height, v_blank, v_front, v_sync;
    uint32_t clock;     /* 10 kHz */
} Timing;

static Timing reduced_blanking(unsigned width, unsigned height, unsigned refresh_mhz)
{
    enum {
        H_BLANK = 160,
        H_FRONT = 48,
        H_SYNC = 32,
        V_FRONT = 3,
        V_SYNC = 10,
        V_BACK = 6,
        MIN_BLANK_US = 460
    };
    double frame_us = 1e9 / refresh_mhz, line_us = MAX(frame_us - MIN_BLANK_US, 1) / height;
    unsigned v_blank = MAX((unsigned) (MIN_BLANK_US / line_us) + 1, V_FRONT + V_SYNC + V_BACK);
    Timing t = { .width = width,
                 .h_blank = H_BLANK,
                 .h_front = H_FRONT,
                 .h_sync = H_SYNC,
                 .height = height,
                 .v_blank = MIN(v_blank, 4095),
                 .v_front = V_FRONT,
                 .v_sync = V_SYNC };
    uint64_t pixels = (uint64_t) (width + H_BLANK) * (height + t.v_blank);
    t.clock = (uint32_t) (pixels * refresh_mhz / 10000000);
    return t;
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
}

static void put_timing(uint8_t *d, const Timing *t, unsigned width_mm, unsigned height_mm)
{
    enum { SEPARATE_SYNC_H_POSITIVE = 0x1a };
    unsigned w_mm = MIN(width_mm, 4095), h_mm = MIN(height_mm, 4095);

    put16(d, t->clock);
    d[2] = (uint8_t) t->width;
    d[3] = (uint8_t) t->h_blank;
    d[4] = (uint8_t) (t->width >> 8 << 4 | t->h_blank >> 8);
    d[5] = (uint8_t) t->height;
    d[6] = (uint8_t) t->v_blank;
    d[7] = (uint8_t) (t->height >> 8 << 4 | t->v_blank >> 8);
    d[8] = (uint8_t) t->h_front;
    d[9] = (uint8_t) t->h_sync;
    d[10] = (uint8_t) (t->v_front << 4 | t->v_sync);
    d[11] = 0;
    d[12] = (uint8_t) w_mm;
    d[13] = (uint8_t) h_mm;
    d[14] = (uint8_t) (w_mm >> 8 << 4 | h_mm >> 8);
    d[17] = SEPARATE_SYNC_H_POSITIVE;
}

static void put_text(uint8_t *d, uint8_t tag, const char *text)
{
    size_t n = MIN(strlen(text), 13);

    d[3] = tag;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, text, n);
    if (n < 13)
        d[5 + n] = '\n';
}

static void put_limits(uint8_t *d)
{
    static const uint8_t limits[] = { 0,   0, 0,  0xfd, 8,  24, 240, 15, 255,
                                      255, 1, 10, 32,   32, 32, 32,  32, 32 };
    memcpy(d, limits, sizeof limits);   /* 24-240 Hz, 15-510 kHz, any clock, no timing formula */
}

static void put_checksum(uint8_t *block, unsigned first, unsigned at)
{
    unsigned sum = 0;
    for (unsigned i = first; i < at; i++)
        sum += block[i];
    block[at] = (uint8_t) (256 - (sum & 0xff));
}

/* DisplayID section 4.4.1: one type I timing, preferred. */
static void put_display_id(uint8_t *block, const Timing *t)
{
    enum {
        EXTENSION = 0x70,
        VERSION = 0x13,
        TYPE_1_TIMING = 0x03,
        TIMING = 20,
        SECTION = 3 + TIMING,
        PREFERRED = 0x80
    };
    uint8_t *s = block + 1, *d = s + 7;

    block[0] = EXTENSION;
    s[0] = VERSION;
    s[1] = SECTION;
    s[2] = 3;           /* desktop monitor */
    s[4] = TYPE_1_TIMING;
    s[6] = TIMING;
    uint32_t clock = t->clock - 1;
    d[0] = (uint8_t) clock;
    d[1] = (uint8_t) (clock >> 8);
    d[2] = (uint8_t) (clock >> 16);
    d[3] = PREFERRED | 8;   /* aspect ratio not one of the listed */
    put16(d + 4, t->width - 1);
    put16(d + 6, t->h_blank - 1);
    put16(d + 8, (t->h_front - 1) | 0x8000);
    put16(d + 10, t->h_sync - 1);
    put16(d + 12, t->height - 1);
    put16(d + 14, t->v_blank - 1);
    put16(d + 16, t->v_front - 1);
    put16(d + 18, t->v_sync - 1);
    put_checksum(block, 1, 1 + 4 + SECTION);
    put_checksum(block, 0, BLOCK - 1);
}

static void put_standard(uint8_t *p)
{
    enum { R16_10 = 0, R4_3 = 1, R5_4 = 2, R16_9 = 3 };
    static const struct { uint16_t width; uint8_t ratio; } modes[8] = {
        { 1920, R16_9 }, { 1920, R16_10 }, { 1680, R16_10 }, { 1600, R16_9 },
        { 1440, R16_10 }, { 1280, R5_4 }, { 1280, R16_10 }, { 1280, R16_9 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        p[2 * i] = (uint8_t) (modes[i].width / 8 - 31);
        p[2 * i + 1] = (uint8_t) (modes[i].ratio << 6);     /* at 60 Hz */
    }
}

size_t vit_edid_make(const VitEdidInfo *info, uint8_t edid[VIT_EDID_MAX])
{
    static const uint8_t start[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    static const uint8_t srgb[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };
    unsigned width = (unsigned) CLAMP(info->width, 64, VIT_EDID_MAX_SIDE);
    unsigned height = (unsigned) CLAMP(info->height, 64, VIT_EDID_MAX_SIDE);
    unsigned refresh = (unsigned) (info->refresh_mhz > 0 ? CLAMP(info->refresh_mhz, 1000, 500000)
                                                         : 60000);
    unsigned width_mm = info->width_mm > 0 ? (unsigned) info->width_mm : width * 254 / 960;
    unsigned height_mm = info->height_mm > 0 ? (unsigned) info->height_mm : height * 254 / 960;
    Timing t = reduced_blanking(width, height, refresh);
    bool small = width <= DTD_MAX_SIDE && height <= DTD_MAX_SIDE && t.clock <= DTD_MAX_CLOCK;
    Timing fallback = reduced_blanking(1920, 1080, 60000);
    unsigned vendor = ('V' - '@') << 10 | ('T' - '@') << 5 | ('R' - '@');

    memset(edid, 0, VIT_EDID_MAX);
    memcpy(edid, start, sizeof start);
    edid[8] = (uint8_t) (vendor >> 8);
    edid[9] = (uint8_t) vendor;
    put16(edid + 10, 1);
    put16(edid + 12, info->serial & 0xffff);
    put16(edid + 14, info->serial >> 16);
    edid[16] = 1;
    edid[17] = 2026 - 1990;
    edid[18] = 1;
    edid[19] = 4;
    edid[20] = 0xa5;        /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (uint8_t) MIN((width_mm + 5) / 10, 255);
    edid[22] = (uint8_t) MIN((height_mm + 5) / 10, 255);
    edid[23] = 120;         /* gamma 2.2 */
    edid[24] = 0x06;        /* sRGB; the first timing is the native one */
    memcpy(edid + 25, srgb, sizeof srgb);
    edid[35] = 0x21;        /* 640x480 and 800x600 at 60 Hz */
    edid[36] = 0x08;        /* 1024x768 at 60 Hz */
    put_standard(edid + 38);
    put_timing(edid + DESCRIPTORS, small ? &t : &fallback, width_mm, height_mm);
    put_limits(edid + DESCRIPTORS + DESCRIPTOR);
    put_text(edid + DESCRIPTORS + 2 * DESCRIPTOR, 0xfc, info->name ? info->name : "Vitrine");
    edid[DESCRIPTORS + 3 * DESCRIPTOR + 3] = 0x10;      /* dummy */
    edid[126] = small ? 0 : 1;
    put_checksum(edid, 0, BLOCK - 1);
    if (small)
        return BLOCK;
    put_display_id(edid + BLOCK, &t);
    return 2 * BLOCK;
}
