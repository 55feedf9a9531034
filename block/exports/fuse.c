/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/fuse.c - a node as a regular file, by FUSE
 *
 * The mount point is a file; it shows the node's bytes as long as the export lives.  Requests are
 * read on the node's thread and answered when the node is done with them.  What must look before it
 * acts runs on a fiber. */
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)
#include "block/co.h"
#include "block/driver.h"
#include "block/export.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <glib/gi18n-lib.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_MOVE = 1 << 20, MAX_IN_FLIGHT = 256, SPARE_BUFFERS = 32, MAX_STEPS = 1 << 20 };

typedef enum { OTHER_AUTO, OTHER_ON, OTHER_OFF } AllowOther;

typedef struct {
    VitBlockExport parent;
    VitIoThread *thread; /* borrowed */
    struct fuse_session *session; /* owned */
    VitIoWatch *watch; /* owned; NULL: nothing is served */
    char *mount_point; /* owned */
    bool growable, mounted;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct fuse_buf buf; /* the request just read; mem is owned */
    GQueue spare; /* of void*: memory for buf.mem */
    unsigned in_flight;
    VitFiberCond idle;
} Fuse;

typedef struct { /* one request under way */
    VitBlockRequest req;
    Fuse *fuse; /* borrowed */
    fuse_req_t asked; /* to be answered once */
    struct iovec iov;
    void *memory; /* owned: of buf.mem, or of a read */
    bool flush_only;
    int mode, whence; /* fallocate, lseek */
    uint64_t offset, bytes;
    bool set_size;
} Op;

/* ---- the life of a request ------------------------------------------------------------------- */

static void update_watch(Fuse *f)
{
    if (f->watch) vit_io_watch_set(f->watch, f->in_flight < MAX_IN_FLIGHT ? G_IO_IN : 0);
}

static Op *new_op(Fuse *f, fuse_req_t asked)
{
    Op *op = g_new0(Op, 1);

    op->fuse = f;
    op->asked = asked;
    if (++f->in_flight == MAX_IN_FLIGHT) update_watch(f);
    return op;
}

static void end_op(Op *op)
{
    Fuse *f = op->fuse;

    if (op->memory && op->req.op == VIT_BLOCK_WRITE &&
        g_queue_get_length(&f->spare) < SPARE_BUFFERS)
        g_queue_push_tail(&f->spare, op->memory);
    else free(op->memory);
    g_free(op);
    if (f->in_flight-- == MAX_IN_FLIGHT) update_watch(f);
    if (f->in_flight == 0) vit_fiber_cond_wake_all(&f->idle);
}

static void done(VitBlockRequest *req)
{
    Op *op = req->opaque;

    if (req->result < 0) fuse_reply_err(op->asked, -req->result);
    else if (req->op == VIT_BLOCK_READ)
        fuse_reply_buf(op->asked, op->iov.iov_base, op->iov.iov_len);
    else if (req->op == VIT_BLOCK_WRITE) fuse_reply_write(op->asked, req->bytes);
    else fuse_reply_err(op->asked, 0);
    end_op(op);
}

static void submit(Op *op, VitBlockOp what, uint64_t offset, uint64_t bytes)
{
    Fuse *f = op->fuse;

    op->req = (VitBlockRequest){ .op = what,
                                 .offset = offset,
                                 .bytes = bytes,
                                 .iov = &op->iov,
                                 .niov = 1,
                                 .done = done,
                                 .opaque = op };
    if (what == VIT_BLOCK_WRITE && f->parent.writethrough) op->req.flags = VIT_BLOCK_FUA;
    vit_block_submit(f->parent.node, &op->req);
}

static void finish(Op *op, int result)
{
    fuse_reply_err(op->asked, -result);
    end_op(op);
}

static Fuse *fuse_of(fuse_req_t asked)
{
    return fuse_req_userdata(asked);
}

static uint64_t size_of(const Fuse *f)
{
    return vit_block_info(f->parent.node).size;
}

/* ---- what the file looks like ---------------------------------------------------------------- */

static void fill_stat(const Fuse *f, struct stat *st)
{
    uint64_t size = size_of(f);

    *st = (struct stat){ .st_ino = FUSE_ROOT_ID,
                         .st_mode = S_IFREG | f->mode,
                         .st_nlink = 1,
                         .st_uid = f->uid,
                         .st_gid = f->gid,
                         .st_size = (off_t)size,
                         .st_blocks = (blkcnt_t)((size + 511) / 512),
                         .st_blksize = 4096 };
    clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    st->st_atim = st->st_ctim = st->st_mtim;
}

static void on_getattr(fuse_req_t asked, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct stat st;

    fill_stat(fuse_of(asked), &st);
    fuse_reply_attr(asked, &st, 1.0);
}

static int resize(Fuse *f, uint64_t size, VitPrealloc prealloc)
{
    g_autoptr(GError) why = NULL;

    if (vit_co_truncate(f->parent.node, size, false, prealloc, &why)) return 0;
    return g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? -ENOSPC : -EIO;
}

static void size_fiber(void *opaque)
{
    Op *op = opaque;
    int result = resize(op->fuse, op->bytes, VIT_PREALLOC_OFF);
    struct stat st;

    if (result == 0) {
        fill_stat(op->fuse, &st);
        fuse_reply_attr(op->asked, &st, 1.0);
        end_op(op);
    } else {
        finish(op, result);
    }
}

static void on_setattr(fuse_req_t asked, fuse_ino_t ino, struct stat *attr, int what,
                       struct fuse_file_info *info)
{
    Fuse *f = fuse_of(asked);
    int known = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
    struct stat st;

    /* Times are not kept, but touching them is no error. */
    known |= FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
             FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;
    if (what & ~known) {
        fuse_reply_err(asked, ENOTSUP);
        return;
    }
    if ((what & FUSE_SET_ATTR_SIZE) && !f->parent.writable) {
        fuse_reply_err(asked, EACCES);
        return;
    }
    if ((what & FUSE_SET_ATTR_MODE) && !f->parent.writable &&
        (attr->st_mode & (S_IWUSR | S_IWGRP | S_IWOTH))) {
        fuse_reply_err(asked, EROFS);
        return;
    }
    if (what & FUSE_SET_ATTR_MODE) f->mode = attr->st_mode & 0777;
    if (what & FUSE_SET_ATTR_UID) f->uid = attr->st_uid;
    if (what & FUSE_SET_ATTR_GID) f->gid = attr->st_gid;
    if (what & FUSE_SET_ATTR_SIZE) {
        Op *op = new_op(f, asked);
        op->bytes = (uint64_t)attr->st_size;
        vit_fiber_start(f->thread, size_fiber, op);
        return;
    }
    fill_stat(f, &st);
    fuse_reply_attr(asked, &st, 1.0);
}

static void on_open(fuse_req_t asked, fuse_ino_t ino, struct fuse_file_info *info)
{
    info->direct_io = 1; /* others may write to the node: the kernel keeps no copy */
    info->parallel_direct_writes = 1;
    fuse_reply_open(asked, info);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    conn->max_write = conn->max_read = MAX_MOVE;
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
    if (conn->capable_ext & FUSE_CAP_DIRECT_IO_ALLOW_MMAP)
        fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#endif
}

/* ---- data ------------------------------------------------------------------------------------ */

static void on_read(fuse_req_t asked, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    Fuse *f = fuse_of(asked);
    uint64_t end = size_of(f);

    if (offset < 0 || (uint64_t)offset >= end || size == 0) {
        fuse_reply_buf(asked, NULL, 0);
        return;
    }
    size = (size_t)MIN(size, end - (uint64_t)offset);
    Op *op = new_op(f, asked);
    op->memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    op->iov = (struct iovec){ op->memory, size };
    if (op->memory) submit(op, VIT_BLOCK_READ, (uint64_t)offset, size);
    else finish(op, -ENOMEM);
}

static void grow_and_write_fiber(void *opaque)
{
    Op *op = opaque;
    Fuse *f = op->fuse;
    int result = op->offset + op->bytes > size_of(f)
                     ? resize(f, op->offset + op->bytes, VIT_PREALLOC_OFF)
                     : 0;

    if (result == 0) submit(op, VIT_BLOCK_WRITE, op->offset, op->bytes);
    else finish(op, result);
}

static void on_write(fuse_req_t asked, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *info)
{
    Fuse *f = fuse_of(asked);
    uint64_t end = size_of(f);

    if (!f->parent.writable) {
        fuse_reply_err(asked, EACCES);
        return;
    }
    if (offset < 0 || (uint64_t)offset > INT64_MAX - size) {
        fuse_reply_err(asked, EFBIG);
        return;
    }
    if (!f->growable && (uint64_t)offset + size > end) {
        if ((uint64_t)offset >= end) {
            fuse_reply_err(asked, ENOSPC);
            return;
        }
        size = (size_t)(end - (uint64_t)offset);
    }
    Op *op = new_op(f, asked);
    op->memory = g_steal_pointer(&f->buf.mem); /* data lie in it */
    op->iov = (struct iovec){ (void *)data, size };
    op->offset = (uint64_t)offset;
    op->bytes = size;
    if (op->offset + size > end) vit_fiber_start(f->thread, grow_and_write_fiber, op);
    else submit(op, VIT_BLOCK_WRITE, op->offset, size);
}

static void on_fsync(fuse_req_t asked, fuse_ino_t ino, int datasync, struct fuse_file_info *info)
{
    submit(new_op(fuse_of(asked), asked), VIT_BLOCK_FLUSH, 0, 0);
}

static void on_flush(fuse_req_t asked, fuse_ino_t ino, struct fuse_file_info *info)
{
    on_fsync(asked, ino, 1, info);
}

static int allocate(Fuse *f, int mode, uint64_t offset, uint64_t bytes)
{
    uint64_t size = size_of(f), end = offset + bytes;
    bool keep = mode & FALLOC_FL_KEEP_SIZE;
    uint32_t flags = VIT_BLOCK_NO_FALLBACK;
    int result = 0;

    mode &= ~FALLOC_FL_KEEP_SIZE;
    if (mode == 0) {
        if (keep || offset < size) return -EOPNOTSUPP;
        if (!f->growable) return -ENOSPC;
        return resize(f, end, VIT_PREALLOC_FALLOC);
    }
    if (mode == FALLOC_FL_PUNCH_HOLE) {
        if (!keep) return -EINVAL;
        flags |= VIT_BLOCK_MAY_UNMAP;
    } else if (mode == FALLOC_FL_ZERO_RANGE) {
        if (!keep && end > size) {
            if (!f->growable) return -ENOSPC;
            if ((result = resize(f, end, VIT_PREALLOC_OFF)) < 0) return result;
            size = end;
        }
    } else {
        return -EOPNOTSUPP;
    }
    if (offset >= size) return 0;
    result = vit_co_zero(f->parent.node, offset, MIN(bytes, size - offset), flags);
    return result == -ENOTSUP ? -EOPNOTSUPP : result;
}

static void fallocate_fiber(void *opaque)
{
    Op *op = opaque;

    finish(op, allocate(op->fuse, op->mode, op->offset, op->bytes));
}

static void on_fallocate(fuse_req_t asked, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *info)
{
    Fuse *f = fuse_of(asked);

    if (!f->parent.writable || offset < 0 || length <= 0 || offset > INT64_MAX - length) {
        fuse_reply_err(asked, f->parent.writable ? EINVAL : EACCES);
        return;
    }
    Op *op = new_op(f, asked);
    op->mode = mode;
    op->offset = (uint64_t)offset;
    op->bytes = (uint64_t)length;
    vit_fiber_start(f->thread, fallocate_fiber, op);
}

static void lseek_fiber(void *opaque)
{
    Op *op = opaque;
    Fuse *f = op->fuse;
    uint64_t end = size_of(f), at = op->offset;
    int result = at < end ? 0 : -ENXIO;

    for (unsigned i = 0; result == 0; i++) {
        VitBlockExtent e;
        if (at >= end) { /* the file ends in a hole that has no length */
            if (op->whence == SEEK_DATA) result = -ENXIO;
            break;
        }
        result = vit_co_status_above(f->parent.node, NULL, at, end - at, &e);
        if (result < 0 || e.bytes == 0) break;
        bool hole = !(e.flags & VIT_EXTENT_DATA) && (e.flags & VIT_EXTENT_ZERO);
        if (hole == (op->whence == SEEK_HOLE)) break;
        if (i >= MAX_STEPS && op->whence == SEEK_DATA) break; /* to call it data is never wrong */
        at += e.bytes;
    }
    if (result == 0) {
        fuse_reply_lseek(op->asked, (off_t)MIN(at, end));
        end_op(op);
    } else {
        finish(op, result);
    }
}

static void on_lseek(fuse_req_t asked, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *info)
{
    Fuse *f = fuse_of(asked);

    if ((whence != SEEK_HOLE && whence != SEEK_DATA) || offset < 0) {
        fuse_reply_err(asked, EINVAL);
        return;
    }
    Op *op = new_op(f, asked);
    op->offset = (uint64_t)offset;
    op->whence = whence;
    vit_fiber_start(f->thread, lseek_fiber, op);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .flush = on_flush,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
    .lseek = on_lseek,
};

/* ---- serving --------------------------------------------------------------------------------- */

static void on_ready(void *opaque, GIOCondition ready)
{
    Fuse *f = opaque;

    vit_block_plug(f->parent.node);
    for (unsigned i = 0; i < MAX_IN_FLIGHT && f->in_flight < MAX_IN_FLIGHT; i++) {
        if (!f->buf.mem) f->buf.mem = g_queue_pop_head(&f->spare);
        int n = fuse_session_receive_buf(f->session, &f->buf);
        if (n == -EINTR) continue;
        if (n <= 0) break;
        fuse_session_process_buf(f->session, &f->buf);
    }
    vit_block_unplug(f->parent.node);
    if (fuse_session_exited(f->session)) /* somebody has unmounted it */
        g_clear_pointer(&f->watch, vit_io_watch_free);
}

typedef struct {
    Fuse *fuse;
    AllowOther other;
    int result;
} Mount;

static bool try_mount(Fuse *f, bool allow_other)
{
    g_autofree char *options = g_strdup_printf("max_read=%d,default_permissions%s", MAX_MOVE,
                                               allow_other ? ",allow_other" : "");
    char *argv[] = { (char *)"", (char *)"-o", options, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);

    f->session = fuse_session_new(&args, &operations, sizeof operations, f);
    fuse_opt_free_args(&args);
    if (!f->session) return false;
    if (fuse_session_mount(f->session, f->mount_point) == 0) return true;
    fuse_session_destroy(g_steal_pointer(&f->session));
    return false;
}

/* On a worker thread: it may start a program. */
static void mount_work(void *opaque)
{
    Mount *m = opaque;
    Fuse *f = m->fuse;

    f->mounted = (m->other != OTHER_OFF && try_mount(f, true)) ||
                 (m->other != OTHER_ON && try_mount(f, false));
}

static void unmount_work(void *opaque)
{
    Fuse *f = opaque;

    fuse_session_unmount(f->session);
    fuse_session_destroy(g_steal_pointer(&f->session));
}

static void clear(Fuse *f)
{
    void *memory;

    free(f->buf.mem);
    while ((memory = g_queue_pop_head(&f->spare))) free(memory);
    g_free(f->mount_point);
}

static bool check_mount_point(const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return vit_block_fail_errno(error, -errno, _("Failed to stat '%s'"), path);
    return S_ISREG(st.st_mode) ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("'%s' is not a regular file"), path);
}

static bool fuse_start(VitBlockExport *export, VitBlockArgs *args, GError **error)
{
    static const char *const others[] = { "auto", "on", "off", NULL };
    Fuse *f = (Fuse *)export;
    const char *mount_point = vit_block_args_str(args, "mountpoint");
    int other = OTHER_AUTO;

    if (!mount_point)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'mountpoint' is missing"));
    if (!vit_block_args_bool(args, "growable", &f->growable, error) ||
        !vit_block_args_enum(args, "allow-other", others, &other, error) ||
        !check_mount_point(mount_point, error))
        return false;
    f->thread = f->idle.thread = vit_block_node_thread(export->node);
    f->mode = export->writable ? S_IRUSR | S_IWUSR : S_IRUSR;
    f->uid = getuid();
    f->gid = getgid();
    f->mount_point = realpath(mount_point, NULL);
    Mount mount = { .fuse = f, .other = (AllowOther)other };
    vit_fiber_offload(f->thread, mount_work, &mount);
    if (!f->mounted) {
        vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("Failed to mount FUSE session to export%s"),
                       other == OTHER_ON ? "; allow-other=on needs user_allow_other in "
                                           "/etc/fuse.conf"
                                         : "; it needs /dev/fuse and fusermount3");
        clear(f);
        return false;
    }
    int fd = fuse_session_fd(f->session);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    f->watch = vit_io_watch_new(f->thread, fd, G_IO_IN, on_ready, f);
    return true;
}

static void fuse_stop(VitBlockExport *export)
{
    Fuse *f = (Fuse *)export;

    g_clear_pointer(&f->watch, vit_io_watch_free);
    while (f->in_flight > 0) vit_fiber_cond_wait(&f->idle, NULL);
    vit_fiber_offload(f->thread, unmount_work, f);
    clear(f);
}

const VitBlockExportClass vit_fuse_export_class = {
    .type = "fuse",
    .instance_size = sizeof(Fuse),
    .co_start = fuse_start,
    .co_stop = fuse_stop,
};
