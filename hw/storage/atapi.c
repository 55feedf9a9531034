/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/atapi.c - what packet commands mean to a CD and DVD-ROM drive (INCITS 430-2007, MMC-5;
 * SPC-3 for the common ones)
 *
 * Every disc is one data track in one session.  Not modelled: audio, sub-channels, raw sectors,
 * writing. */
#include "hw/storage/ata.h"

#include <errno.h>
#include <string.h>

enum { NO_SENSE = 0, NOT_READY = 2, MEDIUM_ERROR = 3, HARDWARE_ERROR = 4, ILLEGAL_REQUEST = 5,
       UNIT_ATTENTION = 6 };
enum { SECTOR = 2048, CD_LIMIT = 405000 /* sectors: 90 minutes; beyond that it is a DVD */,
       LEAD_IN = 150 };
enum { PROFILE_NONE = 0x0000, PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };

static unsigned get16(const uint8_t *p)
{
    return (unsigned) p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t) get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static void put_msf(uint8_t *p, uint32_t sector)
{
    sector += LEAD_IN;
    p[0] = 0;
    p[1] = (uint8_t) MIN(sector / (75 * 60), 255);
    p[2] = (uint8_t) (sector / 75 % 60);
    p[3] = (uint8_t) (sector % 75);
}

/* ---- sense ----------------------------------------------------------------------------------- */

static void check(VitAtaRun *run, uint8_t sense, uint8_t asc, uint8_t ascq)
{
    VitAtaDrive *d = run->drive;

    d->st.sense = sense;
    d->st.asc = asc;
    d->st.ascq = ascq;
    vit_ata_fail(run, (uint8_t) (sense << 4 | (sense == ILLEGAL_REQUEST ? VIT_ATA_ABRT : 0)));
}

static void invalid_field(VitAtaRun *run)
{
    check(run, ILLEGAL_REQUEST, 0x24, 0x00);
}

void vit_atapi_media_error(VitAtaRun *run, int result)
{
    if (result == -EOVERFLOW)       /* the host controller gave too little room */
        check(run, HARDWARE_ERROR, 0x08, 0x03);
    else
        check(run, MEDIUM_ERROR, 0x11, 0x00);
}

static uint32_t disc_sectors(const VitAtaDrive *d)
{
    return (uint32_t) MIN(vit_ata_sectors(d) / 4, UINT32_MAX);
}

static bool has_disc(const VitAtaDrive *d)
{
    return d->node && !d->st.tray_open;
}

/* The commands that need a disc, or at least that it has not changed unnoticed. */
static bool ready(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;

    if (d->st.changed && d->node) {
        d->st.changed = false;
        check(run, UNIT_ATTENTION, 0x28, 0x00);
        return false;
    }
    if (!has_disc(d)) {
        check(run, NOT_READY, 0x3a, d->st.tray_open ? 0x02 : 0x01);
        return false;
    }
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void reply(VitAtaRun *run, const uint8_t *data, uint32_t size, uint32_t allowed)
{
    bool dma = run->dma;
    size = MIN(size, allowed);
    if (size > 0)
        vit_ata_reply(run, data, size, dma);
}

static void request_sense(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;
    uint8_t data[18] = { [0] = 0x70, [7] = 10 };

    if (d->st.sense == NO_SENSE && d->st.changed && d->node) {
        d->st.changed = false;
        d->st.sense = UNIT_ATTENTION;
        d->st.asc = 0x28;
    }
    data[2] = d->st.sense;
    data[12] = d->st.asc;
    data[13] = d->st.ascq;
    d->st.sense = d->st.asc = d->st.ascq = 0;
    reply(run, data, sizeof data, run->cdb[4]);
}

static void padded(uint8_t *at, size_t size, const char *text)
{
    size_t length = MIN(strlen(text), size);
    memset(at, ' ', size);
    memcpy(at, text, length);
}

static void inquiry(VitAtaRun *run)
{
    const VitAtaDrive *d = run->drive;
    uint8_t data[36] = { 0x05, 0x80, 0x00, 0x21, 31 };
    unsigned allowed = get16(run->cdb + 3);

    if (run->cdb[1] & 1) {        /* vital product data: the list of pages, and the serial number */
        uint8_t page[64] = { 0x05, run->cdb[2] };
        size_t n = 0;
        if (run->cdb[2] == 0x00) {
            page[5] = 0x80;
            n = 2;
        } else if (run->cdb[2] == 0x80) {
            n = MIN(strlen(d->serial), 20);
            memcpy(page + 4, d->serial, n);
        } else {
            invalid_field(run);
            return;
        }
        page[3] = (uint8_t) n;
        reply(run, page, (uint32_t) (4 + n), allowed);
        return;
    }
    if (run->cdb[2]) {
        invalid_field(run);
        return;
    }
    padded(data + 8, 8, "VITRINE");
    padded(data + 16, 16, "DVD-ROM");
    padded(data + 32, 4, d->version);
    reply(run, data, sizeof data, allowed);
}

static void read_capacity(VitAtaRun *run)
{
    uint8_t data[8];

    put32(data, disc_sectors(run->drive) - 1);
    put32(data + 4, SECTOR);
    reply(run, data, sizeof data, sizeof data);
}

static void read_toc(VitAtaRun *run)
{
    const VitAtaDrive *d = run->drive;
    bool msf = run->cdb[1] & 2;
    unsigned format = run->cdb[2] & 15, start = run->cdb[6], allowed = get16(run->cdb + 7), size;
    uint8_t data[64] = {};

    if (format == 0)                /* the old place of the field */
        format = run->cdb[9] >> 6;
    switch (format) {
    case 0: {
        if (start > 1 && start != 0xaa) {
            invalid_field(run);
            return;
        }
        size = 4;
        data[2] = data[3] = 1;
        for (unsigned track = start <= 1 ? 1 : 0xaa; size < 20; track = 0xaa) {
            uint32_t sector = track == 1 ? 0 : disc_sectors(d);
            data[size + 1] = 0x14;
            data[size + 2] = (uint8_t) track;
            if (msf)
                put_msf(data + size + 4, sector);
            else
                put32(data + size + 4, sector);
            size += 8;
            if (track == 0xaa)
                break;
        }
        break;
    }
    case 1:                         /* sessions */
        size = 12;
        data[2] = data[3] = 1;
        data[5] = 0x14;
        data[6] = 1;
        if (msf)
            put_msf(data + 8, 0);
        break;
    case 2: {                       /* the raw table: first track, last track, lead-out, track 1 */
        static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 0x01 };
        size = 4;
        data[2] = data[3] = 1;
        for (size_t i = 0; i < sizeof points; i++, size += 11) {
            data[size] = 1;
            data[size + 1] = 0x14;
            data[size + 3] = points[i];
            if (i < 2)
                data[size + 8] = 1;
            else
                put_msf(data + size + 7, i == 2 ? disc_sectors(d) : 0);
        }
        break;
    }
    default:
        invalid_field(run);
        return;
    }
    put16(data, size - 2);
    reply(run, data, size, allowed);
}

static unsigned profile(const VitAtaDrive *d)
{
    if (!has_disc(d))
        return PROFILE_NONE;
    return disc_sectors(d) > CD_LIMIT ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static uint8_t *feature(uint8_t *at, unsigned code, unsigned flags, unsigned size)
{
    put16(at, code);
    at[2] = (uint8_t) flags;        /* version, persistent, current */
    at[3] = (uint8_t) size;
    return at + 4;
}

static void get_configuration(VitAtaRun *run)
{
    const VitAtaDrive *d = run->drive;
    unsigned kind = run->cdb[1] & 3, from = get16(run->cdb + 2), current = profile(d);
    uint8_t data[96] = {}, *at = data + 8;

    if (kind == 3) {
        invalid_field(run);
        return;
    }
    static const struct { unsigned code, flags, size; } features[] = {
        { 0x0000, 0x03, 8 }, { 0x0001, 0x0b, 8 }, { 0x0003, 0x03, 4 }, { 0x0010, 0x00, 8 },
        { 0x001e, 0x08, 4 }, { 0x001f, 0x00, 4 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        unsigned code = features[i].code, flags = features[i].flags;
        if ((code == 0x0010 && current != PROFILE_NONE) ||
            (code == 0x001e && current == PROFILE_CD_ROM) ||
            (code == 0x001f && current == PROFILE_DVD_ROM))
            flags |= 1;
        if ((kind == 2 && code != from) || (kind < 2 && code < from) || (kind == 1 && !(flags & 1)))
            continue;
        uint8_t *body = feature(at, code, flags, features[i].size);
        switch (code) {
        case 0x0000:                /* profiles */
            put16(body, PROFILE_DVD_ROM);
            body[2] = current == PROFILE_DVD_ROM;
            put16(body + 4, PROFILE_CD_ROM);
            body[6] = current == PROFILE_CD_ROM;
            break;
        case 0x0001:                /* core: ATAPI */
            put32(body, 2);
            body[4] = 1;
            break;
        case 0x0003:                /* tray, eject, lock */
            body[0] = 0x29;
            break;
        case 0x0010:                /* random readable */
            put32(body, SECTOR);
            put16(body + 4, 16);
            break;
        }
        at = body + features[i].size;
    }
    put32(data, (uint32_t) (at - data - 4));
    put16(data + 6, current);
    reply(run, data, (uint32_t) (at - data), get16(run->cdb + 7));
}

static void event_status(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;
    uint8_t data[8] = { 0, 2, 0x80, 0x10 };
    uint32_t size = 4;

    if (!(run->cdb[1] & 1)) {       /* only polling */
        invalid_field(run);
        return;
    }
    if (run->cdb[4] & 0x10) {
        size = 8;
        data[1] = 6;
        data[2] = 4;
        data[4] = d->st.changed ? (d->node ? 2 : 3) : 0;
        data[5] = (uint8_t) ((has_disc(d) ? 2 : 0) | (d->st.tray_open ? 1 : 0));
        if (!d->node)
            d->st.changed = false;
    }
    reply(run, data, size, get16(run->cdb + 7));
}

static void mode_sense(VitAtaRun *run)
{
    const VitAtaDrive *d = run->drive;
    unsigned page = run->cdb[2] & 0x3f, size = 8;
    uint8_t data[64] = {};

    if (run->cdb[2] >> 6 == 3) {    /* saved values */
        check(run, ILLEGAL_REQUEST, 0x39, 0x00);
        return;
    }
    if (page != 0x01 && page != 0x2a && page != 0x3f) {
        invalid_field(run);
        return;
    }
    if (page == 0x01 || page == 0x3f) {
        data[size] = 0x01;
        data[size + 1] = 6;
        data[size + 3] = 5;         /* retries */
        size += 8;
    }
    if (page == 0x2a || page == 0x3f) {
        uint8_t *p = data + size;
        p[0] = 0x2a;
        p[1] = 18;
        p[2] = 0x3b;                /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
        p[4] = 0x70;
        p[6] = (uint8_t) (0x29 | (d->st.locked ? 2 : 0));
        put16(p + 8, 706);          /* kB/s */
        put16(p + 12, 512);         /* buffer, KiB */
        put16(p + 14, 706);
        size += 20;
    }
    put16(data, size - 2);
    data[2] = has_disc(d) ? 0x01 : 0x70;
    reply(run, data, size, get16(run->cdb + 7));
}

/* Nothing that a guest may set changes anything here, so parameters are read and forgotten. */
static void mode_select(VitAtaRun *run)
{
    unsigned size = get16(run->cdb + 7);

    if (size > 512) {
        invalid_field(run);
    } else if (size > 0) {
        run->dir = VIT_ATA_OUT;
        run->bytes = run->piece = size;
        run->small = g_malloc0(size);
    }
}

static void disc_information(VitAtaRun *run)
{
    uint8_t data[34] = { 0, 32, 0x0e, 1, 1, 1, 1, 0x20 };
    if (run->cdb[1] & 7)
        invalid_field(run);
    else
        reply(run, data, sizeof data, get16(run->cdb + 7));
}

static void track_information(VitAtaRun *run)
{
    uint8_t data[28] = { 0, 26, 1, 1, 0, 0x04, 0x01 };
    put32(data + 24, disc_sectors(run->drive));
    reply(run, data, sizeof data, get16(run->cdb + 7));
}

static void dvd_structure(VitAtaRun *run)
{
    uint8_t data[4 + 2048] = {};

    if (profile(run->drive) != PROFILE_DVD_ROM || run->cdb[1] & 15 || run->cdb[7] > 1) {
        check(run, ILLEGAL_REQUEST, 0x30, 0x02);
        return;
    }
    uint32_t size = run->cdb[7] == 0 ? sizeof data : 8;
    if (run->cdb[7] == 0) {         /* physical format of one layer */
        data[4] = 0x01;
        data[6] = 0x01;
        put32(data + 8, 0x30000);
        put32(data + 12, 0x30000 + disc_sectors(run->drive) - 1);
    }
    put16(data, size - 2);
    reply(run, data, size, get16(run->cdb + 8));
}

static void mechanism_status(VitAtaRun *run)
{
    uint8_t data[8] = { 0, run->drive->st.tray_open ? 0x10 : 0, 0, 0, 0, 0, 0, 0 };
    reply(run, data, sizeof data, get16(run->cdb + 8));
}

/* ---- actions --------------------------------------------------------------------------------- */

static void start_stop(VitAtaRun *run)
{
    VitAtaDrive *d = run->drive;

    if (!(run->cdb[4] & 2) || run->cdb[4] >> 4)
        return;
    if (run->cdb[4] & 1) {
        d->st.tray_open = false;
    } else if (d->st.locked) {
        check(run, d->node ? ILLEGAL_REQUEST : NOT_READY, 0x53, 0x02);
    } else {
        d->st.tray_open = true;
    }
}

static void read_sectors(VitAtaRun *run, uint32_t first, uint32_t count)
{
    VitAtaDrive *d = run->drive;

    uint32_t sectors = disc_sectors(d);
    if (first > sectors || count > sectors - first) {
        check(run, ILLEGAL_REQUEST, 0x21, 0x00);
        return;
    }
    if (count > 0) {
        bool dma = run->dma;
        vit_ata_media(run, VIT_ATA_IN, (uint64_t) first * SECTOR, (uint64_t) count * SECTOR, dma);
    }
}

static void read_cd(VitAtaRun *run)
{
    uint32_t count = (uint32_t) run->cdb[6] << 16 | get16(run->cdb + 7);
    unsigned what = run->cdb[9] & 0xf8, type = run->cdb[1] >> 2 & 7;

    if (count == 0 || what == 0)
        return;
    if (what != 0x10 || (run->cdb[10] & 7) || (type != 0 && type != 2 && type != 4))
        check(run, ILLEGAL_REQUEST, 0x64, 0x00);
    else
        read_sectors(run, get32(run->cdb + 2), count);
}

static void decode_with_disc(VitAtaRun *run)
{
    const uint8_t *cdb = run->cdb;

    if (!ready(run))
        return;
    switch (cdb[0]) {
    case 0x00:      /* TEST UNIT READY */
        break;
    case 0x25:
        read_capacity(run);
        break;
    case 0x28:
        read_sectors(run, get32(cdb + 2), get16(cdb + 7));
        break;
    case 0xa8:
        read_sectors(run, get32(cdb + 2), get32(cdb + 6));
        break;
    case 0x2b:      /* SEEK */
        if (get32(cdb + 2) >= disc_sectors(run->drive))
            check(run, ILLEGAL_REQUEST, 0x21, 0x00);
        break;
    case 0x43:
        read_toc(run);
        break;
    case 0x51:
        disc_information(run);
        break;
    case 0x52:
        track_information(run);
        break;
    case 0xad:
        dvd_structure(run);
        break;
    case 0xbe:
        read_cd(run);
        break;
    }
}

void vit_atapi_decode(VitAtaRun *run)
{
    /* Sense stays for the next command only. */
    if (run->cdb[0] != 0x03)
        run->drive->st.sense = run->drive->st.asc = run->drive->st.ascq = 0;
    switch (run->cdb[0]) {
    case 0x00: case 0x25: case 0x28: case 0xa8: case 0x2b: case 0x43: case 0x51: case 0x52:
    case 0xad: case 0xbe:
        decode_with_disc(run);
        break;
    case 0x03:
        request_sense(run);
        break;
    case 0x12:
        inquiry(run);
        break;
    case 0x1b:
        start_stop(run);
        break;
    case 0x1e:
        run->drive->st.locked = run->cdb[4] & 1;
        break;
    case 0x46:
        get_configuration(run);
        break;
    case 0x4a:
        event_status(run);
        break;
    case 0x55:
        mode_select(run);
        break;
    case 0x5a:
        mode_sense(run);
        break;
    case 0xbb:      /* SET CD SPEED: any will do */
        break;
    case 0xbd:
        mechanism_status(run);
        break;
    default:
        check(run, ILLEGAL_REQUEST, 0x20, 0x00);
        break;
    }
}
