/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-state.c - words for what a machine is doing */
#include "app/machine-state.h"

#include <glib/gi18n.h>

const char *vitrine_machine_title(VitMachine *machine)
{
    return vit_machine_get_config(machine)->name ?: _("Machine");
}

const char *vitrine_machine_state_text(VitMachineState state)
{
    switch (state) {
    case VIT_MACHINE_OFF: return _("Off");
    case VIT_MACHINE_STARTING: return _("Starting…");
    case VIT_MACHINE_RUNNING: return _("Running");
    case VIT_MACHINE_PAUSED: return _("Paused");
    case VIT_MACHINE_STOPPING: return _("Switching off…");
    }
    return "";
}
