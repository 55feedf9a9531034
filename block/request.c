/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/request.c - requests of all nodes alike: checks, the fast way and the fiber, completion */
#include "block/bitmap.h"
#include "block/node-private.h"
#include "block/request-private.h"

#include <errno.h>

/* ---- checks and accounting ------------------------------------------------------------------- */

static bool grows(const VitBlockNode *node)
{
    return node->driver->kind == VIT_BLOCK_PROTOCOL || node->grows;
}

static int check(VitBlockNode *node, const VitBlockRequest *req)
{
    if (req->op == VIT_BLOCK_FLUSH) return 0;
    if (req->offset + req->bytes < req->offset || req->offset + req->bytes > INT64_MAX)
        return -EINVAL;
    if (req->op != VIT_BLOCK_READ && node->how.read_only) return -EROFS;
    /* Files grow when a format writes past their end, and read as zero there. */
    if (req->offset + req->bytes > __atomic_load_n(&node->size, __ATOMIC_RELAXED) && !grows(node))
        return -EIO;
    if (req->op == VIT_BLOCK_READ || req->op == VIT_BLOCK_WRITE) {
        uint64_t sum = 0;
        for (int i = 0; i < req->niov; i++)
            if (__builtin_add_overflow(sum, req->iov[i].iov_len, &sum)) return -EINVAL;
        if (sum != req->bytes) return -EINVAL;
    }
    return 0;
}

static bool is_nothing(const VitBlockNode *node, const VitBlockRequest *req)
{
    /* discard=ignore of a format: what is allocated stays so, whatever the guest gives back. */
    if (req->op == VIT_BLOCK_DISCARD && node->driver->kind == VIT_BLOCK_FORMAT &&
        !node->how.discard)
        return true;
    return req->bytes == 0 && req->op != VIT_BLOCK_FLUSH;
}

void vit_block_set_write_threshold(VitBlockNode *node, uint64_t offset, VitBlockThresholdFunc fn,
                                   void *opaque)
{
    node->write_threshold = offset;
    node->crossed = fn;
    node->crossed_opaque = opaque;
}

static void cross_threshold(VitBlockNode *node, uint64_t end)
{
    uint64_t threshold = node->write_threshold;

    node->write_threshold = 0;
    node->crossed(node->crossed_opaque, node, end - threshold, threshold);
}

void vit_request_account(VitBlockNode *node, const VitBlockRequest *req, int result)
{
    bool changes = req->op == VIT_BLOCK_WRITE || req->op == VIT_BLOCK_WRITE_ZEROES ||
                   req->op == VIT_BLOCK_DISCARD;

    node->stats.ops[req->op]++;
    if (result < 0) node->stats.errors[req->op]++;
    else if (req->op != VIT_BLOCK_FLUSH) node->stats.bytes[req->op] += req->bytes;
    /* What a format writes past the end of its file makes the file longer. */
    if (changes && result == 0 && req->op != VIT_BLOCK_DISCARD && grows(node) &&
        req->offset + req->bytes > node->size)
        __atomic_store_n(&node->size, req->offset + req->bytes, __ATOMIC_RELAXED);
    if (changes && node->bitmaps) /* also of a failed write: parts of it may have happened */
        vit_block_bitmaps_mark(node, req->offset, req->bytes);
    if (node->write_threshold && changes && req->op != VIT_BLOCK_DISCARD &&
        req->offset + req->bytes > node->write_threshold)
        cross_threshold(node, req->offset + req->bytes);
}

void vit_request_leave(VitBlockNode *node)
{
    if (--node->in_flight > 0) return;
    vit_block_tell_idle(node);
}

/* ---- submitting ------------------------------------------------------------------------------ */

typedef struct {
    VitBlockNode *node;
    VitBlockRequest *req;
    bool in_submit;
} Start;

static void request_fiber(void *opaque)
{
    Start *start = opaque;
    VitBlockNode *node = start->node;
    VitBlockRequest *req = start->req;

    req->node_private[0] = start; /* until submit has returned */
    int result = vit_co_request_perform(node, req);
    if (req->node_private[0]) vit_block_complete_later(req, result);
    else vit_block_complete(req, result);
}

static bool fast(const VitBlockNode *node, const VitBlockRequest *req)
{
    uint64_t mask = node->alignment ? node->alignment - 1 : 0;

    return node->driver->try_submit && !(req->op == VIT_BLOCK_WRITE && node->detect_zeroes) &&
           ((req->offset | req->bytes) & mask) == 0;
}

void vit_request_dispatch(VitBlockNode *node, VitBlockRequest *req)
{
    if (fast(node, req) && node->driver->try_submit(node, req)) return;
    Start start = { .node = node, .req = req };
    VitBlockRequest *r = req;
    vit_fiber_start(node->thread, request_fiber, &start);
    /* If the fiber waits, completion comes from the loop and may tell the submitter directly.  If
     * it has ended, the completion is queued and the request still there. */
    r->node_private[0] = NULL;
}

void vit_block_submit(VitBlockNode *node, VitBlockRequest *req)
{
    int result = check(node, req);

    req->node_private[VIT_REQUEST_NODE] = node;
    if (result < 0 || is_nothing(node, req)) {
        node->in_flight++;
        vit_block_complete_later(req, result);
        return;
    }
    if (node->quiesced > 0) {
        g_queue_push_tail(&node->waiting, req);
        return;
    }
    node->in_flight++;
    vit_request_dispatch(node, req);
}

void vit_block_start_waiting(VitBlockNode *node)
{
    VitBlockRequest *req;

    while (node->quiesced == 0 && (req = g_queue_pop_head(&node->waiting))) {
        node->in_flight++;
        vit_request_dispatch(node, req);
    }
    vit_fiber_cond_wake_all(&node->resumed);
}

static void plug(VitBlockNode *node, bool on)
{
    if (node->driver->plug) {
        node->driver->plug(node, on);
        return;
    }
    for (guint i = 0; i < node->edges->len; i++) {
        VitBlockEdge *edge = node->edges->pdata[i];
        if (edge->role != VIT_EDGE_BACKING) plug(edge->node, on);
    }
}

void vit_block_plug(VitBlockNode *node)
{
    plug(node, true);
}

void vit_block_unplug(VitBlockNode *node)
{
    plug(node, false);
}

/* ---- ending ---------------------------------------------------------------------------------- */

void vit_request_end(VitBlockNode *node, VitBlockRequest *req)
{
    vit_request_account(node, req, req->result);
    req->done(req); /* may free req */
    vit_request_leave(node);
}

void vit_block_complete(VitBlockRequest *req, int result)
{
    VitBlockNode *node = req->node_private[VIT_REQUEST_NODE];

    req->result = result;
    if (!node) req->done(req); /* perform_fast() counts for itself */
    else if (result < 0) vit_request_end_failed(node, req);
    else vit_request_end(node, req);
}

typedef struct {
    VitBlockRequest *req;
    int result;
} Later;

static void complete_now(void *data)
{
    Later later = *(Later *)data;

    g_free(data);
    vit_block_complete(later.req, later.result);
}

void vit_block_complete_later(VitBlockRequest *req, int result)
{
    VitBlockNode *node = req->node_private[VIT_REQUEST_NODE]
                             ?: req->node_private[VIT_REQUEST_UNCOUNTED];
    Later *later = g_new(Later, 1);

    *later = (Later){ req, result };
    vit_io_thread_call(node->thread, complete_now, later);
}

static void forward(VitBlockRequest *child)
{
    VitBlockRequest *parent = child->opaque;
    VitBlockNode *node = parent->node_private[VIT_REQUEST_NODE]
                             ?: parent->node_private[VIT_REQUEST_UNCOUNTED];

    child->opaque = node->pool;
    node->pool = child;
    vit_block_complete(parent, child->result);
}

VitBlockRequest *vit_block_child_request(VitBlockRequest *req)
{
    VitBlockNode *node = req->node_private[VIT_REQUEST_NODE]
                             ?: req->node_private[VIT_REQUEST_UNCOUNTED];
    VitBlockRequest *child = node->pool;

    if (child) node->pool = child->opaque;
    else child = g_new(VitBlockRequest, 1);
    *child = (VitBlockRequest){ .op = req->op,
                                .flags = req->flags,
                                .offset = req->offset,
                                .bytes = req->bytes,
                                .iov = req->iov,
                                .niov = req->niov,
                                .done = forward,
                                .opaque = req };
    return child;
}

/* ---- straight-line calls --------------------------------------------------------------------- */

static int co_request(VitBlockNode *node, const VitBlockRequest *req)
{
    int result = check(node, req);

    if (result < 0 || is_nothing(node, req)) return result;
    while (node->quiesced > 0) vit_fiber_cond_wait(&node->resumed, NULL);
    node->in_flight++;
    result = vit_co_request_perform(node, req);
    vit_request_account(node, req, result);
    vit_request_leave(node);
    return result;
}

int vit_co_readv(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                 int niov)
{
    VitBlockRequest req = {
        .op = VIT_BLOCK_READ, .offset = offset, .bytes = bytes, .iov = iov, .niov = niov
    };

    return co_request(node, &req);
}

int vit_co_writev(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                  int niov, uint32_t flags)
{
    VitBlockRequest req = { .op = VIT_BLOCK_WRITE,
                            .flags = flags,
                            .offset = offset,
                            .bytes = bytes,
                            .iov = iov,
                            .niov = niov };

    return co_request(node, &req);
}

int vit_co_read(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = { buf, bytes };

    return vit_co_readv(node, offset, bytes, &iov, 1);
}

int vit_co_write(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes,
                 uint32_t flags)
{
    struct iovec iov = { (void *)buf, bytes };

    return vit_co_writev(node, offset, bytes, &iov, 1, flags);
}

int vit_co_zero(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    VitBlockRequest req = {
        .op = VIT_BLOCK_WRITE_ZEROES, .flags = flags, .offset = offset, .bytes = bytes
    };

    return co_request(node, &req);
}

int vit_co_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    VitBlockRequest req = { .op = VIT_BLOCK_DISCARD, .offset = offset, .bytes = bytes };

    return co_request(node, &req);
}

int vit_co_flush(VitBlockNode *node)
{
    VitBlockRequest req = { .op = VIT_BLOCK_FLUSH };

    return co_request(node, &req);
}

int vit_co_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                  const struct iovec *iov, int niov, uint32_t flags)
{
    if (op == VIT_BLOCK_WRITE) return vit_co_writev(node, offset, bytes, iov, niov, flags);
    if (op == VIT_BLOCK_WRITE_ZEROES) return vit_co_zero(node, offset, bytes, flags);
    return op == VIT_BLOCK_DISCARD ? vit_co_discard(node, offset, bytes) : -EINVAL;
}
