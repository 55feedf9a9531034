/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/device/setup-storage.c - a disk for the drive that cannot be without one */
#include "hw/storage/ata.h"
#include "tests/device/setups.h"

#include <glib/gstdio.h>
#include <unistd.h>

typedef struct { VitIoThread *thread; VitBlockNode *node; } Disk;

static VitDevice *build(VitSystem *sys, const VitDeviceClass *klass, void **cookie)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    VitBlockOptions options = { .lock = true };
    Disk *disk = g_new0(Disk, 1);
    int fd = g_file_open_tmp("vitrine-disk-XXXXXX", &path, &error);

    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
    close(fd);
    disk->thread = vit_io_thread_new("disk");
    disk->node = vit_block_open("raw", path, &options, disk->thread, &error);
    g_assert_no_error(error);
    g_unlink(path);
    *cookie = disk;
    VitDevice *d = vit_device_new(sys, klass, NULL);
    vit_ata_set_node((VitAtaDrive *) d, disk->node);
    bool good = vit_device_init(d, &error);
    g_assert_no_error(error);
    return good ? d : NULL;
}

static void cleanup(void *cookie)
{
    Disk *disk = cookie;
    vit_block_node_close(disk->node);
    vit_io_thread_free(disk->thread);
    g_free(disk);
}

const DeviceTestSetup device_test_disk = { .build = build, .cleanup = cleanup };
