/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/client-private.h - the node of an NBD export: between client.c (node, connection) and
 * client-io.c (requests and replies) */
#pragma once
#include "block/driver.h"
#include "block/nbd/client.h"
#include "block/nbd/protocol.h"

typedef struct VitNbdCall VitNbdCall;

enum { VIT_NBD_MAX_STATUS = 1 << 20 }; /* bytes of an answer about a stretch */

typedef struct {
    VitBlockNode parent;
    VitNbdAddress address;
    char *export, *context, *tls_hostname; /* owned; tls_hostname may be NULL */
    VitBlockObject *tls; /* a use; NULL: in the clear */
    uint64_t reconnect_delay, open_timeout; /* seconds */
    VitNbdPeer peer;
    VitNbdChannel *channel; /* owned; NULL: not connected */
    bool closing; /* the node is about to go */
    bool moving; /* it changes its thread: the fiber of the connection ends, the connection not */
    bool ended; /* the fiber of the connection has */
    bool patient; /* requests may wait for the connection to come back */
    VitFiberCond changed;
    GHashTable *calls; /* of VitNbdCall* by cookie: sent, or waiting for a connection */
    uint64_t next_cookie;
} VitNbdClient;

struct VitNbdCall { /* a request, from its submission to its end */
    VitNbdMessage message;
    VitNbdClient *client; /* borrowed */
    uint64_t cookie;
    uint16_t type, flags;
    uint64_t offset, bytes;
    const struct iovec *iov; /* borrowed; READ, WRITE */
    int niov;
    uint64_t received; /* bytes of a READ */
    uint64_t extent_bytes, extent_flags; /* BLOCK_STATUS: the first extent; 0: none yet */
    int error; /* -errno that the server has told */
    bool sending; /* the message is with the channel */
    bool replied; /* the answer is complete */
    bool then_flush; /* the server has no FUA */
    void (*done)(VitNbdCall *call, int result); /* frees the call */
    void *opaque;
};

/* client-io.c */
VitNbdCall *vit_nbd_call_new(VitNbdClient *client, uint16_t type, uint64_t offset, uint64_t bytes);
void vit_nbd_call_start(VitNbdCall *call); /* on the thread; done() later */
/* Reads replies until the connection breaks; -errno. */
int vit_co_nbd_client_receive(VitNbdClient *client);
/* After the connection has broken: what is under way is ready to be sent once more, or ends. */
void vit_nbd_client_resend(VitNbdClient *client);
void vit_nbd_client_fail(VitNbdClient *client, int error);
