/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/rbd.c - images of Ceph clusters (librbd, its asynchronous calls)
 *
 * "rbd:pool/image@snapshot:id=user:conf=/path:key=value".  Connecting blocks, so that it happens on
 * a worker thread; what is read and written ends by callbacks on librbd's own threads. */
#include "block/call.h"
#include "block/module.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <string.h>

typedef struct {
    VitBlockNode parent;
    char *pool, *space, *image, *snapshot, *conf, *user; /* owned; NULL: not given */
    GPtrArray *settings; /* owned: names and values of librados' configuration, in turn */
    GBytes *key; /* a reference; NULL: as the configuration says */
    rados_t cluster; /* owned, like the next two */
    rados_ioctx_t io;
    rbd_image_t rbd;
    bool read_only;
    VitFiberMutex resizing;
    uint64_t create_size; /* UINT64_MAX: opens what is there */
    uint8_t order; /* log2 of the objects' size, of a new image */
    int code;
    const char *what; /* failed: static */
} Rbd;

/* ---- requests -------------------------------------------------------------------------------- */

static void ended(rbd_completion_t completion, void *opaque)
{
    vit_answer_give_from(opaque, rbd_aio_get_return_value(completion));
    rbd_aio_release(completion);
}

typedef enum { RBD_READ, RBD_WRITE, RBD_FLUSH, RBD_DISCARD, RBD_ZEROES } Op;

static int co_do(Rbd *r, Op op, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov,
                 int flags)
{
    VitAnswer answer;
    rbd_completion_t completion;
    int code;

    vit_answer_begin(&answer, r->parent.thread);
    code = rbd_aio_create_completion(&answer, ended, &completion);
    if (code < 0) return code;
    switch (op) {
    case RBD_READ: code = rbd_aio_readv(r->rbd, iov, niov, offset, completion); break;
    case RBD_WRITE: code = rbd_aio_writev(r->rbd, iov, niov, offset, completion); break;
    case RBD_FLUSH: code = rbd_aio_flush(r->rbd, completion); break;
    case RBD_DISCARD: code = rbd_aio_discard(r->rbd, offset, bytes, completion); break;
    case RBD_ZEROES:
        code = rbd_aio_write_zeroes(r->rbd, offset, bytes, completion, flags, 0);
        break;
    }
    if (code < 0) {
        rbd_aio_release(completion);
        return code;
    }
    return (int)MIN(vit_co_answer_wait(&answer), 0);
}

static int rbd_read_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int niov)
{
    uint64_t there = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int n = vit_iov_slice(iov, niov, 0, there, part);

    if (there < bytes) vit_iov_zero(iov, niov, there, bytes - there);
    return there ? co_do((Rbd *)node, RBD_READ, offset, there, part, n, 0) : 0;
}

static int rbd_flush_node(VitBlockNode *node)
{
    return co_do((Rbd *)node, RBD_FLUSH, 0, 0, NULL, 0, 0);
}

typedef struct {
    rbd_image_t rbd;
    uint64_t size;
    int code;
} Resize;

static void resize_run(void *opaque)
{
    Resize *r = opaque;

    r->code = rbd_resize(r->rbd, r->size);
}

/* Writes past the end come by several at a time: what one has grown no other may cut off. */
static int co_resize(Rbd *r, uint64_t size, bool shrink)
{
    Resize resize = { .rbd = r->rbd, .size = size };

    vit_fiber_mutex_lock(&r->resizing);
    if (shrink || size > r->parent.size) {
        vit_fiber_offload(r->parent.thread, resize_run, &resize);
        if (resize.code == 0) r->parent.size = size;
    }
    vit_fiber_mutex_unlock(&r->resizing);
    return resize.code;
}

static int rbd_write_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                           const struct iovec *iov, int niov, uint32_t flags)
{
    Rbd *r = (Rbd *)node;
    int code = offset + bytes > node->size ? co_resize(r, offset + bytes, false) : 0;

    if (code == 0) code = co_do(r, RBD_WRITE, offset, bytes, iov, niov, 0);
    return code == 0 && (flags & VIT_BLOCK_FUA) ? rbd_flush_node(node) : code;
}

static int rbd_write_zeroes_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                                  uint32_t flags)
{
    Rbd *r = (Rbd *)node;
    int code = offset + bytes > node->size ? co_resize(r, offset + bytes, false) : 0;

    if (code == 0)
        code = co_do(r, RBD_ZEROES, offset, bytes, NULL, 0,
                     flags & VIT_BLOCK_MAY_UNMAP ? 0 : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION);
    return code == 0 && (flags & VIT_BLOCK_FUA) ? rbd_flush_node(node) : code;
}

static int rbd_discard_range(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    if (offset >= node->size) return 0;
    return co_do((Rbd *)node, RBD_DISCARD, offset, MIN(bytes, node->size - offset), NULL, 0, 0);
}

static bool rbd_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                         GError **error)
{
    if (prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unsupported preallocation mode for rbd"));
    int code = co_resize((Rbd *)node, size, true);
    return code == 0 ||
           vit_block_fail_errno(error, code, _("“%s”: Failed to resize file"), node->filename);
}

/* ---- names and options ----------------------------------------------------------------------- */

/* Cuts *text at an unescaped `end` and takes the backslashes out of the first part (owned by the
 * caller); *text becomes the rest, NULL when there was no `end`. */
static char *next_part(const char **text, char end)
{
    GString *part = g_string_new(NULL);
    const char *p = *text;

    for (; *p && *p != end; p++) {
        if (*p == '\\' && p[1]) p++;
        g_string_append_c(part, *p);
    }
    *text = *p ? p + 1 : NULL;
    return g_string_free(part, FALSE);
}

/* Where `c` stands unescaped before `stop`, or NULL. */
static const char *find_plain(const char *text, char c, char stop)
{
    for (; *text && *text != stop; text++) {
        if (*text == c) return text;
        if (*text == '\\' && text[1]) text++;
    }
    return NULL;
}

static bool parse_image(const char *text, JsonObject *options, const char **rest, GError **error)
{
    bool has_pool = find_plain(text, '/', ':') != NULL;
    g_autofree char *pool = has_pool ? next_part(&text, '/') : NULL;

    if (!pool || !*pool)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Pool name is required"));
    json_object_set_string_member(options, "pool", pool);
    if (find_plain(text, '/', ':')) {
        g_autofree char *space = next_part(&text, '/');
        json_object_set_string_member(options, "namespace", space);
    }
    bool has_snapshot = find_plain(text, '@', ':') != NULL;
    g_autofree char *image = next_part(&text, has_snapshot ? '@' : ':');
    json_object_set_string_member(options, "image", image);
    if (has_snapshot) {
        g_autofree char *snapshot = next_part(&text, ':');
        json_object_set_string_member(options, "snapshot", snapshot);
    }
    *rest = text;
    return true;
}

static bool parse(const char *filename, JsonObject *options, GError **error)
{
    const char *rest = filename + strlen("rbd:");
    unsigned count = 0;

    if (!parse_image(rest, options, &rest, error)) return false;
    while (rest) {
        g_autofree char *key = find_plain(rest, '=', ':') ? next_part(&rest, '=') : NULL;
        if (!key)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("conf option %s has no value"),
                                  rest);
        g_autofree char *value = next_part(&rest, ':');
        if (strcmp(key, "id") == 0) {
            json_object_set_string_member(options, "user", value);
        } else if (strcmp(key, "conf") == 0) {
            json_object_set_string_member(options, "conf", value);
        } else {
            g_autofree char *name = g_strdup_printf("settings.%u.name", count);
            g_autofree char *what = g_strdup_printf("settings.%u.value", count++);
            json_object_set_string_member(options, name, key);
            json_object_set_string_member(options, what, value);
        }
    }
    return true;
}

static bool take_settings(Rbd *r, VitBlockArgs *args, GError **error)
{
    JsonNode *node = vit_block_args_node(args, "settings");

    r->settings = g_ptr_array_new_with_free_func(g_free);
    if (!node) return true;
    JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *one = json_array_get_element(list, i);
        JsonObject *pair = JSON_NODE_HOLDS_OBJECT(one) ? json_node_get_object(one) : NULL;
        const char *name = pair ? json_object_get_string_member_with_default(pair, "name", NULL)
                                : NULL;
        const char *value = pair ? json_object_get_string_member_with_default(pair, "value", NULL)
                                 : NULL;
        if (!name || !value) list = NULL;
        else {
            g_ptr_array_add(r->settings, g_strdup(name));
            g_ptr_array_add(r->settings, g_strdup(value));
        }
    }
    return list || vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("“settings” must be a list of names and values"));
}

/* "server.0.host": monitors, instead of those of the configuration. */
static bool take_servers(Rbd *r, VitBlockArgs *args, GError **error)
{
    JsonNode *node = vit_block_args_node(args, "server");
    GString *hosts = g_string_new(NULL);
    JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    bool good = !node || list;

    for (guint i = 0; list && good && i < json_array_get_length(list); i++) {
        JsonNode *one = json_array_get_element(list, i);
        JsonObject *pair = JSON_NODE_HOLDS_OBJECT(one) ? json_node_get_object(one) : NULL;
        const char *host = pair ? json_object_get_string_member_with_default(pair, "host", NULL)
                                : NULL;
        const char *port = pair ? json_object_get_string_member_with_default(pair, "port", NULL)
                                : NULL;
        good = host && port;
        if (good)
            g_string_append_printf(hosts, strchr(host, ':') ? "%s[%s]:%s" : "%s%s:%s",
                                   hosts->len ? "," : "", host, port);
    }
    if (good && hosts->len) {
        g_ptr_array_add(r->settings, g_strdup("mon_host"));
        g_ptr_array_add(r->settings, g_strdup(hosts->str));
    }
    g_string_free(hosts, TRUE);
    return good || vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("“server” must be a list of hosts and ports"));
}

static bool take_options(Rbd *r, VitBlockArgs *args, GError **error)
{
    const char *secret = vit_block_args_str(args, "key-secret");

    r->pool = g_strdup(vit_block_args_str(args, "pool"));
    r->space = g_strdup(vit_block_args_str(args, "namespace"));
    r->image = g_strdup(vit_block_args_str(args, "image"));
    r->snapshot = g_strdup(vit_block_args_str(args, "snapshot"));
    r->conf = g_strdup(vit_block_args_str(args, "conf"));
    r->user = g_strdup(vit_block_args_str(args, "user"));
    if (!r->pool)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'pool' is missing"));
    if (!r->image)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'image' is missing"));
    if (!take_settings(r, args, error) || !take_servers(r, args, error)) return false;
    if (secret)
        r->key = vit_block_secret_lookup(vit_block_graph_objects(r->parent.graph), secret, error);
    return !secret || r->key;
}

/* ---- connecting (on a worker) ---------------------------------------------------------------- */

static int set_all(Rbd *r)
{
    int code = 0;

    for (guint i = 0; i + 1 < r->settings->len && code == 0; i += 2)
        code = rados_conf_set(r->cluster, r->settings->pdata[i], r->settings->pdata[i + 1]);
    if (code == 0 && r->key) {
        g_autofree char *text = g_base64_encode(g_bytes_get_data(r->key, NULL),
                                                g_bytes_get_size(r->key));
        code = rados_conf_set(r->cluster, "key", text);
        explicit_bzero(text, strlen(text));
    }
    return code;
}

static void connect_run(void *opaque)
{
    Rbd *r = opaque;

    r->what = "error initializing";
    if ((r->code = rados_create(&r->cluster, r->user)) < 0) return;
    r->what = "error reading conf file";
    r->code = rados_conf_read_file(r->cluster, r->conf);
    if (r->code < 0 && r->conf) return; /* the usual places may lack one */
    r->what = "error in the configuration";
    if ((r->code = set_all(r)) < 0) return;
    r->what = "error connecting";
    if ((r->code = rados_connect(r->cluster)) < 0) return;
    r->what = "error opening pool";
    if ((r->code = rados_ioctx_create(r->cluster, r->pool, &r->io)) < 0) return;
    rados_ioctx_set_namespace(r->io, r->space);
    if (r->create_size != UINT64_MAX) {
        int order = r->order;
        r->what = "error creating image";
        if ((r->code = rbd_create(r->io, r->image, r->create_size, &order)) < 0) return;
        r->create_size = UINT64_MAX;
    }
    r->what = "error reading header from image";
    r->code = r->read_only || r->snapshot
                  ? rbd_open_read_only(r->io, r->image, &r->rbd, r->snapshot)
                  : rbd_open(r->io, r->image, &r->rbd, NULL);
    if (r->code == 0) r->code = rbd_get_size(r->rbd, &r->parent.size);
}

static void disconnect_run(void *opaque)
{
    Rbd *r = opaque;

    if (r->rbd) rbd_close(r->rbd);
    if (r->io) rados_ioctx_destroy(r->io);
    if (r->cluster) rados_shutdown(r->cluster);
    r->rbd = NULL;
    r->io = NULL;
    r->cluster = NULL;
}

static void rbd_close_node(VitBlockNode *node)
{
    Rbd *r = (Rbd *)node;

    vit_fiber_offload(node->thread, disconnect_run, r);
    g_free(r->pool);
    g_free(r->space);
    g_free(r->image);
    g_free(r->snapshot);
    g_free(r->conf);
    g_free(r->user);
    g_clear_pointer(&r->settings, g_ptr_array_unref);
    g_clear_pointer(&r->key, g_bytes_unref);
}

static bool co_connect(Rbd *r, VitBlockArgs *args, GError **error)
{
    if (take_options(r, args, error)) {
        vit_fiber_offload(r->parent.thread, connect_run, r);
        if (r->code >= 0) return true;
        vit_block_fail_errno(error, r->code, _("rbd:%s/%s: %s"), r->pool, r->image, r->what);
    }
    rbd_close_node(&r->parent);
    return false;
}

static void rbd_attach(VitBlockNode *node)
{
    ((Rbd *)node)->resizing.thread = node->thread;
}

static bool rbd_open_node(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Rbd *r = (Rbd *)node;

    r->create_size = UINT64_MAX;
    rbd_attach(node);
    if (vit_block_args_has(args, "snapshot") && !node->how.read_only) {
        if (!node->how.auto_read_only)
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("rbd snapshots are read-only; open it with read-only=on"));
        node->how.read_only = true;
    }
    r->read_only = node->how.read_only;
    if (!co_connect(r, args, error)) return false;
    g_free(node->filename);
    node->filename = g_strdup_printf("rbd:%s/%s%s%s%s%s", r->pool, r->space ?: "",
                                     r->space ? "/" : "", r->image, r->snapshot ? "@" : "",
                                     r->snapshot ?: "");
    return true;
}

static bool rbd_create_image(VitBlockCreate *create, GError **error)
{
    g_autoptr(JsonObject) options = json_object_new();
    uint64_t cluster = 0;

    if (!create->filename || !parse(create->filename, options, error) ||
        !vit_block_args_size(create->options, "cluster_size", &cluster, error))
        return false;
    if (cluster && (cluster < 4096 || cluster > 32 << 20 || (cluster & (cluster - 1))))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("obj size must be a power of two from 4k to 32M"));
    g_autoptr(VitBlockArgs) args = vit_block_args_new(create->filename, options, error);
    if (!args) return false;
    Rbd *r = g_new0(Rbd, 1);
    r->parent.thread = create->thread;
    r->parent.graph = create->graph;
    r->create_size = create->size;
    r->order = cluster ? (uint8_t)__builtin_ctzll(cluster) : 0;
    bool good = co_connect(r, args, error);
    if (good) rbd_close_node(&r->parent);
    g_free(r);
    return good;
}

static void rbd_info(VitBlockNode *node, VitBlockInfo *info)
{
    info->can_discard = true;
    info->zero_init = true;
}

static const VitBlockOption rbd_create_options[] = {
    { "cluster_size", VIT_OPT_SIZE, "RBD object size", NULL, false },
    { .name = NULL },
};

static const VitBlockDriver driver = {
    .name = "rbd",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Rbd),
    .create_options = rbd_create_options,
    .parse_filename = parse,
    .co_open = rbd_open_node,
    .co_close = rbd_close_node,
    .co_read = rbd_read_range,
    .co_write = rbd_write_range,
    .co_write_zeroes = rbd_write_zeroes_range,
    .co_discard = rbd_discard_range,
    .co_flush = rbd_flush_node,
    .co_truncate = rbd_truncate,
    .attach = rbd_attach,
    .info = rbd_info,
    .co_create = rbd_create_image,
};

VIT_BLOCK_MODULE(&driver);
