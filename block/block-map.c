/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/block-map.c - see block-map.h: reads, writes, allocation, and the order of flushing */
#include "block/block-map.h"

#include <errno.h>
#include <string.h>

enum { LONG_BITS = 8 * sizeof(unsigned long) };

static bool get_bit(const unsigned long *bits, uint64_t n)
{
    return bits[n / LONG_BITS] >> (n % LONG_BITS) & 1;
}

static void set_bit(unsigned long *bits, uint64_t n)
{
    bits[n / LONG_BITS] |= 1UL << (n % LONG_BITS);
}

static unsigned long *new_bits(uint64_t count)
{
    return g_try_new0(unsigned long, count / LONG_BITS + 1);
}

bool vit_iov_part_init(VitIovPart *part, const struct iovec *iov, int niov, uint64_t skip,
                       uint64_t bytes)
{
    part->iov = niov <= VIT_MAP_IOV ? part->room : g_try_new(struct iovec, niov);
    if (!part->iov) return false;
    part->niov = vit_iov_slice(iov, niov, skip, bytes, part->iov);
    return true;
}

void vit_iov_part_finish(VitIovPart *part)
{
    if (part->iov != part->room) g_free(part->iov);
}

void vit_block_map_attach(VitBlockMap *map)
{
    map->allocating.cond.thread = map->flushing.thread = map->node->thread;
}

bool vit_block_map_init(VitBlockMap *map, VitBlockNode *node, const VitBlockMapOps *ops,
                        uint64_t count, uint64_t block_size)
{
    *map = (VitBlockMap){ .node = node,
                          .ops = ops,
                          .count = count,
                          .block_size = block_size,
                          .fresh = node->file->node->size };
    vit_block_map_attach(map);
    map->at = g_try_new0(uint64_t, count + 1);
    map->dirty = new_bits((count + VIT_MAP_PAGE - 1) / VIT_MAP_PAGE);
    map->touched = ops->co_touch ? new_bits(count) : NULL;
    map->spare = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (map->at && map->dirty && (map->touched || !ops->co_touch)) return true;
    vit_block_map_finish(map);
    return false;
}

void vit_block_map_finish(VitBlockMap *map)
{
    g_clear_pointer(&map->at, g_free);
    g_clear_pointer(&map->dirty, g_free);
    g_clear_pointer(&map->touched, g_free);
    g_clear_pointer(&map->spare, g_array_unref);
}

void vit_block_map_set(VitBlockMap *map, uint64_t index, uint64_t at)
{
    map->at[index] = at;
    set_bit(map->dirty, index / VIT_MAP_PAGE);
    map->any_dirty = true;
}

static bool is_stored(uint64_t at)
{
    return at > VIT_MAP_ZERO;
}

/* How many bytes from offset on, at most `bytes`, lie in one piece in the file (or nowhere), and
 * where. */
static uint64_t stretch(const VitBlockMap *map, uint64_t offset, uint64_t bytes, uint64_t *host)
{
    uint64_t index = offset / map->block_size, in_block = offset % map->block_size;
    uint64_t at = map->at[index], length = map->block_size - in_block;

    *host = is_stored(at) ? at + in_block : at;
    while (length < bytes) {
        uint64_t next = map->at[++index];
        if (is_stored(at) ? next != at + map->block_size || map->lead : next != at) break;
        at = next;
        length += map->block_size;
    }
    return MIN(length, bytes);
}

int vit_co_map_read(VitBlockMap *map, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov)
{
    uint64_t done = 0, host;

    while (done < bytes) {
        uint64_t n = stretch(map, offset + done, bytes - done, &host);
        if (!is_stored(host)) {
            vit_iov_zero(iov, niov, done, n);
        } else {
            VitIovPart part;
            if (!vit_iov_part_init(&part, iov, niov, done, n)) return -ENOMEM;
            int result = vit_co_readv(map->node->file->node, host, n, part.iov, part.niov);
            vit_iov_part_finish(&part);
            if (result < 0) return result;
        }
        done += n;
    }
    return 0;
}

/* ---- new blocks ------------------------------------------------------------------------------ */

/* Room for up to *n blocks one after the other; sets *n to how many.  0: the format can hold no
 * more. */
static uint64_t take_room(VitBlockMap *map, uint64_t *n)
{
    if (map->spare->len > 0) {
        uint64_t host = g_array_index(map->spare, uint64_t, map->spare->len - 1);
        g_array_set_size(map->spare, map->spare->len - 1);
        *n = 1;
        return host;
    }
    uint64_t start = map->end;
    if (map->align > 1) start = (start + map->align - 1) / map->align * map->align;
    uint64_t size = map->lead + map->block_size;
    if (map->lead) *n = 1;
    if (map->limit) {
        uint64_t room = start < map->limit ? (map->limit - start) / size : 0;
        if (room == 0) return 0;
        *n = MIN(*n, room);
    }
    map->end = start + *n * size;
    map->moved = true;
    return start + map->lead;
}

static void give_back(VitBlockMap *map, uint64_t host, uint64_t n)
{
    map->fresh = MAX(map->fresh, host + n * map->block_size);
    for (uint64_t i = n; i-- > 0;) {
        uint64_t place = host + i * map->block_size;
        g_array_append_val(map->spare, place);
    }
}

/* Zeroes what lies below `fresh` of [from, to): elsewhere the file reads as zero already. */
static int zero_stale(VitBlockMap *map, uint64_t from, uint64_t to, uint64_t fresh)
{
    to = MIN(to, fresh);
    return from < to ? vit_co_zero(map->node->file->node, from, to - from, 0) : 0;
}

/* The part of new blocks behind what is written: the file gets to their end. */
static int make_tail(VitBlockMap *map, uint64_t from, uint64_t to, uint64_t fresh)
{
    static const uint8_t zeroes[512];
    int result = zero_stale(map, from, to, fresh);

    if (result < 0 || from == to || to <= fresh) return result;
    return vit_co_write(map->node->file->node, to - sizeof zeroes, zeroes, sizeof zeroes, 0);
}

/* Writes to blocks that are nowhere yet.  *written: how much of it; 0 when somebody else was
 * quicker. */
static int write_new(VitBlockMap *map, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint64_t skip, uint64_t *written)
{
    uint64_t size = map->block_size, first = offset / size, last = (offset + bytes - 1) / size;
    uint64_t n = 0, in_block = offset % size;
    VitBlockRange range;
    VitIovPart part;

    *written = 0;
    vit_block_range_lock(&map->allocating, &range, first * size, (last - first + 1) * size);
    while (first + n <= last && !is_stored(map->at[first + n])) n++;
    if (n == 0) {
        vit_block_range_unlock(&map->allocating, &range);
        return 0;
    }
    uint64_t host = take_room(map, &n), fresh = map->fresh;
    if (host == 0) {
        vit_block_range_unlock(&map->allocating, &range);
        return -ENOSPC;
    }
    bytes = MIN(bytes, n * size - in_block);
    int result = zero_stale(map, host, host + in_block, fresh);
    if (result == 0) result = make_tail(map, host + in_block + bytes, host + n * size, fresh);
    if (result == 0 && map->lead) result = map->ops->co_begin(map, first, host);
    if (result == 0 && !vit_iov_part_init(&part, iov, niov, skip, bytes)) result = -ENOMEM;
    else if (result == 0) {
        result = vit_co_writev(map->node->file->node, host + in_block, bytes, part.iov, part.niov,
                               0);
        vit_iov_part_finish(&part);
    }
    if (result < 0) {
        give_back(map, host, n);
    } else {
        for (uint64_t i = 0; i < n; i++) {
            vit_block_map_set(map, first + i, host + i * size);
            if (map->touched) set_bit(map->touched, first + i);
        }
        *written = bytes;
    }
    vit_block_range_unlock(&map->allocating, &range);
    return result;
}

/* What a driver wants to do to blocks that came with the file, once for each. */
static int touch(VitBlockMap *map, uint64_t offset, uint64_t bytes)
{
    if (!map->touched) return 0;
    uint64_t first = offset / map->block_size, last = (offset + bytes - 1) / map->block_size;
    for (uint64_t i = first; i <= last; i++) {
        if (get_bit(map->touched, i)) continue;
        int result = map->ops->co_touch(map, i, map->at[i]);
        if (result < 0) return result;
        set_bit(map->touched, i);
    }
    return 0;
}

int vit_co_map_write(VitBlockMap *map, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint32_t flags)
{
    uint64_t done = 0, host;

    if (flags & VIT_BLOCK_COMPRESSED) return -ENOTSUP;
    while (done < bytes) {
        uint64_t n = stretch(map, offset + done, bytes - done, &host);
        int result;
        if (is_stored(host)) {
            VitIovPart part;
            result = touch(map, offset + done, n);
            if (result < 0) return result;
            if (!vit_iov_part_init(&part, iov, niov, done, n)) return -ENOMEM;
            result = vit_co_writev(map->node->file->node, host, n, part.iov, part.niov, 0);
            vit_iov_part_finish(&part);
        } else {
            result = write_new(map, offset + done, n, iov, niov, done, &n);
        }
        if (result < 0) return result;
        done += n;
    }
    return flags & VIT_BLOCK_FUA ? vit_co_map_flush(map) : 0;
}

int vit_co_map_write_zeroes(VitBlockMap *map, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    uint64_t done = 0, host;

    while (done < bytes) {
        uint64_t n = stretch(map, offset + done, bytes - done, &host);
        if (is_stored(host)) {
            int result = touch(map, offset + done, n);
            if (result == 0)
                result = vit_co_zero(map->node->file->node, host, n,
                                     flags & ~(uint32_t)VIT_BLOCK_FUA);
            if (result < 0) return result;
        } else if (map->allocating.held) {
            /* Somebody is writing a new block here: after it there may be something to zero. */
            VitBlockRange range;
            bool busy = vit_block_range_busy(&map->allocating, offset + done, n);
            if (busy) {
                vit_block_range_lock(&map->allocating, &range, offset + done, n);
                vit_block_range_unlock(&map->allocating, &range);
                continue;
            }
        }
        done += n;
    }
    return flags & VIT_BLOCK_FUA ? vit_co_map_flush(map) : 0;
}

int vit_co_map_discard(VitBlockMap *map, uint64_t offset, uint64_t bytes)
{
    uint64_t done = 0, host;

    while (done < bytes) {
        uint64_t n = stretch(map, offset + done, bytes - done, &host);
        int result = is_stored(host) ? vit_co_discard(map->node->file->node, host, n) : 0;
        if (result < 0) return result;
        done += n;
    }
    return 0;
}

/* ---- flushing -------------------------------------------------------------------------------- */

typedef struct {
    uint64_t first, count; /* entries */
    uint64_t *at; /* owned */
} Run;

static void clear_run(gpointer data)
{
    g_free(((Run *)data)->at);
}

/* The changed pages as they are now: entries that come later lead to data that is not stable yet.
 */
static bool take_dirty(VitBlockMap *map, GArray *runs)
{
    enum { MOST = 128 };
    uint64_t pages = (map->count + VIT_MAP_PAGE - 1) / VIT_MAP_PAGE;

    for (uint64_t p = 0; p < pages; p++) {
        if (map->dirty[p / LONG_BITS] == 0) {
            p |= LONG_BITS - 1;
            continue;
        }
        if (!get_bit(map->dirty, p)) continue;
        uint64_t last = p;
        while (last + 1 < pages && last - p < MOST && get_bit(map->dirty, last + 1)) last++;
        Run run = { .first = p * VIT_MAP_PAGE };
        run.count = MIN((last + 1) * VIT_MAP_PAGE, map->count) - run.first;
        run.at = g_try_new(uint64_t, run.count);
        if (!run.at) return false;
        memcpy(run.at, map->at + run.first, run.count * sizeof *run.at);
        g_array_append_val(runs, run);
        p = last;
    }
    memset(map->dirty, 0, (pages / LONG_BITS + 1) * sizeof *map->dirty);
    map->any_dirty = false;
    return true;
}

static int store(VitBlockMap *map, const GArray *runs)
{
    map->moved = false;
    int result = map->ops->co_settle ? map->ops->co_settle(map) : 0;

    if (result == 0) result = vit_co_flush(map->node->file->node);
    for (guint i = 0; i < runs->len && result == 0; i++) {
        const Run *run = &g_array_index(runs, Run, i);
        result = map->ops->co_store(map, run->first, run->count, run->at);
    }
    return result;
}

int vit_co_map_flush(VitBlockMap *map)
{
    int result = 0;

    if (map->any_dirty || map->moved || map->flushing.owner) {
        vit_fiber_mutex_lock(&map->flushing);
        g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(Run));
        g_array_set_clear_func(runs, clear_run);
        if (map->any_dirty && !take_dirty(map, runs)) result = -ENOMEM;
        if (result == 0 && (runs->len > 0 || map->moved)) result = store(map, runs);
        for (guint i = 0; i < runs->len && result < 0; i++) {
            const Run *run = &g_array_index(runs, Run, i);
            for (uint64_t e = 0; e < run->count; e += VIT_MAP_PAGE)
                set_bit(map->dirty, (run->first + e) / VIT_MAP_PAGE);
            map->any_dirty = map->moved = true;
        }
        vit_fiber_mutex_unlock(&map->flushing);
    }
    return result < 0 ? result : vit_co_flush(map->node->file->node);
}

/* ---- the rest -------------------------------------------------------------------------------- */

int vit_co_map_status(VitBlockMap *map, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    uint64_t host;

    *extent = (VitBlockExtent){ .bytes = stretch(map, offset, bytes, &host) };
    if (!is_stored(host)) {
        extent->flags = VIT_EXTENT_ZERO |
                        (host == VIT_MAP_ZERO || map->all_present ? VIT_EXTENT_ALLOCATED : 0);
        return 0;
    }
    extent->flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
    extent->host_offset = host;
    extent->file = map->node->file->node;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

bool vit_block_map_overlap(const VitBlockMap *map, uint64_t *host)
{
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(uint64_t));

    for (uint64_t i = 0; i < map->count; i++) {
        if (is_stored(map->at[i])) g_array_append_val(places, map->at[i]);
    }
    g_array_sort(places, by_place);
    for (guint i = 1; i < places->len; i++) {
        *host = g_array_index(places, uint64_t, i);
        if (*host - g_array_index(places, uint64_t, i - 1) < map->block_size + map->lead)
            return true;
    }
    return false;
}

bool vit_block_map_try_submit(VitBlockMap *map, VitBlockRequest *req)
{
    uint64_t host;

    if (req->op != VIT_BLOCK_READ && req->op != VIT_BLOCK_WRITE) return false;
    if (req->op == VIT_BLOCK_WRITE && req->flags) return false;
    /* With something before each block a stretch is within one. */
    if (req->op == VIT_BLOCK_WRITE && map->touched &&
        (!map->lead || !get_bit(map->touched, req->offset / map->block_size)))
        return false;
    if (stretch(map, req->offset, req->bytes, &host) < req->bytes || !is_stored(host)) return false;
    VitBlockRequest *child = vit_block_child_request(req);
    child->offset = host;
    vit_block_submit(map->node->file->node, child);
    return true;
}
