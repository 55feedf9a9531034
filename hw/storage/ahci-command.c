/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ahci-command.c - commands of an AHCI port: their lists in guest memory, their data,
 * and the frames that answer (Serial ATA AHCI 1.3.1, chapters 4 and 5; Serial ATA 3.1, 10.5) */
#include "hw/storage/ahci-private.h"

enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO_SETUP = 0x5f, FIS_SDB = 0xa1 };
enum { RFIS_PIO = 0x20, RFIS_D2H = 0x40, RFIS_SDB = 0x58 };   /* offsets in the received-FIS area */
enum { HDR_ATAPI = 1 << 5, HDR_WRITE = 1 << 6, HDR_CLEAR_BUSY = 1 << 10 };

static void port_interrupt(Port *p, uint32_t bits)
{
    state(p)->is |= bits;
    ahci_update(&p->ahci->parent);
}

/* ---- guest memory ---------------------------------------------------------------------------- */

static VitAddressSpace *dma_space(const Ahci *a)
{
    return a->pci ? vit_pci_dma(a->pci) : a->parent.sys->memory;
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t) (v >> (8 * i));
}

static uint64_t list_address(const PortState *s, unsigned slot)
{
    return ((uint64_t) s->clbu << 32 | s->clb) + slot * 32;
}

static void receive_fis(Port *p, unsigned offset, const uint8_t *fis, unsigned size)
{
    const PortState *s = state(p);
    if (s->cmd & CMD_FRE)
        vit_as_write(dma_space(p->ahci), ((uint64_t) s->fbu << 32 | s->fb) + offset, fis, size);
}

static void taskfile_fis(uint8_t fis[20], uint8_t type, const VitAtaTaskfile *tf)
{
    fis[0] = type;
    fis[1] = 0x40;              /* interrupt */
    fis[2] = tf->status;
    fis[3] = tf->error;
    for (unsigned i = 0; i < 3; i++) {
        fis[4 + i] = (uint8_t) (tf->lba >> (8 * i));
        fis[8 + i] = (uint8_t) (tf->lba >> (24 + 8 * i));
    }
    fis[7] = tf->device;
    fis[12] = (uint8_t) tf->count;
    fis[13] = (uint8_t) (tf->count >> 8);
}

void ahci_send_d2h(Port *p, const VitAtaTaskfile *tf, bool interrupt)
{
    uint8_t fis[20] = {};

    taskfile_fis(fis, FIS_D2H, tf);
    if (!interrupt)
        fis[1] = 0;
    receive_fis(p, RFIS_D2H, fis, sizeof fis);
    state(p)->tfd = tf->status | (uint32_t) tf->error << 8;
    if (interrupt)
        port_interrupt(p, IS_DHRS);
}

static void send_pio_setup(Port *p, const VitAtaRun *run)
{
    uint8_t fis[20] = {};

    taskfile_fis(fis, FIS_PIO_SETUP, &run->tf);
    fis[1] = (uint8_t) (0x40 | (run->dir == VIT_ATA_IN ? 0x20 : 0));
    fis[2] = VIT_ATA_READY | VIT_ATA_DRQ;
    fis[15] = run->tf.status;   /* at the end of the transfer */
    fis[16] = (uint8_t) run->bytes;
    fis[17] = (uint8_t) (run->bytes >> 8);
    receive_fis(p, RFIS_PIO, fis, sizeof fis);
    state(p)->tfd = run->tf.status | (uint32_t) run->tf.error << 8;
    port_interrupt(p, IS_PSS);
}

static void send_sdb(Port *p, const VitAtaTaskfile *tf, uint32_t done)
{
    uint8_t fis[8] = { FIS_SDB, 0x40, tf->status & 0x77, tf->error };

    put32(fis + 4, done);
    receive_fis(p, RFIS_SDB, fis, sizeof fis);
    PortState *s = state(p);
    s->tfd = (s->tfd & VIT_ATA_BSY) | (tf->status & 0x77u) | (uint32_t) tf->error << 8;
    s->sact &= ~done;
    port_interrupt(p, IS_SDBS);
}

/* ---- a run's data ---------------------------------------------------------------------------- */

/* The next stretch of at most *size bytes of the command's memory; false at its end. */
static bool next_stretch(Port *p, Slot *slot, uint64_t *address, uint32_t *size)
{
    if (slot->left == 0) {
        uint8_t entry[16];
        if (slot->entry >= slot->header >> 16)
            return false;
        vit_as_read(dma_space(p->ahci), slot->table + 0x80 + slot->entry * 16ull, entry,
                    sizeof entry);
        slot->entry++;
        slot->address = (get32(entry) | (uint64_t) get32(entry + 4) << 32) & ~UINT64_C(1);
        slot->left = (get32(entry + 12) & 0x3fffff) + 1;
    }
    *address = slot->address;
    *size = MIN(*size, slot->left);
    slot->address += *size;
    slot->left -= *size;
    return true;
}

static VitAtaFlow move(Port *p, Slot *slot, uint8_t *data, uint32_t size, bool to_memory)
{
    while (size > 0) {
        uint64_t address;
        uint32_t n = size;
        if (!next_stretch(p, slot, &address, &n)) {
            state(p)->is |= IS_OFS;
            return VIT_ATA_STOP;
        }
        VitMemResult result = to_memory ? vit_as_write(dma_space(p->ahci), address, data, n)
                                        : vit_as_read(dma_space(p->ahci), address, data, n);
        if (result == VIT_MEM_UNASSIGNED) {
            state(p)->is |= IS_HBDS;
            return VIT_ATA_STOP;
        }
        data += n;
        size -= n;
        slot->moved += n;
    }
    return VIT_ATA_GO;
}

static VitAtaFlow ahci_put(void *opaque, VitAtaRun *run, const uint8_t *data, uint32_t size)
{
    Port *p = opaque;
    return move(p, &p->slots[run->tag], run->data, size, true);
}

static VitAtaFlow ahci_get(void *opaque, VitAtaRun *run, uint8_t *data, uint32_t size)
{
    Port *p = opaque;
    return move(p, &p->slots[run->tag], data, size, false);
}

void ahci_cancel_all(Port *p)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        vit_ata_run_cancel(p->slots[i].run);
        p->slots[i].run = NULL;
    }
}

static void ahci_done(void *opaque, VitAtaRun *run)
{
    Port *p = opaque;
    PortState *s = state(p);
    Slot *slot = &p->slots[run->tag];
    uint8_t count[4];

    slot->run = NULL;
    put32(count, slot->moved);
    vit_as_write(dma_space(p->ahci), list_address(s, run->tag) + 4, count, sizeof count);
    s->cmd &= ~(31u << CMD_CCS_SHIFT);
    if (run->failed) {
        s->halted = true;
        if (slot->queued) {
            VitAtaDrive *d = run->drive;
            d->st.ncq_tag = (uint8_t) run->tag;
            d->st.ncq_status = run->tf.status;
            d->st.ncq_error = run->tf.error;
            d->st.ncq_lba = run->tf.lba;
            ahci_cancel_all(p);              /* the drive gives up the others too */
            send_sdb(p, &run->tf, 0);
        } else {
            ahci_send_d2h(p, &run->tf, true);
        }
        s->cmd |= run->tag << CMD_CCS_SHIFT;
        port_interrupt(p, IS_TFES);
        return;
    }
    if (slot->queued) {
        send_sdb(p, &run->tf, 1u << run->tag);
    } else {
        s->ci &= ~(1u << run->tag);
        bool pio = !run->dma && run->dir != VIT_ATA_NONE;
        if (run->packet)                /* the reason: all done */
            run->tf.count = 3;
        if (pio)
            send_pio_setup(p, run);
        if (!pio || run->packet || run->dir == VIT_ATA_OUT)
            ahci_send_d2h(p, &run->tf, true);
    }
    ahci_port_run(p);
}

static const VitAtaPort port_ops = { ahci_put, ahci_get, ahci_done };

/* ---- commands -------------------------------------------------------------------------------- */

void ahci_send_signature(Port *p, bool interrupt)
{
    PortState *s = state(p);
    VitAtaTaskfile tf;

    vit_ata_signature(p->drive, &tf);
    if (p->drive)
        tf.status = p->drive->cd ? VIT_ATA_DSC : VIT_ATA_READY;
    s->sig = (uint32_t) (tf.lba & 0xffffff) << 8 | (tf.count & 0xffu);
    if (p->drive)
        ahci_send_d2h(p, &tf, interrupt);
    else
        s->tfd = 0x7f;
}

/* A FIS that is no command but sets the control register: SRST on, then off. */
static void control_fis(Port *p, unsigned tag, const uint8_t *fis)
{
    PortState *s = state(p);
    bool on = fis[15] & 0x04;

    s->ci &= ~(1u << tag);
    if (on) {
        s->tfd = (s->tfd & ~0xffu) | VIT_ATA_BSY;
        ahci_cancel_all(p);
    } else if (s->soft_reset) {
        ahci_send_signature(p, false);
    }
    s->soft_reset = on;
}

static void fail_slot(Port *p, unsigned tag, uint8_t error)
{
    VitAtaTaskfile tf = { .status = VIT_ATA_READY | VIT_ATA_ERR, .error = error };

    state(p)->halted = true;
    state(p)->cmd = (state(p)->cmd & ~(31u << CMD_CCS_SHIFT)) | tag << CMD_CCS_SHIFT;
    ahci_send_d2h(p, &tf, true);
    port_interrupt(p, IS_TFES);
}

static void issue(Port *p, unsigned tag)
{
    PortState *s = state(p);
    Slot *slot = &p->slots[tag];
    uint8_t header[32], fis[64], cdb[16];

    vit_as_read(dma_space(p->ahci), list_address(s, tag), header, sizeof header);
    *slot = (Slot) {
        .header = get32(header),
        .table = (get32(header + 8) | (uint64_t) get32(header + 12) << 32) & ~UINT64_C(127),
    };
    vit_as_read(dma_space(p->ahci), slot->table, fis, sizeof fis);
    if ((slot->header & 31) < 2 || fis[0] != FIS_H2D) {
        fail_slot(p, tag, VIT_ATA_ABRT);
        return;
    }
    if (!(fis[1] & 0x80)) {
        control_fis(p, tag, fis);
        return;
    }
    VitAtaTaskfile tf = {
        .command = fis[2], .device = fis[7], .feature = (uint16_t) (fis[3] | fis[11] << 8),
        .count = (uint16_t) (fis[12] | fis[13] << 8),
        .lba = fis[4] | (uint64_t) fis[5] << 8 | (uint64_t) fis[6] << 16 | (uint64_t) fis[8] << 24 |
               (uint64_t) fis[9] << 32 | (uint64_t) fis[10] << 40,
    };
    slot->queued = tf.command == VIT_ATA_READ_FPDMA || tf.command == VIT_ATA_WRITE_FPDMA;
    if (slot->queued && (p->drive->cd || tf.count >> 3 != tag || !(s->sact & 1u << tag))) {
        fail_slot(p, tag, VIT_ATA_ABRT);
        return;
    }
    bool packet = tf.command == VIT_ATA_PACKET;
    if (packet && !(slot->header & HDR_ATAPI)) {
        fail_slot(p, tag, VIT_ATA_ABRT);
        return;
    }
    if (packet)
        vit_as_read(dma_space(p->ahci), slot->table + 0x40, cdb, sizeof cdb);
    s->tfd = slot->queued ? VIT_ATA_READY : VIT_ATA_READY | VIT_ATA_BSY;
    slot->run = vit_ata_run_new(p->drive, &port_ops, p, tag, &tf, packet ? cdb : NULL);
    if (!packet)
        slot->run->piece = VIT_ATA_PIECE;   /* PIO blocks do not show on this bus */
    if (slot->queued)
        s->ci &= ~(1u << tag);
    else
        s->cmd = (s->cmd & ~(31u << CMD_CCS_SHIFT)) | tag << CMD_CCS_SHIFT;
    vit_ata_run_start(slot->run);
}

static bool any_run(const Port *p, bool queued)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (p->slots[i].run && p->slots[i].queued == queued)
            return true;
    return false;
}

static bool peek_queued(Port *p, unsigned tag)
{
    uint8_t header[32], fis[4];

    vit_as_read(dma_space(p->ahci), list_address(state(p), tag), header, sizeof header);
    uint64_t table = (get32(header + 8) | (uint64_t) get32(header + 12) << 32) & ~UINT64_C(127);
    vit_as_read(dma_space(p->ahci), table, fis, sizeof fis);
    return fis[0] == FIS_H2D && (fis[1] & 0x80) &&
           (fis[2] == VIT_ATA_READ_FPDMA || fis[2] == VIT_ATA_WRITE_FPDMA);
}

static bool may_start(Port *p)
{
    const PortState *s = state(p);
    return (s->cmd & CMD_ST) && !s->halted && p->drive &&
           (!p->ahci->pci || vit_pci_bus_master(p->ahci->pci));
}

void ahci_port_run(Port *p)
{
    PortState *s = state(p);

    if (p->looping) {
        p->again = true;
        return;
    }
    p->looping = true;
    do {
        p->again = false;
        for (unsigned tag = 0; tag < SLOTS && may_start(p); tag++) {
            if (!(s->ci & 1u << tag) || p->slots[tag].run || any_run(p, false))
                continue;
            if (any_run(p, true) && !peek_queued(p, tag))
                continue;
            issue(p, tag);
        }
    } while (p->again);
    p->looping = false;
}
