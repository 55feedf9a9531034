/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-limits.c - limits by command: block_set_io_throttle,
 * block-set-write-threshold; failures of disks */
#include "engine/control/qmp-block.h"

#include "block/objects/throttle-group.h"

#include <errno.h>
#include <string.h>

/* ---- Devices --------------------------------------------------------------------------------- */

static const struct {
    const char *average, *burst, *length;
} names[VIT_THROTTLE_BUCKETS] = {
    { "bps", "bps_max", "bps_max_length" },
    { "bps_rd", "bps_rd_max", "bps_rd_max_length" },
    { "bps_wr", "bps_wr_max", "bps_wr_max_length" },
    { "iops", "iops_max", "iops_max_length" },
    { "iops_rd", "iops_rd_max", "iops_rd_max_length" },
    { "iops_wr", "iops_wr_max", "iops_wr_max_length" },
};

void block_describe_limits(VitBlockNode *root, JsonObject *o)
{
    VitBlockObject *group = root ? vit_block_root_throttle_group(root) : NULL;
    VitThrottleLimits limits = group ? vit_throttle_group_limits(group) : vit_throttle_no_limits;

    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        const typeof(limits.bucket[0]) *b = &limits.bucket[i];
        json_object_set_int_member(o, names[i].average, (gint64)b->average);
        if (!b->burst) continue;
        json_object_set_int_member(o, names[i].burst, (gint64)b->burst);
        json_object_set_int_member(o, names[i].length, (gint64)b->burst_length);
    }
    if (limits.iops_size) json_object_set_int_member(o, "iops_size", (gint64)limits.iops_size);
    if (group) json_object_set_string_member(o, "group", vit_block_object_id(group));
}

static const QmpArg throttle_args[] = { { "device", QMP_STR, true },
                                        { "id", QMP_STR, true },
                                        { "bps", QMP_INT },
                                        { "bps_rd", QMP_INT },
                                        { "bps_wr", QMP_INT },
                                        { "iops", QMP_INT },
                                        { "iops_rd", QMP_INT },
                                        { "iops_wr", QMP_INT },
                                        { "bps_max", QMP_INT, true },
                                        { "bps_rd_max", QMP_INT, true },
                                        { "bps_wr_max", QMP_INT, true },
                                        { "iops_max", QMP_INT, true },
                                        { "iops_rd_max", QMP_INT, true },
                                        { "iops_wr_max", QMP_INT, true },
                                        { "bps_max_length", QMP_INT, true },
                                        { "bps_rd_max_length", QMP_INT, true },
                                        { "bps_wr_max_length", QMP_INT, true },
                                        { "iops_max_length", QMP_INT, true },
                                        { "iops_rd_max_length", QMP_INT, true },
                                        { "iops_wr_max_length", QMP_INT, true },
                                        { "iops_size", QMP_INT, true },
                                        { "group", QMP_STR, true },
                                        { 0 } };

/* By the id of a -drive, or by that of the device that holds it. */
static VitBlockNode *find_root(ControlBlock *b, const char *device, const char *id, GError **error)
{
    GHashTableIter iter;
    gpointer root = NULL;

    if (!device == !id) {
        control_fail(error, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    if (b->drives) g_hash_table_iter_init(&iter, b->drives);
    while (b->drives && g_hash_table_iter_next(&iter, NULL, &root)) {
        const char *user = vit_block_root_user(root) ?: "";
        g_auto(GStrv) parts = g_strsplit(user, "/", -1);
        bool named = g_strv_length(parts) > 3 && !g_strcmp0(parts[3], id);
        if (device ? !strcmp(vit_block_root_device(root), device) : named || !g_strcmp0(user, id))
            return root;
    }
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
                device ?: id);
    return NULL;
}

static bool run_throttle(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockNode *root = find_root(b, block_text(args, "device"), block_text(args, "id"), error);
    VitThrottleLimits limits = vit_throttle_no_limits;

    if (!root) return false;
    for (unsigned i = 0; i < VIT_THROTTLE_BUCKETS; i++) {
        /* A negative number is one that is too large. */
        limits.bucket[i].average = (uint64_t)block_int(args, names[i].average, 0);
        limits.bucket[i].burst = (uint64_t)block_int(args, names[i].burst, 0);
        limits.bucket[i].burst_length = (uint64_t)block_int(args, names[i].length, 1);
    }
    limits.iops_size = (uint64_t)block_int(args, "iops_size", 0);
    if (!vit_throttle_limits_check(&limits, error)) return false;

    VitBlockObject *now = vit_block_root_throttle_group(root);
    const char *name = block_text(args, "group");
    if (!vit_throttle_limits_any(&limits)) {
        if (now) vit_block_root_throttle(root, NULL);
        return true;
    }
    if (now && (!name || !strcmp(name, vit_block_object_id(now)))) {
        vit_throttle_group_set_limits(now, &limits);
        return true;
    }
    const char *device = block_text(args, "device");
    VitBlockObject *group = vit_block_objects_use_group(
        b->objects, name ?: device ?: block_text(args, "id"), error);
    if (!group) return false;
    vit_throttle_group_set_limits(group, &limits);
    vit_block_root_throttle(root, group);
    return true;
}

/* ---- Write thresholds ------------------------------------------------------------------------ */

static void crossed(void *opaque, VitBlockNode *node, uint64_t exceeded, uint64_t threshold)
{
    ControlBlock *b = opaque;
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "node-name", vit_block_node_name(node));
    json_object_set_int_member(data, "amount-exceeded", (gint64)exceeded);
    json_object_set_int_member(data, "write-threshold", (gint64)threshold);
    control_emit(b->control, "BLOCK_WRITE_THRESHOLD", data);
}

typedef struct {
    ControlBlock *block;
    VitBlockNode *node;
    uint64_t offset;
} Threshold;

static void set_there(void *opaque)
{
    Threshold *t = opaque;

    vit_block_set_write_threshold(t->node, t->offset, crossed, t->block);
}

static void set_threshold(ControlBlock *b, VitBlockNode *node, uint64_t offset)
{
    Threshold t = { b, node, offset };

    vit_co_block_run(b->thread, node, set_there, &t);
}

static const QmpArg threshold_args[] = { { "node-name", QMP_STR },
                                         { "write-threshold", QMP_INT },
                                         { 0 } };

static bool run_threshold(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *name = block_text(args, "node-name");
    VitBlockNode *node = vit_block_graph_find(b->graph, name);

    if (!node) return control_fail(error, "Device '%s' not found", name);
    set_threshold(b, node, (uint64_t)block_int(args, "write-threshold", 0));
    return true;
}

void block_forget_thresholds(ControlBlock *b)
{
    g_autoptr(GPtrArray) nodes = vit_block_graph_nodes(b->graph);

    g_ptr_array_set_free_func(nodes, (GDestroyNotify)vit_block_node_unref);
    for (guint i = 0; i < nodes->len; i++) vit_block_node_ref(nodes->pdata[i]);
    for (guint i = 0; i < nodes->len; i++) set_threshold(b, nodes->pdata[i], 0);
}

/* ---- Failures -------------------------------------------------------------------------------- */

void control_disk_failed(VitControl *control, const VitDiskFailure *f)
{
    static const char *const actions[] = { "report", "ignore", "stop", "stop", "report" };
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "device", f->drive);
    json_object_set_string_member(data, "node-name", f->node);
    if (f->user) json_object_set_string_member(data, "qom-path", f->user);
    json_object_set_string_member(data, "operation", f->read ? "read" : "write");
    json_object_set_string_member(data, "action", actions[f->action]);
    json_object_set_boolean_member(data, "nospace", f->error == ENOSPC);
    json_object_set_string_member(data, "reason", g_strerror(f->error));
    control_emit(control, "BLOCK_IO_ERROR", data);
}

const QmpCommand qmp_block_limit_commands[] = {
    { "block-set-write-threshold", threshold_args, NULL, .co_run = run_threshold },
    { "block_set_io_throttle", throttle_args, NULL, .co_run = run_throttle },
    { 0 }
};
