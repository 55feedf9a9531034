/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ide.c - IDE controller of the PIIX3 (Intel 82371SB datasheet, 2.4 and 3.4; SFF-8038i
 * "Programming Interface for Bus Master IDE"; task file protocol: ATA/ATAPI-7 volume 2)
 *
 * Wires: ports 0x1f0..0x1f7, 0x3f6 and 0x170..0x177, 0x376 in compatibility mode; BAR 4, 16 ports;
 * irq 0 and 1: ISA lines 14 and 15.  Not modelled: timing registers, native mode, overlap. */
#include "hw/storage/ide.h"

#include "hw/deferred.h"

#include <string.h>

enum { CHANNELS = 2, UNITS = 2, CDB_SIZE = 12 };
enum { R_DATA, R_ERROR, R_COUNT, R_LOW, R_MID, R_HIGH, R_DEVICE, R_STATUS, R_CONTROL };
enum { W_CHANNEL = 0x10, W_BUS_MASTER = 0x20, W_SIZE = 0x30 };  /* offsets in the device's window */
enum { CTL_NIEN = 0x02, CTL_SRST = 0x04, CTL_HOB = 0x80 };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08, BM_ACTIVE = 0x01, BM_ERROR = 0x02,
       BM_INTERRUPT = 0x04 };
enum { REASON_COMMAND = 1, REASON_IN = 2 };     /* in the count register of packet commands */

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

static ChannelState *state(const Channel *c)
{
    return &c->ide->st.ch[c->number];
}

static UnitRegs *selected(const Channel *c)
{
    ChannelState *s = state(c);
    return &s->units[s->device >> 4 & 1];
}

static VitAtaDrive *selected_drive(const Channel *c)
{
    return c->drives[state(c)->device >> 4 & 1];
}

static void ide_update(VitDevice *d)
{
    const Ide *ide = (Ide *) d;
    for (unsigned i = 0; i < CHANNELS; i++)
        vit_irq_set(d, i, ide->st.ch[i].irq && !(ide->st.ch[i].control & CTL_NIEN));
}

static void interrupt(Channel *c)
{
    state(c)->irq = true;
    state(c)->bm_status |= BM_INTERRUPT;
    ide_update(&c->ide->parent);    /* a run may be moved by the host, without a register access */
}

/* ---- bus master: the guest's descriptor list ------------------------------------------------- */

static VitAddressSpace *dma_space(const Ide *ide)
{
    return ide->pci ? vit_pci_dma(ide->pci) : ide->parent.sys->memory;
}

static void table_rewind(ChannelState *s)
{
    s->bm_next = s->bm_table & ~3u;
    s->bm_left = 0;
    s->bm_last = false;
}

/* The next stretch of at most *size bytes; false when the list is at its end. */
static bool table_next(Channel *c, uint32_t *address, uint32_t *size)
{
    ChannelState *s = state(c);

    if (s->bm_left == 0) {
        uint8_t entry[8];
        if (s->bm_last)
            return false;
        vit_as_read(dma_space(c->ide), s->bm_next, entry, sizeof entry);
        s->bm_next += sizeof entry;
        s->bm_address = (entry[0] | (uint32_t) entry[1] << 8 | (uint32_t) entry[2] << 16 |
                         (uint32_t) entry[3] << 24) & ~1u;
        s->bm_left = (entry[4] | (uint32_t) entry[5] << 8) & 0xfffe;
        if (s->bm_left == 0)
            s->bm_left = 65536;
        s->bm_last = entry[7] & 0x80;
    }
    *address = s->bm_address;
    *size = MIN(*size, s->bm_left);
    s->bm_address += *size;
    s->bm_left -= *size;
    return true;
}

static bool dma_move(Channel *c, uint8_t *data, uint32_t size, bool to_memory)
{
    while (size > 0) {
        uint32_t address, n = size;
        if (!table_next(c, &address, &n))
            return false;
        if (to_memory)
            vit_as_write(dma_space(c->ide), address, data, n);
        else
            vit_as_read(dma_space(c->ide), address, data, n);
        data += n;
        size -= n;
    }
    return true;
}

static bool dma_ready(const Channel *c)
{
    const Ide *ide = c->ide;
    return (state(c)->bm_command & BM_START) && (!ide->pci || vit_pci_bus_master(ide->pci));
}

/* ---- a run's data ---------------------------------------------------------------------------- */

static void note(Channel *c, const VitAtaRun *run, uint32_t waiting)
{
    state(c)->position = run->position;
    state(c)->waiting = waiting;
}

/* Offers the block in pio to the guest, or asks for one. */
static void data_request(Channel *c, VitAtaRun *run, uint32_t size, bool out, bool tell)
{
    ChannelState *s = state(c);
    UnitRegs *u = &s->units[s->unit];

    s->at = 0;
    s->size = size;
    s->drq_out = out;
    u->status = VIT_ATA_READY | VIT_ATA_DRQ;
    if (run->packet) {
        u->count[0] = out ? 0 : REASON_IN;
        u->mid[0] = (uint8_t) size;
        u->high[0] = (uint8_t) (size >> 8);
    }
    if (tell)
        interrupt(c);
}

static VitAtaFlow ide_put(void *opaque, VitAtaRun *run, const uint8_t *data, uint32_t size)
{
    Channel *c = opaque;

    note(c, run, size);
    if (!run->dma) {
        memcpy(state(c)->pio, data, size);
        data_request(c, run, size, false, true);
        return VIT_ATA_WAIT;
    }
    if (!dma_ready(c)) {
        c->dma_waits = true;
        return VIT_ATA_WAIT;
    }
    return dma_move(c, run->data, size, true) ? VIT_ATA_GO : VIT_ATA_STOP;
}

static VitAtaFlow ide_get(void *opaque, VitAtaRun *run, uint8_t *data, uint32_t size)
{
    Channel *c = opaque;

    note(c, run, size);
    if (!run->dma) {
        /* The first block of a PIO write is asked for without an interrupt. */
        data_request(c, run, size, true, run->packet || run->position > 0);
        return VIT_ATA_WAIT;
    }
    if (!dma_ready(c)) {
        c->dma_waits = true;
        return VIT_ATA_WAIT;
    }
    return dma_move(c, data, size, false) ? VIT_ATA_GO : VIT_ATA_STOP;
}

static void put_taskfile(UnitRegs *u, const VitAtaTaskfile *tf)
{
    u->status = tf->status;
    u->error = tf->error;
    u->count[0] = (uint8_t) tf->count;
    u->count[1] = (uint8_t) (tf->count >> 8);
    u->low[0] = (uint8_t) tf->lba;
    u->mid[0] = (uint8_t) (tf->lba >> 8);
    u->high[0] = (uint8_t) (tf->lba >> 16);
    u->low[1] = (uint8_t) (tf->lba >> 24);
    u->mid[1] = (uint8_t) (tf->lba >> 32);
    u->high[1] = (uint8_t) (tf->lba >> 40);
}

static void ide_done(void *opaque, VitAtaRun *run)
{
    Channel *c = opaque;
    ChannelState *s = state(c);
    bool silent = !run->packet && !run->dma && run->dir == VIT_ATA_IN && !run->failed;

    c->run = NULL;
    c->dma_waits = false;
    s->active = false;
    s->waiting = 0;
    put_taskfile(&s->units[s->unit], &run->tf);
    if (run->packet)
        s->units[s->unit].count[0] = REASON_COMMAND | REASON_IN;
    if (run->dma)
        s->bm_status &= (uint8_t) ~BM_ACTIVE;
    /* The last block of a PIO read has had its interrupt. */
    if (!silent)
        interrupt(c);
}

static const VitAtaPort port = { ide_put, ide_get, ide_done };

static void restore(void *opaque);

/* A guest may be quicker than the deferred call after a load. */
static void make_sure(VitDevice *d)
{
    if (((Ide *) d)->unrestored)
        restore(d);
}

static VitAtaRun *make_run(Channel *c)
{
    ChannelState *s = state(c);
    VitAtaDrive *drive = c->drives[s->unit];
    VitAtaRun *run = vit_ata_run_new(drive, &port, c, 0, &s->tf,
                                     s->tf.command == VIT_ATA_PACKET ? s->cdb : NULL);

    if (run->packet && !run->dma) {
        uint32_t limit = (uint32_t) (s->tf.lba >> 8 & 0xffff) & ~1u;
        run->piece = MIN(run->piece, limit ? limit : 0xfffe);
    }
    if (!run->dma)
        run->piece = MIN(run->piece, VIT_ATA_PIO_MAX);
    return run;
}

static void start(Channel *c)
{
    ChannelState *s = state(c);
    UnitRegs *u = &s->units[s->unit];

    s->active = true;
    s->position = s->waiting = 0;
    u->status = VIT_ATA_BSY | VIT_ATA_READY;
    c->run = make_run(c);
    vit_ata_run_start(c->run);
}

static void resume(Channel *c)
{
    ChannelState *s = state(c);
    s->waiting = 0;
    s->units[s->unit].status = VIT_ATA_BSY | VIT_ATA_READY;
    vit_ata_run_resume(c->run);
}

static void cancel(Channel *c)
{
    ChannelState *s = state(c);
    vit_ata_run_cancel(c->run);
    c->run = NULL;
    c->dma_waits = s->active = s->cdb_phase = false;
    s->waiting = s->at = s->size = 0;
    s->bm_status &= (uint8_t) ~BM_ACTIVE;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void signature(Channel *c, unsigned unit)
{
    VitAtaTaskfile tf;
    vit_ata_signature(c->drives[unit], &tf);
    if (!c->drives[unit])
        tf.status = 0;
    state(c)->units[unit] = (UnitRegs) {};
    put_taskfile(&state(c)->units[unit], &tf);
}

static void reset_units(Channel *c)
{
    cancel(c);
    state(c)->device = 0;
    for (unsigned i = 0; i < UNITS; i++)
        signature(c, i);
}

static void command(Channel *c, uint8_t value)
{
    ChannelState *s = state(c);
    UnitRegs *u = selected(c);
    unsigned unit = s->device >> 4 & 1;

    s->irq = false;
    if (value == 0x90) {            /* diagnostics: both drives, whichever is selected */
        reset_units(c);
        interrupt(c);
        return;
    }
    if (!c->drives[unit])
        return;
    if (value == 0x08 && c->drives[unit]->cd) {
        if (s->unit == unit)
            cancel(c);
        signature(c, unit);
        return;
    }
    if (s->active || s->cdb_phase || (u->status & (VIT_ATA_BSY | VIT_ATA_DRQ)))
        return;
    s->unit = (uint8_t) unit;
    s->tf = (VitAtaTaskfile) {
        .command = value, .device = s->device,
        .feature = (uint16_t) (u->feature[0] | u->feature[1] << 8),
        .count = (uint16_t) (u->count[0] | u->count[1] << 8),
        .lba = u->low[0] | (uint64_t) u->mid[0] << 8 | (uint64_t) u->high[0] << 16 |
               (uint64_t) u->low[1] << 24 | (uint64_t) u->mid[1] << 32 |
               (uint64_t) u->high[1] << 40,
    };
    u->error = 0;
    if (value == VIT_ATA_PACKET && c->drives[unit]->cd) {
        s->cdb_phase = true;
        s->at = 0;
        s->size = CDB_SIZE;
        s->drq_out = true;
        u->status = VIT_ATA_READY | VIT_ATA_DRQ;
        u->count[0] = REASON_COMMAND;
        return;
    }
    start(c);
}

/* ---- data port ------------------------------------------------------------------------------- */

static void block_over(Channel *c)
{
    ChannelState *s = state(c);

    if (s->cdb_phase) {
        s->cdb_phase = false;
        memset(s->cdb, 0, sizeof s->cdb);
        memcpy(s->cdb, s->pio, CDB_SIZE);
        s->at = s->size = 0;
        start(c);
        return;
    }
    if (!c->run || !s->waiting || s->size != c->run->data_size)
        return;
    if (s->drq_out)
        memcpy(c->run->data, s->pio, s->size);
    s->at = s->size = 0;
    resume(c);
}

static uint64_t data_read(Channel *c, unsigned size)
{
    ChannelState *s = state(c);
    uint64_t value = 0;

    if (s->drq_out || s->at >= s->size || (s->device >> 4 & 1) != s->unit)
        return 0;
    for (unsigned i = 0; i < size && s->at < s->size; i++)
        value |= (uint64_t) s->pio[s->at++] << (8 * i);
    if (s->at >= s->size)
        block_over(c);
    return value;
}

static void data_write(Channel *c, uint64_t value, unsigned size)
{
    ChannelState *s = state(c);

    if (!s->drq_out || s->at >= s->size || (s->device >> 4 & 1) != s->unit)
        return;
    for (unsigned i = 0; i < size && s->at < s->size; i++)
        s->pio[s->at++] = (uint8_t) (value >> (8 * i));
    if (s->at >= s->size)
        block_over(c);
}

static bool raw_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    Ide *ide = (Ide *) d;
    if (offset != R_DATA && offset != W_CHANNEL)
        return false;
    make_sure(d);
    *value = data_read(&ide->channels[offset / W_CHANNEL], size);
    return true;
}

static bool raw_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    Ide *ide = (Ide *) d;
    if (offset != R_DATA && offset != W_CHANNEL)
        return false;
    make_sure(d);
    data_write(&ide->channels[offset / W_CHANNEL], value, size);
    return true;
}

/* ---- registers ------------------------------------------------------------------------------- */

static Channel *channel_of(VitDevice *d, uint32_t offset)
{
    return &((Ide *) d)->channels[offset / W_CHANNEL];
}

static uint64_t read_register(VitDevice *d, uint32_t offset)
{
    Channel *c = channel_of(d, offset);
    ChannelState *s = state(c);
    const UnitRegs *u = selected(c);
    unsigned hob = s->control & CTL_HOB ? 1 : 0;

    make_sure(d);
    if (!selected_drive(c))
        return offset % W_CHANNEL == R_DEVICE && (c->drives[0] || c->drives[1]) ? s->device : 0;
    switch (offset % W_CHANNEL) {
    case R_ERROR:
        return u->error;
    case R_COUNT:
        return u->count[hob];
    case R_LOW:
        return u->low[hob];
    case R_MID:
        return u->mid[hob];
    case R_HIGH:
        return u->high[hob];
    case R_DEVICE:
        return s->device | 0xa0;
    case R_STATUS:
        s->irq = false;
        G_GNUC_FALLTHROUGH;
    default:        /* R_CONTROL: the alternate status */
        return s->control & CTL_SRST ? VIT_ATA_BSY : u->status;
    }
}

static void shift(uint8_t regs[2], uint64_t value)
{
    regs[1] = regs[0];
    regs[0] = (uint8_t) value;
}

static void write_control(Channel *c, uint8_t value)
{
    ChannelState *s = state(c);
    uint8_t old = s->control;

    s->control = value & (CTL_NIEN | CTL_SRST | CTL_HOB);
    if ((value & CTL_SRST) && !(old & CTL_SRST)) {
        s->irq = false;
        reset_units(c);
    }
}

static void write_register(VitDevice *d, uint32_t offset, uint64_t value)
{
    Channel *c = channel_of(d, offset);
    ChannelState *s = state(c);
    unsigned which = offset % W_CHANNEL;

    make_sure(d);
    if (which == R_CONTROL) {
        write_control(c, (uint8_t) value);
        return;
    }
    s->control &= (uint8_t) ~CTL_HOB;
    if (which == R_STATUS) {
        if (!(s->control & CTL_SRST))
            command(c, (uint8_t) value);
        return;
    }
    if (which == R_DEVICE) {
        s->device = (uint8_t) value;
        return;
    }
    /* Both drives hear what is written, except one that is busy. */
    for (unsigned i = 0; i < UNITS; i++) {
        UnitRegs *u = &s->units[i];
        if (u->status & (VIT_ATA_BSY | VIT_ATA_DRQ))
            continue;
        switch (which) {
        case R_ERROR:
            shift(u->feature, value);
            break;
        case R_COUNT:
            shift(u->count, value);
            break;
        case R_LOW:
            shift(u->low, value);
            break;
        case R_MID:
            shift(u->mid, value);
            break;
        case R_HIGH:
            shift(u->high, value);
            break;
        }
    }
}

static void dma_go(Channel *c)
{
    ChannelState *s = state(c);
    VitAtaRun *run = c->run;

    if (!c->dma_waits || !dma_ready(c))
        return;
    c->dma_waits = false;
    bool moved = dma_move(c, run->data, run->data_size, run->dir == VIT_ATA_IN);
    if (moved) {
        resume(c);
        return;
    }
    /* The list is too short for the data: the drive is left in the middle, and gives up. */
    vit_ata_run_cancel(run);
    c->run = NULL;
    s->active = false;
    s->waiting = 0;
    s->units[s->unit].status = VIT_ATA_READY | VIT_ATA_ERR;
    s->units[s->unit].error = VIT_ATA_ABRT;
    s->bm_status &= (uint8_t) ~BM_ACTIVE;
    interrupt(c);
}

static void write_bm_command(VitDevice *d, uint32_t offset, uint64_t value)
{
    Channel *c = &((Ide *) d)->channels[(offset - W_BUS_MASTER) / 8];
    ChannelState *s = state(c);
    uint8_t old = s->bm_command;

    make_sure(d);
    s->bm_command = value & (BM_START | BM_TO_MEMORY);
    if ((value & BM_START) && !(old & BM_START)) {
        s->bm_status |= BM_ACTIVE;
        table_rewind(s);
        dma_go(c);
    } else if (!(value & BM_START)) {
        s->bm_status &= (uint8_t) ~BM_ACTIVE;
    }
}

static void wrote_bm_table(VitDevice *d, uint32_t offset, uint64_t old)
{
    table_rewind(state(&((Ide *) d)->channels[(offset - W_BUS_MASTER) / 8]));
}

#define CHANNEL_REGS(n)                                                                            \
    { (n) * W_CHANNEL + R_ERROR, VIT_ANY_BANK, "ERROR/FEATURES" #n, .count = 8,                    \
      .read = read_register, .write = write_register },                                            \
    { W_BUS_MASTER + 8 * (n), VIT_ANY_BANK, "BMIC" #n, VIT_AT(Ide, st.ch[n].bm_command),           \
      .write = write_bm_command },                                                                 \
    { W_BUS_MASTER + 8 * (n) + 2, VIT_ANY_BANK, "BMIS" #n, VIT_AT(Ide, st.ch[n].bm_status),        \
      .rw = 0x60, .w1c = 0x06 },                                                                   \
    { W_BUS_MASTER + 8 * (n) + 4, VIT_ANY_BANK, "BMIDTP" #n, VIT_AT(Ide, st.ch[n].bm_table),       \
      .rw = 0xfffffffc, .wrote = wrote_bm_table }

static const VitReg ide_regs[] = {
    CHANNEL_REGS(0),
    CHANNEL_REGS(1),
};

static const VitField unit_fields[] = {
    VIT_UINTS(UnitRegs, feature), VIT_UINTS(UnitRegs, count), VIT_UINTS(UnitRegs, low),
    VIT_UINTS(UnitRegs, mid), VIT_UINTS(UnitRegs, high), VIT_UINT(UnitRegs, status),
    VIT_UINT(UnitRegs, error), { VIT_END },
};

#define CHANNEL_FIELDS(n)                                                                          \
    VIT_STRUCTS(Ide, st.ch[n].units, unit_fields), VIT_UINT(Ide, st.ch[n].device),                 \
    VIT_UINT(Ide, st.ch[n].control), VIT_BOOL(Ide, st.ch[n].irq, false),                           \
    VIT_UINT(Ide, st.ch[n].bm_next), VIT_UINT(Ide, st.ch[n].bm_address),                           \
    VIT_UINT(Ide, st.ch[n].bm_left, .max = 65536), VIT_BOOL(Ide, st.ch[n].bm_last, false),         \
    VIT_BOOL(Ide, st.ch[n].active, false), VIT_BOOL(Ide, st.ch[n].cdb_phase, false),               \
    VIT_BOOL(Ide, st.ch[n].drq_out, false), VIT_UINT(Ide, st.ch[n].unit, .max = UNITS - 1),        \
    { .kind = VIT_FIELD_STRUCTS, .offset = offsetof(Ide, st.ch[n].tf),                             \
      .stride = sizeof(VitAtaTaskfile),                                                            \
      .count = 1, .fields = vit_ata_taskfile_fields, .name = "st.ch" #n ".tf" },                   \
    VIT_BYTES(Ide, st.ch[n].cdb), VIT_UINT(Ide, st.ch[n].position),                                \
    VIT_UINT(Ide, st.ch[n].waiting, .max = VIT_ATA_PIECE),                                         \
    VIT_UINT(Ide, st.ch[n].at, .max = VIT_ATA_PIO_MAX),                                            \
    VIT_UINT(Ide, st.ch[n].size, .max = VIT_ATA_PIO_MAX), VIT_BYTES(Ide, st.ch[n].pio)

static const VitField ide_hidden[] = {
    CHANNEL_FIELDS(0),
    CHANNEL_FIELDS(1),
    { VIT_END },
};

/* ---- life ------------------------------------------------------------------------------------ */

static void ide_reset(VitDevice *d)
{
    Ide *ide = (Ide *) d;

    ide->unrestored = false;
    for (unsigned i = 0; i < CHANNELS; i++)
        reset_units(&ide->channels[i]);
}

/* Puts the descriptor list where the byte at position goes: DMA starts again with a whole piece. */
static bool table_seek(Channel *c, uint64_t position)
{
    table_rewind(state(c));
    while (position > 0) {
        uint32_t address, n = (uint32_t) MIN(position, UINT32_MAX);
        if (!table_next(c, &address, &n))
            return false;
        position -= n;
    }
    return true;
}

/* After a load, once every drive has its state too: commands that were under way start again. */
static void restore(void *opaque)
{
    Ide *ide = opaque;

    ide->unrestored = false;
    for (unsigned i = 0; i < CHANNELS; i++) {
        Channel *c = &ide->channels[i];
        ChannelState *s = state(c);
        if (!s->active || c->run)
            continue;
        if (!c->drives[s->unit]) {
            cancel(c);
            continue;
        }
        c->run = make_run(c);
        bool pio = !c->run->dma, out = c->run->dir == VIT_ATA_OUT;
        if (s->position > c->run->bytes ||
            (c->run->dma && dma_ready(c) && !table_seek(c, s->position))) {
            cancel(c);
            continue;
        }
        uint32_t waiting = pio && s->size == s->waiting && out == s->drq_out ? s->waiting : 0;
        vit_ata_run_restore(c->run, s->position, MIN(waiting, c->run->piece));
    }
    ide_update(&ide->parent);
}

static void ide_loaded(VitDevice *d)
{
    Ide *ide = (Ide *) d;

    for (unsigned i = 0; i < CHANNELS; i++) {
        vit_ata_run_cancel(ide->channels[i].run);
        ide->channels[i].run = NULL;
        ide->channels[i].dma_waits = false;
    }
    ide->unrestored = true;
    vit_deferred_schedule(ide->restore);
}

static void map_ports(Ide *ide)
{
    static const struct { uint16_t port; uint8_t offset, size; } rows[] = {
        { 0x1f0, 0, 8 }, { 0x3f6, R_CONTROL, 1 }, { 0x170, W_CHANNEL, 8 },
        { 0x376, W_CHANNEL + R_CONTROL, 1 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        ide->mapped[i] = vit_device_window(&ide->parent, rows[i].offset, rows[i].size);
        vit_region_add(ide->parent.sys->io_root, rows[i].port, ide->mapped[i], 0);
    }
}

static bool ide_init(VitDevice *d, GError **error)
{
    Ide *ide = (Ide *) d;
    const VitPciIds ids = { .vendor = 0x8086, .device = 0x7010, .prog_if = 0x80, .subclass = 0x01,
                            .base_class = 0x01 };

    for (unsigned i = 0; i < CHANNELS; i++) {
        ide->channels[i].ide = ide;
        ide->channels[i].number = i;
    }
    ide->restore = vit_deferred_new(d->sys, restore, ide);
    if (!ide->bus)
        return true;
    g_autofree char *id = g_strconcat(d->id, ".pci", NULL);
    ide->pci = vit_pci_function_new(ide->bus, ide->devfn, &ids, id, error);
    if (!ide->pci)
        return false;
    vit_pci_set_bar(ide->pci, 4, vit_device_window(d, W_BUS_MASTER, 16), true, false, false);
    /* timing: kept, without effect */
    vit_pci_config_define(ide->pci, 0x40, 4, 0x80008000, 0xffffffff, 0);
    vit_pci_config_define(ide->pci, 0x44, 1, 0, 0xff, 0);
    map_ports(ide);
    return true;
}

static void ide_finish(VitDevice *d)
{
    Ide *ide = (Ide *) d;

    for (size_t i = 0; i < G_N_ELEMENTS(ide->mapped); i++)
        if (ide->mapped[i])
            vit_region_remove(d->sys->io_root, ide->mapped[i]);
    for (unsigned i = 0; i < CHANNELS; i++) {
        vit_ata_run_cancel(ide->channels[i].run);
        for (unsigned k = 0; k < UNITS; k++)
            if (ide->channels[i].drives[k])
                ide->channels[i].drives[k]->detach = NULL;
    }
    vit_deferred_free(ide->restore);
}

void vit_ide_plug(VitDevice *d, VitPciBus *bus, int devfn)
{
    Ide *ide = (Ide *) d;
    ide->bus = bus;
    ide->devfn = devfn;
}

static void detached(void *opaque, VitAtaDrive *drive)
{
    Channel *c = opaque;

    for (unsigned i = 0; i < UNITS; i++)
        if (c->drives[i] == drive) {
            if (c->run && c->run->drive == drive)
                cancel(c);
            c->drives[i] = NULL;
        }
}

bool vit_ide_attach(VitDevice *d, unsigned channel, unsigned unit, VitAtaDrive *drive)
{
    Ide *ide = (Ide *) d;

    if (channel >= CHANNELS || unit >= UNITS || ide->channels[channel].drives[unit])
        return false;
    ide->channels[channel].drives[unit] = drive;
    drive->detach = detached;
    drive->controller = &ide->channels[channel];
    signature(&ide->channels[channel], unit);
    return true;
}

const VitDeviceClass vit_piix3_ide_class = {
    .name = "piix3-ide", .description = "IDE controller of the PIIX3", .version = 1,
    VIT_STATE(Ide, st), .mmio_size = W_SIZE, .n_irqs = CHANNELS, VIT_REGS(ide_regs),
    .hidden = ide_hidden, .raw_read = raw_read, .raw_write = raw_write, .init = ide_init,
    .finish = ide_finish, .reset = ide_reset, .update = ide_update, .loaded = ide_loaded,
};
