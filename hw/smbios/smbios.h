/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/smbios/smbios.h - SMBIOS tables of the PC boards */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *product;            /* "Vitrine PC (Q35)" */
    const char *version;
    unsigned    n_cpus;
    uint64_t    ram_size, low_ram_size;
    const uint8_t *uuid;            /* 16 bytes in network order, or NULL */
} VitSmbiosConfig;

enum { VIT_SMBIOS_ANCHOR_SIZE = 31 };
#define VIT_SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"
#define VIT_SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"

/* The structures; caller owns. *count: how many, *largest: size of the largest. */
GByteArray *vit_smbios_build(const VitSmbiosConfig *config, unsigned *count, unsigned *largest);
/* 2.8 entry point for a table of that size at that address (0: firmware fills address and
 * checksums). */
void vit_smbios_anchor(uint8_t anchor[VIT_SMBIOS_ANCHOR_SIZE], uint32_t address, unsigned size,
                       unsigned count,
                       unsigned largest);
