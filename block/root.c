/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/root.c - the root that a device or an export holds: passes requests on to what is below
 * now, under limits if there are any, and through the host's cache where the drive has none */
#include "block/drivers.h"
#include "block/node-private.h"
#include "block/throttle/pool.h"
#include "block/throttle/submit.h"

typedef struct {
    VitBlockNode parent;
    VitThrottleMember *member; /* owned; NULL: no limits */
    unsigned hurried; /* drains under way */
    char *user; /* owned: QOM path of the device, or NULL */
    bool anonymous;
    bool write_through; /* every write is stable when it ends */
} Root;

static bool root_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Root *r = (Root *)node;
    VitBlockRequest *child = vit_block_child_request(req);

    if (r->write_through && (req->op == VIT_BLOCK_WRITE || req->op == VIT_BLOCK_WRITE_ZEROES))
        child->flags |= VIT_BLOCK_FUA;
    if (r->member) vit_throttle_submit(r->member, node, child);
    else vit_block_submit(node->file->node, child);
    return true;
}

static void root_hurry(VitBlockNode *node, bool on)
{
    Root *r = (Root *)node;

    r->hurried += on ? 1 : -1u;
    if (r->member) vit_throttle_hurry(r->member, on);
}

static void root_attach(VitBlockNode *node)
{
    Root *r = (Root *)node;

    if (r->member) vit_throttle_move(r->member, node->thread);
}

static void root_info(VitBlockNode *node, VitBlockInfo *info)
{
    vit_block_forward_info(node, info);
    info->write_through = ((Root *)node)->write_through;
}

static void root_close(VitBlockNode *node)
{
    Root *r = (Root *)node;

    vit_throttle_leave(r->member);
    g_free(r->user);
}

const VitBlockDriver vit_block_root_driver = {
    .name = "root",
    .kind = VIT_BLOCK_FILTER,
    .instance_size = sizeof(Root),
    .co_close = root_close,
    .try_submit = root_submit,
    .hurry = root_hurry,
    .attach = root_attach,
    .info = root_info,
    .co_status = vit_block_forward_status,
};

VitBlockNode *vit_block_root_new(VitBlockNode *node, const char *id)
{
    VitBlockNode *root = vit_block_node_new(&vit_block_root_driver, node->filename, node->thread);

    g_free(root->name);
    root->name = g_strdup(id);
    root->size = node->size;
    root->how = node->how;
    root->opened = true;
    vit_block_add_edge(root, node, "root", VIT_EDGE_FILTERED);
    return root;
}

VitBlockNode *vit_block_root_node(VitBlockNode *root)
{
    VitBlockNode *node = root->file->node;

    while (node->implicit) node = node->file->node;
    return node;
}

void vit_block_root_set_write_through(VitBlockNode *root, bool write_through)
{
    ((Root *)root)->write_through = write_through;
}

void vit_block_root_set_anonymous(VitBlockNode *root)
{
    ((Root *)root)->anonymous = true;
}

const char *vit_block_root_device(const VitBlockNode *root)
{
    return ((const Root *)root)->anonymous ? "" : root->name;
}

void vit_block_root_set_user(VitBlockNode *root, const char *path)
{
    Root *r = (Root *)root;

    g_free(r->user);
    r->user = g_strdup(path);
}

const char *vit_block_root_user(const VitBlockNode *root)
{
    return ((const Root *)root)->user;
}

/* ---- limits ---------------------------------------------------------------------------------- */

typedef struct {
    Root *root;
    VitBlockObject *group;
} Throttle;

static void throttle_fiber(void *opaque)
{
    Throttle *t = opaque;
    Root *r = t->root;

    vit_co_drain_begin(&r->parent);
    vit_throttle_leave(r->member);
    r->member = t->group ? vit_throttle_join(t->group, r->parent.thread) : NULL;
    for (unsigned i = 0; r->member && i < r->hurried; i++) vit_throttle_hurry(r->member, true);
    vit_co_drain_end(&r->parent);
}

void vit_block_root_throttle(VitBlockNode *root, VitBlockObject *group)
{
    Throttle t = { (Root *)root, group };
    VitBlockGraph *graph = root->file->node->graph;
    VitIoThread *home = graph ? vit_block_graph_thread(graph) : NULL;

    /* A command's fiber must not hold up its thread: the root's may need it. */
    if (home && vit_io_thread_is_current(home)) vit_co_block_run(home, root, throttle_fiber, &t);
    else vit_block_run(root, throttle_fiber, &t);
}

VitBlockObject *vit_block_root_throttle_group(VitBlockNode *root)
{
    VitThrottleMember *member = ((Root *)root)->member;

    return member ? vit_throttle_member_group(member) : NULL;
}
