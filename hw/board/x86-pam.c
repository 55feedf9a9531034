/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/board/x86-pam.c - what C0000h to FFFFFh and the SMRAM window show (Intel 82G35/Q35 datasheet,
 * 5.1.18 PAM0 and following, 5.1.25 SMRAM)
 * Not modelled: SMRAM other than opened by D_OPEN, since there is no SMM. */
#include "hw/board/x86-board.h"
#include <string.h>

enum { FIRST = 0xc0000, SECTION = 0x4000, BIOS = 0xf0000, BIOS_SIZE = 0x10000, VGA = 0xa0000,
       VGA_SIZE = 0x20000, PRIORITY = 1, D_OPEN = 0x40 };

/* Reads from the ROM behind, writes to RAM. */
static uint64_t write_only_read(void *opaque, uint64_t offset, unsigned size)
{
    const X86PamSection *s = opaque;
    const VitRam *bios = s->board->bios;
    uint64_t shown = bios ? MIN(bios->size, X86_ISA_BIOS_SIZE) : 0, at = s->base + offset,
        value = 0;
    if (at < 0x100000 - shown)
        return UINT64_MAX;
    memcpy(&value, bios->host + bios->size - (0x100000 - at), size);
    return GUINT64_FROM_LE(value);
}

static void write_only_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const X86PamSection *s = opaque;
    VitRam *ram = s->board->board.ram;
    for (unsigned i = 0; i < size; i++)
        ram->host[s->base + offset + i] = (uint8_t) (value >> 8 * i);
    vit_ram_mark_dirty(ram, s->base + offset, size);
}

static const VitMmioOps write_only_ops = { .read = write_only_read, .write = write_only_write,
                                           .max_size = 8 };

void x86_pam_build(X86Board *b)
{
    VitRegion *root = b->board.sys->memory_root;
    for (unsigned i = 0; i < X86_PAM_SECTIONS; i++) {
        X86PamSection *s = &b->pam[i];
        s->board = b;
        s->base = i ? FIRST + (i - 1) * SECTION : BIOS;
        s->size = i ? SECTION : BIOS_SIZE;
        s->pci = vit_region_new_alias("pam-pci", b->board.pci_memory, s->base, s->size);
        s->rom = vit_region_new_rom("pam-rom", b->board.ram, s->base, s->size);
        s->write_only = vit_region_new_mmio("pam-write-only", &write_only_ops, s, s->size);
        vit_region_set_enabled(s->rom, false);
        vit_region_set_enabled(s->write_only, false);
        vit_region_add(root, s->base, s->pci, PRIORITY);
        vit_region_add(root, s->base, s->rom, PRIORITY + 1);
        vit_region_add(root, s->base, s->write_only, PRIORITY + 2);
    }
    b->vga_window = vit_region_new_alias("vga-window", b->board.pci_memory, VGA, VGA_SIZE);
    vit_region_add(root, VGA, b->vga_window, PRIORITY);
}

void x86_pam_define(X86Board *b, unsigned pam, unsigned smram)
{
    vit_pci_config_define(b->host_bridge, pam, 1, 0, 0x30, 0);
    for (unsigned i = 1; i < X86_PAM_REGS; i++)
        vit_pci_config_define(b->host_bridge, pam + i, 1, 0, 0x33, 0);
    vit_pci_config_define(b->host_bridge, smram, 1, 0x02, 0x78, 0);
}

void x86_pam_open(X86Board *b, unsigned pam)
{
    x86_config_write(b, b->host_bridge, pam, 0x30, 1);
    for (unsigned i = 1; i < X86_PAM_REGS; i++)
        x86_config_write(b, b->host_bridge, pam + i, 0x33, 1);
}

void x86_pam_set(X86Board *b, const uint8_t regs[X86_PAM_REGS], uint8_t smram)
{
    VitSystem *sys = b->board.sys;
    vit_as_begin(sys->memory);
    for (unsigned i = 0; i < X86_PAM_SECTIONS; i++) {
        X86PamSection *s = &b->pam[i];
        uint8_t reg = i ? regs[(i + 1) / 2] : regs[0] >> 4;
        uint8_t state = (i && i % 2 == 0 ? reg >> 4 : reg) & 3;
        if (state == s->state)
            continue;
        s->state = state;
        vit_region_set_enabled(s->pci, state == 0);
        vit_region_set_enabled(s->rom, state == 1);
        vit_region_set_enabled(s->write_only, state == 2);
    }
    vit_region_set_enabled(b->vga_window, !(smram & D_OPEN));
    vit_as_commit(sys->memory);
}

static void drop(VitRegion *root, VitRegion *region)
{
    if (!region)
        return;
    vit_region_remove(root, region);
    vit_region_free(region);
}

void x86_pam_free(X86Board *b)
{
    VitRegion *root = b->board.sys->memory_root;
    for (unsigned i = 0; i < X86_PAM_SECTIONS; i++) {
        drop(root, b->pam[i].pci);
        drop(root, b->pam[i].rom);
        drop(root, b->pam[i].write_only);
    }
    drop(root, b->vga_window);
}
