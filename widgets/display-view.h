/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-view.h - shows a VitDisplay and carries keyboard and pointer to it */
#pragma once
#include "engine/vitrine.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

typedef enum {
    VIT_SCALE_FIT,      /* as large as fits; the guest is asked to take the view's size */
    VIT_SCALE_NATIVE,   /* one guest pixel is one device pixel */
    VIT_SCALE_DOUBLE,
} VitScaleMode;
GType vit_scale_mode_get_type(void);
#define VIT_TYPE_SCALE_MODE (vit_scale_mode_get_type())

#define VIT_TYPE_DISPLAY_VIEW (vit_display_view_get_type())
G_DECLARE_FINAL_TYPE(VitDisplayView, vit_display_view, VIT, DISPLAY_VIEW, GtkWidget)

/**
 * VitDisplayView:
 *
 * Properties: "display" (VitDisplay or NULL), "interactive" (boolean: FALSE for thumbnails),
 * "scale-mode" (VitScaleMode), "grabbed" (boolean, read-only: keys go to the guest, system
 * shortcuts too where the compositor allows).
 * Signals: "leave" (a person pressed Ctrl and Alt alone: put the focus elsewhere),
 * "shortcuts-kept" (keys go to the guest, but the compositor keeps its own shortcuts).
 *
 * F11 goes to the guest only while the keyboard is grabbed.
 */
GtkWidget *vit_display_view_new(void);
void vit_display_view_set_display(VitDisplayView *view, VitDisplay *display);
void vit_display_view_set_interactive(VitDisplayView *view, gboolean interactive);
void vit_display_view_set_scale_mode(VitDisplayView *view, VitScaleMode mode);
/** Gives the keyboard back to the desktop. */
void vit_display_view_release(VitDisplayView *view);
/** Presses and releases keys together; @codes ends with 0. */
void vit_display_view_send_keys(VitDisplayView *view, const guint *codes);

G_END_DECLS
