/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/hw/storage/disk-machine.h - a machine of RAM, a controller, a disk and a CD, for a fake
 * guest */
#pragma once
#include "hw/pci/pci.h"
#include "hw/storage/ata.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { RAM_SIZE = 4 << 20, DISK_SIZE = 8 << 20, CD_SIZE = 1 << 20 };

typedef struct {
    VitSystem    *sys;
    VitPciBus    *bus;
    VitRam       *ram;
    VitRegion    *ram_region;
    VitIoThread  *thread;
    char         *paths[2];
    VitBlockNode *nodes[2];
    VitAtaDrive  *disk, *cd;
    VitDevice    *controller;
    bool          irq[2];
} Machine;

static inline uint8_t sample(uint64_t at, unsigned seed)
{
    return (uint8_t) (at * 3 + at / 512 + at / 70001 + seed);
}

static inline void machine_irq(void *opaque, unsigned n, bool level)
{
    ((Machine *) opaque)->irq[n] = level;
}

static inline VitBlockNode *machine_open(Machine *m, unsigned which, size_t size, bool read_only)
{
    g_autoptr(GError) error = NULL;
    VitBlockOptions options = { .lock = true, .read_only = read_only, .discard = true };
    g_autofree char *content = g_malloc(size);

    for (size_t i = 0; i < size; i++)
        content[i] = (char) sample(i, which);
    int fd = g_file_open_tmp("vitrine-disk-XXXXXX", &m->paths[which], &error);
    g_assert_no_error(error);
    close(fd);
    g_assert_true(g_file_set_contents(m->paths[which], content, (gssize) size, NULL));
    VitBlockNode *node = vit_block_open("raw", m->paths[which], &options, m->thread, &error);
    g_assert_no_error(error);
    return m->nodes[which] = node;
}

static inline VitAtaDrive *machine_drive(Machine *m, const VitDeviceClass *klass,
                                         VitBlockNode *node)
{
    g_autoptr(GError) error = NULL;
    VitDevice *d = vit_device_new(m->sys, klass, NULL);
    vit_ata_set_node((VitAtaDrive *) d, node);
    bool good = vit_device_init(d, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    return (VitAtaDrive *) d;
}

static inline void machine_new(Machine *m)
{
    g_autoptr(GError) error = NULL;

    m->sys = vit_system_new();
    m->thread = vit_io_thread_new("disks");
    m->ram = vit_ram_new("ram", RAM_SIZE, &error);
    g_assert_no_error(error);
    m->ram_region = vit_region_new_ram("ram", m->ram, 0, RAM_SIZE);
    vit_region_add(m->sys->memory_root, 0, m->ram_region, 0);
    VitPciHostOps ops = { .sys = m->sys, .memory = m->sys->memory_root, .io = m->sys->io_root };
    m->bus = vit_pci_root_bus_new(&ops);
}

static inline void machine_reset(Machine *m)
{
    vit_system_lock(m->sys);
    vit_system_reset(m->sys);
    vit_system_unlock(m->sys);
}

static inline void machine_free(Machine *m)
{
    VitSystem *sys = m->sys;

    vit_system_lock(sys);
    while (sys->devices->len)
        vit_device_free(sys->devices->pdata[sys->devices->len - 1]);
    vit_system_unlock(sys);
    vit_region_remove(sys->memory_root, m->ram_region);
    vit_region_free(m->ram_region);
    vit_system_free(sys);
    vit_pci_bus_free(m->bus);
    vit_ram_free(m->ram);
    for (unsigned i = 0; i < 2; i++) {
        vit_block_node_close(m->nodes[i]);
        if (m->paths[i])
            g_unlink(m->paths[i]);
        g_free(m->paths[i]);
    }
    vit_io_thread_free(m->thread);
}

/* Waits (in real time) until ready(m) under the machine lock. */
static inline bool machine_wait(Machine *m, bool (*ready)(Machine *m, void *data), void *data)
{
    for (int i = 0; i < 5000; i++) {
        vit_system_lock(m->sys);
        bool over = ready(m, data);
        vit_system_unlock(m->sys);
        if (over)
            return true;
        g_usleep(i < 100 ? 100 : 1000);
    }
    return false;
}

static inline void machine_check(const uint8_t *data, uint64_t at, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != sample(at + i, seed))
            g_error("byte %" G_GUINT64_FORMAT " is %#x, not %#x", at + i, data[i],
                    sample(at + i, seed));
}
