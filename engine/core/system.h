/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/system.h - what every device of one machine shares
 *
 * Lock: `lock` is the machine lock.  Register accesses, interrupt lines, timers, reset, save and
 * load of all devices run under it; data paths (virtqueues, block and net I/O) do not (see
 * lock-order.md).  It is recursive, since a register write may reach another device through a
 * wire. */
#pragma once
#include "engine/core/clock.h"
#include "engine/core/memory.h"

typedef struct VitDevice VitDevice;
typedef struct VitSystem VitSystem;

typedef enum {
    VIT_REQUEST_RESET = 1,      /* guest asked for a reset (or triple fault) */
    VIT_REQUEST_SHUTDOWN = 2,   /* guest powered off */
    VIT_REQUEST_PAUSE = 4,      /* host failure: see `reason` */
    VIT_REQUEST_EXIT = 8,       /* debug exit with exit_code */
} VitRequest;

struct VitSystem {
    GRecMutex        lock;
    VitIoThread     *thread;        /* owned: the machine thread */
    VitClock        *clock;         /* owned */
    VitRegion       *memory_root;   /* owned: guest-physical memory, 2^52 bytes */
    VitRegion       *io_root;       /* owned: x86 port space, 64 KiB (empty on other machines) */
    VitAddressSpace *memory;        /* owned */
    VitAddressSpace *io;            /* owned */
    GPtrArray       *devices;       /* of VitDevice*, in creation order; owned by this list */
    GPtrArray       *chars;         /* of VitChar*, owned by this list; freed after the devices */
    /* Guest-initiated lifecycle requests; called on any thread, must not block. */
    void (*request)(VitSystem *sys, VitRequest request, int exit_code, const char *reason);
    void *request_opaque;
};

[[nodiscard]] VitSystem *vit_system_new(void);
void vit_system_free(VitSystem *sys);       /* finishes devices in reverse order of creation */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitSystem, vit_system_free)

static inline void vit_system_lock(VitSystem *sys) { g_rec_mutex_lock(&sys->lock); }
static inline void vit_system_unlock(VitSystem *sys) { g_rec_mutex_unlock(&sys->lock); }
void vit_system_request(VitSystem *sys, VitRequest request, int exit_code, const char *reason);

/* An address space whose MMIO callbacks run under the machine lock (a bus master's view, say). */
[[nodiscard]] VitAddressSpace *vit_system_as_new(VitSystem *sys, const char *name,
                                                 VitRegion *root);

/* true: waits until no data path touches device state and keeps it so until the matching false
 * (nests).  Reset, save and load do this themselves; a snapshot also wants RAM to stand still. */
void vit_system_quiesce(VitSystem *sys, bool on);
/* Two phases over all devices in creation order: tables and reset hooks, then update(). */
void vit_system_reset(VitSystem *sys);
/* All devices' states, as one versioned, sized and checksummed section each. Machine stopped. */
[[nodiscard]] bool vit_system_save(VitSystem *sys, GByteArray *out, GError **error);
/* Parses and validates every section before the first device changes. */
[[nodiscard]] bool vit_system_load(VitSystem *sys, const uint8_t *data, size_t size,
                                   GError **error);
VitDevice *vit_system_find_device(VitSystem *sys, const char *id);
