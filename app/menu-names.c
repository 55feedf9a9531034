/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/menu-names.c - gives the items of menus their names for screen readers
 *
 * GTK 4.18 says that an item of a GtkPopoverMenu is labelled by the GtkLabel within, and gives that
 * label the role "presentation", which takes it off the accessibility bus: the item has no name.
 * Here an item is named by its own text each time that its menu opens, the menus that GTK makes for
 * text fields included. */
#include "app/menu-names.h"

#include <gtk/gtk.h>

static void name_item(GtkWidget *item)
{
    g_autofree char *text = NULL;

    g_object_get(item, "text", &text, NULL);
    if (!text || !*text) return;
    gtk_accessible_reset_relation(GTK_ACCESSIBLE(item), GTK_ACCESSIBLE_RELATION_LABELLED_BY);
    gtk_accessible_update_property(GTK_ACCESSIBLE(item), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
}

static void name_items(GtkWidget *widget)
{
    if (!g_strcmp0(G_OBJECT_TYPE_NAME(widget), "GtkModelButton")) name_item(widget);
    for (GtkWidget *child = gtk_widget_get_first_child(widget); child;
         child = gtk_widget_get_next_sibling(child))
        name_items(child);
}

static gboolean on_map(GSignalInvocationHint *hint, guint n, const GValue *values, void *unused)
{
    GtkWidget *widget = g_value_get_object(&values[0]);

    if (GTK_IS_POPOVER_MENU(widget)) name_items(widget);
    return TRUE;
}

void vitrine_menu_names_install(void)
{
    g_type_class_unref(g_type_class_ref(GTK_TYPE_WIDGET));     /* registers the signal */
    g_signal_add_emission_hook(g_signal_lookup("map", GTK_TYPE_WIDGET), 0, on_map, NULL, NULL);
}
