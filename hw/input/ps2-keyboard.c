/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/input/ps2-keyboard.c - PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard"; scan codes: Microsoft Keyboard Scan Code Specification 1.3a, appendix A)
 * Not modelled: scan code set 3 (refused with Resend), the codes that NumLock wraps around the
 * grey keys. */
#include "hw/input/ps2.h"
#include <linux/input-event-codes.h>

enum {
    CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SET = 0xf0, CMD_ID = 0xf2, CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5, CMD_DEFAULT = 0xf6, CMD_RESEND = 0xfe, CMD_RESET = 0xff,
    ACK = 0xfa, PASSED = 0xaa, RESEND = 0xfe, RELEASE = 0xf0, EXTENDED = 0xe0, QUEUE = 32,
};

/* Set 1 make code -> set 2 make code: what the controller's translation undoes. */
static const uint8_t set2_of[128] = {
    0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b,
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a,
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03,
    0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b, 0x6b, 0x73, 0x74, 0x79, 0x69,
    0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
    0x47, 0x4f, 0x56, 0x5e, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6f,
    0x13, 0x19, 0x39, 0x51, 0x53, 0x5c, 0x5f, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6a, 0x6d, 0x6e,
};

/* Linux key code -> set 1 make code, 0x80 added for those behind E0.  Codes 1 to 83 are the
 * same. */
static const uint8_t set1_of[256] = {
    [KEY_102ND] = 0x56, [KEY_F11] = 0x57, [KEY_F12] = 0x58, [KEY_RO] = 0x73,
    [KEY_KATAKANAHIRAGANA] = 0x70,
    [KEY_HENKAN] = 0x79, [KEY_MUHENKAN] = 0x7b, [KEY_YEN] = 0x7d, [KEY_KPJPCOMMA] = 0x5c,
    [KEY_KPCOMMA] = 0x7e,
    [KEY_KPENTER] = 0x9c, [KEY_RIGHTCTRL] = 0x9d, [KEY_KPSLASH] = 0xb5, [KEY_SYSRQ] = 0xb7,
    [KEY_RIGHTALT] = 0xb8, [KEY_HOME] = 0xc7, [KEY_UP] = 0xc8, [KEY_PAGEUP] = 0xc9,
    [KEY_LEFT] = 0xcb,
    [KEY_RIGHT] = 0xcd, [KEY_END] = 0xcf, [KEY_DOWN] = 0xd0, [KEY_PAGEDOWN] = 0xd1,
    [KEY_INSERT] = 0xd2,
    [KEY_DELETE] = 0xd3, [KEY_MUTE] = 0xa0, [KEY_VOLUMEDOWN] = 0xae, [KEY_VOLUMEUP] = 0xb0,
    [KEY_POWER] = 0xde,
    [KEY_LEFTMETA] = 0xdb, [KEY_RIGHTMETA] = 0xdc, [KEY_COMPOSE] = 0xdd, [KEY_SLEEP] = 0xdf,
    [KEY_WAKEUP] = 0xe3, [KEY_NEXTSONG] = 0x99, [KEY_PLAYPAUSE] = 0xa2, [KEY_PREVIOUSSONG] = 0x90,
    [KEY_STOPCD] = 0xa4, [KEY_MAIL] = 0xec, [KEY_HOMEPAGE] = 0xb2, [KEY_CALC] = 0xa1,
};
static const uint8_t pause_set1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
static const uint8_t pause_set2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };

int vit_ps2_translate(uint8_t byte, bool *release)
{
    if (byte == RELEASE) {
        *release = true;
        return -1;
    }
    uint8_t high = *release ? 0x80 : 0;
    *release = false;
    if (byte == 0x02 || byte == 0x7f)       /* F7 and SysRq have two codes each */
        byte = byte == 0x02 ? 0x83 : 0x84;
    for (unsigned i = 1; i < G_N_ELEMENTS(set2_of); i++)
        if (set2_of[i] == byte)
            return (int) (i | high);
    return byte ? byte | high : 0xff;
}

static void send(VitPs2Keyboard *k, uint8_t byte)
{
    vit_fifo8_push(&k->queue, byte);
}

static void defaults(VitPs2Keyboard *k)
{
    k->typematic = 0x2b;
    k->set = 2;
    k->repeat_key = 0;
}

void vit_ps2_keyboard_reset(VitPs2Keyboard *k)
{
    *k = (VitPs2Keyboard) { .enabled = true };
    vit_fifo8_init(&k->queue, QUEUE);
    defaults(k);
}

static bool data_byte(VitPs2Keyboard *k, uint8_t byte)
{
    uint8_t command = k->command;
    k->command = 0;
    if (command == CMD_LEDS) {
        bool changed = k->leds != (byte & 7);
        k->leds = byte & 7;
        send(k, ACK);
        return changed;
    }
    if (command == CMD_RATE) {
        k->typematic = byte & 0x7f;
        send(k, ACK);
    } else if (byte <= 2) {         /* CMD_SET */
        send(k, ACK);
        if (byte)
            k->set = byte;
        else
            send(k, k->set);
    } else {
        send(k, RESEND);
    }
    return false;
}

bool vit_ps2_keyboard_write(VitPs2Keyboard *k, uint8_t byte)
{
    if (k->command && byte < CMD_LEDS)
        return data_byte(k, byte);
    k->command = 0;
    switch (byte) {
    case CMD_LEDS:
    case CMD_SET:
    case CMD_RATE:
        k->command = byte;
        send(k, ACK);
        break;
    case CMD_ECHO:
        send(k, CMD_ECHO);
        break;
    case CMD_ID:
        send(k, ACK);
        send(k, 0xab);
        send(k, 0x83);
        break;
    case CMD_ENABLE:
        vit_fifo8_reset(&k->queue);
        k->enabled = true;
        send(k, ACK);
        break;
    case CMD_DISABLE:
    case CMD_DEFAULT:
        defaults(k);
        k->enabled = byte == CMD_DEFAULT;
        send(k, ACK);
        break;
    case 0xf7: case 0xf8: case 0xf9: case 0xfa:     /* of set 3: accepted, without effect */
        send(k, ACK);
        break;
    case CMD_RESEND:
        send(k, k->last_byte);
        break;
    case CMD_RESET: {
        bool lit = k->leds;
        vit_ps2_keyboard_reset(k);
        send(k, ACK);
        send(k, PASSED);
        return lit;
    }
    default:
        send(k, RESEND);
        break;
    }
    return false;
}

static bool send_sequence(VitPs2Keyboard *k, const uint8_t *bytes, unsigned n)
{
    if (vit_fifo8_free(&k->queue) < n)
        return false;
    for (unsigned i = 0; i < n; i++)
        send(k, bytes[i]);
    return true;
}

static bool send_key(VitPs2Keyboard *k, uint8_t code, bool down)
{
    uint8_t set1 = code && code <= KEY_KPDOT ? code : set1_of[code], bytes[4];
    unsigned n = 0;
    if (code == KEY_PAUSE)      /* all at once, and nothing on release */
        return down && (k->set == 1 ? send_sequence(k, pause_set1, sizeof pause_set1)
                                    : send_sequence(k, pause_set2, sizeof pause_set2));
    if (!set1)
        return false;
    if (set1 & 0x80)
        bytes[n++] = EXTENDED;
    set1 &= 0x7f;
    if (k->set == 1) {
        bytes[n++] = set1 | (down ? 0 : 0x80);
    } else {
        if (!down)
            bytes[n++] = RELEASE;
        bytes[n++] = set2_of[set1];
    }
    return send_sequence(k, bytes, n);
}

bool vit_ps2_keyboard_key(VitPs2Keyboard *k, uint16_t code, bool down)
{
    if (code == 0 || code >= G_N_ELEMENTS(k->down) || k->down[code] == down)
        return false;
    k->down[code] = down;
    if (down)
        k->repeat_key = code == KEY_PAUSE ? 0 : (uint8_t) code;
    else if (k->repeat_key == code)
        k->repeat_key = 0;
    return k->enabled && send_key(k, (uint8_t) code, down);
}

bool vit_ps2_keyboard_repeat(VitPs2Keyboard *k)
{
    if (!k->repeat_key)
        return false;
    if (k->enabled && vit_fifo8_used(&k->queue) == 0)
        send_key(k, k->repeat_key, true);
    return true;
}

/* Typematic byte: bits 6:5 delay, (n + 1) * 250 ms; 4:0 period, (8 + A) * 2^B * 4.17 ms. */
int64_t vit_ps2_keyboard_repeat_ns(const VitPs2Keyboard *k, bool first)
{
    if (first)
        return ((k->typematic >> 5 & 3) + 1) * 250 * (int64_t) VIT_NS_PER_MS;
    int units = (8 + (k->typematic & 7)) << (k->typematic >> 3 & 3);
    return units * 4170 * (int64_t) VIT_NS_PER_US;
}

const VitField vit_ps2_keyboard_fields[] = {
    VIT_FIFO8(VitPs2Keyboard, queue), VIT_UINT(VitPs2Keyboard, command),
    VIT_UINT(VitPs2Keyboard, set, .max = 2),
    VIT_UINT(VitPs2Keyboard, leds, .max = 7), VIT_UINT(VitPs2Keyboard, typematic, .max = 0x7f),
    VIT_UINT(VitPs2Keyboard, last_byte), VIT_UINT(VitPs2Keyboard, repeat_key),
    VIT_BOOL(VitPs2Keyboard, enabled, false), VIT_BOOLS(VitPs2Keyboard, down, false), { VIT_END },
};
