/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/convert.c - copies one or more images, one after the other, into a target
 *
 * Several fibers take pieces in order of their place: zeroes, which need no reading, and data.
 * Data is looked through for zeroes after reading, in units of the target's allocation (so that
 * what is stored is stored whole), and moves in pieces small enough to stay in the processor's
 * caches between reading and writing. */
#include "block/driver.h"
#include "block/job-private.h"
#include "block/graph.h"
#include "block/jobs/jobs.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20, MAX_UNIT = 64 << 10, MIN_UNIT = 4096, MAX_ZEROES = 1 << 30 };
enum { DEFAULT_PARALLEL = 8, MAX_PARALLEL = 64, SECTOR = 512 };

typedef enum { NOTHING, ZEROES, DATA } Kind;

typedef struct {
    Kind kind;
    VitBlockNode *source; /* borrowed */
    uint64_t from, to, bytes; /* in the source, in the target */
    uint64_t turn; /* how many pieces were taken before it */
} Piece;

typedef struct {
    VitBlockJob parent;
    VitBlockNode **sources; /* owned, references */
    unsigned n_sources;
    VitBlockNode *target; /* a reference */
    VitBlockConvert how; /* without its pointers but message */
    GPtrArray *made; /* a reference; NULL: none */
    VitBlockNode *base; /* a reference; of a commit: what lies above it is copied.  NULL: none */
    bool make_empty;
    uint64_t unit, piece; /* bytes */

    VitFiberMutex scan; /* guards what follows, up to the blank line */
    unsigned source;
    uint64_t at, to; /* next byte of the source, of the target */
    struct {
        uint64_t end;
        Kind kind;
    } extent; /* of the source at `at` and on; end 0: not known */
    uint64_t taken; /* pieces */

    uint64_t turn; /* of the piece that may be written next, unless they are written as they come */
    VitFiberCond turned;

    unsigned workers;
    VitFiberCond ended;
    GError *error; /* owned: the first */
} Convert;

/* ---- what to copy ---------------------------------------------------------------------------- */

static bool fail_at(Convert *c, const char *what, uint64_t at, int code)
{
    if (c->error) return false;
    return vit_block_fail_errno(&c->error, code, _("error while %s at byte %" PRIu64), what, at);
}

/* What the target has already, and the source need not say; NULL: nothing. */
static VitBlockNode *base_of(const Convert *c, const VitBlockNode *source)
{
    return c->how.target_has_backing && source->backing ? source->backing->node : c->base;
}

/* What the source has at `at`, up to *end. */
static bool look(Convert *c, VitBlockNode *source, uint64_t at, uint64_t *end, Kind *kind)
{
    VitBlockExtent x;
    uint64_t size = source->size;

    if (c->how.sparse == 0 && !c->how.target_has_backing && !c->base) {
        *end = size;
        *kind = DATA;
        return true;
    }
    int code = vit_co_status_above(source, base_of(c, source), at, size - at, &x);
    if (code == 0 && x.bytes == 0) code = -EIO;
    if (code < 0 && c->how.salvage) {
        *end = MIN(size, at + c->piece);
        *kind = DATA;
        return true;
    }
    if (code < 0) return fail_at(c, "reading block status", at, code);
    *end = at + x.bytes;
    if (x.flags & VIT_EXTENT_ZERO) *kind = ZEROES;
    else if (x.flags & (VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED)) *kind = DATA;
    else *kind = c->to + (at - c->at) < c->how.backing_size ? NOTHING : ZEROES;
    return true;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* The extent at `at`, which the scanner may have seen already. */
static bool extent_at(Convert *c, VitBlockNode *source, uint64_t at)
{
    return c->extent.end > at || look(c, source, at, &c->extent.end, &c->extent.kind);
}

/* Data from c->at on: shorter runs of zeroes than a unit are part of it. */
static bool measure_data(Convert *c, VitBlockNode *source, uint64_t *end)
{
    uint64_t size = source->size, at = c->at;
    /* Cut where the target's units begin, so that no two fibers write to one of them. */
    uint64_t limit = MIN(size, c->at + (c->piece - c->to % c->piece));

    while (at < limit) {
        if (!extent_at(c, source, at)) return false;
        if (c->extent.kind == DATA) {
            at = c->extent.end;
            continue;
        }
        uint64_t shift = c->to - c->at; /* to place a source's byte in the target */
        uint64_t whole = round_up(at + shift, c->unit) - shift;
        if (c->extent.kind == NOTHING) whole = at;
        if (whole + c->unit <= c->extent.end || c->extent.kind == NOTHING) {
            *end = MIN(whole, limit);
            if (*end > c->at) return true;
        }
        at = c->extent.end;
    }
    *end = limit;
    return true;
}

/* The next piece; false: none, or failed. */
static bool next_piece(Convert *c, Piece *piece)
{
    while (c->source < c->n_sources && c->at >= c->sources[c->source]->size) {
        c->source++;
        c->at = c->extent.end = 0;
    }
    if (c->source >= c->n_sources) return false;
    VitBlockNode *source = c->sources[c->source];
    uint64_t end;
    if (!extent_at(c, source, c->at)) return false;
    Kind kind = c->extent.kind;
    if (kind != DATA) {
        uint64_t shift = c->to - c->at;
        end = MIN(c->extent.end, c->at + MAX_ZEROES);
        if (end < source->size && kind == ZEROES) {
            uint64_t place = (end + shift) / c->unit * c->unit;
            end = place > c->to ? place - shift : c->at;
        }
        if (end <= c->at) kind = DATA; /* too few zeroes to leave out */
    }
    if (kind == DATA && !measure_data(c, source, &end)) return false;
    *piece = (Piece){ kind, source, c->at, c->to, end - c->at, c->taken++ };
    c->to += end - c->at;
    c->at = end;
    return true;
}

/* ---- copying --------------------------------------------------------------------------------- */

/* Waits until all pieces before this one have begun to be written, and lets the next one follow:
 * it runs when this fiber first waits, that is when its write is on its way. */
static void take_turn(Convert *c, const Piece *p)
{
    if (c->how.unordered) return;
    while (c->turn != p->turn) vit_fiber_cond_wait(&c->turned, NULL);
    c->turn++;
    vit_fiber_cond_wake_all(&c->turned);
}

static int write_zeroes(Convert *c, uint64_t to, uint64_t bytes)
{
    if (c->how.target_is_zero && c->how.sparse) return 0;
    return vit_co_zero(c->target, to, bytes,
                       c->how.write_flags | (c->how.sparse ? VIT_BLOCK_MAY_UNMAP : 0));
}

static int write_run(Convert *c, const uint8_t *buf, uint64_t to, uint64_t bytes)
{
    /* Where two sources meet inside a cluster it is written in two parts, as it is. */
    bool whole = to % c->unit == 0 && (bytes % c->unit == 0 || to + bytes == c->target->size);
    bool compress = c->how.compressed && whole;

    return vit_co_write(c->target, to, buf, bytes,
                        (compress ? VIT_BLOCK_COMPRESSED : 0) | c->how.write_flags);
}

/* Writes runs of units that are not zero, and leaves out or zeroes those that are. */
static int write_data(Convert *c, const uint8_t *buf, uint64_t to, uint64_t bytes)
{
    if (c->how.sparse == 0) return write_run(c, buf, to, bytes);
    for (uint64_t at = 0; at < bytes;) {
        bool zero = false;
        uint64_t end = at;
        do { /* units as the target has them: the first one may be short */
            uint64_t n = MIN(c->unit - (to + end) % c->unit, bytes - end);
            bool one = vit_block_is_zero(buf + end, n);
            if (end > at && one != zero) break;
            zero = one;
            end += n;
        } while (end < bytes);
        int code = zero ? write_zeroes(c, to + at, end - at)
                        : write_run(c, buf + at, to + at, end - at);
        if (code < 0) return code;
        at = end;
    }
    return 0;
}

/* Reads what can be read, sector by sector; the rest is zero. */
static void salvage(Convert *c, const Piece *p, uint8_t *buf)
{
    for (uint64_t at = 0; at < p->bytes; at += SECTOR) {
        uint64_t n = MIN(SECTOR, p->bytes - at);
        int code = vit_co_read(p->source, p->from + at, buf + at, n);
        if (code == 0) continue;
        memset(buf + at, 0, n);
        g_autofree char *text = g_strdup_printf(
            "warning: error while reading offset %" G_GUINT64_FORMAT ": %s", p->from + at,
            g_strerror(-code));
        if (c->how.message) c->how.message(c->how.opaque, text);
    }
}

/* Has the host copy what lies in its file as it is; -ENOTSUP: not all of the piece does. */
static int copy_range(Convert *c, const Piece *p)
{
    int code = 0;

    for (uint64_t at = 0, bytes; at < p->bytes && code == 0; at += bytes) {
        VitBlockExtent x;
        code = vit_co_status_above(p->source, base_of(c, p->source), p->from + at,
                                   p->bytes - at, &x);
        if (code == 0 && x.bytes == 0) code = -EIO;
        if (code < 0) return code;
        bytes = MIN(x.bytes, p->bytes - at);
        if (x.flags & VIT_EXTENT_ZERO) code = write_zeroes(c, p->to + at, bytes);
        else if ((x.flags & VIT_EXTENT_OFFSET) && !(x.flags & VIT_EXTENT_COMPRESSED))
            code = vit_co_copy_range(c->target, p->to + at, x.file, x.host_offset, bytes);
        else code = -ENOTSUP;
    }
    return code;
}

static void copy_data(Convert *c, const Piece *p, uint8_t *buf)
{
    if (c->how.copy_range) {
        take_turn(c, p);
        if (copy_range(c, p) == 0) return;
        c->how.copy_range = false; /* of what is still to come, too */
    }
    int code = vit_co_read(p->source, p->from, buf, p->bytes);
    bool good = code == 0 || c->how.salvage || fail_at(c, "reading", p->from, code);
    if (code < 0 && good) salvage(c, p, buf);
    if (p->turn >= c->turn) take_turn(c, p);
    if (!good || c->error) return;
    code = write_data(c, buf, p->to, p->bytes);
    if (code < 0) fail_at(c, "writing", p->to, code);
}

static void worker(void *opaque)
{
    Convert *c = opaque;
    VitBlockJob *job = &c->parent;
    void *buf = NULL;
    Piece p;

    if (posix_memalign(&buf, 4096, c->piece) != 0) {
        buf = NULL;
        if (!c->error) vit_block_fail_errno(&c->error, -ENOMEM, _("no memory for copying"));
    }
    while (buf && !c->error && vit_co_job_pause_point(job)) {
        vit_fiber_mutex_lock(&c->scan);
        bool more = !c->error && next_piece(c, &p);
        vit_fiber_mutex_unlock(&c->scan);
        if (!more) break;
        if (p.kind == DATA) {
            copy_data(c, &p, buf);
        } else {
            take_turn(c, &p);
            int code = p.kind == ZEROES && !c->error ? write_zeroes(c, p.to, p.bytes) : 0;
            if (code < 0) fail_at(c, "writing", p.to, code);
        }
        if (p.kind == DATA) vit_block_job_advance(job, p.bytes);
        else vit_block_job_skip(job, p.bytes);
    }
    free(buf);
    c->workers--;
    vit_fiber_cond_wake_all(&c->ended);
}

/* ---- the job --------------------------------------------------------------------------------- */

static bool run(VitBlockJob *job, GError **error)
{
    Convert *c = (Convert *)job;
    uint64_t total = 0;

    for (unsigned i = 0; i < c->n_sources; i++) total += c->sources[i]->size;
    vit_block_job_set_total(job, total);
    c->workers = c->how.parallel;
    for (unsigned i = 0; i < c->how.parallel; i++) vit_fiber_start(job->thread, worker, c);
    while (c->workers > 0) vit_fiber_cond_wait(&c->ended, NULL);
    if (!c->error && !vit_block_job_is_cancelled(job)) {
        int code = vit_co_flush(c->target);
        if (code < 0) vit_block_fail_errno(&c->error, code, _("error while flushing the target"));
    }
    bool good = !c->error && !vit_block_job_is_cancelled(job);
    if (c->error) g_propagate_error(error, g_steal_pointer(&c->error));
    return good;
}

static void take_back(VitBlockJob *job)
{
    Convert *c = (Convert *)job;

    vit_block_remove_made(c->made); /* what is there is half a copy */
}

static void clean(VitBlockJob *job)
{
    Convert *c = (Convert *)job;

    vit_block_node_unref(c->base);
    c->base = NULL;
    for (unsigned i = 0; i < c->n_sources; i++) vit_block_node_unref(c->sources[i]);
    vit_block_node_unref(c->target);
    g_clear_error(&c->error);
    g_free(c->sources);
    g_clear_pointer(&c->made, g_ptr_array_unref);
    c->sources = NULL;
    c->n_sources = 0;
}

static const VitBlockJobClass convert_class = {
    .type = "convert",
    .instance_size = sizeof(Convert),
    .co_run = run,
    .co_abort = take_back,
    .co_clean = clean,
};

static VitBlockJob *new_job(VitBlockJobs *jobs, const VitBlockJobClass *klass, const char *id,
                            unsigned flags, const VitBlockConvert *how, GError **error)
{
    VitBlockInfo info = vit_block_info(how->target);
    VitBlockJob *job = vit_block_job_new(jobs, klass, id, flags, error);
    if (!job) return NULL;
    Convert *c = (Convert *)job;
    c->how = *how;
    c->made = how->made ? g_ptr_array_ref(how->made) : NULL;
    c->how.made = NULL;
    c->sources = g_new(VitBlockNode *, how->n_sources);
    c->n_sources = how->n_sources;
    for (unsigned i = 0; i < how->n_sources; i++)
        c->sources[i] = vit_block_node_ref(how->sources[i]);
    c->how.sources = NULL;
    c->target = vit_block_node_ref(how->target);
    c->scan.thread = c->ended.thread = c->turned.thread = job->thread;
    /* Zeroes inside a unit of allocation save nothing, but parts of it cost a second write. */
    uint64_t unit = CLAMP(info.cluster_size, MIN_UNIT, MAX_UNIT);
    if (how->compressed) unit = info.cluster_size;
    else if (how->target_has_backing) unit = SECTOR;
    else if (how->sparse) unit = MAX(unit, how->sparse);
    c->unit = unit;
    c->piece = round_up(PIECE, unit);
    unsigned wanted = how->parallel ?: MAX(DEFAULT_PARALLEL, g_get_num_processors());
    c->how.parallel = MIN(wanted, MAX_PARALLEL);
    return job;
}

VitBlockJob *vit_block_convert_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                   const VitBlockConvert *how, GError **error)
{
    VitBlockInfo info = vit_block_info(how->target);
    uint64_t total = 0;

    for (unsigned i = 0; i < how->n_sources; i++) total += vit_block_info(how->sources[i]).size;
    if (info.size < total) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("output file is smaller than input file"));
        return NULL;
    }
    if (how->compressed && info.encrypted) { /* what is compressed would be there for all to read */
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Compression and encryption not supported at the same time"));
        return NULL;
    }
    if (how->compressed && (!info.can_compress || info.cluster_size == 0)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                       _("Compression not supported for this file format"));
        return NULL;
    }
    return new_job(jobs, &convert_class, id, flags, how, error);
}

/* ---- commit ---------------------------------------------------------------------------------- */

static bool run_commit(VitBlockJob *job, GError **error)
{
    Convert *c = (Convert *)job;
    uint64_t size = c->sources[0]->size;

    if (!vit_block_set_read_only(c->target, false, error)) return false;
    c->how.backing_size = c->target->size;
    if (c->target->size < size && !vit_co_truncate(c->target, size, false, VIT_PREALLOC_OFF, error))
        return false;
    if (!run(job, error)) return false;
    int (*empty)(VitBlockNode *) = c->sources[0]->driver->co_make_empty;
    if (!c->make_empty || !empty) return true; /* what it stores says the same as base */
    int code = empty(c->sources[0]);
    if (code == 0) code = vit_co_flush(c->sources[0]);
    return code == 0 ||
           vit_block_fail_errno(error, code, _("Could not empty “%s”"), c->sources[0]->filename);
}

static const VitBlockJobClass commit_class = {
    .type = "commit",
    .instance_size = sizeof(Convert),
    .co_run = run_commit,
    .co_clean = clean,
};

VitBlockJob *vit_block_commit_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                  const VitBlockCommit *commit, GError **error)
{
    VitBlockConvert how = {
        .sources = &commit->top,
        .n_sources = 1,
        .target = commit->base,
        .sparse = MIN_UNIT,
        .write_flags = commit->write_flags,
    };
    bool found = false;

    for (VitBlockNode *n = commit->top; n && !found; n = n->backing ? n->backing->node : NULL)
        found = n != commit->top && n == commit->base;
    if (!found) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” does not stand on “%s”"),
                       commit->top->filename, commit->base->filename);
        return NULL;
    }
    Convert *c = (Convert *)new_job(jobs, &commit_class, id, flags, &how, error);
    if (!c) return NULL;
    c->base = vit_block_node_ref(commit->base);
    c->make_empty = commit->make_empty;
    c->unit = SECTOR; /* what it does not store must stay as it is in base */
    return &c->parent;
}
