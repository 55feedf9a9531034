/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/throttle.c - requests wait until the limits of a throttle group let them run */
#include "block/drivers.h"
#include "block/throttle/submit.h"

#include <glib/gi18n-lib.h>

typedef struct {
    VitBlockNode parent;
    VitThrottleMember *member; /* owned */
} Throttle;

static bool throttle_submit(VitBlockNode *node, VitBlockRequest *req)
{
    vit_throttle_submit(((Throttle *)node)->member, node, vit_block_child_request(req));
    return true;
}

static void throttle_hurry(VitBlockNode *node, bool on)
{
    vit_throttle_hurry(((Throttle *)node)->member, on);
}

static void throttle_attach(VitBlockNode *node)
{
    vit_throttle_move(((Throttle *)node)->member, node->thread);
}

static bool throttle_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    const char *id = vit_block_args_str(args, "throttle-group");

    if (!id)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'throttle-group' is missing"));
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILTERED, error)) return false;
    VitBlockObject *group = vit_block_objects_use(vit_block_graph_objects(node->graph), id,
                                                  "throttle-group", error);
    if (!group) return false;
    ((Throttle *)node)->member = vit_throttle_join(group, node->thread);
    node->size = node->file->node->size;
    node->grows = node->file->node->driver->kind == VIT_BLOCK_PROTOCOL || node->file->node->grows;
    return true;
}

static void throttle_close(VitBlockNode *node)
{
    vit_throttle_leave(((Throttle *)node)->member);
}

const VitBlockDriver vit_block_throttle_driver = {
    .name = "throttle",
    .kind = VIT_BLOCK_FILTER,
    .instance_size = sizeof(Throttle),
    .co_open = throttle_open,
    .co_close = throttle_close,
    .try_submit = throttle_submit,
    .hurry = throttle_hurry,
    .attach = throttle_attach,
    .co_status = vit_block_forward_status,
    .info = vit_block_forward_info,
};
