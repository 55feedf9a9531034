/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file/create.c - making a local file */
#include "block/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

const VitBlockOption vit_file_create_options[] = {
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

bool vit_file_create(VitBlockCreate *create, GError **error)
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
    bool good = vit_block_lock_file(fd, create->filename, true, false, error);
    if (good && S_ISREG(st.st_mode)) {
        hint(fd, nocow, extent_size);
        bool emptied = ftruncate(fd, 0) == 0; /* only now: another's image is refused untouched */
        int result = emptied ? vit_file_co_resize(create->thread, fd, 0, create->size,
                                                  (VitPrealloc)mode)
                             : -errno;
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
