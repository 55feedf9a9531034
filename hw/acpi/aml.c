/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/acpi/aml.c - writer of ACPI Machine Language (ACPI 6.4, 20.2 grammar, 6.4 resource
 * descriptors, 19.3.4 EISA IDs) */
#include "hw/acpi/aml.h"
#include <string.h>

enum {
    OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c,
    OP_STRING = 0x0d, OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12,
    OP_METHOD = 0x14, OP_DUAL_NAME = 0x2e, OP_MULTI_NAME = 0x2f, OP_EXT = 0x5b, OP_ARG0 = 0x68,
    OP_STORE = 0x70, EXT_DEVICE = 0x82, OP_IF = 0xa0, OP_ELSE = 0xa1, OP_RETURN = 0xa4,
};

static void byte(VitAml *aml, uint8_t value)
{
    g_byte_array_append(aml->bytes, &value, 1);
}

static void put_le(GByteArray *bytes, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);
    g_byte_array_append(bytes, (const uint8_t *) &le, size);
}

void vit_aml_init(VitAml *aml)
{
    aml->bytes = g_byte_array_new();
    aml->open = g_array_new(FALSE, FALSE, sizeof(guint));
}

GByteArray *vit_aml_finish(VitAml *aml)
{
    g_assert(aml->open->len == 0);
    g_array_unref(aml->open);
    return g_steal_pointer(&aml->bytes);
}

static void open_package(VitAml *aml)
{
    g_array_append_val(aml->open, aml->bytes->len);
}

/* PkgLength counts itself: 20.2.4. */
static unsigned encode_length(uint8_t out[4], size_t body)
{
    if (body + 1 < 0x40) {
        out[0] = (uint8_t) (body + 1);
        return 1;
    }
    unsigned n = body + 2 < 1u << 12 ? 2 : body + 3 < 1u << 20 ? 3 : 4;
    size_t total = body + n;
    out[0] = (uint8_t) ((n - 1) << 6 | (total & 15));
    for (unsigned i = 1; i < n; i++)
        out[i] = (uint8_t) (total >> (8 * i - 4));
    return n;
}

void vit_aml_end(VitAml *aml)
{
    guint at = g_array_index(aml->open, guint, aml->open->len - 1), body = aml->bytes->len - at;
    uint8_t length[4];
    unsigned n = encode_length(length, body);
    g_array_set_size(aml->open, aml->open->len - 1);
    g_byte_array_set_size(aml->bytes, aml->bytes->len + n);
    memmove(aml->bytes->data + at + n, aml->bytes->data + at, body);
    memcpy(aml->bytes->data + at, length, n);
}

void vit_aml_path(VitAml *aml, const char *name)
{
    if (*name == '\\') {
        byte(aml, '\\');
        name++;
    }
    g_auto(GStrv) parts = g_strsplit(name, ".", -1);
    unsigned n = g_strv_length(parts);
    if (n == 2) {
        byte(aml, OP_DUAL_NAME);
    } else if (n > 2) {
        byte(aml, OP_MULTI_NAME);
        byte(aml, (uint8_t) n);
    } else if (n == 0) {
        byte(aml, 0);
    }
    for (unsigned i = 0; i < n; i++) {
        char segment[5] = "____";
        memcpy(segment, parts[i], MIN(strlen(parts[i]), 4));
        g_byte_array_append(aml->bytes, (const uint8_t *) segment, 4);
    }
}

void vit_aml_scope_begin(VitAml *aml, const char *name)
{
    byte(aml, OP_SCOPE);
    open_package(aml);
    vit_aml_path(aml, name);
}

void vit_aml_device_begin(VitAml *aml, const char *name)
{
    byte(aml, OP_EXT);
    byte(aml, EXT_DEVICE);
    open_package(aml);
    vit_aml_path(aml, name);
}

void vit_aml_method_begin(VitAml *aml, const char *name, unsigned args)
{
    byte(aml, OP_METHOD);
    open_package(aml);
    vit_aml_path(aml, name);
    byte(aml, (uint8_t) args);
}

void vit_aml_package_begin(VitAml *aml, uint8_t elements)
{
    byte(aml, OP_PACKAGE);
    open_package(aml);
    byte(aml, elements);
}

void vit_aml_if_begin(VitAml *aml)
{
    byte(aml, OP_IF);
    open_package(aml);
}

void vit_aml_else_begin(VitAml *aml)
{
    byte(aml, OP_ELSE);
    open_package(aml);
}

void vit_aml_name(VitAml *aml, const char *name)
{
    byte(aml, OP_NAME);
    vit_aml_path(aml, name);
}

void vit_aml_int(VitAml *aml, uint64_t value)
{
    if (value <= 1) {
        byte(aml, value ? OP_ONE : OP_ZERO);
        return;
    }
    unsigned size = value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
    byte(aml, size == 1 ? OP_BYTE : size == 2 ? OP_WORD : size == 4 ? OP_DWORD : OP_QWORD);
    put_le(aml->bytes, value, size);
}

void vit_aml_string(VitAml *aml, const char *text)
{
    byte(aml, OP_STRING);
    g_byte_array_append(aml->bytes, (const uint8_t *) text, (guint) strlen(text) + 1);
}

void vit_aml_eisa_id(VitAml *aml, const char *id)
{
    uint32_t v = (uint32_t) (id[0] - '@') << 26 | (uint32_t) (id[1] - '@') << 21 |
    (uint32_t) (id[2] - '@') << 16 |
                 (uint32_t) g_ascii_strtoull(id + 3, NULL, 16);
    byte(aml, OP_DWORD);
    put_le(aml->bytes, GUINT32_SWAP_LE_BE(v), 4);
}

void vit_aml_buffer(VitAml *aml, const void *data, unsigned size)
{
    byte(aml, OP_BUFFER);
    open_package(aml);
    vit_aml_int(aml, size);
    g_byte_array_append(aml->bytes, data, size);
    vit_aml_end(aml);
}

void vit_aml_return(VitAml *aml)
{
    byte(aml, OP_RETURN);
}

void vit_aml_store_arg0(VitAml *aml, const char *name)
{
    byte(aml, OP_STORE);
    byte(aml, OP_ARG0);
    vit_aml_path(aml, name);
}

void vit_aml_name_int(VitAml *aml, const char *name, uint64_t value)
{
    vit_aml_name(aml, name);
    vit_aml_int(aml, value);
}

void vit_aml_name_eisa(VitAml *aml, const char *name, const char *id)
{
    vit_aml_name(aml, name);
    vit_aml_eisa_id(aml, id);
}

/* ---- Resource descriptors -------------------------------------------------------------------- */

void vit_aml_resources_init(VitAmlResources *res)
{
    res->bytes = g_byte_array_new();
}

static void put(VitAmlResources *res, uint64_t value, unsigned size)
{
    put_le(res->bytes, value, size);
}

void vit_aml_resource_io(VitAmlResources *res, uint16_t base, uint8_t length)
{
    put(res, 0x47, 1);          /* I/O port descriptor, 7 bytes */
    put(res, 1, 1);             /* decodes 16 bits */
    put(res, base, 2);
    put(res, base, 2);
    put(res, 1, 1);
    put(res, length, 1);
}

void vit_aml_resource_irq(VitAmlResources *res, unsigned irq)
{
    put(res, 0x22, 1);
    put(res, 1u << irq, 2);
}

void vit_aml_resource_memory32(VitAmlResources *res, uint32_t base, uint32_t length, bool writable)
{
    put(res, 0x86, 1);
    put(res, 9, 2);
    put(res, writable, 1);
    put(res, base, 4);
    put(res, length, 4);
}

/* Word (88h), dword (87h) or qword (8Ah) address space descriptor, fixed at both ends, producer. */
static void window(VitAmlResources *res, uint8_t tag, unsigned width, uint8_t type,
                   uint8_t type_flags,
                   uint64_t first, uint64_t last)
{
    put(res, tag, 1);
    put(res, 3 + 5 * width, 2);
    put(res, type, 1);
    put(res, 0x0c, 1);
    put(res, type_flags, 1);
    put(res, 0, width);
    put(res, first, width);
    put(res, last, width);
    put(res, 0, width);
    put(res, last - first + 1, width);
}

void vit_aml_resource_bus(VitAmlResources *res, uint16_t first, uint16_t last)
{
    window(res, 0x88, 2, 2, 0, first, last);
}

void vit_aml_resource_io_window(VitAmlResources *res, uint16_t first, uint16_t last)
{
    window(res, 0x88, 2, 1, 3, first, last);
}

void vit_aml_resource_memory_window(VitAmlResources *res, uint64_t first, uint64_t last,
                                    bool cacheable)
{
    uint8_t flags = cacheable ? 3 : 1;      /* read-write; bit 1: cacheable */
    if (last > UINT32_MAX)
        window(res, 0x8a, 8, 0, flags, first, last);
    else
        window(res, 0x87, 4, 0, flags, first, last);
}

void vit_aml_name_resources(VitAml *aml, const char *name, VitAmlResources *res)
{
    put(res, 0x79, 1);          /* end tag; checksum 0: not checked */
    put(res, 0, 1);
    vit_aml_name(aml, name);
    vit_aml_buffer(aml, res->bytes->data, res->bytes->len);
    g_clear_pointer(&res->bytes, g_byte_array_unref);
}
