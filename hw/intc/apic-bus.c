/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/apic-bus.c - delivery between APICs (Intel SDM vol. 3A, 11.6.2 destinations, 11.11 MSI)
 * Not modelled: the focus processor, arbitration IDs. */
#include "hw/intc/apic-bus.h"

/* The candidate of lowest processor priority; equal ones take turns. */
static VitDevice *lowest(VitApicBus *bus, const VitApicMessage *message)
{
    VitDevice *best = NULL;
    unsigned best_priority = 256, best_index = 0;
    for (unsigned i = 0; i < bus->n_lapics; i++) {
        unsigned n = (bus->last_lowest + 1 + i) % bus->n_lapics;
        VitDevice *lapic = bus->lapics[n];
        if (!vit_lapic_matches(lapic, message) || !vit_lapic_software_enabled(lapic))
            continue;
        unsigned priority = vit_lapic_processor_priority(lapic) >> 4;
        if (priority < best_priority) {
            best = lapic;
            best_priority = priority;
            best_index = n;
        }
    }
    if (best)
        bus->last_lowest = best_index;
    return best;
}

void vit_apic_bus_send(VitApicBus *bus, const VitApicMessage *message)
{
    if (message->mode == VIT_APIC_LOWEST) {
        VitDevice *lapic = lowest(bus, message);
        VitApicMessage fixed = *message;
        fixed.mode = VIT_APIC_FIXED;
        if (lapic)
            vit_lapic_deliver(lapic, &fixed);
        return;
    }
    for (unsigned i = 0; i < bus->n_lapics; i++)
        if (vit_lapic_matches(bus->lapics[i], message))
            vit_lapic_deliver(bus->lapics[i], message);
}

void vit_apic_bus_msi(VitApicBus *bus, uint64_t address, uint32_t data)
{
    VitApicMode mode = (VitApicMode) (data >> 8 & 7);
    VitApicMessage message = {
        .dest = address >> 12 & 0xff, .mode = mode, .vector = data & 0xff,
        .logical = address >> 2 & 1, .level = data >> 15 & 1,
    };
    if ((address >> 3 & 1) && mode == VIT_APIC_FIXED && message.logical)    /* redirection hint */
        message.mode = VIT_APIC_LOWEST;
    vit_apic_bus_send(bus, &message);
}

void vit_apic_bus_set_extint(VitApicBus *bus, bool level)
{
    for (unsigned i = 0; i < bus->n_lapics; i++)
        vit_lapic_set_lint0(bus->lapics[i], level);
}
