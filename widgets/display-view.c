/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-view.c - draws a guest's picture: pixel-exact, uploading damage only */
#include "widgets/display-view-private.h"

#include <math.h>

enum { REFRESH_MS = 33, THUMBNAIL_REFRESH_MS = 1000, RESIZE_DELAY_MS = 200 };
enum { WIDTH_STEP = 8 };        /* display timings count in character cells (VESA CVT) */
enum { PROP_DISPLAY = 1, PROP_INTERACTIVE, PROP_SCALE_MODE, PROP_GRABBED, N_PROPS };

static GParamSpec *props[N_PROPS];
enum { SIGNAL_LEAVE, SIGNAL_SHORTCUTS_KEPT, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_ENUM_TYPE(VitScaleMode, vit_scale_mode,
                   G_DEFINE_ENUM_VALUE(VIT_SCALE_FIT, "fit"),
                   G_DEFINE_ENUM_VALUE(VIT_SCALE_NATIVE, "native"),
                   G_DEFINE_ENUM_VALUE(VIT_SCALE_DOUBLE, "double"))
G_DEFINE_FINAL_TYPE(VitDisplayView, vit_display_view, GTK_TYPE_WIDGET)

/* ---- The picture --------------------------------------------------------------------------- */

static void forget_texture(VitDisplayView *view)
{
    g_clear_object(&view->texture);
    g_clear_pointer(&view->damage, cairo_region_destroy);
}

static void update_texture(VitDisplayView *view)
{
    static const GdkMemoryFormat formats[] = {
        GDK_MEMORY_B8G8R8X8, GDK_MEMORY_B8G8R8X8, GDK_MEMORY_R8G8B8X8, GDK_MEMORY_R8G8B8X8,
    };
    int width, height, stride, format;
    g_autoptr(GBytes) bytes = view->display ? vit_display_get_pixels(view->display, &width, &height,
                                                                     &stride, &format)
                                            : NULL;

    if (!bytes || format >= (int) G_N_ELEMENTS(formats)) {
        forget_texture(view);
        return;
    }
    if (view->texture && view->damage && cairo_region_is_empty(view->damage))
        return;
    g_autoptr(GdkMemoryTextureBuilder) builder = gdk_memory_texture_builder_new();
    gdk_memory_texture_builder_set_bytes(builder, bytes);
    gdk_memory_texture_builder_set_width(builder, width);
    gdk_memory_texture_builder_set_height(builder, height);
    gdk_memory_texture_builder_set_stride(builder, (gsize) stride);
    gdk_memory_texture_builder_set_format(builder, formats[format]);
    if (view->texture && view->damage && gdk_texture_get_width(view->texture) == width &&
        gdk_texture_get_height(view->texture) == height) {
        gdk_memory_texture_builder_set_update_texture(builder, view->texture);
        gdk_memory_texture_builder_set_update_region(builder, view->damage);
    }
    GdkTexture *texture = gdk_memory_texture_builder_build(builder);
    g_set_object(&view->texture, texture);
    g_object_unref(texture);
    g_clear_pointer(&view->damage, cairo_region_destroy);
    view->damage = cairo_region_create();
}

static double device_scale(VitDisplayView *view)
{
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    GdkSurface *surface = native ? gtk_native_get_surface(native) : NULL;

    return surface ? gdk_surface_get_scale(surface) : 1;
}

/* The widget's corner in device pixels of the surface; a fraction of one at fractional scales. */
static graphene_point_t device_origin(VitDisplayView *view)
{
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    graphene_point_t at = { 0, 0 };
    double x = 0, y = 0, scale = device_scale(view);

    if (!native || !gtk_widget_compute_point(GTK_WIDGET(view), GTK_WIDGET(native), &at, &at))
        return at;
    gtk_native_get_surface_transform(native, &x, &y);
    return GRAPHENE_POINT_INIT((float) ((at.x + x) * scale), (float) ((at.y + y) * scale));
}

/* Where a picture of that size stands: centred, its corner on a device pixel. */
static graphene_rect_t place(VitDisplayView *view, int width, int height)
{
    double scale = device_scale(view), zoom;
    double w = gtk_widget_get_width(GTK_WIDGET(view)), h = gtk_widget_get_height(GTK_WIDGET(view));

    if (view->scale_mode == VIT_SCALE_FIT)
        zoom = MIN(w * scale / width, h * scale / height);
    else
        zoom = view->scale_mode == VIT_SCALE_DOUBLE ? 2 : 1;
    if (view->scale_mode == VIT_SCALE_FIT && zoom >= 1 && (zoom - 1) * width < WIDTH_STEP)
        zoom = 1;               /* the guest has the size that we asked for: no filtering */
    double pw = width * zoom / scale, ph = height * zoom / scale;
    graphene_point_t origin = device_origin(view);
    double x = (round((w - pw) / 2 * scale + origin.x) - origin.x) / scale;
    double y = (round((h - ph) / 2 * scale + origin.y) - origin.y) / scale;
    return GRAPHENE_RECT_INIT((float) x, (float) y, (float) pw, (float) ph);
}

/* zoom: device pixels per guest pixel. */
static void append_picture(GtkSnapshot *snapshot, GdkTexture *texture, double zoom,
                           const graphene_rect_t *area)
{
    /* A plain texture where its filter is right: GTK's Cairo renderer draws the other kind in
     * logical pixels first, which loses every second guest pixel on a screen at 200 %. */
    if (fabs(zoom - 1) < 0.001 || (zoom >= 0.5 && fabs(zoom - round(zoom)) >= 0.001))
        gtk_snapshot_append_texture(snapshot, texture, area);
    else
        gtk_snapshot_append_scaled_texture(
            snapshot, texture,
            zoom < 0.5 ? GSK_SCALING_FILTER_TRILINEAR : GSK_SCALING_FILTER_NEAREST, area);
}

static void snapshot(GtkWidget *widget, GtkSnapshot *snapshot)
{
    VitDisplayView *view = VIT_DISPLAY_VIEW(widget);
    int w = gtk_widget_get_width(widget), h = gtk_widget_get_height(widget);
    const GdkRGBA black = { 0, 0, 0, 1 };

    update_texture(view);
    gtk_snapshot_push_clip(snapshot, &GRAPHENE_RECT_INIT(0, 0, (float) w, (float) h));
    gtk_snapshot_append_color(snapshot, &black, &GRAPHENE_RECT_INIT(0, 0, (float) w, (float) h));
    if (view->texture) {
        int width = gdk_texture_get_width(view->texture);
        view->area = place(view, width, gdk_texture_get_height(view->texture));
        double zoom = view->area.size.width * device_scale(view) / width;
        append_picture(snapshot, view->texture, zoom, &view->area);
    }
    gtk_snapshot_pop(snapshot);
}

static void measure(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum,
                    int *natural, int *minimum_baseline, int *natural_baseline)
{
    VitDisplayView *view = VIT_DISPLAY_VIEW(widget);
    const char *name = orientation == GTK_ORIENTATION_HORIZONTAL ? "width" : "height";
    int size = 0, zoom = view->scale_mode == VIT_SCALE_DOUBLE ? 2 : 1;

    if (view->display && view->interactive)
        g_object_get(view->display, name, &size, NULL);
    *natural = (int) ceil(size * zoom / device_scale(view));
    *minimum = view->scale_mode == VIT_SCALE_FIT ? 0 : *natural;
    *minimum_baseline = *natural_baseline = -1;
}

/* ---- The guest follows the window ---------------------------------------------------------- */

static gboolean ask_size(void *opaque)
{
    VitDisplayView *view = opaque;
    double scale = device_scale(view);
    int width = (int) floor(gtk_widget_get_width(GTK_WIDGET(view)) * scale) & ~(WIDTH_STEP - 1);
    int height = (int) floor(gtk_widget_get_height(GTK_WIDGET(view)) * scale);

    view->resize_timer = 0;
    if (!view->display || width < 320 || height < 200 ||
        (width == view->asked_width && height == view->asked_height))
        return G_SOURCE_REMOVE;
    view->asked_width = width;
    view->asked_height = height;
    vit_display_request_size(view->display, width, height, (int) (width / scale * 25.4 / 96),
                             (int) (height / scale * 25.4 / 96));
    return G_SOURCE_REMOVE;
}

static void ask_size_soon(VitDisplayView *view)
{
    if (!view->interactive || view->scale_mode != VIT_SCALE_FIT)
        return;
    if (view->resize_timer)
        g_source_remove(view->resize_timer);
    view->resize_timer = g_timeout_add(RESIZE_DELAY_MS, ask_size, view);
}

static void size_allocate(GtkWidget *widget, int width, int height, int baseline)
{
    ask_size_soon(VIT_DISPLAY_VIEW(widget));
}

/* The window has come to another monitor, or a person chose another scale: the same device pixels
 * are another number of logical ones. */
static void on_scale(GdkSurface *surface, GParamSpec *spec, VitDisplayView *view)
{
    gtk_widget_queue_resize(GTK_WIDGET(view));
    ask_size_soon(view);
}

/* ---- Signals of the display ---------------------------------------------------------------- */

static void on_damaged(VitDisplay *display, int x, int y, int width, int height,
                       VitDisplayView *view)
{
    if (view->damage)
        cairo_region_union_rectangle(view->damage, &(cairo_rectangle_int_t){ x, y, width, height });
    gtk_widget_queue_draw(GTK_WIDGET(view));
}

static void on_surface_changed(VitDisplay *display, VitDisplayView *view)
{
    forget_texture(view);
    if (view->scale_mode == VIT_SCALE_FIT)
        gtk_widget_queue_draw(GTK_WIDGET(view));
    else
        gtk_widget_queue_resize(GTK_WIDGET(view));
}

static void on_cursor_changed(VitDisplay *display, VitDisplayView *view)
{
    if (view->interactive)
        display_view_update_cursor(view);
}

static gboolean refresh(void *opaque)
{
    VitDisplayView *view = opaque;

    if (view->display)
        vit_display_refresh(view->display);
    return G_SOURCE_CONTINUE;
}

static void update_timer(VitDisplayView *view)
{
    bool wanted = view->display && gtk_widget_get_mapped(GTK_WIDGET(view));

    if (view->refresh_timer) {
        g_source_remove(view->refresh_timer);
        view->refresh_timer = 0;
    }
    if (wanted) {
        view->refresh_timer =
            g_timeout_add(view->interactive ? REFRESH_MS : THUMBNAIL_REFRESH_MS, refresh, view);
        refresh(view);
    }
}

void vit_display_view_set_display(VitDisplayView *view, VitDisplay *display)
{
    if (view->display == display)
        return;
    if (view->display)
        g_signal_handlers_disconnect_by_data(view->display, view);
    g_set_object(&view->display, display);
    forget_texture(view);
    view->asked_width = view->asked_height = 0;
    view->assumed_locks = 0;            /* of a machine that has just been switched on */
    if (display) {
        g_signal_connect(display, "damaged", G_CALLBACK(on_damaged), view);
        g_signal_connect(display, "surface-changed", G_CALLBACK(on_surface_changed), view);
        g_signal_connect(display, "cursor-changed", G_CALLBACK(on_cursor_changed), view);
        display_view_check_locks(view);
    }
    update_timer(view);
    gtk_widget_queue_resize(GTK_WIDGET(view));
    g_object_notify_by_pspec(G_OBJECT(view), props[PROP_DISPLAY]);
}

void vit_display_view_set_interactive(VitDisplayView *view, gboolean interactive)
{
    view->interactive = interactive;
    gtk_widget_set_focusable(GTK_WIDGET(view), interactive);
    gtk_widget_set_can_target(GTK_WIDGET(view), interactive);
    update_timer(view);
}

void vit_display_view_set_scale_mode(VitDisplayView *view, VitScaleMode mode)
{
    if (view->scale_mode == mode)
        return;
    view->scale_mode = mode;
    gtk_widget_queue_resize(GTK_WIDGET(view));
    g_object_notify_by_pspec(G_OBJECT(view), props[PROP_SCALE_MODE]);
}

void display_view_set_grabbed(VitDisplayView *view, gboolean grabbed)
{
    if (view->grabbed == grabbed)
        return;
    view->grabbed = grabbed;
    g_object_notify_by_pspec(G_OBJECT(view), props[PROP_GRABBED]);
}

void display_view_leave(VitDisplayView *view)
{
    vit_display_view_release(view);
    g_signal_emit(view, signals[SIGNAL_LEAVE], 0);
}

void display_view_shortcuts_kept(VitDisplayView *view)
{
    g_signal_emit(view, signals[SIGNAL_SHORTCUTS_KEPT], 0);
}

/* ---- Widget -------------------------------------------------------------------------------- */

static void map(GtkWidget *widget)
{
    GTK_WIDGET_CLASS(vit_display_view_parent_class)->map(widget);
    g_signal_connect(gtk_native_get_surface(gtk_widget_get_native(widget)), "notify::scale",
                     G_CALLBACK(on_scale), widget);
    update_timer(VIT_DISPLAY_VIEW(widget));
}

static void unmap(GtkWidget *widget)
{
    vit_display_view_release(VIT_DISPLAY_VIEW(widget));
    g_signal_handlers_disconnect_by_func(gtk_native_get_surface(gtk_widget_get_native(widget)),
                                         on_scale, widget);
    GTK_WIDGET_CLASS(vit_display_view_parent_class)->unmap(widget);
    update_timer(VIT_DISPLAY_VIEW(widget));
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    VitDisplayView *view = VIT_DISPLAY_VIEW(object);

    switch (id) {
    case PROP_DISPLAY: g_value_set_object(value, view->display); break;
    case PROP_INTERACTIVE: g_value_set_boolean(value, view->interactive); break;
    case PROP_SCALE_MODE: g_value_set_enum(value, view->scale_mode); break;
    case PROP_GRABBED: g_value_set_boolean(value, view->grabbed); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    VitDisplayView *view = VIT_DISPLAY_VIEW(object);

    switch (id) {
    case PROP_DISPLAY: vit_display_view_set_display(view, g_value_get_object(value)); break;
    case PROP_INTERACTIVE:
        vit_display_view_set_interactive(view, g_value_get_boolean(value));
        break;
    case PROP_SCALE_MODE:
        vit_display_view_set_scale_mode(view, (VitScaleMode) g_value_get_enum(value));
        break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void dispose(GObject *object)
{
    VitDisplayView *view = VIT_DISPLAY_VIEW(object);

    vit_display_view_set_display(view, NULL);
    display_view_stop_keyboard(view);
    g_clear_handle_id(&view->resize_timer, g_source_remove);
    forget_texture(view);
    G_OBJECT_CLASS(vit_display_view_parent_class)->dispose(object);
}

static void vit_display_view_class_init(VitDisplayViewClass *klass)
{
    const GParamFlags flags = G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);
    GObjectClass *object = G_OBJECT_CLASS(klass);

    object->get_property = get_property;
    object->set_property = set_property;
    object->dispose = dispose;
    widget->snapshot = snapshot;
    widget->measure = measure;
    widget->size_allocate = size_allocate;
    widget->map = map;
    widget->unmap = unmap;
    props[PROP_DISPLAY] = g_param_spec_object("display", NULL, NULL, VIT_TYPE_DISPLAY,
                                              flags | G_PARAM_READWRITE);
    props[PROP_INTERACTIVE] = g_param_spec_boolean("interactive", NULL, NULL, TRUE,
                                                   flags | G_PARAM_READWRITE);
    props[PROP_SCALE_MODE] = g_param_spec_enum("scale-mode", NULL, NULL, VIT_TYPE_SCALE_MODE,
                                               VIT_SCALE_FIT, flags | G_PARAM_READWRITE);
    props[PROP_GRABBED] = g_param_spec_boolean("grabbed", NULL, NULL, FALSE,
                                               flags | G_PARAM_READABLE);
    g_object_class_install_properties(object, N_PROPS, props);
    signals[SIGNAL_LEAVE] = g_signal_new("leave", VIT_TYPE_DISPLAY_VIEW, G_SIGNAL_RUN_LAST, 0, NULL,
                                         NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_SHORTCUTS_KEPT] = g_signal_new("shortcuts-kept", VIT_TYPE_DISPLAY_VIEW,
                                                  G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                  G_TYPE_NONE, 0);
    gtk_widget_class_set_css_name(widget, "displayview");
    gtk_widget_class_set_accessible_role(widget, GTK_ACCESSIBLE_ROLE_IMG);
}

static void vit_display_view_init(VitDisplayView *view)
{
    view->interactive = TRUE;
    view->last_x = view->last_y = -1;
    gtk_widget_set_focusable(GTK_WIDGET(view), TRUE);
    gtk_widget_set_overflow(GTK_WIDGET(view), GTK_OVERFLOW_HIDDEN);
    display_view_add_keyboard(view);
    display_view_add_pointer(view);
}

GtkWidget *vit_display_view_new(void)
{
    return g_object_new(VIT_TYPE_DISPLAY_VIEW, NULL);
}
