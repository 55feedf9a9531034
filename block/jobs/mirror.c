/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/mirror.c - keeps a second node equal to one in use, then lets its users turn to it
 *
 * A dirty bitmap of the source says what differs; passes over it copy.  Writes mark it when they
 * end, so a pass may read what is being written: it comes again.  While the guest is busy passes
 * are polite (manners.h): it loses a small share of its requests, and what it writes again and
 * again meanwhile is copied once.
 *
 * When passes do not catch up, guest writes to what is equal go to both sides at once
 * (mirror-active.c), so that nothing becomes dirty any more, as with copy-mode=write-blocking all
 * the time.  Where that costs the guest too much it is taken back: the job then waits, as politely
 * as it can, until such a guest writes less.  Told to complete it does not ask any more. */
#include "block/bitmap.h"
#include "block/jobs/mirror-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

enum {
    FINE = 4096, /* granularity: a small write costs a small copy */
    REST_NS = 50 * 1000 * 1000, /* between passes of a READY job, so that writes collect */
    READY_US = 100 * 1000, /* READY when what is left takes no longer than that */
    SLICE_US = 50 * 1000, /* of a rest */
    LAST_PASSES = 8, /* while writes go to both sides, before the guest has to wait for the rest */
    LAZY = 64 << 20, /* bytes that a READY job lets collect while the guest is busy */
    TRIAL_NS = 200 * 1000 * 1000,
    TRIAL_PAUSE_US = 5 * 1000 * 1000, /* after a trial that failed; twice that after the next ... */
    TRIAL_DOUBLINGS = 6,
};

static const double bearable = 0.1; /* share of its requests that the guest may lose by trials */

/* ---- manners --------------------------------------------------------------------------------- */

/* Guest requests that have ended. */
static uint64_t guest_requests(const VitMirror *m)
{
    const VitBlockNode *filter = m->live.filter;
    uint64_t sum = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(filter->stats.ops); i++) sum += filter->stats.ops[i];
    return sum;
}

/* Whether the guest has asked for something since the last time. */
static bool guest_is_busy(VitMirror *m)
{
    uint64_t now = guest_requests(m);
    bool busy = now != m->seen;

    m->seen = now;
    return busy && m->live.filter->quiesced == 0;
}

/* It has been told to end: from then on it hurries. */
static bool ends(const VitMirror *m)
{
    return m->complete || vit_block_job_is_soft_cancelled(&m->live.parent);
}

/* How many times as long as it copies the job rests.  A guest that is not too fast is caught up
 * with quickly after the first pass. */
static double courtesy(const VitMirror *m)
{
    double times = vit_manners_courtesy(&m->manners);

    bool patient = m->passes == 0 || m->ready || m->trials > 0;
    return patient && !m->write_blocking ? times : MIN(times, 1);
}

/* Until then, or until there is no reason to any more. */
static void rest_until(VitMirror *m, int64_t end)
{
    bool needed = true;

    m->resting = true;
    for (int64_t now; needed && (now = g_get_monotonic_time()) < end;) {
        vit_fiber_sleep(m->live.source->thread, (uint64_t)MIN(end - now, SLICE_US) * 1000);
        needed = !ends(m) && !vit_block_job_is_cancelled(&m->live.parent) && guest_is_busy(m);
    }
    m->resting = false;
}

/* After a piece that took so many microseconds, in which the guest had so many requests done: while
 * the guest is busy one worker copies, and rests. */
static void be_polite(VitMirror *m, int64_t took, uint64_t requests)
{
    bool alone = m->polite;

    m->busy += took;
    m->polite = !ends(m) && guest_is_busy(m);
    if (alone && m->polite) vit_manners_note(&m->manners, true, requests, took);
    if (m->polite) {
        int64_t began = g_get_monotonic_time();
        uint64_t before = guest_requests(m);
        rest_until(m, began + (int64_t)((double)took * courtesy(m)));
        vit_manners_note(&m->manners, false, guest_requests(m) - before,
                         g_get_monotonic_time() - began);
    }
    vit_fiber_cond_wake_all(&m->rested);
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* One stretch; false: the pass is over. */
static bool copy_next(VitLiveJob *job)
{
    VitMirror *m = (VitMirror *)job;
    uint64_t start, bytes, at, n;
    uint64_t piece = MAX(VIT_LIVE_PIECE, vit_block_bitmap_granularity(m->dirty));
    VitBlockRange range;
    bool read = false;

    while (m->resting || (m->polite && m->copying > 0)) vit_fiber_cond_wait(&m->rested, NULL);
    if (m->cursor >= job->source->size ||
        !vit_block_bitmap_next(m->dirty, true, m->cursor, piece, &start, &bytes))
        return false;
    m->cursor = start + bytes;
    bytes = MIN(bytes, job->source->size - start);
    int64_t began = g_get_monotonic_time();
    uint64_t before = guest_requests(m);
    m->copying++;
    vit_block_range_lock(&job->ranges, &range, start, bytes);
    bool still = vit_block_bitmap_next(m->dirty, true, start, bytes, &at, &n) && at < start + bytes;
    vit_block_bitmap_clear(m->dirty, start, bytes);
    int result = still ? vit_co_live_copy(job, &m->how, start, bytes, &read) : 0;
    if (result < 0) vit_block_bitmap_set(m->dirty, start, bytes);
    vit_block_range_unlock(&job->ranges, &range);
    m->copying--;
    be_polite(m, g_get_monotonic_time() - began, guest_requests(m) - before);
    if (result < 0 && vit_co_live_failed(job, result, read) == VIT_LIVE_FAIL) return false;
    if (result == 0) vit_block_job_advance(&job->parent, bytes);
    return true;
}

static uint64_t left(const VitMirror *m)
{
    return vit_block_bitmap_count(m->dirty);
}

static bool pass(VitMirror *m, GError **error)
{
    VitBlockJob *job = &m->live.parent;

    m->cursor = 0;
    m->busy = 0;
    uint64_t marked = left(m);
    vit_block_job_set_total(job, vit_block_job_info(job).current + marked);
    if (!vit_co_live_work(&m->live, copy_next, m->workers, error)) return false;
    if (marked > 0) m->rate = (int64_t)((double)marked * G_USEC_PER_SEC / (double)MAX(m->busy, 1));
    return true;
}

static uint64_t pace_since(const VitMirror *m, uint64_t before, int64_t began)
{
    int64_t took = MAX(g_get_monotonic_time() - began, 1);

    return (guest_requests(m) - before) * G_USEC_PER_SEC / (uint64_t)took;
}

/* Passes do not catch up: writes go to both sides, unless that turns out to cost too much. */
static void try_active(VitMirror *m)
{
    int64_t began = g_get_monotonic_time();
    double alone = vit_manners_pace(&m->manners);

    if (m->active || began < m->next_trial) return;
    vit_co_mirror_set_active(m, true);
    uint64_t before = guest_requests(m);
    began = g_get_monotonic_time();
    vit_fiber_sleep(m->live.source->thread, TRIAL_NS);
    if ((double)pace_since(m, before, began) >= (1 - bearable) * alone) return;
    vit_co_mirror_set_active(m, false);
    m->next_trial = g_get_monotonic_time() + ((int64_t)TRIAL_PAUSE_US << m->trials);
    m->trials = MIN(m->trials + 1, TRIAL_DOUBLINGS);
}

/* What is to be copied at first. */
static bool mark(VitMirror *m, GError **error)
{
    VitBlockNode *source = m->live.source;
    VitBlockNode *base = m->is_commit      ? m->live.target
                         : source->backing ? source->backing->node
                                           : NULL;

    if (m->sync == VIT_SYNC_NONE) return true;
    if (m->sync == VIT_SYNC_FULL || (!base && !m->is_commit)) {
        vit_block_bitmap_set(m->dirty, 0, source->size);
        return true;
    }
    for (uint64_t at = 0; at < source->size;) {
        VitBlockExtent e;
        if (!vit_co_job_pause_point(&m->live.parent)) return false;
        int result = vit_co_status_above(source, base, at, source->size - at, &e);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("Could not read the tables of “%s”"),
                                        source->filename);
        if (e.flags & (VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO))
            vit_block_bitmap_set(m->dirty, at, MAX(e.bytes, 1));
        at += MAX(e.bytes, 1);
    }
    return true;
}

/* What is left takes no time worth speaking of. */
static bool converged(const VitMirror *m)
{
    return left(m) <= (uint64_t)(m->rate / (G_USEC_PER_SEC / READY_US));
}

/* Passes until both sides are nearly equal, and the job has been told to end. */
static bool approach(VitMirror *m, GError **error)
{
    VitBlockJob *job = &m->live.parent;

    for (;;) {
        uint64_t before = left(m);
        bool wait = m->ready && !ends(m) && before < LAZY && guest_is_busy(m);
        if (!wait && !pass(m, error)) return false;
        bool behind = !wait && left(m) > before / 4 * 3 && left(m) > 0;
        if (!m->ready && converged(m)) {
            m->ready = true;
            if (!m->write_blocking) vit_co_mirror_set_active(m, false);
            vit_block_job_set_ready(job);
        } else if (behind) {
            try_active(m);
        }
        if (m->ready && ends(m)) return true;
        if (!vit_co_job_pause_point(job)) return false;
        if (m->ready) vit_fiber_sleep(job->thread, REST_NS);
    }
}

static bool mirror_run(VitBlockJob *job, GError **error)
{
    VitMirror *m = (VitMirror *)job;

    if (m->live.target->size != m->live.source->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Source and target image have different sizes"));
    if (m->write_blocking) vit_co_mirror_set_active(m, true);
    if (!mark(m, error) || !approach(m, error)) return false;
    /* From here on both sides are equal at each moment that a guest may observe; and what is left
     * becomes less, however much the guest writes. */
    vit_co_mirror_set_active(m, true);
    for (unsigned i = 0; i < LAST_PASSES && !converged(m); i++)
        if (!pass(m, error)) return false;
    vit_co_drain_begin(m->live.filter);
    bool good = pass(m, error);
    int result = good ? vit_co_flush(m->live.target) : 0;
    vit_co_drain_end(m->live.filter);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not flush “%s”"),
                                    m->live.target->filename);
    return good;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void attach_backing(VitMirror *m)
{
    VitBlockNode *source = m->live.source, *target = m->live.target;

    if (m->is_commit || m->sync == VIT_SYNC_FULL || target->backing || !source->backing ||
        !target->driver->supports_backing)
        return;
    vit_block_add_edge(target, vit_block_node_ref(source->backing->node), "backing",
                       VIT_EDGE_BACKING);
}

static bool mirror_commit(VitBlockJob *job, GError **error)
{
    VitMirror *m = (VitMirror *)job;
    VitLiveJob *live = &m->live;

    if (!m->complete || vit_block_job_is_soft_cancelled(job)) return true;
    VitBlockNode *filter = live->filter;
    vit_co_drain_begin(filter);
    bool good = left(m) == 0 || pass(m, error);
    if (good) {
        attach_backing(m);
        vit_block_claim_free(g_steal_pointer(&live->source_claim));
        vit_block_claim_free(g_steal_pointer(&live->target_claim));
        VitBlockNode *from = m->replaces ?: filter;
        good = vit_block_graph_replace(live->graph, from, live->target, error);
        if (good) vit_block_claims_move(m->replaces ?: live->source, live->target);
        if (good) m->read_only_again = false;
    }
    vit_co_drain_end(filter);
    return good;
}

static void mirror_clean(VitBlockJob *job)
{
    VitMirror *m = (VitMirror *)job;
    VitBlockNode *target = m->read_only_again ? vit_block_node_ref(m->live.target) : NULL;
    g_autoptr(GError) error = NULL;

    vit_co_live_filter_remove(&m->live);
    vit_mirror_free_twins(m);
    if (m->dirty) vit_block_bitmap_free(m->dirty);
    vit_block_node_unref(m->replaces);
    vit_co_live_clean(&m->live);
    if (target && !vit_block_set_read_only(target, true, &error)) g_warning("%s", error->message);
    vit_block_node_unref(target);
}

static bool mirror_complete(VitBlockJob *job, GError **error)
{
    ((VitMirror *)job)->complete = true;
    return true;
}

bool vit_block_mirror_actively_synced(const VitBlockJob *job)
{
    const VitMirror *m = (const VitMirror *)job;

    return m->active && m->ready && m->dirty && left(m) == 0;
}

static const VitBlockJobClass mirror_class = {
    .type = "mirror",
    .instance_size = sizeof(VitMirror),
    .co_run = mirror_run,
    .co_commit = mirror_commit,
    .co_clean = mirror_clean,
    .complete = mirror_complete,
};
static const VitBlockJobClass commit_class = {
    .type = "commit",
    .instance_size = sizeof(VitMirror),
    .co_run = mirror_run,
    .co_commit = mirror_commit,
    .co_clean = mirror_clean,
    .complete = mirror_complete,
};

/* ---- beginnings ------------------------------------------------------------------------------ */

static VitMirror *begin(const VitBlockLiveOptions *options, const VitBlockJobClass *klass,
                        VitBlockNode *source, VitBlockNode *target, uint32_t granularity,
                        GError **error)
{
    VitMirror *m = (VitMirror *)vit_live_job_new(options, klass, source, target,
                                                 klass == &commit_class, error);

    if (!m) return NULL;
    m->is_commit = klass == &commit_class;
    m->rested.thread = source->thread;
    m->dirty = vit_block_bitmap_new(source, NULL, granularity, error);
    if (m->dirty &&
        vit_co_live_filter_insert(&m->live, &vit_mirror_top_driver, options->filter_name, error))
        return m;
    vit_live_job_discard(&m->live);
    return NULL;
}

VitBlockJob *vit_co_mirror_new(const VitBlockLiveOptions *options, VitBlockNode *source,
                               VitBlockNode *target, const VitBlockMirror *mirror, GError **error)
{
    uint32_t granularity = mirror->granularity ?: FINE;
    VitBlockNode *replaces = NULL;

    if (source == target) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Can't mirror node into itself"));
        return NULL;
    }
    if (mirror->replaces && !(replaces = vit_block_graph_find(options->graph, mirror->replaces))) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                       _("Failed to find node with node-name='%s'"), mirror->replaces);
        return NULL;
    }
    /* A target without its backing file yet needs whole clusters. */
    if (mirror->sync != VIT_SYNC_FULL)
        granularity = MAX(granularity, MAX(vit_block_info(target).cluster_size, 65536));
    VitMirror *m = begin(options, &mirror_class, source, target, granularity, error);
    if (!m) return NULL;
    m->sync = mirror->sync;
    m->write_blocking = mirror->write_blocking;
    m->how.unmap = mirror->unmap;
    m->workers = mirror->buf_size ? (unsigned)CLAMP(mirror->buf_size / VIT_LIVE_PIECE, 1, 16)
                                  : VIT_LIVE_WORKERS;
    if (replaces && replaces != source) m->replaces = vit_block_node_ref(replaces);
    return &m->live.parent;
}

VitBlockJob *vit_co_commit_active_new(const VitBlockLiveOptions *options, VitBlockNode *active,
                                      VitBlockNode *base, GError **error)
{
    bool was_read_only = base->how.read_only;

    if (was_read_only && !vit_block_set_read_only(base, false, error)) return NULL;
    if (base->size < active->size &&
        !vit_co_truncate(base, active->size, false, VIT_PREALLOC_OFF, error))
        return NULL;
    VitMirror *m = begin(options, &commit_class, active, base, FINE, error);
    if (!m) return NULL;
    m->sync = VIT_SYNC_TOP;
    m->how = (VitLiveCopy){ .unmap = true, .base = base };
    m->workers = VIT_LIVE_WORKERS;
    m->read_only_again = was_read_only;
    if (vit_live_job_claim_between(&m->live, active, base, error)) return &m->live.parent;
    vit_live_job_discard(&m->live);
    return NULL;
}
