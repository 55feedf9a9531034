/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-full.c - writes that find the host full are held, tried again or given up */
#include "block/node-private.h"

#include <errno.h>

typedef struct {
    VitBlockNode parent;
    int          full;          /* atomic: what writes end with, 0 = there is room */
    unsigned     submitted;
} Fake;

static bool fake_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Fake *f = (Fake *) node;
    f->submitted++;
    vit_block_complete_later(req, req->op == VIT_BLOCK_READ ? 0 : g_atomic_int_get(&f->full));
    return true;
}

static const VitBlockDriver fake = {
    .name = "fake", .instance_size = sizeof(Fake), .try_submit = fake_submit,
};

typedef struct {
    VitIoThread    *thread;
    Fake           *disk;
    VitBlockRequest reqs[4];
    struct iovec    iov;
    uint8_t         data[512];
    int             done, told, error;      /* atomic */
} Fixture;

static void on_full(void *opaque, VitBlockNode *node, int error)
{
    Fixture *f = opaque;
    g_assert_true(vit_io_thread_is_current(f->thread));
    g_atomic_int_set(&f->error, error);
    g_atomic_int_inc(&f->told);
}

static void on_done(VitBlockRequest *req)
{
    g_atomic_int_inc(&((Fixture *) req->opaque)->done);
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->thread = vit_io_thread_new("block");
    f->disk = (Fake *) vit_block_node_new(&fake, "/fake", f->thread);
    f->disk->parent.size = 1 << 20;
    vit_block_set_full_handler(&f->disk->parent, on_full, f);
    f->iov = (struct iovec) { f->data, sizeof f->data };
}

static void tear_down(Fixture *f, gconstpointer data)
{
    vit_block_node_close(&f->disk->parent);
    vit_io_thread_free(f->thread);
}

static void submit_all(void *opaque)
{
    static const VitBlockOp ops[] = { VIT_BLOCK_WRITE, VIT_BLOCK_READ, VIT_BLOCK_WRITE,
                                      VIT_BLOCK_FLUSH };
    Fixture *f = opaque;

    for (unsigned i = 0; i < 4; i++) {
        f->reqs[i] = (VitBlockRequest){
            .op = ops[i], .bytes = 512, .iov = &f->iov, .niov = 1, .done = on_done, .opaque = f
        };
        vit_block_submit(&f->disk->parent, &f->reqs[i]);
    }
}

static void nothing(void *opaque)
{
}

static void settle(Fixture *f)
{
    for (int i = 0; i < 4; i++)
        vit_io_thread_call_sync(f->thread, nothing, NULL);
}

static void test_retry(Fixture *f, gconstpointer data)
{
    g_atomic_int_set(&f->disk->full, -ENOSPC);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    settle(f);
    g_assert_cmpint(f->done, ==, 1);            /* the read */
    g_assert_cmpint(f->told, ==, 1);            /* once for all */
    g_assert_cmpint(f->error, ==, -ENOSPC);
    vit_block_retry(&f->disk->parent);          /* too early: held again, told again */
    settle(f);
    g_assert_cmpint(f->done, ==, 1);
    g_assert_cmpint(f->told, ==, 2);
    g_atomic_int_set(&f->disk->full, 0);
    vit_block_retry(&f->disk->parent);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->done, ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(f->reqs[i].result, ==, 0);
    g_assert_cmpuint(f->disk->submitted, ==, 10);
}

static void test_give_up(Fixture *f, gconstpointer data)
{
    g_atomic_int_set(&f->disk->full, -EDQUOT);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    settle(f);
    vit_block_give_up(&f->disk->parent);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->done, ==, 4);
    g_assert_cmpint(f->reqs[0].result, ==, -EDQUOT);
    vit_io_thread_call_sync(f->thread, submit_all, f);      /* nothing is held until a retry */
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->told, ==, 1);
    vit_block_retry(&f->disk->parent);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    settle(f);
    /* and closing lets go of what is held */
    g_assert_cmpint(f->told, ==, 2);
}

/* Other errors are the guest's to hear of. */
static void test_other_errors(Fixture *f, gconstpointer data)
{
    g_atomic_int_set(&f->disk->full, -EIO);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->told, ==, 0);
    g_assert_cmpint(f->reqs[2].result, ==, -EIO);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/block/full/retry", Fixture, NULL, set_up, test_retry, tear_down);
    g_test_add("/block/full/give-up", Fixture, NULL, set_up, test_give_up, tear_down);
    g_test_add("/block/full/other-errors", Fixture, NULL, set_up, test_other_errors, tear_down);
    return g_test_run();
}
