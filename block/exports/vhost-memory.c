/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-memory.c - the memory that the driver of a vhost-user device shares
 *
 * It is mapped as files that the driver could make shorter while they are used: touching what is
 * gone raises SIGBUS. */
#include "block/exports/vhost-private.h"

#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *start_of(const VitVhostUser *u, unsigned i)
{
    return u->memory.region[i].here - u->map_skip[i];
}

static void unmap(VitVhostUser *u, unsigned i)
{
    if (u->guarded[i]) u->guard->forget(start_of(u, i));
    munmap(start_of(u, i), u->mapped[i]);
    unsigned last = --u->memory.count;
    u->memory.region[i] = u->memory.region[last];
    u->mapped[i] = u->mapped[last];
    u->map_skip[i] = u->map_skip[last];
    u->guarded[i] = u->guarded[last];
}

void vit_vhost_drop_memory(VitVhostUser *u)
{
    while (u->memory.count > 0) unmap(u, 0);
}

/* ---- memory that goes away ------------------------------------------------------------------- */

/* The driver has made a file shorter that we work in.  What stands there now is ours, all zeroes:
 * nothing that is said through it reaches the driver any more. */
static void on_bell(void *opaque, GIOCondition ready)
{
    VitVhostUser *u = opaque;
    eventfd_t count;

    if (eventfd_read(u->bell, &count) < 0 || u->lost) return;
    u->lost = true;
    u->device->complain(u->opaque, _("its driver has taken away memory that it shared"));
    if (u->fd >= 0) shutdown(u->fd, SHUT_RDWR);
}

/* Touching the file's pages must not kill: either the driver cannot make it shorter, or the
 * program's handler steps in. */
static bool guard(VitVhostUser *u, int fd, uint8_t *start, uint64_t size, bool *guarded)
{
    int seals = fcntl(fd, F_GET_SEALS);

    *guarded = seals < 0 || !(seals & F_SEAL_SHRINK);
    if (!*guarded) return true;
    if (!u->guard) {
        u->device->complain(u->opaque, _("memory that its driver could take away is not accepted "
                                         "here: it needs F_SEAL_SHRINK (memfd, seal=on)"));
        return false;
    }
    if (u->bell < 0) {
        u->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (u->bell < 0) return false;
        u->bell_watch = vit_io_watch_new(u->thread, u->bell, G_IO_IN, on_bell, u);
    }
    return u->guard->watch(start, size, u->bell);
}

void vit_vhost_drop_bell(VitVhostUser *u)
{
    g_clear_pointer(&u->bell_watch, vit_io_watch_free);
    if (u->bell >= 0) close(u->bell);
    u->bell = -1;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* 32 bytes: guest address, size, user address, offset in the file. */
static bool map(VitVhostUser *u, const uint8_t *p, int fd)
{
    uint64_t guest = vit_vhost_get64(p), size = vit_vhost_get64(p + 8);
    uint64_t user = vit_vhost_get64(p + 16), skip = vit_vhost_get64(p + 24);
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
    bool guarded;
    if (!guard(u, fd, here, end, &guarded)) {
        munmap(here, end);
        return false;
    }
    unsigned i = u->memory.count++;
    u->memory.region[i] = (VitVringRegion){ guest, user, size, here + skip };
    u->mapped[i] = end;
    u->map_skip[i] = skip;
    u->guarded[i] = guarded;
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
        vit_vhost_queue_stop(&u->queue[i]);
    }
    vit_co_vhost_wait_idle(u, NULL);
}

bool vit_co_vhost_change_memory(VitVhostUser *u, const VitVhostMessage *m)
{
    g_autofree bool *was = g_new0(bool, u->device->max_queues);
    bool good = true;

    if (running(u)) pause_queues(u, was);
    if (m->request == VIT_VHOST_SET_MEM_TABLE) {
        unsigned count = m->size >= 8 ? vit_vhost_get32(m->payload) : 0;
        good = count <= VIT_VHOST_MAX_FDS && count == m->n_fds && m->size >= 8 + 32 * count;
        vit_vhost_drop_memory(u);
        for (unsigned i = 0; good && i < count; i++)
            good = map(u, m->payload + 8 + 32 * (size_t)i, m->fds[i]);
    } else if (m->request == VIT_VHOST_ADD_MEM_REG) {
        good = m->size >= 40 && m->n_fds == 1 && map(u, m->payload + 8, m->fds[0]);
    } else {
        good = false;
        for (unsigned i = 0; i < u->memory.count && m->size >= 40 && !good; i++) {
            const VitVringRegion *r = &u->memory.region[i];
            good = r->guest == vit_vhost_get64(m->payload + 8) &&
                   r->size == vit_vhost_get64(m->payload + 16) &&
                   r->user == vit_vhost_get64(m->payload + 24);
            if (good) unmap(u, i);
        }
    }
    for (unsigned i = 0; i < u->device->max_queues; i++)
        if (was[i]) vit_vhost_queue_start(&u->queue[i]);
    return good;
}
