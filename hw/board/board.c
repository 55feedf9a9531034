/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/board.c - life of a PC board after it is built: reset, processors, power button, end */
#include "hw/board/x86-board.h"
#include "hw/misc/acpi-pm.h"

/* Interrupt Line of each function on the root bus and level triggering at the 8259s, as firmware
 * leaves them for a kernel that does not use ACPI. */
static void program_interrupt_lines(X86Board *b)
{
    enum { INTERRUPT_LINE = 0x3c, INTERRUPT_PIN = 0x3d, ELCR = 2, ELCR_10_11 = 0x0c };
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        VitPciFunction *fn = vit_pci_bus_function(b->board.pci, devfn);
        unsigned pin = fn ? vit_pci_config(fn)[INTERRUPT_PIN] : 0;
        if (!pin || pin > 4 || vit_pci_config(fn)[INTERRUPT_LINE])
            continue;
        uint8_t isa = b->pirq_isa[b->chipset->map_irq(b, devfn, pin)];
        vit_pci_config_write(b->board.pci, 0, devfn, INTERRUPT_LINE, isa, 1);
    }
    vit_device_write(b->pics[1], ELCR, ELCR_10_11, 1);
}

void vit_board_reset(VitBoard *board)
{
    X86Board *b = (X86Board *) board;
    if (!b->frozen) {
        b->frozen = true;
        x86_contents_fill(b);
    }
    vit_system_reset(board->sys);
    if (b->linux_boot) {
        b->chipset->without_firmware(b);
        program_interrupt_lines(b);
        x86_linux_boot_reset(b->linux_boot);
    }
}

const VitX86BootState *vit_board_boot_state(const VitBoard *board)
{
    const X86Board *b = (const X86Board *) board;
    return b->linux_boot ? x86_linux_boot_state(b->linux_boot) : NULL;
}

void vit_board_power_button(VitBoard *board)
{
    vit_acpi_pm_power_button(((X86Board *) board)->pm);
}

static void drop(VitRegion *parent, VitRegion *region)
{
    if (!region)
        return;
    vit_region_remove(parent, region);
    vit_region_free(region);
}

static void free_memory(X86Board *b)
{
    VitRegion *root = b->board.sys->memory_root;
    x86_pam_free(b);
    if (b->board.pci_memory) {
        drop(b->board.pci_memory, b->bios_top);
        drop(b->board.pci_memory, b->bios_isa);
    }
    drop(root, b->ecam);
    drop(root, b->msi);
    drop(root, b->ram_low);
    drop(root, b->ram_high);
    drop(root, b->board.pci_memory);
    vit_ram_free(b->bios);
    vit_ram_free(b->board.ram);
}

void vit_board_free(VitBoard *board)
{
    if (!board)
        return;
    X86Board *b = (X86Board *) board;
    VitSystem *sys = board->sys;
    vit_system_lock(sys);
    while (sys->devices->len)
        vit_device_free(sys->devices->pdata[sys->devices->len - 1]);
    vit_pci_bus_free(board->pci);
    x86_linux_boot_free(b->linux_boot);
    free_memory(b);
    vit_system_unlock(sys);
    g_free(board->lapics);
    g_free((char *) b->config.bios);
    g_free((char *) b->config.kernel);
    g_free((char *) b->config.initrd);
    g_free((char *) b->config.cmdline);
    g_free((char *) b->config.boot_order);
    g_free((char *) b->config.boot_paths);
    g_strfreev((char **) b->config.firmware_dirs);
    g_free(b);
}
