/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/blk.c - virtio disk (Virtual I/O Device 1.2, section 5.2)
 *
 * Requests go to the block node with the guest's own buffers; queues run on the node's iothread.
 * Not modelled: zoned devices, secure erase, lifetime. */
#include "block/graph.h"
#include "hw/drive-props.h"
#include "hw/virtio/queue-map.h"
#include "hw/virtio/virtio-devices.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum {
    SECTOR = 512,
    ID_BYTES = 20,
    MAX_SEGMENTS = 32,
    MAX_RANGE_SECTORS = 1 << 22,
    CONFIG_SIZE = 60
};
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { RANGE_UNMAP = 1 };
enum {
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
};
#define BIT(n) (1ull << (n))

typedef struct {
    VitVirtio     virtio;       /* first member */
    VitBlockNode *node;         /* borrowed; NULL: an empty drive that fails every request */
    VitBlockUse  *use;          /* owned; NULL without a node */
    VitBlockObjects *objects;   /* borrowed */
    VitBlockPlace place;        /* of iothread, or of the first queue's */
    VitVirtioMap  map;          /* of mapping */
    VitBlockInfo  info;         /* its size changes on the iothread: atomic elsewhere */
    char         *serial, *iothread;
    char         *mapping;      /* iothread-vq-mapping as JSON, or NULL */
    uint32_t      num_queues, queue_entries;
    bool          discard, write_zeroes, share_rw;
    VitDriveProps drive;
    bool          cache;        /* what write_cache is after a reset */
    struct {
        VitVirtioState virtio;
        bool           write_cache;     /* read on the iothread, changed between requests: atomic */
    } st;
} Blk;

typedef struct { uint64_t sector; uint32_t sectors, flags; } Range;

typedef struct {
    VitBlockRequest  req;
    Blk             *blk;
    VitVirtqElement *element;
    uint8_t         *status;    /* last writable byte */
    size_t           written;
    unsigned         range, n_ranges;
    Range            ranges[];  /* DISCARD, WRITE_ZEROES */
} BlkRequest;

/* ---- Requests, on the node's iothread -------------------------------------------------------- */

static void complete(BlkRequest *r, uint8_t status)
{
    *r->status = status;
    vit_virtq_complete(r->element, (status == S_OK ? r->written : 0) + 1);
    g_free(r);
}

static void submit_range(BlkRequest *r);

static void request_done(VitBlockRequest *req)
{
    BlkRequest *r = req->opaque;

    if (req->result == 0 && r->range < r->n_ranges) {
        submit_range(r);
        return;
    }
    bool unsupported = req->result == -ENOTSUP;
    complete(r, req->result == 0 ? S_OK : unsupported ? S_UNSUPP : S_IOERR);
}

static void submit(BlkRequest *r, VitBlockOp op, uint32_t flags, uint64_t offset, uint64_t bytes)
{
    r->req.op = op;
    r->req.flags = flags;
    r->req.offset = offset;
    r->req.bytes = bytes;
    r->req.done = request_done;
    r->req.opaque = r;
    vit_block_submit(r->blk->node, &r->req);
}

/* A driver that cannot flush expects every write to be stable (5.2.6.2). */
static uint32_t write_flags(Blk *b)
{
    bool cached = __atomic_load_n(&b->st.write_cache, __ATOMIC_RELAXED) &&
                  vit_virtio_has(&b->virtio, BIT(F_FLUSH) | BIT(F_CONFIG_WCE));
    return cached ? 0 : VIT_BLOCK_FUA;
}

static void submit_range(BlkRequest *r)
{
    const Range *range = &r->ranges[r->range++];
    bool zeroes = r->req.op == VIT_BLOCK_WRITE_ZEROES;
    uint32_t flags = zeroes ? write_flags(r->blk) |
                                  (range->flags & RANGE_UNMAP ? VIT_BLOCK_MAY_UNMAP : 0)
                            : 0;
    submit(r, r->req.op, flags, range->sector * SECTOR, (uint64_t) range->sectors * SECTOR);
}

static bool range_ok(const Blk *b, uint64_t sector, uint64_t bytes)
{
    uint64_t sectors = b->info.size / SECTOR;
    return bytes % SECTOR == 0 && sector <= sectors && bytes / SECTOR <= sectors - sector;
}

static void transfer(BlkRequest *r, uint64_t sector, bool write)
{
    VitVirtqElement *e = r->element;
    const struct iovec *iov = write ? e->out : e->in;
    unsigned n = write ? e->n_out : e->n_in;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    if (!range_ok(r->blk, sector, bytes) || (write && r->blk->info.read_only)) {
        complete(r, S_IOERR);
        return;
    }
    if (bytes == 0) {
        complete(r, S_OK);
        return;
    }
    r->req.iov = iov;
    r->req.niov = (int) n;
    r->written = write ? 0 : bytes;
    submit(r, write ? VIT_BLOCK_WRITE : VIT_BLOCK_READ, write ? write_flags(r->blk) : 0,
           sector * SECTOR, bytes);
}

static bool can_discard(const Blk *b)
{
    return b->discard && b->info.can_discard && b->drive.discard_granularity != 0;
}

static void ranges(BlkRequest *r, VitBlockOp op)
{
    Blk *b = r->blk;
    bool offered = op == VIT_BLOCK_DISCARD ? can_discard(b) : b->write_zeroes;

    if (!offered || b->info.read_only) {
        complete(r, offered ? S_IOERR : S_UNSUPP);
        return;
    }
    for (unsigned i = 0; i < r->n_ranges; i++) {
        Range *range = &r->ranges[i];
        range->sector = GUINT64_FROM_LE(range->sector);
        range->sectors = GUINT32_FROM_LE(range->sectors);
        range->flags = GUINT32_FROM_LE(range->flags);
        /* Reserved flags, and unmap on a discard, are refused (5.2.6.2). */
        if ((range->flags & ~(op == VIT_BLOCK_DISCARD ? 0u : RANGE_UNMAP))) {
            complete(r, S_UNSUPP);
            return;
        }
        if (range->sectors > MAX_RANGE_SECTORS ||
            !range_ok(b, range->sector, (uint64_t) range->sectors * SECTOR)) {
            complete(r, S_IOERR);
            return;
        }
    }
    r->req.op = op;
    if (r->n_ranges)
        submit_range(r);
    else
        complete(r, S_OK);
}

static void get_id(BlkRequest *r)
{
    char id[ID_BYTES] = { 0 };
    if (r->blk->serial)
        memcpy(id, r->blk->serial, MIN(strlen(r->blk->serial), sizeof id));
    r->written = vit_iov_write(r->element->in, r->element->n_in, 0, id, sizeof id);
    complete(r, S_OK);
}

static void blk_element(VitVirtio *v, unsigned queue, VitVirtqElement *e)
{
    Blk *b = (Blk *) v;
    struct { uint32_t type, ioprio; uint64_t sector; } header;

    if (vit_iov_read(e->out, e->n_out, 0, &header, sizeof header) != sizeof header ||
        e->in_size < 1) {
        vit_virtio_broken(v, "a disk request without header or status");
        vit_virtq_push(e, 0);
        return;
    }
    vit_iov_drop_front(&e->out, &e->n_out, sizeof header);
    uint32_t type = GUINT32_FROM_LE(header.type);
    uint64_t sector = GUINT64_FROM_LE(header.sector);
    bool ranged = type == T_DISCARD || type == T_WRITE_ZEROES;
    size_t range_bytes = e->out_size - sizeof header;
    bool ranges_ok = ranged && range_bytes % sizeof(Range) == 0 &&
                     range_bytes / sizeof(Range) <= MAX_SEGMENTS;
    unsigned n_ranges = ranges_ok ? (unsigned) (range_bytes / sizeof(Range)) : 0;

    BlkRequest *r = g_malloc0(sizeof *r + n_ranges * sizeof(Range));
    const struct iovec *last = &e->in[e->n_in - 1];
    r->blk = b;
    r->element = e;
    r->status = (uint8_t *) last->iov_base + last->iov_len - 1;
    r->n_ranges = n_ranges;
    (void) vit_iov_read(e->out, e->n_out, 0, r->ranges, n_ranges * sizeof(Range));
    vit_iov_drop_back(e->in, &e->n_in, 1);

    if (type == T_GET_ID)
        get_id(r);
    else if (!b->node)
        complete(r, S_IOERR);
    else if (type == T_IN || type == T_OUT)
        transfer(r, sector, type == T_OUT);
    else if (type == T_FLUSH)
        submit(r, VIT_BLOCK_FLUSH, 0, 0, 0);
    else if (ranged && ranges_ok)
        ranges(r, type == T_DISCARD ? VIT_BLOCK_DISCARD : VIT_BLOCK_WRITE_ZEROES);
    else
        complete(r, ranged ? S_IOERR : S_UNSUPP);
}

/* The requests of one look at the queue reach the host with one system call. */
static void blk_batch(VitVirtio *v, bool begin)
{
    VitBlockNode *node = ((Blk *) v)->node;

    if (!node)
        return;
    if (begin)
        vit_block_plug(node);
    else
        vit_block_unplug(node);
}

/* ---- Configuration --------------------------------------------------------------------------- */

static void put16(uint8_t *p, uint16_t v) { v = GUINT16_TO_LE(v); memcpy(p, &v, 2); }
static void put32(uint8_t *p, uint32_t v) { v = GUINT32_TO_LE(v); memcpy(p, &v, 4); }
static void put64(uint8_t *p, uint64_t v) { v = GUINT64_TO_LE(v); memcpy(p, &v, 8); }

static uint64_t blk_features(VitVirtio *v)
{
    Blk *b = (Blk *) v;
    uint64_t f = BIT(F_SEG_MAX) | BIT(F_BLK_SIZE) | BIT(F_FLUSH) | BIT(F_TOPOLOGY) |
                 BIT(F_CONFIG_WCE);
    if (b->info.read_only)
        f |= BIT(F_RO);
    if (b->num_queues > 1)
        f |= BIT(F_MQ);
    if (can_discard(b) && !b->info.read_only)
        f |= BIT(F_DISCARD);
    if (b->write_zeroes && !b->info.read_only)
        f |= BIT(F_WRITE_ZEROES);
    return f;
}

static void blk_read_config(VitVirtio *v, uint8_t *c)
{
    Blk *b = (Blk *) v;
    uint32_t logical = (uint32_t) b->drive.logical_block;
    uint64_t granularity = b->drive.discard_granularity;

    put64(c + 0, __atomic_load_n(&b->info.size, __ATOMIC_RELAXED) / SECTOR);
    put32(c + 12,
          MIN(b->queue_entries, VIT_VIRTIO_CHAIN) - 2); /* seg_max: all but header and status */
    put32(c + 20, logical);
    c[24] = (uint8_t) (g_bit_storage(b->drive.physical_block / logical) - 1);   /* exponent */
    put16(c + 26, (uint16_t) (b->drive.min_io / logical));
    put32(c + 28, (uint32_t) (b->drive.opt_io / logical));
    c[32] = __atomic_load_n(&b->st.write_cache, __ATOMIC_RELAXED);
    put16(c + 34, (uint16_t) b->num_queues);
    put32(c + 36, MAX_RANGE_SECTORS);
    put32(c + 40, MAX_SEGMENTS);
    put32(c + 44, (granularity != VIT_DRIVE_AUTO
                       ? (uint32_t) granularity
                       : MAX(logical, b->info.request_alignment)) / SECTOR);
    put32(c + 48, MAX_RANGE_SECTORS);
    put32(c + 52, MAX_SEGMENTS);
    c[56] = 1;                                                      /* write zeroes may unmap */
}

static void blk_write_config(VitVirtio *v, unsigned offset, unsigned size, uint32_t value)
{
    Blk *b = (Blk *) v;
    if (offset == 32 && size == 1)
        __atomic_store_n(&b->st.write_cache, value & 1, __ATOMIC_RELAXED);
}

static void blk_reset(VitVirtio *v)
{
    Blk *b = (Blk *) v;
    __atomic_store_n(&b->st.write_cache, b->cache, __ATOMIC_RELAXED);
}

static void blk_hurry(VitVirtio *v, bool on)
{
    VitBlockNode *node = ((Blk *) v)->node;

    if (node)
        vit_block_hurry_up(node, on);
}

static const VitVirtioClass blk_virtio = {
    .id = 2, .pci_class = 0x0100, .features = blk_features, .read_config = blk_read_config,
    .write_config = blk_write_config, .element = blk_element, .batch = blk_batch,
    .reset = blk_reset, .hurry = blk_hurry,
};

/* ---- The device ------------------------------------------------------------------------------ */

static bool power_of_two(uint32_t n, uint32_t low, uint32_t high)
{
    return n >= low && n <= high && (n & (n - 1)) == 0;
}

static void blk_resized(void *opaque)
{
    Blk *b = opaque;

    __atomic_store_n(&b->info.size, vit_block_info(b->node).size, __ATOMIC_RELAXED);
    vit_virtio_config_changed(&b->virtio);
}

static void blk_moved(void *opaque, VitIoThread *thread)
{
    vit_virtio_set_thread(opaque, thread);
}

static const VitBlockUser blk_user = { .resized = blk_resized, .moved = blk_moved };

static bool blk_init(VitDevice *d, GError **error)
{
    Blk *b = (Blk *) d;

    if (!b->num_queues)
        b->num_queues = 1;      /* without a board that has processors */
    if (b->num_queues > VIT_VIRTIO_QUEUES) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: num-queues must be from 1 to %d"), d->id, VIT_VIRTIO_QUEUES);
        return false;
    }
    if (!vit_virtio_map_take(&b->map, b->objects, b->mapping, b->iothread, b->num_queues, error) ||
        !vit_block_place_take(&b->place, b->objects, vit_virtio_map_home(&b->map) ?: b->iothread,
                              error))
        return false;
    if (b->place.object &&
        !vit_block_place_bring(&b->place, b->node, vit_block_object_io_thread(b->place.object),
                               error))
        return false;
    if (b->node) {
        b->info = vit_block_info(b->node);
        b->virtio.thread = vit_block_node_thread(b->node);
    }
    if (!power_of_two(b->queue_entries, 4, VIT_VIRTIO_QUEUE_SIZE)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: queue-size must be a power of two from 4 to %d"), d->id,
                    VIT_VIRTIO_QUEUE_SIZE);
        return false;
    }
    if (!vit_drive_props_apply(&b->drive, b->node, d->id, &b->cache, error))
        return false;
    b->virtio.n_queues = b->num_queues;
    for (unsigned i = 0; i < b->num_queues; i++)
        b->virtio.queue_size[i] = (uint16_t) b->queue_entries;
    b->virtio.config_size = CONFIG_SIZE;
    vit_virtio_init(&b->virtio, &blk_virtio, &b->st.virtio);
    vit_virtio_map_apply(&b->map, &b->virtio, 0);
    blk_reset(&b->virtio);
    if (!b->node)
        return true;
    b->use = vit_block_use(b->node, vit_block_device_claim(b->info.read_only, b->share_rw), d->id,
                           &blk_user, b, error);
    return b->use != NULL;
}

static void blk_finish(VitDevice *d)
{
    Blk *b = (Blk *) d;

    vit_block_use_end(b->use);
    vit_virtio_finish(d);
    vit_block_place_leave(&b->place, b->node);
    vit_virtio_map_leave(&b->map);
}

static const VitField blk_hidden[] = { VIT_VIRTIO_ROWS(Blk),
                                       VIT_BOOL(Blk, st.write_cache, true),
                                       { VIT_END } };

static const VitProp blk_props[] = {
    VIT_PROP("serial", VIT_PROP_STR, Blk, serial, NULL, "serial number, at most 20 characters"),
    VIT_PROP("iothread", VIT_PROP_STR, Blk, iothread, NULL, "where the disk's work is done"),
    VIT_PROP("iothread-vq-mapping", VIT_PROP_LIST, Blk, mapping, NULL,
             "which iothreads work on which queues: [{\"iothread\": ID, \"vqs\": [N, ...]}, ...]"),
    VIT_PROP("num-queues", VIT_PROP_U32, Blk, num_queues, "0",
             "request queues, 0 = one for each processor"),
    VIT_PROP("queue-size", VIT_PROP_U32, Blk, queue_entries, "256", "entries of a queue"),
    VIT_PROP("discard", VIT_PROP_BOOL, Blk, discard, "on", "offer discard when the node can do it"),
    VIT_PROP("write-zeroes", VIT_PROP_BOOL, Blk, write_zeroes, "on", "offer write-zeroes"),
    VIT_PROP("share-rw", VIT_PROP_BOOL, Blk, share_rw, "off", "others may write to the drive too"),
    VIT_DRIVE_PROPS(Blk, drive),
    { 0 },
};

const VitDeviceClass vit_virtio_blk_class = {
    .name = "virtio-blk",
    .description = "Virtio disk",
    .version = 1,
    VIT_STATE(Blk, st),
    .hidden = blk_hidden,
    .props = blk_props,
    .init = blk_init,
    .finish = blk_finish,
    VIT_VIRTIO_HOOKS,
};

static bool blk_setup(VitDevice *d, VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    Blk *b = (Blk *) d;
    uint64_t bootindex = 0;     /* read by the machine assembler from the same text */

    b->node = vit_pci_take_backend(options, "drive", ctx->drives, "drive", error);
    b->objects = ctx->objects;
    if (!b->num_queues)
        b->num_queues = CLAMP(ctx->n_cpus, 1, VIT_VIRTIO_QUEUES);
    return b->node && vit_options_take_uint(options, "bootindex", INT32_MAX, &bootindex, error);
}

VitDevice *vit_virtio_blk_create(VitDeviceContext *ctx, VitOptions *options, GError **error)
{
    return vit_virtio_create_pci(ctx, options, &vit_virtio_blk_class, blk_setup, 0, error);
}
