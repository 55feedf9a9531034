/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/flush.c - brings tables from memory to the file in the order of qcow2.h */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

enum { IN_FLIGHT = 32, IOV = 32, SECTOR_ENTRIES = 64 };

/* ---- many writes at once --------------------------------------------------------------------- */

typedef struct {
    VitQcow2 *q;
    VitFiber *fiber;
    unsigned in_flight;
    int result;
} Batch;

typedef struct {
    VitBlockRequest req;
    Batch *batch;
    uint8_t *own; /* owned, NULL: none */
    struct iovec iov[IOV];
} Write;

static void written(VitBlockRequest *req)
{
    Write *w = req->opaque;
    Batch *b = w->batch;

    if (req->result < 0 && b->result == 0) b->result = req->result;
    b->in_flight--;
    b->q->unsynced = true; /* a flush that began before may not have covered it */
    g_free(w->own);
    g_free(w);
    vit_fiber_wake(b->fiber);
}

static void batch_begin(Batch *b, VitQcow2 *q)
{
    *b = (Batch){ .q = q, .fiber = vit_fiber_self(q->parent.thread) };
}

static int batch_wait(Batch *b, unsigned most)
{
    while (b->in_flight > most) vit_fiber_yield(b->q->parent.thread);
    return b->result;
}

static Write *batch_add(Batch *b, uint64_t offset)
{
    (void)batch_wait(b, IN_FLIGHT - 1);
    Write *w = g_new(Write, 1);
    w->req = (VitBlockRequest){
        .op = VIT_BLOCK_WRITE, .offset = offset, .iov = w->iov, .done = written, .opaque = w
    };
    w->batch = b;
    w->own = NULL;
    return w;
}

static void batch_submit(Write *w)
{
    w->batch->in_flight++;
    vit_block_submit(w->batch->q->parent.file->node, &w->req);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const VitQcow2Slice *x = *(VitQcow2Slice *const *)a, *y = *(VitQcow2Slice *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

typedef enum { FRESH, LINKED, ANY } Which;

static bool is_one(const VitQcow2Slice *s, Which which)
{
    return s->dirty && (which == ANY || s->fresh == (which == FRESH));
}

static bool any(const VitQcow2Cache *c, Which which)
{
    if (c->n_dirty == 0) return false;
    for (guint i = 0; i < c->slices->len; i++) {
        if (is_one(c->slices->pdata[i], which)) return true;
    }
    return false;
}

/* The dirty stretches of a slice, joined with those that end where they begin. */
static Write *write_slice(Batch *b, const VitQcow2Cache *c, const VitQcow2Slice *s, Write *open)
{
    uint32_t page = 1u << c->page_bits;
    uint64_t left = s->dirty;

    while (left) {
        unsigned first = (unsigned)__builtin_ctzll(left), n = 0;
        while (first + n < 64 && (left >> (first + n)) & 1) n++;
        left &= n == 64 ? 0 : ~(((UINT64_C(1) << n) - 1) << first);
        uint64_t offset = s->offset + (uint64_t)first * page;
        if (open && (open->req.offset + open->req.bytes != offset || open->req.niov == IOV)) {
            batch_submit(open);
            open = NULL;
        }
        if (!open) open = batch_add(b, offset);
        open->iov[open->req.niov++] = (struct iovec){ s->table + (size_t)first * page,
                                                      (size_t)n * page };
        open->req.bytes += (uint64_t)n * page;
    }
    return open;
}

static VitBlockEvent event_of(const VitQcow2 *q, const VitQcow2Cache *c, Which which)
{
    if (c == &q->l2) return which == FRESH ? VIT_EVENT_L2_ALLOC_WRITE : VIT_EVENT_L2_UPDATE;
    return q->fresh_blocks ? VIT_EVENT_REFBLOCK_ALLOC_WRITE : VIT_EVENT_REFBLOCK_UPDATE;
}

static int write_slices(VitQcow2 *q, VitQcow2Cache *c, Which which)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    Write *open = NULL;
    Batch b;

    if (c->n_dirty == 0) return 0;
    for (guint i = 0; i < c->slices->len; i++) {
        VitQcow2Slice *s = c->slices->pdata[i];
        if (!is_one(s, which)) continue;
        s->pins++;
        g_ptr_array_add(list, s);
    }
    if (list->len > 0) {
        vit_co_event(q->parent.file->node, event_of(q, c, which));
        qsort(list->pdata, list->len, sizeof(void *), by_offset);
    }
    batch_begin(&b, q);
    for (guint i = 0; i < list->len && b.result == 0; i++)
        open = write_slice(&b, c, list->pdata[i], open);
    if (open) batch_submit(open);
    int result = batch_wait(&b, 0);
    for (guint i = 0; i < list->len; i++) {
        VitQcow2Slice *s = list->pdata[i];
        s->pins--;
        if (result < 0) continue;
        s->dirty = 0;
        c->n_dirty--;
    }
    return result;
}

static void settle_slices(VitQcow2Cache *c)
{
    for (guint i = 0; i < c->slices->len; i++)
        ((VitQcow2Slice *)c->slices->pdata[i])->fresh = false;
}

/* ---- tables that are in memory as a whole ---------------------------------------------------- */

/* Writes the sectors of a table that bits say are newer. */
static int write_table(VitQcow2 *q, const uint64_t *table, uint64_t entries, uint64_t offset,
                       uint64_t *bits)
{
    uint64_t sectors = (entries + SECTOR_ENTRIES - 1) / SECTOR_ENTRIES;
    Batch b;

    batch_begin(&b, q);
    for (uint64_t s = 0; s < sectors && b.result == 0;) {
        if (!bits[s / 64]) {
            s = (s / 64 + 1) * 64;
            continue;
        }
        uint64_t n = 0;
        while (s + n < sectors && n < 128 && (bits[(s + n) / 64] >> ((s + n) % 64)) & 1) n++;
        if (n == 0) {
            s++;
            continue;
        }
        uint64_t first = s * SECTOR_ENTRIES, count = MIN(n * SECTOR_ENTRIES, entries - first);
        Write *w = batch_add(&b, offset + first * 8);
        w->own = g_malloc(count * 8);
        for (uint64_t i = 0; i < count; i++) vit_put64(w->own + i * 8, table[first + i]);
        w->iov[0] = (struct iovec){ w->own, count * 8 };
        w->req.niov = 1;
        w->req.bytes = count * 8;
        batch_submit(w);
        s += n;
    }
    int result = batch_wait(&b, 0);
    if (result == 0) memset(bits, 0, ((sectors + 63) / 64) * 8);
    return result;
}

/* ---- steps ----------------------------------------------------------------------------------- */

int vit_qcow2_sync_files(VitQcow2 *q)
{
    q->unsynced = false;
    q->syncing++;
    q->stats.syncs++;
    int result = vit_co_flush(q->parent.file->node);
    if (result == 0 && q->data != q->parent.file) result = vit_co_flush(q->data->node);
    q->syncing--;
    if (result < 0) q->unsynced = true;
    return result;
}

int vit_qcow2_write_fresh_blocks(VitQcow2 *q)
{
    if (!q->fresh_blocks) return 0;
    int result = write_slices(q, &q->refcounts, ANY);
    if (result == 0) result = vit_qcow2_sync_files(q);
    if (result < 0) return result;
    settle_slices(&q->refcounts);
    q->fresh_blocks = false;
    return 0;
}

static int write_counts(VitQcow2 *q)
{
    int result = vit_qcow2_write_fresh_blocks(q);

    if (result == 0) result = write_slices(q, &q->refcounts, ANY);
    if (result == 0 && q->rt_is_dirty) {
        vit_co_event(q->parent.file->node, VIT_EVENT_REFBLOCK_ALLOC_HOOKUP);
        vit_co_event(q->parent.file->node, VIT_EVENT_REFTABLE_UPDATE);
        result = write_table(q, q->rt, q->rt_entries, q->rt_offset, q->rt_dirty);
        if (result == 0) q->rt_is_dirty = false;
    }
    return result;
}

static int write_back(VitQcow2 *q, bool counts)
{
    int result = 0;

    if (q->broken) return -EIO;
    q->stats.write_backs++;
    counts |= !q->lazy || q->refcounts.n_dirty > q->refcounts.max / 2;
    if (q->lazy && !counts && (q->refcounts.n_dirty || q->rt_is_dirty))
        result = vit_qcow2_set_incompatible(q, VIT_QCOW2_DIRTY, 0);
    if (result == 0 && counts) result = write_counts(q);
    if (result == 0 && q->l1_is_dirty) result = write_slices(q, &q->l2, FRESH);
    if (result < 0) return result;
    bool linked = any(&q->l2, LINKED);
    if (!linked && !q->l1_is_dirty) return 0;
    /* What another's flush is still about to cover is not durable yet. */
    if ((q->unsynced || q->syncing > 0) && (result = vit_qcow2_sync_files(q)) < 0) return result;
    if (linked && (result = write_slices(q, &q->l2, LINKED)) < 0) return result;
    if (q->l1_is_dirty) {
        vit_co_event(q->parent.file->node, VIT_EVENT_L1_UPDATE);
        result = write_table(q, q->l1, q->l1_size, q->l1_offset, q->l1_dirty);
        if (result < 0) return result;
        q->l1_is_dirty = false;
        settle_slices(&q->l2);
    }
    return 0;
}

int vit_qcow2_write_back(VitQcow2 *q)
{
    return write_back(q, false);
}

bool vit_qcow2_is_dirty(const VitQcow2 *q)
{
    return q->l2.n_dirty || q->l1_is_dirty || q->rt_is_dirty || q->refcounts.n_dirty ||
           q->pending->len;
}

static GArray *take_pending(VitQcow2 *q)
{
    if (q->pending->len == 0) return NULL;
    GArray *list = q->pending;
    q->pending = g_array_new(FALSE, FALSE, sizeof(VitQcow2Pending));
    q->pending_bytes = 0;
    return list;
}

/* After a failure what was to be freed waits for the next time. */
static void give_pending_back(VitQcow2 *q, GArray *list)
{
    if (!list) return;
    g_array_append_vals(q->pending, list->data, list->len);
    for (guint i = 0; i < list->len; i++)
        q->pending_bytes += g_array_index(list, VitQcow2Pending, i).bytes;
    g_array_unref(list);
}

int vit_qcow2_sync(VitQcow2 *q)
{
    GArray *list = take_pending(q);
    int result = write_back(q, false);

    if (result == 0) result = vit_qcow2_sync_files(q);
    if (result < 0) {
        give_pending_back(q, list);
        return result;
    }
    if (!list) return 0;
    result = vit_qcow2_apply_frees(q, list);
    g_array_unref(list);
    return result;
}

int vit_qcow2_flush(VitQcow2 *q)
{
    GArray *list = NULL;
    int result = 0;

    if (vit_qcow2_is_dirty(q)) {
        vit_fiber_mutex_lock(&q->meta);
        list = take_pending(q);
        result = write_back(q, false);
        vit_fiber_mutex_unlock(&q->meta);
    }
    if (result == 0) result = vit_qcow2_sync_files(q);
    if (!list) return result;
    vit_fiber_mutex_lock(&q->meta);
    if (result == 0) {
        result = vit_qcow2_apply_frees(q, list);
        g_array_unref(list);
    } else {
        give_pending_back(q, list);
    }
    vit_fiber_mutex_unlock(&q->meta);
    return result;
}

int vit_qcow2_settle(VitQcow2 *q)
{
    int result = vit_qcow2_sync(q);

    if (result == 0 && vit_qcow2_is_dirty(q)) {
        result = write_back(q, true);
        if (result == 0) result = vit_qcow2_sync_files(q);
    }
    if (result == 0 && q->lazy) result = vit_qcow2_set_incompatible(q, 0, VIT_QCOW2_DIRTY);
    return result;
}

int vit_qcow2_write_meta(VitQcow2 *q, uint64_t offset, const void *buf, uint64_t bytes)
{
    int result = vit_co_write(q->parent.file->node, offset, buf, bytes, 0);

    q->unsynced = true;
    return result;
}

/* ---- requests in flight ---------------------------------------------------------------------- */

unsigned vit_qcow2_io_begin(VitQcow2 *q)
{
    q->in_epoch[q->epoch]++;
    return q->epoch;
}

void vit_qcow2_io_end(VitQcow2 *q, unsigned epoch)
{
    if (--q->in_epoch[epoch] == 0) vit_fiber_cond_wake_all(&q->epoch_over);
}
