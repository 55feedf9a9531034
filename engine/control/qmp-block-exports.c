/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-exports.c - the NBD server, exports and objects by command */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include <string.h>

/* ---- The NBD server -------------------------------------------------------------------------- */

static const QmpArg start_args[] = { { "addr", QMP_OBJECT, .type = &qmp_wrapped_address_type },
                                     { "handshake-max-seconds", QMP_INT, true },
                                     { "tls-creds", QMP_STR, true },
                                     { "tls-authz", QMP_STR, true },
                                     { "max-connections", QMP_INT, true },
                                     { 0 } };

/* {"type": T, "data": {...}} as this command has it -> {"type": T, ...}. */
static JsonObject *flatten(JsonObject *args)
{
    JsonObject *addr = json_object_get_object_member(args, "addr");
    JsonObject *data = json_object_get_object_member(addr, "data");
    JsonObject *flat = json_object_new(), *out = json_object_new();
    g_autoptr(GList) members = json_object_get_members(args);

    g_autoptr(GList) inner = json_object_get_members(data);
    json_object_set_string_member(flat, "type", block_text(addr, "type"));
    for (GList *l = inner; l; l = l->next)
        json_object_set_member(flat, l->data,
                               json_object_dup_member(data, l->data));
    for (GList *l = members; l; l = l->next) {
        if (strcmp(l->data, "addr"))
            json_object_set_member(out, l->data, json_object_dup_member(args, l->data));
    }
    json_object_set_object_member(out, "addr", flat);
    return out;
}

static bool run_start(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    g_autoptr(JsonObject) flat = flatten(args);
    g_autoptr(VitBlockArgs) options = vit_block_args_new(NULL, flat, error);

    return options && vit_block_exports_nbd_start(b->exports, options, error);
}

static bool run_stop(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return vit_block_exports_nbd_stop(b->exports, error);
}

static const QmpArg nbd_add_args[] = {
    { "device", QMP_STR },          { "name", QMP_STR, true },   { "description", QMP_STR, true },
    { "writable", QMP_BOOL, true }, { "bitmap", QMP_STR, true }, { 0 }
};

static bool run_nbd_add(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *device = block_text(args, "device"), *name = block_text(args, "name") ?: device;
    const char *description = block_text(args, "description");
    const char *bitmap = block_text(args, "bitmap");
    VitBlockNode *node = block_find_either(b, device, error);
    g_autoptr(JsonObject) options = json_object_new();

    if (!node) return false;
    json_object_set_string_member(options, "type", "nbd");
    json_object_set_string_member(options, "id", name);
    json_object_set_string_member(options, "name", name);
    json_object_set_string_member(options, "node-name", vit_block_node_name(node));
    json_object_set_boolean_member(options, "writable",
                                   block_bool(args, "writable", false) && !node->how.read_only);
    if (description) json_object_set_string_member(options, "description", description);
    if (bitmap) {
        JsonArray *list = json_array_new();
        json_array_add_string_element(list, bitmap);
        json_object_set_array_member(options, "bitmaps", list);
    }
    g_autoptr(VitBlockArgs) export = vit_block_args_new(NULL, options, error);
    return export && vit_block_exports_add(b->exports, export, error);
}

static const char *const remove_modes[] = { "safe", "hard", NULL };
static const QmpArg nbd_remove_args[] = { { "name", QMP_STR },
                                          { "mode", QMP_STR, true, remove_modes },
                                          { 0 } };
static const QmpArg del_args[] = { { "id", QMP_STR },
                                   { "mode", QMP_STR, true, remove_modes },
                                   { 0 } };

static bool remove_export(ControlBlock *b, JsonObject *args, const char *key, GError **error)
{
    bool hard = !g_strcmp0(block_text(args, "mode"), "hard");

    return vit_block_exports_remove(b->exports, block_text(args, key), hard, error);
}

static bool run_nbd_remove(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return remove_export(b, args, "name", error);
}

/* ---- Exports --------------------------------------------------------------------------------- */

static bool run_add(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    g_autoptr(VitBlockArgs) options = vit_block_args_new(NULL, args, error);

    return options && vit_block_exports_add(b->exports, options, error);
}

static bool run_del(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return remove_export(b, args, "id", error);
}

static bool run_query(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    *result = qmp_array(vit_block_exports_list(b->exports));
    return true;
}

/* ---- Objects --------------------------------------------------------------------------------- */

static const QmpArg object_del_args[] = { { "id", QMP_STR }, { 0 } };

static bool run_object_add(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    g_autoptr(VitBlockArgs) options = vit_block_args_new(NULL, args, error);

    return options && vit_block_objects_add(b->objects, options, error);
}

static bool run_object_del(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *id = block_text(args, "id");

    return (block_iothread_is_free(b, id) ||
            control_fail(error, "object '%s' is in use, can not be deleted", id)) &&
           vit_block_objects_remove(b->objects, id, error);
}

const QmpCommand qmp_block_export_commands[] = {
    { "block-export-add", .co_run = run_add, .type = &qmp_block_export_type },
    { "block-export-del", del_args, NULL, .co_run = run_del },
    { "nbd-server-add", nbd_add_args, NULL, .co_run = run_nbd_add },
    { "nbd-server-remove", nbd_remove_args, NULL, .co_run = run_nbd_remove },
    { "nbd-server-start", start_args, NULL, .co_run = run_start },
    { "nbd-server-stop", qmp_no_members, NULL, .co_run = run_stop },
    { "object-add", .co_run = run_object_add, .type = &qmp_object_type },
    { "object-del", object_del_args, NULL, .co_run = run_object_del },
    { "query-block-exports", qmp_no_members, &qmp_exports_type, .co_run = run_query },
    { 0 }
};
