/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/input/ps2-mouse.c - PS/2 mouse with the IntelliMouse's wheel and five-button modes (IBM PS/2
 * Hardware Interface Technical Reference, "Mouse"; Synaptics PS/2 interfacing guide 511-000275,
 * 2.5)
 * Not modelled: sample rate timing (a packet goes out when the last has been read). */
#include "hw/input/ps2.h"
#include <linux/input-event-codes.h>

enum {
    CMD_SCALE1 = 0xe6, CMD_SCALE2 = 0xe7, CMD_RESOLUTION = 0xe8, CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb, CMD_UNWRAP = 0xec, CMD_WRAP = 0xee, CMD_REMOTE = 0xf0, CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4, CMD_DISABLE = 0xf5, CMD_DEFAULT = 0xf6, CMD_RESEND = 0xfe, CMD_RESET = 0xff,
    ACK = 0xfa, RESEND = 0xfe, PASSED = 0xaa, QUEUE = 16, DETENT = 120, FARTHEST = 1 << 20,
    LEFT = 1, RIGHT = 2, MIDDLE = 4, SIDE = 8, EXTRA = 16,
};

static void send(VitPs2Mouse *m, uint8_t byte)
{
    vit_fifo8_push(&m->queue, byte);
}

static void defaults(VitPs2Mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->scale2 = m->enabled = m->remote = m->wrap = false;
    m->dx = m->dy = m->dz = 0;
}

void vit_ps2_mouse_reset(VitPs2Mouse *m)
{
    *m = (VitPs2Mouse) { 0 };
    vit_fifo8_init(&m->queue, QUEUE);
    defaults(m);
}

static int32_t take(int32_t *rest, int32_t limit)
{
    int32_t now = CLAMP(*rest, -limit - 1, limit);
    *rest -= now;
    return now;
}

static void send_packet(VitPs2Mouse *m)
{
    int32_t dx = take(&m->dx, 255), dy = take(&m->dy, 255);
    uint8_t first = 8 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0);
    send(m, first);
    send(m, (uint8_t) dx);
    send(m, (uint8_t) dy);
    m->reported_buttons = m->buttons;
    if (m->id == 0)
        return;
    int32_t detents = m->dz / DETENT, now = CLAMP(detents, -8, 7);
    m->dz -= now * DETENT;
    uint8_t fourth = (uint8_t) now;
    if (m->id == 4)
        fourth = (fourth & 15) | (uint8_t) (m->buttons & (SIDE | EXTRA)) << 1;
    send(m, fourth);
}

void vit_ps2_mouse_pump(VitPs2Mouse *m)
{
    bool moved = m->dx || m->dy || (m->id && (m->dz >= DETENT || m->dz <= -DETENT));
    uint8_t seen = m->id == 4 ? 31 : 7;
    if (m->enabled && !m->remote && !m->wrap && vit_fifo8_used(&m->queue) == 0 &&
        (moved || ((m->buttons ^ m->reported_buttons) & seen)))
        send_packet(m);
}

/* Rates 200, 100, 80 unlock the wheel; 200, 200, 80 then the side buttons. */
static void knock(VitPs2Mouse *m, uint8_t rate)
{
    static const uint8_t wheel[] = { 200, 100, 80 }, buttons[] = { 200, 200, 80 };
    enum { AFTER_200 = 1, AFTER_200_100, AFTER_200_200 };
    if (m->knock == AFTER_200_100 && rate == wheel[2])
        m->id = 3;
    else if (m->knock == AFTER_200_200 && rate == buttons[2] && m->id >= 3)
        m->id = 4;
    if (m->knock == AFTER_200 && rate == wheel[1])
        m->knock = AFTER_200_100;
    else if ((m->knock == AFTER_200 || m->knock == AFTER_200_200) && rate == buttons[1])
        m->knock = AFTER_200_200;
    else
        m->knock = rate == 200 ? AFTER_200 : 0;
}

static void send_status(VitPs2Mouse *m)
{
    uint8_t swapped = (uint8_t) ((m->buttons & LEFT) << 2 | (m->buttons & RIGHT) >> 1 |
                                 (m->buttons & MIDDLE) >> 1);
    send(m, ACK);
    send(m, (uint8_t) (m->remote << 6 | m->enabled << 5 | m->scale2 << 4) | swapped);
    send(m, m->resolution);
    send(m, m->rate);
}

void vit_ps2_mouse_write(VitPs2Mouse *m, uint8_t byte)
{
    if (m->wrap && byte != CMD_UNWRAP && byte != CMD_RESET) {
        send(m, byte);
        return;
    }
    if (m->command) {
        if (m->command == CMD_RATE) {
            m->rate = byte;
            knock(m, byte);
        } else {
            m->resolution = byte & 3;
        }
        m->command = 0;
        send(m, ACK);
        return;
    }
    vit_fifo8_reset(&m->queue);     /* a command ends what was being sent */
    switch (byte) {
    case CMD_STATUS:
        send_status(m);
        return;
    case CMD_READ:
        send(m, ACK);
        send_packet(m);
        return;
    case CMD_ID:
        send(m, ACK);
        send(m, m->id);
        return;
    case CMD_RESEND:
        send(m, m->last_byte);
        return;
    case CMD_RESET:
        vit_ps2_mouse_reset(m);
        send(m, ACK);
        send(m, PASSED);
        send(m, 0);
        return;
    case CMD_RATE: case CMD_RESOLUTION: m->command = byte; break;
    case CMD_SCALE1: m->scale2 = false; break;
    case CMD_SCALE2: m->scale2 = true; break;
    case CMD_STREAM: m->remote = false; break;
    case CMD_REMOTE: m->remote = true; break;
    case CMD_WRAP: m->wrap = true; break;
    case CMD_UNWRAP: m->wrap = false; break;
    case CMD_ENABLE: m->enabled = true; break;
    case CMD_DISABLE: m->enabled = false; break;
    case CMD_DEFAULT: defaults(m); break;
    default:
        send(m, RESEND);
        return;
    }
    send(m, ACK);
}

static uint8_t button_bit(uint16_t code)
{
    switch (code) {
    case BTN_LEFT: return LEFT;
    case BTN_RIGHT: return RIGHT;
    case BTN_MIDDLE: return MIDDLE;
    case BTN_SIDE: return SIDE;
    case BTN_EXTRA: return EXTRA;
    default: return 0;
    }
}

static int32_t add(int32_t a, int64_t b)
{
    return (int32_t) CLAMP(a + b, -FARTHEST, FARTHEST);
}

void vit_ps2_mouse_event(VitPs2Mouse *m, const VitInputEvent *event)
{
    switch (event->kind) {
    case VIT_INPUT_BUTTON: {
        uint8_t bit = button_bit(event->code);
        m->buttons = event->value ? m->buttons | bit : m->buttons & (uint8_t) ~bit;
        break;
    }
    case VIT_INPUT_REL:
        m->dx = add(m->dx, event->value);
        m->dy = add(m->dy, -(int64_t) event->value2);   /* up is positive here */
        break;
    case VIT_INPUT_WHEEL:
        m->dz = add(m->dz, -(int64_t) event->value2);   /* towards the user is positive here */
        break;
    default:
        break;
    }
    if (!m->enabled)
        m->dx = m->dy = m->dz = 0;
}

const VitField vit_ps2_mouse_fields[] = {
    VIT_FIFO8(VitPs2Mouse, queue), VIT_UINT(VitPs2Mouse, dx), VIT_UINT(VitPs2Mouse, dy),
    VIT_UINT(VitPs2Mouse, dz),
    VIT_UINT(VitPs2Mouse, command), VIT_UINT(VitPs2Mouse, id, .max = 4),
    VIT_UINT(VitPs2Mouse, buttons),
    VIT_UINT(VitPs2Mouse, reported_buttons), VIT_UINT(VitPs2Mouse, rate),
    VIT_UINT(VitPs2Mouse, resolution),
    VIT_UINT(VitPs2Mouse, knock), VIT_UINT(VitPs2Mouse, last_byte),
    VIT_BOOL(VitPs2Mouse, enabled, false),
    VIT_BOOL(VitPs2Mouse, scale2, false), VIT_BOOL(VitPs2Mouse, wrap, false),
    VIT_BOOL(VitPs2Mouse, remote, false),
    { VIT_END },
};
