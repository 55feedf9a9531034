/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/x86-common.c - what both PC boards have: memory map, interrupt wires, ISA devices
 *
 * Memory: RAM from 0 and, past the chipset's limit, from 4 GiB; PCI memory behind everything;
 * A0000h to BFFFFh and C0000h to FFFFFh by x86-pam.c; I/O APIC FEC00000h, HPET FED00000h, MSI
 * FEE00000h; firmware ROM below 4 GiB, its last 128 KiB below 1 MiB too. */
#include "hw/board/x86-board.h"

#include "hw/board/firmware.h"
#include "hw/char/uart16550.h"
#include "hw/input/i8042.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/misc/acpi-pm.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/isa-debug.h"
#include "hw/misc/reset-ports.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818.h"
#include <glib/gi18n-lib.h>
#include <string.h>

enum { ISA_LINES = 16, SERIALS = 4, MSI_BASE = 0xfee00000u, MSI_SIZE = 0x100000, PIRQ_PIN = 16,
       PIRQ_OFF = 0x80, PHYSICAL_BITS = 52 };
static const uint64_t MIB = 1 << 20;
static const uint64_t BIOS_MAX = 16 << 20;

VitDevice *x86_device(X86Board *b, const VitDeviceClass *klass, const char *id, GError **error)
{
    VitDevice *d = vit_device_new(b->board.sys, klass, id);
    return vit_device_init(d, error) ? d : NULL;
}

void x86_map_io(X86Board *b, VitDevice *d, uint32_t offset, uint32_t size, uint16_t port)
{
    vit_region_add(b->board.sys->io_root, port, vit_device_window(d, offset, size), 0);
}

bool x86_chipset_function(X86Board *b, VitPciFunction **place, unsigned devfn,
                          const VitPciIds *ids, const char *name, X86ConfigWrote *wrote,
                          GError **error)
{
    *place = vit_pci_function_new(b->board.pci, devfn, ids, name, error);
    if (!*place)
        return false;
    vit_pci_set_config_hook(*place, wrote, b);
    return true;
}

void x86_config_write(X86Board *b, VitPciFunction *fn, unsigned offset, uint32_t value,
                      unsigned size)
{
    vit_pci_config_write(b->board.pci, 0, vit_pci_devfn(fn), offset, value, size);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void input(VitDevice *d, unsigned n, bool level)
{
    if (!d)
        return;
    d->klass->input(d, n, level);
    if (d->klass->update)
        d->klass->update(d);
}

static void drive_line(X86Board *b, unsigned line)
{
    bool own = b->isa_levels >> line & 1, shared = own;
    for (unsigned i = 0; i < X86_PIRQS; i++)
        if (b->pirq_isa[i] == line && (b->pirq_levels >> i & 1))
            shared = true;
    input(b->pics[line >> 3], line & 7, shared);
    if (line != 2)              /* the timer stands at pin 2, the cascade nowhere */
        input(b->ioapic, line ? line : 2, b->chipset->q35 ? own : shared);
}

void x86_drive_lines(X86Board *b)
{
    for (unsigned line = 3; line < ISA_LINES; line++)
        drive_line(b, line);
}

void x86_pirq_define(X86Board *b, unsigned offset)
{
    for (unsigned i = 0; i < 4; i++)
        vit_pci_config_define(b->isa_bridge, offset + i, 1, PIRQ_OFF, 0x8f, 0);
}

void x86_pirq_route(X86Board *b, unsigned offset)
{
    static const uint8_t lines[4] = { 10, 10, 11, 11 };
    for (unsigned i = 0; i < 4; i++)
        x86_config_write(b, b->isa_bridge, offset + i, lines[i], 1);
}

void vit_board_isa_irq(void *board, unsigned line, bool level)
{
    X86Board *b = board;
    uint16_t bit = (uint16_t) (1u << line);
    b->isa_levels = level ? b->isa_levels | bit : b->isa_levels & (uint16_t) ~bit;
    drive_line(b, line);
}

/* COM1 and COM3 share a line, as do COM2 and COM4. */
static void uart_irq(void *opaque, unsigned n, bool level)
{
    X86Board *b = opaque;
    uint8_t bit = (uint8_t) (1u << n);
    b->uart_levels = level ? b->uart_levels | bit : b->uart_levels & (uint8_t) ~bit;
    vit_board_isa_irq(b, n & 1 ? 3 : 4, b->uart_levels & (n & 1 ? 0x0a : 0x05));
}

/* HPET timers 0 and 1 take the place of PIT and RTC while its legacy route is on. */
static void timer_irq(void *opaque, unsigned source, bool level)
{
    X86Board *b = opaque;
    uint8_t bit = (uint8_t) (1u << source);
    b->timer_levels = level ? b->timer_levels | bit : b->timer_levels & (uint8_t) ~bit;
    bool legacy = b->timer_levels >> X86_HPET_LEGACY & 1;
    if (source == X86_PIT || source == X86_HPET_0 || source == X86_HPET_LEGACY)
        vit_board_isa_irq(b, 0, b->timer_levels >> (legacy ? X86_HPET_0 : X86_PIT) & 1);
    if (source == X86_RTC || source == X86_HPET_1 || source == X86_HPET_LEGACY)
        vit_board_isa_irq(b, 8, b->timer_levels >> (legacy ? X86_HPET_1 : X86_RTC) & 1);
}

static void pirq_changed(void *opaque, unsigned line, bool level)
{
    X86Board *b = opaque;
    uint8_t bit = (uint8_t) (1u << (line % X86_PIRQS));
    b->pirq_levels = level ? b->pirq_levels | bit : b->pirq_levels & (uint8_t) ~bit;
    if (b->chipset->q35)
        input(b->ioapic, PIRQ_PIN + line % X86_PIRQS, level);
    uint8_t isa = b->pirq_isa[line % X86_PIRQS];
    if (isa < ISA_LINES && isa > 2)
        drive_line(b, isa);
}

static void pic_output(void *opaque, unsigned n, bool level)
{
    vit_apic_bus_set_extint(opaque, level);
}

static int pic_ack(void *opaque)
{
    return vit_i8259_ack(opaque);
}

static uint64_t msi_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void msi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    vit_apic_bus_msi(opaque, MSI_BASE + offset, (uint32_t) value);
}

static const VitMmioOps msi_ops = { .read = msi_read, .write = msi_write, .min_size = 4,
                                    .max_size = 4 };

/* ---- Windows that move ----------------------------------------------------------------------- */

void x86_set_pm_base(X86Board *b, uint16_t base, uint16_t size)
{
    VitRegion *io = b->board.sys->io_root;
    if (!b->pm || base == b->pm_base)
        return;
    if (!b->pm_window)
        b->pm_window = vit_device_window(b->pm, 0, size);
    if (b->pm_base)
        vit_region_remove(io, b->pm_window);
    if (base)
        vit_region_add(io, base, b->pm_window, -1);     /* fixed ports win */
    b->pm_base = base;
}

void x86_set_ecam(X86Board *b, uint64_t base, unsigned buses)
{
    VitRegion *memory = b->board.sys->memory_root;
    uint64_t size = (uint64_t) buses << 20;
    if (base == b->ecam_base && (base == UINT64_MAX || vit_region_size(b->ecam) == size))
        return;
    if (b->ecam_base != UINT64_MAX)
        vit_region_remove(memory, b->ecam);
    if (base != UINT64_MAX) {
        vit_region_resize(b->ecam, size);
        vit_region_add(memory, base, b->ecam, 0x10);
    }
    b->ecam_base = base;
}

/* ---- Building -------------------------------------------------------------------------------- */

static bool build_memory(X86Board *b, GError **error)
{
    VitSystem *sys = b->board.sys;
    uint64_t size = b->config.ram_size, low = b->chipset->low_ram(size);
    b->board.ram = vit_ram_new("pc.ram", size, error);
    if (!b->board.ram)
        return false;
    b->board.low_ram_size = low;
    b->ram_low = vit_region_new_ram("ram-low", b->board.ram, 0, low);
    vit_region_add(sys->memory_root, 0, b->ram_low, 0);
    if (size > low) {
        b->ram_high = vit_region_new_ram("ram-high", b->board.ram, low, size - low);
        vit_region_add(sys->memory_root, X86_FOUR_GIB, b->ram_high, 0);
    }
    b->board.pci_memory = vit_region_new_container("pci-memory", 1ull << PHYSICAL_BITS);
    vit_region_add(sys->memory_root, 0, b->board.pci_memory, -1);
    b->msi = vit_region_new_mmio("apic-msi", &msi_ops, &b->apic, MSI_SIZE);
    vit_region_add(sys->memory_root, MSI_BASE, b->msi, 0);
    return true;
}

static bool build_firmware(X86Board *b, GError **error)
{
    const char *name = b->config.bios ? b->config.bios : "bios-256k.bin";
    g_autoptr(GBytes) image = vit_firmware_load(name, b->config.firmware_dirs, error);
    if (!image)
        return false;
    gsize size;
    const uint8_t *data = g_bytes_get_data(image, &size);
    if (size == 0 || size % 0x10000 || size > BIOS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    _("\"%s\" is no PC firmware: its size, %zu bytes, is no multiple of 64 KiB up "
                      "to 16 MiB. Choose another file with -bios."),
                    name, (size_t) size);
        return false;
    }
    b->bios = vit_ram_new("pc.bios", size, error);
    if (!b->bios)
        return false;
    memcpy(b->bios->host, data, size);
    uint64_t isa = MIN((uint64_t) size, X86_ISA_BIOS_SIZE);
    b->bios_top = vit_region_new_rom("bios", b->bios, 0, size);
    vit_region_add(b->board.pci_memory, X86_FOUR_GIB - size, b->bios_top, 0);
    b->bios_isa = vit_region_new_rom("bios-isa", b->bios, size - isa, isa);
    vit_region_add(b->board.pci_memory, 0x100000 - isa, b->bios_isa, 0);
    return true;
}

static bool build_interrupts(X86Board *b, GError **error)
{
    VitSystem *sys = b->board.sys;
    if (!(b->pics[0] = x86_device(b, &vit_i8259_class, "pic-master", error)) ||
        !(b->pics[1] = x86_device(b, &vit_i8259_class, "pic-slave", error)) ||
        !(b->ioapic = x86_device(b, &vit_ioapic_class, "ioapic", error)))
        return false;
    x86_map_io(b, b->pics[0], 0, 2, 0x20);
    x86_map_io(b, b->pics[1], 0, 2, 0xa0);
    x86_map_io(b, b->pics[0], 2, 1, 0x4d0);
    x86_map_io(b, b->pics[1], 2, 1, 0x4d1);
    vit_i8259_cascade(b->pics[0], b->pics[1]);
    vit_irq_connect(b->pics[0], 0, pic_output, &b->apic, 0);
    b->apic.pic_ack = pic_ack;
    b->apic.pic_opaque = b->pics[0];
    vit_ioapic_connect(b->ioapic, &b->apic);
    vit_region_add(sys->memory_root, VIT_IOAPIC_BASE, vit_device_window(b->ioapic, 0, 0x1000), 0);

    b->board.lapics = g_new0(VitDevice *, b->board.n_cpus);
    for (unsigned i = 0; i < b->board.n_cpus; i++) {
        g_autofree char *id = g_strdup_printf("lapic%u", i);
        VitDevice *lapic = x86_device(b, &vit_lapic_class, id, error);
        if (!lapic)
            return false;
        b->board.lapics[i] = lapic;
        vit_lapic_connect(lapic, &b->apic, i);
    }
    return true;
}

static bool build_isa(X86Board *b, GError **error)
{
    static const uint16_t com_ports[SERIALS] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    if (!(b->pit = x86_device(b, &vit_i8254_class, "pit", error)) ||
        !(b->rtc = x86_device(b, &vit_mc146818_class, "rtc", error)) ||
        !(b->reset_ports = x86_device(b, &vit_reset_ports_class, "reset-ports", error)) ||
        !(b->pm = x86_device(b, &vit_acpi_pm_class, "acpi-pm", error)) ||
        !(b->board.fw_cfg = x86_device(b, &vit_fw_cfg_class, "fw_cfg", error)))
        return false;
    x86_map_io(b, b->pit, 0, 4, 0x40);
    x86_map_io(b, b->pit, 4, 1, 0x61);
    vit_irq_connect(b->pit, 0, timer_irq, b, X86_PIT);
    x86_map_io(b, b->rtc, 0, 2, 0x70);
    vit_irq_connect(b->rtc, 0, timer_irq, b, X86_RTC);
    x86_map_io(b, b->reset_ports, 0, 1, 0x92);
    x86_map_io(b, b->pm, VIT_ACPI_PM_APM, 2, 0xb2);
    vit_irq_connect(b->pm, 0, vit_board_isa_irq, b, VIT_ACPI_SCI);
    x86_map_io(b, b->board.fw_cfg, 0, VIT_FW_CFG_IO_SIZE, VIT_FW_CFG_IO_BASE);

    for (unsigned i = 0; i < SERIALS; i++) {
        if (!b->config.serial[i])
            continue;
        g_autofree char *id = g_strdup_printf("com%u", i + 1);
        if (!(b->uarts[i] = x86_device(b, &vit_uart16550_class, id, error)))
            return false;
        vit_uart16550_set_chr(b->uarts[i], b->config.serial[i]);
        x86_map_io(b, b->uarts[i], 0, 8, com_ports[i]);
        vit_irq_connect(b->uarts[i], 0, uart_irq, b, i);
    }
    if (b->config.debugcon) {
        b->debugcon = vit_device_new(b->board.sys, &vit_debugcon_class, "debugcon");
        if (!vit_device_set_prop(b->debugcon, "iobase", "0x402", error) ||
            !vit_device_init(b->debugcon, error))
            return false;
        vit_debugcon_set_chr(b->debugcon, b->config.debugcon);
    }
    return true;
}

static bool build_hpet(X86Board *b, GError **error)
{
    if (!(b->hpet = x86_device(b, &vit_hpet_class, "hpet", error)))
        return false;
    vit_region_add(b->board.sys->memory_root, VIT_HPET_BASE,
                   vit_device_window(b->hpet, 0, VIT_HPET_SIZE), 0);
    vit_irq_connect(b->hpet, 0, timer_irq, b, X86_HPET_0);
    vit_irq_connect(b->hpet, 8, timer_irq, b, X86_HPET_1);
    vit_irq_connect(b->hpet, VIT_HPET_LEGACY, timer_irq, b, X86_HPET_LEGACY);
    for (unsigned line = 0; line < VIT_HPET_LINES; line++)
        if (VIT_HPET_ROUTES >> line & 1)
            vit_irq_connect(b->hpet, line, vit_board_isa_irq, b, line);
    return true;
}

static bool build_keyboard(X86Board *b, GError **error)
{
    if (!(b->i8042 = x86_device(b, &vit_i8042_class, "i8042", error)))
        return false;
    vit_i8042_set_input(b->i8042, b->config.input);
    x86_map_io(b, b->i8042, 0, 1, 0x60);
    x86_map_io(b, b->i8042, 1, 1, 0x64);
    vit_irq_connect(b->i8042, 0, vit_board_isa_irq, b, 1);
    vit_irq_connect(b->i8042, 1, vit_board_isa_irq, b, 12);
    return true;
}

static uint8_t read_cf9(void *opaque)
{
    return (uint8_t) vit_device_read(opaque, 1, 1);
}

static void write_cf9(void *opaque, uint8_t value)
{
    vit_device_write(opaque, 1, value, 1);
}

static bool build_pci(X86Board *b, GError **error)
{
    VitSystem *sys = b->board.sys;
    VitPciHostOps ops = {
        .sys = sys, .memory = b->board.pci_memory, .io = sys->io_root, .express = b->chipset->q35,
        .set_irq = pirq_changed, .map_irq = b->chipset->map_irq, .opaque = b,
    };
    b->board.pci = vit_pci_root_bus_new(&ops);
    VitDevice *ports = vit_pci_mechanism1_new(b->board.pci, "pci-ports", error);
    if (!ports)
        return false;
    vit_pci_mechanism1_set_port_cf9(ports, read_cf9, write_cf9, b->reset_ports);
    x86_map_io(b, ports, 0, 8, 0xcf8);
    if (b->chipset->q35)
        b->ecam = vit_pci_ecam_region_new(b->board.pci, 256);
    return b->chipset->build(b, error);
}

static void set_clock(X86Board *b)
{
    int64_t ns = b->config.rtc_base == INT64_MIN ? g_get_real_time() * 1000
                                                 : b->config.rtc_base * VIT_NS_PER_S;
    if (b->config.rtc_localtime) {
        g_autoptr(GDateTime) then = g_date_time_new_from_unix_local(ns / VIT_NS_PER_S);
        if (then)
            ns += g_date_time_get_utc_offset(then) * 1000;
    }
    vit_mc146818_set_base(b->rtc, ns);
}

static void copy_config(VitBoardConfig *to, const VitBoardConfig *from)
{
    *to = *from;
    to->machine = NULL;
    to->bios = g_strdup(from->bios);
    to->kernel = g_strdup(from->kernel);
    to->initrd = g_strdup(from->initrd);
    to->cmdline = g_strdup(from->cmdline);
    to->boot_order = g_strdup(from->boot_order);
    to->boot_paths = g_strdup(from->boot_paths);
    to->firmware_dirs = (const char *const *) g_strdupv((char **) from->firmware_dirs);
}

static bool check_config(const VitBoardConfig *config, const X86Chipset *chipset, GError **error)
{
    if (!chipset)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("There is no machine \"%s\"; choose q35 or pc."), config->machine);
    else if (config->n_cpus < 1 || config->n_cpus > VIT_APIC_MAX_CPUS)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%u processors: a PC has 1 to %u; change -smp."), config->n_cpus,
                    VIT_APIC_MAX_CPUS);
    else if (config->ram_size < 2 * MIB || config->ram_size % MIB || config->ram_size >> 40)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    _("%llu bytes of memory: a PC has a whole number of MiB from 2 MiB to below "
                      "1 TiB; change -m."),
                    (unsigned long long) config->ram_size);
    else
        return true;
    return false;
}

VitBoard *vit_board_new(VitSystem *sys, const VitBoardConfig *config, GError **error)
{
    const X86Chipset *chipset = NULL;
    if (!config->machine || g_str_equal(config->machine, "q35"))
        chipset = &x86_chipset_q35;
    else if (g_str_equal(config->machine, "pc"))
        chipset = &x86_chipset_pc;
    if (!check_config(config, chipset, error))
        return NULL;

    X86Board *b = g_new0(X86Board, 1);
    b->chipset = chipset;
    b->board.sys = sys;
    b->board.n_cpus = config->n_cpus;
    b->board.input = config->input;
    b->ecam_base = UINT64_MAX;
    memset(b->pirq_isa, 0x80, sizeof b->pirq_isa);
    copy_config(&b->config, config);

    vit_system_lock(sys);
    bool ok = build_memory(b, error) && (config->kernel || build_firmware(b, error)) &&
              build_interrupts(b, error);
    if (ok) {
        x86_pam_build(b);
        ok = build_isa(b, error) && build_keyboard(b, error) &&
            (config->no_hpet || build_hpet(b, error)) &&
             build_pci(b, error);
    }
    if (ok && config->kernel)
        ok = (b->linux_boot = x86_linux_boot_new(b, error)) != NULL;
    if (ok)
        set_clock(b);
    vit_system_unlock(sys);
    if (ok)
        return &b->board;
    vit_board_free(&b->board);
    return NULL;
}
