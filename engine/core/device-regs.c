/* engine/core/device-regs.c - guest accesses by the register table
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An access covers any stretch of the window: each register in it is read or written once, with the
 * lanes (bytes) of it that the access touches; what no row covers reads as zero. */
#include "engine/core/device-private.h"
#include "engine/core/log.h"

#include <string.h>

uint64_t vit_uint_get(const void *at, unsigned size)
{
    switch (size) {
    case 1: return *(const uint8_t *) at;
    case 2: return *(const uint16_t *) at;
    case 4: return *(const uint32_t *) at;
    case 8: return *(const uint64_t *) at;
    }
    return 0;
}

void vit_uint_put(void *at, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(uint8_t *) at = (uint8_t) value; break;
    case 2: *(uint16_t *) at = (uint16_t) value; break;
    case 4: *(uint32_t *) at = (uint32_t) value; break;
    case 8: *(uint64_t *) at = value; break;
    }
}

/* ---- Finding a row --------------------------------------------------------------------------- */

static bool covers(const VitDeviceClass *klass, const VitReg *reg, uint32_t offset, unsigned *index)
{
    if (offset < reg->offset)
        return false;
    uint32_t delta = offset - reg->offset, stride = vit_reg_stride(klass, reg);
    *index = delta / stride;
    return *index < vit_reg_count(reg) && delta % stride < vit_reg_size(klass, reg);
}

void vit_device_build_reg_index(VitDevice *d)
{
    const VitDeviceClass *klass = d->klass;
    if (klass->mmio_size == 0 || klass->mmio_size > REG_INDEX_LIMIT || klass->n_regs >= NO_REG)
        return;
    d->priv->reg_index = g_new(uint16_t, klass->mmio_size);
    for (uint32_t offset = 0; offset < klass->mmio_size; offset++) {
        unsigned index;
        size_t row = 0;
        while (row < klass->n_regs && !covers(klass, &klass->regs[row], offset, &index))
            row++;
        d->priv->reg_index[offset] = row < klass->n_regs ? (uint16_t) row : NO_REG;
    }
}

static const VitReg *find_reg(VitDevice *d, uint32_t offset, unsigned *index)
{
    const VitDeviceClass *klass = d->klass;
    size_t row = 0;
    if (d->priv->reg_index) {
        if (offset >= klass->mmio_size || d->priv->reg_index[offset] == NO_REG)
            return NULL;
        row = d->priv->reg_index[offset];
    }
    int bank = VIT_ANY_BANK;
    for (; row < klass->n_regs; row++) {
        const VitReg *reg = &klass->regs[row];
        if (!covers(klass, reg, offset, index))
            continue;
        if (reg->bank == VIT_ANY_BANK || !klass->bank)
            return reg;
        if (bank == VIT_ANY_BANK)
            bank = klass->bank(d, offset);
        if (reg->bank == bank)
            return reg;
    }
    return NULL;
}

/* ---- One register ---------------------------------------------------------------------------- */

static uint64_t read_reg(VitDevice *d, const VitReg *reg, unsigned index, uint64_t lanes)
{
    const VitDeviceClass *klass = d->klass;
    unsigned size = vit_reg_size(klass, reg);
    void *at = reg->at ? (uint8_t *) d + vit_reg_storage(klass, reg, index) : NULL;
    uint64_t value = 0;
    if (reg->read)
        value = reg->read(d, reg->offset + index * vit_reg_stride(klass, reg));
    else if (at)
        value = vit_uint_get(at, size) | reg->ones;
    else
        value = reg->ones;
    if (at && reg->rc & lanes)
        vit_uint_put(at, size, vit_uint_get(at, size) & ~(reg->rc & lanes));
    return value;
}

static void write_reg(VitDevice *d, const VitReg *reg, unsigned index, uint64_t value,
                      uint64_t lanes)
{
    const VitDeviceClass *klass = d->klass;
    unsigned size = vit_reg_size(klass, reg);
    uint32_t offset = reg->offset + index * vit_reg_stride(klass, reg);
    void *at = reg->at ? (uint8_t *) d + vit_reg_storage(klass, reg, index) : NULL;
    uint64_t old = at ? vit_uint_get(at, size) : 0;
    if (reg->write) {
        /* The bytes not written keep their value, except bits that writing 1 would clear. */
        reg->write(d, offset, (old & ~lanes & ~reg->w1c) | (value & lanes));
        return;
    }
    if (at) {
        uint64_t change = reg->rw & lanes;
        uint64_t fresh = (old & ~change) | (value & change);
        vit_uint_put(at, size, fresh & ~(value & reg->w1c & lanes));
    }
    if (reg->wrote)
        reg->wrote(d, offset, old);
    else if (!at)
        vit_log(VIT_LOG_GUEST_ERROR, "%s: write of %#" G_GINT64_MODIFIER
                "x to the read-only register %s", d->id, value & lanes, reg->name);
}

/* ---- Accesses -------------------------------------------------------------------------------- */

static uint64_t lane_mask(unsigned first, unsigned n)
{
    uint64_t mask = n >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * n)) - 1;
    return mask << (8 * first);
}

/* Goes over the registers in [offset, offset+size) of at most 8 bytes. */
static uint64_t access_table(VitDevice *d, uint32_t offset, uint64_t value, unsigned size,
                             bool write)
{
    uint64_t result = 0;
    bool hole = false;
    for (unsigned done = 0; done < size;) {
        unsigned index = 0, n = 1;
        const VitReg *reg = find_reg(d, offset + done, &index);
        if (!reg) {
            hole = true;
        } else {
            unsigned reg_size = vit_reg_size(d->klass, reg);
            unsigned skip = offset + done - reg->offset - index * vit_reg_stride(d->klass, reg);
            n = MIN(size - done, reg_size - skip);
            uint64_t lanes = lane_mask(skip, n);
            if (write)
                write_reg(d, reg, index, value >> (8 * done) << (8 * skip), lanes);
            else
                result |= (read_reg(d, reg, index, lanes) & lanes) >> (8 * skip) << (8 * done);
        }
        done += n;
    }
    if (hole)
        vit_log(VIT_LOG_GUEST_ERROR, "%s: %s of %u bytes at %#x, where no register is", d->id,
                write ? "write" : "read", size, offset);
    return result;
}

static unsigned widest(const VitDevice *d, unsigned size)
{
    unsigned max = d->klass->max_access ? d->klass->max_access : 4;
    return MIN(size, max);
}

uint64_t vit_device_read(VitDevice *d, uint32_t offset, unsigned size)
{
    uint64_t result = 0;
    unsigned part = widest(d, size);
    vit_device_lock(d);
    for (unsigned done = 0; done < size; done += part) {
        uint64_t value = 0;
        if (!d->klass->raw_read || !d->klass->raw_read(d, offset + done, part, &value))
            value = access_table(d, offset + done, 0, part, false);
        result |= (value & lane_mask(0, part)) << (8 * done);
        if (d->klass->update)
            d->klass->update(d);
    }
    vit_device_unlock(d);
    return result;
}

void vit_device_write(VitDevice *d, uint32_t offset, uint64_t value, unsigned size)
{
    unsigned part = widest(d, size);
    vit_device_lock(d);
    for (unsigned done = 0; done < size; done += part) {
        uint64_t piece = value >> (8 * done) & lane_mask(0, part);
        if (!d->klass->raw_write || !d->klass->raw_write(d, offset + done, part, piece))
            access_table(d, offset + done, piece, part, true);
        if (d->klass->update)
            d->klass->update(d);
    }
    vit_device_unlock(d);
}
