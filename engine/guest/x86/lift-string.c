/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-string.c - string instructions: once in line, repeated by helper (Intel SDM
 * vol. 2: REP) */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL

static VitVal pointer(X86Lift *l, unsigned reg, unsigned seg, unsigned bytes, bool write)
{
    return x86_linear(l, seg, x86_get_gpr(l, reg, l->insn.asize), bytes, write);
}

static void advance(X86Lift *l, unsigned reg, unsigned bytes)
{
    VitIr *ir = l->ir;
    VitVal step = vit_ir_bini(ir, VIT_IR_SHL, vit_ir_get(ir, VIT_I64, X86_SLOT(df)),
                              (unsigned)__builtin_ctz(bytes));

    step = vit_ir_trunc(ir, x86_int_type(l->insn.asize), step);
    x86_put_gpr(l, reg, vit_ir_bin(ir, VIT_IR_ADD, x86_get_gpr(l, reg, l->insn.asize), step));
}

static void once(X86Lift *l, unsigned op, unsigned bytes)
{
    VitIr *ir = l->ir;
    VitType type = x86_int_type(bytes);
    bool source = op == X86_STRING_MOVS || op == X86_STRING_CMPS || op == X86_STRING_LODS;
    bool destination = op != X86_STRING_LODS;
    bool writes = op == X86_STRING_MOVS || op == X86_STRING_STOS;
    VitVal from = NONE, to = NONE, a, b, flags = NONE;

    if (source) from = pointer(l, X86_RSI, l->insn.seg, bytes, false);
    if (destination) to = pointer(l, X86_RDI, X86_ES, bytes, writes);
    a = source ? x86_load(l, type, from, 0) : x86_get_gpr(l, X86_RAX, bytes);
    if (writes) {
        x86_store(l, to, a, 0);
    } else if (destination) {
        b = x86_load(l, type, to, 0);
        flags = vit_ir_flags(ir, VIT_IR_FLAGS_SUB, a, b, NONE);
    } else {
        x86_put_gpr(l, X86_RAX, a);
    }
    if (source) advance(l, X86_RSI, bytes);
    if (destination) advance(l, X86_RDI, bytes);
    if (flags != NONE) vit_ir_putflags(ir, flags);
}

void x86_lift_string(X86Lift *l)
{
    unsigned op = l->insn.row->arg, rep = X86_STRING_ONCE;
    unsigned bytes = l->insn.op[0].size;
    bool port = op == X86_STRING_INS || op == X86_STRING_OUTS;

    if (op == X86_STRING_OUTS) bytes = l->insn.op[1].size;
    if (port && bytes > 4) bytes = 4;
    if (l->insn.rep)
        rep = l->insn.rep == X86_REP_REPNE && (op == X86_STRING_CMPS || op == X86_STRING_SCAS)
                  ? X86_STRING_REPNE
                  : X86_STRING_REPE;
    if (!rep && !port) {
        once(l, op, bytes);
        return;
    }
    VitVal spec = x86_k(l, X86_STRING_SPEC(op, bytes, l->insn.asize, l->insn.seg, rep));
    VitVal done = x86_call(l, &helper_x86_i_string, VIT_I8, spec, NONE, NONE, NONE);
    if (rep) { /* not finished: once more from the same pc, so that interrupts come in between */
        VitVal again = vit_ir_cmp(l->ir, VIT_CMP_EQ, done, vit_ir_const(l->ir, VIT_I8, 0));
        x86_branch(l, again, l->pc);
    } else {
        x86_exit(l);
    }
}
