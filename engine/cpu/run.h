/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/run.h - what a run loop of an accelerator calls between stretches of guest code */
#pragma once
#include "engine/cpu/cpu.h"

/* Requests that are served before guest code runs; an interrupt that the ISA itself asks to look at
 * again waits for one block, so that a guest always gets on. */
enum { VIT_EXIT_BEFORE_CODE = VIT_EXIT_PAUSE | VIT_EXIT_TLB_FLUSH | VIT_EXIT_TLB_WRITE |
                              VIT_EXIT_WORK | VIT_EXIT_STOP | VIT_EXIT_CODE };

/* Serves requests, parks, waits while halted, delivers interrupts (may unwind).  Returns when guest
 * code is to run; false: the thread ends. */
[[nodiscard]] bool vit_cpu_serve(VitCpu *cpu);
/* Runs queued calls. */
void vit_cpu_run_work(VitCpu *cpu);
