/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/tasks.c - checking, resizing, amending and compacting an image as jobs
 *
 * The driver's own work cannot be paused; a compaction can, between pieces. */
#include "block/job-private.h"
#include "block/jobs/jobs.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>

enum { PIECE = 1 << 20, UNIT = 64 << 10 };

typedef struct {
    VitBlockJob parent;
    VitBlockNode *node; /* a reference */
    /* check */
    unsigned fix;
    VitBlockCheck *found; /* borrowed */
    /* resize */
    uint64_t size;
    VitPrealloc prealloc;
    /* amend */
    VitBlockArgs *options; /* owned */
    bool force;
} Task;

static void clean(VitBlockJob *job)
{
    Task *t = (Task *)job;

    vit_block_node_unref(t->node);
    t->node = NULL;
    g_clear_pointer(&t->options, vit_block_args_free);
}

static Task *new_task(VitBlockJobs *jobs, const VitBlockJobClass *klass, const char *id,
                      unsigned flags, VitBlockNode *node, GError **error)
{
    Task *t = (Task *)vit_block_job_new(jobs, klass, id, flags, error);

    if (t) t->node = vit_block_node_ref(node);
    return t;
}

/* A driver's progress as the job's. */
static void progress(void *opaque, uint64_t done, uint64_t total)
{
    VitBlockJob *job = opaque;
    VitBlockJobInfo info = vit_block_job_info(job);

    g_free(info.error);
    job->in_steps = true;
    vit_block_job_set_total(job, total);
    if (done > info.current) vit_block_job_advance(job, done - info.current);
}

static bool flushed(Task *t, GError **error)
{
    int code = vit_co_flush(t->node);

    return code == 0 ||
           vit_block_fail_errno(error, code, _("Could not flush “%s”"), t->node->filename);
}

/* ---- check ----------------------------------------------------------------------------------- */

static void check_message(void *opaque, const char *text)
{
    Task *t = opaque;

    if (t->found->message) t->found->message(t->found->opaque, text);
}

static bool run_check(VitBlockJob *job, GError **error)
{
    Task *t = (Task *)job;
    VitBlockCheck found = { .message = check_message, .progress = progress, .opaque = t };

    if (!t->node->driver->co_check) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    _("This image format does not support checks"));
        return false;
    }
    int code = t->node->driver->co_check(t->node, &found, t->fix);
    found.message = t->found->message;
    found.progress = t->found->progress;
    found.opaque = t->found->opaque;
    *t->found = found;
    return code == 0 ||
           vit_block_fail_errno(error, code, _("Check of “%s” failed"), t->node->filename);
}

static const VitBlockJobClass check_class = {
    .type = "check",
    .instance_size = sizeof(Task),
    .co_run = run_check,
    .co_clean = clean,
};

VitBlockJob *vit_block_check_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                 VitBlockNode *node, unsigned fix, VitBlockCheck *found,
                                 GError **error)
{
    Task *t = new_task(jobs, &check_class, id, flags, node, error);

    if (!t) return NULL;
    t->fix = fix;
    t->found = found;
    return &t->parent;
}

/* ---- resize ---------------------------------------------------------------------------------- */

static bool run_resize(VitBlockJob *job, GError **error)
{
    Task *t = (Task *)job;

    return vit_co_truncate(t->node, t->size, true, t->prealloc, error) && flushed(t, error);
}

static const VitBlockJobClass resize_class = {
    .type = "resize",
    .instance_size = sizeof(Task),
    .co_run = run_resize,
    .co_clean = clean,
};

VitBlockJob *vit_block_resize_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                  VitBlockNode *node, uint64_t size, VitPrealloc prealloc,
                                  GError **error)
{
    Task *t = new_task(jobs, &resize_class, id, flags, node, error);

    if (!t) return NULL;
    t->size = size;
    t->prealloc = prealloc;
    return &t->parent;
}

/* ---- amend ----------------------------------------------------------------------------------- */

static bool run_amend(VitBlockJob *job, GError **error)
{
    Task *t = (Task *)job;
    const VitBlockDriver *d = t->node->driver;

    if (!d->co_amend)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Format driver '%s' does not support option amendment"), d->name);
    return d->co_amend(t->node, t->options, t->force, progress, job, error) &&
           vit_block_args_finish(t->options, error) && flushed(t, error);
}

static const VitBlockJobClass amend_class = {
    .type = "amend",
    .instance_size = sizeof(Task),
    .co_run = run_amend,
    .co_clean = clean,
};

VitBlockJob *vit_block_amend_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                 VitBlockNode *node, VitBlockArgs *options, bool force,
                                 GError **error)
{
    Task *t = new_task(jobs, &amend_class, id, flags, node, error);

    if (!t) {
        vit_block_args_free(options);
        return NULL;
    }
    t->options = options;
    t->force = force;
    return &t->parent;
}

/* ---- compact --------------------------------------------------------------------------------- */

/* Zeroes the runs of units that are stored and read as zero. */
static int compact_piece(Task *t, uint64_t offset, uint8_t *buf, uint64_t bytes, uint64_t unit)
{
    int code = vit_co_read(t->node, offset, buf, bytes);

    for (uint64_t at = 0; at < bytes && code == 0;) {
        uint64_t end = at;
        while (end < bytes && vit_block_is_zero(buf + end, MIN(unit, bytes - end)))
            end += MIN(unit, bytes - end);
        if (end > at) code = vit_co_zero(t->node, offset + at, end - at, VIT_BLOCK_MAY_UNMAP);
        at = end > at ? end : at + MIN(unit, bytes - at);
    }
    return code;
}

static bool run_compact(VitBlockJob *job, GError **error)
{
    Task *t = (Task *)job;
    uint64_t size = t->node->size, cluster = vit_block_info(t->node).cluster_size;
    uint64_t unit = cluster ? MIN(cluster, PIECE) : UNIT;
    void *buf = NULL;
    int code = posix_memalign(&buf, 4096, PIECE) == 0 ? 0 : -ENOMEM;

    if (code < 0) buf = NULL;
    vit_block_job_set_total(job, size);
    for (uint64_t at = 0; at < size && code == 0;) {
        VitBlockExtent x;
        if (!vit_co_job_pause_point(job)) break;
        code = vit_co_status(t->node, at, size - at, &x);
        if (code == 0 && x.bytes == 0) code = -EIO;
        if (code < 0) break;
        bool stored = (x.flags & VIT_EXTENT_DATA) && !(x.flags & VIT_EXTENT_ZERO);
        uint64_t bytes = stored ? MIN(x.bytes, PIECE - at % PIECE) : x.bytes;
        if (stored) code = compact_piece(t, at, buf, bytes, unit);
        vit_block_job_advance(job, bytes);
        at += bytes;
    }
    free(buf);
    if (code < 0)
        return vit_block_fail_errno(error, code, _("Could not compact “%s”"), t->node->filename);
    return !vit_block_job_is_cancelled(job) && flushed(t, error);
}

static const VitBlockJobClass compact_class = {
    .type = "compact",
    .instance_size = sizeof(Task),
    .co_run = run_compact,
    .co_clean = clean,
};

VitBlockJob *vit_block_compact_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                   VitBlockNode *node, GError **error)
{
    Task *t = new_task(jobs, &compact_class, id, flags, node, error);

    return t ? &t->parent : NULL;
}
