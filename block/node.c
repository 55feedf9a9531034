/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node.c - the life of a node: references, edges to children, coming to rest, closing */
#include "block/node-private.h"

#include "block/bitmap.h"

#include <errno.h>
#include <string.h>

VitBlockNode *vit_block_node_new(const VitBlockDriver *driver, const char *path,
                                 VitIoThread *thread)
{
    VitBlockNode *node = g_malloc0(driver->instance_size);

    node->driver = driver;
    node->name = g_path_get_basename(path);
    node->filename = g_strdup(path);
    node->thread = thread;
    node->alignment = driver->alignment;
    node->edges = g_ptr_array_new();
    node->parents = g_ptr_array_new();
    node->idle.thread = node->resumed.thread = node->serial.cond.thread = thread;
    node->refs = 1;
    return node;
}

/* ---- hurrying: drivers that keep requests waiting let them go -------------------------------- */

static void collect_below(VitBlockNode *node, GPtrArray *seen)
{
    if (g_ptr_array_find(seen, node, NULL)) return;
    g_ptr_array_add(seen, node);
    for (guint i = 0; i < node->edges->len; i++)
        collect_below(((VitBlockEdge *)node->edges->pdata[i])->node, seen);
}

GPtrArray *vit_block_hurry(VitBlockNode *node, GPtrArray *already)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new();
    GPtrArray *hurried = already ?: g_ptr_array_new();

    g_ptr_array_set_free_func(hurried, (GDestroyNotify)vit_block_node_unref);
    collect_below(node, seen);
    for (guint i = 0; i < seen->len; i++) {
        VitBlockNode *n = seen->pdata[i];
        if (!n->driver->hurry || !n->opened || g_ptr_array_find(hurried, n, NULL)) continue;
        g_ptr_array_add(hurried, vit_block_node_ref(n));
        n->driver->hurry(n, true);
    }
    return hurried;
}

void vit_block_hurry_end(GPtrArray *hurried)
{
    for (guint i = 0; i < hurried->len; i++) {
        VitBlockNode *n = hurried->pdata[i];
        n->driver->hurry(n, false);
    }
    g_ptr_array_unref(hurried);
}

void vit_block_node_destroy(VitBlockNode *node)
{
    if (node->in_flight > 0) {
        g_atomic_int_inc(&node->refs); /* so that what hurries it does not end it again */
        GPtrArray *hurried = vit_block_hurry(node, NULL);
        while (node->in_flight > 0) vit_fiber_cond_wait(&node->idle, NULL);
        vit_block_hurry_end(hurried);
    }
    if (node->opened && node->driver->co_close) node->driver->co_close(node);
    while (node->edges->len > 0) vit_block_drop_edge(node->edges->pdata[node->edges->len - 1]);
    if (node->graph) vit_block_graph_leave(node->graph, node);
    g_clear_pointer(&node->bitmaps, g_ptr_array_unref);
    while (node->pool) {
        VitBlockRequest *next = node->pool->opaque;
        g_free(node->pool);
        node->pool = next;
    }
    g_ptr_array_unref(node->edges);
    g_ptr_array_unref(node->parents);
    g_free(node->name);
    g_free(node->filename);
    g_free(node->backing_file);
    g_free(node->backing_format);
    g_free(node);
}

static void destroy_fiber(void *opaque)
{
    vit_block_node_destroy(opaque);
}

VitBlockNode *vit_block_node_ref(VitBlockNode *node)
{
    g_atomic_int_inc(&node->refs);
    return node;
}

void vit_block_node_unref(VitBlockNode *node)
{
    if (!node || !g_atomic_int_dec_and_test(&node->refs)) return;
    if (!vit_io_thread_is_current(vit_block_node_thread(node)))
        vit_fiber_run_sync(node->thread, destroy_fiber, node); /* nobody moves it any more */
    else if (vit_fiber_self(node->thread)) vit_block_node_destroy(node);
    else vit_fiber_start(node->thread, destroy_fiber, node); /* may end later */
}

void vit_block_node_close(VitBlockNode *node)
{
    if (!node) return;
    vit_block_give_up(node);
    vit_block_drain(node);
    if (vit_io_thread_is_current(vit_block_node_thread(node))) vit_block_end_giving_up(node);
    else vit_block_run(node, vit_block_end_giving_up, node);
    vit_block_node_unref(node);
}

const char *vit_block_node_name(const VitBlockNode *node)
{
    return node->name;
}

const char *vit_block_node_filename(const VitBlockNode *node)
{
    return node->filename;
}

const char *vit_block_node_format(const VitBlockNode *node)
{
    return node->driver->name;
}

VitIoThread *vit_block_node_thread(const VitBlockNode *node)
{
    return __atomic_load_n(&node->thread, __ATOMIC_ACQUIRE);
}

VitBlockInfo vit_block_info(VitBlockNode *node)
{
    VitBlockInfo info = { .logical_block = 512, .request_alignment = MAX(node->alignment, 1) };

    info.size = __atomic_load_n(&node->size, __ATOMIC_RELAXED);
    info.read_only = node->how.read_only;
    if (node->driver->info) node->driver->info(node, &info);
    return info;
}

/* ---- edges ----------------------------------------------------------------------------------- */

VitBlockEdge *vit_block_add_edge(VitBlockNode *parent, VitBlockNode *child, const char *name,
                                 VitBlockRole role)
{
    VitBlockEdge *edge = g_new0(VitBlockEdge, 1);

    edge->node = child;
    edge->parent = parent;
    edge->role = role;
    edge->name = g_strdup(name);
    g_ptr_array_add(parent->edges, edge);
    g_ptr_array_add(child->parents, edge);
    if (role == VIT_EDGE_BACKING) parent->backing = edge;
    else if (!parent->file && (role == VIT_EDGE_FILE || role == VIT_EDGE_FILTERED))
        parent->file = edge;
    return edge;
}

void vit_block_drop_edge(VitBlockEdge *edge)
{
    if (!edge) return;
    VitBlockNode *parent = edge->parent;
    g_ptr_array_remove(edge->node->parents, edge);
    g_ptr_array_remove(parent->edges, edge);
    if (parent->file == edge) parent->file = NULL;
    if (parent->backing == edge) parent->backing = NULL;
    vit_block_node_unref(edge->node);
    g_free(edge->name);
    g_free(edge);
}

/* ---- coming to rest -------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    GMutex lock;
    GCond cond;
    bool idle;
    GPtrArray *hurried; /* owned; NULL: it was at rest */
} Drain;

static void drain_end(void *data)
{
    Drain *d = data;

    g_clear_pointer(&d->hurried, vit_block_hurry_end);
    g_mutex_lock(&d->lock);
    d->idle = true;
    g_cond_signal(&d->cond);
    g_mutex_unlock(&d->lock);
}

static void drain_start(void *data)
{
    Drain *d = data;

    if (d->node->in_flight == 0) {
        drain_end(d);
        return;
    }
    d->node->drains = g_slist_prepend(d->node->drains, d);
    d->hurried = vit_block_hurry(d->node, NULL);
}

void vit_block_tell_idle(VitBlockNode *node)
{
    g_slist_free_full(g_steal_pointer(&node->drains), drain_end);
    vit_fiber_cond_wake_all(&node->idle);
}

void vit_block_drain(VitBlockNode *node)
{
    Drain d = { .node = node };

    if (vit_io_thread_is_current(vit_block_node_thread(node))) {
        GPtrArray *hurried = vit_block_hurry(node, NULL);
        while (node->in_flight > 0 && vit_fiber_self(node->thread))
            vit_fiber_cond_wait(&node->idle, NULL);
        while (node->in_flight > 0)
            g_main_context_iteration(vit_io_thread_context(node->thread), TRUE);
        vit_block_hurry_end(hurried);
        return;
    }
    g_mutex_init(&d.lock);
    g_cond_init(&d.cond);
    vit_block_call(node, drain_start, &d);
    g_mutex_lock(&d.lock);
    while (!d.idle) g_cond_wait(&d.cond, &d.lock);
    g_mutex_unlock(&d.lock);
    g_mutex_clear(&d.lock);
    g_cond_clear(&d.cond);
}

/* The node and all that lead to it, each once: those on top first. */
static void collect(VitBlockNode *node, GPtrArray *found)
{
    if (g_ptr_array_find(found, node, NULL)) return;
    for (guint i = 0; i < node->parents->len; i++)
        collect(((VitBlockEdge *)node->parents->pdata[i])->parent, found);
    if (!g_ptr_array_find(found, node, NULL)) g_ptr_array_add(found, node);
}

void vit_co_drain_begin(VitBlockNode *node)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    GPtrArray *hurried = NULL;

    collect(node, found);
    for (guint i = 0; i < found->len; i++) hurried = vit_block_hurry(found->pdata[i], hurried);
    node->hurried = g_slist_prepend(node->hurried, hurried);
    for (guint i = 0; i < found->len; i++) {
        VitBlockNode *n = vit_block_node_ref(found->pdata[i]);
        n->quiesced++;
        /* Those that found the host full are tried again afterwards. */
        for (VitBlockRequest *req; (req = g_queue_pop_head(&n->held)); n->in_flight--)
            g_queue_push_tail(&n->waiting, req);
        while (n->in_flight > 0) vit_fiber_cond_wait(&n->idle, NULL);
    }
    /* The same nodes must be let go, whatever the graph has become. */
    node->drained = g_slist_prepend(node->drained, g_steal_pointer(&found));
}

void vit_co_drain_end(VitBlockNode *node)
{
    g_autoptr(GPtrArray) found = node->drained->data;
    GPtrArray *hurried = node->hurried->data;

    node->drained = g_slist_delete_link(node->drained, node->drained);
    node->hurried = g_slist_delete_link(node->hurried, node->hurried);
    vit_block_hurry_end(hurried);
    for (guint i = found->len; i-- > 0;) {
        VitBlockNode *n = found->pdata[i];
        if (--n->quiesced == 0) vit_block_start_waiting(n);
        vit_block_node_unref(n);
    }
}

/* ---- blocking helpers ------------------------------------------------------------------------ */

typedef struct {
    VitBlockNode *node;
    VitBlockOp op;
    uint64_t offset, bytes;
    void *buf;
    int result;
} SyncRequest;

static void sync_fiber(void *opaque)
{
    SyncRequest *s = opaque;

    if (s->op == VIT_BLOCK_READ) s->result = vit_co_read(s->node, s->offset, s->buf, s->bytes);
    else if (s->op == VIT_BLOCK_WRITE)
        s->result = vit_co_write(s->node, s->offset, s->buf, s->bytes, 0);
    else s->result = vit_co_flush(s->node);
}

static int run_sync(VitBlockNode *node, VitBlockOp op, uint64_t offset, void *buf, uint64_t bytes)
{
    SyncRequest s = { .node = node, .op = op, .offset = offset, .bytes = bytes, .buf = buf };

    vit_block_run(node, sync_fiber, &s);
    return s.result;
}

int vit_block_read_sync(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes)
{
    return run_sync(node, VIT_BLOCK_READ, offset, buf, bytes);
}

int vit_block_write_sync(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes)
{
    return run_sync(node, VIT_BLOCK_WRITE, offset, (void *)buf, bytes);
}

int vit_block_flush_sync(VitBlockNode *node)
{
    return run_sync(node, VIT_BLOCK_FLUSH, 0, NULL, 0);
}
