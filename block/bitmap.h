/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/bitmap.h - dirty bitmaps: which stretches of a node have changed since
 *
 * One bit for each `granularity` bytes (a power of two, 512 bytes to 2 GiB).  On the node's thread.
 */
#pragma once
#include "block/node.h"

typedef struct VitBlockBitmap VitBlockBitmap;

/* name NULL: a job's own, not seen by "query-block" and never stored.  The node owns it. */
[[nodiscard]] VitBlockBitmap *vit_block_bitmap_new(VitBlockNode *node, const char *name,
                                                   uint32_t granularity, GError **error);
void vit_block_bitmap_free(VitBlockBitmap *bitmap);     /* and takes it off the node */
VitBlockBitmap *vit_block_bitmap_find(VitBlockNode *node, const char *name);    /* borrowed */
VitBlockNode *vit_block_bitmap_node(const VitBlockBitmap *bitmap);
const char *vit_block_bitmap_name(const VitBlockBitmap *bitmap);
uint32_t vit_block_bitmap_granularity(const VitBlockBitmap *bitmap);

bool vit_block_bitmap_enabled(const VitBlockBitmap *bitmap);    /* records writes (default) */
void vit_block_bitmap_enable(VitBlockBitmap *bitmap, bool on);
bool vit_block_bitmap_persistent(const VitBlockBitmap *bitmap); /* stored in the image at closing */
void vit_block_bitmap_set_persistent(VitBlockBitmap *bitmap, bool on);
bool vit_block_bitmap_inconsistent(
    const VitBlockBitmap *bitmap); /* was not stored at closing: only to be removed */
void vit_block_bitmap_set_inconsistent(VitBlockBitmap *bitmap);
/* A job or an export uses it: others may not change it. */
bool vit_block_bitmap_busy(const VitBlockBitmap *bitmap);
void vit_block_bitmap_set_busy(VitBlockBitmap *bitmap, bool busy);

bool vit_block_bitmap_get(const VitBlockBitmap *bitmap, uint64_t offset);
void vit_block_bitmap_set(VitBlockBitmap *bitmap, uint64_t offset, uint64_t bytes);
void vit_block_bitmap_clear(VitBlockBitmap *bitmap, uint64_t offset, uint64_t bytes);
uint64_t vit_block_bitmap_count(const VitBlockBitmap *bitmap); /* dirty bytes */
/* The first dirty (or clean) stretch at or after offset, at most max bytes of it; false: none. */
bool vit_block_bitmap_next(const VitBlockBitmap *bitmap, bool dirty, uint64_t offset, uint64_t max,
                           uint64_t *start, uint64_t *bytes);
/* dst |= src; granularities may differ. */
[[nodiscard]] bool vit_block_bitmap_merge(VitBlockBitmap *dst, const VitBlockBitmap *src,
                                          GError **error);
/* The bits as a qcow2 bitmap stores them: bit n is byte n / 8, bit n % 8. */
uint64_t vit_block_bitmap_bits(const VitBlockBitmap *bitmap);
void vit_block_bitmap_store(const VitBlockBitmap *bitmap, uint64_t first_bit, void *buf,
                            size_t bytes);
void vit_block_bitmap_load(VitBlockBitmap *bitmap, uint64_t first_bit, const void *buf,
                           size_t bytes);

/* request.c: a write has ended; vit_co_truncate(): the node has another size. */
void vit_block_bitmaps_mark(VitBlockNode *node, uint64_t offset, uint64_t bytes);
void vit_block_bitmaps_resize(VitBlockNode *node, uint64_t size);
