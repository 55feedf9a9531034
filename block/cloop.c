/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/cloop.c - compressed loop images, version 2, read-only
 *
 * A shell script of 128 bytes, then big endian: block size (u32), number of blocks (u32), a table
 * of blocks + 1 file offsets (u64); each block is a zlib stream that ends where the next begins. */
#include "block/chunk-cache.h"
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

enum { SCRIPT_BYTES = 128, TABLE_AT = 136, MAX_BLOCK = 64 << 20, KEEP = 8 << 20 };

typedef struct {
    VitBlockNode parent;
    uint32_t block_size, n_blocks;
    uint64_t *offsets; /* owned; n_blocks + 1 */
    VitChunkCache *cache; /* owned */
} Cloop;

static int cloop_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    static const char magic[] = "#!/bin/sh\n#V2.0 Format\n";

    return size >= sizeof magic && memcmp(head, magic, sizeof magic - 1) == 0 ? 2 : 0;
}

typedef struct {
    const uint8_t *in;
    uint8_t *out;
    size_t in_size, out_size;
    int result;
} Inflate;

static void inflate_run(void *opaque)
{
    Inflate *i = opaque;
    uLongf out_size = i->out_size;

    int code = uncompress(i->out, &out_size, i->in, i->in_size);
    i->result = code == Z_OK && out_size == i->out_size ? 0 : -EIO;
}

static int load_block(void *opaque, uint64_t index, uint8_t **data, size_t *size)
{
    Cloop *c = opaque;
    uint64_t start = c->offsets[index], packed = c->offsets[index + 1] - start;
    g_autofree uint8_t *in = g_try_malloc(packed), *out = g_try_malloc(c->block_size);
    Inflate work = { in, out, packed, c->block_size, 0 };

    if (!in || !out) return -ENOMEM;
    int code = vit_co_read(c->parent.file->node, start, in, packed);
    if (code < 0) return code;
    vit_fiber_offload(c->parent.thread, inflate_run, &work);
    if (work.result < 0) return work.result;
    *data = g_steal_pointer(&out);
    *size = c->block_size;
    return 0;
}

static bool read_table(Cloop *c, GError **error)
{
    VitBlockNode *file = c->parent.file->node;
    uint8_t head[TABLE_AT];
    int code = vit_co_read(file, 0, head, sizeof head);

    if (code < 0)
        return vit_block_fail_errno(error, code, _("Could not read “%s”"), file->filename);
    memcpy(&c->block_size, head + SCRIPT_BYTES, 4);
    memcpy(&c->n_blocks, head + SCRIPT_BYTES + 4, 4);
    c->block_size = GUINT32_FROM_BE(c->block_size);
    c->n_blocks = GUINT32_FROM_BE(c->n_blocks);
    if (c->block_size == 0 || c->block_size % 512)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: block_size %u must be a multiple of 512"), file->filename,
                              c->block_size);
    if (c->block_size > MAX_BLOCK)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: block_size %u must be 64 MB or less"), file->filename,
                              c->block_size);
    uint64_t table = ((uint64_t)c->n_blocks + 1) * 8;
    if (table > file->size - MIN(file->size, TABLE_AT))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: image has %u blocks, more than the file has room for"),
                              file->filename, c->n_blocks);
    c->offsets = g_try_malloc(table);
    if (!c->offsets)
        return vit_block_fail_errno(error, -ENOMEM, _("“%s”: table of blocks"), file->filename);
    code = vit_co_read(file, TABLE_AT, c->offsets, table);
    return code == 0 || vit_block_fail_errno(error, code, _("Could not read “%s”"), file->filename);
}

static bool check_table(Cloop *c, GError **error)
{
    VitBlockNode *file = c->parent.file->node;
    uint64_t most = 2 * (uint64_t)c->block_size + 1024; /* deflate never makes it that long */

    for (uint32_t i = 0; i <= c->n_blocks; i++) {
        c->offsets[i] = GUINT64_FROM_BE(c->offsets[i]);
        if (c->offsets[i] > file->size)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: block %u at offset 0x%" PRIx64 " lies past the file's end"),
                file->filename, i, c->offsets[i]);
        if (i == 0) continue;
        if (c->offsets[i] < c->offsets[i - 1])
            return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                                  _("“%s”: offsets not monotonically increasing at index %u, image "
                                    "file is corrupt"),
                                  file->filename, i);
        if (c->offsets[i] - c->offsets[i - 1] > most)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: invalid compressed block size at index %u, image file is "
                  "corrupt"),
                file->filename, i);
    }
    return true;
}

static bool cloop_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Cloop *c = (Cloop *)node;

    if (!node->how.read_only && !node->how.auto_read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Block format 'cloop' is read-only; open it with read-only=on"));
    node->how.read_only = true;
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    if (!read_table(c, error) || !check_table(c, error)) {
        g_clear_pointer(&c->offsets, g_free);
        return false;
    }
    node->size = (uint64_t)c->block_size * c->n_blocks;
    c->cache = vit_chunk_cache_new(node->thread, KEEP, load_block, c);
    return true;
}

static void cloop_close(VitBlockNode *node)
{
    Cloop *c = (Cloop *)node;

    g_clear_pointer(&c->cache, vit_chunk_cache_free);
    g_clear_pointer(&c->offsets, g_free);
}

static int cloop_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    Cloop *c = (Cloop *)node;

    for (uint64_t done = 0; done < bytes;) {
        uint64_t index = (offset + done) / c->block_size, in = (offset + done) % c->block_size;
        uint64_t n = MIN(bytes - done, c->block_size - in);
        const uint8_t *data;
        size_t size;
        int code = vit_co_chunk_get(c->cache, index, &data, &size);
        if (code < 0) return code;
        vit_iov_from(iov, niov, done, data + in, n);
        vit_chunk_put(c->cache, index);
        done += n;
    }
    return 0;
}

static void cloop_attach(VitBlockNode *node)
{
    vit_chunk_cache_move(((Cloop *)node)->cache, node->thread);
}

const VitBlockDriver vit_block_cloop_driver = {
    .name = "cloop",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Cloop),
    .probe = cloop_probe,
    .co_open = cloop_open,
    .co_close = cloop_close,
    .co_read = cloop_read,
    .attach = cloop_attach,
};
