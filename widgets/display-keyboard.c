/* SPDX-License-Identifier: GPL-3.0-or-later */
/* widgets/display-keyboard.c - keyboard of the display view: keys, system shortcuts, lock keys
 *
 * Keys go by hardware keycode, never by symbol.  A click takes the keyboard, system shortcuts
 * included where the compositor agrees; Ctrl+Alt alone gives it back.  While another window has the
 * focus the compositor has its shortcuts, and the grab goes on with the focus: a compositor that
 * asks the person whether to grant it does so in a window of its own. */
#include "widgets/display-view-private.h"

#include <linux/input-event-codes.h>
#ifdef GDK_WINDOWING_X11
#include <gdk/x11/gdkx.h>
#endif

enum { XKB_OFFSET = 8 };                /* hardware keycode = evdev code + 8 */
enum { HELD_CTRL = 1, HELD_ALT = 2, HELD_OTHER = 4 };
enum { REFUSAL_MS = 700 }; /* a compositor that grants shortcuts has done so by then */
enum { LOCKS_MS = 100 }; /* the state of the lock keys comes after the focus */
enum { LED_NUM = 2, LED_CAPS = 4 }; /* of VitDisplay:leds */
#define LOCK_ANSWER_US (1 * G_USEC_PER_SEC) /* a guest's time to light or clear an LED */

/* ---- System shortcuts ---------------------------------------------------------------------- */

static GdkToplevel *toplevel(VitDisplayView *view)
{
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    GdkSurface *surface = native ? gtk_native_get_surface(native) : NULL;

    return surface && GDK_IS_TOPLEVEL(surface) ? GDK_TOPLEVEL(surface) : NULL;
}

static bool window_is_active(VitDisplayView *view)
{
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(view));

    return root && GTK_IS_WINDOW(root) && gtk_window_is_active(GTK_WINDOW(root));
}

static bool shortcuts_inhibited(GdkToplevel *top)
{
    gboolean inhibited = FALSE;

    g_object_get(top, "shortcuts-inhibited", &inhibited, NULL);
    return inhibited;
}

static gboolean on_refusal_time(void *opaque)
{
    VitDisplayView *view = opaque;
    GdkToplevel *top = toplevel(view);

    view->refusal_timer = 0;
    if (top && view->grabbed && window_is_active(view) && !shortcuts_inhibited(top))
        display_view_shortcuts_kept(view);
    return G_SOURCE_REMOVE;
}

/* A person told the compositor to have its shortcuts again. */
static void on_shortcuts_inhibited(GdkToplevel *top, GParamSpec *spec, VitDisplayView *view)
{
    if (view->grabbed && window_is_active(view) && !shortcuts_inhibited(top))
        vit_display_view_release(view);
}

static void stop_watching(VitDisplayView *view)
{
    g_clear_handle_id(&view->refusal_timer, g_source_remove);
    if (view->grabbed_toplevel)
        g_signal_handlers_disconnect_by_func(view->grabbed_toplevel, on_shortcuts_inhibited, view);
    g_clear_object(&view->grabbed_toplevel);
}

void display_view_grab(VitDisplayView *view, GdkEvent *event)
{
    GdkToplevel *top = toplevel(view);

    display_view_set_grabbed(view, TRUE);
    if (!top) return;
    stop_watching(view);
    gdk_toplevel_inhibit_system_shortcuts(top, event);
    view->grabbed_toplevel = g_object_ref(top);
    g_signal_connect(top, "notify::shortcuts-inhibited", G_CALLBACK(on_shortcuts_inhibited), view);
    view->refusal_timer = g_timeout_add(REFUSAL_MS, on_refusal_time, view);
}

static void release_keys(VitDisplayView *view)
{
    if (view->display) vit_display_release_all(view->display);
    view->held_modifiers = 0;
}

void vit_display_view_release(VitDisplayView *view)
{
    g_autoptr(GdkToplevel) top = view->grabbed_toplevel ? g_object_ref(view->grabbed_toplevel)
                                                        : NULL;

    stop_watching(view);
    if (top) gdk_toplevel_restore_system_shortcuts(top);
    release_keys(view);
    display_view_set_grabbed(view, FALSE);
}

/* ---- Lock keys ----------------------------------------------------------------------------- */

static unsigned host_locks(VitDisplayView *view)
{
    GdkSeat *seat = gdk_display_get_default_seat(gtk_widget_get_display(GTK_WIDGET(view)));
    GdkDevice *keyboard = seat ? gdk_seat_get_keyboard(seat) : NULL;

    if (!keyboard) return view->assumed_locks;
    return (gdk_device_get_caps_lock_state(keyboard) ? LED_CAPS : 0) |
           (gdk_device_get_num_lock_state(keyboard) ? LED_NUM : 0);
}

/* What the guest shows; of a guest that has shown nothing yet, what it must be by now. */
static unsigned guest_locks(VitDisplayView *view)
{
    gboolean reported = FALSE;
    guint leds = 0;

    vit_display_refresh(view->display);
    g_object_get(view->display, "leds", &leds, "leds-reported", &reported, NULL);
    return reported ? leds : view->assumed_locks;
}

static void sync_locks(VitDisplayView *view)
{
    static const struct {
        unsigned led;
        guint code[2];
    } locks[] = {
        { LED_CAPS, { KEY_CAPSLOCK, 0 } },
        { LED_NUM, { KEY_NUMLOCK, 0 } },
    };
    gint64 now = g_get_monotonic_time();

    g_clear_handle_id(&view->locks_timer, g_source_remove);
    if (!view->display || !view->interactive) return;
    unsigned host = host_locks(view), differing = host ^ guest_locks(view);
    for (size_t i = 0; i < G_N_ELEMENTS(locks); i++) {
        if (!(differing & locks[i].led) || now - view->lock_pressed[i] < LOCK_ANSWER_US) continue;
        vit_display_view_send_keys(view, locks[i].code);
        view->lock_pressed[i] = now;
    }
    view->assumed_locks = host;
}

static gboolean on_locks_time(void *opaque)
{
    VitDisplayView *view = opaque;

    view->locks_timer = 0;
    if (gtk_widget_has_focus(GTK_WIDGET(view))) sync_locks(view);
    return G_SOURCE_REMOVE;
}

void display_view_check_locks(VitDisplayView *view)
{
    if (!view->locks_timer) view->locks_timer = g_timeout_add(LOCKS_MS, on_locks_time, view);
}

/* ---- Keys ---------------------------------------------------------------------------------- */

static unsigned modifier_bit(guint code)
{
    if (code == KEY_LEFTCTRL || code == KEY_RIGHTCTRL) return HELD_CTRL;
    if (code == KEY_LEFTALT || code == KEY_RIGHTALT) return HELD_ALT;
    return 0;
}

static gboolean on_key_pressed(GtkEventControllerKey *controller, guint keyval, guint keycode,
                               GdkModifierType state, VitDisplayView *view)
{
    guint code = keycode - XKB_OFFSET;

    if (!view->display || !view->interactive || (code == KEY_F11 && !view->grabbed)) return FALSE;
    if (view->locks_timer) sync_locks(view); /* before the first letter */
    view->held_modifiers |= modifier_bit(code) ?: HELD_OTHER;
    vit_display_key(view->display, code, TRUE);
    return TRUE;
}

static void on_key_released(GtkEventControllerKey *controller, guint keyval, guint keycode,
                            GdkModifierType state, VitDisplayView *view)
{
    guint code = keycode - XKB_OFFSET;
    bool leave = view->held_modifiers == (HELD_CTRL | HELD_ALT) && modifier_bit(code);

    if (!view->display) return;
    vit_display_key(view->display, code, FALSE);
    view->held_modifiers &= ~modifier_bit(code);
    if (!(view->held_modifiers & (HELD_CTRL | HELD_ALT))) view->held_modifiers = 0;
    if (leave) display_view_leave(view);
}

static void on_focus_enter(GtkEventControllerFocus *controller, VitDisplayView *view)
{
    display_view_check_locks(view);
    if (view->grabbed) display_view_grab(view, NULL);
}

/* The grab ends when the focus went to another widget, not when it went to another window. */
static gboolean after_focus_leave(void *opaque)
{
    VitDisplayView *view = opaque;
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(view));

    view->leave_idle = 0;
    if (root && gtk_root_get_focus(root) != GTK_WIDGET(view)) vit_display_view_release(view);
    return G_SOURCE_REMOVE;
}

static void on_focus_leave(GtkEventControllerFocus *controller, VitDisplayView *view)
{
    g_clear_handle_id(&view->locks_timer, g_source_remove);
    view->assumed_locks = host_locks(view);
    release_keys(view);
#ifdef GDK_WINDOWING_X11
    /* There a grab outlives the focus and would take other windows' keys. */
    if (view->grabbed_toplevel && GDK_IS_X11_SURFACE(view->grabbed_toplevel)) {
        g_autoptr(GdkToplevel) top = g_object_ref(view->grabbed_toplevel);
        stop_watching(view);
        gdk_toplevel_restore_system_shortcuts(top);
    }
#endif
    if (!view->leave_idle) view->leave_idle = g_idle_add(after_focus_leave, view);
}

void vit_display_view_send_keys(VitDisplayView *view, const guint *codes)
{
    guint n = 0;

    if (!view->display) return;
    for (; codes[n]; n++) vit_display_key(view->display, codes[n], TRUE);
    while (n--) vit_display_key(view->display, codes[n], FALSE);
}

void display_view_add_keyboard(VitDisplayView *view)
{
    GtkEventController *key = gtk_event_controller_key_new();
    GtkEventController *focus = gtk_event_controller_focus_new();

    gtk_event_controller_set_propagation_phase(key, GTK_PHASE_CAPTURE);
    g_signal_connect(key, "key-pressed", G_CALLBACK(on_key_pressed), view);
    g_signal_connect(key, "key-released", G_CALLBACK(on_key_released), view);
    g_signal_connect(focus, "enter", G_CALLBACK(on_focus_enter), view);
    g_signal_connect(focus, "leave", G_CALLBACK(on_focus_leave), view);
    gtk_widget_add_controller(GTK_WIDGET(view), key);
    gtk_widget_add_controller(GTK_WIDGET(view), focus);
}

void display_view_stop_keyboard(VitDisplayView *view)
{
    stop_watching(view);
    g_clear_handle_id(&view->locks_timer, g_source_remove);
    g_clear_handle_id(&view->leave_idle, g_source_remove);
}
