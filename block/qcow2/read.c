/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/read.c - reading, and what is stored where
 *
 * A request that is stored in several stretches is read by several fibers at a time, so that one
 * stretch decompresses while another comes from the disk. */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { AT_ONCE = 8 };

/* ---- where the bytes lie --------------------------------------------------------------------- */

int vit_qcow2_data_read(VitQcow2 *q, uint64_t host, uint64_t guest, uint64_t bytes,
                        const struct iovec *iov, int niov)
{
    vit_co_event(q->parent.file->node, VIT_EVENT_READ_AIO);
    if (!q->cipher) return vit_co_readv(q->data->node, host, bytes, iov, niov);
    g_autofree uint8_t *buf = g_try_malloc(bytes);
    if (!buf) return -ENOMEM;
    int result = vit_co_read(q->data->node, host, buf, bytes);
    if (result == 0) result = q->cipher->co_decrypt(q, host, guest, buf, bytes);
    if (result == 0) vit_iov_from(iov, niov, 0, buf, bytes);
    return result;
}

int vit_qcow2_data_write(VitQcow2 *q, uint64_t host, uint64_t guest, uint64_t bytes,
                         const struct iovec *iov, int niov, uint32_t flags)
{
    int result = 0;

    if (q->data == q->parent.file && vit_qcow2_overlaps(q, host, bytes, false))
        return vit_qcow2_corrupt(q,
                                 "Preventing invalid write on metadata (overlaps with a table) at "
                                 "offset 0x%" PRIx64,
                                 host);
    vit_co_event(q->parent.file->node, VIT_EVENT_WRITE_AIO);
    if (!q->cipher) {
        result = vit_co_writev(q->data->node, host, bytes, iov, niov, flags);
    } else {
        g_autofree uint8_t *buf = g_try_malloc(bytes);
        if (!buf) return -ENOMEM;
        vit_iov_to(iov, niov, 0, buf, bytes);
        result = q->cipher->co_encrypt(q, host, guest, buf, bytes);
        if (result == 0) result = vit_co_write(q->data->node, host, buf, bytes, flags);
    }
    q->unsynced = true;
    return result;
}

bool vit_qcow2_backing_is_zero(const VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    const VitBlockEdge *b = q->parent.backing;

    return !b || bytes == 0 || offset >= b->node->size || offset >= q->parent.size;
}

int vit_qcow2_backing_read(VitQcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                           int niov)
{
    if (!vit_qcow2_backing_is_zero(q, offset, bytes))
        vit_co_event(q->parent.file->node, VIT_EVENT_READ_BACKING_AIO);
    if (vit_qcow2_backing_is_zero(q, offset, bytes)) {
        vit_iov_zero(iov, niov, 0, bytes);
        return 0;
    }
    VitBlockNode *backing = q->parent.backing->node;
    /* A larger backing file shows no more than this disk has. */
    uint64_t have = MIN(bytes, MIN(backing->size, q->parent.size) - offset);
    if (have == bytes) return vit_co_readv(backing, offset, bytes, iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int n = vit_iov_slice(iov, niov, 0, have, part);
    vit_iov_zero(iov, niov, have, bytes - have);
    return vit_co_readv(backing, offset, have, part, n);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_compressed(VitQcow2 *q, uint64_t entry, uint64_t within, uint64_t bytes,
                           const struct iovec *iov, int niov)
{
    bool direct = niov == 1 && bytes == q->cluster_size;
    g_autofree uint8_t *own = direct ? NULL : g_try_malloc(q->cluster_size);
    uint8_t *buf = direct ? iov->iov_base : own;

    if (!buf) return -ENOMEM;
    int result = vit_qcow2_decompress(q, entry, buf);
    if (result == 0 && !direct) vit_iov_from(iov, niov, 0, buf + within, bytes);
    return result;
}

/* Nothing has been waited for since the map was made. */
static int read_stretch(VitQcow2 *q, const VitQcow2Map *map, uint64_t offset,
                        const struct iovec *iov, int niov)
{
    unsigned epoch;
    int result;

    switch (map->type) {
    case VIT_QCOW2_ZERO: vit_iov_zero(iov, niov, 0, map->bytes); return 0;
    case VIT_QCOW2_UNALLOCATED: return vit_qcow2_backing_read(q, offset, map->bytes, iov, niov);
    case VIT_QCOW2_NORMAL:
        epoch = vit_qcow2_io_begin(q);
        result = vit_qcow2_data_read(q, map->host, offset, map->bytes, iov, niov);
        vit_qcow2_io_end(q, epoch);
        return result;
    case VIT_QCOW2_COMPRESSED:
        epoch = vit_qcow2_io_begin(q);
        result = read_compressed(q, map->entry.entry, offset & (q->cluster_size - 1), map->bytes,
                                 iov, niov);
        vit_qcow2_io_end(q, epoch);
        return result;
    default: return -EIO;
    }
}

typedef struct {
    VitFiber *fiber;
    unsigned running;
    int result;
} Group;

typedef struct {
    VitQcow2 *q;
    Group *group;
    VitQcow2Map map;
    uint64_t offset;
    struct iovec *iov; /* owned */
    int niov;
} Stretch;

static void stretch_fiber(void *opaque)
{
    Stretch *s = opaque;
    Group *g = s->group;
    int result = read_stretch(s->q, &s->map, s->offset, s->iov, s->niov);

    if (result < 0 && g->result == 0) g->result = result;
    g_free(s->iov);
    g_free(s);
    g->running--;
    vit_fiber_wake(g->fiber);
}

int vit_qcow2_read_range(VitQcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                         int niov)
{
    VitIoThread *thread = q->parent.thread;
    VitQcow2Map map;
    int result = vit_qcow2_map(q, offset, bytes, &map);

    if (result < 0) return result;
    if (map.bytes == bytes) return read_stretch(q, &map, offset, iov, niov);
    Group group = { .fiber = vit_fiber_self(thread) };
    for (uint64_t done = 0; group.result == 0;) {
        Stretch *s = g_new(Stretch, 1);
        *s = (Stretch){ .q = q, .group = &group, .map = map, .offset = offset + done };
        s->iov = g_new(struct iovec, niov);
        s->niov = vit_iov_slice(iov, niov, done, map.bytes, s->iov);
        group.running++;
        vit_fiber_start(thread, stretch_fiber, s);
        done += map.bytes;
        if (done == bytes) break;
        while (group.running >= AT_ONCE) vit_fiber_yield(thread);
        result = vit_qcow2_map(q, offset + done, bytes - done, &map);
        if (result < 0) group.result = result;
    }
    while (group.running > 0) vit_fiber_yield(thread);
    return group.result;
}

int vit_qcow2_co_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    VitQcow2 *q = (VitQcow2 *)node;

    q->stats.slow_reads++;
    return vit_qcow2_read_range(q, offset, bytes, iov, niov);
}

/* ---- status ---------------------------------------------------------------------------------- */

/* Whether more clusters are in use than the host stores, by a tenth: they were allocated ahead. */
static bool is_ahead(VitQcow2 *q)
{
    const char *filename = q->parent.file->node->filename;
    struct stat st;

    if (q->looked_ahead) return q->ahead;
    q->looked_ahead = true;
    if (filename && stat(filename, &st) == 0 && S_ISREG(st.st_mode)) {
        uint64_t stored = (uint64_t)st.st_blocks * 512 / q->cluster_size, used = 0, count,
                 has = (uint64_t)st.st_size / q->cluster_size;
        uint64_t many = MAX(stored * 10 / 9, stored + 2);
        vit_fiber_mutex_lock(&q->meta);
        for (uint64_t i = 0; i < has && used < many && used + (has - i) >= many; i++) {
            if (vit_qcow2_refcount_get(q, i << q->cluster_bits, &count) < 0) break;
            used += count > 0;
        }
        vit_fiber_mutex_unlock(&q->meta);
        q->ahead = used >= many;
    }
    return q->ahead;
}

int vit_qcow2_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    VitQcow2 *q = (VitQcow2 *)node;
    VitQcow2Map map, first = { 0 };

    *extent = (VitBlockExtent){ 0 };
    while (extent->bytes < bytes) {
        int result = vit_qcow2_map(q, offset + extent->bytes, bytes - extent->bytes, &map);
        if (result < 0) return extent->bytes ? 0 : result;
        if (extent->bytes == 0) first = map;
        else if (map.type != first.type || map.has_host != first.has_host ||
                 (map.has_host && map.host != first.host + extent->bytes))
            break;
        extent->bytes += map.bytes;
    }
    static const unsigned flags[] = {
        [VIT_QCOW2_UNALLOCATED] = 0,
        [VIT_QCOW2_ZERO] = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED,
        [VIT_QCOW2_NORMAL] = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED,
        [VIT_QCOW2_COMPRESSED] = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_COMPRESSED,
    };
    extent->flags = flags[first.type];
    if (first.has_host && !q->cipher) { /* also where a cluster lacks some of its subclusters */
        extent->flags |= VIT_EXTENT_OFFSET;
        extent->host_offset = first.host;
        extent->file = q->data->node;
        if ((extent->flags & VIT_EXTENT_DATA) && is_ahead(q)) return vit_co_status_ahead(extent);
    }
    return 0;
}
