/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file-lock.c - image locks: open-file-description byte locks (fcntl(2), F_OFD_SETLK)
 *
 * A user of an image holds shared locks on byte 100+n for each thing n it does (0 read
 * consistently,
 * 1 write, 3 resize) and on byte 200+n for each thing that it does not let others do meanwhile.
 * The bytes are those that QEMU locks, so that the two exclude each other as well.  Being tied to
 * the open file, the locks also exclude two machines of one process. */
#include "block/node-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { USES = 100, FORBIDS = 200, READS = 1 << 0, WRITES = 1 << 1, RESIZES = 1 << 3, N_THINGS = 5 };

static int set_lock(int fd, int byte, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int result;

    do result = fcntl(fd, F_OFD_SETLK, &lock);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static bool locked_by_other(int fd, int byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void vit_block_unlock_file(int fd)
{
    for (int n = 0; n < N_THINGS; n++) {
        set_lock(fd, USES + n, F_UNLCK);
        set_lock(fd, FORBIDS + n, F_UNLCK);
    }
}

bool vit_block_lock_file(int fd, const char *path, bool writer, bool share, GError **error)
{
    static const char *const names[N_THINGS] = { "consistent read", "write", "write unchanged",
                                                 "resize", "change children" };
    unsigned uses = READS | (writer ? WRITES | RESIZES : 0), forbids = share ? 0 : WRITES | RESIZES;
    bool conflict = false;

    for (int n = 0; n < N_THINGS; n++) {
        int code = 0;
        if (uses & 1u << n) code = set_lock(fd, USES + n, F_RDLCK);
        if (code == 0 && (forbids & 1u << n)) code = set_lock(fd, FORBIDS + n, F_RDLCK);
        if (code == -EAGAIN || code == -EACCES) conflict = true;
        else if (code < 0)
            return true;    /* a file system without locks: the person's own care must do */
    }
    const char *lacks = NULL;
    bool shared = false;
    for (int n = 0; n < N_THINGS && !lacks; n++) {
        bool used = (uses & 1u << n) && locked_by_other(fd, FORBIDS + n);
        shared = !used;
        if (used || ((forbids & 1u << n) && locked_by_other(fd, USES + n))) lacks = names[n];
    }
    if (!conflict && !lacks) return true;
    vit_block_unlock_file(fd);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_ACCES,
                shared ? _("Failed to get shared \"%s\" lock\n"
                           "Is another process using the image [%s]?")
                       : _("Failed to get \"%s\" lock\n"
                           "Is another process using the image [%s]?"),
                lacks ?: names[1], path);
    return false;
}
