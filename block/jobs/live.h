/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/live.h - jobs on nodes that are in use: mirror, backup, stream, commit
 *
 * Each is made ready by a call on a fiber of the graph's thread, which inserts what it needs into
 * the graph and returns a job to be started with vit_block_job_start().  A job that is never
 * started is cancelled with vit_block_job_cancel(force).  Options and messages are those of the QMP
 * commands. */
#pragma once
#include "block/bitmap.h"
#include "block/graph.h"
#include "block/job.h"

typedef struct {
    VitBlockGraph *graph; /* borrowed, like all that follows */
    VitBlockJobs *jobs;
    const char *id; /* NULL: has none */
    unsigned flags; /* VIT_JOB_AUTO_FINALIZE ... */
    uint64_t speed; /* bytes per second, 0: no limit */
    const char *filter_name; /* node-name of the filter, NULL: made up */
    VitBlockOnError on_source_error, on_target_error;
    /* Told of errors, on the job's thread; action: "report", "ignore" or "stop".  May be NULL. */
    void (*failed)(void *opaque, VitBlockJob *job, bool read, const char *action);
    void *opaque;
} VitBlockLiveOptions;

typedef enum { VIT_SYNC_TOP, VIT_SYNC_FULL, VIT_SYNC_NONE, VIT_SYNC_BITMAP } VitBlockSync;

typedef struct {
    VitBlockSync sync; /* not BITMAP */
    bool write_blocking; /* guest writes go to both sides at once */
    bool unmap;
    uint32_t granularity; /* 0: as fits */
    uint64_t buf_size; /* bytes in flight, 0: as fits */
    const char *replaces; /* the node that the target takes the place of; NULL: source */
} VitBlockMirror;

typedef enum { VIT_BITMAP_ON_SUCCESS, VIT_BITMAP_NEVER, VIT_BITMAP_ALWAYS } VitBitmapMode;
typedef struct {
    VitBlockSync sync;
    VitBlockBitmap *bitmap; /* NULL: none */
    VitBitmapMode bitmap_mode;
    bool compress;
} VitBlockBackup;

/* source, target: borrowed.  A mirror becomes READY and then goes on until it is completed (devices
 * turn to the target) or cancelled (the target stays behind as a copy). */
[[nodiscard]] VitBlockJob *vit_co_mirror_new(const VitBlockLiveOptions *options,
                                             VitBlockNode *source, VitBlockNode *target,
                                             const VitBlockMirror *mirror, GError **error);
/* What source holds at this call comes to stand in target, whatever is written meanwhile. */
[[nodiscard]] VitBlockJob *vit_co_backup_new(const VitBlockLiveOptions *options,
                                             VitBlockNode *source, VitBlockNode *target,
                                             const VitBlockBackup *backup, GError **error);
/* What lies between node and base (NULL: all) moves into node.  backing_file: what node's image
 * shall say of base, NULL: its name. */
[[nodiscard]] VitBlockJob *vit_co_stream_new(const VitBlockLiveOptions *options, VitBlockNode *node,
                                             VitBlockNode *base, const char *backing_file,
                                             GError **error);
/* What lies between top (included) and base moves into base.  top == active: like a mirror, becomes
 * READY and ends with devices on base; else the image above top then stands on base. */
[[nodiscard]] VitBlockJob *vit_co_commit_new(const VitBlockLiveOptions *options,
                                             VitBlockNode *active, VitBlockNode *top,
                                             VitBlockNode *base, const char *backing_file,
                                             GError **error);
/* Whether guest writes now go to both sides of a mirror and all else has been copied. */
bool vit_block_mirror_actively_synced(const VitBlockJob *job);
