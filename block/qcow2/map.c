/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/map.c - where a guest offset is stored ("Cluster mapping", "Extended L2 Entries") */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- entries --------------------------------------------------------------------------------- */

VitQcow2Entry vit_qcow2_entry_get(const VitQcow2 *q, const VitQcow2Slice *s, unsigned index)
{
    const uint8_t *p = s->table + (size_t)index * q->l2_entry_size;

    return (VitQcow2Entry){ vit_get64(p), q->l2_entry_size == 16 ? vit_get64(p + 8) : 0 };
}

void vit_qcow2_entry_set(VitQcow2 *q, VitQcow2Slice *s, unsigned index, VitQcow2Entry e)
{
    unsigned at = index * q->l2_entry_size;

    vit_put64(s->table + at, e.entry);
    if (q->l2_entry_size == 16) vit_put64(s->table + at + 8, e.bitmap);
    vit_qcow2_cache_dirty(&q->l2, s, at, q->l2_entry_size);
}

VitQcow2Type vit_qcow2_type(const VitQcow2 *q, VitQcow2Entry e, unsigned sub)
{
    uint64_t offset = e.entry & VIT_QCOW2_OFFSET_MASK;

    if (e.entry & VIT_QCOW2_COMPRESSED_BIT)
        return vit_qcow2_has_data_file(q) ? VIT_QCOW2_INVALID : VIT_QCOW2_COMPRESSED;
    if (offset & (q->cluster_size - 1)) return VIT_QCOW2_INVALID;
    /* Offset 0 is a cluster only in a data file, and then the COPIED bit says so. */
    bool host = offset || (vit_qcow2_has_data_file(q) && (e.entry & VIT_QCOW2_COPIED));
    if (q->subclusters == 1) {
        if ((e.entry & VIT_QCOW2_ZERO_BIT) && q->version >= 3) return VIT_QCOW2_ZERO;
        return host ? VIT_QCOW2_NORMAL : VIT_QCOW2_UNALLOCATED;
    }
    bool allocated = (e.bitmap >> sub) & 1, zero = (e.bitmap >> (sub + 32)) & 1;
    if (allocated && (zero || !host)) return VIT_QCOW2_INVALID;
    return zero ? VIT_QCOW2_ZERO : allocated ? VIT_QCOW2_NORMAL : VIT_QCOW2_UNALLOCATED;
}

static bool has_host(const VitQcow2 *q, uint64_t entry)
{
    if (entry & VIT_QCOW2_COMPRESSED_BIT) return false;
    return (entry & VIT_QCOW2_OFFSET_MASK) ||
           (vit_qcow2_has_data_file(q) && (entry & VIT_QCOW2_COPIED));
}

void vit_qcow2_compressed(const VitQcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *bytes)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t sectors = ((entry & ~(VIT_QCOW2_COPIED | VIT_QCOW2_COMPRESSED_BIT)) >> x) + 1;

    *offset = entry & ((UINT64_C(1) << MIN(x, 56)) - 1);
    *bytes = sectors * 512 - (*offset & 511);
}

uint64_t vit_qcow2_compressed_entry(const VitQcow2 *q, uint64_t offset, uint64_t bytes)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t sectors = (offset + bytes - 1) / 512 - offset / 512;

    return offset | sectors << x | VIT_QCOW2_COMPRESSED_BIT;
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct {
    uint32_t l1_index;
    uint64_t slice; /* offset of the slice in the L2 table */
    unsigned index, count; /* of the entry in the slice; entries from there to its end */
} Place;

static Place place_of(const VitQcow2 *q, uint64_t offset)
{
    unsigned per_slice = q->l2.slice_size / q->l2_entry_size;
    uint64_t index = (offset >> q->cluster_bits) & ((UINT64_C(1) << q->l2_bits) - 1);
    Place p = { .l1_index = (uint32_t)MIN(offset >> vit_qcow2_l1_shift(q), UINT32_MAX) };

    p.slice = index / per_slice * q->l2.slice_size;
    p.index = (unsigned)(index % per_slice);
    p.count = per_slice - p.index;
    return p;
}

/* As far as one subcluster's kind goes on from sub `first` of the first entry. */
static bool walk(const VitQcow2 *q, const VitQcow2Slice *s, const Place *p, uint64_t offset,
                 uint64_t bytes, VitQcow2Map *map)
{
    uint64_t within = offset & (q->cluster_size - 1), left = within + bytes;
    unsigned sub = (unsigned)(within >> q->subcluster_bits);
    VitQcow2Entry e = vit_qcow2_entry_get(q, s, p->index);
    uint64_t have = 0, sub_size = UINT64_C(1) << q->subcluster_bits;

    *map = (VitQcow2Map){ .type = vit_qcow2_type(q, e, sub), .entry = e };
    map->has_host = has_host(q, e.entry);
    map->copied = e.entry & VIT_QCOW2_COPIED;
    if (map->type == VIT_QCOW2_INVALID) return false;
    if (map->type == VIT_QCOW2_COMPRESSED) {
        uint64_t length;
        vit_qcow2_compressed(q, e.entry, &map->host, &length);
        map->bytes = MIN(q->cluster_size - within, bytes);
        return true;
    }
    map->host = map->has_host ? (e.entry & VIT_QCOW2_OFFSET_MASK) + within : 0;
    for (unsigned i = 0; i < p->count && have < left; i++) {
        VitQcow2Entry now = i ? vit_qcow2_entry_get(q, s, p->index + i) : e;
        if (i) {
            if (has_host(q, now.entry) != map->has_host ||
                ((now.entry ^ e.entry) & VIT_QCOW2_COPIED))
                break;
            if (map->has_host && (now.entry & VIT_QCOW2_OFFSET_MASK) !=
                                     (e.entry & VIT_QCOW2_OFFSET_MASK) + i * q->cluster_size)
                break;
        }
        unsigned n = i ? 0 : sub;
        have = i * q->cluster_size + n * sub_size;
        while (n < q->subclusters && have < left && vit_qcow2_type(q, now, n) == map->type) {
            have += sub_size;
            n++;
        }
        if (n < q->subclusters) break;
    }
    map->bytes = MIN(have, left) - within;
    return true;
}

static bool past_l1(const VitQcow2 *q, const Place *p, uint64_t offset, uint64_t bytes,
                    VitQcow2Map *map)
{
    if (p->l1_index < q->l1_size && (q->l1[p->l1_index] & VIT_QCOW2_OFFSET_MASK)) return false;
    uint64_t rest = (uint64_t)p->count << q->cluster_bits;
    *map = (VitQcow2Map){ .type = VIT_QCOW2_UNALLOCATED };
    map->bytes = MIN(bytes, rest - (offset & (q->cluster_size - 1)));
    return true;
}

bool vit_qcow2_map_cached(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Map *map)
{
    Place p = place_of(q, offset);

    if (past_l1(q, &p, offset, bytes, map)) return true;
    VitQcow2Slice *s = vit_qcow2_cache_peek(&q->l2,
                                            (q->l1[p.l1_index] & VIT_QCOW2_OFFSET_MASK) + p.slice);
    return s && walk(q, s, &p, offset, bytes, map);
}

int vit_qcow2_l2_slice(VitQcow2 *q, uint64_t offset, VitQcow2Slice **slice, unsigned *index,
                       unsigned *count)
{
    Place p = place_of(q, offset);

    *index = p.index;
    *count = p.count;
    *slice = NULL;
    for (;;) {
        if (p.l1_index >= q->l1_size) return 0;
        uint64_t table = q->l1[p.l1_index] & VIT_QCOW2_OFFSET_MASK;
        if (table == 0) return 0;
        if (table & (q->cluster_size - 1))
            return vit_qcow2_corrupt(q, "L2 table offset 0x%" PRIx64 " unaligned (L1 index: 0x%x)",
                                     table, p.l1_index);
        if (table >= q->parent.file->node->size &&
            !vit_qcow2_cache_peek(&q->l2, table + p.slice)) /* a new one is in memory only */
            return vit_qcow2_corrupt(
                q, "L2 table offset 0x%" PRIx64 " past the end of the file (L1 index: 0x%x)", table,
                p.l1_index);
        int result = vit_qcow2_cache_get(q, &q->l2, table + p.slice, slice);
        if (result < 0) return result;
        if (p.l1_index < q->l1_size && (q->l1[p.l1_index] & VIT_QCOW2_OFFSET_MASK) == table)
            return 0;
        vit_qcow2_cache_put(*slice); /* another table has come while this one was read */
        *slice = NULL;
    }
}

int vit_qcow2_map(VitQcow2 *q, uint64_t offset, uint64_t bytes, VitQcow2Map *map)
{
    Place p = place_of(q, offset);
    VitQcow2Slice *s;
    unsigned index, count;

    int result = vit_qcow2_l2_slice(q, offset, &s, &index, &count);
    if (result < 0) return result;
    if (!s) {
        (void)past_l1(q, &p, offset, bytes, map);
        return 0;
    }
    bool good = walk(q, s, &p, offset, bytes, map);
    vit_qcow2_cache_put(s);
    return good
               ? 0
               : vit_qcow2_corrupt(q, "invalid L2 entry 0x%" PRIx64 " (guest offset 0x%" PRIx64 ")",
                                   map->entry.entry, offset);
}

bool vit_qcow2_host_is_there(const VitQcow2 *q, uint64_t host)
{
    return q->data != q->parent.file ||
           (host & ~(q->cluster_size - 1)) < q->parent.file->node->size;
}

/* ---- changing -------------------------------------------------------------------------------- */

void vit_qcow2_l1_set(VitQcow2 *q, uint32_t index, uint64_t entry)
{
    q->l1[index] = entry;
    q->l1_dirty[index / 64 / 64] |= UINT64_C(1) << (index / 64 % 64);
    q->l1_is_dirty = true;
}

/* Fills a new L2 table at `fresh` with what the one at `old` has (0: nothing). */
static int fill_table(VitQcow2 *q, uint64_t fresh, uint64_t old)
{
    int result = 0;

    vit_qcow2_cache_forget(&q->l2, fresh, q->cluster_size);
    for (uint64_t at = 0; at < q->cluster_size && result == 0; at += q->l2.slice_size) {
        VitQcow2Slice *from = NULL;
        if (old && (result = vit_qcow2_cache_get(q, &q->l2, old + at, &from)) < 0) break;
        VitQcow2Slice *to = vit_qcow2_cache_new(&q->l2, fresh + at, true);
        if (!to) result = -ENOMEM;
        else {
            if (from) memcpy(to->table, from->table, q->l2.slice_size);
            vit_qcow2_cache_put(to);
        }
        if (from) vit_qcow2_cache_put(from);
    }
    return result;
}

static int make_table(VitQcow2 *q, uint32_t l1_index)
{
    uint64_t old = q->l1[l1_index], fresh;
    int result = vit_qcow2_alloc(q, 1, &fresh);

    if (result < 0) return result;
    if (old & VIT_QCOW2_OFFSET_MASK)
        vit_co_event(q->parent.file->node, VIT_EVENT_L2_ALLOC_COW_READ);
    result = fill_table(q, fresh, old & VIT_QCOW2_OFFSET_MASK);
    if (result < 0) {
        vit_qcow2_unalloc(q, fresh, q->cluster_size);
        return result;
    }
    vit_qcow2_tables_add(q, fresh);
    vit_qcow2_l1_set(q, l1_index, fresh | VIT_QCOW2_COPIED);
    if (old & VIT_QCOW2_OFFSET_MASK)
        vit_qcow2_free(q, old & VIT_QCOW2_OFFSET_MASK, q->cluster_size, VIT_QCOW2_FREE_OTHER);
    return 0;
}

int vit_qcow2_l2_writable(VitQcow2 *q, uint64_t offset, VitQcow2Slice **slice, unsigned *index,
                          unsigned *count)
{
    uint64_t l1_index = offset >> vit_qcow2_l1_shift(q);
    int result = 0;

    if (q->broken) return -EIO;
    if (l1_index >= q->l1_size && (result = vit_qcow2_l1_grow(q, l1_index + 1, false)) < 0)
        return result;
    if (q->l2.n_dirty > q->l2.max && (result = vit_qcow2_write_back(q)) < 0) return result;
    bool ours = q->l1[l1_index] & VIT_QCOW2_COPIED;
    if ((!ours || !(q->l1[l1_index] & VIT_QCOW2_OFFSET_MASK)) &&
        (result = make_table(q, (uint32_t)l1_index)) < 0)
        return result;
    return vit_qcow2_l2_slice(q, offset, slice, index, count);
}

int vit_qcow2_l1_grow(VitQcow2 *q, uint64_t entries, bool exact)
{
    uint64_t size = MAX(q->l1_size, 1), offset;

    if (entries <= q->l1_size) return 0;
    if (exact) size = entries;
    while (size < entries) size = size * 3 / 2 + 1;
    if (size > VIT_QCOW2_MAX_L1_BYTES / 8) size = VIT_QCOW2_MAX_L1_BYTES / 8;
    if (size < entries) return -EFBIG;

    uint64_t bytes = vit_qcow2_clusters(q, size * 8) << q->cluster_bits;
    g_autofree uint64_t *l1 = g_try_new0(uint64_t, size);
    g_autofree uint8_t *buf = g_try_malloc0(bytes);
    if (!l1 || !buf) return -ENOMEM;
    vit_co_event(q->parent.file->node, VIT_EVENT_L1_GROW_ALLOC_TABLE);
    int result = vit_qcow2_alloc(q, bytes >> q->cluster_bits, &offset);
    if (result < 0) return result;
    /* The new table may only lead to what is durable. */
    result = vit_qcow2_write_back(q);
    vit_co_event(q->parent.file->node, VIT_EVENT_L1_GROW_WRITE_TABLE);
    memcpy(l1, q->l1, (size_t)q->l1_size * 8);
    for (uint64_t i = 0; i < q->l1_size; i++) vit_put64(buf + i * 8, l1[i]);
    if (result == 0) result = vit_qcow2_write_meta(q, offset, buf, bytes);
    if (result == 0) result = vit_qcow2_sync_files(q);
    uint8_t field[12];
    vit_put32(field, (uint32_t)size);
    vit_put64(field + 4, offset);
    vit_co_event(q->parent.file->node, VIT_EVENT_L1_GROW_ACTIVATE_TABLE);
    if (result == 0) result = vit_qcow2_write_field(q, VIT_QCOW2_H_L1_SIZE, field, sizeof field);
    if (result < 0) {
        vit_qcow2_unalloc(q, offset, bytes);
        return result;
    }
    vit_qcow2_free(q, q->l1_offset, (uint64_t)q->l1_size * 8, VIT_QCOW2_FREE_OTHER);
    g_free(q->l1);
    g_free(q->l1_dirty);
    q->l1 = g_steal_pointer(&l1);
    q->l1_dirty = g_new0(uint64_t, size / 64 / 64 + 1);
    q->l1_size = (uint32_t)size;
    q->l1_offset = offset;
    return 0;
}
