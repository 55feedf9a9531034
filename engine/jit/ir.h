/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/ir.h - the intermediate representation of one translated block
 *
 * SSA, straight-line, fixed-size ops in an arena that is reused.  A value is the index of the op
 * that makes it.  A value of an integer type holds that many low bits; higher bits of its host
 * register are unspecified (so TRUNC is free, ZEXT may cost).
 *
 * Precision rule for lifters: within one guest instruction every op that may fault (LD, ST,
 * ATOMIC_*, CMPXCHG, CALL of a faulting helper, TRAP_IF) comes before the first PUT/PUTFLAGS/VPUT
 * whose effect must not be seen when it faults; stores come after all loads.  Then on a fault the
 * guest state in memory and pinned registers is that of the instruction's start.  Instructions are
 * separated by INSN. */
#pragma once
#include "engine/cpu/isa.h"
#include "engine/cpu/tlb.h"

typedef uint16_t VitVal;            /* index into VitIr.ops */
#define VIT_NO_VAL ((VitVal) 0xffff)

typedef enum { VIT_NONE, VIT_I8, VIT_I16, VIT_I32, VIT_I64, VIT_V128, VIT_FLAGS } VitType;

/* Flags values have x86's bits and positions; other ISAs map theirs onto them. */
enum { VIT_FLAG_C = 0x001, VIT_FLAG_P = 0x004, VIT_FLAG_A = 0x010, VIT_FLAG_Z = 0x040,
       VIT_FLAG_S = 0x080, VIT_FLAG_O = 0x800, VIT_FLAG_ALL = 0x8d5 };

typedef enum {                      /* conditions on flags: x86's numbering */
    VIT_CC_O, VIT_CC_NO, VIT_CC_C, VIT_CC_NC, VIT_CC_Z, VIT_CC_NZ, VIT_CC_BE, VIT_CC_A,
    VIT_CC_S, VIT_CC_NS, VIT_CC_P, VIT_CC_NP, VIT_CC_LT, VIT_CC_GE, VIT_CC_LE, VIT_CC_GT
} VitCc;
typedef enum {                      /* conditions on two integers */
    VIT_CMP_EQ, VIT_CMP_NE, VIT_CMP_ULT, VIT_CMP_ULE, VIT_CMP_UGT, VIT_CMP_UGE,
    VIT_CMP_SLT, VIT_CMP_SLE, VIT_CMP_SGT, VIT_CMP_SGE
} VitCmp;

/* name, operands used (a b c d), meaning.  `type` is the result's unless said; T = any of
 * I8..I64. */
#define VIT_IR_OPS(X)                                                                              \
    X(NOP, 0)        /* also: removed by a pass */                                                 \
    X(INSN, 0)       /* imm = pc of the guest instruction that starts here, sub = its length */    \
    X(CONST, 0)      /* T: imm */                                                                  \
    X(GET, 0)        /* T: state at byte offset imm */                                             \
    X(PUT, 1)        /* state at byte offset imm := a; type = width stored */                      \
    X(GETFLAGS, 0)   /* FLAGS: the ISA's flags slot */                                             \
    X(PUTFLAGS, 1)   /* flags slot := a */                                                         \
    /* integer, T; shifts: b is I8 and below the width */                                          \
    X(ADD, 2) X(SUB, 2) X(AND, 2) X(OR, 2) X(XOR, 2) X(MUL, 2) X(MULHU, 2) X(MULHS, 2)             \
    X(SHL, 2) X(SHR, 2) X(SAR, 2) X(ROL, 2) X(ROR, 2)                                              \
    X(NEG, 1) X(NOT, 1) X(BSWAP, 1) /* I16 I32 I64 */                                              \
    X(CLZ, 1) X(CTZ, 1) /* width when a = 0 */ X(POPCNT, 1)                                        \
    X(UDIV, 2) X(UREM, 2) X(SDIV, 2) X(SREM, 2) /* I32 I64; 0 when undefined; never trap */        \
    X(ZEXT, 1) X(SEXT, 1) X(TRUNC, 1) /* src_type -> type */                                       \
    X(CMP, 2)        /* I8 0/1: a sub(VitCmp) b; src_type = operands' */                           \
    X(SELECT, 3)     /* T or FLAGS: a (I8, non-zero) ? b : c */                                    \
    /* flags of an operation on src_type operands */                                               \
    X(FLAGS_ADD, 2) X(FLAGS_SUB, 2)                                                                \
    X(FLAGS_ADC, 3) X(FLAGS_SBB, 3)      /* c = carry in, I8 0/1 */                                \
    X(FLAGS_LOGIC, 1)                    /* of result a: C = O = A = 0 */                          \
    X(FLAGS_SHL, 3) X(FLAGS_SHR, 3) X(FLAGS_SAR, 3) X(FLAGS_ROL, 3) X(FLAGS_ROR, 3)                \
                     /* a by b (I8, up to 31, I64 up to 63; 0 = c unchanged), c = FLAGS before.   \
                      * O as the last of single steps leaves it: SHL msb(r)^C, SHR msb(a) for one  \
                      * step else 0, SAR 0, ROL msb(r)^C, ROR msb(r)^msb-1(r); A = 0 for shifts;   \
                      * rotates keep S Z A P of c */                                               \
    X(FLAGS_FROM, 1)                     /* FLAGS from I64 bits (others ignored) */                \
    X(FLAGS_TO, 1)                       /* I64 from FLAGS */                                      \
    X(FLAGS_MERGE, 2)                    /* (a & imm) | (b & ~imm) */                              \
    X(FLAGS_TEST, 1)                     /* I8 0/1: condition sub(VitCc) of a */                   \
    /* guest memory at linear address a (I64), mmu mode = mmu, flags = VIT_MEM_* */                \
    X(LD, 1)         /* T or V128 */                                                               \
    X(ST, 2)         /* b; type = width */                                                         \
    X(ATOMIC, 2)     /* T: sub(VitAtomicOp) with b; gives the old value */                         \
    X(CMPXCHG, 3)    /* T: if mem == b then mem := c; gives the old value */                       \
    X(FENCE, 0)      /* full */                                                                    \
    /* helpers: imm = address of a VitHelper */                                                    \
    X(CALL, 4)       /* type = result's or NONE; integer arguments, zero-extended to 64 bits */    \
    X(TRAP_IF, 3)    /* a (I8) non-zero: call the helper with b, c; it does not return */          \
    /* vectors; see vops.h for sub */                                                              \
    X(VOP, 2)        /* V128: vop sub on a, b (b may be VIT_NO_VAL for unary), imm8 = imm */       \
    X(VTOI, 1)       /* T: lane imm of a, of type's width */                                       \
    X(VFROMI, 1)     /* V128: a (I32, I64) zero-extended */                                        \
    X(VINSERT, 2)    /* V128: a with lane imm of src_type's width := b */                          \
    /* I32: mask of the top bits of a's lanes; sub: 0 bytes, 2 words32, 3 words64 */               \
    X(VMASK, 1)                                                                                    \
    /* T (I32, I64): float to int; sub: 0 f32 round, 1 f32 trunc, 2 f64 round, 3 f64 trunc;        \
     * x86 indefinite on overflow */                                                               \
    X(VCVTI, 1)                                                                                    \
    X(VCVTF, 2)      /* V128: a with low lane := (float) b; src_type I32/I64; sub: 0 f32, 2 f64 */ \
    /* FLAGS: ordered compare of low lanes as (U)COMISS/SD; sub: 0 ucomiss 1 comiss 2 ucomisd      \
     * 3 comisd */                                                                                 \
    X(VCOMI, 2)                                                                                    \
    X(VTEST, 2)      /* FLAGS: PTEST a, b */                                                       \
    X(GETCSR, 0)     /* I32: MXCSR with its sticky bits */                                         \
    X(SETCSR, 1)     /* MXCSR := a (valid bits only, all exceptions masked) */                     \
    /* ends of block: the last ops.  pc values are as in the ISA's pc slot */                      \
    X(BR, 1)         /* a (I8) non-zero: go to pc imm; else the next op, which is JMP */           \
    X(JMP, 0)        /* go to pc imm, same mode */                                                 \
    /* go to pc a (I64), same mode; sub: VIT_JMP_* hint, imm = return pc of a call */              \
    X(JMP_IND, 1)                                                                                  \
    X(EXIT, 1)       /* pc slot := a (VIT_NO_VAL: a helper has set it) and leave to the run loop:  \
                      * mode, interrupts or pending events may have changed.  sub: VIT_LEAVE_* */

typedef enum {
#define X(name, n) VIT_IR_##name,
    VIT_IR_OPS(X)
#undef X
    VIT_IR_COUNT
} VitIrOpcode;

enum { VIT_MEM_RMW = 1,     /* LD: fault as a write; the same instruction stores there */
       /* V128: address must be a multiple of 16 (lifter has emitted the check) */
       VIT_MEM_ALIGNED = 2,
       VIT_MEM_ATOMIC = 4 };
enum { VIT_JMP_PLAIN, VIT_JMP_CALL, VIT_JMP_RET };
enum {
    /* only find the next block (mode may have changed): stays in translated code if it can */
    VIT_LEAVE_LOOKUP,
    VIT_LEAVE_LOOP          /* run loop must look at interrupts and requests */
};

typedef struct {
    uint8_t  op, type, src_type, sub;
    uint8_t  mmu, flags;
    VitVal   a, b, c, d;
    uint16_t uses;          /* filled by vit_ir_analyse: number of uses of the value */
    uint16_t last_use;      /* index of the last op that uses it; 0 = none */
    uint64_t imm;
} VitIrOp;

/* A helper in C.  Arguments and result are integers zero-extended to 64 bits. */
enum {
    VIT_HELPER_FAULTS = 1,      /* may unwind, or needs a precise pc (vit_cpu_sync_pc) */
    VIT_HELPER_READS = 2,       /* reads guest registers or flags through the VitCpu */
    VIT_HELPER_WRITES = 4,      /* writes guest registers or flags through the VitCpu */
    /* computes with the host's MXCSR as the guest's (else may clobber nothing of it) */
    VIT_HELPER_FP = 8,
    VIT_HELPER_ALL = 7
};
typedef struct {
    const char *name;
    uint64_t (*fn)(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
    unsigned flags;
} VitHelper;
#define VIT_HELPER(f, fl) static const VitHelper helper_##f = { #f, f, (fl) }

enum { VIT_IR_MAX_OPS = 2048, VIT_IR_MAX_INSNS = 64, VIT_IR_MAX_KNOWN = 48 };
struct VitIr {
    unsigned n_ops;
    unsigned n_insns;
    /* builder ran out of ops: the block must be retried with fewer instructions */
    bool     overflow;
    unsigned n_known;           /* builder: state slots whose present value is known in the block */
    struct { uint32_t offset; VitVal value; } known[VIT_IR_MAX_KNOWN];
    VitVal   known_flags;       /* builder: value of the last PUTFLAGS or GETFLAGS, or VIT_NO_VAL */
    VitIrOp  ops[VIT_IR_MAX_OPS];
};

void vit_ir_reset(VitIr *ir);
/* Backward pass: removes dead values, PUT/PUTFLAGS overwritten before anything can observe them
 * (fault, helper that reads, side exit, end), fills uses and last_use. */
void vit_ir_optimise(VitIr *ir, const VitIsa *isa, bool enabled);
/* Whether the op must run even when nobody uses its value: control, state, memory, sticky bits of
 * MXCSR. */
bool vit_ir_has_effect(const VitIrOp *op);
char *vit_ir_dump(const VitIr *ir, const VitIsa *isa);              /* text, caller frees */
/* NULL, or what is malformed (types, operand order, missing end); caller frees. For tests and debug
 * builds. */
char *vit_ir_check(const VitIr *ir);

/* ---- Builder: folds constants and trivial identities as it goes ------------------------------ */
VitVal vit_ir_emit(VitIr *ir, VitIrOp op);
VitVal vit_ir_const(VitIr *ir, VitType type, uint64_t value);
bool vit_ir_is_const(const VitIr *ir, VitVal v, uint64_t *value);
VitType vit_ir_type(const VitIr *ir, VitVal v);
void vit_ir_insn(VitIr *ir, uint64_t pc);
void vit_ir_insn_length(VitIr *ir, unsigned length);                /* of the INSN emitted last */
VitVal vit_ir_get(VitIr *ir, VitType type, uint32_t offset);
void vit_ir_put(VitIr *ir, uint32_t offset, VitVal v);              /* width = type of v */
VitVal vit_ir_bin(VitIr *ir, VitIrOpcode op, VitVal a, VitVal b);   /* type of a */
/* constant operand (I8 for shifts) */
VitVal vit_ir_bini(VitIr *ir, VitIrOpcode op, VitVal a, uint64_t b);
VitVal vit_ir_un(VitIr *ir, VitIrOpcode op, VitVal a);
VitVal vit_ir_zext(VitIr *ir, VitType to, VitVal a);              /* no-op when already that type */
VitVal vit_ir_sext(VitIr *ir, VitType to, VitVal a);
VitVal vit_ir_trunc(VitIr *ir, VitType to, VitVal a);
VitVal vit_ir_cmp(VitIr *ir, VitCmp cc, VitVal a, VitVal b);
VitVal vit_ir_select(VitIr *ir, VitVal cond, VitVal b, VitVal c);
/* FLAGS_ADD .. FLAGS_ROR */
VitVal vit_ir_flags(VitIr *ir, VitIrOpcode op, VitVal a, VitVal b, VitVal c);
VitVal vit_ir_flags_merge(VitIr *ir, VitVal new_flags, VitVal old_flags, unsigned mask_new);
VitVal vit_ir_flags_test(VitIr *ir, VitCc cc, VitVal flags);
VitVal vit_ir_getflags(VitIr *ir);
void vit_ir_putflags(VitIr *ir, VitVal flags);
VitVal vit_ir_load(VitIr *ir, VitType type, VitVal addr, unsigned mmu, unsigned flags);
void vit_ir_store(VitIr *ir, VitVal addr, VitVal v, unsigned mmu, unsigned flags);
VitVal vit_ir_atomic(VitIr *ir, VitAtomicOp op, VitVal addr, VitVal v, unsigned mmu);
VitVal vit_ir_cmpxchg(VitIr *ir, VitVal addr, VitVal expected, VitVal desired, unsigned mmu);
VitVal vit_ir_call(VitIr *ir, const VitHelper *h, VitType result, VitVal a, VitVal b, VitVal c,
                   VitVal d);
void vit_ir_trap_if(VitIr *ir, VitVal cond, const VitHelper *h, VitVal b, VitVal c);
VitVal vit_ir_vop(VitIr *ir, unsigned vop, VitVal a, VitVal b, unsigned imm8);
void vit_ir_br(VitIr *ir, VitVal cond, uint64_t pc);
void vit_ir_jmp(VitIr *ir, uint64_t pc);
void vit_ir_jmp_ind(VitIr *ir, VitVal pc, unsigned hint, uint64_t return_pc);
void vit_ir_exit(VitIr *ir, VitVal pc, unsigned leave);
void vit_ir_fence(VitIr *ir);
static inline unsigned vit_type_bits(VitType t) { return t == VIT_V128 ? 128 : 4u << t; }
static inline unsigned vit_type_bytes(VitType t) { return vit_type_bits(t) / 8; }
