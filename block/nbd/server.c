/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/server.c - see server.h: listening, the list of exports, the life of connections */
#include "block/driver.h"
#include "block/nbd/connection.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct VitNbdServer {
    VitIoThread *thread; /* borrowed */
    VitBlockObject *tls; /* a use; NULL: no TLS */
    unsigned max_connections, handshake_seconds;
    GArray *fds; /* of int, owned: listening */
    GPtrArray *watches; /* of VitIoWatch*, owned */
    char *unlink_path; /* owned: of a Unix socket; NULL: none */
    GPtrArray *exports; /* of VitNbdExport*, borrowed */
    GQueue connections; /* of VitNbdConnection* */
    VitFiberCond gone;
    bool full;
    GSource *pause; /* owned: the host has no descriptors left; NULL: not paused */
    void (*on_closed)(void *opaque, bool negotiated);
    void *on_closed_opaque;
};

VitNbdExport *vit_nbd_server_find(VitNbdServer *s, const char *name)
{
    for (guint i = 0; i < s->exports->len; i++) {
        VitNbdExport *e = s->exports->pdata[i];
        if (strcmp(e->name, name) == 0) return e;
    }
    return NULL;
}

GPtrArray *vit_nbd_server_exports(VitNbdServer *s)
{
    return s->exports;
}

VitBlockObject *vit_nbd_server_tls(VitNbdServer *s)
{
    return s->tls;
}

bool vit_nbd_server_multi_conn(const VitNbdServer *s)
{
    return s->max_connections != 1;
}

unsigned vit_nbd_server_connections(const VitNbdServer *s)
{
    return g_queue_get_length((GQueue *)&s->connections);
}

void vit_nbd_server_on_closed(VitNbdServer *s, void (*fn)(void *opaque, bool negotiated),
                              void *opaque)
{
    s->on_closed = fn;
    s->on_closed_opaque = opaque;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void update_listening(VitNbdServer *s)
{
    bool full = s->pause ||
                (s->max_connections && vit_nbd_server_connections(s) >= s->max_connections);

    if (full == s->full) return;
    s->full = full; /* those who come now wait in the host's queue */
    for (guint i = 0; i < s->watches->len; i++)
        vit_io_watch_set(s->watches->pdata[i], full ? 0 : G_IO_IN);
}

static gboolean handshake_over(gpointer data)
{
    VitNbdConnection *c = data;

    vit_nbd_channel_shutdown(c->channel);
    return G_SOURCE_REMOVE;
}

static void end_limit(VitNbdConnection *c)
{
    if (!c->limit) return;
    g_source_destroy(c->limit);
    g_clear_pointer(&c->limit, g_source_unref);
}

static void connection_fiber(void *opaque)
{
    VitNbdConnection *c = opaque;
    VitNbdServer *s = c->server;
    bool negotiated = vit_co_nbd_negotiate(c);

    end_limit(c);
    if (negotiated) vit_co_nbd_transmit(c);
    if (c->export) {
        g_queue_remove(&c->export->connections, c);
        vit_fiber_cond_wake_all(&c->export->gone);
    }
    g_queue_remove(&s->connections, c);
    vit_nbd_channel_free(c->channel);
    g_array_unref(c->bitmaps);
    g_free(c);
    update_listening(s);
    if (s->on_closed) s->on_closed(s->on_closed_opaque, negotiated);
    vit_fiber_cond_wake_all(&s->gone);
}

static void take_client(VitNbdServer *s, int fd)
{
    VitNbdConnection *c = g_new0(VitNbdConnection, 1);

    vit_nbd_address_tune(fd);
    c->server = s;
    c->thread = c->room.thread = s->thread;
    c->channel = vit_nbd_channel_new(s->thread, fd);
    c->bitmaps = g_array_new(FALSE, FALSE, sizeof(unsigned));
    if (s->handshake_seconds > 0) {
        c->limit = g_timeout_source_new_seconds(s->handshake_seconds);
        g_source_set_callback(c->limit, handshake_over, c, NULL);
        g_source_attach(c->limit, vit_io_thread_context(s->thread));
    }
    g_queue_push_tail(&s->connections, c);
    update_listening(s);
    vit_fiber_start(s->thread, connection_fiber, c);
}

static gboolean pause_over(gpointer data)
{
    VitNbdServer *s = data;

    g_clear_pointer(&s->pause, g_source_unref);
    update_listening(s);
    return G_SOURCE_REMOVE;
}

/* Those who wait would be announced for ever: they are looked at again in a second. */
static void pause_listening(VitNbdServer *s)
{
    if (s->pause) return;
    s->pause = g_timeout_source_new_seconds(1);
    g_source_set_callback(s->pause, pause_over, s, NULL);
    g_source_attach(s->pause, vit_io_thread_context(s->thread));
    update_listening(s);
}

static void on_client(void *opaque, GIOCondition ready)
{
    VitNbdServer *s = opaque;

    for (guint i = 0; i < s->fds->len && !s->full; i++) {
        int fd = accept4(g_array_index(s->fds, int, i), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) take_client(s, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            pause_listening(s);
    }
}

/* ---- exports --------------------------------------------------------------------------------- */

bool vit_nbd_server_add(VitNbdServer *s, VitNbdExport *e, GError **error)
{
    if (vit_nbd_server_find(s, e->name))
        return vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS,
                              _("NBD server already has export named '%s'"), e->name);
    g_ptr_array_add(s->exports, e);
    return true;
}

void vit_nbd_server_remove(VitNbdServer *s, VitNbdExport *e)
{
    g_ptr_array_remove(s->exports, e);
    for (GList *l = s->connections.head; l; l = l->next) {
        VitNbdConnection *c = l->data;
        if (c->contexts_of == e && c->export != e) c->contexts_of = NULL;
    }
}

void vit_co_nbd_export_drop(VitNbdExport *e)
{
    for (GList *l = e->connections.head; l; l = l->next)
        vit_nbd_channel_shutdown(((VitNbdConnection *)l->data)->channel);
    while (!g_queue_is_empty(&e->connections)) vit_fiber_cond_wait(&e->gone, NULL);
}

/* ---- starting and stopping ------------------------------------------------------------------- */

typedef struct {
    const VitNbdAddress *address;
    GArray *fds;
    GError **error;
    bool good;
} Listen;

static void listen_work(void *opaque)
{
    Listen *l = opaque;

    l->good = vit_nbd_address_listen(l->address, l->fds, l->error);
}

VitNbdServer *vit_co_nbd_server_start(VitIoThread *thread, VitBlockObjects *objects,
                                      const VitNbdServerOptions *options, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    Listen work = { .address = options->address, .fds = fds, .error = error };

    VitBlockObject *tls = NULL;

    if (options->tls_creds && !(tls = vit_block_tls_use(objects, options->tls_creds, true, error)))
        return NULL;
    vit_fiber_offload(thread, listen_work, &work);
    if (!work.good) {
        vit_block_object_release(tls);
        return NULL;
    }
    VitNbdServer *s = g_new0(VitNbdServer, 1);
    s->thread = s->gone.thread = thread;
    s->tls = tls;
    s->max_connections = options->max_connections;
    s->handshake_seconds = options->handshake_seconds;
    s->unlink_path = g_strdup(options->address->path);
    s->exports = g_ptr_array_new();
    s->watches = g_ptr_array_new_with_free_func((GDestroyNotify)vit_io_watch_free);
    s->fds = g_steal_pointer(&fds);
    for (guint i = 0; i < s->fds->len; i++)
        g_ptr_array_add(s->watches, vit_io_watch_new(thread, g_array_index(s->fds, int, i), G_IO_IN,
                                                     on_client, s));
    return s;
}

void vit_co_nbd_server_stop(VitNbdServer *s)
{
    if (!s) return;
    s->on_closed = NULL;
    if (s->pause) {
        g_source_destroy(s->pause);
        g_clear_pointer(&s->pause, g_source_unref);
    }
    g_ptr_array_set_size(s->watches, 0);
    for (GList *l = s->connections.head; l; l = l->next)
        vit_nbd_channel_shutdown(((VitNbdConnection *)l->data)->channel);
    while (!g_queue_is_empty(&s->connections)) vit_fiber_cond_wait(&s->gone, NULL);
    for (guint i = 0; i < s->fds->len; i++) close(g_array_index(s->fds, int, i));
    if (s->unlink_path) unlink(s->unlink_path);
    g_array_unref(s->fds);
    g_ptr_array_unref(s->watches);
    g_ptr_array_unref(s->exports);
    g_free(s->unlink_path);
    vit_block_object_release(s->tls);
    g_free(s);
}
