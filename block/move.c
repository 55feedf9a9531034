/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/move.c - to another iothread: a node with all that it is connected to
 *
 * On the old thread everything is drained and detached; then that thread stands still while the new
 * one takes the nodes over, so that nobody ever sees a node between two threads. */
#include "block/call.h"
#include "block/node-private.h"

#include <glib/gi18n-lib.h>

enum { TRIES = 200, PAUSE_NS = 1000 * 1000 };

/* ---- running where a node is ----------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    VitFiberFunc fn;
    void *opaque;
    VitAnswer answer; /* of vit_co_block_run() */
    bool gone; /* it has moved meanwhile */
} There;

static void run_there(void *opaque)
{
    There *t = opaque;

    t->gone = !vit_io_thread_is_current(vit_block_node_thread(t->node));
    if (!t->gone) t->fn(t->opaque);
}

static void run_and_answer(void *opaque)
{
    There *t = opaque;

    run_there(t);
    vit_answer_give_from(&t->answer, 0);
}

void vit_block_run(VitBlockNode *node, VitFiberFunc fn, void *opaque)
{
    There t = { .node = node, .fn = fn, .opaque = opaque };

    do vit_fiber_run_sync(vit_block_node_thread(node), run_there, &t);
    while (t.gone);
}

void vit_co_block_run(VitIoThread *home, VitBlockNode *node, VitFiberFunc fn, void *opaque)
{
    There t = { .node = node, .fn = fn, .opaque = opaque, .gone = true };

    while (t.gone) {
        VitIoThread *thread = vit_block_node_thread(node);
        if (thread == home) {
            run_there(&t);
            continue;
        }
        vit_answer_begin(&t.answer, home);
        vit_fiber_start(thread, run_and_answer, &t);
        vit_co_answer_wait(&t.answer);
    }
}

typedef struct {
    VitBlockNode *node;
    VitIoFunc fn;
    void *opaque;
} Follow;

static void follow_here(void *opaque)
{
    Follow f = *(Follow *)opaque;
    VitIoThread *thread = vit_block_node_thread(f.node);

    if (!vit_io_thread_is_current(thread)) {
        vit_io_thread_call(thread, follow_here, opaque);
        return;
    }
    g_free(opaque);
    f.fn(f.opaque);
}

void vit_block_call(VitBlockNode *node, VitIoFunc fn, void *opaque)
{
    Follow *f = g_new(Follow, 1);

    *f = (Follow){ node, fn, opaque };
    vit_io_thread_call(vit_block_node_thread(node), follow_here, f);
}

/* ---- what moves together --------------------------------------------------------------------- */

static void gather(VitBlockNode *node, GPtrArray *all)
{
    g_ptr_array_add(all, vit_block_node_ref(node));
    for (guint at = 0; at < all->len; at++) {
        VitBlockNode *n = all->pdata[at];
        for (guint i = 0; i < n->edges->len; i++) {
            VitBlockNode *child = ((VitBlockEdge *)n->edges->pdata[i])->node;
            if (!g_ptr_array_find(all, child, NULL))
                g_ptr_array_add(all, vit_block_node_ref(child));
        }
        for (guint i = 0; i < n->parents->len; i++) {
            VitBlockNode *parent = ((VitBlockEdge *)n->parents->pdata[i])->parent;
            if (!g_ptr_array_find(all, parent, NULL))
                g_ptr_array_add(all, vit_block_node_ref(parent));
        }
    }
}

static bool may_move(const GPtrArray *all, GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        const VitBlockNode *n = all->pdata[i];
        const char *who = vit_block_fixed_by(n);
        if (who)
            return vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                                  _("Node '%s' cannot change its iothread: it is in use by %s"),
                                  n->name, who);
    }
    return true;
}

/* Nobody drains it, and no fiber waits for it. */
static bool rests(const GPtrArray *all, bool drained)
{
    for (guint i = 0; i < all->len; i++) {
        VitBlockNode *n = all->pdata[i];
        if (!n->opened || (!drained && n->quiesced > 0) || (drained && n->in_flight > 0) ||
            !g_queue_is_empty(&n->idle.waiting) || !g_queue_is_empty(&n->resumed.waiting) ||
            !g_queue_is_empty(&n->serial.cond.waiting) || n->drains)
            return false;
    }
    return true;
}

static bool is_leaf(const VitBlockNode *node)
{
    return node->edges->len == 0;
}

static void drain(const GPtrArray *all, bool begin)
{
    for (guint i = 0; i < all->len; i++) {
        VitBlockNode *n = all->pdata[i];
        if (is_leaf(n) && begin) vit_co_drain_begin(n);
        else if (is_leaf(n)) vit_co_drain_end(n);
    }
}

/* ---- moving ---------------------------------------------------------------------------------- */

typedef struct {
    GPtrArray *all; /* of VitBlockNode*: references */
    VitIoThread *to; /* borrowed */
} Move;

static void let_go(void *opaque)
{
    g_ptr_array_unref(opaque);
}

/* On the new thread, while the old one waits. */
static void take_over(void *opaque)
{
    Move *m = opaque;

    for (guint i = 0; i < m->all->len; i++) {
        VitBlockNode *n = m->all->pdata[i];
        n->idle.thread = n->resumed.thread = n->serial.cond.thread = m->to;
        __atomic_store_n(&n->thread, m->to, __ATOMIC_RELEASE);
    }
    for (guint i = 0; i < m->all->len; i++) {
        VitBlockNode *n = m->all->pdata[i];
        if (n->driver->attach) n->driver->attach(n);
    }
    for (guint i = 0; i < m->all->len; i++) vit_block_tell_moved(m->all->pdata[i]);
    drain(m->all, false);
    vit_io_thread_call(m->to, let_go, m->all);
}

/* Lets what called this fiber (the end of the last request, perhaps) return first. */
static void go_round(VitIoThread *thread)
{
    vit_fiber_sleep(thread, 1);
}

static GMutex *moves_of(const GPtrArray *all)
{
    for (guint i = 0; i < all->len; i++) {
        const VitBlockNode *n = all->pdata[i];
        if (n->graph) return vit_block_graph_moves(n->graph);
    }
    return NULL;
}

/* Drained and detached, it goes; else it is as before.  Two threads that took over from each other
 * at a time would wait for each other: hence the mutex. */
static bool try_move(GPtrArray *all, VitIoThread *from, VitIoThread *to)
{
    GMutex *moves = moves_of(all);

    if (!rests(all, false)) return false;
    drain(all, true);
    while (moves && !g_mutex_trylock(moves)) vit_fiber_sleep(from, PAUSE_NS);
    go_round(from);
    bool good = rests(all, true) && may_move(all, NULL);
    for (guint i = 0; good && i < all->len; i++) {
        VitBlockNode *n = all->pdata[i];
        if (n->driver->detach) n->driver->detach(n);
    }
    bool still = good && rests(all, true) && may_move(all, NULL); /* detaching may have waited */
    Move m = { all, to };
    if (still) vit_io_thread_call_sync(to, take_over, &m);
    for (guint i = 0; good && !still && i < all->len; i++) {
        VitBlockNode *n = all->pdata[i];
        if (n->driver->attach) n->driver->attach(n);
    }
    if (moves) g_mutex_unlock(moves);
    if (!still) drain(all, false);
    return still;
}

bool vit_co_block_move(VitBlockNode *node, VitIoThread *to, GError **error)
{
    VitIoThread *from = node->thread;

    if (from == to) return true;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_node_unref);
        gather(node, all);
        bool good = may_move(all, error);
        if (good && try_move(all, from, to)) return true;
        g_ptr_array_unref(all);
        if (!good) return false;
        vit_fiber_sleep(from, PAUSE_NS);
    }
    return vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                          _("Node '%s' cannot change its iothread: it does not come to rest"),
                          node->name);
}

typedef struct {
    VitBlockNode *node;
    VitIoThread *to;
    GError **error;
    bool good;
} Call;

static void move_fiber(void *opaque)
{
    Call *c = opaque;

    c->good = vit_co_block_move(c->node, c->to, c->error);
}

bool vit_block_move(VitBlockNode *node, VitIoThread *to, GError **error)
{
    Call c = { node, to, error, false };

    vit_block_run(node, move_fiber, &c);
    return c.good;
}
