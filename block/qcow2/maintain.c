/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/qcow2/maintain.c - another backing file, an image emptied after a commit */
#include "block/qcow2/qcow2.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

bool vit_qcow2_co_change_backing(VitBlockNode *node, const char *file, const char *format,
                                 GError **error)
{
    VitQcow2 *q = (VitQcow2 *)node;

    if (file && !*file) file = NULL;
    if (file && vit_qcow2_data_file_raw(q))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("“%s”: an image with a raw data file has no backing file"),
                              node->filename);
    if (file && strlen(file) > VIT_QCOW2_MAX_BACKING_NAME)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The backing file's name is longer than 1023 bytes"));
    char *old_file = node->backing_file, *old_format = node->backing_format;
    node->backing_file = g_strdup(file);
    node->backing_format = file ? g_strdup(format) : NULL;
    vit_fiber_mutex_lock(&q->meta);
    int result = q->broken ? -EIO : vit_qcow2_sync(q);
    if (result == 0) result = vit_qcow2_write_header(q);
    vit_fiber_mutex_unlock(&q->meta);
    if (result < 0) {
        g_free(node->backing_file);
        g_free(node->backing_format);
        node->backing_file = old_file;
        node->backing_format = old_format;
        return vit_block_fail_errno(error, result,
                                    _("Could not change the backing file of “%s” to “%s”"),
                                    node->filename, file ?: "");
    }
    g_free(old_file);
    g_free(old_format);
    return true;
}

int vit_qcow2_co_make_empty(VitBlockNode *node)
{
    VitQcow2 *q = (VitQcow2 *)node;

    vit_co_drain_begin(node);
    vit_fiber_mutex_lock(&q->meta);
    vit_co_event(node->file->node, VIT_EVENT_EMPTY_IMAGE_PREPARE);
    int result = q->broken ? -EIO : vit_qcow2_unmap_tail(q, 0);
    if (result == 0) result = vit_qcow2_sync(q);
    if (result == 0) result = vit_qcow2_sync(q); /* and the refcounts that have changed by it */
    vit_fiber_mutex_unlock(&q->meta);
    vit_co_drain_end(node);
    return result;
}
