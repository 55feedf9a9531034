/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87-images.h - the unit's state in memory (Intel SDM vol. 1, 8.1.10, 10.5,
 * 13.4) */
#pragma once
#include "engine/guest/x86/x87.h"

/* FNSTENV (14 or 28 bytes by operand size 2 or 4) or FNSAVE (94, 108); masks or re-initialises
 * after. */
void x87_store_environment(X86Cpu *x, uint64_t linear, unsigned operand_bytes, bool whole);
void x87_load_environment(X86Cpu *x, uint64_t linear, unsigned operand_bytes, bool whole);
