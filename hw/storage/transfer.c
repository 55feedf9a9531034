/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/transfer.c - see transfer.h
 *
 * start: machine lock -> node's thread (begin, request) -> machine thread (deliver).  Whoever is
 * last to see a transfer frees it: begin when it was cancelled before, the request's end when it
 * was cancelled meanwhile, deliver otherwise. */
#include "hw/storage/transfer.h"

struct VitTransferQueue {
    VitSystem    *sys;          /* borrowed; not touched for cancelled transfers */
    VitBlockNode *node;         /* borrowed; likewise */
    int           ref_count;    /* atomic */
    GMutex        lock;         /* a leaf: guards VitTransfer.cancelled against delivery */
    GQueue        in_flight;    /* of VitTransfer*; the node's thread, like what follows */
    GQueue        waiting;
};

struct VitTransfer {
    VitTransferQueue *queue;    /* owned reference */
    VitBlockRequest   req;
    struct iovec      iov;
    uint8_t          *buffer;   /* owned */
    VitTransferDone   done;
    void             *opaque;
    int               result;
    bool              cancelled;
    VitBlockNode     *hurried;  /* a reference, once cancelled: what comes next waits for it */
};

static void queue_unref(VitTransferQueue *q)
{
    if (!g_atomic_int_dec_and_test(&q->ref_count))
        return;
    g_mutex_clear(&q->lock);
    g_free(q);
}

static void transfer_free(VitTransfer *t)
{
    if (t->hurried)
        vit_block_hurry_up(t->hurried, false);
    vit_block_node_unref(t->hurried);
    g_free(t->buffer);
    queue_unref(t->queue);
    g_free(t);
}

VitTransferQueue *vit_transfer_queue_new(VitSystem *sys, VitBlockNode *node)
{
    VitTransferQueue *q = g_new0(VitTransferQueue, 1);
    q->sys = sys;
    q->node = node;
    q->ref_count = 1;
    g_mutex_init(&q->lock);
    g_queue_init(&q->in_flight);
    g_queue_init(&q->waiting);
    return q;
}

void vit_transfer_queue_free(VitTransferQueue *q)
{
    if (q)
        queue_unref(q);
}

static bool is_cancelled(VitTransfer *t)
{
    g_mutex_lock(&t->queue->lock);
    bool cancelled = t->cancelled;
    g_mutex_unlock(&t->queue->lock);
    return cancelled;
}

static bool must_wait(VitTransferQueue *q)
{
    for (GList *l = q->in_flight.head; l; l = l->next)
        if (is_cancelled(l->data))
            return true;
    return false;
}

static void deliver(void *opaque)
{
    VitTransfer *t = opaque;
    VitSystem *sys = t->queue->sys;

    vit_system_lock(sys);
    if (!is_cancelled(t))
        t->done(t->opaque, t, t->result);
    vit_system_unlock(sys);
    transfer_free(t);
}

static void submit(VitTransfer *t)
{
    if (is_cancelled(t)) {
        transfer_free(t);
        return;
    }
    g_queue_push_tail(&t->queue->in_flight, t);
    vit_block_submit(t->queue->node, &t->req);
}

static void request_done(VitBlockRequest *req)
{
    VitTransfer *t = req->opaque;
    VitTransferQueue *q = t->queue;
    VitTransfer *next;

    g_atomic_int_inc(&q->ref_count);
    g_queue_remove(&q->in_flight, t);
    t->result = req->result;
    g_mutex_lock(&q->lock);
    bool cancelled = t->cancelled;
    if (!cancelled)
        vit_io_thread_call(q->sys->thread, deliver, t);     /* under the lock: sys is alive */
    g_mutex_unlock(&q->lock);
    if (cancelled)
        transfer_free(t);
    while (!must_wait(q) && (next = g_queue_pop_head(&q->waiting)))
        submit(next);
    queue_unref(q);
}

static void begin(void *opaque)
{
    VitTransfer *t = opaque;
    VitTransferQueue *q = t->queue;

    if (!g_queue_is_empty(&q->waiting) || must_wait(q))
        g_queue_push_tail(&q->waiting, t);
    else
        submit(t);
}

VitTransfer *vit_transfer_start(VitTransferQueue *q, VitBlockOp op, uint32_t flags, uint64_t offset,
                                uint64_t bytes, uint8_t *buffer, VitTransferDone done, void *opaque)
{
    VitTransfer *t = g_new0(VitTransfer, 1);

    g_atomic_int_inc(&q->ref_count);
    t->queue = q;
    t->buffer = buffer;
    t->done = done;
    t->opaque = opaque;
    t->iov = (struct iovec) { buffer, bytes };
    t->req = (VitBlockRequest) { .op = op, .flags = flags, .offset = offset, .bytes = bytes,
                                 .iov = &t->iov, .niov = 1, .done = request_done, .opaque = t };
    vit_io_thread_call(vit_block_node_thread(q->node), begin, t);
    return t;
}

void vit_transfer_cancel(VitTransfer *t)
{
    VitTransferQueue *q = t->queue;
    VitBlockNode *node = vit_block_node_ref(q->node);

    vit_block_hurry_up(node, true);     /* whatever limits it has */
    g_mutex_lock(&q->lock);
    t->hurried = node;
    t->cancelled = true;
    g_mutex_unlock(&q->lock);
}

uint8_t *vit_transfer_steal_buffer(VitTransfer *t)
{
    return g_steal_pointer(&t->buffer);
}
