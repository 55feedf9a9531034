/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/app/test-library.c - descriptions on disk come and go; what is broken is told and kept */
#include "app/library.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct { char *folder; VitrineLibrary *library; } Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->folder = g_dir_make_tmp("vitrine-library-XXXXXX", NULL);
    f->library = vitrine_library_new(f->folder);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    g_remove(path);
}

static void tear_down(Fixture *f, const void *unused)
{
    g_assert_finalize_object(f->library);
    remove_tree(f->folder);
    g_free(f->folder);
}

static char *path_of(Fixture *f, const char *name)
{
    return g_build_filename(f->folder, "machines", name, NULL);
}

static VitMachine *add(Fixture *f, const char *name)
{
    g_autoptr(VitMachineConfig) config = vit_machine_config_new();
    g_autoptr(GError) error = NULL;

    config->name = g_strdup(name);
    config->ram_size = 1ULL << 30;
    VitMachine *machine = vitrine_library_add(f->library, config, &error);
    g_assert_no_error(error);
    return machine;
}

static guint count(Fixture *f)
{
    return g_list_model_get_n_items(G_LIST_MODEL(f->library));
}

static void assert_file(Fixture *f, const char *name, bool there)
{
    g_autofree char *path = path_of(f, name);

    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS) == there);
}

static void test_add(Fixture *f, const void *unused)
{
    g_auto(GStrv) none = vitrine_library_load(f->library);

    g_assert_cmpuint(g_strv_length(none), ==, 0);       /* no folder yet: an empty library */
    add(f, "Zebra");
    add(f, "../../Ant/1");
    add(f, "Zebra");
    assert_file(f, "Zebra.json", true);
    assert_file(f, "Zebra-2.json", true);
    g_autofree char *outside = g_build_filename(f->folder, "..", "Ant", NULL);
    g_assert_false(g_file_test(outside, G_FILE_TEST_EXISTS));
    g_assert_nonnull(vitrine_library_find(f->library, "../../Ant/1"));
    g_assert_null(vitrine_library_find(f->library, "ant"));

    g_autoptr(VitrineLibrary) again = vitrine_library_new(f->folder);
    g_auto(GStrv) problems = vitrine_library_load(again);
    g_assert_cmpuint(g_strv_length(problems), ==, 0);
    g_assert_cmpuint(g_list_model_get_n_items(G_LIST_MODEL(again)), ==, 3);
    g_autoptr(VitMachine) first = g_list_model_get_item(G_LIST_MODEL(again), 0);
    g_assert_cmpstr(vit_machine_get_config(first)->name, ==, "../../Ant/1");
    g_assert_cmpuint(vit_machine_get_config(first)->ram_size, ==, 1ULL << 30);
}

static void test_update(Fixture *f, const void *unused)
{
    VitMachine *machine = add(f, "One");
    g_autoptr(VitMachineConfig) config = vit_machine_config_copy(vit_machine_get_config(machine));
    g_autoptr(GError) error = NULL;

    config->n_cpus = 3;
    g_assert_true(vitrine_library_update(f->library, machine, config, &error));
    g_assert_cmpuint(vit_machine_get_config(machine)->n_cpus, ==, 3);
    g_assert_cmpuint(count(f), ==, 1);
    g_auto(GStrv) problems = vitrine_library_load(f->library);
    g_assert_cmpuint(g_strv_length(problems), ==, 0);
    machine = vitrine_library_find(f->library, "One");
    g_assert_cmpuint(vit_machine_get_config(machine)->n_cpus, ==, 3);
    assert_file(f, "One-2.json", false);
}

/* Whatever lies in the folder: each file is a machine or a message with its name; all stay. */
static void test_corrupt(Fixture *f, const void *unused)
{
    static const struct { const char *name, *text; gssize length; } files[] = {
        { "empty.json", "", 0 },
        { "half.json", "{\"schema\": 1, \"na", -1 },
        { "list.json", "[1, 2]", -1 },
        { "future.json", "{\"schema\": 99}", -1 },
        { "typo.json", "{\"schema\": 1, \"drivs\": []}", -1 },
        { "type.json", "{\"schema\": 1, \"drives\": 7}", -1 },
        { "deep.json", "{\"schema\": 1, \"drives\": [[[[[[[[]]]]]]]]}", -1 },
        { "zeros.json", "\0\0\0\0\0\0\0\0", 8 },
        { "bytes.json", "{\"schema\": 1, \"name\": \"\xff\xfe\"}", -1 },
    };

    add(f, "Good");
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = path_of(f, files[i].name);
        g_assert_true(g_file_set_contents(path, files[i].text, files[i].length, NULL));
    }
    g_autofree char *folder = path_of(f, "folder.json"), *other = path_of(f, "notes.txt");
    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(other, "not ours", -1, NULL));

    g_auto(GStrv) problems = vitrine_library_load(f->library);
    g_autofree char *all = g_strjoinv("\n", problems);
    g_assert_cmpuint(g_strv_length(problems), ==, G_N_ELEMENTS(files) + 1);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *text = NULL, *path = path_of(f, files[i].name);
        gsize length, expected = (gsize) files[i].length;
        if (files[i].length < 0)
            expected = strlen(files[i].text);
        g_assert_nonnull(strstr(all, files[i].name));
        g_assert_true(g_file_get_contents(path, &text, &length, NULL));
        g_assert_cmpmem(text, length, files[i].text, expected);
    }
    g_assert_true(g_utf8_validate(all, -1, NULL));
    g_assert_cmpuint(count(f), ==, 1);
    g_assert_nonnull(vitrine_library_find(f->library, "Good"));
}

/* A description cut anywhere is refused or, cut in white space at its end, read whole. */
static void test_truncated(Fixture *f, const void *unused)
{
    g_autofree char *path = path_of(f, "One.json"), *text = NULL;
    gsize length;

    add(f, "One");
    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    for (gsize n = 0; n + 3 < length; n++) {
        g_assert_true(g_file_set_contents(path, text, (gssize) n, NULL));
        g_auto(GStrv) problems = vitrine_library_load(f->library);
        g_assert_cmpuint(g_strv_length(problems) + count(f), ==, 1);
        g_assert_cmpuint(count(f), ==, 0);
    }
}

static void test_disk(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = vitrine_library_disk_path(f->library, "a/b", &error), *text = NULL;
    GStatBuf st;

    g_assert_no_error(error);
    g_assert_true(vitrine_library_create_disk(path, 5ULL << 30, &error));
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 5LL << 30);
    g_assert_cmpint(st.st_blocks, <, 100);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    g_autofree char *next = vitrine_library_disk_path(f->library, "a/b", &error);
    g_assert_cmpstr(next, !=, path);
    g_assert_false(vitrine_library_create_disk(path, 1 << 20, &error));     /* never overwritten */
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 5LL << 30);
}

static void test_unwritable(Fixture *f, const void *unused)
{
    g_autofree char *folder = g_build_filename(f->folder, "machines", NULL);
    g_autoptr(VitMachineConfig) config = vit_machine_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(folder, "a file where the folder should be", -1, NULL));
    g_assert_null(vitrine_library_add(f->library, config, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, folder));
    g_assert_cmpuint(count(f), ==, 0);
}

static void add_test(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_test("/library/add", test_add);
    add_test("/library/update", test_update);
    add_test("/library/corrupt", test_corrupt);
    add_test("/library/truncated", test_truncated);
    add_test("/library/disk", test_disk);
    add_test("/library/unwritable", test_unwritable);
    return g_test_run();
}
