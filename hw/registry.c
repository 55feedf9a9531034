/* hw/registry.c - the list of device classes: one declaration and one line each, sorted by name
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/registry.h"

#include <string.h>

extern const VitDeviceClass vit_acpi_pm_class;
extern const VitDeviceClass vit_ahci_class;
extern const VitDeviceClass vit_bochs_display_class;
extern const VitDeviceClass vit_debugcon_class;
extern const VitDeviceClass vit_debugexit_class;
extern const VitDeviceClass vit_fw_cfg_class;
extern const VitDeviceClass vit_hpet_class;
extern const VitDeviceClass vit_i8042_class;
extern const VitDeviceClass vit_i8254_class;
extern const VitDeviceClass vit_i8259_class;
extern const VitDeviceClass vit_ide_cd_class;
extern const VitDeviceClass vit_ide_hd_class;
extern const VitDeviceClass vit_ioapic_class;
extern const VitDeviceClass vit_lapic_class;
extern const VitDeviceClass vit_mc146818_class;
extern const VitDeviceClass vit_pci_function_class;
extern const VitDeviceClass vit_pci_mechanism1_class;
extern const VitDeviceClass vit_piix3_ide_class;
extern const VitDeviceClass vit_reset_ports_class;
extern const VitDeviceClass vit_scsi_cd_class;
extern const VitDeviceClass vit_scsi_hd_class;
extern const VitDeviceClass vit_uart16550_class;
extern const VitDeviceClass vit_vga_class;
extern const VitDeviceClass vit_virtio_blk_class;
extern const VitDeviceClass vit_virtio_console_class;
extern const VitDeviceClass vit_virtio_gpu_class;
extern const VitDeviceClass vit_virtio_input_class;
extern const VitDeviceClass vit_virtio_net_class;
extern const VitDeviceClass vit_virtio_pci_class;
extern const VitDeviceClass vit_virtio_rng_class;
extern const VitDeviceClass vit_virtio_scsi_class;

const VitDeviceClass *const vit_device_classes[] = {
    &vit_acpi_pm_class,
    &vit_ahci_class,
    &vit_bochs_display_class,
    &vit_debugcon_class,
    &vit_debugexit_class,
    &vit_fw_cfg_class,
    &vit_hpet_class,
    &vit_i8042_class,
    &vit_i8254_class,
    &vit_i8259_class,
    &vit_ide_cd_class,
    &vit_ide_hd_class,
    &vit_ioapic_class,
    &vit_lapic_class,
    &vit_mc146818_class,
    &vit_pci_function_class,
    &vit_pci_mechanism1_class,
    &vit_piix3_ide_class,
    &vit_reset_ports_class,
    &vit_scsi_cd_class,
    &vit_scsi_hd_class,
    &vit_uart16550_class,
    &vit_vga_class,
    &vit_virtio_blk_class,
    &vit_virtio_console_class,   /* virtio-serial */
    &vit_virtio_gpu_class,
    &vit_virtio_input_class,
    &vit_virtio_net_class,
    &vit_virtio_pci_class,
    &vit_virtio_rng_class,
    &vit_virtio_scsi_class,
    NULL,
};

const VitDeviceClass *vit_device_class_find(const char *name)
{
    for (const VitDeviceClass *const *klass = vit_device_classes; *klass; klass++)
        if (strcmp((*klass)->name, name) == 0)
            return *klass;
    return NULL;
}
