/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/core/memory.h - RAM blocks, the region tree, address spaces and their published views
 *
 * Threads: the tree is changed under the machine lock (VitSystem.lock); lookups and accesses run on
 * any thread without it, inside an RCU read section taken by these functions themselves.
 * Addresses and sizes are in bytes, guest-physical. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- RAM blocks: memfd-backed, page-granular dirty maps per client ------------------------- */

enum { VIT_PAGE_BITS = 12, VIT_PAGE_SIZE = 1 << VIT_PAGE_BITS };

typedef enum {
    VIT_DIRTY_DISPLAY,  /* frame buffers that a scanout is drawn from */
    VIT_DIRTY_CODE,   /* set = no translated code stands on the page; clear = writes must be seen */
    VIT_DIRTY_SNAPSHOT,
    VIT_DIRTY_CLIENTS
} VitDirtyClient;

typedef struct VitRam VitRam;
typedef struct VitRamPrivate VitRamPrivate;

struct VitRam {
    char    *name;                     /* owned */
    uint8_t *host;                     /* mapping of the whole block */
    uint64_t size;                     /* multiple of VIT_PAGE_SIZE */
    int      fd;                       /* memfd, shareable with vhost-user and the GPU */
    uint8_t *dirty;                    /* one byte a page: bit c set = dirty for client c; atomic */
    uint32_t clients;                  /* atomic bit set of clients that track this block */
    VitRamPrivate *priv;               /* owned */
};

/* Allocates zeroed RAM.  Fails (naming size and remedy) when the host cannot back it. */
[[nodiscard]] VitRam *vit_ram_new(const char *name, uint64_t size, GError **error);
void vit_ram_free(VitRam *ram);             /* NULL is fine; no address space may still show it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitRam, vit_ram_free)

/* Starts or stops tracking; starting sets all of that client's bits: everything is to be drawn or
 * saved, no page holds translated code. */
void vit_ram_track(VitRam *ram, VitDirtyClient client, bool on);
/* Marks [offset, offset+size) dirty for every client.  Cheap when already dirty. Any thread. */
void vit_ram_mark_dirty(VitRam *ram, uint64_t offset, uint64_t size);
/* Sets one client's bits.  The translator does so when the last code on a page is gone. */
void vit_ram_set_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size);
/* Clears one client's bits and has every listener drop direct-store mappings of what was set. The
 * translator does so before it reads a page's code.  Returns whether any bit was set. */
bool vit_ram_clear_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size);
bool vit_ram_is_dirty(const VitRam *ram, VitDirtyClient client, uint64_t offset, uint64_t size);
/* Called by vit_ram_mark_dirty() on the writing thread, after the data were stored, with the exact
 * bytes written on pages whose CODE bit is clear.  With a hook set, marking leaves the CODE bit
 * alone: the translator drops that range's code and sets the bit when the page has none left. */
typedef void (*VitRamCodeFunc)(void *opaque, VitRam *ram, uint64_t offset, uint64_t size);
void vit_ram_set_code_hook(VitRam *ram, VitRamCodeFunc code_written, void *opaque);
/* True when a write to the page must go through vit_ram_mark_dirty() (some tracking client has it
 * clean): the translator's write TLB must not map such a page for direct stores. */
bool vit_ram_page_is_tracked_clean(const VitRam *ram, uint64_t offset);
/* Copies the client's dirty bits of [offset, size) into bitmap (bit per page, may be NULL), clears
 * them and has every listener drop direct-store mappings.  Returns whether any page was dirty. */
bool vit_ram_test_and_clear_dirty(VitRam *ram, VitDirtyClient client, uint64_t offset,
                                  uint64_t size, unsigned long *bitmap);

/* ---- Regions -------------------------------------------------------------------------------- */

typedef enum { VIT_MEM_OK, VIT_MEM_UNASSIGNED, VIT_MEM_READONLY } VitMemResult;

typedef struct {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);            /* size 1, 2, 4, 8 */
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    /* Sizes that the callbacks take; 0 = 1 and 4.  Larger accesses are split, smaller ones widened
     * to the aligned min_size around them (a widened write has zeroes in the other bytes).
     * Alignment is not enforced: x86 ports have 16-bit registers at odd addresses. */
    uint8_t min_size, max_size;
    bool    unlocked;           /* callbacks run without the machine lock (they lock themselves) */
} VitMmioOps;

typedef struct VitRegion VitRegion;

/* Regions are owned by their creator, who frees them after removing them from the tree. */
[[nodiscard]] VitRegion *vit_region_new_container(const char *name, uint64_t size);
[[nodiscard]] VitRegion *vit_region_new_ram(const char *name, VitRam *ram, uint64_t ram_offset,
                                            uint64_t size);     /* ram borrowed */
[[nodiscard]] VitRegion *vit_region_new_rom(const char *name, VitRam *ram, uint64_t ram_offset,
                                            uint64_t size);     /* guest writes are dropped */
[[nodiscard]] VitRegion *vit_region_new_mmio(const char *name, const VitMmioOps *ops, void *opaque,
                                             uint64_t size);    /* ops borrowed for life */
[[nodiscard]] VitRegion *vit_region_new_alias(const char *name, VitRegion *target, uint64_t offset,
                                              uint64_t size);
void vit_region_free(VitRegion *region);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitRegion, vit_region_free)

const char *vit_region_name(const VitRegion *region);
uint64_t vit_region_size(const VitRegion *region);

/* Overlap of siblings with equal priority is a programming error and reported by
 * vit_region_check(); the higher priority wins where they overlap.  All tree changes take effect
 * at once in every address space, or at the end of the outermost transaction. */
void vit_region_add(VitRegion *parent, uint64_t offset, VitRegion *child, int priority);
void vit_region_remove(VitRegion *parent, VitRegion *child);    /* no-op when not its child */
void vit_region_set_enabled(VitRegion *region, bool enabled);
void vit_region_set_readonly(VitRegion *region, bool readonly); /* of a RAM region or alias */
void vit_region_move(VitRegion *region, uint64_t offset);       /* within its parent */
void vit_region_set_alias_offset(VitRegion *alias, uint64_t offset);
void vit_region_resize(VitRegion *region, uint64_t size);
bool vit_region_is_mapped(const VitRegion *region);

/* ---- Address spaces ------------------------------------------------------------------------- */

typedef struct VitAddressSpace VitAddressSpace;

[[nodiscard]] VitAddressSpace *vit_as_new(const char *name, VitRegion *root);   /* root borrowed */
/* The lock (borrowed) around MMIO callbacks.  vit_system_as_new() sets it; without one none is
 * taken. */
void vit_as_set_lock(VitAddressSpace *as, GRecMutex *lock);
void vit_as_free(VitAddressSpace *as);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VitAddressSpace, vit_as_free)

void vit_as_begin(VitAddressSpace *as);     /* transactions nest; machine lock held */
void vit_as_commit(VitAddressSpace *as);

/* Called after a new view is published (ram == NULL), and when direct-store mappings of a RAM range
 * must go (ram != NULL).  The callback may be called on any thread and must not block: it asks
 * vCPUs to flush, and it must not call vit_ram_*() or change listeners.  Since a vCPU may run a
 * moment longer on old mappings, RAM is never unmapped while vCPUs run. */
typedef void (*VitAsListener)(void *opaque, VitRam *ram, uint64_t offset, uint64_t size);
void vit_as_add_listener(VitAddressSpace *as, VitAsListener fn, void *opaque);
void vit_as_remove_listener(VitAddressSpace *as, VitAsListener fn, void *opaque);
uint64_t vit_as_generation(const VitAddressSpace *as);  /* grows with each published view */

typedef struct {
    VitRam  *ram;           /* NULL: MMIO or unassigned */
    uint8_t *host;          /* RAM/ROM: address of the byte asked for; else NULL */
    uint64_t ram_offset;    /* of that byte in ram */
    uint64_t offset;        /* of that byte in the region (MMIO) */
    uint64_t length;        /* bytes from there to the end of this flat range */
    bool     readonly;
    bool     assigned;
} VitMemTarget;

/* What a physical address shows now.  Any thread. */
VitMemTarget vit_as_translate(VitAddressSpace *as, uint64_t addr);

/* One access of 1, 2, 4 or 8 bytes, little-endian value, RAM or MMIO, any alignment.  MMIO runs the
 * callbacks under the machine lock unless ops->unlocked.  Unassigned reads give all ones. */
uint64_t vit_as_load(VitAddressSpace *as, uint64_t addr, unsigned size, VitMemResult *result);
VitMemResult vit_as_store(VitAddressSpace *as, uint64_t addr, uint64_t value, unsigned size);

/* Bulk transfer for DMA: RAM by memcpy with dirty marking (code included), MMIO by widest
 * accesses. */
VitMemResult vit_as_read(VitAddressSpace *as, uint64_t addr, void *buf, uint64_t size);
VitMemResult vit_as_write(VitAddressSpace *as, uint64_t addr, const void *buf, uint64_t size);
VitMemResult vit_as_fill(VitAddressSpace *as, uint64_t addr, uint8_t byte, uint64_t size);

/* Direct pointer to RAM for zero-copy I/O; NULL when addr is not writable/readable RAM.  *size is
 * cut to the contiguous length.  Pair with vit_as_unmap(), which marks what was written dirty. */
void *vit_as_map(VitAddressSpace *as, uint64_t addr, uint64_t *size, bool write);
void vit_as_unmap(VitAddressSpace *as, void *host, uint64_t size, bool written);

/* "memory map" text for the monitor: one line a flat range. */
char *vit_as_describe(VitAddressSpace *as);
/* NULL, or a message about overlapping siblings of equal priority (caller frees). */
char *vit_region_check(const VitRegion *root);
