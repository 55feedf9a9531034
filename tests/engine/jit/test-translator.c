/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/test-translator.c - the translator against the interpreter: the same random
 * code, state compared at every block; self-modifying code, faults, options */
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
            g_printerr(
                "# word %u (0 pc, 1.. registers, %u flags, then vectors): %" G_GINT64_MODIFIER
                "x by the interpreter, %" G_GINT64_MODIFIER "x translated\n",
                k, 1 + TOY_REGS, x[k], y[k]);
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
    g_assert_cmpmem(a.toy->fault_pc, sizeof a.toy->fault_pc, b.toy->fault_pc,
                    sizeof b.toy->fault_pc);
    for (unsigned i = 0; i < TOY_RAM_SIZE; i++) {
        if (a.ram->host[i] != b.ram->host[i])
            g_error("seed %u: byte %x of memory: %x by the interpreter, %x translated",
                    (unsigned) seed, i, a.ram->host[i], b.ram->host[i]);
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
        compare((uint64_t) atoll(one), NULL,
                g_getenv("VITRINE_TEST_BLOCKS") ? (unsigned) atoi(g_getenv("VITRINE_TEST_BLOCKS"))
                                                : 2000);
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
        bool *const one[] = { &o.chain, &o.pin, &o.fuse_flags, &o.ir_passes, &o.jump_cache,
                              &o.tlb };
        *one[k] = false;
        for (unsigned seed = 100; seed < 108; seed++)
            compare(seed, &o, 1000);
    }
    for (unsigned seed = 200; seed < 204; seed++)
        compare(seed, &(VitJitOptions) { 0 }, 1000);
}

/* ---- Small programs of one instruction set: opcode, register, 32-bit operand ----------------- */

enum { OP_ADDI, OP_STORE32 /* reg to [operand] */, OP_JMP, OP_LOAD,
       OP_LOOP /* dec reg, jump when not 0 */, OP_STOP };

static void emit(Rig *rig, uint32_t at, uint8_t op, uint8_t reg, uint32_t operand)
{
    uint8_t bytes[TOY_INSN] = { op, reg };
    memcpy(bytes + 2, &operand, 4);
    memcpy(rig->ram->host + at, bytes, TOY_INSN);
}

static void simple_translate(VitTranslate *t)
{
    uint64_t pc = t->pc;
    bool end = false;

    for (unsigned n = 0; !end; n++) {
        uint8_t b[15];
        uint32_t operand;
        if (vit_translate_fetch(t, pc, b) < TOY_INSN) {
            if (n == 0)
                vit_translate_fault(t, pc);
            vit_ir_jmp(t->ir, pc);
            break;
        }
        memcpy(&operand, b + 2, 4);
        uint32_t slot = (uint32_t) (offsetof(Toy, reg) + 8 * (b[1] % TOY_REGS));
        VitVal r, k = vit_ir_const(t->ir, VIT_I64, operand);
        vit_ir_insn(t->ir, pc);
        vit_ir_insn_length(t->ir, TOY_INSN);
        pc += TOY_INSN;
        end = true;
        switch (b[0]) {
        case OP_ADDI:
            vit_ir_put(t->ir, slot,
                       vit_ir_bin(t->ir, VIT_IR_ADD, vit_ir_get(t->ir, VIT_I64, slot), k));
            end = false;
            break;
        case OP_STORE32:
            vit_ir_store(t->ir, k, vit_ir_get(t->ir, VIT_I32, slot), 0, 0);
            end = false;
            break;
        case OP_LOAD:
            vit_ir_put(t->ir, slot, vit_ir_load(t->ir, VIT_I64, k, 0, 0));
            end = false;
            break;
        case OP_JMP:
            vit_ir_jmp(t->ir, operand);
            break;
        case OP_LOOP:
            r = vit_ir_bini(t->ir, VIT_IR_SUB, vit_ir_get(t->ir, VIT_I64, slot), 1);
            vit_ir_put(t->ir, slot, r);
            vit_ir_br(t->ir, vit_ir_cmp(t->ir, VIT_CMP_NE, r, vit_ir_const(t->ir, VIT_I64, 0)),
                      operand);
            vit_ir_jmp(t->ir, pc);
            break;
        default:
            vit_ir_call(t->ir, &toy_tick, VIT_NONE, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL);
            vit_ir_jmp(t->ir, pc);
            break;
        }
        if (!end && (n + 1 >= t->max_insns || !vit_translate_same_page(t, pc))) {
            vit_ir_jmp(t->ir, pc);
            end = true;
        }
    }
    t->end_pc = pc;
}

static const VitAccelClass *const both[] = { &vit_accel_interp, &vit_accel_jit };

/* Each instruction rewrites the operand of the next but one in its own block, three times round. */
static void test_own_feet(void)
{
    for (unsigned k = 0; k < 2; k++) {
        Rig r;
        rig_open(&r, both[k]);
        r.toy->translate = simple_translate;
        r.toy->reg[1] = 1000;       /* becomes the operand of the ADDI */
        r.toy->reg[2] = 3;
        uint32_t pc = TOY_CODE;
        emit(&r, pc, OP_ADDI, 1, 1);
        emit(&r, pc += TOY_INSN, OP_STORE32, 1, TOY_CODE + 2 * TOY_INSN + 2);
        emit(&r, pc += TOY_INSN, OP_ADDI, 0, 7);
        emit(&r, pc += TOY_INSN, OP_LOOP, 2, TOY_CODE);
        emit(&r, pc += TOY_INSN, OP_STOP, 0, 0);
        rig_run(&r, 1);
        g_assert_cmpuint(r.toy->reg[0], ==, 1001 + 1002 + 1003);
        rig_close(&r);
    }
}

/* A block on another page that is linked to, rewritten in each round. */
static void test_rewritten_target(void)
{
    for (unsigned k = 0; k < 2; k++) {
        Rig r;
        rig_open(&r, both[k]);
        r.toy->translate = simple_translate;
        r.toy->reg[2] = 50;
        uint32_t there = TOY_CODE + 0x1000;
        emit(&r, TOY_CODE, OP_ADDI, 1, 1);
        emit(&r, TOY_CODE + TOY_INSN, OP_JMP, 0, there);
        emit(&r, there, OP_ADDI, 0, 0);
        emit(&r, there + TOY_INSN, OP_JMP, 0, there + 0x1000);
        /* from a third page: next round adds reg 1 */
        emit(&r, there + 0x1000, OP_STORE32, 1, there + 2);
        emit(&r, there + 0x1000 + TOY_INSN, OP_LOOP, 2, TOY_CODE);
        emit(&r, there + 0x1000 + 2 * TOY_INSN, OP_STOP, 0, 0);
        rig_run(&r, 1);
        g_assert_cmpuint(r.toy->reg[0], ==, 49 * 50 / 2);
        rig_close(&r);
    }
}

/* The pc slot of a fault is the faulting instruction, registers are those before it. */
static void test_precise_fault(void)
{
    for (unsigned k = 0; k < 2; k++) {
        Rig r;
        rig_open(&r, both[k]);
        r.toy->translate = simple_translate;
        r.toy->stop_on_fault = true;
        for (unsigned i = 0; i < 5; i++)
            emit(&r, TOY_CODE + i * TOY_INSN, OP_ADDI, 0, 1);
        emit(&r, TOY_CODE + 5 * TOY_INSN, OP_LOAD, 0, TOY_HOLE + 8);
        emit(&r, TOY_CODE + 6 * TOY_INSN, OP_ADDI, 0, 100);
        emit(&r, TOY_CODE + 7 * TOY_INSN, OP_STOP, 0, 0);
        rig_run(&r, 1);
        g_assert_cmpuint(r.toy->n_faults, ==, 1);
        g_assert_cmphex(r.toy->fault_pc[0], ==, TOY_CODE + 5 * TOY_INSN);
        g_assert_cmpuint(r.toy->reg[0], ==, 5);
        rig_close(&r);
    }
}

/* A device writes into a loop that a vCPU runs linked to itself: it must come out. */
static void *write_later(void *opaque)
{
    Rig *r = opaque;
    uint8_t stop[TOY_INSN] = { OP_STOP };

    g_usleep(20000);
    vit_as_write(r->sys->memory, TOY_CODE + TOY_INSN, stop, sizeof stop);
    return NULL;
}

static void test_dma_into_code(void)
{
    for (unsigned k = 0; k < 2; k++) {
        Rig r;
        rig_open(&r, both[k]);
        r.toy->translate = simple_translate;
        emit(&r, TOY_CODE, OP_ADDI, 0, 1);
        emit(&r, TOY_CODE + TOY_INSN, OP_JMP, 0, TOY_CODE);
        GThread *writer = g_thread_new("dma", write_later, &r);
        rig_run(&r, 1);
        g_thread_join(writer);
        g_assert_cmpuint(r.toy->reg[0], >, 100);
        rig_close(&r);
    }
}

/* One vCPU rewrites the loop that another runs. */
static void test_other_cpu(void)
{
    for (unsigned k = 0; k < 2; k++) {
        g_autoptr(GError) error = NULL;
        Rig r;
        rig_open(&r, both[k]);
        Toy *other = (Toy *) vit_cpu_new(&toy_isa, r.sys, 1);
        other->cpu.mode = VIT_MODE_WIDE;
        other->mxcsr = 0x1f80;
        other->pc = TOY_CODE;
        other->limit = 1;
        other->translate = r.toy->translate = simple_translate;
        emit(&r, TOY_CODE, OP_ADDI, 0, 1);
        emit(&r, TOY_CODE + TOY_INSN, OP_JMP, 0, TOY_CODE);
        uint32_t writer = TOY_CODE + 0x2000;
        r.toy->pc = writer;
        r.toy->reg[1] = OP_STOP;
        r.toy->reg[2] = 200000;
        emit(&r, writer, OP_LOOP, 2, writer);
        emit(&r, writer + TOY_INSN, OP_STORE32, 1, TOY_CODE + TOY_INSN);
        emit(&r, writer + 2 * TOY_INSN, OP_STOP, 0, 0);
        g_assert_true(vit_cpu_start(r.accel, &other->cpu, &error));
        vit_cpu_resume(&other->cpu);
        while (!(__atomic_load_n(&other->reg[0], __ATOMIC_RELAXED)) && k == 0)
            g_usleep(100);
        rig_run(&r, 1);
        while (!(__atomic_load_n(&other->cpu.exit_request, __ATOMIC_SEQ_CST) & VIT_EXIT_STOP))
            g_usleep(100);
        vit_cpu_stop(&other->cpu);
        vit_cpu_free(&other->cpu);
        rig_close(&r);
    }
}

/* One instruction with more live values than a host has room for. */
static void greedy_translate(VitTranslate *t)
{
    VitVal v[200];

    vit_ir_insn(t->ir, t->pc);
    vit_ir_insn_length(t->ir, TOY_INSN);
    for (unsigned i = 0; i < G_N_ELEMENTS(v); i++)
        v[i] = vit_ir_bini(t->ir, VIT_IR_MUL,
                           vit_ir_get(t->ir, VIT_I64, (uint32_t) offsetof(Toy, reg[i % TOY_REGS])),
                           3 + i);
    for (unsigned i = 1; i < G_N_ELEMENTS(v); i++)
        v[0] = vit_ir_bin(t->ir, VIT_IR_ADD, vit_ir_bini(t->ir, VIT_IR_ROL, v[0], 1), v[i]);
    vit_ir_put(t->ir, (uint32_t) offsetof(Toy, reg[0]), v[0]);
    vit_ir_call(t->ir, &toy_tick, VIT_NONE, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL, VIT_NO_VAL);
    vit_ir_jmp(t->ir, t->pc);
    t->end_pc = t->pc + TOY_INSN;
}

static void test_greedy(void)
{
    uint64_t sum[2];

    for (unsigned k = 0; k < 2; k++) {
        Rig r;
        rig_open(&r, both[k]);
        r.toy->translate = greedy_translate;
        for (unsigned i = 0; i < TOY_REGS; i++)
            r.toy->reg[i] = i * 0x123456789abcdefULL;
        rig_run(&r, 5);
        sum[k] = r.toy->reg[0];
        rig_close(&r);
    }
    g_assert_cmphex(sum[0], ==, sum[1]);
}

/* The fast path ran: a loop of a million rounds leaves translated code a few times only. */
static void test_chained(void)
{
    Rig r;

    rig_open(&r, &vit_accel_jit);
    r.toy->translate = simple_translate;
    r.toy->reg[2] = 1000000;
    emit(&r, TOY_CODE, OP_ADDI, 0, 1);
    emit(&r, TOY_CODE + TOY_INSN, OP_JMP, 0, TOY_CODE + 0x1000);
    emit(&r, TOY_CODE + 0x1000, OP_LOAD, 1, TOY_DATA);
    emit(&r, TOY_CODE + 0x1000 + TOY_INSN, OP_LOOP, 2, TOY_CODE);
    emit(&r, TOY_CODE + 0x1000 + 2 * TOY_INSN, OP_STOP, 0, 0);
    rig_run(&r, 1);
    g_assert_cmpuint(r.toy->reg[0], ==, 1000000);
    g_assert_cmpuint(r.toy->cpu.stats[VIT_CPU_STAT_EXITS], <, 50);
    g_assert_cmpuint(r.toy->cpu.stats[VIT_CPU_STAT_TLB_FILLS], <, 50);
    rig_close(&r);
}

int main(int argc, char **argv)
{
    unsigned mask = 0;

    g_test_init(&argc, &argv, NULL);
    if (g_getenv("VITRINE_TEST_LOG") && vit_log_parse(g_getenv("VITRINE_TEST_LOG"), &mask, NULL))
        vit_log_setup(mask, NULL);
    g_test_add_func("/translator/random", test_random);
    g_test_add_func("/translator/options", test_options);
    g_test_add_func("/translator/own-feet", test_own_feet);
    g_test_add_func("/translator/rewritten-target", test_rewritten_target);
    g_test_add_func("/translator/precise-fault", test_precise_fault);
    g_test_add_func("/translator/dma-into-code", test_dma_into_code);
    g_test_add_func("/translator/other-cpu", test_other_cpu);
    g_test_add_func("/translator/greedy", test_greedy);
    g_test_add_func("/translator/chained", test_chained);
    return g_test_run();
}
