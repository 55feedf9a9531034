/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vhdx/vhdx.c - Hyper-V disks: the block allocation table, requests, and the driver
 *
 * Microsoft, "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format".  Not done: differencing disks,
 * whose sector bitmap blocks are therefore never used, and resizing. */
#include "block/vhdx/vhdx.h"

#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

/* After each chunk_ratio payload blocks comes an entry for a sector bitmap block. */
static uint64_t bat_index(const Vhdx *v, uint64_t block)
{
    return block + block / v->chunk_ratio;
}

/* What belongs to others in the same sectors stays as it is in the file. */
static int co_store(VitBlockMap *map, uint64_t first, uint64_t count, const uint64_t *at)
{
    Vhdx *v = (Vhdx *)map->node;
    uint64_t from = bat_index(v, first) * 8 / VHDX_LOG_SECTOR * VHDX_LOG_SECTOR;
    uint64_t to = bat_index(v, first + count - 1) * 8 / VHDX_LOG_SECTOR * VHDX_LOG_SECTOR +
                  VHDX_LOG_SECTOR;
    g_autofree uint8_t *sectors = g_try_malloc(to - from);

    if (!sectors) return -ENOMEM;
    int result = vit_co_read(map->node->file->node, v->bat + from, sectors, to - from);
    if (result < 0) return result;
    for (uint64_t i = 0; i < count; i++) {
        if (at[i] <= VIT_MAP_ZERO) continue;
        uint64_t entry = GUINT64_TO_LE(at[i] | VHDX_FULL);
        memcpy(sectors + bat_index(v, first + i) * 8 - from, &entry, sizeof entry);
    }
    return vhdx_co_log_write(v, v->bat + from, sectors, (uint32_t)((to - from) / VHDX_LOG_SECTOR));
}

static const VitBlockMapOps map_ops = { .co_store = co_store };

static bool take_entry(Vhdx *v, uint64_t block, uint64_t entry, uint64_t data_from, GError **error)
{
    uint64_t at = entry & VHDX_PLACE_MASK, size = v->parent.file->node->size;
    unsigned state = entry & VHDX_STATE_MASK;
    const char *wrong = NULL;

    switch (state) {
    case VHDX_NOT_PRESENT:
    case VHDX_UNDEFINED: return true;
    case VHDX_ZERO:
    case VHDX_UNMAPPED: v->map.at[block] = VIT_MAP_ZERO; return true;
    case VHDX_FULL: break;
    default: wrong = "has a state that this disk cannot have"; break;
    }
    if (!wrong && (at < data_from || at > (uint64_t)INT64_MAX - v->block_size ||
                   (at < v->bat + v->bat_size && at + v->block_size > v->bat) ||
                   (at < v->metadata + v->metadata_size && at + v->block_size > v->metadata)))
        wrong = "overlaps the image's tables";
    if (!wrong && at + v->block_size > size) wrong = "ends after the file";
    if (wrong)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: BAT entry %" PRIu64 " at offset %" PRIu64
                                ": the block at offset %" PRIu64 " %s"),
                              v->parent.filename, block, v->bat + bat_index(v, block) * 8, at,
                              wrong);
    v->map.at[block] = at;
    v->map.end = MAX(v->map.end, at + v->block_size);
    return true;
}

static bool read_table(Vhdx *v, GError **error)
{
    enum { PIECE = 1 << 16 };
    VitBlockMap *map = &v->map;
    VitBlockNode *node = &v->parent;
    uint64_t log_end = GUINT64_FROM_LE(v->header.log_offset) +
                       GUINT32_FROM_LE(v->header.log_length);
    uint64_t blocks = map->count, entries = blocks ? bat_index(v, blocks - 1) + 1 : 0;
    g_autofree uint64_t *piece = g_new(uint64_t, PIECE);

    map->end = MAX(log_end, MAX(v->bat + v->bat_size, v->metadata + v->metadata_size));
    for (uint64_t i = 0, block = 0; i < entries; i++) {
        if (i % PIECE == 0) {
            int result = vit_co_read(node->file->node, v->bat + i * 8, piece,
                                     MIN(PIECE, entries - i) * 8);
            if (result < 0)
                return vit_block_fail_errno(error, result, _("“%s”: BAT"), node->filename);
        }
        if (i % (v->chunk_ratio + 1) == v->chunk_ratio) continue; /* a sector bitmap's */
        if (!take_entry(v, block++, GUINT64_FROM_LE(piece[i % PIECE]), log_end, error))
            return false;
    }
    uint64_t twice;
    if (!node->how.read_only && vit_block_map_overlap(map, &twice))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the block at offset %" PRIu64
                                " belongs to two places of the disk; only read-only use is safe"),
                              node->filename, twice);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool vhdx_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Vhdx *v = (Vhdx *)node;

    v->starting.thread = node->thread;
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error) ||
        !vhdx_co_read_headers(v, error) || !vhdx_co_replay(v, error) ||
        !vhdx_co_read_regions(v, error) || !vhdx_co_read_metadata(v, error))
        return false;
    uint64_t count = (v->disk_size + v->block_size - 1) / v->block_size;
    if (count && (bat_index(v, count - 1) + 1) * 8 > v->bat_size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: a BAT of %" PRIu64 " bytes is too short for the disk"),
                              node->filename, v->bat_size);
    if (!vit_block_map_init(&v->map, node, &map_ops, count, v->block_size))
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: BAT"), node->filename);
    v->map.align = VHDX_MIB;
    node->size = v->disk_size;
    if (read_table(v, error)) return true;
    vit_block_map_finish(&v->map);
    return false;
}

static void vhdx_close(VitBlockNode *node)
{
    Vhdx *v = (Vhdx *)node;
    int result = 0;

    if (!node->how.read_only) {
        result = vit_co_map_flush(&v->map);
        if (result == 0 && !vhdx_guid_is_zero(&v->header.log)) {
            memset(&v->header.log, 0, sizeof v->header.log);
            (void)vhdx_co_update_header(v); /* else the log is replayed once more: harmless */
        }
    }
    vit_block_map_finish(&v->map);
}

static int vhdx_reopen(VitBlockNode *node, bool read_only)
{
    Vhdx *v = (Vhdx *)node;

    if (!read_only) return v->log_pending ? -EUCLEAN : 0;
    int result = vit_co_map_flush(&v->map);
    if (result == 0 && !vhdx_guid_is_zero(&v->header.log)) {
        memset(&v->header.log, 0, sizeof v->header.log);
        result = vhdx_co_update_header(v);
    }
    return result;
}

static int vhdx_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    return size >= 8 && memcmp(head, "vhdxfile", 8) == 0 ? 100 : 0;
}

/* Before the first write since it was opened: the header's marks say that file and data have
 * changed. */
static int start_writing(Vhdx *v)
{
    int result = 0;

    if (v->writing) return 0;
    vit_fiber_mutex_lock(&v->starting);
    if (!v->writing) {
        v->header.file_write = vhdx_guid_new();
        v->header.data_write = vhdx_guid_new();
        result = vhdx_co_update_header(v);
        v->writing = result == 0;
    }
    vit_fiber_mutex_unlock(&v->starting);
    return result;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int vhdx_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov)
{
    return vit_co_map_read(&((Vhdx *)node)->map, offset, bytes, iov, niov);
}

static int vhdx_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov, uint32_t flags)
{
    Vhdx *v = (Vhdx *)node;
    int result = start_writing(v);

    return result < 0 ? result : vit_co_map_write(&v->map, offset, bytes, iov, niov, flags);
}

static int vhdx_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    Vhdx *v = (Vhdx *)node;
    int result = start_writing(v);

    return result < 0 ? result : vit_co_map_write_zeroes(&v->map, offset, bytes, flags);
}

static int vhdx_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    Vhdx *v = (Vhdx *)node;
    int result = start_writing(v);

    return result < 0 ? result : vit_co_map_discard(&v->map, offset, bytes);
}

static int vhdx_flush(VitBlockNode *node)
{
    return vit_co_map_flush(&((Vhdx *)node)->map);
}

static int vhdx_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    return vit_co_map_status(&((Vhdx *)node)->map, offset, bytes, extent);
}

static bool vhdx_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Vhdx *v = (Vhdx *)node;

    if (req->op != VIT_BLOCK_READ && !v->writing) return false;
    return vit_block_map_try_submit(&v->map, req);
}

static void vhdx_info(VitBlockNode *node, VitBlockInfo *info)
{
    const Vhdx *v = (const Vhdx *)node;

    info->cluster_size = v->block_size;
    info->can_discard = info->unallocated_zero = true;
    info->zero_init = vit_block_info(node->file->node).zero_init;
    info->dirty = v->log_pending;
}

/* Opening has checked all that a VHDX can say; what is left is a log. */
static int vhdx_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix)
{
    Vhdx *v = (Vhdx *)node;
    uint64_t twice;

    if (v->log_replayed) check->corruptions_fixed++;
    if (v->log_pending) {
        check->corruptions++;
        if (check->message)
            check->message(check->opaque,
                           "ERROR: the log needs to be replayed; opening the image for "
                           "writing does that");
    }
    if (vit_block_map_overlap(&v->map, &twice)) {
        check->corruptions++;
        if (check->message) check->message(check->opaque, "ERROR: two blocks lie in one place");
    }
    return 0;
}

static void vhdx_attach(VitBlockNode *node)
{
    Vhdx *v = (Vhdx *)node;

    v->starting.thread = node->thread;
    vit_block_map_attach(&v->map);
}

const VitBlockDriver vit_block_vhdx_driver = {
    .name = "vhdx",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Vhdx),
    .alignment = 512,
    .create_options = vhdx_create_options,
    .fits_devices = true,
    .probe = vhdx_probe,
    .co_open = vhdx_open,
    .co_close = vhdx_close,
    .attach = vhdx_attach,
    .co_reopen = vhdx_reopen,
    .co_read = vhdx_read,
    .co_write = vhdx_write,
    .co_write_zeroes = vhdx_write_zeroes,
    .co_discard = vhdx_discard,
    .co_flush = vhdx_flush,
    .co_status = vhdx_status,
    .try_submit = vhdx_try_submit,
    .info = vhdx_info,
    .co_create = vhdx_co_create,
    .co_check = vhdx_check,
};
