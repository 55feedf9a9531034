/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-query.c - nodes, devices and their figures as QMP tells them */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 256 };

static uint64_t actual_size(const VitBlockNode *node)
{
    uint64_t sum = 0;
    struct stat st;

    if (node->driver->kind == VIT_BLOCK_PROTOCOL)
        return stat(node->filename, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    for (guint i = 0; i < node->edges->len; i++) {
        const VitBlockEdge *edge = node->edges->pdata[i];
        if (edge->role != VIT_EDGE_BACKING) sum += actual_size(edge->node);
    }
    return sum;
}

static JsonArray *bitmaps(const VitBlockNode *node)
{
    JsonArray *list = json_array_new();

    for (guint i = 0; i < node->bitmaps->len; i++) {
        VitBlockBitmap *bitmap = node->bitmaps->pdata[i];
        JsonObject *entry = json_object_new();
        if (vit_block_bitmap_name(bitmap))
            json_object_set_string_member(entry, "name", vit_block_bitmap_name(bitmap));
        json_object_set_boolean_member(entry, "recording", vit_block_bitmap_enabled(bitmap));
        json_object_set_boolean_member(entry, "persistent", vit_block_bitmap_persistent(bitmap));
        json_object_set_boolean_member(entry, "busy", vit_block_bitmap_busy(bitmap));
        json_object_set_int_member(entry, "granularity", vit_block_bitmap_granularity(bitmap));
        json_object_set_int_member(entry, "count", (gint64)vit_block_bitmap_count(bitmap));
        if (vit_block_bitmap_inconsistent(bitmap))
            json_object_set_boolean_member(entry, "inconsistent", TRUE);
        json_array_add_object_element(list, entry);
    }
    return list;
}

static JsonObject *image(VitBlockNode *node, bool flat, unsigned depth)
{
    JsonObject *o = json_object_new();
    VitBlockInfo info = vit_block_info(node);
    g_autoptr(GError) ignored = NULL;
    JsonObject *specific = node->driver->co_specific ? node->driver->co_specific(node, &ignored)
                                                     : NULL;

    json_object_set_string_member(o, "filename", node->filename);
    json_object_set_string_member(o, "format", node->driver->name);
    json_object_set_int_member(o, "virtual-size", (gint64)info.size);
    json_object_set_int_member(o, "actual-size", (gint64)actual_size(node));
    json_object_set_boolean_member(o, "dirty-flag", info.dirty);
    if (info.cluster_size) json_object_set_int_member(o, "cluster-size", info.cluster_size);
    if (info.encrypted) json_object_set_boolean_member(o, "encrypted", TRUE);
    if (specific) json_object_set_object_member(o, "format-specific", specific);
    if (node->backing_file && *node->backing_file) {
        json_object_set_string_member(o, "backing-filename", node->backing_file);
        if (node->backing)
            json_object_set_string_member(o, "full-backing-filename",
                                          node->backing->node->filename);
        if (node->backing_format)
            json_object_set_string_member(o, "backing-filename-format", node->backing_format);
    }
    if (node->backing && !flat && depth < MAX_DEPTH)
        json_object_set_object_member(o, "backing-image",
                                      image(node->backing->node, false, depth + 1));
    return o;
}

/* BlockDeviceInfo; root: of the device, NULL: a node alone. */
static JsonObject *describe(VitBlockNode *root, VitBlockNode *node, bool flat)
{
    static const char *const detects[] = { "off", "on", "unmap" };
    JsonObject *o = json_object_new(), *cache = json_object_new();
    int depth = 0;

    for (const VitBlockNode *n = node; n->backing && depth < MAX_DEPTH; n = n->backing->node)
        depth++;
    json_object_set_string_member(o, "node-name", node->name);
    json_object_set_string_member(o, "drv", node->driver->name);
    json_object_set_string_member(o, "file", node->filename);
    json_object_set_boolean_member(o, "ro", node->how.read_only);
    json_object_set_boolean_member(o, "active", TRUE);
    json_object_set_boolean_member(o, "encrypted", vit_block_info(node).encrypted);
    json_object_set_string_member(o, "detect_zeroes", detects[node->detect_zeroes]);
    json_object_set_int_member(o, "backing_file_depth", depth);
    if (node->backing)
        json_object_set_string_member(o, "backing_file", node->backing->node->filename);
    block_describe_limits(root, o);
    json_object_set_int_member(
        o, "write_threshold", (gint64)__atomic_load_n(&node->write_threshold, __ATOMIC_RELAXED));
    json_object_set_boolean_member(cache, "writeback",
                                   !root || !vit_block_info(root).write_through);
    json_object_set_boolean_member(cache, "direct", node->how.direct);
    json_object_set_boolean_member(cache, "no-flush", node->how.no_flush);
    json_object_set_object_member(o, "cache", cache);
    if (node->bitmaps) json_object_set_array_member(o, "dirty-bitmaps", bitmaps(node));
    json_object_set_object_member(o, "image", image(node, flat, 0));
    return o;
}

typedef struct {
    VitBlockNode *node;
    bool root; /* of a device: what is below it */
    bool flat;
    JsonObject *answer;
} Ask;

/* On a fiber where the node is. */
static void describe_there(void *opaque)
{
    Ask *ask = opaque;

    ask->answer = ask->root ? describe(ask->node, vit_block_root_node(ask->node), ask->flat)
                            : describe(NULL, ask->node, ask->flat);
}

static JsonObject *ask_node(ControlBlock *b, VitFiberFunc fn, VitBlockNode *node, bool root,
                            bool flat)
{
    Ask ask = { node, root, flat, NULL };

    vit_co_block_run(b->thread, node, fn, &ask);
    return ask.answer;
}

static const QmpArg nodes_args[] = { { "flat", QMP_BOOL, true }, { 0 } };

static bool query_nodes(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(b->graph);
    JsonArray *list = json_array_new();

    for (guint i = nodes->len; i-- > 0;)
        json_array_add_object_element(list, ask_node(b, describe_there, nodes->pdata[i], false,
                                                     block_bool(args, "flat", false)));
    *result = qmp_array(list);
    return true;
}

static GList *sorted(GHashTable *table)
{
    return table ? g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp) : NULL;
}

static bool query_block(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    static const char *const states[] = { "ok", "failed", "nospace" };
    g_autoptr(GList) ids = sorted(b->drives);
    JsonArray *list = json_array_new();

    for (GList *l = ids; l; l = l->next) {
        VitBlockNode *root = block_drive(b, l->data);
        const char *user = vit_block_root_user(root);
        JsonObject *entry = json_object_new();
        json_object_set_string_member(entry, "device", vit_block_root_device(root));
        if (user) json_object_set_string_member(entry, "qdev", user);
        json_object_set_string_member(entry, "type", "unknown");
        json_object_set_boolean_member(entry, "locked", FALSE);
        json_object_set_boolean_member(entry, "removable",
                                       control_drive_is_cd(b->control, l->data));
        json_object_set_string_member(entry, "io-status", states[vit_block_io_status(root)]);
        json_object_set_object_member(entry, "inserted",
                                      ask_node(b, describe_there, root, true, false));
        json_array_add_object_element(list, entry);
    }
    *result = qmp_array(list);
    return true;
}

/* ---- Figures --------------------------------------------------------------------------------- */

static JsonObject *figures(const VitBlockNode *node, unsigned depth)
{
    static const struct {
        const char *name;
        VitBlockOp op;
    } kinds[] = {
        { "rd", VIT_BLOCK_READ },
        { "wr", VIT_BLOCK_WRITE },
        { "unmap", VIT_BLOCK_DISCARD },
        { "flush", VIT_BLOCK_FLUSH },
    };
    static const char *const zeroes[] = {
        "rd_merged",
        "wr_merged",
        "unmap_merged",
        "rd_total_time_ns",
        "wr_total_time_ns",
        "unmap_total_time_ns",
        "flush_total_time_ns",
        "wr_highest_offset",
        "invalid_rd_operations",
        "invalid_wr_operations",
        "invalid_flush_operations",
        "invalid_unmap_operations",
    };
    JsonObject *o = json_object_new(), *stats = json_object_new();

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *bytes = g_strconcat(kinds[i].name, "_bytes", NULL);
        g_autofree char *ops = g_strconcat(kinds[i].name, "_operations", NULL);
        g_autofree char *failed = g_strconcat("failed_", ops, NULL);
        if (kinds[i].op != VIT_BLOCK_FLUSH)
            json_object_set_int_member(stats, bytes, (gint64)node->stats.bytes[kinds[i].op]);
        json_object_set_int_member(stats, ops, (gint64)node->stats.ops[kinds[i].op]);
        json_object_set_int_member(stats, failed, (gint64)node->stats.errors[kinds[i].op]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(zeroes); i++)
        json_object_set_int_member(stats, zeroes[i], 0);
    json_object_set_boolean_member(stats, "account_invalid", TRUE);
    json_object_set_boolean_member(stats, "account_failed", TRUE);
    json_object_set_array_member(stats, "timed_stats", json_array_new());
    json_object_set_object_member(o, "stats", stats);
    if (node->name && node->graph) json_object_set_string_member(o, "node-name", node->name);
    if (node->file && node->driver->kind == VIT_BLOCK_FORMAT && depth < MAX_DEPTH)
        json_object_set_object_member(o, "parent", figures(node->file->node, depth + 1));
    if (node->backing && depth < MAX_DEPTH)
        json_object_set_object_member(o, "backing", figures(node->backing->node, depth + 1));
    return o;
}

static void figures_there(void *opaque)
{
    Ask *ask = opaque;

    if (!ask->root) {
        ask->answer = figures(ask->node, 0);
        return;
    }
    g_autoptr(JsonObject) of_device = figures(ask->node, MAX_DEPTH);
    ask->answer = figures(vit_block_root_node(ask->node), 0);
    json_object_set_member(ask->answer, "stats", json_object_dup_member(of_device, "stats"));
}

static const QmpArg stats_args[] = { { "query-nodes", QMP_BOOL, true }, { 0 } };

static bool query_stats(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_array_new();

    if (block_bool(args, "query-nodes", false)) {
        g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(b->graph);
        for (guint i = nodes->len; i-- > 0;)
            json_array_add_object_element(
                list, ask_node(b, figures_there, nodes->pdata[i], false, false));
    } else {
        g_autoptr(GList) ids = sorted(b->drives);
        for (GList *l = ids; l; l = l->next) {
            VitBlockNode *root = block_drive(b, l->data);
            JsonObject *entry = ask_node(b, figures_there, root, true, false);
            json_object_set_string_member(entry, "device", vit_block_root_device(root));
            if (vit_block_root_user(root))
                json_object_set_string_member(entry, "qdev", vit_block_root_user(root));
            json_array_add_object_element(list, entry);
        }
    }
    *result = qmp_array(list);
    return true;
}

const QmpCommand qmp_block_query_commands[] = {
    { "query-block", qmp_no_members, &qmp_blocks_type, .co_run = query_block },
    { "query-blockstats", stats_args, &qmp_stats_type, .co_run = query_stats },
    { "query-named-block-nodes", nodes_args, &qmp_nodes_type, .co_run = query_nodes },
    { 0 }
};
