/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/virtio.h - the bus-neutral core of a virtio device (Virtual I/O Device 1.2, chapter 2)
 *
 * A device is a VitDevice whose instance starts with VitVirtio and whose st starts with
 * VitVirtioState; a transport (virtio-pci.c) shows it to the guest.
 *
 * Threads: queue handlers run on the device's iothread without the machine lock, or, when it has
 * none, on the machine thread with it.  A handler on an iothread never waits for the machine lock.
 * Rings may have threads of their own, which take chains and give them back.
 * Ring state is guarded by the device's queue lock, which these functions take themselves.
 * Not modelled: VIRTIO_F_IN_ORDER, VIRTIO_F_RING_RESET. */
#pragma once
#include "engine/core/device.h"
#include <sys/uio.h>

typedef struct VitVirtio VitVirtio;
typedef struct VitVirtioRings VitVirtioRings;

enum {
    VIT_VIRTIO_QUEUES = 64,         /* of one device */
    VIT_VIRTIO_CHAIN = 1024,        /* descriptors of one chain, and buffers of one element */
    VIT_VIRTIO_QUEUE_SIZE = 1024,   /* entries of one ring */
    VIT_VIRTIO_CONFIG = 256,        /* bytes of device configuration */
};

enum { /* device status, 2.1 */
       VIT_VIRTIO_ACKNOWLEDGE = 1,
       VIT_VIRTIO_DRIVER = 2,
       VIT_VIRTIO_DRIVER_OK = 4,
       VIT_VIRTIO_FEATURES_OK = 8,
       VIT_VIRTIO_NEEDS_RESET = 64,
       VIT_VIRTIO_FAILED = 128,
};
#define VIT_VIRTIO_F_INDIRECT  (1ull << 28)
#define VIT_VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIT_VIRTIO_F_VERSION_1 (1ull << 32)
#define VIT_VIRTIO_F_PACKED    (1ull << 34)

/* ---- State, all that is saved ---------------------------------------------------------------- */

typedef struct {
    uint64_t desc, avail, used;     /* guest-physical addresses */
    uint16_t size;                  /* entries, as the driver set it */
    /* Packed rings: bit 15 of these three is the wrap counter. */
    uint16_t last_avail;            /* next available entry to take */
    uint16_t used_index;            /* next used entry to write */
    uint16_t signalled;             /* used_index at the last interrupt */
    bool     signalled_valid;
    bool     enabled;
} VitVirtqueueState;

typedef struct {
    uint64_t          driver_features;
    uint8_t           status;
    uint8_t           generation;   /* of the configuration */
    VitVirtqueueState queues[VIT_VIRTIO_QUEUES];
} VitVirtioState;

extern const VitField vit_virtqueue_rows[];
#define VIT_VIRTIO_ROWS(T)                                                                         \
    VIT_UINT(T, st.virtio.driver_features), VIT_UINT(T, st.virtio.status),                         \
        VIT_UINT(T, st.virtio.generation), VIT_STRUCTS(T, st.virtio.queues, vit_virtqueue_rows)

/* ---- Queue elements -------------------------------------------------------------------------- */

/* One chain of guest buffers, mapped; out is what the device reads, in what it writes.  The memory
 * behind it may be changed by the guest at any time: copy before checking. */
typedef struct {
    VitVirtio    *virtio;
    unsigned      queue;
    unsigned      n_out, n_in;
    struct iovec *out, *in;         /* the device may change these; unmapping uses a copy */
    size_t        out_size, in_size;
    size_t        written;          /* to in, when it is given back */
    uint16_t      head;             /* of the chain; packed: the buffer's id */
    uint16_t      slots;            /* of the ring that it takes; split: 1 */
    unsigned      life;             /* of the rings: an element from before a reset is not pushed */
    struct iovec *map;              /* as mapped, n_out + n_in entries */
    unsigned      n_map, n_map_out;
} VitVirtqElement;

/* The next chain, or NULL when there is none or the queue is not live. */
[[nodiscard]] VitVirtqElement *vit_virtq_pop(VitVirtio *v, unsigned queue);
/* Hands an element back with what was written to it and frees it. */
void vit_virtq_push(VitVirtqElement *element, size_t written);
/* The same, and interrupts the driver if it asked for it: for elements that outlive their handler,
 * since the device may be gone once its last element is back.  Those of one burst of the device's
 * thread go back together at its end; those of a queue with a thread of its own go back there. */
void vit_virtq_complete(VitVirtqElement *element, size_t written);
/* Several elements of one queue become used at once. */
void vit_virtq_push_many(VitVirtqElement *const *elements, const size_t *written, unsigned n);
/* Gives the newest elements back as if they had not been taken: newest first. */
void vit_virtq_unpop(VitVirtqElement *element);
bool vit_virtq_has_buffers(VitVirtio *v, unsigned queue);
/* Interrupts the driver if it asked for it. */
void vit_virtq_notify(VitVirtio *v, unsigned queue);

/* Copies within bounds; returns the bytes copied. */
size_t vit_iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t size);
size_t vit_iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf,
                     size_t size);
/* Drops size bytes from the front (or the back) of a list, in place. */
void vit_iov_drop_front(struct iovec **iov, unsigned *n, size_t size);
void vit_iov_drop_back(struct iovec *iov, unsigned *n, size_t size);

/* ---- Devices --------------------------------------------------------------------------------- */

typedef struct {
    uint16_t id;                    /* device type, chapter 5 */
    uint16_t pci_class;             /* base class and subclass when shown on PCI */
    uint64_t (*features)(VitVirtio *v);         /* beside those of the rings */
    void (*read_config)(VitVirtio *v, uint8_t *config);     /* fills v->config_size bytes */
    void (*write_config)(VitVirtio *v, unsigned offset, unsigned size, uint32_t value);
    /* False: chains of the queue are not taken by the core but by the device with vit_virtq_pop();
     * NULL = all are taken.  Asked again at each kick. */
    bool (*takes)(VitVirtio *v, unsigned queue);
    /* One chain of a queue that is taken; the device pushes it, now or later. */
    void (*element)(VitVirtio *v, unsigned queue, VitVirtqElement *element);
    /* Around several calls of element(): what they start may start together; may be NULL. */
    void (*batch)(VitVirtio *v, bool begin);
    /* A kick of a queue that is not taken; may be NULL. */
    void (*kicked)(VitVirtio *v, unsigned queue);
    void (*status)(VitVirtio *v, uint8_t status); /* driver changed it; machine lock; may be NULL */
    /* Back to the state after power-on, no handler running, no element outstanding; any thread.
     * Must not call back into the queues.  May be NULL. */
    void (*reset)(VitVirtio *v);
    /* Between true and false somebody waits for the end of what is under way: nothing should hold
     * it up.  Any thread, queue lock held; waits for nothing.  May be NULL. */
    void (*hurry)(VitVirtio *v, bool on);
} VitVirtioClass;

typedef struct {                    /* what a transport gives */
    void (*notify_queue)(void *opaque, unsigned queue);     /* any thread; does not wait */
    void (*notify_config)(void *opaque);                    /* machine lock */
    bool (*dma_enabled)(void *opaque);                      /* any thread; NULL = always */
} VitVirtioTransport;

struct VitVirtio {
    VitDevice                 parent;       /* first member */
    const VitVirtioClass     *virtio_class;
    VitVirtioState *state; /* inside the instance's st; guarded by the queue lock */
    VitIoThread *thread; /* borrowed; NULL = machine thread with the machine lock */
    unsigned                  n_queues;
    uint16_t                  queue_size[VIT_VIRTIO_QUEUES];
    uint32_t                  config_size;
    uint64_t                  ring_add;     /* ring features beyond the usual ones; before init */
    uint64_t                  ring_hide;    /* and those not to be offered */
    uint64_t                  offered;      /* feature bits, fixed at init */
    VitVirtioRings           *rings;        /* owned */
    const VitVirtioTransport *transport;    /* borrowed */
    void                     *transport_opaque;
};

/* From the device's init hook, after n_queues, queue_size, config_size and thread are set. */
void vit_virtio_init(VitVirtio *v, const VitVirtioClass *virtio_class, VitVirtioState *state);
/* The hooks of every virtio device's VitDeviceClass, to name there or to call from its own. */
void vit_virtio_finish(VitDevice *d);
void vit_virtio_reset(VitDevice *d);
void vit_virtio_loaded(VitDevice *d);
bool vit_virtio_validate(VitDevice *d, const void *st, GError **error);
void vit_virtio_quiesce(VitDevice *d, bool on);
#define VIT_VIRTIO_HOOKS                                                                           \
    .reset = vit_virtio_reset, .loaded = vit_virtio_loaded, .validate = vit_virtio_validate,       \
    .quiesce = vit_virtio_quiesce

/* The driver accepted this feature. */
bool vit_virtio_has(VitVirtio *v, uint64_t feature);
bool vit_virtio_driver_ok(VitVirtio *v);
/* Brackets for work on another occasion than a kick (a packet came in): enter() is false while the
 * device is not live; between them no reset, save or load happens. */
bool vit_virtio_enter(VitVirtio *v);
void vit_virtio_leave(VitVirtio *v);
/* The configuration changed: new generation and an interrupt.  Any thread. */
void vit_virtio_config_changed(VitVirtio *v);
/* The driver broke a rule that leaves no way on: DEVICE_NEEDS_RESET.  Any thread. */
void vit_virtio_broken(VitVirtio *v, const char *why);
/* The queues are handled on another iothread from now on: called there, or while the device rests,
 * when the old one does no work for them. */
void vit_virtio_set_thread(VitVirtio *v, VitIoThread *thread);
/* The ring is worked on by a thread of its own: chains are taken and given back there, and handled
 * on the device's thread.  From the device's init hook, after vit_virtio_init(); borrowed. */
void vit_virtio_set_queue_thread(VitVirtio *v, unsigned queue, VitIoThread *thread);
/* Runs the queue's handler on its thread; coalesced.  Any thread. */
void vit_virtio_kick(VitVirtio *v, unsigned queue);

/* ---- For transports (machine lock held) ------------------------------------------------------ */

void vit_virtio_attach(VitVirtio *v, const VitVirtioTransport *transport, void *opaque);
uint8_t vit_virtio_status(VitVirtio *v);
void vit_virtio_set_status(VitVirtio *v,
                           uint8_t status); /* 0 starts a reset; poll status for its end */
uint64_t vit_virtio_features(VitVirtio *v);
uint64_t vit_virtio_driver_features(VitVirtio *v);
void vit_virtio_set_driver_features(VitVirtio *v, uint64_t features);
uint8_t vit_virtio_generation(VitVirtio *v);
uint32_t vit_virtio_read_config(VitVirtio *v, unsigned offset, unsigned size);
void vit_virtio_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value);
VitVirtqueueState vit_virtio_queue(VitVirtio *v, unsigned queue);   /* a copy */
/* Takes desc, avail, used and size while the queue is not enabled. */
void vit_virtio_set_queue(VitVirtio *v, unsigned queue, const VitVirtqueueState *state);
void vit_virtio_enable_queue(VitVirtio *v, unsigned queue);
