/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/open.c - opening, closing, options of a node */
#include "block/qcow2/meta.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum {
    MIN_L2_CACHE = 32 << 10,
    MAX_L2_CACHE = 32 << 20,
    MAX_SLICE = 64 << 10,
    MIN_REFCOUNT_CLUSTERS = 4,
    CLEAN_INTERVAL = 600,
};

/* ---- options --------------------------------------------------------------------------------- */

static bool invalid(GError **error, const char *text)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "%s", text);
}

static bool cache_options(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    uint64_t l2 = 0, counts = 0, both = 0, entry = MIN(q->cluster_size, MAX_SLICE);
    uint64_t interval = CLEAN_INTERVAL;
    uint64_t needed = vit_qcow2_clusters(q, q->parent.size) * q->l2_entry_size;
    uint64_t least = MIN_REFCOUNT_CLUSTERS * q->cluster_size;
    bool has_l2 = vit_block_args_has(args, "l2-cache-size");
    bool has_counts = vit_block_args_has(args, "refcount-cache-size");
    bool has_both = vit_block_args_has(args, "cache-size");

    if (!vit_block_args_size(args, "l2-cache-size", &l2, error) ||
        !vit_block_args_size(args, "refcount-cache-size", &counts, error) ||
        !vit_block_args_size(args, "cache-size", &both, error) ||
        !vit_block_args_size(args, "l2-cache-entry-size", &entry, error) ||
        !vit_block_args_uint(args, "cache-clean-interval", G_MAXINT, &interval, error))
        return false;
    if (has_both && has_l2 && has_counts)
        return invalid(error,
                       _("cache-size, l2-cache-size and refcount-cache-size may not be set at "
                         "the same time"));
    if (has_both && has_l2 && l2 > both)
        return invalid(error, _("l2-cache-size may not exceed cache-size"));
    if (has_both && has_counts && counts > both)
        return invalid(error, _("refcount-cache-size may not exceed cache-size"));
    if (entry < 512 || entry > q->cluster_size || (entry & (entry - 1)))
        return invalid(error, _("L2 cache entry size must be a power of two between 512 and the "
                                "cluster size"));
    if (has_both && has_l2) counts = both - l2;
    else if (has_both && has_counts) l2 = both - counts;
    else if (has_both) {
        counts = MIN(least, both);
        l2 = both - counts;
        has_l2 = true;
    }
    if (!has_l2 && !(has_both && has_counts)) l2 = MAX_L2_CACHE;
    /* A cache larger than the tables is no use. */
    l2 = MAX(MIN(l2, needed + q->cluster_size), MAX(MIN_L2_CACHE, 2 * q->cluster_size));
    counts = MAX(counts, least);
    q->clean_interval = (unsigned)interval;
    vit_qcow2_cache_init(&q->l2, (uint32_t)MIN(entry, MAX_SLICE), l2);
    vit_qcow2_cache_init(&q->refcounts, (uint32_t)MIN(q->cluster_size, MAX_SLICE), counts);
    return true;
}

static bool take_options(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    bool lazy = q->compatible & VIT_QCOW2_LAZY_REFCOUNTS;

    q->discard_request = q->parent.how.discard;
    q->discard_snapshot = true;
    if (!cache_options(q, args, error) || !vit_qcow2_overlap_options(q, args, error) ||
        !vit_block_args_bool(args, "lazy-refcounts", &lazy, error) ||
        !vit_block_args_bool(args, "pass-discard-request", &q->discard_request, error) ||
        !vit_block_args_bool(args, "pass-discard-snapshot", &q->discard_snapshot, error) ||
        !vit_block_args_bool(args, "pass-discard-other", &q->discard_other, error) ||
        !vit_block_args_bool(args, "discard-no-unref", &q->discard_no_unref, error))
        return false;
    if (lazy && q->version < 3)
        return invalid(error, _("Lazy refcounts require a qcow2 image with at least qemu 1.1 "
                                "compatibility level"));
    if (q->discard_no_unref && q->version < 3)
        return invalid(error, _("discard-no-unref is only supported since qcow2 version 3"));
    q->lazy = lazy;
    return true;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* entries big-endian numbers at offset; the header's checks have bounded them by the file's size.
 */
static bool load_table(VitQcow2 *q, const char *what, uint64_t offset, uint64_t entries,
                       uint64_t **table, uint64_t **dirty, GError **error)
{
    VitBlockNode *file = q->parent.file->node;
    uint64_t *t = g_try_new0(uint64_t, MAX(entries, 1));

    *table = t;
    *dirty = g_new0(uint64_t, entries / 64 / 64 + 1);
    int result = !t ? -ENOMEM : entries ? vit_co_read(file, offset, t, entries * 8) : 0;
    if (result < 0)
        return vit_block_fail_errno(error, result,
                                    _("Could not read the %s of “%s” at offset 0x%" PRIx64), what,
                                    file->filename, offset);
    for (uint64_t i = 0; i < entries; i++) t[i] = GUINT64_FROM_BE(t[i]);
    return true;
}

static bool load_tables(VitQcow2 *q, GError **error)
{
    q->rt_entries = ((uint64_t)q->rt_clusters << q->cluster_bits) / 8;
    vit_co_event(q->parent.file->node, VIT_EVENT_REFTABLE_LOAD);
    if (!load_table(q, "L1 table", q->l1_offset, q->l1_size, &q->l1, &q->l1_dirty, error) ||
        !load_table(q, "refcount table", q->rt_offset, q->rt_entries, &q->rt, &q->rt_dirty,
                    error) ||
        !vit_qcow2_snapshots_load(q, error))
        return false;
    /* What is only read need not be right as a whole. */
    g_autoptr(GError) wrong = NULL;
    if (q->parent.how.read_only || vit_qcow2_tables_collect(q, &wrong)) return true;
    if (q->parent.how.check) return true;
    g_propagate_error(error, g_steal_pointer(&wrong));
    return false;
}

/* ---- the data file --------------------------------------------------------------------------- */

/* qemu-img takes the name of a data file as it is, from the folder where it runs; where nothing is
 * there, the image's own folder is meant. */
static bool is_here(const char *name)
{
    g_autofree char *protocol = vit_block_filename_protocol(name);

    return !protocol && !g_path_is_absolute(name) && g_file_test(name, G_FILE_TEST_EXISTS);
}

static bool open_data_file(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    VitBlockNode *node = &q->parent;
    bool given = vit_block_args_has(args, "data-file");

    q->data = node->file;
    if (!vit_qcow2_has_data_file(q))
        return !given || invalid(error, _("'data-file' can only be set for images with an external "
                                          "data file"));
    if (given) {
        q->data = vit_co_open_child(node, args, "data-file", VIT_EDGE_DATA, error);
    } else if (node->how.no_io) {
        return true; /* facts need no data */
    } else if (q->data_file_name && is_here(q->data_file_name)) {
        vit_block_args_set(args, "data-file.driver", "file");
        vit_block_args_set(args, "data-file.filename", q->data_file_name);
        q->data = vit_co_open_child(node, args, "data-file", VIT_EDGE_DATA, error);
    } else if (q->data_file_name) {
        if (!node->filename || !*node->filename) {
            g_free(node->filename);
            node->filename = g_strdup(node->file->node->filename);
        }
        q->data = vit_co_open_named(node, q->data_file_name, "file", "data-file", VIT_EDGE_DATA,
                                    error);
    } else {
        return invalid(error, _("'data-file' is required for this image"));
    }
    return q->data != NULL;
}

/* ---- becoming writable ----------------------------------------------------------------------- */

/* Before the first write to an image that others have left. */
static bool make_writable(VitQcow2 *q, GError **error)
{
    VitBlockNode *node = &q->parent, *file = node->file->node;

    if (node->how.check) return true;
    if (q->incompatible & VIT_QCOW2_CORRUPT)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_CORRUPT,
            _("“%s”: qcow2: Image is corrupt; cannot be opened read/write; repair "
              "it with check -r all"),
            file->filename);
    if (q->autoclear & ~(uint64_t)VIT_QCOW2_AUTOCLEAR_KNOWN) {
        uint8_t field[8];
        vit_put64(field, q->autoclear & VIT_QCOW2_AUTOCLEAR_KNOWN);
        int result = vit_qcow2_write_field(q, VIT_QCOW2_H_AUTOCLEAR, field, sizeof field);
        if (result < 0)
            return vit_block_fail_errno(error, result, _("Could not write the header of “%s”"),
                                        file->filename);
        q->autoclear &= VIT_QCOW2_AUTOCLEAR_KNOWN;
    }
    if (!(q->incompatible & VIT_QCOW2_DIRTY)) return true;
    if (!node->driver->co_check)
        return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                              _("“%s” was not closed cleanly; repair it with check -r all"),
                              file->filename);
    VitBlockCheck check = { 0 };
    int result = node->driver->co_check(node, &check, VIT_FIX_LEAKS | VIT_FIX_ERRORS);
    if (result == 0 && check.corruptions > check.corruptions_fixed) result = -EIO;
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not repair “%s” after an unclean end"),
                                    file->filename);
    return true;
}

static bool use_bitmaps(VitQcow2 *q, GError **error)
{
    int result = q->parent.how.check ? 0 : vit_qcow2_bitmaps_use(q);

    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not mark the bitmaps of “%s”"),
                                q->parent.file->node->filename);
}

static gboolean clean_caches(gpointer data)
{
    VitQcow2 *q = data;

    vit_qcow2_cache_clean(&q->l2, false);
    vit_qcow2_cache_clean(&q->refcounts, false);
    return G_SOURCE_CONTINUE;
}

void vit_qcow2_detach(VitBlockNode *node)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (q->clean_timer) g_source_destroy(q->clean_timer);
    g_clear_pointer(&q->clean_timer, g_source_unref);
}

void vit_qcow2_attach(VitBlockNode *node)
{
    VitQcow2 *q = (VitQcow2 *)node;

    q->meta.thread = q->loaded.thread = q->epoch_over.thread = q->clusters.cond.thread =
        node->thread;
    if (q->clean_interval == 0) return;
    q->clean_timer = g_timeout_source_new_seconds(q->clean_interval);
    g_source_set_callback(q->clean_timer, clean_caches, q, NULL);
    g_source_attach(q->clean_timer, vit_io_thread_context(node->thread));
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void free_all(VitQcow2 *q)
{
    vit_qcow2_detach(&q->parent);
    vit_qcow2_cache_clear(&q->l2);
    vit_qcow2_cache_clear(&q->refcounts);
    vit_qcow2_compressor_free(q);
    vit_qcow2_crypto_close(q);
    g_clear_pointer(&q->l1, g_free);
    g_clear_pointer(&q->l1_dirty, g_free);
    g_clear_pointer(&q->rt, g_free);
    g_clear_pointer(&q->rt_dirty, g_free);
    g_clear_pointer(&q->unknown_header, g_bytes_unref);
    g_clear_pointer(&q->extensions, g_ptr_array_unref);
    g_clear_pointer(&q->data_file_name, g_free);
    g_clear_pointer(&q->snapshots, g_ptr_array_unref);
    g_clear_pointer(&q->tables, g_hash_table_unref);
    g_clear_pointer(&q->pending, g_array_unref);
}

static bool open_image(VitQcow2 *q, VitBlockArgs *args, GError **error)
{
    VitBlockNode *node = &q->parent;

    if (!vit_qcow2_read_header(q, error) || !take_options(q, args, error)) return false;
    if (!vit_qcow2_crypto_open(q, args, error)) return false;
    q->file_grows_zeroed = vit_block_info(node->file->node).zero_init && !q->crypt_method;
    return open_data_file(q, args, error) && load_tables(q, error) &&
           (node->how.read_only || make_writable(q, error)) && vit_qcow2_bitmaps_load(q, error) &&
           (node->how.read_only || use_bitmaps(q, error));
}

/* Clusters that a new image has already are what lies in its file, and that decrypted. */
static bool is_zero_when_new(const VitQcow2 *q)
{
    bool empty = true;

    for (uint64_t i = 0; i < q->l1_size && empty; i++) empty = q->l1[i] == 0;
    return empty || (!q->crypt_method && vit_block_info(q->data->node).zero_init);
}

bool vit_qcow2_co_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (!vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error)) return false;
    q->data = node->file;
    q->extensions = g_ptr_array_new_with_free_func(vit_qcow2_extension_free);
    q->snapshots = g_ptr_array_new_with_free_func(vit_qcow2_snapshot_free);
    q->tables = g_hash_table_new(NULL, NULL);
    q->pending = g_array_new(FALSE, FALSE, sizeof(VitQcow2Pending));
    vit_qcow2_attach(node);
    if (!open_image(q, args, error)) {
        free_all(q);
        return false;
    }
    q->new_is_zero = is_zero_when_new(q);
    vit_qcow2_detach(node); /* the interval is known now */
    vit_qcow2_attach(node);
    return true;
}

/* A file ends with a whole cluster, as others expect it. */
static void round_up_file(VitQcow2 *q)
{
    VitBlockNode *file = q->parent.file->node;
    uint64_t size = (file->size + q->cluster_size - 1) & ~(q->cluster_size - 1);

    if (file->size < size && file->driver->co_truncate)
        (void)vit_co_truncate(file, size, false, VIT_PREALLOC_OFF, NULL); /* a courtesy */
}

static int settle(VitQcow2 *q)
{
    if (q->parent.how.read_only || q->broken) return 0;
    bool changed = vit_qcow2_is_dirty(q) || q->stats.allocations;
    int stored = vit_qcow2_bitmaps_store(q);
    vit_fiber_mutex_lock(&q->meta);
    int result = vit_qcow2_settle(q);
    vit_fiber_mutex_unlock(&q->meta);
    if (result == 0) result = stored;
    if (result == 0 && changed) round_up_file(q);
    return result;
}

void vit_qcow2_co_close(VitBlockNode *node)
{
    VitQcow2 *q = (VitQcow2 *)node;
    int result = settle(q);

    if (result < 0)
        g_message("qcow2: “%s”: closing: %s; the image needs a check", node->filename,
                  g_strerror(-result));
    free_all(q);
}

int vit_qcow2_co_reopen(VitBlockNode *node, bool read_only)
{
    VitQcow2 *q = (VitQcow2 *)node;
    g_autoptr(GError) error = NULL;

    if (read_only) return settle(q);
    if (!vit_qcow2_tables_collect(q, &error) || !make_writable(q, &error) ||
        !use_bitmaps(q, &error)) {
        g_message("%s", error->message);
        return -EIO;
    }
    return 0;
}
