/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/window.c - the main window: library, and the page of the machine that is open */
#include "app/window.h"

#include "app/alert.h"
#include "app/machine-card.h"
#include "app/machine-page.h"
#include "app/new-machine-dialog.h"

#include <glib/gi18n.h>

enum { MAX_COLUMNS = 8 };          /* of cards, where the window is wide enough */

struct _VitrineWindow {
    AdwApplicationWindow parent;
    VitrineLibrary    *library;
    AdwToastOverlay   *toasts;
    AdwBanner         *problems;
    char              *problem_text;    /* owned; NULL while there is none */
    AdwNavigationView *navigation;
    GtkStack          *library_stack;
    GtkFlowBox        *grid;
    GHashTable        *pages;       /* VitMachine -> VitrineMachinePage, owned */
    AdwDialog         *leaving;     /* weak: asks whether to power off and quit */
};
G_DEFINE_FINAL_TYPE(VitrineWindow, vitrine_window, ADW_TYPE_APPLICATION_WINDOW)

/* ---- Descriptions that cannot be read -------------------------------------------------------- */

void vitrine_window_set_problems(VitrineWindow *window, const char *const *problems)
{
    guint n = g_strv_length((GStrv) problems);
    g_autofree char *title = g_strdup_printf(
        ngettext("%u machine cannot be shown: its description cannot be read",
                 "%u machines cannot be shown: their descriptions cannot be read", n),
        n);

    g_free(window->problem_text);
    window->problem_text = g_strjoinv("\n\n", (GStrv) problems);
    adw_banner_set_title(window->problems, title);
    adw_banner_set_revealed(window->problems, n > 0);
}

static void on_problem_details(VitrineWindow *window)
{
    vitrine_alert(GTK_WIDGET(window), _("Unreadable Descriptions"), window->problem_text);
}

/* ---- Machines ------------------------------------------------------------------------------ */

void vitrine_window_open_machine(VitrineWindow *window, VitMachine *machine, gboolean start)
{
    AdwNavigationPage *page = g_hash_table_lookup(window->pages, machine);

    if (!page) {
        page = vitrine_machine_page_new(machine);
        g_hash_table_insert(window->pages, machine, g_object_ref_sink(page));
    }
    AdwNavigationPage *visible = adw_navigation_view_get_visible_page(window->navigation);
    AdwNavigationPage *library = adw_navigation_view_find_page(window->navigation, "library");
    if (visible == library)
        adw_navigation_view_push(window->navigation, page);
    else if (visible != page)       /* from one machine to another: Back leads to the library */
        adw_navigation_view_replace(window->navigation,
                                    (AdwNavigationPage *[]) { library, page }, 2);
    if (start)
        vitrine_machine_page_start(VITRINE_MACHINE_PAGE(page));
}

static void on_card_activated(VitrineMachineCard *card, VitMachine *machine)
{
    VitrineWindow *window = VITRINE_WINDOW(gtk_widget_get_root(GTK_WIDGET(card)));

    vitrine_window_open_machine(window, machine, vit_machine_get_state(machine) == VIT_MACHINE_OFF);
}

static GtkWidget *make_card(void *item, void *data)
{
    GtkWidget *card = vitrine_machine_card_new(item);

    g_signal_connect_object(card, "activated", G_CALLBACK(on_card_activated), item,
                            G_CONNECT_DEFAULT);
    return g_object_new(GTK_TYPE_FLOW_BOX_CHILD, "child", card, "focusable", FALSE, NULL);
}

static void update_stack(VitrineWindow *window)
{
    guint n = g_list_model_get_n_items(G_LIST_MODEL(window->library));

    /* No empty columns: a few cards stand in the middle. */
    gtk_flow_box_set_max_children_per_line(window->grid, CLAMP(n, 1, MAX_COLUMNS));
    gtk_stack_set_visible_child_name(window->library_stack, n ? "machines" : "empty");
}

static void on_created(AdwDialog *dialog, VitMachine *machine, VitrineWindow *window)
{
    vitrine_window_open_machine(window, machine, TRUE);
}

void vitrine_window_new_machine(VitrineWindow *window, GFile *file)
{
    AdwDialog *dialog = vitrine_new_machine_dialog_new(window->library, file);

    g_signal_connect_object(dialog, "created", G_CALLBACK(on_created), window, G_CONNECT_DEFAULT);
    adw_dialog_present(dialog, GTK_WIDGET(window));
}

static void on_new_machine(GtkWidget *widget, const char *name, GVariant *parameter)
{
    vitrine_window_new_machine(VITRINE_WINDOW(widget), NULL);
}

/* The desktop's list of windows tells what is shown. */
static void on_visible_page(VitrineWindow *window)
{
    AdwNavigationPage *page = adw_navigation_view_get_visible_page(window->navigation);

    if (page)
        gtk_window_set_title(GTK_WINDOW(window), adw_navigation_page_get_title(page));
}

static gboolean on_drop(GtkDropTarget *target, const GValue *value, double x, double y,
                        VitrineWindow *window)
{
    vitrine_window_new_machine(window, g_value_get_object(value));
    return TRUE;
}

/* ---- Leaving ------------------------------------------------------------------------------- */

static guint running(VitrineWindow *window)
{
    guint n = 0;

    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(window->library)); i++) {
        g_autoptr(VitMachine) machine = g_list_model_get_item(G_LIST_MODEL(window->library), i);
        n += vit_machine_get_state(machine) != VIT_MACHINE_OFF;
    }
    return n;
}

static void on_quit_answer(AdwAlertDialog *dialog, const char *response, VitrineWindow *window)
{
    if (g_str_equal(response, "quit"))
        gtk_window_destroy(GTK_WINDOW(window));
}

static gboolean on_close(GtkWindow *gtk_window)
{
    VitrineWindow *window = VITRINE_WINDOW(gtk_window);
    guint n = running(window);

    if (!n || window->leaving)
        return n > 0;
    const char *format = ngettext(
        "%u machine is still on. What its guest has not saved is lost.",
        "%u machines are still on. What their guests have not saved is lost.", n);
    g_autofree char *body = g_strdup_printf(format, n);
    AdwDialog *dialog = adw_alert_dialog_new(_("Power Off and Quit?"), body);
    AdwAlertDialog *alert = ADW_ALERT_DIALOG(dialog);
    adw_alert_dialog_add_responses(alert, "cancel", _("_Cancel"), "quit", _("Power Off and _Quit"),
                                   NULL);
    adw_alert_dialog_set_response_appearance(alert, "quit", ADW_RESPONSE_DESTRUCTIVE);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_quit_answer), window,
                            G_CONNECT_DEFAULT);
    g_set_weak_pointer(&window->leaving, dialog);
    adw_dialog_present(dialog, GTK_WIDGET(window));
    return TRUE;
}

/* ---- Object -------------------------------------------------------------------------------- */

static void dispose(GObject *object)
{
    VitrineWindow *window = VITRINE_WINDOW(object);

    if (window->library)
        g_signal_handlers_disconnect_by_data(window->library, window);
    g_clear_weak_pointer(&window->leaving);
    g_clear_pointer(&window->pages, g_hash_table_unref);
    g_clear_pointer(&window->problem_text, g_free);
    gtk_widget_dispose_template(GTK_WIDGET(window), VITRINE_TYPE_WINDOW);
    g_clear_object(&window->library);
    G_OBJECT_CLASS(vitrine_window_parent_class)->dispose(object);
}

static void vitrine_window_class_init(VitrineWindowClass *klass)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = dispose;
    GTK_WINDOW_CLASS(klass)->close_request = on_close;
    gtk_widget_class_set_template_from_resource(widget, VITRINE_RESOURCES "/window.ui");
    gtk_widget_class_bind_template_child(widget, VitrineWindow, toasts);
    gtk_widget_class_bind_template_child(widget, VitrineWindow, navigation);
    gtk_widget_class_bind_template_child(widget, VitrineWindow, problems);
    gtk_widget_class_bind_template_callback(widget, on_problem_details);
    gtk_widget_class_bind_template_child(widget, VitrineWindow, library_stack);
    gtk_widget_class_bind_template_child(widget, VitrineWindow, grid);
    gtk_widget_class_bind_template_callback(widget, on_visible_page);
    gtk_widget_class_install_action(widget, "win.new-machine", NULL, on_new_machine);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_n, GDK_CONTROL_MASK, "win.new-machine",
                                        NULL);
}

static void vitrine_window_init(VitrineWindow *window)
{
    GtkDropTarget *drop = gtk_drop_target_new(G_TYPE_FILE, GDK_ACTION_COPY);

    gtk_widget_init_template(GTK_WIDGET(window));
    window->pages = g_hash_table_new_full(NULL, NULL, NULL, g_object_unref);
    g_signal_connect(drop, "drop", G_CALLBACK(on_drop), window);
    gtk_widget_add_controller(GTK_WIDGET(window), GTK_EVENT_CONTROLLER(drop));
}

GtkWindow *vitrine_window_new(VitrineApplication *app)
{
    VitrineWindow *window = g_object_new(VITRINE_TYPE_WINDOW, "application", app, NULL);

    window->library = g_object_ref(vitrine_application_get_library(app));
    gtk_flow_box_bind_model(window->grid, G_LIST_MODEL(window->library), make_card, NULL, NULL);
    g_signal_connect_swapped(window->library, "items-changed", G_CALLBACK(update_stack), window);
    update_stack(window);
    return GTK_WINDOW(window);
}
