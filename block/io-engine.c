/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/io-engine.c - see io-engine.h.  io_uring(7) through liburing, completions by eventfd(2) */
#include "block/io-engine.h"

#include "block/cache-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING_ENTRIES = 128, WORKERS = 4, LARGE = 256 << 10 /* bytes */ };

struct VitIoEngine {
    VitIoThread *thread;        /* borrowed */
    int          fd;            /* borrowed */
    /* io_uring */
    struct io_uring ring;
    int          event_fd;      /* -1: worker threads */
    VitIoWatch  *watch;
    GQueue       waiting;       /* of VitIo*, while the ring is full */
    unsigned     queued;        /* entries in the submission ring that the kernel has not taken */
    unsigned     in_flight;
    unsigned     plugged;
    bool         retry_queued;
    bool         buffered;      /* through the page cache */
    bool         completing;    /* in completed(); what runs there may free the engine */
    bool         dead;          /* to be freed when completed() has ended */
    /* worker threads */
    GThreadPool *pool;          /* owned; NULL: io_uring */
    VitCacheWriter *writer;     /* owned; NULL unless it is a regular file, and buffered */
};

/* ---- io_uring -------------------------------------------------------------------------------- */

static void push(VitIoEngine *e);

static void retry(void *opaque)
{
    VitIoEngine *e = opaque;
    e->retry_queued = false;
    push(e);
}

/* Gives the kernel what is in the submission ring. */
static void push(VitIoEngine *e)
{
    while (e->queued > 0) {
        int taken = io_uring_submit(&e->ring);
        if (taken > 0) {
            e->queued -= MIN((unsigned) taken, e->queued);
        } else if (taken != -EINTR) {
            /* Out of memory or out of completion room: it will take them when others have ended. */
            if (!e->retry_queued) {
                e->retry_queued = true;
                vit_io_thread_call(e->thread, retry, e);
            }
            return;
        }
    }
}

static bool is_large(const VitIo *io)
{
    size_t bytes = 0;

    if (io->kind != VIT_IO_READ && io->kind != VIT_IO_WRITE) return false;
    for (int i = 0; i < io->niov && bytes < LARGE; i++) bytes += io->iov[i].iov_len;
    return bytes >= LARGE;
}

static bool prepare(VitIoEngine *e, VitIo *io)
{
    struct io_uring_sqe *sqe = e->in_flight < RING_ENTRIES ? io_uring_get_sqe(&e->ring) : NULL;

    if (!sqe)
        return false;
    /* One buffer needs no list that the kernel would have to copy. */
    bool single = io->niov == 1 && io->iov->iov_len <= INT32_MAX;
    switch (io->kind) {
    case VIT_IO_READ:
        if (single)
            io_uring_prep_read(sqe, e->fd, io->iov->iov_base, (unsigned) io->iov->iov_len,
                               io->offset);
        else
            io_uring_prep_readv(sqe, e->fd, io->iov, (unsigned) io->niov, io->offset);
        break;
    case VIT_IO_WRITE:
        if (single)
            io_uring_prep_write(sqe, e->fd, io->iov->iov_base, (unsigned) io->iov->iov_len,
                                io->offset);
        else
            io_uring_prep_writev(sqe, e->fd, io->iov, (unsigned) io->niov, io->offset);
        sqe->rw_flags = io->durable ? RWF_DSYNC : 0;
        break;
    case VIT_IO_SYNC:
        io_uring_prep_fsync(sqe, e->fd, IORING_FSYNC_DATASYNC);
        break;
    case VIT_IO_ALLOCATE:
        io_uring_prep_fallocate(sqe, e->fd, io->mode, io->offset, io->bytes);
        break;
    }
    /* Copying so much to or from the page cache takes longer than handing it to another core. */
    if (e->buffered && is_large(io)) sqe->flags |= IOSQE_ASYNC;
    io_uring_sqe_set_data(sqe, io);
    e->queued++;
    e->in_flight++;
    return true;
}

static void completed(void *opaque, GIOCondition ready)
{
    VitIoEngine *e = opaque;
    struct io_uring_cqe *cqe;
    uint64_t count;

    if (read(e->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    VitIoThread *thread = e->thread;
    vit_io_engine_plug(e, true); /* what done() submits goes to the kernel in one call */
    e->completing = true;
    vit_io_thread_burst(thread, true);
    while (!e->dead && io_uring_peek_cqe(&e->ring, &cqe) == 0) {
        VitIo *io = io_uring_cqe_get_data(cqe);
        io->result = cqe->res;
        io_uring_cqe_seen(&e->ring, cqe);
        e->in_flight--;
        io->done(io);
    }
    vit_io_thread_burst(thread, false);
    e->completing = false;
    if (e->dead) {
        vit_io_engine_free(e);
        return;
    }
    while (!g_queue_is_empty(&e->waiting) && prepare(e, g_queue_peek_head(&e->waiting)))
        g_queue_pop_head(&e->waiting);
    vit_io_engine_plug(e, false);
}

static bool start_ring(VitIoEngine *e)
{
    /* What ends need not interrupt the thread: it is in the kernel often enough (Linux 5.19). */
    if (io_uring_queue_init(RING_ENTRIES, &e->ring, IORING_SETUP_COOP_TASKRUN) < 0 &&
        io_uring_queue_init(RING_ENTRIES, &e->ring, 0) < 0)
        return false;
    e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct io_uring_probe *probe = io_uring_get_probe_ring(&e->ring);
    bool good = e->event_fd >= 0 && probe && io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                io_uring_opcode_supported(probe, IORING_OP_FALLOCATE) &&
                io_uring_register_eventfd(&e->ring, e->event_fd) == 0;
    io_uring_free_probe(probe);
    if (!good) {
        if (e->event_fd >= 0)
            close(e->event_fd);
        e->event_fd = -1;
        io_uring_queue_exit(&e->ring);
        return false;
    }
    e->watch = vit_io_watch_new(e->thread, e->event_fd, G_IO_IN, completed, e);
    return true;
}

/* ---- worker threads -------------------------------------------------------------------------- */

static void worker_done(void *opaque)
{
    VitIo *io = opaque;
    io->done(io);
}

static void work(void *data, void *user_data)
{
    VitIo *io = data;
    VitIoEngine *e = user_data;
    ssize_t result = 0;

    do {
        switch (io->kind) {
        case VIT_IO_READ:
            result = preadv(e->fd, io->iov, io->niov, (off_t) io->offset);
            break;
        case VIT_IO_WRITE:
            result = pwritev2(e->fd, io->iov, io->niov, (off_t)io->offset,
                              io->durable ? RWF_DSYNC : 0);
            break;
        case VIT_IO_SYNC:
            result = fdatasync(e->fd);
            break;
        case VIT_IO_ALLOCATE:
            result = fallocate(e->fd, io->mode, (off_t) io->offset, (off_t) io->bytes);
            break;
        }
    } while (result < 0 && errno == EINTR);
    io->result = result < 0 ? -errno : result;
    vit_io_thread_call(e->thread, worker_done, io);
}

/* ---- both ------------------------------------------------------------------------------------ */

VitIoEngine *vit_io_engine_new(VitIoThread *thread, int fd, bool threads)
{
    VitIoEngine *e = g_new0(VitIoEngine, 1);
    e->thread = thread;
    e->fd = fd;
    e->event_fd = -1;
    e->buffered = !(fcntl(fd, F_GETFL) & O_DIRECT);
    struct stat st;
    if (e->buffered && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        e->writer = vit_cache_writer_new(thread, fd);
    g_queue_init(&e->waiting);
    if (threads || !start_ring(e))
        e->pool = g_thread_pool_new(work, e, WORKERS, FALSE, NULL);
    return e;
}

void vit_io_engine_free(VitIoEngine *e)
{
    if (!e)
        return;
    if (e->completing) {
        e->dead = true;
        return;
    }
    while (e->retry_queued)
        g_main_context_iteration(vit_io_thread_context(e->thread), TRUE);
    vit_cache_writer_free(e->writer);
    if (e->pool) {
        g_thread_pool_free(e->pool, FALSE, TRUE);
    } else {
        vit_io_watch_free(e->watch);
        io_uring_queue_exit(&e->ring);
        close(e->event_fd);
    }
    g_free(e);
}

void vit_io_engine_submit(VitIoEngine *e, VitIo *io)
{
    io->engine = e;
    /* Durable ones wait for the disk, which they do together. */
    if (e->writer && io->kind == VIT_IO_WRITE && !io->durable) {
        vit_cache_writer_submit(e->writer, io);
        return;
    }
    if (e->pool) {
        g_thread_pool_push(e->pool, io, NULL);
        return;
    }
    if (!g_queue_is_empty(&e->waiting) || !prepare(e, io))
        g_queue_push_tail(&e->waiting, io);
    if (e->plugged == 0)
        push(e);
}

void vit_io_engine_plug(VitIoEngine *e, bool on)
{
    if (on)
        e->plugged++;
    else if (--e->plugged == 0)
        push(e);
    if (e->writer) vit_cache_writer_plug(e->writer, on);
}
