/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/parallels.c - Parallels expandable images
 *
 * "Parallels Expandable Image File Format" (docs/interop of the QEMU documentation).  The older
 * kind, "WithoutFreeSpace", counts places in sectors, "WithouFreSpacExt" in clusters.  Not done:
 * the format extension (dirty bitmaps), which is kept but marked as out of date by what is written.
 */
#include "block/block-map.h"
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { SECTOR = 512, VERSION = 2, TABLE = 64, MAX_ENTRIES = 1 << 26, MAX_CLUSTER = 1 << 30 };
enum : uint32_t { IN_USE = 0x746f6e59, CLOSED = 0x312e3276 };
static const char magic_sectors[] = "WithoutFreeSpace", magic_clusters[] = "WithouFreSpacExt";

/* clang-format off */
typedef struct __attribute__((packed)) {    /* little-endian */
    char     magic[16];
    uint32_t version, heads, cylinders, tracks;     /* tracks: sectors of a cluster */
    uint32_t entries;
    uint64_t sectors;
    uint32_t in_use, data_offset, flags;            /* data_offset: in sectors */
    uint64_t extension;                             /* in sectors */
} Header;
/* clang-format on */
static_assert(sizeof(Header) == TABLE);

typedef struct {
    VitBlockNode parent;
    VitBlockMap map;
    uint32_t unit; /* bytes that an entry counts */
    uint64_t data; /* where clusters begin */
    uint64_t extension; /* offset of the extension's cluster; 0: none */
    bool dirty, bad_data_offset, bad_entries; /* found when it was opened, to be checked */
    bool writing; /* the header says so */
    VitFiberMutex starting;
} Parallels;

static int write_in_use(Parallels *p, uint32_t value)
{
    VitBlockNode *file = p->parent.file->node;
    uint32_t stored = GUINT32_TO_LE(value);
    int result = vit_co_write(file, offsetof(Header, in_use), &stored, sizeof stored, 0);

    return result < 0 ? result : vit_co_flush(file);
}

static int co_store(VitBlockMap *map, uint64_t first, uint64_t count, const uint64_t *at)
{
    const Parallels *p = (const Parallels *)map->node;
    g_autofree uint32_t *entries = g_try_new(uint32_t, count);

    if (!entries) return -ENOMEM;
    for (uint64_t i = 0; i < count; i++)
        entries[i] = at[i] > VIT_MAP_ZERO ? GUINT32_TO_LE((uint32_t)(at[i] / p->unit)) : 0;
    return vit_co_write(map->node->file->node, TABLE + first * 4, entries, count * 4, 0);
}

static const VitBlockMapOps map_ops = { .co_store = co_store };

/* ---- the table ------------------------------------------------------------------------------- */

static bool is_outside(const Parallels *p, uint64_t at)
{
    uint64_t size = p->parent.file->node->size;

    return at < p->data || at >= size || size - at < p->map.block_size ||
           (p->extension && at < p->extension + p->map.block_size &&
            p->extension < at + p->map.block_size);
}

/* Clusters between others that no entry leads to are used first. */
static void find_spare(Parallels *p)
{
    VitBlockMap *map = &p->map;
    uint64_t size = map->block_size, n = (map->end - p->data) / size;
    g_autofree uint8_t *used = g_try_malloc0(n / 8 + 1);

    if (!used) return; /* then they stay unused */
    for (uint64_t i = 0; i < map->count; i++) {
        if (map->at[i] <= VIT_MAP_ZERO) continue;
        uint64_t from = (map->at[i] - p->data) / size;
        uint64_t to = (map->at[i] - p->data + size - 1) / size; /* one that lies askew covers two */
        for (uint64_t k = from; k <= to && k < n; k++) used[k / 8] |= (uint8_t)(1 << k % 8);
    }
    for (uint64_t k = n; k-- > 0;) {
        uint64_t at = p->data + k * size;
        bool extension = p->extension && at < p->extension + size && p->extension < at + size;
        if (!(used[k / 8] >> k % 8 & 1) && !extension) g_array_append_val(map->spare, at);
    }
}

static void find_end(Parallels *p)
{
    VitBlockMap *map = &p->map;
    uint64_t end = MAX(p->data, p->extension ? p->extension + map->block_size : 0);

    for (uint64_t i = 0; i < map->count; i++) {
        if (map->at[i] > VIT_MAP_ZERO) end = MAX(end, map->at[i] + map->block_size);
    }
    map->end = p->data + (end - p->data + map->block_size - 1) / map->block_size * map->block_size;
}

static bool read_table(Parallels *p, GError **error)
{
    enum { PIECE = 1 << 16 };
    VitBlockMap *map = &p->map;
    VitBlockNode *node = &p->parent;
    g_autofree uint32_t *piece = g_new(uint32_t, PIECE);
    uint64_t twice;

    for (uint64_t i = 0; i < map->count; i++) {
        if (i % PIECE == 0) {
            int result = vit_co_read(node->file->node, TABLE + i * 4, piece,
                                     MIN(PIECE, map->count - i) * 4);
            if (result < 0)
                return vit_block_fail_errno(error, result, _("“%s”: BAT"), node->filename);
        }
        if (piece[i % PIECE] == 0) continue;
        map->at[i] = (uint64_t)GUINT32_FROM_LE(piece[i % PIECE]) * p->unit;
        if (!is_outside(p, map->at[i])) continue;
        p->bad_entries = true;
        if (!node->how.check)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: BAT entry %" PRIu64 " at offset %" PRIu64
                                    ": the cluster at offset %" PRIu64
                                    " is outside image; repair it with check -r all"),
                                  node->filename, i, TABLE + i * 4, map->at[i]);
    }
    if (!node->how.read_only && !node->how.check && vit_block_map_overlap(map, &twice))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the cluster at offset %" PRIu64
                                " belongs to two places of the disk; repair it with check -r all"),
                              node->filename, twice);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool check_header(Parallels *p, const Header *h, GError **error)
{
    VitBlockNode *node = &p->parent;
    uint32_t entries = GUINT32_FROM_LE(h->entries), tracks = GUINT32_FROM_LE(h->tracks);
    uint32_t in_use = GUINT32_FROM_LE(h->in_use);
    bool clusters = memcmp(h->magic, magic_clusters, sizeof h->magic) == 0;
    uint64_t sectors = GUINT64_FROM_LE(h->sectors), table_end = TABLE + (uint64_t)entries * 4;
    const char *wrong = NULL;

    if (!clusters) sectors = (uint32_t)sectors;
    if (!clusters && memcmp(h->magic, magic_sectors, sizeof h->magic) != 0)
        wrong = "Image not in Parallels format";
    else if (GUINT32_FROM_LE(h->version) != VERSION) wrong = "unknown version; only 2 is known";
    else if (tracks == 0) wrong = "Invalid image: Zero sectors per track";
    else if (tracks > MAX_CLUSTER / SECTOR) wrong = "Invalid image: Too big cluster";
    else if (entries > MAX_ENTRIES) wrong = "Catalog too large";
    else if (table_end > node->file->node->size) wrong = "the BAT does not fit into the file";
    else if (sectors > (uint64_t)entries * tracks) wrong = "the disk is larger than its BAT";
    else if (in_use != 0 && in_use != IN_USE && in_use != CLOSED)
        wrong = "the field in_use has an unknown value";
    if (wrong)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: Parallels header: %s"),
                              node->filename, wrong);
    uint64_t cluster = (uint64_t)tracks * SECTOR, least = clusters ? cluster : SECTOR;
    uint64_t data = (uint64_t)GUINT32_FROM_LE(h->data_offset) * SECTOR;
    uint64_t most = (node->file->node->size + cluster - 1) / cluster * cluster;
    least = (table_end + least - 1) / least * least;
    p->bad_data_offset = clusters ? data < least || data % cluster : data != 0 && data < table_end;
    p->bad_data_offset |= data > MAX(most, least);
    if (p->bad_data_offset && !node->how.read_only && !node->how.check)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: Parallels header: data_off field has incorrect value; repair it "
              "with check -r all"),
            node->filename);
    if (p->bad_data_offset || data == 0) data = least;
    p->data = data;
    p->unit = clusters ? (uint32_t)cluster : SECTOR;
    p->dirty = in_use == IN_USE;
    uint64_t extension = GUINT64_FROM_LE(h->extension);
    if (extension && extension < node->file->node->size / SECTOR) p->extension = extension * SECTOR;
    node->size = sectors * SECTOR;
    return true;
}

/* What stopped in the middle left at most clusters at the end that no entry leads to. */
static bool tidy_up(Parallels *p, GError **error)
{
    VitBlockNode *file = p->parent.file->node;

    if (p->parent.how.read_only || p->parent.how.check || !p->dirty) return true;
    if (file->size > p->map.end &&
        !vit_co_truncate(file, p->map.end, false, VIT_PREALLOC_OFF, error))
        return false;
    p->map.fresh = file->size;
    int result = write_in_use(p, 0);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: header"), p->parent.filename);
}

static bool parallels_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Parallels *p = (Parallels *)node;
    Header h;

    p->starting.thread = node->thread;
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    int result = vit_co_read(node->file->node, 0, &h, sizeof h);
    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: header"), node->filename);
    if (!check_header(p, &h, error)) return false;
    if (!vit_block_map_init(&p->map, node, &map_ops, GUINT32_FROM_LE(h.entries),
                            (uint64_t)GUINT32_FROM_LE(h.tracks) * SECTOR))
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: BAT"), node->filename);
    p->map.limit = (uint64_t)UINT32_MAX * p->unit;
    bool good = read_table(p, error);
    if (good && !node->how.check) {
        find_end(p);
        if (!node->how.read_only) find_spare(p);
        good = tidy_up(p, error);
    }
    if (!good) vit_block_map_finish(&p->map);
    return good;
}

static void parallels_close(VitBlockNode *node)
{
    Parallels *p = (Parallels *)node;

    if (!node->how.read_only && vit_co_map_flush(&p->map) == 0 && p->writing)
        (void)write_in_use(p, 0); /* else the next one who opens it sees that */
    vit_block_map_finish(&p->map);
}

static int parallels_reopen(VitBlockNode *node, bool read_only)
{
    Parallels *p = (Parallels *)node;

    if (!read_only) return p->dirty ? -EUCLEAN : 0;
    int result = vit_co_map_flush(&p->map);
    if (result == 0 && p->writing) result = write_in_use(p, 0);
    if (result == 0) p->writing = false;
    return result;
}

static int parallels_probe(const uint8_t *head, size_t size, const uint8_t *tail,
                           const char *filename)
{
    Header h;

    if (size < sizeof h) return 0;
    memcpy(&h, head, sizeof h);
    return GUINT32_FROM_LE(h.version) == VERSION &&
                   (memcmp(h.magic, magic_sectors, sizeof h.magic) == 0 ||
                    memcmp(h.magic, magic_clusters, sizeof h.magic) == 0)
               ? 100
               : 0;
}

/* Before the first write: the header says that the image is in use. */
static int start_writing(Parallels *p)
{
    int result = 0;

    if (p->bad_entries || p->bad_data_offset) return -EIO; /* opened to be repaired first */
    if (p->writing) return 0;
    vit_fiber_mutex_lock(&p->starting);
    if (!p->writing) {
        result = write_in_use(p, IN_USE);
        p->writing = result == 0;
    }
    vit_fiber_mutex_unlock(&p->starting);
    return result;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int parallels_read(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int niov)
{
    return vit_co_map_read(&((Parallels *)node)->map, offset, bytes, iov, niov);
}

static int parallels_write(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                           const struct iovec *iov, int niov, uint32_t flags)
{
    Parallels *p = (Parallels *)node;
    int result = start_writing(p);

    return result < 0 ? result : vit_co_map_write(&p->map, offset, bytes, iov, niov, flags);
}

static int parallels_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                                  uint32_t flags)
{
    Parallels *p = (Parallels *)node;
    int result = start_writing(p);

    return result < 0 ? result : vit_co_map_write_zeroes(&p->map, offset, bytes, flags);
}

static int parallels_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    Parallels *p = (Parallels *)node;
    int result = start_writing(p);

    return result < 0 ? result : vit_co_map_discard(&p->map, offset, bytes);
}

static int parallels_flush(VitBlockNode *node)
{
    return vit_co_map_flush(&((Parallels *)node)->map);
}

static int parallels_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                            VitBlockExtent *extent)
{
    return vit_co_map_status(&((Parallels *)node)->map, offset, bytes, extent);
}

static bool parallels_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Parallels *p = (Parallels *)node;

    if (req->op != VIT_BLOCK_READ && !p->writing) return false;
    return vit_block_map_try_submit(&p->map, req);
}

static void parallels_info(VitBlockNode *node, VitBlockInfo *info)
{
    const Parallels *p = (const Parallels *)node;

    info->can_discard = info->zero_init = info->unallocated_zero = true;
    info->dirty = p->dirty && node->how.read_only;
}

/* ---- check ----------------------------------------------------------------------------------- */

G_GNUC_PRINTF(3, 4)
static void tell(VitBlockCheck *check, bool fixing, const char *format, ...)
{
    va_list args;

    if (!check->message) return;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = g_strconcat(fixing ? "Repairing " : "ERROR ", text, NULL);
    check->message(check->opaque, line);
}

static void count_corruption(VitBlockCheck *check, bool fixing)
{
    if (fixing) check->corruptions_fixed++;
    else check->corruptions++;
}

static int check_facts(Parallels *p, VitBlockCheck *check, bool fix)
{
    int result = 0;

    if (p->dirty) {
        tell(check, fix, "image was not closed correctly");
        count_corruption(check, fix);
        if (fix) p->dirty = false; /* stored at the end */
    }
    if (p->bad_data_offset) {
        uint32_t sectors = GUINT32_TO_LE((uint32_t)(p->data / SECTOR));
        tell(check, fix, "data_off field has incorrect value");
        count_corruption(check, fix);
        if (fix)
            result = vit_co_write(p->parent.file->node, offsetof(Header, data_offset), &sectors,
                                  sizeof sectors, 0);
        if (fix && result == 0) p->bad_data_offset = false;
    }
    for (uint64_t i = 0; i < p->map.count && result == 0; i++) {
        if (p->map.at[i] <= VIT_MAP_ZERO || !is_outside(p, p->map.at[i])) continue;
        tell(check, fix, "cluster %" G_GUINT64_FORMAT " is outside image", i);
        count_corruption(check, fix);
        if (fix) vit_block_map_set(&p->map, i, VIT_MAP_NONE);
    }
    if (fix && result == 0) p->bad_entries = false;
    return result;
}

static int check_leaks(Parallels *p, VitBlockCheck *check, bool fix)
{
    VitBlockNode *file = p->parent.file->node;

    /* What lies outside says nothing about the end; it is told of above. */
    uint64_t end = p->data;
    if (p->extension) end = MAX(end, p->extension + p->map.block_size);
    for (uint64_t i = 0; i < p->map.count; i++) {
        uint64_t at = p->map.at[i];
        if (at > VIT_MAP_ZERO && !is_outside(p, at)) end = MAX(end, at + p->map.block_size);
    }
    check->image_end_offset = p->map.end = end;
    if (file->size <= end) return 0;
    uint64_t leaked = (file->size - end + p->map.block_size - 1) / p->map.block_size;
    tell(check, fix, "space leaked at the end of the image %" G_GUINT64_FORMAT, file->size - end);
    if (!fix) {
        check->leaks += leaked;
        return 0;
    }
    if (!vit_co_truncate(file, end, false, VIT_PREALLOC_OFF, NULL)) return -EIO;
    p->map.fresh = file->size;
    check->leaks_fixed += leaked;
    return 0;
}

/* The second user of a cluster gets a copy of it. */
static int copy_cluster(Parallels *p, uint64_t index)
{
    VitBlockMap *map = &p->map;
    VitBlockNode *file = p->parent.file->node;
    g_autofree uint8_t *buf = g_try_malloc(map->block_size);

    if (!buf) return -ENOMEM;
    int result = vit_co_read(file, map->at[index], buf, map->block_size);
    if (result == 0) result = vit_co_write(file, map->end, buf, map->block_size, 0);
    if (result < 0) return result;
    vit_block_map_set(map, index, map->end);
    map->end += map->block_size;
    return 0;
}

static int check_duplicates(Parallels *p, VitBlockCheck *check, bool fix)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    uint64_t before = 0;
    int result = 0;

    for (uint64_t i = 0; i < p->map.count && result == 0; i++) {
        uint64_t at = p->map.at[i];
        check->total_clusters++;
        if (at <= VIT_MAP_ZERO || is_outside(p, at)) continue;
        check->allocated_clusters++;
        if (before && before + p->map.block_size != at) check->fragmented_clusters++;
        before = at;
        gint64 *key = g_memdup2(&at, sizeof at);
        if (g_hash_table_add(seen, key)) continue;
        tell(check, fix, "duplicate offset in BAT entry %" G_GUINT64_FORMAT, i);
        count_corruption(check, fix);
        if (fix) result = copy_cluster(p, i);
    }
    check->image_end_offset = MAX(check->image_end_offset, p->map.end);
    return result;
}

static int parallels_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix)
{
    Parallels *p = (Parallels *)node;
    bool errors = fix & VIT_FIX_ERRORS;
    int result = vit_co_map_flush(&p->map);

    if (result == 0) result = check_facts(p, check, errors);
    if (result == 0) result = check_leaks(p, check, fix & VIT_FIX_LEAKS);
    if (result == 0) result = check_duplicates(p, check, errors);
    if (result == 0 && fix) result = vit_co_map_flush(&p->map);
    if (result == 0 && errors && check->corruptions_fixed) result = write_in_use(p, 0);
    return result;
}

/* ---- creation -------------------------------------------------------------------------------- */

static const VitBlockOption create_options[] = {
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "cluster_size", VIT_OPT_SIZE, "Parallels image cluster size", "1048576", false },
    { .name = NULL },
};

static bool parallels_create(VitBlockCreate *create, GError **error)
{
    uint64_t cluster = 1 << 20;

    if (!vit_block_args_size(create->options, "cluster_size", &cluster, error)) return false;
    if (cluster == 0 || cluster > MAX_CLUSTER)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Cluster size is too large%s"),
                              cluster ? " (at most 1 GiB)" : ": it must not be 0");
    cluster = (cluster + SECTOR - 1) / SECTOR * SECTOR;
    uint64_t entries = (create->size + cluster - 1) / cluster;
    if (entries > MAX_ENTRIES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Image size is too large for this cluster size"));
    uint64_t data = (TABLE + entries * 4 + cluster - 1) / cluster * cluster;
    Header h = { .version = GUINT32_TO_LE(VERSION),
                 .heads = GUINT32_TO_LE(16),
                 .cylinders = GUINT32_TO_LE((uint32_t)(create->size / SECTOR / 16 / 32)),
                 .tracks = GUINT32_TO_LE((uint32_t)(cluster / SECTOR)),
                 .entries = GUINT32_TO_LE((uint32_t)entries),
                 .sectors = GUINT64_TO_LE(create->size / SECTOR),
                 .data_offset = GUINT32_TO_LE((uint32_t)(data / SECTOR)) };
    memcpy(h.magic, magic_clusters, sizeof h.magic);
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    bool good = vit_co_truncate(file, data, false, VIT_PREALLOC_OFF, error);
    if (good) {
        int result = vit_co_write(file, 0, &h, sizeof h, 0);
        if (result == 0) result = vit_co_flush(file);
        good = result == 0 ||
               vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
    }
    vit_block_node_unref(file);
    return good;
}

static void parallels_attach(VitBlockNode *node)
{
    Parallels *p = (Parallels *)node;

    p->starting.thread = node->thread;
    vit_block_map_attach(&p->map);
}

const VitBlockDriver vit_block_parallels_driver = {
    .name = "parallels",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Parallels),
    .alignment = SECTOR,
    .create_options = create_options,
    .probe = parallels_probe,
    .co_open = parallels_open,
    .co_close = parallels_close,
    .attach = parallels_attach,
    .co_reopen = parallels_reopen,
    .co_read = parallels_read,
    .co_write = parallels_write,
    .co_write_zeroes = parallels_write_zeroes,
    .co_discard = parallels_discard,
    .co_flush = parallels_flush,
    .co_status = parallels_status,
    .try_submit = parallels_try_submit,
    .info = parallels_info,
    .co_create = parallels_create,
    .co_check = parallels_check,
};
