/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/acpi-pm.h - ACPI fixed hardware; all under the machine lock */
#pragma once
#include "engine/core/device.h"

enum {
    VIT_ACPI_PM_SIZE = 0x80,        /* I/O window at PMBASE (the 82371AB decodes the first half) */
    VIT_ACPI_PM_APM = 0x80,         /* window offset of ports B2h and B3h */
    VIT_ACPI_PM1_EVT = 0x00, VIT_ACPI_PM1_CNT = 0x04, VIT_ACPI_PM_TMR = 0x08, VIT_ACPI_GPE0 = 0x20,
    VIT_ACPI_GPE0_SIZE = 16,        /* status and enable, 8 bytes each */
    VIT_ACPI_ENABLE = 2, VIT_ACPI_DISABLE = 3,  /* written to port B2h */
};

/* Output 0: SCI, level. */
extern const VitDeviceClass vit_acpi_pm_class;

void vit_acpi_pm_power_button(VitDevice *pm);
