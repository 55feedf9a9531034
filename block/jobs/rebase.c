/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/rebase.c - gives an image another backing file
 *
 * The image stays valid on its old backing file until its last step, whatever happens: what is
 * copied into it before is what it reads there anyway. */
#include "block/job-private.h"
#include "block/jobs/jobs.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 2 << 20, BLOCK = 64 << 10 };

typedef struct {
    VitBlockJob parent;
    VitBlockRebase how; /* owned: references and copies */
    uint8_t *old_data, *new_data; /* PIECE bytes each, while it runs */
} Rebase;

/* What a chain reads as: zeroes past its end, or without one. */
static int read_chain(VitBlockNode *top, uint64_t at, uint8_t *buf, uint64_t bytes)
{
    uint64_t size = top ? top->size : 0, have = at < size ? MIN(bytes, size - at) : 0;
    int code = have ? vit_co_read(top, at, buf, have) : 0;

    memset(buf + have, 0, bytes - have);
    return code;
}

static VitBlockNode *old_backing(const Rebase *r)
{
    return r->how.node->backing ? r->how.node->backing->node : NULL;
}

/* Whether both read as zeroes there; shortens *bytes to a stretch that it is true or false for. */
static int both_zero(Rebase *r, uint64_t at, uint64_t *bytes, bool *zero)
{
    VitBlockNode *chains[] = { old_backing(r), r->how.backing };

    *zero = true;
    for (int i = 0; i < 2; i++) {
        VitBlockExtent x;
        if (!chains[i] || at >= chains[i]->size) continue;
        int code = vit_co_status_above(chains[i], NULL, at, *bytes, &x);
        if (code < 0) return code;
        if (x.bytes > 0) *bytes = MIN(*bytes, x.bytes);
        *zero &= (x.flags & VIT_EXTENT_ZERO) != 0;
    }
    return 0;
}

/* From `at` to the end of its block, at most `bytes`. */
static uint64_t step(uint64_t at, uint64_t block, uint64_t bytes)
{
    return MIN(block - at % block, bytes);
}

/* Zeroes that the image itself is to hold: a driver may leave out what reads as zeroes already, as
 * nothing lies below yet. */
static int write_zeroes(Rebase *r, uint64_t at, const uint8_t *zeroes, uint64_t bytes)
{
    VitBlockNode *node = r->how.node;
    VitBlockExtent x;
    int code = vit_co_zero(node, at, bytes, 0);

    for (uint64_t done = 0; done < bytes && code == 0; done += x.bytes) {
        code = vit_co_status(node, at + done, bytes - done, &x);
        if (code == 0 && x.bytes == 0) code = -EIO;
        if (code == 0 && !(x.flags & VIT_EXTENT_ALLOCATED))
            code = vit_co_write(node, at + done, zeroes + done, x.bytes, 0);
    }
    return code;
}

static int write_old(Rebase *r, uint64_t at, const uint8_t *data, uint64_t bytes, uint64_t block)
{
    /* A block of which the image stores a part already is completed as it is. */
    bool whole = at % block == 0 && (bytes == block || at + bytes == r->how.node->size);

    if (vit_block_is_zero(data, bytes)) return write_zeroes(r, at, data, bytes);
    return vit_co_write(r->how.node, at, data, bytes,
                        r->how.compress && whole ? VIT_BLOCK_COMPRESSED : 0);
}

/* Writes the old content of the blocks that differ. */
static int copy_different(Rebase *r, uint64_t at, uint64_t bytes, uint64_t block)
{
    int code = 0;

    for (uint64_t done = 0; done < bytes && code == 0;) {
        uint64_t end = done, n;
        for (; end < bytes; end += n) {
            n = step(at + end, block, bytes - end);
            if (memcmp(r->old_data + end, r->new_data + end, n) == 0) break;
            if (r->how.compress && end > done) break; /* a cluster at a time */
        }
        if (end > done) code = write_old(r, at + done, r->old_data + done, end - done, block);
        else end += step(at + end, block, bytes - end);
        done = end;
    }
    return code;
}

/* What the image does not store itself, from `at` on: at most *bytes, which it shortens to what it
 * has dealt with.  *moved: it had to be read; what: what failed. */
static int rebase_piece(Rebase *r, uint64_t at, uint64_t *bytes, uint64_t block, bool *moved,
                        const char **what)
{
    uint64_t whole = *bytes;
    bool zero;
    int code = both_zero(r, at, bytes, &zero);

    *what = _("error while reading from backing file");
    if (code < 0 || zero) return code;
    *moved = true;
    /* Whole blocks of the image, so that none is written twice. */
    *bytes = MIN(MIN(MAX(*bytes, block), whole), PIECE - at % block);
    code = read_chain(old_backing(r), at, r->old_data, *bytes);
    if (code == 0) code = read_chain(r->how.backing, at, r->new_data, *bytes);
    if (code < 0) return code;
    *what = _("error while writing");
    return copy_different(r, at, *bytes, block);
}

static bool failed(GError **error, const char *what, int code)
{
    return vit_block_fail_errno(error, code, "%s", what);
}

static bool copy_all(Rebase *r, GError **error)
{
    VitBlockNode *node = r->how.node;
    VitBlockJob *job = &r->parent;
    uint64_t size = node->size, cluster = vit_block_info(node).cluster_size;
    uint64_t block = cluster && cluster <= PIECE ? cluster : BLOCK;

    vit_block_job_set_total(job, size);
    for (uint64_t at = 0, bytes; at < size; at += bytes) {
        VitBlockExtent x;
        const char *what;
        bool moved = false;
        if (!vit_co_job_pause_point(job)) return false;
        int code = vit_co_status(node, at, size - at, &x);
        if (code == 0 && x.bytes == 0) code = -EIO;
        if (code < 0) return failed(error, _("error while reading image metadata"), code);
        bytes = x.bytes;
        if (!(x.flags & VIT_EXTENT_ALLOCATED)) {
            code = rebase_piece(r, at, &bytes, block, &moved, &what);
            if (code < 0) return failed(error, what, code);
        }
        if (moved) vit_block_job_advance(job, bytes);
        else vit_block_job_skip(job, bytes);
    }
    int code = vit_co_flush(node);
    return code == 0 || failed(error, _("error while flushing the image"), code);
}

static bool run(VitBlockJob *job, GError **error)
{
    Rebase *r = (Rebase *)job;
    void *buffers = NULL;

    if (r->how.unsafe) return true;
    if (posix_memalign(&buffers, 4096, 2 * (size_t)PIECE) != 0)
        return failed(error, _("error while getting memory"), -ENOMEM);
    r->old_data = buffers;
    r->new_data = r->old_data + PIECE;
    bool good = copy_all(r, error);
    free(buffers);
    return good;
}

static bool change(VitBlockJob *job, GError **error)
{
    const VitBlockRebase *how = &((Rebase *)job)->how;
    const VitBlockDriver *d = how->node->driver;
    const char *file = how->file && *how->file ? how->file : NULL;
    g_autoptr(GError) reason = NULL;

    if (!d->co_change_backing)
        vit_block_fail(&reason, VIT_BLOCK_ERROR_UNSUPPORTED, _("Operation not supported"));
    else if (file && !how->format)
        vit_block_fail(&reason, VIT_BLOCK_ERROR_INVALID, _("backing format must be specified"));
    else (void)d->co_change_backing(how->node, file, file ? how->format : NULL, &reason);
    if (reason)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Could not change the backing file to '%s': %s"), file ?: "",
                              reason->message);
    int code = vit_co_flush(how->node);
    return code == 0 || failed(error, _("error while flushing the image"), code);
}

static void clean(VitBlockJob *job)
{
    VitBlockRebase *how = &((Rebase *)job)->how;

    vit_block_node_unref(how->node);
    vit_block_node_unref(how->backing);
    g_free((char *)how->file);
    g_free((char *)how->format);
    *how = (VitBlockRebase){ 0 };
}

static const VitBlockJobClass rebase_class = {
    .type = "rebase",
    .instance_size = sizeof(Rebase),
    .co_run = run,
    .co_commit = change,
    .co_clean = clean,
};

VitBlockJob *vit_block_rebase_new(VitBlockJobs *jobs, const char *id, unsigned flags,
                                  const VitBlockRebase *rebase, GError **error)
{
    Rebase *r = (Rebase *)vit_block_job_new(jobs, &rebase_class, id, flags, error);

    if (!r) return NULL;
    r->how = *rebase;
    vit_block_node_ref(rebase->node);
    if (rebase->backing) vit_block_node_ref(rebase->backing);
    r->how.file = g_strdup(rebase->file);
    r->how.format = g_strdup(rebase->format);
    return &r->parent;
}
