/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/range-lock.h - exclusive use of a stretch of a node, for fibers of one thread
 *
 * For read-modify-write, copy-on-read and the like.  Zeroed memory with cond.thread set is ready.
 */
#pragma once
#include "engine/core/fiber.h"

typedef struct VitBlockRange VitBlockRange;
struct VitBlockRange {              /* the caller's, usually on the fiber's stack */
    uint64_t offset, bytes;
    VitBlockRange *next;
};

typedef struct {
    VitFiberCond cond;
    VitBlockRange *held;            /* borrowed */
} VitBlockRangeLock;

/* Waits until no held range overlaps. */
void vit_block_range_lock(VitBlockRangeLock *lock, VitBlockRange *range, uint64_t offset,
                          uint64_t bytes);
/* Takes it at once, or not at all; also outside of fibers. */
[[nodiscard]] bool vit_block_range_try_lock(VitBlockRangeLock *lock, VitBlockRange *range,
                                            uint64_t offset, uint64_t bytes);
void vit_block_range_unlock(VitBlockRangeLock *lock, VitBlockRange *range);
bool vit_block_range_busy(const VitBlockRangeLock *lock, uint64_t offset, uint64_t bytes);
