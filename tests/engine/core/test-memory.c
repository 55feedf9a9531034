/* tests/engine/core/test-memory.c - RAM, dirty maps, the region tree, accesses, DMA
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/core/memory.h"

#include <gio/gio.h>
#include <string.h>

typedef struct {
    VitRegion       *root;
    VitAddressSpace *as;
    VitRam          *ram;
} Fixture;

enum { RAM_SIZE = 64 * VIT_PAGE_SIZE };

static void setup(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    f->root = vit_region_new_container("root", UINT64_C(1) << 52);
    f->as = vit_as_new("test", f->root);
    f->ram = vit_ram_new("ram", RAM_SIZE, &error);
    g_assert_no_error(error);
}

static void teardown(Fixture *f, gconstpointer data)
{
    vit_as_free(f->as);
    vit_region_free(f->root);
    vit_ram_free(f->ram);
}

/* ---- A device that remembers ----------------------------------------------------------------- */

typedef struct {
    uint64_t offsets[32], values[32];
    unsigned sizes[32], n;
} Journal;

static uint64_t journal_read(void *opaque, uint64_t offset, unsigned size)
{
    Journal *j = opaque;
    if (j->n < 32) {
        j->offsets[j->n] = offset;
        j->sizes[j->n++] = size;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= ((offset + i) & 0xff) << (8 * i);
    return value;
}

static void journal_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Journal *j = opaque;
    if (j->n < 32) {
        j->offsets[j->n] = offset;
        j->values[j->n] = value;
        j->sizes[j->n++] = size;
    }
}

static const VitMmioOps default_ops = { .read = journal_read, .write = journal_write };
static const VitMmioOps wide_ops = { .read = journal_read, .write = journal_write, .max_size = 8 };
static const VitMmioOps dword_ops = { .read = journal_read, .write = journal_write,
                                      .min_size = 4, .max_size = 4, .unlocked = true };

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_ram_limits(void)
{
    g_autoptr(GError) error = NULL;
    VitRam *ram = vit_ram_new("pc.ram", UINT64_C(1) << 50, &error);
    g_assert_null(ram);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    g_assert_nonnull(strstr(error->message, "pc.ram"));
    g_assert_nonnull(strstr(error->message, "less memory"));
    g_autoptr(VitRam) odd = vit_ram_new("odd", 5000, NULL);
    g_assert_cmpuint(odd->size, ==, 8192);
    g_autoptr(VitRam) big = vit_ram_new("big", 8 << 20, NULL);
    g_assert_cmpuint((uintptr_t) big->host % (2 << 20), ==, 0);
    for (unsigned i = 0; i < big->size; i += VIT_PAGE_SIZE)
        g_assert_cmpuint(big->host[i], ==, 0);
}

static void test_load_store(Fixture *f, gconstpointer data)
{
    g_autoptr(VitRegion) low = vit_region_new_ram("low", f->ram, 0, 0x8000);
    g_autoptr(VitRegion) high = vit_region_new_ram("high", f->ram, 0x10000, 0x8000);
    g_autoptr(VitRegion) rom = vit_region_new_rom("rom", f->ram, 0x20000, 0x1000);
    vit_region_add(f->root, 0, low, 0);
    vit_region_add(f->root, 0x8000, high, 0);
    vit_region_add(f->root, 0x20000, rom, 0);
    VitMemResult result;
    for (unsigned size = 1; size <= 8; size *= 2) {
        uint64_t value = UINT64_C(0x8877665544332211) & (UINT64_MAX >> (64 - 8 * size));
        g_assert_cmpint(vit_as_store(f->as, 0x101, value, size), ==, VIT_MEM_OK);
        g_assert_cmpuint(vit_as_load(f->as, 0x101, size, &result), ==, value);
        g_assert_cmpint(result, ==, VIT_MEM_OK);
        g_assert_cmpuint(f->ram->host[0x101], ==, 0x11);
    }
    /* Across two blocks, and off the end. */
    g_assert_cmpint(vit_as_store(f->as, 0x7ffd, UINT64_C(0x0807060504030201), 8), ==, VIT_MEM_OK);
    g_assert_cmpuint(f->ram->host[0x7fff], ==, 3);
    g_assert_cmpuint(f->ram->host[0x10000], ==, 4);
    g_assert_cmpuint(vit_as_load(f->as, 0x7ffd, 8, &result), ==, UINT64_C(0x0807060504030201));
    g_assert_cmpint(vit_as_store(f->as, 0xfffe, 0x44332211, 4), ==, VIT_MEM_UNASSIGNED);
    g_assert_cmpuint(vit_as_load(f->as, 0xfffe, 4, &result), ==, 0xffff2211);
    g_assert_cmpint(result, ==, VIT_MEM_UNASSIGNED);
    /* Nothing there, and the very end of the space. */
    g_assert_cmpuint(vit_as_load(f->as, 0x50000, 2, &result), ==, 0xffff);
    g_assert_cmpint(result, ==, VIT_MEM_UNASSIGNED);
    g_assert_cmpuint(vit_as_load(f->as, UINT64_MAX, 1, &result), ==, 0xff);
    g_assert_cmpuint(vit_as_load(f->as, UINT64_MAX - 1, 8, &result) & 0xffff, ==, 0xffff);
    g_assert_cmpint(vit_as_store(f->as, UINT64_MAX, 0, 8), ==, VIT_MEM_UNASSIGNED);
    /* ROM */
    f->ram->host[0x20004] = 0x5a;
    g_assert_cmpint(vit_as_store(f->as, 0x20004, 0, 1), ==, VIT_MEM_READONLY);
    g_assert_cmpuint(vit_as_load(f->as, 0x20004, 1, NULL), ==, 0x5a);
    vit_region_set_readonly(low, true);
    g_assert_cmpint(vit_as_store(f->as, 0x10, 1, 1), ==, VIT_MEM_READONLY);
}

static void test_mmio(Fixture *f, gconstpointer data)
{
    Journal j = { 0 }, w = { 0 }, d = { 0 };
    g_autoptr(VitRegion) narrow = vit_region_new_mmio("narrow", &default_ops, &j, 0x100);
    g_autoptr(VitRegion) wide = vit_region_new_mmio("wide", &wide_ops, &w, 0x100);
    g_autoptr(VitRegion) dword = vit_region_new_mmio("dword", &dword_ops, &d, 0x100);
    vit_region_add(f->root, 0x1000, narrow, 0);
    vit_region_add(f->root, 0x1100, wide, 0);
    vit_region_add(f->root, 0x2000, dword, 0);

    g_assert_cmpuint(vit_as_load(f->as, 0x1010, 8, NULL), ==, UINT64_C(0x1716151413121110));
    g_assert_cmpuint(j.n, ==, 2);
    g_assert_cmpuint(j.offsets[1], ==, 0x14);
    g_assert_cmpuint(j.sizes[1], ==, 4);
    j.n = 0;
    vit_as_store(f->as, 0x1021, 0xbeef, 2);     /* odd, as ports may be: one access */
    g_assert_cmpuint(j.n, ==, 1);
    g_assert_cmpuint(j.values[0], ==, 0xbeef);

    /* From one device into the next. */
    j.n = 0;
    g_assert_cmpuint(vit_as_load(f->as, 0x10fe, 4, NULL), ==, 0x0100fffe);
    g_assert_cmpuint(j.n, ==, 1);
    g_assert_cmpuint(w.n, ==, 1);
    w.n = 0;
    vit_as_store(f->as, 0x1108, UINT64_C(0x1122334455667788), 8);
    g_assert_cmpuint(w.n, ==, 1);
    g_assert_cmpuint(w.sizes[0], ==, 8);

    /* Widened to what the device takes. */
    g_assert_cmpuint(vit_as_load(f->as, 0x2006, 1, NULL), ==, 6);
    g_assert_cmpuint(d.offsets[0], ==, 4);
    g_assert_cmpuint(d.sizes[0], ==, 4);
    d.n = 0;
    vit_as_store(f->as, 0x2006, 0xab, 1);
    g_assert_cmpuint(d.values[0], ==, 0xab0000);
    g_assert_cmpuint(vit_as_load(f->as, 0x2007, 2, NULL), ==, 0x0807);
    d.n = 0;
    g_assert_cmpuint(vit_as_load(f->as, 0x2008, 8, NULL), ==, UINT64_C(0x0f0e0d0c0b0a0908));
    g_assert_cmpuint(d.n, ==, 2);

    VitMemTarget t = vit_as_translate(f->as, 0x1104);
    g_assert_true(t.assigned && !t.ram && !t.host);
    g_assert_cmpuint(t.offset, ==, 4);
    g_assert_cmpuint(t.length, ==, 0xfc);
}

static void test_tree(Fixture *f, gconstpointer data)
{
    Journal j = { 0 };
    g_autoptr(VitRegion) ram = vit_region_new_ram("ram", f->ram, 0, RAM_SIZE);
    g_autoptr(VitRegion) hole = vit_region_new_mmio("hole", &default_ops, &j, 0x1000);
    g_autoptr(VitRegion) bus = vit_region_new_container("bus", 0x10000);
    g_autoptr(VitRegion) alias = vit_region_new_alias("alias", ram, 0x3000, 0x2000);
    vit_region_add(f->root, 0x100000, ram, 0);
    vit_region_add(bus, 0x2000, hole, 0);
    vit_region_add(f->root, 0x104000, bus, 1);      /* an empty container hides nothing */
    vit_region_add(f->root, 0, alias, 0);
    g_assert_true(vit_region_is_mapped(alias));

    g_assert_true(vit_as_translate(f->as, 0x105fff).ram == f->ram);
    g_assert_null(vit_as_translate(f->as, 0x106000).ram);
    g_assert_true(vit_as_translate(f->as, 0x106000).assigned);
    g_assert_cmpuint(vit_as_translate(f->as, 0x107000).ram_offset, ==, 0x7000);
    g_assert_cmpuint(vit_as_translate(f->as, 0x107000).length, ==, RAM_SIZE - 0x7000);
    g_assert_cmpuint(vit_as_translate(f->as, 0x10).ram_offset, ==, 0x3010);
    g_assert_cmpuint(vit_as_translate(f->as, 0x10).length, ==, 0x1ff0);

    /* The tree changes, the alias follows. */
    vit_region_set_alias_offset(alias, 0x8000);
    g_assert_cmpuint(vit_as_translate(f->as, 0x10).ram_offset, ==, 0x8010);
    vit_region_move(hole, 0x3000);
    g_assert_true(vit_as_translate(f->as, 0x106000).ram == f->ram);
    g_assert_null(vit_as_translate(f->as, 0x107000).ram);
    vit_region_set_enabled(bus, false);
    g_assert_true(vit_as_translate(f->as, 0x107000).ram == f->ram);
    vit_region_set_enabled(bus, true);
    vit_region_resize(hole, 0x800);
    g_assert_true(vit_as_translate(f->as, 0x107800).ram == f->ram);
    vit_region_set_readonly(alias, true);       /* of the alias only */
    g_assert_true(vit_as_translate(f->as, 0x10).readonly);
    g_assert_false(vit_as_translate(f->as, 0x108010).readonly);

    /* One view for many changes. */
    uint64_t generation = vit_as_generation(f->as);
    vit_as_begin(f->as);
    vit_as_begin(f->as);
    vit_region_move(hole, 0);
    vit_region_remove(f->root, alias);
    g_assert_true(vit_as_translate(f->as, 0x10).assigned);
    vit_as_commit(f->as);
    g_assert_cmpuint(vit_as_generation(f->as), ==, generation);
    vit_as_commit(f->as);
    g_assert_cmpuint(vit_as_generation(f->as), ==, generation + 1);
    g_assert_false(vit_as_translate(f->as, 0x10).assigned);
    vit_region_move(hole, 0);
    g_assert_cmpuint(vit_as_generation(f->as), ==, generation + 1);     /* nothing changed */

    g_autofree char *text = vit_as_describe(f->as);
    g_assert_nonnull(strstr(text, "0000000000104000-00000000001047ff mmio hole"));
    g_assert_null(strstr(text, "alias"));
}

/* The same alias of a target that is larger, negative positions, a region up to 2^64. */
static void test_tree_edges(Fixture *f, gconstpointer data)
{
    Journal j = { 0 };
    g_autoptr(VitRegion) all = vit_region_new_container("all", UINT64_MAX);
    g_autoptr(VitRegion) ram = vit_region_new_ram("ram", f->ram, 0, RAM_SIZE);
    g_autoptr(VitRegion) past = vit_region_new_ram("past", f->ram, RAM_SIZE - 0x1000, 0x100000);
    g_autoptr(VitRegion) top = vit_region_new_mmio("top", &wide_ops, &j, 0x10000);
    g_autoptr(VitRegion) window = vit_region_new_alias("window", all, 0x4000, 0x1000);
    vit_region_add(all, 0, ram, 0);
    vit_region_add(f->root, 0x1000, window, 0);
    g_assert_cmpuint(vit_as_translate(f->as, 0x1234).ram_offset, ==, 0x4234);
    g_assert_false(vit_as_translate(f->as, 0xfff).assigned);
    g_assert_false(vit_as_translate(f->as, 0x2000).assigned);
    vit_region_add(f->root, 0x100000, past, 0);     /* a region reaching beyond its block */
    g_assert_true(vit_as_translate(f->as, 0x100fff).ram == f->ram);
    g_assert_false(vit_as_translate(f->as, 0x101000).assigned);
    vit_region_add(all, UINT64_MAX - 0xffff, top, 0);
    g_autoptr(VitAddressSpace) whole = vit_as_new("whole", all);
    g_assert_cmpuint(vit_as_load(whole, UINT64_MAX - 8, 8, NULL), ==,
                     UINT64_C(0xfefdfcfbfaf9f8f7));     /* the last byte is not in "all" */
    g_assert_cmpuint(vit_as_translate(whole, UINT64_MAX - 0x10).length, ==, 0x10);

    /* A region freed while others refer to it. */
    g_clear_pointer(&ram, vit_region_free);
    g_assert_false(vit_as_translate(f->as, 0x1234).assigned);
    g_clear_pointer(&all, vit_region_free);
    g_assert_false(vit_as_translate(whole, UINT64_MAX - 8).assigned);
}

static void test_check(Fixture *f, gconstpointer data)
{
    g_autoptr(VitRegion) a = vit_region_new_ram("a", f->ram, 0, 0x2000);
    g_autoptr(VitRegion) b = vit_region_new_ram("b", f->ram, 0, 0x2000);
    vit_region_add(f->root, 0, a, 0);
    vit_region_add(f->root, 0x2000, b, 0);
    g_assert_null(vit_region_check(f->root));
    vit_region_move(b, 0x1000);
    g_autofree char *report = vit_region_check(f->root);
    g_assert_nonnull(report);
    g_assert_nonnull(strstr(report, "\"a\""));
    vit_region_set_enabled(b, false);
    g_assert_null(vit_region_check(f->root));
}

/* The flattened view against a painter: random trees, every address compared. */
static void test_random_trees(Fixture *f, gconstpointer data)
{
    enum { SPACE = 256, N = 12 };
    g_autoptr(GRand) r = g_rand_new_with_seed(42);
    for (unsigned round = 0; round < 200; round++) {
        VitRegion *regions[N];
        int owner[SPACE], rank[SPACE];
        unsigned offset[N], size[N];
        int priority[N];
        bool enabled[N];
        vit_as_begin(f->as);
        for (int i = 0; i < N; i++) {
            offset[i] = (unsigned) g_rand_int_range(r, 0, SPACE);
            size[i] = (unsigned) g_rand_int_range(r, 1, SPACE - (int) offset[i] + 1);
            priority[i] = i * 7 % N - 4;    /* all different */
            enabled[i] = g_rand_int_range(r, 0, 4) > 0;
            regions[i] = vit_region_new_ram("r", f->ram, (uint64_t) i * VIT_PAGE_SIZE, size[i]);
            vit_region_add(f->root, offset[i], regions[i], priority[i]);
            vit_region_set_enabled(regions[i], enabled[i]);
        }
        vit_as_commit(f->as);
        for (int a = 0; a < SPACE; a++) {
            owner[a] = -1;
            rank[a] = -100;
            for (int i = 0; i < N; i++)
                if (enabled[i] && (unsigned) a >= offset[i] && (unsigned) a < offset[i] + size[i]
                    && priority[i] > rank[a]) {
                    owner[a] = i;
                    rank[a] = priority[i];
                }
            VitMemTarget t = vit_as_translate(f->as, (uint64_t) a);
            g_assert_cmpint(t.assigned, ==, owner[a] >= 0);
            if (owner[a] >= 0)
                g_assert_cmpuint(t.ram_offset, ==,
                                 (uint64_t) owner[a] * VIT_PAGE_SIZE + (unsigned) a
                                     - offset[owner[a]]);
        }
        for (int i = 0; i < N; i++)
            vit_region_free(regions[i]);
    }
}

typedef struct {
    VitRam  *ram;
    unsigned views, rams;
    uint64_t offset, size;
} Heard;

static void hear(void *opaque, VitRam *ram, uint64_t offset, uint64_t size)
{
    Heard *h = opaque;
    if (!ram) {
        h->views++;
        return;
    }
    h->rams++;
    h->ram = ram;
    h->offset = offset;
    h->size = size;
}

static void code_written(void *opaque, VitRam *ram, uint64_t offset, uint64_t size)
{
    hear(opaque, ram, offset, size);
}

static void test_dirty(Fixture *f, gconstpointer data)
{
    Heard h = { 0 };
    unsigned long bits[1] = { 0 };
    g_autoptr(VitRegion) ram = vit_region_new_ram("ram", f->ram, 0, RAM_SIZE);
    vit_as_add_listener(f->as, hear, &h);
    vit_region_add(f->root, 0, ram, 0);
    g_assert_cmpuint(h.views, ==, 1);
    g_assert_false(vit_ram_page_is_tracked_clean(f->ram, 0));

    vit_ram_track(f->ram, VIT_DIRTY_DISPLAY, true);
    g_assert_false(vit_ram_page_is_tracked_clean(f->ram, 0));
    g_assert_true(vit_ram_test_and_clear_dirty(f->ram, VIT_DIRTY_DISPLAY, 0, RAM_SIZE, bits));
    g_assert_cmpuint(bits[0], ==, ULONG_MAX);
    g_assert_cmpuint(h.rams, ==, 1);
    g_assert_cmpuint(h.size, ==, RAM_SIZE);
    g_assert_true(vit_ram_page_is_tracked_clean(f->ram, 0));
    g_assert_false(vit_ram_test_and_clear_dirty(f->ram, VIT_DIRTY_DISPLAY, 0, RAM_SIZE, bits));
    g_assert_cmpuint(bits[0], ==, 0);
    g_assert_cmpuint(h.rams, ==, 1);

    uint8_t buf[3 * VIT_PAGE_SIZE] = { 1 };
    vit_as_store(f->as, 0x5fff, 0x1234, 2);
    vit_as_write(f->as, 0x10800, buf, sizeof(buf));
    vit_as_fill(f->as, 0x3f000, 9, 1);
    uint64_t length = 16;
    void *host = vit_as_map(f->as, 0x20008, &length, true);
    g_assert_true(host == f->ram->host + 0x20008);
    vit_as_unmap(f->as, host, length, true);
    host = vit_as_map(f->as, 0x22000, &length, true);
    vit_as_unmap(f->as, host, length, false);
    g_assert_true(vit_ram_test_and_clear_dirty(f->ram, VIT_DIRTY_DISPLAY, 0, RAM_SIZE, bits));
    g_assert_cmpuint(bits[0], ==, 3ul << 5 | 15ul << 0x10 | 1ul << 0x3f | 1ul << 0x20);

    /* Code: exact bytes, and the bit is the hook's to set. */
    Heard code = { 0 };
    vit_ram_track(f->ram, VIT_DIRTY_DISPLAY, false);
    vit_ram_track(f->ram, VIT_DIRTY_CODE, true);
    vit_ram_set_code_hook(f->ram, code_written, &code);
    vit_as_store(f->as, 0x3004, 0, 4);
    g_assert_cmpuint(code.rams, ==, 0);
    h.rams = 0;
    g_assert_true(vit_ram_clear_dirty(f->ram, VIT_DIRTY_CODE, 0x3000, 0x2000));
    g_assert_cmpuint(h.rams, ==, 1);
    g_assert_cmpuint(h.offset, ==, 0x3000);
    g_assert_cmpuint(h.size, ==, 0x2000);
    vit_as_store(f->as, 0x3004, 0, 4);
    g_assert_cmpuint(code.rams, ==, 1);
    g_assert_cmpuint(code.offset, ==, 0x3004);
    g_assert_cmpuint(code.size, ==, 4);
    g_assert_true(vit_ram_page_is_tracked_clean(f->ram, 0x3000));
    vit_as_write(f->as, 0x2ff0, buf, 0x1020);       /* clipped to the page with code */
    g_assert_cmpuint(code.rams, ==, 2);
    g_assert_cmpuint(code.offset, ==, 0x3000);
    g_assert_cmpuint(code.size, ==, 0x1010);
    vit_as_write(f->as, 0x4ff8, buf, 0x10);
    g_assert_cmpuint(code.offset, ==, 0x4ff8);
    g_assert_cmpuint(code.size, ==, 8);
    vit_ram_set_dirty(f->ram, VIT_DIRTY_CODE, 0x3000, 1);
    g_assert_true(vit_ram_is_dirty(f->ram, VIT_DIRTY_CODE, 0x3000, 1));
    g_assert_false(vit_ram_is_dirty(f->ram, VIT_DIRTY_CODE, 0x4000, 1));
    vit_as_store(f->as, 0x3004, 0, 4);
    g_assert_cmpuint(code.rams, ==, 3);
    vit_ram_set_code_hook(f->ram, NULL, NULL);      /* without a hook the bit is set */
    vit_as_store(f->as, 0x4004, 0, 4);
    g_assert_true(vit_ram_is_dirty(f->ram, VIT_DIRTY_CODE, 0x4000, 1));

    vit_ram_mark_dirty(f->ram, RAM_SIZE - 1, UINT64_MAX);       /* clipped */
    vit_ram_mark_dirty(f->ram, UINT64_MAX, 2);
    vit_as_remove_listener(f->as, hear, &h);
    h.views = 0;
    vit_region_remove(f->root, ram);
    g_assert_cmpuint(h.views, ==, 0);
}

static void test_bulk(Fixture *f, gconstpointer data)
{
    Journal j = { 0 };
    g_autoptr(VitRegion) ram = vit_region_new_ram("ram", f->ram, 0, 0x4000);
    g_autoptr(VitRegion) rom = vit_region_new_rom("rom", f->ram, 0x8000, 0x1000);
    g_autoptr(VitRegion) io = vit_region_new_mmio("io", &wide_ops, &j, 0x100);
    vit_region_add(f->root, 0, ram, 0);
    vit_region_add(f->root, 0x4000, rom, 0);
    vit_region_add(f->root, 0x5000, io, 0);
    uint8_t out[0x2000], in[0x2000];
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t) (i * 7 + (i >> 8));
    g_assert_cmpint(vit_as_write(f->as, 0x1001, out, sizeof(out)), ==, VIT_MEM_OK);
    g_assert_cmpint(vit_as_read(f->as, 0x1001, in, sizeof(in)), ==, VIT_MEM_OK);
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
    g_assert_cmpint(vit_as_write(f->as, 0x3fff, out, 2), ==, VIT_MEM_READONLY);
    g_assert_cmpuint(f->ram->host[0x3fff], ==, out[0]);
    g_assert_cmpuint(f->ram->host[0x8000], ==, 0);
    g_assert_cmpint(vit_as_write(f->as, 0x3fff, out, 0x2000), ==, VIT_MEM_UNASSIGNED);
    g_assert_cmpint(vit_as_read(f->as, 0x4ff0, in, 0x20), ==, VIT_MEM_OK);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmpuint(in[16 + i], ==, i);

    j.n = 0;    /* the widest aligned accesses */
    g_assert_cmpint(vit_as_write(f->as, 0x5001, out, 14), ==, VIT_MEM_OK);
    const unsigned sizes[] = { 1, 2, 4, 4, 2, 1 };
    g_assert_cmpuint(j.n, ==, G_N_ELEMENTS(sizes));
    for (unsigned i = 0; i < j.n; i++)
        g_assert_cmpuint(j.sizes[i], ==, sizes[i]);
    g_assert_cmpuint(j.values[1], ==, (uint64_t) out[2] << 8 | out[1]);
    g_assert_cmpint(vit_as_read(f->as, 0x5100, in, 4), ==, VIT_MEM_UNASSIGNED);
    g_assert_cmpuint(in[3], ==, 0xff);
    vit_as_fill(f->as, 0x10, 0xee, 0x20);
    g_assert_cmpuint(vit_as_load(f->as, 0x28, 8, NULL), ==, UINT64_C(0xeeeeeeeeeeeeeeee));
    g_assert_cmpuint(vit_as_load(f->as, 0x30, 1, NULL), ==, 0);

    uint64_t size = 0x10000;
    g_assert_nonnull(vit_as_map(f->as, 0x3000, &size, true));
    g_assert_cmpuint(size, ==, 0x1000);
    size = 8;
    g_assert_null(vit_as_map(f->as, 0x4000, &size, true));
    size = 8;
    g_assert_nonnull(vit_as_map(f->as, 0x4000, &size, false));
    g_assert_null(vit_as_map(f->as, 0x5000, &size, false));
}

/* Callbacks that reach themselves, and callbacks that take the map apart. */
typedef struct {
    VitAddressSpace *as;
    VitRegion       *root, *self;
    unsigned         calls;
} Mischief;

static uint64_t recurse(void *opaque, uint64_t offset, unsigned size)
{
    Mischief *m = opaque;
    m->calls++;
    return vit_as_load(m->as, 0x1000, size, NULL);
}

static void vanish(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Mischief *m = opaque;
    m->calls++;
    g_clear_pointer(&m->self, vit_region_free);
}

static void test_mischief(Fixture *f, gconstpointer data)
{
    static const VitMmioOps ops = { .read = recurse, .write = vanish };
    Mischief m = { f->as, f->root, vit_region_new_mmio("mischief", &ops, &m, 0x1000), 0 };
    vit_region_add(f->root, 0x1000, m.self, 0);
    g_assert_cmpuint(vit_as_load(f->as, 0x1000, 4, NULL), ==, UINT32_MAX);
    g_assert_cmpuint(m.calls, <, 100);
    m.calls = 0;
    g_assert_cmpint(vit_as_store(f->as, 0x1000, 0, 8), ==, VIT_MEM_UNASSIGNED);
    g_assert_cmpuint(m.calls, ==, 1);   /* the second half found nothing there */
}

/* ---- Threads --------------------------------------------------------------------------------- */

typedef struct {
    VitAddressSpace *as;
    int              stop;      /* atomic */
    uint64_t         errors;
    uint64_t         accesses;
} Reader;

static uint64_t read_constant(void *opaque, uint64_t offset, unsigned size)
{
    return 0x4d;
}

/* At any instant address 0x1000 shows RAM (0x52), MMIO (0x4d) or nothing (0xff). */
static gpointer read_on(gpointer data)
{
    Reader *r = data;
    while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
        uint64_t value = vit_as_load(r->as, 0x1000, 1, NULL);
        if (value != 0x52 && value != 0x4d && value != 0xff)
            r->errors++;
        uint8_t bulk[2];
        vit_as_read(r->as, 0x1000, bulk, 2);
        if (bulk[0] != 0x52 && bulk[0] != 0x4d && bulk[0] != 0xff)
            r->errors++;
        VitMemTarget t = vit_as_translate(r->as, 0x1000);
        if (t.assigned && t.ram && *t.host != 0x52)
            r->errors++;
        r->accesses++;
    }
    return NULL;
}

static void test_readers(Fixture *f, gconstpointer data)
{
    static const VitMmioOps ops = { .read = read_constant, .unlocked = true };
    static const VitMmioOps locked = { .read = read_constant };
    GRecMutex lock;
    GThread *threads[3];
    Reader readers[3] = { 0 };
    g_rec_mutex_init(&lock);
    vit_as_set_lock(f->as, &lock);
    memset(f->ram->host, 0x52, RAM_SIZE);
    for (int i = 0; i < 3; i++) {
        readers[i].as = f->as;
        threads[i] = g_thread_new("reader", read_on, &readers[i]);
    }
    g_autoptr(GRand) r = g_rand_new_with_seed(3);
    for (int i = 0; i < 3000; i++) {
        g_rec_mutex_lock(&lock);
        VitRegion *region = i % 3 == 0 ? vit_region_new_ram("ram", f->ram, 0, 0x2000)
                            : i % 3 == 1 ? vit_region_new_mmio("io", &locked, NULL, 0x2000)
                                         : vit_region_new_mmio("fast", &ops, NULL, 0x2000);
        vit_region_add(f->root, (uint64_t) g_rand_int_range(r, 0, 2) << 12, region, i);
        g_rec_mutex_unlock(&lock);
        if (i % 7 == 0)
            g_thread_yield();
        g_rec_mutex_lock(&lock);
        vit_region_free(region);
        g_rec_mutex_unlock(&lock);
    }
    for (int i = 0; i < 3; i++) {
        __atomic_store_n(&readers[i].stop, 1, __ATOMIC_RELAXED);
        g_thread_join(threads[i]);
        g_assert_cmpuint(readers[i].errors, ==, 0);
        g_assert_cmpuint(readers[i].accesses, >, 0);
    }
    vit_as_set_lock(f->as, NULL);
    g_rec_mutex_clear(&lock);
}

/* Who clears a page's bit and then reads the data misses no write. */
typedef struct {
    VitAddressSpace *as;
    uint32_t         last;
    int              done;      /* atomic */
} Writer;

static gpointer write_on(gpointer data)
{
    Writer *w = data;
    for (uint32_t i = 1; i <= 100000; i++) {
        vit_as_store(w->as, 0x3000, i, 4);
        w->last = i;
    }
    __atomic_store_n(&w->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void test_dirty_race(Fixture *f, gconstpointer data)
{
    g_autoptr(VitRegion) ram = vit_region_new_ram("ram", f->ram, 0, RAM_SIZE);
    vit_region_add(f->root, 0, ram, 0);
    vit_ram_track(f->ram, VIT_DIRTY_DISPLAY, true);
    Writer w = { .as = f->as };
    GThread *thread = g_thread_new("writer", write_on, &w);
    uint32_t copy = 0;
    while (!__atomic_load_n(&w.done, __ATOMIC_SEQ_CST))
        if (vit_ram_test_and_clear_dirty(f->ram, VIT_DIRTY_DISPLAY, 0x3000, 4, NULL))
            copy = (uint32_t) vit_as_load(f->as, 0x3000, 4, NULL);
    g_thread_join(thread);
    if (vit_ram_test_and_clear_dirty(f->ram, VIT_DIRTY_DISPLAY, 0x3000, 4, NULL))
        copy = (uint32_t) vit_as_load(f->as, 0x3000, 4, NULL);
    g_assert_cmpuint(copy, ==, w.last);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/memory/ram-limits", test_ram_limits);
    g_test_add("/core/memory/load-store", Fixture, NULL, setup, test_load_store, teardown);
    g_test_add("/core/memory/mmio", Fixture, NULL, setup, test_mmio, teardown);
    g_test_add("/core/memory/tree", Fixture, NULL, setup, test_tree, teardown);
    g_test_add("/core/memory/tree-edges", Fixture, NULL, setup, test_tree_edges, teardown);
    g_test_add("/core/memory/check", Fixture, NULL, setup, test_check, teardown);
    g_test_add("/core/memory/random-trees", Fixture, NULL, setup, test_random_trees, teardown);
    g_test_add("/core/memory/dirty", Fixture, NULL, setup, test_dirty, teardown);
    g_test_add("/core/memory/bulk", Fixture, NULL, setup, test_bulk, teardown);
    g_test_add("/core/memory/mischief", Fixture, NULL, setup, test_mischief, teardown);
    g_test_add("/core/memory/readers", Fixture, NULL, setup, test_readers, teardown);
    g_test_add("/core/memory/dirty-race", Fixture, NULL, setup, test_dirty_race, teardown);
    return g_test_run();
}
