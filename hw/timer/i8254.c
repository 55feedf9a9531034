/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/i8254.c - 82C54 interval timer (Intel 231244-006) and NMI status port 61h (82371SB,
 * 2.5.4) Wires: window 4 + 1 bytes; output 0 OUT of counter 0.  The counters are functions of
 * virtual time: nothing ticks.  Not modelled: the speaker's sound, NMI sources of port 61h. */
#include "hw/timer/i8254.h"

#include <glib/gi18n-lib.h>

enum { N_COUNTERS = 3, RW_LATCH = 0, RW_LSB = 1, RW_MSB = 2, RW_WORD = 3 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
enum { NMISC_GATE2 = 0x01, NMISC_REFRESH = 0x10, NMISC_OUT2 = 0x20 };
enum {
    CATCH_UP_TICKS = VIT_I8254_HZ / 4,
    STEP_TICKS = 60,            /* a guest gets no more than one edge in about 50 us */
};

typedef struct {
    uint64_t start;             /* virtual ns at which the present count was loaded */
    uint64_t paused;            /* ticks counted before the gate fell (modes 0 and 4) */
    uint32_t count;             /* 1..65536 (or 10000 in BCD) */
    uint16_t latch;
    uint8_t mode, rw, bcd;
    uint8_t latched;            /* bytes of `latch` still to be read */
    uint8_t status;
    uint8_t write_low;          /* first byte of a word write */
    bool gate;
    bool written;               /* a count has been written since the control word */
    bool running;               /* ... and loaded (modes 1 and 5 wait for the gate's edge) */
    bool status_latched, write_second, read_second;
} Counter;

typedef struct {
    VitDevice parent;
    VitTimer *timer;            /* owned: next rising edge of OUT0 */
    struct {
        Counter counter[N_COUNTERS];
        uint64_t next_edge;     /* in ticks of counter 0 */
        uint8_t nmisc;
    } st;
} Pit;

static int64_t now_ns(Pit *p)
{
    return vit_clock_now(p->parent.sys->clock);
}

static uint64_t ticks_of(const Counter *c, int64_t now)
{
    return (uint64_t) now <= c->start ? 0
        : vit_muldiv64((uint64_t) now - c->start, VIT_I8254_HZ, (uint64_t) VIT_NS_PER_S);
}

static uint64_t ns_of_ticks(uint64_t ticks) /* rounded up */
{
    unsigned __int128 ns = (unsigned __int128) ticks * (uint64_t) VIT_NS_PER_S + VIT_I8254_HZ - 1;
    return (uint64_t) (ns / VIT_I8254_HZ);
}

static bool gate_starts(const Counter *c)
{
    return c->mode == 1 || c->mode == 5;
}

static bool periodic(const Counter *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool counting(const Counter *c)
{
    return c->running && (c->gate || gate_starts(c));
}

static uint64_t position(const Counter *c, int64_t now)
{
    return counting(c) ? ticks_of(c, now) : c->paused;
}

static bool out_level(const Counter *c, int64_t now)
{
    if (!c->running || (periodic(c) && !c->gate))
        return c->mode != 0;
    uint64_t t = position(c, now);
    switch (c->mode) {
    case 0:
    case 1:
        return t >= c->count;
    case 2:
        return t % c->count != c->count - 1 || c->count == 1;
    case 3:
        return t % c->count < (c->count + 1) / 2;
    default:
        return t != c->count;
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t) (v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t v)
{
    return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

static uint16_t count_value(const Counter *c, int64_t now)
{
    uint32_t value = c->count, whole = c->bcd ? 10000 : 65536;
    if (c->running) {
        uint64_t t = position(c, now);
        uint32_t even = MAX(c->count & ~1u, 2u);
        if (c->mode == 2)
            value = c->count - (uint32_t) (t % c->count);
        else if (c->mode == 3)      /* counts by two, twice a period */
            value = even - (uint32_t) (t * 2 % even);
        else
            value = (uint32_t) ((c->count + whole - t % whole) % whole);
    }
    return c->bcd ? to_bcd(value % 10000) : (uint16_t) value;
}

static void arm(Pit *p)
{
    const Counter *c = &p->st.counter[0];
    if (counting(c) && p->st.next_edge != UINT64_MAX)
        vit_timer_set(p->timer, (int64_t) (c->start + ns_of_ticks(p->st.next_edge)));
    else
        vit_timer_cancel(p->timer);
}

static void pit_update(VitDevice *d)
{
    Pit *p = (Pit *) d;
    vit_irq_set(d, 0, out_level(&p->st.counter[0], now_ns(p)));
}

/* A rising edge of OUT0.  Periods that the host was late for are made up for, within a limit. */
static void tick(void *opaque)
{
    Pit *p = opaque;
    const Counter *c = &p->st.counter[0];
    vit_irq_set(&p->parent, 0, false);
    vit_irq_set(&p->parent, 0, true);
    if (!counting(c) || !periodic(c)) {
        p->st.next_edge = UINT64_MAX;
        return;
    }
    uint64_t t = ticks_of(c, now_ns(p));
    p->st.next_edge += (STEP_TICKS + c->count - 1) / c->count * c->count;
    if (t > p->st.next_edge && t - p->st.next_edge > CATCH_UP_TICKS)
        p->st.next_edge = (t / c->count + 1) * c->count;
    arm(p);
}

static void start(Pit *p, Counter *c)
{
    c->start = (uint64_t) now_ns(p);
    c->paused = 0;
    c->running = true;
    if (c == &p->st.counter[0]) {
        p->st.next_edge = c->count + (c->mode >= 4);
        arm(p);
    }
}

static void load_count(Pit *p, Counter *c, uint16_t raw)
{
    uint32_t count = c->bcd ? from_bcd(raw) : raw;
    c->count = count ? count : c->bcd ? 10000 : 65536;
    c->written = true;
    if (!gate_starts(c))
        start(p, c);
}

static void set_gate(Pit *p, Counter *c, bool gate)
{
    int64_t now = now_ns(p);
    if (gate && !c->gate && c->written) {
        if (gate_starts(c) || periodic(c)) {
            c->gate = true;
            start(p, c);
        } else {
            c->start = (uint64_t) now - MIN((uint64_t) now, ns_of_ticks(c->paused));
        }
    } else if (!gate && c->gate && c->running) {
        c->paused = ticks_of(c, now);
    }
    c->gate = gate;
}

static void latch_count(Pit *p, Counter *c)
{
    if (c->latched)
        return;
    c->latch = count_value(c, now_ns(p));
    c->latched = c->rw == RW_WORD ? 2 : 1;
}

static void read_back(Pit *p, uint8_t value)
{
    for (unsigned i = 0; i < N_COUNTERS; i++) {
        Counter *c = &p->st.counter[i];
        if (!(value & 2u << i))
            continue;
        if (!(value & 0x20))
            latch_count(p, c);
        if (!(value & 0x10) && !c->status_latched) {
            c->status = (uint8_t) ((out_level(c, now_ns(p)) ? STATUS_OUT : 0) |
                                   (c->running ? 0 : STATUS_NULL) | c->rw << 4 | c->mode << 1 |
                                       c->bcd);
            c->status_latched = true;
        }
    }
}

static void write_control(VitDevice *d, uint32_t offset, uint64_t value)
{
    Pit *p = (Pit *) d;
    unsigned n = value >> 6 & 3, rw = value >> 4 & 3;
    if (n == N_COUNTERS) {
        read_back(p, (uint8_t) value);
        return;
    }
    Counter *c = &p->st.counter[n];
    if (rw == RW_LATCH) {
        latch_count(p, c);
        return;
    }
    unsigned mode = value >> 1 & 7;
    c->rw = (uint8_t) rw;
    c->mode = (uint8_t) (mode > 5 ? mode - 4 : mode);
    c->bcd = value & 1;
    c->running = c->written = c->write_second = c->read_second = false;
    c->latched = 0;
    c->status_latched = false;
    if (n == 0)
        arm(p);
}

static void write_counter(VitDevice *d, uint32_t offset, uint64_t value)
{
    Pit *p = (Pit *) d;
    Counter *c = &p->st.counter[offset];
    if (c->rw == RW_LSB) {
        load_count(p, c, (uint16_t) value);
    } else if (c->rw == RW_MSB) {
        load_count(p, c, (uint16_t) (value << 8));
    } else if (!c->write_second) {
        c->write_low = (uint8_t) value;
        c->write_second = true;
        if (c->mode == 0) {         /* the first byte stops a count in mode 0 */
            c->running = false;
            if (offset == 0)
                arm(p);
        }
    } else {
        c->write_second = false;
        load_count(p, c, (uint16_t) (c->write_low | value << 8));
    }
}

static uint64_t read_counter(VitDevice *d, uint32_t offset)
{
    Pit *p = (Pit *) d;
    Counter *c = &p->st.counter[offset];
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched) {
        bool high = c->rw == RW_MSB || (c->rw == RW_WORD && c->latched == 1);
        c->latched--;
        return high ? c->latch >> 8 : c->latch & 0xff;
    }
    uint16_t value = count_value(c, now_ns(p));
    bool high = c->rw == RW_MSB || (c->rw == RW_WORD && c->read_second);
    if (c->rw == RW_WORD)
        c->read_second = !c->read_second;
    return high ? value >> 8 : value & 0xff;
}

static uint64_t read_nmisc(VitDevice *d, uint32_t offset)
{
    Pit *p = (Pit *) d;
    int64_t now = now_ns(p);
    bool refresh = now / 15085 & 1;     /* toggles at each DRAM refresh request, about 15 us */
    return p->st.nmisc | (refresh ? NMISC_REFRESH : 0) |
           (out_level(&p->st.counter[2], now) ? NMISC_OUT2 : 0);
}

static void wrote_nmisc(VitDevice *d, uint32_t offset, uint64_t old)
{
    Pit *p = (Pit *) d;
    set_gate(p, &p->st.counter[2], p->st.nmisc & NMISC_GATE2);
}

static bool pit_init(VitDevice *d, GError **error)
{
    Pit *p = (Pit *) d;
    p->timer = vit_timer_new(d->sys->clock, tick, p);
    return true;
}

static void pit_finish(VitDevice *d)
{
    vit_timer_free(((Pit *) d)->timer);
}

static void pit_reset(VitDevice *d)
{
    Pit *p = (Pit *) d;
    p->st.counter[0].gate = p->st.counter[1].gate = true;   /* tied high on the board */
    p->st.next_edge = UINT64_MAX;
}

static bool pit_validate(VitDevice *d, const void *state, GError **error)
{
    const typeof(((Pit *) d)->st) *st = state;
    for (unsigned i = 0; i < N_COUNTERS; i++) {
        const Counter *c = &st->counter[i];
        if ((st->next_edge != UINT64_MAX && st->next_edge >> 48) || c->count < 1 ||
            c->count > 65536 || c->start > INT64_MAX) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        _("i8254: counter %u out of range"), i);
            return false;
        }
    }
    return true;
}

static const VitField counter_fields[] = {
    VIT_UINT(Counter, start), VIT_UINT(Counter, paused),
    VIT_UINT(Counter, count, .reset = 65536, .max = 65536), VIT_UINT(Counter, latch),
    VIT_UINT(Counter, mode, .max = 5), VIT_UINT(Counter, rw, .reset = RW_WORD, .max = 3),
    VIT_UINT(Counter, bcd, .max = 1), VIT_UINT(Counter, latched, .max = 2),
    VIT_UINT(Counter, status), VIT_UINT(Counter, write_low), VIT_BOOL(Counter, gate, false),
    VIT_BOOL(Counter, written, false), VIT_BOOL(Counter, running, false),
    VIT_BOOL(Counter, status_latched, false), VIT_BOOL(Counter, write_second, false),
    VIT_BOOL(Counter, read_second, false), { VIT_END },
};
static const VitReg pit_regs[] = {
    { 0, VIT_ANY_BANK, "COUNTER", .size = 1, .count = N_COUNTERS, .read = read_counter,
      .write = write_counter },
    { 3, VIT_ANY_BANK, "CONTROL", .size = 1, .write = write_control },
    { 4, VIT_ANY_BANK, "NMISC", VIT_AT(Pit, st.nmisc), .rw = 0x0f, .read = read_nmisc,
      .wrote = wrote_nmisc },
};
static const VitField pit_hidden[] = {
    VIT_STRUCTS(Pit, st.counter, counter_fields), VIT_UINT(Pit, st.next_edge),
    VIT_TIMER(Pit, timer), { VIT_END },
};

const VitDeviceClass vit_i8254_class = {
    .name = "i8254", .description = "8254 interval timer", .version = 1, VIT_STATE(Pit, st),
    .mmio_size = 5, .n_irqs = 1, VIT_REGS(pit_regs), .hidden = pit_hidden, .init = pit_init,
    .finish = pit_finish, .reset = pit_reset, .update = pit_update, .validate = pit_validate,
};
