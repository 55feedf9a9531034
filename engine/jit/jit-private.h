/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/jit-private.h - blocks, pages with code, the code cache; what run loop and hosts share
 *
 * Lock: JitAccel.lock guards everything reachable from it but the vCPUs' own JitCpu. */
#pragma once
#include "engine/jit/jit.h"

/* Translated code addresses the vCPU from here: requests, mode and the first 16 registers of the
 * ISA are then within a signed byte. */
enum { JIT_BASE = sizeof(VitCpu) + 32 };

enum { JIT_REGIONS = 16, JIT_REGION_SIZE = 16 << 20, JIT_CACHE_SIZE = JIT_REGIONS * JIT_REGION_SIZE,
       JIT_PRELUDE_SIZE = 16384, JIT_HASH_BITS = 18, JIT_MAX_VIEWS = 1 << 20 };

typedef struct JitBlock JitBlock;
typedef struct JitPage JitPage;
typedef struct JitCpu JitCpu;

/* A direct way out of a block: a 32-bit displacement that may be patched. */
typedef struct {
    JitBlock *target;       /* linked to, or NULL */
    JitBlock *next_from, *prev_from;    /* list of target's: which blocks are its neighbours; */
    uint8_t   next_n, prev_n;           /* and which of their exits */
    bool      guarded;      /* goes to another page: only while its view is the one in `guard` */
    uint32_t  site;         /* displacement's offset from the block's head; 0 = no such exit */
    uint32_t  stub;         /* where it leads while not linked */
    uint32_t  guard;        /* guarded: offset of the 32-bit view compared with */
    uint32_t  leave;        /* displacement of the stub's jump out; 0 = none */
    uint32_t  view;         /* guarded: view it was once linked for; it never changes */
    uint64_t  pc;
} JitExit;

/* host offset after which; pc - block's pc */
typedef struct { uint32_t host : 20, pc : 12; } JitPcEntry;

struct JitBlock {
    uint64_t    pc, mode;
    uint8_t    *code;       /* executable view: head; NULL for the interpreter */
    uint32_t    code_size;
    uint32_t    view;     /* names linear and physical page */
    uint32_t    view2;    /* of the second page, when its one instruction crosses into it; else 0 */
    uint16_t    size;     /* guest bytes */
    uint16_t    n_pcs;
    uint8_t     n_insns;
    bool        dead;
    bool        single;     /* one instruction, not in the cache: stores beneath its own feet */
    uint32_t    check;      /* of the guest bytes */
    JitPcEntry *pcs;
    VitIr      *ir;         /* interpreter */
    JitBlock   *hash_next;
    JitPage    *page[2];
    JitBlock   *page_next[2], *page_prev[2];    /* lists of the pages */
    JitBlock   *from;       /* first block linked to this one, */
    uint8_t     from_n;     /* by which of its exits */
    JitExit     exit[2];
};

typedef struct { uint64_t linear; uint32_t id; uint32_t next; } JitView;

struct JitPage {            /* a page of RAM that holds code */
    VitRam   *ram;
    uint64_t  offset;       /* in ram */
    JitBlock *blocks;
    uint64_t  chunks;       /* bit per 64 bytes that code stands on; may be too many */
    uint64_t  writes;       /* counts stores to the page */
    uint32_t  views;        /* list of JitView, 0 ends */
    uint32_t  invalidations;
};

typedef struct {
    uint8_t   *code, *code_end;     /* writable view: code grows up, */
    uint8_t   *meta;                /* blocks and tables grow down to it */
    JitBlock **blocks;              /* ascending by address; owned */
    unsigned   n_blocks, max_blocks;
} JitRegion;

typedef struct {
    VitAccel   parent;
    bool       interp;
    VitJitOptions options;
    GMutex     lock;
    GPtrArray *cpus;                /* JitCpu */
    /* code cache */
    uint8_t   *rw, *rx;             /* two views of one memfd */
    ptrdiff_t  rx_delta;            /* rx - rw */
    uint8_t   *prelude;             /* rw: thunks */
    struct {                        /* executable addresses, made by the host's prelude */
        uint8_t *enter, *exit, *lookup, *lookup_slot, *loop, *loop_slot, *save, *reload, *save_some,
            *reload_some;
        uint8_t *memory[16], *memory_vectors[16];   /* by the register that holds the address */
    } thunk;
    JitRegion  region[JIT_REGIONS];
    unsigned   current;             /* region that is being filled */
    bool       draining;            /* a region waits for all vCPUs to leave it */
    uint64_t   drops;               /* regions dropped so far: older block addresses mean nothing */
    JitBlock  *hash[1 << JIT_HASH_BITS];
    GHashTable *pages;              /* host address of a page -> JitPage, owned */
    JitPage  **view_page;           /* by view id */
    JitView   *views;               /* by view id; 0 is none */
    uint32_t   n_views, max_views;
    const VitIsa *isa;              /* of the vCPUs */
} JitAccel;

struct JitCpu {
    VitCpu    *cpu;
    JitAccel  *accel;
    uint32_t   in_code;     /* atomic: code of the cache may be running */
    uint32_t   rounds;      /* atomic: times it came out */
    bool       single;      /* next block: one instruction, not kept */
    bool       restart;     /* the unwind under way is no fault: run the instruction again, alone */
    JitBlock  *running;     /* interpreter: the block */
    JitPage   *page[2];     /* of the translation under way */
    uint64_t   writes[2];   /* their counts before the bytes were read */
    bool       next_tried;
    VitTranslate request;
    VitIr      ir;
    uint8_t    next_page[VIT_PAGE_SIZE];    /* bytes of a page that is no RAM */
    uint8_t    first_page[VIT_PAGE_SIZE];
    void      *gen;             /* host's working storage; owned */
};

static inline JitCpu *jit_cpu(const VitCpu *cpu) { return cpu->accel_data; }

/* ---- code-cache.c ---------------------------------------------------------------------------- */
[[nodiscard]] bool jit_cache_init(JitAccel *accel, GError **error);
void jit_cache_finish(JitAccel *accel);
/* Room in the region being filled, at least `bytes` between code and tables; NULL:
 * jit_cache_advance(). */
JitRegion *jit_cache_region(JitAccel *accel, size_t bytes);
/* the caller has seen to the room */
void *jit_cache_meta(JitRegion *r, size_t size, size_t align);
/* Moves to the next region, dropping what stands there; lets go of the lock while it waits. */
void jit_cache_advance(JitAccel *accel, JitCpu *jc);
JitBlock *jit_cache_find_host(JitAccel *accel, const void *host);
void jit_enter_code(JitCpu *jc);
void jit_leave_code(JitCpu *jc);

/* ---- blocks.c: lookup by page, invalidation; lock held --------------------------------------- */
JitPage *jit_page_get(JitAccel *accel, VitRam *ram, uint64_t offset);
uint32_t jit_view_get(JitAccel *accel, JitPage *page, uint64_t linear);
JitBlock *jit_block_find(JitAccel *accel, uint32_t view, uint64_t pc, uint64_t mode);
void jit_block_insert(JitAccel *accel, JitBlock *b, JitPage *first, JitPage *second);
void jit_block_kill(JitAccel *accel, JitBlock *b);
void jit_block_link(JitAccel *accel, JitBlock *from, unsigned n, JitBlock *to);
uint32_t jit_check_bytes(const uint8_t *p, unsigned n, uint32_t seed);
/* VitRam's hook: any thread. */
void jit_code_written(void *opaque, VitRam *ram, uint64_t offset, uint64_t size);
void jit_code_store(VitCpu *cpu, VitRam *ram, uint64_t offset, uint64_t size);

/* ---- translate.c ----------------------------------------------------------------------------- */
/* Block at the vCPU's pc and mode, translated when there is none.  May unwind. */
JitBlock *jit_translate_at(JitCpu *jc, uint64_t pc);

/* ---- a host backend -------------------------------------------------------------------------- */
bool jit_host_available(void);
void jit_host_prelude(JitAccel *accel);
void *jit_host_gen_new(JitAccel *accel);
/* Compiles jc->ir into the region; fills the block's code, table and exits.  False: no room, or too
 * much for one block. */
bool jit_host_compile(JitCpu *jc, JitRegion *r, JitBlock *b, unsigned code_mmu);
void jit_host_kill(JitAccel *accel, JitBlock *b);           /* entry leads out from now on */
/* NULL: back to the stub */
void jit_host_patch(JitAccel *accel, JitBlock *b, JitExit *e, const JitBlock *target);
/* The exit is not to be offered for linking again: its stub looks the block up. */
void jit_host_unlinkable(JitAccel *accel, JitBlock *b, JitExit *e);
/* Runs from `code` until it comes out; returns block | exit number when a direct exit is to be
 * linked. */
uintptr_t jit_host_enter(JitCpu *jc, const uint8_t *code);
const uint8_t *jit_host_body(const JitBlock *b);           /* past the check for requests */
