/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/overlay.c - see overlay.h */
#include "app/cli/overlay.h"

#include "block/driver.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

VitBlockNode *cli_open_overlay(VitBlockGraph *graph, VitBlockNode *below, GError **error)
{
    const char *folder = g_getenv("TMPDIR") ?: "/var/tmp";
    g_autofree char *path = g_build_filename(folder, "vitrine-XXXXXX", NULL);
    g_autoptr(JsonObject) extra = json_object_new();
    VitBlockNode *top = NULL;
    int fd = g_mkstemp(path);

    if (fd < 0) {
        vit_block_fail_errno(error, -errno, "Could not create a temporary file in “%s”", folder);
        return NULL;
    }
    close(fd);
    json_object_set_string_member(extra, "backing", vit_block_node_name(below));
    if (vit_block_graph_create(graph, path, "qcow2", vit_block_info(below).size, NULL, NULL, NULL,
                               error))
        top = vit_block_graph_open_image(graph, path, "qcow2", extra, VIT_OPEN_NO_FLUSH, error);
    g_unlink(path);
    return top;
}
