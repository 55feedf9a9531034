/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/lift-flow.c - jumps, calls, returns, interrupts (Intel SDM vol. 2)
 *
 * Not modelled: the check of near targets against the CS limit and for canonical form; the fetch
 * from a bad target raises the exception instead. */
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL

static uint64_t relative_target(const X86Lift *l)
{
    uint64_t pc = l->next_pc + l->insn.imm;

    return l->insn.osize == 8 ? pc : l->insn.osize == 4 ? (uint32_t)pc : (uint16_t)pc;
}

void x86_lift_jmp(X86Lift *l)
{
    x86_jump(l, relative_target(l));
}

void x86_lift_jcc(X86Lift *l)
{
    VitVal cond = vit_ir_flags_test(l->ir, (VitCc)l->insn.row->arg, vit_ir_getflags(l->ir));

    x86_branch(l, cond, relative_target(l));
}

/* LOOPNE LOOPE LOOP JCXZ. */
void x86_lift_loop(X86Lift *l)
{
    unsigned kind = l->insn.row->arg, bytes = l->insn.asize;
    VitIr *ir = l->ir;
    VitVal count = x86_get_gpr(l, X86_RCX, bytes), zero = vit_ir_const(ir, x86_int_type(bytes), 0),
           cond;

    if (kind == 3) {
        x86_branch(l, vit_ir_cmp(ir, VIT_CMP_EQ, count, zero), relative_target(l));
        return;
    }
    count = vit_ir_bini(ir, VIT_IR_SUB, count, 1);
    cond = vit_ir_cmp(ir, VIT_CMP_NE, count, zero);
    if (kind < 2) {
        VitVal z = vit_ir_flags_test(ir, kind == 0 ? VIT_CC_NZ : VIT_CC_Z, vit_ir_getflags(ir));
        cond = vit_ir_bin(ir, VIT_IR_AND, cond, z);
    }
    x86_put_gpr(l, X86_RCX, count);
    x86_branch(l, cond, relative_target(l));
}

static VitVal return_pc(X86Lift *l)
{
    return vit_ir_const(l->ir, x86_int_type(l->insn.osize), l->next_pc);
}

void x86_lift_call(X86Lift *l)
{
    x86_push(l, return_pc(l));
    x86_jump(l, relative_target(l));
}

void x86_lift_call_ind(X86Lift *l)
{
    VitVal target = x86_read(l, 0);

    x86_push(l, return_pc(l));
    x86_jump_ind(l, target, VIT_JMP_CALL, l->next_pc);
}

void x86_lift_jmp_ind(X86Lift *l)
{
    x86_jump_ind(l, x86_read(l, 0), VIT_JMP_PLAIN, 0);
}

void x86_lift_ret(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitVal target = x86_stack_load(l, x86_get_gpr(l, X86_RSP, x86_stack_bytes(l)), bytes);

    x86_pop_done(l, bytes + (l->insn.row->operand[0] ? (unsigned)l->insn.imm : 0));
    x86_jump_ind(l, target, VIT_JMP_RET, 0);
}

/* ---- Far ------------------------------------------------------------------------------------- */

static void far_transfer(X86Lift *l, const VitHelper *h)
{
    unsigned bytes = l->insn.osize;
    VitVal selector, offset;

    if (l->insn.op[0].kind == X86_KIND_FAR) {
        selector = x86_k(l, l->insn.selector);
        offset = x86_k(l, l->insn.imm);
    } else {
        VitVal address = x86_address(l, bytes + 2, false);
        offset = vit_ir_zext(l->ir, VIT_I64, x86_load(l, x86_int_type(bytes), address, 0));
        address = vit_ir_bini(l->ir, VIT_IR_ADD, address, bytes);
        selector = vit_ir_zext(l->ir, VIT_I64, x86_load(l, VIT_I16, address, 0));
    }
    x86_call(l, h, VIT_NONE, selector, offset, x86_k(l, bytes), x86_k(l, l->next_pc));
    x86_exit_moved(l);
}

void x86_lift_jmp_far(X86Lift *l)
{
    far_transfer(l, &helper_x86_h_far_jmp);
}

void x86_lift_call_far(X86Lift *l)
{
    far_transfer(l, &helper_x86_h_far_call);
}

void x86_lift_retf(X86Lift *l)
{
    VitVal release = x86_k(l, l->insn.row->operand[0] ? l->insn.imm : 0);

    x86_call(l, &helper_x86_h_far_ret, VIT_NONE, x86_k(l, l->insn.osize), release,
             x86_k(l, l->next_pc), NONE);
    x86_exit_moved(l);
}

/* ---- Interrupts and system calls ------------------------------------------------------------- */

static void leave(X86Lift *l, const VitHelper *h, VitVal a, VitVal b, VitVal c)
{
    x86_call(l, h, VIT_NONE, a, b, c, NONE);
    x86_exit_moved(l);
}

void x86_lift_int(X86Lift *l)
{
    unsigned how = l->insn.row->arg; /* 0 INT n, 1 INT1, 3 INT3 */
    uint64_t vector = how == 0 ? l->insn.imm : how == 1 ? X86_DB : X86_BP;

    leave(l, &helper_x86_h_int, x86_k(l, vector), x86_k(l, l->next_pc),
          x86_k(l, how == 0   ? 0
                   : how == 1 ? 2
                              : 1));
}

void x86_lift_into(X86Lift *l)
{
    leave(l, &helper_x86_i_into, x86_k(l, l->next_pc), NONE, NONE);
}

void x86_lift_iret(X86Lift *l)
{
    leave(l, &helper_x86_h_iret, x86_k(l, l->insn.osize), x86_k(l, l->next_pc), NONE);
}

void x86_lift_syscall(X86Lift *l)
{
    leave(l, &helper_x86_h_syscall, x86_k(l, l->next_pc), NONE, NONE);
}

void x86_lift_sysret(X86Lift *l)
{
    leave(l, &helper_x86_h_sysret, x86_k(l, l->insn.osize), NONE, NONE);
}

void x86_lift_sysenter(X86Lift *l)
{
    leave(l, &helper_x86_h_sysenter, x86_k(l, l->next_pc), NONE, NONE);
}

void x86_lift_sysexit(X86Lift *l)
{
    leave(l, &helper_x86_h_sysexit, x86_k(l, l->insn.osize), NONE, NONE);
}

void x86_lift_hlt(X86Lift *l)
{
    leave(l, &helper_x86_h_hlt, x86_k(l, l->next_pc), NONE, NONE);
}

void x86_lift_mwait(X86Lift *l)
{
    leave(l, &helper_x86_h_mwait, x86_k(l, l->next_pc), NONE, NONE);
}

void x86_lift_bound(X86Lift *l)
{
    unsigned bytes = l->insn.osize;
    VitIr *ir = l->ir;
    VitType type = x86_int_type(bytes);
    VitVal v = x86_read(l, 0), address = x86_address(l, 2 * bytes, false);
    VitVal low = x86_load(l, type, address, 0);
    VitVal high = x86_load(l, type, vit_ir_bini(ir, VIT_IR_ADD, address, bytes), 0);
    VitVal bad = vit_ir_bin(ir, VIT_IR_OR, vit_ir_cmp(ir, VIT_CMP_SLT, v, low),
                            vit_ir_cmp(ir, VIT_CMP_SGT, v, high));

    x86_trap_if(l, bad, X86_BR, -1);
}
