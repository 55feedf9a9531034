/* engine/core/char-private.h - between char.c and the host ends in char-*.c
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Everything here runs with the machine lock held. */
#pragma once
#include "engine/core/char.h"

/* Fills in the common part of a host end (embedded first in its own struct, allocated with g_new)
 * and adds it to the system. */
void vit_char_init(VitChar *chr, VitSystem *sys, const char *id, const VitCharBack *back);

/* What the front at the input's end takes now; the escape state machine never makes more of it. */
size_t vit_char_room(const VitChar *chr);
/* Hands input over, at most vit_char_room() bytes. On the machine thread. */
void vit_char_deliver(VitChar *chr, const uint8_t *data, size_t size);
/* Connection came or went, or a break: told to both fronts. */
void vit_char_event(VitChar *chr, VitCharEvent event);
void vit_char_room_again(VitChar *chr);     /* writable() of both fronts */

/* ---- Descriptors: input and a bounded output queue (char-fd.c) ------------------------------- */

enum { VIT_CHAR_QUEUE = 64 << 10 };

typedef struct {
    VitChar     chr;                /* first member */
    int         in, out;            /* -1: none; owned by the host end around this */
    VitIoWatch *in_watch, *out_watch;
    uint8_t    *queue;              /* VIT_CHAR_QUEUE bytes, a ring; allocated when first needed */
    size_t      head, used;
    bool        starved;            /* a front was given less than it wanted */
    bool        lossy;              /* a full queue loses its oldest bytes: nobody may be reading */
    bool        broken;             /* the host end is gone for good: output is dropped */
    void (*closed)(VitChar *chr);   /* end of input or error; may be NULL; may stop the port */
} VitCharPort;

void vit_char_port_start(VitCharPort *port, int in, int out);
void vit_char_port_stop(VitCharPort *port);         /* forgets descriptors and queue */
size_t vit_char_port_write(VitChar *chr, const uint8_t *data, size_t size);
void vit_char_port_accept_input(VitChar *chr);

/* ---- Host ends ------------------------------------------------------------------------------- */

VitChar *vit_char_open_stdio(VitSystem *sys, const char *id, bool monitor, GError **error);
VitChar *vit_char_open_file(VitSystem *sys, const char *id, const char *path, GError **error);
VitChar *vit_char_open_null(VitSystem *sys, const char *id);
VitChar *vit_char_open_pty(VitSystem *sys, const char *id, GError **error);
/* kind: "unix" or "tcp"; rest: what follows its colon */
VitChar *vit_char_open_socket(VitSystem *sys, const char *id, const char *kind, const char *rest,
                              GError **error);
