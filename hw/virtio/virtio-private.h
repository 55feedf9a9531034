/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio-private.h - the run-time side of the rings, for virtio.c and virtqueue.c */
#pragma once
#include "hw/deferred.h"
#include "hw/virtio/virtio.h"
#include <pthread.h>
#include <stdatomic.h>

/* Where one area of a ring lies now; asked again when the memory view changes. */
typedef struct {
    uint8_t *host;          /* NULL: not one contiguous piece of RAM, go byte range by byte range */
    VitRam  *ram;
    uint64_t ram_offset;
} RingArea;

typedef struct {
    VitVirtioRings *rings;
    unsigned        index;
    VitIoThread    *thread;         /* borrowed, set once: where the ring is worked on; NULL: where
                                       the device is */
    pthread_mutex_t back_lock;      /* a leaf */
    GPtrArray      *back;           /* owned, of VitVirtqElement*: complete, to be given back
                                       together; guarded by back_lock */
    atomic_bool     kicked;         /* a call of run_queue() is on its way */
    bool            quiet;          /* driver is asked not to kick */
    uint64_t        view;           /* generation of the memory view that the areas are of */
    bool            areas_valid;
    RingArea        desc, avail, used;
} Virtqueue;

/* Outlives the device while calls are on their way. */
struct VitVirtioRings {
    pthread_mutex_t lock;              /* the queue lock: state, everything here */
    pthread_cond_t idle;              /* busy fell to 0 */
    atomic_int   ref_count;
    VitVirtio   *virtio;            /* NULL once the device is gone */
    VitSystem   *sys;               /* borrowed */
    VitIoThread *thread;            /* borrowed; NULL = machine thread; atomic */
    unsigned     busy;              /* handlers running and elements outstanding */
    unsigned     quiesced;          /* nesting */
    unsigned     life;              /* grows with each reset and load */
    bool         reset_pending;
    VitDeferred *config_change;     /* owned by the device */
    uint8_t      indirect[VIT_VIRTIO_CHAIN * 16];   /* copy of an indirect table */
    unsigned     n_queues;
    Virtqueue    queues[];
};

/* virtio.c, lock held */
bool virtio_queue_live(VitVirtioRings *r, unsigned queue);
void virtio_unbusy(VitVirtioRings *r);
void virtio_broken_locked(VitVirtioRings *r, const char *why);
/* virtqueue.c, lock held */
void virtq_set_notification(VitVirtioRings *r, unsigned queue, bool on);
bool virtq_has_buffers_locked(VitVirtioRings *r, unsigned queue);
/* virtqueue.c, without it: gives elements of one queue back, as much written as they say.  They
 * stay outstanding until the interrupt is sent, which keeps the device alive. */
void virtq_push(VitVirtqElement *const *elements, unsigned n, bool notify);
/* virtqueue-threads.c */
VitIoThread *virtio_home(VitVirtioRings *r);    /* where the device is; any thread */
bool virtq_is_apart(Virtqueue *q);              /* its ring is worked on elsewhere */
/* Takes at most budget chains and has them handled at home; returns how many.  On the queue's
 * thread. */
unsigned virtq_hand_over(VitVirtio *v, Virtqueue *q, unsigned budget);
