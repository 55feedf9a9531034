/* engine/core/device-private.h - what the device*.c and system*.c files share
 * SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include "engine/core/device.h"

typedef struct {
    VitIrqHandler fn;
    void         *opaque;       /* borrowed */
    unsigned      n;
} IrqSink;

struct VitIrqOut {
    bool    level;
    GArray *sinks;              /* of IrqSink, owned; NULL while there is none */
};

enum { REG_INDEX_LIMIT = 4096, NO_REG = UINT16_MAX };

struct VitDevicePrivate {
    GPtrArray *window_data;     /* the windows' callback data, owned */
    uint16_t  *reg_index;   /* by offset: first row that covers it, or NO_REG; owned; may be NULL */
    bool       quiet;           /* reset or load: levels are set, sinks are told later */
    bool       in_window;       /* a guest access through a window is under way */
    bool       initialized;
};

/* ---- Rows ------------------------------------------------------------------------------------ */

static inline unsigned vit_reg_size(const VitDeviceClass *klass, const VitReg *reg)
{
    return reg->size ? reg->size : klass->reg_size ? klass->reg_size : 1;
}

static inline unsigned vit_reg_count(const VitReg *reg)
{
    return reg->count ? reg->count : 1;
}

static inline unsigned vit_reg_stride(const VitDeviceClass *klass, const VitReg *reg)
{
    return reg->stride ? reg->stride : vit_reg_size(klass, reg);
}

/* From the start of the instance; only for rows with storage. */
static inline size_t vit_reg_storage(const VitDeviceClass *klass, const VitReg *reg, unsigned i)
{
    return reg->at - 1 + (size_t) i * (reg->at_stride ? reg->at_stride : vit_reg_size(klass, reg));
}

/* A stored unsigned integer in host order. */
uint64_t vit_uint_get(const void *at, unsigned size);
void vit_uint_put(void *at, unsigned size, uint64_t value);

/* ---- Reset and load in phases ---------------------------------------------------------------- */

void vit_device_build_reg_index(VitDevice *d);
void vit_device_reset_state(VitDevice *d);      /* tables, timers, hook */
void vit_device_replay(VitDevice *d);
void vit_device_quiesce(VitDevice *d, bool on);      /* update(), then every sink hears the level */
void vit_device_free_state(VitDevice *d);       /* buffers that rows own */

typedef struct VitDeviceStage VitDeviceStage;   /* a parsed and validated state, not yet live */

typedef struct {
    const uint8_t *data;        /* borrowed */
    size_t         left;
} VitReader;

/* Takes one section off the reader.  d NULL: finds the device by the section's id in sys. */
[[nodiscard]] VitDeviceStage *vit_device_stage_new(VitSystem *sys, VitDevice *d, VitReader *reader,
                                                   GError **error);
VitDevice *vit_device_stage_device(const VitDeviceStage *stage);
void vit_device_stage_commit(VitDeviceStage *stage);
void vit_device_stage_free(VitDeviceStage *stage);
