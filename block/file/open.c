/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file/open.c - the protocol nodes of local files and block devices: opening and options */
#include "block/drivers.h"
#include "block/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void file_info(VitBlockNode *node, VitBlockInfo *info)
{
    const VitFile *f = (VitFile *)node;

    info->logical_block = f->logical_block;
    info->request_alignment = MAX(f->offset_align, f->memory_align);
    info->can_discard = f->discard && !f->no_punch;
    info->zero_init = !f->is_device;
}

static void file_plug(VitBlockNode *node, bool on)
{
    vit_io_engine_plug(((VitFile *)node)->engine, on);
}

static void file_detach(VitBlockNode *node)
{
    g_clear_pointer(&((VitFile *)node)->engine, vit_io_engine_free);
}

static void file_attach(VitBlockNode *node)
{
    VitFile *f = (VitFile *)node;
    f->engine = vit_io_engine_new(node->thread, f->fd, f->threads);
}

static void file_close(VitBlockNode *node)
{
    VitFile *f = (VitFile *)node;

    file_detach(node);
    vit_file_free_ops(f);
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

static bool open_fd(VitFile *f, const char *path, GError **error)
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

static bool examine(VitFile *f, const char *path, GError **error)
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

static bool open_path(VitFile *f, GError **error)
{
    VitBlockOptions *how = &f->parent.how;

    return open_fd(f, f->parent.filename, error) && examine(f, f->parent.filename, error) &&
           (!f->lock || how->force_share ||
            vit_block_lock_file(f->fd, f->parent.filename, !how->read_only,
                                how->share && how->read_only, error));
}

static bool file_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    static const char *const locking[] = { "auto", "on", "off", NULL };
    static const char *const aio[] = { "io_uring", "threads", "native", NULL };
    VitFile *f = (VitFile *)node;
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
    VitFile *f = (VitFile *)node;
    int flags = (read_only ? O_RDONLY : O_RDWR) | (node->how.direct ? O_DIRECT : 0);
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", f->fd);
    int fd = open_flags(self, flags); /* the same file, whatever its name leads to by now */

    if (fd < 0) return -errno;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    int old = f->fd;
    bool lock = f->lock && !node->how.force_share, share = node->how.share;
    if (lock) vit_block_unlock_file(old);
    if (lock && !vit_block_lock_file(fd, node->filename, !read_only, share && read_only, NULL)) {
        close(fd);
        bool back = vit_block_lock_file(old, node->filename, read_only, share && !read_only, NULL);
        return back ? -EBUSY : -EIO;
    }
    file_detach(node);
    close(old);
    f->fd = fd;
    file_attach(node);
    f->discard = node->how.discard && !read_only;
    return 0;
}

static bool file_unshare(VitBlockNode *node, GError **error)
{
    VitFile *f = (VitFile *)node;

    return !f->lock || node->how.force_share ||
           vit_block_lock_file(f->fd, node->filename, !node->how.read_only, false, error);
}

/* ---- drivers --------------------------------------------------------------------------------- */

/* A device is there already. */
static bool device_create(VitBlockCreate *create, GError **error)
{
    g_autoptr(GError) why = NULL;
    struct stat st;

    if (stat(create->filename, &st) < 0)
        vit_block_fail_errno(&why, -errno, _("Could not open '%s'"), create->filename);
    else if (!S_ISBLK(st.st_mode))
        vit_block_fail(&why, VIT_BLOCK_ERROR_INVALID, _(not_a_device), create->filename);
    if (!why) return vit_file_create(create, error);
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
    .kind = VIT_BLOCK_PROTOCOL, .instance_size = sizeof(VitFile),                                  \
    .create_options = vit_file_create_options, .co_open = file_open, .co_close = file_close,       \
    .co_reopen = file_reopen, .co_unshare = file_unshare, .try_submit = vit_file_submit,           \
    .info = file_info, .co_status = vit_file_status, .co_copy_range = vit_file_copy_range,         \
    .co_truncate = vit_file_truncate, .plug = file_plug, .detach = file_detach,                    \
    .attach = file_attach

const VitBlockDriver vit_block_file_driver = {
    .name = "file",
    .co_create = vit_file_create,
    .protocols = file_protocols,
    FILE_HOOKS,
};

const VitBlockDriver vit_block_host_device_driver = {
    .name = "host_device",
    .co_create = device_create,
    .protocols = device_protocols,
    FILE_HOOKS,
};
