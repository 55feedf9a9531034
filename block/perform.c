/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/perform.c - what a driver does about a request, on a fiber: whole blocks of the node for
 * ragged ones, buffers of zeroes where it has no quicker way */
#include "block/request-private.h"

#include <errno.h>
#include <string.h>

enum { ZERO_PIECE = 1 << 20 };

typedef struct {
    VitBlockRequest req;
    VitFiber *fiber;
    bool over;
} Wait;

static void wait_done(VitBlockRequest *req)
{
    Wait *w = req->opaque;

    w->over = true;
    vit_fiber_wake(w->fiber);
}

/* By the driver's fast way; in_flight is the caller's already. */
static bool perform_fast(VitBlockNode *node, const VitBlockRequest *req, int *result)
{
    Wait w = { .req = { .op = req->op,
                        .flags = req->flags,
                        .offset = req->offset,
                        .bytes = req->bytes,
                        .iov = req->iov,
                        .niov = req->niov,
                        .done = wait_done },
               .fiber = vit_fiber_self(node->thread) };

    w.req.opaque = &w;
    w.req.node_private[VIT_REQUEST_NODE] = NULL; /* not counted again */
    w.req.node_private[VIT_REQUEST_UNCOUNTED] = node;
    if (!node->driver->try_submit(node, &w.req)) return false;
    while (!w.over) vit_fiber_yield(node->thread);
    *result = w.req.result;
    return true;
}

static int perform_one(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                       const struct iovec *iov, int niov, uint32_t flags)
{
    const VitBlockDriver *d = node->driver;
    VitBlockRequest req = {
        .op = op, .flags = flags, .offset = offset, .bytes = bytes, .iov = iov, .niov = niov
    };
    int result = 0;

    if (d->co_change && op != VIT_BLOCK_READ && op != VIT_BLOCK_FLUSH)
        return d->co_change(node, op, offset, bytes, iov, niov, flags);
    switch (op) {
    case VIT_BLOCK_READ:
        if (d->co_read) return d->co_read(node, offset, bytes, iov, niov);
        break;
    case VIT_BLOCK_WRITE:
        if (d->co_write) return d->co_write(node, offset, bytes, iov, niov, flags);
        break;
    case VIT_BLOCK_WRITE_ZEROES:
        if (d->co_write_zeroes) return d->co_write_zeroes(node, offset, bytes, flags);
        if (d->co_write) return -ENOTSUP;
        break;
    case VIT_BLOCK_DISCARD:
        if (d->co_discard) return d->co_discard(node, offset, bytes);
        if (d->co_read) return 0; /* a hint: keeping the data is allowed */
        break;
    case VIT_BLOCK_FLUSH:
        if (d->co_flush) return d->co_flush(node);
        if (d->co_read || !d->try_submit) {
            for (guint i = 0; i < node->edges->len; i++) {
                VitBlockEdge *edge = node->edges->pdata[i];
                if (edge->role != VIT_EDGE_BACKING && (result = vit_co_flush(edge->node)) < 0)
                    return result;
            }
            return 0;
        }
        break;
    }
    if (d->try_submit && perform_fast(node, &req, &result)) return result;
    return op == VIT_BLOCK_READ || op == VIT_BLOCK_FLUSH ? -EIO : -EROFS;
}

/* Part of a write that does not fill whole blocks of the node: read, changed, written back. */
static int write_ragged(VitBlockNode *node, const VitBlockRequest *req)
{
    uint64_t mask = node->alignment - 1;
    uint64_t start = req->offset & ~mask, end = (req->offset + req->bytes + mask) & ~mask;
    g_autofree uint8_t *buf = g_try_malloc(end - start);
    struct iovec iov = { buf, end - start };
    uint64_t last = end - node->alignment;
    int result = 0;

    if (!buf) return -ENOMEM;
    if (start != req->offset || last == start) {
        struct iovec head = { buf, node->alignment };
        vit_co_event(node, VIT_EVENT_PWRITEV_RMW_HEAD);
        result = perform_one(node, VIT_BLOCK_READ, start, node->alignment, &head, 1, 0);
        vit_co_event(node, VIT_EVENT_PWRITEV_RMW_AFTER_HEAD);
    }
    if (result == 0 && last != start && end != req->offset + req->bytes) {
        struct iovec tail = { buf + (last - start), node->alignment };
        vit_co_event(node, VIT_EVENT_PWRITEV_RMW_TAIL);
        result = perform_one(node, VIT_BLOCK_READ, last, node->alignment, &tail, 1, 0);
        vit_co_event(node, VIT_EVENT_PWRITEV_RMW_AFTER_TAIL);
    }
    if (result < 0) return result;
    if (req->op == VIT_BLOCK_WRITE)
        vit_iov_to(req->iov, req->niov, 0, buf + (req->offset - start), req->bytes);
    else memset(buf + (req->offset - start), 0, req->bytes);
    return perform_one(node, VIT_BLOCK_WRITE, start, end - start, &iov, 1,
                       req->flags & VIT_BLOCK_FUA);
}

static int read_ragged(VitBlockNode *node, const VitBlockRequest *req)
{
    uint64_t mask = node->alignment - 1;
    uint64_t start = req->offset & ~mask, end = (req->offset + req->bytes + mask) & ~mask;
    g_autofree uint8_t *buf = g_try_malloc(end - start);
    struct iovec iov = { buf, end - start };

    if (!buf) return -ENOMEM;
    int result = perform_one(node, VIT_BLOCK_READ, start, end - start, &iov, 1, 0);
    if (result == 0) vit_iov_from(req->iov, req->niov, 0, buf + (req->offset - start), req->bytes);
    return result;
}

/* Zeroes that the driver has no quicker way to write. */
static int write_buffers_of_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                                   uint32_t flags)
{
    size_t piece = (size_t)MIN(bytes, ZERO_PIECE);
    g_autofree uint8_t *buf = g_try_malloc0(piece);

    if (!buf) return -ENOMEM;
    while (bytes > 0) {
        struct iovec iov = { buf, MIN(bytes, piece) };
        int result = perform_one(node, VIT_BLOCK_WRITE, offset, iov.iov_len, &iov, 1,
                                 flags & VIT_BLOCK_FUA);
        if (result < 0) return result;
        offset += iov.iov_len;
        bytes -= iov.iov_len;
    }
    return 0;
}

static int perform_zeroes(VitBlockNode *node, const VitBlockRequest *req)
{
    uint64_t mask = node->alignment ? node->alignment - 1 : 0;
    uint64_t start = (req->offset + mask) & ~mask, end = (req->offset + req->bytes) & ~mask;
    int result = 0;

    if (start >= end)
        return req->flags & VIT_BLOCK_NO_FALLBACK ? -ENOTSUP : write_ragged(node, req);
    if (start > req->offset) {
        VitBlockRequest head = *req;
        head.bytes = start - req->offset;
        result = write_ragged(node, &head);
    }
    if (result == 0) {
        result = perform_one(node, VIT_BLOCK_WRITE_ZEROES, start, end - start, NULL, 0, req->flags);
        if (result == -ENOTSUP && !(req->flags & VIT_BLOCK_NO_FALLBACK))
            result = write_buffers_of_zeroes(node, start, end - start, req->flags);
    }
    if (result == 0 && end < req->offset + req->bytes) {
        VitBlockRequest tail = *req;
        tail.offset = end;
        tail.bytes = req->offset + req->bytes - end;
        result = write_ragged(node, &tail);
    }
    return result;
}

int vit_co_request_perform(VitBlockNode *node, const VitBlockRequest *given)
{
    VitBlockRequest req = *given;
    uint64_t mask = node->alignment ? node->alignment - 1 : 0;
    bool ragged = ((req.offset | req.bytes) & mask) != 0;

    if (req.op == VIT_BLOCK_WRITE && node->detect_zeroes && !(req.flags & VIT_BLOCK_COMPRESSED) &&
        vit_block_iov_is_zero(req.iov, req.niov)) {
        req.op = VIT_BLOCK_WRITE_ZEROES;
        if (node->detect_zeroes == VIT_DETECT_ZEROES_UNMAP && node->how.discard)
            req.flags |= VIT_BLOCK_MAY_UNMAP;
    }
    switch (req.op) {
    case VIT_BLOCK_READ:
        return ragged ? read_ragged(node, &req)
                      : perform_one(node, req.op, req.offset, req.bytes, req.iov, req.niov, 0);
    case VIT_BLOCK_DISCARD: {
        uint64_t start = (req.offset + mask) & ~mask, end = (req.offset + req.bytes) & ~mask;
        return start < end ? perform_one(node, req.op, start, end - start, NULL, 0, 0) : 0;
    }
    case VIT_BLOCK_FLUSH: return perform_one(node, req.op, 0, 0, NULL, 0, 0);
    default: break;
    }
    if (mask == 0) {
        if (req.op == VIT_BLOCK_WRITE)
            return perform_one(node, req.op, req.offset, req.bytes, req.iov, req.niov, req.flags);
        return perform_zeroes(node, &req);
    }
    /* Neighbours in one block of the node exclude each other. */
    VitBlockRange range;
    uint64_t start = req.offset & ~mask;
    int result;
    vit_block_range_lock(&node->serial, &range, start,
                         ((req.offset + req.bytes + mask) & ~mask) - start);
    if (req.op == VIT_BLOCK_WRITE_ZEROES) result = perform_zeroes(node, &req);
    else if (ragged) result = write_ragged(node, &req);
    else result = perform_one(node, req.op, req.offset, req.bytes, req.iov, req.niov, req.flags);
    vit_block_range_unlock(&node->serial, &range);
    return result;
}
