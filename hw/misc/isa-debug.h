/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/isa-debug.h - debug ports that map themselves at their `iobase` option */
#pragma once
#include "engine/core/char.h"
#include "engine/core/device.h"

extern const VitDeviceClass vit_debugexit_class;
extern const VitDeviceClass vit_debugcon_class;

void vit_debugcon_set_chr(VitDevice *debugcon, VitChar *chr);   /* borrowed; NULL = discard */
