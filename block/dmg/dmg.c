/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/dmg/dmg.c - Apple disk images (UDIF), read-only
 *
 * No specification was published; layout as commonly documented: a trailer "koly" in the last 512
 * bytes (or the first) says where the resources are; each "blkx" resource is a table "mish" of
 * chunks.  Big endian; sectors of 512 bytes.  Sectors that no chunk names read as zero. */
#include "block/chunk-cache.h"
#include "block/dmg/dmg-private.h"
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { KOLY_BYTES = 512, MISH_BYTES = 204, ENTRY_BYTES = 40, KEEP = 16 << 20 };

typedef struct {
    VitBlockNode parent;
    GArray *chunks; /* of DmgChunk, by start; owned */
    VitChunkCache *cache; /* owned */
} Dmg;

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static int dmg_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    if (tail && memcmp(tail, "koly", 4) == 0 && get32(tail + 8) == KOLY_BYTES) return 90;
    return filename && g_str_has_suffix(filename, ".dmg") ? 2 : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool add_chunk(Dmg *d, const uint8_t *entry, uint64_t first_sector, uint64_t base,
                      GError **error)
{
    VitBlockNode *file = d->parent.file->node;
    DmgChunk c = { .kind = get32(entry), .packed = get64(entry + 32) };
    uint64_t sector = get64(entry + 8), count = get64(entry + 16);
    bool stored = c.kind != DMG_ZERO && c.kind != DMG_IGNORE;

    if (c.kind == DMG_COMMENT || c.kind == DMG_END || count == 0) return true;
    if (stored && c.kind != DMG_RAW && !dmg_can_unpack(c.kind))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: chunk type 0x%x is not supported by this build"),
                              file->filename, c.kind);
    if (__builtin_add_overflow(sector, first_sector, &sector) || sector > INT64_MAX / 512 ||
        count > INT64_MAX / 512 - sector)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: chunk %u has no sensible sector number"), file->filename,
                              d->chunks->len);
    c.start = sector * 512;
    c.bytes = count * 512;
    if (stored && (__builtin_add_overflow(get64(entry + 24), base, &c.offset) ||
                   c.offset > file->size || c.packed > file->size - c.offset))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: chunk %u lies past the file's end"), file->filename,
                              d->chunks->len);
    if (c.kind == DMG_RAW && c.packed < c.bytes)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: chunk %u is shorter than its sectors"), file->filename,
                              d->chunks->len);
    if (stored && c.kind != DMG_RAW && (c.bytes > DMG_MAX_CHUNK || c.packed > DMG_MAX_CHUNK))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: chunk %u is larger than max (%d)"), file->filename,
                              d->chunks->len, DMG_MAX_CHUNK);
    g_array_append_val(d->chunks, c);
    return true;
}

static bool add_table(Dmg *d, GBytes *bytes, uint64_t fork, GError **error)
{
    VitBlockNode *file = d->parent.file->node;
    gsize size;
    const uint8_t *mish = g_bytes_get_data(bytes, &size);
    uint64_t base;

    if (size < MISH_BYTES || memcmp(mish, "mish", 4) != 0) return true; /* another resource */
    uint32_t count = get32(mish + 200);
    if (count > (size - MISH_BYTES) / ENTRY_BYTES || d->chunks->len + count > DMG_MAX_CHUNKS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: a table of %u chunks does not fit in its %zu bytes"),
                              file->filename, count, (size_t)size);
    if (__builtin_add_overflow(fork, get64(mish + 24), &base))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: a table's data lies past the file's end"), file->filename);
    for (uint32_t i = 0; i < count; i++) {
        if (!add_chunk(d, mish + MISH_BYTES + (size_t)i * ENTRY_BYTES, get64(mish + 8), base,
                       error))
            return false;
    }
    return true;
}

static int by_start(const void *a, const void *b)
{
    const DmgChunk *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static bool check_chunks(Dmg *d, GError **error)
{
    g_array_sort(d->chunks, by_start);
    const DmgChunk *chunks = (const DmgChunk *)(void *)d->chunks->data;
    for (guint i = 1; i < d->chunks->len; i++) {
        if (chunks[i].start < chunks[i - 1].start + chunks[i - 1].bytes)
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: two chunks claim the byte 0x%" PRIx64 " of the disk"),
                                  d->parent.file->node->filename, chunks[i].start);
    }
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static uint8_t *read_part(VitBlockNode *file, uint64_t offset, uint64_t size, const char *what,
                          GError **error)
{
    if (offset > file->size || size > file->size - offset || size > DMG_MAX_PLIST) {
        vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: the %s at 0x%" PRIx64 ", 0x%" PRIx64 " bytes long, does not fit in the file"),
            file->filename, what, offset, size);
        return NULL;
    }
    g_autofree uint8_t *buf = g_try_malloc(size + 1);
    int code = buf ? vit_co_read(file, offset, buf, size) : -ENOMEM;
    if (code < 0) {
        vit_block_fail_errno(error, code, _("“%s”: could not read the %s"), file->filename, what);
        return NULL;
    }
    buf[size] = '\0';
    return g_steal_pointer(&buf);
}

static uint8_t *read_koly(VitBlockNode *file, GError **error)
{
    uint64_t places[] = { file->size - KOLY_BYTES, (file->size & ~UINT64_C(511)) - KOLY_BYTES, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(places) && file->size >= KOLY_BYTES; i++) {
        g_autofree uint8_t *koly = read_part(file, places[i], KOLY_BYTES, "trailer", error);
        if (!koly) return NULL;
        if (memcmp(koly, "koly", 4) == 0) return g_steal_pointer(&koly);
    }
    vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                   _("“%s”: Could not locate UDIF trailer in dmg file"), file->filename);
    return NULL;
}

static GPtrArray *read_tables(VitBlockNode *file, const uint8_t *koly, GError **error)
{
    uint64_t fork_at = get64(koly + 40), fork_size = get64(koly + 48);
    uint64_t xml_at = get64(koly + 216), xml_size = get64(koly + 224);

    if (fork_size > 0) {
        g_autofree uint8_t *fork = read_part(file, fork_at, fork_size, "resource fork", error);
        return fork ? dmg_fork_tables(fork, fork_size, file->filename, error) : NULL;
    }
    if (xml_size > 0) {
        g_autofree uint8_t *xml = read_part(file, xml_at, xml_size, "property list", error);
        return xml ? dmg_plist_tables((char *)xml, xml_size, file->filename, error) : NULL;
    }
    vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                   _("“%s”: has neither a property list nor a resource fork"), file->filename);
    return NULL;
}

static bool load(Dmg *d, GError **error)
{
    VitBlockNode *node = &d->parent, *file = node->file->node;
    g_autofree uint8_t *koly = read_koly(file, error);
    g_autoptr(GPtrArray) tables = koly ? read_tables(file, koly, error) : NULL;

    if (!tables) return false;
    d->chunks = g_array_new(FALSE, FALSE, sizeof(DmgChunk));
    for (guint i = 0; i < tables->len; i++) {
        if (!add_table(d, tables->pdata[i], get64(koly + 24), error)) return false;
    }
    if (!check_chunks(d, error)) return false;
    uint64_t sectors = get64(koly + 492);
    if (sectors > INT64_MAX / 512)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: a disk of 0x%" PRIx64 " sectors"), file->filename, sectors);
    if (d->chunks->len > 0) {
        const DmgChunk *last = &g_array_index(d->chunks, DmgChunk, d->chunks->len - 1);
        node->size = last->start + last->bytes;
    }
    node->size = MAX(node->size, sectors * 512);
    return true;
}

static void dmg_close(VitBlockNode *node)
{
    Dmg *d = (Dmg *)node;

    g_clear_pointer(&d->cache, vit_chunk_cache_free);
    g_clear_pointer(&d->chunks, g_array_unref);
}

typedef struct {
    const DmgChunk *chunk;
    const uint8_t *in;
    uint8_t *out;
    int result;
} Unpack;

static void unpack_run(void *opaque)
{
    Unpack *u = opaque;

    u->result = dmg_unpack(u->chunk->kind, u->in, u->chunk->packed, u->out, u->chunk->bytes);
}

static int load_chunk(void *opaque, uint64_t index, uint8_t **data, size_t *size)
{
    Dmg *d = opaque;
    const DmgChunk *chunk = &g_array_index(d->chunks, DmgChunk, index);
    g_autofree uint8_t *in = g_try_malloc(chunk->packed + 1), *out = g_try_malloc(chunk->bytes);
    Unpack work = { chunk, in, out, 0 };

    if (!in || !out) return -ENOMEM;
    int code = vit_co_read(d->parent.file->node, chunk->offset, in, chunk->packed);
    if (code < 0) return code;
    vit_fiber_offload(d->parent.thread, unpack_run, &work);
    if (work.result < 0) return work.result;
    *data = g_steal_pointer(&out);
    *size = chunk->bytes;
    return 0;
}

static bool dmg_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Dmg *d = (Dmg *)node;

    if (!node->how.read_only && !node->how.auto_read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Block format 'dmg' is read-only; open it with read-only=on"));
    node->how.read_only = true;
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    if (!load(d, error)) {
        dmg_close(node);
        return false;
    }
    d->cache = vit_chunk_cache_new(node->thread, KEEP, load_chunk, d);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The first chunk that ends after offset; the table's length: none. */
static guint find_chunk(const Dmg *d, uint64_t offset)
{
    guint low = 0, high = d->chunks->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const DmgChunk *c = &g_array_index(d->chunks, DmgChunk, middle);
        if (c->start + c->bytes > offset) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* How far from offset on one chunk (NULL: none, zeroes) reaches. */
static const DmgChunk *find_run(const Dmg *d, uint64_t offset, uint64_t bytes, guint *index,
                                uint64_t *run)
{
    *index = find_chunk(d, offset);
    *run = bytes;
    if (*index == d->chunks->len) return NULL;
    const DmgChunk *c = &g_array_index(d->chunks, DmgChunk, *index);
    if (c->start > offset) {
        *run = MIN(bytes, c->start - offset);
        return NULL;
    }
    *run = MIN(bytes, c->start + c->bytes - offset);
    return c->kind == DMG_ZERO || c->kind == DMG_IGNORE ? NULL : c;
}

static int dmg_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    Dmg *d = (Dmg *)node;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int code = 0;

    for (uint64_t done = 0, run; done < bytes && code == 0; done += run) {
        guint index;
        const DmgChunk *c = find_run(d, offset + done, bytes - done, &index, &run);
        if (!c) {
            vit_iov_zero(iov, niov, done, run);
        } else if (c->kind == DMG_RAW) {
            int n = vit_iov_slice(iov, niov, done, run, part);
            code = vit_co_readv(node->file->node, c->offset + (offset + done - c->start), run, part,
                                n);
        } else {
            const uint8_t *data;
            size_t size;
            code = vit_co_chunk_get(d->cache, index, &data, &size);
            if (code < 0) return code;
            vit_iov_from(iov, niov, done, data + (offset + done - c->start), run);
            vit_chunk_put(d->cache, index);
        }
    }
    return code;
}

static int dmg_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    guint index;
    const DmgChunk *c = find_run((Dmg *)node, offset, bytes, &index, &extent->bytes);

    extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED;
    if (!c) return 0;
    extent->flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED;
    if (c->kind != DMG_RAW) {
        extent->flags |= VIT_EXTENT_COMPRESSED;
        return 0;
    }
    extent->flags |= VIT_EXTENT_OFFSET;
    extent->host_offset = c->offset + (offset - c->start);
    extent->file = node->file->node;
    return 0;
}

static void dmg_attach(VitBlockNode *node)
{
    vit_chunk_cache_move(((Dmg *)node)->cache, node->thread);
}

const VitBlockDriver vit_block_dmg_driver = {
    .name = "dmg",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Dmg),
    .probe = dmg_probe,
    .co_open = dmg_open,
    .co_close = dmg_close,
    .co_read = dmg_read,
    .co_status = dmg_status,
    .attach = dmg_attach,
};
