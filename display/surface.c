/* SPDX-License-Identifier: GPL-3.0-or-later */
/* display/surface.c - reference-counted pixels; saving as PNG (libpng 1.6) or PPM (netpbm P6) */
#include "display/scanout.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

static int bytes_per_pixel(VitPixelFormat format)
{
    return format == VIT_PIXEL_RGB565 ? 2 : 4;
}

VitSurface *vit_surface_new(int width, int height, VitPixelFormat format)
{
    int stride = width * bytes_per_pixel(format);
    uint8_t *pixels = g_malloc0((size_t) stride * (size_t) height);
    return vit_surface_new_shared(width, height, stride, format, pixels, g_free, pixels);
}

VitSurface *vit_surface_new_shared(int width, int height, int stride, VitPixelFormat format,
                                   uint8_t *pixels, GDestroyNotify free_pixels, void *owner)
{
    VitSurface *s = g_new0(VitSurface, 1);
    s->width = width;
    s->height = height;
    s->stride = stride;
    s->format = format;
    s->pixels = pixels;
    s->ref_count = 1;
    s->free_pixels = free_pixels;
    s->owner = owner;
    return s;
}

VitSurface *vit_surface_ref(VitSurface *surface)
{
    g_atomic_int_inc(&surface->ref_count);
    return surface;
}

void vit_surface_unref(VitSurface *surface)
{
    if (!surface || !g_atomic_int_dec_and_test(&surface->ref_count))
        return;
    if (surface->free_pixels)
        surface->free_pixels(surface->owner);
    g_free(surface);
}

static void row_to_rgb(const VitSurface *s, int y, uint8_t *out)
{
    const uint8_t *in = s->pixels + (size_t) y * (size_t) s->stride;

    for (int x = 0; x < s->width; x++, out += 3) {
        if (s->format == VIT_PIXEL_RGB565) {
            unsigned v = (unsigned) in[2 * x] | (unsigned) in[2 * x + 1] << 8;
            unsigned r = v >> 11, g = v >> 5 & 63, b = v & 31;
            out[0] = (uint8_t) (r << 3 | r >> 2);
            out[1] = (uint8_t) (g << 2 | g >> 4);
            out[2] = (uint8_t) (b << 3 | b >> 2);
        } else {
            const uint8_t *p = in + 4 * x;
            bool bgr = s->format == VIT_PIXEL_XBGR8888 || s->format == VIT_PIXEL_ABGR8888;
            out[0] = p[bgr ? 0 : 2];
            out[1] = p[1];
            out[2] = p[bgr ? 2 : 0];
        }
    }
}

static bool write_ppm(const VitSurface *s, FILE *file, uint8_t *row)
{
    fprintf(file, "P6\n%d %d\n255\n", s->width, s->height);
    for (int y = 0; y < s->height; y++) {
        row_to_rgb(s, y, row);
        if (fwrite(row, 3, (size_t) s->width, file) != (size_t) s->width)
            return false;
    }
    return true;
}

static void png_failed(png_structp png, png_const_charp message)
{
    g_strlcpy(png_get_error_ptr(png), message, 128);
    png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
}

static bool write_png(const VitSurface *s, FILE *file, uint8_t *row, char message[128])
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, png_failed,
                                              png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, file);
    png_set_compression_level(png, 3);      /* screenshots are taken while a guest runs */
    png_set_IHDR(png, info, (png_uint_32) s->width, (png_uint_32) s->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < s->height; y++) {
        row_to_rgb(s, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return true;
}

bool vit_surface_save(VitSurface *surface, const char *path, GError **error)
{
    bool ppm = g_str_has_suffix(path, ".ppm");

    if (!ppm && !g_str_has_suffix(path, ".png")) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    _("“%s”: a screenshot's name ends in .png or .ppm"), path);
        return false;
    }
    return vit_surface_save_as(surface, path, !ppm, error);
}

bool vit_surface_save_as(VitSurface *surface, const char *path, bool as_png, GError **error)
{
    char message[128] = "";
    bool good;
    FILE *file = g_fopen(path, "wbe");
    if (!file) {
        int code = errno;
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code),
                    _("Cannot write “%s”: %s"), path, g_strerror(code));
        return false;
    }
    g_autofree uint8_t *row = g_malloc((size_t) surface->width * 3 + 1);
    errno = 0;
    good = as_png ? write_png(surface, file, row, message) : write_ppm(surface, file, row);
    int code = errno;
    if (fclose(file) != 0 && good) {
        good = false;
        code = errno;
    }
    if (!good) {
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code),
                    _("Cannot write “%s”: %s"), path, code ? g_strerror(code) : message);
        g_unlink(path);
    }
    return good;
}
