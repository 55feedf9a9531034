/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/connection.h - one client of the NBD server: between server.c, negotiate.c, transmit.c,
 * status.c */
#pragma once
#include "block/nbd/channel.h"
#include "block/nbd/protocol.h"
#include "block/nbd/server.h"

typedef struct VitNbdConnection VitNbdConnection;
typedef struct VitNbdJob VitNbdJob;

enum { VIT_NBD_CONTEXT_ALLOCATION, VIT_NBD_CONTEXT_DEPTH, VIT_NBD_CONTEXT_BITMAP };

struct VitNbdConnection {
    VitNbdServer *server; /* borrowed */
    VitNbdChannel *channel; /* owned */
    VitIoThread *thread; /* borrowed */
    GSource *limit; /* owned; of the handshake, NULL: over or none */

    /* what has been agreed */
    bool fixed, no_zeroes, structured, extended;
    VitNbdExport *export; /* borrowed while in its list; NULL: none yet */
    VitNbdExport *contexts_of; /* only compared: whose contexts were chosen */
    bool allocation, depth;
    GArray *bitmaps; /* of unsigned: indices of the export's */

    /* transmission */
    unsigned in_flight;
    uint64_t memory; /* bytes of buffers of requests in flight */
    VitFiberCond room;
    VitNbdJob *spare; /* owned, linked by next */
    unsigned spares;
    bool plugged;
};

/* server.c: the export that clients know by this name; borrowed, NULL: none. */
VitNbdExport *vit_nbd_server_find(VitNbdServer *server, const char *name);
GPtrArray *vit_nbd_server_exports(VitNbdServer *server); /* borrowed: of VitNbdExport* */
VitBlockObject *vit_nbd_server_tls(VitNbdServer *server); /* borrowed; NULL: no TLS */
bool vit_nbd_server_multi_conn(const VitNbdServer *server);

/* negotiate.c, on the connection's fiber: true when c->export has been chosen. */
bool vit_co_nbd_negotiate(VitNbdConnection *c);
/* transmit.c: until the client leaves; nothing is in flight afterwards. */
void vit_co_nbd_transmit(VitNbdConnection *c);

/* status.c, on a fiber: what the chosen contexts say of a stretch, as chunks of a reply; the last
 * one is marked as the last.  0 or an NBD error. */
uint32_t vit_co_nbd_status(VitNbdConnection *c, uint64_t cookie, uint64_t offset, uint64_t length,
                           bool one, const GArray *only /* of uint32_t ids; NULL: all */,
                           GByteArray *reply);
uint32_t vit_nbd_context_id(unsigned kind, unsigned index); /* as agreed with the client */
/* transmit.c: the header of a chunk in the form agreed on; returns its size. */
size_t vit_nbd_put_chunk(const VitNbdConnection *c, uint8_t *to, unsigned flags, unsigned type,
                         uint64_t cookie, uint64_t offset, uint64_t length);
