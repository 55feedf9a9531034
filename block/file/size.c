/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file/size.c - the size of a local file, its holes, and copies that the host makes */
#include "block/driver.h"
#include "block/file/file.h"
#include "block/job.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <unistd.h>

enum { PIECE = 1 << 20, FULL_STEP = 16 << 20, FALLOC_STEP = 256 << 20 }; /* filled at a time */

/* ---- copying between files ------------------------------------------------------------------- */

typedef struct {
    int from_fd, to_fd, result;
    uint64_t from, to, bytes;
} CopyRange;

/* On a worker thread. */
static void copy_range(void *opaque)
{
    CopyRange *c = opaque;
    off_t from = (off_t)c->from, to = (off_t)c->to;

    for (uint64_t left = c->bytes; left > 0 && c->result == 0;) {
        ssize_t n = copy_file_range(c->from_fd, &from, c->to_fd, &to, left, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) c->result = n < 0 ? -errno : -EIO; /* 0: the source has become shorter */
        else left -= (uint64_t)n;
    }
}

int vit_file_copy_range(VitBlockNode *node, uint64_t offset, VitBlockNode *from,
                        uint64_t from_offset, uint64_t bytes)
{
    VitFile *f = (VitFile *)node;

    if (from->driver != node->driver || f->is_device || ((VitFile *)from)->is_device)
        return -ENOTSUP;
    CopyRange c = { .from_fd = ((VitFile *)from)->fd,
                    .to_fd = f->fd,
                    .from = from_offset,
                    .to = offset,
                    .bytes = bytes };
    vit_fiber_offload(node->thread, copy_range, &c);
    if (c.result == 0) node->size = MAX(node->size, offset + bytes);
    return c.result;
}

/* ---- size and holes -------------------------------------------------------------------------- */

int vit_file_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    VitFile *f = (VitFile *)node;
    off_t data, hole;

    *extent = (VitBlockExtent){ .bytes = bytes,
                                .flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET,
                                .host_offset = offset,
                                .file = node };
    if (f->is_device) return 0;
    data = lseek(f->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) { /* a hole up to the end */
        extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
        return 0;
    }
    if (data < 0) return 0; /* the file system does not tell */
    if ((uint64_t)data > offset) {
        extent->bytes = MIN(bytes, (uint64_t)data - offset);
        extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
        return 0;
    }
    hole = lseek(f->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset) extent->bytes = MIN(bytes, (uint64_t)hole - offset);
    return 0;
}

typedef struct {
    int fd, result;
    uint64_t from, to; /* bytes: the old and the new size, or the piece to be filled */
    VitPrealloc prealloc;
} Resize;

/* These three run on a worker thread. */
static void set_size(void *opaque)
{
    Resize *r = opaque;

    if (ftruncate(r->fd, (off_t)r->to) < 0) r->result = -errno;
}

/* What an empty file gets first, as from qemu-img: where something is stored, it can be found out
 * how the host wants O_DIRECT to be aligned. */
static void fill_first_block(void *opaque)
{
    static const uint8_t zeroes[4096];
    Resize *r = opaque;

    while (pwrite(r->fd, zeroes, MIN(sizeof zeroes, r->to), 0) < 0 && errno == EINTR) {}
}

static void fill(void *opaque)
{
    Resize *r = opaque;

    if (r->prealloc == VIT_PREALLOC_FALLOC) {
        r->result = -posix_fallocate(r->fd, (off_t)r->from, (off_t)(r->to - r->from));
        return;
    }
    g_autofree uint8_t *zeroes = g_malloc0(PIECE);
    for (uint64_t at = r->from; at < r->to && r->result == 0;) {
        ssize_t n = pwrite(r->fd, zeroes, MIN(PIECE, r->to - at), (off_t)at);
        if (n < 0 && errno != EINTR) r->result = -errno;
        at += (uint64_t)MAX(n, 0);
    }
}

static void sync_now(void *opaque)
{
    Resize *r = opaque;

    if (fsync(r->fd) < 0) r->result = -errno;
}

/* Gives space to what a resized file has gained, a piece at a time, as the job that runs it wants.
 */
static int preallocate(VitIoThread *thread, const Resize *whole)
{
    Resize piece = *whole;
    uint64_t step = whole->prealloc == VIT_PREALLOC_FULL ? FULL_STEP : FALLOC_STEP;

    if (whole->prealloc < VIT_PREALLOC_FALLOC || whole->to <= whole->from) return 0;
    vit_co_work_expect(thread, whole->to - whole->from);
    for (uint64_t at = whole->from; at < whole->to && piece.result == 0; at = piece.to) {
        piece.from = at;
        piece.to = at + MIN(step, whole->to - at);
        vit_fiber_offload(thread, fill, &piece);
        if (piece.result == 0) piece.result = vit_co_work_done(thread, piece.to - piece.from);
    }
    if (piece.result == 0 && whole->prealloc == VIT_PREALLOC_FULL)
        vit_fiber_offload(thread, sync_now, &piece);
    return piece.result;
}

int vit_file_co_resize(VitIoThread *thread, int fd, uint64_t from, uint64_t to,
                       VitPrealloc prealloc)
{
    Resize r = { .fd = fd, .from = from, .to = to, .prealloc = prealloc };

    vit_fiber_offload(thread, set_size, &r);
    if (r.result < 0) return r.result;
    if (from == 0 && to > 0) vit_fiber_offload(thread, fill_first_block, &r);
    int result = preallocate(thread, &r);
    if (result < 0) {
        r.to = from;
        vit_fiber_offload(thread, set_size, &r); /* the first error is the one to tell */
    }
    return result;
}

bool vit_file_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                       GError **error)
{
    VitFile *f = (VitFile *)node;

    if (f->is_device) {
        if (size > node->size || (exact && size != node->size))
            return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                                  _("“%s” is a device and keeps its size"), node->filename);
        return true;
    }
    if (prealloc == VIT_PREALLOC_METADATA)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("Unsupported preallocation mode 'metadata' (a file has off, falloc and full)"));
    int result = vit_file_co_resize(node->thread, f->fd, node->size, size, prealloc);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not resize “%s”"), node->filename);
    node->size = size;
    return true;
}
