/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/fake-rbd.c - as much of librados's and librbd's interface as block/rbd.c calls, for
 * hosts where no Ceph cluster runs: a pool is a folder, an image a file in it
 *
 * As with the real ones requests are carried out, and their callbacks called, on threads of the
 * library's own, in any order; what reaches past the image's end is refused.  A program that shows
 * these functions to its modules does not use the real libraries. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include <rados/librados.h>
#include <rbd/librbd.h>
#pragma GCC visibility pop

enum { THREADS = 3, SLOWEST_US = 300 };

typedef struct {
    int fd;
    GThreadPool *threads; /* owned */
} Image;

typedef enum { READ, WRITE, FLUSH, ZEROES } Op;

typedef struct {
    rbd_callback_t callback;
    void *opaque;
    Op op;
    const struct iovec *iov; /* borrowed until the callback */
    int niov;
    uint64_t offset, bytes;
    ssize_t result;
} Completion;

/* ---- the cluster ----------------------------------------------------------------------------- */

int rados_create(rados_t *cluster, const char *const id)
{
    *cluster = g_malloc(1);
    return 0;
}

int rados_conf_read_file(rados_t cluster, const char *path)
{
    return path ? -ENOENT : 0;
}

int rados_conf_set(rados_t cluster, const char *option, const char *value)
{
    return 0;
}

int rados_connect(rados_t cluster)
{
    return 0;
}

void rados_shutdown(rados_t cluster)
{
    g_free(cluster);
}

int rados_ioctx_create(rados_t cluster, const char *pool, rados_ioctx_t *io)
{
    *io = g_strdup(pool);
    return 0;
}

void rados_ioctx_set_namespace(rados_ioctx_t io, const char *space) {}

void rados_ioctx_destroy(rados_ioctx_t io)
{
    g_free(io);
}

/* ---- requests -------------------------------------------------------------------------------- */

static ssize_t zero(const Image *i, const Completion *c)
{
    g_autofree char *zeroes = g_malloc0(c->bytes);

    return pwrite(i->fd, zeroes, c->bytes, (off_t)c->offset);
}

static ssize_t carry_out(const Image *i, const Completion *c)
{
    switch (c->op) {
    case READ: return preadv(i->fd, c->iov, c->niov, (off_t)c->offset);
    case WRITE: return pwritev(i->fd, c->iov, c->niov, (off_t)c->offset);
    case FLUSH: return fdatasync(i->fd);
    case ZEROES: return zero(i, c);
    }
    g_assert_not_reached();
}

static void work(void *data, void *opaque)
{
    Completion *c = data;
    struct stat facts;
    Image *i = opaque;

    g_usleep((gulong)g_random_int_range(0, SLOWEST_US));
    if (fstat(i->fd, &facts) < 0) c->result = -errno;
    else if (c->offset + c->bytes > (uint64_t)facts.st_size) c->result = -EINVAL;
    else if ((c->result = carry_out(i, c)) < 0) c->result = -errno;
    c->callback(c, c->opaque);
}

int rbd_aio_create_completion(void *opaque, rbd_callback_t callback, rbd_completion_t *completion)
{
    Completion *c = g_new0(Completion, 1);

    c->callback = callback;
    c->opaque = opaque;
    *completion = c;
    return 0;
}

ssize_t rbd_aio_get_return_value(rbd_completion_t completion)
{
    return ((Completion *)completion)->result;
}

void rbd_aio_release(rbd_completion_t completion)
{
    g_free(completion);
}

static int begin(rbd_image_t image, Completion *c, Op op, uint64_t offset, uint64_t bytes)
{
    c->op = op;
    c->offset = offset;
    c->bytes = bytes;
    g_thread_pool_push(((Image *)image)->threads, c, NULL);
    return 0;
}

static int begin_iov(rbd_image_t image, Completion *c, Op op, uint64_t offset,
                     const struct iovec *iov, int niov)
{
    uint64_t bytes = 0;

    for (int i = 0; i < niov; i++) bytes += iov[i].iov_len;
    c->iov = iov;
    c->niov = niov;
    return begin(image, c, op, offset, bytes);
}

int rbd_aio_readv(rbd_image_t image, const struct iovec *iov, int niov, uint64_t offset,
                  rbd_completion_t c)
{
    return begin_iov(image, c, READ, offset, iov, niov);
}

int rbd_aio_writev(rbd_image_t image, const struct iovec *iov, int niov, uint64_t offset,
                   rbd_completion_t c)
{
    return begin_iov(image, c, WRITE, offset, iov, niov);
}

int rbd_aio_flush(rbd_image_t image, rbd_completion_t c)
{
    return begin(image, c, FLUSH, 0, 0);
}

int rbd_aio_discard(rbd_image_t image, uint64_t offset, uint64_t bytes, rbd_completion_t c)
{
    return begin(image, c, ZEROES, offset, bytes);
}

int rbd_aio_write_zeroes(rbd_image_t image, uint64_t offset, size_t bytes, rbd_completion_t c,
                         int zero_flags, int op_flags)
{
    return begin(image, c, ZEROES, offset, bytes);
}

/* ---- images ---------------------------------------------------------------------------------- */

static int open_image(rados_ioctx_t io, const char *name, int flags, rbd_image_t *image)
{
    g_autofree char *path = g_build_filename(io, name, NULL);
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0) return -errno;
    Image *i = g_new0(Image, 1);
    i->fd = fd;
    i->threads = g_thread_pool_new(work, i, THREADS, FALSE, NULL);
    *image = i;
    return 0;
}

int rbd_open(rados_ioctx_t io, const char *name, rbd_image_t *image, const char *snapshot)
{
    return open_image(io, name, O_RDWR, image);
}

int rbd_open_read_only(rados_ioctx_t io, const char *name, rbd_image_t *image, const char *snapshot)
{
    return open_image(io, name, O_RDONLY, image);
}

int rbd_close(rbd_image_t image)
{
    Image *i = image;

    g_thread_pool_free(i->threads, FALSE, TRUE);
    close(i->fd);
    g_free(i);
    return 0;
}

int rbd_resize(rbd_image_t image, uint64_t size)
{
    g_usleep((gulong)g_random_int_range(0, SLOWEST_US));
    return ftruncate(((Image *)image)->fd, (off_t)size) < 0 ? -errno : 0;
}

int rbd_get_size(rbd_image_t image, uint64_t *size)
{
    struct stat facts;

    if (fstat(((Image *)image)->fd, &facts) < 0) return -errno;
    *size = (uint64_t)facts.st_size;
    return 0;
}

int rbd_create(rados_ioctx_t io, const char *name, uint64_t size, int *order)
{
    rbd_image_t image;
    int code = open_image(io, name, O_RDWR | O_CREAT | O_EXCL, &image);

    if (code < 0) return code;
    code = rbd_resize(image, size);
    rbd_close(image);
    return code;
}
