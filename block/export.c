/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/export.c - see export.h */
#include "block/export.h"

#include "block/driver.h"
#include "block/nbd/server.h"
#include "block/node-private.h"
#include "engine/core/suggest.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum { MAX_CONNECTIONS = 100, HANDSHAKE_SECONDS = 10 }; /* unless told */

struct VitBlockExports {
    VitBlockGraph *graph; /* borrowed */
    const VitMemoryGuard *guard; /* NULL: none */
    GPtrArray *list; /* of VitBlockExport*; used on the graph's thread */
    VitNbdServer *nbd; /* owned; NULL: none; used on the graph's thread */
    VitBlockExportFunc deleted;
    void *deleted_opaque;
};

static const VitBlockExportClass *const classes[] = {
#ifdef VIT_HAVE_FUSE
    &vit_fuse_export_class,
#endif
    &vit_nbd_export_class,
    &vit_vhost_user_blk_export_class,
    NULL,
};

VitBlockExports *vit_block_exports_new(VitBlockGraph *graph)
{
    VitBlockExports *x = g_new0(VitBlockExports, 1);

    x->graph = graph;
    x->list = g_ptr_array_new();
    return x;
}

VitBlockGraph *vit_block_exports_graph(const VitBlockExports *x)
{
    return x->graph;
}

void vit_block_exports_set_memory_guard(VitBlockExports *x, const VitMemoryGuard *guard)
{
    x->guard = guard;
}

const VitMemoryGuard *vit_block_exports_memory_guard(const VitBlockExports *x)
{
    return x->guard;
}

VitNbdServer *vit_block_exports_nbd(VitBlockExports *x)
{
    return x->nbd;
}

void vit_block_exports_on_deleted(VitBlockExports *x, VitBlockExportFunc fn, void *opaque)
{
    x->deleted = fn;
    x->deleted_opaque = opaque;
}

static VitBlockExport *find(VitBlockExports *x, const char *id)
{
    for (guint i = 0; i < x->list->len; i++) {
        VitBlockExport *e = x->list->pdata[i];
        if (strcmp(e->id, id) == 0) return e;
    }
    return NULL;
}

/* ---- adding ---------------------------------------------------------------------------------- */

typedef struct {
    VitBlockExports *exports;
    VitBlockArgs *args;
    const char *id;
    bool hard, good;
    GError **error;
    JsonArray *list;
} Call;

char **vit_block_export_types(void)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (unsigned i = 0; classes[i]; i++) g_strv_builder_add(names, classes[i]->type);
    return g_strv_builder_end(names);
}

static const VitBlockExportClass *find_class(const char *type, GError **error)
{
    const char *names[G_N_ELEMENTS(classes)] = { NULL };

    for (unsigned i = 0; classes[i]; i++) {
        if (strcmp(classes[i]->type, type) == 0) return classes[i];
        names[i] = classes[i]->type;
    }
    g_autofree char *phrase = vit_suggest_phrase(type, names);
    vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                   _("Parameter 'type' does not accept value '%s'%s"), type, phrase);
    return NULL;
}

static bool missing(GError **error, const char *name)
{
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter '%s' is missing"), name);
}

static VitIoThread *home(const VitBlockExport *e)
{
    return vit_block_graph_thread(e->exports->graph);
}

/* Where the node is. */
static void let_go(void *opaque)
{
    VitBlockExport *e = opaque;

    vit_block_claim_free(e->claim);
    if (vit_block_far(e->node) == e->node) vit_block_node_unref(e->node);
}

static void free_export(VitBlockExport *e)
{
    if (e->node) {
        bool bridged = vit_block_far(e->node) != e->node;
        vit_co_block_run(home(e), vit_block_far(e->node), let_go, e);
        if (bridged) vit_block_node_unref(e->node);
    }
    vit_block_object_release(e->iothread);
    g_free(e->id);
    g_free(e->node_name);
    g_free(e);
}

typedef struct {
    VitBlockExport *export;
    VitBlockNode *node; /* what is exported */
    VitBlockNode *root; /* a reference; NULL: not to be had */
    GError **error;
    VitIoThread *to;
    bool good;
} Hold;

/* On a fiber where the node is. */
static void hold_node(void *opaque)
{
    Hold *h = opaque;
    VitBlockExport *e = h->export;
    g_autofree char *who = g_strdup_printf("block export '%s'", e->id);
    unsigned use = VIT_CLAIM_READ | VIT_CLAIM_SHARE_WRITE | (e->writable ? VIT_CLAIM_WRITE : 0u);

    if (e->klass == &vit_nbd_export_class && vit_block_node_thread(h->node) != home(e))
        use |= VIT_CLAIM_FOLLOWS;
    e->claim = vit_block_claim(h->node, use, who, h->error);
    if (e->claim) h->root = vit_block_root_new(vit_block_node_ref(h->node), e->id);
}

static void bring_node(void *opaque)
{
    Hold *h = opaque;

    h->good = vit_co_block_move(h->node, h->to, h->error);
}

/* "iothread": where the node is to be brought, if that can be done or must. */
static bool go_to(VitBlockExport *e, VitBlockNode *node, const char *id, bool must, GError **error)
{
    VitBlockObjects *objects = vit_block_graph_objects(e->exports->graph);

    e->iothread = vit_block_objects_use(objects, id, "iothread", NULL);
    if (!e->iothread)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("iothread \"%s\" not found"), id);
    Hold h = { .node = node,
               .to = vit_block_object_io_thread(e->iothread),
               .error = must ? error : NULL };
    vit_co_block_run(home(e), node, bring_node, &h);
    return h.good || !must;
}

static bool fill(VitBlockExport *e, VitBlockArgs *args, GError **error)
{
    VitBlockExports *x = e->exports;
    const char *id = vit_block_args_str(args, "id"), *name = vit_block_args_str(args, "node-name");
    const char *iothread = vit_block_args_str(args, "iothread");
    bool fixed = false;

    if (!id) return missing(error, "id");
    if (!name) return missing(error, "node-name");
    if (!vit_block_args_bool(args, "writable", &e->writable, error) ||
        !vit_block_args_bool(args, "writethrough", &e->writethrough, error) ||
        !vit_block_args_bool(args, "fixed-iothread", &fixed, error))
        return false;
    if (!vit_block_id_is_valid(id))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Invalid block export id"));
    if (find(x, id))
        return vit_block_fail(error, VIT_BLOCK_ERROR_EXISTS,
                              _("Block export id '%s' is already in use"), id);
    VitBlockNode *node = vit_block_graph_find(x->graph, name);
    if (!node)
        return vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                              _("Cannot find device='' nor node-name='%s'"), name);
    if (e->writable && node->how.read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Cannot export read-only node as writable"));
    e->id = g_strdup(id);
    e->node_name = g_strdup(name);
    if (iothread && !go_to(e, node, iothread, fixed, error)) return false;
    Hold hold = { e, node, NULL, error };
    vit_co_block_run(home(e), node, hold_node, &hold);
    if (!hold.root) return false;
    /* One server speaks for all the exports of a graph; other kinds work where their node is. */
    e->node = e->klass != &vit_nbd_export_class || vit_block_node_thread(hold.root) == home(e)
                  ? hold.root
                  : vit_block_bridge_new(hold.root, home(e));
    return true;
}

typedef struct {
    VitBlockExport *export;
    VitBlockArgs *args;
    GError **error;
    bool good;
} Work;

static void start_fiber(void *opaque)
{
    Work *w = opaque;
    const VitBlockExportClass *klass = w->export->klass;

    w->good = klass->co_start(w->export, w->args, w->error);
    if (w->good && !vit_block_args_finish(w->args, w->error)) {
        w->good = false;
        klass->co_stop(w->export);
    }
}

static void stop_fiber(void *opaque)
{
    VitBlockExport *e = opaque;

    e->klass->co_stop(e);
}

static void add_fiber(void *opaque)
{
    Call *call = opaque;
    const char *type = vit_block_args_str(call->args, "type");

    if (!type) {
        missing(call->error, "type");
        return;
    }
    const VitBlockExportClass *klass = find_class(type, call->error);
    if (!klass) return;
    VitBlockExport *e = g_malloc0(klass->instance_size);
    e->klass = klass;
    e->exports = call->exports;
    Work w = { e, call->args, call->error, false };
    if (fill(e, call->args, call->error)) vit_co_block_run(home(e), e->node, start_fiber, &w);
    call->good = w.good;
    if (!call->good) {
        free_export(e);
        return;
    }
    e->started = true;
    g_ptr_array_add(call->exports->list, e);
}

bool vit_block_exports_add(VitBlockExports *x, VitBlockArgs *args, GError **error)
{
    Call call = { .exports = x, .args = args, .error = error };

    vit_fiber_run_sync(vit_block_graph_thread(x->graph), add_fiber, &call);
    return call.good;
}

/* ---- removing -------------------------------------------------------------------------------- */

typedef struct {
    VitBlockExport *export;
    GPtrArray *hurried;
} Hurry;

static void hurry_there(void *opaque)
{
    Hurry *h = opaque;

    h->hurried = vit_block_hurry(vit_block_far(h->export->node), NULL);
}

static void hurry_end_there(void *opaque)
{
    vit_block_hurry_end(((Hurry *)opaque)->hurried);
}

static void stop(VitBlockExports *x, VitBlockExport *e)
{
    e->shutting_down = true;
    Hurry hurry = { e, NULL };
    VitBlockNode *far = vit_block_far(e->node);
    vit_co_block_run(home(e), far, hurry_there, &hurry);
    vit_co_block_run(home(e), e->node, stop_fiber, e);
    vit_co_block_run(home(e), far, hurry_end_there, &hurry);
    g_ptr_array_remove(x->list, e);
    g_autofree char *id = g_strdup(e->id);
    free_export(e);
    if (x->deleted) x->deleted(x->deleted_opaque, id);
}

static void remove_fiber(void *opaque)
{
    Call *call = opaque;
    VitBlockExport *e = find(call->exports, call->id);

    if (!e) {
        vit_block_fail(call->error, VIT_BLOCK_ERROR_NOT_FOUND, _("Export '%s' is not found"),
                       call->id);
        return;
    }
    if (e->shutting_down) {
        vit_block_fail(call->error, VIT_BLOCK_ERROR_BUSY, _("export '%s' is already shutting down"),
                       call->id);
        return;
    }
    if (!call->hard && e->klass->clients && e->klass->clients(e) > 0) {
        vit_block_fail(call->error, VIT_BLOCK_ERROR_BUSY, _("export '%s' still in use"), call->id);
        return;
    }
    stop(call->exports, e);
    call->good = true;
}

bool vit_block_exports_remove(VitBlockExports *x, const char *id, bool hard, GError **error)
{
    Call call = { .exports = x, .id = id, .hard = hard, .error = error };

    vit_fiber_run_sync(vit_block_graph_thread(x->graph), remove_fiber, &call);
    return call.good;
}

static void stop_all(VitBlockExports *x, const VitBlockExportClass *klass /* NULL: any */)
{
    for (guint i = 0; i < x->list->len;) {
        VitBlockExport *e = x->list->pdata[i];
        if (e->shutting_down || (klass && e->klass != klass)) {
            i++;
            continue;
        }
        stop(x, e);
        i = 0; /* others may have come and gone meanwhile */
    }
}

static void free_fiber(void *opaque)
{
    VitBlockExports *x = opaque;

    stop_all(x, NULL);
    vit_co_nbd_server_stop(g_steal_pointer(&x->nbd));
}

void vit_block_exports_free(VitBlockExports *x)
{
    if (!x) return;
    vit_fiber_run_sync(vit_block_graph_thread(x->graph), free_fiber, x);
    g_ptr_array_unref(x->list);
    g_free(x);
}

/* ---- listing --------------------------------------------------------------------------------- */

typedef struct {
    const VitBlockExport *export;
    JsonObject *to;
} Name;

static void name_node(void *opaque)
{
    Name *n = opaque;
    VitBlockNode *node = vit_block_root_node(vit_block_far(n->export->node));

    json_object_set_string_member(n->to, "node-name", node->name);
}

static void list_fiber(void *opaque)
{
    Call *call = opaque;
    VitBlockExports *x = call->exports;

    for (guint i = x->list->len; call->list && i-- > 0;) {
        const VitBlockExport *e = x->list->pdata[i];
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "id", e->id);
        json_object_set_string_member(o, "type", e->klass->type);
        vit_co_block_run(home(e), vit_block_far(e->node), name_node, &(Name){ e, o });
        json_object_set_boolean_member(o, "shutting-down", e->shutting_down);
        json_array_add_object_element(call->list, o);
    }
}

JsonArray *vit_block_exports_list(VitBlockExports *x)
{
    Call call = { .exports = x, .list = json_array_new() };

    vit_fiber_run_sync(vit_block_graph_thread(x->graph), list_fiber, &call);
    return call.list;
}

/* ---- the NBD server -------------------------------------------------------------------------- */

static void nbd_start_fiber(void *opaque)
{
    Call *call = opaque;
    VitBlockExports *x = call->exports;
    g_auto(VitNbdAddress) address = { 0 };
    uint64_t max = MAX_CONNECTIONS, seconds = HANDSHAKE_SECONDS;
    VitNbdServerOptions options = { .address = &address };

    if (x->nbd) {
        vit_block_fail(call->error, VIT_BLOCK_ERROR_BUSY, _("NBD server already running"));
        return;
    }
    g_autoptr(VitBlockArgs) addr = vit_block_args_sub(call->args, "addr");
    if (!addr) {
        missing(call->error, "addr");
        return;
    }
    options.tls_creds = vit_block_args_str(call->args, "tls-creds");
    if (vit_block_args_str(call->args, "tls-authz")) {
        vit_block_fail(
            call->error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("tls-authz: there are no authorization objects; clients are let in by their "
              "certificate (verify-peer=on)"));
        return;
    }
    if (!vit_nbd_address_take(addr, &address, call->error) ||
        !vit_block_args_uint(call->args, "max-connections", UINT32_MAX, &max, call->error) ||
        !vit_block_args_uint(call->args, "handshake-max-seconds", UINT32_MAX / 1000, &seconds,
                             call->error) ||
        !vit_block_args_finish(call->args, call->error))
        return;
    options.max_connections = (unsigned)max;
    options.handshake_seconds = (unsigned)seconds;
    x->nbd = vit_co_nbd_server_start(vit_block_graph_thread(x->graph),
                                     vit_block_graph_objects(x->graph), &options, call->error);
    call->good = x->nbd != NULL;
}

bool vit_block_exports_nbd_start(VitBlockExports *x, VitBlockArgs *args, GError **error)
{
    Call call = { .exports = x, .args = args, .error = error };

    vit_fiber_run_sync(vit_block_graph_thread(x->graph), nbd_start_fiber, &call);
    return call.good;
}

static void nbd_stop_fiber(void *opaque)
{
    Call *call = opaque;
    VitBlockExports *x = call->exports;

    if (!x->nbd) {
        vit_block_fail(call->error, VIT_BLOCK_ERROR_INVALID, _("NBD server not running"));
        return;
    }
    stop_all(x, &vit_nbd_export_class);
    vit_co_nbd_server_stop(g_steal_pointer(&x->nbd));
    call->good = true;
}

bool vit_block_exports_nbd_stop(VitBlockExports *x, GError **error)
{
    Call call = { .exports = x, .error = error };

    vit_fiber_run_sync(vit_block_graph_thread(x->graph), nbd_stop_fiber, &call);
    return call.good;
}
