/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/compress.c - compressed grains: a marker with the grain's place on the disk, and RFC
 * 1950 data
 *
 * Virtual Disk Format 1.1, "Stream-Optimized Compressed Sparse Extents".  Workers of the thread do
 * the work on the bytes. */
#include "block/vmdk/vmdk.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

typedef struct __attribute__((packed)) {
    uint64_t sector;
    uint32_t size; /* of the data that follows */
} Marker;
static_assert(sizeof(Marker) == 12);

typedef struct {
    const uint8_t *from;
    uint8_t *to;
    uLongf from_size, to_size;
    int result;
} Work;

static void inflate_grain(void *opaque)
{
    Work *w = opaque;
    uLongf room = w->to_size;

    w->result = uncompress(w->to, &w->to_size, w->from, w->from_size);
    if (w->result == Z_OK && w->to_size < room) memset(w->to + w->to_size, 0, room - w->to_size);
}

static void deflate_grain(void *opaque)
{
    Work *w = opaque;

    w->result = compress2(w->to, &w->to_size, w->from, w->from_size, Z_DEFAULT_COMPRESSION);
}

int vmdk_co_read_compressed(Vmdk *v, VmdkExtent *e, uint64_t at, uint8_t *grain)
{
    VitBlockNode *file = e->edge->node;
    uint64_t most = sizeof(Marker) + compressBound(e->grain) + VMDK_SECTOR, skip = 0;
    uint64_t size = MIN(most, e->end > at ? e->end - at : 0);
    g_autofree uint8_t *buf = g_try_malloc(size + 1);

    if (!buf) return -ENOMEM;
    if (size <= sizeof(Marker)) return -EIO;
    int result = vit_co_read(file, at, buf, size);
    if (result < 0) return result;
    if (e->markers) {
        Marker m;
        memcpy(&m, buf, sizeof m);
        skip = sizeof m;
        if (GUINT32_FROM_LE(m.size) > size - skip) return -EIO;
        size = skip + GUINT32_FROM_LE(m.size);
    }
    Work w = { .from = buf + skip, .from_size = size - skip, .to = grain, .to_size = e->grain };
    vit_fiber_offload(v->parent.thread, inflate_grain, &w);
    return w.result == Z_OK ? 0 : w.result == Z_MEM_ERROR ? -ENOMEM : -EIO;
}

int vmdk_co_write_compressed(Vmdk *v, VmdkExtent *e, uint64_t in_extent, const uint8_t *grain,
                             uint64_t *at)
{
    uint64_t bound = compressBound(e->grain), skip = e->markers ? sizeof(Marker) : 0;
    g_autofree uint8_t *buf = g_try_malloc0(skip + bound + VMDK_SECTOR);

    if (!buf) return -ENOMEM;
    Work w = { .from = grain, .from_size = e->grain, .to = buf + skip, .to_size = bound };
    vit_fiber_offload(v->parent.thread, deflate_grain, &w);
    if (w.result != Z_OK) return -ENOMEM;
    if (e->markers) {
        Marker m = { .sector = GUINT64_TO_LE(in_extent / VMDK_SECTOR),
                     .size = GUINT32_TO_LE((uint32_t)w.to_size) };
        memcpy(buf, &m, sizeof m);
    }
    uint64_t used = skip + w.to_size;
    memset(buf + used, 0, (VMDK_SECTOR - used % VMDK_SECTOR) % VMDK_SECTOR);
    used = (used + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
    if (e->end / VMDK_SECTOR + used / VMDK_SECTOR > UINT32_MAX) return -ENOSPC;
    *at = e->end;
    e->end += used;
    return vit_co_write(e->edge->node, *at, buf, used, 0);
}
