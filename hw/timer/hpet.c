/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/hpet.c - three timers over a 100 MHz counter (Intel IA-PC HPET specification 1.0a,
 * chapter 2) Wires: window 400h bytes, registers of 4 bytes (a 64-bit access is two); outputs as
 * hpet.h says. The counter is a function of virtual time.  Not modelled: interrupts as messages
 * (FSB). */
#include "hw/timer/hpet.h"

enum { N_TIMERS = 3, TICK_NS = 10, PERIOD_FS = 10000000 };
enum {
    CONF_ENABLE = 1 << 0, CONF_LEGACY = 1 << 1,
    TN_LEVEL = 1 << 1, TN_ENABLE = 1 << 2, TN_PERIODIC = 1 << 3, TN_CAN_PERIODIC = 1 << 4,
    TN_64 = 1 << 5,
    TN_VAL_SET = 1 << 6, TN_32MODE = 1 << 8, TN_ROUTE_SHIFT = 9,
    TN_RW = TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_VAL_SET | TN_32MODE | 0x1f << TN_ROUTE_SHIFT,
    ID_LOW = 0x80860000 | 1 << 15 | 1 << 13 | (N_TIMERS - 1) << 8 | 1,
};
static const uint64_t SHORTEST_TICKS = 2000; /* 20 us: what a guest can make the host do */
static const uint64_t FARTHEST_TICKS = 1ull << 58;

typedef struct {
    uint64_t comparator, period;
    uint32_t conf;
} Comparator;

typedef struct Hpet Hpet;
typedef struct { Hpet *hpet; unsigned n; } TimerRef;

struct Hpet {
    VitDevice parent;
    VitTimer *timers[N_TIMERS];     /* owned */
    TimerRef refs[N_TIMERS];
    struct {
        Comparator timer[N_TIMERS];
        uint64_t counter;           /* while halted; while running, its value at virtual time 0 */
        uint32_t conf, status;
    } st;
};

static bool running(const Hpet *h)
{
    return h->st.conf & CONF_ENABLE;
}

static uint64_t time_ticks(const Hpet *h)
{
    return (uint64_t) vit_clock_now(h->parent.sys->clock) / TICK_NS;
}

static uint64_t counter(const Hpet *h)
{
    return h->st.counter + (running(h) ? time_ticks(h) : 0);
}

static uint64_t mask_of(const Comparator *t)
{
    return t->conf & TN_32MODE ? UINT32_MAX : UINT64_MAX;
}

static unsigned line_of(const Hpet *h, unsigned n)
{
    if ((h->st.conf & CONF_LEGACY) && n < 2)
        return n ? 8 : 0;
    return h->st.timer[n].conf >> TN_ROUTE_SHIFT & 0x1f;
}

static bool line_exists(const Hpet *h, unsigned n)
{
    bool legacy = (h->st.conf & CONF_LEGACY) && n < 2;
    return legacy || (line_of(h, n) < VIT_HPET_LINES && (VIT_HPET_ROUTES >> line_of(h, n) & 1));
}

static void hpet_update(VitDevice *d)
{
    Hpet *h = (Hpet *) d;
    uint32_t lines = 0;
    for (unsigned n = 0; n < N_TIMERS; n++)
        if ((h->st.status >> n & 1) && (h->st.timer[n].conf & TN_ENABLE) && line_exists(h, n))
            lines |= 1u << line_of(h, n);
    for (unsigned i = 0; i < VIT_HPET_LINES; i++)
        vit_irq_set(d, i, lines >> i & 1);
    vit_irq_set(d, VIT_HPET_LEGACY, h->st.conf & CONF_LEGACY);
}

/* A periodic comparator has moved on by itself past every match up to now. */
static void catch_up(Hpet *h, Comparator *t)
{
    uint64_t mask = mask_of(t), period = t->period & mask,
    late = (counter(h) - t->comparator) & mask;
    if (!(t->conf & TN_PERIODIC) || !period || !running(h) || late > mask / 2)
        return;
    uint64_t steps = late / period + 1;
    if (period < SHORTEST_TICKS)
        steps += SHORTEST_TICKS / period;
    t->comparator = (t->comparator + steps * period) & mask;
}

/* Ticks until the comparator matches; a match that has just been served is a whole turn away.  A
 * timer that interrupts nobody needs no waking: its comparator catches up when it is looked at. */
static void arm(Hpet *h, unsigned n, bool served)
{
    Comparator *t = &h->st.timer[n];
    uint64_t mask = mask_of(t);
    if (served || !(t->conf & TN_ENABLE))
        catch_up(h, t);
    uint64_t delta = (t->comparator - counter(h)) & mask;
    if (served && delta == 0)
        delta = mask;
    if (!running(h) || !(t->conf & TN_ENABLE) || delta > FARTHEST_TICKS)
        vit_timer_cancel(h->timers[n]);
    else
        vit_timer_set(h->timers[n], (int64_t) ((time_ticks(h) + delta) * TICK_NS));
}

static void arm_all(Hpet *h)
{
    for (unsigned n = 0; n < N_TIMERS; n++)
        arm(h, n, false);
}

static void fired(void *opaque)
{
    const TimerRef *ref = opaque;
    Hpet *h = ref->hpet;
    unsigned n = ref->n;
    const Comparator *t = &h->st.timer[n];
    if (t->conf & TN_LEVEL)
        h->st.status |= 1u << n;
    else if ((t->conf & TN_ENABLE) && line_exists(h, n))
        vit_irq_pulse(&h->parent, line_of(h, n));
    arm(h, n, true);
    hpet_update(&h->parent);
}

static uint64_t read_id(VitDevice *d, uint32_t offset)
{
    return offset ? PERIOD_FS : (uint32_t) ID_LOW;
}

static void wrote_conf(VitDevice *d, uint32_t offset, uint64_t old)
{
    Hpet *h = (Hpet *) d;
    if ((old ^ h->st.conf) & CONF_ENABLE)       /* the counter goes on from where it stands */
        h->st.counter += running(h) ? -time_ticks(h) : time_ticks(h);
    arm_all(h);
}

static uint64_t read_counter(VitDevice *d, uint32_t offset)
{
    uint64_t now = counter((Hpet *) d);
    return offset & 4 ? now >> 32 : now & UINT32_MAX;
}

static uint64_t with_half(uint64_t old, uint32_t offset, uint64_t value)
{
    return offset & 4 ? (old & UINT32_MAX) | value << 32 : (old & ~(uint64_t) UINT32_MAX) |
        (value & UINT32_MAX);
}

static void write_counter(VitDevice *d, uint32_t offset, uint64_t value)
{
    Hpet *h = (Hpet *) d;
    h->st.counter = with_half(counter(h), offset, value) - (running(h) ? time_ticks(h) : 0);
    arm_all(h);
}

static unsigned timer_of(uint32_t offset)
{
    return (offset - 0x100) / 0x20;
}

static uint64_t read_tn_conf(VitDevice *d, uint32_t offset)
{
    const Hpet *h = (const Hpet *) d;
    if (offset & 4)
        return VIT_HPET_ROUTES;
    return h->st.timer[timer_of(offset)].conf | TN_CAN_PERIODIC | TN_64;
}

static void write_tn_conf(VitDevice *d, uint32_t offset, uint64_t value)
{
    Hpet *h = (Hpet *) d;
    unsigned n = timer_of(offset);
    catch_up(h, &h->st.timer[n]);       /* by the rules that held until now */
    h->st.timer[n].conf = (uint32_t) value & TN_RW;
    if (!(value & TN_LEVEL))
        h->st.status &= ~(1u << n);
    arm(h, n, false);
}

static uint64_t read_comparator(VitDevice *d, uint32_t offset)
{
    Hpet *h = (Hpet *) d;
    Comparator *t = &h->st.timer[timer_of(offset)];
    if (!(t->conf & TN_ENABLE))
        catch_up(h, t);
    uint64_t value = t->comparator;
    return offset & 4 ? value >> 32 : value & UINT32_MAX;
}

static void write_comparator(VitDevice *d, uint32_t offset, uint64_t value)
{
    Hpet *h = (Hpet *) d;
    unsigned n = timer_of(offset);
    Comparator *t = &h->st.timer[n];
    if (!(t->conf & TN_PERIODIC) || (t->conf & TN_VAL_SET))
        t->comparator = with_half(t->comparator, offset, value);
    if (t->conf & TN_PERIODIC)
        t->period = with_half(t->period, offset, value);
    t->conf &= ~(uint32_t) TN_VAL_SET;
    arm(h, n, false);
}

static bool hpet_init(VitDevice *d, GError **error)
{
    Hpet *h = (Hpet *) d;
    for (unsigned n = 0; n < N_TIMERS; n++) {
        h->refs[n] = (TimerRef) { h, n };
        h->timers[n] = vit_timer_new(d->sys->clock, fired, &h->refs[n]);
    }
    return true;
}

static void hpet_finish(VitDevice *d)
{
    for (unsigned n = 0; n < N_TIMERS; n++)
        vit_timer_free(((Hpet *) d)->timers[n]);
}

static const VitReg hpet_regs[] = {
    { 0x000, VIT_ANY_BANK, "GCAP_ID", .count = 2, .read = read_id },
    { 0x010, VIT_ANY_BANK, "GEN_CONF", VIT_AT(Hpet, st.conf), .rw = CONF_ENABLE | CONF_LEGACY,
      .wrote = wrote_conf },
    { 0x020, VIT_ANY_BANK, "GINTR_STA", VIT_AT(Hpet, st.status), .w1c = 7 },
    { 0x0f0, VIT_ANY_BANK, "MAIN_CNT", .count = 2, .read = read_counter, .write = write_counter },
    { 0x100, VIT_ANY_BANK, "Tn_CONF", .count = N_TIMERS, .stride = 0x20, .read = read_tn_conf,
      .write = write_tn_conf },
    { 0x104, VIT_ANY_BANK, "Tn_ROUTES", .count = N_TIMERS, .stride = 0x20, .read = read_tn_conf },
    { 0x108, VIT_ANY_BANK, "Tn_COMP low", .count = N_TIMERS, .stride = 0x20,
      .read = read_comparator,
      .write = write_comparator },
    { 0x10c, VIT_ANY_BANK, "Tn_COMP high", .count = N_TIMERS, .stride = 0x20,
      .read = read_comparator,
      .write = write_comparator },
};
static const VitField comparator_fields[] = {
    VIT_UINT(Comparator, comparator, .reset = UINT64_MAX), VIT_UINT(Comparator, period),
    VIT_UINT(Comparator, conf, .max = TN_RW), { VIT_END },
};
static const VitField hpet_hidden[] = {
    VIT_STRUCTS(Hpet, st.timer, comparator_fields), VIT_UINT(Hpet, st.counter),
    VIT_TIMER(Hpet, timers[0]),
    VIT_TIMER(Hpet, timers[1]), VIT_TIMER(Hpet, timers[2]), { VIT_END },
};

const VitDeviceClass vit_hpet_class = {
    .name = "hpet", .description = "high precision event timers", .version = 1, VIT_STATE(Hpet, st),
    .mmio_size = VIT_HPET_SIZE, .reg_size = 4, .n_irqs = VIT_HPET_LINES + 1, VIT_REGS(hpet_regs),
    .hidden = hpet_hidden, .init = hpet_init, .finish = hpet_finish, .update = hpet_update,
};
