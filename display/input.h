/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/input.h - keyboard and pointer events on their way from a viewer to a device
 *
 * Codes are those of linux/input-event-codes.h (KEY_*, BTN_*).  Events may be sent from any thread;
 * they are delivered in order on the machine thread with the machine lock held, to every sink that
 * takes the kind (absolute pointer: the newest-registered active sink only, as with the
 * keyboard). */
#pragma once
#include "engine/core/system.h"

typedef enum {
    VIT_INPUT_KEY,          /* code KEY_*, value 1 down, 0 up */
    VIT_INPUT_BUTTON,       /* code BTN_*, value 1 down, 0 up */
    VIT_INPUT_ABS,          /* value = x, value2 = y, each 0..32767 over the scanout */
    VIT_INPUT_REL,          /* value = dx, value2 = dy */
    /* value = horizontal, value2 = vertical, in 1/120 of a detent; up/right positive */
    VIT_INPUT_WHEEL,
} VitInputKind;

typedef struct { VitInputKind kind; uint16_t code; int32_t value, value2; } VitInputEvent;

typedef struct VitInputHub VitInputHub;
typedef struct {
    const char *name;
    unsigned    kinds;                                      /* bit 1 << VitInputKind */
    /* guest driver is ready; NULL = always.  Reads one flag: any thread, must not lock */
    bool      (*active)(void *opaque);
    void      (*event)(void *opaque, const VitInputEvent *event);
    void      (*sync)(void *opaque);                        /* end of one batch; may be NULL */
} VitInputSink;

[[nodiscard]] VitInputHub *vit_input_hub_new(VitSystem *sys);
void vit_input_hub_free(VitInputHub *hub);
/* These two: machine lock held. */
void vit_input_hub_add(VitInputHub *hub, const VitInputSink *sink, void *opaque);
void vit_input_hub_remove(VitInputHub *hub, const VitInputSink *sink, void *opaque);
/* One batch into the bounded queue; any thread. */
void vit_input_hub_send(VitInputHub *hub, const VitInputEvent *events, unsigned n);
bool vit_input_hub_has_absolute(VitInputHub *hub);          /* any thread */
/* Keyboard LEDs as the guest set them (bit 0 scroll, 1 num, 2 caps). */
void vit_input_hub_set_leds(VitInputHub *hub, unsigned leds);
unsigned vit_input_hub_leds(VitInputHub *hub);
bool vit_input_hub_leds_reported(VitInputHub *hub);    /* the guest has set them at least once */
