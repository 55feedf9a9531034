/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-user.c - see vhost-user.h ("Vhost-user Protocol", back-end program
 * conventions)
 *
 * Not offered: dirty logging (migration of the driver's machine), in-flight tracking, postcopy,
 * IOTLB. The driver's process is trusted not to shrink the files that it shares; what lies in them
 * is not. */
#include "block/exports/vhost-user.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    RESET_OWNER = 4,
    SET_MEM_TABLE = 5,
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
    ADD_MEM_REG = 37,
    REM_MEM_REG = 38,
};

enum { HEADER = 12, MAX_PAYLOAD = 4096, MAX_FDS = 8, MAX_CONFIG = 256, MAX_TAKEN = 1024 };
enum { FLAG_VERSION = 1, FLAG_REPLY = 1 << 2, FLAG_NEED_REPLY = 1 << 3, NO_FD = 1 << 8 };

#define F_INDIRECT  (UINT64_C(1) << 28)
#define F_EVENT_IDX (UINT64_C(1) << 29)
#define F_PROTOCOL  (UINT64_C(1) << 30)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define P_MQ        (UINT64_C(1) << 0)
#define P_REPLY_ACK (UINT64_C(1) << 3)
#define P_CONFIG    (UINT64_C(1) << 9)
#define P_MEM_SLOTS (UINT64_C(1) << 15)

struct VitVhostQueue {
    VitVhostUser *user; /* borrowed */
    VitVring ring;
    uint64_t desc, avail, used; /* user addresses */
    bool placed, started, enabled, call_pending;
    int kick, call, err; /* owned; -1: none */
    VitIoWatch *watch; /* owned; NULL: not started */
    unsigned in_flight;
};

struct VitVhostUser {
    VitIoThread *thread; /* borrowed */
    const VitVhostDevice *device; /* borrowed */
    void *opaque;
    int listener; /* owned */
    VitIoWatch *listen_watch; /* owned */
    int fd; /* owned; -1: nobody is connected */
    VitIoWatch *watch; /* owned: of fd */
    VitFiber *reader; /* waits for input */
    bool closing, serving;
    uint64_t features, protocol;
    VitVringMemory memory;
    uint64_t mapped[VIT_VRING_MAX_REGIONS]; /* bytes of the mapping of each region */
    uint64_t map_skip[VIT_VRING_MAX_REGIONS]; /* bytes of it before the region */
    VitVhostQueue *queue; /* owned, device->max_queues of them */
    VitVringElement *element; /* owned: the chain being looked at */
    VitFiberCond changed;
    bool call_scheduled;
};

typedef struct {
    uint32_t request, flags, size;
    uint8_t payload[MAX_PAYLOAD];
    int fds[MAX_FDS];
    unsigned n_fds;
} Message;

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void take_chains(VitVhostQueue *q)
{
    VitVhostUser *u = q->user;

    if (!q->started || !q->enabled || u->closing) return;
    unsigned taken = 0;
    u->device->batch(u->opaque, true);
    do {
        vit_vring_ask_kicks(&q->ring, false);
        while (taken < MAX_TAKEN && vit_vring_pop(&q->ring, &u->memory, u->element)) {
            taken++;
            q->in_flight++;
            if (q->in_flight > q->ring.num) q->ring.broken = true; /* more than it has room for */
            u->device->request(u->opaque, q, u->element);
        }
    } while (!vit_vring_ask_kicks(&q->ring, true) && !q->ring.broken && taken < MAX_TAKEN);
    u->device->batch(u->opaque, false);
    if (taken >= MAX_TAKEN) (void)!eventfd_write(q->kick, 1); /* the others have their turn first */
    if (q->ring.broken && q->err >= 0) (void)!eventfd_write(q->err, 1);
}

static void on_kick(void *opaque, GIOCondition ready)
{
    VitVhostQueue *q = opaque;
    eventfd_t count;

    if (eventfd_read(q->kick, &count) < 0 && errno != EAGAIN) {
        vit_io_watch_set(q->watch, 0);
        return;
    }
    take_chains(q);
}

static void call_driver(VitVhostQueue *q)
{
    q->call_pending = false;
    if (vit_vring_wants_call(&q->ring) && q->call >= 0) (void)!eventfd_write(q->call, 1);
}

static void call_all(void *opaque)
{
    VitVhostUser *u = opaque;

    u->call_scheduled = false;
    for (unsigned i = 0; i < u->device->max_queues; i++)
        if (u->queue[i].call_pending) call_driver(&u->queue[i]);
    vit_fiber_cond_wake_all(&u->changed);
}

void vit_vhost_queue_push(VitVhostQueue *q, uint16_t head, uint32_t written)
{
    VitVhostUser *u = q->user;

    vit_vring_push(&q->ring, head, written);
    if (--q->in_flight == 0) {
        call_driver(q);
        vit_fiber_cond_wake_all(&u->changed);
        return;
    }
    q->call_pending = true; /* one call for all that end in this round of the loop */
    if (!u->call_scheduled) {
        u->call_scheduled = true;
        vit_io_thread_call(u->thread, call_all, u);
    }
}

static void stop_queue(VitVhostQueue *q)
{
    g_clear_pointer(&q->watch, vit_io_watch_free);
    q->started = false;
}

static void start_queue(VitVhostQueue *q)
{
    VitVhostUser *u = q->user;

    if (q->started || !q->placed || q->kick < 0) return;
    q->ring.event_index = u->features & F_EVENT_IDX;
    if (!vit_vring_place(&q->ring, &u->memory, q->desc, q->avail, q->used)) return;
    q->started = true;
    if (!(u->features & F_PROTOCOL)) q->enabled = true;
    q->watch = vit_io_watch_new(u->thread, q->kick, G_IO_IN, on_kick, q);
    take_chains(q); /* what came before the kick could be heard */
}

/* Waits until the queues have nothing in flight; new requests are not taken meanwhile. */
static void wait_idle(VitVhostUser *u, VitVhostQueue *only)
{
    for (unsigned i = 0; i < u->device->max_queues; i++) {
        VitVhostQueue *q = &u->queue[i];
        if (only && q != only) continue;
        while (q->in_flight > 0) vit_fiber_cond_wait(&u->changed, NULL);
    }
}

static void replace_fd(int *slot, int fd)
{
    if (*slot >= 0) close(*slot);
    *slot = fd;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void unmap(VitVhostUser *u, unsigned i)
{
    munmap(u->memory.region[i].here - u->map_skip[i], u->mapped[i]);
    unsigned last = --u->memory.count;
    u->memory.region[i] = u->memory.region[last];
    u->mapped[i] = u->mapped[last];
    u->map_skip[i] = u->map_skip[last];
}

/* 32 bytes: guest address, size, user address, offset in the file. */
static bool map(VitVhostUser *u, const uint8_t *p, int fd)
{
    uint64_t guest = get64(p), size = get64(p + 8), user = get64(p + 16), skip = get64(p + 24);
    uint64_t end, unused;
    struct stat st;

    if (u->memory.count >= VIT_VRING_MAX_REGIONS || size == 0 ||
        __builtin_add_overflow(skip, size, &end) || end > SIZE_MAX / 2 ||
        __builtin_add_overflow(guest, size, &unused) ||
        __builtin_add_overflow(user, size, &unused) || fstat(fd, &st) < 0 ||
        (uint64_t)st.st_size < end)
        return false;
    /* From the file's start: pages may be huge, and offsets not multiples of them. */
    uint8_t *here = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (here == MAP_FAILED) return false;
    unsigned i = u->memory.count++;
    u->memory.region[i] = (VitVringRegion){ guest, user, size, here + skip };
    u->mapped[i] = end;
    u->map_skip[i] = skip;
    return true;
}

static bool running(const VitVhostUser *u)
{
    for (unsigned i = 0; i < u->device->max_queues; i++)
        if (u->queue[i].started) return true;
    return false;
}

/* The queues lie in memory that moves: they stop, and go on where they lie then. */
static void pause_queues(VitVhostUser *u, bool *was)
{
    for (unsigned i = 0; i < u->device->max_queues; i++) {
        was[i] = u->queue[i].started;
        stop_queue(&u->queue[i]);
    }
    wait_idle(u, NULL);
}

static bool change_memory(VitVhostUser *u, const Message *m)
{
    g_autofree bool *was = g_new0(bool, u->device->max_queues);
    bool good = true;

    if (running(u)) pause_queues(u, was);
    if (m->request == SET_MEM_TABLE) {
        unsigned count = m->size >= 8 ? get32(m->payload) : 0;
        good = count <= MAX_FDS && count == m->n_fds && m->size >= 8 + 32 * count;
        while (u->memory.count > 0) unmap(u, 0);
        for (unsigned i = 0; good && i < count; i++)
            good = map(u, m->payload + 8 + 32 * (size_t)i, m->fds[i]);
    } else if (m->request == ADD_MEM_REG) {
        good = m->size >= 40 && m->n_fds == 1 && map(u, m->payload + 8, m->fds[0]);
    } else {
        good = false;
        for (unsigned i = 0; i < u->memory.count && m->size >= 40 && !good; i++) {
            const VitVringRegion *r = &u->memory.region[i];
            good = r->guest == get64(m->payload + 8) && r->size == get64(m->payload + 16) &&
                   r->user == get64(m->payload + 24);
            if (good) unmap(u, i);
        }
    }
    for (unsigned i = 0; i < u->device->max_queues; i++)
        if (was[i]) start_queue(&u->queue[i]);
    return good;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void reply(VitVhostUser *u, Message *m, uint32_t size)
{
    uint8_t buf[HEADER + MAX_PAYLOAD];
    uint32_t flags = FLAG_VERSION | FLAG_REPLY;

    memcpy(buf, &m->request, 4);
    memcpy(buf + 4, &flags, 4);
    memcpy(buf + 8, &size, 4);
    memcpy(buf + HEADER, m->payload, size);
    /* Answers are small and few: a driver whose socket is full of them does not read. */
    if (send(u->fd, buf, HEADER + size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(HEADER + size))
        shutdown(u->fd, SHUT_RDWR);
}

static void reply64(VitVhostUser *u, Message *m, uint64_t value)
{
    memcpy(m->payload, &value, sizeof value);
    reply(u, m, sizeof value);
}

static VitVhostQueue *queue_of(VitVhostUser *u, uint64_t index)
{
    return index < u->device->max_queues ? &u->queue[index] : NULL;
}

static int take_fd(Message *m, unsigned i)
{
    int fd = m->fds[i];

    m->fds[i] = -1;
    return fd;
}

static bool set_fd(VitVhostUser *u, Message *m)
{
    uint64_t value = get64(m->payload);
    VitVhostQueue *q = queue_of(u, value & 0xff);
    int fd = m->n_fds > 0 && !(value & NO_FD) ? take_fd(m, 0) : -1;

    if (!q) {
        if (fd >= 0) close(fd);
        return false;
    }
    switch (m->request) {
    case SET_VRING_KICK:
        stop_queue(q);
        replace_fd(&q->kick, fd);
        start_queue(q);
        return true; /* without a descriptor the queue would be polled: it stays still */
    case SET_VRING_CALL:
        replace_fd(&q->call, fd);
        if (fd >= 0 && q->started)
            (void)!eventfd_write(fd, 1); /* the old one may have been missed */
        return true;
    default: replace_fd(&q->err, fd); return true;
    }
}

static bool set_addresses(VitVhostUser *u, const Message *m)
{
    VitVhostQueue *q = queue_of(u, get32(m->payload));

    if (!q || m->size < 40) return false;
    q->desc = get64(m->payload + 8);
    q->used = get64(m->payload + 16);
    q->avail = get64(m->payload + 24);
    q->placed = true;
    return !q->started || vit_vring_place(&q->ring, &u->memory, q->desc, q->avail, q->used);
}

static bool set_state(VitVhostUser *u, const Message *m)
{
    VitVhostQueue *q = queue_of(u, get32(m->payload));
    uint32_t value = get32(m->payload + 4);

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
        take_chains(q);
        return true;
    }
}

static void get_base(VitVhostUser *u, Message *m)
{
    VitVhostQueue *q = queue_of(u, get32(m->payload));
    uint32_t base = 0;

    if (q) {
        stop_queue(q);
        wait_idle(u, q);
        base = q->ring.last_avail;
        replace_fd(&q->kick, -1);
        replace_fd(&q->call, -1);
    }
    memcpy(m->payload + 4, &base, sizeof base);
    reply(u, m, 8);
}

static void get_config(VitVhostUser *u, Message *m)
{
    uint32_t offset = get32(m->payload), size = get32(m->payload + 4);
    uint8_t config[MAX_CONFIG] = { 0 };

    if (m->size < 12 || size > MAX_CONFIG || offset > MAX_CONFIG - size || m->size < 12 + size) {
        reply(u, m, 0); /* as the protocol says "no" */
        return;
    }
    u->device->get_config(u->opaque, config);
    memcpy(m->payload + 12, config + offset, size);
    reply(u, m, 12 + size);
}

static bool set_config(VitVhostUser *u, const Message *m)
{
    uint32_t offset = get32(m->payload), size = get32(m->payload + 4);

    if (m->size < 12 || size > MAX_CONFIG || offset > MAX_CONFIG - size || m->size < 12 + size)
        return false;
    u->device->set_config(u->opaque, offset, m->payload + 12, size);
    return true;
}

static uint64_t offered(const VitVhostUser *u)
{
    return u->device->features | F_INDIRECT | F_EVENT_IDX | F_PROTOCOL | F_VERSION_1;
}

static bool set_features(VitVhostUser *u, const Message *m)
{
    uint64_t wanted = get64(m->payload);

    if (wanted & ~offered(u)) return false;
    u->features = wanted;
    return true;
}

static void reset(VitVhostUser *u)
{
    for (unsigned i = 0; i < u->device->max_queues; i++) stop_queue(&u->queue[i]);
    wait_idle(u, NULL);
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
static bool handle(VitVhostUser *u, Message *m, bool *replied)
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
    case SET_PROTOCOL_FEATURES: u->protocol = get64(m->payload); return true;
    case SET_OWNER: return true;
    case RESET_OWNER: reset(u); return true;
    case SET_MEM_TABLE:
    case ADD_MEM_REG:
    case REM_MEM_REG: return change_memory(u, m);
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

static void take_fds(const struct msghdr *header, Message *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c;
         c = CMSG_NXTHDR((struct msghdr *)header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        unsigned n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        int fds[MAX_FDS * 2];
        n = MIN(n, G_N_ELEMENTS(fds));
        memcpy(fds, CMSG_DATA(c), n * sizeof(int));
        for (unsigned i = 0; i < n; i++) {
            if (m->n_fds < MAX_FDS) m->fds[m->n_fds++] = fds[i];
            else close(fds[i]);
        }
    }
}

/* All of size bytes, with the descriptors that come along; false: the driver has left. */
static bool receive(VitVhostUser *u, uint8_t *buf, size_t size, Message *m)
{
    while (size > 0) {
        struct iovec iov = { buf, size };
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
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

static bool serve_one(VitVhostUser *u, Message *m)
{
    uint8_t header[HEADER];
    bool replied, good;

    m->n_fds = 0;
    memset(m->payload, 0, 64);
    good = receive(u, header, sizeof header, m);
    if (good) {
        m->request = get32(header);
        m->flags = get32(header + 4);
        m->size = get32(header + 8);
        good = (m->flags & 3) == FLAG_VERSION && m->size <= MAX_PAYLOAD &&
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
    Message *m = g_new0(Message, 1);

    while (serve_one(u, m)) {}
    reset(u);
    while (u->memory.count > 0) unmap(u, 0);
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
                                 void *opaque)
{
    VitVhostUser *u = g_new0(VitVhostUser, 1);

    u->thread = u->changed.thread = thread;
    u->device = device;
    u->opaque = opaque;
    u->listener = fd;
    u->fd = -1;
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
