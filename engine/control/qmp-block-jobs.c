/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block-jobs.c - jobs by command: their verbs, what they say of themselves,
 * their events */
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

static const QmpArg id_args[] = { { "id", QMP_STR }, { 0 } };
static const QmpArg device_args[] = { { "device", QMP_STR }, { 0 } };
static const QmpArg cancel_args[] = { { "device", QMP_STR }, { "force", QMP_BOOL, true }, { 0 } };
static const QmpArg speed_args[] = { { "device", QMP_STR }, { "speed", QMP_INT }, { 0 } };

const QmpCommand qmp_block_job_commands[] = {
    { "block-job-cancel", cancel_args, NULL, .co_run = run_block_cancel },
    { "block-job-complete", device_args, NULL, .co_run = run_block_complete },
    { "block-job-dismiss", id_args, NULL, .co_run = run_block_dismiss },
    { "block-job-finalize", id_args, NULL, .co_run = run_block_finalize },
    { "block-job-pause", device_args, NULL, .co_run = run_block_pause },
    { "block-job-resume", device_args, NULL, .co_run = run_block_resume },
    { "block-job-set-speed", speed_args, NULL, .co_run = run_set_speed },
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
