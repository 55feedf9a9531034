/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/header.c - the header and its extensions (Qcow2 Image File Format, "Header" to
 * "Bitmaps extension"): reading with every check that needs nothing but them, and writing */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { SECTOR = 512, FEATURE_NAME = 48 };

static const struct {
    uint8_t type, bit;
    const char *name;
} feature_names[] = {
    { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
    { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
    { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};

void vit_qcow2_extension_free(void *opaque)
{
    VitQcow2Extension *e = opaque;

    g_bytes_unref(e->data);
    g_free(e);
}

void vit_qcow2_derive(VitQcow2 *q)
{
    bool extended = q->incompatible & VIT_QCOW2_EXTENDED_L2;

    q->cluster_size = UINT64_C(1) << q->cluster_bits;
    q->l2_entry_size = extended ? 16 : 8;
    q->l2_bits = q->cluster_bits - (extended ? 4 : 3);
    q->subclusters = extended ? 32 : 1;
    q->subcluster_bits = q->cluster_bits - (extended ? 5 : 0);
    q->refcount_bits = 1u << q->refcount_order;
    q->rb_bits = q->cluster_bits + 3 - q->refcount_order;
    q->refcount_max = q->refcount_order == 6 ? INT64_MAX : (UINT64_C(1) << q->refcount_bits) - 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool corrupt(const VitQcow2 *q, GError **error, const char *field, unsigned at,
                    const char *what)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: %s at offset 0x%x of the header %s"),
                          q->parent.file->node->filename, field, at, what);
}

/* Whether [offset, offset + bytes) is aligned, past the header and inside of the file. */
static bool check_table(const VitQcow2 *q, GError **error, const char *field, unsigned at,
                        uint64_t offset, uint64_t bytes)
{
    uint64_t end, file = q->parent.file->node->size;

    /* Tables may end in the last cluster, which the file need not fill. */
    file = (file + q->cluster_size - 1) & ~(q->cluster_size - 1);
    if (offset & (q->cluster_size - 1))
        return corrupt(q, error, field, at, _("is not aligned to a cluster"));
    if (offset == 0 && bytes > 0) return corrupt(q, error, field, at, _("points to the header"));
    if (offset > VIT_QCOW2_OFFSET_MASK || __builtin_add_overflow(offset, bytes, &end) || end > file)
        return corrupt(q, error, field, at, _("points past the end of the file"));
    return true;
}

static bool unsupported_features(const VitQcow2 *q, const uint8_t *names, size_t size,
                                 GError **error)
{
    uint64_t unknown = q->incompatible & ~(uint64_t)VIT_QCOW2_INCOMPATIBLE_KNOWN;
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i + FEATURE_NAME <= size && unknown; i += FEATURE_NAME) {
        const uint8_t *e = names + i;
        if (e[0] != 0 || e[1] > 63 || !((unknown >> e[1]) & 1)) continue;
        g_autofree char *raw = g_strndup((const char *)e + 2, FEATURE_NAME - 2);
        g_autofree char *name = g_utf8_make_valid(raw, -1);
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", name);
        unknown &= ~(UINT64_C(1) << e[1]);
    }
    if (unknown)
        g_string_append_printf(text, "%sUnknown incompatible feature: %" PRIx64,
                               text->len ? ", " : "", unknown);
    return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                          _("“%s”: Unsupported qcow2 feature(s): %s; a newer program made it"),
                          q->parent.file->node->filename, text->str);
}

static char *string_of(const uint8_t *data, uint32_t length)
{
    return memchr(data, 0, length) ? NULL : g_strndup((const char *)data, length);
}

static bool read_bitmaps(VitQcow2 *q, const uint8_t *data, uint32_t length, unsigned at,
                         GError **error)
{
    VitQcow2BitmapsExt b;

    /* Without its autoclear bit somebody has written who knows no bitmaps: they are out of date. */
    if (!(q->autoclear & VIT_QCOW2_BITMAPS)) return true;
    if (length != 24) return corrupt(q, error, _("bitmaps extension"), at, _("has a wrong length"));
    b.count = vit_get32(data);
    b.directory_size = vit_get64(data + 8);
    b.directory_offset = vit_get64(data + 16);
    if (vit_get32(data + 4) != 0)
        return corrupt(q, error, _("bitmaps extension"), at,
                       _("has a reserved field that is not zero"));
    if (b.count == 0 || b.count > VIT_QCOW2_MAX_BITMAPS)
        return corrupt(q, error, _("number of bitmaps"), at, _("is not between 1 and 65535"));
    if (b.directory_size == 0 || b.directory_size > VIT_QCOW2_MAX_BITMAP_DIRECTORY)
        return corrupt(q, error, _("bitmap directory's size"), at, _("is absurd"));
    q->bitmaps = b;
    return check_table(q, error, "bitmap directory's offset", at, b.directory_offset,
                       b.directory_size);
}

static bool read_extension(VitQcow2 *q, uint32_t type, const uint8_t *data, uint32_t length,
                           unsigned at, GError **error)
{
    VitBlockNode *node = &q->parent;

    switch (type) {
    case VIT_QCOW2_EXT_BACKING_FORMAT:
        g_free(node->backing_format);
        node->backing_format = length < 16 ? string_of(data, length) : NULL;
        if (!node->backing_format)
            return corrupt(q, error, _("backing format's name"), at, _("is no name of a format"));
        return true;
    case VIT_QCOW2_EXT_DATA_FILE:
        g_free(q->data_file_name);
        q->data_file_name = length <= VIT_QCOW2_MAX_BACKING_NAME ? string_of(data, length) : NULL;
        if (!q->data_file_name)
            return corrupt(q, error, _("data file's name"), at, _("is no name of a file"));
        return true;
    case VIT_QCOW2_EXT_BITMAPS: return read_bitmaps(q, data, length, at, error);
    case VIT_QCOW2_EXT_CRYPTO:
        if (q->crypt_method != VIT_QCOW2_CRYPT_LUKS)
            return corrupt(q, error, _("encryption extension"), at,
                           _("is there although the image is not encrypted by LUKS"));
        if (length != 16)
            return corrupt(q, error, _("encryption extension"), at, _("has a wrong length"));
        q->crypto_header.offset = vit_get64(data);
        q->crypto_header.length = vit_get64(data + 8);
        return check_table(q, error, "encryption header's offset", at, q->crypto_header.offset,
                           q->crypto_header.length);
    case VIT_QCOW2_EXT_FEATURE_NAMES: return true;
    default: {
        VitQcow2Extension *e = g_new0(VitQcow2Extension, 1);
        *e = (VitQcow2Extension){ type, g_bytes_new(data, length) };
        g_ptr_array_add(q->extensions, e);
        return true;
    }
    }
}

/* from: where the extensions begin; end: of the area. */
static bool read_extensions(VitQcow2 *q, const uint8_t *cluster, uint64_t from, uint64_t end,
                            GError **error)
{
    const uint8_t *names = NULL;
    size_t names_size = 0;
    uint64_t unknown = q->incompatible & ~(uint64_t)VIT_QCOW2_INCOMPATIBLE_KNOWN;

    for (int pass = unknown ? 0 : 1; pass < 2; pass++) { /* 0: only names for the message */
        for (uint64_t at = from; at + 8 <= end;) {
            uint32_t type = vit_get32(cluster + at), length = vit_get32(cluster + at + 4);
            if (type == VIT_QCOW2_EXT_END) break;
            if (length > end - at - 8) {
                if (pass == 0) break;
                return corrupt(q, error, _("header extension"), (unsigned)at,
                               _("is longer than the space before the backing file's name"));
            }
            if (type == VIT_QCOW2_EXT_FEATURE_NAMES) {
                names = cluster + at + 8;
                names_size = length;
            }
            if (pass == 1 &&
                !read_extension(q, type, cluster + at + 8, length, (unsigned)at, error))
                return false;
            at += 8 + (((uint64_t)length + 7) & ~UINT64_C(7));
        }
        if (unknown) return unsupported_features(q, names, names_size, error);
    }
    return true;
}

static bool read_version3(VitQcow2 *q, const uint8_t *h, GError **error)
{
    q->incompatible = vit_get64(h + VIT_QCOW2_H_INCOMPATIBLE);
    q->compatible = vit_get64(h + VIT_QCOW2_H_COMPATIBLE);
    q->autoclear = vit_get64(h + VIT_QCOW2_H_AUTOCLEAR);
    q->refcount_order = vit_get32(h + VIT_QCOW2_H_REFCOUNT_ORDER);
    q->header_length = vit_get32(h + VIT_QCOW2_H_LENGTH);
    if (q->header_length < 104)
        return corrupt(q, error, "header_length", VIT_QCOW2_H_LENGTH,
                       _("is too short: qcow2 header "
                         "too short"));
    if (q->header_length > (UINT64_C(1) << q->cluster_bits))
        return corrupt(q, error, "header_length", VIT_QCOW2_H_LENGTH,
                       _("is too long: qcow2 header exceeds cluster size"));
    if (q->header_length % 8)
        return corrupt(q, error, "header_length", VIT_QCOW2_H_LENGTH, _("is not a multiple of 8"));
    if (q->refcount_order > 6)
        return corrupt(q, error, "refcount_order", VIT_QCOW2_H_REFCOUNT_ORDER,
                       _("is too large: Reference count entry width may not exceed 64 bits"));
    return true;
}

/* What depends on more than one field; the cluster is in memory. */
static bool check_fields(VitQcow2 *q, const uint8_t *h, GError **error)
{
    uint64_t size = q->parent.size;

    q->compression_type = q->header_length > VIT_QCOW2_H_COMPRESSION_TYPE
                              ? h[VIT_QCOW2_H_COMPRESSION_TYPE]
                              : VIT_QCOW2_ZLIB;
    if (((q->incompatible & VIT_QCOW2_COMPRESSION) != 0) != (q->compression_type != 0))
        return corrupt(q, error, "compression_type", VIT_QCOW2_H_COMPRESSION_TYPE,
                       _("contradicts its incompatible feature bit"));
    if (q->compression_type > VIT_QCOW2_ZSTD)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: unknown compression type: %u"),
                              q->parent.file->node->filename, q->compression_type);
    if ((q->incompatible & VIT_QCOW2_EXTENDED_L2) && q->cluster_bits < 14)
        return corrupt(q, error, "cluster_bits", VIT_QCOW2_H_CLUSTER_BITS,
                       _("is too small for extended L2 entries"));
    if (vit_qcow2_data_file_raw(q) && !vit_qcow2_has_data_file(q))
        q->autoclear &= ~(uint64_t)VIT_QCOW2_DATA_FILE_RAW;
    if (q->crypt_method > VIT_QCOW2_CRYPT_LUKS)
        return corrupt(q, error, "crypt_method", VIT_QCOW2_H_CRYPT_METHOD,
                       _("says an unknown encryption"));
    if (size > INT64_MAX) return corrupt(q, error, "size", VIT_QCOW2_H_SIZE, _("is absurd"));

    uint64_t rt_bytes = (uint64_t)q->rt_clusters << q->cluster_bits;
    if (q->rt_clusters == 0 && !q->parent.how.check)
        return corrupt(q, error, "refcount_table_clusters", VIT_QCOW2_H_RT_CLUSTERS,
                       _("is zero: Image does not contain a reference count table"));
    if (rt_bytes > VIT_QCOW2_MAX_RT_BYTES)
        return corrupt(q, error, "refcount_table_clusters", VIT_QCOW2_H_RT_CLUSTERS,
                       _("is too large: Reference count table too large"));
    if (!check_table(q, error, "refcount_table_offset", VIT_QCOW2_H_RT_OFFSET, q->rt_offset,
                     rt_bytes))
        return false;
    if (q->nb_snapshots > VIT_QCOW2_MAX_SNAPSHOTS)
        return corrupt(q, error, "nb_snapshots", VIT_QCOW2_H_NB_SNAPSHOTS,
                       _("is too large: Snapshot table too large"));
    if (!check_table(q, error, "snapshots_offset", VIT_QCOW2_H_SNAPSHOTS_OFFSET,
                     q->nb_snapshots ? q->snapshots_offset : 0, (uint64_t)q->nb_snapshots * 40))
        return false;

    unsigned shift = vit_qcow2_l1_shift(q);
    uint64_t needed = shift < 63 ? (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0)
                                 : (size != 0);
    if (q->l1_size > VIT_QCOW2_MAX_L1_BYTES / 8)
        return corrupt(q, error, "l1_size", VIT_QCOW2_H_L1_SIZE,
                       _("is too large: Active L1 table too large"));
    if (needed > q->l1_size)
        return corrupt(q, error, "l1_size", VIT_QCOW2_H_L1_SIZE,
                       _("is too small: L1 table is too small for the size of the disk"));
    q->vm_state_index = (uint32_t)needed;
    return check_table(q, error, "l1_table_offset", VIT_QCOW2_H_L1_OFFSET, q->l1_offset,
                       (uint64_t)q->l1_size * 8);
}

static bool read_backing_name(VitQcow2 *q, const uint8_t *cluster, uint64_t offset, uint32_t length,
                              GError **error)
{
    if (length > VIT_QCOW2_MAX_BACKING_NAME || length > q->cluster_size - offset)
        return corrupt(q, error, "backing_file_size", VIT_QCOW2_H_BACKING_SIZE,
                       _("is too large: Backing file name too long"));
    if (vit_qcow2_data_file_raw(q))
        return corrupt(q, error, "backing_file_offset", VIT_QCOW2_H_BACKING_OFFSET,
                       _("names a backing file, but the image has a raw data file"));
    q->parent.backing_file = string_of(cluster + offset, length);
    return q->parent.backing_file ||
           corrupt(q, error, _("backing file name"), (unsigned)offset, _("has a zero byte in it"));
}

bool vit_qcow2_read_header(VitQcow2 *q, GError **error)
{
    VitBlockNode *file = q->parent.file->node;
    uint8_t h[VIT_QCOW2_H_V3_LENGTH] = { 0 };
    uint64_t have = MIN(file->size, sizeof h);
    int result = have < VIT_QCOW2_H_V2_LENGTH ? 0 : vit_co_read(file, 0, h, have);

    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not read the header of “%s”"),
                                    file->filename);
    if (have < VIT_QCOW2_H_V2_LENGTH || vit_get32(h) != VIT_QCOW2_MAGIC)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: Image is not in qcow2 format"), file->filename);
    q->version = vit_get32(h + VIT_QCOW2_H_VERSION);
    if (q->version < 2 || q->version > 3)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: Unsupported qcow2 version %u"), file->filename, q->version);
    q->cluster_bits = vit_get32(h + VIT_QCOW2_H_CLUSTER_BITS);
    if (q->cluster_bits < VIT_QCOW2_MIN_CLUSTER_BITS ||
        q->cluster_bits > VIT_QCOW2_MAX_CLUSTER_BITS)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("“%s”: Unsupported cluster size: 2^%u (cluster_bits at offset 0x14)"), file->filename,
            q->cluster_bits);
    q->refcount_order = 4;
    q->header_length = VIT_QCOW2_H_V2_LENGTH;
    if (q->version == 3 && !read_version3(q, h, error)) return false;
    uint64_t backing_offset = vit_get64(h + VIT_QCOW2_H_BACKING_OFFSET);
    uint32_t backing_size = vit_get32(h + VIT_QCOW2_H_BACKING_SIZE);
    q->parent.size = vit_get64(h + VIT_QCOW2_H_SIZE);
    q->crypt_method = vit_get32(h + VIT_QCOW2_H_CRYPT_METHOD);
    q->l1_size = vit_get32(h + VIT_QCOW2_H_L1_SIZE);
    q->l1_offset = vit_get64(h + VIT_QCOW2_H_L1_OFFSET);
    q->rt_offset = vit_get64(h + VIT_QCOW2_H_RT_OFFSET);
    q->rt_clusters = vit_get32(h + VIT_QCOW2_H_RT_CLUSTERS);
    q->nb_snapshots = vit_get32(h + VIT_QCOW2_H_NB_SNAPSHOTS);
    q->snapshots_offset = vit_get64(h + VIT_QCOW2_H_SNAPSHOTS_OFFSET);
    vit_qcow2_derive(q);

    g_autofree uint8_t *cluster = g_malloc0(q->cluster_size);
    result = vit_co_read(file, 0, cluster, MIN(file->size, q->cluster_size));
    if (result < 0)
        return vit_block_fail_errno(error, result, _("Could not read the header of “%s”"),
                                    file->filename);
    if (backing_offset > q->cluster_size)
        return corrupt(q, error, "backing_file_offset", VIT_QCOW2_H_BACKING_OFFSET,
                       _("is not in the first cluster: Invalid backing file offset"));
    uint64_t end = backing_offset ? backing_offset : q->cluster_size;
    if (q->header_length > end)
        return corrupt(q, error, "backing_file_offset", VIT_QCOW2_H_BACKING_OFFSET,
                       _("lies within the header"));
    if (q->header_length > VIT_QCOW2_H_V3_LENGTH)
        q->unknown_header = g_bytes_new(cluster + VIT_QCOW2_H_V3_LENGTH,
                                        q->header_length - VIT_QCOW2_H_V3_LENGTH);
    if (!read_extensions(q, cluster, q->header_length, end, error) ||
        !check_fields(q, cluster, error))
        return false;
    if ((q->autoclear & VIT_QCOW2_BITMAPS) && q->bitmaps.count == 0)
        return corrupt(q, error, "autoclear_features", VIT_QCOW2_H_AUTOCLEAR,
                       _("says there are bitmaps, but there is no bitmaps extension"));
    if (q->crypt_method == VIT_QCOW2_CRYPT_LUKS && q->crypto_header.length == 0)
        return corrupt(q, error, "crypt_method", VIT_QCOW2_H_CRYPT_METHOD,
                       _("says LUKS, but there is no encryption extension"));
    return backing_offset == 0 ||
           read_backing_name(q, cluster, backing_offset, backing_size, error);
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *cluster;
    uint64_t at, size;
} Area;

static bool put_extension(Area *a, uint32_t type, const void *data, size_t length)
{
    uint64_t padded = (length + 7) & ~UINT64_C(7);

    if (a->size - a->at < padded + 16) return false; /* leaving room for the end mark */
    vit_put32(a->cluster + a->at, type);
    vit_put32(a->cluster + a->at + 4, (uint32_t)length);
    memcpy(a->cluster + a->at + 8, data, length);
    a->at += 8 + padded;
    return true;
}

static bool put_known(const VitQcow2 *q, Area *a, const char *backing_format)
{
    if (backing_format && *backing_format &&
        !put_extension(a, VIT_QCOW2_EXT_BACKING_FORMAT, backing_format, strlen(backing_format)))
        return false;
    if (vit_qcow2_has_data_file(q) && q->data_file_name &&
        !put_extension(a, VIT_QCOW2_EXT_DATA_FILE, q->data_file_name, strlen(q->data_file_name)))
        return false;
    if (q->crypto_header.length) {
        uint8_t data[16];
        vit_put64(data, q->crypto_header.offset);
        vit_put64(data + 8, q->crypto_header.length);
        if (!put_extension(a, VIT_QCOW2_EXT_CRYPTO, data, sizeof data)) return false;
    }
    if (q->version >= 3) {
        uint8_t names[G_N_ELEMENTS(feature_names) * FEATURE_NAME] = { 0 };
        for (unsigned i = 0; i < G_N_ELEMENTS(feature_names); i++) {
            uint8_t *e = names + i * FEATURE_NAME;
            e[0] = feature_names[i].type;
            e[1] = feature_names[i].bit;
            memcpy(e + 2, feature_names[i].name, strlen(feature_names[i].name));
        }
        /* Names are a courtesy: left out where the cluster is too small for them. */
        if (a->size > 1024)
            (void)put_extension(a, VIT_QCOW2_EXT_FEATURE_NAMES, names, sizeof names);
    }
    if (q->bitmaps.count) {
        uint8_t data[24] = { 0 };
        vit_put32(data, q->bitmaps.count);
        vit_put64(data + 8, q->bitmaps.directory_size);
        vit_put64(data + 16, q->bitmaps.directory_offset);
        if (!put_extension(a, VIT_QCOW2_EXT_BITMAPS, data, sizeof data)) return false;
    }
    for (guint i = 0; q->extensions && i < q->extensions->len; i++) {
        const VitQcow2Extension *e = q->extensions->pdata[i];
        gsize length;
        const void *data = g_bytes_get_data(e->data, &length);
        if (!put_extension(a, e->type, data, length)) return false;
    }
    return true;
}

/* All but the backing file's name; *end: where the extensions end. */
static int build_fields(const VitQcow2 *q, const char *backing_format, uint8_t *cluster,
                        uint64_t *end)
{
    uint8_t *h = cluster;
    Area a = { cluster, VIT_QCOW2_H_V2_LENGTH, q->cluster_size };

    vit_put32(h, VIT_QCOW2_MAGIC);
    vit_put32(h + VIT_QCOW2_H_VERSION, q->version);
    vit_put32(h + VIT_QCOW2_H_CLUSTER_BITS, q->cluster_bits);
    vit_put64(h + VIT_QCOW2_H_SIZE, q->parent.size);
    vit_put32(h + VIT_QCOW2_H_CRYPT_METHOD, q->crypt_method);
    vit_put32(h + VIT_QCOW2_H_L1_SIZE, q->l1_size);
    vit_put64(h + VIT_QCOW2_H_L1_OFFSET, q->l1_offset);
    vit_put64(h + VIT_QCOW2_H_RT_OFFSET, q->rt_offset);
    vit_put32(h + VIT_QCOW2_H_RT_CLUSTERS, q->rt_clusters);
    vit_put32(h + VIT_QCOW2_H_NB_SNAPSHOTS, q->nb_snapshots);
    vit_put64(h + VIT_QCOW2_H_SNAPSHOTS_OFFSET, q->snapshots_offset);
    if (q->version >= 3) {
        gsize more = q->unknown_header ? g_bytes_get_size(q->unknown_header) : 0;
        if (VIT_QCOW2_H_V3_LENGTH + more > q->cluster_size - 8) return -ENOSPC;
        a.at = VIT_QCOW2_H_V3_LENGTH + more;
        vit_put64(h + VIT_QCOW2_H_INCOMPATIBLE, q->incompatible);
        vit_put64(h + VIT_QCOW2_H_COMPATIBLE, q->compatible);
        vit_put64(h + VIT_QCOW2_H_AUTOCLEAR, q->autoclear);
        vit_put32(h + VIT_QCOW2_H_REFCOUNT_ORDER, q->refcount_order);
        vit_put32(h + VIT_QCOW2_H_LENGTH, (uint32_t)a.at);
        h[VIT_QCOW2_H_COMPRESSION_TYPE] = q->compression_type;
        if (more)
            memcpy(h + VIT_QCOW2_H_V3_LENGTH, g_bytes_get_data(q->unknown_header, NULL), more);
    }
    if (!put_known(q, &a, backing_format)) return -ENOSPC;
    *end = a.at + 8; /* the end mark, all zeroes */
    return *end <= a.size ? 0 : -ENOSPC;
}

static int put_name(const VitQcow2 *q, const char *name, uint64_t at, uint8_t *cluster)
{
    size_t length = name ? strlen(name) : 0;

    if (length == 0) return 0;
    if (length > VIT_QCOW2_MAX_BACKING_NAME) return -EINVAL;
    if (at > q->cluster_size || length > q->cluster_size - at) return -ENOSPC;
    memcpy(cluster + at, name, length);
    vit_put64(cluster + VIT_QCOW2_H_BACKING_OFFSET, at);
    vit_put32(cluster + VIT_QCOW2_H_BACKING_SIZE, (uint32_t)length);
    return 0;
}

int vit_qcow2_build_header(const VitQcow2 *q, const char *backing_file, const char *backing_format,
                           uint8_t *cluster)
{
    uint64_t end;
    int result = build_fields(q, backing_format, cluster, &end);

    return result < 0 ? result : put_name(q, backing_file, end, cluster);
}

/* The same over what is there: the name that the old first sector leads to stays where it is, so
 * that both the old and the new first sector are right with the rest. */
static int rebuild(const VitQcow2 *q, const uint8_t *old, uint8_t *fresh)
{
    const char *name = q->parent.backing_file;
    uint64_t from = vit_get64(old + VIT_QCOW2_H_BACKING_OFFSET), end, at;
    uint64_t bytes = vit_get32(old + VIT_QCOW2_H_BACKING_SIZE);
    uint64_t length = name ? strlen(name) : 0;
    int result = build_fields(q, q->parent.backing_format, fresh, &end);

    if (result < 0) return result;
    bool kept = bytes > 0 && bytes <= MIN(VIT_QCOW2_MAX_BACKING_NAME, q->cluster_size) &&
                from >= end && from <= q->cluster_size - bytes;
    at = end;
    if (kept) {
        uint64_t after = (from + bytes + 7) & ~UINT64_C(7);
        memcpy(fresh + from, old + from, bytes);
        if (length == bytes && memcmp(old + from, name, bytes) == 0) at = from;
        else if (end + length > from && after + length <= q->cluster_size) at = after;
    }
    return put_name(q, name, at, fresh);
}

int vit_qcow2_write_header(VitQcow2 *q)
{
    VitBlockNode *file = q->parent.file->node;
    g_autofree uint8_t *fresh = g_malloc0(q->cluster_size);
    g_autofree uint8_t *old = g_malloc0(q->cluster_size);
    int result = vit_co_read(file, 0, old, MIN(file->size, q->cluster_size));

    if (result == 0) result = rebuild(q, old, fresh);
    if (result < 0) return result;
    /* From the end: the first sector, which says where things are, comes last. */
    for (uint64_t end = q->cluster_size; end > 0;) {
        uint64_t at = end - SECTOR;
        if (memcmp(fresh + at, old + at, SECTOR) == 0) {
            end = at;
            continue;
        }
        while (at > SECTOR && memcmp(fresh + at - SECTOR, old + at - SECTOR, SECTOR) != 0)
            at -= SECTOR;
        if (end <= SECTOR && (result = vit_co_flush(file)) < 0) return result;
        result = vit_co_write(file, at, fresh + at, end - at, 0);
        if (result < 0) return result;
        end = at;
    }
    return vit_co_flush(file);
}

int vit_qcow2_write_field(VitQcow2 *q, unsigned at, const void *field, unsigned bytes)
{
    int result = vit_co_write(q->parent.file->node, at, field, bytes, 0);

    return result < 0 ? result : vit_co_flush(q->parent.file->node);
}

int vit_qcow2_set_incompatible(VitQcow2 *q, uint64_t set, uint64_t clear)
{
    uint64_t value = (q->incompatible | set) & ~clear;
    uint8_t field[8];

    if (value == q->incompatible) return 0;
    if (q->version < 3) return -ENOTSUP;
    vit_put64(field, value);
    int result = vit_qcow2_write_field(q, VIT_QCOW2_H_INCOMPATIBLE, field, sizeof field);
    if (result == 0) q->incompatible = value;
    return result;
}

int vit_qcow2_corrupt(VitQcow2 *q, const char *format, ...)
{
    va_list args;

    if (q->broken) return -EIO;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    bool writable = !q->parent.how.read_only && q->version >= 3;
    g_message("qcow2: “%s”: %s: %s", q->parent.filename,
              writable ? "marking the image as corrupt" : "the image is corrupt", text);
    q->broken = true;
    if (writable && vit_qcow2_set_incompatible(q, VIT_QCOW2_CORRUPT, 0) < 0)
        g_message("qcow2: “%s”: could not set the corrupt bit", q->parent.filename);
    return -EIO;
}
