/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/alert.c - see alert.h */
#include "app/alert.h"

#include <glib/gi18n.h>

void vitrine_alert(GtkWidget *parent, const char *heading, const char *text)
{
    AdwDialog *dialog = adw_alert_dialog_new(heading, text);

    adw_alert_dialog_add_response(ADW_ALERT_DIALOG(dialog), "close", _("_Close"));
    adw_dialog_present(dialog, parent);
}
