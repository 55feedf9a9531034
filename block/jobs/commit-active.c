/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/commit-active.c - moves images of a chain in use down into one below them
 *
 * The images under the active one do not change, and what is written into base is hidden by what it
 * is copied from: no filter is needed.  The active image itself is committed by a mirror
 * (mirror.c). */
#include "block/jobs/live-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

typedef struct {
    VitLiveJob live; /* source: top; target: base */
    VitBlockNode *above; /* a reference: the image that stands on top */
    char *backing_file; /* owned: for `above`; NULL: base's name */
    uint64_t cursor;
    VitLiveCopy how;
    bool base_read_only_again, above_read_only_again;
} Commit;

static bool commit_next(VitLiveJob *job)
{
    Commit *c = (Commit *)job;
    uint64_t at = c->cursor,
             bytes = MIN(VIT_LIVE_PIECE, job->source->size - MIN(at, job->source->size));
    bool read = false;
    int result;

    if (bytes == 0) return false;
    c->cursor = at + bytes;
    while ((result = vit_co_live_copy(job, &c->how, at, bytes, &read)) < 0) {
        VitLiveAction action = vit_co_live_failed(job, result, read);
        if (action == VIT_LIVE_SKIP && !job->failure) /* the images above are still needed */
            vit_block_fail_errno(&job->failure, result, _("Could not commit “%s”"),
                                 job->source->filename);
        if (action != VIT_LIVE_RETRY) return false;
    }
    vit_block_job_advance(&job->parent, bytes);
    return true;
}

/* Past the end of what is committed the image above reads zeroes, and what a longer base has there
 * must not come to light. */
static int hide_rest(const Commit *c)
{
    VitBlockNode *base = c->live.target;
    uint64_t from = c->live.source->size, to = MIN(base->size, c->above->size);

    return to > from ? vit_co_zero(base, from, to - from, VIT_BLOCK_MAY_UNMAP) : 0;
}

static bool commit_run(VitBlockJob *job, GError **error)
{
    Commit *c = (Commit *)job;

    vit_block_job_set_total(job, c->live.source->size);
    if (!vit_co_live_work(&c->live, commit_next, 4, error)) return false;
    int result = hide_rest(c);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not write “%s”"),
                                    c->live.target->filename);
    result = vit_co_flush(c->live.target);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not flush “%s”"), c->live.target->filename);
}

static bool commit_commit(VitBlockJob *job, GError **error)
{
    Commit *c = (Commit *)job;
    VitBlockNode *above = c->above, *base = c->live.target;

    if (above->driver->co_change_backing &&
        !above->driver->co_change_backing(above, c->backing_file ?: base->filename,
                                          base->driver->name, error))
        return false;
    vit_block_set_child(above->backing, base);
    return true;
}

static void commit_clean(VitBlockJob *job)
{
    Commit *c = (Commit *)job;
    VitBlockNode *base = vit_block_node_ref(c->live.target);
    g_autoptr(GError) error = NULL;

    vit_co_live_clean(&c->live);
    if (c->base_read_only_again && !vit_block_set_read_only(base, true, &error))
        g_warning("%s", error->message);
    g_clear_error(&error);
    if (c->above_read_only_again && !vit_block_set_read_only(c->above, true, &error))
        g_warning("%s", error->message);
    vit_block_node_unref(base);
    vit_block_node_unref(c->above);
    g_free(c->backing_file);
}

static const VitBlockJobClass commit_class = {
    .type = "commit",
    .instance_size = sizeof(Commit),
    .co_run = commit_run,
    .co_commit = commit_commit,
    .co_clean = commit_clean,
};

static VitBlockNode *find_above(VitBlockNode *active, VitBlockNode *top)
{
    for (VitBlockNode *n = active; n;) {
        if (n->driver->kind == VIT_BLOCK_FILTER) {
            n = n->file ? n->file->node : NULL;
            continue;
        }
        if (n->backing && n->backing->node == top) return n;
        n = n->backing ? n->backing->node : NULL;
    }
    return NULL;
}

VitBlockJob *vit_co_commit_new(const VitBlockLiveOptions *options, VitBlockNode *active,
                               VitBlockNode *top, VitBlockNode *base, const char *backing_file,
                               GError **error)
{
    if (top == active) return vit_co_commit_active_new(options, active, base, error);
    VitBlockNode *above = find_above(active, top);
    if (!above) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                       _("'%s' is not in this backing file chain"), top->name);
        return NULL;
    }
    bool base_ro = base->how.read_only, above_ro = above->how.read_only;
    if ((base_ro && !vit_block_set_read_only(base, false, error)) ||
        (above_ro && !vit_block_set_read_only(above, false, error)) ||
        (base->size < top->size &&
         !vit_co_truncate(base, top->size, false, VIT_PREALLOC_OFF, error)))
        return NULL;
    Commit *c = (Commit *)vit_live_job_new(options, &commit_class, top, base, true, error);
    if (!c) return NULL;
    c->above = vit_block_node_ref(above);
    if (!vit_live_job_claim_between(&c->live, top, base, error)) {
        vit_live_job_discard(&c->live);
        return NULL;
    }
    c->backing_file = g_strdup(backing_file);
    c->how = (VitLiveCopy){ .unmap = true, .base = base };
    c->base_read_only_again = base_ro;
    c->above_read_only_again = above_ro;
    return &c->live.parent;
}
