/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-pointer.c - pointer, buttons, wheel and cursor of the display view
 *
 * The first click takes the keyboard and is not passed on. */
#include "widgets/display-view-private.h"

#include <linux/input-event-codes.h>

#define PIXELS_PER_DETENT 40.0          /* of a touchpad's scrolling */

static void on_motion(GtkEventControllerMotion *controller, double x, double y,
                      VitDisplayView *view)
{
    const graphene_rect_t *a = &view->area;
    gboolean absolute = FALSE;

    if (!view->display || a->size.width <= 0 || a->size.height <= 0) return;
    g_object_get(view->display, "absolute", &absolute, NULL);
    if (absolute) {
        vit_display_motion_absolute(view->display, (x - a->origin.x) / a->size.width,
                                    (y - a->origin.y) / a->size.height);
    } else if (view->last_x >= 0) {
        int width = view->texture ? gdk_texture_get_width(view->texture) : 1;
        double zoom = a->size.width / width;
        vit_display_motion_relative(view->display, (x - view->last_x) / zoom,
                                    (y - view->last_y) / zoom);
    }
    view->last_x = x;
    view->last_y = y;
}

static void on_leave(GtkEventControllerMotion *controller, VitDisplayView *view)
{
    view->last_x = view->last_y = -1;
}

static guint evdev_button(guint button)
{
    switch (button) {
    case GDK_BUTTON_PRIMARY: return BTN_LEFT;
    case GDK_BUTTON_MIDDLE: return BTN_MIDDLE;
    case GDK_BUTTON_SECONDARY: return BTN_RIGHT;
    case 8: return BTN_SIDE;
    case 9: return BTN_EXTRA;
    default: return 0;
    }
}

static gboolean on_event(GtkEventControllerLegacy *controller, GdkEvent *event,
                         VitDisplayView *view)
{
    GdkEventType type = gdk_event_get_event_type(event);

    if ((type != GDK_BUTTON_PRESS && type != GDK_BUTTON_RELEASE) || !view->interactive ||
        !view->display)
        return FALSE;
    if (type == GDK_BUTTON_PRESS && !view->grabbed) {
        gtk_widget_grab_focus(GTK_WIDGET(view));
        display_view_grab(view, event);
        view->swallow = TRUE;
        return TRUE;
    }
    if (view->swallow) {
        view->swallow = type != GDK_BUTTON_RELEASE;
        return TRUE;
    }
    guint button = evdev_button(gdk_button_event_get_button(event));
    if (button) vit_display_button(view->display, button, type == GDK_BUTTON_PRESS);
    return TRUE;
}

static gboolean on_scroll(GtkEventControllerScroll *controller, double dx, double dy,
                          VitDisplayView *view)
{
    bool pixels = gtk_event_controller_scroll_get_unit(controller) == GDK_SCROLL_UNIT_SURFACE;
    double unit = pixels ? PIXELS_PER_DETENT : 1;

    if (!view->display || !view->interactive) return FALSE;
    vit_display_scroll(view->display, dx / unit, dy / unit);
    return TRUE;
}

void display_view_update_cursor(VitDisplayView *view)
{
    int width, height, hot_x, hot_y, x, y;
    gboolean visible = FALSE;
    g_autoptr(GBytes) bytes = view->display
                                  ? vit_display_get_cursor(view->display, &width, &height, &hot_x,
                                                           &hot_y, &x, &y, &visible)
                                  : NULL;

    if (!bytes) {
        gtk_widget_set_cursor(GTK_WIDGET(view), NULL);
        return;
    }
    if (!visible) {
        gtk_widget_set_cursor_from_name(GTK_WIDGET(view), "none");
        return;
    }
    g_autoptr(GdkTexture) texture = gdk_memory_texture_new(width, height, GDK_MEMORY_B8G8R8A8,
                                                           bytes, (gsize)width * 4);
    g_autoptr(GdkCursor) cursor = gdk_cursor_new_from_texture(texture, CLAMP(hot_x, 0, width - 1),
                                                              CLAMP(hot_y, 0, height - 1), NULL);
    gtk_widget_set_cursor(GTK_WIDGET(view), cursor);
}

void display_view_add_pointer(VitDisplayView *view)
{
    GtkWidget *widget = GTK_WIDGET(view);
    GtkEventController *motion = gtk_event_controller_motion_new();
    GtkEventController *legacy = gtk_event_controller_legacy_new();
    GtkEventController *scroll = gtk_event_controller_scroll_new(
        GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);

    g_signal_connect(motion, "motion", G_CALLBACK(on_motion), view);
    g_signal_connect(motion, "leave", G_CALLBACK(on_leave), view);
    g_signal_connect(legacy, "event", G_CALLBACK(on_event), view);
    g_signal_connect(scroll, "scroll", G_CALLBACK(on_scroll), view);
    gtk_widget_add_controller(widget, motion);
    gtk_widget_add_controller(widget, legacy);
    gtk_widget_add_controller(widget, scroll);
}
