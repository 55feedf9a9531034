/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/raw.c - the raw format: the file's bytes are the disk's
 *
 * The size is rounded up to whole 512-byte sectors; what lies past the file's end reads as zero and
 * comes into being when it is written. */
#include "block/node-private.h"

static void raw_submit(VitBlockNode *node, VitBlockRequest *req)
{
    node->child->driver->submit(node->child, req);
}

static void raw_info(VitBlockNode *node, VitBlockInfo *info)
{
    *info = vit_block_info(node->child);
    info->size = (info->size + 511) & ~UINT64_C(511);
}

static const VitBlockDriver raw = {
    .name = "raw",
    .instance_size = sizeof(VitBlockNode),
    .submit = raw_submit,
    .info = raw_info,
};

VitBlockNode *vit_block_raw_new(VitBlockNode *child)
{
    VitBlockNode *node = vit_block_node_new(&raw, child->filename, child->thread);
    node->child = child;
    return node;
}
