/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/hmp-info.c - the human monitor's "info" */
#include "engine/control/control-private.h"
#include "engine/control/qmp-block.h"

#include "block/graph.h"
#include "engine/core/device.h"
#include "engine/cpu/isa.h"

#include <string.h>
#include <unistd.h>

static bool info_version(HmpContext *h, const char *args, GError **error)
{
    g_string_append(h->out, "Vitrine " VIT_VERSION "\n");
    return true;
}

static bool info_status(HmpContext *h, const char *args, GError **error)
{
    bool running;
    const char *status = control_status(h->control, &running);

    if (running)
        g_string_append(h->out, "VM status: running\n");
    else if (!strcmp(status, "paused"))
        g_string_append(h->out, "VM status: paused\n");
    else
        g_string_append_printf(h->out, "VM status: paused (%s)\n", status);
    return true;
}

static bool info_name(HmpContext *h, const char *args, GError **error)
{
    g_string_append_printf(h->out, "%s\n", vit_engine_config(h->control->engine)->name ?: "");
    return true;
}

static bool info_kvm(HmpContext *h, const char *args, GError **error)
{
    bool kvm = !strcmp(vit_engine_accel_name(h->control->engine), "kvm");

    g_string_append_printf(h->out, "kvm support: %s\n", kvm ? "enabled" : "disabled");
    return true;
}

/* ---- Processors ------------------------------------------------------------------------------ */

typedef struct {
    char    *text;
    bool     halted;
    uint64_t pc;
    int      thread;
    uint64_t stats[16];
} Ask;

static void ask_registers(VitCpu *cpu, void *opaque)
{
    ((Ask *) opaque)->text = cpu->isa->dump ? cpu->isa->dump(cpu) : NULL;
}

static void ask_state(VitCpu *cpu, void *opaque)
{
    Ask *a = opaque;

    a->halted = cpu->halted;
    a->thread = gettid();
    memcpy(&a->pc, (const uint8_t *) cpu + cpu->isa->pc_offset, sizeof a->pc);
    memcpy(a->stats, cpu->stats, sizeof a->stats);
}

static bool info_registers(HmpContext *h, const char *args, GError **error)
{
    bool all = !strcmp(args, "-a");
    unsigned n = vit_engine_n_cpus(h->control->engine);

    for (unsigned i = all ? 0 : h->cpu; i < (all ? n : MIN(n, h->cpu + 1)); i++) {
        Ask a = { 0 };
        vit_cpu_call_sync(vit_engine_cpu(h->control->engine, i), ask_registers, &a);
        g_string_append_printf(h->out, "CPU#%u\n%s%s", i, a.text ?: "",
                               a.text && !g_str_has_suffix(a.text, "\n") ? "\n" : "");
        g_free(a.text);
    }
    return true;
}

static bool info_cpus(HmpContext *h, const char *args, GError **error)
{
    for (unsigned i = 0; i < vit_engine_n_cpus(h->control->engine); i++) {
        Ask a = { 0 };
        vit_cpu_call_sync(vit_engine_cpu(h->control->engine, i), ask_state, &a);
        g_string_append_printf(
            h->out, "%c CPU #%u: thread_id=%d pc=0x%016" G_GINT64_MODIFIER "x%s\n",
            i == h->cpu ? '*' : ' ', i, a.thread, a.pc, a.halted ? " (halted)" : "");
    }
    return true;
}

static bool info_jit(HmpContext *h, const char *args, GError **error)
{
    static const struct { unsigned stat; const char *text; } rows[] = {
        { VIT_CPU_STAT_TRANSLATED, "blocks translated" },
        { VIT_CPU_STAT_INVALIDATED, "blocks dropped" },
        { VIT_CPU_STAT_LOOKUPS, "block lookups" },
        { VIT_CPU_STAT_BLOCKS, "block chains entered" },
        { VIT_CPU_STAT_EXITS, "exits to the run loop" },
        { VIT_CPU_STAT_TLB_FILLS, "TLB fills" },
        { VIT_CPU_STAT_FLUSHES, "TLB flushes" },
        { VIT_CPU_STAT_EXCEPTIONS, "exceptions" },
        { VIT_CPU_STAT_INTERRUPTS, "interrupts" },
        { VIT_CPU_STAT_MMIO, "device accesses" },
    };

    g_string_append_printf(h->out, "accelerator: %s\n", vit_engine_accel_name(h->control->engine));
    for (unsigned i = 0; i < vit_engine_n_cpus(h->control->engine); i++) {
        Ask a = { 0 };
        vit_cpu_call_sync(vit_engine_cpu(h->control->engine, i), ask_state, &a);
        g_string_append_printf(h->out, "CPU #%u\n", i);
        for (size_t r = 0; r < G_N_ELEMENTS(rows); r++)
            g_string_append_printf(h->out, "  %-22s %" G_GUINT64_FORMAT "\n", rows[r].text,
                                   a.stats[rows[r].stat]);
    }
    return true;
}

/* ---- Memory and devices ---------------------------------------------------------------------- */

static bool info_mtree(HmpContext *h, const char *args, GError **error)
{
    const struct { const char *name; VitAddressSpace *as; } spaces[] = {
        { "memory", h->control->sys->memory }, { "I/O", h->control->sys->io },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(spaces); i++) {
        vit_system_lock(h->control->sys);
        g_autofree char *text = vit_as_describe(spaces[i].as);
        vit_system_unlock(h->control->sys);
        g_string_append_printf(h->out, "address space: %s\n%s", spaces[i].name, text);
    }
    return true;
}

static bool info_qtree(HmpContext *h, const char *args, GError **error)
{
    VitSystem *sys = h->control->sys;

    vit_system_lock(sys);
    for (guint i = 0; i < sys->devices->len; i++) {
        const VitDevice *d = sys->devices->pdata[i];
        g_string_append_printf(h->out, "dev: %s, id \"%s\"%s%s\n", d->klass->name, d->id,
                               d->klass->description ? "  " : "", d->klass->description ?: "");
    }
    vit_system_unlock(sys);
    return true;
}

static bool info_pic(HmpContext *h, const char *args, GError **error)
{
    static const char *const classes[] = { "i8259", "ioapic", "lapic", NULL };
    VitSystem *sys = h->control->sys;

    vit_system_lock(sys);
    for (guint i = 0; i < sys->devices->len; i++) {
        VitDevice *d = sys->devices->pdata[i];
        if (g_strv_contains(classes, d->klass->name)) {
            g_autofree char *text = vit_device_dump(d);
            g_string_append(h->out, text);
        }
    }
    vit_system_unlock(sys);
    return true;
}

static bool info_block(HmpContext *h, const char *args, GError **error)
{
    g_autoptr(GList) ids = control_drive_ids(h->control);

    for (GList *l = ids; l; l = l->next) {
        VitBlockNode *root = g_hash_table_lookup(vit_engine_drives(h->control->engine), l->data);
        const VitBlockNode *node = vit_block_root_node(root);
        g_string_append_printf(h->out, "%s: %s (%s)%s\n", (char *) l->data,
                               vit_block_node_filename(node), vit_block_node_format(node),
                               control_drive_is_cd(h->control, l->data) ? ", removable" : "");
    }
    return true;
}

static bool info_iothreads(HmpContext *h, const char *args, GError **error)
{
    g_autoptr(GArray) threads = vit_block_objects_io_threads(h->control->block->objects);

    for (guint i = 0; i < threads->len; i++) {
        const VitBlockIoThreadInfo *t = &g_array_index(threads, VitBlockIoThreadInfo, i);
        g_string_append_printf(h->out,
                               "%s:\n  thread_id=%" G_GINT64_FORMAT
                               "\n  poll-max-ns=%" G_GUINT64_FORMAT
                               "\n  poll-grow=%" G_GUINT64_FORMAT
                               "\n  poll-shrink=%" G_GUINT64_FORMAT
                               "\n  aio-max-batch=%" G_GUINT64_FORMAT "\n",
                               t->id, t->thread_id, t->poll_max_ns, t->poll_grow, t->poll_shrink,
                               t->aio_max_batch);
    }
    return true;
}

static bool info_chardev(HmpContext *h, const char *args, GError **error)
{
    VitSystem *sys = h->control->sys;

    vit_system_lock(sys);
    for (guint i = 0; i < sys->chars->len; i++) {
        const VitChar *chr = sys->chars->pdata[i];
        g_string_append_printf(h->out, "%s: %s%s%s%s\n", chr->id, chr->back->name,
                               chr->address ? " " : "", chr->address ?: "",
                               chr->connected ? "" : ", nobody connected");
    }
    vit_system_unlock(sys);
    return true;
}

static bool info_network(HmpContext *h, const char *args, GError **error)
{
    const VitMachineConfig *config = vit_engine_config(h->control->engine);

    for (guint i = 0; i < config->netdevs->len; i++)
        g_string_append_printf(h->out, "netdev: %s\n", (char *) config->netdevs->pdata[i]);
    return true;
}

const HmpCommand hmp_info_commands[] = {
    { "version", NULL, "", "version of this program", info_version },
    { "status", NULL, "", "running or paused, and why", info_status },
    { "name", NULL, "", "name of the machine", info_name },
    { "kvm", NULL, "", "whether KVM runs it", info_kvm },
    { "cpus", NULL, "", "processors and what they do", info_cpus },
    { "registers", NULL, "[-a]", "registers of this CPU, or of all", info_registers },
    { "jit", NULL, "", "figures of the translator", info_jit },
    { "mtree", NULL, "", "what lies where in memory and I/O ports", info_mtree },
    { "qtree", NULL, "", "devices", info_qtree },
    { "pic", NULL, "", "interrupt controllers", info_pic },
    { "block", NULL, "", "drives", info_block },
    { "iothreads", NULL, "", "threads that disks are given to", info_iothreads },
    { "chardev", NULL, "", "host ends of serial ports and monitors", info_chardev },
    { "network", NULL, "", "network backends", info_network },
    { 0 }
};
