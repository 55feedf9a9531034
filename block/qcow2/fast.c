/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/fast.c - requests that need no change of tables and no wait: straight to the child
 *
 * The request's memory goes to the child as it is, without a fiber.  Between the look at the tables
 * and the child's end the request counts as in flight (vit_qcow2_io_begin), so that nobody gets the
 * host clusters meanwhile. */
#include "block/qcow2/qcow2.h"

enum { EPOCH = 1 }; /* slot of the parent's node_private */

static void fast_done(VitBlockRequest *child)
{
    VitBlockRequest *parent = child->opaque;
    VitQcow2 *q = parent->node_private[0];
    void (*forward)(VitBlockRequest *) = q->forward;

    vit_qcow2_io_end(q, GPOINTER_TO_UINT(parent->node_private[EPOCH]));
    forward(child);
}

static void send(VitQcow2 *q, VitBlockRequest *req, VitBlockNode *to, uint64_t offset)
{
    VitBlockRequest *child = vit_block_child_request(req);

    q->forward = child->done;
    child->done = fast_done;
    child->offset = offset;
    req->node_private[0] = q;
    req->node_private[EPOCH] = GUINT_TO_POINTER(vit_qcow2_io_begin(q));
    vit_block_submit(to, child);
}

static bool try_read(VitQcow2 *q, VitBlockRequest *req)
{
    VitQcow2Map map;

    if (!vit_qcow2_map_cached(q, req->offset, req->bytes, &map) || map.bytes < req->bytes)
        return false;
    bool zero = map.type == VIT_QCOW2_ZERO ||
                (map.type == VIT_QCOW2_UNALLOCATED &&
                 vit_qcow2_backing_is_zero(q, req->offset, req->bytes));
    if (zero) {
        vit_iov_zero(req->iov, req->niov, 0, req->bytes);
        vit_block_complete_later(req, 0);
    } else if (map.type == VIT_QCOW2_UNALLOCATED) {
        VitBlockNode *backing = q->parent.backing->node;
        if (req->bytes > backing->size - req->offset) return false;
        send(q, req, backing, req->offset);
    } else if (map.type == VIT_QCOW2_NORMAL && !q->cipher) {
        send(q, req, q->data->node, map.host);
    } else {
        return false;
    }
    q->stats.fast_reads++;
    return true;
}

static bool try_write(VitQcow2 *q, VitBlockRequest *req)
{
    VitQcow2Map map;

    if (req->flags & VIT_BLOCK_COMPRESSED || q->cipher || q->broken) return false;
    /* The way to the data must be durable as well. */
    if ((req->flags & VIT_BLOCK_FUA) && (q->unsynced || vit_qcow2_is_dirty(q))) return false;
    if (!vit_qcow2_map_cached(q, req->offset, req->bytes, &map) || map.bytes < req->bytes ||
        map.type != VIT_QCOW2_NORMAL || !map.copied ||
        !vit_qcow2_host_is_there(q, map.host + req->bytes - 1))
        return false;
    if (q->data == q->parent.file && vit_qcow2_overlaps(q, map.host, req->bytes, false))
        return false; /* the slow way says what is wrong */
    send(q, req, q->data->node, map.host);
    q->stats.fast_writes++;
    return true;
}

bool vit_qcow2_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (q->parent.file->node->driver->co_event) return false;
    switch (req->op) {
    case VIT_BLOCK_READ: return try_read(q, req);
    case VIT_BLOCK_WRITE: return try_write(q, req);
    default: return false;
    }
}
