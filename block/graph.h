/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/graph.h - the named nodes of one machine or tool: opening by options, finding, changing
 *
 * A graph is used by one thread at a time for opening and changing (fibers of its nodes' thread, or
 * any other thread, which then waits); finding is safe from any thread. */
#pragma once
#include "block/args.h"
#include "block/node.h"
#include "block/objects.h"

/* thread: where nodes are opened; borrowed. */
[[nodiscard]] VitBlockGraph *vit_block_graph_new(VitIoThread *thread);
/* Drops the references that names hold.  Nodes that others hold live on without it. */
void vit_block_graph_free(VitBlockGraph *graph);
VitIoThread *vit_block_graph_thread(const VitBlockGraph *graph);
/* Where nodes are opened from now on, until it is told anew; NULL: the graph's own thread. */
void vit_block_graph_work_on(VitBlockGraph *graph, VitIoThread *thread);
VitIoThread *vit_block_graph_here(const VitBlockGraph *graph);
/* Secrets and the like that options name; borrowed, any thread.  NULL for a NULL graph. */
VIT_FOR_MODULES VitBlockObjects *vit_block_graph_objects(VitBlockGraph *graph);

/* By "blockdev-add" options; args: its context begins messages.  Returns a reference. */
[[nodiscard]] VitBlockNode *vit_block_graph_open(VitBlockGraph *graph, VitBlockArgs *args,
                                                 GError **error);

typedef enum {
    VIT_OPEN_READ_ONLY = 1 << 0,
    VIT_OPEN_NO_BACKING = 1 << 1,       /* the image alone */
    VIT_OPEN_DIRECT = 1 << 2,           /* cache=none, directsync */
    VIT_OPEN_NO_FLUSH = 1 << 3,         /* cache=unsafe */
    VIT_OPEN_FORCE_SHARE = 1 << 4,      /* -U: no image lock */
    VIT_OPEN_DISCARD = 1 << 5,
    VIT_OPEN_AUTO_READ_ONLY = 1 << 6,
    VIT_OPEN_NO_IO = 1 << 7, /* facts only: encrypted images open without their secret */
    VIT_OPEN_CHECK = 1 << 8, /* to be checked or repaired: corrupt and dirty images open */
    VIT_OPEN_PROTOCOL = 1 << 9, /* the protocol node alone */
    VIT_OPEN_SHARE = 1 << 10, /* of a raw image that is only read: others may write */
} VitBlockOpenFlags;

/* The same for tools: flags as below, and what has no driver is probed ("file.filename=disk.img").
 */
[[nodiscard]] VitBlockNode *vit_block_graph_open_with(VitBlockGraph *graph, VitBlockArgs *args,
                                                      unsigned flags, GError **error);
/* As tools name images: a path, "nbd://...", "json:{...}", "driver=qcow2,file.filename=..." never.
 * format NULL: probed.  extra: more options (borrowed), NULL: none.  Returns a reference. */
[[nodiscard]] VitBlockNode *vit_block_graph_open_image(VitBlockGraph *graph, const char *filename,
                                                       const char *format, JsonObject *extra,
                                                       unsigned flags, GError **error);
/* Gives the node a name that keeps it alive ("blockdev-add"), and takes it away again. */
[[nodiscard]] bool vit_block_graph_add(VitBlockGraph *graph, VitBlockNode *node, GError **error);
[[nodiscard]] bool vit_block_graph_remove(VitBlockGraph *graph, const char *name, GError **error);
VitBlockNode *vit_block_graph_find(VitBlockGraph *graph,
                                   const char *name); /* borrowed, NULL: none */
/* All nodes that are open, in order of opening: borrowed nodes in a new array. */
GPtrArray *vit_block_graph_nodes(VitBlockGraph *graph);

/* Creates an image: format and options as in "-f" and "-o".  size UINT64_MAX: the backing file's.
 */
[[nodiscard]] bool vit_block_graph_create(VitBlockGraph *graph, const char *filename,
                                          const char *format, uint64_t size,
                                          const char *backing_file, const char *backing_format,
                                          VitBlockArgs *options, GError **error);

/* All edges to `from` (but those of `to` and below) become edges to `to`.  Fiber; both drained. */
[[nodiscard]] bool vit_block_graph_replace(VitBlockGraph *graph, VitBlockNode *from,
                                           VitBlockNode *to, GError **error);
/* Puts a node in the place of what an edge had: drains both sides.  Fiber.  child NULL: drops the
 * edge. */
struct VitBlockEdge;
void vit_block_set_child(VitBlockEdge *edge, VitBlockNode *child);

/* Who uses a node and how.  A second writer is refused unless both share; the message names the
 * first. */
enum {
    VIT_CLAIM_READ = 1,
    VIT_CLAIM_WRITE = 2,
    VIT_CLAIM_SHARE_WRITE = 4,
    VIT_CLAIM_FOLLOWS = 8, /* goes along when the node changes its iothread; others hold it there */
};
typedef struct VitBlockClaim VitBlockClaim;
[[nodiscard]] VitBlockClaim *vit_block_claim(VitBlockNode *node, unsigned use, const char *who,
                                             GError **error);
void vit_block_claim_free(VitBlockClaim *claim);
/* Those who used one node use the other now: after vit_block_graph_replace(). */
void vit_block_claims_move(VitBlockNode *from, VitBlockNode *to);
/* A user of a node whose name in its claim begins so: borrowed; NULL: none. */
const char *vit_block_claimant(const VitBlockNode *node, const char *prefix);

/* What a device has of its drive: a claim on the node (that below, of a root), and to be told. */
typedef struct {
    void (*resized)(void *opaque); /* on the node's thread; vit_block_info() says the new size */
    /* The node has come to this iothread, where the call is made; it must not wait.  NULL: the
     * node stays where it is as long as it is used. */
    void (*moved)(void *opaque, VitIoThread *thread);
} VitBlockUser;
typedef struct VitBlockUse VitBlockUse;
/* What a device claims of a drive; share: "share-rw=on". */
static inline unsigned vit_block_device_claim(bool read_only, bool share)
{
    return VIT_CLAIM_READ | (read_only ? 0u : VIT_CLAIM_WRITE) |
           (share ? VIT_CLAIM_SHARE_WRITE : 0u);
}
/* node: borrowed, outlives the use; id: the device's; user: const.  Not on an iothread.  After
 * vit_block_use_end() nothing is told any more; NULL is fine there. */
[[nodiscard]] VitBlockUse *vit_block_use(VitBlockNode *node, unsigned claim, const char *id,
                                         const VitBlockUser *user, void *opaque, GError **error);
void vit_block_use_end(VitBlockUse *use);
/* Where a device works, "iothread=ID": holds the object; nodes that it brings there are brought
 * back when the device goes.  One that is still in use then stays, and so does the iothread. */
typedef struct {
    VitBlockObject *object; /* a use; NULL: none was asked for */
    VitIoThread *back; /* borrowed: where the node came from; NULL: it was not moved */
} VitBlockPlace;
/* id NULL: none.  Not on an iothread, like the next. */
[[nodiscard]] bool vit_block_place_take(VitBlockPlace *place, VitBlockObjects *objects,
                                        const char *id, GError **error);
void vit_block_place_leave(VitBlockPlace *place, VitBlockNode *node /* NULL: none */);
/* Brings node to thread, and notes where it was. */
[[nodiscard]] bool vit_block_place_bring(VitBlockPlace *place, VitBlockNode *node,
                                         VitIoThread *thread, GError **error);
/* The graph keeps the object until it is freed; takes the use. */
void vit_block_graph_keep(VitBlockGraph *graph, VitBlockObject *object);
/* read_only false on a node that was opened read-only: opened anew for writing, with its file. */
[[nodiscard]] bool vit_block_set_read_only(VitBlockNode *node, bool read_only, GError **error);

/* A root: what a device or an export holds, so that the graph below it can change.  A node of its
 * own that passes requests on; owns a reference of node. */
[[nodiscard]] VitBlockNode *vit_block_root_new(VitBlockNode *node, const char *id);
/* Borrowed: what is below now, past filters that -drive put in. */
VitBlockNode *vit_block_root_node(VitBlockNode *root);
/* Requests wait for the limits of a throttle-group object, whose use is taken over; NULL: they do
 * not.  A fiber of the graph's thread, or any thread that is none of an iothread. */
void vit_block_root_throttle(VitBlockNode *root, VitBlockObject *group);
VitBlockObject *vit_block_root_throttle_group(VitBlockNode *root);
/* What QMP calls the root: the id of its -drive, "" for a node of -blockdev (anonymous); and the
 * QOM path of the device that holds it, NULL: none.  Set before the first request. */
void vit_block_root_set_anonymous(VitBlockNode *root);
const char *vit_block_root_device(const VitBlockNode *root);
void vit_block_root_set_user(VitBlockNode *root, const char *path);
const char *vit_block_root_user(const VitBlockNode *root);
/* cache=writethrough, directsync: before the first request. */
void vit_block_root_set_write_through(VitBlockNode *root, bool write_through);
/* A node of `thread` whose requests go to far (taken, a root of any thread) and come back. */
[[nodiscard]] VitBlockNode *vit_block_bridge_new(VitBlockNode *far, VitIoThread *thread);
VitBlockNode *vit_block_far(VitBlockNode *node); /* borrowed: behind a bridge; else node itself */

const VitBlockDriver *vit_block_driver_find(const char *name); /* NULL: none */
/* NULL-ended, in order of drivers.c; with a phrase for "did you mean" in messages. */
const VitBlockDriver *const *vit_block_drivers(void);

/* The message without the name in “ ” that it may begin with, for who has said the name already.
 * Borrowed from error. */
const char *vit_block_error_text(const GError *error);
