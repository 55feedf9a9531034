/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/application.c - the application: library, windows, command line */
#include "app/application.h"

#include "app/menu-names.h"
#include "app/window.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <stdio.h>

struct _VitrineApplication {
    AdwApplication  parent;
    VitrineLibrary *library;
    gboolean        stages;     /* --stages: say what happens on standard output */
    gint64          started;    /* monotonic µs */
    GStrv           problems;   /* with descriptions in the library's folder */
};
G_DEFINE_FINAL_TYPE(VitrineApplication, vitrine_application, ADW_TYPE_APPLICATION)

VitrineLibrary *vitrine_application_get_library(VitrineApplication *app)
{
    return app->library;
}

void vitrine_application_stage(VitrineApplication *app, const char *format, ...)
{
    va_list args;

    if (!app->stages)
        return;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    double seconds = (double) (g_get_monotonic_time() - app->started) / G_USEC_PER_SEC;
    printf("[%6.2f s] %s\n", seconds, text);
    fflush(stdout);
}

static void on_first_frame(GdkFrameClock *clock, VitrineApplication *app)
{
    g_signal_handlers_disconnect_by_func(clock, on_first_frame, app);
    vitrine_application_stage(app, "first frame");
}

static void on_window_mapped(GtkWidget *widget, VitrineApplication *app)
{
    g_signal_handlers_disconnect_by_func(widget, on_window_mapped, app);
    g_signal_connect(gtk_widget_get_frame_clock(widget), "after-paint", G_CALLBACK(on_first_frame),
                     app);
}

static VitrineWindow *window(VitrineApplication *app)
{
    GtkWindow *w = gtk_application_get_active_window(GTK_APPLICATION(app));

    if (!w) {
        w = vitrine_window_new(app);
        g_signal_connect(w, "map", G_CALLBACK(on_window_mapped), app);
        vitrine_window_set_problems(VITRINE_WINDOW(w), (const char *const *) app->problems);
    }
    gtk_window_present(w);
    return VITRINE_WINDOW(w);
}

static void activate(GApplication *app)
{
    window(VITRINE_APPLICATION(app));
}

static void open_files(GApplication *app, GFile **files, int n, const char *hint)
{
    if (n > 0)
        vitrine_window_new_machine(window(VITRINE_APPLICATION(app)), files[0]);
}

/* ---- Command line -------------------------------------------------------------------------- */

/* --import FILE: the description comes into the library, in place of one with the same name. */
static VitMachine *import(VitrineApplication *app, GFile *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_load_contents(file, NULL, &text, &length, NULL, error))
        return NULL;
    g_autoptr(VitMachineConfig) config = vit_machine_config_from_json(text, (gssize) length, error);
    if (!config)
        return NULL;
    VitMachine *machine = config->name ? vitrine_library_find(app->library, config->name) : NULL;
    if (!machine)
        return vitrine_library_add(app->library, config, error);
    return vitrine_library_update(app->library, machine, config, error) ? machine : NULL;
}

static VitMachine *wanted_machine(VitrineApplication *app, GApplicationCommandLine *line,
                                  GVariantDict *options, GError **error)
{
    const char *path, *name, *text;

    if (g_variant_dict_lookup(options, "run", "&s", &text)) {
        g_autoptr(VitMachineConfig) config = vit_machine_config_from_json(text, -1, error);
        return config ? vitrine_library_add_unsaved(app->library, config) : NULL;
    }
    if (g_variant_dict_lookup(options, "import", "^&ay", &path)) {
        g_autoptr(GFile) file = g_application_command_line_create_file_for_arg(line, path);
        VitMachine *machine = import(app, file, error);
        if (!machine)
            g_prefix_error(error, "%s: ", path);
        return machine;
    }
    if (!g_variant_dict_lookup(options, "start", "&s", &name))
        return NULL;
    VitMachine *machine = vitrine_library_find(app->library, name);
    if (!machine)
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
            _("There is no machine “%s” in the library; the window shows those that there are"),
            name);
    return machine;
}

static int command_line(GApplication *application, GApplicationCommandLine *line)
{
    VitrineApplication *app = VITRINE_APPLICATION(application);
    GVariantDict *options = g_application_command_line_get_options_dict(line);
    g_auto(GStrv) arguments = g_application_command_line_get_arguments(line, NULL);
    g_autoptr(GError) error = NULL;

    g_variant_dict_lookup(options, "stages", "b", &app->stages);
    VitMachine *machine = wanted_machine(app, line, options, &error);
    if (error) {
        g_application_command_line_printerr(line, "vitrine: %s\n", error->message);
        return 1;
    }
    VitrineWindow *w = window(app);
    if (machine)
        vitrine_window_open_machine(w, machine, TRUE);
    if (arguments[0] && arguments[1]) {
        g_autoptr(GFile) file = g_application_command_line_create_file_for_arg(line, arguments[1]);
        vitrine_window_new_machine(w, file);
    }
    return 0;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void on_about(GSimpleAction *action, GVariant *parameter, void *data)
{
    VitrineApplication *app = data;

    GtkWindow *parent = gtk_application_get_active_window(GTK_APPLICATION(app));

    adw_show_about_dialog(GTK_WIDGET(parent), "application-name", "Vitrine",
                          "application-icon", VITRINE_APP_ID,
                          "version", VIT_VERSION, "developer-name", _("The Vitrine developers"),
                          "license-type", GTK_LICENSE_GPL_3_0,
                          "comments", _("Runs other operating systems"), NULL);
}

static gboolean on_signal(void *app)
{
    g_application_quit(G_APPLICATION(app));
    return G_SOURCE_CONTINUE;
}

static void startup(GApplication *application)
{
    static const GActionEntry actions[] = { { .name = "about", .activate = on_about } };
    VitrineApplication *app = VITRINE_APPLICATION(application);

    G_APPLICATION_CLASS(vitrine_application_parent_class)->startup(application);
    vitrine_menu_names_install();
    g_action_map_add_action_entries(G_ACTION_MAP(app), actions, G_N_ELEMENTS(actions), app);
    app->library = vitrine_library_new(NULL);
    app->problems = vitrine_library_load(app->library);
    g_unix_signal_add(SIGINT, on_signal, app);
    g_unix_signal_add(SIGTERM, on_signal, app);
}

/* Whether some machine is not off; those that can be are told to switch off. */
static gboolean switching_off(GListModel *machines)
{
    gboolean any = FALSE;

    for (guint i = 0; i < g_list_model_get_n_items(machines); i++) {
        g_autoptr(VitMachine) machine = g_list_model_get_item(machines, i);
        VitMachineState state = vit_machine_get_state(machine);
        if (state == VIT_MACHINE_RUNNING || state == VIT_MACHINE_PAUSED)
            vit_machine_power_off_async(machine, NULL, NULL);
        any = any || state != VIT_MACHINE_OFF;
    }
    return any;
}

/* Disks are flushed and closed before the process ends. */
static void application_shutdown(GApplication *application)
{
    VitrineApplication *app = VITRINE_APPLICATION(application);

    while (app->library && switching_off(G_LIST_MODEL(app->library)))
        g_main_context_iteration(NULL, TRUE);
    G_APPLICATION_CLASS(vitrine_application_parent_class)->shutdown(application);
}

static void finalize(GObject *object)
{
    g_clear_object(&VITRINE_APPLICATION(object)->library);
    g_strfreev(VITRINE_APPLICATION(object)->problems);
    G_OBJECT_CLASS(vitrine_application_parent_class)->finalize(object);
}

static void vitrine_application_class_init(VitrineApplicationClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = finalize;
    G_APPLICATION_CLASS(klass)->startup = startup;
    G_APPLICATION_CLASS(klass)->shutdown = application_shutdown;
    G_APPLICATION_CLASS(klass)->activate = activate;
    G_APPLICATION_CLASS(klass)->open = open_files;
    G_APPLICATION_CLASS(klass)->command_line = command_line;
}

static void vitrine_application_init(VitrineApplication *app)
{
    static const GOptionEntry options[] = {
        { "import", 0, 0, G_OPTION_ARG_FILENAME, NULL,
          N_("Add a machine description to the library and start it"), N_("FILE") },
        { "run", 0, 0, G_OPTION_ARG_STRING, NULL,
          N_("Start a machine of this description without keeping it"), N_("JSON") },
        { "start", 0, 0, G_OPTION_ARG_STRING, NULL, N_("Start a machine of the library"),
          N_("NAME") },
        { "stages", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Say on standard output what happens"),
          NULL },
        { NULL },
    };

    app->started = g_get_monotonic_time();
    g_application_add_main_option_entries(G_APPLICATION(app), options);
}

VitrineApplication *vitrine_application_new(void)
{
    return g_object_new(VITRINE_TYPE_APPLICATION, "application-id", VITRINE_APP_ID,
                        "flags", G_APPLICATION_HANDLES_OPEN | G_APPLICATION_HANDLES_COMMAND_LINE,
                        "resource-base-path", VITRINE_RESOURCES, NULL);
}
