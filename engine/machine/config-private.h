/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/config-private.h - the rows that describe VitMachineConfig */
#pragma once
#include "engine/machine/config.h"

enum { CONFIG_MAX_CPUS = 64 };

typedef enum {
    CONFIG_STRING, CONFIG_STRINGS, CONFIG_STRV, CONFIG_DRIVES, CONFIG_BOOL, CONFIG_UINT, CONFIG_INT,
    CONFIG_INTERFACE, CONFIG_UINT64, CONFIG_INT64
} ConfigKind;

typedef struct { const char *name; ConfigKind kind; size_t offset; } ConfigRow;

extern const ConfigRow config_rows[], config_drive_rows[];    /* ended by a NULL name */
extern const char *const config_interface_names[];            /* by VitDriveInterface; NULL-ended */
