/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/live.c - what mirror, backup, stream and commit share; see live-private.h */
#include "block/jobs/live-private.h"

#include "block/node-private.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>

/* ---- the filter ------------------------------------------------------------------------------ */

typedef struct {
    VitBlockNode parent;
    VitLiveJob *job; /* borrowed: the filter goes before the job does */
    VitLiveWriteFunc write; /* NULL: writes pass */
    VitLiveSubmitFunc submit; /* the same without a fiber; NULL: there is no such way */
} Filter;

static bool filter_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Filter *f = (Filter *)node;

    if (f->write && req->op != VIT_BLOCK_READ && req->op != VIT_BLOCK_FLUSH)
        return f->submit && f->submit(f->job, req);
    vit_block_submit(node->file->node, vit_block_child_request(req));
    return true;
}

static int filter_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                         const struct iovec *iov, int niov, uint32_t flags)
{
    Filter *f = (Filter *)node;
    VitLiveWrite write = { op, offset, bytes, iov, niov, flags };

    return f->write ? f->write(f->job, &write) : vit_co_live_write(node->file->node, &write);
}

static int filter_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                         VitBlockExtent *extent)
{
    return vit_co_status(node->file->node, offset, bytes, extent);
}

static void filter_info(VitBlockNode *node, VitBlockInfo *info)
{
    *info = vit_block_info(node->file->node);
}

#define FILTER(driver, text)                                                                       \
    const VitBlockDriver driver = {                                                                \
        .name = text,                                                                              \
        .kind = VIT_BLOCK_FILTER,                                                                  \
        .instance_size = sizeof(Filter),                                                           \
        .try_submit = filter_submit,                                                               \
        .co_change = filter_change,                                                                \
        .co_status = filter_status,                                                                \
        .info = filter_info,                                                                       \
    }
FILTER(vit_mirror_top_driver, "mirror_top");
FILTER(vit_copy_before_write_driver, "copy-before-write");
FILTER(vit_stream_top_driver, "copy-on-read");

bool vit_co_live_filter_insert(VitLiveJob *job, const VitBlockDriver *driver, const char *name,
                               GError **error)
{
    VitBlockNode *source = job->source;
    VitBlockNode *node = vit_block_node_new(driver, source->filename, source->thread);
    Filter *f = (Filter *)node;

    f->job = job;
    g_free(node->name);
    node->name = g_strdup(name);
    node->size = source->size;
    node->how = source->how;
    node->opened = true;
    node->graph = job->graph;
    if (!vit_block_graph_enter(job->graph, node, error)) {
        vit_block_node_unref(node);
        return false;
    }
    vit_co_drain_begin(source);
    vit_block_add_edge(node, vit_block_node_ref(source), "file", VIT_EDGE_FILTERED);
    bool good = vit_block_graph_replace(job->graph, source, node, error);
    vit_co_drain_end(source);
    job->filter = node;
    if (!good) vit_co_live_filter_remove(job);
    return good;
}

void vit_live_filter_set_writer(VitLiveJob *job, VitLiveWriteFunc fn, VitLiveSubmitFunc submit)
{
    Filter *f = (Filter *)job->filter;

    f->write = fn;
    f->submit = submit;
}

void vit_co_live_filter_remove(VitLiveJob *job)
{
    VitBlockNode *filter = g_steal_pointer(&job->filter);
    g_autoptr(GError) error = NULL;

    if (!filter) return;
    vit_co_drain_begin(filter);
    ((Filter *)filter)->write = NULL;
    if (!vit_block_graph_replace(job->graph, filter, job->source, &error))
        g_warning("%s", error->message);
    vit_co_drain_end(filter);
    vit_block_node_unref(filter);
}

int vit_co_live_write(VitBlockNode *node, const VitLiveWrite *w)
{
    return vit_co_change(node, w->op, w->offset, w->bytes, w->iov, w->niov, w->flags);
}

/* ---- life ------------------------------------------------------------------------------------ */

VitLiveJob *vit_live_job_new(const VitBlockLiveOptions *options, const VitBlockJobClass *klass,
                             VitBlockNode *source, VitBlockNode *target, bool share_target,
                             GError **error)
{
    g_autofree char *who = g_strdup_printf("block job: %s", klass->type);
    VitBlockClaim *reads = vit_block_claim(source, VIT_CLAIM_READ | VIT_CLAIM_SHARE_WRITE, who,
                                           error);
    VitBlockClaim *writes = NULL;
    VitBlockJob *job = NULL;

    if (reads && target)
        writes = vit_block_claim(
            target, VIT_CLAIM_WRITE | (share_target ? VIT_CLAIM_SHARE_WRITE : 0), who, error);
    if (reads && (writes || !target))
        job = vit_block_job_new(options->jobs, klass, options->id, options->flags, error);
    if (!job) {
        vit_block_claim_free(reads);
        vit_block_claim_free(writes);
        return NULL;
    }
    VitLiveJob *live = (VitLiveJob *)job;
    job->thread = job->wake.thread = source->thread; /* and the claims keep it there */
    live->graph = options->graph;
    live->source = vit_block_node_ref(source);
    live->target = target ? vit_block_node_ref(target) : NULL;
    live->source_claim = reads;
    live->between = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_claim_free);
    live->target_claim = writes;
    live->ranges.cond.thread = live->idle.thread = source->thread;
    live->on_source_error = options->on_source_error;
    live->on_target_error = options->on_target_error;
    live->told_failure = options->failed;
    live->opaque = options->opaque;
    if (options->speed) vit_block_job_set_speed(job, options->speed);
    return live;
}

bool vit_live_job_claim_between(VitLiveJob *job, VitBlockNode *top, const VitBlockNode *base,
                                GError **error)
{
    g_autofree char *who = g_strdup_printf("block job: %s", job->parent.klass->type);

    for (VitBlockNode *n = top; n && n != base;) {
        bool filter = n->driver->kind == VIT_BLOCK_FILTER;
        VitBlockEdge *below = filter ? n->file : n->backing;
        n = below ? below->node : NULL;
        if (!n || n == base) break;
        VitBlockClaim *claim = vit_block_claim(n, VIT_CLAIM_READ, who, error);
        if (!claim) return false;
        g_ptr_array_add(job->between, claim);
    }
    return true;
}

void vit_live_job_discard(VitLiveJob *job)
{
    g_autoptr(GError) error = NULL;

    job->parent.flags |= VIT_JOB_AUTO_DISMISS;
    if (!vit_block_job_cancel(&job->parent, true, &error)) g_warning("%s", error->message);
    vit_block_job_unref(&job->parent);
}

void vit_co_live_clean(VitLiveJob *job)
{
    vit_co_live_filter_remove(job);
    vit_block_claim_free(g_steal_pointer(&job->source_claim));
    vit_block_claim_free(g_steal_pointer(&job->target_claim));
    g_clear_pointer(&job->between, g_ptr_array_unref);
    vit_block_node_unref(g_steal_pointer(&job->source));
    vit_block_node_unref(g_steal_pointer(&job->target));
    g_clear_error(&job->failure);
}

/* ---- copying --------------------------------------------------------------------------------- */

static int copy_data(VitLiveJob *job, const VitLiveCopy *how, uint64_t offset, uint64_t bytes,
                     bool *read)
{
    g_autofree uint8_t *buf = g_try_malloc(bytes);
    uint32_t zero_flags = how->unmap ? VIT_BLOCK_MAY_UNMAP : 0;

    *read = true;
    if (!buf) return -ENOMEM;
    int result = vit_co_read(job->source, offset, buf, bytes);
    if (result < 0) return result;
    *read = false;
    if (how->unmap && vit_block_is_zero(buf, bytes))
        return vit_co_zero(job->target, offset, bytes, zero_flags);
    return vit_co_write(job->target, offset, buf, bytes, how->compress ? VIT_BLOCK_COMPRESSED : 0);
}

int vit_co_live_copy(VitLiveJob *job, const VitLiveCopy *how, uint64_t offset, uint64_t bytes,
                     bool *read)
{
    uint64_t end = MIN(offset + bytes, job->source->size);

    while (offset < end) {
        VitBlockExtent e;
        *read = true;
        int result = vit_co_status_above(job->source, how->base, offset, end - offset, &e);
        if (result < 0) return result;
        uint64_t piece = MIN(MIN(MAX(e.bytes, 1), end - offset), VIT_LIVE_PIECE);
        /* A cluster is compressed as a whole. */
        if (how->compress) piece = end - offset;
        if (how->base && !how->all && !(e.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO))) {
            offset += piece;
            continue;
        }
        if ((e.flags & VIT_EXTENT_ZERO) && !how->compress) {
            *read = false;
            result = vit_co_zero(job->target, offset, piece, how->unmap ? VIT_BLOCK_MAY_UNMAP : 0);
        } else {
            result = copy_data(job, how, offset, piece, read);
        }
        if (result < 0) return result;
        offset += piece;
    }
    return 0;
}

VitLiveAction vit_co_live_failed(VitLiveJob *job, int result, bool read)
{
    static const char *const actions[] = { "report", "stop", "ignore" };
    VitBlockOnError policy = read ? job->on_source_error : job->on_target_error;
    bool full = result == -ENOSPC || result == -EDQUOT;
    VitLiveAction action = policy == VIT_ON_ERROR_IGNORE                    ? VIT_LIVE_SKIP
                           : policy == VIT_ON_ERROR_STOP                    ? VIT_LIVE_RETRY
                           : full && !read && policy >= VIT_ON_ERROR_ENOSPC ? VIT_LIVE_RETRY
                           : full && read && policy == VIT_ON_ERROR_ENOSPC  ? VIT_LIVE_RETRY
                                                                            : VIT_LIVE_FAIL;

    if (vit_block_job_is_cancelled(&job->parent)) return VIT_LIVE_FAIL;
    if (action == VIT_LIVE_FAIL && !job->failure)
        vit_block_fail_errno(&job->failure, result, "%s “%s”",
                             read ? "Could not read" : "Could not write",
                             (read || !job->target ? job->source : job->target)->filename);
    if (job->told_failure) job->told_failure(job->opaque, &job->parent, read, actions[action]);
    if (action == VIT_LIVE_RETRY) {
        g_autoptr(GError) already = NULL;
        job->io_failed = true;
        if (!vit_block_job_pause(&job->parent, &already))
            g_debug("%s", already->message); /* another worker has stopped it */
        if (!vit_co_job_pause_point(&job->parent)) return VIT_LIVE_FAIL;
        job->io_failed = false;
    }
    return action;
}

typedef struct {
    VitLiveJob *job;
    VitLiveWorker fn;
} Worker;

static void worker_fiber(void *opaque)
{
    Worker w = *(Worker *)opaque;

    while (!w.job->failure && vit_co_job_pause_point(&w.job->parent) && w.fn(w.job));
    w.job->workers--;
    vit_fiber_cond_wake_all(&w.job->idle);
}

bool vit_co_live_work(VitLiveJob *job, VitLiveWorker fn, unsigned workers, GError **error)
{
    Worker w = { job, fn };

    for (unsigned i = 0; i < workers; i++) {
        job->workers++;
        vit_fiber_start(job->source->thread, worker_fiber, &w); /* reads w before it waits */
    }
    while (job->workers > 0) vit_fiber_cond_wait(&job->idle, NULL);
    if (!job->failure && !vit_block_job_is_cancelled(&job->parent)) return true;
    if (job->failure) g_propagate_error(error, g_steal_pointer(&job->failure));
    else g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation canceled"));
    return false;
}
