/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/bitmap.c - see bitmap.h.  One flat array of 64-bit words: 2 MiB for a TiB in pieces of 64
 * KiB. */
#include "block/bitmap.h"

#include "block/driver.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

struct VitBlockBitmap {
    VitBlockNode *node; /* borrowed */
    char *name; /* owned; NULL: of a job */
    unsigned shift; /* granularity = 1 << shift */
    uint64_t n_bits, n_set;
    uint64_t *words; /* owned */
    bool enabled, persistent, inconsistent, busy;
};

enum { MAX_BYTES = 256 << 20, MAX_NAME = 1023 };

static uint64_t bits_of(uint64_t size, unsigned shift)
{
    return (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0);
}

static uint64_t *new_words(uint64_t bits)
{
    uint64_t bytes = (bits + 63) / 64 * 8;

    return bytes <= MAX_BYTES ? g_try_malloc0(MAX(bytes, 8)) : NULL;
}

static void free_contents(void *data)
{
    VitBlockBitmap *b = data;

    g_free(b->name);
    g_free(b->words);
    g_free(b);
}

VitBlockBitmap *vit_block_bitmap_new(VitBlockNode *node, const char *name, uint32_t granularity,
                                     GError **error)
{
    if (granularity < 512 || granularity > UINT32_C(1) << 31 || (granularity & (granularity - 1))) {
        vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("Bitmap “%s”: the granularity must be a power of two from 512 bytes to 2 GiB"),
            name ?: "");
        return NULL;
    }
    if (name && (!*name || strlen(name) > MAX_NAME)) {
        if (*name)
            vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                           _("Bitmap name too long: at most %d bytes"), MAX_NAME);
        else vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Bitmap name cannot be empty"));
        return NULL;
    }
    if (name && vit_block_bitmap_find(node, name)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS, _("Bitmap already exists: %s"), name);
        return NULL;
    }
    unsigned shift = (unsigned)__builtin_ctz(granularity);
    uint64_t bits = bits_of(node->size, shift), *words = new_words(bits);
    if (!words) {
        vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("“%s” is too large for a bitmap of this granularity; choose a coarser one"),
            node->filename);
        return NULL;
    }
    VitBlockBitmap *b = g_new0(VitBlockBitmap, 1);
    *b = (VitBlockBitmap){ .node = node,
                           .name = g_strdup(name),
                           .shift = shift,
                           .n_bits = bits,
                           .words = words,
                           .enabled = true };
    if (!node->bitmaps) node->bitmaps = g_ptr_array_new_with_free_func(free_contents);
    g_ptr_array_add(node->bitmaps, b);
    return b;
}

void vit_block_bitmap_free(VitBlockBitmap *b)
{
    if (!b) return;
    VitBlockNode *node = b->node;
    g_ptr_array_remove(node->bitmaps, b);
    if (node->bitmaps->len == 0) g_clear_pointer(&node->bitmaps, g_ptr_array_unref);
}

VitBlockBitmap *vit_block_bitmap_find(VitBlockNode *node, const char *name)
{
    for (guint i = 0; node->bitmaps && i < node->bitmaps->len; i++) {
        VitBlockBitmap *b = node->bitmaps->pdata[i];
        if (b->name && strcmp(b->name, name) == 0) return b;
    }
    return NULL;
}

VitBlockNode *vit_block_bitmap_node(const VitBlockBitmap *b)
{
    return b->node;
}

const char *vit_block_bitmap_name(const VitBlockBitmap *b)
{
    return b->name;
}

uint32_t vit_block_bitmap_granularity(const VitBlockBitmap *b)
{
    return UINT32_C(1) << b->shift;
}

bool vit_block_bitmap_enabled(const VitBlockBitmap *b)
{
    return b->enabled;
}

void vit_block_bitmap_enable(VitBlockBitmap *b, bool on)
{
    b->enabled = on;
}

bool vit_block_bitmap_persistent(const VitBlockBitmap *b)
{
    return b->persistent;
}

void vit_block_bitmap_set_persistent(VitBlockBitmap *b, bool on)
{
    b->persistent = on;
}

bool vit_block_bitmap_inconsistent(const VitBlockBitmap *b)
{
    return b->inconsistent;
}

void vit_block_bitmap_set_inconsistent(VitBlockBitmap *b)
{
    b->inconsistent = true;
    b->enabled = false;
}

bool vit_block_bitmap_busy(const VitBlockBitmap *b)
{
    return b->busy;
}

void vit_block_bitmap_set_busy(VitBlockBitmap *b, bool busy)
{
    b->busy = busy;
}

/* ---- bits ------------------------------------------------------------------------------------ */

bool vit_block_bitmap_get(const VitBlockBitmap *b, uint64_t offset)
{
    uint64_t bit = offset >> b->shift;

    return bit < b->n_bits && (b->words[bit / 64] >> (bit % 64) & 1);
}

/* Sets or clears bits [first, end). */
static void change(VitBlockBitmap *b, uint64_t first, uint64_t end, bool set)
{
    end = MIN(end, b->n_bits);
    while (first < end) {
        unsigned from = first % 64, n = (unsigned)MIN(64 - from, end - first);
        uint64_t mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << from,
                 *word = &b->words[first / 64];
        int before = __builtin_popcountll(*word & mask);
        if (set) {
            *word |= mask;
            b->n_set += n - (unsigned)before;
        } else {
            *word &= ~mask;
            b->n_set -= (unsigned)before;
        }
        first += n;
    }
}

void vit_block_bitmap_set(VitBlockBitmap *b, uint64_t offset, uint64_t bytes)
{
    if (bytes > 0) change(b, offset >> b->shift, ((offset + bytes - 1) >> b->shift) + 1, true);
}

void vit_block_bitmap_clear(VitBlockBitmap *b, uint64_t offset, uint64_t bytes)
{
    if (bytes > 0) change(b, offset >> b->shift, ((offset + bytes - 1) >> b->shift) + 1, false);
}

uint64_t vit_block_bitmap_count(const VitBlockBitmap *b)
{
    uint64_t all = b->n_set << b->shift, size = b->node->size;

    /* The last bit may stand for less than the rest. */
    if (b->n_bits > 0 && vit_block_bitmap_get(b, size - 1)) all -= (b->n_bits << b->shift) - size;
    return all;
}

/* The first bit from `bit` to before `end` that is `value`; n_bits when there is none. */
static uint64_t find(const VitBlockBitmap *b, uint64_t bit, uint64_t end, bool value)
{
    while (bit < end) {
        uint64_t word = b->words[bit / 64] ^ (value ? 0 : UINT64_MAX);
        word &= UINT64_MAX << (bit % 64);
        if (word) return MIN((bit & ~UINT64_C(63)) + (unsigned)__builtin_ctzll(word), b->n_bits);
        bit = (bit | 63) + 1;
    }
    return b->n_bits;
}

bool vit_block_bitmap_next(const VitBlockBitmap *b, bool dirty, uint64_t offset, uint64_t max,
                           uint64_t *start, uint64_t *bytes)
{
    uint64_t size = b->node->size, first = find(b, offset >> b->shift, b->n_bits, dirty);

    if (offset >= size || first >= b->n_bits) return false;
    *start = MAX(first << b->shift, offset);
    /* No further than needed: one who takes a long stretch in pieces comes often. */
    uint64_t last = max < size - MIN(*start, size) ? (*start + max) >> b->shift : b->n_bits;
    uint64_t end = MIN(find(b, first, MIN(last + 1, b->n_bits), !dirty) << b->shift, size);
    if (*start >= end) return false;
    *bytes = MIN(end - *start, max);
    return true;
}

bool vit_block_bitmap_merge(VitBlockBitmap *dst, const VitBlockBitmap *src, GError **error)
{
    uint64_t at = 0, start, bytes;

    if (dst->node->size != src->node->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Bitmaps are of different sizes (destination size is %" PRIu64
                                ", source size is %" PRIu64 ") and can't be merged"),
                              dst->node->size, src->node->size);
    while (vit_block_bitmap_next(src, true, at, UINT64_MAX, &start, &bytes)) {
        vit_block_bitmap_set(dst, start, bytes);
        at = start + bytes;
    }
    return true;
}

uint64_t vit_block_bitmap_bits(const VitBlockBitmap *b)
{
    return b->n_bits;
}

void vit_block_bitmap_store(const VitBlockBitmap *b, uint64_t first_bit, void *buf, size_t bytes)
{
    uint8_t *out = buf;

    for (size_t i = 0; i < bytes; i++) {
        uint64_t bit = first_bit + i * 8;
        out[i] = bit < b->n_bits ? (uint8_t)(b->words[bit / 64] >> (bit % 64)) : 0;
    }
}

void vit_block_bitmap_load(VitBlockBitmap *b, uint64_t first_bit, const void *buf, size_t bytes)
{
    const uint8_t *in = buf;

    for (size_t i = 0; i < bytes; i++) {
        for (unsigned n = 0; in[i] >> n; n++) {
            if (in[i] >> n & 1) change(b, first_bit + i * 8 + n, first_bit + i * 8 + n + 1, true);
        }
    }
}

/* ---- the node's writes ----------------------------------------------------------------------- */

void vit_block_bitmaps_mark(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    for (guint i = 0; i < node->bitmaps->len; i++) {
        VitBlockBitmap *b = node->bitmaps->pdata[i];
        if (b->enabled) vit_block_bitmap_set(b, offset, bytes);
    }
}

void vit_block_bitmaps_resize(VitBlockNode *node, uint64_t size)
{
    for (guint i = 0; node->bitmaps && i < node->bitmaps->len; i++) {
        VitBlockBitmap *b = node->bitmaps->pdata[i];
        uint64_t bits = bits_of(size, b->shift), *words = new_words(bits);
        if (!words) {
            vit_block_bitmap_set_inconsistent(b);
            continue;
        }
        change(b, bits, b->n_bits, false);
        memcpy(words, b->words, (MIN(bits, b->n_bits) + 63) / 64 * 8);
        g_free(b->words);
        b->words = words;
        b->n_bits = bits;
    }
}
