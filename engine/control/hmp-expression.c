/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/hmp-expression.c - values in the human monitor: numbers, $registers, C's operators
 *
 * 64-bit arithmetic that wraps; * / % bind before + - and those before & ^ |. */
#include "engine/control/control-private.h"
#include "engine/guest/x86/cpu.h"

#include <string.h>

enum { MAX_DEPTH = 32 };

typedef struct {
    HmpContext *h;
    const char *at;
    unsigned    depth;
    GError    **error;
} Parser;

static bool fail(Parser *p, const char *what)
{
    if (p->error && !*p->error)
        g_set_error(p->error, CONTROL_ERROR, CONTROL_ERROR_GENERIC, "%s at '%s'", what, p->at);
    return false;
}

static void skip(Parser *p)
{
    p->at += strspn(p->at, " \t");
}

/* ---- Registers ------------------------------------------------------------------------------- */

typedef struct { const char *name; size_t length; uint64_t value; bool found; } Ask;

static void ask(VitCpu *cpu, void *opaque)
{
    const X86Cpu *x = (const X86Cpu *) cpu;
    static const char *const gpr[] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };
    const struct { const char *name; uint64_t value; } others[] = {
        { "pc", x->rip + x->seg[X86_CS].base }, { "rip", x->rip }, { "eip", (uint32_t) x->rip },
        { "eflags", x86_get_eflags(x) }, { "cr0", x->cr0 }, { "cr2", x->cr2 }, { "cr3", x->cr3 },
        { "cr4", x->cr4 }, { "efer", x->efer },
        { "cs", x->seg[X86_CS].base }, { "ds", x->seg[X86_DS].base }, { "es", x->seg[X86_ES].base },
        { "ss", x->seg[X86_SS].base }, { "fs", x->seg[X86_FS].base }, { "gs", x->seg[X86_GS].base },
    };
    Ask *a = opaque;
    g_autofree char *name = g_strndup(a->name, a->length);

    a->found = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(gpr); i++) {
        if (a->length == 3 && (name[0] == 'r' || name[0] == 'e') && !strcmp(name + 1, gpr[i])) {
            a->value = name[0] == 'r' ? x->gpr[i] : (uint32_t) x->gpr[i];
            return;
        }
    }
    for (unsigned i = 8; i < 16; i++) {
        g_autofree char *wide = g_strdup_printf("r%u", i);
        if (!strcmp(name, wide)) {
            a->value = x->gpr[i];
            return;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (!strcmp(name, others[i].name)) {
            a->value = others[i].value;
            return;
        }
    }
    a->found = false;
}

static bool get_register(Parser *p, uint64_t *value)
{
    VitCpu *cpu = control_cpu(p->h->control, p->h->cpu, p->error);
    Ask a = { .name = p->at, .length = 0 };

    while (g_ascii_isalnum(p->at[a.length]))
        a.length++;
    if (!cpu)
        return false;
    vit_cpu_call_sync(cpu, ask, &a);
    if (!a.found)
        return fail(p, "there is no such register");
    p->at += a.length;
    *value = a.value;
    return true;
}

/* ---- Grammar --------------------------------------------------------------------------------- */

static bool bits(Parser *p, uint64_t *value);

static bool unary(Parser *p, uint64_t *value)
{
    bool good;
    char op;

    skip(p);
    op = *p->at;
    if (g_ascii_isdigit(op)) {
        char *end;
        *value = g_ascii_strtoull(p->at, &end, 0);
        p->at = end;
        return !g_ascii_isalnum(*p->at) || fail(p, "not a number");
    }
    if (op != '$' && op != '-' && op != '+' && op != '~' && op != '(')
        return fail(p, *p->at ? "no value" : "a value is missing");
    if (++p->depth > MAX_DEPTH)
        return fail(p, "nested too deeply");
    p->at++;
    good = op == '$' ? get_register(p, value) : op == '(' ? bits(p, value) : unary(p, value);
    p->depth--;
    if (!good)
        return false;
    if (op == '-')
        *value = -*value;
    if (op == '~')
        *value = ~*value;
    skip(p);
    if (op == '(' && *p->at++ != ')') {
        p->at--;
        return fail(p, "a ) is missing");
    }
    return true;
}

static bool apply(Parser *p, char op, uint64_t *value, uint64_t right)
{
    switch (op) {
    case '*': *value *= right; return true;
    case '+': *value += right; return true;
    case '-': *value -= right; return true;
    case '&': *value &= right; return true;
    case '|': *value |= right; return true;
    case '^': *value ^= right; return true;
    }
    if (!right)
        return fail(p, "division by zero");
    *value = op == '/' ? *value / right : *value % right;
    return true;
}

/* Operands with any of ops between them, taken from the left. */
static bool chain(Parser *p, const char *ops, bool (*operand)(Parser *, uint64_t *),
                  uint64_t *value)
{
    uint64_t right;

    if (!operand(p, value))
        return false;
    for (;;) {
        skip(p);
        char op = *p->at;
        if (!op || !strchr(ops, op))
            return true;
        p->at++;
        if (!operand(p, &right) || !apply(p, op, value, right))
            return false;
    }
}

static bool product(Parser *p, uint64_t *value)
{
    return chain(p, "*/%", unary, value);
}

static bool sum(Parser *p, uint64_t *value)
{
    return chain(p, "+-", product, value);
}

static bool bits(Parser *p, uint64_t *value)
{
    return chain(p, "&|^", sum, value);
}

bool hmp_evaluate(HmpContext *h, const char *text, uint64_t *value, const char **rest,
                  GError **error)
{
    g_autoptr(GError) own = NULL;
    Parser p = { .h = h, .at = text, .error = &own };

    if (!bits(&p, value)) {
        g_propagate_error(error, g_steal_pointer(&own));
        return false;
    }
    skip(&p);
    *rest = p.at;
    return true;
}
