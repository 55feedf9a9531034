/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/bochs.c - "growing" images of Bochs, versions 1 and 2, read-only
 *
 * Bochs documentation, "Disk image modes" and the header that bximage writes.  Little endian: a
 * header, a catalogue with one u32 per extent (its place in the file, all ones: none), then
 * extents: a bitmap of 512-byte blocks present and the blocks. */
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum {
    HEADER_BYTES = 512,
    AT_TYPE = 32,
    AT_SUBTYPE = 48,
    AT_VERSION = 64,
    AT_HEADER = 68,
    AT_CATALOG = 72,
    AT_BITMAP = 76,
    AT_EXTENT = 80,
    AT_DISK_V1 = 84,
    AT_DISK_V2 = 88,
    BLOCK = 512,
    MAX_CATALOG = 1 << 20,
    MAX_EXTENT = 1 << 30,
};
#define NO_EXTENT 0xffffffffu
static const char magic[] = "Bochs Virtual HD Image";

typedef struct {
    VitBlockNode parent;
    uint32_t *catalog; /* owned, host byte order */
    uint32_t n_extents, extent_size; /* bytes */
    uint64_t extents_at, stride, bitmap_bytes; /* bitmap_bytes: with padding */
} Bochs;

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_bochs(const uint8_t *head)
{
    uint32_t version = get32(head + AT_VERSION);

    return memcmp(head, magic, sizeof magic) == 0 && memcmp(head + AT_TYPE, "Redolog", 8) == 0 &&
           memcmp(head + AT_SUBTYPE, "Growing", 8) == 0 &&
           (version == 0x10000 || version == 0x20000);
}

static int bochs_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    return size >= HEADER_BYTES && is_bochs(head) ? 100 : 0;
}

static bool read_catalog(Bochs *b, uint64_t at, GError **error)
{
    VitBlockNode *file = b->parent.file->node;
    uint64_t bytes = (uint64_t)b->n_extents * 4;

    b->catalog = g_try_malloc(bytes);
    if (!b->catalog)
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: extent catalog"), file->filename);
    int code = vit_co_read(file, at, b->catalog, bytes);
    if (code < 0)
        return vit_block_fail_errno(error, code, _("Could not read “%s”"), file->filename);
    for (uint32_t i = 0; i < b->n_extents; i++) {
        b->catalog[i] = GUINT32_FROM_LE(b->catalog[i]);
        if (b->catalog[i] == NO_EXTENT) continue;
        uint64_t start = b->extents_at + b->catalog[i] * b->stride;
        if (start > INT64_MAX || start + b->bitmap_bytes > file->size)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: extent %u at offset 0x%" PRIx64 " lies past the file's end"),
                file->filename, i, start);
    }
    return true;
}

static bool decode(Bochs *b, const uint8_t *head, GError **error)
{
    VitBlockNode *file = b->parent.file->node;
    uint32_t bitmap = get32(head + AT_BITMAP), header = get32(head + AT_HEADER);
    const uint8_t *disk_at = head + (get32(head + AT_VERSION) == 0x10000 ? AT_DISK_V1 : AT_DISK_V2);
    uint64_t disk = get32(disk_at) | (uint64_t)get32(disk_at + 4) << 32;

    b->n_extents = get32(head + AT_CATALOG);
    b->extent_size = get32(head + AT_EXTENT);
    b->parent.size = disk / BLOCK * BLOCK;
    if (b->n_extents == 0 || b->n_extents > MAX_CATALOG)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Catalog size %u is too large or zero"), file->filename,
                              b->n_extents);
    if (b->extent_size < BLOCK || b->extent_size > MAX_EXTENT ||
        (b->extent_size & (b->extent_size - 1)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Extent size %u is not a power of two from 512 to %d"),
                              file->filename, b->extent_size, MAX_EXTENT);
    if (bitmap == 0 || bitmap > MAX_EXTENT || bitmap * UINT64_C(8) < b->extent_size / BLOCK)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: a bitmap of %u bytes does not cover an extent of %u bytes"),
                              file->filename, bitmap, b->extent_size);
    if (disk > INT64_MAX || disk > (uint64_t)b->n_extents * b->extent_size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Catalog size %u is too small for this disk size"),
                              file->filename, b->n_extents);
    if (header < HEADER_BYTES || header > (1 << 20))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: a header of %u bytes"),
                              file->filename, header);
    b->bitmap_bytes = (bitmap + UINT64_C(511)) / BLOCK * BLOCK;
    b->stride = b->bitmap_bytes + b->extent_size;
    b->extents_at = header + (uint64_t)b->n_extents * 4;
    if (b->extents_at > file->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: the catalog reaches past the file's end"), file->filename);
    return read_catalog(b, header, error);
}

static bool bochs_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Bochs *b = (Bochs *)node;
    uint8_t head[HEADER_BYTES];

    if (!node->how.read_only && !node->how.auto_read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Block format 'bochs' is read-only; open it with read-only=on"));
    node->how.read_only = true;
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    int code = vit_co_read(node->file->node, 0, head, sizeof head);
    if (code < 0)
        return vit_block_fail_errno(error, code, _("Could not read “%s”"),
                                    node->file->node->filename);
    if (!is_bochs(head))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: Image not in Bochs format"),
                              node->file->node->filename);
    if (decode(b, head, error)) return true;
    g_clear_pointer(&b->catalog, g_free);
    return false;
}

static void bochs_close(VitBlockNode *node)
{
    g_clear_pointer(&((Bochs *)node)->catalog, g_free);
}

/* How many bytes from offset on, up to `bytes`, are alike: stored at *host, or (0) not stored. */
static int find_run(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint64_t *host,
                    uint64_t *run)
{
    Bochs *b = (Bochs *)node;
    uint32_t entry = b->catalog[offset / b->extent_size];
    uint64_t in = offset % b->extent_size;
    uint8_t bits[BLOCK];

    *host = 0;
    *run = MIN(bytes, b->extent_size - in);
    if (entry == NO_EXTENT) return 0;
    uint64_t extent = b->extents_at + entry * b->stride, first = in / BLOCK;
    uint64_t bits_at = first / 8 / BLOCK *
                       BLOCK; /* the bitmap's sector that says of the first block */
    int code = vit_co_read(node->file->node, extent + bits_at, bits, sizeof bits);
    if (code < 0) return code;
    uint64_t last = MIN((in + *run + BLOCK - 1) / BLOCK, (bits_at + BLOCK) * 8), block = first;
    bool there = bits[first / 8 % BLOCK] >> (first % 8) & 1;
    while (block < last && (bits[block / 8 % BLOCK] >> (block % 8) & 1) == there) block++;
    *run = MIN(*run, block * BLOCK - in);
    if (there) *host = extent + b->bitmap_bytes + in;
    return 0;
}

static int bochs_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    g_autofree struct iovec *part = g_new(struct iovec, niov);

    for (uint64_t done = 0, run; done < bytes; done += run) {
        uint64_t host;
        int code = find_run(node, offset + done, bytes - done, &host, &run);
        if (code == 0 && host) {
            int n = vit_iov_slice(iov, niov, done, run, part);
            code = vit_co_readv(node->file->node, host, run, part, n);
        } else if (code == 0) {
            vit_iov_zero(iov, niov, done, run);
        }
        if (code < 0) return code;
    }
    return 0;
}

static int bochs_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    uint64_t host, run;
    int code = find_run(node, offset, bytes, &host, &run);

    if (code < 0) return code;
    *extent = (VitBlockExtent){ .bytes = run, .flags = VIT_EXTENT_ZERO };
    if (!host) return 0;
    extent->flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
    extent->host_offset = host;
    extent->file = node->file->node;
    return 0;
}

const VitBlockDriver vit_block_bochs_driver = {
    .name = "bochs",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Bochs),
    .probe = bochs_probe,
    .co_open = bochs_open,
    .co_close = bochs_close,
    .co_read = bochs_read,
    .co_status = bochs_status,
};
