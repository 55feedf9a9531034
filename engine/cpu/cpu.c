/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/cpu.c - a vCPU's life, requests from other threads, leaving a guest instruction */
#include "engine/cpu/cpu.h"

#include "engine/cpu/accel.h"
#include "engine/cpu/run.h"
#include "engine/cpu/tlb-private.h"
#include "engine/cpu/tlb.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ALIGNMENT = 4096, CSR_STICKY = 0x3f, CSR_MASKS = 0x1f80 };

/* Pages nobody touches cost nothing: the block is a fresh anonymous mapping for large sizes. */
VitCpu *vit_cpu_new(const VitIsa *isa, VitSystem *sys, unsigned index)
{
    size_t size = sizeof(VitTlb) + isa->cpu_size;
    size = (size + ALIGNMENT - 1) & ~(size_t) (ALIGNMENT - 1);
    uint8_t *block = aligned_alloc(ALIGNMENT, size);
    if (!block)
        g_error("vCPU %u: out of memory", index);
    memset(block, 0, size);

    VitCpu *cpu = (VitCpu *) (block + sizeof(VitTlb));
    cpu->isa = isa;
    cpu->sys = sys;
    cpu->memory = sys ? sys->memory : NULL;
    cpu->io = sys ? sys->io : NULL;
    cpu->index = index;
    cpu->jump_generation = 1;
    cpu->work = g_async_queue_new();
    g_mutex_init(&cpu->wake_lock);
    g_cond_init(&cpu->wake);
    vit_tlb_init(cpu);
    if (isa->init)
        isa->init(cpu);
    return cpu;
}

void vit_cpu_free(VitCpu *cpu)
{
    if (!cpu)
        return;
    if (cpu->isa->finish)
        cpu->isa->finish(cpu);
    vit_tlb_finish(cpu);
    g_async_queue_unref(cpu->work);
    g_mutex_clear(&cpu->wake_lock);
    g_cond_clear(&cpu->wake);
    free(vit_cpu_tlb(cpu));
}

void vit_cpu_request(VitCpu *cpu, uint32_t bits)
{
    __atomic_fetch_or(&cpu->exit_request, bits, __ATOMIC_SEQ_CST);
    int thread = __atomic_load_n(&cpu->kick_thread, __ATOMIC_SEQ_CST);
    if (thread)
        tgkill(getpid(), thread, VIT_KICK_SIGNAL);
    if (!__atomic_load_n(&cpu->waiting, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&cpu->wake_lock);
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->wake_lock);
}

typedef struct {
    void (*fn)(VitCpu *cpu, void *opaque);
    void  *opaque;
    bool   done;        /* guarded by lock */
    GMutex lock;
    GCond  cond;
} Call;

void vit_cpu_call_sync(VitCpu *cpu, void (*fn)(VitCpu *cpu, void *opaque), void *opaque)
{
    if (!cpu->thread || cpu->thread == g_thread_self()) {
        fn(cpu, opaque);
        return;
    }
    Call call = { .fn = fn, .opaque = opaque };
    g_mutex_init(&call.lock);
    g_cond_init(&call.cond);
    g_async_queue_push(cpu->work, &call);
    vit_cpu_request(cpu, VIT_EXIT_WORK);
    g_mutex_lock(&call.lock);
    while (!call.done)
        g_cond_wait(&call.cond, &call.lock);
    g_mutex_unlock(&call.lock);
    g_mutex_clear(&call.lock);
    g_cond_clear(&call.cond);
}

void vit_cpu_run_work(VitCpu *cpu)
{
    Call *call;

    while ((call = g_async_queue_try_pop(cpu->work))) {
        call->fn(cpu, call->opaque);
        g_mutex_lock(&call->lock);
        call->done = true;
        g_cond_signal(&call->cond);
        g_mutex_unlock(&call->lock);
    }
}

int64_t vit_cpu_host_time(VitCpu *cpu)
{
    clockid_t clock = __atomic_load_n(&cpu->cpu_clock, __ATOMIC_RELAXED);
    struct timespec t;

    if (!clock || clock_gettime(clock, &t))
        return 0;
    return t.tv_sec * VIT_NS_PER_S + t.tv_nsec;
}

/* ---- Leaving a guest instruction ------------------------------------------------------------- */

void vit_cpu_sync_pc(VitCpu *cpu)
{
    if (!cpu->in_block)
        return;
    uint64_t pc = cpu->jit_return && cpu->accel->klass->running_pc
                      ? cpu->accel->klass->running_pc(cpu) : cpu->interp_pc;
    memcpy((uint8_t *) cpu + cpu->isa->pc_offset, &pc, sizeof pc);
}

void vit_cpu_unwind(VitCpu *cpu)
{
    if (!cpu->in_guest)
        g_error("vCPU %u: a guest fault outside guest code", cpu->index);
    vit_cpu_sync_pc(cpu);
    cpu->in_block = false;
    cpu->jit_return = NULL;
    siglongjmp(cpu->unwind, 1);
}

/* ---- Floating-point control ------------------------------------------------------------------ */

static uint32_t *csr_slot(VitCpu *cpu)
{
    return (uint32_t *) ((uint8_t *) cpu + cpu->isa->mxcsr_offset);
}

void vit_cpu_read_csr(VitCpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->csr_live)
        *csr_slot(cpu) |= _mm_getcsr() & CSR_STICKY;
#endif
}

void vit_cpu_wrote_csr(VitCpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->csr_live)
        _mm_setcsr((*csr_slot(cpu) & 0xffff) | CSR_MASKS);
#endif
}
