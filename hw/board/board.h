/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/board.h - a PC board: what is asked for, what the machine gets to wire CPUs and devices
 * to */
#pragma once
#include "display/input.h"
#include "engine/core/char.h"
#include "hw/intc/lapic.h"
#include "hw/pci/pci.h"

typedef struct {                    /* strings are borrowed and copied where needed */
    const char  *machine;           /* "pc" or "q35" */
    uint64_t     ram_size;          /* bytes, multiple of 1 MiB */
    unsigned     n_cpus;            /* 1 .. VIT_APIC_MAX_CPUS */
    const char  *bios; /* path or name; NULL = bios-256k.bin; not needed with a kernel */
    const char  *kernel, *initrd, *cmdline;     /* started directly, without firmware */
    const char  *boot_order;        /* letters as in -boot order=, e.g. "cdn"; NULL = "cad" */
    /* device paths, one a line, as firmware names them; NULL = by boot_order */
    const char  *boot_paths;
    bool         boot_menu;
    bool         no_graphics;       /* there is no VGA: firmware talks over COM1 */
    const char *const *firmware_dirs;   /* NULL-terminated; NULL = the built-in list */
    VitChar     *serial[4];         /* COM1..COM4; NULL = no port there */
    VitChar     *debugcon;          /* port 0x402; NULL = none */
    VitInputHub *input;             /* NULL = i8042 without keyboard and mouse events */
    int64_t      rtc_base; /* seconds since 1970 at machine start; INT64_MIN = host time, UTC */
    bool         rtc_localtime;
    bool         no_hpet;
    uint8_t      uuid[16];          /* SMBIOS; all zero = none */
    bool         have_uuid;
} VitBoardConfig;

typedef struct {
    uint16_t selector;
    uint16_t access; /* descriptor bits 40..47 low, bits 52..55 (AVL L D/B G) in bits 12..15 */
    uint32_t limit;                 /* bytes - 1 */
    uint64_t base;
} VitX86Segment;

/* Registers of the boot processor when there is no firmware; all else as after INIT. */
typedef struct {
    uint64_t rip, rsp, rbp, rsi, rbx, rdi, rflags;
    uint64_t cr0, cr3, cr4, efer;
    uint64_t mtrr_def_type;         /* of every processor, as firmware would leave it */
    uint64_t gdt_base;
    uint16_t gdt_limit;
    VitX86Segment cs, data;         /* data: DS, ES, SS, FS, GS */
} VitX86BootState;

typedef struct VitBoard VitBoard;
struct VitBoard {
    VitSystem      *sys;            /* borrowed */
    VitPciBus      *pci;            /* the root bus */
    VitRegion      *pci_memory;     /* where BARs and the legacy VGA window appear */
    VitDevice      *fw_cfg;         /* borrowed from sys->devices */
    VitInputHub    *input;
    unsigned        n_cpus;
    VitDevice     **lapics;         /* n_cpus, borrowed from sys->devices */
    VitRam         *ram;            /* owned */
    uint64_t        low_ram_size;   /* RAM below 4 GiB; the rest starts at 4 GiB */
};

[[nodiscard]] VitBoard *vit_board_new(VitSystem *sys, const VitBoardConfig *config, GError **error);
/* Frees every device of the system first, since all stand on the board; then call
 * vit_system_free(). vCPUs have ended.  NULL is fine.  A failed vit_board_new() has done the
 * same. */
void vit_board_free(VitBoard *board);

/* An ISA interrupt line, 0..15, to PIC and I/O APIC as the board wires them: a VitIrqHandler with
 * the board as opaque, vit_irq_connect(device, 0, vit_board_isa_irq, board, line).  One source a
 * line. */
void vit_board_isa_irq(void *board, unsigned line, bool level);
/* Presses the power button: the guest is asked to shut down.  Machine lock held. */
void vit_board_power_button(VitBoard *board);

/* Resets all devices, then the contents that a reset restores (ROM images in RAM, a directly booted
 * kernel).  Call it instead of vit_system_reset(); vCPUs stopped, machine lock held.  The first
 * call also freezes what the guest finds: ACPI tables, PCI devices, boot order. */
void vit_board_reset(VitBoard *board);
/* Not NULL: CPU 0 starts in this state instead of at the reset vector. */
const VitX86BootState *vit_board_boot_state(const VitBoard *board);
