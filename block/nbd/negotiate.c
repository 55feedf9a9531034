/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/negotiate.c - the server's side of the fixed newstyle handshake (doc/proto.md,
 * "Newstyle negotiation"); the oldstyle is not served */
#include "block/nbd/connection.h"
#include "block/objects/tls.h"

#include <errno.h>
#include <string.h>

typedef enum { GO_ON, CHOSEN, LEAVE } Step;

/* ---- replies --------------------------------------------------------------------------------- */

static bool reply(VitNbdConnection *c, uint32_t option, uint32_t type, const void *data,
                  uint32_t size)
{
    g_autofree uint8_t *buf = g_malloc(20 + (size_t)size);
    uint8_t *p = vit_nbd_put64(buf, VIT_NBD_REPLY_MAGIC);

    p = vit_nbd_put32(p, option);
    p = vit_nbd_put32(p, type);
    p = vit_nbd_put32(p, size);
    if (size > 0) memcpy(p, data, size);
    return vit_nbd_channel_write(c->channel, buf, 20 + (size_t)size) == 0;
}

static bool acknowledge(VitNbdConnection *c, uint32_t option)
{
    return reply(c, option, VIT_NBD_REP_ACK, NULL, 0);
}

static Step refuse(VitNbdConnection *c, uint32_t option, uint32_t why, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static Step refuse(VitNbdConnection *c, uint32_t option, uint32_t why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return reply(c, option, why, text, (uint32_t)MIN(strlen(text), VIT_NBD_MAX_STRING)) ? GO_ON
                                                                                        : LEAVE;
}

/* ---- what is known of an export -------------------------------------------------------------- */

static uint16_t flags_of(const VitNbdConnection *c, uint32_t option, const VitNbdExport *e)
{
    unsigned flags = VIT_NBD_HAS_FLAGS | VIT_NBD_SEND_FLUSH | VIT_NBD_SEND_FUA | VIT_NBD_SEND_CACHE;

    if (e->parent.writable)
        flags |= VIT_NBD_SEND_TRIM | VIT_NBD_SEND_WRITE_ZEROES | VIT_NBD_SEND_FAST_ZERO;
    else flags |= VIT_NBD_READ_ONLY;
    /* All connections end at one node on one thread: a flush covers what any of them has written.
     */
    if (vit_nbd_server_multi_conn(c->server)) flags |= VIT_NBD_CAN_MULTI_CONN;
    if (c->structured || c->extended) flags |= VIT_NBD_SEND_DF;
    if (c->extended && (c->contexts_of == e || option == VIT_NBD_OPT_INFO))
        flags |= VIT_NBD_BLOCK_STATUS_PAYLOAD;
    return (uint16_t)flags;
}

static bool send_export(VitNbdConnection *c, uint32_t option, const VitNbdExport *e)
{
    uint8_t data[12], *p = vit_nbd_put16(data, VIT_NBD_INFO_EXPORT);

    p = vit_nbd_put64(p, vit_block_info(e->parent.node).size);
    vit_nbd_put16(p, flags_of(c, option, e));
    return reply(c, option, VIT_NBD_REP_INFO, data, sizeof data);
}

static bool send_block_size(VitNbdConnection *c, uint32_t option, const VitNbdExport *e, bool asked)
{
    uint8_t data[14], *p = vit_nbd_put16(data, VIT_NBD_INFO_BLOCK_SIZE);

    p = vit_nbd_put32(p, asked ? e->min_block : 1);
    p = vit_nbd_put32(p, MAX(4096, vit_block_info(e->parent.node).request_alignment));
    vit_nbd_put32(p, VIT_NBD_MAX_PAYLOAD);
    return reply(c, option, VIT_NBD_REP_INFO, data, sizeof data);
}

static bool send_text(VitNbdConnection *c, uint32_t option, uint16_t kind, const char *text)
{
    size_t size = strlen(text);
    g_autofree uint8_t *data = g_malloc(size + 2);

    memcpy(vit_nbd_put16(data, kind), text, size);
    return reply(c, option, VIT_NBD_REP_INFO, data, (uint32_t)size + 2);
}

/* ---- options --------------------------------------------------------------------------------- */

typedef struct { /* the data of an option that has not been looked at */
    const uint8_t *p;
    size_t left;
} Data;

static bool take16(Data *d, uint16_t *value)
{
    if (d->left < 2) return false;
    *value = vit_nbd_get16(d->p);
    d->p += 2;
    d->left -= 2;
    return true;
}

/* A length and that many bytes of text (owned by the caller); NULL: malformed. */
static char *take_string(Data *d)
{
    if (d->left < 4) return NULL;
    uint32_t size = vit_nbd_get32(d->p);
    if (size > d->left - 4 || size > VIT_NBD_MAX_STRING) return NULL;
    const char *text = (const char *)d->p + 4;
    if (memchr(text, 0, size)) return NULL;
    d->p += 4 + size;
    d->left -= 4 + size;
    return g_strndup(text, size);
}

/* From here on the connection is told of the export's end. */
static void choose(VitNbdConnection *c, VitNbdExport *e)
{
    if (c->contexts_of != e) { /* contexts of another export do not count */
        c->allocation = c->depth = false;
        g_array_set_size(c->bitmaps, 0);
    }
    c->export = e;
    g_queue_push_tail(&e->connections, c);
}

static Step on_export_name(VitNbdConnection *c, Data data)
{
    static const uint8_t padding[124];
    uint8_t buf[10 + sizeof padding] = { 0 };

    if (data.left > VIT_NBD_MAX_STRING || c->extended) return LEAVE;
    g_autofree char *name = g_strndup((const char *)data.p, data.left);
    VitNbdExport *e = vit_nbd_server_find(c->server, name);
    if (!e) return LEAVE; /* there is no way to say why */
    vit_nbd_put16(vit_nbd_put64(buf, vit_block_info(e->parent.node).size),
                  flags_of(c, VIT_NBD_OPT_EXPORT_NAME, e));
    choose(c, e);
    size_t size = c->no_zeroes ? 10 : sizeof buf;
    return vit_nbd_channel_write(c->channel, buf, size) == 0 ? CHOSEN : LEAVE;
}

static Step on_list(VitNbdConnection *c, Data data)
{
    GPtrArray *exports = vit_nbd_server_exports(c->server);

    if (data.left > 0)
        return refuse(c, VIT_NBD_OPT_LIST, VIT_NBD_REP_ERR_INVALID, "option list has data");
    for (guint i = 0; i < exports->len; i++) { /* sending waits: the list may change */
        const VitNbdExport *e = exports->pdata[i];
        g_autoptr(GByteArray) entry = g_byte_array_new();
        uint8_t length[4];
        vit_nbd_put32(length, (uint32_t)strlen(e->name));
        g_byte_array_append(entry, length, sizeof length);
        g_byte_array_append(entry, (const uint8_t *)e->name, (guint)strlen(e->name));
        if (e->description)
            g_byte_array_append(entry, (const uint8_t *)e->description,
                                (guint)strlen(e->description));
        if (!reply(c, VIT_NBD_OPT_LIST, VIT_NBD_REP_SERVER, entry->data, entry->len)) return LEAVE;
    }
    return acknowledge(c, VIT_NBD_OPT_LIST) ? GO_ON : LEAVE;
}

static Step on_info(VitNbdConnection *c, uint32_t option, Data data)
{
    unsigned asked = 0;
    uint16_t count, kind;
    g_autofree char *name = take_string(&data);

    if (!name || !take16(&data, &count) || data.left != 2u * count)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "malformed request for information");
    while (take16(&data, &kind)) asked |= kind < 16 ? 1u << kind : 0;
    VitNbdExport *e = vit_nbd_server_find(c->server, name);
    if (!e) return refuse(c, option, VIT_NBD_REP_ERR_UNKNOWN, "export '%s' not present", name);
    bool sizes = asked & 1u << VIT_NBD_INFO_BLOCK_SIZE;
    if (option == VIT_NBD_OPT_INFO && !sizes && e->min_block > 1)
        return refuse(c, option, VIT_NBD_REP_ERR_BLOCK_SIZE_REQD,
                      "ask for the block size to learn about this export");
    /* Each reply may wait, and the export be gone meanwhile. */
    bool good = !(asked & 1u << VIT_NBD_INFO_NAME) || send_text(c, option, VIT_NBD_INFO_NAME, name);
    if (good && (e = vit_nbd_server_find(c->server, name)) && e->description &&
        (asked & 1u << VIT_NBD_INFO_DESCRIPTION))
        good = send_text(c, option, VIT_NBD_INFO_DESCRIPTION, e->description);
    if (good && (e = vit_nbd_server_find(c->server, name)))
        good = send_block_size(c, option, e, sizes);
    if (good && (e = vit_nbd_server_find(c->server, name))) good = send_export(c, option, e);
    if (!good) return LEAVE;
    if (option == VIT_NBD_OPT_GO) {
        if (!(e = vit_nbd_server_find(c->server, name)))
            return refuse(c, option, VIT_NBD_REP_ERR_UNKNOWN, "export '%s' not present", name);
        choose(c, e);
    }
    if (!acknowledge(c, option)) return LEAVE;
    return option == VIT_NBD_OPT_GO ? CHOSEN : GO_ON;
}

static bool send_context(VitNbdConnection *c, uint32_t option, uint32_t id, const char *name)
{
    size_t size = strlen(name);
    g_autofree uint8_t *data = g_malloc(size + 4);

    memcpy(vit_nbd_put32(data, option == VIT_NBD_OPT_SET_META_CONTEXT ? id : 0), name, size);
    return reply(c, option, VIT_NBD_REP_META_CONTEXT, data, (uint32_t)size + 4);
}

typedef struct {
    bool allocation, depth;
    GArray *bitmaps;
} Contexts;

static void choose_bitmap(Contexts *to, unsigned index)
{
    for (guint i = 0; i < to->bitmaps->len; i++)
        if (g_array_index(to->bitmaps, unsigned, i) == index) return;
    g_array_append_val(to->bitmaps, index);
}

/* What a query means; when listing, a name that ends in a colon means all that begin with it. */
static void match(const VitNbdExport *e, const char *query, bool list, Contexts *to)
{
    static const char bitmap[] = "qemu:dirty-bitmap:";
    bool all_qemu = list && strcmp(query, "qemu:") == 0;

    if (strcmp(query, "base:allocation") == 0 || (list && strcmp(query, "base:") == 0))
        to->allocation = true;
    if (e->allocation_depth && (strcmp(query, "qemu:allocation-depth") == 0 || all_qemu))
        to->depth = true;
    for (guint i = 0; i < e->bitmaps->len; i++) {
        if (all_qemu || (list && strcmp(query, bitmap) == 0) ||
            (g_str_has_prefix(query, bitmap) &&
             strcmp(query + strlen(bitmap), e->bitmap_names->pdata[i]) == 0))
            choose_bitmap(to, i);
    }
}

static Step on_contexts(VitNbdConnection *c, uint32_t option, Data data)
{
    bool list = option == VIT_NBD_OPT_LIST_META_CONTEXT;
    g_autoptr(GArray) bitmaps = g_array_new(FALSE, FALSE, sizeof(unsigned));
    Contexts found = { .bitmaps = bitmaps };

    if (!list) {
        c->contexts_of = NULL;
        c->allocation = c->depth = false;
        g_array_set_size(c->bitmaps, 0);
    }
    if (!c->structured && !c->extended)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID,
                      "request option '%s' when structured reply is not negotiated",
                      list ? "list meta context" : "set meta context");
    g_autofree char *name = take_string(&data);
    if (!name || data.left < 4)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "malformed request for contexts");
    uint32_t queries = vit_nbd_get32(data.p);
    data = (Data){ data.p + 4, data.left - 4 };
    VitNbdExport *e = vit_nbd_server_find(c->server, name);
    if (!e) return refuse(c, option, VIT_NBD_REP_ERR_UNKNOWN, "export '%s' not present", name);
    if (list && queries == 0) {
        match(e, "base:", true, &found);
        match(e, "qemu:", true, &found);
    }
    for (uint32_t i = 0; i < queries; i++) { /* each takes 4 bytes of data at least */
        g_autofree char *query = take_string(&data);
        if (!query)
            return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "malformed query for contexts");
        match(e, query, list, &found);
    }
    if (data.left > 0)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "bytes are left after the queries");
    if (!list) {
        c->contexts_of = e;
        c->allocation = found.allocation;
        c->depth = found.depth;
        g_array_append_vals(c->bitmaps, bitmaps->data, bitmaps->len);
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < bitmaps->len; i++)
        g_ptr_array_add(names,
                        g_strdup(e->bitmap_names->pdata[g_array_index(bitmaps, unsigned, i)]));
    /* e is not used from here on: sending waits. */
    if (found.allocation &&
        !send_context(c, option, vit_nbd_context_id(VIT_NBD_CONTEXT_ALLOCATION, 0),
                      "base:allocation"))
        return LEAVE;
    if (found.depth && !send_context(c, option, vit_nbd_context_id(VIT_NBD_CONTEXT_DEPTH, 0),
                                     "qemu:allocation-depth"))
        return LEAVE;
    for (guint i = 0; i < bitmaps->len; i++) {
        g_autofree char *text = g_strconcat("qemu:dirty-bitmap:", names->pdata[i], NULL);
        unsigned index = g_array_index(bitmaps, unsigned, i);
        if (!send_context(c, option, vit_nbd_context_id(VIT_NBD_CONTEXT_BITMAP, index), text))
            return LEAVE;
    }
    return acknowledge(c, option) ? GO_ON : LEAVE;
}

static Step on_start_tls(VitNbdConnection *c, Data data)
{
    VitBlockObject *creds = vit_nbd_server_tls(c->server);
    gnutls_session_t session;
    g_autoptr(GError) why = NULL;

    if (data.left > 0)
        return refuse(c, VIT_NBD_OPT_STARTTLS, VIT_NBD_REP_ERR_INVALID, "option starttls has data");
    if (!creds)
        return refuse(c, VIT_NBD_OPT_STARTTLS, VIT_NBD_REP_ERR_POLICY, "TLS not configured");
    if (vit_nbd_channel_tls(c->channel))
        return refuse(c, VIT_NBD_OPT_STARTTLS, VIT_NBD_REP_ERR_INVALID, "TLS already enabled");
    if (!vit_block_tls_session_new(creds, GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL, NULL, &session, &why))
        return refuse(c, VIT_NBD_OPT_STARTTLS, VIT_NBD_REP_ERR_PLATFORM, "%s", why->message);
    if (!acknowledge(c, VIT_NBD_OPT_STARTTLS)) {
        gnutls_deinit(session);
        return LEAVE;
    }
    if (!vit_nbd_channel_start_tls(c->channel, session, &why) ||
        !vit_block_tls_verify(creds, session, NULL, NULL, &why))
        return LEAVE;
    c->structured = c->extended = c->allocation = c->depth = false; /* nothing said before counts */
    c->contexts_of = NULL;
    g_array_set_size(c->bitmaps, 0);
    return GO_ON;
}

static Step on_plain(VitNbdConnection *c, uint32_t option, Data data)
{
    bool extended = option == VIT_NBD_OPT_EXTENDED_HEADERS;

    if (data.left > 0)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "option has data that it does not take");
    if (extended ? c->extended : c->structured)
        return refuse(c, option, VIT_NBD_REP_ERR_INVALID, "negotiated before");
    if (!extended && c->extended)
        return refuse(c, option, VIT_NBD_REP_ERR_EXT_HEADER_REQD,
                      "extended headers negotiated before");
    if (extended) c->extended = true;
    else c->structured = true;
    return acknowledge(c, option) ? GO_ON : LEAVE;
}

static Step on_option(VitNbdConnection *c, uint32_t option, Data data)
{
    bool needs_tls = vit_nbd_server_tls(c->server) && !vit_nbd_channel_tls(c->channel);

    if (option == VIT_NBD_OPT_ABORT) {
        (void)!acknowledge(c, option); /* it may not wait for that */
        return LEAVE;
    }
    if (option == VIT_NBD_OPT_EXPORT_NAME) return needs_tls ? LEAVE : on_export_name(c, data);
    if (!c->fixed) return LEAVE;
    if (needs_tls && option != VIT_NBD_OPT_STARTTLS)
        return refuse(c, option, VIT_NBD_REP_ERR_TLS_REQD, "Option 0x%x not permitted before TLS",
                      option);
    switch (option) {
    case VIT_NBD_OPT_LIST: return on_list(c, data);
    case VIT_NBD_OPT_STARTTLS: return on_start_tls(c, data);
    case VIT_NBD_OPT_INFO:
    case VIT_NBD_OPT_GO: return on_info(c, option, data);
    case VIT_NBD_OPT_STRUCTURED_REPLY:
    case VIT_NBD_OPT_EXTENDED_HEADERS: return on_plain(c, option, data);
    case VIT_NBD_OPT_LIST_META_CONTEXT:
    case VIT_NBD_OPT_SET_META_CONTEXT: return on_contexts(c, option, data);
    default: return refuse(c, option, VIT_NBD_REP_ERR_UNSUP, "Unsupported option %u", option);
    }
}

bool vit_co_nbd_negotiate(VitNbdConnection *c)
{
    uint8_t greeting[18], flags[4], header[16];
    Step step = GO_ON;

    vit_nbd_put16(vit_nbd_put64(vit_nbd_put64(greeting, VIT_NBD_MAGIC), VIT_NBD_OPTION_MAGIC),
                  VIT_NBD_FIXED_NEWSTYLE | VIT_NBD_NO_ZEROES);
    if (vit_nbd_channel_write(c->channel, greeting, sizeof greeting) < 0 ||
        vit_nbd_channel_read(c->channel, flags, sizeof flags) < 0)
        return false;
    uint32_t chosen = vit_nbd_get32(flags);
    if (chosen & ~(uint32_t)(VIT_NBD_FIXED_NEWSTYLE | VIT_NBD_NO_ZEROES)) return false;
    c->fixed = chosen & VIT_NBD_FIXED_NEWSTYLE;
    c->no_zeroes = chosen & VIT_NBD_NO_ZEROES;
    for (unsigned i = 0; i < VIT_NBD_MAX_OPTIONS && step == GO_ON; i++) {
        if (vit_nbd_channel_read(c->channel, header, sizeof header) < 0) return false;
        uint32_t option = vit_nbd_get32(header + 8), size = vit_nbd_get32(header + 12);
        if (vit_nbd_get64(header) != VIT_NBD_OPTION_MAGIC || size > VIT_NBD_MAX_PAYLOAD)
            return false;
        if (size > VIT_NBD_MAX_OPTION_SIZE) {
            if (vit_nbd_channel_skip(c->channel, size) < 0) return false;
            step = refuse(c, option, VIT_NBD_REP_ERR_TOO_BIG, "the option's data is too long");
            continue;
        }
        g_autofree uint8_t *data = g_malloc((size_t)size + 1);
        if (vit_nbd_channel_read(c->channel, data, size) < 0) return false;
        step = on_option(c, option, (Data){ data, size });
    }
    return step == CHOSEN;
}
