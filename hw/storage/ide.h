/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ide.h - the PIIX3's IDE function: two channels of two drives, bus-master DMA */
#pragma once
#include "hw/pci/pci.h"
#include "hw/storage/ata.h"

extern const VitDeviceClass vit_piix3_ide_class;

/* Between vit_device_new() and vit_device_init().  Outputs 0 and 1 are ISA interrupts 14 and 15. */
void vit_ide_plug(VitDevice *ide, VitPciBus *bus, int devfn);
/* After init of both.  False when the place is taken. */
[[nodiscard]] bool vit_ide_attach(VitDevice *ide, unsigned channel, unsigned unit,
                                  VitAtaDrive *drive);
