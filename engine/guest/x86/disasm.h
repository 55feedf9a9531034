/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/disasm.h - one instruction as text */
#pragma once
#include <glib.h>
#include <stdint.h>

/* Appends the text of the instruction in bytes (n of them) that stands at pc; code: X86_CODE_*.
 * Returns its length, or 1 for bytes that are none. */
unsigned x86_disassemble_one(GString *s, const uint8_t *bytes, unsigned n, uint64_t pc,
                             unsigned code);
