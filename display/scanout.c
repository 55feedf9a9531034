/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/scanout.c - see scanout.h
 *
 * Two locks: `lock` guards the picture and is never held across a callback; `listeners_lock` is
 * held while listeners are called, so that removal waits for a callback that runs.  A listener may
 * read the scanout but not add or remove listeners. */
#include "display/scanout.h"

#include <string.h>

enum { MAX_CURSOR = 256 };

typedef struct { const VitScanoutListener *ops; void *opaque; } Listener;

struct VitScanout {
    char                     *name;         /* owned */
    const VitScanoutProducer *ops;          /* borrowed */
    void                     *producer;     /* borrowed */
    GMutex      lock;
    VitSurface *surface;                    /* owned, or NULL; this and below guarded by lock */
    VitCursor  *cursor;                     /* owned, or NULL */
    int         cursor_x, cursor_y;
    bool        cursor_visible;
    GRecMutex   listeners_lock;
    GArray     *listeners;                  /* of Listener; guarded by listeners_lock */
};

VitScanout *vit_scanout_new(const char *name, const VitScanoutProducer *ops, void *producer)
{
    VitScanout *s = g_new0(VitScanout, 1);
    s->name = g_strdup(name);
    s->ops = ops;
    s->producer = producer;
    s->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    g_mutex_init(&s->lock);
    g_rec_mutex_init(&s->listeners_lock);
    return s;
}

void vit_scanout_free(VitScanout *s)
{
    if (!s)
        return;
    vit_surface_unref(s->surface);
    g_free(s->cursor);
    g_array_unref(s->listeners);
    g_mutex_clear(&s->lock);
    g_rec_mutex_clear(&s->listeners_lock);
    g_free(s->name);
    g_free(s);
}

const char *vit_scanout_name(const VitScanout *s)
{
    return s->name;
}

/* Runs `call` for each listener that has the member, with l bound to it. */
#define TELL(s, member, ...)                                                                       \
    do {                                                                                           \
        g_rec_mutex_lock(&(s)->listeners_lock);                                                    \
        for (guint i_ = 0; i_ < (s)->listeners->len; i_++) {                                       \
            const Listener *l_ = &g_array_index((s)->listeners, Listener, i_);                     \
            if (l_->ops->member)                                                                   \
                l_->ops->member(l_->opaque __VA_OPT__(, ) __VA_ARGS__);                            \
        }                                                                                          \
        g_rec_mutex_unlock(&(s)->listeners_lock);                                                  \
    } while (0)

void vit_scanout_set_surface(VitScanout *s, VitSurface *surface)
{
    if (surface)
        vit_surface_ref(surface);
    g_mutex_lock(&s->lock);
    VitSurface *old = s->surface;
    s->surface = surface;
    g_mutex_unlock(&s->lock);
    vit_surface_unref(old);
    TELL(s, surface_changed);
}

void vit_scanout_damage(VitScanout *s, VitRect r)
{
    g_mutex_lock(&s->lock);
    int width = s->surface ? s->surface->width : 0, height = s->surface ? s->surface->height : 0;
    g_mutex_unlock(&s->lock);

    int64_t x0 = MAX(r.x, 0), y0 = MAX(r.y, 0);
    int64_t x1 = MIN((int64_t) r.x + r.width, width), y1 = MIN((int64_t) r.y + r.height, height);
    if (x0 >= x1 || y0 >= y1)
        return;
    VitRect clipped = { (int) x0, (int) y0, (int) (x1 - x0), (int) (y1 - y0) };
    TELL(s, damaged, clipped);
}

void vit_scanout_set_cursor(VitScanout *s, const VitCursor *cursor)
{
    VitCursor *copy = NULL;

    if (cursor && cursor->width > 0 && cursor->height > 0 && cursor->width <= MAX_CURSOR &&
        cursor->height <= MAX_CURSOR)
        copy = g_memdup2(cursor,
                         sizeof *cursor + (size_t) cursor->width * (size_t) cursor->height * 4);
    g_mutex_lock(&s->lock);
    VitCursor *old = s->cursor;
    s->cursor = copy;
    g_mutex_unlock(&s->lock);
    g_free(old);
    TELL(s, cursor_changed);
}

void vit_scanout_move_cursor(VitScanout *s, int x, int y, bool visible)
{
    g_mutex_lock(&s->lock);
    bool toggled = s->cursor_visible != visible;
    s->cursor_x = x;
    s->cursor_y = y;
    s->cursor_visible = visible;
    g_mutex_unlock(&s->lock);
    if (toggled)
        TELL(s, cursor_changed);
    TELL(s, cursor_moved, x, y);
}

VitSurface *vit_scanout_ref_surface(VitScanout *s)
{
    g_mutex_lock(&s->lock);
    VitSurface *surface = s->surface ? vit_surface_ref(s->surface) : NULL;
    g_mutex_unlock(&s->lock);
    return surface;
}

VitCursor *vit_scanout_copy_cursor(VitScanout *s, int *x, int *y, bool *visible)
{
    VitCursor *copy = NULL;

    g_mutex_lock(&s->lock);
    if (s->cursor)
        copy = g_memdup2(s->cursor,
                         sizeof *copy + (size_t) s->cursor->width * (size_t) s->cursor->height * 4);
    if (x)
        *x = s->cursor_x;
    if (y)
        *y = s->cursor_y;
    if (visible)
        *visible = s->cursor_visible && s->cursor;
    g_mutex_unlock(&s->lock);
    return copy;
}

void vit_scanout_refresh(VitScanout *s)
{
    if (s->ops && s->ops->refresh)
        s->ops->refresh(s->producer);
}

void vit_scanout_request_size(VitScanout *s, int width, int height, int width_mm, int height_mm)
{
    if (s->ops && s->ops->resize)
        s->ops->resize(s->producer, width, height, width_mm, height_mm);
}

void vit_scanout_add_listener(VitScanout *s, const VitScanoutListener *listener, void *opaque)
{
    Listener l = { listener, opaque };
    g_rec_mutex_lock(&s->listeners_lock);
    g_array_append_val(s->listeners, l);
    g_rec_mutex_unlock(&s->listeners_lock);
}

void vit_scanout_remove_listener(VitScanout *s, const VitScanoutListener *listener, void *opaque)
{
    g_rec_mutex_lock(&s->listeners_lock);
    for (guint i = 0; i < s->listeners->len; i++) {
        const Listener *l = &g_array_index(s->listeners, Listener, i);
        if (l->ops == listener && l->opaque == opaque) {
            g_array_remove_index(s->listeners, i);
            break;
        }
    }
    g_rec_mutex_unlock(&s->listeners_lock);
}
