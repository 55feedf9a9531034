/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node-private.h - between node.c and the drivers */
#pragma once
#include "block/node.h"

/* Allocates driver->instance_size bytes with the common fields filled in. */
VitBlockNode *vit_block_node_new(const VitBlockDriver *driver, const char *path, VitIoThread *thread);
void vit_block_node_free(VitBlockNode *node);   /* of a node that never opened */

/* Ends a request: sets result, calls done().  On the iothread, after submit() has returned. */
void vit_block_complete(VitBlockRequest *req, int result);
/* The same for a driver that knows the result inside submit(). */
void vit_block_complete_later(VitBlockRequest *req, int result);

/* raw.c: takes over child. */
VitBlockNode *vit_block_raw_new(VitBlockNode *child);
/* probe.c: NULL for none known, or the name of the format that the first bytes (and the last 512)
 * announce.  tail may be NULL. */
const char *vit_block_probe(const uint8_t *head, size_t head_size, const uint8_t *tail);
/* file-lock.c: marks fd as used, refusing when another use excludes that. */
[[nodiscard]] bool vit_block_lock_file(int fd, const char *path, bool writer, GError **error);
