/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ide-private.h - between ide.c (registers, life) and ide-channel.c (commands, data) */
#pragma once
#include "hw/deferred.h"
#include "hw/storage/ide.h"

enum { CHANNELS = 2, UNITS = 2 };
enum { CTL_NIEN = 0x02, CTL_SRST = 0x04, CTL_HOB = 0x80 };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08, BM_ACTIVE = 0x01, BM_ERROR = 0x02,
       BM_INTERRUPT = 0x04 };

typedef struct {                /* [0] newest, [1] the write before (48-bit commands) */
    uint8_t feature[2], count[2], low[2], mid[2], high[2];
    uint8_t status, error;
} UnitRegs;

typedef struct {
    /* the command in progress */
    uint64_t       position;
    VitAtaTaskfile tf;                  /* as it was written */
    uint32_t       waiting;             /* bytes of the piece that waits, 0 = none */
    uint32_t       at, size;            /* of the block in pio: next byte, length */
    /* bus master */
    uint32_t       bm_table, bm_next;   /* table as written; next descriptor */
    uint32_t       bm_address, bm_left; /* in the present descriptor */
    uint8_t        bm_command, bm_status;
    bool           bm_last;
    bool           active;              /* a run exists (and is made again after a load) */
    bool           cdb_phase;           /* PACKET waits for its command bytes */
    bool           drq_out;             /* the guest writes the block in pio */
    uint8_t        unit;                /* whose command it is */
    uint8_t        device, control;
    bool           irq;
    uint8_t        cdb[16];
    UnitRegs       units[UNITS];
    uint8_t        pio[VIT_ATA_PIO_MAX];
} ChannelState;

typedef struct Ide Ide;

typedef struct {
    Ide         *ide;
    unsigned     number;
    VitAtaDrive *drives[UNITS];         /* borrowed */
    VitAtaRun   *run;                   /* owned, or NULL */
    bool         dma_waits;             /* run waits for the guest to start the bus master */
} Channel;

struct Ide {
    VitDevice       parent;
    VitPciBus      *bus;                /* borrowed, or NULL */
    int             devfn;
    VitPciFunction *pci;
    VitRegion      *mapped[4];          /* of the device */
    VitDeferred    *restore;            /* owned */
    bool            unrestored;         /* a load has left commands that are to start again */
    Channel         channels[CHANNELS];
    struct { ChannelState ch[CHANNELS]; } st;
};

static inline ChannelState *state(const Channel *c)
{
    return &c->ide->st.ch[c->number];
}

static inline UnitRegs *selected(const Channel *c)
{
    ChannelState *s = state(c);
    return &s->units[s->device >> 4 & 1];
}

/* ide.c: drives the interrupt lines. */
void ide_update(VitDevice *ide);
/* ide-channel.c */
void ide_table_rewind(ChannelState *s);
/* Puts the descriptor list where the byte at position goes: DMA starts again with a whole piece. */
bool ide_table_seek(Channel *c, uint64_t position);
bool ide_dma_ready(const Channel *c);
void ide_dma_go(Channel *c); /* the bus master was started: what waits for it moves */
VitAtaRun *ide_make_run(Channel *c); /* of the command in the state */
void ide_cancel(Channel *c);
void ide_signature(Channel *c, unsigned unit);
void ide_reset_units(Channel *c);
void ide_command(Channel *c, uint8_t value);
uint64_t ide_data_read(Channel *c, unsigned size);
void ide_data_write(Channel *c, uint64_t value, unsigned size);
