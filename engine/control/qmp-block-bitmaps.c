/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-bitmaps.c - the block-dirty-bitmap-* commands */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include <string.h>

enum { SMALLEST = 512, USUAL_LEAST = 4096, USUAL = 65536 };

VitBlockBitmap *block_bitmap(ControlBlock *b, const char *node_name, const char *name,
                             GError **error)
{
    g_autoptr(GError) ignored = NULL;
    VitBlockNode *node = block_find_either(b, node_name, &ignored);
    VitBlockBitmap *bitmap = node ? vit_block_bitmap_find(node, name) : NULL;

    if (!node) control_fail(error, "Node '%s' not found", node_name);
    else if (!bitmap) control_fail(error, "Dirty bitmap '%s' not found", name);
    return bitmap;
}

bool block_bitmap_usable(VitBlockBitmap *bitmap, GError **error)
{
    const char *name = vit_block_bitmap_name(bitmap);

    if (vit_block_bitmap_busy(bitmap))
        return control_fail(error,
                            "Bitmap '%s' is currently in use by another operation and cannot be "
                            "used",
                            name);
    if (vit_block_bitmap_inconsistent(bitmap))
        return control_fail(error, "Bitmap '%s' is inconsistent and cannot be used", name);
    return true;
}

bool block_bitmap_add(ControlBlock *b, JsonObject *args, GError **error)
{
    const char *name = block_text(args, "name");
    VitBlockNode *node = block_find_either(b, block_text(args, "node"), error);
    bool persistent = block_bool(args, "persistent", false);

    if (!node) return false;
    if (!*name) return control_fail(error, "Bitmap name cannot be empty");
    int64_t granularity = CLAMP((int64_t)vit_block_info(node).cluster_size, USUAL_LEAST, USUAL);
    if (vit_block_info(node).cluster_size == 0) granularity = USUAL;
    granularity = block_int(args, "granularity", granularity);
    if (granularity < SMALLEST || granularity > INT64_C(1) << 31 ||
        (granularity & (granularity - 1)))
        return control_fail(error, "Granularity must be power of 2 and at least 512");
    if (vit_block_bitmap_find(node, name))
        return control_fail(error, "Bitmap already exists: %s", name);
    if (persistent && !node->driver->co_bitmap_can_store)
        return control_fail(error, "Can't store persistent bitmaps to %s: Operation not supported",
                            node->name);
    if (persistent && !node->driver->co_bitmap_can_store(node, name, (uint32_t)granularity, error))
        return false;
    VitBlockBitmap *bitmap = vit_block_bitmap_new(node, name, (uint32_t)granularity, error);
    if (!bitmap) return false;
    vit_block_bitmap_set_persistent(bitmap, persistent);
    vit_block_bitmap_enable(bitmap, !block_bool(args, "disabled", false));
    return true;
}

const QmpArg block_bitmap_add_args[] = { { "node", QMP_STR },
                                         { "name", QMP_STR },
                                         { "granularity", QMP_INT, true },
                                         { "persistent", QMP_BOOL, true },
                                         { "disabled", QMP_BOOL, true },
                                         { 0 } };
const QmpArg block_bitmap_merge_args[] = {
    { "node", QMP_STR },
    { "target", QMP_STR },
    { "bitmaps", QMP_ARRAY, .type = &qmp_bitmap_or_name_type },
    { 0 },
};

static bool run_add(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return block_bitmap_add(b, args, error);
}

static VitBlockBitmap *named(ControlBlock *b, JsonObject *args, GError **error)
{
    return block_bitmap(b, block_text(args, "node"), block_text(args, "name"), error);
}

static bool run_remove(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockBitmap *bitmap = named(b, args, error);

    if (!bitmap) return false;
    if (vit_block_bitmap_busy(bitmap)) return block_bitmap_usable(bitmap, error);
    VitBlockNode *node = vit_block_bitmap_node(bitmap);
    if (vit_block_bitmap_persistent(bitmap) && node->driver->co_bitmap_remove &&
        !node->driver->co_bitmap_remove(node, vit_block_bitmap_name(bitmap), error))
        return false;
    vit_block_bitmap_free(bitmap);
    return true;
}

static bool run_clear(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockBitmap *bitmap = named(b, args, error);

    if (!bitmap || !block_bitmap_usable(bitmap, error)) return false;
    vit_block_bitmap_clear(bitmap, 0, vit_block_bitmap_node(bitmap)->size);
    return true;
}

static bool set_enabled(ControlBlock *b, JsonObject *args, bool on, GError **error)
{
    VitBlockBitmap *bitmap = named(b, args, error);

    if (!bitmap || !block_bitmap_usable(bitmap, error)) return false;
    vit_block_bitmap_enable(bitmap, on);
    return true;
}

static bool run_enable(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return set_enabled(b, args, true, error);
}

static bool run_disable(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return set_enabled(b, args, false, error);
}

static VitBlockBitmap *source_of(ControlBlock *b, const char *node, JsonNode *which, GError **error)
{
    return JSON_NODE_HOLDS_OBJECT(which)
               ? named(b, json_node_get_object(which), error)
               : block_bitmap(b, node, json_node_get_string(which), error);
}

bool block_bitmap_merge_all(ControlBlock *b, JsonObject *args, VitBlockBitmap *into, GError **error)
{
    JsonArray *list = json_object_get_array_member(args, "bitmaps");

    for (int pass = 0; pass < 2; pass++) {  /* all are there before the first is merged */
        for (guint i = 0; i < json_array_get_length(list); i++) {
            VitBlockBitmap *from = source_of(b, block_text(args, "node"),
                                             json_array_get_element(list, i), error);
            if (!from || !block_bitmap_usable(from, error) ||
                (pass == 1 && !vit_block_bitmap_merge(into, from, error)))
                return false;
        }
    }
    return true;
}

static bool run_merge(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockBitmap *into = block_bitmap(b, block_text(args, "node"), block_text(args, "target"),
                                        error);

    return into && block_bitmap_usable(into, error) && block_bitmap_merge_all(b, args, into, error);
}

const QmpCommand qmp_block_bitmap_commands[] = {
    { "block-dirty-bitmap-add", block_bitmap_add_args, NULL, .co_run = run_add },
    { "block-dirty-bitmap-clear", qmp_bitmap_members, NULL, .co_run = run_clear },
    { "block-dirty-bitmap-disable", qmp_bitmap_members, NULL, .co_run = run_disable },
    { "block-dirty-bitmap-enable", qmp_bitmap_members, NULL, .co_run = run_enable },
    { "block-dirty-bitmap-merge", block_bitmap_merge_args, NULL, .co_run = run_merge },
    { "block-dirty-bitmap-remove", qmp_bitmap_members, NULL, .co_run = run_remove },
    { 0 }
};
