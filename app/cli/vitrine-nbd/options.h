/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-nbd/options.h - the command line of vitrine-nbd, which is that of qemu-nbd */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    /* where */
    char *bind, *port, *socket; /* owned */
    bool socket_activated;
    /* what; owned, NULL: not given */
    char *file, *format, *export_name, *description, *snapshot, *aio, *detect_zeroes;
    char *tls_creds, *tls_hostname, *tls_authz, *pid_file, *device, *disconnect;
    GPtrArray *objects, *bitmaps; /* of owned char* */
    uint64_t offset;
    unsigned shared; /* 0: any number */
    unsigned handshake_limit; /* seconds, 0: none */
    bool read_only, temporary, persistent, allocation_depth, image_opts, list, fork;
    bool writethrough;
    unsigned flags; /* VIT_OPEN_DIRECT, _NO_FLUSH, _DISCARD */
    int done; /* -1: go on; else the exit code of what has been shown */
} NbdOptions;

void nbd_options_clear(NbdOptions *options);
/* False: a message has been printed. */
bool nbd_options_parse(NbdOptions *options, int argc, char **argv);
