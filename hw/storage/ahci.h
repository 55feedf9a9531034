/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ahci.h - the AHCI controller of the ICH9 ("ich9-ahci"), six ports */
#pragma once
#include "hw/pci/pci.h"
#include "hw/storage/ata.h"

enum { VIT_AHCI_PORTS = 6 };

extern const VitDeviceClass vit_ahci_class;

/* Between vit_device_new() and vit_device_init(). */
void vit_ahci_plug(VitDevice *ahci, VitPciBus *bus, int devfn);
/* After init of both.  False when the port is taken. */
[[nodiscard]] bool vit_ahci_attach(VitDevice *ahci, unsigned port, VitAtaDrive *drive);
