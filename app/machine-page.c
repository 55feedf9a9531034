/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-page.c - one machine: its display, and what can be done with it */
#include "app/machine-page.h"

#include "app/application.h"
#include "app/machine-state.h"
#include "widgets/display-view.h"

#include <glib/gi18n.h>
#include <linux/input-event-codes.h>
#include <string.h>

struct _VitrineMachinePage {
    AdwNavigationPage parent;
    VitMachine      *machine;
    AdwToolbarView  *toolbar;
    AdwWindowTitle  *heading;
    GtkToggleButton *pause;
    GtkStack        *stack;
    VitDisplayView  *view;
    AdwStatusPage   *off_status;
    GtkRevealer     *paused_revealer, *leave_revealer;
    char            *problem;       /* why it did not start, or stopped; NULL */
};
G_DEFINE_FINAL_TYPE(VitrineMachinePage, vitrine_machine_page, ADW_TYPE_NAVIGATION_PAGE)

static VitrineApplication *application(void)
{
    return VITRINE_APPLICATION(g_application_get_default());
}

static void toast(VitrineMachinePage *page, const char *text)
{
    GtkWidget *overlay = gtk_widget_get_ancestor(GTK_WIDGET(page), ADW_TYPE_TOAST_OVERLAY);
    g_autofree char *markup = g_markup_escape_text(text, -1);

    if (overlay)
        adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(overlay), adw_toast_new(markup));
}

/* ---- What is shown ---------------------------------------------------------------------------------- */

static void show_off(VitrineMachinePage *page)
{
    g_autofree char *markup = g_markup_escape_text(page->problem ?: "", -1);

    adw_status_page_set_icon_name(page->off_status, page->problem ? "dialog-warning-symbolic" : "system-shutdown-symbolic");
    adw_status_page_set_title(page->off_status, page->problem ? _("The Machine Cannot Run") : _("Switched Off"));
    adw_status_page_set_description(page->off_status, markup);
    gtk_stack_set_visible_child_name(page->stack, "off");
}

static void update_subtitle(VitrineMachinePage *page)
{
    gboolean grabbed;

    g_object_get(page->view, "grabbed", &grabbed, NULL);
    adw_window_title_set_subtitle(page->heading, grabbed ? _("Ctrl+Alt gives the keyboard back")
                                                         : vitrine_machine_state_text(vit_machine_get_state(page->machine)));
}

static void enable(VitrineMachinePage *page, const char *action, gboolean on)
{
    gtk_widget_action_set_enabled(GTK_WIDGET(page), action, on);
}

static void update(VitrineMachinePage *page)
{
    VitMachineState state = vit_machine_get_state(page->machine);
    gboolean alive = state == VIT_MACHINE_RUNNING || state == VIT_MACHINE_PAUSED;
    g_autoptr(VitDisplay) display = g_list_model_get_item(vit_machine_get_displays(page->machine), 0);

    adw_navigation_page_set_title(ADW_NAVIGATION_PAGE(page), vitrine_machine_title(page->machine));
    adw_window_title_set_title(page->heading, vitrine_machine_title(page->machine));
    vit_display_view_set_display(page->view, display);
    update_subtitle(page);
    gtk_revealer_set_reveal_child(page->paused_revealer, state == VIT_MACHINE_PAUSED);
    enable(page, "machine.pause", alive);
    enable(page, "machine.reset", alive);
    enable(page, "machine.power-button", state == VIT_MACHINE_RUNNING);
    enable(page, "machine.power-off", alive);
    enable(page, "machine.screenshot", alive);
    enable(page, "machine.send-keys", state == VIT_MACHINE_RUNNING);
    enable(page, "machine.start", state == VIT_MACHINE_OFF);
    if (alive)
        gtk_stack_set_visible_child_name(page->stack, "display");
    else if (state == VIT_MACHINE_OFF)
        show_off(page);
    else
        gtk_stack_set_visible_child_name(page->stack, "starting");
}

static void on_state(VitrineMachinePage *page)
{
    VitMachineState state = vit_machine_get_state(page->machine);

    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(page->machine),
                              vitrine_machine_state_text(state));
    gtk_toggle_button_set_active(page->pause, state == VIT_MACHINE_PAUSED);
    update(page);
    if (state == VIT_MACHINE_RUNNING)
        gtk_widget_grab_focus(GTK_WIDGET(page->view));
}

static void on_grabbed(VitDisplayView *view, GParamSpec *spec, VitrineMachinePage *page)
{
    update_subtitle(page);
}

static void on_stopped(VitMachine *machine, const char *reason, VitrineMachinePage *page)
{
    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(machine), reason ?: "stopped");
}

static void on_host_error(VitMachine *machine, const char *message, VitrineMachinePage *page)
{
    toast(page, message);
}

/* ---- Actions ------------------------------------------------------------------------------------------ */

static void started(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VitrineMachinePage) page = data;
    g_autoptr(GError) error = NULL;

    if (vit_machine_start_finish(VIT_MACHINE(source), result, &error))
        return;
    g_free(page->problem);
    page->problem = g_strdup(error->message);
    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(page->machine), error->message);
    update(page);
}

void vitrine_machine_page_start(VitrineMachinePage *page)
{
    if (vit_machine_get_state(page->machine) != VIT_MACHINE_OFF)
        return;
    g_clear_pointer(&page->problem, g_free);
    vit_machine_start_async(page->machine, NULL, started, g_object_ref(page));
}

static void on_start(GtkWidget *widget, const char *name, GVariant *parameter)
{
    vitrine_machine_page_start(VITRINE_MACHINE_PAGE(widget));
}

static void on_pause(GtkWidget *widget, const char *name, GVariant *parameter)
{
    VitMachine *machine = VITRINE_MACHINE_PAGE(widget)->machine;

    if (vit_machine_get_state(machine) == VIT_MACHINE_PAUSED)
        vit_machine_resume(machine);
    else
        vit_machine_pause(machine);
}

static void on_reset(GtkWidget *widget, const char *name, GVariant *parameter)
{
    vit_machine_reset(VITRINE_MACHINE_PAGE(widget)->machine);
}

static void on_power_button(GtkWidget *widget, const char *name, GVariant *parameter)
{
    vit_machine_press_power_button(VITRINE_MACHINE_PAGE(widget)->machine);
}

static void on_power_off_answer(AdwAlertDialog *dialog, const char *response, VitrineMachinePage *page)
{
    if (!strcmp(response, "off"))
        vit_machine_power_off_async(page->machine, NULL, NULL);
}

static void on_power_off(GtkWidget *widget, const char *name, GVariant *parameter)
{
    AdwDialog *dialog = adw_alert_dialog_new(_("Power Off?"), _("What the guest has not saved is lost."));
    AdwAlertDialog *alert = ADW_ALERT_DIALOG(dialog);

    adw_alert_dialog_add_responses(alert, "cancel", _("_Cancel"), "off", _("Power _Off"), NULL);
    adw_alert_dialog_set_response_appearance(alert, "off", ADW_RESPONSE_DESTRUCTIVE);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_power_off_answer), widget, G_CONNECT_DEFAULT);
    adw_dialog_present(dialog, widget);
}

static void on_fullscreen(GtkWidget *widget, const char *name, GVariant *parameter)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_root(widget));
    gboolean full = !gtk_window_is_fullscreen(window);

    if (full)
        gtk_window_fullscreen(window);
    else
        gtk_window_unfullscreen(window);
    adw_toolbar_view_set_reveal_top_bars(page->toolbar, !full);
    gtk_revealer_set_reveal_child(page->leave_revealer, FALSE);
    gtk_widget_grab_focus(GTK_WIDGET(page->view));
}

/* In fullscreen the pointer at the upper edge shows the way out. */
static void on_edge(GtkEventControllerMotion *controller, double x, double y, VitrineMachinePage *page)
{
    gboolean hidden = !adw_toolbar_view_get_reveal_top_bars(page->toolbar);
    gboolean shown = gtk_revealer_get_reveal_child(page->leave_revealer);

    gtk_revealer_set_reveal_child(page->leave_revealer, hidden && (y < 2 || (shown && y < 60)));
}

static guint key_code(const char *name)
{
    static const struct { const char *name; guint code; } keys[] = {
        { "ctrl", KEY_LEFTCTRL }, { "alt", KEY_LEFTALT }, { "shift", KEY_LEFTSHIFT }, { "super", KEY_LEFTMETA },
        { "delete", KEY_DELETE }, { "backspace", KEY_BACKSPACE }, { "tab", KEY_TAB }, { "print", KEY_SYSRQ },
        { "f1", KEY_F1 }, { "f2", KEY_F2 }, { "f3", KEY_F3 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (!strcmp(keys[i].name, name))
            return keys[i].code;
    }
    return 0;
}

static void on_send_keys(GtkWidget *widget, const char *name, GVariant *parameter)
{
    g_auto(GStrv) names = g_strsplit(g_variant_get_string(parameter, NULL), "+", 8);
    guint codes[9] = { 0 };

    for (guint i = 0, n = 0; names[i]; i++) {
        if ((codes[n] = key_code(names[i])))
            n++;
    }
    vit_display_view_send_keys(VITRINE_MACHINE_PAGE(widget)->view, codes);
}

static void on_scale(GtkWidget *widget, const char *name, GVariant *parameter)
{
    const char *mode = g_variant_get_string(parameter, NULL);

    vit_display_view_set_scale_mode(VITRINE_MACHINE_PAGE(widget)->view,
                                    !strcmp(mode, "native") ? VIT_SCALE_NATIVE
                                    : !strcmp(mode, "double") ? VIT_SCALE_DOUBLE : VIT_SCALE_FIT);
}

static void on_screenshot(GtkWidget *widget, const char *name, GVariant *parameter)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);
    g_autoptr(VitDisplay) display = g_list_model_get_item(vit_machine_get_displays(page->machine), 0);
    const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES) ?: g_get_home_dir();
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%d %H-%M-%S");
    g_autofree char *file = g_strdup_printf("%s %s.png", vitrine_machine_title(page->machine), stamp);
    g_strdelimit(file, "/", '-');
    g_autofree char *path = g_build_filename(folder, file, NULL), *text = NULL;
    g_autoptr(GError) error = NULL;

    if (!display)
        return;
    if (vit_display_save_screenshot(display, path, &error))
        text = g_strdup_printf(_("Saved as %s"), path);
    toast(page, text ?: error->message);
}

/* ---- Object ---------------------------------------------------------------------------------------------- */

static void dispose(GObject *object)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(object);

    if (page->machine) {
        g_signal_handlers_disconnect_by_data(page->machine, page);
        g_signal_handlers_disconnect_by_data(vit_machine_get_displays(page->machine), page);
    }
    g_clear_object(&page->machine);
    g_clear_pointer(&page->problem, g_free);
    gtk_widget_dispose_template(GTK_WIDGET(page), VITRINE_TYPE_MACHINE_PAGE);
    G_OBJECT_CLASS(vitrine_machine_page_parent_class)->dispose(object);
}

static void vitrine_machine_page_class_init(VitrineMachinePageClass *klass)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = dispose;
    g_type_ensure(VIT_TYPE_DISPLAY_VIEW);
    gtk_widget_class_set_template_from_resource(widget, VITRINE_RESOURCES "/machine-page.ui");
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, toolbar);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, heading);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, pause);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, stack);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, view);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, off_status);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, paused_revealer);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, leave_revealer);
    gtk_widget_class_install_action(widget, "machine.start", NULL, on_start);
    gtk_widget_class_install_action(widget, "machine.pause", NULL, on_pause);
    gtk_widget_class_install_action(widget, "machine.reset", NULL, on_reset);
    gtk_widget_class_install_action(widget, "machine.power-button", NULL, on_power_button);
    gtk_widget_class_install_action(widget, "machine.power-off", NULL, on_power_off);
    gtk_widget_class_install_action(widget, "machine.fullscreen", NULL, on_fullscreen);
    gtk_widget_class_install_action(widget, "machine.screenshot", NULL, on_screenshot);
    gtk_widget_class_install_action(widget, "machine.send-keys", "s", on_send_keys);
    gtk_widget_class_install_action(widget, "machine.scale", "s", on_scale);
}

static void vitrine_machine_page_init(VitrineMachinePage *page)
{
    GtkEventController *motion = gtk_event_controller_motion_new();

    gtk_widget_init_template(GTK_WIDGET(page));
    gtk_event_controller_set_propagation_phase(motion, GTK_PHASE_CAPTURE);
    g_signal_connect(motion, "motion", G_CALLBACK(on_edge), page);
    gtk_widget_add_controller(GTK_WIDGET(page), motion);
    g_signal_connect(page->view, "notify::grabbed", G_CALLBACK(on_grabbed), page);
}

AdwNavigationPage *vitrine_machine_page_new(VitMachine *machine)
{
    VitrineMachinePage *page = g_object_new(VITRINE_TYPE_MACHINE_PAGE, NULL);
    g_autofree char *label = g_strdup_printf(_("Screen of %s"), vitrine_machine_title(machine));

    page->machine = g_object_ref(machine);
    gtk_accessible_update_property(GTK_ACCESSIBLE(page->view), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    g_signal_connect_swapped(machine, "notify::state", G_CALLBACK(on_state), page);
    g_signal_connect_swapped(vit_machine_get_displays(machine), "items-changed", G_CALLBACK(update), page);
    g_signal_connect(machine, "stopped", G_CALLBACK(on_stopped), page);
    g_signal_connect(machine, "host-error", G_CALLBACK(on_host_error), page);
    update(page);
    return ADW_NAVIGATION_PAGE(page);
}
