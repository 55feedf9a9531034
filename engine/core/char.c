/* engine/core/char.c - byte streams: fronts, escapes, and the notation of -serial
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/char-private.h"
#include "engine/core/suggest.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { CTRL_A = 1 };

/* ---- Life ------------------------------------------------------------------------------------ */

void vit_char_init(VitChar *chr, VitSystem *sys, const char *id, const VitCharBack *back)
{
    chr->back = back;
    chr->sys = sys;
    chr->id = g_strdup(id);
    vit_system_lock(sys);
    g_ptr_array_add(sys->chars, chr);
    vit_system_unlock(sys);
}

void vit_char_free(VitChar *chr)
{
    if (!chr)
        return;
    VitSystem *sys = chr->sys;
    vit_system_lock(sys);
    g_ptr_array_remove(sys->chars, chr);
    chr->front = chr->monitor = NULL;
    if (chr->back->finish)
        chr->back->finish(chr);
    g_free(chr->address);
    g_free(chr->id);
    g_free(chr);
    vit_system_unlock(sys);
}

VitChar *vit_char_find(VitSystem *sys, const char *id)
{
    VitChar *found = NULL;
    vit_system_lock(sys);
    for (guint i = 0; i < sys->chars->len && !found; i++) {
        VitChar *chr = sys->chars->pdata[i];
        if (strcmp(chr->id, id) == 0)
            found = chr;
    }
    vit_system_unlock(sys);
    return found;
}

/* ---- Fronts ---------------------------------------------------------------------------------- */

static void attached(VitChar *chr, const VitCharFront *front, void *opaque)
{
    if (front && front->event && chr->connected)
        front->event(opaque, VIT_CHAR_OPENED);
    vit_char_accept_input(chr);
}

void vit_char_attach(VitChar *chr, const VitCharFront *front, void *opaque)
{
    vit_system_lock(chr->sys);
    chr->front = front;
    chr->opaque = opaque;
    attached(chr, front, opaque);
    vit_system_unlock(chr->sys);
}

void vit_char_attach_monitor(VitChar *chr, const VitCharFront *front, void *opaque)
{
    vit_system_lock(chr->sys);
    chr->monitor = front;
    chr->monitor_opaque = opaque;
    chr->on_monitor = chr->on_monitor && front;
    attached(chr, front, opaque);
    vit_system_unlock(chr->sys);
}

size_t vit_char_write(VitChar *chr, const uint8_t *data, size_t size)
{
    vit_system_lock(chr->sys);
    size_t taken = chr->back->write(chr, data, size);
    vit_system_unlock(chr->sys);
    return taken;
}

void vit_char_accept_input(VitChar *chr)
{
    vit_system_lock(chr->sys);
    if (chr->back->accept_input)
        chr->back->accept_input(chr);
    vit_system_unlock(chr->sys);
}

void vit_char_event(VitChar *chr, VitCharEvent event)
{
    if (event != VIT_CHAR_BREAK)
        chr->connected = event == VIT_CHAR_OPENED;
    if (chr->front && chr->front->event)
        chr->front->event(chr->opaque, event);
    if (chr->monitor && chr->monitor->event && event != VIT_CHAR_BREAK)
        chr->monitor->event(chr->monitor_opaque, event);
}

void vit_char_room_again(VitChar *chr)
{
    if (chr->front && chr->front->writable)
        chr->front->writable(chr->opaque);
    if (chr->monitor && chr->monitor->writable)
        chr->monitor->writable(chr->monitor_opaque);
}

/* ---- Input ----------------------------------------------------------------------------------- */

size_t vit_char_room(const VitChar *chr)
{
    const VitCharFront *front = chr->on_monitor ? chr->monitor : chr->front;
    void *opaque = chr->on_monitor ? chr->monitor_opaque : chr->opaque;
    return front ? front->can_receive(opaque) : 0;
}

static void hand_over(VitChar *chr, const uint8_t *data, size_t size)
{
    const VitCharFront *front = chr->on_monitor ? chr->monitor : chr->front;
    if (front && size)
        front->receive(chr->on_monitor ? chr->monitor_opaque : chr->opaque, data, size);
}

static void say(VitChar *chr, const char *text)
{
    chr->back->write(chr, (const uint8_t *) text, strlen(text));
}

/* The key after Ctrl-A. */
static void escape(VitChar *chr, uint8_t key)
{
    const uint8_t ctrl_a = CTRL_A;
    switch (key) {
    case 'x':
        say(chr, "\r\nVitrine: ended from the terminal\r\n");
        vit_system_request(chr->sys, VIT_REQUEST_EXIT, 0, _("ended from the terminal"));
        break;
    case 'c':
        if (chr->monitor)
            chr->on_monitor = !chr->on_monitor;
        if (chr->on_monitor && chr->monitor->event)
            chr->monitor->event(chr->monitor_opaque, VIT_CHAR_FOCUSED);
        break;
    case 'b':
        vit_char_event(chr, VIT_CHAR_BREAK);
        break;
    case 'h': case '?':
        say(chr,
            "\r\nCtrl-A h  this help\r\nCtrl-A x  end the machine\r\nCtrl-A b  send a break\r\n"
            "Ctrl-A c  turn to the monitor and back\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n");
        break;
    case CTRL_A:
        hand_over(chr, &ctrl_a, 1);
        break;
    }
}

void vit_char_deliver(VitChar *chr, const uint8_t *data, size_t size)
{
    if (!chr->escapes) {
        hand_over(chr, data, size);
        return;
    }
    size_t start = 0;
    for (size_t i = 0; i < size; i++) {
        if (chr->escaped) {
            chr->escaped = false;
            escape(chr, data[i]);
            start = i + 1;
        } else if (data[i] == CTRL_A) {
            hand_over(chr, data + start, i - start);
            chr->escaped = true;
            start = i + 1;
        }
    }
    hand_over(chr, data + start, size - start);
}

/* ---- Opening --------------------------------------------------------------------------------- */

VitChar *vit_char_open(VitSystem *sys, const char *id, const char *spec, GError **error)
{
    static const char *const known[] = { "stdio", "mon", "null", "file", "pty", "unix", "tcp",
                                         NULL };
    if (vit_char_find(sys, id)) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_EXISTS,
            _("The machine has a character device \"%s\" already; give this one another id"), id);
        return NULL;
    }
    bool monitor = g_str_has_prefix(spec, "mon:");
    const char *whole = spec;
    if (monitor)
        spec += strlen("mon:");
    const char *colon = strchr(spec, ':');
    g_autofree char *kind = colon ? g_strndup(spec, (gsize) (colon - spec)) : g_strdup(spec);
    VitChar *chr = NULL;
    if (strcmp(spec, "stdio") == 0) {
        chr = vit_char_open_stdio(sys, id, monitor, error);
    } else if (strcmp(spec, "null") == 0) {
        chr = vit_char_open_null(sys, id);
    } else if (strcmp(spec, "pty") == 0) {
        chr = vit_char_open_pty(sys, id, error);
    } else if (colon && strcmp(kind, "file") == 0) {
        chr = vit_char_open_file(sys, id, colon + 1, error);
    } else if (colon && (strcmp(kind, "unix") == 0 || strcmp(kind, "tcp") == 0)) {
        chr = vit_char_open_socket(sys, id, kind, colon + 1, error);
    } else {
        g_autofree char *hint = vit_suggest_phrase(kind, known);
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
            _("\"%s\" is no character device: it is stdio, mon:stdio, null, pty, file:PATH, "
              "unix:PATH or tcp:HOST:PORT%s"),
            whole, hint);
    }
    if (chr && monitor)
        chr->escapes = true;
    return chr;
}
