/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-state.h - words for what a machine is doing */
#pragma once
#include "engine/vitrine.h"

const char *vitrine_machine_title(VitMachine *machine);
const char *vitrine_machine_state_text(VitMachineState state);      /* translated */
