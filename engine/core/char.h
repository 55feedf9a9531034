/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/char.h - a byte stream between a device (front) and a host end (back): stdio, file, socket
 *
 * Front callbacks run on the machine thread with the machine lock held. */
#pragma once
#include "engine/core/system.h"

typedef struct VitChar VitChar;

typedef enum { VIT_CHAR_OPENED, VIT_CHAR_CLOSED, VIT_CHAR_BREAK } VitCharEvent;

typedef struct {    /* the device's side */
    size_t (*can_receive)(void *opaque);    /* bytes that receive() takes now */
    void (*receive)(void *opaque, const uint8_t *data, size_t size);
    void (*event)(void *opaque, VitCharEvent event);    /* may be NULL */
    void (*writable)(void *opaque);         /* may be NULL: room again after a short write */
} VitCharFront;

typedef struct {    /* the host's side */
    const char *name;
    size_t (*write)(VitChar *chr, const uint8_t *data, size_t size);    /* never blocks; may be short */
    void (*accept_input)(VitChar *chr);     /* the front has room again */
    void (*finish)(VitChar *chr);
} VitCharBack;

struct VitChar {
    const VitCharBack  *back;
    const VitCharFront *front;      /* NULL while nothing is attached */
    void               *opaque;     /* front's */
    VitSystem          *sys;        /* borrowed */
    char               *id;         /* owned */
};

/* Attaching calls event(OPENED) when the back is connected.  NULL front detaches. Machine lock held. */
void vit_char_attach(VitChar *chr, const VitCharFront *front, void *opaque);
/* Front to host.  Bytes beyond the returned count were not taken (try again at writable()). */
size_t vit_char_write(VitChar *chr, const uint8_t *data, size_t size);
void vit_char_accept_input(VitChar *chr);
void vit_char_free(VitChar *chr);
