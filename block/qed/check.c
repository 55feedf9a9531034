/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/check.c - consistency of a QED image: every table entry leads to a cluster of its own
 *
 * What leads out of the file or into a cluster's middle is repaired by clearing the entry; of two
 * entries that lead to one cluster the second gets a copy.  Clusters that nobody uses at the file's
 * end are cut off, others can only be told. */
#include "block/qed/qed.h"

#include <errno.h>
#include <string.h>

/* Which clusters are used: bits in pieces that come into being as they are needed, so that a file
 * that claims to be huge costs nothing. */
enum { PIECE_CLUSTERS = 1 << 16, MAX_COPY = 1 << 20 };

typedef struct {
    Qed *q;
    VitBlockCheck *result;
    unsigned fix;
    GHashTable *used; /* of uint64_t[PIECE_CLUSTERS / 64] by cluster / PIECE_CLUSTERS */
    uint64_t n_used, last; /* last: the highest used cluster */
    uint64_t file_size;
    uint64_t next; /* cluster after the one before in guest order, for fragmentation */
} Check;

static VitBlockNode *file_of(const Check *c)
{
    return c->q->parent.file->node;
}

/* False when it is used already. */
static bool use_one(Check *c, uint64_t cluster)
{
    gpointer key = GSIZE_TO_POINTER(cluster / PIECE_CLUSTERS + 1);
    uint64_t *piece = g_hash_table_lookup(c->used, key), bit = cluster % PIECE_CLUSTERS;

    if (!piece) {
        piece = g_malloc0(PIECE_CLUSTERS / 8);
        g_hash_table_insert(c->used, key, piece);
    }
    if (piece[bit / 64] >> (bit % 64) & 1) return false;
    piece[bit / 64] |= UINT64_C(1) << (bit % 64);
    c->n_used++;
    c->last = MAX(c->last, cluster);
    return true;
}

static bool use(Check *c, uint64_t offset, uint64_t clusters)
{
    bool free = true;

    for (uint64_t i = 0; i < clusters; i++)
        free &= use_one(c, offset / c->q->header.cluster_size + i);
    return free;
}

/* A copy at the file's end of what two entries share; 0: it could not be made. */
static uint64_t copy_out(Check *c, uint64_t from, uint64_t bytes)
{
    Qed *q = c->q;
    size_t piece = (size_t)MIN(bytes, MAX_COPY);
    g_autofree uint8_t *buf = g_try_malloc(piece);
    uint64_t to = q->end;

    if (!buf) return 0;
    for (uint64_t at = 0; at < bytes; at += piece) {
        if (vit_co_read(file_of(c), from + at, buf, piece) < 0 ||
            vit_co_write(file_of(c), to + at, buf, piece, 0) < 0)
            return 0;
    }
    if (vit_co_flush(file_of(c)) < 0) return 0;
    q->end += bytes;
    c->file_size = MAX(c->file_size, file_of(c)->size);
    use(c, to, bytes / q->header.cluster_size);
    return to;
}

/* Looks at one data entry; returns what it is to be. */
static uint64_t check_entry(Check *c, uint64_t entry, uint64_t guest)
{
    uint64_t cluster = c->q->header.cluster_size;

    c->result->allocated_clusters++;
    if (c->next && entry != c->next) c->result->fragmented_clusters++;
    c->next = entry + cluster;
    if (!qed_offset_valid(c->q, entry, 1, c->file_size)) {
        vit_block_check_say(
            c->result, "ERROR L2 entry 0x%lx of guest offset 0x%lx: out of the image or unaligned",
            (unsigned long)entry, (unsigned long)guest);
        c->result->corruptions++;
        if (!(c->fix & VIT_FIX_ERRORS)) return entry;
        c->result->corruptions_fixed++;
        return 0;
    }
    if (use(c, entry, 1)) return entry;
    vit_block_check_say(c->result,
                        "ERROR L2 entry 0x%lx of guest offset 0x%lx: the cluster is used twice",
                        (unsigned long)entry, (unsigned long)guest);
    c->result->corruptions++;
    uint64_t copy = c->fix & VIT_FIX_ERRORS ? copy_out(c, entry, cluster) : 0;
    if (copy) c->result->corruptions_fixed++;
    return copy ? copy : entry;
}

static int check_l2(Check *c, uint64_t l1_index, uint64_t *buf)
{
    Qed *q = c->q;
    uint64_t table = q->l1[l1_index], left = q->header.cluster_size, guest;
    uint64_t clusters = (q->header.image_size + left - 1) / left - l1_index * q->table_entries;
    uint64_t n = MIN(q->table_entries, clusters);

    for (uint64_t at = 0; at < n; at += q->slice_entries) {
        bool changed = false;
        int result = vit_co_read(file_of(c), table + at * 8, buf, q->slice_entries * 8);
        if (result < 0) return result;
        for (uint64_t i = 0; i < q->slice_entries; i++) {
            uint64_t entry = GUINT64_FROM_LE(buf[i]);
            if (entry <= QED_ZERO_CLUSTER || at + i >= n) continue;
            guest = (l1_index * q->table_entries + at + i) * q->header.cluster_size;
            uint64_t now = check_entry(c, entry, guest);
            changed |= now != entry;
            buf[i] = GUINT64_TO_LE(now);
        }
        if (!changed) continue;
        result = vit_co_write(file_of(c), table + at * 8, buf, q->slice_entries * 8, 0);
        if (result < 0) return result;
    }
    return 0;
}

static int write_l1(Check *c)
{
    Qed *q = c->q;
    g_autofree uint64_t *buf = g_try_malloc(q->n_l1 * 8);

    if (!buf) return -ENOMEM;
    for (uint64_t i = 0; i < q->n_l1; i++) buf[i] = GUINT64_TO_LE(q->l1[i]);
    return vit_co_write(file_of(c), q->header.l1_table_offset, buf, q->n_l1 * 8, 0);
}

/* Entries past what the image's size asks for: they lead nowhere that can be read. */
static int check_rest_of_l1(Check *c, uint64_t *buf)
{
    Qed *q = c->q;

    for (uint64_t at = q->n_l1; at < q->table_entries;) {
        uint64_t n = MIN(q->slice_entries, q->table_entries - at), found = 0;
        uint64_t offset = q->header.l1_table_offset + at * 8;
        int result = vit_co_read(file_of(c), offset, buf, n * 8);
        for (uint64_t i = 0; i < n && result == 0; i++) {
            if (buf[i] == 0) continue;
            vit_block_check_say(c->result, "ERROR L1 entry %lu, 0x%lx: past the end of the disk",
                                (unsigned long)(at + i), (unsigned long)GUINT64_FROM_LE(buf[i]));
            found++;
            buf[i] = 0;
        }
        c->result->corruptions += found;
        if (found && (c->fix & VIT_FIX_ERRORS)) {
            result = vit_co_write(file_of(c), offset, buf, n * 8, 0);
            c->result->corruptions_fixed += found;
        }
        if (result < 0) return result;
        at += n;
    }
    return 0;
}

static int check_tables(Check *c)
{
    Qed *q = c->q;
    g_autofree uint64_t *buf = g_try_malloc(q->slice_entries * 8);
    bool changed = false;
    int result = 0;

    if (!buf) return -ENOMEM;
    for (uint64_t i = 0; i < q->n_l1 && result == 0; i++) {
        if (c->result->progress) c->result->progress(c->result->opaque, i, q->n_l1);
        if (q->l1[i] == 0) continue;
        bool inside = qed_offset_valid(q, q->l1[i], q->header.table_size, c->file_size);
        if (!inside || !use(c, q->l1[i], q->header.table_size)) {
            vit_block_check_say(c->result, "ERROR L1 entry %lu, 0x%lx: %s", (unsigned long)i,
                                (unsigned long)q->l1[i],
                                inside ? "the table is used twice"
                                       : "out of the image or unaligned");
            c->result->corruptions++;
            if (!(c->fix & VIT_FIX_ERRORS)) continue;
            q->l1[i] = inside ? copy_out(c, q->l1[i], q->table_entries * 8) : 0;
            changed = true;
            c->result->corruptions_fixed++;
            if (!inside || q->l1[i] == 0) continue;
        }
        result = check_l2(c, i, buf);
        if (result < 0) c->result->check_errors++;
    }
    if (result == 0) result = check_rest_of_l1(c, buf);
    return result == 0 && changed ? write_l1(c) : result;
}

/* Clusters that nobody uses; those at the end can go. */
static void count_leaks(Check *c)
{
    uint64_t cluster = c->q->header.cluster_size;
    uint64_t all = c->file_size / cluster + (c->file_size % cluster != 0);

    c->result->leaks = all > c->n_used ? all - c->n_used : 0;
    uint64_t at_end = all - (c->last + 1);
    if (!(c->fix & VIT_FIX_LEAKS) || at_end == 0 || c->result->check_errors ||
        c->result->corruptions > c->result->corruptions_fixed)
        return;
    if (!vit_co_truncate(file_of(c), (c->last + 1) * cluster, false, VIT_PREALLOC_OFF, NULL))
        return;
    c->q->end = (c->last + 1) * cluster;
    c->result->leaks_fixed = at_end;
}

int qed_check(VitBlockNode *node, VitBlockCheck *check, unsigned fix)
{
    Qed *q = (Qed *)node;
    uint64_t cluster = q->header.cluster_size;
    Check c = { .q = q,
                .result = check,
                .fix = fix,
                .used = g_hash_table_new_full(NULL, NULL, NULL, g_free),
                .file_size = node->file->node->size };

    vit_fiber_mutex_lock(&q->tables);
    check->total_clusters = (q->header.image_size + cluster - 1) / cluster;
    use(&c, 0, q->header.header_size);
    use(&c, q->header.l1_table_offset, q->header.table_size);
    int result = check_tables(&c);
    if (result == 0) count_leaks(&c);
    qed_forget_slices(q);
    g_hash_table_unref(c.used);
    if (result == 0 && fix) result = vit_co_flush(node->file->node);
    bool sound = result == 0 && check->check_errors == 0 &&
                 check->corruptions == check->corruptions_fixed;
    if (sound && fix && (q->header.features & QED_F_NEED_CHECK)) {
        q->header.features &= ~(uint64_t)QED_F_NEED_CHECK;
        result = qed_write_header(q);
        if (result == 0) result = vit_co_flush(node->file->node);
    }
    vit_fiber_mutex_unlock(&q->tables);
    return result;
}
