/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/generate.c - random integer instructions of 64-, 32- and 16-bit code
 *
 * A unit first loads the registers that address memory, then holds the instruction, then clears the
 * flags that the manual (Intel SDM vol. 2) leaves undefined.  RSP is never a destination. */
#include "tests/cpu/generate-private.h"

#include <string.h>

enum {
    C = VIT_FLAG_C,
    P = VIT_FLAG_P,
    A = VIT_FLAG_A,
    Z = VIT_FLAG_Z,
    S = VIT_FLAG_S,
    O = VIT_FLAG_O
};

unsigned random_below(Gen *g, unsigned n)
{
    return (unsigned)g_rand_int_range(g->rand, 0, (gint32)n);
}

bool random_chance(Gen *g, unsigned percent)
{
    return random_below(g, 100) < percent;
}

uint64_t cpu_test_value(GRand *rand)
{
    static const uint64_t corners[] = { 0,
                                        1,
                                        2,
                                        0x7f,
                                        0x80,
                                        0xff,
                                        0x7fff,
                                        0x8000,
                                        0xffff,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        0xffffffffffffffff };
    uint64_t v = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    switch (g_rand_int_range(rand, 0, 4)) {
    case 0: return corners[g_rand_int_range(rand, 0, G_N_ELEMENTS(corners))];
    case 1: return v & 0xff;
    case 2: return (uint64_t)(int32_t)v;
    default: return v;
    }
}

void random_byte(Gen *g, unsigned b)
{
    g_assert_cmpuint(g->u->size, <, sizeof g->u->bytes);
    g->u->bytes[g->u->size++] = (uint8_t)b;
}

void random_bytes_of(Gen *g, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) random_byte(g, (v >> (8 * i)) & 0xff);
}

unsigned random_any_register(Gen *g)        /* not RSP */
{
    unsigned r = random_below(g, g->is32 ? 7 : 15);
    return r >= 4 ? r + 1 : r;
}

/* Operand size prefix. */
void random_osize(Gen *g, unsigned size)
{
    if (size == (g->is16 ? 4 : 2)) random_byte(g, 0x66);
}

/* As code sees it: linear, or an offset in a segment. */
static uint64_t seen(const Gen *g, uint64_t linear)
{
    return g->is16 ? linear - CPU_TEST_DATA : linear;
}

/* REX for an instruction whose one register is reg, in its low field. */
static void rex(Gen *g, bool wide, unsigned reg)
{
    if (!g->is32) random_byte(g, (wide ? 0x48 : 0x40) | reg >> 3);
}

void random_set_register(Gen *g, unsigned reg, uint64_t v)
{
    random_osize(g, g->is16 ? 4 : 8);
    rex(g, true, reg);
    random_byte(g, 0xb8 | (reg & 7));
    random_bytes_of(g, v, g->is32 ? 4 : 8);
}

/* ---- Memory operands ------------------------------------------------------------------------- */

/* Somewhere in the data, sometimes across its end. */
uint64_t random_data_address(Gen *g, unsigned size)
{
    uint64_t at = random_below(g, CPU_TEST_DATA_SIZE - 512) + 64;

    if (random_chance(g, 10)) /* across a page */
        at = 4096 * (1 + random_below(g, 3)) - random_below(g, MAX(size, 2));
    if (random_chance(g, 2)) /* the last bytes, or beyond */
        at = CPU_TEST_DATA_SIZE - random_below(g, 2 * MAX(size, 2));
    if (random_chance(g, 30)) at &= ~15ULL;
    return CPU_TEST_DATA + at;
}

/* BX+SI .. BX with a displacement; the registers' upper halves do not count. */
static Mem memory16(Gen *g, uint16_t address)
{
    static const uint8_t bases[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                                      X86_RSI, X86_RDI, X86_RBP, X86_RBX };
    Mem m = { .set = true,
              .a16 = true,
              .base = (int)random_below(g, 8),
              .index = ANY,
              .disp_size = random_below(g, 3) };
    uint16_t rest = address;

    if (m.base == 6 && m.disp_size == 0) { /* no BP: a 16-bit address */
        m.disp = address;
        return m;
    }
    m.disp = m.disp_size == 1 ? (int8_t)g_rand_int(g->rand)
             : m.disp_size    ? (int16_t)g_rand_int(g->rand)
                              : 0;
    rest = (uint16_t)(rest - m.disp);
    if (m.base < 4) {
        uint16_t index = (uint16_t)g_rand_int(g->rand);
        random_set_register(g, m.base & 1 ? X86_RDI : X86_RSI,
                            index | cpu_test_value(g->rand) << 16);
        rest = (uint16_t)(rest - index);
    }
    random_set_register(g, bases[m.base], rest | cpu_test_value(g->rand) << 16);
    return m;
}

Mem random_memory_at(Gen *g, uint64_t linear)
{
    uint64_t address = seen(g, linear);

    if (g->is16 && random_chance(g, 75)) return memory16(g, (uint16_t)address);
    Mem m = { .set = true, .base = ANY, .index = ANY, .address = address };
    uint64_t rest = address;

    m.a32 = g->is16;
    m.gs = !g->is32 && random_chance(g, 3);
    switch (g->is32 ? 1 + 2 * random_below(g, 8) : random_below(g, 8)) {
    case 0: m.rip = true; return m;
    case 1: /* absolute */
        m.disp = (int32_t)address;
        m.disp_size = 4;
        return m;
    case 2: m.a32 = true; break;
    default: break;
    }
    if (random_chance(g, 40)) {
        m.disp_size = random_chance(g, 60) ? 1 : 4;
        m.disp = m.disp_size == 1 ? (int8_t)g_rand_int(g->rand)
                                  : (int32_t)random_below(g, 4096) - 2048;
    }
    rest -= (uint64_t)(int64_t)m.disp;
    m.base = (int)random_any_register(g);
    if (random_chance(g, 40)) {
        do m.index = (int)random_any_register(g);
        while (m.index == m.base);
        m.scale = random_below(g, 4);
        uint64_t index = (uint64_t)(int64_t)((int)random_below(g, 256) - 128);
        random_set_register(g, (unsigned)m.index, m.a32 ? index & UINT32_MAX : index);
        rest -= index << m.scale;
    }
    random_set_register(g, (unsigned)m.base,
                        m.a32 && !g->is32 && random_chance(g, 50) ? rest | 1ULL << 40 : rest);
    if ((m.base & 7) == 5 && !m.disp_size) m.disp_size = 1;
    return m;
}

/* ---- Encoding -------------------------------------------------------------------------------- */

static unsigned rex_of(const Gen *g, const Enc *e)
{
    unsigned rex = 0;

    if (g->is32) return 0;
    if (e->size == 8 && !e->no_size) rex |= 0x48;
    if (e->reg & 8) rex |= 0x44;
    if (e->mem.set) {
        if (e->mem.base != ANY && e->mem.base & 8) rex |= 0x41;
        if (e->mem.index != ANY && e->mem.index & 8) rex |= 0x42;
    } else if (e->rm & 8) {
        rex |= 0x41;
    }
    return rex;
}

static void opcode(Gen *g, unsigned op)
{
    if (op > 0xffff) random_byte(g, op >> 16 & 0xff);
    if (op > 0xff) random_byte(g, op >> 8 & 0xff);
    random_byte(g, op & 0xff);
}

static void modrm(Gen *g, const Enc *e)
{
    const Mem *m = &e->mem;
    unsigned reg = (e->reg & 7) << 3;

    if (!m->set) {
        random_byte(g, 0xc0 | reg | ((unsigned)e->rm & 7));
    } else if (m->a16) {
        random_byte(g, m->disp_size << 6 | reg | (unsigned)m->base);
        random_bytes_of(g, (uint16_t)m->disp, m->base == 6 && !m->disp_size ? 2 : m->disp_size);
    } else if (m->rip) {
        random_byte(g, reg | 5);
        g->u->rip_at = g->u->size;
        g->u->target = m->address;
        random_bytes_of(g, 0, 4);
    } else if (m->base == ANY) {
        random_byte(g, reg | 4);
        random_byte(g, 0x25);
        random_bytes_of(g, (uint32_t)m->disp, 4);
    } else {
        unsigned mod = m->disp_size == 1 ? 0x40 : m->disp_size ? 0x80 : 0;
        if (m->index != ANY || (m->base & 7) == 4) {
            random_byte(g, mod | reg | 4);
            random_byte(g, m->scale << 6 | (m->index == ANY ? 4 : (unsigned)m->index & 7) << 3 |
                               ((unsigned)m->base & 7));
        } else {
            random_byte(g, mod | reg | ((unsigned)m->base & 7));
        }
        random_bytes_of(g, (uint32_t)m->disp, m->disp_size);
    }
}

void random_encode(Gen *g, const Enc *e)
{
    unsigned rex = rex_of(g, e);
    bool bytes = e->size == 1 || e->byte_reg || e->byte_rm;

    if (bytes && !rex && !g->is32 && random_chance(g, 30))
        rex = 0x40; /* SPL BPL SIL DIL instead of AH CH DH BH */
    /* SPL must not be written; AH.. may */
    if (bytes && rex && !e->mem.set && e->rm == 4) rex = rex == 0x40 ? 0 : rex;
    if (e->lock) random_byte(g, 0xf0);
    if (e->mem.set && e->mem.gs) random_byte(g, 0x65);
    if (e->mem.set && e->mem.a32) random_byte(g, 0x67);
    if (!e->no_size) random_osize(g, e->size);
    if (e->mandatory) random_byte(g, e->mandatory);
    if (rex) random_byte(g, rex);
    opcode(g, e->op);
    modrm(g, e);
    random_bytes_of(g, e->imm, e->imm_size);
    g->u->rip_end = g->u->size;
}

void random_clear_flags(Gen *g, unsigned undefined)
{
    if (!undefined) return;
    random_byte(g, 0x9c);
    if (g->is16) { /* by AX: ESP's upper half is not known */
        random_byte(g, 0x58), random_byte(g, 0x25), random_bytes_of(g, ~undefined, 2),
            random_byte(g, 0x50);
    } else {
        random_byte(g, 0x81), random_byte(g, 0x24), random_byte(g, 0x24);
        random_bytes_of(g, ~undefined, 4);
    }
    random_byte(g, 0x9d);
}

static unsigned any_size(Gen *g)
{
    return 1u << random_below(g, g->is32 ? 3 : 4);
}

static unsigned wide_size(Gen *g)
{
    return 2u << random_below(g, g->is32 ? 2 : 3);
}

/* Register or memory of that size as the r/m operand.  Byte registers avoid number 4 (SPL). */
static void pick_rm(Gen *g, Enc *e, unsigned size, unsigned mem_percent)
{
    if (random_chance(g, mem_percent)) e->mem = random_memory_at(g, random_data_address(g, size));
    else e->rm = (int)random_any_register(g);
}

/* Opcode with the usual low bit 0 for bytes. */
static unsigned sized(unsigned op, unsigned size)
{
    return size == 1 ? op : op | 1;
}

/* ---- Templates ------------------------------------------------------------------------------- */

static unsigned alu_undefined(unsigned kind)
{
    return kind == 1 || kind == 4 || kind == 6 ? A : 0;
}

static void gen_alu(Gen *g)
{
    unsigned kind = random_below(g, 8), size = any_size(g);
    Enc e = { .size = size, .reg = random_any_register(g) };

    switch (random_below(g, 4)) {
    case 0: /* r/m, r */
        e.op = sized(kind * 8, size);
        pick_rm(g, &e, size, 40);
        e.lock = e.mem.set && kind != 7 && random_chance(g, 30);
        break;
    case 1: /* r, r/m */
        e.op = sized(kind * 8 + 2, size);
        pick_rm(g, &e, size, 40);
        break;
    case 2: /* r/m, imm */
        e.op = sized(0x80, size);
        e.reg = kind;
        e.imm_size = MIN(size, 4);
        e.imm = cpu_test_value(g->rand);
        pick_rm(g, &e, size, 40);
        e.lock = e.mem.set && kind != 7 && random_chance(g, 30);
        break;
    default: /* r/m, sign-extended byte */
        size = e.size = size == 1 ? 4 : size;
        e.op = 0x83;
        e.reg = kind;
        e.imm_size = 1;
        e.imm = cpu_test_value(g->rand);
        pick_rm(g, &e, size, 40);
        e.lock = e.mem.set && kind != 7 && random_chance(g, 30);
        break;
    }
    random_encode(g, &e);
    random_clear_flags(g, alu_undefined(kind));
}

static void gen_test(Gen *g)
{
    unsigned size = any_size(g);
    Enc e = { .size = size, .op = sized(0x84, size), .reg = random_any_register(g) };

    if (random_chance(g, 50)) {
        e.op = sized(0xf6, size);
        e.reg = random_below(g, 2);
        e.imm_size = MIN(size, 4);
        e.imm = cpu_test_value(g->rand);
    }
    pick_rm(g, &e, size, 40);
    random_encode(g, &e);
    random_clear_flags(g, A);
}

static void gen_mov(Gen *g)
{
    unsigned size = any_size(g);
    Enc e = { .size = size,
              .op = sized(random_chance(g, 50) ? 0x88 : 0x8a, size),
              .reg = random_any_register(g) };

    if (random_chance(g, 25)) {
        e.op = sized(0xc6, size);
        e.reg = 0;
        e.imm_size = MIN(size, 4);
        e.imm = cpu_test_value(g->rand);
    }
    pick_rm(g, &e, size, 60);
    random_encode(g, &e);
}

static void gen_mov_special(Gen *g)
{
    unsigned size = any_size(g), reg = random_any_register(g);

    if (random_chance(g, 50)) { /* moffs */
        random_osize(g, size);
        if (size == 8) random_byte(g, 0x48);
        random_byte(g, sized(random_chance(g, 50) ? 0xa0 : 0xa2, size));
        random_bytes_of(g, seen(g, random_data_address(g, size)), g->is16 ? 2 : g->is32 ? 4 : 8);
        return;
    }
    if (size == 1) {
        rex(g, false, reg);
        random_byte(g, 0xb0 | (reg & 7));
        random_bytes_of(g, g_rand_int(g->rand), 1);
        return;
    }
    random_osize(g, size);
    rex(g, size == 8, reg);
    random_byte(g, 0xb8 | (reg & 7));
    random_bytes_of(g, cpu_test_value(g->rand), size);
}

static void gen_unary(Gen *g) /* NOT NEG INC DEC */
{
    unsigned size = any_size(g), kind = random_below(g, 4);
    Enc e = { .size = size };

    e.op = sized(kind < 2 ? 0xf6 : 0xfe, size);
    e.reg = kind < 2 ? kind + 2 : kind - 2;
    pick_rm(g, &e, size, 40);
    e.lock = e.mem.set && random_chance(g, 40);
    random_encode(g, &e);
}

static void gen_shift(Gen *g)
{
    static const uint8_t kinds[] = { 0, 1, 2, 3, 4, 5, 7 };
    unsigned size = any_size(g), kind = kinds[random_below(g, sizeof kinds)],
             how = random_below(g, 3), undefined = 0;
    Enc e = { .size = size, .reg = kind };
    unsigned count = random_below(g, random_chance(g, 20) ? 256 : 8 * size + 2);

    if (how == 2 && random_chance(g, 70)) /* MOV CL, count */
        random_byte(g, 0xb1), random_byte(g, count);
    pick_rm(g, &e, size, 30);
    e.op = sized(how == 0 ? 0xc0 : how == 1 ? 0xd0 : 0xd2, size);
    if (how == 0) e.imm_size = 1, e.imm = count;
    random_encode(g, &e);
    if (how != 1) undefined = O;
    if (kind >= 4) undefined |= A;
    if (kind >= 4 && kind < 7 && size <= 2 && how != 1) undefined |= C;
    random_clear_flags(g, undefined);
}

static void gen_shift_double(Gen *g)
{
    unsigned size = wide_size(g);
    bool by_cl = size > 2 && random_chance(g, 50);
    Enc e = { .size = size,
              .reg = random_any_register(g),
              .op = (random_chance(g, 50) ? 0x0fa4 : 0x0fac) + by_cl };

    pick_rm(g, &e, size, 30);
    if (!by_cl) e.imm_size = 1, e.imm = size == 2 ? random_below(g, 17) : random_below(g, 256);
    random_encode(g, &e);
    random_clear_flags(g, A | O);
}

static void gen_multiply(Gen *g)
{
    unsigned size = any_size(g);
    Enc e = { .size = size, .reg = random_any_register(g) };

    if (random_chance(g, 50)) {
        e.op = sized(0xf6, size);
        e.reg = 4 + random_below(g, 2);
    } else {
        size = e.size = size == 1 ? 4 : size;
        unsigned how = random_below(g, 3);
        e.op = how == 0 ? 0x0faf : how == 1 ? 0x69 : 0x6b;
        e.imm_size = how == 0 ? 0 : how == 1 ? MIN(size, 4) : 1;
        e.imm = cpu_test_value(g->rand);
    }
    pick_rm(g, &e, size, 30);
    random_encode(g, &e);
    random_clear_flags(g, S | Z | A | P);
}

static void gen_divide(Gen *g)
{
    unsigned size = any_size(g), by = random_any_register(g);
    bool is_signed = random_chance(g, 50);
    Enc e = { .size = size, .op = sized(0xf6, size), .reg = is_signed ? 7 : 6, .rm = (int)by };

    if (by == X86_RDX || by == X86_RAX) e.rm = X86_RCX;
    if (random_chance(g, 80)) /* OR divisor, 1 */
        rex(g, true, (unsigned)e.rm), random_byte(g, 0x83),
            random_byte(g, 0xc8 | ((unsigned)e.rm & 7)), random_byte(g, 1);
    switch (random_below(g, 4)) {
    case 0: random_byte(g, 0x31), random_byte(g, 0xd2); break; /* XOR EDX, EDX */
    case 1: rex(g, true, 0), random_byte(g, 0x99); break; /* CQO */
    case 2: random_byte(g, 0x99); break; /* CDQ */
    default: break;
    }
    if (size == 1 && random_chance(g, 70)) /* MOVZX EAX, AL */
        random_byte(g, 0x0f), random_byte(g, 0xb6), random_byte(g, 0xc0);
    else if (size == 2 && random_chance(g, 70))
        random_byte(g, 0x66), random_byte(g, 0x99); /* CWD */
    if (random_chance(g, 30)) pick_rm(g, &e, size, 100);
    random_encode(g, &e);
    random_clear_flags(g, VIT_FLAG_ALL);
}

static void gen_extend(Gen *g)
{
    static const unsigned ops[] = { 0x0fb6, 0x0fb7, 0x0fbe, 0x0fbf, 0x63 };
    unsigned which = random_below(g, g->is32 ? 4 : 5), from = which == 4 ? 4 : which & 1 ? 2 : 1;
    Enc e = {
        .size = wide_size(g), .op = ops[which], .reg = random_any_register(g), .byte_rm = from == 1
    };

    if (which == 4) e.size = 8;
    pick_rm(g, &e, from, 50);
    random_encode(g, &e);
}

static void gen_lea(Gen *g)
{
    Enc e = { .size = wide_size(g), .op = 0x8d, .reg = random_any_register(g) };

    e.mem = random_memory_at(g, random_data_address(g, 1));
    e.mem.gs = false;
    random_encode(g, &e);
}

static void gen_exchange(Gen *g)
{
    unsigned size = any_size(g), kind = random_below(g, 3);
    Enc e = { .size = size, .reg = random_any_register(g) };

    e.op = sized(kind == 0 ? 0x86 : kind == 1 ? 0x0fb0 : 0x0fc0, size);
    pick_rm(g, &e, size, 50);
    e.lock = e.mem.set && random_chance(g, 40);
    if (size == 1 && e.reg == 4) e.reg = 0;
    if (kind == 1 && random_chance(g, 50)) { /* make it equal: MOV (R|E)AX, operand */
        Enc m = e;
        m.op = sized(0x8a, size);
        m.reg = 0;
        m.lock = false;
        if (!(e.mem.set && (e.mem.base == 0 || e.mem.index == 0 || e.mem.rip)))
            random_encode(g, &m);
    }
    random_encode(g, &e);
}

static void gen_cmpxchg_wide(Gen *g)
{
    bool wide = !g->is32 && cpu_test_host_has("cx16") && random_chance(g, 50);
    Enc e = { .size = wide ? 8 : 4, .op = 0x0fc7, .reg = 1 };

    e.mem = random_memory_at(g, random_data_address(g, 16));
    if (wide && !random_chance(g, 10))
        e.mem = random_memory_at(g, (random_data_address(g, 16) & ~15ULL) % 0x3f00 +
                                        (CPU_TEST_DATA & ~0x3fffULL) + 0x100);
    if (wide) e.mem.address &= ~15ULL;
    e.lock = random_chance(g, 50);
    random_encode(g, &e);
}

static void gen_bits(Gen *g) /* BT BTS BTR BTC */
{
    unsigned size = wide_size(g), kind = random_below(g, 4);
    Enc e = { .size = size, .reg = random_any_register(g) };

    if (random_chance(g, 50)) {
        e.op = 0x0fba;
        e.reg = 4 + kind;
        e.imm_size = 1;
        e.imm = g_rand_int(g->rand) & 0xff;
        pick_rm(g, &e, size, 50);
    } else {
        e.op = 0x0fa3 + 8 * kind;
        if (random_chance(g, 50)) {
            int64_t bit = (int64_t)random_below(g, 4096) - 2048;
            e.mem = random_memory_at(g, CPU_TEST_DATA + 1024 +
                                            random_below(g, CPU_TEST_DATA_SIZE - 2048));
            while ((int)e.reg == e.mem.base || (int)e.reg == e.mem.index)
                e.reg = random_any_register(g);
            random_set_register(g, e.reg,
                                size == 2   ? (uint16_t)bit | cpu_test_value(g->rand) << 16
                                : size == 4 ? (uint32_t)bit | cpu_test_value(g->rand) << 32
                                            : (uint64_t)bit);
        } else {
            e.rm = (int)random_any_register(g);
        }
    }
    e.lock = e.mem.set && kind && random_chance(g, 40);
    random_encode(g, &e);
    random_clear_flags(g, O | S | A | P);
}

static void gen_scan(Gen *g)
{
    unsigned size = wide_size(g);
    Enc e = { .size = size,
              .op = random_chance(g, 50) ? 0x0fbc : 0x0fbd,
              .reg = random_any_register(g),
              .rm = (int)random_any_register(g) };

    /* A zero source leaves the destination undefined: set a bit. */
    rex(g, true, (unsigned)e.rm), random_byte(g, 0x0f), random_byte(g, 0xba),
        random_byte(g, 0xe8 | ((unsigned)e.rm & 7));
    random_byte(g, random_below(g, 8 * size));
    random_encode(g, &e);
    random_clear_flags(g, C | O | S | A | P);
}

static void gen_extensions(Gen *g) /* POPCNT MOVBE CRC32 BSWAP */
{
    unsigned size = wide_size(g);
    Enc e = { .size = size, .reg = random_any_register(g) };

    switch (random_below(g, 4)) {
    case 0:
        if (!cpu_test_host_has("popcnt")) return;
        e.op = 0x0fb8, e.mandatory = 0xf3;
        pick_rm(g, &e, size, 40);
        random_encode(g, &e);
        break;
    case 1:
        if (!cpu_test_host_has("movbe")) return;
        e.op = 0x0f38f0 + random_below(g, 2);
        pick_rm(g, &e, size, 100);
        random_encode(g, &e);
        break;
    case 2:
        if (!cpu_test_host_has("sse4.2")) return;
        e.mandatory = 0xf2;
        e.op = 0x0f38f1;
        if (random_chance(g, 40)) e.op = 0x0f38f0, e.byte_rm = true, e.size = size == 2 ? 4 : size;
        pick_rm(g, &e, e.byte_rm ? 1 : size, 40);
        random_encode(g, &e);
        break;
    default: {
        unsigned reg = random_any_register(g);
        rex(g, random_chance(g, 50), reg);
        random_byte(g, 0x0f), random_byte(g, 0xc8 | (reg & 7));
    }
    }
}

static void gen_conditional(Gen *g) /* SETcc CMOVcc */
{
    if (random_chance(g, 50)) {
        Enc e = { .size = 1, .op = 0x0f90 + random_below(g, 16) };
        pick_rm(g, &e, 1, 40);
        random_encode(g, &e);
    } else {
        Enc e = { .size = wide_size(g),
                  .op = 0x0f40 + random_below(g, 16),
                  .reg = random_any_register(g) };
        pick_rm(g, &e, e.size, 40);
        random_encode(g, &e);
    }
}

static void gen_simple(Gen *g)
{
    static const uint8_t plain[][2] = {
        { 0x98 },       { 0x99 },       { 0x66, 0x98 }, { 0x66, 0x99 }, { 0x9e },       { 0x9f },
        { 0xf5 },       { 0xf8 },       { 0xf9 },       { 0x90 },       { 0xf3, 0x90 }, { 0x93 },
        { 0x66, 0x95 }, { 0x48, 0x98 }, { 0x48, 0x99 }, { 0x48, 0x90 }, { 0x49, 0x92 }
    };
    unsigned which = random_below(g, G_N_ELEMENTS(plain) - (g->is32 ? 4 : 0));

    random_byte(g, plain[which][0]);
    if (plain[which][1]) random_byte(g, plain[which][1]);
}

static void gen_push_pop(Gen *g)
{
    unsigned reg = random_any_register(g);
    Enc e = { .size = random_chance(g, 30) ? 2 : g->is32 ? 4 : 8 };

    switch (random_below(g, 8)) {
    case 0: rex(g, false, reg), random_byte(g, 0x50 | (reg & 7)); break;
    case 1: rex(g, false, reg), random_byte(g, 0x58 | (reg & 7)); break;
    case 2: random_byte(g, 0x66), random_byte(g, 0x50 | (reg & 7)); break;
    case 3:
        random_byte(g, 0x68), random_bytes_of(g, cpu_test_value(g->rand), g->is16 ? 2 : 4);
        break;
    case 4: random_byte(g, 0x6a), random_bytes_of(g, cpu_test_value(g->rand), 1); break;
    case 5:
        e.op = 0xff, e.reg = 6;
        pick_rm(g, &e, e.size, 100);
        e.no_size = e.size == 8;
        random_encode(g, &e);
        break;
    case 6:
        e.op = 0x8f;
        pick_rm(g, &e, e.size, 100);
        e.no_size = e.size == 8;
        random_encode(g, &e);
        break;
    default: random_byte(g, 0x54); break; /* PUSH RSP */
    }
}

static void gen_stack_frames(Gen *g)
{
    switch (random_below(g, 5)) {
    case 0: /* ENTER; also nested, with a good frame pointer */
        random_set_register(g, X86_RBP, seen(g, CPU_TEST_DATA + 0x2000 + 8 * random_below(g, 64)));
        random_byte(g, 0xc8), random_bytes_of(g, random_below(g, 128), 2),
            random_byte(g, random_chance(g, 70) ? 0 : random_below(g, 6));
        break;
    case 1:
        random_set_register(g, X86_RBP, seen(g, CPU_TEST_DATA + 0x1800 + 8 * random_below(g, 128)));
        random_byte(g, 0xc9);
        break;
    case 2: /* PUSHFQ, POP */
        random_byte(g, 0x9c), random_byte(g, 0x58 | (random_any_register(g) & 3));
        break;
    case 3: /* PUSH imm, POPFQ */
        random_byte(g, 0x68),
            random_bytes_of(g, (g_rand_int(g->rand) & CPU_TEST_EFLAGS) | 0x202, g->is16 ? 2 : 4);
        random_byte(g, 0x9d);
        break;
    default: random_byte(g, random_chance(g, 50) ? 0xfc : 0xfd); break;
    }
}

static void gen_xlat(Gen *g)
{
    random_set_register(g, X86_RBX, seen(g, random_data_address(g, 256) & ~0xffULL));
    random_byte(g, 0xd7);
}

static void gen_string(Gen *g)
{
    static const uint8_t ops[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };
    unsigned size = any_size(g), op = ops[random_below(g, sizeof ops)], prefix = random_below(g, 3);
    uint64_t from = random_data_address(g, size), to = random_data_address(g, size);

    if (random_chance(g, 30)) to = from + random_below(g, 32) - 16;
    random_set_register(g, X86_RSI, seen(g, from));
    random_set_register(g, X86_RDI, seen(g, to));
    random_set_register(g, X86_RCX, random_below(g, random_chance(g, 20) ? 300 : 24));
    if (random_chance(g, 20)) random_byte(g, random_chance(g, 50) ? 0xfc : 0xfd);
    if (prefix) random_byte(g, 0xf1 + prefix);
    if ((!g->is32 || g->is16) && random_chance(g, 5)) random_byte(g, 0x67);
    random_osize(g, size);
    if (size == 8) random_byte(g, 0x48); /* any_size() gives 8 in 64-bit code only */
    random_byte(g, sized(op, size));
}

static void gen_jump(Gen *g)
{
    CpuTestUnit *u = g->u;

    unsigned rel = g->is16 ? 2 : 4;

    u->skip = (int)random_below(g, 4);
    u->skip_bytes = rel;
    switch (random_below(g, 6)) {
    case 0: /* JMP */ random_byte(g, 0xe9), random_bytes_of(g, 0, rel); break;
    case 1: /* CALL */ random_byte(g, 0xe8), random_bytes_of(g, 0, rel); break;
    case 2: /* LOOP JRCXZ over a JMP */
        if (random_chance(g, 50)) random_set_register(g, X86_RCX, random_below(g, 3));
        random_byte(g, 0xe0 + random_below(g, 4)), random_byte(g, 2);
        random_byte(g, 0xeb), random_byte(g, 1 + rel);
        random_byte(g, 0xe9), random_bytes_of(g, 0, rel);
        break;
    default:
        random_byte(g, 0x0f), random_byte(g, 0x80 | random_below(g, 16)),
            random_bytes_of(g, 0, rel);
        break;
    }
}

/* LEA register, [end of unit]; then JMP, CALL or PUSH and RET. */
static void gen_jump_indirect(Gen *g)
{
    unsigned reg = random_any_register(g), how = random_below(g, 3), at, call_end = 0;

    if (g->is32) { /* CALL next; POP; ADD */
        random_byte(g, 0xe8), random_bytes_of(g, 0, g->is16 ? 2 : 4);
        call_end = g->u->size;
        random_byte(g, 0x58 | reg);
        random_byte(g, 0x83), random_byte(g, 0xc0 | reg);
        at = g->u->size;
        random_byte(g, 0);
    } else {
        random_byte(g, 0x48 | (reg & 8) >> 1), random_byte(g, 0x8d),
            random_byte(g, 0x05 | (reg & 7) << 3);
        at = g->u->size;
        random_bytes_of(g, 0, 4);
    }
    if (how == 2) {
        rex(g, false, reg), random_byte(g, 0x50 | (reg & 7));
        if (random_chance(g, 50)) random_byte(g, 0xc3);
        else random_byte(g, 0xc2), random_bytes_of(g, 8 * random_below(g, 4), 2);
    } else {
        rex(g, false, reg), random_byte(g, 0xff), random_byte(g, (how ? 0xd0 : 0xe0) | (reg & 7));
    }
    if (g->is32) g->u->bytes[at] = (uint8_t)(g->u->size - call_end);
    else g->u->bytes[at] = (uint8_t)(g->u->size - at - 4);
}

/* A store to the instruction that follows, or to one further on. */
static void gen_self_modify(Gen *g)
{
    unsigned between = random_below(g, 3), reg = random_any_register(g);

    if (g->is32) return;
    random_byte(g, 0xc6), random_byte(g, 0x05), random_bytes_of(g, 2 + 3 * between, 4),
        random_byte(g, g_rand_int(g->rand) & 0xff);
    for (unsigned i = 0; i < between; i++)
        random_byte(g, 0x48), random_byte(g, 0xff),
            random_byte(g, 0xc0 | (random_below(g, 4))); /* INC */
    random_byte(g, 0x40 | reg >> 3), random_byte(g, 0xb8 | (reg & 7)),
        random_bytes_of(g, g_rand_int(g->rand), 4);
}

/* ---- 32-bit code only ------------------------------------------------------------------------ */

static void gen_incdec_short(Gen *g)
{
    if (random_chance(g, 30)) random_byte(g, 0x66);
    random_byte(g, (random_chance(g, 50) ? 0x40 : 0x48) | random_any_register(g));
}

static void gen_decimal(Gen *g)
{
    switch (random_below(g, 6)) {
    case 0:
        random_byte(g, 0x27);
        random_clear_flags(g, O);
        break;
    case 1:
        random_byte(g, 0x2f);
        random_clear_flags(g, O);
        break;
    case 2:
        random_byte(g, 0x37);
        random_clear_flags(g, O | S | Z | P);
        break;
    case 3:
        random_byte(g, 0x3f);
        random_clear_flags(g, O | S | Z | P);
        break;
    case 4:
        random_byte(g, 0xd4), random_byte(g, random_chance(g, 90) ? 10 : random_below(g, 256));
        random_clear_flags(g, O | A | C);
        break;
    default:
        random_byte(g, 0xd5), random_byte(g, random_chance(g, 80) ? 10 : random_below(g, 256));
        random_clear_flags(g, O | A | C);
        break;
    }
}

static void gen_rare(Gen *g)
{
    Enc e = { .size = 4, .reg = random_any_register(g) };
    uint64_t at;

    switch (random_below(g, 8)) {
    case 0: random_byte(g, 0x60); break; /* PUSHA */
    case 1: random_byte(g, 0x61); break;
    case 2: random_byte(g, 0x66), random_byte(g, g->is16 ? 0x61 : 0x60 + random_below(g, 2)); break;
    case 3: random_byte(g, 0xd6); break; /* SALC */
    case 4: random_byte(g, 0xce); break; /* INTO */
    /* PUSH ES, CS, SS, DS: some processors leave the slot's upper half as it was, so zero it */
    case 5:
        if (!g->is16) {
            random_byte(g, 0x6a), random_byte(g, 0);
            random_byte(g, 0x8d), random_bytes_of(g, 0x042464, 3); /* LEA ESP, [ESP + 4] */
        }
        random_byte(g, 0x06 + 8 * random_below(g, 4));
        break;
    case 6: /* BOUND: not half of it in the data, for the first bound may decide alone */
        e.op = 0x62;
        at = random_data_address(g, 8);
        if (at < CPU_TEST_DATA + CPU_TEST_DATA_SIZE)
            at = MIN(at, CPU_TEST_DATA + CPU_TEST_DATA_SIZE - 8);
        e.mem = random_memory_at(g, at);
        random_encode(g, &e);
        break;
    default: /* LEA with 16-bit addressing */
        if (!g->is16) random_byte(g, 0x67);
        random_byte(g, 0x8d),
            random_byte(g, 0x40 | (random_any_register(g) << 3) | random_below(g, 8));
        random_byte(g, random_below(g, 256));
        break;
    }
}

static void gen_undefined(Gen *g)
{
    random_byte(g, 0x0f), random_byte(g, 0x0b);
}

/* ---- All ------------------------------------------------------------------------------------- */

static const struct {
    unsigned weight;
    void (*fn)(Gen *g);
} templates[] = {
    { 24, gen_alu },
    { 6, gen_test },
    { 12, gen_mov },
    { 4, gen_mov_special },
    { 8, gen_unary },
    { 14, gen_shift },
    { 5, gen_shift_double },
    { 8, gen_multiply },
    { 5, gen_divide },
    { 7, gen_extend },
    { 6, gen_lea },
    { 7, gen_exchange },
    { 2, gen_cmpxchg_wide },
    { 8, gen_bits },
    { 3, gen_scan },
    { 6, gen_extensions },
    { 8, gen_conditional },
    { 5, gen_simple },
    { 5, gen_push_pop },
    { 4, gen_stack_frames },
    { 1, gen_xlat },
    { 5, gen_string },
    { 8, gen_jump },
    { 3, gen_jump_indirect },
    { 1, gen_self_modify },
    /* 32-bit code */
    { 4, gen_incdec_short },
    { 4, gen_decimal },
    { 4, gen_rare },
};
enum { ONLY_32 = 3 }; /* at the end of templates */

void cpu_test_generate(CpuTestUnit *u, GRand *rand, unsigned code, bool vector)
{
    bool is32 = code != X86_CODE_64;
    Gen g = { u, rand, is32, code == X86_CODE_16 };
    unsigned total = 0, pick;

    *u = (CpuTestUnit){ .skip = -1 };
    for (unsigned i = 0; i < G_N_ELEMENTS(templates) - (is32 ? 0 : ONLY_32); i++)
        total += templates[i].weight;
    if (random_below(&g, 500) == 0) {
        gen_undefined(&g);
        return;
    }
    if (vector && random_chance(&g, 80)) {
        random_vector(&g);
        return;
    }
    pick = random_below(&g, total);
    for (unsigned i = 0;; pick -= templates[i++].weight) {
        if (pick < templates[i].weight) {
            templates[i].fn(&g);
            return;
        }
    }
}

size_t cpu_test_assemble(const CpuTestUnit *units, unsigned n, uint64_t offset, uint8_t *out)
{
    size_t start[CPU_TEST_UNITS + 8], size = 0;

    for (unsigned i = 0; i < n; i++) {
        start[i] = size;
        memcpy(out + size, units[i].bytes, units[i].size);
        size += units[i].size;
    }
    start[n] = size;
    out[size++] = 0xcc;
    for (unsigned i = 0; i < n; i++) {
        const CpuTestUnit *u = &units[i];
        if (u->rip_at) {
            uint64_t end = CPU_TEST_CODE + offset + start[i] + u->rip_end;
            int32_t disp = (int32_t)(u->target - end);
            memcpy(out + start[i] + u->rip_at, &disp, 4);
        }
        if (u->skip >= 0) {
            unsigned to = MIN(i + 1 + (unsigned)u->skip, n);
            int32_t rel = (int32_t)(start[to] - start[i + 1]);
            memcpy(out + start[i + 1] - u->skip_bytes, &rel, u->skip_bytes);
        }
    }
    return size;
}
