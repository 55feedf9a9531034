/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/acpi/dsdt.c - what the DSDT tells of a PC board (ACPI 6.4, chapters 5.6, 6, 7.4; PCI Firmware
 * 3.2, chapter 4) */
#include "hw/acpi/acpi-tables.h"
#include "hw/acpi/aml.h"
#include "hw/intc/ioapic.h"

enum { SLOTS = 32, PINS = 4, PIRQ_GSI = 16 };

/* What firmware (and a direct boot) programs into PIRQA..D and PIRQE..H. */
static const uint8_t pirq_isa[4] = { 10, 10, 11, 11 };

static void put_prt(VitAml *a, const char *name, const VitAcpiConfig *config, bool apic)
{
    vit_aml_name(a, name);
    vit_aml_package_begin(a, SLOTS * PINS);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (unsigned pin = 0; pin < PINS; pin++) {
            unsigned line = config->q35 ? (slot + pin) & 3 : (slot + pin + 3) & 3;
            unsigned gsi = pirq_isa[line];
            if (apic)
                gsi = PIRQ_GSI + line + (slot < 25 ? 4 : 0);
            vit_aml_package_begin(a, 4);
            vit_aml_int(a, slot << 16 | 0xffff);
            vit_aml_int(a, pin);
            vit_aml_int(a, 0);
            vit_aml_int(a, gsi);
            vit_aml_end(a);
        }
    }
    vit_aml_end(a);
}

static void put_isa_device(VitAml *a, const char *name, const char *hid, unsigned uid,
                           uint16_t port,
                           uint8_t length, int irq)
{
    VitAmlResources res;
    vit_aml_device_begin(a, name);
    vit_aml_name_eisa(a, "_HID", hid);
    if (uid)
        vit_aml_name_int(a, "_UID", uid);
    vit_aml_resources_init(&res);
    if (port)
        vit_aml_resource_io(&res, port, length);
    if (irq >= 0)
        vit_aml_resource_irq(&res, (unsigned) irq);
    vit_aml_name_resources(a, "_CRS", &res);
    vit_aml_end(a);
}

static void put_keyboard(VitAml *a)
{
    VitAmlResources res;
    vit_aml_device_begin(a, "KBD");
    vit_aml_name_eisa(a, "_HID", "PNP0303");
    vit_aml_resources_init(&res);
    vit_aml_resource_io(&res, 0x60, 1);
    vit_aml_resource_io(&res, 0x64, 1);
    vit_aml_resource_irq(&res, 1);
    vit_aml_name_resources(a, "_CRS", &res);
    vit_aml_end(a);
    put_isa_device(a, "MOU", "PNP0F13", 0, 0, 0, 12);
}

static void put_isa_bridge(VitAml *a, const VitAcpiConfig *config)
{
    static const struct { const char *name; uint16_t port; uint8_t irq; } coms[4] = {
        { "COM1", 0x3f8, 4 }, { "COM2", 0x2f8, 3 }, { "COM3", 0x3e8, 4 }, { "COM4", 0x2e8, 3 },
    };
    vit_aml_device_begin(a, "ISA");
    vit_aml_name_int(a, "_ADR", config->q35 ? 0x1f0000 : 0x10000);
    put_isa_device(a, "RTC", "PNP0B00", 0, 0x70, 2, 8);
    put_isa_device(a, "TIMR", "PNP0100", 0, 0x40, 4, 0);
    put_isa_device(a, "SPKR", "PNP0800", 0, 0x61, 1, -1);
    if (config->i8042)
        put_keyboard(a);
    for (unsigned i = 0; i < G_N_ELEMENTS(coms); i++)
        if (config->serial[i])
            put_isa_device(a, coms[i].name, "PNP0501", i + 1, coms[i].port, 8, coms[i].irq);
    vit_aml_end(a);
}

static void put_host_bridge(VitAml *a, const VitAcpiConfig *config)
{
    VitAmlResources res;
    vit_aml_device_begin(a, "PCI0");
    vit_aml_name_eisa(a, "_HID", config->q35 ? "PNP0A08" : "PNP0A03");
    if (config->q35)
        vit_aml_name_eisa(a, "_CID", "PNP0A03");
    vit_aml_name_int(a, "_UID", 0);
    vit_aml_name_int(a, "_BBN", 0);
    vit_aml_resources_init(&res);
    vit_aml_resource_bus(&res, 0, 0xff);
    vit_aml_resource_io(&res, 0xcf8, 8);
    vit_aml_resource_io_window(&res, 0, 0xcf7);
    vit_aml_resource_io_window(&res, 0xd00, 0xffff);
    vit_aml_resource_memory_window(&res, 0xa0000, 0xbffff, true);
    vit_aml_resource_memory_window(&res, config->hole_first, config->hole_last, false);
    if (config->hole64_first)
        vit_aml_resource_memory_window(&res, config->hole64_first, config->hole64_last, true);
    vit_aml_name_resources(a, "_CRS", &res);

    if (config->q35) {
        put_prt(a, "PRTA", config, true);
        put_prt(a, "PRTP", config, false);
        vit_aml_method_begin(a, "_PRT", 0);
        vit_aml_if_begin(a);
        vit_aml_path(a, "\\PICM");
        vit_aml_return(a);
        vit_aml_path(a, "PRTA");
        vit_aml_end(a);
        vit_aml_return(a);
        vit_aml_path(a, "PRTP");
        vit_aml_end(a);
    } else {
        put_prt(a, "_PRT", config, false);
    }
    put_isa_bridge(a, config);
    vit_aml_end(a);
}

/* What belongs to the board and to no device that a driver takes. */
static void put_board_resources(VitAml *a, const VitAcpiConfig *config)
{
    VitAmlResources res;
    vit_aml_device_begin(a, "BRD");
    vit_aml_name_eisa(a, "_HID", "PNP0C02");
    vit_aml_resources_init(&res);
    vit_aml_resource_io(&res, config->pm_base, 0x80);
    vit_aml_resource_io(&res, 0xb2, 2);
    vit_aml_resource_io(&res, 0x4d0, 2);
    if (config->ecam_base)
        vit_aml_resource_memory32(&res, config->ecam_base, config->ecam_buses << 20, true);
    vit_aml_resource_memory32(&res, VIT_IOAPIC_BASE, 0x1000, true);
    vit_aml_resource_memory32(&res, 0xfee00000, 0x100000, true);
    vit_aml_name_resources(a, "_CRS", &res);
    vit_aml_end(a);

    vit_aml_device_begin(a, "FWCF");
    vit_aml_name(a, "_HID");
    vit_aml_string(a, "QEMU0002");
    vit_aml_name_int(a, "_STA", 0x0b);
    vit_aml_resources_init(&res);
    vit_aml_resource_io(&res, 0x510, 12);
    vit_aml_name_resources(a, "_CRS", &res);
    vit_aml_end(a);

    if (!config->hpet)
        return;
    vit_aml_device_begin(a, "HPET");
    vit_aml_name_eisa(a, "_HID", "PNP0103");
    vit_aml_name_int(a, "_UID", 0);
    vit_aml_resources_init(&res);
    vit_aml_resource_memory32(&res, 0xfed00000, 0x400, false);
    vit_aml_name_resources(a, "_CRS", &res);
    vit_aml_end(a);
}

static void put_cpus(VitAml *a, const VitAcpiConfig *config)
{
    for (unsigned i = 0; i < config->n_cpus; i++) {
        char name[8];
        g_snprintf(name, sizeof name, "C%03X", i & 0xfff);
        vit_aml_device_begin(a, name);
        vit_aml_name(a, "_HID");
        vit_aml_string(a, "ACPI0007");
        vit_aml_name_int(a, "_UID", i);
        vit_aml_end(a);
    }
}

GByteArray *vit_acpi_dsdt_build(const VitAcpiConfig *config)
{
    VitAml a;
    vit_aml_init(&a);
    vit_aml_name_int(&a, "\\PICM", 0);
    vit_aml_method_begin(&a, "\\_PIC", 1);
    vit_aml_store_arg0(&a, "\\PICM");
    vit_aml_end(&a);

    vit_aml_name(&a, "\\_S5");
    vit_aml_package_begin(&a, 4);
    for (unsigned i = 0; i < 4; i++)
        vit_aml_int(&a, 0);
    vit_aml_end(&a);

    vit_aml_scope_begin(&a, "\\_SB");
    put_host_bridge(&a, config);
    put_board_resources(&a, config);
    put_cpus(&a, config);
    vit_aml_end(&a);
    return vit_aml_finish(&a);
}
