/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/blocks.c - finding translated blocks, linking them, dropping those whose bytes changed
 *
 * Blocks are found by physical page: a "view" names a pair of linear and physical page, and the
 * exec TLB holds the view that an address shows now.  Direct jumps within a page need no check;
 * those to another page compare the exec TLB's view with the one they were linked for. */
#include "engine/jit/jit-private.h"

static unsigned hash_of(uint32_t view, uint64_t pc, uint64_t mode)
{
    uint64_t h = (pc ^ (uint64_t) view << 12 ^ mode << 40) * 0x9e3779b97f4a7c15;
    return (unsigned) (h >> (64 - JIT_HASH_BITS));
}

JitPage *jit_page_get(JitAccel *a, VitRam *ram, uint64_t offset)
{
    uint8_t *host = ram->host + (offset & ~(uint64_t) (VIT_PAGE_SIZE - 1));
    JitPage *page = g_hash_table_lookup(a->pages, host);

    if (!page) {
        page = g_new0(JitPage, 1);
        page->ram = ram;
        page->offset = offset & ~(uint64_t) (VIT_PAGE_SIZE - 1);
        g_hash_table_insert(a->pages, host, page);
    }
    return page;
}

uint32_t jit_view_get(JitAccel *a, JitPage *page, uint64_t linear)
{
    uint64_t base = linear & ~(uint64_t) (VIT_PAGE_SIZE - 1);

    for (uint32_t v = page->views; v; v = a->views[v].next) {
        if (a->views[v].linear == base)
            return v;
    }
    if (a->n_views == JIT_MAX_VIEWS)
        return 0;       /* a guest that maps code everywhere runs it uncached */
    if (a->n_views == a->max_views) {
        a->max_views *= 2;
        a->views = g_renew(JitView, a->views, a->max_views);
        a->view_page = g_renew(JitPage *, a->view_page, a->max_views);
    }
    uint32_t id = a->n_views++;
    a->views[id] = (JitView) { base, id, page->views };
    a->view_page[id] = page;
    page->views = id;
    return id;
}

JitBlock *jit_block_find(JitAccel *a, uint32_t view, uint64_t pc, uint64_t mode)
{
    for (JitBlock *b = a->hash[hash_of(view, pc, mode)]; b; b = b->hash_next) {
        if (b->pc == pc && b->view == view && b->mode == mode)
            return b;
    }
    return NULL;
}

/* Which of the block's pages that is. */
static unsigned slot_of(const JitBlock *b, const JitPage *page)
{
    return b->page[0] != page;
}

static void leave_page(JitBlock *b, unsigned k)
{
    JitPage *page = b->page[k];
    JitBlock *next = b->page_next[k], *prev = b->page_prev[k];

    if (next)
        next->page_prev[slot_of(next, page)] = prev;
    if (prev)
        prev->page_next[slot_of(prev, page)] = next;
    else
        page->blocks = next;
}

/* First byte on its page, and how many there. */
static void extent(const JitAccel *a, const JitBlock *b, unsigned which, unsigned *from,
                   unsigned *to)
{
    unsigned at = (unsigned) vit_mode_linear(b->mode, b->pc) & (VIT_PAGE_SIZE - 1);
    unsigned end = at + b->size;

    *from = which ? 0 : at;
    *to = which ? end - VIT_PAGE_SIZE : MIN(end, VIT_PAGE_SIZE);
}

static uint64_t chunk_mask(unsigned from, unsigned to)     /* from < to */
{
    return ~0ULL << (from / 64) & ~0ULL >> (63 - (to - 1) / 64);
}

uint32_t jit_check_bytes(const uint8_t *p, unsigned n, uint32_t seed)
{
    uint64_t h = seed + 0x9e3779b97f4a7c15u;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w;
        __builtin_memcpy(&w, p, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; n; n--, p++)
        h = (h ^ *p) * 0x100000001b3u;
    h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;  /* the last word's upper half must reach the result */
    return (uint32_t) (h >> 32);
}

static uint32_t check_now(const JitAccel *a, const JitBlock *b)
{
    uint32_t check = 0;

    for (unsigned k = 0; k < 2 && b->page[k]; k++) {
        unsigned from, to;
        extent(a, b, k, &from, &to);
        check = jit_check_bytes(b->page[k]->ram->host + b->page[k]->offset + from, to - from,
                                check);
    }
    return check;
}

void jit_block_insert(JitAccel *a, JitBlock *b, JitPage *first, JitPage *second)
{
    JitPage *pages[2] = { first, second };
    unsigned h = hash_of(b->view, b->pc, b->mode);

    for (unsigned k = 0; k < 2 && pages[k]; k++) {
        unsigned from, to;
        extent(a, b, k, &from, &to);
        b->page[k] = pages[k];
        b->page_next[k] = pages[k]->blocks;
        b->page_prev[k] = NULL;
        if (pages[k]->blocks)
            pages[k]->blocks->page_prev[slot_of(pages[k]->blocks, pages[k])] = b;
        pages[k]->blocks = b;
        pages[k]->chunks |= chunk_mask(from, to);
    }
    b->check = check_now(a, b);
    b->hash_next = a->hash[h];
    a->hash[h] = b;
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void unlink_exit(JitAccel *a, JitBlock *b, unsigned n)
{
    JitExit *e = &b->exit[n];
    JitBlock *target = e->target;

    if (!target)
        return;
    if (e->next_from) {
        JitExit *next = &e->next_from->exit[e->next_n];
        next->prev_from = e->prev_from;
        next->prev_n = e->prev_n;
    }
    if (e->prev_from) {
        JitExit *prev = &e->prev_from->exit[e->prev_n];
        prev->next_from = e->next_from;
        prev->next_n = e->next_n;
    } else {
        target->from = e->next_from;
        target->from_n = e->next_n;
    }
    e->target = NULL;
    jit_host_patch(a, b, e, NULL);
}

void jit_block_link(JitAccel *a, JitBlock *from, unsigned n, JitBlock *to)
{
    JitExit *e = &from->exit[n];

    if (!a->options.chain || from->dead || to->dead || to->single || e->target || !e->site ||
        e->pc != to->pc || from->mode != to->mode)
        return;
    if (from->single || to->view2 ||
        (e->guarded ? e->view && e->view != to->view : from->view != to->view)) {
        jit_host_unlinkable(a, from, e);
        return;
    }
    e->view = to->view;
    e->target = to;
    e->next_from = to->from;
    e->next_n = to->from_n;
    e->prev_from = NULL;
    if (to->from) {
        to->from->exit[to->from_n].prev_from = from;
        to->from->exit[to->from_n].prev_n = (uint8_t) n;
    }
    to->from = from;
    to->from_n = (uint8_t) n;
    jit_host_patch(a, from, e, to);
}

void jit_block_kill(JitAccel *a, JitBlock *b)
{
    if (b->dead)
        return;
    b->dead = true;
    if (b->code)
        jit_host_kill(a, b);
    if (!b->page[0])
        return;             /* never was in the tables */
    JitBlock **at = &a->hash[hash_of(b->view, b->pc, b->mode)];
    while (*at != b)
        at = &(*at)->hash_next;
    *at = b->hash_next;
    for (unsigned k = 0; k < 2 && b->page[k]; k++)
        leave_page(b, k);
    while (b->from)
        unlink_exit(a, b->from, b->from_n);
    for (unsigned n = 0; n < 2; n++)
        unlink_exit(a, b, n);
}

/* ---- Stores to pages with code --------------------------------------------------------------- */

/* Drops what the bytes [from, to) of the page changed. */
static void written(JitAccel *a, JitPage *page, unsigned from, unsigned to)
{
    uint64_t mask = chunk_mask(from, to), left = 0;

    page->writes++;
    if (page->chunks & mask) {
        for (JitBlock *b = page->blocks, *next; b; b = next) {
            unsigned which = slot_of(b, page), first, last;
            next = b->page_next[which];
            extent(a, b, which, &first, &last);
            if (first < to && from < last && check_now(a, b) != b->check) {
                page->invalidations++;
                jit_block_kill(a, b);
            } else {
                left |= chunk_mask(first, last);
            }
        }
        page->chunks = left;
    }
    if (!page->blocks)
        vit_ram_set_dirty(page->ram, VIT_DIRTY_CODE, page->offset, VIT_PAGE_SIZE);
}

void jit_code_written(void *opaque, VitRam *ram, uint64_t offset, uint64_t size)
{
    JitAccel *a = opaque;
    uint64_t end = offset + size;

    g_mutex_lock(&a->lock);
    while (offset < end) {
        uint64_t base = offset & ~(uint64_t) (VIT_PAGE_SIZE - 1);
        uint64_t stop = MIN(end, base + VIT_PAGE_SIZE);
        JitPage *page = g_hash_table_lookup(a->pages, ram->host + base);
        if (page)
            written(a, page, (unsigned) (offset - base), (unsigned) (stop - base));
        offset = stop;
    }
    g_mutex_unlock(&a->lock);
}

/* A store beneath the running block's own feet is done by a block of that one instruction. */
void jit_code_store(VitCpu *cpu, VitRam *ram, uint64_t offset, uint64_t size)
{
    JitCpu *jc = jit_cpu(cpu);
    JitAccel *a = jc->accel;

    if (!cpu->in_block)
        return;
    g_mutex_lock(&a->lock);
    JitBlock *b = a->interp ? jc->running : jit_cache_find_host(a, cpu->jit_return);
    bool hit = false;
    if (b && !b->single) {
        for (unsigned k = 0; k < 2 && b->page[k]; k++) {
            unsigned from, to;
            extent(a, b, k, &from, &to);
            hit |= b->page[k]->ram == ram && offset < b->page[k]->offset + to &&
                   b->page[k]->offset + from < offset + size;
        }
    }
    g_mutex_unlock(&a->lock);
    if (!hit)
        return;
    jc->single = jc->restart = true;
    vit_cpu_unwind(cpu);
}
