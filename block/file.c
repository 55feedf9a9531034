/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file.c - the protocol node of local files and block devices
 *
 * A request becomes a chain of steps (system calls) until all of its bytes have moved: short
 * transfers are continued; under O_DIRECT, pieces that the host cannot take as they lie go through
 * an aligned buffer, and a piecewise write of a host block has the file to itself. */
#include "block/drivers.h"
#include "block/io-engine.h"
#include "block/job.h"
#include "block/node-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, ZEROES = 1 << 16, INLINE_IOV = 8, FREE_OPS = 64 };
enum { FULL_STEP = 16 << 20, FALLOC_STEP = 256 << 20 }; /* preallocated at a time */

typedef struct {
    VitBlockNode parent;
    VitIoEngine *engine;        /* owned */
    int fd;
    uint32_t logical_block;
    uint32_t memory_align, offset_align;    /* 1 without O_DIRECT */
    bool discard, no_flush, is_device, lock, threads;
    bool no_punch, no_zero_range;   /* the host has refused it before */
    uint8_t *zeroes;        /* owned, ZEROES bytes, made when first needed */
    GQueue waiting;       /* of Op*, behind one that wants the file to itself */
    unsigned running;
    bool exclusive;
    GQueue free_ops;      /* of Op* */
} File;

typedef enum { MOVE, BOUNCE_READ, BOUNCE_FILL, BOUNCE_WRITE, ALLOCATE, SYNC } Stage;

typedef struct {
    VitIo io;        /* first member */
    File *file;
    VitBlockRequest *req;
    Stage stage;
    uint64_t moved;     /* bytes of the request that are done */
    bool writing_zeroes, exclusive;
    uint8_t *bounce;    /* owned */
    uint64_t bounce_start, bounce_size;     /* file range */
    uint64_t piece;     /* bytes of the request in this bounce */
    struct iovec inline_iov[INLINE_IOV];
    struct iovec *own_iov;   /* owned, or NULL */
    struct iovec bounce_iov;
} Op;

static void step(Op *op);

/* ---- the bytes of a request ------------------------------------------------------------------ */

/* Copies between buf and bytes [moved, moved + size) of the request's memory. */
static void copy(const Op *op, uint8_t *buf, uint64_t size, bool to_request)
{
    uint64_t skip = op->moved;

    if (op->writing_zeroes) {
        memset(buf, 0, size);
        return;
    }
    for (int i = 0; i < op->req->niov && size > 0; i++) {
        const struct iovec *v = &op->req->iov[i];
        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        size_t n = MIN(v->iov_len - skip, size);
        uint8_t *memory = (uint8_t *)v->iov_base + skip;
        memcpy(to_request ? memory : buf, to_request ? buf : memory, n);
        buf += n;
        size -= n;
        skip = 0;
    }
}

static void zero_rest(Op *op)
{
    uint64_t skip = op->moved;

    for (int i = 0; i < op->req->niov; i++) {
        const struct iovec *v = &op->req->iov[i];
        uint64_t from = MIN(skip, v->iov_len);
        memset((uint8_t *)v->iov_base + from, 0, v->iov_len - from);
        skip -= from;
    }
}

/* Points the operation at the part that has not moved yet. */
static void aim(Op *op)
{
    const VitBlockRequest *req = op->req;
    uint64_t skip = op->moved;
    int first = 0;

    op->io.offset = req->offset + op->moved;
    if (op->writing_zeroes) {
        uint64_t left = MIN(req->bytes - op->moved, INLINE_IOV * (uint64_t)ZEROES);
        op->io.iov = op->inline_iov;
        for (op->io.niov = 0; left > 0; op->io.niov++) {
            size_t n = MIN(left, ZEROES);
            op->inline_iov[op->io.niov] = (struct iovec){ op->file->zeroes, n };
            left -= n;
        }
        return;
    }
    while (first < req->niov && skip >= req->iov[first].iov_len) skip -= req->iov[first++].iov_len;
    int count = MIN(req->niov - first, IOV_MAX);
    op->io.niov = count;
    if (skip == 0) {
        op->io.iov = &req->iov[first];
        return;
    }
    struct iovec *own = op->inline_iov;
    if (count > INLINE_IOV) own = op->own_iov = g_renew(struct iovec, op->own_iov, count);
    memcpy(own, &req->iov[first], (size_t)count * sizeof *own);
    own[0].iov_base = (uint8_t *)own[0].iov_base + skip;
    own[0].iov_len -= skip;
    op->io.iov = own;
}

/* Whether the host takes the rest as it lies in memory and file. */
static bool aligned(const Op *op)
{
    const File *f = op->file;
    uint64_t memory = 0, where = op->io.offset;

    if (f->memory_align <= 1 && f->offset_align <= 1) return true;
    for (int i = 0; i < op->io.niov; i++) {
        memory |= (uintptr_t)op->io.iov[i].iov_base;
        where |= op->io.iov[i].iov_len;
    }
    return (memory & (f->memory_align - 1)) == 0 && (where & (f->offset_align - 1)) == 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

static bool wants_file_to_itself(const File *f, const VitBlockRequest *req)
{
    return (req->op == VIT_BLOCK_WRITE || req->op == VIT_BLOCK_WRITE_ZEROES) &&
           ((req->offset | req->bytes) & (f->offset_align - 1)) != 0;
}

static void start_waiting(File *f)
{
    Op *op;

    while (!f->exclusive && (op = g_queue_peek_head(&f->waiting))) {
        if (op->exclusive && f->running > 0) return;
        g_queue_pop_head(&f->waiting);
        f->exclusive = op->exclusive;
        f->running++;
        step(op);
    }
}

static void end(Op *op, int result, bool later)
{
    File *f = op->file;
    VitBlockRequest *req = op->req;

    g_clear_pointer(&op->own_iov, g_free);
    g_clear_pointer(&op->bounce, free);
    f->running--;
    if (op->exclusive) f->exclusive = false;
    if (g_queue_get_length(&f->free_ops) < FREE_OPS) g_queue_push_head(&f->free_ops, op);
    else g_free(op);
    start_waiting(f);
    if (later) vit_block_complete_later(req, result);
    else vit_block_complete(req, result);
}

static void finish(Op *op, int result)
{
    end(op, result, false);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void bounce(Op *op)
{
    File *f = op->file;
    uint64_t mask = f->offset_align - 1, from = op->req->offset + op->moved;

    op->piece = MIN(op->req->bytes - op->moved, PIECE - f->offset_align);
    /* Cut at a host block, so that only the first and the last piece may be ragged. */
    if (op->piece < op->req->bytes - op->moved) op->piece = ((from + op->piece) & ~mask) - from;
    op->bounce_start = from & ~mask;
    op->bounce_size = ((from + op->piece + mask) & ~mask) - op->bounce_start;
    if (!op->bounce && posix_memalign((void **)&op->bounce, MAX(f->memory_align, 4096),
                                      PIECE + f->offset_align) != 0) {
        op->bounce = NULL;
        end(op, -ENOMEM, true);
        return;
    }
    op->bounce_iov = (struct iovec){ op->bounce, op->bounce_size };
    op->io.iov = &op->bounce_iov;
    op->io.niov = 1;
    op->io.offset = op->bounce_start;
    bool ragged = from != op->bounce_start || op->piece != op->bounce_size;
    if (op->req->op == VIT_BLOCK_READ) {
        op->stage = BOUNCE_READ;
        op->io.kind = VIT_IO_READ;
    } else if (ragged) {
        op->stage = BOUNCE_FILL;
        op->io.kind = VIT_IO_READ;
    } else {
        op->stage = BOUNCE_WRITE;
        op->io.kind = VIT_IO_WRITE;
        copy(op, op->bounce, op->piece, false);
    }
    vit_io_engine_submit(f->engine, &op->io);
}

static void sync_file(Op *op)
{
    op->stage = SYNC;
    op->io.kind = VIT_IO_SYNC;
    vit_io_engine_submit(op->file->engine, &op->io);
}

/* Starts the next system call of a request that moves bytes, or ends it. */
static void step(Op *op)
{
    File *f = op->file;
    VitBlockRequest *req = op->req;

    switch (req->op) {
    case VIT_BLOCK_FLUSH: sync_file(op); return;
    case VIT_BLOCK_DISCARD:
    case VIT_BLOCK_WRITE_ZEROES:
        if (op->writing_zeroes) break;
        op->stage = ALLOCATE;
        op->io.kind = VIT_IO_ALLOCATE;
        op->io.offset = req->offset;
        op->io.bytes = req->bytes;
        bool grows = req->op == VIT_BLOCK_WRITE_ZEROES && !f->is_device &&
                     req->offset + req->bytes > f->parent.size;
        if (req->op == VIT_BLOCK_DISCARD ||
            ((req->flags & VIT_BLOCK_MAY_UNMAP) && f->discard && !f->no_punch && !grows))
            op->io.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        else op->io.mode = FALLOC_FL_ZERO_RANGE | (grows ? 0 : FALLOC_FL_KEEP_SIZE);
        vit_io_engine_submit(f->engine, &op->io);
        return;
    default: break;
    }
    if (op->moved == req->bytes) {
        finish(op, 0);
        return;
    }
    aim(op);
    if (!aligned(op)) {
        bounce(op);
        return;
    }
    op->stage = MOVE;
    op->io.kind = req->op == VIT_BLOCK_READ ? VIT_IO_READ : VIT_IO_WRITE;
    vit_io_engine_submit(f->engine, &op->io);
}

/* The host had no more to read at `where`. */
static void end_of_file(Op *op, uint64_t where)
{
    struct stat st;

    /* Past the end known since opening there are zeroes; before it, someone has cut the file. */
    if (where < op->file->parent.size && !op->file->is_device && fstat(op->file->fd, &st) == 0 &&
        (uint64_t)st.st_size < op->file->parent.size) {
        finish(op, -EIO);
        return;
    }
    zero_rest(op);
    finish(op, 0);
}

static void grew(Op *op, uint64_t request_end)
{
    File *f = op->file;
    uint64_t bounced_end = op->bounce_start + op->bounce_size;

    if (op->stage == BOUNCE_WRITE && bounced_end > MAX(f->parent.size, request_end) &&
        !f->is_device) {
        /* The aligned write made the file longer than the disk. */
        if (ftruncate(f->fd, (off_t)MAX(f->parent.size, request_end)) < 0) {
            finish(op, -errno);
            return;
        }
    }
    f->parent.size = MAX(f->parent.size, request_end);
    step(op);
}

static void allocated(Op *op, int64_t result)
{
    File *f = op->file;
    VitBlockRequest *req = op->req;
    bool refused = result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL ||
                   result == -ENODEV || result == -EPERM;
    bool punched = op->io.mode & FALLOC_FL_PUNCH_HOLE;

    if (result >= 0) {
        if (!(op->io.mode & FALLOC_FL_KEEP_SIZE))
            f->parent.size = MAX(f->parent.size, req->offset + req->bytes);
        if ((req->flags & VIT_BLOCK_FUA) && !f->no_flush) sync_file(op);
        else finish(op, 0);
        return;
    }
    if (!refused) {
        finish(op, (int)result);
        return;
    }
    if (punched) f->no_punch = result != -EINVAL;
    else f->no_zero_range = result != -EINVAL;
    if (req->op == VIT_BLOCK_DISCARD) {
        finish(op, 0); /* a hint: keeping the data is allowed */
        return;
    }
    if (!f->zeroes &&
        posix_memalign((void **)&f->zeroes, MAX(f->memory_align, 4096), ZEROES) != 0) {
        f->zeroes = NULL;
        finish(op, -ENOMEM);
        return;
    }
    memset(f->zeroes, 0, ZEROES);
    op->writing_zeroes = true;
    step(op);
}

static void io_done(VitIo *io)
{
    Op *op = (Op *)io;
    File *f = op->file;
    VitBlockRequest *req = op->req;
    int64_t result = io->result;

    if (result == -EINTR || result == -EAGAIN) {
        vit_io_engine_submit(f->engine, io);
        return;
    }
    if (op->stage == ALLOCATE) {
        allocated(op, result);
        return;
    }
    if (result < 0 || op->stage == SYNC) {
        finish(op, (int)MIN(result, 0));
        return;
    }
    switch (op->stage) {
    case MOVE:
        if (result == 0) {
            if (req->op == VIT_BLOCK_READ) end_of_file(op, op->io.offset);
            else finish(op, -EIO);
            return;
        }
        op->moved += (uint64_t)result;
        if (req->op != VIT_BLOCK_READ) {
            if (op->moved < req->bytes && f->offset_align > 1) {
                /* A short direct write: go on from a whole host block. */
                uint64_t whole = (req->offset + op->moved) & ~(uint64_t)(f->offset_align - 1);
                if (whole <= op->io.offset) {
                    finish(op, -EIO);
                    return;
                }
                op->moved = whole - req->offset;
            }
            grew(op, req->offset + op->moved);
            return;
        }
        break;
    case BOUNCE_READ: {
        uint64_t head = req->offset + op->moved - op->bounce_start;
        uint64_t have = (uint64_t)result > head ? MIN((uint64_t)result - head, op->piece) : 0;
        if (have == 0) {
            end_of_file(op, req->offset + op->moved);
            return;
        }
        copy(op, op->bounce + head, have, true);
        op->moved += have;
        break;
    }
    case BOUNCE_FILL:
        memset(op->bounce + result, 0, op->bounce_size - (uint64_t)result);
        copy(op, op->bounce + (req->offset + op->moved - op->bounce_start), op->piece, false);
        op->stage = BOUNCE_WRITE;
        op->io.kind = VIT_IO_WRITE;
        vit_io_engine_submit(f->engine, io);
        return;
    case BOUNCE_WRITE:
        if ((uint64_t)result < op->bounce_iov.iov_len) {
            uint64_t whole = (uint64_t)result & ~(uint64_t)(f->offset_align - 1);
            if (whole == 0) {
                finish(op, -EIO);
                return;
            }
            op->bounce_iov.iov_base = (uint8_t *)op->bounce_iov.iov_base + whole;
            op->bounce_iov.iov_len -= whole;
            op->io.offset += whole;
            vit_io_engine_submit(f->engine, io);
            return;
        }
        op->moved += op->piece;
        grew(op, req->offset + op->moved);
        return;
    default: g_assert_not_reached();
    }
    step(op);
}

static bool file_submit(VitBlockNode *node, VitBlockRequest *req)
{
    File *f = (File *)node;

    if ((req->op == VIT_BLOCK_FLUSH && (f->no_flush || f->parent.how.read_only)) ||
        (req->op == VIT_BLOCK_DISCARD && (!f->discard || f->no_punch))) {
        vit_block_complete_later(req, 0);
        return true;
    }
    Op *op = g_queue_pop_head(&f->free_ops);
    if (!op) op = g_new(Op, 1);
    memset(op, 0, offsetof(Op, inline_iov));
    op->own_iov = NULL;
    op->file = f;
    op->req = req;
    op->io.done = io_done;
    op->io.durable = (req->flags & VIT_BLOCK_FUA) && !f->no_flush;
    op->exclusive = wants_file_to_itself(f, req);
    if (req->op == VIT_BLOCK_WRITE_ZEROES && f->no_zero_range && f->zeroes &&
        !((req->flags & VIT_BLOCK_MAY_UNMAP) && f->discard && !f->no_punch))
        op->writing_zeroes = true;
    g_queue_push_tail(&f->waiting, op);
    start_waiting(f);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void file_info(VitBlockNode *node, VitBlockInfo *info)
{
    const File *f = (File *)node;

    info->logical_block = f->logical_block;
    info->request_alignment = MAX(f->offset_align, f->memory_align);
    info->can_discard = f->discard && !f->no_punch;
    info->zero_init = !f->is_device;
}

static void file_plug(VitBlockNode *node, bool on)
{
    vit_io_engine_plug(((File *)node)->engine, on);
}

static void file_detach(VitBlockNode *node)
{
    g_clear_pointer(&((File *)node)->engine, vit_io_engine_free);
}

static void file_attach(VitBlockNode *node)
{
    File *f = (File *)node;
    f->engine = vit_io_engine_new(node->thread, f->fd, f->threads);
}

static void file_close(VitBlockNode *node)
{
    File *f = (File *)node;
    Op *op;

    file_detach(node);
    while ((op = g_queue_pop_head(&f->free_ops))) g_free(op);
    free(f->zeroes);
    if (f->fd >= 0) close(f->fd);
}

static bool fail(GError **error, int code, const char *path)
{
    g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code),
                _("Could not open '%s': %s"), path, g_strerror(code));
    return false;
}

static int open_flags(const char *path, int flags)
{
    int fd;

    do fd = open(path, flags | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us up */
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bool open_fd(File *f, const char *path, GError **error)
{
    VitBlockOptions *how = &f->parent.how;
    int direct = how->direct ? O_DIRECT : 0;

    f->fd = open_flags(path, (how->read_only ? O_RDONLY : O_RDWR) | direct);
    int code = errno;
    bool forbidden = code == EACCES || code == EPERM || code == EROFS;
    if (f->fd < 0 && !how->read_only && forbidden && how->auto_read_only) {
        how->read_only = true;
        f->fd = open_flags(path, O_RDONLY | direct);
        code = errno;
    }
    if (f->fd >= 0) return true;
    if (code == EINVAL && direct) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    _("Could not open '%s': its file system has no direct I/O: leave out "
                      "cache.direct=on"),
                    path);
        return false;
    }
    return fail(error, code, path);
}

static const char not_a_device[] = N_(
    "'host_device' driver requires '%s' to be either a character or block device");

static bool examine(File *f, const char *path, GError **error)
{
    VitBlockOptions *how = &f->parent.how;
    struct stat st;
    struct statx stx;

    if (fstat(f->fd, &st) < 0) return fail(error, errno, path);
    if (S_ISREG(st.st_mode)) {
        f->parent.size = (uint64_t)st.st_size;
    } else if (S_ISBLK(st.st_mode)) {
        int sector = 512, read_only = 0;
        f->is_device = true;
        if (ioctl(f->fd, BLKGETSIZE64, &f->parent.size) < 0) return fail(error, errno, path);
        if (ioctl(f->fd, BLKSSZGET, &sector) == 0 && sector > 512)
            f->logical_block = (uint32_t)sector;
        if (ioctl(f->fd, BLKROGET, &read_only) == 0 && read_only && !how->read_only) {
            if (!how->auto_read_only) return fail(error, EROFS, path);
            how->read_only = true;
        }
    } else if (S_ISCHR(st.st_mode)) {
        off_t end = lseek(f->fd, 0, SEEK_END);
        f->is_device = true;
        f->parent.size = end > 0 ? (uint64_t)end : 0;
    }
    bool wants_device = f->parent.driver == &vit_block_host_device_driver;
    if (wants_device ? !f->is_device : !f->is_device && !S_ISREG(st.st_mode)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    wants_device ? _(not_a_device)
                                 : _("'file' driver requires '%s' to be a regular file"),
                    path);
        return false;
    }
    fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_NONBLOCK);
    if (how->direct) {
        f->memory_align = f->offset_align = 4096;
        if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
            (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
            f->memory_align = MAX(stx.stx_dio_mem_align, 1);
            f->offset_align = MIN(MAX(stx.stx_dio_offset_align, 512), 65536);
        }
    }
    return true;
}

static bool open_path(File *f, GError **error)
{
    VitBlockOptions *how = &f->parent.how;

    return open_fd(f, f->parent.filename, error) && examine(f, f->parent.filename, error) &&
           (!f->lock || how->force_share ||
            vit_block_lock_file(f->fd, f->parent.filename, !how->read_only, error));
}

static bool file_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    static const char *const locking[] = { "auto", "on", "off", NULL };
    static const char *const aio[] = { "io_uring", "threads", "native", NULL };
    File *f = (File *)node;
    const char *path = vit_block_args_str(args, "filename");
    int lock = 0, how = 0;

    f->fd = -1;
    if (!vit_block_args_enum(args, "locking", locking, &lock, error) ||
        !vit_block_args_enum(args, "aio", aio, &how, error))
        return false;
    if (!path || !*path)
        return vit_block_args_fail_missing(args, "filename", error,
                                           _("The '%s' block driver requires a file name"),
                                           node->driver->name);
    if (how == 2 && !node->how.direct)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("aio=native was specified, but it requires cache.direct=on, which "
                                "was not specified."));
    g_free(node->filename);
    node->filename = g_strdup(path);
    f->logical_block = 512;
    f->memory_align = f->offset_align = 1;
    f->no_flush = node->how.no_flush;
    f->lock = lock != 2;
    f->threads = how == 1;
    g_queue_init(&f->waiting);
    g_queue_init(&f->free_ops);
    if (!open_path(f, error)) {
        if (f->fd >= 0) close(f->fd);
        return false;
    }
    f->discard = node->how.discard && !node->how.read_only;
    file_attach(node);
    return true;
}

static int file_reopen(VitBlockNode *node, bool read_only)
{
    File *f = (File *)node;
    int flags = (read_only ? O_RDONLY : O_RDWR) | (node->how.direct ? O_DIRECT : 0);
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", f->fd);
    int fd = open_flags(self, flags); /* the same file, whatever its name leads to by now */

    if (fd < 0) return -errno;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    int old = f->fd;
    bool lock = f->lock && !node->how.force_share;
    if (lock) vit_block_unlock_file(old);
    if (lock && !vit_block_lock_file(fd, node->filename, !read_only, NULL)) {
        close(fd);
        return vit_block_lock_file(old, node->filename, read_only, NULL) ? -EBUSY : -EIO;
    }
    file_detach(node);
    close(old);
    f->fd = fd;
    file_attach(node);
    f->discard = node->how.discard && !read_only;
    return 0;
}

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

static int file_copy_range(VitBlockNode *node, uint64_t offset, VitBlockNode *from,
                           uint64_t from_offset, uint64_t bytes)
{
    File *f = (File *)node;

    if (from->driver != node->driver || f->is_device || ((File *)from)->is_device) return -ENOTSUP;
    CopyRange c = { .from_fd = ((File *)from)->fd,
                    .to_fd = f->fd,
                    .from = from_offset,
                    .to = offset,
                    .bytes = bytes };
    vit_fiber_offload(node->thread, copy_range, &c);
    if (c.result == 0) node->size = MAX(node->size, offset + bytes);
    return c.result;
}

/* ---- size and holes -------------------------------------------------------------------------- */

static int file_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    File *f = (File *)node;
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

static int resize(VitIoThread *thread, Resize *r)
{
    vit_fiber_offload(thread, set_size, r);
    if (r->result < 0) return r->result;
    int result = preallocate(thread, r);
    if (result < 0) {
        r->to = r->from;
        vit_fiber_offload(thread, set_size, r); /* the first error is the one to tell */
    }
    return result;
}

static bool file_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                          GError **error)
{
    File *f = (File *)node;
    Resize r = { .fd = f->fd, .from = node->size, .to = size, .prealloc = prealloc };

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
    int result = resize(node->thread, &r);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not resize “%s”"), node->filename);
    node->size = size;
    return true;
}

static const VitBlockOption create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "preallocation", VIT_OPT_STRING, "Preallocation mode (allowed values: off, falloc, full)",
      "off", false },
    { "nocow", VIT_OPT_BOOL, "Turn off copy-on-write (valid only on btrfs)", NULL, false },
    { "extent_size_hint", VIT_OPT_SIZE, "Extent size hint for the image file, 0 to disable", NULL,
      false },
    { .name = NULL },
};

/* Hints to the file system, which may have no ear for them. */
static void hint(int fd, bool nocow, uint64_t extent_size)
{
    struct fsxattr attributes;
    int flags;

    if (nocow && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    if (extent_size && extent_size <= UINT32_MAX &&
        ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0) {
        attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
        attributes.fsx_extsize = (uint32_t)extent_size;
        (void)ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
    }
}

static bool file_create(VitBlockCreate *create, GError **error)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full", NULL };
    int mode = VIT_PREALLOC_OFF, fd;
    uint64_t extent_size = 0;
    bool nocow = false;

    if (!vit_block_args_enum(create->options, "preallocation", modes, &mode, error) ||
        !vit_block_args_size(create->options, "extent_size_hint", &extent_size, error) ||
        !vit_block_args_bool(create->options, "nocow", &nocow, error))
        return false;
    if (mode == VIT_PREALLOC_METADATA)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unsupported preallocation mode 'metadata'"));
    do fd = open(create->filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return vit_block_fail_errno(error, -errno, _("Could not create '%s'"), create->filename);
    struct stat st;
    if (fstat(fd, &st) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode))) {
        close(fd);
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s” is neither a regular file nor a block device"),
                              create->filename);
    }
    bool good = vit_block_lock_file(fd, create->filename, true, error);
    if (good && S_ISREG(st.st_mode)) {
        Resize r = { .fd = fd, .to = create->size, .prealloc = (VitPrealloc)mode };
        hint(fd, nocow, extent_size);
        bool emptied = ftruncate(fd, 0) == 0; /* only now: another's image is refused untouched */
        int result = emptied ? resize(create->thread, &r) : -errno;
        if (result == -EFBIG)
            good = vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                                  _("The image size is too large for file format '%s'"),
                                  create->format ?: create->driver->name);
        else if (result < 0)
            good = vit_block_fail_errno(error, result,
                                        _("Could not create '%s' with %" PRIu64 " bytes"),
                                        create->filename, create->size);
        if (result < 0 && emptied) vit_block_remove_file(create->filename);
    }
    close(fd);
    return good;
}

/* A device is there already. */
static bool device_create(VitBlockCreate *create, GError **error)
{
    g_autoptr(GError) why = NULL;
    struct stat st;

    if (stat(create->filename, &st) < 0)
        vit_block_fail_errno(&why, -errno, _("Could not open '%s'"), create->filename);
    else if (!S_ISBLK(st.st_mode))
        vit_block_fail(&why, VIT_BLOCK_ERROR_INVALID, _(not_a_device), create->filename);
    if (!why) return file_create(create, error);
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Protocol driver 'host_device' does not support creating new images, "
                            "so an existing image must be selected as the target; however, "
                            "opening the given target as an existing image failed: %s"),
                          why->message);
}

static const char *const file_protocols[] = { "file", NULL };
static const char *const device_protocols[] = { "host_device", NULL };

/* What files and devices have in common: all but their names. */
#define FILE_HOOKS                                                                                 \
    .kind = VIT_BLOCK_PROTOCOL, .instance_size = sizeof(File), .create_options = create_options,   \
    .co_open = file_open, .co_close = file_close, .co_reopen = file_reopen,                        \
    .try_submit = file_submit, .info = file_info, .co_status = file_status,                        \
    .co_copy_range = file_copy_range, .co_truncate = file_truncate, .plug = file_plug,             \
    .detach = file_detach, .attach = file_attach

const VitBlockDriver vit_block_file_driver = {
    .name = "file",
    .co_create = file_create,
    .protocols = file_protocols,
    FILE_HOOKS,
};

const VitBlockDriver vit_block_host_device_driver = {
    .name = "host_device",
    .co_create = device_create,
    .protocols = device_protocols,
    FILE_HOOKS,
};
