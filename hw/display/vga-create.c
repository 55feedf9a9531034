/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga-create.c - "-device VGA" and "-device bochs-display": options, video BIOS, EDID */
#include "hw/display/vga.h"

#include "display/edid.h"
#include "hw/board/firmware.h"

#include <glib/gi18n-lib.h>

static bool give_rom(VitDevice *d, const char *name, GError **error)
{
    g_autoptr(GBytes) rom = *name ? vit_firmware_load(name, NULL, error) : NULL;

    if (!*name)
        return true;
    if (!rom)
        return false;
    if (g_bytes_get_size(rom) > 1 << 20) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("-device %s: “%s” is no video BIOS: it is larger than 1 MiB"), d->klass->name,
                    name);
        return false;
    }
    vit_vga_set_rom(d, g_bytes_get_data(rom, NULL), g_bytes_get_size(rom));
    return true;
}

static VitDevice *create(VitDeviceContext *ctx, VitOptions *options, const VitDeviceClass *klass,
                         const char *rom, GError **error)
{
    const char *romfile = vit_options_take(options, "romfile");
    uint64_t width = 1280, height = 800;
    VitPciPlace place;

    if (!vit_pci_take_place(ctx, options, &place, error) ||
        !vit_options_take_uint(options, "xres", 8192, &width, error) ||
        !vit_options_take_uint(options, "yres", 8192, &height, error))
        return NULL;
    VitDevice *d = vit_device_new(ctx->sys, klass, place.id);
    if (!vit_pci_take_props(d, options, error) || !vit_options_finish(options, error) ||
        !give_rom(d, romfile ? romfile : rom, error)) {
        vit_device_free(d);
        return NULL;
    }
    uint8_t edid[VIT_EDID_MAX];
    VitEdidInfo monitor = { .width = (int) width, .height = (int) height };
    vit_vga_set_edid(d, edid, vit_edid_make(&monitor, edid));
    vit_vga_attach(d, place.bus, place.devfn);
    if (!vit_device_init(d, error))
        return NULL;
    if (ctx->scanouts)
        g_ptr_array_add(ctx->scanouts, vit_vga_scanout(d));
    return d;
}

VitDevice *vit_vga_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create(ctx, options, &vit_vga_class, "vgabios-stdvga.bin", error);
}

VitDevice *vit_bochs_display_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return create(ctx, options, &vit_bochs_display_class, "", error);
}
