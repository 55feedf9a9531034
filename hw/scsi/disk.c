/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/scsi/disk.c - SCSI commands that move data, and the devices scsi-hd and scsi-cd (SBC-3, MMC-5)
 *
 * Not modelled: reservations, protection information, queue management, hot-swapped discs. */
#include "hw/scsi/scsi.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

enum {
    TEST_UNIT_READY = 0x00,
    READ_6 = 0x08,
    WRITE_6 = 0x0a,
    MODE_SELECT_6 = 0x15,
    START_STOP = 0x1b,
    PREVENT = 0x1e,
    READ_10 = 0x28,
    WRITE_10 = 0x2a,
    WRITE_VERIFY_10 = 0x2e,
    VERIFY_10 = 0x2f,
    SYNC_10 = 0x35,
    WRITE_SAME_10 = 0x41,
    UNMAP = 0x42,
    MODE_SELECT_10 = 0x55,
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    WRITE_VERIFY_16 = 0x8e,
    VERIFY_16 = 0x8f,
    SYNC_16 = 0x91,
    WRITE_SAME_16 = 0x93,
    READ_12 = 0xa8,
    WRITE_12 = 0xaa,
};
enum {
    MAX_UNMAPS = 255,
    MAX_RANGE = 1 << 22 /* blocks */,
    MAX_SELECT = 256,
    SAME_BUFFER = 64 << 10,
    MAX_BLOCK = 4096
};

typedef struct {
    uint64_t block, count;
} Extent;

uint64_t vit_scsi_blocks(const VitScsiDisk *d)
{
    return d->node ? vit_block_info(d->node).size / d->block : 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

void vit_scsi_end(VitScsiCommand *c, uint8_t status)
{
    c->status = status;
    g_clear_pointer(&c->buffer, g_free);
    g_clear_pointer(&c->part, g_free);
    c->done(c);
}

void vit_scsi_fail(VitScsiCommand *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
    memset(c->sense, 0, sizeof c->sense);
    c->sense[0] = 0x70;
    c->sense[2] = key;
    c->sense[7] = 10;
    c->sense[12] = asc;
    c->sense[13] = ascq;
    c->sense_size = VIT_SCSI_SENSE;
    c->moved = 0;
    vit_scsi_end(c, VIT_SCSI_CHECK_CONDITION);
}

void vit_scsi_reply(VitScsiCommand *c, const void *data, size_t size, uint64_t allowed)
{
    const uint8_t *from = data;

    size = MIN(MIN(size, allowed), c->in_size);
    c->moved = size;
    for (unsigned i = 0; i < c->n_in && size > 0; i++) {
        size_t n = MIN(size, c->in[i].iov_len);
        memcpy(c->in[i].iov_base, from, n);
        from += n;
        size -= n;
    }
    vit_scsi_end(c, VIT_SCSI_GOOD);
}

static void invalid_field(VitScsiCommand *c)
{
    vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
}

static void failed(VitScsiCommand *c, int result)
{
    if (result == -ENOSPC || result == -EDQUOT)
        vit_scsi_fail(c, VIT_SCSI_DATA_PROTECT, 0x27, 0x07); /* space allocation failed */
    else if (result == -EROFS) vit_scsi_fail(c, VIT_SCSI_DATA_PROTECT, 0x27, 0);
    else vit_scsi_fail(c, VIT_SCSI_MEDIUM_ERROR, c->req.op == VIT_BLOCK_READ ? 0x11 : 0x0c, 0);
}

/* ---- requests of the node -------------------------------------------------------------------- */

static void submit(VitScsiCommand *c, VitBlockOp op, uint64_t offset, uint64_t bytes,
                   uint32_t flags, void (*done)(VitBlockRequest *req))
{
    c->req.op = op;
    c->req.offset = offset;
    c->req.bytes = bytes;
    c->req.flags = flags;
    c->req.done = done;
    c->req.opaque = c;
    c->disk->in_flight++;
    vit_block_submit(c->disk->node, &c->req);
}

static void simple_done(VitBlockRequest *req)
{
    VitScsiCommand *c = req->opaque;

    c->disk->in_flight--;
    if (req->result < 0) {
        failed(c, req->result);
        return;
    }
    if (req->op == VIT_BLOCK_READ || req->op == VIT_BLOCK_WRITE) c->moved = req->bytes;
    vit_scsi_end(c, VIT_SCSI_GOOD);
}

/* The stretch of blocks that a command names. */
static Extent extent(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) {
    case 0: return (Extent){ vit_scsi_get32(cdb) & 0x1fffff, cdb[4] ?: 256 };
    case 4: return (Extent){ vit_scsi_get64(cdb + 2), vit_scsi_get32(cdb + 10) };
    case 5: return (Extent){ vit_scsi_get32(cdb + 2), vit_scsi_get32(cdb + 6) };
    default: return (Extent){ vit_scsi_get32(cdb + 2), vit_scsi_get16(cdb + 7) };
    }
}

static bool inside(VitScsiCommand *c, Extent e)
{
    uint64_t blocks = vit_scsi_blocks(c->disk);

    if (e.block <= blocks && e.count <= blocks - e.block) return true;
    vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x21, 0); /* out of range */
    return false;
}

static bool writable(VitScsiCommand *c)
{
    if (!c->disk->info.read_only && c->disk->type != VIT_SCSI_CD_TYPE) return true;
    vit_scsi_fail(c, VIT_SCSI_DATA_PROTECT, 0x27, 0);
    return false;
}

static uint32_t write_flags(const VitScsiCommand *c)
{
    bool six = c->cdb[0] == WRITE_6;

    return !c->disk->st.write_cache || (!six && (c->cdb[1] & 8)) ? VIT_BLOCK_FUA : 0;
}

/* The first `bytes` of the initiator's memory. */
static int cut(VitScsiCommand *c, const struct iovec *iov, unsigned n, uint64_t bytes)
{
    int count = 0;

    c->part = g_new(struct iovec, MAX(n, 1));
    for (unsigned i = 0; i < n && bytes > 0; i++) {
        size_t take = MIN(iov[i].iov_len, bytes);
        if (take > 0) c->part[count++] = (struct iovec){ iov[i].iov_base, take };
        bytes -= take;
    }
    return count;
}

static void transfer(VitScsiCommand *c, bool write)
{
    Extent e = extent(c->cdb);
    uint64_t bytes = e.count * c->disk->block;

    if ((write && !writable(c)) || !inside(c, e)) return;
    if (bytes > (write ? c->out_size : c->in_size)) { /* the initiator gave too little room */
        invalid_field(c);
        return;
    }
    if (bytes == 0) {
        vit_scsi_end(c, VIT_SCSI_GOOD);
        return;
    }
    c->req.niov = cut(c, write ? c->out : c->in, write ? c->n_out : c->n_in, bytes);
    c->req.iov = c->part;
    submit(c, write ? VIT_BLOCK_WRITE : VIT_BLOCK_READ, e.block * c->disk->block, bytes,
           write ? write_flags(c) : 0, simple_done);
}

static void synchronize(VitScsiCommand *c)
{
    submit(c, VIT_BLOCK_FLUSH, 0, 0, 0, simple_done);
}

/* ---- UNMAP and WRITE SAME -------------------------------------------------------------------- */

static void take(const VitScsiCommand *c, uint64_t skip, uint8_t *to, uint64_t bytes)
{
    for (unsigned i = 0; i < c->n_out && bytes > 0; i++) {
        if (skip >= c->out[i].iov_len) {
            skip -= c->out[i].iov_len;
            continue;
        }
        size_t n = MIN(c->out[i].iov_len - skip, bytes);
        memcpy(to, (uint8_t *)c->out[i].iov_base + skip, n);
        to += n;
        bytes -= n;
        skip = 0;
    }
}

static void next_unmap(VitBlockRequest *req)
{
    VitScsiCommand *c = req->opaque;

    if (req->done) { /* not the first time */
        c->disk->in_flight--;
        if (req->result < 0) {
            failed(c, req->result);
            return;
        }
    }
    while (c->range < c->n_ranges) {
        const uint8_t *d = c->buffer + 8 + 16 * c->range++;
        Extent e = { vit_scsi_get64(d), vit_scsi_get32(d + 8) };
        if (e.count == 0) continue;
        submit(c, VIT_BLOCK_DISCARD, e.block * c->disk->block, e.count * c->disk->block, 0,
               next_unmap);
        return;
    }
    c->moved = c->out_size;
    vit_scsi_end(c, VIT_SCSI_GOOD);
}

static void unmap(VitScsiCommand *c)
{
    uint64_t size = MIN(vit_scsi_get16(c->cdb + 7), c->out_size);

    if (!writable(c)) return;
    if (c->cdb[1] & 1) { /* anchored blocks are not offered */
        invalid_field(c);
        return;
    }
    if (size < 8) {
        if (size == 0) vit_scsi_end(c, VIT_SCSI_GOOD);
        else vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x1a, 0);
        return;
    }
    c->buffer = g_malloc(size);
    take(c, 0, c->buffer, size);
    uint64_t listed = vit_scsi_get16(c->buffer + 2);
    if (listed % 16 || listed > size - 8 || listed / 16 > MAX_UNMAPS) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x26, 0);
        return;
    }
    c->n_ranges = (unsigned)(listed / 16);
    for (unsigned i = 0; i < c->n_ranges; i++) { /* all or nothing */
        const uint8_t *d = c->buffer + 8 + 16 * i;
        Extent e = { vit_scsi_get64(d), vit_scsi_get32(d + 8) };
        if (e.count > MAX_RANGE) {
            vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x26, 0);
            return;
        }
        if (!inside(c, e)) return;
    }
    c->range = 0;
    c->req.done = NULL;
    c->req.opaque = c;
    next_unmap(&c->req);
}

/* The next piece of a WRITE SAME whose block is not zero. */
static void next_same(VitBlockRequest *req)
{
    VitScsiCommand *c = req->opaque;
    Extent e = extent(c->cdb);
    uint64_t end = (e.block + e.count) * c->disk->block, at = e.block * c->disk->block;

    if (req->done) {
        c->disk->in_flight--;
        if (req->result < 0) {
            failed(c, req->result);
            return;
        }
        at = req->offset + req->bytes;
    }
    if (at >= end) {
        c->moved = c->disk->block;
        vit_scsi_end(c, VIT_SCSI_GOOD);
        return;
    }
    c->part[0] = (struct iovec){ c->buffer, MIN(SAME_BUFFER, end - at) };
    c->req.iov = c->part;
    c->req.niov = 1;
    submit(c, VIT_BLOCK_WRITE, at, c->part[0].iov_len, write_flags(c), next_same);
}

static void write_same(VitScsiCommand *c, bool sixteen)
{
    Extent e = extent(c->cdb);
    uint32_t block = c->disk->block;
    bool may_unmap = c->cdb[1] & 8, no_data = sixteen && (c->cdb[1] & 1);

    if (!writable(c)) return;
    if (e.count == 0 || e.count > MAX_RANGE || (c->cdb[1] & 0x10) ||
        (!no_data && c->out_size < block)) {
        invalid_field(c);
        return;
    }
    if (!inside(c, e)) return;
    c->buffer = g_malloc0(SAME_BUFFER);
    if (!no_data) take(c, 0, c->buffer, block);
    bool zero = true;
    for (uint32_t i = 0; i < block && zero; i++) zero = c->buffer[i] == 0;
    if (zero) {
        uint32_t fua = c->disk->st.write_cache ? 0 : VIT_BLOCK_FUA;
        submit(c, VIT_BLOCK_WRITE_ZEROES, e.block * block, e.count * block,
               fua | (may_unmap ? VIT_BLOCK_MAY_UNMAP : 0), simple_done);
        return;
    }
    for (uint32_t at = block; at + block <= SAME_BUFFER; at += block)
        memcpy(c->buffer + at, c->buffer, block);
    c->part = g_new(struct iovec, 1);
    c->req.done = NULL;
    c->req.opaque = c;
    next_same(&c->req);
}

/* ---- modes and the tray ---------------------------------------------------------------------- */

static void mode_select(VitScsiCommand *c, bool ten)
{
    uint8_t data[MAX_SELECT];
    uint64_t size = MIN(ten ? vit_scsi_get16(c->cdb + 7) : c->cdb[4], c->out_size);
    unsigned header = ten ? 8 : 4;

    if (size == 0) {
        vit_scsi_end(c, VIT_SCSI_GOOD);
        return;
    }
    if (size > sizeof data || size < header || !(c->cdb[1] & 0x10)) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x1a, 0);
        return;
    }
    take(c, 0, data, size);
    uint64_t at = header + (ten ? vit_scsi_get16(data + 6) : data[3]);
    bool cache = c->disk->st.write_cache;
    while (at + 2 <= size) {
        unsigned length = data[at + 1];
        if (at + 2 + length > size) break;
        if ((data[at] & 0x3f) == 0x08 && length == 18) cache = data[at + 2] & 4;
        else if ((data[at] & 0x3f) != 0x0a || length != 10) break;
        at += 2 + length;
    }
    if (at != size) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x26, 0);
        return;
    }
    bool safer = c->disk->st.write_cache && !cache;
    c->disk->st.write_cache = cache;
    c->moved = size;
    if (safer && c->disk->node) synchronize(c); /* what the cache held */
    else vit_scsi_end(c, VIT_SCSI_GOOD);
}

static void start_stop(VitScsiCommand *c)
{
    VitScsiDisk *d = c->disk;

    if ((c->cdb[4] & 2) && d->type == VIT_SCSI_CD_TYPE) { /* load or eject */
        bool load = c->cdb[4] & 1;
        if (!load && d->st.tray_locked) {
            vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x53, 0x02);
            return;
        }
        if (d->st.tray_open && load) d->st.attention = true;
        d->st.tray_open = !load;
    }
    vit_scsi_end(c, VIT_SCSI_GOOD);
}

/* ---- commands -------------------------------------------------------------------------------- */

static bool needs_medium(uint8_t opcode)
{
    switch (opcode) {
    case 0x03: /* REQUEST SENSE, INQUIRY, MODE SENSE and SELECT, START STOP, PREVENT ... */
    case 0x12:
    case 0x1a:
    case 0x5a:
    case MODE_SELECT_6:
    case MODE_SELECT_10:
    case START_STOP:
    case PREVENT:
    case 0x46:
    case 0x4a: return false;
    default: return true;
    }
}

void vit_scsi_submit(VitScsiCommand *c)
{
    VitScsiDisk *d = c->disk;
    uint8_t opcode = c->cdb[0];
    bool asks = opcode == 0x12 || opcode == 0x03; /* answered whatever there is to be told */

    if (d->st.attention && !asks) {
        d->st.attention = false;
        vit_scsi_fail(c, VIT_SCSI_UNIT_ATTENTION, 0x29, 0);
        return;
    }
    if (d->st.resized && !asks) {
        d->st.resized = false;
        vit_scsi_fail(c, VIT_SCSI_UNIT_ATTENTION, VIT_SCSI_ASC_CAPACITY, VIT_SCSI_ASCQ_CAPACITY);
        return;
    }
    if (needs_medium(opcode) && (!d->node || d->st.tray_open)) {
        vit_scsi_fail(c, VIT_SCSI_NOT_READY, 0x3a, d->st.tray_open ? 2 : 1);
        return;
    }
    switch (opcode) {
    case TEST_UNIT_READY: vit_scsi_end(c, VIT_SCSI_GOOD); return;
    case READ_6:
    case READ_10:
    case READ_12:
    case READ_16: transfer(c, false); return;
    case WRITE_6:
    case WRITE_10:
    case WRITE_12:
    case WRITE_16:
    case WRITE_VERIFY_10:
    case WRITE_VERIFY_16: transfer(c, true); return;
    case VERIFY_10:
    case VERIFY_16:
        if (c->cdb[1] & 6) /* comparing with data is not offered */
            invalid_field(c);
        else if (inside(c, extent(c->cdb))) vit_scsi_end(c, VIT_SCSI_GOOD);
        return;
    case SYNC_10:
    case SYNC_16: synchronize(c); return;
    case UNMAP: unmap(c); return;
    case WRITE_SAME_10: write_same(c, false); return;
    case WRITE_SAME_16: write_same(c, true); return;
    case MODE_SELECT_6: mode_select(c, false); return;
    case MODE_SELECT_10: mode_select(c, true); return;
    case START_STOP: start_stop(c); return;
    case PREVENT:
        d->st.tray_locked = c->cdb[4] & 1;
        vit_scsi_end(c, VIT_SCSI_GOOD);
        return;
    default:
        if (!vit_scsi_describe(c)) vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x20, 0);
    }
}

void vit_scsi_disk_reset_unit(VitScsiDisk *d)
{
    d->st.attention = true;
    d->st.resized = false;
    d->st.tray_locked = false;
    d->st.write_cache = d->cache;
}

/* ---- the devices ----------------------------------------------------------------------------- */

static void resized(void *opaque)
{
    VitScsiDisk *d = opaque;

    d->st.resized = d->type == VIT_SCSI_DISK_TYPE;
    if (d->adapter) d->adapter_class->resized(d->adapter, &d->parent);
}

static const VitBlockUser disk_user = { .resized = resized };

static bool scsi_init(VitDevice *device, GError **error)
{
    VitScsiDisk *d = (VitScsiDisk *)device;

    d->type = device->klass == &vit_scsi_cd_class ? VIT_SCSI_CD_TYPE : VIT_SCSI_DISK_TYPE;
    if (d->node && d->thread && !vit_block_place_bring(&d->place, d->node, d->thread, error))
        return false;
    if (d->node) d->info = vit_block_info(d->node);
    if (!vit_drive_props_apply(&d->drive, d->node, device->id, &d->cache, error)) return false;
    d->block = d->type == VIT_SCSI_CD_TYPE ? 2048 : (uint32_t)d->drive.logical_block;
    if (d->block > MAX_BLOCK) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: a SCSI disk's logical_block_size is %d at most"), device->id, MAX_BLOCK);
        return false;
    }
    if (d->rotation_rate > UINT16_MAX) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%s: Parameter 'rotation_rate' expects uint16_t"), device->id);
        return false;
    }
    d->info.can_discard = d->info.can_discard && d->drive.discard_granularity != 0;
    vit_scsi_disk_reset_unit(d);
    if (!d->node) return true;
    bool read_only = d->info.read_only || d->type == VIT_SCSI_CD_TYPE;
    d->use = vit_block_use(d->node, vit_block_device_claim(read_only, d->share_rw), device->id,
                           &disk_user, d, error);
    return d->use != NULL;
}

static void scsi_reset(VitDevice *device)
{
    VitScsiDisk *d = (VitScsiDisk *)device;

    d->st.write_cache = d->cache;
}

static void scsi_quiesce(VitDevice *device, bool on)
{
    VitScsiDisk *d = (VitScsiDisk *)device;

    if (d->adapter) d->adapter_class->quiesce(d->adapter, on);
}

static void scsi_finish(VitDevice *device)
{
    VitScsiDisk *d = (VitScsiDisk *)device;

    vit_block_use_end(d->use);
    if (d->adapter) d->adapter_class->detach(d->adapter, device);
    vit_block_place_leave(&d->place, d->node);
}

static const VitField scsi_hidden[] = {
    VIT_BOOL(VitScsiDisk, st.attention, true),
    VIT_BOOL(VitScsiDisk, st.resized, false),
    VIT_BOOL(VitScsiDisk, st.tray_open, false),
    VIT_BOOL(VitScsiDisk, st.tray_locked, false),
    VIT_BOOL(VitScsiDisk, st.write_cache, true),
    { VIT_END },
};

#define SCSI_PROPS                                                                                 \
    VIT_PROP("serial", VIT_PROP_STR, VitScsiDisk, serial, NULL,                                    \
             "serial number, at most 36 characters"),                                              \
        VIT_PROP("device_id", VIT_PROP_STR, VitScsiDisk, device_id, NULL,                          \
                 "names the disk in page 83h, at most 20 characters; the serial number unless "    \
                 "given"),                                                                         \
        VIT_PROP("vendor", VIT_PROP_STR, VitScsiDisk, vendor, NULL, "at most 8 characters"),       \
        VIT_PROP("product", VIT_PROP_STR, VitScsiDisk, product, NULL, "at most 16 characters"),    \
        VIT_PROP("ver", VIT_PROP_STR, VitScsiDisk, version, NULL, "at most 4 characters"),         \
        VIT_PROP("wwn", VIT_PROP_U64, VitScsiDisk, wwn, "0", "world wide name"),                   \
        VIT_PROP("share-rw", VIT_PROP_BOOL, VitScsiDisk, share_rw, "off",                          \
                 "others may write to the drive too"),                                             \
        VIT_DRIVE_PROPS(VitScsiDisk, drive)

static const VitProp scsi_hd_props[] = {
    VIT_PROP("rotation_rate", VIT_PROP_U32, VitScsiDisk, rotation_rate, "0",
             "turns a minute; 1 = does not rotate, 0 = nothing is said"),
    SCSI_PROPS,
    { 0 },
};

static const VitProp scsi_cd_props[] = { SCSI_PROPS, { 0 } };

const VitDeviceClass vit_scsi_hd_class = {
    .name = "scsi-hd",
    .description = "SCSI disk",
    .version = 1,
    VIT_STATE(VitScsiDisk, st),
    .hidden = scsi_hidden,
    .props = scsi_hd_props,
    .init = scsi_init,
    .finish = scsi_finish,
    .reset = scsi_reset,
    .quiesce = scsi_quiesce,
};

const VitDeviceClass vit_scsi_cd_class = {
    .name = "scsi-cd",
    .description = "SCSI CD and DVD drive",
    .version = 1,
    VIT_STATE(VitScsiDisk, st),
    .hidden = scsi_hidden,
    .props = scsi_cd_props,
    .init = scsi_init,
    .finish = scsi_finish,
    .reset = scsi_reset,
    .quiesce = scsi_quiesce,
};
