/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/machine.h - one machine: built from a config, then run, paused, reset, stopped
 *
 * Plain C; the session API (engine/vitrine.h) and vitrine-run stand on it.  Functions that wait for
 * vCPUs are called from a control thread that holds no machine lock and is no vCPU: the application
 * runs them off its main thread. */
#pragma once
#include "block/service.h"
#include "display/input.h"
#include "display/scanout.h"
#include "engine/core/char.h"
#include "engine/cpu/accel.h"
#include "engine/machine/config.h"

typedef struct VitEngine VitEngine;

typedef enum {
    VIT_ENGINE_PAUSED,          /* built, or paused by somebody */
    VIT_ENGINE_RUNNING,
    VIT_ENGINE_STOPPED,         /* guest powered off, reset with no_reboot, or debug exit */
    VIT_ENGINE_FAILED,          /* host failure: paused, see reason */
} VitEngineState;

typedef struct { /* a request of a disk that failed; strings are borrowed */
    const char *drive; /* id of the -drive, "" for a node of -blockdev */
    const char *node; /* node-name */
    const char *user; /* QOM path of the device, or NULL */
    bool read;
    VitBlockOnError action; /* REPORT, IGNORE or STOP */
    int error; /* positive errno */
} VitDiskFailure;

/* Any thread, no lock held; must not block nor call back into functions that wait. */
typedef struct {
    void (*state_changed)(void *opaque, VitEngineState state, const char *reason);
    void (*guest_reset)(void *opaque, const char *reason);
    void (*disk_failed)(void *opaque, const VitDiskFailure *failure);
} VitEngineListener;

/* Builds everything or nothing: on failure names the option and the remedy and leaves nothing
 * behind. */
[[nodiscard]] VitEngine *vit_engine_new(const VitMachineConfig *config, GError **error);
void vit_engine_free(VitEngine *engine);    /* stops it first; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitEngine, vit_engine_free)

/* At most VIT_ENGINE_LISTENERS at a time.  After the removal returns the listener is not called. */
enum { VIT_ENGINE_LISTENERS = 4 };
void vit_engine_add_listener(VitEngine *engine, const VitEngineListener *listener, void *opaque);
void vit_engine_remove_listener(VitEngine *engine, const VitEngineListener *listener, void *opaque);
void vit_engine_run(VitEngine *engine);   /* no-op when running; restarts nothing that is STOPPED */
void vit_engine_pause(VitEngine *engine);   /* returns when no guest code runs */
void vit_engine_reset(VitEngine *engine);   /* keeps running or paused */
void vit_engine_power_button(VitEngine *engine);    /* ACPI; the guest decides */
VitEngineState vit_engine_state(VitEngine *engine);
int vit_engine_exit_code(VitEngine *engine);        /* of isa-debug-exit; else 0 */
/* what made it STOPPED: RESET, SHUTDOWN or EXIT */
VitRequest vit_engine_stop_cause(VitEngine *engine);

VitSystem *vit_engine_system(VitEngine *engine);
VitInputHub *vit_engine_input(VitEngine *engine);
unsigned vit_engine_n_scanouts(VitEngine *engine);
VitScanout *vit_engine_scanout(VitEngine *engine, unsigned n);      /* borrowed */
VitChar *vit_engine_chardev(VitEngine *engine, const char *id);     /* "serial0", ...; NULL */
/* id -> VitBlockNode*; fixed once built; borrowed */
GHashTable *vit_engine_drives(VitEngine *engine);
/* The graph below the drives' roots, its jobs and exports; borrowed. */
const VitBlockService *vit_engine_block(VitEngine *engine);
unsigned vit_engine_n_cpus(VitEngine *engine);
VitCpu *vit_engine_cpu(VitEngine *engine, unsigned n);
const char *vit_engine_accel_name(VitEngine *engine);
const VitMachineConfig *vit_engine_config(VitEngine *engine);
