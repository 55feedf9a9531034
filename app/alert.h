/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/alert.h - tells a person something that they can only take note of */
#pragma once
#include <adwaita.h>

/** A dialog with a button that closes it, over the window of @parent. */
void vitrine_alert(GtkWidget *parent, const char *heading, const char *text);
