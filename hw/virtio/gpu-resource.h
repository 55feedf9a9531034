/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/gpu-resource.h - the 2D resources of a virtio display: pictures on the host, the guest
 * memory behind them, the budget that bounds both */
#pragma once
#include "display/scanout.h"
#include "engine/core/memory.h"

typedef struct {
    uint64_t addr;      /* guest-physical */
    uint64_t start;     /* of this piece in the whole backing, bytes */
    uint32_t length;
} GpuBacking;

typedef struct {
    uint32_t    id, format;
    VitSurface *surface;        /* owned */
    bool        swap;           /* the guest's bytes are in the other order */
    GpuBacking *backing;        /* owned */
    uint32_t    n_backing;
    uint64_t    backing_size;
} GpuResource;

typedef struct {
    GHashTable *by_id;          /* owned: id -> GpuResource*, owned */
    uint64_t    budget, used;   /* bytes of host memory */
} GpuResources;

typedef enum { GPU_OK, GPU_EXISTS, GPU_BAD_FORMAT, GPU_BAD_SIZE, GPU_NO_MEMORY } GpuResult;

void gpu_resources_init(GpuResources *r, uint64_t budget);
void gpu_resources_clear(GpuResources *r);      /* to empty */
void gpu_resources_finish(GpuResources *r);
GpuResource *gpu_resource_find(GpuResources *r, uint32_t id);
GpuResult gpu_resource_create(GpuResources *r, uint32_t id, uint32_t format, uint32_t width,
                              uint32_t height);
void gpu_resource_unref(GpuResources *r, uint32_t id);
/* Takes entries (with addr and length set). False: more than the budget allows. */
bool gpu_resource_attach(GpuResources *r, GpuResource *res, GpuBacking *entries, uint32_t n);
void gpu_resource_detach(GpuResources *r, GpuResource *res);
/* Copies a rectangle that lies within the picture from the backing at offset; false: the backing
 * ends early or is no RAM. */
bool gpu_resource_transfer(GpuResource *res, VitAddressSpace *as, VitRect rect, uint64_t offset);

void gpu_resources_save(GpuResources *r, uint8_t **data, size_t *size);
/* Fills an empty table; false, with the table empty again, when the data are no such save. */
bool gpu_resources_load(GpuResources *r, const uint8_t *data, size_t size);
