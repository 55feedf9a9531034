/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/vmdk/vmdk.c - VMware disks: opening, what they say of themselves, and the driver
 *
 * VMware, "Virtual Disk Format 1.1".  Not done: SESPARSE and device-backed extents, resizing. */
#include "block/vmdk/vmdk.h"

#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* ---- extents --------------------------------------------------------------------------------- */

static bool add_line(Vmdk *v, VitBlockArgs *args, const VmdkLine *line, GError **error)
{
    VitBlockNode *node = &v->parent;
    VmdkExtent *e = &v->extents[v->n_extents];
    g_autofree char *edge = g_strdup_printf("extents.%u", v->n_extents);
    bool flat = strcmp(line->type, "FLAT") == 0 || strcmp(line->type, "VMFS") == 0;
    bool sparse = strcmp(line->type, "SPARSE") == 0 || strcmp(line->type, "VMFSSPARSE") == 0;
    bool zero = strcmp(line->type, "ZERO") == 0;

    if (!flat && !sparse && !zero)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: Unsupported extent type '%s'"), node->filename, line->type);
    if (strcmp(line->access, "NOACCESS") == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: extent %u must not be accessed (NOACCESS)"), node->filename,
                              v->n_extents);
    *e = (VmdkExtent){ .kind = flat   ? VMDK_FLAT
                               : zero ? VMDK_ZERO_EXTENT
                                      : VMDK_SPARSE,
                       .read_only = strcmp(line->access, "RW") != 0,
                       .start = node->size,
                       .bytes = line->sectors * VMDK_SECTOR,
                       .flat_offset = line->offset * VMDK_SECTOR,
                       .type = g_strdup(line->type),
                       .filename = g_strdup(line->filename ?: "") };
    v->n_extents++;
    if (e->bytes == 0 || e->bytes > INT64_MAX - node->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: extent %s of %" PRIu64 " sectors"), node->filename, edge,
                              line->sectors);
    node->size += e->bytes;
    if (zero) return true;
    if (vit_block_args_has(args, edge))
        e->edge = vit_co_open_child(node, args, edge, VIT_EDGE_EXTENT, error);
    else if (vmdk_name_is_safe(node->filename, line->filename, error))
        e->edge = vit_co_open_named(node, line->filename, "file", edge, VIT_EDGE_EXTENT, error);
    return e->edge && (flat || vmdk_co_open_sparse(node, e, false, error));
}

static bool open_whole(Vmdk *v, GError **error)
{
    VitBlockNode *node = &v->parent;
    VmdkExtent *e = v->extents = g_new0(VmdkExtent, 1);

    v->n_extents = 1;
    e->edge = node->file;
    e->type = g_strdup("");
    e->filename = g_strdup(node->file->node->filename);
    if (!vmdk_co_open_sparse(node, e, true, error)) return false;
    node->size = e->bytes;
    return true;
}

static bool open_extents(Vmdk *v, VitBlockArgs *args, const VmdkDescriptor *d, GError **error)
{
    static const char *const types[] = { "monolithicFlat",     "twoGbMaxExtentSparse",
                                         "twoGbMaxExtentFlat", "vmfs",
                                         "vmfsSparse",         NULL };

    if (!d->create_type)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: invalid VMDK image descriptor"), v->parent.filename);
    if (!g_strv_contains(types, d->create_type))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: Unsupported image type '%s'"), v->parent.filename,
                              d->create_type);
    if (d->extents->len == 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: its descriptor has no extents"), v->parent.filename);
    v->extents = g_new0(VmdkExtent, d->extents->len);
    for (guint i = 0; i < d->extents->len; i++) {
        if (!add_line(v, args, d->extents->pdata[i], error)) return false;
    }
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void finish(Vmdk *v)
{
    for (unsigned i = 0; i < v->n_extents; i++) vmdk_extent_finish(&v->extents[i]);
    g_clear_pointer(&v->extents, g_free);
    g_clear_pointer(&v->create_type, g_free);
    g_clear_pointer(&v->descriptor, g_free);
    v->n_extents = 0;
}

static bool open_all(Vmdk *v, VitBlockArgs *args, GError **error)
{
    VitBlockNode *node = &v->parent;
    char magic[4] = { 0 };
    int result = vit_co_read(node->file->node, 0, magic, sizeof magic);

    if (result < 0) return vit_block_fail_errno(error, result, _("“%s”: header"), node->filename);
    bool sparse = memcmp(magic, "KDMV", 4) == 0 || memcmp(magic, "COWD", 4) == 0;
    if (!vmdk_co_find_descriptor(v, error)) return false;
    if (!sparse && !vmdk_descriptor_probe((uint8_t *)v->descriptor,
                                          MIN(v->descriptor_room, strlen(v->descriptor))))
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s”: Image not in VMDK format"),
                              node->filename);
    g_autoptr(VmdkDescriptor) d = vmdk_descriptor_parse(node->filename, v->descriptor, error);
    if (!d) return false;
    v->cid = d->cid;
    v->parent_cid = d->parent_cid;
    v->create_type = g_strdup(d->create_type ?: "");
    if (d->parent_hint && d->parent_cid != VMDK_NO_PARENT) {
        node->backing_file = g_strdup(d->parent_hint);
        node->backing_format = g_strdup("vmdk");
    }
    return sparse ? open_whole(v, error) : open_extents(v, args, d, error);
}

static void vmdk_attach(VitBlockNode *node)
{
    Vmdk *v = (Vmdk *)node;

    v->allocating.cond.thread = v->flushing.thread = v->renewing.thread = v->loading.thread =
        node->thread;
}

static bool vmdk_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Vmdk *v = (Vmdk *)node;

    vmdk_attach(node);
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    if (!*node->filename) { /* names of extents begin in its folder */
        g_free(node->filename);
        node->filename = g_strdup(node->file->node->filename);
    }
    if (open_all(v, args, error)) return true;
    finish(v);
    return false;
}

static void vmdk_close(VitBlockNode *node)
{
    if (!node->how.read_only) (void)vmdk_co_flush(node);
    finish((Vmdk *)node);
}

/* Only the descriptor's file follows the core; extents were opened as the image was. */
static int vmdk_reopen(VitBlockNode *node, bool read_only)
{
    Vmdk *v = (Vmdk *)node;

    if (read_only) return vmdk_co_flush(node);
    for (unsigned i = 0; i < v->n_extents; i++) {
        const VmdkExtent *e = &v->extents[i];
        if (e->kind == VMDK_COWD || (e->edge && e->edge->node->how.read_only)) return -EROFS;
    }
    return 0;
}

static int vmdk_probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    if (size >= 4 && (memcmp(head, "KDMV", 4) == 0 || memcmp(head, "COWD", 4) == 0)) return 100;
    return vmdk_descriptor_probe(head, size) ? 100 : 0;
}

/* ---- facts ----------------------------------------------------------------------------------- */

static void vmdk_info(VitBlockNode *node, VitBlockInfo *info)
{
    const Vmdk *v = (const Vmdk *)node;

    info->cluster_size = v->n_extents ? (uint32_t)v->extents[0].grain : 0;
    info->zero_init = !node->backing;
    info->unallocated_zero = false;
    for (unsigned i = 0; i < v->n_extents; i++) {
        info->must_compress |= v->extents[i].compressed;
        info->can_compress |= v->extents[i].compressed;
    }
}

static JsonObject *vmdk_specific(VitBlockNode *node, GError **error)
{
    const Vmdk *v = (const Vmdk *)node;
    JsonObject *specific = json_object_new(), *data = json_object_new();
    JsonArray *extents = json_array_new();

    for (unsigned i = 0; i < v->n_extents; i++) {
        const VmdkExtent *e = &v->extents[i];
        JsonObject *one = json_object_new();
        if (e->compressed) json_object_set_boolean_member(one, "compressed", TRUE);
        json_object_set_int_member(one, "virtual-size", (gint64)e->bytes);
        json_object_set_string_member(one, "filename",
                                      e->edge ? e->edge->node->filename : e->filename);
        if (e->grain) json_object_set_int_member(one, "cluster-size", (gint64)e->grain);
        json_object_set_string_member(one, "format", e->type);
        json_array_add_object_element(extents, one);
    }
    json_object_set_int_member(data, "cid", v->cid);
    json_object_set_int_member(data, "parent-cid", v->parent_cid);
    json_object_set_string_member(data, "create-type", v->create_type);
    json_object_set_array_member(data, "extents", extents);
    json_object_set_string_member(specific, "type", "vmdk");
    json_object_set_object_member(specific, "data", data);
    return specific;
}

const VitBlockDriver vit_block_vmdk_driver = {
    .name = "vmdk",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Vmdk),
    .alignment = VMDK_SECTOR,
    .create_options = vmdk_create_options,
    .supports_backing = true,
    .probe = vmdk_probe,
    .co_open = vmdk_open,
    .co_close = vmdk_close,
    .attach = vmdk_attach,
    .co_reopen = vmdk_reopen,
    .co_read = vmdk_co_read,
    .co_write = vmdk_co_write,
    .co_write_zeroes = vmdk_co_write_zeroes,
    .co_flush = vmdk_co_flush,
    .co_status = vmdk_co_status,
    .try_submit = vmdk_try_submit,
    .info = vmdk_info,
    .co_specific = vmdk_specific,
    .co_create = vmdk_co_create,
    .co_check = vmdk_co_check,
};
