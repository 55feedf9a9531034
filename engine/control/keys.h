/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/keys.h - keys by QEMU's names; key presses with a hold time, one by one */
#pragma once
#include "display/input.h"

enum { CONTROL_KEYS_AT_ONCE = 16, CONTROL_MAX_HOLD_MS = 10000 };

/* KEY_* of a name ("ctrl", "ret", "kp_enter"), or of a number as AT keyboards send it (set 1, 80h
 * added after an E0h); -1: none. */
int control_key_by_name(const char *name);
int control_key_by_number(int64_t number);
/* BTN_* of "left", "middle", "right", "side", "extra", "touch"; -1: none. */
int control_button_by_name(const char *name);

typedef struct ControlKeys ControlKeys;
[[nodiscard]] ControlKeys *control_keys_new(VitInputHub *hub);      /* hub borrowed */
void control_keys_free(ControlKeys *keys);      /* keys still down are let go */
/* Presses them in order, lets them go in reverse after hold_ms.  Returns at once; the presses of
 * one call follow those of the last. Any thread. */
[[nodiscard]] bool control_keys_send(ControlKeys *keys, const uint16_t *codes, unsigned n,
                                     unsigned hold_ms, GError **error);
