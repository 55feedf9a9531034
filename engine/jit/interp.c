/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/interp.c - executes one block's IR: the oracle of every host backend
 *
 * Values live zero-extended in an array.  Floating point runs in the host's own environment with
 * the guest's control word loaded around each such op; on hosts without MXCSR only rounding is
 * carried. */
#include "engine/jit/interp-float.h"
#include "engine/jit/ir-eval.h"
#include "engine/jit/jit.h"
#include "engine/jit/vops.h"

#include <string.h>

typedef union { uint64_t u; VitVec v; } Value;

typedef struct {
    VitCpu *cpu;
    Value  *val;
    const VitIr *ir;
} Frame;

static uint64_t arg(const Frame *f, VitVal v)
{
    return v == VIT_NO_VAL ? 0 : f->val[v].u;
}

static uint8_t *state(const Frame *f, uint64_t offset)
{
    return (uint8_t *) f->cpu + offset;
}

static void get(const Frame *f, const VitIrOp *op, Value *r)
{
    r->u = 0;
    memcpy(r, state(f, op->imm), vit_type_bytes(op->type));     /* little-endian hosts only */
}

static void load(const Frame *f, const VitIrOp *op, Value *r)
{
    uint64_t linear = arg(f, op->a);
    unsigned size = vit_type_bytes(op->type);

    if (op->type == VIT_V128) {
        VitVec v;
        vit_cpu_load_bytes(f->cpu, linear, &v, 16, op->mmu);
        r->v = v;
    } else if (op->flags & VIT_MEM_RMW) {
        r->u = vit_cpu_load_rmw(f->cpu, linear, size, op->mmu);
    } else {
        r->u = vit_cpu_load(f->cpu, linear, size, op->mmu);
    }
}

static void store(const Frame *f, const VitIrOp *op)
{
    if (op->type == VIT_V128)
        vit_cpu_store_bytes(f->cpu, arg(f, op->a), &f->val[op->b].v, 16, op->mmu);
    else
        vit_cpu_store(f->cpu, arg(f, op->a), arg(f, op->b), vit_type_bytes(op->type), op->mmu);
}

static uint64_t call(const Frame *f, const VitIrOp *op, bool trap)
{
    const VitHelper *h = (const VitHelper *) (uintptr_t) op->imm;
    uint64_t a = trap ? arg(f, op->b) : arg(f, op->a), b = trap ? arg(f, op->c) : arg(f, op->b);
    uint64_t c = trap ? 0 : arg(f, op->c), d = trap ? 0 : arg(f, op->d), r;

    if (h->flags & VIT_HELPER_FP)
        interp_float_enter(f->cpu);
    r = h->fn(f->cpu, a, b, c, d);
    if (h->flags & VIT_HELPER_FP)
        interp_float_leave(f->cpu);
    return r;
}

static void vector(const Frame *f, const VitIrOp *op, Value *r)
{
    const VitVec *a = op->a == VIT_NO_VAL ? NULL : &f->val[op->a].v;
    const VitVec *b = op->b == VIT_NO_VAL ? NULL : &f->val[op->b].v;
    unsigned size;
    VitVec out;

    switch (op->op) {
    case VIT_IR_VOP:
        interp_float_enter(f->cpu);
        vit_vop_exec(op->sub, &out, a ? a : b, b ? b : a, (unsigned) op->imm);
        interp_float_leave(f->cpu);
        r->v = out;
        break;
    case VIT_IR_VTOI:
        size = vit_type_bytes(op->type);
        out = *a;
        r->u = 0;
        memcpy(&r->u, &out.u8[op->imm * size], size);
        break;
    case VIT_IR_VFROMI:
        out.u64[0] = ir_truncate(vit_ir_type(f->ir, op->a), arg(f, op->a));
        out.u64[1] = 0;
        r->v = out;
        break;
    case VIT_IR_VINSERT:
        size = vit_type_bytes(op->src_type);
        out = *a;
        memcpy(&out.u8[op->imm * size], &f->val[op->b].u, size);
        r->v = out;
        break;
    case VIT_IR_VMASK: {
        unsigned lane = op->sub == 0 ? 1 : op->sub == 2 ? 4 : 8;
        uint64_t mask = 0;
        for (unsigned i = 0; i < 16 / lane; i++)
            mask |= (uint64_t) (a->u8[i * lane + lane - 1] >> 7) << i;
        r->u = mask;
        break;
    }
    case VIT_IR_VCVTI:
        interp_float_enter(f->cpu);
        r->u = interp_float_to_int(op->sub, op->type, a);
        interp_float_leave(f->cpu);
        break;
    case VIT_IR_VCVTF:
        out = *a;
        interp_float_enter(f->cpu);
        interp_int_to_float(op->sub, op->src_type, arg(f, op->b), &out);
        interp_float_leave(f->cpu);
        r->v = out;
        break;
    case VIT_IR_VCOMI:
        interp_float_enter(f->cpu);
        r->u = interp_float_compare(op->sub, a, b);
        interp_float_leave(f->cpu);
        break;
    default: {  /* VTEST */
        bool z = !((a->u64[0] & b->u64[0]) | (a->u64[1] & b->u64[1]));
        bool c = !((~a->u64[0] & b->u64[0]) | (~a->u64[1] & b->u64[1]));
        r->u = (z ? VIT_FLAG_Z : 0) | (c ? VIT_FLAG_C : 0);
        break;
    }
    }
}

static void set_pc(VitCpu *cpu, uint64_t pc)
{
    memcpy((uint8_t *) cpu + cpu->isa->pc_offset, &pc, sizeof pc);
}

static uint32_t *csr(VitCpu *cpu)
{
    return (uint32_t *) ((uint8_t *) cpu + cpu->isa->mxcsr_offset);
}

/* Ops that only compute; false when op is none of them. */
static bool compute(const Frame *f, const VitIrOp *op, Value *r)
{
    switch (op->op) {
    case VIT_IR_CONST:
        r->u = op->imm;
        return true;
    case VIT_IR_ADD ... VIT_IR_ROR: case VIT_IR_UDIV ... VIT_IR_SREM:
        r->u = ir_eval2(op->op, op->type, arg(f, op->a), arg(f, op->b));
        return true;
    case VIT_IR_NEG ... VIT_IR_POPCNT:
        r->u = ir_eval1(op->op, op->type, arg(f, op->a));
        return true;
    case VIT_IR_ZEXT:
        r->u = arg(f, op->a);
        return true;
    case VIT_IR_SEXT:
        r->u = ir_truncate(op->type, (uint64_t) ir_sign(op->src_type, arg(f, op->a)));
        return true;
    case VIT_IR_TRUNC:
        r->u = ir_truncate(op->type, arg(f, op->a));
        return true;
    case VIT_IR_CMP:
        r->u = ir_eval_cmp(op->sub, op->src_type, arg(f, op->a), arg(f, op->b));
        return true;
    case VIT_IR_SELECT:
        *r = f->val[arg(f, op->a) ? op->b : op->c];
        return true;
    case VIT_IR_FLAGS_ADD ... VIT_IR_FLAGS_ROR:
        r->u = ir_eval_flags(op->op, op->src_type, arg(f, op->a), arg(f, op->b),
                             (unsigned) arg(f, op->c));
        return true;
    case VIT_IR_FLAGS_FROM: case VIT_IR_FLAGS_TO:
        r->u = arg(f, op->a) & VIT_FLAG_ALL;
        return true;
    case VIT_IR_FLAGS_MERGE:
        r->u = (arg(f, op->a) & op->imm) | (arg(f, op->b) & ~op->imm);
        return true;
    case VIT_IR_FLAGS_TEST:
        r->u = ir_eval_cc(op->sub, (unsigned) arg(f, op->a));
        return true;
    case VIT_IR_VOP ... VIT_IR_VTEST:
        vector(f, op, r);
        return true;
    default:
        return false;
    }
}

VitRunResult vit_interp_run(VitCpu *cpu, const VitIr *ir)
{
    Value val[VIT_IR_MAX_OPS];
    Frame f = { cpu, val, ir };

    cpu->jit_return = NULL;
    for (unsigned i = 0; i < ir->n_ops; i++) {
        const VitIrOp *op = &ir->ops[i];
        Value *r = &val[i];

        if (compute(&f, op, r))
            continue;
        switch (op->op) {
        case VIT_IR_NOP: break;
        case VIT_IR_INSN: cpu->interp_pc = op->imm; break;
        case VIT_IR_GET: get(&f, op, r); break;
        case VIT_IR_PUT: memcpy(state(&f, op->imm), &val[op->a], vit_type_bytes(op->type)); break;
        case VIT_IR_GETFLAGS: r->u = vit_flags_get(cpu); break;
        case VIT_IR_PUTFLAGS: vit_flags_set(cpu, (unsigned) val[op->a].u); break;
        case VIT_IR_LD: load(&f, op, r); break;
        case VIT_IR_ST: store(&f, op); break;
        case VIT_IR_ATOMIC:
            r->u = vit_cpu_atomic(cpu, op->sub, arg(&f, op->a), arg(&f, op->b),
                                  vit_type_bytes(op->type), op->mmu);
            break;
        case VIT_IR_CMPXCHG:
            r->u = vit_cpu_cmpxchg(cpu, arg(&f, op->a), arg(&f, op->b), arg(&f, op->c),
                                   vit_type_bytes(op->type), op->mmu);
            break;
        case VIT_IR_FENCE: __atomic_thread_fence(__ATOMIC_SEQ_CST); break;
        case VIT_IR_CALL:
            r->u = call(&f, op, false);
            if (op->type != VIT_NONE)
                r->u = ir_truncate(op->type, r->u);
            break;
        case VIT_IR_TRAP_IF:
            if (arg(&f, op->a))
                call(&f, op, true);
            break;
        case VIT_IR_GETCSR: r->u = *csr(cpu); break;
        case VIT_IR_SETCSR: *csr(cpu) = (uint32_t) arg(&f, op->a); break;
        case VIT_IR_BR:
            if (arg(&f, op->a)) {
                set_pc(cpu, op->imm);
                return VIT_RUN_NEXT;
            }
            break;
        case VIT_IR_JMP: set_pc(cpu, op->imm); return VIT_RUN_NEXT;
        case VIT_IR_JMP_IND: set_pc(cpu, arg(&f, op->a)); return VIT_RUN_NEXT;
        case VIT_IR_EXIT:
            if (op->a != VIT_NO_VAL)
                set_pc(cpu, arg(&f, op->a));
            return op->sub == VIT_LEAVE_LOOKUP ? VIT_RUN_NEXT : VIT_RUN_LOOP;
        }
    }
    g_assert_not_reached();     /* vit_ir_check: every block ends */
}
