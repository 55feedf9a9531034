/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/jit.h - the translating accelerator and its interpreter twin
 *
 * Both share lookup, block cache, invalidation and run loop; "interp" executes each block's IR
 * instead of host code and is the oracle and the portable fallback. */
#pragma once
#include "engine/cpu/accel.h"
#include "engine/jit/translate.h"

extern const VitAccelClass vit_accel_jit;
extern const VitAccelClass vit_accel_interp;

/* How a block ended, for the run loop. */
typedef enum { VIT_RUN_NEXT /* pc slot set, look up the next block */,
               VIT_RUN_LOOP /* requests first */ } VitRunResult;
/* Executes one block's IR.  cpu->unwind is set up; pc slot = the block's start. */
VitRunResult vit_interp_run(VitCpu *cpu, const VitIr *ir);

typedef struct {            /* every optimisation has a switch; all on by default */
    bool chain;             /* direct jumps lead from block to block */
    bool pin;               /* hot guest registers stay in host registers */
    bool fuse_flags;        /* flags come from the arithmetic instruction that made the result */
    bool ir_passes;         /* dead values and state writes go */
    bool jump_cache;        /* indirect jumps look their block up in translated code */
    bool tlb;               /* memory is accessed in translated code */
} VitJitOptions;
/* Before any vCPU has started. */
void vit_jit_set_options(VitAccel *accel, const VitJitOptions *options);
VitJitOptions vit_jit_get_options(const VitAccel *accel);
