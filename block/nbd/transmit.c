/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/transmit.c - the server's transmission phase (doc/proto.md, "Transmission")
 *
 * The connection's fiber reads requests; most go to the node without a fiber of their own, and
 * their replies leave straight from the buffers that the node has filled. */
#include "block/driver.h"
#include "block/nbd/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_ALIGN = 4096,
    MAX_SPARES = 64,
    KEPT_BUFFER = 256 << 10,
    CACHE_PIECE = 1 << 20,
    ZERO_STEP = 512, /* zeroes at the ends of a read are looked for in such steps */
    HOLE_CHUNK = 32 + 12, /* at most */
};

typedef struct {
    uint16_t flags, type;
    uint64_t cookie, offset, length;
    bool payload; /* `length` bytes follow */
} Request;

struct VitNbdJob { /* a request in flight, until its reply has left */
    VitBlockRequest req;
    VitNbdMessage message;
    VitNbdConnection *conn; /* borrowed */
    Request request;
    uint8_t *buf; /* owned, BUFFER_ALIGN */
    size_t room; /* bytes of buf */
    uint64_t charged; /* to the connection's memory */
    struct iovec iov[2];
    uint8_t last_hole[HOLE_CHUNK]; /* what iov[1] has: after data */
    GByteArray *status; /* owned; NULL: none */
    GArray *only; /* owned, of uint32_t; NULL: all contexts */
    bool flushing;
    VitNbdJob *next;
};

/* ---- jobs ------------------------------------------------------------------------------------ */

static void free_job(VitNbdJob *job)
{
    VitNbdConnection *c = job->conn;

    c->in_flight--;
    c->memory -= job->charged;
    g_clear_pointer(&job->status, g_byte_array_unref);
    g_clear_pointer(&job->only, g_array_unref);
    if (c->spares < MAX_SPARES && job->room <= KEPT_BUFFER) {
        job->next = c->spare;
        c->spare = job;
        c->spares++;
    } else {
        free(job->buf);
        g_free(job);
    }
    vit_fiber_cond_wake_all(&c->room);
}

static VitNbdJob *new_job(VitNbdConnection *c, const Request *request)
{
    VitNbdJob *job = c->spare;

    if (job) {
        c->spare = job->next;
        c->spares--;
        uint8_t *buf = job->buf;
        size_t room = job->room;
        memset(job, 0, sizeof *job);
        job->buf = buf;
        job->room = room;
    } else {
        job = g_new0(VitNbdJob, 1);
    }
    job->conn = c;
    job->request = *request;
    c->in_flight++;
    return job;
}

/* Room for size bytes; waits while the connection's requests hold too much. */
static bool take_buffer(VitNbdJob *job, size_t size)
{
    VitNbdConnection *c = job->conn;

    if (job->room < size) {
        free(job->buf);
        job->room = (size + BUFFER_ALIGN - 1) & ~(size_t)(BUFFER_ALIGN - 1);
        job->buf = aligned_alloc(BUFFER_ALIGN, job->room);
        if (!job->buf) job->room = 0;
    }
    job->charged = size;
    c->memory += size;
    return job->buf != NULL;
}

/* ---- replies --------------------------------------------------------------------------------- */

static uint32_t error_of(int result)
{
    switch (-result) {
    case 0: return 0;
    case EPERM:
    case EROFS:
    case EACCES: return VIT_NBD_EPERM;
    case ENOMEM: return VIT_NBD_ENOMEM;
    case EINVAL: return VIT_NBD_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return VIT_NBD_ENOSPC;
    case EOVERFLOW: return VIT_NBD_EOVERFLOW;
    case ENOTSUP: return VIT_NBD_ENOTSUP;
    case ESHUTDOWN: return VIT_NBD_ESHUTDOWN;
    default: return VIT_NBD_EIO;
    }
}

size_t vit_nbd_put_chunk(const VitNbdConnection *c, uint8_t *to, unsigned flags, unsigned type,
                         uint64_t cookie, uint64_t offset, uint64_t length)
{
    uint8_t *p = vit_nbd_put32(to, c->extended ? VIT_NBD_EXTENDED_REPLY : VIT_NBD_STRUCTURED_REPLY);

    p = vit_nbd_put16(p, (uint16_t)flags);
    p = vit_nbd_put16(p, (uint16_t)type);
    p = vit_nbd_put64(p, cookie);
    if (c->extended) p = vit_nbd_put64(vit_nbd_put64(p, offset), length);
    else p = vit_nbd_put32(p, (uint32_t)length);
    return (size_t)(p - to);
}

static void reply_left(VitNbdMessage *message, int result)
{
    free_job((VitNbdJob *)((char *)message - offsetof(VitNbdJob, message)));
}

static void send_reply(VitNbdJob *job)
{
    VitNbdConnection *c = job->conn;

    job->message.done = reply_left;
    vit_nbd_channel_send(c->channel, &job->message, c->in_flight == 1);
}

static void reply_simple(VitNbdJob *job, uint32_t error)
{
    uint8_t *p = vit_nbd_put32(job->message.head, VIT_NBD_SIMPLE_REPLY);

    vit_nbd_put64(vit_nbd_put32(p, error), job->request.cookie);
    job->message.head_size = 16;
}

static void reply_status(VitNbdJob *job, uint32_t error, const char *text)
{
    VitNbdConnection *c = job->conn;
    const Request *r = &job->request;
    uint8_t *head = job->message.head;

    job->message.niov = 0;
    if (!c->structured && !c->extended) {
        reply_simple(job, error);
    } else if (!error) {
        job->message.head_size = vit_nbd_put_chunk(c, head, VIT_NBD_CHUNK_DONE, VIT_NBD_CHUNK_NONE,
                                                   r->cookie, r->offset, 0);
    } else {
        size_t size = text ? strlen(text) : 0;
        size_t n = vit_nbd_put_chunk(c, head, VIT_NBD_CHUNK_DONE, VIT_NBD_CHUNK_ERROR, r->cookie,
                                     r->offset, 6 + size);
        vit_nbd_put16(vit_nbd_put32(head + n, error), (uint16_t)size);
        job->message.head_size = n + 6;
        job->iov[0] = (struct iovec){ (void *)text, size };
        job->message.iov = job->iov;
        job->message.niov = size > 0;
    }
    send_reply(job);
}

/* A chunk that says: zeroes; returns its size. */
static size_t put_hole(const VitNbdJob *job, uint8_t *to, bool last, uint64_t offset, uint64_t size)
{
    const Request *r = &job->request;
    size_t n = vit_nbd_put_chunk(job->conn, to, last ? VIT_NBD_CHUNK_DONE : 0, VIT_NBD_CHUNK_HOLE,
                                 r->cookie, r->offset, 12);

    vit_nbd_put32(vit_nbd_put64(to + n, offset), (uint32_t)size);
    return n + 12;
}

/* Zeroes at both ends travel as holes, unless the client wants one piece (DF). */
static void reply_chunks(VitNbdJob *job)
{
    const Request *r = &job->request;
    VitNbdMessage *m = &job->message;
    uint64_t before = 0, data = r->length;
    bool whole = r->flags & VIT_NBD_FLAG_DF;

    if (whole && vit_block_is_zero(job->buf, data)) before = data;
    while (!whole && before < r->length &&
           vit_block_is_zero(job->buf + before, MIN(ZERO_STEP, r->length - before)))
        before += MIN(ZERO_STEP, r->length - before);
    if (before == r->length) {
        m->head_size = put_hole(job, m->head, true, r->offset, r->length);
        m->niov = 0;
        return;
    }
    data -= before;
    while (!whole && vit_block_is_zero(job->buf + before + (data - 1) / ZERO_STEP * ZERO_STEP,
                                       (data - 1) % ZERO_STEP + 1))
        data -= (data - 1) % ZERO_STEP + 1;
    uint64_t after = r->length - before - data;
    if (after < ZERO_STEP) {
        data += after;
        after = 0;
    }
    uint8_t *head = m->head;
    if (before > 0) head += put_hole(job, head, false, r->offset, before);
    head += vit_nbd_put_chunk(job->conn, head, after > 0 ? 0 : VIT_NBD_CHUNK_DONE,
                              VIT_NBD_CHUNK_DATA, r->cookie, r->offset, 8 + data);
    m->head_size = (size_t)(vit_nbd_put64(head, r->offset + before) - m->head);
    job->iov[0] = (struct iovec){ job->buf + before, data };
    if (after > 0) {
        size_t n = put_hole(job, job->last_hole, true, r->offset + before + data, after);
        job->iov[m->niov++] = (struct iovec){ job->last_hole, n };
    }
}

static void reply_data(VitNbdJob *job)
{
    VitNbdConnection *c = job->conn;

    job->message.iov = job->iov;
    job->message.niov = 1;
    if (c->structured || c->extended) reply_chunks(job);
    else reply_simple(job, 0);
    send_reply(job);
}

/* ---- at work --------------------------------------------------------------------------------- */

static void request_done(VitBlockRequest *req)
{
    VitNbdJob *job = req->opaque;
    const Request *r = &job->request;

    if (req->result < 0) {
        reply_status(job, error_of(req->result), NULL);
    } else if (r->type == VIT_NBD_CMD_READ) {
        reply_data(job);
    } else if (r->type == VIT_NBD_CMD_TRIM && !job->flushing &&
               ((r->flags & VIT_NBD_FLAG_FUA) || job->conn->export->parent.writethrough)) {
        job->flushing = true;
        *req = (VitBlockRequest){ .op = VIT_BLOCK_FLUSH, .done = request_done, .opaque = job };
        vit_block_submit(job->conn->export->parent.node, req);
    } else {
        reply_status(job, 0, NULL);
    }
}

static void submit(VitNbdJob *job, VitBlockOp op, uint32_t flags)
{
    VitNbdConnection *c = job->conn;
    VitNbdExport *e = c->export;
    const Request *r = &job->request;

    if (!c->plugged) {
        c->plugged = true;
        vit_block_plug(e->parent.node);
    }
    if ((op == VIT_BLOCK_WRITE || op == VIT_BLOCK_WRITE_ZEROES) &&
        ((r->flags & VIT_NBD_FLAG_FUA) || e->parent.writethrough))
        flags |= VIT_BLOCK_FUA;
    job->iov[0] = (struct iovec){ job->buf, r->length };
    job->req = (VitBlockRequest){ .op = op,
                                  .flags = flags,
                                  .offset = r->offset,
                                  .bytes = r->length,
                                  .iov = job->iov,
                                  .niov = 1,
                                  .done = request_done,
                                  .opaque = job };
    vit_block_submit(e->parent.node, &job->req);
}

/* Before the fiber waits for input: what it has gathered starts now. */
static void unplug(void *opaque)
{
    VitNbdConnection *c = opaque;

    if (!c->plugged) return;
    c->plugged = false;
    vit_block_unplug(c->export->parent.node);
}

static void status_fiber(void *opaque)
{
    VitNbdJob *job = opaque;
    const Request *r = &job->request;

    job->status = g_byte_array_new();
    uint32_t error = vit_co_nbd_status(job->conn, r->cookie, r->offset, r->length,
                                       r->flags & VIT_NBD_FLAG_REQ_ONE, job->only, job->status);
    if (error) {
        reply_status(job, error, NULL);
        return;
    }
    job->iov[0] = (struct iovec){ job->status->data, job->status->len };
    job->message.iov = job->iov;
    job->message.niov = 1;
    send_reply(job);
}

/* Reads the stretch, so that it lies in the host's cache. */
static void cache_fiber(void *opaque)
{
    VitNbdJob *job = opaque;
    VitBlockNode *node = job->conn->export->parent.node;
    uint64_t offset = job->request.offset, left = job->request.length;
    int result = 0;

    while (left > 0 && result == 0) {
        uint64_t n = MIN(left, job->room);
        result = vit_co_read(node, offset, job->buf, n);
        offset += n;
        left -= n;
    }
    reply_status(job, error_of(result), NULL);
}

/* ---- requests -------------------------------------------------------------------------------- */

static unsigned flags_allowed(const VitNbdConnection *c, uint16_t type)
{
    unsigned fua = VIT_NBD_FLAG_FUA; /* accepted everywhere: it is offered */

    switch (type) {
    case VIT_NBD_CMD_READ: return fua | (c->structured || c->extended ? VIT_NBD_FLAG_DF : 0);
    case VIT_NBD_CMD_WRITE: return fua | (c->extended ? VIT_NBD_FLAG_PAYLOAD_LEN : 0);
    case VIT_NBD_CMD_WRITE_ZEROES: return fua | VIT_NBD_FLAG_NO_HOLE | VIT_NBD_FLAG_FAST_ZERO;
    case VIT_NBD_CMD_BLOCK_STATUS:
        return fua | VIT_NBD_FLAG_REQ_ONE | (c->extended ? VIT_NBD_FLAG_PAYLOAD_LEN : 0);
    default: return fua;
    }
}

/* NULL: fine; else *error and what to tell. */
static const char *wrong(const VitNbdConnection *c, const Request *r, uint32_t *error)
{
    const VitNbdExport *e = c->export;
    uint64_t size = vit_block_info(e->parent.node).size;
    bool writes = r->type == VIT_NBD_CMD_WRITE || r->type == VIT_NBD_CMD_WRITE_ZEROES ||
                  r->type == VIT_NBD_CMD_TRIM;

    *error = VIT_NBD_EINVAL;
    if (r->type > VIT_NBD_CMD_BLOCK_STATUS) return "unsupported command";
    if (r->flags & ~flags_allowed(c, r->type)) return "unsupported flags for this command";
    if (r->type == VIT_NBD_CMD_BLOCK_STATUS && c->contexts_of != e)
        return "no metadata context has been negotiated";
    if (r->type == VIT_NBD_CMD_BLOCK_STATUS && r->length == 0 && !r->payload)
        return "need a length of at least one byte";
    if (writes && !e->parent.writable) {
        *error = VIT_NBD_EPERM;
        return "the export is read-only";
    }
    if (r->type != VIT_NBD_CMD_FLUSH && !(r->payload && r->type == VIT_NBD_CMD_BLOCK_STATUS) &&
        (r->offset > size || r->length > size - r->offset)) {
        if (r->type == VIT_NBD_CMD_WRITE || r->type == VIT_NBD_CMD_WRITE_ZEROES)
            *error = VIT_NBD_ENOSPC;
        return "the operation reaches past the end of the export";
    }
    if ((r->type == VIT_NBD_CMD_READ || r->type == VIT_NBD_CMD_CACHE) &&
        r->length > VIT_NBD_MAX_PAYLOAD) {
        *error = VIT_NBD_EOVERFLOW;
        return "the request is longer than 32 MiB";
    }
    return NULL;
}

/* The contexts that an extended status request is limited to: 64 bits of length, then their ids. */
static bool read_only_list(VitNbdJob *job, uint32_t *error)
{
    VitNbdConnection *c = job->conn;
    Request *r = &job->request;
    uint64_t size = r->length;
    uint8_t data[8 + 4 * 64];

    *error = VIT_NBD_EINVAL;
    if (size < 12 || size > sizeof data || size % 4 != 0)
        return vit_nbd_channel_skip(c->channel, size) == 0;
    if (vit_nbd_channel_read(c->channel, data, size) < 0) return false;
    r->length = vit_nbd_get64(data);
    r->payload = false;
    job->only = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (size_t at = 8; at < size; at += 4) {
        uint32_t id = vit_nbd_get32(data + at);
        for (guint i = 0; i < job->only->len; i++)
            if (g_array_index(job->only, uint32_t, i) == id) return true;
        g_array_append_val(job->only, id);
    }
    if (!wrong(c, r, error)) *error = 0;
    return true;
}

/* false: the connection ends. */
static bool handle(VitNbdConnection *c, const Request *given)
{
    uint32_t error = 0;

    if (given->payload && given->length > VIT_NBD_MAX_PAYLOAD) return false;
    const char *text = wrong(c, given, &error);
    VitNbdJob *job = new_job(c, given);
    const Request *r = &job->request;
    if (r->payload && r->type == VIT_NBD_CMD_BLOCK_STATUS && !text) {
        if (!read_only_list(job, &error)) goto leave;
        text = error ? "malformed list of contexts" : NULL;
    } else if (r->payload && (text || r->type != VIT_NBD_CMD_WRITE)) {
        if (vit_nbd_channel_skip(c->channel, r->length) < 0) goto leave;
    }
    if (!text && (r->type == VIT_NBD_CMD_READ || r->type == VIT_NBD_CMD_WRITE) &&
        !take_buffer(job, r->length)) {
        text = "no memory";
        error = VIT_NBD_ENOMEM;
        if (r->payload && vit_nbd_channel_skip(c->channel, r->length) < 0) goto leave;
    }
    if (text) {
        reply_status(job, error, text);
        return true;
    }
    switch (r->type) {
    case VIT_NBD_CMD_READ:
        if (r->length == 0) reply_status(job, 0, NULL);
        else submit(job, VIT_BLOCK_READ, 0);
        break;
    case VIT_NBD_CMD_WRITE:
        if (vit_nbd_channel_read(c->channel, job->buf, r->length) < 0) goto leave;
        submit(job, VIT_BLOCK_WRITE, 0);
        break;
    case VIT_NBD_CMD_FLUSH: submit(job, VIT_BLOCK_FLUSH, 0); break;
    case VIT_NBD_CMD_TRIM: submit(job, VIT_BLOCK_DISCARD, 0); break;
    case VIT_NBD_CMD_WRITE_ZEROES:
        submit(job, VIT_BLOCK_WRITE_ZEROES,
               (r->flags & VIT_NBD_FLAG_NO_HOLE ? 0 : VIT_BLOCK_MAY_UNMAP) |
                   (r->flags & VIT_NBD_FLAG_FAST_ZERO ? VIT_BLOCK_NO_FALLBACK : 0));
        break;
    case VIT_NBD_CMD_CACHE:
        if (take_buffer(job, MIN(r->length, CACHE_PIECE) + 1))
            vit_fiber_start(c->thread, cache_fiber, job);
        else reply_status(job, VIT_NBD_ENOMEM, NULL);
        break;
    case VIT_NBD_CMD_BLOCK_STATUS: vit_fiber_start(c->thread, status_fiber, job); break;
    }
    return true;
leave:
    free_job(job);
    return false;
}

static bool read_request(VitNbdConnection *c, Request *r)
{
    uint8_t head[32];
    size_t size = c->extended ? 32 : 28;

    if (vit_nbd_channel_read(c->channel, head, size) < 0) return false;
    if (vit_nbd_get32(head) != (c->extended ? VIT_NBD_EXTENDED_REQUEST : VIT_NBD_REQUEST))
        return false;
    *r = (Request){ .flags = vit_nbd_get16(head + 4),
                    .type = vit_nbd_get16(head + 6),
                    .cookie = vit_nbd_get64(head + 8),
                    .offset = vit_nbd_get64(head + 16),
                    .length = c->extended ? vit_nbd_get64(head + 24) : vit_nbd_get32(head + 24) };
    /* QEMU's client (10.0) leaves the flag out of extended writes, whose data follow all the same.
     */
    r->payload = r->type == VIT_NBD_CMD_WRITE ||
                 (c->extended && (r->flags & VIT_NBD_FLAG_PAYLOAD_LEN));
    return r->type != VIT_NBD_CMD_DISC;
}

void vit_co_nbd_transmit(VitNbdConnection *c)
{
    Request r;

    vit_nbd_channel_on_wait(c->channel, unplug, c);
    while (read_request(c, &r)) {
        if (!handle(c, &r)) {
            vit_nbd_channel_shutdown(c->channel);
            break;
        }
        while (c->in_flight >= VIT_NBD_MAX_REQUESTS || c->memory >= VIT_NBD_MAX_MEMORY / 2) {
            unplug(c);
            vit_fiber_cond_wait(&c->room, NULL);
        }
    }
    unplug(c);
    while (c->in_flight > 0) vit_fiber_cond_wait(&c->room, NULL);
    while (c->spare) {
        VitNbdJob *job = c->spare;
        c->spare = job->next;
        free(job->buf);
        g_free(job);
    }
    c->spares = 0;
}
