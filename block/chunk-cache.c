/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/chunk-cache.c - see chunk-cache.h: least recently used goes first */
#include "block/chunk-cache.h"

typedef struct {
    uint64_t index;
    uint8_t *data; /* owned; NULL while it is loaded */
    size_t size;
    unsigned users;
    bool loading;
} Chunk;

struct VitChunkCache {
    VitIoThread *thread; /* borrowed */
    VitChunkLoad load;
    void *opaque; /* borrowed */
    size_t limit, kept; /* bytes */
    GQueue chunks; /* of Chunk*, owned, most recently used first: few, since they are large */
    VitFiberCond loaded;
};

VitChunkCache *vit_chunk_cache_new(VitIoThread *thread, size_t bytes, VitChunkLoad load,
                                   void *opaque)
{
    VitChunkCache *cache = g_new0(VitChunkCache, 1);

    cache->load = load;
    cache->opaque = opaque;
    cache->limit = bytes;
    g_queue_init(&cache->chunks);
    vit_chunk_cache_move(cache, thread);
    return cache;
}

void vit_chunk_cache_move(VitChunkCache *cache, VitIoThread *thread)
{
    cache->thread = thread;
    cache->loaded.thread = thread;
}

static void free_chunk(VitChunkCache *cache, Chunk *chunk)
{
    cache->kept -= chunk->size;
    g_queue_remove(&cache->chunks, chunk);
    g_free(chunk->data);
    g_free(chunk);
}

void vit_chunk_cache_free(VitChunkCache *cache)
{
    if (!cache) return;
    while (!g_queue_is_empty(&cache->chunks)) free_chunk(cache, g_queue_peek_head(&cache->chunks));
    g_free(cache);
}

static Chunk *find(VitChunkCache *cache, uint64_t index)
{
    for (GList *l = cache->chunks.head; l; l = l->next) {
        Chunk *chunk = l->data;
        if (chunk->index == index) return chunk;
    }
    return NULL;
}

static void shrink(VitChunkCache *cache)
{
    for (GList *l = cache->chunks.tail, *before; l && cache->kept > cache->limit; l = before) {
        before = l->prev;
        Chunk *chunk = l->data;
        if (before && chunk->users == 0) free_chunk(cache, chunk);
    }
}

static int load(VitChunkCache *cache, uint64_t index, Chunk **result)
{
    Chunk *chunk = g_new0(Chunk, 1);

    *chunk = (Chunk){ .index = index, .users = 1, .loading = true };
    g_queue_push_head(&cache->chunks, chunk);
    int code = cache->load(cache->opaque, index, &chunk->data, &chunk->size);
    chunk->loading = false;
    if (code < 0) {
        chunk->size = 0;
        free_chunk(cache, chunk);
    } else {
        cache->kept += chunk->size;
        shrink(cache);
        *result = chunk;
    }
    vit_fiber_cond_wake_all(&cache->loaded);
    return code;
}

int vit_co_chunk_get(VitChunkCache *cache, uint64_t index, const uint8_t **data, size_t *size)
{
    Chunk *chunk;

    while ((chunk = find(cache, index)) && chunk->loading)
        vit_fiber_cond_wait(&cache->loaded, NULL);
    if (chunk) {
        chunk->users++;
        g_queue_remove(&cache->chunks, chunk);
        g_queue_push_head(&cache->chunks, chunk);
    } else {
        int code = load(cache, index, &chunk);
        if (code < 0) return code;
    }
    *data = chunk->data;
    *size = chunk->size;
    return 0;
}

void vit_chunk_put(VitChunkCache *cache, uint64_t index)
{
    Chunk *chunk = find(cache, index);

    chunk->users--;
    shrink(cache);
}
