/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/graph.c - see graph.h: names, images by name, changes of the graph */
#include "block/node-private.h"

#include "block/bitmap.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

struct VitBlockGraph {
    VitIoThread *thread;        /* borrowed */
    VitIoThread *here; /* borrowed: where nodes are opened just now */
    GMutex moves;
    GMutex mutex;
    GPtrArray *nodes;         /* of VitBlockNode*, borrowed, in order; guarded by mutex */
    GHashTable
        *named; /* of VitBlockNode* (a reference): kept by "blockdev-add"; guarded by mutex */
    unsigned next_name; /* guarded by mutex */
    VitBlockObjects *objects; /* owned */
    GPtrArray *kept; /* of VitBlockObject*: uses; guarded by mutex */
};

VitBlockGraph *vit_block_graph_new(VitIoThread *thread)
{
    VitBlockGraph *graph = g_new0(VitBlockGraph, 1);

    graph->thread = graph->here = thread;
    g_mutex_init(&graph->mutex);
    g_mutex_init(&graph->moves);
    graph->nodes = g_ptr_array_new();
    graph->objects = vit_block_objects_new();
    graph->kept = g_ptr_array_new_with_free_func((GDestroyNotify)vit_block_object_release);
    graph->named = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)vit_block_node_unref, NULL);
    return graph;
}

void vit_block_graph_free(VitBlockGraph *graph)
{
    if (!graph) return;
    GHashTable *named = g_steal_pointer(&graph->named);
    g_hash_table_unref(named);
    for (guint i = 0; i < graph->nodes->len; i++)
        ((VitBlockNode *)graph->nodes->pdata[i])->graph = NULL;
    g_ptr_array_unref(graph->nodes);
    g_ptr_array_unref(graph->kept);
    vit_block_objects_free(graph->objects);
    g_mutex_clear(&graph->mutex);
    g_mutex_clear(&graph->moves);
    g_free(graph);
}

VitIoThread *vit_block_graph_thread(const VitBlockGraph *graph)
{
    return graph->thread;
}

VitIoThread *vit_block_graph_here(const VitBlockGraph *graph)
{
    return graph->here;
}

void vit_block_graph_work_on(VitBlockGraph *graph, VitIoThread *thread)
{
    graph->here = thread ?: graph->thread;
}

void vit_block_graph_keep(VitBlockGraph *graph, VitBlockObject *object)
{
    g_mutex_lock(&graph->mutex);
    g_ptr_array_add(graph->kept, object);
    g_mutex_unlock(&graph->mutex);
}

GMutex *vit_block_graph_moves(VitBlockGraph *graph)
{
    return &graph->moves;
}

VitBlockObjects *vit_block_graph_objects(VitBlockGraph *graph)
{
    return graph ? graph->objects : NULL;
}

static VitBlockNode *find(VitBlockGraph *graph, const char *name)
{
    for (guint i = 0; i < graph->nodes->len; i++) {
        VitBlockNode *node = graph->nodes->pdata[i];
        if (strcmp(node->name, name) == 0) return node;
    }
    return NULL;
}

VitBlockNode *vit_block_graph_find(VitBlockGraph *graph, const char *name)
{
    g_mutex_lock(&graph->mutex);
    VitBlockNode *node = find(graph, name);
    g_mutex_unlock(&graph->mutex);
    return node;
}

bool vit_block_graph_enter(VitBlockGraph *graph, VitBlockNode *node, GError **error)
{
    g_mutex_lock(&graph->mutex);
    if (!node->name) node->name = g_strdup_printf("#block%03u", graph->next_name++);
    bool taken = find(graph, node->name) != NULL;
    if (!taken) {
        g_ptr_array_add(graph->nodes, node);
    }
    g_mutex_unlock(&graph->mutex);
    return !taken || vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS,
                                    _("Duplicate nodes with node-name='%s'"), node->name);
}

void vit_block_graph_leave(VitBlockGraph *graph, VitBlockNode *node)
{
    g_mutex_lock(&graph->mutex);
    g_ptr_array_remove(graph->nodes, node);
    g_mutex_unlock(&graph->mutex);
    node->graph = NULL;
}

bool vit_block_graph_add(VitBlockGraph *graph, VitBlockNode *node, GError **error)
{
    g_mutex_lock(&graph->mutex);
    bool fresh = !g_hash_table_contains(graph->named, node);
    if (fresh) g_hash_table_add(graph->named, vit_block_node_ref(node));
    g_mutex_unlock(&graph->mutex);
    return fresh || vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS, _("Node '%s' is there already"),
                                   node->name);
}

bool vit_block_graph_remove(VitBlockGraph *graph, const char *name, GError **error)
{
    g_mutex_lock(&graph->mutex);
    VitBlockNode *node = find(graph, name);
    bool named = node && g_hash_table_contains(graph->named, node);
    bool used = named && (node->parents->len > 0 || node->claims);
    if (named && !used) g_hash_table_steal(graph->named, node);
    g_mutex_unlock(&graph->mutex);
    if (!node)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Failed to find node with node-name='%s'"), name);
    if (!named)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Node '%s' is not owned by the monitor"), name);
    if (used)
        return vit_block_fail(error, VIT_BLOCK_ERROR_BUSY, _("Block device %s is in use"), name);
    vit_block_node_unref(node);
    return true;
}

GPtrArray *vit_block_graph_nodes(VitBlockGraph *graph)
{
    g_mutex_lock(&graph->mutex);
    GPtrArray *copy = g_ptr_array_copy(graph->nodes, NULL, NULL);
    g_mutex_unlock(&graph->mutex);
    return copy;
}

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct {
    VitBlockGraph *graph;
    VitBlockArgs *args;
    const char *filename, *format;
    JsonObject *extra;
    bool with_flags; /* args with flags */
    unsigned flags;
    GError **error;
    VitBlockNode *node;
} Open;

static void open_fiber(void *opaque)
{
    Open *o = opaque;

    if (o->args && !o->with_flags) {
        o->node = vit_co_open(o->graph, o->graph->here, o->args, NULL, o->error);
        return;
    }
    unsigned f = o->flags;
    VitBlockOptions how = {
        .read_only = f & VIT_OPEN_READ_ONLY,
        .auto_read_only = f & VIT_OPEN_AUTO_READ_ONLY,
        .direct = f & VIT_OPEN_DIRECT,
        .no_flush = f & VIT_OPEN_NO_FLUSH,
        .discard = f & VIT_OPEN_DISCARD,
        .lock = true,
        .force_share = f & VIT_OPEN_FORCE_SHARE,
        .share = f & VIT_OPEN_SHARE,
        .no_io = f & VIT_OPEN_NO_IO,
        .check = f & VIT_OPEN_CHECK,
        .no_backing = f & VIT_OPEN_NO_BACKING,
    };
    if (o->args) o->node = vit_co_open_probed(o->graph, o->graph->here, o->args, &how, o->error);
    else
        o->node = vit_co_open_image(o->graph, o->graph->here, o->filename, o->format, o->extra,
                                    &how, f & VIT_OPEN_PROTOCOL, o->error);
}

VitBlockNode *vit_block_graph_open(VitBlockGraph *graph, VitBlockArgs *args, GError **error)
{
    Open o = { .graph = graph, .args = args, .error = error };

    vit_fiber_run_sync(graph->here, open_fiber, &o);
    return o.node;
}

VitBlockNode *vit_block_graph_open_with(VitBlockGraph *graph, VitBlockArgs *args, unsigned flags,
                                        GError **error)
{
    Open o = { .graph = graph, .args = args, .with_flags = true, .flags = flags, .error = error };

    vit_fiber_run_sync(graph->here, open_fiber, &o);
    return o.node;
}

VitBlockNode *vit_block_graph_open_image(VitBlockGraph *graph, const char *filename,
                                         const char *format, JsonObject *extra, unsigned flags,
                                         GError **error)
{
    Open o = { .graph = graph,
               .filename = filename,
               .format = format,
               .extra = extra,
               .flags = flags,
               .error = error };

    vit_fiber_run_sync(graph->here, open_fiber, &o);
    return o.node;
}

/* ---- size ------------------------------------------------------------------------------------ */

static void size_changed(VitBlockNode *node)
{
    vit_block_bitmaps_resize(node, node->size);
    vit_block_tell_resized(node);
    for (guint i = 0; i < node->parents->len; i++) {
        VitBlockEdge *edge = node->parents->pdata[i];
        if (edge->role == VIT_EDGE_FILTERED) {
            __atomic_store_n(&edge->parent->size, node->size, __ATOMIC_RELAXED);
            size_changed(edge->parent);
        }
    }
}

bool vit_co_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                     GError **error)
{
    bool quiet = node->driver->kind != VIT_BLOCK_PROTOCOL;

    if (node->driver->kind == VIT_BLOCK_FILTER && !node->driver->co_truncate)
        return vit_co_truncate(node->file->node, size, exact, prealloc, error);
    if (!node->driver->co_truncate)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Image format driver does not support resize"));
    if (node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s” is read-only"),
                              node->filename);
    if (size > INT64_MAX)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("An image has at most 8 EiB"));
    if (quiet) vit_co_drain_begin(node);
    bool good = node->driver->co_truncate(node, size, exact, prealloc, error);
    size_changed(node);
    if (quiet) vit_co_drain_end(node);
    return good;
}

/* ---- changes --------------------------------------------------------------------------------- */

void vit_block_set_child(VitBlockEdge *edge, VitBlockNode *child)
{
    VitBlockNode *parent = edge->parent;

    vit_co_drain_begin(parent);
    if (!child) {
        vit_block_drop_edge(edge);
    } else {
        VitBlockNode *old = edge->node;
        g_ptr_array_remove(old->parents, edge);
        edge->node = vit_block_node_ref(child);
        g_ptr_array_add(child->parents, edge);
        if (edge->role == VIT_EDGE_FILTERED && parent->driver->kind == VIT_BLOCK_FILTER)
            __atomic_store_n(&parent->size, child->size, __ATOMIC_RELAXED);
        vit_block_node_unref(old);
    }
    vit_co_drain_end(parent);
}

static bool is_below(VitBlockNode *node, VitBlockNode *top)
{
    if (node == top) return true;
    for (guint i = 0; i < node->parents->len; i++) {
        if (is_below(((VitBlockEdge *)node->parents->pdata[i])->parent, top)) return true;
    }
    return false;
}

bool vit_block_graph_replace(VitBlockGraph *graph, VitBlockNode *from, VitBlockNode *to,
                             GError **error)
{
    g_autoptr(GPtrArray) edges = g_ptr_array_copy(from->parents, NULL, NULL);

    if (from->thread != to->thread)
        return vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                              _("Nodes '%s' and '%s' belong to different iothreads"), from->name,
                              to->name);
    vit_co_drain_begin(from);
    for (guint i = 0; i < edges->len; i++) {
        VitBlockEdge *edge = edges->pdata[i];
        if (!is_below(edge->parent, to)) vit_block_set_child(edge, to);
    }
    vit_co_drain_end(from);
    return true;
}

/* ---- opening anew ---------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    bool read_only, good;
    GError **error;
} Reopen;

static void reopen_fiber(void *opaque)
{
    Reopen *r = opaque;
    VitBlockNode *node = r->node;
    int result = 0;

    vit_co_drain_begin(node);
    if (!r->read_only && node->file && node->file->node->how.read_only) {
        Reopen below = { .node = node->file->node, .error = r->error };
        reopen_fiber(&below);
        if (!below.good) {
            vit_co_drain_end(node);
            return;
        }
    }
    if (node->driver->co_reopen) result = node->driver->co_reopen(node, r->read_only);
    else if (node->driver->kind == VIT_BLOCK_PROTOCOL) result = -ENOTSUP;
    if (result == 0) node->how.read_only = r->read_only;
    if (result == 0 && r->read_only && node->file && !node->file->node->how.read_only &&
        node->file->node->parents->len == 1) {
        Reopen below = { .node = node->file->node, .read_only = true };
        reopen_fiber(&below); /* only a courtesy to other programs */
    }
    vit_co_drain_end(node);
    r->good = result == 0;
    if (result < 0)
        vit_block_fail_errno(r->error, result, _("Could not reopen “%s” %s"), node->filename,
                             r->read_only ? "read-only" : "for writing");
}

bool vit_block_set_read_only(VitBlockNode *node, bool read_only, GError **error)
{
    Reopen r = { .node = node, .read_only = read_only, .good = true, .error = error };

    if (node->how.read_only != read_only) vit_block_run(node, reopen_fiber, &r);
    return r.good;
}
