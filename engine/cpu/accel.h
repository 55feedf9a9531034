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
};
struct VitAccel { const VitAccelClass *klass; VitSystem *sys; };

extern const VitAccelClass *const vit_accel_classes[];      /* NULL-terminated, in order of preference */
const VitAccelClass *vit_accel_find(const char *name);

/* Starts the vCPU's thread, parked.  All for the machine's control thread; none with the machine lock held. */
[[nodiscard]] bool vit_cpu_start(VitAccel *accel, VitCpu *cpu, GError **error);
void vit_cpu_resume(VitCpu *cpu);       /* lets a parked vCPU run */
void vit_cpu_pause(VitCpu *cpu);        /* returns when it is parked: no guest code runs */
void vit_cpu_stop(VitCpu *cpu);         /* ends and joins the thread */
bool vit_cpu_is_parked(VitCpu *cpu);
