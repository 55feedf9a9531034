/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci.h - PCI functions and the bus they sit on (PCI 3.0, PCIe 4.0 config space)
 *
 * A PCI function is a transport around bus-neutral VitDevice cores.  All under the machine lock. */
#pragma once
#include "engine/core/device.h"

typedef struct VitPciBus VitPciBus;
typedef struct VitPciFunction VitPciFunction;

typedef struct {
    uint16_t vendor, device, subsys_vendor, subsys;
    uint8_t  revision, prog_if, subclass, base_class;
    bool     express;           /* has a PCI Express capability on an express bus */
} VitPciIds;

/* Config space of each function is a VitDevice of class "pci-function" so that it resets and saves
 * like all else.  bus->parent routes INTx: pin A..D of slot -> line.  devfn -1 = first free slot. */
[[nodiscard]] VitPciFunction *vit_pci_function_new(VitPciBus *bus, int devfn, const VitPciIds *ids,
                                                   const char *id, GError **error);
VitDevice *vit_pci_function_device(VitPciFunction *fn);
/* BAR n shows region (size a power of two, at least 16 for I/O, 4096 for memory is advised). */
void vit_pci_set_bar(VitPciFunction *fn, unsigned bar, VitRegion *region, bool io, bool is64, bool prefetch);
void vit_pci_set_rom(VitPciFunction *fn, VitRam *rom, uint64_t size);
void vit_pci_set_intx_pin(VitPciFunction *fn, unsigned pin /* 1 = A */);
/* Appends a capability; returns its offset. data excludes the two header bytes; writable is a mask or NULL. */
unsigned vit_pci_add_capability(VitPciFunction *fn, uint8_t id, const uint8_t *data, const uint8_t *writable, unsigned size);
void vit_pci_add_msi(VitPciFunction *fn, unsigned vectors);
void vit_pci_add_msix(VitPciFunction *fn, unsigned vectors, unsigned bar, uint32_t table_offset, uint32_t pba_offset);
bool vit_pci_msix_enabled(const VitPciFunction *fn);
bool vit_pci_msi_enabled(const VitPciFunction *fn);
/* Sends vector n by MSI-X or MSI (any thread; takes the machine lock only when masked state must be kept). */
void vit_pci_notify(VitPciFunction *fn, unsigned vector);
void vit_pci_set_intx(VitPciFunction *fn, bool level);      /* honours Interrupt Disable */
VitAddressSpace *vit_pci_dma(VitPciFunction *fn);           /* what the function's DMA sees */
bool vit_pci_bus_master(const VitPciFunction *fn);
uint8_t *vit_pci_config(VitPciFunction *fn);                /* 256 or 4096 bytes, for fixed fields */
/* Called after a guest config write to [offset, offset+size). */
void vit_pci_set_config_hook(VitPciFunction *fn, void (*wrote)(void *opaque, unsigned offset, unsigned size), void *opaque);
unsigned vit_pci_devfn(const VitPciFunction *fn);

uint32_t vit_pci_config_read(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset, unsigned size);
void vit_pci_config_write(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset, uint32_t value, unsigned size);

typedef struct {                /* what a host bridge gives its root bus */
    VitSystem *sys;
    VitRegion *memory, *io;     /* where BARs are mapped */
    bool       express;
    void     (*set_irq)(void *opaque, unsigned line /* (slot + pin - 1) & 3 by default */, bool level);
    unsigned (*map_irq)(void *opaque, unsigned devfn, unsigned pin);    /* NULL = the default swizzle */
    void     (*send_msi)(void *opaque, uint64_t address, uint32_t data);    /* NULL = store to memory */
    void      *opaque;
} VitPciHostOps;
[[nodiscard]] VitPciBus *vit_pci_root_bus_new(const VitPciHostOps *ops);
void vit_pci_bus_free(VitPciBus *bus);
