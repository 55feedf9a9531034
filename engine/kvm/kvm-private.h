/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm-private.h - the parts of the KVM accelerator */
#pragma once
#include "engine/guest/x86/cpu.h"
#include "engine/kvm/kvm.h"

#include <linux/kvm.h>

typedef struct {
    uint64_t start, size;       /* guest-physical */
    VitRam  *ram;               /* borrowed */
    uint64_t ram_offset;
    uint32_t id;
    bool     readonly, logged;  /* logged: KVM notes what the guest writes */
} KvmSlot;

typedef struct {
    VitAccel  accel;            /* first member */
    int       kvm, vm;          /* owned */
    size_t    run_size;         /* bytes of a vCPU's shared page */
    uint32_t  max_slots;
    VitTimer *timer;            /* owned: fetches the dirty log */
    uint64_t  wanted;           /* atomic: grows when the view or what is tracked changes */
    uint64_t  done;             /* atomic, written under lock: the slots show this */
    GMutex    lock;             /* leaf; guards slots */
    GArray   *slots;            /* of KvmSlot, owned */
} KvmAccel;

typedef struct {
    KvmAccel *accel;            /* borrowed */
    X86Cpu   *x;                /* borrowed */
    int       fd;               /* owned */
    struct kvm_run *run;        /* mapping of fd, owned */
    bool      here;             /* the X86Cpu holds the registers; else KVM does */
    bool      incomplete;       /* KVM finishes the last I/O access when it is entered again */
    bool      hlt;              /* the guest halted; interrupts wake it */
    bool      stuck;            /* KVM cannot go on: reported, waits for a request */
    uint64_t  apic_base;        /* as KVM last knew it */
    struct kvm_vcpu_events events;              /* as of the last fetch */
    uint64_t  events_rip, events_cr0, events_cr3;   /* registers that they belong to */
} KvmCpu;

/* kvm-memory.c */
void kvm_memory_init(KvmAccel *a);
void kvm_memory_finish(KvmAccel *a);
void kvm_memory_update(KvmAccel *a);    /* makes KVM's slots show the view; vCPU threads */
void kvm_memory_collect(
    KvmAccel *a); /* marks what guests have written since the last time; any thread */
/* kvm-state.c: on the vCPU's thread, KVM not running.  Not while an access is incomplete. */
void kvm_fetch(KvmCpu *kc);
void kvm_push(KvmCpu *kc);
[[nodiscard]] bool kvm_set_cpuid(KvmCpu *kc, GError **error);
/* kvm-run.c */
void kvm_cpu_loop(VitAccel *accel, VitCpu *cpu);
