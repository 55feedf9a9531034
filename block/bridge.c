/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/bridge.c - a node of one iothread that stands for one of another
 *
 * Requests go over to a root there, and come back when they have ended.  The root's node may change
 * its iothread meanwhile. */
#include "block/drivers.h"
#include "block/node-private.h"

typedef struct {
    VitBlockNode parent;
    VitBlockNode *far; /* a reference: the root */
} Bridge;

typedef struct { /* a request on its way */
    VitBlockRequest req; /* of far */
    Bridge *bridge;
    VitBlockRequest *near; /* that waits here */
} Cross;

static void back(void *opaque)
{
    Cross *x = opaque;
    VitBlockRequest *near = x->near;
    int result = x->req.result;

    g_free(x);
    vit_block_complete(near, result);
}

static void done(VitBlockRequest *req)
{
    Cross *x = req->opaque;

    vit_io_thread_call(x->bridge->parent.thread, back, x);
}

static void over(void *opaque)
{
    Cross *x = opaque;

    vit_block_submit(x->bridge->far, &x->req);
}

static bool bridge_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Cross *x = g_new(Cross, 1);

    *x = (Cross){ .req = { .op = req->op,
                           .flags = req->flags,
                           .offset = req->offset,
                           .bytes = req->bytes,
                           .iov = req->iov,
                           .niov = req->niov,
                           .done = done },
                  .bridge = (Bridge *)node,
                  .near = req };
    x->req.opaque = x;
    vit_block_call(x->bridge->far, over, x);
    return true;
}

static void bridge_info(VitBlockNode *node, VitBlockInfo *info)
{
    *info = vit_block_info(((Bridge *)node)->far);
}

static void drop(void *opaque)
{
    vit_block_node_unref(opaque);
}

static void bridge_close(VitBlockNode *node)
{
    VitBlockNode *far = ((Bridge *)node)->far;

    vit_co_block_run(node->thread, far, drop, far);
}

const VitBlockDriver vit_block_bridge_driver = {
    .name = "bridge",
    .kind = VIT_BLOCK_PROTOCOL, /* the far side knows the size */
    .instance_size = sizeof(Bridge),
    .try_submit = bridge_submit,
    .info = bridge_info,
    .co_close = bridge_close,
};

VitBlockNode *vit_block_bridge_new(VitBlockNode *far, VitIoThread *thread)
{
    VitBlockNode *node = vit_block_node_new(&vit_block_bridge_driver, far->filename, thread);

    node->size = vit_block_info(far).size;
    node->how.read_only = vit_block_info(far).read_only;
    node->opened = true;
    ((Bridge *)node)->far = far;
    return node;
}

VitBlockNode *vit_block_far(VitBlockNode *node)
{
    return node->driver == &vit_block_bridge_driver ? ((Bridge *)node)->far : node;
}
