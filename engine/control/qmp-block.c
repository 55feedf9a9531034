/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block.c - nodes by command: blockdev-add, -del, -reopen, block_resize */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include "block/jobs/jobs.h"

#include <string.h>

/* ---- The context ----------------------------------------------------------------------------- */

static void export_deleted(void *opaque, const char *id)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "id", id);
    control_emit(opaque, "BLOCK_EXPORT_DELETED", data);
}

ControlBlock *control_block_new(VitControl *control, const VitBlockService *service,
                                GHashTable *drives)
{
    ControlBlock *b = g_new0(ControlBlock, 1);

    b->control = control;
    b->thread = service->thread;
    b->graph = service->graph;
    b->jobs = service->jobs;
    b->exports = service->exports;
    b->objects = vit_block_graph_objects(service->graph);
    b->drives = drives;
    b->lock.thread = service->thread;
    g_mutex_init(&b->told_lock);
    b->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    vit_block_jobs_listen(b->jobs, block_job_changed, b);
    vit_block_exports_on_deleted(b->exports, export_deleted, control);
    return b;
}

static void forget(void *opaque)
{
    block_forget_thresholds(opaque);
}

static void nothing(void *opaque) {}

void control_block_free(ControlBlock *b)
{
    if (!b) return;
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(b->graph);
    g_autoptr(GPtrArray) threads = g_ptr_array_new();

    for (guint i = 0; i < nodes->len; i++) {
        VitIoThread *thread = vit_block_node_thread(nodes->pdata[i]);
        if (!g_ptr_array_find(threads, thread, NULL)) g_ptr_array_add(threads, thread);
    }
    vit_block_jobs_listen(b->jobs, NULL, NULL);
    vit_block_exports_on_deleted(b->exports, NULL, NULL);
    /* Who is telling just now, wherever its nodes are, has told. */
    for (guint i = 0; i < threads->len; i++)
        vit_io_thread_call_sync(threads->pdata[i], nothing, NULL);
    vit_fiber_run_sync(b->thread, forget, b);
    g_hash_table_unref(b->told);
    g_mutex_clear(&b->told_lock);
    g_free(b);
}

/* ---- Arguments ------------------------------------------------------------------------------- */

const char *block_text(JsonObject *args, const char *name)
{
    return json_object_get_string_member_with_default(args, name, NULL);
}

int64_t block_int(JsonObject *args, const char *name, int64_t otherwise)
{
    return json_object_get_int_member_with_default(args, name, otherwise);
}

bool block_bool(JsonObject *args, const char *name, bool otherwise)
{
    return json_object_get_boolean_member_with_default(args, name, otherwise);
}

VitBlockArgs *block_args(JsonObject *object, GError **error)
{
    VitBlockArgs *args = vit_block_args_new(NULL, object, error);

    if (args) vit_block_args_set_strict(args);
    return args;
}

VitBlockNode *block_drive(ControlBlock *b, const char *id)
{
    return b->drives && id ? g_hash_table_lookup(b->drives, id) : NULL;
}

VitBlockNode *block_find(ControlBlock *b, const char *device, const char *node, GError **error)
{
    VitBlockNode *root = block_drive(b, device), *found = NULL;

    if (root) found = vit_block_root_node(root);
    if (!found && node) found = vit_block_graph_find(b->graph, node);
    if (!found)
        control_fail(error, "Cannot find device='%s' nor node-name='%s'", device ?: "", node ?: "");
    return found;
}

VitBlockNode *block_find_either(ControlBlock *b, const char *name, GError **error)
{
    return block_find(b, name, name, error);
}

bool block_check_free(VitBlockNode *node, GError **error)
{
    const char *who = vit_block_claimant(node, "block job: ");

    if (!who) return true;
    return control_fail(error, "Node '%s' is busy: block device is in use by %s",
                        vit_block_node_name(node), who);
}

/* ---- Adding and removing --------------------------------------------------------------------- */

static bool run_add(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *name = block_text(args, "node-name");

    if (!name) return control_fail(error, "'node-name' must be specified for the root node");
    if (!vit_block_id_is_valid(name)) return control_fail(error, "Invalid node-name: '%s'", name);
    if (block_drive(b, name))
        return control_fail(error, "node-name=%s is conflicting with a device id", name);
    if (vit_block_graph_find(b->graph, name))
        return control_fail(error, "Duplicate nodes with node-name='%s'", name);
    g_autoptr(VitBlockArgs) options = block_args(args, error);
    VitBlockNode *node = options ? vit_block_graph_open(b->graph, options, error) : NULL;
    bool good = node && vit_block_graph_add(b->graph, node, error);
    vit_block_node_unref(node);
    return good;
}

static const QmpArg name_args[] = { { "node-name", QMP_STR }, { 0 } };

static bool run_del(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *name = block_text(args, "node-name");
    VitBlockNode *node = vit_block_graph_find(b->graph, name);

    if (node && !block_check_free(node, error)) return false;
    for (guint i = 0; node && i < node->parents->len; i++) {
        const VitBlockEdge *edge = node->parents->pdata[i];
        if (!strcmp(edge->name, "root")) /* a device or an export */
            return control_fail(error, "Node %s is in use", name);
    }
    return vit_block_graph_remove(b->graph, name, error);
}

/* ---- Changing -------------------------------------------------------------------------------- */

static const QmpArg resize_args[] = {
    { "device", QMP_STR, true }, { "node-name", QMP_STR, true }, { "size", QMP_INT }, { 0 }
};

static bool run_resize(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    int64_t size = block_int(args, "size", 0);
    VitBlockNode *node = block_find(b, block_text(args, "device"), block_text(args, "node-name"),
                                    error);

    if (!node) return false;
    if (size < 0) return control_fail(error, "Parameter 'size' expects a >0 size");
    if (!block_check_free(node, error)) return false;
    return vit_co_truncate(node, (uint64_t)size, false, VIT_PREALLOC_OFF, error);
}

static bool reopen_backing(ControlBlock *b, VitBlockNode *node, JsonNode *backing, GError **error)
{
    VitBlockNode *now = node->backing ? node->backing->node : NULL, *next = NULL;

    if (!JSON_NODE_HOLDS_NULL(backing)) {
        if (!JSON_NODE_HOLDS_VALUE(backing) || json_node_get_value_type(backing) != G_TYPE_STRING)
            return control_fail(error, "Cannot change the option 'backing' to other than a node");
        next = block_find(b, NULL, json_node_get_string(backing), error);
        if (!next) return false;
    }
    if (next == now) return true;
    if (!node->driver->supports_backing)
        return control_fail(error, "Cannot change the option 'backing'");
    for (VitBlockNode *n = next; n; n = n->backing ? n->backing->node
                                        : n->file  ? n->file->node
                                                   : NULL) {
        if (n == node)
            return control_fail(error, "Making '%s' a backing file of '%s' would create a cycle",
                                vit_block_node_name(next), vit_block_node_name(node));
    }
    if (node->backing) {
        vit_block_set_child(node->backing, next);
        return true;
    }
    vit_co_drain_begin(node);
    vit_block_add_edge(node, vit_block_node_ref(next), "backing", VIT_EDGE_BACKING);
    vit_co_drain_end(node);
    return true;
}

/* Members that a reopened node may change; all others must say what is so already. */
static bool reopen(ControlBlock *b, JsonObject *options, GError **error)
{
    static const char *const free_ones[] = { "node-name", "driver",        "file",
                                             "backing",   "read-only",     "auto-read-only",
                                             "cache",     "force-share",   "filename",
                                             "discard",   "detect-zeroes", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    const char *name = block_text(options, "node-name"), *driver = block_text(options, "driver");
    const char *file = block_text(options, "file"), *detect = block_text(options, "detect-zeroes");
    g_autoptr(GList) members = json_object_get_members(options);

    if (!name) return control_fail(error, "node-name not specified");
    VitBlockNode *node = vit_block_graph_find(b->graph, name);
    if (!node) return control_fail(error, "Failed to find node with node-name='%s'", name);
    if (g_strcmp0(driver, vit_block_node_format(node)))
        return control_fail(error, "Cannot change the option 'driver'");
    for (GList *l = members; l; l = l->next) {
        if (!g_strv_contains(free_ones, l->data))
            return control_fail(error, "Cannot change the option '%s'", (char *)l->data);
    }
    if (file && node->file && strcmp(file, vit_block_node_name(node->file->node)))
        return control_fail(error, "Cannot change the option 'file'");
    JsonNode *backing = json_object_get_member(options, "backing");
    if (backing && !reopen_backing(b, node, backing, error)) return false;
    const char *discard = block_text(options, "discard");
    node->how.discard = discard && !strcmp(discard, "unmap");
    for (int i = 0; detect && detects[i]; i++) {
        if (!strcmp(detect, detects[i])) node->detect_zeroes = (unsigned)i;
    }
    return vit_block_set_read_only(node, block_bool(options, "read-only", false), error);
}

static const QmpArg reopen_args[] = { { "options", QMP_ARRAY, .type = &qmp_block_node_type },
                                      { 0 } };

static bool run_reopen(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonArray *list = json_object_get_array_member(args, "options");

    for (guint i = 0; i < json_array_get_length(list); i++)
        if (!reopen(b, json_array_get_object_element(list, i), error)) return false;
    return true;
}

/* ---- Creating -------------------------------------------------------------------------------- */

static const QmpArg create_args[] = {
    { "job-id", QMP_STR }, { "options", QMP_OBJECT, .type = &qmp_block_create_type }, { 0 }
};

/* The names of this command's options, as "-o" has them. */
static JsonObject *translate(JsonObject *options)
{
    static const char *const taken[] = { "driver",      "file",         "filename", "size",
                                         "backing-fmt", "backing-file", NULL };
    JsonObject *out = json_object_new();
    g_autoptr(GList) members = json_object_get_members(options);

    for (GList *l = members; l; l = l->next) {
        if (g_strv_contains(taken, l->data)) continue;
        g_autofree char *name = g_strdelimit(g_strdup(l->data), "-", '_');
        if (!strcmp(name, "version"))
            json_object_set_string_member(
                out, "compat", g_strcmp0(block_text(options, "version"), "v2") ? "1.1" : "0.10");
        else json_object_set_member(out, name, json_object_dup_member(options, l->data));
    }
    return out;
}

static bool run_create(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    JsonObject *options = json_object_get_object_member(args, "options");
    const char *file = block_text(options, "file");
    const VitBlockDriver *driver = vit_block_driver_find(block_text(options, "driver"));
    int64_t size = block_int(options, "size", 0);
    VitBlockNode *node = NULL;

    if (!(driver = vit_co_driver_load(driver, b->thread, error))) return false;
    if (!driver->co_create) return control_fail(error, "Driver does not support blockdev-create");
    if (size < 0) return control_fail(error, "Parameter 'options.size' expects a size");
    if (driver->kind == VIT_BLOCK_FORMAT && !(node = block_find_either(b, file, error)))
        return false;
    g_autoptr(JsonObject) more = translate(options);
    VitBlockArgs *rest = vit_block_args_new(NULL, more, error);
    if (!rest) return false;
    VitBlockCreate create = {
        .graph = b->graph,
        .thread = b->thread,
        .driver = driver,
        .filename = node ? vit_block_node_filename(node) : block_text(options, "filename"),
        .file = node,
        .size = (uint64_t)size,
        .backing_file = block_text(options, "backing-file"),
        .backing_format = block_text(options, "backing-fmt"),
        .options = rest,
    };
    VitBlockJob *job = vit_block_create_new(b->jobs, block_text(args, "job-id"),
                                            VIT_JOB_AUTO_FINALIZE, &create, error);
    if (!job) return false;
    vit_block_job_start(job);
    vit_block_job_unref(job);
    return true;
}

const QmpCommand qmp_block_node_commands[] = {
    { "blockdev-add", .co_run = run_add, .type = &qmp_block_node_type },
    { "blockdev-create", create_args, NULL, .co_run = run_create },
    { "blockdev-del", name_args, NULL, .co_run = run_del },
    { "blockdev-reopen", reopen_args, NULL, .co_run = run_reopen },
    { "block_resize", resize_args, NULL, .co_run = run_resize },
    { 0 }
};
