/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/memory.c - guest memory through the software TLB, atomics, calls of C
 * functions
 *
 * An access that the TLB does not hold leaves to a stub behind the block, which passes the address
 * in the frame and calls a thunk that saves all; registers are then as before, the result in the
 * frame. */
#include "engine/jit/hosts/x86_64/gen.h"

#include <stddef.h>

/* info word of a slow access; read by slow_memory() in prelude.c */
#define INFO(kind, size, mmu, sub)                                                                 \
    ((uint32_t) (kind) | (uint32_t) (size) << 8 | (uint32_t) (mmu) << 16 |                         \
     (uint32_t) (sub) << 24)

/* ---- Addresses ------------------------------------------------------------------------------- */

typedef struct { int base; int32_t disp; } Address;     /* base: a register, locked when scratch */

static bool fits(int64_t v) { return v >= INT32_MIN / 2 && v <= INT32_MAX / 2; }

static Address resolve(Gen *g, VitVal v)
{
    int64_t disp = 0;
    uint64_t c;
    VitVal root = root_of(g, v);

    while (g->v[root].lazy && is_const(g, g->ir->ops[root].b, &c) && fits(disp + (int64_t) c)) {
        disp += (int64_t) c;
        root = root_of(g, g->ir->ops[root].a);
    }
    if (!g->v[root].lazy) {
        if (is_const(g, root, &c)) {
            int r = alloc(g);
            mov_ri(g, r, c + (uint64_t) disp);
            return (Address) { r, 0 };
        }
        return (Address) { use(g, root), (int32_t) disp };
    }
    /* base + index * scale */
    const VitIrOp *op = &g->ir->ops[root];
    uint32_t locked = g->locked;
    VitVal x = op->a, y = root_of(g, op->b);
    unsigned scale = 0;
    if (g->v[y].lazy && g->ir->ops[y].op == VIT_IR_SHL && is_const(g, g->ir->ops[y].b, &c)) {
        scale = (unsigned) c;
        y = g->ir->ops[y].a;
    }
    Address base = resolve(g, x);
    int index = use(g, y);
    int d = alloc(g);
    disp += base.disp;
    lea(g, d,
        (Mem) { (int8_t) base.base, (int8_t) index, (uint8_t) scale,
                fits(disp) ? (int32_t) disp : base.disp },
        true);
    if (!fits(disp))
        g->failed = true;
    g->locked = locked | 1u << d;
    return (Address) { d, 0 };
}

static int32_t tlb_disp(VitAccess access, unsigned mmu, bool addend)
{
    size_t off = access == VIT_ACCESS_WRITE ? offsetof(VitTlb, write) : offsetof(VitTlb, read);
    off += mmu * sizeof(VitTlbEntry[VIT_TLB_SIZE]) + (addend ? offsetof(VitTlbEntry, addend) : 0);
    return (int32_t) ((int64_t) off - (int64_t) sizeof(VitTlb) - JIT_BASE);
}

static Stub *new_stub(Gen *g)
{
    if (g->n_stubs == MAX_STUBS) {
        g->failed = true;
        g->n_stubs--;
    }
    Stub *s = &g->stubs[g->n_stubs++];
    memset(s, 0, sizeof *s);
    s->pc = g->insn_pc;
    return s;
}

/* Leaves t0 + base + disp = host address.  t1 is free again. */
static Stub *translate(Gen *g, Address a, unsigned size, VitAccess access, unsigned mmu, int *t0,
                       int *t1)
{
    clobber(g);
    *t0 = alloc(g);
    *t1 = alloc(g);
    Stub *s = new_stub(g);
    s->address_reg = (uint8_t) *t1;
    s->base = (int8_t) a.base;
    s->disp = a.disp;
    s->live_xmm = any_xmm_live(g);
    if (!g->a->options.tlb) {
        s->from = jmp_later(g);
        return s;
    }
    if (a.disp)
        lea(g, *t0, at(a.base, a.disp), true);
    else
        mov_rr(g, *t0, a.base);
    if (size > 1)
        lea(g, *t1, at(a.base, a.disp + (int32_t) size - 1), true);
    else
        mov_rr(g, *t1, *t0);
    shift_ri(g, 5, *t0, VIT_PAGE_BITS - 4, 8);
    shift_ri(g, 5, *t1, VIT_PAGE_BITS, 8);
    alu_ri(g, ALU_AND, *t0, (VIT_TLB_SIZE - 1) * 16, 4);
    ins_rm(g, W, 0x3b, *t1, (Mem) { RBP, (int8_t) *t0, 0, tlb_disp(access, mmu, false) });
    s->from = jcc_later(g, VIT_CC_NZ);
    ins_rm(g, W, 0x8b, *t0, (Mem) { RBP, (int8_t) *t0, 0, tlb_disp(access, mmu, true) });
    return s;
}

static Mem host_at(int t0, Address a)
{
    return (Mem) { (int8_t) t0, (int8_t) a.base, 0, a.disp };
}

void gen_load(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->type);
    bool rmw = op->flags & VIT_MEM_RMW;
    Address a;
    int t0, t1;

    clobber(g);
    int x = op->type == VIT_V128 ? xalloc(g) : 0;   /* may spill: before the way parts */
    a = resolve(g, op->a);
    Stub *s = translate(g, a, size, rmw ? VIT_ACCESS_WRITE : VIT_ACCESS_READ, op->mmu, &t0, &t1);
    s->kind = STUB_LOAD;
    s->size = (uint8_t) size;
    s->info = INFO(rmw ? 1 : 0, size, op->mmu, 0);
    if (op->type == VIT_V128) {
        ins_rm(g, M0F, 0x10, x, host_at(t0, a));
        s->vector = true;
        s->reg = (int8_t) x;
        s->back = g->p;
        xown(g, x, i);
        return;
    }
    int d;
    if (g->v[i].hint) {
        d = t1;   /* evicting emits moves that the stub's way must see too: load first, then move */
        int pin = g->v[i].hint - 1;
        bool busy = false;
        for (unsigned k = 0; k < g->n_pinned[pin]; k++) {
            VitVal r = g->pinned[pin][k];
            busy |= g->v[r].loc == LOC_PIN && g->v[r].reg == pin_reg[pin] && live_after(g, r);
        }
        if (!busy) {
            d = pin_reg[pin];
            g->n_pinned[pin] = 0;
        } else {
            g->v[i].hint = 0;
        }
    } else {
        d = t1;
    }
    load_rm(g, d, host_at(t0, a), size);
    s->reg = (int8_t) d;
    s->back = g->p;
    claim(g, i, d);
}

void gen_store(Gen *g, const VitIrOp *op)
{
    unsigned size = vit_type_bytes(op->type);
    int32_t imm = 0;
    bool has_imm = op->type != VIT_V128 && imm_of(g, op->b, size, &imm);
    int v = NO_REG, t0, t1;

    clobber(g);
    if (op->type == VIT_V128)
        v = xuse(g, op->b);
    else if (!has_imm)
        v = use(g, op->b);
    Address a = resolve(g, op->a);
    Stub *s = translate(g, a, size, VIT_ACCESS_WRITE, op->mmu, &t0, &t1);
    s->kind = STUB_STORE;
    s->size = (uint8_t) size;
    s->info = INFO(2, size, op->mmu, 0);
    s->reg = (int8_t) v;
    s->vector = op->type == VIT_V128;
    s->value_const = has_imm;
    s->value = imm;
    if (s->vector)
        ins_rm(g, M0F, 0x11, v, host_at(t0, a));
    else if (has_imm)
        store_imm(g, host_at(t0, a), imm, size);
    else
        store_rm(g, host_at(t0, a), v, size);
    s->back = g->p;
}

/* ---- Atomic ---------------------------------------------------------------------------------- */

/* Value (and desired value) go to the stub through the frame, so that no register must be kept. */
void gen_atomic(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->type), f = size_flags(size) | (size == 1 ? BYTE_REG : 0);
    bool xadd = op->sub == VIT_ATOMIC_ADD, xchg = op->sub == VIT_ATOMIC_XCHG;
    bool wanted = live_after(g, i);
    int t0, t1;

    g->v[i].hint = 0;
    clobber(g);
    take(g, RAX);
    move_to(g, RAX, op->b, 0);
    Address a = resolve(g, op->a);
    Stub *s = translate(g, a, size, VIT_ACCESS_WRITE, op->mmu, &t0, &t1);
    s->kind = STUB_ATOMIC;
    s->size = (uint8_t) size;
    s->info = INFO(3, size, op->mmu, op->sub);
    s->reg = RAX;
    if (xadd || xchg) {
        if (xchg) {
            ins_rm(g, f, size == 1 ? 0x86 : 0x87, RAX, host_at(t0, a));
        } else {
            e1(g, 0xf0);
            ins_rm(g, f | M0F, size == 1 ? 0xc0 : 0xc1, RAX, host_at(t0, a));
        }
    } else if (!wanted) {
        unsigned n = op->sub == VIT_ATOMIC_AND  ? ALU_AND
                     : op->sub == VIT_ATOMIC_OR ? ALU_OR
                                                : ALU_XOR;
        e1(g, 0xf0);
        ins_rm(g, f, n * 8 + (size == 1 ? 0 : 1), RAX, host_at(t0, a));
    } else {
        unsigned n = op->sub == VIT_ATOMIC_AND  ? ALU_AND
                     : op->sub == VIT_ATOMIC_OR ? ALU_OR
                                                : ALU_XOR;
        store_rm(g, frame(FR_VALUE2), RAX, 8);
        load_rm(g, RAX, host_at(t0, a), size);
        uint8_t *again = g->p;
        mov_rr(g, t1, RAX);
        alu_rm(g, n, t1, frame(FR_VALUE2), size);
        e1(g, 0xf0);
        ins_rm(g, f | M0F, size == 1 ? 0xb0 : 0xb1, t1, host_at(t0, a));
        e1(g, 0x75);
        e1(g, (uint8_t) (again - (g->p + 1)));
    }
    s->back = g->p;
    if (size == 4 && wanted)
        mov_rr32(g, RAX, RAX);
    own(g, RAX, i);
}

void gen_cmpxchg(Gen *g, const VitIrOp *op, VitVal i)
{
    unsigned size = vit_type_bytes(op->type), f = size_flags(size) | (size == 1 ? BYTE_REG : 0);
    int t0, t1;

    g->v[i].hint = 0;
    clobber(g);
    take(g, RAX);
    int t = alloc(g);
    move_to(g, t, op->c, 0);
    store_rm(g, frame(FR_VALUE2), t, 8);
    drop_lock(g, t);
    move_to(g, RAX, op->b, 0);
    Address a = resolve(g, op->a);
    Stub *s = translate(g, a, size, VIT_ACCESS_WRITE, op->mmu, &t0, &t1);
    s->kind = STUB_CMPXCHG;
    s->size = (uint8_t) size;
    s->info = INFO(4, size, op->mmu, 0);
    s->reg = RAX;
    load_rm(g, t1, frame(FR_VALUE2), 8);
    e1(g, 0xf0);
    ins_rm(g, f | M0F, size == 1 ? 0xb0 : 0xb1, t1, host_at(t0, a));
    s->back = g->p;
    if (size == 4)
        mov_rr32(g, RAX, RAX);
    own(g, RAX, i);
}

/* ---- Stubs ----------------------------------------------------------------------------------- */

static void trap_stub(Gen *g, const Stub *s)
{
    static const int8_t to[2] = { RSI, RDX };

    call_to(g, g->a->thunk.save);
    /* pinned ones are in memory; what is in rdx must not be lost to the second argument */
    for (unsigned k = 0; k < 2; k++) {
        if (s->arg[k].loc == LOC_REG)
            store_rm(g, frame(k ? FR_VALUE2 : FR_VALUE), s->arg[k].reg, 8);
    }
    for (unsigned k = 0; k < 2; k++) {
        if (s->arg[k].loc == LOC_REG)
            load_rm(g, to[k], frame(k ? FR_VALUE2 : FR_VALUE), s->arg[k].size);
        else if (s->arg[k].loc == LOC_SLOT)
            load_rm(g, to[k], state((uint64_t) s->arg[k].imm), s->arg[k].size);
        else if (s->arg[k].loc == LOC_SPILL)
            load_rm(g, to[k], frame((int32_t) s->arg[k].imm), s->arg[k].size);
        else
            mov_ri(g, to[k], (uint64_t) s->arg[k].imm);
    }
    lea(g, RDI, at(RBP, -JIT_BASE), true);
    call_c(g, s->helper->fn);
    e1(g, 0x0f), e1(g, 0x0b);       /* ud2: it does not return */
}

void gen_stubs(Gen *g)
{
    for (unsigned k = 0; k < g->n_stubs; k++) {
        const Stub *s = &g->stubs[k];

        land(g, s->from);
        note_pc(g, s->pc);
        if (s->kind == STUB_TRAP) {
            trap_stub(g, s);
            continue;
        }
        if (s->kind == STUB_STORE || s->kind == STUB_ATOMIC || s->kind == STUB_CMPXCHG) {
            if (s->value_const)
                store_imm(g, frame(FR_VALUE), (int32_t) s->value, 8);
            else if (s->vector)
                ins_rm(g, M0F, 0x11, s->reg, frame(FR_VALUE));
            else
                store_rm(g, frame(FR_VALUE), s->reg, 8);
        }
        store_imm(g, frame(FR_INFO), (int32_t) s->info, 4);
        lea(g, s->address_reg, at(s->base, s->disp), true);
        call_to(g, (s->live_xmm ? g->a->thunk.memory_vectors : g->a->thunk.memory)[s->address_reg]);
        if (s->kind == STUB_LOAD && s->vector)
            ins_rm(g, M0F, 0x10, s->reg, frame(FR_RESULT));
        else if (s->kind != STUB_STORE)
            load_rm(g, s->reg, frame(FR_RESULT), s->kind == STUB_LOAD && s->size < 8 ? s->size : 8);
        e1(g, 0xe9);
        e4(g, (uint32_t) (s->back - (g->p + 4)));
        if (g->p > g->limit) {
            g->failed = true;
            return;
        }
    }
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void call_c(Gen *g, const void *fn)
{
    int64_t d = (const uint8_t *) fn - (rx(g, g->p) + 5);

    if (d == (int32_t) d) {
        e1(g, 0xe8);
        e4(g, (uint32_t) d);
    } else {
        mov_ri(g, RAX, (uintptr_t) fn);
        e1(g, 0xff), e1(g, 0xd0);
    }
}

/* Zero-extended argument; pinned values that sit where arguments go have been saved to memory. */
static void argument(Gen *g, int to, VitVal v)
{
    const Val *x = val(g, v);
    unsigned size = g->ir->ops[v].type == VIT_FLAGS ? 2 : vit_type_bytes(g->ir->ops[v].type);

    if (x->loc == LOC_PIN && (x->reg == RSI || x->reg == RDI || x->reg == R8))
        load_rm(g, to, state(g->pin_offset[pin_of_reg(x->reg)]), size);
    else
        move_to(g, to, v, size);
}

static int scratch_of(Gen *g, VitVal v)
{
    if (v == VIT_NO_VAL)
        return NO_REG;
    const Val *x = val(g, v);
    return x->loc == LOC_REG ? x->reg : NO_REG;
}

/* Arguments to rdx and rcx may stand in each other's place. */
static void arguments(Gen *g, const int8_t to[4], const VitVal v[4])
{
    int in_rdx = -1, in_rcx = -1;

    for (int k = 0; k < 4; k++) {
        if (v[k] == VIT_NO_VAL)
            continue;
        if (to[k] == RDX)
            in_rdx = k;
        else if (to[k] == RCX)
            in_rcx = k;
        else
            argument(g, to[k], v[k]);
    }
    if (in_rdx >= 0 && in_rcx >= 0 && scratch_of(g, v[in_rcx]) == RDX) {
        if (scratch_of(g, v[in_rdx]) == RCX) {
            store_rm(g, frame(FR_VALUE), RDX, 8);
            argument(g, RDX, v[in_rdx]);
            unsigned size = vit_type_bytes(g->ir->ops[v[in_rcx]].type);
            load_rm(g, RCX, frame(FR_VALUE), g->ir->ops[v[in_rcx]].type == VIT_FLAGS ? 2 : size);
            return;
        }
        argument(g, RCX, v[in_rcx]);
        argument(g, RDX, v[in_rdx]);
        return;
    }
    if (in_rdx >= 0)
        argument(g, RDX, v[in_rdx]);
    if (in_rcx >= 0)
        argument(g, RCX, v[in_rcx]);
}

static void call_result(Gen *g, VitVal i, VitType type)
{
    if (type == VIT_FLAGS)
        flags_from_ax(g, i);
    else if (type != VIT_NONE && live_after(g, i)) {
        if (type == VIT_I32)
            mov_rr32(g, RAX, RAX);
        own(g, RAX, i);
    }
}

void gen_call(Gen *g, const VitIrOp *op, VitVal i)
{
    static const int8_t to[4] = { RSI, RDX, RCX, R8 };
    const VitHelper *h = (const VitHelper *) (uintptr_t) op->imm;
    bool state_used = h->flags & (VIT_HELPER_FAULTS | VIT_HELPER_READS | VIT_HELPER_WRITES);
    VitVal v[4] = { op->a, op->b, op->c, op->d };

    g->v[i].hint = 0;
    spill_for_call(g, h->flags & VIT_HELPER_WRITES);
    call_to(g, state_used ? g->a->thunk.save : g->a->thunk.save_some);
    arguments(g, to, v);
    lea(g, RDI, at(RBP, -JIT_BASE), true);
    call_c(g, h->fn);
    call_to(g, h->flags & VIT_HELPER_WRITES ? g->a->thunk.reload : g->a->thunk.reload_some);
    for (unsigned k = 0; k < N_SCRATCH; k++) {      /* arguments that died */
        int r = scratch_reg[k];
        if (r != R15)
            g->owner[r] = VIT_NO_VAL;
    }
    call_result(g, i, op->type);
}

void gen_pure_call(Gen *g, VitVal i, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
                   VitVal a, VitVal b, VitVal c, uint64_t k)
{
    static const int8_t to[4] = { RDI, RSI, RDX, RCX };
    VitVal v[4] = { a, b, c, VIT_NO_VAL };

    if (c != VIT_NO_VAL && g->ir->ops[c].type == VIT_FLAGS)
        flags_mem(g, c);
    spill_for_call(g, false);
    call_to(g, g->a->thunk.save_some);
    arguments(g, to, v);
    mov_ri(g, RCX, k);
    call_c(g, fn);
    call_to(g, g->a->thunk.reload_some);
    for (unsigned n = 0; n < N_SCRATCH; n++) {
        int r = scratch_reg[n];
        if (r != R15)
            g->owner[r] = VIT_NO_VAL;
    }
    call_result(g, i, g->ir->ops[i].type);
}

void gen_trap(Gen *g, const VitIrOp *op)
{
    VitVal v[2] = { op->b, op->c };
    uint64_t c = 0;
    uint8_t *from;

    if (is_const(g, op->a, &c)) {
        if (!c)
            return;
        from = jmp_later(g);
    } else {
        from = jcc_later(g, gen_condition(g, op->a));
    }
    Stub *s = new_stub(g);
    s->kind = STUB_TRAP;
    s->from = from;
    s->helper = (const VitHelper *) (uintptr_t) op->imm;
    for (unsigned k = 0; k < 2; k++) {
        if (v[k] == VIT_NO_VAL || is_const(g, v[k], &c)) {
            s->arg[k].imm = v[k] == VIT_NO_VAL ? 0 : (int64_t) c;
            continue;
        }
        const Val *x = val(g, v[k]);
        s->arg[k].size = (uint8_t) vit_type_bytes(g->ir->ops[v[k]].type);
        if (x->loc == LOC_PIN) {
            s->arg[k].loc = LOC_SLOT;
            s->arg[k].imm = g->pin_offset[pin_of_reg(x->reg)];
        } else if (x->loc == LOC_SLOT || x->loc == LOC_SPILL) {
            s->arg[k].loc = x->loc;
            s->arg[k].imm = x->off;
        } else if (x->loc == LOC_REG) {
            s->arg[k].loc = LOC_REG;
            s->arg[k].reg = x->reg;
        } else {
            g->failed = true;   /* a pending condition as an argument: lifters have no use for it */
        }
    }
}
