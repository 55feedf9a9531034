/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/mirror-active.c - guest writes that go to both sides of a mirror at once
 *
 * Only to stretches that are equal on both sides: what is dirty is written to the source alone, and
 * copied later.  Each write holds its stretch until it has ended on both, so that two writes to one
 * place reach both sides in the same order. */
#include "block/bitmap.h"
#include "block/jobs/mirror-private.h"

struct VitMirrorTwin { /* a write without a fiber */
    VitBlockRange range;
    VitBlockRequest source, target;
    VitBlockRequest *req; /* the guest's */
    VitMirror *mirror; /* borrowed */
    unsigned pending;
    VitMirrorTwin *next;
};

/* What must not be written by others meanwhile: whole bits of the bitmap. */
static VitBlockRange stretch(const VitMirror *m, uint64_t offset, uint64_t bytes)
{
    uint64_t unit = vit_block_bitmap_granularity(m->dirty), start = offset - offset % unit;
    uint64_t end = MIN((offset + bytes + unit - 1) / unit * unit, m->live.source->size);

    return (VitBlockRange){ .offset = start, .bytes = end - start };
}

/* Discarded bytes may read differently on the two sides: they are copied as they then are. */
static bool goes_to_both(const VitMirror *m, VitBlockOp op, const VitBlockRange *r)
{
    uint64_t unit = vit_block_bitmap_granularity(m->dirty);
    bool clean = op != VIT_BLOCK_DISCARD;

    for (uint64_t at = 0; clean && at < r->bytes; at += unit)
        clean = !vit_block_bitmap_get(m->dirty, r->offset + at);
    return clean;
}

/* ---- on a fiber ------------------------------------------------------------------------------ */

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
    VitMirror *m = (VitMirror *)job;
    VitBlockRange all = stretch(m, w->offset, w->bytes), range;

    vit_block_range_lock(&job->ranges, &range, all.offset, all.bytes);
    bool both = goes_to_both(m, w->op, &range);
    Twin twin = { .req = { .op = w->op,
                           .flags = w->flags,
                           .offset = w->offset,
                           .bytes = w->bytes,
                           .iov = w->iov,
                           .niov = w->niov,
                           .done = twin_done },
                  .fiber = vit_fiber_self(job->source->thread) };
    twin.req.opaque = &twin;
    if (both) vit_block_submit(job->target, &twin.req);
    int result = vit_co_live_write(job->source, w);
    while (both && !twin.over) vit_fiber_yield(job->source->thread);
    if (both && result == 0 && twin.req.result == 0)
        vit_block_bitmap_clear(m->dirty, range.offset, range.bytes);
    vit_block_range_unlock(&job->ranges, &range);
    return result; /* what did not reach the target is dirty: the next pass meets the error */
}

/* ---- without one ----------------------------------------------------------------------------- */

static void end_half(VitBlockRequest *half)
{
    VitMirrorTwin *t = half->opaque;
    VitMirror *m = t->mirror;
    VitBlockRequest *req = t->req;
    int result = t->source.result;

    if (--t->pending > 0) return;
    if (result == 0 && t->target.done && t->target.result == 0)
        vit_block_bitmap_clear(m->dirty, t->range.offset, t->range.bytes);
    vit_block_range_unlock(&m->live.ranges, &t->range);
    t->next = m->spare;
    m->spare = t;
    vit_block_complete(req, result);
}

static void unplug(VitMirror *m)
{
    if (m->target_plugged) vit_block_unplug(m->live.target);
    m->target_plugged = false;
}

static void unplug_target(void *opaque)
{
    VitMirror *m = opaque;

    unplug(m);
    vit_block_job_unref(&m->live.parent);
}

/* What is sent to the target in this round of the loop starts together. */
static void plug_target(VitMirror *m)
{
    if (m->target_plugged) return;
    m->target_plugged = true;
    vit_block_plug(m->live.target);
    vit_block_job_ref(&m->live.parent);
    vit_io_thread_call(m->live.source->thread, unplug_target, m);
}

static bool submit_both(VitLiveJob *job, VitBlockRequest *req)
{
    VitMirror *m = (VitMirror *)job;
    VitBlockRange all = stretch(m, req->offset, req->bytes);
    VitMirrorTwin *t = m->spare ?: g_new(VitMirrorTwin, 1);
    VitMirrorTwin *next = m->spare ? t->next : NULL;

    *t = (VitMirrorTwin){ .req = req, .mirror = m, .pending = 1, .next = next };
    m->spare = t;
    if (!vit_block_range_try_lock(&job->ranges, &t->range, all.offset, all.bytes)) return false;
    m->spare = next;
    t->source = (VitBlockRequest){ .op = req->op,
                                   .flags = req->flags,
                                   .offset = req->offset,
                                   .bytes = req->bytes,
                                   .iov = req->iov,
                                   .niov = req->niov,
                                   .opaque = t };
    if (goes_to_both(m, req->op, &t->range)) {
        t->target = t->source;
        t->target.done = end_half;
        t->pending = 2;
    }
    t->source.done = end_half;
    if (t->pending == 2) {
        plug_target(m);
        vit_block_submit(job->target, &t->target);
    }
    vit_block_submit(job->source, &t->source);
    return true;
}

/* ---- on and off ------------------------------------------------------------------------------ */

void vit_co_mirror_set_active(VitMirror *m, bool active)
{
    if (m->active == active) return;
    vit_co_drain_begin(m->live.filter);
    vit_live_filter_set_writer(&m->live, active ? write_both : NULL, active ? submit_both : NULL);
    m->active = active;
    vit_co_drain_end(m->live.filter);
}

void vit_mirror_free_twins(VitMirror *m)
{
    unplug(m);
    while (m->spare) {
        VitMirrorTwin *t = m->spare;
        m->spare = t->next;
        g_free(t);
    }
}
