/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/client.c - the protocol node of an NBD export: its names, its connection, its requests
 *
 * When the connection breaks it is sought again in the background; requests wait for it as long as
 * reconnect-delay says, and fail at once after that. */
#include "block/drivers.h"
#include "block/nbd/client-private.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { LONGEST_PAUSE = 16, STATUS_STRETCH = 1 << 30, POLL_NS = 1000 * 1000 };

/* ---- names ----------------------------------------------------------------------------------- */

static void set_server(JsonObject *options, const char *type, const char *key, const char *value)
{
    if (!json_object_has_member(options, "server.type"))
        json_object_set_string_member(options, "server.type", type);
    json_object_set_string_member(options, key, value);
}

/* nbd:HOST:PORT[:exportname=NAME], nbd:unix:PATH[:exportname=NAME] */
static bool parse_old(const char *text, JsonObject *options, GError **error)
{
    static const char mark[] = ":exportname=";
    const char *name = strstr(text, mark);
    g_autofree char *server = name ? g_strndup(text, (size_t)(name - text)) : g_strdup(text);

    if (name) json_object_set_string_member(options, "export", name + strlen(mark));
    if (g_str_has_prefix(server, "unix:")) {
        set_server(options, "unix", "server.path", server + strlen("unix:"));
        return true;
    }
    char *colon = strrchr(server, ':');
    if (!*server)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("NBD server address missing"));
    if (!colon || colon == server)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("error parsing address '%s'"),
                              server);
    *colon = 0;
    set_server(options, "inet", "server.host", server);
    set_server(options, "inet", "server.port", colon + 1);
    return true;
}

static bool nbd_parse(const char *filename, JsonObject *options, GError **error)
{
    if (g_str_has_prefix(filename, "nbd:") && !g_str_has_prefix(filename, "nbd://"))
        return parse_old(filename + strlen("nbd:"), options, error);
    if (!g_str_has_prefix(filename, "nbd"))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("File name string for NBD must start with 'nbd:'"));
    g_autoptr(GUri) uri = g_uri_parse(filename, G_URI_FLAGS_NONE, NULL);
    if (!uri) return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("No valid URL specified"));
    const char *scheme = g_uri_get_scheme(uri), *path = g_uri_get_path(uri);
    const char *host = g_uri_get_host(uri);
    g_autoptr(GHashTable)
        query = g_uri_get_query(uri)
                    ? g_uri_parse_params(g_uri_get_query(uri), -1, "&", G_URI_PARAMS_NONE, NULL)
                    : NULL;
    const char *socket = query ? g_hash_table_lookup(query, "socket") : NULL;
    const char *name = query ? g_hash_table_lookup(query, "tls-hostname") : NULL;

    if (path && *path == '/') path++;
    if (path && *path) json_object_set_string_member(options, "export", path);
    if (name) json_object_set_string_member(options, "tls-hostname", name);
    if (g_str_has_prefix(scheme, "nbds"))
        json_object_set_boolean_member(options, "x-tls-required", TRUE);
    if (g_str_has_suffix(scheme, "+unix")) {
        if (!socket || (host && *host))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("No valid URL specified"));
        set_server(options, "unix", "server.path", socket);
        return true;
    }
    g_autofree char *port = g_strdup_printf("%d",
                                            g_uri_get_port(uri) < 0 ? 10809 : g_uri_get_port(uri));
    set_server(options, "inet", "server.host", host && *host ? host : "localhost");
    set_server(options, "inet", "server.port", port);
    return true;
}

static char *name_of(const VitNbdClient *c)
{
    g_autofree char *export = g_uri_escape_string(c->export, "/", FALSE);

    if (c->address.path)
        return g_strdup_printf("%s+unix://%s%s?socket=%s", c->tls ? "nbds" : "nbd",
                               *export ? "/" : "", export, c->address.path);
    g_autofree char *server = vit_nbd_address_text(&c->address);
    return g_strdup_printf("%s://%s%s%s", c->tls ? "nbds" : "nbd", server, *export ? "/" : "",
                           export);
}

/* ---- the connection -------------------------------------------------------------------------- */

static VitNbdChannel *connect_once(VitNbdClient *c, VitNbdPeer *peer, GError **error)
{
    VitNbdClientOptions options = { .address = &c->address,
                                    .tls = c->tls,
                                    .tls_hostname = c->tls_hostname,
                                    .thread = c->parent.thread };
    bool fixed, no_zeroes;
    VitNbdChannel *channel = vit_co_nbd_client_connect(&options, &fixed, &no_zeroes, error);

    if (channel &&
        !vit_co_nbd_client_go(channel, fixed, no_zeroes, c->export, c->context, peer, error)) {
        vit_nbd_channel_shutdown(channel);
        vit_nbd_channel_free(channel);
        vit_nbd_peer_clear(peer);
        return NULL;
    }
    return channel;
}

static gboolean wake_changed(gpointer data)
{
    vit_fiber_cond_wake_all(&((VitNbdClient *)data)->changed);
    return G_SOURCE_REMOVE;
}

/* Returns early when the node closes. */
static void pause_for(VitNbdClient *c, unsigned milliseconds)
{
    int64_t end = g_get_monotonic_time() + (int64_t)milliseconds * 1000;

    while (!c->closing && !c->moving && g_get_monotonic_time() < end) {
        int64_t left = (end - g_get_monotonic_time()) / 1000 + 1;
        GSource *timer = g_timeout_source_new((guint)MAX(left, 0));
        g_source_set_callback(timer, wake_changed, c, NULL);
        g_source_attach(timer, vit_io_thread_context(c->parent.thread));
        vit_fiber_cond_wait(&c->changed, NULL);
        g_source_destroy(timer);
        g_source_unref(timer);
    }
}

/* Whether a server that came back is the one that was there before. */
static bool same_export(const VitNbdClient *c, const VitNbdPeer *peer)
{
    return peer->size == c->peer.size && peer->min_block <= MAX(c->parent.alignment, 1) &&
           (c->parent.how.read_only || !(peer->flags & VIT_NBD_READ_ONLY));
}

static void seek_again(VitNbdClient *c)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t)c->reconnect_delay * G_USEC_PER_SEC;

    for (unsigned wait = 0; !c->closing && !c->moving;
         wait = MIN(MAX(wait * 2, 1), LONGEST_PAUSE)) {
        /* Also lets what the break was found in return first. */
        pause_for(c, wait == 0 ? 1 : wait * (c->patient ? 250 : 1000));
        if (c->patient && g_get_monotonic_time() >= deadline) {
            c->patient = false;
            vit_nbd_client_fail(c, -EIO);
        }
        if (c->closing || c->moving) return;
        VitNbdPeer peer = { 0 };
        VitNbdChannel *channel = connect_once(c, &peer, NULL);
        if (!channel) continue;
        if (same_export(c, &peer) && !c->closing) {
            vit_nbd_peer_clear(&c->peer);
            c->peer = peer;
            c->channel = channel;
            c->patient = c->reconnect_delay > 0;
            vit_nbd_client_resend(c);
            return;
        }
        vit_nbd_channel_shutdown(channel);
        vit_nbd_channel_free(channel);
        vit_nbd_peer_clear(&peer);
    }
}

static void connection_fiber(void *opaque)
{
    VitNbdClient *c = opaque;

    while (!c->closing && !c->moving) {
        if (c->channel) {
            int result = vit_co_nbd_client_receive(c);
            if (result == -EINTR && c->moving) break;
            /* Whatever it was: the connection is over. */
            vit_nbd_channel_shutdown(c->channel);
            vit_nbd_channel_free(g_steal_pointer(&c->channel));
        }
        if (c->closing || c->moving) break;
        if (!c->patient) {
            pause_for(c, 1);
            vit_nbd_client_fail(c, -EIO);
        }
        seek_again(c);
    }
    c->ended = true;
    vit_fiber_cond_wake_all(&c->changed);
}

static void nbd_detach(VitBlockNode *node)
{
    VitNbdClient *c = (VitNbdClient *)node;

    c->moving = true;
    vit_fiber_cond_wake_all(&c->changed);
    while ((c->channel && vit_nbd_channel_interrupt(c->channel)) || !c->ended)
        vit_fiber_sleep(node->thread, POLL_NS);
    if (c->channel) vit_nbd_channel_move(c->channel, NULL);
}

static void nbd_attach(VitBlockNode *node)
{
    VitNbdClient *c = (VitNbdClient *)node;

    c->changed.thread = node->thread;
    c->moving = c->ended = false;
    if (c->channel) vit_nbd_channel_move(c->channel, node->thread);
    vit_fiber_start(node->thread, connection_fiber, c);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void clear(VitNbdClient *c)
{
    vit_nbd_peer_clear(&c->peer);
    vit_nbd_address_clear(&c->address);
    vit_block_object_release(c->tls);
    g_clear_pointer(&c->calls, g_hash_table_unref);
    g_free(c->export);
    g_free(c->context);
    g_free(c->tls_hostname);
}

static bool take_options(VitNbdClient *c, VitBlockArgs *args, GError **error)
{
    static const char *const old[] = { "host", "port", "path" };
    bool tls_required = false;

    if (vit_block_args_has(args, "path") && vit_block_args_has(args, "host"))
        return vit_block_args_fail(args, error,
                                   _("path and host may not be used at the same time"));
    if (!vit_block_args_has(args, "server")) { /* as they were written before there was "server" */
        for (unsigned i = 0; i < G_N_ELEMENTS(old); i++) {
            g_autofree char *key = g_strconcat("server.", old[i], NULL);
            const char *value = vit_block_args_str(args, old[i]);
            if (value) vit_block_args_set(args, key, value);
        }
    }
    g_autoptr(VitBlockArgs) server = vit_block_args_sub(args, "server");
    if (!server) return vit_block_args_fail(args, error, _("NBD server address missing"));
    const char *tls = vit_block_args_str(args, "tls-creds");
    c->export = g_strdup(vit_block_args_str(args, "export") ?: "");
    c->context = g_strdup(vit_block_args_str(args, "x-dirty-bitmap") ?: "base:allocation");
    c->tls_hostname = g_strdup(vit_block_args_str(args, "tls-hostname"));
    if (!vit_block_args_uint(args, "reconnect-delay", UINT32_MAX, &c->reconnect_delay, error) ||
        !vit_block_args_uint(args, "open-timeout", UINT32_MAX, &c->open_timeout, error) ||
        !vit_block_args_bool(args, "x-tls-required", &tls_required, error) ||
        !vit_nbd_address_take(server, &c->address, error))
        return false;
    if (c->address.name)
        return vit_block_args_fail(args, error,
                                   _("the server is named by host or path, not by a descriptor"));
    if (strlen(c->export) > VIT_NBD_MAX_STRING)
        return vit_block_args_fail(args, error, _("export name too long"));
    if (tls_required && !tls)
        return vit_block_args_fail(args, error,
                                   _("TLS needs tls-creds=ID of a tls-creds-x509 or tls-creds-psk "
                                     "object"));
    return !tls || (c->tls = vit_block_tls_use(vit_block_graph_objects(c->parent.graph), tls, false,
                                               error));
}

static bool check_peer(VitNbdClient *c, GError **error)
{
    VitBlockNode *node = &c->parent;

    if ((c->peer.flags & VIT_NBD_READ_ONLY) && !node->how.read_only) {
        if (!node->how.auto_read_only)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("request on '%s' denied without write access: the export is "
                                    "read-only; open it with read-only=on"),
                                  node->filename);
        node->how.read_only = true;
    }
    node->size = c->peer.size;
    node->alignment = c->peer.min_block > 1 ? c->peer.min_block : 0;
    return true;
}

static bool nbd_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    VitNbdClient *c = (VitNbdClient *)node;

    c->changed.thread = node->thread;
    c->calls = g_hash_table_new(g_int64_hash, g_int64_equal);
    c->next_cookie = 1;
    if (!take_options(c, args, error)) {
        clear(c);
        return false;
    }
    g_free(node->filename);
    node->filename = name_of(c);
    int64_t deadline = g_get_monotonic_time() + (int64_t)c->open_timeout * G_USEC_PER_SEC;
    g_autoptr(GError) why = NULL;
    while (!(c->channel = connect_once(c, &c->peer, &why))) {
        if (g_get_monotonic_time() >= deadline) {
            g_propagate_error(error, g_steal_pointer(&why));
            clear(c);
            return false;
        }
        g_clear_error(&why);
        pause_for(c, 200);
    }
    if (!check_peer(c, error)) {
        vit_nbd_channel_shutdown(c->channel);
        vit_nbd_channel_free(c->channel);
        clear(c);
        return false;
    }
    c->patient = c->reconnect_delay > 0;
    vit_fiber_start(node->thread, connection_fiber, c);
    return true;
}

static void nbd_close(VitBlockNode *node)
{
    VitNbdClient *c = (VitNbdClient *)node;

    c->closing = true;
    if (c->channel) {
        uint8_t bye[32] = { 0 };
        vit_nbd_put32(bye, c->peer.extended ? VIT_NBD_EXTENDED_REQUEST : VIT_NBD_REQUEST);
        vit_nbd_put16(bye + 6, VIT_NBD_CMD_DISC);
        (void)!vit_nbd_channel_write(c->channel, bye, c->peer.extended ? 32 : 28);
        if (c->channel) vit_nbd_channel_shutdown(c->channel);
    }
    vit_fiber_cond_wake_all(&c->changed);
    while (!c->ended) vit_fiber_cond_wait(&c->changed, NULL);
    clear(c);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What one request may carry. */
static uint64_t max_bytes(const VitNbdClient *c, VitBlockOp op)
{
    uint64_t mask = MAX(c->parent.alignment, 4096) - 1;

    if (op == VIT_BLOCK_READ || op == VIT_BLOCK_WRITE)
        return c->peer.max_payload ? MIN(c->peer.max_payload, VIT_NBD_MAX_PAYLOAD)
                                   : VIT_NBD_MAX_PAYLOAD;
    return (c->peer.extended ? (uint64_t)INT64_MAX : UINT32_MAX) & ~mask;
}

/* Fills a call in; false: the server has no such command. */
static bool fill(VitNbdClient *c, VitNbdCall *call, VitBlockOp op, uint32_t flags)
{
    uint16_t can = c->peer.flags;

    if (flags & VIT_BLOCK_FUA) {
        if (can & VIT_NBD_SEND_FUA) call->flags |= VIT_NBD_FLAG_FUA;
        else call->then_flush = can & VIT_NBD_SEND_FLUSH;
    }
    switch (op) {
    case VIT_BLOCK_READ: call->type = VIT_NBD_CMD_READ; return true;
    case VIT_BLOCK_WRITE: call->type = VIT_NBD_CMD_WRITE; return true;
    case VIT_BLOCK_FLUSH: call->type = VIT_NBD_CMD_FLUSH; return can & VIT_NBD_SEND_FLUSH;
    case VIT_BLOCK_DISCARD: call->type = VIT_NBD_CMD_TRIM; return can & VIT_NBD_SEND_TRIM;
    case VIT_BLOCK_WRITE_ZEROES:
        call->type = VIT_NBD_CMD_WRITE_ZEROES;
        if (!(flags & VIT_BLOCK_MAY_UNMAP) || !c->parent.how.discard)
            call->flags |= VIT_NBD_FLAG_NO_HOLE;
        if (flags & VIT_BLOCK_NO_FALLBACK) {
            if (!(can & VIT_NBD_SEND_FAST_ZERO)) return false;
            call->flags |= VIT_NBD_FLAG_FAST_ZERO;
        }
        return can & VIT_NBD_SEND_WRITE_ZEROES;
    }
    return false;
}

static void request_done(VitNbdCall *call, int result)
{
    VitBlockRequest *req = call->opaque;

    g_free(call);
    vit_block_complete(req, result);
}

static bool nbd_submit(VitBlockNode *node, VitBlockRequest *req)
{
    VitNbdClient *c = (VitNbdClient *)node;
    uint64_t bytes = req->op == VIT_BLOCK_FLUSH ? 0 : req->bytes;

    if (bytes > max_bytes(c, req->op) ||
        (req->op != VIT_BLOCK_FLUSH && req->offset + bytes > node->size) ||
        (req->op == VIT_BLOCK_DISCARD && !node->how.discard))
        return false;
    VitNbdCall *call = vit_nbd_call_new(c, 0, bytes ? req->offset : 0, bytes);
    if (!fill(c, call, req->op, req->flags)) {
        g_free(call);
        return false;
    }
    call->iov = req->iov;
    call->niov = req->niov;
    call->done = request_done;
    call->opaque = req;
    vit_nbd_call_start(call);
    return true;
}

typedef struct {
    VitFiber *fiber;
    bool over;
    int result;
    uint64_t extent_bytes, extent_flags;
} Wait;

static void wait_done(VitNbdCall *call, int result)
{
    Wait *w = call->opaque;

    w->over = true;
    w->result = result;
    w->extent_bytes = call->extent_bytes;
    w->extent_flags = call->extent_flags;
    g_free(call);
    vit_fiber_wake(w->fiber);
}

static void wait_for(VitNbdCall *call, Wait *w)
{
    VitIoThread *thread = call->client->parent.thread;

    *w = (Wait){ .fiber = vit_fiber_self(thread) };
    call->done = wait_done;
    call->opaque = w;
    vit_nbd_call_start(call);
    while (!w->over) vit_fiber_yield(thread);
}

/* What the fast way does not take: piece by piece. */
static int move(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                const struct iovec *iov, int niov, uint32_t flags)
{
    VitNbdClient *c = (VitNbdClient *)node;
    uint64_t piece = max_bytes(c, op), done = 0, end = bytes;
    g_autofree struct iovec *part = iov ? g_new(struct iovec, (size_t)niov + 1) : NULL;

    if (offset + bytes > node->size) { /* an export keeps its size; what follows reads as zero */
        if (op != VIT_BLOCK_READ) return -ENOSPC;
        end = offset < node->size ? node->size - offset : 0;
        vit_iov_zero(iov, niov, end, bytes - end);
    }
    while (done < end || (op == VIT_BLOCK_FLUSH && done == 0)) {
        uint64_t n = MIN(end - done, piece);
        VitNbdCall *call = vit_nbd_call_new(c, 0, op == VIT_BLOCK_FLUSH ? 0 : offset + done, n);
        Wait w;
        if (!fill(c, call, op, flags)) {
            g_free(call);
            return op == VIT_BLOCK_WRITE_ZEROES ? -ENOTSUP : 0;
        }
        if (iov) {
            call->niov = vit_iov_slice(iov, niov, done, n, part);
            call->iov = part;
        }
        wait_for(call, &w);
        if (w.result < 0) return w.result;
        if (op == VIT_BLOCK_FLUSH) break;
        done += n;
    }
    return 0;
}

static int nbd_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    return move(node, VIT_BLOCK_READ, offset, bytes, iov, niov, 0);
}

static int nbd_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                      const struct iovec *iov, int niov, uint32_t flags)
{
    if (op == VIT_BLOCK_DISCARD && !node->how.discard) return 0;
    return move(node, op, offset, bytes, iov, niov, flags);
}

static int nbd_flush(VitBlockNode *node)
{
    return move(node, VIT_BLOCK_FLUSH, 0, 0, NULL, 0, 0);
}

static int nbd_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    VitNbdClient *c = (VitNbdClient *)node;
    unsigned flags = VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
    Wait w;

    *extent = (VitBlockExtent){
        .bytes = bytes, .flags = flags | VIT_EXTENT_DATA, .host_offset = offset, .file = node
    };
    if (!c->peer.has_context) return 0;
    uint64_t stretch = bytes;
    if (!c->peer.extended && stretch > UINT32_MAX) stretch = STATUS_STRETCH;
    VitNbdCall *call = vit_nbd_call_new(c, VIT_NBD_CMD_BLOCK_STATUS, offset, stretch);
    call->flags = VIT_NBD_FLAG_REQ_ONE;
    wait_for(call, &w);
    if (w.result < 0) return w.result;
    extent->bytes = MIN(w.extent_bytes, bytes);
    if (w.extent_flags & VIT_NBD_STATE_ZERO)
        flags |= VIT_EXTENT_ZERO | (w.extent_flags & VIT_NBD_STATE_HOLE ? 0 : VIT_EXTENT_DATA);
    else flags |= VIT_EXTENT_DATA;
    extent->flags = flags;
    return 0;
}

static bool nbd_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                         GError **error)
{
    if (size > node->size || (exact && size != node->size))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("Cannot %s NBD nodes"),
                              size > node->size ? "grow" : "resize");
    return true;
}

static void nbd_info(VitBlockNode *node, VitBlockInfo *info)
{
    const VitNbdClient *c = (VitNbdClient *)node;

    info->can_discard = node->how.discard && (c->peer.flags & VIT_NBD_SEND_TRIM);
    info->max_transfer = VIT_NBD_MAX_PAYLOAD;
}

/* The connection stays: only what is asked of it changes. */
static int nbd_reopen(VitBlockNode *node, bool read_only)
{
    const VitNbdClient *c = (VitNbdClient *)node;

    return !read_only && (c->peer.flags & VIT_NBD_READ_ONLY) ? -EACCES : 0;
}

static const char *const protocols[] = { "nbd",      "nbd+tcp",   "nbd+unix", "nbds",
                                         "nbds+tcp", "nbds+unix", NULL };

const VitBlockDriver vit_block_nbd_driver = {
    .name = "nbd",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(VitNbdClient),
    .protocols = protocols,
    .parse_filename = nbd_parse,
    .co_open = nbd_open,
    .co_close = nbd_close,
    .co_reopen = nbd_reopen,
    .co_read = nbd_read,
    .co_change = nbd_change,
    .co_flush = nbd_flush,
    .co_status = nbd_status,
    .detach = nbd_detach,
    .attach = nbd_attach,
    .co_truncate = nbd_truncate,
    .try_submit = nbd_submit,
    .info = nbd_info,
};
