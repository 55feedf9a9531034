/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ahci.c - AHCI host bus adapter (Serial ATA AHCI 1.3.1; ids and BAR of the Intel ICH9,
 * 8086:2922)
 *
 * Wires: BAR 5, 4 KiB; INTx or one MSI.  Not modelled: port multipliers, power states, enclosure
 * management, command completion coalescing, hot plug, legacy register access. */
#include "hw/storage/ahci.h"

#include "hw/deferred.h"

#include <string.h>

enum { PORTS = VIT_AHCI_PORTS, SLOTS = 32, MMIO_SIZE = 0x1000, PORT_BASE = 0x100,
       PORT_SIZE = 0x80 };
enum { GHC_HR = 1u << 0, GHC_IE = 1u << 1, GHC_AE = 1u << 31 };
enum { CMD_ST = 1 << 0, CMD_SUD = 1 << 1, CMD_POD = 1 << 2, CMD_CLO = 1 << 3, CMD_FRE = 1 << 4,
       CMD_CCS_SHIFT = 8, CMD_FR = 1 << 14, CMD_CR = 1 << 15, CMD_ATAPI = 1 << 24 };
enum { IS_DHRS = 1 << 0, IS_PSS = 1 << 1, IS_SDBS = 1 << 3, IS_DPS = 1 << 5, IS_PCS = 1 << 6,
       IS_OFS = 1 << 24, IS_HBDS = 1 << 28, IS_TFES = 1 << 30 };
enum { SERR_X = 1 << 26, SSTS_UP = 0x123 };
enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO_SETUP = 0x5f, FIS_SDB = 0xa1 };
enum { RFIS_PIO = 0x20, RFIS_D2H = 0x40, RFIS_SDB = 0x58 };   /* offsets in the received-FIS area */
enum { HDR_ATAPI = 1 << 5, HDR_WRITE = 1 << 6, HDR_CLEAR_BUSY = 1 << 10 };

typedef struct {
    uint32_t clb, clbu, fb, fbu, is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
    bool     halted;            /* an error: nothing starts until ST goes off */
    bool     soft_reset;        /* the first FIS of a software reset has come */
} PortState;

typedef struct Ahci Ahci;

typedef struct {
    VitAtaRun *run;             /* owned, or NULL */
    uint32_t   header;          /* of the command: flags and length of its table */
    uint64_t   table;           /* guest address of the command table */
    uint32_t   entry;           /* next descriptor */
    uint64_t   address;         /* in the present one */
    uint32_t   left;
    uint32_t   moved;           /* bytes, for the header */
    bool       queued;
} Slot;

typedef struct {
    Ahci        *ahci;
    unsigned     number;
    VitAtaDrive *drive;         /* borrowed, or NULL */
    Slot         slots[SLOTS];
    bool         looping, again;
} Port;

struct Ahci {
    VitDevice       parent;
    VitPciBus      *bus;        /* borrowed, or NULL */
    int             devfn;
    VitPciFunction *pci;
    VitDeferred    *restore;    /* owned */
    Port            ports[PORTS];
    uint32_t        told;       /* interrupts that have had their message */
    struct {
        uint32_t  ghc, is;
        PortState port[PORTS];
    } st;
};

static PortState *state(const Port *p)
{
    return &p->ahci->st.port[p->number];
}

static void port_run(Port *p);

/* ---- interrupts ------------------------------------------------------------------------------ */

static void ahci_update(VitDevice *d)
{
    Ahci *a = (Ahci *) d;
    bool on;

    for (unsigned i = 0; i < PORTS; i++)
        if (a->st.port[i].is & a->st.port[i].ie)
            a->st.is |= 1u << i;
    on = (a->st.ghc & GHC_IE) && a->st.is;
    bool msi = a->pci && vit_pci_msi_enabled(a->pci);
    if (msi && on && (a->st.is & ~a->told))
        vit_pci_notify(a->pci, 0);
    a->told = on ? a->st.is : 0;
    vit_irq_set(d, 0, on && !msi);
}

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

static void send_d2h(Port *p, const VitAtaTaskfile *tf, bool interrupt)
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

static void cancel_all(Port *p)
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
            cancel_all(p);              /* the drive gives up the others too */
            send_sdb(p, &run->tf, 0);
        } else {
            send_d2h(p, &run->tf, true);
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
            send_d2h(p, &run->tf, true);
    }
    port_run(p);
}

static const VitAtaPort port_ops = { ahci_put, ahci_get, ahci_done };

/* ---- commands -------------------------------------------------------------------------------- */

static void send_signature(Port *p, bool interrupt)
{
    PortState *s = state(p);
    VitAtaTaskfile tf;

    vit_ata_signature(p->drive, &tf);
    if (p->drive)
        tf.status = p->drive->cd ? VIT_ATA_DSC : VIT_ATA_READY;
    s->sig = (uint32_t) (tf.lba & 0xffffff) << 8 | (tf.count & 0xffu);
    if (p->drive)
        send_d2h(p, &tf, interrupt);
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
        cancel_all(p);
    } else if (s->soft_reset) {
        send_signature(p, false);
    }
    s->soft_reset = on;
}

static void fail_slot(Port *p, unsigned tag, uint8_t error)
{
    VitAtaTaskfile tf = { .status = VIT_ATA_READY | VIT_ATA_ERR, .error = error };

    state(p)->halted = true;
    state(p)->cmd = (state(p)->cmd & ~(31u << CMD_CCS_SHIFT)) | tag << CMD_CCS_SHIFT;
    send_d2h(p, &tf, true);
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

/* Starts what the guest has issued: queued commands side by side, others one at a time. */
static void port_run(Port *p)
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

/* ---- registers ------------------------------------------------------------------------------- */

static Port *port_of(VitDevice *d, uint32_t offset)
{
    return &((Ahci *) d)->ports[(offset - PORT_BASE) / PORT_SIZE];
}

static void port_reset(Port *p)
{
    PortState *s = state(p);

    cancel_all(p);
    s->halted = s->soft_reset = false;
    s->ci = s->sact = 0;
    s->ssts = p->drive ? SSTS_UP : 0;
    s->sig = 0xffffffff;
    s->tfd = 0x7f;
}

/* The link comes up and the drive shows itself. */
static void link_up(Port *p)
{
    PortState *s = state(p);

    if (!p->drive)
        return;
    s->serr |= SERR_X;
    s->is |= IS_PCS;
    send_signature(p, false);
}

static void write_cmd(VitDevice *d, uint32_t offset, uint64_t value)
{
    enum { WRITABLE = CMD_ST | CMD_SUD | CMD_POD | CMD_FRE | CMD_ATAPI | 3 << 25 };
    Port *p = port_of(d, offset);
    PortState *s = state(p);
    uint32_t old = s->cmd, fresh = (old & ~(uint32_t) WRITABLE) | ((uint32_t) value & WRITABLE);

    fresh |= CMD_SUD | CMD_POD;
    if (value & CMD_CLO)
        s->tfd &= ~(uint32_t) (VIT_ATA_BSY | VIT_ATA_DRQ);
    fresh = (fresh & ~(uint32_t) (CMD_FR | CMD_CR)) | (fresh & CMD_FRE ? CMD_FR : 0) |
            (fresh & CMD_ST ? CMD_CR : 0);
    s->cmd = fresh;
    if ((old & CMD_ST) && !(fresh & CMD_ST)) {
        cancel_all(p);
        s->ci = s->sact = 0;
        s->cmd &= ~(31u << CMD_CCS_SHIFT);
        s->halted = false;
        s->tfd &= ~(uint32_t) (VIT_ATA_BSY | VIT_ATA_DRQ);
    }
    /* A signature that came before the guest had room for it. */
    if (!(old & CMD_FRE) && (fresh & CMD_FRE) && p->drive && s->sig != 0xffffffff &&
        !(s->tfd & VIT_ATA_BSY)) {
        VitAtaTaskfile tf;
        vit_ata_signature(p->drive, &tf);
        tf.status = (uint8_t) s->tfd;
        tf.error = (uint8_t) (s->tfd >> 8);
        send_d2h(p, &tf, false);
    }
    port_run(p);
}

static void wrote_sctl(VitDevice *d, uint32_t offset, uint64_t old)
{
    Port *p = port_of(d, offset);
    unsigned det = state(p)->sctl & 15;

    if (det == 1) {
        port_reset(p);
        state(p)->ssts = 0;
    } else if (det == 4) {
        cancel_all(p);
        state(p)->ssts = 4;
    } else if (det == 0 && (old & 15) != 0) {
        port_reset(p);
        link_up(p);
    }
}

static void wrote_serr(VitDevice *d, uint32_t offset, uint64_t old)
{
    PortState *s = state(port_of(d, offset));
    if (!(s->serr & SERR_X))
        s->is &= ~(uint32_t) IS_PCS;
}

static void write_sact(VitDevice *d, uint32_t offset, uint64_t value)
{
    PortState *s = state(port_of(d, offset));
    if (s->cmd & CMD_ST)
        s->sact |= (uint32_t) value;
}

static void write_ci(VitDevice *d, uint32_t offset, uint64_t value)
{
    Port *p = port_of(d, offset);

    if (!(state(p)->cmd & CMD_ST))
        return;
    state(p)->ci |= (uint32_t) value;
    port_run(p);
}

static void hba_reset(Ahci *a)
{
    for (unsigned i = 0; i < PORTS; i++) {
        PortState *s = &a->st.port[i];
        cancel_all(&a->ports[i]);
        *s = (PortState) {
            .clb = s->clb, .clbu = s->clbu, .fb = s->fb, .fbu = s->fbu, .cmd = CMD_SUD | CMD_POD
        };
        port_reset(&a->ports[i]);
        link_up(&a->ports[i]);
    }
    a->st.ghc = GHC_AE;
    a->st.is = 0;
}

static void write_ghc(VitDevice *d, uint32_t offset, uint64_t value)
{
    Ahci *a = (Ahci *) d;

    if (value & GHC_HR)
        hba_reset(a);
    else
        a->st.ghc = GHC_AE | ((uint32_t) value & GHC_IE);
}

static void wrote_is(VitDevice *d, uint32_t offset, uint64_t old)
{
    Ahci *a = (Ahci *) d;
    a->told &= a->st.is;        /* what is still or again set gets a new message */
}

static uint64_t read_cap(VitDevice *d, uint32_t offset)
{
    /* 64-bit addresses, NCQ, command list override, AHCI only, generation 2, 32 slots, 6 ports */
    return 1u << 31 | 1u << 30 | 1u << 24 | 1u << 18 | 2u << 20 | (SLOTS - 1) << 8 | (PORTS - 1);
}

static uint64_t read_pi(VitDevice *d, uint32_t offset)
{
    return (1u << PORTS) - 1;
}

static uint64_t read_version(VitDevice *d, uint32_t offset)
{
    return 0x00010300;
}

#define PORT_REG(off, reg, member, ...)                                                            \
    { PORT_BASE + (off), VIT_ANY_BANK, reg, VIT_AT(Ahci, st.port[0].member), .count = PORTS,       \
      .stride = PORT_SIZE, .at_stride = sizeof(PortState), ##__VA_ARGS__ }

static const VitReg ahci_regs[] = {
    { 0x00, VIT_ANY_BANK, "CAP", .size = 4, .read = read_cap },
    { 0x04, VIT_ANY_BANK, "GHC", VIT_AT(Ahci, st.ghc), .reset = GHC_AE, .write = write_ghc },
    { 0x08, VIT_ANY_BANK, "IS", VIT_AT(Ahci, st.is), .w1c = 0xffffffff, .wrote = wrote_is },
    { 0x0c, VIT_ANY_BANK, "PI", .size = 4, .read = read_pi },
    { 0x10, VIT_ANY_BANK, "VS", .size = 4, .read = read_version },
    PORT_REG(0x00, "PxCLB", clb, .rw = 0xfffffc00),
    PORT_REG(0x04, "PxCLBU", clbu, .rw = 0xffffffff),
    PORT_REG(0x08, "PxFB", fb, .rw = 0xffffff00),
    PORT_REG(0x0c, "PxFBU", fbu, .rw = 0xffffffff),
    PORT_REG(0x10, "PxIS", is, .w1c = 0xfd0000af & ~(uint32_t) IS_PCS),
    PORT_REG(0x14, "PxIE", ie, .rw = 0xfdc000ff),
    PORT_REG(0x18, "PxCMD", cmd, .reset = CMD_SUD | CMD_POD, .write = write_cmd),
    PORT_REG(0x20, "PxTFD", tfd, .reset = 0x7f),
    PORT_REG(0x24, "PxSIG", sig, .reset = 0xffffffff),
    PORT_REG(0x28, "PxSSTS", ssts),
    PORT_REG(0x2c, "PxSCTL", sctl, .rw = 0x00000fff, .wrote = wrote_sctl),
    PORT_REG(0x30, "PxSERR", serr, .w1c = 0x07ff0f03, .wrote = wrote_serr),
    PORT_REG(0x34, "PxSACT", sact, .write = write_sact),
    PORT_REG(0x38, "PxCI", ci, .write = write_ci),
};

#define PORT_FIELDS(n)                                                                             \
    VIT_BOOL(Ahci, st.port[n].halted, false), VIT_BOOL(Ahci, st.port[n].soft_reset, false)

static const VitField ahci_hidden[] = {
    PORT_FIELDS(0), PORT_FIELDS(1), PORT_FIELDS(2), PORT_FIELDS(3), PORT_FIELDS(4), PORT_FIELDS(5),
    { VIT_END },
};

/* ---- life ------------------------------------------------------------------------------------ */

static void ahci_reset(VitDevice *d)
{
    Ahci *a = (Ahci *) d;

    a->told = 0;
    for (unsigned i = 0; i < PORTS; i++) {
        port_reset(&a->ports[i]);
        link_up(&a->ports[i]);
    }
}

/* After a load, once the drives have their state: issued commands start again from their
 * beginning. */
static void restore(void *opaque)
{
    Ahci *a = opaque;

    for (unsigned i = 0; i < PORTS; i++) {
        PortState *s = &a->st.port[i];
        if (s->cmd & CMD_ST)
            /* queued ones had left the register when they started */
            s->ci |= s->halted ? 0 : s->sact;
        port_run(&a->ports[i]);
    }
    ahci_update(&a->parent);
}

static void ahci_loaded(VitDevice *d)
{
    Ahci *a = (Ahci *) d;

    for (unsigned i = 0; i < PORTS; i++)
        cancel_all(&a->ports[i]);
    vit_deferred_schedule(a->restore);
}

static bool ahci_init(VitDevice *d, GError **error)
{
    Ahci *a = (Ahci *) d;
    const VitPciIds ids = {
        .vendor = 0x8086, .device = 0x2922, .subsys_vendor = 0x1af4, .subsys = 0x1100,
        .revision = 2, .prog_if = 0x01, .subclass = 0x06, .base_class = 0x01,
    };

    for (unsigned i = 0; i < PORTS; i++) {
        a->ports[i].ahci = a;
        a->ports[i].number = i;
    }
    a->restore = vit_deferred_new(d->sys, restore, a);
    if (!a->bus)
        return true;
    g_autofree char *id = g_strconcat(d->id, ".pci", NULL);
    a->pci = vit_pci_function_new(a->bus, a->devfn, &ids, id, error);
    if (!a->pci)
        return false;
    vit_pci_set_bar(a->pci, 5, vit_device_window(d, 0, MMIO_SIZE), false, false, false);
    vit_pci_set_intx_pin(a->pci, 1);
    vit_pci_add_msi_at(a->pci, 0x80, 1);
    vit_pci_connect_intx(a->pci, d, 0);
    return true;
}

static void ahci_finish(VitDevice *d)
{
    Ahci *a = (Ahci *) d;

    for (unsigned i = 0; i < PORTS; i++) {
        cancel_all(&a->ports[i]);
        if (a->ports[i].drive)
            a->ports[i].drive->detach = NULL;
    }
    vit_deferred_free(a->restore);
}

void vit_ahci_plug(VitDevice *d, VitPciBus *bus, int devfn)
{
    Ahci *a = (Ahci *) d;
    a->bus = bus;
    a->devfn = devfn;
}

static void detached(void *opaque, VitAtaDrive *drive)
{
    Port *p = opaque;
    cancel_all(p);
    p->drive = NULL;
    state(p)->ssts = 0;
    state(p)->tfd = 0x7f;
}

bool vit_ahci_attach(VitDevice *d, unsigned port, VitAtaDrive *drive)
{
    Ahci *a = (Ahci *) d;

    if (port >= PORTS || a->ports[port].drive)
        return false;
    a->ports[port].drive = drive;
    drive->sata = true;
    drive->detach = detached;
    drive->controller = &a->ports[port];
    port_reset(&a->ports[port]);
    link_up(&a->ports[port]);
    return true;
}

const VitDeviceClass vit_ahci_class = {
    .name = "ich9-ahci", .description = "AHCI controller of the ICH9", .version = 1,
    VIT_STATE(Ahci, st), .mmio_size = MMIO_SIZE, .reg_size = 4, .n_irqs = 1, VIT_REGS(ahci_regs),
    .hidden = ahci_hidden, .init = ahci_init, .finish = ahci_finish, .reset = ahci_reset,
    .update = ahci_update, .loaded = ahci_loaded,
};
