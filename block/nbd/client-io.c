/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/client-io.c - requests to an NBD server and its replies (doc/proto.md, "Transmission")
 *
 * Data go from and to the memory of the requests without a copy.  Replies are not trusted: their
 * lengths and offsets must lie in the request that they answer. */
#include "block/nbd/client-private.h"

#include <errno.h>
#include <string.h>

/* ---- calls ----------------------------------------------------------------------------------- */

VitNbdCall *vit_nbd_call_new(VitNbdClient *client, uint16_t type, uint64_t offset, uint64_t bytes)
{
    VitNbdCall *call = g_new0(VitNbdCall, 1);

    call->client = client;
    call->type = type;
    call->offset = offset;
    call->bytes = bytes;
    call->cookie = client->next_cookie++;
    return call;
}

static void end_call(VitNbdCall *call, int result)
{
    VitNbdClient *client = call->client;

    g_hash_table_remove(client->calls, &call->cookie);
    if (result == 0 && call->then_flush) { /* the same call goes on as a flush */
        call->then_flush = false;
        call->type = VIT_NBD_CMD_FLUSH;
        call->flags = 0;
        call->offset = call->bytes = 0;
        call->niov = 0;
        call->error = 0;
        call->replied = false;
        call->cookie = client->next_cookie++;
        vit_nbd_call_start(call);
        return;
    }
    call->done(call, result);
}

static void message_left(VitNbdMessage *message, int result)
{
    VitNbdCall *call = (VitNbdCall *)message;

    call->sending = false;
    if (call->replied) end_call(call, call->error);
}

static void send_call(VitNbdCall *call)
{
    VitNbdClient *client = call->client;
    bool extended = client->peer.extended;
    unsigned flags = call->flags;

    if (extended && call->type == VIT_NBD_CMD_WRITE) flags |= VIT_NBD_FLAG_PAYLOAD_LEN;
    uint8_t *head = call->message.head;
    uint8_t *p = vit_nbd_put32(head, extended ? VIT_NBD_EXTENDED_REQUEST : VIT_NBD_REQUEST);
    p = vit_nbd_put16(vit_nbd_put16(p, (uint16_t)flags), call->type);
    p = vit_nbd_put64(vit_nbd_put64(p, call->cookie), call->offset);
    p = extended ? vit_nbd_put64(p, call->bytes) : vit_nbd_put32(p, (uint32_t)call->bytes);
    call->message.head_size = (size_t)(p - head);
    call->message.iov = call->iov;
    call->message.niov = call->type == VIT_NBD_CMD_WRITE ? call->niov : 0;
    call->message.done = message_left;
    call->received = 0;
    call->extent_bytes = 0;
    call->sending = true;
    vit_nbd_channel_send(client->channel, &call->message, g_hash_table_size(client->calls) == 1);
}

typedef struct {
    VitNbdCall *call;
    int result;
} Later;

static void end_later(void *opaque)
{
    Later later = *(Later *)opaque;

    g_free(opaque);
    later.call->done(later.call, later.result);
}

void vit_nbd_call_start(VitNbdCall *call)
{
    VitNbdClient *client = call->client;

    if (!client->channel && !client->patient) {
        Later *later = g_new(Later, 1);
        *later = (Later){ call, -EIO };
        vit_io_thread_call(client->parent.thread, end_later, later);
        return;
    }
    g_hash_table_insert(client->calls, &call->cookie, call);
    if (client->channel) send_call(call);
}

void vit_nbd_client_resend(VitNbdClient *client)
{
    g_autoptr(GList) calls = g_hash_table_get_values(client->calls);

    for (GList *l = calls; l; l = l->next) {
        VitNbdCall *call = l->data;
        call->replied = false;
        call->error = 0;
        if (!call->sending) send_call(call);
    }
}

void vit_nbd_client_fail(VitNbdClient *client, int error)
{
    g_autoptr(GList) calls = g_hash_table_get_values(client->calls);

    for (GList *l = calls; l; l = l->next) {
        VitNbdCall *call = l->data;
        call->then_flush = false;
        call->error = error;
        call->replied = true;
        if (!call->sending) end_call(call, error);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

typedef struct {
    bool simple, done;
    uint16_t type;
    uint64_t cookie, length;
    uint32_t error;
} Header;

static int errno_of(uint32_t error)
{
    switch (error) {
    case 0: return 0;
    case VIT_NBD_EPERM: return -EPERM;
    case VIT_NBD_ENOMEM: return -ENOMEM;
    case VIT_NBD_EINVAL: return -EINVAL;
    case VIT_NBD_ENOSPC: return -ENOSPC;
    case VIT_NBD_EOVERFLOW: return -EOVERFLOW;
    case VIT_NBD_ENOTSUP: return -ENOTSUP;
    case VIT_NBD_ESHUTDOWN: return -ESHUTDOWN;
    default: return -EIO;
    }
}

static int read_header(VitNbdClient *client, Header *h)
{
    VitNbdChannel *c = client->channel;
    uint8_t buf[32];
    int result = vit_nbd_channel_read(c, buf, 4);

    if (result < 0) return result;
    uint32_t magic = vit_nbd_get32(buf);
    *h = (Header){ .simple = magic == VIT_NBD_SIMPLE_REPLY };
    size_t size;
    if (magic == VIT_NBD_SIMPLE_REPLY && !client->peer.extended) size = 16;
    else if (magic == VIT_NBD_STRUCTURED_REPLY && client->peer.structured && !client->peer.extended)
        size = 20;
    else if (magic == VIT_NBD_EXTENDED_REPLY && client->peer.extended) size = 32;
    else return -EPROTO;
    if ((result = vit_nbd_channel_read(c, buf + 4, size - 4)) < 0) return result;
    if (h->simple) {
        h->done = true;
        h->error = vit_nbd_get32(buf + 4);
        h->cookie = vit_nbd_get64(buf + 8);
        return 0;
    }
    h->done = vit_nbd_get16(buf + 4) & VIT_NBD_CHUNK_DONE;
    h->type = vit_nbd_get16(buf + 6);
    h->cookie = vit_nbd_get64(buf + 8);
    h->length = size == 20 ? vit_nbd_get32(buf + 16) : vit_nbd_get64(buf + 24);
    return 0;
}

/* Bytes [at, at + bytes) of a READ come next on the wire. */
static int read_data(VitNbdClient *client, VitNbdCall *call, uint64_t at, uint64_t bytes)
{
    g_autofree struct iovec *part = g_new(struct iovec, (size_t)call->niov + 1);
    int n = vit_iov_slice(call->iov, call->niov, at, bytes, part);

    call->received += bytes;
    return vit_nbd_channel_readv(client->channel, part, n);
}

static bool inside(const VitNbdCall *call, uint64_t offset, uint64_t bytes)
{
    return call->type == VIT_NBD_CMD_READ && offset >= call->offset && bytes > 0 &&
           bytes <= call->bytes && offset - call->offset <= call->bytes - bytes;
}

static int take_data(VitNbdClient *client, VitNbdCall *call, const Header *h)
{
    uint8_t buf[8];

    if (h->length <= 8) return -EPROTO;
    int result = vit_nbd_channel_read(client->channel, buf, sizeof buf);
    if (result < 0) return result;
    uint64_t offset = vit_nbd_get64(buf), bytes = h->length - 8;
    return inside(call, offset, bytes) ? read_data(client, call, offset - call->offset, bytes)
                                       : -EPROTO;
}

static int take_hole(VitNbdClient *client, VitNbdCall *call, const Header *h)
{
    uint8_t buf[12];

    if (h->length != sizeof buf) return -EPROTO;
    int result = vit_nbd_channel_read(client->channel, buf, sizeof buf);
    if (result < 0) return result;
    uint64_t offset = vit_nbd_get64(buf), bytes = vit_nbd_get32(buf + 8);
    if (!inside(call, offset, bytes)) return -EPROTO;
    vit_iov_zero(call->iov, call->niov, offset - call->offset, bytes);
    call->received += bytes;
    return 0;
}

static int take_status(VitNbdClient *client, VitNbdCall *call, const Header *h)
{
    bool wide = h->type == VIT_NBD_CHUNK_STATUS_EXT;
    uint8_t buf[24];
    size_t fixed = wide ? 8 : 4, each = wide ? 16 : 8;

    if (wide != client->peer.extended || call->type != VIT_NBD_CMD_BLOCK_STATUS ||
        h->length < fixed + each || h->length > VIT_NBD_MAX_STATUS)
        return -EPROTO;
    int result = vit_nbd_channel_read(client->channel, buf, fixed + each);
    if (result == 0) result = vit_nbd_channel_skip(client->channel, h->length - fixed - each);
    if (result < 0) return result;
    if (vit_nbd_get32(buf) != client->peer.context_id) return 0;
    const uint8_t *p = buf + fixed;
    call->extent_bytes = wide ? vit_nbd_get64(p) : vit_nbd_get32(p);
    call->extent_flags = wide ? vit_nbd_get64(p + 8) : vit_nbd_get32(p + 4);
    return call->extent_bytes > 0 ? 0 : -EPROTO;
}

static int take_error(VitNbdClient *client, VitNbdCall *call, const Header *h)
{
    uint8_t buf[4];

    if (h->length < 6 || h->length > VIT_NBD_MAX_STRING + 64) return -EPROTO;
    int result = vit_nbd_channel_read(client->channel, buf, sizeof buf);
    if (result == 0) result = vit_nbd_channel_skip(client->channel, h->length - sizeof buf);
    if (result == 0 && !call->error) call->error = errno_of(vit_nbd_get32(buf)) ?: -EIO;
    return result;
}

static int take_chunk(VitNbdClient *client, VitNbdCall *call, const Header *h)
{
    if (h->simple) {
        call->error = errno_of(h->error);
        if (call->type != VIT_NBD_CMD_READ || call->error) return 0;
        return client->peer.structured ? -EPROTO : read_data(client, call, 0, call->bytes);
    }
    switch (h->type) {
    case VIT_NBD_CHUNK_NONE: return h->length == 0 && h->done ? 0 : -EPROTO;
    case VIT_NBD_CHUNK_DATA: return take_data(client, call, h);
    case VIT_NBD_CHUNK_HOLE: return take_hole(client, call, h);
    case VIT_NBD_CHUNK_STATUS:
    case VIT_NBD_CHUNK_STATUS_EXT: return take_status(client, call, h);
    default: return h->type & 0x8000 ? take_error(client, call, h) : -EPROTO;
    }
}

int vit_co_nbd_client_receive(VitNbdClient *client)
{
    Header h;

    for (;;) {
        int result = read_header(client, &h);
        if (result < 0) return result;
        VitNbdCall *call = g_hash_table_lookup(client->calls, &h.cookie);
        if (!call || call->replied) return -EPROTO;
        if ((result = take_chunk(client, call, &h)) < 0) return result;
        if (!h.done) continue;
        if (!call->error && call->type == VIT_NBD_CMD_READ && call->received != call->bytes)
            call->error = -EIO;
        if (!call->error && call->type == VIT_NBD_CMD_BLOCK_STATUS && call->extent_bytes == 0)
            call->error = -EIO;
        call->replied = true;
        if (!call->sending) end_call(call, call->error);
    }
}
