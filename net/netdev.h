/* SPDX-License-Identifier: GPL-3.0-or-later */
/* net/netdev.h - the host end of a network card: user-mode (libslirp), later tap, socket ...
 *
 * Threads: everything runs on the netdev's iothread; packets are Ethernet frames without FCS. */
#pragma once
#include "engine/core/iothread.h"
#include <sys/uio.h>

typedef struct VitNetdev VitNetdev;

typedef struct {    /* the card's side */
    /* A frame from the host.  Returns false when the guest has no buffer: the netdev keeps at most
     * a bounded queue and retries after vit_netdev_flush(). */
    bool (*receive)(void *opaque, const struct iovec *iov, int niov, size_t size);
    void (*link_changed)(void *opaque, bool up);    /* may be NULL */
} VitNetPeer;

typedef struct {
    const char *name;               /* "user" */
    size_t      instance_size;
    void      (*send)(VitNetdev *netdev, const struct iovec *iov, int niov, size_t size);
    void      (*finish)(VitNetdev *netdev);
} VitNetdevDriver;

struct VitNetdev {
    const VitNetdevDriver *driver;
    char             *id;           /* owned */
    VitIoThread      *thread;       /* borrowed */
    const VitNetPeer *peer;         /* NULL while no card is attached */
    void             *opaque;
    bool              link_up;
    GQueue            backlog;      /* of GBytes*, bounded */
    /* the guest's frame is being taken: deliveries wait in the backlog */
    bool              sending;
    int               flush_queued; /* atomic */
    uint64_t          dropped;      /* frames to the guest that found the backlog full */
};

enum { VIT_NETDEV_BACKLOG = 256, VIT_NETDEV_MAX_FRAME = 65536 + 64 };

/* spec: as -netdev's value: "user,id=net0,hostfwd=tcp::2222-:22,restrict=on,net=10.0.2.0/24,..."
 * Unknown options are refused by name with the nearest known one.  A hostfwd without an address
 * binds to 127.0.0.1. */
[[nodiscard]] VitNetdev *vit_netdev_open(const char *spec, VitIoThread *thread, GError **error);
void vit_netdev_free(VitNetdev *netdev);        /* its iothread still runs; NULL is fine */
/* any thread; NULL detaches and waits */
void vit_netdev_attach(VitNetdev *netdev, const VitNetPeer *peer, void *opaque);
/* guest to host; its thread */
void vit_netdev_send(VitNetdev *netdev, const struct iovec *iov, int niov, size_t size);
/* drivers: host to guest */
void vit_netdev_deliver(VitNetdev *netdev, const void *frame, size_t size);
void vit_netdev_set_link(VitNetdev *netdev, bool up);   /* any thread; waits, so no machine lock */
void vit_netdev_flush(VitNetdev *netdev);       /* the card has buffers again; any thread */
