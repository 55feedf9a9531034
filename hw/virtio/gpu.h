/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/gpu.h - the virtio display device, for transports that combine it with VGA */
#pragma once
#include "display/scanout.h"
#include "hw/virtio/virtio.h"

enum { VIT_VIRTIO_GPU_OUTPUTS = 16 };

/* Between vit_device_new() and vit_device_init(): where commands run; output 0 may be shared with a
 * VGA (borrowed), else the device makes its own. */
void vit_virtio_gpu_setup(VitDevice *d, VitIoThread *thread, VitScanout *shared);
unsigned vit_virtio_gpu_n_scanouts(VitDevice *d);
VitScanout *vit_virtio_gpu_scanout(VitDevice *d, unsigned n);   /* borrowed */
/* Told, on the command thread, when output 0 starts or stops showing a resource. */
void vit_virtio_gpu_set_active_hook(VitDevice *d, void (*active)(void *opaque, bool on),
                                    void *opaque);
/* A viewer wants another size, as the resize of a scanout of the device's own.  Any thread. */
void vit_virtio_gpu_resize(VitDevice *d, unsigned output, int width, int height, int width_mm,
                           int height_mm);
