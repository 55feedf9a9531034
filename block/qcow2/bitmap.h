/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bitmap.h - between the files for persistent bitmaps ("Bitmaps"): the directory
 * (bitmap-dir.c), loading and storing (bitmap.c), checking (bitmap-check.c) */
#pragma once
#include "block/bitmap.h"
#include "block/qcow2/meta.h"

enum { /* flags of a directory entry */
       VIT_QCOW2_BME_IN_USE = 1 << 0,
       VIT_QCOW2_BME_AUTO = 1 << 1,
       VIT_QCOW2_BME_EXTRA_COMPATIBLE = 1 << 2,
       VIT_QCOW2_BME_KNOWN = 7,
       VIT_QCOW2_BME_TYPE_DIRTY = 1,
       VIT_QCOW2_BME_MAX_TABLE = 0x8000000, /* entries */
       VIT_QCOW2_BME_MAX_NAME = 1023,
};
#define VIT_QCOW2_BTE_ALL_ONES UINT64_C(1)
#define VIT_QCOW2_BTE_RESERVED UINT64_C(0xff000000000001fe)

typedef struct { /* a directory entry */
    char *name; /* owned */
    uint64_t table_offset;
    uint32_t table_size; /* entries */
    uint32_t flags;
    uint8_t type, granularity_bits;
    GBytes *extra; /* owned; NULL: none */
} VitQcow2BitmapEntry;

void vit_qcow2_bitmap_entry_free(void *entry);
/* The directory as the file has it: a new array of VitQcow2BitmapEntry*, empty when there is none.
 */
[[nodiscard]] GPtrArray *vit_qcow2_bitmap_directory_load(VitQcow2 *q, GError **error);
/* Writes a directory to new clusters, makes the header lead to it (all durable) and has the old
 * one's clusters freed; an empty one takes the extension away.  meta is held. */
[[nodiscard]] int vit_qcow2_bitmap_directory_store(VitQcow2 *q, GPtrArray *list);
/* The same in place: only flags differ from what the file has; durable. */
[[nodiscard]] int vit_qcow2_bitmap_directory_update(VitQcow2 *q, GPtrArray *list);
uint64_t vit_qcow2_bitmap_directory_size(GPtrArray *list);
VitQcow2BitmapEntry *vit_qcow2_bitmap_entry_find(GPtrArray *list, const char *name);

/* The table of an entry, host order: owned by the caller. */
[[nodiscard]] uint64_t *vit_qcow2_bitmap_table_load(VitQcow2 *q, const VitQcow2BitmapEntry *e,
                                                    int *result);
/* meta is held: has the clusters of an entry's table and data freed. */
void vit_qcow2_bitmap_entry_release(VitQcow2 *q, const VitQcow2BitmapEntry *e);
/* Entries of the table that `bits` bits need. */
static inline uint64_t vit_qcow2_bitmap_table_size(const VitQcow2 *q, uint64_t bits)
{
    uint64_t per_cluster = q->cluster_size * 8;

    return bits / per_cluster + (bits % per_cluster != 0);
}
