/* tests/hw/one-device.h - one device in a machine whose time the test moves by hand
 * SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include "engine/core/device.h"

typedef struct {
    VitSystem *sys;
    VitDevice *d;
    bool level[32];             /* of each output */
    unsigned rises[32];
} OneDevice;

static void one_irq(void *opaque, unsigned n, bool level)
{
    OneDevice *o = opaque;
    o->rises[n] += level && !o->level[n];
    o->level[n] = level;
}

/* The machine lock is held from here to one_free(). */
static inline void one_new(OneDevice *o, const VitDeviceClass *klass)
{
    *o = (OneDevice) { .sys = vit_system_new() };
    vit_system_lock(o->sys);
    o->d = vit_device_new(o->sys, klass, NULL);
    g_assert_true(vit_device_init(o->d, NULL));
    for (unsigned n = 0; n < klass->n_irqs; n++)
        vit_irq_connect(o->d, n, one_irq, o, n);
    vit_device_reset(o->d);
}

static inline void one_free(OneDevice *o)
{
    vit_system_unlock(o->sys);
    vit_system_free(o->sys);
}

static inline uint64_t one_read(OneDevice *o, uint32_t offset, unsigned size)
{
    return vit_device_read(o->d, offset, size);
}

static inline void one_write(OneDevice *o, uint32_t offset, uint64_t value, unsigned size)
{
    vit_device_write(o->d, offset, value, size);
}

static inline void one_advance(OneDevice *o, int64_t ns)
{
    vit_clock_advance(o->sys->clock, ns, 100000);
}
