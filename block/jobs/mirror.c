/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/mirror.c - keeps a second node equal to one in use, then lets its users turn to it
 *
 * A dirty bitmap of the source says what differs; passes over it copy.  Writes mark it when they
 * end, so a pass may read what is being written: it comes again.  When passes do not catch up with
 * the guest, and with copy-mode=write-blocking from the start, guest writes to stretches that are
 * equal go to both sides at once, so that nothing becomes dirty any more and the next pass is the
 * last long one. */
#include "block/jobs/live-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>

enum {
    FINE = 4096, /* granularity: a small write costs a small copy */
    REST_NS = 50 * 1000 * 1000, /* between passes of a READY job, so that writes collect */
    READY_US = 100 * 1000, /* READY when what is left takes no longer than that */
    HOPELESS = 3, /* passes that do not get ahead before writes go to both sides */
    COURTESY = 8, /* rests so many times as long as it copies, until it knows what that costs */
    MOST_COURTEOUS = 20,
    SAMPLE_US = 20 * 1000, /* what must have been seen of copying and resting to know */
    MEMORY_US = 500 * 1000, /* what is older counts half */
    LAZY = 64 << 20, /* bytes that a READY job lets collect while the guest is busy */
};

typedef struct {
    VitLiveJob live;
    VitBlockBitmap *dirty; /* the source's */
    VitBlockNode *replaces; /* a reference; NULL: the source */
    VitBlockSync sync;
    VitLiveCopy how;
    bool write_blocking, active, ready, complete, is_commit, read_only_again;
    unsigned workers;
    uint64_t cursor; /* of the pass */
    uint64_t marked; /* bytes that were dirty when the pass began */
    uint64_t passes;
    int64_t rate; /* bytes per second while the last pass copied */
    int64_t busy; /* microseconds that it copied for */
    uint64_t seen; /* guest requests when that was last looked at */
    struct {
        double requests, time; /* of the guest, in microseconds */
    } copied, rested; /* while one worker copied, and while none did */
    bool polite, resting; /* one worker copies at a time; none does now */
    unsigned copying;
    VitFiberCond rested_cond;
} Mirror;

/* ---- guest writes to both sides -------------------------------------------------------------- */

typedef struct {
    VitBlockRequest req;
    VitFiber *fiber;
    bool over;
} Twin;

static void twin_done(VitBlockRequest *req)
{
    Twin *t = req->opaque;

    t->over = true;
    vit_fiber_wake(t->fiber);
}

static int write_both(VitLiveJob *job, const VitLiveWrite *w)
{
    Mirror *m = (Mirror *)job;
    uint64_t unit = vit_block_bitmap_granularity(m->dirty);
    uint64_t start = w->offset - w->offset % unit;
    uint64_t end = MIN((w->offset + w->bytes + unit - 1) / unit * unit, job->source->size);
    VitBlockRange range;

    vit_block_range_lock(&job->ranges, &range, start, end - start);
    /* Discarded bytes may read differently on the two sides: they are copied as they then are. */
    bool clean = w->op != VIT_BLOCK_DISCARD;
    for (uint64_t at = start; clean && at < end; at += unit)
        clean = !vit_block_bitmap_get(m->dirty, at);
    Twin twin = { .req = { .op = w->op,
                           .flags = w->flags,
                           .offset = w->offset,
                           .bytes = w->bytes,
                           .iov = w->iov,
                           .niov = w->niov,
                           .done = twin_done },
                  .fiber = vit_fiber_self(job->source->thread) };
    twin.req.opaque = &twin;
    if (clean) vit_block_submit(job->target, &twin.req);
    int result = vit_co_live_write(job->source, w);
    while (clean && !twin.over) vit_fiber_yield(job->source->thread);
    if (clean && result == 0 && twin.req.result == 0)
        vit_block_bitmap_clear(m->dirty, start, end - start);
    vit_block_range_unlock(&job->ranges, &range);
    return result; /* what did not reach the target is dirty: the next pass meets the error */
}

/* ---- manners --------------------------------------------------------------------------------- */

static const double bearable = 0.04; /* share of its requests that the guest may lose */
static const double least_courteous = 0.25;

/* Guest requests that have ended. */
static uint64_t guest_requests(const Mirror *m)
{
    const VitBlockNode *filter = m->live.filter;
    uint64_t sum = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(filter->stats.ops); i++) sum += filter->stats.ops[i];
    return sum;
}

/* Whether the guest has asked for something since the last time. */
static bool guest_is_busy(Mirror *m)
{
    uint64_t now = guest_requests(m);
    bool busy = now != m->seen;

    m->seen = now;
    return busy && m->live.filter->quiesced == 0;
}

/* How many times as long as it copies the job rests: so long that what the guest gets less while a
 * piece is copied than while none is, taken over all the time, is what it can bear. */
static double courtesy(const Mirror *m)
{
    if (m->copied.time < SAMPLE_US || m->rested.time < SAMPLE_US || m->rested.requests == 0)
        return COURTESY;
    double share = m->copied.requests / m->copied.time * m->rested.time / m->rested.requests;
    return CLAMP((1 - share) / bearable - 1, least_courteous, MOST_COURTEOUS);
}

static void note(Mirror *m, bool copied, uint64_t requests, int64_t took)
{
    (copied ? &m->copied : &m->rested)->requests += (double)requests;
    (copied ? &m->copied : &m->rested)->time += (double)took;
    if (m->copied.time + m->rested.time < MEMORY_US) return;
    m->copied.requests /= 2;
    m->copied.time /= 2;
    m->rested.requests /= 2;
    m->rested.time /= 2;
}

/* After a piece that took so many microseconds, in which the guest had so many requests done: while
 * the guest is busy one worker copies, and rests. */
static void be_polite(Mirror *m, int64_t took, uint64_t requests)
{
    bool alone = m->polite;

    m->busy += took;
    m->polite = !m->complete && !m->ready && guest_is_busy(m);
    if (alone && m->polite) note(m, true, requests, took);
    if (m->polite) {
        double times = m->passes == 0 ? courtesy(m) : MIN(courtesy(m), 1);
        int64_t began = g_get_monotonic_time();
        uint64_t before = guest_requests(m);
        m->resting = true;
        vit_fiber_sleep(m->live.source->thread,
                        (uint64_t)((double)MIN(took, 100000) * 1000 * times));
        m->resting = false;
        note(m, false, guest_requests(m) - before, g_get_monotonic_time() - began);
    }
    vit_fiber_cond_wake_all(&m->rested_cond);
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* One stretch; false: the pass is over. */
static bool copy_next(VitLiveJob *job)
{
    Mirror *m = (Mirror *)job;
    uint64_t start, bytes, at, n;
    uint64_t piece = MAX(VIT_LIVE_PIECE, vit_block_bitmap_granularity(m->dirty));
    VitBlockRange range;
    bool read = false;

    while (m->resting || (m->polite && m->copying > 0)) vit_fiber_cond_wait(&m->rested_cond, NULL);
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

static uint64_t left(const Mirror *m)
{
    return vit_block_bitmap_count(m->dirty);
}

static bool pass(Mirror *m, GError **error)
{
    VitBlockJob *job = &m->live.parent;

    m->cursor = 0;
    m->busy = 0;
    m->marked = left(m);
    vit_block_job_set_total(job, vit_block_job_info(job).current + m->marked);
    if (!vit_co_live_work(&m->live, copy_next, m->workers, error)) return false;
    m->passes++;
    if (m->marked > 0)
        m->rate = (int64_t)((double)m->marked * G_USEC_PER_SEC / (double)MAX(m->busy, 1));
    return true;
}

static void set_active(Mirror *m)
{
    vit_co_drain_begin(m->live.filter);
    vit_live_filter_set_writer(&m->live, write_both);
    m->active = true;
    vit_co_drain_end(m->live.filter);
}

/* What is to be copied at first. */
static bool mark(Mirror *m, GError **error)
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
static bool converged(const Mirror *m)
{
    return left(m) <= (uint64_t)(m->rate / (G_USEC_PER_SEC / READY_US));
}

static bool mirror_run(VitBlockJob *job, GError **error)
{
    Mirror *m = (Mirror *)job;
    unsigned behind = 0;

    if (m->live.target->size != m->live.source->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Source and target image have different sizes"));
    if (m->write_blocking) set_active(m);
    if (!mark(m, error)) return false;
    for (;;) {
        uint64_t before = left(m);
        bool told = m->complete || vit_block_job_is_soft_cancelled(job);
        bool wait = m->ready && !told && before < LAZY && guest_is_busy(m);
        if (!wait && !pass(m, error)) return false;
        if (!m->ready && converged(m)) {
            m->ready = true;
            vit_block_job_set_ready(job);
        }
        behind = !wait && left(m) > before / 4 * 3 && left(m) > 0 ? behind + 1 : 0;
        if (!m->active && !m->ready && behind >= HOPELESS) set_active(m);
        if (m->ready && (m->complete || vit_block_job_is_soft_cancelled(job))) break;
        if (!vit_co_job_pause_point(job)) return false;
        if (m->ready) vit_fiber_sleep(job->thread, REST_NS);
    }
    /* From here on both sides are equal at each moment that a guest may observe. */
    if (m->complete && !m->active) set_active(m);
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

static void attach_backing(Mirror *m)
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
    Mirror *m = (Mirror *)job;
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
    Mirror *m = (Mirror *)job;
    VitBlockNode *target = m->read_only_again ? vit_block_node_ref(m->live.target) : NULL;
    g_autoptr(GError) error = NULL;

    vit_co_live_filter_remove(&m->live);
    if (m->dirty) vit_block_bitmap_free(m->dirty);
    vit_block_node_unref(m->replaces);
    vit_co_live_clean(&m->live);
    if (target && !vit_block_set_read_only(target, true, &error)) g_warning("%s", error->message);
    vit_block_node_unref(target);
}

static bool mirror_complete(VitBlockJob *job, GError **error)
{
    ((Mirror *)job)->complete = true;
    return true;
}

bool vit_block_mirror_actively_synced(const VitBlockJob *job)
{
    const Mirror *m = (const Mirror *)job;

    return m->active && m->ready && m->dirty && left(m) == 0;
}

static const VitBlockJobClass mirror_class = {
    .type = "mirror",
    .instance_size = sizeof(Mirror),
    .co_run = mirror_run,
    .co_commit = mirror_commit,
    .co_clean = mirror_clean,
    .complete = mirror_complete,
};
static const VitBlockJobClass commit_class = {
    .type = "commit",
    .instance_size = sizeof(Mirror),
    .co_run = mirror_run,
    .co_commit = mirror_commit,
    .co_clean = mirror_clean,
    .complete = mirror_complete,
};

/* ---- beginnings ------------------------------------------------------------------------------ */

static Mirror *begin(const VitBlockLiveOptions *options, const VitBlockJobClass *klass,
                     VitBlockNode *source, VitBlockNode *target, uint32_t granularity,
                     GError **error)
{
    Mirror *m = (Mirror *)vit_live_job_new(options, klass, source, target, klass == &commit_class,
                                           error);

    if (!m) return NULL;
    m->is_commit = klass == &commit_class;
    m->rested_cond.thread = source->thread;
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
    Mirror *m = begin(options, &mirror_class, source, target, granularity, error);
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
    Mirror *m = begin(options, &commit_class, active, base, FINE, error);
    if (!m) return NULL;
    m->sync = VIT_SYNC_TOP;
    m->how = (VitLiveCopy){ .unmap = true, .base = base };
    m->workers = VIT_LIVE_WORKERS;
    m->read_only_again = was_read_only;
    if (vit_live_job_claim_between(&m->live, active, base, error)) return &m->live.parent;
    vit_live_job_discard(&m->live);
    return NULL;
}
