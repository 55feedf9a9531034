/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/flags.c - flags ops: the host's own flags, or packed as LAHF and SETO
 * leave them */
#include "engine/jit/hosts/x86_64/gen.h"

#include "engine/jit/ir-eval.h"

static uint64_t eval_flags(uint64_t a, uint64_t b, uint64_t c, uint64_t k)
{
    VitType t = (VitType) (k & 255);
    return vit_flags_pack(ir_eval_flags((VitIrOpcode) (k >> 8), t, ir_truncate(t, a), b & 255,
                                        vit_flags_unpack((uint16_t) c)));
}

static void in_host(Gen *g, VitVal i, bool shift)
{
    g->hf = i;
    g->hf_shift = shift;
}

static void two_operands(Gen *g, const VitIrOp *op, VitVal i, unsigned n)
{
    unsigned size = vit_type_bytes(op->src_type);
    int32_t imm;
    uint64_t c;
    int d;
    Mem m;

    clobber(g);
    if (n == ALU_CMP) {
        d = use(g, op->a);
    } else {
        d = alloc(g);
        move_to(g, d, op->a, 0);
    }
    int carry = NO_REG;
    if (n == ALU_ADC || n == ALU_SBB) {
        if (is_const(g, op->c, &c)) {
            e1(g, c ? 0xf9 : 0xf8);         /* stc, clc */
        } else {
            carry = use(g, op->c);
        }
    }
    bool has_imm = imm_of(g, op->b, size, &imm), mem = !has_imm && in_memory(g, op->b, &m);
    int b = has_imm || mem ? NO_REG : use(g, op->b);
    if (carry != NO_REG) {
        ins_rr(g, M0F, 0xba, 4, carry);     /* bt carry, 0 */
        e1(g, 0);
    }
    if (has_imm)
        alu_ri(g, n, d, imm, size);
    else if (mem)
        alu_rm(g, n, d, m, size);
    else
        alu_rr(g, n, d, b, size);
    in_host(g, i, false);
}

static unsigned shift_number(unsigned op)
{
    switch (op) {
    case VIT_IR_FLAGS_ROL: return 0;
    case VIT_IR_FLAGS_ROR: return 1;
    case VIT_IR_FLAGS_SHL: return 4;
    case VIT_IR_FLAGS_SHR: return 5;
    default: return 7;
    }
}

/* ax := packed old flags into the host's. */
static void unpack_ax(Gen *g)
{
    e1(g, 0x04), e1(g, 0x7f);   /* add al, 0x7f: O */
    e1(g, 0x9e);                /* sahf */
}

static void shifts(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->src_type), n = shift_number(op->op);
    bool rotate = n < 2;
    uint64_t count;

    if (is_const(g, op->b, &count) && count > 0 && count < size * 8) {
        Mem old = { 0 };
        if (rotate)
            old = flags_mem(g, op->c);
        clobber(g);
        if (rotate)
            take(g, RAX);
        int d = alloc(g);
        move_to(g, d, op->a, 0);
        if (count > 1)
            shift_ri(g, n, d, (unsigned) count - 1, size);
        if (rotate) {
            load_rm(g, RAX, old, 2);
            unpack_ax(g);
        }
        shift_ri(g, n, d, 1, size);
        in_host(g, i, !rotate);
        return;
    }
    if (size < 4) {
        gen_pure_call(g, i, eval_flags, op->a, op->b, op->c, (uint64_t) op->op << 8 | op->src_type);
        return;
    }
    Mem old = flags_mem(g, op->c);
    clobber(g);
    take(g, RCX);
    take(g, RAX);
    int d = alloc(g);
    move_to(g, RCX, op->b, 1);
    move_to(g, d, op->a, 0);
    if (!in_memory(g, op->c, &old))
        g->failed = true;
    load_rm(g, RAX, old, 2);
    test_rr(g, RCX, RCX, 4);
    uint8_t *zero = jcc_short(g, VIT_CC_Z);
    alu_ri(g, ALU_SUB, RCX, 1, 4);
    shift_rc(g, n, d, size);
    if (rotate)
        unpack_ax(g);
    shift_ri(g, n, d, 1, size);
    setcc(g, VIT_CC_O, RAX);
    e1(g, 0x9f);                                    /* lahf */
    if (!rotate)
        e1(g, 0x80), e1(g, 0xe4), e1(g, 0xef);      /* and ah, ~A */
    land_short(g, zero);
    flags_from_ax(g, i);
}

static void merge(Gen *g, const VitIrOp *op, VitVal i)
{
    uint32_t mask = (uint32_t) ((op->imm & 0xd5) << 8 | (op->imm >> 11 & 1));
    Mem a, b;

    flags_mem(g, op->a);
    flags_mem(g, op->b);
    clobber(g);
    take(g, RAX);
    a = flags_mem(g, op->a);
    b = flags_mem(g, op->b);
    int t = alloc(g);
    load_rm(g, RAX, a, 2);
    load_rm(g, t, b, 2);
    alu_ri(g, ALU_AND, RAX, (int32_t) mask, 4);
    alu_ri(g, ALU_AND, t, (int32_t) (~mask & 0xffff), 4);
    alu_rr(g, ALU_OR, RAX, t, 4);
    flags_from_ax(g, i);
}

static void to_bits(Gen *g, const VitIrOp *op, VitVal i)
{
    Mem m = flags_mem(g, op->a), high = m;

    high.disp++;
    clobber(g);
    g->v[i].hint = 0;
    int d = alloc(g), t = alloc(g);
    load_rm(g, d, high, 1);
    load_rm(g, t, m, 1);
    alu_ri(g, ALU_AND, d, VIT_FLAG_ALL & 0xff, 4);
    alu_ri(g, ALU_AND, t, 1, 4);
    shift_ri(g, 4, t, 11, 4);
    alu_rr(g, ALU_OR, d, t, 4);
    own(g, d, i);
}

static void from_bits(Gen *g, const VitIrOp *op, VitVal i)
{
    clobber(g);
    take(g, RAX);
    int t = alloc(g);
    move_to(g, t, op->a, 0);
    mov_rr32(g, RAX, t);
    alu_ri(g, ALU_AND, RAX, 0xd5, 4);
    alu_ri(g, ALU_OR, RAX, 2, 4);
    shift_ri(g, 4, RAX, 8, 4);
    shift_ri(g, 5, t, 11, 4);
    alu_ri(g, ALU_AND, t, 1, 4);
    alu_rr(g, ALU_OR, RAX, t, 4);
    flags_from_ax(g, i);
}

static void test(Gen *g, const VitIrOp *op, VitVal i)
{
    static const struct { uint8_t byte, mask; } bit[] = {
        { 0, 1 }, { 1, 1 }, { 1, 0x40 }, { 1, 0x41 }, { 1, 0x80 }, { 1, 4 },
    };
    VitVal root = root_of(g, op->a);
    unsigned cc = op->sub;

    if (g->hf == root) {
        cond_in_flags(g, i, cc);
        return;
    }
    Mem m = flags_mem(g, root);
    clobber(g);
    if (cc < VIT_CC_LT) {
        m.disp += bit[cc / 2].byte;
        ins_rm(g, 0, 0xf6, 0, m);
        e1(g, bit[cc / 2].mask);
        cond_in_flags(g, i, cc & 1 ? VIT_CC_Z : VIT_CC_NZ);
        return;
    }
    take(g, RAX);
    load_rm(g, RAX, m, 2);
    unpack_ax(g);
    in_host(g, root, false);
    cond_in_flags(g, i, cc);
}

void gen_flags(Gen *g, const VitIrOp *op, VitVal i)
{
    switch (op->op) {
    case VIT_IR_FLAGS_ADD: two_operands(g, op, i, ALU_ADD); break;
    case VIT_IR_FLAGS_SUB: two_operands(g, op, i, ALU_CMP); break;
    case VIT_IR_FLAGS_ADC: two_operands(g, op, i, ALU_ADC); break;
    case VIT_IR_FLAGS_SBB: two_operands(g, op, i, ALU_SBB); break;
    case VIT_IR_FLAGS_LOGIC: {
        clobber(g);
        int r = use(g, op->a);
        test_rr(g, r, r, vit_type_bytes(op->src_type));
        in_host(g, i, false);
        break;
    }
    case VIT_IR_FLAGS_MERGE: merge(g, op, i); break;
    case VIT_IR_FLAGS_TO: to_bits(g, op, i); break;
    case VIT_IR_FLAGS_FROM: from_bits(g, op, i); break;
    case VIT_IR_FLAGS_TEST: test(g, op, i); break;
    default: shifts(g, op, i); break;
    }
}
