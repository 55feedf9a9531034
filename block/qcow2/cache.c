/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/cache.c - pieces of L2 tables and refcount blocks in memory, by their place in the
 * file
 *
 * Only clean slices that nobody has pinned make room for others.  When there are too many dirty
 * ones, those who hold the lock `meta` write them back (flush.c) before they make more. */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_BUCKETS = 64, DIO_ALIGN = 4096, PAGES = 64, MIN_PAGE_BITS = 9 };

void vit_qcow2_cache_init(VitQcow2Cache *c, uint32_t slice_size, uint64_t bytes)
{
    uint64_t max = MAX(bytes / slice_size, 4);

    *c = (VitQcow2Cache){ .slice_size = slice_size, .max = (unsigned)MIN(max, G_MAXINT) };
    c->page_bits = MIN_PAGE_BITS;
    while ((slice_size >> c->page_bits) > PAGES) c->page_bits++;
    c->n_buckets = MIN_BUCKETS;
    while (c->n_buckets < c->max && c->n_buckets < 1 << 16) c->n_buckets *= 2;
    c->buckets = g_new0(VitQcow2Slice *, c->n_buckets);
    c->slices = g_ptr_array_new();
}

static void free_slice(VitQcow2Slice *s)
{
    free(s->table);
    g_free(s);
}

void vit_qcow2_cache_clear(VitQcow2Cache *c)
{
    for (guint i = 0; c->slices && i < c->slices->len; i++) free_slice(c->slices->pdata[i]);
    g_clear_pointer(&c->slices, g_ptr_array_unref);
    g_clear_pointer(&c->buckets, g_free);
    c->n_dirty = 0;
}

static VitQcow2Slice **bucket(VitQcow2Cache *c, uint64_t offset)
{
    uint64_t number = offset / c->slice_size;

    return &c->buckets[(number ^ (number >> 16)) & (c->n_buckets - 1)];
}

static VitQcow2Slice *find(VitQcow2Cache *c, uint64_t offset)
{
    VitQcow2Slice *s = *bucket(c, offset);

    while (s && s->offset != offset) s = s->next;
    return s;
}

static void unlink_slice(VitQcow2Cache *c, VitQcow2Slice *s)
{
    VitQcow2Slice **at = bucket(c, s->offset);

    while (*at != s) at = &(*at)->next;
    *at = s->next;
    if (s->dirty) c->n_dirty--;
    s->dirty = 0;
}

/* Takes one out that may be used for something else; NULL: all are needed. */
static VitQcow2Slice *evict(VitQcow2Cache *c)
{
    for (unsigned left = 2 * c->slices->len; left > 0; left--) {
        c->hand = (c->hand + 1) % c->slices->len;
        VitQcow2Slice *s = c->slices->pdata[c->hand];
        if (s->pins || s->dirty || s->loading) continue;
        if (s->used) {
            s->used = false;
            continue;
        }
        unlink_slice(c, s);
        return s;
    }
    return NULL;
}

static VitQcow2Slice *add(VitQcow2Cache *c, uint64_t offset)
{
    VitQcow2Slice *s = c->slices->len >= c->max ? evict(c) : NULL;

    if (!s) {
        s = g_new0(VitQcow2Slice, 1);
        if (posix_memalign((void **)&s->table, DIO_ALIGN, c->slice_size) != 0) {
            g_free(s);
            return NULL;
        }
        g_ptr_array_add(c->slices, s);
    }
    VitQcow2Slice **at = bucket(c, offset);
    *s = (VitQcow2Slice){
        .offset = offset, .table = s->table, .next = *at, .pins = 1, .used = true
    };
    *at = s;
    return s;
}

static void drop(VitQcow2Cache *c, VitQcow2Slice *s)
{
    unlink_slice(c, s);
    g_ptr_array_remove_fast(c->slices, s);
    free_slice(s);
    if (c->hand >= c->slices->len) c->hand = 0;
}

VitQcow2Slice *vit_qcow2_cache_peek(VitQcow2Cache *c, uint64_t offset)
{
    VitQcow2Slice *s = find(c, offset);

    if (!s || s->loading) return NULL;
    s->used = true;
    return s;
}

int vit_qcow2_cache_get(VitQcow2 *q, VitQcow2Cache *c, uint64_t offset, VitQcow2Slice **slice)
{
    VitBlockNode *file = q->parent.file->node;
    VitQcow2Slice *s;

    while ((s = find(c, offset)) && s->loading) vit_fiber_cond_wait(&q->loaded, NULL);
    if (s) {
        s->pins++;
        s->used = true;
        *slice = s;
        return 0;
    }
    s = add(c, offset);
    if (!s) return -ENOMEM;
    s->loading = true;
    vit_co_event(file, c == &q->l2 ? VIT_EVENT_L2_LOAD : VIT_EVENT_REFBLOCK_LOAD);
    int result = vit_co_read(file, offset, s->table, c->slice_size);
    s->loading = false;
    vit_fiber_cond_wake_all(&q->loaded);
    if (result < 0) {
        drop(c, s);
        return result;
    }
    *slice = s;
    return 0;
}

VitQcow2Slice *vit_qcow2_cache_new(VitQcow2Cache *c, uint64_t offset, bool fresh)
{
    VitQcow2Slice *s = find(c, offset);

    if (s) s->pins++;
    else s = add(c, offset);
    if (!s) return NULL;
    memset(s->table, 0, c->slice_size);
    s->fresh = fresh;
    vit_qcow2_cache_dirty(c, s, 0, c->slice_size);
    return s;
}

void vit_qcow2_cache_dirty(VitQcow2Cache *c, VitQcow2Slice *s, unsigned at, unsigned bytes)
{
    unsigned first = at >> c->page_bits, last = (at + bytes - 1) >> c->page_bits;
    uint64_t mask = last - first == 63 ? UINT64_MAX : ((UINT64_C(1) << (last - first + 1)) - 1);

    if (!s->dirty) c->n_dirty++;
    s->dirty |= mask << first;
}

void vit_qcow2_cache_forget(VitQcow2Cache *c, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = offset & ~(uint64_t)(c->slice_size - 1); at < offset + bytes;
         at += c->slice_size) {
        VitQcow2Slice *s = find(c, at);
        if (!s || s->loading) continue;
        if (s->dirty) c->n_dirty--;
        s->dirty = 0;
        if (!s->pins) drop(c, s);
    }
}

void vit_qcow2_cache_clean(VitQcow2Cache *c, bool all)
{
    for (guint i = c->slices->len; i-- > 0;) {
        VitQcow2Slice *s = c->slices->pdata[i];
        if (s->pins || s->dirty || s->loading) continue;
        if (s->used && !all) s->used = false;
        else drop(c, s);
    }
}
