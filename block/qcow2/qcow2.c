/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/qcow2.c - the driver's description, and what "info" says of an image */
#include "block/qcow2/qcow2.h"

#include "block/drivers.h"
#include "block/qcow2/meta.h"

static int probe(const uint8_t *head, size_t size, const uint8_t *tail, const char *filename)
{
    bool magic = size >= 8 && vit_get32(head) == VIT_QCOW2_MAGIC;

    return magic && vit_get32(head + VIT_QCOW2_H_VERSION) >= 2 ? 100 : 0;
}

void vit_qcow2_info(VitBlockNode *node, VitBlockInfo *info)
{
    VitQcow2 *q = (VitQcow2 *)node;

    info->cluster_size = (uint32_t)q->cluster_size;
    info->can_discard = true;
    info->can_compress = !vit_qcow2_has_data_file(q) && !q->crypt_method;
    info->zero_init = q->new_is_zero;
    info->dirty = q->incompatible & VIT_QCOW2_DIRTY;
    info->encrypted = q->crypt_method != VIT_QCOW2_CRYPT_NONE;
    info->vm_state_offset = (uint64_t)q->vm_state_index << vit_qcow2_l1_shift(q);
}

JsonObject *vit_qcow2_co_specific(VitBlockNode *node, GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;
    JsonObject *data = json_object_new(), *result = json_object_new();

    json_object_set_string_member(data, "compat", q->version >= 3 ? "1.1" : "0.10");
    json_object_set_string_member(data, "compression-type",
                                  q->compression_type == VIT_QCOW2_ZSTD ? "zstd" : "zlib");
    if (q->version >= 3)
        json_object_set_boolean_member(data, "lazy-refcounts",
                                       q->compatible & VIT_QCOW2_LAZY_REFCOUNTS);
    if (!vit_qcow2_bitmaps_specific(q, data, error)) {
        json_object_unref(data);
        json_object_unref(result);
        return NULL;
    }
    json_object_set_int_member(data, "refcount-bits", q->refcount_bits);
    if (q->crypt_method)
        json_object_set_object_member(data, "encrypt", vit_qcow2_crypto_describe(q));
    if (q->version >= 3) {
        json_object_set_boolean_member(data, "corrupt", q->incompatible & VIT_QCOW2_CORRUPT);
        json_object_set_boolean_member(data, "extended-l2",
                                       q->incompatible & VIT_QCOW2_EXTENDED_L2);
        if (vit_qcow2_has_data_file(q)) {
            if (q->data_file_name)
                json_object_set_string_member(data, "data-file", q->data_file_name);
            json_object_set_boolean_member(data, "data-file-raw", vit_qcow2_data_file_raw(q));
        }
    }
    json_object_set_string_member(result, "type", "qcow2");
    json_object_set_object_member(result, "data", data);
    return result;
}

const VitBlockDriver vit_block_qcow2_driver = {
    .name = "qcow2",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(VitQcow2),
    .create_options = vit_qcow2_create_options,
    .amend_options = vit_qcow2_amend_options,
    .supports_backing = true,
    .fits_devices = true,
    .probe = probe,
    .co_open = vit_qcow2_co_open,
    .co_close = vit_qcow2_co_close,
    .co_reopen = vit_qcow2_co_reopen,
    .co_read = vit_qcow2_co_read,
    .co_write = vit_qcow2_co_write,
    .co_write_zeroes = vit_qcow2_co_write_zeroes,
    .co_discard = vit_qcow2_co_discard,
    .co_flush = vit_qcow2_co_flush,
    .co_status = vit_qcow2_co_status,
    .co_truncate = vit_qcow2_co_truncate,
    .try_submit = vit_qcow2_try_submit,
    .info = vit_qcow2_info,
    .co_specific = vit_qcow2_co_specific,
    .detach = vit_qcow2_detach,
    .attach = vit_qcow2_attach,
    .co_create = vit_qcow2_co_create,
    .co_amend = vit_qcow2_co_amend,
    .co_check = vit_qcow2_co_check,
    .co_snapshot_list = vit_qcow2_co_snapshot_list,
    .co_snapshot_create = vit_qcow2_co_snapshot_create,
    .co_snapshot_goto = vit_qcow2_co_snapshot_goto,
    .co_snapshot_delete = vit_qcow2_co_snapshot_delete,
    .co_snapshot_load = vit_qcow2_co_snapshot_load,
    .co_load_vmstate = vit_qcow2_co_load_vmstate,
    .co_save_vmstate = vit_qcow2_co_save_vmstate,
    .co_bitmap_can_store = vit_qcow2_co_bitmap_can_store,
    .co_bitmap_remove = vit_qcow2_co_bitmap_remove,
    .co_measure = vit_qcow2_co_measure,
    .co_change_backing = vit_qcow2_co_change_backing,
    .co_make_empty = vit_qcow2_co_make_empty,
};
