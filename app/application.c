/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/application.c - the application: library, windows, command line */
#include "app/application.h"

#include "app/window.h"

#include <glib/gi18n.h>
#include <stdio.h>

struct _VitrineApplication {
    AdwApplication  parent;
    VitrineLibrary *library;
    gboolean        stages;     /* --stages: say what happens on standard output */
    gint64          started;    /* monotonic µs */
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
    printf("[%6.2f s] %s\n", (double) (g_get_monotonic_time() - app->started) / G_USEC_PER_SEC, text);
    fflush(stdout);
}

static void on_first_frame(GdkFrameClock *clock, VitrineApplication *app)
{
    g_signal_handlers_disconnect_by_func(clock, on_first_frame, app);
    vitrine_application_stage(app, "window shown");
}

static VitrineWindow *window(VitrineApplication *app)
{
    GtkWindow *w = gtk_application_get_active_window(GTK_APPLICATION(app));

    if (!w) {
        w = vitrine_window_new(app);
        gtk_widget_realize(GTK_WIDGET(w));
        g_signal_connect(gtk_widget_get_frame_clock(GTK_WIDGET(w)), "after-paint", G_CALLBACK(on_first_frame), app);
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

/* --import FILE: takes a description into the library unless a machine of that name is there. */
static VitMachine *import(VitrineApplication *app, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error))
        return NULL;
    g_autoptr(VitMachineConfig) config = vit_machine_config_from_json(text, (gssize) length, error);
    if (!config)
        return NULL;
    VitMachine *machine = vitrine_library_find(app->library, config->name);
    if (!machine)
        return vitrine_library_add(app->library, config, error);
    if (vit_machine_get_state(machine) == VIT_MACHINE_OFF)
        vit_machine_set_config(machine, config);
    return machine;
}

static int command_line(GApplication *application, GApplicationCommandLine *line)
{
    VitrineApplication *app = VITRINE_APPLICATION(application);
    GVariantDict *options = g_application_command_line_get_options_dict(line);
    g_autoptr(GError) error = NULL;
    const char *path = NULL, *name = NULL;
    VitMachine *machine = NULL;
    g_auto(GStrv) arguments = g_application_command_line_get_arguments(line, NULL);

    g_variant_dict_lookup(options, "stages", "b", &app->stages);
    VitrineWindow *w = window(app);
    if (g_variant_dict_lookup(options, "import", "^&ay", &path)) {
        machine = import(app, path, &error);
        if (!machine) {
            g_application_command_line_printerr(line, "vitrine: %s: %s\n", path, error->message);
            return 1;
        }
    }
    if (g_variant_dict_lookup(options, "start", "&s", &name)) {
        machine = vitrine_library_find(app->library, name);
        if (!machine) {
            g_application_command_line_printerr(line, _("vitrine: there is no machine “%s” in the library\n"), name);
            return 1;
        }
    }
    if (machine)
        vitrine_window_open_machine(w, machine, TRUE);
    if (arguments[0] && arguments[1]) {
        g_autoptr(GFile) file = g_application_command_line_create_file_for_arg(line, arguments[1]);
        vitrine_window_new_machine(w, file);
    }
    return 0;
}

static void on_about(GSimpleAction *action, GVariant *parameter, void *data)
{
    VitrineApplication *app = data;

    adw_show_about_dialog(GTK_WIDGET(gtk_application_get_active_window(GTK_APPLICATION(app))),
                          "application-name", "Vitrine", "application-icon", VITRINE_APP_ID,
                          "version", VIT_VERSION, "developer-name", _("The Vitrine developers"),
                          "license-type", GTK_LICENSE_GPL_3_0,
                          "comments", _("Runs other operating systems"), NULL);
}

static void startup(GApplication *application)
{
    static const GActionEntry actions[] = { { .name = "about", .activate = on_about } };
    VitrineApplication *app = VITRINE_APPLICATION(application);

    G_APPLICATION_CLASS(vitrine_application_parent_class)->startup(application);
    g_action_map_add_action_entries(G_ACTION_MAP(app), actions, G_N_ELEMENTS(actions), app);
    app->library = vitrine_library_new(NULL);
    g_auto(GStrv) problems = vitrine_library_load(app->library);
    for (guint i = 0; problems[i]; i++)
        g_warning("%s", problems[i]);
}

static void finalize(GObject *object)
{
    g_clear_object(&VITRINE_APPLICATION(object)->library);
    G_OBJECT_CLASS(vitrine_application_parent_class)->finalize(object);
}

static void vitrine_application_class_init(VitrineApplicationClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = finalize;
    G_APPLICATION_CLASS(klass)->startup = startup;
    G_APPLICATION_CLASS(klass)->activate = activate;
    G_APPLICATION_CLASS(klass)->open = open_files;
    G_APPLICATION_CLASS(klass)->command_line = command_line;
}

static void vitrine_application_init(VitrineApplication *app)
{
    static const GOptionEntry options[] = {
        { "import", 0, 0, G_OPTION_ARG_FILENAME, NULL, N_("Add a machine description to the library and start it"), N_("FILE") },
        { "start", 0, 0, G_OPTION_ARG_STRING, NULL, N_("Start a machine of the library"), N_("NAME") },
        { "stages", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Say on standard output what happens"), NULL },
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
