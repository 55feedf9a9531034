/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/decode.c - decodes one instruction in a single pass (Intel SDM vol. 2, chapter
 * 2)
 *
 * Prefixes, opcode map, ModRM; then the first row whose masked key matches; then its operands. */
#include "engine/guest/x86/decode.h"

#include "engine/guest/x86/cpuid.h"
#include "engine/guest/x86/helpers-int.h"
#include "engine/guest/x86/x86-lifters.h"

typedef struct {
    uint16_t first;
    uint8_t count, modrm;
} X86OpcodeEntry;

#include "engine/guest/x86/x86-table.h"

const char *x86_mnemonic(const X86Row *row)
{
    return mnemonics + row->mnemonic;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

typedef struct {
    X86Insn *insn;
    const uint8_t *at, *end;
    unsigned code;
    bool is_short;
} Reader;

static uint64_t take(Reader *r, unsigned n) /* little-endian, zero-extended */
{
    uint64_t v = 0;

    if ((unsigned)(r->end - r->at) < n) {
        r->is_short = true;
        r->at = r->end;
        return 0;
    }
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)r->at[i] << (8 * i);
    r->at += n;
    return v;
}

static uint64_t take_signed(Reader *r, unsigned n)
{
    unsigned unused = 64 - 8 * n;
    return (uint64_t)((int64_t)(take(r, n) << unused) >> unused);
}

/* Prefixes; returns the first opcode byte. */
static uint8_t take_prefixes(Reader *r, bool *address_prefix)
{
    X86Insn *insn = r->insn;

    for (;;) {
        uint8_t b = (uint8_t)take(r, 1);

        if (r->is_short) return 0;
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (r->code != X86_CODE_64) {
                insn->seg = b >> 3 & 3;
                insn->seg_override = true;
            }
            break;
        case 0x64:
        case 0x65:
            insn->seg = b & 7; /* X86_FS, X86_GS */
            insn->seg_override = true;
            break;
        case 0x66: insn->osize_prefix = true; break;
        case 0x67: *address_prefix = true; break;
        case 0xf0: insn->lock = true; break;
        case 0xf2:
        case 0xf3: insn->rep = b; break;
        default:
            if (r->code != X86_CODE_64 || (b & 0xf0) != 0x40) return b;
            insn->rex = b;
            continue;
        }
        insn->rex = 0; /* REX counts only directly before the opcode */
    }
}

/* ---- ModRM: memory --------------------------------------------------------------------------- */

static void memory16(Reader *r)
{
    static const uint8_t bases[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
    static const uint8_t indexes[4] = { 6, 7, 6, 7 };
    X86Insn *insn = r->insn;
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    if (mod == 0 && rm == 6) {
        insn->disp = take_signed(r, 2);
        return;
    }
    insn->base = bases[rm];
    if (rm < 4) insn->index = indexes[rm];
    if (!insn->seg_override && insn->base == 5) insn->seg = 2; /* SS */
    if (mod) insn->disp = take_signed(r, mod);
}

static void memory(Reader *r)
{
    X86Insn *insn = r->insn;
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    insn->base = insn->index = X86_NO_REG;
    if (insn->asize == 2) {
        memory16(r);
        return;
    }
    if (rm == 4) {
        uint8_t sib = (uint8_t)take(r, 1);
        unsigned index = (sib >> 3 & 7) | (insn->rex & 2) << 2;

        insn->scale = sib >> 6;
        if (index != 4) insn->index = (uint8_t)index;
        rm = sib & 7;
        if (mod == 0 && rm == 5) {
            insn->disp = take_signed(r, 4);
            return;
        }
    } else if (mod == 0 && rm == 5) {
        insn->disp = take_signed(r, 4);
        insn->rip_relative = r->code == X86_CODE_64;
        return;
    }
    insn->base = (uint8_t)(rm | (insn->rex & 1) << 3);
    if (!insn->seg_override && (insn->base == 4 || insn->base == 5)) insn->seg = 2; /* SS */
    if (mod == 1) insn->disp = take_signed(r, 1);
    else if (mod == 2) insn->disp = take_signed(r, 4);
}

/* ---- Operands -------------------------------------------------------------------------------- */

static unsigned width_bytes(const X86Insn *insn, unsigned width)
{
    switch (width) {
    case X86_WIDTH_B:
    case X86_WIDTH_BS: return 1;
    case X86_WIDTH_W: return 2;
    case X86_WIDTH_D: return 4;
    case X86_WIDTH_Q: return 8;
    case X86_WIDTH_X: return 16;
    case X86_WIDTH_T: return 10;
    case X86_WIDTH_V: return insn->osize;
    case X86_WIDTH_Z: return insn->osize == 2 ? 2 : 4;
    case X86_WIDTH_Y: return insn->rex & 8 ? 8 : 4;
    case X86_WIDTH_P: return insn->osize + 2u;
    case X86_WIDTH_A: return insn->osize * 2u;
    default: return 0;
    }
}

static void set_gpr(const X86Insn *insn, X86Operand *op, unsigned reg)
{
    if (op->size == 1 && !insn->rex && reg >= 4) {
        op->kind = X86_KIND_HIGH;
        op->reg = (uint8_t)(reg - 4);
    } else {
        op->kind = X86_KIND_GPR;
        op->reg = (uint8_t)reg;
    }
}

static void set_reg(X86Operand *op, X86Kind kind, unsigned reg)
{
    op->kind = (uint8_t)kind;
    op->reg = (uint8_t)reg;
}

static void take_immediate(Reader *r, X86Operand *op, unsigned width)
{
    X86Insn *insn = r->insn;

    op->kind = X86_KIND_IMM;
    switch (width) {
    case X86_WIDTH_Z:
        insn->imm = take_signed(r, op->size);
        op->size = insn->osize;
        break;
    case X86_WIDTH_BS:
        insn->imm = take_signed(r, 1);
        op->size = insn->osize;
        break;
    case X86_WIDTH_V: insn->imm = take_signed(r, op->size); break;
    default: {
        uint64_t v = take(r, op->size);
        if (insn->op[0].kind == X86_KIND_IMM && op != &insn->op[0])
            insn->selector = (uint16_t)v; /* ENTER */
        else insn->imm = v;
    }
    }
}

static void take_operand(Reader *r, unsigned i, unsigned opcode)
{
    X86Insn *insn = r->insn;
    X86Operand *op = &insn->op[i];
    unsigned code = insn->row->operand[i], width = code >> 4 & 15, method = code >> 8;
    bool is_mem = insn->modrm < 0xc0;
    unsigned reg = (insn->modrm >> 3 & 7) | (insn->rex & 4) << 1;
    unsigned rm = (insn->modrm & 7) | (insn->rex & 1) << 3;

    op->size = (uint8_t)width_bytes(insn, width);
    if (width == X86_WIDTH_Q && r->code != X86_CODE_64 &&
        (method == X86_METHOD_R || method == X86_METHOD_G || method == X86_METHOD_C ||
         method == X86_METHOD_D))
        op->size = 4;
    switch (method) {
    case X86_METHOD_E:
        if (is_mem) op->kind = X86_KIND_MEM;
        else set_gpr(insn, op, rm);
        break;
    case X86_METHOD_G: set_gpr(insn, op, reg); break;
    case X86_METHOD_R: set_gpr(insn, op, rm); break;
    case X86_METHOD_M:
    case X86_METHOD_O: op->kind = X86_KIND_MEM; break;
    case X86_METHOD_Z: set_gpr(insn, op, (opcode & 7) | (insn->rex & 1) << 3); break;
    case X86_METHOD_S: set_reg(op, X86_KIND_SEG, reg & 7); break;
    case X86_METHOD_C: set_reg(op, X86_KIND_CR, reg); break;
    case X86_METHOD_D: set_reg(op, X86_KIND_DR, reg); break;
    case X86_METHOD_I: take_immediate(r, op, width); break;
    case X86_METHOD_J:
        op->kind = X86_KIND_REL;
        insn->imm = take_signed(r, op->size);
        break;
    case X86_METHOD_A:
        op->kind = X86_KIND_FAR;
        insn->imm = take(r, insn->osize);
        insn->selector = (uint16_t)take(r, 2);
        break;
    case X86_METHOD_X: set_reg(op, X86_KIND_STRING, 6); break;
    case X86_METHOD_Y: set_reg(op, X86_KIND_STRING, 7); break;
    case X86_METHOD_P: set_reg(op, X86_KIND_MMX, reg & 7); break;
    case X86_METHOD_Q:
        set_reg(op, is_mem ? X86_KIND_MEM : X86_KIND_MMX, is_mem ? 0 : rm & 7);
        break;
    case X86_METHOD_N: set_reg(op, X86_KIND_MMX, rm & 7); break;
    case X86_METHOD_V: set_reg(op, X86_KIND_XMM, reg); break;
    case X86_METHOD_W: set_reg(op, is_mem ? X86_KIND_MEM : X86_KIND_XMM, is_mem ? 0 : rm); break;
    case X86_METHOD_U: set_reg(op, X86_KIND_XMM, rm); break;
    case X86_METHOD_FIXED: set_reg(op, X86_KIND_GPR, code & 15); break;
    case X86_METHOD_ONE:
        op->kind = X86_KIND_IMM;
        insn->imm = 1;
        break;
    case X86_METHOD_ST: set_reg(op, X86_KIND_ST, 0); break;
    case X86_METHOD_STI: set_reg(op, X86_KIND_ST, rm & 7); break;
    case X86_METHOD_XMM: set_reg(op, X86_KIND_XMM, 0); break;
    case X86_METHOD_SEG: set_reg(op, X86_KIND_SEG, code & 15); break;
    default: break;
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void set_sizes(Reader *r, bool address_prefix)
{
    X86Insn *insn = r->insn;

    if (r->code == X86_CODE_64) {
        insn->asize = address_prefix ? 4 : 8;
        insn->osize = insn->rex & 8 ? 8 : insn->osize_prefix ? 2 : 4;
    } else {
        insn->asize = (r->code == X86_CODE_32) != address_prefix ? 4 : 2;
        insn->osize = (r->code == X86_CODE_32) != insn->osize_prefix ? 4 : 2;
    }
}

static uint32_t make_key(const Reader *r, bool has_modrm)
{
    const X86Insn *insn = r->insn;
    uint32_t prefix = insn->rep == 0xf3 ? 2 : insn->rep == 0xf2 ? 3 : insn->osize_prefix ? 1 : 0;
    uint32_t key = prefix << 9 | (uint32_t)(r->code == X86_CODE_64) << 11 |
                   (insn->osize >> 2u) << 12 | (insn->asize >> 2u) << 14 | (insn->rex & 1u) << 16;

    if (has_modrm) key |= insn->modrm | (insn->modrm < 0xc0 ? 0x100u : 0);
    return key;
}

static const X86Row *find_row(const X86OpcodeEntry *entry, uint32_t key)
{
    const X86Row *row = &rows[entry->first];

    for (unsigned i = 0; i < entry->count; i++, row++) {
        if ((key & row->mask) == row->value) return row;
    }
    return NULL;
}

X86DecodeResult x86_decode(X86Insn *insn, const uint8_t *bytes, unsigned n, unsigned code)
{
    Reader r = { insn, bytes, bytes + n, code, false };
    bool address_prefix = false;
    unsigned map = 0;

    *insn = (X86Insn){ .seg = 3, .base = X86_NO_REG, .index = X86_NO_REG };
    uint8_t opcode = take_prefixes(&r, &address_prefix);
    if (opcode == 0x0f) {
        opcode = (uint8_t)take(&r, 1);
        map = 1;
        if (opcode == 0x38 || opcode == 0x3a) {
            map = opcode == 0x38 ? 2 : 3;
            opcode = (uint8_t)take(&r, 1);
        }
    }
    set_sizes(&r, address_prefix);
    const X86OpcodeEntry *entry = &opcodes[map][opcode];
    if (entry->modrm) insn->modrm = (uint8_t)take(&r, 1);
    insn->length = (uint8_t)(r.at - bytes);
    if (r.is_short) return X86_DECODE_SHORT;
    insn->row = find_row(entry, make_key(&r, entry->modrm));
    if (!insn->row) return X86_DECODE_BAD;
    if (code == X86_CODE_64) {
        if (insn->row->attributes & X86_ATTRIBUTE_F64) insn->osize = 8;
        else if ((insn->row->attributes & X86_ATTRIBUTE_D64) && insn->osize == 4) insn->osize = 8;
    }
    if (entry->modrm && insn->modrm < 0xc0 && insn->row->operand[0] >> 8 != X86_METHOD_R &&
        insn->row->operand[1] >> 8 != X86_METHOD_R)
        memory(&r);
    if (insn->row->operand[0] >> 8 == X86_METHOD_O || insn->row->operand[1] >> 8 == X86_METHOD_O)
        insn->disp = take(&r, insn->asize);
    for (unsigned i = 0; i < 4 && insn->row->operand[i]; i++) take_operand(&r, i, opcode);
    insn->length = (uint8_t)(r.at - bytes);
    return r.is_short ? X86_DECODE_SHORT : X86_DECODE_OK;
}
