/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/channel.c - see channel.h */
#include "block/nbd/channel.h"

#include "block/driver.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_AHEAD = 64 << 10, DIRECT = 16 << 10, RECORD = 16 << 10, SEND_IOV = 128 };

struct VitNbdChannel {
    VitIoThread *thread; /* borrowed */
    int fd; /* owned */
    VitIoWatch *watch; /* owned */
    gnutls_session_t tls; /* owned; NULL: plain */
    int error;
    bool ended; /* the other side has closed */

    VitFiber *reader; /* waits for input */
    void (*on_wait)(void *opaque);
    void *on_wait_opaque;
    uint8_t *ahead; /* owned, READ_AHEAD bytes */
    size_t ahead_start, ahead_end;

    VitNbdMessage *first, *last; /* queued, linked by next */
    bool blocked; /* the socket takes no more just now */
    bool pumping, scheduled, freed;
    bool interrupted; /* the reader is to return */
    uint8_t *record; /* owned, RECORD bytes: what TLS sends next; NULL: plain */
    size_t record_size; /* 0: nothing pending */
};

static void pump(VitNbdChannel *c);

/* ---- waiting --------------------------------------------------------------------------------- */

static void update_watch(VitNbdChannel *c)
{
    GIOCondition want = 0;

    if (c->reader) want |= G_IO_IN;
    if (c->blocked) want |= G_IO_OUT;
    vit_io_watch_set(c->watch, want);
}

static void on_ready(void *opaque, GIOCondition ready)
{
    VitNbdChannel *c = opaque;
    VitFiber *reader = c->reader;

    if (c->blocked && (ready & (G_IO_OUT | G_IO_ERR | G_IO_HUP))) {
        c->blocked = false;
        update_watch(c);
        pump(c);
    } else if (reader) {
        c->reader = NULL;
        update_watch(c);
        vit_fiber_wake(reader);
    }
}

/* Until the socket is ready for input, or (handshake) for output. */
static int wait_ready(VitNbdChannel *c, bool output)
{
    if (c->error) return c->error;
    if (c->on_wait) c->on_wait(c->on_wait_opaque);
    c->reader = vit_fiber_self(c->thread);
    if (output) vit_io_watch_set(c->watch, G_IO_OUT);
    else update_watch(c);
    while (c->reader) vit_fiber_yield(c->thread);
    bool interrupted = c->interrupted;
    c->interrupted = false;
    return interrupted ? -EINTR : c->error;
}

bool vit_nbd_channel_interrupt(VitNbdChannel *c)
{
    VitFiber *reader = g_steal_pointer(&c->reader);

    if (!reader) return c->scheduled;
    c->interrupted = true;
    update_watch(c);
    vit_fiber_wake(reader);
    return true;
}

void vit_nbd_channel_move(VitNbdChannel *c, VitIoThread *thread)
{
    g_assert(!c->reader && !c->first && !c->scheduled);
    g_clear_pointer(&c->watch, vit_io_watch_free);
    c->thread = thread;
    if (thread) c->watch = vit_io_watch_new(thread, c->fd, 0, on_ready, c);
}

/* ---- making and ending ----------------------------------------------------------------------- */

VitNbdChannel *vit_nbd_channel_new(VitIoThread *thread, int fd)
{
    VitNbdChannel *c = g_new0(VitNbdChannel, 1);

    c->thread = thread;
    c->fd = fd;
    c->ahead = g_malloc(READ_AHEAD);
    c->watch = vit_io_watch_new(thread, fd, 0, on_ready, c);
    return c;
}

static void destroy(VitNbdChannel *c)
{
    vit_io_watch_free(c->watch);
    if (c->tls) gnutls_deinit(c->tls);
    close(c->fd);
    g_free(c->ahead);
    g_free(c->record);
    g_free(c);
}

void vit_nbd_channel_free(VitNbdChannel *c)
{
    if (!c) return;
    g_assert(!c->reader && !c->first);
    if (c->tls && !c->error) gnutls_bye(c->tls, GNUTLS_SHUT_WR); /* what does not fit is not sent */
    c->freed = true;
    if (!c->scheduled && !c->pumping) destroy(c);
}

static void fail(VitNbdChannel *c, int error)
{
    VitFiber *reader = c->reader;

    if (!c->error) {
        c->error = error;
        shutdown(c->fd, SHUT_RDWR);
    }
    c->blocked = false;
    c->reader = NULL;
    update_watch(c);
    VitNbdMessage *m = c->first;
    c->first = c->last = NULL;
    while (m) {
        VitNbdMessage *next = m->next;
        m->done(m, c->error);
        m = next;
    }
    if (reader) vit_fiber_wake(reader);
}

void vit_nbd_channel_shutdown(VitNbdChannel *c)
{
    bool pumping = c->pumping;

    c->pumping = true; /* keeps c while done() functions run */
    fail(c, -ESHUTDOWN);
    c->pumping = pumping;
    if (c->freed && !c->scheduled && !c->pumping) destroy(c);
}

int vit_nbd_channel_error(const VitNbdChannel *c)
{
    return c->error;
}

void vit_nbd_channel_on_wait(VitNbdChannel *c, void (*fn)(void *opaque), void *opaque)
{
    c->on_wait = fn;
    c->on_wait_opaque = opaque;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* At least one byte, or -errno; -EAGAIN: none is there now; 0: the end. */
static ssize_t receive(VitNbdChannel *c, void *buf, size_t size)
{
    ssize_t n;

    if (c->tls) {
        do n = gnutls_record_recv(c->tls, buf, size);
        while (n == GNUTLS_E_INTERRUPTED);
        if (n == GNUTLS_E_AGAIN) return -EAGAIN;
        if (n == GNUTLS_E_PREMATURE_TERMINATION) return 0;
        return n < 0 ? -EPROTO : n;
    }
    do n = recv(c->fd, buf, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

int vit_nbd_channel_read(VitNbdChannel *c, void *buf, size_t size)
{
    uint8_t *to = buf;
    size_t left = size;

    while (left > 0) {
        size_t have = c->ahead_end - c->ahead_start;
        if (have > 0) {
            size_t n = MIN(have, left);
            memcpy(to, c->ahead + c->ahead_start, n);
            c->ahead_start += n;
            to += n;
            left -= n;
            continue;
        }
        if (c->error) return c->error;
        bool direct = left >= DIRECT;
        ssize_t n = receive(c, direct ? to : c->ahead, direct ? left : READ_AHEAD);
        if (n == -EAGAIN) {
            int result = wait_ready(c, false);
            if (result < 0) return result;
            continue;
        }
        if (n == 0) return left == size ? -ENODATA : -ECONNRESET;
        if (n < 0) return (int)n;
        if (direct) {
            to += n;
            left -= (size_t)n;
        } else {
            c->ahead_start = 0;
            c->ahead_end = (size_t)n;
        }
    }
    return 0;
}

int vit_nbd_channel_readv(VitNbdChannel *c, const struct iovec *iov, int niov)
{
    for (int i = 0; i < niov; i++) {
        int result = vit_nbd_channel_read(c, iov[i].iov_base, iov[i].iov_len);
        if (result < 0) return result == -ENODATA ? -ECONNRESET : result;
    }
    return 0;
}

int vit_nbd_channel_skip(VitNbdChannel *c, uint64_t size)
{
    g_autofree uint8_t *sink = g_malloc(MIN(size, DIRECT) + 1);

    while (size > 0) {
        size_t n = (size_t)MIN(size, DIRECT);
        int result = vit_nbd_channel_read(c, sink, n);
        if (result < 0) return result;
        size -= n;
    }
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static size_t message_size(const VitNbdMessage *m)
{
    size_t size = m->head_size;

    for (int i = 0; i < m->niov; i++) size += m->iov[i].iov_len;
    return size;
}

/* What is left of the queue, as far as it fits into room entries. */
static int gather(const VitNbdChannel *c, struct iovec *out, int room)
{
    int n = 0;

    for (const VitNbdMessage *m = c->first; m && n < room; m = m->next) {
        size_t skip = m->sent;
        if (skip < m->head_size)
            out[n++] = (struct iovec){ (uint8_t *)m->head + skip, m->head_size - skip };
        skip -= MIN(skip, m->head_size);
        for (int i = 0; i < m->niov && n < room; i++) {
            size_t part = MIN(skip, m->iov[i].iov_len);
            skip -= part;
            if (part == m->iov[i].iov_len) continue;
            out[n++] = (struct iovec){ (uint8_t *)m->iov[i].iov_base + part,
                                       m->iov[i].iov_len - part };
        }
    }
    return n;
}

static ssize_t send_record(VitNbdChannel *c, const struct iovec *iov, int niov)
{
    ssize_t n;

    if (c->record_size == 0) {
        for (int i = 0; i < niov && c->record_size < RECORD; i++) {
            size_t part = MIN(iov[i].iov_len, RECORD - c->record_size);
            memcpy(c->record + c->record_size, iov[i].iov_base, part);
            c->record_size += part;
        }
    }
    /* After GNUTLS_E_AGAIN it wants the same bytes again: they lie in c->record. */
    do n = gnutls_record_send(c->tls, c->record, c->record_size);
    while (n == GNUTLS_E_INTERRUPTED);
    if (n == GNUTLS_E_AGAIN) return -EAGAIN;
    if (n < 0) return -EPROTO;
    memmove(c->record, c->record + n, c->record_size - (size_t)n);
    c->record_size -= (size_t)n;
    return n;
}

static ssize_t send_some(VitNbdChannel *c)
{
    struct iovec iov[SEND_IOV];
    int niov = gather(c, iov, SEND_IOV);
    struct msghdr header = { .msg_iov = iov, .msg_iovlen = (size_t)niov };
    ssize_t n;

    if (c->tls) return send_record(c, iov, niov);
    do n = sendmsg(c->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

static void pump(VitNbdChannel *c)
{
    if (c->pumping) return;
    c->pumping = true;
    while (c->first && !c->blocked && !c->error) {
        ssize_t n = send_some(c);
        if (n == -EAGAIN) {
            c->blocked = true;
            update_watch(c);
            break;
        }
        if (n < 0) {
            fail(c, (int)n);
            break;
        }
        for (size_t left = (size_t)n; c->first;) {
            VitNbdMessage *m = c->first;
            size_t rest = message_size(m) - m->sent;
            if (rest > left) {
                m->sent += left;
                break;
            }
            left -= rest;
            c->first = m->next;
            if (!c->first) c->last = NULL;
            m->done(m, 0);
        }
    }
    c->pumping = false;
    if (c->freed && !c->scheduled) destroy(c);
}

static void pump_call(void *opaque)
{
    VitNbdChannel *c = opaque;

    c->scheduled = false;
    if (c->freed) destroy(c);
    else pump(c);
}

typedef struct {
    VitNbdChannel *channel;
    VitNbdMessage *message;
} Refuse;

static void refuse_call(void *opaque)
{
    Refuse *r = opaque;

    r->message->done(r->message, -ESHUTDOWN);
    g_free(r);
}

void vit_nbd_channel_send(VitNbdChannel *c, VitNbdMessage *m, bool now)
{
    if (c->error) { /* done() never comes before this returns */
        Refuse *r = g_new(Refuse, 1);
        *r = (Refuse){ c, m };
        vit_io_thread_call(c->thread, refuse_call, r);
        return;
    }
    m->sent = 0;
    m->next = NULL;
    if (c->last) c->last->next = m;
    else c->first = m;
    c->last = m;
    if (c->blocked || c->scheduled || c->pumping) return;
    if (now && c->first == m) {
        pump(c);
    } else {
        c->scheduled = true;
        vit_io_thread_call(c->thread, pump_call, c);
    }
}

typedef struct {
    VitNbdMessage message;
    VitFiber *fiber;
    bool over;
    int result;
} Write;

static void write_done(VitNbdMessage *m, int result)
{
    Write *w = (Write *)m;

    w->over = true;
    w->result = result;
    vit_fiber_wake(w->fiber);
}

int vit_nbd_channel_write(VitNbdChannel *c, const void *buf, size_t size)
{
    struct iovec iov = { (void *)buf, size };
    Write w = { .message = { .iov = &iov, .niov = 1, .done = write_done },
                .fiber = vit_fiber_self(c->thread) };

    vit_nbd_channel_send(c, &w.message, true);
    while (!w.over) vit_fiber_yield(c->thread);
    return w.result;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

bool vit_nbd_channel_start_tls(VitNbdChannel *c, gnutls_session_t session, GError **error)
{
    int code;

    g_assert(!c->tls && !c->first);
    c->tls = session;
    if (c->ahead_start != c->ahead_end)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("TLS handshake failed: data came before it"));
    c->record = g_malloc(RECORD);
    gnutls_transport_set_int(session, c->fd);
    while ((code = gnutls_handshake(session)) < 0) {
        if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED) {
            int result = wait_ready(c, gnutls_record_get_direction(session) == 1);
            if (result < 0) return vit_block_fail_errno(error, result, _("TLS handshake failed"));
        } else if (gnutls_error_is_fatal(code)) {
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("TLS handshake failed: %s"),
                                  gnutls_strerror(code));
        }
    }
    return true;
}

gnutls_session_t vit_nbd_channel_tls(const VitNbdChannel *c)
{
    return c->tls;
}
