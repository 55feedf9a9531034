/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-devices.c - the registry of PCI devices and what their options have in common */
#include "hw/pci/pci-devices.h"

#include "engine/core/suggest.h"
#include "hw/display/vga.h"
#include "hw/storage/storage-devices.h"
#include "hw/virtio/virtio-devices.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static VitDevice *create_bridge(VitDeviceContext *ctx, VitOptions *options, VitPciBridgeKind kind,
                                GError **error)
{
    VitPciPlace place;

    if (!vit_pci_take_place(ctx, options, &place, error))
        return NULL;
    static const char *const ignored[] = { "chassis", "slot", "port", "chassis_nr" };
    for (unsigned i = 0; i < G_N_ELEMENTS(ignored); i++)
        (void) vit_options_take(options,
                                ignored[i]);     /* numbers of slots that are not hot-plugged */
    if (!vit_options_finish(options, error))
        return NULL;
    VitPciBus *bus = vit_pci_bridge_new(place.bus, place.devfn, kind, place.id, error);
    if (!bus)
        return NULL;
    VitDevice *d = vit_pci_function_device(vit_pci_bus_bridge(bus));
    if (ctx->buses)
        g_hash_table_insert(ctx->buses, g_strdup(d->id), bus);
    return d;
}

static VitDevice *create_pci_bridge(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_bridge(ctx, options, VIT_PCI_BRIDGE, error);
}

static VitDevice *create_root_port(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create_bridge(ctx, options, VIT_PCIE_ROOT_PORT, error);
}

const VitPciDeviceType vit_pci_device_types[] = {
    { "VGA", "VGA with Bochs VBE", vit_vga_create },
    { "bochs-display", "Linear frame buffer with Bochs VBE registers", vit_bochs_display_create },
    { "ich9-ahci", "AHCI disk controller", vit_ahci_create },
    { "ide-cd", "ATAPI CD and DVD drive", vit_ide_cd_create },
    { "ide-hd", "ATA disk", vit_ide_hd_create },
    { "piix3-ide", "IDE disk controller", vit_piix3_ide_create },
    { "pci-bridge", "PCI-PCI bridge", create_pci_bridge },
    { "pcie-root-port", "PCI Express root port", create_root_port },
    { "scsi-cd", "SCSI CD and DVD drive", vit_scsi_cd_create },
    { "scsi-hd", "SCSI disk", vit_scsi_hd_create },
    { "virtconsole", "Console port of virtio-serial-pci", vit_virtio_console_port_create },
    { "virtio-blk-pci", "Virtio disk", vit_virtio_blk_create },
    { "virtio-gpu-pci", "Virtio display", vit_virtio_gpu_create },
    { "virtio-keyboard-pci", "Virtio keyboard", vit_virtio_keyboard_create },
    { "virtio-mouse-pci", "Virtio mouse", vit_virtio_mouse_create },
    { "virtio-net-pci", "Virtio network card", vit_virtio_net_create },
    { "virtio-rng-pci", "Virtio entropy source", vit_virtio_rng_create },
    { "virtio-scsi-pci", "Virtio SCSI host adapter", vit_virtio_scsi_create },
    { "virtio-serial-pci", "Virtio console with ports", vit_virtio_serial_create },
    { "virtio-tablet-pci", "Virtio tablet (absolute pointer)", vit_virtio_tablet_create },
    { "virtio-vga", "Virtio display that starts as VGA", vit_virtio_vga_create },
    { "virtserialport", "Serial port of virtio-serial-pci", vit_virtio_serial_port_create },
    { NULL, NULL, NULL },
};

VitDevice *vit_pci_device_create(VitDeviceContext *ctx, const char *text, GError **error)
{
    g_autoptr(VitOptions) options = vit_device_options_parse(text, error);
    return options ? vit_pci_device_create_from(ctx, options, error) : NULL;
}

VitDevice *vit_pci_device_create_from(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    const char *name = vit_options_take(options, "driver");
    const char *known[G_N_ELEMENTS(vit_pci_device_types)];
    unsigned n = 0;

    for (const VitPciDeviceType *t = vit_pci_device_types; t->name; t++) {
        if (g_strcmp0(name, t->name) == 0)
            return t->create(ctx, options, error);
        known[n++] = t->name;
    }
    known[n] = NULL;
    g_autofree char *hint = vit_suggest_phrase(name ? name : "", known);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-device: there is no device “%s”%s"), name ? name : "", hint);
    return NULL;
}

/* "5", "05.1", "0x1e.0" as slot and function in hexadecimal */
static bool parse_addr(const char *text, int *devfn)
{
    char *end;
    guint64 slot = g_ascii_strtoull(text, &end, 16), function = 0;

    if (end == text)
        return false;
    if (*end == '.') {
        const char *start = end + 1;
        function = g_ascii_strtoull(start, &end, 16);
        if (end == start)
            return false;
    }
    if (*end || slot > 31 || function > 7)
        return false;
    *devfn = (int) VIT_PCI_DEVFN(slot, function);
    return true;
}

bool vit_pci_take_place(VitDeviceContext *ctx, VitOptions *options, VitPciPlace *place,
                        GError **error)
{
    const char *addr = vit_options_take(options, "addr");
    const char *bus = vit_options_take(options, "bus");
    bool multifunction = false;     /* functions of one slot find each other without being told */

    *place = (VitPciPlace) { .id = vit_options_take(options, "id"), .bus = ctx->pci, .devfn = -1 };
    if (!vit_options_take_bool(options, "multifunction", &multifunction, error))
        return false;
    if (bus && strcmp(bus, "pci.0") != 0 && strcmp(bus, "pcie.0") != 0) {
        place->bus = ctx->buses ? g_hash_table_lookup(ctx->buses, bus) : NULL;
        if (!place->bus) {
            g_set_error(
                error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-device: there is no bus “%s”; name the id of a bridge given before this "
                  "device"),
                bus);
            return false;
        }
    }
    if (addr && !parse_addr(addr, &place->devfn)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: “addr=%s” is not a PCI address such as 05 or 05.1"), addr);
        return false;
    }
    if (place->id && vit_system_find_device(ctx->sys, place->id)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device: the id “%s” is taken"), place->id);
        return false;
    }
    return true;
}

bool vit_pci_take_props(VitDevice *device, VitOptions *options, GError **error)
{
    static const VitOptionType types[] = {
        [VIT_PROP_BOOL] = VIT_OPTION_BOOLEAN, [VIT_PROP_U32] = VIT_OPTION_NUMBER,
        [VIT_PROP_U64] = VIT_OPTION_NUMBER,   [VIT_PROP_SIZE] = VIT_OPTION_NUMBER,
        [VIT_PROP_STR] = VIT_OPTION_STRING,   [VIT_PROP_LIST] = VIT_OPTION_LIST,
    };

    for (const VitProp *p = device->klass->props; p && p->name; p++) {
        const char *value = vit_options_take(options, p->name);
        if (value && (!vit_options_expect(options, p->name, types[p->kind], error) ||
                      !vit_device_set_prop(device, p->name, value, error)))
            return false;
    }
    return true;
}

void *vit_pci_take_backend(VitOptions *options, const char *key, GHashTable *table,
                           const char *kind, GError **error)
{
    const char *id = vit_options_take(options, key);
    void *found = id && table ? g_hash_table_lookup(table, id) : NULL;

    if (found)
        return found;
    if (!id) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device %s: give it a %s with %s=ID"), vit_options_get(options, "driver"),
                    kind, key);
        return NULL;
    }
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    if (table) {
        GHashTableIter iter;
        gpointer name;
        g_hash_table_iter_init(&iter, table);
        while (g_hash_table_iter_next(&iter, &name, NULL))
            g_ptr_array_add(known, name);
    }
    g_ptr_array_add(known, NULL);
    g_autofree char *hint = vit_suggest_phrase(id, (const char *const *) known->pdata);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                _("-device %s: there is no %s “%s”%s"), vit_options_get(options, "driver"), kind,
                id, hint);
    return NULL;
}
