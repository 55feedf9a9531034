/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/nbd.c - a node under a name of the NBD server, with its dirty bitmaps */
#include "block/driver.h"
#include "block/nbd/protocol.h"
#include "block/nbd/server.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* In the node, or in what lies below it and its filters. */
static VitBlockBitmap *find_bitmap(VitBlockNode *node, const char *name)
{
    while (node) {
        VitBlockBitmap *bitmap = vit_block_bitmap_find(node, name);
        if (bitmap) return bitmap;
        if (node->backing) node = node->backing->node;
        else if (node->driver->kind == VIT_BLOCK_FILTER && node->file) node = node->file->node;
        else node = NULL;
    }
    return NULL;
}

static bool add_bitmap(VitNbdExport *e, VitBlockNode *node, const char *name, GError **error)
{
    VitBlockBitmap *bitmap = find_bitmap(node, name);

    if (!bitmap)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("Bitmap '%s' is not found"),
                              name);
    if (vit_block_bitmap_busy(bitmap))
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_BUSY,
            _("Bitmap '%s' is currently in use by another operation and cannot be "
              "used"),
            name);
    if (vit_block_bitmap_inconsistent(bitmap))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Bitmap '%s' is inconsistent and cannot be used; try "
                                "block-dirty-bitmap-remove to delete this bitmap from disk"),
                              name);
    if (!e->parent.writable && !node->how.read_only && vit_block_bitmap_enabled(bitmap))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Enabled bitmap '%s' incompatible with readonly export"), name);
    if (strlen(name) + strlen("qemu:dirty-bitmap:") > VIT_NBD_MAX_STRING)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("export bitmap name '%s' too long"),
                              name);
    vit_block_bitmap_set_busy(bitmap, true);
    g_ptr_array_add(e->bitmaps, bitmap);
    g_ptr_array_add(e->bitmap_names, g_strdup(name));
    g_ptr_array_add(e->holders, vit_block_node_ref(vit_block_bitmap_node(bitmap)));
    return true;
}

static bool take_bitmap(VitNbdExport *e, JsonNode *value, GError **error)
{
    VitBlockNode *node = vit_block_root_node(vit_block_far(e->parent.node));

    if (JSON_NODE_HOLDS_VALUE(value) && json_node_get_string(value))
        return add_bitmap(e, node, json_node_get_string(value), error);
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
    const char *at = o ? json_object_get_string_member_with_default(o, "node", NULL) : NULL;
    const char *name = o ? json_object_get_string_member_with_default(o, "name", NULL) : NULL;
    if (!at || !name)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'bitmaps' takes names, or objects with node and name"));
    node = vit_block_graph_find(vit_block_exports_graph(e->parent.exports), at);
    if (!node)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Cannot find device='' nor node-name='%s'"), at);
    return add_bitmap(e, node, name, error);
}

static bool take_bitmaps(VitNbdExport *e, VitBlockArgs *args, GError **error)
{
    JsonNode *value = vit_block_args_node(args, "bitmaps");

    if (!value) return true;
    if (!JSON_NODE_HOLDS_ARRAY(value)) return take_bitmap(e, value, error);
    JsonArray *list = json_node_get_array(value);
    for (guint i = 0; i < json_array_get_length(list); i++)
        if (!take_bitmap(e, json_array_get_element(list, i), error)) return false;
    return true;
}

typedef struct {
    VitNbdExport *export;
    VitBlockArgs *args;
    GError **error;
    bool good;
} Take;

/* Where the node is: also bitmaps are given back there. */
static void take_there(void *opaque)
{
    Take *t = opaque;
    VitBlockNode *node = vit_block_root_node(vit_block_far(t->export->parent.node));

    t->export->min_block = node->probed ? 512 : 1; /* as QEMU's: the nodes take any alignment */
    t->good = take_bitmaps(t->export, t->args, t->error);
}

static void give_there(void *opaque)
{
    VitNbdExport *e = opaque;

    for (guint i = 0; i < e->bitmaps->len; i++)
        vit_block_bitmap_set_busy(e->bitmaps->pdata[i], false);
}

static void clear(VitNbdExport *e)
{
    VitBlockNode *node = e->parent.node;

    vit_co_block_run(vit_block_node_thread(node), vit_block_far(node), give_there, e);
    g_ptr_array_unref(e->bitmaps);
    g_ptr_array_unref(e->bitmap_names);
    g_ptr_array_unref(e->holders);
    g_free(e->name);
    g_free(e->description);
}

static bool nbd_start(VitBlockExport *export, VitBlockArgs *args, GError **error)
{
    VitNbdExport *e = (VitNbdExport *)export;
    VitNbdServer *server = vit_block_exports_nbd(export->exports);
    const char *name = vit_block_args_str(args, "name");
    const char *description = vit_block_args_str(args, "description");

    if (!server) return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("NBD server not running"));
    if (!name) name = export->node_name;
    if (strlen(name) > VIT_NBD_MAX_STRING)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("export name '%s' too long"), name);
    if (description && strlen(description) > VIT_NBD_MAX_STRING)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("description '%s' too long"),
                              description);
    e->name = g_strdup(name);
    e->description = g_strdup(description);
    e->bitmaps = g_ptr_array_new();
    e->bitmap_names = g_ptr_array_new_with_free_func(g_free);
    e->holders = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_node_unref);
    e->gone.thread = vit_block_node_thread(export->node);
    Take take = { e, args, error, false };
    vit_co_block_run(e->gone.thread, vit_block_far(export->node), take_there, &take);
    bool good = take.good &&
                vit_block_args_bool(args, "allocation-depth", &e->allocation_depth, error) &&
                vit_nbd_server_add(server, e, error);
    if (!good) clear(e);
    return good;
}

static void nbd_stop(VitBlockExport *export)
{
    VitNbdExport *e = (VitNbdExport *)export;

    vit_nbd_server_remove(vit_block_exports_nbd(export->exports), e);
    vit_co_nbd_export_drop(e);
    clear(e);
}

static unsigned nbd_clients(VitBlockExport *export)
{
    return g_queue_get_length(&((VitNbdExport *)export)->connections);
}

const VitBlockExportClass vit_nbd_export_class = {
    .type = "nbd",
    .instance_size = sizeof(VitNbdExport),
    .co_start = nbd_start,
    .co_stop = nbd_stop,
    .clients = nbd_clients,
};
