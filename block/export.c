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

static void free_export(VitBlockExport *e)
{
    vit_block_claim_free(e->claim);
    vit_block_node_unref(e->node);
    g_free(e->id);
    g_free(e->node_name);
    g_free(e);
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
    if (iothread && fixed)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("iothread \"%s\": an export works on the thread of its node; leave "
                                "fixed-iothread out"),
                              iothread);
    e->id = g_strdup(id);
    e->node_name = g_strdup(name);
    g_autofree char *who = g_strdup_printf("block export '%s'", id);
    e->claim = vit_block_claim(
        node, VIT_CLAIM_READ | VIT_CLAIM_SHARE_WRITE | (e->writable ? VIT_CLAIM_WRITE : 0), who,
        error);
    if (!e->claim) return false;
    e->node = vit_block_root_new(vit_block_node_ref(node), id);
    return true;
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
    call->good = fill(e, call->args, call->error) && klass->co_start(e, call->args, call->error);
    if (call->good && !vit_block_args_finish(call->args, call->error)) {
        call->good = false;
        klass->co_stop(e);
    }
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

static void stop(VitBlockExports *x, VitBlockExport *e)
{
    e->shutting_down = true;
    GPtrArray *hurried = vit_block_hurry(e->node, NULL);
    e->klass->co_stop(e);
    vit_block_hurry_end(hurried);
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

static void list_fiber(void *opaque)
{
    Call *call = opaque;
    VitBlockExports *x = call->exports;

    for (guint i = x->list->len; call->list && i-- > 0;) {
        const VitBlockExport *e = x->list->pdata[i];
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "id", e->id);
        json_object_set_string_member(o, "type", e->klass->type);
        json_object_set_string_member(o, "node-name", vit_block_root_node(e->node)->name);
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
