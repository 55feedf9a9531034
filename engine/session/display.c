/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/session/display.c - VitDisplay: a scanout and the input hub, brought to one main context
 *
 * Scanout callbacks come on engine threads: they merge damage under a leaf lock and schedule one
 * dispatch on the object's context. */
#include "engine/session/session-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

enum { CHANGED_DAMAGE = 1, CHANGED_SURFACE = 2, CHANGED_CURSOR = 4 };
enum { MAX_KEYS = 768, ABSOLUTE_MAX = 32767 };

struct _VitDisplay {
    GObject       parent;
    GMainContext *context;          /* owned */
    VitScanout   *scanout;          /* borrowed from the engine; NULL after detach */
    VitInputHub  *input;            /* borrowed; NULL after detach */
    GMutex        lock;             /* leaf: changed, damage, source */
    unsigned      changed;
    VitRect       damage;
    GSource      *source;           /* scheduled dispatch, owned */
    int           width, height;
    bool          absolute;
    unsigned      leds;
    bool          leds_reported;
    double        scroll_x, scroll_y;   /* fractions of 1/120 detent not yet sent */
    double        rel_x, rel_y;
    guint8        down[MAX_KEYS];   /* keys and buttons that the guest believes pressed */
};
G_DEFINE_FINAL_TYPE(VitDisplay, vit_display, G_TYPE_OBJECT)

enum { PROP_WIDTH = 1, PROP_HEIGHT, PROP_ABSOLUTE, PROP_LEDS, PROP_LEDS_REPORTED, N_PROPS };
static GParamSpec *props[N_PROPS];
enum { SIGNAL_DAMAGED, SIGNAL_SURFACE, SIGNAL_CURSOR, N_SIGNALS };
static guint signals[N_SIGNALS];

/* ---- From the scanout ---------------------------------------------------------------------- */

static void read_size(VitDisplay *d)
{
    g_autoptr(VitSurface) surface = d->scanout ? vit_scanout_ref_surface(d->scanout) : NULL;
    int width = surface ? surface->width : 0, height = surface ? surface->height : 0;

    g_object_freeze_notify(G_OBJECT(d));
    if (width != d->width) {
        d->width = width;
        g_object_notify_by_pspec(G_OBJECT(d), props[PROP_WIDTH]);
    }
    if (height != d->height) {
        d->height = height;
        g_object_notify_by_pspec(G_OBJECT(d), props[PROP_HEIGHT]);
    }
    g_object_thaw_notify(G_OBJECT(d));
}

static void read_input_state(VitDisplay *d)
{
    bool absolute = d->input && vit_input_hub_has_absolute(d->input);
    unsigned leds = d->input ? vit_input_hub_leds(d->input) : 0;

    if (absolute != d->absolute) {
        d->absolute = absolute;
        g_object_notify_by_pspec(G_OBJECT(d), props[PROP_ABSOLUTE]);
    }
    if (d->input && vit_input_hub_leds_reported(d->input) != d->leds_reported) {
        d->leds_reported = !d->leds_reported;
        g_object_notify_by_pspec(G_OBJECT(d), props[PROP_LEDS_REPORTED]);
    }
    if (leds != d->leds) {
        d->leds = leds;
        g_object_notify_by_pspec(G_OBJECT(d), props[PROP_LEDS]);
    }
}

static gboolean dispatch(void *opaque)
{
    g_autoptr(VitDisplay) d = g_object_ref(opaque);

    g_mutex_lock(&d->lock);
    unsigned changed = d->changed;
    VitRect r = d->damage;
    d->changed = 0;
    g_clear_pointer(&d->source, g_source_unref);
    g_mutex_unlock(&d->lock);
    if (changed & CHANGED_SURFACE) {
        read_size(d);
        g_signal_emit(d, signals[SIGNAL_SURFACE], 0);
    }
    if (changed & CHANGED_CURSOR)
        g_signal_emit(d, signals[SIGNAL_CURSOR], 0);
    if (changed & CHANGED_DAMAGE)
        g_signal_emit(d, signals[SIGNAL_DAMAGED], 0, r.x, r.y, r.width, r.height);
    return G_SOURCE_REMOVE;
}

static VitRect unite(VitRect a, VitRect b)
{
    int x = MIN(a.x, b.x), y = MIN(a.y, b.y);

    return (VitRect) { x, y, MAX(a.x + a.width, b.x + b.width) - x,
                       MAX(a.y + a.height, b.y + b.height) - y };
}

static void note(VitDisplay *d, unsigned what, const VitRect *rect)
{
    g_mutex_lock(&d->lock);
    if (rect)
        d->damage = d->changed & CHANGED_DAMAGE ? unite(d->damage, *rect) : *rect;
    d->changed |= what;
    if (!d->source) {
        d->source = g_idle_source_new();
        g_source_set_priority(d->source, G_PRIORITY_DEFAULT);
        g_source_set_callback(d->source, dispatch, g_object_ref(d), g_object_unref);
        g_source_attach(d->source, d->context);
    }
    g_mutex_unlock(&d->lock);
}

static void on_surface(void *opaque) { note(opaque, CHANGED_SURFACE, NULL); }
static void on_damage(void *opaque, VitRect rect) { note(opaque, CHANGED_DAMAGE, &rect); }
static void on_cursor(void *opaque) { note(opaque, CHANGED_CURSOR, NULL); }
static void on_cursor_moved(void *opaque, int x, int y) { note(opaque, CHANGED_CURSOR, NULL); }

static const VitScanoutListener listener = {
    .surface_changed = on_surface, .damaged = on_damage,
    .cursor_changed = on_cursor, .cursor_moved = on_cursor_moved,
};

VitDisplay *session_display_new(VitScanout *scanout, VitInputHub *input)
{
    VitDisplay *d = g_object_new(VIT_TYPE_DISPLAY, NULL);

    d->scanout = scanout;
    d->input = input;
    read_size(d);
    vit_scanout_add_listener(scanout, &listener, d);
    return d;
}

void session_display_detach(VitDisplay *d)
{
    vit_display_release_all(d);
    vit_scanout_remove_listener(d->scanout, &listener, d);
    d->scanout = NULL;
    d->input = NULL;
    read_size(d);
    g_signal_emit(d, signals[SIGNAL_SURFACE], 0);
}

/* ---- Pictures ------------------------------------------------------------------------------ */

GBytes *vit_display_get_pixels(VitDisplay *d, int *width, int *height, int *stride, int *format)
{
    static const int formats[] = { [VIT_PIXEL_XRGB8888] = 0, [VIT_PIXEL_ARGB8888] = 1,
                                   [VIT_PIXEL_XBGR8888] = 2, [VIT_PIXEL_ABGR8888] = 3,
                                   [VIT_PIXEL_RGB565] = 4 };
    VitSurface *surface = d->scanout ? vit_scanout_ref_surface(d->scanout) : NULL;

    if (!surface)
        return NULL;
    *width = surface->width;
    *height = surface->height;
    *stride = surface->stride;
    *format = formats[surface->format];
    return g_bytes_new_with_free_func(surface->pixels,
                                      (gsize) surface->stride * (gsize) surface->height,
                                      (GDestroyNotify) vit_surface_unref, surface);
}

GBytes *vit_display_get_cursor(VitDisplay *d, int *width, int *height, int *hot_x, int *hot_y,
                               int *x, int *y, gboolean *visible)
{
    bool shown = false;
    VitCursor *cursor = d->scanout ? vit_scanout_copy_cursor(d->scanout, x, y, &shown) : NULL;

    *visible = shown;
    if (!cursor)
        return NULL;
    *width = cursor->width;
    *height = cursor->height;
    *hot_x = cursor->hot_x;
    *hot_y = cursor->hot_y;
    return g_bytes_new_with_free_func(
        cursor->argb, (gsize) cursor->width * (gsize) cursor->height * 4, g_free, cursor);
}

void vit_display_refresh(VitDisplay *d)
{
    if (d->scanout)
        vit_scanout_refresh(d->scanout);
    read_input_state(d);
}

void vit_display_request_size(VitDisplay *d, int width, int height, int width_mm, int height_mm)
{
    if (d->scanout)
        vit_scanout_request_size(d->scanout, width, height, width_mm, height_mm);
}

typedef struct { VitSurface *surface; char *path; } Screenshot;

static void screenshot_free(void *opaque)
{
    Screenshot *shot = opaque;

    vit_surface_unref(shot->surface);
    g_free(shot->path);
    g_free(shot);
}

static void save(GTask *task, void *source, void *data, GCancellable *cancellable)
{
    Screenshot *shot = data;
    GError *error = NULL;

    if (vit_surface_save(shot->surface, shot->path, &error))
        g_task_return_pointer(task, g_strdup(shot->path), g_free);
    else
        g_task_return_error(task, error);
}

void vit_display_save_screenshot_async(VitDisplay *d, const char *path,
                                       GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) task = g_task_new(d, NULL, callback, data);
    VitSurface *surface = d->scanout ? vit_scanout_ref_surface(d->scanout) : NULL;

    if (!surface) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                                _("The machine shows no picture at present"));
        return;
    }
    Screenshot *shot = g_new(Screenshot, 1);
    *shot = (Screenshot) { surface, g_strdup(path) };
    g_task_set_task_data(task, shot, screenshot_free);
    g_task_run_in_thread(task, save);
}

char *vit_display_save_screenshot_finish(VitDisplay *d, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

/* ---- Input --------------------------------------------------------------------------------- */

static void send(VitDisplay *d, VitInputKind kind, unsigned code, int value, int value2)
{
    VitInputEvent event = { kind, (uint16_t) code, value, value2 };

    if (d->input)
        vit_input_hub_send(d->input, &event, 1);
}

static void press(VitDisplay *d, VitInputKind kind, unsigned code, bool down)
{
    if (code >= MAX_KEYS || (!down && !d->down[code]))
        return;
    d->down[code] = down ? (guint8) (kind + 1) : 0;
    send(d, kind, code, down, 0);
}

void vit_display_key(VitDisplay *d, guint code, gboolean down)
{
    press(d, VIT_INPUT_KEY, code, down);
}

void vit_display_button(VitDisplay *d, guint code, gboolean down)
{
    press(d, VIT_INPUT_BUTTON, code, down);
}

void vit_display_motion_absolute(VitDisplay *d, double x, double y)
{
    send(d, VIT_INPUT_ABS, 0, (int) lrint(CLAMP(x, 0, 1) * ABSOLUTE_MAX),
         (int) lrint(CLAMP(y, 0, 1) * ABSOLUTE_MAX));
}

static int whole(double *rest, double more, double scale)
{
    *rest += more * scale;
    double n = trunc(*rest);
    *rest -= n;
    return (int) CLAMP(n, -100000, 100000);
}

void vit_display_motion_relative(VitDisplay *d, double dx, double dy)
{
    int x = whole(&d->rel_x, dx, 1), y = whole(&d->rel_y, dy, 1);

    if (x || y)
        send(d, VIT_INPUT_REL, 0, x, y);
}

void vit_display_scroll(VitDisplay *d, double dx, double dy)
{
    int x = whole(&d->scroll_x, dx, 120), y = whole(&d->scroll_y, -dy, 120);

    if (x || y)
        send(d, VIT_INPUT_WHEEL, 0, x, y);
}

void vit_display_release_all(VitDisplay *d)
{
    for (unsigned code = 0; code < MAX_KEYS; code++) {
        if (d->down[code])
            press(d, (VitInputKind) (d->down[code] - 1), code, false);
    }
}

/* ---- Object -------------------------------------------------------------------------------- */

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    VitDisplay *d = VIT_DISPLAY(object);

    switch (id) {
    case PROP_WIDTH: g_value_set_int(value, d->width); break;
    case PROP_HEIGHT: g_value_set_int(value, d->height); break;
    case PROP_ABSOLUTE: g_value_set_boolean(value, d->absolute); break;
    case PROP_LEDS: g_value_set_uint(value, d->leds); break;
    case PROP_LEDS_REPORTED: g_value_set_boolean(value, d->leds_reported); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void finalize(GObject *object)
{
    VitDisplay *d = VIT_DISPLAY(object);

    g_main_context_unref(d->context);
    g_mutex_clear(&d->lock);
    G_OBJECT_CLASS(vit_display_parent_class)->finalize(object);
}

static void vit_display_class_init(VitDisplayClass *klass)
{
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

    G_OBJECT_CLASS(klass)->get_property = get_property;
    G_OBJECT_CLASS(klass)->finalize = finalize;
    props[PROP_WIDTH] = g_param_spec_int("width", NULL, NULL, 0, G_MAXINT, 0, flags);
    props[PROP_HEIGHT] = g_param_spec_int("height", NULL, NULL, 0, G_MAXINT, 0, flags);
    props[PROP_ABSOLUTE] = g_param_spec_boolean("absolute", NULL, NULL, FALSE, flags);
    props[PROP_LEDS] = g_param_spec_uint("leds", NULL, NULL, 0, 7, 0, flags);
    props[PROP_LEDS_REPORTED] = g_param_spec_boolean("leds-reported", NULL, NULL, FALSE, flags);
    g_object_class_install_properties(G_OBJECT_CLASS(klass), N_PROPS, props);
    signals[SIGNAL_DAMAGED] = g_signal_new("damaged", VIT_TYPE_DISPLAY, G_SIGNAL_RUN_LAST, 0, NULL,
                                           NULL, NULL, G_TYPE_NONE, 4, G_TYPE_INT, G_TYPE_INT,
                                           G_TYPE_INT, G_TYPE_INT);
    signals[SIGNAL_SURFACE] = g_signal_new("surface-changed", VIT_TYPE_DISPLAY, G_SIGNAL_RUN_LAST,
                                           0, NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_CURSOR] = g_signal_new("cursor-changed", VIT_TYPE_DISPLAY, G_SIGNAL_RUN_LAST, 0,
                                          NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void vit_display_init(VitDisplay *d)
{
    d->context = g_main_context_ref_thread_default();
    g_mutex_init(&d->lock);
}
