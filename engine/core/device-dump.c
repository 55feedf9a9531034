/* engine/core/device-dump.c - a device's state as text, and the check that its rows cover it
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/device-private.h"

#include <stdalign.h>
#include <string.h>

/* ---- Dump ------------------------------------------------------------------------------------ */

static void dump_bytes(GString *text, const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size && i < 32; i++)
        g_string_append_printf(text, " %02x", at[i]);
    if (size > 32)
        g_string_append_printf(text, " ... (%zu bytes)", size);
}

static void dump_fields(GString *text, const VitDevice *d, const VitField *fields, size_t base,
                        const char *prefix)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        const uint8_t *at = (const uint8_t *) d + base + f->offset;
        if (f->kind == VIT_FIELD_STRUCTS) {
            for (uint32_t i = 0; i < f->count; i++) {
                g_autofree char *inner = g_strdup_printf("%s%s[%u].", prefix, f->name, i);
                dump_fields(text, d, f->fields, base + f->offset + (size_t) i * f->stride, inner);
            }
            continue;
        }
        g_string_append_printf(text, "  %s%s", prefix, f->name);
        switch (f->kind) {
        case VIT_FIELD_UINT:
            for (uint32_t i = 0; i < f->count && i < 32; i++)
                g_string_append_printf(text, " %#" G_GINT64_MODIFIER "x",
                                       vit_uint_get(at + (size_t) i * f->width, f->width));
            break;
        case VIT_FIELD_BOOL:
            for (uint32_t i = 0; i < f->count && i < 32; i++)
                g_string_append(text, at[i] ? " on" : " off");
            break;
        case VIT_FIELD_BYTES:
            dump_bytes(text, at, f->count);
            break;
        case VIT_FIELD_FIFO8: {
            VitFifo8 fifo;
            memcpy(&fifo, at, sizeof(fifo));
            g_string_append_printf(text, " %u of %u:", fifo.used, fifo.capacity);
            for (int byte; (byte = vit_fifo8_pop(&fifo)) >= 0;)
                g_string_append_printf(text, " %02x", (unsigned) byte);
            break;
        }
        case VIT_FIELD_TIMER: {
            VitTimer *timer;
            memcpy(&timer, at, sizeof(timer));
            if (timer && vit_timer_armed(timer))
                g_string_append_printf(text, " at %" G_GINT64_FORMAT " ns",
                                       vit_timer_deadline(timer));
            else
                g_string_append(text, " off");
            break;
        }
        case VIT_FIELD_VARBYTES: {
            uint8_t *buffer;
            size_t length;
            memcpy(&buffer, at, sizeof(buffer));
            memcpy(&length, (const uint8_t *) d + base + f->len_offset, sizeof(length));
            dump_bytes(text, buffer, length);
            break;
        }
        case VIT_FIELD_STRUCTS:
        case VIT_FIELD_END:
            break;
        }
        g_string_append_c(text, '\n');
    }
}

char *vit_device_dump(VitDevice *d)
{
    const VitDeviceClass *klass = d->klass;
    GString *text = g_string_new(NULL);
    vit_device_lock(d);
    g_string_append_printf(text, "%s (%s)\n", d->id, klass->name);
    for (size_t r = 0; r < klass->n_regs; r++) {
        const VitReg *reg = &klass->regs[r];
        if (!reg->at)
            continue;
        unsigned size = vit_reg_size(klass, reg);
        g_string_append_printf(text, "  %04x %s", reg->offset, reg->name);
        for (unsigned i = 0; i < vit_reg_count(reg); i++)
            g_string_append_printf(
                text, " %0*" G_GINT64_MODIFIER "x", (int) (2 * size),
                vit_uint_get((uint8_t *) d + vit_reg_storage(klass, reg, i), size));
        g_string_append_c(text, '\n');
    }
    dump_fields(text, d, klass->hidden, 0, "");
    for (unsigned n = 0; n < klass->n_irqs; n++)
        if (d->irqs[n].level)
            g_string_append_printf(text, "  irq %u high\n", n);
    vit_device_unlock(d);
    return g_string_free(text, FALSE);
}

/* ---- Check ----------------------------------------------------------------------------------- */

typedef struct {
    const VitDeviceClass *klass;
    uint8_t              *owner;    /* by byte of st: rows that cover it */
    uint8_t              *align;    /* by byte of st: alignment of the row that begins here */
    GString              *report;
} Check;

static void cover(Check *c, const char *name, size_t offset, size_t size, size_t align)
{
    const VitDeviceClass *klass = c->klass;
    if (offset < klass->state_offset || size > klass->state_size
        || offset - klass->state_offset > klass->state_size - size) {
        g_string_append_printf(c->report, "row %s lies outside st\n", name);
        return;
    }
    size_t start = offset - klass->state_offset;
    c->align[start] = (uint8_t) align;
    bool twice = false;
    for (size_t i = 0; i < size; i++)
        twice |= c->owner[start + i]++ != 0;
    if (twice)
        g_string_append_printf(c->report, "row %s covers bytes of st that another row covers\n",
                               name);
}

/* Padding at the end of an element counts as covered. */
static void cover_tail(Check *c, size_t offset, size_t stride)
{
    const VitDeviceClass *klass = c->klass;
    if (offset < klass->state_offset
        || offset + stride > klass->state_offset + klass->state_size)
        return;
    size_t start = offset - klass->state_offset, end = stride, largest = 1;
    while (end > 0 && !c->owner[start + end - 1])
        end--;
    for (size_t i = 0; i < stride; i++)
        largest = MAX(largest, c->align[start + i]);
    if (end > 0 && stride - end < largest)
        memset(c->owner + start + end, 1, stride - end);
}

static void check_fields(Check *c, const VitField *fields, size_t base)
{
    for (const VitField *f = fields; f && f->kind != VIT_FIELD_END; f++) {
        size_t offset = base + f->offset;
        if (!f->name || !f->count)
            g_string_append(c->report, "a state row has no name or no elements\n");
        switch (f->kind) {
        case VIT_FIELD_UINT:
            if (f->width != 1 && f->width != 2 && f->width != 4 && f->width != 8)
                g_string_append_printf(c->report, "row %s is no integer of 1, 2, 4 or 8 bytes\n",
                                       f->name);
            cover(c, f->name, offset, (size_t) f->count * f->width, f->width);
            break;
        case VIT_FIELD_BOOL:
        case VIT_FIELD_BYTES:
            cover(c, f->name, offset, f->count, 1);
            break;
        case VIT_FIELD_FIFO8:
            cover(c, f->name, offset, sizeof(VitFifo8), alignof(VitFifo8));
            break;
        case VIT_FIELD_VARBYTES:
            cover(c, f->name, offset, sizeof(uint8_t *), alignof(uint8_t *));
            cover(c, f->name, base + f->len_offset, sizeof(size_t), alignof(size_t));
            break;
        case VIT_FIELD_STRUCTS:
            for (uint32_t i = 0; i < f->count; i++) {
                check_fields(c, f->fields, offset + (size_t) i * f->stride);
                cover_tail(c, offset + (size_t) i * f->stride, f->stride);
            }
            break;
        case VIT_FIELD_TIMER:   /* outside st by definition */
            if (offset >= c->klass->state_offset
                && offset < c->klass->state_offset + c->klass->state_size)
                g_string_append_printf(c->report, "timer %s lies in st\n", f->name);
            break;
        case VIT_FIELD_END:
            break;
        }
    }
}

static void check_regs(Check *c)
{
    const VitDeviceClass *klass = c->klass;
    for (size_t r = 0; r < klass->n_regs; r++) {
        const VitReg *reg = &klass->regs[r];
        unsigned size = vit_reg_size(klass, reg), count = vit_reg_count(reg);
        if (!reg->name) {
            g_string_append_printf(c->report, "the register at %#x has no name\n", reg->offset);
            continue;
        }
        if (size > 8 || (size & (size - 1)))
            g_string_append_printf(c->report, "register %s is not of 1, 2, 4 or 8 bytes\n",
                                   reg->name);
        uint64_t end = reg->offset + (uint64_t) (count - 1) * vit_reg_stride(klass, reg) + size;
        if (klass->mmio_size && end > klass->mmio_size)
            g_string_append_printf(c->report, "register %s lies outside the window\n", reg->name);
        uint64_t all = size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
        if ((reg->rw | reg->w1c | reg->rc | reg->ones | reg->reset) & ~all)
            g_string_append_printf(c->report, "register %s names bits that it does not have\n",
                                   reg->name);
        for (unsigned i = 0; reg->at && i < count; i++)
            cover(c, reg->name, vit_reg_storage(klass, reg, i), size, size);
    }
}

/* A gap is padding when it is not at the start, ends where the next row begins,
 * that row is aligned, and the gap is smaller than its alignment; at the end of st, smaller than
 * the largest alignment. */
static void check_gaps(Check *c)
{
    size_t size = c->klass->state_size, largest = 1;
    for (size_t i = 0; i < size; i++)
        largest = MAX(largest, c->align[i]);
    for (size_t i = 0; i < size;) {
        if (c->owner[i]) {
            i++;
            continue;
        }
        size_t start = i;
        while (i < size && !c->owner[i])
            i++;
        size_t align = i < size ? c->align[i] : largest;
        bool aligned = align && (c->klass->state_offset + i) % align == 0;
        if (start == 0 || !aligned || i - start >= align)
            g_string_append_printf(c->report, "no row covers bytes %zu to %zu of st\n", start,
                                   i - 1);
    }
}

char *vit_device_class_check(const VitDeviceClass *klass)
{
    Check c = { .klass = klass, .owner = g_malloc0(klass->state_size + 1),
                .align = g_malloc0(klass->state_size + 1), .report = g_string_new(NULL) };
    check_regs(&c);
    check_fields(&c, klass->hidden, 0);
    check_gaps(&c);
    g_free(c.owner);
    g_free(c.align);
    bool fine = c.report->len == 0;
    char *text = g_string_free(c.report, FALSE);
    if (fine)
        g_clear_pointer(&text, g_free);
    return text;
}
