/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/mover.c - mover MOVES FLAGS NODE [OBJECT...]: a node of any driver (NODE: "json:...")
 * that changes its iothread while it is worked on; FLAGS: any of r (read-only), v (keeps nothing
 * when it is closed), x (what is read is not looked at), "-".  Without arguments: the drivers. */
#include "tests/block/move-load.h"
#include "block/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, LARGEST = 64 << 20 };

typedef struct {
    VitBlockGraph *graph; /* owned, like the threads */
    VitIoThread *threads[THREADS];
    const char *flags, *name;
    unsigned moves;
} Mover;

static bool complain(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return false;
}

static VitBlockNode *open_node(const Mover *m)
{
    g_autoptr(GError) error = NULL;
    unsigned flags = strchr(m->flags, 'r') ? VIT_OPEN_READ_ONLY : 0;
    VitBlockNode *node = vit_block_graph_open_image(m->graph, m->name, NULL, NULL, flags, &error);

    if (!node) complain(error->message);
    return node;
}

static bool move(MoveLoad *load, VitIoThread *to)
{
    g_autoptr(GError) error = NULL;

    if (!vit_block_move(load->root, to, &error)) return complain(error->message);
    return vit_block_node_thread(load->root) == to || complain("it has not come");
}

static bool holds_content(const MoveLoad *load)
{
    g_autofree uint8_t *back = g_malloc(load->size);
    int code = vit_block_read_sync(load->root, 0, back, load->size);

    if (code < 0) return complain(g_strerror(-code));
    return load->vague || memcmp(back, load->content, load->size) == 0 ||
           complain("it holds something else");
}

/* It goes round with requests in flight, twice without any, and is closed away from home. */
static bool wander(const Mover *m, MoveLoad *load)
{
    bool good = holds_content(load);

    move_load_run(load);
    for (unsigned i = 1; i <= m->moves && good; i++) {
        good = move(load, m->threads[i % THREADS]);
        g_usleep((gulong)g_random_int_range(0, 4000));
    }
    move_load_halt(load);
    for (unsigned i = 1; i <= 2 && good; i++)
        good = move(load, m->threads[(m->moves + i) % THREADS]) && holds_content(load);
    if (good && load->wrong) good = complain("requests failed");
    if (good && load->told != m->moves + 2) good = complain("its user was not told");
    printf("%u moves, %" G_GUINT64_FORMAT " requests\n", load->told, load->done);
    return good;
}

static bool try_node(const Mover *m)
{
    bool read_only = strchr(m->flags, 'r') != NULL;
    VitBlockNode *node = open_node(m);
    MoveLoad load;

    if (!node) return false;
    uint64_t size = vit_block_info(node).size;
    if (size > LARGEST) return complain("it is too large");
    uint8_t *content = g_malloc0(size);
    if (vit_block_read_sync(node, 0, content, size) < 0) complain("it cannot be read");
    move_load_begin(&load, node, read_only, content);
    load.vague = strchr(m->flags, 'x') != NULL;
    bool good = wander(m, &load);
    g_autofree uint8_t *wanted = g_steal_pointer(&load.content);
    move_load_end(&load);
    if (!good || strchr(m->flags, 'v')) return good;
    if (!(node = open_node(m))) return false; /* once more: what was written has come there */
    move_load_begin(&load, node, read_only, g_steal_pointer(&wanted));
    good = move(&load, m->threads[1]) && holds_content(&load);
    move_load_end(&load);
    return good;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const VitBlockDriver *const *drivers = vit_block_drivers();

    for (unsigned i = 0; argc == 1 && drivers[i]; i++) puts(drivers[i]->name);
    if (argc < 4) return argc == 1 ? 0 : 2;
    Mover m = { .moves = (unsigned)atoi(argv[1]), .flags = argv[2], .name = argv[3] };
    for (unsigned i = 0; i < THREADS; i++) m.threads[i] = vit_io_thread_new("disk");
    m.graph = vit_block_graph_new(m.threads[0]);
    bool good = true;
    for (int i = 4; i < argc && good; i++) {
        good = vit_block_objects_add_text(vit_block_graph_objects(m.graph), argv[i], &error);
        if (!good) complain(error->message);
    }
    good = good && try_node(&m);
    vit_block_graph_free(m.graph);
    for (unsigned i = 0; i < THREADS; i++) vit_io_thread_free(m.threads[i]);
    return good ? 0 : 1;
}
