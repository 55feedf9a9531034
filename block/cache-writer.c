/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/cache-writer.c - see cache-writer.h
 *
 * A regular file takes one write through the page cache at a time: the kernel holds the inode's
 * lock while it copies, and others spin.  io_uring would give each write to a kernel thread of its
 * choice, since most file systems cannot say whether it would wait.  Here they are copied where
 * they were submitted, which takes less than waking anyone; only much at once is for a thread of
 * the file, which leaves the rest of the work to other processors.  When a write had to wait (too
 * much is dirty, or a page had to be read first), the thread gets all of them for a while. */
#include "block/cache-writer.h"

#include <errno.h>
#include <unistd.h>

enum { AT_ONCE = 256 << 10 };    /* bytes that are copied on the iothread */
enum { LOOK = 8 };              /* writes from one look at the clock to the next */
enum { WAITED = 250, PAUSE = 1000, PAUSE_MOST = 1000000 }; /* microseconds */
enum { PART = 16 };             /* writes that the thread tells of at once */

typedef struct {
    VitIo *first, **end;    /* linked by next; end is valid when there is a first */
    unsigned n;
    size_t bytes;
} List;

struct VitCacheWriter {
    VitIoThread *thread;    /* borrowed */
    int fd;                 /* borrowed */
    int no_wait;            /* RWF_NOWAIT until the file system does not know it */
    GThreadPool *pool;      /* owned; of one thread; NULL until it is needed */
    List plugged_writes;    /* submitted since plug */
    List copied;            /* on the iothread, not told yet */
    unsigned plugged;
    unsigned handed_over;   /* writes the pool has, or that are on their way back */
    int64_t hand_over;      /* all of them until then, a time of g_get_monotonic_time() */
    int64_t pause;          /* how long that is */
    bool telling;           /* what done() does may free the writer */
    bool dead;              /* to be freed when all is told */
};

static void append(List *list, VitIo *io)
{
    io->next = NULL;
    if (list->first) *list->end = io;
    else list->first = io;
    list->end = &io->next;
    list->n++;
    for (int i = 0; i < io->niov; i++) list->bytes += io->iov[i].iov_len;
}

static int64_t write_one(const VitCacheWriter *w, const VitIo *io, int flags)
{
    ssize_t result;

    do {
        result = io->niov == 1 && !flags
                     ? pwrite(w->fd, io->iov->iov_base, io->iov->iov_len, (off_t)io->offset)
                     : pwritev2(w->fd, io->iov, io->niov, (off_t)io->offset, flags);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

/* ---- telling, on the iothread ---------------------------------------------------------------- */

static void tell(VitCacheWriter *w, VitIo *next)
{
    VitIoThread *thread = w->thread;

    vit_io_thread_burst(thread, true);
    w->telling = true;
    w->plugged++; /* what done() submits is one lot */
    while (next) {
        VitIo *io = next;
        next = io->next;
        io->done(io);
    }
    w->telling = false;
    if (w->dead) vit_cache_writer_free(w);
    else vit_cache_writer_plug(w, false);
    vit_io_thread_burst(thread, false);
}

static void tell_copied(void *opaque)
{
    VitCacheWriter *w = opaque;
    VitIo *first = w->copied.first;

    w->copied = (List){ 0 };
    tell(w, first);
}

static void tell_written(void *opaque)
{
    VitIo *first = opaque;
    VitCacheWriter *w = first->writer;

    for (const VitIo *io = first; io; io = io->next) w->handed_over--;
    tell(w, first);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Tells in parts, so that what follows them is here before the thread has nothing left to do. */
static void write_list(void *data, void *user_data)
{
    VitCacheWriter *w = user_data;
    VitIo *next = data;

    while (next) {
        VitIo *first = next, *last = next;
        for (unsigned n = 0; next && n < PART; n++) {
            last = next;
            next = last->next;
            last->result = write_one(w, last, 0);
        }
        last->next = NULL;
        vit_io_thread_call(w->thread, tell_written, first);
    }
}

static void hand_over(VitCacheWriter *w, const List *list)
{
    if (!w->pool) w->pool = g_thread_pool_new(write_list, w, 1, FALSE, NULL);
    w->handed_over += list->n;
    g_thread_pool_push(w->pool, list->first, NULL);
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Whether the write was done; what became of it is told later. */
static bool copy(VitCacheWriter *w, VitIo *io)
{
    int64_t result = write_one(w, io, w->no_wait);

    if (w->no_wait && result == -EOPNOTSUPP) {
        w->no_wait = 0;
        result = write_one(w, io, 0);
    }
    if (result == -EAGAIN) return false;
    io->result = result;
    if (!w->copied.first) vit_io_thread_call(w->thread, tell_copied, w);
    append(&w->copied, io);
    return true;
}

/* Whether writes since `then` had to wait; then the thread has the next ones for a while: at least
 * as long as they waited, and longer each time. */
static bool waited(VitCacheWriter *w, int64_t *then)
{
    int64_t now = g_get_monotonic_time(), start = *then;

    *then = now;
    if (now - start <= WAITED) return false;
    w->pause = start - w->hand_over < w->pause ? 2 * w->pause : PAUSE;
    w->pause = MIN(MAX(w->pause, now - start), PAUSE_MOST);
    w->hand_over = now + w->pause;
    return true;
}

static void copy_list(VitCacheWriter *w, const List *list, int64_t now)
{
    List rest = { 0 };
    unsigned n = 0;
    bool late = false;

    for (VitIo *io = list->first, *next; io; io = next) {
        next = io->next;
        if (late || !copy(w, io)) append(&rest, io);
        else if (++n % LOOK == 0 || !next) late = waited(w, &now);
    }
    if (rest.first) hand_over(w, &rest);
}

static void start(VitCacheWriter *w)
{
    List list = w->plugged_writes;

    w->plugged_writes = (List){ 0 };
    if (!list.first) return;
    if (w->handed_over == 0 && list.bytes <= AT_ONCE) {
        int64_t now = g_get_monotonic_time();
        if (now >= w->hand_over) {
            copy_list(w, &list, now);
            return;
        }
    }
    hand_over(w, &list);
}

void vit_cache_writer_submit(VitCacheWriter *w, VitIo *io)
{
    io->writer = w;
    append(&w->plugged_writes, io);
    if (w->plugged == 0) start(w);
}

void vit_cache_writer_plug(VitCacheWriter *w, bool on)
{
    if (on) w->plugged++;
    else if (--w->plugged == 0) start(w);
}

VitCacheWriter *vit_cache_writer_new(VitIoThread *thread, int fd)
{
    VitCacheWriter *w = g_new0(VitCacheWriter, 1);

    w->thread = thread;
    w->fd = fd;
    w->no_wait = RWF_NOWAIT;
    return w;
}

void vit_cache_writer_free(VitCacheWriter *w)
{
    if (!w) return;
    if (w->telling) {
        w->dead = true;
        return;
    }
    if (w->pool) g_thread_pool_free(w->pool, FALSE, TRUE);
    g_free(w);
}
