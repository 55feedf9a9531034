/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/integer.c - integer ops and guest state, in place where the shape
 * allows */
#include "engine/jit/hosts/x86_64/gen.h"

#include "engine/jit/ir-eval.h"

/* ---- Guest state ----------------------------------------------------------------------------- */

void gen_get(Gen *g, const VitIrOp *op, VitVal i)
{
    int pin = op->type == VIT_V128 ? -1 : pin_index(g, op->imm);
    unsigned size = vit_type_bytes(op->type);

    if (pin >= 0) {
        unsigned delta = (unsigned) (op->imm - g->pin_offset[pin]);
        if (delta == 0) {
            add_pin_alias(g, pin, i);
            return;
        }
        clobber(g);
        int r = alloc(g);
        mov_rr(g, r, pin_reg[pin]);
        shift_ri(g, 5, r, delta * 8, 8);
        own(g, r, i);
        return;
    }
    if (g->n_slot == G_N_ELEMENTS(g->slot)) {
        if (op->type == VIT_V128) {
            int x = xalloc(g);
            ins_rm(g, M0F, 0x10, x, state(op->imm));
            xown(g, x, i);
        } else {
            int r = alloc(g);
            load_rm(g, r, state(op->imm), size);
            own(g, r, i);
        }
        return;
    }
    g->slot[g->n_slot++] = i;
    g->v[i].loc = LOC_SLOT;
    g->v[i].off = (int32_t) op->imm;
}

/* All 64 bits of a pinned slot. */
static void put_whole(Gen *g, const VitIrOp *op, int pin)
{
    VitVal root = root_of(g, op->a);
    Val *v = &g->v[root];
    int p = pin_reg[pin];
    Mem m;

    if (on_pin(g, root, pin))
        return;             /* made there, or it was there */
    evict_pin(g, pin);
    if (v->loc == LOC_REG && vit_type_bytes(g->ir->ops[root].type) <= 8) {
        mov_rr(g, p, v->reg);
        free_location(g, v);
        add_pin_alias(g, pin, root);
    } else if (in_memory(g, root, &m)) {
        bool spilt = v->loc == LOC_SPILL;
        load_rm(g, p, m, spilt ? 8 : vit_type_bytes(g->ir->ops[root].type));
        if (live_after(g, root) && spilt) {
            free_location(g, v);
            add_pin_alias(g, pin, root);
        }
    } else {
        move_to(g, p, root, 0);
    }
}

static void put_part(Gen *g, const VitIrOp *op, int pin)
{
    unsigned delta = (unsigned) (op->imm - g->pin_offset[pin]), size = vit_type_bytes(op->type);
    int p = pin_reg[pin];
    int32_t imm;

    if (delta == 0 && size < 4) {
        if (on_pin(g, op->a, pin))
            return;
        if (imm_of(g, op->a, size, &imm)) {
            evict_pin(g, pin);
            ins_rr(g, size == 2 ? P66 : BYTE_RM, size == 2 ? 0xc7 : 0xc6, 0, p);
            e1(g, (uint8_t) imm);
            if (size == 2)
                e1(g, (uint8_t) (imm >> 8));
            return;
        }
        int s = use(g, op->a);
        evict_pin(g, pin);
        ins_rr(g, size == 2 ? P66 : BYTE_REG | BYTE_RM, size == 2 ? 0x8b : 0x8a, p, s);
        return;
    }
    clobber(g);
    int t = alloc(g);
    move_to(g, t, op->a, size);
    evict_pin(g, pin);
    if (delta)
        shift_ri(g, 1, p, delta * 8, 8);
    if (size < 4) {
        ins_rr(g, size == 2 ? P66 : BYTE_REG | BYTE_RM, size == 2 ? 0x8b : 0x8a, p, t);
    } else {
        shift_ri(g, 5, p, 32, 8);
        shift_ri(g, 4, p, 32, 8);
        alu_rr(g, ALU_OR, p, t, 8);
    }
    if (delta)
        shift_ri(g, 0, p, delta * 8, 8);
}

void gen_put(Gen *g, const VitIrOp *op)
{
    unsigned size = vit_type_bytes(op->type);
    int pin = op->type == VIT_V128 ? -1 : pin_index(g, op->imm);
    int32_t imm;

    if (pin >= 0) {
        if (size == 8)
            put_whole(g, op, pin);
        else
            put_part(g, op, pin);
        return;
    }
    Val *v = val(g, op->a);
    if (v->loc == LOC_SLOT && (uint64_t) v->off == op->imm)
        return;
    if (op->type == VIT_V128) {
        int x = xuse(g, op->a);
        evict_slots(g, op->imm, op->imm + 16);
        ins_rm(g, M0F, 0x11, x, state(op->imm));
        return;
    }
    if (imm_of(g, op->a, size, &imm)) {
        evict_slots(g, op->imm, op->imm + size);
        store_imm(g, state(op->imm), imm, size);
        return;
    }
    int s = use(g, op->a);
    evict_slots(g, op->imm, op->imm + size);
    store_rm(g, state(op->imm), s, size);
}

/* ---- Two operands ---------------------------------------------------------------------------- */

typedef struct { int reg; bool mem, imm; Mem m; int32_t k; } Source;

/* The second operand: immediate, memory, or register. */
static Source source(Gen *g, VitVal v, unsigned size)
{
    Source s = { 0 };
    const Val *x = val(g, v);

    if (imm_of(g, v, size, &s.k))
        s.imm = true;
    else if ((x->loc == LOC_SPILL || (x->loc == LOC_SLOT && !live_after(g, root_of(g, v)))) &&
             in_memory(g, v, &s.m))
        s.mem = true;
    else
        s.reg = use(g, v);
    return s;
}

static void alu(Gen *g, unsigned n, int d, Source s, unsigned size)
{
    if (s.imm)
        alu_ri(g, n, d, s.k, size);
    else if (s.mem)
        alu_rm(g, n, d, s.m, size);
    else
        alu_rr(g, n, d, s.reg, size);
}

static void multiply(Gen *g, int d, Source s, unsigned size)
{
    if (s.imm) {
        ins_rr(g, size == 8 ? W : 0, 0x69, d, d);
        e4(g, (uint32_t) s.k);
    } else if (s.mem) {
        ins_rm(g, M0F | (size == 8 ? W : 0), 0xaf, d, s.m);
    } else {
        ins_rr(g, M0F | (size == 8 ? W : 0), 0xaf, d, s.reg);
    }
}

/* A register that holds a copy of `a` to be changed in place: the pinned one that the result goes
 * to, a's own when it dies here, or a fresh one. */
static int in_place(Gen *g, VitVal i, VitVal a)
{
    Val *r = &g->v[i], *v = val(g, a);

    if (r->hint) {
        int pin = r->hint - 1;
        bool there = on_pin(g, a, pin);
        evict_pin(g, pin);
        if (!there)
            move_to(g, pin_reg[pin], a, 0);
        return pin_reg[pin];
    }
    if (v->loc == LOC_REG && !live_after(g, root_of(g, a))) {
        int reg = v->reg;
        g->locked |= 1u << reg;
        g->owner[reg] = VIT_NO_VAL;
        return reg;
    }
    int t = alloc(g);
    move_to(g, t, a, 0);
    return t;
}

static unsigned alu_number(unsigned op)
{
    return op == VIT_IR_ADD ? ALU_ADD : op == VIT_IR_SUB ? ALU_SUB : op == VIT_IR_AND ? ALU_AND
                                                  : op == VIT_IR_OR ? ALU_OR : ALU_XOR;
}

/* Add without flags: lea changes none and has a third operand. */
static bool add_by_lea(Gen *g, const VitIrOp *op, VitVal i)
{
    bool wide = op->type == VIT_I64;
    int32_t imm;
    bool has_imm = imm_of(g, op->b, wide ? 8 : 4, &imm);

    if (op->op == VIT_IR_SUB && (!has_imm || imm == INT32_MIN))
        return false;
    if (op->op != VIT_IR_ADD && op->op != VIT_IR_SUB)
        return false;
    if (val(g, op->b)->loc == LOC_SPILL || val(g, op->b)->loc == LOC_SLOT)
        return false;
    int a = use(g, op->a), b = has_imm ? NO_REG : use(g, op->b), d;
    if (g->v[i].hint) {
        int pin = g->v[i].hint - 1;
        evict_pin(g, pin);      /* what it holds may have been copied; it is still there too */
        d = pin_reg[pin];
    } else {
        d = SCRATCH_MASK >> a & 1 && g->owner[a] != VIT_NO_VAL && !live_after(g, g->owner[a])
                ? a
                : alloc(g);
    }
    if (has_imm)
        lea(g, d, at(a, op->op == VIT_IR_SUB ? -imm : imm), wide);
    else
        lea(g, d, (Mem) { (int8_t) a, (int8_t) b, 0, 0 }, wide);
    claim(g, i, d);
    return true;
}

/* INC and DEC: every flag but C; the old C must be in the host's flags before. */
static void step(Gen *g, const VitIrOp *op, VitVal i, VitVal flags_op)
{
    VitVal merge = g->v[flags_op].partner;
    VitVal old = root_of(g, g->ir->ops[merge].b);
    unsigned size = vit_type_bytes(op->type);
    Mem m = state(g->isa->flags_offset);
    bool live = g->hf == old && !g->hf_shift;

    if (!live && old < i)
        m = flags_mem(g, old);
    clobber(g);
    int d = in_place(g, i, op->a);
    if (!live) {
        ins_rm(g, M0F, 0xba, 4, m);     /* bt dword, 8: C of the packed flags */
        e1(g, 8);
    }
    ins_rr(g, size_flags(size) | (size == 1 ? BYTE_RM : 0), size == 1 ? 0xfe : 0xff,
           op->op == VIT_IR_SUB, d);
    claim(g, i, d);
    g->v[merge].done = true;
    g->hf = merge;
    g->hf_shift = false;
}

void gen_bin(Gen *g, const VitIrOp *op, VitVal i)
{
    /* 0 when nobody wants the flags after all */
    VitVal f = g->v[g->v[i].partner].uses ? g->v[i].partner : 0;
    bool wanted = live_after(g, i);
    unsigned size = vit_type_bytes(op->type);
    bool commutes = op->op != VIT_IR_SUB;
    VitVal a = op->a, b = op->b;
    bool plain = op->op != VIT_IR_MUL;

    if (f && g->v[f].partner) {
        step(g, op, i, f);
        return;
    }
    if (!f && plain && add_by_lea(g, op, i))
        return;
    clobber(g);
    if (f && !wanted && (op->op == VIT_IR_SUB || op->op == VIT_IR_AND)) {
        int ra = use(g, a);
        Source s = source(g, b, size);
        if (op->op == VIT_IR_SUB)
            alu(g, ALU_CMP, ra, s, size);
        else if (s.imm) {
            ins_rr(g, size_flags(size) | (size == 1 ? BYTE_RM : 0), size == 1 ? 0xf6 : 0xf7, 0, ra);
            if (size == 1)
                e1(g, (uint8_t) s.k);
            else if (size == 2)
                e1(g, (uint8_t) s.k), e1(g, (uint8_t) (s.k >> 8));
            else
                e4(g, (uint32_t) s.k);
        } else if (s.mem)
            ins_rm(g, size_flags(size) | (size == 1 ? BYTE_REG : 0), size == 1 ? 0x84 : 0x85, ra,
                   s.m);
        else
            test_rr(g, ra, s.reg, size);
        g->hf = f;
        g->hf_shift = false;
        return;
    }
    /* The second operand must survive the copy of the first into the result's register. */
    if (g->v[i].hint) {
        int pin = g->v[i].hint - 1;
        if (on_pin(g, b, pin) && !on_pin(g, a, pin)) {
            if (commutes) {
                VitVal t = a;
                a = b, b = t;
            } else {
                g->v[i].hint = 0;
            }
        }
    } else if (commutes && val(g, a)->loc != LOC_REG && val(g, b)->loc == LOC_REG &&
               !live_after(g, root_of(g, b))) {
        VitVal t = a;
        a = b, b = t;
    }
    bool same = root_of(g, a) == root_of(g, b);
    unsigned width = size;
    Source s = { 0 };
    if (!same)
        s = source(g, b, size);
    if (!s.mem && !f && size < 4)
        width = 4;
    if (op->op == VIT_IR_MUL && s.mem && size < 4) {
        s.mem = false;
        s.reg = use(g, b);
    }
    if (op->op == VIT_IR_MUL)
        width = MAX(4, size);
    int d = in_place(g, i, a);
    if (same)
        s.reg = d;
    if (plain)
        alu(g, alu_number(op->op), d, s, width);
    else
        multiply(g, d, s, width);
    claim(g, i, d);
    if (f) {
        g->hf = f;
        g->hf_shift = false;
    }
}

/* ---- Shifts ---------------------------------------------------------------------------------- */

static unsigned shift_number(unsigned op)
{
    switch (op) {
    case VIT_IR_ROL: case VIT_IR_FLAGS_ROL: return 0;
    case VIT_IR_ROR: case VIT_IR_FLAGS_ROR: return 1;
    case VIT_IR_SHL: case VIT_IR_FLAGS_SHL: return 4;
    case VIT_IR_SHR: case VIT_IR_FLAGS_SHR: return 5;
    default: return 7;
    }
}

static void widen(Gen *g, unsigned op, int d, unsigned size)   /* a narrow value that moves right */
{
    if (size >= 4 || (op != VIT_IR_SHR && op != VIT_IR_SAR))
        return;
    unsigned code = (op == VIT_IR_SAR ? 0xbe : 0xb6) + (size == 2);
    ins_rr(g, M0F | (size == 1 ? BYTE_RM : 0), code, d, d);
}

static void shift_by_register(Gen *g, const VitIrOp *op, VitVal i, unsigned size)
{
    bool rotate = op->op == VIT_IR_ROL || op->op == VIT_IR_ROR;

    if (g->has_bmi2 && !rotate && size >= 4) {
        static const uint8_t pp[] = { 1, 3, 2 };    /* shlx 66, shrx f2, sarx f3 */
        unsigned k = op->op == VIT_IR_SHL ? 0 : op->op == VIT_IR_SHR ? 1 : 2;
        int n = use(g, op->b), a = use(g, op->a);
        if (g->v[i].hint &&
            (on_pin(g, op->b, g->v[i].hint - 1) && on_pin(g, op->a, g->v[i].hint - 1)))
            g->v[i].hint = 0;
        int d = result(g, i);
        e1(g, 0xc4);
        e1(g, (d & 8 ? 0 : 0x80) | 0x40 | (a & 8 ? 0 : 0x20) | 2);
        e1(g, (size == 8 ? 0x80 : 0) | (unsigned) (~n & 15) << 3 | pp[k]);
        e1(g, 0xf7);
        e1(g, 0xc0 | (d & 7) << 3 | (a & 7));
        claim(g, i, d);
        return;
    }
    clobber(g);
    take(g, RCX);
    move_to(g, RCX, op->b, 1);
    g->v[i].hint = 0;
    int d = alloc(g);
    move_to(g, d, op->a, 0);
    widen(g, op->op, d, size);
    shift_rc(g, shift_number(op->op), d, rotate ? size : MAX(4, size));
    own(g, d, i);
}

void gen_shift(Gen *g, const VitIrOp *op, VitVal i)
{
    VitVal f = g->v[g->v[i].partner].uses ? g->v[i].partner : 0;
    unsigned size = vit_type_bytes(op->type), n = shift_number(op->op);
    uint64_t count;

    if (!is_const(g, op->b, &count)) {
        shift_by_register(g, op, i, size);
        return;
    }
    count &= size * 8 - 1;
    clobber(g);
    int d = in_place(g, i, op->a);
    if (f) {            /* by all but one, then by one: that defines O as the IR asks */
        if (count > 1)
            shift_ri(g, n, d, (unsigned) count - 1, size);
        shift_ri(g, n, d, 1, size);
        g->hf = f;
        g->hf_shift = true;
    } else if (count) {
        widen(g, op->op, d, size);
        shift_ri(g, n, d, (unsigned) count, n < 2 ? size : MAX(4, size));
    }
    claim(g, i, d);
}

/* ---- Multiply high, unary, conversions ------------------------------------------------------- */

static void extend(Gen *g, int d, int s, unsigned size, bool sign)  /* to 64 bits */
{
    if (size == 8)
        mov_rr(g, d, s);
    else if (size == 4 && sign)
        ins_rr(g, W, 0x63, d, s);
    else if (size == 4)
        mov_rr32(g, d, s);
    else
        ins_rr(g, W | M0F | (size == 1 ? BYTE_RM : 0), (sign ? 0xbe : 0xb6) + (size == 2), d, s);
}

void gen_mulh(Gen *g, const VitIrOp *op, VitVal i)
{
    bool sign = op->op == VIT_IR_MULHS;
    unsigned size = vit_type_bytes(op->type);

    clobber(g);
    g->v[i].hint = 0;
    if (size == 8) {
        take(g, RAX);
        take(g, RDX);
        int b = use(g, op->b);
        if (b == RAX || b == RDX) {     /* a constant's fresh register cannot be: both are locked */
            g->failed = true;
            return;
        }
        move_to(g, RAX, op->a, 0);
        ins_rr(g, W, 0xf7, sign ? 5 : 4, b);
        drop_lock(g, RAX);
        own(g, RDX, i);
        return;
    }
    int d = alloc(g), e = alloc(g);
    move_to(g, d, op->a, 0);
    move_to(g, e, op->b, 0);
    extend(g, d, d, size, sign);
    extend(g, e, e, size, sign);
    ins_rr(g, M0F | W, 0xaf, d, e);
    shift_ri(g, 5, d, size * 8, 8);
    drop_lock(g, e);
    own(g, d, i);
}

static uint64_t eval_unary(uint64_t a, uint64_t b, uint64_t c, uint64_t k)
{
    return ir_eval1((VitIrOpcode) (k >> 8), (VitType) (k & 255),
                    ir_truncate((VitType) (k & 255), a));
}

static uint64_t eval_binary(uint64_t a, uint64_t b, uint64_t c, uint64_t k)
{
    VitType t = (VitType) (k & 255);
    return ir_eval2((VitIrOpcode) (k >> 8), t, ir_truncate(t, a), ir_truncate(t, b));
}

static void count_bits(Gen *g, const VitIrOp *op, VitVal i, unsigned size)
{
    unsigned code = op->op == VIT_IR_CLZ ? 0xbd : op->op == VIT_IR_CTZ ? 0xbc : 0xb8;
    bool has = op->op == VIT_IR_CLZ   ? g->has_lzcnt
               : op->op == VIT_IR_CTZ ? g->has_bmi1
                                      : g->has_popcnt;

    g->v[i].hint = 0;
    if (!has) {
        gen_pure_call(g, i, eval_unary, op->a, VIT_NO_VAL, VIT_NO_VAL,
                      (uint64_t) op->op << 8 | op->type);
        return;
    }
    clobber(g);
    int d = alloc(g);
    move_to(g, d, op->a, MIN(size, 4) == 4 ? 0 : size);
    if (op->op == VIT_IR_CTZ && size < 4)
        alu_ri(g, ALU_OR, d, 1 << (size * 8), 4);
    ins_rr(g, PF3 | M0F | (size == 8 ? W : 0), code, d, d);
    if (op->op == VIT_IR_CLZ && size < 4)
        alu_ri(g, ALU_SUB, d, (int32_t) (32 - size * 8), 4);
    own(g, d, i);
}

void gen_unary(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->type);

    switch (op->op) {
    case VIT_IR_NEG: case VIT_IR_NOT: {
        if (op->op == VIT_IR_NEG)
            clobber(g);
        int d = in_place(g, i, op->a);
        ins_rr(g, size == 8 ? W : 0, 0xf7, op->op == VIT_IR_NEG ? 3 : 2, d);
        claim(g, i, d);
        return;
    }
    case VIT_IR_BSWAP: {
        if (size == 2)
            clobber(g);
        int d = in_place(g, i, op->a);
        if (size == 2) {
            shift_ri(g, 0, d, 8, 2);
        } else {
            e1(g, 0x40 | (size == 8 ? 8 : 0) | (d & 8 ? 1 : 0));
            e1(g, 0x0f);
            e1(g, 0xc8 | (d & 7));
        }
        claim(g, i, d);
        return;
    }
    case VIT_IR_CLZ: case VIT_IR_CTZ: case VIT_IR_POPCNT:
        count_bits(g, op, i, size);
        return;
    default:    /* divisions */
        g->v[i].hint = 0;
        gen_pure_call(g, i, eval_binary, op->a, op->b, VIT_NO_VAL,
                      (uint64_t) op->op << 8 | op->type);
        return;
    }
}

void gen_extend(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned from = vit_type_bytes(op->src_type), to = vit_type_bytes(op->type);
    bool sign = op->op == VIT_IR_SEXT;
    Mem m;

    if (in_memory(g, op->a, &m) &&
        (val(g, op->a)->loc == LOC_SPILL || !live_after(g, root_of(g, op->a)))) {
        int d = result(g, i);
        if (!sign)
            load_rm(g, d, m, from);
        else if (from == 4)
            ins_rm(g, W, 0x63, d, m);
        else
            ins_rm(g, M0F | (to == 8 ? W : 0), 0xbe + (from == 2), d, m);
        claim(g, i, d);
        return;
    }
    int s = use(g, op->a), d;
    if (g->v[i].hint) {
        d = result(g, i);       /* what is evicted is copied: s still holds the value */
    } else {
        d = SCRATCH_MASK >> s & 1 && g->owner[s] != VIT_NO_VAL && !live_after(g, g->owner[s])
                ? s
                : alloc(g);
    }
    if (sign && from == 4)
        ins_rr(g, W, 0x63, d, s);
    else if (!sign && from == 4)
        mov_rr32(g, d, s);
    else
        ins_rr(g, M0F | (to == 8 && sign ? W : 0) | (from == 1 ? BYTE_RM : 0),
               (sign ? 0xbe : 0xb6) + (from == 2), d, s);
    claim(g, i, d);
}

/* ---- Conditions ------------------------------------------------------------------------------ */

void gen_cmp(Gen *g, const VitIrOp *op, VitVal i)
{
    static const uint8_t cc[] = { VIT_CC_Z, VIT_CC_NZ, VIT_CC_C, VIT_CC_BE, VIT_CC_A, VIT_CC_NC,
                                  VIT_CC_LT, VIT_CC_LE, VIT_CC_GT, VIT_CC_GE };
    unsigned size = vit_type_bytes(op->src_type);
    int32_t imm;

    clobber(g);
    int a = use(g, op->a);
    if (imm_of(g, op->b, size, &imm) && imm == 0 && op->sub <= VIT_CMP_NE)
        test_rr(g, a, a, size);
    else
        alu(g, ALU_CMP, a, source(g, op->b, size), size);
    cond_in_flags(g, i, cc[op->sub]);
}

unsigned gen_condition(Gen *g, VitVal v)
{
    Val *x = val(g, v);
    Mem m;

    if (x->loc == LOC_COND)
        return (unsigned) x->reg;
    clobber(g);
    if (in_memory(g, v, &m)) {
        alu_mi(g, ALU_CMP, m, 0, 1);
    } else {
        int r = use(g, v);
        test_rr(g, r, r, 1);
    }
    return VIT_CC_NZ;
}

void gen_select(Gen *g, const VitIrOp *op, VitVal i)
{
    bool flags = op->type == VIT_FLAGS;
    unsigned size = flags ? 4 : MAX(4, vit_type_bytes(op->type));
    Mem mb = { 0 }, mc = { 0 };
    int b = NO_REG;
    uint64_t c;

    if (flags) {
        mb = flags_mem(g, op->b);
        mc = flags_mem(g, op->c);
    }
    if (op->type == VIT_V128) {
        g->failed = true;
        return;
    }
    if (is_const(g, op->a, &c)) {   /* the builder folds these; kept for passes turned off */
        int d = result(g, i);
        move_to(g, d, c ? op->b : op->c, 0);
        claim(g, i, d);
        return;
    }
    unsigned cc = gen_condition(g, op->a);
    if (flags) {
        take(g, RAX);
        load_rm(g, RAX, mc, 4);
        ins_rm(g, M0F, 0x40 | cc, RAX, mb);
        flags_from_ax(g, i);
        return;
    }
    if (g->v[i].hint && on_pin(g, op->b, g->v[i].hint - 1) && !on_pin(g, op->c, g->v[i].hint - 1)) {
        /* in place, the other way round */
        int d = pin_reg[g->v[i].hint - 1], other = use(g, op->c);
        evict_pin(g, g->v[i].hint - 1);
        if (size == 4)
            mov_rr32(g, d, d);
        ins_rr(g, M0F | (size == 8 ? W : 0), 0x40 | (cc ^ 1), d, other);
        claim(g, i, d);
        return;
    }
    b = use(g, op->b);
    if (g->v[i].hint && on_pin(g, op->b, g->v[i].hint - 1))
        g->v[i].hint = 0;
    int d;
    if (g->v[i].hint) {
        bool there = on_pin(g, op->c, g->v[i].hint - 1);
        d = result(g, i);
        if (!there)
            move_to(g, d, op->c, 0);
        else if (size == 4)
            mov_rr32(g, d, d);
    } else {
        d = alloc(g);
        move_to(g, d, op->c, 0);
    }
    ins_rr(g, M0F | (size == 8 ? W : 0), 0x40 | cc, d, b);
    claim(g, i, d);
}
