/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/vector.c - vector and floating-point ops: x86's own instructions on XMM
 * registers */
#include "engine/jit/hosts/x86_64/gen.h"

static unsigned prefix_flag(unsigned p)
{
    return p == 0x66 ? P66 : p == 0xf2 ? PF2 : p == 0xf3 ? PF3 : 0;
}

static unsigned map_flag(unsigned map)
{
    return map == 1 ? M0F : map == 2 ? M38 : M3A;
}

/* A register with a copy of v to be changed in place. */
static int copy_of(Gen *g, VitVal v)
{
    Val *x = val(g, v);
    Mem m;

    if (x->loc == LOC_XMM && !live_after(g, root_of(g, v))) {
        int r = x->reg;
        g->xlocked |= 1u << r;
        g->xowner[r] = VIT_NO_VAL;
        return r;
    }
    if (in_memory(g, v, &m) && !live_after(g, root_of(g, v))) {
        int r = xalloc(g);
        ins_rm(g, M0F, 0x10, r, m);
        return r;
    }
    int s = xuse(g, v), r = xalloc(g);
    ins_rr(g, M0F, 0x28, r, s);     /* movaps */
    return r;
}

/* These mean something else, or need their register form, with a memory operand. */
static bool memory_form(unsigned vop)
{
    return vop != VIT_VOP_MOVSS && vop != VIT_VOP_MOVSD && vop != VIT_VOP_MOVHLPS &&
           vop != VIT_VOP_MOVLHPS && vop != VIT_VOP_INSERTPS;
}

static void call_vop(VitVec *d, const VitVec *a, const VitVec *b, uint64_t k)
{
    vit_vop_exec((VitVop) (k & 0xffff), d, a, b, (unsigned) (k >> 16));
}

static bool host_lacks(const Gen *g, unsigned vop)
{
    switch (vop) {
    case VIT_VOP_AESIMC: case VIT_VOP_AESENC: case VIT_VOP_AESENCLAST: case VIT_VOP_AESDEC:
    case VIT_VOP_AESDECLAST: case VIT_VOP_AESKEYGENASSIST:
        return !g->has_aes;
    case VIT_VOP_PCLMULQDQ:
        return !g->has_pclmul;
    default:
        return false;
    }
}

static void by_call(Gen *g, const VitIrOp *op, VitVal i)
{
    VitVal a = op->a == VIT_NO_VAL ? op->b : op->a, b = op->b == VIT_NO_VAL ? op->a : op->b;

    ins_rm(g, M0F, 0x11, xuse(g, a), frame(FR_VALUE));
    ins_rm(g, M0F, 0x11, xuse(g, b), frame(FR_VALUE2));
    spill_for_call(g, false);
    call_to(g, g->a->thunk.save_some);
    lea(g, RDI, frame(FR_RESULT), true);
    lea(g, RSI, frame(FR_VALUE), true);
    lea(g, RDX, frame(FR_VALUE2), true);
    mov_ri(g, RCX, (op->imm & 255) << 16 | op->sub);
    call_c(g, call_vop);
    call_to(g, g->a->thunk.reload_some);
    for (unsigned x = 0; x < 16; x++)
        g->xowner[x] = VIT_NO_VAL;
    int d = xalloc(g);
    ins_rm(g, M0F, 0x10, d, frame(FR_RESULT));
    xown(g, d, i);
}

static void vop(Gen *g, const VitIrOp *op, VitVal i)
{
    const VitVopInfo *info = &vit_vop_info[op->sub];
    unsigned f = prefix_flag(info->prefix) | map_flag(info->map);
    bool unary = info->shape == VIT_VSHAPE_UN || info->shape == VIT_VSHAPE_UNIMM;
    Mem m = { 0 };

    if (host_lacks(g, op->sub)) {
        by_call(g, op, i);
        return;
    }
    if (info->shape == VIT_VSHAPE_SHI) {
        int d = copy_of(g, op->a != VIT_NO_VAL ? op->a : op->b);
        ins_rr(g, f, info->opcode & 255, info->opcode >> 8, d);
        e1(g, (uint8_t) op->imm);
        xown(g, d, i);
        return;
    }
    VitVal sv = op->b != VIT_NO_VAL ? op->b : op->a;
    const Val *x = val(g, sv);
    bool mem = memory_form(op->sub) && !live_after(g, root_of(g, sv)) && in_memory(g, sv, &m) &&
               !(x->off & 15);
    int s = mem ? 0 : xuse(g, sv), d;
    if (unary)
        d = x->loc == LOC_XMM && !live_after(g, root_of(g, sv)) ? s : xalloc(g);
    else
        d = copy_of(g, op->a != VIT_NO_VAL ? op->a : op->b);
    if (mem)
        ins_rm(g, f, info->opcode, d, m);
    else
        ins_rr(g, f, info->opcode, d, s);
    if (info->shape == VIT_VSHAPE_IMM || info->shape == VIT_VSHAPE_UNIMM)
        e1(g, (uint8_t) op->imm);
    xown(g, d, i);
}

static void lane_out(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->type);
    const Val *v = val(g, op->a);
    Mem m;
    int d;

    g->v[i].hint = 0;
    if (v->loc != LOC_XMM && in_memory(g, op->a, &m)) {
        d = alloc(g);
        m.disp += (int32_t) (op->imm * size);
        load_rm(g, d, m, size);
        own(g, d, i);
        return;
    }
    int x = xuse(g, op->a);
    d = alloc(g);
    if (op->imm == 0) {
        ins_rr(g, P66 | M0F | (size == 8 ? W : 0), 0x7e, x, d);
    } else if (size == 2) {
        ins_rr(g, P66 | M0F, 0xc5, d, x);
        e1(g, (uint8_t) op->imm);
    } else {
        ins_rr(g, P66 | M3A | (size == 8 ? W : 0), size == 1 ? 0x14 : 0x16, x, d);
        e1(g, (uint8_t) op->imm);
    }
    own(g, d, i);
}

static void lane_in(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->src_type);
    int r = use(g, op->b), d = copy_of(g, op->a);

    if (size == 2)
        ins_rr(g, P66 | M0F, 0xc4, d, r);
    else
        ins_rr(g, P66 | M3A | (size == 8 ? W : 0), size == 1 ? 0x20 : 0x22, d, r);
    e1(g, (uint8_t) op->imm);
    xown(g, d, i);
}

void gen_vector(Gen *g, const VitIrOp *op, VitVal i)
{
    switch (op->op) {
    case VIT_IR_VOP:
        vop(g, op, i);
        return;
    case VIT_IR_VTOI:
        lane_out(g, op, i);
        return;
    case VIT_IR_VINSERT:
        lane_in(g, op, i);
        return;
    case VIT_IR_VFROMI: {
        int r = use(g, op->a), x = xalloc(g);
        ins_rr(g, P66 | M0F | (g->ir->ops[op->a].type == VIT_I64 ? W : 0), 0x6e, x, r);
        xown(g, x, i);
        return;
    }
    case VIT_IR_VMASK: {
        int x = xuse(g, op->a), d = alloc(g);
        g->v[i].hint = 0;
        ins_rr(g, M0F | (op->sub != 2 ? P66 : 0), op->sub == 0 ? 0xd7 : 0x50, d, x);
        own(g, d, i);
        return;
    }
    case VIT_IR_VCVTI: {
        int x = xuse(g, op->a), d = alloc(g);
        g->v[i].hint = 0;
        ins_rr(g, (op->sub & 2 ? PF2 : PF3) | M0F | (op->type == VIT_I64 ? W : 0),
               op->sub & 1 ? 0x2c : 0x2d, d, x);
        own(g, d, i);
        return;
    }
    case VIT_IR_VCVTF: {
        int r = use(g, op->b), d = copy_of(g, op->a);
        ins_rr(g, (op->sub & 2 ? PF2 : PF3) | M0F | (op->src_type == VIT_I64 ? W : 0), 0x2a, d, r);
        xown(g, d, i);
        return;
    }
    case VIT_IR_VCOMI: {
        clobber(g);
        int a = xuse(g, op->a), b = xuse(g, op->b);
        ins_rr(g, (op->sub & 2 ? P66 : 0) | M0F, op->sub & 1 ? 0x2f : 0x2e, a, b);
        g->hf = i;
        g->hf_shift = false;
        return;
    }
    default: {  /* VTEST */
        clobber(g);
        int a = xuse(g, op->a), b = xuse(g, op->b);
        ins_rr(g, P66 | M38, 0x17, a, b);
        g->hf = i;
        g->hf_shift = false;
        return;
    }
    }
}

enum { CSR_STICKY = 0x3f, CSR_MASKS = 0x1f80 };

void gen_csr(Gen *g, const VitIrOp *op, VitVal i)
{
    Mem slot = state(g->isa->mxcsr_offset);

    clobber(g);
    int t = alloc(g);
    if (op->op == VIT_IR_GETCSR) {
        g->v[i].hint = 0;
        ins_rm(g, M0F, 0xae, 3, frame(FR_CSR));     /* stmxcsr */
        load_rm(g, t, frame(FR_CSR), 4);
        alu_ri(g, ALU_AND, t, CSR_STICKY, 4);
        alu_rm(g, ALU_OR, t, slot, 4);
        store_rm(g, slot, t, 4);
        own(g, t, i);
    } else {
        move_to(g, t, op->a, 4);
        store_rm(g, slot, t, 4);
        alu_ri(g, ALU_AND, t, 0xffff, 4);
        alu_ri(g, ALU_OR, t, CSR_MASKS, 4);
        store_rm(g, frame(FR_CSR), t, 4);
        ins_rm(g, M0F, 0xae, 2, frame(FR_CSR));     /* ldmxcsr */
    }
}
