/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/stream.c - moves what lies in backing files up into an image in use, then lets go of
 * them
 *
 * A filter keeps guest writes from being overtaken by an older copy of the same place. */
#include "block/jobs/live-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

typedef struct {
    VitLiveJob live;
    VitBlockNode *base; /* a reference; NULL: none */
    char *backing_file; /* owned: to be written into the image; NULL: base's name */
    uint64_t cursor;
    bool read_only_again;
} Stream;

static int write_in_turn(VitLiveJob *job, const VitLiveWrite *w)
{
    VitBlockRange range;

    vit_block_range_lock(&job->ranges, &range, w->offset, w->bytes);
    int result = vit_co_live_write(job->source, w);
    vit_block_range_unlock(&job->ranges, &range);
    return result;
}

static int move_up(VitLiveJob *job, uint64_t offset, uint64_t bytes, bool *read)
{
    Stream *s = (Stream *)job;
    VitBlockNode *node = job->source;
    g_autofree uint8_t *buf = NULL;

    for (uint64_t at = offset; at < offset + bytes;) {
        VitBlockExtent e;
        *read = true;
        int result = vit_co_status_above(node, s->base, at, offset + bytes - at, &e);
        if (result < 0) return result;
        uint64_t n = MIN(MAX(e.bytes, 1), offset + bytes - at);
        bool below = e.depth > 0 && (e.flags & VIT_EXTENT_ALLOCATED);
        /* Past the end of a shorter image in between base must not come to light. */
        bool cut_off = s->base && at < s->base->size &&
                       (e.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO)) == VIT_EXTENT_ZERO;
        if ((below && (e.flags & VIT_EXTENT_ZERO)) || cut_off) {
            *read = false;
            result = vit_co_zero(node, at, n, 0);
        } else if (below) {
            if (!buf && !(buf = g_try_malloc(bytes))) return -ENOMEM;
            result = vit_co_read(node, at, buf, n);
            *read = result < 0;
            if (result == 0) result = vit_co_write(node, at, buf, n, 0);
        }
        if (result < 0) return result;
        at += n;
    }
    return 0;
}

static bool stream_next(VitLiveJob *job)
{
    Stream *s = (Stream *)job;
    uint64_t at = s->cursor, bytes;
    VitBlockRange range;
    bool read = true;
    int result;

    if (at >= job->source->size) return false;
    bytes = MIN(VIT_LIVE_PIECE, job->source->size - at);
    s->cursor = at + bytes;
    do {
        vit_block_range_lock(&job->ranges, &range, at, bytes);
        result = move_up(job, at, bytes, &read);
        vit_block_range_unlock(&job->ranges, &range);
        if (result == 0) break;
        VitLiveAction action = vit_co_live_failed(job, result, read);
        if (action == VIT_LIVE_FAIL) return false;
        if (action == VIT_LIVE_SKIP) {
            /* The image must keep its backing file. */
            if (!job->io_failed)
                vit_block_fail_errno(&job->failure, result, _("Could not read below “%s”"),
                                     job->source->filename);
            return false;
        }
    } while (result < 0);
    vit_block_job_advance(&job->parent, bytes);
    return true;
}

static bool stream_run(VitBlockJob *job, GError **error)
{
    Stream *s = (Stream *)job;
    VitBlockNode *node = s->live.source;

    if (!node->backing || node->backing->node == s->base) return true;
    vit_block_job_set_total(job, node->size);
    if (!vit_co_live_work(&s->live, stream_next, 4, error)) return false;
    int result = vit_co_flush(node);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not flush “%s”"), node->filename);
}

static bool stream_commit(VitBlockJob *job, GError **error)
{
    Stream *s = (Stream *)job;
    VitBlockNode *node = s->live.source;
    const char *file = s->backing_file ?: s->base ? s->base->filename : NULL;

    if (!node->backing || node->backing->node == s->base) return true;
    /* What the image says first: were this the last thing done, nothing would be missing. */
    if (node->driver->co_change_backing &&
        !node->driver->co_change_backing(node, file, s->base ? s->base->driver->name : NULL, error))
        return false;
    vit_block_set_child(node->backing, s->base);
    return true;
}

static void stream_clean(VitBlockJob *job)
{
    Stream *s = (Stream *)job;
    g_autoptr(GError) error = NULL;

    vit_co_live_filter_remove(&s->live);
    if (s->read_only_again && !vit_block_set_read_only(s->live.source, true, &error))
        g_warning("%s", error->message);
    vit_block_node_unref(s->base);
    g_free(s->backing_file);
    vit_co_live_clean(&s->live);
}

static const VitBlockJobClass stream_class = {
    .type = "stream",
    .instance_size = sizeof(Stream),
    .co_run = stream_run,
    .co_commit = stream_commit,
    .co_clean = stream_clean,
};

VitBlockJob *vit_co_stream_new(const VitBlockLiveOptions *options, VitBlockNode *node,
                               VitBlockNode *base, const char *backing_file, GError **error)
{
    bool was_read_only = node->how.read_only;

    if (was_read_only && !vit_block_set_read_only(node, false, error)) return NULL;
    Stream *s = (Stream *)vit_live_job_new(options, &stream_class, node, NULL, false, error);
    if (!s) return NULL;
    s->base = base ? vit_block_node_ref(base) : NULL;
    s->backing_file = g_strdup(backing_file);
    s->read_only_again = was_read_only;
    if (vit_live_job_claim_between(&s->live, node, base, error) &&
        vit_co_live_filter_insert(&s->live, &vit_stream_top_driver, options->filter_name, error)) {
        vit_co_drain_begin(s->live.filter);
        vit_live_filter_set_writer(&s->live, write_in_turn, NULL);
        vit_co_drain_end(s->live.filter);
        return &s->live.parent;
    }
    vit_live_job_discard(&s->live);
    return NULL;
}
