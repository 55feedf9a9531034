/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/bitmap-check.c - references of the bitmap directory, the tables and the bits
 *
 * Bitmaps only save work for the next backup: what cannot be read is repaired by dropping it. */
#include "block/qcow2/bitmap.h"
#include "block/qcow2/check.h"

#include <errno.h>
#include <inttypes.h>

/* Takes the extension out of the header; its clusters are then leaks. */
static int drop_all(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;

    q->bitmaps = (VitQcow2BitmapsExt){ 0 };
    q->autoclear &= ~(uint64_t)VIT_QCOW2_BITMAPS;
    int result = vit_qcow2_write_header(q);
    if (result == 0) c->result->corruptions_fixed++;
    return result;
}

static bool check_table(VitQcow2Check *c, const VitQcow2BitmapEntry *e)
{
    VitQcow2 *q = c->q;
    int result;
    bool changed = false;
    g_autofree uint64_t *table = vit_qcow2_bitmap_table_load(q, e, &result);

    if (!table) {
        vit_block_check_say(c->result, "ERROR bitmap '%s': its table cannot be read: %s", e->name,
                            g_strerror(-result));
        c->result->check_errors++;
        return false;
    }
    for (uint32_t i = 0; i < e->table_size; i++) {
        uint64_t offset = table[i] & VIT_QCOW2_OFFSET_MASK;
        bool good = !(table[i] & VIT_QCOW2_BTE_RESERVED) && !(offset & (q->cluster_size - 1)) &&
                    !(offset && (table[i] & VIT_QCOW2_BTE_ALL_ONES));
        if (good && offset == 0) continue;
        if (good && vit_qcow2_check_use(c, offset, q->cluster_size)) continue;
        if (!good) {
            vit_block_check_say(c->result,
                                "ERROR bitmap '%s': table entry %u is invalid: 0x%" PRIx64, e->name,
                                i, table[i]);
            c->result->corruptions++;
        }
        if (!(c->fix & VIT_FIX_ERRORS)) continue;
        table[i] = VIT_QCOW2_BTE_ALL_ONES; /* not known: as if all had changed */
        c->result->corruptions_fixed++;
        changed = true;
    }
    for (uint32_t i = 0; changed && i < e->table_size; i++) table[i] = GUINT64_TO_BE(table[i]);
    return !changed ||
           vit_qcow2_write_meta(q, e->table_offset, table, (uint64_t)e->table_size * 8) == 0;
}

int vit_qcow2_check_bitmaps(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;
    g_autoptr(GError) error = NULL;

    if (q->bitmaps.count == 0) return 0;
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, &error);
    if (!list) {
        vit_block_check_say(c->result, "ERROR %s", error->message);
        c->result->corruptions++;
        if (c->fix & VIT_FIX_ERRORS) return drop_all(c);
        if (q->bitmaps.directory_size <= VIT_QCOW2_MAX_BITMAP_DIRECTORY)
            vit_qcow2_check_use(c, q->bitmaps.directory_offset, q->bitmaps.directory_size);
        return 0;
    }
    vit_qcow2_check_use(c, q->bitmaps.directory_offset, q->bitmaps.directory_size);
    for (guint i = 0; i < list->len; i++) {
        const VitQcow2BitmapEntry *e = list->pdata[i];
        vit_qcow2_check_use(c, e->table_offset, (uint64_t)e->table_size * 8);
        if (!check_table(c, e) && c->fix) return -EIO;
    }
    return 0;
}
