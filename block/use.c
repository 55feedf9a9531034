/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/use.c - claims: who uses a node and how; and the uses of devices, which are told of what
 * happens to their drive */
#include "block/node-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- claims ---------------------------------------------------------------------------------- */

struct VitBlockClaim {
    VitBlockNode *node; /* a reference */
    unsigned use;
    char *who; /* owned */
};

static void conflict(GError **error, const VitBlockNode *node, const char *writer,
                     const char *keeper)
{
    vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                   _("Permission conflict on node '%s': permissions 'write' are both required by "
                     "%s (uses node '%s' as 'root' child) and unshared by %s (uses node '%s' as "
                     "'root' child)."),
                   node->name, writer, node->name, keeper, node->name);
}

VitBlockClaim *vit_block_claim(VitBlockNode *node, unsigned use, const char *who, GError **error)
{
    if ((use & VIT_CLAIM_WRITE) && node->how.read_only) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Block node '%s' is read-only"),
                       node->name);
        return NULL;
    }
    for (GSList *l = node->claims; l; l = l->next) {
        VitBlockClaim *c = l->data;
        bool writes = (c->use & VIT_CLAIM_WRITE) && !(use & VIT_CLAIM_SHARE_WRITE);
        bool keeps = (use & VIT_CLAIM_WRITE) && !(c->use & VIT_CLAIM_SHARE_WRITE);
        if (!writes && !keeps) continue;
        conflict(error, node, writes ? c->who : who, writes ? who : c->who);
        return NULL;
    }
    VitBlockClaim *claim = g_new0(VitBlockClaim, 1);
    *claim = (VitBlockClaim){ vit_block_node_ref(node), use, g_strdup(who) };
    node->claims = g_slist_prepend(node->claims, claim);
    return claim;
}

void vit_block_claim_free(VitBlockClaim *claim)
{
    if (!claim) return;
    claim->node->claims = g_slist_remove(claim->node->claims, claim);
    vit_block_node_unref(claim->node);
    g_free(claim->who);
    g_free(claim);
}

void vit_block_claims_move(VitBlockNode *from, VitBlockNode *to)
{
    for (GSList *l = from->claims; l; l = l->next) {
        VitBlockClaim *claim = l->data;
        claim->node = vit_block_node_ref(to);
    }
    guint count = g_slist_length(from->claims);
    to->claims = g_slist_concat(g_steal_pointer(&from->claims), to->claims);
    while (count-- > 0) vit_block_node_unref(from);
}

const char *vit_block_fixed_by(const VitBlockNode *node)
{
    for (GSList *l = node->claims; l; l = l->next) {
        const VitBlockClaim *claim = l->data;
        if (!(claim->use & VIT_CLAIM_FOLLOWS)) return claim->who;
    }
    return NULL;
}

const char *vit_block_claimant(const VitBlockNode *node, const char *prefix)
{
    for (GSList *l = node->claims; l; l = l->next) {
        const VitBlockClaim *claim = l->data;
        if (g_str_has_prefix(claim->who, prefix)) return claim->who;
    }
    return NULL;
}

/* ---- uses ------------------------------------------------------------------------------------ */

struct VitBlockUse {
    VitBlockNode *node; /* borrowed: it outlives the use */
    const VitBlockUser *user; /* borrowed */
    void *opaque;
    VitBlockClaim *claim; /* owned */
};

typedef struct {
    VitBlockUse *use;
    const char *who;
    unsigned claim;
    GError **error;
    bool good;
} Begin;

/* Who uses a root uses what it stands on. */
static VitBlockNode *below(VitBlockNode *node)
{
    return strcmp(node->driver->name, "root") == 0 ? vit_block_root_node(node) : node;
}

static void begin_fiber(void *opaque)
{
    Begin *b = opaque;
    VitBlockUse *use = b->use;

    use->claim = vit_block_claim(below(use->node), b->claim, b->who, b->error);
    b->good = use->claim != NULL;
    if (b->good) use->node->users = g_slist_prepend(use->node->users, use);
}

VitBlockUse *vit_block_use(VitBlockNode *node, unsigned claim, const char *id,
                           const VitBlockUser *user, void *opaque, GError **error)
{
    g_autofree char *who = g_strdup_printf("block device '%s'", id);
    VitBlockUse *use = g_new(VitBlockUse, 1);
    Begin b = { .use = use, .who = who, .claim = claim, .error = error };

    if (user->moved) b.claim |= VIT_CLAIM_FOLLOWS;
    *use = (VitBlockUse){ .node = node, .user = user, .opaque = opaque };
    vit_block_run(node, begin_fiber, &b);
    if (b.good) return use;
    g_free(use);
    return NULL;
}

static void end_fiber(void *opaque)
{
    VitBlockUse *use = opaque;

    use->node->users = g_slist_remove(use->node->users, use);
    vit_block_claim_free(use->claim);
}

void vit_block_use_end(VitBlockUse *use)
{
    if (!use) return;
    vit_block_run(use->node, end_fiber, use);
    g_free(use);
}

void vit_block_tell_resized(VitBlockNode *node)
{
    for (GSList *l = node->users; l; l = l->next) {
        const VitBlockUse *use = l->data;
        if (use->user->resized) use->user->resized(use->opaque);
    }
}

void vit_block_tell_moved(VitBlockNode *node)
{
    for (GSList *l = node->users; l; l = l->next) {
        const VitBlockUse *use = l->data;
        if (use->user->moved) use->user->moved(use->opaque, node->thread);
    }
}

/* ---- where a device works -------------------------------------------------------------------- */

bool vit_block_place_take(VitBlockPlace *place, VitBlockObjects *objects, const char *id,
                          GError **error)
{
    *place = (VitBlockPlace){ 0 };
    if (!id) return true;
    if (!objects)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("object '%s' not found"), id);
    place->object = vit_block_objects_use(objects, id, "iothread", error);
    return place->object != NULL;
}

bool vit_block_place_bring(VitBlockPlace *place, VitBlockNode *node, VitIoThread *thread,
                           GError **error)
{
    VitIoThread *back = vit_block_node_thread(node);

    if (back == thread) return true;
    if (!vit_block_move(node, thread, error)) return false;
    place->back = back;
    return true;
}

void vit_block_place_leave(VitBlockPlace *place, VitBlockNode *node)
{
    VitBlockObject *object = g_steal_pointer(&place->object);
    VitIoThread *back = g_steal_pointer(&place->back);
    g_autoptr(GError) error = NULL;

    if (node && back && !vit_block_move(node, back, &error)) {
        VitBlockGraph *graph = below(node)->graph;
        g_debug("%s", error->message);
        if (graph && object) vit_block_graph_keep(graph, g_steal_pointer(&object));
    }
    vit_block_object_release(object);
}
