/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/linux-boot.c - starts a Linux kernel without firmware: what a boot loader and the
 * tables of firmware would leave in memory (Linux Documentation/arch/x86/boot.rst, protocol 2.15,
 * 32-bit entry; zero-page.rst)
 *
 * Low memory: GDT 1000h, zero page 10000h, random seed 11000h, command line 20000h, RSDP and SMBIOS
 * F0000h; kernel from 1 MiB; initrd and ACPI tables at the top of RAM below 4 GiB.
 * Not modelled: EFI handover, kernels older than protocol 2.6 (Linux 2.6.22), zImage. */
#include "hw/board/x86-board.h"

#include "hw/smbios/smbios.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GDT = 0x1000, ZERO_PAGE = 0x10000, SEED = 0x11000, CMDLINE = 0x20000, EBDA = 0x9fc00,
    SMBIOS_ANCHOR = 0xf0000, RSDP = 0xf0020, SMBIOS_TABLES = 0xf0100, KERNEL = 0x100000,
    CMDLINE_MAX = 0x10000, ZERO_PAGE_SIZE = 4096, SEED_SIZE = 32, SETUP_RNG_SEED = 9,
    E820_RAM = 1, E820_RESERVED = 2, E820_NVS = 4, E820_MAX = 128, CS = 0x10, DS = 0x18,
    SECTOR = 512,
    MTRR_ENABLED_WB = 0x806,
};
/* Offsets in the setup header and the zero page. */
enum {
    ZP_RSDP = 0x070, ZP_E820_COUNT = 0x1e8, HDR = 0x1f1, HDR_BOOT_FLAG = 0x1fe, HDR_JUMP = 0x200,
    HDR_MAGIC = 0x202, HDR_VERSION = 0x206, HDR_LOADER = 0x210, HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK = 0x218,
    HDR_RAMDISK_SIZE = 0x21c, HDR_CMDLINE = 0x228, HDR_INITRD_MAX = 0x22c, HDR_CMDLINE_SIZE = 0x238,
    HDR_SETUP_DATA = 0x250, HDR_PREF_ADDRESS = 0x258, HDR_INIT_SIZE = 0x260, ZP_E820 = 0x2d0,
    LOADED_HIGH = 1, OLDEST = 0x206, MIN_HEADER = 0x268,
};

struct X86LinuxBoot {
    X86Board *board;            /* borrowed */
    GMappedFile *kernel, *initrd;   /* owned; initrd may be NULL */
    const uint8_t *image;       /* of kernel */
    size_t size, setup_size;    /* bytes; setup: before the protected-mode part */
    uint32_t initrd_at, acpi_at, acpi_size;
    VitX86BootState state;
};

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return GUINT64_FROM_LE(v);
}

static void set(uint8_t *p, uint64_t v, unsigned n)
{
    uint64_t le = GUINT64_TO_LE(v);
    memcpy(p, &le, n);
}

[[gnu::format(printf, 3, 4)]]
static bool refuse(GError **error, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "\"%s\" %s", path, why);
    return false;
}

static bool check_kernel(X86LinuxBoot *boot, GError **error)
{
    const char *path = boot->board->config.kernel;
    const uint8_t *k = boot->image;
    if (boot->size < MIN_HEADER || get(k + HDR_BOOT_FLAG, 2) != 0xaa55 ||
        memcmp(k + HDR_MAGIC, "HdrS", 4) != 0)
        return refuse(error, path,
                      _("is no Linux kernel image (bzImage); name the vmlinuz file of an x86 "
                        "distribution with -kernel, or boot a disk or CD without -kernel."));
    if (get(k + HDR_VERSION, 2) < OLDEST || !(k[HDR_LOADFLAGS] & LOADED_HIGH))
        return refuse(error, path,
                      _("is a Linux kernel older than 2.6.22, which cannot be started directly; "
                        "boot it from a disk with a boot loader."));
    unsigned sectors = k[HDR] ? k[HDR] : 4;
    boot->setup_size = (sectors + 1) * SECTOR;
    uint64_t claimed = get(k + 0x1f4, 4) * 16;      /* syssize: of the protected-mode part */
    if (boot->size <= boot->setup_size ||
        boot->size - boot->setup_size < claimed - MIN(claimed, 15))
        return refuse(error, path,
                      _("is cut short: it should have %llu bytes and has %zu; copy it again."),
                      (unsigned long long) (boot->setup_size + claimed), boot->size);
    return true;
}

/* Where the initrd and the ACPI tables go, from the top of low RAM down. */
static bool place(X86LinuxBoot *boot, GError **error)
{
    const X86Board *b = boot->board;
    const uint8_t *k = boot->image;
    VitAcpiConfig config;
    VitAcpiTables tables;
    x86_contents_acpi(b, &config);
    vit_acpi_tables_build(&tables, &config);
    /* may grow until it is built for good */
    boot->acpi_size = (tables.tables->len + 0x1ffff) & ~0xffffu;
    vit_acpi_tables_clear(&tables);

    uint64_t top = b->board.low_ram_size, kernel_end = KERNEL + boot->size - boot->setup_size;
    if (get(k + HDR_VERSION, 2) >= 0x20a) {     /* where it unpacks itself */
        uint64_t end = MAX(get(k + HDR_PREF_ADDRESS, 8), KERNEL) + get(k + HDR_INIT_SIZE, 4);
        kernel_end = MAX(kernel_end, end);
    }
    uint64_t initrd = boot->initrd ? g_mapped_file_get_length(boot->initrd) : 0;
    uint64_t wanted = kernel_end + ((initrd + 0xfff) & ~0xfffull) + boot->acpi_size;
    if (top < wanted)
        return refuse(error, b->config.kernel,
                      _("and its initrd need %u MiB of memory and the machine has %u MiB below "
                        "4 GiB; give it more with -m."),
                      (unsigned) ((wanted + 0xfffff) >> 20), (unsigned) (top >> 20));
    boot->acpi_at = (uint32_t) (top - boot->acpi_size);
    uint64_t highest = MIN(get(k + HDR_INITRD_MAX, 4) + 1, boot->acpi_at);
    boot->initrd_at = (uint32_t) ((highest - MIN(highest, initrd)) & ~0xfffull);
    if (initrd && boot->initrd_at < kernel_end)
        return refuse(error, b->config.initrd,
                      _("is too large for this kernel: %u MiB do not fit below %u MiB."),
                      (unsigned) (initrd >> 20), (unsigned) (highest >> 20));
    return true;
}

/* Mapped, not read: the machine keeps it for its resets. */
static GMappedFile *map_file(const char *path, GError **error)
{
    GMappedFile *file = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int code = fd < 0 || fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EISDIR;
    if (code == 0)
        file = g_mapped_file_new_from_fd(fd, FALSE, error);
    else
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code),
                    _("\"%s\" cannot be read: %s; check its path and permissions."), path,
                    code == EISDIR ? _("it is no regular file") : g_strerror(code));
    if (fd >= 0)
        close(fd);
    return file;
}

X86LinuxBoot *x86_linux_boot_new(X86Board *b, GError **error)
{
    X86LinuxBoot *boot = g_new0(X86LinuxBoot, 1);
    boot->board = b;
    boot->kernel = map_file(b->config.kernel, error);
    bool ok = boot->kernel != NULL;
    if (ok) {
        boot->image = (const uint8_t *) g_mapped_file_get_contents(boot->kernel);
        boot->size = g_mapped_file_get_length(boot->kernel);
        ok = check_kernel(boot, error);
    }
    if (ok && b->config.cmdline) {
        uint64_t limit = MIN(get(boot->image + HDR_CMDLINE_SIZE, 4), CMDLINE_MAX - 1);
        if (strlen(b->config.cmdline) > limit)
            ok = refuse(error, b->config.kernel,
                        _("takes a command line of %u bytes and -append has %zu; shorten it."),
                        (unsigned) limit, strlen(b->config.cmdline));
    }
    if (ok && b->config.initrd)
        ok = (boot->initrd = map_file(b->config.initrd, error)) != NULL;
    if (ok)
        ok = place(boot, error);
    if (ok)
        return boot;
    x86_linux_boot_free(boot);
    return NULL;
}

void x86_linux_boot_free(X86LinuxBoot *boot)
{
    if (!boot)
        return;
    g_clear_pointer(&boot->kernel, g_mapped_file_unref);
    g_clear_pointer(&boot->initrd, g_mapped_file_unref);
    g_free(boot);
}

/* ---- Memory contents ------------------------------------------------------------------------- */

static void store(X86LinuxBoot *boot, uint64_t at, const void *data, size_t size)
{
    VitRam *ram = boot->board->board.ram;
    memcpy(ram->host + at, data, size); /* all of it lies in low RAM, where offset = address */
    vit_ram_mark_dirty(ram, at, size);
}

static void add_e820(uint8_t *zero_page, uint64_t base, uint64_t end, uint32_t type)
{
    uint8_t *entry = zero_page + ZP_E820 + 20 * zero_page[ZP_E820_COUNT];
    if (end <= base || zero_page[ZP_E820_COUNT] >= E820_MAX)
        return;
    set(entry, base, 8);
    set(entry + 8, end - base, 8);
    set(entry + 16, type, 4);
    zero_page[ZP_E820_COUNT]++;
}

static void store_tables(X86LinuxBoot *boot)
{
    VitAcpiConfig config;
    VitAcpiTables acpi;
    x86_contents_acpi(boot->board, &config);
    vit_acpi_tables_build(&acpi, &config);
    vit_acpi_tables_link(&acpi, boot->acpi_at);
    store(boot, boot->acpi_at, acpi.tables->data, MIN(acpi.tables->len, boot->acpi_size));
    store(boot, RSDP, acpi.rsdp->data, acpi.rsdp->len);
    vit_acpi_tables_clear(&acpi);

    unsigned count, largest;
    uint8_t anchor[VIT_SMBIOS_ANCHOR_SIZE];
    g_autoptr(GByteArray) smbios = x86_contents_smbios(boot->board, &count, &largest);
    unsigned size = MIN(smbios->len, 0x100000 - SMBIOS_TABLES);
    vit_smbios_anchor(anchor, SMBIOS_TABLES, size, count, largest);
    store(boot, SMBIOS_TABLES, smbios->data, size);
    store(boot, SMBIOS_ANCHOR, anchor, sizeof anchor);
}

static void store_seed(X86LinuxBoot *boot)
{
    uint8_t data[16 + SEED_SIZE] = { 0 };
    set(data + 8, SETUP_RNG_SEED, 4);
    set(data + 12, SEED_SIZE, 4);
    if (getrandom(data + 16, SEED_SIZE, 0) != SEED_SIZE)
        set(data + 12, 0, 4);
    store(boot, SEED, data, sizeof data);
}

static void store_zero_page(X86LinuxBoot *boot)
{
    const X86Board *b = boot->board;
    uint8_t z[ZERO_PAGE_SIZE] = { 0 };
    VitAcpiConfig config;
    x86_contents_acpi(b, &config);
    size_t header_end = MIN((size_t) HDR_MAGIC + boot->image[HDR_JUMP + 1], 0x290);
    memcpy(z + HDR, boot->image + HDR, header_end - HDR);
    z[HDR_LOADER] = 0xff;
    set(z + HDR_CMDLINE, CMDLINE, 4);
    if (boot->initrd) {
        set(z + HDR_RAMDISK, boot->initrd_at, 4);
        set(z + HDR_RAMDISK_SIZE, g_mapped_file_get_length(boot->initrd), 4);
    }
    if (get(z + HDR_VERSION, 2) >= 0x209)
        set(z + HDR_SETUP_DATA, SEED, 8);
    set(z + ZP_RSDP, RSDP, 8);
    add_e820(z, 0, EBDA, E820_RAM);
    add_e820(z, EBDA, 0xa0000, E820_RESERVED);
    add_e820(z, SMBIOS_ANCHOR, 0x100000, E820_RESERVED);
    add_e820(z, 0x100000, boot->acpi_at, E820_RAM);
    add_e820(z, boot->acpi_at, b->board.low_ram_size, E820_NVS);
    if (config.ecam_base)
        add_e820(z, config.ecam_base, config.ecam_base + ((uint64_t) config.ecam_buses << 20),
                 E820_RESERVED);
    add_e820(z, X86_FOUR_GIB, X86_FOUR_GIB + b->config.ram_size - b->board.low_ram_size, E820_RAM);
    store(boot, ZERO_PAGE, z, sizeof z);
}

void x86_linux_boot_reset(X86LinuxBoot *boot)
{
    static const uint64_t gdt[] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
    uint8_t table[sizeof gdt];
    const char *cmdline = boot->board->config.cmdline ? boot->board->config.cmdline : "";
    for (unsigned i = 0; i < G_N_ELEMENTS(gdt); i++)
        set(table + 8 * i, gdt[i], 8);
    store(boot, GDT, table, sizeof table);
    store(boot, CMDLINE, cmdline, strlen(cmdline) + 1);
    store(boot, KERNEL, boot->image + boot->setup_size, boot->size - boot->setup_size);
    if (boot->initrd)
        store(boot, boot->initrd_at, g_mapped_file_get_contents(boot->initrd),
              g_mapped_file_get_length(boot->initrd));
    store_tables(boot);
    store_seed(boot);
    store_zero_page(boot);
    boot->state = (VitX86BootState) {
        .rip = KERNEL, .rsp = ZERO_PAGE, .rsi = ZERO_PAGE, .rflags = 2, .cr0 = 0x11,
        .mtrr_def_type = MTRR_ENABLED_WB,
        .gdt_base = GDT, .gdt_limit = sizeof gdt - 1,
        .cs = { .selector = CS, .access = 0xc09b, .limit = UINT32_MAX },
        .data = { .selector = DS, .access = 0xc093, .limit = UINT32_MAX },
    };
}

const VitX86BootState *x86_linux_boot_state(const X86LinuxBoot *boot)
{
    return &boot->state;
}
