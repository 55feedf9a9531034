/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/virtio/queue-map.h - "iothread-vq-mapping": which iothread works on which queue of a device */
#pragma once
#include "block/objects.h"
#include "hw/virtio/virtio.h"

typedef struct {
    GPtrArray *objects; /* owned, of VitBlockObject*: uses; NULL: no mapping */
    unsigned n_queues;
    unsigned object_of[VIT_VIRTIO_QUEUES]; /* of each queue, in objects */
} VitVirtioMap;

/* json: [{"iothread": ID, "vqs": [N, ...]}, ...], NULL: none.  Every queue is in one entry, or no
 * entry names any and they take turns.  iothread: the device's other option, which excludes it. */
[[nodiscard]] bool vit_virtio_map_take(VitVirtioMap *map, VitBlockObjects *objects,
                                       const char *json, const char *iothread, unsigned n_queues,
                                       GError **error);
/* Where the device itself is, with queue 0: the id of an iothread; NULL: nothing is mapped. */
const char *vit_virtio_map_home(const VitVirtioMap *map);
/* From the device's init hook: the first mapped queue is the device's number `first`. */
void vit_virtio_map_apply(const VitVirtioMap *map, VitVirtio *v, unsigned first);
void vit_virtio_map_leave(VitVirtioMap *map); /* after vit_virtio_finish() */
