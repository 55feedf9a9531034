/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/regs.c - where the values of a block are: registers, aliases, spills,
 * flags */
#include "engine/jit/hosts/x86_64/gen.h"

bool imm_of(const Gen *g, VitVal v, unsigned size, int32_t *imm)
{
    uint64_t c;

    if (!is_const(g, v, &c))
        return false;
    if (size == 8 && (int64_t) c != (int32_t) c)
        return false;
    *imm = size == 1 ? (int8_t) c : size == 2 ? (int16_t) c : (int32_t) c;
    return true;
}

int pin_index(const Gen *g, uint64_t offset)
{
    for (int i = 0; i < g->n_pins; i++) {
        if (offset - g->pin_offset[i] < 8)
            return i;
    }
    return -1;
}

int pin_of_reg(int reg)
{
    for (int i = 0; i < N_PINS; i++) {
        if (pin_reg[i] == reg)
            return i;
    }
    return -1;
}

/* Slots of dead values are taken back only when all are used. */
static int find_slot(Gen *g, VitVal *owner, unsigned n, VitVal root)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < n; i++) {
            if (pass && owner[i] != VIT_NO_VAL &&
                (g->v[owner[i]].last < g->i || g->v[owner[i]].loc != LOC_SPILL))
                owner[i] = VIT_NO_VAL;
            if (owner[i] == VIT_NO_VAL) {
                owner[i] = root;
                return (int) i;
            }
        }
    }
    g->failed = true;
    return 0;
}

static int32_t spill_slot(Gen *g, VitVal root)
{
    return FR_SPILL + 8 * find_slot(g, g->spill_owner, N_SPILLS, root);
}

static int32_t vspill_slot(Gen *g, VitVal root)
{
    return FR_VSPILL + 16 * find_slot(g, g->vspill_owner, N_VSPILLS, root);
}

void free_location(Gen *g, Val *v)
{
    if (v->loc == LOC_REG) {
        g->owner[v->reg] = VIT_NO_VAL;
    } else if (v->loc == LOC_XMM) {
        g->xowner[v->reg] = VIT_NO_VAL;
    } else if (v->loc == LOC_SPILL) {
        if (v->off >= FR_VSPILL)
            g->vspill_owner[(v->off - FR_VSPILL) / 16] = VIT_NO_VAL;
        else
            g->spill_owner[(v->off - FR_SPILL) / 8] = VIT_NO_VAL;
    }
    v->loc = LOC_NONE;
}

/* ---- Scratch registers ----------------------------------------------------------------------- */

static void spill(Gen *g, int reg)
{
    VitVal root = g->owner[reg];
    Val *v = &g->v[root];

    g->owner[reg] = VIT_NO_VAL;
    if (v->last < g->i)
        return;
    v->off = spill_slot(g, root);
    v->loc = LOC_SPILL;
    store_rm(g, frame(v->off), reg, 8);
}

int alloc(Gen *g)
{
    int best = NO_REG;

    for (unsigned k = 0; k < N_SCRATCH; k++) {
        int r = scratch_reg[k];
        if (!(g->locked >> r & 1) && g->owner[r] == VIT_NO_VAL) {
            g->locked |= 1u << r;
            return r;
        }
    }
    for (unsigned k = 0; k < N_SCRATCH; k++) {
        int r = scratch_reg[k];
        if (!(g->locked >> r & 1) &&
            (best == NO_REG || g->v[g->owner[r]].last > g->v[g->owner[best]].last))
            best = r;
    }
    if (best == NO_REG) {
        g->failed = true;
        return RAX;
    }
    spill(g, best);
    g->locked |= 1u << best;
    return best;
}

void take(Gen *g, int reg)
{
    VitVal root = g->owner[reg];

    if (root != VIT_NO_VAL) {
        g->owner[reg] = VIT_NO_VAL;
        if (g->v[root].last >= g->i) {
            int to = NO_REG;
            for (unsigned k = 0; k < N_SCRATCH && to == NO_REG; k++) {
                int r = scratch_reg[k];
                if (r != reg && !(g->locked >> r & 1) && g->owner[r] == VIT_NO_VAL)
                    to = r;
            }
            if (to != NO_REG) {
                mov_rr(g, to, reg);
                g->owner[to] = root;
                g->v[root].reg = (int8_t) to;
                if (g->locked >> reg & 1)
                    g->locked |= 1u << to;
            } else {
                g->owner[reg] = root;
                spill(g, reg);
            }
        }
    }
    g->locked |= 1u << reg;
}

void drop_lock(Gen *g, int reg)
{
    g->locked &= ~(1u << reg);
}

void own(Gen *g, int reg, VitVal v)
{
    VitVal root = root_of(g, v);

    g->owner[reg] = root;
    g->v[root].loc = LOC_REG;
    g->v[root].reg = (int8_t) reg;
    g->locked |= 1u << reg;
}

static VitType root_type(const Gen *g, VitVal v)
{
    return g->ir->ops[root_of(g, v)].type;
}

bool in_memory(Gen *g, VitVal v, Mem *m)
{
    Val *x = val(g, v);

    if (x->loc == LOC_SPILL)
        *m = frame(x->off);
    else if (x->loc == LOC_SLOT)
        *m = state((uint64_t) x->off);
    else
        return false;
    return true;
}

int use(Gen *g, VitVal v)
{
    Val *x = val(g, v);
    uint64_t c = 0;
    int r;

    switch (x->loc) {
    case LOC_REG:
        g->locked |= 1u << x->reg;
        return x->reg;
    case LOC_PIN:
        return x->reg;
    case LOC_SPILL: {
        int32_t off = x->off;
        r = alloc(g);
        load_rm(g, r, frame(off), 8);
        free_location(g, x);
        own(g, r, v);
        return r;
    }
    case LOC_SLOT:
        r = alloc(g);
        load_rm(g, r, state((uint64_t) x->off), vit_type_bytes(root_type(g, v)));
        own(g, r, v);
        return r;
    case LOC_COND: {
        unsigned cc = (unsigned) x->reg;
        r = alloc(g);
        setcc(g, cc, r);
        ins_rr(g, M0F | BYTE_RM, 0xb6, r, r);
        for (unsigned k = 0; k < g->n_cond; k++) {
            if (g->cond[k] == root_of(g, v))
                g->cond[k--] = g->cond[--g->n_cond];
        }
        own(g, r, v);
        return r;
    }
    default:
        r = alloc(g);
        if (is_const(g, v, &c))
            mov_ri(g, r, c);
        else
            g->failed = true;       /* used before it was made: malformed IR */
        return r;
    }
}

void move_to(Gen *g, int reg, VitVal v, unsigned size)
{
    Val *x = val(g, v);
    uint64_t c;
    Mem m;

    if (is_const(g, v, &c)) {
        mov_ri(g, reg, c);
        return;
    }
    if (in_memory(g, v, &m)) {
        load_rm(g, reg, m, size ? size : x->loc == LOC_SPILL ? 8 : vit_type_bytes(root_type(g, v)));
        return;
    }
    bool locked = x->loc == LOC_REG && g->locked >> x->reg & 1;
    int s = use(g, v);
    if (!locked && s != reg)
        drop_lock(g, s);        /* the copy is what counts */
    if (size == 1)
        ins_rr(g, M0F | BYTE_RM, 0xb6, reg, s);
    else if (size == 2)
        ins_rr(g, M0F, 0xb7, reg, s);
    else if (size == 4)
        mov_rr32(g, reg, s);
    else
        mov_rr(g, reg, s);
}

/* ---- Aliases of guest state ------------------------------------------------------------------ */

void add_pin_alias(Gen *g, int pin, VitVal root)
{
    unsigned n = 0;

    for (unsigned k = 0; k < g->n_pinned[pin]; k++) {       /* forget the dead */
        VitVal r = g->pinned[pin][k];
        if (g->v[r].loc == LOC_PIN && g->v[r].reg == pin_reg[pin] && g->v[r].last >= g->i &&
            r != root)
            g->pinned[pin][n++] = r;
    }
    g->n_pinned[pin] = (uint8_t) n;
    if (n == MAX_ALIASES) {
        int r = alloc(g);
        mov_rr(g, r, pin_reg[pin]);
        own(g, r, root);
        return;
    }
    g->pinned[pin][g->n_pinned[pin]++] = root;
    g->v[root].loc = LOC_PIN;
    g->v[root].reg = pin_reg[pin];
}

bool on_pin(const Gen *g, VitVal v, int pin)
{
    const Val *x = &g->v[root_of(g, v)];
    return x->loc == LOC_PIN && x->reg == pin_reg[pin];
}

void evict_pin(Gen *g, int pin)
{
    for (unsigned k = 0; k < g->n_pinned[pin]; k++) {
        VitVal root = g->pinned[pin][k];
        if (g->v[root].loc != LOC_PIN || g->v[root].reg != pin_reg[pin])
            continue;
        if (live_after(g, root)) {
            int r = alloc(g);
            mov_rr(g, r, pin_reg[pin]);
            own(g, r, root);
            drop_lock(g, r);
        }
    }
    g->n_pinned[pin] = 0;
}

void evict_slots(Gen *g, uint64_t from, uint64_t to)
{
    unsigned n = 0;

    for (unsigned k = 0; k < g->n_slot; k++) {
        VitVal root = g->slot[k];
        Val *v = &g->v[root];
        unsigned size = vit_type_bytes(g->ir->ops[root].type);

        if (v->loc != LOC_SLOT || !live_after(g, root))
            continue;
        if ((uint64_t) v->off < to && from < (uint64_t) v->off + size) {
            if (g->ir->ops[root].type == VIT_V128)
                xuse(g, root);
            else
                drop_lock(g, use(g, root));
        } else {
            g->slot[n++] = root;
        }
    }
    g->n_slot = n;
}

/* ---- Results --------------------------------------------------------------------------------- */

int result(Gen *g, VitVal i)
{
    Val *v = &g->v[i];

    if (v->hint) {
        evict_pin(g, v->hint - 1);
        return pin_reg[v->hint - 1];
    }
    return alloc(g);
}

void claim(Gen *g, VitVal i, int reg)
{
    if (SCRATCH_MASK >> reg & 1)
        own(g, reg, i);
    else
        add_pin_alias(g, pin_of_reg(reg), root_of(g, i));
}

void release(Gen *g)
{
    g->locked = 0;
    g->xlocked = 0;
    for (unsigned k = 0; k < N_SCRATCH; k++) {
        int r = scratch_reg[k];
        if (g->owner[r] != VIT_NO_VAL && !live_after(g, g->owner[r]))
            g->owner[r] = VIT_NO_VAL;
    }
    for (uint32_t left = g->xused; left; left &= left - 1) {
        unsigned x = (unsigned) __builtin_ctz(left);
        if (g->xowner[x] == VIT_NO_VAL || !live_after(g, g->xowner[x])) {
            g->xowner[x] = VIT_NO_VAL;
            g->xused &= ~(1u << x);
        }
    }
}

/* ---- Vector registers ------------------------------------------------------------------------ */

int xalloc(Gen *g)
{
    int best = -1;

    for (int x = 0; x < 16; x++) {
        if (g->xlocked >> x & 1)
            continue;
        if (g->xowner[x] == VIT_NO_VAL) {
            g->xlocked |= 1u << x;
            return x;
        }
        if (best < 0 || g->v[g->xowner[x]].last > g->v[g->xowner[best]].last)
            best = x;
    }
    Val *v = &g->v[g->xowner[best]];
    v->off = vspill_slot(g, g->xowner[best]);
    v->loc = LOC_SPILL;
    ins_rm(g, M0F, 0x11, best, frame(v->off));
    g->xowner[best] = VIT_NO_VAL;
    g->xlocked |= 1u << best;
    return best;
}

void xown(Gen *g, int x, VitVal v)
{
    VitVal root = root_of(g, v);
    g->xowner[x] = root;
    g->xused |= 1u << x;
    g->v[root].loc = LOC_XMM;
    g->v[root].reg = (int8_t) x;
    g->xlocked |= 1u << x;
}

int xuse(Gen *g, VitVal v)
{
    Val *x = val(g, v);
    Mem m;

    if (x->loc == LOC_XMM) {
        g->xlocked |= 1u << x->reg;
        return x->reg;
    }
    if (!in_memory(g, v, &m)) {
        g->failed = true;
        return 0;
    }
    int r = xalloc(g);
    ins_rm(g, M0F, 0x10, r, m);
    free_location(g, x);
    xown(g, r, v);
    return r;
}

bool any_xmm_live(const Gen *g)
{
    for (unsigned x = 0; g->xused && x < 16; x++) {
        if (g->xowner[x] != VIT_NO_VAL && g->v[g->xowner[x]].last >= g->i)
            return true;
    }
    return false;
}

/* r15 and the pinned ones in callee-saved registers survive. Values that die in this op stay, as
 * its arguments. */
void spill_for_call(Gen *g, bool writes)
{
    clobber(g);
    for (unsigned k = 0; k < N_SCRATCH; k++) {
        int r = scratch_reg[k];
        if (r != R15 && g->owner[r] != VIT_NO_VAL && live_after(g, g->owner[r]))
            spill(g, r);
    }
    for (int x = 0; g->xused && x < 16; x++) {
        VitVal root = g->xowner[x];
        if (root == VIT_NO_VAL || !live_after(g, root))
            continue;
        g->v[root].off = vspill_slot(g, root);
        g->v[root].loc = LOC_SPILL;
        ins_rm(g, M0F, 0x11, x, frame(g->v[root].off));
        g->xowner[x] = VIT_NO_VAL;
    }
    if (!writes)
        return;
    for (int p = 0; p < g->n_pins; p++) {
        for (unsigned k = 0; k < g->n_pinned[p]; k++) {
            VitVal root = g->pinned[p][k];
            if (g->v[root].loc != LOC_PIN || g->v[root].reg != pin_reg[p] || !live_after(g, root))
                continue;
            g->v[root].off = spill_slot(g, root);
            g->v[root].loc = LOC_SPILL;
            store_rm(g, frame(g->v[root].off), pin_reg[p], 8);
        }
        g->n_pinned[p] = 0;
    }
    for (unsigned k = 0; k < g->n_slot; k++) {
        VitVal root = g->slot[k];
        Val *v = &g->v[root];
        if (v->loc != LOC_SLOT || !live_after(g, root))
            continue;
        Mem from = state((uint64_t) v->off);
        if (g->ir->ops[root].type == VIT_V128) {
            int x = xalloc(g);
            ins_rm(g, M0F, 0x10, x, from);
            v->off = vspill_slot(g, root);
            ins_rm(g, M0F, 0x11, x, frame(v->off));
            g->xlocked &= ~(1u << x);
        } else {
            int r = alloc(g);
            load_rm(g, r, from, vit_type_bytes(g->ir->ops[root].type));
            v->off = spill_slot(g, root);
            store_rm(g, frame(v->off), r, 8);
            drop_lock(g, r);
        }
        v->loc = LOC_SPILL;
    }
    g->n_slot = 0;
    VitVal sf = g->slot_flags;
    if (sf != VIT_NO_VAL && live_after(g, sf) && g->v[sf].loc == LOC_SLOT) {
        int r = alloc(g);
        load_rm(g, r, state(g->isa->flags_offset), 2);
        g->v[sf].off = spill_slot(g, sf);
        g->v[sf].loc = LOC_SPILL;
        store_rm(g, frame(g->v[sf].off), r, 8);
        drop_lock(g, r);
    }
    g->slot_flags = VIT_NO_VAL;
}

/* ---- Flags ----------------------------------------------------------------------------------- */

static void make_conditions(Gen *g)
{
    while (g->n_cond) {
        VitVal root = g->cond[g->n_cond - 1];
        if (g->v[root].last >= g->i && g->v[root].loc == LOC_COND)
            drop_lock(g, use(g, root));     /* takes it off the list */
        else
            g->n_cond--;
    }
}

/* ax := packed flags of the host's; afterwards they may be gone. */
static void pack_ax(Gen *g)
{
    if (g->hf_shift)
        make_conditions(g);
    take(g, RAX);
    setcc(g, VIT_CC_O, RAX);
    e1(g, 0x9f);        /* lahf */
    if (g->hf_shift) {
        e1(g, 0x80), e1(g, 0xe4), e1(g, 0xef);      /* and ah, ~A */
        g->hf = VIT_NO_VAL;
    }
}

static void save_flags(Gen *g)
{
    VitVal root = g->hf;

    pack_ax(g);
    g->v[root].off = spill_slot(g, root);
    g->v[root].loc = LOC_SPILL;
    store_rm(g, frame(g->v[root].off), RAX, 8);
    drop_lock(g, RAX);
}

void clobber(Gen *g)
{
    make_conditions(g);
    if (g->hf != VIT_NO_VAL) {
        const Val *v = &g->v[g->hf];
        if (v->last >= g->i && v->loc == LOC_NONE)
            save_flags(g);
        g->hf = VIT_NO_VAL;
    }
}

void cond_in_flags(Gen *g, VitVal v, unsigned cc)
{
    Val *x = &g->v[v];

    if (g->n_cond == G_N_ELEMENTS(g->cond))
        make_conditions(g);
    x->loc = LOC_COND;
    x->reg = (int8_t) cc;
    g->cond[g->n_cond++] = v;
}

Mem flags_mem(Gen *g, VitVal v)
{
    VitVal root = root_of(g, v);
    Val *x = &g->v[root];
    Mem m;

    if (x->loc == LOC_NONE) {
        if (g->hf == root)
            save_flags(g);
        else
            g->failed = true;
    }
    if (!in_memory(g, root, &m))
        m = frame(FR_SPILL);
    return m;
}

void flags_from_ax(Gen *g, VitVal v)
{
    Val *x = &g->v[v];

    x->off = spill_slot(g, v);
    x->loc = LOC_SPILL;
    store_rm(g, frame(x->off), RAX, 8);
}

void gen_putflags(Gen *g, const VitIrOp *op)
{
    VitVal root = root_of(g, op->a), old = g->slot_flags;
    Mem slot = state(g->isa->flags_offset), m;

    if (old == root)
        return;
    if (old != VIT_NO_VAL && live_after(g, old) && g->v[old].loc == LOC_SLOT) {
        int r = alloc(g);
        load_rm(g, r, slot, 2);
        g->v[old].off = spill_slot(g, old);
        g->v[old].loc = LOC_SPILL;
        store_rm(g, frame(g->v[old].off), r, 8);
        drop_lock(g, r);
    }
    if (in_memory(g, root, &m)) {
        int r = alloc(g);
        load_rm(g, r, m, 2);
        store_rm(g, slot, r, 2);
        free_location(g, &g->v[root]);
    } else if (g->hf == root) {
        pack_ax(g);
        store_rm(g, slot, RAX, 2);
    } else {
        g->failed = true;
    }
    g->v[root].loc = LOC_SLOT;
    g->v[root].off = (int32_t) g->isa->flags_offset;
    g->slot_flags = root;
}
