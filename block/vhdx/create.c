/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vhdx/create.c - new Hyper-V disks
 *
 * Header section, log, BAT and metadata, each at a multiple of 1 MiB, then the blocks. */
#include "block/vhdx/vhdx.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

const VitBlockOption vhdx_create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size; max of 64TB.", NULL, false },
    { "log_size", VIT_OPT_SIZE, "Log size; min 1MB.", "1048576", false },
    { "block_size", VIT_OPT_SIZE,
      "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.", "0", false },
    { "subformat", VIT_OPT_STRING,
      "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.", NULL, false },
    { "block_state_zero", VIT_OPT_BOOL,
      "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' "
      "when using 'qemu-img convert' with subformat=dynamic.",
      NULL, false },
    { .name = NULL },
};

typedef struct {
    uint64_t size, block_size, log_size, blocks, bat_entries, bat, bat_size, metadata, data;
    uint64_t chunk_ratio;
    bool fixed, state_zero;
} Plan;

static uint64_t whole_mib(uint64_t bytes)
{
    return (bytes + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
}

static bool make_plan(Plan *p, VitBlockCreate *create, GError **error)
{
    static const char *const subformats[] = { "dynamic", "fixed", NULL };
    uint64_t gib = UINT64_C(1) << 30;
    int subformat = 0;

    *p = (Plan){ .size = create->size, .state_zero = true };
    if (!vit_block_args_enum(create->options, "subformat", subformats, &subformat, error) ||
        !vit_block_args_size(create->options, "block_size", &p->block_size, error) ||
        !vit_block_args_size(create->options, "log_size", &p->log_size, error) ||
        !vit_block_args_bool(create->options, "block_state_zero", &p->state_zero, error))
        return false;
    p->fixed = subformat == 1;
    if (vit_block_args_has(create->options, "log_size") && p->log_size == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Log size must be a multiple of 1 MB"));
    if (p->size > VHDX_MAX_SIZE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Image size too large; max of 64TB"));
    if (p->block_size & (p->block_size - 1))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Block size must be a power of two"));
    if (p->block_size == 0)
        p->block_size = p->size > 32768 * gib ? 64 * VHDX_MIB
                        : p->size > 100 * gib ? 32 * VHDX_MIB
                        : p->size > gib       ? 16 * VHDX_MIB
                                              : 8 * VHDX_MIB;
    p->block_size = CLAMP(p->block_size, VHDX_MIB, 256 * VHDX_MIB);
    p->log_size = whole_mib(MAX(p->log_size, VHDX_MIB));
    if (p->log_size > UINT32_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Log size must be smaller than 4 GB"));
    p->chunk_ratio = (UINT64_C(1) << 23) * 512 / p->block_size;
    p->blocks = (p->size + p->block_size - 1) / p->block_size;
    p->bat_entries = p->blocks ? p->blocks + (p->blocks - 1) / p->chunk_ratio : 0;
    p->bat = VHDX_MIB + p->log_size;
    p->bat_size = whole_mib(MAX(p->bat_entries * 8, 1));
    /* QEMU counts the last block of an empty disk as -1, and wants room for that: a hole. */
    if (p->blocks == 0) p->bat_size = whole_mib(UINT32_MAX / p->chunk_ratio * 8);
    p->metadata = p->bat + p->bat_size;
    p->data = p->metadata + VHDX_MIB;
    return true;
}

static int write_headers(VitBlockNode *file, const Plan *p)
{
    g_autofree uint8_t *identifier = g_malloc0(VHDX_LOG_SECTOR);
    g_autofree VhdxHeader *h = g_new0(VhdxHeader, 1);
    static const char creator[] = "Vitrine";
    int result;

    memcpy(identifier, "vhdxfile", 8);
    for (unsigned i = 0; creator[i]; i++) identifier[8 + 2 * i] = (uint8_t)creator[i]; /* UTF-16 */
    result = vit_co_write(file, 0, identifier, VHDX_LOG_SECTOR, 0);
    *h = (VhdxHeader){ .signature = { 'h', 'e', 'a', 'd' },
                       .sequence = GUINT64_TO_LE(g_random_int()),
                       .file_write = vhdx_guid_new(),
                       .data_write = vhdx_guid_new(),
                       .version = GUINT16_TO_LE(1),
                       .log_length = GUINT32_TO_LE((uint32_t)p->log_size),
                       .log_offset = GUINT64_TO_LE(VHDX_MIB) };
    for (int i = 0; i < 2 && result == 0; i++) {
        h->sequence = GUINT64_TO_LE(GUINT64_FROM_LE(h->sequence) + 1);
        h->checksum = GUINT32_TO_LE(vhdx_crc(h, sizeof *h, offsetof(VhdxHeader, checksum)));
        result = vit_co_write(file, i == 0 ? VHDX_HEADER_1 : VHDX_HEADER_2, h, sizeof *h, 0);
    }
    return result;
}

static int write_regions(VitBlockNode *file, const Plan *p)
{
    g_autofree uint8_t *buf = g_malloc0(VHDX_REGION_TABLE);
    VhdxRegionTable *table = (VhdxRegionTable *)buf;
    VhdxRegion *regions = (VhdxRegion *)(table + 1);

    memcpy(table->signature, "regi", 4);
    table->count = GUINT32_TO_LE(2);
    regions[0] = (VhdxRegion){ vhdx_region_bat, GUINT64_TO_LE(p->bat),
                               GUINT32_TO_LE((uint32_t)p->bat_size), GUINT32_TO_LE(1) };
    regions[1] = (VhdxRegion){ vhdx_region_metadata, GUINT64_TO_LE(p->metadata),
                               GUINT32_TO_LE(VHDX_MIB), GUINT32_TO_LE(1) };
    table->checksum = GUINT32_TO_LE(
        vhdx_crc(buf, VHDX_REGION_TABLE, offsetof(VhdxRegionTable, checksum)));
    int result = vit_co_write(file, VHDX_REGIONS_1, buf, VHDX_REGION_TABLE, 0);
    return result < 0 ? result : vit_co_write(file, VHDX_REGIONS_2, buf, VHDX_REGION_TABLE, 0);
}

static int write_metadata(VitBlockNode *file, const Plan *p)
{
    g_autofree uint8_t *buf = g_malloc0(VHDX_REGION_TABLE + VHDX_LOG_SECTOR);
    VhdxMetadataTable *table = (VhdxMetadataTable *)buf;
    VhdxMetadata *items = (VhdxMetadata *)(table + 1);
    uint8_t *values = buf + VHDX_REGION_TABLE;
    uint32_t required = VHDX_META_REQUIRED, disk = VHDX_META_REQUIRED | VHDX_META_DISK;
    uint64_t parameters = GUINT64_TO_LE(p->block_size |
                                        (uint64_t)(p->fixed ? VHDX_LEAVE_ALLOCATED : 0) << 32);
    uint64_t size = GUINT64_TO_LE(p->size);
    uint32_t sector = GUINT32_TO_LE(512);
    VhdxGuid page83 = vhdx_guid_new();
    const struct {
        const VhdxGuid *guid;
        uint32_t flags, size;
        const void *value;
    } all[] = { { &vhdx_meta_parameters, required, 8, &parameters },
                { &vhdx_meta_size, disk, 8, &size },
                { &vhdx_meta_page83, disk, 16, &page83 },
                { &vhdx_meta_sector, disk, 4, &sector },
                { &vhdx_meta_physical, disk, 4, &sector } };
    uint32_t at = 0;

    memcpy(table->signature, "metadata", 8);
    table->count = GUINT16_TO_LE(G_N_ELEMENTS(all));
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        items[i] = (VhdxMetadata){ *all[i].guid, GUINT32_TO_LE(VHDX_REGION_TABLE + at),
                                   GUINT32_TO_LE(all[i].size), GUINT32_TO_LE(all[i].flags), 0 };
        memcpy(values + at, all[i].value, all[i].size);
        at += all[i].size;
    }
    return vit_co_write(file, p->metadata, buf, VHDX_REGION_TABLE + VHDX_LOG_SECTOR, 0);
}

static int write_bat(VitBlockNode *file, const Plan *p)
{
    enum { PIECE = 1 << 16 };
    g_autofree uint64_t *piece = g_new(uint64_t, PIECE);
    uint64_t block = 0;
    int result = 0;

    if (!p->fixed && !p->state_zero) return vit_co_zero(file, p->bat, p->bat_entries * 8, 0);
    for (uint64_t i = 0; i < p->bat_entries && result == 0; i += PIECE) {
        uint64_t n = MIN(PIECE, p->bat_entries - i);
        for (uint64_t k = 0; k < n; k++) {
            bool bitmap = (i + k) % (p->chunk_ratio + 1) == p->chunk_ratio;
            uint64_t entry = bitmap     ? 0
                             : p->fixed ? (p->data + block * p->block_size) | VHDX_FULL
                                        : VHDX_ZERO;
            if (!bitmap) block++;
            piece[k] = GUINT64_TO_LE(entry);
        }
        result = vit_co_write(file, p->bat + i * 8, piece, n * 8, 0);
    }
    return result;
}

bool vhdx_co_create(VitBlockCreate *create, GError **error)
{
    Plan p;

    if (!make_plan(&p, create, error)) return false;
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    uint64_t bytes = p.data + (p.fixed ? p.blocks * p.block_size : 0);
    bool good = vit_co_truncate(file, bytes, false, VIT_PREALLOC_OFF, error);
    if (good) {
        int result = write_bat(file, &p);
        if (result == 0) result = write_metadata(file, &p);
        if (result == 0) result = write_regions(file, &p);
        if (result == 0) result = write_headers(file, &p);
        if (result == 0) result = vit_co_flush(file);
        good = result == 0 ||
               vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
    }
    vit_block_node_unref(file);
    return good;
}
