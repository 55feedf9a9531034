/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87-images.c - FSTENV/FSAVE, FXSAVE and XSAVE images, MXCSR, EMMS
 * (Intel SDM vol. 1: 8.1.10, 10.5.1, 11.6.4, 13.4 to 13.8) */
#include "engine/guest/x86/x87-images.h"

#include "engine/cpu/tlb.h"

#include <string.h>

enum { MXCSR_VALID = 0xffff, XCOMP_X87 = 1, XCOMP_SSE = 2, XSAVE_HEADER = 512 };

static void put(uint8_t *p, uint64_t v, unsigned bytes) { memcpy(p, &v, bytes); }
static uint64_t take(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    memcpy(&v, p, bytes);
    return v;
}

/* Two bits a register: 0 valid, 1 zero, 2 special, 3 empty. */
static uint16_t full_tag(const X86Cpu *x)
{
    unsigned tag = 0;

    for (unsigned r = 0; r < 8; r++) {
        unsigned e = x->st[r].se & 0x7fff, t;

        if (!(x->fp_tag >> r & 1))
            t = 3;
        else if (e == 0 && x->st[r].mant == 0)
            t = 1;
        else if (e == 0 || e == 0x7fff || !(x->st[r].mant >> 63))
            t = 2;
        else
            t = 0;
        tag |= t << 2 * r;
    }
    return (uint16_t) tag;
}

static void set_full_tag(X86Cpu *x, uint16_t tag)
{
    x->fp_tag = 0;
    for (unsigned r = 0; r < 8; r++) {
        if ((tag >> 2 * r & 3) != 3)
            x->fp_tag |= (uint8_t) (1u << r);
    }
}

static bool protected_mode(const X86Cpu *x)
{
    return (x->cr0 & 1) && !(x->eflags & X86_EFLAGS_VM);
}

void x87_store_environment(X86Cpu *x, uint64_t linear, unsigned operand_bytes, bool whole)
{
    unsigned w = operand_bytes == 2 ? 2 : 4, size = 7 * w + (whole ? 80 : 0);
    uint8_t buf[108];

    memset(buf, w == 4 ? 0xff : 0, 28);
    put(buf, x->fcw, 2);
    put(buf + w, x87_status(x), 2);
    put(buf + 2 * w, full_tag(x), 2);
    put(buf + 3 * w, x->fp_ip, w);
    put(buf + 5 * w, x->fp_dp, w);
    if (protected_mode(x)) {
        put(buf + 4 * w, x->fp_cs | (w == 4 ? (uint32_t) x->fp_op << 16 : 0), w);
        put(buf + 6 * w, x->fp_ds | (w == 4 ? 0xffff0000u : 0), w);
    } else {
        uint32_t ip = (uint32_t) x->fp_ip + x->fp_cs * 16u, dp = (uint32_t) x->fp_dp;
        put(buf + 3 * w, ip & 0xffff, 2);
        put(buf + 4 * w, (ip >> 16 << 12 | x->fp_op), w);
        put(buf + 5 * w, dp & 0xffff, 2);
        put(buf + 6 * w, dp >> 16 << 12, w);
    }
    for (unsigned i = 0; whole && i < 8; i++) {
        unsigned r = (x->fp_top + i) & 7;
        put(buf + 7 * w + 10 * i, x->st[r].mant, 8);
        put(buf + 7 * w + 10 * i + 8, x->st[r].se, 2);
    }
    vit_cpu_store_bytes(&x->cpu, linear, buf, size, X86_MODE_MMU(x->cpu.mode));
    if (whole) {
        x87_init(x);
    } else {
        x->fcw |= X87_EXCEPTIONS;
        x->fsw &= ~(X87_ES | X87_BUSY);
    }
}

void x87_load_environment(X86Cpu *x, uint64_t linear, unsigned operand_bytes, bool whole)
{
    unsigned w = operand_bytes == 2 ? 2 : 4, size = 7 * w + (whole ? 80 : 0);
    uint8_t buf[108];

    vit_cpu_load_bytes(&x->cpu, linear, buf, size, X86_MODE_MMU(x->cpu.mode));
    x->fcw = (uint16_t) ((take(buf, 2) & 0x1f3f) | 0x40);
    x87_set_status(x, (uint16_t) take(buf + w, 2));
    set_full_tag(x, (uint16_t) take(buf + 2 * w, 2));
    x->fp_ip = take(buf + 3 * w, w);
    x->fp_cs = (uint16_t) take(buf + 4 * w, 2);
    x->fp_op = w == 4 ? take(buf + 4 * w + 2, 2) & 0x7ff : 0;
    x->fp_dp = take(buf + 5 * w, w);
    x->fp_ds = (uint16_t) take(buf + 6 * w, 2);
    for (unsigned i = 0; whole && i < 8; i++) {
        unsigned r = (x->fp_top + i) & 7;
        x->st[r].mant = take(buf + 7 * w + 10 * i, 8);
        x->st[r].se = (uint16_t) take(buf + 7 * w + 10 * i + 8, 2);
    }
}

/* ---- FXSAVE area: x87 in bytes 0..23 and 32..159, MXCSR in 24..31, XMM from 160 -------------- */

static void x87_to_area(const X86Cpu *x, uint8_t *p, bool wide)
{
    put(p, x->fcw, 2);
    put(p + 2, x87_status(x), 2);
    p[4] = x->fp_tag;
    put(p + 6, x->fp_op, 2);
    put(p + 8, x->fp_ip, 8);
    put(p + 16, x->fp_dp, 8);
    if (!wide) {
        put(p + 12, x->fp_cs, 2);
        put(p + 14, 0, 2);
        put(p + 20, x->fp_ds, 2);
        put(p + 22, 0, 2);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = (x->fp_top + i) & 7;
        put(p + 32 + 16 * i, x->st[r].mant, 8);
        put(p + 40 + 16 * i, x->st[r].se, 8);
    }
}

static void x87_from_area(X86Cpu *x, const uint8_t *p, bool wide)
{
    x->fcw = (uint16_t) ((take(p, 2) & 0x1f3f) | 0x40);
    x87_set_status(x, (uint16_t) take(p + 2, 2));
    x->fp_tag = p[4];
    x->fp_op = take(p + 6, 2) & 0x7ff;
    x->fp_ip = take(p + 8, wide ? 8 : 4);
    x->fp_dp = take(p + 16, wide ? 8 : 4);
    if (!wide) {
        x->fp_cs = (uint16_t) take(p + 12, 2);
        x->fp_ds = (uint16_t) take(p + 20, 2);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = (x->fp_top + i) & 7;
        x->st[r].mant = take(p + 32 + 16 * i, 8);
        x->st[r].se = (uint16_t) take(p + 40 + 16 * i, 2);
    }
}

static unsigned n_xmm(const X86Cpu *x)
{
    return x->cpu.mode & X86_MODE_LONG ? 16 : 8;
}

static void check_mxcsr(X86Cpu *x, uint32_t value)
{
    if (value & ~MXCSR_VALID)
        x86_raise_error(x, X86_GP, 0);
}

static void set_mxcsr(X86Cpu *x, uint32_t value)
{
    x->mxcsr = value;
    vit_cpu_wrote_csr(&x->cpu);
    x86_update_mode(x);
}

static void check_alignment(X86Cpu *x, uint64_t linear, unsigned bytes)
{
    if (linear & (bytes - 1))
        x86_raise_error(x, X86_GP, 0);
}

uint64_t x86_h_fxsave(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    unsigned mmu = X86_MODE_MMU(cpu->mode), n = n_xmm(x);
    uint8_t area[512];

    check_alignment(x, a, 16);
    vit_cpu_read_csr(cpu);
    vit_cpu_probe(cpu, a, 512, true, mmu);
    vit_cpu_load_bytes(cpu, a, area, 512, mmu);         /* reserved bytes keep */
    x87_to_area(x, area, b);
    put(area + 24, x->mxcsr, 4);
    put(area + 28, MXCSR_VALID, 4);
    memcpy(area + 160, x->xmm, n * 16);
    vit_cpu_store_bytes(cpu, a, area, 512, mmu);
    return 0;
}

uint64_t x86_h_fxrstor(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    uint8_t area[512];

    check_alignment(x, a, 16);
    vit_cpu_load_bytes(cpu, a, area, 512, X86_MODE_MMU(cpu->mode));
    check_mxcsr(x, (uint32_t) take(area + 24, 4));
    x87_from_area(x, area, b);
    memcpy(x->xmm, area + 160, n_xmm(x) * 16);
    set_mxcsr(x, (uint32_t) take(area + 24, 4));
    return 0;
}

static uint64_t requested(const X86Cpu *x)
{
    return x->xcr0 & ((uint32_t) x->gpr[X86_RAX] | x->gpr[X86_RDX] << 32);
}

static void check_xsave(X86Cpu *x, uint64_t linear)
{
    if (!(x->cr4 & 1 << 18))
        x86_raise(x, X86_UD);
    check_alignment(x, linear, 64);
}

uint64_t x86_h_xsave(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    unsigned mmu = X86_MODE_MMU(cpu->mode);
    uint64_t rfbm, bv;
    uint8_t area[XSAVE_HEADER + 64];

    check_xsave(x, a);
    rfbm = requested(x);
    vit_cpu_read_csr(cpu);
    vit_cpu_probe(cpu, a, sizeof area, true, mmu);
    vit_cpu_load_bytes(cpu, a, area, sizeof area, mmu);
    bv = take(area + XSAVE_HEADER, 8);
    if (rfbm & XCOMP_X87)
        x87_to_area(x, area, b);
    if (rfbm & XCOMP_SSE) {
        put(area + 24, x->mxcsr, 4);
        put(area + 28, MXCSR_VALID, 4);
        memcpy(area + 160, x->xmm, n_xmm(x) * 16);
    }
    put(area + XSAVE_HEADER, bv | rfbm, 8);             /* all requested state is in use */
    vit_cpu_store_bytes(cpu, a, area, sizeof area, mmu);
    return 0;
}

uint64_t x86_h_xrstor(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    uint8_t area[XSAVE_HEADER + 64];
    uint64_t rfbm, bv;

    check_xsave(x, a);
    rfbm = requested(x);
    vit_cpu_load_bytes(cpu, a, area, sizeof area, X86_MODE_MMU(cpu->mode));
    bv = take(area + XSAVE_HEADER, 8);
    if ((bv & ~x->xcr0) || take(area + XSAVE_HEADER + 8, 8) || take(area + XSAVE_HEADER + 16, 8))
        x86_raise_error(x, X86_GP, 0);                  /* compacted or unknown components */
    if (rfbm & XCOMP_SSE)
        check_mxcsr(x, (uint32_t) take(area + 24, 4));
    if (rfbm & XCOMP_X87) {
        if (bv & XCOMP_X87) {
            x87_from_area(x, area, b);
        } else {
            x87_init(x);
            memset(x->st, 0, sizeof x->st);
        }
    }
    if (rfbm & XCOMP_SSE) {
        if (bv & XCOMP_SSE)
            memcpy(x->xmm, area + 160, n_xmm(x) * 16);
        else
            memset(x->xmm, 0, n_xmm(x) * 16);
        set_mxcsr(x, (uint32_t) take(area + 24, 4));
    }
    return 0;
}

uint64_t x86_h_ldmxcsr(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;

    check_mxcsr(x, (uint32_t) a);
    set_mxcsr(x, (uint32_t) a);
    return 0;
}
