/* engine/core/view.c - the flattened view of a region tree, its publication, descriptions
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rendering goes from the highest priority to the lowest and fills only what is still free, so each
 * address is decided once.  Positions are 128 bits wide: an alias may put its target's byte 0
 * below address 0, a region may end at 2^64. */
#include "engine/core/memory-private.h"

#include <string.h>

enum { MAX_RENDER_DEPTH = 64, MAX_RANGES = 1 << 16 };

typedef __int128 Position;

typedef struct {
    GArray *ranges;     /* of FlatRange, sorted, disjoint */
} Render;

static FlatRange make_range(const VitRegion *region, Position base, uint64_t start, uint64_t last,
                            bool readonly)
{
    uint64_t offset = (uint64_t) ((Position) start - base);
    return (FlatRange) {
        .start = start, .last = last, .region = region, .ram = region->ram,
        .ram_offset = region->ram_offset + offset, .ops = region->ops, .opaque = region->opaque,
        .offset = offset, .readonly = region->ram && (readonly || region->readonly),
    };
}

/* Puts region's own content into the free parts of [low, high). */
static void fill(Render *r, const VitRegion *region, Position base, Position low, Position high,
                 bool readonly)
{
    if (region->ram) {      /* never beyond the block */
        uint64_t size = region->ram_offset < region->ram->size
                            ? region->ram->size - region->ram_offset : 0;
        high = MIN(high, base + (Position) size);
    }
    guint i = 0, top = r->ranges->len;
    while (i < top) {       /* first range that ends at or after low */
        guint mid = (i + top) / 2;
        if ((Position) g_array_index(r->ranges, FlatRange, mid).last < low)
            i = mid + 1;
        else
            top = mid;
    }
    while (low < high && r->ranges->len < MAX_RANGES) {
        Position gap_end = high;
        if (i < r->ranges->len)
            gap_end = MIN(high, (Position) g_array_index(r->ranges, FlatRange, i).start);
        if (low < gap_end) {
            FlatRange range = make_range(region, base, (uint64_t) low, (uint64_t) (gap_end - 1),
                                         readonly);
            g_array_insert_val(r->ranges, i, range);
            i++;
        }
        if (i >= r->ranges->len)
            break;
        low = (Position) g_array_index(r->ranges, FlatRange, i).last + 1;
        i++;
    }
}

/* base: where region's byte 0 would lie; [low, high): what may be seen of it. */
static void render(Render *r, const VitRegion *region, Position base, Position low, Position high,
                   bool readonly, unsigned depth)
{
    low = MAX(low, base);
    high = MIN(high, base + (Position) region->size);
    if (!region->enabled || low >= high || depth > MAX_RENDER_DEPTH)
        return;
    for (guint i = 0; i < region->children->len; i++) {
        const VitRegion *child = region->children->pdata[i];
        render(r, child, base + (Position) child->offset, low, high, readonly || region->readonly,
               depth + 1);
    }
    if (region->kind == REGION_ALIAS) {
        if (region->target)
            render(r, region->target, base - (Position) region->alias_offset, low, high,
                   readonly || region->readonly, depth + 1);
    } else if (region->kind != REGION_CONTAINER) {
        fill(r, region, base, low, high, readonly);
    }
}

static bool continues(const FlatRange *a, const FlatRange *b)
{
    if (a->last + 1 != b->start || a->readonly != b->readonly || a->ram != b->ram)
        return false;
    uint64_t length = b->start - a->start;
    if (a->ram)
        return a->ram_offset + length == b->ram_offset;
    return a->region && a->region == b->region && a->offset + length == b->offset;
}

static void append(GArray *out, FlatRange range)
{
    if (out->len) {
        FlatRange *last = &g_array_index(out, FlatRange, out->len - 1);
        if (continues(last, &range)) {
            last->last = range.last;
            return;
        }
    }
    g_array_append_val(out, range);
}

FlatView *vit_flat_view_new(const VitRegion *root)
{
    Render r = { g_array_new(FALSE, FALSE, sizeof(FlatRange)) };
    if (root)
        render(&r, root, 0, 0, (Position) 1 << 64, false, 0);

    /* Join what continues and make the gaps ranges of their own. */
    GArray *all = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    uint64_t next = 0;
    bool full = false;      /* the last range ended at 2^64 */
    for (guint i = 0; i < r.ranges->len; i++) {
        FlatRange range = g_array_index(r.ranges, FlatRange, i);
        if (range.start > next)
            append(all, (FlatRange) { .start = next, .last = range.start - 1 });
        append(all, range);
        next = range.last + 1;
        full = next == 0;
    }
    if (!full)
        append(all, (FlatRange) { .start = next, .last = UINT64_MAX });
    g_array_unref(r.ranges);

    FlatView *view = g_new0(FlatView, 1);
    view->n = all->len;
    view->starts = g_new(uint64_t, all->len);
    view->ranges = (FlatRange *) (void *) g_array_free(all, FALSE);
    for (uint32_t i = 0; i < view->n; i++)
        view->starts[i] = view->ranges[i].start;
    return view;
}

void vit_flat_view_free(FlatView *view)
{
    g_free(view->starts);
    g_free(view->ranges);
    g_free(view);
}

static void free_retired(struct rcu_head *head)
{
    FlatView *view = (FlatView *) (void *) ((char *) head - offsetof(FlatView, rcu));
    VIT_RCU_TSAN_ACQUIRE(view);
    vit_flat_view_free(view);
}

/* ---- Publication ----------------------------------------------------------------------------- */

/* Tells blocks that came into view and those that left it whom to notify. */
static void register_rams(VitAddressSpace *as, const FlatView *view)
{
    GPtrArray *now = g_ptr_array_new(), *before = as->rams;
    for (uint32_t i = 0; view && i < view->n; i++) {
        VitRam *ram = view->ranges[i].ram;
        if (ram && !g_ptr_array_find(now, ram, NULL)) {
            g_ptr_array_add(now, ram);
            if (!g_ptr_array_find(before, ram, NULL))
                vit_ram_add_space(ram, as);
        }
    }
    pthread_mutex_lock(&as->listener_mutex);
    as->rams = now;
    pthread_mutex_unlock(&as->listener_mutex);
    for (guint i = 0; i < before->len; i++)
        if (!g_ptr_array_find(now, before->pdata[i], NULL))
            vit_ram_remove_space(before->pdata[i], as);
    g_ptr_array_unref(before);
}

static bool same_range(const FlatRange *a, const FlatRange *b)
{
    return a->start == b->start && a->last == b->last && a->region == b->region && a->ram == b->ram
           && a->ram_offset == b->ram_offset && a->ops == b->ops && a->opaque == b->opaque
           && a->offset == b->offset && a->readonly == b->readonly;
}

static bool same_view(const FlatView *a, const FlatView *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!same_range(&a->ranges[i], &b->ranges[i]))
            return false;
    return true;
}

static void notify(VitAddressSpace *as, VitRam *ram, uint64_t offset, uint64_t size)
{
    pthread_mutex_lock(&as->listener_mutex);
    for (guint i = 0; i < as->listeners->len; i++) {
        AsListener *l = &g_array_index(as->listeners, AsListener, i);
        l->fn(l->opaque, ram, offset, size);
    }
    pthread_mutex_unlock(&as->listener_mutex);
}

void vit_as_notify_ram(VitAddressSpace *as, VitRam *ram, uint64_t offset, uint64_t size)
{
    notify(as, ram, offset, size);
}

static void publish(VitAddressSpace *as)
{
    FlatView *view = vit_flat_view_new(as->root), *old = as->view;
    if (same_view(view, old)) {
        vit_flat_view_free(view);
        return;
    }
    register_rams(as, view);
    vit_rcu_publish(as->view, view);
    __atomic_fetch_add(&as->generation, 1, __ATOMIC_SEQ_CST);
    vit_rcu_retire(old, &old->rcu, free_retired);
    notify(as, NULL, 0, 0);
}

void vit_as_changed(VitAddressSpace *as)
{
    if (as->depth)
        as->pending = true;
    else
        publish(as);
}

void vit_as_begin(VitAddressSpace *as)
{
    as->depth++;
}

void vit_as_commit(VitAddressSpace *as)
{
    if (as->depth == 0) {
        g_critical("address space \"%s\": commit without begin", as->name);
        return;
    }
    if (--as->depth == 0 && as->pending) {
        as->pending = false;
        publish(as);
    }
}

/* ---- Address spaces -------------------------------------------------------------------------- */

VitAddressSpace *vit_as_new(const char *name, VitRegion *root)
{
    VitAddressSpace *as = g_new0(VitAddressSpace, 1);
    as->name = g_strdup(name);
    as->root = root;
    as->rams = g_ptr_array_new();
    as->listeners = g_array_new(FALSE, FALSE, sizeof(AsListener));
    pthread_mutex_init(&as->listener_mutex, NULL);
    g_ptr_array_add(root->spaces, as);
    as->view = vit_flat_view_new(root);
    register_rams(as, as->view);
    as->generation = 1;
    return as;
}

void vit_as_free(VitAddressSpace *as)
{
    if (!as)
        return;
    if (as->root)
        g_ptr_array_remove_fast(as->root->spaces, as);
    register_rams(as, NULL);
    vit_rcu_retire(as->view, &as->view->rcu, free_retired);
    g_ptr_array_unref(as->rams);
    g_array_unref(as->listeners);
    pthread_mutex_destroy(&as->listener_mutex);
    g_free(as->name);
    g_free(as);
}

void vit_as_set_lock(VitAddressSpace *as, GRecMutex *lock)
{
    as->lock = lock;
}

uint64_t vit_as_generation(const VitAddressSpace *as)
{
    return __atomic_load_n(&as->generation, __ATOMIC_SEQ_CST);
}

void vit_as_add_listener(VitAddressSpace *as, VitAsListener fn, void *opaque)
{
    AsListener listener = { fn, opaque };
    pthread_mutex_lock(&as->listener_mutex);
    g_array_append_val(as->listeners, listener);
    pthread_mutex_unlock(&as->listener_mutex);
}

void vit_as_remove_listener(VitAddressSpace *as, VitAsListener fn, void *opaque)
{
    pthread_mutex_lock(&as->listener_mutex);
    for (guint i = 0; i < as->listeners->len; i++) {
        AsListener *l = &g_array_index(as->listeners, AsListener, i);
        if (l->fn == fn && l->opaque == opaque) {
            g_array_remove_index(as->listeners, i);
            break;
        }
    }
    pthread_mutex_unlock(&as->listener_mutex);
}

char *vit_as_describe(VitAddressSpace *as)
{
    GString *text = g_string_new(NULL);
    for (uint32_t i = 0; i < as->view->n; i++) {
        const FlatRange *r = &as->view->ranges[i];
        if (!r->region)
            continue;
        g_string_append_printf(text, "%016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER "x %s %s",
                               r->start, r->last, !r->ram ? "mmio" : r->readonly ? "rom " : "ram ",
                               r->region->name);
        if (r->ram)
            g_string_append_printf(text, " (%s + %#" G_GINT64_MODIFIER "x)", r->ram->name,
                                   r->ram_offset);
        else if (r->offset)
            g_string_append_printf(text, " + %#" G_GINT64_MODIFIER "x", r->offset);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}
