/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/co.h - requests as straight-line code: each call waits on the fiber that makes it
 *
 * On a fiber of the node's thread (engine/core/fiber.h).  Results are 0 or -errno.  Checks, drains
 * and accounting are those of vit_block_submit(). */
#pragma once
#include "block/node.h"
#include "engine/core/fiber.h"

int vit_co_read(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
int vit_co_write(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes,
                 uint32_t flags);
int vit_co_readv(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                 int niov);
int vit_co_writev(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                  int niov, uint32_t flags);
int vit_co_zero(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags);
int vit_co_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes);
int vit_co_flush(VitBlockNode *node);
/* WRITE, WRITE_ZEROES or DISCARD. */
int vit_co_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                  const struct iovec *iov, int niov, uint32_t flags);

/* Has the host copy between two files, sharing the space where it can.  from: a protocol node, as
 * in VitBlockExtent.file.  -ENOTSUP and others: has to be read and written.  For images that nobody
 * else uses: drains do not wait for it. */
int vit_co_copy_range(VitBlockNode *to, uint64_t to_offset, VitBlockNode *from, uint64_t offset,
                      uint64_t bytes);

typedef enum {
    VIT_PREALLOC_OFF,
    VIT_PREALLOC_METADATA,
    VIT_PREALLOC_FALLOC,
    VIT_PREALLOC_FULL
} VitPrealloc;
/* Changes the node's size.  exact: a host file that cannot have this size exactly is an error. */
[[nodiscard]] bool vit_co_truncate(VitBlockNode *node, uint64_t size, bool exact,
                                   VitPrealloc prealloc, GError **error);

enum {
    VIT_EXTENT_DATA = 1 << 0,       /* stored bytes that may be other than zero */
    VIT_EXTENT_ZERO = 1 << 1,       /* reads as zeroes */
    VIT_EXTENT_ALLOCATED = 1 << 2,  /* this node says what is read, not its backing file */
    /* host_offset and file are valid: the bytes lie there as they are (of ZERO: would lie there) */
    VIT_EXTENT_OFFSET = 1 << 3,
    VIT_EXTENT_COMPRESSED = 1 << 4,
    VIT_EXTENT_END = 1 << 5, /* reaches the end of the node */
};
typedef struct {
    uint64_t bytes; /* of the stretch that begins at the offset asked for; > 0 unless at the end */
    unsigned flags;
    uint64_t host_offset;
    VitBlockNode *file; /* borrowed: the node that host_offset lies in */
    int depth; /* of vit_co_status_above(): how many nodes down the chain, 0 = node */
} VitBlockExtent;

/* What `node` itself says of the stretch at offset; at most `bytes` of it.  Never an error for lack
 * of knowledge: what is not known to be zero is DATA. */
int vit_co_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);
/* The same through filters and backing files down to, but not including, base (NULL: all of them).
 * What nobody stores is ZERO without ALLOCATED; a stretch past the end of a shorter backing file as
 * well, at the depth of the node above that file and whatever base is. */
int vit_co_status_above(VitBlockNode *node, VitBlockNode *base, uint64_t offset, uint64_t bytes,
                        VitBlockExtent *extent);

/* Between begin and end no request runs on the node and its parents; new ones wait (also the
 * caller's, on this node; those below it go on).  They nest.  For what changes the graph or the
 * node's size. */
void vit_co_drain_begin(VitBlockNode *node);
void vit_co_drain_end(VitBlockNode *node);

/* vit_block_run() and vit_block_move() for fibers: of any iothread `home`, of the node's. */
void vit_co_block_run(VitIoThread *home, VitBlockNode *node, VitFiberFunc fn, void *opaque);
[[nodiscard]] bool vit_co_block_move(VitBlockNode *node, VitIoThread *to, GError **error);

/* Whether the bytes are all zero (fast). */
bool vit_block_is_zero(const void *buf, size_t bytes);
bool vit_block_iov_is_zero(const struct iovec *iov, int niov);
