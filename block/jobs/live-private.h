/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/jobs/live-private.h - what the live jobs share: the filter above the source, claims, pieces
 */
#pragma once
#include "block/driver.h"
#include "block/job-private.h"
#include "block/jobs/live.h"

enum { VIT_LIVE_PIECE = 1 << 20, VIT_LIVE_WORKERS = 8 };

typedef struct VitLiveJob VitLiveJob;
struct VitLiveJob { /* first member of each live job */
    VitBlockJob parent;
    VitBlockGraph *graph; /* borrowed */
    VitBlockNode *source, *target; /* references; target may be NULL */
    VitBlockNode *filter; /* a reference while it stands above source; else NULL */
    VitBlockClaim *source_claim, *target_claim;
    GPtrArray *between; /* of VitBlockClaim*, owned: of vit_live_job_claim_between() */
    VitBlockRangeLock ranges; /* of what is being copied or written through the filter */
    VitBlockOnError on_source_error, on_target_error;
    void (*told_failure)(void *opaque, VitBlockJob *job, bool read, const char *action);
    void *opaque;
    GError *failure; /* owned: of the first worker that gave up */
    unsigned workers; /* that run now */
    VitFiberCond idle; /* a worker has ended */
    bool io_failed; /* "io-status" */
};

/* Guest requests that change something, as the filter above a source sees them; on a fiber. */
typedef struct {
    VitBlockOp op;
    uint64_t offset, bytes;
    const struct iovec *iov;
    int niov;
    uint32_t flags;
} VitLiveWrite;
typedef int (*VitLiveWriteFunc)(VitLiveJob *job, const VitLiveWrite *write);
/* The same outside of fibers: true when the request was taken and vit_block_complete() will end
 * it. */
typedef bool (*VitLiveSubmitFunc)(VitLiveJob *job, VitBlockRequest *req);

/* A job whose struct begins with VitLiveJob, with references and claims taken. */
[[nodiscard]] VitLiveJob *vit_live_job_new(const VitBlockLiveOptions *options,
                                           const VitBlockJobClass *klass, VitBlockNode *source,
                                           VitBlockNode *target, bool share_target, GError **error);
/* Claims what lies under top and above base too (NULL: all): the job goes by these tables. */
[[nodiscard]] bool vit_live_job_claim_between(VitLiveJob *job, VitBlockNode *top,
                                              const VitBlockNode *base, GError **error);
/* Ends one that never ran, with what it holds. */
void vit_live_job_discard(VitLiveJob *job);
/* Puts the filter between source and those that use it; fn takes writes, NULL: they pass. */
[[nodiscard]] bool vit_co_live_filter_insert(VitLiveJob *job, const VitBlockDriver *driver,
                                             const char *name, GError **error);
/* While the filter is drained.  submit NULL: all go by fibers. */
void vit_live_filter_set_writer(VitLiveJob *job, VitLiveWriteFunc fn, VitLiveSubmitFunc submit);
void vit_co_live_filter_remove(VitLiveJob *job);
void vit_co_live_clean(VitLiveJob *job); /* the filter, claims and references */

/* The write itself, on what is below the filter (or any node). */
int vit_co_live_write(VitBlockNode *node, const VitLiveWrite *write);

/* Copies [offset, offset + bytes), at most a piece; holes stay holes.  base: what the status stops
 * at, NULL: none; unless `all`, what lies in base is left out.  *read says which side has failed.
 */
typedef struct {
    bool unmap, compress, all;
    VitBlockNode *base;
} VitLiveCopy;
int vit_co_live_copy(VitLiveJob *job, const VitLiveCopy *how, uint64_t offset, uint64_t bytes,
                     bool *read);

typedef enum { VIT_LIVE_FAIL, VIT_LIVE_RETRY, VIT_LIVE_SKIP } VitLiveAction;
/* What is to be done about an error, by on_source_error and on_target_error; waits while stopped.
 */
VitLiveAction vit_co_live_failed(VitLiveJob *job, int result, bool read);

/* Runs fn on several fibers until each returns false, and waits for them.  False: job->failure is
 * set, or the job has been cancelled. */
typedef bool (*VitLiveWorker)(VitLiveJob *job);
bool vit_co_live_work(VitLiveJob *job, VitLiveWorker fn, unsigned workers, GError **error);

/* mirror.c: of the active image. */
[[nodiscard]] VitBlockJob *vit_co_commit_active_new(const VitBlockLiveOptions *options,
                                                    VitBlockNode *active, VitBlockNode *base,
                                                    GError **error);

extern const VitBlockDriver vit_mirror_top_driver, vit_copy_before_write_driver,
    vit_stream_top_driver;
