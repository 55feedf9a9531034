/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-place.c - block commands run on the iothread of the nodes they name;
 * x-blockdev-set-iothread */
#include "engine/control/qmp-block.h"

#include <string.h>

/* ---- where a command runs -------------------------------------------------------------------- */

/* Members whose text is not a node's name, whatever nodes there are. */
static bool is_plain(const char *key)
{
    static const char *const plain[] = { "driver", "filename", "job-id", "filter-node-name",
                                         "type",   "name",     "path",   "format",
                                         NULL };

    return g_strv_contains(plain, key);
}

static void find_nodes(ControlBlock *b, JsonNode *value, GPtrArray *found)
{
    if (JSON_NODE_HOLDS_OBJECT(value)) {
        JsonObject *object = json_node_get_object(value);
        g_autoptr(GList) members = json_object_get_members(object);
        for (GList *l = members; l; l = l->next)
            if (!is_plain(l->data)) find_nodes(b, json_object_get_member(object, l->data), found);
    } else if (JSON_NODE_HOLDS_ARRAY(value)) {
        JsonArray *array = json_node_get_array(value);
        for (guint i = 0; i < json_array_get_length(array); i++)
            find_nodes(b, json_array_get_element(array, i), found);
    } else if (JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING) {
        const char *name = json_node_get_string(value);
        VitBlockNode *node = block_drive(b, name) ?: vit_block_graph_find(b->graph, name);
        if (node && !g_ptr_array_find(found, node, NULL)) g_ptr_array_add(found, node);
    }
}

typedef struct {
    VitBlockNode *node;
    VitIoThread *to;
    GError **error;
    bool good;
} Move;

static void move_there(void *opaque)
{
    Move *m = opaque;

    m->good = vit_co_block_move(m->node, m->to, m->error);
}

static bool move(ControlBlock *b, VitBlockNode *node, VitIoThread *to, GError **error)
{
    Move m = { node, to, error, false };

    vit_co_block_run(b->thread, node, move_there, &m);
    return m.good;
}

/* Nodes that a command joins come to the first of them that is not on the graph's own thread, or,
 * home, to that. */
static bool gather(ControlBlock *b, JsonObject *args, bool home, VitBlockNode **first,
                   GError **error)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    g_autoptr(JsonNode) all = json_node_init_object(json_node_alloc(), args);

    *first = NULL;
    find_nodes(b, all, nodes);
    for (guint i = 0; i < nodes->len && home; i++)
        if (!move(b, nodes->pdata[i], b->thread, error)) return false;
    for (guint i = 0; i < nodes->len && !*first; i++)
        if (vit_block_node_thread(nodes->pdata[i]) != b->thread) *first = nodes->pdata[i];
    for (guint i = 0; i < nodes->len && *first; i++) {
        VitBlockNode *node = nodes->pdata[i];
        VitIoThread *to = vit_block_node_thread(*first);
        if (vit_block_node_thread(node) != to && !move(b, node, to, error)) return false;
    }
    return true;
}

typedef struct {
    ControlBlock *b;
    const QmpCommand *row;
    JsonObject *args;
    JsonNode **result;
    GError **error;
    bool good;
} Run;

static void run_there(void *opaque)
{
    Run *r = opaque;

    r->good = r->row->co_run(r->b, r->args, r->result, r->error);
}

/* They go to nodes by themselves, or to none. */
static bool stays_home(const char *command)
{
    static const char *const prefixes[] = {
        "query-", "block-export-", "nbd-server-", "object-",    "block-job-",
        "job-",   "block-set-",  "block_set_", "x-blockdev-set-iothread"
    };

    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++)
        if (g_str_has_prefix(command, prefixes[i])) return true;
    return false;
}

bool block_run(ControlBlock *b, const QmpCommand *row, JsonObject *args, JsonNode **result,
               GError **error)
{
    Run r = { b, row, args, result, error, false };
    VitBlockNode *node = NULL;

    /* Images are made on the graph's own thread. */
    bool home = strcmp(row->name, "blockdev-create") == 0;
    if (!stays_home(row->name) && !gather(b, args, home, &node, error)) return false;
    if (!node) {
        run_there(&r);
        return r.good;
    }
    vit_block_graph_work_on(b->graph, vit_block_node_thread(node));
    vit_co_block_run(b->thread, node, run_there, &r);
    vit_block_graph_work_on(b->graph, NULL);
    return r.good;
}

/* ---- moving by command ----------------------------------------------------------------------- */

static const QmpType *const name_or_none[] = { &qmp_str_type, &qmp_null_type, NULL };
static const QmpType iothread_type = { QMP_ALTERNATE, "StrOrNull", .choices = name_or_none };
static const QmpArg set_args[] = { { "node-name", QMP_STR },
                                   { "iothread", QMP_ALTERNATE, .type = &iothread_type },
                                   { "force", QMP_BOOL, true },
                                   { 0 } };

static bool run_set(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonNode *where = json_object_get_member(args, "iothread");
    const char *name = block_text(args, "node-name");
    VitIoThread *to = b->thread;

    VitBlockNode *node = vit_block_graph_find(b->graph, name);
    if (!node) return control_fail(error, "Failed to find node with node-name='%s'", name);
    if (node->claims && !block_bool(args, "force", false))
        return control_fail(error,
                            "Node %s is associated with a BlockBackend and could be in use (use "
                            "force=true to override this check)",
                            name);
    if (JSON_NODE_HOLDS_NULL(where)) return move(b, node, to, error);
    VitBlockObject *object = vit_block_objects_use(b->objects, json_node_get_string(where),
                                                   "iothread", NULL);
    if (!object) return control_fail(error, "Cannot find iothread %s", json_node_get_string(where));
    bool good = move(b, node, vit_block_object_io_thread(object), error);
    vit_block_object_release(object); /* object-del looks for nodes */
    return good;
}

bool block_iothread_is_free(ControlBlock *b, const char *id)
{
    VitBlockObject *object = vit_block_objects_use(b->objects, id, "iothread", NULL);
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(b->graph);
    bool is_free = true;

    for (guint i = 0; object && i < nodes->len; i++)
        if (vit_block_node_thread(nodes->pdata[i]) == vit_block_object_io_thread(object))
            is_free = false;
    vit_block_object_release(object);
    return is_free;
}

const QmpCommand qmp_block_place_commands[] = {
    { "x-blockdev-set-iothread", set_args, NULL, .co_run = run_set }, { 0 }
};
