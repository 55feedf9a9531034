/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-devices.h - classes and create functions of the virtio devices */
#pragma once
#include "hw/pci/pci-devices.h"
#include "hw/virtio/virtio.h"

extern const VitDeviceClass vit_virtio_blk_class;
extern const VitDeviceClass vit_virtio_console_class;
extern const VitDeviceClass vit_virtio_gpu_class;
extern const VitDeviceClass vit_virtio_input_class;
extern const VitDeviceClass vit_virtio_net_class;
extern const VitDeviceClass vit_virtio_rng_class;
extern const VitDeviceClass vit_virtio_scsi_class;

VitDevice *vit_virtio_blk_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_console_port_create(VitDeviceContext *ctx, VitOptions *options,
                                          GError **error);
VitDevice *vit_virtio_gpu_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_keyboard_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_mouse_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_net_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_rng_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_scsi_cd_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_scsi_hd_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_scsi_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_serial_port_create(VitDeviceContext *ctx, VitOptions *options,
                                         GError **error);
VitDevice *vit_virtio_serial_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_tablet_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_virtio_vga_create(VitDeviceContext *ctx, VitOptions *options, GError **error);

/* What the create functions share: place=, vectors= and the class's own options, then setup() for
 * host handles (may fail; NULL = none), init, transport.  Cleans up after a failure. */
typedef bool (*VitVirtioSetup)(VitDevice *device, VitDeviceContext *ctx, VitOptions *options,
                               GError **error);
VitDevice *vit_virtio_create_pci(VitDeviceContext *ctx, VitOptions *options,
                                 const VitDeviceClass *klass, VitVirtioSetup setup,
                                 unsigned default_vectors, GError **error);
