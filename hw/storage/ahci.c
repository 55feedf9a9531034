/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ahci.c - registers of the AHCI host bus adapter, and its life (Serial ATA AHCI 1.3.1;
 * ids and BAR of the Intel ICH9, 8086:2922)
 *
 * Wires: BAR 5, 4 KiB; INTx or one MSI.  Not modelled: port multipliers, power states, enclosure
 * management, command completion coalescing, hot plug, legacy register access. */
#include "hw/storage/ahci-private.h"

enum { PORTS = VIT_AHCI_PORTS, MMIO_SIZE = 0x1000, PORT_BASE = 0x100,
       PORT_SIZE = 0x80 };
enum { GHC_HR = 1u << 0, GHC_IE = 1u << 1, GHC_AE = 1u << 31 };
enum { SERR_X = 1 << 26, SSTS_UP = 0x123 };

/* ---- interrupts ------------------------------------------------------------------------------ */

void ahci_update(VitDevice *d)
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

/* ---- registers ------------------------------------------------------------------------------- */

static Port *port_of(VitDevice *d, uint32_t offset)
{
    return &((Ahci *) d)->ports[(offset - PORT_BASE) / PORT_SIZE];
}

static void port_reset(Port *p)
{
    PortState *s = state(p);

    ahci_cancel_all(p);
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
    ahci_send_signature(p, false);
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
        ahci_cancel_all(p);
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
        ahci_send_d2h(p, &tf, false);
    }
    ahci_port_run(p);
}

static void wrote_sctl(VitDevice *d, uint32_t offset, uint64_t old)
{
    Port *p = port_of(d, offset);
    unsigned det = state(p)->sctl & 15;

    if (det == 1) {
        port_reset(p);
        state(p)->ssts = 0;
    } else if (det == 4) {
        ahci_cancel_all(p);
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
    ahci_port_run(p);
}

static void hba_reset(Ahci *a)
{
    for (unsigned i = 0; i < PORTS; i++) {
        PortState *s = &a->st.port[i];
        ahci_cancel_all(&a->ports[i]);
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
        ahci_port_run(&a->ports[i]);
    }
    ahci_update(&a->parent);
}

static void ahci_loaded(VitDevice *d)
{
    Ahci *a = (Ahci *) d;

    for (unsigned i = 0; i < PORTS; i++)
        ahci_cancel_all(&a->ports[i]);
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
        ahci_cancel_all(&a->ports[i]);
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
    ahci_cancel_all(p);
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
