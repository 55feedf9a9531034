/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-view-private.h - what the files of the display view share
 *
 * display-view.c draws, display-keyboard.c and display-pointer.c carry input.  */
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
    GdkToplevel  *grabbed_toplevel; /* owned: whose system shortcuts were asked for; NULL */
    guint         refusal_timer;    /* until it is clear that the compositor keeps them */
    guint         locks_timer;      /* until lock keys are compared */
    guint         leave_idle;       /* until it is clear where the focus went */
    unsigned      assumed_locks;    /* LEDs that a guest has which reports none */
    gint64        lock_pressed[2];  /* monotonic µs: caps, num lock pressed for the guest */
    gboolean      swallow;          /* the click that grabbed: not for the guest */
};

/* display-keyboard.c */
void display_view_add_keyboard(VitDisplayView *view);
void display_view_stop_keyboard(VitDisplayView *view);
void display_view_check_locks(VitDisplayView *view);
void display_view_grab(VitDisplayView *view, GdkEvent *event);

/* display-pointer.c */
void display_view_add_pointer(VitDisplayView *view);
void display_view_update_cursor(VitDisplayView *view);

/* display-view.c: properties and signals */
void display_view_set_grabbed(VitDisplayView *view, gboolean grabbed);
void display_view_leave(VitDisplayView *view);
void display_view_shortcuts_kept(VitDisplayView *view);
