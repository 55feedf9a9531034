/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vring.h - the device's side of a split virtqueue in memory that another process
 * shares (OASIS virtio 1.2, section 2.7)
 *
 * Nothing in that memory is trusted: each descriptor is copied before it is checked, chains and
 * sizes are bounded, and a ring that breaks a rule is broken for good. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { VIT_VRING_MAX_NUM = 1024, VIT_VRING_MAX_IOV = 1024, VIT_VRING_MAX_REGIONS = 64 };

typedef struct { /* a piece of the driver's memory */
    uint64_t guest, user; /* addresses as descriptors, and as messages name it */
    uint64_t size;
    uint8_t *here; /* owned by whoever has mapped it */
} VitVringRegion;

typedef struct {
    VitVringRegion region[VIT_VRING_MAX_REGIONS];
    unsigned count;
} VitVringMemory;

/* Where [address, address + size) lies here, all in one region; NULL: nowhere. */
void *vit_vring_guest(const VitVringMemory *memory, uint64_t address, uint64_t size);
void *vit_vring_user(const VitVringMemory *memory, uint64_t address, uint64_t size);

typedef struct {
    uint8_t *desc, *avail, *used; /* borrowed; NULL: not set up */
    unsigned num; /* entries: a power of two */
    uint16_t last_avail, used_index, signalled;
    bool signalled_valid, event_index, broken;
} VitVring;

typedef struct { /* a chain of descriptors */
    uint16_t head;
    int n_out, n_in; /* entries of out: read by the device; in: written */
    struct iovec out[VIT_VRING_MAX_IOV], in[VIT_VRING_MAX_IOV];
} VitVringElement;

/* Points the ring at its parts by user addresses; false: they are not in memory or badly placed. */
[[nodiscard]] bool vit_vring_place(VitVring *ring, const VitVringMemory *memory, uint64_t desc,
                                   uint64_t avail, uint64_t used);
/* The next chain; false: there is none, or the ring is broken. */
[[nodiscard]] bool vit_vring_pop(VitVring *ring, const VitVringMemory *memory,
                                 VitVringElement *element);
void vit_vring_push(VitVring *ring, uint16_t head, uint32_t written);
bool vit_vring_wants_call(VitVring *ring); /* of what has been pushed since the last time */
/* Whether the driver is to kick.  on: false when something has come meanwhile. */
bool vit_vring_ask_kicks(VitVring *ring, bool on);
