/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/compile.c - one block from IR to host code: the ops in order, then the
 * ways out
 *
 * Layout: way out for a pending request, head (aligned), ops, stubs of memory accesses, stubs of
 * exits. Displacements and guards that are patched later are aligned, so that a patch is one
 * write. */
#include "engine/jit/hosts/x86_64/analyse.h"

#include <stddef.h>

enum { MARGIN = 4096, CODE_MAX = 80 << 10 };

void note_pc(Gen *g, uint32_t pc)
{
    if (g->n_pcs == MAX_PCS) {
        g->failed = true;
        return;
    }
    g->pcs[g->n_pcs++] = (JitPcEntry) { (uint32_t) (g->p - g->head) & 0xfffff, pc & 0xfff };
}

/* ---- Ways out -------------------------------------------------------------------------------- */

static void align_for(Gen *g, unsigned before)      /* p + before becomes a multiple of 4 */
{
    while ((uintptr_t) (g->p + before) & 3)
        e1(g, 0x90);
}

static uint32_t offset_now(const Gen *g) { return (uint32_t) (g->p - g->head); }

static void exit_stub(Gen *g, unsigned n)
{
    JitExit *e = &g->b->exit[n];

    mov_ri(g, RDX, e->pc);
    if (!g->a->options.chain) {
        jump_to(g, g->a->thunk.lookup);
        return;
    }
    mov_ri(g, RAX, (uintptr_t) g->b | n);
    align_for(g, 1);
    jump_to(g, g->a->thunk.exit);
    e->leave = offset_now(g) - 4;
}

static void guard(Gen *g, unsigned n)
{
    JitExit *e = &g->b->exit[n];
    uint64_t linear = vit_mode_linear(g->b->mode, e->pc);
    size_t off = offsetof(VitTlb, exec) + g->code_mmu * sizeof(VitTlbEntry[VIT_TLB_SIZE]) +
                 (linear >> VIT_PAGE_BITS & (VIT_TLB_SIZE - 1)) * sizeof(VitTlbEntry) +
                 offsetof(VitTlbEntry, addend);

    align_for(g, 6);
    ins_rm(g, 0, 0x81, 7, at(RBP, (int32_t) ((int64_t) off - (int64_t) sizeof(VitTlb) - JIT_BASE)));
    e->guard = offset_now(g);
    e4(g, UINT32_MAX);
    e1(g, 0x75), e1(g, 6);      /* jne past the jump, to the stub */
    e1(g, 0x90);
    e1(g, 0xe9);
    e->site = offset_now(g);
    e4(g, 0);
    e->stub = offset_now(g);
    exit_stub(g, n);
}

static void direct(Gen *g, unsigned n, uint64_t pc, int cc, uint8_t **later)
{
    JitExit *e = &g->b->exit[n];

    e->pc = pc;
    e->guarded = !vit_translate_same_page(g->request, pc);
    *later = NULL;
    if (e->guarded) {
        if (cc < 0)
            guard(g, n);
        else
            *later = jcc_later(g, (unsigned) cc);
        return;
    }
    align_for(g, cc < 0 ? 1 : 2);
    *later = cc < 0 ? jmp_later(g) : jcc_later(g, (unsigned) cc);
    e->site = offset_now(g) - 4;
}

/* ---- Ops ------------------------------------------------------------------------------------- */

static void indirect(Gen *g, VitVal pc)
{
    clobber(g);
    take(g, RDX);
    move_to(g, RDX, pc, 0);
    gen_lookup(g, g->a->options.jump_cache, g->a->thunk.exit);
}

static void leave(Gen *g, const VitIrOp *op)
{
    bool lookup = op->sub == VIT_LEAVE_LOOKUP;

    clobber(g);
    if (op->a == VIT_NO_VAL) {
        jump_to(g, lookup ? g->a->thunk.lookup_slot : g->a->thunk.loop_slot);
        return;
    }
    take(g, RDX);
    move_to(g, RDX, op->a, 0);
    jump_to(g, lookup ? g->a->thunk.lookup : g->a->thunk.loop);
}

/* False when the block has ended. */
static bool one_op(Gen *g, VitVal i, uint8_t *later[2])
{
    const VitIrOp *op = &g->ir->ops[i];
    uint64_t c;

    switch (op->op) {
    case VIT_IR_NOP: break;
    case VIT_IR_INSN:
        g->insn_pc = (uint32_t) (op->imm - g->b->pc);
        note_pc(g, g->insn_pc);
        break;
    case VIT_IR_CONST: g->v[i].loc = LOC_CONST; break;
    case VIT_IR_GET: gen_get(g, op, i); break;
    case VIT_IR_PUT: gen_put(g, op); break;
    case VIT_IR_GETFLAGS:
        g->v[i].loc = LOC_SLOT;
        g->v[i].off = (int32_t) g->isa->flags_offset;
        if (g->slot_flags == VIT_NO_VAL)
            g->slot_flags = i;
        else if (g->slot_flags != i)
            g->failed = true;       /* the builder knows the slot's value then */
        break;
    case VIT_IR_PUTFLAGS: gen_putflags(g, op); break;
    case VIT_IR_ADD: case VIT_IR_SUB: case VIT_IR_AND: case VIT_IR_OR: case VIT_IR_XOR:
    case VIT_IR_MUL:
        gen_bin(g, op, i);
        break;
    case VIT_IR_MULHU: case VIT_IR_MULHS: gen_mulh(g, op, i); break;
    case VIT_IR_SHL ... VIT_IR_ROR: gen_shift(g, op, i); break;
    case VIT_IR_NEG ... VIT_IR_SREM: gen_unary(g, op, i); break;
    case VIT_IR_ZEXT: case VIT_IR_SEXT: gen_extend(g, op, i); break;
    case VIT_IR_CMP: gen_cmp(g, op, i); break;
    case VIT_IR_SELECT: gen_select(g, op, i); break;
    case VIT_IR_FLAGS_ADD ... VIT_IR_FLAGS_TEST: gen_flags(g, op, i); break;
    case VIT_IR_LD: gen_load(g, op, i); break;
    case VIT_IR_ST: gen_store(g, op); break;
    case VIT_IR_ATOMIC: gen_atomic(g, op, i); break;
    case VIT_IR_CMPXCHG: gen_cmpxchg(g, op, i); break;
    case VIT_IR_FENCE:
        clobber(g);
        e1(g, 0xf0);        /* lock or dword [rsp], 0: a full barrier, cheaper than mfence */
        alu_mi(g, ALU_OR, frame(FR_RESULT), 0, 4);
        break;
    case VIT_IR_CALL: gen_call(g, op, i); break;
    case VIT_IR_TRAP_IF: gen_trap(g, op); break;
    case VIT_IR_VOP ... VIT_IR_VTEST: gen_vector(g, op, i); break;
    case VIT_IR_GETCSR: case VIT_IR_SETCSR: gen_csr(g, op, i); break;
    case VIT_IR_BR:
        if (!is_const(g, op->a, &c)) {
            direct(g, 0, op->imm, (int) gen_condition(g, op->a), &later[0]);
        } else if (c) {
            direct(g, 0, op->imm, -1, &later[0]);
            return false;
        }
        break;
    case VIT_IR_JMP:
        direct(g, 1, op->imm, -1, &later[1]);
        return false;
    case VIT_IR_JMP_IND:
        indirect(g, op->a);
        return false;
    case VIT_IR_EXIT:
        leave(g, op);
        return false;
    default:
        g->failed = true;
        return false;
    }
    return true;
}

static void ways_out(Gen *g, uint8_t *later[2])
{
    for (unsigned n = 0; n < 2; n++) {
        JitExit *e = &g->b->exit[n];
        if (!later[n])
            continue;
        if (e->guarded) {
            land(g, later[n]);
            guard(g, n);
        } else {
            land(g, later[n]);
            e->stub = offset_now(g);
            exit_stub(g, n);
        }
    }
}

static void start(Gen *g, JitRegion *r, JitBlock *b)
{
    uint8_t *out = g->p = r->code;
    uint8_t *from;

    mov_ri(g, RDX, b->pc);
    mov_ri(g, RAX, 0);
    jump_to(g, g->a->thunk.exit);
    while ((uintptr_t) g->p & 15)
        e1(g, 0x90);
    g->head = g->p;
    b->code = rx(g, g->p);
    alu_mi(g, ALU_CMP, state(offsetof(VitCpu, exit_request)), 0, 4);
    from = jcc_short(g, VIT_CC_NZ);
    from[-1] = (uint8_t) (out - from);
    g_assert(g->p == g->head + 6);
}

bool jit_host_compile(JitCpu *jc, JitRegion *r, JitBlock *b, unsigned code_mmu)
{
    Gen *g = jc->gen;
    uint8_t *later[2] = { NULL, NULL };

    g->ir = &jc->ir;
    g->b = b;
    g->request = &jc->request;
    g->code_mmu = code_mmu;
    g->failed = false;
    g->n_stubs = g->n_pcs = g->n_slot = g->n_cond = 0;
    g->hf = g->slot_flags = VIT_NO_VAL;
    g->locked = g->xlocked = g->xused = 0;
    g->insn_pc = 0;
    memset(g->owner, 0xff, sizeof g->owner);
    memset(g->xowner, 0xff, sizeof g->xowner);
    memset(g->spill_owner, 0xff, sizeof g->spill_owner);
    memset(g->vspill_owner, 0xff, sizeof g->vspill_owner);
    memset(g->n_pinned, 0, sizeof g->n_pinned);
    gen_analyse(g);
    start(g, r, b);
    g->limit = r->code + CODE_MAX;
    for (unsigned i = 0; i < g->ir->n_ops; i++) {
        const Val *v = &g->v[i];

        g->i = i;
        if (v->dead || v->done || v->lazy || v->rep != i)
            continue;
        if (!one_op(g, (VitVal) i, later))
            break;
        if (g->failed || g->p > g->limit - MARGIN)
            return false;
        release(g);
    }
    gen_stubs(g);
    ways_out(g, later);
    if (g->failed || g->p > g->limit)
        return false;
    b->code_size = offset_now(g);
    b->n_pcs = (uint16_t) g->n_pcs;
    b->pcs = jit_cache_meta(r, g->n_pcs * sizeof *b->pcs, 4);
    memcpy(b->pcs, g->pcs, g->n_pcs * sizeof *b->pcs);
    r->code = g->p;
    return true;
}
