/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-jobs.c - jobs by command: starting them, their verbs, their events */
#include "engine/control/qmp-block-types.h"
#include "engine/control/qmp-block.h"

#include "block/job-private.h"

#include <string.h>

/* ---- Events ---------------------------------------------------------------------------------- */

static bool is_block_job(const VitBlockJob *job)
{
    return strcmp(vit_block_job_type(job), "create") && strcmp(vit_block_job_type(job), "amend");
}

static void emit_end(ControlBlock *b, VitBlockJob *job, const char *event, const char *failure)
{
    VitBlockJobInfo info = vit_block_job_info(job);
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "device", vit_block_job_id(job));
    json_object_set_int_member(data, "len", (gint64)info.total);
    json_object_set_int_member(data, "offset", (gint64)info.current);
    json_object_set_int_member(data, "speed", (gint64)job->speed);
    json_object_set_string_member(data, "type", vit_block_job_type(job));
    if (failure) json_object_set_string_member(data, "error", failure);
    control_emit(b->control, event, data);
    g_free(info.error);
}

static void emit_status(ControlBlock *b, const char *id, const char *status)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "status", status);
    json_object_set_string_member(data, "id", id);
    control_emit(b->control, "JOB_STATUS_CHANGE", data);
}

/* The status told before, -1: none; and remembers the new one. */
static int remember(ControlBlock *b, const char *id, VitBlockJobStatus status)
{
    gpointer last;

    g_mutex_lock(&b->told_lock);
    bool known = g_hash_table_lookup_extended(b->told, id, NULL, &last);
    if (status == VIT_JOB_NULL) g_hash_table_remove(b->told, id);
    else g_hash_table_replace(b->told, g_strdup(id), GINT_TO_POINTER(status));
    g_mutex_unlock(&b->told_lock);
    return known ? GPOINTER_TO_INT(last) : -1;
}

void block_job_changed(void *opaque, VitBlockJob *job)
{
    ControlBlock *b = opaque;
    const char *id = vit_block_job_id(job);
    VitBlockJobInfo info = vit_block_job_info(job);
    g_autofree char *failure = info.error;

    if (!id) return;
    int last = remember(b, id, info.status);
    if (last == (int)info.status) return;
    if (last < 0 && info.status != VIT_JOB_CREATED) emit_status(b, id, "created");
    if (info.status == VIT_JOB_CONCLUDED && is_block_job(job))
        emit_end(b, job, info.cancelled ? "BLOCK_JOB_CANCELLED" : "BLOCK_JOB_COMPLETED",
                 info.cancelled ? NULL : failure);
    emit_status(b, id, vit_block_job_status_name(info.status));
    if (info.status == VIT_JOB_READY && last != VIT_JOB_STANDBY)
        emit_end(b, job, "BLOCK_JOB_READY", NULL);
    if (info.status == VIT_JOB_PENDING && !(job->flags & VIT_JOB_AUTO_FINALIZE)) {
        JsonObject *data = json_object_new();
        json_object_set_string_member(data, "type", vit_block_job_type(job));
        json_object_set_string_member(data, "id", id);
        control_emit(b->control, "BLOCK_JOB_PENDING", data);
    }
}

void block_job_failed(void *opaque, VitBlockJob *job, bool read, const char *action)
{
    ControlBlock *b = opaque;
    JsonObject *data = json_object_new();

    if (!vit_block_job_id(job)) {
        json_object_unref(data);
        return;
    }
    json_object_set_string_member(data, "device", vit_block_job_id(job));
    json_object_set_string_member(data, "operation", read ? "read" : "write");
    json_object_set_string_member(data, "action", action);
    control_emit(b->control, "BLOCK_JOB_ERROR", data);
}

/* ---- Verbs ----------------------------------------------------------------------------------- */

static VitBlockJob *find(ControlBlock *b, JsonObject *args, GError **error)
{
    const char *id = block_text(args, "id"), *device = block_text(args, "device");
    VitBlockJob *job = vit_block_jobs_find(b->jobs, id ?: device);

    if (!job) control_fail(error, "Job not found");
    return job;
}

static VitBlockJob *find_block_job(ControlBlock *b, JsonObject *args, GError **error)
{
    const char *id = block_text(args, "id"), *device = block_text(args, "device");
    VitBlockJob *job = vit_block_jobs_find(b->jobs, id ?: device);

    if (job && is_block_job(job)) return job;
    vit_block_job_unref(job);
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_DEVICE_NOT_ACTIVE, "Block job '%s' not found",
                id ?: device);
    return NULL;
}

typedef bool (*Verb)(VitBlockJob *job, GError **error);

static bool apply(VitBlockJob *job, Verb verb, GError **error)
{
    bool good = job && verb(job, error);

    vit_block_job_unref(job);
    return good;
}

static bool cancel_hard(VitBlockJob *job, GError **error)
{
    return vit_block_job_cancel(job, true, error);
}

static bool cancel_soft(VitBlockJob *job, GError **error)
{
    return vit_block_job_cancel(job, false, error);
}

#define VERB(name, finder, verb)                                                                   \
    static bool name(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)         \
    {                                                                                              \
        return apply(finder(b, args, error), verb, error);                                         \
    }
VERB(run_job_pause, find, vit_block_job_pause)
VERB(run_job_resume, find, vit_block_job_resume)
VERB(run_job_cancel, find, cancel_hard)
VERB(run_job_complete, find, vit_block_job_complete)
VERB(run_job_finalize, find, vit_block_job_finalize)
VERB(run_job_dismiss, find, vit_block_job_dismiss)
VERB(run_block_pause, find_block_job, vit_block_job_pause)
VERB(run_block_resume, find_block_job, vit_block_job_resume)
VERB(run_block_complete, find_block_job, vit_block_job_complete)
VERB(run_block_finalize, find_block_job, vit_block_job_finalize)
VERB(run_block_dismiss, find_block_job, vit_block_job_dismiss)

static bool run_block_cancel(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockJob *job = find_block_job(b, args, error);
    bool force = block_bool(args, "force", false);

    if (job && job->user_paused && !force) {
        vit_block_job_unref(job);
        return control_fail(error, "The block job for device '%s' is currently paused",
                            block_text(args, "device"));
    }
    return apply(job, force ? cancel_hard : cancel_soft, error);
}

static bool run_set_speed(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    VitBlockJob *job = find_block_job(b, args, error);
    int64_t speed = block_int(args, "speed", 0);
    bool good = job && (speed >= 0 || control_fail(error, "Parameter 'speed' expects a "
                                                          "non-negative value"));

    if (good) vit_block_job_set_speed(job, (uint64_t)speed);
    vit_block_job_unref(job);
    return good;
}

static void describe(VitBlockJob *job, const VitBlockJobInfo *info, JsonObject *entry)
{
    json_object_set_int_member(entry, "current-progress", (gint64)info->current);
    json_object_set_string_member(entry, "status", vit_block_job_status_name(info->status));
    json_object_set_int_member(entry, "total-progress", (gint64)info->total);
    json_object_set_string_member(entry, "type", vit_block_job_type(job));
    json_object_set_string_member(entry, "id", vit_block_job_id(job));
}

static void describe_block_job(VitBlockJob *job, const VitBlockJobInfo *info, JsonObject *entry)
{
    bool ready = info->status == VIT_JOB_READY || info->status == VIT_JOB_STANDBY;

    json_object_set_string_member(entry, "type", vit_block_job_type(job));
    json_object_set_string_member(entry, "device", vit_block_job_id(job));
    json_object_set_int_member(entry, "len", (gint64)info->total);
    json_object_set_int_member(entry, "offset", (gint64)info->current);
    json_object_set_int_member(entry, "speed", (gint64)job->speed);
    json_object_set_boolean_member(entry, "busy", info->busy && !ready);
    json_object_set_boolean_member(entry, "paused", job->user_paused);
    json_object_set_string_member(entry, "io-status", "ok");
    json_object_set_boolean_member(entry, "ready", ready);
    json_object_set_string_member(entry, "status", vit_block_job_status_name(info->status));
    json_object_set_boolean_member(entry, "auto-finalize",
                                   (job->flags & VIT_JOB_AUTO_FINALIZE) != 0);
    json_object_set_boolean_member(entry, "auto-dismiss", (job->flags & VIT_JOB_AUTO_DISMISS) != 0);
    if (!strcmp(vit_block_job_type(job), "mirror"))
        json_object_set_boolean_member(entry, "actively-synced",
                                       vit_block_mirror_actively_synced(job));
}

typedef void (*Describe)(VitBlockJob *job, const VitBlockJobInfo *info, JsonObject *entry);

/* fn adds to the entry of each job; all: also those that are no block jobs. */
static bool query(ControlBlock *b, Describe fn, bool all, JsonNode **result)
{
    g_autoptr(GPtrArray) jobs = vit_block_jobs_list(b->jobs);
    JsonArray *list = json_array_new();

    for (guint i = 0; i < jobs->len; i++) {
        VitBlockJob *job = jobs->pdata[i];
        VitBlockJobInfo info = vit_block_job_info(job);
        g_autofree char *failure = info.error;
        if (!vit_block_job_id(job) || !(all || is_block_job(job))) continue;
        JsonObject *entry = json_object_new();
        fn(job, &info, entry);
        if (failure) json_object_set_string_member(entry, "error", failure);
        json_array_add_object_element(list, entry);
    }
    *result = qmp_array(list);
    return true;
}

static bool query_jobs(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return query(b, describe, true, result);
}

static bool query_block_jobs(ControlBlock *b, JsonObject *args, JsonNode **result, GError **error)
{
    return query(b, describe_block_job, false, result);
}

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
           block_check_free(base, error) &&
           live_options(b, args, device, &options, error) &&
           start(vit_co_commit_new(&options, active, top, base, backing, error));
}

static const QmpArg id_args[] = { { "id", QMP_STR }, { 0 } };
static const QmpArg device_args[] = { { "device", QMP_STR }, { 0 } };
static const QmpArg cancel_args[] = { { "device", QMP_STR }, { "force", QMP_BOOL, true }, { 0 } };
static const QmpArg speed_args[] = { { "device", QMP_STR }, { "speed", QMP_INT }, { 0 } };

const QmpCommand qmp_block_job_commands[] = {
    { "block-commit", commit_args, NULL, .co_run = run_commit },
    { "block-job-cancel", cancel_args, NULL, .co_run = run_block_cancel },
    { "block-job-complete", device_args, NULL, .co_run = run_block_complete },
    { "block-job-dismiss", id_args, NULL, .co_run = run_block_dismiss },
    { "block-job-finalize", id_args, NULL, .co_run = run_block_finalize },
    { "block-job-pause", device_args, NULL, .co_run = run_block_pause },
    { "block-job-resume", device_args, NULL, .co_run = run_block_resume },
    { "block-job-set-speed", speed_args, NULL, .co_run = run_set_speed },
    { "block-stream", stream_args, NULL, .co_run = run_stream },
    { "blockdev-backup", block_blockdev_backup_args, NULL, .co_run = run_blockdev_backup },
    { "blockdev-mirror", blockdev_mirror_args, NULL, .co_run = run_blockdev_mirror },
    { "drive-backup", block_drive_backup_args, NULL, .co_run = run_drive_backup },
    { "drive-mirror", drive_mirror_args, NULL, .co_run = run_drive_mirror },
    { "job-cancel", id_args, NULL, .co_run = run_job_cancel },
    { "job-complete", id_args, NULL, .co_run = run_job_complete },
    { "job-dismiss", id_args, NULL, .co_run = run_job_dismiss },
    { "job-finalize", id_args, NULL, .co_run = run_job_finalize },
    { "job-pause", id_args, NULL, .co_run = run_job_pause },
    { "job-resume", id_args, NULL, .co_run = run_job_resume },
    { "query-block-jobs", qmp_no_members, &qmp_block_jobs_type, .co_run = query_block_jobs },
    { "query-jobs", qmp_no_members, &qmp_jobs_type, .co_run = query_jobs },
    { 0 }
};
