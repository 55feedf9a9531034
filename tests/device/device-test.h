/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/device/device-test.h - the tests that every device class gets: rows, reset, save and load,
 * damaged states, nonsense in every register
 *
 * The machine stands still (virtual time is moved by hand), so a run depends on its seed alone.
 * 1 MiB of RAM lies at 0 for bus masters and the register window at 0x10000000. */
#pragma once
#include "engine/core/device.h"

typedef struct {
    /* Makes the device and what it needs, up to vit_device_init(), under the machine lock; NULL:
     * vit_device_new() and vit_device_init() will do.  cookie is handed to cleanup. */
    VitDevice *(*build)(VitSystem *sys, const VitDeviceClass *klass, void **cookie);
    void (*cleanup)(void *cookie);  /* after the system is gone; may be NULL */
    bool keeps_over_reset;          /* battery-backed or else exempt from reset: say why */
    bool reads_vary;                /* registers that read the host's world: say why */
} DeviceTestSetup;

enum { DEVICE_TEST_RAM_SIZE = 1 << 20, DEVICE_TEST_WINDOW = 0x10000000 };

/* Adds the tests of klass as /device/NAME/...; setup (borrowed for life) may be NULL. */
void vit_device_test_class(const VitDeviceClass *klass, const DeviceTestSetup *setup);
