/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-private.h - the insides of functions and buses, for hw/pci only */
#pragma once
#include "hw/pci/pci.h"
#include <pthread.h>

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_PROG_IF = 0x09,
    PCI_SUBCLASS = 0x0a,
    PCI_BASE_CLASS = 0x0b,
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYS_VENDOR = 0x2c,
    PCI_SUBSYS = 0x2e,
    PCI_ROM = 0x30,
    PCI_CAP_POINTER = 0x34,
    PCI_BRIDGE_ROM = 0x38,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,

    PCI_COMMAND_IO = 0x0001,
    PCI_COMMAND_MEMORY = 0x0002,
    PCI_COMMAND_MASTER = 0x0004,
    PCI_COMMAND_PARITY = 0x0040,
    PCI_COMMAND_SERR = 0x0100,
    PCI_COMMAND_INTX_OFF = 0x0400,
    PCI_STATUS_INTERRUPT = 0x0008,
    PCI_STATUS_CAP_LIST = 0x0010,
    PCI_STATUS_ERRORS = 0xf900,
    PCI_HEADER_BRIDGE = 0x01,
    PCI_HEADER_MULTI = 0x80,

    PCI_CAP_MSI = 0x05,
    PCI_CAP_EXPRESS = 0x10,
    PCI_CAP_MSIX = 0x11,
    PCI_MSI_ENABLE = 0x0001,
    PCI_MSI_MULTIPLE = 0x0070,
    PCI_MSI_64 = 0x0080,
    PCI_MSI_MASKABLE = 0x0100,
    PCI_MSIX_ENABLE = 0x8000,
    PCI_MSIX_MASK_ALL = 0x4000,

    PCI_CONFIG_SIZE = 4096,
    PCI_ROM_INDEX = VIT_PCI_BARS,
    PCI_LINES = 64,
};
#define PCI_UNMAPPED UINT64_MAX

typedef struct {
    VitRegion *region;      /* borrowed; NULL = not implemented */
    uint64_t   size;
    bool       io, is64;
    uint64_t   mapped;      /* address in the bus's region, or PCI_UNMAPPED */
} PciBar;

struct VitPciFunction {
    VitDevice  parent;      /* first member */
    VitPciBus *bus;         /* borrowed; NULL for a function that is on no bus (tests) */
    unsigned   devfn, config_size;
    bool       bridge;
    bool       sealed;      /* build is over: vit_pci_config() means the live bytes */
    bool       announce;    /* reset or load: tell the interrupt line its level even if unchanged */
    bool       driven;      /* our contribution to the line */
    uint8_t    initial[PCI_CONFIG_SIZE];    /* reset values */
    uint8_t    writable[PCI_CONFIG_SIZE];
    uint8_t    w1c[PCI_CONFIG_SIZE];
    uint8_t    used[256];   /* bytes that capabilities take */
    unsigned   last_cap;
    PciBar     bars[VIT_PCI_BARS + 1];      /* the last one is the expansion ROM */
    VitRegion *rom_region;  /* owned */
    unsigned   msi_cap, msix_cap;           /* offsets, 0 = none */
    unsigned   msi_vectors, msix_vectors;
    VitRegion *msix_container, *msix_table, *msix_pba;      /* owned */
    VitRegion *msix_parent; /* where table and PBA are mapped; borrowed */
    pthread_mutex_t msi_lock;    /* leaf: MSI and MSI-X state against vit_pci_notify() */
    void     (*wrote)(void *opaque, unsigned offset, unsigned size);
    void      *wrote_opaque;
    void     (*reading)(void *opaque, unsigned offset, unsigned size);
    void      *reading_opaque;
    void     (*finish)(void *opaque);
    void      *finish_opaque;
    struct {
        uint8_t  config[PCI_CONFIG_SIZE];
        uint8_t  msix_table[VIT_PCI_MSIX_MAX * 16];     /* guarded by msi_lock as well */
        uint64_t msix_pending[VIT_PCI_MSIX_MAX / 64];   /* guarded by msi_lock as well */
    } st;
};

struct VitPciBus {
    VitPciHostOps   host;           /* the root's, in every bus */
    VitPciBus      *root;           /* itself for the root */
    VitPciFunction *bridge;         /* borrowed; NULL for the root */
    VitRegion      *memory, *io;    /* where this bus's BARs are mapped; borrowed */
    VitPciFunction *functions[256]; /* borrowed */
    VitPciBus      *children[256];  /* by the bridge's devfn; borrowed */
    unsigned        line_count[PCI_LINES];  /* root: functions that drive the line */
};

static inline uint16_t pci_get16(const uint8_t *p) { return (uint16_t) (p[0] | p[1] << 8); }
static inline uint32_t pci_get32(const uint8_t *p)
{
    return (uint32_t) pci_get16(p) | (uint32_t) pci_get16(p + 2) << 16;
}
static inline void pci_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
}
static inline void pci_put32(uint8_t *p, uint32_t v)
{
    pci_put16(p, v & 0xffff);
    pci_put16(p + 2, v >> 16);
}

/* pci-bus.c */
void pci_bus_set_line(VitPciBus *bus, unsigned devfn, unsigned pin, bool was, bool level);
void pci_bus_send_msi(VitPciBus *bus, uint64_t address, uint32_t data);
/* pci-msi.c */
void pci_msi_config_written(VitPciFunction *fn);
void pci_msi_finish(VitPciFunction *fn);
/* pci-function.c */
uint32_t pci_function_read(VitPciFunction *fn, unsigned offset, unsigned size);
void pci_function_write(VitPciFunction *fn, unsigned offset, uint32_t value, unsigned size);
