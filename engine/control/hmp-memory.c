/* SPDX-License-Identifier: GPL-3.0-or-later */
/* engine/control/hmp-memory.c - the human monitor's x, xp and print (formats as in gdb)
 *
 * /COUNT, then letters: x hex, d signed, u unsigned, o octal, c characters, i instructions; b h w g
 * for 1, 2, 4 and 8 bytes. */
#include "engine/control/control-private.h"

#include "engine/cpu/isa.h"

#include <string.h>

enum { MAX_COUNT = 4096, MAX_INSTRUCTIONS = 512 };

typedef struct { unsigned count, size; char kind; } Format;

static bool fail(GError **error, const char *text)
{
    g_set_error_literal(error, CONTROL_ERROR, CONTROL_ERROR_GENERIC, text);
    return false;
}

static bool parse_format(const char **args, Format *f, GError **error)
{
    static const char sizes[] = "bhwg";
    const char *p = *args;

    if (*p++ != '/')
        return true;
    if (g_ascii_isdigit(*p)) {
        char *end;
        guint64 count = g_ascii_strtoull(p, &end, 10);
        p = end;
        if (count > MAX_COUNT)
            return fail(error, "at most 4096 at once");
        f->count = (unsigned) count;
    }
    for (; *p && *p != ' ' && *p != '\t'; p++) {
        const char *size = strchr(sizes, *p);
        if (size)
            f->size = 1u << (size - sizes);
        else if (strchr("xduoci", *p))
            f->kind = *p;
        else
            return fail(error, "/FMT: a count, then of x d u o c i and b h w g");
    }
    *args = p + strspn(p, " \t");
    return true;
}

static void print_value(GString *out, const Format *f, uint64_t value)
{
    unsigned width = f->size * 8;
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    int64_t negative = (int64_t) (value << (64 - width)) >> (64 - width);

    value &= mask;
    switch (f->kind) {
    case 'd':
        g_string_append_printf(out, "%" G_GINT64_FORMAT, negative);
        break;
    case 'u':
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, value);
        break;
    case 'o':
        g_string_append_printf(out, "0%" G_GINT64_MODIFIER "o", value);
        break;
    case 'c':
        if (value >= ' ' && value < 0x7f)
            g_string_append_printf(out, "'%c'", (char) value);
        else
            g_string_append_printf(out, "'\\x%02" G_GINT64_MODIFIER "x'", value & 0xff);
        break;
    default:
        g_string_append_printf(out, "0x%0*" G_GINT64_MODIFIER "x", (int) f->size * 2, value);
    }
}

typedef struct { uint64_t addr; unsigned n; char *text; } Disassembly;

static void disassemble(VitCpu *cpu, void *opaque)
{
    Disassembly *d = opaque;

    bool reachable = cpu->mode & VIT_MODE_WIDE || d->addr <= UINT32_MAX;
    if (cpu->isa->disassemble && reachable)     /* it counts from the code segment's base */
        d->text = cpu->isa->disassemble(cpu, d->addr - (cpu->mode >> 32), d->n);
}

static bool show_instructions(HmpContext *h, uint64_t addr, unsigned count, GError **error)
{
    VitCpu *cpu = control_cpu(h->control, h->cpu, error);
    Disassembly d = { .addr = addr, .n = MIN(count, MAX_INSTRUCTIONS) };

    if (!cpu)
        return false;
    vit_cpu_call_sync(cpu, disassemble, &d);
    g_autofree char *text = d.text;
    if (!text)
        return fail(error, "no memory is mapped there");
    g_string_append(h->out, text);
    if (!g_str_has_suffix(text, "\n"))
        g_string_append_c(h->out, '\n');
    return true;
}

static bool show(HmpContext *h, const char *args, bool physical, GError **error)
{
    Format f = { .count = 1, .size = 4, .kind = 'x' };
    VitCpu *cpu = NULL;
    const char *rest;
    uint64_t addr;

    if (!parse_format(&args, &f, error) || !hmp_evaluate(h, args, &addr, &rest, error))
        return false;
    if (*rest)
        return fail(error, "there is something after the address");
    if (f.kind == 'i') {
        if (physical)
            return fail(error, "instructions are shown by x, at linear addresses");
        return show_instructions(h, addr, f.count, error);
    }
    if (!physical && !(cpu = control_cpu(h->control, h->cpu, error)))
        return false;
    unsigned per_line = f.kind == 'c' ? 16
                        : f.size == 8 ? 2
                        : f.size == 4 ? 4
                        : f.size == 2 ? 8
                                      : 16;
    for (unsigned i = 0; i < f.count; i++, addr += f.size) {
        uint64_t value = 0;
        if (i % per_line == 0)
            g_string_append_printf(h->out, "%016" G_GINT64_MODIFIER "x:", addr);
        if (!control_read_memory(h->control, cpu, addr, &value, f.size)) {
            g_string_append(h->out, " no memory is mapped there\n");
            return true;
        }
        g_string_append_c(h->out, ' ');
        print_value(h->out, &f, value);
        if (i % per_line == per_line - 1 || i == f.count - 1)
            g_string_append_c(h->out, '\n');
    }
    return true;
}

bool hmp_x(HmpContext *h, const char *args, GError **error)
{
    return show(h, args, false, error);
}

bool hmp_xp(HmpContext *h, const char *args, GError **error)
{
    return show(h, args, true, error);
}

bool hmp_print(HmpContext *h, const char *args, GError **error)
{
    Format f = { .count = 1, .size = 8, .kind = 'd' };
    const char *rest;
    uint64_t value;

    if (!parse_format(&args, &f, error) || !hmp_evaluate(h, args, &value, &rest, error))
        return false;
    if (*rest)
        return fail(error, "there is something after the value");
    if (f.kind == 'x')
        g_string_append_printf(h->out, "0x%" G_GINT64_MODIFIER "x", value);
    else if (f.kind == 'i')
        return fail(error, "print shows values; x shows instructions");
    else
        print_value(h->out, &f, value);
    g_string_append_c(h->out, '\n');
    return true;
}
