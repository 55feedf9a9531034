/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/run-options.h - vitrine-run's command line, in QEMU's notation, as a machine
 * configuration */
#pragma once
#include "engine/machine/config.h"

typedef struct {
    VitMachineConfig *config;       /* owned */
    char   *display;                /* "none" or "gtk"; owned */
    char  **monitors, **qmps;       /* character specs, NULL-terminated; owned */
    char   *log_names, *log_file;   /* -d, -D */
    char   *pidfile;
    bool    no_shutdown;            /* -action shutdown=pause */
    bool    defaults;               /* not -nodefaults */
    bool    serial_given, network_given, vga_given;
} RunOptions;

/* NULL with error set, or with *text set to something to print and leave with success (-help ...).
 */
[[nodiscard]] RunOptions *run_options_parse(int argc, char **argv, char **text, GError **error);
/* Sets a G_OPTION_ERROR; false. */
bool run_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
void run_options_free(RunOptions *options);
