/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/translate.c - translates one block: decode, check, lift, end (Intel SDM vol. 2,
 * 2.3.11; vol. 3, 6.8.3, 17.2) */
#include "engine/guest/x86/cpuid.h"
#include "engine/guest/x86/x86-lifters.h"

#define NONE VIT_NO_VAL
enum { ONE_BY_ONE = X86_MODE_TF | X86_MODE_SHADOW | X86_MODE_BREAK };

/* ---- Exceptions ------------------------------------------------------------------------------ */

VitVal x86_call(X86Lift *l, const VitHelper *h, VitType result, VitVal a, VitVal b, VitVal c,
                VitVal d)
{
    return vit_ir_call(l->ir, h, result, a, b, c, d);
}

void x86_lift_raise(X86Lift *l, int vector, int error)
{
    x86_call(l, &helper_x86_h_raise, VIT_NONE, x86_k(l, (unsigned)vector),
             x86_k(l, (unsigned)(error + 1)), NONE, NONE);
    vit_ir_exit(l->ir, x86_k(l, l->pc), VIT_LEAVE_LOOP);
    l->ended = true;
}

void x86_lift_ud(X86Lift *l)
{
    x86_lift_raise(l, X86_UD, -1);
}

void x86_trap_if(X86Lift *l, VitVal cond, int vector, int error)
{
    vit_ir_trap_if(l->ir, cond, &helper_x86_h_raise, x86_k(l, (unsigned)vector),
                   x86_k(l, (unsigned)(error + 1)));
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Under TF, a shadow or breakpoints each instruction ends its block here. */
static void end_one(X86Lift *l, VitVal pc)
{
    if (l->mode & X86_MODE_SHADOW)
        x86_call(l, &helper_x86_h_end_shadow, VIT_NONE, NONE, NONE, NONE, NONE);
    if (l->mode & (X86_MODE_TF | X86_MODE_BREAK))
        x86_call(l, &helper_x86_h_single_step, VIT_NONE, x86_k(l, (l->mode & X86_MODE_TF) != 0),
                 NONE, NONE, NONE);
    /* Whoever leaves something to deliver has set exit_request, which the next block looks at. */
    vit_ir_exit(l->ir, pc, VIT_LEAVE_LOOKUP);
    l->ended = true;
}

void x86_jump(X86Lift *l, uint64_t pc)
{
    if (l->mode & ONE_BY_ONE) {
        end_one(l, x86_k(l, pc));
        return;
    }
    vit_ir_jmp(l->ir, pc);
    l->ended = true;
}

void x86_jump_ind(X86Lift *l, VitVal pc, unsigned hint, uint64_t return_pc)
{
    pc = vit_ir_zext(l->ir, VIT_I64, pc);
    if (l->mode & ONE_BY_ONE) {
        end_one(l, pc);
        return;
    }
    vit_ir_jmp_ind(l->ir, pc, hint, return_pc);
    l->ended = true;
}

void x86_branch(X86Lift *l, VitVal cond, uint64_t pc)
{
    if (l->mode & ONE_BY_ONE) {
        end_one(l, vit_ir_select(l->ir, cond, x86_k(l, pc), x86_k(l, l->next_pc)));
        return;
    }
    vit_ir_br(l->ir, cond, pc);
    vit_ir_jmp(l->ir, l->next_pc);
    l->ended = true;
}

void x86_exit(X86Lift *l)
{
    if (l->mode & ONE_BY_ONE) {
        end_one(l, x86_k(l, l->next_pc));
        return;
    }
    vit_ir_exit(l->ir, x86_k(l, l->next_pc), VIT_LEAVE_LOOKUP);
    l->ended = true;
}

void x86_exit_moved(X86Lift *l)
{
    end_one(l, NONE);
}

/* ---- What a row calls ------------------------------------------------------------------------ */

static X86LiftFn *const lifters[] = { [LIFT_MISSING] = x86_lift_ud,
#define X(name) [LIFT_##name] = x86_lift_##name,
                                      X86_LIFTERS(X)
#undef X
};

/* ---- One instruction ------------------------------------------------------------------------- */

/* What must hold before a row may run; raises and returns false when it does not. */
static bool permitted(X86Lift *l)
{
    const X86Row *row = l->insn.row;
    unsigned need = row->attributes;

    if ((l->insn.lock && !((need & X86_ATTRIBUTE_LOCK) && x86_is_mem(l, 0))) ||
        ((need & X86_ATTRIBUTE_PE) && (l->mode & (X86_MODE_PE | X86_MODE_VM86)) != X86_MODE_PE) ||
        !x86_has(l->x, row->feature) ||
        ((need & X86_ATTRIBUTE_SSE) && (l->mode & X86_MODE_NOSSE)) ||
        ((need & X86_ATTRIBUTE_MMX) && (l->mode & X86_MODE_NOFPU) && !(l->mode & X86_MODE_TS))) {
        x86_lift_ud(l);
        return false;
    }
    if (((need & (X86_ATTRIBUTE_SSE | X86_ATTRIBUTE_MMX)) && (l->mode & X86_MODE_TS)) ||
        ((need & X86_ATTRIBUTE_FPU) && (l->mode & X86_MODE_NOFPU))) {
        x86_lift_raise(l, X86_NM, -1);
        return false;
    }
    return true;
}

static uint64_t wrap_pc(const X86Lift *l, uint64_t pc)
{
    return l->is_long ? pc : l->mode & X86_MODE_CS32 ? (uint32_t)pc : (uint16_t)pc;
}

/* False when the block must end before this instruction. */
static bool translate_one(X86Lift *l, bool first)
{
    VitTranslate *t = l->t;
    unsigned code = l->is_long ? X86_CODE_64 : l->mode & X86_MODE_CS32 ? X86_CODE_32 : X86_CODE_16;
    uint8_t bytes[15];
    unsigned n = vit_translate_fetch(t, l->pc, bytes);
    X86DecodeResult result = x86_decode(&l->insn, bytes, n, code);

    if (result == X86_DECODE_SHORT && n < sizeof bytes) {
        if (!first) return false;
        vit_translate_fault(t, l->pc + n);
    }
    bool crosses = !vit_translate_same_page(t, l->pc + l->insn.length - 1);
    if (crosses && !first) return false; /* stands in a block of its own */
    vit_ir_insn(l->ir, l->pc);
    vit_ir_insn_length(l->ir, l->insn.length);
    l->next_pc = wrap_pc(l, l->pc + l->insn.length);
    l->more = l->more && l->next_pc > t->pc && vit_translate_same_page(t, l->next_pc + 14);
    l->address = NONE;
    t->crosses = crosses;
    if (l->mode & X86_MODE_BREAK)
        x86_call(l, &helper_x86_h_breakpoint, VIT_NONE, x86_k(l, vit_mode_linear(t->mode, l->pc)),
                 NONE, NONE, NONE);
    if (result == X86_DECODE_SHORT) x86_lift_raise(l, X86_GP, 0); /* longer than 15 bytes */
    else if (result == X86_DECODE_BAD) x86_lift_ud(l);
    else if (permitted(l)) lifters[l->insn.row->lift](l);
    return true;
}

void x86_translate(VitTranslate *t)
{
    X86Lift l = {
        .t = t,
        .ir = t->ir,
        .x = (X86Cpu *)t->cpu,
        .mode = (uint32_t)t->mode,
        .is_long = t->mode & X86_MODE_LONG,
        .mmu = X86_MODE_MMU((uint32_t)t->mode),
        .pc = t->pc,
        .cs_base = t->mode >> 32,
    };
    unsigned max = l.mode & ONE_BY_ONE ? 1 : t->max_insns;
    bool shadow = l.mode & X86_MODE_SHADOW;

    t->crosses = false;
    for (unsigned n = 0;; l.pc = l.next_pc) {
        l.more = n + 2 <= max && l.ir->n_ops < VIT_IR_MAX_OPS - 512;
        if (!translate_one(&l, n == 0)) {
            vit_ir_jmp(l.ir, l.pc);
            t->end_pc = l.pc;
            return;
        }
        n++;
        if (l.ended) break;
        if (!shadow && (l.mode & X86_MODE_SHADOW)) { /* STI: one more */
            shadow = true;
            max = n + 1;
        }
        if (n >= max || l.ir->n_ops > VIT_IR_MAX_OPS - 256 || l.next_pc <= t->pc ||
            !vit_translate_same_page(t, l.next_pc)) {
            x86_jump(&l, l.next_pc);
            break;
        }
    }
    t->end_pc = l.next_pc;
}
