/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-view-private.h - between drawing (display-view.c) and input (display-input.c) */
#pragma once
#include "widgets/display-view.h"

struct _VitDisplayView {
    GtkWidget     parent;
    VitDisplay   *display;          /* owned; NULL = nothing to show */
    gboolean      interactive;
    VitScaleMode  scale_mode;
    gboolean      grabbed;
    GdkTexture   *texture;          /* owned: what was drawn last */
    cairo_region_t *damage;         /* owned: of the picture since then, guest pixels; NULL = all */
    guint         refresh_timer;
    guint         resize_timer;
    int           asked_width, asked_height;    /* size that the guest was asked for last */
    graphene_rect_t area;           /* where the picture stands in the widget */
    double        last_x, last_y;   /* pointer, for relative motion; -1 unknown */
    guint         held_modifiers;   /* HELD_*: whether only Ctrl and Alt are down */
    gboolean      swallow;          /* the click that grabbed: not for the guest */
};

void display_view_add_controllers(VitDisplayView *view);
void display_view_update_cursor(VitDisplayView *view);
void display_view_set_grabbed(VitDisplayView *view, gboolean grabbed);
void display_view_leave(VitDisplayView *view);
