/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/qed.c - the QED format's driver: opening, closing, size, backing file
 *
 * The flag "needs a check" is on the disk while something has been added, and goes when the image
 * is closed.  An image with the flag is checked and repaired when it is opened for writing. */
#include "block/qed/qed.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

static int probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    return size >= QED_HEADER_BYTES && memcmp(head, "QED", 4) == 0 ? 100 : 0;
}

static bool load_header(Qed *q, GError **error)
{
    VitBlockNode *node = &q->parent, *file = node->file->node;
    uint8_t buf[QED_HEADER_BYTES];
    int result = vit_co_read(file, 0, buf, sizeof buf);

    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not read the header of “%s”"),
                                    file->filename);
    if (!probe(buf, sizeof buf, NULL, NULL))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: Image not in QED format"),
                              file->filename);
    qed_header_decode(&q->header, buf);
    if (!qed_header_check(&q->header, file->filename, file->size, error)) return false;
    q->table_entries = (uint64_t)q->header.table_size * q->header.cluster_size / 8;
    q->slice_entries = MIN(q->table_entries, QED_SLICE / 8);
    uint64_t mask = q->header.cluster_size - 1;
    q->end = (file->size + mask) & ~mask;
    node->size = q->header.image_size;
    return true;
}

static bool load_backing_name(Qed *q, GError **error)
{
    VitBlockNode *node = &q->parent;
    const QedHeader *h = &q->header;

    if (!(h->features & QED_F_BACKING_FILE)) return true;
    g_autofree char *name = g_malloc0(h->backing_filename_size + 1);
    int result = vit_co_read(node->file->node, h->backing_filename_offset, name,
                             h->backing_filename_size);
    if (result < 0)
        return vit_block_fail_errno(error, result,
                                    _("Could not read the backing file's name of “%s”"),
                                    node->file->node->filename);
    node->backing_file = g_steal_pointer(&name);
    if (h->features & QED_F_BACKING_FORMAT_NO_PROBE) node->backing_format = g_strdup("raw");
    return true;
}

/* For an image that is opened for writing: what the flags ask for. */
static bool settle(Qed *q, GError **error)
{
    VitBlockNode *node = &q->parent;
    VitBlockCheck check = { 0 };
    int result = 0;

    if (q->header.autoclear_features) {
        q->header.autoclear_features = 0;
        result = qed_write_header(q);
        if (result == 0) result = vit_co_flush(node->file->node);
    }
    if (result == 0 && (q->header.features & QED_F_NEED_CHECK) && !node->how.check)
        result = qed_check(node, &check, VIT_FIX_LEAKS | VIT_FIX_ERRORS);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("“%s” was not closed and cannot be repaired"),
                                node->file->node->filename);
}

static void qed_attach(VitBlockNode *node)
{
    Qed *q = (Qed *)node;

    q->tables.thread = q->allocating.cond.thread = node->thread;
}

static bool qed_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Qed *q = (Qed *)node;

    qed_attach(node);
    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    bool good = load_header(q, error) && load_backing_name(q, error) && qed_load_l1(q, error) &&
                (node->how.read_only || settle(q, error));
    if (!good) qed_free_tables(q);
    return good;
}

/* Takes the flag back; what it guards must be on the disk before. */
static int finish_use(Qed *q)
{
    VitBlockNode *file = q->parent.file->node;

    if (q->parent.how.read_only || q->parent.how.check || !(q->header.features & QED_F_NEED_CHECK))
        return 0;
    int result = vit_co_flush(file);
    if (result < 0) return result;
    q->header.features &= ~(uint64_t)QED_F_NEED_CHECK;
    result = qed_write_header(q);
    return result < 0 ? result : vit_co_flush(file);
}

static void qed_close(VitBlockNode *node)
{
    if (finish_use((Qed *)node) < 0)
        g_message("“%s” could not be closed cleanly; it is checked when it is opened next",
                  node->filename);
    qed_free_tables((Qed *)node);
}

static int qed_reopen(VitBlockNode *node, bool read_only)
{
    Qed *q = (Qed *)node;
    g_autoptr(GError) error = NULL;

    if (read_only) return finish_use(q);
    return settle(q, &error) ? 0 : -EIO;
}

static void qed_info(VitBlockNode *node, VitBlockInfo *info)
{
    const Qed *q = (const Qed *)node;

    info->cluster_size = q->header.cluster_size;
    info->zero_init = info->unallocated_zero = !node->backing;
    info->dirty = (q->header.features & QED_F_NEED_CHECK) != 0;
}

static bool qed_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                         GError **error)
{
    Qed *q = (Qed *)node;
    QedHeader before = q->header;

    if (prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: a QED image has no preallocation"), node->filename);
    if (size < node->size)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Shrinking images is currently not supported"));
    if (size % 512 || size > qed_max_size(&q->header))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The new size of “%s” must be a multiple of 512 bytes and at most "
                                "%" PRIu64),
                              node->filename, qed_max_size(&q->header));
    q->header.image_size = size;
    int result = 0;
    if (!qed_load_l1(q, error)) {
        q->header = before;
        return false;
    }
    /* What the backing file has past the old end does not show up in the new part. */
    uint64_t below = node->backing ? MIN(node->backing->node->size, size) : 0, old = node->size;
    if (below > old) {
        node->size = size;
        result = qed_write_zeroes(node, old, below - old, 0);
        node->size = old;
        if (result == 0) result = vit_co_flush(node->file->node);
    }
    if (result == 0) result = qed_write_header(q);
    if (result < 0) {
        q->header = before;
        return vit_block_fail_errno(error, result, _("Could not resize “%s”"), node->filename);
    }
    __atomic_store_n(&node->size, size, __ATOMIC_RELAXED);
    return true;
}

static bool qed_change_backing(VitBlockNode *node, const char *name, const char *format,
                               GError **error)
{
    Qed *q = (Qed *)node;
    QedHeader h = q->header;
    size_t length = name ? strlen(name) : 0;
    uint64_t room = (uint64_t)h.header_size * h.cluster_size - QED_HEADER_BYTES;

    if (length > QED_MAX_NAME || length > room)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: the backing file's name has more than %u bytes"),
                              node->filename, QED_MAX_NAME);
    h.features &= ~(uint64_t)(QED_F_BACKING_FILE | QED_F_BACKING_FORMAT_NO_PROBE);
    h.backing_filename_offset = length ? QED_HEADER_BYTES : 0;
    h.backing_filename_size = (uint32_t)length;
    if (length) h.features |= QED_F_BACKING_FILE;
    if (length && format && strcmp(format, "raw") == 0) h.features |= QED_F_BACKING_FORMAT_NO_PROBE;
    /* Header and name in one write. */
    uint8_t buf[(QED_HEADER_BYTES + QED_MAX_NAME + 511) & ~511] = { 0 };
    qed_header_encode(&h, buf);
    if (length) memcpy(buf + QED_HEADER_BYTES, name, length);
    int result = vit_co_write(node->file->node, 0, buf, sizeof buf, 0);
    if (result == 0) {
        q->header = h; /* what is there now, even if the flush fails: the name is gone */
        result = vit_co_flush(node->file->node);
    }
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not write the header of “%s”"),
                                node->filename);
}

/* After a commit: no table leads anywhere, then the clusters go. */
static int qed_make_empty(VitBlockNode *node)
{
    Qed *q = (Qed *)node;
    VitBlockNode *file = node->file->node;
    uint64_t l1 = q->header.l1_table_offset, table = q->table_entries * 8;

    vit_fiber_mutex_lock(&q->tables);
    int result = vit_co_zero(file, l1, table, 0);
    if (result == 0) result = vit_co_flush(file);
    if (result == 0) {
        memset(q->l1, 0, q->n_l1 * 8);
        qed_forget_slices(q);
        if (l1 == (uint64_t)q->header.header_size * q->header.cluster_size &&
            vit_co_truncate(file, l1 + table, false, VIT_PREALLOC_OFF, NULL))
            q->end = l1 + table;
    }
    vit_fiber_mutex_unlock(&q->tables);
    return result;
}

const VitBlockDriver vit_block_qed_driver = {
    .name = "qed",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Qed),
    .create_options = qed_create_options,
    .supports_backing = true,
    .probe = probe,
    .co_open = qed_open,
    .co_close = qed_close,
    .attach = qed_attach,
    .co_reopen = qed_reopen,
    .co_read = qed_read,
    .co_write = qed_write,
    .co_write_zeroes = qed_write_zeroes,
    .info = qed_info,
    .co_status = qed_status,
    .co_truncate = qed_truncate,
    .co_create = qed_create,
    .co_check = qed_check,
    .co_change_backing = qed_change_backing,
    .co_make_empty = qed_make_empty,
};
