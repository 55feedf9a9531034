/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/acpi/acpi-tables.c - RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET, MCFG and the loader file
 * (ACPI 6.4, chapter 5.2; HPET 1.0a, 3.2.4; PCI Firmware 3.2, 4.1.2; table loader: the fw_cfg
 * "etc/table-loader" protocol of 128-byte commands) */
#include "hw/acpi/acpi-tables.h"
#include "hw/intc/ioapic.h"
#include "hw/misc/acpi-pm.h"
#include <string.h>

enum { HEADER_SIZE = 36, CHECKSUM = 9, FACS_SIZE = 64, FADT_SIZE = 244, MAX_TABLES = 8 };
enum { LOAD_ALLOCATE = 1, LOAD_POINTER = 2, LOAD_CHECKSUM = 3, ZONE_HIGH = 1, ZONE_FSEG = 2,
       FILE_NAME = 56 };
enum { SPACE_IO = 1 };

typedef struct {                /* one command of the loader file; little-endian */
    uint32_t command;
    char     file[FILE_NAME];
    union {
        struct { uint32_t align; uint8_t zone; } __attribute__((packed)) allocate;
        struct {
            char source[FILE_NAME];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct { uint32_t offset, start, length; } __attribute__((packed)) checksum;
        uint8_t  pad[68];
    };
} __attribute__((packed)) LoaderCommand;
static_assert(sizeof(LoaderCommand) == 128);

typedef struct {
    VitAcpiTables *out;
    const VitAcpiConfig *config;
    uint32_t listed[MAX_TABLES];    /* offsets of the tables that RSDT and XSDT name */
    unsigned n_listed;
} Builder;

static void put(GByteArray *b, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);
    g_byte_array_append(b, (const uint8_t *) &le, size);
}

static void put_zeroes(GByteArray *b, unsigned n)
{
    while (n--)
        put(b, 0, 1);
}

static void patch(GByteArray *b, uint32_t at, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);
    memcpy(b->data + at, &le, size);
}

static void command(Builder *b, LoaderCommand c, const char *file)
{
    c.command = GUINT32_TO_LE(c.command);
    g_strlcpy(c.file, file, FILE_NAME);
    g_byte_array_append(b->out->loader, (const uint8_t *) &c, sizeof c);
}

static void add_allocate(Builder *b, const char *file, uint32_t align, uint8_t zone)
{
    command(b, (LoaderCommand) { .command = LOAD_ALLOCATE,
                                 .allocate = { GUINT32_TO_LE(align), zone } }, file);
}

/* At `at` in file stands an offset into the tables; it becomes an address. */
static void add_pointer(Builder *b, const char *file, uint32_t at, uint8_t size)
{
    LoaderCommand c = { .command = LOAD_POINTER, .pointer = { .offset = GUINT32_TO_LE(at),
                                                              .size = size } };
    g_strlcpy(c.pointer.source, VIT_ACPI_TABLES_FILE, FILE_NAME);
    command(b, c, file);
}

static void add_checksum(Builder *b, const char *file, uint32_t at, uint32_t start, uint32_t length)
{
    command(b, (LoaderCommand) { .command = LOAD_CHECKSUM,
                                 .checksum = { GUINT32_TO_LE(at), GUINT32_TO_LE(start),
                                               GUINT32_TO_LE(length) } },
            file);
}

static uint32_t begin_table(Builder *b, const char *signature, uint8_t revision)
{
    GByteArray *t = b->out->tables;
    while (t->len % 8)
        put(t, 0, 1);
    uint32_t at = t->len;
    g_byte_array_append(t, (const uint8_t *) signature, 4);
    put(t, 0, 4);
    put(t, revision, 1);
    put(t, 0, 1);
    g_byte_array_append(t, (const uint8_t *) "VITRNE", 6);
    g_byte_array_append(t, (const uint8_t *) "VITRNEPC", 8);
    put(t, 1, 4);
    g_byte_array_append(t, (const uint8_t *) "VTRN", 4);
    put(t, 1, 4);
    return at;
}

static void end_table(Builder *b, uint32_t at, bool listed)
{
    uint32_t length = b->out->tables->len - at;
    patch(b->out->tables, at + 4, length, 4);
    add_checksum(b, VIT_ACPI_TABLES_FILE, at + CHECKSUM, at, length);
    if (listed)
        b->listed[b->n_listed++] = at;
}

static uint32_t put_facs(Builder *b)
{
    GByteArray *t = b->out->tables;
    uint32_t at = t->len;       /* the first table: 64-byte aligned as the blob is */
    g_byte_array_append(t, (const uint8_t *) "FACS", 4);
    put(t, FACS_SIZE, 4);
    put_zeroes(t, 24);
    put(t, 2, 1);               /* version */
    put_zeroes(t, FACS_SIZE - 33);
    return at;
}

static uint32_t put_dsdt(Builder *b)
{
    uint32_t at = begin_table(b, "DSDT", 2);
    g_autoptr(GByteArray) code = vit_acpi_dsdt_build(b->config);
    g_byte_array_append(b->out->tables, code->data, code->len);
    end_table(b, at, false);
    return at;
}

static void put_gas(GByteArray *t, uint8_t space, unsigned bits, uint64_t address)
{
    put(t, space, 1);
    put(t, bits, 1);
    put(t, 0, 1);
    put(t, address ? MIN(bits / 8, 3) : 0, 1);      /* access size: byte, word, dword */
    put(t, address, 8);
}

static void put_fadt(Builder *b, uint32_t facs, uint32_t dsdt)
{
    enum { WBINVD = 1 << 0, PROC_C1 = 1 << 2, NO_SLEEP_BUTTON = 1 << 5, NO_FIX_RTC = 1 << 6,
           RESET_REG = 1 << 10 };
    GByteArray *t = b->out->tables;
    uint16_t pm = b->config->pm_base;
    uint32_t at = begin_table(b, "FACP", 3);
    put(t, facs, 4);
    put(t, dsdt, 4);
    put(t, 1, 1);               /* model: reserved, 1 = dual PIC of ACPI 1.0 */
    put(t, 0, 1);               /* preferred profile: unspecified */
    put(t, VIT_ACPI_SCI, 2);
    put(t, 0xb2, 4);            /* SMI_CMD */
    put(t, VIT_ACPI_ENABLE, 1);
    put(t, VIT_ACPI_DISABLE, 1);
    put_zeroes(t, 2);           /* S4BIOS_REQ, PSTATE_CNT */
    put(t, pm + VIT_ACPI_PM1_EVT, 4);
    put(t, 0, 4);
    put(t, pm + VIT_ACPI_PM1_CNT, 4);
    put_zeroes(t, 8);           /* PM1b_CNT, PM2_CNT */
    put(t, pm + VIT_ACPI_PM_TMR, 4);
    put(t, pm + VIT_ACPI_GPE0, 4);
    put(t, 0, 4);
    put(t, 4, 1);               /* lengths: PM1_EVT, PM1_CNT, PM2_CNT, PM_TMR, GPE0, GPE1 */
    put(t, 2, 1);
    put(t, 0, 1);
    put(t, 4, 1);
    put(t, VIT_ACPI_GPE0_SIZE, 1);
    put_zeroes(t, 3);           /* GPE1 length, base, _CST */
    put(t, 0xfff, 2);           /* C2 and C3 latencies: not supported */
    put(t, 0xfff, 2);
    put_zeroes(t, 6);           /* flush size and stride, duty offset and width */
    put_zeroes(t, 2);           /* day and month alarm */
    put(t, 0x32, 1);            /* century */
    put(t, 1 | (b->config->i8042 ? 2 : 0), 2);      /* legacy devices, 8042 */
    put(t, 0, 1);
    put(t, WBINVD | PROC_C1 | NO_SLEEP_BUTTON | NO_FIX_RTC | RESET_REG, 4);
    put_gas(t, SPACE_IO, 8, 0xcf9);
    put(t, 0x0f, 1);
    put_zeroes(t, 3);
    put(t, 0, 8);               /* the FACS is below 4 GiB: named once */
    put(t, dsdt, 8);
    put_gas(t, SPACE_IO, 32, pm + VIT_ACPI_PM1_EVT);
    put_gas(t, SPACE_IO, 0, 0);
    put_gas(t, SPACE_IO, 16, pm + VIT_ACPI_PM1_CNT);
    put_gas(t, SPACE_IO, 0, 0);
    put_gas(t, SPACE_IO, 0, 0);
    put_gas(t, SPACE_IO, 32, pm + VIT_ACPI_PM_TMR);
    put_gas(t, SPACE_IO, VIT_ACPI_GPE0_SIZE * 8, pm + VIT_ACPI_GPE0);
    put_gas(t, SPACE_IO, 0, 0);
    g_assert(t->len - at == FADT_SIZE);
    add_pointer(b, VIT_ACPI_TABLES_FILE, at + 36, 4);
    add_pointer(b, VIT_ACPI_TABLES_FILE, at + 40, 4);
    add_pointer(b, VIT_ACPI_TABLES_FILE, at + 140, 8);
    end_table(b, at, true);
}

static void put_override(GByteArray *t, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put(t, 2, 1);
    put(t, 10, 1);
    put(t, 0, 1);               /* ISA */
    put(t, irq, 1);
    put(t, gsi, 4);
    put(t, flags, 2);
}

static void put_madt(Builder *b)
{
    enum { LEVEL_HIGH = 0x0d };
    GByteArray *t = b->out->tables;
    uint32_t at = begin_table(b, "APIC", 3);
    put(t, 0xfee00000, 4);
    put(t, 1, 4);               /* an 8259 pair is there too */
    for (unsigned i = 0; i < b->config->n_cpus; i++) {
        put(t, 0, 1);
        put(t, 8, 1);
        put(t, i, 1);
        put(t, i, 1);
        put(t, 1, 4);
    }
    put(t, 1, 1);               /* I/O APIC 0 from interrupt 0 on */
    put(t, 12, 1);
    put(t, 0, 2);
    put(t, VIT_IOAPIC_BASE, 4);
    put(t, 0, 4);
    put_override(t, 0, 2, 0);
    put_override(t, VIT_ACPI_SCI, VIT_ACPI_SCI, LEVEL_HIGH);
    if (!b->config->q35) {
        put_override(t, 10, 10, LEVEL_HIGH);
        put_override(t, 11, 11, LEVEL_HIGH);
    }
    put(t, 4, 1);               /* NMI at LINT1 of every processor */
    put(t, 6, 1);
    put(t, 0xff, 1);
    put(t, 0, 2);
    put(t, 1, 1);
    end_table(b, at, true);
}

static void put_hpet(Builder *b)
{
    GByteArray *t = b->out->tables;
    uint32_t at = begin_table(b, "HPET", 1);
    put(t, 0x8086a201, 4);
    put_gas(t, 0, 0, 0);
    patch(t, t->len - 8, 0xfed00000, 8);
    put(t, 0, 1);
    put(t, 0x80, 2);            /* fewest ticks in periodic mode */
    put(t, 0, 1);
    end_table(b, at, true);
}

static void put_mcfg(Builder *b)
{
    GByteArray *t = b->out->tables;
    uint32_t at = begin_table(b, "MCFG", 1);
    put(t, 0, 8);
    put(t, b->config->ecam_base, 8);
    put(t, 0, 2);
    put(t, 0, 1);
    put(t, b->config->ecam_buses - 1, 1);
    put(t, 0, 4);
    end_table(b, at, true);
}

static uint32_t put_root(Builder *b, const char *signature, uint8_t width)
{
    uint32_t at = begin_table(b, signature, 1);
    for (unsigned i = 0; i < b->n_listed; i++) {
        add_pointer(b, VIT_ACPI_TABLES_FILE, b->out->tables->len, width);
        put(b->out->tables, b->listed[i], width);
    }
    end_table(b, at, false);
    return at;
}

static void put_rsdp(Builder *b, uint32_t rsdt, uint32_t xsdt)
{
    GByteArray *r = b->out->rsdp;
    g_byte_array_append(r, (const uint8_t *) "RSD PTR ", 8);
    put(r, 0, 1);
    g_byte_array_append(r, (const uint8_t *) "VITRNE", 6);
    put(r, 2, 1);
    put(r, rsdt, 4);
    put(r, 36, 4);
    put(r, xsdt, 8);
    put(r, 0, 4);               /* extended checksum and reserved */
    add_pointer(b, VIT_ACPI_RSDP_FILE, 16, 4);
    add_pointer(b, VIT_ACPI_RSDP_FILE, 24, 8);
    add_checksum(b, VIT_ACPI_RSDP_FILE, 8, 0, 20);
    add_checksum(b, VIT_ACPI_RSDP_FILE, 32, 0, 36);
}

void vit_acpi_tables_build(VitAcpiTables *out, const VitAcpiConfig *config)
{
    *out = (VitAcpiTables) { g_byte_array_new(), g_byte_array_new(), g_byte_array_new() };
    Builder b = { .out = out, .config = config };
    add_allocate(&b, VIT_ACPI_TABLES_FILE, 64, ZONE_HIGH);
    add_allocate(&b, VIT_ACPI_RSDP_FILE, 16, ZONE_FSEG);
    uint32_t facs = put_facs(&b), dsdt = put_dsdt(&b);
    put_fadt(&b, facs, dsdt);
    put_madt(&b);
    if (config->hpet)
        put_hpet(&b);
    if (config->ecam_base)
        put_mcfg(&b);
    uint32_t rsdt = put_root(&b, "RSDT", 4), xsdt = put_root(&b, "XSDT", 8);
    put_rsdp(&b, rsdt, xsdt);
}

void vit_acpi_tables_clear(VitAcpiTables *tables)
{
    g_clear_pointer(&tables->tables, g_byte_array_unref);
    g_clear_pointer(&tables->rsdp, g_byte_array_unref);
    g_clear_pointer(&tables->loader, g_byte_array_unref);
}

void vit_acpi_tables_link(VitAcpiTables *tables, uint32_t tables_at)
{
    const GByteArray *loader = tables->loader;
    for (uint32_t at = 0; at + sizeof(LoaderCommand) <= loader->len; at += sizeof(LoaderCommand)) {
        LoaderCommand c;
        memcpy(&c, loader->data + at, sizeof c);
        GByteArray *file = strcmp(c.file, VIT_ACPI_RSDP_FILE) == 0 ? tables->rsdp : tables->tables;
        if (GUINT32_FROM_LE(c.command) == LOAD_POINTER) {
            uint64_t value = 0;
            uint32_t offset = GUINT32_FROM_LE(c.pointer.offset);
            memcpy(&value, file->data + offset, c.pointer.size);
            patch(file, offset, GUINT64_FROM_LE(value) + tables_at, c.pointer.size);
        } else if (GUINT32_FROM_LE(c.command) == LOAD_CHECKSUM) {
            uint32_t start = GUINT32_FROM_LE(c.checksum.start);
            uint32_t length = GUINT32_FROM_LE(c.checksum.length);
            uint8_t sum = 0;
            for (uint32_t i = 0; i < length; i++)
                sum += file->data[start + i];
            file->data[GUINT32_FROM_LE(c.checksum.offset)] -= sum;
        }
    }
}
