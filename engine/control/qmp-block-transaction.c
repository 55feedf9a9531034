/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-transaction.c - several changes of disks at one moment, all or none
 *
 * The nodes spoken of stand still meanwhile.  Each action is done, with what leads back kept; when
 * one fails those before it are undone, the last first. */
#include "engine/control/qmp-block.h"

#include <string.h>

enum { MAX_ACTIONS = 256 };

typedef struct Action Action;
typedef struct {
    const char *type;
    const char *node_key; /* of the member that names what must stand still; NULL: none */
    bool (*act)(ControlBlock *b, Action *a, GError **error);
    void (*undo)(ControlBlock *b, Action *a); /* NULL: nothing to undo */
    void (*finish)(ControlBlock *b, Action *a); /* all have succeeded; may be NULL */
} Kind;

struct Action {
    const Kind *kind;
    JsonObject *data; /* borrowed */
    VitBlockNode *still; /* a reference: drained; NULL: none */
    VitBlockBitmap *bitmap; /* borrowed: of the node */
    VitBlockBitmap *saved; /* the node's: what the bitmap held before; NULL: not needed */
    bool was_enabled;
    BlockSnapshot snapshot;
    VitBlockJob *job; /* a reference */
};

static bool abort_act(ControlBlock *b, Action *a, GError **error)
{
    return control_fail(error, "Transaction aborted using Abort action");
}

/* ---- Bitmaps --------------------------------------------------------------------------------- */

static bool bitmap_find(ControlBlock *b, Action *a, const char *key, GError **error)
{
    const char *node = block_text(a->data, "node"), *name = block_text(a->data, key);

    if (!node || !name)
        return control_fail(error, "Parameter '%s' is missing", node ? key : "node");
    a->bitmap = block_bitmap(b, node, name, error);
    if (!a->bitmap || !block_bitmap_usable(a->bitmap, error)) return false;
    a->was_enabled = vit_block_bitmap_enabled(a->bitmap);
    return true;
}

static bool bitmap_save(Action *a, GError **error)
{
    a->saved = vit_block_bitmap_new(vit_block_bitmap_node(a->bitmap), NULL,
                                    vit_block_bitmap_granularity(a->bitmap), error);
    if (!a->saved) return false;
    vit_block_bitmap_enable(a->saved, false);
    return vit_block_bitmap_merge(a->saved, a->bitmap, error);
}

static void bitmap_restore(ControlBlock *b, Action *a)
{
    g_autoptr(GError) error = NULL;

    vit_block_bitmap_enable(a->bitmap, a->was_enabled);
    if (!a->saved) return;
    vit_block_bitmap_clear(a->bitmap, 0, vit_block_bitmap_node(a->bitmap)->size);
    if (!vit_block_bitmap_merge(a->bitmap, a->saved, &error)) g_warning("%s", error->message);
}

static bool bitmap_add_act(ControlBlock *b, Action *a, GError **error)
{
    if (!block_text(a->data, "node") || !block_text(a->data, "name"))
        return control_fail(error, "Parameter '%s' is missing",
                            block_text(a->data, "node") ? "name" : "node");
    return block_bitmap_add(b, a->data, error) && bitmap_find(b, a, "name", error);
}

static void bitmap_add_undo(ControlBlock *b, Action *a)
{
    vit_block_bitmap_free(a->bitmap);
}

static bool bitmap_clear_act(ControlBlock *b, Action *a, GError **error)
{
    if (!bitmap_find(b, a, "name", error) || !bitmap_save(a, error)) return false;
    vit_block_bitmap_clear(a->bitmap, 0, vit_block_bitmap_node(a->bitmap)->size);
    return true;
}

static bool bitmap_enable_act(ControlBlock *b, Action *a, GError **error)
{
    if (!bitmap_find(b, a, "name", error)) return false;
    vit_block_bitmap_enable(a->bitmap, true);
    return true;
}

static bool bitmap_disable_act(ControlBlock *b, Action *a, GError **error)
{
    if (!bitmap_find(b, a, "name", error)) return false;
    vit_block_bitmap_enable(a->bitmap, false);
    return true;
}

static bool bitmap_merge_act(ControlBlock *b, Action *a, GError **error)
{
    JsonNode *list = json_object_get_member(a->data, "bitmaps");

    if (!list || !JSON_NODE_HOLDS_ARRAY(list))
        return control_fail(error, "Parameter 'bitmaps' is missing");
    return bitmap_find(b, a, "target", error) && bitmap_save(a, error) &&
           block_bitmap_merge_all(b, a->data, a->bitmap, error);
}

static bool bitmap_remove_act(ControlBlock *b, Action *a, GError **error)
{
    if (!bitmap_find(b, a, "name", error)) return false;
    vit_block_bitmap_set_busy(a->bitmap, true); /* nobody takes it up meanwhile */
    return true;
}

static void bitmap_remove_undo(ControlBlock *b, Action *a)
{
    vit_block_bitmap_set_busy(a->bitmap, false);
}

static void bitmap_remove_finish(ControlBlock *b, Action *a)
{
    VitBlockNode *node = vit_block_bitmap_node(a->bitmap);
    g_autoptr(GError) error = NULL;

    if (vit_block_bitmap_persistent(a->bitmap) && node->driver->co_bitmap_remove &&
        !node->driver->co_bitmap_remove(node, vit_block_bitmap_name(a->bitmap), &error))
        g_warning("%s", error->message);
    vit_block_bitmap_free(a->bitmap);
}

/* ---- Snapshots and backups ------------------------------------------------------------------- */

static bool snapshot_act(ControlBlock *b, Action *a, GError **error)
{
    return block_snapshot_do(b, a->data, false, &a->snapshot, error);
}

static bool snapshot_sync_act(ControlBlock *b, Action *a, GError **error)
{
    return block_snapshot_do(b, a->data, true, &a->snapshot, error);
}

static void snapshot_undo(ControlBlock *b, Action *a)
{
    block_snapshot_undo(b, &a->snapshot);
}

static bool internal_act(ControlBlock *b, Action *a, GError **error)
{
    return block_internal_snapshot(b, a->data, error);
}

static void internal_undo(ControlBlock *b, Action *a)
{
    g_autoptr(GError) error = NULL;

    if (!block_internal_delete(b, block_text(a->data, "device"), block_text(a->data, "name"),
                               &error))
        g_warning("%s", error->message);
}

static bool blockdev_backup_act(ControlBlock *b, Action *a, GError **error)
{
    a->job = block_backup_prepare(b, a->data, false, error);
    return a->job != NULL;
}

static bool drive_backup_act(ControlBlock *b, Action *a, GError **error)
{
    a->job = block_backup_prepare(b, a->data, true, error);
    return a->job != NULL;
}

static void backup_undo(ControlBlock *b, Action *a)
{
    g_autoptr(GError) error = NULL;

    if (!vit_block_job_cancel(a->job, true, &error)) g_warning("%s", error->message);
}

static void backup_finish(ControlBlock *b, Action *a)
{
    vit_block_job_start(a->job);
}

static const Kind kinds[] = {
    { "abort", NULL, abort_act, NULL, NULL },
    { "block-dirty-bitmap-add", "node", bitmap_add_act, bitmap_add_undo, NULL },
    { "block-dirty-bitmap-clear", "node", bitmap_clear_act, bitmap_restore, NULL },
    { "block-dirty-bitmap-disable", "node", bitmap_disable_act, bitmap_restore, NULL },
    { "block-dirty-bitmap-enable", "node", bitmap_enable_act, bitmap_restore, NULL },
    { "block-dirty-bitmap-merge", "node", bitmap_merge_act, bitmap_restore, NULL },
    { "block-dirty-bitmap-remove", "node", bitmap_remove_act, bitmap_remove_undo,
      bitmap_remove_finish },
    { "blockdev-backup", "device", blockdev_backup_act, backup_undo, backup_finish },
    { "blockdev-snapshot", "node", snapshot_act, snapshot_undo, NULL },
    { "blockdev-snapshot-internal-sync", "device", internal_act, internal_undo, NULL },
    { "blockdev-snapshot-sync", "device", snapshot_sync_act, snapshot_undo, NULL },
    { "drive-backup", "device", drive_backup_act, backup_undo, backup_finish },
};

/* ---- The command ----------------------------------------------------------------------------- */

static bool parse(JsonNode *element, Action *a, GError **error)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(element) ? json_node_get_object(element) : NULL;
    const char *type = object ? block_text(object, "type") : NULL;
    JsonNode *data = object ? json_object_get_member(object, "data") : NULL;

    if (!type || !data || !JSON_NODE_HOLDS_OBJECT(data))
        return control_fail(error, "Parameter 'actions' holds something without type and data");
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(type, kinds[i].type)) a->kind = &kinds[i];
    }
    a->data = json_node_get_object(data);
    return a->kind || control_fail(error, "Parameter 'type' does not accept value '%s'", type);
}

static void stand_still(ControlBlock *b, Action *a)
{
    g_autoptr(GError) ignored = NULL;
    const char *name = a->kind->node_key ? block_text(a->data, a->kind->node_key) : NULL;
    VitBlockNode *node = name ? block_find_either(b, name, &ignored) : NULL;

    if (!node && block_text(a->data, "node-name"))
        node = vit_block_graph_find(b->graph, block_text(a->data, "node-name"));
    if (!node) return; /* the action itself says so */
    a->still = vit_block_node_ref(node);
    vit_co_drain_begin(node);
}

static void clear(ControlBlock *b, Action *a)
{
    block_snapshot_clear(&a->snapshot);
    vit_block_bitmap_free(a->saved);
    vit_block_job_unref(a->job);
}

static const char *const completion_modes[] = { "individual", "grouped", NULL };
static const QmpArg property_args[] = { { "completion-mode", QMP_STR, true, completion_modes },
                                        { 0 } };
static const QmpArg transaction_args[] = { { "actions", QMP_ARRAY },
                                           { "properties", QMP_OBJECT, true },
                                           { 0 } };

static bool run_transaction(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_object_get_array_member(args, "actions");
    guint count = json_array_get_length(list), done = 0;
    JsonNode *properties = json_object_get_member(args, "properties");
    bool good = true;

    if (count > MAX_ACTIONS) return control_fail(error, "At most %d actions at once", MAX_ACTIONS);
    if (properties && !qmp_check(property_args, json_node_get_object(properties), error))
        return false;
    if (properties &&
        !g_strcmp0(block_text(json_node_get_object(properties), "completion-mode"), "grouped"))
        return control_fail(error, "completion-mode=grouped is not supported; let the jobs end "
                                   "individually");
    g_autofree Action *actions = g_new0(Action, MAX(count, 1));
    for (guint i = 0; i < count; i++) {
        if (!parse(json_array_get_element(list, i), &actions[i], error)) return false;
    }
    for (guint i = 0; i < count; i++) stand_still(b, &actions[i]);
    while (good && done < count) {
        good = actions[done].kind->act(b, &actions[done], error);
        done += good;
    }
    for (guint i = done; !good && i-- > 0;) {
        if (actions[i].kind->undo) actions[i].kind->undo(b, &actions[i]);
    }
    for (guint i = 0; good && i < count; i++) {
        if (actions[i].kind->finish) actions[i].kind->finish(b, &actions[i]);
    }
    for (guint i = count; i-- > 0;) {
        if (actions[i].still) vit_co_drain_end(actions[i].still);
    }
    for (guint i = 0; i < count; i++) {
        clear(b, &actions[i]);
        vit_block_node_unref(actions[i].still);
    }
    return good;
}

const QmpCommand qmp_block_transaction_commands[] = {
    { "transaction", transaction_args, QMP_OBJECT, .co_run = run_transaction }, { 0 }
};
