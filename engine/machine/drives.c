/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/drives.c - "-drive", "-cdrom" and "-blockdev": images opened, and their guest
 * devices */
#include "engine/machine/engine-private.h"

#include "block/driver.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

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

/* The root under an id; takes the reference of node. */
static void add_drive(VitEngine *e, const char *id, VitBlockNode *node)
{
    VitBlockNode *root = vit_block_root_new(node, id);

    vit_block_set_full_handler(root, host_full, e);
    g_hash_table_insert(e->drives, g_strdup(id), root);
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

/* snapshot=on: what is written goes to a file that is gone when the machine is.  Takes the node. */
static VitBlockNode *put_overlay(VitEngine *e, VitBlockNode *node, GError **error)
{
    g_autofree char *path = g_build_filename(g_getenv("TMPDIR") ?: "/var/tmp", "vitrine-XXXXXX",
                                             NULL);
    g_autoptr(JsonObject) extra = json_object_new();
    int fd = g_mkstemp(path);
    VitBlockNode *overlay = NULL;

    json_object_set_null_member(extra, "backing");
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    _("Could not create the temporary file “%s” of snapshot=on: %s"), path,
                    g_strerror(errno));
    else if (vit_block_graph_create(e->block->graph, path, "qcow2", vit_block_info(node).size,
                                    NULL, NULL, NULL, error))
        overlay = vit_block_graph_open_image(e->block->graph, path, "qcow2", extra,
                                             VIT_OPEN_NO_FLUSH, error);
    if (fd >= 0) {
        g_unlink(path);
        close(fd);
    }
    if (overlay)
        vit_block_add_edge(overlay, node, "backing", VIT_EDGE_BACKING);
    else
        vit_block_node_unref(node);
    return overlay;
}

static bool open_drive(VitEngine *e, const VitDriveConfig *d, GError **error)
{
    g_autofree char *made = NULL;
    const char *id = drive_id(e, d, place(e, d), &made);
    unsigned flags = (d->read_only || d->cdrom || d->snapshot ? VIT_OPEN_READ_ONLY : 0u) |
                     (d->direct ? VIT_OPEN_DIRECT : 0u) | (d->no_flush ? VIT_OPEN_NO_FLUSH : 0u) |
                     (d->discard ? VIT_OPEN_DISCARD : 0u);

    if (g_hash_table_contains(e->drives, id)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, _("-drive: the id “%s” is given twice"),
                    id);
        return false;
    }
    if (!d->file)
        return true;                /* an empty CD drive */
    VitBlockNode *node = vit_block_graph_open_image(e->block->graph, d->file, d->format, NULL,
                                                    flags, error);
    if (!node)
        return false;
    if (d->cdrom && !check_iso(node, error)) {
        vit_block_node_close(node);
        return false;
    }
    if (d->snapshot && !(node = put_overlay(e, node, error)))
        return false;
    add_drive(e, id, node);
    return true;
}

/* -blockdev: any driver, as options or as JSON. */
static bool open_blockdev(VitEngine *e, const char *text, GError **error)
{
    g_autofree char *context = g_strdup_printf("-blockdev %s", text);
    g_autoptr(JsonNode) json = *text == '{' ? json_from_string(text, error) : NULL;
    g_autoptr(VitBlockArgs) args = NULL;

    if (*text == '{' && (!json || !JSON_NODE_HOLDS_OBJECT(json))) {
        g_prefix_error(error, "%s: ", context);
        return false;
    }
    args = json ? vit_block_args_new(context, json_node_get_object(json), error)
                : vit_block_args_parse(context, text, "driver", error);
    if (!args)
        return false;
    const char *name = vit_block_args_str(args, "node-name");
    if (!name) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("%s: 'node-name' must be specified for the root node"), context);
        return false;
    }
    VitBlockNode *node = vit_block_graph_open(e->block->graph, args, error);
    bool good = node && vit_block_graph_add(e->block->graph, node, error);
    vit_block_node_unref(node);
    return good;
}

void engine_use_node(VitEngine *e, const char *name)
{
    VitBlockNode *node = vit_block_graph_find(e->block->graph, name);

    if (node && !g_hash_table_contains(e->drives, name))
        add_drive(e, name, vit_block_node_ref(node));
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
