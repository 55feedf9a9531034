/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/device/setup-virtio.c - a virtio transport with a device behind it on a bus */
#include "hw/pci/pci-devices.h"
#include "tests/device/setups.h"

static VitDevice *build(VitSystem *sys, const VitDeviceClass *klass, void **cookie)
{
    VitPciHostOps ops = {
        .sys = sys, .memory = sys->memory_root, .io = sys->io_root, .express = true
    };
    VitDeviceContext ctx = { .sys = sys, .pci = vit_pci_root_bus_new(&ops) };
    GError *error = NULL;

    *cookie = ctx.pci;
    VitDevice *rng = vit_pci_device_create(&ctx, "virtio-rng-pci,id=rng", &error);
    g_assert_no_error(error);
    g_assert_nonnull(rng);
    return vit_system_find_device(sys, klass == rng->klass ? "rng" : "rng.transport");
}

static void cleanup(void *cookie)
{
    vit_pci_bus_free(cookie);
}

const DeviceTestSetup device_test_virtio = {
    .build = build,
    .cleanup = cleanup,
    .reads_vary =
        true, /* the transport's registers show the device behind it, which has its own state */
};
