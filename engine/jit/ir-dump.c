/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir-dump.c - IR as text, and the check that it is well formed */
#include "engine/jit/ir.h"
#include "engine/jit/vops.h"

static const struct { const char *name; uint8_t n_args; } op_info[VIT_IR_COUNT] = {
#define X(name, n) { #name, n },
    VIT_IR_OPS(X)
#undef X
};
static const char *const type_names[] = { "", "i8", "i16", "i32", "i64", "v128", "flags" };

static void dump_value(GString *s, VitVal v)
{
    if (v != VIT_NO_VAL)
        g_string_append_printf(s, " v%u", v);
}

char *vit_ir_dump(const VitIr *ir, const VitIsa *isa)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < ir->n_ops; i++) {
        const VitIrOp *op = &ir->ops[i];

        if (op->op == VIT_IR_NOP)
            continue;
        if (op->op == VIT_IR_INSN) {
            g_string_append_printf(s, "---- %#" G_GINT64_MODIFIER "x (%u bytes)\n", op->imm,
                                   op->sub);
            continue;
        }
        g_string_append_printf(s, "  v%-4u %-5s %s", i, type_names[op->type], op_info[op->op].name);
        if (op->op == VIT_IR_VOP)
            g_string_append_printf(s, ".%s", vit_vop_info[op->sub].name);
        else if (op->sub)
            g_string_append_printf(s, ".%u", op->sub);
        if (op->src_type)
            g_string_append_printf(s, " <%s>", type_names[op->src_type]);
        dump_value(s, op->a);
        dump_value(s, op->b);
        dump_value(s, op->c);
        dump_value(s, op->d);
        if (op->op == VIT_IR_CALL || op->op == VIT_IR_TRAP_IF)
            g_string_append_printf(s, " %s", ((const VitHelper *) (uintptr_t) op->imm)->name);
        else
            g_string_append_printf(s, " #%#" G_GINT64_MODIFIER "x", op->imm);
        g_string_append_c(s, '\n');
    }
    return g_string_free(s, FALSE);
}

static bool is_end(VitIrOpcode op)
{
    return op == VIT_IR_JMP || op == VIT_IR_JMP_IND || op == VIT_IR_EXIT;
}

static const char *check_op(const VitIr *ir, unsigned i)
{
    const VitIrOp *op = &ir->ops[i];
    const VitVal args[4] = { op->a, op->b, op->c, op->d };

    if (op->op >= VIT_IR_COUNT)
        return "unknown op";
    for (unsigned k = 0; k < 4; k++) {
        if (args[k] == VIT_NO_VAL)
            continue;
        if (args[k] >= i)
            return "operand is not defined before";
        if (ir->ops[args[k]].type == VIT_NONE)
            return "operand has no value";
        if (k >= op_info[op->op].n_args)
            return "too many operands";
    }
    if (op->op >= VIT_IR_ADD && op->op <= VIT_IR_MULHS &&
        (ir->ops[op->a].type != op->type || ir->ops[op->b].type != op->type))
        return "operand types differ from the result's";
    if (op->op >= VIT_IR_SHL && op->op <= VIT_IR_ROR && ir->ops[op->b].type != VIT_I8)
        return "shift count is not i8";
    if (op->op >= VIT_IR_LD && op->op <= VIT_IR_CMPXCHG && ir->ops[op->a].type != VIT_I64)
        return "address is not i64";
    if (is_end(op->op) != (i == ir->n_ops - 1))
        return "block does not end with its only terminator";
    if (op->op == VIT_IR_BR && (i + 2 != ir->n_ops || ir->ops[i + 1].op != VIT_IR_JMP))
        return "BR is not followed by the final JMP";
    return NULL;
}

char *vit_ir_check(const VitIr *ir)
{
    if (ir->n_ops == 0)
        return g_strdup("empty block");
    for (unsigned i = 0; i < ir->n_ops; i++) {
        const char *problem = ir->ops[i].op == VIT_IR_NOP ? NULL : check_op(ir, i);
        if (problem)
            return g_strdup_printf("v%u %s: %s", i, op_info[ir->ops[i].op].name, problem);
    }
    return NULL;
}
