/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/block-map.h - disks cut into equal blocks, each of which lies somewhere in the file or
 * nowhere
 *
 * What VDI, VHD, VHDX and Parallels images have in common: a flat table of places, new blocks at
 * the file's end, no backing file.  The table is held in memory; reads and writes of blocks that
 * are there run side by side without a lock.  A new block's entry stays in memory until a flush,
 * which makes the data stable first, then stores the table's changed pages, then makes these
 * stable: whatever instant the host stops at, no stored entry leads to bytes that are not the
 * block's.
 *
 * All on fibers of the node's thread, but for vit_block_map_try_submit(). */
#pragma once
#include "block/driver.h"

typedef struct VitBlockMap VitBlockMap;

enum {
    VIT_MAP_NONE = 0,
    VIT_MAP_ZERO = 1
}; /* both read as zeroes; everything above is an offset */
enum { VIT_MAP_PAGE = 512 }; /* entries that are stored together */

typedef struct {
    /* Makes the bytes that lie before a new block, from host - lead on.  NULL when lead is 0. */
    int (*co_begin)(VitBlockMap *map, uint64_t index, uint64_t host);
    /* Before a first write to a block that came with the file; NULL: nothing to do. */
    int (*co_touch)(VitBlockMap *map, uint64_t index, uint64_t host);
    /* Before entries are stored: what must be in the file by then besides the blocks.  NULL:
     * nothing. */
    int (*co_settle)(VitBlockMap *map);
    /* Stores entries first to first + count - 1, whose values are in at; durable after the next
     * flush. */
    int (*co_store)(VitBlockMap *map, uint64_t first, uint64_t count, const uint64_t *at);
} VitBlockMapOps;

struct VitBlockMap {
    VitBlockNode *node; /* borrowed: the image; its file child holds the blocks */
    const VitBlockMapOps *ops; /* borrowed */
    uint64_t *at; /* owned: for each block VIT_MAP_* or where its data lies in the file */
    uint64_t count, block_size; /* bytes, a multiple of 512 */
    uint32_t lead; /* bytes before each block that belong to it, multiple of 512 */
    uint64_t align; /* new blocks (with lead) begin at multiples of it; 0: anywhere */
    uint64_t end; /* where the next new block goes, in the file */
    uint64_t fresh; /* from here on the file has never been written: zeroes */
    uint64_t limit; /* no block may end past this offset, 0: any */
    GArray *spare; /* of uint64_t, owned: places (of data) below end that no entry leads to */
    unsigned long *dirty; /* owned: one bit for each page of entries */
    unsigned long *touched; /* owned: one bit for each block; NULL without co_touch */
    bool any_dirty;
    bool all_present; /* status: what is nowhere counts as this image's own zeroes */
    bool moved; /* end has changed since it was last settled */
    VitBlockRangeLock allocating; /* in units of the disk's bytes */
    VitFiberMutex flushing;
};

/* at: zeroed, for the driver to fill in; end, spare, lead, align, limit as well.  false: no memory.
 */
[[nodiscard]] bool vit_block_map_init(VitBlockMap *map, VitBlockNode *node,
                                      const VitBlockMapOps *ops, uint64_t count,
                                      uint64_t block_size);
void vit_block_map_finish(VitBlockMap *map);
void vit_block_map_attach(VitBlockMap *map); /* the node has come to another thread */
void vit_block_map_set(VitBlockMap *map, uint64_t index, uint64_t at); /* to be stored */

int vit_co_map_read(VitBlockMap *map, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    int niov);
int vit_co_map_write(VitBlockMap *map, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint32_t flags);
int vit_co_map_write_zeroes(VitBlockMap *map, uint64_t offset, uint64_t bytes, uint32_t flags);
int vit_co_map_discard(VitBlockMap *map, uint64_t offset, uint64_t bytes);
int vit_co_map_flush(VitBlockMap *map);
int vit_co_map_status(VitBlockMap *map, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);
/* Whether two blocks share bytes of the file; *host: where one of them begins. */
bool vit_block_map_overlap(const VitBlockMap *map, uint64_t *host);
/* Requests within one stretch of blocks that lie one after the other go straight to the file. */
bool vit_block_map_try_submit(VitBlockMap *map, VitBlockRequest *req);

/* The part of an iov as one: in `room` when that has enough of them, else newly allocated. */
enum { VIT_MAP_IOV = 16 };
typedef struct {
    struct iovec room[VIT_MAP_IOV];
    struct iovec *iov; /* room or owned */
    int niov;
} VitIovPart;
bool vit_iov_part_init(VitIovPart *part, const struct iovec *iov, int niov, uint64_t skip,
                       uint64_t bytes);
void vit_iov_part_finish(VitIovPart *part);
