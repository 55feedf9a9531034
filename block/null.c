/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/null.c - "null-co://" and "null-aio://": disks that forget what is written to them
 *
 * For measuring what lies above them.  "latency-ns" is how long a request takes; whether zeroes are
 * read is known to others only with "read-zeroes". */
#include "block/drivers.h"
#include "block/node-private.h"

#include "engine/core/fiber.h"

#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct {
    VitBlockNode parent;
    uint64_t latency;       /* nanoseconds */
    bool read_zeroes;
} Null;

static bool null_parse(const char *filename, JsonObject *options, GError **error)
{
    const char *name = json_object_get_string_member_with_default(options, "driver", "");
    g_autofree char *wanted = g_strconcat(name, "://", NULL);

    return strcmp(filename, wanted) == 0 ||
           vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                          _("The only allowed filename for this driver is '%s'"), wanted);
}

/* With its options, where these matter for what is read. */
static char *full_name(VitBlockNode *node, VitBlockArgs *args)
{
    JsonNode *size = vit_block_args_node(args, "size"),
             *zeroes = vit_block_args_node(args, "read-zeroes");

    if (!size && !zeroes) return g_strconcat(node->driver->name, "://", NULL);
    g_autofree char *size_text = size ? json_to_string(size, FALSE) : NULL,
                    *zeroes_text = zeroes ? json_to_string(zeroes, FALSE) : NULL;
    return g_strdup_printf("json:{%s%s%s\"driver\": \"%s\"%s%s}", zeroes ? "\"read-zeroes\": " : "",
                           zeroes ? zeroes_text : "", zeroes ? ", " : "", node->driver->name,
                           size ? ", \"size\": " : "", size ? size_text : "");
}

static bool null_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Null *n = (Null *)node;
    uint64_t size = UINT64_C(1) << 30;

    if (!vit_block_args_size(args, "size", &size, error) ||
        !vit_block_args_uint(args, "latency-ns", INT64_MAX, &n->latency, error) ||
        !vit_block_args_bool(args, "read-zeroes", &n->read_zeroes, error))
        return false;
    if (size > INT64_MAX - 511)
        return vit_block_args_fail(args, error, _("An image has at most 8 EiB"));
    node->size = size;
    g_free(node->filename);
    node->filename = full_name(node, args);
    return true;
}

static int wait(VitBlockNode *node)
{
    uint64_t latency = ((Null *)node)->latency;

    if (latency) vit_fiber_sleep(node->thread, latency);
    return 0;
}

static int null_read(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                     int niov)
{
    vit_iov_zero(iov, niov, 0, bytes);
    return wait(node);
}

static int null_write(VitBlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                      int niov, uint32_t flags)
{
    return wait(node);
}

static int null_write_zeroes(VitBlockNode *node, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    return wait(node);
}

static int null_discard(VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    return wait(node);
}

static int null_flush(VitBlockNode *node)
{
    return wait(node);
}

static int null_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    *extent = (VitBlockExtent){
        .bytes = bytes,
        .flags = ((Null *)node)->read_zeroes
                     ? VIT_EXTENT_OFFSET | VIT_EXTENT_ALLOCATED | VIT_EXTENT_ZERO
                     : 0,
        .host_offset = offset,
        .file = node,
    };
    return 0;
}

static const char *const co_protocols[] = { "null-co", NULL };
static const char *const aio_protocols[] = { "null-aio", NULL };

#define NULL_DRIVER(NAME, PROTOCOLS)                                                               \
    {                                                                                              \
        .name = NAME,                                                                              \
        .kind = VIT_BLOCK_PROTOCOL,                                                                \
        .instance_size = sizeof(Null),                                                             \
        .protocols = PROTOCOLS,                                                                    \
        .parse_filename = null_parse,                                                              \
        .co_open = null_open,                                                                      \
        .co_read = null_read,                                                                      \
        .co_write = null_write,                                                                    \
        .co_write_zeroes = null_write_zeroes,                                                      \
        .co_discard = null_discard,                                                                \
        .co_flush = null_flush,                                                                    \
        .co_status = null_status,                                                                  \
    }

const VitBlockDriver vit_block_null_co_driver = NULL_DRIVER("null-co", co_protocols);
const VitBlockDriver vit_block_null_aio_driver = NULL_DRIVER("null-aio", aio_protocols);
