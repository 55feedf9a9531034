/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/test-ir.c - builder folding, forwarding, the backward pass */
#include "engine/jit/ir-eval.h"

static VitIr ir;

static unsigned count(VitIrOpcode op)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ir.n_ops; i++)
        n += ir.ops[i].op == op;
    return n;
}

static uint64_t helper(VitCpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return a;
}
VIT_HELPER(helper, VIT_HELPER_ALL);

static void test_folding(void)
{
    uint64_t c;

    vit_ir_reset(&ir);
    VitVal x = vit_ir_get(&ir, VIT_I32, 0x100);
    g_assert_cmpuint(vit_ir_bini(&ir, VIT_IR_ADD, x, 0), ==, x);
    g_assert_true(vit_ir_is_const(&ir, vit_ir_bin(&ir, VIT_IR_XOR, x, x), &c) && c == 0);
    VitVal k = vit_ir_bini(&ir, VIT_IR_ADD, vit_ir_const(&ir, VIT_I8, 0xff), 2);
    g_assert_true(vit_ir_is_const(&ir, k, &c));
    g_assert_cmphex(c, ==, 1);
    VitVal s = vit_ir_sext(&ir, VIT_I64, vit_ir_const(&ir, VIT_I16, 0x8000));
    g_assert_true(vit_ir_is_const(&ir, s, &c));
    g_assert_cmphex(c, ==, 0xffffffffffff8000);
    VitVal wide = vit_ir_zext(&ir, VIT_I64, x);
    g_assert_cmpuint(vit_ir_trunc(&ir, VIT_I32, wide), ==, x);
}

static void test_forwarding(void)
{
    vit_ir_reset(&ir);
    VitVal x = vit_ir_get(&ir, VIT_I64, 0x100);
    g_assert_cmpuint(vit_ir_get(&ir, VIT_I64, 0x100), ==, x);
    VitVal y = vit_ir_bini(&ir, VIT_IR_ADD, x, 1);
    vit_ir_put(&ir, 0x100, y);
    g_assert_cmpuint(vit_ir_get(&ir, VIT_I64, 0x100), ==, y);
    vit_ir_put(&ir, 0x101, vit_ir_const(&ir, VIT_I8, 7));   /* the second byte: y no longer holds */
    g_assert_cmpuint(vit_ir_get(&ir, VIT_I64, 0x100), !=, y);
    VitVal z = vit_ir_get(&ir, VIT_I64, 0x108);
    vit_ir_call(&ir, &helper_helper, VIT_NONE, z, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL);
    g_assert_cmpuint(vit_ir_get(&ir, VIT_I64, 0x108), !=, z);
}

static void test_dead_state(void)
{
    vit_ir_reset(&ir);
    VitVal a = vit_ir_get(&ir, VIT_I32, 0x100), b = vit_ir_get(&ir, VIT_I32, 0x108);
    vit_ir_putflags(&ir, vit_ir_flags(&ir, VIT_IR_FLAGS_ADD, a, b, VIT_NO_VAL));    /* dies */
    vit_ir_put(&ir, 0x110, a);                                                      /* dies */
    /* seen by the load */
    vit_ir_putflags(&ir, vit_ir_flags(&ir, VIT_IR_FLAGS_SUB, a, b, VIT_NO_VAL));
    vit_ir_put(&ir, 0x110, b);
    vit_ir_load(&ir, VIT_I32, vit_ir_zext(&ir, VIT_I64, a), 0, 0);
    vit_ir_putflags(&ir, vit_ir_flags(&ir, VIT_IR_FLAGS_LOGIC, a, VIT_NO_VAL, VIT_NO_VAL));
    vit_ir_jmp(&ir, 0x1000);
    g_assert_null(vit_ir_check(&ir));
    vit_ir_optimise(&ir, NULL, true);
    g_assert_cmpuint(count(VIT_IR_FLAGS_ADD), ==, 0);
    g_assert_cmpuint(count(VIT_IR_FLAGS_SUB), ==, 1);
    g_assert_cmpuint(count(VIT_IR_PUTFLAGS), ==, 2);
    g_assert_cmpuint(count(VIT_IR_PUT), ==, 1);
    g_assert_cmpuint(ir.ops[a].uses, ==, 3);
}

static void test_check(void)
{
    vit_ir_reset(&ir);
    VitVal a = vit_ir_get(&ir, VIT_I32, 0x100);
    vit_ir_load(&ir, VIT_I32, a, 0, 0);         /* address must be i64 */
    vit_ir_jmp(&ir, 0);
    g_autofree char *problem = vit_ir_check(&ir);
    g_assert_nonnull(problem);
}

/* Flags of every 8-bit operation against a formula that shares nothing with the implementation. */
static void test_flags(void)
{
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            int sum = (int8_t) a + (int8_t) b, diff = (int8_t) a - (int8_t) b;
            unsigned f = ir_eval_flags(VIT_IR_FLAGS_ADD, VIT_I8, a, b, 0);
            g_assert_cmpuint(!!(f & VIT_FLAG_C), ==, a + b > 255);
            g_assert_cmpuint(!!(f & VIT_FLAG_O), ==, sum > 127 || sum < -128);
            g_assert_cmpuint(!!(f & VIT_FLAG_A), ==, (a & 15) + (b & 15) > 15);
            g_assert_cmpuint(!!(f & VIT_FLAG_Z), ==, ((a + b) & 255) == 0);
            f = ir_eval_flags(VIT_IR_FLAGS_SUB, VIT_I8, a, b, 0);
            g_assert_cmpuint(ir_eval_cc(VIT_CC_LT, f), ==, (int8_t) a < (int8_t) b);
            g_assert_cmpuint(ir_eval_cc(VIT_CC_BE, f), ==, a <= b);
            g_assert_cmpuint(!!(f & VIT_FLAG_O), ==, diff > 127 || diff < -128);
            f = ir_eval_flags(VIT_IR_FLAGS_SBB, VIT_I8, a, b, 1);
            g_assert_cmpuint(!!(f & VIT_FLAG_C), ==, a < b + 1);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ir/folding", test_folding);
    g_test_add_func("/ir/forwarding", test_forwarding);
    g_test_add_func("/ir/dead-state", test_dead_state);
    g_test_add_func("/ir/check", test_check);
    g_test_add_func("/ir/flags", test_flags);
    return g_test_run();
}
