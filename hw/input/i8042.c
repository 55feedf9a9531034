/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/input/i8042.c - keyboard controller (IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard and Auxiliary Device Controller")
 * Wires: window 2 bytes; output 0 keyboard, 1 mouse.  Not modelled: the A20 mask (its bit is kept),
 * time-outs and parity errors, passwords, the controller's RAM past the command byte. */
#include "hw/input/i8042.h"
#include "hw/input/ps2.h"

#include <glib/gi18n-lib.h>

enum {
    STS_OBF = 0x01, STS_SYS = 0x04, STS_COMMAND = 0x08, STS_UNLOCKED = 0x10, STS_AUX = 0x20,
    CB_KBD_INT = 0x01, CB_AUX_INT = 0x02, CB_SYS = 0x04, CB_KBD_OFF = 0x10, CB_AUX_OFF = 0x20,
    CB_XLATE = 0x40,
    CB_RESET = CB_KBD_INT | CB_AUX_INT | CB_SYS | CB_XLATE,     /* as firmware leaves it */
    OUT_RESET = 0x01, OUT_A20 = 0x02, OUT_KBD_INT = 0x10, OUT_AUX_INT = 0x20,
    CMD_WRITE_CB = 0x60, CMD_WRITE_OUT = 0xd1, CMD_KBD_BUFFER = 0xd2, CMD_AUX_BUFFER = 0xd3,
    CMD_TO_AUX = 0xd4,
    IRQ_KBD = 0, IRQ_AUX = 1,
};
enum { FROM_NOWHERE, FROM_KBD, FROM_AUX, FROM_CONTROLLER };

typedef struct {
    VitDevice parent;
    VitInputHub *hub;           /* borrowed */
    VitTimer *repeat;           /* owned: typematic */
    struct {
        VitPs2Keyboard kbd[1];
        VitPs2Mouse mouse[1];
        VitFifo8 answers;       /* of the controller itself; bit 8 is lost, so answers_aux says */
        uint8_t output;         /* the output buffer */
        uint8_t full;           /* FROM_*: what it holds */
        uint8_t command_byte, pending;      /* pending: command whose data byte comes next */
        uint8_t out_port;
        bool last_was_command, release;     /* release: F0 has been swallowed by the translation */
        bool answers_aux;
    } st;
} I8042;

/* Moves the next byte into the empty output buffer: answers first, then keyboard, then mouse. */
static void fill(I8042 *c)
{
    int byte;
    if (c->st.full)
        return;
    if ((byte = vit_fifo8_pop(&c->st.answers)) >= 0) {
        c->st.output = (uint8_t) byte;
        c->st.full = c->st.answers_aux ? FROM_AUX : FROM_CONTROLLER;
        return;
    }
    if (!(c->st.command_byte & CB_KBD_OFF)) {
        while ((byte = vit_fifo8_pop(&c->st.kbd->queue)) >= 0) {
            c->st.kbd->last_byte = (uint8_t) byte;
            if (c->st.command_byte & CB_XLATE)
                byte = vit_ps2_translate((uint8_t) byte, &c->st.release);
            if (byte >= 0) {
                c->st.output = (uint8_t) byte;
                c->st.full = FROM_KBD;
                return;
            }
        }
    }
    if (c->st.command_byte & CB_AUX_OFF)
        return;
    vit_ps2_mouse_pump(c->st.mouse);
    if ((byte = vit_fifo8_pop(&c->st.mouse->queue)) >= 0) {
        c->st.mouse->last_byte = (uint8_t) byte;
        c->st.output = (uint8_t) byte;
        c->st.full = FROM_AUX;
    }
}

static void i8042_update(VitDevice *d)
{
    I8042 *c = (I8042 *) d;
    fill(c);
    bool aux = c->st.full == FROM_AUX, kbd = c->st.full && !aux;
    vit_irq_set(d, IRQ_KBD, kbd && (c->st.command_byte & CB_KBD_INT));
    vit_irq_set(d, IRQ_AUX, aux && (c->st.command_byte & CB_AUX_INT));
}

static uint64_t read_data(VitDevice *d, uint32_t offset)
{
    I8042 *c = (I8042 *) d;
    c->st.full = FROM_NOWHERE;
    vit_irq_set(d, IRQ_KBD, false);     /* so that the next byte makes an edge */
    vit_irq_set(d, IRQ_AUX, false);
    return c->st.output;
}

static void answer(I8042 *c, uint8_t byte, bool aux)
{
    c->st.answers_aux = aux;
    vit_fifo8_reset(&c->st.answers);
    vit_fifo8_push(&c->st.answers, byte);
    c->st.full = FROM_NOWHERE;          /* the controller's answer replaces what was not read */
}

static uint8_t output_port(const I8042 *c)
{
    bool aux = c->st.full == FROM_AUX, kbd = c->st.full && !aux;
    return (uint8_t) (c->st.out_port | OUT_RESET | (kbd ? OUT_KBD_INT : 0) |
                      (aux ? OUT_AUX_INT : 0));
}

static void write_output_port(I8042 *c, uint8_t value)
{
    c->st.out_port = value & OUT_A20;
    if (!(value & OUT_RESET))
        vit_system_request(c->parent.sys, VIT_REQUEST_RESET, 0,
                           _("the guest used the keyboard controller"));
}

static void keyboard_write(I8042 *c, uint8_t byte)
{
    c->st.command_byte &= (uint8_t) ~CB_KBD_OFF;
    if (vit_ps2_keyboard_write(c->st.kbd, byte) && c->hub)
        vit_input_hub_set_leds(c->hub, c->st.kbd->leds);
}

static void write_data(VitDevice *d, uint32_t offset, uint64_t value)
{
    I8042 *c = (I8042 *) d;
    uint8_t pending = c->st.pending, byte = (uint8_t) value;
    c->st.pending = 0;
    c->st.last_was_command = false;
    switch (pending) {
    case 0: keyboard_write(c, byte); break;
    case CMD_WRITE_CB: c->st.command_byte = byte & 0x7f; break;
    case CMD_WRITE_OUT: write_output_port(c, byte); break;
    case CMD_KBD_BUFFER: answer(c, byte, false); break;
    case CMD_AUX_BUFFER: answer(c, byte, true); break;
    case CMD_TO_AUX:
        c->st.command_byte &= (uint8_t) ~CB_AUX_OFF;
        vit_ps2_mouse_write(c->st.mouse, byte);
        break;
    default: break;
    }
}

static uint64_t read_status(VitDevice *d, uint32_t offset)
{
    const I8042 *c = (const I8042 *) d;
    return STS_UNLOCKED | (c->st.command_byte & CB_SYS ? STS_SYS : 0) | (c->st.full ? STS_OBF : 0) |
           (c->st.full == FROM_AUX ? STS_AUX : 0) | (c->st.last_was_command ? STS_COMMAND : 0);
}

static void write_command(VitDevice *d, uint32_t offset, uint64_t value)
{
    I8042 *c = (I8042 *) d;
    uint8_t command = (uint8_t) value;
    c->st.last_was_command = true;
    c->st.pending = 0;
    switch (command) {
    case 0x20: answer(c, c->st.command_byte, false); break;
    case 0xa7: c->st.command_byte |= CB_AUX_OFF; break;
    case 0xa8: c->st.command_byte &= (uint8_t) ~CB_AUX_OFF; break;
    case 0xa9: answer(c, 0x00, false); break;               /* mouse interface works */
    case 0xaa:                                              /* self test */
        c->st.command_byte |= CB_SYS;
        answer(c, 0x55, false);
        break;
    case 0xab: answer(c, 0x00, false); break;               /* keyboard interface works */
    case 0xad: c->st.command_byte |= CB_KBD_OFF; break;
    case 0xae: c->st.command_byte &= (uint8_t) ~CB_KBD_OFF; break;
    case 0xc0: answer(c, 0x80, false); break;               /* input port: not locked */
    case 0xd0: answer(c, output_port(c), false); break;
    case CMD_WRITE_CB: case CMD_WRITE_OUT: case CMD_KBD_BUFFER: case CMD_AUX_BUFFER:
    case CMD_TO_AUX:
        c->st.pending = command;
        break;
    case 0xdd: c->st.out_port &= (uint8_t) ~OUT_A20; break;
    case 0xdf: c->st.out_port |= OUT_A20; break;
    default:
        if (command >= 0xf0 && !(command & OUT_RESET))      /* pulses output bits that are 0 */
            vit_system_request(d->sys, VIT_REQUEST_RESET, 0,
                               _("the guest used the keyboard controller"));
        break;
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void repeat(void *opaque)
{
    I8042 *c = opaque;
    if (!vit_ps2_keyboard_repeat(c->st.kbd))
        return;
    vit_timer_set(c->repeat, vit_clock_now(c->parent.sys->clock) +
                  vit_ps2_keyboard_repeat_ns(c->st.kbd, false));
    i8042_update(&c->parent);
}

static void key_event(void *opaque, const VitInputEvent *event)
{
    I8042 *c = opaque;
    if (!vit_ps2_keyboard_key(c->st.kbd, event->code, event->value != 0))
        return;
    if (c->st.kbd->repeat_key && event->value)
        vit_timer_set(c->repeat, vit_clock_now(c->parent.sys->clock) +
                      vit_ps2_keyboard_repeat_ns(c->st.kbd, true));
    else if (!c->st.kbd->repeat_key)
        vit_timer_cancel(c->repeat);
    i8042_update(&c->parent);
}

static void mouse_event(void *opaque, const VitInputEvent *event)
{
    vit_ps2_mouse_event(((I8042 *) opaque)->st.mouse, event);
}

static void mouse_sync(void *opaque)
{
    i8042_update(opaque);
}

static const VitInputSink keyboard_sink = {
    .name = "ps2-keyboard", .kinds = 1 << VIT_INPUT_KEY, .event = key_event,
};
static const VitInputSink mouse_sink = {
    .name = "ps2-mouse", .kinds = 1 << VIT_INPUT_BUTTON | 1 << VIT_INPUT_REL | 1 << VIT_INPUT_WHEEL,
    .event = mouse_event, .sync = mouse_sync,
};

void vit_i8042_set_input(VitDevice *i8042, VitInputHub *hub)
{
    I8042 *c = (I8042 *) i8042;
    if (c->hub) {
        vit_input_hub_remove(c->hub, &keyboard_sink, c);
        vit_input_hub_remove(c->hub, &mouse_sink, c);
    }
    c->hub = hub;
    if (hub) {
        vit_input_hub_add(hub, &keyboard_sink, c);
        vit_input_hub_add(hub, &mouse_sink, c);
    }
}

static bool i8042_init(VitDevice *d, GError **error)
{
    I8042 *c = (I8042 *) d;
    c->repeat = vit_timer_new(d->sys->clock, repeat, c);
    return true;
}

static void i8042_finish(VitDevice *d)
{
    vit_i8042_set_input(d, NULL);
    vit_timer_free(((I8042 *) d)->repeat);
}

static void i8042_reset(VitDevice *d)
{
    I8042 *c = (I8042 *) d;
    vit_fifo8_init(&c->st.answers, 4);
    vit_ps2_keyboard_reset(c->st.kbd);
    vit_ps2_mouse_reset(c->st.mouse);
}

static const VitReg i8042_regs[] = {
    { 0, VIT_ANY_BANK, "DATA", .size = 1, .read = read_data, .write = write_data },
    { 1, VIT_ANY_BANK, "STATUS/COMMAND", .size = 1, .read = read_status, .write = write_command },
};
static const VitField i8042_hidden[] = {
    VIT_STRUCTS(I8042, st.kbd, vit_ps2_keyboard_fields),
    VIT_STRUCTS(I8042, st.mouse, vit_ps2_mouse_fields),
    VIT_FIFO8(I8042, st.answers), VIT_UINT(I8042, st.output),
    VIT_UINT(I8042, st.full, .max = FROM_CONTROLLER),
    VIT_UINT(I8042, st.command_byte, .reset = CB_RESET, .max = 0x7f), VIT_UINT(I8042, st.pending),
    VIT_UINT(I8042, st.out_port, .reset = OUT_A20), VIT_BOOL(I8042, st.last_was_command, false),
    VIT_BOOL(I8042, st.release, false), VIT_BOOL(I8042, st.answers_aux, false),
    VIT_TIMER(I8042, repeat), { VIT_END },
};

const VitDeviceClass vit_i8042_class = {
    .name = "i8042", .description = "keyboard controller with PS/2 keyboard and mouse",
    .version = 1,
    VIT_STATE(I8042, st), .mmio_size = 2, .n_irqs = 2, VIT_REGS(i8042_regs), .hidden = i8042_hidden,
    .init = i8042_init, .finish = i8042_finish, .reset = i8042_reset, .update = i8042_update,
};
