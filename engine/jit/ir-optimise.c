/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir-optimise.c - one backward pass: dead values, overwritten state, use counts */
#include "engine/jit/ir.h"

#include "engine/jit/vops.h"

enum { MAX_DEAD = 32 };

typedef struct {            /* byte ranges of the state that will be overwritten unseen */
    unsigned n;
    struct { uint32_t from, to; } range[MAX_DEAD];
    bool     flags;         /* so will the flags slot */
} Dead;

static bool covered(const Dead *dead, uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < dead->n; i++) {
        if (dead->range[i].from <= from && to <= dead->range[i].to)
            return true;
    }
    return false;
}

static void add_range(Dead *dead, uint32_t from, uint32_t to)
{
    if (dead->n < MAX_DEAD) {
        dead->range[dead->n].from = from;
        dead->range[dead->n++].to = to;
    }
}

static void observe_range(Dead *dead, uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < dead->n;) {
        if (dead->range[i].from < to && from < dead->range[i].to)
            dead->range[i] = dead->range[--dead->n];
        else
            i++;
    }
}

bool vit_ir_has_effect(const VitIrOp *op)
{
    switch (op->op) {
    case VIT_IR_INSN: case VIT_IR_PUT: case VIT_IR_PUTFLAGS: case VIT_IR_LD: case VIT_IR_ST:
    case VIT_IR_ATOMIC: case VIT_IR_CMPXCHG: case VIT_IR_FENCE: case VIT_IR_CALL:
    case VIT_IR_TRAP_IF: case VIT_IR_SETCSR: case VIT_IR_BR: case VIT_IR_JMP:
    case VIT_IR_JMP_IND: case VIT_IR_EXIT:
    case VIT_IR_VCVTI: case VIT_IR_VCVTF: case VIT_IR_VCOMI:    /* sticky bits of MXCSR */
        return true;
    case VIT_IR_VOP:
        return op->sub >= VIT_VOP_ADDPS && op->sub <= VIT_VOP_CVTTPD2DQ;
    default:
        return false;
    }
}

/* Whether guest state as a whole can be seen at this op: a fault, a reading helper, a way out. */
static bool observes_all(const VitIrOp *op)
{
    switch (op->op) {
    case VIT_IR_LD: case VIT_IR_ST: case VIT_IR_ATOMIC: case VIT_IR_CMPXCHG: case VIT_IR_TRAP_IF:
    case VIT_IR_BR: case VIT_IR_JMP: case VIT_IR_JMP_IND: case VIT_IR_EXIT:
        return true;
    case VIT_IR_CALL:
        return ((const VitHelper *) (uintptr_t) op->imm)->flags &
               (VIT_HELPER_FAULTS | VIT_HELPER_READS | VIT_HELPER_WRITES);
    default:
        return false;
    }
}

static void use(VitIr *ir, VitVal v, unsigned at)
{
    if (v == VIT_NO_VAL)
        return;
    VitIrOp *op = &ir->ops[v];
    op->uses++;
    if (!op->last_use)
        op->last_use = (uint16_t) at;
}

/* A state write that nobody sees before the next one becomes a NOP; true when it did. */
static bool drop_dead_write(VitIrOp *op, Dead *dead)
{
    if (op->op == VIT_IR_PUT) {
        uint32_t from = (uint32_t) op->imm, to = from + vit_type_bytes(op->type);
        if (covered(dead, from, to)) {
            op->op = VIT_IR_NOP;
            return true;
        }
        add_range(dead, from, to);
    } else if (op->op == VIT_IR_PUTFLAGS) {
        if (dead->flags) {
            op->op = VIT_IR_NOP;
            return true;
        }
        dead->flags = true;
    }
    return false;
}

void vit_ir_optimise(VitIr *ir, const VitIsa *isa, bool enabled)
{
    Dead dead = { 0 };

    for (unsigned i = 0; i < ir->n_ops; i++)
        ir->ops[i].uses = ir->ops[i].last_use = 0;
    for (unsigned i = ir->n_ops; i-- > 0;) {
        VitIrOp *op = &ir->ops[i];

        if (op->op == VIT_IR_NOP)
            continue;
        if (enabled && !op->uses && !vit_ir_has_effect(op)) {
            op->op = VIT_IR_NOP;
            continue;
        }
        if (observes_all(op)) {
            dead.n = 0;
            dead.flags = false;
        }
        if (enabled && drop_dead_write(op, &dead))
            continue;
        if (op->op == VIT_IR_GET)
            observe_range(&dead, (uint32_t) op->imm, (uint32_t) op->imm + vit_type_bytes(op->type));
        else if (op->op == VIT_IR_GETFLAGS)
            dead.flags = false;
        use(ir, op->a, i);
        use(ir, op->b, i);
        use(ir, op->c, i);
        use(ir, op->d, i);
    }
}
