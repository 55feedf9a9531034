/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-cpuid.c - processor models, the text of -cpu, CPUID, MSRs, the TSC */
#include "tests/engine/guest/x86/fixture.h"

static void check_refused(Fixture *f, const char *spec, const char *message)
{
    g_autoptr(GError) error = NULL;
    const X86Model *before = f->x->model;

    g_assert_false(x86_cpu_set_model(f->x, spec, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_true(f->x->model == before);
}

static void test_parse(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;
    X86Cpu *x = f->x;

    g_assert_true(x86_cpu_set_model(x, "qemu64", &error));
    g_assert_false(x86_has(x, X86_FEATURE_AES));
    g_assert_true(x86_cpu_set_model(
        x, "qemu64,+aes,+sse4_2,+sse4_1,+ssse3,-nx,lahf_lm=off,x2apic=off", &error));
    g_assert_no_error(error);
    g_assert_true(x86_has(x, X86_FEATURE_AES));
    g_assert_true(x86_has(x, X86_FEATURE_SSE42));
    g_assert_false(x86_has(x, X86_FEATURE_NX));
    g_assert_false(x86_has(x, X86_FEATURE_LAHF64));
    g_assert_false(x86_has(x, X86_FEATURE_X2APIC));

    /* What needs a feature that is off goes too. */
    g_assert_true(x86_cpu_set_model(x, "Westmere,-sse2", &error));
    g_assert_false(x86_has(x, X86_FEATURE_SSE42));
    g_assert_false(x86_has(x, X86_FEATURE_AES));
    g_assert_true(x86_has(x, X86_FEATURE_SSE));
    g_assert_false(x->amd);
    g_assert_true(x86_cpu_set_model(x, "max,-avx,tsc-frequency=2500000000", &error));
    g_assert_cmpint(x->tsc_khz, ==, 2500000);

    check_refused(f, "nehalm", "-cpu: unknown model “nehalm”; did you mean “Nehalem”?");
    check_refused(f, "max,+aess", "-cpu: unknown feature “aess”; did you mean “aes”?");
    check_refused(f, "max,+avx2", "-cpu: feature “avx2” is not emulated; leave it out");
    check_refused(f, "max,aes=perhaps", "-cpu: “aes=perhaps” is not “on” or “off”");
    check_refused(f, "qemu64,-sse3,+ssse3", "-cpu: feature “ssse3” needs “sse3”");
    check_refused(f, "", "-cpu: unknown model “”");
}

static void test_leaves(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;
    uint32_t r[4];
    char text[49] = "";

    g_assert_true(x86_cpu_set_model(x, "Nehalem", NULL));
    x->n_cpus = 3;
    x->apic_id = 2;
    x86_cpuid(x, 0, 0, r);
    g_assert_cmpuint(r[0], ==, 11);
    g_assert_cmpmem(&r[1], 4, "Genu", 4);
    g_assert_cmpmem(&r[3], 4, "ineI", 4);
    g_assert_cmpmem(&r[2], 4, "ntel", 4);
    x86_cpuid(x, 1, 0, r);
    g_assert_cmphex(r[0], ==, 0x106a3);
    g_assert_cmpuint(r[1] >> 24, ==, 2);
    g_assert_cmpuint(r[1] >> 16 & 0xff, ==, 4);
    g_assert_true(r[3] & 1u << 28);
    g_assert_false(r[2] & 1u << 27);
    x->cr4 |= CR4_OSXSAVE;
    x86_cpuid(x, 1, 0, r);
    g_assert_true(r[2] & 1u << 27);
    x86_cpuid(x, 0xb, 1, r);
    g_assert_cmpuint(r[0], ==, 2);
    g_assert_cmpuint(r[1], ==, 3);
    g_assert_cmpuint(r[3], ==, 2);
    for (unsigned i = 0; i < 3; i++)
        x86_cpuid(x, 0x80000002 + i, 0, (uint32_t *)(void *)(text + 16 * i));
    g_assert_cmpstr(text, ==, x->model->brand);
    x86_cpuid(x, 0x80000008, 0, r);
    g_assert_cmphex(r[0], ==, 0x3028);
    x86_cpuid(x, 0x7fffffff, 0, r); /* beyond the last: the last */
    g_assert_cmpuint(r[3], ==, 2);

    g_assert_true(x86_cpu_set_model(x, "max", NULL));
    x86_cpuid(x, 0x7fffffff, 0, r);
    g_assert_cmphex(r[0] | r[1] | r[2] | r[3], ==, 0);
    x86_cpuid(x, 0x40000000, 0, r);
    g_assert_cmpmem(&r[1], 12, "Vitrine VMM ", 12);
    x86_cpuid(x, 0xd, 0, r);
    g_assert_cmpuint(r[2], ==, 576);
    g_autofree char *help = x86_cpu_help();
    g_assert_nonnull(strstr(help, "Westmere"));
    g_assert_nonnull(strstr(help, " pclmulqdq"));
}

/* No model shows what the parser would not let anybody switch on. */
static void test_models(Fixture *f, const void *unused)
{
    uint32_t known[X86_FEATURE_WORDS] = { 0 };

#define X(name, word, bit, text) known[X86_WORD_##word] |= 1u << (bit);
    X86_FEATURES(X)
#undef X
    for (const X86Model *m = x86_models; m->name; m++) {
        g_assert_cmpuint(strlen(m->vendor), ==, 12);
        g_assert_cmpuint(strlen(m->brand), <, 48);
        g_assert_true(x86_cpu_set_model(f->x, m->name, NULL));
        for (unsigned i = 0; i < X86_FEATURE_WORDS; i++) {
            g_assert_cmphex(m->features[i] & ~known[i], ==, 0);
            g_assert_cmphex(m->features[i], ==, f->x->features[i]); /* needs are met */
        }
    }
}

static void wrmsr(Fixture *f, uint32_t msr, uint64_t value)
{
    f->x->gpr[X86_RCX] = msr;
    f->x->gpr[X86_RAX] = (uint32_t)value;
    f->x->gpr[X86_RDX] = value >> 32;
    call(f, x86_h_wrmsr, 0, 0, 0, 0);
}

static uint64_t rdmsr(Fixture *f, uint32_t msr)
{
    f->x->gpr[X86_RCX] = msr;
    call(f, x86_h_rdmsr, 0, 0, 0, 0);
    return f->x->gpr[X86_RAX] | f->x->gpr[X86_RDX] << 32;
}

static void test_msr(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    ASSERT_FAULT(f, rdmsr(f, 0x12345), X86_GP, 0);
    ASSERT_FAULT(f, wrmsr(f, 0x12345, 0), X86_GP, 0);
    ASSERT_FAULT(f, rdmsr(f, 0x1b), X86_GP, 0); /* no APIC here */
    ASSERT_RUNS(f, wrmsr(f, 0x277, 0x0007010600070106));
    ASSERT_RUNS(f, g_assert_cmphex(rdmsr(f, 0x277), ==, 0x0007010600070106));
    ASSERT_FAULT(f, wrmsr(f, 0x277, 2), X86_GP, 0);
    ASSERT_RUNS(f, wrmsr(f, 0xc0000102, 0xffff888000000000));
    ASSERT_FAULT(f, wrmsr(f, 0xc0000102, UINT64_C(1) << 60), X86_GP, 0);
    ASSERT_RUNS(f, g_assert_cmphex(rdmsr(f, 0xc0000102), ==, 0xffff888000000000));
    ASSERT_FAULT(f, wrmsr(f, 0xc0000080, UINT64_C(1) << 40), X86_GP, 0);
    ASSERT_RUNS(f, wrmsr(f, 0xc0000080, EFER_SCE | EFER_LMA)); /* LMA is not written */
    g_assert_cmphex(x->efer, ==, EFER_SCE);
    ASSERT_RUNS(f, wrmsr(f, 0x202, 0xe0000006));
    ASSERT_RUNS(f, g_assert_cmphex(rdmsr(f, 0x202), ==, 0xe0000006));
    ASSERT_FAULT(f, wrmsr(f, 0x202, 0xe0000007), X86_GP, 0);
    ASSERT_FAULT(f, wrmsr(f, 0xfe, 0), X86_GP, 0);
}

static void test_tsc(Fixture *f, const void *unused)
{
    X86Cpu *x = f->x;

    x->tsc_khz = 3000000;
    vit_clock_set(f->sys->clock, 1000);
    ASSERT_RUNS(f, wrmsr(f, 0x10, 500));
    ASSERT_RUNS(f, g_assert_cmpuint(rdmsr(f, 0x10), ==, 500));
    vit_clock_set(f->sys->clock, 3000);
    g_assert_cmpuint(x86_tsc(x), ==, 6500);
    g_assert_cmpint(x86_tsc_to_ns(x, 6500), ==, 3000);
    g_assert_cmpint(x86_tsc_to_ns(x, 6501), ==, 3001);
    g_assert_cmpint(x86_tsc_to_ns(x, 0), <=, 1000);
    ASSERT_RUNS(f, wrmsr(f, 0x3b, rdmsr(f, 0x3b) + 100));
    g_assert_cmpuint(x86_tsc(x), ==, 6600);
    ASSERT_RUNS(f, call(f, x86_h_rdtsc, 0, 0, 0, 0));
    g_assert_cmpuint(x->gpr[X86_RAX], ==, 6600);
}

#define ADD(name, fn)                                                                              \
    g_test_add("/guest/x86/" name, Fixture, NULL, fixture_setup, fn, fixture_teardown)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("cpuid/parse", test_parse);
    ADD("cpuid/leaves", test_leaves);
    ADD("cpuid/models", test_models);
    ADD("msr", test_msr);
    ADD("tsc", test_tsc);
    return g_test_run();
}
