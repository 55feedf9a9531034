/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/move-load.c - see move-load.h */
#include "tests/block/move-load.h"

#include <string.h>

enum { SECTOR = 512, MOST = 64 << 10 };

static void moved(void *opaque, VitIoThread *thread)
{
    MoveLoad *l = opaque;

    g_assert_true(vit_io_thread_is_current(thread));
    g_assert_true(vit_block_node_thread(l->root) == thread);
    l->told++;
}

static const VitBlockUser user = { .moved = moved };

static void next(MoveSlot *s);

static void done(VitBlockRequest *req)
{
    MoveSlot *s = req->opaque;
    MoveLoad *l = s->load;

    g_assert_true(vit_io_thread_is_current(vit_block_node_thread(l->root)));
    if (req->result < 0) l->wrong++;
    else if (req->op == VIT_BLOCK_READ && !l->vague)
        l->wrong += memcmp(s->buf, l->content + req->offset, req->bytes) != 0;
    l->done++;
    if (g_atomic_int_get(&l->stop)) g_atomic_int_dec_and_test(&l->running);
    else next(s);
}

static VitBlockOp choose(MoveLoad *l)
{
    uint32_t kind = g_rand_int_range(l->random, 0, 10);

    if (l->read_only) return kind < 9 ? VIT_BLOCK_READ : VIT_BLOCK_FLUSH;
    return kind < 4   ? VIT_BLOCK_READ
           : kind < 8 ? VIT_BLOCK_WRITE
           : kind < 9 ? VIT_BLOCK_WRITE_ZEROES
                      : VIT_BLOCK_FLUSH;
}

static void next(MoveSlot *s)
{
    MoveLoad *l = s->load;
    uint64_t sectors = (s->end - s->begin) / SECTOR;
    uint64_t at = g_rand_int_range(l->random, 0, (gint32)sectors);
    uint64_t n = g_rand_int_range(l->random, 1, (gint32)MIN(sectors - at, MOST / SECTOR) + 1);
    VitBlockRequest *r = &s->req;

    *r = (VitBlockRequest){ .op = choose(l),
                            .offset = s->begin + at * SECTOR,
                            .bytes = n * SECTOR,
                            .iov = &s->iov,
                            .niov = 1,
                            .done = done,
                            .opaque = s };
    s->iov = (struct iovec){ s->buf, r->bytes };
    if (r->op == VIT_BLOCK_WRITE) {
        memset(s->buf, (int)g_rand_int_range(l->random, 0, 256), r->bytes);
        memcpy(l->content + r->offset, s->buf, r->bytes);
    } else if (r->op == VIT_BLOCK_WRITE_ZEROES) {
        memset(l->content + r->offset, 0, r->bytes);
    }
    vit_block_submit(l->root, r);
}

static void start(void *opaque)
{
    MoveLoad *l = opaque;

    for (unsigned i = 0; i < MOVE_LOAD_DEPTH; i++) next(&l->slots[i]);
}

void move_load_begin(MoveLoad *load, VitBlockNode *node, bool read_only, uint8_t *content)
{
    g_autoptr(GError) error = NULL;
    uint64_t size = vit_block_info(node).size / SECTOR * SECTOR;
    uint64_t part = size / MOVE_LOAD_DEPTH / SECTOR * SECTOR;

    *load = (MoveLoad){ .root = vit_block_root_new(node, "root"),
                        .size = size,
                        .read_only = read_only,
                        .content = content ?: g_malloc0(size),
                        .random = g_rand_new_with_seed(4711) };
    load->use = vit_block_use(load->root, vit_block_device_claim(read_only, false), "dev", &user,
                              load, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < MOVE_LOAD_DEPTH; i++)
        load->slots[i] = (MoveSlot){
            .load = load, .buf = g_malloc(MOST), .begin = part * i, .end = part * (i + 1)
        };
}

void move_load_end(MoveLoad *load)
{
    vit_block_use_end(load->use);
    if (load->root) vit_block_node_close(load->root);
    for (unsigned i = 0; i < MOVE_LOAD_DEPTH; i++) g_free(load->slots[i].buf);
    g_free(load->content);
    g_clear_pointer(&load->random, g_rand_free);
    *load = (MoveLoad){ 0 };
}

void move_load_run(MoveLoad *load)
{
    g_atomic_int_set(&load->stop, 0);
    g_atomic_int_set(&load->running, MOVE_LOAD_DEPTH);
    vit_block_run(load->root, start, load);
}

void move_load_halt(MoveLoad *load)
{
    g_atomic_int_set(&load->stop, 1);
    while (g_atomic_int_get(&load->running) > 0) g_usleep(1000);
}
