/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/overlap.c - a wrong refcount or L2 entry must not make data be written over a table
 *
 * L2 tables and refcount blocks are kept in a set of cluster numbers, the other tables are few
 * stretches.  Of inactive L2 tables (those only snapshots use) nothing is remembered: their
 * refcounts protect them. */
#include "block/qcow2/qcow2.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

static gpointer key_of(const VitQcow2 *q, uint64_t offset)
{
    return GSIZE_TO_POINTER(offset >> q->cluster_bits);
}

void vit_qcow2_tables_add(VitQcow2 *q, uint64_t offset)
{
    g_hash_table_add(q->tables, key_of(q, offset));
}

void vit_qcow2_tables_remove(VitQcow2 *q, uint64_t offset)
{
    g_hash_table_remove(q->tables, key_of(q, offset));
}

static bool collect(VitQcow2 *q, const char *what, uint64_t index, uint64_t offset, bool alone,
                    GError **error)
{
    uint64_t file = q->parent.file->node->size + q->cluster_size;

    if (offset == 0) return true;
    if (offset & (q->cluster_size - 1))
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: %s %" PRIu64 " at offset 0x%" PRIx64 " is not aligned to a cluster"),
            q->parent.file->node->filename, what, index, offset);
    if (offset >= file)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: %s %" PRIu64 " at offset 0x%" PRIx64 " lies past the end of the file"),
            q->parent.file->node->filename, what, index, offset);
    if (!g_hash_table_add(q->tables, key_of(q, offset)) && alone)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: %s %" PRIu64 " at offset 0x%" PRIx64 " overlaps another table"),
            q->parent.file->node->filename, what, index, offset);
    return true;
}

bool vit_qcow2_tables_collect(VitQcow2 *q, GError **error)
{
    g_hash_table_remove_all(q->tables);
    for (uint64_t i = 0; i < q->rt_entries; i++) {
        if (!collect(q, "refcount block", i, q->rt[i], true, error)) return false;
    }
    for (uint64_t i = 0; i < q->l1_size; i++) {
        if (!collect(q, "L2 table", i, q->l1[i] & VIT_QCOW2_OFFSET_MASK, true, error)) return false;
    }
    return true;
}

static bool hits(uint64_t offset, uint64_t bytes, uint64_t table, uint64_t table_bytes)
{
    return table_bytes && offset < table + table_bytes && table < offset + bytes;
}

bool vit_qcow2_overlaps(VitQcow2 *q, uint64_t offset, uint64_t bytes, bool all)
{
    unsigned what = all ? ~0u : q->overlap;

    if ((what & VIT_QCOW2_OL_MAIN_HEADER) && offset < q->cluster_size) return true;
    if ((what & VIT_QCOW2_OL_ACTIVE_L1) &&
        hits(offset, bytes, q->l1_offset, (uint64_t)q->l1_size * 8))
        return true;
    if ((what & VIT_QCOW2_OL_REFCOUNT_TABLE) &&
        hits(offset, bytes, q->rt_offset, (uint64_t)q->rt_clusters << q->cluster_bits))
        return true;
    if ((what & VIT_QCOW2_OL_SNAPSHOT_TABLE) &&
        hits(offset, bytes, q->snapshots_offset, q->snapshots_bytes))
        return true;
    if ((what & VIT_QCOW2_OL_BITMAP_DIRECTORY) && q->bitmaps.count &&
        hits(offset, bytes, q->bitmaps.directory_offset, q->bitmaps.directory_size))
        return true;
    for (guint i = 0; (what & VIT_QCOW2_OL_INACTIVE_L1) && i < q->snapshots->len; i++) {
        const VitQcow2Snapshot *s = q->snapshots->pdata[i];
        if (!s->broken && hits(offset, bytes, s->l1_offset, (uint64_t)s->l1_size * 8)) return true;
    }
    if (what & (VIT_QCOW2_OL_ACTIVE_L2 | VIT_QCOW2_OL_REFCOUNT_BLOCK)) {
        uint64_t end = (offset + bytes + q->cluster_size - 1) >> q->cluster_bits;
        for (uint64_t i = offset >> q->cluster_bits; i < end; i++) {
            if (g_hash_table_contains(q->tables, GSIZE_TO_POINTER(i))) return true;
        }
    }
    return false;
}

/* ---- the option ------------------------------------------------------------------------------ */

static const char *const names[] = {
    "main-header",    "active-l1",   "active-l2",   "refcount-table",   "refcount-block",
    "snapshot-table", "inactive-l1", "inactive-l2", "bitmap-directory", NULL,
};
static const char *const templates[] = { "none", "constant", "cached", "all", NULL };

static unsigned of_template(int index)
{
    static const unsigned values[] = { 0, 0x129, 0x17f, 0x1ff };

    return values[index];
}

bool vit_qcow2_overlap_options(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    g_autoptr(VitBlockArgs) group = vit_block_args_sub(args, "overlap-check");
    int template = 2;

    if (!group) {
        if (!vit_block_args_enum(args, "overlap-check", templates, &template, error)) return false;
        q->overlap = of_template(template);
        return true;
    }
    if (!vit_block_args_enum(group, "template", templates, &template, error)) return false;
    q->overlap = of_template(template);
    for (unsigned i = 0; names[i]; i++) {
        bool on = (q->overlap >> i) & 1;
        if (!vit_block_args_bool(group, names[i], &on, error)) return false;
        q->overlap = on ? q->overlap | 1u << i : q->overlap & ~(1u << i);
    }
    return vit_block_args_finish(group, error);
}
