/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/jit/hosts/x86_64/gen.h - state of one compilation and the instruction encoders
 *
 * Registers: rbp addresses the vCPU, ten registers hold the ISA's hottest slots from block to
 * block, rax rcx rdx r15 and all XMM hold values of the block.  Intel SDM vol. 2 for encodings. */
#pragma once
#include "engine/jit/jit-private.h"
#include "engine/jit/vops.h"

#include <string.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = -1 };
enum { N_PINS = 10, N_SCRATCH = 4 };
static const int8_t pin_reg[N_PINS] = { RBX, R12, R13, R14, RSI, RDI, R8, R9, R10, R11 };
static const int8_t scratch_reg[N_SCRATCH] = { RDX, RCX, R15, RAX };
enum { SCRATCH_MASK = 1 << RAX | 1 << RCX | 1 << RDX | 1 << R15 };

/* Frame of translated code on the host's stack, offsets from rsp. */
enum {
    FR_ADDR = 0, FR_INFO = 8, FR_VALUE = 16, FR_RESULT = 32, FR_RAX = 48, FR_RCX = 56, FR_RDX = 64,
    FR_CSR = 72, FR_VALUE2 = 80, FR_XMM = 96, FR_SPILL = FR_XMM + 256, N_SPILLS = 96,
    FR_VSPILL = FR_SPILL + 8 * N_SPILLS, N_VSPILLS = 48, FR_SIZE = FR_VSPILL + 16 * N_VSPILLS + 8
};

typedef struct { int8_t base, index; uint8_t scale; int32_t disp; } Mem;    /* index NO_REG: none */

typedef enum {
    LOC_NONE,       /* not made, or flags that are only in the host's */
    LOC_CONST, LOC_REG, LOC_PIN, LOC_SLOT /* vCPU memory, off */, LOC_SPILL /* frame, off */,
    LOC_XMM,
    LOC_COND        /* host condition `reg` holds */
} Loc;

typedef struct {
    uint8_t  loc;
    int8_t   reg;
    uint8_t  hint;          /* pinned slot that the value is put into next, + 1 */
    bool     lazy;          /* part of addresses only: made where used */
    bool     done;          /* made by an op before it */
    bool     dead;
    uint16_t partner;       /* flags op that this op's instruction serves; 0 none */
    uint16_t uses, address_uses, index_uses;
    uint16_t last;          /* last op that uses it */
    VitVal   rep;           /* the value that it is an alias of, or itself */
    int32_t  off;
} Val;

typedef struct {
    enum { STUB_LOAD, STUB_STORE, STUB_ATOMIC, STUB_CMPXCHG, STUB_TRAP } kind;
    uint8_t *from, *back;   /* end of the jump to it; where it returns */
    uint8_t  address_reg;   /* free there */
    int8_t   base;
    int32_t  disp;
    int8_t   reg;           /* result or value; XMM when vector */
    int8_t   reg2;
    bool     vector, live_xmm, value_const;
    uint8_t  size, type;
    uint32_t info;
    int64_t  value;         /* constant to store */
    uint32_t pc;            /* of the guest instruction, less the block's */
    const VitHelper *helper;
    struct { uint8_t loc; int8_t reg; uint8_t size; int64_t imm; } arg[2];
} Stub;

enum { MAX_STUBS = 640, MAX_PCS = 1024, MAX_ALIASES = 6 };

typedef struct {
    JitAccel *a;
    VitIr    *ir;
    const VitIsa *isa;
    JitBlock *b;
    uint8_t  *p, *head, *limit;
    unsigned  i;                    /* present op */
    bool      failed;               /* give up: the block is tried again with fewer instructions */
    unsigned  code_mmu;
    VitTranslate *request;
    bool      has_bmi2, has_lzcnt, has_bmi1, has_popcnt, has_aes, has_pclmul;
    int8_t    n_pins;
    uint32_t  pin_offset[N_PINS];
    uint32_t  insn_pc;
    VitVal    owner[16], xowner[16];    /* root in a scratch register */
    uint32_t  locked, xlocked;
    uint32_t  xused;                    /* superset of the XMM registers that have an owner */
    VitVal    pinned[N_PINS][MAX_ALIASES];
    uint8_t   n_pinned[N_PINS];
    VitVal    slot[MAX_ALIASES * 4];
    unsigned  n_slot;
    VitVal    hf;                   /* flags root that is in the host's flags now */
    bool      hf_shift;             /* made by a shift: A is to read as zero */
    VitVal    cond[4];              /* conditions that wait in the host's flags */
    unsigned  n_cond;
    VitVal    slot_flags;           /* flags root that the slot in memory holds */
    VitVal    spill_owner[N_SPILLS], vspill_owner[N_VSPILLS];
    unsigned  n_stubs, n_pcs;
    Stub      stubs[MAX_STUBS];
    JitPcEntry pcs[MAX_PCS];
    Val       v[VIT_IR_MAX_OPS];
} Gen;

/* ---- Encoding -------------------------------------------------------------------------------- */

static inline void e1(Gen *g, unsigned b) { *g->p++ = (uint8_t) b; }
static inline void e4(Gen *g, uint32_t v) { memcpy(g->p, &v, 4); g->p += 4; }
static inline void e8(Gen *g, uint64_t v) { memcpy(g->p, &v, 8); g->p += 8; }
static inline uint8_t *rx(const Gen *g, const uint8_t *p) { return (uint8_t *) p + g->a->rx_delta; }

enum {  /* of an instruction */
    W = 1, P66 = 2, PF2 = 4, PF3 = 8, M0F = 16, M38 = 32, M3A = 64,
    BYTE_REG = 128, BYTE_RM = 256       /* a byte register: sil dil need REX */
};

static inline void prefix(Gen *g, unsigned f, unsigned op, int reg, int index, int rm,
                          bool rm_is_reg)
{
    unsigned rex = (f & W ? 8 : 0) | (reg & 8 ? 4 : 0) | (index & 8 ? 2 : 0) | (rm & 8 ? 1 : 0);

    if (f & P66)
        e1(g, 0x66);
    if (f & PF2)
        e1(g, 0xf2);
    if (f & PF3)
        e1(g, 0xf3);
    if (rex || (f & BYTE_REG && reg >= 4) || (f & BYTE_RM && rm_is_reg && rm >= 4))
        e1(g, 0x40 | rex);
    if (f & (M0F | M38 | M3A))
        e1(g, 0x0f);
    if (f & M38)
        e1(g, 0x38);
    if (f & M3A)
        e1(g, 0x3a);
    e1(g, op);
}

static inline void ins_rr(Gen *g, unsigned f, unsigned op, int reg, int rm)
{
    prefix(g, f, op, reg, 0, rm, true);
    e1(g, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void ins_rm(Gen *g, unsigned f, unsigned op, int reg, Mem m)
{
    int index = m.index == NO_REG ? 4 : m.index;
    bool sib = m.index != NO_REG || (m.base & 7) == RSP;
    unsigned mod = m.disp == 0 && (m.base & 7) != RBP ? 0 : m.disp == (int8_t) m.disp ? 1 : 2;

    prefix(g, f, op, reg, m.index == NO_REG ? 0 : m.index, m.base, false);
    e1(g, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (m.base & 7)));
    if (sib)
        e1(g, (unsigned) m.scale << 6 | (index & 7) << 3 | (m.base & 7));
    if (mod == 1)
        e1(g, (uint8_t) m.disp);
    else if (mod == 2)
        e4(g, (uint32_t) m.disp);
}

static inline Mem at(int base, int32_t disp) { return (Mem) { (int8_t) base, NO_REG, 0, disp }; }
static inline Mem frame(int32_t off) { return at(RSP, off); }
/* A byte offset in the vCPU. */
static inline Mem state(uint64_t offset) { return at(RBP, (int32_t) offset - JIT_BASE); }

static inline void mov_rr(Gen *g, int d, int s) { if (d != s) ins_rr(g, W, 0x8b, d, s); }
static inline void mov_rr32(Gen *g, int d, int s) { ins_rr(g, 0, 0x8b, d, s); }

static inline void mov_ri(Gen *g, int d, uint64_t v)
{
    if (v <= UINT32_MAX) {
        if (d & 8)
            e1(g, 0x41);
        e1(g, 0xb8 | (d & 7));
        e4(g, (uint32_t) v);
    } else if ((int64_t) v == (int32_t) v) {
        ins_rr(g, W, 0xc7, 0, d);
        e4(g, (uint32_t) v);
    } else {
        e1(g, 0x48 | (d & 8 ? 1 : 0));
        e1(g, 0xb8 | (d & 7));
        e8(g, v);
    }
}

static inline unsigned size_flags(unsigned size) { return size == 8 ? W : size == 2 ? P66 : 0; }

/* Zero-extending load of 1, 2, 4 or 8 bytes. */
static inline void load_rm(Gen *g, int d, Mem m, unsigned size)
{
    if (size == 1)
        ins_rm(g, M0F, 0xb6, d, m);
    else if (size == 2)
        ins_rm(g, M0F, 0xb7, d, m);
    else
        ins_rm(g, size == 8 ? W : 0, 0x8b, d, m);
}

static inline void store_rm(Gen *g, Mem m, int s, unsigned size)
{
    ins_rm(g, size_flags(size) | (size == 1 ? BYTE_REG : 0), size == 1 ? 0x88 : 0x89, s, m);
}

static inline void store_imm(Gen *g, Mem m, int32_t v, unsigned size)
{
    ins_rm(g, size_flags(size), size == 1 ? 0xc6 : 0xc7, 0, m);
    if (size == 1)
        e1(g, (uint8_t) v);
    else if (size == 2)
        e1(g, (uint8_t) v), e1(g, (uint8_t) (v >> 8));
    else
        e4(g, (uint32_t) v);
}

static inline void lea(Gen *g, int d, Mem m, bool wide) { ins_rm(g, wide ? W : 0, 0x8d, d, m); }

/* ALU instruction n of the classic eight: 0 add 1 or 2 adc 3 sbb 4 and 5 sub 6 xor 7 cmp. */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
static inline void alu_rr(Gen *g, unsigned n, int d, int s, unsigned size)
{
    ins_rr(g, size_flags(size) | (size == 1 ? BYTE_REG | BYTE_RM : 0), n * 8 + (size == 1 ? 2 : 3),
           d, s);
}
static inline void alu_rm(Gen *g, unsigned n, int d, Mem m, unsigned size)
{
    ins_rm(g, size_flags(size) | (size == 1 ? BYTE_REG : 0), n * 8 + (size == 1 ? 2 : 3), d, m);
}
static inline void alu_tail(Gen *g, int32_t v, unsigned size)
{
    if (size == 1 || v == (int8_t) v)
        e1(g, (uint8_t) v);
    else if (size == 2)
        e1(g, (uint8_t) v), e1(g, (uint8_t) (v >> 8));
    else
        e4(g, (uint32_t) v);
}
static inline void alu_ri(Gen *g, unsigned n, int d, int32_t v, unsigned size)
{
    ins_rr(g, size_flags(size) | (size == 1 ? BYTE_RM : 0),
           size == 1         ? 0x80
           : v == (int8_t) v ? 0x83
                             : 0x81,
           (int) n, d);
    alu_tail(g, v, size);
}
static inline void alu_mi(Gen *g, unsigned n, Mem m, int32_t v, unsigned size)
{
    ins_rm(g, size_flags(size), size == 1 ? 0x80 : v == (int8_t) v ? 0x83 : 0x81, (int) n, m);
    alu_tail(g, v, size);
}
static inline void test_rr(Gen *g, int a, int b, unsigned size)
{
    ins_rr(g, size_flags(size) | (size == 1 ? BYTE_REG | BYTE_RM : 0), size == 1 ? 0x84 : 0x85, b,
           a);
}
/* Shift group: 0 rol 1 ror 4 shl 5 shr 7 sar. */
static inline void shift_ri(Gen *g, unsigned n, int d, unsigned count, unsigned size)
{
    unsigned f = size_flags(size) | (size == 1 ? BYTE_RM : 0);
    ins_rr(g, f, (count == 1 ? 0xd0 : 0xc0) | (size == 1 ? 0 : 1), (int) n, d);
    if (count != 1)
        e1(g, count);
}
static inline void shift_rc(Gen *g, unsigned n, int d, unsigned size)   /* by cl */
{
    ins_rr(g, size_flags(size) | (size == 1 ? BYTE_RM : 0), size == 1 ? 0xd2 : 0xd3, (int) n, d);
}
static inline void setcc(Gen *g, unsigned cc, int d) { ins_rr(g, M0F | BYTE_RM, 0x90 | cc, 0, d); }

static inline void jump_to(Gen *g, const uint8_t *target_rx)    /* jmp rel32 */
{
    e1(g, 0xe9);
    e4(g, (uint32_t) (target_rx - (rx(g, g->p) + 4)));
}
static inline void call_to(Gen *g, const uint8_t *target_rx)
{
    e1(g, 0xe8);
    e4(g, (uint32_t) (target_rx - (rx(g, g->p) + 4)));
}
void call_c(Gen *g, const void *fn);        /* any distance; may clobber rax before */
/* jcc rel32 / jmp rel32 whose target comes later; returns the end of the instruction. */
static inline uint8_t *jcc_later(Gen *g, unsigned cc)
{
    e1(g, 0x0f);
    e1(g, 0x80 | cc);
    e4(g, 0);
    return g->p;
}
static inline uint8_t *jmp_later(Gen *g) { e1(g, 0xe9); e4(g, 0); return g->p; }
static inline void land(Gen *g, uint8_t *jump_end)
{
    uint32_t d = (uint32_t) (g->p - jump_end);
    memcpy(jump_end - 4, &d, 4);
}
static inline uint8_t *jcc_short(Gen *g, unsigned cc) { e1(g, 0x70 | cc); e1(g, 0); return g->p; }
static inline void land_short(Gen *g, uint8_t *jump_end)
{
    jump_end[-1] = (uint8_t) (g->p - jump_end);
}

/* ---- regs.c: where values are ---------------------------------------------------------------- */
static inline VitVal root_of(const Gen *g, VitVal v) { return g->v[v].rep; }
static inline Val *val(Gen *g, VitVal v) { return &g->v[g->v[v].rep]; }
static inline bool live_after(const Gen *g, VitVal root) { return g->v[root].last > g->i; }
static inline bool is_const(const Gen *g, VitVal v, uint64_t *c)
{
    return vit_ir_is_const(g->ir, g->v[v].rep, c) && (*c &= vit_type_bits(g->ir->ops[v].type) >= 64
        ? UINT64_MAX : (1ULL << vit_type_bits(g->ir->ops[v].type)) - 1, true);
}
/* Constant that fits a sign-extended immediate of an instruction of that size. */
bool imm_of(const Gen *g, VitVal v, unsigned size, int32_t *imm);
int  alloc(Gen *g);                        /* a free scratch register, locked until the op's end */
void take(Gen *g, int reg);                /* that scratch register, its value moved away; locked */
void drop_lock(Gen *g, int reg);
void own(Gen *g, int reg, VitVal v);        /* v's root is in that scratch register now */
int  use(Gen *g, VitVal v);                 /* register that holds it (low bits); locked */
/* copies into a register that the caller owns; zero-extended from size bytes, or 0: upper bits do
 * not matter */
void move_to(Gen *g, int reg, VitVal v, unsigned size);
bool in_memory(Gen *g, VitVal v, Mem *m);   /* usable as a memory operand of its type */
/* register for a fresh result (hint or scratch); call claim() after */
int  result(Gen *g, VitVal i);
void claim(Gen *g, VitVal i, int reg);      /* the op's result is in reg (scratch or pinned) */
int  pin_index(const Gen *g, uint64_t offset);
int  pin_of_reg(int reg);
bool on_pin(const Gen *g, VitVal v, int pin);
void evict_pin(Gen *g, int pin);      /* values that live only there and are used later move away */
void evict_slots(Gen *g, uint64_t from, uint64_t to);
void add_pin_alias(Gen *g, int pin, VitVal root);
void release(Gen *g);                       /* end of op: dead values' registers, locks */
int  xalloc(Gen *g);
void xown(Gen *g, int x, VitVal v);
int  xuse(Gen *g, VitVal v);
void spill_for_call(Gen *g, bool writes);   /* nothing live stays in what a C function may change */
bool any_xmm_live(const Gen *g);
void free_location(Gen *g, Val *v);
/* Before an instruction that changes the host's flags. */
void clobber(Gen *g);
void cond_in_flags(Gen *g, VitVal v, unsigned cc);
Mem  flags_mem(Gen *g, VitVal v);           /* packed flags in memory */
void flags_from_ax(Gen *g, VitVal v);       /* packed flags in ax become v */

/* ---- the ops --------------------------------------------------------------------------------- */
void gen_get(Gen *g, const VitIrOp *op, VitVal i);
void gen_put(Gen *g, const VitIrOp *op);
void gen_bin(Gen *g, const VitIrOp *op, VitVal i);
void gen_shift(Gen *g, const VitIrOp *op, VitVal i);
void gen_mulh(Gen *g, const VitIrOp *op, VitVal i);
void gen_unary(Gen *g, const VitIrOp *op, VitVal i);
void gen_extend(Gen *g, const VitIrOp *op, VitVal i);
void gen_cmp(Gen *g, const VitIrOp *op, VitVal i);
void gen_select(Gen *g, const VitIrOp *op, VitVal i);
void gen_flags(Gen *g, const VitIrOp *op, VitVal i);
void gen_putflags(Gen *g, const VitIrOp *op);
/* host condition that holds when v is non-zero; v no constant */
unsigned gen_condition(Gen *g, VitVal v);
void gen_load(Gen *g, const VitIrOp *op, VitVal i);
void gen_store(Gen *g, const VitIrOp *op);
void gen_atomic(Gen *g, const VitIrOp *op, VitVal i);
void gen_cmpxchg(Gen *g, const VitIrOp *op, VitVal i);
void gen_call(Gen *g, const VitIrOp *op, VitVal i);
/* A C function of up to three of the op's values and a constant, that touches no guest state. */
void gen_pure_call(Gen *g, VitVal i, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
                   VitVal a, VitVal b, VitVal c, uint64_t k);
void gen_trap(Gen *g, const VitIrOp *op);
void gen_stubs(Gen *g);
void gen_vector(Gen *g, const VitIrOp *op, VitVal i);
void gen_csr(Gen *g, const VitIrOp *op, VitVal i);
void note_pc(Gen *g, uint32_t pc);
