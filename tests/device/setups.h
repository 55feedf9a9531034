/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tests/device/setups.h - what device classes need around them for the common tests */
#pragma once
#include "tests/device/device-test.h"

typedef struct {
    const char            *name;        /* of the class */
    const DeviceTestSetup *setup;
} DeviceTestEntry;

extern const DeviceTestEntry device_test_setups[];      /* ended by a NULL name */

/* One line for each setup. */
extern const DeviceTestSetup device_test_disk;
extern const DeviceTestSetup device_test_rtc;
extern const DeviceTestSetup device_test_virtio;
