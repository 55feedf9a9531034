/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/sse-helpers.c - unmasked SSE exceptions, byte-masked stores, SSE4.2 string
 * compares (Intel SDM vol. 1, 11.5; vol. 2, MASKMOVDQU, 4.1 "Imm8 control byte for PCMPESTRI
 * ...") */
#include "engine/cpu/tlb.h"
#include "engine/guest/x86/lift-vector.h"

#include <string.h>

#define X(name) const VitHelper helper_##name = { #name, name, VIT_HELPER_ALL };
X86_SSE_HELPERS(X)
#undef X

enum { STICKY = 0x3f, CR4_OSXMMEXCPT = 1 << 10 };

uint64_t x86_h_sse_begin(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    uint64_t before;

    vit_cpu_read_csr(cpu);
    before = x->mxcsr & STICKY;
    x->mxcsr &= ~(uint32_t) STICKY;
    vit_cpu_wrote_csr(cpu);
    return before;
}

uint64_t x86_h_sse_end(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    uint32_t raised;

    vit_cpu_read_csr(cpu);
    raised = x->mxcsr & STICKY & ~(x->mxcsr >> 7);
    x->mxcsr |= (uint32_t) a;
    vit_cpu_wrote_csr(cpu);
    if (raised)
        x86_raise(x, x->cr4 & CR4_OSXMMEXCPT ? X86_XM : X86_UD);
    return 0;
}

uint64_t x86_h_stmxcsr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    vit_cpu_read_csr(cpu);
    return ((X86Cpu *) cpu)->mxcsr;
}

uint64_t x86_h_maskmov(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    unsigned mmu = X86_MODE_MMU(cpu->mode);
    uint8_t data[16], mask[16];

    memcpy(data, (uint8_t *) cpu + b, d);
    memcpy(mask, (uint8_t *) cpu + c, d);
    for (unsigned i = 0; i < d; i++) {          /* all faults before the first byte */
        if (mask[i] & 0x80)
            vit_cpu_probe(cpu, a + i, 1, true, mmu);
    }
    for (unsigned i = 0; i < d; i++) {
        if (mask[i] & 0x80)
            vit_cpu_store(cpu, a + i, data[i], 1, mmu);
    }
    return 0;
}

/* ---- String compares ------------------------------------------------------------------------- */

typedef struct {
    bool     words, is_signed;
    unsigned n;                 /* lanes: 16 or 8 */
    int      len[2];            /* valid lanes of each operand */
    VitVec   v[2];
} Strings;

static int lane(const Strings *s, unsigned which, unsigned i)
{
    const VitVec *v = &s->v[which];

    if (s->words)
        return s->is_signed ? v->s16[i] : v->u16[i];
    return s->is_signed ? v->s8[i] : v->u8[i];
}

static int explicit_length(uint64_t reg, bool wide, unsigned n)
{
    int64_t v = wide ? (int64_t) reg : (int32_t) reg;

    if (v < 0)
        v = v == INT64_MIN ? INT64_MAX : -v;
    return (int) MIN(v, (int64_t) n);
}

static int implicit_length(const Strings *s, unsigned which)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (lane(s, which, i) == 0)
            return (int) i;
    }
    return (int) s->n;
}

/* Compares operand 1's lane i with operand 0's lane j, with the overrides for invalid lanes. */
static bool equal_each(const Strings *s, unsigned i)
{
    bool v1 = (int) i < s->len[0], v2 = (int) i < s->len[1];

    if (v1 && v2)
        return lane(s, 0, i) == lane(s, 1, i);
    return !v1 && !v2;
}

static bool equal_any(const Strings *s, unsigned i)
{
    for (int j = 0; j < s->len[0]; j++) {
        if (lane(s, 0, (unsigned) j) == lane(s, 1, i))
            return true;
    }
    return false;
}

static bool in_ranges(const Strings *s, unsigned i)
{
    int c = lane(s, 1, i);

    for (int j = 0; j + 1 < s->len[0]; j += 2) {
        if (c >= lane(s, 0, (unsigned) j) && c <= lane(s, 0, (unsigned) j + 1))
            return true;
    }
    return false;
}

static bool equal_ordered(const Strings *s, unsigned i)
{
    for (unsigned j = 0; j < s->n && i + j < s->n; j++) {
        if ((int) j >= s->len[0])
            return true;                        /* the needle has ended */
        if ((int) (i + j) >= s->len[1] || lane(s, 0, j) != lane(s, 1, i + j))
            return false;
    }
    return true;
}

static unsigned aggregate(const Strings *s, unsigned imm)
{
    unsigned r = 0;

    for (unsigned i = 0; i < s->n; i++) {
        bool valid = (int) i < s->len[1], hit;
        switch (imm >> 2 & 3) {
        case 0: hit = valid && equal_any(s, i); break;
        case 1: hit = valid && in_ranges(s, i); break;
        case 2: hit = equal_each(s, i); break;
        default: hit = equal_ordered(s, i); break;
        }
        if (imm & 0x10 && (!(imm & 0x20) || valid))
            hit = !hit;                         /* negative polarity, perhaps only of valid lanes */
        r |= (unsigned) hit << i;
    }
    return r;
}

static void store_mask(X86Cpu *x, const Strings *s, unsigned r, bool expand)
{
    VitVec m = { 0 };

    if (!expand) {
        m.u16[0] = (uint16_t) r;
    } else {
        for (unsigned i = 0; i < s->n; i++) {
            if (s->words)
                m.u16[i] = r >> i & 1 ? 0xffff : 0;
            else
                m.u8[i] = r >> i & 1 ? 0xff : 0;
        }
    }
    x->xmm[0] = m;
}

uint64_t x86_h_pcmpstr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    unsigned imm = d & 0xff, kind = d >> 8 & 3;
    bool wide = d >> 8 & 4;
    Strings s = { .words = imm & 1, .is_signed = imm & 2, .n = imm & 1 ? 8 : 16,
                  .v = { x->xmm[a & 15] } };

    if (c)
        vit_cpu_load_bytes(cpu, b, &s.v[1], 16, X86_MODE_MMU(cpu->mode));
    else
        s.v[1] = x->xmm[b & 15];
    s.len[0] = kind < 2 ? explicit_length(x->gpr[X86_RAX], wide, s.n) : implicit_length(&s, 0);
    s.len[1] = kind < 2 ? explicit_length(x->gpr[X86_RDX], wide, s.n) : implicit_length(&s, 1);
    unsigned r = aggregate(&s, imm);
    if (kind & 1) {
        unsigned index = !r           ? s.n
                         : imm & 0x40 ? 31 - (unsigned) __builtin_clz(r)
                                      : (unsigned) __builtin_ctz(r);
        x->gpr[X86_RCX] = index;
    } else {
        store_mask(x, &s, r, imm & 0x40);
    }
    vit_flags_set(cpu, (r ? VIT_FLAG_C : 0) | (s.len[1] < (int) s.n ? VIT_FLAG_Z : 0) |
                       (s.len[0] < (int) s.n ? VIT_FLAG_S : 0) | (r & 1 ? VIT_FLAG_O : 0));
    return 0;
}
