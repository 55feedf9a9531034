/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bitmap.c - persistent dirty bitmaps: loaded when the image is opened, marked as in
 * use while it is written to, stored anew when it is closed
 *
 * After a crash they still say "in use": their bits are then not to be trusted, and all that can be
 * done with them is to remove them. */
#include "block/qcow2/bitmap.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool load_bits(VitQcow2 *q, const VitQcow2BitmapEntry *e, VitBlockBitmap *bitmap,
                      GError **error)
{
    VitBlockNode *file = q->parent.file->node;
    uint64_t bits = vit_block_bitmap_bits(bitmap), per_cluster = q->cluster_size * 8;
    uint64_t n = vit_qcow2_bitmap_table_size(q, bits);
    int result;

    if (e->table_size != n)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s”: Bitmap '%s': its table has %u entries, not %" PRIu64),
                              file->filename, e->name, e->table_size, n);
    g_autofree uint64_t *table = vit_qcow2_bitmap_table_load(q, e, &result);
    g_autofree uint8_t *buf = g_try_malloc(q->cluster_size);
    if (table && !buf) result = -ENOMEM;
    for (uint64_t i = 0; i < n && result == 0; i++) {
        uint64_t offset = table[i] & VIT_QCOW2_OFFSET_MASK;
        if (table[i] & VIT_QCOW2_BTE_RESERVED || offset & (q->cluster_size - 1) ||
            (offset && (table[i] & VIT_QCOW2_BTE_ALL_ONES)) || offset >= file->size)
            return vit_block_fail(
                error, VIT_BLOCK_ERROR_CORRUPT,
                _("“%s”: Bitmap '%s': table entry %" PRIu64 " (0x%" PRIx64 ") is invalid"),
                file->filename, e->name, i, table[i]);
        if (offset == 0 && !(table[i] & VIT_QCOW2_BTE_ALL_ONES)) continue;
        uint64_t left = MIN(per_cluster, bits - i * per_cluster);
        if (offset) result = vit_co_read(file, offset, buf, q->cluster_size);
        else memset(buf, 0xff, q->cluster_size);
        if (result == 0) vit_block_bitmap_load(bitmap, i * per_cluster, buf, (left + 7) / 8);
    }
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: Bitmap '%s' could not be read"),
                                file->filename, e->name);
}

bool vit_qcow2_bitmaps_load(VitQcow2 *q, GError **error)
{
    VitBlockNode *node = &q->parent;

    if (q->bitmaps.count == 0 || node->how.check || node->how.no_io) return true;
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, error);
    if (!list) return false;
    for (guint i = 0; i < list->len; i++) {
        const VitQcow2BitmapEntry *e = list->pdata[i];
        VitBlockBitmap *bitmap = vit_block_bitmap_new(node, e->name,
                                                      UINT32_C(1) << e->granularity_bits, error);
        if (!bitmap) return false;
        vit_block_bitmap_set_persistent(bitmap, true);
        vit_block_bitmap_enable(bitmap, e->flags & VIT_QCOW2_BME_AUTO);
        if (e->flags & VIT_QCOW2_BME_IN_USE) vit_block_bitmap_set_inconsistent(bitmap);
        else if (!load_bits(q, e, bitmap, error)) return false;
    }
    return true;
}

int vit_qcow2_bitmaps_use(VitQcow2 *q)
{
    g_autoptr(GError) error = NULL;
    bool changed = false;

    if (q->bitmaps.count == 0) return 0;
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, &error);
    if (!list) return -EIO;
    for (guint i = 0; i < list->len; i++) {
        VitQcow2BitmapEntry *e = list->pdata[i];
        changed |= !(e->flags & VIT_QCOW2_BME_IN_USE);
        e->flags |= VIT_QCOW2_BME_IN_USE;
    }
    return changed ? vit_qcow2_bitmap_directory_update(q, list) : 0;
}

/* ---- storing --------------------------------------------------------------------------------- */

static bool all(const uint8_t *buf, size_t bytes, uint8_t value)
{
    return bytes == 0 || (buf[0] == value && memcmp(buf, buf + 1, bytes - 1) == 0);
}

/* Writes the bits that are not all alike in a cluster, then the table; fills in e. */
static int store_bits(VitQcow2 *q, const VitBlockBitmap *bitmap, VitQcow2BitmapEntry *e)
{
    uint64_t bits = vit_block_bitmap_bits(bitmap), per_cluster = q->cluster_size * 8;
    uint64_t n = MAX(vit_qcow2_bitmap_table_size(q, bits), 1);
    g_autofree uint64_t *table = g_try_new0(uint64_t, n);
    g_autofree uint8_t *buf = g_try_malloc(q->cluster_size);
    int result = table && buf && n <= VIT_QCOW2_BME_MAX_TABLE ? 0 : -ENOMEM;

    for (uint64_t i = 0; i < n && result == 0; i++) {
        uint64_t first = i * per_cluster, offset;
        size_t bytes = first < bits ? (size_t)((MIN(per_cluster, bits - first) + 7) / 8) : 0;
        memset(buf, 0, q->cluster_size);
        vit_block_bitmap_store(bitmap, first, buf, bytes);
        if (all(buf, bytes, 0)) continue;
        result = vit_qcow2_alloc(q, 1, &offset);
        if (result == 0) result = vit_qcow2_write_meta(q, offset, buf, q->cluster_size);
        table[i] = GUINT64_TO_BE(offset);
    }
    if (result == 0) result = vit_qcow2_alloc(q, vit_qcow2_clusters(q, n * 8), &e->table_offset);
    if (result == 0) result = vit_qcow2_write_meta(q, e->table_offset, table, n * 8);
    e->table_size = (uint32_t)n;
    return result;
}

/* The entry that a bitmap is to have; one that the list has and that is to stay keeps its place. */
static int add_entry(VitQcow2 *q, VitBlockBitmap *bitmap, GPtrArray *old, GPtrArray *list)
{
    const char *name = vit_block_bitmap_name(bitmap);
    VitQcow2BitmapEntry *was = vit_qcow2_bitmap_entry_find(old, name);
    VitQcow2BitmapEntry *e = g_new0(VitQcow2BitmapEntry, 1);
    bool inconsistent = vit_block_bitmap_inconsistent(bitmap);
    int result = 0;

    e->name = g_strdup(name);
    e->type = VIT_QCOW2_BME_TYPE_DIRTY;
    e->granularity_bits = (uint8_t)__builtin_ctz(vit_block_bitmap_granularity(bitmap));
    if (vit_block_bitmap_enabled(bitmap)) e->flags |= VIT_QCOW2_BME_AUTO;
    if (was && was->extra) {
        e->extra = g_bytes_ref(was->extra);
        e->flags |= VIT_QCOW2_BME_EXTRA_COMPATIBLE;
    }
    g_ptr_array_add(list, e);
    if (inconsistent && was) { /* goes on being so */
        e->flags = was->flags | VIT_QCOW2_BME_IN_USE;
        e->table_offset = was->table_offset;
        e->table_size = was->table_size;
        was->table_size = 0; /* not to be freed */
        return 0;
    }
    if (inconsistent) e->flags |= VIT_QCOW2_BME_IN_USE;
    result = store_bits(q, bitmap, e);
    return result;
}

static int store(VitQcow2 *q)
{
    VitBlockNode *node = &q->parent;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) old = vit_qcow2_bitmap_directory_load(q, &error);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(vit_qcow2_bitmap_entry_free);
    int result = old ? 0 : -EIO;

    for (guint i = 0; result == 0 && node->bitmaps && i < node->bitmaps->len; i++) {
        VitBlockBitmap *bitmap = node->bitmaps->pdata[i];
        if (vit_block_bitmap_persistent(bitmap) && vit_block_bitmap_name(bitmap))
            result = add_entry(q, bitmap, old, list);
    }
    if (result == 0 && (list->len || old->len)) result = vit_qcow2_bitmap_directory_store(q, list);
    for (guint i = 0; result == 0 && i < old->len; i++) {
        const VitQcow2BitmapEntry *e = old->pdata[i];
        if (e->table_size) vit_qcow2_bitmap_entry_release(q, e);
    }
    return result;
}

int vit_qcow2_bitmaps_store(VitQcow2 *q)
{
    VitBlockNode *node = &q->parent;
    bool any = q->bitmaps.count > 0;

    for (guint i = 0; node->bitmaps && i < node->bitmaps->len && !any; i++)
        any = vit_block_bitmap_persistent(node->bitmaps->pdata[i]);
    if (!any || node->how.check || node->how.no_io || q->version < 3 || q->broken) return 0;
    vit_fiber_mutex_lock(&q->meta);
    int result = store(q);
    vit_fiber_mutex_unlock(&q->meta);
    return result;
}

/* ---- what users ask -------------------------------------------------------------------------- */

bool vit_qcow2_co_bitmap_can_store(VitBlockNode *node, const char *name, uint32_t granularity,
                                   GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    uint64_t bits = node->size / granularity + (node->size % granularity != 0);
    uint64_t n = vit_qcow2_bitmap_table_size(q, bits);
    unsigned count = 0;

    if (q->version < 3)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Cannot store dirty bitmaps in qcow2 v2 files"));
    if (node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s” is read-only: bitmap '%s' cannot be stored in it"),
                              node->filename, name);
    if (granularity < 512 || granularity > UINT32_C(1) << 31)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Granularity of bitmap '%s' is under minimum or exceeds maximum "
                                "(512 bytes to 2 GiB)"),
                              name);
    if (strlen(name) > VIT_QCOW2_BME_MAX_NAME)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Name length exceeds maximum (%d characters)"),
                              VIT_QCOW2_BME_MAX_NAME);
    if (n > VIT_QCOW2_BME_MAX_TABLE)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Too much space will be occupied by the bitmap '%s'. Use larger "
                                "granularity"),
                              name);
    for (guint i = 0; node->bitmaps && i < node->bitmaps->len; i++)
        count += vit_block_bitmap_persistent(node->bitmaps->pdata[i]);
    if (count >= VIT_QCOW2_MAX_BITMAPS)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Maximum number of persistent bitmaps is already reached"));
    return true;
}

bool vit_qcow2_co_bitmap_remove(VitBlockNode *node, const char *name, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” is read-only"),
                              node->filename);
    vit_fiber_mutex_lock(&q->meta);
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, error);
    VitQcow2BitmapEntry *e = list ? vit_qcow2_bitmap_entry_find(list, name) : NULL;
    int result = 0;
    if (e) { /* else it was never stored */
        g_ptr_array_set_free_func(list, NULL);
        g_ptr_array_remove(list, e);
        g_ptr_array_set_free_func(list, vit_qcow2_bitmap_entry_free);
        result = vit_qcow2_bitmap_directory_store(q, list);
        if (result == 0) vit_qcow2_bitmap_entry_release(q, e);
        vit_qcow2_bitmap_entry_free(e);
    }
    vit_fiber_mutex_unlock(&q->meta);
    if (!list) return false;
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Failed to remove bitmap '%s'"), name);
}

bool vit_qcow2_bitmaps_specific(VitQcow2 *q, JsonObject *data, GError **error)
{
    if (q->bitmaps.count == 0) return true;
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, error);
    if (!list) return false;
    JsonArray *array = json_array_new();
    for (guint i = 0; i < list->len; i++) {
        const VitQcow2BitmapEntry *e = list->pdata[i];
        JsonObject *o = json_object_new();
        JsonArray *flags = json_array_new();
        if (e->flags & VIT_QCOW2_BME_IN_USE) json_array_add_string_element(flags, "in-use");
        if (e->flags & VIT_QCOW2_BME_AUTO) json_array_add_string_element(flags, "auto");
        json_object_set_array_member(o, "flags", flags);
        json_object_set_string_member(o, "name", e->name);
        json_object_set_int_member(o, "granularity", INT64_C(1) << e->granularity_bits);
        json_array_add_object_element(array, o);
    }
    json_object_set_array_member(data, "bitmaps", array);
    return true;
}
