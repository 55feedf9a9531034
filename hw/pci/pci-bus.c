/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/pci/pci-bus.c - a bus: who sits where, config cycles by number, interrupt lines, messages */
#include "hw/pci/pci-private.h"

enum { BRIDGE_SECONDARY = 0x19, BRIDGE_SUBORDINATE = 0x1a };

VitPciBus *vit_pci_root_bus_new(const VitPciHostOps *ops)
{
    VitPciBus *bus = g_new0(VitPciBus, 1);
    bus->host = *ops;
    bus->root = bus;
    bus->memory = ops->memory;
    bus->io = ops->io;
    return bus;
}

void vit_pci_bus_free(VitPciBus *bus)
{
    g_free(bus);
}

VitPciFunction *vit_pci_bus_function(VitPciBus *bus, unsigned devfn)
{
    return devfn < 256 ? bus->functions[devfn] : NULL;
}

bool vit_pci_bus_is_express(const VitPciBus *bus)
{
    return bus->host.express;
}

char *vit_pci_firmware_path(const VitPciFunction *fn, const char *name)
{
    const VitPciFunction *bridge = fn->bus ? vit_pci_bus_bridge(fn->bus) : NULL;
    g_autofree char *parent = bridge ? vit_pci_firmware_path(bridge, "pci-bridge")
                                     : g_strdup("/pci@i0cf8");
    unsigned slot = fn->devfn >> 3, function = fn->devfn & 7;

    return function ? g_strdup_printf("%s/%s@%x,%x", parent, name, slot, function)
                    : g_strdup_printf("%s/%s@%x", parent, name, slot);
}

VitPciFunction *vit_pci_bus_bridge(VitPciBus *bus)
{
    return bus->bridge;
}

/* ---- Config cycles --------------------------------------------------------------------------- */

/* The function that answers; each level's bridges claim [secondary, subordinate].  Levels are as
 * deep as the machine was built, so the guest cannot make this loop. */
static VitPciFunction *find(VitPciBus *bus, unsigned busno, unsigned devfn)
{
    while (busno != 0) {
        VitPciBus *next = NULL;
        for (unsigned i = 0; i < 256 && !next; i++) {
            if (!bus->children[i])
                continue;
            const uint8_t *config = bus->functions[i]->st.config;
            unsigned secondary = config[BRIDGE_SECONDARY], subordinate = config[BRIDGE_SUBORDINATE];
            if (secondary == busno)
                return devfn < 256 ? bus->children[i]->functions[devfn] : NULL;
            if (secondary && secondary < busno && busno <= subordinate)
                next = bus->children[i];
        }
        if (!next)
            return NULL;
        bus = next;
    }
    return devfn < 256 ? bus->functions[devfn] : NULL;
}

uint32_t vit_pci_config_read(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset,
                             unsigned size)
{
    VitPciFunction *fn = find(bus->root, busno, devfn);
    uint32_t ones = size >= 4 ? 0xffffffffu : (1u << 8 * size) - 1;

    if (!fn || size > 4)
        return ones;
    return pci_function_read(fn, offset, size) & ones;
}

void vit_pci_config_write(VitPciBus *bus, unsigned busno, unsigned devfn, unsigned offset,
                          uint32_t value, unsigned size)
{
    VitPciFunction *fn = find(bus->root, busno, devfn);

    if (fn && size <= 4)
        pci_function_write(fn, offset, value, size);
}

/* ---- Interrupt lines ------------------------------------------------------------------------- */

void pci_bus_set_line(VitPciBus *bus, unsigned devfn, unsigned pin, bool was, bool level)
{
    while (bus->bridge) { /* each bridge turns the pins by the slot (PCI-PCI bridge 1.2, 9.1) */
        pin = ((devfn >> 3) + pin - 1) % 4 + 1;
        devfn = bus->bridge->devfn;
        bus = bus->bridge->bus;
    }
    unsigned line = bus->host.map_irq ? bus->host.map_irq(bus->host.opaque, devfn, pin)
                                      : ((devfn >> 3) + pin - 1) & 3;
    if (line >= PCI_LINES)
        return;
    unsigned *count = &bus->line_count[line];
    *count = *count - (was && *count ? 1 : 0) + (level ? 1 : 0);
    if (bus->host.set_irq)
        bus->host.set_irq(bus->host.opaque, line, *count > 0);
}

/* ---- Messages -------------------------------------------------------------------------------- */

typedef struct { VitSystem *sys; uint64_t address; uint32_t data; } LateMessage;

static void send_late(void *opaque)
{
    g_autofree LateMessage *late = opaque;
    (void) vit_as_store(late->sys->memory, late->address, late->data, 4);
}

void pci_bus_send_msi(VitPciBus *bus, uint64_t address, uint32_t data)
{
    VitSystem *sys = bus->host.sys;

    if (bus->host.send_msi) {
        bus->host.send_msi(bus->host.opaque, address, data);
    } else if (g_rec_mutex_trylock(&sys->lock)) {
        (void) vit_as_store(sys->memory, address, data, 4);
        g_rec_mutex_unlock(&sys->lock);
    } else {
        LateMessage *late = g_new(LateMessage, 1);
        *late = (LateMessage) { sys, address, data };
        vit_io_thread_call(sys->thread, send_late, late);
    }
}
