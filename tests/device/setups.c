/* tests/device/setups.c - one line for each class that cannot start alone, sorted by name
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A setup itself lies in a file of its own here (setup-AREA.c). */
#include "tests/device/setups.h"

const DeviceTestEntry device_test_setups[] = {
    { "ide-hd", &device_test_disk },
    { "mc146818", &device_test_rtc },
    { "virtio-pci", &device_test_virtio },
    { 0 },
};
