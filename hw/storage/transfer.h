/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/transfer.h - block requests for devices that live under the machine lock
 *
 * The buffer belongs to the transfer, so that a guest may reset its controller or a device may go
 * while the host still works.  Data goes between buffer and guest memory under the machine lock.
 * What is started after a cancelled transfer waits for its end: an old write cannot overtake. */
#pragma once
#include "block/node.h"
#include "engine/core/system.h"

typedef struct VitTransferQueue VitTransferQueue;
typedef struct VitTransfer VitTransfer;

/* Machine thread, machine lock held; the transfer and its buffer go when this returns. */
typedef void (*VitTransferDone)(void *opaque, VitTransfer *transfer, int result);

[[nodiscard]] VitTransferQueue *vit_transfer_queue_new(VitSystem *sys, VitBlockNode *node);
/* all its transfers are over or cancelled */
void vit_transfer_queue_free(VitTransferQueue *queue);

/* Takes over buffer (g_malloc'ed; NULL where op needs none). */
VitTransfer *vit_transfer_start(VitTransferQueue *queue, VitBlockOp op, uint32_t flags,
                                uint64_t offset, uint64_t bytes, uint8_t *buffer,
                                VitTransferDone done, void *opaque);
void vit_transfer_cancel(VitTransfer *transfer);        /* done is not called; machine lock held */
/* From within done: the buffer becomes the caller's. */
uint8_t *vit_transfer_steal_buffer(VitTransfer *transfer);
