/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/snapshot-ops.c - internal snapshots: taking, going back, deleting, looking, machine
 * state
 *
 * A snapshot is a copy of the L1 table; every cluster below it has one reference more.  Refcounts
 * go up (durable) before the snapshot is in the table, and down after it has left: a crash between
 * leaves refcounts that are too high.  While they are, a version 3 image has its dirty bit set, so
 * that the next to open it puts them right. */
#include "block/bitmap.h"
#include "block/qcow2/meta.h"
#include "block/qcow2/snapshot.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <time.h>

/* ---- what each does first and last ----------------------------------------------------------- */

static bool begin(VitQcow2 *q, GError **error)
{
    VitBlockNode *node = &q->parent;

    if (node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” is read-only"),
                              node->filename);
    if (vit_qcow2_has_data_file(q))
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Operation not supported: “%s” has an external data file"),
                              node->filename);
    vit_co_drain_begin(node);
    vit_fiber_mutex_lock(&q->meta);
    int result = vit_qcow2_bulk_begin(q);
    if (result == 0) return true;
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(node);
    return vit_block_fail_errno(error, result, _("Could not write the tables of “%s”"),
                                node->filename);
}

static bool end(VitQcow2 *q, int result, GError **error)
{
    int last = vit_qcow2_bulk_end(q);

    if (result == 0) result = last;
    /* The bit was set by mark_dirty(); with lazy refcounts it goes when the image is closed. */
    if (result == 0 && q->version >= 3 && !q->lazy)
        result = vit_qcow2_set_incompatible(q, 0, VIT_QCOW2_DIRTY);
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(&q->parent);
    if (result == 0) return true;
    return vit_block_fail_errno(error, result, "“%s”", q->parent.filename);
}

/* What follows makes refcounts differ from what is referred to. */
static int mark_dirty(VitQcow2 *q)
{
    return q->version >= 3 ? vit_qcow2_set_incompatible(q, VIT_QCOW2_DIRTY, 0) : 0;
}

static GPtrArray *copy_list(const VitQcow2 *q)
{
    GPtrArray *list = g_ptr_array_copy(q->snapshots, NULL, NULL);

    g_ptr_array_set_free_func(list, NULL); /* until commit_list() */
    return list;
}

/* Stores a list of borrowed elements; then it owns them, and `gone` (NULL: none) is freed. */
static int commit_list(VitQcow2 *q, GPtrArray *list, VitQcow2Snapshot *gone)
{
    GPtrArray *old = g_ptr_array_ref(q->snapshots);
    int result = vit_qcow2_snapshots_store(q, list);

    if (result == 0) {
        g_ptr_array_set_free_func(old, NULL);
        g_ptr_array_set_free_func(list, vit_qcow2_snapshot_free);
        vit_qcow2_snapshot_free(gone);
    }
    g_ptr_array_unref(old);
    g_ptr_array_unref(list);
    return result;
}

static int write_active_l1(VitQcow2 *q)
{
    int result = vit_qcow2_bulk_write_l1(q, q->l1_offset, q->l1_size, q->l1);

    return result == 0 ? vit_qcow2_sync_files(q) : result;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static char *next_id(const VitQcow2 *q)
{
    uint64_t most = 0;

    for (guint i = 0; i < q->snapshots->len; i++) {
        const VitQcow2Snapshot *s = q->snapshots->pdata[i];
        most = MAX(most, g_ascii_strtoull(s->facts->id, NULL, 10));
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT, most + 1);
}

/* One reference more for all below the disk's part of the active L1 table. */
static int reference_active(VitQcow2 *q, uint32_t n)
{
    VitQcow2Counts counts = { 0 };
    int result = vit_qcow2_bulk_counts(q, &counts);

    if (result == 0) result = vit_qcow2_bulk_count_tree(q, &counts, q->l1, n);
    if (result == 0) result = vit_qcow2_bulk_apply(q, &counts, true);
    vit_qcow2_counts_clear(&counts);
    return result;
}

/* The L1 table of a snapshot: the active one without flags. */
static int copy_l1(VitQcow2 *q, VitQcow2Snapshot *s)
{
    s->l1_size = q->l1_size;
    if (q->l1_size == 0) return 0;
    int result = vit_qcow2_alloc(q, vit_qcow2_clusters(q, (uint64_t)q->l1_size * 8), &s->l1_offset);
    return result < 0 ? result : vit_qcow2_bulk_write_l1(q, s->l1_offset, q->l1_size, q->l1);
}

static int take(VitQcow2 *q, VitQcow2Snapshot *s)
{
    uint32_t disk = MIN(q->vm_state_index, q->l1_size);
    bool changed;
    /* The machine's state goes over to the snapshot: its references stay as many. */
    int result = reference_active(q, disk);

    if (result == 0) result = vit_qcow2_bulk_flags(q, q->l1, q->l1_size, NULL, &changed);
    if (result < 0) return result;
    vit_qcow2_cache_clean(&q->refcounts, true);
    result = copy_l1(q, s);
    if (result == 0 && disk < q->l1_size) {
        memset(q->l1 + disk, 0, (size_t)(q->l1_size - disk) * 8);
        changed = true;
    }
    if (result == 0) result = vit_qcow2_sync(q);
    if (result == 0 && changed) result = write_active_l1(q);
    if (result < 0) return result;
    GPtrArray *list = copy_list(q);
    g_ptr_array_add(list, s);
    result = commit_list(q, list, NULL);
    return result == 0 ? vit_qcow2_settle(q) : result;
}

static void fill_facts(VitQcow2 *q, VitBlockSnapshot *f)
{
    struct timespec now;

    if (f->date_sec == 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        f->date_sec = (uint32_t)now.tv_sec;
        f->date_nsec = (uint32_t)now.tv_nsec;
    }
    g_free(f->id);
    f->id = next_id(q);
    if (!f->name) f->name = g_strdup("");
    f->disk_size = q->parent.size;
}

bool vit_qcow2_co_snapshot_create(VitBlockNode *node, VitBlockSnapshot *snapshot, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (snapshot->name && strlen(snapshot->name) > UINT16_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("A snapshot's name has at most %d bytes"), UINT16_MAX);
    if (!begin(q, error)) return false;
    if (q->snapshots->len >= VIT_QCOW2_MAX_SNAPSHOTS) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("“%s” has %d snapshots, the most there can be; delete one first"),
                       node->filename, VIT_QCOW2_MAX_SNAPSHOTS);
        return end(q, 0, NULL) && false;
    }
    fill_facts(q, snapshot);
    VitQcow2Snapshot *s = g_new0(VitQcow2Snapshot, 1);
    s->facts = vit_block_snapshot_new();
    *s->facts = *snapshot;
    s->facts->id = g_strdup(snapshot->id);
    s->facts->name = g_strdup(snapshot->name);
    int result = mark_dirty(q);
    if (result == 0) result = take(q, s);
    if (result < 0) vit_qcow2_snapshot_free(s);
    if (result == -ERANGE) {
        vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                       _("“%s”: refcounts of %u bits cannot count another snapshot; delete one or "
                         "amend refcount_bits"),
                       node->filename, q->refcount_bits);
        return end(q, 0, NULL) && false; /* nothing was changed */
    }
    return end(q, result, error);
}

/* ---- deleting -------------------------------------------------------------------------------- */

/* Takes the references of an L1 table that nothing leads to any more, and of the clusters it lies
 * in. */
static int drop_tree(VitQcow2 *q, uint64_t *l1, uint64_t offset, uint32_t n)
{
    VitQcow2Counts counts = { 0 };
    bool changed = false;
    int result = vit_qcow2_bulk_counts(q, &counts);

    if (result == 0) result = vit_qcow2_bulk_count_tree(q, &counts, l1, n);
    if (result == 0) result = vit_qcow2_bulk_count_range(q, &counts, offset, (uint64_t)n * 8);
    if (result == 0) result = vit_qcow2_bulk_apply(q, &counts, false);
    /* What is now the active tables' alone may be written in place again. */
    if (result == 0) result = vit_qcow2_bulk_flags(q, q->l1, q->l1_size, &counts, &changed);
    if (result == 0 && changed)
        result = vit_qcow2_bulk_write_l1(q, q->l1_offset, q->l1_size, q->l1);
    if (result == 0) result = vit_qcow2_sync_files(q);
    vit_qcow2_counts_clear(&counts);
    return result;
}

static int drop(VitQcow2 *q, guint index)
{
    VitQcow2Snapshot *s = q->snapshots->pdata[index];
    uint64_t offset = s->l1_offset;
    uint32_t n = s->l1_size;
    g_autofree uint64_t *l1 = g_try_new(uint64_t, (size_t)n + 1);
    int result = l1 ? vit_qcow2_bulk_read_l1(q, offset, n, l1) : -ENOMEM;

    if (result == 0) result = mark_dirty(q);
    if (result < 0) return result;
    GPtrArray *list = copy_list(q);
    g_ptr_array_remove_index(list, index);
    result = commit_list(q, list, s);
    if (result == 0) result = vit_qcow2_settle(q);
    if (result < 0) return result;
    vit_qcow2_cache_clean(&q->refcounts, true);
    return drop_tree(q, l1, offset, n);
}

bool vit_qcow2_co_snapshot_delete(VitBlockNode *node, const char *id_or_name, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    int index = vit_qcow2_snapshot_find(q, id_or_name);

    if (index < 0) return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("snapshot not found"));
    if (!vit_qcow2_snapshot_usable(q, q->snapshots->pdata[index], error)) return false;
    if (!begin(q, error)) return false;
    return end(q, drop(q, (guint)index), error);
}

/* ---- going back ------------------------------------------------------------------------------ */

/* Makes the header lead to another L1 table, with the disk's size that goes with it, in one write.
 */
static int switch_header(VitQcow2 *q, uint64_t l1_offset, uint32_t l1_size, uint64_t size)
{
    uint8_t field[VIT_QCOW2_H_RT_OFFSET - VIT_QCOW2_H_SIZE];
    uint8_t *p = field - VIT_QCOW2_H_SIZE;

    vit_put64(p + VIT_QCOW2_H_SIZE, size);
    vit_put32(p + VIT_QCOW2_H_CRYPT_METHOD, q->crypt_method);
    vit_put32(p + VIT_QCOW2_H_L1_SIZE, l1_size);
    vit_put64(p + VIT_QCOW2_H_L1_OFFSET, l1_offset);
    return vit_qcow2_write_field(q, VIT_QCOW2_H_SIZE, field, sizeof field);
}

/* Puts the L1 table of a snapshot, on the disk already, into the place of the active one. */
static void adopt_l1(VitQcow2 *q, uint64_t *l1, uint32_t n, uint64_t offset, uint64_t size)
{
    uint64_t span = UINT64_C(1) << vit_qcow2_l1_shift(q);

    g_free(q->l1);
    g_free(q->l1_dirty);
    q->l1 = l1;
    q->l1_size = n;
    q->l1_offset = offset;
    q->l1_dirty = g_new0(uint64_t, (size_t)n / 64 / 64 + 1);
    q->l1_is_dirty = false;
    q->vm_state_index = (uint32_t)(size / span + (size % span != 0));
    __atomic_store_n(&q->parent.size, size, __ATOMIC_RELAXED);
}

static int go_to(VitQcow2 *q, const VitQcow2Snapshot *s)
{
    uint64_t size = s->facts->disk_size, span = UINT64_C(1) << vit_qcow2_l1_shift(q), offset = 0;
    uint64_t need = size / span + (size % span != 0), old_offset = q->l1_offset;
    uint32_t n = (uint32_t)MAX((uint64_t)s->l1_size, need), old_n = q->l1_size;
    VitQcow2Counts counts = { 0 };
    bool changed;

    if (need > VIT_QCOW2_MAX_L1_BYTES / 8) return -EFBIG;
    g_autofree uint64_t *l1 = g_try_new0(uint64_t, (size_t)n + 1);
    g_autofree uint64_t *old = g_try_new0(uint64_t, (size_t)old_n + 1);
    if (!l1 || !old) return -ENOMEM;
    memcpy(old, q->l1, (size_t)old_n * 8);
    int result = vit_qcow2_bulk_read_l1(q, s->l1_offset, s->l1_size, l1);
    if (result == 0) result = vit_qcow2_bulk_counts(q, &counts);
    if (result == 0) result = vit_qcow2_bulk_count_tree(q, &counts, l1, n);
    if (result == 0) result = mark_dirty(q);
    if (result == 0) result = vit_qcow2_bulk_apply(q, &counts, true);
    vit_qcow2_counts_clear(&counts);
    if (result == 0) result = vit_qcow2_bulk_flags(q, l1, n, NULL, &changed);
    if (result < 0) return result;
    vit_qcow2_cache_clean(&q->refcounts, true);
    result = vit_qcow2_alloc(q, MAX(vit_qcow2_clusters(q, (uint64_t)n * 8), 1), &offset);
    if (result == 0) result = vit_qcow2_bulk_write_l1(q, offset, n, l1);
    if (result == 0) result = vit_qcow2_sync(q);
    if (result == 0) result = vit_qcow2_sync_files(q);
    if (result == 0) result = switch_header(q, offset, n, size);
    if (result < 0) return result;
    adopt_l1(q, g_steal_pointer(&l1), n, offset, size);
    result = vit_qcow2_settle(q);
    vit_qcow2_cache_clean(&q->refcounts, true);
    vit_qcow2_cache_clean(&q->l2, true);
    return result < 0 ? result : drop_tree(q, old, old_offset, old_n);
}

bool vit_qcow2_co_snapshot_goto(VitBlockNode *node, const char *id_or_name, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    int index = vit_qcow2_snapshot_find(q, id_or_name);

    if (index < 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Failed to load snapshot: No such file or directory"));
    const VitQcow2Snapshot *s = q->snapshots->pdata[index];
    if (!vit_qcow2_snapshot_usable(q, s, error)) return false;
    if (node->size != s->facts->disk_size && q->bitmaps.count)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: the snapshot's disk has another size, and the image has "
                                "bitmaps; remove them first"),
                              node->filename);
    if (!begin(q, error)) return false;
    int result = go_to(q, s);
    if (node->bitmaps) vit_block_bitmaps_mark(node, 0, node->size); /* all may have changed */
    return end(q, result, error);
}

/* ---- looking --------------------------------------------------------------------------------- */

bool vit_qcow2_co_snapshot_list(VitBlockNode *node, GPtrArray *list, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    for (guint i = 0; i < q->snapshots->len; i++) {
        const VitQcow2Snapshot *s = q->snapshots->pdata[i];
        VitBlockSnapshot *f = vit_block_snapshot_new();
        *f = *s->facts;
        f->id = g_strdup(s->facts->id);
        f->name = g_strdup(s->facts->name);
        g_ptr_array_add(list, f);
    }
    return true;
}

bool vit_qcow2_co_snapshot_load(VitBlockNode *node, const char *id_or_name, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    int index = vit_qcow2_snapshot_find(q, id_or_name);

    if (!node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Device is not readonly; open it read-only to look at a "
                                "snapshot"),
                              node->filename);
    if (index < 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Failed to load snapshot: Can't find snapshot"));
    const VitQcow2Snapshot *s = q->snapshots->pdata[index];
    if (!vit_qcow2_snapshot_usable(q, s, error)) return false;
    g_autofree uint64_t *l1 = g_try_new0(uint64_t, (size_t)s->l1_size + 1);
    vit_co_drain_begin(node);
    vit_fiber_mutex_lock(&q->meta);
    int result = l1 ? vit_qcow2_bulk_read_l1(q, s->l1_offset, s->l1_size, l1) : -ENOMEM;
    if (result == 0) {
        vit_qcow2_cache_clean(&q->l2, true);
        adopt_l1(q, g_steal_pointer(&l1), s->l1_size, s->l1_offset, s->facts->disk_size);
    }
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(node);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s”: Could not read the snapshot"),
                                node->filename);
}

/* ---- the machine's state, behind the disk ---------------------------------------------------- */

static int vm_state_range(VitQcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *at)
{
    uint64_t base = (uint64_t)q->vm_state_index << vit_qcow2_l1_shift(q), last;

    if (__builtin_add_overflow(base, offset, at) || __builtin_add_overflow(*at, bytes, &last) ||
        last > INT64_MAX)
        return -EFBIG;
    return 0;
}

int vit_qcow2_co_load_vmstate(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = { buf, bytes };
    uint64_t at;
    int result = vm_state_range((VitQcow2 *)node, offset, bytes, &at);

    vit_co_event(node->file->node, VIT_EVENT_VMSTATE_LOAD);
    return result < 0 ? result : vit_qcow2_co_read(node, at, bytes, &iov, 1);
}

int vit_qcow2_co_save_vmstate(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes)
{
    struct iovec iov = { (void *)buf, bytes };
    uint64_t at;
    int result = vm_state_range((VitQcow2 *)node, offset, bytes, &at);

    if (node->how.read_only) return -EROFS;
    vit_co_event(node->file->node, VIT_EVENT_VMSTATE_SAVE);
    return result < 0 ? result : vit_qcow2_co_write(node, at, bytes, &iov, 1, 0);
}
