/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-access.c - ways into config space: mechanism #1 and ECAM
 *
 * PCI Local Bus 3.0 section 3.2.2.3.2; PCI Express 4.0 section 7.2.2. */
#include "hw/pci/pci-private.h"

enum { ADDRESS = 0, PORT_CF9 = 1, DATA = 4, ENABLE_BIT = 31 };

typedef struct {
    VitDevice  parent;      /* first member */
    VitPciBus *bus;         /* borrowed; NULL in tests of the bare device */
    uint8_t  (*read_cf9)(void *opaque);
    void     (*write_cf9)(void *opaque, uint8_t value);
    void      *opaque;
    struct { uint32_t address; } st;
} Mechanism1;

static bool mechanism1_read(VitDevice *d, uint32_t offset, unsigned size, uint64_t *value)
{
    Mechanism1 *m = (Mechanism1 *) d;
    uint32_t a = m->st.address;

    if (offset == PORT_CF9 && size == 1 && m->read_cf9)
        *value = m->read_cf9(m->opaque);
    else if (offset == ADDRESS && size == 4)
        *value = a;
    else if (offset >= DATA && offset + size <= 8 && a >> ENABLE_BIT && m->bus)
        *value = vit_pci_config_read(m->bus, a >> 16 & 0xff, a >> 8 & 0xff,
                                     (a & 0xfc) + (offset - DATA), size);
    else
        *value = UINT64_MAX;
    return true;
}

static bool mechanism1_write(VitDevice *d, uint32_t offset, unsigned size, uint64_t value)
{
    Mechanism1 *m = (Mechanism1 *) d;
    uint32_t a = m->st.address;

    if (offset == PORT_CF9 && size == 1 && m->write_cf9)
        m->write_cf9(m->opaque, (uint8_t) value);
    else if (offset == ADDRESS && size == 4)
        m->st.address = (uint32_t) value & 0x80fffffcu;
    else if (offset >= DATA && offset + size <= 8 && a >> ENABLE_BIT && m->bus)
        vit_pci_config_write(m->bus, a >> 16 & 0xff, a >> 8 & 0xff, (a & 0xfc) + (offset - DATA),
                             (uint32_t) value, size);
    return true;
}

static const VitField mechanism1_hidden[] = { VIT_UINT(Mechanism1, st.address), { VIT_END } };

const VitDeviceClass vit_pci_mechanism1_class = {
    .name = "pci-mechanism1", .description = "PCI configuration mechanism #1", .version = 1,
    VIT_STATE(Mechanism1, st), .mmio_size = 8, .hidden = mechanism1_hidden,
    .raw_read = mechanism1_read, .raw_write = mechanism1_write,
};

VitDevice *vit_pci_mechanism1_new(VitPciBus *bus, const char *id, GError **error)
{
    Mechanism1 *m = (Mechanism1 *) vit_device_new(bus->host.sys, &vit_pci_mechanism1_class, id);
    m->bus = bus;
    return vit_device_init(&m->parent, error) ? &m->parent : NULL;
}

void vit_pci_mechanism1_set_port_cf9(VitDevice *device, uint8_t (*read)(void *opaque),
                                     void (*write)(void *opaque, uint8_t value), void *opaque)
{
    Mechanism1 *m = (Mechanism1 *) device;
    m->read_cf9 = read;
    m->write_cf9 = write;
    m->opaque = opaque;
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    return vit_pci_config_read(opaque, (unsigned) (offset >> 20), offset >> 12 & 0xff,
                               offset & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    vit_pci_config_write(opaque, (unsigned) (offset >> 20), offset >> 12 & 0xff, offset & 0xfff,
                         (uint32_t) value, size);
}

static const VitMmioOps ecam_ops = {
    .read = ecam_read, .write = ecam_write, .min_size = 1, .max_size = 4
};

VitRegion *vit_pci_ecam_region_new(VitPciBus *bus, unsigned buses)
{
    return vit_region_new_mmio("pci-ecam", &ecam_ops, bus, (uint64_t) buses << 20);
}
