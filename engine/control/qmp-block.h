/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/qmp-block.h - the block commands, for machines and for the storage daemon alike
 *
 * They run one at a time, on a fiber of the thread of the nodes that they name (the graph's own
 * thread as a rule), so that they change graph and jobs as straight-line code. */
#pragma once
#include "engine/control/qmp.h"

#include "block/driver.h"
#include "block/export.h"
#include "block/job.h"
#include "block/jobs/live.h"
#include "engine/core/fiber.h"

struct ControlBlock {
    VitControl *control; /* borrowed, like all but `told` */
    VitIoThread *thread;
    VitBlockGraph *graph;
    VitBlockJobs *jobs;
    VitBlockExports *exports;
    VitBlockObjects *objects;
    GHashTable *drives; /* id -> VitBlockNode*, the roots that devices hold; NULL: no machine */
    VitFiberMutex lock; /* of the commands */
    GMutex told_lock; /* leaf */
    GHashTable *told; /* id of a job -> its last status told, owned; guarded by told_lock */
};

/* Names a device ("drive0") or a node; the node below the device's root. */
VitBlockNode *block_find(ControlBlock *b, const char *device, const char *node, GError **error);
VitBlockNode *block_find_either(ControlBlock *b, const char *name, GError **error);
/* The machine's root of an id; NULL: none. */
VitBlockNode *block_drive(ControlBlock *b, const char *id);
/* The member as a string; NULL: not given. */
const char *block_text(JsonObject *args, const char *name);
int64_t block_int(JsonObject *args, const char *name, int64_t otherwise);
bool block_bool(JsonObject *args, const char *name, bool otherwise);
/* Args of the object's members, with nothing before messages but what they say. */
VitBlockArgs *block_args(JsonObject *object, GError **error);
/* A node is free for a change of what is above it; names who keeps it. */
bool block_check_free(VitBlockNode *node, GError **error);

/* qmp-block-jobs.c: events. */
void block_job_changed(void *opaque, VitBlockJob *job);
void block_job_failed(void *opaque, VitBlockJob *job, bool read, const char *action);
/* qmp-block-live.c.  The job that backs up, for a transaction: not yet started. */
VitBlockJob *block_backup_prepare(ControlBlock *b, JsonObject *args, bool drive, GError **error);
VitBlockNode *block_backup_source(ControlBlock *b, JsonObject *args, GError **error);

/* qmp-block-snapshots.c: for a transaction, with the way back. */
typedef struct {
    VitBlockNode *node, *overlay; /* references */
    bool made; /* the overlay was opened here */
} BlockSnapshot;
bool block_snapshot_do(ControlBlock *b, JsonObject *args, bool sync, BlockSnapshot *done,
                       GError **error);
void block_snapshot_undo(ControlBlock *b, BlockSnapshot *done);
void block_snapshot_clear(BlockSnapshot *done);
bool block_internal_snapshot(ControlBlock *b, JsonObject *args, GError **error);
bool block_internal_delete(ControlBlock *b, const char *device, const char *name, GError **error);

/* qmp-block-bitmaps.c */
VitBlockBitmap *block_bitmap(ControlBlock *b, const char *node, const char *name, GError **error);
bool block_bitmap_add(ControlBlock *b, JsonObject *args, GError **error);
bool block_bitmap_usable(VitBlockBitmap *bitmap, GError **error);
bool block_bitmap_merge_all(ControlBlock *b, JsonObject *args, VitBlockBitmap *into,
                            GError **error);

/* qmp-block-limits.c: BlockDeviceInfo's limits; root NULL: none.  And before the control goes, on a
 * fiber of the graph's thread. */
void block_describe_limits(VitBlockNode *root, JsonObject *info);
void block_forget_thresholds(ControlBlock *b);
/* qmp-block-place.c: runs a command where the nodes are that it names, on a fiber of b->thread. */
bool block_run(ControlBlock *b, const QmpCommand *row, JsonObject *args, JsonNode **result,
               GError **error);
bool block_iothread_is_free(ControlBlock *b, const char *id); /* no node is there */

/* Of commands that are actions of a transaction, too; each ended by a NULL name. */
extern const QmpArg block_bitmap_add_args[], block_bitmap_merge_args[];
extern const QmpArg block_snapshot_args[], block_snapshot_sync_args[];
extern const QmpArg block_internal_snapshot_args[];
extern const QmpArg block_blockdev_backup_args[], block_drive_backup_args[];
/* The tables; each ended by a NULL name. */
extern const QmpCommand qmp_block_node_commands[], qmp_block_query_commands[],
    qmp_block_job_commands[], qmp_block_live_commands[], qmp_block_bitmap_commands[],
    qmp_block_snapshot_commands[], qmp_block_export_commands[], qmp_block_transaction_commands[],
    qmp_block_limit_commands[], qmp_block_place_commands[], qmp_qom_commands[];
