/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir.c - the IR builder: emission, constant folding, forwarding of state within a
 * block */
#include "engine/jit/ir.h"

#include "engine/jit/ir-eval.h"

#include <string.h>

void vit_ir_reset(VitIr *ir)
{
    ir->n_ops = 0;
    ir->n_insns = 0;
    ir->overflow = false;
    ir->n_known = 0;
    ir->known_flags = VIT_NO_VAL;
}

VitVal vit_ir_emit(VitIr *ir, VitIrOp op)
{
    if (ir->n_ops >= VIT_IR_MAX_OPS - 1) {
        ir->overflow = true;        /* the last op is a scratch slot: indices stay valid */
        ir->ops[VIT_IR_MAX_OPS - 1] = op;
        return VIT_IR_MAX_OPS - 1;
    }
    ir->ops[ir->n_ops] = op;
    return (VitVal) ir->n_ops++;
}

static VitIrOp make(VitIrOpcode opcode, VitType type)
{
    return (VitIrOp) { .op = opcode, .type = type, .a = VIT_NO_VAL, .b = VIT_NO_VAL,
                       .c = VIT_NO_VAL, .d = VIT_NO_VAL };
}

VitVal vit_ir_const(VitIr *ir, VitType type, uint64_t value)
{
    VitIrOp op = make(VIT_IR_CONST, type);
    op.imm = ir_truncate(type, value);
    return vit_ir_emit(ir, op);
}

bool vit_ir_is_const(const VitIr *ir, VitVal v, uint64_t *value)
{
    if (v == VIT_NO_VAL || ir->ops[v].op != VIT_IR_CONST)
        return false;
    if (value)
        *value = ir->ops[v].imm;
    return true;
}

VitType vit_ir_type(const VitIr *ir, VitVal v)
{
    return ir->ops[v].type;
}

void vit_ir_insn(VitIr *ir, uint64_t pc)
{
    VitIrOp op = make(VIT_IR_INSN, VIT_NONE);
    op.imm = pc;
    vit_ir_emit(ir, op);
    ir->n_insns++;
}

void vit_ir_insn_length(VitIr *ir, unsigned length)
{
    for (unsigned i = ir->n_ops; i-- > 0;) {
        if (ir->ops[i].op == VIT_IR_INSN) {
            ir->ops[i].sub = (uint8_t) length;
            return;
        }
    }
}

/* ---- State slots ---------------------------------------------------------------------------- */

static void forget_range(VitIr *ir, uint32_t offset, uint32_t bytes)
{
    for (unsigned i = 0; i < ir->n_known;) {
        uint32_t at = ir->known[i].offset;
        uint32_t size = vit_type_bytes(vit_ir_type(ir, ir->known[i].value));

        if (at < offset + bytes && offset < at + size)
            ir->known[i] = ir->known[--ir->n_known];
        else
            i++;
    }
}

static void remember(VitIr *ir, uint32_t offset, VitVal v)
{
    if (ir->overflow)
        return;
    if (ir->n_known == VIT_IR_MAX_KNOWN)
        ir->n_known = 0;
    ir->known[ir->n_known].offset = offset;
    ir->known[ir->n_known++].value = v;
}

VitVal vit_ir_get(VitIr *ir, VitType type, uint32_t offset)
{
    for (unsigned i = 0; i < ir->n_known; i++) {
        VitVal v = ir->known[i].value;
        VitType known = vit_ir_type(ir, v);

        if (ir->known[i].offset != offset)
            continue;
        if (known == type)
            return v;
        if (type != VIT_V128 && known != VIT_V128 && known > type)
            return vit_ir_trunc(ir, type, v);
    }
    VitIrOp op = make(VIT_IR_GET, type);
    op.imm = offset;
    VitVal v = vit_ir_emit(ir, op);
    remember(ir, offset, v);
    return v;
}

void vit_ir_put(VitIr *ir, uint32_t offset, VitVal v)
{
    VitType type = vit_ir_type(ir, v);
    VitIrOp op = make(VIT_IR_PUT, type);

    op.imm = offset;
    op.a = v;
    forget_range(ir, offset, vit_type_bytes(type));
    vit_ir_emit(ir, op);
    remember(ir, offset, v);
}

VitVal vit_ir_getflags(VitIr *ir)
{
    if (ir->known_flags == VIT_NO_VAL)
        ir->known_flags = vit_ir_emit(ir, make(VIT_IR_GETFLAGS, VIT_FLAGS));
    return ir->known_flags;
}

void vit_ir_putflags(VitIr *ir, VitVal flags)
{
    VitIrOp op = make(VIT_IR_PUTFLAGS, VIT_FLAGS);
    op.a = flags;
    vit_ir_emit(ir, op);
    ir->known_flags = flags;
}

/* ---- Integer --------------------------------------------------------------------------------- */

/* x op c that is x, or a constant, whatever x is; VIT_NO_VAL when not. */
static VitVal identity(VitIr *ir, VitIrOpcode opcode, VitVal a, uint64_t c)
{
    VitType type = vit_ir_type(ir, a);

    switch (opcode) {
    case VIT_IR_ADD: case VIT_IR_SUB: case VIT_IR_OR: case VIT_IR_XOR:
    case VIT_IR_SHL: case VIT_IR_SHR: case VIT_IR_SAR: case VIT_IR_ROL: case VIT_IR_ROR:
        return c == 0 ? a : VIT_NO_VAL;
    case VIT_IR_AND:
        if (c == 0)
            return vit_ir_const(ir, type, 0);
        return c == ir_truncate(type, UINT64_MAX) ? a : VIT_NO_VAL;
    case VIT_IR_MUL:
        return c == 1 ? a : VIT_NO_VAL;
    default:
        return VIT_NO_VAL;
    }
}

VitVal vit_ir_bin(VitIr *ir, VitIrOpcode opcode, VitVal a, VitVal b)
{
    VitType type = vit_ir_type(ir, a);
    uint64_t x, y;
    bool ca = vit_ir_is_const(ir, a, &x), cb = vit_ir_is_const(ir, b, &y);
    bool commutes = opcode == VIT_IR_ADD || opcode == VIT_IR_AND || opcode == VIT_IR_OR ||
                    opcode == VIT_IR_XOR || opcode == VIT_IR_MUL;

    if (ca && cb)
        return vit_ir_const(ir, type, ir_eval2(opcode, type, x, y));
    if (ca && commutes) {
        VitVal t = a;
        a = b, b = t, y = x, cb = true;
    }
    if (cb) {
        VitVal v = identity(ir, opcode, a, y);
        if (v != VIT_NO_VAL)
            return v;
    }
    if (a == b && (opcode == VIT_IR_XOR || opcode == VIT_IR_SUB))
        return vit_ir_const(ir, type, 0);
    if (a == b && (opcode == VIT_IR_AND || opcode == VIT_IR_OR))
        return a;
    VitIrOp op = make(opcode, type);
    op.a = a;
    op.b = b;
    return vit_ir_emit(ir, op);
}

static bool is_shift(VitIrOpcode opcode)
{
    return opcode >= VIT_IR_SHL && opcode <= VIT_IR_ROR;
}

VitVal vit_ir_bini(VitIr *ir, VitIrOpcode opcode, VitVal a, uint64_t b)
{
    VitType type = is_shift(opcode) ? VIT_I8 : vit_ir_type(ir, a);

    return vit_ir_bin(ir, opcode, a, vit_ir_const(ir, type, b));
}

VitVal vit_ir_un(VitIr *ir, VitIrOpcode opcode, VitVal a)
{
    VitType type = vit_ir_type(ir, a);
    uint64_t x;

    if (opcode != VIT_IR_FLAGS_FROM && opcode != VIT_IR_FLAGS_TO && vit_ir_is_const(ir, a, &x))
        return vit_ir_const(ir, type, ir_eval1(opcode, type, x));
    if (opcode == VIT_IR_FLAGS_FROM)
        type = VIT_FLAGS;
    else if (opcode == VIT_IR_FLAGS_TO)
        type = VIT_I64;
    VitIrOp op = make(opcode, type);
    op.a = a;
    op.src_type = vit_ir_type(ir, a);
    return vit_ir_emit(ir, op);
}

static VitVal convert(VitIr *ir, VitIrOpcode opcode, VitType to, VitVal a)
{
    VitType from = vit_ir_type(ir, a);
    uint64_t x;

    if (from == to)
        return a;
    if (vit_ir_is_const(ir, a, &x))
        return vit_ir_const(ir, to, opcode == VIT_IR_SEXT ? (uint64_t) ir_sign(from, x) : x);
    if (opcode == VIT_IR_TRUNC) {       /* of an extension: from the narrower value itself */
        const VitIrOp *o = &ir->ops[a];
        if (o->op == VIT_IR_ZEXT || o->op == VIT_IR_SEXT || o->op == VIT_IR_TRUNC) {
            if (o->op == VIT_IR_TRUNC || o->src_type >= to)
                return vit_ir_trunc(ir, to, o->a);
            return convert(ir, o->op, to, o->a);
        }
    }
    VitIrOp op = make(opcode, to);
    op.a = a;
    op.src_type = from;
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_zext(VitIr *ir, VitType to, VitVal a) { return convert(ir, VIT_IR_ZEXT, to, a); }
VitVal vit_ir_sext(VitIr *ir, VitType to, VitVal a) { return convert(ir, VIT_IR_SEXT, to, a); }
VitVal vit_ir_trunc(VitIr *ir, VitType to, VitVal a) { return convert(ir, VIT_IR_TRUNC, to, a); }

VitVal vit_ir_cmp(VitIr *ir, VitCmp cc, VitVal a, VitVal b)
{
    VitType type = vit_ir_type(ir, a);
    uint64_t x, y;

    if (vit_ir_is_const(ir, a, &x) && vit_ir_is_const(ir, b, &y))
        return vit_ir_const(ir, VIT_I8, ir_eval_cmp(cc, type, x, y));
    VitIrOp op = make(VIT_IR_CMP, VIT_I8);
    op.a = a;
    op.b = b;
    op.src_type = type;
    op.sub = cc;
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_select(VitIr *ir, VitVal cond, VitVal b, VitVal c)
{
    uint64_t x;

    if (b == c)
        return b;
    if (vit_ir_is_const(ir, cond, &x))
        return x ? b : c;
    VitIrOp op = make(VIT_IR_SELECT, vit_ir_type(ir, b));
    op.a = cond;
    op.b = b;
    op.c = c;
    return vit_ir_emit(ir, op);
}

/* ---- Flags ----------------------------------------------------------------------------------- */

VitVal vit_ir_flags(VitIr *ir, VitIrOpcode opcode, VitVal a, VitVal b, VitVal c)
{
    VitIrOp op = make(opcode, VIT_FLAGS);
    uint64_t x;

    if (opcode >= VIT_IR_FLAGS_SHL && opcode <= VIT_IR_FLAGS_ROR && vit_ir_is_const(ir, b, &x) &&
        x == 0)
        return c;
    op.a = a;
    op.b = b;
    op.c = c;
    op.src_type = vit_ir_type(ir, a);
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_flags_merge(VitIr *ir, VitVal new_flags, VitVal old_flags, unsigned mask_new)
{
    if ((mask_new & VIT_FLAG_ALL) == VIT_FLAG_ALL)
        return new_flags;
    if (!(mask_new & VIT_FLAG_ALL))
        return old_flags;
    VitIrOp op = make(VIT_IR_FLAGS_MERGE, VIT_FLAGS);
    op.a = new_flags;
    op.b = old_flags;
    op.imm = mask_new & VIT_FLAG_ALL;
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_flags_test(VitIr *ir, VitCc cc, VitVal flags)
{
    VitIrOp op = make(VIT_IR_FLAGS_TEST, VIT_I8);
    op.a = flags;
    op.sub = cc;
    return vit_ir_emit(ir, op);
}

/* ---- Memory, helpers, vectors, ends ---------------------------------------------------------- */

VitVal vit_ir_load(VitIr *ir, VitType type, VitVal addr, unsigned mmu, unsigned flags)
{
    VitIrOp op = make(VIT_IR_LD, type);
    op.a = addr;
    op.mmu = (uint8_t) mmu;
    op.flags = (uint8_t) flags;
    return vit_ir_emit(ir, op);
}

void vit_ir_store(VitIr *ir, VitVal addr, VitVal v, unsigned mmu, unsigned flags)
{
    VitIrOp op = make(VIT_IR_ST, vit_ir_type(ir, v));
    op.a = addr;
    op.b = v;
    op.mmu = (uint8_t) mmu;
    op.flags = (uint8_t) flags;
    vit_ir_emit(ir, op);
}

VitVal vit_ir_atomic(VitIr *ir, VitAtomicOp sub, VitVal addr, VitVal v, unsigned mmu)
{
    VitIrOp op = make(VIT_IR_ATOMIC, vit_ir_type(ir, v));
    op.a = addr;
    op.b = v;
    op.sub = sub;
    op.mmu = (uint8_t) mmu;
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_cmpxchg(VitIr *ir, VitVal addr, VitVal expected, VitVal desired, unsigned mmu)
{
    VitIrOp op = make(VIT_IR_CMPXCHG, vit_ir_type(ir, expected));
    op.a = addr;
    op.b = expected;
    op.c = desired;
    op.mmu = (uint8_t) mmu;
    return vit_ir_emit(ir, op);
}

VitVal vit_ir_call(VitIr *ir, const VitHelper *h, VitType result, VitVal a, VitVal b, VitVal c,
                   VitVal d)
{
    VitIrOp op = make(VIT_IR_CALL, result);
    op.a = a;
    op.b = b;
    op.c = c;
    op.d = d;
    op.imm = (uintptr_t) h;
    if (h->flags & VIT_HELPER_WRITES) {
        ir->n_known = 0;
        ir->known_flags = VIT_NO_VAL;
    }
    return vit_ir_emit(ir, op);
}

void vit_ir_trap_if(VitIr *ir, VitVal cond, const VitHelper *h, VitVal b, VitVal c)
{
    uint64_t x;

    if (vit_ir_is_const(ir, cond, &x) && x == 0)
        return;
    VitIrOp op = make(VIT_IR_TRAP_IF, VIT_NONE);
    op.a = cond;
    op.b = b;
    op.c = c;
    op.imm = (uintptr_t) h;
    vit_ir_emit(ir, op);
}

VitVal vit_ir_vop(VitIr *ir, unsigned vop, VitVal a, VitVal b, unsigned imm8)
{
    VitIrOp op = make(VIT_IR_VOP, VIT_V128);
    op.sub = (uint8_t) vop;
    op.a = a;
    op.b = b;
    op.imm = imm8;
    return vit_ir_emit(ir, op);
}

void vit_ir_br(VitIr *ir, VitVal cond, uint64_t pc)
{
    VitIrOp op = make(VIT_IR_BR, VIT_NONE);
    op.a = cond;
    op.imm = pc;
    vit_ir_emit(ir, op);
}

void vit_ir_jmp(VitIr *ir, uint64_t pc)
{
    VitIrOp op = make(VIT_IR_JMP, VIT_NONE);
    op.imm = pc;
    vit_ir_emit(ir, op);
}

void vit_ir_jmp_ind(VitIr *ir, VitVal pc, unsigned hint, uint64_t return_pc)
{
    VitIrOp op = make(VIT_IR_JMP_IND, VIT_NONE);
    op.a = pc;
    op.sub = (uint8_t) hint;
    op.imm = return_pc;
    vit_ir_emit(ir, op);
}

void vit_ir_exit(VitIr *ir, VitVal pc, unsigned leave)
{
    VitIrOp op = make(VIT_IR_EXIT, VIT_NONE);
    op.a = pc;
    op.sub = (uint8_t) leave;
    vit_ir_emit(ir, op);
}

void vit_ir_fence(VitIr *ir)
{
    vit_ir_emit(ir, make(VIT_IR_FENCE, VIT_NONE));
}
