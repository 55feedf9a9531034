/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/request.c - requests of all nodes alike: checks, the fast way and the fiber, completion */
#include "block/node-private.h"

#include "block/bitmap.h"

#include <errno.h>
#include <string.h>

enum { REQUEST_NODE = 3, REQUEST_UNCOUNTED = 2 }; /* slots of node_private; drivers use 0 and 1 */
enum { ZERO_PIECE = 1 << 20, INLINE_IOV = 16 };

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

static void account(VitBlockNode *node, const VitBlockRequest *req, int result)
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

static void leave(VitBlockNode *node)
{
    if (--node->in_flight > 0) return;
    vit_block_tell_idle(node);
}

/* ---- what a driver does, on a fiber ---------------------------------------------------------- */

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
    w.req.node_private[REQUEST_NODE] = NULL; /* not counted again */
    w.req.node_private[REQUEST_UNCOUNTED] = node;
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

static int perform(VitBlockNode *node, const VitBlockRequest *given)
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
    int result = perform(node, req);
    if (req->node_private[0]) vit_block_complete_later(req, result);
    else vit_block_complete(req, result);
}

static bool fast(const VitBlockNode *node, const VitBlockRequest *req)
{
    uint64_t mask = node->alignment ? node->alignment - 1 : 0;

    return node->driver->try_submit && !(req->op == VIT_BLOCK_WRITE && node->detect_zeroes) &&
           ((req->offset | req->bytes) & mask) == 0;
}

static void dispatch(VitBlockNode *node, VitBlockRequest *req)
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

    req->node_private[REQUEST_NODE] = node;
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
    dispatch(node, req);
}

void vit_block_start_waiting(VitBlockNode *node)
{
    VitBlockRequest *req;

    while (node->quiesced == 0 && (req = g_queue_pop_head(&node->waiting))) {
        node->in_flight++;
        dispatch(node, req);
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

static void end_request(VitBlockNode *node, VitBlockRequest *req)
{
    account(node, req, req->result);
    req->done(req); /* may free req */
    leave(node);
}

/* A failure, after req->result was set: decides what becomes of it, and tells. */
static VitBlockOnError judge(VitBlockNode *node, const VitBlockRequest *req)
{
    bool full = req->result == -ENOSPC || req->result == -EDQUOT;
    VitBlockOnError action = __atomic_load_n(&node->on_error[req->op != VIT_BLOCK_READ],
                                             __ATOMIC_RELAXED);

    /* That something is not supported is an answer. */
    if (!node->failed || req->result == -ENOTSUP) return VIT_ON_ERROR_REPORT;
    if (action == VIT_ON_ERROR_AUTO)
        action = req->op == VIT_BLOCK_READ ? VIT_ON_ERROR_REPORT : VIT_ON_ERROR_ENOSPC;
    if (action == VIT_ON_ERROR_ENOSPC) action = full ? VIT_ON_ERROR_STOP : VIT_ON_ERROR_REPORT;
    if (action == VIT_ON_ERROR_STOP && node->given_up) action = VIT_ON_ERROR_REPORT;
    if (action == VIT_ON_ERROR_STOP)
        __atomic_store_n(&node->io_status, full ? VIT_IO_STATUS_NOSPACE : VIT_IO_STATUS_FAILED,
                         __ATOMIC_RELAXED);
    node->failed(node->failed_opaque, node, req, action);
    return action;
}

static void end_failed(VitBlockNode *node, VitBlockRequest *req)
{
    switch (judge(node, req)) {
    case VIT_ON_ERROR_STOP:
        if (node->quiesced > 0) { /* a drain waits for it, and starts it again */
            g_queue_push_tail(&node->waiting, req);
            leave(node);
        } else {
            g_queue_push_tail(&node->held, req);
        }
        return;
    case VIT_ON_ERROR_IGNORE:
        account(node, req, req->result);
        req->result = 0;
        req->done(req);
        leave(node);
        return;
    default: end_request(node, req);
    }
}

void vit_block_complete(VitBlockRequest *req, int result)
{
    VitBlockNode *node = req->node_private[REQUEST_NODE];

    req->result = result;
    if (!node) req->done(req); /* perform_fast() counts for itself */
    else if (result < 0) end_failed(node, req);
    else end_request(node, req);
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
    VitBlockNode *node = req->node_private[REQUEST_NODE] ?: req->node_private[REQUEST_UNCOUNTED];
    Later *later = g_new(Later, 1);

    *later = (Later){ req, result };
    vit_io_thread_call(node->thread, complete_now, later);
}

static void forward(VitBlockRequest *child)
{
    VitBlockRequest *parent = child->opaque;
    VitBlockNode *node = parent->node_private[REQUEST_NODE]
                             ?: parent->node_private[REQUEST_UNCOUNTED];

    child->opaque = node->pool;
    node->pool = child;
    vit_block_complete(parent, child->result);
}

VitBlockRequest *vit_block_child_request(VitBlockRequest *req)
{
    VitBlockNode *node = req->node_private[REQUEST_NODE] ?: req->node_private[REQUEST_UNCOUNTED];
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

/* ---- failures -------------------------------------------------------------------------------- */

void vit_block_set_on_error(VitBlockNode *node, VitBlockOnError read, VitBlockOnError write)
{
    __atomic_store_n(&node->on_error[0], read, __ATOMIC_RELAXED);
    __atomic_store_n(&node->on_error[1], write, __ATOMIC_RELAXED);
}

void vit_block_get_on_error(const VitBlockNode *node, VitBlockOnError *read, VitBlockOnError *write)
{
    *read = __atomic_load_n(&node->on_error[0], __ATOMIC_RELAXED);
    *write = __atomic_load_n(&node->on_error[1], __ATOMIC_RELAXED);
}

bool vit_block_on_error_parse(const char *text, bool write, VitBlockOnError *value)
{
    static const char *const words[] = { "report", "ignore", "enospc", "stop", "auto" };

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(words[i], text) != 0 || (i == VIT_ON_ERROR_ENOSPC && !write)) continue;
        *value = i;
        return true;
    }
    return false;
}

typedef struct {
    VitBlockNode *node;
    VitBlockFailedFunc fn;
    void *opaque;
} Handler;

static void set_handler(void *data)
{
    Handler *h = data;

    h->node->failed = h->fn;
    h->node->failed_opaque = h->opaque;
}

void vit_block_set_failed_handler(VitBlockNode *node, VitBlockFailedFunc fn, void *opaque)
{
    Handler h = { node, fn, opaque };

    vit_block_run(node, set_handler, &h);
}

VitBlockIoStatus vit_block_io_status(const VitBlockNode *node)
{
    return __atomic_load_n(&node->io_status, __ATOMIC_RELAXED);
}

static void release_held(VitBlockNode *node, bool again)
{
    /* Only those of now: what fails once more is held once more. */
    for (guint left = g_queue_get_length(&node->held); left > 0; left--) {
        VitBlockRequest *req = g_queue_pop_head(&node->held);
        if (again) dispatch(node, req);
        else end_request(node, req);
    }
}

void vit_block_end_giving_up(void *data)
{
    VitBlockNode *node = data;

    node->given_up = false;
    g_clear_pointer(&node->hurrying, vit_block_hurry_end);
}

static void retry_here(void *data)
{
    VitBlockNode *node = data;

    vit_block_end_giving_up(node);
    __atomic_store_n(&node->io_status, VIT_IO_STATUS_OK, __ATOMIC_RELAXED);
    release_held(node, true);
    vit_block_node_unref(node);
}

static void give_up_here(void *data)
{
    VitBlockNode *node = data;

    node->given_up = true;
    if (!node->hurrying) node->hurrying = vit_block_hurry(node, NULL);
    release_held(node, false);
    vit_block_node_unref(node);
}

void vit_block_retry(VitBlockNode *node)
{
    vit_block_call(node, retry_here, vit_block_node_ref(node));
}

void vit_block_give_up(VitBlockNode *node)
{
    vit_block_call(node, give_up_here, vit_block_node_ref(node));
}

/* A node that moves may hear of the end before the beginning. */
static void wish(VitBlockNode *node, int more)
{
    node->hurry_wishes += more;
    if (node->hurry_wishes > 0 && !node->wished) node->wished = vit_block_hurry(node, NULL);
    else if (node->hurry_wishes <= 0) g_clear_pointer(&node->wished, vit_block_hurry_end);
    vit_block_node_unref(node);
}

static void wish_here(void *node)
{
    wish(node, 1);
}

static void end_wish_here(void *node)
{
    wish(node, -1);
}

void vit_block_hurry_up(VitBlockNode *node, bool on)
{
    vit_block_call(node, on ? wish_here : end_wish_here, vit_block_node_ref(node));
}

/* ---- straight-line calls --------------------------------------------------------------------- */

static int co_request(VitBlockNode *node, const VitBlockRequest *req)
{
    int result = check(node, req);

    if (result < 0 || is_nothing(node, req)) return result;
    while (node->quiesced > 0) vit_fiber_cond_wait(&node->resumed, NULL);
    node->in_flight++;
    result = perform(node, req);
    account(node, req, result);
    leave(node);
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
