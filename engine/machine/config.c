/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/config.c - defaults, copies and checks of a machine's configuration */
#include "engine/machine/config-private.h"
#include "engine/core/suggest.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* The members of both structs; the JSON reader and writer, copy and free all go by these rows. */
#define STR(f) { #f, CONFIG_STRING, offsetof(VitMachineConfig, f) }
#define STRS(f) { #f, CONFIG_STRINGS, offsetof(VitMachineConfig, f) }
#define BOOL(f) { #f, CONFIG_BOOL, offsetof(VitMachineConfig, f) }
const ConfigRow config_rows[] = {
    STR(name), STR(machine), STR(accel), STR(cpu),
    { "ram_size", CONFIG_UINT64, offsetof(VitMachineConfig, ram_size) },
    { "n_cpus", CONFIG_UINT, offsetof(VitMachineConfig, n_cpus) },
    STR(kernel), STR(initrd), STR(cmdline), STR(bios), STR(boot_order), BOOL(boot_menu),
    STRS(objects), { "drives", CONFIG_DRIVES, offsetof(VitMachineConfig, drives) },
    STRS(blockdevs), STRS(netdevs), STRS(devices), STRS(chardevs), STRS(serials),
    STR(debugcon), STR(vga), BOOL(input_defaults), BOOL(rtc_localtime),
    { "rtc_base", CONFIG_INT64, offsetof(VitMachineConfig, rtc_base) },
    STR(uuid), BOOL(no_reboot), BOOL(start_paused),
    { "firmware_dirs", CONFIG_STRV, offsetof(VitMachineConfig, firmware_dirs) },
    { NULL },
};
#undef STR
#undef BOOL
#define STR(f) { #f, CONFIG_STRING, offsetof(VitDriveConfig, f) }
#define BOOL(f) { #f, CONFIG_BOOL, offsetof(VitDriveConfig, f) }
const ConfigRow config_drive_rows[] = {
    STR(id), STR(file), STR(format),
    { "interface", CONFIG_INTERFACE, offsetof(VitDriveConfig, interface) },
    BOOL(cdrom), BOOL(read_only), BOOL(snapshot), BOOL(auto_read_only), BOOL(direct),
    BOOL(no_flush), BOOL(discard), BOOL(write_through), BOOL(copy_on_read), STR(serial), STR(aio),
    STR(detect_zeroes), STR(werror), STR(rerror), STR(throttle), STR(throttle_group), STR(options),
    { "index", CONFIG_INT, offsetof(VitDriveConfig, index) },
    { "bus", CONFIG_INT, offsetof(VitDriveConfig, bus) },
    { "unit", CONFIG_INT, offsetof(VitDriveConfig, unit) },
    { NULL },
};
const char *const config_interface_names[] = { "ide", "virtio", "none", NULL };

VitMachineConfig *vit_machine_config_new(void)
{
    VitMachineConfig *c = g_new0(VitMachineConfig, 1);

    c->machine = g_strdup("q35");
    c->accel = g_strdup("jit");
    c->ram_size = 512ULL << 20;
    c->n_cpus = 1;
    c->rtc_base = INT64_MIN;
    c->objects = g_ptr_array_new_with_free_func(g_free);
    c->drives = g_ptr_array_new_with_free_func((GDestroyNotify) vit_drive_config_free);
    c->blockdevs = g_ptr_array_new_with_free_func(g_free);
    c->netdevs = g_ptr_array_new_with_free_func(g_free);
    c->devices = g_ptr_array_new_with_free_func(g_free);
    c->chardevs = g_ptr_array_new_with_free_func(g_free);
    c->serials = g_ptr_array_new_with_free_func(g_free);
    return c;
}

VitDriveConfig *vit_drive_config_new(const char *file)
{
    VitDriveConfig *d = g_new0(VitDriveConfig, 1);

    d->file = g_strdup(file);
    d->index = d->bus = d->unit = -1;
    return d;
}

static void free_rows(void *object, const ConfigRow *rows)
{
    for (const ConfigRow *row = rows; row->name; row++) {
        void *member = (char *) object + row->offset;

        if (row->kind == CONFIG_STRING)
            g_free(*(char **) member);
        else if (row->kind == CONFIG_STRINGS || row->kind == CONFIG_DRIVES)
            g_ptr_array_unref(*(GPtrArray **) member);
        else if (row->kind == CONFIG_STRV)
            g_strfreev(*(char ***) member);
    }
    g_free(object);
}

void vit_machine_config_free(VitMachineConfig *config)
{
    if (config)
        free_rows(config, config_rows);
}

void vit_drive_config_free(VitDriveConfig *drive)
{
    if (drive)
        free_rows(drive, config_drive_rows);
}

static void *copy_drive(const void *from, void *unused);

static void *copy_string(const void *from, void *unused)
{
    return g_strdup(from);
}

static void copy_rows(void *to, const void *from, const ConfigRow *rows)
{
    for (const ConfigRow *row = rows; row->name; row++) {
        void *d = (char *) to + row->offset;
        const void *s = (const char *) from + row->offset;

        switch (row->kind) {
        case CONFIG_STRING:
            g_free(*(char **) d);
            *(char **) d = g_strdup(*(char *const *) s);
            break;
        case CONFIG_STRV:
            g_strfreev(*(char ***) d);
            *(char ***) d = g_strdupv(*(char **const *) s);
            break;
        case CONFIG_STRINGS: case CONFIG_DRIVES:
            g_clear_pointer((GPtrArray **) d, g_ptr_array_unref);
            *(GPtrArray **) d = g_ptr_array_copy(*(GPtrArray *const *) s,
                                                 row->kind == CONFIG_DRIVES ? copy_drive
                                                                            : copy_string,
                                                 NULL);
            g_ptr_array_set_free_func(*(GPtrArray **) d,
                                      row->kind == CONFIG_DRIVES
                                          ? (GDestroyNotify) vit_drive_config_free : g_free);
            break;
        case CONFIG_BOOL: memcpy(d, s, sizeof(bool)); break;
        case CONFIG_UINT: case CONFIG_INT: case CONFIG_INTERFACE: memcpy(d, s, sizeof(int)); break;
        case CONFIG_UINT64: case CONFIG_INT64: memcpy(d, s, sizeof(int64_t)); break;
        }
    }
}

static void *copy_drive(const void *from, void *unused)
{
    VitDriveConfig *d = vit_drive_config_new(NULL);

    copy_rows(d, from, config_drive_rows);
    return d;
}

VitMachineConfig *vit_machine_config_copy(const VitMachineConfig *config)
{
    VitMachineConfig *c = vit_machine_config_new();

    copy_rows(c, config, config_rows);
    return c;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static bool check_word(const char *option, const char *value, const char *const *known,
                       GError **error)
{
    if (!value || g_strv_contains(known, value))
        return true;
    g_autofree char *all = g_strjoinv(", ", (char **) known);
    g_autofree char *hint = vit_suggest_phrase(value, known);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                _("%s: “%s” is not known%s (one of: %s)"), option, value, hint, all);
    return false;
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool refuse(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

bool vit_machine_config_validate(const VitMachineConfig *c, GError **error)
{
    static const char *const machines[] = { "q35", "pc", NULL };
    static const char *const accels[] = { "jit", "interp", "kvm", NULL };
    static const char *const vgas[] = { "std", "virtio", "none", NULL };
    g_autofree char *accel = g_strdup(c->accel);
    char *comma = accel ? strchr(accel, ',') : NULL;

    if (comma)
        *comma = '\0';
    if (!check_word("-machine", c->machine, machines, error) ||
        !check_word("-accel", accel, accels, error) || !check_word("-vga", c->vga, vgas, error))
        return false;
    if (c->ram_size < 1 << 20 || c->ram_size % (1 << 20))
        return refuse(error, _("-m: memory must be a whole number of MiB, at least 1M"));
    if (c->ram_size > 1ULL << 40)
        return refuse(error, _("-m: at most 1T of memory is supported"));
    if (c->n_cpus < 1 || c->n_cpus > CONFIG_MAX_CPUS)
        return refuse(error, _("-smp: %u CPUs asked for; 1 to %d are possible"), c->n_cpus,
                      CONFIG_MAX_CPUS);
    if (c->serials->len > 4)
        return refuse(error, _("-serial: at most 4 serial ports are possible"));
    if (!c->kernel && c->initrd)
        return refuse(error, _("-initrd needs -kernel"));
    if (!c->kernel && c->cmdline)
        return refuse(error, _("-append needs -kernel"));
    for (const char *p = c->boot_order ?: ""; *p; p++) {
        if (!strchr("abcdnp", *p))
            return refuse(error,
                          _("-boot: “%c” is no boot device (a, b floppy; c disk; d CD; "
                            "n network)"),
                          *p);
    }
    if (c->uuid && !g_uuid_string_is_valid(c->uuid))
        return refuse(error, _("-uuid: “%s” is no UUID (8-4-4-4-12 hexadecimal digits)"), c->uuid);
    return true;
}
