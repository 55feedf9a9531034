/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift.h - what lifters share: operands, addresses, stack, ends of blocks
 *
 * A lifter turns l->insn into IR.  translate.c has checked LOCK, features and what must be enabled.
 * Lifters keep to the precision rule of ir.h: x86_write() to memory and all that may fault come
 * before register and flags writes. */
#pragma once
#include "engine/guest/x86/cpu.h"
#include "engine/guest/x86/decode.h"
#include "engine/guest/x86/helpers.h"
#include "engine/jit/translate.h"
#include <stddef.h>

typedef struct {
    VitTranslate *t;
    VitIr *ir;
    X86Cpu *x;
    uint32_t mode;              /* X86_MODE_* */
    bool is_long;           /* 64-bit code */
    bool more;              /* another instruction follows in this block, unless this one ends it */
    bool ended;             /* a terminator stands: the block is complete */
    unsigned mmu;
    uint64_t pc, next_pc;       /* of this instruction and the one after */
    uint64_t cs_base;
    VitVal address; /* linear address of the memory operand, once computed; VIT_NO_VAL */
    X86Insn insn;
} X86Lift;

typedef void X86LiftFn(X86Lift *l);
X86LiftFn x86_lift_ud; /* raises #UD */

#define X86_SLOT(field) ((uint32_t)offsetof(X86Cpu, field))

static inline VitType x86_int_type(unsigned bytes)
{
    return bytes == 1 ? VIT_I8 : bytes == 2 ? VIT_I16 : bytes == 4 ? VIT_I32 : VIT_I64;
}

/* ---- Operands (operand.c) -------------------------------------------------------------------- */
VitVal x86_get_gpr(X86Lift *l, unsigned reg, unsigned bytes);
void x86_put_gpr(X86Lift *l, unsigned reg, VitVal v); /* 32 bits clear the upper half */
/* Operand n as an integer of its size: register, memory, immediate, selector. */
VitVal x86_read(X86Lift *l, unsigned n);
VitVal x86_read_rmw(X86Lift *l, unsigned n); /* the same instruction will x86_write() it */
void x86_write(X86Lift *l, unsigned n, VitVal v);
bool x86_is_mem(const X86Lift *l, unsigned n);
VitVal x86_imm(X86Lift *l, unsigned bytes);

/* ---- Memory ---------------------------------------------------------------------------------- */
VitVal x86_offset(X86Lift *l); /* of the ModRM operand, type of the address size */
/* Linear address (I64) of offset (I16, I32, I64) in a segment, checked where limits matter. */
VitVal x86_linear(X86Lift *l, unsigned seg, VitVal offset, unsigned bytes, bool write);
/* Linear address of the ModRM or moffs operand; computed once. */
VitVal x86_address(X86Lift *l, unsigned bytes, bool write);
/* Loads and stores at a linear address that has been checked. */
VitVal x86_load(X86Lift *l, VitType type, VitVal address, unsigned flags);
void x86_store(X86Lift *l, VitVal address, VitVal v, unsigned flags);
/* Raises #GP(0) unless address is a multiple of bytes. */
void x86_check_aligned(X86Lift *l, VitVal address, unsigned bytes);

/* ---- Stack ----------------------------------------------------------------------------------- */
unsigned x86_stack_bytes(const X86Lift *l); /* stack address size */
VitVal x86_stack_load(X86Lift *l, VitVal sp,
                      unsigned bytes); /* sp: value of the stack address size */
void x86_stack_store(X86Lift *l, VitVal sp, VitVal v);
void x86_push(X86Lift *l, VitVal v);
void x86_pop_done(X86Lift *l, unsigned bytes); /* SP += bytes */

/* ---- Exceptions and ends --------------------------------------------------------------------- */
void x86_lift_raise(X86Lift *l, int vector, int error); /* error -1: none; ends the block */
void x86_trap_if(X86Lift *l, VitVal cond, int vector, int error);
VitVal x86_call(X86Lift *l, const VitHelper *h, VitType result, VitVal a, VitVal b, VitVal c,
                VitVal d);
VitVal x86_k(X86Lift *l, uint64_t value); /* I64 constant */
void x86_jump(X86Lift *l, uint64_t pc);
void x86_jump_ind(X86Lift *l, VitVal pc, unsigned hint,
                  uint64_t return_pc); /* pc: any integer type */
void x86_branch(X86Lift *l, VitVal cond, uint64_t pc); /* else to the next instruction */
void x86_exit(X86Lift *l); /* to the next instruction */
void x86_exit_moved(X86Lift *l); /* a helper has set rip */
