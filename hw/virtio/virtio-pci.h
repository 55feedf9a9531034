/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-pci.h - shows a virtio device as a PCI function (modern, non-transitional) */
#pragma once
#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

typedef struct {
    int      devfn;         /* -1 = first free slot */
    unsigned vectors;       /* MSI-X; 0 = one a queue and one for the configuration */
    unsigned bar, msix_bar; /* 0, 0 = 4 and 1 */
    uint16_t pci_class;     /* 0 = the device's own */
} VitVirtioPciOptions;

/* v is initialised.  The function and the transport are devices "<id>.pci" and "<id>.transport". */
[[nodiscard]] VitPciFunction *vit_virtio_pci_new(VitPciBus *bus, VitVirtio *v,
                                                 const VitVirtioPciOptions *options,
                                                 GError **error);

extern const VitDeviceClass vit_virtio_pci_class;
