/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-user.c - see vhost-user.h ("Vhost-user Protocol", back-end program
 * conventions)
 *
 * Not offered: dirty logging (migration of the driver's machine), in-flight tracking, postcopy,
 * IOTLB. */
#include "block/exports/vhost-private.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    RESET_OWNER = 4,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
    SET_CONFIG = 25,
    GET_MAX_MEM_SLOTS = 36,
};

enum { HEADER = 12, MAX_CONFIG = 256 };
enum { FLAG_VERSION = 1, FLAG_REPLY = 1 << 2, FLAG_NEED_REPLY = 1 << 3, NO_FD = 1 << 8 };

#define F_INDIRECT  (UINT64_C(1) << 28)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define P_MQ        (UINT64_C(1) << 0)
#define P_REPLY_ACK (UINT64_C(1) << 3)
#define P_CONFIG    (UINT64_C(1) << 9)
#define P_MEM_SLOTS (UINT64_C(1) << 15)

/* ---- messages -------------------------------------------------------------------------------- */

static void replace_fd(int *slot, int fd)
{
    if (*slot >= 0) close(*slot);
    *slot = fd;
}

static void reply(VitVhostUser *u, VitVhostMessage *m, uint32_t size)
{
    uint8_t buf[HEADER + VIT_VHOST_MAX_PAYLOAD];
    uint32_t flags = FLAG_VERSION | FLAG_REPLY;

    memcpy(buf, &m->request, 4);
    memcpy(buf + 4, &flags, 4);
    memcpy(buf + 8, &size, 4);
    memcpy(buf + HEADER, m->payload, size);
    /* Answers are small and few: a driver whose socket is full of them does not read. */
    if (send(u->fd, buf, HEADER + size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(HEADER + size))
        shutdown(u->fd, SHUT_RDWR);
}

static void reply64(VitVhostUser *u, VitVhostMessage *m, uint64_t value)
{
    memcpy(m->payload, &value, sizeof value);
    reply(u, m, sizeof value);
}

static VitVhostQueue *queue_of(VitVhostUser *u, uint64_t index)
{
    return index < u->device->max_queues ? &u->queue[index] : NULL;
}

static int take_fd(VitVhostMessage *m, unsigned i)
{
    int fd = m->fds[i];

    m->fds[i] = -1;
    return fd;
}

static bool set_fd(VitVhostUser *u, VitVhostMessage *m)
{
    uint64_t value = vit_vhost_get64(m->payload);
    VitVhostQueue *q = queue_of(u, value & 0xff);
    int fd = m->n_fds > 0 && !(value & NO_FD) ? take_fd(m, 0) : -1;

    if (!q) {
        if (fd >= 0) close(fd);
        return false;
    }
    switch (m->request) {
    case SET_VRING_KICK:
        vit_vhost_queue_stop(q);
        replace_fd(&q->kick, fd);
        vit_vhost_queue_start(q);
        return true; /* without a descriptor the queue would be polled: it stays still */
    case SET_VRING_CALL:
        replace_fd(&q->call, fd);
        if (fd >= 0 && q->started)
            (void)!eventfd_write(fd, 1); /* the old one may have been missed */
        return true;
    default: replace_fd(&q->err, fd); return true;
    }
}

static bool set_addresses(VitVhostUser *u, const VitVhostMessage *m)
{
    VitVhostQueue *q = queue_of(u, vit_vhost_get32(m->payload));

    if (!q || m->size < 40) return false;
    q->desc = vit_vhost_get64(m->payload + 8);
    q->used = vit_vhost_get64(m->payload + 16);
    q->avail = vit_vhost_get64(m->payload + 24);
    q->placed = true;
    return !q->started || vit_vring_place(&q->ring, &u->memory, q->desc, q->avail, q->used);
}

static bool set_state(VitVhostUser *u, const VitVhostMessage *m)
{
    VitVhostQueue *q = queue_of(u, vit_vhost_get32(m->payload));
    uint32_t value = vit_vhost_get32(m->payload + 4);

    if (!q) return false;
    switch (m->request) {
    case SET_VRING_NUM:
        if (q->started || value == 0 || value > VIT_VRING_MAX_NUM || (value & (value - 1)))
            return false;
        q->ring.num = value;
        return true;
    case SET_VRING_BASE:
        if (q->started || value > UINT16_MAX) return false;
        q->ring.last_avail = (uint16_t)value;
        return true;
    default:
        q->enabled = value != 0;
        vit_vhost_queue_take(q);
        return true;
    }
}

static void get_base(VitVhostUser *u, VitVhostMessage *m)
{
    VitVhostQueue *q = queue_of(u, vit_vhost_get32(m->payload));
    uint32_t base = 0;

    if (q) {
        vit_vhost_queue_stop(q);
        vit_co_vhost_wait_idle(u, q);
        base = q->ring.last_avail;
        replace_fd(&q->kick, -1);
        replace_fd(&q->call, -1);
    }
    memcpy(m->payload + 4, &base, sizeof base);
    reply(u, m, 8);
}

static void get_config(VitVhostUser *u, VitVhostMessage *m)
{
    uint32_t offset = vit_vhost_get32(m->payload), size = vit_vhost_get32(m->payload + 4);
    uint8_t config[MAX_CONFIG] = { 0 };

    if (m->size < 12 || size > MAX_CONFIG || offset > MAX_CONFIG - size || m->size < 12 + size) {
        reply(u, m, 0); /* as the protocol says "no" */
        return;
    }
    u->device->get_config(u->opaque, config);
    memcpy(m->payload + 12, config + offset, size);
    reply(u, m, 12 + size);
}

static bool set_config(VitVhostUser *u, const VitVhostMessage *m)
{
    uint32_t offset = vit_vhost_get32(m->payload), size = vit_vhost_get32(m->payload + 4);

    if (m->size < 12 || size > MAX_CONFIG || offset > MAX_CONFIG - size || m->size < 12 + size)
        return false;
    u->device->set_config(u->opaque, offset, m->payload + 12, size);
    return true;
}

static uint64_t offered(const VitVhostUser *u)
{
    return u->device->features | F_INDIRECT | VIT_VHOST_F_EVENT_IDX | VIT_VHOST_F_PROTOCOL |
           F_VERSION_1;
}

static bool set_features(VitVhostUser *u, const VitVhostMessage *m)
{
    uint64_t wanted = vit_vhost_get64(m->payload);

    if (wanted & ~offered(u)) return false;
    u->features = wanted;
    return true;
}

static void reset(VitVhostUser *u)
{
    for (unsigned i = 0; i < u->device->max_queues; i++) vit_vhost_queue_stop(&u->queue[i]);
    vit_co_vhost_wait_idle(u, NULL);
    for (unsigned i = 0; i < u->device->max_queues; i++) {
        VitVhostQueue *q = &u->queue[i];
        replace_fd(&q->kick, -1);
        replace_fd(&q->call, -1);
        replace_fd(&q->err, -1);
        *q = (VitVhostQueue){ .user = u, .kick = -1, .call = -1, .err = -1 };
    }
    u->features = 0;
    u->device->reset(u->opaque);
}

/* True: it has been done. */
static bool handle(VitVhostUser *u, VitVhostMessage *m, bool *replied)
{
    *replied = true;
    switch (m->request) {
    case GET_FEATURES: reply64(u, m, offered(u)); return true;
    case GET_PROTOCOL_FEATURES:
        reply64(u, m, P_MQ | P_REPLY_ACK | P_CONFIG | P_MEM_SLOTS);
        return true;
    case GET_QUEUE_NUM: reply64(u, m, u->device->max_queues); return true;
    case GET_MAX_MEM_SLOTS: reply64(u, m, VIT_VRING_MAX_REGIONS); return true;
    case GET_VRING_BASE: get_base(u, m); return true;
    case GET_CONFIG: get_config(u, m); return true;
    default: break;
    }
    *replied = false;
    switch (m->request) {
    case SET_FEATURES: return set_features(u, m);
    case SET_PROTOCOL_FEATURES: u->protocol = vit_vhost_get64(m->payload); return true;
    case SET_OWNER: return true;
    case RESET_OWNER: reset(u); return true;
    case VIT_VHOST_SET_MEM_TABLE:
    case VIT_VHOST_ADD_MEM_REG:
    case VIT_VHOST_REM_MEM_REG: return vit_co_vhost_change_memory(u, m);
    case SET_VRING_NUM:
    case SET_VRING_BASE:
    case SET_VRING_ENABLE: return set_state(u, m);
    case SET_VRING_ADDR: return set_addresses(u, m);
    case SET_VRING_KICK:
    case SET_VRING_CALL:
    case SET_VRING_ERR: return set_fd(u, m);
    case SET_CONFIG: return set_config(u, m);
    default: return false;
    }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_input(void *opaque, GIOCondition ready)
{
    VitVhostUser *u = opaque;
    VitFiber *reader = u->reader;

    u->reader = NULL;
    vit_io_watch_set(u->watch, 0);
    if (reader) vit_fiber_wake(reader);
}

static void take_fds(const struct msghdr *header, VitVhostMessage *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c;
         c = CMSG_NXTHDR((struct msghdr *)header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        unsigned n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        int fds[VIT_VHOST_MAX_FDS * 2];
        n = MIN(n, G_N_ELEMENTS(fds));
        memcpy(fds, CMSG_DATA(c), n * sizeof(int));
        for (unsigned i = 0; i < n; i++) {
            if (m->n_fds < VIT_VHOST_MAX_FDS) m->fds[m->n_fds++] = fds[i];
            else close(fds[i]);
        }
    }
}

/* All of size bytes, with the descriptors that come along; false: the driver has left. */
static bool receive(VitVhostUser *u, uint8_t *buf, size_t size, VitVhostMessage *m)
{
    while (size > 0) {
        struct iovec iov = { buf, size };
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(int) * VIT_VHOST_MAX_FDS)];
        } control;
        struct msghdr header = { .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control };
        ssize_t n = recvmsg(u->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && !u->closing) {
            u->reader = vit_fiber_self(u->thread);
            vit_io_watch_set(u->watch, G_IO_IN);
            while (u->reader) vit_fiber_yield(u->thread);
            continue;
        }
        if (n <= 0) return false;
        take_fds(&header, m);
        buf += n;
        size -= (size_t)n;
    }
    return true;
}

static bool serve_one(VitVhostUser *u, VitVhostMessage *m)
{
    uint8_t header[HEADER];
    bool replied, good;

    m->n_fds = 0;
    memset(m->payload, 0, 64);
    good = receive(u, header, sizeof header, m);
    if (good) {
        m->request = vit_vhost_get32(header);
        m->flags = vit_vhost_get32(header + 4);
        m->size = vit_vhost_get32(header + 8);
        good = (m->flags & 3) == FLAG_VERSION && m->size <= VIT_VHOST_MAX_PAYLOAD &&
               receive(u, m->payload, m->size, m);
    }
    if (good) {
        bool done = handle(u, m, &replied);
        bool asked = (u->protocol & P_REPLY_ACK) && (m->flags & FLAG_NEED_REPLY);
        if (!replied && asked) reply64(u, m, done ? 0 : 1);
        else if (!replied && !done) good = false; /* there is no other way to say so */
    }
    for (unsigned i = 0; i < m->n_fds; i++)
        if (m->fds[i] >= 0) close(m->fds[i]);
    return good && !u->closing;
}

static void driver_fiber(void *opaque)
{
    VitVhostUser *u = opaque;
    VitVhostMessage *m = g_new0(VitVhostMessage, 1);

    while (serve_one(u, m)) {}
    reset(u);
    vit_vhost_drop_memory(u);
    vit_vhost_drop_bell(u);
    u->lost = false;
    g_clear_pointer(&u->watch, vit_io_watch_free);
    close(u->fd);
    u->fd = -1;
    u->protocol = 0;
    u->serving = false;
    g_free(m);
    if (!u->closing) vit_io_watch_set(u->listen_watch, G_IO_IN);
    vit_fiber_cond_wake_all(&u->changed);
}

static void on_driver(void *opaque, GIOCondition ready)
{
    VitVhostUser *u = opaque;
    int fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) return;
    u->fd = fd;
    u->serving = true;
    u->watch = vit_io_watch_new(u->thread, fd, 0, on_input, u);
    vit_io_watch_set(u->listen_watch, 0);
    vit_fiber_start(u->thread, driver_fiber, u);
}

VitVhostUser *vit_vhost_user_new(VitIoThread *thread, int fd, const VitVhostDevice *device,
                                 void *opaque, const VitMemoryGuard *guard)
{
    VitVhostUser *u = g_new0(VitVhostUser, 1);

    u->thread = u->changed.thread = thread;
    u->device = device;
    u->opaque = opaque;
    u->guard = guard;
    u->listener = fd;
    u->fd = u->bell = -1;
    u->element = g_new(VitVringElement, 1);
    u->queue = g_new0(VitVhostQueue, device->max_queues);
    for (unsigned i = 0; i < device->max_queues; i++)
        u->queue[i] = (VitVhostQueue){ .user = u, .kick = -1, .call = -1, .err = -1 };
    u->listen_watch = vit_io_watch_new(thread, fd, G_IO_IN, on_driver, u);
    return u;
}

void vit_co_vhost_user_free(VitVhostUser *u)
{
    VitFiber *reader = u->reader;

    u->closing = true;
    g_clear_pointer(&u->listen_watch, vit_io_watch_free);
    u->reader = NULL;
    if (reader) vit_fiber_wake(reader);
    while (u->serving || u->call_scheduled) vit_fiber_cond_wait(&u->changed, NULL);
    close(u->listener);
    g_free(u->element);
    g_free(u->queue);
    g_free(u);
}

bool vit_vhost_user_connected(const VitVhostUser *u)
{
    return u->serving;
}

uint64_t vit_vhost_user_features(const VitVhostUser *u)
{
    return u->features;
}
