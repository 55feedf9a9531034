/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-card.c - a machine in the library: live thumbnail, name, state */
#include "app/machine-card.h"

#include "app/application.h"
#include "app/machine-state.h"
#include "widgets/display-view.h"

#include <glib/gi18n.h>

struct _VitrineMachineCard {
    AdwBin          parent;
    VitMachine     *machine;
    GtkButton      *button;
    GtkStack       *picture;
    VitDisplayView *view;
    GtkLabel       *name, *state;
};
G_DEFINE_FINAL_TYPE(VitrineMachineCard, vitrine_machine_card, ADW_TYPE_BIN)

static guint activated_signal;

/* (transfer full) */
static char *describe(VitMachine *machine, VitMachineState state)
{
    double usage;

    if (state != VIT_MACHINE_RUNNING)
        return g_strdup(vitrine_machine_state_text(state));
    g_object_get(machine, "cpu-usage", &usage, NULL);
    /* Translators: %.0f is how busy the machine keeps one processor of the host, in per cent */
    return g_strdup_printf(_("Running · %.0f %% of a processor"), usage * 100);
}

static void update(VitrineMachineCard *card)
{
    VitMachineState state = vit_machine_get_state(card->machine);
    GListModel *displays = vit_machine_get_displays(card->machine);
    g_autoptr(VitDisplay) display = g_list_model_get_item(displays, 0);
    const char *title = vitrine_machine_title(card->machine);
    g_autofree char *words = describe(card->machine, state);
    g_autofree char *label = g_strdup_printf(_("%s, %s"), title, vitrine_machine_state_text(state));

    gtk_label_set_label(card->name, title);
    gtk_label_set_label(card->state, words);
    vit_display_view_set_display(card->view, display);
    gtk_stack_set_visible_child_name(card->picture, display ? "live" : "off");
    gtk_accessible_update_property(GTK_ACCESSIBLE(card->button), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                   label, -1);
}

static void on_clicked(GtkButton *button, VitrineMachineCard *card)
{
    g_signal_emit(card, activated_signal, 0);
}

static void dispose(GObject *object)
{
    VitrineMachineCard *card = VITRINE_MACHINE_CARD(object);

    if (card->machine) {
        g_signal_handlers_disconnect_by_data(card->machine, card);
        g_signal_handlers_disconnect_by_data(vit_machine_get_displays(card->machine), card);
    }
    g_clear_object(&card->machine);
    gtk_widget_dispose_template(GTK_WIDGET(card), VITRINE_TYPE_MACHINE_CARD);
    G_OBJECT_CLASS(vitrine_machine_card_parent_class)->dispose(object);
}

static void vitrine_machine_card_class_init(VitrineMachineCardClass *klass)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = dispose;
    g_type_ensure(VIT_TYPE_DISPLAY_VIEW);
    gtk_widget_class_set_template_from_resource(widget, VITRINE_RESOURCES "/machine-card.ui");
    gtk_widget_class_bind_template_child(widget, VitrineMachineCard, button);
    gtk_widget_class_bind_template_child(widget, VitrineMachineCard, picture);
    gtk_widget_class_bind_template_child(widget, VitrineMachineCard, view);
    gtk_widget_class_bind_template_child(widget, VitrineMachineCard, name);
    gtk_widget_class_bind_template_child(widget, VitrineMachineCard, state);
    activated_signal = g_signal_new("activated", VITRINE_TYPE_MACHINE_CARD, G_SIGNAL_RUN_LAST, 0,
                                    NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void vitrine_machine_card_init(VitrineMachineCard *card)
{
    gtk_widget_init_template(GTK_WIDGET(card));
    g_signal_connect(card->button, "clicked", G_CALLBACK(on_clicked), card);
}

GtkWidget *vitrine_machine_card_new(VitMachine *machine)
{
    VitrineMachineCard *card = g_object_new(VITRINE_TYPE_MACHINE_CARD, NULL);

    card->machine = g_object_ref(machine);
    g_signal_connect_swapped(machine, "notify", G_CALLBACK(update), card);
    g_signal_connect_swapped(vit_machine_get_displays(machine), "items-changed", G_CALLBACK(update),
                             card);
    update(card);
    return GTK_WIDGET(card);
}
