/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vdi.c - VirtualBox disk images, version 1.1, of the kinds "normal" (grows) and "fixed"
 *
 * Header (512 bytes), table of 32-bit block numbers, blocks of 1 MiB.  After a crash the header may
 * count more blocks than the table uses: they are used again.  Not done: images with a parent. */
#include "block/block-map.h"
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { BLOCK = 1 << 20, TYPE_NORMAL = 1, TYPE_FIXED = 2, MAX_BLOCKS = 1 << 27 };
enum : uint32_t {
    SIGNATURE = 0xbeda107f,
    VERSION = 0x00010001,
    FREE = 0xffffffff,
    ZERO = 0xfffffffe
};

/* clang-format off */
typedef struct __attribute__((packed)) {    /* little-endian */
    char     text[64];
    uint32_t signature, version, header_size, type, flags;
    char     comment[256];
    uint32_t table_offset, data_offset;
    uint32_t cylinders, heads, sectors, sector_size, unused;
    uint64_t disk_size;
    uint32_t block_size, block_extra, blocks, allocated;
    uint8_t  uuid[16], modified[16], link[16], parent[16];
    uint8_t  rest[56];
} Header;
/* clang-format on */
static_assert(sizeof(Header) == 512);

typedef struct {
    VitBlockNode parent;
    VitBlockMap map;
    uint64_t table, data; /* where they begin in the file */
    uint32_t allocated; /* as the header says */
    bool fixed; /* every block has its space from the beginning */
    GArray *raw; /* of uint32_t, owned, when opened to be checked: the table as it is */
} Vdi;

static uint64_t place(const Vdi *v, uint32_t number)
{
    return v->data + (uint64_t)number * BLOCK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int co_settle(VitBlockMap *map)
{
    Vdi *v = (Vdi *)map->node;
    uint32_t used = (uint32_t)((map->end - v->data) / BLOCK);
    uint32_t stored = GUINT32_TO_LE(used);

    if (used == v->allocated) return 0;
    int result = vit_co_write(map->node->file->node, offsetof(Header, allocated), &stored,
                              sizeof stored, 0);
    if (result == 0) v->allocated = used;
    return result;
}

static int co_store(VitBlockMap *map, uint64_t first, uint64_t count, const uint64_t *at)
{
    Vdi *v = (Vdi *)map->node;
    g_autofree uint32_t *entries = g_try_new(uint32_t, count);

    if (!entries) return -ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t number = at[i] == VIT_MAP_NONE   ? FREE
                          : at[i] == VIT_MAP_ZERO ? ZERO
                                                  : (uint32_t)((at[i] - v->data) / BLOCK);
        entries[i] = GUINT32_TO_LE(number);
    }
    return vit_co_write(map->node->file->node, v->table + first * sizeof *entries, entries,
                        count * sizeof *entries, 0);
}

static const VitBlockMapOps map_ops = { .co_settle = co_settle, .co_store = co_store };

/* Fills the map from the table and finds blocks that nobody uses.  Blocks in two places are an
 * error. */
static bool read_table(Vdi *v, GError **error)
{
    VitBlockMap *map = &v->map;
    VitBlockNode *node = &v->parent;
    g_autofree uint32_t *entries = g_try_new(uint32_t, map->count + 1);
    uint64_t file_size = node->file->node->size, used = 0;
    uint64_t most = file_size > v->data ? (file_size - v->data + BLOCK - 1) / BLOCK : 0;

    if (!entries)
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: block table"), node->filename);
    int result = vit_co_read(node->file->node, v->table, entries, map->count * sizeof *entries);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("“%s”: block table"), node->filename);
    most = MAX(most, v->allocated);
    g_autofree uint8_t *seen = g_try_malloc0(most / 8 + 1);
    if (!seen) return vit_block_fail_errno(error, -ENOMEM, _("“%s”: block table"), node->filename);
    for (uint64_t i = 0; i < map->count; i++) {
        uint32_t number = GUINT32_FROM_LE(entries[i]);
        entries[i] = number;
        if (number >= ZERO) {
            map->at[i] = number == ZERO ? VIT_MAP_ZERO : VIT_MAP_NONE;
            continue;
        }
        bool outside = number >= most, twice = !outside && (seen[number / 8] >> number % 8 & 1);
        if ((outside || twice) && !node->how.check)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: entry %" PRIu64 " of the block table at offset %" PRIu64 ": block %u %s"),
                node->filename, i, v->table, number,
                outside ? "lies past the end of the file" : "is used twice");
        if (outside) continue;
        seen[number / 8] |= (uint8_t)(1 << number % 8);
        used = MAX(used, number + UINT64_C(1));
        map->at[i] = place(v, number);
    }
    map->end = place(v, (uint32_t)used);
    for (uint64_t n = used; n-- > 0;) { /* lowest last: taken first */
        uint64_t at = place(v, (uint32_t)n);
        if (!(seen[n / 8] >> n % 8 & 1)) g_array_append_val(map->spare, at);
    }
    if (node->how.check) {
        v->raw = g_array_sized_new(FALSE, FALSE, sizeof *entries, (guint)map->count);
        g_array_append_vals(v->raw, entries, (guint)map->count);
    }
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool unsupported(VitBlockNode *node, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static bool unsupported(VitBlockNode *node, GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, _("“%s”: unsupported VDI image (%s)"),
                          node->filename, what);
}

static bool all_zero(const uint8_t uuid[16])
{
    return vit_block_is_zero(uuid, 16);
}

static bool check_header(VitBlockNode *node, const Header *h, GError **error)
{
    uint64_t size = GUINT64_FROM_LE(h->disk_size);
    uint32_t version = GUINT32_FROM_LE(h->version), type = GUINT32_FROM_LE(h->type);
    uint32_t blocks = GUINT32_FROM_LE(h->blocks), table = GUINT32_FROM_LE(h->table_offset);
    uint32_t data = GUINT32_FROM_LE(h->data_offset);

    if (GUINT32_FROM_LE(h->signature) != SIGNATURE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Image not in VDI format (bad signature %08x)"),
                              node->filename, GUINT32_FROM_LE(h->signature));
    if (version != VERSION)
        return unsupported(node, error, _("version %u.%u"), version >> 16, version & 0xffff);
    if (type != TYPE_NORMAL && type != TYPE_FIXED)
        return unsupported(node, error, _("image type %u: only normal and fixed ones are"), type);
    if (table % 512) return unsupported(node, error, _("unaligned block map offset 0x%x"), table);
    if (data % 512) return unsupported(node, error, _("unaligned data offset 0x%x"), data);
    if (GUINT32_FROM_LE(h->sector_size) != 512)
        return unsupported(node, error, _("sector size %u is not 512"),
                           GUINT32_FROM_LE(h->sector_size));
    if (GUINT32_FROM_LE(h->block_size) != BLOCK)
        return unsupported(node, error, _("block size %u is not %u"),
                           GUINT32_FROM_LE(h->block_size), BLOCK);
    if (blocks > MAX_BLOCKS) return unsupported(node, error, _("too many blocks %u"), blocks);
    if (size > (uint64_t)blocks * BLOCK)
        return unsupported(node, error,
                           _("disk size %" PRIu64 ", image bitmap has room for %" PRIu64), size,
                           (uint64_t)blocks * BLOCK);
    if (!all_zero(h->link)) return unsupported(node, error, _("non-NULL link UUID"));
    if (!all_zero(h->parent)) return unsupported(node, error, _("non-NULL parent UUID"));
    uint64_t table_end = table + (uint64_t)blocks * 4;
    if (table < sizeof *h || data < table_end || table_end > node->file->node->size ||
        GUINT32_FROM_LE(h->allocated) > MAX_BLOCKS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: VDI header: a table of %u blocks at offset %u does not fit "
                                "between the header, the data at offset %u and the file's end"),
                              node->filename, blocks, table, data);
    return true;
}

static bool vdi_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Vdi *v = (Vdi *)node;
    g_autofree Header *h = g_new0(Header, 1);

    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    int result = vit_co_read(node->file->node, 0, h, sizeof *h);
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: header"), node->filename);
    if (!check_header(node, h, error)) return false;
    v->table = GUINT32_FROM_LE(h->table_offset);
    v->data = GUINT32_FROM_LE(h->data_offset);
    v->allocated = GUINT32_FROM_LE(h->allocated);
    v->fixed = GUINT32_FROM_LE(h->type) == TYPE_FIXED;
    if (!vit_block_map_init(&v->map, node, &map_ops, GUINT32_FROM_LE(h->blocks), BLOCK))
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: block table"), node->filename);
    v->map.all_present = true;
    v->map.limit = v->data + (uint64_t)ZERO * BLOCK;
    node->size = (GUINT64_FROM_LE(h->disk_size) + 511) & ~UINT64_C(511);
    if (node->size > v->map.count * BLOCK) node->size = v->map.count * BLOCK;
    bool good = read_table(v, error);
    if (good && !node->how.read_only && !node->how.check && (result = co_settle(&v->map)) < 0)
        good = vit_block_fail_errno(error, result, _("“%s”: header"), node->filename);
    if (!good) vit_block_map_finish(&v->map);
    return good;
}

static void vdi_close(VitBlockNode *node)
{
    Vdi *v = (Vdi *)node;

    if (!node->how.read_only) (void)vit_co_map_flush(&v->map);
    vit_block_map_finish(&v->map);
    g_clear_pointer(&v->raw, g_array_unref);
}

static int vdi_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    uint32_t signature;

    if (size < sizeof(Header)) return 0;
    memcpy(&signature, head + offsetof(Header, signature), sizeof signature);
    return GUINT32_FROM_LE(signature) == SIGNATURE ? 100 : 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int vdi_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    return vit_co_map_read(&((Vdi *)node)->map, offset, bytes, iov, niov);
}

static int vdi_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint32_t flags)
{
    return vit_co_map_write(&((Vdi *)node)->map, offset, bytes, iov, niov, flags);
}

static int vdi_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    return vit_co_map_write_zeroes(&((Vdi *)node)->map, offset, bytes, flags);
}

static int vdi_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    return vit_co_map_discard(&((Vdi *)node)->map, offset, bytes);
}

static int vdi_flush(VitBlockNode *node)
{
    return vit_co_map_flush(&((Vdi *)node)->map);
}

static int vdi_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    Vdi *v = (Vdi *)node;
    int result = vit_co_map_status(&v->map, offset, bytes, extent);

    return result == 0 && v->fixed && (extent->flags & VIT_EXTENT_DATA)
               ? vit_co_status_ahead(extent)
               : result;
}

static bool vdi_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    return vit_block_map_try_submit(&((Vdi *)node)->map, req);
}

static void vdi_info(VitBlockNode *node, VitBlockInfo *info)
{
    info->cluster_size = BLOCK;
    info->unallocated_zero = info->can_discard = true;
    info->zero_init = vit_block_info(node->file->node).zero_init;
}

/* ---- check ----------------------------------------------------------------------------------- */

static int vdi_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix)
{
    Vdi *v = (Vdi *)node;
    g_autofree uint8_t *seen = g_try_malloc0(v->map.count / 8 + 1);
    uint32_t count = 0;

    if (!seen) return -ENOMEM;
    for (uint64_t i = 0; i < v->map.count; i++) {
        uint64_t at = v->map.at[i];
        uint32_t number = v->raw              ? g_array_index(v->raw, uint32_t, i)
                          : at > VIT_MAP_ZERO ? (uint32_t)((at - v->data) / BLOCK)
                                              : FREE;
        if (number >= ZERO) continue;
        if (number >= v->map.count) {
            vit_block_check_corrupt(
                check, "ERROR: block index %" G_GUINT64_FORMAT " too large, is %u", i, number);
            continue;
        }
        count++;
        if (seen[number / 8] >> number % 8 & 1)
            vit_block_check_corrupt(
                check, "ERROR: block index %" G_GUINT64_FORMAT " also used by %u", i, number);
        seen[number / 8] |= (uint8_t)(1 << number % 8);
    }
    if (count > v->allocated) {
        vit_block_check_corrupt(check, "ERROR: allocated blocks mismatch, is %u, should be %u",
                                count, v->allocated);
    } else if (count < v->allocated) {
        /* Blocks that no entry leads to; those at the end went when the image was opened for
         * writing, and others are the first to be taken again. */
        check->leaks += v->allocated - count;
        if (fix && check->corruptions == 0) {
            int result = co_settle(&v->map);
            if (result < 0) return result;
            uint32_t left = v->allocated > count ? v->allocated - count : 0;
            check->leaks_fixed += check->leaks - left;
            check->leaks = left;
        }
    }
    return 0;
}

/* ---- creation -------------------------------------------------------------------------------- */

static const VitBlockOption create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "static", VIT_OPT_BOOL, "VDI static (pre-allocated) image", "off", false },
    { .name = NULL },
};

static void random_uuid(uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++) uuid[i] = (uint8_t)g_random_int();
    uuid[7] = (uint8_t)((uuid[7] & 0x0f) | 0x40); /* stored little-endian: version 4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static int write_table(VitBlockNode *file, uint64_t at, uint64_t blocks, uint64_t bytes, bool fixed)
{
    enum { PIECE = 1 << 16 };
    g_autofree uint32_t *entries = g_new(uint32_t, PIECE);
    int result = 0;

    for (uint64_t i = 0; i * 4 < bytes && result == 0; i += PIECE) {
        uint64_t n = MIN(PIECE, bytes / 4 - i);
        for (uint64_t k = 0; k < n; k++)
            entries[k] = i + k >= blocks ? 0 : fixed ? GUINT32_TO_LE((uint32_t)(i + k)) : FREE;
        result = vit_co_write(file, at + i * 4, entries, n * 4, 0);
    }
    return result;
}

static bool vdi_create(VitBlockCreate *create, GError **error)
{
    static const char *const modes[] = { "off", "metadata", NULL };
    bool fixed = false;
    int mode = 0;
    uint64_t size = create->size, blocks = (size + BLOCK - 1) / BLOCK;

    if (!vit_block_args_bool(create->options, "static", &fixed, error) ||
        !vit_block_args_enum(create->options, "preallocation", modes, &mode, error))
        return false;
    fixed |= mode == 1;
    if (blocks > MAX_BLOCKS)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("Unsupported VDI image size (size is 0x%" PRIx64 ", max supported is 0x%" PRIx64 ")"),
            size, (uint64_t)MAX_BLOCKS * BLOCK);
    uint64_t table = (blocks * 4 + 511) & ~UINT64_C(511), data = sizeof(Header) + table;
    g_autofree Header *h = g_new0(Header, 1);
    *h = (Header){ .text = "<<< Vitrine Virtual Disk Image >>>\n",
                   .signature = GUINT32_TO_LE(SIGNATURE),
                   .version = GUINT32_TO_LE(VERSION),
                   .header_size = GUINT32_TO_LE(0x180),
                   .type = GUINT32_TO_LE(fixed ? TYPE_FIXED : TYPE_NORMAL),
                   .table_offset = GUINT32_TO_LE(sizeof *h),
                   .data_offset = GUINT32_TO_LE((uint32_t)data),
                   .sector_size = GUINT32_TO_LE(512),
                   .disk_size = GUINT64_TO_LE(size),
                   .block_size = GUINT32_TO_LE(BLOCK),
                   .blocks = GUINT32_TO_LE((uint32_t)blocks),
                   .allocated = fixed ? GUINT32_TO_LE((uint32_t)blocks) : 0 };
    random_uuid(h->uuid);
    random_uuid(h->modified);
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    int result = vit_co_write(file, 0, h, sizeof *h, 0);
    if (result == 0) result = write_table(file, sizeof *h, blocks, table, fixed);
    bool good = result == 0;
    if (good && fixed)
        good = vit_co_truncate(file, data + blocks * BLOCK, false, VIT_PREALLOC_OFF, error);
    if (good) good = (result = vit_co_flush(file)) == 0;
    if (result < 0) vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
    vit_block_node_unref(file);
    return good;
}

static void vdi_attach(VitBlockNode *node)
{
    vit_block_map_attach(&((Vdi *)node)->map);
}

const VitBlockDriver vit_block_vdi_driver = {
    .name = "vdi",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Vdi),
    .alignment = 512,
    .create_options = create_options,
    .fits_devices = true,
    .probe = vdi_probe,
    .co_open = vdi_open,
    .co_close = vdi_close,
    .attach = vdi_attach,
    .co_read = vdi_read,
    .co_write = vdi_write,
    .co_write_zeroes = vdi_write_zeroes,
    .co_discard = vdi_discard,
    .co_flush = vdi_flush,
    .co_status = vdi_status,
    .try_submit = vdi_try_submit,
    .info = vdi_info,
    .co_create = vdi_create,
    .co_check = vdi_check,
};
