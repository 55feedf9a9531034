/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/node.h - a node of the block graph: format over protocol, filters in between
 *
 * Threads: a node belongs to one VitIoThread at a time; requests are submitted and complete there.
 * Offsets and sizes are bytes.  Buffers stay the caller's until completion. */
#pragma once
#include "engine/core/iothread.h"
#include <sys/uio.h>

typedef struct VitBlockNode VitBlockNode;
typedef struct VitBlockDriver VitBlockDriver;

typedef enum {
    VIT_BLOCK_READ, VIT_BLOCK_WRITE, VIT_BLOCK_FLUSH, VIT_BLOCK_DISCARD, VIT_BLOCK_WRITE_ZEROES
} VitBlockOp;

enum { VIT_BLOCK_FUA = 1 << 0, VIT_BLOCK_MAY_UNMAP = 1 << 1 };

typedef struct VitBlockRequest VitBlockRequest;
struct VitBlockRequest {            /* allocated by the submitter, alive until done() */
    VitBlockOp   op;
    uint32_t     flags;
    uint64_t     offset, bytes;     /* FLUSH: ignored */
    const struct iovec *iov;        /* READ, WRITE: sum of lengths = bytes */
    int          niov;
    int          result;            /* 0 or -errno; valid in done() */
    void       (*done)(VitBlockRequest *req);   /* on the node's iothread; never before submit returns */
    void        *opaque;
    /* for the nodes */
    void        *node_private[4];
};

typedef struct {
    uint64_t size;                  /* bytes */
    uint32_t logical_block;         /* smallest request, bytes (512 unless the host needs more) */
    uint32_t request_alignment;     /* memory and offset alignment that avoids bouncing */
    uint64_t max_transfer;          /* 0 = no limit */
    bool     read_only;
    bool     can_discard;
} VitBlockInfo;

typedef struct {
    bool read_only;
    bool auto_read_only;            /* falls back to read-only when writing is not permitted */
    bool direct;                    /* O_DIRECT (cache.direct=on) */
    bool no_flush;                  /* cache.no-flush=on */
    bool discard;                   /* discard=unmap */
    bool lock;                      /* take the image lock (default): a second writer is refused */
    bool threads;                   /* aio=threads: worker threads even where io_uring works */
} VitBlockOptions;

struct VitBlockDriver {
    const char *name;
    size_t      instance_size;
    void      (*submit)(VitBlockNode *node, VitBlockRequest *req);
    void      (*info)(VitBlockNode *node, VitBlockInfo *info);
    void      (*close)(VitBlockNode *node);     /* no requests in flight; on the iothread */
    void      (*plug)(VitBlockNode *node, bool on); /* may be NULL */
};

typedef void (*VitBlockFullFunc)(void *opaque, VitBlockNode *node, int error);

struct VitBlockNode {               /* first member of each driver's instance */
    const VitBlockDriver *driver;
    char                 *name;     /* owned: node-name */
    char                 *filename; /* owned, for messages */
    VitIoThread          *thread;   /* borrowed */
    VitBlockNode         *child;    /* owned; NULL for protocols */
    unsigned              in_flight;
    GSList               *drains;   /* of those who wait for in_flight to reach 0 */
    VitBlockFullFunc      full;     /* NULL: a full host is an error like others */
    void                 *full_opaque;
    bool                  given_up; /* nothing is held until the next retry */
    GQueue                held;     /* of VitBlockRequest*: writes that found the host full */
};

/* Opens a regular file, block device ("file"/"host_device") or the like, with the raw format on top
 * when format is "raw".  Errors name the file and the remedy ("in use by another machine ..."). */
[[nodiscard]] VitBlockNode *vit_block_open_file(const char *path, const VitBlockOptions *options,
                                                VitIoThread *thread, GError **error);
[[nodiscard]] VitBlockNode *vit_block_open(const char *format /* "raw", NULL = probe */,
                                           const char *path, const VitBlockOptions *options,
                                           VitIoThread *thread, GError **error);
void vit_block_node_close(VitBlockNode *node);      /* waits for requests in flight; NULL is fine */

/* Checks bounds (-EINVAL, -EIO past the end), read-only (-EROFS), alignment is the node's business.
 * On the node's iothread. */
void vit_block_submit(VitBlockNode *node, VitBlockRequest *req);
VitBlockInfo vit_block_info(VitBlockNode *node);
/* Between these, requests may be held back so that many start with one system call.  They nest; on
 * the node's iothread. */
void vit_block_plug(VitBlockNode *node);
void vit_block_unplug(VitBlockNode *node);
/* Waits until no request is in flight.  Any thread; completions run meanwhile, so no lock that they
 * take may be held.  On the node's own thread not from within a queued call or a completion. */
void vit_block_drain(VitBlockNode *node);
/* A write that finds the host full (ENOSPC, EDQUOT) is held instead of failing, and fn is told, on the
 * node's iothread, of the first one: it has the machine paused.  Held requests count as in flight
 * until they are tried again or given up.  Before the first request; NULL turns it off. */
void vit_block_set_full_handler(VitBlockNode *node, VitBlockFullFunc fn, void *opaque);
void vit_block_retry(VitBlockNode *node);       /* any thread, like the next: they wait for nothing */
/* Held requests end with their error, and so do others that find the host full, until a retry. */
void vit_block_give_up(VitBlockNode *node);
/* Blocking helpers for tools, firmware tables and slow devices: any thread but the node's own. */
int vit_block_read_sync(VitBlockNode *node, uint64_t offset, void *buf, uint64_t bytes);
int vit_block_write_sync(VitBlockNode *node, uint64_t offset, const void *buf, uint64_t bytes);
int vit_block_flush_sync(VitBlockNode *node);
