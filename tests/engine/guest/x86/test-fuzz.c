/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-fuzz.c - system instructions on garbage: descriptor tables, TSS,
 * page tables, registers
 *
 * Nothing is expected of the results but that the processor stays sane: a mode that fits its
 * state and no event lost half-way.  The seed is GTest's. */
#include "tests/engine/guest/x86/fixture.h"

enum { ROUNDS = 100, STEPS = 200, TABLES = 0x10000 };

typedef uint64_t (*Helper)(VitCpu *, uint64_t, uint64_t, uint64_t, uint64_t);

static const Helper helpers[] = {
#define X(name, flags) name,
    X86_HELPERS(X)
#undef X
};

static uint32_t pick(uint32_t n)
{
    return (uint32_t)g_test_rand_int() % n;
}

/* Small, near a boundary, a selector, an address in the tables or anything. */
static uint64_t value(void)
{
    static const uint64_t edges[] = { 0,
                                      1,
                                      7,
                                      0x7fff,
                                      0xffff,
                                      0x10000,
                                      0x7fffffff,
                                      0x80000000,
                                      UINT32_MAX,
                                      UINT64_C(0x7fffffffffff),
                                      UINT64_C(0xffff800000000000),
                                      UINT64_MAX };
    switch (pick(5)) {
    case 0: return edges[pick(G_N_ELEMENTS(edges))];
    case 1: return pick(16);
    case 2: return pick(0x100);
    case 3: return pick(TABLES);
    default: return (uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
    }
}

static void random_tables(Fixture *f)
{
    static const uint8_t types[] = { 0x9a, 0x92, 0xfa, 0xf2, 0x89, 0x8b, 0x82, 0x85, 0x8c, 0xec,
                                     0x8e, 0xee, 0x8f, 0x81, 0x83, 0x84, 0x86, 0x96, 0x9e, 0x1a };
    static const uint8_t flags[] = { 0x0, 0x4, 0xc, 0xa, 0xe };

    for (uint32_t i = 0; i < TABLES; i += 4) put(f, i, (uint32_t)g_test_rand_int(), 4);
    for (unsigned i = 1; i < 64; i++) /* half-way sensible descriptors and gates */
        put_descriptor(f, i * 8, pick(2) ? 0 : pick(TABLES), pick(2) ? 0xfffff : pick(0x1000),
                       types[pick(G_N_ELEMENTS(types))] | flags[pick(G_N_ELEMENTS(flags))] << 8);
    for (unsigned i = 0; i < 256; i++)
        put_gate64(f, i, pick(64) * 8 + pick(4), value(), types[pick(G_N_ELEMENTS(types))],
                   pick(8));
    if (pick(2))
        for (unsigned i = 0; i < 256; i++)
            put_gate(f, i, pick(64) * 8 + pick(4), (uint32_t)value(),
                     types[pick(G_N_ELEMENTS(types))]);
}

static void random_state(Fixture *f)
{
    X86Cpu *x = f->x;

    fixture_teardown(f, NULL);
    fixture_setup(f, NULL);
    x = f->x;
    switch (pick(4)) {
    case 0: break;
    case 1: enter_protected(f); break;
    case 2:
        enter_protected(f);
        enter_user(f, SEL_CODE3, pick(2) ? 0x3202 : 2);
        break;
    default:
        enter_long(f);
        if (pick(2)) enter_user(f, SEL_CODE64_3, 0x202);
        break;
    }
    bool keep_tables = x->cr0 & CR0_PG;
    uint8_t *saved = g_memdup2(f->ram->host + 0x10000, 0x3000);
    random_tables(f);
    if (keep_tables && pick(4)) memcpy(f->ram->host + 0x10000, saved, 0x3000);
    g_free(saved);
    for (unsigned i = 0; i < 16; i++) x->gpr[i] = value();
}

static void check_sane(Fixture *f)
{
    X86Cpu *x = f->x;
    uint64_t mode = x->cpu.mode;

    g_assert_cmpint(x->pending_vector, <, 32);
    g_assert_true(x->eflags & 2);
    g_assert_cmphex(x->eflags & 0x8d5, ==, 0);
    g_assert_false((x->cr0 & CR0_PG) && !(x->cr0 & CR0_PE));
    if (x->efer & EFER_LMA) g_assert_true((x->cr0 & CR0_PG) && (x->cr4 & CR4_PAE));
    x86_update_mode(x);
    g_assert_cmphex(mode, ==, x->cpu.mode);
}

[[gnu::noinline]] static void run(Fixture *f, Helper h, uint64_t a, uint64_t b, uint64_t c,
                                  uint64_t d)
{
    (void)UNWINDS(f, h(&f->x->cpu, a, b, c, d));
}

[[gnu::noinline]] static void deliver(Fixture *f)
{
    (void)UNWINDS(f, x86_deliver(&f->x->cpu));
}

static void test_fuzz(Fixture *f, const void *unused)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_state(f);
        for (unsigned step = 0; step < STEPS; step++) {
            X86Cpu *x = f->x;
            uint64_t a = value(), b = value(), c = value(), d = value();
            if (pick(4) == 0) a = pick(9);
            if (pick(2)) c = 1u << pick(4);
            if (pick(8) == 0) b = 1u << pick(4);
            if (pick(16) == 0) x86_set_line(x, 1u << pick(4), true);
            if (x->pending_vector >= 0 || pick(8) == 0) {
                deliver(f);
            } else {
                Helper h = helpers[pick(G_N_ELEMENTS(helpers))];
                if (h == x86_h_in || h == x86_h_out || h == x86_h_raise) {
                    if (h == x86_h_raise) {
                        a = pick(20);
                        b = pick(0x1000);
                    } else {
                        b = c = 1u << pick(3);
                    }
                } else if (h == x86_h_iret || h == x86_h_far_ret || h == x86_h_sysret ||
                           h == x86_h_sysexit) {
                    a = 2u << pick(3); /* operand sizes come from the decoder */
                    if (h == x86_h_far_ret) b = pick(0x10000);
                } else if (h == x86_h_far_jmp || h == x86_h_far_call) {
                    c = 2u << pick(3);
                } else if (h == x86_h_seg_check) {
                    a = pick(6);
                    c = (1u << pick(4)) | pick(2) << 8;
                } else if (h == x86_h_int) {
                    c = pick(3);
                } else if (h == x86_h_load_seg) {
                    a = (uint32_t[]){ X86_ES, X86_SS, X86_DS, X86_FS, X86_GS }[pick(5)];
                }
                run(f, h, a, b, c, d);
            }
            check_sane(f);
            x->shutdown = false;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/x86/fuzz", Fixture, NULL, fixture_setup, test_fuzz, fixture_teardown);
    return g_test_run();
}
