/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/cpu/cpu-memory.c - guest accesses by linear address, the slow path of all others
 *
 * Both pages of a crossing access are looked up before anything is read or written, so that a fault
 * leaves nothing half done. */
#include "engine/cpu/accel.h"
#include "engine/cpu/tlb-private.h"

#include <pthread.h>
#include <string.h>

static unsigned in_page(uint64_t linear)
{
    return (unsigned) linear & (VIT_PAGE_SIZE - 1);
}

static uint64_t next_page(const VitCpu *cpu, uint64_t linear)
{
    uint64_t next = (linear | (VIT_PAGE_SIZE - 1)) + 1;
    return cpu->mode & VIT_MODE_WIDE ? next : (uint32_t) next;
}

/* What a device did may have changed mappings: the next access must see it. */
static void after_mmio(VitCpu *cpu)
{
    cpu->stats[VIT_CPU_STAT_MMIO]++;
    vit_tlb_serve_requests(cpu);
}

/* Whether phys stands on the page that is this CPU's alone. */
static bool is_private(VitCpu *cpu, uint64_t phys)
{
    return cpu->private_page && phys - cpu->private_page->page(cpu->private_opaque) < VIT_PAGE_SIZE;
}

static uint64_t load_phys(VitCpu *cpu, uint64_t phys, unsigned size)
{
    uint64_t value = is_private(cpu, phys)
                         ? cpu->private_page->read(cpu->private_opaque, phys & (VIT_PAGE_SIZE - 1),
                                                   size)
                         : vit_as_load(cpu->memory, phys, size, NULL);
    after_mmio(cpu);
    return value;
}

/* Guest stores to a page with code are announced first: the accelerator may have to run the
 * instruction in another way. */
static void announce_store(VitCpu *cpu, uint64_t phys, unsigned size)
{
    if (!cpu->accel || !cpu->accel->klass->code_store)
        return;
    VitMemTarget t = vit_as_translate(cpu->memory, phys);
    if (t.ram && !t.readonly &&
        __atomic_load_n(&t.ram->clients, __ATOMIC_RELAXED) & 1u << VIT_DIRTY_CODE &&
        !vit_ram_is_dirty(t.ram, VIT_DIRTY_CODE, t.ram_offset, size))
        cpu->accel->klass->code_store(cpu, t.ram, t.ram_offset, size);
}

static void store_phys(VitCpu *cpu, uint64_t phys, uint64_t value, unsigned size)
{
    if (is_private(cpu, phys))
        cpu->private_page->write(cpu->private_opaque, phys & (VIT_PAGE_SIZE - 1), value, size);
    else
        vit_as_store(cpu->memory, phys, value, size);
    after_mmio(cpu);
}

static uint64_t load_host(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    switch (size) {
    case 1: return *p;
    case 2: { uint16_t v; memcpy(&v, p, 2); return v; }
    case 4: { uint32_t v; memcpy(&v, p, 4); return v; }
    case 8: memcpy(&value, p, 8); return value;
    default: memcpy(&value, p, size); return value;
    }
}

static void store_host(uint8_t *p, uint64_t value, unsigned size)
{
    switch (size) {
    case 1: *p = (uint8_t) value; break;
    case 2: memcpy(p, &value, 2); break;
    case 4: memcpy(p, &value, 4); break;
    case 8: memcpy(p, &value, 8); break;
    default: memcpy(p, &value, size); break;
    }
}

static uint64_t load_any(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu,
                         VitAccess access)
{
    unsigned first = VIT_PAGE_SIZE - in_page(linear);

    if (first >= size) {
        VitTlbPage p = vit_tlb_page(cpu, linear, access, mmu);
        return p.host ? load_host(p.host + in_page(linear), size)
                      : load_phys(cpu, p.phys + in_page(linear), size);
    }
    uint64_t bytes = 0;
    VitTlbPage a = vit_tlb_page(cpu, linear, access, mmu);
    VitTlbPage b = vit_tlb_page(cpu, next_page(cpu, linear), access, mmu);
    for (unsigned i = 0; i < size; i++) {
        const VitTlbPage *p = i < first ? &a : &b;
        unsigned at = i < first ? in_page(linear) + i : i - first;
        uint64_t byte = p->host ? p->host[at] : load_phys(cpu, p->phys + at, 1);
        bytes |= byte << (8 * i);
    }
    return bytes;
}

uint64_t vit_cpu_load(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu)
{
    return load_any(cpu, linear, size, mmu, VIT_ACCESS_READ);
}

/* A tracked page has no direct write mapping: the value is then read by physical address. */
uint64_t vit_cpu_load_rmw(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu)
{
    return load_any(cpu, linear, size, mmu, VIT_ACCESS_WRITE);
}

void vit_cpu_store(VitCpu *cpu, uint64_t linear, uint64_t value, unsigned size, unsigned mmu)
{
    unsigned first = VIT_PAGE_SIZE - in_page(linear);

    if (first >= size) {
        VitTlbPage p = vit_tlb_page(cpu, linear, VIT_ACCESS_WRITE, mmu);
        if (p.host) {
            store_host(p.host + in_page(linear), value, size);
        } else {
            announce_store(cpu, p.phys + in_page(linear), size);
            store_phys(cpu, p.phys + in_page(linear), value, size);
        }
        return;
    }
    uint8_t bytes[8];
    memcpy(bytes, &value, sizeof bytes);
    vit_cpu_store_bytes(cpu, linear, bytes, size, mmu);
}

void vit_cpu_load_bytes(VitCpu *cpu, uint64_t linear, void *buf, unsigned size, unsigned mmu)
{
    unsigned first = MIN(size, VIT_PAGE_SIZE - in_page(linear));
    VitTlbPage page[2] = { vit_tlb_page(cpu, linear, VIT_ACCESS_READ, mmu) };
    uint8_t *out = buf;

    if (first < size)
        page[1] = vit_tlb_page(cpu, next_page(cpu, linear), VIT_ACCESS_READ, mmu);
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = i ? 0 : in_page(linear), n = i ? size - first : first;
        if (page[i].host) {
            memcpy(out, page[i].host + at, n);
        } else if (n) {
            vit_as_read(cpu->memory, page[i].phys + at, out, n);
            after_mmio(cpu);
        }
        out += n;
    }
}

void vit_cpu_store_bytes(VitCpu *cpu, uint64_t linear, const void *buf, unsigned size, unsigned mmu)
{
    unsigned first = MIN(size, VIT_PAGE_SIZE - in_page(linear));
    VitTlbPage page[2] = { vit_tlb_page(cpu, linear, VIT_ACCESS_WRITE, mmu) };
    const uint8_t *in = buf;

    if (first < size)
        page[1] = vit_tlb_page(cpu, next_page(cpu, linear), VIT_ACCESS_WRITE, mmu);
    if (!page[0].host)
        announce_store(cpu, page[0].phys + in_page(linear), first);
    if (first < size && !page[1].host)
        announce_store(cpu, page[1].phys, size - first);
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = i ? 0 : in_page(linear), n = i ? size - first : first;
        if (page[i].host) {
            memcpy(page[i].host + at, in, n);
        } else if (n) {
            vit_as_write(cpu->memory, page[i].phys + at, in, n);
            after_mmio(cpu);
        }
        in += n;
    }
}

void vit_cpu_probe(VitCpu *cpu, uint64_t linear, unsigned size, bool write, unsigned mmu)
{
    VitAccess access = write ? VIT_ACCESS_WRITE : VIT_ACCESS_READ;

    vit_tlb_page(cpu, linear, access, mmu);
    if (in_page(linear) + size > VIT_PAGE_SIZE)
        vit_tlb_page(cpu, next_page(cpu, linear), access, mmu);
}

void *vit_cpu_host_page(VitCpu *cpu, uint64_t linear, bool write, unsigned mmu, unsigned *length)
{
    VitTlbPage p = vit_tlb_page(cpu, linear, write ? VIT_ACCESS_WRITE : VIT_ACCESS_READ, mmu);

    *length = VIT_PAGE_SIZE - in_page(linear);
    return p.host ? p.host + in_page(linear) : NULL;
}

/* ---- Atomic ---------------------------------------------------------------------------------- */

static uint64_t apply(VitAtomicOp op, uint64_t old, uint64_t value)
{
    switch (op) {
    case VIT_ATOMIC_ADD: return old + value;
    case VIT_ATOMIC_AND: return old & value;
    case VIT_ATOMIC_OR: return old | value;
    case VIT_ATOMIC_XOR: return old ^ value;
    case VIT_ATOMIC_XCHG: break;
    }
    return value;
}

static bool exchange_host(uint8_t *p, uint64_t *expected, uint64_t desired, unsigned size)
{
#define CASE(n, T)                                                                                 \
    case n: {                                                                                      \
        T e = (T) *expected;                                                                       \
        bool done = __atomic_compare_exchange_n((T *) (void *) p, &e, (T) desired, false,          \
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);               \
        *expected = e;                                                                             \
        return done;                                                                               \
    }
    switch (size) {
        CASE(1, uint8_t)
        CASE(2, uint16_t)
        CASE(4, uint32_t)
    default:
        CASE(8, uint64_t)
    }
#undef CASE
}

/* The host pointer when the whole operand is directly writable on one page, aligned or not (an
 * unaligned lock is split by the host's own hardware). */
static uint8_t *atomic_host(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu)
{
    if (in_page(linear) + size > VIT_PAGE_SIZE)
        return NULL;
    VitTlbPage p = vit_tlb_page(cpu, linear, VIT_ACCESS_WRITE, mmu);
    if (p.host)
        return p.host + in_page(linear);
    VitMemTarget t = vit_as_translate(cpu->memory, p.phys + in_page(linear));
    if (!t.ram || t.readonly || t.length < size)
        return NULL;
    announce_store(cpu, p.phys + in_page(linear), size);  /* tracked RAM: atomically, then marked */
    return t.host;
}

/* A tracked page has no entry in the write TLB: say what was written. */
static void mark_written(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu)
{
    VitTlbPage p = vit_tlb_page(cpu, linear, VIT_ACCESS_WRITE, mmu);
    if (p.host)
        return;
    VitMemTarget t = vit_as_translate(cpu->memory, p.phys + in_page(linear));
    if (t.ram)
        vit_ram_mark_dirty(t.ram, t.ram_offset, size);
}

/* MMIO and page-crossing operands: one at a time in this machine.  All that may unwind comes
 * first. */
static void lock_slow(VitCpu *cpu, uint64_t linear, unsigned size, unsigned mmu)
{
    unsigned first = MIN(size, VIT_PAGE_SIZE - in_page(linear));
    VitTlbPage a = vit_tlb_page(cpu, linear, VIT_ACCESS_WRITE, mmu);

    if (first < size) {
        VitTlbPage b = vit_tlb_page(cpu, next_page(cpu, linear), VIT_ACCESS_WRITE, mmu);
        if (!b.host)
            announce_store(cpu, b.phys, size - first);
    }
    if (!a.host)
        announce_store(cpu, a.phys + in_page(linear), first);
    g_rec_mutex_lock(&cpu->sys->lock);
}
static void unlock_slow(VitCpu *cpu) { g_rec_mutex_unlock(&cpu->sys->lock); }

uint64_t vit_cpu_atomic(VitCpu *cpu, VitAtomicOp op, uint64_t linear, uint64_t value, unsigned size,
                        unsigned mmu)
{
    uint64_t mask = size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
    uint8_t *host = atomic_host(cpu, linear, size, mmu);

    if (host) {
        uint64_t old = load_host(host, size);
        while (!exchange_host(host, &old, apply(op, old, value) & mask, size)) { }
        mark_written(cpu, linear, size, mmu);
        return old;
    }
    lock_slow(cpu, linear, size, mmu);
    uint64_t old = vit_cpu_load_rmw(cpu, linear, size, mmu);
    vit_cpu_store(cpu, linear, apply(op, old, value) & mask, size, mmu);
    unlock_slow(cpu);
    return old;
}

uint64_t vit_cpu_cmpxchg(VitCpu *cpu, uint64_t linear, uint64_t expected, uint64_t desired,
                         unsigned size, unsigned mmu)
{
    uint64_t mask = size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
    uint8_t *host = atomic_host(cpu, linear, size, mmu);

    if (host) {
        uint64_t old = expected & mask;
        if (exchange_host(host, &old, desired, size))
            mark_written(cpu, linear, size, mmu);
        return old;
    }
    lock_slow(cpu, linear, size, mmu);
    uint64_t old = vit_cpu_load_rmw(cpu, linear, size, mmu);
    if (old == (expected & mask))
        vit_cpu_store(cpu, linear, desired, size, mmu);
    unlock_slow(cpu);
    return old;
}

bool vit_cpu_cmpxchg16(VitCpu *cpu, uint64_t linear, uint64_t expected[2],
                       const uint64_t desired[2], unsigned mmu)
{
    uint8_t *host = atomic_host(cpu, linear, 16, mmu);

    if (host) {
#if defined(__x86_64__)
        bool done;
        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(unsigned __int128 *) (void *) host),
                           "+a"(expected[0]), "+d"(expected[1])
                         : "b"(desired[0]), "c"(desired[1])
                         : "memory");
#else
        unsigned __int128 old = (unsigned __int128) expected[1] << 64 | expected[0];
        bool done = __atomic_compare_exchange_n((unsigned __int128 *) (void *) host, &old,
                                                (unsigned __int128) desired[1] << 64 | desired[0],
                                                false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        expected[0] = (uint64_t) old;
        expected[1] = (uint64_t) (old >> 64);
#endif
        if (done)
            mark_written(cpu, linear, 16, mmu);
        return done;
    }
    lock_slow(cpu, linear, 16, mmu);
    uint64_t old[2] = { vit_cpu_load_rmw(cpu, linear, 8, mmu),
                        vit_cpu_load_rmw(cpu, linear + 8, 8, mmu) };
    bool same = old[0] == expected[0] && old[1] == expected[1];
    if (same) {
        vit_cpu_store(cpu, linear, desired[0], 8, mmu);
        vit_cpu_store(cpu, linear + 8, desired[1], 8, mmu);
    }
    expected[0] = old[0];
    expected[1] = old[1];
    unlock_slow(cpu);
    return same;
}
