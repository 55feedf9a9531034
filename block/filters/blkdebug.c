/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/blkdebug.c - for tests: errors on chosen requests, breakpoints, and limits that a
 * host might have
 *
 * Beyond QEMU's, an inject-error rule has "skip": so many matching requests go well first. */
#include "block/drivers.h"
#include "block/filters/blkdebug.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { MAX_ALIGN = 1 << 20 };

typedef struct {
    VitBlockNode parent;
    VitDebugRules *rules; /* owned */
    /* bytes, 0: no limit */
    uint64_t max_transfer, max_write_zero, opt_write_zero, max_discard, opt_discard;
} Debug;

/* ---- requests -------------------------------------------------------------------------------- */

/* One piece of a request: reading, writing. */
typedef int (*Piece)(Debug *d, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov,
                     uint32_t flags);

static int in_pieces(Debug *d, Piece fn, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov, uint32_t flags)
{
    if (!d->max_transfer || bytes <= d->max_transfer) return fn(d, offset, bytes, iov, niov, flags);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int result = 0;
    for (uint64_t at = 0, n; at < bytes && result == 0; at += n) {
        n = MIN(d->max_transfer, bytes - at);
        int count = vit_iov_slice(iov, niov, at, n, part);
        result = fn(d, offset + at, n, part, count, flags);
    }
    return result;
}

static int read_piece(Debug *d, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov,
                      uint32_t flags)
{
    int error = vit_debug_rules_inject(d->rules, VIT_BLOCK_READ, offset, bytes);

    return error ? error : vit_co_readv(d->parent.file->node, offset, bytes, iov, niov);
}

static int write_piece(Debug *d, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov,
                       uint32_t flags)
{
    int error = vit_debug_rules_inject(d->rules, VIT_BLOCK_WRITE, offset, bytes);

    return error ? error : vit_co_writev(d->parent.file->node, offset, bytes, iov, niov, flags);
}

static int debug_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    return in_pieces((Debug *)node, read_piece, offset, bytes, iov, niov, 0);
}

static int debug_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                       int niov, uint32_t flags)
{
    Debug *d = (Debug *)node;

    vit_co_debug_rules_event(d->rules, VIT_EVENT_PWRITEV);
    int result = in_pieces(d, write_piece, offset, bytes, iov, niov, flags);
    vit_co_debug_rules_event(d->rules, VIT_EVENT_PWRITEV_DONE);
    return result;
}

static int debug_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    Debug *d = (Debug *)node;
    uint64_t step = d->max_write_zero ?: bytes;
    int result = 0;

    vit_co_debug_rules_event(d->rules, VIT_EVENT_PWRITEV_ZERO);
    /* Parts of the host's unit have to be written. */
    if (d->opt_write_zero && (offset % d->opt_write_zero || bytes % d->opt_write_zero))
        return -ENOTSUP;
    for (uint64_t at = 0, n; at < bytes && result == 0; at += n) {
        n = MIN(step, bytes - at);
        result = vit_debug_rules_inject(d->rules, VIT_BLOCK_WRITE_ZEROES, offset + at, n);
        if (result == 0) result = vit_co_zero(node->file->node, offset + at, n, flags);
    }
    return result;
}

static int debug_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    Debug *d = (Debug *)node;
    uint64_t step = d->max_discard ?: bytes, unit = MAX(d->opt_discard, 1);
    uint64_t end = (offset + bytes) / unit * unit;
    int result = 0;

    offset = (offset + unit - 1) / unit * unit; /* parts of the host's unit stay */
    for (uint64_t n; offset < end && result == 0; offset += n) {
        n = MIN(step, end - offset);
        result = vit_debug_rules_inject(d->rules, VIT_BLOCK_DISCARD, offset, n);
        if (result == 0) result = vit_co_discard(node->file->node, offset, n);
    }
    return result;
}

static int debug_flush(VitBlockNode *node)
{
    Debug *d = (Debug *)node;

    vit_co_debug_rules_event(d->rules, VIT_EVENT_FLUSH_TO_DISK);
    int error = vit_debug_rules_inject(d->rules, VIT_BLOCK_FLUSH, 0, 0);
    return error ? error : vit_co_flush(node->file->node);
}

static bool debug_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                           GError **error)
{
    if (!vit_co_truncate(node->file->node, size, exact, prealloc, error)) return false;
    node->size = node->file->node->size;
    return true;
}

static void debug_event(VitBlockNode *node, VitBlockEvent event)
{
    vit_co_debug_rules_event(((Debug *)node)->rules, event);
}

VitDebugRules *vit_debug_rules_of(VitBlockNode *node)
{
    return node->driver == &vit_block_blkdebug_driver ? ((Debug *)node)->rules : NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void debug_info(VitBlockNode *node, VitBlockInfo *info)
{
    Debug *d = (Debug *)node;

    vit_block_forward_info(node, info);
    info->request_alignment = MAX(info->request_alignment, MAX(node->alignment, 1));
    if (d->max_transfer) info->max_transfer = d->max_transfer;
}

/* A limit, which must be a multiple of a unit. */
static bool take_limit(VitBlockArgs *args, const char *name, uint64_t unit, uint64_t *value,
                       GError **error)
{
    if (!vit_block_args_size(args, name, value, error)) return false;
    if (*value % MAX(unit, 1) == 0 && *value <= INT32_MAX) return true;
    return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Cannot meet constraints with %s %llu"),
                          name, (unsigned long long)*value);
}

static bool take_limits(Debug *d, VitBlockArgs *args, GError **error)
{
    uint64_t align = 0;

    if (!vit_block_args_size(args, "align", &align, error)) return false;
    if (align & (align - 1) || align > MAX_ALIGN)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Cannot meet constraints with align %llu"),
                              (unsigned long long)align);
    d->parent.alignment = (uint32_t)align;
    return take_limit(args, "max-transfer", align, &d->max_transfer, error) &&
           take_limit(args, "opt-write-zero", align, &d->opt_write_zero, error) &&
           take_limit(args, "max-write-zero", MAX(align, d->opt_write_zero), &d->max_write_zero,
                      error) &&
           take_limit(args, "opt-discard", align, &d->opt_discard, error) &&
           take_limit(args, "max-discard", MAX(align, d->opt_discard), &d->max_discard, error);
}

static void debug_close(VitBlockNode *node)
{
    g_clear_pointer(&((Debug *)node)->rules, vit_debug_rules_free);
}

static bool debug_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Debug *d = (Debug *)node;

    d->rules = vit_debug_rules_new(node->thread);
    if (vit_debug_rules_take(d->rules, args, error) && take_limits(d, args, error) &&
        vit_co_open_child(node, args, "image", VIT_EDGE_FILE, error)) {
        node->size = node->file->node->size;
        return true;
    }
    debug_close(node);
    return false;
}

/* "blkdebug:[config]:image" */
static bool debug_parse(const char *filename, JsonObject *options, GError **error)
{
    const char *rest = filename + strlen("blkdebug:"), *colon = strchr(rest, ':');

    if (!colon)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug requires both config file and image path"));
    g_autofree char *config = g_strndup(rest, (size_t)(colon - rest));
    if (*config) json_object_set_string_member(options, "config", config);
    json_object_set_string_member(options, "image.driver", "file");
    json_object_set_string_member(options, "image.filename", colon + 1);
    return true;
}

static void debug_attach(VitBlockNode *node)
{
    vit_debug_rules_move(((Debug *)node)->rules, node->thread);
}

static const char *const protocols[] = { "blkdebug", NULL };

const VitBlockDriver vit_block_blkdebug_driver = {
    .name = "blkdebug",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Debug),
    .protocols = protocols,
    .parse_filename = debug_parse,
    .co_open = debug_open,
    .co_close = debug_close,
    .co_read = debug_read,
    .co_write = debug_write,
    .co_write_zeroes = debug_write_zeroes,
    .co_discard = debug_discard,
    .co_flush = debug_flush,
    .co_status = vit_block_forward_status,
    .co_truncate = debug_truncate,
    .co_event = debug_event,
    .attach = debug_attach,
    .info = debug_info,
};
