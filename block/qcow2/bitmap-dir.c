/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bitmap-dir.c - the bitmap directory ("Bitmap directory") and bitmap tables
 *
 * A directory with other entries is written anew; only flags change in place. */
#include "block/qcow2/bitmap.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { /* offsets in an entry */
       E_TABLE_OFFSET = 0,
       E_TABLE_SIZE = 8,
       E_FLAGS = 12,
       E_TYPE = 16,
       E_GRANULARITY = 17,
       E_NAME_SIZE = 18,
       E_EXTRA_SIZE = 20,
       ENTRY = 24,
};

void vit_qcow2_bitmap_entry_free(void *data)
{
    VitQcow2BitmapEntry *e = data;

    if (!e) return;
    g_free(e->name);
    if (e->extra) g_bytes_unref(e->extra);
    g_free(e);
}

VitQcow2BitmapEntry *vit_qcow2_bitmap_entry_find(GPtrArray *list, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        VitQcow2BitmapEntry *e = list->pdata[i];
        if (strcmp(e->name, name) == 0) return e;
    }
    return NULL;
}

static bool bad(const VitQcow2 *q, unsigned index, const char *what, GError **error)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: bitmap directory at offset 0x%" PRIx64 ", entry %u: %s"),
                          q->parent.file->node->filename, q->bitmaps.directory_offset, index, what);
}

static VitQcow2BitmapEntry *parse(const VitQcow2 *q, const uint8_t *p, uint64_t have,
                                  unsigned index, uint64_t *used, GError **error)
{
    uint64_t file_size = q->parent.file->node->size;

    if (have < ENTRY) return bad(q, index, "the directory ends in it", error), NULL;
    uint64_t name_size = (uint64_t)p[E_NAME_SIZE] << 8 | p[E_NAME_SIZE + 1];
    uint64_t extra_size = vit_get32(p + E_EXTRA_SIZE), size = ENTRY + extra_size + name_size;
    if (size > have) return bad(q, index, "the directory ends in it", error), NULL;
    *used = MIN((size + 7) & ~UINT64_C(7), have);

    VitQcow2BitmapEntry *e = g_new0(VitQcow2BitmapEntry, 1);
    *e = (VitQcow2BitmapEntry){ .table_offset = vit_get64(p + E_TABLE_OFFSET),
                                .table_size = vit_get32(p + E_TABLE_SIZE),
                                .flags = vit_get32(p + E_FLAGS),
                                .type = p[E_TYPE],
                                .granularity_bits = p[E_GRANULARITY] };
    e->name = g_strndup((const char *)p + ENTRY + extra_size, name_size);
    if (extra_size) e->extra = g_bytes_new(p + ENTRY, extra_size);
    const char *wrong = NULL;
    if (name_size == 0 || name_size > VIT_QCOW2_BME_MAX_NAME || strlen(e->name) != name_size)
        wrong = "its name is invalid";
    else if (!g_utf8_validate(e->name, -1, NULL)) wrong = "its name is not UTF-8";
    else if (e->granularity_bits < 9 || e->granularity_bits > 31)
        wrong = "its granularity is invalid";
    else if (e->table_size == 0 || e->table_size > VIT_QCOW2_BME_MAX_TABLE)
        wrong = "its table's size is invalid";
    else if (e->table_offset == 0 || e->table_offset & (q->cluster_size - 1) ||
             e->table_offset >= file_size ||
             (uint64_t)e->table_size * 8 > file_size + q->cluster_size - e->table_offset)
        wrong = "its table lies outside of the file or is not aligned";
    else if (e->flags & ~(uint32_t)VIT_QCOW2_BME_KNOWN) wrong = "it has unknown flags";
    else if (e->type != VIT_QCOW2_BME_TYPE_DIRTY) wrong = "it is of an unknown type";
    else if (e->extra && !(e->flags & VIT_QCOW2_BME_EXTRA_COMPATIBLE))
        wrong = "it has extra data that must be understood";
    if (!wrong) return e;
    bad(q, index, wrong, error);
    vit_qcow2_bitmap_entry_free(e);
    return NULL;
}

GPtrArray *vit_qcow2_bitmap_directory_load(VitQcow2 *q, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(vit_qcow2_bitmap_entry_free);
    VitBlockNode *file = q->parent.file->node;
    uint64_t size = q->bitmaps.directory_size, at = 0;

    if (q->bitmaps.count == 0) return g_steal_pointer(&list);
    if (size > VIT_QCOW2_MAX_BITMAP_DIRECTORY || q->bitmaps.count > VIT_QCOW2_MAX_BITMAPS ||
        q->bitmaps.directory_offset & (q->cluster_size - 1) ||
        q->bitmaps.directory_offset >= file->size ||
        size > file->size - q->bitmaps.directory_offset) {
        vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                       _("“%s”: the bitmap directory at offset 0x%" PRIx64
                         " lies outside of the file or is not aligned"),
                       file->filename, q->bitmaps.directory_offset);
        return NULL;
    }
    g_autofree uint8_t *buf = g_try_malloc(size + 1);
    int result = buf ? vit_co_read(file, q->bitmaps.directory_offset, buf, size) : -ENOMEM;
    if (result < 0) {
        vit_block_fail_errno(error, result, _("“%s”: Could not read the bitmap directory"),
                             file->filename);
        return NULL;
    }
    for (unsigned i = 0; i < q->bitmaps.count; i++) {
        uint64_t used;
        VitQcow2BitmapEntry *e = parse(q, buf + at, size - at, i, &used, error);
        if (!e) return NULL;
        bool twice = vit_qcow2_bitmap_entry_find(list, e->name) != NULL;
        g_ptr_array_add(list, e);
        if (twice) return bad(q, i, "its name occurs twice", error), NULL;
        at += used;
    }
    return g_steal_pointer(&list);
}

/* ---- writing --------------------------------------------------------------------------------- */

static uint64_t entry_size(const VitQcow2BitmapEntry *e)
{
    uint64_t extra = e->extra ? g_bytes_get_size(e->extra) : 0;

    return (ENTRY + extra + strlen(e->name) + 7) & ~UINT64_C(7);
}

uint64_t vit_qcow2_bitmap_directory_size(GPtrArray *list)
{
    uint64_t size = 0;

    for (guint i = 0; i < list->len; i++) size += entry_size(list->pdata[i]);
    return size;
}

static uint8_t *build(GPtrArray *list)
{
    uint8_t *buf = g_try_malloc0(vit_qcow2_bitmap_directory_size(list) + 1), *p = buf;

    for (guint i = 0; buf && i < list->len; i++) {
        const VitQcow2BitmapEntry *e = list->pdata[i];
        size_t name = strlen(e->name);
        gsize extra = 0;
        const void *more = e->extra ? g_bytes_get_data(e->extra, &extra) : NULL;
        vit_put64(p + E_TABLE_OFFSET, e->table_offset);
        vit_put32(p + E_TABLE_SIZE, e->table_size);
        vit_put32(p + E_FLAGS, e->flags);
        p[E_TYPE] = e->type;
        p[E_GRANULARITY] = e->granularity_bits;
        p[E_NAME_SIZE] = (uint8_t)(name >> 8);
        p[E_NAME_SIZE + 1] = (uint8_t)name;
        vit_put32(p + E_EXTRA_SIZE, (uint32_t)extra);
        if (extra) memcpy(p + ENTRY, more, extra);
        memcpy(p + ENTRY + extra, e->name, name);
        p += entry_size(e);
    }
    return buf;
}

int vit_qcow2_bitmap_directory_store(VitQcow2 *q, GPtrArray *list)
{
    VitQcow2BitmapsExt old = q->bitmaps, new = { .count = list->len };
    uint64_t old_bits = q->autoclear;
    g_autofree uint8_t *buf = build(list);
    int result = 0;

    if (!buf) return -ENOMEM;
    new.directory_size = vit_qcow2_bitmap_directory_size(list);
    if (new.directory_size > VIT_QCOW2_MAX_BITMAP_DIRECTORY) return -EFBIG;
    if (list->len) {
        result = vit_qcow2_alloc(q, vit_qcow2_clusters(q, new.directory_size),
                                 &new.directory_offset);
        if (result == 0)
            result = vit_qcow2_write_meta(q, new.directory_offset, buf, new.directory_size);
    }
    if (result == 0) result = vit_qcow2_sync(q);
    if (result == 0) result = vit_qcow2_sync_files(q);
    if (result == 0) {
        q->bitmaps = new;
        q->autoclear &= ~(uint64_t)VIT_QCOW2_BITMAPS;
        if (list->len) q->autoclear |= VIT_QCOW2_BITMAPS;
        result = vit_qcow2_write_header(q);
    }
    if (result < 0) {
        q->bitmaps = old;
        q->autoclear = old_bits;
        return result;
    }
    if (old.count)
        vit_qcow2_free(q, old.directory_offset, old.directory_size, VIT_QCOW2_FREE_OTHER);
    return 0;
}

int vit_qcow2_bitmap_directory_update(VitQcow2 *q, GPtrArray *list)
{
    g_autofree uint8_t *buf = build(list);

    if (!buf) return -ENOMEM;
    if (vit_qcow2_bitmap_directory_size(list) > q->bitmaps.directory_size) return -EINVAL;
    int result = vit_qcow2_write_meta(q, q->bitmaps.directory_offset, buf,
                                      vit_qcow2_bitmap_directory_size(list));
    return result == 0 ? vit_qcow2_sync_files(q) : result;
}

/* ---- tables ---------------------------------------------------------------------------------- */

uint64_t *vit_qcow2_bitmap_table_load(VitQcow2 *q, const VitQcow2BitmapEntry *e, int *result)
{
    uint64_t *table = g_try_new(uint64_t, (size_t)e->table_size + 1);

    *result = table ? vit_co_read(q->parent.file->node, e->table_offset, table,
                                  (uint64_t)e->table_size * 8)
                    : -ENOMEM;
    if (*result < 0) {
        g_free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < e->table_size; i++) table[i] = GUINT64_FROM_BE(table[i]);
    return table;
}

void vit_qcow2_bitmap_entry_release(VitQcow2 *q, const VitQcow2BitmapEntry *e)
{
    int result;
    g_autofree uint64_t *table = vit_qcow2_bitmap_table_load(q, e, &result);
    uint64_t size = q->parent.file->node->size;

    for (uint32_t i = 0; table && i < e->table_size; i++) {
        uint64_t offset = table[i] & VIT_QCOW2_OFFSET_MASK;
        if (offset && (offset & (q->cluster_size - 1)) == 0 && offset < size)
            vit_qcow2_free(q, offset, q->cluster_size, VIT_QCOW2_FREE_OTHER);
    }
    vit_qcow2_free(q, e->table_offset, (uint64_t)e->table_size * 8, VIT_QCOW2_FREE_OTHER);
}
