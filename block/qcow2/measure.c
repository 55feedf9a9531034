/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/measure.c - how large a file an image would take */
#include "block/qcow2/qcow2.h"

#include "block/bitmap.h"
#include "block/drivers.h"
#include "block/luks/crypto.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Header, L1 and L2 tables of a disk of `size` bytes, and refcounts for them and all data. */
static bool tables(const VitQcow2 *q, uint64_t size, uint64_t more, uint64_t *bytes, GError **error)
{
    uint64_t unit = q->cluster_size;
    uint64_t l2 = round_up(size / unit, unit / q->l2_entry_size) * q->l2_entry_size;
    uint64_t l1 = round_up(l2 / unit, unit / 8) * 8;
    uint64_t blocks = 0, table = 0, before;

    if (l2 / unit * 8 > VIT_QCOW2_MAX_L1_BYTES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The image size is too large (try using a larger cluster size)"));
    *bytes = unit + l2 + l1 + more;
    uint64_t clusters = (*bytes + size) / unit;
    do {
        before = blocks + table;
        blocks = (clusters + before + (UINT64_C(1) << q->rb_bits) - 1) >> q->rb_bits;
        table = (blocks * 8 + unit - 1) / unit;
    } while (blocks + table != before);
    *bytes += before * unit;
    return true;
}

/* Bytes of clusters with data. */
static bool stored(const VitQcow2 *q, VitBlockNode *source, uint64_t *bytes, GError **error)
{
    uint64_t mask = q->cluster_size - 1, next = 0; /* next: end of the last cluster counted */
    VitBlockExtent e;

    *bytes = 0;
    for (uint64_t at = 0; at < source->size; at += e.bytes) {
        int result = vit_co_status_above(source, NULL, at, source->size - at, &e);
        if (result < 0 || e.bytes == 0)
            return vit_block_fail_errno(error, MIN(result, -1),
                                        _("Unable to get block status of “%s”"), source->filename);
        if (e.flags & VIT_EXTENT_ZERO) continue;
        uint64_t from = MAX(at & ~mask, next), to = (at + e.bytes + mask) & ~mask;
        if (to > from) *bytes += to - from;
        next = MAX(next, to);
    }
    return true;
}

static bool encryption(const VitQcow2 *q, VitBlockArgs *args, uint64_t *bytes, GError **error)
{
    VitLuksOptions options;
    bool good = vit_qcow2_crypto_take(&options, args, bytes, error);

    *bytes = round_up(*bytes, q->cluster_size);
    vit_luks_options_clear(&options);
    return good;
}

/* Bytes that the source's persistent bitmaps take in an image of this layout: of each its data and
 * its table, and the directory. */
static uint64_t bitmaps(const VitQcow2 *q, VitBlockNode *source)
{
    uint64_t unit = q->cluster_size, bytes = 0, directory = 0;

    for (guint i = 0; source->bitmaps && i < source->bitmaps->len; i++) {
        const VitBlockBitmap *b = source->bitmaps->pdata[i];
        if (!vit_block_bitmap_persistent(b) || vit_block_bitmap_inconsistent(b)) continue;
        uint64_t data = round_up((vit_block_bitmap_bits(b) + 7) / 8, unit);
        bytes += data + round_up(data / unit * sizeof(uint64_t), unit);
        directory += round_up(24 + strlen(vit_block_bitmap_name(b)), 8);
    }
    return bytes + round_up(directory, unit);
}

bool vit_qcow2_co_measure(VitBlockArgs *options, VitBlockNode *source, uint64_t size,
                          VitBlockMeasure *result, GError **error)
{
    g_autofree VitQcow2 *q = g_new0(VitQcow2, 1); /* the header's fields alone */
    VitPrealloc prealloc = VIT_PREALLOC_OFF;
    uint64_t meta = 0, more = 0, data = 0;

    if (source) size = source->size;
    bool good = vit_qcow2_take_layout(options, q, &prealloc, error);
    g_free(q->data_file_name);
    if (!good || !encryption(q, options, &more, error)) return false;
    bool backing = vit_block_args_str(options, "backing_file") != NULL;
    (void)vit_block_args_str(options, "backing_fmt");
    if (size > INT64_MAX - (64 << 20))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The image size is too large (try using a larger cluster size)"));
    size = round_up(size, q->cluster_size);
    if (!tables(q, size, more, &meta, error)) return false;
    if (prealloc == VIT_PREALLOC_FALLOC || prealloc == VIT_PREALLOC_FULL) data = size;
    else if (source && backing) data = size; /* what the backing file has is not known */
    else if (source && !stored(q, source, &data, error)) return false;
    result->fully_allocated = meta + size;
    result->required = meta + data;
    result->has_bitmaps = source && source->driver->co_bitmap_can_store &&
                          (source->driver != &vit_block_qcow2_driver ||
                           ((const VitQcow2 *)source)->version >= 3);
    result->bitmaps = result->has_bitmaps ? bitmaps(q, source) : 0;
    return true;
}
