/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/debug.c - debug registers, single step, breakpoints
 * (Intel SDM vol. 3B, chapter 18) */
#include "engine/guest/x86/cpu-private.h"

enum { RW_EXEC = 0, RW_WRITE = 1, RW_IO = 2, RW_ACCESS = 3 };

static bool enabled(const X86Cpu *x, unsigned n)
{
    return x->dr[7] >> (2 * n) & 3;
}

static unsigned kind(const X86Cpu *x, unsigned n)
{
    return x->dr[7] >> (16 + 4 * n) & 3;
}

static unsigned length(const X86Cpu *x, unsigned n)
{
    static const uint8_t bytes[4] = { 1, 2, 8, 4 };
    return bytes[x->dr[7] >> (18 + 4 * n) & 3];
}

static bool overlaps(const X86Cpu *x, unsigned n, uint64_t at, unsigned size)
{
    uint64_t start = x->dr[n] & ~(uint64_t)(length(x, n) - 1);
    return at < start + length(x, n) && start < at + size;
}

/* DR number that MOV names: 4 and 5 are 6 and 7 unless CR4.DE. */
static unsigned resolve(X86Cpu *x, uint64_t n)
{
    if (n > 7 || ((n == 4 || n == 5) && (x->cr4 & CR4_DE))) x86_raise(x, X86_UD);
    x86_require_cpl0(x);
    if (x->dr[7] & DR7_GD) {
        x->dr[6] |= DR6_BD;
        x86_raise(x, X86_DB);
    }
    return (unsigned)(n == 4 || n == 5 ? n + 2 : n);
}

uint64_t x86_h_read_dr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    return x->dr[resolve(x, a)];
}
DEFINE_HELPER(x86_h_read_dr, VIT_HELPER_ALL);

uint64_t x86_h_write_dr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned n = resolve(x, a);

    if (n >= 6 && b >> 32) x86_raise_error(x, X86_GP, 0);
    if (n == 6) b = (b & 0xe00f) | 0xffff0ff0;
    else if (n == 7) b = (b & 0xffff2bff) | 0x400;
    x->dr[n] = b;
    x86_update_mode(x);
    return 0;
}
DEFINE_HELPER(x86_h_write_dr, VIT_HELPER_ALL);

uint64_t x86_h_breakpoint(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    unsigned hits = 0;

    x->db_hits = 0;
    if (x->eflags & X86_EFLAGS_RF) {
        x->eflags &= ~(uint32_t)X86_EFLAGS_RF;
        return 0;
    }
    for (unsigned n = 0; n < 4; n++)
        if (enabled(x, n) && kind(x, n) == RW_EXEC && x->dr[n] == a) hits |= 1u << n;
    if (!hits) return 0;
    x->dr[6] = (x->dr[6] & ~UINT64_C(15)) | hits;
    x86_raise(x, X86_DB);
}
DEFINE_HELPER(x86_h_breakpoint, VIT_HELPER_ALL);

uint64_t x86_h_debug_mem(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    bool write = b >> 8 & 1;

    for (unsigned n = 0; n < 4; n++)
        if (enabled(x, n) && (kind(x, n) == RW_ACCESS || (kind(x, n) == RW_WRITE && write)) &&
            overlaps(x, n, a, b & 0xff))
            x->db_hits |= (uint8_t)(1u << n);
    return 0;
}
DEFINE_HELPER(x86_h_debug_mem, VIT_HELPER_ALL);

void x86_debug_hit_io(X86Cpu *x, unsigned port, unsigned size)
{
    if (!(x->cr4 & CR4_DE) || !(x->dr[7] & 0xff)) return;
    for (unsigned n = 0; n < 4; n++)
        if (enabled(x, n) && kind(x, n) == RW_IO && overlaps(x, n, port, size))
            x->db_hits |= (uint8_t)(1u << n);
}

uint64_t x86_h_single_step(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *)cpu;
    bool step = a && !x->no_step, hit = x->db_hits && !x->no_step;

    x->no_step = false;
    if (!step && !hit) return 0;
    if (hit) x->dr[6] = (x->dr[6] & ~UINT64_C(15)) | x->db_hits;
    if (step) x->dr[6] |= DR6_BS;
    x->db_hits = 0;
    x86_record(x, X86_DB, false, 0);
    x->pending_kind = X86_EVENT_TRAP;
    x86_ask_deliver(x);
    return 0;
}
DEFINE_HELPER(x86_h_single_step, VIT_HELPER_ALL);

void x86_debug_before_delivery(X86Cpu *x)
{
    x->dr[7] &= ~(uint64_t)DR7_GD;
}
