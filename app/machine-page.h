/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/machine-page.h - one machine: its display, and what can be done with it */
#pragma once
#include "engine/vitrine.h"

#include <adwaita.h>

#define VITRINE_TYPE_MACHINE_PAGE (vitrine_machine_page_get_type())
G_DECLARE_FINAL_TYPE(VitrineMachinePage, vitrine_machine_page, VITRINE, MACHINE_PAGE,
                     AdwNavigationPage)

AdwNavigationPage *vitrine_machine_page_new(VitMachine *machine);
void vitrine_machine_page_start(VitrineMachinePage *page);
