/* engine/core/memory-private.h - what ram.c, region.c, view.c, memory.c and memory-bulk.c share
 * SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include "engine/core/memory.h"
#include "engine/core/rcu-private.h"

#include <pthread.h>

typedef enum { REGION_CONTAINER, REGION_RAM, REGION_ROM, REGION_MMIO, REGION_ALIAS } RegionKind;

struct VitRegion {
    RegionKind        kind;
    char             *name;         /* owned */
    uint64_t          size;
    VitRegion        *parent;       /* borrowed; NULL at a root */
    uint64_t          offset;       /* in the parent */
    int               priority;
    bool              enabled;
    bool              readonly;
    VitRam           *ram;          /* RAM, ROM: borrowed */
    uint64_t          ram_offset;
    const VitMmioOps *ops;          /* MMIO: borrowed */
    void             *opaque;       /* MMIO: borrowed */
    VitRegion        *target;       /* ALIAS: borrowed */
    uint64_t          alias_offset; /* ALIAS: of its byte 0 in target */
    GPtrArray        *children;     /* VitRegion*, borrowed; highest priority first */
    GPtrArray        *aliases;      /* VitRegion* that target this one, borrowed */
    GPtrArray        *spaces;       /* VitAddressSpace* whose root this is, borrowed */
};

/* One stretch of the flattened tree.  All addresses of a space lie in exactly one. */
typedef struct {
    uint64_t          start;        /* address */
    uint64_t          last;         /* address of the last byte */
    const VitRegion  *region;       /* for descriptions under the lock only; NULL: unassigned */
    VitRam           *ram;          /* NULL: MMIO or unassigned */
    uint64_t          ram_offset;   /* of start */
    const VitMmioOps *ops;          /* MMIO */
    void             *opaque;
    uint64_t          offset;       /* of start in the region */
    bool              readonly;
} FlatRange;

typedef struct {
    struct rcu_head rcu;
    uint32_t        n;              /* at least 1 */
    uint64_t       *starts;         /* n, sorted; owned: what the search touches */
    FlatRange      *ranges;         /* n; owned */
} FlatView;

typedef struct {
    VitAsListener fn;
    void         *opaque;
} AsListener;

struct VitAddressSpace {
    FlatView       *view;           /* published by RCU, owned */
    GRecMutex      *lock;           /* machine lock for MMIO, borrowed; may be NULL */
    char           *name;           /* owned */
    VitRegion      *root;           /* borrowed; NULL once freed */
    uint64_t        generation;     /* atomic */
    unsigned        depth;          /* of transactions; machine lock */
    bool            pending;        /* a change waits for the commit; machine lock */
    unsigned        mmio_depth;     /* of nested callbacks; machine lock */
    GPtrArray      *rams;           /* VitRam* that the view shows, borrowed; listener_mutex */
    GArray         *listeners;      /* of AsListener; listener_mutex */
    pthread_mutex_t listener_mutex; /* leaf */
};

FlatView *vit_flat_view_new(const VitRegion *root);
void vit_flat_view_free(FlatView *view);

/* The range of addr: binary search without branches that depend on data. */
static inline const FlatRange *vit_flat_view_find(const FlatView *view, uint64_t addr)
{
    const uint64_t *base = view->starts;
    for (uint32_t n = view->n; n > 1;) {
        uint32_t half = n / 2;
        base = base[half] <= addr ? base + half : base;
        n -= half;
    }
    return &view->ranges[base - view->starts];
}

/* The tree below root changed: publish a new view, or remember to. Machine lock held. */
void vit_as_changed(VitAddressSpace *as);
void vit_as_notify_ram(VitAddressSpace *as, VitRam *ram, uint64_t offset, uint64_t size);

/* Which spaces a block's listeners hang on. */
void vit_ram_add_space(VitRam *ram, VitAddressSpace *as);
void vit_ram_remove_space(VitRam *ram, VitAddressSpace *as);

/* One callback-sized or split access to MMIO at addr, which lies in MMIO; takes the lock. */
VitMemResult vit_as_mmio_access(VitAddressSpace *as, uint64_t addr, unsigned size, uint64_t *value,
                                bool write);
