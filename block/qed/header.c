/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qed/header.c - the header of a QED image: reading, refusing, writing, and new images */
#include "block/qed/qed.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* Byte offsets of the fields ("Header" of the specification). */
enum {
    AT_MAGIC = 0,
    AT_CLUSTER_SIZE = 4,
    AT_TABLE_SIZE = 8,
    AT_HEADER_SIZE = 12,
    AT_FEATURES = 16,
    AT_COMPAT = 24,
    AT_AUTOCLEAR = 32,
    AT_L1 = 40,
    AT_IMAGE_SIZE = 48,
    AT_BACKING_OFFSET = 56,
    AT_BACKING_SIZE = 60
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return GUINT32_FROM_LE(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return GUINT64_FROM_LE(v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, sizeof v);
}

void qed_header_decode(QedHeader *h, const uint8_t buf[QED_HEADER_BYTES])
{
    *h = (QedHeader){ .cluster_size = get32(buf + AT_CLUSTER_SIZE),
                      .table_size = get32(buf + AT_TABLE_SIZE),
                      .header_size = get32(buf + AT_HEADER_SIZE),
                      .features = get64(buf + AT_FEATURES),
                      .compat_features = get64(buf + AT_COMPAT),
                      .autoclear_features = get64(buf + AT_AUTOCLEAR),
                      .l1_table_offset = get64(buf + AT_L1),
                      .image_size = get64(buf + AT_IMAGE_SIZE),
                      .backing_filename_offset = get32(buf + AT_BACKING_OFFSET),
                      .backing_filename_size = get32(buf + AT_BACKING_SIZE) };
}

void qed_header_encode(const QedHeader *h, uint8_t buf[QED_HEADER_BYTES])
{
    put32(buf + AT_MAGIC, QED_MAGIC);
    put32(buf + AT_CLUSTER_SIZE, h->cluster_size);
    put32(buf + AT_TABLE_SIZE, h->table_size);
    put32(buf + AT_HEADER_SIZE, h->header_size);
    put64(buf + AT_FEATURES, h->features);
    put64(buf + AT_COMPAT, h->compat_features);
    put64(buf + AT_AUTOCLEAR, h->autoclear_features);
    put64(buf + AT_L1, h->l1_table_offset);
    put64(buf + AT_IMAGE_SIZE, h->image_size);
    put32(buf + AT_BACKING_OFFSET, h->backing_filename_offset);
    put32(buf + AT_BACKING_SIZE, h->backing_filename_size);
}

uint64_t qed_max_size(const QedHeader *h)
{
    uint64_t entries = (uint64_t)h->table_size * h->cluster_size / 8, size;

    if (__builtin_mul_overflow(entries, entries, &size) ||
        __builtin_mul_overflow(size, h->cluster_size, &size))
        return INT64_MAX;
    return MIN(size, INT64_MAX);
}

static bool power_of_2(uint32_t v)
{
    return v && (v & (v - 1)) == 0;
}

static bool corrupt(GError **error, const char *name, const char *what, uint64_t value, int at)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                          _("“%s”: %s (0x%" PRIx64 ", header offset %d)"), name, what, value, at);
}

bool qed_header_check(const QedHeader *h, const char *name, uint64_t file_size, GError **error)
{
    uint64_t table, end;

    if (h->features & ~(uint64_t)QED_F_KNOWN)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: Unsupported QED features: 0x%" PRIx64
                                "; open it with the program that made it"),
                              name, h->features & ~(uint64_t)QED_F_KNOWN);
    if (!power_of_2(h->cluster_size) || h->cluster_size < QED_MIN_CLUSTER ||
        h->cluster_size > QED_MAX_CLUSTER)
        return corrupt(error, name, _("QED cluster size is invalid"), h->cluster_size,
                       AT_CLUSTER_SIZE);
    if (!power_of_2(h->table_size) || h->table_size > QED_MAX_TABLE)
        return corrupt(error, name, _("QED table size is invalid"), h->table_size, AT_TABLE_SIZE);
    if (h->header_size == 0 || h->header_size > file_size / h->cluster_size + 1)
        return corrupt(error, name, _("QED header size is invalid"), h->header_size,
                       AT_HEADER_SIZE);
    if (h->image_size == 0 || h->image_size % 512 || h->image_size > qed_max_size(h))
        return corrupt(error, name, _("QED image size is invalid"), h->image_size, AT_IMAGE_SIZE);
    table = (uint64_t)h->table_size * h->cluster_size;
    if (h->l1_table_offset & (h->cluster_size - 1) ||
        h->l1_table_offset < (uint64_t)h->header_size * h->cluster_size ||
        __builtin_add_overflow(h->l1_table_offset, table, &end) ||
        end - h->cluster_size >= file_size)
        return corrupt(error, name, _("QED table offset is invalid"), h->l1_table_offset, AT_L1);
    if (!(h->features & QED_F_BACKING_FILE)) return true;
    if (h->backing_filename_size == 0 || h->backing_filename_size > QED_MAX_NAME)
        return corrupt(error, name, _("QED backing file name length is invalid"),
                       h->backing_filename_size, AT_BACKING_SIZE);
    if ((uint64_t)h->backing_filename_offset + h->backing_filename_size >
        (uint64_t)h->header_size * h->cluster_size)
        return corrupt(error, name, _("QED backing file name lies outside of the header"),
                       h->backing_filename_offset, AT_BACKING_OFFSET);
    return true;
}

int qed_write_header(Qed *q)
{
    uint8_t sector[512];
    VitBlockNode *file = q->parent.file->node;
    /* The rest of the sector may hold the backing file's name or what others put there. */
    int result = vit_co_read(file, 0, sector, sizeof sector);

    if (result < 0) return result;
    qed_header_encode(&q->header, sector);
    return vit_co_write(file, 0, sector, sizeof sector, 0);
}

/* clang-format off */
const VitBlockOption qed_create_options[] = {
    { "backing_file", VIT_OPT_STRING, "File name of a base image", NULL, false },
    { "backing_fmt", VIT_OPT_STRING, "Image format of the base image", NULL, false },
    { "cluster_size", VIT_OPT_SIZE, "Cluster size (in bytes)", "65536", false },
    { "size", VIT_OPT_SIZE, "Virtual disk size", NULL, false },
    { "table_size", VIT_OPT_SIZE, "L1/L2 table size (in clusters)", NULL, false },
    { .name = NULL },
};
/* clang-format on */

static bool write_new(const QedHeader *h, VitBlockNode *file, const char *backing, GError **error)
{
    uint64_t head = h->cluster_size, table = (uint64_t)h->table_size * h->cluster_size;
    g_autofree uint8_t *first = g_malloc0(QED_MIN_CLUSTER);
    int result;

    qed_header_encode(h, first);
    if (backing) memcpy(first + h->backing_filename_offset, backing, h->backing_filename_size);
    /* The header last: until then it is no image. */
    result = vit_co_zero(file, 0, head + table, 0);
    if (result == 0) result = vit_co_flush(file);
    if (result == 0) result = vit_co_write(file, 0, first, QED_MIN_CLUSTER, 0);
    if (result == 0) result = vit_co_flush(file);
    return result == 0 ||
           vit_block_fail_errno(error, result, _("Could not write “%s”"), file->filename);
}

bool qed_create(VitBlockCreate *create, GError **error)
{
    const char *backing = create->backing_file && *create->backing_file ? create->backing_file
                                                                        : NULL;
    uint64_t cluster = 65536, table = 4;

    if (!vit_block_args_size(create->options, "cluster_size", &cluster, error) ||
        !vit_block_args_size(create->options, "table_size", &table, error))
        return false;
    if (cluster < QED_MIN_CLUSTER || cluster > QED_MAX_CLUSTER || (cluster & (cluster - 1)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("QED cluster size must be within range [%u, %u] and power of 2"),
                              QED_MIN_CLUSTER, QED_MAX_CLUSTER);
    if (table < 1 || table > QED_MAX_TABLE || (table & (table - 1)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("QED table size must be within range [%u, %u] and power of 2"), 1,
                              QED_MAX_TABLE);
    QedHeader h = { .cluster_size = (uint32_t)cluster,
                    .table_size = (uint32_t)table,
                    .header_size = 1,
                    .l1_table_offset = cluster,
                    .image_size = create->size };
    /* Beyond 64 bits QEMU counts from 0 again, and does not open what it takes for too large. */
    uint64_t entries = table * cluster / sizeof(uint64_t), most = entries * entries * cluster;
    if (create->size == 0 || create->size > MIN(most, qed_max_size(&h)))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("QED image size must be a non-zero multiple of cluster size and "
                                "less than %" PRIu64 " bytes"),
                              most);
    if (backing) {
        size_t length = strlen(backing);
        if (length > QED_MAX_NAME)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("QED backing file name has more than %u bytes"), QED_MAX_NAME);
        h.features = QED_F_BACKING_FILE;
        h.backing_filename_offset = QED_HEADER_BYTES;
        h.backing_filename_size = (uint32_t)length;
        if (create->backing_format && strcmp(create->backing_format, "raw") == 0)
            h.features |= QED_F_BACKING_FORMAT_NO_PROBE;
    }
    VitBlockNode *file = vit_co_create_begin(create, error);
    if (!file) return false;
    bool good = write_new(&h, file, backing, error);
    vit_block_node_unref(file);
    return good;
}
