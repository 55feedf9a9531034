/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/storage-devices.c - "-device ich9-ahci", "piix3-ide", "ide-hd" and "ide-cd" */
#include "hw/storage/storage-devices.h"

#include "hw/pci/pci-private.h"
#include "hw/storage/ahci.h"
#include "hw/storage/ide.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { AHCI_DEVFN = 0x1f << 3 | 2, IDE_DEVFN = 1 << 3 | 1, IDE_BUSES = 2, IDE_UNITS = 2,
       IDE_IRQ = 14 };

/* ---- controllers ----------------------------------------------------------------------------- */

static VitDevice *make_ahci(VitDeviceContext *ctx, const char *id, VitPciBus *bus, int devfn,
                            GError **error)
{
    VitDevice *d = vit_device_new(ctx->sys, &vit_ahci_class, id);
    vit_ahci_plug(d, bus, devfn);
    return vit_device_init(d, error) ? d : NULL;
}

static VitDevice *make_ide(VitDeviceContext *ctx, const char *id, VitPciBus *bus, int devfn,
                           GError **error)
{
    for (guint i = 0; i < ctx->sys->devices->len; i++)
        if (((VitDevice *) ctx->sys->devices->pdata[i])->klass == &vit_piix3_ide_class) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        _("-device piix3-ide: there is one already, and its ports are fixed; "
                          "use ich9-ahci"));
            return NULL;
        }
    VitDevice *d = vit_device_new(ctx->sys, &vit_piix3_ide_class, id);
    vit_ide_plug(d, bus, devfn);
    if (!vit_device_init(d, error))
        return NULL;
    for (unsigned i = 0; i < IDE_BUSES && ctx->isa_irq; i++)
        vit_irq_connect(d, i, ctx->isa_irq, ctx->isa_irq_opaque, IDE_IRQ + i);
    return d;
}

VitDevice *vit_ahci_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    VitPciPlace place;
    if (!vit_pci_take_place(ctx, options, &place, error) || !vit_options_finish(options, error))
        return NULL;
    return make_ahci(ctx, place.id, place.bus, place.devfn, error);
}

VitDevice *vit_piix3_ide_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    VitPciPlace place;
    if (!vit_pci_take_place(ctx, options, &place, error) || !vit_options_finish(options, error))
        return NULL;
    return make_ide(ctx, place.id, place.bus, place.devfn, error);
}

/* ---- drives ---------------------------------------------------------------------------------- */

static bool is_controller(const VitDevice *d)
{
    return d->klass == &vit_ahci_class || d->klass == &vit_piix3_ide_class;
}

static VitDevice *first_controller(VitDeviceContext *ctx, GError **error)
{
    for (guint i = 0; i < ctx->sys->devices->len; i++)
        if (is_controller(ctx->sys->devices->pdata[i]))
            return ctx->sys->devices->pdata[i];
    if (ctx->pci->host.express)
        return make_ahci(ctx, NULL, ctx->pci, AHCI_DEVFN, error);
    return make_ide(ctx, NULL, ctx->pci, IDE_DEVFN, error);
}

/* "ide.1" is a bus of the first controller, "ahci0.1" one of the controller with that id. */
static VitDevice *find_bus(VitDeviceContext *ctx, const char *name, uint64_t *number,
                           GError **error)
{
    VitDevice *d = NULL;
    const char *dot = strrchr(name, '.');
    g_autofree char *id = dot ? g_strndup(name, (size_t) (dot - name)) : NULL;

    if (dot && vit_parse_uint(dot + 1, 31, number)) {
        d = vit_system_find_device(ctx->sys, id);
        if (d && !is_controller(d))
            d = NULL;
        if (!d && strcmp(id, "ide") == 0)
            return first_controller(ctx, error);
    }
    if (!d)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: there is no disk bus “%s”; the first controller's are ide.0, "
                      "ide.1 ..."),
                    name);
    return d;
}

static bool attach(VitDevice *controller, unsigned bus, unsigned unit, VitAtaDrive *drive)
{
    bool done = controller->klass == &vit_ahci_class
                    ? unit == 0 && vit_ahci_attach(controller, bus, drive)
                    : vit_ide_attach(controller, bus, unit, drive);

    if (done) {
        drive->host = controller;
        drive->bus = bus;
        drive->unit = unit;
    }
    return done;
}

static bool attach_anywhere(VitDevice *controller, VitAtaDrive *drive)
{
    for (unsigned bus = 0; bus < VIT_AHCI_PORTS; bus++)
        for (unsigned unit = 0; unit < IDE_UNITS; unit++)
            if (attach(controller, bus, unit, drive))
                return true;
    return false;
}

static VitDevice *create_drive(VitDeviceContext *ctx, VitOptions *options,
                               const VitDeviceClass *klass, GError **error)
{
    const char *id = vit_options_take(options, "id"), *bus = vit_options_take(options, "bus");
    uint64_t number = 0, unit = 0, bootindex = 0;  /* the latter is the machine assembler's */
    VitBlockNode *node = NULL;

    if (!vit_options_take_uint(options, "unit", IDE_UNITS - 1, &unit, error) ||
        !vit_options_take_uint(options, "bootindex", INT32_MAX, &bootindex, error))
        return NULL;
    if (klass == &vit_ide_hd_class || vit_options_get(options, "drive")) {
        node = vit_pci_take_backend(options, "drive", ctx->drives, "drive", error);
        if (!node)
            return NULL;
    }
    if (id && vit_system_find_device(ctx->sys, id)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: the id “%s” is taken"), id);
        return NULL;
    }
    VitDevice *controller = bus ? find_bus(ctx, bus, &number, error) : first_controller(ctx, error);
    if (!controller)
        return NULL;
    VitDevice *d = vit_device_new(ctx->sys, klass, id);
    VitAtaDrive *drive = (VitAtaDrive *) d;
    vit_ata_set_node(drive, node);
    if (!vit_pci_take_props(d, options, error) || !vit_options_finish(options, error)) {
        vit_device_free(d);
        return NULL;
    }
    if (!vit_device_init(d, error))
        return NULL;
    if (bus ? !attach(controller, (unsigned) number, (unsigned) unit, drive)
            : !attach_anywhere(controller, drive)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("-device %s: %s%s"),
                    klass->name, bus ? bus : "the disk controller",
                    bus ? " has no free place of that number"
                        : " has no free place; add an ich9-ahci");
        vit_device_free(d);
        return NULL;
    }
    return d;
}

VitDevice *vit_ide_hd_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_drive(ctx, options, &vit_ide_hd_class, error);
}

VitDevice *vit_ide_cd_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_drive(ctx, options, &vit_ide_cd_class, error);
}
