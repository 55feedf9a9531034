/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/far-private.h - what far.c and far-return.c share */
#pragma once
#include "engine/guest/x86/cpu-private.h"

/* #GP(0) unless *rip lies in cs (canonical for 64-bit code); truncates it to 32 bits otherwise. */
void x86_check_target(X86Cpu *x, const X86Segment *cs, uint64_t *rip);
void x86_set_cs_real(X86Cpu *x, unsigned selector);     /* real and virtual-8086 mode */
void x86_far_task(X86Cpu *x, unsigned selector, const X86Desc *d, X86TaskSource source,
                  uint64_t next_rip);
