/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/status.c - answers to NBD_CMD_BLOCK_STATUS: base:allocation (doc/proto.md), and the
 * contexts qemu:allocation-depth and qemu:dirty-bitmap:NAME */
#include "block/co.h"
#include "block/nbd/connection.h"

enum { MAX_EXTENTS = 8192, MAX_QUESTIONS = 64 << 10, FIRST_BITMAP = 2 };

typedef struct {
    GArray *list; /* of Extent */
    unsigned max;
} Extents;

typedef struct {
    uint64_t bytes, flags;
} Extent;

uint32_t vit_nbd_context_id(unsigned kind, unsigned index)
{
    return kind == VIT_NBD_CONTEXT_BITMAP ? FIRST_BITMAP + index : kind;
}

/* false: there is no room for another one. */
static bool add(Extents *to, uint64_t bytes, uint64_t flags)
{
    Extent *last = to->list->len ? &g_array_index(to->list, Extent, to->list->len - 1) : NULL;

    if (last && last->flags == flags) {
        last->bytes += bytes;
        return true;
    }
    if (to->list->len >= to->max) return false;
    Extent e = { bytes, flags };
    g_array_append_val(to->list, e);
    return true;
}

static uint64_t flags_of(unsigned kind, const VitBlockExtent *e)
{
    if (kind == VIT_NBD_CONTEXT_DEPTH)
        return e->flags & VIT_EXTENT_ALLOCATED ? (uint64_t)e->depth + 1 : 0;
    return (e->flags & VIT_EXTENT_DATA ? 0 : VIT_NBD_STATE_HOLE) |
           (e->flags & VIT_EXTENT_ZERO ? VIT_NBD_STATE_ZERO : 0);
}

static int ask_node(VitBlockNode *node, unsigned kind, uint64_t offset, uint64_t length,
                    Extents *to)
{
    /* A part of an answer is an answer: the client asks on. */
    for (unsigned i = 0; length > 0 && i < MAX_QUESTIONS; i++) {
        VitBlockExtent e;
        int result = vit_co_status_above(node, NULL, offset, length, &e);
        if (result < 0) return result;
        if (e.bytes == 0) { /* the node has become smaller */
            e.bytes = length;
            e.flags = VIT_EXTENT_ZERO;
        }
        if (!add(to, e.bytes, flags_of(kind, &e))) return 0;
        offset += e.bytes;
        length -= MIN(length, e.bytes);
    }
    return 0;
}

static void ask_bitmap(const VitBlockBitmap *bitmap, uint64_t offset, uint64_t length, Extents *to)
{
    uint64_t end = offset + length;

    while (offset < end) {
        uint64_t start, bytes;
        if (!vit_block_bitmap_next(bitmap, true, offset, end - offset, &start, &bytes) ||
            start >= end) {
            add(to, end - offset, 0);
            return;
        }
        if (start > offset && !add(to, start - offset, 0)) return;
        start = MAX(start, offset);
        bytes = MIN(bytes, end - start);
        if (bytes == 0 || !add(to, bytes, 1)) return;
        offset = start + bytes;
    }
}

static void put_chunk(const VitNbdConnection *c, uint32_t id, uint64_t cookie, uint64_t offset,
                      const GArray *extents, bool last, GByteArray *reply)
{
    uint8_t buf[40], *p;
    size_t each = c->extended ? 16 : 8, fixed = c->extended ? 8 : 4;
    size_t n = vit_nbd_put_chunk(c, buf, last ? VIT_NBD_CHUNK_DONE : 0,
                                 c->extended ? VIT_NBD_CHUNK_STATUS_EXT : VIT_NBD_CHUNK_STATUS,
                                 cookie, offset, fixed + each * extents->len);

    p = vit_nbd_put32(buf + n, id);
    if (c->extended) vit_nbd_put32(p, extents->len);
    g_byte_array_append(reply, buf, (guint)(n + fixed));
    for (guint i = 0; i < extents->len; i++) {
        const Extent *e = &g_array_index(extents, Extent, i);
        if (c->extended) vit_nbd_put64(vit_nbd_put64(buf, e->bytes), e->flags);
        else vit_nbd_put32(vit_nbd_put32(buf, (uint32_t)e->bytes), (uint32_t)e->flags);
        g_byte_array_append(reply, buf, (guint)each);
    }
}

static bool wanted(const GArray *only, uint32_t id)
{
    for (guint i = 0; only && i < only->len; i++)
        if (g_array_index(only, uint32_t, i) == id) return true;
    return !only;
}

typedef struct {
    const VitNbdConnection *connection;
    uint32_t id;
    uint64_t offset, length;
    Extents *to;
    int result;
} Question;

/* Where the node is. */
static void ask(void *opaque)
{
    Question *q = opaque;
    VitNbdExport *e = q->connection->export;

    if (q->id >= FIRST_BITMAP)
        ask_bitmap(e->bitmaps->pdata[q->id - FIRST_BITMAP], q->offset, q->length, q->to);
    else q->result = ask_node(vit_block_far(e->parent.node), q->id, q->offset, q->length, q->to);
}

uint32_t vit_co_nbd_status(VitNbdConnection *c, uint64_t cookie, uint64_t offset, uint64_t length,
                           bool one, const GArray *only, GByteArray *reply)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Extent));
    Extents extents = { list, one ? 1 : MAX_EXTENTS };

    for (unsigned kind = 0; kind < FIRST_BITMAP; kind++)
        if ((kind == VIT_NBD_CONTEXT_DEPTH ? c->depth : c->allocation) && wanted(only, kind))
            g_array_append_val(ids, kind);
    for (guint i = 0; i < c->bitmaps->len; i++) {
        uint32_t id = FIRST_BITMAP + g_array_index(c->bitmaps, unsigned, i);
        if (wanted(only, id)) g_array_append_val(ids, id);
    }
    if (ids->len == 0 || (only && ids->len != only->len)) return VIT_NBD_EINVAL;
    for (guint i = 0; i < ids->len; i++) {
        uint32_t id = g_array_index(ids, uint32_t, i);
        g_array_set_size(list, 0);
        Question q = { c, id, offset, length, &extents, 0 };
        vit_co_block_run(c->thread, vit_block_far(c->export->parent.node), ask, &q);
        if (q.result < 0) return VIT_NBD_EIO;
        put_chunk(c, id, cookie, offset, list, i + 1 == ids->len, reply);
    }
    return 0;
}
