/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/helpers-int.c - integer instructions that are too long to lift (Intel SDM vol.
 * 2) */
#include "engine/guest/x86/helpers-int.h"

#include "engine/guest/x86/helpers.h"

#include <sys/random.h>

#define X(name, flags) const VitHelper helper_##name = { #name, name, flags };
X86_INT_HELPERS(X)
#undef X

uint64_t x86_i_div64(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (a == 0) return b / c;
    return (uint64_t)(((unsigned __int128)a << 64 | b) / c);
}

uint64_t x86_i_idiv64(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    __int128 n = (__int128)((unsigned __int128)a << 64 | b), q;
    int64_t by = (int64_t)c;

    if (by == 0 || (by == -1 && a == 1ULL << 63 && b == 0)) x86_raise((X86Cpu *)cpu, X86_DE);
    if ((int64_t)a == (int64_t)b >> 63 && by != -1) return (uint64_t)((int64_t)b / by);
    q = n / by;
    if (q != (int64_t)q) x86_raise((X86Cpu *)cpu, X86_DE);
    return (uint64_t)q;
}

uint64_t x86_i_lock_neg(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t old = vit_cpu_load_rmw(cpu, a, (unsigned)b, (unsigned)c);

    for (;;) {
        uint64_t seen = vit_cpu_cmpxchg(cpu, a, old, -old, (unsigned)b, (unsigned)c);
        if (seen == old) return old;
        old = seen;
    }
}

uint64_t x86_i_cmpxchg16b(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint64_t expected[2] = { x->gpr[X86_RAX], x->gpr[X86_RDX] };
    const uint64_t desired[2] = { x->gpr[X86_RBX], x->gpr[X86_RCX] };
    bool stored = vit_cpu_cmpxchg16(cpu, a, expected, desired, (unsigned)b);

    if (!stored) {
        x->gpr[X86_RAX] = expected[0];
        x->gpr[X86_RDX] = expected[1];
    }
    vit_flags_set(cpu, (vit_flags_get(cpu) & ~VIT_FLAG_Z) | (stored ? VIT_FLAG_Z : 0));
    return 0;
}

static unsigned result_flags(uint8_t al)
{
    return (al == 0 ? VIT_FLAG_Z : 0) | (al & 0x80 ? VIT_FLAG_S : 0) |
           (__builtin_parity(al) ? 0 : VIT_FLAG_P);
}

uint64_t x86_i_bcd(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint8_t al = (uint8_t)a, ah = (uint8_t)(a >> 8), old = al;
    bool low = (al & 15) > 9 || (b & VIT_FLAG_A), high = old > 0x99 || (b & VIT_FLAG_C),
         carry = false;
    unsigned flags;

    if (c >= 2) { /* AAA, AAS */
        if (low) {
            uint16_t ax = (uint16_t)(c == 2 ? a + 0x106 : a - 0x106);
            al = (uint8_t)ax;
            ah = (uint8_t)(ax >> 8);
        }
        al &= 15;
        flags = low ? VIT_FLAG_C | VIT_FLAG_A : 0;
        return al | (uint64_t)ah << 8 | (uint64_t)(flags | result_flags(al)) << 16;
    }
    if (low) {
        carry = c == 0 ? al > 0xf9 : al < 6;
        al = (uint8_t)(c == 0 ? al + 6 : al - 6);
    }
    carry |= b & VIT_FLAG_C;
    if (high) {
        al = (uint8_t)(c == 0 ? al + 0x60 : al - 0x60);
        carry = true;
    } else if (c == 0) {
        carry = false;
    }
    flags = (low ? VIT_FLAG_A : 0) | (carry ? VIT_FLAG_C : 0);
    return al | (uint64_t)ah << 8 | (uint64_t)(flags | result_flags(al)) << 16;
}

uint64_t x86_i_crc32c(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint32_t crc = (uint32_t)a;

    for (unsigned i = 0; i < c; i++) {
        crc ^= (uint8_t)(b >> (8 * i));
        for (unsigned bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

uint64_t x86_i_random(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t v = 0;

    while (getrandom(&v, sizeof v, 0) != sizeof v);
    return v;
}

/* One step at a time: at most 63 of them. */
static uint64_t rotate_carry(uint64_t a, unsigned count, unsigned bytes, bool right, bool *carry)
{
    unsigned top = 8 * bytes - 1;

    for (unsigned i = 0; i < count; i++) {
        bool out = right ? a & 1 : a >> top & 1;
        a = right ? a >> 1 | (uint64_t)*carry << top : a << 1 | *carry;
        if (bytes < 8) a &= (1ULL << (8 * bytes)) - 1;
        *carry = out;
    }
    return a;
}

uint64_t x86_i_rotate_carry(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    bool carry = c & VIT_FLAG_C;

    return rotate_carry(a, (unsigned)b & 63, (unsigned)d & 0xff, d >> 8, &carry);
}

uint64_t x86_i_rotate_carry_flags(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    unsigned bytes = (unsigned)d & 0xff, top = 8 * bytes - 1;
    bool right = d >> 8, carry = c & VIT_FLAG_C;
    uint64_t r = rotate_carry(a, (unsigned)b & 63, bytes, right, &carry);
    bool o = right ? (r >> top ^ r >> (top - 1)) & 1 : (r >> top & 1) != carry;

    if (b == 0) return c;
    return (c & ~(uint64_t)(VIT_FLAG_C | VIT_FLAG_O)) | (carry ? VIT_FLAG_C : 0) |
           (o ? VIT_FLAG_O : 0);
}

uint64_t x86_i_into(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;

    if (vit_flags_get(cpu) & VIT_FLAG_O) x86_h_int(cpu, X86_OF, a, 1, 0);
    else x->rip = a;
    return 0;
}

/* ---- ENTER with nested frames ---------------------------------------------------------------- */

typedef struct {
    X86Cpu *x;
    unsigned bytes;
    unsigned mmu;
    uint64_t mask;
} Frame;

static uint64_t frame_address(const Frame *f, uint64_t offset, bool write)
{
    uint32_t mode = (uint32_t)f->x->cpu.mode;

    offset &= f->mask;
    if (mode & X86_MODE_LONG) return offset;
    if (mode & X86_MODE_LIMITS)
        return x86_h_seg_check(&f->x->cpu, X86_SS, offset, f->bytes | (unsigned)write << 8, 0);
    return (uint32_t)(offset + f->x->seg[X86_SS].base);
}

static void frame_push(const Frame *f, uint64_t *sp, uint64_t value)
{
    *sp -= f->bytes;
    vit_cpu_store(&f->x->cpu, frame_address(f, *sp, true), value, f->bytes, f->mmu);
}

uint64_t x86_i_enter(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    uint32_t mode = (uint32_t)cpu->mode;
    uint64_t mask = mode & X86_MODE_LONG ? UINT64_MAX : mode & X86_MODE_SS32 ? UINT32_MAX : 0xffff;
    uint64_t operand = c == 8 ? UINT64_MAX : c == 4 ? UINT32_MAX : 0xffff;
    Frame f = { x, (unsigned)c, X86_MODE_MMU(mode), mask };
    uint64_t sp = x->gpr[X86_RSP], bp = x->gpr[X86_RBP], frame;

    frame_push(&f, &sp, bp);
    frame = sp;
    for (unsigned level = 1; level < b; level++) {
        bp -= c;
        frame_push(&f, &sp, vit_cpu_load(cpu, frame_address(&f, bp, false), f.bytes, f.mmu));
    }
    frame_push(&f, &sp, frame);
    sp -= a;
    frame_address(&f, sp, true);
    x->gpr[X86_RSP] = (x->gpr[X86_RSP] & ~mask) | (sp & mask);
    if (c == 2) x->gpr[X86_RBP] = (x->gpr[X86_RBP] & ~operand) | (frame & operand);
    else x->gpr[X86_RBP] = frame & operand & mask;
    return 0;
}
