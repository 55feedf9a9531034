/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/session/image.c - what a disk image is, asked once before a machine gets it
 *
 * A machine's description names the format: a guest could write another format's header into a raw
 * disk and would be believed if the format were guessed at each start. */
#include "block/node.h"
#include "engine/vitrine.h"

void vit_image_info_free(VitImageInfo *info)
{
    if (!info) return;
    g_free(info->format);
    g_free(info);
}

static void inspect(GTask *task, gpointer source, gpointer path, GCancellable *cancellable)
{
    const VitBlockOptions how = { .read_only = true, .force_share = true, .no_io = true };
    GError *error = NULL;
    VitIoThread *thread = vit_io_thread_new("image");
    VitBlockNode *node = vit_block_open(NULL, path, &how, thread, &error);

    if (node) {
        VitBlockInfo facts = vit_block_info(node);
        VitImageInfo *info = g_new0(VitImageInfo, 1);
        info->format = g_strdup(vit_block_node_format(node));
        info->size = facts.size;
        info->encrypted = facts.encrypted;
        vit_block_node_close(node);
        g_task_return_pointer(task, info, (GDestroyNotify)vit_image_info_free);
    } else {
        g_task_return_error(task, error);
    }
    vit_io_thread_free(thread);
}

void vit_image_inspect_async(const char *path, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, data);

    g_task_set_source_tag(task, vit_image_inspect_async);
    g_task_set_task_data(task, g_strdup(path), g_free);
    g_task_run_in_thread(task, inspect);
}

VitImageInfo *vit_image_inspect_finish(GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, NULL), NULL);
    return g_task_propagate_pointer(G_TASK(result), error);
}
