/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ide-channel.c - a channel of the IDE controller: its drives' commands, their data by
 * programmed I/O and through the bus master (SFF-8038i "Programming Interface for Bus Master IDE";
 * task file protocol: ATA/ATAPI-7 volume 2) */
#include "hw/storage/ide-private.h"

#include <string.h>

enum { CDB_SIZE = 12 };
enum { REASON_COMMAND = 1, REASON_IN = 2 };     /* in the count register of packet commands */

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

void ide_table_rewind(ChannelState *s)
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

bool ide_dma_ready(const Channel *c)
{
    const Ide *ide = c->ide;
    return (state(c)->bm_command & BM_START) && (!ide->pci || vit_pci_bus_master(ide->pci));
}

bool ide_table_seek(Channel *c, uint64_t position)
{
    ide_table_rewind(state(c));
    while (position > 0) {
        uint32_t address, n = (uint32_t) MIN(position, UINT32_MAX);
        if (!table_next(c, &address, &n))
            return false;
        position -= n;
    }
    return true;
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
    if (!ide_dma_ready(c)) {
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
    if (!ide_dma_ready(c)) {
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

VitAtaRun *ide_make_run(Channel *c)
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
    c->run = ide_make_run(c);
    vit_ata_run_start(c->run);
}

static void resume(Channel *c)
{
    ChannelState *s = state(c);
    s->waiting = 0;
    s->units[s->unit].status = VIT_ATA_BSY | VIT_ATA_READY;
    vit_ata_run_resume(c->run);
}

void ide_cancel(Channel *c)
{
    ChannelState *s = state(c);
    vit_ata_run_cancel(c->run);
    c->run = NULL;
    c->dma_waits = s->active = s->cdb_phase = false;
    s->waiting = s->at = s->size = 0;
    s->bm_status &= (uint8_t) ~BM_ACTIVE;
}

/* ---- commands -------------------------------------------------------------------------------- */

void ide_signature(Channel *c, unsigned unit)
{
    VitAtaTaskfile tf;
    vit_ata_signature(c->drives[unit], &tf);
    if (!c->drives[unit])
        tf.status = 0;
    state(c)->units[unit] = (UnitRegs) {};
    put_taskfile(&state(c)->units[unit], &tf);
}

void ide_reset_units(Channel *c)
{
    ide_cancel(c);
    state(c)->device = 0;
    for (unsigned i = 0; i < UNITS; i++)
        ide_signature(c, i);
}

void ide_command(Channel *c, uint8_t value)
{
    ChannelState *s = state(c);
    UnitRegs *u = selected(c);
    unsigned unit = s->device >> 4 & 1;

    s->irq = false;
    if (value == 0x90) {            /* diagnostics: both drives, whichever is selected */
        ide_reset_units(c);
        interrupt(c);
        return;
    }
    if (!c->drives[unit])
        return;
    if (value == 0x08 && c->drives[unit]->cd) {
        if (s->unit == unit)
            ide_cancel(c);
        ide_signature(c, unit);
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

uint64_t ide_data_read(Channel *c, unsigned size)
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

void ide_data_write(Channel *c, uint64_t value, unsigned size)
{
    ChannelState *s = state(c);

    if (!s->drq_out || s->at >= s->size || (s->device >> 4 & 1) != s->unit)
        return;
    for (unsigned i = 0; i < size && s->at < s->size; i++)
        s->pio[s->at++] = (uint8_t) (value >> (8 * i));
    if (s->at >= s->size)
        block_over(c);
}

void ide_dma_go(Channel *c)
{
    ChannelState *s = state(c);
    VitAtaRun *run = c->run;

    if (!c->dma_waits || !ide_dma_ready(c))
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
