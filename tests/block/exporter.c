/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/exporter.c - exporter NBD-SERVER|- FORMAT IMAGE FLAGS EXPORT...: the exports of an
 * image for the tests; FLAGS: any of r (read-only), u (discard=unmap), d (no host cache), n (takes
 * no memory that its owner could take away), "-"
 *
 * Says "ready", then obeys lines: "remove ID", "kill ID", "list"; ends at the end of input. */
#include "app/cli/shared-memory.h"
#include "block/export.h"

#include <stdio.h>
#include <string.h>

static void obey(VitBlockExports *exports, char *line)
{
    g_autoptr(GError) error = NULL;
    char *id = strchr(line, ' ');

    if (id) *id++ = 0;
    if (strcmp(line, "list") == 0) {
        g_autoptr(JsonArray) list = vit_block_exports_list(exports);
        g_autoptr(JsonNode) node = json_node_init_array(json_node_alloc(), list);
        g_autofree char *text = json_to_string(node, FALSE);
        puts(text);
    } else if (vit_block_exports_remove(exports, id ?: "", strcmp(line, "kill") == 0, &error)) {
        puts("gone");
    } else {
        puts(error->message);
    }
    fflush(stdout);
}

static bool begin(VitBlockGraph *graph, VitBlockExports *exports, char **argv, VitBlockNode **node,
                  GError **error)
{
    unsigned flags = (strchr(argv[4], 'r') ? VIT_OPEN_READ_ONLY : 0u) |
                     (strchr(argv[4], 'u') ? VIT_OPEN_DISCARD : 0u) |
                     (strchr(argv[4], 'd') ? VIT_OPEN_DIRECT : 0u);

    *node = vit_block_graph_open_image(graph, argv[3], argv[2], NULL, flags, error);
    if (!*node) return false;
    if (strcmp(argv[1], "-") != 0) {
        g_autoptr(VitBlockArgs) args = vit_block_args_parse("server", argv[1], NULL, error);
        if (!args || !vit_block_exports_nbd_start(exports, args, error)) return false;
    }
    for (char **text = argv + 5; *text; text++) {
        g_autoptr(VitBlockArgs) args = vit_block_args_parse("export", *text, NULL, error);
        if (!args) return false;
        vit_block_args_set(args, "node-name", vit_block_node_name(*node));
        if (!vit_block_exports_add(exports, args, error)) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    VitBlockNode *node = NULL;
    char line[256];

    if (argc < 5) return 2;
    VitIoThread *thread = vit_io_thread_new("exports");
    VitBlockGraph *graph = vit_block_graph_new(thread);
    VitBlockExports *exports = vit_block_exports_new(graph);
    if (!strchr(argv[4], 'n'))
        vit_block_exports_set_memory_guard(exports, cli_guard_shared_memory());
    bool good = begin(graph, exports, argv, &node, &error);
    puts(good ? "ready" : error->message);
    fflush(stdout);
    while (good && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        obey(exports, line);
    }
    vit_block_exports_free(exports);
    vit_block_node_unref(node);
    vit_block_graph_free(graph);
    vit_io_thread_free(thread);
    return good ? 0 : 1;
}
