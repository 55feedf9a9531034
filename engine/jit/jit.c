/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/jit.c - the translating accelerators: options, vCPU set-up, the run loop */
#include "engine/core/log.h"
#include "engine/core/options.h"
#include "engine/cpu/run.h"
#include "engine/jit/jit-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- The accelerator ------------------------------------------------------------------------- */

static VitAccel *create(VitSystem *sys, const VitAccelClass *klass, GError **error)
{
    JitAccel *a = g_new0(JitAccel, 1);

    a->parent.klass = klass;
    a->parent.sys = sys;
    a->interp = klass == &vit_accel_interp;
    a->options = (VitJitOptions) { true, true, true, true, true, true };
    a->cpus = g_ptr_array_new();
    g_mutex_init(&a->lock);
    if (!jit_cache_init(a, error)) {
        klass->destroy(&a->parent);
        return NULL;
    }
    return &a->parent;
}

static VitAccel *create_jit(VitSystem *sys, GError **error)
{
    if (!jit_host_available()) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    _("The translator does not know this computer's processor; use -accel interp"));
        return NULL;
    }
    return create(sys, &vit_accel_jit, error);
}

static VitAccel *create_interp(VitSystem *sys, GError **error)
{
    return create(sys, &vit_accel_interp, error);
}

static void destroy(VitAccel *accel)
{
    JitAccel *a = (JitAccel *) accel;

    jit_cache_finish(a);
    g_ptr_array_unref(a->cpus);
    g_mutex_clear(&a->lock);
    g_free(a);
}

void vit_jit_set_options(VitAccel *accel, const VitJitOptions *options)
{
    ((JitAccel *) accel)->options = *options;
}

VitJitOptions vit_jit_get_options(const VitAccel *accel)
{
    return ((const JitAccel *) accel)->options;
}

static bool set_options(VitAccel *accel, const char *text, GError **error)
{
    VitJitOptions *o = &((JitAccel *) accel)->options;
    g_autoptr(VitOptions) options = vit_options_parse("-accel", text, NULL, error);

    return options && vit_options_take_bool(options, "chain", &o->chain, error) &&
           vit_options_take_bool(options, "pin", &o->pin, error) &&
           vit_options_take_bool(options, "fuse-flags", &o->fuse_flags, error) &&
           vit_options_take_bool(options, "ir-passes", &o->ir_passes, error) &&
           vit_options_take_bool(options, "jump-cache", &o->jump_cache, error) &&
           vit_options_take_bool(options, "tlb", &o->tlb, error) &&
           vit_options_finish(options, error);
}

static bool cpu_init(VitAccel *accel, VitCpu *cpu, GError **error)
{
    JitAccel *a = (JitAccel *) accel;
    JitCpu *jc = g_new0(JitCpu, 1);

    jc->cpu = cpu;
    jc->accel = a;
    cpu->accel_data = jc;
    g_mutex_lock(&a->lock);
    if (!a->isa) {      /* the first vCPU: thunks know the ISA's slots */
        a->isa = cpu->isa;
        if (!a->interp)
            jit_host_prelude(a);
    }
    g_ptr_array_add(a->cpus, jc);
    g_mutex_unlock(&a->lock);
    if (!a->interp)
        jc->gen = jit_host_gen_new(a);
    return true;
}

static void cpu_finish(VitAccel *accel, VitCpu *cpu)
{
    JitAccel *a = (JitAccel *) accel;
    JitCpu *jc = jit_cpu(cpu);

    g_mutex_lock(&a->lock);
    g_ptr_array_remove_fast(a->cpus, jc);
    g_mutex_unlock(&a->lock);
    g_free(jc->gen);
    g_free(jc);
    cpu->accel_data = NULL;
}

static uint64_t running_pc(VitCpu *cpu)
{
    JitAccel *a = jit_cpu(cpu)->accel;
    uint64_t pc = cpu->interp_pc;

    g_mutex_lock(&a->lock);
    const JitBlock *b = jit_cache_find_host(a, cpu->jit_return);
    if (b) {
        uint32_t at = (uint32_t) ((uint8_t *) cpu->jit_return - b->code);
        pc = b->pc;
        unsigned low = 0, high = b->n_pcs;      /* the last entry at or before the call */
        while (low < high) {
            unsigned mid = (low + high) / 2;
            if (b->pcs[mid].host < at)
                low = mid + 1;
            else
                high = mid;
        }
        if (low)
            pc = b->pc + b->pcs[low - 1].pc;
    }
    g_mutex_unlock(&a->lock);
    return pc;
}

/* ---- The run loop ---------------------------------------------------------------------------- */

static uint64_t pc_of(const VitCpu *cpu)
{
    uint64_t pc;
    memcpy(&pc, (const uint8_t *) cpu + cpu->isa->pc_offset, sizeof pc);
    return pc;
}

/* The host's floating-point control becomes the guest's around translated code. */
static void csr_in(VitCpu *cpu)
{
    cpu->csr_live = true;
    vit_cpu_wrote_csr(cpu);
}

static void csr_out(VitCpu *cpu)
{
    if (!cpu->csr_live)
        return;
    vit_cpu_read_csr(cpu);
    cpu->csr_live = false;
#if defined(__x86_64__)
    _mm_setcsr(0x1f80);
#endif
}

static void run_translated(JitCpu *jc)
{
    VitCpu *cpu = jc->cpu;
    JitAccel *a = jc->accel;
    uintptr_t from = 0;
    uint64_t drops = 0;

    do {
        uint64_t pc = pc_of(cpu);
        unsigned mmu = cpu->isa->code_mmu ? cpu->isa->code_mmu(cpu) : 0;
        JitBlock *b = jit_translate_at(jc, pc);

        if (!b->single)
            vit_tlb_remember_jump(cpu, pc, mmu, b->code);
        if (from && !b->single) {
            g_mutex_lock(&a->lock);
            if (a->drops == drops)
                jit_block_link(a, (JitBlock *) (from & ~(uintptr_t) 7), from & 1, b);
            g_mutex_unlock(&a->lock);
        }
        if (vit_log_enabled(VIT_LOG_EXEC))
            vit_log(VIT_LOG_EXEC, "%u: %" G_GINT64_MODIFIER "x", cpu->index, pc);
        drops = a->drops;
        if (b->ir) {        /* what the backend could not compile */
            cpu->interp_pc = pc;
            cpu->in_block = true;
            vit_interp_run(cpu, b->ir);
            cpu->in_block = false;
            return;
        }
        cpu->stats[VIT_CPU_STAT_EXITS]++;
        csr_in(cpu);
        cpu->in_block = true;
        from = jit_host_enter(jc, jit_host_body(b));
        cpu->in_block = false;
        cpu->jit_return = NULL;
        csr_out(cpu);
    } while (from && !__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED));
}

static void run_interpreted(JitCpu *jc)
{
    VitCpu *cpu = jc->cpu;
    VitRunResult result;

    do {
        uint64_t pc = pc_of(cpu);
        JitBlock *b = jit_translate_at(jc, pc);

        if (vit_log_enabled(VIT_LOG_EXEC))
            vit_log(VIT_LOG_EXEC, "%u: %" G_GINT64_MODIFIER "x", cpu->index, pc);
        cpu->stats[VIT_CPU_STAT_BLOCKS]++;
        jc->running = b;
        cpu->interp_pc = pc;
        cpu->in_block = true;
        result = vit_interp_run(cpu, b->ir);
        cpu->in_block = false;
    } while (result == VIT_RUN_NEXT && !__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED));
}

static void cpu_loop(VitAccel *accel, VitCpu *cpu)
{
    JitCpu *jc = jit_cpu(cpu);

    cpu->in_guest = true;
    if (sigsetjmp(cpu->unwind, 0)) {
        csr_out(cpu);
        jit_leave_code(jc);
        if (!jc->restart) {
            cpu->stats[VIT_CPU_STAT_EXCEPTIONS]++;
            cpu->isa->deliver(cpu);     /* may come back here */
        }
        jc->restart = false;
    }
    while (vit_cpu_serve(cpu)) {
        jit_enter_code(jc);
        if (!(__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) & VIT_EXIT_CODE)) {
            if (jc->accel->interp)
                run_interpreted(jc);
            else
                run_translated(jc);
        }
        jit_leave_code(jc);
    }
    cpu->in_guest = false;
}

#define HOOKS                                                                                      \
    .destroy = destroy, .cpu_init = cpu_init, .cpu_finish = cpu_finish, .cpu_loop = cpu_loop,      \
    .running_pc = running_pc, .code_store = jit_code_store, .set_options = set_options
const VitAccelClass vit_accel_jit = { .name = "jit", .create = create_jit, HOOKS };
const VitAccelClass vit_accel_interp = { .name = "interp", .create = create_interp, HOOKS };
