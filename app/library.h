/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/library.h - the machines that a person has: one JSON description each in the data folder */
#pragma once
#include "engine/vitrine.h"

#define VITRINE_TYPE_LIBRARY (vitrine_library_get_type())
G_DECLARE_FINAL_TYPE(VitrineLibrary, vitrine_library, VITRINE, LIBRARY, GObject)

/* A GListModel of VitMachine, sorted by name.  folder NULL = the user's. */
VitrineLibrary *vitrine_library_new(const char *folder);
/* Reads every description; for those that cannot be read a message each (transfer full, may be
 * empty). */
GStrv vitrine_library_load(VitrineLibrary *library);
/* Saves config under a new name; (transfer none). */
VitMachine *vitrine_library_add(VitrineLibrary *library, const VitMachineConfig *config,
                                GError **error);
/* Replaces the description of a machine of the library; what runs goes on as it is. */
gboolean vitrine_library_update(VitrineLibrary *library, VitMachine *machine,
                                const VitMachineConfig *config, GError **error);
/* A machine for this session only: nothing is saved; (transfer none). */
VitMachine *vitrine_library_add_unsaved(VitrineLibrary *library, const VitMachineConfig *config);
/* The machine of that name, or NULL; (transfer none). */
VitMachine *vitrine_library_find(VitrineLibrary *library, const char *name);
/* A path for a new disk of a machine; its folder exists.  NULL with error set. */
char *vitrine_library_disk_path(VitrineLibrary *library, const char *machine_name, GError **error);
/* Makes a sparse raw image; refuses to overwrite. */
gboolean vitrine_library_create_disk(const char *path, guint64 bytes, GError **error);
