/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-full.c - requests that fail are reported, ignored, or held and tried again */
#include "block/node-private.h"

#include <errno.h>

typedef struct {
    VitBlockNode parent;
    int          full;          /* atomic: what writes end with, 0 = there is room */
    int          reads;         /* atomic: what reads end with */
    unsigned     submitted;
} Fake;

static bool fake_submit(VitBlockNode *node, VitBlockRequest *req)
{
    Fake *f = (Fake *) node;
    f->submitted++;
    vit_block_complete_later(
        req, g_atomic_int_get(req->op == VIT_BLOCK_READ ? &f->reads : &f->full));
    return true;
}

static const VitBlockDriver fake = {
    .name = "fake", .instance_size = sizeof(Fake), .try_submit = fake_submit,
};

typedef struct {
    uint64_t exceeded, threshold;
    unsigned times;
} Crossed;

typedef struct {
    VitIoThread    *thread;
    Crossed         crossed;
    Fake           *disk;
    VitBlockRequest reqs[4];
    struct iovec    iov;
    uint8_t         data[512];
    int             done, told, error, action;      /* atomic */
} Fixture;

static void on_failed(void *opaque, VitBlockNode *node, const VitBlockRequest *req,
                      VitBlockOnError action)
{
    Fixture *f = opaque;
    g_assert_true(vit_io_thread_is_current(f->thread));
    g_atomic_int_set(&f->error, req->result);
    g_atomic_int_set(&f->action, action);
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
    vit_block_set_failed_handler(&f->disk->parent, on_failed, f);
    vit_block_set_on_error(&f->disk->parent, VIT_ON_ERROR_REPORT, VIT_ON_ERROR_ENOSPC);
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
    g_assert_cmpint(f->told, ==, 3);            /* the writes and the flush */
    g_assert_cmpint(f->error, ==, -ENOSPC);
    g_assert_cmpint(f->action, ==, VIT_ON_ERROR_STOP);
    g_assert_cmpint(vit_block_io_status(&f->disk->parent), ==, VIT_IO_STATUS_NOSPACE);
    vit_block_retry(&f->disk->parent);          /* too early: held again, told again */
    settle(f);
    g_assert_cmpint(f->done, ==, 1);
    g_assert_cmpint(f->told, ==, 6);
    g_atomic_int_set(&f->disk->full, 0);
    vit_block_retry(&f->disk->parent);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->done, ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(f->reqs[i].result, ==, 0);
    g_assert_cmpuint(f->disk->submitted, ==, 10);
    g_assert_cmpint(vit_block_io_status(&f->disk->parent), ==, VIT_IO_STATUS_OK);
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
    g_assert_cmpint(f->told, ==, 6);
    g_assert_cmpint(f->action, ==, VIT_ON_ERROR_REPORT);
    vit_block_retry(&f->disk->parent);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    settle(f);
    /* and closing lets go of what is held */
    g_assert_cmpint(f->told, ==, 9);
    g_assert_cmpint(f->action, ==, VIT_ON_ERROR_STOP);
}

/* Other errors are the guest's to hear of. */
static void test_other_errors(Fixture *f, gconstpointer data)
{
    g_atomic_int_set(&f->disk->full, -EIO);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->told, ==, 3);
    g_assert_cmpint(f->action, ==, VIT_ON_ERROR_REPORT);
    g_assert_cmpint(f->reqs[2].result, ==, -EIO);
}

/* werror=stop, rerror=stop: any error is held; a drain starts what is held once more. */
static void test_stop(Fixture *f, gconstpointer data)
{
    vit_block_set_on_error(&f->disk->parent, VIT_ON_ERROR_STOP, VIT_ON_ERROR_STOP);
    g_atomic_int_set(&f->disk->full, -EIO);
    g_atomic_int_set(&f->disk->reads, -EIO);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    settle(f);
    g_assert_cmpint(f->done, ==, 0);
    g_assert_cmpint(vit_block_io_status(&f->disk->parent), ==, VIT_IO_STATUS_FAILED);
    g_atomic_int_set(&f->disk->full, 0);
    g_atomic_int_set(&f->disk->reads, 0);
    vit_block_retry(&f->disk->parent);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->done, ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(f->reqs[i].result, ==, 0);
    /* Somebody else's errors are his own. */
    vit_block_set_failed_handler(&f->disk->parent, NULL, NULL);
    g_atomic_int_set(&f->disk->full, -EIO);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->reqs[0].result, ==, -EIO);
    g_assert_cmpint(f->told, ==, 4);
}

static void test_ignore(Fixture *f, gconstpointer data)
{
    vit_block_set_on_error(&f->disk->parent, VIT_ON_ERROR_IGNORE, VIT_ON_ERROR_IGNORE);
    g_atomic_int_set(&f->disk->full, -ENOSPC);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpint(f->told, ==, 3);
    g_assert_cmpint(f->action, ==, VIT_ON_ERROR_IGNORE);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(f->reqs[i].result, ==, 0);
    g_assert_cmpuint(f->disk->parent.stats.errors[VIT_BLOCK_WRITE], ==, 2);
}

static void test_words(void)
{
    VitBlockOnError value = VIT_ON_ERROR_REPORT;

    g_assert_true(vit_block_on_error_parse("enospc", true, &value));
    g_assert_cmpint(value, ==, VIT_ON_ERROR_ENOSPC);
    g_assert_false(vit_block_on_error_parse("enospc", false, &value));
    g_assert_true(vit_block_on_error_parse("stop", false, &value));
    g_assert_cmpint(value, ==, VIT_ON_ERROR_STOP);
    g_assert_false(vit_block_on_error_parse("stopp", true, &value));
}

/* ---- thresholds ------------------------------------------------------------------------------ */

static void on_crossed(void *opaque, VitBlockNode *node, uint64_t exceeded, uint64_t threshold)
{
    Crossed *c = opaque;

    *c = (Crossed){ exceeded, threshold, c->times + 1 };
}

static void set_threshold(void *opaque)
{
    Fixture *f = opaque;

    vit_block_set_write_threshold(&f->disk->parent, 100, on_crossed, &f->crossed);
}

static void test_threshold(Fixture *f, gconstpointer data)
{
    vit_io_thread_call_sync(f->thread, set_threshold, f);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_drain(&f->disk->parent);
    g_assert_cmpuint(f->crossed.times, ==, 1);
    g_assert_cmpuint(f->crossed.exceeded, ==, 412);
    g_assert_cmpuint(f->crossed.threshold, ==, 100);
    g_assert_cmpuint(f->disk->parent.write_threshold, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/block/full/retry", Fixture, NULL, set_up, test_retry, tear_down);
    g_test_add("/block/full/give-up", Fixture, NULL, set_up, test_give_up, tear_down);
    g_test_add("/block/full/other-errors", Fixture, NULL, set_up, test_other_errors, tear_down);
    g_test_add("/block/full/stop", Fixture, NULL, set_up, test_stop, tear_down);
    g_test_add("/block/full/ignore", Fixture, NULL, set_up, test_ignore, tear_down);
    g_test_add("/block/full/threshold", Fixture, NULL, set_up, test_threshold, tear_down);
    g_test_add_func("/block/full/words", test_words);
    return g_test_run();
}
