/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/filters/blkdebug.c - for tests: errors on chosen requests, and limits that a host might
 * have
 *
 * Rules "inject-error.N": iotype (read, write, write-zeroes, discard, flush), sector, errno, once,
 * immediately (no difference here), and, beyond QEMU's, skip: so many matching requests go well
 * first. Nodes here have no named events: event must be none. */
#include "block/drivers.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum { MAX_RULES = 64 };

typedef struct {
    unsigned ops; /* bits of VitBlockOp */
    int64_t sector; /* -1: any */
    int error; /* positive errno */
    bool once;
    uint64_t skip; /* matching requests that still go well */
} Rule;

typedef struct {
    VitBlockNode parent;
    Rule rules[MAX_RULES];
    unsigned n_rules;
    uint64_t max_transfer, max_write_zero, max_discard;
} Debug;

/* The error that this request is to meet, 0: none. */
static int inject(Debug *d, VitBlockOp op, uint64_t offset, uint64_t bytes)
{
    for (unsigned i = 0; i < d->n_rules; i++) {
        Rule *r = &d->rules[i];
        bool here = r->sector < 0 || op == VIT_BLOCK_FLUSH ||
                    ((uint64_t)r->sector * 512 >= offset &&
                     (uint64_t)r->sector * 512 < offset + bytes);
        if (!(r->ops & 1u << op) || !here) continue;
        if (r->skip > 0) {
            r->skip--;
            continue;
        }
        int error = r->error;
        if (r->once) *r = d->rules[--d->n_rules];
        return -error;
    }
    return 0;
}

static int debug_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov)
{
    int error = inject((Debug *)node, VIT_BLOCK_READ, offset, bytes);

    return error ? error : vit_co_readv(node->file->node, offset, bytes, iov, niov);
}

static int debug_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                       int niov, uint32_t flags)
{
    int error = inject((Debug *)node, VIT_BLOCK_WRITE, offset, bytes);

    return error ? error : vit_co_writev(node->file->node, offset, bytes, iov, niov, flags);
}

static int debug_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    Debug *d = (Debug *)node;
    int error = inject(d, VIT_BLOCK_WRITE_ZEROES, offset, bytes);

    if (!error && d->max_write_zero && bytes > d->max_write_zero) return -ENOTSUP;
    return error ? error : vit_co_zero(node->file->node, offset, bytes, flags);
}

static int debug_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    int error = inject((Debug *)node, VIT_BLOCK_DISCARD, offset, bytes);

    return error ? error : vit_co_discard(node->file->node, offset, bytes);
}

static int debug_flush(VitBlockNode *node)
{
    int error = inject((Debug *)node, VIT_BLOCK_FLUSH, 0, 0);

    return error ? error : vit_co_flush(node->file->node);
}

static int debug_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    return vit_co_status(node->file->node, offset, bytes, extent);
}

static bool debug_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                           GError **error)
{
    if (!vit_co_truncate(node->file->node, size, exact, prealloc, error)) return false;
    node->size = node->file->node->size;
    return true;
}

static void debug_info(VitBlockNode *node, VitBlockInfo *info)
{
    Debug *d = (Debug *)node;

    *info = vit_block_info(node->file->node);
    info->read_only |= node->how.read_only;
    info->request_alignment = MAX(info->request_alignment, MAX(node->alignment, 1));
    if (d->max_transfer) info->max_transfer = d->max_transfer;
}

static bool take_rule(Debug *d, VitBlockArgs *args, GError **error)
{
    static const char *const types[] = {
        "read", "write", "flush", "discard", "write-zeroes", NULL
    };
    static const char *const events[] = { "none", NULL };
    Rule *r = &d->rules[d->n_rules];
    int type = -1, event = 0;
    uint64_t number = EIO, sector = UINT64_MAX, state = 0;
    bool immediately = false;

    *r = (Rule){ .sector = -1 };
    if (!vit_block_args_enum(args, "event", events, &event, error) ||
        !vit_block_args_enum(args, "iotype", types, &type, error) ||
        !vit_block_args_uint(args, "errno", 4095, &number, error) ||
        !vit_block_args_uint(args, "sector", INT64_MAX / 512, &sector, error) ||
        !vit_block_args_uint(args, "state", UINT32_MAX, &state, error) ||
        !vit_block_args_uint(args, "skip", UINT64_MAX, &r->skip, error) ||
        !vit_block_args_bool(args, "once", &r->once, error) ||
        !vit_block_args_bool(args, "immediately", &immediately, error) ||
        !vit_block_args_finish(args, error))
        return false;
    if (state)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("blkdebug: rules with a state are not supported"));
    r->error = (int)number;
    r->sector = sector == UINT64_MAX ? -1 : (int64_t)sector;
    r->ops = type >= 0 ? 1u << type
                       : 1u << VIT_BLOCK_READ | 1u << VIT_BLOCK_WRITE | 1u << VIT_BLOCK_FLUSH |
                             1u << VIT_BLOCK_DISCARD | 1u << VIT_BLOCK_WRITE_ZEROES;
    d->n_rules += number > 0;
    return true;
}

static bool take_rules(Debug *d, VitBlockArgs *args, GError **error)
{
    JsonNode *list = vit_block_args_node(args, "inject-error");

    if (!list) return true;
    if (!JSON_NODE_HOLDS_ARRAY(list))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug: inject-error is a list (inject-error.0.event=...)"));
    JsonArray *rules = json_node_get_array(list);
    if (json_array_get_length(rules) > MAX_RULES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("blkdebug: at most %d rules"),
                              MAX_RULES);
    for (unsigned i = 0; i < json_array_get_length(rules); i++) {
        JsonNode *rule = json_array_get_element(rules, i);
        if (!JSON_NODE_HOLDS_OBJECT(rule))
            return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                                  _("blkdebug: inject-error.%u is no rule"), i);
        g_autoptr(VitBlockArgs)
            one = vit_block_args_new("blkdebug: inject-error", json_node_get_object(rule), error);
        if (!one || !take_rule(d, one, error)) return false;
    }
    return true;
}

static bool debug_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Debug *d = (Debug *)node;
    uint64_t align = 0;

    if (!take_rules(d, args, error) || !vit_block_args_size(args, "align", &align, error) ||
        !vit_block_args_size(args, "max-transfer", &d->max_transfer, error) ||
        !vit_block_args_size(args, "max-write-zero", &d->max_write_zero, error) ||
        !vit_block_args_size(args, "max-discard", &d->max_discard, error) ||
        !vit_co_open_child(node, args, "image", VIT_EDGE_FILE, error))
        return false;
    if (align && (align & (align - 1) || align > 1 << 20))
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("blkdebug: align must be a power of two up to 1M"));
    node->alignment = (uint32_t)align;
    node->size = node->file->node->size;
    return true;
}

/* "blkdebug:[config]:image"; rules come as options. */
static bool debug_parse(const char *filename, JsonObject *options, GError **error)
{
    const char *rest = filename + strlen("blkdebug:"), *colon = strchr(rest, ':');

    if (!colon)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("“%s”: is written blkdebug::IMAGE"),
                              filename);
    if (colon != rest)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_UNSUPPORTED,
            _("“%s”: rules are given as options (inject-error.0.iotype=...), not as a file"),
            filename);
    json_object_set_string_member(options, "image.driver", "file");
    json_object_set_string_member(options, "image.filename", colon + 1);
    return true;
}

static const char *const protocols[] = { "blkdebug", NULL };

const VitBlockDriver vit_block_blkdebug_driver = {
    .name = "blkdebug",
    .kind = VIT_BLOCK_PROTOCOL,
    .instance_size = sizeof(Debug),
    .protocols = protocols,
    .parse_filename = debug_parse,
    .co_open = debug_open,
    .co_read = debug_read,
    .co_write = debug_write,
    .co_write_zeroes = debug_write_zeroes,
    .co_discard = debug_discard,
    .co_flush = debug_flush,
    .co_status = debug_status,
    .co_truncate = debug_truncate,
    .info = debug_info,
};
