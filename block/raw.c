/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/raw.c - the raw format: the file's bytes are the disk's
 *
 * The size is rounded up to whole 512-byte sectors; what lies past the file's end reads as zero and
 * comes into being when it is written.  "offset" and "size" cut out a part.
 *
 * A disk that was taken for raw because no format was named must not be made to look like another
 * by whoever writes to it: the next opening would take it for that, and a guest could so have any
 * file of the host shown to it as a backing file. */
#include "block/drivers.h"
#include "block/node-private.h"

#include <errno.h>
#include <string.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>

typedef struct {
    VitBlockNode parent;
    uint64_t offset, length;    /* length 0: to the end */
    VitFiberMutex guard;        /* one look at head and tail at a time */
} Raw;

static bool forward(VitBlockNode *node, VitBlockRequest *req)
{
    VitBlockRequest *child = vit_block_child_request(req);

    child->offset += ((Raw *)node)->offset;
    vit_block_submit(node->file->node, child);
    return true;
}

/* ---- a disk that was probed ------------------------------------------------------------------ */

static bool is_guarded(const VitBlockNode *node, uint64_t offset, uint64_t bytes)
{
    return node->probed &&
           (offset < VIT_BLOCK_HEAD || offset + bytes + VIT_BLOCK_TAIL > node->size);
}

/* What of [offset, offset + bytes) lies in the buffer of file bytes from `at` on is put there. */
static void overlay(uint8_t *buf, uint64_t at, uint64_t size, uint64_t offset, uint64_t bytes,
                    const struct iovec *iov, int niov)
{
    uint64_t from = MAX(at, offset), to = MIN(at + size, offset + bytes);

    if (from >= to) return;
    if (iov) vit_iov_to(iov, niov, from - offset, buf + (from - at), to - from);
    else memset(buf + (from - at), 0, to - from);
}

/* Whether the file would still be probed as raw after this write (iov NULL: of zeroes). */
static int stays_raw(Raw *r, uint64_t offset, uint64_t bytes, const struct iovec *iov, int niov)
{
    VitBlockNode *file = r->parent.file->node;
    uint64_t size = MAX(file->size, offset + bytes), head_size = MIN(size, VIT_BLOCK_HEAD);
    g_autofree uint8_t *head = g_malloc0(VIT_BLOCK_HEAD);
    uint8_t tail[VIT_BLOCK_TAIL];
    bool has_tail = size >= sizeof tail;
    int result = vit_co_read(file, 0, head, head_size);

    if (result == 0 && has_tail) result = vit_co_read(file, size - sizeof tail, tail, sizeof tail);
    if (result < 0) return result;
    overlay(head, 0, head_size, offset, bytes, iov, niov);
    if (has_tail) overlay(tail, size - sizeof tail, sizeof tail, offset, bytes, iov, niov);
    const VitBlockDriver *found = vit_block_probe(head, head_size, has_tail ? tail : NULL,
                                                  file->filename);
    return found == &vit_block_raw_driver ? 0 : -EPERM;
}

static int raw_change(VitBlockNode *node, VitBlockOp op, uint64_t offset, uint64_t bytes,
                      const struct iovec *iov, int niov, uint32_t flags)
{
    Raw *r = (Raw *)node;
    bool guarded = is_guarded(node, offset, bytes);
    int result = 0;

    if (flags & VIT_BLOCK_COMPRESSED) return -ENOTSUP;
    offset += r->offset;
    if (guarded) {
        vit_fiber_mutex_lock(&r->guard);
        result = stays_raw(r, offset, bytes, iov, niov);
    }
    if (result == 0) result = vit_co_change(node->file->node, op, offset, bytes, iov, niov, flags);
    if (guarded) vit_fiber_mutex_unlock(&r->guard);
    return result;
}

static bool raw_submit(VitBlockNode *node, VitBlockRequest *req)
{
    bool changes = req->op != VIT_BLOCK_READ && req->op != VIT_BLOCK_FLUSH;

    return !(req->flags & VIT_BLOCK_COMPRESSED) &&
           !(changes && is_guarded(node, req->offset, req->bytes)) && forward(node, req);
}

/* ---- the format ------------------------------------------------------------------------------ */

static int raw_copy_range(VitBlockNode *node, uint64_t offset, VitBlockNode *from,
                          uint64_t from_offset, uint64_t bytes)
{
    return vit_co_copy_range(node->file->node, offset + ((Raw *)node)->offset, from, from_offset,
                             bytes);
}

static int raw_status(VitBlockNode *node, uint64_t offset, uint64_t bytes, VitBlockExtent *extent)
{
    Raw *r = (Raw *)node;

    int result = vit_co_status(node->file->node, offset + r->offset, bytes, extent);
    extent->flags |= VIT_EXTENT_ALLOCATED;
    if (result == 0 && extent->bytes == 0) { /* the last sector, past the file's end */
        extent->bytes = bytes;
        extent->flags = VIT_EXTENT_ZERO | VIT_EXTENT_ALLOCATED | VIT_EXTENT_OFFSET;
        extent->host_offset = offset + r->offset;
        extent->file = node->file->node;
    }
    return result;
}

static void set_size(Raw *r)
{
    uint64_t size = (r->parent.file->node->size + 511) & ~UINT64_C(511);

    size = size > r->offset ? size - r->offset : 0;
    r->parent.size = r->length ? MIN(r->length, size) : size;
}

static bool raw_truncate(VitBlockNode *node, uint64_t size, bool exact, VitPrealloc prealloc,
                         GError **error)
{
    Raw *r = (Raw *)node;

    if (r->length)
        return vit_block_fail(error, VIT_BLOCK_ERROR_UNSUPPORTED,
                              _("“%s”: cannot be resized, since its size option is set"),
                              node->filename);
    if (!vit_co_truncate(node->file->node, size + r->offset, exact, prealloc, error)) return false;
    set_size(r);
    return true;
}

static void raw_attach(VitBlockNode *node)
{
    ((Raw *)node)->guard.thread = node->thread;
}

static bool raw_open(VitBlockNode *node, VitBlockArgs *args, GError **error)
{
    Raw *r = (Raw *)node;

    raw_attach(node);
    if (!vit_block_args_size(args, "offset", &r->offset, error) ||
        !vit_block_args_size(args, "size", &r->length, error) ||
        !vit_co_open_child(node, args, "file", VIT_EDGE_FILE, error))
        return false;
    uint64_t have = (node->file->node->size + 511) & ~UINT64_C(511);
    if (r->offset > have)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Offset (%" PRIu64 ") cannot be greater than size of the "
                                "containing file (%" PRIu64 ")"),
                              r->offset, node->file->node->size);
    if (r->length && r->length > have - r->offset)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("The sum of offset (%" PRIu64 ") and size (%" PRIu64 ") has to be "
                                "smaller or equal to the  actual size of the containing file "
                                "(%" PRIu64 ")"),
                              r->offset, r->length, node->file->node->size);
    if (r->length % 512)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("Specified size is not multiple of 512"));
    set_size(r);
    return true;
}

static bool raw_create(VitBlockCreate *create, GError **error)
{
    VitBlockNode *file = create->file ? vit_block_node_ref(create->file) : NULL;
    bool good = true;

    if (!file) file = vit_co_create_file(create, create->size, error);
    else good = vit_co_truncate(file, create->size, false, VIT_PREALLOC_OFF, error);
    if (!file) return false;
    vit_block_node_unref(file);
    return good;
}

static bool raw_measure(VitBlockArgs *options, VitBlockNode *source, uint64_t size,
                        VitBlockMeasure *result, GError **error)
{
    /* How the file would be made changes nothing. */
    (void)vit_block_args_str(options, "preallocation");
    (void)vit_block_args_str(options, "nocow");
    (void)vit_block_args_str(options, "extent_size_hint");
    result->required = result->fully_allocated = source ? source->size : size;
    return true;
}

static const VitBlockOption raw_create_options[] = { { .name = NULL } };

const VitBlockDriver vit_block_raw_driver = {
    .name = "raw",
    .kind = VIT_BLOCK_FORMAT,
    .instance_size = sizeof(Raw),
    .create_options = raw_create_options,
    .co_open = raw_open,
    .co_change = raw_change,
    .try_submit = raw_submit,
    .info = vit_block_forward_info,
    .co_status = raw_status,
    .co_copy_range = raw_copy_range,
    .co_truncate = raw_truncate,
    .attach = raw_attach,
    .co_create = raw_create,
    .co_measure = raw_measure,
};
