/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/client-handshake.c - see client.h (doc/proto.md, "Newstyle negotiation") */
#include "block/nbd/client.h"

#include "block/driver.h"
#include "block/nbd/protocol.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE = 60, MAX_REPLY = 64 << 10, MAX_EXPORTS = 10000, MAX_CONTEXTS = 1000 };

void vit_nbd_peer_clear(VitNbdPeer *p)
{
    g_free(p->name);
    g_free(p->description);
    g_clear_pointer(&p->contexts, g_ptr_array_unref);
    *p = (VitNbdPeer){ 0 };
}

void vit_nbd_peer_free(VitNbdPeer *p)
{
    vit_nbd_peer_clear(p);
    g_free(p);
}

/* ---- options and replies --------------------------------------------------------------------- */

typedef struct {
    uint32_t option, type, size;
    uint8_t *data; /* owned, size bytes and a NUL */
} Reply;

static void reply_clear(Reply *r)
{
    g_free(r->data);
    *r = (Reply){ 0 };
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reply, reply_clear)

static bool lost(int result, GError **error)
{
    if (result == -ENODATA || result == -ECONNRESET)
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("The NBD server closed the connection during the handshake"));
    if (result == -ESHUTDOWN)
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("The NBD server did not answer within %d seconds"), PATIENCE);
    return vit_block_fail_errno(error, result, _("NBD handshake failed"));
}

static bool send_option(VitNbdChannel *c, uint32_t option, const void *data, size_t size,
                        GError **error)
{
    g_autofree uint8_t *buf = g_malloc(16 + size);
    uint8_t *p = vit_nbd_put64(buf, VIT_NBD_OPTION_MAGIC);

    p = vit_nbd_put32(vit_nbd_put32(p, option), (uint32_t)size);
    if (size > 0) memcpy(p, data, size);
    int result = vit_nbd_channel_write(c, buf, 16 + size);
    return result == 0 || lost(result, error);
}

static bool take_reply(VitNbdChannel *c, uint32_t option, Reply *r, GError **error)
{
    uint8_t head[20];

    reply_clear(r);
    int result = vit_nbd_channel_read(c, head, sizeof head);
    if (result < 0) return lost(result, error);
    if (vit_nbd_get64(head) != VIT_NBD_REPLY_MAGIC || vit_nbd_get32(head + 8) != option)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Unexpected reply to option %u of the NBD handshake"), option);
    r->option = option;
    r->type = vit_nbd_get32(head + 12);
    r->size = vit_nbd_get32(head + 16);
    if (r->size > MAX_REPLY)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("A reply of the NBD handshake has %u bytes"), r->size);
    r->data = g_malloc0((size_t)r->size + 1);
    result = vit_nbd_channel_read(c, r->data, r->size);
    return result == 0 || lost(result, error);
}

static bool refused(const Reply *r, const char *what, GError **error)
{
    static const char *const reasons[] = { "?",
                                           "the server does not know it",
                                           "the server's policy forbids it",
                                           "the server calls it invalid",
                                           "the server was built without it",
                                           "the server wants TLS",
                                           "there is no such export",
                                           "the server is shutting down",
                                           "the server wants block sizes to be kept",
                                           "it is too big",
                                           "the server wants extended headers" };
    unsigned n = r->type & 0xff;

    if (r->type == VIT_NBD_REP_ERR_UNKNOWN)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_NOT_FOUND, "%s%s%s", _("Requested export not available"),
            r->size ? _("\nserver reported: ") : "", r->size ? (char *)r->data : "");
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("The NBD server refused %s: %s%s%s"),
                          what, reasons[n < G_N_ELEMENTS(reasons) ? n : 0], r->size ? ": " : "",
                          r->size ? (char *)r->data : "");
}

/* An option without data that is acknowledged or refused. */
static bool ask(VitNbdChannel *c, uint32_t option, bool *granted, GError **error)
{
    g_auto(Reply) r = { 0 };

    if (!send_option(c, option, NULL, 0, error) || !take_reply(c, option, &r, error)) return false;
    *granted = r.type == VIT_NBD_REP_ACK;
    return true;
}

/* ---- connecting ------------------------------------------------------------------------------ */

typedef struct {
    const VitNbdAddress *address;
    int fd;
    GError **error;
} Connect;

static void connect_work(void *opaque)
{
    Connect *c = opaque;

    c->fd = vit_nbd_address_connect(c->address, c->error);
}

static bool greet(VitNbdChannel *c, bool *fixed, bool *no_zeroes, GError **error)
{
    uint8_t greeting[18], flags[4];
    int result = vit_nbd_channel_read(c, greeting, 16);

    if (result < 0) return lost(result, error);
    if (vit_nbd_get64(greeting) != VIT_NBD_MAGIC)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("This is not an NBD server"));
    if (vit_nbd_get64(greeting + 8) != VIT_NBD_OPTION_MAGIC)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("The NBD server speaks the oldstyle handshake, which is not supported"));
    result = vit_nbd_channel_read(c, greeting, 2);
    if (result < 0) return lost(result, error);
    uint32_t offered = vit_nbd_get16(greeting);
    uint32_t chosen = offered & (VIT_NBD_FIXED_NEWSTYLE | VIT_NBD_NO_ZEROES);
    *fixed = offered & VIT_NBD_FIXED_NEWSTYLE;
    *no_zeroes = offered & VIT_NBD_NO_ZEROES;
    vit_nbd_put32(flags, chosen);
    result = vit_nbd_channel_write(c, flags, sizeof flags);
    return result == 0 || lost(result, error);
}

static bool start_tls(VitNbdChannel *c, const VitNbdClientOptions *o, GError **error)
{
    g_auto(Reply) r = { 0 };
    gnutls_session_t session;
    const char *host = o->tls_hostname ?: o->address->host;

    if (!send_option(c, VIT_NBD_OPT_STARTTLS, NULL, 0, error) ||
        !take_reply(c, VIT_NBD_OPT_STARTTLS, &r, error))
        return false;
    if (r.type != VIT_NBD_REP_ACK) return refused(&r, "TLS", error);
    return vit_block_tls_session_new(o->tls, GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL, host, &session,
                                     error) &&
           vit_nbd_channel_start_tls(c, session, error) &&
           vit_block_tls_verify(o->tls, session, host, NULL, error);
}

static gboolean give_up(gpointer channel)
{
    vit_nbd_channel_shutdown(channel);
    return G_SOURCE_REMOVE;
}

static GSource *limit(VitIoThread *thread, VitNbdChannel *c)
{
    GSource *source = g_timeout_source_new_seconds(PATIENCE);

    g_source_set_callback(source, give_up, c, NULL);
    g_source_attach(source, vit_io_thread_context(thread));
    return source;
}

VitNbdChannel *vit_co_nbd_client_connect(const VitNbdClientOptions *o, bool *fixed, bool *no_zeroes,
                                         GError **error)
{
    Connect work = { .address = o->address, .fd = -1, .error = error };

    vit_fiber_offload(o->thread, connect_work, &work);
    if (work.fd < 0) return NULL;
    fcntl(work.fd, F_SETFL, fcntl(work.fd, F_GETFL) | O_NONBLOCK);
    vit_nbd_address_tune(work.fd);
    VitNbdChannel *c = vit_nbd_channel_new(o->thread, work.fd);
    GSource *timer = limit(o->thread, c);
    bool good = greet(c, fixed, no_zeroes, error);
    if (good && o->tls && !*fixed)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("The NBD server has no TLS"));
    good = good && (!o->tls || start_tls(c, o, error));
    g_source_destroy(timer);
    g_source_unref(timer);
    if (good) return c;
    vit_nbd_channel_shutdown(c);
    vit_nbd_channel_free(c);
    return NULL;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static void take_info(const Reply *r, VitNbdPeer *peer)
{
    uint16_t kind = r->size >= 2 ? vit_nbd_get16(r->data) : UINT16_MAX;

    if (kind == VIT_NBD_INFO_EXPORT && r->size == 12) {
        peer->size = vit_nbd_get64(r->data + 2);
        peer->flags = vit_nbd_get16(r->data + 10);
    } else if (kind == VIT_NBD_INFO_BLOCK_SIZE && r->size == 14) {
        peer->min_block = vit_nbd_get32(r->data + 2);
        peer->preferred_block = vit_nbd_get32(r->data + 6);
        peer->max_payload = vit_nbd_get32(r->data + 10);
    } else if (kind == VIT_NBD_INFO_DESCRIPTION) {
        g_free(peer->description);
        peer->description = g_strndup((char *)r->data + 2, r->size - 2);
    }
}

static GByteArray *string_data(const char *text)
{
    GByteArray *data = g_byte_array_new();
    uint8_t length[4];

    vit_nbd_put32(length, (uint32_t)strlen(text));
    g_byte_array_append(data, length, sizeof length);
    g_byte_array_append(data, (const uint8_t *)text, (guint)strlen(text));
    return data;
}

/* NBD_OPT_INFO or NBD_OPT_GO.  *known false: the server does not know the option. */
static bool inform(VitNbdChannel *c, uint32_t option, const char *export, VitNbdPeer *peer,
                   bool *known, GError **error)
{
    static const uint8_t wanted[] = {
        0, 2, 0, VIT_NBD_INFO_BLOCK_SIZE, 0, VIT_NBD_INFO_DESCRIPTION
    };
    g_autoptr(GByteArray) data = string_data(export);
    g_auto(Reply) r = { 0 };

    g_byte_array_append(data, wanted, sizeof wanted);
    *known = true;
    if (!send_option(c, option, data->data, data->len, error)) return false;
    for (unsigned i = 0; i < 64; i++) {
        if (!take_reply(c, option, &r, error)) return false;
        if (r.type == VIT_NBD_REP_ACK) return true;
        if (r.type == VIT_NBD_REP_ERR_UNSUP) *known = false;
        if (r.type & VIT_NBD_REP_ERROR) {
            g_autofree char *what = g_strdup_printf("export '%s'", export);
            return refused(&r, what, error);
        }
        if (r.type == VIT_NBD_REP_INFO) take_info(&r, peer);
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("The NBD server does not end its information about '%s'"), export);
}

/* query NULL: a list of all contexts into peer->contexts; else the one that is wanted. */
static bool contexts(VitNbdChannel *c, const char *export, const char *query, VitNbdPeer *peer,
                     GError **error)
{
    uint32_t option = query ? VIT_NBD_OPT_SET_META_CONTEXT : VIT_NBD_OPT_LIST_META_CONTEXT;
    g_autoptr(GByteArray) data = string_data(export);
    uint8_t count[4];
    g_auto(Reply) r = { 0 };

    vit_nbd_put32(count, query ? 1 : 0);
    g_byte_array_append(data, count, sizeof count);
    if (query) {
        g_autoptr(GByteArray) text = string_data(query);
        g_byte_array_append(data, text->data, text->len);
    }
    if (!send_option(c, option, data->data, data->len, error)) return false;
    for (unsigned i = 0; i < MAX_CONTEXTS; i++) {
        if (!take_reply(c, option, &r, error)) return false;
        if (r.type == VIT_NBD_REP_ACK || (r.type & VIT_NBD_REP_ERROR)) return true;
        if (r.type != VIT_NBD_REP_META_CONTEXT || r.size < 4) continue;
        const char *name = (char *)r.data + 4;
        if (!query) {
            g_ptr_array_add(peer->contexts, g_strdup(name));
        } else if (strcmp(name, query) == 0) {
            peer->has_context = true;
            peer->context_id = vit_nbd_get32(r.data);
        }
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("The NBD server does not end its list of contexts"));
}

static bool go_old(VitNbdChannel *c, bool no_zeroes, const char *export, VitNbdPeer *peer,
                   GError **error)
{
    uint8_t buf[10];

    peer->extended = false;
    if (!send_option(c, VIT_NBD_OPT_EXPORT_NAME, export, strlen(export), error)) return false;
    int result = vit_nbd_channel_read(c, buf, sizeof buf);
    if (result == -ENODATA)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("The NBD server has no export '%s'"), export);
    if (result == 0 && !no_zeroes) result = vit_nbd_channel_skip(c, 124);
    if (result < 0) return lost(result, error);
    peer->size = vit_nbd_get64(buf);
    peer->flags = vit_nbd_get16(buf + 8);
    return true;
}

static bool negotiate(VitNbdChannel *c, bool fixed, bool no_zeroes, const char *export,
                      const char *context, VitNbdPeer *peer, GError **error)
{
    bool known = true;

    peer->name = g_strdup(export);
    if (!fixed) return go_old(c, no_zeroes, export, peer, error);
    if (!ask(c, VIT_NBD_OPT_EXTENDED_HEADERS, &peer->extended, error)) return false;
    if (peer->extended) peer->structured = true;
    else if (!ask(c, VIT_NBD_OPT_STRUCTURED_REPLY, &peer->structured, error)) return false;
    if (peer->structured && !contexts(c, export, context, peer, error)) return false;
    g_autoptr(GError) why = NULL;
    if (inform(c, VIT_NBD_OPT_GO, export, peer, &known, &why)) return true;
    if (!known) return go_old(c, no_zeroes, export, peer, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

bool vit_co_nbd_client_go(VitNbdChannel *c, bool fixed, bool no_zeroes, const char *export,
                          const char *context, VitNbdPeer *peer, GError **error)
{
    GSource *timer = g_timeout_source_new_seconds(PATIENCE);

    g_source_set_callback(timer, give_up, c, NULL);
    g_source_attach(timer, g_main_context_get_thread_default());
    bool good = negotiate(c, fixed, no_zeroes, export, context, peer, error);
    g_source_destroy(timer);
    g_source_unref(timer);
    if (good && peer->size > INT64_MAX)
        good = vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The NBD server says that export '%s' has %" PRIu64 " bytes"),
                              export, peer->size);
    if (good && ((peer->min_block & (peer->min_block - 1)) || peer->min_block > 64 << 10))
        good = vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("The NBD server wants blocks of %u bytes, which is not a power of two "
              "up to 64 KiB"),
            peer->min_block);
    return good;
}

static bool list_names(VitNbdChannel *c, GPtrArray *list, GError **error)
{
    g_auto(Reply) r = { 0 };

    if (!send_option(c, VIT_NBD_OPT_LIST, NULL, 0, error)) return false;
    for (;;) {
        if (!take_reply(c, VIT_NBD_OPT_LIST, &r, error)) return false;
        if (r.type == VIT_NBD_REP_ACK) return true;
        if (r.type & VIT_NBD_REP_ERROR) return refused(&r, "a list of its exports", error);
        uint32_t size = r.size >= 4 ? vit_nbd_get32(r.data) : UINT32_MAX;
        if (r.type != VIT_NBD_REP_SERVER || size > r.size - 4 || list->len >= MAX_EXPORTS)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("The NBD server's list of exports is malformed"));
        VitNbdPeer *peer = g_new0(VitNbdPeer, 1);
        peer->name = g_strndup((char *)r.data + 4, size);
        if (r.size - 4 > size)
            peer->description = g_strndup((char *)r.data + 4 + size, r.size - 4 - size);
        g_ptr_array_add(list, peer);
    }
}

GPtrArray *vit_co_nbd_client_list(VitNbdChannel *c, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_nbd_peer_free);
    bool structured = false, extended = false, known;

    if (!ask(c, VIT_NBD_OPT_EXTENDED_HEADERS, &extended, error) ||
        (!extended && !ask(c, VIT_NBD_OPT_STRUCTURED_REPLY, &structured, error)) ||
        !list_names(c, list, error))
        return NULL;
    for (guint i = 0; i < list->len; i++) {
        VitNbdPeer *peer = list->pdata[i];
        g_autoptr(GError) why = NULL;
        peer->extended = extended;
        peer->structured = structured || extended;
        peer->contexts = g_ptr_array_new_with_free_func(g_free);
        if (!inform(c, VIT_NBD_OPT_INFO, peer->name, peer, &known, &why) &&
            vit_nbd_channel_error(c)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return NULL;
        }
        if (peer->structured && !contexts(c, peer->name, NULL, peer, error)) return NULL;
    }
    (void)!send_option(c, VIT_NBD_OPT_ABORT, NULL, 0, NULL);
    return g_steal_pointer(&list);
}
