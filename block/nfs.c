/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nfs.c - images on NFS servers, without the kernel's help (libnfs, its asynchronous calls)
 *
 * The folder of the path is mounted, its last part opened.  "nfs://server/folder/file?uid=0&gid=0";
 * what libnfs knows besides (version=4, nfsport=, mountport=) may be said in the URL as well. */
#include "block/call.h"
#include "block/module.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <nfsc/libnfs.h>
#include <string.h>

typedef struct {
    VitBlockNode parent;
    struct nfs_context *nfs; /* owned */
    struct nfsfh *file; /* owned */
    VitPollLink link;
    char *host, *path; /* owned */
    bool create;
} Nfs;

typedef struct {
    VitAnswer answer;
    void *into; /* where data of the answer is copied; NULL: nowhere */
    size_t size;
    bool whole; /* a structure of that size; else as many bytes as the status says */
    void *data; /* the answer itself, where it is a handle */
    char *why; /* owned; of a failure */
} Reply;

static int get_fd(void *opaque)
{
    return nfs_get_fd(((Nfs *)opaque)->nfs);
}

static int get_events(void *opaque)
{
    return nfs_which_events(((Nfs *)opaque)->nfs);
}

static void service(void *opaque, int revents)
{
    Nfs *n = opaque;

    /* A session that is lost ends its requests with errors by their callbacks. */
    (void)nfs_service(n->nfs, revents);
    if (n->nfs) vit_poll_link_refresh(&n->link);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void replied(int status, struct nfs_context *nfs, void *data, void *opaque)
{
    Reply *r = opaque;

    r->data = data;
    if (status < 0) r->why = g_strdup(data ?: nfs_get_error(nfs));
    else if (r->into && data)
        memcpy(r->into, data, r->whole ? r->size : MIN(r->size, (size_t)status));
    /* Fibers run after the library has returned: it is not to be entered again from here. */
    vit_answer_give_from(&r->answer, status);
}

static int64_t wait_reply(Nfs *n, Reply *r, int begun)
{
    if (begun < 0) return -EIO;
    vit_poll_link_refresh(&n->link);
    int64_t result = vit_co_answer_wait(&r->answer);
    if (n->link.thread) vit_poll_link_refresh(&n->link);
    return result;
}

static void begin(Nfs *n, Reply *r, void *into, size_t size)
{
    *r = (Reply){ .into = into, .size = size };
    vit_answer_begin(&r->answer, n->parent.thread);
}

static int nfs_read_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int niov)
{
    enum { PIECE = 1 << 20 };
    Nfs *n = (Nfs *)node;
    uint64_t there = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    g_autofree uint8_t *buf = g_try_malloc(MIN(there, PIECE) + 1);

    if (!buf) return -ENOMEM;
    for (uint64_t done = 0; done < there;) {
        Reply r;
        size_t size = MIN(there - done, PIECE);
        begin(n, &r, buf, size);
        int64_t got = wait_reply(
            n, &r, nfs_pread_async(n->nfs, n->file, offset + done, size, replied, &r));
        g_free(r.why);
        if (got < 0) return (int)got;
        if (got == 0) { /* somebody has made the file shorter */
            vit_iov_zero(iov, niov, done, there - done);
            break;
        }
        got = MIN(got, (int64_t)size);
        vit_iov_from(iov, niov, done, buf, (uint64_t)got);
        done += (uint64_t)got;
    }
    if (there < bytes) vit_iov_zero(iov, niov, there, bytes - there);
    return 0;
}

static int nfs_flush(VitBlockNode *node)
{
    Nfs *n = (Nfs *)node;
    Reply r;

    begin(n, &r, NULL, 0);
    int64_t result = wait_reply(n, &r, nfs_fsync_async(n->nfs, n->file, replied, &r));
    g_free(r.why);
    return (int)MIN(result, 0);
}

static int nfs_write_range(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                           const struct iovec *iov, int niov, uint32_t flags)
{
    Nfs *n = (Nfs *)node;
    g_autofree uint8_t *own = niov == 1 ? NULL : g_try_malloc(bytes);
    uint8_t *buf = own ?: iov->iov_base;

    if (!buf) return -ENOMEM;
    if (own) vit_iov_to(iov, niov, 0, own, bytes);
    for (uint64_t done = 0; done < bytes;) {
        Reply r;
        begin(n, &r, NULL, 0);
        int64_t put = wait_reply(n, &r,
                                 nfs_pwrite_async(n->nfs, n->file, offset + done, bytes - done,
                                                  buf + done, replied, &r));
        g_free(r.why);
        if (put <= 0) return put ? (int)put : -EIO;
        done += (uint64_t)put;
    }
    node->size = MAX(node->size, offset + bytes);
    return flags & VIT_BLOCK_FUA ? nfs_flush(node) : 0;
}

static int co_resize(Nfs *n, uint64_t size)
{
    Reply r;

    begin(n, &r, NULL, 0);
    int64_t result = wait_reply(n, &r, nfs_ftruncate_async(n->nfs, n->file, size, replied, &r));
    g_free(r.why);
    return (int)MIN(result, 0);
}

static bool nfs_truncate_node(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                              GError **error)
{
    if (prealloc != VIT_PREALLOC_OFF)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("Unsupported preallocation mode for nfs"));
    int code = co_resize((Nfs *)node, size);
    if (code < 0)
        return vit_block_fail_errno(error, code, _("“%s”: Failed to truncate file"),
                                    node->filename);
    node->size = size;
    return true;
}

/* ---- names and options ----------------------------------------------------------------------- */

static const char *const queries[][2] = {
    /* of the URL, of the options */
    { "uid", "user" },
    { "gid", "group" },
    { "tcp-syncnt", "tcp-syn-count" },
    { "readahead", "readahead-size" },
    { "pagecache", "page-cache-size" },
    { "debug", "debug" },
    { "version", "version" },
    { "nfsport", "nfs-port" },
    { "mountport", "mount-port" },
};

static bool parse(const char *filename, JsonObject *options, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(filename, G_URI_FLAGS_NON_DNS, NULL);
    GHashTableIter iter;
    char *key, *value;

    if (!uri || !g_uri_get_host(uri) || !*g_uri_get_host(uri))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: missing hostname in URI"),
                              filename);
    if (strlen(g_uri_get_path(uri)) < 2)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: missing file path in URI"),
                              filename);
    json_object_set_string_member(options, "server.type", "inet");
    json_object_set_string_member(options, "server.host", g_uri_get_host(uri));
    json_object_set_string_member(options, "path", g_uri_get_path(uri));
    if (!g_uri_get_query(uri)) return true;
    g_autoptr(GHashTable) query = g_uri_parse_params(g_uri_get_query(uri), -1, "&", 0, NULL);
    if (query) g_hash_table_iter_init(&iter, query);
    while (query && g_hash_table_iter_next(&iter, (void **)&key, (void **)&value)) {
        unsigned i = 0;
        while (i < G_N_ELEMENTS(queries) && strcmp(queries[i][0], key) != 0) i++;
        if (i == G_N_ELEMENTS(queries))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("Unknown NFS parameter name: %s"), key);
        json_object_set_string_member(options, queries[i][1], value);
    }
    return true;
}

/* libnfs takes some settings in URLs alone. */
static bool set_up(Nfs *n, VitBlockArgs *args, GError **error)
{
    GString *url = g_string_new("nfs://server/export?");
    bool good = true;

    for (unsigned i = 0; i < G_N_ELEMENTS(queries) && good; i++) {
        uint64_t value = 0;
        bool given = vit_block_args_has(args, queries[i][1]);
        good = vit_block_args_uint(args, queries[i][1], INT32_MAX, &value, error);
        if (given && good)
            g_string_append_printf(url, "%s%s=%" G_GUINT64_FORMAT,
                                   url->str[url->len - 1] == '?' ? "" : "&", queries[i][0], value);
    }
    n->nfs = good ? nfs_init_context() : NULL;
    struct nfs_url *parsed = n->nfs && url->str[url->len - 1] != '?'
                                 ? nfs_parse_url_dir(n->nfs, url->str)
                                 : NULL;
    if (parsed) nfs_destroy_url(parsed);
    g_string_free(url, TRUE);
    if (n->nfs) nfs_set_autoreconnect(n->nfs, 3);
    return n->nfs ||
           (good && vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("Failed to init NFS context")));
}

static bool take_options(Nfs *n, VitBlockArgs *args, GError **error)
{
    static const char *const types[] = { "inet", NULL };
    g_autoptr(VitBlockArgs) server = vit_block_args_sub(args, "server");
    const char *path = vit_block_args_str(args, "path");
    int type = 0;

    if (!server)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'server' is missing"));
    const char *host = vit_block_args_str(server, "host");
    if (!vit_block_args_enum(server, "type", types, &type, error) ||
        !vit_block_args_finish(server, error))
        return false;
    if (!host)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Parameter 'server.host' is missing"));
    if (!path || *path != '/' || !path[1])
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Invalid path specified: a file on the server, from its root on"));
    n->host = g_strdup(host);
    n->path = g_strdup(path);
    return set_up(n, args, error);
}

/* ---- opening and creating -------------------------------------------------------------------- */

static bool nfs_fail(Reply *r, int64_t code, const char *what, GError **error)
{
    vit_block_fail(error, VIT_BLOCK_ERROR_IO, "%s: %s", what, r->why ?: g_strerror((int)-code));
    g_clear_pointer(&r->why, g_free);
    return false;
}

static bool mount_and_open(Nfs *n, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(n->path), *name = g_path_get_basename(n->path);
    g_autofree char *file = g_strconcat("/", name, NULL);
    int flags = n->create ? O_RDWR | O_CREAT : n->parent.how.read_only ? O_RDONLY : O_RDWR;
    struct nfs_stat_64 facts = { 0 };
    Reply r;

    vit_poll_link_start(&n->link, n->parent.thread);
    begin(n, &r, NULL, 0);
    int64_t code = wait_reply(n, &r, nfs_mount_async(n->nfs, n->host, folder, replied, &r));
    if (code < 0) return nfs_fail(&r, code, "Failed to mount nfs share", error);
    begin(n, &r, NULL, 0);
    code = wait_reply(n, &r, nfs_open2_async(n->nfs, file, flags, 0644, replied, &r));
    if (code == -EEXIST && n->create) { /* version 4 means O_EXCL by O_CREAT */
        g_free(r.why);
        begin(n, &r, NULL, 0);
        code = wait_reply(n, &r, nfs_open2_async(n->nfs, file, O_RDWR, 0, replied, &r));
    }
    if (code < 0) return nfs_fail(&r, code, "Failed to open file", error);
    n->file = r.data;
    begin(n, &r, &facts, sizeof facts);
    r.whole = true;
    code = wait_reply(n, &r, nfs_fstat64_async(n->nfs, n->file, replied, &r));
    if (code < 0) return nfs_fail(&r, code, "Failed to fstat file", error);
    n->parent.size = facts.nfs_size;
    return true;
}

static void nfs_close_node(VitBlockNode *node)
{
    Nfs *n = (Nfs *)node;
    Reply r;

    if (n->file) {
        begin(n, &r, NULL, 0);
        (void)wait_reply(n, &r, nfs_close_async(n->nfs, n->file, replied, &r));
        g_free(r.why);
        n->file = NULL;
    }
    vit_poll_link_stop(&n->link);
    if (n->nfs) nfs_destroy_context(n->nfs);
    n->nfs = NULL;
    g_free(n->host);
    g_free(n->path);
}

static void nfs_attach(VitBlockNode *node)
{
    vit_poll_link_start(&((Nfs *)node)->link, node->thread);
}

static void nfs_detach(VitBlockNode *node)
{
    vit_poll_link_stop(&((Nfs *)node)->link);
}

static bool co_start(Nfs *n, VitBlockArgs *args, GError **error)
{
    n->link.get_fd = get_fd;
    n->link.events = get_events;
    n->link.service = service;
    n->link.opaque = n;
    if (take_options(n, args, error) && mount_and_open(n, error)) return true;
    nfs_close_node(&n->parent);
    return false;
}

static bool nfs_open_node(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Nfs *n = (Nfs *)node;

    if (!co_start(n, args, error)) return false;
    g_free(node->filename);
    node->filename = g_strdup_printf("nfs://%s%s", n->host, n->path);
    return true;
}

static bool nfs_create_image(VitBlockCreate *create, GError **error)
{
    g_autoptr(JsonObject) options = json_object_new();

    if (!create->filename || !parse(create->filename, options, error)) return false;
    g_autoptr(VitBlockArgs) args = vit_block_args_new(create->filename, options, error);
    Nfs *n = g_new0(Nfs, 1);
    n->parent.thread = create->thread;
    n->create = true;
    bool good = args && co_start(n, args, error);
    if (good) {
        int code = co_resize(n, 0); /* what was there before goes */
        if (code == 0) code = co_resize(n, create->size);
        good = code == 0 || vit_block_fail_errno(error, code, _("“%s”: Failed to truncate file"),
                                                 create->filename);
        nfs_close_node(&n->parent);
    }
    g_free(n);
    return good;
}

static void nfs_info(VitBlockNode *node, VitBlockInfo *info)
{
    info->zero_init = true;
}

static const VitBlockOption nfs_create_options[] = { { .name = NULL } };

static const VitBlockDriver driver = {
    .name = "nfs",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Nfs),
    .create_options = nfs_create_options,
    .parse_filename = parse,
    .co_open = nfs_open_node,
    .co_close = nfs_close_node,
    .co_read = nfs_read_range,
    .co_write = nfs_write_range,
    .co_flush = nfs_flush,
    .co_truncate = nfs_truncate_node,
    .info = nfs_info,
    .detach = nfs_detach,
    .attach = nfs_attach,
    .co_create = nfs_create_image,
};

VIT_BLOCK_MODULE(&driver);
