/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm-run.c - the vCPU thread: enter KVM, serve what comes back, inject interrupts
 *
 * Others end a stay in KVM with a signal that is blocked everywhere else on this thread, so no
 * handler ever runs.  What is rare (INIT, SIPI, pauses, queued calls) is done on the X86Cpu by the
 * code that all accelerators share, with the registers fetched before and pushed after. */
#include "engine/kvm/kvm-private.h"

#include "engine/core/log.h"
#include "engine/cpu/run.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SHARED_REQUESTS = VIT_EXIT_PAUSE | VIT_EXIT_WORK | VIT_EXIT_STOP | VIT_EXIT_CODE };

/* ---- Accesses that are no RAM ---------------------------------------------------------------- */

static uint64_t load(VitCpu *cpu, uint64_t addr, unsigned size)
{
    const VitCpuPrivatePage *own = cpu->private_page;

    if (own && own->page(cpu->private_opaque) == (addr & ~(uint64_t) (VIT_PAGE_SIZE - 1)))
        return own->read(cpu->private_opaque, addr % VIT_PAGE_SIZE, size);
    return vit_as_load(cpu->memory, addr, size, NULL);
}

static void store(VitCpu *cpu, uint64_t addr, uint64_t value, unsigned size)
{
    const VitCpuPrivatePage *own = cpu->private_page;

    if (own && own->page(cpu->private_opaque) == (addr & ~(uint64_t) (VIT_PAGE_SIZE - 1)))
        own->write(cpu->private_opaque, addr % VIT_PAGE_SIZE, value, size);
    else
        (void) vit_as_store(cpu->memory, addr, value, size);
}

static void on_mmio(KvmCpu *kc)
{
    struct kvm_run *run = kc->run;
    unsigned length = MIN(run->mmio.len, (uint32_t) sizeof run->mmio.data);

    for (unsigned done = 0; done < length;) {
        unsigned size = 8;
        uint64_t value = 0;
        while (size > length - done)
            size /= 2;
        if (run->mmio.is_write) {
            memcpy(&value, run->mmio.data + done, size);
            store(&kc->x->cpu, run->mmio.phys_addr + done, value, size);
        } else {
            value = load(&kc->x->cpu, run->mmio.phys_addr + done, size);
            memcpy(run->mmio.data + done, &value, size);
        }
        done += size;
    }
}

static void on_io(KvmCpu *kc)
{
    struct kvm_run *run = kc->run;
    uint8_t *data = (uint8_t *) run + run->io.data_offset;
    unsigned size = run->io.size;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            (void) vit_as_store(kc->x->cpu.io, run->io.port, value, size);
        } else {
            value = vit_as_load(kc->x->cpu.io, run->io.port, size, NULL);
            memcpy(data, &value, size);
        }
    }
}

/* ---- Ends of a stay -------------------------------------------------------------------------- */

static void give_up(KvmCpu *kc, const char *what, uint64_t detail)
{
    g_autofree char *number = g_strdup_printf("%#" G_GINT64_MODIFIER "x", detail);
    g_autofree char *reason = g_strdup_printf(_("KVM cannot go on: %s (%s); use -accel jit"), what,
                                              number);

    kc->stuck = true;
    vit_system_request(kc->x->cpu.sys, VIT_REQUEST_PAUSE, 0, reason);
}

static void on_exit_reason(KvmCpu *kc)
{
    struct kvm_run *run = kc->run;
    X86Cpu *x = kc->x;

    switch (run->exit_reason) {
    case KVM_EXIT_MMIO:
    case KVM_EXIT_IO:
        x->cpu.stats[VIT_CPU_STAT_MMIO]++;
        kc->incomplete = true;
        if (run->exit_reason == KVM_EXIT_IO)
            on_io(kc);
        else
            on_mmio(kc);
        break;
    case KVM_EXIT_HLT:
        kc->hlt = true;
        break;
    case KVM_EXIT_SHUTDOWN:
        kvm_fetch(kc);
        x->shutdown = true;
        x->cpu.halted = 1;
        vit_system_request(x->cpu.sys, VIT_REQUEST_RESET, 0, _("triple fault"));
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_INTR:
        break;
    case KVM_EXIT_FAIL_ENTRY:
        give_up(kc, _("the processor refuses the guest's state"),
                run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        give_up(kc, _("an instruction that it does not emulate, or an internal error"),
                run->internal.suberror);
        break;
    default: give_up(kc, _("an exit that is not known"), run->exit_reason);
    }
}

/* The APIC's task priority and base as the guest changed them inside KVM. */
static void sync_apic(KvmCpu *kc)
{
    X86Cpu *x = kc->x;

    if (!x->ops)
        return;
    if (x->ops->set_cr8 && x->ops->get_cr8(x->ops_opaque) != (kc->run->cr8 & 15))
        x->ops->set_cr8(x->ops_opaque, kc->run->cr8 & 15);
    if (x->ops->msr_write && kc->run->apic_base != kc->apic_base) {
        kc->apic_base = kc->run->apic_base;
        if (!x->ops->msr_write(x->ops_opaque, 0x1b, kc->apic_base))
            vit_log(VIT_LOG_GUEST_ERROR,
                    "cpu %u: the APIC refuses the base %#" G_GINT64_MODIFIER "x", x->cpu.index,
                    kc->apic_base);
    }
}

static void enter(KvmCpu *kc)
{
    const struct timespec now = { 0 };
    VitCpu *cpu = &kc->x->cpu;
    sigset_t kick;

    if (kc->x->ops && kc->x->ops->get_cr8)
        kc->run->cr8 = kc->x->ops->get_cr8(kc->x->ops_opaque);
    __atomic_store_n(&cpu->kick_thread, gettid(), __ATOMIC_SEQ_CST);
    bool asked = __atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) != 0;
    kc->run->immediate_exit = asked;
    int result = asked && !kc->incomplete ? -EINTR : ioctl(kc->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    __atomic_store_n(&cpu->kick_thread, 0, __ATOMIC_SEQ_CST);
    cpu->stats[VIT_CPU_STAT_EXITS]++;
    if (!asked || kc->incomplete)
        sync_apic(kc);
    kc->incomplete = false;
    if (result == 0) {
        on_exit_reason(kc);
    } else if (result == -EINTR || result == -EAGAIN) {
        sigemptyset(&kick);
        sigaddset(&kick, VIT_KICK_SIGNAL);
        sigtimedwait(&kick, NULL, &now);        /* it has done its work */
    } else {
        give_up(kc, g_strerror(-result), (uint64_t) -result);
    }
}

/* Has KVM finish an access whose value it has not taken yet; what comes of that is served too. */
static void complete(KvmCpu *kc)
{
    while (kc->incomplete && !kc->stuck) {
        kc->run->immediate_exit = 1;
        kc->incomplete = false;
        if (ioctl(kc->fd, KVM_RUN, 0) == 0)
            on_exit_reason(kc);
    }
    kc->run->immediate_exit = 0;
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static uint32_t lines_of(const X86Cpu *x)
{
    return __atomic_load_n(&x->lines, __ATOMIC_SEQ_CST);
}

static void inject(KvmCpu *kc)
{
    X86Cpu *x = kc->x;
    struct kvm_interrupt interrupt;

    if (lines_of(x) & X86_LINE_NMI) {
        __atomic_fetch_and(&x->lines, ~(uint32_t) X86_LINE_NMI, __ATOMIC_SEQ_CST);
        if (ioctl(kc->fd, KVM_NMI) < 0)
            give_up(kc, _("it takes no NMI"), (uint64_t) errno);
    }
    if ((lines_of(x) & X86_LINE_INTR) && kc->run->ready_for_interrupt_injection && x->ops) {
        int vector = x->ops->intr_ack(x->ops_opaque);
        if (vector >= 0) {
            interrupt.irq = (uint32_t) vector;
            if (ioctl(kc->fd, KVM_INTERRUPT, &interrupt) < 0)
                give_up(kc, _("it takes no interrupt"), (uint64_t) errno);
            kc->run->ready_for_interrupt_injection = 0;
            x->cpu.stats[VIT_CPU_STAT_INTERRUPTS]++;
        }
    }
    kc->run->request_interrupt_window = !!(lines_of(x) & X86_LINE_INTR);
}

static bool wakes(const KvmCpu *kc)
{
    uint32_t lines = lines_of(kc->x);

    return lines & X86_LINE_NMI || (lines & X86_LINE_INTR && kc->run->if_flag);
}

static void wait_for_request(VitCpu *cpu)
{
    g_mutex_lock(&cpu->wake_lock);
    __atomic_fetch_add(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
        g_cond_wait(&cpu->wake, &cpu->wake_lock);
    __atomic_fetch_sub(&cpu->waiting, 1, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&cpu->wake_lock);
}

/* ---- Loop ------------------------------------------------------------------------------------ */

/* Requests that want the registers here.  False: the thread ends. */
static bool serve_here(KvmCpu *kc)
{
    X86Cpu *x = kc->x;
    VitCpu *cpu = &x->cpu;

    complete(kc);
    kvm_fetch(kc);
    if (__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) & VIT_EXIT_PAUSE)
        kvm_memory_collect(kc->accel);
    if (kc->hlt)
        cpu->halted = 1;
    kc->hlt = kc->stuck = false;
    /* What KVM has begun to deliver comes first: as in a shadow, no interrupt is taken here. */
    bool begun = kc->events.interrupt.injected || kc->events.exception.injected ||
                 kc->events.nmi.injected;
    bool shadow = x->shadow_block;
    uint64_t rip = x->rip;
    x->shadow_block |= begun;
    bool goes_on = vit_cpu_serve(cpu);
    if (x->rip == rip)
        x->shadow_block = shadow;
    return goes_on;
}

/* Returns when the guest is to be entered.  False: the thread ends. */
static bool prepare(KvmCpu *kc)
{
    VitCpu *cpu = &kc->x->cpu;

    for (;;) {
        uint32_t bits = __atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST);

        __atomic_fetch_and(&kc->x->lines, ~(uint32_t) X86_LINE_SMI, __ATOMIC_SEQ_CST);
        if (bits & SHARED_REQUESTS || cpu->halted || lines_of(kc->x) & X86_LINE_INIT) {
            if (!serve_here(kc))
                return false;
            continue;
        }
        __atomic_fetch_and(
            &cpu->exit_request,
            ~(uint32_t) (VIT_EXIT_INTERRUPT | VIT_EXIT_TLB_FLUSH | VIT_EXIT_TLB_WRITE),
            __ATOMIC_SEQ_CST);
        kvm_memory_update(kc->accel);
        if (kc->stuck || (kc->hlt && !wakes(kc))) {
            wait_for_request(cpu);
            continue;
        }
        kc->hlt = false;
        kvm_push(kc);
        inject(kc);
        if (!kc->stuck)
            return true;
    }
}

static void set_signals(KvmCpu *kc)
{
    struct { struct kvm_signal_mask head; uint8_t set[8]; } mask = { .head.len = 8 };
    sigset_t kick, old;

    sigemptyset(&kick);
    sigaddset(&kick, VIT_KICK_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &kick, &old);
    sigdelset(&old, VIT_KICK_SIGNAL);
    memcpy(mask.head.sigset, &old, 8);      /* the kernel's part of it */
    if (ioctl(kc->fd, KVM_SET_SIGNAL_MASK, &mask.head) < 0)
        give_up(kc, _("it takes no signal mask"), (uint64_t) errno);
}

void kvm_cpu_loop(VitAccel *accel, VitCpu *cpu)
{
    KvmCpu *kc = cpu->accel_data;

    set_signals(kc);
    cpu->in_guest = true;
    if (sigsetjmp(cpu->unwind, 0))      /* something delivered on the X86Cpu faulted */
        cpu->isa->deliver(cpu);
    while (prepare(kc))
        enter(kc);
    cpu->in_guest = false;
}
