/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/application.h - the application: library, windows, command line */
#pragma once
#include "app/library.h"

#include <adwaita.h>

#define VITRINE_APP_ID "io.github.vitrine_vm.Vitrine"
#define VITRINE_RESOURCES "/io/github/vitrine_vm/Vitrine"

#define VITRINE_TYPE_APPLICATION (vitrine_application_get_type())
G_DECLARE_FINAL_TYPE(VitrineApplication, vitrine_application, VITRINE, APPLICATION, AdwApplication)

VitrineApplication *vitrine_application_new(void);
VitrineLibrary *vitrine_application_get_library(VitrineApplication *app);
/* One line on standard output for each stage that a person without a display wants to follow. */
void vitrine_application_stage(VitrineApplication *app, const char *format, ...)
    G_GNUC_PRINTF(2, 3);
