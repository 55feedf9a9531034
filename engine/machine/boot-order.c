/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/boot-order.c - "bootindex": what the firmware starts from, as the list of device
 * paths that SeaBIOS and OVMF read ("bootorder"; IEEE 1275, names as their bindings have them) */
#include "engine/machine/engine-private.h"
#include "hw/misc/fw_cfg.h"
#include "hw/pci/pci-devices.h"
#include "hw/scsi/scsi.h"
#include "hw/storage/ata.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct {
    uint64_t index;
    char *path; /* owned */
} Entry;

static void entry_free(void *data)
{
    Entry *entry = data;

    g_free(entry->path);
    g_free(entry);
}

/* Of the function of a device, under the name of its kind; NULL: it has none. */
static char *pci_path(VitEngine *e, const VitDevice *d, const char *name)
{
    g_autofree char *id = g_strconcat(d->id, ".pci", NULL);
    VitDevice *function = vit_system_find_device(e->sys, id);

    return function ? vit_pci_firmware_path((VitPciFunction *) function, name) : NULL;
}

static char *device_path(VitEngine *e, VitDevice *d)
{
    const char *name = d->klass->name;
    g_autofree char *base = NULL;

    if (!strcmp(name, "virtio-blk"))
        return (base = pci_path(e, d, "scsi")) ? g_strconcat(base, "/disk@0,0", NULL) : NULL;
    if (!strcmp(name, "virtio-net"))
        return (base = pci_path(e, d, "ethernet")) ? g_strconcat(base, "/ethernet-phy@0", NULL)
                                                   : NULL;
    if (d->klass == &vit_scsi_hd_class || d->klass == &vit_scsi_cd_class) {
        const VitScsiDisk *disk = (VitScsiDisk *) d;
        base = pci_path(e, disk->adapter, "scsi");
        return base ? g_strdup_printf("%s/channel@0/disk@%x,%x", base, disk->target, disk->lun)
                    : NULL;
    }
    if (d->klass == &vit_ide_hd_class || d->klass == &vit_ide_cd_class) {
        const VitAtaDrive *drive = (VitAtaDrive *) d;
        base = pci_path(e, drive->host, "ide");
        return base ? g_strdup_printf("%s/drive@%x/disk@%x", base, drive->bus, drive->unit) : NULL;
    }
    return NULL;
}

static int by_index(const void *a, const void *b)
{
    const Entry *const *one = a, *const *other = b;

    return (*one)->index < (*other)->index ? -1 : (*one)->index > (*other)->index;
}

bool engine_note_boot(VitEngine *e, VitOptions *options, VitDevice *d, GError **error)
{
    uint64_t index = UINT64_MAX;

    if (!vit_options_take_uint(options, "bootindex", INT32_MAX, &index, error))
        return false;
    if (index == UINT64_MAX)
        return true;
    for (guint i = 0; i < e->boot->len; i++) {
        if (((Entry *) e->boot->pdata[i])->index == index) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                        _("-device: The bootindex %u has already been used"), (unsigned) index);
            return false;
        }
    }
    char *path = device_path(e, d);
    if (!path) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    _("-device %s: nothing can be started from it; leave bootindex out"),
                    d->klass->name);
        return false;
    }
    Entry *entry = g_new(Entry, 1);
    *entry = (Entry) { index, path };
    g_ptr_array_add(e->boot, entry);
    return true;
}

GPtrArray *engine_boot_new(void)
{
    return g_ptr_array_new_with_free_func(entry_free);
}

void engine_set_boot_order(VitEngine *e)
{
    g_autoptr(GString) all = g_string_new(NULL);

    g_ptr_array_sort(e->boot, by_index);
    for (guint i = 0; i < e->boot->len; i++)
        g_string_append_printf(all, "%s%s", i ? "\n" : "", ((Entry *) e->boot->pdata[i])->path);
    if (all->len)
        vit_fw_cfg_set_file(e->board->fw_cfg, "bootorder", all->str, all->len + 1);
}
