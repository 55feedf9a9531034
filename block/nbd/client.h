/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/client.h - the client's side of the handshake, for the driver and for lists of exports
 */
#pragma once
#include "block/nbd/address.h"
#include "block/nbd/channel.h"
#include "block/objects.h"

typedef struct { /* what a server has said of an export */
    char *name, *description; /* owned; description may be NULL */
    uint64_t size; /* bytes */
    uint16_t flags; /* VIT_NBD_HAS_FLAGS ... */
    uint32_t min_block, preferred_block, max_payload; /* bytes; 0: not said */
    bool structured, extended;
    bool has_context; /* the context asked for has been agreed on */
    uint32_t context_id;
    GPtrArray *contexts; /* of owned char*: all that it offers; NULL: not asked */
} VitNbdPeer;

void vit_nbd_peer_clear(VitNbdPeer *peer);
void vit_nbd_peer_free(VitNbdPeer *peer);

typedef struct {
    const VitNbdAddress *address; /* borrowed, like the rest */
    VitBlockObject *tls; /* NULL: in the clear */
    const char *tls_hostname;
    VitIoThread *thread;
} VitNbdClientOptions;

/* All on a fiber of the thread.  Connects, greets and, with credentials, goes over to TLS. A server
 * that keeps silent is given up after a while.  fixed: knows options besides the export's name. */
[[nodiscard]] VitNbdChannel *vit_co_nbd_client_connect(const VitNbdClientOptions *options,
                                                       bool *fixed, bool *no_zeroes,
                                                       GError **error);
/* Chooses an export and enters transmission; context: "base:allocation" or another one. */
[[nodiscard]] bool vit_co_nbd_client_go(VitNbdChannel *channel, bool fixed, bool no_zeroes,
                                        const char *export, const char *context, VitNbdPeer *peer,
                                        GError **error);
/* All exports with what can be learned of them (of VitNbdPeer*); says good-bye. */
[[nodiscard]] GPtrArray *vit_co_nbd_client_list(VitNbdChannel *channel, GError **error);
