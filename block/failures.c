/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/failures.c - what becomes of submitted requests that fail: told, passed over, or held until
 * they are tried again or given up; and who cannot wait for what is under way */
#include "block/node-private.h"
#include "block/request-private.h"

#include <errno.h>
#include <string.h>

/* ---- what was asked for ---------------------------------------------------------------------- */

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

/* ---- a failure ------------------------------------------------------------------------------- */

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

void vit_request_end_failed(VitBlockNode *node, VitBlockRequest *req)
{
    switch (judge(node, req)) {
    case VIT_ON_ERROR_STOP:
        if (node->quiesced > 0) { /* a drain waits for it, and starts it again */
            g_queue_push_tail(&node->waiting, req);
            vit_request_leave(node);
        } else {
            g_queue_push_tail(&node->held, req);
        }
        return;
    case VIT_ON_ERROR_IGNORE:
        vit_request_account(node, req, req->result);
        req->result = 0;
        req->done(req);
        vit_request_leave(node);
        return;
    default: vit_request_end(node, req);
    }
}

/* ---- held requests --------------------------------------------------------------------------- */

static void release_held(VitBlockNode *node, bool again)
{
    /* Only those of now: what fails once more is held once more. */
    for (guint left = g_queue_get_length(&node->held); left > 0; left--) {
        VitBlockRequest *req = g_queue_pop_head(&node->held);
        if (again) vit_request_dispatch(node, req);
        else vit_request_end(node, req);
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

/* ---- hurry ----------------------------------------------------------------------------------- */

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
