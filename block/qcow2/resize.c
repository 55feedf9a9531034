/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/resize.c - other sizes of the disk, and clusters made in advance */
#include "block/qcow2/qcow2.h"

#include "block/job.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { ZERO_PIECE = 1 << 20 };

/* ---- preallocation --------------------------------------------------------------------------- */

/* Maps [offset, end) of one L2 slice where nothing is mapped yet; meta is held.  *to: end of the
 * host clusters that were taken. */
static int allocate_slice(VitQcow2 *q, uint64_t offset, uint64_t end, bool has_backing,
                          uint64_t *done, uint64_t *to)
{
    VitQcow2Slice *s;
    unsigned index, count;
    int result = vit_qcow2_l2_writable(q, offset, &s, &index, &count);

    if (result < 0) return result;
    uint64_t n = MIN(count, vit_qcow2_clusters(q, end - offset)), host = offset;
    VitQcow2Entry first = vit_qcow2_entry_get(q, s, index);
    if (first.entry || first.bitmap) n = 1; /* stays as it is */
    else {
        uint64_t run = 1;
        for (VitQcow2Entry e; run < n; run++) {
            e = vit_qcow2_entry_get(q, s, index + (unsigned)run);
            if (e.entry || e.bitmap) break;
        }
        n = run;
        bool zeroed = true;
        if (!vit_qcow2_has_data_file(q)) result = vit_qcow2_alloc_some(q, &n, &host, &zeroed);
        if (result == 0 && !zeroed)
            result = vit_co_zero(q->parent.file->node, host, n << q->cluster_bits, 0);
        uint64_t bits = q->subclusters == 1 || has_backing ? 0 : UINT64_C(0xffffffff);
        for (uint64_t i = 0; i < n && result == 0; i++)
            vit_qcow2_entry_set(
                q, s, index + (unsigned)i,
                (VitQcow2Entry){ (host + (i << q->cluster_bits)) | VIT_QCOW2_COPIED, bits });
        q->unsynced = true;
        *to = MAX(*to, host + (n << q->cluster_bits));
    }
    vit_qcow2_cache_put(s);
    *done = n << q->cluster_bits;
    return result;
}

bool vit_qcow2_preallocate(VitQcow2 *q, uint64_t from, uint64_t to, VitPrealloc mode,
                           bool has_backing, GError **error)
{
    uint64_t mask = q->cluster_size - 1, host_end = 0;
    VitBlockNode *data = q->data->node;
    int result = 0;

    if (mode == VIT_PREALLOC_OFF || from >= to) return true;
    /* The data file is as long as the disk, whatever else happens. */
    if (vit_qcow2_has_data_file(q)) host_end = to;
    /* Beside the data of the other modes the metadata take no time. */
    bool counts = mode == VIT_PREALLOC_METADATA;
    if (counts) vit_co_work_expect(q->parent.thread, to - (from & ~mask));
    vit_fiber_mutex_lock(&q->meta);
    for (uint64_t at = from & ~mask, done; at < to && result == 0; at += done) {
        result = allocate_slice(q, at, to, has_backing, &done, &host_end);
        if (result == 0) result = vit_co_work_done(q->parent.thread, counts ? done : 0);
    }
    vit_fiber_mutex_unlock(&q->meta);
    if (result < 0) return vit_block_fail_errno(error, result, _("Could not preallocate metadata"));
    if (host_end <= data->size) return true;
    return vit_co_truncate(data, host_end, false,
                           mode == VIT_PREALLOC_METADATA ? VIT_PREALLOC_OFF : mode, error);
}

/* ---- the size -------------------------------------------------------------------------------- */

static uint64_t l1_entries(const VitQcow2 *q, uint64_t size)
{
    unsigned shift = vit_qcow2_l1_shift(q);

    return (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0);
}

static int write_size(VitQcow2 *q, uint64_t size)
{
    uint8_t field[8];

    vit_put64(field, size);
    int result = vit_qcow2_write_field(q, VIT_QCOW2_H_SIZE, field, sizeof field);
    if (result == 0) {
        __atomic_store_n(&q->parent.size, size, __ATOMIC_RELAXED);
        q->vm_state_index = (uint32_t)l1_entries(q, size);
    }
    return result;
}

/* The node itself is drained: not by requests. */
static int zero_here(VitQcow2 *q, uint64_t from, uint64_t to, uint32_t flags)
{
    int result = vit_qcow2_co_write_zeroes(&q->parent, from, to - from, flags);
    g_autofree uint8_t *zeroes = NULL;

    if (result != -ENOTSUP) return result;
    zeroes = g_malloc0(ZERO_PIECE);
    for (result = 0; from < to && result == 0;) {
        struct iovec iov = { zeroes, MIN(to - from, ZERO_PIECE) };
        result = vit_qcow2_write_range(q, from, iov.iov_len, &iov, 1);
        from += iov.iov_len;
    }
    return result;
}

/* What the backing file or an earlier, larger disk has there must not come to light. */
static int hide_old_content(VitQcow2 *q, uint64_t from, uint64_t to)
{
    uint64_t mask = q->cluster_size - 1, edge = MIN((from + mask) & ~mask, to);
    const VitBlockEdge *backing = q->parent.backing;
    int result = 0;

    if (from < edge) result = zero_here(q, from, edge, 0);
    if (result == 0 && backing && backing->node->size > edge && to > edge)
        result = zero_here(q, edge, MIN(to, backing->node->size), VIT_BLOCK_MAY_UNMAP);
    return result;
}

/* Unmaps the clusters of one slice from offset on; *step: to its end. */
static int unmap_slice(VitQcow2 *q, uint64_t offset, uint64_t *step)
{
    VitQcow2Slice *s;
    unsigned index, count;
    int result = vit_qcow2_l2_writable(q, offset, &s, &index, &count);

    if (result < 0) return result;
    *step = (uint64_t)count << q->cluster_bits;
    for (unsigned i = 0; i < count; i++) {
        VitQcow2Entry e = vit_qcow2_entry_get(q, s, index + i);
        if (!e.entry && !e.bitmap) continue;
        vit_qcow2_entry_set(q, s, index + i, (VitQcow2Entry){ 0, 0 });
        vit_qcow2_free_entry(q, e.entry, VIT_QCOW2_FREE_REQUEST);
    }
    vit_qcow2_cache_put(s);
    return 0;
}

/* Drops an L2 table and all that it leads to. */
static int unmap_table(VitQcow2 *q, uint64_t l1_index)
{
    uint64_t table = q->l1[l1_index] & VIT_QCOW2_OFFSET_MASK;
    uint64_t guest = l1_index << vit_qcow2_l1_shift(q);

    if (table == 0) return 0;
    for (uint64_t done = 0; done < UINT64_C(1) << vit_qcow2_l1_shift(q);) {
        VitQcow2Slice *s;
        unsigned index, count;
        int result = vit_qcow2_l2_slice(q, guest + done, &s, &index, &count);
        if (result < 0) return result;
        for (unsigned i = 0; i < count; i++) {
            VitQcow2Entry e = vit_qcow2_entry_get(q, s, index + i);
            if (vit_qcow2_type(q, e, 0) == VIT_QCOW2_INVALID)
                result = vit_qcow2_corrupt(q, "invalid L2 entry 0x%" PRIx64, e.entry);
            else vit_qcow2_free_entry(q, e.entry, VIT_QCOW2_FREE_REQUEST);
        }
        vit_qcow2_cache_put(s);
        if (result < 0) return result;
        done += (uint64_t)count << q->cluster_bits;
    }
    vit_qcow2_l1_set(q, (uint32_t)l1_index, 0);
    vit_qcow2_cache_forget(&q->l2, table, q->cluster_size);
    vit_qcow2_free(q, table, q->cluster_size, VIT_QCOW2_FREE_OTHER);
    return 0;
}

int vit_qcow2_unmap_tail(VitQcow2 *q, uint64_t offset)
{
    uint64_t whole = l1_entries(q, offset), end = whole << vit_qcow2_l1_shift(q), step;
    int result = 0;

    if (whole > 0 && (q->l1[whole - 1] & VIT_QCOW2_OFFSET_MASK)) {
        for (uint64_t at = offset; at < end && result == 0; at += step)
            result = unmap_slice(q, at, &step);
    }
    for (uint64_t i = whole; i < q->vm_state_index && result == 0; i++) result = unmap_table(q, i);
    return result;
}

/* meta is held.  Cuts the file behind the last cluster in use. */
static void cut_file(VitQcow2 *q)
{
    VitBlockNode *file = q->parent.file->node;
    uint64_t end = vit_qcow2_clusters(q, file->size), count = 0;
    uint64_t before = end;

    while (end > 1) {
        if (vit_qcow2_refcount_get(q, (end - 1) << q->cluster_bits, &count) < 0) return;
        if (count) break;
        end--;
    }
    if (end < before && file->driver->co_truncate)
        (void)vit_co_truncate(file, end << q->cluster_bits, false, VIT_PREALLOC_OFF, NULL);
}

/* What was allocated past the end, in all tables that the disk was to have, when it does not grow
 * after all. */
static void give_back(VitQcow2 *q, uint64_t end)
{
    uint64_t mask = q->cluster_size - 1;

    vit_fiber_mutex_lock(&q->meta);
    if (vit_qcow2_unmap_tail(q, (end + mask) & ~mask) == 0 && vit_qcow2_sync(q) == 0 &&
        !vit_qcow2_has_data_file(q))
        cut_file(q);
    vit_fiber_mutex_unlock(&q->meta);
}

static bool grow(VitQcow2 *q, uint64_t size, bool exact, VitPrealloc prealloc, GError **error)
{
    uint64_t old = q->parent.size;
    uint32_t tables = q->vm_state_index;
    bool tail = false;

    if (l1_entries(q, size) > VIT_QCOW2_MAX_L1_BYTES / 8)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The image size is too large (with this cluster size)"));
    vit_fiber_mutex_lock(&q->meta);
    int result = vit_qcow2_l1_grow(q, l1_entries(q, size), true);
    vit_fiber_mutex_unlock(&q->meta);
    if (result == 0) {
        /* In memory first: zeroing looks at it.  On disk last. */
        __atomic_store_n(&q->parent.size, size, __ATOMIC_RELAXED);
        tail = true;
        result = hide_old_content(q, old, size);
    }
    if (result == 0) result = vit_qcow2_flush(q);
    if (result < 0) {
        if (tail) __atomic_store_n(&q->parent.size, old, __ATOMIC_RELAXED);
        return vit_block_fail_errno(error, result, _("Failed to grow the L1 table"));
    }
    if (!vit_qcow2_preallocate(q, old, size, prealloc, q->parent.backing != NULL, error)) {
        __atomic_store_n(&q->parent.size, old, __ATOMIC_RELAXED);
        q->vm_state_index = (uint32_t)l1_entries(q, size);
        give_back(q, old);
        q->vm_state_index = tables;
        return false;
    }
    if (vit_qcow2_has_data_file(q) && q->data->node->size < size &&
        !vit_co_truncate(q->data->node, size, exact, VIT_PREALLOC_OFF, error)) {
        __atomic_store_n(&q->parent.size, old, __ATOMIC_RELAXED);
        return false;
    }
    result = vit_qcow2_flush(q);
    if (result == 0) result = write_size(q, size);
    if (result == 0) return true;
    __atomic_store_n(&q->parent.size, old, __ATOMIC_RELAXED);
    return vit_block_fail_errno(error, result, _("Failed to update the image size"));
}

static bool shrink(VitQcow2 *q, uint64_t size, bool exact, GError **error)
{
    uint64_t mask = q->cluster_size - 1;

    vit_fiber_mutex_lock(&q->meta);
    vit_co_event(q->parent.file->node, VIT_EVENT_L1_SHRINK_FREE_L2_CLUSTERS);
    int result = vit_qcow2_unmap_tail(q, (size + mask) & ~mask);
    vit_co_event(q->parent.file->node, VIT_EVENT_L1_SHRINK_WRITE_TABLE);
    if (result == 0) result = vit_qcow2_sync(q);
    if (result == 0) result = write_size(q, size);
    if (result == 0 && !vit_qcow2_has_data_file(q)) cut_file(q);
    vit_fiber_mutex_unlock(&q->meta);
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Failed to discard cropped clusters"));
    return !vit_qcow2_has_data_file(q) ||
           vit_co_truncate(q->data->node, size, exact, VIT_PREALLOC_OFF, error);
}

bool vit_qcow2_co_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                           GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (size % 512)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The new size must be a multiple of 512"));
    if (q->nb_snapshots && q->version < 3 && size != node->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Can't resize a v2 image which has snapshots"));
    if (size < node->size && prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Preallocation can't be used for shrinking an image"));
    if (q->broken)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT, _("“%s” is corrupt; repair it first"),
                              node->filename);
    if (size > node->size) return grow(q, size, exact, prealloc, error);
    return size == node->size || shrink(q, size, exact, error);
}
