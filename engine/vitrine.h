/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/vitrine.h - the session API: all that the application, its widgets and the tools see
 *
 * GObject from here up, plain C below.  Objects belong to the thread-default main context in which
 * they were made: signals and notifications come there, and nothing here blocks it. */
#pragma once
#include "engine/machine/config.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* ---- Display ------------------------------------------------------------------------------- */

#define VIT_TYPE_DISPLAY (vit_display_get_type())
G_DECLARE_FINAL_TYPE(VitDisplay, vit_display, VIT, DISPLAY, GObject)

/**
 * VitDisplay:
 *
 * One head of a running machine: a picture with damage, a cursor, and the way in for keys and
 * pointer.
 *
 * Properties: "width", "height" (int, guest pixels; 0 while blank), "absolute" (boolean: the guest
 * takes absolute pointer positions), "leds" (uint: bit 0 scroll, 1 num, 2 caps; as
 * of the last refresh), "leds-reported" (boolean: the guest has set LEDs since it was switched on;
 * before that "leds" says nothing about its lock keys).
 * Signals: "damaged" (int x, int y, int width, int height: union since the last one, at most one a
 * main-loop turn), "surface-changed" (size or memory is another: drop what was kept),
 * "cursor-changed".
 */

/**
 * vit_display_get_pixels:
 * @stride: (out): bytes of a row
 * @format: (out): 0 B8G8R8X8, 1 B8G8R8A8, 2 R8G8B8X8, 3 R8G8B8A8 in memory order, 4 RGB565
 *
 * Returns: (transfer full) (nullable): the picture's bytes without a copy; the guest may go on
 * drawing into them.  They stay valid as long as the GBytes lives.
 */
GBytes *vit_display_get_pixels(VitDisplay *display, int *width, int *height, int *stride,
                               int *format);

/**
 * vit_display_get_cursor:
 * @x: (out): guest position, meaningless with an absolute pointer
 *
 * Returns: (transfer full) (nullable): straight-alpha B8G8R8A8 pixels of @width by @height, or
 * %NULL when the guest hides its cursor or draws it itself.
 */
GBytes *vit_display_get_cursor(VitDisplay *display, int *width, int *height, int *hot_x, int *hot_y,
                               int *x, int *y, gboolean *visible);

/** Asks for fresh pixels: call once a frame while shown; without viewers nothing is refreshed. */
void vit_display_refresh(VitDisplay *display);
/** Tells the guest the size (pixels, millimetres) that its viewer would like.  Newest wins. */
void vit_display_request_size(VitDisplay *display, int width, int height, int width_mm,
                              int height_mm);
/** @evdev_code: KEY_* of linux/input-event-codes.h (GDK hardware keycode minus 8). */
void vit_display_key(VitDisplay *display, guint evdev_code, gboolean down);
/** @evdev_button: BTN_LEFT ... */
void vit_display_button(VitDisplay *display, guint evdev_button, gboolean down);
/** @x, @y: 0..1 over the picture. */
void vit_display_motion_absolute(VitDisplay *display, double x, double y);
void vit_display_motion_relative(VitDisplay *display, double dx, double dy);
/** @dx, @dy: detents (1.0 = 15 degrees), fractions allowed; right and down positive. */
void vit_display_scroll(VitDisplay *display, double dx, double dy);
/** Releases every key and button that was sent down and not up. */
void vit_display_release_all(VitDisplay *display);
/** Writes a PNG of the present picture; @path is replaced when it exists. */
void vit_display_save_screenshot_async(VitDisplay *display, const char *path,
                                       GAsyncReadyCallback callback, gpointer data);
/** Returns: (transfer full): the path that was written, or %NULL with @error set. */
char *vit_display_save_screenshot_finish(VitDisplay *display, GAsyncResult *result, GError **error);

/* ---- Machine ------------------------------------------------------------------------------- */

#define VIT_TYPE_MACHINE (vit_machine_get_type())
G_DECLARE_FINAL_TYPE(VitMachine, vit_machine, VIT, MACHINE, GObject)

typedef enum {
    VIT_MACHINE_OFF,
    VIT_MACHINE_STARTING,
    VIT_MACHINE_RUNNING,
    VIT_MACHINE_PAUSED,
    VIT_MACHINE_STOPPING,
} VitMachineState;
GType vit_machine_state_get_type(void);
#define VIT_TYPE_MACHINE_STATE (vit_machine_state_get_type())

/**
 * VitMachine:
 *
 * A machine that can be started any number of times from its configuration.
 *
 * Properties: "name" (string), "state" (VitMachineState), "displays" (GListModel of VitDisplay;
 * empty while off), "cpu-usage" (double: host cores in use by this machine's vCPUs, refreshed
 * every second while running).
 * Signals: "stopped" (string reason or NULL), "host-error" (string message: paused because of
 * the host).
 */
VitMachine *vit_machine_new(const VitMachineConfig *config);        /* copied */
const VitMachineConfig *vit_machine_get_config(VitMachine *machine);
/** Replaces the configuration; effective at the next start. */
void vit_machine_set_config(VitMachine *machine, const VitMachineConfig *config);
VitMachineState vit_machine_get_state(VitMachine *machine);
GListModel *vit_machine_get_displays(VitMachine *machine);          /* (transfer none) */

/** Builds the machine and runs it.  The error names the option and the remedy. */
void vit_machine_start_async(VitMachine *machine, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer data);
gboolean vit_machine_start_finish(VitMachine *machine, GAsyncResult *result, GError **error);
void vit_machine_pause(VitMachine *machine);            /* "state" tells when it has happened */
void vit_machine_resume(VitMachine *machine);
void vit_machine_reset(VitMachine *machine);
void vit_machine_press_power_button(VitMachine *machine);
/** Switches off at once; completes when everything is released. */
void vit_machine_power_off_async(VitMachine *machine, GAsyncReadyCallback callback, gpointer data);
gboolean vit_machine_power_off_finish(VitMachine *machine, GAsyncResult *result, GError **error);

/** For the tools: the engine below, borrowed, NULL while off. */
typedef struct VitEngine VitEngine;
VitEngine *vit_machine_get_engine(VitMachine *machine);

/* ---- Images -------------------------------------------------------------------------------- */

typedef struct {
    char *format;               /* owned; of VitDriveConfig: "raw", "qcow2" ... */
    guint64 size;               /* bytes, of the disk that a guest sees */
    gboolean encrypted;         /* needs a secret to be read */
} VitImageInfo;

/** Opens an image read-only and finds out what it is; others may be using it. */
void vit_image_inspect_async(const char *path, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer data);
/** Returns: (transfer full): the facts, or %NULL with @error set, which names the file. */
VitImageInfo *vit_image_inspect_finish(GAsyncResult *result, GError **error);
void vit_image_info_free(VitImageInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitImageInfo, vit_image_info_free)

G_END_DECLS
