/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/display/test-scanout.c - scanouts, cursors, surfaces saved to files */
#include "display/scanout.h"

#include <glib/gstdio.h>
#include <png.h>
#include <string.h>

typedef struct { int surfaces, damages, cursors, moves; VitRect last; VitScanout *scanout; } Seen;

static void surface_changed(void *opaque)
{
    Seen *s = opaque;
    vit_surface_unref(vit_scanout_ref_surface(s->scanout));     /* a listener may look */
    s->surfaces++;
}

static void damaged(void *opaque, VitRect rect)
{
    Seen *s = opaque;
    s->damages++;
    s->last = rect;
}

static void cursor_changed(void *opaque)
{
    ((Seen *) opaque)->cursors++;
}

static void cursor_moved(void *opaque, int x, int y)
{
    ((Seen *) opaque)->moves++;
}

static const VitScanoutListener listener = { surface_changed, damaged, cursor_changed,
                                             cursor_moved };

static void freed(void *opaque)
{
    *(bool *) opaque = true;
}

static void test_scanout(void)
{
    Seen seen = {};
    bool gone = false;
    uint8_t pixels[64] = {};
    VitScanout *s = seen.scanout = vit_scanout_new("s", NULL, NULL);

    vit_scanout_add_listener(s, &listener, &seen);
    g_assert_null(vit_scanout_ref_surface(s));
    vit_scanout_damage(s, (VitRect) { 0, 0, 10, 10 });
    g_assert_cmpint(seen.damages, ==, 0);
    VitSurface *surface = vit_surface_new_shared(4, 4, 16, VIT_PIXEL_XRGB8888, pixels, freed,
                                                 &gone);
    vit_scanout_set_surface(s, surface);
    g_assert_cmpint(seen.surfaces, ==, 1);
    vit_scanout_damage(s, (VitRect) { -5, 2, 100, INT32_MAX });
    g_assert_cmpint(seen.last.x, ==, 0);
    g_assert_cmpint(seen.last.width, ==, 4);
    g_assert_cmpint(seen.last.height, ==, 2);
    vit_scanout_damage(s, (VitRect) { 4, 0, 1, 1 });
    g_assert_cmpint(seen.damages, ==, 1);
    vit_surface_unref(surface);
    g_assert_false(gone);
    VitSurface *held = vit_scanout_ref_surface(s);
    vit_scanout_set_surface(s, NULL);
    g_assert_false(gone);
    vit_surface_unref(held);
    g_assert_true(gone);

    VitCursor *cursor = g_malloc0(sizeof *cursor + 16);
    *cursor = (VitCursor) { .width = 2, .height = 2, .hot_x = 1 };
    cursor->argb[3] = 0x80ff0000;
    vit_scanout_set_cursor(s, cursor);
    cursor->width = 1000;       /* too large a shape hides it */
    int x, y;
    bool visible;
    vit_scanout_move_cursor(s, 7, 8, true);
    g_autofree VitCursor *copy = vit_scanout_copy_cursor(s, &x, &y, &visible);
    g_assert_cmphex(copy->argb[3], ==, 0x80ff0000);
    g_assert_true(visible && x == 7 && y == 8);
    vit_scanout_set_cursor(s, cursor);
    g_assert_null(vit_scanout_copy_cursor(s, &x, &y, &visible));
    g_assert_false(visible);
    g_free(cursor);
    vit_scanout_remove_listener(s, &listener, &seen);
    int before = seen.moves;
    vit_scanout_move_cursor(s, 1, 1, true);
    g_assert_cmpint(seen.moves, ==, before);
    vit_scanout_free(s);
}

static void test_save(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("vitrine-XXXXXX", NULL);
    g_autofree char *png = g_build_filename(folder, "a.png", NULL),
                    *ppm = g_build_filename(folder, "a.ppm", NULL);
    static const struct { VitPixelFormat format; uint32_t raw; } rows[] = {
        { VIT_PIXEL_XRGB8888, 0x00102030 }, { VIT_PIXEL_XBGR8888, 0x00302010 },
        { VIT_PIXEL_RGB565, 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(VitSurface) s = vit_surface_new(3, 2, rows[i].format);
        if (rows[i].format == VIT_PIXEL_RGB565)
            memcpy(s->pixels + s->stride + 2, &(uint16_t) { 0xf81f }, 2);
        else
            memcpy(s->pixels + s->stride + 4, &rows[i].raw, 4);
        g_assert_true(vit_surface_save(s, png, &error));
        g_assert_true(vit_surface_save(s, ppm, &error));
        const uint8_t expected[3] = { i == 2 ? 0xff : 0x10, i == 2 ? 0 : 0x20,
                                      i == 2 ? 0xff : 0x30 };

        png_image image = { .version = PNG_IMAGE_VERSION };
        g_assert_true(png_image_begin_read_from_file(&image, png));
        image.format = PNG_FORMAT_RGB;
        g_assert_cmpuint(image.width, ==, 3);
        g_assert_cmpuint(image.height, ==, 2);
        uint8_t rgb[18];
        g_assert_true(png_image_finish_read(&image, NULL, rgb, 9, NULL));
        g_assert_cmpmem(rgb + 12, 3, expected, 3);
        g_assert_cmphex(rgb[0], ==, 0);

        g_autofree char *text = NULL;
        gsize length;
        g_assert_true(g_file_get_contents(ppm, &text, &length, NULL));
        g_assert_cmpuint(length, ==, 11 + 18);
        g_assert_cmpmem(text, 11, "P6\n3 2\n255\n", 11);
        g_assert_cmpmem(text + 11 + 12, 3, expected, 3);
    }
    g_autoptr(VitSurface) s = vit_surface_new(1, 1, VIT_PIXEL_XRGB8888);
    g_assert_false(vit_surface_save(s, "/nowhere/at/all.png", &error));
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    g_clear_error(&error);
    g_assert_false(vit_surface_save(s, "picture.bmp", &error));
    g_assert_nonnull(strstr(error->message, ".png"));
    g_clear_error(&error);
    g_assert_false(vit_surface_save(s, "/dev/full/x.png", &error));
    g_unlink(png);
    g_unlink(ppm);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/display/scanout", test_scanout);
    g_test_add_func("/display/save", test_save);
    return g_test_run();
}
