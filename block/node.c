/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node.c - opening, checking and finishing of requests, for all nodes alike */
#include "block/node-private.h"

#include "engine/core/suggest.h"

#include <errno.h>
#include <string.h>

enum { REQUEST_TOP = 3, REQUEST_RESULT = 2 };   /* slots of node_private; drivers use 0 and 1 */

VitBlockNode *vit_block_node_new(const VitBlockDriver *driver, const char *path, VitIoThread *thread)
{
    VitBlockNode *node = g_malloc0(driver->instance_size);
    node->driver = driver;
    node->name = g_path_get_basename(path);
    node->filename = g_strdup(path);
    node->thread = thread;
    return node;
}

void vit_block_node_free(VitBlockNode *node)
{
    g_free(node->name);
    g_free(node->filename);
    g_free(node);
}

/* ---- opening ----------------------------------------------------------------------------------- */

static const char *probe_node(VitBlockNode *node, int *error_code)
{
    uint8_t head[4096] = {}, tail[512];
    uint64_t size = vit_block_info(node).size;
    size_t head_size = MIN(size, sizeof head);

    if (head_size && (*error_code = vit_block_read_sync(node, 0, head, head_size)) < 0)
        return NULL;
    bool has_tail = size >= sizeof tail;
    if (has_tail && (*error_code = vit_block_read_sync(node, size - sizeof tail, tail, sizeof tail)) < 0)
        return NULL;
    return vit_block_probe(head, head_size, has_tail ? tail : NULL);
}

VitBlockNode *vit_block_open(const char *format, const char *path, const VitBlockOptions *options,
                             VitIoThread *thread, GError **error)
{
    static const char *const formats[] = { "raw", "file", "host_device", NULL };

    if (format && !g_strv_contains(formats, format)) {
        g_autofree char *phrase = vit_suggest_phrase(format, formats);
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "“%s”: the disk format “%s” is not supported yet%s%s", path, format, phrase,
                    *phrase ? "" : "; convert the image to raw first (qemu-img convert -O raw)");
        return NULL;
    }
    VitBlockNode *file = vit_block_open_file(path, options, thread, error);
    if (!file || (format && strcmp(format, "raw") != 0))
        return file;
    if (!format) {
        int code = 0;
        const char *found = probe_node(file, &code);
        if (code < 0 || found) {
            if (found)
                g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                            "“%s” is a %s image, a format that is not supported yet; convert it to raw "
                            "first (qemu-img convert -O raw), or give format=raw to show its bytes to "
                            "the guest as they are", path, found);
            else
                g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(-code),
                            "Cannot read “%s”: %s", path, g_strerror(-code));
            vit_block_node_close(file);
            return NULL;
        }
    }
    return vit_block_raw_new(file);
}

/* ---- closing ------------------------------------------------------------------------------------- */

typedef struct {
    VitBlockNode *node;
    GMutex        lock;
    GCond         cond;
    bool          idle;
} Drain;

static void drain_end(void *data)
{
    Drain *d = data;
    g_mutex_lock(&d->lock);
    d->idle = true;
    g_cond_signal(&d->cond);
    g_mutex_unlock(&d->lock);
}

static void drain_start(void *data)
{
    Drain *d = data;

    if (d->node->in_flight == 0)
        drain_end(d);
    else
        d->node->drains = g_slist_prepend(d->node->drains, d);
}

void vit_block_drain(VitBlockNode *node)
{
    Drain d = { .node = node };

    if (vit_io_thread_is_current(node->thread)) {
        while (node->in_flight > 0)
            g_main_context_iteration(vit_io_thread_context(node->thread), TRUE);
        return;
    }
    g_mutex_init(&d.lock);
    g_cond_init(&d.cond);
    vit_io_thread_call(node->thread, drain_start, &d);
    g_mutex_lock(&d.lock);
    while (!d.idle)
        g_cond_wait(&d.cond, &d.lock);
    g_mutex_unlock(&d.lock);
    g_mutex_clear(&d.lock);
    g_cond_clear(&d.cond);
}

static void close_here(void *data)
{
    VitBlockNode *node = data;

    while (node) {
        VitBlockNode *child = node->child;
        if (node->driver->close)
            node->driver->close(node);
        vit_block_node_free(node);
        node = child;
    }
}

void vit_block_node_close(VitBlockNode *node)
{
    if (!node)
        return;
    vit_block_give_up(node);
    vit_block_drain(node);
    vit_io_thread_call_sync(node->thread, close_here, node);
}

/* ---- requests -------------------------------------------------------------------------------------- */

static void end_request(VitBlockNode *top, VitBlockRequest *req)
{
    top->in_flight--;
    req->done(req);
    if (top->in_flight == 0) {
        g_slist_free_full(top->drains, drain_end);
        top->drains = NULL;
    }
}

void vit_block_complete(VitBlockRequest *req, int result)
{
    VitBlockNode *top = req->node_private[REQUEST_TOP];
    bool full = (result == -ENOSPC || result == -EDQUOT) && req->op != VIT_BLOCK_READ;

    req->result = result;
    if (!full || !top->full || top->given_up) {
        end_request(top, req);
        return;
    }
    g_queue_push_tail(&top->held, req);
    if (g_queue_get_length(&top->held) == 1)
        top->full(top->full_opaque, top, result);
}

void vit_block_set_full_handler(VitBlockNode *node, VitBlockFullFunc fn, void *opaque)
{
    node->full = fn;
    node->full_opaque = opaque;
}

static void release_held(VitBlockNode *node, bool again)
{
    /* Only those of now: what fails once more is held once more. */
    for (guint left = g_queue_get_length(&node->held); left > 0; left--) {
        VitBlockRequest *req = g_queue_pop_head(&node->held);
        if (again)
            node->driver->submit(node, req);
        else
            end_request(node, req);
    }
}

static void retry_here(void *data)
{
    VitBlockNode *node = data;
    node->given_up = false;
    release_held(node, true);
}

static void give_up_here(void *data)
{
    VitBlockNode *node = data;
    node->given_up = true;
    release_held(node, false);
}

void vit_block_retry(VitBlockNode *node)
{
    vit_io_thread_call(node->thread, retry_here, node);
}

void vit_block_give_up(VitBlockNode *node)
{
    vit_io_thread_call(node->thread, give_up_here, node);
}

static void complete_now(void *data)
{
    VitBlockRequest *req = data;
    vit_block_complete(req, GPOINTER_TO_INT(req->node_private[REQUEST_RESULT]));
}

void vit_block_complete_later(VitBlockRequest *req, int result)
{
    VitBlockNode *top = req->node_private[REQUEST_TOP];
    req->node_private[REQUEST_RESULT] = GINT_TO_POINTER(result);
    vit_io_thread_call(top->thread, complete_now, req);
}

static int check(VitBlockNode *node, const VitBlockRequest *req)
{
    VitBlockInfo info = vit_block_info(node);

    if (req->op == VIT_BLOCK_FLUSH)
        return 0;
    if (req->offset + req->bytes < req->offset)
        return -EINVAL;
    if (req->op != VIT_BLOCK_READ && info.read_only)
        return -EROFS;
    if (req->offset + req->bytes > info.size)
        return -EIO;
    if (req->op == VIT_BLOCK_READ || req->op == VIT_BLOCK_WRITE) {
        uint64_t sum = 0;
        for (int i = 0; i < req->niov; i++)
            if (__builtin_add_overflow(sum, req->iov[i].iov_len, &sum))
                return -EINVAL;
        if (sum != req->bytes)
            return -EINVAL;
    }
    return 0;
}

void vit_block_submit(VitBlockNode *node, VitBlockRequest *req)
{
    int result = check(node, req);

    req->node_private[REQUEST_TOP] = node;
    node->in_flight++;
    if (result < 0 || (req->bytes == 0 && req->op != VIT_BLOCK_FLUSH))
        vit_block_complete_later(req, result);
    else
        node->driver->submit(node, req);
}

VitBlockInfo vit_block_info(VitBlockNode *node)
{
    VitBlockInfo info = { .logical_block = 512, .request_alignment = 1 };
    node->driver->info(node, &info);
    return info;
}

static void plug(VitBlockNode *node, bool on)
{
    for (; node; node = node->child)
        if (node->driver->plug)
            node->driver->plug(node, on);
}

void vit_block_plug(VitBlockNode *node)
{
    plug(node, true);
}

void vit_block_unplug(VitBlockNode *node)
{
    plug(node, false);
}

/* ---- blocking helpers -------------------------------------------------------------------------------- */

typedef struct {
    VitBlockRequest req;
    VitBlockNode   *node;
    GMutex          lock;
    GCond           cond;
    bool            finished;
} SyncRequest;

static void sync_done(VitBlockRequest *req)
{
    SyncRequest *s = req->opaque;
    g_mutex_lock(&s->lock);
    s->finished = true;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->lock);
}

static void sync_submit(void *data)
{
    SyncRequest *s = data;
    vit_block_submit(s->node, &s->req);
}

static int run_sync(VitBlockNode *node, VitBlockOp op, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = { buf, bytes };
    SyncRequest s = {
        .req = { .op = op, .offset = offset, .bytes = bytes, .iov = &iov, .niov = 1, .done = sync_done },
        .node = node,
    };

    s.req.opaque = &s;
    g_mutex_init(&s.lock);
    g_cond_init(&s.cond);
    vit_io_thread_call(node->thread, sync_submit, &s);
    g_mutex_lock(&s.lock);
    while (!s.finished)
        g_cond_wait(&s.cond, &s.lock);
    g_mutex_unlock(&s.lock);
    g_mutex_clear(&s.lock);
    g_cond_clear(&s.cond);
    return s.req.result;
}

int vit_block_read_sync(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes)
{
    return run_sync(node, VIT_BLOCK_READ, offset, buf, bytes);
}

int vit_block_write_sync(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes)
{
    return run_sync(node, VIT_BLOCK_WRITE, offset, (void *) buf, bytes);
}

int vit_block_flush_sync(VitBlockNode *node)
{
    return run_sync(node, VIT_BLOCK_FLUSH, 0, NULL, 0);
}
