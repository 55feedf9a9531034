/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/amend.c - changes what "create" has decided: version, size, refcounts, data file
 *
 * An image goes up to version 3 before all else and down to version 2 last, when nothing is left in
 * it that version 2 does not know. */
#include "block/qcow2/amend.h"
#include "block/qcow2/meta.h"
#include "block/qcow2/snapshot.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

typedef struct {
    unsigned version; /* wanted */
    uint64_t size; /* UINT64_MAX: not to be changed */
    uint64_t refcount_bits;
    bool lazy, data_file_raw;
    const char *data_file; /* NULL: not to be changed */
    VitBlockProgress progress;
    void *opaque;
} Wanted;

static bool refuse(GError **error, const char *text)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, "%s", text);
}

static bool failed(VitQcow2 *q, int result, const char *what, GError **error)
{
    return vit_block_fail_errno(error, result, "“%s”: %s", q->parent.filename, what);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool take(VitQcow2 *q, VitBlockArgs *options, Wanted *w, GError **error)
{
    const char *compat = vit_block_args_str(options, "compat");
    const char *backing = vit_block_args_str(options, "backing_file");
    const char *format = vit_block_args_str(options, "backing_fmt");

    *w = (Wanted){ .version = q->version,
                   .size = UINT64_MAX,
                   .refcount_bits = q->refcount_bits,
                   .lazy = q->compatible & VIT_QCOW2_LAZY_REFCOUNTS,
                   .data_file_raw = vit_qcow2_data_file_raw(q),
                   .data_file = vit_block_args_str(options, "data_file") };
    if (compat && (strcmp(compat, "0.10") == 0 || strcmp(compat, "v2") == 0)) w->version = 2;
    else if (compat && (strcmp(compat, "1.1") == 0 || strcmp(compat, "v3") == 0)) w->version = 3;
    else if (compat)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Unknown compatibility level %s"),
                              compat);
    if (w->version == 2) w->lazy = false; /* unless it is asked for */
    if (!vit_block_args_size(options, "size", &w->size, error) ||
        !vit_block_args_uint(options, "refcount_bits", UINT32_MAX, &w->refcount_bits, error) ||
        !vit_block_args_bool(options, "lazy_refcounts", &w->lazy, error) ||
        !vit_block_args_bool(options, "data_file_raw", &w->data_file_raw, error))
        return false;
    if ((backing && !same_text(backing, q->parent.backing_file)) ||
        (format && !same_text(format, q->parent.backing_format)))
        return refuse(error,
                      _("Cannot amend the backing file\nYou can use 'qemu-img rebase' instead."));
    return true;
}

static bool has_snapshots_that_differ(const VitQcow2 *q)
{
    for (guint i = 0; i < q->snapshots->len; i++) {
        const VitQcow2Snapshot *s = q->snapshots->pdata[i];
        if (s->facts->disk_size != q->parent.size || s->facts->vm_state_size > UINT32_MAX)
            return true;
    }
    return false;
}

static bool allowed(VitQcow2 *q, const Wanted *w, GError **error)
{
    uint64_t bits = w->refcount_bits, strange;

    if (bits == 0 || bits > 64 || (bits & (bits - 1)))
        return refuse(error, _("Refcount width must be a power of two and may not exceed 64 bits"));
    if (w->version == 2 && bits != 16)
        return refuse(error, _("compat=0.10 requires refcount_bits=16"));
    if (w->version == 2 && w->lazy)
        return refuse(error,
                      _("Lazy refcounts only supported with compatibility level 1.1 and above "
                        "(use compat=1.1 or greater)"));
    if (w->data_file && !vit_qcow2_has_data_file(q))
        return refuse(error,
                      _("data-file can only be set for images that use an external data file"));
    if (w->data_file_raw && !vit_qcow2_data_file_raw(q))
        return refuse(error, _("data-file-raw cannot be set on existing images"));
    if (w->version >= q->version) return true;
    if (vit_qcow2_has_data_file(q))
        return refuse(error, _("Cannot downgrade an image with a data file"));
    strange = q->incompatible & ~(uint64_t)VIT_QCOW2_DIRTY;
    if (strange)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Cannot downgrade an image with incompatible features "
                                "0x%" PRIx64 " set"),
                              strange);
    if (q->crypt_method == VIT_QCOW2_CRYPT_LUKS)
        return refuse(error, _("Cannot downgrade an image that is encrypted with LUKS"));
    if (has_snapshots_that_differ(q))
        return refuse(error, _("Internal snapshots prevent downgrade of image"));
    return true;
}

/* ---- version --------------------------------------------------------------------------------- */

static int upgrade(VitQcow2 *q)
{
    int result = 0;

    vit_fiber_mutex_lock(&q->meta);
    if (q->snapshots->len) result = vit_qcow2_snapshots_store(q, q->snapshots); /* all facts */
    if (result == 0) result = vit_qcow2_settle(q);
    if (result == 0) {
        q->version = 3;
        q->header_length = VIT_QCOW2_H_V3_LENGTH;
        result = vit_qcow2_write_header(q);
        if (result < 0) q->version = 2;
    }
    vit_fiber_mutex_unlock(&q->meta);
    return result;
}

static int remove_bitmaps(VitQcow2 *q)
{
    VitBlockNode *node = &q->parent;

    for (guint i = 0; node->bitmaps && i < node->bitmaps->len; i++)
        vit_block_bitmap_set_persistent(node->bitmaps->pdata[i], false);
    if (q->bitmaps.count == 0) return 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = vit_qcow2_bitmap_directory_load(q, &error);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    int result = list ? vit_qcow2_bitmap_directory_store(q, none) : -EIO;
    for (guint i = 0; result == 0 && i < list->len; i++)
        vit_qcow2_bitmap_entry_release(q, list->pdata[i]);
    return result;
}

static bool downgrade(VitQcow2 *q, const Wanted *w, GError **error)
{
    uint64_t compatible = q->compatible, autoclear = q->autoclear;

    if (!vit_qcow2_amend_zeroes(q, w->progress, w->opaque, error)) return false;
    vit_fiber_mutex_lock(&q->meta);
    int result = remove_bitmaps(q);
    q->lazy = false;
    if (result == 0) result = vit_qcow2_settle(q);
    if (result == 0) result = vit_qcow2_set_incompatible(q, 0, VIT_QCOW2_DIRTY);
    if (result == 0) {
        q->version = 2;
        q->compatible = q->autoclear = 0;
        result = vit_qcow2_write_header(q);
        if (result < 0) {
            q->version = 3;
            q->compatible = compatible;
            q->autoclear = autoclear;
        }
    }
    vit_fiber_mutex_unlock(&q->meta);
    return result == 0 || failed(q, result, "could not become a version 2 image", error);
}

/* ---- what only the header says --------------------------------------------------------------- */

static int change_header(VitQcow2 *q, const Wanted *w)
{
    bool was_lazy = q->compatible & VIT_QCOW2_LAZY_REFCOUNTS;
    bool same_file = !w->data_file || same_text(w->data_file, q->data_file_name);
    int result = 0;

    if (was_lazy == w->lazy && same_file && w->data_file_raw == vit_qcow2_data_file_raw(q))
        return 0;
    vit_fiber_mutex_lock(&q->meta);
    if (was_lazy && !w->lazy) {
        result = vit_qcow2_settle(q);
        if (result == 0) result = vit_qcow2_set_incompatible(q, 0, VIT_QCOW2_DIRTY);
    }
    if (result == 0) {
        q->lazy = w->lazy;
        q->compatible &= ~(uint64_t)VIT_QCOW2_LAZY_REFCOUNTS;
        if (w->lazy) q->compatible |= VIT_QCOW2_LAZY_REFCOUNTS;
        if (!w->data_file_raw) q->autoclear &= ~(uint64_t)VIT_QCOW2_DATA_FILE_RAW;
        if (!same_file) {
            g_free(q->data_file_name);
            q->data_file_name = *w->data_file ? g_strdup(w->data_file) : NULL;
        }
        result = vit_qcow2_write_header(q);
    }
    vit_fiber_mutex_unlock(&q->meta);
    return result;
}

static bool amend(VitQcow2 *q, const Wanted *w, GError **error)
{
    int result = 0;

    if (w->version > q->version && (result = upgrade(q)) < 0)
        return failed(q, result, "could not become a version 3 image", error);
    if (w->refcount_bits != q->refcount_bits &&
        !vit_qcow2_amend_refcounts(q, (unsigned)__builtin_ctzll(w->refcount_bits), w->progress,
                                   w->opaque, error))
        return false;
    if ((result = change_header(q, w)) < 0)
        return failed(q, result, "could not write the header", error);
    if (w->size != UINT64_MAX && w->size != q->parent.size &&
        !vit_co_truncate(&q->parent, w->size, true, VIT_PREALLOC_OFF, error))
        return false;
    if (w->version < q->version && has_snapshots_that_differ(q))
        return refuse(error, _("Internal snapshots prevent downgrade of image"));
    return w->version == q->version || downgrade(q, w, error);
}

bool vit_qcow2_co_amend(VitBlockNode *node, VitBlockArgs *options, bool force,
                        VitBlockProgress progress, void *opaque, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    Wanted w;

    if (node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” is read-only"),
                              node->filename);
    if (!take(q, options, &w, error) || !allowed(q, &w, error)) return false;
    g_autoptr(VitBlockArgs) encrypt = vit_block_args_sub(options, "encrypt");
    if (encrypt && !vit_qcow2_crypto_amend(q, encrypt, force, error)) return false;
    w.progress = progress;
    w.opaque = opaque;
    if (progress) progress(opaque, 0, 1);
    if (!amend(q, &w, error)) return false;
    if (progress) progress(opaque, 1, 1);
    return true;
}
