/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci.h - PCI functions and the bus they sit on (PCI 3.0, PCIe 4.0 config space)
 *
 * A PCI function is a transport around bus-neutral VitDevice cores.  All under the machine lock
 * except where it says otherwise. */
#pragma once
#include "engine/core/device.h"

typedef struct VitPciBus VitPciBus;
typedef struct VitPciFunction VitPciFunction;

enum { VIT_PCI_MSIX_MAX = 128, VIT_PCI_BARS = 6 };
#define VIT_PCI_DEVFN(slot, function) (((slot) << 3) | (function))

typedef struct {
    uint16_t vendor, device, subsys_vendor, subsys;
    uint8_t  revision, prog_if, subclass, base_class;
    bool     express;           /* has a PCI Express capability on an express bus */
} VitPciIds;

/* Config space of each function is a VitDevice of class "pci-function" so that it resets and saves
 * like all else.  devfn -1 = first free slot. */
[[nodiscard]] VitPciFunction *vit_pci_function_new(VitPciBus *bus, int devfn, const VitPciIds *ids,
                                                   const char *id, GError **error);
VitDevice *vit_pci_function_device(VitPciFunction *fn);
/* Takes the function off its bus and frees it (vit_system_free does so by itself). */
void vit_pci_function_free(VitPciFunction *fn);
unsigned vit_pci_devfn(const VitPciFunction *fn);
VitPciBus *vit_pci_function_bus(VitPciFunction *fn);

/* BAR n shows region, whose size is a power of two (at least 16 bytes; 4096 for memory is advised).
 * The region stays the caller's.  A 64-bit BAR takes n and n + 1. */
void vit_pci_set_bar(VitPciFunction *fn, unsigned bar, VitRegion *region, bool io, bool is64,
                     bool prefetch);
void vit_pci_set_rom(VitPciFunction *fn, VitRam *rom, uint64_t size);
void vit_pci_set_intx_pin(VitPciFunction *fn, unsigned pin /* 1 = A */);
/* Appends a capability; returns its offset.  data excludes the two header bytes; writable is a mask
 * or NULL. */
unsigned vit_pci_add_capability(VitPciFunction *fn, uint8_t id, const uint8_t *data,
                                const uint8_t *writable, unsigned size);
/* The same at an offset that the device's datasheet fixes. */
unsigned vit_pci_add_capability_at(VitPciFunction *fn, unsigned offset, uint8_t id,
                                   const uint8_t *data, const uint8_t *writable, unsigned size);
void vit_pci_add_msi(VitPciFunction *fn, unsigned vectors);
void vit_pci_add_msi_at(VitPciFunction *fn, unsigned offset, unsigned vectors);
/* Table and PBA lie over the BAR's region, which must be a container; when the BAR is not set yet,
 * one that just holds them is made. */
void vit_pci_add_msix(VitPciFunction *fn, unsigned vectors, unsigned bar, uint32_t table_offset,
                      uint32_t pba_offset);
bool vit_pci_msix_enabled(const VitPciFunction *fn);        /* any thread */
bool vit_pci_msi_enabled(const VitPciFunction *fn);         /* any thread */
/* Sends vector n by MSI-X or MSI; dropped when neither is enabled.  Any thread, never waits for the
 * machine lock. */
void vit_pci_notify(VitPciFunction *fn, unsigned vector);
void vit_pci_set_intx(VitPciFunction *fn, bool level);      /* honours Interrupt Disable */
/* Wires output n of a core device to the function's INTx pin. */
void vit_pci_connect_intx(VitPciFunction *fn, VitDevice *core, unsigned n);
VitAddressSpace *vit_pci_dma(VitPciFunction *fn);           /* what the function's DMA sees */
bool vit_pci_bus_master(const VitPciFunction *fn);          /* any thread */

/* 256 or 4096 bytes.  Until the first reset or guest access these are the reset values, afterwards
 * the live ones: ask again each time, do not keep the pointer. */
uint8_t *vit_pci_config(VitPciFunction *fn);
/* Build time: reset value (little-endian, 1, 2 or 4 bytes) and which bits a guest may write or
 * clear by writing 1. */
void vit_pci_config_define(VitPciFunction *fn, unsigned offset, unsigned size, uint32_t value,
                           uint32_t writable, uint32_t w1c);
/* Called after a guest config write to [offset, offset+size), and with (0, whole size) after reset
 * and load, so that what is derived from config space follows. */
void vit_pci_set_config_hook(VitPciFunction *fn,
                             void (*wrote)(void *opaque, unsigned offset, unsigned size),
                             void *opaque);
/* Called before a guest config read of [offset, offset+size): may refresh the bytes. */
void vit_pci_set_config_read_hook(VitPciFunction *fn,
                                  void (*reading)(void *opaque, unsigned offset, unsigned size),
                                  void *opaque);
/* Called once when the function goes away, for owners of regions shown in BARs. */
void vit_pci_set_finish_hook(VitPciFunction *fn, void (*finish)(void *opaque), void *opaque);

uint32_t vit_pci_config_read(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset,
                             unsigned size);
void vit_pci_config_write(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset,
                          uint32_t value, unsigned size);

typedef struct {                /* what a host bridge gives its root bus */
    VitSystem *sys;
    VitRegion *memory, *io; /* where BARs are mapped, at negative priorities: fixed devices win */
    bool       express;
    /* ORed level of an interrupt line (below 64); told of changes, and after reset and load. */
    void (*set_irq)(void *opaque, unsigned line /* (slot + pin - 1) & 3 by default */, bool level);
    unsigned (*map_irq)(void *opaque, unsigned devfn,
                        unsigned pin); /* NULL = the default swizzle */
    /* Any thread, with or without the machine lock; must not wait for it.  NULL = a store to
     * memory, on the machine thread when the lock is taken. */
    void     (*send_msi)(void *opaque, uint64_t address, uint32_t data);
    void      *opaque;
} VitPciHostOps;
[[nodiscard]] VitPciBus *vit_pci_root_bus_new(const VitPciHostOps *ops);
void vit_pci_bus_free(VitPciBus *bus);      /* after its functions; NULL is fine */
VitPciFunction *vit_pci_bus_function(VitPciBus *bus, unsigned devfn);   /* or NULL */
bool vit_pci_bus_is_express(const VitPciBus *bus);
/* "/pci@i0cf8/NAME@slot,function", as firmware names devices; the caller frees. */
char *vit_pci_firmware_path(const VitPciFunction *fn, const char *name);
VitPciFunction *vit_pci_bus_bridge(VitPciBus *bus);         /* NULL for a root bus */

/* ---- Bridges --------------------------------------------------------------------------------- */

typedef enum { VIT_PCI_BRIDGE, VIT_PCIE_ROOT_PORT } VitPciBridgeKind;
/* A bridge function on the parent; returns its secondary bus, owned by the function. */
[[nodiscard]] VitPciBus *vit_pci_bridge_new(VitPciBus *parent, int devfn, VitPciBridgeKind kind,
                                            const char *id, GError **error);

/* ---- Ways into config space ------------------------------------------------------------------ */

/* Configuration mechanism #1: an 8-byte window for ports 0xCF8 to 0xCFF.  Byte accesses to 0xCF9
 * (reset control) go to the hooks; either may be NULL. */
[[nodiscard]] VitDevice *vit_pci_mechanism1_new(VitPciBus *bus, const char *id, GError **error);
void vit_pci_mechanism1_set_port_cf9(VitDevice *device, uint8_t (*read)(void *opaque),
                                     void (*write)(void *opaque, uint8_t value), void *opaque);
/* ECAM: buses MiB of memory-mapped config space (caller frees). */
[[nodiscard]] VitRegion *vit_pci_ecam_region_new(VitPciBus *bus, unsigned buses);

extern const VitDeviceClass vit_pci_function_class;
extern const VitDeviceClass vit_pci_mechanism1_class;
