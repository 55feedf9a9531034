/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vhdx/header.c - headers, region tables and metadata ([MS-VHDX] 2.2 and 2.6) */
#include "block/vhdx/vhdx.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* Names are written with their first three fields little-endian. */
const VhdxGuid vhdx_region_bat = { { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64,
                                     0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 } };
const VhdxGuid vhdx_region_metadata = { { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8,
                                          0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e } };
const VhdxGuid vhdx_meta_parameters = { { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3,
                                          0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b } };
const VhdxGuid vhdx_meta_size = { { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11,
                                    0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 } };
const VhdxGuid vhdx_meta_page83 = { { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef,
                                      0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 } };
const VhdxGuid vhdx_meta_sector = { { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47,
                                      0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f } };
const VhdxGuid vhdx_meta_physical = { { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9,
                                        0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 } };
const VhdxGuid vhdx_meta_parent = { { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7,
                                      0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c } };

bool vhdx_guid_equal(const VhdxGuid *a, const VhdxGuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool vhdx_guid_is_zero(const VhdxGuid *guid)
{
    return vit_block_is_zero(guid, sizeof *guid);
}

VhdxGuid vhdx_guid_new(void)
{
    VhdxGuid guid;

    for (int i = 0; i < 16; i++) guid.bytes[i] = (uint8_t)g_random_int();
    guid.bytes[7] = (uint8_t)((guid.bytes[7] & 0x0f) | 0x40);
    guid.bytes[8] = (uint8_t)((guid.bytes[8] & 0x3f) | 0x80);
    return guid;
}

/* CRC-32C (RFC 3720, appendix B.4), four bits at a time. */
uint32_t vhdx_crc(const void *data, size_t size, size_t field)
{
    static const uint32_t step[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
    const uint8_t *p = data;
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= i >= field && i < field + 4 ? 0 : p[i];
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return ~crc;
}

static bool corrupt(const Vhdx *v, GError **error, const char *what, uint64_t value)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: %s %" PRIu64),
                          v->parent.filename, what, value);
}

/* ---- headers --------------------------------------------------------------------------------- */

static bool good_header(const VhdxHeader *h)
{
    return memcmp(h->signature, "head", 4) == 0 &&
           GUINT32_FROM_LE(h->checksum) == vhdx_crc(h, sizeof *h, offsetof(VhdxHeader, checksum));
}

bool vhdx_co_read_headers(Vhdx *v, GError **error)
{
    VitBlockNode *file = v->parent.file->node;
    g_autofree VhdxHeader *h = g_new(VhdxHeader, 2);
    char identifier[8];
    int result = vit_co_read(file, 0, identifier, sizeof identifier);

    if (result == 0) result = vit_co_read(file, VHDX_HEADER_1, &h[0], sizeof *h);
    if (result == 0) result = vit_co_read(file, VHDX_HEADER_2, &h[1], sizeof *h);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: header"), v->parent.filename);
    if (memcmp(identifier, "vhdxfile", 8) != 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: not a VHDX file"),
                              v->parent.filename);
    bool good[2] = { good_header(&h[0]), good_header(&h[1]) };
    if (!good[0] && !good[1])
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: No valid VHDX header found at 64 KiB nor at 128 KiB"),
                              v->parent.filename);
    int which = good[0] && good[1] ? GUINT64_FROM_LE(h[1].sequence) > GUINT64_FROM_LE(h[0].sequence)
                                   : good[1];
    v->header = h[which];
    v->header_at = which ? VHDX_HEADER_2 : VHDX_HEADER_1;
    uint64_t at = GUINT64_FROM_LE(v->header.log_offset);
    uint32_t length = GUINT32_FROM_LE(v->header.log_length);
    if (GUINT16_FROM_LE(v->header.version) != 1)
        return corrupt(v, error, _("unsupported VHDX version"), GUINT16_FROM_LE(v->header.version));
    if (GUINT16_FROM_LE(v->header.log_version) != 0)
        return corrupt(v, error, _("unsupported VHDX log version"),
                       GUINT16_FROM_LE(v->header.log_version));
    if (at < VHDX_MIB || at % VHDX_MIB || length == 0 || length % VHDX_MIB || at > file->size ||
        file->size - at < length)
        return corrupt(v, error, _("VHDX header: the log does not lie in the file, at offset"), at);
    return true;
}

int vhdx_co_update_header(Vhdx *v)
{
    VitBlockNode *file = v->parent.file->node;
    uint64_t at = v->header_at == VHDX_HEADER_1 ? VHDX_HEADER_2 : VHDX_HEADER_1;

    v->header.sequence = GUINT64_TO_LE(GUINT64_FROM_LE(v->header.sequence) + 1);
    v->header.checksum = GUINT32_TO_LE(
        vhdx_crc(&v->header, sizeof v->header, offsetof(VhdxHeader, checksum)));
    int result = vit_co_write(file, at, &v->header, sizeof v->header, 0);
    if (result == 0) result = vit_co_flush(file);
    if (result == 0) v->header_at = at;
    return result;
}

/* ---- regions --------------------------------------------------------------------------------- */

static bool apart(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a + a_size <= b || b + b_size <= a;
}

static bool take_region(Vhdx *v, const VhdxRegion *r, GError **error)
{
    uint64_t at = GUINT64_FROM_LE(r->offset), length = GUINT32_FROM_LE(r->length);
    uint64_t size = v->parent.file->node->size;
    bool bat = vhdx_guid_equal(&r->guid, &vhdx_region_bat);
    bool metadata = vhdx_guid_equal(&r->guid, &vhdx_region_metadata);

    if (!bat && !metadata) {
        if (!(GUINT32_FROM_LE(r->required) & 1)) return true;
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: needs a region of an unknown kind"), v->parent.filename);
    }
    if (at < VHDX_MIB || at % VHDX_MIB || length == 0 || length % VHDX_MIB || at > size ||
        size - at < length ||
        !apart(at, length, GUINT64_FROM_LE(v->header.log_offset),
               GUINT32_FROM_LE(v->header.log_length)) ||
        (v->bat && !apart(at, length, v->bat, v->bat_size)) ||
        (v->metadata && !apart(at, length, v->metadata, v->metadata_size)))
        return corrupt(v, error, _("VHDX regions overlap or lie outside of the file: offset"), at);
    if (bat ? v->bat != 0 : v->metadata != 0)
        return corrupt(v, error, _("VHDX region is there twice, again at offset"), at);
    *(bat ? &v->bat : &v->metadata) = at;
    *(bat ? &v->bat_size : &v->metadata_size) = length;
    return true;
}

bool vhdx_co_read_regions(Vhdx *v, GError **error)
{
    VitBlockNode *file = v->parent.file->node;
    g_autofree uint8_t *buf = g_malloc(VHDX_REGION_TABLE);
    const VhdxRegionTable *table = (const VhdxRegionTable *)buf;
    bool good = false;

    for (int i = 0; i < 2 && !good; i++) {
        int result = vit_co_read(file, i == 0 ? VHDX_REGIONS_1 : VHDX_REGIONS_2, buf,
                                 VHDX_REGION_TABLE);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("“%s”: region table"), v->parent.filename);
        good = memcmp(table->signature, "regi", 4) == 0 &&
               GUINT32_FROM_LE(table->checksum) ==
                   vhdx_crc(buf, VHDX_REGION_TABLE, offsetof(VhdxRegionTable, checksum)) &&
               GUINT32_FROM_LE(table->count) <= VHDX_MAX_REGIONS;
    }
    if (!good)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: no valid VHDX region table at 192 KiB nor at 256 KiB"),
                              v->parent.filename);
    const VhdxRegion *regions = (const VhdxRegion *)(buf + sizeof *table);
    for (uint32_t i = 0; i < GUINT32_FROM_LE(table->count); i++) {
        if (!take_region(v, &regions[i], error)) return false;
    }
    return (v->bat && v->metadata) ||
           vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: the BAT or the metadata region is missing"), v->parent.filename);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static bool take_item(Vhdx *v, const VhdxMetadata *m, GError **error)
{
    static const struct {
        const VhdxGuid *guid;
        uint32_t size;
        unsigned mark;
    } known[] = { { &vhdx_meta_parameters, 8, VHDX_LOADED_PARAMETERS },
                  { &vhdx_meta_size, 8, VHDX_LOADED_SIZE },
                  { &vhdx_meta_sector, 4, VHDX_LOADED_SECTOR },
                  { &vhdx_meta_page83, 16, 0 },
                  { &vhdx_meta_physical, 4, 0 } };
    uint32_t at = GUINT32_FROM_LE(m->offset), length = GUINT32_FROM_LE(m->length);
    uint64_t value = 0;

    if (vhdx_guid_equal(&m->guid, &vhdx_meta_parent)) return true; /* see has_parent */
    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        if (!vhdx_guid_equal(&m->guid, known[i].guid)) continue;
        if (at < VHDX_REGION_TABLE || at > v->metadata_size || v->metadata_size - at < length ||
            length != known[i].size)
            return corrupt(v, error, _("VHDX metadata: an item does not fit, at offset"), at);
        if (!known[i].mark) return true;
        int result = vit_co_read(v->parent.file->node, v->metadata + at, &value, length);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("“%s”: metadata"), v->parent.filename);
        value = GUINT64_FROM_LE(value);
        v->loaded |= known[i].mark;
        if (known[i].mark == VHDX_LOADED_SIZE) v->disk_size = value;
        if (known[i].mark == VHDX_LOADED_SECTOR) v->sector_size = (uint32_t)value;
        if (known[i].mark == VHDX_LOADED_PARAMETERS) {
            v->block_size = (uint32_t)value;
            if (value >> 32 & VHDX_HAS_PARENT)
                return vit_block_fail(
                    error, VIT_BLOCK_ERROR_UNSUPPORTED,
                    _("“%s”: a differencing VHDX, which needs its parent; merge it "
                      "there"),
                    v->parent.filename);
        }
        return true;
    }
    return !(GUINT32_FROM_LE(m->flags) & VHDX_META_REQUIRED) ||
           vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                          _("“%s”: needs metadata of an unknown kind"), v->parent.filename);
}

static bool check_parameters(Vhdx *v, GError **error)
{
    unsigned all = VHDX_LOADED_PARAMETERS | VHDX_LOADED_SIZE | VHDX_LOADED_SECTOR;

    if (v->loaded != all)
        return corrupt(v, error, _("VHDX metadata: required items are missing:"), all & ~v->loaded);
    if (v->block_size < VHDX_MIB || v->block_size > 256 * VHDX_MIB ||
        (v->block_size & (v->block_size - 1)))
        return corrupt(v, error, _("VHDX metadata: invalid block size"), v->block_size);
    if (v->sector_size != 512 && v->sector_size != 4096)
        return corrupt(v, error, _("VHDX metadata: invalid logical sector size"), v->sector_size);
    if (v->disk_size > VHDX_MAX_SIZE || v->disk_size % v->sector_size)
        return corrupt(v, error, _("VHDX metadata: invalid disk size"), v->disk_size);
    v->chunk_ratio = (UINT64_C(1) << 23) * v->sector_size / v->block_size;
    return true;
}

bool vhdx_co_read_metadata(Vhdx *v, GError **error)
{
    g_autofree uint8_t *buf = g_malloc(VHDX_REGION_TABLE);
    const VhdxMetadataTable *table = (const VhdxMetadataTable *)buf;
    const VhdxMetadata *items = (const VhdxMetadata *)(buf + sizeof *table);
    int result = vit_co_read(v->parent.file->node, v->metadata, buf, VHDX_REGION_TABLE);

    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: metadata"), v->parent.filename);
    if (memcmp(table->signature, "metadata", 8) != 0)
        return corrupt(v, error, _("no VHDX metadata table at offset"), v->metadata);
    uint32_t count = GUINT16_FROM_LE(table->count);
    if (count > VHDX_MAX_METADATA)
        return corrupt(v, error, _("VHDX metadata: too many entries:"), count);
    for (uint32_t i = 0; i < count; i++) {
        if (!take_item(v, &items[i], error)) return false;
    }
    return check_parameters(v, error);
}
