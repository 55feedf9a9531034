/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/lapic.c - local APIC (Intel SDM vol. 3A, chapter 11; order 325384-083)
 * Wires: window 4 KiB, private to the processor; LINT0 from the 8259 pair through the bus.
 * Not modelled: APIC bus arbitration, the CMCI entry, thermal and performance events (their LVT
 * entries hold what is written).  The timer counts at 1 GHz before the divider. */
#include "hw/intc/lapic.h"
#include "hw/intc/apic-bus.h"
#include <string.h>

enum {
    REG_ID = 0x20, REG_LDR = 0xd0, REG_DFR = 0xe0, REG_EOI = 0xb0, REG_ESR = 0x280,
    REG_ICR_LOW = 0x300,
    REG_ICR_HIGH = 0x310, REG_LVT = 0x320, REG_SELF_IPI = 0x3f0,
    LVT_TIMER = 0, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, N_LVT,
    LVT_MASK = 1 << 16, LVT_PENDING = 1 << 12, LVT_IRR = 1 << 14, LVT_LEVEL = 1 << 15,
    LVT_MODES = 0x60000, LVT_ONE_SHOT = 0, LVT_PERIODIC = 0x20000, LVT_DEADLINE = 0x40000,
    SVR_ENABLE = 1 << 8, SVR_NO_BROADCAST = 1 << 12,
    ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVE_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7,
    VERSION = 0x14 | (N_LVT - 1) << 16 | 1 << 24,   /* EOI broadcast can be suppressed */
};
#define BASE_BSP    (1ull << 8)
#define BASE_X2APIC (1ull << 10)
#define BASE_ENABLE (1ull << 11)
#define BASE_PAGE   0x000ffffffffff000ull
#define BASE_RESET  0xfee00000ull
/* what a guest can make the host do */
static const uint64_t SHORTEST_PERIOD_NS = 20 * VIT_NS_PER_US;

typedef struct {
    VitDevice parent;
    VitApicBus *bus;            /* borrowed; NULL: alone */
    const VitLapicCpuOps *ops;  /* borrowed; NULL: no processor yet */
    void *cpu;
    VitTimer *timer;            /* owned */
    unsigned index;
    bool intr;                  /* what ops->set_intr was last told */
    struct {
        uint64_t base;          /* the MSR; read without the lock by vit_lapic_page() */
        uint64_t tsc_deadline;
        uint64_t timer_start;   /* virtual ns of the last load of the initial count */
        uint32_t isr[8], irr[8], tmr[8];
        uint32_t id;            /* xAPIC ID register, bits 31:24 */
        uint32_t tpr, ldr, dfr, svr, esr, errors, icr_low, icr_high, initial_count, divide;
        uint32_t lvt[N_LVT];
        bool lint0;             /* level of the pin */
        bool extint;            /* an ExtINT message that has not been acknowledged */
    } st;
} Lapic;

/* ---- Priorities ------------------------------------------------------------------------------ */

static int highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return i * 32 + 31 - __builtin_clz(bits[i]);
    return -1;
}

static void set_bit(uint32_t bits[8], uint8_t vector, bool on)
{
    uint32_t bit = 1u << (vector & 31);
    bits[vector >> 5] = on ? bits[vector >> 5] | bit : bits[vector >> 5] & ~bit;
}

static bool test_bit(const uint32_t bits[8], uint8_t vector)
{
    return bits[vector >> 5] >> (vector & 31) & 1;
}

static uint8_t ppr(const Lapic *a)
{
    int service = highest(a->st.isr);
    unsigned isrv = service < 0 ? 0 : (unsigned) service & 0xf0;
    return (uint8_t) ((a->st.tpr & 0xf0) >= isrv ? a->st.tpr : isrv);
}

static bool globally_enabled(const Lapic *a)
{
    return a->st.base & BASE_ENABLE;
}

static bool software_enabled(const Lapic *a)
{
    return globally_enabled(a) && (a->st.svr & SVR_ENABLE);
}

static bool x2apic(const Lapic *a)
{
    return (a->st.base & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
}

static int deliverable(const Lapic *a)
{
    if (!software_enabled(a))
        return -1;
    int vector = highest(a->st.irr);
    return vector >= 0 && (vector & 0xf0) > (ppr(a) & 0xf0) ? vector : -1;
}

/* The 8259's request passes a LINT0 that is in ExtINT mode, or a disabled APIC. */
static bool pic_passes(const Lapic *a)
{
    if (!a->st.lint0)
        return false;
    if (!globally_enabled(a))
        return a->st.base & BASE_BSP;
    uint32_t lvt = a->st.lvt[LVT_LINT0];
    return !(lvt & LVT_MASK) && (lvt >> 8 & 7) == VIT_APIC_EXTINT;
}

static void lapic_update(VitDevice *d)
{
    Lapic *a = (Lapic *) d;
    bool level = a->st.extint || pic_passes(a) || deliverable(a) >= 0;
    if (level != a->intr) {
        a->intr = level;
        if (a->ops)
            a->ops->set_intr(a->cpu, level);
    }
}

int vit_lapic_ack(VitDevice *lapic)
{
    Lapic *a = (Lapic *) lapic;
    int vector = -1;
    if (a->st.extint || pic_passes(a)) {
        a->st.extint = false;
        vector = a->bus && a->bus->pic_ack ? a->bus->pic_ack(a->bus->pic_opaque) : -1;
    } else if ((vector = deliverable(a)) >= 0) {
        set_bit(a->st.irr, (uint8_t) vector, false);
        set_bit(a->st.isr, (uint8_t) vector, true);
    }
    lapic_update(lapic);
    return vector;
}

bool vit_lapic_intr(VitDevice *lapic)
{
    return ((Lapic *) lapic)->intr;
}

/* ---- Interrupts in --------------------------------------------------------------------------- */

static void local_interrupt(Lapic *a, unsigned n);

static void note_error(Lapic *a, uint32_t error)
{
    bool news = !(a->st.errors & error);
    a->st.errors |= error;
    if (news && error != ESR_RECEIVE_VECTOR) /* an illegal LVT_ERROR vector must not recurse */
        local_interrupt(a, LVT_ERROR);
}

static void accept(Lapic *a, uint8_t vector, bool level)
{
    if (!software_enabled(a))
        return;
    if (vector < 16) {
        note_error(a, ESR_RECEIVE_VECTOR);
        return;
    }
    set_bit(a->st.irr, vector, true);
    set_bit(a->st.tmr, vector, level);
}

void vit_lapic_deliver(VitDevice *lapic, const VitApicMessage *message)
{
    Lapic *a = (Lapic *) lapic;
    switch (message->mode) {
    case VIT_APIC_FIXED:
    case VIT_APIC_LOWEST:
        accept(a, message->vector, message->level);
        break;
    case VIT_APIC_EXTINT:
        a->st.extint = true;
        break;
    case VIT_APIC_SMI:
        if (a->ops)
            a->ops->smi(a->cpu);
        break;
    case VIT_APIC_NMI:
        if (a->ops)
            a->ops->nmi(a->cpu);
        break;
    case VIT_APIC_INIT:
        if (a->ops)
            a->ops->init(a->cpu);
        break;
    case VIT_APIC_STARTUP:
        if (a->ops)
            a->ops->sipi(a->cpu, message->vector);
        break;
    default:
        break;
    }
    lapic_update(lapic);
}

static void local_interrupt(Lapic *a, unsigned n)
{
    uint32_t lvt = a->st.lvt[n];
    if (lvt & LVT_MASK)
        return;
    unsigned mode = n == LVT_TIMER || n == LVT_ERROR ? VIT_APIC_FIXED : lvt >> 8 & 7;
    if (mode == VIT_APIC_FIXED)
        accept(a, lvt & 0xff, false);
    else if (mode == VIT_APIC_NMI && a->ops)
        a->ops->nmi(a->cpu);
}

void vit_lapic_set_lint0(VitDevice *lapic, bool level)
{
    Lapic *a = (Lapic *) lapic;
    bool rose = level && !a->st.lint0;
    a->st.lint0 = level;
    if (rose && (a->st.lvt[LVT_LINT0] >> 8 & 7) != VIT_APIC_EXTINT)
        local_interrupt(a, LVT_LINT0);
    lapic_update(lapic);
}

static uint32_t full_id(const Lapic *a)
{
    return x2apic(a) ? a->index : a->st.id >> 24;
}

static uint32_t x2apic_ldr(const Lapic *a)
{
    return (a->index >> 4) << 16 | 1u << (a->index & 15);
}

bool vit_lapic_matches(VitDevice *lapic, const VitApicMessage *m)
{
    const Lapic *a = (const Lapic *) lapic;
    if (!globally_enabled(a))
        return false;
    if (m->dest == (m->x2apic ? UINT32_MAX : 0xff))
        return true;
    if (!m->logical)
        return m->dest == full_id(a);
    if (x2apic(a)) {
        uint32_t ldr = x2apic_ldr(a);
        if (m->x2apic)
            return m->dest >> 16 == ldr >> 16 && (m->dest & ldr & 0xffff);
        return ldr >> 16 == 0 && (m->dest & ldr & 0xff);    /* flat: cluster 0 of an 8-bit source */
    }
    uint8_t ldr = (uint8_t) (a->st.ldr >> 24), dest = (uint8_t) m->dest;
    if (a->st.dfr >> 28 == 15)
        return dest & ldr;
    return dest >> 4 == ldr >> 4 && (dest & ldr & 15);
}

uint8_t vit_lapic_processor_priority(VitDevice *lapic)
{
    return ppr((Lapic *) lapic);
}

bool vit_lapic_software_enabled(VitDevice *lapic)
{
    return software_enabled((Lapic *) lapic);
}

/* ---- Interrupts out -------------------------------------------------------------------------- */

static void send_ipi(Lapic *a, uint32_t low, uint32_t dest)
{
    enum { SELF = 1, ALL, OTHERS };
    VitApicMessage m = {
        .dest = dest, .mode = (VitApicMode) (low >> 8 & 7), .vector = low & 0xff,
        .logical = low >> 11 & 1, .x2apic = x2apic(a),
    };
    unsigned shorthand = low >> 18 & 3;
    if (m.mode == VIT_APIC_INIT && (low & LVT_LEVEL) && !(low & 1 << 14))
        return;                                     /* INIT level de-assert: nothing since P6 */
    if (m.mode <= VIT_APIC_LOWEST && m.vector < 16) {
        note_error(a, ESR_SEND_VECTOR);
        return;
    }
    if (shorthand == SELF) {
        vit_lapic_deliver(&a->parent, &m);
        return;
    }
    if (!a->bus)
        return;
    if (shorthand == 0) {
        vit_apic_bus_send(a->bus, &m);
        return;
    }
    for (unsigned i = 0; i < a->bus->n_lapics; i++) {
        Lapic *other = (Lapic *) a->bus->lapics[i];
        if ((shorthand == ALL || other != a) && globally_enabled(other))
            vit_lapic_deliver(&other->parent, &m);
    }
}

static void write_eoi(VitDevice *d, uint32_t offset, uint64_t value)
{
    Lapic *a = (Lapic *) d;
    int vector = highest(a->st.isr);
    if (vector < 0)
        return;
    set_bit(a->st.isr, (uint8_t) vector, false);
    if (test_bit(a->st.tmr, (uint8_t) vector) && !(a->st.svr & SVR_NO_BROADCAST) && a->bus &&
        a->bus->eoi)
        a->bus->eoi(a->bus->eoi_opaque, (uint8_t) vector);
}

/* ---- Timer ----------------------------------------------------------------------------------- */

static uint64_t tick_ns(const Lapic *a)             /* 1 GHz over the divider */
{
    unsigned code = (a->st.divide & 3) | (a->st.divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

static uint32_t timer_mode(const Lapic *a)
{
    return a->st.lvt[LVT_TIMER] & LVT_MODES;
}

static uint64_t elapsed_ticks(const Lapic *a)
{
    uint64_t now = (uint64_t) vit_clock_now(a->parent.sys->clock);
    return now <= a->st.timer_start ? 0 : (now - a->st.timer_start) / tick_ns(a);
}

static void arm_timer(Lapic *a)
{
    int64_t at = VIT_TIMER_OFF;
    if (timer_mode(a) == LVT_DEADLINE) {
        if (a->st.tsc_deadline && a->ops && a->ops->tsc_to_ns)
            at = a->ops->tsc_to_ns(a->cpu, a->st.tsc_deadline);
    } else if (a->st.initial_count) {
        uint64_t length = a->st.initial_count * tick_ns(a), passed = elapsed_ticks(a) * tick_ns(a);
        if (timer_mode(a) == LVT_PERIODIC) {
            if (length < SHORTEST_PERIOD_NS)
                length = (SHORTEST_PERIOD_NS + length - 1) / length * length;
            at = (int64_t) (a->st.timer_start + (passed / length + 1) * length);
        } else if (passed < length) {
            at = (int64_t) (a->st.timer_start + length);
        }
    }
    vit_timer_set(a->timer, at);
}

static void timer_fired(void *opaque)
{
    Lapic *a = opaque;
    if (timer_mode(a) == LVT_DEADLINE)
        a->st.tsc_deadline = 0;
    local_interrupt(a, LVT_TIMER);
    if (timer_mode(a) == LVT_PERIODIC)
        arm_timer(a);
    lapic_update(&a->parent);
}

static uint64_t read_current_count(VitDevice *d, uint32_t offset)
{
    const Lapic *a = (const Lapic *) d;
    uint64_t initial = a->st.initial_count, ticks = elapsed_ticks(a);
    if (initial == 0 || timer_mode(a) == LVT_DEADLINE)
        return 0;
    if (timer_mode(a) == LVT_PERIODIC)
        return initial - ticks % initial;
    return ticks >= initial ? 0 : initial - ticks;
}

static void wrote_initial_count(VitDevice *d, uint32_t offset, uint64_t old)
{
    Lapic *a = (Lapic *) d;
    if (timer_mode(a) == LVT_DEADLINE) {
        a->st.initial_count = (uint32_t) old;
        return;
    }
    a->st.timer_start = (uint64_t) vit_clock_now(d->sys->clock);
    arm_timer(a);
}

static void wrote_divide(VitDevice *d, uint32_t offset, uint64_t old)
{
    arm_timer((Lapic *) d);
}

/* ---- Registers ------------------------------------------------------------------------------- */

static uint64_t read_id(VitDevice *d, uint32_t offset)
{
    const Lapic *a = (const Lapic *) d;
    return x2apic(a) ? a->index : a->st.id;
}

static uint64_t read_version(VitDevice *d, uint32_t offset)
{
    return VERSION;
}

static uint64_t read_ppr(VitDevice *d, uint32_t offset)
{
    return ppr((Lapic *) d);
}

static uint64_t read_ldr(VitDevice *d, uint32_t offset)
{
    const Lapic *a = (const Lapic *) d;
    return x2apic(a) ? x2apic_ldr(a) : a->st.ldr;
}

static void wrote_svr(VitDevice *d, uint32_t offset, uint64_t old)
{
    Lapic *a = (Lapic *) d;
    if (!(a->st.svr & SVR_ENABLE))
        for (unsigned i = 0; i < N_LVT; i++)
            a->st.lvt[i] |= LVT_MASK;
}

static void write_esr(VitDevice *d, uint32_t offset, uint64_t value)
{
    Lapic *a = (Lapic *) d;
    a->st.esr = a->st.errors;
    a->st.errors = 0;
}

static void write_icr_low(VitDevice *d, uint32_t offset, uint64_t value)
{
    Lapic *a = (Lapic *) d;
    a->st.icr_low = (uint32_t) value & 0xccfff;
    send_ipi(a, a->st.icr_low, a->st.icr_high >> 24);
}

static void write_lvt(VitDevice *d, uint32_t offset, uint64_t value)
{
    static const uint32_t writable[N_LVT] = { 0x710ff, 0x117ff, 0x117ff, 0x1b7ff, 0x1b7ff,
                                              0x110ff };
    Lapic *a = (Lapic *) d;
    unsigned n = (offset - REG_LVT) / 16;
    uint32_t old = a->st.lvt[n];
    a->st.lvt[n] = (uint32_t) value & writable[n] & ~(uint32_t) LVT_PENDING;
    if (!(a->st.svr & SVR_ENABLE))
        a->st.lvt[n] |= LVT_MASK;
    if (n == LVT_TIMER && ((old ^ a->st.lvt[n]) & LVT_MODES)) {
        a->st.tsc_deadline = 0;
        if (((old ^ a->st.lvt[n]) & LVT_DEADLINE))
            a->st.initial_count = 0;
        arm_timer(a);
    }
}

/* ---- The processor's side -------------------------------------------------------------------- */

void vit_lapic_set_cpu(VitDevice *lapic, const VitLapicCpuOps *ops, void *cpu)
{
    Lapic *a = (Lapic *) lapic;
    a->ops = ops;
    a->cpu = cpu;
    if (ops)
        ops->set_intr(cpu, a->intr);
}

void vit_lapic_connect(VitDevice *lapic, VitApicBus *bus, unsigned index)
{
    Lapic *a = (Lapic *) lapic;
    a->bus = bus;
    a->index = index;
    bus->lapics[index] = lapic;
    bus->n_lapics = MAX(bus->n_lapics, index + 1);
}

uint64_t vit_lapic_page(VitDevice *lapic)
{
    uint64_t base = __atomic_load_n(&((Lapic *) lapic)->st.base, __ATOMIC_RELAXED);
    return (base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE ? base & BASE_PAGE : UINT64_MAX;
}

uint64_t vit_lapic_mmio_read(VitDevice *lapic, uint32_t offset, unsigned size)
{
    return vit_device_read(lapic, offset & 0xfff, size);
}

void vit_lapic_mmio_write(VitDevice *lapic, uint32_t offset, uint64_t value, unsigned size)
{
    vit_device_write(lapic, offset & 0xfff, value, size);
}

static bool write_base(Lapic *a, uint64_t value)
{
    uint64_t old = a->st.base, state = value & (BASE_ENABLE | BASE_X2APIC);
    if ((value & ~(BASE_PAGE | BASE_ENABLE | BASE_X2APIC | BASE_BSP)) || state == BASE_X2APIC)
        return false;
    if ((old & BASE_X2APIC) && state == BASE_ENABLE)    /* x2APIC is left through disabled only */
        return false;
    if (!(old & BASE_ENABLE) && state == (BASE_ENABLE | BASE_X2APIC))
        return false;
    __atomic_store_n(&a->st.base, (value & ~BASE_BSP) | (old & BASE_BSP), __ATOMIC_RELAXED);
    if ((old & BASE_ENABLE) && !(value & BASE_ENABLE))
        vit_lapic_init_reset(&a->parent);
    lapic_update(&a->parent);
    return true;
}

/* Which x2APIC registers there are: SDM table 11-6. */
static bool x2apic_readable(uint32_t offset)
{
    return offset == REG_ID || offset == 0x30 || offset == 0x80 || offset == 0xa0 ||
        offset == REG_LDR ||
           offset == 0xf0 || (offset >= 0x100 && offset <= REG_ESR) ||
           (offset >= REG_LVT && offset <= 0x390) || offset == 0x3e0;
}

static bool x2apic_writable(uint32_t offset, uint64_t value)
{
    if (value >> 32)
        return false;
    if (offset == REG_EOI || offset == REG_ESR)
        return value == 0;
    if (offset == 0x80 || offset == REG_SELF_IPI)
        return value <= 0xff;
    return offset == 0xf0 || (offset >= REG_LVT && offset <= 0x380) || offset == 0x3e0;
}

bool vit_lapic_msr_read(VitDevice *lapic, uint32_t msr, uint64_t *value)
{
    Lapic *a = (Lapic *) lapic;
    if (msr == VIT_LAPIC_MSR_BASE) {
        *value = a->st.base;
        return true;
    }
    if (msr == VIT_LAPIC_MSR_TSC_DEADLINE) {
        *value = timer_mode(a) == LVT_DEADLINE ? a->st.tsc_deadline : 0;
        return true;
    }
    uint32_t offset = (msr - VIT_LAPIC_MSR_X2APIC_FIRST) << 4;
    if (!x2apic(a) || msr < VIT_LAPIC_MSR_X2APIC_FIRST || msr > VIT_LAPIC_MSR_X2APIC_LAST)
        return false;
    if (offset == REG_ICR_LOW) {
        *value = a->st.icr_low | (uint64_t) a->st.icr_high << 32;
        return true;
    }
    if (!x2apic_readable(offset))
        return false;
    *value = vit_device_read(lapic, offset, 4);
    return true;
}

bool vit_lapic_msr_write(VitDevice *lapic, uint32_t msr, uint64_t value)
{
    Lapic *a = (Lapic *) lapic;
    if (msr == VIT_LAPIC_MSR_BASE)
        return write_base(a, value);
    if (msr == VIT_LAPIC_MSR_TSC_DEADLINE) {
        if (timer_mode(a) == LVT_DEADLINE) {
            a->st.tsc_deadline = value;
            arm_timer(a);
        }
        return true;
    }
    uint32_t offset = (msr - VIT_LAPIC_MSR_X2APIC_FIRST) << 4;
    if (!x2apic(a) || msr < VIT_LAPIC_MSR_X2APIC_FIRST || msr > VIT_LAPIC_MSR_X2APIC_LAST)
        return false;
    if (offset == REG_ICR_LOW) {
        if (value & 0xfff33000)
            return false;
        a->st.icr_low = (uint32_t) value;
        a->st.icr_high = (uint32_t) (value >> 32);
        send_ipi(a, a->st.icr_low, a->st.icr_high);
    } else if (!x2apic_writable(offset, value)) {
        return false;
    } else if (offset == REG_SELF_IPI) {
        accept(a, (uint8_t) value, false);
    } else {
        vit_device_write(lapic, offset, value, 4);
    }
    lapic_update(lapic);
    return true;
}

uint8_t vit_lapic_get_cr8(VitDevice *lapic)
{
    return (uint8_t) (((Lapic *) lapic)->st.tpr >> 4 & 15);
}

void vit_lapic_set_cr8(VitDevice *lapic, uint8_t cr8)
{
    ((Lapic *) lapic)->st.tpr = (uint32_t) (cr8 & 15) << 4;
    lapic_update(lapic);
}

uint32_t vit_lapic_id(VitDevice *lapic)
{
    return ((Lapic *) lapic)->index;
}

bool vit_lapic_is_bsp(VitDevice *lapic)
{
    return ((Lapic *) lapic)->st.base & BASE_BSP;
}

bool vit_lapic_globally_enabled(VitDevice *lapic)
{
    return globally_enabled((Lapic *) lapic);
}

/* What INIT and power-up share.  The boot processor is left in virtual wire mode, as the
 * multiprocessor specification wants it from whoever starts the system. */
static void init_state(Lapic *a)
{
    uint64_t base = a->st.base;
    uint32_t id = a->st.id;
    bool lint0 = a->st.lint0;
    /* base, the first, stays */
    memset((uint8_t *) &a->st + sizeof base, 0, sizeof a->st - sizeof base);
    a->st.id = id;
    a->st.lint0 = lint0;
    a->st.dfr = UINT32_MAX;
    a->st.svr = 0xff;
    for (unsigned i = 0; i < N_LVT; i++)
        a->st.lvt[i] = LVT_MASK;
    if (base & BASE_BSP)
        a->st.lvt[LVT_LINT0] = VIT_APIC_EXTINT << 8;
}

void vit_lapic_init_reset(VitDevice *lapic)
{
    Lapic *a = (Lapic *) lapic;
    init_state(a);
    if (!x2apic(a))
        a->st.id = a->index << 24;
    vit_timer_cancel(a->timer);
    lapic_update(lapic);
}

static void lapic_reset(VitDevice *d)
{
    Lapic *a = (Lapic *) d;
    a->st.base = BASE_RESET | BASE_ENABLE | (a->index == 0 ? BASE_BSP : 0);
    a->st.id = a->index << 24;
    init_state(a);
}

static bool lapic_init(VitDevice *d, GError **error)
{
    Lapic *a = (Lapic *) d;
    a->timer = vit_timer_new(d->sys->clock, timer_fired, a);
    return true;
}

static void lapic_finish(VitDevice *d)
{
    vit_timer_free(((Lapic *) d)->timer);
}

#define BITS(field)                                                                                \
    .at = offsetof(Lapic, field) + 1, .size = 4, .count = 8, .stride = 16, .at_stride = 4
static const VitReg lapic_regs[] = {
    { REG_ID, VIT_ANY_BANK, "ID", VIT_AT(Lapic, st.id), .rw = 0xff000000, .read = read_id },
    { 0x30, VIT_ANY_BANK, "VERSION", .read = read_version },
    { 0x80, VIT_ANY_BANK, "TPR", VIT_AT(Lapic, st.tpr), .rw = 0xff },
    { 0xa0, VIT_ANY_BANK, "PPR", .read = read_ppr },
    { REG_EOI, VIT_ANY_BANK, "EOI", .write = write_eoi },
    { REG_LDR, VIT_ANY_BANK, "LDR", VIT_AT(Lapic, st.ldr), .rw = 0xff000000, .read = read_ldr },
    { REG_DFR, VIT_ANY_BANK, "DFR", VIT_AT(Lapic, st.dfr), .rw = 0xf0000000, .ones = 0x0fffffff,
      .reset = UINT32_MAX },
    { 0xf0, VIT_ANY_BANK, "SVR", VIT_AT(Lapic, st.svr), .rw = 0x11ff, .reset = 0xff,
      .wrote = wrote_svr },
    { 0x100, VIT_ANY_BANK, "ISR", BITS(st.isr) },
    { 0x180, VIT_ANY_BANK, "TMR", BITS(st.tmr) },
    { 0x200, VIT_ANY_BANK, "IRR", BITS(st.irr) },
    { REG_ESR, VIT_ANY_BANK, "ESR", VIT_AT(Lapic, st.esr), .write = write_esr },
    { REG_ICR_LOW, VIT_ANY_BANK, "ICR low", VIT_AT(Lapic, st.icr_low), .rw = 0xccfff,
      .write = write_icr_low },
    { REG_ICR_HIGH, VIT_ANY_BANK, "ICR high", VIT_AT(Lapic, st.icr_high), .rw = 0xff000000 },
    { REG_LVT, VIT_ANY_BANK, "LVT", .at = offsetof(Lapic, st.lvt) + 1, .size = 4, .rw = 0x7ffff,
      .reset = LVT_MASK, .count = N_LVT, .stride = 16, .at_stride = 4, .write = write_lvt },
    { 0x380, VIT_ANY_BANK, "INITIAL COUNT", VIT_AT(Lapic, st.initial_count), .rw = UINT32_MAX,
      .wrote = wrote_initial_count },
    { 0x390, VIT_ANY_BANK, "CURRENT COUNT", .read = read_current_count },
    { 0x3e0, VIT_ANY_BANK, "DIVIDE", VIT_AT(Lapic, st.divide), .rw = 0x0b, .wrote = wrote_divide },
};
static const VitField lapic_hidden[] = {
    VIT_UINT(Lapic, st.base), VIT_UINT(Lapic, st.tsc_deadline),
    VIT_UINT(Lapic, st.timer_start, .max = INT64_MAX), VIT_UINT(Lapic, st.errors),
    VIT_BOOL(Lapic, st.lint0, false), VIT_BOOL(Lapic, st.extint, false), VIT_TIMER(Lapic, timer),
    { VIT_END },
};

const VitDeviceClass vit_lapic_class = {
    .name = "lapic", .description = "local APIC", .version = 1, VIT_STATE(Lapic, st),
    .mmio_size = 0x1000, .reg_size = 4, VIT_REGS(lapic_regs), .hidden = lapic_hidden,
    .init = lapic_init, .finish = lapic_finish, .reset = lapic_reset, .update = lapic_update,
};
