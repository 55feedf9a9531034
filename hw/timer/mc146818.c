/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/timer/mc146818.c - MC146818A real-time clock with 128 bytes of CMOS RAM (Motorola datasheet,
 * 1984; century byte 32h as in the ACPI FADT)
 * Wires: window 2 bytes; output 0 IRQ, level until register C is read.  The time is a function of
 * virtual time.  Not modelled: square wave output, daylight saving bit, NMI mask of port 70h. */
#include "hw/timer/mc146818.h"
#include <string.h>

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH,
       YEAR, REG_A, REG_B, REG_C, REG_D, FIRST_RAM, CENTURY = 0x32, CMOS_SIZE = 128 };
enum { A_UIP = 0x80, B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04,
       B_24H = 0x02,
       C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, D_VRT = 0x80, ANY = 0xc0, PM = 0x80 };
enum { DAY_S = 86400, UIP_NS = 244 * VIT_NS_PER_US };

typedef struct {
    VitDevice parent;
    VitTimer *periodic;         /* owned */
    VitTimer *update;           /* owned: next second or alarm, while its interrupt is enabled */
    uint8_t battery[CMOS_SIZE]; /* what survives reset: follows st */
    int64_t battery_base;
    struct {
        uint8_t cmos[CMOS_SIZE];
        uint64_t base;          /* ns since 1970 at virtual time 0, two's complement */
        uint64_t flagged;       /* second (since 1970) up to which UF and AF have been worked out */
        uint64_t periods;       /* periodic interrupts up to which PF has been worked out */
        uint8_t index;
    } st;
} Rtc;

static int64_t now_ns(const Rtc *r)
{
    return vit_clock_now(r->parent.sys->clock);
}

static int64_t wall_ns(const Rtc *r)
{
    return (int64_t) (r->st.base + (uint64_t) now_ns(r));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t wall_s(const Rtc *r)
{
    return floor_div(wall_ns(r), VIT_NS_PER_S);
}

/* ---- Calendar: days since 1970-01-01 and back, proleptic Gregorian --------------------------- */

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = floor_div(y, 400);
    unsigned yoe = (unsigned) (y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t) (yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = floor_div(z, 146097);
    unsigned doe = (unsigned) (z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t) yoe + era * 400 + (*m <= 2);
}

static uint8_t encode(const Rtc *r, unsigned v)
{
    return (uint8_t) (r->st.cmos[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(const Rtc *r, uint8_t v)
{
    return r->st.cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const Rtc *r, unsigned h)
{
    if (r->st.cmos[REG_B] & B_24H)
        return encode(r, h);
    return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? PM : 0);
}

static unsigned decode_hour(const Rtc *r, uint8_t v)
{
    if (r->st.cmos[REG_B] & B_24H)
        return decode(r, v);
    return decode(r, v & (uint8_t) ~PM) % 12 + (v & PM ? 12 : 0);
}

static void time_to_registers(Rtc *r)
{
    int64_t s = wall_s(r), days = floor_div(s, DAY_S), year;
    unsigned second = (unsigned) (s - days * DAY_S), month, day;
    civil_from_days(days, &year, &month, &day);
    uint8_t *c = r->st.cmos;
    c[SECONDS] = encode(r, second % 60);
    c[MINUTES] = encode(r, second / 60 % 60);
    c[HOURS] = encode_hour(r, second / 3600);
    c[WEEKDAY] = encode(r, (unsigned) (((days + 4) % 7 + 7) % 7) + 1);
    c[DAY] = encode(r, day);
    c[MONTH] = encode(r, month);
    c[YEAR] = encode(r, (unsigned) (year % 100 + 100) % 100);
    c[CENTURY] = encode(r, (unsigned) (floor_div(year, 100) + 100) % 100);
}

static void registers_to_time(Rtc *r)
{
    const uint8_t *c = r->st.cmos;
    int64_t year = decode(r, c[CENTURY]) * 100 + decode(r, c[YEAR]);
    unsigned month = CLAMP(decode(r, c[MONTH]), 1, 12);
    int64_t s = days_from_civil(year, month, decode(r, c[DAY])) * DAY_S +
                decode_hour(r, c[HOURS]) * 3600 + decode(r, c[MINUTES]) * 60 + decode(r,
                                                                                      c[SECONDS]);
    r->st.base = (uint64_t) s * (uint64_t) VIT_NS_PER_S - (uint64_t) now_ns(r);
    r->st.flagged = (uint64_t) s;
    r->battery_base = (int64_t) r->st.base;
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static uint64_t period_ns(const Rtc *r)     /* 0 = off */
{
    unsigned rate = r->st.cmos[REG_A] & 15;
    if (rate == 0)
        return 0;
    return (uint64_t) VIT_NS_PER_S / (rate < 3 ? 128u << (2 - rate) : 65536u >> rate);
}

static bool field_matches(uint8_t alarm, unsigned want, unsigned v)
{
    return (alarm & ANY) == ANY || want == v;
}

/* First second after `from` at which the alarm registers match, or INT64_MAX. */
static int64_t next_alarm(const Rtc *r, int64_t from)
{
    const uint8_t *c = r->st.cmos;
    unsigned ah = decode_hour(r, c[HOURS_ALARM]), am = decode(r, c[MINUTES_ALARM]);
    unsigned as = decode(r, c[SECONDS_ALARM]);
    int64_t day = floor_div(from, DAY_S) * DAY_S;
    for (unsigned i = 0; i < 2; i++, day += DAY_S) {
        for (unsigned h = 0; h < 24; h++) {
            if (!field_matches(c[HOURS_ALARM], ah, h) || day + h * 3600 + 3599 <= from)
                continue;
            for (unsigned m = 0; m < 60; m++) {
                int64_t minute = day + h * 3600 + m * 60;
                if (!field_matches(c[MINUTES_ALARM], am, m) || minute + 59 <= from)
                    continue;
                for (unsigned s = 0; s < 60; s++)
                    if (field_matches(c[SECONDS_ALARM], as, s) && minute + s > from)
                        return minute + s;
            }
        }
    }
    return INT64_MAX;
}

/* Brings the flags of register C up to the present. */
static void work_out_flags(Rtc *r)
{
    int64_t s = wall_s(r), flagged = (int64_t) r->st.flagged;
    if (!(r->st.cmos[REG_B] & B_SET) && s > flagged) {
        r->st.cmos[REG_C] |= C_UF;
        if (next_alarm(r, flagged) <= s)
            r->st.cmos[REG_C] |= C_AF;
    }
    r->st.flagged = (uint64_t) s;
    uint64_t period = period_ns(r);
    if (period) {
        uint64_t periods = (uint64_t) now_ns(r) / period;
        if (periods > r->st.periods)
            r->st.cmos[REG_C] |= C_PF;
        r->st.periods = periods;
    }
}

static bool requests(const Rtc *r)
{
    return r->st.cmos[REG_B] & r->st.cmos[REG_C] & (C_PF | C_AF | C_UF);
}

static void rtc_update(VitDevice *d)
{
    vit_irq_set(d, 0, requests((Rtc *) d));
}

static void arm(Rtc *r)
{
    uint8_t b = r->st.cmos[REG_B];
    uint64_t period = period_ns(r);
    vit_timer_set(r->periodic, (b & B_PIE) && period
        ? (int64_t) (((uint64_t) now_ns(r) / period + 1) * period) : VIT_TIMER_OFF);
    int64_t at = INT64_MAX;
    if (!(b & B_SET) && (b & B_UIE))
        at = wall_s(r) + 1;
    else if (!(b & B_SET) && (b & B_AIE))
        at = next_alarm(r, wall_s(r));
    if (at == INT64_MAX)
        vit_timer_cancel(r->update);
    else
        vit_timer_set(r->update, (int64_t) ((uint64_t) at * (uint64_t) VIT_NS_PER_S - r->st.base));
}

static void tick(void *opaque)
{
    Rtc *r = opaque;
    work_out_flags(r);
    arm(r);
    rtc_update(&r->parent);
}

/* ---- Registers ------------------------------------------------------------------------------- */

static bool is_time(unsigned i)
{
    return i == CENTURY || (i <= YEAR && i != SECONDS_ALARM && i != MINUTES_ALARM &&
                            i != HOURS_ALARM);
}

static uint64_t read_data(VitDevice *d, uint32_t offset)
{
    Rtc *r = (Rtc *) d;
    uint8_t *c = r->st.cmos;
    unsigned i = r->st.index & (CMOS_SIZE - 1);
    bool set = c[REG_B] & B_SET;
    if (is_time(i) && !set)
        time_to_registers(r);
    if (i == REG_A) {
        int64_t left = VIT_NS_PER_S - (wall_ns(r) - wall_s(r) * VIT_NS_PER_S);
        return (c[REG_A] & ~A_UIP) | (!set && left <= UIP_NS ? A_UIP : 0);
    }
    if (i == REG_C) {
        work_out_flags(r);
        uint8_t flags = c[REG_C] | (requests(r) ? C_IRQF : 0);
        c[REG_C] = 0;
        return flags;
    }
    return c[i];
}

static void write_data(VitDevice *d, uint32_t offset, uint64_t value)
{
    Rtc *r = (Rtc *) d;
    uint8_t *c = r->st.cmos, v = (uint8_t) value;
    unsigned i = r->st.index & (CMOS_SIZE - 1);
    work_out_flags(r);
    if (i == REG_C || i == REG_D)
        return;
    if (is_time(i)) {
        if (!(c[REG_B] & B_SET)) {
            time_to_registers(r);
            c[i] = v;
            registers_to_time(r);
        } else {
            c[i] = v;
        }
    } else if (i == REG_B) {
        if ((v & B_SET) && !(c[REG_B] & B_SET)) {
            time_to_registers(r);
            v &= (uint8_t) ~B_UIE;
        }
        bool starts = !(v & B_SET) && (c[REG_B] & B_SET);
        c[REG_B] = v;
        if (starts)
            registers_to_time(r);
    } else {
        c[i] = i == REG_A ? v & (uint8_t) ~A_UIP : v;
        if (i == REG_A && period_ns(r))
            r->st.periods = (uint64_t) now_ns(r) / period_ns(r);
    }
    memcpy(r->battery, c, CMOS_SIZE);
    arm(r);
}

void vit_mc146818_set_base(VitDevice *rtc, int64_t ns_since_1970)
{
    Rtc *r = (Rtc *) rtc;
    r->battery_base = ns_since_1970;
    r->st.base = (uint64_t) ns_since_1970;
    r->st.flagged = (uint64_t) wall_s(r);
}

void vit_mc146818_set_cmos(VitDevice *rtc, uint8_t index, uint8_t value)
{
    Rtc *r = (Rtc *) rtc;
    if (index >= FIRST_RAM && index < CMOS_SIZE)
        r->battery[index] = r->st.cmos[index] = value;
}

static bool rtc_init(VitDevice *d, GError **error)
{
    Rtc *r = (Rtc *) d;
    r->periodic = vit_timer_new(d->sys->clock, tick, r);
    r->update = vit_timer_new(d->sys->clock, tick, r);
    r->battery[REG_A] = 0x26;
    r->battery[REG_B] = B_24H;
    r->battery[REG_D] = D_VRT;
    return true;
}

static void rtc_finish(VitDevice *d)
{
    Rtc *r = (Rtc *) d;
    vit_timer_free(r->periodic);
    vit_timer_free(r->update);
}

static void rtc_reset(VitDevice *d)
{
    Rtc *r = (Rtc *) d;
    memcpy(r->st.cmos, r->battery, CMOS_SIZE);
    r->st.cmos[REG_B] &= B_BINARY | B_24H;
    r->st.cmos[REG_C] = 0;
    r->st.base = (uint64_t) r->battery_base;
    r->st.flagged = (uint64_t) wall_s(r);
}

static void rtc_loaded(VitDevice *d)
{
    Rtc *r = (Rtc *) d;
    memcpy(r->battery, r->st.cmos, CMOS_SIZE);
    r->battery_base = (int64_t) r->st.base;
}

static const VitReg rtc_regs[] = {
    { 0, VIT_ANY_BANK, "INDEX", VIT_AT(Rtc, st.index), .rw = 0xff },
    { 1, VIT_ANY_BANK, "DATA", .size = 1, .read = read_data, .write = write_data },
};
static const VitField rtc_hidden[] = {
    VIT_BYTES(Rtc, st.cmos), VIT_UINT(Rtc, st.base), VIT_UINT(Rtc, st.flagged),
    VIT_UINT(Rtc, st.periods), VIT_TIMER(Rtc, periodic), VIT_TIMER(Rtc, update), { VIT_END },
};

const VitDeviceClass vit_mc146818_class = {
    .name = "mc146818", .description = "real-time clock and CMOS RAM", .version = 1,
    VIT_STATE(Rtc, st), .mmio_size = 2, .n_irqs = 1, VIT_REGS(rtc_regs), .hidden = rtc_hidden,
    .init = rtc_init, .finish = rtc_finish, .reset = rtc_reset, .update = rtc_update,
    .loaded = rtc_loaded,
};
