/* SPDX-License-Identifier: GPL-3.0-or-later */
/* net/netdev.c - what all host ends of a network share: the list of drivers, the backlog, life
 *
 * A netdev is reference-counted by the calls that are queued on its iothread. */
#include "net/netdev-private.h"

#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static const VitNetdevType *const types[] = {
    &vit_netdev_user,
};

VitNetdev *vit_netdev_open(const char *spec, VitIoThread *thread, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-netdev", spec, "type", error);
    if (!options)
        return NULL;
    const char *type = vit_options_take(options, "type");
    const char *id = vit_options_take(options, "id");
    const char *names[G_N_ELEMENTS(types) + 1] = {};
    const VitNetdevType *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        names[i] = types[i]->driver.name;
        if (type && strcmp(type, names[i]) == 0)
            found = types[i];
    }
    if (!found) {
        g_autofree char *known = g_strjoinv(", ", (char **) names);
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-netdev: unknown type “%s”; known: %s"), type ? type : "", known);
        return NULL;
    }
    VitNetdev *n = g_atomic_rc_box_alloc0(found->driver.instance_size);
    n->driver = &found->driver;
    n->id = g_strdup(id ? id : type);
    n->thread = thread;
    n->link_up = true;
    g_queue_init(&n->backlog);
    if (!found->open(n, options, error)) {
        g_free(n->id);
        g_atomic_rc_box_release(n);
        return NULL;
    }
    return n;
}

typedef struct { VitNetdev *netdev; const VitNetPeer *peer; void *opaque; bool up; } Change;

static void clear_backlog(VitNetdev *n)
{
    GBytes *frame;
    while ((frame = g_queue_pop_head(&n->backlog)))
        g_bytes_unref(frame);
}

static void attach(void *data)
{
    Change *c = data;
    c->netdev->peer = c->peer;
    c->netdev->opaque = c->opaque;
    clear_backlog(c->netdev);
}

void vit_netdev_attach(VitNetdev *n, const VitNetPeer *peer, void *opaque)
{
    Change c = { .netdev = n, .peer = peer, .opaque = opaque };
    vit_io_thread_call_sync(n->thread, attach, &c);
}

static void finish(void *data)
{
    VitNetdev *n = data;
    n->peer = NULL;
    n->driver->finish(n);
    clear_backlog(n);
}

static void clear(void *data)
{
    VitNetdev *n = data;
    g_free(n->id);
}

void vit_netdev_free(VitNetdev *n)
{
    if (!n)
        return;
    vit_io_thread_call_sync(n->thread, finish, n);
    g_atomic_rc_box_release_full(n, clear);
}

static void flush(void *data)
{
    VitNetdev *n = data;

    g_atomic_int_set(&n->flush_queued, 0);
    while (n->peer && n->link_up) {
        GBytes *frame = g_queue_peek_head(&n->backlog);
        if (!frame)
            break;
        struct iovec iov = { (void *) g_bytes_get_data(frame, NULL), g_bytes_get_size(frame) };
        if (!n->peer->receive(n->opaque, &iov, 1, iov.iov_len))
            break;
        g_bytes_unref(g_queue_pop_head(&n->backlog));
    }
    g_atomic_rc_box_release_full(n, clear);
}

void vit_netdev_flush(VitNetdev *n)
{
    if (!g_atomic_int_compare_and_exchange(&n->flush_queued, 0, 1))
        return;
    g_atomic_rc_box_acquire(n);
    vit_io_thread_call(n->thread, flush, n);
}

void vit_netdev_deliver(VitNetdev *n, const void *frame, size_t size)
{
    if (!n->peer || !n->link_up || size > VIT_NETDEV_MAX_FRAME)
        return;
    if (!n->sending && g_queue_is_empty(&n->backlog)) {
        struct iovec iov = { (void *) frame, size };
        if (n->peer->receive(n->opaque, &iov, 1, size))
            return;
    }
    if (g_queue_get_length(&n->backlog) >= VIT_NETDEV_BACKLOG) {
        n->dropped++;
        return;
    }
    g_queue_push_tail(&n->backlog, g_bytes_new(frame, size));
    /* The card's transmit code is on the stack: it gets its answers once it has returned. */
    if (n->sending)
        vit_netdev_flush(n);
}

void vit_netdev_send(VitNetdev *n, const struct iovec *iov, int niov, size_t size)
{
    if (!n->link_up || size < 14 || size > VIT_NETDEV_MAX_FRAME)
        return;
    n->sending = true;
    n->driver->send(n, iov, niov, size);
    n->sending = false;
}

static void set_link(void *data)
{
    Change *c = data;
    VitNetdev *n = c->netdev;
    n->link_up = c->up;
    if (!n->link_up)
        clear_backlog(n);
    if (n->peer && n->peer->link_changed)
        n->peer->link_changed(n->opaque, n->link_up);
}

void vit_netdev_set_link(VitNetdev *n, bool up)
{
    Change c = { .netdev = n, .up = up };
    vit_io_thread_call_sync(n->thread, set_link, &c);
}
