/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/smbios/smbios.c - SMBIOS structures 0, 1, 3, 4, 16, 17, 19, 32 and 127 (DMTF DSP0134, laid out
 * as of 2.8: chapter 7; entry point: 5.2.1) */
#include "hw/smbios/smbios.h"
#include <string.h>

enum { NO_HANDLE = 0xfffe, UNKNOWN = 2, OTHER = 1, SAFE = 3 };
enum { BIOS = 0x000, SYSTEM = 0x100, CHASSIS = 0x300, CPU = 0x400, ARRAY = 0x1000, DEVICE = 0x1100,
       MAPPING = 0x1300, BOOT = 0x2000, END = 0x7f00 };
static const uint64_t GIB = 1ull << 30;
static const uint64_t MODULE_MAX = 16ull << 30;     /* one memory device shows at most this */

typedef struct {
    GByteArray *bytes;
    GString *strings;           /* of the open structure, each with its NUL */
    unsigned n_strings, start, count, largest;
} Builder;

static void put(Builder *b, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);
    g_byte_array_append(b->bytes, (const uint8_t *) &le, size);
}

static void begin(Builder *b, uint8_t type, unsigned handle)
{
    b->start = b->bytes->len;
    b->n_strings = 0;
    g_string_truncate(b->strings, 0);
    put(b, type, 1);
    put(b, 0, 1);
    put(b, handle, 2);
}

static void put_string(Builder *b, const char *text)
{
    if (!text) {
        put(b, 0, 1);
        return;
    }
    g_string_append_len(b->strings, text, (gssize) strlen(text) + 1);
    put(b, ++b->n_strings, 1);
}

static void end(Builder *b)
{
    b->bytes->data[b->start + 1] = (uint8_t) (b->bytes->len - b->start);
    g_byte_array_append(b->bytes, (const uint8_t *) b->strings->str, (guint) b->strings->len);
    put(b, 0, b->n_strings ? 1 : 2);
    b->count++;
    b->largest = MAX(b->largest, b->bytes->len - b->start);
}

static void put_bios(Builder *b, const VitSmbiosConfig *config)
{
    begin(b, 0, BIOS);
    put_string(b, "Vitrine");
    put_string(b, config->version);
    put(b, 0xe800, 2);
    put_string(b, "01/01/2025");
    put(b, 0, 1);
    put(b, 1 << 3, 8);          /* characteristics are not given */
    put(b, 0, 1);
    put(b, 1 << 4 | 1 << 2, 1); /* this is a virtual machine; targeted content distribution */
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0xff, 1);
    put(b, 0xff, 1);
    end(b);
}

static void put_system(Builder *b, const VitSmbiosConfig *config)
{
    begin(b, 1, SYSTEM);
    put_string(b, "Vitrine");
    put_string(b, config->product);
    put_string(b, config->version);
    put_string(b, NULL);
    if (config->uuid) {         /* the first three fields are little-endian: 7.2.1 */
        static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
        for (unsigned i = 0; i < 16; i++)
            put(b, config->uuid[order[i]], 1);
    } else {
        put(b, 0, 8);
        put(b, 0, 8);
    }
    put(b, 6, 1);               /* woken by the power switch */
    put_string(b, NULL);
    put_string(b, "Virtual Machine");
    end(b);
}

static void put_chassis(Builder *b, const VitSmbiosConfig *config)
{
    begin(b, 3, CHASSIS);
    put_string(b, "Vitrine");
    put(b, OTHER, 1);
    put_string(b, config->version);
    put_string(b, NULL);
    put_string(b, NULL);
    put(b, SAFE, 1);
    put(b, SAFE, 1);
    put(b, SAFE, 1);
    put(b, UNKNOWN, 1);
    put(b, 0, 4);
    put(b, 0, 1);
    put(b, 0, 1);
    put(b, 0, 2);               /* no contained elements */
    put_string(b, NULL);
    end(b);
}

static void put_cpu(Builder *b, const VitSmbiosConfig *config, unsigned n)
{
    g_autofree char *socket = g_strdup_printf("CPU %u", n);
    begin(b, 4, CPU + n);
    put_string(b, socket);
    put(b, 3, 1);               /* central processor */
    put(b, OTHER, 1);
    put_string(b, "Vitrine");
    put(b, 0, 8);
    put_string(b, config->version);
    put(b, 0, 1);
    put(b, 0, 2);
    put(b, 2000, 2);
    put(b, 2000, 2);
    put(b, 0x41, 1);            /* populated, enabled */
    put(b, OTHER, 1);
    for (unsigned i = 0; i < 3; i++)
        put(b, 0xffff, 2);      /* caches are not described */
    put_string(b, NULL);
    put_string(b, NULL);
    put_string(b, NULL);
    put(b, 1, 1);               /* cores, enabled cores, threads */
    put(b, 1, 1);
    put(b, 1, 1);
    put(b, 1 << 2, 2);          /* 64-bit capable */
    put(b, OTHER, 2);
    end(b);
}

static void put_memory(Builder *b, const VitSmbiosConfig *config)
{
    unsigned modules = (unsigned) MAX(1, (config->ram_size + MODULE_MAX - 1) / MODULE_MAX);
    begin(b, 16, ARRAY);
    put(b, OTHER, 1);
    put(b, 3, 1);               /* system memory */
    put(b, 6, 1);               /* multi-bit ECC */
    put(b, 0x80000000, 4);
    put(b, NO_HANDLE, 2);
    put(b, modules, 2);
    put(b, config->ram_size, 8);
    end(b);
    for (unsigned i = 0; i < modules; i++) {
        uint64_t mib = MIN(MODULE_MAX, config->ram_size - i * MODULE_MAX) >> 20;
        g_autofree char *locator = g_strdup_printf("DIMM %u", i);
        begin(b, 17, DEVICE + i);
        put(b, ARRAY, 2);
        put(b, NO_HANDLE, 2);
        put(b, 0xffff, 2);
        put(b, 0xffff, 2);
        put(b, mib, 2);
        put(b, 9, 1);           /* DIMM */
        put(b, 0, 1);
        put_string(b, locator);
        put_string(b, NULL);
        put(b, 7, 1);           /* RAM */
        put(b, 1 << 1, 2);
        put(b, 0, 2);
        put_string(b, "Vitrine");
        put_string(b, NULL);
        put_string(b, NULL);
        put_string(b, NULL);
        put(b, 0, 1);
        put(b, 0, 4);
        put(b, 0, 2);
        put(b, 0, 2);
        put(b, 0, 2);
        put(b, 0, 2);
        end(b);
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t first = i ? 4 * GIB : 0;
        uint64_t size = i ? config->ram_size - config->low_ram_size : config->low_ram_size;
        if (!size)
            continue;
        begin(b, 19, MAPPING + i);
        put(b, UINT32_MAX, 4);
        put(b, UINT32_MAX, 4);
        put(b, ARRAY, 2);
        put(b, 1, 1);
        put(b, first, 8);
        put(b, first + size - 1, 8);
        end(b);
    }
}

GByteArray *vit_smbios_build(const VitSmbiosConfig *config, unsigned *count, unsigned *largest)
{
    Builder b = { .bytes = g_byte_array_new(), .strings = g_string_new(NULL) };
    put_bios(&b, config);
    put_system(&b, config);
    put_chassis(&b, config);
    for (unsigned i = 0; i < config->n_cpus; i++)
        put_cpu(&b, config, i);
    put_memory(&b, config);
    begin(&b, 32, BOOT);
    put(&b, 0, 6);
    put(&b, 0, 1);              /* no errors detected */
    end(&b);
    begin(&b, 127, END);
    end(&b);
    g_string_free(b.strings, TRUE);
    *count = b.count;
    *largest = b.largest;
    return b.bytes;
}

static uint8_t checksum(const uint8_t *data, unsigned n)
{
    uint8_t sum = 0;
    while (n--)
        sum += *data++;
    return (uint8_t) -sum;
}

void vit_smbios_anchor(uint8_t anchor[VIT_SMBIOS_ANCHOR_SIZE], uint32_t address, unsigned size,
                       unsigned count,
                       unsigned largest)
{
    uint16_t size_le = GUINT16_TO_LE((uint16_t) size), count_le = GUINT16_TO_LE((uint16_t) count);
    uint16_t largest_le = GUINT16_TO_LE((uint16_t) largest);
    uint32_t address_le = GUINT32_TO_LE(address);
    memset(anchor, 0, VIT_SMBIOS_ANCHOR_SIZE);
    memcpy(anchor, "_SM_", 4);
    anchor[0x05] = VIT_SMBIOS_ANCHOR_SIZE;
    anchor[0x06] = 2;
    anchor[0x07] = 8;
    memcpy(anchor + 0x08, &largest_le, 2);
    memcpy(anchor + 0x10, "_DMI_", 5);
    memcpy(anchor + 0x16, &size_le, 2);
    memcpy(anchor + 0x18, &address_le, 4);
    memcpy(anchor + 0x1c, &count_le, 2);
    anchor[0x1e] = 0x28;
    anchor[0x15] = checksum(anchor + 0x10, 15);
    anchor[0x04] = checksum(anchor, VIT_SMBIOS_ANCHOR_SIZE);
}
