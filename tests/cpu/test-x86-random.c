/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/cpu/test-x86-random.c - random code on the host's processor and on the translator
 *
 * Everything must agree: registers, flags, memory, the exception and where it came; processors too
 * differ in a few things after a fault, which are named below and counted.  A failure is made as
 * short as it goes and printed.  VIT_CPU_TEST_SEED and VIT_CPU_TEST_COUNT repeat and extend. */
#include "tests/cpu/cpu-test.h"

#include "engine/guest/x86/decode.h"
#include "engine/guest/x86/disasm.h"
#include "engine/jit/jit.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CpuTestUnit units[CPU_TEST_UNITS];
    unsigned n;
    uint64_t offset;            /* of the code */
    CpuTestState start;
    uint8_t data[CPU_TEST_DATA_SIZE];
    bool completed;         /* out: ran to its end without another exception */
    bool tolerated;         /* out: differed in what the manual leaves open */
} Case;

typedef struct {
    CpuTestState end;
    uint8_t data[CPU_TEST_DATA_SIZE];
} Outcome;

/* ---- One case on both ------------------------------------------------------------------------ */

static uint8_t *host_data(void)
{
    return (uint8_t *)(uintptr_t)CPU_TEST_DATA;
}

static void run_host(const Case *c, const uint8_t *code, size_t size, Outcome *o)
{
    memcpy((uint8_t *)(uintptr_t)CPU_TEST_CODE + c->offset, code, size);
    memcpy(host_data(), c->data, CPU_TEST_DATA_SIZE);
    o->end = c->start;
    cpu_test_host_run(&o->end);
    memcpy(o->data, host_data(), CPU_TEST_DATA_SIZE);
}

static void run_guest(CpuTestGuest *g, const Case *c, const uint8_t *code, size_t size, Outcome *o)
{
    cpu_test_guest_set_code(g, c->offset, code, size);
    memcpy(cpu_test_guest_data(g), c->data, CPU_TEST_DATA_SIZE);
    o->end = c->start;
    cpu_test_guest_run(g, &o->end);
    memcpy(o->data, cpu_test_guest_data(g), CPU_TEST_DATA_SIZE);
}

static void differ(GString *s, const char *what, uint64_t host, uint64_t guest)
{
    if (host != guest)
        g_string_append_printf(
            s, "  %s: host %" G_GINT64_MODIFIER "x, translator %" G_GINT64_MODIFIER "x\n", what,
            host, guest);
}

/* What differs, as text; empty when nothing does. */
static void compare(GString *s, const Outcome *h, const Outcome *g)
{
    static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

    differ(s, "exception", (unsigned)h->end.vector, (unsigned)g->end.vector);
    differ(s, "rip", h->end.rip, g->end.rip);
    differ(s, "cr2", h->end.cr2, g->end.cr2);
    if (h->end.vector == X86_PF) differ(s, "error", h->end.error & 7, g->end.error & 7);
    differ(s, "flags", h->end.rflags & CPU_TEST_EFLAGS, g->end.rflags & CPU_TEST_EFLAGS);
    for (unsigned i = 0; i < (h->end.code != X86_CODE_64 ? 8 : 16); i++) {
        uint64_t mask = h->end.code != X86_CODE_64 ? UINT32_MAX : UINT64_MAX;
        if (h->end.code == X86_CODE_16 && i == X86_RSP)
            mask = 0xffff; /* IRET to a 16-bit stack leaves the upper half to chance */
        differ(s, names[i], h->end.gpr[i] & mask, g->end.gpr[i] & mask);
    }
    for (unsigned i = 0; i < (h->end.code != X86_CODE_64 ? 8 : 16); i++) {
        for (unsigned k = 0; k < 2; k++) {
            g_autofree char *name = g_strdup_printf("xmm%u.%u", i, k);
            differ(s, name, h->end.xmm[i].u64[k], g->end.xmm[i].u64[k]);
        }
    }
    differ(s, "mxcsr", h->end.mxcsr, g->end.mxcsr);
    differ(s, "fcw", h->end.fcw, g->end.fcw);
    differ(s, "fsw", h->end.fsw, g->end.fsw);
    differ(s, "ftw", h->end.ftw & 0xff, g->end.ftw & 0xff);
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned k = 0; k < 2; k++) {
            g_autofree char *name = g_strdup_printf("st%u.%u", i, k);
            uint64_t mine = 0, theirs = 0;
            memcpy(&mine, &h->end.x87[i][8 * k], k ? 2 : 8);
            memcpy(&theirs, &g->end.x87[i][8 * k], k ? 2 : 8);
            differ(s, name, mine, theirs);
        }
    }
    for (unsigned i = 0, shown = 0; i < CPU_TEST_DATA_SIZE && shown < 8; i++) {
        if (h->data[i] != g->data[i]) {
            g_autofree char *name = g_strdup_printf("data + %#x", i);
            differ(s, name, h->data[i], g->data[i]);
            shown++;
        }
    }
}

/* ---- What the manual leaves open ------------------------------------------------------------- */

typedef struct { /* what stands where an exception came */
    unsigned op; /* 0xa6, 0x0f7f; 0 when no instruction stands there */
    unsigned bytes; /* of an operand whose size the prefixes tell */
    bool repeated, prefixed; /* F2 or F3; one of 66, F2, F3 */
} Found;

enum { CMPS = 0xa6, SCAS = 0xae, MOVD_STORE = 0x0f7e, MOVQ_STORE = 0x0f7f, MOVNTQ = 0x0fe7 };

static Found find_instruction(const uint8_t *p, const uint8_t *end, unsigned code)
{
    unsigned other = code == X86_CODE_16 ? 4 : 2;
    Found f = { .bytes = code == X86_CODE_16 ? 2 : 4 };

    for (; p < end; p++) {
        if (*p == 0xf2 || *p == 0xf3) f.repeated = f.prefixed = true;
        else if (*p == 0x66) f.bytes = other, f.prefixed = true;
        else if (code == X86_CODE_64 && (*p & 0xf0) == 0x40) f.bytes = *p & 8 ? 8 : f.bytes;
        else if (*p != 0x67 && *p != 0x65 && *p != 0xf0) break;
    }
    if (p + 1 >= end) return f;
    f.op = *p == 0x0f ? 0x0f00 | p[1] : *p;
    return f;
}

/* Whether that is the first byte of an element that lies outside the data. */
static bool faults_at(uint64_t element, unsigned bytes, uint64_t at)
{
    uint64_t end = CPU_TEST_DATA + CPU_TEST_DATA_SIZE;

    if (element < CPU_TEST_DATA || element >= end) return at == element;
    return element + bytes > end && at == end;
}

/* Both elements of a CMPS are outside: either may be the one that faults. */
static bool forget_first_read(Found f, Outcome *h, Outcome *g)
{
    uint64_t from = g->end.gpr[X86_RSI], to = g->end.gpr[X86_RDI];
    uint64_t one = h->end.cr2, other = g->end.cr2;
    unsigned bytes = f.op & 1 ? f.bytes : 1;

    if ((f.op & ~1u) != CMPS || one == other) return false;
    if (!(faults_at(from, bytes, one) && faults_at(to, bytes, other)) &&
        !(faults_at(from, bytes, other) && faults_at(to, bytes, one)))
        return false;
    h->end.cr2 = g->end.cr2 = 0;
    return true;
}

/* A fault within a repeated CMPS or SCAS: Intel (SDM vol. 2, REP) has the flags of before the
 * instruction, other processors leave those of the last comparison. */
static bool forget_compared(Found f, Outcome *h, Outcome *g)
{
    bool compares = (f.op & ~1u) == CMPS || (f.op & ~1u) == SCAS;

    if (!compares || !f.repeated || !((h->end.rflags ^ g->end.rflags) & VIT_FLAG_ALL)) return false;
    h->end.rflags &= ~(uint64_t)VIT_FLAG_ALL;
    g->end.rflags &= ~(uint64_t)VIT_FLAG_ALL;
    return true;
}

/* Turns the registers so that the top of the stack is 0. */
static void turn_to_zero(CpuTestState *s)
{
    unsigned top = s->fsw >> 11 & 7;
    uint8_t turned[8][16];

    for (unsigned i = 0; i < 8; i++) memcpy(turned[(i + top) & 7], s->x87[i], sizeof turned[0]);
    memcpy(s->x87, turned, sizeof turned);
    s->fsw &= (uint16_t)~0x3800;
}

/* An MMX store that faults: some processors have set the top of the x87 stack to 0 by then. */
static bool forget_top(Found f, Outcome *h, Outcome *g)
{
    bool stores = f.op == MOVD_STORE || f.op == MOVQ_STORE || f.op == MOVNTQ;

    if (!stores || f.prefixed || !((h->end.fsw ^ g->end.fsw) & 0x3800)) return false;
    turn_to_zero(&h->end);
    turn_to_zero(&g->end);
    return true;
}

/* What exceptions in the same place leave differently; true when there was such a difference. */
static bool forget_undefined(const Case *c, const uint8_t *code, size_t size, Outcome *h,
                             Outcome *g)
{
    uint64_t at = h->end.rip - c->start.rip;

    if (h->end.vector != g->end.vector || h->end.rip != g->end.rip) return false;
    if (h->end.vector == X86_DE) h->end.rflags = g->end.rflags = 0;
    if ((h->end.vector != X86_PF && h->end.vector != X86_GP) || at >= size) return false;
    Found f = find_instruction(code + at, code + size, c->start.code);
    return forget_first_read(f, h, g) | forget_compared(f, h, g) | forget_top(f, h, g);
}

/* ---- A case compared ------------------------------------------------------------------------- */

static bool run_case(CpuTestGuest *guest, Case *c, GString *text)
{
    g_autofree Outcome *h = g_new0(Outcome, 1), *g = g_new0(Outcome, 1);
    uint8_t code[4096];
    size_t size = cpu_test_assemble(c->units, c->n, c->offset, code);

    run_host(c, code, size, h);
    run_guest(guest, c, code, size, g);
    c->tolerated = forget_undefined(c, code, size, h, g);
    c->completed = h->end.vector == X86_BP;
    g_string_truncate(text, 0);
    compare(text, h, g);
    return text->len == 0;
}

/* ---- Failures -------------------------------------------------------------------------------- */

static void remove_unit(Case *c, unsigned i)
{
    memmove(&c->units[i], &c->units[i + 1], (c->n - i - 1) * sizeof c->units[0]);
    c->n--;
}

static void minimise(CpuTestGuest *guest, Case *c, GString *text)
{
    g_autoptr(GString) now = g_string_new(NULL);
    bool shorter = true;

    while (shorter) {
        shorter = false;
        for (unsigned i = c->n; i-- > 0 && c->n > 1;) {
            g_autofree Case *smaller = g_memdup2(c, sizeof *c);
            remove_unit(smaller, i);
            if (!run_case(guest, smaller, now)) {
                *c = *smaller;
                shorter = true;
            }
        }
    }
    run_case(guest, c, text);
}

static void show(const Case *c, const char *accel, const GString *text)
{
    static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    uint8_t code[4096];
    size_t size = cpu_test_assemble(c->units, c->n, c->offset, code);
    g_autoptr(GString) s = g_string_new(NULL);

    for (size_t at = 0; at < size;) {
        uint64_t pc = c->start.rip + at;
        g_string_append_printf(s, "  %" G_GINT64_MODIFIER "x  ", pc);
        GString *line = g_string_new(NULL);
        unsigned n = x86_disassemble_one(line, code + at, (unsigned)MIN(15, size - at), pc,
                                         c->start.code);
        for (unsigned i = 0; i < n; i++) g_string_append_printf(s, "%02x ", code[at + i]);
        g_string_append_printf(s, " %s\n", line->str);
        g_string_free(line, TRUE);
        at += n;
    }
    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(s, "  %s=%" G_GINT64_MODIFIER "x", names[i], c->start.gpr[i]);
    g_test_message("%s differs from the host after\n%s  flags=%x\n%s", accel, s->str,
                   (unsigned)c->start.rflags, text->str);
}

/* The same code again and again with one piece less: all at one address, as a debugger patches
 * code. */
static bool run_shrinking(CpuTestGuest *guest, Case *c, GRand *rand, GString *text)
{
    while (c->n > 1) {
        remove_unit(c, (unsigned)g_rand_int_range(rand, 0, (gint32)c->n));
        if (!run_case(guest, c, text)) return false;
    }
    return true;
}

/* ---- The run --------------------------------------------------------------------------------- */

/* Registers and control words of SSE and x87; the x87 registers hold valid numbers. */
static void make_vector_state(CpuTestState *s, GRand *rand)
{
    static const uint16_t precisions[4] = { 0x300, 0x300, 0x200, 0x000 };

    for (unsigned i = 0; i < 16; i++) {
        s->xmm[i].u64[0] = cpu_test_float(rand);
        s->xmm[i].u64[1] = cpu_test_float(rand);
    }
    s->mxcsr = 0x1f80 | (uint32_t)g_rand_int_range(rand, 0, 4) << 13 |
               (g_rand_int_range(rand, 0, 4) ? 0 : 0x8000) |
               (g_rand_int_range(rand, 0, 4) ? 0 : 0x40);
    s->fcw = 0x7f | precisions[g_rand_int_range(rand, 0, 4)] |
             (uint16_t)g_rand_int_range(rand, 0, 4) << 10;
    s->fsw = (uint16_t)g_rand_int_range(rand, 0, 8) << 11;
    s->ftw = (uint16_t)(g_rand_int(rand) & g_rand_int(rand) & 0xff);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t bits = cpu_test_float(rand);
        double d;
        memcpy(&d, &bits, 8);
        long double wide = d; /* 80 bits on x86-64, the only host of this test */
        memcpy(s->x87[i], &wide, 10);
    }
}

static void make_case(Case *c, GRand *rand, unsigned code, bool vector)
{
    bool is32 = code != X86_CODE_64, is16 = code == X86_CODE_16;

    c->n = CPU_TEST_UNITS;
    if (g_rand_int_range(rand, 0, 4)) /* else over the last case's code */
        c->offset = (uint64_t)g_rand_int_range(rand, 0, is16 ? 0xe000 : CPU_TEST_CODE_SIZE - 4096);
    for (unsigned i = 0; i < c->n; i++) cpu_test_generate(&c->units[i], rand, code, vector);
    memset(&c->start, 0, sizeof c->start);
    c->start.code = code;
    for (unsigned i = 0; i < 16; i++) {
        c->start.gpr[i] = cpu_test_value(rand) & (is32 ? UINT32_MAX : UINT64_MAX);
        c->start.xmm[i].u64[0] = cpu_test_value(rand);
        c->start.xmm[i].u64[1] = cpu_test_value(rand);
    }
    c->start.gpr[X86_RSP] = (is16 ? 0 : CPU_TEST_DATA) + 0x2000 +
                            8 * (uint64_t)g_rand_int_range(rand, 0, 64);
    c->start.rip = (is16 ? 0 : CPU_TEST_CODE) + c->offset;
    c->start.rflags = (g_rand_int(rand) & VIT_FLAG_ALL) | 0x202;
    c->start.mxcsr = 0x1f80;
    c->start.fcw = 0x37f;
    if (vector) make_vector_state(&c->start, rand);
    for (unsigned i = 0; i < CPU_TEST_DATA_SIZE; i += 8) {
        uint64_t v = vector ? cpu_test_float(rand) : cpu_test_value(rand);
        memcpy(c->data + i, &v, 8);
    }
    if (is32) return;
    /* What the way into the code leaves below the host's stack pointer. */
    uint64_t *below = (uint64_t *)(c->data + (c->start.gpr[X86_RSP] - CPU_TEST_DATA)) - 2;
    below[0] = (c->start.rflags & CPU_TEST_EFLAGS) | 0x202;
    below[1] = c->start.rip;
}

static void run_random(const VitAccelClass *accel, unsigned code, bool vector)
{
    const char *seed_text = getenv("VIT_CPU_TEST_SEED"), *count_text = getenv("VIT_CPU_TEST_COUNT");
    unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 0) : (unsigned)g_test_rand_int();
    unsigned long count = count_text ? strtoul(count_text, NULL, 0) : 80000, done = 0;
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree Case *c = g_new0(Case, 1);
    unsigned failures = 0, cases = 0, completed = 0, tolerated = 0;

    g_test_message("%s: seed %u, %lu instructions", accel->name, seed, count);
    CpuTestGuest *guest = cpu_test_guest_new(accel, NULL);
    while (done < count && failures < 5) {
        make_case(c, rand, code, vector);
        done += c->n;
        bool same = run_case(guest, c, text);
        cases++;
        completed += c->completed;
        tolerated += c->tolerated;
        if (same && cases % 40 == 0) same = run_shrinking(guest, c, rand, text);
        if (!same) {
            failures++;
            minimise(guest, c, text);
            show(c, accel->name, text);
        }
    }
    cpu_test_guest_free(guest);
    g_test_message("%u of %u runs met no exception; %u differed in what the manual leaves open",
                   completed, cases, tolerated);
    g_assert_cmpuint(failures, ==, 0);
    g_assert_cmpuint(completed, >, cases / 2);
}

static void test_interp(void)
{
    run_random(&vit_accel_interp, X86_CODE_64, false);
}
static void test_jit(void)
{
    run_random(&vit_accel_jit, X86_CODE_64, false);
}
static void test_vector_interp(void)
{
    run_random(&vit_accel_interp, X86_CODE_64, true);
}
static void test_vector_jit(void)
{
    run_random(&vit_accel_jit, X86_CODE_64, true);
}
static void test_interp32(void)
{
    run_random(&vit_accel_interp, X86_CODE_32, false);
}
static void test_jit32(void)
{
    run_random(&vit_accel_jit, X86_CODE_32, false);
}

static void run_random16(const VitAccelClass *accel)
{
    if (cpu_test_host_init16()) run_random(accel, X86_CODE_16, false);
    else g_test_skip("the host gives programs no LDT");
}

static void test_interp16(void)
{
    run_random16(&vit_accel_interp);
}
static void test_jit16(void)
{
    run_random16(&vit_accel_jit);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_test_host_init()) {
        g_print("1..0 # SKIP the host is no x86-64 or the test's addresses are taken\n");
        return 0;
    }
    g_test_add_func("/cpu/random/interp", test_interp);
    g_test_add_func("/cpu/random/jit", test_jit);
    g_test_add_func("/cpu/random/vector-interp", test_vector_interp);
    g_test_add_func("/cpu/random/vector-jit", test_vector_jit);
    g_test_add_func("/cpu/random/interp32", test_interp32);
    g_test_add_func("/cpu/random/jit32", test_jit32);
    g_test_add_func("/cpu/random/interp16", test_interp16);
    g_test_add_func("/cpu/random/jit16", test_jit16);
    return g_test_run();
}
