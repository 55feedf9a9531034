/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/run-options.c - the options of vitrine-run, one row each */
#include "app/cli/run-options.h"

#include "app/cli/run-drive.h"
#include "engine/core/options.h"
#include "engine/core/suggest.h"
#include "engine/guest/x86/cpuid.h"

#include <gio/gio.h>
#include <string.h>

typedef bool (*Handler)(RunOptions *o, const char *name, const char *value, GError **error);

typedef struct {
    const char *name;
    const char *argument;       /* for the help text; NULL = takes none */
    Handler     handler;
    const char *help;
} Row;

bool run_fail(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
    return false;
}

static void set(char **member, const char *value)
{
    g_free(*member);
    *member = g_strdup(value);
}

static void append(char ***list, const char *value)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (*list)
        g_strv_builder_addv(builder, (const char **) *list);
    g_strv_builder_add(builder, value);
    g_strfreev(*list);
    *list = g_strv_builder_end(builder);
}

/* ---- The machine ----------------------------------------------------------------------------- */

static bool on_machine(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-machine", value, "type", error);

    if (!options)
        return false;
    const char *type = vit_options_take(options, "type"),
               *accel = vit_options_take(options, "accel");
    if (type)
        set(&o->config->machine, type);
    if (accel)
        set(&o->config->accel, !strcmp(accel, "tcg") ? "jit" : accel);
    return vit_options_finish(options, error);
}

static bool on_accel(RunOptions *o, const char *name, const char *value, GError **error)
{
    set(&o->config->accel, g_str_has_prefix(value, "tcg") ? "jit" : value);
    return true;
}

static bool on_cpu(RunOptions *o, const char *name, const char *value, GError **error)
{
    set(&o->config->cpu, value);
    return true;
}

static bool on_memory(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-m", value, "size", error);
    uint64_t plain, size = 0;

    if (!options)
        return false;
    const char *text = vit_options_get(options, "size");
    if (text && vit_parse_uint(text, UINT64_MAX >> 20, &plain)) {
        vit_options_take(options, "size");
        size = plain << 20;             /* a plain number counts MiB */
    } else if (!vit_options_take_size(options, "size", &size, error)) {
        return false;
    }
    o->config->ram_size = size;
    return vit_options_finish(options, error);
}

static bool on_smp(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-smp", value, "cpus", error);
    uint64_t cpus = 0, sockets = 1, cores = 1, threads = 1, maxcpus = 0;

    if (!options || !vit_options_take_uint(options, "cpus", 1024, &cpus, error) ||
        !vit_options_take_uint(options, "sockets", 1024, &sockets, error) ||
        !vit_options_take_uint(options, "cores", 1024, &cores, error) ||
        !vit_options_take_uint(options, "threads", 1024, &threads, error) ||
        !vit_options_take_uint(options, "maxcpus", 1024, &maxcpus, error) ||
        !vit_options_finish(options, error))
        return false;
    if (!cpus)
        cpus = sockets * cores * threads;
    if (maxcpus && maxcpus != cpus)
        return run_fail(error, "-smp: CPU hotplug is not supported yet; leave maxcpus out");
    o->config->n_cpus = (unsigned) MIN(cpus, 4096);
    return true;
}

static bool on_text(RunOptions *o, const char *name, const char *value, GError **error)
{
    VitMachineConfig *c = o->config;
    const struct { const char *name; char **member; } members[] = {
        { "kernel", &c->kernel }, { "initrd", &c->initrd }, { "append", &c->cmdline },
        { "bios", &c->bios }, { "debugcon", &c->debugcon }, { "uuid", &c->uuid },
        { "d", &o->log_names }, { "D", &o->log_file }, { "pidfile", &o->pidfile },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!strcmp(members[i].name, name))
            set(members[i].member, value);
    }
    return true;
}

static bool on_name(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-name", value, "guest", error);

    if (!options)
        return false;
    set(&o->config->name, vit_options_take(options, "guest"));
    return vit_options_finish(options, error);
}

static bool on_boot(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-boot", value, "order", error);
    uint64_t ignored = 0;

    if (!options || !vit_options_take_bool(options, "menu", &o->config->boot_menu, error))
        return false;
    const char *order = vit_options_take(options, "order");
    if (order)
        set(&o->config->boot_order, order);
    return vit_options_take_uint(options, "splash-time", 65535, &ignored, error) &&
           vit_options_finish(options, error);
}

static bool on_rtc(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-rtc", value, "base", error);

    if (!options)
        return false;
    const char *base = vit_options_take(options, "base") ?: "utc";
    if (!strcmp(base, "localtime")) {
        o->config->rtc_localtime = true;
    } else if (strcmp(base, "utc")) {
        g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
        g_autoptr(GDateTime) when = g_date_time_new_from_iso8601(base, utc);
        if (!when)
            return run_fail(
                error, "-rtc base=%s: not utc, localtime or a date like 2025-01-31T12:00:00", base);
        o->config->rtc_base = g_date_time_to_unix(when);
    }
    return vit_options_finish(options, error);
}

static bool on_vga(RunOptions *o, const char *name, const char *value, GError **error)
{
    set(&o->config->vga, value);
    o->vga_given = true;
    return true;
}

static bool on_dirs(RunOptions *o, const char *name, const char *value, GError **error)
{
    append(&o->config->firmware_dirs, value);
    return true;
}

static bool on_flag(RunOptions *o, const char *name, const char *value, GError **error)
{
    if (!strcmp(name, "no-reboot"))
        o->config->no_reboot = true;
    else if (!strcmp(name, "no-shutdown"))
        o->no_shutdown = true;
    else if (!strcmp(name, "S"))
        o->config->start_paused = true;
    else
        o->defaults = false;        /* nodefaults */
    return true;
}

static bool on_action(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-action", value, NULL, error);

    if (!options)
        return false;
    const char *reboot = vit_options_take(options, "reboot"),
               *off = vit_options_take(options, "shutdown");
    const char *panic = vit_options_take(options, "panic"),
               *dog = vit_options_take(options, "watchdog");
    if (reboot && strcmp(reboot, "reset") && strcmp(reboot, "shutdown"))
        return run_fail(error, "-action reboot=%s: reset or shutdown", reboot);
    if (off && strcmp(off, "poweroff") && strcmp(off, "pause"))
        return run_fail(error, "-action shutdown=%s: poweroff or pause", off);
    if (panic || dog)
        return run_fail(error, "-action %s=: there is no such device in this machine yet",
                    panic ? "panic" : "watchdog");
    if (reboot)
        o->config->no_reboot = !strcmp(reboot, "shutdown");
    if (off)
        o->no_shutdown = !strcmp(off, "pause");
    return vit_options_finish(options, error);
}

/* ---- Disks ----------------------------------------------------------------------------------- */

static bool on_drive(RunOptions *o, const char *name, const char *value, GError **error)
{
    VitDriveConfig *d = run_drive_parse(value, error);

    if (d)
        g_ptr_array_add(o->config->drives, d);
    return d != NULL;
}

static bool on_disk(RunOptions *o, const char *name, const char *value, GError **error)
{
    VitDriveConfig *d = vit_drive_config_new(value);

    d->cdrom = !strcmp(name, "cdrom");
    d->index = d->cdrom ? 2 : name[2] - 'a';
    g_ptr_array_add(o->config->drives, d);
    return true;
}

/* ---- Devices, host ends ---------------------------------------------------------------------- */

static bool on_list(RunOptions *o, const char *name, const char *value, GError **error)
{
    VitMachineConfig *c = o->config;

    if (!strcmp(name, "blockdev"))
        g_ptr_array_add(c->blockdevs, g_strdup(value));
    else if (!strcmp(name, "object"))
        g_ptr_array_add(c->objects, g_strdup(value));
    else if (!strcmp(name, "device"))
        g_ptr_array_add(c->devices, g_strdup(value));
    else if (!strcmp(name, "chardev"))
        g_ptr_array_add(c->chardevs, g_strdup(value));
    else if (!strcmp(name, "netdev"))
        g_ptr_array_add(c->netdevs, g_strdup(value));
    if (!strcmp(name, "netdev"))
        o->network_given = true;
    return true;
}

/* -nic user,model=NAME,mac=...,hostfwd=...: a netdev and a card in one. */
static bool on_nic(RunOptions *o, const char *name, const char *value, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-nic", value, "type", error);
    g_autoptr(GString) netdev = g_string_new(NULL), device = g_string_new(NULL);
    unsigned n = o->config->netdevs->len;
    const char *type, *model = "virtio-net-pci";

    if (!options)
        return false;
    o->network_given = true;
    type = vit_options_get(options, "type") ?: "user";
    if (!strcmp(type, "none"))
        return true;
    g_string_append_printf(netdev, "%s,id=nic%u", type, n);
    for (unsigned i = 0; i < vit_options_count(options); i++) {
        const char *key = vit_options_key(options, i), *text = vit_options_value(options, i);
        if (!strcmp(key, "model"))
            model = !strcmp(text, "virtio") ? "virtio-net-pci" : text;
        else if (!strcmp(key, "mac"))
            g_string_append_printf(device, ",mac=%s", text);
        else if (strcmp(key, "type"))
            g_string_append_printf(netdev, ",%s=%s", key, text);
    }
    g_string_prepend(device, model);
    g_string_append_printf(device, ",netdev=nic%u", n);
    g_ptr_array_add(o->config->netdevs, g_strdup(netdev->str));
    g_ptr_array_add(o->config->devices, g_strdup(device->str));
    return true;
}

static bool on_serial(RunOptions *o, const char *name, const char *value, GError **error)
{
    o->serial_given = true;
    g_ptr_array_add(o->config->serials, g_strdup(value));
    return true;
}

static bool on_display(RunOptions *o, const char *name, const char *value, GError **error)
{
    static const char *const known[] = { "none", "gtk", NULL };

    if (!g_strv_contains(known, value)) {
        g_autofree char *hint = vit_suggest_phrase(value, known);
        return run_fail(error, "-display %s: not known%s (none, gtk)", value, hint);
    }
    set(&o->display, value);
    return true;
}

static bool on_nographic(RunOptions *o, const char *name, const char *value, GError **error)
{
    set(&o->display, "none");
    if (!o->serial_given)
        on_serial(o, name, "mon:stdio", error);
    return true;
}

static bool on_monitor(RunOptions *o, const char *name, const char *value, GError **error)
{
    if (strcmp(value, "none"))
        append(!strcmp(name, "monitor") ? &o->monitors : &o->qmps, value);
    return true;
}

static const Row rows[] = {
    { "machine", "q35|pc[,accel=...]", on_machine, "the board" },
    { "M", "TYPE", on_machine, "the same" },
    { "accel", "jit|interp|kvm", on_accel, "how guest code runs" },
    { "cpu", "MODEL[,+feature,-feature]", on_cpu, "processor model (-cpu help lists them)" },
    { "m", "SIZE", on_memory, "memory, in MiB or with a suffix" },
    { "smp", "N", on_smp, "processors" },
    { "kernel", "FILE", on_text, "Linux kernel to start directly" },
    { "initrd", "FILE", on_text, "its initial RAM disk" },
    { "append", "TEXT", on_text, "its command line" },
    { "bios", "FILE", on_text, "firmware image" },
    { "L", "DIR", on_dirs, "where to look for firmware first" },
    { "boot", "[order=]cdn[,menu=on]", on_boot, "what the firmware starts from" },
    { "drive", "file=F[,if=ide|virtio|none][,media=cdrom]...", on_drive, "a disk or CD image" },
    { "cdrom", "FILE", on_disk, "a CD image" },
    { "hda", "FILE", on_disk, "disk image 0" },
    { "hdb", "FILE", on_disk, "disk image 1" },
    { "hdc", "FILE", on_disk, "disk image 2" },
    { "hdd", "FILE", on_disk, "disk image 3" },
    { "blockdev", "driver=D,node-name=N,...", on_list, "a block node" },
    { "object", "throttle-group|secret|...,id=ID,...", on_list, "an object that disks use" },
    { "device", "NAME[,option=value]...", on_list, "a device (-device help lists them)" },
    { "netdev", "user,id=ID[,hostfwd=...]", on_list, "host end of a network" },
    { "nic", "user|none[,model=...][,hostfwd=...]", on_nic, "network card and host end in one" },
    { "chardev", "BACKEND,id=ID,...", on_list, "host end of a character device" },
    { "serial", "stdio|file:F|unix:S|none", on_serial, "serial port" },
    { "debugcon", "stdio|file:F", on_text, "firmware's debug port 0x402" },
    { "display", "none|gtk", on_display, "how the picture is shown" },
    { "vga", "std|virtio|none", on_vga, "graphics card" },
    { "nographic", NULL, on_nographic, "no picture; serial port and monitor on the terminal" },
    { "monitor", "stdio|unix:S", on_monitor, "human monitor" },
    { "qmp", "stdio|unix:S,server=on", on_monitor, "machine control protocol" },
    { "name", "TEXT", on_name, "name of the machine" },
    { "uuid", "UUID", on_text, "its UUID" },
    { "rtc", "base=utc|localtime|DATE", on_rtc, "the clock's start" },
    { "action", "reboot=reset|shutdown,shutdown=poweroff|pause", on_action, "on guest events" },
    { "no-reboot", NULL, on_flag, "leave instead of restarting" },
    { "no-shutdown", NULL, on_flag, "pause instead of leaving" },
    { "S", NULL, on_flag, "do not start the processors" },
    { "nodefaults", NULL, on_flag, "no default devices" },
    { "d", "guest_errors,int,in_asm,...", on_text, "log these" },
    { "D", "FILE", on_text, "log there" },
    { "pidfile", "FILE", on_text, "write the process's number" },
};

/* ---- Parsing --------------------------------------------------------------------------------- */

static char *help(void)
{
    GString *s = g_string_new("Usage: vitrine-run [OPTION]... [DISK-IMAGE]\n"
                              "Runs a machine without a window. Options are QEMU's.\n\n");

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *left = g_strdup_printf("-%s %s", rows[i].name, rows[i].argument ?: "");
        g_string_append_printf(s, "  %-44s %s\n", left, rows[i].help);
    }
    g_string_append(s, "  -help, -version\n");
    return g_string_free(s, FALSE);
}

static const Row *find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    }
    return NULL;
}

static bool unknown(const char *given, const char *name, GError **error)
{
    const char *known[G_N_ELEMENTS(rows) + 1] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        known[i] = rows[i].name;
    const char *near = vit_suggest(name, known);
    if (near)
        return run_fail(error, "%s: unknown option; did you mean -%s?", given, near);
    return run_fail(error, "%s: unknown option; vitrine-run -help lists them", given);
}

static void apply_defaults(RunOptions *o)
{
    VitMachineConfig *c = o->config;

    if (!o->defaults) {
        if (!o->vga_given)
            set(&c->vga, "none");
        return;
    }
    if (!o->network_given)
        on_nic(o, "nic", "user", NULL);
}

RunOptions *run_options_parse(int argc, char **argv, char **text, GError **error)
{
    RunOptions *o = g_new0(RunOptions, 1);

    o->config = vit_machine_config_new();
    o->display = g_strdup("none");
    o->defaults = true;
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        if (given[0] != '-' || !given[1]) {
            on_disk(o, "hda", given, error);
            continue;
        }
        const char *name = given + (given[1] == '-' ? 2 : 1), *value = NULL;
        if (!strcmp(name, "help") || !strcmp(name, "h") || !strcmp(name, "version")) {
            *text = name[0] == 'v' ? g_strdup("vitrine-run " VIT_VERSION "\n") : help();
            run_options_free(o);
            return NULL;
        }
        const Row *row = find(name);
        if (!row) {
            unknown(given, name, error);
            goto bad;
        }
        if (row->argument && i + 1 >= argc) {
            run_fail(error, "%s: needs a value (%s)", given, row->argument);
            goto bad;
        }
        if (row->argument)
            value = argv[++i];
        if (row->handler == on_cpu && (!strcmp(value, "help") || !strcmp(value, "?"))) {
            *text = x86_cpu_help();
            run_options_free(o);
            return NULL;
        }
        if (!row->handler(o, name, value, error))
            goto bad;
    }
    apply_defaults(o);
    return o;
bad:
    run_options_free(o);
    return NULL;
}

void run_options_free(RunOptions *o)
{
    if (!o)
        return;
    vit_machine_config_free(o->config);
    g_free(o->display);
    g_strfreev(o->monitors);
    g_strfreev(o->qmps);
    g_free(o->log_names);
    g_free(o->log_file);
    g_free(o->pidfile);
    g_free(o);
}
