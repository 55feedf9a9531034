/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-transaction.c - several changes of disks at one moment, all or none
 *
 * The nodes spoken of stand still meanwhile.  Each action is done, with what leads back kept; when
 * one fails those before it are undone, the last first. */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include <string.h>

enum { MAX_ACTIONS = 256 };

typedef struct Action Action;
typedef struct {
    const char *name;
    const QmpType type; /* of what the action is: its data */
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

/* An action's data: the arguments of the command of its name. */
/* clang-format off */
#define DATA(ARGS)                                                                                 \
    { QMP_OBJECT, .members = (const QmpArg[]){                                                     \
        { "data", QMP_OBJECT, .type = &(const QmpType){ QMP_OBJECT, .members = (ARGS) } }, { 0 } } }
/* clang-format on */

static const Kind kinds[] = {
    { "abort", DATA(qmp_no_members), NULL, abort_act, NULL, NULL },
    { "block-dirty-bitmap-add", DATA(block_bitmap_add_args), "node", bitmap_add_act,
      bitmap_add_undo, NULL },
    { "block-dirty-bitmap-clear", DATA(qmp_bitmap_members), "node", bitmap_clear_act,
      bitmap_restore, NULL },
    { "block-dirty-bitmap-disable", DATA(qmp_bitmap_members), "node", bitmap_disable_act,
      bitmap_restore, NULL },
    { "block-dirty-bitmap-enable", DATA(qmp_bitmap_members), "node", bitmap_enable_act,
      bitmap_restore, NULL },
    { "block-dirty-bitmap-merge", DATA(block_bitmap_merge_args), "node", bitmap_merge_act,
      bitmap_restore, NULL },
    { "block-dirty-bitmap-remove", DATA(qmp_bitmap_members), "node", bitmap_remove_act,
      bitmap_remove_undo, bitmap_remove_finish },
    { "blockdev-backup", DATA(block_blockdev_backup_args), "device", blockdev_backup_act,
      backup_undo, backup_finish },
    { "blockdev-snapshot", DATA(block_snapshot_args), "node", snapshot_act, snapshot_undo, NULL },
    { "blockdev-snapshot-internal-sync", DATA(block_internal_snapshot_args), "device",
      internal_act, internal_undo, NULL },
    { "blockdev-snapshot-sync", DATA(block_snapshot_sync_args), "device", snapshot_sync_act,
      snapshot_undo, NULL },
    { "drive-backup", DATA(block_drive_backup_args), "device", drive_backup_act, backup_undo,
      backup_finish },
};

/* ---- The command ----------------------------------------------------------------------------- */

static const Kind *find_kind(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (!strcmp(name, kinds[i].name)) return &kinds[i];
    return NULL;
}

static char **kind_names(void)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) g_strv_builder_add(names, kinds[i].name);
    return g_strv_builder_end(names);
}

static const QmpType *action_of(const char *name)
{
    const Kind *kind = find_kind(name);

    return kind ? &kind->type : NULL;
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
static const QmpType properties_type = { QMP_OBJECT, .members = property_args };
static const QmpType kind_type = { QMP_STR, .list = kind_names };
static const QmpArg action_args[] = { { "type", QMP_STR, .type = &kind_type }, { 0 } };
static const QmpType action_type = { QMP_OBJECT, .members = action_args, .tag = "type",
                                     .branch = action_of };
static const QmpArg transaction_args[] = {
    { "actions", QMP_ARRAY, .type = &action_type },
    { "properties", QMP_OBJECT, true, .type = &properties_type },
    { 0 },
};

static bool run_transaction(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_object_get_array_member(args, "actions");
    guint count = json_array_get_length(list), done = 0;
    JsonNode *properties = json_object_get_member(args, "properties");
    bool good = true;

    if (count > MAX_ACTIONS) return control_fail(error, "At most %d actions at once", MAX_ACTIONS);
    if (properties &&
        !g_strcmp0(block_text(json_node_get_object(properties), "completion-mode"), "grouped"))
        return control_fail(error, "completion-mode=grouped is not supported; let the jobs end "
                                   "individually");
    g_autofree Action *actions = g_new0(Action, MAX(count, 1));
    for (guint i = 0; i < count; i++) {
        JsonObject *action = json_array_get_object_element(list, i);
        actions[i].kind = find_kind(block_text(action, "type"));
        actions[i].data = json_object_get_object_member(action, "data");
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
    { "transaction", transaction_args, NULL, .co_run = run_transaction }, { 0 }
};
