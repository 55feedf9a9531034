/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/block/crash.h - a file in memory that records its write stream, and what a crash leaves of
 * it
 *
 * The host may lose what was not flushed: a crash image is made of the first n writes, of those
 * with the last one torn at a sector, or of any subset of those that came after the last flush.
 * Several files may share a log: then they have numbers. */
#pragma once
#include "block/node-private.h"

#include <errno.h>
#include <string.h>

enum { CRASH_SECTOR = 512, CRASH_LIMIT = 256 << 20 };

typedef enum { LOG_WRITE, LOG_ZERO, LOG_TRUNCATE, LOG_FLUSH } LogKind;
typedef struct {
    LogKind kind;
    unsigned number; /* of the file */
    uint64_t offset, bytes;
    uint8_t *data; /* owned */
    bool durable; /* FUA */
} LogEntry;

typedef struct {
    GByteArray *file; /* owned: the bytes now */
    GArray *log; /* of LogEntry, a reference; NULL: nothing is recorded */
    unsigned number; /* of this file among those that share the log */
    GRand *rand; /* borrowed; NULL: no delays */
    bool fail_all; /* every request ends with -EIO */
    struct CrashFault *fault; /* borrowed: of all files of a test; NULL: none */
} CrashStore;

typedef struct CrashFault {
    unsigned skip; /* requests that pass before */
    bool full; /* no file grows from then on; else one request ends with -EIO */
    bool hit; /* something has failed */
} CrashFault;

typedef struct {
    VitBlockNode parent;
    CrashStore *store; /* borrowed */
} CrashNode;

enum { CRASH_LARGEST = 512 << 20 }; /* bytes: like a file system, it takes no larger files */

static inline void crash_grow(GByteArray *file, uint64_t size)
{
    guint old = file->len;

    if (size <= old) return;
    g_assert_cmpuint(size, <=, CRASH_LARGEST);
    g_byte_array_set_size(file, (guint)size);
    memset(file->data + old, 0, size - old);
}

static inline void crash_pause(CrashNode *c)
{
    if (c->store->rand && g_rand_int_range(c->store->rand, 0, 4) == 0)
        vit_fiber_sleep(c->parent.thread, 0);
}

static inline void crash_log(CrashNode *c, LogKind kind, uint64_t offset, uint64_t bytes,
                             const void *data, bool durable)
{
    LogEntry entry = {
        kind, c->store->number, offset, bytes, data ? g_memdup2(data, bytes) : NULL, durable
    };

    if (c->store->log) g_array_append_val(c->store->log, entry);
    else g_free(entry.data);
}

/* Whether a request fails that takes the file to `end`. */
static inline int crash_fault(CrashNode *c, uint64_t end)
{
    CrashFault *f = c->store->fault;

    if (c->store->fail_all) return -EIO;
    if (!f || (f->hit && !f->full)) return 0;
    if (f->skip > 0) {
        f->skip--;
        return 0;
    }
    if (f->full && end <= c->store->file->len) return 0;
    f->hit = true;
    return f->full ? -ENOSPC : -EIO;
}

static inline int crash_read(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                             const struct iovec *iov, int niov)
{
    CrashNode *c = (CrashNode *)node;
    uint64_t have = offset < c->store->file->len ? MIN(bytes, c->store->file->len - offset) : 0;

    crash_pause(c);
    int result = crash_fault(c, 0);
    if (result < 0) return result;
    have = offset < c->store->file->len ? MIN(bytes, c->store->file->len - offset) : 0;
    if (have > 0) vit_iov_from(iov, niov, 0, c->store->file->data + offset, have);
    vit_iov_zero(iov, niov, have, bytes - have);
    return 0;
}

static inline int crash_write(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                              const struct iovec *iov, int niov, uint32_t flags)
{
    CrashNode *c = (CrashNode *)node;
    g_autofree uint8_t *data = g_malloc(bytes);
    int result = crash_fault(c, offset + bytes);

    if (result < 0) return result;
    if (offset + bytes > CRASH_LARGEST) return -EFBIG;
    vit_iov_to(iov, niov, 0, data, bytes);
    crash_pause(c);
    crash_log(c, LOG_WRITE, offset, bytes, data, flags & VIT_BLOCK_FUA);
    crash_grow(c->store->file, offset + bytes);
    memcpy(c->store->file->data + offset, data, bytes);
    crash_pause(c);
    return 0;
}

static inline int crash_zero(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    CrashNode *c = (CrashNode *)node;
    int result = crash_fault(c, offset + bytes);

    if (result < 0) return result;
    if (offset + bytes > CRASH_LARGEST) return -EFBIG;
    crash_pause(c);
    crash_log(c, LOG_ZERO, offset, bytes, NULL, flags & VIT_BLOCK_FUA);
    crash_grow(c->store->file, offset + bytes);
    memset(c->store->file->data + offset, 0, bytes);
    crash_pause(c);
    return 0;
}

static inline int crash_flush(VitBlockNode *node)
{
    CrashNode *c = (CrashNode *)node;
    GArray *log = c->store->log;
    guint before = log ? log->len : 0;
    int result = crash_fault(c, 0);

    if (result < 0) return result;
    crash_pause(c);
    if (log) { /* covers what had been written when it began */
        LogEntry entry = { LOG_FLUSH, c->store->number, before, 0, NULL, false };
        g_array_append_val(log, entry);
    }
    return 0;
}

static inline int crash_status(VitBlockNode *node, uint64_t offset, uint64_t bytes,
                               VitBlockExtent *extent)
{
    *extent = (VitBlockExtent){ .bytes = bytes,
                                .flags = VIT_EXTENT_DATA | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET,
                                .host_offset = offset,
                                .file = node };
    return 0;
}

static inline bool crash_truncate(VitBlockNode *node, uint64_t size, bool exact,
                                  VitPrealloc prealloc, GError **error)
{
    CrashNode *c = (CrashNode *)node;
    int result = crash_fault(c, size);

    if (result < 0) return vit_block_fail_errno(error, result, "truncate");
    if (size > CRASH_LARGEST) return vit_block_fail_errno(error, -EFBIG, "truncate");
    crash_log(c, LOG_TRUNCATE, size, 0, NULL, false);
    if (size < c->store->file->len) g_byte_array_set_size(c->store->file, (guint)size);
    else crash_grow(c->store->file, size);
    node->size = size;
    return true;
}

static const VitBlockDriver crash_driver = {
    .name = "crash",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(CrashNode),
    .co_read = crash_read,
    .co_write = crash_write,
    .co_write_zeroes = crash_zero,
    .co_discard = NULL,
    .co_flush = crash_flush,
    .co_status = crash_status,
    .co_truncate = crash_truncate,
};

static inline void crash_entry_clear(void *entry)
{
    g_free(((LogEntry *)entry)->data);
}

static inline CrashStore *crash_store_new(bool record, GRand *rand)
{
    CrashStore *s = g_new0(CrashStore, 1);

    s->file = g_byte_array_new();
    s->rand = rand;
    if (record) {
        s->log = g_array_new(FALSE, FALSE, sizeof(LogEntry));
        g_array_set_clear_func(s->log, crash_entry_clear);
    }
    return s;
}

/* Another file, recorded in the log of first. */
static inline CrashStore *crash_store_beside(const CrashStore *first, unsigned number)
{
    CrashStore *s = crash_store_new(false, first->rand);

    s->log = g_array_ref(first->log);
    s->number = number;
    return s;
}

static inline void crash_store_free(CrashStore *s)
{
    if (s->log) g_array_unref(s->log);
    g_byte_array_unref(s->file);
    g_free(s);
}

/* A protocol node over the store. */
static inline VitBlockNode *crash_node_new(CrashStore *store, VitIoThread *thread)
{
    CrashNode *c = (CrashNode *)vit_block_node_new(&crash_driver, "/crash/image", thread);

    c->store = store;
    c->parent.size = store->file->len;
    c->parent.opened = true;
    return &c->parent;
}

/* Makes an image of a format in the store, on a fiber; options as in "a=b,c=d". */
static inline void crash_create(CrashStore *store, VitIoThread *thread, const char *format,
                                const char *options, uint64_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("crash", options, NULL, &error);
    VitBlockNode *file = crash_node_new(store, thread);
    VitBlockCreate create = { .thread = thread,
                              .file = file,
                              .size = size,
                              .options = args,
                              .driver = vit_block_driver_find(format) };

    g_assert_no_error(error);
    (void)create.driver->co_create(&create, &error);
    g_assert_no_error(error);
    vit_block_node_unref(file);
}

/* Opens a format on it, on a fiber; takes the file's reference. */
static inline VitBlockNode *crash_open(VitBlockNode *file, const char *format, const char *options,
                                       const VitBlockOptions *how, GError **error)
{
    g_autoptr(VitBlockArgs) args = vit_block_args_parse("crash", options, NULL, error);

    g_assert_nonnull(args);
    vit_block_args_set(args, "driver", format);
    vit_block_args_set_child(args, "file", file);
    file->how = *how;
    return vit_co_open(NULL, file->thread, args, how, error);
}

static inline void crash_apply(GByteArray *file, const LogEntry *e, uint64_t bytes)
{
    switch (e->kind) {
    case LOG_WRITE:
        crash_grow(file, e->offset + bytes);
        if (bytes > 0) memcpy(file->data + e->offset, e->data, bytes);
        break;
    case LOG_ZERO:
        crash_grow(file, e->offset + bytes);
        if (bytes > 0) memset(file->data + e->offset, 0, bytes);
        break;
    case LOG_TRUNCATE:
        if (e->offset < file->len) g_byte_array_set_size(file, (guint)e->offset);
        else crash_grow(file, e->offset);
        break;
    case LOG_FLUSH: break;
    }
}

/* What a crash after `count` entries leaves of file `number`.  torn: bytes of the last entry that
 * arrived (a multiple of a sector), UINT64_MAX for all.  lose: entries from `safe` on that no flush
 * covers are lost by the toss of a coin. */
static inline CrashStore *crash_image_of(const GArray *log, unsigned number, guint count,
                                         uint64_t torn, guint safe, GRand *lose)
{
    CrashStore *s = crash_store_new(false, NULL);

    for (guint i = 0; i < count; i++) {
        const LogEntry *e = &g_array_index(log, LogEntry, i);
        if (e->number == number && e->kind == LOG_FLUSH) safe = MAX(safe, (guint)e->offset);
    }
    for (guint i = 0; i < count; i++) {
        const LogEntry *e = &g_array_index(log, LogEntry, i);
        uint64_t bytes = e->bytes;
        if (e->number != number) continue;
        if (lose && i >= safe && !e->durable && g_rand_boolean(lose)) continue;
        if (i == count - 1) bytes = MIN(bytes, torn);
        crash_apply(s->file, e, bytes);
    }
    return s;
}

static inline CrashStore *crash_image(const GArray *log, guint count, uint64_t torn, guint safe,
                                      GRand *lose)
{
    return crash_image_of(log, 0, count, torn, safe, lose);
}
