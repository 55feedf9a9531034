/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file/request.c - a request of a local file
 *
 * It becomes a chain of steps (system calls) until all of its bytes have moved: short transfers are
 * continued; under O_DIRECT, pieces that the host cannot take as they lie go through an aligned
 * buffer, and a piecewise write of a host block has the file to itself. */
#include "block/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20, ZEROES = 1 << 16, INLINE_IOV = 8, FREE_OPS = 64 };

typedef enum { MOVE, BOUNCE_READ, BOUNCE_FILL, BOUNCE_WRITE, ALLOCATE, SYNC } Stage;

typedef struct VitFileOp Op;
struct VitFileOp {
    VitIo io;        /* first member */
    VitFile *file;
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
    Op *next;           /* while it is free */
};

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
    const VitFile *f = op->file;
    uint64_t memory = 0, where = op->io.offset;

    if (f->memory_align <= 1 && f->offset_align <= 1) return true;
    for (int i = 0; i < op->io.niov; i++) {
        memory |= (uintptr_t)op->io.iov[i].iov_base;
        where |= op->io.iov[i].iov_len;
    }
    return (memory & (f->memory_align - 1)) == 0 && (where & (f->offset_align - 1)) == 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

static bool wants_file_to_itself(const VitFile *f, const VitBlockRequest *req)
{
    return (req->op == VIT_BLOCK_WRITE || req->op == VIT_BLOCK_WRITE_ZEROES) &&
           ((req->offset | req->bytes) & (f->offset_align - 1)) != 0;
}

static bool may_start(const VitFile *f, const Op *op)
{
    return !f->exclusive && (!op->exclusive || f->running == 0);
}

static void start(Op *op)
{
    op->file->exclusive = op->exclusive;
    op->file->running++;
    step(op);
}

static void start_waiting(VitFile *f)
{
    Op *op;

    while ((op = g_queue_peek_head(&f->waiting)) && may_start(f, op)) {
        g_queue_pop_head(&f->waiting);
        start(op);
    }
}

static Op *take_op(VitFile *f)
{
    Op *op = f->free_ops;

    if (!op) return g_new(Op, 1);
    f->free_ops = op->next;
    f->n_free_ops--;
    return op;
}

static void give_op(VitFile *f, Op *op)
{
    if (f->n_free_ops == FREE_OPS) {
        g_free(op);
        return;
    }
    op->next = f->free_ops;
    f->free_ops = op;
    f->n_free_ops++;
}

void vit_file_free_ops(VitFile *f)
{
    while (f->free_ops) g_free(take_op(f));
}

static void end(Op *op, int result, bool later)
{
    VitFile *f = op->file;
    VitBlockRequest *req = op->req;

    g_clear_pointer(&op->own_iov, g_free);
    g_clear_pointer(&op->bounce, free);
    f->running--;
    if (op->exclusive) f->exclusive = false;
    give_op(f, op);
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
    VitFile *f = op->file;
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
    VitFile *f = op->file;
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
    VitFile *f = op->file;
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
    VitFile *f = op->file;
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
    VitFile *f = op->file;
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

bool vit_file_submit(VitBlockNode *node, VitBlockRequest *req)
{
    VitFile *f = (VitFile *)node;

    if ((req->op == VIT_BLOCK_FLUSH && (f->no_flush || f->parent.how.read_only)) ||
        (req->op == VIT_BLOCK_DISCARD && (!f->discard || f->no_punch))) {
        vit_block_complete_later(req, 0);
        return true;
    }
    Op *op = take_op(f);
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
    if (g_queue_is_empty(&f->waiting) && may_start(f, op)) start(op);
    else g_queue_push_tail(&f->waiting, op);
    return true;
}
