/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/accel.c - vCPU threads: start, park, resume, end */
#include "engine/cpu/accel.h"

#include "engine/cpu/run.h"
#include "engine/cpu/tlb.h"

#include <pthread.h>
#include <time.h>

/* View changed, or direct stores to some RAM must stop. */
static void memory_changed(void *opaque, VitRam *ram, uint64_t offset, uint64_t size)
{
    VitCpu *cpu = opaque;

    if (ram && cpu->thread == g_thread_self())
        vit_tlb_forget_writes(cpu, ram->host + (offset & ~(uint64_t) (VIT_PAGE_SIZE - 1)),
                              size + (offset & (VIT_PAGE_SIZE - 1)));
    else
        vit_cpu_request(cpu, ram ? VIT_EXIT_TLB_WRITE : VIT_EXIT_TLB_FLUSH);
}

static void *cpu_thread(void *opaque)
{
    VitCpu *cpu = opaque;
    clockid_t clock;

    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        __atomic_store_n(&cpu->cpu_clock, clock, __ATOMIC_RELAXED);
    cpu->accel->klass->cpu_loop(cpu->accel, cpu);
    return NULL;
}

bool vit_cpu_start(VitAccel *accel, VitCpu *cpu, GError **error)
{
    cpu->accel = accel;
    if (!accel->klass->cpu_init(accel, cpu, error)) {
        cpu->accel = NULL;
        return false;
    }
    if (cpu->memory)
        vit_as_add_listener(cpu->memory, memory_changed, cpu);
    __atomic_fetch_or(&cpu->exit_request, VIT_EXIT_PAUSE, __ATOMIC_SEQ_CST);
    g_autofree char *name = g_strdup_printf("vcpu-%u", cpu->index);
    cpu->thread = g_thread_new(name, cpu_thread, cpu);
    return true;
}

void vit_cpu_resume(VitCpu *cpu)
{
    __atomic_fetch_and(&cpu->exit_request, ~(uint32_t) VIT_EXIT_PAUSE, __ATOMIC_SEQ_CST);
    g_mutex_lock(&cpu->wake_lock);
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->wake_lock);
}

void vit_cpu_pause(VitCpu *cpu)
{
    if (!cpu->thread)
        return;
    __atomic_fetch_add(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
    vit_cpu_request(cpu, VIT_EXIT_PAUSE);
    g_mutex_lock(&cpu->wake_lock);
    while (!cpu->parked)
        g_cond_wait(&cpu->wake, &cpu->wake_lock);
    g_mutex_unlock(&cpu->wake_lock);
    __atomic_fetch_sub(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
}

void vit_cpu_stop(VitCpu *cpu)
{
    if (!cpu->thread)
        return;
    vit_cpu_request(cpu, VIT_EXIT_STOP);
    g_mutex_lock(&cpu->wake_lock);
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->wake_lock);
    g_thread_join(cpu->thread);
    cpu->thread = NULL;
    if (cpu->memory)
        vit_as_remove_listener(cpu->memory, memory_changed, cpu);
    cpu->accel->klass->cpu_finish(cpu->accel, cpu);
    cpu->accel = NULL;
    __atomic_store_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST);
}

bool vit_cpu_is_parked(VitCpu *cpu)
{
    g_mutex_lock(&cpu->wake_lock);
    bool parked = cpu->parked;
    g_mutex_unlock(&cpu->wake_lock);
    return parked;
}

/* ---- The vCPU thread's side ------------------------------------------------------------------ */

/* Sleeps until a request other than `ignored` comes. */
static void sleep_for_request(VitCpu *cpu, bool parked, uint32_t ignored)
{
    g_mutex_lock(&cpu->wake_lock);
    __atomic_fetch_add(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
    if (parked) {
        cpu->parked = true;
        g_cond_broadcast(&cpu->wake);
    }
    for (;;) {
        uint32_t bits = __atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST);
        if (bits & ~ignored || (parked && !(bits & VIT_EXIT_PAUSE)))
            break;
        g_cond_wait(&cpu->wake, &cpu->wake_lock);
    }
    if (parked)
        cpu->parked = false;
    __atomic_fetch_sub(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&cpu->wake_lock);
}

static bool take(VitCpu *cpu, uint32_t bit)
{
    if (!(__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) & bit))
        return false;
    return __atomic_fetch_and(&cpu->exit_request, ~bit, __ATOMIC_SEQ_CST) & bit;
}

bool vit_cpu_serve(VitCpu *cpu)
{
    for (;;) {
        uint32_t bits = __atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST);

        if (bits & VIT_EXIT_STOP)
            return false;
        if (take(cpu, VIT_EXIT_WORK))
            vit_cpu_run_work(cpu);
        vit_tlb_serve_requests(cpu);
        if (take(cpu, VIT_EXIT_CODE))
            cpu->jump_generation++;
        if (bits & VIT_EXIT_PAUSE) {
            sleep_for_request(cpu, true, VIT_EXIT_PAUSE | VIT_EXIT_INTERRUPT | VIT_EXIT_TLB_WRITE |
                                             VIT_EXIT_TLB_FLUSH | VIT_EXIT_CODE);
            continue;
        }
        bool interrupt = take(cpu, VIT_EXIT_INTERRUPT);
        if (cpu->halted) {
            if (!cpu->isa->has_work || !cpu->isa->has_work(cpu)) {
                if (!__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
                    sleep_for_request(cpu, false, 0);
                continue;
            }
            cpu->halted = 0;
            interrupt = true;
        }
        if (interrupt) {
            cpu->stats[VIT_CPU_STAT_INTERRUPTS]++;
            cpu->isa->deliver(cpu);
        }
        if (cpu->halted ||
            __atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) & VIT_EXIT_BEFORE_CODE)
            continue;
        return true;
    }
}
