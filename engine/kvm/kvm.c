/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/kvm/kvm.c - the accelerator on /dev/kvm: what it needs, virtual machine, vCPUs
 * (Linux, Documentation/virt/kvm/api.rst and include/uapi/linux/kvm.h)
 *
 * Interrupt controllers and timers are our own models, in user space: the same machine runs under
 * every accelerator.  Not modelled: in-kernel interrupt controllers, SMM, paravirtual clocks, the
 * TSC deadline timer and x2APIC (CPUID leaves both out). */
#include "engine/kvm/kvm-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Pages that some Intel processors want for real mode; below the firmware, above the APICs. */
enum : uint64_t { IDENTITY_MAP = 0xfeffc000, TSS_PAGES = 0xfeffd000 };

static const struct { int cap; const char *name; } needed[] = {
    { KVM_CAP_USER_MEMORY, N_("user memory") }, { KVM_CAP_READONLY_MEM, N_("read-only memory") },
    { KVM_CAP_IMMEDIATE_EXIT, N_("immediate exits") }, { KVM_CAP_EXT_CPUID, N_("CPUID tables") },
    { KVM_CAP_VCPU_EVENTS, N_("vCPU events") }, { KVM_CAP_DEBUGREGS, N_("debug registers") },
    { KVM_CAP_USER_NMI, N_("NMIs") }, { KVM_CAP_XSAVE, N_("extended state") },
};

static void fail(GError **error, const char *what, int code)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                _("-accel kvm: cannot %s: %s; -accel jit works without KVM"), what,
                g_strerror(code));
}

static int open_kvm(GError **error)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), code = errno;

    if (fd >= 0)
        return fd;
    if (code == EACCES || code == EPERM)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    _("/dev/kvm: permission denied; add yourself to the group kvm (sudo usermod "
                      "-aG kvm %s) and log in again, or use -accel jit"), g_get_user_name());
    else if (code == ENOENT || code == ENODEV || code == ENXIO)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    _("/dev/kvm: %s; switch virtualization on in the computer's firmware setup and "
                      "load kvm_intel or kvm_amd, or use -accel jit"), g_strerror(code));
    else
        fail(error, _("open /dev/kvm"), code);
    return -1;
}

static bool check(KvmAccel *a, GError **error)
{
    if (ioctl(a->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            _("/dev/kvm: this kernel's interface is another than version 12; use -accel jit"));
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (ioctl(a->kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        _("/dev/kvm: this kernel's KVM has no %s; use -accel jit"),
                        _(needed[i].name));
            return false;
        }
    }
    return true;
}

static bool open_vm(KvmAccel *a, GError **error)
{
    uint64_t identity = IDENTITY_MAP;
    int size, slots;

    a->kvm = open_kvm(error);
    if (a->kvm < 0 || !check(a, error))
        return false;
    do
        a->vm = ioctl(a->kvm, KVM_CREATE_VM, 0);
    while (a->vm < 0 && errno == EINTR);
    if (a->vm < 0) {
        fail(error, _("make a virtual machine"), errno);
        return false;
    }
    size = ioctl(a->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    slots = ioctl(a->kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    if (size < (int) sizeof(struct kvm_run) ||
        ioctl(a->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        ioctl(a->vm, KVM_SET_TSS_ADDR, (unsigned long) TSS_PAGES) < 0) {
        fail(error, _("set the virtual machine up"), errno);
        return false;
    }
    a->run_size = (size_t) size;
    a->max_slots = slots > 0 ? (uint32_t) slots : 32;
    return true;
}

static void destroy(VitAccel *accel)
{
    KvmAccel *a = (KvmAccel *) accel;

    kvm_memory_finish(a);
    if (a->vm >= 0)
        close(a->vm);
    if (a->kvm >= 0)
        close(a->kvm);
    g_free(a);
}

static VitAccel *create(VitSystem *sys, GError **error)
{
    KvmAccel *a = g_new0(KvmAccel, 1);

    a->accel = (VitAccel) { .klass = &vit_accel_kvm, .sys = sys };
    a->kvm = a->vm = -1;
    kvm_memory_init(a);
    if (!open_vm(a, error)) {
        destroy(&a->accel);
        return NULL;
    }
    return &a->accel;
}

static void free_cpu(KvmCpu *kc)
{
    if (kc->run)
        munmap(kc->run, kc->accel->run_size);
    if (kc->fd >= 0)
        close(kc->fd);
    g_free(kc);
}

static bool cpu_init(VitAccel *accel, VitCpu *cpu, GError **error)
{
    KvmAccel *a = (KvmAccel *) accel;

    if (cpu->isa != &vit_isa_x86) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            _("-accel kvm: this host runs x86 guests only; use -accel jit"));
        return false;
    }
    KvmCpu *kc = g_new0(KvmCpu, 1);
    kc->accel = a;
    kc->x = (X86Cpu *) cpu;
    kc->here = true;
    kc->fd = ioctl(a->vm, KVM_CREATE_VCPU, (unsigned long) cpu->index);
    if (kc->fd >= 0) {
        kc->run = mmap(NULL, a->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kc->fd, 0);
        if (kc->run == MAP_FAILED)
            kc->run = NULL;
    }
    if (!kc->run) {
        fail(error, _("make a virtual processor"), errno);
        free_cpu(kc);
        return false;
    }
    if (!kvm_set_cpuid(kc, error)) {
        free_cpu(kc);
        return false;
    }
    kc->events_cr0 = UINT64_MAX;        /* of no state yet */
    cpu->accel_data = kc;
    return true;
}

static void cpu_finish(VitAccel *accel, VitCpu *cpu)
{
    free_cpu(cpu->accel_data);
    cpu->accel_data = NULL;
}

const VitAccelClass vit_accel_kvm = {
    .name = "kvm",
    .create = create,
    .destroy = destroy,
    .cpu_init = cpu_init,
    .cpu_finish = cpu_finish,
    .cpu_loop = kvm_cpu_loop,
};
