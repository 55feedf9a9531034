/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/scanout.h - a picture with damage and a cursor, between a display device and its viewers
 *
 * A producer (VGA, virtio-gpu) sets a surface and reports damage; consumers (GTK view, screenshot)
 * hold a reference and listen.  Surfaces are reference-counted shared memory; a consumer may read a
 * surface at any time (tearing is acceptable, use-after-free is not).
 * Threads: producer calls under the machine lock or on its iothread; listener callbacks run on the
 * producer's thread, must not block and must not take the machine lock: they note damage and wake
 * their own thread.  All functions are safe on any thread. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { VIT_PIXEL_XRGB8888, VIT_PIXEL_ARGB8888, VIT_PIXEL_XBGR8888, VIT_PIXEL_ABGR8888,
               VIT_PIXEL_RGB565 } VitPixelFormat;   /* memory order little-endian, as DRM fourcc */

typedef struct { int x, y, width, height; } VitRect;

typedef struct VitSurface VitSurface;
struct VitSurface {
    int             width, height, stride;      /* pixels, pixels, bytes */
    VitPixelFormat  format;
    uint8_t        *pixels;
    int             ref_count;                  /* atomic */
    GDestroyNotify  free_pixels;                /* of `owner` */
    void           *owner;
};

[[nodiscard]] VitSurface *vit_surface_new(int width, int height, VitPixelFormat format);
/* Over memory that somebody else owns; free_pixels(owner) at the last unref. */
[[nodiscard]] VitSurface *vit_surface_new_shared(int width, int height, int stride,
                                                 VitPixelFormat format, uint8_t *pixels,
                                                 GDestroyNotify free_pixels, void *owner);
VitSurface *vit_surface_ref(VitSurface *surface);
void vit_surface_unref(VitSurface *surface);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitSurface, vit_surface_unref)
/* Writes a PNG or PPM (by the name's ending). */
[[nodiscard]] bool vit_surface_save(VitSurface *surface, const char *path, GError **error);
/* The same whatever the name: PNG, or else PPM. */
[[nodiscard]] bool vit_surface_save_as(VitSurface *surface, const char *path, bool as_png,
                                       GError **error);

typedef struct {
    int      width, height, hot_x, hot_y;   /* at most 256x256 */
    uint32_t argb[];                        /* premultiplied no; straight alpha, row by row */
} VitCursor;

typedef struct VitScanout VitScanout;

typedef struct {    /* any may be NULL */
    void (*surface_changed)(void *opaque);                      /* new surface, size or none */
    void (*damaged)(void *opaque, VitRect rect);
    void (*cursor_changed)(void *opaque);                       /* new shape or hidden */
    void (*cursor_moved)(void *opaque, int x, int y);
} VitScanoutListener;

/* Producer's wishes from the viewer side. */
typedef struct {
    /* a viewer wants fresh pixels (VGA redraws here); any thread */
    void (*refresh)(void *producer);
    /* EDID / config change */
    void (*resize)(void *producer, int width, int height, int width_mm, int height_mm);
} VitScanoutProducer;

[[nodiscard]] VitScanout *vit_scanout_new(const char *name, const VitScanoutProducer *ops,
                                          void *producer);
void vit_scanout_free(VitScanout *scanout);     /* listeners must be gone */
const char *vit_scanout_name(const VitScanout *scanout);
/* Takes a reference; NULL = blank. */
void vit_scanout_set_surface(VitScanout *scanout, VitSurface *surface);
void vit_scanout_damage(VitScanout *scanout, VitRect rect);     /* clipped to the surface */
void vit_scanout_set_cursor(VitScanout *scanout, const VitCursor *cursor);  /* copied; NULL hides */
void vit_scanout_move_cursor(VitScanout *scanout, int x, int y, bool visible);

VitSurface *vit_scanout_ref_surface(VitScanout *scanout);       /* or NULL; caller unrefs */
/* The result is for g_free(). */
VitCursor *vit_scanout_copy_cursor(VitScanout *scanout, int *x, int *y, bool *visible);
void vit_scanout_refresh(VitScanout *scanout);
void vit_scanout_request_size(VitScanout *scanout, int width, int height, int width_mm,
                              int height_mm);
void vit_scanout_add_listener(VitScanout *scanout, const VitScanoutListener *listener,
                              void *opaque);
void vit_scanout_remove_listener(VitScanout *scanout, const VitScanoutListener *listener,
                                 void *opaque);
