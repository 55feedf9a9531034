/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-devices.h - the devices that "-device NAME,option=value" can put on the PCI bus */
#pragma once
#include "engine/core/options.h"
#include "hw/device-context.h"

typedef struct {
    const char *name;           /* as QEMU has it */
    const char *description;
    /* Takes its options; the caller refuses what is left.  On failure nothing is left behind. */
    VitDevice *(*create)(VitDeviceContext *ctx, VitOptions *options, GError **error);
} VitPciDeviceType;

extern const VitPciDeviceType vit_pci_device_types[];   /* ended by a NULL name */

/* text: "virtio-blk-pci,drive=d0,..." or {"driver": "virtio-blk-pci", "drive": "d0", ...}.  Machine
 * lock held or machine not running.  Errors name the device or option and the nearest known one. */
[[nodiscard]] VitDevice *vit_pci_device_create(VitDeviceContext *ctx, const char *text,
                                               GError **error);
/* The same from options already parsed, and the parser, for who looks at them too. */
[[nodiscard]] VitDevice *vit_pci_device_create_from(VitDeviceContext *ctx, VitOptions *options,
                                                    GError **error);
[[nodiscard]] VitOptions *vit_device_options_parse(const char *text, GError **error);

/* For create functions: id=, addr=, bus= and multifunction=. */
typedef struct { const char *id; VitPciBus *bus; int devfn; } VitPciPlace;
[[nodiscard]] bool vit_pci_take_place(VitDeviceContext *ctx, VitOptions *options,
                                      VitPciPlace *place, GError **error);
/* Takes every option of the device's class->props. */
[[nodiscard]] bool vit_pci_take_props(VitDevice *device, VitOptions *options, GError **error);
/* The backend that option key names in a table, or NULL with error set (as without the option). */
[[nodiscard]] void *vit_pci_take_backend(VitOptions *options, const char *key, GHashTable *table,
                                         const char *kind, GError **error);
