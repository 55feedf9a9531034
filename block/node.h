/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node.h - a node of the block graph as its users see it: formats over protocols, filters
 * between
 *
 * Threads: a node and all below it belong to one VitIoThread; requests are submitted and complete
 * there.  Offsets and sizes are bytes, any alignment is accepted.  Buffers stay the caller's until
 * completion.  Nodes are counted: who holds a VitBlockNode* for long holds a reference. */
#pragma once
#include "engine/core/iothread.h"
#include <sys/uio.h>

typedef struct VitBlockNode VitBlockNode;
typedef struct VitBlockDriver VitBlockDriver;
typedef struct VitBlockGraph VitBlockGraph;
typedef struct VitBlockEdge VitBlockEdge;

typedef enum {
    VIT_BLOCK_READ,
    VIT_BLOCK_WRITE,
    VIT_BLOCK_FLUSH,
    VIT_BLOCK_DISCARD,
    VIT_BLOCK_WRITE_ZEROES
} VitBlockOp;

enum {
    VIT_BLOCK_FUA = 1 << 0, /* WRITE, WRITE_ZEROES: on stable storage when done */
    VIT_BLOCK_MAY_UNMAP = 1 << 1, /* WRITE_ZEROES: the space may be given back */
    VIT_BLOCK_NO_FALLBACK =
        1 << 2, /* WRITE_ZEROES: -ENOTSUP rather than writing buffers of zeroes */
    VIT_BLOCK_COMPRESSED = 1 << 3, /* WRITE: store compressed; whole clusters, not written before */
};

typedef struct VitBlockRequest VitBlockRequest;
struct VitBlockRequest { /* allocated by the submitter, alive until done() */
    VitBlockOp op;
    uint32_t flags;
    uint64_t offset, bytes; /* FLUSH: ignored */
    const struct iovec *iov; /* READ, WRITE: sum of lengths = bytes */
    int niov;
    int result; /* 0 or -errno; valid in done() */
    void (*done)(VitBlockRequest *req); /* on the node's iothread; never before submit returns */
    void *opaque;
    /* for the nodes */
    void *node_private[4];
};

typedef struct {
    uint64_t size; /* bytes */
    uint32_t logical_block; /* smallest request, bytes (512 unless the host needs more) */
    uint32_t request_alignment; /* memory and offset alignment that avoids bouncing */
    uint32_t cluster_size; /* allocation unit, 0: none */
    uint64_t max_transfer; /* 0 = no limit */
    bool read_only;
    bool can_discard;
    bool can_compress; /* takes VIT_BLOCK_COMPRESSED */
    bool must_compress; /* takes nothing else (vmdk streamOptimized) */
    bool zero_init; /* a new image reads as zeroes */
    bool
        /* what this node does not store reads as zeroes, not as the backing file */
        unallocated_zero;
    bool dirty; /* not closed cleanly */
    bool encrypted;
    uint64_t vm_state_offset; /* where saved machine state begins, 0: has none */
    bool write_through; /* every write is stable when it ends: there is no cache to flush */
} VitBlockInfo;

typedef struct {
    bool read_only;
    bool auto_read_only; /* falls back to read-only when writing is not permitted */
    bool direct; /* O_DIRECT (cache.direct=on) */
    bool no_flush; /* cache.no-flush=on */
    bool discard; /* discard=unmap */
    bool lock; /* take the image lock (default): a second writer is refused */
    bool threads; /* aio=threads: worker threads even where io_uring works */
    bool force_share; /* tolerates other writers (-U): facts may be stale */
    bool share; /* read-only: others may write, unless the format has tables to be read */
    bool no_io; /* facts only: encrypted images open without their secret */
    bool check; /* to be checked or repaired: corrupt and dirty images open */
    bool no_backing; /* the image alone */
} VitBlockOptions;

/* What becomes of a request that failed: "rerror" and "werror" of a disk, "on-source-error" and
 * "on-target-error" of a job. */
typedef enum {
    VIT_ON_ERROR_REPORT, /* its submitter is told; the job fails */
    VIT_ON_ERROR_IGNORE, /* its submitter is told that it went well */
    VIT_ON_ERROR_ENOSPC, /* STOP when the host is full (ENOSPC, EDQUOT), else REPORT */
    VIT_ON_ERROR_STOP, /* it is held until it is tried again or given up; the job pauses */
    VIT_ON_ERROR_AUTO, /* REPORT for reads, ENOSPC for what is written */
} VitBlockOnError;
typedef enum { VIT_IO_STATUS_OK, VIT_IO_STATUS_FAILED, VIT_IO_STATUS_NOSPACE } VitBlockIoStatus;

/* req->result is the error; action: REPORT, IGNORE or STOP.  On the node's iothread. */
typedef void (*VitBlockFailedFunc)(void *opaque, VitBlockNode *node, const VitBlockRequest *req,
                                   VitBlockOnError action);

/* ---- opening and closing: any thread but the node's own, or a fiber of it -------------------- */

/* One image without a graph.  format NULL: probed; "raw", "qcow2" ... or "file".  Errors name the
 * file and the remedy ("in use by another machine ...").  Backing files are opened read-only. */
[[nodiscard]] VitBlockNode *vit_block_open(const char *format, const char *path,
                                           const VitBlockOptions *options, VitIoThread *thread,
                                           GError **error);
VitBlockNode *vit_block_node_ref(VitBlockNode *node);
/* The last one closes the node and lets go of its children; waits for requests in flight
 * (but on the thread outside of fibers: it ends later).  NULL is fine. */
VIT_FOR_MODULES void vit_block_node_unref(VitBlockNode *node);
/* What device users call when they are done: gives up held requests, drains, drops the reference.
 */
void vit_block_node_close(VitBlockNode *node);
const char *vit_block_node_name(const VitBlockNode *node); /* node-name */
const char *vit_block_node_filename(const VitBlockNode *node); /* for messages and "info" */
const char *vit_block_node_format(const VitBlockNode *node); /* driver's name */
VitIoThread *vit_block_node_thread(const VitBlockNode *node);

/* ---- requests: on the node's iothread -------------------------------------------------------- */

/* Checks bounds (-EINVAL, -EIO past the end), read-only (-EROFS); alignment is the node's business.
 */
void vit_block_submit(VitBlockNode *node, VitBlockRequest *req);
VitBlockInfo vit_block_info(VitBlockNode *node); /* any thread */
/* Between these, requests may be held back so that many start with one system call.  They nest; on
 * the node's iothread. */
void vit_block_plug(VitBlockNode *node);
void vit_block_unplug(VitBlockNode *node);
/* Waits until no request is in flight.  Any thread; completions run meanwhile, so no lock that they
 * take may be held.  On the node's own thread not from within a queued call or a completion. */
void vit_block_drain(VitBlockNode *node);
/* What becomes of submitted requests that fail; both REPORT at first.  Held requests count as in
 * flight until they are tried again or given up.  Any thread. */
void vit_block_set_on_error(VitBlockNode *node, VitBlockOnError read, VitBlockOnError write);
void vit_block_get_on_error(const VitBlockNode *node, VitBlockOnError *read,
                            VitBlockOnError *write);
/* "report", "ignore", "enospc" (writes alone), "stop", "auto"; false for other words. */
[[nodiscard]] bool vit_block_on_error_parse(const char *text, bool write, VitBlockOnError *value);
/* fn is told of each failure: it has the machine paused when a request is held.  Without one every
 * error is reported.  Like vit_block_run(); the one before is not called any more afterwards. */
void vit_block_set_failed_handler(VitBlockNode *node, VitBlockFailedFunc fn, void *opaque);
/* The newest failure for which a request was held, since the last retry.  Any thread. */
VitBlockIoStatus vit_block_io_status(const VitBlockNode *node);
void vit_block_retry(VitBlockNode *node); /* any thread, like the next: they wait for nothing */
/* Held requests end with their error; until a retry nothing is held, and limits let all pass. */
void vit_block_give_up(VitBlockNode *node);
/* Between true and false (they nest) limits let all pass, since somebody waits for the end of what
 * is in flight; it still counts.  Any thread; waits for nothing. */
void vit_block_hurry_up(VitBlockNode *node, bool on);
/* Runs fn on a fiber of the node's thread, wherever the node goes meanwhile, and waits for its end:
 * not on that thread outside of fibers.  Afterwards the node may move. */
void vit_block_run(VitBlockNode *node, void (*fn)(void *opaque), void *opaque);
/* Calls fn in the loop of the node's thread, later.  Any thread. */
void vit_block_call(VitBlockNode *node, VitIoFunc fn, void *opaque);
/* Takes the node, and all that it is connected to, to another iothread: what is in flight ends
 * first, what comes waits.  Refused, by name, while somebody uses one of them who cannot follow.
 * Like vit_block_run(); not on `to`. */
[[nodiscard]] bool vit_block_move(VitBlockNode *node, VitIoThread *to, GError **error);
/* A write of this node that ends past offset is told to fn, once; 0: none is.  Both on the node's
 * thread. */
typedef void (*VitBlockThresholdFunc)(void *opaque, VitBlockNode *node, uint64_t exceeded,
                                      uint64_t threshold);
void vit_block_set_write_threshold(VitBlockNode *node, uint64_t offset, VitBlockThresholdFunc fn,
                                   void *opaque);
/* Blocking helpers for tools, firmware tables and slow devices: any thread but the node's own. */
int vit_block_read_sync(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
int vit_block_write_sync(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes);
int vit_block_flush_sync(VitBlockNode *node);
