/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/backup.c - a node as it was at one moment, copied while its users go on
 *
 * A filter above the source saves to the target what a write is about to change; the job copies the
 * rest. A bitmap says which clusters are still to be saved; the range lock keeps writes from
 * overtaking. */
#include "block/jobs/live-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

enum { SMALLEST_CLUSTER = 65536 };

typedef struct {
    VitLiveJob live;
    VitBlockBitmap *todo; /* the filter's: clusters not yet saved */
    VitBlockSync sync;
    VitBlockBitmap *bitmap; /* the user's, busy meanwhile; NULL: none */
    VitBlockBitmap *before; /* the filter's: what `bitmap` held at the beginning */
    VitBitmapMode bitmap_mode;
    VitLiveCopy how;
    uint64_t cluster, cursor;
} Backup;

/* Saves one cluster when that has not been done yet; with its range locked. */
static int save(Backup *b, uint64_t offset, bool *read)
{
    uint64_t bytes = MIN(b->cluster, b->live.source->size - offset);

    if (!vit_block_bitmap_get(b->todo, offset)) return 0;
    vit_block_bitmap_clear(b->todo, offset, bytes);
    int result = vit_co_live_copy(&b->live, &b->how, offset, bytes, read);
    if (result < 0) vit_block_bitmap_set(b->todo, offset, bytes);
    else vit_block_job_advance(&b->live.parent, bytes);
    return result;
}

static int save_first(VitLiveJob *job, const VitLiveWrite *w)
{
    Backup *b = (Backup *)job;
    uint64_t start = w->offset - w->offset % b->cluster;
    uint64_t end = (w->offset + w->bytes + b->cluster - 1) / b->cluster * b->cluster;
    VitBlockRange range;
    int result = 0;

    end = MIN(end, job->source->size);
    vit_block_range_lock(&job->ranges, &range, start, end - start);
    for (uint64_t at = start; at < end && !job->failure; at += b->cluster) {
        bool read = false;
        result = save(b, at, &read);
        /* The guest goes on; its backup has failed. */
        if (result < 0 && !job->failure)
            vit_block_fail_errno(&job->failure, result, _("Could not save “%s” before a write"),
                                 job->source->filename);
    }
    result = vit_co_live_write(job->source, w);
    vit_block_range_unlock(&job->ranges, &range);
    return result;
}

static bool save_next(VitLiveJob *job)
{
    Backup *b = (Backup *)job;
    uint64_t start, bytes;
    VitBlockRange range;
    bool read = false;

    if (b->cursor >= job->source->size ||
        !vit_block_bitmap_next(b->todo, true, b->cursor, b->cluster, &start, &bytes))
        return false;
    b->cursor = start + b->cluster;
    vit_block_range_lock(&job->ranges, &range, start, bytes);
    int result = save(b, start, &read);
    vit_block_range_unlock(&job->ranges, &range);
    if (result == 0) return true;
    switch (vit_co_live_failed(job, result, read)) {
    case VIT_LIVE_FAIL: return false;
    case VIT_LIVE_RETRY: b->cursor = MIN(b->cursor, start); return true;
    case VIT_LIVE_SKIP: return true;
    }
    return true;
}

static bool backup_run(VitBlockJob *job, GError **error)
{
    Backup *b = (Backup *)job;

    vit_block_job_set_total(job, vit_block_bitmap_count(b->todo));
    if (b->sync == VIT_SYNC_NONE) { /* what is written is saved, until the job is cancelled */
        while (!b->live.failure) {
            if (!vit_co_job_pause_point(job)) return false;
            vit_fiber_sleep(job->thread, 20 * 1000 * 1000);
        }
        g_propagate_error(error, g_steal_pointer(&b->live.failure));
        return false;
    }
    if (b->sync == VIT_SYNC_TOP) {
        VitBlockNode *source = b->live.source;
        VitBlockNode *base = source->backing ? source->backing->node : NULL;
        for (uint64_t at = 0; base && at < source->size;) {
            VitBlockExtent e;
            if (!vit_co_job_pause_point(job)) return false;
            int result = vit_co_status_above(source, base, at, b->cluster, &e);
            if (result < 0)
                return vit_block_fail_errno(error, result, _("Could not read the tables of “%s”"),
                                            source->filename);
            bool whole = e.bytes >= MIN(b->cluster, source->size - at);
            if (whole && !(e.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO))) {
                vit_block_bitmap_clear(b->todo, at, b->cluster);
                vit_block_job_advance(job, 0);
            }
            at += b->cluster;
        }
        vit_block_job_set_total(job,
                                vit_block_job_info(job).current + vit_block_bitmap_count(b->todo));
    }
    if (!vit_co_live_work(&b->live, save_next, b->how.compress ? 4 : VIT_LIVE_WORKERS, error))
        return false;
    int result = vit_co_flush(b->live.target);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not flush “%s”"), b->live.target->filename);
}

/* Guest writes no longer matter to the copy: the work is complete. */
static bool backup_commit(VitBlockJob *job, GError **error)
{
    Backup *b = (Backup *)job;

    if (b->live.failure) {
        g_propagate_error(error, g_steal_pointer(&b->live.failure));
        return false;
    }
    if (b->bitmap && b->bitmap_mode == VIT_BITMAP_NEVER)
        return vit_block_bitmap_merge(b->bitmap, b->before, error);
    return true;
}

/* The bitmap says again what has not been saved. */
static void backup_abort(VitBlockJob *job)
{
    Backup *b = (Backup *)job;
    g_autoptr(GError) error = NULL;

    if (b->bitmap &&
        !vit_block_bitmap_merge(b->bitmap,
                                b->bitmap_mode == VIT_BITMAP_ALWAYS ? b->todo : b->before, &error))
        g_warning("%s", error->message);
}

static void backup_clean(VitBlockJob *job)
{
    Backup *b = (Backup *)job;

    if (b->bitmap) vit_block_bitmap_set_busy(b->bitmap, false);
    vit_co_live_clean(&b->live); /* and with the filter its bitmaps */
}

static const VitBlockJobClass backup_class = {
    .type = "backup",
    .instance_size = sizeof(Backup),
    .co_run = backup_run,
    .co_commit = backup_commit,
    .co_abort = backup_abort,
    .co_clean = backup_clean,
};

static bool prepare(Backup *b, const VitBlockLiveOptions *options, const VitBlockBackup *backup,
                    GError **error)
{
    VitBlockNode *source = b->live.source;

    if (!vit_co_live_filter_insert(&b->live, &vit_copy_before_write_driver, options->filter_name,
                                   error))
        return false;
    b->todo = vit_block_bitmap_new(b->live.filter, NULL, (uint32_t)b->cluster, error);
    if (!b->todo) return false;
    vit_block_bitmap_enable(b->todo, false);
    if (backup->bitmap) {
        uint32_t granularity = vit_block_bitmap_granularity(backup->bitmap);
        b->before = vit_block_bitmap_new(b->live.filter, NULL, granularity, error);
        if (!b->before) return false;
        vit_block_bitmap_enable(b->before, false);
    }
    /* The moment that is saved. */
    vit_co_drain_begin(source);
    bool good = true;
    if (backup->bitmap) {
        good = vit_block_bitmap_merge(b->before, backup->bitmap, error);
        if (good) vit_block_bitmap_clear(backup->bitmap, 0, source->size);
    }
    if (good && b->sync == VIT_SYNC_BITMAP)
        good = vit_block_bitmap_merge(b->todo, b->before, error);
    else if (good) vit_block_bitmap_set(b->todo, 0, source->size);
    if (good) {
        vit_live_filter_set_writer(&b->live, save_first, NULL);
        if (backup->bitmap) {
            b->bitmap = backup->bitmap;
            vit_block_bitmap_set_busy(b->bitmap, true);
        }
    }
    vit_co_drain_end(source);
    return good;
}

VitBlockJob *vit_co_backup_new(const VitBlockLiveOptions *options, VitBlockNode *source,
                               VitBlockNode *target, const VitBlockBackup *backup, GError **error)
{
    VitBlockInfo info = vit_block_info(target);

    if (source == target) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Source and target cannot be the same"));
        return NULL;
    }
    if (source->size != target->size) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("Source and target image have different sizes"));
        return NULL;
    }
    if (backup->compress && !info.can_compress) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Compression is not supported for this drive"));
        return NULL;
    }
    Backup *b = (Backup *)vit_live_job_new(options, &backup_class, source, target, false, error);
    if (!b) return NULL;
    b->sync = backup->sync;
    b->bitmap_mode = backup->bitmap_mode;
    b->cluster = MAX(SMALLEST_CLUSTER, info.cluster_size);
    b->how = (VitLiveCopy){ .unmap = true, .compress = backup->compress };
    if (prepare(b, options, backup, error)) return &b->live.parent;
    vit_live_job_discard(&b->live);
    return NULL;
}
