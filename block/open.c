/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/open.c - opening: common options, children, probing, and chains of backing files */
#include "block/drivers.h"
#include "block/node-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* ---- common options -------------------------------------------------------------------------- */

static bool take_common(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    static const char *const discards[] = { "ignore", "unmap", "off", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    VitBlockOptions *how = &node->how;
    int discard = how->discard, detect = 0;
    const char *name = vit_block_args_str(args, "node-name");

    if (name) {
        if (!vit_block_id_is_valid(name))
            return vit_block_args_fail(args, error, _("Invalid node-name: '%s'"), name);
        g_free(node->name);
        node->name = g_strdup(name);
    }
    if (!vit_block_args_bool(args, "read-only", &how->read_only, error) ||
        !vit_block_args_bool(args, "auto-read-only", &how->auto_read_only, error) ||
        !vit_block_args_bool(args, "force-share", &how->force_share, error) ||
        !vit_block_args_enum(args, "discard", discards, &discard, error) ||
        !vit_block_args_enum(args, "detect-zeroes", detects, &detect, error))
        return false;
    if (how->force_share && !how->read_only)
        return vit_block_args_fail(args, error,
                                   _("force-share=on can only be used with read-only images"));
    how->discard = discard & 1;
    node->detect_zeroes = (unsigned)detect;
    if (detect == 2 && !how->discard)
        return vit_block_args_fail(args, error,
                                   _("setting detect-zeroes to unmap is not allowed without "
                                     "setting discard operation to unmap"));
    g_autoptr(VitBlockArgs) cache = vit_block_args_sub(args, "cache");
    return !cache || (vit_block_args_bool(cache, "direct", &how->direct, error) &&
                      vit_block_args_bool(cache, "no-flush", &how->no_flush, error) &&
                      vit_block_args_finish(cache, error));
}

static const VitBlockDriver *find_driver(const VitBlockArgs *args, VitIoThread *thread,
                                         const char *name, GError **error)
{
    const VitBlockDriver *driver = vit_block_driver_find(name);

    if (driver) return vit_co_driver_load(driver, thread, error);
    if (vit_block_args_named(args)) {
        vit_block_args_fail(args, error, _("Unknown driver '%s'"), name);
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const VitBlockDriver *const *d = vit_block_drivers(); *d; d++)
        g_ptr_array_add(names, (void *)(*d)->name);
    g_ptr_array_add(names, NULL);
    vit_block_args_fail_value(args, "driver", name, (const char *const *)names->pdata, error);
    return NULL;
}

/* One node with its children, without its backing file. */
static VitBlockNode *open_one(VitBlockGraph *graph, VitIoThread *thread, VitBlockArgs *args,
                              const VitBlockOptions *inherited, GError **error)
{
    const char *name = vit_block_args_str(args, "driver");

    if (!name) {
        vit_block_args_fail_missing(args, "driver", error, _("Must specify either driver or file"));
        return NULL;
    }
    const VitBlockDriver *driver = find_driver(args, thread, name, error);
    if (!driver) return NULL;
    vit_block_args_set_driver(args, driver->name, driver->kind == VIT_BLOCK_PROTOCOL);
    VitBlockNode *node = vit_block_node_new(driver, "", thread);
    g_clear_pointer(&node->name, g_free);
    node->graph = graph; /* children are looked up in it */
    if (inherited) node->how = *inherited;
    bool good = take_common(node, args, error) && driver->co_open(node, args, error);
    node->opened = good;
    if (good && node->file && (!node->filename || !*node->filename)) {
        g_free(node->filename);
        node->filename = g_strdup(node->file->node->filename);
    }
    if (driver->supports_backing) (void)vit_block_args_node(args, "backing"); /* open_chain()'s */
    good = good && vit_block_args_finish(args, error) &&
           (!graph || vit_block_graph_enter(graph, node, error));
    if (!good) {
        vit_block_node_unref(node);
        return NULL;
    }
    if (!node->name) node->name = g_path_get_basename(node->filename);
    return node;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static bool loops(VitBlockNode *top, const char *filename)
{
    for (VitBlockNode *n = top; n; n = n->backing ? n->backing->node : NULL) {
        if (strcmp(n->filename, filename) == 0) return true;
    }
    return false;
}

/* Opens what lies under `node` (the lowest so far of the chain of `top`).  NULL without an error:
 * nothing. */
static VitBlockNode *open_backing(VitBlockNode *top, VitBlockNode *node, VitBlockArgs *args,
                                  VitBlockArgs **next, GError **error)
{
    VitBlockOptions how = node->how;
    JsonNode *given = args ? vit_block_args_node(args, "backing") : NULL;

    how.read_only = true;
    how.auto_read_only = how.discard = how.check = false;
    if (given && JSON_NODE_HOLDS_NULL(given)) return NULL;
    if (given && JSON_NODE_HOLDS_VALUE(given)) {
        const char *name = json_node_get_string(given);
        VitBlockNode *there = node->graph && name ? vit_block_graph_find(node->graph, name) : NULL;
        if (!there)
            vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                           _("Cannot find device='%s' nor node-name='%s'"), name ?: "", name ?: "");
        return there ? vit_block_node_ref(there) : NULL;
    }
    if (given && JSON_NODE_HOLDS_OBJECT(given) &&
        json_object_has_member(json_node_get_object(given), "driver")) {
        *next = vit_block_args_sub(args, "backing");
        return open_one(node->graph, node->thread, *next, &how, error);
    }
    if (!node->backing_file || !*node->backing_file || how.no_backing) return NULL;
    g_autofree char *name = vit_block_filename_join(node->filename, node->backing_file);
    if (loops(top, name)) {
        vit_block_fail(error, VIT_BLOCK_ERROR_CORRUPT,
                       _("“%s”: its backing file “%s” is part of the chain above it"),
                       node->filename, name);
        return NULL;
    }
    how.no_backing = true; /* the loop below goes on */
    g_autoptr(GError) why = NULL;
    VitBlockNode *backing = vit_co_open_image(
        node->graph, node->thread, name, node->backing_format,
        given && JSON_NODE_HOLDS_OBJECT(given) ? json_node_get_object(given) : NULL, &how, false,
        &why);
    if (!backing) {
        vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND, _("Could not open backing file: %s"),
                       vit_block_error_text(why));
        return NULL;
    }
    backing->how.no_backing = false;
    return backing;
}

static bool open_chain(VitBlockNode *top, VitBlockArgs *args, GError **error)
{
    g_autoptr(VitBlockArgs) owned = NULL;
    VitBlockArgs *now = args;

    for (VitBlockNode *node = top; node->driver->supports_backing && !node->backing;) {
        g_autoptr(GError) why = NULL;
        VitBlockArgs *next = NULL;
        int depth = 0;
        for (VitBlockNode *n = top; n; n = n->backing ? n->backing->node : NULL) depth++;
        if (depth > VIT_BLOCK_MAX_CHAIN)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("“%s”: more than %d images stand on one another"),
                                  top->filename, VIT_BLOCK_MAX_CHAIN);
        VitBlockNode *backing = open_backing(top, node, now, &next, &why);
        g_clear_pointer(&owned, vit_block_args_free);
        now = owned = next;
        if (!backing && !why) return true;
        if (!backing) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        vit_block_add_edge(node, backing, "backing", VIT_EDGE_BACKING);
        if (node->driver->kind != VIT_BLOCK_FORMAT || backing == top) break;
        node = backing;
    }
    return true;
}

VitBlockNode *vit_co_open(VitBlockGraph *graph, VitIoThread *thread, VitBlockArgs *args,
                          const VitBlockOptions *inherited, GError **error)
{
    VitBlockNode *node = open_one(graph, thread, args, inherited, error);

    if (node && !node->how.no_backing && !open_chain(node, args, error)) {
        vit_block_node_unref(node);
        return NULL;
    }
    return node;
}

/* ---- children -------------------------------------------------------------------------------- */

/* A format whose tables must hold still while they are read. */
static bool has_tables(const VitBlockNode *node)
{
    return node->driver->kind == VIT_BLOCK_FORMAT && node->driver != &vit_block_raw_driver &&
           !(node->driver == &vit_block_luks_driver && node->how.no_io);
}

/* Lets nobody else write to what was opened before it was known what it is. */
static bool keep_alone(VitBlockNode *node, GError **error)
{
    for (; node; node = node->file ? node->file->node : NULL) {
        if (node->how.share && node->driver->co_unshare && !node->driver->co_unshare(node, error))
            return false;
        node->how.share = false;
    }
    return true;
}

VitBlockEdge *vit_co_open_child(VitBlockNode *node, VitBlockArgs *args, const char *name,
                                VitBlockRole role, GError **error)
{
    VitBlockNode *child = vit_block_args_take_child(args, name);
    VitBlockOptions how = node->how;
    bool alone = has_tables(node) && role != VIT_EDGE_BACKING;

    if (alone) how.share = false;
    if (role == VIT_EDGE_BACKING) {
        how.read_only = true;
        how.discard = false;
    }
    g_autoptr(VitBlockArgs) sub = child ? NULL : vit_block_args_sub(args, name);
    if (sub) {
        if (role != VIT_EDGE_FILTERED && !vit_block_args_has(sub, "driver") &&
            vit_block_args_has(sub, "filename"))
            vit_block_args_set(sub, "driver", "file");
        child = role == VIT_EDGE_FILTERED ? vit_co_open(node->graph, node->thread, sub, &how, error)
                                          : open_one(node->graph, node->thread, sub, &how, error);
        if (!child) return NULL;
    } else {
        const char *reference = vit_block_args_str(args, name);
        if (!child && reference) {
            child = node->graph ? vit_block_graph_find(node->graph, reference) : NULL;
            if (!child) {
                vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                               _("Cannot find device='%s' nor node-name='%s'"), reference,
                               reference);
                return NULL;
            }
            vit_block_node_ref(child);
        }
    }
    if (!child) {
        vit_block_args_fail_missing(args, name, error,
                                    _("A block device must be specified for \"%s\""), name);
        return NULL;
    }
    if (alone && child->how.share && !keep_alone(child, error)) {
        vit_block_node_unref(child);
        return NULL;
    }
    if (child->how.read_only && !node->how.read_only && role != VIT_EDGE_BACKING) {
        if (!node->how.auto_read_only) {
            vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                           _("Block node '%s' is read-only; open “%s” with read-only=on"),
                           child->name ?: child->filename, node->driver->name);
            vit_block_node_unref(child);
            return NULL;
        }
        node->how.read_only = true;
    }
    if (child->thread != node->thread) {
        vit_block_fail(error, VIT_BLOCK_ERROR_BUSY,
                       _("Block node '%s' is used by another iothread"), child->name);
        vit_block_node_unref(child);
        return NULL;
    }
    return vit_block_add_edge(node, child, name, role);
}

VitBlockEdge *vit_co_open_named(VitBlockNode *node, const char *filename, const char *format,
                                const char *edge_name, VitBlockRole role, GError **error)
{
    const char *base = node->filename && *node->filename ? node->filename
                       : node->file                      ? node->file->node->filename
                                                         : "";
    g_autofree char *name = vit_block_filename_join(base, filename);
    VitBlockOptions how = node->how;
    if (has_tables(node)) how.share = false;
    bool raw_file = format && strcmp(format, "file") == 0;
    VitBlockNode *child = vit_co_open_image(node->graph, node->thread, name,
                                            raw_file ? NULL : format, NULL, &how, raw_file, error);

    return child ? vit_block_add_edge(node, child, edge_name, role) : NULL;
}

/* ---- by name --------------------------------------------------------------------------------- */

/* Asks the protocol node's first and last bytes what they are. */
static const VitBlockDriver *probe(VitBlockNode *file, GError **error)
{
    g_autofree uint8_t *head = g_malloc0(VIT_BLOCK_HEAD);
    uint8_t tail[VIT_BLOCK_TAIL];
    uint64_t size = file->size;
    size_t head_size = MIN(size, VIT_BLOCK_HEAD);
    bool has_tail = size >= sizeof tail;
    int code = head_size ? vit_co_read(file, 0, head, head_size) : 0;

    if (code == 0 && has_tail) code = vit_co_read(file, size - sizeof tail, tail, sizeof tail);
    if (code < 0) {
        vit_block_fail_errno(error, code, _("Could not read “%s”"), file->filename);
        return NULL;
    }
    return vit_block_probe(head, head_size, has_tail ? tail : NULL, file->filename);
}

static VitBlockNode *note_probed(VitBlockNode *node, bool probed)
{
    if (node) node->probed = probed && node->driver == &vit_block_raw_driver;
    return node;
}

static JsonObject *copy_object(JsonObject *from)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), from);
    g_autoptr(JsonNode) copy = json_node_copy(node);
    JsonObject *deep = json_object_new();
    g_autoptr(GList) keys = json_object_get_members(json_node_get_object(copy));

    for (GList *k = keys; k; k = k->next)
        json_object_set_member(deep, k->data, json_object_dup_member(from, k->data));
    return deep;
}

/* driver: NULL when the name says it. */
static VitBlockNode *open_protocol(VitBlockGraph *graph, VitIoThread *thread, const char *filename,
                                   const VitBlockDriver *driver, VitBlockArgs *extra,
                                   const VitBlockOptions *how, GError **error)
{
    g_autoptr(JsonObject) options = driver ? vit_block_filename_options_of(filename, driver, error)
                                           : vit_block_filename_options(filename, thread, error);
    g_autoptr(VitBlockArgs) file_extra = extra ? vit_block_args_sub(extra, "file") : NULL;

    if (!options) return NULL;
    if (file_extra) {
        JsonObject *more = vit_block_args_object(file_extra);
        g_autoptr(GList) keys = json_object_get_members(more);
        for (GList *k = keys; k; k = k->next)
            json_object_set_member(options, k->data, json_object_dup_member(more, k->data));
        json_object_remove_member(vit_block_args_object(extra), "file");
    }
    g_autoptr(VitBlockArgs) args = vit_block_args_new("", options, error);
    return args ? open_one(graph, thread, args, how, error) : NULL;
}

VitBlockNode *vit_co_open_probed(VitBlockGraph *graph, VitIoThread *thread, VitBlockArgs *args,
                                 const VitBlockOptions *inherited, GError **error)
{
    if (vit_block_args_has(args, "driver"))
        return vit_co_open(graph, thread, args, inherited, error);
    g_autoptr(VitBlockArgs) sub = vit_block_args_sub(args, "file");
    if (!sub) {
        const char *name = vit_block_args_str(args, "file");
        if (name)
            vit_block_fail(error, VIT_BLOCK_ERROR_NOT_FOUND,
                           _("Cannot find device='%s' nor node-name='%s'"), name, name);
        else
            vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Must specify either driver or file"));
        return NULL;
    }
    vit_block_args_set_default(sub, "driver", "file");
    VitBlockNode *file = open_one(graph, thread, sub, inherited, error);
    const VitBlockDriver *found = file ? probe(file, error) : NULL;
    if (!found) {
        vit_block_node_unref(file);
        return NULL;
    }
    vit_block_args_set(args, "driver", found->name);
    vit_block_args_set_child(args, "file", file);
    return note_probed(vit_co_open(graph, thread, args, inherited, error), true);
}

VitBlockNode *vit_co_open_image(VitBlockGraph *graph, VitIoThread *thread, const char *filename,
                                const char *format, JsonObject *extra_object,
                                const VitBlockOptions *how, bool protocol_only, GError **error)
{
    g_autofree char *protocol = vit_block_filename_protocol(filename);
    g_autoptr(VitBlockArgs) extra = NULL;

    if (protocol && strcmp(protocol, "json") == 0) {
        g_autoptr(JsonObject) options = vit_block_filename_options(filename, thread, error);
        if (!options) return NULL;
        if (format) json_object_set_string_member(options, "driver", format);
        extra = vit_block_args_new("", options, error);
    } else {
        g_autoptr(JsonObject) copy = extra_object ? copy_object(extra_object) : NULL;
        extra = vit_block_args_new("", copy, error);
    }
    if (!extra) return NULL;
    if (protocol && strcmp(protocol, "json") == 0)
        return vit_co_open_probed(graph, thread, extra, how, error);
    if (!format) format = vit_block_args_str(extra, "driver");
    const VitBlockDriver *driver = NULL;
    if (format && !(driver = find_driver(extra, thread, format, error))) return NULL;
    bool is_protocol = driver && driver->kind == VIT_BLOCK_PROTOCOL;
    if (is_protocol) protocol_only = true;
    VitBlockNode *file = open_protocol(graph, thread, filename, is_protocol ? driver : NULL, extra,
                                       how, error);
    if (!file || protocol_only) return file;
    if (!driver && !(driver = probe(file, error))) {
        vit_block_node_unref(file);
        return NULL;
    }
    vit_block_args_set(extra, "driver", driver->name);
    vit_block_args_set_child(extra, "file", file);
    return note_probed(vit_co_open(graph, thread, extra, how, error), !format);
}

typedef struct {
    const char *format, *path;
    const VitBlockOptions *options;
    VitIoThread *thread;
    GError **error;
    VitBlockNode *node;
} Open;

static void open_fiber(void *opaque)
{
    Open *o = opaque;
    g_autoptr(JsonObject) extra = json_object_new();

    if (o->options->threads) json_object_set_string_member(extra, "file.aio", "threads");
    if (!o->options->lock) json_object_set_string_member(extra, "file.locking", "off");
    o->node = vit_co_open_image(NULL, o->thread, o->path, o->format, extra, o->options, false,
                                o->error);
}

VitBlockNode *vit_block_open(const char *format, const char *path, const VitBlockOptions *options,
                             VitIoThread *thread, GError **error)
{
    Open o = { format, path, options, thread, error, NULL };

    vit_fiber_run_sync(thread, open_fiber, &o);
    return o.node;
}
