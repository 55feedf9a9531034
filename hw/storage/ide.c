/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/storage/ide.c - registers of the PIIX3's IDE controller, and its life (Intel 82371SB
 * datasheet, 2.4 and 3.4)
 *
 * Wires: ports 0x1f0..0x1f7, 0x3f6 and 0x170..0x177, 0x376 in compatibility mode; BAR 4, 16 ports;
 * irq 0 and 1: ISA lines 14 and 15.  Not modelled: timing registers, native mode, overlap. */
#include "hw/storage/ide-private.h"

enum { R_DATA, R_ERROR, R_COUNT, R_LOW, R_MID, R_HIGH, R_DEVICE, R_STATUS, R_CONTROL };
enum { W_CHANNEL = 0x10, W_BUS_MASTER = 0x20, W_SIZE = 0x30 };  /* offsets in the device's window */

static VitAtaDrive *selected_drive(const Channel *c)
{
    return c->drives[state(c)->device >> 4 & 1];
}

void ide_update(VitDevice *d)
{
    const Ide *ide = (Ide *) d;
    for (unsigned i = 0; i < CHANNELS; i++)
        vit_irq_set(d, i, ide->st.ch[i].irq && !(ide->st.ch[i].control & CTL_NIEN));
}

static void restore(void *opaque);

/* A guest may be quicker than the deferred call after a load. */
static void make_sure(VitDevice *d)
{
    if (((Ide *) d)->unrestored)
        restore(d);
}

/* ---- registers ------------------------------------------------------------------------------- */

static bool raw_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    Ide *ide = (Ide *) d;
    if (offset != R_DATA && offset != W_CHANNEL)
        return false;
    make_sure(d);
    *value = ide_data_read(&ide->channels[offset / W_CHANNEL], size);
    return true;
}

static bool raw_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    Ide *ide = (Ide *) d;
    if (offset != R_DATA && offset != W_CHANNEL)
        return false;
    make_sure(d);
    ide_data_write(&ide->channels[offset / W_CHANNEL], value, size);
    return true;
}

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
        ide_reset_units(c);
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
            ide_command(c, (uint8_t) value);
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

static void write_bm_command(VitDevice *d, uint32_t offset, uint64_t value)
{
    Channel *c = &((Ide *) d)->channels[(offset - W_BUS_MASTER) / 8];
    ChannelState *s = state(c);
    uint8_t old = s->bm_command;

    make_sure(d);
    s->bm_command = value & (BM_START | BM_TO_MEMORY);
    if ((value & BM_START) && !(old & BM_START)) {
        s->bm_status |= BM_ACTIVE;
        ide_table_rewind(s);
        ide_dma_go(c);
    } else if (!(value & BM_START)) {
        s->bm_status &= (uint8_t) ~BM_ACTIVE;
    }
}

static void wrote_bm_table(VitDevice *d, uint32_t offset, uint64_t old)
{
    ide_table_rewind(state(&((Ide *) d)->channels[(offset - W_BUS_MASTER) / 8]));
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
        ide_reset_units(&ide->channels[i]);
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
            ide_cancel(c);
            continue;
        }
        c->run = ide_make_run(c);
        bool pio = !c->run->dma, out = c->run->dir == VIT_ATA_OUT;
        if (s->position > c->run->bytes ||
            (c->run->dma && ide_dma_ready(c) && !ide_table_seek(c, s->position))) {
            ide_cancel(c);
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
                ide_cancel(c);
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
    ide_signature(&ide->channels[channel], unit);
    return true;
}

const VitDeviceClass vit_piix3_ide_class = {
    .name = "piix3-ide", .description = "IDE controller of the PIIX3", .version = 1,
    VIT_STATE(Ide, st), .mmio_size = W_SIZE, .n_irqs = CHANNELS, VIT_REGS(ide_regs),
    .hidden = ide_hidden, .raw_read = raw_read, .raw_write = raw_write, .init = ide_init,
    .finish = ide_finish, .reset = ide_reset, .update = ide_update, .loaded = ide_loaded,
};
