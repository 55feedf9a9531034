/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/q35.c - Q35 memory controller hub and ICH9 LPC bridge (Intel 316966-002, chapter 5;
 * 316972-004, chapter 13)
 * Not modelled: RCBA's registers, GPIO, DMI, the TCO watchdog, SMM. */
#include "hw/board/x86-board.h"

enum {
    HOST_PCIEXBAR = 0x60, HOST_PAM = 0x90, HOST_SMRAM = 0x9d, HOST_ESMRAMC = 0x9e,
    LPC_PMBASE = 0x40, LPC_ACPI_CNTL = 0x44, LPC_PIRQA = 0x60, LPC_PIRQE = 0x68, LPC_RCBA = 0xf0,
    LPC_SLOT = 0x1f, ACPI_EN = 0x80, PM_SIZE = 0x80, ECAM_BUSES = 256,
    ECAM_BASE = 0xb0000000u,
};

static uint64_t q35_low_ram(uint64_t ram_size)
{
    return ram_size >= ECAM_BASE ? 0x80000000u : ram_size;
}

/* Slots 0 to 24 turn over PIRQE to PIRQH, those of the ICH9 over PIRQA to PIRQD. */
static unsigned q35_map_irq(void *board, unsigned devfn, unsigned pin)
{
    unsigned slot = devfn >> 3;
    return ((slot + pin - 1) & 3) + (slot < 25 ? 4 : 0);
}

static void host_wrote(void *opaque, unsigned offset, unsigned size)
{
    static const unsigned buses[4] = { 256, 128, 64, 0 };
    X86Board *b = opaque;
    const uint8_t *c = vit_pci_config(b->host_bridge);
    uint64_t bar = 0;
    for (unsigned i = 0; i < 8; i++)
        bar |= (uint64_t) c[HOST_PCIEXBAR + i] << 8 * i;
    unsigned n = buses[bar >> 1 & 3];
    bool on = (bar & 1) && n;
    x86_set_ecam(b, on ? bar & 0xfffffffffull & ~(((uint64_t) n << 20) - 1) : UINT64_MAX, n);
    x86_pam_set(b, c + HOST_PAM, c[HOST_SMRAM]);
}

static void lpc_wrote(void *opaque, unsigned offset, unsigned size)
{
    X86Board *b = opaque;
    const uint8_t *c = vit_pci_config(b->isa_bridge);
    uint16_t base = (uint16_t) (c[LPC_PMBASE] | c[LPC_PMBASE + 1] << 8) & 0xff80;
    x86_set_pm_base(b, c[LPC_ACPI_CNTL] & ACPI_EN ? base : 0, PM_SIZE);
    for (unsigned i = 0; i < X86_PIRQS; i++)
        b->pirq_isa[i] = c[i < 4 ? LPC_PIRQA + i : LPC_PIRQE + i - 4];
    x86_drive_lines(b);
}

static bool q35_build(X86Board *b, GError **error)
{
    static const VitPciIds host_ids = { .vendor = 0x8086, .device = 0x29c0, .subsys_vendor = 0x1af4,
                                        .subsys = 0x1100, .base_class = 6 };
    static const VitPciIds lpc_ids = { .vendor = 0x8086, .device = 0x2918, .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100, .revision = 2, .base_class = 6,
                                       .subclass = 1 };
    if (!x86_chipset_function(b, &b->host_bridge, 0, &host_ids, "mch", host_wrote, error) ||
        !x86_chipset_function(b, &b->isa_bridge, LPC_SLOT << 3, &lpc_ids, "lpc", lpc_wrote, error))
        return false;
    VitPciFunction *host = b->host_bridge, *lpc = b->isa_bridge;
    vit_pci_config_define(host, HOST_PCIEXBAR, 4, 0, 0xfc000007, 0);
    vit_pci_config_define(host, HOST_PCIEXBAR + 4, 4, 0, 0x0000000f, 0);
    x86_pam_define(b, HOST_PAM, HOST_SMRAM);
    vit_pci_config_define(host, HOST_ESMRAMC, 1, 0x38, 0x87, 0);

    vit_pci_config(lpc)[0x0e] |= 0x80;      /* SATA and SMBus are its functions */
    vit_pci_config_define(lpc, 0x0e, 1, 0x80, 0, 0);
    vit_pci_config_define(lpc, LPC_PMBASE, 4, 1, 0xff80, 0);
    vit_pci_config_define(lpc, LPC_ACPI_CNTL, 1, 0, ACPI_EN | 7, 0);
    x86_pirq_define(b, LPC_PIRQA);
    x86_pirq_define(b, LPC_PIRQE);
    vit_pci_config_define(lpc, LPC_RCBA, 4, 0, 0xffffc001, 0);
    return true;
}

static void q35_without_firmware(X86Board *b)
{
    x86_config_write(b, b->host_bridge, HOST_PCIEXBAR, ECAM_BASE | 1, 4);
    x86_pam_open(b, HOST_PAM);
    x86_config_write(b, b->isa_bridge, LPC_PMBASE, X86_PM_BASE | 1, 4);
    x86_config_write(b, b->isa_bridge, LPC_ACPI_CNTL, ACPI_EN, 1);
    x86_pirq_route(b, LPC_PIRQA);
    x86_pirq_route(b, LPC_PIRQE);
}

static void q35_describe(const X86Board *b, VitAcpiConfig *acpi)
{
    acpi->ecam_base = ECAM_BASE;
    acpi->ecam_buses = ECAM_BUSES;
    acpi->hole_first = ECAM_BASE + (ECAM_BUSES << 20);
}

const X86Chipset x86_chipset_q35 = {
    .machine = "q35", .product = "Vitrine PC (Q35 + ICH9)", .q35 = true, .low_ram = q35_low_ram,
    .map_irq = q35_map_irq, .build = q35_build, .without_firmware = q35_without_firmware,
    .describe = q35_describe,
};
