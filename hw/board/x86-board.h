/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/x86-board.h - what the files of the PC boards share */
#pragma once
#include "hw/acpi/acpi-tables.h"
#include "hw/board/board.h"
#include "hw/intc/apic-bus.h"

enum { X86_PAM_SECTIONS = 13, X86_PAM_REGS = 7, X86_PIRQS = 8, X86_PM_BASE = 0x600 };
enum { X86_PIT, X86_RTC, X86_HPET_0, X86_HPET_1, X86_HPET_LEGACY };     /* bits of timer_levels */
#define X86_FOUR_GIB (1ull << 32)
#define X86_ISA_BIOS_SIZE 0x20000ull       /* the ROM's end, shown below 1 MiB too */

typedef struct X86Board X86Board;
typedef struct X86LinuxBoot X86LinuxBoot;

typedef struct {
    const char *machine, *product;
    bool q35;
    uint64_t (*low_ram)(uint64_t ram_size);
    unsigned (*map_irq)(void *board, unsigned devfn, unsigned pin);
    bool     (*build)(X86Board *b, GError **error); /* host bridge, ISA bridge, power management */
    /* Programs what firmware programs: PAM, PIRQ routes, PMBASE, ECAM. */
    void     (*without_firmware)(X86Board *b);
    void     (*describe)(const X86Board *b, VitAcpiConfig *acpi);
} X86Chipset;

typedef struct {                /* one 16 KiB (or, the last, 64 KiB) section of C0000h..FFFFFh */
    X86Board  *board;
    uint32_t   base, size;
    VitRegion *pci, *rom, *write_only;      /* owned; at most one is enabled: else RAM shows */
    uint8_t    state;           /* bit 0 reads, bit 1 writes go to RAM */
} X86PamSection;

struct X86Board {
    VitBoard board;             /* first member */
    const X86Chipset *chipset;
    VitApicBus apic;
    VitDevice *pics[2], *pit, *rtc, *ioapic, *hpet, *i8042, *pm, *reset_ports, *debugcon, *uarts[4];
    VitPciFunction *host_bridge, *isa_bridge, *pm_function;
    /* owned */
    VitRegion *ram_low, *ram_high, *vga_window, *msi, *bios_top, *bios_isa, *ecam, *pm_window;
    VitRam *bios;
    X86PamSection pam[X86_PAM_SECTIONS];
    X86LinuxBoot *linux_boot;   /* owned; NULL: through firmware */
    uint64_t ecam_base;         /* UINT64_MAX: not mapped */
    uint16_t pm_base;           /* 0: not mapped */
    /* levels as their sources last told; told again after reset and load */
    uint16_t isa_levels;
    /* pirq_isa: ISA line, 0x80 and up: none */
    uint8_t uart_levels, timer_levels, pirq_levels, pirq_isa[X86_PIRQS];
    bool frozen;
    VitBoardConfig config;      /* strings owned; hosts' handles borrowed */
};

[[nodiscard]] VitDevice *x86_device(X86Board *b, const VitDeviceClass *klass, const char *id,
                                    GError **error);
void x86_map_io(X86Board *b, VitDevice *d, uint32_t offset, uint32_t size, uint16_t port);

typedef void X86ConfigWrote(void *board, unsigned offset, unsigned size);
/* A function of the chipset on bus 0; wrote is called after each write to its configuration.
 * *place (the board's) is set; the bus owns it. */
[[nodiscard]] bool x86_chipset_function(X86Board *b, VitPciFunction **place, unsigned devfn,
                                        const VitPciIds *ids, const char *name,
                                        X86ConfigWrote *wrote, GError **error);
/* A configuration write as firmware would make it. */
void x86_config_write(X86Board *b, VitPciFunction *fn, unsigned offset, uint32_t value,
                      unsigned size);
/* Four PIRQ route registers of the ISA bridge, all off; what firmware sets them to. */
void x86_pirq_define(X86Board *b, unsigned offset);
void x86_pirq_route(X86Board *b, unsigned offset);

/* Levels of all PIRQs and ISA lines anew, after a change of routes. */
void x86_drive_lines(X86Board *b);
void x86_set_pm_base(X86Board *b, uint16_t base /* 0: off */, uint16_t size);
void x86_set_ecam(X86Board *b, uint64_t base /* UINT64_MAX: off */, unsigned buses);

/* x86-pam.c: pam and smram are the registers' places in the host bridge; define gives them their
 * bits, open makes all sections RAM as firmware does.  set: regs are the 7 PAM registers, smram the
 * SMRAM register (D_OPEN). */
void x86_pam_define(X86Board *b, unsigned pam, unsigned smram);
void x86_pam_open(X86Board *b, unsigned pam);
void x86_pam_build(X86Board *b);
void x86_pam_set(X86Board *b, const uint8_t regs[X86_PAM_REGS], uint8_t smram);
void x86_pam_free(X86Board *b);

/* x86-contents.c: CMOS and fw_cfg, and the ACPI description of what was built. */
void x86_contents_fill(X86Board *b);
void x86_contents_acpi(const X86Board *b, VitAcpiConfig *acpi);
/* caller owns */
GByteArray *x86_contents_smbios(const X86Board *b, unsigned *count, unsigned *largest);

/* linux-boot.c */
[[nodiscard]] X86LinuxBoot *x86_linux_boot_new(X86Board *b, GError **error);
void x86_linux_boot_free(X86LinuxBoot *boot);
void x86_linux_boot_reset(X86LinuxBoot *boot);      /* puts everything in RAM */
const VitX86BootState *x86_linux_boot_state(const X86LinuxBoot *boot);

extern const X86Chipset x86_chipset_q35, x86_chipset_pc;
