/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/engine-private.h - the parts of a running machine, shared by engine/machine/ */
#pragma once
#include "engine/core/options.h"
#include "block/service.h"
#include "engine/machine/machine.h"
#include "hw/board/board.h"
#include "hw/device-context.h"

struct VitEngine {
    VitMachineConfig *config;       /* owned copy */
    VitSystem        *sys;          /* owned */
    VitInputHub      *input;        /* owned */
    VitIoThread      *block_thread; /* owned: disks */
    VitIoThread      *net_thread;   /* owned: network */
    VitBlockService  *block;        /* owned: the graph of the disks, jobs, exports */
    GHashTable       *drives;       /* id -> VitBlockNode*, owned: roots that devices hold */
    GHashTable       *netdevs;      /* id -> VitNetdev*, owned */
    GHashTable       *chardevs;     /* id -> VitChar*, owned */
    GPtrArray        *scanouts;     /* VitScanout*, owned by their devices */
    VitBoard         *board;        /* owned */
    VitAccel         *accel;        /* owned */
    GPtrArray        *cpus;         /* VitCpu*, owned */
    VitDeviceContext  context;
    unsigned          next_drive[3];/* next free index of each interface */
    GPtrArray        *boot;         /* owned: bootindex and device path of each that has one */
    unsigned          next_anonymous;   /* number of the next device without an id */

    GMutex            control;   /* one lifecycle change at a time; outermost, no other lock held */
    VitEngineState    state;        /* guarded by control */
    bool              reset_once;   /* guarded by control: devices have been reset */
    int               exit_code;
    unsigned          requests;     /* atomic VitRequest bits not yet handled */
    char             *request_reason;   /* guarded by request_lock, owned */
    GQueue            failures; /* of VitDiskFailure* not yet told; guarded by request_lock */
    GMutex            request_lock;     /* leaf */
    unsigned          stop_cause;   /* atomic VitRequest */
    struct { const VitEngineListener *ops; void *opaque; } listeners[VIT_ENGINE_LISTENERS];
                                    /* ops NULL: free; guarded by control */
};

/* build.c: all of it, or false with everything freed by vit_engine_free(). */
[[nodiscard]] bool engine_build(VitEngine *e, GError **error);
/* drives.c */
[[nodiscard]] bool engine_open_drives(VitEngine *e, GError **error);
[[nodiscard]] bool engine_attach_drives(VitEngine *e, GError **error);
/* A -device value may name a node of -blockdev: it becomes a drive, with a root of its own. */
void engine_use_node(VitEngine *e, const char *name);
/* engine.c, any thread: tells listeners; takes the failure.  reason: why the machine must pause,
 * NULL: it need not. */
void engine_disk_failed(VitEngine *e, VitDiskFailure *failure, const char *reason);
void engine_failure_free(VitDiskFailure *failure);
/* Nothing is heard of failures any more. */
void engine_leave_drives(VitEngine *e);
/* Tries requests again that failed and were held (true), or lets them fail from now on. */
void engine_retry_drives(VitEngine *e, bool retry);
/* devices.c: a -device value: PCI devices by name, else those of the ISA bus and the disk
 * controllers. */
[[nodiscard]] bool engine_create_device(VitEngine *e, const char *spec, GError **error);
/* boot-order.c: takes a device's bootindex from its -device value; then tells the firmware. */
GPtrArray *engine_boot_new(void);
[[nodiscard]] bool engine_note_boot(VitEngine *e, VitOptions *options, VitDevice *d,
                                    GError **error);
void engine_set_boot_order(VitEngine *e);
/* x86-glue.c: vCPUs, each with the local APIC of its number; registers of a direct boot. */
void engine_connect_cpu(VitEngine *e, unsigned n);
void engine_reset_cpus(VitEngine *e);       /* vCPUs parked, machine lock held */
[[nodiscard]] VitCpu *engine_new_cpu(VitEngine *e, unsigned n, GError **error);
