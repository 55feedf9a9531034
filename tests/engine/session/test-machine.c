/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/session/test-machine.c - a machine's life as the application sees it
 *
 * The guest is the firmware, which finds nothing to boot. */
#include "engine/vitrine.h"

#include <glib/gstdio.h>
#include <string.h>

enum { PATIENCE = 20 };         /* seconds; a hung machine is a failure, not a hung test */

static VitMachineConfig *config_new(void)
{
    VitMachineConfig *config = vit_machine_config_new();

    config->name = g_strdup("Test");
    config->ram_size = 32 << 20;
    return config;
}

static VitMachine *machine_new(void)
{
    g_autoptr(VitMachineConfig) config = config_new();

    return vit_machine_new(config);
}

static void wait_for(VitMachine *machine, VitMachineState state)
{
    gint64 end = g_get_monotonic_time() + PATIENCE * G_USEC_PER_SEC;

    while (vit_machine_get_state(machine) != state) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
    }
}

static void finished(GObject *source, GAsyncResult *result, gpointer data)
{
    GAsyncResult **out = data;

    *out = g_object_ref(result);
}

static bool start(VitMachine *machine, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    vit_machine_start_async(machine, NULL, finished, &result);
    while (!result)
        g_main_context_iteration(NULL, TRUE);
    return vit_machine_start_finish(machine, result, error);
}

static void start_well(VitMachine *machine)
{
    g_autoptr(GError) error = NULL;

    start(machine, &error);
    g_assert_no_error(error);
    wait_for(machine, VIT_MACHINE_RUNNING);
}

static void stop(VitMachine *machine)
{
    vit_machine_power_off_async(machine, NULL, NULL);
    wait_for(machine, VIT_MACHINE_OFF);
}

/* Runs what is still queued, then the object must be gone. */
static void release(VitMachine *machine)
{
    VitMachine *watched = machine;
    gint64 end = g_get_monotonic_time() + PATIENCE * G_USEC_PER_SEC;

    g_object_add_weak_pointer(G_OBJECT(machine), (gpointer *) &watched);
    g_object_unref(machine);
    while (watched) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
    }
}

static void test_life(void)
{
    VitMachine *machine = machine_new();
    GListModel *displays = vit_machine_get_displays(machine);

    g_assert_cmpint(vit_machine_get_state(machine), ==, VIT_MACHINE_OFF);
    g_assert_cmpuint(g_list_model_get_n_items(displays), ==, 0);
    g_assert_null(vit_machine_get_engine(machine));
    for (int i = 0; i < 5; i++) {
        start_well(machine);
        g_assert_cmpuint(g_list_model_get_n_items(displays), ==, 1);
        g_assert_nonnull(vit_machine_get_engine(machine));
        vit_machine_pause(machine);
        wait_for(machine, VIT_MACHINE_PAUSED);
        vit_machine_reset(machine);
        vit_machine_resume(machine);
        wait_for(machine, VIT_MACHINE_RUNNING);
        vit_machine_press_power_button(machine);
        stop(machine);
        g_assert_cmpuint(g_list_model_get_n_items(displays), ==, 0);
        g_assert_null(vit_machine_get_engine(machine));
    }
    release(machine);
}

static void test_busy(void)
{
    VitMachine *machine = machine_new();
    g_autoptr(GError) error = NULL;

    start_well(machine);
    g_assert_false(start(machine, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_BUSY);
    g_assert_cmpint(vit_machine_get_state(machine), ==, VIT_MACHINE_RUNNING);
    stop(machine);
    release(machine);
}

static void test_cannot_start(void)
{
    VitMachine *machine = machine_new();
    g_autoptr(VitMachineConfig) config = config_new(), good = config_new();
    g_autoptr(GError) error = NULL;

    config->kernel = g_strdup("/no/such/kernel");
    vit_machine_set_config(machine, config);
    g_assert_false(start(machine, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "/no/such/kernel"));
    g_assert_nonnull(strstr(error->message, "check its path"));
    g_assert_cmpint(vit_machine_get_state(machine), ==, VIT_MACHINE_OFF);
    g_assert_cmpuint(g_list_model_get_n_items(vit_machine_get_displays(machine)), ==, 0);
    vit_machine_set_config(machine, good);
    start_well(machine);
    stop(machine);
    release(machine);
}

/* The last reference goes while the guest runs: the engine ends all the same. */
static void test_dropped(void)
{
    for (int i = 0; i < 3; i++) {
        VitMachine *machine = machine_new();
        start_well(machine);
        release(machine);
    }
}

static void test_two(void)
{
    VitMachine *one = machine_new(), *two = machine_new();

    start_well(one);
    start_well(two);
    vit_machine_pause(one);
    wait_for(one, VIT_MACHINE_PAUSED);
    g_assert_cmpint(vit_machine_get_state(two), ==, VIT_MACHINE_RUNNING);
    stop(one);
    g_assert_cmpint(vit_machine_get_state(two), ==, VIT_MACHINE_RUNNING);
    stop(two);
    release(one);
    release(two);
}

/* A display outlives its machine's run: it is blank, and takes keys without harm. */
static void test_display(void)
{
    VitMachine *machine = machine_new();
    int width, height, stride, format, x, y, hot_x, hot_y;
    gboolean visible;

    start_well(machine);
    g_autoptr(VitDisplay) display = g_list_model_get_item(vit_machine_get_displays(machine), 0);
    vit_display_refresh(display);
    for (unsigned code = 0; code < 1024; code++)
        vit_display_key(display, code, TRUE);
    vit_display_motion_absolute(display, -5, 7);
    vit_display_motion_relative(display, 1e9, -1e9);
    vit_display_scroll(display, 0.3, -1e9);
    vit_display_release_all(display);
    vit_display_request_size(display, 800, 600, 0, 0);
    stop(machine);
    g_assert_null(vit_display_get_pixels(display, &width, &height, &stride, &format));
    g_assert_null(
        vit_display_get_cursor(display, &width, &height, &hot_x, &hot_y, &x, &y, &visible));
    vit_display_refresh(display);
    vit_display_key(display, 30, TRUE);
    vit_display_release_all(display);
    vit_display_request_size(display, 800, 600, 0, 0);
    g_object_get(display, "width", &width, NULL);
    g_assert_cmpint(width, ==, 0);
    release(machine);
}

static void test_screenshot(void)
{
    VitMachine *machine = machine_new();
    g_autofree char *folder = g_dir_make_tmp("vitrine-session-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "picture.png", NULL), *text = NULL;
    gint64 end = g_get_monotonic_time() + PATIENCE * G_USEC_PER_SEC;
    g_autoptr(GError) error = NULL;
    int width = 0;
    gsize length;

    start_well(machine);
    g_autoptr(VitDisplay) display = g_list_model_get_item(vit_machine_get_displays(machine), 0);
    while (!width) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        vit_display_refresh(display);
        g_main_context_iteration(NULL, FALSE);
        g_object_get(display, "width", &width, NULL);
        g_usleep(5000);
    }
    for (int i = 0; i < 2; i++) {       /* the second one: the path cannot be written */
        g_autoptr(GAsyncResult) result = NULL;
        g_autofree char *bad = g_build_filename(path, "below-a-file.png", NULL);
        vit_display_save_screenshot_async(display, i ? bad : path, finished, &result);
        while (!result)
            g_main_context_iteration(NULL, TRUE);
        g_autofree char *saved = vit_display_save_screenshot_finish(display, result, &error);
        g_assert_cmpstr(saved, ==, i ? NULL : path);
        g_assert_true((error != NULL) == (i > 0));
    }
    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    g_assert_cmpuint(length, >, 64);
    g_assert_cmpmem(text, 4, "\x89PNG", 4);
    g_remove(path);
    g_rmdir(folder);
    stop(machine);
    release(machine);
}

static void test_usage(void)
{
    VitMachine *machine = machine_new();
    gint64 end = g_get_monotonic_time() + PATIENCE * G_USEC_PER_SEC;
    double usage = 0;

    start_well(machine);
    while (usage == 0) {        /* the firmware looks for a disk: some work at least */
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_main_context_iteration(NULL, TRUE);
        g_object_get(machine, "cpu-usage", &usage, NULL);
    }
    g_assert_cmpfloat(usage, <, 1.5);
    stop(machine);
    release(machine);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/life", test_life);
    g_test_add_func("/session/busy", test_busy);
    g_test_add_func("/session/cannot-start", test_cannot_start);
    g_test_add_func("/session/dropped", test_dropped);
    g_test_add_func("/session/two", test_two);
    g_test_add_func("/session/display", test_display);
    g_test_add_func("/session/screenshot", test_screenshot);
    g_test_add_func("/session/usage", test_usage);
    return g_test_run();
}
