/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/x87-ops.c - the escape opcodes D8..DF by ModRM (Intel SDM vol. 2, appendix
 * A.5) */
#include "engine/cpu/tlb.h"
#include "engine/guest/x86/helpers.h"
#include "engine/guest/x86/x87-images.h"
#include "engine/guest/x86/x87-private.h"

#include <string.h>

#define X(name) const VitHelper helper_##name = { #name, name, VIT_HELPER_ALL };
X86_X87_HELPERS(X)
#undef X

/* A waiting instruction reports an earlier unmasked exception: #MF with CR0.NE, else by FERR# (the
 * machine has no IRQ 13 wired: #MF serves both). */
static void check_pending(X86Cpu *x)
{
    if (x->fsw & X87_ES)
        x86_raise(x, X86_MF);
}

static void note_instruction(X86Cpu *x, unsigned op)
{
    vit_cpu_sync_pc(&x->cpu);
    x->fp_ip = x->rip;
    x->fp_cs = x->seg[X86_CS].selector;
    x->fp_op = (uint16_t) op;
}

/* ST(i) for reading; an empty one is a stack fault and gives the indefinite NaN.  False:
 * unmasked. */
static bool operand(X86Cpu *x, unsigned i, F80 *v)
{
    if (!x87_empty(x, i)) {
        *v = x87_st(x, i);
        return true;
    }
    *v = x87_indefinite();
    return x87_stack_fault(x, false);
}

/* ---- Register forms -------------------------------------------------------------------------- */

static void compare_st(X86Cpu *x, unsigned i, bool quiet, unsigned pops)
{
    if (x87_empty(x, 0) || x87_empty(x, i)) {
        bool go_on = x87_stack_fault(x, false);
        x->fsw |= X87_C0 | X87_C2 | X87_C3;
        if (!go_on)
            return;
    } else {
        x87_compare(x, x87_st(x, 0), x87_st(x, i), quiet);
        if (x->fsw & X87_ES && x->fsw & ~x->fcw & (X87_IE | X87_DE))
            return;
    }
    while (pops--)
        x87_pop(x);
}

static void compare_eflags(X86Cpu *x, unsigned i, bool quiet, bool pop)
{
    unsigned f = VIT_FLAG_Z | VIT_FLAG_P | VIT_FLAG_C;

    if (x87_empty(x, 0) || x87_empty(x, i)) {
        if (!x87_stack_fault(x, false))
            return;
    } else {
        f = x87_compare_flags(x, x87_st(x, 0), x87_st(x, i), quiet);
        if (x->fsw & X87_ES && x->fsw & ~x->fcw & (X87_IE | X87_DE))
            return;
    }
    vit_flags_set(&x->cpu, f);
    if (pop)
        x87_pop(x);
}

static void move_if(X86Cpu *x, unsigned i, bool condition)
{
    if (x87_empty(x, 0) || x87_empty(x, i)) {
        if (x87_stack_fault(x, false))      /* whether or not it would move */
            x87_set_st(x, 0, x87_indefinite());
    } else if (condition) {
        x87_set_st(x, 0, x87_st(x, i));
    }
}

static void exchange(X86Cpu *x, unsigned i)
{
    F80 a, b;

    x->fsw &= ~X87_C1;
    if (!operand(x, 0, &a) || !operand(x, i, &b))
        return;
    x87_set_st(x, 0, b);
    x87_set_st(x, i, a);
}

static void store_st(X86Cpu *x, unsigned i, bool pop)
{
    F80 v;

    x->fsw &= ~X87_C1;
    if (!operand(x, 0, &v))
        return;
    x87_set_st(x, i, v);
    if (pop)
        x87_pop(x);
}

static bool condition(const X86Cpu *x, unsigned n)      /* 0 B, 1 E, 2 BE, 3 U */
{
    static const unsigned masks[4] = { VIT_FLAG_C, VIT_FLAG_Z, VIT_FLAG_C | VIT_FLAG_Z,
                                       VIT_FLAG_P };

    return vit_flags_get(&x->cpu) & masks[n & 3];
}

static void arith_st(X86Cpu *x, unsigned esc, unsigned op, unsigned i)
{
    if (x87_empty(x, 0) || x87_empty(x, i)) {
        if (!x87_stack_fault(x, false))
            return;
        x87_set_st(x, esc == 0 ? 0 : i, x87_indefinite());
        if (esc == 6)
            x87_pop(x);
    } else if (esc == 0) {                      /* D8: ST(0) op= ST(i) */
        x87_arith(x, op, 0, x87_st(x, i), false, false);
    } else {                             /* DC, DE: ST(i) op= ST(0); SUB/SUBR encodings exchanged */
        x87_arith(x, op, i, x87_st(x, 0), true, esc == 6);
    }
}

static uint64_t reg_d9(X86Cpu *x, unsigned modrm, unsigned i)
{
    if (modrm < 0xc8) {
        x->fsw &= ~X87_C1;
        if (!x87_empty(x, i)) {
            x87_push(x, x87_st(x, i));
        } else if (x87_stack_fault(x, false)) {     /* comes before an overflow */
            x->fp_top = (x->fp_top - 1) & 7;
            x87_set_st(x, 0, x87_indefinite());
        }
    } else if (modrm < 0xd0) {
        exchange(x, i);
    } else if (modrm >= 0xd8 && modrm < 0xe0) { /* FSTP's alias */
        store_st(x, i, true);
    } else if (modrm != 0xd0) {                 /* D0: FNOP */
        x87_special(x, modrm);
    }
    return 0;
}

static uint64_t reg_db(X86Cpu *x, unsigned modrm, unsigned i)
{
    unsigned op = modrm >> 3 & 7;

    if (op < 4)
        move_if(x, i, !condition(x, op));
    else if (op == 5 || op == 6)
        compare_eflags(x, i, op == 5, false);
    else if (modrm != 0xe0 && modrm != 0xe1 && modrm != 0xe4)  /* FNENI FNDISI FNSETPM do nothing */
        x86_raise(x, X86_UD);
    return 0;
}

static uint64_t reg_dd(X86Cpu *x, unsigned op, unsigned i)
{
    switch (op) {
    case 0:
        x->fsw &= ~X87_C1;
        x->fp_tag &= (uint8_t) ~(1u << ((x->fp_top + i) & 7));
        break;
    case 1: exchange(x, i); break;
    case 2: case 3: store_st(x, i, op == 3); break;
    case 4: case 5: compare_st(x, i, true, op == 5); break;
    default: x86_raise(x, X86_UD);
    }
    return 0;
}

/* Returns AX for FNSTSW AX (the lifter stores it), else 0. */
uint64_t x86_h_x87_reg(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86Cpu *x = (X86Cpu *) cpu;
    unsigned esc = a >> 8 & 7, modrm = a & 0xff, op = modrm >> 3 & 7, i = modrm & 7;

    if (esc == 7 && modrm == 0xe0) {
        x->gpr[X86_RAX] = (x->gpr[X86_RAX] & ~0xffffULL) | x87_status(x);
        return 0;
    }
    if (esc == 3 && modrm == 0xe2) {
        x->fsw &= ~(X87_EXCEPTIONS | X87_SF | X87_ES | X87_BUSY);
        return 0;
    }
    if (esc == 3 && modrm == 0xe3) {
        x87_init(x);
        return 0;
    }
    check_pending(x);
    if (!(esc == 1 && modrm == 0xd0))
        note_instruction(x, (unsigned) a & 0x7ff);
    switch (esc) {
    case 0: case 4: case 6:
        if (esc == 6 && op == 3) {
            if (modrm != 0xd9)
                x86_raise(x, X86_UD);
            compare_st(x, 1, false, 2);
        } else if (op == 2 || op == 3) {        /* DE D0..D7 is FCOMP's alias */
            compare_st(x, i, false, op == 3 || esc == 6);
        } else {
            arith_st(x, esc, op, i);
        }
        return 0;
    case 1: return reg_d9(x, modrm, i);
    case 2:
        if (op < 4)
            move_if(x, i, condition(x, op));
        else if (modrm == 0xe9)
            compare_st(x, 1, true, 2);
        else
            x86_raise(x, X86_UD);
        return 0;
    case 3: return reg_db(x, modrm, i);
    case 5: return reg_dd(x, op, i);
    default:
        if (op == 0) {                          /* FFREEP */
            x->fsw &= ~X87_C1;
            x->fp_tag &= (uint8_t) ~(1u << ((x->fp_top + i) & 7));
            x87_pop(x);
        } else if (op == 1) {
            exchange(x, i);
        } else if (op == 2 || op == 3) {
            store_st(x, i, true);
        } else if (op == 5 || op == 6) {
            compare_eflags(x, i, op == 5, true);
        } else {
            x86_raise(x, X86_UD);
        }
        return 0;
    }
}

/* ---- Memory forms ---------------------------------------------------------------------------- */

typedef enum { M_F32, M_F64, M_I16, M_I32, M_I64, M_F80, M_BCD } MemKind;
static const uint8_t mem_size[] = { 4, 8, 2, 4, 8, 10, 10 };

/* FLD and FILD as the host does them; exceptions of the conversion in *raised. */
static F80 convert_in(X86Cpu *x, MemKind kind, const void *buf, unsigned *raised)
{
    F80 v = 0;

    x87_host_enter(x);
    switch (kind) {
    case M_F32: __asm__ volatile("flds %1" : "=t"(v) : "m"(*(const float *) buf)); break;
    case M_F64: __asm__ volatile("fldl %1" : "=t"(v) : "m"(*(const double *) buf)); break;
    case M_I16: __asm__ volatile("filds %1" : "=t"(v) : "m"(*(const int16_t *) buf)); break;
    case M_I32: __asm__ volatile("fildl %1" : "=t"(v) : "m"(*(const int32_t *) buf)); break;
    case M_I64: __asm__ volatile("fildll %1" : "=t"(v) : "m"(*(const int64_t *) buf)); break;
    case M_F80: __asm__ volatile("fldt %1" : "=t"(v) : "m"(*(const F80 *) buf)); break;
    case M_BCD: __asm__ volatile("fbld %1" : "=t"(v) : "m"(*(const F80 *) buf)); break;
    }
    *raised = x87_host_leave() & X87_EXCEPTIONS;
    return v;
}

static unsigned convert_out(X86Cpu *x, MemKind kind, bool truncate, F80 v, void *buf)
{
    x87_host_enter(x);
    if (truncate) {
        uint16_t cw = x->fcw | 0xc3f;
        __asm__ volatile("fldcw %0" : : "m"(cw));
    }
    switch (kind) {
    case M_F32: __asm__ volatile("fstps %0" : "=m"(*(float *) buf) : "t"(v) : "st"); break;
    case M_F64: __asm__ volatile("fstpl %0" : "=m"(*(double *) buf) : "t"(v) : "st"); break;
    case M_I16: __asm__ volatile("fistps %0" : "=m"(*(int16_t *) buf) : "t"(v) : "st"); break;
    case M_I32: __asm__ volatile("fistpl %0" : "=m"(*(int32_t *) buf) : "t"(v) : "st"); break;
    case M_I64: __asm__ volatile("fistpll %0" : "=m"(*(int64_t *) buf) : "t"(v) : "st"); break;
    case M_F80: __asm__ volatile("fstpt %0" : "=m"(*(F80 *) buf) : "t"(v) : "st"); break;
    case M_BCD: __asm__ volatile("fbstp %0" : "=m"(*(F80 *) buf) : "t"(v) : "st"); break;
    }
    return x87_host_leave();
}

static void load(X86Cpu *x, MemKind kind, const void *buf)
{
    unsigned raised;
    F80 v = convert_in(x, kind, buf, &raised);

    x->fsw &= ~X87_C1;
    /* a stack overflow comes before the operand's faults */
    if (!x87_empty(x, 7) || x87_note(x, raised))
        x87_push(x, v);
}

static void store(X86Cpu *x, MemKind kind, bool truncate, bool pop, uint64_t linear)
{
    unsigned size = mem_size[kind], mmu = X86_MODE_MMU(x->cpu.mode), raised;
    uint8_t buf[16] = { 0 };
    F80 v = x87_indefinite();

    vit_cpu_probe(&x->cpu, linear, size, true, mmu);        /* fault before any state changes */
    if (x87_empty(x, 0)) {
        if (!x87_stack_fault(x, false))
            return;
    } else {
        v = x87_st(x, 0);
    }
    raised = convert_out(x, kind, truncate, v, buf);
    x->fsw = (uint16_t) ((x->fsw & ~X87_C1) | (raised & X87_C1));
    if (!x87_note(x, raised & X87_EXCEPTIONS))
        return;
    if (raised & ~x->fcw & (X87_OE | X87_UE))               /* unmasked: memory and stack keep */
        return;
    vit_cpu_store_bytes(&x->cpu, linear, buf, size, mmu);
    if (pop)
        x87_pop(x);
}

/* With a float in memory in one host instruction: which NaN and which exceptions result depends on
 * the operand as it stands there. */
#define COMPUTE(name)                                                                              \
    do {                                                                                           \
        if (kind == M_F32)                                                                         \
            __asm__ volatile(name "s %2\n\tfnstsw %1"                                              \
                             : "+t"(a), "=m"(*status) : "m"(*(const float *) buf));                \
        else                                                                                       \
            __asm__ volatile(name "l %2\n\tfnstsw %1"                                              \
                             : "+t"(a), "=m"(*status) : "m"(*(const double *) buf));               \
    } while (0)

static F80 compute_float(MemKind kind, unsigned op, F80 a, const void *buf, uint16_t *status)
{
    switch (op) {
    case 0: COMPUTE("fadd"); break;
    case 1: COMPUTE("fmul"); break;
    case 2: case 3: COMPUTE("fcom"); break;
    case 4: COMPUTE("fsub"); break;
    case 5: COMPUTE("fsubr"); break;
    case 6: COMPUTE("fdiv"); break;
    default: COMPUTE("fdivr"); break;
    }
    return a;
}

static void arith_float(X86Cpu *x, MemKind kind, unsigned op, const void *buf)
{
    bool compares = op == 2 || op == 3;
    unsigned keep = compares ? X87_CONDITIONS : X87_C1;
    uint16_t status;

    x87_host_enter(x);
    F80 r = compute_float(kind, op, x87_st(x, 0), buf, &status);
    x87_host_leave();
    x->fsw = (uint16_t) ((x->fsw & ~keep) | (status & keep));
    if (!x87_note(x, status & X87_EXCEPTIONS))
        return;
    if (!compares)
        x87_set_st(x, 0, r);
    else if (op == 3)
        x87_pop(x);
}

static void arith_mem(X86Cpu *x, MemKind kind, unsigned op, const void *buf)
{
    unsigned raised;

    if (!x87_empty(x, 0) && (kind == M_F32 || kind == M_F64)) {
        arith_float(x, kind, op, buf);
        return;
    }
    F80 v = convert_in(x, kind, buf, &raised);
    if (op == 2 || op == 3) {
        if (x87_empty(x, 0)) {
            x->fsw |= X87_C0 | X87_C2 | X87_C3;
            if (!x87_stack_fault(x, false))
                return;
        } else {
            x87_compare(x, x87_st(x, 0), v, false);
        }
        if (op == 3)
            x87_pop(x);
    } else {
        x87_arith(x, op, 0, v, false, false);
    }
}

/* Control word, status word, environment, whole state: false when op is none of those. */
static bool control_mem(X86Cpu *x, unsigned esc, unsigned op, uint64_t linear, unsigned mode)
{
    VitCpu *cpu = &x->cpu;
    unsigned mmu = X86_MODE_MMU(cpu->mode), bytes = mode & 0xff;

    if (esc == 1 && op == 7) {
        vit_cpu_store(cpu, linear, x->fcw, 2, mmu);
    } else if (esc == 5 && op == 7) {
        vit_cpu_store(cpu, linear, x87_status(x), 2, mmu);
    } else if ((esc == 1 && op == 6) || (esc == 5 && op == 6)) {
        x87_store_environment(x, linear, bytes, esc == 5);
    } else if ((esc == 1 && op == 4) || (esc == 5 && op == 4)) {
        check_pending(x);
        x87_load_environment(x, linear, bytes, esc == 5);
    } else if (esc == 1 && op == 5) {
        check_pending(x);
        x->fcw = (uint16_t) ((vit_cpu_load(cpu, linear, 2, mmu) & 0x1f3f) | 0x40);
        x87_set_status(x, x87_status(x));
    } else {
        return false;
    }
    return true;
}

uint64_t x86_h_x87_mem(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    static const MemKind arith_kind[8] = { M_F32, 0, M_I32, 0, M_F64, 0, M_I16, 0 };
    X86Cpu *x = (X86Cpu *) cpu;
    unsigned esc = a >> 3 & 7, op = a & 7;
    MemKind kind;
    uint8_t buf[16];

    if (control_mem(x, esc, op, b, (unsigned) c))
        return 0;
    check_pending(x);
    if (esc % 2 == 0)
        kind = arith_kind[esc];
    else if (esc == 1)
        kind = M_F32;
    else if (esc == 3)
        kind = op >= 5 ? M_F80 : M_I32;
    else if (esc == 5)
        kind = op == 1 ? M_I64 : M_F64;
    else
        kind = op == 4 || op == 6 ? M_BCD : op >= 5 ? M_I64 : M_I16;
    bool loads = esc % 2 == 0 || op == 0 || (esc == 3 && op == 5) ||
                 (esc == 7 && (op == 4 || op == 5));
    if ((esc == 1 && op == 1) || (esc == 3 && (op == 4 || op == 6)) || (esc == 5 && op == 5))
        x86_raise(x, X86_UD);
    if (loads)
        vit_cpu_load_bytes(cpu, b, buf, mem_size[kind], X86_MODE_MMU(cpu->mode));
    note_instruction(x, (unsigned) (esc << 8 | op << 3));
    x->fp_dp = b;
    x->fp_ds = x->seg[X86_DS].selector;
    if (esc % 2 == 0)
        arith_mem(x, kind, op, buf);
    else if (loads)
        load(x, kind, buf);
    else
        store(x, kind, op == 1, op != 2, b);
    return 0;
}
