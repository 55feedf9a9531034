/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/pc.c - 440FX host bridge, PIIX3 ISA bridge and PIIX4 power management (Intel 290549-001,
 * chapter 3; 290550-002; 290562-001, chapter 7)
 * The I/O APIC, which the real board lacks, takes the PIRQs on the ISA pins that they are routed
 * to. Not modelled: SMM, SMBus, DRAM row registers, device traps. */
#include "hw/board/x86-board.h"

enum {
    HOST_PAM = 0x59, HOST_SMRAM = 0x72, ISA_SLOT = 1, ISA_PIRQA = 0x60, PM_FUNCTION = 3,
    PM_PMBASE = 0x40, PM_DEVACTB = 0x58, PM_PMREGMISC = 0x80, PM_SIZE = 0x40, APMC_EN = 1 << 25,
};

static uint64_t pc_low_ram(uint64_t ram_size)
{
    return ram_size >= 0xe0000000u ? 0xc0000000u : ram_size;
}

static unsigned pc_map_irq(void *board, unsigned devfn, unsigned pin)
{
    return ((devfn >> 3) + pin + 2) & 3;        /* slot 1 pin A is PIRQA */
}

static void host_wrote(void *opaque, unsigned offset, unsigned size)
{
    X86Board *b = opaque;
    const uint8_t *c = vit_pci_config(b->host_bridge);
    x86_pam_set(b, c + HOST_PAM, c[HOST_SMRAM]);
}

static void isa_wrote(void *opaque, unsigned offset, unsigned size)
{
    X86Board *b = opaque;
    const uint8_t *c = vit_pci_config(b->isa_bridge);
    for (unsigned i = 0; i < 4; i++)
        b->pirq_isa[i] = c[ISA_PIRQA + i];
    x86_drive_lines(b);
}

static void pm_wrote(void *opaque, unsigned offset, unsigned size)
{
    X86Board *b = opaque;
    const uint8_t *c = vit_pci_config(b->pm_function);
    uint16_t base = (uint16_t) (c[PM_PMBASE] | c[PM_PMBASE + 1] << 8) & 0xffc0;
    x86_set_pm_base(b, c[PM_PMREGMISC] & 1 ? base : 0, PM_SIZE);
}

static bool pc_build(X86Board *b, GError **error)
{
    static const VitPciIds host_ids = { .vendor = 0x8086, .device = 0x1237, .subsys_vendor = 0x1af4,
                                        .subsys = 0x1100, .revision = 2, .base_class = 6 };
    static const VitPciIds isa_ids = { .vendor = 0x8086, .device = 0x7000, .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100, .base_class = 6, .subclass = 1 };
    static const VitPciIds pm_ids = { .vendor = 0x8086, .device = 0x7113, .subsys_vendor = 0x1af4,
                                      .subsys = 0x1100, .revision = 3, .base_class = 6,
                                      .subclass = 0x80 };
    if (!x86_chipset_function(b, &b->host_bridge, 0, &host_ids, "i440fx", host_wrote, error) ||
        !x86_chipset_function(b, &b->isa_bridge, ISA_SLOT << 3, &isa_ids, "piix3", isa_wrote,
                              error) ||
        !x86_chipset_function(b, &b->pm_function, ISA_SLOT << 3 | PM_FUNCTION, &pm_ids, "piix4-pm",
                              pm_wrote, error))
        return false;
    x86_pam_define(b, HOST_PAM, HOST_SMRAM);
    vit_pci_config_define(b->isa_bridge, 0x0e, 1, 0x80, 0, 0);
    x86_pirq_define(b, ISA_PIRQA);

    VitPciFunction *pm = b->pm_function;
    vit_pci_set_intx_pin(pm, 1);
    vit_pci_config_define(pm, 0x3c, 1, VIT_ACPI_SCI, 0xff, 0);    /* hard-wired, whatever the pin */
    vit_pci_config_define(pm, PM_PMBASE, 4, 1, 0xffc0, 0);
    vit_pci_config_define(pm, PM_DEVACTB, 4, APMC_EN, 0, 0);    /* as if set up: no SMM to set up */
    vit_pci_config_define(pm, PM_PMREGMISC, 1, 0, 1, 0);
    return true;
}

static void pc_without_firmware(X86Board *b)
{
    x86_pam_open(b, HOST_PAM);
    x86_pirq_route(b, ISA_PIRQA);
    x86_config_write(b, b->pm_function, PM_PMBASE, X86_PM_BASE | 1, 4);
    x86_config_write(b, b->pm_function, PM_PMREGMISC, 1, 1);
}

static void pc_describe(const X86Board *b, VitAcpiConfig *acpi)
{
    uint64_t low = b->board.low_ram_size;       /* where firmware begins to place BARs */
    acpi->hole_first = low <= 0x80000000u   ? 0x80000000u
                       : low <= 0xc0000000u ? 0xc0000000u
                                            : 0xe0000000u;
}

const X86Chipset x86_chipset_pc = {
    .machine = "pc", .product = "Vitrine PC (i440FX + PIIX)", .low_ram = pc_low_ram,
    .map_irq = pc_map_irq,
    .build = pc_build, .without_firmware = pc_without_firmware, .describe = pc_describe,
};
