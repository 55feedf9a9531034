/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/check.c - consistency of an image: goes through all tables and counts who refers to
 * which cluster, repairing entries that lead nowhere
 *
 * An entry that leads out of the file or into the middle of a cluster reads as zeroes at best:
 * repaired, it says so.  What was counted is then compared with the refcounts (check-refcounts.c).
 */
#include "block/qcow2/check.h"
#include "block/qcow2/meta.h"

#include <errno.h>
#include <inttypes.h>

enum { MOST_FLAG_MESSAGES = 100000 };

bool vit_qcow2_check_use(VitQcow2Check *c, uint64_t offset, uint64_t bytes)
{
    VitQcow2 *q = c->q;
    uint64_t end, size = q->parent.file->node->size;

    if (bytes == 0) return true;
    if (__builtin_add_overflow(offset, bytes, &end) ||
        (end > size && end - size >= q->cluster_size)) {
        vit_block_check_say(c->result,
                            "ERROR: counting reference for region exceeding the end of the file by "
                            "one cluster or more: offset 0x%" PRIx64 " size 0x%" PRIx64,
                            offset, bytes);
        c->result->corruptions++;
        return false;
    }
    for (uint64_t i = offset >> q->cluster_bits; i <= (end - 1) >> q->cluster_bits; i++)
        vit_qcow2_counts_add(&c->refs, i);
    return true;
}

/* ---- L2 entries ------------------------------------------------------------------------------ */

/* Where `entry` led to cannot be: it is to say zero (as far as the version can). */
static VitQcow2Entry lost(const VitQcow2 *q, VitQcow2Entry e)
{
    if (q->subclusters > 1) return (VitQcow2Entry){ 0, (e.bitmap | e.bitmap << 32) >> 32 << 32 };
    return (VitQcow2Entry){ q->version >= 3 ? VIT_QCOW2_ZERO_BIT : 0, 0 };
}

static void flag_error(VitQcow2Check *c, char *message /* owned */)
{
    c->flag_errors++;
    if (c->flag_messages->len < MOST_FLAG_MESSAGES && c->result->message)
        g_ptr_array_add(c->flag_messages, message);
    else g_free(message);
}

static void look_at_flag(VitQcow2Check *c, uint64_t entry)
{
    uint64_t offset = entry & VIT_QCOW2_OFFSET_MASK;
    uint32_t count = vit_qcow2_counts_get(&c->stored, offset >> c->q->cluster_bits);

    if ((count == 1) == ((entry & VIT_QCOW2_COPIED) != 0)) return;
    flag_error(c,
               g_strdup_printf("ERROR OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%u",
                               entry, count));
}

static void place(VitQcow2Check *c, uint64_t offset)
{
    if (!c->fragments) return;
    c->result->allocated_clusters++;
    if (c->next && offset != c->next) c->result->fragmented_clusters++;
    c->next = offset + c->q->cluster_size;
}

static VitQcow2Entry check_compressed(VitQcow2Check *c, VitQcow2Entry e, bool mend)
{
    VitQcow2 *q = c->q;
    uint64_t offset, bytes;

    vit_qcow2_compressed(q, e.entry, &offset, &bytes);
    if (vit_qcow2_has_data_file(q)) {
        vit_block_check_say(c->result, "ERROR compressed cluster with data file, entry=0x%" PRIx64,
                            e.entry);
        c->result->corruptions++;
        if (!mend) return e;
        c->result->corruptions_fixed++;
        return lost(q, e);
    }
    if (c->fragments) {
        c->result->allocated_clusters++;
        c->result->compressed_clusters++;
        c->result->fragmented_clusters++;
    }
    if (e.entry & VIT_QCOW2_COPIED) {
        vit_block_check_say(c->result,
                            "%s: coffset=0x%" PRIx64
                            ": copied flag must never be set for compressed clusters",
                            mend ? "Repairing" : "ERROR", offset);
        c->result->corruptions++;
        c->result->corruptions_fixed += mend;
        if (mend) e.entry &= ~VIT_QCOW2_COPIED;
    }
    if (vit_qcow2_check_use(c, offset, bytes) || !mend) return e;
    c->result->corruptions_fixed++;
    return lost(q, e);
}

/* Anything but the plain case of check_table().  Returns what the entry is to be. */
static VitQcow2Entry check_entry(VitQcow2Check *c, VitQcow2Entry e, bool mend)
{
    VitQcow2 *q = c->q;
    uint64_t offset = e.entry & VIT_QCOW2_OFFSET_MASK;
    bool zero = q->subclusters == 1 && q->version >= 3 && (e.entry & VIT_QCOW2_ZERO_BIT);

    if (e.entry & VIT_QCOW2_COMPRESSED_BIT) return check_compressed(c, e, mend);
    uint64_t reserved = VIT_QCOW2_L2_RESERVED | (q->subclusters > 1 ? VIT_QCOW2_ZERO_BIT : 0);
    if (e.entry & reserved) {
        vit_block_check_say(c->result, "%s found l2 entry with reserved bits set: %" PRIx64,
                            mend ? "Repairing" : "ERROR", e.entry);
        c->result->corruptions++;
        c->result->corruptions_fixed += mend;
        if (mend) e.entry &= ~reserved;
    }
    if (q->subclusters > 1 && (e.bitmap & e.bitmap >> 32 & UINT32_MAX)) {
        vit_block_check_say(c->result, "%s subclusters that are both allocated and zero: %" PRIx64,
                            mend ? "Repairing" : "ERROR", e.bitmap);
        c->result->corruptions++;
        c->result->corruptions_fixed += mend;
        if (mend) e.bitmap &= ~(e.bitmap >> 32 & e.bitmap & UINT32_MAX);
    }
    if (offset == 0 && !(vit_qcow2_has_data_file(q) && (e.entry & VIT_QCOW2_COPIED))) return e;
    if (offset & (q->cluster_size - 1)) {
        vit_block_check_say(c->result,
                            "%s offset=%" PRIx64 ": %s is not properly aligned; L2 "
                            "entry corrupted.",
                            mend ? "Repairing" : "ERROR", offset,
                            zero ? "Preallocated cluster" : "Data cluster");
        c->result->corruptions++;
        c->result->corruptions_fixed += mend;
        if (mend) return lost(q, e);
    }
    if (vit_qcow2_has_data_file(q)) {
        place(c, offset);
        return e;
    }
    if (!vit_qcow2_check_use(c, offset, q->cluster_size)) {
        place(c, offset);
        if (!mend) return e;
        c->result->corruptions_fixed++;
        return lost(q, e);
    }
    place(c, offset);
    if (c->active) look_at_flag(c, e.entry);
    return e;
}

static int check_table(void *opaque, uint64_t index, uint8_t *table, int error)
{
    VitQcow2Check *c = opaque;
    VitQcow2 *q = c->q;
    uint64_t table_cluster = (c->l1[index] & VIT_QCOW2_OFFSET_MASK) >> q->cluster_bits;
    uint64_t odd = ~(VIT_QCOW2_COPIED | (VIT_QCOW2_OFFSET_MASK & ~(q->cluster_size - 1)));
    bool plain = q->subclusters == 1 && !vit_qcow2_has_data_file(q);
    bool changed = false;

    c->done++;
    c->next = 0;
    if (c->result->progress) c->result->progress(c->result->opaque, c->done, c->total);
    if (!table) {
        vit_block_check_say(c->result, "ERROR: I/O error in check_refcounts_l2: %s",
                            g_strerror(-error));
        c->result->check_errors++;
        return 0;
    }
    /* What is a table of another kind as well is left as it is. */
    bool mend = (c->fix & VIT_FIX_ERRORS) && vit_qcow2_counts_get(&c->refs, table_cluster) == 1;
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2_entry_size) {
        VitQcow2Entry e = { vit_get64(table + at), 0 };
        if (q->l2_entry_size == 16) e.bitmap = vit_get64(table + at + 8);
        else if (e.entry == 0) continue;
        uint64_t cluster = (e.entry & VIT_QCOW2_OFFSET_MASK) >> q->cluster_bits;
        if (plain && (e.entry & odd) == 0 && cluster < c->file_clusters) {
            vit_qcow2_counts_add(&c->refs, cluster);
            place(c, cluster << q->cluster_bits);
            if (c->active) look_at_flag(c, e.entry);
            continue;
        }
        VitQcow2Entry now = check_entry(c, e, mend);
        if (now.entry == e.entry && now.bitmap == e.bitmap) continue;
        vit_put64(table + at, now.entry);
        if (q->l2_entry_size == 16) vit_put64(table + at + 8, now.bitmap);
        changed = true;
    }
    return changed;
}

/* ---- L1 tables ------------------------------------------------------------------------------- */

/* Counts the L2 tables; entries that lead nowhere become 0 in `walk`, and in l1 when repaired. */
static bool check_l1(VitQcow2Check *c, uint64_t *l1, uint64_t *walk, uint64_t n)
{
    VitQcow2 *q = c->q;
    bool mend = c->fix & VIT_FIX_ERRORS, changed = false;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t entry = l1[i], offset = entry & VIT_QCOW2_OFFSET_MASK;
        walk[i] = 0;
        if (entry == 0) continue;
        if (entry & VIT_QCOW2_L1_RESERVED & ~VIT_QCOW2_OFFSET_MASK) {
            vit_block_check_say(c->result, "%s found L1 entry with reserved bits set: %" PRIx64,
                                mend ? "Repairing" : "ERROR", entry);
            c->result->corruptions++;
            if (mend) {
                l1[i] = entry &= ~VIT_QCOW2_L1_RESERVED;
                c->result->corruptions_fixed++;
                changed = true;
            }
        }
        if (offset == 0) continue;
        bool good = (offset & (q->cluster_size - 1)) == 0;
        if (!good) {
            vit_block_check_say(c->result,
                                "%s l2_offset=%" PRIx64
                                ": Table is not cluster aligned; L1 entry corrupted",
                                mend ? "Repairing" : "ERROR", offset);
            c->result->corruptions++;
        } else {
            good = vit_qcow2_check_use(c, offset, q->cluster_size);
        }
        if (good) {
            walk[i] = entry;
            uint32_t count = vit_qcow2_counts_get(&c->stored, offset >> q->cluster_bits);
            if (c->active && (count == 1) != ((entry & VIT_QCOW2_COPIED) != 0))
                flag_error(c, g_strdup_printf("ERROR OFLAG_COPIED L2 cluster: l1_index=%u "
                                              "l1_entry=%" PRIx64 " refcount=%u",
                                              (unsigned)i, entry, count));
        } else if (mend) {
            l1[i] = 0;
            c->result->corruptions_fixed++;
            changed = true;
        }
    }
    return changed;
}

static int check_tree(VitQcow2Check *c, uint64_t *l1, uint64_t l1_offset, uint64_t n, bool active)
{
    VitQcow2 *q = c->q;
    g_autofree uint64_t *walk = g_try_new(uint64_t, n + 1);

    if (!walk) return -ENOMEM;
    c->active = c->fragments = active;
    bool changed = check_l1(c, l1, walk, n);
    c->l1 = walk;
    c->total += n;
    int result = vit_qcow2_walk(q, walk, n, VIT_QCOW2_OFFSET_MASK, check_table, c);
    c->l1 = NULL;
    if (result == 0 && changed) result = vit_qcow2_bulk_write_l1(q, l1_offset, n, l1);
    return result;
}

static int check_snapshot(VitQcow2Check *c, const VitQcow2Snapshot *s)
{
    VitQcow2 *q = c->q;
    if (s->l1_size == 0 || s->broken) return 0;
    g_autofree uint64_t *l1 = g_try_new(uint64_t, (size_t)s->l1_size + 1);
    if (!l1) return -ENOMEM;
    int result = vit_qcow2_bulk_read_l1(q, s->l1_offset, s->l1_size, l1);
    return result < 0 ? result : check_tree(c, l1, s->l1_offset, s->l1_size, false);
}

static void check_snapshot_table(VitQcow2Check *c, const VitQcow2Snapshot *s)
{
    VitQcow2 *q = c->q;
    bool aligned = (s->l1_offset & (q->cluster_size - 1)) == 0;

    c->snapshots_broken |= s->broken != NULL;
    if (aligned && s->l1_size <= VIT_QCOW2_MAX_L1_BYTES / 8) {
        vit_qcow2_check_use(c, s->l1_offset, (uint64_t)s->l1_size * 8);
        return;
    }
    c->result->corruptions++;
    vit_block_check_say(c->result, "ERROR snapshot %s (%s) %s=%#" PRIx64 ": L1 table is %s; "
                        "snapshot table entry corrupted",
                        s->facts->id, s->facts->name, aligned ? "l1_size" : "l1_offset",
                        aligned ? s->l1_size : s->l1_offset,
                        aligned ? "too large" : "not cluster aligned");
}

/* ---- all ------------------------------------------------------------------------------------- */

/* The tables themselves first, so that what lies in the same place is noticed. */
static int check_references(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;

    vit_qcow2_check_use(c, 0, q->cluster_size);
    vit_qcow2_check_use(c, q->l1_offset, (uint64_t)q->l1_size * 8);
    vit_qcow2_check_use(c, q->rt_offset, (uint64_t)q->rt_clusters << q->cluster_bits);
    vit_qcow2_check_use(c, q->snapshots_offset, q->snapshots_bytes);
    vit_qcow2_check_use(c, q->crypto_header.offset, q->crypto_header.length);
    for (guint i = 0; i < q->snapshots->len; i++) check_snapshot_table(c, q->snapshots->pdata[i]);
    vit_qcow2_check_use_blocks(c);
    int result = vit_qcow2_check_bitmaps(c);
    if (result == 0) result = check_tree(c, q->l1, q->l1_offset, q->l1_size, true);
    for (guint i = 0; i < q->snapshots->len && result == 0; i++)
        result = check_snapshot(c, q->snapshots->pdata[i]);
    if (result == 0 && c->refs.full) {
        vit_block_check_say(c->result, "ERROR: a cluster has more references than can be counted");
        result = -EFBIG;
    }
    return result;
}

static void tell_flags(VitQcow2Check *c)
{
    c->result->corruptions += c->flag_errors;
    for (guint i = 0; i < c->flag_messages->len; i++)
        vit_block_check_say(c->result, "%s", (const char *)c->flag_messages->pdata[i]);
}

static int check_counts(VitQcow2Check *c)
{
    int result = vit_qcow2_check_compare(c, false);

    if (result < 0) return result;
    if (c->fix == 0) {
        tell_flags(c);
        return 0;
    }
    /* What nobody seems to use may be what such a snapshot has. */
    if (c->snapshots_broken) c->fix &= ~(unsigned)VIT_FIX_LEAKS;
    if (c->rebuild && (c->snapshots_broken || !(c->fix & VIT_FIX_ERRORS))) {
        vit_block_check_say(c->result, "ERROR need to rebuild refcount structures");
        c->result->check_errors++;
        return -EIO;
    }
    if (c->rebuild) {
        vit_block_check_say(c->result, "Rebuilding refcount structure");
        result = vit_qcow2_check_rebuild(c);
    } else if (c->result->leaks || c->result->corruptions > c->result->corruptions_fixed) {
        result = vit_qcow2_check_compare(c, true);
    }
    if (result == 0 && (c->flag_errors || c->counts_changed)) result = vit_qcow2_check_fix_flags(c);
    return result;
}

static int check(VitQcow2Check *c)
{
    VitQcow2 *q = c->q;
    int result = vit_qcow2_counts_init(&c->refs, c->file_clusters + 1, q->refcount_bits);

    if (result == 0) result = vit_qcow2_counts_init(&c->stored, c->file_clusters + 1, 8);
    if (result == 0) result = vit_qcow2_check_load_counts(c);
    if (result == 0) result = check_references(c);
    if (result == 0) result = check_counts(c);
    if (result < 0 || c->fix == 0) return result;
    result = vit_qcow2_sync_files(q);
    bool sound = c->result->check_errors == 0 &&
                 c->result->corruptions == c->result->corruptions_fixed;
    if (result == 0 && sound && q->version >= 3)
        result = vit_qcow2_set_incompatible(q, 0, VIT_QCOW2_DIRTY | VIT_QCOW2_CORRUPT);
    return result;
}

int vit_qcow2_co_check(VitBlockNode *node, VitBlockCheck *found, unsigned fix)
{
    VitQcow2 *q = (VitQcow2 *)node;
    VitQcow2Check c = { .q = q, .result = found, .fix = node->how.read_only ? 0 : fix };

    vit_co_drain_begin(node);
    vit_fiber_mutex_lock(&q->meta);
    int result = node->how.read_only ? 0 : vit_qcow2_bulk_begin(q);
    if (result == 0) {
        found->total_clusters = vit_qcow2_clusters(q, node->size);
        c.file_clusters = vit_qcow2_clusters(q, node->file->node->size);
        c.flag_messages = g_ptr_array_new_with_free_func(g_free);
        result = check(&c);
        vit_qcow2_counts_clear(&c.refs);
        vit_qcow2_counts_clear(&c.stored);
        g_ptr_array_unref(c.flag_messages);
        g_free(c.blocks);
    }
    if (result == 0 && c.fix) {
        q->free_hint = q->byte_hint = 0;
        result = vit_qcow2_bulk_end(q);
    }
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(node);
    return result;
}
