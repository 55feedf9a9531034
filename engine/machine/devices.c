/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/devices.c - "-device": PCI devices by name, and the few that sit on the ISA bus */
#include "engine/machine/engine-private.h"
#include "hw/char/uart16550.h"
#include "hw/misc/isa-debug.h"
#include "hw/pci/pci-devices.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

static VitDevice *create_isa(VitEngine *e, const VitDeviceClass *klass, VitOptions *options,
                             GError **error)
{
    VitDevice *d = vit_device_new(e->sys, klass, vit_options_take(options, "id"));

    if (!vit_pci_take_props(d, options, error) || !vit_options_finish(options, error)) {
        vit_device_free(d);
        return NULL;
    }
    return vit_device_init(d, error) ? d : NULL;
}

static bool take_chardev(VitEngine *e, VitOptions *options, VitChar **chr, GError **error)
{
    const char *id = vit_options_take(options, "chardev");

    *chr = id ? g_hash_table_lookup(e->chardevs, id) : NULL;
    if (*chr)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                id ? _("-device: there is no -chardev “%s”") : _("-device: chardev=ID is missing"),
                id);
    return false;
}

static bool create_debug_exit(VitEngine *e, VitOptions *options, GError **error)
{
    return create_isa(e, &vit_debugexit_class, options, error) != NULL;
}

static bool create_debugcon(VitEngine *e, VitOptions *options, GError **error)
{
    VitChar *chr;

    if (!take_chardev(e, options, &chr, error))
        return false;
    VitDevice *d = create_isa(e, &vit_debugcon_class, options, error);
    if (d)
        vit_debugcon_set_chr(d, chr);
    return d != NULL;
}

static bool create_serial(VitEngine *e, VitOptions *options, GError **error)
{
    static const uint16_t ports[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint8_t lines[] = { 4, 3, 4, 3 };
    uint64_t index = e->config->serials->len;
    VitChar *chr;

    if (!take_chardev(e, options, &chr, error) ||
        !vit_options_take_uint(options, "index", 3, &index, error))
        return false;
    if (index > 3 || index < e->config->serials->len) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_EXISTS,
            _("-device isa-serial: that port is taken already; use -serial or another index"));
        return false;
    }
    VitDevice *d = create_isa(e, &vit_uart16550_class, options, error);
    if (!d)
        return false;
    vit_uart16550_set_chr(d, chr);
    vit_region_add(e->sys->io_root, ports[index], vit_device_window(d, 0, 8), 1);
    vit_irq_connect(d, 0, vit_board_isa_irq, e->board, lines[index]);
    return true;
}

static const struct {
    const char *name;
    bool (*create)(VitEngine *e, VitOptions *options, GError **error);
} isa_devices[] = {
    { "isa-debug-exit", create_debug_exit },
    { "isa-debugcon", create_debugcon },
    { "isa-serial", create_serial },
};

/* Tells the drive who holds it, as QMP names devices. */
static void name_user(VitEngine *e, const VitOptions *options)
{
    const char *drive = vit_options_get(options, "drive"), *id = vit_options_get(options, "id");
    VitBlockNode *root = drive ? g_hash_table_lookup(e->drives, drive) : NULL;
    const char *backend = g_strcmp0(vit_options_get(options, "driver"), "virtio-blk-pci")
                              ? "" : "/virtio-backend";
    g_autofree char *path = NULL;

    if (id)
        path = g_strdup_printf("/machine/peripheral/%s%s", id, backend);
    else
        path = g_strdup_printf("/machine/peripheral-anon/device[%u]%s", e->next_anonymous++,
                               backend);
    if (root)
        vit_block_root_set_user(root, path);
}

bool engine_create_device(VitEngine *e, const char *spec, GError **error)
{
    g_autoptr(VitOptions) options = vit_device_options_parse(spec, error);

    if (!options)
        return false;
    if (vit_options_get(options, "drive"))
        engine_use_node(e, vit_options_get(options, "drive"));
    name_user(e, options);
    for (size_t i = 0; i < G_N_ELEMENTS(isa_devices); i++) {
        if (!g_strcmp0(vit_options_get(options, "driver"), isa_devices[i].name)) {
            vit_options_take(options, "driver");
            return isa_devices[i].create(e, options, error);
        }
    }
    VitDevice *d = vit_pci_device_create_from(&e->context, options, error);
    return d && engine_note_boot(e, options, d, error);
}
