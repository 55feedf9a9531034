/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/storage-devices.h - create functions of the disk controllers and their drives */
#pragma once
#include "hw/pci/pci-devices.h"

VitDevice *vit_ahci_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_piix3_ide_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
/* "drive=ID,bus=ide.N,unit=M,serial=..."; the first controller's buses are ide.0, ide.1 ...
 * Without a controller the board's usual one is made first. */
VitDevice *vit_ide_hd_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
VitDevice *vit_ide_cd_create(VitDeviceContext *ctx, VitOptions *options, GError **error);
