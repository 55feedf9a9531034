/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-card.h - a machine in the library: live thumbnail, name, state */
#pragma once
#include "engine/vitrine.h"

#include <adwaita.h>

#define VITRINE_TYPE_MACHINE_CARD (vitrine_machine_card_get_type())
G_DECLARE_FINAL_TYPE(VitrineMachineCard, vitrine_machine_card, VITRINE, MACHINE_CARD, AdwBin)

/* Signal "activated": open it. */
GtkWidget *vitrine_machine_card_new(VitMachine *machine);
