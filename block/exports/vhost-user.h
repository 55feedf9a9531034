/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-user.h - a device that lives here and is driven from another process by the
 * vhost-user protocol: its socket, the driver's memory, its queues
 *
 * One driver at a time; when it leaves, the next may come.  Everything is on one iothread. */
#pragma once
#include "block/exports/memory-guard.h"
#include "block/exports/vring.h"
#include "engine/core/fiber.h"

typedef struct VitVhostUser VitVhostUser;
typedef struct VitVhostQueue VitVhostQueue;

typedef struct {
    uint64_t features; /* offered, of the device itself */
    unsigned max_queues;
    uint32_t config_size;
    /* Copies the configuration space; fills config_size bytes. */
    void (*get_config)(void *opaque, uint8_t *config);
    void (*set_config)(void *opaque, uint32_t offset, const uint8_t *data, uint32_t size);
    /* A chain has come: it is the device's (copied) until vit_vhost_queue_push(). */
    void (*request)(void *opaque, VitVhostQueue *queue, const VitVringElement *element);
    void (*batch)(void *opaque, bool begin); /* around several request() calls */
    void (*reset)(void *opaque); /* a new driver; nothing is in flight */
    /* Says why the driver is dropped or its memory refused; text is translated. */
    void (*complain)(void *opaque, const char *text);
} VitVhostDevice;

/* Listens on fd (owned from now on).  guard: const; NULL: memory that the driver could take away is
 * refused. */
[[nodiscard]] VitVhostUser *vit_vhost_user_new(VitIoThread *thread, int fd,
                                               const VitVhostDevice *device, void *opaque,
                                               const VitMemoryGuard *guard);
/* On a fiber: drops the driver, waits for requests in flight. */
void vit_co_vhost_user_free(VitVhostUser *user);
bool vit_vhost_user_connected(const VitVhostUser *user);
uint64_t vit_vhost_user_features(const VitVhostUser *user); /* that the driver has acknowledged */
/* Gives a chain back, `written` bytes of it filled. */
void vit_vhost_queue_push(VitVhostQueue *queue, uint16_t head, uint32_t written);
