/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-vga.c - a virtio display that starts as VGA: one PCI function with both, one
 * picture.  VGA draws it until the driver shows a resource, and again after the driver's reset.
 *
 * BAR 0: frame buffer; BAR 2: virtio; BAR 4: MSI-X.  The Bochs VBE registers answer at ports
 * 0x1ce to 0x1d0 only. */
#include "hw/board/firmware.h"
#include "hw/display/vga.h"
#include "hw/virtio/gpu.h"
#include "hw/virtio/virtio-devices.h"
#include "hw/virtio/virtio-pci.h"

#include <glib/gi18n-lib.h>

enum { VIRTIO_BAR = 2, MSIX_BAR = 4, CLASS_VGA = 0x0300, ROM_MAX = 1 << 20 };

static void driver_shows(void *opaque, bool on)
{
    vit_vga_set_asleep(opaque, on);
}

static void resize(void *opaque, int width, int height, int width_mm, int height_mm)
{
    vit_virtio_gpu_resize(opaque, 0, width, height, width_mm, height_mm);
}

static bool give_rom(VitDevice *vga, const char *name, GError **error)
{
    g_autoptr(GBytes) rom = NULL;

    if (!*name)
        return true;
    rom = vit_firmware_load(name, NULL, error);
    if (!rom)
        return false;
    if (g_bytes_get_size(rom) == 0 || g_bytes_get_size(rom) > ROM_MAX) {
        g_set_error(
            error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
            _("-device virtio-vga: “%s” is no video BIOS: its size is not from 1 byte to 1 MiB"),
            name);
        return false;
    }
    vit_vga_set_rom(vga, g_bytes_get_data(rom, NULL), g_bytes_get_size(rom));
    return true;
}

/* Frees what it was given on failure.  The VGA is made first, since it outlives the other's use of
 * its scanout. */
static VitDevice *assemble(VitDeviceContext *ctx, VitDevice *vga, VitDevice *gpu,
                           const VitPciPlace *place, unsigned vectors, GError **error)
{
    VitVirtioPciOptions o = { .devfn = place->devfn,
                              .vectors = vectors,
                              .bar = VIRTIO_BAR,
                              .msix_bar = MSIX_BAR,
                              .pci_class = CLASS_VGA };

    vit_virtio_gpu_setup(gpu, ctx->iothread, vit_vga_scanout(vga));
    vit_virtio_gpu_set_active_hook(gpu, driver_shows, vga);
    if (!vit_device_init(gpu, error)) {
        vit_device_free(vga);
        return NULL;
    }
    VitPciFunction *fn = vit_virtio_pci_new(place->bus, (VitVirtio *) gpu, &o, error);
    if (!fn) {
        vit_device_free(gpu);
        vit_device_free(vga);
        return NULL;
    }
    vit_vga_join(vga, fn);
    vit_vga_set_resize(vga, resize, gpu);
    for (unsigned i = 0; ctx->scanouts && i < vit_virtio_gpu_n_scanouts(gpu); i++)
        g_ptr_array_add(ctx->scanouts, vit_virtio_gpu_scanout(gpu, i));
    return gpu;
}

VitDevice *vit_virtio_vga_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    VitPciPlace place;
    uint64_t vectors = 0;
    const char *romfile = vit_options_take(options, "romfile");
    const char *memory = vit_options_take(options, "vgamem_mb");

    if (!vit_pci_take_place(ctx, options, &place, error) ||
        !vit_options_take_uint(options, "vectors", VIT_PCI_MSIX_MAX, &vectors, error))
        return NULL;
    g_autofree char *vga_id = place.id ? g_strconcat(place.id, ".vga", NULL) : NULL;
    VitDevice *vga = vit_device_new(ctx->sys, &vit_vga_class, vga_id);
    if ((memory && !vit_device_set_prop(vga, "vgamem_mb", memory, error)) ||
        !give_rom(vga, romfile ? romfile : "vgabios-virtio.bin", error)) {
        vit_device_free(vga);
        return NULL;
    }
    if (!vit_device_init(vga, error))
        return NULL;
    VitDevice *gpu = vit_device_new(ctx->sys, &vit_virtio_gpu_class, place.id);
    if (!vit_pci_take_props(gpu, options, error) || !vit_options_finish(options, error)) {
        vit_device_free(gpu);
        vit_device_free(vga);
        return NULL;
    }
    return assemble(ctx, vga, gpu, &place, (unsigned) vectors, error);
}
