/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/scsi/inquiry.c - what a SCSI unit says of itself: INQUIRY and its pages, capacity, modes,
 * and of a disc its tracks and features (SPC-4 6.6, 6.13, 7.8; SBC-3 5.16, 6.5; MMC-5 5.3, 6.26) */
#include "hw/scsi/scsi.h"

#include <string.h>

enum {
    INQUIRY = 0x12,
    MODE_SENSE_6 = 0x1a,
    MODE_SENSE_10 = 0x5a,
    READ_CAPACITY_10 = 0x25,
    SERVICE_ACTION_IN = 0x9e,
    REQUEST_SENSE = 0x03,
    REPORT_LUNS = 0xa0,
    READ_TOC = 0x43,
    GET_CONFIGURATION = 0x46,
    GET_EVENT_STATUS = 0x4a,
    READ_DISC_INFORMATION = 0x51,
};
enum { PAGE_CACHING = 0x08, PAGE_CONTROL = 0x0a, PAGE_CAPABILITIES = 0x2a, PAGE_ALL = 0x3f };
enum {
    LEAD_OUT = 0xaa,
    PROFILE_CD_ROM = 0x0008,
    PROFILE_DVD_ROM = 0x0010,
    CD_LIMIT = 405000,
    UNMAP_LIMIT = 1 << 22 /* blocks */,
    WRITE_SAME_LIMIT = 1 << 22
};

static bool is_cd(const VitScsiDisk *d)
{
    return d->type == VIT_SCSI_CD_TYPE;
}

static void padded(uint8_t *at, size_t size, const char *text, const char *otherwise)
{
    const char *t = text && *text ? text : otherwise;
    size_t length = MIN(strlen(t), size);

    memset(at, ' ', size);
    memcpy(at, t, length);
}

/* ---- INQUIRY --------------------------------------------------------------------------------- */

static size_t page_identification(const VitScsiDisk *d, uint8_t *p)
{
    size_t n = 0;

    const char *id = d->device_id ?: d->serial;

    if (id && *id) { /* a T10 vendor identification */
        size_t length = MIN(strlen(id), 20);
        p[0] = 2; /* ASCII */
        p[1] = 1;
        p[3] = (uint8_t)(8 + length);
        padded(p + 4, 8, d->vendor, "VITRINE");
        memcpy(p + 12, id, length);
        n = 12 + length;
    }
    if (d->wwn) {
        p[n] = 1; /* binary */
        p[n + 1] = 3; /* NAA */
        p[n + 3] = 8;
        vit_scsi_put64(p + n + 4, d->wwn);
        n += 12;
    }
    return n;
}

static size_t page_limits(const VitScsiDisk *d, uint8_t *p)
{
    uint64_t bytes = d->drive.discard_granularity != VIT_DRIVE_AUTO
                         ? d->drive.discard_granularity
                         : MAX(d->info.cluster_size, d->drive.physical_block);
    uint32_t granularity = (uint32_t)MAX(bytes / d->block, 1);

    vit_scsi_put16(p + 2, (unsigned)(d->drive.min_io / d->block)); /* transfer granularity */
    vit_scsi_put32(p + 8, (uint32_t)(d->drive.opt_io / d->block)); /* optimal transfer */
    vit_scsi_put32(p + 16, UNMAP_LIMIT);
    vit_scsi_put32(p + 20, 255); /* unmap descriptors */
    vit_scsi_put32(p + 24, granularity);
    vit_scsi_put64(p + 32, WRITE_SAME_LIMIT);
    return 60;
}

static void vital_page(VitScsiCommand *c)
{
    const VitScsiDisk *d = c->disk;
    static const uint8_t disk_pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
    uint8_t page[256] = { d->type, c->cdb[2] }, *body = page + 4;
    size_t n = 0;

    switch (c->cdb[2]) {
    case 0x00:
        n = is_cd(d) ? 3 : sizeof disk_pages;
        memcpy(body, disk_pages, n);
        break;
    case 0x80:
        n = d->serial ? MIN(strlen(d->serial), 36) : 0;
        memcpy(body, d->serial ?: "", n);
        break;
    case 0x83: n = page_identification(d, body); break;
    case 0xb0: n = is_cd(d) ? 0 : page_limits(d, body); break;
    case 0xb1:
        vit_scsi_put16(body, d->rotation_rate);
        n = is_cd(d) ? 0 : 60;
        break;
    case 0xb2: /* UNMAP, WRITE SAME (16) and (10) give space back; reads zero */
        body[1] = d->info.can_discard ? 0xe4 : 0;
        body[2] = d->info.can_discard ? 2 : 0;
        n = is_cd(d) ? 0 : 4;
        break;
    default: break;
    }
    bool known = c->cdb[2] == 0 || c->cdb[2] == 0x80 || c->cdb[2] == 0x83 || n > 0;
    if (!known) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
        return;
    }
    vit_scsi_put16(page + 2, (unsigned)n);
    vit_scsi_reply(c, page, 4 + n, vit_scsi_get16(c->cdb + 3));
}

static void inquiry(VitScsiCommand *c)
{
    const VitScsiDisk *d = c->disk;
    uint8_t data[36] = { d->type, is_cd(d) ? 0x80 : 0, 0x05, 0x12, 31, 0, 0, 0x02 };

    if (c->cdb[1] & 1) {
        vital_page(c);
        return;
    }
    if (c->cdb[2]) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
        return;
    }
    padded(data + 8, 8, d->vendor, "VITRINE");
    padded(data + 16, 16, d->product, is_cd(d) ? "Vitrine CD-ROM" : "Vitrine HARDDISK");
    padded(data + 32, 4, d->version, "1.0");
    vit_scsi_reply(c, data, sizeof data, vit_scsi_get16(c->cdb + 3));
}

/* ---- capacity and modes ---------------------------------------------------------------------- */

static void read_capacity_10(VitScsiCommand *c)
{
    uint8_t data[8];

    vit_scsi_put32(data, (uint32_t)MIN(vit_scsi_blocks(c->disk) - 1, UINT32_MAX));
    vit_scsi_put32(data + 4, c->disk->block);
    vit_scsi_reply(c, data, sizeof data, sizeof data);
}

static void read_capacity_16(VitScsiCommand *c)
{
    const VitScsiDisk *d = c->disk;
    uint8_t data[32] = { 0 };

    vit_scsi_put64(data, vit_scsi_blocks(d) - 1);
    vit_scsi_put32(data + 8, d->block);
    data[13] = (uint8_t)(g_bit_storage(MAX(d->drive.physical_block / d->block, 1)) - 1);
    data[14] = d->info.can_discard ? 0xc0 : 0; /* thin, and unmapped blocks read zero */
    vit_scsi_reply(c, data, sizeof data, vit_scsi_get32(c->cdb + 10));
}

/* One mode page; changeable: which bits MODE SELECT may set. */
static size_t mode_page(const VitScsiDisk *d, unsigned page, bool changeable, uint8_t *p)
{
    if (page == PAGE_CACHING) {
        p[0] = PAGE_CACHING;
        p[1] = 18;
        p[2] = changeable || (d->st.write_cache && !is_cd(d)) ? 4 : 0; /* WCE */
        return 20;
    }
    if (page == PAGE_CONTROL && !is_cd(d)) {
        p[0] = PAGE_CONTROL;
        p[1] = 10;
        p[3] = changeable ? 0 : 0x10; /* commands may be reordered */
        return 12;
    }
    if (page == PAGE_CAPABILITIES && is_cd(d)) {
        p[0] = PAGE_CAPABILITIES;
        p[1] = 20;
        if (!changeable) {
            p[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
            p[6] = (uint8_t)(0x29 | (d->st.tray_locked ? 2 : 0)); /* tray, eject, lock */
            vit_scsi_put16(p + 8, 8467); /* kB/s */
            vit_scsi_put16(p + 14, 8467);
        }
        return 22;
    }
    return 0;
}

static void mode_sense(VitScsiCommand *c, bool ten)
{
    const VitScsiDisk *d = c->disk;
    static const uint8_t pages[] = { PAGE_CACHING, PAGE_CONTROL, PAGE_CAPABILITIES };
    unsigned wanted = c->cdb[2] & 0x3f, control = c->cdb[2] >> 6, header = ten ? 8 : 4;
    uint8_t data[128] = { 0 };
    size_t n = header;
    bool found = wanted == PAGE_ALL;

    if (control == 3) { /* nothing is kept across power cycles */
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x39, 0);
        return;
    }
    if (!(c->cdb[1] & 8) && !is_cd(d)) { /* a block descriptor */
        vit_scsi_put32(data + n, (uint32_t)MIN(vit_scsi_blocks(d), 0xffffff));
        vit_scsi_put32(data + n + 4, d->block & 0xffffff);
        data[header - 1] = 8;
        n += 8;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (wanted != PAGE_ALL && wanted != pages[i]) continue;
        size_t size = mode_page(d, pages[i], control == 1, data + n);
        found |= size > 0;
        n += size;
    }
    if (!found) {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
        return;
    }
    /* write-protected; DPO and FUA are understood */
    uint8_t parameter = is_cd(d) ? 0 : (uint8_t)((d->info.read_only ? 0x80 : 0) | 0x10);
    if (ten) {
        vit_scsi_put16(data, (unsigned)n - 2);
        data[3] = parameter;
    } else {
        data[0] = (uint8_t)(n - 1);
        data[2] = parameter;
    }
    vit_scsi_reply(c, data, n, ten ? vit_scsi_get16(c->cdb + 7) : c->cdb[4]);
}

/* ---- discs ----------------------------------------------------------------------------------- */

static void put_address(uint8_t *p, uint32_t block, bool msf)
{
    if (!msf) {
        vit_scsi_put32(p, block);
        return;
    }
    block += 150; /* two seconds of lead-in */
    p[0] = 0;
    p[1] = (uint8_t)MIN(block / (75 * 60), 255);
    p[2] = (uint8_t)(block / 75 % 60);
    p[3] = (uint8_t)(block % 75);
}

static void read_toc(VitScsiCommand *c)
{
    bool msf = c->cdb[1] & 2;
    unsigned format = c->cdb[2] & 15, start = c->cdb[6];
    uint8_t data[20] = { 0, 0, 1, 1 };
    size_t n = 4;

    if (format == 1) { /* the first session begins with track 1 */
        data[5] = 0x14;
        data[6] = 1;
        put_address(data + 8, 0, msf);
        n = 12;
    } else if (format == 0 && (start <= 1 || start == LEAD_OUT)) {
        if (start <= 1) {
            data[5] = 0x14;
            data[6] = 1;
            put_address(data + 8, 0, msf);
            n = 12;
        }
        data[n + 1] = 0x16;
        data[n + 2] = LEAD_OUT;
        put_address(data + n + 4, (uint32_t)vit_scsi_blocks(c->disk), msf);
        n += 8;
    } else {
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
        return;
    }
    vit_scsi_put16(data, (unsigned)n - 2);
    vit_scsi_reply(c, data, n, vit_scsi_get16(c->cdb + 7));
}

static void get_configuration(VitScsiCommand *c)
{
    const VitScsiDisk *d = c->disk;
    bool disc = d->node && !d->st.tray_open, dvd = disc && vit_scsi_blocks(d) > CD_LIMIT;
    uint8_t data[32] = { 0 };

    vit_scsi_put16(data + 6, !disc ? 0 : dvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM);
    vit_scsi_put16(data + 8, 0); /* feature 0: the profiles */
    data[10] = 3;
    data[11] = 8;
    vit_scsi_put16(data + 12, PROFILE_DVD_ROM);
    data[14] = dvd;
    vit_scsi_put16(data + 16, PROFILE_CD_ROM);
    data[18] = disc && !dvd;
    vit_scsi_put16(data + 20, 1); /* feature 1: core */
    data[22] = 11;
    data[23] = 8;
    vit_scsi_put32(data + 24, 1); /* SCSI */
    data[28] = 1;
    vit_scsi_put32(data, sizeof data - 4);
    vit_scsi_reply(c, data, sizeof data, vit_scsi_get16(c->cdb + 7));
}

static void get_event_status(VitScsiCommand *c)
{
    const VitScsiDisk *d = c->disk;
    uint8_t data[8] = { 0, 4, 0x80, 0x10 };

    if (!(c->cdb[1] & 1)) { /* only asked, not to be told later */
        vit_scsi_fail(c, VIT_SCSI_ILLEGAL_REQUEST, 0x24, 0);
        return;
    }
    if (c->cdb[4] & 0x10) {
        data[1] = 6;
        data[2] = 4; /* media */
        data[5] = (uint8_t)((d->st.tray_open ? 1 : 0) | (d->node ? 2 : 0));
    }
    vit_scsi_reply(c, data, c->cdb[4] & 0x10 ? 8 : 4, vit_scsi_get16(c->cdb + 7));
}

static void read_disc_information(VitScsiCommand *c)
{
    uint8_t data[34] = { 0, 32, 0x0e, 1, 1, 1, 1 }; /* complete, one session, one track */

    vit_scsi_reply(c, data, sizeof data, vit_scsi_get16(c->cdb + 7));
}

static void request_sense(VitScsiCommand *c)
{
    uint8_t data[VIT_SCSI_SENSE] = { 0x70, 0, VIT_SCSI_NO_SENSE, 0, 0, 0, 0, 10 };

    vit_scsi_reply(c, data, sizeof data, c->cdb[4]); /* what there was went with its command */
}

bool vit_scsi_describe(VitScsiCommand *c)
{
    bool cd = is_cd(c->disk);

    switch (c->cdb[0]) {
    case INQUIRY: inquiry(c); return true;
    case REQUEST_SENSE: request_sense(c); return true;
    case MODE_SENSE_6: mode_sense(c, false); return true;
    case MODE_SENSE_10: mode_sense(c, true); return true;
    case READ_CAPACITY_10: read_capacity_10(c); return true;
    case SERVICE_ACTION_IN:
        if ((c->cdb[1] & 31) != 0x10) return false;
        read_capacity_16(c);
        return true;
    case READ_TOC:
        if (cd) read_toc(c);
        return cd;
    case GET_CONFIGURATION:
        if (cd) get_configuration(c);
        return cd;
    case GET_EVENT_STATUS:
        if (cd) get_event_status(c);
        return cd;
    case READ_DISC_INFORMATION:
        if (cd) read_disc_information(c);
        return cd;
    default: return false;
    }
}
