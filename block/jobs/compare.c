/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/compare.c - whether two images read the same
 *
 * Several fibers take pieces in order of their place and read both sides; what both say is zero is
 * not read.  The first difference or failure ends the taking, and the lowest of all is the answer:
 * all that lies before it has been taken by then. */
#include "block/job-private.h"
#include "block/jobs/jobs.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20, WORKERS = 4, SECTOR = 512 };

typedef struct {
    uint64_t end; /* 0: not known */
    bool zero;
    unsigned flags; /* those that must be the same in strict mode */
} Extent;

typedef struct {
    uint64_t offset, bytes;
    bool zero[2];
} Piece;

typedef struct {
    VitBlockJob parent;
    VitBlockNode *images[2]; /* references */
    bool strict;
    VitBlockCompared *found; /* borrowed */
    bool stop; /* found has something to say */

    VitFiberMutex scan; /* guards what follows, up to the blank line */
    uint64_t at, end;
    Extent extents[2]; /* of the images at `at` and on */

    unsigned workers;
    VitFiberCond ended;
} Compare;

/* Keeps what lies lowest. */
static void tell(Compare *c, const VitBlockCompared *what)
{
    if (!c->stop || what->offset < c->found->offset) *c->found = *what;
    c->stop = true;
}

/* ---- what to compare ------------------------------------------------------------------------- */

static int look(Compare *c, unsigned side)
{
    VitBlockNode *image = c->images[side];
    Extent *e = &c->extents[side];
    VitBlockExtent x;

    if (e->end > c->at) return 0;
    if (c->at >= image->size) { /* as if it went on with zeroes */
        *e = (Extent){ .end = c->end, .zero = true };
        return 0;
    }
    int code = vit_co_status_above(image, NULL, c->at, image->size - c->at, &x);
    if (code == 0 && x.bytes == 0) code = -EIO;
    if (code == 0)
        *e = (Extent){ c->at + x.bytes, x.flags & VIT_EXTENT_ZERO, x.flags & ~VIT_EXTENT_END };
    return code;
}

/* The next piece; false: none. */
static bool next_piece(Compare *c, Piece *piece)
{
    const Extent *e = c->extents;

    if (c->stop || c->at >= c->end) return false;
    for (unsigned side = 0; side < 2; side++) {
        int code = look(c, side);
        if (code == 0) continue;
        tell(c, &(VitBlockCompared){
                    .offset = c->at, .error = code, .side = side, .no_status = true });
        return false;
    }
    if (c->strict && e[0].flags != e[1].flags) {
        tell(c, &(VitBlockCompared){ .result = VIT_COMPARE_ALLOCATION, .offset = c->at });
        return false;
    }
    uint64_t bytes = MIN(e[0].end, e[1].end) - c->at;
    if (!e[0].zero || !e[1].zero) bytes = MIN(bytes, PIECE);
    *piece = (Piece){ c->at, bytes, { e[0].zero, e[1].zero } };
    c->at += bytes;
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool is_same(const Piece *p, uint8_t *const data[2], uint64_t at, uint64_t bytes)
{
    if (p->zero[0]) return vit_block_is_zero(data[1] + at, bytes);
    if (p->zero[1]) return vit_block_is_zero(data[0] + at, bytes);
    return memcmp(data[0] + at, data[1] + at, bytes) == 0;
}

static void compare(Compare *c, const Piece *p, uint8_t *const data[2])
{
    for (unsigned side = 0; side < 2; side++) {
        int code = p->zero[side] ? 0
                                 : vit_co_read(c->images[side], p->offset, data[side], p->bytes);
        if (code == 0) continue;
        tell(c, &(VitBlockCompared){ .offset = p->offset, .error = code, .side = side });
        return;
    }
    if (is_same(p, data, 0, p->bytes)) return;
    uint64_t at = 0;
    while (is_same(p, data, at, MIN(SECTOR, p->bytes - at))) at += SECTOR;
    tell(c, &(VitBlockCompared){ .result = VIT_COMPARE_CONTENT, .offset = p->offset + at });
}

static void worker(void *opaque)
{
    Compare *c = opaque;
    VitBlockJob *job = &c->parent;
    void *buffers = NULL;
    Piece p;

    if (posix_memalign(&buffers, 4096, 2 * (size_t)PIECE) != 0) {
        buffers = NULL;
        tell(c, &(VitBlockCompared){ .error = -ENOMEM });
    }
    uint8_t *data[2] = { buffers, buffers ? (uint8_t *)buffers + PIECE : NULL };
    while (!c->stop && vit_co_job_pause_point(job)) {
        vit_fiber_mutex_lock(&c->scan);
        bool more = next_piece(c, &p);
        vit_fiber_mutex_unlock(&c->scan);
        if (!more) break;
        if (p.zero[0] && p.zero[1]) {
            vit_block_job_skip(job, p.bytes);
            continue;
        }
        compare(c, &p, data);
        vit_block_job_advance(job, p.bytes);
    }
    free(buffers);
    c->workers--;
    vit_fiber_cond_wake_all(&c->ended);
}

static bool run(VitBlockJob *job, GError **error)
{
    Compare *c = (Compare *)job;
    const VitBlockCompared *found = c->found;

    *c->found = (VitBlockCompared){ .result = VIT_COMPARE_EQUAL };
    if (c->strict && c->images[0]->size != c->images[1]->size) {
        c->found->result = VIT_COMPARE_SIZE;
        return true;
    }
    c->end = MAX(c->images[0]->size, c->images[1]->size);
    vit_block_job_set_total(job, c->end);
    c->workers = WORKERS;
    for (unsigned i = 0; i < WORKERS; i++) vit_fiber_start(job->thread, worker, c);
    while (c->workers > 0) vit_fiber_cond_wait(&c->ended, NULL);
    if (vit_block_job_is_cancelled(job)) return false;
    if (found->error == 0) return true;
    return vit_block_fail_errno(error, found->error,
                                found->no_status
                                    ? _("Could not tell what “%s” stores at byte %" PRIu64)
                                    : _("Could not read “%s” at byte %" PRIu64),
                                c->images[found->side]->filename, found->offset);
}

static void clean(VitBlockJob *job)
{
    Compare *c = (Compare *)job;

    for (unsigned side = 0; side < 2; side++)
        vit_block_node_unref(g_steal_pointer(&c->images[side]));
}

static const VitBlockJobClass compare_class = {
    .type = "compare",
    .instance_size = sizeof(Compare),
    .co_run = run,
    .co_clean = clean,
};

VitBlockJob *vit_block_compare_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                   VitBlockNode *const images[2], bool strict,
                                   VitBlockCompared *found, GError **error)
{
    Compare *c = (Compare *)vit_block_job_new(jobs, &compare_class, id, flags, error);

    if (!c) return NULL;
    for (unsigned side = 0; side < 2; side++) c->images[side] = vit_block_node_ref(images[side]);
    c->strict = strict;
    c->found = found;
    c->scan.thread = c->ended.thread = c->parent.thread;
    return &c->parent;
}
