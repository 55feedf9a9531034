/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/char.h - a byte stream between a device (front) and a host end (back): stdio, file,
 * socket
 *
 * Front callbacks run on the machine thread with the machine lock held. */
#pragma once
#include "engine/core/system.h"

typedef struct VitChar VitChar;

typedef enum {
    VIT_CHAR_OPENED, VIT_CHAR_CLOSED, VIT_CHAR_BREAK,
    VIT_CHAR_FOCUSED,       /* to the monitor: Ctrl-A c has turned the input to it */
} VitCharEvent;

typedef struct {    /* the device's side */
    size_t (*can_receive)(void *opaque);    /* bytes that receive() takes now */
    void (*receive)(void *opaque, const uint8_t *data, size_t size);
    void (*event)(void *opaque, VitCharEvent event);    /* may be NULL */
    void (*writable)(void *opaque);         /* may be NULL: room again after a short write */
} VitCharFront;

typedef struct {    /* the host's side */
    const char *name;
    /* never blocks; may be short */
    size_t (*write)(VitChar *chr, const uint8_t *data, size_t size);
    void (*accept_input)(VitChar *chr);     /* the front has room again */
    void (*finish)(VitChar *chr);
} VitCharBack;

struct VitChar {
    const VitCharBack  *back;
    const VitCharFront *front;    /* NULL while nothing is attached */
    void               *opaque;   /* front's */
    VitSystem          *sys;      /* borrowed */
    char               *id;       /* owned */
    char               *address;  /* owned: where a host program finds it ("/dev/pts/3"), or NULL */
    const VitCharFront *monitor;  /* the second front that Ctrl-A c turns to, or NULL */
    void               *monitor_opaque;
    bool                connected;  /* somebody listens at the host's end */
    bool                escapes;    /* Ctrl-A is the host's */
    bool                escaped;    /* Ctrl-A was typed */
    bool                on_monitor; /* input goes to the monitor */
};

/* Opens a host end as -serial names it: "stdio", "mon:stdio", "null", "file:PATH", "pty",
 * "unix:PATH[,server[,nowait]]", "tcp:HOST:PORT[,server[,nowait]]" (also server=on, wait=off).  A
 * server without nowait waits here for its first client; an empty HOST is the loopback.  "mon:" and
 * a terminal on stdio make Ctrl-A an escape: x quits, c turns to the monitor and back, b sends a
 * break, Ctrl-A itself a Ctrl-A, h lists these.  The result belongs to sys, which frees it after
 * the devices; vit_char_free() may do so earlier.  The program should ignore SIGPIPE. */
[[nodiscard]] VitChar *vit_char_open(VitSystem *sys, const char *id, const char *spec,
                                     GError **error);
/* The same from "BACKEND,id=NAME,path=...,host=...,port=...,server=on,wait=off", as -chardev has
 * it; option: its name in messages. */
[[nodiscard]] VitChar *vit_char_open_options(VitSystem *sys, const char *option, const char *text,
                                             GError **error);
VitChar *vit_char_find(VitSystem *sys, const char *id);     /* NULL: no such */

/* A host end in memory, for tests and for consoles in the window: keeps the last `size` bytes that
 * the front wrote. */
[[nodiscard]] VitChar *vit_char_new_memory(VitSystem *sys, const char *id, size_t size);
/* Takes what has been written; NUL-terminated, caller frees.  size may be NULL.  Any thread. */
char *vit_char_memory_take(VitChar *chr, size_t *size);
/* Queues input for the front, delivered on the machine thread as it has room.  Any thread. */
void vit_char_memory_feed(VitChar *chr, const void *data, size_t size);
/* Called on the writing thread with the machine lock held after each write; NULL for none. */
void vit_char_memory_watch(VitChar *chr, void (*written)(void *opaque), void *opaque);

/* Attaching calls event(OPENED) when the back is connected.  NULL front detaches. Machine lock
 * held. */
void vit_char_attach(VitChar *chr, const VitCharFront *front, void *opaque);
/* The front that Ctrl-A c turns the input to.  Its output is vit_char_write() as well. */
void vit_char_attach_monitor(VitChar *chr, const VitCharFront *front, void *opaque);
/* Front to host.  Bytes beyond the returned count were not taken (try again at writable()). */
size_t vit_char_write(VitChar *chr, const uint8_t *data, size_t size);
void vit_char_accept_input(VitChar *chr);
void vit_char_free(VitChar *chr);       /* detaches the fronts without telling them; NULL is fine */
