/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/misc/acpi-pm.c - ACPI fixed hardware block (ACPI 6.4, 4.8; layout: Intel ICH9 datasheet
 * 316972-004, 13.8.3; APM ports: 13.7.1)
 * Wires: window 80h bytes at PMBASE, then 2 bytes of APM ports; output 0 SCI.
 * Not modelled: SMI (SMI_EN reads as firmware leaves it, so firmware does not set up SMM), sleep
 * states other than S5, TCO, device traps, throttling. */
#include "hw/misc/acpi-pm.h"

#include <glib/gi18n-lib.h>

enum { PM_HZ = 3579545, TIMER_BITS = 24 };
enum {
    TMR = 1 << 0, GBL = 1 << 5, PWRBTN = 1 << 8, RTC = 1 << 10, EVENTS = TMR | GBL | PWRBTN | RTC,
    WAK = 1 << 15,
    SCI_EN = 1 << 0, SLP_TYP_SHIFT = 10, SLP_EN = 1 << 13, CNT_STORED = 0x1c07,
    SOFT_OFF = 0, SOFT_OFF_ICH9 = 7,
    SMI_EN_RESET = 0x23,            /* GBL_SMI_EN, EOS, APMC_EN: already set up */
};

typedef struct {
    VitDevice parent;
    VitTimer *timer; /* owned: next change of the PM timer's top bit, while enabled */
    struct {
        uint64_t gpe0_sts, gpe0_en;
        uint64_t half; /* half periods of the PM timer up to which TMR has been worked out */
        uint32_t smi_en, smi_sts;
        uint16_t pm1_sts, pm1_en, pm1_cnt;
        uint8_t apm_cnt, apm_sts;
    } st;
} AcpiPm;

static uint64_t ticks(const AcpiPm *p)
{
    return vit_muldiv64((uint64_t) vit_clock_now(p->parent.sys->clock), PM_HZ,
                        (uint64_t) VIT_NS_PER_S);
}

static void work_out_timer(AcpiPm *p)
{
    uint64_t half = ticks(p) >> (TIMER_BITS - 1);
    if (half != p->st.half)
        p->st.pm1_sts |= TMR;
    p->st.half = half;
}

static void pm_update(VitDevice *d)
{
    AcpiPm *p = (AcpiPm *) d;
    bool event = (p->st.pm1_sts & p->st.pm1_en & EVENTS) || (p->st.gpe0_sts & p->st.gpe0_en);
    vit_irq_set(d, 0, event && (p->st.pm1_cnt & SCI_EN));
}

static void arm(AcpiPm *p)
{
    if (!(p->st.pm1_en & TMR)) {
        vit_timer_cancel(p->timer);
        return;
    }
    uint64_t next = ((ticks(p) >> (TIMER_BITS - 1)) + 1) << (TIMER_BITS - 1);
    vit_timer_set(p->timer, (int64_t) vit_muldiv64(next, (uint64_t) VIT_NS_PER_S, PM_HZ) + 1);
}

static void tick(void *opaque)
{
    AcpiPm *p = opaque;
    work_out_timer(p);
    arm(p);
    pm_update(&p->parent);
}

void vit_acpi_pm_power_button(VitDevice *pm)
{
    ((AcpiPm *) pm)->st.pm1_sts |= PWRBTN;
    pm_update(pm);
}

static uint64_t read_pm1_sts(VitDevice *d, uint32_t offset)
{
    AcpiPm *p = (AcpiPm *) d;
    work_out_timer(p);
    return p->st.pm1_sts;
}

static void write_pm1_sts(VitDevice *d, uint32_t offset, uint64_t value)
{
    AcpiPm *p = (AcpiPm *) d;
    work_out_timer(p);
    p->st.pm1_sts &= (uint16_t) ~(value & (EVENTS | WAK));
}

static void wrote_pm1_en(VitDevice *d, uint32_t offset, uint64_t old)
{
    AcpiPm *p = (AcpiPm *) d;
    work_out_timer(p);
    arm(p);
}

static void write_pm1_cnt(VitDevice *d, uint32_t offset, uint64_t value)
{
    AcpiPm *p = (AcpiPm *) d;
    p->st.pm1_cnt = value & CNT_STORED;
    unsigned type = value >> SLP_TYP_SHIFT & 7;
    if ((value & SLP_EN) && (type == SOFT_OFF || type == SOFT_OFF_ICH9))
        vit_system_request(d->sys, VIT_REQUEST_SHUTDOWN, 0, _("the guest powered off"));
}

static uint64_t read_timer(VitDevice *d, uint32_t offset)
{
    return ticks((AcpiPm *) d) & ((1u << TIMER_BITS) - 1);
}

static void wrote_apm_cnt(VitDevice *d, uint32_t offset, uint64_t old)
{
    AcpiPm *p = (AcpiPm *) d;
    if (p->st.apm_cnt == VIT_ACPI_ENABLE)
        p->st.pm1_cnt |= SCI_EN;
    else if (p->st.apm_cnt == VIT_ACPI_DISABLE)
        p->st.pm1_cnt &= (uint16_t) ~SCI_EN;
}

static bool pm_init(VitDevice *d, GError **error)
{
    AcpiPm *p = (AcpiPm *) d;
    p->timer = vit_timer_new(d->sys->clock, tick, p);
    return true;
}

static void pm_finish(VitDevice *d)
{
    vit_timer_free(((AcpiPm *) d)->timer);
}

static void pm_reset(VitDevice *d)
{
    AcpiPm *p = (AcpiPm *) d;
    p->st.half = ticks(p) >> (TIMER_BITS - 1);
}

static const VitReg pm_regs[] = {
    { 0x00, VIT_ANY_BANK, "PM1_STS", VIT_AT(AcpiPm, st.pm1_sts), .w1c = EVENTS | WAK,
      .read = read_pm1_sts,
      .write = write_pm1_sts },
    { 0x02, VIT_ANY_BANK, "PM1_EN", VIT_AT(AcpiPm, st.pm1_en), .rw = EVENTS,
      .wrote = wrote_pm1_en },
    { 0x04, VIT_ANY_BANK, "PM1_CNT", VIT_AT(AcpiPm, st.pm1_cnt), .rw = CNT_STORED,
      .write = write_pm1_cnt },
    { 0x08, VIT_ANY_BANK, "PM_TMR", .size = 4, .read = read_timer },
    { 0x20, VIT_ANY_BANK, "GPE0_STS", VIT_AT(AcpiPm, st.gpe0_sts), .w1c = UINT64_MAX },
    { 0x28, VIT_ANY_BANK, "GPE0_EN", VIT_AT(AcpiPm, st.gpe0_en), .rw = UINT64_MAX },
    { 0x30, VIT_ANY_BANK, "SMI_EN", VIT_AT(AcpiPm, st.smi_en), .rw = 0xfffdffdc,
      .reset = SMI_EN_RESET },
    { 0x34, VIT_ANY_BANK, "SMI_STS", VIT_AT(AcpiPm, st.smi_sts), .w1c = UINT32_MAX },
    { 0x80, VIT_ANY_BANK, "APM_CNT", VIT_AT(AcpiPm, st.apm_cnt), .rw = 0xff,
      .wrote = wrote_apm_cnt },
    { 0x81, VIT_ANY_BANK, "APM_STS", VIT_AT(AcpiPm, st.apm_sts), .rw = 0xff },
};
static const VitField pm_hidden[] = { VIT_UINT(AcpiPm, st.half), VIT_TIMER(AcpiPm, timer),
                                      { VIT_END } };

const VitDeviceClass vit_acpi_pm_class = {
    .name = "acpi-pm", .description = "ACPI power management block", .version = 1,
    VIT_STATE(AcpiPm, st),
    .mmio_size = VIT_ACPI_PM_SIZE + 2, .n_irqs = 1, VIT_REGS(pm_regs), .hidden = pm_hidden,
    .init = pm_init,
    .finish = pm_finish, .reset = pm_reset, .update = pm_update,
};
