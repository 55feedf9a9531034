/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/engine/guest/x86/test-mmu.c - page walks against tables built by hand */
#include "tests/engine/guest/x86/fixture.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (UINT64_C(1) << 63)
enum { E_P = 1, E_W = 2, E_U = 4, E_RSVD = 8, E_ID = 16 };

static void enable(Fixture *f, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    X86Cpu *x = f->x;

    x->cr3 = cr3;
    x->cr4 = cr4;
    x->efer = efer;
    x->cr0 = CR0_PE | CR0_PG | CR0_WP;
    if (!(efer & EFER_LMA) && (cr4 & CR4_PAE)) g_assert_true(x86_load_pdptes(x, cr3));
    x86_update_mode(x);
}

static bool fill(Fixture *f, uint64_t linear, VitAccess access, unsigned mmu, VitTlbFill *out)
{
    f->x->pending_vector = -1;
    return x86_tlb_fill(&f->x->cpu, linear, access, mmu, false, out);
}

static void check_maps(Fixture *f, uint64_t linear, VitAccess access, unsigned mmu, uint64_t phys,
                       unsigned prot)
{
    VitTlbFill out;

    g_assert_true(fill(f, linear, access, mmu, &out));
    g_assert_cmphex(out.phys, ==, phys);
    g_assert_cmphex(out.prot, ==, prot);
}

static void check_fault(Fixture *f, uint64_t linear, VitAccess access, unsigned mmu, unsigned error)
{
    VitTlbFill out;

    g_assert_false(fill(f, linear, access, mmu, &out));
    g_assert_cmpint(f->x->pending_vector, ==, X86_PF);
    g_assert_cmphex(f->x->pending_error, ==, error);
    g_assert_cmphex(f->x->cr2, ==, linear);
}

enum {
    RX = VIT_PROT_READ | VIT_PROT_EXEC,
    RWX = RX | VIT_PROT_WRITE,
    RW = VIT_PROT_READ | VIT_PROT_WRITE
};

static void test_none(Fixture *f, const void *unused)
{
    check_maps(f, 0x123456, VIT_ACCESS_WRITE, X86_MMU_KERNEL, 0x123000, RWX);
}

static void test_two_levels(Fixture *f, const void *unused)
{
    enable(f, 0x10000, CR4_PSE | CR4_PGE, 0);
    put(f, 0x10000 + 4 * 1, 0x11000 | P | W | U, 4);
    put(f, 0x11000 + 4 * 2, 0x22000 | P | W, 4);
    put(f, 0x11000 + 4 * 3, 0x23000 | P | U | G, 4);
    put(f, 0x10000 + 4 * 2, 0x00c00000 | 3 << 13 | P | W | PS, 4);
    put(f, 0x10000 + 4 * 3, 1 << 21 | P | W | PS, 4);

    check_maps(f, 0x402123, VIT_ACCESS_READ, X86_MMU_KERNEL, 0x22000, RX);
    g_assert_cmphex(get(f, 0x10004, 4), ==, 0x11000 | P | W | U | A);
    g_assert_cmphex(get(f, 0x11008, 4), ==, 0x22000 | P | W | A);
    check_maps(f, 0x402123, VIT_ACCESS_WRITE, X86_MMU_KERNEL, 0x22000, RWX);
    g_assert_cmphex(get(f, 0x11008, 4), ==, 0x22000 | P | W | A | D);
    check_fault(f, 0x402123, VIT_ACCESS_READ, X86_MMU_USER, E_P | E_U);
    check_maps(f, 0x403fff, VIT_ACCESS_READ, X86_MMU_USER, 0x23000, RX);
    check_fault(f, 0x403fff, VIT_ACCESS_WRITE, X86_MMU_USER, E_P | E_W | E_U);
    check_fault(f, 0x403fff, VIT_ACCESS_WRITE, X86_MMU_KERNEL, E_P | E_W);
    f->x->cr0 &= ~(uint64_t)CR0_WP;
    check_maps(f, 0x403fff, VIT_ACCESS_WRITE, X86_MMU_KERNEL, 0x23000, RWX);
    check_fault(f, 0x404000, VIT_ACCESS_EXEC, X86_MMU_USER,
                E_U);       /* no ID bit without NX and SMEP */
    check_fault(f, 0, VIT_ACCESS_WRITE, X86_MMU_KERNEL, E_W);
    check_maps(f, 0x801000, VIT_ACCESS_READ, X86_MMU_KERNEL, 0x300c01000, RX);     /* PSE-36 */
    check_fault(f, 0xc00000, VIT_ACCESS_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    f->x->cr4 = 0;              /* without PSE the bit is ignored: a table at the address */
    put(f, 0xc00000 + 4, 0x55000 | P, 4);
    put(f, 0x10000 + 4 * 2, 0x00c00000 | P | W | PS, 4);
    check_maps(f, 0x801000, VIT_ACCESS_READ, X86_MMU_KERNEL, 0x55000, RX);
}

static void test_global(Fixture *f, const void *unused)
{
    VitTlbFill out;

    enable(f, 0x10000, CR4_PGE, 0);
    put(f, 0x10000, 0x11000 | P | W, 4);
    put(f, 0x11000, 0x22000 | P | W | G, 4);
    g_assert_true(fill(f, 0, VIT_ACCESS_READ, X86_MMU_KERNEL, &out));
    g_assert_true(out.global);
    f->x->cr4 = 0;
    g_assert_true(fill(f, 0, VIT_ACCESS_READ, X86_MMU_KERNEL, &out));
    g_assert_false(out.global);
}

static void test_pae(Fixture *f, const void *unused)
{
    put(f, 0x10000 + 8 * 3, 0x11000 | P, 8);
    put(f, 0x10000 + 8 * 1, 0, 8);
    put(f, 0x11000 + 8 * 5, 0x12000 | P | W | U, 8);
    put(f, 0x12000 + 8 * 6, 0x2345600000 | P | W | U | NX, 8);
    put(f, 0x11000 + 8 * 7, 0x1200000 | P | W | PS, 8);
    put(f, 0x11000 + 8 * 8, 0x1202000 | P | W | PS, 8);
    enable(f, 0x10000, CR4_PAE, EFER_NXE);

    check_maps(f, 0xc0a06000, VIT_ACCESS_WRITE, X86_MMU_USER, 0x2345600000, RW);
    check_fault(f, 0xc0a06000, VIT_ACCESS_EXEC, X86_MMU_USER, E_P | E_U | E_ID);
    check_maps(f, 0xc0e03000, VIT_ACCESS_WRITE, X86_MMU_KERNEL, 0x1203000, RWX);
    check_fault(f, 0xc1000000, VIT_ACCESS_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    check_fault(f, 0x40000000, VIT_ACCESS_READ, X86_MMU_KERNEL, 0);
    f->x->efer = 0;             /* then NX is a reserved bit */
    check_fault(f, 0xc0a06000, VIT_ACCESS_READ, X86_MMU_USER, E_P | E_U | E_RSVD);

    put(f, 0x10000 + 8 * 2, 0x13000 | P | W, 8);        /* W is reserved in a PDPTE */
    g_assert_false(x86_load_pdptes(f->x, 0x10000));
    g_assert_cmphex(f->x->pdpte[3], ==, 0x11000 | P);
}

static void test_four_levels(Fixture *f, const void *unused)
{
    VitTlbFill out;
    uint64_t top = UINT64_C(0xffff800000000000);

    put(f, 0x10000 + 8 * 256, 0x11000 | P | W | U, 8);
    put(f, 0x11000, 0x12000 | P | W | U, 8);
    put(f, 0x11000 + 8, (UINT64_C(3) << 30) | P | W | PS, 8);
    put(f, 0x12000, 0x13000 | P | U | W | NX, 8);
    put(f, 0x12000 + 8, 0x400000 | P | W | U | PS | G, 8);
    put(f, 0x13000, 0x77000 | P | W, 8);
    put(f, 0x13000 + 8, 0x78000 | P | W | (UINT64_C(1) << 41), 8);
    enable(f, 0x10000, CR4_PAE | CR4_PGE, EFER_LME | EFER_LMA | EFER_NXE);
    f->x->seg[X86_CS].attr |= X86_ATTR_L;

    check_maps(f, top, VIT_ACCESS_WRITE, X86_MMU_KERNEL, 0x77000, RW);
    for (unsigned i = 0; i < 3; i++)
        g_assert_true(get(f, (uint64_t[]){ 0x10000 + 8 * 256, 0x11000, 0x12000 }[i], 8) & A);
    g_assert_false(get(f, 0x12000, 8) & D);
    check_fault(f, top, VIT_ACCESS_EXEC, X86_MMU_KERNEL, E_P | E_ID);
    check_fault(f, top + 0x1000, VIT_ACCESS_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    check_maps(f, top + 0x212345, VIT_ACCESS_WRITE, X86_MMU_USER, 0x412000, RWX);
    g_assert_true(fill(f, top + 0x40123456, VIT_ACCESS_READ, X86_MMU_KERNEL, &out));
    g_assert_cmphex(out.phys, ==, (UINT64_C(3) << 30) + 0x123000);
    g_assert_cmphex(out.size, ==, 1 << 30);
    check_fault(f, top + (UINT64_C(1) << 39), VIT_ACCESS_READ, X86_MMU_KERNEL, 0);

    g_assert_false(fill(f, UINT64_C(0x800000000000), VIT_ACCESS_READ, X86_MMU_KERNEL, &out));
    g_assert_cmpint(f->x->pending_vector, ==, X86_GP);

    /* PS in the top level is reserved. */
    put(f, 0x10000, 0x11000 | P | W | PS, 8);
    check_fault(f, 0, VIT_ACCESS_READ, X86_MMU_KERNEL, E_P | E_RSVD);
}

static void test_five_levels(Fixture *f, const void *unused)
{
    put(f, 0x10000 + 8 * 1, 0x11000 | P | W, 8);
    put(f, 0x11000 + 8 * 2, 0x12000 | P | W, 8);
    put(f, 0x12000 + 8 * 3, 0x13000 | P | W, 8);
    put(f, 0x13000 + 8 * 4, 0x14000 | P | W, 8);
    put(f, 0x14000 + 8 * 5, 0x99000 | P | W, 8);
    enable(f, 0x10000, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA);
    check_maps(f, UINT64_C(1) << 48 | UINT64_C(2) << 39 | UINT64_C(3) << 30 | 4 << 21 | 5 << 12,
               VIT_ACCESS_READ, X86_MMU_KERNEL, 0x99000, RX);
}

static void test_smep_smap(Fixture *f, const void *unused)
{
    put(f, 0x10000, 0x11000 | P | W | U, 8);
    put(f, 0x11000, 0x12000 | P | W | U, 8);
    put(f, 0x12000, 0x000000 | P | W | U | PS, 8);
    enable(f, 0x10000, CR4_PAE | CR4_SMEP | CR4_SMAP, EFER_LME | EFER_LMA | EFER_NXE);
    check_fault(f, 0x1000, VIT_ACCESS_READ, X86_MMU_KERNEL_SMAP, E_P);
    check_maps(f, 0x1000, VIT_ACCESS_READ, X86_MMU_KERNEL, 0x1000, VIT_PROT_READ);
    check_fault(f, 0x1000, VIT_ACCESS_EXEC, X86_MMU_KERNEL, E_P | E_ID);
    check_maps(f, 0x1000, VIT_ACCESS_EXEC, X86_MMU_USER, 0x1000, RX);

    f->x->seg[X86_SS].attr &= ~0x60;
    f->x->eflags &= ~(uint32_t)X86_EFLAGS_AC;
    x86_update_mode(f->x);
    g_assert_cmpuint(X86_MODE_MMU(f->x->cpu.mode), ==, X86_MMU_KERNEL_SMAP);
    call(f, x86_h_set_ac, 1, 0, 0, 0);
    g_assert_cmpuint(X86_MODE_MMU(f->x->cpu.mode), ==, X86_MMU_KERNEL);
}

static void test_probe(Fixture *f, const void *unused)
{
    VitTlbFill out;

    enable(f, 0x10000, 0, 0);
    put(f, 0x10000, 0x11000 | P | W, 4);
    put(f, 0x11000, 0x22000 | P | W, 4);
    f->x->pending_vector = -1;
    g_assert_true(x86_tlb_fill(&f->x->cpu, 0, VIT_ACCESS_WRITE, X86_MMU_KERNEL, true, &out));
    g_assert_cmphex(get(f, 0x11000, 4), ==, 0x22000 | P | W);
    g_assert_false(
        x86_tlb_fill(&f->x->cpu, 0x400000, VIT_ACCESS_WRITE, X86_MMU_KERNEL, true, &out));
    g_assert_cmpint(f->x->pending_vector, ==, -1);
}

/* Tables outside RAM and beyond it read as all ones or nothing: no crash, some fault. */
static void test_wild_tables(Fixture *f, const void *unused)
{
    VitTlbFill out;

    enable(f, 0xff00000000, CR4_PAE, EFER_LME | EFER_LMA);
    g_assert_false(fill(f, 0x1000, VIT_ACCESS_READ, X86_MMU_KERNEL, &out));
    f->x->cr4 = 0;
    f->x->efer = 0;
    f->x->cr3 = 0xfffff000;
    fill(f, 0x1000, VIT_ACCESS_WRITE, X86_MMU_KERNEL, &out);
}

#define ADD(name, fn)                                                                              \
    g_test_add("/guest/x86/mmu/" name, Fixture, NULL, fixture_setup, fn, fixture_teardown)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("none", test_none);
    ADD("two-levels", test_two_levels);
    ADD("global", test_global);
    ADD("pae", test_pae);
    ADD("four-levels", test_four_levels);
    ADD("five-levels", test_five_levels);
    ADD("smep-smap", test_smep_smap);
    ADD("probe", test_probe);
    ADD("wild-tables", test_wild_tables);
    return g_test_run();
}
