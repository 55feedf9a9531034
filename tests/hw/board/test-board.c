/* tests/hw/board/test-board.c - the PC boards as a guest finds them at reset
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "hw/board/board.h"

#include <glib/gstdio.h>
#include <string.h>

enum { MIB = 1 << 20, SETUP_SECTORS = 4, KERNEL_SIZE = 0x4000 };

typedef struct {
    VitSystem *sys;
    VitBoard *board;
    char *kernel;
} Fixture;

/* The smallest file that passes for a bzImage of protocol 2.15. */
static char *write_kernel(bool cut)
{
    uint8_t k[(SETUP_SECTORS + 1) * 512 + KERNEL_SIZE] = { 0 };
    k[0x1f1] = SETUP_SECTORS;
    k[0x1f4] = KERNEL_SIZE / 16 & 0xff;
    k[0x1f5] = KERNEL_SIZE / 16 >> 8;
    k[0x1fe] = 0x55;
    k[0x1ff] = 0xaa;
    k[0x201] = 0x6a;
    memcpy(k + 0x202, "HdrS\x0f\x02", 6);
    k[0x211] = 1;
    memset(k + 0x22c, 0xff, 3);
    k[0x22f] = 0x7f;
    k[0x239] = 8;
    k[0x262] = 0x10;                    /* needs 1 MiB to unpack */
    memset(k + (SETUP_SECTORS + 1) * 512, 0xf4, KERNEL_SIZE);
    char *path = NULL;
    int fd = g_file_open_tmp("vitrine-kernel-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, (char *) k, cut ? sizeof k - 64 : sizeof k, NULL));
    return path;
}

static void setup(Fixture *f, const char *machine, uint64_t ram)
{
    g_autoptr(GError) error = NULL;
    f->kernel = write_kernel(false);
    f->sys = vit_system_new();
    VitBoardConfig config = { .machine = machine, .ram_size = ram, .n_cpus = 3, .kernel = f->kernel,
                              .cmdline = "console=ttyS0", .rtc_base = 1000000000 };
    f->board = vit_board_new(f->sys, &config, &error);
    g_assert_no_error(error);
    vit_system_lock(f->sys);
    vit_board_reset(f->board);
    vit_system_unlock(f->sys);
}

static void teardown(Fixture *f)
{
    vit_board_free(f->board);
    vit_system_free(f->sys);
    g_unlink(f->kernel);
    g_free(f->kernel);
}

static uint64_t load(Fixture *f, uint64_t at, unsigned size)
{
    return vit_as_load(f->sys->memory, at, size, NULL);
}

static uint64_t in(Fixture *f, uint16_t port, unsigned size)
{
    return vit_as_load(f->sys->io, port, size, NULL);
}

static void out(Fixture *f, uint16_t port, uint64_t value, unsigned size)
{
    vit_as_store(f->sys->io, port, value, size);
}

static uint8_t sum(Fixture *f, uint64_t at, uint32_t size)
{
    uint8_t total = 0;
    for (uint32_t i = 0; i < size; i++)
        total += (uint8_t) load(f, at + i, 1);
    return total;
}

static uint32_t table_length(Fixture *f, uint64_t at)
{
    uint32_t length = (uint32_t) load(f, at + 4, 4);
    g_assert_cmpuint(length, >=, 36);
    g_assert_cmpuint(length, <, 0x10000);
    return length;
}

/* Saves a table for iasl and checks that it compiles back without complaint. */
static void check_dsdt(Fixture *f, uint64_t at)
{
    uint32_t length = table_length(f, at);
    g_autofree char *iasl = g_find_program_in_path("iasl");
    if (!iasl) {
        g_test_message("iasl is not installed: the DSDT is not disassembled");
        return;
    }
    g_autofree char *dir = g_dir_make_tmp("vitrine-acpi-XXXXXX", NULL);
    g_autofree char *aml = g_build_filename(dir, "dsdt.aml", NULL),
        *dsl = g_build_filename(dir, "dsdt.dsl", NULL);
    g_autofree char *again = g_build_filename(dir, "again.aml", NULL);
    g_autofree char *data = g_malloc(length);
    g_autofree char *messages = NULL, *errors = NULL;
    vit_as_read(f->sys->memory, at, data, length);
    g_assert_true(g_file_set_contents(aml, data, length, NULL));
    const char *disassemble[] = { iasl, "-d", aml, NULL };
    const char *compile[] = { iasl, "-p", again, dsl, NULL };
    int status = 0;
    g_assert_true(g_spawn_sync(dir, (char **) disassemble, NULL, 0, NULL, NULL, &messages, &errors,
                               &status, NULL));
    g_assert_cmpint(status, ==, 0);
    g_clear_pointer(&messages, g_free);
    g_clear_pointer(&errors, g_free);
    g_assert_true(g_spawn_sync(dir, (char **) compile, NULL, 0, NULL, NULL, &messages, &errors,
                               &status, NULL));
    if (!strstr(messages, "0 Errors, 0 Warnings"))
        g_error("iasl: %s%s", messages, errors);
    g_unlink(aml);
    g_unlink(dsl);
    g_unlink(again);
    g_rmdir(dir);
}

static void test_tables(gconstpointer machine)
{
    Fixture f;
    setup(&f, machine, 64 * MIB);
    bool q35 = strcmp(machine, "q35") == 0;
    uint64_t rsdp = load(&f, 0x10070, 8);
    g_assert_cmphex(load(&f, rsdp, 8), ==, 0x2052545020445352);     /* "RSD PTR " */
    g_assert_cmpuint(sum(&f, rsdp, 20), ==, 0);
    g_assert_cmpuint(sum(&f, rsdp, 36), ==, 0);
    uint64_t xsdt = load(&f, rsdp + 24, 8), rsdt = load(&f, rsdp + 16, 4);
    unsigned n = (table_length(&f, xsdt) - 36) / 8;
    g_assert_cmpuint(n, ==, (table_length(&f, rsdt) - 36) / 4);
    g_assert_cmpuint(sum(&f, xsdt, table_length(&f, xsdt)), ==, 0);
    g_autoptr(GString) names = g_string_new(NULL);
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = load(&f, xsdt + 36 + 8 * i, 8);
        g_assert_cmphex(at, ==, load(&f, rsdt + 36 + 4 * i, 4));
        g_assert_cmpuint(sum(&f, at, table_length(&f, at)), ==, 0);
        char name[5] = { 0 };
        vit_as_read(f.sys->memory, at, name, 4);
        g_string_append_printf(names, "%s ", name);
        if (strcmp(name, "FACP") == 0) {
            uint64_t dsdt = load(&f, at + 140, 8), facs = load(&f, at + 36, 4);
            g_assert_cmphex(load(&f, facs, 4), ==, 0x53434146);
            g_assert_cmphex(facs & 63, ==, 0);
            g_assert_cmphex(load(&f, dsdt, 4), ==, 0x54445344);
            g_assert_cmpuint(sum(&f, dsdt, table_length(&f, dsdt)), ==, 0);
            check_dsdt(&f, dsdt);
        }
    }
    g_assert_nonnull(strstr(names->str, "FACP APIC"));
    g_assert_true(q35 == (strstr(names->str, "MCFG") != NULL));
    g_assert_cmphex(load(&f, 0xf0000, 4), ==, 0x5f4d535f);          /* "_SM_" */
    g_assert_cmpuint(sum(&f, 0xf0000, 31), ==, 0);
    g_assert_cmpuint(sum(&f, 0xf0010, 15), ==, 0);
    teardown(&f);
}

static void test_zero_page(void)
{
    Fixture f;
    setup(&f, "q35", 5120ull * MIB);
    const VitX86BootState *state = vit_board_boot_state(f.board);
    g_assert_cmphex(state->rip, ==, 0x100000);
    g_assert_cmphex(load(&f, state->rip, 4), ==, 0xf4f4f4f4);
    uint64_t z = state->rsi, ram = 0;
    char cmdline[32];
    vit_as_read(f.sys->memory, load(&f, z + 0x228, 4), cmdline, sizeof cmdline);
    g_assert_cmpstr(cmdline, ==, "console=ttyS0");
    for (unsigned i = 0; i < load(&f, z + 0x1e8, 1); i++)
        if (load(&f, z + 0x2d0 + 20 * i + 16, 4) == 1)
            ram += load(&f, z + 0x2d0 + 20 * i + 8, 8);
    g_assert_cmpuint(ram, >, 5119ull * MIB - 512 * 1024);
    g_assert_cmphex(load(&f, 0x100000000, 8), ==, 0);
    g_assert_cmphex(vit_as_store(f.sys->memory, 0x100000000 + 3071ull * MIB, 1, 1), ==, VIT_MEM_OK);
    teardown(&f);
}

static void test_config_space(gconstpointer machine)
{
    Fixture f;
    setup(&f, machine, 64 * MIB);
    bool q35 = strcmp(machine, "q35") == 0;
    out(&f, 0xcf8, 0x80000000, 4);
    g_assert_cmphex(in(&f, 0xcfc, 4), ==, q35 ? 0x29c08086 : 0x12378086);
    if (q35)
        g_assert_cmphex(load(&f, 0xb0000000 + (0x1f << 15), 4), ==, 0x29188086);
    else {
        out(&f, 0xcf8, 0x80000b3c, 4);
        g_assert_cmphex(in(&f, 0xcfc, 1), ==, 9);
    }
    g_assert_cmphex(in(&f, 0x4d1, 1), ==, 0x0c);
    uint32_t before = (uint32_t) in(&f, 0x608, 4);      /* PM timer, where PMBASE says */
    g_assert_cmphex(before, <, 1 << 24);
    teardown(&f);
}

typedef struct { bool intr; int nmis, inits, sipis; } Cpu;
static void cpu_intr(void *c, bool level) { ((Cpu *) c)->intr = level; }
static void cpu_nmi(void *c) { ((Cpu *) c)->nmis++; }
static void cpu_smi(void *c) { }
static void cpu_init(void *c) { ((Cpu *) c)->inits++; }
static void cpu_sipi(void *c, uint8_t vector) { ((Cpu *) c)->sipis = vector; }
static const VitLapicCpuOps cpu_ops = { cpu_intr, cpu_nmi, cpu_smi, cpu_init, cpu_sipi, NULL };

static void store_apic(Fixture *f, unsigned cpu, uint32_t offset, uint32_t value)
{
    vit_lapic_mmio_write(f->board->lapics[cpu], offset, value, 4);
}

static void test_interrupts(gconstpointer machine)
{
    Fixture f;
    Cpu cpu[3] = { 0 };
    setup(&f, machine, 64 * MIB);
    vit_system_lock(f.sys);
    for (unsigned i = 0; i < 3; i++) {
        vit_lapic_set_cpu(f.board->lapics[i], &cpu_ops, &cpu[i]);
        store_apic(&f, i, 0xf0, 0x1ff);
    }
    /* the 8259 pair through LINT0 in virtual wire mode */
    static const uint8_t init[][2] = { { 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 4 }, { 0x21, 1 },
                                       { 0xa0, 0x11 },
                                       { 0xa1, 0x38 }, { 0xa1, 2 }, { 0xa1, 1 }, { 0x21, 0 },
                                       { 0xa1, 0 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(init); i++)
        out(&f, init[i][0], init[i][1], 1);
    vit_board_isa_irq(f.board, 12, true);
    g_assert_true(cpu[0].intr);
    g_assert_false(cpu[1].intr);
    g_assert_cmphex(vit_lapic_ack(f.board->lapics[0]), ==, 0x3c);
    g_assert_false(cpu[0].intr);
    vit_board_isa_irq(f.board, 12, false);
    out(&f, 0xa0, 0x20, 1);
    out(&f, 0x20, 0x20, 1);
    out(&f, 0x21, 0xff, 1);
    out(&f, 0xa1, 0xff, 1);

    /* the I/O APIC: IRQ 4, edge, to CPU 1 */
    vit_as_store(f.sys->memory, 0xfec00000, 0x18, 4);
    vit_as_store(f.sys->memory, 0xfec00010, 0x41, 4);
    vit_as_store(f.sys->memory, 0xfec00000, 0x19, 4);
    vit_as_store(f.sys->memory, 0xfec00010, 1u << 24, 4);
    vit_board_isa_irq(f.board, 4, true);
    g_assert_true(cpu[1].intr);
    g_assert_cmphex(vit_lapic_ack(f.board->lapics[1]), ==, 0x41);
    g_assert_cmphex(vit_lapic_ack(f.board->lapics[1]), ==, -1);
    store_apic(&f, 1, 0xb0, 0);

    /* a message */
    vit_as_store(f.sys->memory, 0xfee02000, 0x4051, 4);
    g_assert_true(cpu[2].intr);
    g_assert_cmphex(vit_lapic_ack(f.board->lapics[2]), ==, 0x51);

    /* INIT and SIPI to all others, seen by each APIC */
    store_apic(&f, 0, 0x300, 0xc4500);
    store_apic(&f, 0, 0x300, 0xc4699);
    g_assert_cmpint(cpu[0].inits, ==, 0);
    g_assert_cmpint(cpu[1].inits, ==, 1);
    g_assert_cmphex(cpu[2].sipis, ==, 0x99);
    g_assert_cmphex(vit_lapic_page(f.board->lapics[2]), ==, 0xfee00000);
    g_assert_cmphex(vit_lapic_mmio_read(f.board->lapics[2], 0x20, 4), ==, 2u << 24);
    vit_system_unlock(f.sys);
    teardown(&f);
}

static void test_refusals(void)
{
    g_autofree char *cut = write_kernel(true);
    VitBoardConfig base = { .machine = "q35", .ram_size = 64 * MIB, .n_cpus = 1, .kernel = cut };
    VitBoardConfig many = base, none = base, small = base, text = base, dirs = base;
    static const char *const nowhere[] = { "/nonexistent", NULL };
    many.n_cpus = 256;
    none.machine = "toaster";
    small.ram_size = 0;
    text.kernel = "/proc/self/status";
    dirs.kernel = NULL;
    dirs.bios = "bios-none.bin";
    dirs.firmware_dirs = nowhere;
    const struct { const VitBoardConfig *config; const char *names; } cases[] = {
        { &base, "cut short" }, { &many, "-smp" }, { &none, "toaster" }, { &small, "-m" },
        { &text, "no Linux kernel" }, { &dirs, "/nonexistent" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        VitSystem *sys = vit_system_new();
        g_assert_null(vit_board_new(sys, cases[i].config, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, cases[i].names))
            g_error("\"%s\" does not say \"%s\"", error->message, cases[i].names);
        vit_system_free(sys);
    }
    g_unlink(cut);
}

static void test_save_load(gconstpointer machine)
{
    Fixture f;
    setup(&f, machine, 64 * MIB);
    g_autoptr(GByteArray) first = g_byte_array_new(), second = g_byte_array_new();
    vit_system_lock(f.sys);
    out(&f, 0x70, 0x40, 1);
    out(&f, 0x71, 0x5a, 1);
    g_assert_true(vit_system_save(f.sys, first, NULL));
    vit_board_reset(f.board);
    out(&f, 0x70, 0x40, 1);
    out(&f, 0x71, 0xa5, 1);
    g_assert_true(vit_system_load(f.sys, first->data, first->len, NULL));
    g_assert_true(vit_system_save(f.sys, second, NULL));
    g_assert_cmpmem(first->data, first->len, second->data, second->len);
    vit_system_unlock(f.sys);
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const char *const machines[] = { "q35", "pc" };
    static const struct { const char *name; GTestDataFunc fn; } tests[] = {
        { "tables", test_tables }, { "config-space", test_config_space },
        { "interrupts", test_interrupts },
        { "save-load", test_save_load },
    };
    for (unsigned m = 0; m < G_N_ELEMENTS(machines); m++) {
        for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree char *path = g_strdup_printf("/board/%s/%s", machines[m], tests[t].name);
            g_test_add_data_func(path, machines[m], tests[t].fn);
        }
    }
    g_test_add_func("/board/zero-page", test_zero_page);
    g_test_add_func("/board/refusals", test_refusals);
    return g_test_run();
}
