/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-bare.c - runs the bare-metal guests under every accelerator
 *
 * A machine of RAM, local APICs and an exit port; see bare/common.inc for what an image is and
 * does. */
#include "engine/guest/x86/cpu-private.h"
#include "engine/jit/jit.h"
#include "engine/kvm/kvm.h"
#include "engine/machine/x86-apic.h"
#include "hw/intc/apic-bus.h"

#include <string.h>

enum {
    RAM_SIZE = 64 << 20,
    LOAD = 0x10000,
    MAX_IMAGE = 0x50000,
    MAX_CPUS = 2,
    TIMEOUT_S = 50,
    TABLES = 0x80000,
    UNTOUCHED = 32 << 20,     /* pages that a guest has written and has not */
};

typedef struct {
    const char *name;
    unsigned n_cpus;
    bool disturbed;      /* paused and resumed all the time */
    bool on_kvm;         /* needs no more of it than every host gives */
} Guest;

static const Guest guests[] = {
    { "debug", 1 },
    { "faults", 1 },
    { "gates", 1 },
    { "irq", 1 },
    { "modes", 1, .on_kvm = true },
    { "paging", 1 },
    { "smc", 1, .on_kvm = true },
    { "smp", 2 },
    { "steady", 1, .disturbed = true, .on_kvm = true },
    { "strings", 1 },
    { "tasks", 1 },
};

typedef struct {
    VitSystem *sys;
    VitApicBus bus;
    VitCpu *cpus[MAX_CPUS];
    unsigned n_cpus;
    GMutex lock;
    GCond cond;
    int code;            /* guarded by lock; -1: still running */
} Machine;

typedef struct {
    const Guest *guest;
    const VitAccelClass *accel;
} Case;

/* ---- The end --------------------------------------------------------------------------------- */

static void finish(Machine *m, int code)
{
    g_mutex_lock(&m->lock);
    if (m->code < 0) m->code = code;
    g_cond_signal(&m->cond);
    g_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < m->n_cpus; i++) vit_cpu_request(m->cpus[i], VIT_EXIT_PAUSE);
}

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}
static void exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    finish(opaque, (int)value);
}
static const VitMmioOps exit_ops = { .read = exit_read, .write = exit_write };

static void request(VitSystem *sys, VitRequest request, int exit_code, const char *reason)
{
    g_test_message("request %d: %s", request, reason);
    finish(sys->request_opaque, 1000);
}

static void disturb(Machine *m)
{
    for (unsigned i = 0; i < m->n_cpus; i++) vit_cpu_pause(m->cpus[i]);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        g_autofree char *text = vit_isa_x86.dump(m->cpus[i]);
        g_assert_nonnull(strstr(text, "MXCSR 00001f80"));
        vit_cpu_resume(m->cpus[i]);
    }
}

static void wait_for_end(Machine *m, bool disturbed)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&m->lock);
    while (m->code < 0 && g_get_monotonic_time() < end) {
        int64_t moment = g_get_monotonic_time() + 2 * G_TIME_SPAN_MILLISECOND;
        if (!g_cond_wait_until(&m->cond, &m->lock, disturbed ? moment : end) && disturbed) {
            g_mutex_unlock(&m->lock);
            disturb(m);
            g_mutex_lock(&m->lock);
        }
    }
    g_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < m->n_cpus; i++) vit_cpu_pause(m->cpus[i]);
    if (m->code == 0) return;
    for (unsigned i = 0; i < m->n_cpus; i++) {
        g_autofree char *text = vit_isa_x86.dump(m->cpus[i]);
        g_test_message("processor %u:\n%s", i, text);
    }
}

/* ---- One run --------------------------------------------------------------------------------- */

static void add_cpu(Machine *m, unsigned n)
{
    g_autoptr(GError) error = NULL;
    VitDevice *lapic = vit_device_new(m->sys, &vit_lapic_class, NULL);

    g_assert_true(vit_device_init(lapic, &error));
    vit_lapic_connect(lapic, &m->bus, n);
    m->bus.lapics[n] = lapic;
    m->bus.n_lapics = n + 1;
    m->cpus[n] = vit_cpu_new(&vit_isa_x86, m->sys, n);
    X86Cpu *x = (X86Cpu *)m->cpus[n];
    x->n_cpus = m->n_cpus;
    engine_connect_apic(x, lapic);
}

static void reset(Machine *m)
{
    vit_system_reset(m->sys);
    for (unsigned n = 0; n < m->n_cpus; n++) vit_isa_x86.reset(m->cpus[n]);
    X86Cpu *x = (X86Cpu *)m->cpus[0];
    x86_set_real(x, X86_CS, LOAD >> 4);
    x->rip = 0;
    x86_update_mode(x);
}

static void load_image(const Guest *guest, VitRam *ram)
{
    g_autofree char *name = g_strdup_printf("bare-%s.bin", guest->name), *data = NULL;
    g_autofree char *path = g_build_filename(g_getenv("BARE_IMAGES"), name, NULL);
    g_autoptr(GError) error = NULL;
    size_t size;

    g_file_get_contents(path, &data, &size, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(size, <, MAX_IMAGE);
    memcpy(ram->host + LOAD, data, size);
}

/* Not where there is none, nor where it lacks what the accelerator needs. */
static bool have_kvm(void)
{
    g_autoptr(VitSystem) sys = vit_system_new();
    g_autoptr(GError) error = NULL;
    VitAccel *accel = vit_accel_kvm.create(sys, &error);

    if (accel) vit_accel_kvm.destroy(accel);
    else g_test_skip(error->message);
    return accel;
}

static void test_guest(const void *data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    if (c->accel == &vit_accel_kvm && !have_kvm()) return;
    Machine m = { .n_cpus = c->guest->n_cpus, .code = -1 };
    VitRam *ram = vit_ram_new("ram", RAM_SIZE, NULL);
    VitRegion *region = vit_region_new_ram("ram", ram, 0, RAM_SIZE);
    VitRegion *port = vit_region_new_mmio("exit", &exit_ops, &m, 1);

    g_mutex_init(&m.lock);
    g_cond_init(&m.cond);
    m.sys = vit_system_new();
    m.sys->request = request;
    m.sys->request_opaque = &m;
    load_image(c->guest, ram);
    vit_system_lock(m.sys);
    vit_region_add(m.sys->memory_root, 0, region, 0);
    vit_region_add(m.sys->io_root, 0xf4, port, 0);
    for (unsigned n = 0; n < m.n_cpus; n++) add_cpu(&m, n);
    reset(&m);
    vit_system_unlock(m.sys);

    VitAccel *accel = c->accel->create(m.sys, &error);
    g_assert_no_error(error);
    for (unsigned n = 0; n < m.n_cpus; n++) g_assert_true(vit_cpu_start(accel, m.cpus[n], &error));
    vit_ram_track(ram, VIT_DIRTY_DISPLAY, true);
    vit_ram_test_and_clear_dirty(ram, VIT_DIRTY_DISPLAY, 0, RAM_SIZE, NULL);
    vit_clock_start(m.sys->clock);
    for (unsigned n = 0; n < m.n_cpus; n++) vit_cpu_resume(m.cpus[n]);
    wait_for_end(&m, c->guest->disturbed);
    vit_clock_stop(m.sys->clock);
    for (unsigned n = 0; n < m.n_cpus; n++) vit_cpu_stop(m.cpus[n]);
    g_assert_cmpint(m.code, ==, 0);
    g_assert_true(vit_ram_is_dirty(ram, VIT_DIRTY_DISPLAY, TABLES, VIT_PAGE_SIZE));
    g_assert_false(vit_ram_is_dirty(ram, VIT_DIRTY_DISPLAY, UNTOUCHED, VIT_PAGE_SIZE));

    c->accel->destroy(accel);
    vit_system_lock(m.sys);
    vit_region_remove(m.sys->memory_root, region);
    vit_region_remove(m.sys->io_root, port);
    vit_system_unlock(m.sys);
    vit_region_free(region);
    vit_region_free(port);
    vit_system_free(m.sys);
    for (unsigned n = 0; n < m.n_cpus; n++) vit_cpu_free(m.cpus[n]);
    vit_ram_free(ram);
    g_mutex_clear(&m.lock);
    g_cond_clear(&m.cond);
}

int main(int argc, char **argv)
{
    static const VitAccelClass *const accels[] = { &vit_accel_interp, &vit_accel_jit,
                                                   &vit_accel_kvm };
    static Case cases[G_N_ELEMENTS(accels) * G_N_ELEMENTS(guests)];
    unsigned n = 0;

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(accels); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(guests); k++) {
            g_autofree char *path = g_strdup_printf("/guest/x86/bare/%s/%s", accels[i]->name,
                                                    guests[k].name);
            if (accels[i] == &vit_accel_kvm && !guests[k].on_kvm) continue;
            cases[n] = (Case){ &guests[k], accels[i] };
            g_test_add_data_func(path, &cases[n++], test_guest);
        }
    }
    return g_test_run();
}
