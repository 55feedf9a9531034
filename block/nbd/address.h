/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/address.h - where a server listens and a client connects: TCP, Unix sockets */
#pragma once
#include "block/args.h"

typedef struct {
    char *host, *port; /* owned; TCP when host is set */
    char *path; /* owned; a Unix socket when set */
    char *name; /* owned; of an inherited descriptor when set */
    bool ipv4, ipv6; /* both or neither: any */
} VitNbdAddress;

void vit_nbd_address_clear(VitNbdAddress *address);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VitNbdAddress, vit_nbd_address_clear)

/* Options "type" (inet, unix, fd), "host", "port", "path", "str", "ipv4", "ipv6"; also the older
 * form with the members under "data".  All are taken. */
[[nodiscard]] bool vit_nbd_address_take(VitBlockArgs *args, VitNbdAddress *address, GError **error);
char *vit_nbd_address_text(const VitNbdAddress *address); /* for messages */

/* A connected socket, or -1 with error.  Blocks: on a worker thread. */
[[nodiscard]] int vit_nbd_address_connect(const VitNbdAddress *address, GError **error);
/* Listening sockets, non-blocking (TCP: one for each address of the host).  A Unix socket that was
 * there before is replaced.  Blocks. */
[[nodiscard]] bool vit_nbd_address_listen(const VitNbdAddress *address, GArray *fds /* of int */,
                                          GError **error);
/* Options that make a connected socket quick. */
void vit_nbd_address_tune(int fd);
