/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/intc/i8259.c - 8259A interrupt controller (Intel 231468-003; ELCR: 82371SB datasheet, 2.5.5)
 * Wires: window byte 0 and 1 = A0 low/high, byte 2 = ELCR; inputs IR0..IR7; output 0 INT.
 * Not modelled: MCS-80/85 mode, buffered mode.  An edge is latched even if the line falls again
 * before the acknowledge, as chipsets with an ELCR do. */
#include "hw/intc/i8259.h"

#include <glib/gi18n-lib.h>

enum {
    ICW1_IC4 = 0x01, ICW1_SNGL = 0x02, ICW1 = 0x10, OCW3 = 0x08, ICW4_AEOI = 0x02, ICW4_SFNM = 0x10,
    CASCADE = 2, SPURIOUS = 7,
};
enum { STEP_DONE, STEP_ICW2, STEP_ICW3, STEP_ICW4, N_STEPS };

typedef struct {
    VitDevice parent;
    VitDevice *slave;           /* borrowed; NULL in a slave */
    bool is_slave;
    struct {
        uint8_t lines;          /* levels of IR0..IR7 */
        uint8_t irr, isr, imr, elcr;
        uint8_t step;           /* which ICW port 1 takes next */
        uint8_t icw1, vector, icw3, icw4;
        uint8_t lowest;         /* input of lowest priority */
        bool read_isr, poll, special_mask, rotate_aeoi;
    } st;
} Pic;

/* Rank of the highest-priority set bit, 0 best; 8 for none. */
static unsigned rank_of(const Pic *p, uint8_t bits)
{
    unsigned first = (p->st.lowest + 1) & 7;
    uint8_t turned = (uint8_t) (bits >> first | bits << (8 - first));
    return turned ? (unsigned) __builtin_ctz(turned) : 8;
}

static unsigned input_of_rank(const Pic *p, unsigned rank)
{
    return (p->st.lowest + 1 + rank) & 7;
}

static int pending_input(const Pic *p)
{
    uint8_t requests = p->st.irr & ~p->st.imr, service = p->st.isr;
    if (p->st.special_mask)
        service &= ~p->st.imr;
    if ((p->st.icw4 & ICW4_SFNM) && p->slave)
        service &= (uint8_t) ~(1u << CASCADE);
    unsigned rank = rank_of(p, requests);
    return rank < rank_of(p, service) ? (int) input_of_rank(p, rank) : -1;
}

static void pic_update(VitDevice *d)
{
    vit_irq_set(d, 0, pending_input((Pic *) d) >= 0);
}

static void take(Pic *p, unsigned n)
{
    uint8_t bit = (uint8_t) (1u << n);
    if (!(p->st.elcr & bit))
        p->st.irr &= ~bit;
    if (!(p->st.icw4 & ICW4_AEOI))
        p->st.isr |= bit;
    else if (p->st.rotate_aeoi)
        p->st.lowest = (uint8_t) n;
}

int vit_i8259_ack(VitDevice *master)
{
    Pic *p = (Pic *) master;
    int n = pending_input(p);
    if (n >= 0)
        take(p, (unsigned) n);
    int vector = p->st.vector | (n < 0 ? SPURIOUS : n);
    if (n == CASCADE && p->slave)
        vector = vit_i8259_ack(p->slave);
    pic_update(master);
    return vector;
}

bool vit_i8259_pending(VitDevice *master)
{
    return pending_input((Pic *) master) >= 0;
}

void vit_i8259_cascade(VitDevice *master, VitDevice *slave)
{
    ((Pic *) master)->slave = slave;
    ((Pic *) slave)->is_slave = true;
    vit_irq_connect_device(slave, 0, master, CASCADE);
}

static void pic_input(VitDevice *d, unsigned n, bool level)
{
    Pic *p = (Pic *) d;
    uint8_t bit = (uint8_t) (1u << n);
    if (p->st.elcr & bit)
        p->st.irr = level ? p->st.irr | bit : p->st.irr & ~bit;
    else if (level && !(p->st.lines & bit))
        p->st.irr |= bit;
    p->st.lines = level ? p->st.lines | bit : p->st.lines & ~bit;
    pic_update(d);
}

static void write_icw1(Pic *p, uint8_t value)
{
    p->st.icw1 = value;
    p->st.step = STEP_ICW2;
    p->st.isr = p->st.imr = 0;
    p->st.irr = p->st.lines & p->st.elcr;   /* the edge sense circuit is reset */
    p->st.lowest = 7;
    p->st.read_isr = p->st.special_mask = p->st.poll = p->st.rotate_aeoi = false;
    if (!(value & ICW1_IC4))
        p->st.icw4 = 0;
}

static void write_ocw2(Pic *p, uint8_t value)
{
    bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
    unsigned n = value & 7;
    if (eoi) {
        if (!specific) {
            uint8_t service = p->st.isr;
            if (p->st.special_mask)
                service &= ~p->st.imr;
            unsigned rank = rank_of(p, service);
            if (rank == 8)
                return;
            n = input_of_rank(p, rank);
        }
        p->st.isr &= (uint8_t) ~(1u << n);
        if (rotate)
            p->st.lowest = (uint8_t) n;
    } else if (specific) {
        if (rotate)                         /* set priority; otherwise no operation */
            p->st.lowest = (uint8_t) n;
    } else {
        p->st.rotate_aeoi = rotate;
    }
}

static void write_a0_low(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Pic *p = (Pic *) d;
    if (value & ICW1) {
        write_icw1(p, (uint8_t) value);
    } else if (value & OCW3) {
        if (value & 0x04)
            p->st.poll = true;
        if (value & 0x02)
            p->st.read_isr = value & 1;
        if (value & 0x40)
            p->st.special_mask = value & 0x20;
    } else {
        write_ocw2(p, (uint8_t) value);
    }
}

static void write_a0_high(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Pic *p = (Pic *) d;
    switch (p->st.step) {
    case STEP_DONE:
        p->st.imr = (uint8_t) value;
        return;
    case STEP_ICW2:
        p->st.vector = value & 0xf8;
        if (!(p->st.icw1 & ICW1_SNGL))
            p->st.step = STEP_ICW3;
        else
            p->st.step = p->st.icw1 & ICW1_IC4 ? STEP_ICW4 : STEP_DONE;
        return;
    case STEP_ICW3:
        p->st.icw3 = (uint8_t) value;
        p->st.step = p->st.icw1 & ICW1_IC4 ? STEP_ICW4 : STEP_DONE;
        return;
    default:
        p->st.icw4 = value & 0x1f;
        p->st.step = STEP_DONE;
        return;
    }
}

static uint64_t read_poll(Pic *p)
{
    p->st.poll = false;
    int n = pending_input(p);
    if (n < 0)
        return 0;
    take(p, (unsigned) n);
    return 0x80u | (unsigned) n;
}

static uint64_t read_a0_low(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Pic *p = (Pic *) d;
    if (p->st.poll)
        return read_poll(p);
    return p->st.read_isr ? p->st.isr : p->st.irr;
}

static uint64_t read_a0_high(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Pic *p = (Pic *) d;
    return p->st.poll ? read_poll(p) : p->st.imr;
}

/* IRQ 0, 1, 2, 8 and 13 are always edge-triggered. */
static void write_elcr(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Pic *p = (Pic *) d;
    uint8_t old = p->st.elcr;
    p->st.elcr = value & (p->is_slave ? 0xde : 0xf8);
    uint8_t changed = old ^ p->st.elcr;
    p->st.irr = (p->st.irr & ~changed) | (p->st.lines & p->st.elcr & changed);
}

static bool pic_validate(VitDevice *d, const void *state, GError **error)
{
    (void) d;
    const typeof(((Pic *) 0)->st) *st = state;
    if (st->step < N_STEPS && st->lowest < 8 && !(st->vector & 7))
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, _("i8259: saved state out of range"));
    return false;
}

static const VitReg pic_regs[] = {
    { 0, VIT_ANY_BANK, "IRR/ISR/OCW2/OCW3/ICW1", .size = 1, .read = read_a0_low,
      .write = write_a0_low },
    { 1, VIT_ANY_BANK, "IMR/ICW2-4", VIT_AT(Pic, st.imr), .rw = 0xff, .read = read_a0_high,
      .write = write_a0_high },
    { 2, VIT_ANY_BANK, "ELCR", VIT_AT(Pic, st.elcr), .rw = 0xff, .write = write_elcr },
};
static const VitField pic_hidden[] = {
    VIT_UINT(Pic, st.lines), VIT_UINT(Pic, st.irr), VIT_UINT(Pic, st.isr), VIT_UINT(Pic, st.step),
    VIT_UINT(Pic, st.icw1), VIT_UINT(Pic, st.vector), VIT_UINT(Pic, st.icw3),
    VIT_UINT(Pic, st.icw4),
    VIT_UINT(Pic, st.lowest, .reset = 7), VIT_BOOL(Pic, st.read_isr, false),
    VIT_BOOL(Pic, st.poll, false), VIT_BOOL(Pic, st.special_mask, false),
    VIT_BOOL(Pic, st.rotate_aeoi, false), { VIT_END },
};

const VitDeviceClass vit_i8259_class = {
    .name = "i8259", .description = "8259A interrupt controller", .version = 1, VIT_STATE(Pic, st),
    .mmio_size = 3, .n_irqs = 1, .n_inputs = 8, VIT_REGS(pic_regs), .hidden = pic_hidden,
    .update = pic_update, .input = pic_input, .validate = pic_validate,
};
