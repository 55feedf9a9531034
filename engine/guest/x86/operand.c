/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/operand.c - operands, effective addresses and the stack, as IR (Intel SDM vol.
 * 1, 3.7; vol. 3, 5.3) */
#include "engine/guest/x86/lift.h"

#define NONE VIT_NO_VAL

VitVal x86_k(X86Lift *l, uint64_t value)
{
    return vit_ir_const(l->ir, VIT_I64, value);
}

/* ---- Registers ------------------------------------------------------------------------------- */

static uint32_t gpr_slot(unsigned reg)
{
    return X86_SLOT(gpr) + 8 * reg;
}

VitVal x86_get_gpr(X86Lift *l, unsigned reg, unsigned bytes)
{
    return vit_ir_get(l->ir, x86_int_type(bytes), gpr_slot(reg));
}

void x86_put_gpr(X86Lift *l, unsigned reg, VitVal v)
{
    if (vit_ir_type(l->ir, v) == VIT_I32) v = vit_ir_zext(l->ir, VIT_I64, v);
    vit_ir_put(l->ir, gpr_slot(reg), v);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

VitVal x86_offset(X86Lift *l)
{
    const X86Insn *i = &l->insn;
    VitType type = x86_int_type(i->asize);
    VitVal v = NONE;

    if (i->rip_relative) return vit_ir_const(l->ir, type, l->next_pc + i->disp);
    if (i->base != X86_NO_REG) v = x86_get_gpr(l, i->base, i->asize);
    if (i->index != X86_NO_REG) {
        VitVal index = vit_ir_bini(l->ir, VIT_IR_SHL, x86_get_gpr(l, i->index, i->asize), i->scale);
        v = v == NONE ? index : vit_ir_bin(l->ir, VIT_IR_ADD, v, index);
    }
    if (v == NONE) return vit_ir_const(l->ir, type, i->disp);
    return vit_ir_bini(l->ir, VIT_IR_ADD, v, i->disp);
}

/* Real and virtual-8086 mode: all segments are readable and writable, only the limit counts. */
static void check_limit(X86Lift *l, unsigned seg, VitVal offset, unsigned bytes)
{
    VitVal limit = vit_ir_zext(
        l->ir, VIT_I64,
        vit_ir_get(l->ir, VIT_I32, X86_SLOT(seg[0].limit) + seg * (uint32_t)sizeof(X86Segment)));
    VitVal last = vit_ir_bini(l->ir, VIT_IR_ADD, vit_ir_zext(l->ir, VIT_I64, offset), bytes - 1);

    x86_trap_if(l, vit_ir_cmp(l->ir, VIT_CMP_UGT, last, limit), seg == X86_SS ? X86_SSF : X86_GP,
                0);
}

static uint32_t base_slot(unsigned seg)
{
    return X86_SLOT(seg[0].base) + seg * (uint32_t)sizeof(X86Segment);
}

static VitVal note_access(X86Lift *l, VitVal address, unsigned bytes, bool write)
{
    if (l->mode & X86_MODE_BREAK)
        x86_call(l, &helper_x86_h_debug_mem, VIT_NONE, address,
                 x86_k(l, bytes | (unsigned)write << 8), NONE, NONE);
    if ((l->mode & X86_MODE_AC) && bytes > 1 && bytes <= 8 && !(bytes & (bytes - 1))) {
        VitVal low = vit_ir_bini(l->ir, VIT_IR_AND, address, bytes - 1);
        x86_trap_if(l, vit_ir_cmp(l->ir, VIT_CMP_NE, low, x86_k(l, 0)), X86_AC, 0);
    }
    return address;
}

static unsigned limit_bit(unsigned seg)
{
    return seg == X86_FS   ? X86_MODE_LIMITS_FS
           : seg == X86_GS ? X86_MODE_LIMITS_GS
                           : X86_MODE_LIMITS;
}

VitVal x86_linear(X86Lift *l, unsigned seg, VitVal offset, unsigned bytes, bool write)
{
    VitIr *ir = l->ir;
    bool own_base = seg == X86_FS || seg == X86_GS;

    if (bytes == 0) bytes = 1;
    if (l->is_long) {
        VitVal v = vit_ir_zext(ir, VIT_I64, offset);
        if (own_base) v = vit_ir_bin(ir, VIT_IR_ADD, v, vit_ir_get(ir, VIT_I64, base_slot(seg)));
        return note_access(l, v, bytes, write);
    }
    offset = vit_ir_zext(ir, VIT_I32, offset);
    if (l->mode & limit_bit(seg)) {
        if ((l->mode & (X86_MODE_PE | X86_MODE_VM86)) == X86_MODE_PE) {
            VitVal v = x86_call(l, &helper_x86_h_seg_check, VIT_I64, x86_k(l, seg),
                                vit_ir_zext(ir, VIT_I64, offset),
                                x86_k(l, bytes | (unsigned)write << 8), NONE);
            return note_access(l, v, bytes, write);
        }
        check_limit(l, seg, offset, bytes);
    }
    if (seg == X86_CS) offset = vit_ir_bini(ir, VIT_IR_ADD, offset, l->cs_base);
    else if (own_base || (l->mode & (X86_MODE_BASES | X86_MODE_LIMITS)))
        offset = vit_ir_bin(ir, VIT_IR_ADD, offset, vit_ir_get(ir, VIT_I32, base_slot(seg)));
    return note_access(l, vit_ir_zext(ir, VIT_I64, offset), bytes, write);
}

VitVal x86_address(X86Lift *l, unsigned bytes, bool write)
{
    if (l->address == NONE) l->address = x86_linear(l, l->insn.seg, x86_offset(l), bytes, write);
    return l->address;
}

VitVal x86_load(X86Lift *l, VitType type, VitVal address, unsigned flags)
{
    return vit_ir_load(l->ir, type, address, l->mmu, flags);
}

void x86_store(X86Lift *l, VitVal address, VitVal v, unsigned flags)
{
    vit_ir_store(l->ir, address, v, l->mmu, flags);
}

void x86_check_aligned(X86Lift *l, VitVal address, unsigned bytes)
{
    VitVal low = vit_ir_bini(l->ir, VIT_IR_AND, address, bytes - 1);

    x86_trap_if(l, vit_ir_cmp(l->ir, VIT_CMP_NE, low, x86_k(l, 0)), X86_GP, 0);
}

/* ---- Operands -------------------------------------------------------------------------------- */

bool x86_is_mem(const X86Lift *l, unsigned n)
{
    return l->insn.op[n].kind == X86_KIND_MEM;
}

VitVal x86_imm(X86Lift *l, unsigned bytes)
{
    return vit_ir_const(l->ir, x86_int_type(bytes), l->insn.imm);
}

static VitVal read_operand(X86Lift *l, unsigned n, bool rmw)
{
    const X86Operand *op = &l->insn.op[n];
    VitType type = x86_int_type(op->size);

    switch (op->kind) {
    case X86_KIND_GPR: return x86_get_gpr(l, op->reg, op->size);
    case X86_KIND_HIGH: return vit_ir_get(l->ir, VIT_I8, gpr_slot(op->reg) + 1);
    case X86_KIND_MEM:
        return x86_load(l, type, x86_address(l, op->size, rmw), rmw ? VIT_MEM_RMW : 0);
    case X86_KIND_SEG:
        return vit_ir_get(l->ir, VIT_I16,
                          X86_SLOT(seg[0].selector) + op->reg * (uint32_t)sizeof(X86Segment));
    default: return x86_imm(l, op->size);
    }
}

VitVal x86_read(X86Lift *l, unsigned n)
{
    return read_operand(l, n, false);
}

VitVal x86_read_rmw(X86Lift *l, unsigned n)
{
    return read_operand(l, n, true);
}

void x86_write(X86Lift *l, unsigned n, VitVal v)
{
    const X86Operand *op = &l->insn.op[n];

    if (op->kind == X86_KIND_MEM) x86_store(l, x86_address(l, op->size, true), v, 0);
    else if (op->kind == X86_KIND_HIGH) vit_ir_put(l->ir, gpr_slot(op->reg) + 1, v);
    else x86_put_gpr(l, op->reg, v);
}

/* ---- Stack ----------------------------------------------------------------------------------- */

unsigned x86_stack_bytes(const X86Lift *l)
{
    return l->is_long ? 8 : l->mode & X86_MODE_SS32 ? 4 : 2;
}

VitVal x86_stack_load(X86Lift *l, VitVal sp, unsigned bytes)
{
    return x86_load(l, x86_int_type(bytes), x86_linear(l, X86_SS, sp, bytes, false), 0);
}

void x86_stack_store(X86Lift *l, VitVal sp, VitVal v)
{
    x86_store(l, x86_linear(l, X86_SS, sp, vit_type_bytes(vit_ir_type(l->ir, v)), true), v, 0);
}

void x86_push(X86Lift *l, VitVal v)
{
    unsigned bytes = vit_type_bytes(vit_ir_type(l->ir, v));
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l));

    sp = vit_ir_bini(l->ir, VIT_IR_ADD, sp, -(uint64_t)bytes);
    x86_stack_store(l, sp, v);
    x86_put_gpr(l, X86_RSP, sp);
}

void x86_pop_done(X86Lift *l, unsigned bytes)
{
    VitVal sp = x86_get_gpr(l, X86_RSP, x86_stack_bytes(l));

    x86_put_gpr(l, X86_RSP, vit_ir_bini(l->ir, VIT_IR_ADD, sp, bytes));
}
