/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ata.c - what ATA commands mean (INCITS 522-2014, ATA/ATAPI Command Set 3, chapter 7)
 *
 * Not modelled: security, host protected area changes, power states beyond answering, streaming. */
#include "hw/storage/ata.h"

#include <string.h>

enum { MULTIPLE_MAX = 16, TRIM_BLOCKS_MAX = 8, TRIM_RANGE_BYTES = 8 };

static void fail(VitAtaRun *run, uint8_t error)
{
    vit_ata_fail(run, error);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_ext(uint8_t command)
{
    switch (command) {
    case 0x24: case 0x25: case 0x27: case 0x29: case 0x2f: case 0x34: case 0x35: case 0x39:
    case 0x3d: case 0x42: case 0x47: case 0xce: case 0xea: case VIT_ATA_READ_FPDMA:
    case VIT_ATA_WRITE_FPDMA:
        return true;
    }
    return false;
}

/* The first sector that the task file names; UINT64_MAX: none. */
static uint64_t first_sector(const VitAtaRun *run)
{
    const VitAtaTaskfile *tf = &run->tf;
    const VitAtaDrive *d = run->drive;

    if (is_ext(tf->command))
        return tf->lba;
    uint64_t low = tf->lba & 0xffffff, head = tf->device & 15;
    if (tf->device & 0x40)
        return low | head << 24;
    uint64_t sector = low & 0xff, cylinder = low >> 8;
    if (sector == 0 || sector > d->st.per_track || head >= d->st.heads)
        return UINT64_MAX;
    return (cylinder * d->st.heads + head) * d->st.per_track + sector - 1;
}

static uint64_t sector_count(const VitAtaRun *run)
{
    if (run->tf.command == VIT_ATA_READ_FPDMA || run->tf.command == VIT_ATA_WRITE_FPDMA)
        return run->tf.feature ? run->tf.feature : 65536;
    if (is_ext(run->tf.command))
        return run->tf.count ? run->tf.count : 65536;
    return run->tf.count & 0xff ? run->tf.count & 0xff : 256;
}

static bool in_range(VitAtaRun *run, uint64_t *first, uint64_t *count)
{
    *first = first_sector(run);
    *count = sector_count(run);
    uint64_t sectors = vit_ata_sectors(run->drive);
    if (*first < sectors && *count <= sectors - *first)
        return true;
    fail(run, VIT_ATA_IDNF | VIT_ATA_ABRT);
    return false;
}

/* ---- data ------------------------------------------------------------------------------------ */

static void transfer(VitAtaRun *run, VitAtaDir dir, bool dma, unsigned block)
{
    uint64_t first, count;

    if (!in_range(run, &first, &count))
        return;
    vit_ata_media(run, dir, first * 512, count * 512, dma);
    if (!dma)
        run->piece = 512 * block;
    /* Without a write cache a write is done when it is safe. */
    if (dir == VIT_ATA_OUT && !run->drive->st.write_cache)
        run->flags = VIT_BLOCK_FUA;
}

static void transfer_multiple(VitAtaRun *run, VitAtaDir dir)
{
    if (run->drive->st.multiple == 0)
        fail(run, VIT_ATA_ABRT);
    else
        transfer(run, dir, false, run->drive->st.multiple);
}

static void verify(VitAtaRun *run)
{
    uint64_t first, count;
    (void) in_range(run, &first, &count);
}

/* ---- DATA SET MANAGEMENT (TRIM) -------------------------------------------------------------- */

static void trim_next(VitAtaRun *run);

static void trimmed(void *opaque, VitTransfer *transfer, int result)
{
    VitAtaRun *run = opaque;
    run->transfer = NULL;
    if (result < 0) {
        vit_ata_fail(run, VIT_ATA_ABRT);
        vit_ata_run_end(run);
        return;
    }
    trim_next(run);
}

/* Runs through the ranges in run->small; position counts them once more. */
static void trim_next(VitAtaRun *run)
{
    while (run->position < run->bytes) {
        uint64_t range;
        memcpy(&range, run->small + run->position, sizeof range);
        range = GUINT64_FROM_LE(range);
        run->position += TRIM_RANGE_BYTES;
        uint64_t first = range & 0xffffffffffff, count = range >> 48,
                 sectors = vit_ata_sectors(run->drive);
        if (count == 0)
            continue;
        if (first >= sectors || count > sectors - first) {
            vit_ata_fail(run, VIT_ATA_IDNF);
            break;
        }
        run->transfer = vit_transfer_start(run->drive->queue, VIT_BLOCK_DISCARD, 0, first * 512,
                                           count * 512, NULL, trimmed, run);
        return;
    }
    vit_ata_run_end(run);
}

static void trim_start(VitAtaRun *run)
{
    run->position = 0;
    trim_next(run);
}

static void data_set_management(VitAtaRun *run)
{
    if (!vit_ata_can_trim(run->drive) || !(run->tf.feature & 1) || run->tf.count == 0 ||
        run->tf.count > TRIM_BLOCKS_MAX) {
        fail(run, VIT_ATA_ABRT);
        return;
    }
    run->dir = VIT_ATA_OUT;
    run->dma = true;
    run->bytes = run->piece = run->tf.count * 512u;
    run->small = g_malloc0(run->bytes);
    run->finish = trim_start;
}

/* ---- small answers --------------------------------------------------------------------------- */

static void set_features(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;

    switch (run->tf.feature & 0xff) {
    case 0x02:
    case 0x82:
        if (d->cd)
            break;
        d->st.write_cache = (run->tf.feature & 0xff) == 0x02;
        if (!d->st.write_cache)
            run->finish = vit_ata_flush;
        return;
    case 0x03: {
        unsigned mode = run->tf.count & 0xff, kind = mode >> 3, n = mode & 7;
        /* PIO default, PIO with flow control to 4, multiword DMA to 2, Ultra DMA to 6 */
        if ((kind == 0 && n <= 1) || (kind == 1 && n <= 4) || (kind == 4 && n <= 2) ||
            (kind == 8 && n <= 6)) {
            d->st.mode = (uint8_t) mode;
            return;
        }
        break;
    }
    case 0x55:
    case 0xaa:
        d->st.look_ahead = (run->tf.feature & 0xff) == 0xaa;
        return;
    case 0x66:      /* defaults after reset: kept, or not: nothing that a reset changes here */
    case 0xcc:
        return;
    }
    fail(run, VIT_ATA_ABRT);
}

static void smart(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;
    uint8_t data[512] = {};

    if ((run->tf.lba >> 8 & 0xffff) != 0xc24f ||
        (!d->st.smart && (run->tf.feature & 0xff) != 0xd8)) {
        fail(run, VIT_ATA_ABRT);
        return;
    }
    switch (run->tf.feature & 0xff) {
    case 0xd0:      /* attribute values: none, healthy */
        data[0] = 0x10;
        data[368] = 0x03;
        data[370] = 0x01;
        break;
    case 0xd1:
        data[0] = 0x10;
        break;
    case 0xd4:
    case 0xd2:
        return;
    case 0xd8:
    case 0xd9:
        d->st.smart = (run->tf.feature & 0xff) == 0xd8;
        return;
    case 0xda:      /* no threshold exceeded: the signature comes back as it was */
        return;
    default:
        fail(run, VIT_ATA_ABRT);
        return;
    }
    unsigned sum = 0;
    for (unsigned i = 0; i < 511; i++)
        sum += data[i];
    data[511] = (uint8_t) -sum;
    vit_ata_reply(run, data, sizeof data, false);
}

/* READ LOG EXT: the directory, and log 10h: which queued command failed. */
static void read_log(VitAtaRun *run, bool dma)
{
    VitAtaDrive *d = run->drive;
    uint8_t data[512] = {};
    unsigned page = run->tf.lba & 0xff;

    if (run->tf.count != 1 || (page != 0x00 && page != 0x10)) {
        fail(run, VIT_ATA_ABRT);
        return;
    }
    if (page == 0) {
        data[0] = 1;
        data[2 * 0x10] = 1;
    } else {
        unsigned sum = 0;
        data[0] = d->st.ncq_tag;
        data[2] = d->st.ncq_status;
        data[3] = d->st.ncq_error;
        for (unsigned i = 0; i < 3; i++) {
            data[4 + i] = (uint8_t) (d->st.ncq_lba >> (8 * i));
            data[8 + i] = (uint8_t) (d->st.ncq_lba >> (24 + 8 * i));
        }
        for (unsigned i = 0; i < 511; i++)
            sum += data[i];
        data[511] = (uint8_t) -sum;
    }
    vit_ata_reply(run, data, sizeof data, dma);
}

static void native_max(VitAtaRun *run, uint64_t limit)
{
    run->tf.lba = MIN(vit_ata_sectors(run->drive), limit) - 1;
    if (limit < (UINT64_C(1) << 32))
        run->tf.device = (uint8_t) ((run->tf.device & 0xf0) | (run->tf.lba >> 24 & 15));
}

static void set_multiple(VitAtaRun *run)
{
    unsigned n = run->tf.count & 0xff;

    if (n > MULTIPLE_MAX || (n & (n - 1)))
        fail(run, VIT_ATA_ABRT);
    else
        run->drive->st.multiple = (uint8_t) n;
}

static void set_geometry(VitAtaRun *run)
{
    unsigned per_track = run->tf.count & 0xff;

    if (per_track == 0) {
        fail(run, VIT_ATA_ABRT);
        return;
    }
    run->drive->st.per_track = (uint16_t) per_track;
    run->drive->st.heads = (run->tf.device & 15) + 1;
}

static void identify(VitAtaRun *run)
{
    uint8_t words[512];
    vit_ata_identify(run->drive, words);
    vit_ata_reply(run, words, sizeof words, false);
}

/* ---- all ------------------------------------------------------------------------------------- */

void vit_ata_signature(const VitAtaDrive *drive, VitAtaTaskfile *tf)
{
    bool cd = drive && drive->cd;
    *tf = (VitAtaTaskfile) {
        .status = !drive ? 0x7f : cd ? 0 : VIT_ATA_READY, .error = 1, .count = 1,
        .lba = cd ? 0xeb1401 : 0x000001,
    };
}

static void decode_common(VitAtaRun *run)
{
    switch (run->tf.command) {
    case 0x90:      /* EXECUTE DEVICE DIAGNOSTIC */
        vit_ata_signature(run->drive, &run->tf);
        break;
    case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe6:     /* standby, idle, sleep */
    case 0x94: case 0x95: case 0x96: case 0x97: case 0x99:
        break;
    case 0xe5: case 0x98:   /* CHECK POWER MODE: active */
        run->tf.count = 0xff;
        break;
    case 0xef:
        set_features(run);
        break;
    case 0xe7: case 0xea:
        run->finish = vit_ata_flush;
        break;
    default:
        fail(run, VIT_ATA_ABRT);
        break;
    }
}

static void decode_disk(VitAtaRun *run)
{
    switch (run->tf.command) {
    case 0x06:
        data_set_management(run);
        break;
    case 0x20: case 0x21: case 0x24:
        transfer(run, VIT_ATA_IN, false, 1);
        break;
    case 0x30: case 0x31: case 0x34: case 0x3c:
        transfer(run, VIT_ATA_OUT, false, 1);
        break;
    case 0xc4: case 0x29:
        transfer_multiple(run, VIT_ATA_IN);
        break;
    case 0xce:
        run->flags = VIT_BLOCK_FUA;
        G_GNUC_FALLTHROUGH;
    case 0xc5: case 0x39:
        transfer_multiple(run, VIT_ATA_OUT);
        break;
    case 0xc8: case 0xc9: case 0x25:
        transfer(run, VIT_ATA_IN, true, 0);
        break;
    case 0x3d:
        run->flags = VIT_BLOCK_FUA;
        G_GNUC_FALLTHROUGH;
    case 0xca: case 0xcb: case 0x35:
        transfer(run, VIT_ATA_OUT, true, 0);
        break;
    case VIT_ATA_READ_FPDMA:
        transfer(run, VIT_ATA_IN, true, 0);
        break;
    case VIT_ATA_WRITE_FPDMA:
        if (run->tf.device & 0x80)
            run->flags = VIT_BLOCK_FUA;
        transfer(run, VIT_ATA_OUT, true, 0);
        break;
    case 0x40: case 0x41: case 0x42:
        verify(run);
        break;
    case 0x10: case 0x70:       /* RECALIBRATE, SEEK */
        break;
    case 0x91:
        set_geometry(run);
        break;
    case 0xb0:
        smart(run);
        break;
    case 0x2f: case 0x47:
        read_log(run, run->tf.command == 0x47);
        break;
    case 0xc6:
        set_multiple(run);
        break;
    case 0xf8:
        native_max(run, 0x0fffffff);
        break;
    case 0x27:
        native_max(run, UINT64_C(1) << 48);
        break;
    case 0xec:
        identify(run);
        break;
    default:
        decode_common(run);
        break;
    }
}

static void decode_cd(VitAtaRun *run)
{
    switch (run->tf.command) {
    case 0x08:      /* DEVICE RESET */
        vit_ata_signature(run->drive, &run->tf);
        break;
    case 0xa1:
        identify(run);
        break;
    case 0xec: case 0x20: case 0x21:    /* as a packet device, it says who it is in refusing */
        vit_ata_signature(run->drive, &run->tf);
        fail(run, VIT_ATA_ABRT);
        break;
    case VIT_ATA_PACKET:
        run->packet = true;
        run->dma = run->tf.feature & 1;
        vit_atapi_decode(run);
        break;
    default:
        decode_common(run);
        break;
    }
}

VitAtaRun *vit_ata_run_new(VitAtaDrive *drive, const VitAtaPort *port, void *opaque, unsigned tag,
                           const VitAtaTaskfile *tf, const uint8_t *cdb)
{
    VitAtaRun *run = g_new0(VitAtaRun, 1);

    run->drive = drive;
    run->port = port;
    run->opaque = opaque;
    run->tag = tag;
    run->tf = *tf;
    run->tf.status = VIT_ATA_READY;
    run->tf.error = 0;
    if (cdb)
        memcpy(run->cdb, cdb, sizeof run->cdb);
    if (drive->cd)
        decode_cd(run);
    else
        decode_disk(run);
    return run;
}
