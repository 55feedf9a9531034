/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node-private.h - between the files of the block core: node.c, request.c, open.c, graph.c */
#pragma once
#include "block/driver.h"

enum { VIT_BLOCK_HEAD = 4096, VIT_BLOCK_TAIL = 512, VIT_BLOCK_MAX_CHAIN = 256 };

/* node.c: allocates driver->instance_size bytes with the common fields filled in; one reference. */
VitBlockNode *vit_block_node_new(const VitBlockDriver *driver, const char *path,
                                 VitIoThread *thread);
/* On a fiber: closes a node that nobody holds. */
void vit_block_node_destroy(VitBlockNode *node);

void vit_block_tell_resized(VitBlockNode *node); /* use.c: devices, like the next two */
void vit_block_tell_moved(VitBlockNode *node);
const char *vit_block_fixed_by(const VitBlockNode *node); /* who holds it on its iothread */
GMutex *vit_block_graph_moves(VitBlockGraph *graph); /* graph.c: held by who moves nodes */
/* node.c: until the end, nothing on the node and below it is kept waiting by its driver.  already:
 * what another call gave, to be added to and given back; NULL: none.  On the node's thread. */
GPtrArray *vit_block_hurry(VitBlockNode *node, GPtrArray *already);
void vit_block_hurry_end(GPtrArray *hurried); /* frees it */
void vit_block_end_giving_up(void *node); /* request.c; on the node's thread */
void vit_block_tell_idle(VitBlockNode *node); /* node.c: nothing is in flight any more */
void vit_block_start_waiting(
    VitBlockNode *node); /* request.c: requests that waited for a drain's end */

/* args.c: a child that is open already, under a key; takes the reference, gives a new one. */
void vit_block_args_set_child(VitBlockArgs *args, const char *key, VitBlockNode *node);
VitBlockNode *vit_block_args_take_child(VitBlockArgs *args, const char *key);

/* open.c, on a fiber: opens what args describe, and its backing files; graph may be NULL. */
VitBlockNode *vit_co_open(VitBlockGraph *graph, VitIoThread *thread, VitBlockArgs *args,
                          const VitBlockOptions *inherited, GError **error);
/* The same, but what has no driver is probed. */
VitBlockNode *vit_co_open_probed(VitBlockGraph *graph, VitIoThread *thread, VitBlockArgs *args,
                                 const VitBlockOptions *inherited, GError **error);
/* The same for a name; format NULL: probed. */
VIT_FOR_MODULES VitBlockNode *vit_co_open_image(VitBlockGraph *graph, VitIoThread *thread,
                                                const char *filename, const char *format,
                                                JsonObject *extra, const VitBlockOptions *how,
                                                bool protocol_only, GError **error);
/* graph.c: enters a new node (gives it a name when it has none), and takes it out. */
bool vit_block_graph_enter(VitBlockGraph *graph, VitBlockNode *node, GError **error);
void vit_block_graph_leave(VitBlockGraph *graph, VitBlockNode *node);

/* ---- filename.c ---- */
/* Options of a protocol node for a name.  On a fiber of thread: may load the protocol's module. */
JsonObject *vit_block_filename_options(const char *filename, VitIoThread *thread, GError **error);
/* The same by a protocol that was asked for (whole), whatever the name looks like. */
JsonObject *vit_block_filename_options_of(const char *filename, const VitBlockDriver *driver,
                                          GError **error);

/* probe.c: the format that fits best, "raw" for none. */
const VitBlockDriver *vit_block_probe(const uint8_t *head, size_t head_size, const uint8_t *tail,
                                      const char *filename);

/* create.c: a regular file, also behind a link; what cannot be removed stays. */
void vit_block_remove_file(const char *path);

/* file-lock.c: marks fd as used, refusing when another use excludes that. */
[[nodiscard]] bool vit_block_lock_file(int fd, const char *path, bool writer, bool share,
                                       GError **error);
void vit_block_unlock_file(int fd);
