/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/machine/config.h - what a machine is to be: filled from the command line, or from the JSON
 * description that the application keeps
 *
 * Strings are owned.  A config is plain data: nothing is opened or allocated until a machine is
 * built. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { VIT_DRIVE_IDE, VIT_DRIVE_VIRTIO, VIT_DRIVE_NONE } VitDriveInterface;

typedef struct {
    char *id;                   /* NULL: made from interface and index ("ide0-cd1") */
    char *file;                 /* NULL: empty CD drive */
    char *format;               /* "raw"; NULL = probe */
    VitDriveInterface interface;
    bool  cdrom, read_only, snapshot;
    bool  auto_read_only;       /* falls back to reading when the image cannot be written */
    bool  direct, no_flush, discard;
    bool  write_through;        /* a write is stable when it ends */
    bool  copy_on_read;
    int   index;                /* -1: next free */
    int   bus, unit;            /* in place of index; -1: not given */
    char *serial;               /* of the guest's disk; NULL: its default */
    char *aio;                  /* "threads", "native", "io_uring"; NULL: io_uring where it works */
    char *detect_zeroes;        /* "off", "on", "unmap"; NULL = "off" */
    char *werror, *rerror;      /* "report", "ignore", "stop", werror "enospc"; NULL = "auto" */
    char *throttle;             /* "iops-total=100,bps-read-max=..."; NULL: no limits */
    char *throttle_group;       /* whose limits they are; NULL: the drive's own */
    char *options;              /* more of the image: "lazy-refcounts=on,..."; NULL: none */
} VitDriveConfig;

typedef struct {
    char    *name;              /* shown to people; NULL = "Vitrine" */
    char    *machine;           /* "q35" or "pc" */
    char    *accel;             /* "jit", "interp", "kvm", or with options "jit,chain=off" */
    char    *cpu;               /* "max,-sse4.2"; NULL = the default model */
    uint64_t ram_size;          /* bytes */
    unsigned n_cpus;
    char    *kernel, *initrd, *cmdline, *bios;
    char    *boot_order;        /* "cdn"; NULL = default */
    bool     boot_menu;
    GPtrArray *objects;         /* of char*: -object values */
    GPtrArray *drives;          /* of VitDriveConfig* */
    GPtrArray *blockdevs;       /* of char*: -blockdev values */
    GPtrArray *netdevs;         /* of char*: -netdev values */
    GPtrArray *devices;         /* of char*: -device values */
    GPtrArray *chardevs;        /* of char*: -chardev values "backend,id=..." */
    GPtrArray *serials;         /* of char*: -serial values; at most 4 */
    char    *debugcon;          /* -debugcon value or NULL */
    char    *vga;               /* "std", "virtio", "none"; NULL = "std" */
    bool     input_defaults;    /* add virtio keyboard and tablet */
    bool     rtc_localtime;
    int64_t  rtc_base;          /* seconds since 1970; INT64_MIN = host time */
    char    *uuid;              /* text, or NULL */
    bool     no_reboot;         /* a reset ends the machine */
    bool     start_paused;      /* -S */
    char   **firmware_dirs;     /* -L, NULL-terminated, before the built-in list; or NULL */
} VitMachineConfig;

/* defaults: q35, jit, 1 CPU, 512 MiB */
[[nodiscard]] VitMachineConfig *vit_machine_config_new(void);
void vit_machine_config_free(VitMachineConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitMachineConfig, vit_machine_config_free)
[[nodiscard]] VitMachineConfig *vit_machine_config_copy(const VitMachineConfig *config);
[[nodiscard]] VitDriveConfig *vit_drive_config_new(const char *file);
void vit_drive_config_free(VitDriveConfig *drive);

/* The JSON description ("schema": 1); unknown members are refused by name. */
char *vit_machine_config_to_json(const VitMachineConfig *config);
[[nodiscard]] VitMachineConfig *vit_machine_config_from_json(const char *text, gssize length,
                                                             GError **error);
/* Checks values that need no host resources (names, ranges, combinations). */
[[nodiscard]] bool vit_machine_config_validate(const VitMachineConfig *config, GError **error);
