/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/session/session-private.h - between VitMachine and its VitDisplays */
#pragma once
#include "engine/machine/machine.h"
#include "engine/vitrine.h"

/* In the context that it shall signal in; detach before the engine goes. */
VitDisplay *session_display_new(VitScanout *scanout, VitInputHub *input);
void session_display_detach(VitDisplay *display);
