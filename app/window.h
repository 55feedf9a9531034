/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/window.h - the main window: library, and the page of the machine that is open */
#pragma once
#include "app/application.h"

#define VITRINE_TYPE_WINDOW (vitrine_window_get_type())
G_DECLARE_FINAL_TYPE(VitrineWindow, vitrine_window, VITRINE, WINDOW, AdwApplicationWindow)

GtkWindow *vitrine_window_new(VitrineApplication *app);
void vitrine_window_open_machine(VitrineWindow *window, VitMachine *machine, gboolean start);
void vitrine_window_new_machine(VitrineWindow *window, GFile *file);
/* Messages of descriptions that are not in the library; NULL-terminated, may be empty. */
void vitrine_window_set_problems(VitrineWindow *window, const char *const *problems);
