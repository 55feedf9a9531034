/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/drives.c - "-drive", "-cdrom" and "-blockdev": images opened, and their guest
 * devices */
#include "engine/core/options.h"
#include "engine/machine/engine-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

static const char *drive_id(VitEngine *e, const VitDriveConfig *d, unsigned index, char **made)
{
    static const char *const kinds[] = { "ide", "virtio", "none" };

    if (d->id)
        return d->id;
    return *made = g_strdup_printf("%s%u-%s", kinds[d->interface], index, d->cdrom ? "cd" : "hd");
}

/* The host is full: the machine stops until there is room, and its writes are tried again. */
static void host_full(void *opaque, VitBlockNode *node, int error)
{
    VitEngine *e = opaque;
    g_autofree char *reason = g_strdup_printf(
        _("“%s” cannot be written: %s. Make room on the host's disk, then let the machine run on"),
        vit_block_node_filename(node), g_strerror(-error));

    vit_system_request(e->sys, VIT_REQUEST_PAUSE, 0, reason);
}

static void add_drive(VitEngine *e, const char *id, VitBlockNode *node)
{
    vit_block_set_full_handler(node, host_full, e);
    g_hash_table_insert(e->drives, g_strdup(id), node);
}

void engine_retry_drives(VitEngine *e, bool retry)
{
    GHashTableIter iter;
    gpointer node;

    if (!e->drives)
        return;
    g_hash_table_iter_init(&iter, e->drives);
    while (g_hash_table_iter_next(&iter, NULL, &node)) {
        if (retry)
            vit_block_retry(node);
        else
            vit_block_give_up(node);
    }
}

static unsigned place(VitEngine *e, const VitDriveConfig *d)
{
    unsigned *next = &e->next_drive[d->interface];
    unsigned index = d->index >= 0 ? (unsigned) d->index : *next;

    *next = MAX(*next, index + 1);
    return index;
}

/* A CD image says in its primary volume descriptor (ECMA-119, 8.4) how large it is: a download that
 * broke off is refused here, not by an installer half-way. */
static bool check_iso(VitBlockNode *node, GError **error)
{
    enum { SECTOR = 2048, DESCRIPTOR = 16 * SECTOR };
    uint64_t size = vit_block_info(node).size;
    uint8_t d[SECTOR];

    if (size < DESCRIPTOR + SECTOR || vit_block_read_sync(node, DESCRIPTOR, d, SECTOR) ||
        memcmp(d + 1, "CD001", 5) || d[0] != 1)
        return true;                /* no ISO 9660: nothing to compare with */
    uint64_t blocks = (uint64_t) d[80] | d[81] << 8 | d[82] << 16 | (uint64_t) d[83] << 24;
    uint64_t whole = blocks * (d[128] | (unsigned) d[129] << 8);
    if (whole <= size)
        return true;
    g_autofree char *wanted = g_format_size_full(whole, G_FORMAT_SIZE_LONG_FORMAT);
    g_autofree char *there = g_format_size_full(size, G_FORMAT_SIZE_LONG_FORMAT);
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        _("%s: the CD image is cut off: it should have %s but has %s; download or copy it again"),
        vit_block_node_filename(node), wanted, there);
    return false;
}

static bool open_drive(VitEngine *e, const VitDriveConfig *d, GError **error)
{
    g_autofree char *made = NULL;
    const char *id = drive_id(e, d, place(e, d), &made);
    VitBlockOptions options = {
        .read_only = d->read_only || d->cdrom, .direct = d->direct, .no_flush = d->no_flush,
        .discard = d->discard, .lock = true,
    };

    if (g_hash_table_contains(e->drives, id)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, _("-drive: the id “%s” is given twice"),
                    id);
        return false;
    }
    if (d->snapshot) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    _("-drive file=%s: snapshot=on is not supported yet; copy the image first"),
                    d->file);
        return false;
    }
    if (!d->file)
        return true;                /* an empty CD drive */
    VitBlockNode *node = vit_block_open(d->format, d->file, &options, e->block_thread, error);
    if (!node)
        return false;
    if (d->cdrom && !check_iso(node, error)) {
        vit_block_node_close(node);
        return false;
    }
    add_drive(e, id, node);
    return true;
}

/* -blockdev driver=file,node-name=f,filename=PATH, or driver=raw,node-name=d,file=f (takes over f),
 * or driver=raw,node-name=d,file.driver=file,file.filename=PATH. */
static bool open_blockdev(VitEngine *e, const char *text, GError **error)
{
    g_autoptr(VitOptions) options = vit_options_parse("-blockdev", text, "driver", error);
    VitBlockOptions how = { .lock = true };

    if (!options)
        return false;
    const char *driver = vit_options_take(options, "driver"),
               *name = vit_options_take(options, "node-name");
    const char *file = vit_options_take(options, "filename"),
               *child = vit_options_take(options, "file");
    const char *child_driver = vit_options_take(options, "file.driver");
    const char *discard = vit_options_take(options, "discard");

    file = file ?: vit_options_take(options, "file.filename");
    how.discard = !g_strcmp0(discard, "unmap") || !g_strcmp0(discard, "on");
    if (!vit_options_take_bool(options, "read-only", &how.read_only, error) ||
        !vit_options_take_bool(options, "auto-read-only", &how.auto_read_only, error) ||
        !vit_options_take_bool(options, "cache.direct", &how.direct, error) ||
        !vit_options_take_bool(options, "cache.no-flush", &how.no_flush, error) ||
        !vit_options_finish(options, error))
        return false;
    if (!driver || !name || (!file && !child)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("-blockdev %s: needs driver=, node-name= and filename= (or file=NODE)"),
                    text);
        return false;
    }
    bool known = !strcmp(driver, "raw") || !strcmp(driver, "file") ||
                 !strcmp(driver, "host_device");
    if (!known ||
        (child_driver && strcmp(child_driver, "file") && strcmp(child_driver, "host_device"))) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            _("-blockdev: driver “%s” is not supported yet (file, host_device and raw are)"),
            known ? child_driver : driver);
        return false;
    }
    if (g_hash_table_contains(e->drives, name)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    _("-blockdev: node-name “%s” is given twice"), name);
        return false;
    }
    if (child) {        /* raw over a node that exists: the same bytes under another name */
        char *old = NULL;
        VitBlockNode *node = NULL;
        if (!g_hash_table_steal_extended(e->drives, child, (void **) &old, (void **) &node)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        _("-blockdev: there is no node “%s” for file="), child);
            return false;
        }
        g_free(old);
        g_hash_table_insert(e->drives, g_strdup(name), node);
        return true;
    }
    VitBlockNode *node = vit_block_open("raw", file, &how, e->block_thread, error);
    if (!node)
        return false;
    add_drive(e, name, node);
    return true;
}

bool engine_open_drives(VitEngine *e, GError **error)
{
    for (guint i = 0; i < e->config->blockdevs->len; i++) {
        if (!open_blockdev(e, e->config->blockdevs->pdata[i], error))
            return false;
    }
    for (guint i = 0; i < e->config->drives->len; i++) {
        if (!open_drive(e, e->config->drives->pdata[i], error))
            return false;
    }
    return true;
}

bool engine_attach_drives(VitEngine *e, GError **error)
{
    memset(e->next_drive, 0, sizeof e->next_drive);
    for (guint i = 0; i < e->config->drives->len; i++) {
        const VitDriveConfig *d = e->config->drives->pdata[i];
        unsigned index = place(e, d);
        g_autofree char *made = NULL, *spec = NULL;
        const char *id = drive_id(e, d, index, &made);
        const char *drive = d->file ? id : NULL;
        g_autofree char *value = drive ? g_strdup_printf(",drive=%s", drive) : g_strdup("");

        if (d->interface == VIT_DRIVE_VIRTIO)
            spec = g_strdup_printf("virtio-blk-pci%s,id=%s-device", value, id);
        else if (d->interface == VIT_DRIVE_IDE && !strcmp(e->config->machine, "q35"))
            spec = g_strdup_printf("%s,bus=ide.%u%s", d->cdrom ? "ide-cd" : "ide-hd", index, value);
        else if (d->interface == VIT_DRIVE_IDE)
            spec = g_strdup_printf("%s,bus=ide.%u,unit=%u%s", d->cdrom ? "ide-cd" : "ide-hd",
                                   index / 2, index % 2, value);
        if (spec && !engine_create_device(e, spec, error))
            return false;
    }
    return true;
}
