/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ata.h - ATA disks and ATAPI CD drives, apart from the controller they hang on
 *
 * A drive is a device of its own ("ide-hd", "ide-cd").  Its controller starts a run for each
 * command; the run moves data piece by piece through the controller's port functions and ends with
 * a task file.  All under the machine lock. */
#pragma once
#include "block/graph.h"
#include "engine/core/device.h"
#include "hw/drive-props.h"
#include "hw/storage/transfer.h"

typedef struct VitAtaDrive VitAtaDrive;
typedef struct VitAtaRun VitAtaRun;

enum { VIT_ATA_ERR = 0x01, VIT_ATA_DRQ = 0x08, VIT_ATA_DSC = 0x10, VIT_ATA_DF = 0x20,
       VIT_ATA_DRDY = 0x40, VIT_ATA_BSY = 0x80, VIT_ATA_READY = VIT_ATA_DRDY | VIT_ATA_DSC };
enum { VIT_ATA_ABRT = 0x04, VIT_ATA_IDNF = 0x10, VIT_ATA_UNC = 0x40, VIT_ATA_ICRC = 0x80 };
enum { VIT_ATA_PACKET = 0xa0, VIT_ATA_READ_FPDMA = 0x60, VIT_ATA_WRITE_FPDMA = 0x61 };
enum { VIT_ATA_PIO_MAX = 8192, VIT_ATA_PIECE = 256 * 1024 };

typedef struct {                /* lba and count: as the registers hold them, 48 and 16 bits */
    uint8_t  command, device, status, error;
    uint16_t feature, count;
    uint64_t lba;
} VitAtaTaskfile;

typedef enum { VIT_ATA_NONE, VIT_ATA_IN /* to the guest */, VIT_ATA_OUT } VitAtaDir;
typedef enum {
    VIT_ATA_GO,     /* the piece has moved */
    VIT_ATA_WAIT,   /* it will: vit_ata_run_resume() */
    VIT_ATA_STOP,   /* no room for it: the command ends with an error */
} VitAtaFlow;

typedef struct {
    VitAtaFlow (*put)(void *opaque, VitAtaRun *run, const uint8_t *data, uint32_t size);
    VitAtaFlow (*get)(void *opaque, VitAtaRun *run, uint8_t *data, uint32_t size);
    void (*done)(void *opaque, VitAtaRun *run);     /* result in run->tf; the run goes afterwards */
} VitAtaPort;

struct VitAtaRun {
    VitAtaDrive      *drive;    /* borrowed */
    const VitAtaPort *port;
    void             *opaque;   /* port's */
    unsigned          tag;      /* the controller's */
    VitAtaTaskfile    tf;
    uint8_t           cdb[16];
    bool              packet;
    /* decoded */
    VitAtaDir         dir;
    bool              dma;    /* the command's protocol is DMA (packets: the feature bit says so) */
    bool              media;    /* data is the disk's, from offset on; else `small` */
    bool              failed;   /* ends at once with the status and error in tf */
    uint64_t          offset, bytes, position;
    uint32_t          piece;    /* bytes of one put or get at most; the controller may lower it */
    uint32_t          flags;    /* VIT_BLOCK_FUA */
    uint8_t          *small;    /* owned, bytes long */
    void            (*finish)(VitAtaRun *run);  /* what follows the data; NULL = nothing */
    /* under way */
    VitTransfer      *transfer; /* NULL while none runs */
    uint8_t          *data;     /* owned: the piece that a put or get waits for */
    uint32_t          data_size;
};

struct VitAtaDrive {
    VitDevice         parent;
    VitBlockNode     *node;     /* borrowed; NULL: no disc in the CD drive */
    VitTransferQueue *queue;    /* owned; NULL with node */
    VitBlockUse      *use;      /* owned; NULL with node */
    bool              cd;
    bool              sata;     /* hangs on a serial link; set by its controller */
    char             *serial, *model, *version;     /* options */
    uint64_t          wwn;                          /* option */
    bool              share_rw;                     /* option */
    VitDriveProps     drive;                        /* options */
    bool              cache;    /* what write_cache is after a reset */
    uint64_t          sectors;  /* of 512 bytes; changes on the node's thread: vit_ata_sectors() */
    uint32_t          rotation_rate;    /* option: a minute; 1: does not rotate, 0: not said */
    uint16_t          cylinders, heads, per_track;  /* default geometry */
    VitDevice        *host;     /* borrowed: the controller; with its place there */
    unsigned          bus, unit;
    void            (*detach)(void *controller, VitAtaDrive *drive);    /* the drive goes */
    void             *controller;
    struct {
        uint8_t  multiple;      /* sectors of a READ MULTIPLE block; 0 = off */
        uint8_t  mode;          /* transfer mode, as in SET FEATURES */
        uint16_t heads, per_track;
        bool     write_cache, look_ahead, smart;
        uint8_t  sense, asc, ascq;
        bool     locked, tray_open, changed;
        uint8_t  ncq_tag, ncq_status, ncq_error;    /* of the last queued command that failed */
        uint64_t ncq_lba;
    } st;
};

extern const VitDeviceClass vit_ide_hd_class, vit_ide_cd_class;
extern const VitField vit_ata_taskfile_fields[];

/* Before vit_device_init(); node borrowed, NULL for an empty CD drive. */
void vit_ata_set_node(VitAtaDrive *drive, VitBlockNode *node);
/* Changes the disc, or takes it out (NULL).  False while the guest has locked the tray. */
[[nodiscard]] bool vit_ata_change_disc(VitAtaDrive *drive, VitBlockNode *node, bool force);

/* The registers after power-on, reset or EXECUTE DEVICE DIAGNOSTIC. */
void vit_ata_signature(const VitAtaDrive *drive, VitAtaTaskfile *tf);
/* Decodes; cdb (16 bytes) for PACKET commands.  Start it when dir and dma suit the controller. */
[[nodiscard]] VitAtaRun *vit_ata_run_new(VitAtaDrive *drive, const VitAtaPort *port, void *opaque,
                                         unsigned tag, const VitAtaTaskfile *tf,
                                         const uint8_t *cdb);
void vit_ata_run_start(VitAtaRun *run);     /* done() may come before this returns */
/* after WAIT: the piece has been taken or given (run->data) */
void vit_ata_run_resume(VitAtaRun *run);
void vit_ata_run_cancel(VitAtaRun *run);    /* without done(); NULL is fine */
/* For commands in progress in a loaded state: start and WAIT again for the piece at position. */
void vit_ata_run_restore(VitAtaRun *run, uint64_t position, uint32_t waiting_size);

/* Between ata*.c */
static inline uint64_t vit_ata_sectors(const VitAtaDrive *drive)
{
    return __atomic_load_n(&drive->sectors, __ATOMIC_RELAXED);
}
bool vit_ata_can_trim(const VitAtaDrive *drive);
void vit_ata_fail(VitAtaRun *run, uint8_t error);
void vit_ata_reply(VitAtaRun *run, const void *data, uint32_t size, bool dma);
void vit_ata_media(VitAtaRun *run, VitAtaDir dir, uint64_t offset, uint64_t bytes, bool dma);
void vit_ata_identify(const VitAtaDrive *drive, uint8_t words[512]);
void vit_atapi_decode(VitAtaRun *run);
void vit_atapi_media_error(VitAtaRun *run, int result);
void vit_ata_flush(VitAtaRun *run);
void vit_ata_run_end(VitAtaRun *run);       /* done(), then free */
