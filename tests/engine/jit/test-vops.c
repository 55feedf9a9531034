/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/jit/test-vops.c - every vector row against the host's own instruction of that
 * name */
#include "engine/jit/vops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/mman.h>
#include <string.h>

typedef void (*Native)(VitVec *d_and_a, const VitVec *b);

/* movdqu xmm0,[rdi]; movdqu xmm1,[rsi]; OP xmm0,xmm1[,imm]; movdqu [rdi],xmm0; ret */
static Native assemble(uint8_t *code, const VitVopInfo *info, unsigned imm)
{
    static const uint8_t head[] = { 0xf3, 0x0f, 0x6f, 0x07, 0xf3, 0x0f, 0x6f, 0x0e };
    static const uint8_t tail[] = { 0xf3, 0x0f, 0x7f, 0x07, 0xc3 };
    uint8_t *p = code;
    bool shift = info->shape == VIT_VSHAPE_SHI;

    memcpy(p, head, sizeof head);
    p += sizeof head;
    if (info->prefix)
        *p++ = info->prefix;
    *p++ = 0x0f;
    if (info->map == 2)
        *p++ = 0x38;
    if (info->map == 3)
        *p++ = 0x3a;
    *p++ = (uint8_t) info->opcode;
    *p++ = (uint8_t) (shift ? 0xc0 | (info->opcode >> 8) << 3 : 0xc1);
    if (shift || info->shape == VIT_VSHAPE_IMM || info->shape == VIT_VSHAPE_UNIMM)
        *p++ = (uint8_t) imm;
    memcpy(p, tail, sizeof tail);
    return (Native) (void *) code;
}

static void random_vector(VitVec *v)
{
    static const uint32_t special[] = { 0, 0x80000000, 0x3f800000, 0x7f800000, 0xff800000,
                                        0x7fc00001, 0x7f800001, 1, 0x00400000, 0x4f000000,
                                        0xcf000000, 0x3fc00000, 0x7ff00000, 0x7ff80000, 0x3ff00000,
                                        0x43e00000, 0xffffffff };

    for (unsigned i = 0; i < 4; i++)
        v->u32[i] = g_test_rand_bit() ? special[g_test_rand_int_range(0, G_N_ELEMENTS(special))]
                                      : (uint32_t) g_test_rand_int();
}

/* A count operand, so that shifts by less than the width occur. */
static void small_count(VitVec *v)
{
    if (g_test_rand_bit())
        v->u64[0] = (uint64_t) g_test_rand_int_range(0, 70);
}

/* ---- Dot products: which of several NaNs comes out is not defined ---------------------------- */

static bool is_nan(const VitVec *v, unsigned i, bool wide)
{
    return wide ? (v->u64[i] & INT64_MAX) > 0x7ff0000000000000
                : (v->u32[i] & INT32_MAX) > 0x7f800000;
}

static uint64_t lane(const VitVec *v, unsigned i, bool wide)
{
    return wide ? v->u64[i] : v->u32[i];
}

/* Whether lane i is the NaN of a product that the immediate takes part in, or the one of inf -
 * inf. */
static bool is_candidate(const VitVec *r, unsigned i, const VitVec *products, unsigned imm,
                         bool wide)
{
    uint64_t v = lane(r, i, wide);

    if (v == (wide ? 0xfff8000000000000 : 0xffc00000))
        return true;
    for (unsigned k = 0; k < (wide ? 2 : 4); k++)
        if (imm >> (4 + k) & 1 && is_nan(products, k, wide) && v == lane(products, k, wide))
            return true;
    return false;
}

/* Lanes that are NaNs in both results must each be a candidate; all else is the same. */
static bool same_dot_product(unsigned op, const VitVec *got, const VitVec *want, const VitVec *a,
                             const VitVec *b, unsigned imm)
{
    bool wide = op == VIT_VOP_DPPD;
    VitVec products;

    vit_vop_exec(wide ? VIT_VOP_MULPD : VIT_VOP_MULPS, &products, a, b, 0);
    for (unsigned i = 0; i < (wide ? 2 : 4); i++) {
        if (lane(got, i, wide) == lane(want, i, wide))
            continue;
        if (!is_nan(got, i, wide) || !is_nan(want, i, wide) ||
            !is_candidate(got, i, &products, imm, wide) ||
            !is_candidate(want, i, &products, imm, wide))
            return false;
    }
    return true;
}

static bool same(unsigned op, const VitVec *got, const VitVec *want, const VitVec *a,
                 const VitVec *b, unsigned imm)
{
    if (op == VIT_VOP_DPPS || op == VIT_VOP_DPPD)
        return same_dot_product(op, got, want, a, b, imm);
    return memcmp(got, want, 16) == 0;
}

static void test_rows(void)
{
    /* all but denormal-operand, which C arithmetic need not report alike */
    enum { STICKY = 0x3d };
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(code != MAP_FAILED);
    for (unsigned op = 0; op < VIT_VOP_COUNT; op++) {
        for (unsigned n = 0; n < 400; n++) {
            VitVec a, b, want, got;
            unsigned imm = (unsigned) g_test_rand_int_range(0, 256);
            unsigned csr = 0x1f80 | (unsigned) g_test_rand_int_range(0, 4) << 13, want_csr, got_csr;

            random_vector(&a);
            random_vector(&b);
            small_count(&b);
            Native native = assemble(code, &vit_vop_info[op], imm);
            want = a;
            _mm_setcsr(csr);
            native(&want, &b);
            want_csr = _mm_getcsr() & STICKY;
            _mm_setcsr(csr);
            vit_vop_exec(op, &got, &a, &b, imm);
            got_csr = _mm_getcsr() & STICKY;
            _mm_setcsr(0x1f80);
            if (!same(op, &got, &want, &a, &b, imm) || got_csr != want_csr)
                g_error("%s imm %#x csr %#x: a %08x %08x %08x %08x b %08x %08x %08x %08x gives "
                        "%08x %08x %08x %08x flags %#x, host %08x %08x %08x %08x flags %#x",
                        vit_vop_info[op].name, imm, csr, a.u32[0], a.u32[1], a.u32[2], a.u32[3],
                        b.u32[0], b.u32[1], b.u32[2], b.u32[3], got.u32[0], got.u32[1], got.u32[2],
                        got.u32[3], got_csr, want.u32[0], want.u32[1], want.u32[2], want.u32[3],
                        want_csr);
        }
    }
    munmap(code, 4096);
}
#else
static void test_rows(void)
{
    g_test_skip("the host has no x86 vector instructions to compare with");
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vops/rows", test_rows);
    return g_test_run();
}
