/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/io-engine.h - asynchronous system calls on one file: io_uring, or worker threads without it
 *
 * One engine belongs to one VitIoThread.  Results come on that thread, never inside submit. */
#pragma once
#include "engine/core/iothread.h"

#include <sys/uio.h>

typedef enum { VIT_IO_READ, VIT_IO_WRITE, VIT_IO_SYNC, VIT_IO_ALLOCATE } VitIoKind;

typedef struct VitIo VitIo;
struct VitIo {                      /* the caller's, alive until done() */
    VitIoKind    kind;
    int          mode;              /* ALLOCATE: of fallocate(2) */
    bool         durable;           /* WRITE: on stable storage when it is done */
    const struct iovec *iov;
    int          niov;
    uint64_t     offset, bytes;     /* bytes: ALLOCATE */
    int64_t      result;            /* bytes moved, or -errno */
    void       (*done)(VitIo *io);
    /* the engine's */
    struct VitIoEngine *engine;
    struct VitCacheWriter *writer;
    VitIo       *next;
};

typedef struct VitIoEngine VitIoEngine;

/* Falls back to threads without a word when io_uring is not to be had. */
VitIoEngine *vit_io_engine_new(VitIoThread *thread, int fd, bool threads);
void vit_io_engine_free(VitIoEngine *engine);       /* nothing in flight; on the iothread */
void vit_io_engine_submit(VitIoEngine *engine, VitIo *io);
void vit_io_engine_plug(VitIoEngine *engine, bool on);
