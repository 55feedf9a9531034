/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/acpi/acpi-tables.h - ACPI tables of the PC boards, as blobs that firmware or we put in
 * place */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool     q35;
    unsigned n_cpus;            /* APIC IDs 0 .. n_cpus - 1 */
    bool     hpet, i8042;
    bool     serial[4];
    uint16_t pm_base;
    uint32_t ecam_base;         /* 0 = no MCFG */
    uint32_t ecam_buses;
    uint32_t hole_first, hole_last;         /* PCI memory below 4 GiB */
    uint64_t hole64_first, hole64_last;     /* above; 0 = none */
} VitAcpiConfig;

enum { VIT_ACPI_SCI = 9 };

/* Files of the loader protocol: "etc/acpi/tables", "etc/acpi/rsdp" and "etc/table-loader". */
typedef struct {
    GByteArray *tables, *rsdp, *loader;     /* owned */
} VitAcpiTables;

#define VIT_ACPI_TABLES_FILE "etc/acpi/tables"
#define VIT_ACPI_RSDP_FILE "etc/acpi/rsdp"
#define VIT_ACPI_LOADER_FILE "etc/table-loader"

void vit_acpi_tables_build(VitAcpiTables *out, const VitAcpiConfig *config);
void vit_acpi_tables_clear(VitAcpiTables *tables);
/* What firmware does with the loader file: fixes pointers and checksums for the tables at this
 * address. */
void vit_acpi_tables_link(VitAcpiTables *tables, uint32_t tables_at);

/* The DSDT's code (hw/acpi/dsdt.c), without header; caller owns. */
GByteArray *vit_acpi_dsdt_build(const VitAcpiConfig *config);
