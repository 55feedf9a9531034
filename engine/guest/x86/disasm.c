/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/guest/x86/disasm.c - instructions as text in Intel's syntax, from the decode table */
#include "engine/guest/x86/disasm.h"

#include "engine/guest/x86/cpu.h"
#include "engine/guest/x86/decode.h"

#include <inttypes.h>

static const char *const names64[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const names32[16] = { "eax",  "ecx",  "edx",  "ebx", "esp",  "ebp",
                                         "esi",  "edi",  "r8d",  "r9d", "r10d", "r11d",
                                         "r12d", "r13d", "r14d", "r15d" };
static const char *const names16[16] = { "ax",   "cx",   "dx",   "bx",  "sp",   "bp",
                                         "si",   "di",   "r8w",  "r9w", "r10w", "r11w",
                                         "r12w", "r13w", "r14w", "r15w" };
static const char *const names8[16] = {
    "al",  "cl",  "dl",   "bl",   "spl",  "bpl",  "sil",  "dil",
    "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"
};
static const char *const names_high[4] = { "ah", "ch", "dh", "bh" };
static const char *const names_seg[8] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static const char *gpr(unsigned reg, unsigned bytes)
{
    reg &= 15;
    return bytes == 1   ? names8[reg]
           : bytes == 2 ? names16[reg]
           : bytes == 4 ? names32[reg]
                        : names64[reg];
}

static const char *pointer_size(unsigned bytes)
{
    switch (bytes) {
    case 1: return "BYTE PTR ";
    case 2: return "WORD PTR ";
    case 4: return "DWORD PTR ";
    case 6: return "FWORD PTR ";
    case 8: return "QWORD PTR ";
    case 10: return "TBYTE PTR ";
    case 16: return "XMMWORD PTR ";
    default: return "";
    }
}

static void put_memory(GString *s, const X86Insn *i, uint64_t next_pc)
{
    bool any = false;

    if (i->seg_override) g_string_append_printf(s, "%s:", names_seg[i->seg]);
    if (i->rip_relative) {
        g_string_append_printf(s, "[rip%+" PRId64 "] # 0x%" PRIx64, (int64_t)i->disp,
                               next_pc + i->disp);
        return;
    }
    g_string_append_c(s, '[');
    if (i->base != X86_NO_REG) {
        g_string_append(s, gpr(i->base, i->asize));
        any = true;
    }
    if (i->index != X86_NO_REG) {
        g_string_append_printf(s, "%s%s", any ? "+" : "", gpr(i->index, i->asize));
        if (i->asize != 2) g_string_append_printf(s, "*%u", 1u << i->scale);
        any = true;
    }
    if (!any)
        g_string_append_printf(s, "0x%" PRIx64, i->asize == 8 ? i->disp : i->disp & UINT32_MAX);
    else if (i->disp)
        g_string_append_printf(s, "%s0x%" PRIx64, (int64_t)i->disp < 0 ? "-" : "+",
                               (int64_t)i->disp < 0 ? -i->disp : i->disp);
    g_string_append_c(s, ']');
}

static void put_string_operand(GString *s, const X86Insn *i, const X86Operand *op)
{
    const char *seg = op->reg == X86_RDI ? "es" : names_seg[i->seg];

    g_string_append_printf(s, "%s%s:[%s]", pointer_size(op->size), seg, gpr(op->reg, i->asize));
}

static void put_operand(GString *s, const X86Insn *i, unsigned n, uint64_t next_pc)
{
    const X86Operand *op = &i->op[n];
    uint64_t mask = op->size >= 8 || op->size == 0 ? UINT64_MAX : (1ULL << (8 * op->size)) - 1;

    switch (op->kind) {
    case X86_KIND_GPR: g_string_append(s, gpr(op->reg, op->size)); break;
    case X86_KIND_HIGH: g_string_append(s, names_high[op->reg & 3]); break;
    case X86_KIND_MEM:
        g_string_append(s, pointer_size(op->size));
        put_memory(s, i, next_pc);
        break;
    case X86_KIND_IMM:
        g_string_append_printf(s, "0x%" PRIx64,
                               (n == 1 && i->op[0].kind == X86_KIND_IMM ? i->selector : i->imm) &
                                   mask);
        break;
    case X86_KIND_REL: {
        uint64_t target = next_pc + i->imm;
        target = i->osize == 2 ? (uint16_t)target : i->osize == 4 ? (uint32_t)target : target;
        g_string_append_printf(s, "0x%" PRIx64, target);
        break;
    }
    case X86_KIND_FAR: g_string_append_printf(s, "0x%x:0x%" PRIx64, i->selector, i->imm); break;
    case X86_KIND_SEG: g_string_append(s, names_seg[op->reg & 7]); break;
    case X86_KIND_CR: g_string_append_printf(s, "cr%u", op->reg); break;
    case X86_KIND_DR: g_string_append_printf(s, "dr%u", op->reg); break;
    case X86_KIND_MMX: g_string_append_printf(s, "mm%u", op->reg); break;
    case X86_KIND_XMM: g_string_append_printf(s, "xmm%u", op->reg); break;
    case X86_KIND_ST:
        if (i->row->operand[n] >> 8 == X86_METHOD_ST) g_string_append(s, "st");
        else g_string_append_printf(s, "st(%u)", op->reg);
        break;
    case X86_KIND_STRING: put_string_operand(s, i, op); break;
    default: break;
    }
}

unsigned x86_disassemble_one(GString *s, const uint8_t *bytes, unsigned n, uint64_t pc,
                             unsigned code)
{
    X86Insn i;
    bool compares;
    const char *name;

    if (x86_decode(&i, bytes, n, code) != X86_DECODE_OK) {
        g_string_append(s, "(bad)");
        return i.length ? i.length : 1;
    }
    name = x86_mnemonic(i.row);
    compares = g_str_equal(name, "cmps") || g_str_equal(name, "scas");
    if (i.lock) g_string_append(s, "lock ");
    if (i.rep && (i.op[0].kind == X86_KIND_STRING || i.op[1].kind == X86_KIND_STRING))
        g_string_append(s, i.rep == X86_REP_REPNE ? "repnz " : compares ? "repz " : "rep ");
    g_string_append(s, name);
    for (unsigned k = 0; k < 4 && i.op[k].kind; k++) {
        g_string_append_c(s, k ? ',' : ' ');
        put_operand(s, &i, k, pc + i.length);
    }
    return i.length;
}
