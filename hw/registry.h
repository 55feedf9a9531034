/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/registry.h - every device class there is, for -device, saved states and the common tests */
#pragma once
#include "engine/core/device.h"

extern const VitDeviceClass *const vit_device_classes[];    /* ended by NULL */

/* NULL when there is none of that name. */
[[nodiscard]] const VitDeviceClass *vit_device_class_find(const char *name);
