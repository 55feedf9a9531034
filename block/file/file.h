/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/file/file.h - between the files of the node for local files and block devices */
#pragma once
#include "block/io-engine.h"
#include "block/node-private.h"

typedef struct {
    VitBlockNode parent;
    VitIoEngine *engine; /* owned */
    int fd;
    uint32_t logical_block;
    uint32_t memory_align, offset_align; /* 1 without O_DIRECT */
    bool discard, no_flush, is_device, lock, threads;
    bool no_punch, no_zero_range; /* the host has refused it before */
    /* request.c */
    uint8_t *zeroes; /* owned, made when first needed */
    GQueue waiting; /* behind a request that wants the file to itself */
    unsigned running;
    bool exclusive;
    struct VitFileOp *free_ops; /* owned, linked by next, for the next requests */
    unsigned n_free_ops;
} VitFile;

/* request.c */
bool vit_file_submit(VitBlockNode *node, VitBlockRequest *req);
void vit_file_free_ops(VitFile *file); /* when no request is under way */

/* size.c */
int vit_file_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent);
int vit_file_copy_range(VitBlockNode *node, uint64_t offset, VitBlockNode *from,
                        uint64_t from_offset, uint64_t bytes);
bool vit_file_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                       GError **error);
/* Makes fd's file of `from` bytes one of `to` bytes; what it has gained gets space as prealloc
 * says.  0 or -errno, and then it has its old size again.  On a fiber of the thread. */
int vit_file_co_resize(VitIoThread *thread, int fd, uint64_t from, uint64_t to,
                       VitPrealloc prealloc);

/* create.c */
extern const VitBlockOption vit_file_create_options[];
bool vit_file_create(VitBlockCreate *create, GError **error);
