/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/io.c - reads and writes of all kinds of extents
 *
 * Grains that are there are read and written side by side without a lock.  New ones are taken from
 * the file's end in runs, written, and only then entered into the table in memory;
 * vmdk_co_flush_tables() stores entries after it has made the grains stable. */
#include "block/vmdk/vmdk.h"

#include "block/block-map.h"

#include <errno.h>
#include <string.h>

typedef struct { /* a stretch of the disk that is of one kind and in one piece */
    VmdkExtent *e;
    uint64_t in_extent, bytes;
    uint64_t at; /* VMDK_NONE, VMDK_ZERO, or where it begins in the file (compressed: its grain) */
} Piece;

static bool is_stored(uint64_t at)
{
    return at >= VMDK_FIRST_OFFSET;
}

static bool is_sparse(const VmdkExtent *e)
{
    return e->kind == VMDK_SPARSE || e->kind == VMDK_COWD;
}

/* Without waiting; false: a table is not in memory. */
static bool look_up(Vmdk *v, uint64_t offset, uint64_t bytes, Piece *p)
{
    VmdkExtent *e = vmdk_find_extent(v, offset);

    *p = (Piece){ .e = e, .in_extent = offset - e->start };
    p->bytes = MIN(bytes, e->bytes - p->in_extent);
    if (e->kind == VMDK_FLAT) p->at = MAX(e->flat_offset + p->in_extent, VMDK_FIRST_OFFSET);
    if (e->kind == VMDK_ZERO_EXTENT) p->at = VMDK_ZERO;
    if (!is_sparse(e)) return true;
    uint64_t grain = p->in_extent / e->grain, rest = p->in_extent % e->grain;
    const uint64_t *table = e->table[grain / e->per_table].at;
    if (!table) return false;
    uint64_t at = table[grain % e->per_table], length = e->grain - rest;
    p->at = is_stored(at) && !e->compressed ? at + rest : at;
    while (length < p->bytes && !(is_stored(at) && e->compressed)) {
        table = e->table[++grain / e->per_table].at;
        if (!table) break;
        uint64_t next = table[grain % e->per_table];
        if (next != (is_stored(at) ? at + e->grain : at)) break;
        at = next;
        length += e->grain;
    }
    p->bytes = MIN(p->bytes, length);
    return true;
}

static int co_look_up(Vmdk *v, uint64_t offset, uint64_t bytes, Piece *p)
{
    while (!look_up(v, offset, bytes, p)) {
        uint64_t grain = p->in_extent / p->e->grain;
        int result = vmdk_co_load_table(v, p->e, grain / p->e->per_table);
        if (result < 0) return result;
    }
    bool bad = is_sparse(p->e) && is_stored(p->at) && p->at >= p->e->end;
    return bad ? -EIO : 0;
}

/* FLAT extents may begin at the file's first byte, which no other place can. */
static uint64_t place(const Piece *p)
{
    return p->e->kind == VMDK_FLAT ? p->e->flat_offset + p->in_extent : p->at;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A parent that has been written to since is not what this image was made on. */
static int check_parent(Vmdk *v)
{
    VitBlockNode *parent = v->parent.backing->node;

    if (v->parent_checked || parent->driver != v->parent.driver) return 0;
    if (((Vmdk *)parent)->cid != v->parent_cid) return -EINVAL;
    v->parent_checked = true;
    return 0;
}

static int read_below(Vmdk *v, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov,
                      uint64_t skip)
{
    uint64_t have = 0;

    if (v->parent.backing) {
        int result = check_parent(v);
        if (result < 0) return result;
        uint64_t size = v->parent.backing->node->size;
        have = offset < size ? MIN(bytes, size - offset) : 0;
    }
    if (have > 0) {
        VitIovPart part;
        if (!vit_iov_part_init(&part, iov, niov, skip, have)) return -ENOMEM;
        int result = vit_co_readv(v->parent.backing->node, offset, have, part.iov, part.niov);
        vit_iov_part_finish(&part);
        if (result < 0) return result;
    }
    vit_iov_zero(iov, niov, skip + have, bytes - have);
    return 0;
}

static int read_piece(Vmdk *v, const Piece *p, uint64_t offset, const struct iovec *iov, int niov,
                      uint64_t skip)
{
    VitIovPart part;

    if (p->at == VMDK_NONE) return read_below(v, offset, p->bytes, iov, niov, skip);
    if (!is_stored(p->at)) {
        vit_iov_zero(iov, niov, skip, p->bytes);
        return 0;
    }
    if (is_sparse(p->e) && p->e->compressed) {
        g_autofree uint8_t *grain = g_try_malloc(p->e->grain);
        if (!grain) return -ENOMEM;
        int result = vmdk_co_read_compressed(v, p->e, p->at, grain);
        if (result == 0)
            vit_iov_from(iov, niov, skip, grain + p->in_extent % p->e->grain, p->bytes);
        return result;
    }
    if (!vit_iov_part_init(&part, iov, niov, skip, p->bytes)) return -ENOMEM;
    int result = vit_co_readv(p->e->edge->node, place(p), p->bytes, part.iov, part.niov);
    vit_iov_part_finish(&part);
    return result;
}

int vmdk_co_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                 int niov)
{
    Vmdk *v = (Vmdk *)node;
    Piece p;

    for (uint64_t done = 0; done < bytes; done += p.bytes) {
        int result = co_look_up(v, offset + done, bytes - done, &p);
        if (result == 0) result = read_piece(v, &p, offset + done, iov, niov, done);
        if (result < 0) return result;
    }
    return 0;
}

/* ---- new grains ------------------------------------------------------------------------------ */

/* Room for up to *n grains; 0: none is left in what a sector number can say. */
static uint64_t take_room(VmdkExtent *e, uint64_t *n)
{
    uint64_t limit = (uint64_t)UINT32_MAX * VMDK_SECTOR, at = e->end;

    if (e->spare->len > 0) {
        at = g_array_index(e->spare, uint64_t, e->spare->len - 1);
        g_array_set_size(e->spare, e->spare->len - 1);
        *n = 1;
        return at;
    }
    uint64_t room = at < limit ? (limit - at) / e->grain : 0;
    *n = MIN(*n, room);
    if (*n == 0) return 0;
    e->end = at + *n * e->grain;
    return at;
}

static void give_back(VmdkExtent *e, uint64_t at, uint64_t n)
{
    e->fresh = MAX(e->fresh, at + n * e->grain);
    for (uint64_t i = n; i-- > 0;) {
        uint64_t one = at + i * e->grain;
        g_array_append_val(e->spare, one);
    }
}

static void enter(VmdkExtent *e, uint64_t grain, uint64_t at)
{
    VmdkTable *t = &e->table[grain / e->per_table];

    t->at[grain % e->per_table] = at;
    t->dirty = e->any_dirty = true;
}

/* All tables of the run are in memory at once, or an error.  They stay until the next wait. */
static int load_tables(Vmdk *v, VmdkExtent *e, uint64_t first_grain, uint64_t last_grain)
{
    uint64_t first = first_grain / e->per_table, last = last_grain / e->per_table;

    for (uint64_t t = first; t <= last;) {
        if (e->table[t].at) {
            t++;
            continue;
        }
        int result = vmdk_co_load_table(v, e, t);
        if (result < 0) return result;
        t = first; /* one may have gone meanwhile */
    }
    return 0;
}

/* Old bytes around what is written to new grains, in a buffer of their own. */
static int read_around(Vmdk *v, uint64_t offset, uint8_t *buf, uint64_t bytes, bool below)
{
    struct iovec iov = { buf, bytes };

    if (bytes == 0) return 0;
    if (below) return read_below(v, offset, bytes, &iov, 1, 0);
    memset(buf, 0, bytes);
    return 0;
}

/* Writes the grains as one piece: head and tail of the first and last one come from below. */
static int write_grains(Vmdk *v, VmdkExtent *e, uint64_t at, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov, uint64_t skip, bool below)
{
    uint64_t head = (offset - e->start) % e->grain;
    uint64_t tail = (e->grain - (head + bytes) % e->grain) % e->grain;
    g_autofree uint8_t *around = g_try_malloc(head + tail + 1);
    g_autofree struct iovec *all = g_try_new(struct iovec, (gsize)niov + 2);
    int n = 0;

    if (!around || !all) return -ENOMEM;
    int result = read_around(v, offset - head, around, head, below);
    if (result == 0) result = read_around(v, offset + bytes, around + head, tail, below);
    if (result < 0) return result;
    if (head) all[n++] = (struct iovec){ around, head };
    n += vit_iov_slice(iov, niov, skip, bytes, all + n);
    if (tail) all[n++] = (struct iovec){ around + head, tail };
    return vit_co_writev(e->edge->node, at, head + bytes + tail, all, n, 0);
}

/* The same where nothing lies below and the file is zero already: only what is written, and the
 * end. */
static int write_fresh(VmdkExtent *e, uint64_t at, uint64_t offset, uint64_t bytes,
                       const struct iovec *iov, int niov, uint64_t skip)
{
    static const uint8_t zeroes[VMDK_SECTOR];
    uint64_t head = (offset - e->start) % e->grain;
    uint64_t end = (head + bytes + e->grain - 1) / e->grain * e->grain;
    VitIovPart part;
    int result = 0;

    if (end > head + bytes)
        result = vit_co_write(e->edge->node, at + end - sizeof zeroes, zeroes, sizeof zeroes, 0);
    if (result < 0) return result;
    if (!vit_iov_part_init(&part, iov, niov, skip, bytes)) return -ENOMEM;
    result = vit_co_writev(e->edge->node, at + head, bytes, part.iov, part.niov, 0);
    vit_iov_part_finish(&part);
    return result;
}

/* One grain of a stream: compressed, and never twice. */
static int write_stream(Vmdk *v, VmdkExtent *e, uint64_t offset, uint64_t bytes,
                        const struct iovec *iov, int niov, uint64_t skip, uint64_t *at)
{
    uint64_t head = (offset - e->start) % e->grain;
    g_autofree uint8_t *grain = g_try_malloc0(e->grain);

    if (!grain) return -ENOMEM;
    int result = read_around(v, offset - head, grain, head, v->parent.backing != NULL);
    if (result == 0)
        result = read_around(v, offset + bytes, grain + head + bytes, e->grain - head - bytes,
                             v->parent.backing != NULL);
    vit_iov_to(iov, niov, skip, grain + head, bytes);
    if (result == 0) result = vmdk_co_write_compressed(v, e, offset - head - e->start, grain, at);
    return result;
}

/* Writes where no grain is yet.  *written: how much; 0: somebody was quicker.  ZERO entries have
 * nothing below. */
static int write_new(Vmdk *v, VmdkExtent *e, uint64_t offset, uint64_t bytes,
                     const struct iovec *iov, int niov, uint64_t skip, uint64_t *written)
{
    uint64_t in = offset - e->start, head = in % e->grain;
    uint64_t first = in / e->grain, last = (in + bytes - 1) / e->grain, n = 0, at;
    VitBlockRange range;

    *written = 0;
    if (e->compressed) last = first;
    vit_block_range_lock(&v->allocating, &range, e->start + first * e->grain,
                         (last - first + 1) * e->grain);
    int result = load_tables(v, e, first, last);
    if (result < 0) goto out;
    uint64_t kind = e->table[first / e->per_table].at[first % e->per_table];
    while (first + n <= last && !is_stored(kind) &&
           e->table[(first + n) / e->per_table].at[(first + n) % e->per_table] == kind)
        n++;
    if (n == 0) goto out;
    bool below = kind == VMDK_NONE && v->parent.backing;
    bytes = MIN(bytes, n * e->grain - head);
    if (e->compressed) {
        result = write_stream(v, e, offset, bytes, iov, niov, skip, &at);
    } else {
        at = take_room(e, &n);
        if (at == 0) result = -ENOSPC;
        if (result < 0) goto out;
        bytes = MIN(bytes, n * e->grain - head);
        if (below || at < e->fresh)
            result = write_grains(v, e, at, offset, bytes, iov, niov, skip, below);
        else result = write_fresh(e, at, offset, bytes, iov, niov, skip);
        if (result < 0) give_back(e, at, n);
    }
    if (result == 0) result = load_tables(v, e, first, first + n - 1);
    if (result < 0) goto out;
    for (uint64_t i = 0; i < n; i++) enter(e, first + i, at + i * e->grain);
    *written = bytes;
out:
    vit_block_range_unlock(&v->allocating, &range);
    return result;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_piece(Vmdk *v, Piece *p, uint64_t offset, const struct iovec *iov, int niov,
                       uint64_t skip)
{
    if (p->e->read_only) return -EACCES;
    if (p->e->kind == VMDK_ZERO_EXTENT) return -ENOSPC;
    if (is_stored(p->at)) {
        VitIovPart part;
        if (is_sparse(p->e) && p->e->compressed) return -EIO; /* a stream has each grain once */
        if (!vit_iov_part_init(&part, iov, niov, skip, p->bytes)) return -ENOMEM;
        int result = vit_co_writev(p->e->edge->node, place(p), p->bytes, part.iov, part.niov, 0);
        vit_iov_part_finish(&part);
        return result;
    }
    return write_new(v, p->e, offset, p->bytes, iov, niov, skip, &p->bytes);
}

int vmdk_co_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                  int niov, uint32_t flags)
{
    Vmdk *v = (Vmdk *)node;
    int result = v->cid_renewed ? 0 : vmdk_co_renew_cid(v);
    Piece p;

    for (uint64_t done = 0; done < bytes && result == 0; done += p.bytes) {
        result = co_look_up(v, offset + done, bytes - done, &p);
        if (result < 0) break;
        result = write_piece(v, &p, offset + done, iov, niov, done);
        if (result < 0) break;
    }
    if (result == 0 && (flags & VIT_BLOCK_FUA)) result = vmdk_co_flush(node);
    return result;
}

/* Part of a grain, or one that only an entry could make zero: by writing. */
static int write_zero_bytes(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    g_autofree uint8_t *zeroes = g_try_malloc0(bytes);
    struct iovec iov = { zeroes, bytes };

    return zeroes ? vmdk_co_write(node, offset, bytes, &iov, 1, 0) : -ENOMEM;
}

/* Whole grains without data get ZERO entries, which hide what is below. */
static int enter_zeroes(Vmdk *v, const Piece *p)
{
    VmdkExtent *e = p->e;
    uint64_t first = p->in_extent / e->grain, n = p->bytes / e->grain;
    VitBlockRange range;

    vit_block_range_lock(&v->allocating, &range, e->start + first * e->grain, n * e->grain);
    int result = load_tables(v, e, first, first + n - 1);
    for (uint64_t i = first; i < first + n && result == 0; i++) {
        if (e->table[i / e->per_table].at[i % e->per_table] == VMDK_NONE) enter(e, i, VMDK_ZERO);
    }
    vit_block_range_unlock(&v->allocating, &range);
    return result;
}

static int zero_piece(Vmdk *v, Piece *p, uint64_t offset, uint32_t flags)
{
    VmdkExtent *e = p->e;

    if (e->read_only) return -EACCES;
    if (is_stored(p->at)) {
        if (is_sparse(e) && e->compressed) return -EIO;
        return vit_co_zero(e->edge->node, place(p), p->bytes, flags & VIT_BLOCK_MAY_UNMAP);
    }
    if (v->allocating.held && vit_block_range_busy(&v->allocating, offset, p->bytes)) {
        /* Somebody writes new grains here: after that there may be something to zero. */
        VitBlockRange range;
        vit_block_range_lock(&v->allocating, &range, offset, p->bytes);
        vit_block_range_unlock(&v->allocating, &range);
        p->bytes = 0;
        return 0;
    }
    if (p->at == VMDK_ZERO || !v->parent.backing) return 0;
    uint64_t head = p->in_extent % e->grain;
    bool to_end = p->in_extent + p->bytes == e->bytes;
    if (e->zero_grains && head == 0 && (p->bytes >= e->grain || to_end)) {
        if (p->bytes >= e->grain) p->bytes -= p->bytes % e->grain;
        Piece whole = *p;
        whole.bytes = (p->bytes + e->grain - 1) / e->grain * e->grain;
        return enter_zeroes(v, &whole);
    }
    p->bytes = MIN(p->bytes, e->grain - head);
    return write_zero_bytes(&v->parent, offset, p->bytes);
}

int vmdk_co_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    Vmdk *v = (Vmdk *)node;
    int result = v->cid_renewed ? 0 : vmdk_co_renew_cid(v);
    Piece p;

    for (uint64_t done = 0; done < bytes && result == 0; done += p.bytes) {
        result = co_look_up(v, offset + done, bytes - done, &p);
        if (result == 0) result = zero_piece(v, &p, offset + done, flags);
        if (result < 0) break;
    }
    if (result == 0 && (flags & VIT_BLOCK_FUA)) result = vmdk_co_flush(node);
    return result;
}

/* ---- the rest -------------------------------------------------------------------------------- */

int vmdk_co_flush(VitBlockNode *node)
{
    Vmdk *v = (Vmdk *)node;

    for (unsigned i = 0; i < v->n_extents; i++) {
        VmdkExtent *e = &v->extents[i];
        if (!e->edge) continue;
        int result = is_sparse(e) ? vmdk_co_flush_tables(v, e) : 0;
        if (result == 0) result = vit_co_flush(e->edge->node);
        if (result < 0) return result;
    }
    return vit_co_flush(node->file->node);
}

int vmdk_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    Vmdk *v = (Vmdk *)node;
    Piece p;
    int result = co_look_up(v, offset, bytes, &p);

    *extent = (VitBlockExtent){ .bytes = p.bytes };
    if (result < 0 && result != -EIO) return result;
    if (p.at == VMDK_NONE) return 0;
    if (!is_stored(p.at)) {
        extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED;
        return 0;
    }
    extent->flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED;
    if (is_sparse(p.e) && p.e->compressed) {
        extent->flags |= VIT_EXTENT_COMPRESSED;
        return 0;
    }
    extent->flags |= VIT_EXTENT_OFFSET;
    extent->host_offset = place(&p);
    extent->file = p.e->edge->node;
    return p.e->kind == VMDK_FLAT ? vit_co_status_ahead(extent) : 0;
}

bool vmdk_try_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Vmdk *v = (Vmdk *)node;
    Piece p;

    if (req->op != VIT_BLOCK_READ && req->op != VIT_BLOCK_WRITE) return false;
    if (req->op == VIT_BLOCK_WRITE && (req->flags || !v->cid_renewed)) return false;
    if (!look_up(v, req->offset, req->bytes, &p) || p.bytes < req->bytes || !is_stored(p.at) ||
        (req->op == VIT_BLOCK_WRITE && p.e->read_only))
        return false;
    if (is_sparse(p.e) && (p.e->compressed || p.at >= p.e->end)) return false;
    VitBlockRequest *child = vit_block_child_request(req);
    child->offset = place(&p);
    vit_block_submit(p.e->edge->node, child);
    return true;
}
