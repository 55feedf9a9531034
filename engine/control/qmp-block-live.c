/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-live.c - jobs on disks in use that commands start: mirror, backup,
 * stream, commit */
#include "engine/control/qmp-block.h"

#include <string.h>

/* ---- What the starting commands share -------------------------------------------------------- */

static const char *const on_errors[] = { "report", "ignore", "enospc", "stop", "auto", NULL };
static const char *const syncs[] = { "top", "full", "none", "incremental", "bitmap", NULL };
static const char *const modes[] = { "existing", "absolute-paths", NULL };
static const char *const bitmap_modes[] = { "on-success", "never", "always", NULL };
static const char *const copy_modes[] = { "background", "write-blocking", NULL };

static int index_of(const char *const *names, const char *name, int otherwise)
{
    for (int i = 0; name && names[i]; i++) {
        if (!strcmp(name, names[i])) return i;
    }
    return otherwise;
}

static bool live_options(ControlBlock *b, JsonObject *args, const char *device,
                         VitBlockLiveOptions *o, GError **error)
{
    const char *both = block_text(args, "on-error");
    int64_t speed = block_int(args, "speed", 0);

    if (speed < 0) return control_fail(error, "Parameter 'speed' expects a non-negative value");
    *o = (VitBlockLiveOptions){
        .graph = b->graph,
        .jobs = b->jobs,
        .id = block_text(args, "job-id"),
        .flags = (block_bool(args, "auto-finalize", true) ? VIT_JOB_AUTO_FINALIZE : 0u) |
                 (block_bool(args, "auto-dismiss", true) ? VIT_JOB_AUTO_DISMISS : 0u),
        .speed = (uint64_t)speed,
        .filter_name = block_text(args, "filter-node-name"),
        .failed = block_job_failed,
        .opaque = b,
    };
    o->on_source_error = (VitBlockOnError)index_of(
        on_errors, block_text(args, "on-source-error") ?: both, VIT_ON_ERROR_REPORT);
    o->on_target_error = (VitBlockOnError)index_of(
        on_errors, block_text(args, "on-target-error") ?: both, VIT_ON_ERROR_REPORT);
    if (!o->id && block_drive(b, device)) o->id = device;
    return o->id || control_fail(error, "Invalid job ID ''");
}

static bool start(VitBlockJob *job)
{
    if (!job) return false;
    vit_block_job_start(job);
    vit_block_job_unref(job);
    return true;
}

/* The target of drive-mirror and drive-backup: made unless mode=existing, opened; a reference. */
static VitBlockNode *open_target(ControlBlock *b, JsonObject *args, VitBlockNode *source,
                                 VitBlockNode *backing, GError **error)
{
    const char *file = block_text(args, "target"), *name = block_text(args, "node-name");
    const char *format = block_text(args, "format");
    bool existing = !g_strcmp0(block_text(args, "mode"), "existing");
    g_autoptr(JsonObject) extra = json_object_new();

    if (!existing) {
        format = format ?: vit_block_node_format(source);
        if (!vit_block_graph_create(b->graph, file, format, source->size,
                                    backing ? backing->filename : NULL,
                                    backing ? backing->driver->name : NULL, NULL, error))
            return NULL;
    }
    if (name) json_object_set_string_member(extra, "node-name", name);
    const VitBlockDriver *driver = format ? vit_block_driver_find(format) : NULL;
    if (driver && driver->supports_backing) json_object_set_null_member(extra, "backing");
    unsigned flags = (source->how.direct ? VIT_OPEN_DIRECT : 0u) |
                     (source->how.no_flush ? VIT_OPEN_NO_FLUSH : 0u) | VIT_OPEN_DISCARD;
    return vit_block_graph_open_image(b->graph, file, format, extra, flags, error);
}

/* ---- Mirror ---------------------------------------------------------------------------------- */

#define LIVE_ARGS                                                                                  \
    { "job-id", QMP_STR, true }, { "speed", QMP_INT, true }, { "auto-finalize", QMP_BOOL, true },  \
        { "auto-dismiss", QMP_BOOL, true },                                                        \
    {                                                                                              \
        "filter-node-name", QMP_STR, true                                                          \
    }
#define SIDE_ARGS                                                                                  \
    { "on-source-error", QMP_STR, true, on_errors },                                               \
    {                                                                                              \
        "on-target-error", QMP_STR, true, on_errors                                                \
    }
#define MIRROR_ARGS                                                                                \
    { "device", QMP_STR }, { "target", QMP_STR }, { "sync", QMP_STR, false, syncs },               \
        { "replaces", QMP_STR, true }, { "granularity", QMP_INT, true },                           \
        { "buf-size", QMP_INT, true }, { "copy-mode", QMP_STR, true, copy_modes }, LIVE_ARGS,      \
        SIDE_ARGS

static const QmpArg blockdev_mirror_args[] = { MIRROR_ARGS, { 0 } };
static const QmpArg drive_mirror_args[] = { MIRROR_ARGS,
                                            { "format", QMP_STR, true },
                                            { "mode", QMP_STR, true, modes },
                                            { "node-name", QMP_STR, true },
                                            { "unmap", QMP_BOOL, true },
                                            { 0 } };

static bool mirror_options(JsonObject *args, VitBlockMirror *m, GError **error)
{
    enum { LARGEST = 64 << 20, SMALLEST = 512 };
    const char *sync = block_text(args, "sync");
    int64_t granularity = block_int(args, "granularity", 0);
    int64_t buf_size = block_int(args, "buf-size", 0);

    *m = (VitBlockMirror){
        .sync = (VitBlockSync)index_of(syncs, sync, VIT_SYNC_FULL),
        .write_blocking = !g_strcmp0(block_text(args, "copy-mode"), "write-blocking"),
        .unmap = block_bool(args, "unmap", true),
        .replaces = block_text(args, "replaces"),
    };
    if (m->sync >= VIT_SYNC_BITMAP)
        return control_fail(error, "Sync mode '%s' not supported", sync);
    if (granularity && (granularity < SMALLEST || granularity > LARGEST))
        return control_fail(error, "Parameter 'granularity' expects a value in range "
                                   "[512B, 64MB]");
    if (granularity & (granularity - 1))
        return control_fail(error, "Parameter 'granularity' expects a power of 2");
    if (buf_size < 0) return control_fail(error, "Invalid parameter 'buf-size'");
    m->granularity = (uint32_t)granularity;
    m->buf_size = (uint64_t)buf_size;
    return true;
}

static bool mirror(ControlBlock *b, JsonObject *args, bool drive, GError **error)
{
    const char *device = block_text(args, "device");
    VitBlockNode *source = block_find_either(b, device, error), *target = NULL;
    VitBlockLiveOptions options;
    VitBlockMirror m;

    if (!source || !mirror_options(args, &m, error)) return false;
    if (drive) {
        VitBlockNode *backing = m.sync == VIT_SYNC_NONE                     ? source
                                : m.sync == VIT_SYNC_TOP && source->backing ? source->backing->node
                                                                            : NULL;
        if (!block_check_free(source, error) || !live_options(b, args, device, &options, error) ||
            !(target = open_target(b, args, source, backing, error)))
            return false;
    } else {
        target = block_find_either(b, block_text(args, "target"), error);
        if (!target) return false;
        vit_block_node_ref(target);
    }
    bool good = target != source || control_fail(error, "Can't mirror node into itself");
    good = good && block_check_free(source, error) && block_check_free(target, error) &&
           live_options(b, args, device, &options, error) &&
           start(vit_co_mirror_new(&options, source, target, &m, error));
    vit_block_node_unref(target);
    return good;
}

static bool run_blockdev_mirror(ControlBlock *b, JsonObject *args, JsonNode **result,
                                GError **error)
{
    return mirror(b, args, false, error);
}

static bool run_drive_mirror(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return mirror(b, args, true, error);
}

/* ---- Backup ---------------------------------------------------------------------------------- */

#define BACKUP_ARGS                                                                                \
    { "device", QMP_STR }, { "target", QMP_STR }, { "sync", QMP_STR, false, syncs },               \
        { "bitmap", QMP_STR, true }, { "bitmap-mode", QMP_STR, true, bitmap_modes },               \
        { "compress", QMP_BOOL, true }, LIVE_ARGS, SIDE_ARGS

const QmpArg block_blockdev_backup_args[] = { BACKUP_ARGS, { 0 } };
const QmpArg block_drive_backup_args[] = {
    BACKUP_ARGS, { "format", QMP_STR, true }, { "mode", QMP_STR, true, modes }, { 0 }
};

VitBlockNode *block_backup_source(ControlBlock *b, JsonObject *args, GError **error)
{
    return block_find_either(b, block_text(args, "device"), error);
}

static bool backup_options(JsonObject *args, VitBlockNode *source, VitBlockBackup *o,
                           GError **error)
{
    const char *sync = block_text(args, "sync"), *name = block_text(args, "bitmap");
    const char *mode = block_text(args, "bitmap-mode");
    bool incremental = !strcmp(sync, "incremental"), bitmap = !strcmp(sync, "bitmap");

    *o = (VitBlockBackup){
        .sync = incremental || bitmap ? VIT_SYNC_BITMAP
                                      : (VitBlockSync)index_of(syncs, sync, VIT_SYNC_FULL),
        .bitmap_mode = (VitBitmapMode)index_of(bitmap_modes, mode, VIT_BITMAP_ON_SUCCESS),
        .compress = block_bool(args, "compress", false),
    };
    if ((incremental || bitmap) && !name)
        return control_fail(error, "must provide a valid bitmap name for '%s' sync mode", sync);
    if (incremental && o->bitmap_mode != VIT_BITMAP_ON_SUCCESS)
        return control_fail(error, "Bitmap sync mode must be 'on-success' when using sync mode "
                                   "'incremental'");
    if (bitmap && !mode)
        return control_fail(error, "Bitmap sync mode must be given when providing a bitmap");
    if (!name)
        return !mode || control_fail(error, "Cannot specify bitmap sync mode without a bitmap");
    o->bitmap = vit_block_bitmap_find(source, name);
    if (!o->bitmap) return control_fail(error, "Bitmap '%s' could not be found", name);
    if (!incremental && !mode)
        return control_fail(error, "Bitmap sync mode must be given when providing a bitmap");
    if (o->sync == VIT_SYNC_NONE)
        return control_fail(error, "sync mode 'none' does not produce meaningful bitmap outputs");
    return block_bitmap_usable(o->bitmap, error);
}

VitBlockJob *block_backup_prepare(ControlBlock *b, JsonObject *args, bool drive, GError **error)
{
    const char *device = block_text(args, "device");
    VitBlockNode *source = block_backup_source(b, args, error), *target = NULL;
    VitBlockLiveOptions options;
    VitBlockBackup o;

    if (!source || !block_check_free(source, error)) return NULL;
    if (drive) {
        VitBlockNode *backing = !strcmp(block_text(args, "sync"), "none") ? source
                                : !strcmp(block_text(args, "sync"), "top") && source->backing
                                    ? source->backing->node
                                    : NULL;
        target = backup_options(args, source, &o, error)
                     ? open_target(b, args, source, backing, error)
                     : NULL;
    } else {
        target = block_find_either(b, block_text(args, "target"), error);
        if (target && !block_check_free(target, error)) return NULL;
        if (target) vit_block_node_ref(target);
    }
    if (!target) return NULL;
    VitBlockJob *job = backup_options(args, source, &o, error) &&
                               live_options(b, args, device, &options, error)
                           ? vit_co_backup_new(&options, source, target, &o, error)
                           : NULL;
    vit_block_node_unref(target);
    return job;
}

static bool run_blockdev_backup(ControlBlock *b, JsonObject *args, JsonNode **result,
                                GError **error)
{
    return start(block_backup_prepare(b, args, false, error));
}

static bool run_drive_backup(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return start(block_backup_prepare(b, args, true, error));
}

/* ---- Stream and commit ----------------------------------------------------------------------- */

static const QmpArg stream_args[] = { { "device", QMP_STR },
                                      { "base", QMP_STR, true },
                                      { "base-node", QMP_STR, true },
                                      { "backing-file", QMP_STR, true },
                                      { "bottom", QMP_STR, true },
                                      { "backing-mask-protocol", QMP_BOOL, true },
                                      { "on-error", QMP_STR, true, on_errors },
                                      LIVE_ARGS,
                                      { 0 } };

static VitBlockNode *next_below(VitBlockNode *node)
{
    if (node->driver->kind == VIT_BLOCK_FILTER) return node->file ? node->file->node : NULL;
    return node->backing ? node->backing->node : NULL;
}

/* A node of the chain of `top`, by file name or by node. */
static VitBlockNode *in_chain(VitBlockNode *top, const char *file, const VitBlockNode *node)
{
    for (VitBlockNode *n = top; n; n = next_below(n)) {
        if (n == node || (file && (!strcmp(n->filename, file) || !strcmp(n->name, file)))) return n;
    }
    return NULL;
}

/* No other job works on top or on what is between it and base. */
static bool check_chain_free(VitBlockNode *top, const VitBlockNode *base, GError **error)
{
    for (VitBlockNode *n = top; n && n != base; n = next_below(n))
        if (!block_check_free(n, error)) return false;
    return true;
}

static bool run_stream(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *device = block_text(args, "device"), *file = block_text(args, "base");
    const char *base_name = block_text(args, "base-node"), *bottom = block_text(args, "bottom");
    VitBlockNode *node = block_find_either(b, device, error), *base = NULL;
    VitBlockLiveOptions options;

    if (!node) return false;
    if (file && base_name)
        return control_fail(error, "'base' and 'base-node' cannot be specified at the same time");
    if (bottom && (file || base_name))
        return control_fail(error, "'bottom' and 'base' cannot be specified at the same time");
    if (file && !(base = in_chain(node, file, NULL)))
        return control_fail(error, "Can't find '%s' in the backing chain", file);
    const char *named = base_name ?: bottom;
    if (named) {
        VitBlockNode *found = block_find(b, NULL, named, error);
        if (!found) return false;
        if (found == node || !in_chain(node, NULL, found))
            return control_fail(error, "Node '%s' is not a backing image of '%s'", named, device);
        base = bottom ? next_below(found) : found;
    }
    if (!base && block_text(args, "backing-file"))
        return control_fail(error, "backing file specified, but streaming the entire chain");
    return check_chain_free(node, base, error) && live_options(b, args, device, &options, error) &&
           start(vit_co_stream_new(&options, node, base, block_text(args, "backing-file"), error));
}

static const QmpArg commit_args[] = { { "device", QMP_STR },
                                      { "base", QMP_STR, true },
                                      { "base-node", QMP_STR, true },
                                      { "top", QMP_STR, true },
                                      { "top-node", QMP_STR, true },
                                      { "backing-file", QMP_STR, true },
                                      { "backing-mask-protocol", QMP_BOOL, true },
                                      { "on-error", QMP_STR, true, on_errors },
                                      LIVE_ARGS,
                                      { 0 } };

static bool find_in_chain(ControlBlock *b, JsonObject *args, const char *file_key,
                          const char *node_key, VitBlockNode *active, VitBlockNode **found,
                          GError **error)
{
    const char *file = block_text(args, file_key), *name = block_text(args, node_key);

    if (file && name)
        return control_fail(error, "'%s' and '%s' are mutually exclusive", node_key, file_key);
    if (!file && !name) return true;
    VitBlockNode *node = name ? block_find(b, NULL, name, error) : NULL;
    if (name && !node) return false;
    *found = in_chain(active, file, node);
    if (*found) return true;
    return name ? control_fail(error, "'%s' is not in this backing file chain", name)
                : control_fail(error, "Top image file %s not found", file);
}

static bool run_commit(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    const char *device = block_text(args, "device"), *backing = block_text(args, "backing-file");
    g_autoptr(GError) ignored = NULL;
    VitBlockNode *active = block_find_either(b, device, &ignored), *top = active, *base = NULL;
    VitBlockLiveOptions options;

    if (!active) {
        g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found",
                    device);
        return false;
    }
    if (!find_in_chain(b, args, "top", "top-node", active, &top, error) ||
        !find_in_chain(b, args, "base", "base-node", active, &base, error))
        return false;
    for (VitBlockNode *n = base ? NULL : next_below(top); n; n = next_below(n)) base = n;
    if (!base || base == top || !in_chain(next_below(top), NULL, base))
        return control_fail(error, "cannot commit an image into itself");
    if (top == active && backing)
        return control_fail(error, "'backing-file' specified, but 'top' is the active layer");
    return block_check_free(active, error) && check_chain_free(top, base, error) &&
           block_check_free(base, error) && live_options(b, args, device, &options, error) &&
           start(vit_co_commit_new(&options, active, top, base, backing, error));
}

const QmpCommand qmp_block_live_commands[] = {
    { "block-commit", commit_args, NULL, .co_run = run_commit },
    { "block-stream", stream_args, NULL, .co_run = run_stream },
    { "blockdev-backup", block_blockdev_backup_args, NULL, .co_run = run_blockdev_backup },
    { "blockdev-mirror", blockdev_mirror_args, NULL, .co_run = run_blockdev_mirror },
    { "drive-backup", block_drive_backup_args, NULL, .co_run = run_drive_backup },
    { "drive-mirror", drive_mirror_args, NULL, .co_run = run_drive_mirror },
    { 0 }
};
