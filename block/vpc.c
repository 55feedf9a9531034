/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vpc.c - virtual hard disks (VHD) as Virtual PC and Hyper-V know them, fixed and dynamic
 *
 * Microsoft, "Virtual Hard Disk Image Format Specification", October 2006.  A footer ends the file;
 * a dynamic image begins with a copy of it, a header and the block allocation table.  Each block
 * follows a bitmap of its sectors; since new blocks are zeroed, bits that are not set say nothing
 * that the block does not, and reading ignores them.  Not done: differencing images. */
#include "block/block-map.h"
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4, SECTOR = 512 };
enum : uint32_t { UNUSED = 0xffffffff, MAX_BAT = 1 << 25 };
enum : uint64_t { MAX_CHS_SECTORS = UINT64_C(65535) * 16 * 255, MAX_SECTORS = 0xff000000 };
static const uint64_t epoch = 946684800; /* 2000-01-01 00:00 UTC */

/* clang-format off */
typedef struct __attribute__((packed)) {    /* big-endian, as everything here */
    char     cookie[8];                     /* "conectix" */
    uint32_t features, version;
    uint64_t data_offset;
    uint32_t timestamp;                     /* seconds since 2000 */
    char     creator_app[4];
    uint32_t creator_version;
    char     creator_os[4];
    uint64_t original_size, current_size;
    uint16_t cylinders;
    uint8_t  heads, sectors;
    uint32_t type, checksum;
    uint8_t  uuid[16], saved_state;
    uint8_t  reserved[427];
} Footer;

typedef struct __attribute__((packed)) {
    char     cookie[8];                     /* "cxsparse" */
    uint64_t data_offset, table_offset;
    uint32_t version, max_entries, block_size, checksum;
    uint8_t  parent_uuid[16];
    uint32_t parent_timestamp, reserved;
    uint8_t  parent_name[512], locators[8][24];
    uint8_t  reserved2[256];
} Header;
/* clang-format on */
static_assert(sizeof(Footer) == 512 && sizeof(Header) == 1024);

typedef struct {
    VitBlockNode parent;
    Footer footer;
    bool fixed;
    VitBlockMap map; /* of a dynamic image */
    uint64_t table; /* offset of the BAT */
} Vpc;

static uint32_t checksum(const void *data, size_t size, size_t field)
{
    const uint8_t *p = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        if (i < field || i >= field + 4) sum += p[i];
    }
    return ~sum;
}

static bool good_footer(const Footer *f)
{
    return memcmp(f->cookie, "conectix", 8) == 0 &&
           GUINT32_FROM_BE(f->checksum) == checksum(f, sizeof *f, offsetof(Footer, checksum));
}

static uint64_t chs_sectors(const Footer *f)
{
    return (uint64_t)GUINT16_FROM_BE(f->cylinders) * f->heads * f->sectors;
}

/* The specification's appendix, "CHS calculation". */
static void set_geometry(Footer *f, uint64_t sectors)
{
    uint32_t total = (uint32_t)MIN(sectors, MAX_CHS_SECTORS), per_track, heads, rest;

    if (total >= 65535 * 16 * 63) {
        per_track = 255;
        heads = 16;
        rest = total / per_track;
    } else {
        per_track = 17;
        rest = total / per_track;
        heads = MAX((rest + 1023) / 1024, 4);
        if (rest >= heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
            rest = total / per_track;
        }
        if (rest >= heads * 1024) {
            per_track = 63;
            heads = 16;
            rest = total / per_track;
        }
    }
    f->cylinders = GUINT16_TO_BE((uint16_t)(rest / heads));
    f->heads = (uint8_t)heads;
    f->sectors = (uint8_t)per_track;
}

/* ---- the allocation table -------------------------------------------------------------------- */

static int co_begin(VitBlockMap *map, uint64_t index, uint64_t host)
{
    g_autofree uint8_t *bitmap = g_try_malloc(map->lead);

    if (!bitmap) return -ENOMEM;
    memset(bitmap, 0xff, map->lead);
    return vit_co_write(map->node->file->node, host - map->lead, bitmap, map->lead, 0);
}

/* Others may read sectors as zeroes whose bits are not set. */
static int co_touch(VitBlockMap *map, uint64_t index, uint64_t host)
{
    g_autofree uint8_t *bitmap = g_try_malloc(map->lead);

    if (!bitmap) return -ENOMEM;
    int result = vit_co_read(map->node->file->node, host - map->lead, bitmap, map->lead);
    if (result < 0) return result;
    for (uint32_t i = 0; i < map->block_size / SECTOR / 8; i++) {
        if (bitmap[i] != 0xff) return co_begin(map, index, host);
    }
    return 0;
}

static int co_settle(VitBlockMap *map)
{
    const Vpc *v = (const Vpc *)map->node;

    return vit_co_write(map->node->file->node, map->end, &v->footer, sizeof v->footer, 0);
}

static int co_store(VitBlockMap *map, uint64_t first, uint64_t count, const uint64_t *at)
{
    const Vpc *v = (const Vpc *)map->node;
    g_autofree uint32_t *entries = g_try_new(uint32_t, count);

    if (!entries) return -ENOMEM;
    for (uint64_t i = 0; i < count; i++)
        entries[i] = at[i] > VIT_MAP_ZERO ? GUINT32_TO_BE((uint32_t)((at[i] - map->lead) / SECTOR))
                                          : UNUSED;
    return vit_co_write(map->node->file->node, v->table + first * 4, entries, count * 4, 0);
}

static const VitBlockMapOps map_ops = {
    .co_begin = co_begin, .co_touch = co_touch, .co_settle = co_settle, .co_store = co_store
};

/* ---- opening --------------------------------------------------------------------------------- */

static bool corrupt(VitBlockNode *node, GError **error, const char *what, uint64_t number)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: VHD header: %s %" PRIu64),
                          node->filename, what, number);
}

static bool read_table(Vpc *v, uint64_t header_at, uint64_t table_end, GError **error)
{
    VitBlockMap *map = &v->map;
    VitBlockNode *node = &v->parent;
    uint64_t size = node->file->node->size, whole = map->lead + map->block_size;
    g_autofree uint32_t *entries = g_try_new(uint32_t, map->count + 1);

    if (!entries) return vit_block_fail_errno(error, -ENOMEM, _("“%s”: BAT"), node->filename);
    int result = vit_co_read(node->file->node, v->table, entries, map->count * 4);
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: BAT"), node->filename);
    map->end = MAX(table_end, MAX(header_at + sizeof(Header), sizeof(Footer)));
    for (uint64_t i = 0; i < map->count; i++) {
        if (entries[i] == UNUSED) continue;
        uint64_t start = (uint64_t)GUINT32_FROM_BE(entries[i]) * SECTOR, end = start + whole;
        bool bad = start < sizeof(Footer) || (start < table_end && end > v->table) ||
                   (start < header_at + sizeof(Header) && end > header_at);
        if (bad || end > size)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: BAT entry %" PRIu64 " at offset %" PRIu64
                                    ": the block at offset %" PRIu64 " %s"),
                                  node->filename, i, v->table + i * 4, start,
                                  bad ? "overlaps the image's tables"
                                      : "ends after the file; the image has been truncated");
        map->at[i] = start + map->lead;
        map->end = MAX(map->end, end);
    }
    uint64_t twice;
    if (!node->how.read_only && vit_block_map_overlap(map, &twice))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the block at offset %" PRIu64
                                " belongs to two places of the disk; only read-only use is safe"),
                              node->filename, twice - map->lead);
    return true;
}

/* The footer must end the file; after a crash there may be half-made blocks in its place. */
static bool mend_tail(Vpc *v, GError **error)
{
    VitBlockNode *file = v->parent.file->node;
    VitBlockMap *map = &v->map;
    Footer tail;

    if (v->parent.how.read_only) return true;
    if (file->size >= map->end + sizeof tail) {
        int result = vit_co_read(file, file->size - sizeof tail, &tail, sizeof tail);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("“%s”: footer"), v->parent.filename);
        if (good_footer(&tail) && file->size % SECTOR == 0) {
            map->end = file->size - sizeof tail;
            return true;
        }
    }
    if (file->size > map->end && !vit_co_truncate(file, map->end, false, VIT_PREALLOC_OFF, error))
        return false;
    map->fresh = file->size;
    int result = co_settle(map);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: footer"), v->parent.filename);
}

static bool open_dynamic(Vpc *v, GError **error)
{
    VitBlockNode *node = &v->parent;
    uint64_t at = GUINT64_FROM_BE(v->footer.data_offset), size = node->file->node->size;
    g_autofree Header *h = g_new(Header, 1);

    if (at < sizeof(Footer) || at > size || size - at < sizeof *h)
        return corrupt(node, error, _("no room for the dynamic disk header at offset"), at);
    int result = vit_co_read(node->file->node, at, h, sizeof *h);
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: header"), node->filename);
    if (memcmp(h->cookie, "cxsparse", 8) != 0)
        return corrupt(node, error, _("Invalid header magic at offset"), at);
    if (GUINT32_FROM_BE(h->checksum) != checksum(h, sizeof *h, offsetof(Header, checksum)))
        return corrupt(node, error, _("Incorrect header checksum at offset"), at);
    uint32_t block = GUINT32_FROM_BE(h->block_size), entries = GUINT32_FROM_BE(h->max_entries);
    if (block < SECTOR || (block & (block - 1)) != 0)
        return corrupt(node, error, _("Invalid block size"), block);
    uint64_t needed = (node->size + block - 1) / block, table_size = (uint64_t)entries * 4;
    if (entries > MAX_BAT) return corrupt(node, error, _("Max Table Entries too large:"), entries);
    if (entries < needed) return corrupt(node, error, _("Page table too small:"), entries);
    v->table = GUINT64_FROM_BE(h->table_offset);
    if (v->table > size || size - v->table < table_size || v->table < sizeof(Footer))
        return corrupt(node, error, _("the BAT does not fit into the file at offset"), v->table);
    if (!vit_block_map_init(&v->map, node, &map_ops, needed, block))
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: BAT"), node->filename);
    v->map.lead = (block / SECTOR / 8 + SECTOR - 1) / SECTOR * SECTOR;
    v->map.all_present = true;
    v->map.limit = (uint64_t)(UNUSED - 1) * SECTOR;
    if (read_table(v, at, v->table + table_size, error) && mend_tail(v, error)) return true;
    vit_block_map_finish(&v->map);
    return false;
}

/* Virtual PC goes by the geometry, and what QEMU wrote for it as well; all others by the size. */
static bool set_size(Vpc *v, VitBlockArgs *args, GError **error)
{
    static const char *const calcs[] = { "chs", "current_size", NULL };
    const Footer *f = &v->footer;
    VitBlockNode *node = &v->parent;
    bool by_chs = memcmp(f->creator_app, "vpc ", 4) == 0 || memcmp(f->creator_app, "qemu", 4) == 0;
    int how = by_chs && chs_sectors(f) < MAX_CHS_SECTORS ? 0 : 1;

    if (!vit_block_args_enum(args, "force_size_calc", calcs, &how, error)) return false;
    node->size = how == 0 ? chs_sectors(f) * SECTOR
                          : GUINT64_FROM_BE(f->current_size) / SECTOR * SECTOR;
    return node->size / SECTOR <= MAX_SECTORS ||
           vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: VHD footer: a size of %" PRIu64
                            " bytes; at most 2040 GiB are possible: File too large"),
                          node->filename, node->size);
}

static bool read_footer(Vpc *v, GError **error)
{
    VitBlockNode *node = &v->parent, *file = node->file->node;
    uint64_t tail = file->size >= sizeof(Footer) ? file->size - sizeof(Footer) : 0;
    bool bad_checksum = false;

    for (int i = 0; i < 2; i++) {
        int result = vit_co_read(file, i == 0 ? 0 : tail, &v->footer, sizeof v->footer);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("“%s”: footer"), node->filename);
        if (good_footer(&v->footer)) {
            v->fixed = i == 1 && GUINT32_FROM_BE(v->footer.type) == TYPE_FIXED;
            return true;
        }
        bad_checksum |= memcmp(v->footer.cookie, "conectix", 8) == 0;
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, "“%s”: %s", node->filename,
                          bad_checksum ? "Incorrect header checksum" : "invalid VPC image");
}

static bool vpc_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Vpc *v = (Vpc *)node;

    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error) || !read_footer(v, error) ||
        !set_size(v, args, error))
        return false;
    if (GUINT32_FROM_BE(v->footer.type) == TYPE_DIFFERENCING)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: a differencing VHD, which needs its parent; merge it there"),
                              node->filename);
    if (!v->fixed) return open_dynamic(v, error);
    if (node->size > node->file->node->size - sizeof(Footer))
        return corrupt(node, error, _("the file is shorter than the disk's bytes,"), node->size);
    return true;
}

static void vpc_close(VitBlockNode *node)
{
    Vpc *v = (Vpc *)node;

    if (v->fixed) return;
    if (!node->how.read_only) (void)vit_co_map_flush(&v->map);
    vit_block_map_finish(&v->map);
}

static int vpc_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    if (size >= 8 && memcmp(head, "conectix", 8) == 0) return 100;
    if (!tail) return 0;
    Footer f;
    memcpy(&f, tail, sizeof f);
    return good_footer(&f) && GUINT32_FROM_BE(f.type) == TYPE_FIXED ? 50 : 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int vpc_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    Vpc *v = (Vpc *)node;

    return v->fixed ? vit_co_readv(node->file->node, offset, bytes, iov, niov)
                    : vit_co_map_read(&v->map, offset, bytes, iov, niov);
}

static int vpc_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint32_t flags)
{
    Vpc *v = (Vpc *)node;

    return v->fixed ? vit_co_writev(node->file->node, offset, bytes, iov, niov, flags)
                    : vit_co_map_write(&v->map, offset, bytes, iov, niov, flags);
}

static int vpc_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    Vpc *v = (Vpc *)node;

    return v->fixed ? vit_co_zero(node->file->node, offset, bytes, flags)
                    : vit_co_map_write_zeroes(&v->map, offset, bytes, flags);
}

static int vpc_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    Vpc *v = (Vpc *)node;

    return v->fixed ? vit_co_discard(node->file->node, offset, bytes)
                    : vit_co_map_discard(&v->map, offset, bytes);
}

static int vpc_flush(VitBlockNode *node)
{
    Vpc *v = (Vpc *)node;

    return v->fixed ? vit_co_flush(node->file->node) : vit_co_map_flush(&v->map);
}

static int vpc_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    Vpc *v = (Vpc *)node;

    if (!v->fixed) return vit_co_map_status(&v->map, offset, bytes, extent);
    *extent = (VitBlockExtent){ .bytes = bytes,
                                .flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET,
                                .host_offset = offset,
                                .file = node->file->node };
    return vit_co_status_ahead(extent);
}

static bool vpc_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Vpc *v = (Vpc *)node;

    if (!v->fixed) return vit_block_map_try_submit(&v->map, req);
    vit_block_submit(node->file->node, vit_block_child_request(req));
    return true;
}

static void vpc_info(VitBlockNode *node, VitBlockInfo *info)
{
    const Vpc *v = (const Vpc *)node;

    info->can_discard = true;
    info->unallocated_zero = info->zero_init = true;
    if (v->fixed) info->zero_init = vit_block_info(node->file->node).zero_init;
    else info->cluster_size = (uint32_t)v->map.block_size;
}

/* ---- creation -------------------------------------------------------------------------------- */

static const VitBlockOption create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "subformat", VIT_OPT_STRING,
      "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ", NULL,
      false },
    { "force_size", VIT_OPT_BOOL,
      "Force disk size calculation to use the actual size specified, rather than using the nearest "
      "CHS-based calculation",
      NULL, false },
    { .name = NULL },
};

static void random_uuid(uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++) uuid[i] = (uint8_t)g_random_int();
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* Returns the size in bytes that the image really gets. */
static uint64_t make_footer(Footer *f, uint64_t size, bool fixed, bool force_size)
{
    uint64_t sectors = size / SECTOR;

    *f = (Footer){ .cookie = "conectix",
                   .features = GUINT32_TO_BE(2),
                   .version = GUINT32_TO_BE(0x00010000),
                   .data_offset = fixed ? UINT64_MAX : GUINT64_TO_BE(sizeof *f),
                   .timestamp = GUINT32_TO_BE(
                       (uint32_t)((uint64_t)(g_get_real_time() / G_USEC_PER_SEC) - epoch)),
                   .creator_version = GUINT32_TO_BE(0x00050003),
                   .type = GUINT32_TO_BE(fixed ? TYPE_FIXED : TYPE_DYNAMIC) };
    /* Readers choose between geometry and size by these letters: the ones that they know. */
    memcpy(f->creator_app, force_size ? "qem2" : "qemu", 4);
    memcpy(f->creator_os, "Wi2k", 4);
    f->cylinders = GUINT16_TO_BE(65535);
    f->heads = 16;
    f->sectors = 255;
    if (!force_size && sectors <= MAX_CHS_SECTORS) {
        uint64_t wanted = sectors;
        do set_geometry(f, wanted++);
        while (chs_sectors(f) < sectors);
        sectors = chs_sectors(f);
    }
    f->original_size = f->current_size = GUINT64_TO_BE(sectors * SECTOR);
    random_uuid(f->uuid);
    f->checksum = GUINT32_TO_BE(checksum(f, sizeof *f, offsetof(Footer, checksum)));
    return sectors * SECTOR;
}

static int write_dynamic(VitBlockNode *file, const Footer *f, uint64_t size)
{
    enum { BLOCK = 2 << 20 };
    uint32_t entries = (uint32_t)((size + BLOCK - 1) / BLOCK);
    uint64_t table = sizeof *f + sizeof(Header),
             table_size = (entries * UINT64_C(4) + 511) / 512 * 512;
    g_autofree uint8_t *all = g_malloc0(table + table_size + sizeof *f);
    Header *h = (Header *)(all + sizeof *f);

    memcpy(all, f, sizeof *f);
    memcpy(h->cookie, "cxsparse", 8);
    h->data_offset = UINT64_MAX;
    h->table_offset = GUINT64_TO_BE(table);
    h->version = GUINT32_TO_BE(0x00010000);
    h->max_entries = GUINT32_TO_BE(entries);
    h->block_size = GUINT32_TO_BE(BLOCK);
    h->checksum = GUINT32_TO_BE(checksum(h, sizeof *h, offsetof(Header, checksum)));
    memset(all + table, 0xff, table_size);
    memcpy(all + table + table_size, f, sizeof *f);
    return vit_co_write(file, 0, all, table + table_size + sizeof *f, 0);
}

static bool vpc_create(VitBlockCreate *create, GError **error)
{
    static const char *const subformats[] = { "dynamic", "fixed", NULL };
    bool force_size = false;
    int subformat = 0;
    Footer f;

    if (!vit_block_args_enum(create->options, "subformat", subformats, &subformat, error) ||
        !vit_block_args_bool(create->options, "force_size", &force_size, error))
        return false;
    bool fixed = subformat == 1;
    if (create->size / SECTOR > MAX_SECTORS)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("The image size is too large for file format 'vpc' (at most 2040 GiB)"));
    uint64_t size = make_footer(&f, create->size, fixed, force_size);
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    bool good = !fixed || vit_co_truncate(file, size, false, VIT_PREALLOC_OFF, error);
    if (good) {
        int result = fixed ? vit_co_write(file, size, &f, sizeof f, 0)
                           : write_dynamic(file, &f, size);
        if (result == 0) result = vit_co_flush(file);
        good = result == 0 ||
               vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
    }
    vit_block_node_unref(file);
    return good;
}

static void vpc_attach(VitBlockNode *node)
{
    Vpc *v = (Vpc *)node;

    if (v->map.node) vit_block_map_attach(&v->map);
}

const VitBlockDriver vit_block_vpc_driver = {
    .name = "vpc",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Vpc),
    .alignment = SECTOR,
    .create_options = create_options,
    .probe = vpc_probe,
    .co_open = vpc_open,
    .co_close = vpc_close,
    .attach = vpc_attach,
    .co_read = vpc_read,
    .co_write = vpc_write,
    .co_write_zeroes = vpc_write_zeroes,
    .co_discard = vpc_discard,
    .co_flush = vpc_flush,
    .co_status = vpc_status,
    .try_submit = vpc_try_submit,
    .info = vpc_info,
    .co_create = vpc_create,
};
