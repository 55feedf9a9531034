/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/export.h - nodes offered to others: NBD, FUSE, vhost-user-blk, and the NBD server they
 * share
 *
 * One VitBlockExports holds the exports of a graph.  Those of NBD work on its thread, over a bridge
 * where the node is on another; the others work where their node is.  All functions but
 * those named co_ may be called from any thread but the graph's own (and from a fiber of it);
 * callbacks come on the graph's thread.  Names of options, errors and events are those of
 * "block-export-add", "block-export-del", "query-block-exports", "nbd-server-start" and
 * BLOCK_EXPORT_DELETED. */
#pragma once
#include "block/exports/memory-guard.h"
#include "block/graph.h"

typedef struct VitBlockExports VitBlockExports;
typedef struct VitBlockExport VitBlockExport;
typedef struct VitNbdServer VitNbdServer;

typedef struct {
    const char *type; /* "nbd" */
    size_t instance_size; /* of a struct that begins with VitBlockExport */
    /* On a fiber of the thread of `node`, like co_stop, with the common part filled in; takes its
     * own options from args. A failed start leaves nothing behind. */
    bool (*co_start)(VitBlockExport *export, VitBlockArgs *args, GError **error);
    /* Lets go of clients and waits until no request is in flight.  On a fiber, once. */
    void (*co_stop)(VitBlockExport *export);
    /* How many use it just now; NULL: cannot be told, a safe removal goes ahead. */
    unsigned (*clients)(VitBlockExport *export);
} VitBlockExportClass;

struct VitBlockExport { /* first member of each kind's instance */
    const VitBlockExportClass *klass;
    VitBlockExports *exports; /* borrowed */
    char *id, *node_name; /* owned */
    VitBlockNode *node; /* a root, or a bridge to one (vit_block_far()), owned; for requests */
    VitBlockClaim *claim; /* owned */
    VitBlockObject *iothread; /* a use: of "iothread"; NULL: none was given */
    bool writable, writethrough;
    bool started, shutting_down;
};

/* graph: borrowed; its objects are where "tls-creds" are found. */
[[nodiscard]] VitBlockExports *vit_block_exports_new(VitBlockGraph *graph);
/* Names of the types of exports; the caller frees. */
char **vit_block_export_types(void);
void vit_block_exports_free(VitBlockExports *exports); /* removes all of them; NULL is fine */
VitBlockGraph *vit_block_exports_graph(const VitBlockExports *exports);
/* guard: const; NULL, as at first: exports take no memory that its owner could take away.  Before
 * the first export. */
void vit_block_exports_set_memory_guard(VitBlockExports *exports, const VitMemoryGuard *guard);
const VitMemoryGuard *vit_block_exports_memory_guard(const VitBlockExports *exports);

/* Options "type", "id", "node-name", "writable", "writethrough", "iothread", "fixed-iothread" and
 * those of the type; all are taken. */
[[nodiscard]] bool vit_block_exports_add(VitBlockExports *exports, VitBlockArgs *args,
                                         GError **error);
/* hard: clients are dropped; else one that is in use is refused.  Returns when it is gone. */
[[nodiscard]] bool vit_block_exports_remove(VitBlockExports *exports, const char *id, bool hard,
                                            GError **error);
/* As "query-block-exports" says: id, type, node-name, shutting-down.  Owned by the caller. */
JsonArray *vit_block_exports_list(VitBlockExports *exports);
typedef void (*VitBlockExportFunc)(void *opaque, const char *id);
void vit_block_exports_on_deleted(VitBlockExports *exports, VitBlockExportFunc fn, void *opaque);

/* ---- the NBD server of these exports: one at a time ------------------------------------------ */

/* Options "addr" (type inet, unix, fd; host, port, path, str), "tls-creds", "tls-authz",
 * "max-connections", "handshake-max-seconds". */
[[nodiscard]] bool vit_block_exports_nbd_start(VitBlockExports *exports, VitBlockArgs *args,
                                               GError **error);
/* Drops its clients and removes the exports of type nbd. */
[[nodiscard]] bool vit_block_exports_nbd_stop(VitBlockExports *exports, GError **error);
/* The running one; NULL: none.  See block/nbd/server.h. */
VitNbdServer *vit_block_exports_nbd(VitBlockExports *exports);

/* The kinds: block/exports/. */
extern const VitBlockExportClass vit_fuse_export_class; /* where the build has libfuse3 */
extern const VitBlockExportClass vit_nbd_export_class;
extern const VitBlockExportClass vit_vhost_user_blk_export_class;
