/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/analyse.h - the pass over a block before its code is emitted */
#pragma once
#include "engine/jit/hosts/x86_64/gen.h"

void gen_analyse(Gen *g);
/* prelude.c: rdx = pc: on to its block, by the vCPU's jump cache. */
void gen_lookup(Gen *g, bool use_cache, const uint8_t *exit);
