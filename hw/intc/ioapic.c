/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/ioapic.c - I/O APIC (Intel 82093AA, 290566-001, chapter 3; EOI register: ICH9 datasheet,
 * 13.5.1)
 * Wires: window 4 KiB; inputs 0..23.  Inputs are active high whatever the polarity bit says: the
 * board has no inverters to describe. */
#include "hw/intc/ioapic.h"

enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_REDIRECTION = 0x10, VERSION = 0x20 };
#define ENTRY_RO    (1ull << 12 | 1ull << 14)       /* delivery status, remote IRR */
#define ENTRY_IRR   (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASK  (1ull << 16)
#define ENTRY_RW    (0xff0000000001ffffull & ~ENTRY_RO)

typedef struct {
    VitDevice parent;
    VitApicBus *bus;            /* borrowed; NULL: nothing is delivered */
    struct {
        uint64_t entry[VIT_IOAPIC_PINS];
        uint32_t lines;         /* levels of the inputs */
        uint32_t select;
        uint8_t id;
    } st;
} IoApic;

static void send(IoApic *a, unsigned pin)
{
    uint64_t e = a->st.entry[pin];
    if (!a->bus)
        return;
    VitApicMessage message = {
        .dest = (uint32_t) (e >> 56), .mode = (VitApicMode) (e >> 8 & 7), .vector = e & 0xff,
        .logical = e >> 11 & 1, .level = e & ENTRY_LEVEL,
    };
    vit_apic_bus_send(a->bus, &message);
}

/* A level input that stands and is not in service is delivered. */
static void check_level(IoApic *a, unsigned pin)
{
    uint64_t e = a->st.entry[pin];
    if (!(e & ENTRY_LEVEL) || (e & (ENTRY_MASK | ENTRY_IRR)) || !(a->st.lines & 1u << pin))
        return;
    a->st.entry[pin] |= ENTRY_IRR;
    send(a, pin);
}

static void ioapic_input(VitDevice *d, unsigned n, bool level)
{
    IoApic *a = (IoApic *) d;
    uint32_t bit = 1u << n, before = a->st.lines;
    a->st.lines = level ? before | bit : before & ~bit;
    uint64_t e = a->st.entry[n];
    if (e & ENTRY_LEVEL)
        check_level(a, n);
    else if (level && !(before & bit) && !(e & ENTRY_MASK))
        send(a, n);
}

static void end_of_interrupt(void *opaque, uint8_t vector)
{
    IoApic *a = opaque;
    for (unsigned pin = 0; pin < VIT_IOAPIC_PINS; pin++) {
        uint64_t e = a->st.entry[pin];
        if ((e & ENTRY_IRR) && (e & 0xff) == vector) {
            a->st.entry[pin] = e & ~ENTRY_IRR;
            check_level(a, pin);
        }
    }
}

void vit_ioapic_connect(VitDevice *ioapic, VitApicBus *bus)
{
    ((IoApic *) ioapic)->bus = bus;
    bus->eoi = end_of_interrupt;
    bus->eoi_opaque = ioapic;
}

static uint64_t read_window(VitDevice *d, uint32_t offset)
{
    IoApic *a = (IoApic *) d;
    unsigned select = a->st.select;
    if (select == REG_ID || select == REG_ARBITRATION)
        return (uint64_t) a->st.id << 24;
    if (select == REG_VERSION)
        return VERSION | (VIT_IOAPIC_PINS - 1) << 16;
    unsigned pin = (select - REG_REDIRECTION) / 2;
    if (select < REG_REDIRECTION || pin >= VIT_IOAPIC_PINS)
        return 0;
    return select & 1 ? a->st.entry[pin] >> 32 : a->st.entry[pin] & UINT32_MAX;
}

static void write_window(VitDevice *d, uint32_t offset, uint64_t value)
{
    IoApic *a = (IoApic *) d;
    unsigned select = a->st.select;
    if (select == REG_ID) {
        a->st.id = value >> 24 & 15;
        return;
    }
    unsigned pin = (select - REG_REDIRECTION) / 2;
    if (select < REG_REDIRECTION || pin >= VIT_IOAPIC_PINS)
        return;
    uint64_t old = a->st.entry[pin];
    uint64_t next = select & 1 ? (old & UINT32_MAX) | value << 32 : (old & ~(uint64_t) UINT32_MAX) |
        (value & UINT32_MAX);
    next = (next & ENTRY_RW) | (old & ENTRY_RO);
    if (!(next & ENTRY_LEVEL))              /* an edge entry has no remote IRR */
        next &= ~ENTRY_IRR;
    a->st.entry[pin] = next;
    check_level(a, pin);
}

static void write_eoi(VitDevice *d, uint32_t offset, uint64_t value)
{
    end_of_interrupt(d, (uint8_t) value);
}

static const VitReg ioapic_regs[] = {
    { 0x00, VIT_ANY_BANK, "IOREGSEL", VIT_AT(IoApic, st.select), .rw = 0xff },
    { 0x10, VIT_ANY_BANK, "IOWIN", .size = 4, .read = read_window, .write = write_window },
    { 0x40, VIT_ANY_BANK, "EOIR", .size = 4, .write = write_eoi },
};
static const VitField ioapic_hidden[] = {
    VIT_UINTS(IoApic, st.entry, .reset = ENTRY_MASK), VIT_UINT(IoApic, st.lines, .max = 0xffffff),
    VIT_UINT(IoApic, st.id, .max = 15), { VIT_END },
};

const VitDeviceClass vit_ioapic_class = {
    .name = "ioapic", .description = "82093AA I/O APIC", .version = 1, VIT_STATE(IoApic, st),
    .mmio_size = 0x1000, .reg_size = 4, .n_inputs = VIT_IOAPIC_PINS, VIT_REGS(ioapic_regs),
    .hidden = ioapic_hidden, .input = ioapic_input,
};
