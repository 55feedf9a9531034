/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/scsi/scsi.h - SCSI disks and CD drives, as any host adapter sees them (SPC-4, SBC-3, MMC-5)
 *
 * A command runs on the thread of the disk's node; sense data go with the answer (autosense).  No
 * command runs while the state is saved or reset: the host adapter rests then. */
#pragma once
#include "block/graph.h"
#include "hw/drive-props.h"

enum {
    VIT_SCSI_CDB = 32,              /* bytes of the longest command */
    VIT_SCSI_SENSE = 18,
    VIT_SCSI_GOOD = 0x00,
    VIT_SCSI_CHECK_CONDITION = 0x02,
    VIT_SCSI_DISK_TYPE = 0x00,
    VIT_SCSI_CD_TYPE = 0x05,
    VIT_SCSI_ASC_CAPACITY = 0x2a,   /* CAPACITY DATA HAS CHANGED */
    VIT_SCSI_ASCQ_CAPACITY = 0x09,
};

/* What a host adapter gives its disks. */
typedef struct {
    void (*quiesce)(VitDevice *adapter, bool on);   /* no command runs between true and false */
    void (*detach)(VitDevice *adapter, VitDevice *disk);
    void (*resized)(VitDevice *adapter, VitDevice *disk); /* on the thread of the disk's node */
} VitScsiAdapter;

typedef struct {
    VitDevice parent;           /* first member */
    const VitScsiAdapter *adapter_class;    /* borrowed; NULL: not attached */
    VitDevice *adapter;          /* borrowed */
    VitBlockNode *node;             /* borrowed; NULL: a CD drive without a disc */
    VitBlockInfo info;             /* of node, when the device was made */
    VitBlockUse *use;              /* owned; NULL without a node */
    VitIoThread *thread;           /* borrowed: the adapter's, where it brings node; NULL: any */
    VitBlockPlace place;           /* where node was before */
    uint8_t type;             /* peripheral device type */
    uint32_t block;            /* bytes of a logical block */
    uint32_t target, lun;
    char *serial, *device_id, *vendor, *product, *version;
    uint32_t rotation_rate; /* a minute; 1: does not rotate, 0: nothing is said */
    uint64_t wwn;
    bool share_rw;
    VitDriveProps drive;
    bool cache;                /* what write_cache is after a reset */
    unsigned in_flight;        /* commands that the node has; the adapter's thread */
    struct {
        bool attention;             /* to be told of: power on, reset */
        bool resized;               /* to be told of: another capacity */
        bool tray_open, tray_locked, write_cache;
    } st;
} VitScsiDisk;

typedef struct VitScsiCommand VitScsiCommand;
struct VitScsiCommand {             /* the adapter's, alive until done() */
    VitScsiDisk *disk;
    uint8_t cdb[VIT_SCSI_CDB];
    const struct iovec *out, *in;   /* the initiator's data, mapped */
    unsigned n_out, n_in;
    uint64_t out_size, in_size;
    /* the answer */
    uint8_t status, sense[VIT_SCSI_SENSE];
    unsigned sense_size;
    uint64_t moved;      /* bytes of out that were taken, or of in that were filled */
    void (*done)(VitScsiCommand *command);     /* maybe before submit returns */
    /* the disk's */
    VitBlockRequest req;
    uint8_t *buffer;     /* owned */
    struct iovec *part;       /* owned */
    unsigned range, n_ranges;
};

/* Runs command->cdb; on the thread of the disk's node. */
void vit_scsi_submit(VitScsiCommand *command);
void vit_scsi_disk_reset_unit(VitScsiDisk *disk);   /* a logical unit reset: says so once */

/* inquiry.c: what a unit says of itself.  True when the opcode was one of its. */
bool vit_scsi_describe(VitScsiCommand *command);
void vit_scsi_reply(VitScsiCommand *command, const void *data, size_t size, uint64_t allowed);
void vit_scsi_fail(VitScsiCommand *command, uint8_t key, uint8_t asc, uint8_t ascq);
void vit_scsi_end(VitScsiCommand *command, uint8_t status);
uint64_t vit_scsi_blocks(const VitScsiDisk *disk);

enum { /* sense keys */
       VIT_SCSI_NO_SENSE = 0,
       VIT_SCSI_NOT_READY = 2,
       VIT_SCSI_MEDIUM_ERROR = 3,
       VIT_SCSI_ILLEGAL_REQUEST = 5,
       VIT_SCSI_UNIT_ATTENTION = 6,
       VIT_SCSI_DATA_PROTECT = 7,
       VIT_SCSI_ABORTED = 11,
};

extern const VitDeviceClass vit_scsi_hd_class, vit_scsi_cd_class;

static inline uint16_t vit_scsi_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t vit_scsi_get32(const uint8_t *p)
{
    return (uint32_t)vit_scsi_get16(p) << 16 | vit_scsi_get16(p + 2);
}
static inline uint64_t vit_scsi_get64(const uint8_t *p)
{
    return (uint64_t)vit_scsi_get32(p) << 32 | vit_scsi_get32(p + 4);
}
static inline void vit_scsi_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void vit_scsi_put32(uint8_t *p, uint32_t v)
{
    vit_scsi_put16(p, v >> 16);
    vit_scsi_put16(p + 2, v & 0xffff);
}
static inline void vit_scsi_put64(uint8_t *p, uint64_t v)
{
    vit_scsi_put32(p, (uint32_t)(v >> 32));
    vit_scsi_put32(p + 4, (uint32_t)v);
}
