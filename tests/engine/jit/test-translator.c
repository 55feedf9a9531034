/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/test-translator.c - the translator against the interpreter: the same random code, state
 * compared at every block; self-modifying code, faults, options */
#include "engine/core/log.h"
#include "tests/engine/jit/toy.h"

#include <stdlib.h>
#include <string.h>

static void fill(Rig *rig, uint64_t seed)
{
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32) seed);

    for (unsigned i = 0; i < TOY_CODE_SIZE; i += 4) {
        guint32 v = g_rand_int(r);
        memcpy(rig->ram->host + TOY_CODE + i, &v, 4);
    }
    for (unsigned i = 0; i < TOY_DATA_SIZE; i += 4) {
        guint32 v = g_rand_int(r);
        memcpy(rig->ram->host + TOY_DATA + i, &v, 4);
    }
    for (unsigned i = 0; i < TOY_REGS; i++)
        rig->toy->reg[i] = (uint64_t) g_rand_int(r) << 32 | g_rand_int(r);
    for (unsigned i = 0; i < TOY_VECTORS; i++)
        rig->toy->vec[i].u64[0] = (uint64_t) g_rand_int(r) << 32 | g_rand_int(r);
}

static void differs(uint64_t seed, const Toy *a, const Toy *b, unsigned i)
{
    const uint64_t *x = (const uint64_t *) &a->trace[i], *y = (const uint64_t *) &b->trace[i];

    for (unsigned k = 0; k < sizeof a->trace[i] / 8; k++) {
        if (x[k] != y[k])
            g_printerr("# word %u (0 pc, 1.. registers, %u flags, then vectors): %" G_GINT64_MODIFIER
                       "x by the interpreter, %" G_GINT64_MODIFIER "x translated\n", k, 1 + TOY_REGS, x[k], y[k]);
    }
    g_error("seed %u: state differs at block %u, which follows the one at %x", (unsigned) seed, i,
            i ? (unsigned) a->trace[i - 1].pc : 0);
}

static void compare(uint64_t seed, const VitJitOptions *options, unsigned blocks)
{
    Rig a, b;

    rig_open(&a, &vit_accel_interp);
    rig_open(&b, &vit_accel_jit);
    if (options)
        vit_jit_set_options(b.accel, options);
    fill(&a, seed);
    fill(&b, seed);
    rig_run(&a, blocks);
    rig_run(&b, blocks);
    for (unsigned i = 0; i < MIN(blocks, TOY_TRACE); i++) {
        if (memcmp(&a.toy->trace[i], &b.toy->trace[i], sizeof a.toy->trace[i]))
            differs(seed, a.toy, b.toy, i);
    }
    g_assert_cmpuint(a.toy->n_faults, ==, b.toy->n_faults);
    g_assert_cmpmem(a.toy->fault_pc, sizeof a.toy->fault_pc, b.toy->fault_pc, sizeof b.toy->fault_pc);
    for (unsigned i = 0; i < TOY_RAM_SIZE; i++) {
        if (a.ram->host[i] != b.ram->host[i])
            g_error("seed %u: byte %x of memory: %x by the interpreter, %x translated", (unsigned) seed, i,
                    a.ram->host[i], b.ram->host[i]);
    }
    g_assert_cmpuint(b.toy->cpu.stats[VIT_CPU_STAT_TRANSLATED], >, 0);
    rig_close(&a);
    rig_close(&b);
}

static void test_random(void)
{
    const char *one = g_getenv("VITRINE_TEST_SEED");
    unsigned n = g_test_slow() ? 2000 : 60;

    if (one) {
        compare((uint64_t) atoll(one), NULL, g_getenv("VITRINE_TEST_BLOCKS") ? (unsigned) atoi(g_getenv("VITRINE_TEST_BLOCKS")) : 2000);
        return;
    }
    for (unsigned seed = 1; seed <= n; seed++)
        compare(seed, NULL, 1500);
}

static void test_options(void)
{
    const VitJitOptions all = { true, true, true, true, true, true };

    for (unsigned k = 0; k < 6; k++) {
        VitJitOptions o = all;
        bool *const one[] = { &o.chain, &o.pin, &o.fuse_flags, &o.ir_passes, &o.jump_cache, &o.tlb };
        *one[k] = false;
        for (unsigned seed = 100; seed < 108; seed++)
            compare(seed, &o, 1000);
    }
    for (unsigned seed = 200; seed < 204; seed++)
        compare(seed, &(VitJitOptions) { 0 }, 1000);
}

int main(int argc, char **argv)
{
    unsigned mask = 0;

    g_test_init(&argc, &argv, NULL);
    if (g_getenv("VITRINE_TEST_LOG") && vit_log_parse(g_getenv("VITRINE_TEST_LOG"), &mask, NULL))
        vit_log_setup(mask, NULL);
    g_test_add_func("/translator/random", test_random);
    g_test_add_func("/translator/options", test_options);
    return g_test_run();
}
