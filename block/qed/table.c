/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/table.c - from guest offsets to clusters: the L1 table in memory, slices of L2 tables
 *
 * L2 tables may be as large as 1 GiB, so they are kept in pieces.  Entries are written through, a
 * sector at a time; a new L2 table is on the disk before the L1 entry that leads to it. */
#include "block/qed/qed.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { SECTOR = 512, SECTOR_ENTRIES = SECTOR / 8 };

static VitBlockNode *file_of(const Qed *q)
{
    return q->parent.file->node;
}

bool qed_load_l1(Qed *q, GError **error)
{
    uint64_t cluster = q->header.cluster_size, clusters, n;

    clusters = (q->header.image_size + cluster - 1) / cluster;
    n = (clusters + q->table_entries - 1) / q->table_entries;
    uint64_t *l1 = g_try_malloc(n * 8);
    if (!l1)
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO,
                              _("“%s”: no memory for an L1 table of %" PRIu64 " entries"),
                              q->parent.filename, n);
    int result = vit_co_read(file_of(q), q->header.l1_table_offset, l1, n * 8);
    if (result < 0) {
        g_free(l1);
        return vit_block_fail_errno(error, result, _("“%s”: could not read the L1 table at 0x%lx"),
                                    q->parent.filename, (unsigned long)q->header.l1_table_offset);
    }
    for (uint64_t i = 0; i < n; i++) l1[i] = GUINT64_FROM_LE(l1[i]);
    g_free(q->l1);
    q->l1 = l1;
    q->n_l1 = n;
    return true;
}

void qed_forget_slices(Qed *q)
{
    for (unsigned i = 0; i < QED_SLICES; i++) q->slices[i].offset = 0;
}

void qed_free_tables(Qed *q)
{
    for (unsigned i = 0; i < QED_SLICES; i++) g_clear_pointer(&q->slices[i].entries, g_free);
    qed_forget_slices(q);
    g_clear_pointer(&q->l1, g_free);
}

/* The slice of a table that begins at this file offset.  Waits; `tables` is held. */
static int get_slice(Qed *q, uint64_t offset, bool fresh, QedSlice **slice)
{
    QedSlice *s = &q->slices[0];
    size_t bytes = q->slice_entries * 8;

    for (unsigned i = 0; i < QED_SLICES; i++) {
        QedSlice *one = &q->slices[i];
        if (one->offset == offset) {
            one->used = ++q->clock;
            *slice = one;
            return 0;
        }
        if (one->used < s->used) s = one;
    }
    s->offset = 0;
    if (!s->entries) s->entries = g_try_malloc(bytes);
    if (!s->entries) return -ENOMEM;
    if (fresh) {
        memset(s->entries, 0, bytes);
    } else {
        int result = vit_co_read(file_of(q), offset, s->entries, bytes);
        if (result < 0) return result;
    }
    s->offset = offset;
    s->used = ++q->clock;
    *slice = s;
    return 0;
}

static QedKind kind_of(uint64_t entry)
{
    return entry == 0 ? QED_NONE : entry == QED_ZERO_CLUSTER ? QED_ZERO : QED_DATA;
}

static int lookup(Qed *q, uint64_t offset, uint64_t bytes, QedRun *run)
{
    uint64_t cluster = q->header.cluster_size, index = offset / cluster;
    uint64_t in_l1 = index / q->table_entries, in_l2 = index % q->table_entries;
    uint64_t first = in_l2 % q->slice_entries, in_cluster = offset & (cluster - 1), have;
    uint64_t file_size = file_of(q)->size, table = q->l1[in_l1];
    QedSlice *slice;

    if (table == 0) {
        have = (q->table_entries - in_l2) * cluster - in_cluster;
        *run = (QedRun){ QED_NONE, MIN(bytes, have), 0 };
        return 0;
    }
    if (!qed_offset_valid(q, table, q->header.table_size, file_size)) return -EINVAL;
    int result = get_slice(q, table + (in_l2 - first) * 8, false, &slice);
    if (result < 0) return result;
    uint64_t entry = GUINT64_FROM_LE(slice->entries[first]);
    QedKind kind = kind_of(entry);
    if (kind == QED_DATA && !qed_offset_valid(q, entry, 1, file_size)) return -EINVAL;
    have = cluster - in_cluster;
    for (uint64_t i = 1; first + i < q->slice_entries && have < bytes; i++, have += cluster) {
        uint64_t next = GUINT64_FROM_LE(slice->entries[first + i]);
        if (kind_of(next) != kind) break;
        if (kind == QED_DATA &&
            (next != entry + i * cluster || !qed_offset_valid(q, next, 1, file_size)))
            break;
    }
    *run = (QedRun){ kind, MIN(bytes, have), kind == QED_DATA ? entry + in_cluster : 0 };
    return 0;
}

int qed_lookup(Qed *q, uint64_t offset, uint64_t bytes, QedRun *run)
{
    vit_fiber_mutex_lock(&q->tables);
    int result = lookup(q, offset, bytes, run);
    vit_fiber_mutex_unlock(&q->tables);
    return result;
}

/* ---- changing -------------------------------------------------------------------------------- */

static int mark_in_use(Qed *q)
{
    if (q->header.features & QED_F_NEED_CHECK) return 0;
    q->header.features |= QED_F_NEED_CHECK;
    int result = qed_write_header(q);
    if (result == 0) result = vit_co_flush(file_of(q));
    if (result < 0) q->header.features &= ~(uint64_t)QED_F_NEED_CHECK;
    return result;
}

int qed_mark_in_use(Qed *q)
{
    vit_fiber_mutex_lock(&q->tables);
    int result = mark_in_use(q);
    vit_fiber_mutex_unlock(&q->tables);
    return result;
}

/* Writes the sectors of a slice that hold entries [first, first + n). */
static int write_entries(Qed *q, const QedSlice *s, uint64_t first, uint64_t n)
{
    uint64_t from = first & ~(uint64_t)(SECTOR_ENTRIES - 1);
    uint64_t to = (first + n + SECTOR_ENTRIES - 1) & ~(uint64_t)(SECTOR_ENTRIES - 1);

    return vit_co_write(file_of(q), s->offset + from * 8, s->entries + from, (to - from) * 8, 0);
}

/* A table of zeroes at the file's end. */
static int new_table(Qed *q, uint64_t *offset)
{
    uint64_t bytes = q->table_entries * 8, at = q->end;

    q->end += bytes;
    *offset = at;
    return vit_co_zero(file_of(q), at, bytes, 0);
}

static int link_l1(Qed *q, uint64_t in_l1, uint64_t table)
{
    uint64_t sector[SECTOR_ENTRIES] = { 0 };
    uint64_t from = in_l1 & ~(uint64_t)(SECTOR_ENTRIES - 1);
    VitBlockNode *file = file_of(q);
    uint64_t at = q->header.l1_table_offset + from * 8;

    int result = vit_co_flush(file); /* the L2 table before what leads to it */
    if (result == 0) result = vit_co_read(file, at, sector, SECTOR); /* entries past n_l1 stay */
    if (result < 0) return result;
    sector[in_l1 - from] = GUINT64_TO_LE(table);
    result = vit_co_write(file, at, sector, SECTOR, 0);
    if (result == 0) q->l1[in_l1] = table;
    return result;
}

/* n clusters that lie within one slice. */
static int link_some(Qed *q, uint64_t in_l1, uint64_t in_l2, uint64_t n, uint64_t host)
{
    uint64_t first = in_l2 % q->slice_entries, table = q->l1[in_l1], step = q->header.cluster_size;
    bool fresh = table == 0;
    QedSlice *slice;
    int result = 0;

    if (fresh) result = new_table(q, &table);
    else if (!qed_offset_valid(q, table, q->header.table_size, file_of(q)->size)) return -EINVAL;
    if (result == 0) result = get_slice(q, table + (in_l2 - first) * 8, fresh, &slice);
    if (result < 0) return result;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t entry = host == QED_ZERO_CLUSTER ? host : host + i * step;
        slice->entries[first + i] = GUINT64_TO_LE(entry);
    }
    result = write_entries(q, slice, first, n);
    if (result == 0 && fresh) result = link_l1(q, in_l1, table);
    if (result < 0) slice->offset = 0; /* not what the file says: read anew */
    return result;
}

int qed_link(Qed *q, uint64_t offset, uint64_t n, uint64_t host)
{
    uint64_t index = offset / q->header.cluster_size;
    int result;

    vit_fiber_mutex_lock(&q->tables);
    result = mark_in_use(q);
    while (result == 0 && n > 0) {
        uint64_t in_l2 = index % q->table_entries;
        uint64_t some = MIN(n, q->slice_entries - in_l2 % q->slice_entries);
        result = link_some(q, index / q->table_entries, in_l2, some, host);
        index += some;
        n -= some;
        if (host != QED_ZERO_CLUSTER) host += some * q->header.cluster_size;
    }
    vit_fiber_mutex_unlock(&q->tables);
    return result;
}
