/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/gpu-resource.c - the 2D resources of a virtio display
 *
 * Saved without their pixels: those are drawn anew from the backing after a load. */
#include "hw/virtio/gpu-resource.h"

#include <string.h>

enum { MAX_SIDE = 16384, MAX_RESOURCES = 16384, OVERHEAD = 256, BYTES = 4 };

static bool decode_format(uint32_t format, VitPixelFormat *pixel, bool *swap)
{
    static const struct { uint32_t format; VitPixelFormat pixel; bool swap; } formats[] = {
        { 1, VIT_PIXEL_ARGB8888, false },   /* B8G8R8A8: bytes in memory */
        { 2, VIT_PIXEL_XRGB8888, false },   /* B8G8R8X8 */
        { 3, VIT_PIXEL_ARGB8888, true },    /* A8R8G8B8 */
        { 4, VIT_PIXEL_XRGB8888, true },    /* X8R8G8B8 */
        { 67, VIT_PIXEL_ABGR8888, false },  /* R8G8B8A8 */
        { 68, VIT_PIXEL_XBGR8888, true },   /* X8B8G8R8 */
        { 121, VIT_PIXEL_ABGR8888, true },  /* A8B8G8R8 */
        { 134, VIT_PIXEL_XBGR8888, false }, /* R8G8B8X8 */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].format == format) {
            *pixel = formats[i].pixel;
            *swap = formats[i].swap;
            return true;
        }
    return false;
}

static uint64_t picture_cost(uint32_t width, uint32_t height)
{
    return (uint64_t) width * height * BYTES + OVERHEAD;
}

static void resource_free(void *data)
{
    GpuResource *res = data;
    vit_surface_unref(res->surface);
    g_free(res->backing);
    g_free(res);
}

void gpu_resources_init(GpuResources *r, uint64_t budget)
{
    *r = (GpuResources) { .by_id = g_hash_table_new_full(NULL, NULL, NULL, resource_free),
                          .budget = budget };
}

void gpu_resources_clear(GpuResources *r)
{
    g_hash_table_remove_all(r->by_id);
    r->used = 0;
}

void gpu_resources_finish(GpuResources *r)
{
    g_clear_pointer(&r->by_id, g_hash_table_unref);
}

GpuResource *gpu_resource_find(GpuResources *r, uint32_t id)
{
    return id ? g_hash_table_lookup(r->by_id, GUINT_TO_POINTER(id)) : NULL;
}

GpuResult gpu_resource_create(GpuResources *r, uint32_t id, uint32_t format, uint32_t width,
                              uint32_t height)
{
    VitPixelFormat pixel = VIT_PIXEL_XRGB8888;
    bool swap = false;

    if (!id || gpu_resource_find(r, id))
        return GPU_EXISTS;
    if (!decode_format(format, &pixel, &swap))
        return GPU_BAD_FORMAT;
    if (!width || !height || width > MAX_SIDE || height > MAX_SIDE)
        return GPU_BAD_SIZE;
    uint64_t cost = picture_cost(width, height);
    if (cost > r->budget - r->used || g_hash_table_size(r->by_id) >= MAX_RESOURCES)
        return GPU_NO_MEMORY;
    VitSurface *surface = vit_surface_new((int) width, (int) height, pixel);
    if (!surface)
        return GPU_NO_MEMORY;
    GpuResource *res = g_new0(GpuResource, 1);
    res->id = id;
    res->format = format;
    res->surface = surface;
    res->swap = swap;
    r->used += cost;
    g_hash_table_insert(r->by_id, GUINT_TO_POINTER(id), res);
    return GPU_OK;
}

void gpu_resource_unref(GpuResources *r, uint32_t id)
{
    GpuResource *res = gpu_resource_find(r, id);
    if (!res)
        return;
    gpu_resource_detach(r, res);
    r->used -= picture_cost((uint32_t) res->surface->width, (uint32_t) res->surface->height);
    g_hash_table_remove(r->by_id, GUINT_TO_POINTER(id));
}

bool gpu_resource_attach(GpuResources *r, GpuResource *res, GpuBacking *entries, uint32_t n)
{
    uint64_t cost = (uint64_t) n * sizeof *entries;

    if (cost > r->budget - r->used) {
        g_free(entries);
        return false;
    }
    r->used += cost;
    res->backing = entries;
    res->n_backing = n;
    res->backing_size = 0;
    for (uint32_t i = 0; i < n; i++) {
        entries[i].start = res->backing_size;
        res->backing_size += entries[i].length;
    }
    return true;
}

void gpu_resource_detach(GpuResources *r, GpuResource *res)
{
    r->used -= (uint64_t) res->n_backing * sizeof *res->backing;
    g_clear_pointer(&res->backing, g_free);
    res->n_backing = 0;
    res->backing_size = 0;
}

/* ---- Transfer -------------------------------------------------------------------------------- */

/* The piece that holds byte `at`; at is within the backing. */
static uint32_t find_piece(const GpuResource *res, uint64_t at)
{
    uint32_t low = 0, high = res->n_backing;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (res->backing[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool copy_from_backing(const GpuResource *res, VitAddressSpace *as, uint64_t at, uint8_t *to,
                              uint64_t size)
{
    if (at > res->backing_size || size > res->backing_size - at)
        return false;
    for (uint32_t i = size ? find_piece(res, at) : 0; size; i++) {
        const GpuBacking *b = &res->backing[i];
        uint64_t skip = at - b->start, left = MIN(size, b->length - skip);
        while (left) {
            uint64_t part = left;
            const void *host = vit_as_map(as, b->addr + skip, &part, false);
            if (!host || !part)
                return false;
            memcpy(to, host, part);
            to += part;
            at += part;
            skip += part;
            left -= part;
            size -= part;
        }
    }
    return true;
}

bool gpu_resource_transfer(GpuResource *res, VitAddressSpace *as, VitRect rect, uint64_t offset)
{
    VitSurface *s = res->surface;
    uint64_t stride = (uint64_t) s->width * BYTES, row = (uint64_t) rect.width * BYTES;

    for (int y = 0; y < rect.height; y++) {
        uint8_t *to = s->pixels + (size_t) (rect.y + y) * (size_t) s->stride +
                      (size_t) rect.x * BYTES;
        if (offset + stride * (uint64_t) y < offset ||
            !copy_from_backing(res, as, offset + stride * (uint64_t) y, to, row))
            return false;
        for (int x = 0; res->swap && x < rect.width; x++) {
            uint32_t pixel;
            memcpy(&pixel, to + x * BYTES, BYTES);
            pixel = GUINT32_SWAP_LE_BE(pixel);
            memcpy(to + x * BYTES, &pixel, BYTES);
        }
    }
    return true;
}

/* ---- Save and load --------------------------------------------------------------------------- */

typedef struct { uint32_t id, format, width, height, n_backing, zero; } SavedResource;
typedef struct { uint64_t addr; uint32_t length, zero; } SavedBacking;

void gpu_resources_save(GpuResources *r, uint8_t **data, size_t *size)
{
    GByteArray *out = g_byte_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, r->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GpuResource *res = value;
        SavedResource s = { GUINT32_TO_LE(res->id),
                            GUINT32_TO_LE(res->format),
                            GUINT32_TO_LE((uint32_t) res->surface->width),
                            GUINT32_TO_LE((uint32_t) res->surface->height),
                            GUINT32_TO_LE(res->n_backing),
                            0 };
        g_byte_array_append(out, (const uint8_t *) &s, sizeof s);
        for (uint32_t i = 0; i < res->n_backing; i++) {
            SavedBacking b = { GUINT64_TO_LE(res->backing[i].addr),
                               GUINT32_TO_LE(res->backing[i].length), 0 };
            g_byte_array_append(out, (const uint8_t *) &b, sizeof b);
        }
    }
    *size = out->len;
    *data = g_byte_array_free(out, out->len == 0);
}

static bool load_one(GpuResources *r, const uint8_t **data, size_t *size)
{
    SavedResource s;

    if (*size < sizeof s)
        return false;
    memcpy(&s, *data, sizeof s);
    *data += sizeof s;
    *size -= sizeof s;
    uint32_t id = GUINT32_FROM_LE(s.id), n = GUINT32_FROM_LE(s.n_backing);
    if (n > *size / sizeof(SavedBacking) ||
        gpu_resource_create(r, id, GUINT32_FROM_LE(s.format), GUINT32_FROM_LE(s.width),
                            GUINT32_FROM_LE(s.height)) != GPU_OK)
        return false;
    if (!n)
        return true;
    GpuBacking *entries = g_new0(GpuBacking, n);
    for (uint32_t i = 0; i < n; i++) {
        SavedBacking b;
        memcpy(&b, *data + i * sizeof b, sizeof b);
        entries[i].addr = GUINT64_FROM_LE(b.addr);
        entries[i].length = GUINT32_FROM_LE(b.length);
    }
    *data += n * sizeof(SavedBacking);
    *size -= n * sizeof(SavedBacking);
    return gpu_resource_attach(r, gpu_resource_find(r, id), entries, n);
}

bool gpu_resources_load(GpuResources *r, const uint8_t *data, size_t size)
{
    while (size)
        if (!load_one(r, &data, &size)) {
            gpu_resources_clear(r);
            return false;
        }
    return true;
}
