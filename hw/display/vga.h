/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/display/vga.h - VGA with Bochs VBE extensions, as a PCI card ("-vga std", "VGA") */
#pragma once
#include "display/scanout.h"
#include "hw/pci/pci-devices.h"

extern const VitDeviceClass vit_vga_class;          /* "VGA": with the legacy ports and window */
extern const VitDeviceClass vit_bochs_display_class; /* "bochs-display": linear frame buffer only */

/* Between vit_device_new() and vit_device_init(): where the card sits (devfn -1 = first free slot)
 * and its video BIOS (copied; NULL size 0 = none).  Without this call the device has no bus. */
void vit_vga_attach(VitDevice *d, VitPciBus *bus, int devfn);
void vit_vga_set_rom(VitDevice *d, const uint8_t *rom, size_t size);
/* EDID block that the guest reads at the start of BAR 2 (copied, at most 256 bytes). */
void vit_vga_set_edid(VitDevice *d, const uint8_t *edid, size_t size);
/* For a card that combines VGA with another display device on one function: after init without a
 * bus, puts frame buffer (BAR 0), video BIOS and the legacy windows on it. */
void vit_vga_join(VitDevice *d, VitPciFunction *fn);
/* The other device has the scanout now, or gives it back.  Any thread, waits for nothing. */
void vit_vga_set_asleep(VitDevice *d, bool asleep);
/* What a viewer's wish for another size does; any thread. */
typedef void (*VitVgaResize)(void *opaque, int width, int height, int width_mm, int height_mm);
void vit_vga_set_resize(VitDevice *d, VitVgaResize resize, void *opaque);
VitDevice *vit_vga_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_bochs_display_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitScanout *vit_vga_scanout(VitDevice *d);          /* borrowed; after init */
VitRam *vit_vga_vram(VitDevice *d);                 /* borrowed; for snapshots */
