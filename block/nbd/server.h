/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/nbd/server.h - the NBD server: listens, shakes hands, answers requests for its exports
 *
 * Everything runs on one iothread, which is that of the exports' nodes.  A client can cost at most
 * VIT_NBD_MAX_REQUESTS requests and VIT_NBD_MAX_MEMORY bytes of buffers at a time, and has a
 * limited time to shake hands; what it sends wrongly ends its connection or its request, nothing
 * else. */
#pragma once
#include "block/bitmap.h"
#include "block/export.h"
#include "block/nbd/address.h"
#include "engine/core/fiber.h"

enum {
    VIT_NBD_MAX_REQUESTS = 128,
    VIT_NBD_MAX_MEMORY = 64 << 20,
    VIT_NBD_MAX_OPTIONS = 4096, /* per handshake */
    VIT_NBD_MAX_OPTION_SIZE = 64 << 10,
};

typedef struct { /* one thing that can be exported under a name */
    VitBlockExport parent;
    char *name, *description; /* owned; description may be NULL */
    bool allocation_depth;
    uint32_t min_block; /* bytes, as clients that ask for it are told */
    GPtrArray *bitmaps; /* of VitBlockBitmap*, borrowed, kept busy */
    GPtrArray *bitmap_names; /* of owned char* */
    GPtrArray *holders; /* of VitBlockNode*: references that keep the bitmaps */
    GQueue connections; /* of the server's, in transmission */
    VitFiberCond gone; /* a connection has left */
} VitNbdExport;

typedef struct {
    const VitNbdAddress *address; /* borrowed while it starts */
    const char *tls_creds; /* the name of an object, borrowed; NULL: no TLS */
    unsigned max_connections; /* 0: as many as come */
    unsigned handshake_seconds; /* 0: no limit */
} VitNbdServerOptions;

/* On a fiber of the thread.  objects: borrowed, NULL: none. */
[[nodiscard]] VitNbdServer *vit_co_nbd_server_start(VitIoThread *thread, VitBlockObjects *objects,
                                                    const VitNbdServerOptions *options,
                                                    GError **error);
void vit_co_nbd_server_stop(VitNbdServer *server); /* drops the clients; no export is left */
/* Told when a client has left; negotiated: it had chosen an export.  On the thread. */
void vit_nbd_server_on_closed(VitNbdServer *server, void (*fn)(void *opaque, bool negotiated),
                              void *opaque);
unsigned vit_nbd_server_connections(const VitNbdServer *server);

/* On the thread. */
[[nodiscard]] bool vit_nbd_server_add(VitNbdServer *server, VitNbdExport *export, GError **error);
void vit_nbd_server_remove(VitNbdServer *server, VitNbdExport *export); /* no new clients */
void vit_co_nbd_export_drop(VitNbdExport *export); /* and those it has; waits for them */
