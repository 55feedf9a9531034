/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/test-throttle-filter.c - the throttle filter: rates, sharing between threads, drains
 *
 * The groups' clock is the test's, but where the timer itself is meant. */
#include "block/driver.h"
#include "block/throttle/pool.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { REQUESTS = 64, BYTES = 65536 };
#define SECOND INT64_C(1000000000)

typedef struct {
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockNode *node;
    char *path; /* owned */
    VitBlockRequest requests[REQUESTS];
    struct iovec iov;
    uint8_t data[BYTES];
    int done; /* atomic */
    int64_t now; /* atomic: what the group's clock says */
} Fixture;

static int64_t now(void *opaque)
{
    return __atomic_load_n((int64_t *)opaque, __ATOMIC_SEQ_CST);
}

static VitThrottlePool *pool(Fixture *f)
{
    VitBlockObject *o = vit_block_objects_use(vit_block_graph_objects(f->graph), "tg", NULL, NULL);
    VitThrottlePool *p = vit_throttle_group_pool(o);

    vit_block_object_release(o); /* the node keeps it */
    return p;
}

/* In steps that no bucket is too small for. */
static void advance(VitThrottlePool *pool, int64_t *clock, int64_t span)
{
    for (int64_t step = SECOND / 1000; span > 0; span -= step) {
        __atomic_add_fetch(clock, step, __ATOMIC_SEQ_CST);
        vit_throttle_pool_kick(pool);
    }
}

static VitBlockNode *open_node(Fixture *f, GError **error)
{
    g_autofree char *text = g_strdup_printf("driver=throttle,throttle-group=tg,node-name=thr,"
                                            "file.driver=raw,file.file.filename=%s",
                                            f->path);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("test", text, NULL, NULL);

    return vit_block_graph_open(f->graph, args, error);
}

static void start(Fixture *f, const char *limits, bool by_hand)
{
    g_autofree char *text = g_strdup_printf("throttle-group,id=tg,%s", limits);
    GError *error = NULL;
    int fd = g_file_open_tmp("vitrine-throttle-XXXXXX", &f->path, NULL);

    g_assert_cmpint(ftruncate(fd, REQUESTS * BYTES), ==, 0);
    close(fd);
    f->thread = vit_io_thread_new("block");
    f->graph = vit_block_graph_new(f->thread);
    f->iov = (struct iovec){ f->data, BYTES };
    bool good = vit_block_objects_add_text(vit_block_graph_objects(f->graph), text, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    f->node = open_node(f, &error);
    g_assert_no_error(error);
    if (by_hand) vit_throttle_pool_set_clock(pool(f), now, &f->now);
}

static void stop(Fixture *f)
{
    vit_block_node_close(f->node);
    vit_block_graph_free(f->graph);
    vit_io_thread_free(f->thread);
    g_unlink(f->path);
    g_free(f->path);
}

static void on_done(VitBlockRequest *req)
{
    g_assert_cmpint(req->result, ==, 0);
    g_atomic_int_inc(&((Fixture *)req->opaque)->done);
}

static void submit_all(void *opaque)
{
    Fixture *f = opaque;

    f->done = 0;
    for (unsigned i = 0; i < REQUESTS; i++) {
        f->requests[i] = (VitBlockRequest){ .op = VIT_BLOCK_WRITE,
                                            .offset = i * BYTES,
                                            .bytes = BYTES,
                                            .iov = &f->iov,
                                            .niov = 1,
                                            .done = on_done,
                                            .opaque = f };
        vit_block_submit(f->node, &f->requests[i]);
    }
}

static void nothing(void *opaque) {}

static void wait_done(Fixture *f, int wanted)
{
    for (int i = 0; g_atomic_int_get(&f->done) < wanted; i++) {
        if (i == 5000) g_error("%d of %d requests ended", f->done, wanted);
        g_usleep(1000);
    }
}

/* As many as the clock allows, no more. */
static void test_rate(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);

    start(f, "x-bps-total=655360", true); /* ten of our requests a second */
    vit_io_thread_call_sync(f->thread, submit_all, f);
    wait_done(f, 2); /* the first fills the tenth of a second to the brim */
    for (int second = 1; second <= 6; second++) {
        advance(pool(f), &f->now, SECOND);
        wait_done(f, 2 + 10 * second);
        g_usleep(2000);
        g_assert_cmpint(g_atomic_int_get(&f->done), ==, 2 + 10 * second);
    }
    stop(f);
}

/* New limits count at once; no limits let all go. */
static void test_change(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);

    start(f, "x-iops-write=10", true);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    wait_done(f, 2);
    VitThrottleLimits l = vit_throttle_pool_limits(pool(f));
    l.bucket[VIT_THROTTLE_IOPS_WRITE].average = 200;
    vit_throttle_pool_set_limits(pool(f), &l);
    wait_done(f, 22);
    vit_throttle_pool_set_limits(pool(f), &vit_throttle_no_limits);
    wait_done(f, REQUESTS);
    stop(f);
}

/* A drain, from outside or by a fiber, does not wait for the limits; nor does closing. */
static void drain_here(void *opaque)
{
    Fixture *f = opaque;

    vit_co_drain_begin(f->node->file->node);
    g_assert_cmpint(f->done, ==, REQUESTS);
    vit_co_drain_end(f->node->file->node);
}

static void test_drain(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);

    start(f, "x-iops-total=1", true);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    wait_done(f, 1);
    vit_block_drain(f->node);
    g_assert_cmpint(f->done, ==, REQUESTS);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    g_usleep(2000);
    g_assert_cmpint(f->done, ==, 0); /* what the drain let go counted */
    vit_fiber_run_sync(f->thread, drain_here, f);
    /* A machine that is reset or ends gives up what waits, and is not slowed down. */
    vit_io_thread_call_sync(f->thread, submit_all, f);
    vit_block_give_up(f->node);
    wait_done(f, REQUESTS);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    wait_done(f, REQUESTS);
    vit_block_retry(f->node);
    vit_io_thread_call_sync(f->thread, nothing, NULL);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    g_usleep(2000);
    g_assert_cmpint(f->done, ==, 0);
    stop(f);
    g_assert_cmpint(f->done, ==, REQUESTS);
}

/* Straight-line code waits as well. */
static void write_some(void *opaque)
{
    Fixture *f = opaque;

    for (unsigned i = 0; i < 10; i++) {
        g_assert_cmpint(vit_co_write(f->node, i * BYTES, f->data, BYTES, 0), ==, 0);
        g_atomic_int_inc(&f->done);
    }
}

static void test_fiber(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);

    start(f, "x-iops-total=10", true);
    vit_fiber_start(f->thread, write_some, f);
    wait_done(f, 2);
    g_usleep(2000);
    g_assert_cmpint(g_atomic_int_get(&f->done), ==, 2);
    for (int tenth = 1; tenth <= 8; tenth++) {
        advance(pool(f), &f->now, SECOND / 10);
        wait_done(f, 2 + tenth);
        vit_io_thread_call_sync(f->thread, nothing, NULL); /* the next one waits now */
        g_assert_cmpint(g_atomic_int_get(&f->done), ==, 2 + tenth);
    }
    stop(f);
}

/* The host's clock: measured loosely, and from below only. */
static void test_timer(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);

    start(f, "x-iops-total=200", false);
    int64_t begin = g_get_monotonic_time();
    vit_io_thread_call_sync(f->thread, submit_all, f);
    wait_done(f, REQUESTS);
    int64_t took = g_get_monotonic_time() - begin;
    g_assert_cmpint(took, >=, (REQUESTS - 22) * 1000000 / 200);
    stop(f);
}

/* ---- two threads, one group ------------------------------------------------------------------ */

typedef struct {
    VitIoThread *thread;
    VitThrottleMember *member;
    int ran; /* atomic */
} Side;

typedef struct {
    VitThrottlePass pass; /* first member */
    Side *side;
} SidePass;

static void side_go(VitThrottlePass *pass)
{
    Side *side = ((SidePass *)pass)->side;

    g_assert_true(vit_io_thread_is_current(side->thread));
    g_free(pass);
    g_atomic_int_inc(&side->ran);
}

static void side_enter(void *opaque)
{
    Side *side = opaque;

    for (unsigned i = 0; i < 200; i++) {
        SidePass *p = g_new0(SidePass, 1);
        p->pass.go = side_go;
        p->pass.ticket = (VitThrottleTicket){ .bytes = 512, .write = i & 1 };
        p->side = side;
        if (vit_throttle_enter(side->member, &p->pass)) side_go(&p->pass);
    }
}

static void side_leave(void *opaque)
{
    vit_throttle_leave(((Side *)opaque)->member);
}

static void test_threads(void)
{
    VitBlockObjects *objects = vit_block_objects_new();
    Side sides[2] = { 0 };
    int64_t time = 0;
    VitThrottlePool *pool = NULL;

    g_assert_true(
        vit_block_objects_add_text(objects, "throttle-group,id=tg,x-iops-total=100", NULL));
    for (unsigned i = 0; i < 2; i++) {
        VitBlockObject *group = vit_block_objects_use(objects, "tg", "throttle-group", NULL);
        pool = vit_throttle_group_pool(group);
        vit_throttle_pool_set_clock(pool, now, &time);
        sides[i].thread = vit_io_thread_new("side");
        sides[i].member = vit_throttle_join(group, sides[i].thread);
    }
    for (unsigned i = 0; i < 2; i++) vit_io_thread_call(sides[i].thread, side_enter, &sides[i]);
    for (unsigned i = 0; i < 2; i++) vit_io_thread_call_sync(sides[i].thread, nothing, NULL);
    int before[2] = { sides[0].ran, sides[1].ran };
    g_assert_cmpint(before[0] + before[1], ==, 11);
    advance(pool, &time, SECOND);
    for (unsigned i = 0; i < 2; i++) vit_io_thread_call_sync(sides[i].thread, nothing, NULL);
    for (unsigned i = 0; i < 2; i++) { /* however many the other had at first */
        g_assert_cmpint(sides[i].ran - before[i], >=, 49);
        g_assert_cmpint(sides[i].ran - before[i], <=, 51);
    }
    for (unsigned i = 0; i < 2; i++) {
        vit_throttle_hurry(sides[i].member, true);
        vit_io_thread_call_sync(sides[i].thread, nothing, NULL);
        g_assert_cmpint(sides[i].ran, ==, 200);
        vit_throttle_hurry(sides[i].member, false);
    }
    for (unsigned i = 0; i < 2; i++) {
        vit_io_thread_call_sync(sides[i].thread, side_leave, &sides[i]);
        vit_io_thread_free(sides[i].thread);
    }
    g_assert_true(vit_block_objects_remove(objects, "tg", NULL));
    vit_block_objects_free(objects);
}

/* ---- roots ----------------------------------------------------------------------------------- */

static void test_root(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);
    VitBlockObjects *objects;
    g_autoptr(GError) error = NULL;

    start(f, "x-iops-total=1000000", false);
    objects = vit_block_graph_objects(f->graph);
    VitBlockNode *root = vit_block_root_new(vit_block_node_ref(f->node), "r"), *below = f->node;
    f->node = root;
    for (int round = 0; round < 2; round++) { /* limits come and go while requests run */
        VitBlockObject *own = vit_block_objects_use_group(objects, "own", &error);
        g_assert_no_error(error);
        VitThrottleLimits l = vit_throttle_no_limits;
        l.bucket[VIT_THROTTLE_IOPS_TOTAL].average = 10;
        vit_throttle_group_set_limits(own, &l);
        vit_io_thread_call_sync(f->thread, submit_all, f);
        vit_block_root_throttle(root, own);
        g_assert_cmpint(f->done, ==, REQUESTS); /* they had passed already */
        vit_io_thread_call_sync(f->thread, submit_all, f);
        g_usleep(2000);
        g_assert_cmpint(f->done, <, 4);
        g_assert_cmpstr(vit_block_object_id(vit_block_root_throttle_group(root)), ==, "own");
        g_assert_false(vit_block_objects_remove(objects, "own", NULL)); /* nobody's */
        vit_block_root_throttle(root, NULL);
        g_assert_cmpint(f->done, ==, REQUESTS);
        g_assert_null(vit_block_root_throttle_group(root));
        g_assert_null(vit_block_objects_use(objects, "own", NULL, NULL)); /* gone with its user */
    }
    vit_block_node_unref(below);
    stop(f);
}

/* Limits follow a disk to another iothread, timer and all. */
static void test_move(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);
    g_autoptr(GError) error = NULL;
    VitIoThread *other = vit_io_thread_new("other");

    start(f, "x-iops-total=200", false);
    vit_io_thread_call_sync(f->thread, submit_all, f);
    bool good = vit_block_move(f->node, other, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_assert_cmpint(f->done, ==, REQUESTS); /* it was drained for that */
    VitThrottleLimits l = vit_throttle_pool_limits(pool(f));
    vit_throttle_pool_set_limits(pool(f), &l); /* empties the buckets */
    int64_t begin = g_get_monotonic_time();
    vit_io_thread_call_sync(other, submit_all, f);
    wait_done(f, REQUESTS);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, (REQUESTS - 22) * 1000000 / 200);
    stop(f);
    vit_io_thread_free(other);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_refused(void)
{
    g_autofree Fixture *f = g_new0(Fixture, 1);
    g_autoptr(GError) error = NULL;

    start(f, "x-iops-total=10", false);
    g_assert_false(vit_block_objects_remove(vit_block_graph_objects(f->graph), "tg", &error));
    g_assert_nonnull(strstr(error->message, "in use"));
    g_clear_error(&error);
    g_autoptr(VitBlockArgs) args = vit_block_args_parse(
        "test", "driver=throttle,throttle-group=none,file=thr", NULL, NULL);
    g_assert_null(vit_block_graph_open(f->graph, args, &error));
    g_assert_nonnull(strstr(error->message, "none"));
    g_clear_error(&error);
    g_autoptr(VitBlockArgs)
        without = vit_block_args_parse("test", "driver=throttle,file=thr", NULL, NULL);
    g_assert_null(vit_block_graph_open(f->graph, without, &error));
    g_assert_cmpstr(error->message, ==, "Parameter 'throttle-group' is missing");
    stop(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/throttle-filter/rate", test_rate);
    g_test_add_func("/block/throttle-filter/change", test_change);
    g_test_add_func("/block/throttle-filter/drain", test_drain);
    g_test_add_func("/block/throttle-filter/fiber", test_fiber);
    g_test_add_func("/block/throttle-filter/timer", test_timer);
    g_test_add_func("/block/throttle-filter/threads", test_threads);
    g_test_add_func("/block/throttle-filter/root", test_root);
    g_test_add_func("/block/throttle-filter/move", test_move);
    g_test_add_func("/block/throttle-filter/refused", test_refused);
    return g_test_run();
}
