/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/new-machine-dialog.h - one form: file, name, memory, disk */
#pragma once
#include "app/library.h"

#include <adwaita.h>

#define VITRINE_TYPE_NEW_MACHINE_DIALOG (vitrine_new_machine_dialog_get_type())
G_DECLARE_FINAL_TYPE(VitrineNewMachineDialog, vitrine_new_machine_dialog, VITRINE,
                     NEW_MACHINE_DIALOG, AdwDialog)

/* Signal "created" (VitMachine). file: an image to begin with, or NULL. */
AdwDialog *vitrine_new_machine_dialog_new(VitrineLibrary *library, GFile *file);
