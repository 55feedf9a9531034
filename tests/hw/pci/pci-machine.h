/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/pci/pci-machine.h - RAM, a PCI root bus and a catcher of messages, for tests */
#pragma once
#include "hw/pci/pci.h"
#include <stdatomic.h>

enum { TEST_RAM = 32 << 20, TEST_MESSAGES = 256 };

typedef struct {
    VitSystem  *sys;
    VitRam     *ram;
    VitRegion  *ram_region, *pci_memory, *pci_io;
    VitPciBus  *bus;
    bool        lines[64];
    atomic_uint messages[TEST_MESSAGES];    /* by data, counted */
    uint64_t    last_address;
} TestMachine;

static inline void test_set_irq(void *opaque, unsigned line, bool level)
{
    ((TestMachine *) opaque)->lines[line] = level;
}

static inline void test_send_msi(void *opaque, uint64_t address, uint32_t data)
{
    TestMachine *m = opaque;
    m->last_address = address;
    atomic_fetch_add(&m->messages[data % TEST_MESSAGES], 1);
}

static inline void test_machine_init(TestMachine *m, bool express)
{
    GError *error = NULL;
    *m = (TestMachine) { .sys = vit_system_new() };
    m->ram = vit_ram_new("ram", TEST_RAM, &error);
    g_assert_no_error(error);
    m->ram_region = vit_region_new_ram("ram", m->ram, 0, TEST_RAM);
    m->pci_memory = vit_region_new_container("pci-memory", 1ull << 40);
    m->pci_io = vit_region_new_container("pci-io", 0x10000);
    vit_system_lock(m->sys);
    vit_region_add(m->sys->memory_root, 0, m->ram_region, 0);
    vit_region_add(m->sys->memory_root, 0, m->pci_memory, -1);
    vit_region_add(m->sys->io_root, 0, m->pci_io, -1);
    vit_system_unlock(m->sys);
    VitPciHostOps ops = { .sys = m->sys,
                          .memory = m->pci_memory,
                          .io = m->pci_io,
                          .express = express,
                          .set_irq = test_set_irq,
                          .send_msi = test_send_msi,
                          .opaque = m };
    m->bus = vit_pci_root_bus_new(&ops);
}

static inline void test_machine_clear(TestMachine *m)
{
    VitSystem *sys = m->sys;
    vit_system_lock(sys);
    while (sys->devices->len)
        vit_device_free(sys->devices->pdata[sys->devices->len - 1]);
    vit_region_remove(sys->memory_root, m->ram_region);
    vit_region_remove(sys->memory_root, m->pci_memory);
    vit_region_remove(sys->io_root, m->pci_io);
    vit_system_unlock(sys);
    vit_pci_bus_free(m->bus);
    vit_region_free(m->ram_region);
    vit_region_free(m->pci_memory);
    vit_region_free(m->pci_io);
    vit_system_free(sys);
    vit_ram_free(m->ram);
}

static inline uint32_t cfg_read(TestMachine *m, unsigned devfn, unsigned offset, unsigned size)
{
    vit_system_lock(m->sys);
    uint32_t value = vit_pci_config_read(m->bus, 0, devfn, offset, size);
    vit_system_unlock(m->sys);
    return value;
}

static inline void cfg_write(TestMachine *m, unsigned devfn, unsigned offset, uint32_t value,
                             unsigned size)
{
    vit_system_lock(m->sys);
    vit_pci_config_write(m->bus, 0, devfn, offset, value, size);
    vit_system_unlock(m->sys);
}

/* Offset of the capability after `from` (0 = the first), or 0. */
static inline unsigned cfg_find_cap(TestMachine *m, unsigned devfn, uint8_t id, unsigned from)
{
    unsigned at = cfg_read(m, devfn, from ? from + 1 : 0x34, 1);
    for (unsigned n = 0; at && n < 48; n++, at = cfg_read(m, devfn, at + 1, 1))
        if (cfg_read(m, devfn, at, 1) == id)
            return at;
    return 0;
}
