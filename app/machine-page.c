/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-page.c - one machine: its display, and what can be done with it */
#include "app/machine-page.h"

#include "app/alert.h"
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
    GtkButton       *pause, *start;
    GtkWidget       *header;
    GtkMenuButton   *menu, *wide_keys, *narrow_keys;    /* the same above or below */
    GtkButton       *wide_fullscreen, *narrow_fullscreen;
    GtkStack        *stack;
    VitDisplayView  *view;
    AdwStatusPage   *off_status, *busy;
    GtkRevealer     *paused_revealer;
    AdwBanner       *shortcuts;     /* which keys the desktop keeps */
    gboolean         shortcuts_told;
    AdwToast        *leave_toast;   /* weak: says how fullscreen is left */
    char            *problem;       /* why it did not start; NULL */
    char            *ending;        /* why it stopped by itself; NULL */
    GtkWindow       *window;        /* borrowed: the root while there is one */
};
G_DEFINE_FINAL_TYPE(VitrineMachinePage, vitrine_machine_page, ADW_TYPE_NAVIGATION_PAGE)

enum { EDGE = 2, SLACK = 24 };      /* logical pixels: where the bars come, how far they stay */
enum { PROP_SCALE = 1, N_PROPS };
static GParamSpec *props[N_PROPS];

static VitrineApplication *application(void)
{
    return VITRINE_APPLICATION(g_application_get_default());
}

static AdwToast *toast(VitrineMachinePage *page, const char *text)
{
    GtkWidget *overlay = gtk_widget_get_ancestor(GTK_WIDGET(page), ADW_TYPE_TOAST_OVERLAY);
    g_autofree char *markup = g_markup_escape_text(text, -1);
    AdwToast *t = adw_toast_new(markup);

    if (overlay)
        adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(overlay), g_object_ref(t));
    return g_object_ref_sink(t);
}

static VitDisplay *first_display(VitrineMachinePage *page)
{
    return g_list_model_get_item(vit_machine_get_displays(page->machine), 0);
}

/* ---- What is shown ------------------------------------------------------------------------- */

static void show_off(VitrineMachinePage *page)
{
    const char *text = page->problem ?: page->ending ?: "";
    g_autofree char *markup = g_markup_escape_text(text, -1);

    adw_status_page_set_icon_name(page->off_status, page->problem ? "dialog-warning-symbolic"
                                                                  : "system-shutdown-symbolic");
    adw_status_page_set_title(page->off_status,
                              page->problem ? _("The Machine Cannot Start") : _("Switched Off"));
    adw_status_page_set_description(page->off_status, markup);
    gtk_button_set_label(page->start, page->problem ? _("_Try Again") : _("_Start"));
    gtk_stack_set_visible_child_name(page->stack, "off");
}

static void update_subtitle(VitrineMachinePage *page)
{
    VitMachineState state = vit_machine_get_state(page->machine);
    gboolean grabbed;

    g_object_get(page->view, "grabbed", &grabbed, NULL);
    adw_window_title_set_subtitle(page->heading, grabbed ? _("Ctrl+Alt releases the keyboard")
                                                         : vitrine_machine_state_text(state));
}

static void enable(VitrineMachinePage *page, const char *action, gboolean on)
{
    gtk_widget_action_set_enabled(GTK_WIDGET(page), action, on);
}

static void enable_actions(VitrineMachinePage *page, VitMachineState state)
{
    gboolean alive = state == VIT_MACHINE_RUNNING || state == VIT_MACHINE_PAUSED;

    enable(page, "machine.pause", alive);
    enable(page, "machine.reset", alive);
    enable(page, "machine.power-button", state == VIT_MACHINE_RUNNING);
    enable(page, "machine.power-off", alive);
    enable(page, "machine.screenshot", alive);
    enable(page, "machine.fullscreen", alive);
    enable(page, "machine.send-keys", state == VIT_MACHINE_RUNNING);
    enable(page, "machine.start", state == VIT_MACHINE_OFF);
}

static gboolean is_fullscreen(VitrineMachinePage *page)
{
    return page->window && gtk_window_is_fullscreen(page->window);
}

static void reveal_bars(VitrineMachinePage *page, gboolean reveal)
{
    VitMachineState state = vit_machine_get_state(page->machine);
    gboolean alive = state == VIT_MACHINE_PAUSED || state == VIT_MACHINE_RUNNING;

    adw_toolbar_view_set_reveal_top_bars(page->toolbar, reveal);
    adw_toolbar_view_set_reveal_bottom_bars(page->toolbar, reveal && alive);
}

static void update(VitrineMachinePage *page)
{
    VitMachineState state = vit_machine_get_state(page->machine);
    gboolean paused = state == VIT_MACHINE_PAUSED, alive = paused || state == VIT_MACHINE_RUNNING;
    g_autoptr(VitDisplay) display = first_display(page);
    const char *title = vitrine_machine_title(page->machine);

    adw_navigation_page_set_title(ADW_NAVIGATION_PAGE(page), title);
    adw_window_title_set_title(page->heading, title);
    vit_display_view_set_display(page->view, display);
    update_subtitle(page);
    gtk_revealer_set_reveal_child(page->paused_revealer, paused);
    gtk_button_set_icon_name(page->pause, paused ? "media-playback-start-symbolic"
                                                 : "media-playback-pause-symbolic");
    gtk_widget_set_tooltip_text(GTK_WIDGET(page->pause), paused ? _("Resume") : _("Pause"));
    gtk_widget_set_visible(GTK_WIDGET(page->pause), alive);
    gtk_widget_set_visible(GTK_WIDGET(page->wide_keys), alive);
    gtk_widget_set_visible(GTK_WIDGET(page->wide_fullscreen), alive);
    enable_actions(page, state);
    reveal_bars(page, !is_fullscreen(page));
    if (alive) {
        gtk_stack_set_visible_child_name(page->stack, "display");
    } else if (state == VIT_MACHINE_OFF) {
        show_off(page);
    } else {
        adw_status_page_set_title(page->busy, vitrine_machine_state_text(state));
        gtk_stack_set_visible_child_name(page->stack, "busy");
    }
}

static void on_state(VitrineMachinePage *page)
{
    VitMachineState state = vit_machine_get_state(page->machine);

    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(page->machine),
                              vitrine_machine_state_text(state));
    update(page);
    if (state == VIT_MACHINE_RUNNING)
        gtk_widget_grab_focus(GTK_WIDGET(page->view));
    else if (state == VIT_MACHINE_OFF && page->window)
        gtk_window_unfullscreen(page->window);
}

static void on_grabbed(VitDisplayView *view, GParamSpec *spec, VitrineMachinePage *page)
{
    update_subtitle(page);
}

/* Ctrl+Alt: the focus goes to the header, from where Tab reaches everything. */
static void on_leave(VitDisplayView *view, VitrineMachinePage *page)
{
    if (is_fullscreen(page))
        gtk_window_unfullscreen(page->window);
    gtk_widget_grab_focus(GTK_WIDGET(page->pause));
}

static void on_stopped(VitMachine *machine, const char *reason, VitrineMachinePage *page)
{
    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(machine),
                              reason ?: "stopped");
    g_free(page->ending);
    page->ending = reason ? g_strdup_printf(_("It stopped by itself: %s."), reason) : NULL;
}

static void on_host_error_response(VitMachine *machine, const char *response, AdwDialog *dialog)
{
    if (!strcmp(response, "resume"))
        vit_machine_resume(machine);
}

/* The message names what is to be put right; then the machine goes on from here. */
static void on_host_error(VitMachine *machine, const char *message, VitrineMachinePage *page)
{
    AdwDialog *dialog = adw_alert_dialog_new(_("The Machine Is Paused"), message);

    adw_alert_dialog_add_responses(ADW_ALERT_DIALOG(dialog), "close", _("_Close"), "resume",
                                   _("_Resume"), NULL);
    adw_alert_dialog_set_response_appearance(ADW_ALERT_DIALOG(dialog), "resume",
                                             ADW_RESPONSE_SUGGESTED);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_host_error_response), machine,
                            G_CONNECT_SWAPPED);
    adw_dialog_present(dialog, GTK_WIDGET(page));
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void started(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VitrineMachinePage) page = data;
    g_autoptr(GError) error = NULL;

    if (vit_machine_start_finish(VIT_MACHINE(source), result, &error) || !page->machine)
        return;
    g_free(page->problem);
    page->problem = g_strdup(error->message);
    vitrine_application_stage(application(), "%s: %s", vitrine_machine_title(page->machine),
                              error->message);
    update(page);
}

void vitrine_machine_page_start(VitrineMachinePage *page)
{
    if (vit_machine_get_state(page->machine) != VIT_MACHINE_OFF)
        return;
    g_clear_pointer(&page->problem, g_free);
    g_clear_pointer(&page->ending, g_free);
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

static void on_power_button(GtkWidget *widget, const char *name, GVariant *parameter)
{
    vit_machine_press_power_button(VITRINE_MACHINE_PAGE(widget)->machine);
}

static void on_answer(AdwAlertDialog *dialog, const char *response, VitrineMachinePage *page)
{
    if (!strcmp(response, "off"))
        vit_machine_power_off_async(page->machine, NULL, NULL);
    else if (!strcmp(response, "reset"))
        vit_machine_reset(page->machine);
}

static void ask(GtkWidget *widget, const char *heading, const char *response, const char *label)
{
    AdwDialog *dialog = adw_alert_dialog_new(heading, _("What the guest has not saved is lost."));
    AdwAlertDialog *alert = ADW_ALERT_DIALOG(dialog);

    adw_alert_dialog_add_responses(alert, "cancel", _("_Cancel"), response, label, NULL);
    adw_alert_dialog_set_response_appearance(alert, response, ADW_RESPONSE_DESTRUCTIVE);
    adw_alert_dialog_set_close_response(alert, "cancel");
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_answer), widget, G_CONNECT_DEFAULT);
    adw_dialog_present(dialog, widget);
}

static void on_reset(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ask(widget, _("Reset?"), "reset", _("_Reset"));
}

static void on_power_off(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ask(widget, _("Power Off?"), "off", _("Power _Off"));
}

/* ---- Fullscreen ---------------------------------------------------------------------------- */

static void on_fullscreen(GtkWidget *widget, const char *name, GVariant *parameter)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);

    if (!page->window)
        return;
    if (is_fullscreen(page))
        gtk_window_unfullscreen(page->window);
    else
        gtk_window_fullscreen(page->window);
    gtk_widget_grab_focus(GTK_WIDGET(page->view));
}

static void update_fullscreen_button(GtkButton *button, gboolean full)
{
    gtk_button_set_icon_name(button, full ? "view-restore-symbolic" : "view-fullscreen-symbolic");
    gtk_widget_set_tooltip_text(GTK_WIDGET(button), full ? _("Leave Fullscreen") : _("Fullscreen"));
}

/* However it came about: the compositor may change it too. */
static void on_fullscreened(VitrineMachinePage *page)
{
    gboolean full = is_fullscreen(page);
    AdwToolbarStyle style = full ? ADW_TOOLBAR_RAISED : ADW_TOOLBAR_FLAT;

    /* Over the guest's screen, which keeps its size while they come and go. */
    adw_toolbar_view_set_extend_content_to_top_edge(page->toolbar, full);
    adw_toolbar_view_set_extend_content_to_bottom_edge(page->toolbar, full);
    adw_toolbar_view_set_top_bar_style(page->toolbar, style);
    adw_toolbar_view_set_bottom_bar_style(page->toolbar, style);
    reveal_bars(page, !full);
    update_fullscreen_button(page->wide_fullscreen, full);
    update_fullscreen_button(page->narrow_fullscreen, full);
    if (page->leave_toast)
        adw_toast_dismiss(page->leave_toast);
    g_clear_weak_pointer(&page->leave_toast);
    if (full) {
        g_autoptr(AdwToast) t = toast(page, _("Ctrl+Alt leaves fullscreen"));
        g_set_weak_pointer(&page->leave_toast, t);
    }
}

static void root(GtkWidget *widget)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);

    GTK_WIDGET_CLASS(vitrine_machine_page_parent_class)->root(widget);
    page->window = GTK_WINDOW(gtk_widget_get_root(widget));
    g_signal_connect_swapped(page->window, "notify::fullscreened", G_CALLBACK(on_fullscreened),
                             page);
    on_fullscreened(page);
}

static void unroot(GtkWidget *widget)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);

    g_signal_handlers_disconnect_by_data(page->window, page);
    page->window = NULL;
    GTK_WIDGET_CLASS(vitrine_machine_page_parent_class)->unroot(widget);
}

/* The library is never shown in fullscreen. */
static void hiding(AdwNavigationPage *navigation_page)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(navigation_page);

    if (page->window)
        gtk_window_unfullscreen(page->window);
}

static gboolean menu_is_open(VitrineMachinePage *page)
{
    return gtk_menu_button_get_active(page->menu) ||
           gtk_menu_button_get_active(page->wide_keys) ||
           gtk_menu_button_get_active(page->narrow_keys);
}

/* In fullscreen the pointer at the upper edge brings the bars, and takes them away with it. */
static void on_edge(GtkEventControllerMotion *controller, double x, double y,
                    VitrineMachinePage *page)
{
    int height = gtk_widget_get_height(GTK_WIDGET(page));
    int bottom = adw_toolbar_view_get_bottom_bar_height(page->toolbar);
    gboolean shown = adw_toolbar_view_get_reveal_top_bars(page->toolbar);

    if (!is_fullscreen(page))
        return;
    if (!shown && y < EDGE)
        reveal_bars(page, TRUE);
    else if (shown && y > gtk_widget_get_height(page->header) + SLACK &&
             y < height - bottom - SLACK && !menu_is_open(page))
        reveal_bars(page, FALSE);
}

/* ---- Shortcuts that the desktop keeps -------------------------------------------------------- */

static void on_shortcuts_kept(VitDisplayView *view, VitrineMachinePage *page)
{
    if (page->shortcuts_told)
        return;
    page->shortcuts_told = TRUE;
    gtk_widget_set_visible(GTK_WIDGET(page->shortcuts), TRUE);
    adw_banner_set_revealed(page->shortcuts, TRUE);
    vitrine_application_stage(application(), "%s: the desktop keeps its shortcuts",
                              vitrine_machine_title(page->machine));
}

static void on_shortcuts_read(VitrineMachinePage *page)
{
    gtk_widget_set_visible(GTK_WIDGET(page->shortcuts), FALSE);
    gtk_widget_grab_focus(GTK_WIDGET(page->view));
}

/* ---- Keys and pictures --------------------------------------------------------------------- */

static guint key_code(const char *name)
{
    static const struct { const char *name; guint code; } keys[] = {
        { "ctrl", KEY_LEFTCTRL }, { "alt", KEY_LEFTALT }, { "shift", KEY_LEFTSHIFT },
        { "super", KEY_LEFTMETA }, { "delete", KEY_DELETE }, { "backspace", KEY_BACKSPACE },
        { "tab", KEY_TAB }, { "print", KEY_SYSRQ },
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

static void show_file(AdwToast *t, void *unused)
{
    GFile *file = g_object_get_data(G_OBJECT(t), "file");
    g_autoptr(GtkFileLauncher) launcher = gtk_file_launcher_new(file);

    gtk_file_launcher_open_containing_folder(launcher, NULL, NULL, NULL, NULL);
}

static void saved(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VitrineMachinePage) page = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = vit_display_save_screenshot_finish(VIT_DISPLAY(source), result, &error);

    vitrine_application_stage(application(), "%s", path ?: error->message);
    if (!path) {
        vitrine_alert(GTK_WIDGET(page), _("Screenshot Not Saved"), error->message);
        return;
    }
    g_autoptr(AdwToast) t = toast(page, _("Screenshot saved"));
    adw_toast_set_button_label(t, _("_Show in Files"));
    g_object_set_data_full(G_OBJECT(t), "file", g_file_new_for_path(path), g_object_unref);
    g_signal_connect(t, "button-clicked", G_CALLBACK(show_file), NULL);
}

static void on_screenshot(GtkWidget *widget, const char *name, GVariant *parameter)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(widget);
    g_autoptr(VitDisplay) display = first_display(page);
    const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES) ?: g_get_home_dir();
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%d %H-%M-%S");
    g_autofree char *file = g_strdup_printf("%s %s.png", vitrine_machine_title(page->machine),
                                            stamp);

    if (!display)
        return;
    g_strdelimit(file, "/", '-');
    g_autofree char *path = g_build_filename(folder, file, NULL);
    vit_display_save_screenshot_async(display, path, saved, g_object_ref(page));
}

/* ---- Object -------------------------------------------------------------------------------- */

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(object);

    if (id == PROP_SCALE && page->view)     /* the action asks before the template is there */
        g_object_get_property(G_OBJECT(page->view), "scale-mode", value);
    else if (id != PROP_SCALE)
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(object);

    if (id == PROP_SCALE)
        vit_display_view_set_scale_mode(page->view, (VitScaleMode) g_value_get_enum(value));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void dispose(GObject *object)
{
    VitrineMachinePage *page = VITRINE_MACHINE_PAGE(object);

    if (page->machine) {
        g_signal_handlers_disconnect_by_data(page->machine, page);
        g_signal_handlers_disconnect_by_data(vit_machine_get_displays(page->machine), page);
    }
    g_clear_object(&page->machine);
    g_clear_weak_pointer(&page->leave_toast);
    g_clear_pointer(&page->problem, g_free);
    g_clear_pointer(&page->ending, g_free);
    gtk_widget_dispose_template(GTK_WIDGET(page), VITRINE_TYPE_MACHINE_PAGE);
    G_OBJECT_CLASS(vitrine_machine_page_parent_class)->dispose(object);
}

static void bind_children(GtkWidgetClass *widget)
{
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, toolbar);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, heading);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, pause);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, start);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, header);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, menu);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, wide_keys);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, narrow_keys);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, wide_fullscreen);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, narrow_fullscreen);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, stack);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, view);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, off_status);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, busy);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, paused_revealer);
    gtk_widget_class_bind_template_child(widget, VitrineMachinePage, shortcuts);
    gtk_widget_class_bind_template_callback(widget, on_shortcuts_read);
}

static void vitrine_machine_page_class_init(VitrineMachinePageClass *klass)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);
    GObjectClass *object = G_OBJECT_CLASS(klass);

    object->get_property = get_property;
    object->set_property = set_property;
    object->dispose = dispose;
    widget->root = root;
    widget->unroot = unroot;
    ADW_NAVIGATION_PAGE_CLASS(klass)->hiding = hiding;
    props[PROP_SCALE] = g_param_spec_enum("scale", NULL, NULL, VIT_TYPE_SCALE_MODE, VIT_SCALE_FIT,
                                          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
    g_object_class_install_properties(object, N_PROPS, props);
    g_type_ensure(VIT_TYPE_DISPLAY_VIEW);
    gtk_widget_class_set_template_from_resource(widget, VITRINE_RESOURCES "/machine-page.ui");
    bind_children(widget);
    gtk_widget_class_install_action(widget, "machine.start", NULL, on_start);
    gtk_widget_class_install_action(widget, "machine.pause", NULL, on_pause);
    gtk_widget_class_install_action(widget, "machine.reset", NULL, on_reset);
    gtk_widget_class_install_action(widget, "machine.power-button", NULL, on_power_button);
    gtk_widget_class_install_action(widget, "machine.power-off", NULL, on_power_off);
    gtk_widget_class_install_action(widget, "machine.fullscreen", NULL, on_fullscreen);
    gtk_widget_class_install_action(widget, "machine.screenshot", NULL, on_screenshot);
    gtk_widget_class_install_action(widget, "machine.send-keys", "s", on_send_keys);
    gtk_widget_class_install_property_action(widget, "machine.scale", "scale");
    gtk_widget_class_add_binding_action(widget, GDK_KEY_F11, 0, "machine.fullscreen", NULL);
}

static void vitrine_machine_page_init(VitrineMachinePage *page)
{
    GtkEventController *motion = gtk_event_controller_motion_new();

    gtk_widget_init_template(GTK_WIDGET(page));
    gtk_event_controller_set_propagation_phase(motion, GTK_PHASE_CAPTURE);
    g_signal_connect(motion, "motion", G_CALLBACK(on_edge), page);
    gtk_widget_add_controller(GTK_WIDGET(page), motion);
    g_signal_connect(page->view, "notify::grabbed", G_CALLBACK(on_grabbed), page);
    g_signal_connect(page->view, "leave", G_CALLBACK(on_leave), page);
    g_signal_connect(page->view, "shortcuts-kept", G_CALLBACK(on_shortcuts_kept), page);
}

AdwNavigationPage *vitrine_machine_page_new(VitMachine *machine)
{
    VitrineMachinePage *page = g_object_new(VITRINE_TYPE_MACHINE_PAGE, NULL);
    GListModel *displays = vit_machine_get_displays(machine);
    g_autofree char *label = g_strdup_printf(_("Screen of %s"), vitrine_machine_title(machine));

    page->machine = g_object_ref(machine);
    gtk_accessible_update_property(GTK_ACCESSIBLE(page->view), GTK_ACCESSIBLE_PROPERTY_LABEL, label,
                                   -1);
    g_signal_connect_swapped(machine, "notify::state", G_CALLBACK(on_state), page);
    g_signal_connect_swapped(displays, "items-changed", G_CALLBACK(update), page);
    g_signal_connect(machine, "stopped", G_CALLBACK(on_stopped), page);
    g_signal_connect(machine, "host-error", G_CALLBACK(on_host_error), page);
    update(page);
    return ADW_NAVIGATION_PAGE(page);
}
