/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-snapshots.c - overlays and internal snapshots by command */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include <string.h>

/* ---- Overlays -------------------------------------------------------------------------------- */

static const char *const modes[] = { "existing", "absolute-paths", NULL };
const QmpArg block_snapshot_sync_args[] = { { "device", QMP_STR, true },
                                    { "node-name", QMP_STR, true },
                                    { "snapshot-file", QMP_STR },
                                    { "snapshot-node-name", QMP_STR, true },
                                    { "format", QMP_STR, true },
                                    { "mode", QMP_STR, true, modes },
                                    { 0 } };
const QmpArg block_snapshot_args[] = { { "node", QMP_STR }, { "overlay", QMP_STR }, { 0 } };

/* Makes and opens the overlay of blockdev-snapshot-sync: a reference. */
static VitBlockNode *make_overlay(ControlBlock *b, JsonObject *args, VitBlockNode *node,
                                  GError **error)
{
    const char *file = block_text(args, "snapshot-file");
    const char *name = block_text(args, "snapshot-node-name");
    const char *format = block_text(args, "format") ?: "qcow2";
    g_autoptr(JsonObject) extra = json_object_new();

    if (block_text(args, "node-name") && !name) {
        control_fail(error, "New overlay node-name missing");
        return NULL;
    }
    if (name && vit_block_graph_find(b->graph, name)) {
        control_fail(error, "New overlay node-name already in use");
        return NULL;
    }
    const VitBlockDriver *driver = vit_block_driver_find(format);
    if (!driver || !driver->supports_backing) {
        control_fail(error,
                     driver ? "The overlay does not support backing images"
                            : "Invalid snapshot format '%s'",
                     format);
        return NULL;
    }
    if (g_strcmp0(block_text(args, "mode"), "existing") &&
        !vit_block_graph_create(b->graph, file, format, node->size, node->filename,
                                node->driver->name, NULL, error))
        return NULL;
    if (name) json_object_set_string_member(extra, "node-name", name);
    json_object_set_null_member(extra, "backing");
    unsigned flags = (node->how.direct ? VIT_OPEN_DIRECT : 0u) |
                     (node->how.no_flush ? VIT_OPEN_NO_FLUSH : 0u) |
                     (node->how.discard ? VIT_OPEN_DISCARD : 0u);
    return vit_block_graph_open_image(b->graph, file, format, extra, flags, error);
}

static VitBlockNode *find_overlay(ControlBlock *b, JsonObject *args, GError **error)
{
    VitBlockNode *overlay = block_find_either(b, block_text(args, "overlay"), error);

    if (!overlay) return NULL;
    if (!overlay->driver->supports_backing)
        control_fail(error, "The overlay does not support backing images");
    else if (overlay->backing) control_fail(error, "The overlay already has a backing image");
    else if (overlay->parents->len > 0 || overlay->claims)
        control_fail(error, "The overlay is already in use");
    else return vit_block_node_ref(overlay);
    return NULL;
}

bool block_snapshot_do(ControlBlock *b, JsonObject *args, bool sync, BlockSnapshot *done,
                       GError **error)
{
    VitBlockNode *node, *overlay;

    node = sync ? block_find(b, block_text(args, "device"), block_text(args, "node-name"), error)
                : block_find_either(b, block_text(args, "node"), error);
    if (!node || !block_check_free(node, error)) return false;
    overlay = sync ? make_overlay(b, args, node, error) : find_overlay(b, args, error);
    if (!overlay) return false;
    if (overlay == node || overlay->size < node->size) {
        vit_block_node_unref(overlay);
        return control_fail(error, overlay == node ? "The overlay is already in use"
                                                   : "The overlay is smaller than the image");
    }
    /* What fails is better known now; the last writes are flushed once there are no more. */
    int flushed = node->how.read_only || node->quiesced > 0 ? 0 : vit_co_flush(node);
    if (flushed < 0) {
        vit_block_node_unref(overlay);
        return vit_block_fail_errno(error, flushed, "Could not flush “%s”", node->filename);
    }
    vit_co_drain_begin(node);
    vit_block_add_edge(overlay, vit_block_node_ref(node), "backing", VIT_EDGE_BACKING);
    bool good = vit_block_graph_replace(b->graph, node, overlay, error);
    if (good) vit_block_claims_move(node, overlay);
    else vit_block_drop_edge(overlay->backing);
    vit_co_drain_end(node);
    if (good && overlay->parents->len == 0) { /* nobody uses the node yet: its name stays */
        g_autoptr(GError) there = NULL;
        if (!vit_block_graph_add(b->graph, overlay, &there)) g_debug("%s", there->message);
    }
    if (good)
        *done = (BlockSnapshot){ vit_block_node_ref(node), vit_block_node_ref(overlay), sync };
    vit_block_node_unref(overlay);
    return good;
}

/* The overlay keeps its image open for writing no longer than it must. */
static void seal(BlockSnapshot *done)
{
    g_autoptr(GError) error = NULL;

    int flushed = done->node->how.read_only ? 0 : vit_co_flush(done->node);
    if (flushed < 0)
        g_warning("“%s” could not be flushed: %s", done->node->filename, g_strerror(-flushed));
    if (!vit_block_set_read_only(done->node, true, &error))
        g_debug("%s", error->message); /* others may still write to it by themselves */
}

void block_snapshot_undo(ControlBlock *b, BlockSnapshot *done)
{
    g_autoptr(GError) error = NULL;

    vit_co_drain_begin(done->overlay);
    vit_block_claims_move(done->overlay, done->node);
    if (!vit_block_graph_replace(b->graph, done->overlay, done->node, &error))
        g_warning("%s", error->message);
    vit_block_drop_edge(done->overlay->backing);
    vit_co_drain_end(done->overlay);
    g_clear_error(&error);
    if (done->made && vit_block_graph_find(b->graph, vit_block_node_name(done->overlay)) &&
        !vit_block_graph_remove(b->graph, vit_block_node_name(done->overlay), &error))
        g_debug("%s", error->message);
    done->made = false;
    g_clear_pointer(&done->node, vit_block_node_unref);
    g_clear_pointer(&done->overlay, vit_block_node_unref);
}

void block_snapshot_clear(BlockSnapshot *done)
{
    if (done->node) seal(done);
    g_clear_pointer(&done->node, vit_block_node_unref);
    g_clear_pointer(&done->overlay, vit_block_node_unref);
}

static bool snapshot(ControlBlock *b, JsonObject *args, bool sync, GError **error)
{
    BlockSnapshot done = { 0 };
    bool good = block_snapshot_do(b, args, sync, &done, error);

    block_snapshot_clear(&done);
    return good;
}

static bool run_sync(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return snapshot(b, args, true, error);
}

static bool run_snapshot(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return snapshot(b, args, false, error);
}

static const QmpArg backing_args[] = {
    { "device", QMP_STR }, { "image-node-name", QMP_STR }, { "backing-file", QMP_STR }, { 0 }
};

static bool run_change_backing(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockNode *node = block_find_either(b, block_text(args, "device"), error);
    VitBlockNode *image = node ? block_find(b, NULL, block_text(args, "image-node-name"), error)
                               : NULL;
    VitBlockNode *at = node;

    if (!image) return false;
    while (at && at != image)
        at = at->driver->kind == VIT_BLOCK_FILTER ? (at->file ? at->file->node : NULL)
             : at->backing                        ? at->backing->node
                                                  : NULL;
    if (!image->backing)
        return control_fail(error, "not allowing backing file change on an image without a "
                                   "backing file");
    if (!at)
        return control_fail(error, "'%s' and image file are not in the same chain",
                            block_text(args, "device"));
    if (!image->driver->co_change_backing)
        return control_fail(error, "Could not change the backing file of '%s' to '%s'",
                            vit_block_node_name(image), block_text(args, "backing-file"));
    bool was_read_only = image->how.read_only;
    if (was_read_only && !vit_block_set_read_only(image, false, error)) return false;
    bool good = image->driver->co_change_backing(image, block_text(args, "backing-file"),
                                                 image->backing->node->driver->name, error);
    return (!was_read_only || vit_block_set_read_only(image, true, good ? error : NULL)) && good;
}

/* ---- Internal snapshots ---------------------------------------------------------------------- */

static GPtrArray *list_snapshots(VitBlockNode *node, GError **error)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_snapshot_free);

    if (node->driver->co_snapshot_list && node->driver->co_snapshot_list(node, list, error))
        return list;
    if (!node->driver->co_snapshot_list)
        control_fail(error,
                     "Block format '%s' used by device '%s' does not support internal snapshots",
                     node->driver->name, node->name);
    g_ptr_array_unref(list);
    return NULL;
}

static VitBlockSnapshot *find_snapshot(GPtrArray *list, const char *id, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        VitBlockSnapshot *s = list->pdata[i];
        if ((!id || !g_strcmp0(s->id, id)) && (!name || !g_strcmp0(s->name, name))) return s;
    }
    return NULL;
}

const QmpArg block_internal_snapshot_args[] = { { "device", QMP_STR }, { "name", QMP_STR }, { 0 } };
static const QmpArg delete_args[] = {
    { "device", QMP_STR }, { "id", QMP_STR, true }, { "name", QMP_STR, true }, { 0 }
};

bool block_internal_snapshot(ControlBlock *b, JsonObject *args, GError **error)
{
    const char *device = block_text(args, "device"), *name = block_text(args, "name");
    VitBlockNode *node;

    if (!(node = block_find_either(b, device, error))) return false;
    if (node->how.read_only) return control_fail(error, "Device '%s' is read only", device);
    if (!*name) return control_fail(error, "Name is empty");
    g_autoptr(GPtrArray) list = list_snapshots(node, error);
    if (!list) return false;
    if (find_snapshot(list, NULL, name))
        return control_fail(error, "Snapshot with name '%s' already exists on device '%s'", name,
                            device);
    g_autoptr(VitBlockSnapshot) s = vit_block_snapshot_new();
    gint64 now = g_get_real_time();
    s->name = g_strdup(name);
    s->disk_size = node->size;
    s->date_sec = (uint32_t)(now / G_USEC_PER_SEC);
    s->date_nsec = (uint32_t)(now % G_USEC_PER_SEC * 1000);
    vit_co_drain_begin(node);
    bool good = node->driver->co_snapshot_create(node, s, error);
    vit_co_drain_end(node);
    return good;
}

bool block_internal_delete(ControlBlock *b, const char *device, const char *name, GError **error)
{
    VitBlockNode *node = block_find_either(b, device, error);

    return node && node->driver->co_snapshot_delete(node, name, error);
}

static bool run_internal(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return block_internal_snapshot(b, args, error);
}

static bool run_delete(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *device = block_text(args, "device"), *id = block_text(args, "id");
    const char *name = block_text(args, "name");
    VitBlockNode *node = block_find_either(b, device, error);

    if (!node) return false;
    if (!id && !name) return control_fail(error, "Name or id must be provided");
    g_autoptr(GPtrArray) list = list_snapshots(node, error);
    VitBlockSnapshot *s = list ? find_snapshot(list, id, name) : NULL;
    if (!s)
        return list && control_fail(error,
                                    "Snapshot with id '%s' and name '%s' does not exist on "
                                    "device '%s'",
                                    id ?: "(null)", name ?: "(null)", device);
    vit_co_drain_begin(node);
    bool good = node->driver->co_snapshot_delete(node, s->id, error);
    vit_co_drain_end(node);
    if (!good) return false;
    JsonObject *info = json_object_new();
    json_object_set_string_member(info, "id", s->id);
    json_object_set_string_member(info, "name", s->name);
    json_object_set_int_member(info, "vm-state-size", (gint64)s->vm_state_size);
    json_object_set_int_member(info, "date-sec", s->date_sec);
    json_object_set_int_member(info, "date-nsec", s->date_nsec);
    json_object_set_int_member(info, "vm-clock-sec", (gint64)(s->vm_clock_nsec / 1000000000));
    json_object_set_int_member(info, "vm-clock-nsec", (gint64)(s->vm_clock_nsec % 1000000000));
    if (s->icount >= 0) json_object_set_int_member(info, "icount", s->icount);
    *result = qmp_object(info);
    return true;
}

const QmpCommand qmp_block_snapshot_commands[] = {
    { "blockdev-snapshot", block_snapshot_args, NULL, .co_run = run_snapshot },
    { "blockdev-snapshot-delete-internal-sync", delete_args, &qmp_snapshot_type,
      .co_run = run_delete },
    { "blockdev-snapshot-internal-sync", block_internal_snapshot_args, NULL,
      .co_run = run_internal },
    { "blockdev-snapshot-sync", block_snapshot_sync_args, NULL, .co_run = run_sync },
    { "change-backing-file", backing_args, NULL, .co_run = run_change_backing },
    { 0 }
};
