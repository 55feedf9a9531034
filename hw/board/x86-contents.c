/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/x86-contents.c - what firmware finds in CMOS RAM and in fw_cfg
 * (CMOS: the PC/AT map as firmware reads it; fw_cfg: the public specification's standard items and
 * the file names that SeaBIOS reads) */
#include "hw/board/x86-board.h"

#include "hw/intc/ioapic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/smbios/smbios.h"
#include "hw/timer/mc146818.h"
#include <string.h>

#define VERSION_TEXT "0.1"
enum { PHYSICAL_BITS = 40 };    /* of the CPU models that a board runs; memory ends below */

static void cmos16(X86Board *b, uint8_t index, uint64_t value)
{
    vit_mc146818_set_cmos(b->rtc, index, (uint8_t) value);
    vit_mc146818_set_cmos(b->rtc, index + 1, (uint8_t) (value >> 8));
}

static uint8_t boot_nibble(char letter)
{
    switch (letter) {
    case 'a': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
    }
}

static void fill_cmos(X86Board *b)
{
    uint64_t low = b->board.low_ram_size, high = b->config.ram_size - low;
    uint64_t over_1m = low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0;
    uint64_t over_16m = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;
    cmos16(b, 0x15, 640);
    cmos16(b, 0x17, MIN(over_1m, 63 << 10));
    cmos16(b, 0x30, MIN(over_1m, 63 << 10));
    cmos16(b, 0x34, MIN(over_16m, 0xffff));
    cmos16(b, 0x5b, high >> 16);
    vit_mc146818_set_cmos(b->rtc, 0x5d, (uint8_t) (high >> 32));
    vit_mc146818_set_cmos(b->rtc, 0x5f, (uint8_t) (b->board.n_cpus - 1));
    vit_mc146818_set_cmos(b->rtc, 0x14, 0x06);      /* FPU, PS/2 mouse; no floppy drive */

    const char *order = b->config.boot_order ? b->config.boot_order : "cad";
    uint8_t boot[3] = { 0 };
    for (unsigned i = 0; i < 3 && order[i]; i++)
        boot[i] = boot_nibble(order[i]);
    vit_mc146818_set_cmos(b->rtc, 0x3d, (uint8_t) (boot[1] << 4 | boot[0]));
    vit_mc146818_set_cmos(b->rtc, 0x38, (uint8_t) (boot[2] << 4 | 1)); /* bit 0: no floppy check */
}

void x86_contents_acpi(const X86Board *b, VitAcpiConfig *acpi)
{
    uint64_t high = b->config.ram_size - b->board.low_ram_size, gib = 1ull << 30;
    *acpi = (VitAcpiConfig) {
        .q35 = b->chipset->q35, .n_cpus = b->board.n_cpus, .hpet = b->hpet, .i8042 = b->i8042,
        .pm_base = X86_PM_BASE, .hole_last = VIT_IOAPIC_BASE - 1,
        .hole64_first = (X86_FOUR_GIB + high + gib - 1) & ~(gib - 1),
    };
    acpi->hole64_last = (1ull << PHYSICAL_BITS) - 1;    /* firmware places BARs at the very top */
    for (unsigned i = 0; i < G_N_ELEMENTS(acpi->serial); i++)
        acpi->serial[i] = b->uarts[i];
    b->chipset->describe(b, acpi);
}

static void fill_e820(X86Board *b)
{
    struct { uint64_t base, size; uint32_t type; } __attribute__((packed)) entries[2] = {
        { 0, GUINT64_TO_LE(b->board.low_ram_size), GUINT32_TO_LE(1) },
        { GUINT64_TO_LE(X86_FOUR_GIB), GUINT64_TO_LE(b->config.ram_size - b->board.low_ram_size),
          GUINT32_TO_LE(1) },
    };
    unsigned n = b->ram_high ? 2 : 1;
    vit_fw_cfg_set_file(b->board.fw_cfg, "etc/e820", entries, n * sizeof entries[0]);
}

static void fill_tables(X86Board *b)
{
    VitDevice *f = b->board.fw_cfg;
    VitAcpiConfig config;
    VitAcpiTables acpi;
    x86_contents_acpi(b, &config);
    vit_acpi_tables_build(&acpi, &config);
    vit_fw_cfg_set_file(f, VIT_ACPI_TABLES_FILE, acpi.tables->data, acpi.tables->len);
    vit_fw_cfg_set_file(f, VIT_ACPI_RSDP_FILE, acpi.rsdp->data, acpi.rsdp->len);
    vit_fw_cfg_set_file(f, VIT_ACPI_LOADER_FILE, acpi.loader->data, acpi.loader->len);
    vit_acpi_tables_clear(&acpi);

    unsigned count, largest;
    uint8_t anchor[VIT_SMBIOS_ANCHOR_SIZE];
    g_autoptr(GByteArray) smbios = x86_contents_smbios(b, &count, &largest);
    vit_smbios_anchor(anchor, 0, smbios->len, count, largest);
    vit_fw_cfg_set_file(f, VIT_SMBIOS_TABLES_FILE, smbios->data, smbios->len);
    vit_fw_cfg_set_file(f, VIT_SMBIOS_ANCHOR_FILE, anchor, sizeof anchor);
}

GByteArray *x86_contents_smbios(const X86Board *b, unsigned *count, unsigned *largest)
{
    VitSmbiosConfig config = {
        .product = b->chipset->product, .version = VERSION_TEXT, .n_cpus = b->board.n_cpus,
        .ram_size = b->config.ram_size, .low_ram_size = b->board.low_ram_size,
        .uuid = b->config.have_uuid ? b->config.uuid : NULL,
    };
    return vit_smbios_build(&config, count, largest);
}

void x86_contents_fill(X86Board *b)
{
    static const uint8_t system_states[6] = { 128, 0, 0, 0, 0, 128 };  /* no S3, no S4; S5 */
    VitDevice *f = b->board.fw_cfg;
    fill_cmos(b);
    vit_fw_cfg_set(f, VIT_FW_CFG_UUID, b->config.uuid, sizeof b->config.uuid);
    vit_fw_cfg_set_u64(f, VIT_FW_CFG_RAM_SIZE, b->config.ram_size);
    vit_fw_cfg_set_u16(f, VIT_FW_CFG_NOGRAPHIC, b->config.no_graphics);
    vit_fw_cfg_set_u16(f, VIT_FW_CFG_NB_CPUS, (uint16_t) b->board.n_cpus);
    vit_fw_cfg_set_u16(f, VIT_FW_CFG_MAX_CPUS, (uint16_t) b->board.n_cpus);
    vit_fw_cfg_set_u16(f, VIT_FW_CFG_BOOT_MENU, b->config.boot_menu);
    vit_fw_cfg_set_file(f, "etc/system-states", system_states, sizeof system_states);
    fill_e820(b);
    fill_tables(b);
    if (b->config.boot_paths)
        vit_fw_cfg_set_file(f, "bootorder", b->config.boot_paths, strlen(b->config.boot_paths) + 1);
    if (b->config.no_graphics && b->uarts[0]) {
        uint16_t port = GUINT16_TO_LE(0x3f8);       /* firmware's screen goes to the serial port */
        vit_fw_cfg_set_file(f, "etc/sercon-port", &port, sizeof port);
    }
}
