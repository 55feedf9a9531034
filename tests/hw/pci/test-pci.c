/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/pci/test-pci.c - config space, BARs, interrupts, bridges as drivers use them */
#include "tests/hw/pci/pci-machine.h"

static const VitPciIds test_ids = {
    .vendor = 0x1234, .device = 0x5678, .base_class = 1, .subclass = 6, .express = true
};

static uint64_t read_tag(void *opaque, uint64_t offset, unsigned size)
{
    return GPOINTER_TO_UINT(opaque) + offset;
}

static void write_nothing(void *opaque, uint64_t offset, uint64_t value, unsigned size) { }

static const VitMmioOps tag_ops = { .read = read_tag, .write = write_nothing };

static VitRegion *tag_region(unsigned tag, uint64_t size)
{
    return vit_region_new_mmio("tag", &tag_ops, GUINT_TO_POINTER(tag), size);
}

static void free_region(void *opaque) { vit_region_free(opaque); }

static VitPciFunction *new_function(TestMachine *m, int devfn, VitRegion *bar0)
{
    GError *error = NULL;
    VitPciFunction *fn = vit_pci_function_new(m->bus, devfn, &test_ids, NULL, &error);
    g_assert_no_error(error);
    if (bar0) {
        vit_pci_set_bar(fn, 0, bar0, false, false, false);
        vit_pci_set_finish_hook(fn, free_region, bar0);
    }
    return fn;
}

static uint64_t load(TestMachine *m, uint64_t addr)
{
    return vit_as_load(m->sys->memory, addr, 4, NULL);
}

static void test_header(void)
{
    TestMachine m;
    test_machine_init(&m, true);
    VitPciFunction *fn = new_function(&m, VIT_PCI_DEVFN(3, 0), NULL);
    vit_system_reset(m.sys);

    g_assert_cmphex(cfg_read(&m, 0x18, 0, 4), ==, 0x56781234);
    g_assert_cmphex(cfg_read(&m, 0x18, 8, 4), ==, 0x01060000);
    g_assert_cmphex(cfg_read(&m, 0x20, 0, 4), ==, 0xffffffff);
    cfg_write(&m, 0x18, 0, 0, 4);
    g_assert_cmphex(cfg_read(&m, 0x18, 0, 4), ==, 0x56781234);
    cfg_write(&m, 0x18, 4, 0xffff, 2);
    g_assert_cmphex(cfg_read(&m, 0x18, 4, 2), ==, 0x0547);
    vit_pci_config(fn)[7] = 0xf9;                   /* errors that the device reported */
    cfg_write(&m, 0x18, 6, 0x8000, 2);
    g_assert_cmphex(cfg_read(&m, 0x18, 6, 2) & 0xf900, ==, 0x7900);
    g_assert_cmphex(cfg_read(&m, 0x18, 0x100, 4), ==, 0);   /* no extended capabilities */
    g_assert_cmpuint(cfg_find_cap(&m, 0x18, 0x10, 0), !=, 0);
    g_assert_cmphex(cfg_read(&m, 0x18, 0xe, 1), ==, 0);
    (void) new_function(&m, VIT_PCI_DEVFN(3, 1), NULL);
    g_assert_cmphex(cfg_read(&m, 0x18, 0xe, 1), ==, 0x80);

    GError *error = NULL;
    g_assert_null(vit_pci_function_new(m.bus, 0x18, &test_ids, NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    test_machine_clear(&m);
}

static void test_bars(void)
{
    TestMachine m;
    test_machine_init(&m, false);
    VitRegion *mem = tag_region(0x1000, 0x2000), *big = tag_region(0x2000, 0x100000),
              *io = tag_region(0x3000, 32);
    VitPciFunction *fn = new_function(&m, 8, mem);
    vit_pci_set_bar(fn, 1, io, true, false, false);
    vit_pci_set_bar(fn, 2, big, false, true, true);
    vit_system_reset(m.sys);

    /* Sizing, as PCI 3.0 6.2.5.1 describes it. */
    for (unsigned bar = 0; bar < 6; bar++)
        cfg_write(&m, 8, 0x10 + 4 * bar, 0xffffffff, 4);
    g_assert_cmphex(cfg_read(&m, 8, 0x10, 4), ==, 0xffffe000);
    g_assert_cmphex(cfg_read(&m, 8, 0x14, 4), ==, 0xffffffe1);
    g_assert_cmphex(cfg_read(&m, 8, 0x18, 4), ==, 0xfff0000c);
    g_assert_cmphex(cfg_read(&m, 8, 0x1c, 4), ==, 0xffffffff);
    g_assert_cmphex(cfg_read(&m, 8, 0x20, 4), ==, 0);

    cfg_write(&m, 8, 0x10, 0xe0000000, 4);
    cfg_write(&m, 8, 0x14, 0xc000, 4);
    cfg_write(&m, 8, 0x18, 0x00000000, 4);
    cfg_write(&m, 8, 0x1c, 0x10, 4);                /* above 4 GiB */
    g_assert_cmphex(load(&m, 0xe0000000), ==, 0xffffffff);
    cfg_write(&m, 8, 4, 3, 2);
    g_assert_cmphex(load(&m, 0xe0000004), ==, 0x1004);
    g_assert_cmphex(load(&m, 0x1000000008), ==, 0x2008);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xc004, 4, NULL), ==, 0x3004);

    /* A move leaves the old place, also byte by byte. */
    cfg_write(&m, 8, 0x13, 0xd0, 1);
    g_assert_cmphex(load(&m, 0xe0000004), ==, 0xffffffff);
    g_assert_cmphex(load(&m, 0xd0000004), ==, 0x1004);

    /* Overlap: one of the two answers, and taking it away uncovers the other. */
    cfg_write(&m, 8, 0x1c, 0, 4);
    cfg_write(&m, 8, 0x18, 0xd0000000, 4);
    uint64_t seen = load(&m, 0xd0000000);
    g_assert_true(seen == 0x1000 || seen == 0x2000);
    cfg_write(&m, 8, 0x18, 0xd8000000, 4);
    g_assert_cmphex(load(&m, 0xd0000000), ==, 0x1000);
    g_assert_cmphex(load(&m, 0xd8000000), ==, 0x2000);

    /* RAM wins over a BAR that is moved below it. */
    cfg_write(&m, 8, 0x10, 0x10000, 4);
    g_assert_cmphex(load(&m, 0x10000), ==, 0);

    cfg_write(&m, 8, 4, 0, 2);
    g_assert_cmphex(load(&m, 0xd8000000), ==, 0xffffffff);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xc004, 4, NULL), ==, 0xffffffff);
    cfg_write(&m, 8, 4, 3, 2);
    vit_system_reset(m.sys);
    g_assert_cmphex(load(&m, 0xd8000000), ==, 0xffffffff);
    vit_pci_function_free(fn);
    vit_region_free(big);
    vit_region_free(io);
    test_machine_clear(&m);
}

static void test_rom(void)
{
    TestMachine m;
    GError *error = NULL;
    test_machine_init(&m, false);
    VitRam *rom = vit_ram_new("rom", 0x4000, &error);
    g_assert_no_error(error);
    rom->host[0] = 0x55;
    rom->host[1] = 0xaa;
    VitPciFunction *fn = new_function(&m, 8, NULL);
    vit_pci_set_rom(fn, rom, 0x3000);
    vit_system_reset(m.sys);
    cfg_write(&m, 8, 0x30, 0xfffff800, 4);
    g_assert_cmphex(cfg_read(&m, 8, 0x30, 4), ==, 0xffffc000);
    cfg_write(&m, 8, 0x30, 0xf0000000, 4);
    cfg_write(&m, 8, 4, 2, 2);
    g_assert_cmphex(load(&m, 0xf0000000), ==, 0xffffffff);
    cfg_write(&m, 8, 0x30, 0xf0000001, 4);
    g_assert_cmphex(load(&m, 0xf0000000), ==, 0xaa55);
    test_machine_clear(&m);
    vit_ram_free(rom);
}

static void test_intx(void)
{
    TestMachine m;
    test_machine_init(&m, false);
    VitPciFunction *a = new_function(&m, VIT_PCI_DEVFN(1, 0), NULL),
                   *b = new_function(&m, VIT_PCI_DEVFN(5, 0), NULL);
    vit_pci_set_intx_pin(a, 1);
    vit_pci_set_intx_pin(b, 1);
    vit_system_reset(m.sys);

    vit_system_lock(m.sys);
    vit_pci_set_intx(a, true);
    g_assert_true(m.lines[1]);              /* slot 1, pin A */
    vit_pci_set_intx(b, true);              /* slot 5, pin A: the same line */
    vit_pci_set_intx(a, false);
    g_assert_true(m.lines[1]);
    cfg_write(&m, 0x28, 4, 0x400, 2);       /* interrupt disable */
    g_assert_false(m.lines[1]);
    g_assert_cmphex(cfg_read(&m, 0x28, 6, 1) & 8, ==, 8);
    cfg_write(&m, 0x28, 4, 0, 2);
    g_assert_true(m.lines[1]);

    /* The level survives save and load. */
    g_autoptr(GByteArray) state = g_byte_array_new();
    GError *error = NULL;
    g_assert_true(vit_system_save(m.sys, state, &error));
    vit_pci_set_intx(b, false);
    g_assert_false(m.lines[1]);
    g_assert_true(vit_system_load(m.sys, state->data, state->len, &error));
    g_assert_true(m.lines[1]);
    vit_pci_set_intx(b, false);
    g_assert_false(m.lines[1]);
    vit_system_unlock(m.sys);
    test_machine_clear(&m);
}

static void test_msi(void)
{
    TestMachine m;
    test_machine_init(&m, false);
    VitPciFunction *fn = new_function(&m, 8, NULL);
    vit_pci_add_msi(fn, 4);
    vit_system_reset(m.sys);
    unsigned cap = cfg_find_cap(&m, 8, 5, 0);
    g_assert_cmphex(cfg_read(&m, 8, cap + 2, 2), ==, 0x0184);
    cfg_write(&m, 8, 4, 4, 2);
    vit_pci_notify(fn, 1);
    cfg_write(&m, 8, cap + 4, 0xfee01000, 4);
    cfg_write(&m, 8, cap + 12, 0x43, 2);
    cfg_write(&m, 8, cap + 2, 0x0011, 2);           /* two messages */
    vit_pci_notify(fn, 1);
    g_assert_cmpuint(m.messages[0x43], ==, 1);
    g_assert_cmphex(m.last_address, ==, 0xfee01000);
    vit_pci_notify(fn, 2);                          /* more than granted: wraps */
    g_assert_cmpuint(m.messages[0x42], ==, 1);
    cfg_write(&m, 8, cap + 16, 2, 4);               /* mask vector 1 */
    vit_pci_notify(fn, 1);
    g_assert_cmpuint(m.messages[0x43], ==, 1);
    g_assert_cmphex(cfg_read(&m, 8, cap + 20, 4), ==, 2);
    cfg_write(&m, 8, cap + 16, 0, 4);
    g_assert_cmpuint(m.messages[0x43], ==, 2);
    g_assert_cmphex(cfg_read(&m, 8, cap + 20, 4), ==, 0);
    cfg_write(&m, 8, 4, 0, 2);                      /* no bus mastering, no message */
    vit_pci_notify(fn, 1);
    g_assert_cmpuint(m.messages[0x43], ==, 2);
    test_machine_clear(&m);
}

static void test_msix(void)
{
    TestMachine m;
    test_machine_init(&m, false);
    VitPciFunction *fn = new_function(&m, 8, NULL);
    vit_pci_add_msix(fn, 70, 1, 0, 0x800);
    vit_system_reset(m.sys);
    unsigned cap = cfg_find_cap(&m, 8, 0x11, 0);
    g_assert_cmphex(cfg_read(&m, 8, cap + 2, 2), ==, 69);
    g_assert_cmphex(cfg_read(&m, 8, cap + 4, 4), ==, 1);
    g_assert_cmphex(cfg_read(&m, 8, cap + 8, 4), ==, 0x801);
    cfg_write(&m, 8, 0x14, 0xe0000000, 4);
    cfg_write(&m, 8, 4, 6, 2);
    cfg_write(&m, 8, cap + 2, 0x8000, 2);
    for (unsigned v = 0; v < 70; v++) {
        uint64_t entry = 0xe0000000 + 16 * v;
        g_assert_cmphex(load(&m, entry + 12), ==, 1);
        (void) vit_as_store(m.sys->memory, entry, 0xfee00000, 4);
        (void) vit_as_store(m.sys->memory, entry + 8, 100 + v, 4);
    }
    vit_pci_notify(fn, 66);
    g_assert_cmpuint(m.messages[166], ==, 0);
    g_assert_cmphex(load(&m, 0xe0000808), ==, 4);   /* pending bit 66 */
    (void) vit_as_store(m.sys->memory, 0xe0000000 + 16 * 66 + 12, 0, 4);
    g_assert_cmpuint(m.messages[166], ==, 1);
    g_assert_cmphex(load(&m, 0xe0000808), ==, 0);
    cfg_write(&m, 8, cap + 2, 0xc000, 2);           /* function mask */
    vit_pci_notify(fn, 66);
    g_assert_cmpuint(m.messages[166], ==, 1);
    cfg_write(&m, 8, cap + 2, 0x8000, 2);
    g_assert_cmpuint(m.messages[166], ==, 2);
    vit_pci_notify(fn, 70);                         /* no such vector */
    test_machine_clear(&m);
}

static void test_bridge(void)
{
    TestMachine m;
    GError *error = NULL;
    test_machine_init(&m, true);
    VitPciBus *behind = vit_pci_bridge_new(m.bus, VIT_PCI_DEVFN(2, 0), VIT_PCIE_ROOT_PORT, "rp",
                                           &error);
    g_assert_no_error(error);
    VitRegion *bar = tag_region(0x7000, 0x1000);
    VitPciFunction *fn = vit_pci_function_new(behind, VIT_PCI_DEVFN(0, 0), &test_ids, NULL, &error);
    vit_pci_set_bar(fn, 0, bar, false, false, false);
    vit_pci_set_intx_pin(fn, 1);
    vit_pci_set_finish_hook(fn, free_region, bar);
    vit_system_reset(m.sys);

    vit_system_lock(m.sys);
    g_assert_cmphex(vit_pci_config_read(m.bus, 1, 0, 0, 4), ==, 0xffffffff);
    cfg_write(&m, 0x10, 0x18, 0x00010100, 4);       /* buses 0, 1, 1 */
    g_assert_cmphex(vit_pci_config_read(m.bus, 1, 0, 0, 4), ==, 0x56781234);
    cfg_write(&m, 0x10, 0x20, 0xe010e000, 4);       /* e0000000 to e01fffff */
    cfg_write(&m, 0x10, 4, 7, 2);
    vit_pci_config_write(m.bus, 1, 0, 0x10, 0xe0100000, 4);
    vit_pci_config_write(m.bus, 1, 0, 4, 6, 2);
    g_assert_cmphex(load(&m, 0xe0100004), ==, 0x7004);
    vit_pci_config_write(m.bus, 1, 0, 0x10, 0xe0200000, 4);     /* outside of the window */
    g_assert_cmphex(load(&m, 0xe0200004), ==, 0xffffffff);
    cfg_write(&m, 0x10, 0x20, 0xe020e000, 4);
    g_assert_cmphex(load(&m, 0xe0200004), ==, 0x7004);
    vit_pci_set_intx(fn, true);
    g_assert_true(m.lines[2]);                      /* behind slot 2: pin A stays A */
    vit_pci_set_intx(fn, false);

    /* Numbers that make no sense: nothing answers, nothing hangs. */
    cfg_write(&m, 0x10, 0x18, 0x00ff0000, 4);
    g_assert_cmphex(vit_pci_config_read(m.bus, 7, 0, 0, 4), ==, 0xffffffff);
    vit_system_unlock(m.sys);
    test_machine_clear(&m);
}

static void test_access(void)
{
    TestMachine m;
    GError *error = NULL;
    test_machine_init(&m, true);
    (void) new_function(&m, VIT_PCI_DEVFN(3, 0), NULL);
    VitDevice *cf8 = vit_pci_mechanism1_new(m.bus, NULL, &error);
    g_assert_no_error(error);
    VitRegion *ecam = vit_pci_ecam_region_new(m.bus, 256), *ports = vit_device_window(cf8, 0, 8);
    vit_system_lock(m.sys);
    vit_region_add(m.sys->memory_root, 0xb0000000, ecam, 1);
    vit_region_add(m.sys->io_root, 0xcf8, ports, 1);
    vit_system_reset(m.sys);

    (void) vit_as_store(m.sys->io, 0xcf8, 0x80001800, 4);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xcf8, 4, NULL), ==, 0x80001800);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xcfc, 4, NULL), ==, 0x56781234);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xcfe, 2, NULL), ==, 0x5678);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xcfd, 1, NULL), ==, 0x12);
    (void) vit_as_store(m.sys->io, 0xcf8, 0x00001800, 4);
    g_assert_cmphex(vit_as_load(m.sys->io, 0xcfc, 4, NULL), ==, 0xffffffff);
    g_assert_cmphex(load(&m, 0xb0000000 + (3 << 15)), ==, 0x56781234);
    g_assert_cmphex(load(&m, 0xb0000000 + (4 << 15)), ==, 0xffffffff);
    (void) vit_as_store(m.sys->memory, 0xb0000000 + (3 << 15) + 4, 2, 2);
    g_assert_cmphex(vit_as_load(m.sys->memory, 0xb0000000 + (3 << 15) + 4, 2, NULL), ==, 2);
    vit_region_remove(m.sys->memory_root, ecam);
    vit_region_remove(m.sys->io_root, ports);
    vit_system_unlock(m.sys);
    vit_region_free(ecam);
    test_machine_clear(&m);
}

/* A guest that writes nonsense everywhere: no crash, and the IDs stay. */
static void test_fuzz(void)
{
    TestMachine m;
    test_machine_init(&m, true);
    GRand *rand = g_rand_new_with_seed(1);
    VitPciFunction *fn = new_function(&m, 8, tag_region(1, 0x1000));
    vit_pci_add_msi(fn, 32);
    vit_pci_add_msix(fn, 128, 2, 0, 0x800);
    vit_pci_set_intx_pin(fn, 2);
    GError *error = NULL;
    g_assert_nonnull(vit_pci_bridge_new(m.bus, 16, VIT_PCI_BRIDGE, NULL, &error));
    vit_system_reset(m.sys);
    vit_system_lock(m.sys);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned devfn = g_rand_boolean(rand) ? 8 : 16, size = 1u << g_rand_int_range(rand, 0, 3);
        unsigned offset = (unsigned) g_rand_int_range(rand, 0, i % 8 ? 256 : 4096);
        cfg_write(&m, devfn, offset, g_rand_int(rand), size);
        (void) vit_pci_config_read(m.bus, g_rand_int(rand) & 0xff, devfn, offset, size);
        vit_pci_notify(fn, g_rand_int(rand) & 0xff);
        vit_pci_set_intx(fn, g_rand_boolean(rand));
    }
    g_assert_cmphex(cfg_read(&m, 8, 0, 4), ==, 0x56781234);
    vit_system_unlock(m.sys);
    g_rand_free(rand);
    test_machine_clear(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pci/header", test_header);
    g_test_add_func("/pci/bars", test_bars);
    g_test_add_func("/pci/rom", test_rom);
    g_test_add_func("/pci/intx", test_intx);
    g_test_add_func("/pci/msi", test_msi);
    g_test_add_func("/pci/msix", test_msix);
    g_test_add_func("/pci/bridge", test_bridge);
    g_test_add_func("/pci/access", test_access);
    g_test_add_func("/pci/fuzz", test_fuzz);
    return g_test_run();
}
