/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/build.c - from a configuration to a machine that can run
 *
 * Order: host ends (characters, disks, network), board, disks' and network's devices, -device,
 * vCPUs.  A failure leaves the rest to vit_engine_free(). */
#include "engine/machine/engine-private.h"
#include "engine/core/options.h"
#include "engine/jit/jit.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- Characters ------------------------------------------------------------------------------ */

static VitChar *open_char(VitEngine *e, const char *id, const char *spec, GError **error)
{
    VitChar *chr = vit_char_open(e->sys, id, spec, error);

    if (chr)
        g_hash_table_insert(e->chardevs, g_strdup(id), chr);
    return chr;
}

static bool open_chardev(VitEngine *e, const char *text, GError **error)
{
    VitChar *chr = vit_char_open_options(e->sys, "-chardev", text, error);

    if (chr)
        g_hash_table_insert(e->chardevs, g_strdup(chr->id), chr);
    return chr != NULL;
}

static bool open_chars(VitEngine *e, VitBoardConfig *board, GError **error)
{
    const VitMachineConfig *c = e->config;

    for (guint i = 0; i < c->chardevs->len; i++) {
        if (!open_chardev(e, c->chardevs->pdata[i], error))
            return false;
    }
    for (guint i = 0; i < c->serials->len; i++) {
        const char *spec = c->serials->pdata[i];
        g_autofree char *id = g_strdup_printf("serial%u", i);

        if (!strcmp(spec, "none"))
            continue;
        if (g_str_has_prefix(spec, "chardev:")) {
            board->serial[i] = g_hash_table_lookup(e->chardevs, spec + 8);
            if (!board->serial[i]) {
                g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                            _("-serial %s: there is no -chardev of that id"), spec);
                return false;
            }
        } else if (!(board->serial[i] = open_char(e, id, spec, error))) {
            return false;
        }
    }
    if (c->debugcon && !(board->debugcon = open_char(e, "debugcon0", c->debugcon, error)))
        return false;
    return true;
}

/* ---- Network --------------------------------------------------------------------------------- */

static bool open_netdevs(VitEngine *e, GError **error)
{
    for (guint i = 0; i < e->config->netdevs->len; i++) {
        VitNetdev *netdev = vit_netdev_open(e->config->netdevs->pdata[i], e->net_thread, error);

        if (!netdev)
            return false;
        if (g_hash_table_contains(e->netdevs, netdev->id)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                        _("-netdev: the id “%s” is given twice"), netdev->id);
            vit_netdev_free(netdev);
            return false;
        }
        g_hash_table_insert(e->netdevs, g_strdup(netdev->id), netdev);
    }
    return true;
}

/* ---- Board and devices ----------------------------------------------------------------------- */

static bool build_board(VitEngine *e, VitBoardConfig *board, GError **error)
{
    const VitMachineConfig *c = e->config;

    board->machine = c->machine;
    board->ram_size = c->ram_size;
    board->n_cpus = c->n_cpus;
    board->bios = c->bios;
    board->kernel = c->kernel;
    board->initrd = c->initrd;
    board->cmdline = c->cmdline;
    board->boot_order = c->boot_order;
    board->boot_menu = c->boot_menu;
    board->no_graphics = g_strcmp0(c->vga, "none") == 0;
    board->firmware_dirs = (const char *const *) c->firmware_dirs;
    board->input = e->input;
    board->rtc_base = c->rtc_base;
    board->rtc_localtime = c->rtc_localtime;
    if (c->uuid) {
        unsigned n = 0;
        for (const char *p = c->uuid; *p && n < 16; p++) {
            if (*p != '-') {
                board->uuid[n++] = (uint8_t) (g_ascii_xdigit_value(p[0]) << 4 |
                                              g_ascii_xdigit_value(p[1]));
                p++;
            }
        }
        board->have_uuid = true;
    }
    e->board = vit_board_new(e->sys, board, error);
    return e->board != NULL;
}

static bool create_devices(VitEngine *e, GError **error)
{
    const VitMachineConfig *c = e->config;
    const char *vga = c->vga ?: "std";

    if (!strcmp(vga, "std") && !engine_create_device(e, "VGA", error))
        return false;
    if (!strcmp(vga, "virtio") && !engine_create_device(e, "virtio-vga", error))
        return false;
    if (c->input_defaults && (!engine_create_device(e, "virtio-keyboard-pci", error) ||
                              !engine_create_device(e, "virtio-tablet-pci", error)))
        return false;
    if (!engine_attach_drives(e, error))
        return false;
    for (guint i = 0; i < c->devices->len; i++) {
        if (!engine_create_device(e, c->devices->pdata[i], error))
            return false;
    }
    return true;
}

/* ---- vCPUs ----------------------------------------------------------------------------------- */

static bool build_cpus(VitEngine *e, GError **error)
{
    g_autofree char *name = g_strdup(e->config->accel);
    char *options = strchr(name, ',');

    if (options)
        *options++ = '\0';
    const VitAccelClass *klass = vit_accel_find(name);
    if (!klass) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    _("-accel %s: this build of Vitrine does not have it; use -accel jit"), name);
        return false;
    }
    e->accel = klass->create(e->sys, error);
    if (!e->accel)
        return false;
    if (options && !klass->set_options) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, _("-accel %s takes no options"),
                    name);
        return false;
    }
    if (options && !klass->set_options(e->accel, options, error))
        return false;
    for (unsigned n = 0; n < e->config->n_cpus; n++) {
        VitCpu *cpu = engine_new_cpu(e, n, error);

        if (!cpu)
            return false;
        g_ptr_array_add(e->cpus, cpu);
        engine_connect_cpu(e, n);
    }
    for (unsigned n = 0; n < e->cpus->len; n++) {
        if (!vit_cpu_start(e->accel, e->cpus->pdata[n], error))
            return false;
    }
    return true;
}

static bool make_objects(VitEngine *e, GError **error)
{
    VitBlockObjects *objects = vit_block_graph_objects(e->block->graph);

    for (guint i = 0; i < e->config->objects->len; i++) {
        const char *text = e->config->objects->pdata[i];
        if (!vit_block_objects_add_text(objects, text, error)) {
            g_prefix_error(error, "-object %s: ", text);
            return false;
        }
    }
    return true;
}

bool engine_build(VitEngine *e, GError **error)
{
    VitBoardConfig board = { 0 };

    e->block_thread = vit_io_thread_new("block");
    e->net_thread = vit_io_thread_new("net");
    e->boot = engine_boot_new();
    e->chardevs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    e->block = vit_block_service_new(e->block_thread);
    e->drives = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                      (GDestroyNotify) vit_block_node_close);
    e->netdevs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                       (GDestroyNotify) vit_netdev_free);
    if (!make_objects(e, error) || !open_chars(e, &board, error) ||
        !engine_open_drives(e, error) || !open_netdevs(e, error) || !build_board(e, &board, error))
        return false;
    e->context = (VitDeviceContext) {
        .sys = e->sys, .pci = e->board->pci, .input = e->input, .drives = e->drives,
        .objects = vit_block_graph_objects(e->block->graph), .n_cpus = e->config->n_cpus,
        .netdevs = e->netdevs, .chardevs = e->chardevs, .scanouts = e->scanouts,
        .iothread = e->block_thread, .isa_irq = vit_board_isa_irq, .isa_irq_opaque = e->board,
        .buses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    if (!create_devices(e, error))
        return false;
    engine_set_boot_order(e);
    return build_cpus(e, error);
}
