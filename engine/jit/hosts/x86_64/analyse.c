/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/analyse.c - before emission: aliases, which instruction makes which
 * flags, last uses, addresses made where used, results made in their pinned register */
#include "engine/jit/hosts/x86_64/analyse.h"

enum { LOOK_BACK = 8, LOOK_AHEAD = 12 };

/* Whether the op's own instruction leaves zeroes above a result of that type. */
static bool zero_extends(const VitIrOp *op)
{
    switch (op->op) {
    case VIT_IR_LD:
        return op->type <= VIT_I32;
    case VIT_IR_ADD: case VIT_IR_SUB: case VIT_IR_AND: case VIT_IR_OR: case VIT_IR_XOR:
    case VIT_IR_MUL: case VIT_IR_MULHU: case VIT_IR_MULHS: case VIT_IR_SHL: case VIT_IR_SHR:
    case VIT_IR_SAR: case VIT_IR_ROL: case VIT_IR_ROR: case VIT_IR_NEG: case VIT_IR_NOT:
    case VIT_IR_BSWAP: case VIT_IR_SELECT: case VIT_IR_ATOMIC: case VIT_IR_CMPXCHG:
    case VIT_IR_VMASK: case VIT_IR_VCVTI: case VIT_IR_VTOI: case VIT_IR_SEXT: case VIT_IR_CALL:
    case VIT_IR_GETCSR:
        return op->type == VIT_I32;
    default:
        return false;
    }
}

static void aliases(Gen *g)
{
    for (unsigned i = 0; i < g->ir->n_ops; i++) {
        const VitIrOp *op = &g->ir->ops[i];
        Val *v = &g->v[i];

        memset(v, 0, sizeof *v);
        v->rep = (VitVal) i;
        if (op->op == VIT_IR_TRUNC ||
            (op->op == VIT_IR_ZEXT && op->src_type == g->ir->ops[op->a].type &&
             zero_extends(&g->ir->ops[op->a])))
            v->rep = g->v[op->a].rep;
    }
}

static bool same_value(const Gen *g, VitVal a, VitVal b)
{
    uint64_t x, y;
    return a == b || (vit_ir_is_const(g->ir, a, &x) && vit_ir_is_const(g->ir, b, &y) && x == y);
}

/* The arithmetic op whose instruction leaves exactly these flags. */
static VitVal maker(const Gen *g, unsigned j)
{
    const VitIrOp *f = &g->ir->ops[j];
    unsigned bits = vit_type_bytes(f->src_type) * 8, want;
    uint64_t n;

    switch (f->op) {
    case VIT_IR_FLAGS_ADD: want = VIT_IR_ADD; break;
    case VIT_IR_FLAGS_SUB: want = VIT_IR_SUB; break;
    case VIT_IR_FLAGS_SHL: want = VIT_IR_SHL; break;
    case VIT_IR_FLAGS_SHR: want = VIT_IR_SHR; break;
    case VIT_IR_FLAGS_SAR: want = VIT_IR_SAR; break;
    case VIT_IR_FLAGS_LOGIC: {
        const VitIrOp *a = &g->ir->ops[f->a];
        bool logic = a->op == VIT_IR_AND || a->op == VIT_IR_OR || a->op == VIT_IR_XOR;
        return logic && j - f->a <= LOOK_BACK && !g->v[f->a].partner ? f->a : VIT_NO_VAL;
    }
    default:
        return VIT_NO_VAL;
    }
    if (want >= VIT_IR_SHL && want <= VIT_IR_SAR &&
        !(vit_ir_is_const(g->ir, f->b, &n) && n > 0 && n < bits))
        return VIT_NO_VAL;
    for (unsigned k = j; k-- > 0 && j - k <= LOOK_BACK;) {
        const VitIrOp *op = &g->ir->ops[k];
        if (op->op == want && op->type == f->src_type && op->a == f->a &&
            same_value(g, op->b, f->b) && !g->v[k].partner)
            return (VitVal) k;
    }
    return VIT_NO_VAL;
}

static void fuse_flags(Gen *g)
{
    for (unsigned j = 0; j < g->ir->n_ops; j++) {
        const VitIrOp *f = &g->ir->ops[j];
        uint64_t one;

        if (f->op < VIT_IR_FLAGS_ADD || f->op > VIT_IR_FLAGS_SAR || !f->uses)
            continue;
        VitVal k = maker(g, j);
        if (k == VIT_NO_VAL)
            continue;
        g->v[k].partner = (uint16_t) j;
        g->v[j].done = true;
        /* INC and DEC: all but C */
        if ((f->op == VIT_IR_FLAGS_ADD || f->op == VIT_IR_FLAGS_SUB) && f->uses == 1 &&
            vit_ir_is_const(g->ir, f->b, &one) && one == 1) {
            for (unsigned m = j + 1; m < g->ir->n_ops && m - j <= LOOK_BACK; m++) {
                const VitIrOp *merge = &g->ir->ops[m];
                if (merge->op == VIT_IR_PUTFLAGS)
                    break;      /* the slot may not be read for the old flags any more */
                if (merge->op == VIT_IR_FLAGS_MERGE && merge->a == j &&
                    merge->imm == (VIT_FLAG_ALL & ~VIT_FLAG_C)) {
                    VitVal old = g->v[merge->b].rep;
                    if (old < k || g->ir->ops[old].op == VIT_IR_GETFLAGS)
                        g->v[j].partner = (uint16_t) m;
                    break;
                }
            }
        }
    }
}

static void use_value(Gen *g, VitVal v, unsigned when, unsigned address, unsigned index)
{
    if (v == VIT_NO_VAL)
        return;
    Val *x = &g->v[g->v[v].rep];
    x->uses++;
    x->address_uses += (uint16_t) address;
    x->index_uses += (uint16_t) index;
    if (x->last < when)
        x->last = (uint16_t) when;
}

static bool is_lazy(const Gen *g, unsigned i)
{
    const VitIrOp *op = &g->ir->ops[i];
    const Val *v = &g->v[i];
    uint64_t c;

    if (op->type != VIT_I64 || v->partner || !v->uses)
        return false;
    if (op->op == VIT_IR_ADD && v->uses == v->address_uses)
        return vit_ir_is_const(g->ir, op->b, &c)
                   ? (int64_t) c >= INT32_MIN / 4 && (int64_t) c <= INT32_MAX / 4 : v->uses <= 2;
    return op->op == VIT_IR_SHL && v->uses == v->index_uses && v->uses <= 2 &&
           vit_ir_is_const(g->ir, op->b, &c) && c >= 1 && c <= 3;
}

static void last_uses(Gen *g)
{
    for (unsigned i = g->ir->n_ops; i-- > 0;) {
        const VitIrOp *op = &g->ir->ops[i];
        Val *v = &g->v[i];
        unsigned when = i;

        if (op->op == VIT_IR_NOP || op->op == VIT_IR_CONST || v->rep != i)
            continue;
        if (!vit_ir_has_effect(op) && !v->uses && !v->partner) {
            v->dead = true;
            continue;
        }
        if (v->done)        /* its operands are used where it is made */
            continue;
        if (is_lazy(g, i)) {
            v->lazy = true;
            when = v->last;
        }
        bool address = v->lazy || op->op == VIT_IR_LD || op->op == VIT_IR_ST ||
                       op->op == VIT_IR_ATOMIC || op->op == VIT_IR_CMPXCHG;
        use_value(g, op->a, when, address && op->op != VIT_IR_SHL, 0);
        use_value(g, op->b, when, 0, v->lazy && op->op == VIT_IR_ADD);
        use_value(g, op->c, when, 0, 0);
        use_value(g, op->d, when, 0, 0);
    }
}

/* Ops that may stand between an op and the PUT of its result when the result is made in place. */
static bool harmless(const Gen *g, const VitIrOp *op, int pin)
{
    switch (op->op) {
    case VIT_IR_LD: case VIT_IR_ST: case VIT_IR_ATOMIC: case VIT_IR_CMPXCHG: case VIT_IR_CALL:
    case VIT_IR_TRAP_IF: case VIT_IR_BR:
        return false;
    case VIT_IR_GET: case VIT_IR_PUT:
        return op->imm + vit_type_bytes(op->type) <= g->pin_offset[pin] ||
               op->imm >= g->pin_offset[pin] + 8;
    default:
        return true;
    }
}

static void hints(Gen *g)
{
    for (unsigned j = 0; j < g->ir->n_ops; j++) {
        const VitIrOp *op = &g->ir->ops[j];

        if (op->op != VIT_IR_PUT || op->type != VIT_I64)
            continue;
        int pin = pin_index(g, op->imm);
        unsigned r = g->v[op->a].rep;
        const VitIrOp *made = &g->ir->ops[r];
        if (pin < 0 || op->imm != g->pin_offset[pin] || j - r > LOOK_AHEAD || g->v[r].hint ||
            made->op == VIT_IR_GET || made->op == VIT_IR_CONST || g->v[r].lazy)
            continue;
        bool ok = true;
        for (unsigned k = r + 1; k < j && ok; k++)
            ok = harmless(g, &g->ir->ops[k], pin);
        if (ok)
            g->v[r].hint = (uint8_t) (pin + 1);
    }
}

void gen_analyse(Gen *g)
{
    aliases(g);
    if (g->a->options.fuse_flags)
        fuse_flags(g);
    last_uses(g);
    hints(g);
}
