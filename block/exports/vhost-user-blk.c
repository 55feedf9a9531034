/* SPDX-License-Identifier: GPL-3.0-or-later */
/* block/exports/vhost-user-blk.c - a node as a virtio block device of another process's machine
 * (OASIS virtio 1.2, section 5.2)
 *
 * Data go between the node and the driver's memory without a copy. */
#include "block/driver.h"
#include "block/export.h"
#include "block/exports/vhost-user.h"
#include "block/nbd/address.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <unistd.h>

enum {
    SECTOR = 512,
    HEADER = 16,
    ID_BYTES = 20,
    MAX_SEGMENTS = 128 - 2,
    MAX_QUEUES = 256,
    MAX_RANGES = 32,
    MAX_RANGE_SECTORS = 1 << 21, /* of one discard or write zeroes: 1 GiB */
    CONFIG_SIZE = 60,
};

typedef struct Job Job;

typedef struct {
    VitBlockExport parent;
    VitNbdAddress address;
    VitVhostUser *user; /* owned */
    VitVhostDevice device;
    uint32_t block_size; /* logical, bytes */
    bool write_cache; /* as the driver has set it */
    Job *spare; /* linked by next */
} Blk;

struct Job {
    VitBlockRequest req;
    Blk *blk; /* borrowed */
    VitVhostQueue *queue; /* borrowed */
    uint16_t head;
    uint8_t *status; /* borrowed: in the driver's memory */
    uint32_t written; /* bytes of the chain that are filled besides the status */
    struct iovec *iov; /* owned */
    int room;
    uint8_t ranges[MAX_RANGES * sizeof(struct virtio_blk_discard_write_zeroes)];
    unsigned n_ranges, at_range;
    Job *next;
};

/* ---- jobs ------------------------------------------------------------------------------------ */

static Job *new_job(Blk *b, VitVhostQueue *queue, uint16_t head)
{
    Job *job = b->spare;

    if (job) b->spare = job->next;
    else job = g_new0(Job, 1);
    job->blk = b;
    job->queue = queue;
    job->head = head;
    job->written = 0;
    return job;
}

static void end_job(Job *job, uint8_t status)
{
    Blk *b = job->blk;

    *job->status = status;
    vit_vhost_queue_push(job->queue, job->head, job->written + 1);
    job->next = b->spare;
    b->spare = job;
}

static uint8_t status_of(int result)
{
    return result == 0          ? VIRTIO_BLK_S_OK
           : result == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP
                                : VIRTIO_BLK_S_IOERR;
}

/* A driver that cannot flush expects writes to be stable. */
static bool write_back(const Blk *b)
{
    return b->write_cache && (vit_vhost_user_features(b->user) & UINT64_C(1) << VIRTIO_BLK_F_FLUSH);
}

static void submit(Job *job, VitBlockOp op, uint64_t offset, uint64_t bytes, int niov,
                   uint32_t flags);
static bool next_range(Job *job);

static void request_done(VitBlockRequest *req)
{
    Job *job = req->opaque;
    Blk *b = job->blk;

    if (req->result == 0 && job->at_range < job->n_ranges && next_range(job)) return;
    if (req->result == 0 && req->op == VIT_BLOCK_DISCARD && !write_back(b)) {
        submit(job, VIT_BLOCK_FLUSH, 0, 0, 0, 0);
        return;
    }
    if (req->result == 0 && req->op == VIT_BLOCK_READ) job->written = (uint32_t)req->bytes;
    end_job(job, status_of(req->result));
}

static void submit(Job *job, VitBlockOp op, uint64_t offset, uint64_t bytes, int niov,
                   uint32_t flags)
{
    Blk *b = job->blk;

    if (!write_back(b) && (op == VIT_BLOCK_WRITE || op == VIT_BLOCK_WRITE_ZEROES))
        flags |= VIT_BLOCK_FUA;
    job->req = (VitBlockRequest){ .op = op,
                                  .flags = flags,
                                  .offset = offset,
                                  .bytes = bytes,
                                  .iov = job->iov,
                                  .niov = niov,
                                  .done = request_done,
                                  .opaque = job };
    vit_block_submit(b->parent.node, &job->req);
}

/* ---- requests -------------------------------------------------------------------------------- */

static uint64_t size_of(const struct iovec *iov, int n)
{
    uint64_t size = 0;

    for (int i = 0; i < n; i++) size += iov[i].iov_len;
    return size;
}

static bool in_bounds(const Blk *b, uint64_t sector, uint64_t bytes)
{
    uint64_t size = vit_block_info(b->parent.node).size;

    return bytes % SECTOR == 0 && sector <= size / SECTOR && bytes <= size - sector * SECTOR;
}

/* Points job->iov at bytes [skip, skip + bytes) of iov. */
static int slice(Job *job, const struct iovec *iov, int n, uint64_t skip, uint64_t bytes)
{
    if (job->room < n + 1) {
        job->room = n + 1;
        g_free(job->iov);
        job->iov = g_new(struct iovec, (size_t)job->room);
    }
    return vit_iov_slice(iov, n, skip, bytes, job->iov);
}

static bool next_range(Job *job)
{
    bool discard = job->req.op == VIT_BLOCK_DISCARD;
    struct virtio_blk_discard_write_zeroes r;

    memcpy(&r, job->ranges + sizeof r * job->at_range++, sizeof r);
    uint32_t flags = le32toh(r.flags);
    submit(job, job->req.op, le64toh(r.sector) * SECTOR, le32toh(r.num_sectors) * (uint64_t)SECTOR,
           0, !discard && (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) ? VIT_BLOCK_MAY_UNMAP : 0);
    return true;
}

/* All ranges are checked before the first one is touched. */
static uint8_t begin_ranges(Job *job, const VitVringElement *e, bool discard)
{
    Blk *b = job->blk;
    struct virtio_blk_discard_write_zeroes r;
    uint64_t bytes = size_of(e->out, e->n_out) - HEADER;
    uint32_t allowed = discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

    if (!b->parent.writable) return VIRTIO_BLK_S_IOERR;
    if (bytes == 0 || bytes % sizeof r || bytes > sizeof job->ranges) return VIRTIO_BLK_S_IOERR;
    vit_iov_to(e->out, e->n_out, HEADER, job->ranges, bytes);
    job->n_ranges = (unsigned)(bytes / sizeof r);
    job->at_range = 0;
    for (unsigned i = 0; i < job->n_ranges; i++) {
        memcpy(&r, job->ranges + sizeof r * i, sizeof r);
        uint32_t sectors = le32toh(r.num_sectors);
        if (le32toh(r.flags) & ~allowed) return VIRTIO_BLK_S_UNSUPP;
        if (sectors > MAX_RANGE_SECTORS ||
            !in_bounds(b, le64toh(r.sector), sectors * (uint64_t)SECTOR))
            return VIRTIO_BLK_S_IOERR;
    }
    job->req.op = discard ? VIT_BLOCK_DISCARD : VIT_BLOCK_WRITE_ZEROES;
    next_range(job);
    return UINT8_MAX;
}

static uint8_t begin_move(Job *job, const VitVringElement *e, uint64_t sector, bool read)
{
    Blk *b = job->blk;
    const struct iovec *iov = read ? e->in : e->out;
    int n = read ? e->n_in : e->n_out;
    uint64_t skip = read ? 0 : HEADER, bytes = size_of(iov, n) - (read ? 1 : HEADER);

    if (!read && !b->parent.writable) return VIRTIO_BLK_S_IOERR;
    if (!in_bounds(b, sector, bytes)) return VIRTIO_BLK_S_IOERR;
    submit(job, read ? VIT_BLOCK_READ : VIT_BLOCK_WRITE, sector * SECTOR, bytes,
           slice(job, iov, n, skip, bytes), 0);
    return UINT8_MAX;
}

static uint8_t give_id(Job *job, const VitVringElement *e)
{
    char id[ID_BYTES] = { 0 };
    uint64_t room = size_of(e->in, e->n_in) - 1;

    strncpy(id, "vhost_user_blk", sizeof id);
    job->written = (uint32_t)MIN(room, sizeof id);
    vit_iov_from(e->in, e->n_in, 0, id, job->written);
    return VIRTIO_BLK_S_OK;
}

static void on_request(void *opaque, VitVhostQueue *queue, const VitVringElement *e)
{
    Blk *b = opaque;
    struct virtio_blk_outhdr header;
    const struct iovec *last = e->n_in ? &e->in[e->n_in - 1] : NULL;

    if (!last || last->iov_len == 0 || size_of(e->out, e->n_out) < HEADER) {
        vit_vhost_queue_push(queue, e->head, 0); /* there is nowhere to say what is wrong */
        return;
    }
    Job *job = new_job(b, queue, e->head);
    job->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    job->n_ranges = job->at_range = 0;
    vit_iov_to(e->out, e->n_out, 0, &header, HEADER);
    uint64_t sector = le64toh(header.sector);
    uint8_t status;
    switch (le32toh(header.type)) {
    case VIRTIO_BLK_T_IN: status = begin_move(job, e, sector, true); break;
    case VIRTIO_BLK_T_OUT: status = begin_move(job, e, sector, false); break;
    case VIRTIO_BLK_T_FLUSH:
        submit(job, VIT_BLOCK_FLUSH, 0, 0, 0, 0);
        status = UINT8_MAX;
        break;
    case VIRTIO_BLK_T_GET_ID: status = give_id(job, e); break;
    case VIRTIO_BLK_T_DISCARD: status = begin_ranges(job, e, true); break;
    case VIRTIO_BLK_T_WRITE_ZEROES: status = begin_ranges(job, e, false); break;
    default: status = VIRTIO_BLK_S_UNSUPP; break;
    }
    if (status != UINT8_MAX) end_job(job, status); /* else it is under way */
}

static void on_batch(void *opaque, bool begin)
{
    Blk *b = opaque;

    if (begin) vit_block_plug(b->parent.node);
    else vit_block_unplug(b->parent.node);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void get_config(void *opaque, uint8_t *to)
{
    const Blk *b = opaque;
    struct virtio_blk_config c = {
        .capacity = htole64(vit_block_info(b->parent.node).size / SECTOR),
        .seg_max = htole32(MAX_SEGMENTS),
        .blk_size = htole32(b->block_size),
        .min_io_size = htole16(1),
        .opt_io_size = htole32(1),
        .wce = b->write_cache,
        .num_queues = htole16((uint16_t)b->device.max_queues),
        .max_discard_sectors = htole32(MAX_RANGE_SECTORS),
        .max_discard_seg = htole32(MAX_RANGES),
        .discard_sector_alignment = htole32(b->block_size / SECTOR),
        .max_write_zeroes_sectors = htole32(MAX_RANGE_SECTORS),
        .max_write_zeroes_seg = htole32(MAX_RANGES),
        .write_zeroes_may_unmap = 1,
    };

    memcpy(to, &c, CONFIG_SIZE);
}

static void set_config(void *opaque, uint32_t offset, const uint8_t *data, uint32_t size)
{
    Blk *b = opaque;

    if (offset == offsetof(struct virtio_blk_config, wce) && size == 1 && !b->parent.writethrough)
        b->write_cache = data[0] != 0;
}

static void on_reset(void *opaque)
{
    Blk *b = opaque;

    b->write_cache = !b->parent.writethrough;
}

static void complain(void *opaque, const char *text)
{
    const Blk *b = opaque;

    g_warning(_("vhost-user-blk export '%s': %s"), b->parent.id, text);
}

/* ---- the export ------------------------------------------------------------------------------ */

static bool take_options(Blk *b, VitBlockArgs *args, GError **error)
{
    uint64_t queues = 1, block = SECTOR;

    g_autoptr(VitBlockArgs) addr = vit_block_args_sub(args, "addr");
    if (!addr)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID, _("Parameter 'addr' is missing"));
    if (!vit_block_args_uint(args, "num-queues", UINT16_MAX, &queues, error) ||
        !vit_block_args_size(args, "logical-block-size", &block, error) ||
        !vit_nbd_address_take(addr, &b->address, error))
        return false;
    if (b->address.host)
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("vhost-user-blk needs a Unix socket (addr.type=unix,addr.path=...)"));
    if (queues == 0 || queues > MAX_QUEUES)
        return vit_block_fail(error, VIT_BLOCK_ERROR_INVALID,
                              _("num-queues must be between 1 and %d"), MAX_QUEUES);
    if (block < SECTOR || block > 32768 || (block & (block - 1)))
        return vit_block_fail(
            error, VIT_BLOCK_ERROR_INVALID,
            _("Property 'logical-block-size' must be a power of two between 512 and "
              "32768"));
    b->block_size = (uint32_t)block;
    b->device.max_queues = (unsigned)queues;
    return true;
}

static void drop_socket(Blk *b)
{
    if (b->address.path) unlink(b->address.path);
    vit_nbd_address_clear(&b->address);
}

static bool blk_start(VitBlockExport *export, VitBlockArgs *args, GError **error)
{
    Blk *b = (Blk *)export;
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));

    if (!take_options(b, args, error) || !vit_nbd_address_listen(&b->address, fds, error)) {
        vit_nbd_address_clear(&b->address);
        return false;
    }
    b->write_cache = !export->writethrough;
    b->device.features = UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX |
                         UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE |
                         UINT64_C(1) << VIRTIO_BLK_F_TOPOLOGY | UINT64_C(1) << VIRTIO_BLK_F_FLUSH |
                         UINT64_C(1) << VIRTIO_BLK_F_CONFIG_WCE | UINT64_C(1) << VIRTIO_BLK_F_MQ;
    if (export->writable)
        b->device.features |= UINT64_C(1) << VIRTIO_BLK_F_DISCARD |
                              UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
    else b->device.features |= UINT64_C(1) << VIRTIO_BLK_F_RO;
    b->device.config_size = CONFIG_SIZE;
    b->device.get_config = get_config;
    b->device.set_config = set_config;
    b->device.request = on_request;
    b->device.batch = on_batch;
    b->device.reset = on_reset;
    b->device.complain = complain;
    b->user = vit_vhost_user_new(vit_block_node_thread(export->node), g_array_index(fds, int, 0),
                                 &b->device, b, vit_block_exports_memory_guard(export->exports));
    return true;
}

static void blk_stop(VitBlockExport *export)
{
    Blk *b = (Blk *)export;

    vit_co_vhost_user_free(b->user);
    while (b->spare) {
        Job *job = b->spare;
        b->spare = job->next;
        g_free(job->iov);
        g_free(job);
    }
    drop_socket(b);
}

static unsigned blk_clients(VitBlockExport *export)
{
    return vit_vhost_user_connected(((Blk *)export)->user);
}

const VitBlockExportClass vit_vhost_user_blk_export_class = {
    .type = "vhost-user-blk",
    .instance_size = sizeof(Blk),
    .co_start = blk_start,
    .co_stop = blk_stop,
    .clients = blk_clients,
};
