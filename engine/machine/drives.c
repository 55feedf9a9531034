/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/drives.c - "-drive", "-cdrom" and "-blockdev": images opened, and their guest
 * devices */
#include "engine/machine/engine-private.h"

#include "block/driver.h"
#include "block/objects/throttle-group.h"

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

/* ---- failures -------------------------------------------------------------------------------- */

void engine_failure_free(VitDiskFailure *f)
{
    g_free((char *) f->drive);
    g_free((char *) f->node);
    g_free((char *) f->user);
    g_free(f);
}

/* What a person reads while the machine is paused; a held request is tried again when it runs. */
static char *pause_reason(const VitBlockNode *node, bool read, int error)
{
    g_autofree char *name = g_path_get_basename(vit_block_node_filename(node));
    bool full = error == ENOSPC || error == EDQUOT;

    if (full && !read)
        return g_strdup_printf(
            _("The disk “%s” could not be written: %s. Free space on the host, then resume the "
              "machine; nothing is lost meanwhile"),
            name, g_strerror(error));
    return g_strdup_printf(
        read ? _("The disk “%s” could not be read: %s. See to it that the host can, then resume "
                 "the machine, which tries again")
             : _("The disk “%s” could not be written: %s. See to it that the host can, then resume "
                 "the machine, which tries again"),
        name, g_strerror(error));
}

static void failed(void *opaque, VitBlockNode *root, const VitBlockRequest *req,
                   VitBlockOnError action)
{
    VitEngine *e = opaque;
    VitBlockNode *node = vit_block_root_node(root);
    VitDiskFailure *f = g_new0(VitDiskFailure, 1);

    f->drive = g_strdup(vit_block_root_device(root));
    f->node = g_strdup(vit_block_node_name(node));
    f->user = g_strdup(vit_block_root_user(root));
    f->read = req->op == VIT_BLOCK_READ;
    f->action = action;
    f->error = -req->result;
    g_autofree char *reason = action == VIT_ON_ERROR_STOP ? pause_reason(node, f->read, f->error)
                                                          : NULL;
    engine_disk_failed(e, f, reason);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The root under an id; takes the reference of node. */
static VitBlockNode *add_drive(VitEngine *e, const char *id, VitBlockNode *node)
{
    VitBlockNode *root = vit_block_root_new(node, id);

    vit_block_set_on_error(root, VIT_ON_ERROR_AUTO, VIT_ON_ERROR_AUTO);
    vit_block_set_failed_handler(root, failed, e);
    g_hash_table_insert(e->drives, g_strdup(id), root);
    return root;
}

void engine_leave_drives(VitEngine *e)
{
    GHashTableIter iter;
    gpointer root;

    if (!e->drives)
        return;
    g_hash_table_iter_init(&iter, e->drives);
    while (g_hash_table_iter_next(&iter, NULL, &root))
        vit_block_set_failed_handler(root, NULL, NULL);
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

/* Disks of one bus of the interface. */
static unsigned units(const VitEngine *e, const VitDriveConfig *d)
{
    return d->interface != VIT_DRIVE_IDE ? 32 : strcmp(e->config->machine, "q35") ? 2 : 1;
}

static unsigned place(VitEngine *e, const VitDriveConfig *d)
{
    unsigned *next = &e->next_drive[d->interface];
    bool given = d->bus >= 0 || d->unit >= 0;
    unsigned index = d->index >= 0 ? (unsigned) d->index
                     : given ? (unsigned) MAX(d->bus, 0) * units(e, d) + (unsigned) MAX(d->unit, 0)
                             : *next;

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

/* Space is given back with discard=unmap alone. */
static const char *detect_zeroes(const VitDriveConfig *d)
{
    return d->discard || strcmp(d->detect_zeroes, "unmap") ? d->detect_zeroes : "on";
}

/* snapshot=on: what is written goes to a file that is gone when the machine is.  Takes the node. */
static VitBlockNode *put_overlay(VitEngine *e, const VitDriveConfig *d, VitBlockNode *node,
                                 GError **error)
{
    g_autofree char *path = g_build_filename(g_getenv("TMPDIR") ?: "/var/tmp", "vitrine-XXXXXX",
                                             NULL);
    g_autoptr(JsonObject) extra = json_object_new();
    int fd = g_mkstemp(path);
    VitBlockNode *overlay = NULL;

    json_object_set_null_member(extra, "backing");
    if (d->detect_zeroes)
        json_object_set_string_member(extra, "detect-zeroes", detect_zeroes(d));
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    _("Could not create the temporary file “%s” of snapshot=on: %s"), path,
                    g_strerror(errno));
    else if (vit_block_graph_create(e->block->graph, path, "qcow2", vit_block_info(node).size,
                                    NULL, NULL, NULL, error))
        overlay = vit_block_graph_open_image(e->block->graph, path, "qcow2", extra,
                                             VIT_OPEN_NO_FLUSH |
                                                 (d->discard ? VIT_OPEN_DISCARD : 0u),
                                             error);
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

/* copy-on-read=on: a filter between the image and the root.  Takes the node. */
static VitBlockNode *put_copy_on_read(VitEngine *e, VitBlockNode *node, GError **error)
{
    g_autofree char *text = g_strdup_printf("driver=copy-on-read,file=%s",
                                            vit_block_node_name(node));
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-drive", text, NULL, error);
    VitBlockNode *filter = args ? vit_block_graph_open(e->block->graph, args, error) : NULL;

    if (filter)
        filter->implicit = true;
    vit_block_node_unref(node);
    return filter;
}

/* What the block layer calls the drive's options. */
static JsonObject *image_options(const VitDriveConfig *d, GError **error)
{
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-drive", d->options ?: "", NULL, error);

    if (!args)
        return NULL;
    if (d->aio)
        vit_block_args_set(args, "file.aio", d->aio);
    if (d->detect_zeroes && !d->snapshot)
        vit_block_args_set(args, "detect-zeroes", detect_zeroes(d));
    return json_object_ref(vit_block_args_object(args));
}

static bool set_on_error(VitBlockNode *root, const VitDriveConfig *d, GError **error)
{
    VitBlockOnError read = VIT_ON_ERROR_AUTO, write = VIT_ON_ERROR_AUTO;
    bool bad_read = d->rerror && !vit_block_on_error_parse(d->rerror, false, &read);

    if (bad_read || (d->werror && !vit_block_on_error_parse(d->werror, true, &write))) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    bad_read ? _("-drive: '%s' invalid read error action; report, ignore, stop "
                                 "and auto are possible")
                             : _("-drive: '%s' invalid write error action; report, ignore, enospc, "
                                 "stop and auto are possible"),
                    bad_read ? d->rerror : d->werror);
        return false;
    }
    vit_block_set_on_error(root, read, write);
    return true;
}

static bool set_limits(VitEngine *e, VitBlockNode *root, const VitDriveConfig *d, GError **error)
{
    VitThrottleLimits limits = vit_throttle_no_limits;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("-drive: throttling", d->throttle, NULL,
                                                        error);

    if (!args || !vit_throttle_limits_take(&limits, args, "", error) ||
        !vit_block_args_finish(args, error))
        return false;
    if (!vit_throttle_limits_any(&limits))
        return true;
    VitBlockObject *group = vit_block_objects_use_group(
        vit_block_graph_objects(e->block->graph), d->throttle_group ?: vit_block_node_name(root),
        error);
    if (!group)
        return false;
    vit_throttle_group_set_limits(group, &limits);
    vit_block_root_throttle(root, group);
    return true;
}

static bool has_image(const VitDriveConfig *d)
{
    return d->file || d->options;
}

/* By name, or by options alone ("file.driver=nbd,..."). */
static VitBlockNode *open_image(VitEngine *e, const VitDriveConfig *d, unsigned flags,
                                GError **error)
{
    VitBlockGraph *graph = e->block->graph;
    g_autoptr(JsonObject) options = image_options(d, error);

    if (!options)
        return NULL;
    if (d->file)
        return vit_block_graph_open_image(graph, d->file, d->format, options, flags, error);
    g_autoptr(VitBlockArgs) args = vit_block_args_new("-drive", options, error);
    if (args && d->format)
        vit_block_args_set(args, "driver", d->format);
    return args ? vit_block_graph_open_with(graph, args, flags, error) : NULL;
}

static VitBlockNode *open_node(VitEngine *e, const VitDriveConfig *d, GError **error)
{
    bool read_only = d->read_only || d->cdrom;
    unsigned flags = (read_only || d->snapshot ? VIT_OPEN_READ_ONLY : 0u) |
                     (d->auto_read_only ? VIT_OPEN_AUTO_READ_ONLY : 0u) |
                     (d->direct ? VIT_OPEN_DIRECT : 0u) | (d->no_flush ? VIT_OPEN_NO_FLUSH : 0u) |
                     (d->discard ? VIT_OPEN_DISCARD : 0u);
    VitBlockNode *node = open_image(e, d, flags, error);

    if (node && d->cdrom && !check_iso(node, error)) {
        vit_block_node_close(node);
        return NULL;
    }
    if (node && d->snapshot)
        node = put_overlay(e, d, node, error);
    if (node && d->copy_on_read && !read_only)
        node = put_copy_on_read(e, node, error);
    return node;
}

static bool open_drive(VitEngine *e, const VitDriveConfig *d, GError **error)
{
    g_autofree char *made = NULL;
    const char *id = drive_id(e, d, place(e, d), &made);

    if (g_hash_table_contains(e->drives, id)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, _("-drive: the id “%s” is given twice"),
                    id);
        return false;
    }
    if (d->unit >= 0 && (unsigned) d->unit >= units(e, d)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    _("-drive: unit %d too big (max is %u)"), d->unit, units(e, d) - 1);
        return false;
    }
    if (!has_image(d))
        return true;                /* an empty CD drive */
    VitBlockNode *node = open_node(e, d, error);
    if (!node)
        return false;
    VitBlockNode *root = add_drive(e, id, node);
    vit_block_root_set_write_through(root, d->write_through);
    return set_on_error(root, d, error) && (!d->throttle || set_limits(e, root, d, error));
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
        vit_block_root_set_anonymous(add_drive(e, name, vit_block_node_ref(node)));
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

/* A value of an option string. */
static void append(GString *spec, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);

    g_string_append_printf(spec, ",%s=%s", key, doubled);
}

bool engine_attach_drives(VitEngine *e, GError **error)
{
    memset(e->next_drive, 0, sizeof e->next_drive);
    for (guint i = 0; i < e->config->drives->len; i++) {
        const VitDriveConfig *d = e->config->drives->pdata[i];
        unsigned index = place(e, d);
        g_autofree char *made = NULL;
        g_autoptr(GString) spec = g_string_new(NULL);
        const char *id = drive_id(e, d, index, &made);

        if (d->interface == VIT_DRIVE_NONE)
            continue;
        if (d->interface == VIT_DRIVE_VIRTIO)
            g_string_append_printf(spec, "virtio-blk-pci,id=%s-device", id);
        else if (!strcmp(e->config->machine, "q35"))
            g_string_append_printf(spec, "%s,bus=ide.%u", d->cdrom ? "ide-cd" : "ide-hd", index);
        else
            g_string_append_printf(spec, "%s,bus=ide.%u,unit=%u", d->cdrom ? "ide-cd" : "ide-hd",
                                   index / 2, index % 2);
        if (has_image(d))
            append(spec, "drive", id);
        if (d->serial)
            append(spec, "serial", d->serial);
        if (!engine_create_device(e, spec->str, error))
            return false;
    }
    return true;
}
