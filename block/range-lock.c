/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/range-lock.c - see range-lock.h.  Few ranges are held at a time: a list. */
#include "block/range-lock.h"

bool vit_block_range_busy(const VitBlockRangeLock *lock, uint64_t offset, uint64_t bytes)
{
    for (const VitBlockRange *r = lock->held; r; r = r->next) {
        if (offset < r->offset + r->bytes && r->offset < offset + bytes) return true;
    }
    return false;
}

bool vit_block_range_try_lock(VitBlockRangeLock *lock, VitBlockRange *range, uint64_t offset,
                              uint64_t bytes)
{
    if (vit_block_range_busy(lock, offset, bytes)) return false;
    *range = (VitBlockRange){ .offset = offset, .bytes = bytes, .next = lock->held };
    lock->held = range;
    return true;
}

void vit_block_range_lock(VitBlockRangeLock *lock, VitBlockRange *range, uint64_t offset,
                          uint64_t bytes)
{
    while (!vit_block_range_try_lock(lock, range, offset, bytes))
        vit_fiber_cond_wait(&lock->cond, NULL);
}

void vit_block_range_unlock(VitBlockRangeLock *lock, VitBlockRange *range)
{
    VitBlockRange **at = &lock->held;

    while (*at != range) at = &(*at)->next;
    *at = range->next;
    vit_fiber_cond_wake_all(&lock->cond);
}
