/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-bridge.c - PCI-PCI bridge and PCI Express root port
 *
 * PCI-to-PCI Bridge Architecture 1.2, chapter 3.  Windows: I/O (16 bit), memory, prefetchable (64
 * bit).  Not modelled: VGA and ISA forwarding bits, secondary reset, hot-plug. */
#include "hw/pci/pci-private.h"

enum {
    PRIMARY = 0x18, IO_BASE = 0x1c, IO_LIMIT = 0x1d, SECONDARY_STATUS = 0x1e, MEM_BASE = 0x20,
    MEM_LIMIT = 0x22, PREF_BASE = 0x24, PREF_LIMIT = 0x26, PREF_BASE_HIGH = 0x28,
    PREF_LIMIT_HIGH = 0x2c, BRIDGE_CONTROL = 0x3e,
    WINDOW_IO = 0, WINDOW_MEM, WINDOW_PREF, WINDOWS,
};

typedef struct {
    VitPciBus       bus;        /* the secondary side */
    VitPciFunction *fn;         /* owns this */
    VitRegion      *memory, *io;            /* owned: what the secondary side decodes */
    VitRegion      *windows[WINDOWS];       /* owned aliases, NULL while closed */
} Bridge;

static void window_set(Bridge *b, unsigned n, uint64_t base, uint64_t limit, bool open)
{
    VitPciBus *parent = b->fn->bus;
    VitRegion *outside = n == WINDOW_IO ? parent->io : parent->memory;
    VitRegion *inside = n == WINDOW_IO ? b->io : b->memory;

    if (b->windows[n]) {
        vit_region_remove(outside, b->windows[n]);
        vit_region_free(b->windows[n]);
        b->windows[n] = NULL;
    }
    if (!open || limit < base || limit >= vit_region_size(outside))
        return;
    b->windows[n] = vit_region_new_alias("bridge-window", inside, base, limit - base + 1);
    vit_region_add(outside, base, b->windows[n], -8192 + (int) (b->fn->devfn * WINDOWS + n));
}

static void windows_update(Bridge *b)
{
    const uint8_t *c = b->fn->st.config;
    unsigned command = pci_get16(c + PCI_COMMAND);
    VitAddressSpace *memory = b->bus.host.sys->memory;

    vit_as_begin(memory);
    window_set(b, WINDOW_IO, (uint64_t) (c[IO_BASE] & 0xf0) << 8,
               (uint64_t) (c[IO_LIMIT] & 0xf0) << 8 | 0xfff, command & PCI_COMMAND_IO);
    window_set(b, WINDOW_MEM, (uint64_t) (pci_get16(c + MEM_BASE) & 0xfff0) << 16,
               (uint64_t) (pci_get16(c + MEM_LIMIT) & 0xfff0) << 16 | 0xfffff,
               command & PCI_COMMAND_MEMORY);
    uint64_t base = (uint64_t) (pci_get16(c + PREF_BASE) & 0xfff0) << 16;
    uint64_t limit = (uint64_t) (pci_get16(c + PREF_LIMIT) & 0xfff0) << 16 | 0xfffff;
    window_set(b, WINDOW_PREF, base | (uint64_t) pci_get32(c + PREF_BASE_HIGH) << 32,
               limit | (uint64_t) pci_get32(c + PREF_LIMIT_HIGH) << 32,
               command & PCI_COMMAND_MEMORY);
    vit_as_commit(memory);
}

static void bridge_wrote(void *opaque, unsigned offset, unsigned size)
{
    if (offset < PCI_COMMAND + 2 || (offset + size > IO_BASE && offset < PREF_LIMIT_HIGH + 4))
        windows_update(opaque);
}

static void bridge_finish(void *opaque)
{
    Bridge *b = opaque;
    for (unsigned n = 0; n < WINDOWS; n++)
        window_set(b, n, 0, 0, false);
    b->fn->bus->children[b->fn->devfn] = NULL;
    vit_region_free(b->memory);
    vit_region_free(b->io);
    g_free(b);
}

VitPciBus *vit_pci_bridge_new(VitPciBus *parent, int devfn, VitPciBridgeKind kind, const char *id,
                              GError **error)
{
    VitPciIds ids = { .vendor = 0x1b36, .device = kind == VIT_PCI_BRIDGE ? 0x0001 : 0x000c,
                      .base_class = 6, .subclass = 4, .express = kind == VIT_PCIE_ROOT_PORT };
    VitPciFunction *fn = vit_pci_function_new(parent, devfn, &ids, id, error);
    if (!fn)
        return NULL;

    vit_pci_config_define(fn, PRIMARY, 4, 0, 0x00ffffff, 0);
    vit_pci_config_define(fn, IO_BASE, 2, 0, 0xf0f0, 0);
    vit_pci_config_define(fn, SECONDARY_STATUS, 2, 0, 0, PCI_STATUS_ERRORS);
    vit_pci_config_define(fn, MEM_BASE, 4, 0, 0xfff0fff0, 0);
    vit_pci_config_define(fn, PREF_BASE, 4, 0x00010001, 0xfff0fff0, 0);
    vit_pci_config_define(fn, PREF_BASE_HIGH, 4, 0, 0xffffffff, 0);
    vit_pci_config_define(fn, PREF_LIMIT_HIGH, 4, 0, 0xffffffff, 0);
    vit_pci_config_define(fn, BRIDGE_CONTROL, 2, 0, 0x0fff, 0);
    vit_pci_set_intx_pin(fn, 1);
    if (kind == VIT_PCIE_ROOT_PORT)
        vit_pci_add_msi(fn, 1);

    Bridge *b = g_new0(Bridge, 1);
    b->fn = fn;
    b->memory = vit_region_new_container("bridge-memory", vit_region_size(parent->memory));
    b->io = vit_region_new_container("bridge-io", 0x10000);
    b->bus.host = parent->host;
    b->bus.host.express = parent->host.express && kind == VIT_PCIE_ROOT_PORT;
    b->bus.root = parent->root;
    b->bus.bridge = fn;
    b->bus.memory = b->memory;
    b->bus.io = b->io;
    parent->children[fn->devfn] = &b->bus;
    vit_pci_set_config_hook(fn, bridge_wrote, b);
    vit_pci_set_finish_hook(fn, bridge_finish, b);
    return &b->bus;
}
