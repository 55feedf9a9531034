/* engine/core/char-fd.c - the part that host ends on descriptors share: input on demand, bounded
 * output
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Descriptors are non-blocking.  Output goes straight to the descriptor while the queue is
 * empty. */
#include "engine/core/char-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void close_down(VitCharPort *port)
{
    if (port->closed)
        port->closed(&port->chr);
}

/* ---- Output ---------------------------------------------------------------------------------- */

/* Bytes written, 0 when it would block, -1 when the other end is gone. */
static ssize_t put(int fd, const uint8_t *data, size_t size)
{
    for (;;) {
        ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK)
            n = write(fd, data, size);
        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static bool flush(VitCharPort *port)
{
    while (port->used) {
        size_t run = MIN(port->used, VIT_CHAR_QUEUE - port->head);
        ssize_t n = put(port->out, port->queue + port->head, run);
        if (n < 0)
            return false;
        if (n == 0)
            return true;
        port->head = (port->head + (size_t) n) % VIT_CHAR_QUEUE;
        port->used -= (size_t) n;
    }
    return true;
}

static void out_ready(void *opaque, GIOCondition ready)
{
    VitCharPort *port = opaque;
    if (port->broken || !flush(port)) {
        port->used = 0;
        port->broken = true;
        vit_io_watch_set(port->out_watch, 0);
        close_down(port);
        return;
    }
    if (!port->used)
        vit_io_watch_set(port->out_watch, 0);
    if (port->starved && port->used <= VIT_CHAR_QUEUE / 2) {
        port->starved = false;
        vit_char_room_again(&port->chr);
    }
}

static void enqueue(VitCharPort *port, const uint8_t *data, size_t size)
{
    if (!port->queue)
        port->queue = g_malloc(VIT_CHAR_QUEUE);
    size_t tail = (port->head + port->used) % VIT_CHAR_QUEUE;
    size_t run = MIN(size, VIT_CHAR_QUEUE - tail);
    memcpy(port->queue + tail, data, run);
    memcpy(port->queue, data + run, size - run);
    port->used += size;
}

size_t vit_char_port_write(VitChar *chr, const uint8_t *data, size_t size)
{
    VitCharPort *port = (VitCharPort *) chr;
    if (port->out < 0 || port->broken)
        return size;
    size_t done = 0;
    if (!port->used) {
        while (done < size) {
            ssize_t n = put(port->out, data + done, size - done);
            if (n < 0) {    /* out_ready() tells the front, on the machine thread */
                port->broken = true;
                vit_io_watch_set(port->out_watch, G_IO_OUT);
                return size;
            }
            if (n == 0)
                break;
            done += (size_t) n;
        }
    }
    if (port->lossy && size - done > VIT_CHAR_QUEUE - port->used) {
        if (size - done > VIT_CHAR_QUEUE)
            done = size - VIT_CHAR_QUEUE;
        size_t lost = size - done - (VIT_CHAR_QUEUE - port->used);
        port->head = (port->head + lost) % VIT_CHAR_QUEUE;
        port->used -= lost;
    }
    size_t part = MIN(size - done, VIT_CHAR_QUEUE - port->used);
    if (part)
        enqueue(port, data + done, part);
    done += part;
    if (port->used)
        vit_io_watch_set(port->out_watch, G_IO_OUT);
    port->starved |= done < size;
    return done;
}

/* ---- Input ----------------------------------------------------------------------------------- */

static void in_ready(void *opaque, GIOCondition ready)
{
    VitCharPort *port = opaque;
    uint8_t buf[4096];
    size_t room = vit_char_room(&port->chr);
    if (!room) {    /* until the front says that it has room */
        vit_io_watch_set(port->in_watch, 0);
        return;
    }
    ssize_t n = read(port->in, buf, MIN(room, sizeof(buf)));
    if (n > 0) {
        vit_char_deliver(&port->chr, buf, (size_t) n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        vit_io_watch_set(port->in_watch, 0);
        port->in = -1;
        close_down(port);
    }
}

void vit_char_port_accept_input(VitChar *chr)
{
    VitCharPort *port = (VitCharPort *) chr;
    if (port->in >= 0 && vit_char_room(chr) > 0)
        vit_io_watch_set(port->in_watch, G_IO_IN);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void vit_char_port_start(VitCharPort *port, int in, int out)
{
    VitSystem *sys = port->chr.sys;
    port->in = in;
    port->out = out;
    port->broken = port->starved = false;
    port->head = port->used = 0;
    if (in >= 0)
        port->in_watch = vit_io_watch_new_locked(sys->thread, &sys->lock, in, 0, in_ready, port);
    if (out >= 0)
        port->out_watch = vit_io_watch_new_locked(sys->thread, &sys->lock, out, 0, out_ready, port);
    vit_char_port_accept_input(&port->chr);
}

void vit_char_port_stop(VitCharPort *port)
{
    if (port->out >= 0 && !port->broken)
        flush(port);    /* what goes without waiting */
    g_clear_pointer(&port->in_watch, vit_io_watch_free);
    g_clear_pointer(&port->out_watch, vit_io_watch_free);
    g_clear_pointer(&port->queue, g_free);
    port->in = port->out = -1;
    port->head = port->used = 0;
}
