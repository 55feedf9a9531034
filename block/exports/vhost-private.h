/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-private.h - between the parts of a vhost-user device: its messages
 * (vhost-user.c), its queues (vhost-queue.c), the memory that it shares (vhost-memory.c) */
#pragma once
#include "block/exports/vhost-user.h"

#include <string.h>

enum {
    VIT_VHOST_SET_MEM_TABLE = 5,
    VIT_VHOST_ADD_MEM_REG = 37,
    VIT_VHOST_REM_MEM_REG = 38,
    VIT_VHOST_MAX_PAYLOAD = 4096,
    VIT_VHOST_MAX_FDS = 8,
};

#define VIT_VHOST_F_EVENT_IDX (UINT64_C(1) << 29)
#define VIT_VHOST_F_PROTOCOL  (UINT64_C(1) << 30)

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
    const VitMemoryGuard *guard; /* NULL: none */
    void *opaque;
    int listener; /* owned */
    VitIoWatch *listen_watch; /* owned */
    int fd; /* owned; -1: nobody is connected */
    VitIoWatch *watch; /* owned: of fd */
    VitFiber *reader; /* waits for input */
    bool closing, serving;
    bool lost; /* memory of the driver is gone: nothing is taken any more */
    uint64_t features, protocol;
    VitVringMemory memory;
    uint64_t mapped[VIT_VRING_MAX_REGIONS]; /* bytes of the mapping of each region */
    uint64_t map_skip[VIT_VRING_MAX_REGIONS]; /* bytes of it before the region */
    bool guarded[VIT_VRING_MAX_REGIONS]; /* the driver could make the file shorter */
    int bell; /* owned: an eventfd, rung when memory is gone; -1: none */
    VitIoWatch *bell_watch; /* owned */
    VitVhostQueue *queue; /* owned, device->max_queues of them */
    VitVringElement *element; /* owned: the chain being looked at */
    VitFiberCond changed;
    bool call_scheduled;
};

typedef struct {
    uint32_t request, flags, size;
    uint8_t payload[VIT_VHOST_MAX_PAYLOAD];
    int fds[VIT_VHOST_MAX_FDS];
    unsigned n_fds;
} VitVhostMessage;

static inline uint64_t vit_vhost_get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint32_t vit_vhost_get32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

/* ---- vhost-queue.c --------------------------------------------------------------------------- */

void vit_vhost_queue_start(VitVhostQueue *queue); /* when all that it needs has been told */
void vit_vhost_queue_stop(VitVhostQueue *queue);
void vit_vhost_queue_take(VitVhostQueue *queue); /* what the driver has offered */
/* On a fiber: waits until the queues (NULL: all) have nothing in flight; new requests are not taken
 * meanwhile. */
void vit_co_vhost_wait_idle(VitVhostUser *user, VitVhostQueue *only);

/* ---- vhost-memory.c -------------------------------------------------------------------------- */

/* One of the three messages above, on a fiber. */
[[nodiscard]] bool vit_co_vhost_change_memory(VitVhostUser *user, const VitVhostMessage *message);
void vit_vhost_drop_memory(VitVhostUser *user); /* nothing is in flight */
void vit_vhost_drop_bell(VitVhostUser *user); /* and no memory there */
