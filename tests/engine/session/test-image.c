/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/session/test-image.c - what the application is told of an image */
#include "engine/vitrine.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    char *folder, *path;        /* owned */
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp("vitrine-image-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "disk", NULL);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_unlink(f->path);
    g_rmdir(f->folder);
    g_free(f->path);
    g_free(f->folder);
}

static void keep(GObject *source, GAsyncResult *result, gpointer data)
{
    GAsyncResult **out = data;

    *out = g_object_ref(result);
}

static VitImageInfo *inspect(const char *path, GCancellable *cancellable, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    vit_image_inspect_async(path, cancellable, keep, &result);
    while (!result)
        g_main_context_iteration(NULL, TRUE);
    return vit_image_inspect_finish(result, error);
}

static void create(Fixture *f, const char *options)
{
    g_autofree char *command =
        g_strdup_printf("qemu-img create -q %s %s 3M", options, f->path);
    int status;

    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
}

static void test_formats(Fixture *f, gconstpointer unused)
{
    static const char *const formats[] = { "raw", "qcow2", "vmdk", "vdi", "qed" };

    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *option = g_strconcat("-f ", formats[i], NULL);
        g_autoptr(GError) error = NULL;
        create(f, option);
        g_autoptr(VitImageInfo) info = inspect(f->path, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(info->format, ==, formats[i]);
        g_assert_cmpuint(info->size, ==, 3 << 20);
        g_assert_false(info->encrypted);
    }
}

static void test_encrypted(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    create(f, "--object secret,id=s,data=x -f qcow2 "
              "-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10");
    g_autoptr(VitImageInfo) info = inspect(f->path, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(info->encrypted);
}

static void test_refused(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) missing = NULL, broken = NULL, cancelled = NULL;

    g_assert_null(inspect(f->path, NULL, &missing));
    g_assert_nonnull(strstr(missing->message, f->path));
    g_assert_true(g_file_set_contents(f->path, "QFI\xfb\0\0\0\x63", 8, NULL));
    g_assert_null(inspect(f->path, NULL, &broken));
    g_assert_nonnull(strstr(broken->message, f->path));
    g_cancellable_cancel(cancellable);
    g_assert_null(inspect(f->path, cancellable, &cancelled));
    g_assert_error(cancelled, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/image/formats", Fixture, NULL, set_up, test_formats, tear_down);
    g_test_add("/image/encrypted", Fixture, NULL, set_up, test_encrypted, tear_down);
    g_test_add("/image/refused", Fixture, NULL, set_up, test_refused, tear_down);
    return g_test_run();
}
