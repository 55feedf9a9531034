/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/toy.c - the toy ISA and a machine of one processor and some RAM around it */
#include "tests/engine/jit/toy.h"

#include <string.h>

#define OFFSET(f) offsetof(Toy, f)

/* ---- Random IR ------------------------------------------------------------------------------- */

typedef struct { uint64_t s; } Rng;

static uint64_t next(Rng *r)
{
    uint64_t z = r->s += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static unsigned pick(Rng *r, unsigned n) { return (unsigned) (next(r) % n); }

enum { MAX_POOL = 512 };
typedef struct {
    VitIr   *ir;
    Rng      rng;
    VitVal   pool[VIT_FLAGS + 1][MAX_POOL];
    unsigned n[VIT_FLAGS + 1];
} Maker;

static void add(Maker *m, VitVal v)
{
    VitType t = vit_ir_type(m->ir, v);
    if (t != VIT_NONE && m->n[t] < MAX_POOL)
        m->pool[t][m->n[t]++] = v;
}

static VitVal any(Maker *m, VitType t)
{
    Rng *r = &m->rng;
    if (t == VIT_FLAGS && (!m->n[t] || pick(r, 4) == 0))
        return vit_ir_getflags(m->ir);
    if (t == VIT_V128 && (!m->n[t] || pick(r, 3) == 0))
        return vit_ir_get(m->ir, t, (uint32_t) (OFFSET(vec) + 16 * pick(r, TOY_VECTORS)));
    if (t != VIT_FLAGS && t != VIT_V128 && (!m->n[t] || pick(r, 3) == 0)) {
        if (pick(r, 5) == 0)
            return vit_ir_const(m->ir, t, pick(r, 2) ? next(r) >> pick(r, 64)
                                                     : (uint64_t) -(int64_t) pick(r, 200));
        unsigned high = t == VIT_I8 && pick(r, 3) == 0;
        return vit_ir_get(m->ir, t, (uint32_t) (OFFSET(reg) + 8 * pick(r, TOY_REGS) + high));
    }
    unsigned recent = MIN(m->n[t], 12);     /* mostly young values */
    return m->pool[t][m->n[t] - 1 - pick(r, pick(r, 4) ? recent : m->n[t])];
}

static VitType int_type(Maker *m)
{
    static const VitType t[] = { VIT_I8, VIT_I16, VIT_I32, VIT_I32, VIT_I64, VIT_I64 };
    return t[pick(&m->rng, G_N_ELEMENTS(t))];
}

static VitVal count(Maker *m, VitType t, bool flags)
{
    unsigned bits = vit_type_bits(t), max = flags ? (t == VIT_I64 ? 64 : 32) : bits;
    if (pick(&m->rng, 2))
        return vit_ir_const(m->ir, VIT_I8, pick(&m->rng, max));
    return vit_ir_bini(m->ir, VIT_IR_AND, any(m, VIT_I8), max - 1);
}

static VitVal address(Maker *m, bool code)
{
    VitVal v = vit_ir_bini(m->ir, VIT_IR_AND, any(m, VIT_I64),
                           code ? TOY_CODE_SIZE - 64 : TOY_DATA_SIZE - 64);
    if (pick(&m->rng, 3) == 0 && !code)
        v = vit_ir_bin(m->ir, VIT_IR_ADD, v,
                       vit_ir_bini(m->ir, VIT_IR_SHL, vit_ir_zext(m->ir, VIT_I64, any(m, VIT_I8)),
                                   pick(&m->rng, 4)));
    return vit_ir_bini(m->ir, VIT_IR_ADD, v, (code ? TOY_CODE : TOY_DATA) + pick(&m->rng, 40));
}

static uint64_t mix(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return a * 3 + b * 5 + c * 7 + (d ^ a >> 3);
}
VIT_HELPER(mix, 0);
static uint64_t rotate_regs(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Toy *t = (Toy *) cpu;
    uint64_t first = t->reg[0];
    memmove(t->reg, t->reg + 1, sizeof t->reg - 8);
    t->reg[TOY_REGS - 1] = first ^ a;
    vit_flags_set(cpu, vit_flags_get(cpu) ^ (unsigned) (b & VIT_FLAG_ALL));
    return t->reg[3] + c;
}
VIT_HELPER(rotate_regs, VIT_HELPER_ALL);
static uint64_t sum_regs(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Toy *t = (Toy *) cpu;
    uint64_t s = a + vit_flags_get(cpu);
    for (unsigned i = 0; i < TOY_REGS; i++)
        s = s * 31 + t->reg[i];
    return s;
}
VIT_HELPER(sum_regs, VIT_HELPER_READS);
static uint64_t trap(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    ((Toy *) cpu)->reg[5] ^= a + b;
    ((Toy *) cpu)->faulted = 2;
    vit_cpu_unwind(cpu);
}
VIT_HELPER(trap, VIT_HELPER_ALL);

static void integer(Maker *m)
{
    Rng *r = &m->rng;
    VitIr *ir = m->ir;
    VitType t = int_type(m);
    VitVal a = any(m, t);

    switch (pick(r, 14)) {
    case 0: case 1: case 2: case 3: {
        VitVal b = any(m, t);
        VitIrOpcode op = VIT_IR_ADD + pick(r, 8);
        VitVal v = vit_ir_bin(ir, op, a, b);
        add(m, v);
        if (op == VIT_IR_ADD && pick(r, 2))
            add(m, vit_ir_flags(ir, VIT_IR_FLAGS_ADD, a, b, VIT_NO_VAL));
        if (op == VIT_IR_SUB && pick(r, 2))
            add(m, vit_ir_flags(ir, VIT_IR_FLAGS_SUB, a, b, VIT_NO_VAL));
        if (op >= VIT_IR_AND && op <= VIT_IR_XOR && pick(r, 2))
            add(m, vit_ir_flags(ir, VIT_IR_FLAGS_LOGIC, v, VIT_NO_VAL, VIT_NO_VAL));
        break;
    }
    case 4: {       /* INC, DEC */
        bool dec = pick(r, 2);
        VitVal one = vit_ir_const(ir, t, 1);
        VitVal v = vit_ir_bin(ir, dec ? VIT_IR_SUB : VIT_IR_ADD, a, one);
        VitVal f = vit_ir_flags(ir, dec ? VIT_IR_FLAGS_SUB : VIT_IR_FLAGS_ADD, a, one, VIT_NO_VAL);
        add(m, v);
        f = vit_ir_flags_merge(ir, f, vit_ir_getflags(ir), VIT_FLAG_ALL & ~VIT_FLAG_C);
        if (pick(r, 2))
            vit_ir_putflags(ir, f);
        add(m, f);
        break;
    }
    case 5: add(m, vit_ir_bin(ir, VIT_IR_SHL + pick(r, 5), a, count(m, t, false))); break;
    case 6: {
        unsigned k = pick(r, 3);
        VitVal n = vit_ir_const(ir, VIT_I8, 1 + pick(r, vit_type_bits(t) - 1));
        add(m, vit_ir_bin(ir, VIT_IR_SHL + k, a, n));
        add(m, vit_ir_flags(ir, VIT_IR_FLAGS_SHL + k, a, n, any(m, VIT_FLAGS)));
        break;
    }
    case 7: {
        static const VitIrOpcode op[] = { VIT_IR_NEG, VIT_IR_NOT, VIT_IR_CLZ, VIT_IR_CTZ,
                                          VIT_IR_POPCNT };
        add(m, vit_ir_un(ir, op[pick(r, 5)], a));
        if (t != VIT_I8)
            add(m, vit_ir_un(ir, VIT_IR_BSWAP, a));
        break;
    }
    case 8: {
        VitType w = int_type(m);
        if (w > t)
            add(m, pick(r, 2) ? vit_ir_zext(ir, w, a) : vit_ir_sext(ir, w, a));
        else if (w < t)
            add(m, vit_ir_trunc(ir, w, a));
        break;
    }
    case 9: {
        VitVal c = vit_ir_cmp(ir, pick(r, 10), a, any(m, t));
        if (pick(r, 2))
            add(m, vit_ir_select(ir, c, any(m, VIT_I32), any(m, VIT_I32)));
        add(m, c);
        break;
    }
    case 10: {
        VitType w = int_type(m);
        add(m, vit_ir_select(ir, any(m, VIT_I8), any(m, w), any(m, w)));
        break;
    }
    case 11:
        if (t >= VIT_I32)
            add(m, vit_ir_bin(ir, VIT_IR_UDIV + pick(r, 4), a, any(m, t)));
        break;
    case 12:
        add(m,
            vit_ir_call(ir, &helper_mix, t, a, any(m, VIT_I32), any(m, VIT_I8), any(m, VIT_I64)));
        break;
    default: {
        VitVal f = any(m, VIT_FLAGS);
        switch (pick(r, 6)) {
        case 0: add(m, vit_ir_flags(ir, VIT_IR_FLAGS_ADC + pick(r, 2), a, any(m, t),
                                    vit_ir_flags_test(ir, VIT_CC_C, f))); break;
        case 1:
            add(m, vit_ir_flags(ir, VIT_IR_FLAGS_SHL + pick(r, 5), a, count(m, t, true), f));
            break;
        case 2: add(m, vit_ir_flags_merge(ir, f, any(m, VIT_FLAGS), (unsigned) next(r))); break;
        case 3: add(m, vit_ir_un(ir, VIT_IR_FLAGS_TO, f)); break;
        case 4: add(m, vit_ir_un(ir, VIT_IR_FLAGS_FROM, any(m, VIT_I64))); break;
        default:
            add(m, vit_ir_flags_test(ir, pick(r, 16), f));
            if (pick(r, 4) == 0)
                add(m, vit_ir_select(ir, any(m, VIT_I8), f, any(m, VIT_FLAGS)));
        }
    }
    }
}

static bool is_float(unsigned vop)
{
    return (vop >= VIT_VOP_ADDPS && vop <= VIT_VOP_CVTTPD2DQ) && vop != VIT_VOP_MOVSS;
}

static void vector(Maker *m)
{
    Rng *r = &m->rng;
    VitIr *ir = m->ir;
    VitVal a = any(m, VIT_V128);
    VitIrOp op = { .a = a, .b = VIT_NO_VAL, .c = VIT_NO_VAL, .d = VIT_NO_VAL };

    switch (pick(r, 8)) {
    case 0: case 1: case 2: case 3: {
        unsigned vop = pick(r, VIT_VOP_COUNT);
        if (is_float(vop))
            vop = VIT_VOP_PADDB + vop % 16;
        bool unary = vit_vop_info[vop].shape == VIT_VSHAPE_UN ||
                     vit_vop_info[vop].shape == VIT_VSHAPE_UNIMM;
        bool shift = vit_vop_info[vop].shape == VIT_VSHAPE_SHI;
        VitVal b = any(m, VIT_V128);
        add(m, vit_ir_vop(ir, vop, unary ? VIT_NO_VAL : a, shift ? VIT_NO_VAL : b, pick(r, 256)));
        break;
    }
    case 4:
        op.op = VIT_IR_VTOI;
        op.type = int_type(m);
        op.imm = pick(r, 16 / vit_type_bytes(op.type));
        add(m, vit_ir_emit(ir, op));
        break;
    case 5:
        op.op = VIT_IR_VINSERT;
        op.type = VIT_V128;
        op.src_type = int_type(m);
        op.b = any(m, op.src_type);
        op.imm = pick(r, 16 / vit_type_bytes(op.src_type));
        add(m, vit_ir_emit(ir, op));
        break;
    case 6:
        op.op = VIT_IR_VFROMI;
        op.type = VIT_V128;
        op.a = any(m, pick(r, 2) ? VIT_I32 : VIT_I64);
        op.src_type = vit_ir_type(ir, op.a);
        add(m, vit_ir_emit(ir, op));
        break;
    default:
        op.op = pick(r, 2) ? VIT_IR_VMASK : VIT_IR_VTEST;
        op.type = op.op == VIT_IR_VMASK ? VIT_I32 : VIT_FLAGS;
        if (op.op == VIT_IR_VTEST)
            op.b = any(m, VIT_V128);
        else
            op.sub = pick(r, 3);
        add(m, vit_ir_emit(ir, op));
    }
}

static void loads(Maker *m)
{
    VitType t = pick(&m->rng, 6) == 0 ? VIT_V128 : int_type(m);
    add(m, vit_ir_load(m->ir, t, address(m, false), pick(&m->rng, 2), 0));
}

static void stores(Maker *m)
{
    Rng *r = &m->rng;
    bool code = pick(r, 40) == 0;
    VitType t = pick(r, 6) == 0 ? VIT_V128 : int_type(m);

    if (t != VIT_V128 && pick(r, 4) == 0) {
        if (pick(r, 2))
            add(m, vit_ir_atomic(m->ir, pick(r, 5), address(m, code), any(m, t), 0));
        else
            add(m, vit_ir_cmpxchg(m->ir, address(m, code), any(m, t), any(m, t), 0));
    } else {
        vit_ir_store(m->ir, address(m, code), any(m, t), 0, 0);
    }
}

static void puts_(Maker *m)
{
    Rng *r = &m->rng;

    for (unsigned n = pick(r, 4); n--;) {
        VitType t = int_type(m);
        uint32_t at = (uint32_t) (OFFSET(reg) + 8 * pick(r, TOY_REGS));
        if (t == VIT_I32 && pick(r, 4))
            vit_ir_put(m->ir, at, vit_ir_zext(m->ir, VIT_I64, any(m, t)));
        else
            vit_ir_put(m->ir, at + (t == VIT_I8 && pick(r, 3) == 0), any(m, t));
    }
    if (pick(r, 2))
        vit_ir_putflags(m->ir, any(m, VIT_FLAGS));
    if (pick(r, 3) == 0)
        vit_ir_put(m->ir, (uint32_t) (OFFSET(vec) + 16 * pick(r, TOY_VECTORS)), any(m, VIT_V128));
}

static uint64_t random_pc(Maker *m, uint64_t near_pc)
{
    Rng *r = &m->rng;
    if (pick(r, 3) == 0)
        return (near_pc & ~0xfffULL) + pick(r, 0x1000);
    return TOY_CODE + pick(r, TOY_CODE_SIZE - 64);
}

static void random_translate(VitTranslate *t)
{
    Maker *m = g_new0(Maker, 1);
    uint64_t pc = t->pc;

    m->ir = t->ir;
    for (unsigned n = 0;; n++) {
        uint8_t bytes[15];
        unsigned have = vit_translate_fetch(t, pc, bytes);
        uint64_t seed = 0;
        if (have < TOY_INSN) {
            if (n == 0)
                vit_translate_fault(t, pc);
            vit_ir_jmp(t->ir, pc);
            break;
        }
        memcpy(&seed, bytes, TOY_INSN);
        m->rng.s = seed * 0xd1342543de82ef95;
        vit_ir_insn(t->ir, pc);
        vit_ir_insn_length(t->ir, TOY_INSN);
        if (n == 0)
            vit_ir_call(t->ir, &toy_tick, VIT_NONE, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL);
        pc += TOY_INSN;
        for (unsigned k = pick(&m->rng, 6); k--;)
            pick(&m->rng, 4) ? integer(m) : vector(m);
        if (pick(&m->rng, 2))
            loads(m);
        for (unsigned k = pick(&m->rng, 3); k--;)
            integer(m);
        if (pick(&m->rng, 30) == 0)
            vit_ir_trap_if(t->ir,
                           vit_ir_cmp(t->ir, VIT_CMP_EQ,
                                      vit_ir_bini(t->ir, VIT_IR_AND, any(m, VIT_I32), 7),
                                      vit_ir_const(t->ir, VIT_I32, 3)),
                           &helper_trap, any(m, VIT_I32), any(m, VIT_I16));
        if (pick(&m->rng, 3) == 0)
            stores(m);
        if (pick(&m->rng, 20) == 0)
            add(m, vit_ir_call(t->ir, pick(&m->rng, 2) ? &helper_rotate_regs : &helper_sum_regs,
                               int_type(m), any(m, VIT_I64), any(m, VIT_I32), any(m, VIT_I16),
                               VIT_NO_VAL));
        puts_(m);
        bool ends = pick(&m->rng, 8) == 0;
        if (!ends && (n + 1 >= t->max_insns || !vit_translate_same_page(t, pc) ||
                      t->ir->n_ops > VIT_IR_MAX_OPS - 256)) {
            vit_ir_jmp(t->ir, pc);
            break;
        }
        if (ends) {
            switch (pick(&m->rng, 5)) {
            case 0: case 1:
                vit_ir_br(t->ir,
                          pick(&m->rng, 2)
                              ? any(m, VIT_I8)
                              : vit_ir_flags_test(t->ir, pick(&m->rng, 16), any(m, VIT_FLAGS)),
                          random_pc(m, pc));
                vit_ir_jmp(t->ir, random_pc(m, pc));
                break;
            case 2: vit_ir_jmp(t->ir, random_pc(m, pc)); break;
            case 3:
                vit_ir_jmp_ind(t->ir,
                               vit_ir_bini(t->ir, VIT_IR_ADD,
                                           vit_ir_bini(t->ir, VIT_IR_AND, any(m, VIT_I64), 0x3f0),
                                           TOY_CODE + 0x800),
                               VIT_JMP_PLAIN, 0);
                break;
            default:
                vit_ir_exit(t->ir, vit_ir_const(t->ir, VIT_I64, random_pc(m, pc)),
                            pick(&m->rng, 2));
                break;
            }
            break;
        }
    }
    t->end_pc = pc;
    g_free(m);
}

/* ---- The ISA --------------------------------------------------------------------------------- */

static uint64_t tick(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Toy *t = (Toy *) cpu;

    vit_cpu_sync_pc(cpu);
    if (t->n < TOY_TRACE) {
        t->trace[t->n].pc = t->pc;
        t->trace[t->n].flags = vit_flags_get(cpu);
        memcpy(t->trace[t->n].reg, t->reg, sizeof t->reg);
        memcpy(t->trace[t->n].vec, t->vec, sizeof t->vec);
    }
    if (++t->n >= t->limit) {
        t->faulted = 3;
        vit_cpu_request(cpu, VIT_EXIT_STOP);
        vit_cpu_unwind(cpu);
    }
    return 0;
}
const VitHelper toy_tick = { "tick", tick, VIT_HELPER_FAULTS | VIT_HELPER_READS };

static bool tlb_fill(VitCpu *cpu, uint64_t linear, VitAccess access, unsigned mmu, bool probe,
                     VitTlbFill *out)
{
    Toy *t = (Toy *) cpu;

    if (linear - TOY_HOLE < VIT_PAGE_SIZE || linear >= TOY_RAM_SIZE) {
        if (!probe)
            t->faulted = 1;
        return false;
    }
    *out = (VitTlbFill) { .phys = linear & ~0xfffULL, .prot = 7, .size = VIT_PAGE_SIZE };
    return true;
}

static void deliver(VitCpu *cpu)
{
    Toy *t = (Toy *) cpu;

    if (!t->faulted || t->faulted == 3)
        return;
    if (t->n_faults < G_N_ELEMENTS(t->fault_pc))
        t->fault_pc[t->n_faults] = t->pc;
    t->n_faults++;
    t->reg[6] += t->pc;
    t->pc = TOY_CODE + t->pc * 7 % (TOY_CODE_SIZE - 64);
    if (t->stop_on_fault)
        vit_cpu_request(cpu, VIT_EXIT_STOP);
    t->faulted = 0;
}

static void translate(VitTranslate *t)
{
    Toy *toy = (Toy *) t->cpu;
    (toy->translate ? toy->translate : random_translate)(t);
}

static const uint32_t pinned[] = { OFFSET(reg[4]), OFFSET(reg[0]), OFFSET(reg[1]), OFFSET(reg[2]),
                                   OFFSET(reg[3]), OFFSET(reg[5]), OFFSET(reg[6]), OFFSET(reg[7]),
                                   OFFSET(reg[8]), OFFSET(reg[9]) };
const VitIsa toy_isa = {
    .name = "toy", .cpu_size = sizeof(Toy), .pc_offset = OFFSET(pc), .flags_offset = OFFSET(flags),
    .mxcsr_offset = OFFSET(mxcsr), .pinned = pinned, .n_pinned = G_N_ELEMENTS(pinned),
    .n_mmu_modes = 2, .tlb_fill = tlb_fill, .deliver = deliver, .translate = translate,
};

/* ---- A machine ------------------------------------------------------------------------------- */

void rig_open(Rig *rig, const VitAccelClass *klass)
{
    g_autoptr(GError) error = NULL;

    rig->sys = vit_system_new();
    rig->ram = vit_ram_new("toy", TOY_RAM_SIZE, &error);
    g_assert_no_error(error);
    rig->region = vit_region_new_ram("toy", rig->ram, 0, TOY_RAM_SIZE);
    vit_region_add(rig->sys->memory_root, 0, rig->region, 0);
    rig->accel = klass->create(rig->sys, &error);
    g_assert_no_error(error);
    rig->toy = (Toy *) vit_cpu_new(&toy_isa, rig->sys, 0);
    rig->toy->cpu.mode = VIT_MODE_WIDE;
    rig->toy->mxcsr = 0x1f80;
    rig->toy->pc = TOY_CODE;
    vit_flags_set(&rig->toy->cpu, 0);
}

void rig_run(Rig *rig, unsigned blocks)
{
    g_autoptr(GError) error = NULL;
    VitCpu *cpu = &rig->toy->cpu;

    rig->toy->limit = blocks;
    g_assert_true(vit_cpu_start(rig->accel, cpu, &error));
    vit_cpu_resume(cpu);
    while (!(__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST) & VIT_EXIT_STOP))
        g_usleep(100);      /* it asks for its own end */
    vit_cpu_stop(cpu);
}

void rig_close(Rig *rig)
{
    vit_cpu_free(&rig->toy->cpu);
    rig->accel->klass->destroy(rig->accel);
    vit_region_remove(rig->sys->memory_root, rig->region);
    vit_region_free(rig->region);
    vit_system_free(rig->sys);
    vit_ram_free(rig->ram);
}
