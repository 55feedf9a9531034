/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-devices.c - building a virtio device on the PCI bus from its options */
#include "hw/virtio/virtio-devices.h"

#include "hw/virtio/virtio-pci.h"

/* What the rings offer: packed=, indirect_desc=, event_idx=. */
static bool take_rings(VitVirtio *v, VitOptions *options, GError **error)
{
    bool packed = false, indirect = true, event = true;

    if (!vit_options_take_bool(options, "packed", &packed, error) ||
        !vit_options_take_bool(options, "indirect_desc", &indirect, error) ||
        !vit_options_take_bool(options, "event_idx", &event, error))
        return false;
    v->ring_add = packed ? VIT_VIRTIO_F_PACKED : 0;
    v->ring_hide = (indirect ? 0 : VIT_VIRTIO_F_INDIRECT) | (event ? 0 : VIT_VIRTIO_F_EVENT_IDX);
    return true;
}

VitDevice *vit_virtio_create_pci(VitDeviceContext *ctx, VitOptions *options,
                                 const VitDeviceClass *klass, VitVirtioSetup setup,
                                 unsigned default_vectors, GError **error)
{
    VitPciPlace place;
    uint64_t vectors = default_vectors;

    if (!vit_pci_take_place(ctx, options, &place, error) ||
        !vit_options_take_uint(options, "vectors", VIT_PCI_MSIX_MAX, &vectors, error))
        return NULL;

    VitDevice *d = vit_device_new(ctx->sys, klass, place.id);
    if (!take_rings((VitVirtio *) d, options, error) || !vit_pci_take_props(d, options, error) ||
        (setup && !setup(d, ctx, options, error)) ||
        !vit_options_finish(options, error)) {
        vit_device_free(d);
        return NULL;
    }
    if (!vit_device_init(d, error))
        return NULL;
    VitVirtioPciOptions o = { .devfn = place.devfn, .vectors = (unsigned) vectors };
    if (!vit_virtio_pci_new(place.bus, (VitVirtio *) d, &o, error)) {
        vit_device_free(d);
        return NULL;
    }
    return d;
}
