/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/input/ps2.h - what hangs on a PS/2 port: keyboard and mouse as parts of their controller's
 * state
 * A controller embeds these in its st, names their rows, sends bytes down and takes bytes from the
 * queues.  All under the machine lock. */
#pragma once
#include "display/input.h"
#include "engine/core/device.h"

typedef struct {
    VitFifo8 queue;             /* to the controller */
    uint8_t  command;           /* waits for its data byte; 0 = none */
    uint8_t  set;               /* scan code set: 1 or 2 */
    uint8_t  leds, typematic;
    uint8_t  last_byte;         /* for Resend */
    uint8_t  repeat_key;        /* Linux key code that repeats; 0 = none */
    bool     enabled;
    bool     down[256];         /* by Linux key code */
} VitPs2Keyboard;

typedef struct {
    VitFifo8 queue;
    int32_t  dx, dy, dz;        /* not yet reported; dz in 1/120 of a detent */
    uint8_t  command;
    uint8_t  id;                /* 0 standard, 3 with wheel, 4 with five buttons */
    uint8_t  buttons, reported_buttons;
    uint8_t  rate, resolution;
    uint8_t  knock;             /* how far the rate sequence that unlocks an ID has come */
    uint8_t  last_byte;
    bool     enabled, scale2, wrap, remote;
} VitPs2Mouse;

extern const VitField vit_ps2_keyboard_fields[], vit_ps2_mouse_fields[];

void vit_ps2_keyboard_reset(VitPs2Keyboard *k);
/* A byte from the controller; answers go to the queue.  True: the LEDs have changed. */
bool vit_ps2_keyboard_write(VitPs2Keyboard *k, uint8_t byte);
/* A key goes up or down; false: it was dropped (no code, not enabled, queue full, already so). */
bool vit_ps2_keyboard_key(VitPs2Keyboard *k, uint16_t code, bool down);
/* The repeating key's make code again.  False: nothing repeats. */
bool vit_ps2_keyboard_repeat(VitPs2Keyboard *k);
int64_t vit_ps2_keyboard_repeat_ns(const VitPs2Keyboard *k, bool first);
/* Set 2 to set 1, byte by byte, as the controller does it; -1: the byte is swallowed (F0). */
int vit_ps2_translate(uint8_t byte, bool *release);

void vit_ps2_mouse_reset(VitPs2Mouse *m);
void vit_ps2_mouse_write(VitPs2Mouse *m, uint8_t byte);
void vit_ps2_mouse_event(VitPs2Mouse *m, const VitInputEvent *event);
/* Queues a packet when there is something to report and the last one has been taken. */
void vit_ps2_mouse_pump(VitPs2Mouse *m);
