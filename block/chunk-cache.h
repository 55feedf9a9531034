/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/chunk-cache.h - unpacked chunks of compressed read-only images, kept for the next request
 *
 * On fibers of one thread.  Whoever wants a chunk that another fiber is unpacking waits for it. */
#pragma once
#include "engine/core/fiber.h"

typedef struct VitChunkCache VitChunkCache;
/* Unpacks chunk `index` into a new buffer of its full size: 0 with *data (g_malloc'ed) and *size,
 * or
 * -errno.  On a fiber; may wait. */
typedef int (*VitChunkLoad)(void *opaque, uint64_t index, uint8_t **data, size_t *size);

/* bytes: how much to keep; at least one chunk is kept whatever its size. */
[[nodiscard]] VIT_FOR_MODULES VitChunkCache *vit_chunk_cache_new(VitIoThread *thread, size_t bytes,
                                                                 VitChunkLoad load, void *opaque);
VIT_FOR_MODULES void vit_chunk_cache_free(VitChunkCache *cache); /* nobody uses it; NULL is fine */
/* nobody uses it */
VIT_FOR_MODULES void vit_chunk_cache_move(VitChunkCache *cache, VitIoThread *thread);
/* The chunk's bytes until it is put back; -errno. */
VIT_FOR_MODULES int vit_co_chunk_get(VitChunkCache *cache, uint64_t index, const uint8_t **data,
                                     size_t *size);
VIT_FOR_MODULES void vit_chunk_put(VitChunkCache *cache, uint64_t index);
