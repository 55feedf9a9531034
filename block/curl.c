/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/curl.c - images on HTTP, HTTPS, FTP and FTPS servers, read-only, by byte ranges (libcurl)
 *
 * libcurl's sockets and timer are sources of the node's thread.  Small reads fetch a whole window
 * of "readahead" bytes and keep it; large ones go straight to where they are wanted. */
#include "block/chunk-cache.h"
#include "block/module.h"

#include <curl/curl.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

enum { DEFAULT_READAHEAD = 256 << 10, MAX_READAHEAD = 16 << 20, KEEP_WINDOWS = 16, MAX_IDLE = 8 };

typedef struct {
    VitBlockNode parent;
    char *url, *cookie, *username, *password, *proxy_username, *proxy_password; /* owned */
    bool sslverify, is_http;
    uint64_t readahead, timeout; /* bytes; seconds */
    VitChunkCache *windows; /* owned */
    CURLM *multi; /* owned; NULL: detached */
    GSource *timer; /* owned; NULL: none */
    GQueue idle; /* of CURL*, owned */
} Curl;

typedef struct {
    CURL *easy;
    VitFiber *fiber;
    uint8_t *buf; /* borrowed; NULL: only the facts are wanted */
    size_t size, got;
    bool over, accepts_ranges, too_long;
    uint64_t total; /* of Content-Range; 0: not said */
    CURLcode code;
    char why[CURL_ERROR_SIZE];
} Transfer;

/* ---- libcurl in the thread's loop ------------------------------------------------------------ */

/* Ends what has ended.  A fiber that is woken may do anything, so that is the last thing. */
static void reap(Curl *c)
{
    GQueue over = G_QUEUE_INIT;
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(c->multi, &left))) {
        Transfer *t = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        t->code = message->data.result;
        curl_multi_remove_handle(c->multi, t->easy);
        g_queue_push_tail(&over, t);
    }
    Transfer *t;
    while ((t = g_queue_pop_head(&over))) {
        VitFiber *fiber = t->fiber;
        t->over = true;
        vit_fiber_wake(fiber);
    }
}

static void socket_ready(void *opaque, GIOCondition ready);

typedef struct {
    Curl *curl; /* borrowed */
    int fd;
    VitIoWatch *watch; /* owned */
} Socket;

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *opaque, void *socket_opaque)
{
    Curl *c = opaque;
    Socket *s = socket_opaque;
    GIOCondition wanted = (what & CURL_POLL_IN ? G_IO_IN : 0) |
                          (what & CURL_POLL_OUT ? G_IO_OUT : 0);

    if (what == CURL_POLL_REMOVE) {
        if (s) vit_io_watch_free(s->watch);
        g_free(s);
        curl_multi_assign(c->multi, fd, NULL);
    } else if (s) {
        vit_io_watch_set(s->watch, wanted);
    } else {
        s = g_new0(Socket, 1);
        s->curl = c;
        s->fd = fd;
        s->watch = vit_io_watch_new(c->parent.thread, fd, wanted, socket_ready, s);
        curl_multi_assign(c->multi, fd, s);
    }
    return 0;
}

static void socket_ready(void *opaque, GIOCondition ready)
{
    Socket *s = opaque;
    Curl *c = s->curl;
    int running, mask = (ready & (G_IO_IN | G_IO_HUP) ? CURL_CSELECT_IN : 0) |
                        (ready & G_IO_OUT ? CURL_CSELECT_OUT : 0) |
                        (ready & G_IO_ERR ? CURL_CSELECT_ERR : 0);

    curl_multi_socket_action(c->multi, s->fd, mask, &running); /* may free s */
    reap(c);
}

static void drop_timer(Curl *c)
{
    if (!c->timer) return;
    g_source_destroy(c->timer);
    g_clear_pointer(&c->timer, g_source_unref);
}

static gboolean timer_fired(void *opaque)
{
    Curl *c = opaque;
    int running;

    drop_timer(c);
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(c);
    return G_SOURCE_REMOVE;
}

static int timer_changed(CURLM *multi, long milliseconds, void *opaque)
{
    Curl *c = opaque;

    drop_timer(c);
    if (milliseconds < 0) return 0;
    c->timer = g_timeout_source_new((guint)MIN(milliseconds, 3600000));
    g_source_set_callback(c->timer, timer_fired, c, NULL);
    g_source_attach(c->timer, vit_io_thread_context(c->parent.thread));
    return 0;
}

static void curl_attach(VitBlockNode *node)
{
    Curl *c = (Curl *)node;

    c->multi = curl_multi_init();
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, timer_changed);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    if (c->windows) vit_chunk_cache_move(c->windows, node->thread);
}

static void curl_detach(VitBlockNode *node)
{
    Curl *c = (Curl *)node;
    CURL *easy;

    while ((easy = g_queue_pop_head(&c->idle))) curl_easy_cleanup(easy);
    if (c->multi) curl_multi_cleanup(c->multi);
    c->multi = NULL;
    drop_timer(c);
}

/* ---- transfers ------------------------------------------------------------------------------- */

static size_t take_body(char *data, size_t size, size_t count, void *opaque)
{
    Transfer *t = opaque;

    size *= count;
    if (!t->buf) return size; /* FTP tells the facts as if they were the content */
    if (size > t->size - t->got) {
        t->too_long = true; /* a server that knows no ranges sends it all */
        return 0;
    }
    memcpy(t->buf + t->got, data, size);
    t->got += size;
    return size;
}

static size_t take_header(char *data, size_t size, size_t count, void *opaque)
{
    Transfer *t = opaque;
    g_autofree char *line = g_ascii_strdown(data, (gssize)(size * count));

    g_strstrip(line);
    if (g_str_has_prefix(line, "accept-ranges:") && strstr(line, "bytes")) t->accepts_ranges = true;
    if (g_str_has_prefix(line, "content-range:")) {
        const char *slash = strchr(line, '/');
        if (slash) t->total = g_ascii_strtoull(slash + 1, NULL, 10);
    }
    return size * count;
}

static CURL *new_easy(const Curl *c)
{
    CURL *easy = curl_easy_init();

    if (!easy) return NULL;
    curl_easy_setopt(easy, CURLOPT_URL, c->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,ftp,ftps");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https,ftp,ftps");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, c->sslverify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, c->sslverify ? 2L : 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)c->timeout);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)c->timeout);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    if (c->cookie) curl_easy_setopt(easy, CURLOPT_COOKIE, c->cookie);
    if (c->username) curl_easy_setopt(easy, CURLOPT_USERNAME, c->username);
    if (c->password) curl_easy_setopt(easy, CURLOPT_PASSWORD, c->password);
    if (c->proxy_username) curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, c->proxy_username);
    if (c->proxy_password) curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, c->proxy_password);
    return easy;
}

/* Waits for the end of the transfer that t describes.  range NULL: the facts alone. */
static void perform(Curl *c, Transfer *t, const char *range)
{
    t->easy = g_queue_pop_head(&c->idle) ?: new_easy(c);
    t->fiber = vit_fiber_self(c->parent.thread);
    if (!t->easy) {
        t->code = CURLE_OUT_OF_MEMORY;
        return;
    }
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
    curl_easy_setopt(t->easy, CURLOPT_NOBODY, range ? 0L : 1L);
    if (range) curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        t->code = CURLE_FAILED_INIT;
        return;
    }
    while (!t->over) vit_fiber_yield(c->parent.thread);
}

static void finish(Curl *c, Transfer *t)
{
    if (!t->easy) return;
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
    if (g_queue_get_length(&c->idle) < MAX_IDLE && t->code == CURLE_OK)
        g_queue_push_head(&c->idle, t->easy);
    else curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

static int fetch(Curl *c, uint64_t offset, uint8_t *buf, size_t size)
{
    Transfer t = { .buf = buf, .size = size };
    char range[64];
    long status = 0;

    g_snprintf(range, sizeof range, "%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, offset,
               offset + size - 1);
    perform(c, &t, range);
    if (t.easy) curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
    bool whole = size == c->parent.size && offset == 0;
    bool good = t.code == CURLE_OK && t.got == size && (!c->is_http || status == 206 || whole);
    int result = good ? 0 : t.code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
    finish(c, &t);
    return result;
}

static int load_window(void *opaque, uint64_t index, uint8_t **data, size_t *size)
{
    Curl *c = opaque;
    uint64_t start = index * c->readahead;

    *size = MIN(c->readahead, c->parent.size - start);
    g_autofree uint8_t *buf = g_try_malloc(*size);
    if (!buf) return -ENOMEM;
    int code = fetch(c, start, buf, *size);
    if (code == 0) *data = g_steal_pointer(&buf);
    return code;
}

static int read_windows(Curl *c, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t index = (offset + done) / c->readahead, in = (offset + done) % c->readahead;
        uint64_t n = MIN(bytes - done, c->readahead - in);
        const uint8_t *data;
        size_t size;
        int code = vit_co_chunk_get(c->windows, index, &data, &size);
        if (code < 0) return code;
        vit_iov_from(iov, niov, done, data + in, n);
        vit_chunk_put(c->windows, index);
        done += n;
    }
    return 0;
}

static int curl_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov)
{
    Curl *c = (Curl *)node;
    uint64_t there = offset < node->size ? MIN(bytes, node->size - offset) : 0;

    if (there < bytes) vit_iov_zero(iov, niov, there, bytes - there);
    if (there < 2 * c->readahead) return read_windows(c, offset, there, iov, niov);
    uint8_t *straight = niov == 1 ? iov->iov_base : NULL;
    g_autofree uint8_t *own = straight ? NULL : g_try_malloc(there);
    if (!straight && !own) return -ENOMEM;
    int code = fetch(c, offset, straight ?: own, there);
    if (code == 0 && own) vit_iov_from(iov, niov, 0, own, there);
    return code;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The size, and whether parts may be asked for. */
static bool ask(Curl *c, GError **error)
{
    Transfer t = { 0 };
    curl_off_t length = -1;

    perform(c, &t, NULL);
    if (t.code == CURLE_OK) curl_easy_getinfo(t.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    CURLcode code = t.code;
    finish(c, &t);
    if (code == CURLE_OK && (!c->is_http || t.accepts_ranges) && length >= 0) {
        c->parent.size = (uint64_t)length;
        return true;
    }
    if (c->is_http && (code == CURLE_OK || code == CURLE_HTTP_RETURNED_ERROR)) {
        uint8_t byte; /* some servers know no HEAD, or say nothing of ranges and have them */
        Transfer one = { .buf = &byte, .size = 1 };
        perform(c, &one, "0-0");
        bool partial = one.code == CURLE_OK && one.total > 0;
        code = one.too_long ? CURLE_OK : one.code;
        memcpy(t.why, one.why, sizeof t.why);
        finish(c, &one);
        if (partial) {
            c->parent.size = one.total;
            return true;
        }
    }
    if (code != CURLE_OK)
        return vit_block_fail(error, VIT_BLOCK_ERROR_IO, _("“%s”: CURL: Error opening file: %s"),
                              c->url, *t.why ? t.why : curl_easy_strerror(code));
    return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED, "“%s”: %s", c->url,
                          c->is_http ? "Server does not support 'range' (byte ranges)."
                                     : "Server didn't report file size.");
}

static bool take_secret(VitBlockNode *node, VitBlockArgs *args, const char *key, char **value,
                        GError **error)
{
    const char *id = vit_block_args_str(args, key);

    if (!id) return true;
    *value = vit_block_secret_lookup_text(vit_block_graph_objects(node->graph), id, error);
    return *value != NULL;
}

static bool take_options(Curl *c, VitBlockArgs *args, GError **error)
{
    VitBlockNode *node = &c->parent;
    const char *url = vit_block_args_str(args, "url"), *cookie = vit_block_args_str(args, "cookie");

    c->readahead = DEFAULT_READAHEAD;
    c->timeout = 5;
    c->sslverify = true;
    if (!url)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("curl block driver requires an 'url' option"));
    g_autofree char *prefix = g_strconcat(node->driver->name, "://", NULL);
    if (g_ascii_strncasecmp(url, prefix, strlen(prefix)) != 0)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("%s curl driver cannot handle the URL '%s' (does not start with "
                                "'%s')"),
                              node->driver->name, url, prefix);
    c->url = g_strdup(url);
    c->is_http = g_str_has_prefix(node->driver->name, "http");
    c->cookie = g_strdup(cookie);
    c->username = g_strdup(vit_block_args_str(args, "username"));
    c->proxy_username = g_strdup(vit_block_args_str(args, "proxy-username"));
    if (!vit_block_args_size(args, "readahead", &c->readahead, error) ||
        !vit_block_args_uint(args, "timeout", 10000, &c->timeout, error) ||
        !vit_block_args_bool(args, "sslverify", &c->sslverify, error))
        return false;
    if (c->readahead == 0 || c->readahead % 512 || c->readahead > MAX_READAHEAD)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("HTTP_READAHEAD_SIZE %" PRIu64 " is not a multiple of 512 up to %d"), c->readahead,
            MAX_READAHEAD);
    if (cookie && vit_block_args_has(args, "cookie-secret"))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("curl driver cannot handle both cookie and cookie secret"));
    return take_secret(node, args, "cookie-secret", &c->cookie, error) &&
           take_secret(node, args, "password-secret", &c->password, error) &&
           take_secret(node, args, "proxy-password-secret", &c->proxy_password, error);
}

static void curl_close(VitBlockNode *node)
{
    Curl *c = (Curl *)node;

    g_clear_pointer(&c->windows, vit_chunk_cache_free);
    curl_detach(node);
    g_free(c->url);
    g_free(c->username);
    g_free(c->proxy_username);
    vit_block_secret_free_text(c->cookie);
    vit_block_secret_free_text(c->password);
    vit_block_secret_free_text(c->proxy_password);
    curl_global_cleanup();
}

static bool curl_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Curl *c = (Curl *)node;

    if (!node->how.read_only && !node->how.auto_read_only)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("curl driver does not support writes; open it with read-only=on"));
    node->how.read_only = true;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl_attach(node);
    if (!take_options(c, args, error) || !ask(c, error)) {
        curl_close(node);
        return false;
    }
    g_free(node->filename);
    node->filename = g_strdup(c->url);
    c->windows = vit_chunk_cache_new(node->thread, KEEP_WINDOWS * c->readahead, load_window, c);
    return true;
}

static bool curl_parse(const char *filename, JsonObject *options, GError **error)
{
    json_object_set_string_member(options, "url", filename);
    return true;
}

#define CURL_DRIVER(NAME)                                                                          \
    .name = NAME, .kind = VIT_BLOCK_PROTOCOL, .instance_size = sizeof(Curl),                       \
    .parse_filename = curl_parse, .co_open = curl_open, .co_close = curl_close,                    \
    .co_read = curl_read, .detach = curl_detach, .attach = curl_attach

static const VitBlockDriver http_driver = { CURL_DRIVER("http") };
static const VitBlockDriver https_driver = { CURL_DRIVER("https") };
static const VitBlockDriver ftp_driver = { CURL_DRIVER("ftp") };
static const VitBlockDriver ftps_driver = { CURL_DRIVER("ftps") };

VIT_BLOCK_MODULE(&ftp_driver, &ftps_driver, &http_driver, &https_driver);
