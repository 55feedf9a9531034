/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/accel.h - an accelerator: how vCPUs of one machine execute (jit, interp, kvm) */
#pragma once
#include "engine/cpu/cpu.h"

typedef struct VitAccelClass VitAccelClass;
struct VitAccelClass {
    const char *name;                                       /* "jit", "interp", "kvm" */
    VitAccel *(*create)(VitSystem *sys, GError **error);    /* per machine */
    void (*destroy)(VitAccel *accel);                       /* all vCPUs have ended */
    bool (*cpu_init)(VitAccel *accel, VitCpu *cpu, GError **error);
    void (*cpu_finish)(VitAccel *accel, VitCpu *cpu);
    /* Body of the vCPU thread: executes until VIT_EXIT_STOP; parks at VIT_EXIT_PAUSE. */
    void (*cpu_loop)(VitAccel *accel, VitCpu *cpu);
    /* Of translators; NULL elsewhere. pc of the instruction that called the running helper. */
    uint64_t (*running_pc)(VitCpu *cpu);
    /* Before a guest store to bytes of a page that holds code; may unwind to have it done
     * otherwise. */
    void (*code_store)(VitCpu *cpu, VitRam *ram, uint64_t offset, uint64_t size);
    /* "chain=off,pin=off" of -accel NAME,...; NULL: takes none. */
    bool (*set_options)(VitAccel *accel, const char *text, GError **error);
};
struct VitAccel { const VitAccelClass *klass; VitSystem *sys; };

/* engine/machine/accels.c: NULL-terminated, in order of preference */
extern const VitAccelClass *const vit_accel_classes[];
const VitAccelClass *vit_accel_find(const char *name);

/* Starts the vCPU's thread, parked.  All for the machine's control thread; none with the machine
 * lock held. */
[[nodiscard]] bool vit_cpu_start(VitAccel *accel, VitCpu *cpu, GError **error);
void vit_cpu_resume(VitCpu *cpu);       /* lets a parked vCPU run */
void vit_cpu_pause(VitCpu *cpu);        /* returns when it is parked: no guest code runs */
void vit_cpu_stop(VitCpu *cpu);         /* ends and joins the thread */
bool vit_cpu_is_parked(VitCpu *cpu);
