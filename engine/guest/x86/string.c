/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/string.c - repeated string instructions, page by page (Intel SDM vol. 2: REP,
 * MOVS, INS)
 *
 * Registers are kept up to date before everything that may fault, so that an unwind leaves the
 * state of an interrupted instruction.  The flags of CMPS and SCAS are written when the instruction
 * ends: a fault leaves those of before, and so does an interrupt, as processors do although the
 * manual promises it of faults alone.  One call moves at most QUANTUM bytes. */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/helpers.h"

#include <string.h>

enum { QUANTUM = 256 * 1024, PORT_QUANTUM = 1024 };

typedef struct {
    X86Cpu *x;
    unsigned op, bytes, asize, seg, rep, mmu;
    bool is_long, down;
    bool from_limits, to_limits; /* x86_h_seg_check() must see each element */
    uint64_t mask; /* of the address size */
    uint64_t from_base, to_base;
    bool compared; /* CMPS or SCAS has looked at an element */
    unsigned flags; /* VIT_FLAG_*, of the last one; the guest's once the instruction ends */
} Op;

/* ---- Registers and addresses ----------------------------------------------------------------- */

static uint64_t get(const Op *o, unsigned reg)
{
    return o->x->gpr[reg] & o->mask;
}

static void set(const Op *o, unsigned reg, uint64_t v)
{
    if (o->asize == 2) o->x->gpr[reg] = (o->x->gpr[reg] & ~0xffffULL) | (v & 0xffff);
    else o->x->gpr[reg] = v & o->mask;
}

static uint64_t linear(const Op *o, unsigned seg, uint64_t offset, bool write)
{
    uint64_t base = seg == X86_ES ? o->to_base : o->from_base;

    if (o->is_long) return base + offset;
    if (seg == X86_ES ? o->to_limits : o->from_limits)
        return x86_h_seg_check(&o->x->cpu, seg, offset, o->bytes | (unsigned)write << 8, 0);
    return (uint32_t)(base + offset);
}

static uint64_t source(const Op *o)
{
    return linear(o, o->seg, get(o, X86_RSI), false);
}

static uint64_t destination(const Op *o, bool write)
{
    return linear(o, X86_ES, get(o, X86_RDI), write);
}

static bool uses_source(const Op *o)
{
    return o->op == X86_STRING_MOVS || o->op == X86_STRING_CMPS || o->op == X86_STRING_LODS ||
           o->op == X86_STRING_OUTS;
}

static bool uses_destination(const Op *o)
{
    return o->op != X86_STRING_LODS && o->op != X86_STRING_OUTS;
}

/* n elements are done. */
static void advance(const Op *o, uint64_t n)
{
    uint64_t step = n * o->bytes * (o->down ? UINT64_MAX : 1);

    if (uses_source(o)) set(o, X86_RSI, get(o, X86_RSI) + step);
    if (uses_destination(o)) set(o, X86_RDI, get(o, X86_RDI) + step);
    if (o->rep != X86_STRING_ONCE) set(o, X86_RCX, get(o, X86_RCX) - n);
}

/* ---- One element ----------------------------------------------------------------------------- */

static uint64_t accumulator(const Op *o)
{
    return o->bytes == 8 ? o->x->gpr[X86_RAX] : o->x->gpr[X86_RAX] & ((1ULL << (8 * o->bytes)) - 1);
}

static void set_accumulator(const Op *o, uint64_t v)
{
    uint64_t *rax = &o->x->gpr[X86_RAX];

    if (o->bytes >= 4) *rax = v;
    else *rax = (*rax & ~((1ULL << (8 * o->bytes)) - 1)) | v;
}

static void compare(Op *o, uint64_t a, uint64_t b)
{
    unsigned bits = 8 * o->bytes, flags;
    uint64_t r = a - b, msb = 1ULL << (bits - 1);

    r &= msb | (msb - 1);
    flags = (a < b ? VIT_FLAG_C : 0) | (r == 0 ? VIT_FLAG_Z : 0) | (r & msb ? VIT_FLAG_S : 0) |
            ((a ^ b ^ r) & VIT_FLAG_A) | (__builtin_parity((unsigned)r & 0xff) ? 0 : VIT_FLAG_P) |
            ((a ^ b) & (a ^ r) & msb ? VIT_FLAG_O : 0);
    o->flags = flags;
    o->compared = true;
}

static void one(Op *o)
{
    VitCpu *cpu = &o->x->cpu;
    uint64_t a, to;

    switch (o->op) {
    case X86_STRING_MOVS:
        a = vit_cpu_load(cpu, source(o), o->bytes, o->mmu);
        vit_cpu_store(cpu, destination(o, true), a, o->bytes, o->mmu);
        break;
    case X86_STRING_STOS:
        vit_cpu_store(cpu, destination(o, true), accumulator(o), o->bytes, o->mmu);
        break;
    case X86_STRING_LODS: set_accumulator(o, vit_cpu_load(cpu, source(o), o->bytes, o->mmu)); break;
    case X86_STRING_CMPS:
        a = vit_cpu_load(cpu, source(o), o->bytes, o->mmu);
        compare(o, a, vit_cpu_load(cpu, destination(o, false), o->bytes, o->mmu));
        break;
    case X86_STRING_SCAS:
        compare(o, accumulator(o), vit_cpu_load(cpu, destination(o, false), o->bytes, o->mmu));
        break;
    case X86_STRING_INS:
        to = destination(o, true);
        vit_cpu_probe(cpu, to, o->bytes, true,
                      o->mmu); /* reading a port has effects: fault before */
        a = x86_h_in(cpu, o->x->gpr[X86_RDX] & 0xffff, o->bytes, 0, 0);
        vit_cpu_store(cpu, to, a, o->bytes, o->mmu);
        break;
    default:
        a = vit_cpu_load(cpu, source(o), o->bytes, o->mmu);
        x86_h_out(cpu, o->x->gpr[X86_RDX] & 0xffff, a, o->bytes, 0);
        break;
    }
    advance(o, 1);
}

/* Whether CMPS or SCAS ends by its condition. */
static bool condition_ends(const Op *o)
{
    bool equal = o->flags & VIT_FLAG_Z;

    return o->compared && equal != (o->rep == X86_STRING_REPE);
}

/* ---- A run of elements within one page of each operand --------------------------------------- */

/* Elements from offset on that stay in the page and do not wrap, at most n. */
static uint64_t run_length(const Op *o, uint64_t offset, uint64_t at, uint64_t n)
{
    uint64_t in_page = at & 4095, fit, to_wrap;

    if (in_page + o->bytes > 4096) return 0;
    fit = o->down ? in_page / o->bytes + 1 : (4096 - in_page) / o->bytes;
    to_wrap = o->down ? offset / o->bytes + 1 : ((o->mask - offset) / o->bytes) + 1;
    if (!o->down && o->mask - offset < o->bytes - 1) return 0;
    return MIN(n, MIN(fit, to_wrap));
}

static uint64_t element(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    memcpy(&v, p, bytes);
    return v;
}

static void move_run(const Op *o, uint8_t *to, const uint8_t *from, uint64_t n)
{
    uint64_t size = n * o->bytes;

    if (!o->down && (to + size <= from || from + size <= to || to <= from)) {
        memmove(to, from, size);
        return;
    }
    for (uint64_t i = 0; i < n; i++) { /* overlapping: each element sees the ones before */
        ptrdiff_t at = (ptrdiff_t)(i * o->bytes) * (o->down ? -1 : 1);
        uint64_t v = element(from + at, o->bytes);
        memcpy(to + at, &v, o->bytes);
    }
}

static void fill_run(const Op *o, uint8_t *to, uint64_t n)
{
    uint64_t v = accumulator(o);

    if (o->down) to -= (n - 1) * o->bytes;
    if (o->bytes == 1 || v == 0) {
        memset(to, (int)v, n * o->bytes);
        return;
    }
    for (uint64_t i = 0; i < n; i++) memcpy(to + i * o->bytes, &v, o->bytes);
}

/* CMPS and SCAS up to the element that ends them; returns how many were looked at. */
static uint64_t compare_run(Op *o, const uint8_t *a, const uint8_t *b, uint64_t n)
{
    bool while_equal = o->rep == X86_STRING_REPE;
    ptrdiff_t step = o->down ? -(ptrdiff_t)o->bytes : (ptrdiff_t)o->bytes;
    uint64_t x = accumulator(o), y = 0, i = 0;

    for (; i < n; i++, b += step) {
        if (a) {
            x = element(a, o->bytes);
            a += step;
        }
        y = element(b, o->bytes);
        if ((x == y) != while_equal) {
            i++;
            break;
        }
    }
    compare(o, x, y);
    return i;
}

/* Elements done directly in host memory; 0: the next one needs the slow way. */
static uint64_t run(Op *o, uint64_t n)
{
    bool writes = o->op == X86_STRING_MOVS || o->op == X86_STRING_STOS;
    uint8_t *from = NULL, *to = NULL;
    unsigned length;

    if (o->from_limits || o->to_limits || o->op == X86_STRING_LODS || o->op == X86_STRING_INS ||
        o->op == X86_STRING_OUTS)
        return 0;
    if (uses_source(o)) {
        n = run_length(o, get(o, X86_RSI), source(o), n);
        if (n == 0) return 0;
    }
    n = run_length(o, get(o, X86_RDI), destination(o, writes), n);
    if (n == 0) return 0;
    if (uses_source(o)) {
        from = vit_cpu_host_page(&o->x->cpu, source(o), false, o->mmu, &length);
        if (!from) return 0;
    }
    to = vit_cpu_host_page(&o->x->cpu, destination(o, writes), writes, o->mmu, &length);
    if (!to) return 0;
    if (o->op == X86_STRING_MOVS) move_run(o, to, from, n);
    else if (o->op == X86_STRING_STOS) fill_run(o, to, n);
    else n = compare_run(o, from, to, n);
    advance(o, n);
    return n;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static uint64_t segment_base(const Op *o, unsigned seg)
{
    return o->is_long && seg != X86_FS && seg != X86_GS ? 0 : o->x->seg[seg].base;
}

uint64_t x86_i_string(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t mode = (uint32_t)cpu->mode;
    Op o = { .x = x,
             .op = a & 15,
             .bytes = a >> 4 & 15,
             .asize = a >> 8 & 15,
             .seg = a >> 12 & 15,
             .rep = a >> 16 & 3,
             .mmu = X86_MODE_MMU(mode),
             .is_long = mode & X86_MODE_LONG,
             .down = x->df < 0 };
    bool port = o.op == X86_STRING_INS || o.op == X86_STRING_OUTS;
    uint64_t budget = (port ? PORT_QUANTUM : QUANTUM) / o.bytes;

    o.mask = o.asize == 8 ? UINT64_MAX : o.asize == 4 ? UINT32_MAX : 0xffff;
    if (!o.is_long) {
        unsigned bit = o.seg == X86_FS   ? X86_MODE_LIMITS_FS
                       : o.seg == X86_GS ? X86_MODE_LIMITS_GS
                                         : X86_MODE_LIMITS;
        o.from_limits = mode & bit;
        o.to_limits = mode & X86_MODE_LIMITS;
    }
    o.from_base = segment_base(&o, o.seg);
    o.to_base = segment_base(&o, X86_ES);
    if (o.rep == X86_STRING_ONCE) {
        one(&o);
        return 1;
    }
    if (mode & (X86_MODE_TF | X86_MODE_SHADOW | X86_MODE_BREAK)) budget = 1;
    while (get(&o, X86_RCX)) {
        uint64_t n = run(&o, MIN(get(&o, X86_RCX), budget));
        if (n == 0) {
            one(&o);
            n = 1;
        }
        budget -= n;
        if (condition_ends(&o)) break;
        if (get(&o, X86_RCX) &&
            (budget == 0 || __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED)))
            return 0;
    }
    if (o.compared) vit_flags_set(cpu, o.flags);
    return 1;
}
