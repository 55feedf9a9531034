/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/create.c - new images: header, refcount table and blocks, L1 table, in this order */
#include "block/luks/crypto.h"
#include "block/qcow2/qcow2.h"

#include "block/drivers.h"
#include "block/node-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

const VitBlockOption vit_qcow2_create_options[] = {
    { "backing_file", VIT_OPT_STRING, "File name of a base image", NULL, true },
    { "backing_fmt", VIT_OPT_STRING, "Image format of the base image", NULL, true },
    { "cluster_size", VIT_OPT_SIZE, "qcow2 cluster size", "65536", false },
    { "compat", VIT_OPT_STRING, "Compatibility level (v2 [0.10] or v3 [1.1])", NULL, true },
    { "compression_type", VIT_OPT_STRING, "Compression method used for image cluster compression",
      "zlib", false },
    { "data_file", VIT_OPT_STRING, "File name of an external data file", NULL, true },
    { "data_file_raw", VIT_OPT_BOOL, "The external data file must stay valid as a raw image", NULL,
      true },
    { "encrypt.cipher-alg", VIT_OPT_STRING, "Name of encryption cipher algorithm", NULL, false },
    { "encrypt.cipher-mode", VIT_OPT_STRING, "Name of encryption cipher mode", NULL, false },
    { "encrypt.format", VIT_OPT_STRING, "Encrypt the image, format choices: 'aes', 'luks'", NULL,
      false },
    { "encrypt.hash-alg", VIT_OPT_STRING, "Name of encryption hash algorithm", NULL, false },
    { "encrypt.iter-time", VIT_OPT_UINT, "Time to spend in PBKDF in milliseconds", NULL, false },
    { "encrypt.ivgen-alg", VIT_OPT_STRING, "Name of IV generator algorithm", NULL, false },
    { "encrypt.ivgen-hash-alg", VIT_OPT_STRING, "Name of IV generator hash algorithm", NULL,
      false },
    { "encrypt.key-secret", VIT_OPT_STRING,
      "ID of secret providing qcow AES key or LUKS passphrase", NULL, false },
    { "encryption", VIT_OPT_BOOL,
      "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)", NULL,
      false },
    { "extended_l2", VIT_OPT_BOOL, "Extended L2 tables", "off", false },
    { "lazy_refcounts", VIT_OPT_BOOL, "Postpone refcount updates", "off", true },
    { "preallocation", VIT_OPT_STRING,
      "Preallocation mode (allowed values: off, metadata, falloc, full)", NULL, false },
    { "refcount_bits", VIT_OPT_UINT, "Width of a reference count entry in bits", "16", true },
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, true },
    { .name = NULL },
};

/* ---- options --------------------------------------------------------------------------------- */

static bool invalid(GError **error, const char *text)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, "%s", text);
}

static bool find_name(const char *name, const char *const *names, const char *option, int *value,
                      GError **error)
{
    if (!name) return true;
    for (*value = 0; names[*value]; ++*value) {
        if (strcmp(names[*value], name) == 0) return true;
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("Parameter '%s' does not accept value '%s'"), option, name);
}

static unsigned log2_of(uint64_t value)
{
    return 63 - (unsigned)__builtin_clzll(value);
}

static bool needs_v3(const VitQcow2 *q, bool wanted, const char *what, GError **error)
{
    return q->version >= 3 || !wanted ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("%s compatibility level 1.1 %s (use version=v3 or greater)"), what,
                          strstr(what, "require") ? "or above" : "and above");
}

/* A header's fields from options.  `q` is no node: only header fields are used. */
bool vit_qcow2_take_layout(VitBlockArgs *args, VitQcow2 *q, VitPrealloc *prealloc, GError **error)
{
    static const char *const compats[] = { "0.10", "v2", "1.1", "v3", NULL };
    static const char *const types[] = { "zlib", "zstd", NULL };
    static const char *const modes[] = { "off", "metadata", "falloc", "full", NULL };
    uint64_t cluster = 65536, bits = 16;
    bool lazy = false, extended = false, raw = false;
    int compat = 3, type = 0, mode = VIT_PREALLOC_OFF;

    if (!find_name(vit_block_args_str(args, "compat"), compats, "version", &compat, error) ||
        !find_name(vit_block_args_str(args, "compression_type"), types, "compression-type", &type,
                   error) ||
        !find_name(vit_block_args_str(args, "preallocation"), modes, "preallocation", &mode,
                   error) ||
        !vit_block_args_size(args, "cluster_size", &cluster, error) ||
        !vit_block_args_uint(args, "refcount_bits", UINT32_MAX, &bits, error) ||
        !vit_block_args_bool(args, "lazy_refcounts", &lazy, error) ||
        !vit_block_args_bool(args, "extended_l2", &extended, error) ||
        !vit_block_args_bool(args, "data_file_raw", &raw, error))
        return false;
    const char *data_file = vit_block_args_str(args, "data_file");
    q->version = compat >= 2 ? 3 : 2;
    if (cluster < 512 || cluster > 2 << 20 || (cluster & (cluster - 1)))
        return invalid(error, _("Cluster size must be a power of two between 512 and 2048k"));
    if (bits == 0 || bits > 64 || (bits & (bits - 1)))
        return invalid(error,
                       _("Refcount width must be a power of two and may not exceed 64 bits"));
    if (raw && !data_file) return invalid(error, _("data-file-raw requires data-file"));
    if (extended && cluster < 16384 && q->version >= 3)
        return invalid(error, _("Extended L2 entries are only supported with cluster sizes of at "
                                "least 16384 bytes"));
    if (!needs_v3(q, lazy, "Lazy refcounts only supported with", error) ||
        !needs_v3(q, bits != 16, "Different refcount widths than 16 bits require", error) ||
        !needs_v3(q, extended, "Extended L2 entries are only supported with", error) ||
        !needs_v3(q, type != 0, "Non-zlib compression type is only supported with", error) ||
        !needs_v3(q, data_file != NULL, "External data files are only supported with", error))
        return false;
    q->cluster_bits = log2_of(cluster);
    q->refcount_order = log2_of(bits);
    q->compression_type = (uint8_t)type;
    q->compatible = lazy ? VIT_QCOW2_LAZY_REFCOUNTS : 0;
    q->incompatible = (extended ? VIT_QCOW2_EXTENDED_L2 : 0) | (type ? VIT_QCOW2_COMPRESSION : 0) |
                      (data_file ? VIT_QCOW2_DATA_FILE : 0);
    q->autoclear = raw ? VIT_QCOW2_DATA_FILE_RAW : 0;
    q->data_file_name = g_strdup(data_file);
    vit_qcow2_derive(q);
    /* A raw data file has to be a whole disk's image. */
    *prealloc = raw && mode == VIT_PREALLOC_OFF ? VIT_PREALLOC_METADATA : (VitPrealloc)mode;
    return true;
}

static bool check_backing(const VitBlockCreate *create, const VitQcow2 *q, VitPrealloc prealloc,
                          GError **error)
{
    if (!create->backing_file) return true;
    if (strlen(create->backing_file) > VIT_QCOW2_MAX_BACKING_NAME)
        return invalid(error, _("The backing file's name is longer than 1023 bytes"));
    if (vit_qcow2_data_file_raw(q))
        return invalid(error, _("Backing file and data-file-raw cannot be used at the same time"));
    if (prealloc != VIT_PREALLOC_OFF && q->subclusters == 1)
        return invalid(error, _("Backing file and preallocation can only be used at the same time "
                                "if extended_l2 is on"));
    return true;
}

/* ---- the first clusters ---------------------------------------------------------------------- */

/* Header, refcount table, refcount blocks, L1 table, LUKS header; `q` says where, *total: clusters.
 */
static bool lay_out(VitQcow2 *q, uint64_t *blocks, uint64_t *total, GError **error)
{
    unsigned shift = vit_qcow2_l1_shift(q);
    uint64_t size = q->parent.size, table = 1, before;
    uint64_t l1 = shift < 63 ? (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0)
                             : (size != 0);

    if (l1 > VIT_QCOW2_MAX_L1_BYTES / 8)
        return invalid(error, _("The image size is too large for file format 'qcow2' (try using a "
                                "larger cluster size)"));
    uint64_t crypto = vit_qcow2_clusters(q, q->crypto_header.length);
    uint64_t l1_clusters = vit_qcow2_clusters(q, l1 * 8);
    *blocks = 1;
    do {
        before = table + *blocks;
        *total = 1 + table + *blocks + l1_clusters + crypto;
        *blocks = (*total + (UINT64_C(1) << q->rb_bits) - 1) >> q->rb_bits;
        table = MAX(vit_qcow2_clusters(q, *blocks * 8), 1);
    } while (table + *blocks != before);
    q->l1_size = (uint32_t)l1;
    q->rt_offset = q->cluster_size;
    q->rt_clusters = (uint32_t)table;
    q->l1_offset = l1 ? (1 + table + *blocks) << q->cluster_bits : 0;
    if (crypto) q->crypto_header.offset = (*total - crypto) << q->cluster_bits;
    return true;
}

static int write_first_clusters(VitQcow2 *q, VitBlockNode *file, const VitBlockCreate *create,
                                uint64_t blocks, uint64_t total)
{
    uint64_t table = (uint64_t)q->rt_clusters << q->cluster_bits;
    uint64_t block_bytes = blocks << q->cluster_bits;
    g_autofree uint8_t *header = g_try_malloc0(q->cluster_size);
    g_autofree uint8_t *counts = g_try_malloc0(table + block_bytes);

    if (!header || !counts) return -ENOMEM;
    for (uint64_t b = 0; b < blocks; b++)
        vit_put64(counts + b * 8, q->rt_offset + table + (b << q->cluster_bits));
    for (uint64_t i = 0; i < total; i++)
        vit_qcow2_refcount_store(q, counts + table + ((i >> q->rb_bits) << q->cluster_bits),
                                 i & ((UINT64_C(1) << q->rb_bits) - 1), 1);
    int result = vit_qcow2_build_header(q, create->backing_file, create->backing_format, header);
    /* The file ends with the L1 table, as those of qemu-img do, unless something follows it. */
    uint64_t l1 = q->crypto_header.length && q->l1_size ? q->crypto_header.offset - q->l1_offset
                                                        : (uint64_t)q->l1_size * 8;
    if (result == 0) result = vit_co_write(file, q->rt_offset, counts, table + block_bytes, 0);
    if (result == 0 && l1 > 0) result = vit_co_zero(file, q->l1_offset, l1, 0);
    if (result == 0) result = vit_co_flush(file);
    if (result == 0) result = vit_co_write(file, 0, header, q->cluster_size, 0);
    if (result == 0) result = vit_co_flush(file);
    return result;
}

static bool create_data_file(const VitBlockCreate *create, const VitQcow2 *q, GError **error)
{
    g_autoptr(VitBlockArgs) none = vit_block_args_new(q->data_file_name, NULL, error);
    VitBlockCreate data = { .graph = create->graph,
                            .thread = create->thread,
                            .filename = q->data_file_name,
                            .size = create->size,
                            .options = none,
                            .driver = &vit_block_raw_driver,
                            .made = create->made };
    VitBlockNode *node = none ? vit_co_create_file(&data, create->size, error) : NULL;

    vit_block_node_unref(node);
    return node != NULL;
}

/* What an open image does: preallocation. */
static bool finish_open(const VitBlockCreate *create, VitBlockNode *file, VitPrealloc prealloc,
                        const VitLuksOptions *crypto, GError **error)
{
    VitBlockOptions how = { .lock = true, .no_backing = true };
    g_autoptr(VitBlockArgs) args = vit_block_args_new(file->filename, NULL, error);

    if (!args) return false;
    vit_block_args_set(args, "driver", "qcow2");
    if (crypto->key_secret) vit_block_args_set(args, "encrypt.key-secret", crypto->key_secret);
    vit_block_args_set_child(args, "file", vit_block_node_ref(file));
    VitBlockNode *node = vit_co_open(create->graph, create->thread, args, &how, error);
    if (!node) return false;
    bool good = vit_qcow2_preallocate((VitQcow2 *)node, 0, node->size, prealloc,
                                      create->backing_file != NULL, error);
    vit_block_node_unref(node);
    return good;
}

bool vit_qcow2_co_create(VitBlockCreate *create, GError **error)
{
    g_autofree VitQcow2 *q = g_new0(VitQcow2, 1); /* the header's fields alone */
    VitPrealloc prealloc = VIT_PREALLOC_OFF;
    VitLuksOptions crypto = { 0 };
    uint64_t blocks = 0, total = 0;

    q->parent.size = create->size;
    bool good = vit_qcow2_take_layout(create->options, q, &prealloc, error) &&
                vit_qcow2_crypto_take(&crypto, create->options, &q->crypto_header.length, error);
    if (good && q->crypto_header.length) q->crypt_method = VIT_QCOW2_CRYPT_LUKS;
    good = good && check_backing(create, q, prealloc, error) && lay_out(q, &blocks, &total, error);
    if (good && q->data_file_name && !create->file) good = create_data_file(create, q, error);
    if (!good) {
        g_free(q->data_file_name);
        vit_luks_options_clear(&crypto);
        return false;
    }
    VitBlockNode *file = vit_co_create_begin(create, error);
    good = file &&
           (!q->crypt_method || vit_qcow2_crypto_create(q, file, create->graph, &crypto, error));
    if (good) {
        int result = write_first_clusters(q, file, create, blocks, total);
        if (result < 0)
            vit_block_fail_errno(error, result, _("Could not write the tables of “%s”"),
                                 file->filename);
        good = result == 0 && (prealloc == VIT_PREALLOC_OFF ||
                               finish_open(create, file, prealloc, &crypto, error));
    }
    vit_block_node_unref(file);
    vit_luks_options_clear(&crypto);
    g_free(q->data_file_name);
    return good;
}
